//! Limits: newcomers beyond one are told so, who is there notices nothing, and nothing is left of
//! it when they have gone.
use std::time::Duration;

use serde_json::json;
use support::{
    client::Client,
    http::{self, Answer},
    server::{Server, Setup},
    soon,
};

/// Waits until somebody is let in.
async fn let_in(server: &Server) -> Client {
    let tried = async {
        loop {
            if let Ok(client) = Client::try_connect(server.websocket()).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a place", tried).await
}

/// What the metrics say of refused newcomers, by this reason.
async fn refused(server: &Server, reason: &str) -> u64 {
    let page = http::get(server.api(), "/metrics").await.body;
    let name = format!("always_online_refused_newcomers_total{{reason=\"{reason}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

fn is_told(answer: &Answer, status: u16, why: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
    assert_eq!(answer.json(), json!({ "error": why }));
}

/// A handshake of a client that polls, as a proxy passes it on.
async fn poll(server: &Server, forwarded: &str) -> Answer {
    let headers = [("x-forwarded-for", forwarded)];
    let path = "/socket.io/?EIO=4&transport=polling";
    http::request(server.websocket(), "GET", path, &headers, "").await
}

#[tokio::test]
async fn a_full_server_refuses_newcomers_and_stays_ready() {
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS", "2")
        .env("AO_AUTH__IGNORE", "true")
        .start()
        .await;
    let (anna, ben) = (server.member("anna", "attic").await, let_in(&server).await);
    let error = Client::try_connect(server.websocket()).await.err().unwrap_or_default();
    assert!(error.contains("503"), "{error}");
    let answer = http::get(server.websocket(), "/socket.io/?EIO=4&transport=polling").await;
    is_told(&answer, 503, "this server has as many connections as it may have");

    // Who sends clients here, and who looks after it, notices nothing.
    assert_eq!(http::get(server.websocket(), "/readyz").await.status, 200);
    assert_eq!(http::get(server.websocket(), "/livez").await.status, 200);
    assert!(refused(&server, "connections").await >= 2);
    anna.send(&json!({ "storage": "insert", "data": 1 })).await;

    ben.close().await;
    let _carl = let_in(&server).await;
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let server = Setup::new().env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1").start().await;
    let anna = server.guest().await;
    let error = Client::try_connect(server.websocket()).await.err().unwrap_or_default();
    assert!(error.contains("429"), "{error}");
    assert!(refused(&server, "address").await >= 1);
    anna.close().await;
    let_in(&server).await;
}

#[tokio::test]
async fn behind_a_believed_proxy_clients_are_told_apart() {
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_LIMITS__PROXIES", "127.0.0.1")
        .start()
        .await;
    let first = poll(&server, "198.51.100.7, 192.0.2.1").await;
    assert_eq!(first.status, 200, "{}", first.body);
    is_told(&poll(&server, "192.0.2.1").await, 429, "too many connections from this address");
    assert_eq!(poll(&server, "192.0.2.2").await.status, 200);
    // It says goodbye, and leaves its place.
    let open: serde_json::Value = serde_json::from_str(&first.body[1..]).unwrap();
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", open["sid"].as_str().unwrap());
    assert_eq!(http::request(server.websocket(), "POST", &path, &[], "1").await.status, 200);
    let again = async {
        while poll(&server, "192.0.2.1").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a place for that address", again).await;
}

#[tokio::test]
async fn a_websocket_behind_a_believed_proxy_has_a_place_as_long_as_it_lasts() {
    use tokio_tungstenite::{connect_async, tungstenite::client::IntoClientRequest};
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_LIMITS__PROXIES", "127.0.0.1")
        .start()
        .await;
    let connect = async |client: &str| {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", server.websocket());
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
        connect_async(request).await.map_err(|error| error.to_string())
    };
    let first = connect("192.0.2.1").await.unwrap();
    let error = connect("192.0.2.1").await.map(|_| ()).unwrap_err();
    assert!(error.contains("429"), "{error}");
    connect("2001:db8::1").await.unwrap();
    drop(first);
    soon("a place for that address", async {
        while connect("192.0.2.1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn newcomers_beyond_the_rate_are_told_to_wait() {
    let server = Setup::new().env("AO_LIMITS__NEW_CONNECTIONS", "20 in 1h").start().await;
    let mut there = Vec::new();
    while let Ok(guest) = Client::try_connect(server.websocket()).await {
        there.push(guest);
        assert!(there.len() <= 20, "more than may come");
    }
    assert!(there.len() >= 10, "of those who wait for the server to start there are a few");
    let answer = http::get(server.websocket(), "/socket.io/?EIO=4&transport=polling").await;
    is_told(&answer, 503, "too many new connections at once");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(refused(&server, "rate").await >= 1);
}

#[tokio::test]
async fn at_the_bound_of_its_memory_it_takes_nobody_new_and_says_so() {
    let mut server = Setup::new().env("AO_LIMITS__MEMORY", "1 MiB").start().await;
    server.logs("no memory to spare").await;
    let answer = http::get(server.websocket(), "/socket.io/?EIO=4&transport=polling").await;
    is_told(&answer, 503, "this server has no memory to spare");
    assert_eq!(http::get(server.websocket(), "/readyz").await.status, 200);
    assert!(refused(&server, "memory").await >= 1);
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn who_sends_too_fast_is_read_later_and_loses_nothing() {
    let server = Setup::new()
        .env("AO_LIMITS__MESSAGES", "20 in 1s")
        .env("AO_AUTH__IGNORE", "true")
        .start()
        .await;
    let (fast, calm) =
        (server.member("fast", "attic").await, server.member("calm", "cellar").await);
    let sent: Vec<_> = (0..60)
        .map(|n| fast.sender().request("msg", &json!({ "storage": "insert", "1": n })))
        .collect();
    // Who is not fast is not concerned.
    calm.send(&json!({ "storage": "insert", "1": "calm" })).await;
    for answer in sent {
        let settled = soon("an acknowledgement", answer).await.expect("the connection lasts");
        assert_eq!(settled["status"], 0);
    }
    let page = http::get(server.api(), "/metrics").await.body;
    let slowed = page.lines().find_map(|line| line.strip_prefix("always_online_slowed_total "));
    assert!(slowed.is_some_and(|times| times.parse::<u64>().unwrap() > 0), "{slowed:?}");
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused_but_not_those_about_health() {
    let server = Setup::new().env("AO_LIMITS__REQUESTS_PER_ADDRESS", "2 in 1h").start().await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(http::get(server.api(), "/v1/docs").await);
    }
    assert_eq!([answers[0].status, answers[1].status], [200, 200]);
    is_told(&answers[2], 429, "too many requests from this address");
    for _ in 0..3 {
        assert_eq!(http::get(server.api(), "/livez").await.status, 200);
    }
}
