//! Who is where, and users' tokens.
use serde_json::{Value, json};

use super::{everywhere, problem, unique};

#[tokio::test]
async fn members_are_listed_in_pages() {
    everywhere(async |[here, there], store| {
        let room = unique("hall");
        let mut clients = Vec::new();
        for i in 0..5 {
            let node = if i % 2 == 0 { here } else { there };
            clients.push(node.newcomer(&format!("user {i}"), &room).await);
        }
        let (mut uids, mut request) = (Vec::new(), json!({ "roomId": room, "limit": 2 }));
        loop {
            let page = here.done("members", request.clone()).await;
            assert_eq!(page["total"], 5, "{store}");
            for user in page["users"].as_array().unwrap() {
                assert_eq!(
                    (&user["dummy"], &user["held"], &user["connections"]),
                    (&json!(false), &json!(false), &json!(1)),
                    "{store}"
                );
                uids.push(user["uid"].as_str().unwrap().to_owned());
            }
            match page.get("next") {
                Some(next) => request["cursor"] = next.clone(),
                None => break,
            }
        }
        uids.sort();
        assert_eq!(uids, (0..5).map(|i| format!("user {i}")).collect::<Vec<_>>(), "{store}");
        let nobody = here.done("members", json!({ "roomId": unique("nowhere") })).await;
        assert_eq!(nobody, json!({ "users": [], "total": 0 }), "{store}");
    })
    .await;
}

#[tokio::test]
async fn tokens_are_made_and_replaced() {
    everywhere(async |[here, there], store| {
        let ask = async |method: &str, uid: Value| {
            here.ask(&format!("token/{method}"), &json!({ "uid": uid })).await
        };
        let missing = ask("refresh", json!("kim")).await;
        assert_eq!(problem(&missing), (404, "no-such-user".into()), "{store}");
        let first = here.done("token/create", json!({ "uid": 1000 })).await;
        assert_eq!(first["uid"], 1000, "{store}");
        let again = ask("create", json!("1000")).await;
        assert_eq!(problem(&again), (409, "user-exists".into()), "{store}");
        let second = here.done("token/refresh", json!({ "uid": "1000" })).await;
        assert_ne!(first["token"], second["token"], "{store}");
        let mut guest = there.guest().await;
        guest.sign_in("1000", second["token"].as_str().unwrap()).await;
    })
    .await;
}
