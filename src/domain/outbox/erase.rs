//! Erasing a user's messages from what is still to be told.
use bytes::Bytes;
use serde_json::Value;

use super::Kind;
use crate::domain::ids::Uid;

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

/// A batch without the messages of this user; none: it has none of them.
pub fn erased_body(body: &[u8], uid: &Uid) -> Option<Bytes> {
    let mut batch: Value = serde_json::from_slice(body).ok()?;
    let is_of = |event: &Value| match &event["uid"] {
        Value::String(text) => text == uid.as_str(),
        Value::Number(number) => number.to_string() == uid.as_str(),
        _ => false,
    };
    let mut erased = false;
    for event in batch["data"]["events"].as_array_mut()? {
        let kind = event["type"].as_str().unwrap_or_default();
        if has_message(kind) && is_of(event) && !event["message"].is_null() {
            event["message"] = Value::Null;
            erased = true;
        }
    }
    erased.then(|| batch.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_loses_its_message_and_nothing_else() {
        let fields = r#""uid":"a\",\"message\":","id":"x","message":{"a":1,"message":2}"#;
        let left = r#""uid":"a\",\"message\":","id":"x","message":null"#;
        assert_eq!(erased_fields(fields), left);
        assert_eq!(erased_fields(left), left);
    }

    #[test]
    fn a_batch_loses_the_messages_of_one_user() {
        let event = |uid: &str| format!(r#"{{"type":"message.inserted","uid":{uid},"message":1}}"#);
        let body = |uids: &[&str]| {
            let events: Vec<_> = uids.iter().map(|uid| event(uid)).collect();
            format!(r#"{{"data":{{"events":[{}]}}}}"#, events.join(","))
        };
        let seven = Uid::text("7").unwrap();
        let erased = erased_body(body(&["7", "\"8\"", "\"7\""]).as_bytes(), &seven).unwrap();
        let erased: Value = serde_json::from_slice(&erased).unwrap();
        let messages: Vec<_> =
            erased["data"]["events"].as_array().unwrap().iter().map(|e| &e["message"]).collect();
        assert_eq!(messages, [&Value::Null, &Value::from(1), &Value::Null]);
        assert_eq!(erased_body(body(&["8"]).as_bytes(), &seven), None);
        assert_eq!(erased_body(b"x", &seven), None);
    }
}
