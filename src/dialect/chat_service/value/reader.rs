//! JSON becomes a tree in one pass. The text is known to be valid JSON: whoever has it as a piece
//! of a larger text has had that parsed.
use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;

use super::{MARK, Number, Value};
use crate::domain::json::{self, Text};

/// Up to this many fields a list is searched faster than a map is built.
const FEW: usize = 16;

/// Reads a value with the attachments of its packet. `None`: it is nested deeper than `most`, or
/// has a text that is none, half of a surrogate pair.
pub(super) fn read(json: &str, attachments: &[Bytes], most: usize) -> Option<Value> {
    Reader { rest: json, attachments }.value(most)
}

/// Whether a value could be read.
pub(super) fn is_readable(json: &str, most: usize) -> bool {
    if json::nested_deeper_than(json, most) {
        return false;
    }
    // Halves of pairs can only stand there as escapes.
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return true;
    }
    let mut reader = Reader { rest: json, attachments: &[] };
    while let Some(at) = reader.rest.find('"') {
        reader.rest = &reader.rest[at..];
        if reader.text().is_none() {
            return false;
        }
    }
    true
}

/// What of a text is still to be read.
struct Reader<'a> {
    rest: &'a str,
    attachments: &'a [Bytes],
}

impl<'a> Reader<'a> {
    /// The value that begins here. So many levels may be in it.
    fn value(&mut self, most: usize) -> Option<Value> {
        self.rest = self.rest.trim_ascii_start();
        Some(match self.rest.as_bytes().first()? {
            b'n' => self.word("null", Value::Null)?,
            b't' => self.word("true", Value::Bool(true))?,
            b'f' => self.word("false", Value::Bool(false))?,
            b'"' => Value::Text(self.text()?.into_owned()),
            b'[' => {
                let (most, mut elements) = (most.checked_sub(1)?, Vec::new());
                self.skip(1)?;
                while !self.ends(']')? {
                    elements.push(self.value(most)?);
                }
                Value::List(elements)
            }
            b'{' => {
                let (most, mut fields) = (most.checked_sub(1)?, Fields::default());
                self.skip(1)?;
                while !self.ends('}')? {
                    let key = self.text()?;
                    self.rest = self.rest.trim_ascii_start();
                    self.skip(1)?; // the colon
                    fields.set(key.into_owned(), self.value(most)?);
                }
                self.attached(&fields.0).unwrap_or(Value::Object(fields.0))
            }
            _ => self.number()?,
        })
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        self.skip(word.len())?;
        Some(value)
    }

    /// Goes to the next element, or behind the end, if that is next.
    fn ends(&mut self, end: char) -> Option<bool> {
        let rest = self.rest.trim_ascii_start();
        let rest = rest.strip_prefix(',').unwrap_or(rest).trim_ascii_start();
        let behind = rest.strip_prefix(end);
        self.rest = behind.unwrap_or(rest);
        (behind.is_some() || !rest.is_empty()).then_some(behind.is_some())
    }

    fn number(&mut self) -> Option<Value> {
        let is_part = |c: char| matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let number: f64 = self.rest[..end].parse().ok()?;
        self.skip(end)?;
        // As JSON.stringify writes what JSON.parse has made infinite.
        Some(if number.is_finite() { Value::Number(Number(number)) } else { Value::Null })
    }

    /// The text that begins here.
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let (mut end, mut has_escapes) = (1, false);
        let bytes = self.rest.as_bytes();
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        let (text, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest;
        if has_escapes {
            return serde_json::from_str::<Text<'a>>(text).ok().map(|text| text.0);
        }
        text.get(1..end).map(Cow::Borrowed)
    }

    /// The attachment that an object stands for. One that stands for none that came is nothing.
    fn attached(&self, fields: &[(String, Value)]) -> Option<Value> {
        let field = |key: &str| fields.iter().find(|(k, _)| k == key).map(|(_, value)| value);
        if self.attachments.is_empty() || *field(MARK)? != Value::Bool(true) {
            return None;
        }
        let number = match field("num") {
            Some(Value::Number(number)) => number.whole(),
            _ => None,
        };
        let bytes = number
            .and_then(|number| usize::try_from(number).ok())
            .and_then(|number| self.attachments.get(number));
        Some(bytes.map_or(Value::Null, |bytes| Value::Bytes(bytes.clone())))
    }
}

/// Each key once, at its first place with its last value, as in JavaScript. The map has the places
/// once there are many.
#[derive(Default)]
struct Fields(Vec<(String, Value)>, HashMap<String, usize>);

impl Fields {
    fn set(&mut self, key: String, value: Value) {
        let Fields(fields, places) = self;
        if fields.len() == FEW && places.is_empty() {
            *places = fields.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        }
        let known = match places.is_empty() {
            true => fields.iter().position(|(known, _)| *known == key),
            false => places.get(&key).copied(),
        };
        if let Some((_, known)) = known.and_then(|at| fields.get_mut(at)) {
            *known = value;
            return;
        }
        if !places.is_empty() {
            places.insert(key.clone(), fields.len());
        }
        fields.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(json: &str) -> Option<String> {
        read(json, &[], 8).map(|value| value.json())
    }

    #[test]
    fn a_tree_is_what_javascript_makes_of_the_text() {
        for (text, expected) in [
            (" [ ] ", "[]"),
            ("{\n}", "{}"),
            ("[ 1 , 2\t]", "[1,2]"),
            (r#"{ "a" : { } , "b" : [ { "c" : null } ] }"#, r#"{"a":{},"b":[{"c":null}]}"#),
            (r#"["a\\","\"]","é,{"]"#, r#"["a\\","\"]","é,{"]"#),
            (r#"{"\u0061":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            ("[-1.50,2E3,1e999,true,false]", "[-1.5,2000,null,true,false]"),
        ] {
            assert_eq!(json(text).as_deref(), Some(expected), "{text}");
            let parsed: serde_json::Result<serde_json::Value> = serde_json::from_str(expected);
            assert!(parsed.is_ok(), "{expected}");
        }
        let fields = |value: &str| (0..40).map(|n| format!(r#""{n}":{value}"#)).collect::<Vec<_>>();
        let (first, last) = (fields("[]").join(","), fields("1").join(","));
        assert_eq!(json(&format!("{{{first},{last}}}")), Some(format!("{{{last}}}")));
    }

    #[test]
    fn what_is_too_deep_or_no_text_is_not_read() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let half = r#"{"a":["\ud800"]}"#.to_owned();
        let key = r#"{"\uDC00":1}"#.to_owned();
        let pair = r#"{"\ud83d\ude00":"\\ud800 \" \ud83d\ude00"}"#.to_owned();
        for (text, good) in [
            (nested(8), true),
            (nested(9), false),
            (half, false),
            (key, false),
            (pair, true),
            (r#"["[[[[[[[[[["]"#.to_owned(), true),
        ] {
            assert_eq!(json(&text).is_some(), good, "{text}");
            assert_eq!(is_readable(&text, 8), good, "{text}");
        }
    }
}
