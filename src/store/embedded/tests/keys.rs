//! What is stored of the keys of inserts.
use super::*;
use crate::{
    domain::broker::Placed,
    store::contract::witness::{keyed, log, publish, room},
};

#[tokio::test]
async fn long_keys_take_no_space() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let store = home.open();
    let keys = ["short".to_owned(), "x".repeat(41), "y".repeat(30_000)];
    publish(&store.broker(), &room, keys.iter().map(|key| keyed(key, "1"))).await;
    let stored = |db: &rusqlite::Connection| {
        db.query_row("SELECT keys FROM log", [], |row| row.get::<_, String>(0))
    };
    let stored = store.readers.pages.read(stored).await.unwrap();
    let stored: Vec<String> = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored.iter().map(String::len).collect::<Vec<_>>(), [5, 41, 41]);
    // Nobody is in the room: they are read anew.
    for key in &keys {
        let placed = store.broker().publish(&room, [keyed(key, "2")].into()).await.unwrap();
        assert_eq!(placed, [Placed::Duplicate]);
    }
}

#[tokio::test]
async fn long_keys_of_earlier_builds_are_known() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let (store, key) = (home.open(), "x".repeat(50));
    publish(&store.broker(), &room, [keyed("k", "a")]).await;
    let whole = serde_json::to_string(&[&key]).unwrap();
    let write = move |db: &rusqlite::Connection| db.execute("UPDATE log SET keys = ?1", [&whole]);
    store.writer.run(write).await.unwrap();
    let placed = store.broker().publish(&room, [keyed(&key, "b")].into()).await.unwrap();
    assert_eq!(placed, [Placed::Duplicate]);
    assert_eq!(log(&store.broker(), &room).await, ["a"]);
    assert_eq!(store.recall(&room, &key, 200).await.unwrap().as_deref(), Some(&b"\"a\""[..]));
}
