//! What administrators ask of a hub, and do about somebody.
use super::{
    hub::{Guest, Told, hub},
    *,
};
use crate::{
    domain::{
        directory::Ending,
        ids::{ConnectionId, RoomId, Space},
        presence::{Claim, Departure},
    },
    reason::Reason,
    store::contract::witness::{room, socket, uid},
};

#[tokio::test]
async fn who_is_removed_learns_it_and_an_empty_room_is_given_up() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let hub = hub(&home);
    let mut ann = Guest::enters(&hub, &room, 1, "ann").await;
    let mut also_ann = Guest::enters(&hub, &room, 2, "ann").await;
    assert_eq!(hub.remove(&room, &uid("ann")).await.unwrap(), 2);
    for guest in [&mut ann, &mut also_ann] {
        assert_eq!(guest.next().await, Told::Removed(room.clone()));
    }
    assert!(!ann.is_in(1) && !also_ann.is_in(2));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while hub.local_rooms() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the room is kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(hub.remove(&room, &uid("ann")).await.unwrap(), 0);
    let mut again = Guest::enters(&hub, &room, 1, "ann").await;
    let _ben = Guest::enters(&hub, &room, 3, "ben").await;
    again.hears(r#"Joined { uid: "ben", connections: 1 }"#).await;
}

#[tokio::test]
async fn sessions_are_dropped_or_refused_with_a_reason_of_their_own() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let hub = hub(&home);
    let mut ann = Guest::enters(&hub, &room, 1, "ann").await;
    hub.register(ConnectionId(1), ann.ear());
    let claim = hub.claim(&uid("ann"), ConnectionId(1), &socket(1), None).await.unwrap();
    assert_eq!(claim, Claim::Made(vec![]));
    assert_eq!(hub.whereabouts(&uid("ann")).await.unwrap()[0].socket, Some(socket(1)));
    for (ending, told) in [
        (Ending::Drop, Told::Dropped(Reason::Disconnected)),
        (Ending::Refuse, Told::Refused(Reason::TurnedAway)),
    ] {
        assert_eq!(hub.disconnect(&uid("ann"), ending).await.unwrap(), 1);
        assert_eq!(ann.next().await, told);
    }
    assert_eq!(hub.disconnect(&uid("ben"), Ending::Drop).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_that_never_claim_are_told_by_their_uid_as_sessions_are() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let hub = hub(&home);
    let mut guests = Vec::new();
    for connection in [1, 2] {
        let ann = Guest::enters(&hub, &room, connection, "ann").await;
        hub.register_guest(ConnectionId(connection), ann.ear());
        guests.push(ann);
    }
    let mut ben = Guest::enters(&hub, &room, 3, "ben").await;
    assert_eq!(hub.expel(&uid("ann")).await.unwrap(), 2);
    assert_eq!(hub.disconnect(&uid("ann"), Ending::Drop).await.unwrap(), 2);
    for ann in &mut guests {
        ann.hears(r#"Joined { uid: "ben", connections: 1 }"#).await;
        assert_eq!(ann.next().await, Told::Refused(Reason::Revoked));
        assert_eq!(ann.next().await, Told::Dropped(Reason::Disconnected));
    }
    assert_eq!(hub.depart(&room, ConnectionId(1), Departure::Left).await, Ok(Some(1)));
    assert_eq!(hub.depart(&room, ConnectionId(1), Departure::Left).await, Ok(None));
    ben.hears(r#"Left { uid: "ann", connections: 1 }"#).await;
}

#[tokio::test]
async fn pages_say_where_the_next_one_continues_and_the_last_one_that_it_is_the_last() {
    let home = DataFolder::new();
    let hub = hub(&home);
    let rooms = ["a", "b", "c"].map(|name| RoomId::new(name).unwrap());
    let other = RoomId::within(Space::Dialect("talk"), "a").unwrap();
    let mut guests = Vec::new();
    for (connection, room) in (1..).zip(rooms.iter().chain([&other])) {
        guests.push(Guest::enters(&hub, room, connection, &format!("user {connection}")).await);
        guests.push(Guest::enters(&hub, room, connection + 10, "zoe").await);
    }
    let first = hub.rooms_page("", None, 2).await.unwrap();
    assert_eq!(first.rooms, [(rooms[0].clone(), 2), (rooms[1].clone(), 2)], "shared ones alone");
    let second = hub.rooms_page("", first.next.as_deref(), 2).await.unwrap();
    assert_eq!((second.rooms, second.next), (vec![(rooms[2].clone(), 2)], None));
    assert_eq!(hub.rooms_page("", Some("\u{1}"), 9).await.unwrap().rooms.len(), 3);

    let first = hub.users_page("user ", None, 3).await.unwrap();
    assert_eq!(first.users.len(), 3);
    let second = hub.users_page("user ", first.next.as_deref(), 1).await.unwrap();
    assert_eq!((second.users[0].uid.as_str(), second.next), ("user 4", None));
    let zoe = hub.users_page("zoe", None, 9).await.unwrap().users.remove(0);
    assert_eq!((zoe.rooms.len(), zoe.nodes), (4, vec!["embedded".to_owned()]));

    let first = hub.members_page(&rooms[0], None, 0).await.unwrap();
    assert_eq!((first.members.len(), first.total), (1, 2), "one is the least");
    let second = hub.members_page(&rooms[0], first.next.as_deref(), 1).await.unwrap();
    assert_eq!((second.members[0].uid.as_str(), second.next), ("zoe", None));
    let nowhere = hub.members_page(&rooms[0], Some("no place"), 9).await.unwrap();
    assert_eq!((nowhere.members, nowhere.total, nowhere.next), (vec![], 2, None));
}
