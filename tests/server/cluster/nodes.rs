//! Nodes of a cluster, and clients that come to them.
use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use support::{
    client::{Client, Packet},
    http,
    server::{Server, Setup},
    soon,
};

/// Between two looks at something that nobody announces.
pub const STEP: Duration = Duration::from_millis(50);

/// A node on this Redis that lets in anybody, as often as they come, and that is quick to take
/// others for dead.
pub fn node(redis: &str) -> Setup {
    let setup = Setup::new()
        .env("AO_STORE__MESSAGES", redis)
        .env("AO_STORE__LEASE", "2s")
        .env("AO_AUTH__IGNORE", "true");
    setup.env("AO_AUTH__RATE_LIMIT", "1000000 in 60s")
}

/// Two of them, started alike.
pub async fn two(setup: impl Fn() -> Setup) -> [Server; 2] {
    let (a, b) = tokio::join!(setup().start(), setup().start());
    [a, b]
}

/// A member of a room, on a node that works.
pub async fn member(node: &Server, uid: &str, room: &str) -> Client {
    let mut client = node.guest().await;
    client.sign_in(uid, "any").await;
    client.join(room).await;
    client
}

/// A member of a room, on a node that may not work at the moment: comes back until it is let in, as
/// clients do.
pub async fn come(address: SocketAddr, uid: &str, room: &str) -> Client {
    let coming = async {
        loop {
            if let Some(client) = try_come(address, uid, room).await {
                return client;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    soon(format!("{uid} in {room}"), coming).await
}

/// As [`come`], once: nothing where it is not let in.
pub async fn try_come(address: SocketAddr, uid: &str, room: &str) -> Option<Client> {
    let mut client = Client::try_connect(address).await.ok()?;
    for (event, payload) in [
        ("authenticate", json!({ "uid": uid, "token": "any" })),
        ("join", json!({ "roomId": room })),
    ] {
        client.emit(event, &payload);
        match client.next().await {
            Packet::Event(name, answer) if name == event && answer["status"] == 0 => {}
            _ => return None,
        }
    }
    Some(client)
}

/// Waits until something that can only be looked at is so.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(STEP).await;
        }
    };
    soon(what, wait).await;
}

/// Waits until the node says of itself that it is ready, or that it is not.
pub async fn readiness(node: &Server, ready: bool) {
    let status = if ready { 200 } else { 503 };
    eventually(&format!("readiness {status}"), async || {
        http::get(node.websocket(), "/readyz").await.status == status
    })
    .await;
    assert_eq!(http::get(node.websocket(), "/livez").await.status, 200, "it lives in any case");
}

/// The answer of a route for administrators.
pub async fn ask(node: &Server, path: &str) -> Value {
    let (uid, token) = node.admin();
    let sign = if path.contains('?') { '&' } else { '?' };
    http::get(node.websocket(), &format!("/admin/{path}{sign}uid={uid}&token={token}")).await.json()
        ["data"]
        .take()
}

/// No task of it has panicked, and it ends when it is told to.
pub async fn ends_well(mut node: Server) {
    assert_eq!(node.terminate().await, 0, "{}", node.stderr());
    assert!(!node.stderr().contains("panicked"), "a task panicked: {}", node.stderr());
}
