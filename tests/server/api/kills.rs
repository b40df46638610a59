//! What the API has acknowledged survives kill -9, and what was asked for with a key is there once,
//! however often it is asked for again.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::{Node, insert, unique};
use support::{http, server::Setup, soon};

const ROUNDS: u32 = 6;
/// Requests that are under way at once.
const SENDERS: u64 = 8;
/// Answers before a kill.
const ENOUGH: u64 = 150;

/// A message that was sent, by its text: the answer, once there was one.
type Sent = HashMap<String, Option<Value>>;

/// Asks once. Nothing where there is no answer, as the server is gone.
async fn ask(
    api: std::net::SocketAddr,
    authorization: &str,
    text: &str,
    room: &str,
) -> Option<Value> {
    let body = json!({ "roomId": room, "message": insert(text) }).to_string();
    let request = format!(
        "POST /v1/publish HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\nauthorization: {authorization}\r\n\
         content-type: application/json\r\nidempotency-key: {text}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = http::raw(api, request.as_bytes()).await.ok()?;
    (answer.status == 200).then(|| serde_json::from_str(&answer.body).ok())?
}

/// Sends new messages until the server is gone, and says what became of them.
async fn send(
    node: (std::net::SocketAddr, String),
    room: String,
    sender: String,
    answered: Arc<AtomicU64>,
    gone: Arc<AtomicBool>,
) -> Sent {
    let mut sent = Sent::new();
    for number in 0.. {
        if gone.load(Relaxed) {
            break;
        }
        let text = format!("{sender}-{number}");
        let answer = ask(node.0, &node.1, &text, &room).await;
        answered.fetch_add(u64::from(answer.is_some()), Relaxed);
        sent.insert(text, answer);
    }
    sent
}

/// Rounds of senders and kills on one data folder.
async fn rounds(setup: Setup) {
    let room = unique("harbour");
    let mut node = Node::embedded(setup).await;
    let mut all = Sent::new();
    for round in 0..ROUNDS {
        let (answered, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let place = (node.api(), node.authorization.clone());
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let sender = format!("{round}-{sender}");
                let (answered, gone) = (answered.clone(), gone.clone());
                tokio::spawn(send(place.clone(), room.clone(), sender, answered, gone))
            })
            .collect();
        soon("answers", async {
            while answered.load(Relaxed) < ENOUGH {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
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
        for (text, answer) in &mut all {
            if answer.is_some() && !getrandom::u64().unwrap().is_multiple_of(8) {
                continue;
            }
            let again = ask(node.api(), &node.authorization, text, &room).await.expect("an answer");
            if let Some(answer) = answer {
                assert_eq!(*answer, again, "{text}");
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
    assert_eq!(found.len(), all.len(), "stored, and sent");
    for (text, answer) in all {
        assert_eq!(answer.as_ref().unwrap()["index"], found[text], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_on_files() {
    rounds(Setup::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_on_redis() {
    let redis = std::env::var("REDIS_URL").expect("REDIS_URL names no Redis: run scripts/test");
    let setup = Setup::new().env("AO_STORE__MESSAGES", redis).env("AO_STORE__LEASE", "2s");
    rounds(setup).await;
}
