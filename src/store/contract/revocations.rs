//! Credentials that are revoked while their user is signed in, or is just signing in.
use super::{
    PresenceHome,
    presence::Story,
    witness::{claim, hidden, room, socket, uid, visitor},
};
use crate::domain::{
    ids::ConnectionId,
    presence::{Claim, Departure::Gone, Expelled, Expulsion, Visitor},
};

pub(crate) async fn the_session_of_a_revoked_user_is_refused(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    claim(&story.presence, "ann", 1).await;
    claim(&story.presence, "ben", 2).await;
    let expelled = home.revoke(&uid("ann")).await;
    assert!(matches!(expelled, Expelled::Ended { connections: 1, .. }), "{expelled:?}");
    assert_eq!(story.witness.expelled(), [ConnectionId(1)]);
    assert_eq!(home.revoke(&uid("cat")).await, Expelled::Nobody);
    assert_eq!(story.witness.expelled(), []);
}

pub(crate) async fn a_claim_whose_check_may_have_missed_a_revocation_fails(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    let before = story.presence.revocations();
    let signs_in = async |name: &str, connection, checked| {
        story
            .presence
            .claim(&uid(name), ConnectionId(connection), &socket(connection), Some(checked))
            .await
            .unwrap()
    };
    assert_eq!(home.revoke(&uid("ann")).await, Expelled::Nobody);
    let Claim::CheckAgain(now) = signs_in("ann", 1, before).await else {
        panic!("it was not seen")
    };
    assert!(now > before, "{now:?}");
    assert_eq!(story.presence.online().await.unwrap(), [], "nothing was changed");
    assert_eq!(signs_in("ben", 2, before).await, Claim::Made(vec![]), "it does not concern others");
    assert_eq!(
        signs_in("ann", 1, now).await,
        Claim::Made(vec![]),
        "what was checked behind it counts"
    );
    assert_eq!(story.presence.online().await.unwrap().len(), 2);
}

pub(crate) async fn a_session_is_told_of_a_revocation_by_whoever_runs_beside_it(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    claim(&story.presence, "ann", 1).await;
    let before = story.presence.revocations();
    for (expulsion, ended, asked) in [
        (Expulsion::Ask, vec![], vec![ConnectionId(1)]),
        (Expulsion::End, vec![ConnectionId(1)], vec![]),
    ] {
        let told = async |name: &str| story.presence.expel(&uid(name), expulsion).await.unwrap();
        assert_eq!(told("ann").await, 1, "{expulsion:?}");
        // A second way on which it may be heard is there for who is deaf.
        let (told_to_end, told_to_ask) = (story.witness.expelled(), story.witness.asked());
        assert!(told_to_end.first() == ended.first(), "{expulsion:?} {told_to_end:?}");
        assert!(told_to_ask.first() == asked.first(), "{expulsion:?} {told_to_ask:?}");
        assert_eq!(told("ben").await, 0, "{expulsion:?}");
    }
    for name in ["ann", "ben"] {
        let claimed =
            story.presence.claim(&uid(name), ConnectionId(2), &socket(2), Some(before)).await;
        assert!(matches!(claimed, Ok(Claim::CheckAgain(_))), "{name}: {claimed:?}");
    }
}

/// Connections that never claim: `ann` as 1 and, in another room and hidden, as 2.
pub(crate) async fn all_connections_of_a_revoked_user_are_told(home: &impl PresenceHome) {
    let story = Story::begin(home).await;
    let other = room("corridor");
    story.broker.attach(&other).await.unwrap();
    story.enter(visitor(1, "ann")).await;
    story.presence.enter(&other, &hidden(2, "ann")).await.unwrap();
    claim(&story.presence, "ann", 3).await;
    story.enter(visitor(4, "ben")).await;
    let all = [1, 2, 3].map(ConnectionId);
    // Each once: a second way on which it may be heard is there for who is deaf.
    let told = |mut connections: Vec<ConnectionId>| {
        connections.sort_unstable();
        connections.dedup();
        connections
    };
    let expelled = home.revoke(&uid("ann")).await;
    assert!(matches!(expelled, Expelled::Ended { connections: 3, .. }), "{expelled:?}");
    assert_eq!(told(story.witness.expelled()), all);
    assert_eq!(story.presence.expel(&uid("ann"), Expulsion::Ask).await.unwrap(), 3);
    assert_eq!(told(story.witness.asked()), all);
    assert_eq!(story.presence.expel(&uid("ann"), Expulsion::End).await.unwrap(), 3);
    assert_eq!(told(story.witness.expelled()), all);
    // Who has left its rooms is there until it ends.
    story.presence.depart(&story.room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!(story.presence.expel(&uid("ann"), Expulsion::End).await.unwrap(), 3);
    for connection in all {
        story.presence.end(&uid("ann"), connection).await.unwrap();
    }
    assert_eq!(home.revoke(&uid("ann")).await, Expelled::Nobody);
}

pub(crate) async fn a_visitor_whose_check_may_have_missed_a_revocation_is_checked_again(
    home: &impl PresenceHome,
) {
    let story = Story::begin(home).await;
    let before = story.presence.revocations();
    let enters = async |connection, name: &str, checked| {
        let visitor = Visitor { checked, ..visitor(connection, name) };
        story.enter(visitor).await.check_again
    };
    assert!(!enters(1, "ann", Some(before)).await, "nothing was revoked");
    story.presence.expel(&uid("ann"), Expulsion::End).await.unwrap();
    let (ann, nobody) = (uid("ann"), socket(9));
    let claim = story.presence.claim(&ann, ConnectionId(9), &nobody, Some(before)).await;
    let Ok(Claim::CheckAgain(now)) = claim else { panic!("{claim:?}") };
    assert!(enters(2, "ann", Some(before)).await);
    assert!(enters(2, "ann", Some(before)).await, "also if it comes again");
    assert!(!enters(3, "ben", Some(before)).await, "it does not concern others");
    assert!(!enters(4, "ann", None).await, "nobody asks");
    assert!(!enters(5, "ann", Some(now)).await, "what was checked behind it counts");
    // It is in, and told of what comes later.
    assert!(story.presence.expel(&uid("ann"), Expulsion::Ask).await.unwrap() >= 3);
    assert!(story.witness.asked().contains(&ConnectionId(2)));
}
