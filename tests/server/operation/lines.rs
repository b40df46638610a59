//! Lines of the log that programs read: of connections that have ended, and of requests that were
//! refused. In none of them is a token or a query.
use std::{fs, time::Duration};

use serde_json::{Value, json};
use support::{
    client::{Client, Packet},
    http,
    server::{Server, Setup},
    soon,
};

const ENDED: &str = "a connection has ended";

/// Everything that is logged, as JSON.
fn logging() -> Setup {
    Setup::new().env("AO_LOG__FORMAT", "json").env("AO_LOG__CONNECTIONS", "true")
}

/// The fields of the first line that has this, when it comes.
async fn fields(server: &mut Server, what: &str) -> Value {
    let line: Value = serde_json::from_str(&server.logs(what).await).unwrap();
    assert_eq!(line["level"], "INFO");
    line["fields"].clone()
}

#[track_caller]
fn says(fields: &Value, expected: &[(&str, Value)]) {
    for (name, value) in expected {
        assert_eq!(&fields[name], value, "{name} in {fields}");
    }
}

#[tokio::test]
async fn a_line_tells_of_each_connection_that_has_ended() {
    let mut server = logging().start().await;
    let token = server.token("anna").await;
    let anna = server.member("anna", "attic").await;
    anna.send(&json!({ "storage": "insert", "1": "x".repeat(1000) })).await;
    anna.close().await;
    let line = fields(&mut server, ENDED).await;
    says(
        &line,
        &[
            ("message", json!(ENDED)),
            ("dialect", json!("always_online")),
            ("carrier", json!("websocket")),
            ("version", json!("4")),
            ("uid", json!("anna")),
            ("address", json!("127.0.0.1")),
            ("why", json!("closed by the client")),
            ("messages_in", json!(3)),
            ("messages_out", json!(3)),
        ],
    );
    assert!(line["seconds"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["bytes_in"].as_u64().unwrap() > 1000, "{line}");
    let sent = line["bytes_out"].as_u64().unwrap();
    assert!((100..100_000).contains(&sent), "{line}");
    assert!(!server.stderr().contains(&token));
}

#[tokio::test]
async fn the_line_says_why_the_server_has_ended_it() {
    let mut server = logging().start().await;
    let mut nobody = server.guest().await;
    nobody.emit("authenticate", &json!({ "uid": "anna", "token": "open sesame" }));
    nobody.rest().await;
    let line = fields(&mut server, "\"why\":\"wrong credentials\"").await;
    says(&line, &[("uid", Value::Null), ("messages_in", json!(1))]);

    let mut first = server.member("ben", "attic").await;
    let _second = server.client("ben").await;
    while first.next().await != Packet::Closed {}
    let line = fields(&mut server, "\"why\":\"kickout\"").await;
    says(&line, &[("uid", json!("ben"))]);
    assert!(!server.stderr().contains("open sesame"));
}

#[tokio::test]
async fn there_is_no_such_line_where_nobody_asks_for_it() {
    let setup = Setup::new();
    let file = setup.scratch().join("always-online.toml");
    fs::write(&file, "").unwrap();
    let flag = ["--config".to_owned(), file.to_str().unwrap().to_owned()];
    let mut server = setup.args(flag).start().await;
    server.member("anna", "attic").await.close().await;
    fs::write(&file, "[log]\nconnections = true\n").unwrap();
    server.signal("HUP");
    server.logs("the configuration was read again").await;
    server.member("ben", "attic").await.close().await;
    let line = server.logs(ENDED).await;
    assert!(line.contains("ben"), "{line}");
    assert_eq!(server.stderr().matches(ENDED).count(), 1);
}

#[tokio::test]
async fn a_line_tells_of_a_client_of_gotapi() {
    let mut server = logging().env("AO_GOTAPI__LISTEN", "127.0.0.1:0").start().await;
    let url = format!("ws://{}/attic", server.address("gotapi"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.close(None).await.unwrap();
    let line = fields(&mut server, ENDED).await;
    says(
        &line,
        &[
            ("dialect", json!("gotapi")),
            ("version", json!("none")),
            ("uid", Value::Null),
            ("why", json!("closed by the client")),
            ("messages_in", json!(0)),
        ],
    );
}

#[tokio::test]
async fn a_flood_of_refused_requests_makes_few_lines_without_what_is_secret() {
    let mut server = Setup::new().env("AO_LOG__FORMAT", "json").start().await;
    for _ in 0..100 {
        let answer = http::get(server.websocket(), "/nowhere?uid=anna&token=sesame").await;
        assert_eq!(answer.status, 404);
        let headers = [("authorization", "Bearer anna:sesame")];
        let answer = http::request(server.api(), "GET", "/v1/stat?x=sesame", &headers, "").await;
        assert_eq!(answer.status, 401);
    }
    let line = fields(&mut server, "a request was refused").await;
    says(
        &line,
        &[
            ("status", json!(404)),
            ("method", json!("GET")),
            ("path", json!("/nowhere")),
            ("address", json!("127.0.0.1")),
        ],
    );
    let line = fields(&mut server, "a request to the API was refused").await;
    says(
        &line,
        &[
            ("status", json!(401)),
            ("method", json!("stat")),
            ("problem", json!("unauthorized")),
            ("address", json!("127.0.0.1")),
        ],
    );
    let log = server.stderr();
    assert!(!log.contains("sesame"), "{log}");
    // One in ten seconds, however long this has taken.
    for what in ["a request was refused", "a request to the API was refused"] {
        let lines = log.lines().filter(|line| line.contains(what)).count();
        assert!(lines < 10, "{lines} of {what}");
    }
}

#[tokio::test]
async fn handshakes_that_are_refused_are_told_of() {
    let mut server = Setup::new().env("AO_LIMITS__CONNECTIONS", "1").start().await;
    let _anna = server.guest().await;
    let refused = async {
        while Client::try_connect(server.websocket()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a refusal", refused).await;
    let line = server.logs("a newcomer is refused").await;
    for field in ["status=503", "why=\"connections\"", "address=127.0.0.1"] {
        assert!(line.contains(field), "{field} in {line}");
    }
}
