//! `history` and `clear`: every page of a log, forwards and backwards, while it grows and is
//! emptied.
use serde_json::{Value, json};

use super::{Node, beginning, everywhere, insert, unique};
use support::server::Setup;

/// Indices and texts of a page.
fn listed(page: &Value) -> Vec<(u64, String)> {
    let messages = page["messages"].as_array().expect("messages").iter();
    messages
        .map(|message| {
            let text = message["data"]["text"].as_str().expect("a text");
            (message["index"].as_u64().expect("an index"), text.to_owned())
        })
        .collect()
}

/// Reads all pages from one on.
async fn walk(node: &Node, mut request: Value) -> (Vec<(u64, String)>, Value) {
    let mut all = Vec::new();
    loop {
        let page = node.done("history", request.clone()).await;
        all.extend(listed(&page));
        match page.get("next") {
            Some(next) => request["since"] = next.clone(),
            None => return (all, page),
        }
    }
}

#[tokio::test]
async fn pages_lead_through_the_log_both_ways() {
    everywhere(async |[here, there], store| {
        let room = unique("log");
        let begin = beginning(here, &room).await;
        let commands: Vec<Value> = (0..25)
            .map(|i| json!({ "publish": { "roomId": room, "message": insert(&i.to_string()) } }))
            .collect();
        here.done("batch", json!({ "commands": commands })).await;
        let update = json!({ "s": 1, "1": "id", "text": "update" });
        here.done("publish", json!({ "roomId": room, "message": update, "uid": "ann" })).await;

        let all: Vec<_> = (0..25).map(|i| (begin + i, i.to_string())).collect();
        for limit in [1, 7, 25, 1000] {
            let (forwards, last) = walk(there, json!({ "roomId": room, "limit": limit })).await;
            assert_eq!(forwards, all, "{store} {limit}");
            assert_eq!(last["updates"][0]["data"]["text"], "update", "{store} {limit}");
            assert_eq!(last["updates"][0]["uid"], "ann", "{store} {limit}");
            assert_eq!(
                (&last["start"], &last["log"]),
                (&json!(begin), &json!(begin + 25)),
                "{store} {limit}"
            );
            let (mut backwards, _) =
                walk(there, json!({ "roomId": room, "limit": limit, "reverse": true })).await;
            backwards.reverse();
            assert_eq!(backwards, all, "{store} {limit}");
        }
        let page = there.done("history", json!({ "roomId": room, "limit": 7 })).await;
        assert!(page.get("updates").is_none(), "{store}: they are where the log ends");
        let newest =
            there.done("history", json!({ "roomId": room, "limit": 2, "reverse": true })).await;
        assert_eq!(listed(&newest), all[23..].iter().rev().cloned().collect::<Vec<_>>(), "{store}");
        assert_eq!(
            (&newest["next"], newest["updates"].is_array()),
            (&json!(begin + 23), true),
            "{store}"
        );
        let beyond =
            there.done("history", json!({ "roomId": room, "since": begin + 1_000_000 })).await;
        assert_eq!((listed(&beyond), &beyond["log"]), (vec![], &json!(begin + 25)), "{store}");
        assert!(beyond.get("next").is_none(), "{store}");

        let cut = there.done("clear", json!({ "roomId": room })).await;
        assert_eq!(cut, json!({ "removed": 25, "start": begin + 25 }), "{store}");
        here.done("publish", json!({ "roomId": room, "message": insert("new") })).await;
        for request in [
            json!({ "roomId": room, "since": begin + 3 }),
            json!({ "roomId": room }),
            json!({ "roomId": room, "reverse": true }),
            json!({ "roomId": room, "reverse": true, "since": begin + 26 }),
        ] {
            let page = there.done("history", request.clone()).await;
            assert_eq!(listed(&page), [(begin + 25, "new".into())], "{store} {request}");
            assert_eq!(
                (&page["start"], &page["log"]),
                (&json!(begin + 25), &json!(begin + 26)),
                "{store}"
            );
            assert!(page.get("next").is_none(), "{store} {request}");
        }
        let before = json!({ "roomId": room, "reverse": true, "since": begin + 25 });
        assert_eq!(listed(&there.done("history", before).await), [], "{store}");
    })
    .await;
}

#[tokio::test]
async fn a_room_that_nobody_knows_has_an_empty_log() {
    everywhere(async |[here, _], store| {
        let room = unique("nowhere");
        for reverse in [false, true] {
            let page = here.done("history", json!({ "roomId": room, "reverse": reverse })).await;
            assert_eq!((&page["messages"], &page["updates"]), (&json!([]), &json!([])), "{store}");
            assert_eq!(page["start"], page["log"], "{store}");
        }
        let cut = here.done("clear", json!({ "roomId": room })).await;
        assert_eq!(cut["removed"], 0, "{store}");
    })
    .await;
}

#[tokio::test]
async fn a_page_ends_where_its_messages_are_large() {
    let node = Node::embedded(Setup::new().env("AO_MESSAGE__MAX_SIZE", "2 MiB")).await;
    let large = "x".repeat(1_500_000);
    for _ in 0..6 {
        node.done("publish", json!({ "roomId": "a", "message": insert(&large) })).await;
    }
    for reverse in [false, true] {
        let request = json!({ "roomId": "a", "reverse": reverse });
        let page = node.done("history", request.clone()).await;
        let found = listed(&page).len();
        assert!((1..6).contains(&found), "{found} messages of 1.5 MB");
        let (all, _) = walk(&node, request).await;
        assert_eq!(all.len(), 6);
    }
}

#[tokio::test]
async fn a_trimmed_log_begins_later_and_keeps_its_indices() {
    everywhere(async |[here, there], store| {
        let room = unique("trimmed");
        let begin = beginning(here, &room).await;
        let commands: Vec<Value> = (0..10)
            .map(|i| json!({ "publish": { "roomId": room, "message": insert(&i.to_string()) } }))
            .collect();
        here.done("batch", json!({ "commands": commands })).await;
        let epoch = there.done("history", json!({ "roomId": room })).await["epoch"].take();
        for (trim, removed, start) in [
            (json!({ "before": begin + 3 }), 3, 3),
            (json!({ "keep": 5 }), 2, 5),
            (json!({ "before": begin + 2 }), 0, 5),
            (json!({ "olderThan": 3600 }), 0, 5),
        ] {
            let mut request = trim.clone();
            request["roomId"] = json!(room);
            let cut = here.done("trim", request).await;
            assert_eq!(
                cut,
                json!({ "removed": removed, "start": begin + start }),
                "{store} {trim}"
            );
            let rest: Vec<_> = (start..10).map(|i| (begin + i, i.to_string())).collect();
            for limit in [1, 4, 1000] {
                let request = json!({ "roomId": room, "limit": limit, "since": begin });
                let (forwards, last) = walk(there, request).await;
                assert_eq!(forwards, rest, "{store} {trim}");
                assert_eq!((&last["start"], &last["epoch"]), (&json!(begin + start), &epoch));
                let request = json!({ "roomId": room, "limit": limit, "reverse": true });
                let (mut backwards, _) = walk(there, request).await;
                backwards.reverse();
                assert_eq!(backwards, rest, "{store} {trim}");
            }
        }
        let two = json!({ "roomId": room, "keep": 1, "before": 1 });
        for wrong in [two, json!({ "roomId": room })] {
            let answer = here.ask("trim", &wrong).await;
            assert_eq!(answer.status, 400, "{store}");
        }
        here.done("clear", json!({ "roomId": room })).await;
        let page = there.done("history", json!({ "roomId": room })).await;
        assert_ne!(page["epoch"], epoch, "{store}");
    })
    .await;
}

#[tokio::test]
async fn the_place_in_the_rooms_order_is_told_where_it_is_known() {
    everywhere(async |[here, there], store| {
        let room = unique("places");
        let publish = |message: Value| json!({ "publish": { "roomId": room, "message": message } });
        let update = json!({ "s": 1, "1": "id", "text": "update" });
        let fleeting = json!({ "s": 2, "text": "fleeting" });
        let commands = [insert("a"), fleeting.clone(), insert("b"), update, fleeting, insert("c")];
        let commands: Vec<Value> = commands.into_iter().map(publish).collect();
        let replies = here.done("batch", json!({ "commands": commands })).await["replies"].take();
        let n = |i: usize| replies[i]["result"]["n"].as_u64().expect("a place");
        let page = there.done("history", json!({ "roomId": room })).await;
        assert_eq!(page["updates"][0]["n"], n(3), "{store}");
        for (message, i) in page["messages"].as_array().unwrap().iter().zip([0, 2, 5]) {
            // The lists of Redis have no place for it.
            match store {
                "redis" => assert!(message.get("n").is_none(), "{store}: {message}"),
                _ => assert_eq!(message["n"], n(i), "{store}: {message}"),
            }
        }
    })
    .await;
}
