//! `msg`: checks a message, completes it, and tells its sender what became of it.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;

use super::wire::{self, MsgFailure};
use crate::domain::{
    json::{self, Object},
    message::{Kind, Message},
    room::Room,
    subscriber::{Outcome, Settled},
};

/// Deepest nesting of a message.
const MAX_DEPTH: usize = 128;

/// Where a session's messages go.
pub(super) enum Target {
    /// It is not authenticated, or has ended: no effect, no answer.
    Nowhere,
    /// It may not send.
    Refused(MsgFailure),
    Room {
        /// The sender's uid, as JSON.
        uid: Arc<str>,
        room: Arc<Room>,
    },
}

/// What became of messages that a client sent.
pub(super) struct Ended {
    /// The acknowledgements that were asked for, as finished frames.
    pub acks: Bytes,
    /// The messages' size.
    pub bytes: usize,
    /// A message was lost whose sender did not ask: it has to come back and learn what is stored.
    pub lost: bool,
}

/// Acknowledges messages that ended, in one piece.
pub(super) fn ended(messages: &[Settled]) -> Ended {
    let (mut acks, mut bytes, mut lost) = (BytesMut::new(), 0, false);
    for message in messages {
        bytes += message.bytes;
        match (failure(message.outcome), message.ack) {
            (None, Some(id)) => wire::ack(&mut acks, id, wire::MSG_SUCCESS),
            (Some(failure), Some(id)) => wire::ack(&mut acks, id, failure.answer()),
            // Of an update that the room has no place for nothing is learnt by coming back.
            (None | Some(MsgFailure::TooManyUpdates), None) => {}
            (Some(_), None) => lost = true,
        }
    }
    Ended { acks: acks.freeze(), bytes, lost }
}

/// Why a message failed, if it did.
pub(super) fn failure(outcome: Outcome) -> Option<MsgFailure> {
    match outcome {
        Outcome::Done(_) | Outcome::Duplicate => None,
        Outcome::Unavailable => Some(MsgFailure::Unavailable),
        Outcome::Full => Some(MsgFailure::TooManyUpdates),
        Outcome::Unknown => Some(MsgFailure::Unknown),
    }
}

/// The message as the others get it: all fields, the sender's uid (`2`, and `uid` where a
/// documented key is used), and the storage type used (`s`). `uid` is JSON.
pub(super) fn complete(json: &str, uid: &str, max_units: usize) -> Result<Message, MsgFailure> {
    if !json.starts_with('{') {
        return Err(MsgFailure::NotAnObject);
    }
    if json.len() > max_units && json::stringified_length(json) > max_units {
        return Err(MsgFailure::TooLarge);
    }
    if json::nested_deeper_than(json, MAX_DEPTH) {
        return Err(MsgFailure::TooDeep);
    }
    let object = Object::parse(json).ok_or(MsgFailure::NotAnObject)?;
    let documented = ["storage", "msgId", "uid"].iter().any(|key| object.get(key).is_some());
    let (storage, code) = storage(object.get("s").or_else(|| object.get("storage")));

    let mut body = String::with_capacity(json.len() + uid.len() * 2 + 24);
    body.push('{');
    for (key, value) in object.iter() {
        if key == "2" || key == "s" || (documented && key == "uid") {
            continue;
        }
        quote(&mut body, key);
        body.push(':');
        body.push_str(value.get());
        body.push(',');
    }
    body.push_str("\"2\":");
    body.push_str(uid);
    body.push_str(",\"s\":");
    body.push_str(code);
    if documented {
        body.push_str(",\"uid\":");
        body.push_str(uid);
    }
    body.push('}');

    let kind = match storage {
        Storage::Insert => Kind::Insert,
        Storage::Ignore => Kind::Ignore,
        Storage::Update => {
            let id = object.get("1").or_else(|| object.get("msgId"));
            Kind::Update {
                id: id.map_or_else(|| "undefined".to_owned(), json::to_js_string).into(),
            }
        }
    };
    Ok(Message { kind, body: Bytes::from(body), key: None, may_pass: true })
}

enum Storage {
    Insert,
    Update,
    Ignore,
}

/// The storage type, and how it is written in the message: as the client did, a number or its text;
/// what is missing or unknown is 0.
fn storage(raw: Option<&RawValue>) -> (Storage, &'static str) {
    let Some(raw) = raw else { return (Storage::Insert, "0") };
    match (raw.get(), json::number(raw)) {
        ("\"0\"", _) => (Storage::Insert, "\"0\""),
        ("\"1\"", _) => (Storage::Update, "\"1\""),
        ("\"2\"", _) => (Storage::Ignore, "\"2\""),
        (_, Some(1.0)) => (Storage::Update, "1"),
        (_, Some(2.0)) => (Storage::Ignore, "2"),
        _ => (Storage::Insert, "0"),
    }
}

/// Appends a JSON string.
fn quote(into: &mut String, text: &str) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        into.push('"');
        into.push_str(text);
        into.push('"');
    } else {
        into.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests;
