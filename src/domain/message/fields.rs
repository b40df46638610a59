//! The fields of a message in a shared room that the server reads or writes. Whoever sends there,
//! a client or a business server, gives an object; what is stored and delivered is that object,
//! completed here.
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Kind, Message};
use crate::domain::json::{self, Object};

/// Deepest nesting of a message.
pub const MAX_DEPTH: usize = 128;

/// Why something is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no JSON object.
    #[error("a message is a JSON object")]
    NotAnObject,
    /// It has more than a message may have.
    #[error("the message is too large")]
    TooLarge,
    /// Its nesting is deeper than [`MAX_DEPTH`].
    #[error("the message is nested too deeply")]
    TooDeep,
}

/// The message as the others get it: all fields, the sender's uid (`2`, and `uid` where a
/// documented key is used), and the storage type used (`s`). `uid` is JSON. `max_units`: the most
/// that it may have, as UTF-16 units of its text.
///
/// # Errors
/// It is no message.
pub fn complete(json: &str, uid: &str, max_units: usize) -> Result<Message, Unfit> {
    if !json.starts_with('{') {
        return Err(Unfit::NotAnObject);
    }
    if json.len() > max_units && json::stringified_length(json) > max_units {
        return Err(Unfit::TooLarge);
    }
    if json::nested_deeper_than(json, MAX_DEPTH) {
        return Err(Unfit::TooDeep);
    }
    let object = Object::parse(json).ok_or(Unfit::NotAnObject)?;
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
