//! Values as clients send and get them: JSON in the order in which it was written, with bytes in
//! it.
//!
//! On the wire bytes are attachments of a packet, and `{"_placeholder":true,"num":N}` stands for
//! the Nth. Anybody can write such an object without sending bytes. Sent on beside true attachments
//! it would stand for bytes of another message, or for none, at which clients end their connection.
//! So a value with attachments is read into a tree, in which bytes are bytes, and written anew.
//!
//! A tree takes up to forty times the memory of its text, so nothing that waits for something is
//! one, unless a hook is asked about it.
use std::fmt::{self, Write};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::domain::json;

mod reader;

/// Deepest nesting of what comes from clients.
pub(super) const MAX_DEPTH: usize = 120;
/// Deepest nesting of what is made of that, such as a list of messages.
const MAX_OWN_DEPTH: usize = MAX_DEPTH + 8;

/// Stands in JSON where bytes belong.
const MARK: &str = "_placeholder";

/// A finite number. JSON and texts have it as JavaScript writes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(f64);

impl Number {
    /// As a whole number, 0 or more, if it is one.
    pub fn whole(self) -> Option<u64> {
        self.to_string().parse().ok()
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

// None of them is NaN.
impl Eq for Number {}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json::number_text(self.0))
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Bytes(Bytes),
    List(Vec<Value>),
    /// Each key once.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Reads a value with the attachments of its packet. `None`: it is nested too deeply, or has a
    /// text that is none, half of a surrogate pair.
    pub fn read(raw: &RawValue, attachments: &[Bytes]) -> Option<Self> {
        reader::read(raw.get(), attachments, MAX_DEPTH)
    }

    /// As [`Value::read`], of what comes from us, or from a business server.
    pub fn read_own(raw: &RawValue, attachments: &[Bytes]) -> Option<Self> {
        reader::read(raw.get(), attachments, MAX_OWN_DEPTH)
    }

    /// A whole number.
    pub fn number(number: u64) -> Self {
        // JavaScript has no other numbers either.
        Value::Number(Number(number as f64))
    }

    /// Compact JSON, with bytes as `{"type":"Buffer","data":[…]}`.
    pub fn json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, &mut |text, bytes| {
            text.push_str(r#"{"type":"Buffer","data":["#);
            for (i, byte) in bytes.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{byte}");
            }
            text.push_str("]}");
        });
        text
    }

    /// JSON for a packet, whose attachments are `attachments`: bytes are added to them.
    pub fn packed(&self, attachments: &mut Vec<Bytes>) -> String {
        let mut text = String::new();
        self.write(&mut text, &mut |text, bytes| {
            text.push_str(&format!(r#"{{"{MARK}":true,"num":{}}}"#, attachments.len()));
            attachments.push(bytes.clone());
        });
        text
    }

    fn write(&self, text: &mut String, bytes: &mut impl FnMut(&mut String, &Bytes)) {
        match self {
            Value::Null => text.push_str("null"),
            Value::Bool(true) => text.push_str("true"),
            Value::Bool(false) => text.push_str("false"),
            Value::Number(number) => text.push_str(&number.to_string()),
            Value::Text(string) => quote(text, string),
            Value::Bytes(of) => bytes(text, of),
            Value::List(elements) => {
                text.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    element.write(text, bytes);
                }
                text.push(']');
            }
            Value::Object(fields) => {
                text.push('{');
                for (i, (key, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    quote(text, key);
                    text.push(':');
                    value.write(text, bytes);
                }
                text.push('}');
            }
        }
    }

    /// Whether there are bytes in it.
    pub fn has_bytes(&self) -> bool {
        match self {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => false,
            Value::Bytes(_) => true,
            Value::List(elements) => elements.iter().any(Value::has_bytes),
            Value::Object(fields) => fields.iter().any(|(_, value)| value.has_bytes()),
        }
    }

    /// With what nobody may take for an attachment: objects that look like one say that they are
    /// none. Only where they go out beside true ones; else they are harmless.
    #[must_use]
    pub fn without_false_marks(self) -> Self {
        match self {
            Value::List(elements) => {
                Value::List(elements.into_iter().map(Value::without_false_marks).collect())
            }
            Value::Object(fields) => {
                let field = |(key, value): (String, Value)| match (key, value) {
                    (key, _) if key == MARK => (key, Value::Bool(false)),
                    (key, value) => (key, value.without_false_marks()),
                };
                Value::Object(fields.into_iter().map(field).collect())
            }
            other => other,
        }
    }

    /// As the server API and hooks write values: `{"type":"Buffer","data":[…]}` are bytes.
    #[must_use]
    pub fn with_buffers(self) -> Self {
        match self {
            Value::List(elements) => {
                Value::List(elements.into_iter().map(Value::with_buffers).collect())
            }
            Value::Object(fields) => match buffer(&fields) {
                Some(bytes) => Value::Bytes(bytes),
                None => {
                    let field = |(key, value): (String, Value)| (key, value.with_buffers());
                    Value::Object(fields.into_iter().map(field).collect())
                }
            },
            other => other,
        }
    }
}

/// A value that is passed on as it came, unread: JSON, and what stands for placeholders in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    json: Box<str>,
    files: Vec<Bytes>,
}

impl Default for Unread {
    fn default() -> Self {
        Unread { json: "null".into(), files: Vec::new() }
    }
}

impl Unread {
    /// Of what came with the attachments of its packet. Where there are some, nothing is taken for
    /// one of them that is none. `None` as of [`Value::read`].
    pub fn new(raw: &RawValue, attachments: &[Bytes]) -> Option<Self> {
        if attachments.is_empty() {
            let json = raw.get().into();
            return reader::is_readable(raw.get(), MAX_DEPTH)
                .then_some(Unread { json, files: Vec::new() });
        }
        let mut files = Vec::new();
        let json = Value::read(raw, attachments)?.packed(&mut files).into();
        Some(Unread { json, files })
    }

    /// Its JSON, and what stands for placeholders in it.
    pub fn parts(&self) -> (&str, &[Bytes]) {
        (&self.json, &self.files)
    }

    /// The value.
    pub fn value(&self) -> Value {
        // It was looked at before.
        reader::read(&self.json, &self.files, MAX_DEPTH).unwrap_or(Value::Null)
    }
}

/// Whether a value can be read into a tree, whatever attachments there are.
pub(super) fn is_readable(raw: &RawValue) -> bool {
    reader::is_readable(raw.get(), MAX_DEPTH)
}

/// The bytes of `{"type":"Buffer","data":[…]}`.
fn buffer(fields: &[(String, Value)]) -> Option<Bytes> {
    let [(a, first), (b, second)] = fields else { return None };
    let (kind, data) = match (&**a, &**b) {
        ("type", "data") => (first, second),
        ("data", "type") => (second, first),
        _ => return None,
    };
    let (Value::Text(kind), Value::List(data)) = (kind, data) else { return None };
    if kind != "Buffer" {
        return None;
    }
    let byte = |value: &Value| match value {
        Value::Number(number) => number.whole().and_then(|number| u8::try_from(number).ok()),
        _ => None,
    };
    data.iter().map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

/// A value as errors show it: compact, with bytes as `{"type":"Buffer","data":[…]}`. What can't be
/// read into a tree is shown as it came, without what stands between its parts.
pub(super) fn shown(raw: &RawValue, attachments: &[Bytes]) -> String {
    match Value::read(raw, attachments) {
        Some(value) => value.json(),
        None => squeezed(raw.get()),
    }
}

/// JSON without spaces outside of its strings.
fn squeezed(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        if in_string {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            in_string = !ends;
            return true;
        }
        in_string = *c == '"';
        !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

/// Appends a JSON string.
pub(super) fn quote(into: &mut String, text: &str) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        into.push('"');
        into.push_str(text);
        into.push('"');
    } else {
        into.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    quote(&mut json, text);
    json
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A value, as a client writes it.
    pub fn value(json: &str) -> Value {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        Value::read(&raw, &[]).unwrap()
    }

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn values_are_shown_as_javascript_would() {
        for (json, expected) in [
            ("null", "null"),
            (" { \"b\" : 1.0, \"a\" : [ true , false ] } ", r#"{"b":1,"a":[true,false]}"#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"__proto__":1e3}"#, r#"{"__proto__":1000}"#),
            (r#""\u00e9\/\n""#, r#""é/\n""#),
            ("1e999", "null"),
            ("-0", "0"),
            ("12345678901234567890", "12345678901234567000"),
            // Half of a pair is no text; it is shown as it came.
            (r#"[ "\ud800 x" ]"#, r#"["\ud800 x"]"#),
        ] {
            assert_eq!(shown(&raw(json), &[]), expected, "{json}");
        }
        let deep = format!("{} 1 {}", "[".repeat(200), "]".repeat(200));
        assert_eq!(shown(&raw(&deep), &[]), deep.replace(' ', ""));
        assert_eq!(squeezed(r#"{"a \" b\\" : "}" , "c":1}"#), r#"{"a \" b\\":"}","c":1}"#);
    }

    #[test]
    fn bytes_are_where_a_placeholder_was() {
        let files = [Bytes::from_static(b"a"), Bytes::from_static(b"bc")];
        let json = r#"[{"_placeholder":true,"num":1},{"x":{"num":0,"_placeholder":true}}]"#;
        let value = Value::read(&raw(json), &files).unwrap();
        assert_eq!(
            value.json(),
            r#"[{"type":"Buffer","data":[98,99]},{"x":{"type":"Buffer","data":[97]}}]"#
        );
        let mut attachments = vec![Bytes::from_static(b"first")];
        assert_eq!(
            value.packed(&mut attachments),
            r#"[{"_placeholder":true,"num":1},{"x":{"_placeholder":true,"num":2}}]"#
        );
        assert_eq!(attachments, [&b"first"[..], b"bc", b"a"]);
        assert!(value.has_bytes());
    }

    #[test]
    fn nobody_gets_bytes_that_are_not_there() {
        let files = [Bytes::from_static(b"a")];
        for number in ["1", "-1", "0.5", "\"0\"", "null", "1e99"] {
            let json = format!(r#"{{"_placeholder":true,"num":{number}}}"#);
            assert_eq!(Value::read(&raw(&json), &files), Some(Value::Null), "{number}");
        }
        // Without attachments it is an object like any other, until it goes out beside some.
        let json = r#"{"a":{"_placeholder":true,"num":0}}"#;
        let value = value(json);
        assert_eq!(value.json(), json);
        assert_eq!(value.without_false_marks().json(), r#"{"a":{"_placeholder":false,"num":0}}"#);
    }

    #[test]
    fn buffers_of_the_server_api_are_bytes() {
        for (json, bytes) in [
            (r#"{"type":"Buffer","data":[97,0,255]}"#, Some(&b"a\0\xff"[..])),
            (r#"{"data":[],"type":"Buffer"}"#, Some(&b""[..])),
            (r#"{"type":"Buffer","data":[256]}"#, None),
            (r#"{"type":"Buffer","data":[-1]}"#, None),
            (r#"{"type":"Buffer","data":["1"]}"#, None),
            (r#"{"type":"buffer","data":[1]}"#, None),
            (r#"{"type":"Buffer","data":[1],"x":1}"#, None),
        ] {
            let read = value(&format!("[{json}]")).with_buffers();
            let expected = match bytes {
                Some(bytes) => Value::Bytes(Bytes::from_static(bytes)),
                None => value(json),
            };
            assert_eq!(read, Value::List(vec![expected]), "{json}");
        }
    }
}
