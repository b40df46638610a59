//! `msg`: checks a message, completes it, and hands it to its room.
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    session::{Session, lock},
    wire::{self, MsgFailure},
};
use crate::domain::{
    broker::{Audience, Entry},
    json::{self, Object},
    message::{Kind, Message},
    room::Room,
};

/// Deepest nesting of a message.
const MAX_DEPTH: usize = 128;

/// Where a session's messages go.
#[derive(Clone)]
pub(super) enum Target {
    /// Not authenticated, or ended: no effect, no answer.
    Closed,
    /// Authenticated, in no room.
    Lobby,
    /// In a room as dummy.
    Silent,
    Open {
        /// The sender's uid, as JSON.
        uid: Arc<str>,
        room: Arc<Room>,
    },
}

impl Session {
    /// Takes a message. It is acknowledged, where that was asked for, after it is stored; what is
    /// refused without being asked is dropped.
    pub(super) fn msg(self: &Arc<Self>, argument: Option<&RawValue>, ack: Option<i64>) {
        let target = lock(&self.target).clone();
        let accepted = match target {
            Target::Closed => return,
            Target::Lobby => Err(MsgFailure::NotInRoom),
            Target::Silent => Err(MsgFailure::Dummy),
            Target::Open { uid, room } => argument
                .ok_or(MsgFailure::NotAnObject)
                .and_then(|m| complete(m.get(), &uid, self.dialect.options.max_message))
                .map(|message| (room, message)),
        };
        match accepted {
            Ok((room, message)) => {
                let bytes = message.body.len();
                self.mailbox.sent(bytes);
                room.send(
                    &self.dialect.hub,
                    Entry::Message {
                        from: Some(self.id),
                        audience: Audience::ExceptConnection(self.id),
                        message,
                    },
                    bytes,
                    self.clone(),
                    ack,
                );
            }
            Err(failure) => {
                self.dialect.hub.metrics.message_refused(failure.reason());
                if let Some(id) = ack {
                    self.acknowledge(id, &wire::failure(&failure));
                }
            }
        }
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
    Ok(Message { kind, body: Bytes::from(body), key: None })
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
