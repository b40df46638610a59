//! Recalling an insert, and the time after which a log is forgotten.
use std::{sync::Arc, time::Duration};

use super::{UpkeepHome, witness::*};
use crate::domain::{
    broker::{Broker, KNOWN_KEYS, PageLimit, Placed, Upkeep},
    ids::RoomId,
};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };
const HOUR: Duration = Duration::from_secs(3600);

async fn opened(
    home: &impl UpkeepHome,
    name: &str,
) -> (Arc<dyn Broker>, Arc<dyn Upkeep>, Arc<Witness>, RoomId) {
    let ((broker, upkeep), room) = (home.open().await, room(name));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    (broker, upkeep, witness, room)
}

/// Recalls the insert; returns its body.
async fn recall(
    upkeep: &Arc<dyn Upkeep>,
    room: &RoomId,
    key: &str,
    within: usize,
) -> Option<String> {
    let body = upkeep.recall(room, key, within).await.unwrap()?;
    Some(serde_json::from_slice(&body).unwrap())
}

/// The log, with `-` for what was recalled.
async fn shown(broker: &Arc<dyn Broker>, room: &RoomId) -> Vec<String> {
    let page = broker.page(room, 0, PAGE).await.unwrap();
    assert_eq!(page.log_length, page.entries.len() as u64);
    let entries = page.entries.iter().map(|entry| match &entry.body {
        Some(_) if entry.recalled => panic!("what was recalled is shown"),
        Some(_) => bodies(std::slice::from_ref(entry)).remove(0),
        None if entry.recalled => "-".into(),
        None => "unreadable".into(),
    });
    entries.collect()
}

/// Whether it is a duplicate of a key that the room knows.
async fn is_known(broker: &Arc<dyn Broker>, room: &RoomId, key: &str) -> bool {
    broker.publish(room, [keyed(key, "again")].into()).await.unwrap() == [Placed::Duplicate]
}

/// Waits until the room's log is empty. A store may look what has expired when it is asked
/// something.
async fn forgotten(broker: &Arc<dyn Broker>, room: &RoomId) {
    let look = async {
        while broker.page(room, 0, PAGE).await.unwrap().log_length > 0
            || !updates(broker, room).await.is_empty()
        {
            broker.check().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.expect("the log is forgotten");
}

/// Waits until it was told that what is known of the room's log is out of date.
async fn invalidated(broker: &Arc<dyn Broker>, witness: &Witness, room: &RoomId) {
    let look = async {
        while !witness.invalidated(room) {
            broker.check().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.expect("the room is invalidated");
}

pub(crate) async fn what_is_recalled_is_hidden_and_keeps_its_place(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, room) = opened(home, "chat").await;
    publish(&broker, &room, [keyed("k1", "a"), keyed("k2", "b"), insert("c")]).await;
    witness.heard(&room);
    let before = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!(recall(&upkeep, &room, "k2", 200).await, Some("b".into()));
    assert_eq!(witness.heard(&room), ["4 recalled k2"]);
    assert_eq!(shown(&broker, &room).await, ["a", "-", "c"]);
    let after = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!(
        (after.base, after.entries[1].at_ms),
        (before.base, before.entries[1].at_ms),
        "where it was, and when"
    );
    let one = broker.page(&room, 1, PageLimit { entries: 1, bytes: 10 }).await.unwrap();
    assert!(one.entries[0].recalled && one.entries[0].body.is_none());
    let next = publish(&broker, &room, [insert("d")]).await;
    assert_eq!((next[0].n, next[0].index), (5, Some(3)));
}

pub(crate) async fn recalling_again_returns_it_and_tells_nobody(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, room) = opened(home, "chat").await;
    publish(&broker, &room, [keyed("k", r#"a "quoted" é"#)]).await;
    let body = Some(r#"a "quoted" é"#.to_owned());
    assert_eq!(recall(&upkeep, &room, "k", 1).await, body);
    witness.heard(&room);
    assert_eq!(recall(&upkeep, &room, "k", 1).await, body);
    assert_eq!(witness.heard(&room), [""; 0]);
    assert_eq!(shown(&broker, &room).await, ["-"]);
}

pub(crate) async fn a_recalled_message_comes_back_byte_for_byte(home: &impl UpkeepHome) {
    let (broker, upkeep, _, room) = opened(home, "chat").await;
    let body = "\t{ \"a\" : 1 }\r\n ";
    publish(&broker, &room, [keyed("k", body)]).await;
    for _ in 0..2 {
        assert_eq!(upkeep.recall(&room, "k", 200).await.unwrap().unwrap(), body);
    }
}

pub(crate) async fn a_long_key_is_recalled_and_told_whole(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, room) = opened(home, "chat").await;
    let lengths = [40, 41, 42, 30_000, 30_001];
    let keys = lengths.map(|length| "x".repeat(length));
    publish(&broker, &room, keys.iter().map(|key| keyed(key, &format!("of {}", key.len())))).await;
    witness.heard(&room);
    assert_eq!(recall(&upkeep, &room, &"x".repeat(43), 200).await, None);
    for (key, n) in keys.iter().zip(6..) {
        assert_eq!(recall(&upkeep, &room, key, 200).await, Some(format!("of {}", key.len())));
        assert_eq!(witness.heard(&room), [format!("{n} recalled {key}")]);
        assert!(is_known(&broker, &room, key).await);
    }
    assert_eq!(shown(&broker, &room).await, ["-"; 5]);
}

pub(crate) async fn what_is_not_there_is_not_recalled(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, one) = opened(home, "one").await;
    let other = room("other");
    publish(&broker, &one, [keyed("k", "a"), insert("k")]).await;
    publish(&broker, &other, [keyed("o", "b")]).await;
    witness.heard(&one);
    for (room, key) in [(&one, "o"), (&one, ""), (&one, "a"), (&other, "k"), (&room("none"), "k")] {
        assert_eq!(recall(&upkeep, room, key, 200).await, None, "{key}");
    }
    broker.clear(&one).await.unwrap();
    assert_eq!(recall(&upkeep, &one, "k", 200).await, None, "it was cleared");
    assert_eq!(witness.events(&one), ["cleared"]);
}

pub(crate) async fn only_the_newest_are_recalled(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, room) = opened(home, "chat").await;
    publish(&broker, &room, [keyed("k", "a"), insert("b"), update("x", "1"), insert("c")]).await;
    witness.heard(&room);
    for within in [0, 1, 2] {
        assert_eq!(recall(&upkeep, &room, "k", within).await, None, "{within}");
    }
    assert_eq!(witness.heard(&room), [""; 0]);
    assert_eq!(recall(&upkeep, &room, "k", 3).await, Some("a".into()));
    assert_eq!(recall(&upkeep, &room, "k", 2).await, None, "recalled ones count as well");
    assert_eq!(recall(&upkeep, &room, "k", usize::MAX).await, Some("a".into()));
    publish(&broker, &room, (0..KNOWN_KEYS).map(|_| insert("more"))).await;
    assert_eq!(recall(&upkeep, &room, "k", usize::MAX).await, None);
}

pub(crate) async fn a_recall_outlives_a_restart_and_its_key_stays_known(home: &impl UpkeepHome) {
    let (broker, upkeep, _, room) = opened(home, "chat").await;
    publish(&broker, &room, [keyed("k", "a"), keyed("l", "b")]).await;
    recall(&upkeep, &room, "k", 200).await.unwrap();
    assert!(is_known(&broker, &room, "k").await);
    broker.close().await;
    drop((broker, upkeep));
    let (broker, upkeep) = home.open().await;
    assert_eq!(shown(&broker, &room).await, ["-", "b"]);
    assert!(is_known(&broker, &room, "k").await);
    assert_eq!(recall(&upkeep, &room, "k", 200).await, Some("a".into()));
    assert_eq!(recall(&upkeep, &room, "l", 200).await, Some("b".into()));
    assert_eq!(shown(&broker, &room).await, ["-", "-"]);
}

pub(crate) async fn a_log_is_forgotten_with_what_came_meanwhile(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, room) = opened(home, "chat").await;
    publish(&broker, &room, [keyed("k", "a"), update("x", "b")]).await;
    upkeep.expire(&room, HOUR).await.unwrap();
    home.pass(HOUR / 2).await;
    publish(&broker, &room, [keyed("l", "meanwhile"), update("y", "c")]).await;
    assert_eq!(witness.events(&room).len(), 4);
    assert_eq!((log(&broker, &room).await.len(), updates(&broker, &room).await.len()), (2, 2));
    home.pass(HOUR / 2).await;
    invalidated(&broker, &witness, &room).await;
    forgotten(&broker, &room).await;
    assert_eq!(witness.events(&room), [""; 0], "nobody is told");
    let page = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!((page.base, page.log_length, page.full), (2, 0, false), "the index goes on");
    let later = publish(&broker, &room, [keyed("k", "later"), update("x", "d")]).await;
    assert_eq!(later[0].index, Some(2));
    assert_eq!(
        (log(&broker, &room).await, updates(&broker, &room).await),
        (vec!["later".into()], vec!["d".into()])
    );
}

pub(crate) async fn what_comes_after_it_lives_on(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, room) = opened(home, "chat").await;
    publish(&broker, &room, [insert("a")]).await;
    upkeep.expire(&room, HOUR).await.unwrap();
    home.pass(HOUR).await;
    // Whether or not it was seen yet that the time is over.
    let later = publish(&broker, &room, [insert("later")]).await;
    assert_eq!(later[0].index, Some(1));
    assert_eq!(log(&broker, &room).await, ["later"]);
    // Another room whose time is over later shows that this one's was.
    let clock = self::room("clock");
    broker.attach(&clock).await.unwrap();
    publish(&broker, &clock, [insert("tick")]).await;
    upkeep.expire(&clock, HOUR).await.unwrap();
    home.pass(HOUR).await;
    invalidated(&broker, &witness, &clock).await;
    assert_eq!(log(&broker, &room).await, ["later"]);
}

pub(crate) async fn a_later_word_replaces_an_earlier_one(home: &impl UpkeepHome) {
    let (broker, upkeep, witness, put_off) = opened(home, "put off").await;
    let brought_forward = room("brought forward");
    broker.attach(&brought_forward).await.unwrap();
    for room in [&put_off, &brought_forward] {
        publish(&broker, room, [insert("a")]).await;
    }
    upkeep.expire(&put_off, HOUR).await.unwrap();
    upkeep.expire(&put_off, HOUR * 3).await.unwrap();
    upkeep.expire(&brought_forward, HOUR * 24).await.unwrap();
    upkeep.expire(&brought_forward, HOUR * 2).await.unwrap();
    home.pass(HOUR * 2).await;
    invalidated(&broker, &witness, &brought_forward).await;
    forgotten(&broker, &brought_forward).await;
    assert_eq!(log(&broker, &put_off).await, ["a"]);
    home.pass(HOUR).await;
    forgotten(&broker, &put_off).await;
}

pub(crate) async fn it_outlives_a_restart_and_a_clearing(home: &impl UpkeepHome) {
    let (broker, upkeep, _, room) = opened(home, "chat").await;
    publish(&broker, &room, [insert("a")]).await;
    upkeep.expire(&room, HOUR).await.unwrap();
    broker.clear(&room).await.unwrap();
    publish(&broker, &room, [insert("b"), update("x", "1")]).await;
    broker.close().await;
    drop((broker, upkeep));
    let (broker, _upkeep) = home.open().await;
    assert_eq!(log(&broker, &room).await, ["b"]);
    home.pass(HOUR).await;
    forgotten(&broker, &room).await;
    let next = publish(&broker, &room, [insert("c")]).await;
    assert_eq!((next[0].index, log(&broker, &room).await), (Some(2), vec!["c".into()]));
}

pub(crate) async fn a_room_without_a_log_and_without_members_expires(home: &impl UpkeepHome) {
    let ((broker, upkeep), room) = (home.open().await, room("nobody was here"));
    upkeep.expire(&room, HOUR).await.unwrap();
    publish(&broker, &room, [insert("a"), update("x", "1")]).await;
    home.pass(HOUR).await;
    forgotten(&broker, &room).await;
    // At once, too.
    publish(&broker, &room, [insert("b")]).await;
    upkeep.expire(&room, Duration::ZERO).await.unwrap();
    forgotten(&broker, &room).await;
}
