//! What operators see of clients: lines of the log, and metrics.
use std::time::Duration;

use serde_json::{Value, json};

use super::people::{Pair, Person, counted, place, setup};
use support::{
    http,
    server::Server,
    soon,
    wire::socket::{CLOSE, FINAL, Socket, frame},
};

const ENDED: &str = "a connection has ended";
const CLIENTS: &str =
    r#"always_online_clients{dialect="wechat",carrier="websocket",version="none"}"#;

/// The fields of the first line that has this, when it comes.
async fn fields(server: &mut Server, what: &str) -> Value {
    let line: Value = serde_json::from_str(&server.logs(what).await).unwrap();
    line["fields"].clone()
}

#[track_caller]
fn says(fields: &Value, expected: &[(&str, Value)]) {
    for (name, value) in expected {
        assert_eq!(&fields[name], value, "{name} in {fields}");
    }
}

#[tokio::test]
async fn a_line_tells_of_each_client_that_has_ended() {
    let setup = setup()
        .env("AO_LOG__FORMAT", "json")
        .env("AO_LOG__CONNECTIONS", "true")
        .env("AO_LIMITS__PROXIES", "127.0.0.1");
    let mut server = setup.start().await;
    let ann = Person::new(&server).await;
    let forwarded = [("x-forwarded-for", "192.0.2.7")];
    let mut socket = ann.upgrade(&server, &forwarded).await.unwrap();
    assert!(socket.receive().await.unwrap().contains("wechat/save"));
    for text in [r#"{"type":"heartbeat","payload":{"time":1}}"#, "no frame", "{}"] {
        socket.send(text).await;
    }
    socket.write(&frame(FINAL | CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(socket.close_code().await, Some(1000));
    let line = fields(&mut server, ENDED).await;
    let user = |person: &Person| json!(format!("wechat\u{80}{}", person.phone));
    says(
        &line,
        &[
            ("dialect", json!("wechat")),
            ("carrier", json!("websocket")),
            ("version", json!("none")),
            ("uid", user(&ann)),
            ("address", json!("192.0.2.7")),
            ("why", json!("closed by the client")),
            ("messages_in", json!(3)),
            ("messages_out", json!(1)),
        ],
    );
    assert!(line["seconds"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["bytes_in"].as_u64().unwrap() > 50, "{line}");
    assert!(line["bytes_out"].as_u64().unwrap() > 50, "{line}");

    let ben = Person::new(&server).await;
    let mut older = ben.comes(&server).await;
    let _newer = ben.comes(&server).await;
    older.end().await;
    let line = fields(&mut server, "\"why\":\"kickout\"").await;
    says(&line, &[("uid", user(&ben)), ("address", json!("127.0.0.1"))]);
}

/// Paths have tokens in them, and lines about requests have paths.
#[tokio::test]
async fn no_line_has_a_token_in_it() {
    let mut server =
        setup().env("AO_LOG", "debug").env("AO_LOG__CONNECTIONS", "true").start().await;
    let ann = Person::new(&server).await;
    let socket = ann.comes(&server).await;
    let wrong = Person { phone: String::new(), token: format!("{}x", ann.token) };
    let mut refused = wrong.upgrade(&server, &[]).await.unwrap();
    assert_eq!(refused.close_code().await, Some(4000));
    assert_eq!(wrong.info(&server).await.status, 401);
    // None of them is a handshake.
    let path = format!("/wechat/{}", ann.token);
    let half = [("upgrade", "websocket"), ("sec-websocket-version", "13")];
    assert_eq!(http::request(place(&server), "GET", &path, &half, "").await.status, 400);
    assert_eq!(http::get(place(&server), &path).await.status, 401);
    let beyond = format!("{path}/more");
    assert!(Socket::upgrade(place(&server), &beyond, &[]).await.is_err());
    server.logs("a request was refused").await;
    drop(socket);
    server.logs(ENDED).await;
    assert_eq!(server.terminate().await, 0);
    let [_, payload, signature] = ann.token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for secret in
        [payload, &payload[..20], signature, &signature[..10], "known to all nodes", "password of"]
    {
        assert!(!server.stderr().contains(secret), "{secret} in {}", server.stderr());
    }
}

/// Waits until a metric says this.
async fn becomes(server: &Server, series: &str, value: f64) {
    soon(format!("{value} as {series}"), async {
        while counted(server, series).await != value {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_clients_do_is_counted() {
    let server = setup().start().await;
    let mut pair = Pair::come(&server).await;
    let stranger = Person::new(&server).await;
    assert_eq!(counted(&server, CLIENTS).await, 2.0);
    assert_eq!(counted(&server, r#"always_online_sign_ins_total{kind="jwt"}"#).await, 2.0);
    pair.are_well().await;
    let Pair { ann, ben, from_ann, .. } = &mut pair;
    for text in [
        r#"{"type":"heartbeat","payload":{"time":1}}"#.to_owned(),
        ben.message(ann, "as if it were Ben's"),
        ann.message(&stranger, "x"),
        ann.signal(ann, "x"),
    ] {
        from_ann.send(&text).await;
    }
    pair.are_well().await;
    let newer = pair.ben.comes(&server).await;
    pair.from_ben.end().await;
    pair.from_ben = newer;
    let wrong = Person { phone: String::new(), token: "a.b.c".to_owned() };
    assert_eq!(wrong.upgrade(&server, &[]).await.unwrap().close_code().await, Some(4000));
    for (series, value) in [
        (r#"always_online_events_total{event="msg",outcome="done"}"#, 8.0),
        (r#"always_online_events_total{event="msg",outcome="refused"}"#, 3.0),
        (r#"always_online_events_total{event="other",outcome="ignored"}"#, 1.0),
        (r#"always_online_refused_messages_total{reason="not allowed"}"#, 3.0),
        (r#"always_online_messages_total{storage="insert"}"#, 4.0),
        (r#"always_online_refusals_total{reason="kickout"}"#, 1.0),
        (r#"always_online_refusals_total{reason="wrong credentials"}"#, 1.0),
        (r#"always_online_refused_sign_ins_total{reason="wrong token"}"#, 1.0),
        (r#"always_online_sign_ins_total{kind="jwt"}"#, 3.0),
        (CLIENTS, 2.0),
    ] {
        becomes(&server, series, value).await;
    }
    drop(pair);
    for series in [CLIENTS, "always_online_connections", "always_online_members"] {
        becomes(&server, series, 0.0).await;
    }
}
