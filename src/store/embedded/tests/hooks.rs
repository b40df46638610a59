//! What webhooks are told when the server, or its disk, fails.
use std::time::Duration;

use serde_json::Value;

use super::{super::*, DataFolder};
use crate::{
    domain::{
        broker::Broker,
        ids::ConnectionId,
        outbox::{Endpoint, Interest, Kinds, Outbox, Pattern, REST, Settlement},
        presence::{Departure, Presence},
    },
    store::contract::witness::{insert, publish, room, uid, visitor},
};

const DELAY: Duration = Duration::from_secs(3);

fn interest() -> Interest {
    let endpoint = Endpoint {
        name: "main".into(),
        kinds: Kinds::parse(["room.*", "member.*", "message.*"]).unwrap(),
        rooms: vec![Pattern::parse("*").unwrap()],
        pending: 1 << 30,
        batch: 100,
    };
    Interest { endpoints: vec![endpoint], leave_delay: DELAY }
}

fn open(home: &DataFolder) -> Arc<Embedded> {
    Embedded::open(Options { hooks: Some(interest()), ..home.options() }).unwrap()
}

/// Kind, and whom or what it is about, of all that waits.
async fn told(home: &DataFolder, store: &Arc<Embedded>) -> Vec<String> {
    let (endpoint, mut told) = (interest().endpoints.remove(0), Vec::new());
    loop {
        store.check().await.unwrap();
        store.sweep().await.unwrap();
        let taken = store.take(&endpoint, 10, DELAY).await.unwrap().batches;
        if taken.is_empty() {
            return told;
        }
        for batch in taken {
            let body: Value = serde_json::from_slice(&batch.body).unwrap();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            told.extend(body["data"]["events"].as_array().unwrap().iter().map(|event| {
                format!(
                    "{} {} {}",
                    text(&event["type"]),
                    text(&event["uid"]),
                    text(&event["reason"])
                )
                .trim_end()
                .to_owned()
            }));
            store.settle(&endpoint, &batch, Settlement::Delivered).await.unwrap();
            home.watch.advance(REST);
        }
    }
}

#[tokio::test]
async fn whoever_was_there_when_the_server_died_has_left_unless_it_comes_back() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = open(&home);
    for (connection, name) in [(1, "ann"), (2, "ben"), (3, "cat")] {
        store.enter(&room, &visitor(connection, name)).await.unwrap();
    }
    let joined = ["room.occupied", "member.joined ann", "member.joined ben", "member.joined cat"];
    assert_eq!(told(&home, &store).await, joined);
    store.depart(&room, ConnectionId(3), Departure::Left).await.unwrap();
    store.check().await.unwrap();
    drop(store); // nobody said goodbye
    home.watch.advance(Duration::from_secs(60));
    let store = open(&home);
    assert_eq!(told(&home, &store).await, ["member.left cat left"]);
    store.enter(&room, &visitor(1, "ann")).await.unwrap();
    home.watch.advance(DELAY);
    assert_eq!(told(&home, &store).await, ["member.left ben lost"]);
    drop(store);
    let store = open(&home);
    home.watch.advance(DELAY);
    assert_eq!(told(&home, &store).await, ["member.left ann lost", "room.vacated"]);
    drop(store);
    let store = open(&home);
    home.watch.advance(DELAY);
    assert_eq!(told(&home, &store).await, [] as [&str; 0], "once");
}

/// Refuses whatever is written for webhooks of presence, as a full disk does.
fn jam(home: &DataFolder, on: bool) {
    let sql = if on {
        "CREATE TRIGGER jam BEFORE INSERT ON hook_told BEGIN SELECT RAISE(ABORT, 'full'); END;
         CREATE TRIGGER jam_marks BEFORE UPDATE ON hook_told BEGIN SELECT RAISE(ABORT, 'full'); END"
    } else {
        "DROP TRIGGER jam; DROP TRIGGER jam_marks"
    };
    rusqlite::Connection::open(home.database()).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn what_could_not_be_written_is_told_later() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = open(&home);
    store.enter(&room, &visitor(1, "ann")).await.unwrap();
    assert_eq!(told(&home, &store).await, ["room.occupied", "member.joined ann"]);
    jam(&home, true);
    store.enter(&room, &visitor(2, "ben")).await.unwrap();
    store.depart(&room, ConnectionId(1), Departure::Left).await.unwrap();
    publish(&store.broker(), &room, [insert("x")]).await;
    assert_eq!(told(&home, &store).await, ["message.inserted"]);
    assert!(store.sweep().await.unwrap().is_some(), "it is tried again");
    jam(&home, false);
    assert_eq!(told(&home, &store).await, ["member.joined ben", "member.left ann gone"]);
    home.watch.advance(DELAY);
    assert_eq!(told(&home, &store).await, [] as [&str; 0]);
    assert_eq!(store.members(&room).await.unwrap()[0].uid, uid("ben"));
}

#[tokio::test]
async fn without_webhooks_nothing_is_written() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = home.open();
    publish(&store.broker(), &room, [insert("x")]).await;
    store.enter(&room, &visitor(1, "ann")).await.unwrap();
    store.clear(&room).await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), None);
    let db = rusqlite::Connection::open(home.database()).unwrap();
    for table in ["hook_endpoints", "hook_queues", "hook_events", "hook_batches", "hook_told"] {
        let count = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        assert_eq!(count, Ok(0_i64), "{table}");
    }
}
