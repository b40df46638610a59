//! What the API has acknowledged survives kill -9, and what was asked for with a key is there once,
//! however often it is asked for again.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Node, insert, unique};
use support::{http, server::Setup, soon};

/// Requests that are under way at once.
const SENDERS: u64 = 6;
/// Answers before a kill.
const ENOUGH: u64 = 30;
/// Messages of a batch.
const BATCH: usize = 3;

/// Rounds: others by `API_ROUNDS`.
fn rounds() -> u32 {
    std::env::var("API_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

/// What was asked for, by its key: the answer, once there was one.
type Sent = HashMap<String, Option<Value>>;

/// Every second sender asks for several messages at a time.
fn is_batch(key: &str) -> bool {
    key.starts_with("batch")
}

/// The texts of what is asked for by a key.
fn texts(key: &str) -> Vec<String> {
    let count = if is_batch(key) { BATCH } else { 1 };
    (0..count).map(|part| format!("{key}.{part}")).collect()
}

/// Asks once. Nothing where there is no answer, as the server is gone.
async fn ask(
    api: std::net::SocketAddr,
    authorization: &str,
    key: &str,
    room: &str,
) -> Option<Value> {
    let publish = |text: &String| json!({ "roomId": room, "message": insert(text) });
    let (method, body) = if is_batch(key) {
        let commands: Vec<Value> =
            texts(key).iter().map(|text| json!({ "publish": publish(text) })).collect();
        ("batch", json!({ "commands": commands }).to_string())
    } else {
        ("publish", publish(&texts(key)[0]).to_string())
    };
    let request = format!(
        "POST /v1/{method} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\nauthorization: {authorization}\r\n\
         content-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = http::raw(api, request.as_bytes()).await.ok()?;
    (answer.status == 200).then(|| serde_json::from_str(&answer.body).ok())?
}

/// The indices that an answer names.
fn indices(answer: &Value) -> Vec<Value> {
    match answer["replies"].as_array() {
        Some(replies) => replies.iter().map(|reply| reply["result"]["index"].clone()).collect(),
        None => vec![answer["index"].clone()],
    }
}

/// Sends new messages until the server is gone, and says what became of them.
async fn send(
    node: (std::net::SocketAddr, String),
    room: String,
    sender: String,
    answered: watch::Sender<u64>,
    gone: Arc<AtomicBool>,
) -> Sent {
    let mut sent = Sent::new();
    for number in 0.. {
        if gone.load(Relaxed) {
            break;
        }
        let key = format!("{sender}-{number}");
        let answer = ask(node.0, &node.1, &key, &room).await;
        answered.send_modify(|count| *count += u64::from(answer.is_some()));
        sent.insert(key, answer);
    }
    sent
}

/// Rounds of senders and kills on one data folder.
async fn strike(setup: Setup) {
    let room = unique("harbour");
    let mut node = Node::embedded(setup).await;
    let mut all = Sent::new();
    for round in 0..rounds() {
        let (answered, gone) = (watch::Sender::new(0), Arc::new(AtomicBool::new(false)));
        let place = (node.api(), node.authorization.clone());
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let kind = if sender % 2 == 0 { "one" } else { "batch" };
                let sender = format!("{kind}-{round}-{sender}");
                let (answered, gone) = (answered.clone(), gone.clone());
                tokio::spawn(send(place.clone(), room.clone(), sender, answered, gone))
            })
            .collect();
        let mut answers = answered.subscribe();
        soon("answers", answers.wait_for(|count| *count >= ENOUGH)).await.unwrap();
        // Nothing is waited for here: the moment of the kill is to be any.
        let moment = getrandom::u64().unwrap() % 5_000;
        tokio::time::sleep(Duration::from_micros(moment)).await;
        node.server.kill_9().await;
        gone.store(true, Relaxed);
        for sender in senders {
            all.extend(soon("a sender's end", sender).await.unwrap());
        }
        node.server.restart().await;

        // Whoever has got no answer asks again with the same key, and some do who have got one.
        for (key, answer) in &mut all {
            if answer.is_some() && !getrandom::u64().unwrap().is_multiple_of(32) {
                continue;
            }
            let again = ask(node.api(), &node.authorization, key, &room).await.expect("an answer");
            if let Some(answer) = answer {
                assert_eq!(*answer, again, "{key}");
            }
            *answer = Some(again);
        }
        check(&node, &room, &all).await;
    }
}

/// Each message is there once, where its answer says, and there is no other one.
async fn check(node: &Node, room: &str, all: &Sent) {
    let mut found = HashMap::new();
    let mut request = json!({ "roomId": room, "limit": 1000 });
    loop {
        let page = node.done("history", request.clone()).await;
        for message in page["messages"].as_array().unwrap() {
            let text = message["data"]["text"].as_str().unwrap().to_owned();
            let before = found.insert(text, message["index"].clone());
            assert_eq!(before, None, "{message} is there twice");
        }
        match page.get("next") {
            Some(next) => request["since"] = next.clone(),
            None => break,
        }
    }
    let sent: usize = all.keys().map(|key| texts(key).len()).sum();
    assert_eq!(found.len(), sent, "stored, and sent");
    for (key, answer) in all {
        let places: Vec<Value> = texts(key).iter().map(|text| found[text].clone()).collect();
        assert_eq!(indices(answer.as_ref().unwrap()), places, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_on_files() {
    strike(Setup::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_on_redis() {
    let redis = std::env::var("REDIS_URL").expect("REDIS_URL names no Redis: run scripts/test");
    let setup = Setup::new().env("AO_STORE__MESSAGES", redis).env("AO_STORE__LEASE", "2s");
    strike(setup).await;
}
