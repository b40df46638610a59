//! What is in Redis afterwards: the keys of the original, and nothing that stays for ever.
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use bytes::Bytes;
use redis::Commands;

use super::{super::Options, Keys, Redis, cluster::Node};
use crate::{
    domain::{
        broker::{PageLimit, Stored, UpdateLimit, Updates},
        error::StoreError,
        ids::{ConnectionId, RoomId, Space},
        presence::Departure,
    },
    store::contract::witness::*,
};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };

fn entry(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn messages_are_where_the_original_has_them() {
    let keys = Keys::new();
    let broker = keys.node().await.broker();
    let room = room("class");
    publish(
        &broker,
        &room,
        [
            insert(r#"{"a":1}"#),
            update("x", r#"{"b":2}"#),
            ignore(r#"{"c":3}"#),
            insert(r#"{"a":4}"#),
        ],
    )
    .await;
    let mut redis = keys.connection();
    let log: Vec<String> = redis.lrange(keys.key(&format!("msg_{room}_insert")), 0, -1).unwrap();
    assert_eq!(log.len(), 2);
    let first = entry(&log[0]);
    assert_eq!(first["data"], entry(r#"{"a":1}"#));
    assert!(first["ts"].as_u64().unwrap() > 1_600_000_000);
    assert_eq!(first.as_object().unwrap().len(), 2, "{first}");
    let updates: HashMap<String, String> =
        redis.hgetall(keys.key(&format!("msg_{room}_update"))).unwrap();
    let update = entry(&updates["x"]);
    assert_eq!((&update["data"], &update["n"]), (&entry(r#"{"b":2}"#), &entry("2")));
    assert!(
        !keys.all().iter().any(|k| k.contains("_backup") || k.contains("_ignore")),
        "{:?}",
        keys.all()
    );
}

#[tokio::test]
async fn backups_are_kept_where_they_are_asked_for() {
    let keys = Keys::new();
    let broker = Redis::open(Options { backups: true, ..keys.options() }).await.unwrap().broker();
    let room = room("class");
    publish(&broker, &room, [update("x", "1"), update("x", "2"), ignore("3")]).await;
    let mut redis = keys.connection();
    let lists = |redis: &mut redis::Connection, name: &str| -> Vec<u64> {
        let list: Vec<String> =
            redis.lrange(keys.key(&format!("msg_{room}_{name}")), 0, -1).unwrap();
        list.iter().map(|e| entry(e)["data"].as_u64().unwrap()).collect()
    };
    assert_eq!(
        (lists(&mut redis, "update_backup"), lists(&mut redis, "ignore")),
        (vec![1, 2], vec![3])
    );
    broker.clear(&room).await.unwrap();
    assert_eq!((lists(&mut redis, "update_backup"), lists(&mut redis, "ignore")), (vec![], vec![]));
}

#[tokio::test]
async fn no_copy_is_kept_of_what_a_user_alone_is_told() {
    let keys = Keys::new();
    let broker = Redis::open(Options { backups: true, ..keys.options() }).await.unwrap().broker();
    for space in [Space::Inboxes("talk"), Space::Lives("talk")] {
        let room = RoomId::within(space, "ann").unwrap();
        publish(&broker, &room, [ignore("for you alone")]).await;
    }
    let stored = keys.all().into_iter().filter(|key| key.starts_with("msg_"));
    assert_eq!(stored.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn what_the_original_wrote_is_read_and_what_is_no_json_is_counted() {
    let keys = Keys::new();
    let broker = keys.node().await.broker();
    let room = room("old class");
    let mut redis = keys.connection();
    let log = keys.key(&format!("msg_{room}_insert"));
    for text in [
        r#"{"data":{"1":"a"},"ts":1500000000}"#,
        "by hand",
        r#"{"ts":1}"#,
        r#"{ "more": [1], "ts": "7", "data": "text" }"#,
        "\u{0}",
    ] {
        let _: () = redis.rpush(&log, text).unwrap();
    }
    let updates = keys.key(&format!("msg_{room}_update"));
    for (id, text) in
        [("late", r#"{"data":1,"ts":9}"#), ("early", r#"{"data":2,"ts":8}"#), ("broken", "{")]
    {
        let _: () = redis.hset(&updates, id, text).unwrap();
    }
    let page = broker.page(&room, 0, PAGE).await.unwrap();
    let stored = |body: Option<&'static str>, unix: u64| Stored {
        body: body.map(|b| Bytes::from_static(b.as_bytes())),
        at_ms: unix * 1000,
        recalled: false,
        n: None,
    };
    assert_eq!(
        (page.entries, page.log_length),
        (
            vec![
                stored(Some(r#"{"1":"a"}"#), 1_500_000_000),
                stored(None, 0),
                stored(None, 1),
                stored(Some("\"text\""), 0),
                stored(None, 0)
            ],
            5
        )
    );
    publish(&broker, &room, [update("new", "3")]).await;
    let Updates::All(found) = broker.updates(&room, usize::MAX).await.unwrap() else {
        panic!("more than everything")
    };
    let found: Vec<_> = found.into_iter().map(|s| s.body).collect();
    assert_eq!(
        found,
        [None, Some("2"), Some("1"), Some("3")]
            .map(|b| b.map(|b| Bytes::from_static(b.as_bytes())))
    );
}

#[tokio::test]
async fn the_order_of_updates_outlives_clocks_and_counters() {
    let keys = Keys::new();
    let broker = keys.node().await.broker();
    let mut redis = keys.connection();
    // A clock that was put back, once before and once after the original wrote something.
    let back = room("back");
    let all = [("b", 1, 100, 1), ("a", 2, 90, 2), ("d", 4, 101, 3), ("c", 5, 20, 4)];
    for (id, body, unix, n) in all {
        let text = format!(r#"{{"data":{body},"ts":{unix},"n":{n}}}"#);
        let _: () = redis.hset(keys.key(&format!("msg_{back}_update")), id, text).unwrap();
    }
    let _: () =
        redis.hset(keys.key(&format!("msg_{back}_update")), "o", r#"{"data":3,"ts":101}"#).unwrap();
    assert_eq!(updates(&broker, &back).await, ["1", "2", "3", "4", "5"]);
    publish(&broker, &back, [update("a", "6")]).await;
    assert_eq!(updates(&broker, &back).await, ["1", "3", "4", "5", "6"]);
    // Counters that somebody deleted: those that come now do not mix with the earlier ones.
    let gone = room("gone");
    publish(&broker, &gone, [update("z", "1"), update("y", "2"), update("x", "3")]).await;
    let _: () = redis.del(keys.key(&format!("ao:seq:{gone}"))).unwrap();
    publish(&broker, &gone, [update("w", "4"), update("z", "5")]).await;
    assert_eq!(updates(&broker, &gone).await, ["2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_key_of_another_type_refuses_the_batch_as_a_whole_and_harms_no_other_room() {
    let keys = Keys::new();
    let broker = keys.node().await.broker();
    let (bad, good) = (room("bad"), room("good"));
    let mut redis = keys.connection();
    let _: () = redis.set(keys.key(&format!("msg_{bad}_update")), "a text").unwrap();
    let refused = broker.publish(&bad, [insert("1"), update("x", "2")].into()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(log(&broker, &bad).await, [""; 0], "all or nothing");
    assert!(matches!(broker.updates(&bad, 0).await, Err(StoreError::Unavailable(_))));
    publish(&broker, &bad, [insert("3")]).await;
    publish(&broker, &good, [insert("4"), update("x", "5")]).await;
    assert_eq!(
        (log(&broker, &bad).await, log(&broker, &good).await),
        (vec!["3".into()], vec!["4".into()])
    );
    for key in ["ao:seq", "ao:replay"] {
        let odd = room("odd");
        let _: () = redis.set(keys.key(&format!("{key}:{odd}")), "a text").unwrap();
        let refused = broker.publish(&odd, [insert("1"), update("x", "2")].into()).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{key}: {refused:?}");
        assert_eq!(
            (log(&broker, &odd).await.len(), updates(&broker, &odd).await.len()),
            (0, 0),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_log_has_another_edition_when_it_was_cleared_and_behind_a_start_of_redis() {
    let keys = Keys::new();
    let broker = keys.node().await.broker();
    let room = room("class");
    let mut editions = vec![broker.edition(&room).await.unwrap()];
    let mut another = async |what: &str| {
        let page = broker.page(&room, 0, PAGE).await.unwrap();
        let edition = broker.edition(&room).await.unwrap();
        assert_eq!(page.edition, edition, "{what}: that of the page that is read");
        assert!(!editions.contains(&edition), "{what}");
        editions.push(edition);
    };
    publish(&broker, &room, [insert("1")]).await;
    another("there is a log").await;
    let before = broker.edition(&room).await.unwrap();
    publish(&broker, &room, [insert("2"), update("x", "3")]).await;
    assert_eq!(broker.edition(&room).await.unwrap(), before, "it only grows");
    for _ in 0..2 {
        broker.clear(&room).await.unwrap();
        another("it was cleared").await;
    }
    let seq = keys.key(&format!("ao:seq:{room}"));
    redis::cmd("HSET").arg(&seq).arg("run").arg("another").exec(&mut keys.connection()).unwrap();
    publish(&broker, &room, [insert("1")]).await;
    another("Redis has started again").await;
}

#[tokio::test]
async fn of_a_room_that_everybody_has_left_only_its_messages_stay() {
    let keys = Keys::new();
    let node = keys.node().await;
    let (broker, presence) = (node.broker(), node.presence());
    let (kept, bare) = (room("kept"), room("bare"));
    for (at, room) in [&kept, &bare].into_iter().enumerate() {
        let at = at as u64;
        claim(&presence, &format!("ann{at}"), at).await;
        presence.enter(room, &visitor(at, &format!("ann{at}"))).await.unwrap();
    }
    publish(&broker, &kept, [insert("1")]).await;
    publish(&broker, &bare, [ignore("1")]).await;
    for (at, room) in [&kept, &bare].into_iter().enumerate() {
        presence.depart(room, ConnectionId(at as u64), Departure::Gone).await.unwrap();
        presence.end(&uid(&format!("ann{at}")), ConnectionId(at as u64)).await.unwrap();
    }
    broker.close().await;
    let mut redis = keys.connection();
    let mut lasting: Vec<String> = Vec::new();
    for key in keys.all() {
        let ttl: i64 = redis.ttl(keys.key(&key)).unwrap();
        if ttl == -1 {
            lasting.push(key);
        }
    }
    assert_eq!(lasting, [format!("ao:seq:{kept}"), format!("msg_{kept}_insert")]);
}

#[tokio::test]
async fn an_unused_room_is_deleted_where_that_is_asked_for_and_a_used_one_is_not() {
    let keys = Keys::new();
    let hour = Some(std::time::Duration::from_secs(3600));
    let node: Arc<Redis> =
        Redis::open(Options { room_expiry: hour, ..keys.options() }).await.unwrap();
    let (broker, presence, room) = (node.broker(), node.presence(), room("class"));
    let log = keys.key(&format!("msg_{room}_insert"));
    let mut redis = keys.connection();
    presence.enter(&room, &visitor(1, "ann")).await.unwrap();
    publish(&broker, &room, [insert("1")]).await;
    assert_eq!(redis.ttl::<_, i64>(&log).unwrap(), -1);
    presence.depart(&room, ConnectionId(1), Departure::Gone).await.unwrap();
    assert!((3500..=3600).contains(&redis.ttl::<_, i64>(&log).unwrap()));
    // The setting may be another one by then.
    let other = keys.node().await;
    other.presence().enter(&room, &visitor(2, "ben")).await.unwrap();
    assert_eq!(redis.ttl::<_, i64>(&log).unwrap(), -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_since_a_room_was_left_is_not_forgotten() {
    let keys = Keys::new();
    let (one, room) = (Node::new(&keys).await, room("class"));
    let field = format!("b:{}", one.store.node());
    let known = || {
        redis::cmd("HEXISTS")
            .arg(keys.key(&format!("ao:seq:{room}")))
            .arg(&field)
            .query::<bool>(&mut keys.connection())
            .unwrap()
    };
    one.attach(&room).await;
    publish(&one.broker, &room, [insert("first")]).await;
    let upto = one.store.batches.load(SeqCst);
    one.broker.detach(&room);
    one.store.unfollow(&room).await;
    // It is followed again before its past is forgotten: should the answer be lost, this is sent
    // once more.
    one.attach(&room).await;
    publish(&one.broker, &room, [insert("second")]).await;
    one.store.forget(vec![room.clone()], upto).await;
    assert!(known(), "or it would be stored twice");
    one.store.forget(vec![room.clone()], one.store.batches.load(SeqCst)).await;
    assert!(!known());
}

/// The count that is kept beside the room's counters is that of what is there, whoever wrote it.
#[tokio::test]
async fn what_others_wrote_counts_towards_the_bound_of_updates() {
    let keys = Keys::new();
    let options = || Options { updates: UpdateLimit { entries: 4, bytes: 1000 }, ..keys.options() };
    let (one, other) = (
        Redis::open(options()).await.unwrap().broker(),
        Redis::open(options()).await.unwrap().broker(),
    );
    let room = room("board");
    let (mut redis, hash) = (keys.connection(), keys.key(&format!("msg_{room}_update")));
    for id in ["a", "b", "c"] {
        let _: () = redis.hset(&hash, id, r#"{"data":{"1":"x"},"ts":1500000000}"#).unwrap();
    }
    assert_eq!(refused(&one, &room, [update("d", "1"), update("e", "2")]).await, [1]);
    assert_eq!(
        refused(&other, &room, [update("e", "2"), update("a", "1")]).await,
        [0],
        "it is the room's, not a node's"
    );
    let _: () = redis.hdel(&hash, &["a", "b"]).unwrap();
    publish(&other, &room, [update("e", "2")]).await;
    let long = format!(r#"{{"data":"{}","ts":1500000000}}"#, "x".repeat(2000));
    let _: () = redis.hset(&hash, "long", &long).unwrap();
    assert_eq!(
        refused(&one, &room, [update("e", "longer"), update("d", "3")]).await,
        [0],
        "above the bound nothing grows"
    );
    assert_eq!(
        refused(&one, &room, [update("long", &"y".repeat(2000)), update("f", "")]).await,
        [1],
        "as long as it was"
    );
    publish(&one, &room, [update("long", "short")]).await;
    publish(&one, &room, [update("e", "longer")]).await;
    assert_eq!(updates(&one, &room).await.len(), 4);
}

/// Of what a later build or somebody else noted there.
#[tokio::test]
async fn a_room_whose_name_can_not_be_read_is_left_out_of_the_list() {
    let keys = Keys::new();
    let node = keys.node().await;
    let (presence, room) = (node.presence(), room("class"));
    claim(&presence, "ann", 1).await;
    presence.enter(&room, &visitor(1, "ann")).await.unwrap();
    let odd: [&[u8]; 3] = [b"\xff", b"", b"\x01x"];
    let _: () = keys.connection().sadd(keys.key("ao:rooms"), &odd).unwrap();
    assert_eq!(presence.rooms().await.unwrap(), [room]);
}
