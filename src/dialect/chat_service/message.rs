//! Messages: what may be in one, what the server adds, and how one is kept.
//!
//! A room's log has each message as a JSON object, without its id, which follows from its place
//! there. One with bytes in it is kept as `[object, "base64", …]`, the object with placeholders.
use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    names,
    value::{Unread, Value, quote, quoted},
};
use crate::domain::{
    ids::Uid,
    json::{self, Object, Text},
    message::form::Form,
};

/// Messages of rooms for those who are no clients: a webhook, or whoever erases a user's messages.
pub const FORM: Form = Form {
    space: names::ROOMS,
    sender: |body| {
        let text = std::str::from_utf8(body).ok()?;
        // Of one with bytes in it the object is the first of a list.
        let first = match text.starts_with('[') {
            true => serde_json::from_str::<Vec<&RawValue>>(text).ok()?.first()?.get(),
            false => text,
        };
        Uid::stored(&json::string(Object::parse(first)?.get("author")?)?).ok()
    },
    is_told: |_| true,
    told: |body| match Logged::read(body)? {
        Logged::Plain(_) => None,
        Logged::Packed(object, files) => {
            Some(Value::read_own(serde_json::from_str(&object).ok()?, &files)?.json())
        }
    },
};

/// What is asked of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is `{textMessage: string}`, and nothing else.
    Strict,
    /// It is an object. A checker says more.
    Free,
}

/// The field of a message that is a text.
const TEXT: &str = "textMessage";
/// Fields that such a message has when it is completed.
const COMPLETED: usize = 4;

/// `{"textMessage":"…"}`, of which nothing else is looked at, nor copied. As in JavaScript, of
/// several the last counts.
struct OnlyText<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for OnlyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = OnlyText<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a textMessage")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OnlyText<'de>, A::Error> {
                let mut last = None;
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if key != TEXT {
                        return Err(A::Error::custom("another field"));
                    }
                    last = Some(value);
                }
                let text = last.and_then(json::string);
                text.map(OnlyText).ok_or_else(|| A::Error::custom("no text"))
            }
        }
        deserializer.deserialize_map(V)
    }
}

/// A message as it was given: an object's fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Content(Vec<(String, Value)>);

impl Content {
    /// `None`: it is no message.
    pub fn read(raw: &RawValue, attachments: &[Bytes], rule: Rule) -> Option<Self> {
        match rule {
            Rule::Strict => {
                let OnlyText(text) = serde_json::from_str(raw.get()).ok()?;
                let mut fields = Vec::with_capacity(COMPLETED);
                fields.push((TEXT.to_owned(), Value::Text(text.into_owned())));
                Some(Content(fields))
            }
            Rule::Free => match Value::read(raw, attachments)? {
                Value::Object(fields) => Some(Content(fields)),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Text(_)
                | Value::Bytes(_)
                | Value::List(_) => None,
            },
        }
    }

    /// Completed, without its id. `author`: the user who sends it; where nobody does, one that the
    /// message has stays. `order`: what comes first of what is added.
    fn completed(self, author: Option<&str>, now_ms: u64, order: Order) -> Value {
        let mut fields = self.0;
        fields.retain(|(key, _)| key != "id" && key != "timestamp");
        let time = ("timestamp".to_owned(), Value::number(now_ms));
        let author = author.map(|author| ("author".to_owned(), Value::Text(author.to_owned())));
        if author.is_some() {
            fields.retain(|(key, _)| key != "author");
        }
        match order {
            Order::AuthorFirst => fields.extend(author.into_iter().chain([time])),
            Order::TimeFirst => fields.extend([time].into_iter().chain(author)),
        }
        Value::Object(fields)
    }

    /// As a room's members get it and it is kept, but for its id.
    pub fn for_room(self, author: Option<&str>, now_ms: u64) -> Value {
        self.completed(author, now_ms, Order::AuthorFirst)
    }

    /// As its recipient gets it.
    pub fn direct(self, author: Option<&str>, now_ms: u64) -> Value {
        self.completed(author, now_ms, Order::TimeFirst)
    }
}

/// The recordings have it so; nobody depends on it.
#[derive(Debug, Clone, Copy)]
enum Order {
    AuthorFirst,
    TimeFirst,
}

/// A completed message as a room's log keeps it.
pub(super) fn kept(message: &Value) -> Bytes {
    let mut attachments = Vec::new();
    let json = message.packed(&mut attachments);
    if attachments.is_empty() {
        return json.into();
    }
    let mut text = format!("[{json}");
    for attachment in attachments {
        text.push_str(",\"");
        STANDARD.encode_string(attachment, &mut text);
        text.push('"');
    }
    text.push(']');
    text.into()
}

/// A message that a log has, for whoever sends it to clients.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Logged<'a> {
    /// An object without bytes.
    Plain(&'a str),
    /// An object with placeholders, and what stands for them.
    Packed(String, Vec<Bytes>),
}

impl<'a> Logged<'a> {
    /// `None`: it is nothing that [`kept`] has made.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        if text.starts_with('{') {
            return Some(Logged::Plain(text));
        }
        let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let (object, files) = elements.split_first()?;
        if !object.get().starts_with('{') {
            return None;
        }
        let file = |raw: &&RawValue| {
            let text: &str = serde_json::from_str(raw.get()).ok()?;
            STANDARD.decode(text).ok().map(Bytes::from)
        };
        let files = files.iter().map(file).collect::<Option<_>>()?;
        Some(Logged::Packed(object.get().to_owned(), files))
    }

    /// The value, with its id.
    pub fn value(&self, id: u64) -> Option<Value> {
        let (json, files) = match self {
            Logged::Plain(json) => (*json, &[][..]),
            Logged::Packed(json, files) => (&**json, &files[..]),
        };
        let raw: &RawValue = serde_json::from_str(json).ok()?;
        let Value::Object(mut fields) = Value::read_own(raw, files)? else { return None };
        fields.push(("id".to_owned(), Value::number(id)));
        Some(Value::Object(fields))
    }

    /// Its JSON with its id, and what stands for placeholders in it.
    pub fn numbered(&self, id: u64) -> (String, &[Bytes]) {
        let (json, files) = match self {
            Logged::Plain(json) => (*json, &[][..]),
            Logged::Packed(json, files) => (&**json, &files[..]),
        };
        let inside = json.len().saturating_sub(1); // before its last brace
        let comma = if inside > 1 { "," } else { "" };
        (format!("{}{comma}\"id\":{id}}}", &json[..inside]), files)
    }
}

/// Messages with their ids, the newest first, as one value for an acknowledgement: JSON, with what
/// stands for placeholders in it. What can't be read is left out.
pub(super) fn listed(messages: &[(u64, Logged<'_>)]) -> (String, Vec<Bytes>) {
    let mut attachments = Vec::new();
    let has_bytes = messages.iter().any(|(_, logged)| matches!(logged, Logged::Packed(..)));
    let mut list = String::from("[");
    for (id, logged) in messages {
        let json = if has_bytes {
            let value = logged.value(*id).map(|value| match logged {
                Logged::Plain(_) => value.without_false_marks(),
                Logged::Packed(..) => value,
            });
            match value {
                Some(value) => value.packed(&mut attachments),
                None => continue,
            }
        } else {
            logged.numbered(*id).0
        };
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(&json);
    }
    list.push(']');
    (list, attachments)
}

/// An event that is not kept, as it goes through a room: its name and arguments, and bytes.
pub(super) fn event(name: &str, arguments: &[Value]) -> Bytes {
    let mut attachments = Vec::new();
    let mut elements = quoted(name);
    for argument in arguments {
        elements.push(',');
        elements.push_str(&argument.packed(&mut attachments));
    }
    packed_event(&elements, &attachments)
}

/// As [`event`], with one argument.
pub(super) fn event_of(name: &str, argument: &Unread) -> Bytes {
    let (json, files) = argument.parts();
    packed_event(&format!("{},{json}", quoted(name)), files)
}

fn packed_event(elements: &str, attachments: &[Bytes]) -> Bytes {
    if attachments.is_empty() {
        return format!("[{elements}]").into();
    }
    let mut text = format!(r#"{{"elements":[{elements}],"files":["#);
    for (i, attachment) in attachments.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        quote(&mut text, &STANDARD.encode(attachment));
    }
    text.push_str("]}");
    text.into()
}

/// Reads what [`event`] has made: a JSON array, and what stands for placeholders in it.
pub(super) fn read_event(body: &[u8]) -> Option<(&str, Vec<Bytes>)> {
    #[derive(serde::Deserialize)]
    struct Packed<'a> {
        #[serde(borrow)]
        elements: &'a RawValue,
        files: Vec<String>,
    }
    let text = std::str::from_utf8(body).ok()?;
    if text.starts_with('[') {
        return Some((text, Vec::new()));
    }
    let packed: Packed<'_> = serde_json::from_str(text).ok()?;
    let files = packed.files.iter().map(|file| STANDARD.decode(file).ok().map(Bytes::from));
    Some((packed.elements.get(), files.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::value::tests::value;

    fn content(json: &str, rule: Rule) -> Option<Content> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        Content::read(&raw, &[], rule)
    }

    #[test]
    fn a_message_is_a_text_or_what_a_checker_allows() {
        for (json, strict, free) in [
            (r#"{"textMessage":"x"}"#, true, true),
            (r#"{"textMessage":""}"#, true, true),
            (r#"{"textMessage":1,"textMessage":"last wins"}"#, true, true),
            (r#"{"textMessage":"x","author":"me"}"#, false, true),
            (r#"{"textMessage":null}"#, false, true),
            (r#"{"text\u004dessage":"an \"escape\""}"#, true, true),
            (r#"{"textMessage":"last wins","textMessage":1}"#, false, true),
            (r#"{"textMessage":"\ud800"}"#, false, false),
            ("{}", false, true),
            ("[]", false, false),
            ("null", false, false),
            (r#""x""#, false, false),
        ] {
            assert_eq!(content(json, Rule::Strict).is_some(), strict, "{json}");
            assert_eq!(content(json, Rule::Free).is_some(), free, "{json}");
        }
    }

    #[test]
    fn the_server_adds_who_and_when() {
        let free = |json| content(json, Rule::Free).unwrap();
        let given = r#"{"id":5,"x":{"id":1},"author":"me","timestamp":null}"#;
        let room = free(given).for_room(Some("ann"), 7);
        assert_eq!(room.json(), r#"{"x":{"id":1},"author":"ann","timestamp":7}"#);
        let direct = free(r#"{"textMessage":"hi"}"#).direct(Some("ann"), 7);
        assert_eq!(direct.json(), r#"{"textMessage":"hi","timestamp":7,"author":"ann"}"#);
        // Where nobody sends it, what the message says of its author stays.
        assert_eq!(
            free(given).for_room(None, 7).json(),
            r#"{"x":{"id":1},"author":"me","timestamp":7}"#
        );
        assert_eq!(free("{}").for_room(None, 7).json(), r#"{"timestamp":7}"#);
    }

    #[test]
    fn what_is_kept_comes_back_with_its_id() {
        let body = kept(&value(r#"{"textMessage":"a}","author":"ann","timestamp":7}"#));
        let logged = Logged::read(&body).unwrap();
        assert_eq!(
            logged.numbered(3),
            (r#"{"textMessage":"a}","author":"ann","timestamp":7,"id":3}"#.to_owned(), &[][..])
        );
        assert_eq!(Logged::Plain(r#"{"a":{}}"#).numbered(1).0, r#"{"a":{},"id":1}"#);
        assert_eq!(Logged::Plain("{}").numbered(1).0, r#"{"id":1}"#);
        for broken in ["", "x", "[]", "[1]", r#"[{},1]"#, r#"[{},"%"]"#, "\u{0}"] {
            assert_eq!(Logged::read(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn bytes_are_kept_and_listed_beside_other_messages() {
        let bytes = |text: &'static [u8]| Value::Bytes(Bytes::from_static(text));
        let with = |text| kept(&Value::Object(vec![("d".to_owned(), bytes(text))]));
        let (first, last) = (with(b"1"), with(b"22"));
        assert_eq!(&first[..], br#"[{"d":{"_placeholder":true,"num":0}},"MQ=="]"#);
        let forged = kept(&value(r#"{"d":{"_placeholder":true,"num":0}}"#));
        let logged = |body| Logged::read(body).unwrap();
        let (list, files) =
            listed(&[(3, logged(&last)), (2, logged(&forged)), (1, logged(&first))]);
        assert_eq!(
            list,
            concat!(
                r#"[{"d":{"_placeholder":true,"num":0},"id":3},"#,
                r#"{"d":{"_placeholder":false,"num":0},"id":2},"#,
                r#"{"d":{"_placeholder":true,"num":1},"id":1}]"#
            )
        );
        assert_eq!(files, [&b"22"[..], b"1"]);
        let (list, files) = listed(&[(2, logged(&forged))]);
        assert_eq!(list, r#"[{"d":{"_placeholder":true,"num":0},"id":2}]"#);
        assert!(files.is_empty());
        assert_eq!(listed(&[]).0, "[]");
    }

    #[test]
    fn who_is_no_client_learns_whose_a_message_is_and_gets_json() {
        let files = [Bytes::from_static(b"ab")];
        let raw: Box<RawValue> =
            serde_json::from_str(r#"{"x":{"_placeholder":true,"num":0}}"#).unwrap();
        let packed = Content::read(&raw, &files, Rule::Free).unwrap();
        let packed = kept(&packed.for_room(Some("a\"n\u{80}"), 7));
        assert!(packed.starts_with(b"["));
        let plain = content(r#"{"textMessage":"hi"}"#, Rule::Strict).unwrap();
        let plain = kept(&plain.for_room(Some("ann"), 7));
        let nobodys = kept(&content("{}", Rule::Free).unwrap().for_room(None, 7));
        let sender = |body: &[u8]| (FORM.sender)(body).map(|uid| uid.as_str().to_owned());
        assert_eq!(sender(&packed).as_deref(), Some("a\"n\u{80}"));
        assert_eq!(sender(&plain).as_deref(), Some("ann"));
        for body in [&nobodys[..], br#"{"author":7}"#, br#"{"author":""}"#, b"[]", b"x", b"\xff"] {
            assert_eq!(sender(body), None);
        }
        let bytes = r#"{"x":{"type":"Buffer","data":[97,98]},"author":"a\"n\u{80}","timestamp":7}"#;
        let bytes = bytes.replace(r"\u{80}", "\u{80}");
        assert_eq!((FORM.told)(&packed), Some(bytes));
        assert_eq!((FORM.told)(&plain), None, "it is JSON already");
        assert_eq!((FORM.told)(b"[1]"), None);
    }

    #[test]
    fn events_go_through_rooms_with_their_bytes() {
        let plain = event("roomJoinedEcho", &[Value::Text("r\"".into()), value("1")]);
        assert_eq!(&plain[..], br#"["roomJoinedEcho","r\"",1]"#);
        assert_eq!(read_event(&plain), Some((r#"["roomJoinedEcho","r\"",1]"#, Vec::new())));
        let packed = event("systemMessage", &[Value::Bytes(Bytes::from_static(b"ab"))]);
        assert_eq!(
            read_event(&packed),
            Some((
                r#"["systemMessage",{"_placeholder":true,"num":0}]"#,
                vec![Bytes::from_static(b"ab")]
            ))
        );
        assert_eq!(read_event(b"{}"), None);
        assert_eq!(read_event(b"\xff"), None);
    }
}
