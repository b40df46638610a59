//! What hooks say of a session, and what it makes of that.
use serde_json::json;

use super::{session::room, *};
use crate::domain::{
    access::{Caps, Rights},
    gate::{self, Changes, Refusal},
    message::{Kind, Message},
};

const JOIN_DENIED: &str = r#"42["join",{"status":1,"data":"join failed, not allowed"}]"#;
const SUCCESS: &str = r#"42["authenticate",{"status":0,"data":"auth success"}]"#;

fn refused() -> gate::Answer {
    gate::Answer::Refused(Refusal { code: 7, message: "no".into() })
}

fn ended(reconnect: bool) -> gate::Answer {
    gate::Answer::Disconnect { reason: "bye".into(), reconnect }
}

/// A message of Ann's to this room.
fn message(to: &str, ack: Option<i64>) -> Pending {
    let message =
        Message { kind: Kind::Insert, body: Bytes::from_static(b"{}"), key: None, may_pass: true };
    Pending { uid: "\"ann\"".into(), room: room(to), message, ack }
}

fn caps(rooms: &[&str]) -> Changes {
    let caps = json!([{ "rooms": rooms, "allow": ["join", "send", "sync"] }]);
    Changes { caps: Some(Arc::new(Caps::parse(&caps).unwrap())), ..Changes::default() }
}

impl Session {
    /// The hook does not consent to what is being asked.
    fn denied(&mut self, what: Denied, by: gate::Answer, ack: Option<i64>) -> Vec<String> {
        self.answered(Answer::Denied { what, by, ack })
    }

    /// A member of `a` and `c` whose message is being asked about.
    fn sending() -> Self {
        let mut session = Self::member();
        session.sends("sync", "{}", None); // its task is at work
        session
    }

    /// Asks to join `d`, which the hook is asked about.
    fn joining() -> Self {
        let mut session = Self::member();
        let asked = session.sends("join", r#"{"roomId":"d"}"#, None);
        assert_eq!(asked, ["ask: enter d as ann"]);
        session
    }

    fn may_enter(&mut self, changes: Changes) -> Vec<String> {
        let request = JoinRequest { room: RoomId::new("d").unwrap(), dummy: false };
        self.answered(Answer::MayEnter { request, ack: None, changes, now: 1000 })
    }

    fn may_send(&mut self, message: Pending, changes: Changes) -> Vec<String> {
        self.answered(Answer::MaySend { message, changes, now: 1000 })
    }
}

#[test]
fn who_is_not_let_in_is_told_and_stays_away_and_a_failure_is_tried_again() {
    let asked = || {
        let mut session = Session::guest();
        session.sends("authenticate", r#"{"uid":"ann"}"#, Some(1));
        session
    };
    let told = |rest: &str| format!(r#"42["authenticate",{rest}] + 431[{rest}]"#);
    let plain = r#"{"status":1,"data":"not allowed"}"#;
    let with_error = r#"{"status":1,"data":"not allowed","error":{"code":7,"message":"no"}}"#;
    let server = r#"{"status":1,"data":"server error"}"#;
    for (by, expected) in [
        (refused(), vec![told(with_error), "refuse: hook".into()]),
        (ended(false), vec![told(plain), "refuse: hook".into()]),
        (ended(true), vec![told(plain), "drop: hook".into()]),
        (
            gate::Answer::Failed,
            vec![told(server), "unregister".into(), "drop later: store unavailable".into()],
        ),
    ] {
        let mut session = asked();
        assert_eq!(session.denied(Denied::Connect, by.clone(), Some(1)), expected, "{by:?}");
        assert!(session.sends("authenticate", r#"{"uid":"ann"}"#, None).is_empty());
        assert!(session.happens(State::gone).is_empty());
    }
}

#[test]
fn a_join_that_is_refused_leaves_everything_else_as_it_was() {
    let mut session = Session::joining();
    assert_eq!(
        session.denied(Denied::Join, gate::Answer::Failed, None),
        [r#"42["join",{"status":1,"data":"server error"}]"#]
    );
    let mut session = Session::joining();
    assert_eq!(
        session.denied(Denied::Join, refused(), None),
        [
            r#"42["join",{"status":1,"data":"join failed, not allowed","error":{"code":7,"message":"no"}}]"#
        ]
    );
    assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to c"#]);
    for (reconnect, expected) in [(false, "refuse: hook"), (true, "drop: hook")] {
        let mut session = Session::joining();
        let told = session.denied(Denied::Join, ended(reconnect), None);
        assert_eq!(told[..2], [JOIN_DENIED, expected]);
        assert!(session.sends("msg", "{}", None).len() <= 1);
    }
}

#[test]
fn a_join_with_consent_enters_unless_things_have_changed() {
    let mut session = Session::joining();
    assert_eq!(session.may_enter(Changes::default()), ["ask: enter d as ann with consent"]);
    // Meanwhile everything else waits.
    let mut session = Session::joining();
    assert!(session.sends("msg", "{}", None).is_empty());
    let mut told = session.may_enter(Changes::default());
    told.extend(session.entered("d", false));
    assert_eq!(told, ["ask: enter d as ann with consent", r#"msg {} of "ann" to d"#]);
    // A newer session has taken over, or the client was dropped: it does not enter.
    let mut session = Session::joining();
    session.happens(State::evict);
    assert_eq!(session.may_enter(Changes::default()), [TWO_ROOMS]);
    let mut session = Session::joining();
    session.happens(|state| state.drop_client(Reason::Drain));
    assert!(session.may_enter(Changes::default()).is_empty());
    // The hook itself takes the right to enter.
    let mut session = Session::joining();
    assert_eq!(session.may_enter(caps(&["a", "c"])), [JOIN_DENIED]);
}

#[test]
fn a_message_with_consent_goes_where_it_was_meant_to_go() {
    let mut session = Session::sending();
    assert!(session.sends("msg", "2", None).is_empty(), "it waits for the first");
    assert_eq!(
        session.may_send(message("c", Some(1)), Changes::default()),
        [r#"post {} of "ann" to c ack 1"#, r#"msg 2 of "ann" to c"#]
    );
    let mut session = Session::sending();
    session.happens(State::evict);
    assert_eq!(session.may_send(message("c", None), Changes::default()), [TWO_ROOMS]);
    let mut session = Session::sending();
    assert_eq!(
        session.may_send(message("elsewhere", Some(1)), Changes::default()),
        ["msg refused: not in a room ack 1"]
    );
    // What the client sent before it went still counts.
    let mut session = Session::sending();
    assert!(session.happens(State::gone).is_empty());
    assert_eq!(
        session.may_send(message("c", None), Changes::default()),
        [r#"post {} of "ann" to c"#, TWO_ROOMS]
    );
}

#[test]
fn a_message_without_consent_is_refused_and_one_that_is_lost_brings_its_sender_back() {
    for (by, ack, expected) in [
        (refused(), Some(1), vec!["msg refused: not allowed by no ack 1"]),
        (refused(), None, vec!["msg refused: not allowed by no"]),
        (gate::Answer::Failed, Some(1), vec!["msg refused: store unavailable ack 1"]),
        (
            gate::Answer::Failed,
            None,
            vec!["msg refused: store unavailable", "drop: store unavailable"],
        ),
        (ended(false), Some(1), vec!["msg refused: not allowed ack 1", "refuse: hook", TWO_ROOMS]),
        (ended(true), Some(1), vec!["msg refused: not allowed ack 1", "drop: hook"]),
    ] {
        let mut session = Session::sending();
        assert_eq!(session.denied(Denied::Message, by, ack), expected);
    }
}

#[test]
fn what_a_hook_changes_holds_whatever_token_comes_later() {
    let renewed = |rights: Option<Rights>, by_hook| Answer::CheckedAgain {
        checked: Checked {
            granted: Ok(Granted { rights: rights.map(Arc::new), by_hook, now: 1000 }),
            by_jwt: true,
        },
        ack: None,
    };
    let mut session = Session::sending();
    let changes = Changes { meta: Some("7".into()), expire_at: Some(4600), ..caps(&["a", "c"]) };
    assert_eq!(
        session.may_send(message("c", None), changes),
        [r#"post {} of "ann" to c"#, "remind at 4540"]
    );
    let meta = |session: &Session| session.state.known().unwrap().1;
    assert_eq!(meta(&session), Some("7".into()));
    assert_eq!(session.sends("join", r#"{"roomId":"d"}"#, None), [JOIN_DENIED]);
    let token = Rights { meta: Some("8".into()), expires_at: Some(9000), ..Rights::default() };
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    let told = session.answered(renewed(Some(token), Changes::default()));
    assert_eq!(told[..2], [SUCCESS, "remind at 4540"]);
    assert_eq!(meta(&session), Some("7".into()));
    assert_eq!(session.sends("join", r#"{"roomId":"d"}"#, None), [JOIN_DENIED]);
    // Until the hook says something else.
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    let told = session.answered(renewed(None, caps(&["a", "c", "d"])));
    assert_eq!(told[..2], [SUCCESS, "remind at 4540"]);
    assert_eq!(session.sends("join", r#"{"roomId":"d"}"#, None), ["ask: enter d as ann"]);
}

#[test]
fn a_room_that_a_hook_takes_away_costs_the_connection() {
    let mut session = Session::sending();
    assert_eq!(
        session.may_send(message("c", None), caps(&["c"])),
        [r#"post {} of "ann" to c"#, "drop: not allowed"]
    );
}

#[test]
fn a_renewal_that_is_refused_ends_the_session_and_a_failure_leaves_it() {
    let mut session = Session::member();
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(
        session.denied(Denied::Renewal, gate::Answer::Failed, None),
        [r#"42["authenticate",{"status":1,"data":"server error"}]"#]
    );
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(
        session.denied(Denied::Renewal, ended(false), None),
        [r#"42["authenticate",{"status":1,"data":"not allowed"}]"#, "refuse: hook", TWO_ROOMS]
    );
}

#[test]
fn where_claims_are_asked_for_a_hook_makes_no_rights_of_a_plain_token() {
    let mut session = Session::under(Rules { access: Access::Claims, grace: 25 });
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    let by_hook = Changes { meta: Some("7".into()), ..Changes::default() };
    let granted = Granted { rights: None, by_hook, now: 1000 };
    let user = Ok((Uid::text("ann").unwrap(), Vec::new(), granted));
    session.answered(Answer::SignedIn { user, ack: None });
    assert_eq!(session.sends("join", r#"{"roomId":"d"}"#, None), [JOIN_DENIED]);
}
