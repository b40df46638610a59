//! The bound on a room's updates, and how they are asked for.
use std::sync::Arc;

use super::{BrokerHome, UPDATES, witness::*};
use crate::domain::{
    broker::{Broker, Updates},
    ids::RoomId,
};

/// A body of so many bytes.
fn large(bytes: usize) -> String {
    "x".repeat(bytes - 2) // and two quotes
}

/// Fills the room with as many updates as it may have, `0` to `999`.
async fn fill(broker: &Arc<dyn Broker>, room: &RoomId) {
    publish(broker, room, (0..UPDATES.entries).map(|i| update(&i.to_string(), "12345"))).await;
}

pub(crate) async fn an_update_too_many_is_refused_and_the_rest_of_its_batch_is_not(
    home: &impl BrokerHome,
) {
    let (broker, room) = (home.open().await, room("board"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    fill(&broker, &room).await;
    witness.take(&room);
    let batch = [
        insert("a"),
        update("new", "1"),
        update("7", "2"),
        ignore("b"),
        update("newer", "3"),
        insert("c"),
    ];
    assert_eq!(refused(&broker, &room, batch).await, [1, 4]);
    assert_eq!(
        witness.heard(&room),
        ["1001 insert a", "1002 update 7 2", "1003 ignore b", "1004 insert c"],
        "nobody is told of the others"
    );
    assert_eq!(log(&broker, &room).await, ["a", "c"]);
    let found = updates(&broker, &room).await;
    assert_eq!(
        (found.len() as u64, found.last().map(String::as_str)),
        (UPDATES.entries, Some("2"))
    );
    assert_eq!(
        refused(&broker, &room, [update("new", "1"), update("newer", "2")]).await,
        [0, 1],
        "nothing is left of this one"
    );
    publish(&broker, &room, [insert("d")]).await;
    assert_eq!(witness.heard(&room), ["1005 insert d"]);
}

pub(crate) async fn updates_are_bounded_in_bytes(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("board"));
    let body = large(3_000_000);
    assert_eq!(
        refused(&broker, &room, [update("a", &body), update("b", &body), update("c", &body)]).await,
        [2]
    );
    publish(&broker, &room, [update("c", &large(2_300_000))]).await;
    assert_eq!(refused(&broker, &room, [update("d", &large(100_000))]).await, [0]);
    // What was replaced takes no place any more.
    publish(&broker, &room, [update("a", "small"), update("d", &large(2_900_000))]).await;
    assert_eq!(
        refused(&broker, &room, [update("a", &body)]).await,
        [0],
        "larger than what it replaces"
    );
    assert_eq!(updates(&broker, &room).await.len(), 4);
}

pub(crate) async fn what_is_not_larger_may_always_replace(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("board"));
    publish(&broker, &room, [update("a", &large(4_200_000)), update("b", &large(4_180_000))]).await;
    for _ in 0..12 {
        // Its place in the order gets longer, which is not the client's doing.
        publish(&broker, &room, [update("a", &large(4_200_000)), update("b", &large(4_180_000))])
            .await;
    }
    assert_eq!(refused(&broker, &room, [update("a", &large(4_210_000))]).await, [0]);
    publish(&broker, &room, [update("a", &large(4_100_000)), update("b", &large(4_190_000))]).await;
}

pub(crate) async fn replacing_again_and_again_fills_nothing(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("cursors"));
    for i in 0..30 {
        publish(&broker, &room, (0..100).map(|_| update(&format!("{}", i % 7), &large(3000))))
            .await;
    }
    assert_eq!(updates(&broker, &room).await.len(), 7);
}

pub(crate) async fn the_bound_outlives_a_restart_and_ends_with_a_clearing(home: &impl BrokerHome) {
    let room = room("board");
    let broker = home.open().await;
    fill(&broker, &room).await;
    broker.close().await;
    drop(broker);
    let broker = home.open().await;
    assert_eq!(refused(&broker, &room, [update("new", "1"), update("3", "2")]).await, [0]);
    broker.clear(&room).await.unwrap();
    fill(&broker, &room).await;
    assert_eq!(refused(&broker, &room, [update("new", "1")]).await, [0]);
}

pub(crate) async fn more_than_was_asked_for_is_told_in_bytes(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("board"));
    assert_eq!(broker.updates(&room, 0).await.unwrap(), Updates::All(vec![]));
    for (bytes, asked) in [(1000, 500), (100_000, 90_000), (300_000, 90_000)] {
        publish(&broker, &room, [update("a", &large(bytes)), update("b", &large(10))]).await;
        assert_eq!(broker.updates(&room, asked).await.unwrap(), Updates::Larger, "{bytes}");
        let told = broker.update_bytes(&room).await.unwrap();
        assert!((bytes + 10..bytes + 200).contains(&told), "{bytes}: {told}");
        let Updates::All(all) = broker.updates(&room, told).await.unwrap() else {
            panic!("{bytes}: not even {told}")
        };
        assert_eq!(all.len(), 2);
    }
}
