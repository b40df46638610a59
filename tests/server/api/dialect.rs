//! Methods that a dialect adds, in the frame of all others: who may call what, the audit log, the
//! metrics, the documents. What they do is tested with clients of that dialect (tests/clients).
use serde_json::{Value, json};

use support::{http, server::Setup};

use super::{Node, basic, done, pointers, problem};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn start() -> Node {
    Node::embedded(Setup::new().env("AO_CHAT_SERVICE__ENABLED", "true")).await
}

#[tokio::test]
async fn paths_come_before_credentials_and_these_before_bodies() {
    let node = start().await;
    for (verb, path, status, word) in [
        ("GET", "/v1/chat-service/nothing", 404, "no-such-method"),
        ("POST", "/v1/chat-service", 404, "no-such-method"),
        ("POST", "/v1/chat-service/", 404, "no-such-method"),
        ("POST", "/v1/chat-service/hasuser", 404, "no-such-method"),
        ("POST", "/v1/hasUser", 404, "no-such-method"),
        ("GET", "/v1/chat-service/hasUser", 405, "method-not-allowed"),
        ("POST", "/v1/chat-service/hasUser", 401, "unauthorized"),
    ] {
        let answer = http::request(node.api(), verb, path, &[JSON], "{").await;
        assert_eq!(problem(&answer), (status, word.into()), "{verb} {path}");
    }
    let malformed = node.ask_with("chat-service/hasUser", &[], "{").await;
    assert_eq!(problem(&malformed), (400, "malformed-request".into()));
    let wrong = node.ask("chat-service/hasUser", &json!({ "more": 1 })).await;
    assert_eq!(pointers(&wrong), ["#/more", "#/userName"]);
    let (uid, token) = node.admin();
    for (query, status) in [
        (format!("uid={uid}&token={token}"), 200),
        (format!("uid={uid}&token=x"), 401),
        (format!("uid={uid}"), 401),
    ] {
        let path = format!("/v1/chat-service/hasUser?{query}");
        let body = r#"{"userName":"ann"}"#;
        assert_eq!(http::request(node.api(), "POST", &path, &[JSON], body).await.status, status);
    }
    // Where there is no such dialect there are no such methods.
    let other = Node::start().await;
    let answer = other.ask("chat-service/hasUser", &json!({ "userName": "ann" })).await;
    assert_eq!(problem(&answer), (404, "no-such-method".into()));
}

#[tokio::test]
async fn readers_call_what_reads_and_nothing_else() {
    let node = start().await;
    let made =
        node.setup().clone().args(["admin", "create", "eve", "--role", "reader"]).run().await;
    let authorization = basic("eve", made.succeeds().trim());
    let ask = async |method: &str, body: Value| {
        let headers = [JSON, ("authorization", &*authorization)];
        let path = format!("/v1/chat-service/{method}");
        http::request(node.api(), "POST", &path, &headers, &body.to_string()).await
    };
    node.done("chat-service/addRoom", json!({ "roomName": "r" })).await;
    let listed = done(&ask("listRooms", json!({})).await);
    assert_eq!(listed["result"]["rooms"][0]["roomName"], "r");
    for (method, body) in [
        ("deleteRoom", json!({ "roomName": "r" })),
        ("execUserCommand", json!({ "command": "roomMessage", "args": [] })),
        ("emitToChannel", json!({ "channel": "r", "eventName": "e", "args": [] })),
        ("deleteRoom", json!("no body")),
    ] {
        assert_eq!(problem(&ask(method, body).await), (403, "read-only".into()), "{method}");
    }
    assert_eq!(done(&ask("hasRoom", json!({ "roomName": "r" })).await)["result"], true);
}

#[tokio::test]
async fn what_is_changed_is_audited_and_a_failure_has_its_code() {
    let node = start().await;
    node.done("chat-service/addRoom", json!({ "roomName": "r" })).await;
    let again = node.ask("chat-service/addRoom", &json!({ "roomName": "r" })).await;
    let told = again.json();
    assert_eq!((again.status, &told["type"]), (409, &json!("about:blank")));
    assert_eq!(told["title"], "Conflict");
    assert_eq!(told["instance"], "/v1/chat-service/addRoom");
    let named = [&told["name"], &told["code"], &told["args"]];
    assert_eq!(named, [&json!("ChatServiceError"), &json!("roomExists"), &json!(["r"])]);
    let run = async |command: &str, args: Value| {
        let body = json!({ "command": command, "args": args, "bypassPermissions": true });
        node.done("chat-service/execUserCommand", body).await
    };
    run("roomMessage", json!(["r", { "textMessage": "private" }])).await;
    run("roomAddToList", json!(["r", "blacklist", ["bob"]])).await;
    node.ask("chat-service/addUser", &json!({ "userName": "a:b" })).await; // nothing was tried
    let page = node.done("audit", json!({})).await;
    let rows: Vec<_> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            ["method", "roomId", "outcome"].map(|field| entry[field].as_str().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        rows,
        [
            ["chat-service/execUserCommand", "r", "done"],
            ["chat-service/addRoom", "r", "roomExists"],
            ["chat-service/addRoom", "r", "done"],
        ]
    );
    assert_eq!(page["entries"][0]["asked"]["names"], json!(["bob"]));
    assert!(!page.to_string().contains("private"), "{page}");
}

#[tokio::test]
async fn methods_are_in_the_documents_and_the_metrics() {
    let node = start().await;
    node.done("chat-service/hasUser", json!({ "userName": "ann" })).await;
    let document = http::get(node.api(), "/v1/openapi.json").await.json();
    assert!(document["paths"]["/v1/chat-service/hasUser"]["post"].is_object());
    assert!(document["paths"]["/v1/publish"]["post"].is_object());
    let page = http::get(node.api(), "/v1/docs").await;
    assert!(page.body.contains("id=\"chat-service/hasUser\""), "{}", page.body);
    let metrics = http::get(node.api(), "/metrics").await;
    let line = r#"always_online_api_requests_total{method="chat-service/hasUser",status="200"} 1"#;
    assert!(metrics.body.contains(line), "{}", metrics.body);
}
