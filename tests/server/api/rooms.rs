//! Who is where, and users' tokens.
use std::time::Duration;

use serde_json::{Value, json};

use super::{Node, done, everywhere, problem, unique};
use support::{
    client::Packet,
    http::{self, Answer},
    server::Setup,
    soon,
};

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

#[tokio::test]
async fn who_is_online_is_listed_and_can_be_sent_away() {
    everywhere(async |[here, there], store| {
        let (hall, side) = (unique("hall"), unique("side/room"));
        let prefix = unique("user");
        let uid = |name: &str| format!("{prefix} {name}");
        let mut ann = here.newcomer(&uid("ann"), &hall).await;
        let ben = there.newcomer(&uid("ben"), &hall).await;
        let mut kim = there.newcomer(&uid("kim"), &side).await;
        let users = here.done("users", json!({ "prefix": prefix, "limit": 2 })).await;
        let first: Vec<_> = users["users"].as_array().unwrap().clone();
        assert_eq!((&first[0]["uid"], &first[0]["rooms"]), (&json!(uid("ann")), &json!([hall])));
        assert_eq!(first[0]["nodes"].as_array().map(Vec::len), Some(1), "{store}");
        let request = json!({ "prefix": prefix, "cursor": users["next"] });
        let second = there.done("users", request).await;
        assert_eq!(second["users"][0]["uid"], uid("kim"), "{store}");
        assert!(second.get("next").is_none(), "{store}");
        let rooms = there.done("rooms", json!({ "prefix": hall })).await;
        assert_eq!(rooms, json!({ "rooms": [{ "roomId": hall, "members": 2 }] }), "{store}");

        let kick = json!({ "uid": uid("ben"), "roomId": hall });
        assert_eq!(here.done("kick", kick.clone()).await, json!({ "connections": 1 }), "{store}");
        assert_eq!(here.done("kick", kick).await, json!({ "connections": 0 }), "{store}");
        let gone = ann.until("remote_disconnect").await;
        assert_eq!(gone["uid"], uid("ben"), "{store}");
        // Its own node may learn of it a moment later.
        let out = json!({ "status": 1, "data": "not in a room" });
        while ben.emit_with_ack("msg", &json!({ "s": 2 })).await != out {}

        let disconnect = async |name: &str, reconnect: bool| {
            let request = json!({ "uid": uid(name), "reconnect": reconnect });
            here.done("disconnect", request).await["sessions"].as_u64().unwrap()
        };
        assert_eq!(disconnect("kim", true).await, 1, "{store}");
        let rest = kim.rest().await;
        assert!(!rest.contains(&Packet::Disconnect), "{store}: {rest:?}");
        assert_eq!(disconnect("ann", false).await, 1, "{store}");
        let rest = ann.rest().await;
        assert!(rest.contains(&Packet::Disconnect), "{store}: {rest:?}");
        assert_eq!(disconnect("nobody", false).await, 0, "{store}");
    })
    .await;
}

#[tokio::test]
async fn webhooks_that_were_put_aside_are_none_where_there_are_none() {
    everywhere(async |[here, _], store| {
        let failed = here.done("hooks/failed", json!({})).await;
        assert_eq!(failed, json!({ "batches": [] }), "{store}");
        let replayed = here.done("hooks/replay", json!({ "ids": ["msg_unknown"] })).await;
        assert_eq!(replayed, json!({ "replayed": 0 }), "{store}");
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_taken_away_ends_the_session() {
    everywhere(async |[here, there], store| {
        let mut kim = there.newcomer("kim", &unique("hall")).await;
        let revoke = async || here.ask("token/revoke", &json!({ "uid": "kim" })).await;
        assert_eq!(done(&revoke().await), json!({ "sessions": 1 }), "{store}");
        let rest = kim.rest().await;
        assert!(rest.contains(&Packet::Disconnect), "{store}: {rest:?}");
        assert_eq!(problem(&revoke().await), (404, "no-such-user".into()), "{store}");
        there.done("token/create", json!({ "uid": "kim" })).await;
    })
    .await;
}

#[tokio::test]
async fn erasing_is_a_job_that_can_be_watched() {
    everywhere(async |[here, there], store| {
        let (room, uid) = (unique("hall"), unique("user"));
        for author in [&*uid, "another"] {
            let message = json!({ "text": author });
            let body = json!({ "roomId": room, "message": message, "uid": author });
            here.done("publish", body).await;
        }
        let body = json!({ "uid": uid, "roomIds": [room] });
        let key = unique("key");
        let given = here.keyed(&key, "erase", &body).await;
        assert_eq!(given.status, 202, "{store}: {given:?}");
        let again = there.keyed(&key, "erase", &body).await;
        assert_eq!((again.status, &again.body), (202, &given.body), "{store}");
        let job = format!("/v1/jobs/{}", given.json()["job"].as_str().unwrap());
        let progress = soon("the end of the job", async {
            loop {
                let answer = get(there, &job).await;
                assert_eq!(answer.status, 200, "{store}: {answer:?}");
                if answer.json()["state"] == "done" {
                    return answer.json();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert_eq!((&progress["uid"], &progress["rooms"]), (&json!(uid), &json!(1)), "{store}");
        assert!(progress["erased"].as_u64() >= Some(1), "{store}: {progress}");
        let page = there.done("history", json!({ "roomId": room })).await;
        let texts: Vec<_> = page["messages"].as_array().unwrap().iter().collect();
        assert_eq!((texts.len(), &texts[0]["uid"]), (1, &json!("another")), "{store}");
        let unknown = get(here, "/v1/jobs/unknown").await;
        assert_eq!(problem(&unknown), (404, "no-such-job".into()), "{store}");
    })
    .await;
}

/// GET by an administrator.
async fn get(node: &Node, path: &str) -> Answer {
    let headers = [("authorization", &*node.authorization)];
    http::request(node.api(), "GET", path, &headers, "").await
}

#[tokio::test]
async fn a_user_is_found_with_its_rooms_and_nodes() {
    everywhere(async |[here, there], store| {
        let (room, uid) = (unique("room"), unique("ann"));
        let nobody = here.done("whereabouts", json!({ "uid": uid })).await;
        assert_eq!(nobody, json!({ "connections": [] }), "{store}");
        let _ann = there.newcomer(&uid, &room).await;
        let found = here.done("whereabouts", json!({ "uid": uid })).await;
        let connections = found["connections"].as_array().unwrap();
        let [one] = &connections[..] else { panic!("{store}: {found}") };
        assert_eq!(one["rooms"], json!([room]), "{store}");
        assert!(one["socketId"].is_string() && one["connection"].is_u64(), "{store}: {found}");
        let page = here.done("users", json!({ "prefix": uid })).await;
        assert_eq!(page["users"][0]["nodes"], json!([one["node"]]), "{store}");
    })
    .await;
}

#[tokio::test]
async fn what_is_kept_is_told_and_user_authentication_is_switched() {
    let rules = "keep:*=off; chat:*=30d,10000; few:*=5";
    let setup = Setup::new().env("AO_RETENTION__RULES", rules);
    let node = Node::embedded(setup.env("AO_ADMIN__AUTH_SWITCH", "false")).await;
    let kept = async |room: &str| node.done("retention", json!({ "roomId": room })).await;
    assert_eq!(kept("chat:1").await, json!({ "age": 30 * 86_400, "count": 10_000 }));
    assert_eq!(kept("few:1").await, json!({ "count": 5 }));
    assert_eq!((kept("keep:1").await, kept("x").await), (json!({}), json!({})));

    let switched = async |body: Value| node.done("config", body).await;
    assert_eq!(switched(json!({})).await, json!({ "forceUserAuth": true }));
    let refused = node.ask("config", &json!({ "forceUserAuth": false })).await;
    assert_eq!(problem(&refused), (403, "not-configured".into()));
    assert_eq!(switched(json!({ "forceUserAuth": true })).await, json!({ "forceUserAuth": true }));
    let node = Node::start().await;
    let off = json!({ "forceUserAuth": false });
    assert_eq!(node.done("config", off.clone()).await, off);
    assert_eq!(node.done("config", json!({})).await, off);
}
