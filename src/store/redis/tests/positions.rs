//! Places and keys where there are several nodes, others who write, and keys that go.
use std::time::Duration;

use redis::Commands;

use super::{
    Keys, Options,
    cluster::{Node, until},
};
use crate::{
    domain::{
        broker::{Audience, Entry, PageLimit, Placed, Position, Publication},
        ids::{ConnectionId, RoomId, Space},
        message::{Kind, Message},
        presence::Departure,
    },
    store::contract::{UpkeepHome, witness::*},
};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };
const HOUR: Duration = Duration::from_secs(3600);

impl Node {
    pub(super) async fn index(&self, room: &RoomId, entry: Entry) -> Option<u64> {
        publish(&self.broker, room, [entry]).await[0].index
    }

    pub(super) async fn expire(&self, room: &RoomId, after: Duration) {
        self.store.upkeep().expire(room, after).await.unwrap();
    }

    /// The log's length, the index of its first insert, and the edition that both the page and a
    /// question for it say.
    pub(super) async fn log(&self, room: &RoomId) -> (u64, u64, u64) {
        let page = self.broker.page(room, 0, PAGE).await.unwrap();
        assert_eq!(page.edition, self.broker.edition(room).await.unwrap());
        (page.log_length, page.base, page.edition)
    }
}

/// The counters go, as they do while nobody is in a room that has no messages.
pub(super) fn lose_counters(keys: &Keys, room: &RoomId) {
    let _: () = keys.connection().del(keys.key(&format!("ao:seq:{room}"))).unwrap();
}

#[tokio::test]
async fn a_position_has_the_place_the_index_and_the_time() {
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    let batch = [ignore("a"), insert("b"), update("x", "c"), insert("d")];
    let placed = publish(&node.broker, &room, batch).await;
    let places: Vec<_> = placed.iter().map(|at| (at.n, at.index)).collect();
    assert_eq!(places, [(1, None), (2, Some(0)), (3, None), (4, Some(1))]);
    let (seconds, _): (u64, u64) = redis::cmd("TIME").query(&mut keys.connection()).unwrap();
    for at in placed {
        assert!(at.at_ms <= (seconds + 1) * 1000 && at.at_ms > (seconds - 600) * 1000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_is_told_the_same_index_by_whatever_way_it_hears() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    for node in [&one, &two, &one] {
        publish(&node.broker, &room, [ignore("-"), insert("a"), update("x", "b"), insert("c")])
            .await;
    }
    one.broker.clear(&room).await.unwrap();
    publish(&two.broker, &room, [insert("d")]).await;
    let places = |told: &[Publication]| told.iter().map(|p| (p.n, p.index)).collect::<Vec<_>>();
    let mut expected: Vec<(u64, Option<u64>)> = Vec::new();
    for batch in 0..3 {
        let indexes = [None, Some(2 * batch), None, Some(2 * batch + 1)];
        expected.extend((4 * batch + 1..).zip(indexes));
    }
    expected.extend([(13, None), (14, Some(6))]);
    for node in [&one, &two] {
        let mut told = Vec::new();
        until("all is told", || {
            told.extend(node.witness.take(&room));
            told.len() >= 14
        })
        .await;
        assert_eq!(places(&told), expected);
    }
    // As a node is told that has missed all of it.
    let kept = one.store.tail(&room, Some(0), one.store.deadline()).await.unwrap().kept;
    let kept: Vec<_> = kept.into_iter().flat_map(|told| told.publications).collect();
    assert_eq!(places(&kept), expected);
}

/// The original's entries know seconds; a room that it can't name knows more.
#[tokio::test]
async fn the_log_says_when_an_insert_was_stored_as_exactly_as_it_may() {
    let keys = Keys::new();
    let (node, shared) = (Node::new(&keys).await, room("class"));
    let ours = RoomId::within(Space::Dialect("x"), "class").unwrap();
    for (room, exact) in [(&shared, 1000), (&ours, 1)] {
        let at = publish(&node.broker, room, [insert("a"), insert("b")]).await[0].at_ms;
        let page = node.broker.page(room, 0, PAGE).await.unwrap();
        assert!(page.entries.iter().all(|entry| entry.at_ms == at / exact * exact));
        node.store.upkeep().recall(room, "no key", 200).await.unwrap();
    }
    publish(&node.broker, &ours, [keyed("k", "c")]).await;
    node.store.upkeep().recall(&ours, "k", 200).await.unwrap().unwrap();
    let page = node.broker.page(&ours, 2, PAGE).await.unwrap();
    assert!(page.entries[0].recalled && page.entries[0].at_ms >= page.entries.len() as u64);
}

#[tokio::test]
async fn an_index_is_given_once_whatever_becomes_of_the_log_and_its_counters() {
    let keys = Keys::new();
    let hour = Options { room_expiry: Some(HOUR), ..keys.options() };
    let (node, other) = (Node::new(&keys).await, Node::with(hour).await);
    let mut redis = keys.connection();
    let room = room("class");
    let list = keys.key(&format!("msg_{room}_insert"));
    assert_eq!(node.index(&room, insert("0")).await, Some(0));
    // Others write there, and their inserts have an index as well.
    let _: () = redis.rpush(&list, r#"{"data":1,"ts":1500000000}"#).unwrap();
    assert_eq!(other.index(&room, insert("2")).await, Some(2));
    node.broker.clear(&room).await.unwrap();
    assert_eq!(node.log(&room).await.1, 3);
    // Nobody is there for as long as counters are kept.
    lose_counters(&keys, &room);
    assert_eq!(node.log(&room).await.1, 3);
    assert_eq!(node.index(&room, insert("3")).await, Some(3));
    // Others delete the log.
    let _: () = redis.del(&list).unwrap();
    assert_eq!(node.log(&room).await.1, 4);
    assert_eq!(node.index(&room, insert("4")).await, Some(4));
    let _: () = redis.rpush(&list, r#"{"data":5,"ts":1500000000}"#).unwrap();
    assert_eq!(other.index(&room, insert("6")).await, Some(6));
    assert_eq!((node.log(&room).await.0, node.log(&room).await.1), (3, 4));
    // It is deleted as one that nobody uses.
    let left: i64 = redis.ttl(&list).unwrap();
    assert!(left > 0, "it will be");
    lose_counters(&keys, &room);
    let _: () = redis.del(&list).unwrap();
    assert_eq!(node.index(&room, insert("7")).await, Some(7));
    // Redis has started again.
    let seq = keys.key(&format!("ao:seq:{room}"));
    let _: () = redis.hset(&seq, "run", "another").unwrap();
    assert_eq!(node.index(&room, insert("8")).await, Some(8));
}

#[tokio::test]
async fn of_a_room_that_was_cleared_and_left_nothing_stays_but_where_others_begin() {
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    node.enter(&room, 1, "ann").await;
    publish(&node.broker, &room, [keyed("k", "a"), update("x", "b")]).await;
    node.broker.clear(&room).await.unwrap();
    node.store.presence().depart(&room, ConnectionId(1), Departure::Gone).await.unwrap();
    node.store.presence().end(&uid("ann"), ConnectionId(1)).await.unwrap();
    node.broker.close().await;
    let mut redis = keys.connection();
    let lasting = |key: &String| redis.ttl::<_, i64>(keys.key(key)).unwrap() == -1;
    let lasting: Vec<_> = keys.all().into_iter().filter(lasting).collect();
    assert_eq!(lasting, ["ao:floor"]);
}

#[tokio::test]
async fn rooms_that_come_and_go_leave_one_number() {
    let keys = Keys::new();
    let hour = Options { room_expiry: Some(HOUR), ..keys.options() };
    let node = Node::with(hour).await;
    for i in 0..20 {
        let room = room(&format!("room {i}"));
        let batch = (0..i).map(|_| insert("a"));
        publish(&node.broker, &room, batch.chain([insert("b"), update("x", "c")])).await;
        node.expire(&room, HOUR * 2).await;
    }
    keys.pass(HOUR * 2).await;
    until("they are forgotten", || !keys.all().contains(&"ao:expiring".into())).await;
    publish(&node.broker, &room("left"), [insert("a"), insert("b")]).await;
    node.broker.close().await;
    let mut redis = keys.connection();
    let lasting = |key: &String| redis.ttl::<_, i64>(keys.key(key)).unwrap() == -1;
    let lasting: Vec<_> = keys.all().into_iter().filter(lasting).collect();
    assert_eq!(lasting, ["ao:floor"]);
    // Whichever of them comes back begins behind all that it had.
    for key in keys.all() {
        if key != "ao:floor" {
            let _: () = redis.del(keys.key(&key)).unwrap();
        }
    }
    let node = Node::new(&keys).await;
    for room in [room("left"), room("room 19"), room("another")] {
        let index = node.index(&room, insert("c")).await;
        assert!(index.unwrap() >= 20, "{room:?}: {index:?}");
        assert_eq!(node.log(&room).await.1, index.unwrap());
    }
}

/// The original has written a log, and nobody has counted it.
#[tokio::test]
async fn what_others_wrote_keeps_its_indexes() {
    let keys = Keys::new();
    let (node, theirs) = (Node::new(&keys).await, room("theirs"));
    let list = keys.key(&format!("msg_{theirs}_insert"));
    let _: () = keys.connection().rpush(&list, r#"{"data":1,"ts":1500000000}"#).unwrap();
    let _: () = keys.connection().pexpire(&list, 100_000_000).unwrap();
    assert_eq!(node.log(&theirs).await.1, 0);
    let left: i64 = keys.connection().pttl(keys.key(&format!("ao:seq:{theirs}"))).unwrap();
    assert!(left > 0, "as long as what it counts");
    let other = room("other");
    publish(&node.broker, &other, (0..5).map(|_| insert("a"))).await;
    node.broker.clear(&other).await.unwrap();
    // New ones begin behind both.
    assert_eq!((node.log(&theirs).await.1, node.log(&room("new")).await.1), (0, 6));
    assert_eq!(node.index(&theirs, insert("b")).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_whose_counters_an_earlier_build_made_anew() {
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    publish(&node.broker, &room, [insert("0"), insert("1")]).await;
    node.expire(&room, HOUR).await;
    node.broker.clear(&room).await.unwrap();
    let anew = || {
        lose_counters(&keys, &room);
        redis::cmd("HSET")
            .arg(keys.key(&format!("ao:seq:{room}")))
            .arg(&["run", &node.store.client.live().unwrap().run])
            .arg(&["epoch", "1700000000000000", "base", "0", "from", "0", "n", "1"])
            .exec(&mut keys.connection())
            .unwrap();
    };
    anew();
    assert_eq!(node.index(&room, insert("2")).await, Some(2));
    // Who reads first knows as much.
    anew();
    let list = keys.key(&format!("msg_{room}_insert"));
    let _: () = keys.connection().rpush(&list, r#"{"data":3,"ts":1500000000}"#).unwrap();
    assert_eq!(node.log(&room).await.0, 2);
    keys.pass(HOUR).await;
    until("it is forgotten", || !keys.connection().exists::<_, bool>(&list).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_has_the_key_and_no_index_is_given_twice() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    let send = |node: &Node| {
        let (broker, room) = (node.broker.clone(), room.clone());
        tokio::spawn(async move {
            let mut placed = Vec::new();
            for i in 0..100 {
                let batch = [keyed(&format!("k{i}"), &i.to_string()), insert("-")];
                placed.extend(broker.publish(&room, batch.into()).await.unwrap());
            }
            placed
        })
    };
    let (a, b) = (send(&one), send(&two));
    let placed = [a.await.unwrap(), b.await.unwrap()].concat();
    let duplicates = placed.iter().filter(|placed| **placed == Placed::Duplicate).count();
    assert_eq!(duplicates, 100);
    let index = |placed: &Placed| match placed {
        Placed::At(Position { index, .. }) => *index,
        Placed::Full | Placed::Duplicate | Placed::Replayed { .. } | Placed::Reused => None,
    };
    let mut indexes: Vec<_> = placed.iter().filter_map(index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..300).collect::<Vec<_>>());
    assert_eq!(one.hears(&room, 300).await, two.hears(&room, 300).await);
    let stored: Vec<_> = log(&one.broker, &room).await.into_iter().filter(|t| t != "-").collect();
    assert_eq!(stored, (0..100).map(|i| i.to_string()).collect::<Vec<_>>());
}

/// Somebody else deletes the log: what it held is not held any more, so it is stored again.
#[tokio::test]
async fn a_key_whose_insert_is_gone_is_no_duplicate() {
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    publish(&node.broker, &room, [keyed("k", "a")]).await;
    let _: () = keys.connection().del(keys.key(&format!("msg_{room}_insert"))).unwrap();
    publish(&node.broker, &room, [keyed("k", "b")]).await;
    assert_eq!(log(&node.broker, &room).await, ["b"]);
    assert_eq!(
        node.broker.publish(&room, [keyed("k", "c")].into()).await.unwrap(),
        [Placed::Duplicate]
    );
}

#[tokio::test]
async fn no_more_keys_are_kept_than_are_known() {
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    for batch in 0..5 {
        let key = |i| keyed(&format!("{batch} {i} {}", "x".repeat(1000)), "1");
        publish(&node.broker, &room, (0..400).map(key)).await;
    }
    let kept: Vec<String> =
        keys.connection().zrange(keys.key(&format!("ao:keys:{room}")), 0, -1).unwrap();
    assert_eq!((kept.len(), kept.iter().all(|key| key.len() <= 41)), (1000, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_is_known_on_every_node() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    let to = |from: Option<u64>, audience| Entry::Message {
        from: from.map(ConnectionId),
        audience,
        message: Message { kind: Kind::Ignore, body: "1".into(), key: None, may_pass: true },
        receipt: None,
    };
    let connection = |id| Audience::ExceptConnection(ConnectionId(id));
    let odd = Audience::ExceptUser(uid("o,d;d \"é"));
    let batch = [
        to(Some(7), connection(7)),
        to(Some(7), Audience::All),
        to(Some(7), odd.clone()),
        to(None, connection(8)),
        to(None, Audience::All),
    ];
    publish(&one.broker, &room, batch).await;
    let told = |node: &Node| node.witness.take(&room).into_iter().map(|p| p.audience);
    let here: Vec<_> = told(&one).collect();
    assert_eq!(here, [connection(7), Audience::All, odd.clone(), connection(8), Audience::All]);
    let mut there = Vec::new();
    until("the other node is told", || {
        there.extend(told(&two));
        there.len() == 5
    })
    .await;
    // Connections of other nodes are nobody there.
    assert_eq!(there, [Audience::All, Audience::All, odd, Audience::All, Audience::All]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_of_all_spaces_have_all_that_rooms_have() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    let names = ["/r/a", "x\n1 v \"ann\"", "\u{1}", "a\0b", "room:", "é;,", "_insert", " "];
    let shared = room("class");
    let spaces = [Space::Dialect("gotapi"), Space::User];
    let in_space = |space| names.map(|name| RoomId::within(space, name).unwrap());
    let mut rooms: Vec<_> = spaces.into_iter().flat_map(in_space).chain([shared]).collect();
    let presence = [one.store.presence(), two.store.presence()];
    claim(&presence[0], "ann", 1).await;
    claim(&presence[1], "ben", 1).await;
    for room in &rooms {
        two.attach(room).await;
        presence[0].enter(room, &visitor(1, "ann")).await.unwrap();
        presence[1].enter(room, &visitor(1, "ben")).await.unwrap();
        let index = one.index(room, keyed("k", room.name())).await;
        assert_eq!(index, Some(0), "{room:?}");
        let told = ["1 joined ann", "2 joined ben", &format!("3 insert {}", room.name())];
        assert_eq!(two.hears(room, 3).await, told, "{room:?}");
        assert_eq!(log(&two.broker, room).await, [room.name()]);
    }
    rooms.sort();
    assert_eq!(two.store.presence().rooms().await.unwrap(), rooms);
    // They are held for a session that takes over, on another node, and left when that ends.
    let mut held = claim(&presence[1], "ann", 5).await;
    held.sort();
    assert_eq!(held, rooms);
    presence[1].end(&uid("ann"), ConnectionId(5)).await.unwrap();
    for room in &rooms {
        assert_eq!(two.hears(room, 1).await, ["4 gone ann"], "{room:?}");
    }
    for room in &rooms {
        one.expire(room, Duration::ZERO).await;
    }
    for room in &rooms {
        until("it is told", || two.witness.invalidated(room)).await;
        assert_eq!(two.log(room).await.0, 0);
    }
}
