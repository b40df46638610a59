//! Tokens that are revoked while a node hears less than it believes.
use super::nodes::{ends_well, member, node};
use crate::support::{
    client::{Client, Packet},
    mute::Mute,
    own_redis::OwnRedis,
    server::{Ran, Server, Setup},
};

/// A node behind a way that may be muted. No lease ends within a test.
fn behind(way: &Mute) -> Setup {
    node(&format!("redis://{}/0", way.address)).env("AO_STORE__LEASE", "60s")
}

/// The command line reaches Redis by its own way.
async fn token(redis: &OwnRedis, node: &Server, action: &str, uid: &str) -> Ran {
    node.setup().clone().env("AO_STORE__MESSAGES", redis.url()).args(["token", action, uid]).run().await
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
    token(&redis, &node, "revoke", "anna").await.fails(1, &["the token is dead", "has not confirmed"]);
    way.cut();
    is_refused(&mut anna).await;
    token(&redis, &node, "revoke", "anna").await.fails(5, &["anna does not exist"]);
    ends_well(node).await;
}
