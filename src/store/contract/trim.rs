//! Trimming: the oldest of a log goes, and nothing else moves.
use std::{sync::Arc, time::Duration};

use super::{UpkeepHome, witness::*};
use crate::domain::{
    broker::{Broker, Page, PageLimit, Placed, Trim, Trimmed, Upkeep},
    ids::RoomId,
};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };
const HOUR: Duration = Duration::from_secs(3600);

/// A store with a room, and who hears what happens there.
struct Stage {
    broker: Arc<dyn Broker>,
    upkeep: Arc<dyn Upkeep>,
    witness: Arc<Witness>,
    room: RoomId,
}

impl Stage {
    async fn new(home: &impl UpkeepHome) -> Self {
        let (broker, upkeep) = home.open().await;
        let (witness, room) = (Witness::of(&broker), room("chat"));
        broker.attach(&room).await.unwrap();
        Stage { broker, upkeep, witness, room }
    }

    async fn insert(&self, texts: impl IntoIterator<Item = &str>) {
        publish(&self.broker, &self.room, texts.into_iter().map(insert)).await;
    }

    /// Index of one more insert.
    async fn next(&self, text: &str) -> u64 {
        publish(&self.broker, &self.room, [insert(text)]).await[0].index.unwrap()
    }

    async fn trim(&self, trim: Trim) -> (u64, u64) {
        let Trimmed { removed, start } = self.upkeep.trim(&self.room, trim).await.unwrap();
        (removed, start)
    }

    async fn page(&self, from: u64) -> Page {
        self.broker.page(&self.room, from, PAGE).await.unwrap()
    }

    /// What is shown from an offset on.
    async fn shown(&self, from: u64) -> Vec<String> {
        bodies(&self.page(from).await.entries)
    }
}

pub(crate) async fn what_is_trimmed_is_gone_and_nothing_else_moves(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    stage.insert(["a", "b"]).await;
    stage.insert(["c", "d"]).await;
    let (before, edition) = (stage.page(0).await, stage.broker.edition(&stage.room).await.unwrap());
    stage.witness.heard(&stage.room);
    assert_eq!(stage.trim(Trim::Before(2)).await, (2, 2));
    assert_eq!(stage.witness.heard(&stage.room), ["5 trimmed 2"]);
    let after = stage.page(0).await;
    assert_eq!(
        (after.start, after.base, after.log_length, bodies(&after.entries)),
        (2, before.base + 2, 2, vec!["c".into(), "d".into()])
    );
    assert_eq!((after.epoch, after.origin()), (before.epoch, before.base), "it is the same log");
    // Nodes keep no page of what was there, by this or by being told.
    let now = stage.broker.edition(&stage.room).await.unwrap();
    assert!(edition == 0 || edition != now);
    assert_eq!(now, after.edition);
    assert_eq!(stage.shown(3).await, ["d"]);
    assert_eq!(stage.next("e").await, before.base + 4);
    assert_eq!(stage.shown(4).await, ["e"]);
    // Less than is gone already is nothing.
    stage.witness.heard(&stage.room);
    for again in [Trim::Before(0), Trim::Before(2), Trim::Keep(3), Trim::Keep(u64::MAX)] {
        assert_eq!(stage.trim(again).await, (0, 2), "{again:?}");
    }
    assert_eq!(stage.witness.heard(&stage.room), [""; 0]);
}

pub(crate) async fn a_log_is_trimmed_to_a_number_of_inserts(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    stage.insert(["a", "b", "c", "d", "e"]).await;
    publish(&stage.broker, &stage.room, [update("x", "1")]).await;
    assert_eq!(stage.trim(Trim::Keep(2)).await, (3, 3));
    assert_eq!(stage.shown(0).await, ["d", "e"]);
    assert_eq!(updates(&stage.broker, &stage.room).await, ["1"], "updates are not counted");
    stage.insert(["f", "g"]).await;
    assert_eq!(stage.trim(Trim::Keep(3)).await, (1, 4));
    assert_eq!(stage.shown(0).await, ["e", "f", "g"]);
}

pub(crate) async fn what_is_too_old_goes_with_what_stands_before_it(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    for texts in [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"], ["i", "j"]] {
        stage.insert(texts).await;
        home.pass(HOUR).await;
    }
    assert_eq!(stage.trim(Trim::OlderThan(HOUR * 6)).await, (0, 0));
    assert_eq!(stage.trim(Trim::OlderThan(HOUR * 3)).await, (6, 6));
    assert_eq!(stage.shown(0).await, ["g", "h", "i", "j"]);
    home.pass(HOUR).await;
    stage.insert(["k"]).await;
    assert_eq!(stage.trim(Trim::OlderThan(HOUR * 2)).await, (4, 10));
    assert_eq!(stage.shown(0).await, ["k"]);
    assert_eq!(stage.trim(Trim::OlderThan(Duration::ZERO)).await, (1, 11));
    assert_eq!(stage.trim(Trim::OlderThan(Duration::MAX)).await, (0, 11));
}

pub(crate) async fn updates_go_by_their_last_writing(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    let (broker, room) = (&stage.broker, &stage.room);
    publish(broker, room, [update("x", "1"), update("y", "2"), update("z", "3")]).await;
    home.pass(HOUR).await;
    publish(broker, room, [update("y", "4"), insert("a")]).await;
    stage.witness.heard(room);
    assert_eq!(stage.trim(Trim::OlderThan(HOUR)).await, (2, 0));
    assert_eq!(stage.witness.heard(room), ["6 trimmed 0"]);
    assert_eq!(
        (updates(broker, room).await, log(broker, room).await),
        (vec!["4".into()], vec!["a".into()])
    );
    // They count no more for the bound on updates.
    let many = (0..super::UPDATES.entries - 1).map(|i| update(&format!("u{i}"), "0"));
    assert_eq!(refused(broker, room, many).await, [0; 0]);
    home.pass(HOUR).await;
    assert_eq!(stage.trim(Trim::OlderThan(HOUR)).await, (super::UPDATES.entries + 1, 1));
    assert_eq!(updates(broker, room).await, [""; 0]);
}

pub(crate) async fn an_emptied_log_counts_on(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    stage.insert(["a", "b", "c"]).await;
    let epoch = stage.page(0).await.epoch;
    assert_eq!(stage.trim(Trim::Keep(0)).await, (3, 3));
    let page = stage.page(0).await;
    assert_eq!((page.start, page.base, page.log_length, page.full), (3, 3, 0, false));
    assert_eq!(stage.next("d").await, 3);
    assert_eq!((stage.shown(0).await, stage.shown(3).await), (vec!["d".into()], vec!["d".into()]));
    assert_eq!(stage.shown(4).await, [""; 0]);
    assert_eq!(stage.page(0).await.epoch, epoch);
}

pub(crate) async fn a_cleared_log_counts_anew(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    stage.insert(["a", "b", "c"]).await;
    stage.trim(Trim::Keep(1)).await;
    let epoch = stage.page(0).await.epoch;
    stage.broker.clear(&stage.room).await.unwrap();
    let page = stage.page(0).await;
    assert_eq!((page.start, page.base, page.log_length), (0, 3, 0));
    assert!(page.epoch != epoch && page.epoch < 1 << 53);
    assert_eq!(stage.next("d").await, 3);
    let page = stage.page(0).await;
    assert_eq!((page.start, bodies(&page.entries)), (0, vec!["d".into()]));
    // Of an emptied one, too.
    stage.trim(Trim::Keep(0)).await;
    stage.broker.clear(&stage.room).await.unwrap();
    assert_eq!(stage.page(0).await.start, 0);
    assert_eq!(stage.trim(Trim::Before(100)).await, (0, 4));
}

pub(crate) async fn trimming_in_the_middle_of_a_batch_splits_it(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    let texts: Vec<String> = (0..250).map(|i| format!("m{i}")).collect();
    stage.insert(texts.iter().map(String::as_str)).await;
    for start in [1, 30, 99, 100, 101, 249] {
        assert_eq!(stage.trim(Trim::Before(start)).await.1, start);
        let page = stage.page(0).await;
        assert_eq!(bodies(&page.entries[..1]), [format!("m{start}")]);
        assert_eq!((page.start, page.log_length), (start, 250 - start));
        assert_eq!(stage.shown(249).await, ["m249"]);
        // The rows are deleted meanwhile.
        stage.broker.check_writing().await.unwrap();
        assert_eq!(bodies(&stage.page(0).await.entries[..1]), [format!("m{start}")]);
    }
    assert_eq!(stage.next("m250").await, 250);
}

pub(crate) async fn trimming_outlives_a_restart(home: &impl UpkeepHome) {
    let mut stage = Stage::new(home).await;
    stage.insert(["a", "b", "c"]).await;
    let epoch = stage.page(0).await.epoch;
    for (keep, start, shown) in [(1, 2, vec!["c".to_owned()]), (0, 3, vec![])] {
        stage.trim(Trim::Keep(keep)).await;
        stage.broker.close().await;
        let room = stage.room.clone();
        drop(stage);
        let (broker, upkeep) = home.open().await;
        let witness = Witness::of(&broker);
        stage = Stage { broker, upkeep, witness, room };
        let page = stage.page(0).await;
        assert_eq!((page.start, page.base, page.epoch), (start, start, epoch));
        assert_eq!(bodies(&page.entries), shown);
    }
    assert_eq!(stage.next("d").await, 3);
    assert_eq!(stage.shown(3).await, ["d"]);
}

pub(crate) async fn a_page_below_the_start_begins_there(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    let texts: Vec<String> = (0..20).map(|i| format!("m{i}")).collect();
    stage.insert(texts.iter().map(String::as_str)).await;
    // Somebody reads page by page, and the log is trimmed between two of them.
    let limit = PageLimit { entries: 5, ..PAGE };
    let page = |from| stage.broker.page(&stage.room, from, limit);
    let first = page(0).await.unwrap();
    assert_eq!((first.entries.len(), first.full), (5, true));
    stage.trim(Trim::Before(8)).await;
    let second = page(5).await.unwrap();
    assert_eq!((bodies(&second.entries), second.full), (texts[8..13].to_vec(), true));
    assert_eq!((second.first(5), second.end()), (8, 20));
    let third = page(13).await.unwrap();
    assert_eq!(bodies(&third.entries), texts[13..18]);
    let last = page(18).await.unwrap();
    assert_eq!((bodies(&last.entries), last.full), (texts[18..].to_vec(), false));
    assert_eq!(page(u64::MAX).await.unwrap().entries.len(), 0);
}

pub(crate) async fn keys_and_recalls_of_what_is_gone_are_gone(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    let (broker, room) = (&stage.broker, &stage.room);
    publish(broker, room, [keyed("k1", "a"), keyed("k2", "b"), keyed("k3", "c")]).await;
    stage.upkeep.recall(room, "k2", 200).await.unwrap().unwrap();
    stage.trim(Trim::Before(2)).await;
    assert_eq!(stage.upkeep.recall(room, "k1", 200).await.unwrap(), None);
    assert_eq!(stage.upkeep.recall(room, "k2", 200).await.unwrap(), None);
    let again = broker.publish(room, [keyed("k3", "c"), keyed("k1", "d")].into()).await.unwrap();
    assert_eq!(again[0], Placed::Duplicate);
    assert!(matches!(again[1], Placed::At(position) if position.index == Some(3)), "{again:?}");
    let page = stage.page(0).await;
    assert_eq!((bodies(&page.entries), page.start), (vec!["c".into(), "d".into()], 2));
    assert!(stage.upkeep.recall(room, "k3", 200).await.unwrap().is_some());
    assert!(stage.page(2).await.entries[0].recalled);
}

pub(crate) async fn a_long_log_is_hidden_at_once(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    for _ in 0..12 {
        publish(&stage.broker, &stage.room, (0..1000).map(|_| insert("old"))).await;
    }
    stage.insert(["new"]).await;
    assert_eq!(stage.trim(Trim::Keep(1)).await, (12_000, 12_000));
    assert_eq!(stage.shown(0).await, ["new"]);
    assert_eq!(stage.shown(11_999).await, ["new"]);
    assert_eq!(stage.next("newer").await, 12_001);
    assert_eq!(stage.trim(Trim::Keep(1)).await, (1, 12_001));
    let page = stage.page(0).await;
    assert_eq!(
        (page.start, page.log_length, bodies(&page.entries)),
        (12_001, 1, vec!["newer".into()])
    );
    stage.broker.clear(&stage.room).await.unwrap();
    assert_eq!(stage.next("again").await, 12_002);
    assert_eq!(stage.shown(0).await, ["again"]);
}

pub(crate) async fn a_room_that_is_not_there_is_trimmed_in_vain(home: &impl UpkeepHome) {
    let (broker, upkeep) = home.open().await;
    let room = room("nobody was here");
    for trim in [Trim::Before(7), Trim::Keep(0), Trim::OlderThan(Duration::ZERO)] {
        assert_eq!(upkeep.trim(&room, trim).await.unwrap().removed, 0, "{trim:?}");
    }
    // A log whose time is over is gone as well.
    publish(&broker, &room, [insert("a")]).await;
    upkeep.expire(&room, HOUR).await.unwrap();
    home.pass(HOUR).await;
    let trimmed = upkeep.trim(&room, Trim::Keep(0)).await.unwrap();
    assert_eq!((trimmed.removed, trimmed.start), (0, 1));
}

pub(crate) async fn members_are_told_the_index_behind_a_trimming(home: &impl UpkeepHome) {
    let stage = Stage::new(home).await;
    stage.insert(["a", "b", "c"]).await;
    stage.trim(Trim::Keep(1)).await;
    stage.insert(["d"]).await;
    stage.trim(Trim::Keep(0)).await;
    stage.insert(["e", "f"]).await;
    let told = stage.witness.take(&stage.room);
    let indexes: Vec<Option<u64>> = told.iter().map(|publication| publication.index).collect();
    let expected = [Some(0), Some(1), Some(2), None, Some(3), None, Some(4), Some(5)];
    assert_eq!(indexes, expected);
}
