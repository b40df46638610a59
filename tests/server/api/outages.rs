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
async fn what_was_done_in_part_is_not_told_to_be_undone_and_reading_changes_nothing() {
    let mut redis = OwnRedis::durable().await;
    let node = Node::embedded(hasty().env("AO_STORE__MESSAGES", redis.url())).await;
    let (uid, room) = (unique("ann"), unique("room"));
    node.done("token/create", json!({ "uid": uid })).await;
    node.done("publish", json!({ "roomId": room, "message": insert("one") })).await;
    let told = async |method: &str, body: Value| problem(&node.ask(method, &body).await);
    redis.pause();
    let history = told("history", json!({ "roomId": room })).await;
    assert_eq!(history, (503, "store-unavailable".into()), "sent or not, nothing was changed");
    redis.resume();
    redis.kill_9().await;
    // The tokens are elsewhere, and the sessions are not.
    let revoke = told("token/revoke", json!({ "uid": uid })).await;
    assert_eq!(revoke, (504, "outcome-unknown".into()), "the token is gone");
    let again = told("token/revoke", json!({ "uid": uid })).await;
    assert_eq!(again, (503, "store-unavailable".into()), "this time nothing was done");
    for (method, body) in [
        ("history", json!({ "roomId": room })),
        ("members", json!({ "roomId": room })),
        ("whereabouts", json!({ "uid": uid })),
    ] {
        assert_eq!(told(method, body).await, (503, "store-unavailable".into()), "{method}");
    }
    redis.restart().await;
    let page = soon("the log", async {
        loop {
            let answer = node.ask("history", &json!({ "roomId": room })).await;
            if answer.status == 200 {
                return answer.json();
            }
            assert_eq!(problem(&answer), (503, "store-unavailable".into()));
        }
    });
    assert_eq!(page.await["messages"][0]["data"]["text"], "one");
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_told_of() {
    let redis = OwnRedis::durable().await;
    let node = Node::embedded(hasty().env("AO_STORE__MESSAGES", redis.url())).await;
    story(&node, async || redis.pause(), async || redis.resume()).await;
}
