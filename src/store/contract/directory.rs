//! Who is online, and where; and pages that are stable while people come and go.
use std::collections::HashSet;

use super::{
    PresenceHome,
    presence::Story,
    witness::{self, hidden, room, socket, uid, visitor},
};
use crate::domain::{
    directory::{Counts, Ending, Members, Names, Whereabouts},
    ids::{ConnectionId, RoomId, SocketId, Space},
    presence::{Departure::Gone, Expulsion, Visitor},
};

impl Story {
    /// The members behind a place, and the place of the last of them.
    async fn page(&self, after: Option<u64>, limit: usize) -> (Vec<String>, Option<u64>, u64) {
        let Members { members, total } =
            self.presence.members_page(&self.room, after, limit).await.unwrap();
        let last = members.last().map(|(place, _)| *place);
        (members.iter().map(|(_, member)| super::presence::shown(member)).collect(), last, total)
    }

    async fn users(&self, names: &Names) -> Vec<String> {
        let users = self.presence.users_page(names).await.unwrap();
        users.iter().map(|user| user.uid.to_string()).collect()
    }
}

fn names(prefix: &str, after: Option<&str>, limit: usize) -> Names {
    Names { prefix: prefix.into(), after: after.map(Into::into), limit }
}

pub(crate) async fn a_users_connections_are_found_with_their_rooms(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let other = room("corridor");
    story.broker.attach(&other).await.unwrap();
    witness::claim(&story.presence, "ann", 1).await;
    for room in [&story.room, &other] {
        story.presence.enter(room, &visitor(1, "ann")).await.unwrap();
    }
    story.enter(hidden(2, "ann")).await;
    story.enter(visitor(3, "anna")).await;
    let mut both = vec![story.room.clone(), other.clone()];
    both.sort_unstable();
    let found = story.presence.whereabouts(&uid("ann")).await.unwrap();
    let shown: Vec<_> =
        found.iter().map(|w| (w.connection, w.socket.clone(), w.rooms.clone())).collect();
    assert_eq!(
        shown,
        [
            (ConnectionId(1), Some(socket(1)), both),
            (ConnectionId(2), None, vec![story.room.clone()])
        ]
    );
    assert!(found.iter().all(|w| !w.node.is_empty() && w.node == found[0].node), "{found:?}");

    // Who was kicked out is nowhere, and of who has ended nothing is left.
    witness::claim(&story.presence, "ann", 4).await;
    story.presence.depart(&story.room, ConnectionId(2), Gone).await.unwrap();
    story.presence.end(&uid("ann"), ConnectionId(2)).await.unwrap();
    let found = story.presence.whereabouts(&uid("ann")).await.unwrap();
    assert_eq!(
        found.iter().map(|w| (w.connection, w.rooms.len())).collect::<Vec<_>>(),
        [(ConnectionId(4), 0)]
    );
    assert_eq!(story.presence.whereabouts(&uid("nobody")).await.unwrap(), []);
}

pub(crate) async fn who_never_claims_is_found_by_the_name_that_it_entered_with(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    let other = room("corridor");
    story.broker.attach(&other).await.unwrap();
    let named =
        |connection| Visitor { socket: Some(socket(connection)), ..visitor(connection, "ann") };
    let found = async || -> Vec<(u64, bool, usize)> {
        let found = story.presence.whereabouts(&uid("ann")).await.unwrap();
        let shown = |w: &Whereabouts| {
            assert!(w.socket.is_none() || w.socket == Some(socket(w.connection.0)), "{w:?}");
            (w.connection.0, w.socket.is_some(), w.rooms.len())
        };
        found.iter().map(shown).collect()
    };
    story.enter(Visitor { hidden: true, ..named(1) }).await;
    story.enter(visitor(2, "ann")).await;
    assert_eq!(found().await, [(1, true, 1), (2, false, 1)]);
    // Who names itself nothing keeps its name.
    story.enter(visitor(1, "ann")).await;
    story.presence.enter(&other, &visitor(1, "ann")).await.unwrap();
    story.presence.enter(&other, &named(2)).await.unwrap();
    assert_eq!(found().await, [(1, true, 2), (2, true, 2)]);
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    story.presence.remove(&story.room, &uid("ann")).await.unwrap();
    assert_eq!(found().await, [(1, true, 1), (2, true, 1)]);
    // A session is found by what it has claimed.
    witness::claim(&story.presence, "ann", 3).await;
    story.enter(Visitor { socket: Some(SocketId("another".into())), ..visitor(3, "ann") }).await;
    assert_eq!(found().await, [(1, true, 1), (2, true, 1), (3, true, 1)]);
    // With its last room it has lost its name, and with its end all.
    story.presence.depart(&other, ConnectionId(1), Gone).await.unwrap();
    story.presence.remove(&other, &uid("ann")).await.unwrap();
    assert_eq!(found().await, [(1, false, 0), (2, false, 0), (3, true, 1)]);
    for connection in [1, 2] {
        story.presence.end(&uid("ann"), ConnectionId(connection)).await.unwrap();
    }
    story.enter(visitor(1, "ann")).await;
    assert_eq!(found().await, [(1, false, 1), (3, true, 1)], "nothing is left of what has ended");
}

pub(crate) async fn guests_are_members_and_no_users(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    for connection in [1, 2] {
        let name = format!("guest {connection}");
        let socket = Some(socket(connection));
        story.enter(Visitor { guest: true, socket, ..hidden(connection, &name) }).await;
    }
    let guest = uid("guest 1");
    assert_eq!(story.presence.whereabouts(&guest).await.unwrap(), []);
    assert_eq!(story.presence.disconnect(&guest, Ending::Drop).await.unwrap(), 0);
    assert_eq!(story.presence.expel(&guest, Expulsion::End).await.unwrap(), 0);
    assert_eq!(story.page(None, 9).await.0, ["guest 1 (hidden)", "guest 2 (hidden)"]);
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    let (left, _, total) = story.page(None, 9).await;
    assert_eq!((left, total), (vec!["guest 2 (hidden)".into()], 1));
    assert_eq!(story.users(&names("", None, 9)).await, [""; 0]);
}

pub(crate) async fn members_come_in_pages_in_the_order_of_their_joining(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    assert_eq!(story.page(None, 2).await, (vec![], None, 0));
    witness::claim(&story.presence, "zoe", 1).await;
    story.enter(visitor(1, "zoe")).await;
    story.enter(visitor(2, "ben")).await;
    story.enter(hidden(3, "ben")).await;
    story.enter(visitor(4, "ann")).await;
    story.enter(visitor(5, "ben")).await;
    let (first, last, total) = story.page(None, 2).await;
    assert_eq!((first, total), (vec!["zoe".into(), "ben ×2".into()], 4));
    let (second, last, _) = story.page(last, 2).await;
    assert_eq!(second, ["ben (hidden)", "ann"]);
    assert_eq!(story.page(last, 2).await, (vec![], None, 4));
    assert_eq!(story.page(Some(u64::MAX), 2).await, (vec![], None, 4));
    // Whatever changes is seen in the next page that is asked for.
    witness::claim(&story.presence, "zoe", 6).await;
    story.presence.depart(&story.room, ConnectionId(2), Gone).await.unwrap();
    story.enter(visitor(3, "ben")).await;
    assert_eq!(story.page(None, 9).await.0, ["zoe (held)", "ben ×2", "ann"]);
    story.enter(visitor(6, "zoe")).await;
    story.enter(hidden(4, "ann")).await;
    assert_eq!(story.page(None, 9).await.0, ["zoe", "ben ×2", "ann (hidden)"]);
    story.presence.remove(&story.room, &uid("ben")).await.unwrap();
    story.presence.depart(&story.room, ConnectionId(6), Gone).await.unwrap();
    let (left, _, total) = story.page(None, 9).await;
    assert_eq!((left, total), (vec!["ann (hidden)".into()], 1));
}

/// Ten thousand, of whom each third goes while the pages are read, and as many come.
pub(crate) async fn ten_thousand_members_are_read_while_people_come_and_go(
    home: &impl PresenceHome,
) {
    const MEMBERS: u64 = 10_000;
    let story = Story::begin(home).await;
    let name = |i: u64| format!("pupil {}", i * 7919 % MEMBERS);
    for i in 0..MEMBERS {
        story.enter(Visitor { wants_roster: false, ..visitor(i, &name(i)) }).await;
    }
    let (mut read, mut after, mut gone) = (Vec::new(), None, 0);
    loop {
        let (page, last, total) = story.page(after, 1000).await;
        assert_eq!(total, MEMBERS, "as many go as come");
        read.extend(page);
        let Some(last) = last else { break };
        after = Some(last);
        if gone >= MEMBERS {
            continue; // the last who came are read in peace
        }
        for i in (gone..gone + 900).step_by(3).filter(|i| *i < MEMBERS) {
            story.presence.depart(&story.room, ConnectionId(i), Gone).await.unwrap();
            let late = visitor(MEMBERS + i, &format!("late {i}"));
            story.enter(Visitor { wants_roster: false, ..late }).await;
        }
        gone += 900;
    }
    let once: HashSet<&String> = read.iter().collect();
    assert_eq!(once.len(), read.len(), "nobody is there twice");
    let all_the_time = (0..MEMBERS).filter(|i| i % 3 != 0).map(name);
    let in_order: Vec<String> =
        read.iter().filter(|name| name.starts_with("pupil")).cloned().collect();
    let missing: Vec<_> = all_the_time.clone().filter(|name| !once.contains(name)).collect();
    assert_eq!(missing, [""; 0], "who was there all the time");
    let stayed: HashSet<String> = all_the_time.clone().collect();
    let in_order: Vec<_> = in_order.into_iter().filter(|name| stayed.contains(name)).collect();
    assert_eq!(in_order, all_the_time.collect::<Vec<_>>(), "in the order of their joining");
}

pub(crate) async fn rooms_come_in_pages_by_name(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let rooms = ["a:1", "a:2", "a:é", "b:1", "b"].map(|name| RoomId::new(name).unwrap());
    let inbox = RoomId::within(Space::User, "ann").unwrap();
    for (i, room) in (1..).zip(rooms.iter().chain([&inbox])) {
        story.broker.attach(room).await.unwrap();
        story.presence.enter(room, &visitor(i, &format!("user {i}"))).await.unwrap();
    }
    story.presence.enter(&rooms[0], &hidden(11, "spy")).await.unwrap();
    let page = async |names: Names| -> Vec<(String, u64)> {
        let rooms = story.presence.rooms_page(&names).await.unwrap();
        rooms.into_iter().map(|(room, members)| (room.as_str().to_owned(), members)).collect()
    };
    let shown = |rooms: &[(&str, u64)]| -> Vec<(String, u64)> {
        rooms.iter().map(|(room, members)| ((*room).to_owned(), *members)).collect()
    };
    let shared = Some(Space::BEFORE_SHARED);
    assert_eq!(page(names("", shared, 3)).await, shown(&[("a:1", 2), ("a:2", 1), ("a:é", 1)]));
    assert_eq!(page(names("", Some("a:é"), 9)).await, shown(&[("b", 1), ("b:1", 1)]));
    assert_eq!(page(names("a:", None, 9)).await, shown(&[("a:1", 2), ("a:2", 1), ("a:é", 1)]));
    assert_eq!(page(names("a:", Some("a:1"), 1)).await, shown(&[("a:2", 1)]));
    assert_eq!(page(names("b:", Some("a"), 9)).await, shown(&[("b:1", 1)]));
    assert_eq!(page(names("c", None, 9)).await, shown(&[]));
    assert_eq!(page(names("", None, 9)).await.len(), 6, "those of other spaces come first");
    // As they are when they are asked for.
    story.presence.depart(&rooms[1], ConnectionId(2), Gone).await.unwrap();
    let new = RoomId::new("a:3").unwrap();
    story.broker.attach(&new).await.unwrap();
    story.presence.enter(&new, &visitor(12, "user 12")).await.unwrap();
    assert_eq!(page(names("a:", None, 9)).await, shown(&[("a:1", 2), ("a:3", 1), ("a:é", 1)]));
}

pub(crate) async fn users_come_in_pages_by_uid(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    for (connection, name) in (1..).zip(["ann", "anna", "ann b", "ben", "7"]) {
        witness::claim(&story.presence, name, connection).await;
    }
    story.enter(visitor(1, "ann")).await;
    let corridor = room("corridor");
    story.broker.attach(&corridor).await.unwrap();
    for room in [&story.room, &corridor] {
        story.presence.enter(room, &visitor(11, "ann")).await.unwrap();
    }
    assert_eq!(story.users(&names("", None, 3)).await, ["7", "ann", "ann b"]);
    assert_eq!(story.users(&names("", Some("ann b"), 3)).await, ["anna", "ben"]);
    assert_eq!(story.users(&names("ann", None, 9)).await, ["ann", "ann b", "anna"]);
    assert_eq!(story.users(&names("ann", Some("ann"), 1)).await, ["ann b"]);
    assert_eq!(story.users(&names("c", None, 9)).await, [""; 0]);
    let users = story.presence.users_page(&names("ann", None, 1)).await.unwrap();
    let mut rooms = vec![story.room.clone(), corridor];
    rooms.sort_unstable();
    assert_eq!((users[0].rooms.clone(), users[0].nodes.len()), (rooms, 1));
    assert_eq!(users[0].socket, Some(socket(1)));
    // Online as long as one connection is there.
    story.presence.end(&uid("ann"), ConnectionId(1)).await.unwrap();
    assert_eq!(story.users(&names("ann", None, 9)).await, ["ann", "ann b", "anna"]);
    let users = story.presence.users_page(&names("ann", None, 1)).await.unwrap();
    assert_eq!(users[0].socket, None, "it has no session any more");
    story.presence.end(&uid("ann"), ConnectionId(11)).await.unwrap();
    assert_eq!(story.users(&names("ann", None, 9)).await, ["ann b", "anna"]);
}

pub(crate) async fn users_and_rooms_are_counted(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let counted = async || story.presence.counts().await.unwrap();
    assert_eq!(counted().await, Counts::default());
    for (connection, name) in (1..).zip(["ann", "ben", "cat"]) {
        witness::claim(&story.presence, name, connection).await;
    }
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ben")).await;
    let inbox = RoomId::within(Space::User, "ann").unwrap();
    let talk = RoomId::within(Space::Dialect("talk"), "chat").unwrap();
    let corridor = room("corridor");
    for (connection, name, room) in [(1, "ann", &inbox), (4, "ann", &talk), (2, "ben", &corridor)] {
        story.broker.attach(room).await.unwrap();
        story.presence.enter(room, &visitor(connection, name)).await.unwrap();
    }
    // Who is in a room without a session is none of the users, and other spaces' rooms are not
    // shared.
    assert_eq!(counted().await, Counts { users: 3, rooms: 2 });
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    story.presence.end(&uid("ann"), ConnectionId(1)).await.unwrap();
    assert_eq!(counted().await, Counts { users: 2, rooms: 2 });
    story.presence.depart(&story.room, ConnectionId(2), Gone).await.unwrap();
    assert_eq!(counted().await, Counts { users: 2, rooms: 1 });
}
