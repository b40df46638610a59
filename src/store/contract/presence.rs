//! Who is told of whom.
use std::sync::Arc;

use super::{PresenceHome, witness::*};
use crate::domain::{
    broker::Broker,
    ids::{ConnectionId, RoomId},
    presence::{
        Departure::{Gone, Left},
        Presence, Present, Roster, Visitor,
    },
};

/// A store with one room that this node has members of.
pub(super) struct Story {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) witness: Arc<Witness>,
    pub(super) room: RoomId,
}

impl Story {
    pub(super) async fn begin(home: &impl PresenceHome) -> Self {
        let (broker, presence) = home.open().await;
        let (witness, room) = (Witness::of(&broker), room("classroom"));
        broker.attach(&room).await.unwrap();
        Story { broker, presence, witness, room }
    }

    pub(super) async fn enter(&self, visitor: Visitor) -> Roster {
        self.presence.enter(&self.room, &visitor).await.unwrap()
    }

    /// What was told, without n.
    pub(super) fn told(&self) -> Vec<String> {
        self.witness.events(&self.room)
    }

    /// The room as an administrator sees it, like `ann`, `ben (hidden)`, `cat (held)`.
    pub(super) async fn members(&self) -> Vec<String> {
        let members = self.presence.members(&self.room).await.unwrap();
        members.iter().map(shown).collect()
    }
}

/// A member as an administrator sees it, like `ann`, `ben (hidden)`, `cat (held)`, `dan ×2`.
pub(super) fn shown(member: &Present) -> String {
    let Present { uid, hidden, held, connections } = member;
    let how = match (hidden, held) {
        (true, _) => " (hidden)",
        (false, true) => " (held)",
        (false, false) => "",
    };
    match connections {
        0 if *held => format!("{uid}{how}"),
        1 if !held => format!("{uid}{how}"),
        many => format!("{uid}{how} ×{many}"),
    }
}

pub(crate) async fn newcomers_are_told_to_the_others_and_get_the_roster_in_join_order(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    let zoe = story.enter(visitor(1, "zoe")).await;
    let ann = story.enter(visitor(2, "ann")).await;
    let mia = story.enter(visitor(3, "mia")).await;
    assert_eq!(
        (names(&zoe.others), names(&ann.others), names(&mia.others)),
        (vec![], vec!["zoe"], vec!["zoe", "ann"])
    );
    assert_eq!([zoe.n, ann.n, mia.n], [1, 2, 3], "the newcomer's own place");
    let told = story.witness.take(&story.room);
    assert_eq!(
        told.into_iter().map(|p| p.audience).collect::<Vec<_>>(),
        ["zoe", "ann", "mia"].map(except)
    );
    assert_eq!(story.members().await, ["zoe", "ann", "mia"]);
}

pub(crate) async fn departures_are_told_as_they_were(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    for (connection, name) in [(1, "ann"), (2, "ben"), (3, "cat")] {
        story.enter(visitor(connection, name)).await;
    }
    story.witness.take(&story.room);
    story.presence.depart(&story.room, ConnectionId(2), Left).await.unwrap();
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    let told = story.witness.take(&story.room);
    assert_eq!(
        told.into_iter().map(|p| (p.n, p.audience)).collect::<Vec<_>>(),
        [(4, except("ben")), (5, except("ann"))]
    );
    story.enter(visitor(4, "ann")).await;
    assert_eq!(story.members().await, ["cat", "ann"], "who comes back is last");
    assert_eq!(story.told(), ["joined ann"]);
}

pub(crate) async fn entering_again_is_not_announced(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ben")).await;
    story.told();
    let again = story.enter(visitor(1, "ann")).await;
    assert_eq!(
        (names(&again.others), again.n, story.told()),
        (vec!["ben"], 2, vec![]),
        "a roster, and nothing else"
    );
    assert_eq!(story.members().await, ["ann", "ben"]);
}

pub(crate) async fn the_hidden_see_and_are_not_seen(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    let spy = story.enter(hidden(2, "spy")).await;
    let ben = story.enter(visitor(3, "ben")).await;
    assert_eq!((names(&spy.others), names(&ben.others)), (vec!["ann"], vec!["ann"]));
    let incurious = Visitor { wants_roster: false, ..hidden(2, "spy") };
    assert_eq!(names(&story.enter(incurious).await.others), Vec::<&str>::new());
    assert_eq!(
        story.members().await,
        ["ann", "spy (hidden)", "ben"],
        "administrators see everybody"
    );
    story.presence.depart(&story.room, ConnectionId(2), Left).await.unwrap();
    assert_eq!(story.told(), ["joined ann", "joined ben"]);
}

pub(crate) async fn who_shows_up_joins_last(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(hidden(1, "spy")).await;
    story.enter(visitor(2, "ann")).await;
    story.told();
    let shown = story.enter(visitor(1, "spy")).await;
    assert_eq!((names(&shown.others), story.told()), (vec!["ann"], vec!["joined spy".into()]));
    assert_eq!(names(&story.enter(visitor(3, "ben")).await.others), ["ann", "spy"]);
}

pub(crate) async fn who_hides_is_gone(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ben")).await;
    story.told();
    story.enter(hidden(1, "ann")).await;
    story.enter(hidden(1, "ann")).await;
    assert_eq!(story.told(), ["gone ann"]);
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!((story.told(), story.members().await), (vec![], vec!["ben".into()]));
}

pub(crate) async fn a_stranger_departs_unnoticed(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    story.told();
    story.presence.depart(&story.room, ConnectionId(99), Left).await.unwrap();
    story.presence.depart(&room("unknown"), ConnectionId(1), Left).await.unwrap();
    story.presence.release(&story.room, &uid("ann"), ConnectionId(11)).await.unwrap();
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!(story.told(), ["gone ann"]);
}

pub(crate) async fn presence_and_messages_share_one_order(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    publish(&story.broker, &story.room, [insert("hello"), ignore("…")]).await;
    // Whether what nobody is told has a place of its own is the store's affair.
    let (spy, ben) =
        (story.enter(hidden(2, "spy")).await.n, story.enter(visitor(3, "ben")).await.n);
    assert!(spy == 3 || spy == 4, "what it has missed: {spy}");
    assert_eq!(ben, spy + 1);
    publish(&story.broker, &story.room, [insert("hi")]).await;
    story.presence.depart(&story.room, ConnectionId(1), Left).await.unwrap();
    let told = story.witness.take(&story.room);
    let indexes: Vec<Option<u64>> = told.iter().map(|publication| publication.index).collect();
    assert_eq!(indexes, [None, Some(0), None, None, Some(1), None], "of inserts alone");
    let heard = as_heard(&told);
    let later = ["joined ben", "insert hi", "left ann"]
        .into_iter()
        .zip(ben..)
        .map(|(event, n)| format!("{n} {event}"));
    assert_eq!(heard[..3], ["1 joined ann", "2 insert hello", "3 ignore …"]);
    assert_eq!(heard[3..], later.collect::<Vec<_>>());
}

pub(crate) async fn rooms_are_listed_while_anybody_is_there(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let (zoo, attic) = (room("zoo"), room("attic"));
    story.presence.enter(&zoo, &hidden(1, "spy")).await.unwrap();
    story.presence.enter(&attic, &visitor(1, "spy")).await.unwrap();
    assert_eq!(story.presence.rooms().await.unwrap(), [attic.clone(), zoo.clone()]);
    story.presence.depart(&attic, ConnectionId(1), Gone).await.unwrap();
    assert_eq!(story.presence.rooms().await.unwrap(), [zoo]);
    assert!(story.presence.members(&attic).await.unwrap().is_empty());
}

pub(crate) async fn a_thousand_members_are_in_join_order(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let name = |i: u64| format!("pupil {}", i * 7919 % 1000);
    for i in 0..1000 {
        story.enter(visitor(i, &name(i))).await;
    }
    for i in (0..1000).step_by(2) {
        story.presence.depart(&story.room, ConnectionId(i), Gone).await.unwrap();
    }
    let late = story.enter(visitor(5000, "late")).await;
    assert_eq!(names(&late.others), (1..1000).step_by(2).map(name).collect::<Vec<_>>());
}

pub(crate) async fn a_room_goes_on_after_everybody_left(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.enter(visitor(1, "ann")).await;
    publish(&story.broker, &story.room, [insert("kept")]).await;
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    story.broker.detach(&story.room);
    story.broker.attach(&story.room).await.unwrap();
    assert_eq!(story.enter(visitor(2, "ben")).await.others.len(), 0);
    assert_eq!(log(&story.broker, &story.room).await, ["kept"]);
}
