//! The service that this one replaces kept messages in Redis and tokens in MongoDB. What it left is
//! served, and what is written now is as it wrote, so that it could come back.
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::nodes::{ends_well, node};
use support::{
    client::Client, database::Scratch, own_redis::OwnRedis, server::Server, stored::Stored,
};

async fn signed_in(node: &Server, uid: &str, token: &str) -> Client {
    let mut client = node.guest().await;
    client.sign_in(uid, token).await;
    client
}

/// Its two kinds of keys, and its two kinds of documents.
async fn left_behind(redis: &OwnRedis, scratch: &Scratch) {
    for number in 0..250 {
        let entry = format!(
            r#"{{"data":{{"s":0,"1":{number},"text":"né","2":"1000"}},"ts":{}}}"#,
            1_500_000_000 + number
        );
        redis.send::<()>(&["RPUSH", "msg_7_insert", &entry]).await;
    }
    for (id, ts) in [("late", 1_500_000_900), ("early", 1_500_000_100)] {
        let entry = format!(r#"{{"data":{{"s":1,"1":"{id}","2":"1000"}},"ts":{ts}}}"#);
        redis.send::<()>(&["HSET", "msg_7_update", id, &entry]).await;
    }
    let at = 1_500_000_000;
    let account = |uid: &str, token: &str| {
        doc! { "uid": uid, "token": token, "createTime": at, "updateTime": at }
    };
    scratch
        .collection("users")
        .await
        .insert_one(account("1000", "abcdefghijklmnopqrstuvwx"))
        .await
        .unwrap();
    scratch
        .collection("admins")
        .await
        .insert_one(account("ops", "ABCDEFGHIJKLMNOPQRSTUVWX"))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_the_original_left_is_served_and_what_is_written_it_could_read() {
    let (redis, scratch) = (OwnRedis::forgetful(&[]).await, Scratch::new());
    left_behind(&redis, &scratch).await;
    let setup = || {
        node(&redis.url())
            .without("AO_AUTH__IGNORE")
            .env("AO_STORE__TOKENS", &scratch.url)
            .env("AO_COMPAT", "deployed")
    };
    let nodes = [setup().start().await, setup().start().await];

    // A user with the token that it has, under its uid as a number, and a user that is made on one
    // node and comes to the other.
    let mut old = signed_in(&nodes[0], "1000", "abcdefghijklmnopqrstuvwx").await;
    let path = "/user/create_token?uid=ops&token=ABCDEFGHIJKLMNOPQRSTUVWX";
    let made = support::http::post(nodes[0].api(), path, &json!({ "uid": "2000" })).await.json();
    let mut new = signed_in(
        &nodes[1],
        "2000",
        made["data"]["token"].as_str().unwrap_or_else(|| panic!("{made}")),
    )
    .await;
    for client in [&mut old, &mut new] {
        client.emit("join", &json!({ "roomId": 7 }));
        assert_eq!(client.until("join").await["status"], 0);
        let stored = Stored::walk(client, false).await;
        let numbers: Vec<Value> = stored.inserts.iter().map(|m| m["1"].clone()).collect();
        assert_eq!(numbers, (0..250).map(Value::from).collect::<Vec<_>>());
        assert_eq!(stored.inserts[9], json!({ "s": 0, "1": 9, "text": "né", "2": "1000" }));
        let updates: Vec<&Value> = stored.updates.iter().map(|m| &m["1"]).collect();
        assert_eq!(updates, ["early", "late"]);
    }

    new.send(&json!({ "s": 0, "1": "appended", "text": "\u{1F389}" })).await;
    new.send(&json!({ "s": 1, "1": "early", "v": 2 })).await;
    new.send(&json!({ "s": 2, "1": "ignored" })).await;
    let stored = Stored::walk(&mut old, true).await;
    assert_eq!(
        stored.inserts[250],
        json!({ "s": 0, "1": "appended", "text": "\u{1F389}", "2": "2000" })
    );
    assert_eq!(stored.updates[1], json!({ "s": 1, "1": "early", "v": 2, "2": "2000" }));

    // As the original reads: an object with the message in `data` and seconds in `ts`.
    let read = |entry: String| -> Value { serde_json::from_str(&entry).unwrap() };
    let appended = read(redis.run("LINDEX msg_7_insert -1").await);
    let updated = read(redis.run("HGET msg_7_update early").await);
    assert_eq!(
        appended["data"],
        json!({ "s": 0, "1": "appended", "text": "\u{1F389}", "2": "2000" })
    );
    assert_eq!(updated["data"], json!({ "s": 1, "1": "early", "v": 2, "2": "2000" }));
    let now: Vec<u64> =
        redis.run::<Vec<String>>("TIME").await.iter().map(|n| n.parse().unwrap()).collect();
    for entry in [&appended, &updated] {
        assert!(entry["ts"].as_u64().unwrap().abs_diff(now[0]) < 600, "{entry}");
    }
    assert_eq!(redis.run::<u64>("LLEN msg_7_insert").await, 251);
    assert_eq!(
        redis.run::<u64>("EXISTS msg_7_ignore msg_7_update_backup").await,
        0,
        "copies are off by default"
    );
    let user: Document = scratch
        .collection("users")
        .await
        .find_one(doc! { "uid": "2000" })
        .await
        .unwrap()
        .expect("a user");
    assert_eq!(user.get_str("token").unwrap().len(), 24, "{user}");
    for field in ["createTime", "updateTime"] {
        let time = user.get(field).and_then(|t| {
            t.as_i64().or(t.as_i32().map(i64::from)).or(t.as_f64().map(|t| t as i64))
        });
        assert!(time.is_some_and(|time| time.unsigned_abs().abs_diff(now[0]) < 600), "{user}");
    }
    for node in nodes {
        ends_well(node).await;
    }
}
