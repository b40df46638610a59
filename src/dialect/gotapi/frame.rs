//! What a client's message asks for: the table of the protocol, as a pure function.
//!
//! The original reads a message into fields of fixed types; what can't be read so is none of its
//! own messages, and goes on to the others as it came. So which kind a message is depends on the
//! types of its fields, also of those that nobody uses.
use std::{fmt, sync::Arc};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What is to be done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// Broadcast as it came, not stored, not acknowledged.
    LowLevel,
    /// Stored, broadcast as it came, acknowledged.
    HighLevel {
        /// Empty where the client gave none.
        uuid: Arc<str>,
    },
    /// Nothing: a ping of the client's, or a type that nobody knows.
    Ignored,
}

/// The type of messages that are stored. Of the others that clients send, 1 is that of their own
/// pings, which nobody answers.
const STORED: i64 = 2;

impl Frame {
    /// Reads a message. Bytes that are no UTF-8 are no JSON.
    pub(super) fn read(message: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(message) else { return Frame::LowLevel };
        let Some(fields) = Fields::read(text) else { return Frame::LowLevel };
        match (fields.kind, fields.command) {
            (0, 0) => Frame::LowLevel,
            (STORED, _) => Frame::HighLevel { uuid: fields.uuid.into() },
            _ => Frame::Ignored,
        }
    }
}

/// The fields that matter, each as if it were 0 or empty where it is null or absent.
#[derive(Default)]
struct Fields {
    uuid: String,
    kind: i64,
    command: i64,
}

impl Fields {
    /// Nothing where the text is no JSON object, or a field of it has a wrong type.
    fn read(text: &str) -> Option<Self> {
        let mut fields = Fields::default();
        if text.trim_ascii() == "null" {
            return Some(fields); // the original reads it as an object without fields
        }
        const NAMES: [&str; 6] = ["uuid", "type", "command", "body", "queryArgs", "pullargs"];
        each_field(text, &NAMES, |name, value| {
            match name {
                "uuid" => fields.uuid = string(value)?,
                "type" => fields.kind = integer(value)?,
                "command" => fields.command = integer(value)?,
                "body" => each_field(value, &["hash", "sent"], |name, value| match name {
                    "hash" => string(value).map(drop),
                    _ => boolean(value),
                })?,
                "queryArgs" => each_field(value, &["uuid"], |_, value| string(value).map(drop))?,
                _ => each_field(value, &["offset", "size"], |_, value| integer(value).map(drop))?,
            }
            Some(())
        })?;
        Some(fields)
    }
}

/// An integer: `2.0` and `2e0` are none.
fn integer(json: &str) -> Option<i64> {
    json.parse().ok()
}

fn boolean(json: &str) -> Option<()> {
    matches!(json, "true" | "false").then_some(())
}

/// A string. Halves of a surrogate pair, which no string here can hold, stay escaped.
fn string(json: &str) -> Option<String> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    Some(serde_json::from_str(json).unwrap_or_else(|_| inner.to_owned()))
}

/// Calls `each` with the fields of these names that are not null, in their order. Nothing where the
/// text is no JSON object, or `each` says so.
fn each_field(
    json: &str,
    names: &'static [&'static str],
    each: impl FnMut(&'static str, &str) -> Option<()>,
) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Object { names, each }).ok()?;
    reader.end().ok() // nothing may follow
}

struct Object<F> {
    names: &'static [&'static str],
    each: F,
}

impl<'de, F: FnMut(&'static str, &str) -> Option<()>> Visitor<'de> for Object<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name(self.names))? {
            let Some(name) = name else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&RawValue>()?.get();
            if value != "null" && (self.each)(name, value).is_none() {
                return Err(A::Error::custom("a field of a wrong type"));
            }
        }
        Ok(())
    }
}

/// One of these names, or another.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().copied().find(|known| *known == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(messages: &[&str], wanted: &Frame) {
        for message in messages {
            assert_eq!(&Frame::read(message.as_bytes()), wanted, "{message}");
        }
    }

    #[test]
    fn what_is_none_of_the_protocols_messages_is_broadcast_as_it_came() {
        all(
            &[
                "",
                "hello",
                "{",
                r#"{"type":2,"uuid":"u"} x"#,
                r#"{"type":2,"uuid":"u"}{}"#,
                "[]",
                r#"[{"type":2}]"#,
                r#""text""#,
                "2",
                "true",
                "null",
                " null ",
                "{}",
                r#"{"type":0,"command":0}"#,
                r#"{"type":null,"command":null}"#,
                r#"{"type":-0}"#,
                r#"{"uuid":"u","body":{"data":1}}"#,
                r#"{"other":{"type":2}}"#,
            ],
            &Frame::LowLevel,
        );
        assert_eq!(Frame::read(b"{\"type\":2,\"uuid\":\"\xff\"}"), Frame::LowLevel);
    }

    #[test]
    fn a_field_of_a_wrong_type_makes_a_message_low_level() {
        for wrong in [
            r#""type":"2""#,
            r#""type":2.0"#,
            r#""type":2e0"#,
            r#""type":true"#,
            r#""type":[]"#,
            r#""type":9223372036854775808"#,
            r#""command":"1""#,
            r#""command":1.5"#,
            r#""uuid":1"#,
            r#""uuid":{}"#,
            r#""body":"text""#,
            r#""body":[]"#,
            r#""body":{"sent":1}"#,
            r#""body":{"sent":"false"}"#,
            r#""body":{"hash":1}"#,
            r#""queryArgs":[]"#,
            r#""queryArgs":{"uuid":1}"#,
            r#""pullargs":1"#,
            r#""pullargs":{"offset":"0"}"#,
            r#""pullargs":{"size":1.0}"#,
        ] {
            // Wherever it stands, and whatever else there is.
            for message in [
                format!(r#"{{"type":2,"uuid":"u",{wrong}}}"#),
                format!(r#"{{{wrong},"command":1}}"#),
            ] {
                assert_eq!(Frame::read(message.as_bytes()), Frame::LowLevel, "{message}");
            }
        }
    }

    #[test]
    fn type_2_is_stored_under_its_uuid() {
        all(
            &[
                r#"{"type":2,"uuid":"u"}"#,
                r#"{"type":2,"uuid":"u","command":7}"#,
                " {\"uuid\" : \"\\u0075\" ,\n\"type\":2 }\r\n",
                r#"{"type":2,"uuid":"u","body":{"data":{"a":[1.5e300,"\ud800"]},"hash":"","sent":false}}"#,
                r#"{"type":2,"uuid":"u","body":null,"queryArgs":null,"pullargs":null,"command":null}"#,
                r#"{"type":2,"uuid":"u","body":{"data":null,"hash":null,"sent":null}}"#,
                r#"{"type":2,"uuid":"u","queryArgs":{"uuid":"x"},"pullargs":{"offset":-1,"size":2}}"#,
                r#"{"type":2,"uuid":"u","Body":1,"extra":[],"body":{"extra":2}}"#,
                r#"{"type":1,"type":2,"uuid":"v","uuid":"u"}"#,
                r#"{"type":2,"uuid":"u","type":null}"#,
            ],
            &Frame::HighLevel { uuid: "u".into() },
        );
        for none in [r#"{"type":2}"#, r#"{"type":2,"uuid":null}"#, r#"{"type":2,"uuid":""}"#] {
            all(&[none], &Frame::HighLevel { uuid: "".into() });
        }
        all(&[r#"{"type":2,"uuid":"\ud800"}"#], &Frame::HighLevel { uuid: r"\ud800".into() });
    }

    #[test]
    fn data_may_be_nested_as_deeply_as_a_message_has_room_for() {
        let deep = format!(
            r#"{{"type":2,"uuid":"u","body":{{"data":{}1{}}}}}"#,
            "[".repeat(15_000),
            "]".repeat(15_000)
        );
        all(&[&deep], &Frame::HighLevel { uuid: "u".into() });
    }

    #[test]
    fn pings_of_the_client_and_unknown_types_have_no_effect() {
        all(
            &[
                r#"{"type":1,"command":5}"#,
                r#"{"type":1}"#,
                r#"{"type":1,"command":0,"uuid":"u"}"#,
                r#"{"type":3}"#,
                r#"{"type":-1,"uuid":"u"}"#,
                r#"{"command":1}"#,
                r#"{"type":0,"command":-7}"#,
            ],
            &Frame::Ignored,
        );
    }
}
