//! `Idempotency-Key`: once, whatever is sent again.
use serde_json::{Value, json};

use super::{Node, beginning, done, everywhere, insert, problem, unique};
use support::http::Answer;

/// The answer is that of an earlier request.
#[track_caller]
fn is_replay(answer: &Answer) -> bool {
    done(answer);
    answer.header("idempotent-replayed") == Some("true")
}

/// How many messages a room has.
async fn stored(node: &Node, room: &str) -> usize {
    let page = node.done("history", json!({ "roomId": room, "limit": 1000 })).await;
    page["messages"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_message_is_stored_once_and_the_answer_is_the_same() {
    everywhere(async |[here, there], store| {
        let (room, key) = (unique("room"), unique("key"));
        let mut ann = here.newcomer("ann", &room).await;
        let body = json!({ "roomId": room, "message": insert("once"), "uid": "shop" });
        let first = here.keyed(&key, "publish", &body).await;
        assert!(!is_replay(&first), "{store}");
        // Quoted it is the same key, and with its fields in another order the same body.
        let text = format!(
            r#"{{"uid":"shop", "message":{{"text":"once","storage":0}},"roomId":"{room}"}}"#
        );
        let quoted = format!("\"{key}\"");
        for node in [here, there] {
            let again = node.ask_with("publish", &[("idempotency-key", &quoted)], &text).await;
            assert!(is_replay(&again), "{store}");
            assert_eq!(again.body, first.body, "{store}");
        }
        let mut other = body.clone();
        other["message"]["text"] = json!("other");
        let reused = there.keyed(&key, "publish", &other).await;
        assert_eq!(problem(&reused), (422, "key-reused".into()), "{store}");
        let elsewhere =
            json!({ "roomId": unique("room"), "message": insert("once"), "uid": "shop" });
        assert_eq!(there.keyed(&key, "publish", &elsewhere).await.status, 422, "{store}");
        assert_eq!(stored(there, &room).await, 1, "{store}");
        assert_eq!(ann.until("msg").await["text"], "once", "{store}");

        // Without a key it is another message.
        here.done("publish", body.clone()).await;
        assert_eq!(stored(there, &room).await, 2, "{store}");
        // What is not stored has its key kept too.
        let fleeting = json!({ "roomId": room, "message": { "storage": 2, "text": "gone" } });
        let key = unique("key");
        let first = here.keyed(&key, "publish", &fleeting).await;
        let again = there.keyed(&key, "publish", &fleeting).await;
        assert!(!is_replay(&first) && is_replay(&again), "{store}");
        assert_eq!(again.body, first.body, "{store}");
    })
    .await;
}

#[tokio::test]
async fn refusals_are_not_kept() {
    everywhere(async |[here, there], store| {
        let (room, key) = (unique("room"), unique("key"));
        let wrong = json!({ "roomId": room, "message": [] });
        assert_eq!(here.keyed(&key, "publish", &wrong).await.status, 400, "{store}");
        let right = json!({ "roomId": room, "message": insert("x") });
        assert!(!is_replay(&there.keyed(&key, "publish", &right).await), "{store}");
        let key = unique("key");
        let wrong = json!({ "roomId": room });
        assert_eq!(here.keyed(&key, "trim", &wrong).await.status, 400, "{store}");
        let right = json!({ "roomId": room, "keep": 0 });
        assert!(!is_replay(&there.keyed(&key, "trim", &right).await), "{store}");
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    everywhere(async |[here, there], store| {
        let (room, key) = (unique("room"), unique("key"));
        let body = json!({ "roomId": room, "message": insert("once") });
        let asks = (0..16).map(|i| {
            let node = if i % 2 == 0 { here } else { there };
            node.keyed(&key, "publish", &body)
        });
        let answers = futures_util::future::join_all(asks).await;
        let mut first = 0;
        for answer in &answers {
            match answer.status {
                409 => {
                    assert_eq!(problem(answer).1, "key-in-use", "{store}");
                    assert_eq!(answer.header("retry-after"), Some("1"), "{store}");
                }
                _ => first += u32::from(!is_replay(answer)),
            }
        }
        assert_eq!((first, stored(here, &room).await), (1, 1), "{store}");
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_sent_again_does_what_failed() {
    everywhere(async |[here, there], store| {
        let (room, other, key) = (unique("room"), unique("other"), unique("key"));
        let begin = beginning(here, &room).await;
        let publish = |text: &str| json!({ "publish": { "roomId": room, "message": insert(text) } });
        let partly = json!({ "commands": [
            publish("one"),
            { "publish": { "roomId": room, "message": {}, "uid": {} } },
            publish("three"),
            { "clear": { "roomId": other } },
        ] });
        let first = here.keyed(&key, "batch", &partly).await;
        assert!(!is_replay(&first), "{store}");
        assert!(first.json()["replies"][1]["problem"].is_object(), "{store}");
        // Meanwhile somebody writes into the room that was cleared.
        here.done("publish", json!({ "roomId": other, "message": insert("kept") })).await;

        let whole = json!({ "commands": [publish("one"), publish("two"), publish("three"), partly["commands"][3]] });
        let second = there.keyed(&key, "batch", &whole).await;
        assert!(!is_replay(&second), "{store}: one of them is new");
        let replies = |answer: &Answer| answer.json()["replies"].as_array().unwrap().clone();
        for i in [0, 2, 3] {
            assert_eq!(replies(&second)[i], replies(&first)[i], "{store}");
        }
        assert_eq!(replies(&second)[1]["result"]["index"], begin + 2, "{store}");
        assert_eq!((stored(here, &room).await, stored(here, &other).await), (3, 1), "{store}");
        let third = here.keyed(&key, "batch", &whole).await;
        assert!(is_replay(&third), "{store}");
        assert_eq!(third.body, second.body, "{store}");

        let (rooms, key) = ([unique("a"), unique("b"), unique("c")], unique("key"));
        let body = json!({ "roomIds": rooms, "message": insert("all") });
        let first = here.keyed(&key, "broadcast", &body).await;
        let again = there.keyed(&key, "broadcast", &body).await;
        assert!(!is_replay(&first) && is_replay(&again), "{store}");
        assert_eq!(first.body, again.body, "{store}");
        for room in &rooms {
            assert_eq!(stored(there, room).await, 1, "{store}");
        }
    })
    .await;
}

#[tokio::test]
async fn answers_of_other_methods_are_kept() {
    everywhere(async |[here, there], store| {
        let (room, key) = (unique("room"), unique("key"));
        let publish =
            async || here.done("publish", json!({ "roomId": room, "message": insert("x") })).await;
        publish().await;
        let clear = json!({ "roomId": room });
        let first = here.keyed(&key, "clear", &clear).await;
        assert_eq!(done(&first)["removed"], 1, "{store}");
        publish().await;
        let again = there.keyed(&key, "clear", &clear).await;
        assert!(is_replay(&again), "{store}");
        assert_eq!((&again.body, stored(here, &room).await), (&first.body, 1), "{store}");
        let other = there.keyed(&key, "clear", &json!({ "roomId": unique("room") })).await;
        assert_eq!(problem(&other), (422, "key-reused".into()), "{store}");
        // A method is in the key's scope.
        assert!(!is_replay(
            &there.keyed(&key, "trim", &json!({ "roomId": room, "keep": 9 })).await
        ));
        // What only reads, and what answers a secret, takes no key.
        for _ in 0..2 {
            assert!(!is_replay(&there.keyed(&key, "history", &json!({ "roomId": room })).await));
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_is_that_of_one_administrator() {
    let node = Node::start().await;
    let made = node.setup().clone().args(["admin", "create", "other"]).run().await;
    let other = format!("Bearer other:{}", made.succeeds().trim());
    let body = json!({ "roomId": "a", "message": insert("x") });
    assert!(!is_replay(&node.keyed("k", "publish", &body).await));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &*other),
        ("idempotency-key", "k"),
    ];
    let text = body.to_string();
    let answer = support::http::request(node.api(), "POST", "/v1/publish", &headers, &text).await;
    assert!(!is_replay(&answer));
    assert_eq!(stored(&node, "a").await, 2);
    assert_eq!(node.done("history", json!({ "roomId": "a" })).await["log"], Value::from(2));
}

/// The kinds of problems of a batch's replies, null where there is none.
fn problems(answer: &Answer) -> Vec<Value> {
    let replies = done(answer)["replies"].as_array().unwrap().clone();
    replies.iter().map(|reply| reply["problem"]["type"].clone()).collect()
}

#[tokio::test]
async fn an_item_of_a_batch_that_becomes_another_method_is_refused() {
    everywhere(async |[here, there], store| {
        let (room, reused) = (unique("room"), json!("/v1/docs#key-reused"));
        let publish = json!({ "publish": { "roomId": room, "message": insert("kept") } });
        let clear = json!({ "clear": { "roomId": room } });
        let trim = json!({ "trim": { "roomId": room, "keep": 0 } });
        let batch = |commands: &[&Value]| json!({ "commands": commands });
        for (first, second) in [(&publish, &clear), (&clear, &publish), (&clear, &trim)] {
            let key = unique("key");
            done(&here.keyed(&key, "batch", &batch(&[first, &publish])).await);
            let before = stored(there, &room).await;
            let other = there.keyed(&key, "batch", &batch(&[second, &publish])).await;
            assert_eq!(problems(&other), [reused.clone(), Value::Null], "{store} {first} {second}");
            assert_eq!(stored(there, &room).await, before, "{store}: nothing was done");
            // The item that the key belongs to is what it was.
            let again = there.keyed(&key, "batch", &batch(&[first, &publish])).await;
            assert!(is_replay(&again), "{store} {first} {second}");
        }
        // What was refused has no key, and may become anything.
        let key = unique("key");
        let wrong = json!({ "trim": { "roomId": room } });
        let answer = here.keyed(&key, "batch", &batch(&[&wrong])).await;
        assert_eq!(problems(&answer), [json!("/v1/docs#invalid-request")], "{store}");
        let answer = there.keyed(&key, "batch", &batch(&[&publish])).await;
        assert_eq!(problems(&answer), [Value::Null], "{store}");
    })
    .await;
}

#[tokio::test]
async fn the_first_message_of_a_room_is_answered_the_same_ever_after() {
    everywhere(async |[here, there], store| {
        let (room, key) = (unique("room"), unique("key"));
        let body = json!({ "roomId": room, "message": insert("first") });
        let first = here.keyed(&key, "publish", &body).await;
        let batch = json!({ "commands": [{ "publish": { "roomId": unique("other"), "message": insert("x") } }] });
        let several = here.keyed(&key, "batch", &batch).await;
        let named = there.done("history", json!({ "roomId": room })).await["epoch"].take();
        assert_eq!(done(&first)["epoch"], named, "{store}: pages name it so");
        // Another log since then, with somebody in the room.
        here.done("clear", json!({ "roomId": room })).await;
        let _ann = there.newcomer(&unique("ann"), &room).await;
        here.done("publish", json!({ "roomId": room, "message": insert("later") })).await;
        for node in [here, there] {
            let again = node.keyed(&key, "publish", &body).await;
            assert!(is_replay(&again), "{store}");
            assert_eq!(again.body, first.body, "{store}");
            assert_eq!(node.keyed(&key, "batch", &batch).await.body, several.body, "{store}");
        }
        let page = here.done("history", json!({ "roomId": room })).await;
        assert_ne!(page["epoch"], named, "{store}");
    })
    .await;
}
