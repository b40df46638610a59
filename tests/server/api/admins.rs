//! Administrators who only read, and the log of what the others change.
use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use support::{http, own_redis::OwnRedis, server::Setup, soon};

use super::{Node, basic, done, everywhere, insert, problem, two, unique};

/// An administrator who only reads, made by the command line beside a server.
async fn reader(node: &Node) -> (String, String) {
    let uid = unique("eve");
    let made = node.setup().clone().args(["admin", "create", &uid, "--role", "reader"]).run().await;
    (uid, made.succeeds().trim().to_owned())
}

/// What somebody else than the first administrator is answered.
async fn ask_as(node: &Node, by: &(String, String), method: &str, body: &Value) -> http::Answer {
    let authorization = basic(&by.0, &by.1);
    let headers = [("content-type", "application/json"), ("authorization", &*authorization)];
    http::request(node.api(), "POST", &format!("/v1/{method}"), &headers, &body.to_string()).await
}

#[tokio::test]
async fn readers_see_everything_and_change_nothing_on_every_node() {
    everywhere(async |[a, b], store| {
        let room = &unique(store);
        let member = a.newcomer(&unique("ann"), room).await;
        a.done("publish", json!({ "roomId": room, "message": insert("one") })).await;
        let eve = reader(a).await;
        for node in [a, b] {
            let who = done(&ask_as(node, &eve, "whoami", &json!({})).await);
            assert_eq!(who, json!({ "uid": eve.0, "role": "reader" }));
            let seen = done(&ask_as(node, &eve, "history", &json!({ "roomId": room })).await);
            assert_eq!(seen["messages"][0]["data"]["text"], "one");
            for (method, body) in [
                ("members", json!({ "roomId": room })),
                ("rooms", json!({})),
                ("users", json!({})),
                ("hooks/failed", json!({})),
                ("audit", json!({})),
            ] {
                done(&ask_as(node, &eve, method, &body).await);
            }
            for (method, body) in [
                ("publish", json!({ "roomId": room, "message": insert("two") })),
                ("broadcast", json!({ "roomIds": [room], "message": insert("two") })),
                ("batch", json!({ "commands": [{ "clear": { "roomId": room } }] })),
                ("clear", json!({ "roomId": room })),
                ("trim", json!({ "roomId": room, "keep": 0 })),
                ("kick", json!({ "uid": "ann", "roomId": room })),
                ("disconnect", json!({ "uid": "ann" })),
                ("revoke", json!({ "uid": "ann" })),
                ("token/create", json!({ "uid": eve.0 })),
                ("token/refresh", json!({ "uid": "ann" })),
                ("token/revoke", json!({ "uid": "ann" })),
                ("erase", json!({ "uid": "ann" })),
                ("hooks/replay", json!({ "ids": ["x"] })),
                // Before anybody looks at what else is wrong with it.
                ("clear", json!("no body")),
            ] {
                let answer = ask_as(node, &eve, method, &body).await;
                assert_eq!(problem(&answer), (403, "read-only".into()), "{method}");
            }
        }
        let seen = a.done("history", json!({ "roomId": room })).await;
        assert_eq!(seen["messages"].as_array().unwrap().len(), 1);
        drop(member);
    })
    .await;
}

#[tokio::test]
async fn readers_change_nothing_by_the_routes_of_old_either() {
    let node = Node::start().await;
    let (uid, token) = reader(&node).await;
    let as_eve =
        |path: &str| format!("{path}?uid={}&token={token}&roomId=a", uid.replace(' ', "%20"));
    let status = async |answer: http::Answer| answer.json()["meta"]["status"].clone();
    for path in ["stat", "room_users", "room_msgs"] {
        let path = as_eve(&format!("/admin/monitor/{path}"));
        assert_eq!(status(http::get(node.websocket(), &path).await).await, 0, "{path}");
    }
    for (path, body) in [
        ("push", json!({ "roomId": "a", "content": {} })),
        ("config", json!({ "forceUserAuth": false })),
        ("clear_room_msgs", json!({ "roomId": "a" })),
    ] {
        let path = as_eve(&format!("/admin/system/{path}"));
        assert_eq!(status(http::post(node.websocket(), &path, &body).await).await, 6, "{path}");
    }
    for path in ["/user/create_token", "/user/refresh_token"] {
        let answer = http::post(node.api(), &as_eve(path), &json!({ "uid": "ann" })).await;
        assert_eq!(status(answer).await, 6, "{path}");
    }
}

/// The log's entries, without their times: method, uid, room, outcome.
async fn entries(node: &Node) -> Vec<[String; 4]> {
    let page = node.done("audit", json!({})).await;
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |entry: &Value| {
        assert!(entry["at"].as_u64().unwrap() > 1_600_000_000_000, "{entry}");
        ["method", "uid", "roomId", "outcome"].map(|field| text(&entry[field]))
    };
    page["entries"].as_array().unwrap().iter().map(row).collect()
}

/// Both nodes write into one log, and both read it.
async fn what_is_changed_is_written_down(a: &Node, b: &Node, by: &str) {
    let [room, uid] = [unique("room"), unique("ann")];
    let (room, uid) = (&*room, &*uid);
    let member = a.newcomer(uid, room).await;
    a.done("publish", json!({ "roomId": room, "message": insert("private") })).await;
    b.done("trim", json!({ "roomId": room, "keep": 0 })).await;
    let commands = json!([
        { "publish": { "roomId": room, "message": insert("private") } },
        { "kick": { "roomId": room, "uid": uid } },
        { "clear": { "roomId": room } },
    ]);
    a.done("batch", json!({ "commands": commands })).await;
    let fresh = a.done("token/refresh", json!({ "uid": uid })).await;
    let nobody = json!({ "uid": unique("nobody") });
    assert_eq!(problem(&b.ask("token/revoke", &nobody).await), (404, "no-such-user".into()));
    // What is no request was no attempt, and what is asked again is done once.
    assert_eq!(b.ask("kick", &json!({ "uid": uid })).await.status, 400);
    let key = unique("key");
    for _ in 0..2 {
        done(&b.keyed(&key, "disconnect", &json!({ "uid": uid })).await);
    }
    for node in [a, b] {
        let expected = [
            ["disconnect", uid, "-", "done"],
            ["token/revoke", nobody["uid"].as_str().unwrap(), "-", "no-such-user"],
            ["token/refresh", uid, "-", "done"],
            ["clear", "-", room, "done"],
            ["kick", uid, room, "done"],
            ["trim", "-", room, "done"],
            ["token/create", uid, "-", "done"],
        ];
        assert_eq!(entries(node).await, expected.map(|row| row.map(str::to_owned)));
    }
    let page = a.done("audit", json!({})).await;
    let trim = &page["entries"][5];
    assert_eq!((&trim["asked"], &trim["given"]["removed"]), (&json!({ "keep": 0 }), &json!(1)));
    assert_eq!(page["entries"][0]["admin"], by);
    let all = page.to_string();
    let token = fresh["token"].as_str().unwrap();
    assert!(!all.contains("private") && !all.contains(token), "{all}");
    // In pages, nothing twice.
    let (mut cursor, mut paged) = (None, Vec::new());
    loop {
        let mut request = json!({ "limit": 2 });
        if let Some(cursor) = cursor {
            request["cursor"] = cursor;
        }
        let mut part = a.done("audit", request).await;
        paged.extend(part["entries"].as_array().unwrap().clone());
        match part["next"].take() {
            Value::Null => break,
            next => cursor = Some(next),
        }
    }
    assert_eq!(&Value::from(paged), &page["entries"]);
    drop(member);
}

#[tokio::test]
async fn what_administrators_change_is_written_down() {
    let node = Node::start().await;
    let (by, _) = node.admin();
    what_is_changed_is_written_down(&node, &node, &by).await;
}

#[tokio::test]
async fn all_nodes_write_into_one_log() {
    let scratch = support::database::Scratch::new();
    let [a, b] = two(&scratch).await;
    what_is_changed_is_written_down(&a, &b, "ops").await;
}

#[tokio::test]
async fn the_routes_of_old_are_in_the_log_and_the_log_outlives_a_restart() {
    let mut node = Node::embedded(Setup::new().env("AO_LOG", "warn,audit=info")).await;
    let (uid, token) = node.admin();
    let as_admin = |path: &str| format!("/admin/system/{path}?uid={uid}&token={token}");
    http::post(node.websocket(), &as_admin("clear_room_msgs"), &json!({ "roomId": "a" })).await;
    let body = json!({ "forceUserAuth": "true" });
    http::post(node.websocket(), &as_admin("config"), &body).await;
    http::post(node.websocket(), &as_admin("push"), &json!({ "roomId": "a", "content": {} })).await;
    node.server.terminate().await;
    let log = node.server.stderr();
    assert_eq!(log.matches("an administrator made a change").count(), 2, "{log}");
    assert!(!log.contains(&token), "{log}");
    node.server.restart().await;
    let rows = entries(&node).await;
    let methods: Vec<_> = rows.iter().map(|[method, _, room, _]| (&**method, &**room)).collect();
    assert_eq!(methods, [("config", "-"), ("clear", "a")]);
}

#[tokio::test]
async fn how_the_routes_of_old_end_is_said_as_the_api_says_it() {
    let node = Node::embedded(Setup::new().env("AO_ADMIN__AUTH_SWITCH", "false")).await;
    let (uid, token) = node.admin();
    let ask = async |path: &str, body: Value| {
        let path = format!("/admin/system/{path}?uid={uid}&token={token}");
        http::post(node.websocket(), &path, &body).await.json()["meta"]["status"].clone()
    };
    assert_eq!(ask("config", json!({ "forceUserAuth": false })).await, 2);
    assert_eq!(ask("config", json!({ "forceUserAuth": "maybe" })).await, 4);
    assert_eq!(ask("clear_room_msgs", json!({})).await, 4);
    let refused = node.ask("config", &json!({ "forceUserAuth": false })).await;
    assert_eq!(problem(&refused), (403, "not-configured".into()));
    // What is no request was no attempt.
    let entry = ["config", "-", "-", "not-configured"].map(str::to_owned);
    assert_eq!(entries(&node).await, [entry.clone(), entry]);
}

#[tokio::test]
async fn who_hangs_up_leaves_no_change_that_is_not_written_down() {
    let redis = OwnRedis::durable().await;
    let node = Node::embedded(Setup::new().env("AO_STORE__MESSAGES", redis.url())).await;
    let (uid, token) = node.admin();
    redis.pause();
    let mut client = TcpStream::connect(node.websocket()).await.unwrap();
    let target = format!("/admin/system/clear_room_msgs?uid={uid}&token={token}&roomId=a");
    let request = format!("POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    // It has begun, and nobody can say when.
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(200)).await;
    redis.resume();
    soon("the entry", async {
        while entries(&node).await != [["clear", "-", "a", "done"].map(str::to_owned)] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
