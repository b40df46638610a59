//! A word, told to users of this node: who of them it is for, and how each reads it.
use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::{
        Tinode,
        ids::{Key, UserId},
        message::{Code, Happened, Info, Message, Pres},
        mode::Mode,
        roll::{Entry, Seat},
        session::Session,
    },
    Src, To, Told, Word,
};
use crate::{domain::ids::ConnectionId, reason::Reason};

/// Tells users of this node. `skip`: a session that is not told.
pub(super) fn deliver(node: &Tinode, word: &Word, skip: Option<ConnectionId>) {
    if let Told::Acs { key, user, acs, reader, version, .. } = &word.told {
        let (reader, version) = (*reader, *version);
        let entry = acs.map(|acs| Entry { acs, reader, version });
        node.roll.learn(*user, *key, entry, version);
    }
    let mut frames = Frames::default();
    for seat in node.roll.audience(&word.to, |viewer| word.told.about(viewer)) {
        if Some(seat.session.id) != skip {
            tell(word, &seat, &mut frames);
        }
    }
    if let (Told::Gone { src: Src::Topic(key) }, To::Members(_)) = (&word.told, &word.to) {
        node.roll.end(key);
    }
}

fn tell(word: &Word, seat: &Seat<Arc<Session>>, frames: &mut Frames) {
    let Seat { user, entry, session } = seat;
    let soft = match &word.told {
        Told::UserEnds { .. } => {
            session.ctrl("", "", Code::Evicted);
            session.close(Reason::TurnedAway);
            return;
        }
        Told::Del { soft, .. } => *soft,
        Told::Msg { .. }
        | Told::Info { .. }
        | Told::On { .. }
        | Told::Upd { .. }
        | Told::Gone { .. }
        | Told::Off { .. }
        | Told::Acs { .. }
        | Told::Left { .. }
        | Told::Keys => false,
    };
    let attach = match word.unattached || soft {
        true => word.told.about(*user).and_then(|key| session.attached(&key)),
        false => None,
    };
    let attached = attach.is_some();
    let (mode, reader) = match (&attach, entry) {
        // Its user need not be on `me` anywhere here.
        (Some(attach), _) => (attach.mode(), attach.reader),
        (None, Some(entry)) => (entry.acs.mode(), entry.reader),
        (None, None) => (Mode::NONE, false),
    };
    if !mode.has(word.needs) {
        return;
    }
    match attach {
        // Who is attached is told of all else by the room.
        Some(attach) if soft => attach.forget_holes(),
        Some(_) => return,
        None if session.is_on_me() => {}
        None => return,
    }
    let face =
        Face { grpc: session.is_grpc(), looks: Looks::of(&word.told, *user, reader, attached) };
    if let Some(frame) =
        frames.of(face, |looks| said(&word.told, *user, looks, |message| session.encode(message)))
    {
        session.send_frames(&frame);
    }
}

/// How a word looks to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Looks {
    reader: bool,
    attached: bool,
    /// The viewer did it.
    own: bool,
    /// Whose view it is, where the topic has another name for each.
    viewer: Option<UserId>,
}

impl Looks {
    fn of(told: &Told, viewer: UserId, reader: bool, attached: bool) -> Self {
        let is_pair = matches!(told.topic(), Some(Key::Pair(..)));
        let own = told.by() == Some(viewer);
        Looks { reader, attached, own, viewer: is_pair.then_some(viewer) }
    }
}

/// Those to whom a frame is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Face {
    grpc: bool,
    looks: Looks,
}

/// A word's frames, each encoded once.
#[derive(Default)]
struct Frames(Vec<(Face, Option<Bytes>)>);

impl Frames {
    fn of(&mut self, face: Face, encode: impl FnOnce(Looks) -> Option<Bytes>) -> Option<Bytes> {
        if let Some((_, frame)) = self.0.iter().find(|(known, _)| *known == face) {
            return frame.clone();
        }
        let frame = encode(face.looks);
        self.0.push((face, frame.clone()));
        frame
    }
}

impl Src {
    fn shown(self, viewer: UserId, reader: bool) -> String {
        match self {
            Src::User(user) => user.to_string(),
            Src::Topic(key) => key.shown(viewer, reader),
            Src::Me => "me".to_owned(),
        }
    }
}

impl Told {
    /// The topic that it names.
    fn topic(&self) -> Option<Key> {
        match self {
            Told::Msg { key, .. }
            | Told::Info { key, .. }
            | Told::Acs { key, .. }
            | Told::Del { key, .. } => Some(*key),
            Told::On { src, .. } | Told::Upd { src } | Told::Gone { src } | Told::Off { src } => {
                match src {
                    Src::Topic(key) => Some(*key),
                    Src::User(_) | Src::Me => None,
                }
            }
            Told::UserEnds { .. } | Told::Left { .. } | Told::Keys => None,
        }
    }

    /// The topic by which it concerns this user: a contact is one by their pair.
    fn about(&self, viewer: UserId) -> Option<Key> {
        match self {
            Told::On { src: Src::User(user), .. }
            | Told::Upd { src: Src::User(user) }
            | Told::Gone { src: Src::User(user) }
            | Told::Off { src: Src::User(user) } => {
                (*user != viewer).then(|| Key::pair(*user, viewer))
            }
            Told::Msg { .. }
            | Told::Info { .. }
            | Told::On { .. }
            | Told::Upd { .. }
            | Told::Gone { .. }
            | Told::Off { .. }
            | Told::Acs { .. }
            | Told::Del { .. }
            | Told::UserEnds { .. }
            | Told::Left { .. }
            | Told::Keys => self.topic(),
        }
    }

    /// Who did it, where viewers are told or it looks different to that one.
    fn by(&self) -> Option<UserId> {
        match self {
            Told::Msg { by, .. } | Told::Acs { by, .. } | Told::Del { by, .. } => Some(*by),
            Told::Info { .. }
            | Told::On { .. }
            | Told::Upd { .. }
            | Told::Gone { .. }
            | Told::Off { .. }
            | Told::UserEnds { .. }
            | Told::Left { .. }
            | Told::Keys => None,
        }
    }
}

/// Hands on what the viewer reads, if it is told anything.
fn said<T>(
    told: &Told,
    viewer: UserId,
    Looks { reader, attached, own, .. }: Looks,
    hand_on: impl FnOnce(&Message<'_>) -> T,
) -> Option<T> {
    // Readers of a channel don't learn who its members are.
    let act = told.by().filter(|_| !own && !reader);
    let src = match told {
        Told::On { src, .. } | Told::Upd { src } | Told::Gone { src } | Told::Off { src } => {
            src.shown(viewer, reader)
        }
        Told::Msg { key, .. }
        | Told::Info { key, .. }
        | Told::Acs { key, .. }
        | Told::Del { key, .. } => key.shown(viewer, reader),
        Told::UserEnds { .. } | Told::Left { .. } | Told::Keys => return None,
    };
    let pres = |what| Pres::new("me", &src, what);
    let pres = match told {
        Told::Msg { seq, .. } => Pres { seq: *seq, act, ..pres(Happened::Msg) },
        Told::Info { from, what, seq, .. } => {
            return (!reader).then(|| {
                let (from, what, seq) = (*from, *what, *seq);
                hand_on(&Message::Info(Info { topic: "me", src: &src, from, what, seq }))
            });
        }
        Told::On { on: true, ua, .. } => Pres { ua, ..pres(Happened::On) },
        Told::On { on: false, ua, .. } => Pres { ua, ..pres(Happened::Off) },
        Told::Upd { .. } => pres(Happened::Upd),
        Told::Gone { .. } => pres(Happened::Gone),
        Told::Off { .. } => pres(Happened::Off),
        Told::Acs { dacs, .. } => Pres { act, dacs: Some(dacs), ..pres(Happened::Acs) },
        Told::Del { clear, ranges, .. } if attached => {
            let topic = &*src;
            Pres { topic, clear: *clear, ranges, ..pres(Happened::Del) }
        }
        // On `me` the ranges are not told (S:118, R:delete-soft#15).
        Told::Del { clear, .. } => Pres { clear: *clear, act, ..pres(Happened::Del) },
        Told::UserEnds { .. } | Told::Left { .. } | Told::Keys => return None,
    };
    Some(hand_on(&Message::Pres(pres)))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::dialect::tinode::{
        json,
        message::{Noted, Range, Ts},
        mode::{Acs, Dacs},
    };

    const GARDEN: &str = "grpGardenClub_";

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    fn read(told: &Told, viewer: u64, reader: bool, attached: bool) -> Option<Value> {
        let looks = Looks::of(told, user(viewer), reader, attached);
        said(told, user(viewer), looks, |message| {
            let mut text = Vec::new();
            json::write(message, Ts(0), &mut text);
            serde_json::from_slice(&text).unwrap()
        })
    }

    /// With `{n}` for the name of the n-th user.
    fn value(text: &str) -> Value {
        let named = (1..4).fold(text.to_owned(), |text, n| {
            text.replace(&format!("{{{n}}}"), &user(n).to_string())
        });
        serde_json::from_str(&named).unwrap()
    }

    #[test]
    fn each_reads_a_word_in_its_own_way() {
        let (pair, group) = (Key::pair(user(1), user(2)), Key::parse(GARDEN).unwrap());
        let msg = |key| Told::Msg { key, seq: 7, by: user(1) };
        let info = |key| Told::Info { key, from: user(2), what: Noted::Read, seq: 3 };
        let on = |src, on, ua: &str| Told::On { src, on, ua: ua.to_owned() };
        let acs = |user, by| Told::Acs {
            key: group,
            user,
            acs: Some(Acs { want: Mode::GROUP, given: Mode::GROUP }),
            dacs: Dacs { want: Some("JRWPS".into()), given: Some("JRWPS".into()) },
            by,
            reader: false,
            version: 1,
        };
        let del = |soft| Told::Del {
            key: pair,
            clear: 2,
            ranges: vec![Range { low: 1, hi: 2 }],
            by: user(1),
            soft,
        };
        let mine = r#"{"pres":{"topic":"me","src":"grpGardenClub_","what":"acs","dacs":{"want":"JRWPS","given":"JRWPS"}}}"#;
        for (told, viewer, reader, attached, expected) in [
            // R:notes#11, R:p2p-start#9: no `act` to the sender's own sessions.
            (
                msg(pair),
                1,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"{2}","what":"msg","seq":7}}"#,
            ),
            (
                msg(pair),
                2,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"{1}","what":"msg","seq":7,"act":"{1}"}}"#,
            ),
            (
                msg(group),
                2,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"grpGardenClub_","what":"msg","seq":7,"act":"{1}"}}"#,
            ),
            (
                msg(group),
                2,
                true,
                false,
                r#"{"pres":{"topic":"me","src":"chnGardenClub_","what":"msg","seq":7}}"#,
            ),
            (
                info(pair),
                1,
                false,
                false,
                r#"{"info":{"topic":"me","src":"{2}","from":"{2}","what":"read","seq":3}}"#,
            ),
            (
                info(pair),
                2,
                false,
                false,
                r#"{"info":{"topic":"me","src":"{1}","from":"{2}","what":"read","seq":3}}"#,
            ),
            (
                on(Src::User(user(1)), true, "A/1"),
                2,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"{1}","what":"on","ua":"A/1"}}"#,
            ),
            (
                on(Src::User(user(1)), false, ""),
                2,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"{1}","what":"off"}}"#,
            ),
            (
                on(Src::Topic(group), true, ""),
                2,
                true,
                false,
                r#"{"pres":{"topic":"me","src":"chnGardenClub_","what":"on"}}"#,
            ),
            (
                Told::Upd { src: Src::Me },
                1,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"me","what":"upd"}}"#,
            ),
            (
                Told::Gone { src: Src::Topic(pair) },
                1,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"{2}","what":"gone"}}"#,
            ),
            (
                Told::Off { src: Src::Topic(group) },
                1,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"grpGardenClub_","what":"off"}}"#,
            ),
            (acs(user(2), user(2)), 2, false, false, mine),
            // R:group-basic#8
            (
                acs(user(2), user(1)),
                2,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"grpGardenClub_","what":"acs","act":"{1}","dacs":{"want":"JRWPS","given":"JRWPS"}}}"#,
            ),
            // R:delete-soft#15
            (
                del(true),
                1,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"{2}","what":"del","clear":2}}"#,
            ),
            (
                del(true),
                1,
                false,
                true,
                r#"{"pres":{"topic":"{2}","src":"{2}","what":"del","clear":2,"delseq":[{"low":1}]}}"#,
            ),
            (
                del(false),
                2,
                false,
                false,
                r#"{"pres":{"topic":"me","src":"{1}","what":"del","clear":2,"act":"{1}"}}"#,
            ),
        ] {
            assert_eq!(read(&told, viewer, reader, attached), Some(value(expected)), "{told:?}");
        }
        assert_eq!(read(&info(group), 1, true, false), None, "a reader does not learn who reads");
    }

    #[test]
    fn it_is_encoded_once_for_all_to_whom_it_is_the_same() {
        let (pair, group) = (Key::pair(user(1), user(2)), Key::parse(GARDEN).unwrap());
        let faces = |key: Key, viewers: &[(u64, bool)]| {
            let told = Told::Msg { key, seq: 7, by: user(1) };
            let (mut frames, mut encoded) = (Frames::default(), 0);
            for (viewer, grpc) in viewers {
                let looks = Looks::of(&told, user(*viewer), false, false);
                frames.of(Face { grpc: *grpc, looks }, |_| {
                    encoded += 1;
                    None
                });
            }
            encoded
        };
        assert_eq!(faces(group, &[(2, false), (3, false), (4, false), (3, false)]), 1);
        assert_eq!(faces(group, &[(1, false), (2, false), (2, true)]), 3);
        assert_eq!(faces(pair, &[(1, false), (2, false), (1, false)]), 2);
    }

    #[test]
    fn the_topic_of_a_word_is_the_one_between_the_two() {
        let pair = Key::pair(user(1), user(2));
        for (told, viewer, expected) in [
            (Told::Upd { src: Src::User(user(1)) }, 2, Some(pair)),
            (Told::Upd { src: Src::User(user(1)) }, 1, None),
            (Told::Upd { src: Src::Topic(pair) }, 1, Some(pair)),
            (Told::Upd { src: Src::Me }, 1, None),
            (Told::Keys, 1, None),
        ] {
            assert_eq!(told.about(user(viewer)), expected, "{told:?}");
        }
    }
}
