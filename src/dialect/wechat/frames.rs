//! What clients say: frames `{type,payload}`, which are read only as far as somebody has to know
//! them, and relayed as they came.
//!
//! A chat message is relayed to whoever is there, and waits for whoever is not: its frame is what
//! is stored. Of that [`item`] makes what its receiver gets later. All else that is relayed is the
//! signalling of calls, which is nothing to somebody who is not there. Of what is no JSON, or of a
//! type that nobody knows, nothing comes: a client is never told that, and stays.
use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

use super::{inbox::SPACE, socket::uid};
use crate::{
    domain::{
        json::{self, Object},
        message::form::Form,
    },
    net::Message,
};

/// The type of chat messages.
const MESSAGE: &str = "wechat/saveMessage";

/// The types of the signalling of calls.
const SIGNALS: [&str; 8] = [
    "new-ice-candidate",
    "video-offer",
    "video-answer",
    "hang-up",
    "invite-offer",
    "invite-accept",
    "invite-refuse",
    "invite-cancel",
];

/// The fields of a waiting message, in their order.
const FIELDS: [&str; 4] = ["content", "to", "from", "timestamp"];

/// How stored frames are written, for who erases a user's messages. They are JSON, and are told to
/// others as they are.
pub const FORM: Form = Form {
    space: SPACE,
    sender: |body| uid(&read(body)?.from).ok(),
    is_told: |_| true,
    told: |_| None,
};

/// What becomes of a frame for somebody who is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is a chat message, and waits.
    Message,
    /// It belongs to a call, and is lost.
    Signal,
}

/// A frame that is to be relayed, if its sender may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Relay<'a> {
    pub(super) kind: Kind,
    /// The phone that the client says it is.
    pub(super) from: Cow<'a, str>,
    /// The phone that it is for.
    pub(super) to: Cow<'a, str>,
}

/// The text of a message. A binary one is read as text too; what is no UTF-8 in it becomes U+FFFD,
/// as it does in JavaScript.
pub(super) fn body(message: Message) -> Bytes {
    match message {
        Message::Text(text) => Bytes::from(text),
        Message::Binary(body) => match String::from_utf8_lossy(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(text) => Bytes::from(text),
        },
    }
}

/// Reads a frame; nothing where it is not to be relayed.
pub(super) fn read(body: &[u8]) -> Option<Relay<'_>> {
    let (kind, payload) = parts(body)?;
    let text = |name| payload.get(name).and_then(json::string);
    Some(Relay { kind, from: text("from")?, to: text("to")? })
}

/// The kind of a frame that may be relayed, and its payload.
fn parts(body: &[u8]) -> Option<(Kind, Object<'_>)> {
    let frame = Object::parse(std::str::from_utf8(body).ok()?)?;
    let kind = json::string(frame.get("type")?)?;
    let kind = match &*kind {
        MESSAGE => Kind::Message,
        signal if SIGNALS.contains(&signal) => Kind::Signal,
        _ => return None,
    };
    Some((kind, Object::parse(frame.get("payload")?.get())?))
}

/// The sender of a stored frame, and its message as it waits, JSON: four fields, those of them that
/// it has. Nothing where the frame is no chat message.
pub(super) fn item(body: &[u8]) -> Option<(Cow<'_, str>, String)> {
    let (Kind::Message, payload) = parts(body)? else { return None };
    let from = json::string(payload.get("from")?)?;
    let mut item = String::with_capacity(body.len());
    for name in FIELDS {
        if let Some(value) = payload.get(name) {
            let separator = if item.is_empty() { '{' } else { ',' };
            item.extend([separator, '"']);
            item.push_str(name);
            item.push_str("\":");
            item.push_str(value.get());
        }
    }
    item.push('}');
    Some((from, item))
}

/// A chat message as a client would have sent it. `content` and `timestamp` are JSON.
pub(super) fn message(from: &str, to: &str, content: &str, timestamp: &str) -> Bytes {
    let (from, to) = (Value::from(from), Value::from(to));
    format!(
        r#"{{"type":"{MESSAGE}","payload":{{"content":{content},"to":{to},"from":{from},"timestamp":{timestamp}}}}}"#
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay<'a>(kind: Kind, from: &'a str, to: &'a str) -> Option<Relay<'a>> {
        Some(Relay { kind, from: from.into(), to: to.into() })
    }

    #[test]
    fn chat_messages_and_the_signalling_of_calls_are_relayed() {
        let message = r#"{"type":"wechat/saveMessage","payload":{"to":"222","from":"111","content":{"a":1}}}"#;
        assert_eq!(read(message.as_bytes()), relay(Kind::Message, "111", "222"));
        for signal in SIGNALS {
            let frame = format!(r#"{{"payload":{{"from":"111","to":"222"}},"type":"{signal}"}}"#);
            assert_eq!(read(frame.as_bytes()), relay(Kind::Signal, "111", "222"), "{signal}");
        }
        let escaped = r#" { "type" : "hang-u\u0070", "payload" : {"to":"\u0032", "from":"1"} } "#;
        assert_eq!(read(escaped.as_bytes()), relay(Kind::Signal, "1", "2"));
        let twice =
            r#"{"type":"x","type":"hang-up","payload":1,"payload":{"to":"1","to":"2","from":"3"}}"#;
        assert_eq!(read(twice.as_bytes()), relay(Kind::Signal, "3", "2"), "the last one counts");
    }

    #[test]
    fn all_else_is_ignored() {
        for frame in [
            "",
            "hello",
            "{",
            "null",
            "[]",
            "1",
            r#""hang-up""#,
            "{}",
            r#"{"type":"hang-up"}"#,
            r#"{"type":"hang-up","payload":null}"#,
            r#"{"type":"hang-up","payload":"x"}"#,
            r#"{"type":"hang-up","payload":[]}"#,
            r#"{"type":"hang-up","payload":{}}"#,
            r#"{"type":"hang-up","payload":{"from":"111"}}"#,
            r#"{"type":"hang-up","payload":{"to":"222"}}"#,
            r#"{"type":"hang-up","payload":{"from":"111","to":222}}"#,
            r#"{"type":"hang-up","payload":{"from":111,"to":"222"}}"#,
            r#"{"type":"hang-up","payload":{"from":"111","to":{"$ne":null}}}"#,
            r#"{"type":"hang-up","payload":{"from":"111","to":["222"]}}"#,
            r#"{"type":"hang-up","payload":{"from":"111","to":"222"}} x"#,
            r#"{"type":"hang-up","from":"111","to":"222"}"#,
            r#"{"type":["hang-up"],"payload":{"from":"111","to":"222"}}"#,
            r#"{"type":"candidate","payload":{"from":"111","to":"222"}}"#,
            r#"{"type":"wechat/save","payload":{"from":"111","to":"222"}}"#,
            r#"{"type":"heartbeat","payload":{"time":1}}"#,
        ] {
            assert_eq!(read(frame.as_bytes()), None, "{frame}");
        }
        assert_eq!(read(b"{\"type\":\"hang-up\xff\",\"payload\":{}}"), None);
    }

    #[test]
    fn content_may_be_nested_as_deeply_as_a_frame_has_room_for() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let frame = message("1", "2", &deep, "5");
        assert_eq!(read(&frame), relay(Kind::Message, "1", "2"));
        assert_eq!(item(&frame).unwrap().1.len(), deep.len() + 46);
    }

    #[test]
    fn binary_frames_are_read_as_text() {
        let binary = |bytes: &'static [u8]| body(Message::Binary(Bytes::from_static(bytes)));
        assert_eq!(binary("{\"é\":1}".as_bytes()), "{\"é\":1}".as_bytes());
        assert_eq!(binary(b"{\"\xff\":1}"), "{\"\u{fffd}\":1}".as_bytes());
    }

    #[test]
    fn a_waiting_message_has_four_fields_and_no_others() {
        let item =
            |frame: &str| item(frame.as_bytes()).map(|(from, item)| format!("{from} {item}"));
        assert_eq!(
            item(
                r#"{"type":"wechat/saveMessage","x":1,"payload":{"to":"222","from":"111","timestamp":5.50,"id":7,"content":{ "text":"\ud800" }}}"#
            )
            .unwrap(),
            r#"111 {"content":{ "text":"\ud800" },"to":"222","from":"111","timestamp":5.50}"#
        );
        assert_eq!(
            item(r#"{"type":"wechat/saveMessage","payload":{"to":"222","from":"111"}}"#).unwrap(),
            r#"111 {"to":"222","from":"111"}"#
        );
        assert_eq!(item(r#"{"type":"hang-up","payload":{"to":"222","from":"111"}}"#), None);
        assert_eq!(item("[]"), None);
    }

    #[test]
    fn a_message_that_the_server_writes_is_as_a_clients() {
        let frame = message("1\"1", "222", r#""hi""#, "5");
        assert_eq!(read(&frame), relay(Kind::Message, "1\"1", "222"));
        let (_, item) = item(&frame).unwrap();
        assert_eq!(item, r#"{"content":"hi","to":"222","from":"1\"1","timestamp":5}"#);
    }

    #[test]
    fn who_sent_a_stored_frame_is_known_to_who_erases() {
        let sender = |body: &[u8]| (FORM.sender)(body).map(|uid| uid.as_str().to_owned());
        assert_eq!(sender(&message("111", "222", "1", "5")).as_deref(), Some("wechat\u{80}111"));
        assert_eq!(sender(b"{}"), None);
    }
}
