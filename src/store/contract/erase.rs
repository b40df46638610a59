//! Erasing: messages are overwritten, and keep their places.
use std::sync::Arc;

use super::{UpkeepHome, witness::*};
use crate::domain::{
    broker::{Broker, Page, PageLimit, Trim, Updates},
    erase::{Erased, Job, State, perform},
    ids::{RoomId, Space},
};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };
const MARK: &str = "quo-usque-tandem";

/// What somebody says.
fn said(uid: &str, text: &str) -> String {
    format!(r#"{{"text":"{text}","2":"{uid}","s":1}}"#)
}

/// The log, with `-` for what has no body.
async fn shown(broker: &Arc<dyn Broker>, room: &RoomId) -> Vec<String> {
    let page = broker.page(room, 0, PAGE).await.unwrap();
    let text = |body: &bytes::Bytes| {
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        value["text"].as_str().unwrap().to_owned()
    };
    page.entries.iter().map(|e| e.body.as_ref().map_or("-".into(), text)).collect()
}

pub(crate) async fn what_a_user_said_is_overwritten_and_keeps_its_place(home: &impl UpkeepHome) {
    let ((broker, upkeep, erasure, _), room) = (home.erasing().await, room("chat"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    let entries = ["ann", "bob", "ann", "ann", "bob"].into_iter().enumerate();
    let entries = entries.map(|(i, uid)| keyed(&format!("k{i}"), &said(uid, &format!("m{i}"))));
    publish(&broker, &room, entries).await;
    publish(
        &broker,
        &room,
        [
            update("x", &said("ann", "u1")),
            update("y", &said("bob", "u2")),
            ignore(&said("ann", "i")),
        ],
    )
    .await;
    // What was recalled is there, and goes as well.
    upkeep.recall(&room, "k3", 200).await.unwrap().unwrap();
    let (before, edition) =
        (broker.page(&room, 0, PAGE).await.unwrap(), broker.edition(&room).await.unwrap());
    witness.invalidated(&room);
    let erased = erasure.erase(&room, &uid("ann")).await.unwrap();
    assert_eq!((erased.inserts, erased.updates), (3, 1));
    assert_eq!(shown(&broker, &room).await, ["-", "m1", "-", "-", "m4"]);
    let after = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!((after.base, after.log_length, after.epoch), (before.base, 5, before.epoch));
    let times = |page: &Page| page.entries.iter().map(|entry| entry.at_ms).collect::<Vec<_>>();
    assert_eq!(times(&after), times(&before));
    // Nodes keep no page with it.
    assert!(edition != broker.edition(&room).await.unwrap() || witness.invalidated(&room));
    let Updates::All(updates) = broker.updates(&room, usize::MAX).await.unwrap() else {
        panic!("they are few")
    };
    assert_eq!(updates.iter().map(|u| u.body.is_some()).collect::<Vec<_>>(), [false, true]);
    // Again, there is nothing left.
    assert_eq!(erasure.erase(&room, &uid("ann")).await.unwrap(), Erased::default());
    let next = publish(&broker, &room, [insert(&said("ann", "later"))]).await;
    assert_eq!(next[0].index, Some(before.base + 5));
    assert_eq!(shown(&broker, &room).await[5], "later");
}

pub(crate) async fn erasing_reaches_every_copy(home: &impl UpkeepHome) {
    let ((broker, upkeep, erasure, walk), one) = (home.erasing().await, room("one"));
    let other = room("other");
    let long = format!("{MARK}{}", "x".repeat(20_000));
    for room in [&one, &other] {
        broker.attach(room).await.unwrap();
        for i in 0..30 {
            let texts = [said("ann", MARK), said("bob", "stays"), said("ann", &long)];
            publish(&broker, room, texts.iter().map(|text| insert(text))).await;
            let mine = update(&format!("u{}", i % 3), &said("ann", &format!("{MARK}{i}")));
            publish(&broker, room, [mine, ignore(&said("ann", MARK))]).await;
        }
        publish(&broker, room, [keyed("k", &said("ann", MARK))]).await;
        upkeep.recall(room, "k", 200).await.unwrap().unwrap();
    }
    assert!(home.contains(MARK).await, "it can be found");
    let job = Job::new("job".into(), &uid("ann"), None, 1);
    erasure.keep_job(&job).await.unwrap();
    assert_eq!(erasure.open_jobs().await.unwrap(), std::slice::from_ref(&job));
    let done = perform(&*erasure, &*walk, job).await.unwrap();
    assert_eq!((done.state, done.erased.inserts, done.erased.updates), (State::Done, 122, 6));
    assert!(erasure.open_jobs().await.unwrap().is_empty());
    assert_eq!(erasure.job("job").await.unwrap(), Some(done));
    assert_eq!(erasure.job("another").await.unwrap(), None);
    assert!(!home.contains(MARK).await, "nothing is left of it");
    assert_eq!(shown(&broker, &one).await.iter().filter(|text| *text == "stays").count(), 30);
    assert_eq!(shown(&broker, &other).await.len(), 91);
}

pub(crate) async fn whose_a_message_is_says_the_form_of_its_room(home: &impl UpkeepHome) {
    let (broker, _, erasure, walk) = home.erasing().await;
    let life = RoomId::within(Space::Lives("talk"), room("chat").name()).unwrap();
    let class = room("chat");
    for room in [&life, &class] {
        let bodies = [r#"["ann","hi"]"#, r#"{"2":"ann"}"#, r#"["ben","ann"]"#, r#"["ann","x"]"#];
        publish(&broker, room, bodies.map(insert)).await;
    }
    let job = Job::new("forms".into(), &uid("ann"), None, 1);
    let done = perform(&*erasure, &*walk, job).await.unwrap();
    assert_eq!(done.erased.inserts, 3);
    let left = async |room: &RoomId| {
        let page = broker.page(room, 0, PAGE).await.unwrap();
        assert_eq!(page.log_length, 4, "what is erased has its place");
        page.entries.iter().map(|entry| entry.body.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(left(&life).await, [false, true, true, false]);
    assert_eq!(left(&class).await, [true, false, true, true]);
}

pub(crate) async fn erasing_in_named_rooms_leaves_the_others(home: &impl UpkeepHome) {
    let (broker, _, erasure, walk) = home.erasing().await;
    let rooms = [room("a"), room("b"), room("c")];
    for room in &rooms {
        publish(&broker, room, [insert(&said("ann", "hi")), insert(&said("bob", "hi"))]).await;
    }
    let job = Job::new("some".into(), &uid("ann"), Some(&rooms[..2]), 1);
    // One that was cut short goes on where it was.
    let job = Job { after: Some("1".into()), ..job };
    let done = perform(&*erasure, &*walk, job.clone()).await.unwrap();
    assert_eq!((done.erased.rooms, done.erased.inserts), (1, 1));
    assert_eq!(shown(&broker, &rooms[0]).await, ["hi", "hi"]);
    let done = perform(&*erasure, &*walk, Job { after: None, ..job }).await.unwrap();
    assert_eq!((done.erased.rooms, done.erased.inserts), (2, 1));
    assert_eq!(shown(&broker, &rooms[0]).await, ["-", "hi"]);
    assert_eq!(shown(&broker, &rooms[2]).await, ["hi", "hi"]);
}

pub(crate) async fn erasing_in_the_middle_of_a_batch_leaves_its_neighbours(home: &impl UpkeepHome) {
    let ((broker, _, erasure, _), room) = (home.erasing().await, room("chat"));
    let who = |i: usize| if i % 7 == 3 { "ann" } else { "bob" };
    let texts: Vec<_> = (0..150).map(|i| said(who(i), &format!("m{i}"))).collect();
    publish(&broker, &room, texts.iter().map(|text| insert(text))).await;
    erasure.erase(&room, &uid("ann")).await.unwrap();
    broker.close().await;
    drop((broker, erasure));
    let (broker, ..) = home.erasing().await;
    let shown = shown(&broker, &room).await;
    for (i, text) in shown.iter().enumerate() {
        let expected = if who(i) == "ann" { "-".into() } else { format!("m{i}") };
        assert_eq!(*text, expected);
    }
    assert_eq!(shown.len(), 150);
}

pub(crate) async fn inserts_are_overwritten_by_their_indexes(home: &impl UpkeepHome) {
    let ((broker, upkeep, erasure, _), room) = (home.erasing().await, room("chat"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    // Offsets and indexes differ, and so do offsets and places in a list.
    publish(&broker, &room, (0..3).map(|_| insert(&said("ann", "before")))).await;
    broker.clear(&room).await.unwrap();
    for batch in (0..150).collect::<Vec<_>>().chunks(40) {
        let batch = batch.iter().map(|i| keyed(&format!("k{i}"), &said("ann", &format!("m{i}"))));
        publish(&broker, &room, batch).await;
    }
    publish(&broker, &room, [update("x", &said("ann", "u"))]).await;
    let base = broker.page(&room, 0, PAGE).await.unwrap().base;
    upkeep.trim(&room, Trim::Before(base + 5)).await.unwrap();
    upkeep.recall(&room, "k60", 200).await.unwrap().unwrap();
    let before = broker.page(&room, 0, PAGE).await.unwrap();
    let edition = broker.edition(&room).await.unwrap();
    witness.invalidated(&room);
    let erase = async |from: u64, upto: u64| {
        erasure.erase_inserts(&room, base + from, base.saturating_add(upto)).await.unwrap()
    };
    assert_eq!(erase(30, 50).await, 20);
    assert!(edition != broker.edition(&room).await.unwrap() || witness.invalidated(&room));
    assert_eq!(erase(30, 50).await, 0, "nothing is left of these");
    assert_eq!(erase(49, 51).await, 1);
    assert_eq!(erase(60, 61).await, 1, "it was recalled, and is there");
    assert_eq!(erase(0, 6).await, 1, "the others are gone");
    assert_eq!(erase(149, u64::MAX).await, 1);
    for (from, upto) in [(70, 70), (70, 69), (150, 1_000), (u64::from(u32::MAX), u64::MAX)] {
        assert_eq!(erase(from, upto).await, 0, "{from} {upto}");
    }
    let is_erased = |i: usize| (30..51).contains(&i) || [5, 60, 149].contains(&i);
    let expected = (5..150).map(|i| if is_erased(i) { "-".to_owned() } else { format!("m{i}") });
    assert_eq!(shown(&broker, &room).await, expected.collect::<Vec<_>>());
    let after = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!((after.base, after.log_length, after.epoch), (base + 5, 145, before.epoch));
    let times = |page: &Page| page.entries.iter().map(|entry| entry.at_ms).collect::<Vec<_>>();
    assert_eq!(times(&after), times(&before));
    assert_eq!(updates(&broker, &room).await.len(), 1);
    let next = publish(&broker, &room, [insert(&said("ann", "later"))]).await;
    assert_eq!(next[0].index, Some(base + 150));
    let nobody = super::witness::room("nobody");
    assert_eq!(erasure.erase_inserts(&nobody, 0, u64::MAX).await.unwrap(), 0);
}

pub(crate) async fn of_what_is_overwritten_by_its_index_nothing_is_left(home: &impl UpkeepHome) {
    let ((broker, _, erasure, _), room) = (home.erasing().await, room("chat"));
    broker.attach(&room).await.unwrap();
    let long = format!("{MARK}{}", "x".repeat(20_000));
    let texts = (0..500).map(|i| if i % 7 == 3 { said("ann", &long) } else { said("ann", MARK) });
    for batch in texts.collect::<Vec<_>>().chunks(70) {
        publish(&broker, &room, batch.iter().map(|text| insert(text))).await;
    }
    assert!(home.contains(MARK).await, "it can be found");
    let page = broker.page(&room, 0, PAGE).await.unwrap();
    let erased = erasure.erase_inserts(&room, page.base, page.base + 500).await.unwrap();
    assert_eq!(erased, 500);
    erasure.scrub().await.unwrap();
    assert!(!home.contains(MARK).await, "nothing is left of it");
}
