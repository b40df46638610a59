//! The types of values in requests: how each is read, and what the OpenAPI document says of it. A
//! bound is a constant here, which both the reader and the schema have.
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::openapi::{
    RefOr,
    schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type},
};

use super::{Field, Issues, Place};
use crate::domain::{
    ids::{BadName, MAX_NAME, RoomId, Uid},
    json,
};

/// Most entries of an array, and of a page.
const MOST: usize = 1000;
/// Longest cursor, bytes.
const CURSOR: usize = 2048;

fn of_type(types: impl IntoIterator<Item = Type>) -> ObjectBuilder {
    let mut types: Vec<Type> = types.into_iter().collect();
    let kind = match types.len() {
        1 => SchemaType::Type(types.remove(0)),
        _ => SchemaType::Array(types),
    };
    ObjectBuilder::new().schema_type(kind)
}

/// What names a user or a room: a string or a number.
fn name_schema() -> Schema {
    of_type([Type::String, Type::Number]).min_length(Some(1)).max_length(Some(MAX_NAME)).into()
}

/// Why a value names nobody and nothing.
fn no_name(raw: &RawValue, check: impl Fn(&str) -> Option<BadName>) -> String {
    match json::string(raw) {
        Some(text) => check(&text).map_or_else(String::new, |bad| bad.to_string()),
        None => "it is neither a string nor a number within ±2^53 other than 0".to_owned(),
    }
}

impl Field for Uid {
    fn schema() -> Schema {
        name_schema()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let uid = json::uid(raw);
        if uid.is_none() {
            issues.add(at, no_name(raw, |text| Uid::text(text).err()));
        }
        uid
    }
}

impl Field for RoomId {
    fn schema() -> Schema {
        name_schema()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let room = json::room(raw);
        if room.is_none() {
            issues.add(at, no_name(raw, |text| RoomId::new(text).err()));
        }
        room
    }
}

impl Field for bool {
    fn schema() -> Schema {
        of_type([Type::Boolean]).into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let value = serde_json::from_str(raw.get()).ok();
        if value.is_none() {
            issues.add(at, "it is neither true nor false");
        }
        value
    }
}

/// Largest number that JSON's readers agree on, 2^53 - 1.
const MAX_INTEGER: u64 = (1 << 53) - 1;

impl Field for u64 {
    fn schema() -> Schema {
        of_type([Type::Integer]).minimum(Some(0)).maximum(Some(MAX_INTEGER as f64)).into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let value = integer(raw).filter(|value| *value <= MAX_INTEGER);
        if value.is_none() {
            issues.add(at, "it is not an integer from 0 to 2^53 - 1");
        }
        value
    }
}

/// A whole number, also where it is written as `5.0` or `5e0`: to JSON these are the same.
fn integer(raw: &RawValue) -> Option<u64> {
    match serde_json::from_str(raw.get()) {
        Ok(value) => Some(value),
        Err(_) => json::number(raw)
            .filter(|value| value.fract() == 0.0 && (0.0..=MAX_INTEGER as f64).contains(value))
            .map(|value| value as u64),
    }
}

/// The last second that is meant as one, in 2242. Larger numbers are milliseconds by mistake.
const LAST_SECOND: u64 = 1 << 33;

/// A second since 1970.
#[derive(Debug, Clone, Copy)]
pub(in crate::http::v1) struct Second(pub(in crate::http::v1) u64);

impl Field for Second {
    fn schema() -> Schema {
        of_type([Type::Integer]).minimum(Some(0)).maximum(Some(LAST_SECOND as f64)).into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let value = integer(raw).filter(|value| *value <= LAST_SECOND).map(Second);
        if value.is_none() {
            issues
                .add(at, "it is not a second since 1970, up to 2^33; milliseconds are no seconds");
        }
        value
    }
}

/// How many entries a page may have.
#[derive(Debug, Clone, Copy)]
pub(in crate::http::v1) struct Limit(pub(in crate::http::v1) usize);

impl Field for Limit {
    fn schema() -> Schema {
        of_type([Type::Integer]).minimum(Some(1)).maximum(Some(MOST as f64)).into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let value = integer(raw).and_then(|value| usize::try_from(value).ok());
        let value = value.filter(|value| (1..=MOST).contains(value)).map(Limit);
        if value.is_none() {
            issues.add(at, format!("it is not an integer from 1 to {MOST}"));
        }
        value
    }
}

/// A text that a name begins with, or a cursor.
#[derive(Debug, Clone)]
pub(in crate::http::v1) struct Text(pub(in crate::http::v1) String);

impl Field for Text {
    fn schema() -> Schema {
        of_type([Type::String]).max_length(Some(CURSOR)).into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let text = json::string(raw).filter(|text| text.len() <= CURSOR);
        if text.is_none() {
            issues.add(at, format!("it is not a string of at most {CURSOR} bytes"));
        }
        text.map(|text| Text(text.into_owned()))
    }
}

/// A JSON object that is passed on as it came.
#[derive(Debug)]
pub(in crate::http::v1) struct Raw(pub(in crate::http::v1) Box<RawValue>);

impl Field for Raw {
    fn schema() -> Schema {
        of_type([Type::Object]).into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        if !raw.get().starts_with('{') {
            issues.add(at, "it is not an object");
            return None;
        }
        Some(Raw(raw.to_owned()))
    }
}

/// At least one, and no more than [`MOST`].
impl<T: Field> Field for Vec<T> {
    fn schema() -> Schema {
        ArrayBuilder::new()
            .items(RefOr::T(T::schema()))
            .min_items(Some(1))
            .max_items(Some(MOST))
            .into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let Ok(Entries { first, all }) = serde_json::from_str::<Entries<'_>>(raw.get()) else {
            issues.add(at, "it is not an array");
            return None;
        };
        if !(1..=MOST).contains(&all) {
            issues.add(at, format!("it has {all} entries, and may have 1 to {MOST}"));
            return None;
        }
        let read = first.iter().enumerate();
        let read: Vec<Option<T>> =
            read.map(|(i, raw)| T::read(raw, &Place::Entry(at, i), issues)).collect();
        read.into_iter().collect()
    }
}

/// The entries of an array, as far as there may be any; the others are counted.
struct Entries<'a> {
    first: Vec<&'a RawValue>,
    all: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries<'de>, A::Error> {
                let mut first = Vec::new();
                while first.len() < MOST {
                    match seq.next_element()? {
                        Some(raw) => first.push(raw),
                        None => return Ok(Entries { all: first.len(), first }),
                    }
                }
                let mut all = first.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    all += 1;
                }
                Ok(Entries { first, all })
            }
        }
        deserializer.deserialize_seq(V)
    }
}
