//! Rooms of the same name in different spaces.
use super::{BrokerHome, PresenceHome, witness::*};
use crate::domain::ids::{RoomId, Space};

const DIALECT: Space = Space::Dialect("talk");

/// A shared room, and the rooms of its name in the other spaces.
fn alike(name: &str) -> [RoomId; 6] {
    let shared = room(name);
    let within = |space| RoomId::within(space, shared.as_str()).unwrap();
    let others =
        [DIALECT, Space::Dialect("tal"), Space::Lives("talk"), Space::Inboxes("talk"), Space::User];
    let [a, b, c, d, e] = others.map(within);
    [shared, a, b, c, d, e]
}

pub(crate) async fn rooms_of_different_spaces_never_meet(home: &impl BrokerHome) {
    let broker = home.open().await;
    let witness = Witness::of(&broker);
    let rooms = alike("one name");
    for room in &rooms {
        broker.attach(room).await.unwrap();
    }
    for (i, room) in rooms.iter().enumerate() {
        let placed = publish(&broker, room, [insert(&i.to_string()), update("x", "u")]).await;
        assert_eq!((placed[0].n, placed[0].index), (1, Some(0)));
    }
    for (i, room) in rooms.iter().enumerate() {
        assert_eq!(witness.heard(room), [format!("1 insert {i}"), "2 update x u".into()]);
        assert_eq!(log(&broker, room).await, [i.to_string()]);
    }
    broker.clear(&rooms[1]).await.unwrap();
    for (room, left) in rooms.iter().zip([1, 0, 1, 1, 1, 1]) {
        assert_eq!(log(&broker, room).await.len(), left, "{room:?}");
        assert_eq!(updates(&broker, room).await.len(), left, "{room:?}");
    }
}

pub(crate) async fn a_name_within_a_space_may_be_any_text(home: &impl BrokerHome) {
    let broker = home.open().await;
    let witness = Witness::of(&broker);
    let process = std::process::id();
    let names = [
        "/",
        "/r/a",
        "/r/a/",
        "a\0b",
        "a",
        "\u{1}",
        "\n",
        " ",
        "_insert",
        "{h}:*?[",
        "é房",
        &"x".repeat(1000),
    ];
    let rooms = names.map(|name| RoomId::within(DIALECT, &format!("{process}{name}")).unwrap());
    for (i, room) in rooms.iter().enumerate() {
        broker.attach(room).await.unwrap();
        publish(&broker, room, [insert(&i.to_string())]).await;
    }
    for (i, room) in rooms.iter().enumerate() {
        assert_eq!(witness.events(room), [format!("insert {i}")], "{room:?}");
        assert_eq!(log(&broker, room).await, [i.to_string()], "{room:?}");
        assert_eq!(room.name(), format!("{process}{}", names[i]));
    }
}

pub(crate) async fn rooms_are_listed_with_their_spaces(home: &impl PresenceHome) {
    let (broker, presence) = home.open().await;
    let _witness = Witness::of(&broker);
    let mut rooms = alike("one name").to_vec();
    for room in &rooms {
        broker.attach(room).await.unwrap();
    }
    for (i, room) in rooms.iter().enumerate() {
        let connection = i as u64 + 1;
        presence.enter(room, &visitor(connection, &format!("user {i}"))).await.unwrap();
    }
    let here = presence.rooms().await.unwrap();
    let ours: Vec<&RoomId> = here.iter().filter(|room| rooms.contains(room)).collect();
    assert_eq!(ours.iter().filter(|room| room.is_shared()).collect::<Vec<_>>(), [&&rooms[0]]);
    assert_eq!(ours.iter().filter(|room| room.is_in(DIALECT)).collect::<Vec<_>>(), [&&rooms[1]]);
    rooms.sort_unstable();
    assert_eq!(ours, rooms.iter().collect::<Vec<_>>());
    for room in &rooms {
        assert_eq!(presence.members(room).await.unwrap().len(), 1, "its own");
    }
}
