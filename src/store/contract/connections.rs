//! Several connections of one user in a room.
use super::{
    PresenceHome,
    presence::Story,
    witness::{self, except, hidden, names, room, uid, visitor},
};
use crate::domain::{
    ids::{ConnectionId, Uid},
    presence::{
        Departure::{Gone, Left},
        Visitor,
    },
};

pub(crate) async fn each_connection_is_told_with_how_many_there_are(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    for (connection, name) in [(1, "ann"), (2, "ben"), (3, "ann"), (4, "ann")] {
        story.enter(visitor(connection, name)).await;
    }
    let told = story.witness.take(&story.room);
    assert_eq!(
        told.into_iter().map(|p| p.audience).collect::<Vec<_>>(),
        ["ann", "ben", "ann", "ann"].map(except)
    );
    story.presence.depart(&story.room, ConnectionId(1), Left).await.unwrap();
    story.presence.depart(&story.room, ConnectionId(4), Gone).await.unwrap();
    story.presence.depart(&story.room, ConnectionId(3), Left).await.unwrap();
    assert_eq!(story.told(), ["left ann (2)", "gone ann (1)", "left ann"]);
    story.enter(visitor(5, "ann")).await;
    story.enter(visitor(6, "ann")).await;
    assert_eq!(story.told(), ["joined ann", "joined ann (2)"]);
}

pub(crate) async fn a_user_has_one_place_as_long_as_any_of_its_connections_is_there(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    for (connection, name) in [(1, "ann"), (2, "ben"), (3, "ann")] {
        story.enter(visitor(connection, name)).await;
    }
    let cat = story.enter(visitor(4, "cat")).await;
    assert_eq!(names(&cat.others), ["ann", "ben"], "each once");
    assert_eq!(story.members().await, ["ann ×2", "ben", "cat"]);
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!(story.members().await, ["ann", "ben", "cat"], "where the first one was");
    story.presence.depart(&story.room, ConnectionId(3), Gone).await.unwrap();
    story.enter(visitor(5, "ann")).await;
    assert_eq!(story.members().await, ["ben", "cat", "ann"]);
}

pub(crate) async fn connections_of_a_number_and_of_its_text_are_one_user(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "1000")).await;
    story.enter(Visitor { uid: Uid::number("1000").unwrap(), ..visitor(2, "1000") }).await;
    let odd = "a \"b\\ é\u{1f600}";
    story.enter(visitor(3, odd)).await;
    story.enter(visitor(4, odd)).await;
    assert_eq!(story.members().await, ["1000 ×2".to_owned(), format!("{odd} ×2")]);
    for connection in [1, 3] {
        story.presence.depart(&story.room, ConnectionId(connection), Gone).await.unwrap();
    }
    assert_eq!(story.told()[4..], ["gone 1000 (1)".to_owned(), format!("gone {odd} (1)")]);
}

pub(crate) async fn the_hidden_connections_of_a_user_are_not_counted(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(hidden(1, "ann")).await;
    story.enter(hidden(2, "ann")).await;
    story.enter(visitor(3, "ann")).await;
    story.enter(visitor(4, "ann")).await;
    assert_eq!(story.told(), ["joined ann", "joined ann (2)"]);
    assert_eq!(story.members().await, ["ann (hidden) ×2", "ann ×2"]);
    story.enter(hidden(3, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    assert_eq!(story.told(), ["gone ann (1)", "joined ann (2)"]);
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    story.presence.depart(&story.room, ConnectionId(3), Gone).await.unwrap();
    assert_eq!((story.told(), story.members().await), (vec![], vec!["ann ×2".into()]));
}

/// A connection that never claims the session is there beside the one that was kicked out.
pub(crate) async fn a_held_place_counts_as_a_connection(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    witness::claim(&story.presence, "ann", 1).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    let held = witness::claim(&story.presence, "ann", 3).await;
    assert_eq!(held, std::slice::from_ref(&story.room));
    assert_eq!(story.members().await, ["ann"], "one is there, and one held");
    story.presence.depart(&story.room, ConnectionId(2), Gone).await.unwrap();
    assert_eq!(story.told(), ["joined ann", "joined ann (2)", "gone ann (1)"]);
    assert_eq!(story.members().await, ["ann (held)"]);
    story.presence.release(&story.room, &uid("ann"), ConnectionId(3)).await.unwrap();
    assert_eq!(story.told(), ["gone ann"]);
}

pub(crate) async fn a_held_place_is_given_up_beside_another_connection(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    witness::claim(&story.presence, "ann", 1).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    witness::claim(&story.presence, "ann", 3).await;
    story.told();
    story.presence.release(&story.room, &uid("ann"), ConnectionId(3)).await.unwrap();
    assert_eq!(
        (story.told(), story.members().await),
        (vec!["gone ann (1)".into()], vec!["ann".into()])
    );
}

pub(crate) async fn who_comes_and_goes_learns_how_many_of_its_user_are_there(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    let enter = async |visitor| story.enter(visitor).await.connections;
    assert_eq!(enter(visitor(1, "ann")).await, 1);
    assert_eq!(enter(visitor(2, "ben")).await, 1, "others do not count");
    assert_eq!(enter(hidden(3, "ann")).await, 2, "the hidden count");
    assert_eq!(enter(visitor(4, "ann")).await, 3);
    assert_eq!(enter(visitor(4, "ann")).await, 3, "nor does coming again");
    assert_eq!(enter(visitor(3, "ann")).await, 3, "nor showing up");
    assert_eq!(enter(hidden(4, "ann")).await, 3, "nor hiding");
    let depart = async |connection| {
        story.presence.depart(&story.room, ConnectionId(connection), Left).await.unwrap()
    };
    assert_eq!(depart(1).await, Some(2));
    assert_eq!(depart(1).await, None, "it was not there any more");
    assert_eq!(depart(4).await, Some(1), "who was hidden learns it too");
    assert_eq!(enter(hidden(5, "ann")).await, 2);
    assert_eq!(depart(3).await, Some(1));
    assert_eq!(depart(5).await, Some(0), "it was the last one");
    assert_eq!(depart(2).await, Some(0));
    assert_eq!(depart(9).await, None, "it never was there");
}

pub(crate) async fn who_was_removed_counts_no_more(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    for visitor in [visitor(1, "ann"), hidden(2, "ann"), visitor(3, "ann")] {
        story.enter(visitor).await;
    }
    assert_eq!(story.presence.remove(&story.room, &uid("ann")).await.unwrap(), 3);
    for connection in [1, 2] {
        let departed = story.presence.depart(&story.room, ConnectionId(connection), Gone).await;
        assert_eq!(departed, Ok(None));
    }
    assert_eq!(story.enter(visitor(3, "ann")).await.connections, 1);
}

pub(crate) async fn whoever_ends_leaves_what_it_is_in(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let other = room("other");
    for visitor in [visitor(1, "ann"), visitor(2, "ann"), visitor(3, "ben")] {
        story.enter(visitor).await;
    }
    story.presence.enter(&other, &hidden(1, "ann")).await.unwrap();
    story.presence.end(&uid("ann"), ConnectionId(1)).await.unwrap();
    assert_eq!(story.members().await, ["ann", "ben"], "of the other connection");
    assert!(story.presence.members(&other).await.unwrap().is_empty());
    let departed = story.presence.depart(&story.room, ConnectionId(1), Gone).await;
    assert_eq!(departed, Ok(None), "it is there no more");
    let left = story.presence.depart(&story.room, ConnectionId(2), Gone).await;
    assert_eq!(left, Ok(Some(0)));
}

pub(crate) async fn held_places_and_guests_are_no_connections_of_a_user(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    witness::claim(&story.presence, "ann", 1).await;
    story.enter(visitor(1, "ann")).await;
    witness::claim(&story.presence, "ann", 2).await;
    assert_eq!(story.enter(hidden(3, "ann")).await.connections, 1, "one place is held");
    assert_eq!(story.enter(visitor(1, "ann")).await.connections, 1, "it was kicked out");
    assert_eq!(story.enter(visitor(2, "ann")).await.connections, 2, "it has taken the place");
    let departed = story.presence.depart(&story.room, ConnectionId(3), Gone).await;
    assert_eq!(departed, Ok(Some(1)));
    let guest = Visitor { guest: true, ..hidden(4, "guest") };
    assert_eq!(story.enter(guest).await.connections, 1);
    assert_eq!(story.presence.depart(&story.room, ConnectionId(4), Gone).await, Ok(Some(0)));
}
