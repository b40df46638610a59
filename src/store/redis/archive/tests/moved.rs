//! What belongs to a log beside its entries, and what is beside the logs: from one Redis into a folder,
//! and from there into another.
use std::{path::Path, sync::Arc, time::Duration};

use redis::Commands;
use tempfile::TempDir;

use super::Quiet;
use crate::{
    config::{Backend, backend::MESSAGES},
    domain::{
        broker::{Broker, Page, Placed, Trim, Upkeep},
        clock::{SystemClock, SystemRng},
        erase::{Erasure, Job, State},
        ids::{RoomId, Space},
        message::form::Forms,
        records::{Collection, Expect, Put, Records},
    },
    store::{
        contract::{UPDATES, witness::*},
        embedded::{self, Embedded, Volume},
        redis::{Redis, RedisArchive, tests::Keys},
    },
    transfer::{Archive, Bounds, Cabinet, Indexes, Ledger, messages, receipts, records},
};

/// Two Redis, as far as they know, and a folder between them.
struct Way {
    from: Keys,
    to: Keys,
    folder: TempDir,
}

impl Way {
    fn new() -> Self {
        Way { from: Keys::new(), to: Keys::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn volume(&self) -> Volume {
        let (clock, rng) = (Arc::new(SystemClock), Arc::new(SystemRng));
        Volume::target(&self.folder.path().join("data"), clock, rng).unwrap()
    }

    /// Messages, receipts and records, from one to the other.
    async fn copy<S, T>(from: &S, to: &T)
    where
        S: Archive + Ledger + Cabinet,
        T: Archive + Ledger + Cabinet,
    {
        let copied = messages::copy(from, to, &Quiet).await.unwrap();
        assert!(copied.is_complete() && copied.shifted == 0, "{copied:?}");
        let copied = receipts::copy(from, to, &Quiet).await.unwrap();
        assert!(copied.is_complete(), "{copied:?}");
        let copied = records::copy(from, to, &Quiet).await.unwrap();
        assert!(copied.is_complete() && copied.kept == 0, "{copied:?}");
    }

    /// All of the way, twice: the second time changes nothing.
    async fn go(&self) -> Arc<Redis> {
        let (from, to) = (archive(&self.from).await, archive(&self.to).await);
        let volume = self.volume();
        for _ in 0..2 {
            Self::copy(&from, &volume).await;
            Self::copy(&volume, &to).await;
        }
        node(&self.to).await
    }
}

/// The store of a server in this folder.
fn embedded(path: &Path) -> embedded::Options {
    embedded::Options {
        path: path.to_owned(),
        durability: embedded::Durability::Process,
        deadline: Duration::from_secs(30),
        room_expiry: None,
        rate_limit: None,
        updates: UPDATES,
        hooks: None,
        retention: Arc::default(),
        forms: Forms::default(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
    }
}

async fn archive(keys: &Keys) -> RedisArchive {
    let Ok(Backend::Url(url)) = (MESSAGES.parse)(&keys.url) else { panic!("{}", keys.url) };
    RedisArchive::connect(&url, &keys.prefix, Duration::from_secs(10)).await.unwrap()
}

async fn node(keys: &Keys) -> Arc<Redis> {
    let node = keys.node().await;
    let broker: Arc<dyn Broker> = node.clone();
    Witness::of(&broker);
    node
}

async fn page(node: &Redis, room: &RoomId) -> Page {
    node.page(room, 0, EVERYTHING).await.unwrap()
}

/// What readers see of a page.
fn seen(page: &Page) -> (Vec<Option<String>>, [u64; 4]) {
    let text = |body: &bytes::Bytes| String::from_utf8(body.to_vec()).unwrap();
    let bodies = page.entries.iter().map(|entry| entry.body.as_ref().map(text)).collect();
    (bodies, [page.start, page.base, page.log_length, page.epoch])
}

#[tokio::test]
async fn a_log_keeps_its_indexes_its_keys_and_its_name() {
    let way = Way::new();
    let (one, room, empty) = (node(&way.from).await, room("class"), room("empty"));
    let broker: Arc<dyn Broker> = one.clone();
    publish(&broker, &room, (0..5).map(|at| insert(&at.to_string()))).await;
    broker.clear(&room).await.unwrap();
    publish(&broker, &empty, (0..9).map(|at| insert(&at.to_string()))).await;
    broker.clear(&empty).await.unwrap();
    publish(&broker, &room, (0..6).map(|at| keyed(&format!("k{at}"), &at.to_string()))).await;
    one.trim(&room, Trim::Before(7)).await.unwrap();
    one.recall(&room, "k4", 100).await.unwrap().unwrap();
    publish(&broker, &room, [update("u", "1"), ignore("2"), ignore("3")]).await;
    one.expire(&room, Duration::from_secs(3600)).await.unwrap();
    let before = page(&one, &room).await;
    let (bodies, [start, base, length, _]) = seen(&before);
    assert_eq!((start, base, length), (2, 7, 4));
    assert_eq!(bodies[2], None, "it was recalled");
    let last = archive(&way.from).await.bounds(&room).await.unwrap();
    broker.close().await;

    let other = way.go().await;
    assert_eq!(seen(&page(&other, &room).await), seen(&before));
    let held = archive(&way.to).await.bounds(&room).await.unwrap();
    assert_eq!(held, last);
    assert!(held.ends_ms.is_some() && held.n >= 12, "{held:?}");
    let broker: Arc<dyn Broker> = other.clone();
    let placed = broker.publish(&room, [keyed("k3", "again")].into()).await.unwrap();
    assert_eq!(placed, [Placed::Duplicate], "the key is known");
    let next = publish(&broker, &room, [keyed("k6", "6")]).await[0];
    assert_eq!(next.index, Some(11));
    assert!(next.n > last.n, "its order goes on");
    assert_eq!(other.recall(&room, "k4", 100).await.unwrap().unwrap(), "4", "it has its message");
    let fresh = publish(&broker, &RoomId::new("fresh").unwrap(), [insert("1")]).await;
    assert!(fresh[0].index >= Some(9), "no index of an empty room is given again");
}

#[tokio::test]
async fn a_log_that_is_not_copied_yet_is_copied_with_what_it_shows() {
    let way = Way::new();
    let (one, hidden, over) = (node(&way.from).await, room("hidden"), room("over"));
    let broker: Arc<dyn Broker> = one.clone();
    publish(&broker, &hidden, (0..6).map(|at| insert(&at.to_string()))).await;
    publish(&broker, &over, [insert("1"), update("u", "2")]).await;
    broker.close().await;
    let mut redis = way.from.connection();
    // As a trimming leaves it that has not deleted anything yet, and the moment behind an end.
    let _: () = redis.hset(way.from.key(&format!("ao:seq:{hidden}")), "kept", "0 4 0").unwrap();
    let _: () = redis.hset(way.from.key(&format!("ao:seq:{over}")), "due", 1).unwrap();
    let other = way.go().await;
    let there = page(&other, &hidden).await;
    assert_eq!(bodies(&there.entries), ["4", "5"]);
    assert_eq!((there.start, there.base), (4, 4));
    let broker: Arc<dyn Broker> = other.clone();
    assert_eq!(log(&broker, &over).await, [""; 0]);
    assert_eq!(updates(&broker, &over).await, [""; 0]);
    assert_eq!(publish(&broker, &over, [insert("3")]).await[0].index, Some(1));
}

/// As a chat has it whose rooms are made and deleted: begun in the files of one server, and gone on
/// with on a Redis.
#[tokio::test]
async fn a_life_and_its_records_go_on_where_they_were() {
    const ROOMS: Collection = Collection::new("talk-rooms", &[]);
    const PARTS: Collection = Collection::new("talk-parts", &["of"]);
    let (folder, to) = (tempfile::tempdir().unwrap(), Keys::new());
    let (path, clock, rng) =
        (folder.path().join("data"), Arc::new(SystemClock), Arc::new(SystemRng));
    let plans = RoomId::within(Space::Lives("talk"), "plans:x7").unwrap();
    let body = |text: &str| format!(r#"{{"life":"x7","text":"{text}"}}"#).into();
    let one = Embedded::open(embedded(&path)).unwrap();
    let broker: Arc<dyn Broker> = one.clone();
    publish(&broker, &room("class"), ["1", "2"].map(insert)).await;
    publish(&broker, &plans, (0..12).map(|at| insert(&at.to_string()))).await;
    one.trim(&plans, Trim::Keep(5)).await.unwrap();
    let mut version = 0;
    for (expect, text) in [(Expect::New, "made"), (Expect::Any, "changed")] {
        let put = one.put(&ROOMS, "plans", body(text), expect, None).await.unwrap();
        let Put::Done { version: now } = put else { panic!("{put:?}") };
        version = now;
    }
    let part = r#"{"of":"x7","names":["ann"]}"#.into();
    one.put(&PARTS, "x7:1", part, Expect::New, None).await.unwrap();
    broker.close().await;
    drop((broker, one));

    let (from, target) = (Volume::source(&path, clock, rng).unwrap(), archive(&to).await);
    for _ in 0..2 {
        Way::copy(&from, &target).await;
    }
    let other = node(&to).await;
    let broker: Arc<dyn Broker> = other.clone();
    let there = page(&other, &plans).await;
    assert_eq!(
        (there.base, bodies(&there.entries)),
        (7, ["7", "8", "9", "10", "11"].map(String::from).into())
    );
    assert_eq!(publish(&broker, &plans, [insert("12")]).await[0].index, Some(12));
    let again = RoomId::within(Space::Lives("talk"), "plans:y8").unwrap();
    assert_eq!(publish(&broker, &again, [insert("0")]).await[0].index, Some(0), "made anew");
    let found = other.get(&ROOMS, "plans").await.unwrap().unwrap();
    assert_eq!((found.version, found.body), (version, body("changed")));
    let put = other.put(&ROOMS, "plans", body("here"), Expect::Version(version), None).await;
    assert!(
        matches!(put.unwrap(), Put::Done { .. }),
        "whoever has read it there may change it here"
    );
    assert_eq!(other.find(&PARTS, "of", "x7", None, 9).await.unwrap().records.len(), 1);
}

/// A server has served the target, and what is there now is another log for its readers.
#[tokio::test]
async fn a_log_with_other_indexes_in_the_target_is_told() {
    let way = Way::new();
    let (from, to, room) = (archive(&way.from).await, archive(&way.to).await, room("class"));
    let bounds = |at| Bounds { origin: at, start: at, ..Bounds::default() };
    for (archive, at) in [(&from, 7), (&to, 5)] {
        assert!(archive.begin(&room, &bounds(at)).await.unwrap());
        let entry = super::stored("1", 1_600_000_000).into();
        assert!(archive.append(&room, 0, &[entry]).await.unwrap());
        assert!(!archive.begin(&room, &bounds(9)).await.unwrap(), "it has begun");
    }
    let copied = messages::copy(&from, &to, &Quiet).await.unwrap();
    assert!(copied.is_complete() && copied.shifted == 1, "{copied:?}");
    assert_eq!(to.bounds(&room).await.unwrap().origin, 5);
}

#[tokio::test]
async fn a_name_holds_as_long_as_its_log() {
    let way = Way::new();
    let (one, room) = (node(&way.from).await, room("class"));
    let broker: Arc<dyn Broker> = one.clone();
    publish(&broker, &room, [insert("1")]).await;
    let before = page(&one, &room).await.epoch;
    broker.close().await;
    let other = way.go().await;
    assert_eq!(page(&other, &room).await.epoch, before);
    other.trim(&room, Trim::Keep(0)).await.unwrap();
    assert_eq!(page(&other, &room).await.epoch, before);
    other.clear(&room).await.unwrap();
    assert_ne!(page(&other, &room).await.epoch, before);
}

const PEOPLE: Collection = Collection::new("people", &["city"]);

#[tokio::test]
async fn records_are_found_by_what_they_were_found_by() {
    let way = Way::new();
    let one = way.from.node().await;
    let mut versions = Vec::new();
    for at in 0..450 {
        let body = format!(r#"{{"city":"a:b é{}"}}"#, at % 2);
        let ends = (at % 3 == 0).then_some(4_000_000_000 + at);
        let put = one.put(&PEOPLE, &format!("p {at:03}"), body.into(), Expect::New, ends).await;
        let Put::Done { version } = put.unwrap() else { panic!("{at}") };
        versions.push(version);
    }
    one.put(&PEOPLE, "gone", "{}".into(), Expect::New, Some(1)).await.unwrap();
    one.put(&Collection::new("other", &[]), "x", "{}".into(), Expect::New, None).await.unwrap();
    let other = way.go().await;
    let found = other.find(&PEOPLE, "city", "a:b é1", None, 1000).await.unwrap().records;
    assert_eq!(found.len(), 225);
    let all = other.list(&PEOPLE, None, 1000).await.unwrap().records;
    assert_eq!(all.iter().map(|record| record.version).collect::<Vec<_>>(), versions);
    assert_eq!((all[3].expires_at, all[4].expires_at), (Some(4_000_000_003), None));
    assert_eq!(other.list(&Collection::new("other", &[]), None, 9).await.unwrap().records.len(), 1);
    // Of what was written on both sides the later is kept.
    let later = Expect::Version(versions[7]);
    other.put(&PEOPLE, "p 007", r#"{"city":"c"}"#.into(), later, None).await.unwrap();
    let later = Expect::Version(versions[8]);
    one.put(&PEOPLE, "p 008", r#"{"city":"d"}"#.into(), later, None).await.unwrap();
    let (from, to) = (archive(&way.from).await, archive(&way.to).await);
    let copied = records::copy(&from, &to, &Quiet).await.unwrap();
    assert!(copied.is_complete() && copied.kept == 1, "{copied:?}");
    for city in ["c", "d"] {
        assert_eq!(other.find(&PEOPLE, "city", city, None, 9).await.unwrap().records.len(), 1);
    }
}

#[tokio::test]
async fn what_was_done_once_is_not_done_again() {
    let way = Way::new();
    let (one, room) = (node(&way.from).await, room("class"));
    let broker: Arc<dyn Broker> = one.clone();
    let once = |key: &str| with_receipt(receipt(key, 7, "no\nte"), insert(key));
    let mut first = Vec::new();
    for at in 0..700 {
        first.extend(publish(&broker, &room, [once(&format!("k{at}"))]).await);
    }
    let job = Job { after: Some("at".into()), ..Job::new("j".into(), &uid("ann"), None, 5) };
    one.keep_job(&job).await.unwrap();
    let done = Job { state: State::Done, ..Job::new("done".into(), &uid("ann"), None, 5) };
    one.keep_job(&done).await.unwrap();
    broker.close().await;
    let other = way.go().await;
    for (at, position) in first.iter().enumerate().step_by(99) {
        let placed = other.publish(&room, [once(&format!("k{at}"))].into()).await.unwrap();
        let note = "no\nte".into();
        assert_eq!(placed, [Placed::Replayed { position: *position, note }]);
    }
    let left: i64 = way.to.connection().pttl(way.to.key("ao:receipt:k0")).unwrap();
    assert!(left > 0 && left <= 24 * 3600 * 1000 + 1000, "{left}");
    let open = other.open_jobs().await.unwrap();
    assert_eq!(open, [Job { after: None, ..job }]);
}

#[tokio::test]
async fn a_life_counts_on_though_nothing_of_it_is_stored() {
    let way = Way::new();
    let one = node(&way.from).await;
    let broker: Arc<dyn Broker> = one.clone();
    let life = |name| RoomId::within(Space::Lives("talk"), name).unwrap();
    let (empty, some, ended, class) = (life("empty"), life("some"), life("ended"), room("class"));
    for room in [&class, &empty, &some, &ended] {
        publish(&broker, room, ["a", "b", "c"].map(insert)).await;
    }
    one.trim(&empty, Trim::Keep(0)).await.unwrap();
    one.trim(&some, Trim::Keep(1)).await.unwrap();
    one.expire(&ended, Duration::from_secs(3600)).await.unwrap();
    for room in [&ended, &class] {
        broker.clear(room).await.unwrap();
    }
    broker.close().await;

    let other = way.go().await;
    let broker: Arc<dyn Broker> = other.clone();
    let fresh = life("fresh");
    for (room, index) in [(&empty, 3), (&some, 3), (&ended, 3), (&fresh, 0), (&class, 3)] {
        let placed = publish(&broker, room, [insert("d")]).await;
        assert_eq!(placed[0].index, Some(index), "{room:?}");
    }
    assert!(archive(&way.to).await.bounds(&ended).await.unwrap().ends_ms.is_some());
}
