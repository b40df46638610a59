//! What goes through the rooms of topics, and how their logs have it.
//!
//! ```text
//! insert        {"f":"…","t":1796087927181,"h":{…},"c":…}   a message; h where it has a head
//! update usr…   {"r":5,"v":7,"n":"read"}                    a user's mark, and what others are told;
//!                                                           s where the user had left once
//! not stored    {"e":"acs",…}                               a `RoomEvent`
//! ```
use std::{cmp::Ordering, fmt::Write as _, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{
    ids::{self, UserId},
    message::{Data, Noted, Range, Ts},
    mode::{Acs, Dacs},
};
use crate::domain::{
    broker::{Audience, Entry},
    ids::ConnectionId,
    message::{Kind, Message, form::Form},
    receipt::Receipt,
};

/// Before `usr…` in a stored message. So it has its sender's name as the core knows it: by that
/// text whoever erases a user's messages looks for them.
const CORE: &str = "tinode\u{80}";
/// Bytes of a stored message but for what its sender wrote.
const FIXED: usize = 72;

/// Messages for those who are no clients: a webhook, or whoever erases a user's messages.
pub const FORM: Form = Form {
    space: ids::SPACE,
    sender: |body| Stored::read(body)?.from.uid().ok(),
    // Nobody but the topic's users is told how far one of them has read.
    is_told: |body| read_mark(body).is_none(),
    told: |body| Some(Stored::read(body)?.told()),
};

/// A message as it is stored. `at`: when it was sent, as the node of its sender says.
pub(super) fn body(
    from: UserId,
    at: Ts,
    head: Option<&RawValue>,
    content: Option<&RawValue>,
) -> Bytes {
    let content = content.map_or("null", RawValue::get);
    let length = FIXED + head.map_or(0, |head| head.get().len()) + content.len();
    let mut body = String::with_capacity(length);
    // A string cannot fail.
    let _ = write!(body, r#"{{"f":"{CORE}{}","t":{}"#, from.name().as_str(), at.0);
    if let Some(head) = head {
        body.push_str(",\"h\":");
        body.push_str(head.get());
    }
    body.push_str(",\"c\":");
    body.push_str(content);
    body.push('}');
    body.into()
}

/// A message that a log has.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Stored<'a> {
    /// Who sent it.
    #[serde(rename = "f", deserialize_with = "sender")]
    pub from: UserId,
    /// When.
    #[serde(rename = "t")]
    pub at: Ts,
    #[serde(rename = "h", borrow, default)]
    pub head: Option<&'a RawValue>,
    /// `null` where nothing was sent.
    #[serde(rename = "c", borrow)]
    pub content: &'a RawValue,
}

fn sender<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UserId, D::Error> {
    ids::parsed(deserializer, "user's id", |text| {
        UserId::parse(text.strip_prefix(CORE).unwrap_or(text))
    })
}

impl<'a> Stored<'a> {
    /// Nothing where it is no message.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// As clients are told it.
    pub fn data(&self, topic: &'a str, seq: u64, show_from: bool) -> Data<'a> {
        let Stored { from, at, head, content } = *self;
        Data { topic, from: show_from.then_some(from), ts: at, seq, head, content }
    }

    /// As those are told it who are no clients.
    fn told(&self) -> String {
        let Stored { from, at, head, content } = self;
        let head = head.map_or("{}", RawValue::get);
        format!(r#"{{"from":"{from}","head":{head},"content":{content},"ts":"{at}"}}"#)
    }
}

/// Up to where a user has read and received a topic's messages: the seq of the last one. Who has
/// left the topic and comes back begins anew (R:group-basic#24).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub read: u64,
    pub recv: u64,
    /// When the user left the topic at last, in milliseconds since 1970. What it had read and
    /// received until then does not count.
    pub since: u64,
}

impl Mark {
    /// That of a user who has never left.
    pub const fn of(read: u64, recv: u64) -> Self {
        Mark { read, recv, since: 0 }
    }

    /// The later of both, of each.
    pub fn max(self, o: Mark) -> Mark {
        match self.since.cmp(&o.since) {
            Ordering::Less => o,
            Ordering::Greater => self,
            Ordering::Equal => {
                let (read, recv) = (self.read.max(o.read), self.recv.max(o.recv));
                Mark { read, recv, since: self.since }
            }
        }
    }

    /// As it is when its user has come as far as `o`.
    pub fn raised(self, o: Mark) -> Mark {
        self.max(Mark { since: self.since, ..o })
    }
}

/// A mark as a room's update has it.
#[derive(Deserialize)]
struct StoredMark<'a> {
    r: u64,
    v: u64,
    #[serde(default)]
    n: &'a str,
    #[serde(default)]
    s: u64,
}

/// The body of an update. `told`: what the others are told; nothing: nobody is told.
pub(super) fn mark(mark: Mark, told: Option<Noted>) -> Bytes {
    let Mark { read, recv, since } = mark;
    let told = told.map_or("", Noted::word);
    match since {
        0 => format!(r#"{{"r":{read},"v":{recv},"n":"{told}"}}"#).into(),
        _ => format!(r#"{{"r":{read},"v":{recv},"n":"{told}","s":{since}}}"#).into(),
    }
}

/// What [`mark`] has made.
pub(super) fn read_mark(body: &[u8]) -> Option<(Mark, Option<Noted>)> {
    let StoredMark { r, v, n, s } = serde_json::from_slice(body).ok()?;
    Some((Mark { read: r, recv: v, since: s }, Noted::parse(n)))
}

/// What the sessions that are attached to a topic learn in the order of its messages. It is not
/// stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "lowercase")]
pub(super) enum RoomEvent {
    /// A user's modes have changed.
    Acs {
        /// Whose.
        user: UserId,
        /// Who did it.
        by: UserId,
        /// The modes; nothing: the subscription is gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acs: Option<Acs>,
        /// As the others are told it.
        dacs: Dacs,
        /// Of the subscription's record, which grows with each change.
        version: u64,
        /// It reads a channel: nobody else is told.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reader: bool,
    },
    /// Messages were deleted for everybody.
    Del {
        /// Who did it.
        by: UserId,
        /// The number of the deletion.
        clear: u64,
        /// The messages.
        ranges: Vec<Range>,
    },
    /// Somebody types, or records.
    Kp {
        /// Who.
        from: UserId,
        /// What.
        what: Noted,
    },
    /// The topic is deleted.
    End,
}

impl RoomEvent {
    /// Nothing where it is none.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// A message of this connection, as it is published: it is told to all, its sender too.
pub(super) fn insert(from: ConnectionId, body: Bytes, receipt: Option<Arc<Receipt>>) -> Entry {
    let message = Message { kind: Kind::Insert, body, key: None, may_pass: false };
    Entry::Message { from: Some(from), audience: Audience::All, message, receipt }
}

/// A user's mark, as it is published.
pub(super) fn update(user: UserId, body: Bytes) -> Entry {
    let kind = Kind::Update { id: user.name().as_str().into() };
    let message = Message { kind, body, key: None, may_pass: false };
    Entry::Message { from: None, audience: Audience::All, message, receipt: None }
}

/// An event as it is published; `except`: a connection of this node that is not told. That somebody
/// types is told in time or not at all, so it does not wait for a store that is out.
pub(super) fn event(event: &RoomEvent, except: Option<ConnectionId>) -> Entry {
    let may_pass = match event {
        RoomEvent::Kp { .. } => true,
        RoomEvent::Acs { .. } | RoomEvent::Del { .. } | RoomEvent::End => false,
    };
    // Names, numbers and texts are always JSON.
    let body = serde_json::to_vec(event).unwrap_or_default().into();
    let message = Message { kind: Kind::Ignore, body, key: None, may_pass };
    let audience = except.map_or(Audience::All, Audience::ExceptConnection);
    Entry::Message { from: except, audience, message, receipt: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ids::RoomId, message::form::Forms};

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_message_comes_back() {
        for (head, content, expected) in [
            (None, Some("\"hé\""), "\"hé\""),
            (Some(r#"{"mime":"text/x-drafty"}"#), Some("{ \"txt\": 1 }"), "{ \"txt\": 1 }"),
            (None, None, "null"),
        ] {
            let body = body(user(1), Ts(1_796_087_927_181), head.map(raw), content.map(raw));
            assert!(body.len() <= FIXED + head.map_or(0, str::len) + expected.len());
            let stored = Stored::read(&body).unwrap();
            assert_eq!((stored.from, stored.at), (user(1), Ts(1_796_087_927_181)));
            assert_eq!(stored.head.map(RawValue::get), head);
            assert_eq!(stored.content.get(), expected);
            let data = stored.data("t", 7, false);
            assert_eq!((data.topic, data.from, data.ts, data.seq), ("t", None, stored.at, 7));
            assert_eq!(stored.data("t", 7, true).from, Some(user(1)));
        }
        let plain = Stored::read(br#"{"f":"usrAQAAAAAAAAA","t":1,"c":null}"#).unwrap();
        assert_eq!(plain.from, user(1));
        for bad in
            ["", "{}", "null", r#"{"f":"ann","t":1,"c":1}"#, r#"{"f":"usrAQAAAAAAAAA","t":1}"#]
        {
            assert!(Stored::read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Stored::read(b"\xff").is_none());
    }

    #[test]
    fn a_message_is_its_senders_to_the_core_and_json_to_webhooks() {
        const FORMS: Forms = Forms::new(&[FORM]);
        let body = body(user(1), Ts(0), Some(raw(r#"{"a":1}"#)), Some(raw("[1]")));
        assert_eq!((FORM.sender)(&body), Some(user(1).uid().unwrap()));
        let room = RoomId::within(ids::SPACE, "slf.usrAQAAAAAAAAA:gX").unwrap();
        assert!(FORMS.is_of(&room, &body, &user(1).uid().unwrap()));
        assert!(!FORMS.is_of(&room, &body, &user(2).uid().unwrap()));
        let told = FORMS.read(&room, &body).unwrap().instead.unwrap();
        assert_eq!(
            told,
            r#"{"from":"usrAQAAAAAAAAA","head":{"a":1},"content":[1],"ts":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!((FORM.told)(b"{}"), None);
        for told in [None, Some(Noted::Read), Some(Noted::Recv)] {
            let mark = mark(Mark::of(3, 7), told);
            assert_eq!(FORMS.read(&room, &mark), None, "of a mark nobody is told");
        }
    }

    #[test]
    fn marks_come_back() {
        let (five, seven) = (Mark::of(5, 5), Mark::of(3, 7));
        assert_eq!(five.max(seven), Mark::of(5, 7));
        for told in [None, Some(Noted::Read), Some(Noted::Recv)] {
            let left = Mark { since: 9, ..seven };
            for seven in [seven, left] {
                assert_eq!(read_mark(&mark(seven, told)), Some((seven, told)));
            }
        }
        assert_eq!(read_mark(br#"{"r":1,"v":2}"#), Some((Mark::of(1, 2), None)));
        for bad in ["", "{}", r#"{"r":-1,"v":2}"#] {
            assert_eq!(read_mark(bad.as_bytes()), None);
        }
    }

    #[test]
    fn who_has_left_begins_anew() {
        let (before, left) = (Mark::of(5, 7), Mark { since: 9, ..Mark::default() });
        for (a, b) in [(before, left), (left, before)] {
            assert_eq!(a.max(b), left, "in whatever order nodes learn it");
        }
        let again = left.raised(Mark::of(2, 2));
        assert_eq!(again, Mark { read: 2, recv: 2, since: 9 });
        assert_eq!((again.max(before), again.raised(Mark::of(1, 1))), (again, again));
    }

    #[test]
    fn events_come_back() {
        let (acs, dacs) = (Acs::default(), Dacs::gone());
        let version = 3;
        for (event, json) in [
            (
                RoomEvent::Acs {
                    user: user(1),
                    by: user(2),
                    acs: None,
                    dacs: dacs.clone(),
                    version,
                    reader: true,
                },
                r#"{"e":"acs","user":"usrAQAAAAAAAAA","by":"usrAgAAAAAAAAA","dacs":{"want":"N","given":"N"},"version":3,"reader":true}"#,
            ),
            (
                RoomEvent::Acs {
                    user: user(1),
                    by: user(2),
                    acs: Some(acs),
                    dacs,
                    version,
                    reader: false,
                },
                r#"{"e":"acs","user":"usrAQAAAAAAAAA","by":"usrAgAAAAAAAAA","acs":{"want":"N","given":"N"},"dacs":{"want":"N","given":"N"},"version":3}"#,
            ),
            (
                RoomEvent::Del { by: user(1), clear: 4, ranges: vec![Range { low: 1, hi: 3 }] },
                r#"{"e":"del","by":"usrAQAAAAAAAAA","clear":4,"ranges":[[1,3]]}"#,
            ),
            (
                RoomEvent::Kp { from: user(1), what: Noted::Kpa },
                r#"{"e":"kp","from":"usrAQAAAAAAAAA","what":"kpa"}"#,
            ),
            (RoomEvent::End, r#"{"e":"end"}"#),
        ] {
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
            assert_eq!(RoomEvent::read(json.as_bytes()), Some(event));
        }
        assert_eq!(RoomEvent::read(br#"{"e":"other"}"#), None);
    }

    #[test]
    fn entries_are_kept_or_not_as_they_are_meant() {
        let kp = RoomEvent::Kp { from: user(1), what: Noted::Kp };
        let except = Some(ConnectionId(7));
        for (entry, stored, passes) in [
            (insert(ConnectionId(7), Bytes::new(), None), true, false),
            (update(user(1), Bytes::new()), true, false),
            (event(&kp, except), false, true),
            (event(&RoomEvent::End, None), false, false),
        ] {
            assert_eq!((entry.is_stored(), entry.may_pass()), (stored, passes), "{entry:?}");
        }
        let Entry::Message { audience, .. } = event(&kp, except) else { panic!("no message") };
        assert_eq!(audience, Audience::ExceptConnection(ConnectionId(7)));
        let Entry::Message { message, .. } = update(user(1), Bytes::new()) else {
            panic!("no message")
        };
        assert_eq!(message.kind, Kind::Update { id: "usrAQAAAAAAAAA".into() });
    }
}
