//! Erasing a user's messages from what is still to be told.
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Kind;
use crate::domain::{
    ids::Uid,
    json::{self, Object},
};

/// What stands between the other fields of an event and its message. No string before it can hold
/// this: quotes are escaped there.
const MESSAGE: &str = ",\"message\":";

/// Whether it is about a message.
pub fn has_message(kind: &str) -> bool {
    [Kind::Inserted, Kind::Updated].into_iter().any(|k| k.name() == kind)
}

/// The fields of an event about a message, without the message.
pub fn erased_fields(fields: &str) -> String {
    match fields.split_once(MESSAGE) {
        Some((before, _)) => format!("{before}{MESSAGE}null"),
        None => fields.to_owned(),
    }
}

/// A batch is not what servers write: it is not known whose messages it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch of webhooks can't be read, so nobody can be erased from it")]
pub struct Unreadable;

/// A batch without the messages of this user; none: it has none of them. All else is as it was, to
/// the letter, however deeply messages are nested.
///
/// # Errors
/// It is no batch.
pub fn erased_body(body: &[u8], uid: &Uid) -> Result<Option<Bytes>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable)?;
    let (mut erased, mut done) = (String::new(), 0);
    for event in events(text).ok_or(Unreadable)? {
        let event = Object::parse(event.get()).ok_or(Unreadable)?;
        let Some(message) = message_of(&event, uid) else { continue };
        let place = place(text, message).ok_or(Unreadable)?;
        erased += text.get(done..place.start).ok_or(Unreadable)?;
        erased += "null";
        done = place.end;
    }
    if done == 0 {
        return Ok(None);
    }
    erased += text.get(done..).ok_or(Unreadable)?;
    Ok(Some(erased.into()))
}

/// The events of a batch.
fn events(batch: &str) -> Option<Vec<&RawValue>> {
    let data = Object::parse(Object::parse(batch)?.get("data")?.get())?;
    serde_json::from_str(data.get("events")?.get()).ok()
}

/// The message that an event is about, if this user sent it and it is still there.
fn message_of<'a>(event: &Object<'a>, uid: &Uid) -> Option<&'a RawValue> {
    let is_about = has_message(&json::string(event.get("type")?)?);
    let is_theirs = json::uid(event.get("uid")?)? == *uid;
    event.get("message").filter(|message| is_about && is_theirs && message.get() != "null")
}

/// Where in a text a part of it is.
fn place(text: &str, part: &RawValue) -> Option<Range<usize>> {
    let part = part.get();
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    Some(start..start.checked_add(part.len())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::fields::MAX_DEPTH;

    #[test]
    fn an_event_loses_its_message_and_nothing_else() {
        let fields = r#""uid":"a\",\"message\":","id":"x","message":{"a":1,"message":2}"#;
        let left = r#""uid":"a\",\"message\":","id":"x","message":null"#;
        assert_eq!(erased_fields(fields), left);
        assert_eq!(erased_fields(left), left);
    }

    /// A batch of one event for each of these, its uid and its message, both JSON.
    fn batch(events: &[(&str, &str)]) -> String {
        let event = |(uid, message): &(&str, &str)| {
            format!(r#"{{"type":"message.inserted","n":2,"uid":{uid},"message":{message}}}"#)
        };
        let events: Vec<_> = events.iter().map(event).collect();
        format!(r#"{{"type":"room.events","data":{{"events":[{}]}}}}"#, events.join(","))
    }

    fn without(batch: &str, uid: &str) -> Option<String> {
        let erased = erased_body(batch.as_bytes(), &Uid::text(uid).unwrap()).unwrap();
        erased.map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn a_batch_loses_the_messages_of_one_user() {
        let of = |seven| batch(&[("7", seven), ("\"8\"", "1"), ("\"7\"", seven)]);
        assert_eq!(without(&of("1"), "7"), Some(of("null")));
        assert_eq!(without(&of("null"), "7"), None);
        assert_eq!(without(&of("1"), "9"), None);
        let joined = r#"{"data":{"events":[{"type":"member.joined","uid":"7","message":1}]}}"#;
        assert_eq!(without(joined, "7"), None);
    }

    #[test]
    fn the_messages_of_others_stay_as_they_are() {
        let others = r#"{"z":12345678901234567890123, "a":0.10000000000000000000001,"z":1e400}"#;
        let of = |ann| batch(&[("\"bob\"", others), ("\"ann\"", ann), ("\"bob\"", others)]);
        assert_eq!(without(&of(others), "ann"), Some(of("null")));
    }

    #[test]
    fn a_message_may_be_nested_as_deeply_as_messages_may() {
        let depth = MAX_DEPTH - 1;
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let of = |ann| batch(&[("\"bob\"", &*deep), ("\"ann\"", ann)]);
        assert_eq!(without(&of("1"), "ann"), Some(of("null")));
        assert_eq!(without(&of(&deep), "ann"), Some(of("null")));
    }

    #[test]
    fn what_is_no_batch_is_not_taken_for_one_without_messages() {
        let seven = Uid::text("7").unwrap();
        for bad in
            [&b"x"[..], b"\xff", b"{}", br#"{"data":{"events":1}}"#, br#"{"data":{"events":[1]}}"#]
        {
            assert_eq!(erased_body(bad, &seven), Err(Unreadable));
        }
    }
}
