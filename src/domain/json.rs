//! JSON as JavaScript sees it: clients and the service that this one replaces are written in it, so
//! names, ids, offsets and lengths have JavaScript's meaning. Values stay raw text; only what is
//! looked at is parsed.
use std::{borrow::Cow, collections::HashMap, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ids::{RoomId, Uid};

mod measure;
pub use measure::{nested_deeper_than, stringified_length};

/// Largest number that can be a uid or room id, 2^53.
const MAX_NUMBER: f64 = 9_007_199_254_740_992.0;

/// A JSON string, without copying where it has no escapes.
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(V)
    }
}

/// The top level of a JSON object: each key once, at its first place with its last value, as in
/// JavaScript.
#[derive(Default)]
pub struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Up to this many fields a list is searched faster than a map is built.
const FEW: usize = 16;

impl<'a> Object<'a> {
    /// Nothing, where `json` is no object.
    pub fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The value of a field, JSON.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.fields.iter().find(|(k, _)| k == key).map(|(_, v)| *v)
    }

    /// The fields, each with its value, JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(k, v)| (k.as_ref(), *v))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(8);
                let mut index: HashMap<Cow<'de, str>, usize> = HashMap::new();
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if fields.len() == FEW && index.is_empty() {
                        index =
                            fields.iter().enumerate().map(|(i, (k, _))| (k.clone(), i)).collect();
                    }
                    let known = if index.is_empty() {
                        fields.iter().position(|(k, _)| *k == key)
                    } else {
                        index.get(&key).copied()
                    };
                    match known {
                        Some(i) => fields[i].1 = value,
                        None => {
                            if !index.is_empty() {
                                index.insert(key.clone(), fields.len());
                            }
                            fields.push((key, value));
                        }
                    }
                }
                Ok(Object { fields })
            }
        }
        deserializer.deserialize_map(V)
    }
}

/// An event as an array: `["name", first argument, …]`; arguments after the first are ignored.
pub struct Call<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its first argument, JSON.
    pub argument: Option<&'a RawValue>,
}

impl<'a> Call<'a> {
    /// Nothing, where `json` is not JSON or not of that form.
    pub fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Call<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Call<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array that begins with a string")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Call<'de>, A::Error> {
                let name = seq
                    .next_element::<Text<'de>>()?
                    .ok_or_else(|| serde::de::Error::invalid_length(0, &self))?
                    .0;
                let argument = seq.next_element::<&'de RawValue>()?;
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Call { name, argument })
            }
        }
        deserializer.deserialize_seq(V)
    }
}

/// The value of a JSON string, if it is one.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|t| t.0)
}

/// The value of a JSON number, if it is one.
pub fn number(raw: &RawValue) -> Option<f64> {
    serde_json::from_str(raw.get()).ok()
}

/// A number as JavaScript prints it.
pub fn number_text(number: f64) -> String {
    ryu_js::Buffer::new().format(number).to_owned()
}

/// What may be a name: a string, or a number other than 0 within ±2^53.
fn name(raw: &RawValue) -> Option<(Cow<'_, str>, bool)> {
    if let Some(text) = string(raw) {
        return Some((text, false));
    }
    let value = number(raw).filter(|n| *n != 0.0 && n.abs() <= MAX_NUMBER)?;
    Some((Cow::Owned(number_text(value)), true))
}

/// A uid, or nothing where it has to be refused as missing.
pub fn uid(raw: &RawValue) -> Option<Uid> {
    let (text, is_number) = name(raw)?;
    if is_number { Uid::number(&text) } else { Uid::text(&text) }.ok()
}

/// A room id, or nothing where it has to be refused as missing.
pub fn room(raw: &RawValue) -> Option<RoomId> {
    RoomId::new(&name(raw)?.0).ok()
}

/// `String(value)` of JavaScript, but that an array stays its JSON text.
pub fn to_js_string(raw: &RawValue) -> String {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => string(raw).map_or_else(|| json.to_owned(), Cow::into_owned),
        Some(b'{') => "[object Object]".to_owned(),
        Some(b'-' | b'0'..=b'9') => number(raw).map_or_else(|| json.to_owned(), number_text),
        _ => json.to_owned(),
    }
}

/// `parseInt(text)` of JavaScript, as an offset: what is not a number, or below 0, is 0; what is
/// huge is [`u64::MAX`].
pub fn parse_int(text: &str) -> u64 {
    let text = text.trim_start();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None => (10, text),
    };
    if negative {
        return 0;
    }
    digits
        .chars()
        .map_while(|c| c.to_digit(radix))
        .fold(0u64, |sum, d| sum.saturating_mul(radix.into()).saturating_add(d.into()))
}

/// An offset that a client sent: a number or its text.
pub fn offset(raw: &RawValue) -> u64 {
    match string(raw) {
        Some(text) => parse_int(&text),
        // Huge numbers saturate, where JavaScript would read the digits before the exponent.
        None => number(raw).map_or(0, |n| n as u64),
    }
}

#[cfg(test)]
mod tests;
