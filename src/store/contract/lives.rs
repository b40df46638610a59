//! Rooms whose names never come again, and rooms that keep few of their messages, or none.
use std::{sync::Arc, time::Duration};

use super::{UpkeepHome, witness::*};
use crate::domain::{
    broker::{Broker, PageLimit, Trim, Upkeep},
    hub::LATE,
    ids::{RoomId, Space},
};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };

/// A life that no other test has.
fn life(name: &str) -> RoomId {
    RoomId::within(Space::Lives("talk"), room(name).name()).unwrap()
}

/// The log's first index, its length, and what is shown.
async fn shown(broker: &Arc<dyn Broker>, room: &RoomId) -> (u64, u64, Vec<String>) {
    let page = broker.page(room, 0, PAGE).await.unwrap();
    (page.base, page.log_length, bodies(&page.entries))
}

async fn index(broker: &Arc<dyn Broker>, room: &RoomId, text: &str) -> u64 {
    publish(broker, room, [insert(text)]).await[0].index.unwrap()
}

/// Has the room forgotten, as the hub does it.
async fn forget(broker: &Arc<dyn Broker>, upkeep: &Arc<dyn Upkeep>, room: &RoomId) {
    upkeep.expire(room, LATE).await.unwrap();
    broker.clear(room).await.unwrap();
}

/// Waits until the room counts from 0 again: nothing is known of it.
async fn forgotten(broker: &Arc<dyn Broker>, room: &RoomId) {
    let look = async {
        while shown(broker, room).await != (0, 0, Vec::new()) {
            broker.check().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.expect("the room is forgotten");
}

pub(crate) async fn a_life_begins_with_index_0_and_counts_through_all_but_its_end(
    home: &impl UpkeepHome,
) {
    let (broker, upkeep) = home.open().await;
    // Other rooms were there before, and are gone.
    for other in [room("other"), life("other")] {
        publish(&broker, &other, (0..7).map(|_| insert("a"))).await;
        forget(&broker, &upkeep, &other).await;
    }
    let life = life("talk");
    assert_eq!(shown(&broker, &life).await, (0, 0, vec![]));
    assert_eq!(index(&broker, &life, "a").await, 0);
    broker.clear(&life).await.unwrap();
    assert_eq!(index(&broker, &life, "b").await, 1);
    upkeep.trim(&life, Trim::Keep(0)).await.unwrap();
    broker.close().await;
    drop((broker, upkeep));
    let (broker, _upkeep) = home.open().await;
    assert_eq!(index(&broker, &life, "c").await, 2);
    assert_eq!(shown(&broker, &life).await, (2, 1, vec!["c".into()]));
}

pub(crate) async fn a_room_that_keeps_nothing_counts_on(home: &impl UpkeepHome) {
    let (broker, upkeep) = home.open().await;
    for room in [life("talk"), room("class")] {
        for i in 0..5 {
            assert_eq!(index(&broker, &room, "a").await, i);
            let trimmed = upkeep.trim(&room, Trim::Keep(0)).await.unwrap();
            assert_eq!((trimmed.removed, trimmed.start), (1, i + 1));
            assert_eq!(shown(&broker, &room).await, (i + 1, 0, vec![]));
        }
        // Two messages may come before either is trimmed.
        publish(&broker, &room, [insert("b"), insert("c")]).await;
        assert_eq!(upkeep.trim(&room, Trim::Keep(0)).await.unwrap().removed, 2);
        assert_eq!(upkeep.trim(&room, Trim::Keep(0)).await.unwrap().removed, 0);
        assert_eq!(index(&broker, &room, "d").await, 7);
        upkeep.trim(&room, Trim::Keep(0)).await.unwrap();
        // It keeps some from now on.
        publish(&broker, &room, ["e", "f"].map(insert)).await;
        assert_eq!(shown(&broker, &room).await, (8, 2, vec!["e".into(), "f".into()]));
    }
}

pub(crate) async fn the_newest_and_any_window_are_read_by_index(home: &impl UpkeepHome) {
    let (broker, upkeep) = home.open().await;
    let life = life("talk");
    for batch in 0..6 {
        publish(&broker, &life, (0..40).map(|i| insert(&format!("m{}", batch * 40 + i)))).await;
    }
    upkeep.trim(&life, Trim::Keep(90)).await.unwrap();
    publish(&broker, &life, [insert("m240")]).await;
    let head = broker.page(&life, 0, PageLimit { entries: 1, bytes: 1 }).await.unwrap();
    let end = head.base + head.log_length;
    assert_eq!((head.base, end, head.origin()), (150, 241, 0));
    let read = async |from: u64, count: usize| {
        let limit = PageLimit { entries: count, bytes: 1 << 20 };
        let page = broker.page(&life, from - head.origin(), limit).await.unwrap();
        (page.origin() + page.first(from - head.origin()), bodies(&page.entries))
    };
    let texts = |range: std::ops::Range<u64>| range.map(|i| format!("m{i}")).collect::<Vec<_>>();
    for (from, count, first, to) in [
        (end - 3, 3, 238, 241),
        (end - 1, 1, 240, 241),
        (160, 90, 160, 241),
        (199, 2, 199, 201),
        // What is trimmed is skipped, and the window begins where the log does.
        (0, 5, 150, 155),
        (149, 2, 150, 152),
        (150, 1, 150, 151),
    ] {
        assert_eq!(read(from, count).await, (first, texts(first..to)), "{from} {count}");
    }
    assert_eq!(read(end, 10).await.1, [""; 0]);
    assert_eq!(read(end + 100, 10).await.1, [""; 0]);
    // A page that is cut by its bytes goes on where it ended.
    let limit = PageLimit { entries: 10, bytes: 12 };
    let page = broker.page(&life, 200, limit).await.unwrap();
    assert_eq!((bodies(&page.entries), page.full), (texts(200..202), true));
    // Cleared, indexes go on, and offsets begin anew.
    broker.clear(&life).await.unwrap();
    publish(&broker, &life, [insert("m241"), insert("m242")]).await;
    let page = broker.page(&life, 1, PAGE).await.unwrap();
    assert_eq!((page.base, page.origin(), bodies(&page.entries)), (241, 241, texts(242..243)));
}

pub(crate) async fn a_life_is_forgotten_with_what_came_late(home: &impl UpkeepHome) {
    let (broker, upkeep) = home.open().await;
    let witness = Witness::of(&broker);
    let (quiet, late, empty) = (life("quiet"), life("late"), life("empty"));
    for room in [&quiet, &late] {
        publish(&broker, room, [keyed("k", "a"), update("x", "b")]).await;
    }
    broker.attach(&late).await.unwrap();
    witness.take(&late);
    for room in [&quiet, &late, &empty] {
        forget(&broker, &upkeep, room).await;
        assert_eq!(log(&broker, room).await, [""; 0], "at once");
        assert_eq!(updates(&broker, room).await, [""; 0]);
    }
    assert_eq!(witness.events(&late), ["cleared"]);
    assert_eq!(index(&broker, &late, "late").await, 1);
    broker.detach(&late);
    home.pass(LATE).await;
    for room in [&quiet, &late, &empty] {
        forgotten(&broker, room).await;
        assert_eq!(updates(&broker, room).await, [""; 0]);
    }
}

pub(crate) async fn forgetting_outlives_a_restart(home: &impl UpkeepHome) {
    let life = life("talk");
    let (broker, upkeep) = home.open().await;
    publish(&broker, &life, [insert("a"), insert("b")]).await;
    forget(&broker, &upkeep, &life).await;
    // Again, as by one who was told of no outcome.
    forget(&broker, &upkeep, &life).await;
    broker.close().await;
    drop((broker, upkeep));
    home.pass(LATE).await;
    let (broker, _upkeep) = home.open().await;
    forgotten(&broker, &life).await;
}
