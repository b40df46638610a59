//! `publish`, `broadcast`, `batch`: messages by HTTP are messages like others.
use serde_json::{Value, json};

use super::{Node, beginning, done, everywhere, insert, pointers, problem, unique};
use support::{server::Setup, stored::Stored};

#[tokio::test]
async fn a_message_is_stored_and_everybody_in_the_room_gets_it() {
    everywhere(async |[here, there], store| {
        let room = unique("a/room?");
        let mut ann = here.newcomer("ann", &room).await;
        let mut ben = there.newcomer("ben", &room).await;
        let publish = async |message: Value, uid: Value| {
            let mut body = json!({ "roomId": room, "message": message });
            if !uid.is_null() {
                body["uid"] = uid;
            }
            here.done("publish", body).await
        };
        let first = publish(insert("one"), Value::Null).await;
        assert_eq!((&first["index"].is_u64(), &first["members"]), (&true, &json!(2)), "{store}");
        let second = publish(json!({ "s": 1, "1": "id", "text": "two" }), json!(7)).await;
        assert!(second.get("index").is_none(), "{store}: an update is not in the log");
        let third = publish(json!({ "storage": 2, "text": "three" }), json!("ann é")).await;
        let n = |answer: &Value| answer["n"].as_u64().unwrap();
        assert!(n(&first) < n(&second) && n(&second) < n(&third), "{store}");
        assert_eq!(first["epoch"], third["epoch"], "{store}");
        let expected = [
            json!({"storage": 0, "text": "one", "2": "system", "s": 0, "uid": "system"}),
            json!({"s": 1, "1": "id", "text": "two", "2": 7}),
            json!({"storage": 2, "text": "three", "2": "ann é", "s": 2, "uid": "ann é"}),
        ];
        for client in [&mut ann, &mut ben] {
            for message in &expected {
                assert_eq!(client.until("msg").await, *message, "{store}");
            }
        }
        let stored = Stored::walk(&mut ben, false).await;
        assert_eq!((&stored.inserts[..], &stored.updates[..]), (&expected[..1], &expected[1..2]));
    })
    .await;
}

#[tokio::test]
async fn nobody_there_is_a_count_and_the_message_is_stored() {
    everywhere(async |[here, there], store| {
        let room = unique("empty");
        let begin = beginning(here, &room).await;
        for index in begin..begin + 2 {
            let body = json!({ "roomId": room, "message": insert("x") });
            let answer = here.done("publish", body).await;
            assert_eq!(
                (&answer["members"], &answer["index"]),
                (&json!(0), &json!(index)),
                "{store}"
            );
        }
        let page = there.done("history", json!({ "roomId": room })).await;
        assert_eq!(page["messages"].as_array().unwrap().len(), 2, "{store}");
    })
    .await;
}

#[tokio::test]
async fn messages_have_the_bounds_that_those_of_members_have() {
    let setup = Setup::new().env("AO_MESSAGE__MAX_SIZE", "1 KiB").env("AO_STORE__UPDATES", "1");
    let server = Node::embedded(setup).await;
    let publish = async |message: Value| {
        server.ask("publish", &json!({ "roomId": "a", "message": message })).await
    };
    let large = publish(json!({ "text": "x".repeat(1024) })).await;
    assert_eq!(problem(&large), (413, "too-large".into()));
    let mut deep = json!(1);
    for _ in 0..130 {
        deep = json!([deep]);
    }
    // Built here, as a reader of JSON would refuse it.
    assert_eq!(pointers(&publish(json!({ "deep": deep })).await), ["#/message"]);
    done(&publish(json!({ "storage": 1, "msgId": "a" })).await);
    let full = publish(json!({ "storage": 1, "msgId": "b" })).await;
    assert_eq!(problem(&full), (409, "room-full".into()));
    done(&publish(json!({ "storage": 1, "msgId": "a" })).await);
}

#[tokio::test]
async fn a_broadcast_reaches_each_room_and_a_batch_does_what_it_can() {
    everywhere(async |[here, there], store| {
        let rooms: Vec<String> = (0..40).map(|i| unique(&format!("room {i}"))).collect();
        let mut ann = there.newcomer("ann", &rooms[7]).await;
        let body = json!({ "roomIds": rooms, "message": insert("all"), "uid": "news" });
        let results = here.done("broadcast", body).await["results"].take();
        let results = results.as_array().unwrap();
        assert_eq!(results.len(), 40, "{store}");
        for (i, result) in results.iter().enumerate() {
            let members = u64::from(i == 7);
            assert_eq!(result["result"]["members"], members, "{store} {i}");
            assert!(result["result"]["index"].is_u64(), "{store} {i}");
        }
        let message = ann.until("msg").await;
        assert_eq!((&message["text"], &message["2"]), (&json!("all"), &json!("news")), "{store}");

        for parallel in [false, true] {
            let room = unique("batch");
            let begin = beginning(here, &room).await;
            let publish =
                |text: &str| json!({ "publish": { "roomId": room, "message": insert(text) } });
            let body = json!({
                "commands": [
                    publish("one"),
                    { "publish": { "roomId": room } },
                    publish("two"),
                    { "clear": { "roomId": rooms[0] } },
                ],
                "parallel": parallel,
            });
            let replies = here.done("batch", body).await["replies"].take();
            let replies = replies.as_array().unwrap();
            let kinds: Vec<_> =
                replies.iter().map(|reply| reply["problem"]["type"].clone()).collect();
            let invalid = json!("/v1/docs#invalid-request");
            assert_eq!(kinds, [Value::Null, invalid, Value::Null, Value::Null], "{store}");
            let problem = &replies[1]["problem"];
            assert_eq!(problem["instance"], "/v1/batch#/commands/1");
            assert_eq!(problem["errors"][0]["pointer"], "#/commands/1/publish/message");
            let mut indices: Vec<_> =
                [0, 2].map(|i| replies[i]["result"]["index"].as_u64().unwrap()).into();
            if parallel {
                indices.sort_unstable();
            }
            assert_eq!(indices, [begin, begin + 1], "{store}");
            let removed = if parallel { 0 } else { 1 };
            assert_eq!(replies[3]["result"]["removed"], removed, "{store}");
        }
        assert_eq!(ann.arrived(), None, "{store}");
    })
    .await;
}

/// Batches that rooms have stored, and messages in them.
async fn batches(node: &Node) -> [u64; 2] {
    let metrics = support::http::get(node.api(), "/metrics").await.body;
    ["count", "sum"].map(|what| {
        let name = format!("always_online_batch_messages_{what} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("a figure");
        line.parse::<f64>().unwrap() as u64
    })
}

#[tokio::test]
async fn messages_of_a_batch_for_one_room_are_stored_together() {
    let node = Node::start().await;
    let publish = |room: &str, i: usize| json!({ "publish": { "roomId": room, "message": insert(&i.to_string()) } });
    let stored = async |commands: Vec<Value>, parallel: bool| {
        let [before, all] = batches(&node).await;
        let count = commands.len() as u64;
        node.done("batch", json!({ "commands": commands, "parallel": parallel })).await;
        let [after, now] = batches(&node).await;
        assert_eq!(now - all, count);
        after - before
    };
    let one: Vec<_> = (0..100).map(|i| publish("a", i)).collect();
    assert_eq!(stored(one.clone(), false).await, 1);
    let texts = node.done("history", json!({ "roomId": "a", "limit": 1000 })).await;
    let texts = texts["messages"].as_array().unwrap().iter();
    let texts: Vec<_> = texts.map(|message| message["data"]["text"].clone()).collect();
    assert_eq!(texts, (0..100).map(|i| json!(i.to_string())).collect::<Vec<_>>());
    // In order none passes another one, of whatever room.
    let two: Vec<_> = (0..10).map(|i| publish(if i < 4 { "a" } else { "b" }, i)).collect();
    assert_eq!(stored(two, false).await, 2);
    let mixed: Vec<_> = (0..10).map(|i| publish(["a", "b"][i % 2], i)).collect();
    assert_eq!(stored(mixed.clone(), false).await, 10);
    assert_eq!(stored(mixed, true).await, 2);
}
