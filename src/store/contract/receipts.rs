//! What is published with a receipt is published once.
use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{UPDATES, UpkeepHome, witness::*};
use crate::domain::{
    broker::{Broker, Entry, Placed, Position},
    ids::RoomId,
    receipt::KEPT,
};

/// An insert with a receipt.
fn once(key: &str, digest: u8, body: &str) -> Entry {
    with_receipt(receipt(key, digest, &format!("note of {body}")), insert(body))
}

async fn placed(
    broker: &Arc<dyn Broker>,
    room: &RoomId,
    entries: impl IntoIterator<Item = Entry>,
) -> Vec<Placed> {
    broker.publish(room, entries.into_iter().collect()).await.unwrap()
}

fn replayed(position: Position, note: &str) -> Placed {
    Placed::Replayed { position, note: format!("note of {note}").into() }
}

pub(crate) async fn the_second_of_a_receipt_is_replayed(home: &impl UpkeepHome) {
    let ((broker, _), room) = (home.open().await, room("chat"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    publish(&broker, &room, [insert("before"), ignore("and")]).await;
    let [position] = publish(&broker, &room, [once("k", 1, "a")]).await[..] else { panic!() };
    assert_eq!((position.n, position.index), (3, Some(1)));
    publish(&broker, &room, [insert("between")]).await;
    for _ in 0..2 {
        let again = with_receipt(receipt("k", 1, "another note"), insert("a"));
        assert_eq!(placed(&broker, &room, [again]).await, [replayed(position, "a")]);
    }
    assert_eq!(placed(&broker, &room, [once("k", 2, "b")]).await, [Placed::Reused]);
    assert_eq!(placed(&broker, &room, [once("k", 1, "a")]).await, [replayed(position, "a")]);
    let next = publish(&broker, &room, [once("K", 1, "c")]).await[0];
    assert_eq!((next.n, next.index), (5, Some(3)), "what was left out has no place");
    assert_eq!(log(&broker, &room).await, ["before", "a", "between", "c"]);
    let heard = ["1 insert before", "2 ignore and", "3 insert a", "4 insert between", "5 insert c"];
    assert_eq!(witness.heard(&room), heard);
}

pub(crate) async fn receipts_leave_the_rest_of_their_batch_as_it_is(home: &impl UpkeepHome) {
    let ((broker, _), room) = (home.open().await, room("chat"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    let old = publish(&broker, &room, [once("old", 1, "a"), update("x", "b")]).await[0];
    let batch = [
        ignore("c"),
        once("new", 1, "d"),
        insert("e"),
        once("old", 1, "a"),
        once("new", 1, "d"),
        with_receipt(receipt("upd", 1, ""), update("x", "f")),
        once("new", 2, "not this"),
        once("old", 2, "nor this"),
        with_receipt(receipt("ign", 1, ""), ignore("g")),
        once("last", 1, "h"),
        with_receipt(receipt("ign", 1, ""), ignore("g")),
    ];
    let ends = placed(&broker, &room, batch).await;
    let at = |i: usize| match &ends[i] {
        Placed::At(position) => *position,
        other => panic!("{i}: {other:?}"),
    };
    let places = [0, 1, 2, 5, 8, 9].map(|i| (at(i).n, at(i).index));
    let expected = [(3, None), (4, Some(1)), (5, Some(2)), (6, None), (7, None), (8, Some(3))];
    assert_eq!(places, expected);
    let nothing = Placed::Replayed { position: at(8), note: "".into() };
    for (i, end) in [
        (3, replayed(old, "a")),
        (4, replayed(at(1), "d")),
        (6, Placed::Reused),
        (7, Placed::Reused),
        (10, nothing),
    ] {
        assert_eq!(ends[i], end, "{i}");
    }
    assert_eq!(log(&broker, &room).await, ["a", "d", "e", "h"]);
    let heard = witness.events(&room);
    let batch = ["ignore c", "insert d", "insert e", "update x f", "ignore g", "insert h"];
    assert_eq!(heard[2..], batch);
    // Each as it was placed.
    let again = [
        once("last", 1, "h"),
        with_receipt(receipt("upd", 1, ""), update("x", "f")),
        once("new", 1, "d"),
    ];
    let expected = [
        replayed(at(9), "h"),
        Placed::Replayed { position: at(5), note: "".into() },
        replayed(at(1), "d"),
    ];
    assert_eq!(placed(&broker, &room, again).await, expected);
    assert_eq!(witness.events(&room), [""; 0]);
}

pub(crate) async fn refusals_are_not_kept(home: &impl UpkeepHome) {
    let ((broker, _), room) = (home.open().await, room("chat"));
    publish(&broker, &room, [keyed("known", "a")]).await;
    let duplicate = || with_receipt(receipt("k", 1, ""), keyed("known", "a"));
    let ends = placed(&broker, &room, [duplicate(), duplicate(), once("k", 2, "b")]).await;
    assert_eq!(ends[..2], [Placed::Duplicate, Placed::Duplicate]);
    let Placed::At(position) = ends[2] else { panic!("{ends:?}") };
    assert_eq!(placed(&broker, &room, [once("k", 2, "b")]).await, [replayed(position, "b")]);
    assert_eq!(placed(&broker, &room, [duplicate()]).await, [Placed::Reused]);
    // What there was no place for is stored once there is.
    let large = || {
        let body = "x".repeat(usize::try_from(UPDATES.bytes).unwrap());
        with_receipt(receipt("large", 1, ""), update("x", &body))
    };
    for _ in 0..2 {
        assert_eq!(placed(&broker, &room, [large()]).await, [Placed::Full]);
    }
    let small = with_receipt(receipt("large", 2, ""), update("x", "1"));
    assert!(matches!(placed(&broker, &room, [small]).await[..], [Placed::At(_)]));
}

pub(crate) async fn what_is_not_stored_is_told_once_too(home: &impl UpkeepHome) {
    let ((broker, _), room) = (home.open().await, room("chat"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    let word = || with_receipt(receipt("k", 1, "note of a"), ignore("a"));
    let position = publish(&broker, &room, [word()]).await[0];
    assert_eq!((position.n, position.index), (1, None));
    assert_eq!(placed(&broker, &room, [word(), ignore("b")]).await[0], replayed(position, "a"));
    assert_eq!(witness.heard(&room), ["1 ignore a", "2 ignore b"]);
    assert_eq!(log(&broker, &room).await, [""; 0]);
}

pub(crate) async fn of_fifty_at_once_in_as_many_rooms_one_is_published(home: &impl UpkeepHome) {
    let (broker, _) = home.open().await;
    let rooms: Vec<_> = (0..50).map(|_| room("chat")).collect();
    let all = rooms.iter().map(|room| placed(&broker, room, [once("k", 1, "a")]));
    let (mut positions, mut others) = (Vec::new(), Vec::new());
    for end in join_all(all).await.into_iter().flatten() {
        match end {
            Placed::At(position) => positions.push(position),
            other => others.push(other),
        }
    }
    let [position] = positions[..] else { panic!("{positions:?}") };
    assert_eq!(others, vec![replayed(position, "a"); 49]);
    let mut logs = Vec::new();
    for room in &rooms {
        logs.extend(log(&broker, room).await);
    }
    assert_eq!(logs, ["a"]);
}

pub(crate) async fn receipts_outlive_a_restart_and_a_clearing(home: &impl UpkeepHome) {
    let room = room("chat");
    let (broker, upkeep) = home.open().await;
    let position = publish(&broker, &room, [once("k", 1, "a")]).await[0];
    broker.clear(&room).await.unwrap();
    assert_eq!(placed(&broker, &room, [once("k", 1, "a")]).await, [replayed(position, "a")]);
    broker.close().await;
    drop((broker, upkeep));
    let (broker, _) = home.open().await;
    assert_eq!(placed(&broker, &room, [once("k", 1, "a")]).await, [replayed(position, "a")]);
    assert_eq!(log(&broker, &room).await, [""; 0]);
}

pub(crate) async fn a_receipt_is_kept_for_a_day(home: &impl UpkeepHome) {
    let ((broker, _), room) = (home.open().await, room("chat"));
    let minute = Duration::from_secs(60);
    let position = publish(&broker, &room, [once("k", 1, "a")]).await[0];
    home.pass(KEPT - minute).await;
    assert_eq!(placed(&broker, &room, [once("k", 1, "a")]).await, [replayed(position, "a")]);
    home.pass(2 * minute).await;
    let again = publish(&broker, &room, [once("k", 2, "b")]).await[0];
    assert_eq!(again.index, Some(1));
    assert_eq!(placed(&broker, &room, [once("k", 2, "b")]).await, [replayed(again, "b")]);
}

pub(crate) async fn a_key_stands_for_one_thing_whether_or_not_it_is_published(
    home: &impl UpkeepHome,
) {
    let ((broker, receipts), room) = (home.receipts().await, room("chat"));
    let (one, other) = ([1; 32], [2; 32]);
    assert!(receipts.take_key("k", &one).await.unwrap());
    assert!(receipts.take_key("k", &one).await.unwrap(), "it has it already");
    assert!(!receipts.take_key("k", &other).await.unwrap());
    assert_eq!(placed(&broker, &room, [once("k", 2, "a")]).await, [Placed::Reused]);
    // Only who has it gives it back.
    receipts.give_back_key("k", &other).await.unwrap();
    assert_eq!(placed(&broker, &room, [once("k", 2, "a")]).await, [Placed::Reused]);
    receipts.give_back_key("k", &one).await.unwrap();
    let position = publish(&broker, &room, [once("k", 2, "a")]).await[0];
    assert!(!receipts.take_key("k", &one).await.unwrap(), "it is published");
    receipts.give_back_key("k", &one).await.unwrap();
    assert_eq!(placed(&broker, &room, [once("k", 2, "a")]).await, [replayed(position, "a")]);
    assert_eq!(log(&broker, &room).await, ["a"]);
    let tries = join_all((0..20).map(|i| {
        let (receipts, digest) = (receipts.clone(), [i; 32]);
        async move { receipts.take_key("all", &digest).await.unwrap() }
    }));
    assert_eq!(tries.await.into_iter().filter(|had| *had).count(), 1);
    assert!(receipts.take_key("day", &one).await.unwrap());
    home.pass(KEPT + Duration::from_secs(60)).await;
    assert!(receipts.take_key("day", &other).await.unwrap());
}
