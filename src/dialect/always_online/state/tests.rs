use std::{fmt::Write, sync::Arc};

use super::*;
use crate::{
    dialect::always_online::{
        authenticate::{Checked, Granted},
        sync::Page,
        wire::{AuthRefusal, JoinFailure, JoinRequest, SyncRequest},
    },
    domain::{gate::Changes, room::Room},
};

mod consent;
mod rights;
mod session;
use session::{Session, UNREAD};

/// Something that happens to a session.
type Happening = Box<dyn Fn(&mut Session) -> Vec<String>>;

fn sends(name: &'static str, argument: &'static str) -> Happening {
    Box::new(move |session| session.sends(name, argument, None))
}

fn happens(event: fn(&mut State) -> Vec<Effect>) -> Happening {
    Box::new(move |session| session.happens(event))
}

const WRONG: &str =
    r#"42["authenticate",{"status":1,"data":"auth failed, uid or token is wrong"}]"#;
const LATE: &str = r#"42["authenticate",{"status":1,"data":"authentication timeout"}]; unregister; refuse: authentication timeout"#;
const NO_ROOM: &str = r#"42["join",{"status":1,"data":"join failed, require roomId"}]"#;
const EMPTY: &str = r#"42["sync",{"data":[],"offset":0,"next":0}]"#;
const KICKOUT: &str = r#"42["kickout",0]; refuse: kickout"#;
/// What is owed by who is in no room, and by who is in two.
const NO_ROOMS: &str = "release a of ann; release b of ann; ask: end of ann";
const TWO_ROOMS: &str = "ask: end of ann, Gone a, Gone c";

/// What happens, and what it calls for in a guest, an authenticated user, a member, a dummy and a
/// session that has ended.
#[rustfmt::skip]
fn table() -> Vec<(&'static str, Happening, [String; 5])> {
    let same = |effects: &str| [effects, effects, effects, effects, ""].map(str::to_owned);
    let each = |effects: [&str; 5]| effects.map(str::to_owned);
    // What ends the session of a user, behind these effects.
    let ending = |guest: &str, first: &str| [
        guest.to_owned(),
        format!("{first}{NO_ROOMS}"),
        format!("{first}{TWO_ROOMS}"),
        format!("{first}{TWO_ROOMS}"),
        String::new(),
    ];
    let wrong = format!("{WRONG}; refuse: wrong credentials; ");
    vec![
        ("its user signs in", sends("authenticate", r#"{"uid":"ann","token":"t"}"#),
            each(["ask: sign in ann", "ask: check again ann", "ask: check again ann",
                "ask: check again ann", ""])),
        ("another user signs in", sends("authenticate", r#"{"uid":"bob"}"#),
            ending("ask: sign in bob", &wrong)),
        ("nobody signs in", sends("authenticate", "{}"),
            ending(&format!("{WRONG}; unregister; refuse: wrong credentials"), &wrong)),
        ("it joins", sends("join", r#"{"roomId":"d"}"#),
            each(["", "ask: enter d as ann", "ask: enter d as ann", "ask: enter d as ann", ""])),
        ("it joins unseen", sends("join", r#"{"roomId":7,"dummy":true}"#),
            each(["", "ask: enter 7 as ann unseen", "ask: enter 7 as ann unseen",
                "ask: enter 7 as ann unseen", ""])),
        ("it joins no room", sends("join", "{}"), each(["", NO_ROOM, NO_ROOM, NO_ROOM, ""])),
        ("it sends a message", sends("msg", "{}"),
            each(["msg nowhere", "msg refused: not in a room", r#"msg {} of "ann" to c"#,
                "msg refused: dummy can not send", "msg nowhere"])),
        ("it syncs", sends("sync", r#"{"offset":5}"#),
            each(["", EMPTY, "ask: read c from 5", "ask: read c from 5", ""])),
        ("it leaves", sends("leave", ""),
            each(["", "release a of ann; release b of ann; ask: end of ann, goodbye",
                "ask: end of ann, Gone a, Left c, goodbye",
                "ask: end of ann, Gone a, Left c, goodbye", ""])),
        ("it sends what is unknown", sends("dance", "{}"), same("")),
        ("it sends what is no event",
            Box::new(|session| session.asks_for(Call::Malformed, None)), same("drop: malformed")),
        ("it is gone", happens(State::gone), ending("", "")),
        ("it is late to authenticate", happens(State::late_to_authenticate),
            each([LATE, "", "", "", ""])),
        ("it is late to join", happens(State::late_to_join),
            each(["", &format!("refuse: join timeout; {NO_ROOMS}"), "", "", ""])),
        ("it is evicted", happens(State::evict),
            each([KICKOUT, &format!("{KICKOUT}; ask: end of ann"),
                &format!("silence a c; {KICKOUT}; {TWO_ROOMS}"),
                &format!("silence a c; {KICKOUT}; {TWO_ROOMS}"), ""])),
        ("it is revoked", happens(|state| state.refuse(Reason::Revoked)),
            ending("refuse: revoked", "refuse: revoked; ")),
        ("the server drains", happens(|state| state.drop_client(Reason::Drain)),
            same("drop: drain")),
        ("a message of its is lost", happens(|state| state.settled(1, 100, true)),
            same("drop: store unavailable")),
    ]
}

#[test]
fn every_event_has_its_effects_in_every_phase() {
    type Begin = fn() -> Session;
    let phases: [(&str, Begin); 5] = [
        ("guest", Session::guest),
        ("authenticated", Session::authenticated),
        ("member", Session::member),
        ("dummy", Session::dummy),
        ("ended", Session::ended),
    ];
    let mut wrong = String::new();
    for (event, happens, expected) in table() {
        for ((phase, begin), expected) in phases.iter().zip(expected) {
            let effects = happens(&mut begin()).join("; ");
            if effects != expected {
                writeln!(wrong, "{phase}: {event}: {effects}\n  instead of {expected}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn nothing_is_handled_before_the_client_is_told_that_it_is_connected() {
    let mut state = State::new(Rules::default());
    let call = Call::parse("authenticate", None).unwrap();
    assert!(state.receive(call, None, 10, UNREAD).is_empty());
    assert!(matches!(state.route(UNREAD), Route::Wait));
    assert!(matches!(state.connected().as_slice(), [Effect::Start]));
}

#[test]
fn who_signs_in_is_answered_and_has_to_join_in_time() {
    let mut session = Session::guest();
    let asked = session.sends("authenticate", r#"{"uid":"ann"}"#, Some(1));
    assert_eq!(asked, ["ask: sign in ann ack 1"]);
    let success = r#"{"status":0,"data":"auth success"}"#;
    assert_eq!(
        session.signed_in(&[]),
        [format!(r#"42["authenticate",{success}] + 431[{success}]"#), "await join".to_owned()]
    );
}

#[test]
fn who_is_refused_stays_away_and_what_is_no_fault_of_its_own_brings_it_back() {
    for (refusal, data, end) in [
        (AuthRefusal::Wrong, "auth failed, uid or token is wrong", "refuse: wrong credentials"),
        (AuthRefusal::RateLimit, "reach rate limit", "refuse: rate limit"),
        (AuthRefusal::TooManyFailures, "reach rate limit", "drop later: too many failures"),
        (AuthRefusal::Server, "server error", "drop later: store unavailable"),
    ] {
        let answer = format!(r#"42["authenticate",{{"status":1,"data":"{data}"}}]"#);
        let mut session = Session::guest();
        session.sends("authenticate", r#"{"uid":"ann"}"#, None);
        assert_eq!(
            session.answered(Answer::SignedIn { user: Err(refusal), ack: None }),
            [&*answer, "unregister", end]
        );
        assert!(session.sends("join", r#"{"roomId":"a"}"#, Some(2)).is_empty());
        assert!(session.happens(State::gone).is_empty());

        // The same in a second check, which ends the session it had.
        let mut session = Session::member();
        session.sends("authenticate", r#"{"uid":"ann"}"#, None);
        assert_eq!(
            session.answered(Answer::CheckedAgain {
                checked: Checked { granted: Err(refusal), by_jwt: false },
                ack: None
            }),
            [&*answer, end, TWO_ROOMS]
        );
        assert!(session.answered(Answer::Departed { goodbye: None }).is_empty());
        assert_eq!(session.sends("msg", "{}", Some(3)), ["msg nowhere"]);
    }
}

#[test]
fn a_second_check_that_succeeds_changes_nothing() {
    let mut session = Session::member();
    session.sends("authenticate", r#"{"uid":"ann"}"#, Some(4));
    let success = r#"{"status":0,"data":"auth success"}"#;
    assert_eq!(
        session.answered(Answer::CheckedAgain {
            checked: Checked {
                granted: Ok(Granted { rights: None, by_hook: Changes::default(), now: 1000 }),
                by_jwt: false
            },
            ack: Some(4)
        }),
        [format!(r#"42["authenticate",{success}] + 434[{success}]"#)]
    );
    assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to c"#]);
}

#[test]
fn the_first_join_decides_what_becomes_of_held_rooms() {
    for (joined, dummy, released) in [
        ("a", false, vec!["release b of ann"]),
        ("a", true, vec!["release a of ann", "release b of ann"]),
        ("z", false, vec!["release a of ann", "release b of ann"]),
    ] {
        let mut session = Session::authenticated();
        session.sends("join", &format!(r#"{{"roomId":"{joined}","dummy":{dummy}}}"#), None);
        assert_eq!(session.entered(joined, dummy), released, "{joined} {dummy}");
        // They are decided about once.
        session.sends("join", r#"{"roomId":"y"}"#, None);
        assert!(session.entered("y", false).is_empty());
    }
}

#[test]
fn a_join_that_fails_changes_nothing() {
    let mut session = Session::authenticated();
    session.sends("join", r#"{"roomId":"a"}"#, None);
    assert!(session.answered(Answer::Entered { room: None, dummy: false }).is_empty());
    assert_eq!(session.happens(State::gone).join("; "), NO_ROOMS);

    let mut session = Session::member();
    session.sends("join", r#"{"roomId":"d"}"#, None);
    assert!(session.answered(Answer::Entered { room: None, dummy: false }).is_empty());
    assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to c"#]);
    assert_eq!(session.happens(State::gone), [TWO_ROOMS]);
}

#[test]
fn the_room_joined_last_is_the_current_one_and_each_is_left_once() {
    let mut session = Session::member();
    for _ in 0..2 {
        session.sends("join", r#"{"roomId":"a"}"#, None);
        assert!(session.entered("a", false).is_empty());
        assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to a"#]);
    }
    assert_eq!(
        session.sends("leave", "", Some(9)),
        ["ask: end of ann, Gone c, Left a, goodbye ack 9"]
    );
    assert_eq!(
        session.answered(Answer::Departed { goodbye: Some(Goodbye { ack: Some(9) }) }),
        [r#"439[{"status":0}]"#, "refuse: leave"]
    );
    assert!(session.happens(State::gone).is_empty());
}

#[test]
fn a_join_beyond_a_limit_is_answered_and_changes_nothing() {
    for (why, told) in [
        (JoinFailure::TooOften, "join failed, too often"),
        (JoinFailure::TooManyNew, "join failed, too many new rooms"),
        (JoinFailure::TooManyRooms, "join failed, in too many rooms"),
    ] {
        let mut session = Session::authenticated();
        session.sends("join", r#"{"roomId":"a"}"#, None);
        session.entered("a", false);
        let asked = session.sends("join", r#"{"roomId":"b"}"#, Some(1));
        assert_eq!(asked, ["ask: enter b as ann ack 1"]);
        let failed = format!(r#"{{"status":1,"data":"{told}"}}"#);
        assert_eq!(
            session.answered(Answer::NotEntered { why, ack: Some(1) }),
            [format!(r#"42["join",{failed}] + 431[{failed}]"#)]
        );
        assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to a"#]);
    }
}

#[test]
fn what_reads_or_goes_waits_for_the_messages_before_it_and_nothing_passes_it() {
    for (name, asked) in [
        ("sync", "ask: read c from 0"),
        ("join", "ask: enter d as ann"),
        ("leave", "ask: end of ann, Gone a, Left c, goodbye"),
    ] {
        let mut session = Session::member();
        session.sent();
        session.sent();
        assert!(session.sends(name, r#"{"roomId":"d"}"#, None).is_empty(), "{name}");
        assert!(matches!(session.state.route(UNREAD), Route::Wait), "{name}");
        assert!(session.sends("msg", "{}", None).is_empty(), "{name}");
        assert!(session.settled().is_empty(), "{name}");
        assert_eq!(session.settled(), [asked], "{name}");
    }
    // A second check needs no messages to be stored.
    let mut session = Session::member();
    session.sent();
    assert_eq!(session.sends("authenticate", r#"{"uid":"ann"}"#, None), ["ask: check again ann"]);
}

/// A page of so many bytes, as it was asked for.
fn read(bytes: usize, json: &str) -> Answer {
    let page = Page { frames: vec![b' '; bytes].into(), patience: None };
    let request = SyncRequest::parse(serde_json::from_str(json).ok());
    Answer::PageRead { page, request }
}

#[test]
fn messages_that_waited_keep_their_order() {
    let mut session = Session::member();
    session.sends("sync", "{}", None);
    for i in 0..3 {
        assert!(session.sends("msg", &i.to_string(), None).is_empty());
    }
    assert_eq!(session.answered(read(4, "{}")), ["count", "ask: send 4 bytes"]);
    let to = |i: usize| format!(r#"msg {i} of "ann" to c"#);
    assert_eq!(session.answered(Answer::PageSent), [to(0), to(1), to(2)]);
    assert!(matches!(session.state.route(UNREAD), Route::Now(Target::Room { .. })));
}

#[test]
fn the_room_is_told_who_reads_its_log_from_the_beginning() {
    for (mut session, json, first) in [
        (Session::member(), r#"{"offset":0}"#, "tell c that ann syncs"),
        (Session::member(), "{}", "count"),
        (Session::dummy(), r#"{"offset":0}"#, "count"),
    ] {
        session.sends("sync", json, None);
        assert_eq!(session.answered(read(0, json))[0], first, "{json}");
    }
}

#[test]
fn a_page_that_cannot_be_read_or_taken_costs_the_connection() {
    for (answer, effects) in
        [(Answer::PageFailed, vec!["drop: store unavailable"]), (Answer::PageUnwanted, vec![])]
    {
        let mut session = Session::member();
        session.sends("sync", "{}", None);
        assert_eq!(session.answered(answer), effects);
    }
    let mut session = Session::member();
    session.sends("sync", "{}", None);
    session.answered(read(0, "{}"));
    assert_eq!(session.answered(Answer::PageLate), ["drop: slow"]);
}

#[test]
fn an_eviction_undoes_what_waits_and_leaves_held_rooms_to_the_next_session() {
    // While it signs in: no success behind the kickout.
    let mut session = Session::guest();
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(session.happens(State::evict).join("; "), KICKOUT);
    assert_eq!(session.signed_in(&["a"]), ["await join", "ask: end of ann"]);

    // While it enters a room: what evicted it did not see that one.
    let mut session = Session::authenticated();
    session.sends("join", r#"{"roomId":"a"}"#, None);
    session.happens(State::evict);
    assert_eq!(session.entered("a", false), ["silence a", "ask: end of ann, Gone a"]);

    // While its messages are being stored: what came behind them is undone, and its end waits.
    let mut session = Session::member();
    session.sent();
    session.sends("join", r#"{"roomId":"d"}"#, None);
    session.sends("msg", "{}", None);
    assert_eq!(session.happens(State::evict).join("; "), format!("silence a c; {KICKOUT}"));
    assert!(session.state.is_evicted());
    assert!(session.happens(State::evict).is_empty(), "it is heard of twice");
    assert!(session.sends("msg", "{}", None).is_empty());
    assert!(session.happens(State::gone).is_empty());
    assert_eq!(session.settled(), [TWO_ROOMS]);
    assert!(session.answered(Answer::Departed { goodbye: None }).is_empty());
}

#[test]
fn who_is_closed_is_told_nothing_more_and_closed_once() {
    let mut session = Session::member();
    assert_eq!(session.happens(|state| state.drop_client(Reason::Drain)), ["drop: drain"]);
    assert!(session.happens(|state| state.drop_client(Reason::Slow)).is_empty());
    assert_eq!(session.sends("msg", "{}", Some(1)), ["msg nowhere"]);
    assert!(matches!(session.state.route(UNREAD), Route::Now(Target::Nowhere)));
    assert!(session.sends("join", "{}", Some(1)).is_empty());
    assert_eq!(session.happens(State::evict), ["silence a c", TWO_ROOMS]);
    assert!(session.happens(|state| state.refuse(Reason::Revoked)).is_empty());
}

#[test]
fn what_a_client_sent_before_it_went_still_counts() {
    let mut session = Session::member();
    session.sends("sync", "{}", None);
    session.sends("msg", "1", Some(1));
    session.sends("leave", "", None);
    session.happens(State::gone);
    assert_eq!(
        session.answered(Answer::PageUnwanted),
        [r#"msg 1 of "ann" to c ack 1"#, "ask: end of ann, Gone a, Left c, goodbye"]
    );
}

#[test]
fn late_timers_find_what_has_come_meanwhile() {
    let mut session = Session::guest();
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert!(session.happens(State::late_to_authenticate).is_empty());
    assert_eq!(session.signed_in(&[])[1..], ["await join"]);
    session.sends("join", r#"{"roomId":"a"}"#, None);
    assert!(session.happens(State::late_to_join).is_empty());
    assert!(session.entered("a", false).is_empty());

    // A join that fails was no join.
    let mut session = Session::authenticated();
    session.sends("join", r#"{"roomId":"a"}"#, None);
    session.happens(State::late_to_join);
    let effects = session.answered(Answer::Entered { room: None, dummy: false });
    assert_eq!(effects.join("; "), format!("refuse: join timeout; {NO_ROOMS}"));
}

#[test]
fn a_full_mailbox_pauses_reading_until_half_of_it_is_done() {
    let mut session = Session::member();
    session.sends("sync", "{}", None);
    for _ in 0..256 {
        assert!(session.sends("msg", "{}", None).is_empty());
    }
    assert_eq!(session.sends("msg", "{}", None), ["pause"]);
    assert!(session.sends("msg", "{}", None).is_empty(), "it is told once");
    let done = session.answered(Answer::PageUnwanted);
    assert_eq!(done.iter().position(|effect| effect == "resume"), Some(129));
    assert_eq!(done.len(), 259);

    // The same of messages in rooms, by their bytes.
    let mut session = Session::member();
    assert!(!session.state.sent(1 << 20));
    assert!(session.state.sent(1));
    assert!(session.happens(|state| state.settled(1, 1, false)).is_empty());
    assert_eq!(session.happens(|state| state.settled(1, 1 << 20, false)), ["resume"]);
}

#[test]
fn what_an_eviction_undoes_is_not_in_flight_any_more() {
    let mut session = Session::member();
    session.sends("sync", "{}", None);
    for _ in 0..300 {
        session.sends("msg", "{}", None);
    }
    session.happens(State::evict);
    assert_eq!(session.answered(Answer::PageUnwanted), ["resume", TWO_ROOMS]);
}

#[test]
fn who_sends_on_although_nothing_is_read_is_dropped() {
    let mut session = Session::member();
    session.state.sent((1 << 20) + UNREAD);
    assert!(matches!(session.state.route(UNREAD), Route::Now(_)));
    session.state.sent(1);
    assert!(matches!(session.state.route(UNREAD), Route::Flood));
    assert_eq!(session.sends("sync", "{}", None), ["drop: flood"]);

    let mut session = Session::member();
    session.sends("sync", "{}", None);
    for _ in 0..=65_536 {
        session.happens(|state| state.receive(Call::Leave, None, 0, UNREAD));
    }
    assert_eq!(session.sends("leave", "", None), ["drop: flood"]);
}

#[test]
fn a_defect_ends_the_session_and_its_presence() {
    for (mut session, owed) in
        [(Session::authenticated(), NO_ROOMS), (Session::member(), TWO_ROOMS)]
    {
        session.sends("join", r#"{"roomId":"x"}"#, None);
        let effects = session.answered(Answer::Failed).join("; ");
        assert_eq!(effects, format!("drop: failure; {owed}"));
        // Should that fail as well, nothing is tried again.
        assert_eq!(session.answered(Answer::Failed), ["unregister"]);
        assert!(session.happens(State::gone).is_empty());
    }
    let mut session = Session::guest();
    session.sends("authenticate", r#"{"uid":"ann"}"#, None);
    assert_eq!(session.answered(Answer::Failed), ["drop: failure", "ask: end of ann"]);
}

fn removed(session: &mut Session, id: &str) {
    let room = RoomId::new(id).unwrap();
    assert!(session.happens(|state| state.removed(&room)).is_empty());
}

#[test]
fn a_room_that_it_was_taken_out_of_is_as_one_that_it_never_joined() {
    let mut session = Session::member();
    removed(&mut session, "c");
    removed(&mut session, "elsewhere");
    assert_eq!(session.sends("msg", "{}", Some(1)), ["msg refused: not in a room ack 1"]);
    assert_eq!(session.sends("sync", r#"{"offset":5}"#, None), [EMPTY]);
    assert_eq!(
        session.sends("leave", "", None),
        ["ask: end of ann, Gone a, goodbye"],
        "it is in the other one, and leaves it"
    );
}

#[test]
fn who_was_taken_out_of_all_its_rooms_may_join_again() {
    let mut session = Session::dummy();
    removed(&mut session, "a");
    assert_eq!(session.sends("msg", "{}", None), ["msg refused: dummy can not send"]);
    removed(&mut session, "c");
    assert_eq!(session.sends("msg", "{}", None), ["msg refused: not in a room"]);
    assert!(session.happens(State::late_to_join).is_empty(), "it has joined in time");
    assert_eq!(session.sends("join", r#"{"roomId":"d"}"#, None), ["ask: enter d as ann"]);
    session.entered("d", false);
    assert_eq!(session.sends("msg", "{}", None), [r#"msg {} of "ann" to d"#]);
    assert_eq!(session.happens(State::gone), ["ask: end of ann, Gone d"]);
}

#[test]
fn what_became_of_each_event_is_counted_once() {
    use crate::metrics::{Event::*, Outcome::*};
    let counted = |begin: fn() -> Session, play: fn(&mut Session)| {
        let mut session = begin();
        session.counted.clear();
        play(&mut session);
        session.counted
    };
    let signs_in = |session: &mut Session| {
        session.sends("authenticate", r#"{"uid":"ann"}"#, None);
        session.signed_in(&[]);
    };
    assert_eq!(counted(Session::guest, signs_in), [(Authenticate, Done)]);
    let join = |session: &mut Session| drop(session.sends("join", r#"{"roomId":"d"}"#, None));
    assert_eq!(counted(Session::guest, join), [(Join, Ignored)], "it is nobody yet");
    assert_eq!(counted(Session::member, join), [], "nothing has come of it yet");
    let enters = |session: &mut Session| {
        session.sends("join", r#"{"roomId":"d"}"#, None);
        session.entered("d", false);
    };
    assert_eq!(counted(Session::member, enters), [(Join, Done)]);
    let fails_to_enter = |session: &mut Session| {
        session.sends("join", r#"{"roomId":"d"}"#, None);
        session.answered(Answer::Entered { room: None, dummy: false });
    };
    assert_eq!(counted(Session::member, fails_to_enter), [(Join, Failed)]);
    let nowhere = |session: &mut Session| drop(session.sends("join", "{}", None));
    assert_eq!(counted(Session::member, nowhere), [(Join, Refused)]);
    let nobody = |session: &mut Session| drop(session.sends("authenticate", "{}", None));
    assert_eq!(counted(Session::guest, nobody), [(Authenticate, Refused)]);
    assert_eq!(counted(Session::member, nobody), [(Authenticate, Refused)]);
    let late = |session: &mut Session| drop(session.happens(State::late_to_authenticate));
    assert_eq!(counted(Session::guest, late), [], "it has sent none");
    let sync = |session: &mut Session| drop(session.sends("sync", "{}", None));
    assert_eq!(counted(Session::authenticated, sync), [(Sync, Done)]);
    let breaks = |session: &mut Session| drop(session.asks_for(Call::Malformed, None));
    assert_eq!(counted(Session::member, breaks), [(Other, Refused)]);
    let goes = |session: &mut Session| {
        session.sends("leave", "", None);
        session.answered(Answer::Departed { goodbye: Some(Goodbye { ack: None }) });
    };
    assert_eq!(counted(Session::member, goes), [(Leave, Done)]);
}
