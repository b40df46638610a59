//! Tokens that are revoked while a node hears less than it believes, and whether they are needed at
//! all.
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::nodes::{ends_well, eventually, member, node, two};
use support::{
    client::{Client, Packet},
    database::Scratch,
    http,
    mute::Mute,
    own_redis::OwnRedis,
    server::{Ran, Server, Setup},
    soon,
};

/// A node behind a way that may be muted. No lease ends within a test.
fn behind(way: &Mute) -> Setup {
    node(&format!("redis://{}/0", way.address)).env("AO_STORE__LEASE", "60s")
}

/// The command line reaches Redis by its own way.
async fn token(redis: &OwnRedis, node: &Server, action: &str, uid: &str) -> Ran {
    node.setup()
        .clone()
        .env("AO_STORE__MESSAGES", redis.url())
        .args(["token", action, uid])
        .run()
        .await
}

/// Refused: a DISCONNECT and nothing behind it.
async fn is_refused(client: &mut Client) {
    let rest = client.rest().await;
    assert!(rest.iter().any(|packet| matches!(packet, Packet::Disconnect)), "{rest:?}");
}

#[tokio::test]
async fn a_revocation_reaches_a_node_that_is_deaf_without_knowing() {
    let redis = OwnRedis::forgetful(&[]).await;
    let way = Mute::before(redis.address()).await;
    let node = behind(&way).start().await;
    token(&redis, &node, "create", "anna").await.succeeds();
    let mut anna = member(&node, "anna", "attic").await;
    let mut bert = member(&node, "bert", "attic").await;
    assert_eq!(bert.event("remote_join").await["uid"], "anna");
    way.mute_listeners();
    let ran = token(&redis, &node, "revoke", "anna").await;
    assert!(ran.succeeds().starts_with("open connections: 1, ended by the server "), "{ran:?}");
    is_refused(&mut anna).await;
    assert_eq!(bert.event("remote_disconnect").await["uid"], "anna");
    way.cut();
    ends_well(node).await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_is_named_and_makes_up_for_it() {
    let redis = OwnRedis::forgetful(&[]).await;
    let way = Mute::before(redis.address()).await;
    let node = behind(&way).start().await;
    token(&redis, &node, "create", "anna").await.succeeds();
    let mut anna = member(&node, "anna", "attic").await;
    way.mute();
    token(&redis, &node, "revoke", "anna")
        .await
        .fails(1, &["the token is dead", "has not confirmed"]);
    way.cut();
    is_refused(&mut anna).await;
    token(&redis, &node, "revoke", "anna").await.fails(5, &["anna does not exist"]);
    ends_well(node).await;
}

/// All that several nodes share is elsewhere: the account in MongoDB, the session in Redis.
#[tokio::test]
async fn a_revocation_with_accounts_in_mongodb_ends_a_session_on_any_node() {
    let (redis, accounts) = (OwnRedis::forgetful(&[]).await, Scratch::new());
    let setup = || {
        node(&redis.url())
            .env("AO_STORE__LEASE", "60s")
            .env("AO_STORE__TOKENS", &accounts.url)
            .env("AO_AUTH__IGNORE", "false")
    };
    let nodes = two(setup).await;
    let mut members = Vec::new();
    for (uid, node) in [("anna", &nodes[0]), ("bert", &nodes[1])] {
        let secret = token(&redis, node, "create", uid).await.succeeds().trim().to_owned();
        let mut client = node.guest().await;
        client.sign_in(uid, &secret).await;
        client.join("attic").await;
        members.push((client, secret));
    }
    let (mut bert, _) = members.pop().unwrap();
    let (mut anna, secret) = members.pop().unwrap();
    assert_eq!(bert.event("remote_join").await["uid"], "anna");
    assert_eq!(anna.event("remote_join").await["uid"], "bert");

    // Told beside the node that she is not on.
    let ran = token(&redis, &nodes[1], "revoke", "anna").await;
    assert!(ran.succeeds().starts_with("open connections: 1, ended by the server "), "{ran:?}");
    is_refused(&mut anna).await;
    assert_eq!(bert.event("remote_disconnect").await["uid"], "anna");
    for node in &nodes {
        let mut guest = node.guest().await;
        guest.emit("authenticate", &json!({ "uid": "anna", "token": secret }));
        assert_eq!(guest.event("authenticate").await["status"], 1, "her token is dead");
    }
    bert.send(&json!({ "1": "he stays" })).await;
    for node in nodes {
        ends_well(node).await;
    }
}

#[tokio::test]
async fn a_revocation_between_the_check_of_a_token_and_the_claim_is_not_missed() {
    let redis = OwnRedis::forgetful(&[]).await;
    let node = node(&redis.url())
        .env("AO_STORE__LEASE", "60s")
        .env("AO_AUTH__IGNORE", "false")
        .start()
        .await;
    let secret = token(&redis, &node, "create", "anna").await.succeeds().trim().to_owned();
    let mut anna = node.guest().await;
    let mut aside = TcpStream::connect(redis.address()).await.unwrap();
    // Redis has accepted this connection before it is paused: it would read from it too late else.
    aside.write_all(b"PING\r\n").await.unwrap();
    let mut pong = [0; 7];
    soon("a pong", aside.read_exact(&mut pong)).await.unwrap();
    redis.pause();
    // Her token is good, and is checked; then the rate limit is asked for, in Redis.
    anna.emit("authenticate", &json!({ "uid": "anna", "token": secret }));
    let refresh = node.setup().clone().args(["token", "refresh", "anna"]).run().await;
    assert_ne!(refresh.succeeds().trim(), secret);
    // What waits in Redis' connections when it goes on is done before what it is asked after its
    // answers.
    aside
        .write_all(
            b"SET ao:revocations 9000000000000000\r\nSET ao:revoked:anna 9000000000000000\r\n",
        )
        .await
        .unwrap();
    redis.resume();
    let answer = anna.event("authenticate").await;
    assert_eq!(answer, json!({ "status": 1, "data": "auth failed, uid or token is wrong" }));
    is_refused(&mut anna).await;
    ends_well(node).await;
}

async fn lets_in_with_a_wrong_token(node: &Server) -> bool {
    let mut guest = node.guest().await;
    guest.emit("authenticate", &json!({ "uid": "mallory", "token": "wrong" }));
    guest.event("authenticate").await["status"] == 0
}

#[tokio::test]
async fn who_starts_while_no_lease_is_valid_opens_no_door() {
    let redis = OwnRedis::forgetful(&[]).await;
    let first = node(&redis.url()).start().await;
    assert!(lets_in_with_a_wrong_token(&first).await, "as it is configured");
    let (uid, secret) = first.admin();
    let path = format!("/admin/system/config?uid={uid}&token={secret}");
    assert_eq!(
        http::post(first.websocket(), &path, &json!({ "forceUserAuth": true })).await.json()["meta"]
            ["status"],
        0
    );
    assert!(!lets_in_with_a_wrong_token(&first).await);

    first.signal("STOP");
    eventually("the end of its lease", async || {
        let now: Vec<u64> = redis.run("TIME").await;
        redis.run::<u64>(&format!("ZCOUNT ao:nodes {} +inf", now[0] * 1000)).await == 0
    })
    .await;
    let second = node(&redis.url()).start().await;
    first.signal("CONT");
    for node in [&second, &first] {
        assert!(!lets_in_with_a_wrong_token(node).await);
    }
    for node in [first, second] {
        ends_well(node).await;
    }
}
