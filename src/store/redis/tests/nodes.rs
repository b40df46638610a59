//! Nodes that ask each other, where some are dead, deaf, or of another version.
use std::{sync::Arc, time::Duration};

use redis::Commands;

use super::{Keys, NodesHome, Redis};
use crate::{
    domain::nodes::NoAnswer,
    store::contract::nodes::{Node, Parts},
};

fn parts(store: Arc<Redis>) -> Parts {
    Parts { broker: store.broker(), cluster: store.cluster(), nodes: store }
}

impl NodesHome for Keys {
    async fn open(&self) -> Vec<Parts> {
        vec![parts(self.node().await), parts(self.node().await)]
    }
}

#[tokio::test]
async fn a_node_whose_lease_is_over_is_gone_and_one_that_hears_nothing_does_not_answer() {
    let keys = Keys::new();
    let (store, mut redis) = (keys.node().await, keys.connection());
    let asker = Node::begin(parts(store)).await;
    // A node of a version that knows of no questions is alive, and listens elsewhere.
    let nodes = keys.key("ao:nodes");
    let _: () = redis.zadd(&nodes, "old", 1_u64 << 50).unwrap();
    let _: () = redis.zadd(&nodes, "dead", 1).unwrap();
    assert_eq!(asker.asks("old", b"x").await, Err(NoAnswer::Late));
    assert_eq!(asker.asks("dead", b"x").await, Err(NoAnswer::Gone));
}

#[tokio::test]
async fn what_a_node_does_not_know_does_no_harm() {
    let keys = Keys::new();
    let (one, two) = (keys.node().await, keys.node().await);
    let (asked, told) = (two.asked_channel(&two.node()), two.told_channel());
    let elsewhere =
        [format!("{}all", two.channels), format!("{}node:{}", two.channels, two.node())];
    let (one, two) = (Node::begin(parts(one)).await, Node::begin(parts(two)).await);
    let mut redis = keys.connection();
    for channel in [asked, told].into_iter().chain(elsewhere) {
        for payload in [&b""[..], b"sing 7\nx", b"ask\n", b"answer 99999\nx", b"tell\n", b"\xff\n"]
        {
            let heard: u64 = redis.publish(&channel, payload).unwrap();
            assert!(heard > 0, "nobody listens to {channel}");
        }
    }
    // All of that was heard before this.
    assert_eq!(one.asks(&two.name, b"x").await, Ok(format!("{}: x", two.name).into()));
    one.tells(b"word").await;
    assert_eq!(two.hears(1).await, [&b"word"[..]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_under_a_new_name_is_asked_by_that_and_told_once() {
    let keys = Keys::new();
    let (first, second) = (keys.node().await, keys.node().await);
    let one = Node::begin(parts(first.clone())).await;
    let two = Node::begin(parts(second.clone())).await;
    // The others took it for dead.
    let _: () = keys.connection().zrem(keys.key("ao:nodes"), &two.name).unwrap();
    second.beat_now.notify_one();
    let new = format!("{}.2", two.name);
    super::cluster::until("it has a new name", || *second.node() == *new).await;
    assert_eq!(one.asks(&two.name, b"x").await, Err(NoAnswer::Gone));
    // It may not listen again yet, or not have registered.
    let answer = loop {
        match one.asks(&new, b"x").await {
            Err(NoAnswer::Gone | NoAnswer::Late) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => break answer,
        }
    };
    assert_eq!(answer, Ok(format!("{}: x", two.name).into()));
    two.tells(b"word").await;
    assert_eq!(one.hears(1).await, [&b"word"[..]]);
    assert_eq!(two.hears(1).await, [&b"word"[..]]);
    let answer = two.asks(&one.name, b"y").await;
    assert_eq!(answer, Ok(format!("{}: y", one.name).into()));
}
