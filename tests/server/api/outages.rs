//! A store that is out: what the API says, and that the same key makes good what could not be told.
use serde_json::{Value, json};

use super::{Node, insert, problem, unique};
use support::{own_redis::OwnRedis, server::Setup, soon};

/// Gives up soon, so that a test sees it.
fn hasty() -> Setup {
    Setup::new().may_be_limited().env("AO_STORE__DEADLINE", "2s").env("AO_STORE__PATIENCE", "1s")
}

/// Asks with the same key until it is done. What it was told before has to be a failure that passes.
async fn insist(node: &Node, key: &str, body: &Value) -> (Value, Vec<u16>) {
    let mut failures = Vec::new();
    let answer = soon("an answer", async {
        loop {
            let answer = node.keyed(key, "publish", body).await;
            if answer.status == 200 {
                return answer.json();
            }
            let told = problem(&answer);
            let passing = ["store-unavailable", "outcome-unknown", "key-in-use"];
            assert!(passing.contains(&&*told.1), "{answer:?}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
            failures.push(told.0);
        }
    });
    (answer.await, failures)
}

/// What is asked while the store is out fails, and is done once with the same key when it is back.
async fn story(node: &Node, out: impl AsyncFnOnce(), back: impl AsyncFnOnce()) {
    let (room, key) = (unique("room"), unique("key"));
    let body = json!({ "roomId": room, "message": insert("through it") });
    node.done("publish", json!({ "roomId": room, "message": insert("before") })).await;
    out().await;
    let answer = node.keyed(&key, "publish", &body).await;
    assert!([503, 504].contains(&problem(&answer).0), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    back().await;
    let (first, _) = insist(node, &key, &body).await;
    let (again, failures) = insist(node, &key, &body).await;
    assert_eq!((first, failures), (again, vec![]));
    let page = node.done("history", json!({ "roomId": room })).await;
    let texts: Vec<_> =
        page["messages"].as_array().unwrap().iter().map(|m| m["data"]["text"].clone()).collect();
    assert_eq!(texts, ["before", "through it"]);
}

#[tokio::test]
async fn a_full_disk_is_told_of() {
    let node = Node::embedded(hasty()).await;
    let (out, back) = (async || node.limit_files("1"), async || node.limit_files("unlimited"));
    story(&node, out, back).await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_told_of() {
    let redis = OwnRedis::durable().await;
    let node = Node::embedded(hasty().env("AO_STORE__MESSAGES", redis.url())).await;
    story(&node, async || redis.pause(), async || redis.resume()).await;
}
