//! What members are told by a broker, and in which order.
use std::{sync::Arc, time::Duration};

use super::{BrokerHome, witness::*};
use crate::domain::{
    broker::{Audience, Broker, Entry},
    ids::{ConnectionId, RoomId},
};

async fn opened(home: &impl BrokerHome, name: &str) -> (Arc<dyn Broker>, Arc<Witness>, RoomId) {
    let (broker, room) = (home.open().await, room(name));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    (broker, witness, room)
}

pub(crate) async fn members_are_told_in_order_and_n_grows_by_one(home: &impl BrokerHome) {
    let (broker, witness, room) = opened(home, "lesson").await;
    publish(&broker, &room, [ignore("a"), insert("b"), update("x", "c")]).await;
    assert_eq!(
        witness.heard(&room),
        ["1 ignore a", "2 insert b", "3 update x c"],
        "told before it is acknowledged"
    );
    publish(&broker, &room, [ignore("d")]).await;
    publish(&broker, &room, [Entry::System { content: "\"hi\"".into() }, insert("e")]).await;
    assert_eq!(witness.heard(&room), ["4 ignore d", "5 system hi", "6 insert e"]);
    publish(&broker, &room, []).await;
    assert_eq!(witness.heard(&room), [""; 0]);
}

pub(crate) async fn a_publication_says_who_is_told(home: &impl BrokerHome) {
    let (broker, witness, room) = opened(home, "lesson").await;
    let synced = Entry::Synced { by: ConnectionId(7002), uid: uid("ben") };
    publish(&broker, &room, [insert("a"), synced, Entry::System { content: "1".into() }]).await;
    let told: Vec<_> = witness.take(&room).into_iter().map(|p| p.audience).collect();
    let except = |connection| Audience::ExceptConnection(ConnectionId(connection));
    assert_eq!(told, [except(7001), except(7002), Audience::All]);
}

pub(crate) async fn clearing_is_told_and_n_goes_on(home: &impl BrokerHome) {
    let (broker, witness, room) = opened(home, "lesson").await;
    publish(&broker, &room, [insert("a"), insert("b"), ignore("c")]).await;
    witness.heard(&room);
    broker.clear(&room).await.unwrap();
    publish(&broker, &room, [ignore("d"), insert("e")]).await;
    assert_eq!(witness.heard(&room), ["4 cleared", "5 ignore d", "6 insert e"]);
}

pub(crate) async fn clearing_an_unknown_room_is_told_too(home: &impl BrokerHome) {
    let (broker, witness, room) = opened(home, "just opened").await;
    broker.clear(&room).await.unwrap();
    assert_eq!(witness.events(&room), ["cleared"]);
}

pub(crate) async fn n_goes_on_after_the_last_member_left(home: &impl BrokerHome) {
    let (broker, witness, room) = opened(home, "lesson").await;
    publish(&broker, &room, [insert("a"), update("x", "b")]).await;
    broker.detach(&room);
    publish(&broker, &room, [insert("nobody hears")]).await;
    broker.attach(&room).await.unwrap();
    witness.heard(&room);
    publish(&broker, &room, [insert("c")]).await;
    assert_eq!(witness.heard(&room), ["4 insert c"]);
}

pub(crate) async fn what_a_member_was_told_can_be_read(home: &impl BrokerHome) {
    let (broker, witness, room) = opened(home, "lesson").await;
    for i in 0..20 {
        publish(&broker, &room, [insert(&i.to_string())]).await;
        let told = witness.events(&room);
        assert_eq!(told, [format!("insert {i}")]);
        assert_eq!(log(&broker, &room).await.len(), i + 1);
    }
}

pub(crate) async fn fifty_rooms_at_once(home: &impl BrokerHome) {
    let broker = home.open().await;
    let witness = Witness::of(&broker);
    let work = (0..50).map(|i| {
        let (broker, room) = (broker.clone(), room(&format!("class {i}")));
        tokio::spawn(async move {
            broker.attach(&room).await.unwrap();
            for k in 0..20 {
                publish(
                    &broker,
                    &room,
                    [insert(&format!("{k}a")), ignore("-"), insert(&format!("{k}b"))],
                )
                .await;
            }
            room
        })
    });
    let expected: Vec<String> = (0..20).flat_map(|k| [format!("{k}a"), format!("{k}b")]).collect();
    for done in work.collect::<Vec<_>>() {
        let room = tokio::time::timeout(Duration::from_secs(60), done).await.unwrap().unwrap();
        assert_eq!(log(&broker, &room).await, expected);
        let ns: Vec<u64> = witness.take(&room).iter().map(|p| p.n).collect();
        assert_eq!(ns, (1..=60).collect::<Vec<_>>());
    }
}
