//! One session per uid, and what becomes of the rooms of the earlier one.
use super::{
    PresenceHome,
    presence::Story,
    witness::{self, except, hidden, names, room, socket, uid, visitor},
};
use crate::domain::{
    ids::{ConnectionId, RoomId, Uid},
    presence::{Claim, Departure::Gone, Online},
};

impl Story {
    async fn claim(&self, name: &str, connection: u64) -> Vec<RoomId> {
        witness::claim(&self.presence, name, connection).await
    }

    /// `ann` as connection 1 and `ben` as connection 2, in the room.
    async fn with_ann_and_ben(home: &impl PresenceHome) -> Self {
        let story = Story::begin(home).await;
        for (connection, name) in [(1, "ann"), (2, "ben")] {
            assert_eq!(story.claim(name, connection).await, []);
            story.enter(visitor(connection, name)).await;
        }
        story.told();
        story
    }
}

pub(crate) async fn a_second_session_evicts_the_first_and_its_rooms_are_held(
    home: &impl PresenceHome,
) {
    let story = Story::with_ann_and_ben(home).await;
    assert_eq!(story.claim("ann", 11).await, std::slice::from_ref(&story.room));
    assert_eq!(story.witness.evicted(), [ConnectionId(1)]);
    assert_eq!(
        (story.told(), story.members().await),
        (vec![], vec!["ann (held)".into(), "ben".into()]),
        "nobody is told"
    );
    assert_eq!(
        names(&story.enter(visitor(3, "cat")).await.others),
        ["ann", "ben"],
        "and rosters count it"
    );
}

pub(crate) async fn a_held_place_is_taken_over_silently_in_its_order(home: &impl PresenceHome) {
    let story = Story::with_ann_and_ben(home).await;
    story.claim("ann", 11).await;
    let roster = story.enter(visitor(11, "ann")).await;
    assert_eq!((names(&roster.others), story.told()), (vec!["ben"], vec![]));
    assert!(roster.n >= 2, "{}", roster.n);
    assert_eq!(story.members().await, ["ann", "ben"]);
    story.presence.release(&story.room, &uid("ann"), ConnectionId(11)).await.unwrap();
    assert_eq!(story.told(), [""; 0], "nothing is held any more");
    story.presence.depart(&story.room, ConnectionId(11), Gone).await.unwrap();
    assert_eq!(story.told(), ["gone ann"]);
}

pub(crate) async fn a_held_place_is_given_up_once(home: &impl PresenceHome) {
    let story = Story::with_ann_and_ben(home).await;
    story.claim("ann", 11).await;
    story.presence.release(&story.room, &uid("ann"), ConnectionId(11)).await.unwrap();
    story.presence.release(&story.room, &uid("ann"), ConnectionId(11)).await.unwrap();
    let told = story.witness.take(&story.room);
    assert_eq!(told.iter().map(|p| (p.n, &p.audience)).collect::<Vec<_>>(), [(3, &except("ann"))]);
    assert_eq!((story.members().await, story.claim("ann", 12).await), (vec!["ben".into()], vec![]));
}

/// A node may have heard nothing yet of the kick.
pub(crate) async fn who_was_kicked_gives_up_no_place_of_its_successor(home: &impl PresenceHome) {
    let story = Story::with_ann_and_ben(home).await;
    story.claim("ann", 11).await;
    story.claim("ann", 12).await;
    story.presence.release(&story.room, &uid("ann"), ConnectionId(11)).await.unwrap();
    story.presence.end(&uid("ann"), ConnectionId(11)).await.unwrap();
    story.presence.release(&story.room, &uid("ann"), ConnectionId(11)).await.unwrap();
    assert_eq!(
        (story.told(), story.members().await),
        (vec![], vec!["ann (held)".into(), "ben".into()])
    );
    story.presence.release(&story.room, &uid("ann"), ConnectionId(12)).await.unwrap();
    assert_eq!(
        (story.told(), story.members().await),
        (vec!["gone ann".into()], vec!["ben".into()])
    );
}

pub(crate) async fn entering_hidden_leaves_the_place_held(home: &impl PresenceHome) {
    let story = Story::with_ann_and_ben(home).await;
    story.claim("ann", 11).await;
    story.enter(hidden(11, "ann")).await;
    assert_eq!(
        (story.told(), story.members().await),
        (vec![], vec!["ann (held)".into(), "ben".into(), "ann (hidden)".into()])
    );
    story.enter(visitor(11, "ann")).await;
    assert_eq!(
        (story.told(), story.members().await),
        (vec![], vec!["ann".into(), "ben".into()]),
        "it shows up where it was"
    );
}

pub(crate) async fn the_rooms_of_the_hidden_are_not_held(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.claim("spy", 1).await;
    story.enter(hidden(1, "spy")).await;
    assert_eq!(story.claim("spy", 2).await, []);
    assert_eq!(story.witness.evicted(), [ConnectionId(1)]);
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!((story.told(), story.members().await), (vec![], vec![]));
}

pub(crate) async fn a_kick_of_a_kick_inherits_the_holds(home: &impl PresenceHome) {
    let story = Story::with_ann_and_ben(home).await;
    let (first, second) = (story.room.clone(), room("corridor"));
    story.broker.attach(&second).await.unwrap();
    story.claim("ann", 11).await;
    story.presence.enter(&second, &visitor(11, "ann")).await.unwrap();
    let mut held = story.claim("ann", 12).await;
    held.sort();
    assert_eq!(held, [first.clone(), second.clone()], "the first session's room and the second's");
    assert_eq!(story.witness.evicted(), [ConnectionId(1), ConnectionId(11)]);
    story.presence.enter(&first, &visitor(12, "ann")).await.unwrap();
    story.presence.release(&second, &uid("ann"), ConnectionId(12)).await.unwrap();
    assert_eq!(
        (story.told(), story.witness.events(&second)),
        (vec![], vec!["joined ann".into(), "gone ann".into()])
    );
}

pub(crate) async fn claiming_again_changes_nothing(home: &impl PresenceHome) {
    let story = Story::with_ann_and_ben(home).await;
    assert_eq!(story.claim("ann", 1).await, []);
    assert_eq!((story.witness.evicted(), story.told()), (vec![], vec![]));
    assert_eq!(story.members().await, ["ann", "ben"]);
}

pub(crate) async fn the_evicted_depart_unnoticed(home: &impl PresenceHome) {
    let story = Story::with_ann_and_ben(home).await;
    story.claim("ann", 11).await;
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!(
        (story.told(), story.members().await),
        (vec![], vec!["ann (held)".into(), "ben".into()])
    );
    story.enter(visitor(11, "ann")).await;
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!((story.told(), story.members().await), (vec![], vec!["ann".into(), "ben".into()]));
}

pub(crate) async fn an_end_is_for_the_session_of_that_connection(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.claim("ann", 1).await;
    story.claim("ann", 2).await;
    story.presence.end(&uid("ann"), ConnectionId(1)).await.unwrap();
    assert_eq!(
        story.presence.online().await.unwrap(),
        [Online { uid: uid("ann"), socket: socket(2) }]
    );
    story.presence.end(&uid("ann"), ConnectionId(2)).await.unwrap();
    assert_eq!(story.presence.online().await.unwrap(), []);
    story.claim("ann", 3).await;
    assert_eq!(story.witness.evicted(), [ConnectionId(1)], "who has ended is not evicted");
}

pub(crate) async fn number_and_text_are_one_uid(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    story.claim("1000", 1).await;
    story.enter(visitor(1, "1000")).await;
    let held = story
        .presence
        .claim(&Uid::number("1000").unwrap(), ConnectionId(2), &socket(2), None)
        .await
        .unwrap();
    assert_eq!(
        (held, story.witness.evicted()),
        (Claim::Made(vec![story.room.clone()]), vec![ConnectionId(1)])
    );
}

pub(crate) async fn of_fifty_claims_one_survives(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let claims: Vec<_> = (1..=50)
        .map(|c| {
            let presence = story.presence.clone();
            tokio::spawn(async move { witness::claim(&presence, "ann", c).await })
        })
        .collect();
    for claim in claims {
        claim.await.unwrap();
    }
    let mut evicted = story.witness.evicted();
    evicted.sort();
    evicted.dedup();
    let survivors: Vec<_> =
        (1..=50).filter(|c| !evicted.contains(&ConnectionId(*c))).map(socket).collect();
    let online: Vec<_> =
        story.presence.online().await.unwrap().into_iter().map(|o| o.socket).collect();
    assert_eq!((evicted.len(), survivors), (49, online));
}
