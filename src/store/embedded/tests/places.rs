//! Places in a room's order, as chunks keep them.
use super::*;
use crate::{
    domain::broker::Trim,
    store::contract::witness::{EVERYTHING, ignore, insert, publish, room, update},
};

#[tokio::test]
async fn the_place_of_each_insert_is_kept() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = home.open();
    let mut placed = publish(&store.broker(), &room, [insert("a"), insert("b")]).await;
    let batch = [ignore("c"), insert("d"), update("x", "e"), insert("f"), insert("g")];
    placed.extend(publish(&store.broker(), &room, batch).await);
    placed.extend(publish(&store.broker(), &room, (0..150).map(|_| insert("h"))).await);
    let expected: Vec<Option<u64>> =
        placed.iter().filter(|p| p.index.is_some()).map(|p| Some(p.n)).collect();
    let places = async |store: &Embedded, from| {
        let page = store.page(&room, from, EVERYTHING).await.unwrap();
        page.entries.iter().map(|entry| entry.n).collect::<Vec<_>>()
    };
    assert_eq!(places(&store, 0).await, expected);
    assert_eq!(places(&store, 3).await, expected[3..]);
    store.trim(&room, Trim::Before(4)).await.unwrap();
    assert_eq!(places(&store, 0).await, expected[4..]);
    store.broker().close().await;
    assert_eq!(places(&home.open(), 0).await, expected[4..]);
}
