//! What is the same for all methods: credentials, bodies, paths, the document, metrics.
use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{Node, done, insert, pointers, problem};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use support::{
    http::{self, raw},
    server::Setup,
    soon,
};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn only_administrators_are_served() {
    // The open rule of the old routes, in its widest form, has no effect here.
    let server = Node::embedded(Setup::new().env("AO_API__OPEN", "true")).await;
    let (uid, token) = server.admin();
    let body = json!({ "roomId": "a" }).to_string();
    let with = async |headers: &[(&str, &str)], query: &str| {
        let mut all = vec![JSON];
        all.extend(headers);
        http::request(server.api(), "POST", &format!("/v1/members{query}"), &all, &body).await
    };
    let basic = server.authorization.clone();
    let bearer = format!("Bearer {uid}:{token}");
    for good in [&basic, &bearer] {
        done(&with(&[("authorization", good)], "").await);
    }
    let user = server.create_token("ann").await;
    for wrong in [
        format!("Bearer {uid}:{token}x"),
        format!("Bearer {token}"),
        format!("Bearer ann:{user}"),
        format!("Basic {token}"),
        "Basic".to_owned(),
        String::new(),
    ] {
        let answer = with(&[("authorization", &wrong)], "").await;
        assert_eq!(problem(&answer), (401, "unauthorized".into()), "{wrong}");
        assert!(answer.head.to_ascii_lowercase().contains("www-authenticate: basic"), "{answer:?}");
    }
    let query = format!("?uid={uid}&token={token}");
    for answer in [
        with(&[], "").await,
        with(&[], &query).await,
        with(&[("authorization", &basic), ("authorization", &bearer)], "").await,
    ] {
        assert_eq!(problem(&answer), (401, "unauthorized".into()));
    }
    // Before anything else is looked at.
    let answer = http::request(server.api(), "POST", "/v1/members", &[], "x").await;
    assert_eq!(answer.status, 401);
    let answer = http::get(server.api(), "/v1/stat").await;
    assert_eq!(problem(&answer), (401, "unauthorized".into()));
}

#[tokio::test]
async fn paths_and_http_methods_are_exact() {
    let server = Node::start().await;
    for (method, path, status, word) in [
        ("POST", "/v1/nothing", 404, "no-such-method"),
        ("POST", "/v1/", 404, "no-such-method"),
        ("GET", "/v1", 404, "no-such-method"),
        ("POST", "/v1/publish/", 404, "no-such-method"),
        ("POST", "/v1/Publish", 404, "no-such-method"),
        ("POST", "/v1/%70ublish", 404, "no-such-method"),
        ("GET", "/v1/publish", 405, "method-not-allowed"),
        ("PUT", "/v1/publish", 405, "method-not-allowed"),
        ("OPTIONS", "/v1/publish", 405, "method-not-allowed"),
        ("POST", "/v1/stat", 405, "method-not-allowed"),
        ("DELETE", "/v1/docs", 405, "method-not-allowed"),
    ] {
        let answer = http::request(server.api(), method, path, &[JSON], "{}").await;
        assert_eq!(problem(&answer), (status, word.into()), "{method} {path}");
        let allow =
            (status == 405).then(|| if path == "/v1/publish" { "POST" } else { "GET, HEAD" });
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    // Elsewhere there is no such thing.
    assert_eq!(http::get(server.websocket(), "/v1/docs").await.status, 404);
}

#[tokio::test]
async fn bodies_are_json_objects_and_nothing_else() {
    let server = Node::start().await;
    let authorization = &*server.authorization;
    let with = async |kind: &[(&str, &str)], body: &str| {
        let mut all = vec![("authorization", authorization)];
        all.extend(kind);
        http::request(server.api(), "POST", "/v1/members", &all, body).await
    };
    let good = r#"{"roomId":"a"}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answer = with(&[("content-type", kind)], good).await;
        assert_eq!(problem(&answer), (415, "unsupported-media-type".into()), "{kind}");
    }
    assert_eq!(with(&[], good).await.status, 415);
    assert_eq!(with(&[JSON, ("content-encoding", "br")], good).await.status, 415);
    done(&with(&[("content-type", "Application/JSON; charset=utf-8")], good).await);
    done(&with(&[JSON], &format!("\u{feff}{good}")).await);
    for broken in ["", "{", r#"{"roomId":"a"}x"#, "{'roomId':'a'}", "roomId=a"] {
        let answer = with(&[JSON], broken).await;
        assert_eq!(problem(&answer), (400, "malformed-request".into()), "{broken}");
    }
    assert_eq!(with(&[JSON, ("content-encoding", "gzip")], good).await.status, 400);
    for other in ["null", "[]", "7", r#""roomId""#] {
        assert_eq!(pointers(&with(&[JSON], other).await), ["#"], "{other}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(pointers(&with(&[JSON], &format!(r#"{{"roomId":{deep}}}"#)).await), ["#/roomId"]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(format!(r#"{{"roomId":"{}"}}"#, "x".repeat(30 << 20)).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let mut request = format!(
        "POST /v1/members HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: {authorization}\r\n\
         content-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        server.api(),
        packed.len()
    )
    .into_bytes();
    request.extend(packed);
    let answer = raw(server.api(), &request).await.unwrap();
    assert_eq!(problem(&answer), (413, "too-large".into()));
    let large = format!(r#"{{"roomId":"{}"}}"#, "x".repeat(30 << 20));
    // It may be answered before all of it was sent, and then the connection may be reset.
    if let Ok(answer) = raw_json(&server, &large).await {
        assert_eq!(answer.status, 413);
    }
    done(&with(&[JSON], good).await);
}

async fn raw_json(server: &Node, body: &str) -> std::io::Result<http::Answer> {
    let head = format!(
        "POST /v1/members HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.api(),
        server.authorization,
        body.len()
    );
    raw(server.api(), [head.as_bytes(), body.as_bytes()].concat().as_slice()).await
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_body_is_named() {
    let server = Node::start().await;
    let wrong = async |method: &str, body: Value| pointers(&server.ask(method, &body).await);
    assert_eq!(wrong("publish", json!({})).await, ["#/roomId", "#/message"]);
    assert_eq!(
        wrong("publish", json!({ "room": "a", "roomId": "", "message": [], "uid": {} })).await,
        ["#/room", "#/roomId", "#/message", "#/uid"]
    );
    let long = "é".repeat(129); // 258 bytes
    assert_eq!(wrong("members", json!({ "roomId": long })).await, ["#/roomId"]);
    assert_eq!(wrong("members", json!({ "roomId": "x".repeat(257) })).await, ["#/roomId"]);
    done(&server.ask("members", &json!({ "roomId": "x".repeat(256) })).await);
    assert_eq!(wrong("members", json!({ "roomId": "a", "limit": 1001 })).await, ["#/limit"]);
    let rooms: Vec<String> = (0..1001).map(|i| format!("r{i}")).collect();
    let body = json!({ "roomIds": rooms, "message": {} });
    assert_eq!(wrong("broadcast", body).await, ["#/roomIds"]);
    let body = json!({ "roomIds": ["a", "", 0], "message": {} });
    assert_eq!(wrong("broadcast", body).await, ["#/roomIds/1", "#/roomIds/2"]);
    let body = json!({ "commands": [{ "publish": {} }, { "shout": {} }] });
    assert_eq!(wrong("batch", body).await, ["#/commands/1/shout"]);
    for key in ["", "\"", "é", &"k".repeat(256)] {
        let body = json!({ "roomIds": ["a"], "message": {} }).to_string();
        let answer = server.ask_with("batch", &[("idempotency-key", key)], &body).await;
        assert_eq!(problem(&answer), (400, "malformed-request".into()), "{key}");
    }
}

#[tokio::test]
async fn it_describes_itself_and_counts() {
    let server = Node::start().await;
    let document = http::get(server.api(), "/v1/openapi.json").await;
    let document = done(&document);
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/publish"]["post"]["responses"]["503"].is_object());
    let page = http::get(server.api(), "/v1/docs").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("content-security-policy").is_some_and(|p| p.contains("default-src 'none'"))
    );

    let _member = server.member("ann", "a").await;
    let authorization = [("authorization", &*server.authorization)];
    let stat = http::request(server.api(), "GET", "/v1/stat", &authorization, "").await;
    let stat = done(&stat);
    assert_eq!(
        (&stat["users"], &stat["rooms"], &stat["connections"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(stat["nodes"][0]["this"], true);

    done(&server.ask("publish", &json!({ "roomId": "a", "message": insert("x") })).await);
    pointers(&server.ask("publish", &json!({})).await);
    let metrics = http::get(server.api(), "/metrics").await.body;
    for line in [
        r#"always_online_api_requests_total{method="publish",status="200"} 1"#,
        r#"always_online_api_requests_total{method="publish",status="400"} 1"#,
        r#"always_online_api_request_seconds_count{method="publish"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn bodies_that_do_not_come_are_bounded_together() {
    let server = Node::start().await;
    let body = json!({ "roomId": "a", "message": insert(&"x".repeat(480_000)) });
    let head = format!(
        "POST /v1/publish HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: 4000000\r\n\r\n",
        server.api(),
        server.authorization
    );
    // Heads of large bodies, and nothing of the bodies, until there is no place for another one.
    let mut held = Vec::new();
    let refused = soon("a refusal", async {
        loop {
            let mut stream = TcpStream::connect(server.api()).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            held.push(stream);
            let answer = server.ask("publish", &body).await;
            if answer.status != 200 {
                return answer;
            }
        }
    });
    let refused = refused.await;
    assert_eq!(problem(&refused), (429, "too-many-requests".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!((30..200).contains(&held.len()), "{} bodies of 4 MB", held.len());
    drop(held);
    soon("a place", async { while server.ask("publish", &body).await.status != 200 {} }).await;
}
