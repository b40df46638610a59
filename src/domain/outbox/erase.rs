//! Erasing a user's messages from what is still to be told.
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Kind;
use crate::domain::{
    ids::Uid,
    json::{self, Object},
};

/// Whether it is about a message.
fn has_message(kind: &str) -> bool {
    [Kind::Inserted, Kind::Updated].into_iter().any(|k| k.name() == kind)
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
    let erased = without(text, &events(text).ok_or(Unreadable)?, uid)?;
    Ok(erased.map(|(body, _)| body.into()))
}

/// Events, as they stand in a batch with commas between, without the messages of this user, and how
/// many have lost theirs; none: no message is of this user.
///
/// # Errors
/// They are no events.
pub fn erased_events(events: &str, uid: &Uid) -> Result<Option<(String, u64)>, Unreadable> {
    let list = format!("[{events}]");
    let all: Vec<&RawValue> = serde_json::from_str(&list).map_err(|_| Unreadable)?;
    let Some((mut erased, count)) = without(&list, &all, uid)? else { return Ok(None) };
    erased.pop();
    erased.remove(0);
    Ok(Some((erased, count)))
}

/// A text without the messages of this user in those events, which are parts of it.
fn without(
    text: &str,
    events: &[&RawValue],
    uid: &Uid,
) -> Result<Option<(String, u64)>, Unreadable> {
    let (mut erased, mut done, mut count) = (String::new(), 0, 0);
    for event in events {
        let event = Object::parse(event.get()).ok_or(Unreadable)?;
        let Some(message) = message_of(&event, uid) else { continue };
        let place = place(text, message).ok_or(Unreadable)?;
        erased += text.get(done..place.start).ok_or(Unreadable)?;
        erased += "null";
        done = place.end;
        count += 1;
    }
    if count == 0 {
        return Ok(None);
    }
    erased += text.get(done..).ok_or(Unreadable)?;
    Ok(Some((erased, count)))
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
    fn events_lose_their_messages_and_nothing_else() {
        let of = |uid, message| {
            format!(r#"{{"type":"message.updated","uid":{uid},"id":"x\",","message":{message}}}"#)
        };
        let ann = Uid::text("ann").unwrap();
        let erased = |events: &[String]| erased_events(&events.join(","), &ann).unwrap();
        let (anns, bens) = (r#""ann""#, r#""ben""#);
        let said = [of(anns, "{\"a\":[1,2]}"), of(bens, "1"), of(anns, "\"]\"")];
        let left = [of(anns, "null"), of(bens, "1"), of(anns, "null")];
        assert_eq!(erased(&said), Some((left.join(","), 2)));
        assert_eq!(erased(&left), None);
        assert_eq!(erased_events("x", &ann), Err(Unreadable));
        assert_eq!(erased_events("1", &ann), Err(Unreadable));
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
