//! What a session's token grants, and for how long.
use serde_json::json;

use super::*;
use crate::domain::access::{Caps, Rights};

const SUCCESS: &str = r#"42["authenticate",{"status":0,"data":"auth success"}]"#;
/// Whether the new token was revoked while it was checked.
const LOOK: &str = "look for revocation";
const EXPIRED: &str = r#"42["authenticate",{"status":1,"data":"token expired"}]"#;
const JOIN_REFUSED: &str = r#"42["join",{"status":1,"data":"join failed, not allowed"}]"#;
const SYNC_REFUSED: &str = r#"42["sync",{"status":1,"data":"not allowed"}]"#;

/// The rights of a token that was issued at `iat` and expires at `exp`.
fn token(iat: u64, exp: u64, caps: Option<serde_json::Value>) -> Option<Arc<Rights>> {
    let caps = caps.map(|caps| Arc::new(Caps::parse(&caps).unwrap()));
    let (issued_at, expires_at) = (Some(iat), Some(exp));
    Some(Arc::new(Rights { caps, issued_at, expires_at, ..Rights::default() }))
}

/// Everything in the rooms `a` and `c`.
fn both() -> Option<serde_json::Value> {
    Some(json!([{ "rooms": ["a", "c"], "allow": ["join", "send", "sync"] }]))
}

fn granted(rights: Option<Arc<Rights>>, now: u64) -> Granted {
    Granted { rights, by_hook: Changes::default(), now }
}

/// Ann, signed in at 1000.
fn signed_in(access: Access, rights: Option<Arc<Rights>>) -> (Session, Vec<String>) {
    let mut session = Session::under(Rules { access, grace: 25 });
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    let user = Ok((Uid::text("ann").unwrap(), Vec::new(), granted(rights, 1000)));
    let effects = session.answered(Answer::SignedIn { user, ack: None });
    (session, effects)
}

/// Ann in the room `a` and then in `c`, with a token that expires at 4600.
fn member(caps: Option<serde_json::Value>) -> Session {
    let (mut session, _) = signed_in(Access::Open, token(1000, 4600, caps));
    for room in ["a", "c"] {
        session.sends("join", &format!(r#"{{"roomId":"{room}"}}"#), None);
        session.entered(room, false);
    }
    session
}

fn renews(session: &mut Session, granted: Result<Granted, AuthRefusal>) -> Vec<String> {
    assert_eq!(session.sends("authenticate", r#"{"uid":"ann"}"#, None), ["ask: check again ann"]);
    session.answered(Answer::CheckedAgain { checked: Checked { granted, by_jwt: true }, ack: None })
}

fn at(session: &mut Session, now: u64) -> Vec<String> {
    session.happens(|state| state.remind(now))
}

#[test]
fn a_token_that_expires_is_told_of_and_then_ends_the_session() {
    let (mut session, effects) = signed_in(Access::Open, token(1000, 4600, None));
    assert_eq!(effects, [SUCCESS, "remind at 4540", "await join"]);
    assert_eq!(at(&mut session, 4539), ["remind at 4540"], "clocks differ a little");
    assert_eq!(at(&mut session, 4541), [r#"42["expiring",{"in":59}]"#, "remind at 4625"]);
    assert_eq!(at(&mut session, 4624), ["remind at 4625"]);
    assert_eq!(at(&mut session, 4625), [EXPIRED, "drop: token expired"]);
    assert!(at(&mut session, 4626).is_empty());
    assert_eq!(session.happens(State::gone), ["ask: end of ann"]);
}

#[test]
fn neither_the_same_token_again_nor_a_hook_that_says_nothing_of_time_prolongs_the_grace() {
    let mut session = member(None);
    at(&mut session, 4541); // it is told
    let same = granted(token(1000, 4600, None), 4610);
    assert_eq!(renews(&mut session, Ok(same)), [SUCCESS, "remind at 4625"]);
    let (mut changed, _) = {
        let request = JoinRequest { room: RoomId::new("d").unwrap(), dummy: false };
        let changes = Changes { meta: Some("8".into()), ..Changes::default() };
        session.sends("join", r#"{"roomId":"d"}"#, None);
        let answer = Answer::MayEnter { request, ack: None, changes, now: 4620 };
        let effects = session.answered(answer);
        assert!(effects.contains(&"remind at 4625".to_owned()), "{effects:?}");
        (session, effects)
    };
    changed.entered("d", false);
    assert_eq!(at(&mut changed, 4625), [EXPIRED, "drop: token expired"]);
}

#[test]
fn a_revocation_that_comes_while_the_user_signs_in_is_looked_for_behind_it() {
    let mut session = Session::under(Rules { access: Access::Open, grace: 25 });
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(session.state.recheck(), None, "it is not known yet");
    let user = Ok((Uid::text("ann").unwrap(), Vec::new(), granted(token(1000, 4600, None), 1000)));
    let effects = session.answered(Answer::SignedIn { user, ack: None });
    assert_eq!(effects, [SUCCESS, "remind at 4540", LOOK, "await join"]);
}

#[test]
fn a_plain_token_does_not_expire() {
    let (mut session, effects) = signed_in(Access::Open, None);
    assert_eq!(effects, [SUCCESS, "await join"]);
    assert!(at(&mut session, u64::MAX).is_empty());
}

#[test]
fn a_renewal_replaces_what_there_was_and_an_older_token_changes_nothing() {
    let mut session = member(None);
    let next = granted(token(4500, 8100, both()), 4500);
    assert_eq!(renews(&mut session, Ok(next)), [SUCCESS, "remind at 8040"]);
    let older = granted(token(1000, 4600, Some(json!([]))), 4501);
    assert_eq!(renews(&mut session, Ok(older)), [SUCCESS]);
    assert_eq!(at(&mut session, 4625), ["remind at 8040"], "the earlier time is of no meaning");
    assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to c"#]);
    // Of two that were issued in the same second the last one counts.
    let same = granted(token(4500, 9000, both()), 4502);
    assert_eq!(renews(&mut session, Ok(same)), [SUCCESS, "remind at 8940"]);
    // A plain one does not expire.
    assert_eq!(renews(&mut session, Ok(granted(None, 4503))), [SUCCESS, "remind no more"]);
    assert!(at(&mut session, 9999).is_empty());
}

#[test]
fn a_renewal_that_fails_for_no_fault_of_the_user_leaves_the_session_as_it_was() {
    let server = r#"42["authenticate",{"status":1,"data":"server error"}]"#;
    let wait = r#"42["authenticate",{"status":1,"data":"reach rate limit"}]"#;
    for (refusal, answer) in [
        (AuthRefusal::Server, server),
        (AuthRefusal::TooManyFailures, wait),
        (AuthRefusal::Expired, EXPIRED),
    ] {
        let mut session = member(None);
        assert_eq!(renews(&mut session, Err(refusal)), [answer]);
        assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to c"#]);
        assert_eq!(at(&mut session, 4625), [EXPIRED, "drop: token expired"]);
    }
    let mut session = member(None);
    assert_eq!(
        renews(&mut session, Err(AuthRefusal::Wrong)),
        [WRONG, "refuse: wrong credentials", TWO_ROOMS]
    );
}

#[test]
fn a_renewal_that_came_before_the_end_counts_also_where_it_waits() {
    // Behind messages that are being stored, and behind one that waits for a page.
    let mut session = member(None);
    session.sends("sync", "{}", None);
    assert!(session.sends("msg", "1", None).is_empty());
    assert!(session.sends("authenticate", r#"{"uid":"ann"}"#, None).is_empty());
    assert_eq!(at(&mut session, 4625), ["remind at 4655"], "it waits so long");
    assert_eq!(
        session.answered(Answer::PageUnwanted),
        [r#"msg 1 of "ann" to c"#, "ask: check again ann"]
    );
    let checked = Checked { granted: Ok(granted(token(4600, 8200, None), 4626)), by_jwt: true };
    assert_eq!(
        session.answered(Answer::CheckedAgain { checked, ack: None }),
        [SUCCESS, "remind at 8140", "remind at 8140"]
    );
    assert_eq!(at(&mut session, 4655), ["remind at 8140"], "it is renewed");
    // While it is being checked.
    let mut session = member(None);
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(at(&mut session, 4625), ["remind at 4655"]);
    let checked = Checked { granted: Err(AuthRefusal::Server), by_jwt: true };
    let server = r#"42["authenticate",{"status":1,"data":"server error"}]"#;
    assert_eq!(
        session.answered(Answer::CheckedAgain { checked, ack: None }),
        [server, EXPIRED, "drop: token expired"]
    );
}

/// A member whose task is at work for as long as the test likes, with a message that waits behind.
fn busy() -> Session {
    let mut session = member(None);
    session.sends("sync", "{}", None);
    assert!(session.sends("msg", "1", None).is_empty());
    session
}

#[test]
fn who_keeps_its_mailbox_busy_does_not_outlive_its_token() {
    let mut session = busy();
    assert_eq!(at(&mut session, 4541), [r#"42["expiring",{"in":59}]"#, "remind at 4625"]);
    assert_eq!(at(&mut session, 4624), ["remind at 4625"]);
    assert_eq!(at(&mut session, 4625), [EXPIRED, "drop: token expired"]);
    assert!(session.happens(State::gone).is_empty());
    assert_eq!(session.answered(Answer::PageUnwanted), [TWO_ROOMS], "what waited has no effect");
    // Messages that wait for a store that is out are no task of its, and put off nothing either.
    let mut session = member(None);
    session.sent();
    session.sends("sync", "{}", None);
    assert_eq!(at(&mut session, 4625), [EXPIRED, "drop: token expired"]);
}

#[test]
fn a_renewal_that_waits_puts_the_end_off_for_a_bounded_time() {
    let mut session = busy();
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(at(&mut session, 4541), ["remind at 4655"]);
    assert_eq!(at(&mut session, 4625), ["remind at 4655"]);
    // However many there are, and whenever they came.
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(at(&mut session, 4654), ["remind at 4655"]);
    assert_eq!(at(&mut session, 4655), [EXPIRED, "drop: token expired"]);
    // Those of another user put off nothing.
    let mut session = busy();
    session.sends("authenticate", r#"{"uid":"bob"}"#, None);
    session.sends("authenticate", "{}", None);
    assert_eq!(at(&mut session, 4625), [EXPIRED, "drop: token expired"]);
}

#[test]
fn a_renewal_that_fails_late_ends_the_session_at_once() {
    let mut session = busy();
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    at(&mut session, 4625);
    // Its own expired token, again and again.
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    session.answered(Answer::PageUnwanted);
    let checked = Checked { granted: Err(AuthRefusal::Expired), by_jwt: true };
    let effects = session.answered(Answer::CheckedAgain { checked, ack: None });
    assert_eq!(effects, [EXPIRED, EXPIRED, "drop: token expired"]);
}

#[test]
fn a_revocation_while_a_renewal_is_checked_is_looked_for_behind_it_and_else_not() {
    let next = || Ok(granted(token(1001, 4600, None), 1001));
    // One that came before was seen by the check itself.
    let mut session = member(None);
    assert!(session.state.recheck().is_some());
    assert_eq!(renews(&mut session, next()), [SUCCESS, "remind at 4540"]);
    // Meanwhile: the token before is looked at now, and the new one when it is granted.
    let mut session = member(None);
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    let (_, before) = session.state.recheck().unwrap();
    assert_eq!(before.issued_at, Some(1000));
    let checked = |granted: Result<Granted, AuthRefusal>| {
        let checked = Checked { granted, by_jwt: true };
        Answer::CheckedAgain { checked, ack: None }
    };
    assert_eq!(session.answered(checked(next())), [SUCCESS, "remind at 4540", LOOK]);
    let (_, now) = session.state.recheck().unwrap();
    assert_eq!(now.issued_at, Some(1001));
    // That the one before is revoked says nothing of the new one.
    assert!(session.happens(|state| state.revoked(&before)).is_empty());
    assert_eq!(session.happens(|state| state.revoked(&now)), ["refuse: revoked", TWO_ROOMS]);
    // A renewal that fails leaves nothing to be looked at later.
    let mut session = member(None);
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    session.state.recheck();
    session.answered(checked(Err(AuthRefusal::Server)));
    assert_eq!(renews(&mut session, next()), [SUCCESS, "remind at 4540"]);
}

#[test]
fn what_is_not_granted_is_refused_and_told() {
    let caps = json!([
        { "rooms": ["read"], "allow": ["join", "sync"] },
        { "rooms": ["write"], "allow": ["join", "send"] },
        { "rooms": ["watch"], "allow": ["dummy", "sync"] },
    ]);
    let (mut session, _) = signed_in(Access::Open, token(1000, 4600, Some(caps)));
    assert_eq!(session.sends("join", r#"{"roomId":"other"}"#, None), [JOIN_REFUSED]);
    assert_eq!(session.sends("join", r#"{"roomId":"watch"}"#, None), [JOIN_REFUSED]);
    assert_eq!(session.sends("join", r#"{"roomId":"read","dummy":true}"#, None), [JOIN_REFUSED]);
    assert_eq!(session.sends("msg", "{}", Some(1)), ["msg refused: not in a room ack 1"]);

    session.sends("join", r#"{"roomId":"read"}"#, None);
    session.entered("read", false);
    assert_eq!(session.sends("msg", "{}", Some(1)), ["msg refused: not allowed ack 1"]);
    assert_eq!(session.sends("sync", "{}", None), ["ask: read read from 0"]);
    session.answered(Answer::PageUnwanted);

    session.sends("join", r#"{"roomId":"write"}"#, None);
    session.entered("write", false);
    assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to write"#]);
    assert_eq!(session.sends("sync", "{}", None), [SYNC_REFUSED]);

    assert_eq!(
        session.sends("join", r#"{"roomId":"watch","dummy":true}"#, None),
        ["ask: enter watch as ann unseen"]
    );
    session.entered("watch", true);
    assert_eq!(session.sends("msg", "{}", Some(1)), ["msg refused: dummy can not send ack 1"]);
}

#[test]
fn a_renewal_changes_what_may_be_done_and_a_room_that_is_lost_costs_the_connection() {
    let caps = |rooms: &[&str], allow: &[&str]| Some(json!([{ "rooms": rooms, "allow": allow }]));
    let mut session = member(both());
    let silent = granted(token(1001, 4600, caps(&["a", "c"], &["join"])), 1001);
    assert_eq!(renews(&mut session, Ok(silent)), [SUCCESS, "remind at 4540"]);
    assert_eq!(session.sends("msg", "{}", None), ["msg refused: not allowed"]);
    let loud = granted(token(1002, 4600, both()), 1002);
    renews(&mut session, Ok(loud));
    assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to c"#]);

    for lost in ["a", "c"] {
        let mut session = member(both());
        let kept = if lost == "a" { "c" } else { "a" };
        let less = granted(token(1001, 4600, caps(&[kept], &["join", "send", "sync"])), 1001);
        assert_eq!(
            renews(&mut session, Ok(less)),
            [SUCCESS, "remind at 4540", "drop: not allowed"],
            "{lost}"
        );
        assert_eq!(session.sends("msg", "{}", None), ["msg nowhere"]);
        assert_eq!(session.happens(State::gone), [TWO_ROOMS]);
    }
}

#[test]
fn a_place_as_a_dummy_rests_on_another_cap_than_one_that_is_seen() {
    let mut session = member(None);
    session.sends("join", r#"{"roomId":"w","dummy":true}"#, None);
    session.entered("w", true);
    session.sends("join", r#"{"roomId":"d"}"#, None);
    session.entered("d", false);
    let caps = json!([
        { "rooms": ["w"], "allow": ["dummy"] },
        { "rooms": ["a", "c", "d"], "allow": ["join"] },
    ]);
    let good = granted(token(1001, 4600, Some(caps)), 1001);
    assert_eq!(renews(&mut session, Ok(good)).len(), 2);
    let caps = json!([{ "rooms": ["a", "c", "d", "w"], "allow": ["join"] }]);
    let bad = granted(token(1002, 4600, Some(caps)), 1002);
    assert_eq!(renews(&mut session, Ok(bad))[2], "drop: not allowed");
}

#[test]
fn where_claims_are_asked_for_a_plain_token_opens_no_room() {
    for (access, rights, expected) in [
        (Access::Open, None, "ask: enter r as ann"),
        (Access::Claims, None, JOIN_REFUSED),
        (Access::Claims, token(1000, 4600, None), "ask: enter r as ann"),
        (Access::Claims, token(1000, 4600, Some(json!([]))), JOIN_REFUSED),
        (Access::Hook, None, "ask: enter r as ann"),
    ] {
        let (mut session, _) = signed_in(access, rights);
        assert_eq!(session.sends("join", r#"{"roomId":"r"}"#, None), [expected], "{access:?}");
    }
}
