//! What a batch says.
use std::fmt::Write;

use bytes::Bytes;

use super::{Kind, everywhere};
use crate::domain::{
    ids::{RoomId, Space},
    message::form::Told,
};

/// Something that happened, as the outbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Names it, together with its room and the epoch. It grows within an epoch, by two at least, so
    /// that a gap behind it has a number of its own.
    pub n: u64,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it is: [`Kind::name`].
    pub kind: String,
    /// The fields that it has besides: JSON, without the braces; may be empty.
    pub fields: String,
}

/// Events that a queue has lost, or that were put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// n of the first.
    pub from: u64,
    /// n of the last.
    pub to: u64,
}

impl Gap {
    /// One for both, and for all between them.
    #[must_use]
    pub fn with(self, other: Option<Gap>) -> Gap {
        let other = other.unwrap_or(self);
        Gap { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    /// Writes the event that tells of it. Its n is behind the last that is missing: events have every
    /// second number.
    pub fn event(self, out: &mut String, at: &str) {
        let Gap { from, to } = self;
        let fields = format!("\"from\":{from},\"to\":{to}");
        event(out, Kind::Gap.name(), at, to.saturating_add(1), &fields);
    }
}

/// A batch in the making.
pub struct Frozen<'a> {
    /// Its queue.
    pub room: &'a RoomId,
    /// In which the numbers of its events were counted.
    pub epoch: &'a str,
    /// The time of its freezing, in milliseconds since 1970.
    pub at_ms: u64,
    /// What comes before its events, and is not told.
    pub gap: Option<Gap>,
    /// In their order.
    pub events: &'a [Happening],
}

/// What stands behind the events of a batch.
const TAIL: &str = "]}}";

impl Frozen<'_> {
    /// What is sent.
    pub fn body(&self) -> Bytes {
        let mut events = String::new();
        for Happening { n, at_ms, kind, fields } in self.events {
            if !events.is_empty() {
                events.push(',');
            }
            event(&mut events, kind, &timestamp(*at_ms), *n, fields);
        }
        assembled(self.head(), [&*events])
    }

    /// What stands before its events: the gap is a part of it.
    pub fn head(&self) -> String {
        let mut head = String::with_capacity(self.room.as_str().len() + 240);
        let quote = |text: &str| serde_json::Value::from(text).to_string();
        head += "{\"type\":\"room.events\",\"timestamp\":\"";
        head += &timestamp(self.at_ms);
        head += "\",\"data\":{\"roomId\":";
        if self.room.is_in(Space::User) {
            head += "null,\"uid\":";
            head += &quote(self.room.name());
        } else if *self.room == everywhere() {
            head += "null";
        } else {
            head += &quote(self.room.called());
            for (field, value) in [("space", self.room.dialect()), ("life", self.room.life())] {
                if let Some(value) = value {
                    head += &format!(",\"{field}\":{}", quote(value));
                }
            }
        }
        head += ",\"epoch\":";
        head += &quote(self.epoch);
        head += ",\"events\":[";
        if let Some(gap) = self.gap {
            gap.event(&mut head, &timestamp(self.at_ms));
        }
        head
    }
}

/// A batch, from its [head](Frozen::head) and stretches of its events, each as [`event`] and
/// [`message`] write them, with commas between.
pub fn assembled<'a>(head: String, events: impl IntoIterator<Item = &'a str>) -> Bytes {
    let mut body = head;
    for some in events {
        // Behind a gap, or another event.
        if body.ends_with('}') && !some.is_empty() {
            body.push(',');
        }
        body += some;
    }
    body += TAIL;
    body.into()
}

/// Writes an event. `at` is its time as [`timestamp`] has it, `fields` is what it has besides: JSON,
/// without the braces; may be empty.
pub fn event(out: &mut String, kind: &str, at: &str, n: u64, fields: &str) {
    begin(out, kind, at, n);
    if !fields.is_empty() {
        out.push(',');
        *out += fields;
    }
    out.push('}');
}

fn begin(out: &mut String, kind: &str, at: &str, n: u64) {
    for part in ["{\"type\":\"", kind, "\",\"timestamp\":\"", at, "\",\"n\":"] {
        *out += part;
    }
    let _ = write!(out, "{n}"); // writing into a String can't fail
}

/// Writes an event about a message: with its sender, its index or id, and the message, as `told`
/// has it of the body.
pub fn message(
    out: &mut String,
    kind: Kind,
    at: &str,
    n: u64,
    place: Place<'_>,
    (body, told): (&[u8], &Told<'_>),
) {
    begin(out, kind.name(), at, n);
    *out += ",\"uid\":";
    *out += told.sender.as_deref().unwrap_or("null");
    match place {
        Place::Index(index) => {
            let _ = write!(out, ",\"index\":{index}"); // writing into a String can't fail
        }
        Place::Id(id) => {
            *out += ",\"id\":";
            *out += &serde_json::Value::from(id).to_string();
        }
        Place::None => {}
    }
    *out += ",\"message\":";
    *out += match &told.instead {
        Some(text) => text,
        None => std::str::from_utf8(body).unwrap_or("null"),
    };
    out.push('}');
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the log.
    Index(u64),
    /// Among the updates.
    Id(&'a str),
    /// Nowhere.
    None,
}

/// A time in milliseconds since 1970 as RFC 3339 has it, UTC: `2026-01-31T12:00:00.000Z`.
///
/// The days are counted as in <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
pub fn timestamp(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000 + 719_468, ms % 86_400_000);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (seconds, ms) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::form::Forms;

    fn event(n: u64, kind: Kind, fields: &str) -> Happening {
        Happening { n, at_ms: 1_700_000_000_000, kind: kind.name().into(), fields: fields.into() }
    }

    #[test]
    fn a_batch_is_json_with_its_gap_first() {
        let room = RoomId::new("a \"b\"/é").unwrap();
        let events = [
            event(8, Kind::Joined, r#""uid":"ann""#),
            event(10, Kind::Inserted, r#""uid":1,"index":0,"message":{"a":[1]}"#),
            event(12, Kind::Cleared, ""),
        ];
        let gap = Some(Gap { from: 2, to: 6 });
        let frozen =
            Frozen { room: &room, epoch: "77", at_ms: 1_700_000_000_001, gap, events: &events };
        let body: serde_json::Value = serde_json::from_slice(&frozen.body()).unwrap();
        let at = "2023-11-14T22:13:20.000Z";
        assert_eq!(
            body,
            serde_json::json!({
                "type": "room.events", "timestamp": "2023-11-14T22:13:20.001Z",
                "data": { "roomId": "a \"b\"/é", "epoch": "77", "events": [
                    { "type": "webhook.gap", "timestamp": "2023-11-14T22:13:20.001Z", "n": 7, "from": 2, "to": 6 },
                    { "type": "member.joined", "timestamp": at, "n": 8, "uid": "ann" },
                    { "type": "message.inserted", "timestamp": at, "n": 10, "uid": 1, "index": 0, "message": { "a": [1] } },
                    { "type": "room.cleared", "timestamp": at, "n": 12 },
                ] }
            })
        );
    }

    #[test]
    fn a_users_batch_names_the_user_and_a_dialects_its_space() {
        let said = |room: &RoomId| {
            let frozen = Frozen { room, epoch: "1", at_ms: 0, gap: None, events: &[] };
            String::from_utf8(frozen.body().to_vec()).unwrap()
        };
        let user = RoomId::within(Space::User, "ann").unwrap();
        assert!(said(&user).contains(r#""roomId":null,"uid":"ann","epoch":"1","events":[]"#));
        let talk = RoomId::within(Space::Dialect("talk"), "x").unwrap();
        assert!(said(&talk).contains(r#""roomId":"x","space":"talk","epoch""#));
        let life = RoomId::within(Space::Lives("talk"), "x:y7").unwrap();
        assert!(said(&life).contains(r#""roomId":"x","space":"talk","life":"y7","epoch""#));
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(timestamp(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(timestamp(1_796_007_708_042), "2026-11-30T03:01:48.042Z");
    }

    #[test]
    fn a_message_that_is_no_json_is_told_as_text() {
        let fields = |place, body| {
            let (mut told, class) = (String::new(), RoomId::new("class").unwrap());
            let read = Forms::default().read(&class, body).unwrap();
            message(&mut told, Kind::Inserted, "T", 4, place, (body, &read));
            let head = r#"{"type":"message.inserted","timestamp":"T","n":4,"#;
            told.strip_prefix(head).unwrap().strip_suffix('}').unwrap().to_owned()
        };
        assert_eq!(fields(Place::Index(3), b"{\"2\":1}"), r#""uid":1,"index":3,"message":{"2":1}"#);
        let refused = fields(Place::Id("a\""), b"}x");
        assert_eq!(refused, r#""uid":null,"id":"a\"","message":"}x""#);
        assert_eq!(fields(Place::None, b"[1]"), r#""uid":null,"message":[1]"#);
        assert_eq!(
            fields(Place::None, b"\"\xff\""),
            "\"uid\":null,\"message\":\"\\\"\u{fffd}\\\"\""
        );
    }

    #[test]
    fn a_batch_is_put_together_from_stretches() {
        let room = RoomId::new("a").unwrap();
        let frozen = |gap| Frozen { room: &room, epoch: "1", at_ms: 0, gap, events: &[] };
        let events = |gap, some: &[&str]| {
            let body = assembled(frozen(gap).head(), some.iter().copied());
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            body["data"]["events"].as_array().unwrap().len()
        };
        let gap = Some(Gap { from: 2, to: 2 });
        assert_eq!((events(None, &[]), events(gap, &[])), (0, 1));
        assert_eq!((events(None, &["{},{}", "{}"]), events(gap, &["{}"])), (3, 2));
    }

    #[test]
    fn what_is_said_of_all_rooms_names_none() {
        let room = everywhere();
        let gap = Some(Gap { from: 2, to: 6 });
        let frozen = Frozen { room: &room, epoch: "1", at_ms: 0, gap, events: &[] };
        let body: serde_json::Value = serde_json::from_slice(&frozen.body()).unwrap();
        let data = body["data"].as_object().unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), ["epoch", "events", "roomId"]);
        assert_eq!(
            (&data["roomId"], &data["events"][0]["n"]),
            (&serde_json::Value::Null, &7.into())
        );
    }

    #[test]
    fn gaps_grow_together() {
        let gap = Gap { from: 4, to: 8 };
        assert_eq!(gap.with(None), gap);
        assert_eq!(gap.with(Some(Gap { from: 10, to: 12 })), Gap { from: 4, to: 12 });
    }
}
