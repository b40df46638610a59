use serde_json::value::RawValue;

use super::*;
use crate::{
    dialect::tinode::{
        ids::SPACE,
        message::Range as Seqs,
        mode::{Acs, Dacs},
    },
    domain::{
        broker::Audience,
        ids::{Space, Uid},
    },
    net::websocket::frame,
};

const GROUP: &str = "grpabcdefghijk";

fn user(n: u64) -> UserId {
    UserId::of_number(n).unwrap()
}

fn group() -> Key {
    Key::parse(GROUP).unwrap()
}

fn told(index: Option<u64>, event: Event) -> Publication {
    Publication { n: 1, audience: Audience::All, index, event }
}

fn insert(index: u64) -> Publication {
    let content: &RawValue = serde_json::from_str("\"hi\"").unwrap();
    let body = stored::body(user(1), Ts(0), None, Some(content));
    told(Some(index), Event::Message { kind: Kind::Insert, body })
}

fn update(mark: Mark, noted: Option<Noted>) -> Publication {
    let kind = Kind::Update { id: user(1).to_string().into() };
    told(None, Event::Message { kind, body: stored::mark(mark, noted) })
}

fn event(event: &RoomEvent) -> Publication {
    let body = serde_json::to_vec(event).unwrap().into();
    told(None, Event::Message { kind: Kind::Ignore, body })
}

fn packets(key: Key, life: &str, publications: &[Publication]) -> Bytes {
    JsonFrames.encode(&key.room(life).unwrap(), publications).all()
}

/// What is sent to a view.
fn text(packets: &[u8], frames: Views, view: View) -> Option<String> {
    let range = frames.of(view)?;
    let (_, payload) = frame::payloads(&packets[range]).next().unwrap();
    Some(String::from_utf8(payload.to_vec()).unwrap())
}

const VIEWS: [View; 4] = [View::All, View::First, View::Second, View::Reader];

#[test]
fn a_message_has_a_frame_for_each_view() {
    let pair = Key::pair(user(1), user(2));
    let json = |topic: &str, from: &str| {
        format!(
            r#"{{"data":{{"topic":"{topic}",{from}"ts":"1970-01-01T00:00:00.000Z","seq":7,"content":"hi"}}}}"#
        )
    };
    let from = r#""from":"usrAQAAAAAAAAA","#;
    let (a, b) = (user(1).to_string(), user(2).to_string());
    for (key, life, expected) in [
        (pair, "g1", [None, Some(json(&b, from)), Some(json(&a, from)), None]),
        (group(), "g1", [Some(json(GROUP, from)), None, None, None]),
        (group(), "c1", [Some(json(GROUP, from)), None, None, Some(json("chnabcdefghijk", ""))]),
        (Key::Own(user(1)), "g1", [Some(json("slf", from)), None, None, None]),
    ] {
        let packets = packets(key, life, &[insert(6)]);
        let parts: Vec<_> = parts(&packets).collect();
        let [Wired::Data { seq: 7, from, frames }] = parts[..] else { panic!("{parts:?}") };
        assert_eq!(from, user(1));
        assert_eq!(VIEWS.map(|view| text(&packets, frames, view)), expected, "{key:?} {life}");
    }
}

#[test]
fn marks_and_typing_are_told_to_those_who_see_users() {
    let seven = Mark { read: 3, recv: 7, since: 9 };
    let info = |what: &str, seq: &str| {
        format!(r#"{{"info":{{"topic":"{GROUP}","from":"usrAQAAAAAAAAA","what":"{what}"{seq}}}}}"#)
    };
    let kp = event(&RoomEvent::Kp { from: user(1), what: Noted::Kpv });
    for (publication, mark, told, frame) in [
        (update(seven, None), Some(seven), None, None),
        (
            update(seven, Some(Noted::Read)),
            Some(seven),
            Some(Noted::Read),
            Some(info("read", ",\"seq\":3")),
        ),
        (
            update(seven, Some(Noted::Recv)),
            Some(seven),
            Some(Noted::Recv),
            Some(info("recv", ",\"seq\":7")),
        ),
        (kp, None, Some(Noted::Kpv), Some(info("kpv", ""))),
    ] {
        let packets = packets(group(), "c1", &[publication]);
        let parts: Vec<_> = parts(&packets).collect();
        let [Wired::Noted { user: by, mark: read, told: noted, frames }] = parts[..] else {
            panic!("{parts:?}")
        };
        assert_eq!((by, read, noted), (user(1), mark, told));
        assert_eq!(text(&packets, frames, View::All), frame);
        assert_eq!(text(&packets, frames, View::Reader), None);
    }
    let pair = packets(Key::pair(user(1), user(2)), "g1", &[update(seven, Some(Noted::Read))]);
    let Some(Wired::Noted { frames, .. }) = parts(&pair).next() else { panic!("no note") };
    let topic = |view| text(&pair, frames, view).unwrap().contains(r#""topic":"usrAgAAAAAAAAA""#);
    assert_eq!([View::First, View::Second].map(topic), [true, false]);
}

#[test]
fn comings_and_goings_are_told_in_groups() {
    let uid = || user(1).uid().unwrap();
    let stranger = Uid::text("ann").unwrap();
    for (event, on) in [
        (Event::Joined { uid: uid(), connections: 1 }, Some(true)),
        (Event::Joined { uid: uid(), connections: 2 }, None),
        (Event::Left { uid: uid(), connections: 0 }, Some(false)),
        (Event::Left { uid: uid(), connections: 1 }, None),
        (Event::Gone { uid: uid(), connections: 0 }, Some(false)),
        (Event::Gone { uid: uid(), connections: 1 }, None),
        (Event::Removed { uid: uid(), seen: true }, Some(false)),
        (Event::Removed { uid: uid(), seen: false }, None),
        (Event::Joined { uid: stranger, connections: 1 }, None),
        (Event::Synced(uid()), None),
        (Event::System(Bytes::new()), None),
        (Event::Cleared, None),
        (Event::Trimmed { start: 3 }, None),
        (Event::Recalled { key: "x".into() }, None),
    ] {
        let group = packets(group(), "g1", &[told(None, event.clone())]);
        let parts: Vec<_> = parts(&group).collect();
        let expected: Vec<_> = on.map(|on| Wired::On { user: user(1), on }).into_iter().collect();
        assert_eq!(parts, expected, "{event:?}");
        for key in [Key::pair(user(1), user(2)), Key::Own(user(1))] {
            assert!(packets(key, "g1", &[told(None, event.clone())]).is_empty(), "{event:?}");
        }
    }
}

#[test]
fn events_are_passed_on_as_they_are() {
    let acs = Some(Acs::default());
    let (by, ranges) = (user(2), vec![Seqs { low: 1, hi: 2 }]);
    for said in [
        RoomEvent::Acs { user: user(1), by, acs, dacs: Dacs::gone(), version: 1, reader: false },
        RoomEvent::Del { by, clear: 3, ranges },
        RoomEvent::End,
    ] {
        let packets = packets(group(), "g1", &[event(&said)]);
        let parts: Vec<_> = parts(&packets).collect();
        let [Wired::Event(body)] = parts[..] else { panic!("{parts:?}") };
        assert_eq!(RoomEvent::read(body), Some(said));
    }
}

#[test]
fn what_can_not_be_read_is_told_to_nobody() {
    let room = group().room("g1").unwrap();
    let message = |kind, body: &'static str| {
        told(Some(1), Event::Message { kind, body: Bytes::from_static(body.as_bytes()) })
    };
    let burst = JsonFrames.encode(
        &room,
        &[
            message(Kind::Insert, "{}"),
            message(Kind::Update { id: "usrAQAAAAAAAAA".into() }, "[]"),
            message(Kind::Update { id: "ann".into() }, r#"{"r":1,"v":1}"#),
            message(Kind::Ignore, r#"{"e":"other"}"#),
            insert(0),
        ],
    );
    let (chosen, count) = burst.select(|at| at < 4);
    assert_eq!((chosen.len(), count), (0, 0));
    assert_eq!(parts(&burst.all()).count(), 1);
    let elsewhere = RoomId::within(Space::Lives("talk"), "grpabcdefghijk:g1").unwrap();
    assert!(JsonFrames.encode(&elsewhere, &[insert(0)]).all().is_empty());
    let nameless = RoomId::within(SPACE, "ann:g1").unwrap();
    assert!(JsonFrames.encode(&nameless, &[insert(0)]).all().is_empty());
}

#[test]
fn several_parts_are_read_one_after_the_other() {
    let joined = told(None, Event::Joined { uid: user(2).uid().unwrap(), connections: 1 });
    let all = [insert(0), joined, insert(1), event(&RoomEvent::End)];
    let packets = packets(group(), "g1", &all);
    let kinds: Vec<_> = parts(&packets)
        .map(|wired| match wired {
            Wired::Data { seq, .. } => format!("data {seq}"),
            Wired::Noted { .. } => "noted".into(),
            Wired::On { on, .. } => format!("on {on}"),
            Wired::Event(_) => "event".into(),
        })
        .collect();
    assert_eq!(kinds, ["data 1", "on true", "data 2", "event"]);
}

#[test]
fn what_is_forged_is_passed_over() {
    let kp = event(&RoomEvent::Kp { from: user(1), what: Noted::Kp });
    let whole = packets(group(), "c1", &[insert(0), kp, event(&RoomEvent::End)]);
    let frames_fit = |packets: &[u8]| {
        for wired in parts(packets) {
            if let Wired::Data { frames, .. } | Wired::Noted { frames, .. } = wired {
                for range in VIEWS.iter().filter_map(|view| frames.of(*view)) {
                    assert!(packets.get(range).is_some());
                }
            }
        }
    };
    for end in 0..whole.len() {
        frames_fit(&whole[..end]);
        for byte in [0, 1, 2, 3, 4, 0x7F, 0xFF] {
            let mut forged = whole.to_vec();
            forged[end] = byte;
            frames_fit(&forged);
        }
    }
    let other = [9, 2, 0, 0, 0, 1, 1, EVENT, 1, 0, 0, 0, b'x'];
    assert_eq!(parts(&other).collect::<Vec<_>>(), [Wired::Event(b"x")]);
    assert_eq!(parts(&[DATA, 0xFF, 0xFF, 0xFF, 0xFF]).count(), 0);
}

#[test]
fn a_ping_is_a_control_frame() {
    assert_eq!(frame::payloads(&ping()).next(), Some((frame::Opcode::Ping, &b""[..])));
}
