//! Recalling and expiry where there are several nodes, and some of them are dead.
use std::time::Duration;

use redis::Commands;

use super::{
    Keys, Options,
    cluster::{Node, short, until},
    positions::lose_counters,
};
use crate::{
    domain::{
        broker::{Event, Trim},
        hub::LATE,
        ids::{ConnectionId, RoomId, Space},
        presence::Departure,
    },
    store::contract::{UpkeepHome, witness::*},
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_is_told_on_every_node_and_makes_another_edition() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    let key = "k;1,\n\u{1}";
    publish(&one.broker, &room, [insert("a"), keyed(key, "b"), insert("c")]).await;
    let before = two.log(&room).await;
    let body = two.store.upkeep().recall(&room, key, 200).await.unwrap();
    assert_eq!(body.unwrap(), "\"b\"");
    publish(&one.broker, &room, [insert("d")]).await;
    for node in [&one, &two] {
        assert_eq!(node.hears(&room, 5).await[3], format!("4 recalled {key}"));
        let after = node.log(&room).await;
        assert_eq!((after.0, after.1), (before.0 + 1, before.1));
        assert_ne!(after.2, before.2, "pages that are kept are out of date");
    }
    // A build that does not know of it finds an entry that it can't read, in its place.
    let list: Vec<String> =
        keys.connection().lrange(keys.key(&format!("msg_{room}_insert")), 0, -1).unwrap();
    assert!(list[1].starts_with(r#"{"recalled":"b","ts":"#), "{}", list[1]);
    assert_eq!(list.iter().filter(|entry| entry.starts_with(r#"{"data":"#)).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_that_was_missed_is_made_up_for() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    two.attach(&room).await;
    publish(&one.broker, &room, [keyed("k", "a")]).await;
    two.hears(&room, 1).await;
    // What is published now does not come in.
    redis::cmd("CLIENT")
        .arg("KILL")
        .arg("TYPE")
        .arg("pubsub")
        .exec(&mut keys.connection())
        .unwrap();
    one.store.upkeep().recall(&room, "k", 200).await.unwrap();
    assert_eq!(two.hears(&room, 1).await, ["2 recalled k"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_forgotten_though_the_node_that_was_told_is_dead() {
    let keys = Keys::new();
    let (one, two, three, room) = (
        Node::with(short(&keys)).await,
        Node::with(short(&keys)).await,
        Node::with(short(&keys)).await,
        room("class"),
    );
    for node in [&one, &two, &three] {
        node.attach(&room).await;
    }
    publish(&one.broker, &room, [keyed("k", "a"), update("x", "b")]).await;
    one.expire(&room, HOUR).await;
    one.die();
    let before = two.log(&room).await;
    keys.pass(HOUR).await;
    for node in [&two, &three] {
        until("it is told", || node.witness.invalidated(&room)).await;
        let after = node.log(&room).await;
        assert_eq!((after.0, after.1), (0, 1));
        assert_ne!(after.2, before.2);
        let events: Vec<_> = node.witness.take(&room).into_iter().map(|p| p.event).collect();
        assert!(
            events.iter().all(|event| matches!(event, Event::Message { .. })),
            "no member is told: {events:?}"
        );
    }
    assert_eq!(updates(&two.broker, &room).await, [""; 0]);
    assert_eq!(two.index(&room, keyed("k", "c")).await, Some(1));
    until("nothing waits any more", || !keys.all().contains(&"ao:expiring".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_forgotten_though_no_node_lived_when_its_time_was_over() {
    let keys = Keys::new();
    let (node, forgotten, empty) = (Node::new(&keys).await, room("forgotten"), room("empty"));
    publish(&node.broker, &forgotten, [insert("a")]).await;
    for room in [&forgotten, &empty] {
        node.expire(room, HOUR).await;
    }
    node.broker.close().await;
    // Of a room without messages the counters go before the time is over.
    let left: i64 = keys.connection().ttl(keys.key(&format!("ao:seq:{empty}"))).unwrap();
    assert!((1..=600).contains(&left), "{left}");
    lose_counters(&keys, &empty);
    let list = |room: &RoomId| keys.key(&format!("msg_{room}_insert"));
    keys.pass(HOUR / 2).await;
    let node = Node::new(&keys).await;
    publish(&node.broker, &empty, [insert("meanwhile")]).await;
    node.broker.close().await;
    keys.pass(HOUR / 2).await;
    let _node = Node::new(&keys).await;
    for room in [&forgotten, &empty] {
        until("it is gone", || !keys.connection().exists::<_, bool>(list(room)).unwrap()).await;
    }
}

/// As if no node had looked yet: the room is not where they look.
#[tokio::test]
async fn what_is_over_is_not_read_and_not_added_to() {
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    publish(&node.broker, &room, [keyed("k", "a"), update("x", "b")]).await;
    let unseen = async || {
        node.expire(&room, HOUR).await;
        let _: () = keys.connection().zrem(keys.key("ao:expiring"), room.as_str()).unwrap();
        keys.pass(HOUR).await;
    };
    let before = node.log(&room).await;
    unseen().await;
    let over = node.log(&room).await;
    assert_eq!((over.0, over.1), (0, 1));
    assert_ne!(over.2, before.2);
    assert_eq!(updates(&node.broker, &room).await, [""; 0]);
    assert_eq!(node.broker.update_bytes(&room).await.unwrap(), 0);
    assert_eq!(node.store.upkeep().recall(&room, "k", 200).await.unwrap(), None);
    assert_eq!(node.index(&room, keyed("k", "c")).await, Some(1));
    assert_eq!((log(&node.broker, &room).await, node.log(&room).await.1), (vec!["c".into()], 1));
    // What is over is not brought back by putting it off.
    unseen().await;
    node.expire(&room, HOUR).await;
    assert_eq!(node.log(&room).await.0, 0);
    assert_eq!(node.index(&room, insert("d")).await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_can_not_be_forgotten_keeps_no_other() {
    let keys = Keys::new();
    let (node, good) = (Node::new(&keys).await, room("good"));
    publish(&node.broker, &good, [insert("a")]).await;
    let mut redis = keys.connection();
    for i in 0..200 {
        let bad = room(&format!("bad {i}"));
        let _: () = redis.set(keys.key(&format!("ao:seq:{bad}")), "a text").unwrap();
        let _: () = redis.zadd(keys.key("ao:expiring"), bad.as_str(), 1).unwrap();
    }
    node.expire(&good, Duration::ZERO).await;
    until("it is gone", || {
        !keys.connection().exists::<_, bool>(keys.key(&format!("msg_{good}_insert"))).unwrap()
    })
    .await;
}

/// The keys that are there until somebody deletes them.
fn lasting(keys: &Keys) -> Vec<String> {
    let mut redis = keys.connection();
    let lasts = |key: &String| redis.ttl::<_, i64>(keys.key(key)).unwrap() == -1;
    keys.all().into_iter().filter(lasts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_life_that_was_forgotten_nothing_stays() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    let life = |name| RoomId::within(Space::Lives("talk"), name).unwrap();
    let (talk, late, silent) = (life("talk"), life("late"), life("silent"));
    two.attach(&late).await;
    claim(&one.store.presence(), "ann", 1).await;
    for room in [&talk, &late, &silent] {
        one.store.presence().enter(room, &visitor(1, "ann")).await.unwrap();
        if room != &silent {
            publish(&one.broker, room, [keyed("k", "a"), update("x", "b")]).await;
            one.store.upkeep().trim(room, Trim::Keep(0)).await.unwrap();
        }
        one.store.presence().depart(room, ConnectionId(1), Departure::Left).await.unwrap();
    }
    let seq = |room: &RoomId| format!("ao:seq:{room}");
    let counted = lasting(&keys);
    assert!(counted.contains(&seq(&talk)) && !counted.contains(&seq(&silent)), "{counted:?}");
    for room in [&talk, &late, &silent] {
        one.expire(room, LATE).await;
        one.broker.clear(room).await.unwrap();
    }
    publish(&two.broker, &late, [keyed("l", "c"), update("y", "d")]).await;
    keys.pass(LATE).await;
    until("they are forgotten", || !keys.all().contains(&"ao:expiring".into())).await;
    one.store.presence().end(&uid("ann"), ConnectionId(1)).await.unwrap();
    one.broker.close().await;
    two.broker.close().await;
    assert_eq!(lasting(&keys), [""; 0]);
}

#[tokio::test]
async fn a_life_counts_on_though_rooms_that_nobody_uses_expire() {
    let keys = Keys::new();
    let node = Node::with(Options { room_expiry: Some(HOUR), ..keys.options() }).await;
    let life = |name| RoomId::within(Space::Lives("talk"), name).unwrap();
    let (talk, class) = (life("talk"), room("class"));
    for room in [&talk, &class] {
        publish(&node.broker, room, [insert("a"), insert("b"), insert("c")]).await;
    }
    let (list, seq) =
        (keys.key(&format!("msg_{talk}_insert")), keys.key(&format!("ao:seq:{talk}")));
    let left: (i64, i64) =
        (keys.connection().ttl(&list).unwrap(), keys.connection().ttl(&seq).unwrap());
    assert!(left.0 > 0 && left.1 == -1, "{left:?}");
    let _: () = keys.connection().del(&list).unwrap();
    assert_eq!(node.log(&talk).await.0, 0);
    assert_eq!(node.index(&talk, insert("d")).await, Some(3));
    // The floor is that of others: it is behind what the room had whose counters may go.
    assert_eq!(node.index(&room("another"), insert("a")).await, Some(3));
    assert_eq!(node.index(&life("another"), insert("a")).await, Some(0));
}

#[tokio::test]
async fn of_a_room_that_keeps_nothing_no_message_stays() {
    const MARK: &str = "quid-sit-futurum-cras";
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    for _ in 0..3 {
        publish(&node.broker, &room, [insert(MARK), insert(MARK)]).await;
        node.store.upkeep().trim(&room, Trim::Keep(0)).await.unwrap();
    }
    let mut redis = keys.connection();
    assert!(!redis.exists::<_, bool>(keys.key(&format!("msg_{room}_insert"))).unwrap());
    // What nodes may have missed is kept for a minute.
    let replay = keys.key(&format!("ao:replay:{room}"));
    let left: i64 = redis.ttl(&replay).unwrap();
    assert!((0..=60).contains(&left), "{left}");
    let _: () = redis.del(&replay).unwrap();
    assert!(!keys.contains(MARK).await);
    assert_eq!(node.index(&room, insert("a")).await, Some(6));
}
