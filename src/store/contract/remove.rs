//! Taking a user out of a room, and ending its sessions.
use super::{
    PresenceHome,
    presence::Story,
    witness::{self, except, hidden, names, publish, room, uid, visitor},
};
use crate::domain::{directory::Ending, ids::ConnectionId, presence::Departure::Gone};

pub(crate) async fn who_is_removed_is_out_with_all_its_connections(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    for (connection, name) in [(1, "ann"), (2, "ben"), (3, "ann")] {
        story.enter(visitor(connection, name)).await;
    }
    story.enter(hidden(4, "ann")).await;
    story.told();
    assert_eq!(story.presence.remove(&story.room, &uid("ann")).await.unwrap(), 3);
    let told = story.witness.take(&story.room);
    assert_eq!(told.iter().map(|p| p.audience.clone()).collect::<Vec<_>>(), [except("ann")]);
    let again = story.presence.remove(&story.room, &uid("ann")).await.unwrap();
    assert_eq!((again, story.told(), story.members().await), (0, vec![], vec!["ben".into()]));
    for connection in [1, 3, 4] {
        story.presence.depart(&story.room, ConnectionId(connection), Gone).await.unwrap();
    }
    assert_eq!(story.told(), [""; 0], "they are gone already");
    story.enter(visitor(1, "ann")).await;
    assert_eq!(story.told(), ["joined ann"], "and may come back");
}

pub(crate) async fn a_removal_has_its_place_in_the_order(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    publish(&story.broker, &story.room, [witness::insert("a")]).await;
    story.presence.remove(&story.room, &uid("ann")).await.unwrap();
    publish(&story.broker, &story.room, [witness::insert("b")]).await;
    assert_eq!(
        story.witness.heard(&story.room),
        ["1 joined ann", "2 insert a", "3 removed ann", "4 insert b"]
    );
}

pub(crate) async fn of_the_hidden_only_its_node_learns_that_it_was_removed(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    story.enter(hidden(1, "spy")).await;
    story.enter(visitor(2, "ben")).await;
    assert_eq!(story.presence.remove(&story.room, &uid("spy")).await.unwrap(), 1);
    assert_eq!(story.told(), ["joined ben", "removed spy, unseen"]);
    assert_eq!(story.members().await, ["ben"]);
}

pub(crate) async fn a_held_place_is_removed_and_is_held_no_more(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let other = room("corridor");
    story.broker.attach(&other).await.unwrap();
    witness::claim(&story.presence, "ann", 1).await;
    for room in [&story.room, &other] {
        story.presence.enter(room, &visitor(1, "ann")).await.unwrap();
    }
    witness::claim(&story.presence, "ann", 2).await;
    story.told();
    assert_eq!(story.presence.remove(&story.room, &uid("ann")).await.unwrap(), 0);
    assert_eq!((story.told(), story.members().await), (vec!["removed ann".into()], vec![]));
    assert_eq!(witness::claim(&story.presence, "ann", 3).await, [other]);
    story.presence.release(&story.room, &uid("ann"), ConnectionId(3)).await.unwrap();
    assert_eq!(story.told(), [""; 0]);
}

pub(crate) async fn a_stranger_is_removed_from_nowhere(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    story.told();
    for (room, name) in [(&story.room, "ben"), (&room("unknown"), "ann")] {
        assert_eq!(story.presence.remove(room, &uid(name)).await.unwrap(), 0);
    }
    assert_eq!((story.told(), story.members().await), (vec![], vec!["ann".into()]));
}

pub(crate) async fn the_sessions_of_a_user_are_ended_as_is_said(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    witness::claim(&story.presence, "ann", 1).await;
    story.enter(visitor(2, "ann")).await;
    witness::claim(&story.presence, "ben", 3).await;
    for ending in [Ending::Drop, Ending::Refuse] {
        assert_eq!(story.presence.disconnect(&uid("ann"), ending).await.unwrap(), 2);
        let expected = [1, 2].map(|connection| (ConnectionId(connection), ending));
        assert_eq!(story.witness.disconnections(2).await, expected);
    }
    for connection in [1, 2] {
        story.presence.end(&uid("ann"), ConnectionId(connection)).await.unwrap();
    }
    assert_eq!(story.presence.disconnect(&uid("ann"), Ending::Drop).await.unwrap(), 0);
    assert_eq!(names(&[story.presence.online().await.unwrap().remove(0).uid]), ["ben"]);
}
