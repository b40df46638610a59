//! A node hears of a room as long as somebody is there, and of no other: shown by Redis itself.
use serde_json::json;

use super::nodes::{ends_well, eventually, member, node, two};
use support::own_redis::OwnRedis;

const MESSAGE: usize = 400 << 10;
const MESSAGES: usize = 50;

/// Nodes that listen to the room.
async fn listeners(redis: &OwnRedis) -> u64 {
    redis.run::<(String, u64)>("PUBSUB NUMSUB ao:0:room:attic").await.1
}

#[tokio::test]
async fn a_node_without_members_receives_nothing_of_a_room() {
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(|| node(&redis.url())).await;
    let anna = member(&nodes[0], "anna", "attic").await;
    let mut bert = member(&nodes[0], "bert", "attic").await;
    bert.event("remote_join").await;
    let cleo = member(&nodes[1], "cleo", "cellar").await;
    assert_eq!(listeners(&redis).await, 1);

    let text = "x".repeat(MESSAGE);
    let volume = (MESSAGE * MESSAGES) as u64;
    let mut copies = Vec::new();
    for expected in [1, 2] {
        let before = redis.info("stats", "total_net_output_bytes").await;
        for number in 0..MESSAGES {
            anna.send(&json!({ "s": 2, "1": number, "text": text })).await;
            assert_eq!(bert.event("msg").await["1"], number);
        }
        // Redis has handed over all of it: nothing of it waits in a buffer.
        eventually("empty buffers", async || {
            redis
                .run::<String>("CLIENT LIST TYPE pubsub")
                .await
                .lines()
                .all(|line| line.contains(" omem=0 "))
        })
        .await;
        let sent = redis.info("stats", "total_net_output_bytes").await - before;
        copies.push(sent / volume);
        assert!(
            sent >= volume * expected && sent < volume * expected + volume / 2,
            "{sent} bytes for {expected} copies of {volume}"
        );
        if expected == 1 {
            let dora = member(&nodes[1], "dora", "attic").await;
            assert_eq!(listeners(&redis).await, 2);
            assert_eq!(bert.event("remote_join").await, json!({ "uid": "dora" }));
            // She reads, or she would be dropped as too slow.
            tokio::spawn(async move {
                let mut dora = dora;
                while dora.next().await != support::client::Packet::Closed {}
            });
        }
    }
    assert_eq!(copies, [1, 2]);
    drop(cleo);
    for node in nodes {
        ends_well(node).await;
    }
}

#[tokio::test]
async fn a_room_that_everybody_has_left_is_listened_to_no_more() {
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(|| node(&redis.url())).await;
    let anna = member(&nodes[0], "anna", "attic").await;
    let mut bert = member(&nodes[1], "bert", "attic").await;
    bert.event("remote_join").await;
    assert_eq!(listeners(&redis).await, 2);
    anna.close().await;
    assert_eq!(bert.event("remote_disconnect").await, json!({ "uid": "anna" }));
    eventually("one listener", async || listeners(&redis).await == 1).await;
    // She comes again, and hears again.
    let mut anna = member(&nodes[0], "anna", "attic").await;
    assert_eq!(listeners(&redis).await, 2);
    assert_eq!(anna.event("remote_join").await, json!({ "uid": "bert" }));
    bert.send(&json!({ "1": "welcome" })).await;
    assert_eq!(anna.event("msg").await["1"], "welcome");
    for node in nodes {
        ends_well(node).await;
    }
    eventually("no listener", async || listeners(&redis).await == 0).await;
}
