//! Receipts as the hub and the disk see them.
use futures_util::future::join_all;

use super::{hub::hub_on, *};
use crate::{
    domain::{broker::Entry, receipt::KEPT, subscriber::Outcome},
    store::contract::witness::*,
};

fn once(key: &str, digest: u8, entry: Entry) -> Entry {
    with_receipt(receipt(key, digest, "note"), entry)
}

fn rows(home: &DataFolder, table: &str) -> i64 {
    let db = rusqlite::Connection::open(home.database()).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn of_callers_whose_entries_make_one_batch_one_publishes() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let store = home.open();
    let hub = hub_on(&home, store.clone(), store.clone());
    let callers = (0..20).map(|i| {
        let digest = if i % 4 == 3 { 2 } else { 1 };
        hub.publish(&room, once("k", digest, insert("a")), 1)
    });
    let outcomes = join_all(callers).await;
    let Outcome::Done(position) = outcomes[0] else { panic!("{outcomes:?}") };
    for (i, outcome) in outcomes.into_iter().enumerate().skip(1) {
        let replayed = Outcome::Replayed { position, note: "note".into() };
        assert_eq!(outcome, if i % 4 == 3 { Outcome::Reused } else { replayed });
    }
    assert_eq!(log(&store.broker(), &room).await, ["a"]);
    let counted = hub.metrics.text();
    assert!(counted.contains(r#"messages_total{storage="insert"} 1"#), "{counted}");
}

#[tokio::test]
async fn who_gives_up_before_the_answer_and_asks_again_finds_it() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let store = home.open();
    let broker = store.broker();
    for i in 0..20 {
        let (key, body) = (format!("k{i}"), i.to_string());
        let entry = once(&key, 1, insert(&body));
        // It is in the writer's queue, and nobody waits for it any more.
        let asking = broker.publish(&room, [entry.clone()].into());
        drop(tokio::time::timeout(Duration::ZERO, asking).await);
        broker.publish(&room, [entry].into()).await.unwrap();
    }
    let all: Vec<_> = (0..20).map(|i| i.to_string()).collect();
    assert_eq!(log(&broker, &room).await, all);
}

#[tokio::test]
async fn receipts_are_swept_away_and_need_no_room() {
    let home = DataFolder::new();
    let store = home.open();
    let broker = store.broker();
    for i in 0..250 {
        publish(&broker, &room("chat"), [once(&i.to_string(), 1, ignore("a"))]).await;
    }
    assert_eq!((rows(&home, "receipts"), rows(&home, "rooms")), (250, 0));
    home.watch.advance(KEPT);
    while rows(&home, "receipts") > 0 {
        publish(&broker, &room("chat"), [insert("b")]).await; // some of them behind each
    }
}

#[test]
fn what_is_done_once_waits_for_a_store_that_is_out() {
    assert!(ignore("a").may_pass() && !once("k", 1, ignore("a")).may_pass());
}
