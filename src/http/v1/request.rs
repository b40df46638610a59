//! What a request has to be: declared once, read strictly, and documented.
//!
//! [`request!`] declares the fields of a body. Of the declaration come the struct, its reader, which
//! names everything that is wrong with a JSON pointer, and its schema in the OpenAPI document. The
//! bounds are those of the types here.
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::openapi::{
    RefOr,
    schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type},
};

use super::problem::Issue;
use crate::domain::{
    ids::{BadName, MAX_NAME, RoomId, Uid},
    json::{self, Object},
};

/// Most entries of an array, and of a page.
pub(super) const MOST: usize = 1000;
/// Most wrong values that an answer names.
const NAMED: usize = 20;
/// Most characters of a name that an answer repeats.
const SHOWN: usize = 64;
/// Longest cursor, bytes.
const CURSOR: usize = 2048;

/// What is wrong with a request, as far as it is named.
#[derive(Debug, Default)]
pub(super) struct Issues(Vec<Issue>);

impl Issues {
    pub(super) fn add(&mut self, at: &Place<'_>, detail: impl Into<String>) {
        if !self.is_full() {
            self.0.push(Issue { pointer: at.pointer(), detail: detail.into() });
        }
    }

    /// Whether no more are named.
    fn is_full(&self) -> bool {
        self.0.len() >= NAMED
    }

    /// Those that were found.
    pub(super) fn found(self) -> Vec<Issue> {
        self.0
    }
}

/// Where in the body a value is.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// The body.
    Whole,
    /// A field of an object.
    Field(&'a Place<'a>, &'a str),
    /// An entry of an array.
    Entry(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// As a JSON pointer in a URI fragment (RFC 6901, section 6).
    pub(super) fn pointer(&self) -> String {
        match self {
            Place::Whole => "#".to_owned(),
            Place::Entry(of, index) => format!("{}/{index}", of.pointer()),
            Place::Field(of, name) => {
                let mut pointer = of.pointer();
                pointer.push('/');
                for c in name.chars().take(SHOWN) {
                    match c {
                        '~' => pointer.push_str("~0"),
                        '/' => pointer.push_str("~1"),
                        c if c.is_ascii_alphanumeric() || "-._".contains(c) => pointer.push(c),
                        c => {
                            let mut bytes = [0; 4];
                            for byte in c.encode_utf8(&mut bytes).bytes() {
                                pointer.push_str(&format!("%{byte:02X}"));
                            }
                        }
                    }
                }
                pointer
            }
        }
    }
}

/// A type of values in a request.
pub(super) trait Field: Sized {
    /// Whether a request without it is wrong.
    const REQUIRED: bool = true;

    /// Its schema in the OpenAPI document.
    fn schema() -> Schema;

    /// Reads a value. Nothing where it is wrong; then the issues say how.
    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self>;

    /// What it is where the request has none.
    fn missing(at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        issues.add(at, "it is required");
        None
    }
}

impl<T: Field> Field for Option<T> {
    const REQUIRED: bool = false;

    fn schema() -> Schema {
        T::schema()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        T::read(raw, at, issues).map(Some)
    }

    fn missing(_: &Place<'_>, _: &mut Issues) -> Option<Self> {
        Some(None)
    }
}

/// Declares the body of a method.
macro_rules! request {
    (
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $key:literal; )* }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(in crate::http::v1) struct $name {
            $( $(#[doc = $doc])+ pub(in crate::http::v1) $field: $type, )*
        }

        impl $crate::http::v1::request::Field for $name {
            fn schema() -> utoipa::openapi::schema::Schema {
                let object = $crate::http::v1::request::strict_object(&[$($about),+]);
                $(
                    let object = $crate::http::v1::request::property::<$type>(
                        object, $key, &[$($doc),+],
                    );
                )*
                object.into()
            }

            #[allow(unused_variables, reason = "a body may have no fields")]
            fn read(
                raw: &serde_json::value::RawValue,
                at: &$crate::http::v1::request::Place<'_>,
                issues: &mut $crate::http::v1::request::Issues,
            ) -> Option<Self> {
                let object =
                    $crate::http::v1::request::object(raw, &[$($key),*], at, issues)?;
                $(
                    let $field: Option<$type> =
                        $crate::http::v1::request::field(&object, $key, at, issues);
                )*
                Some($name { $( $field: $field?, )* })
            }
        }
    };
}
pub(super) use request;

/// The lines of a comment as one text.
pub(super) fn text(lines: &[&str]) -> String {
    lines.join("").trim().to_owned()
}

/// The schema of an object that has no other fields than those that are added to it.
pub(super) fn strict_object(about: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .description(Some(text(about)))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// Adds a field to the schema of an object.
pub(super) fn property<T: Field>(
    object: ObjectBuilder,
    key: &str,
    about: &[&str],
) -> ObjectBuilder {
    let mut schema = T::schema();
    let about = Some(text(about));
    match &mut schema {
        Schema::Object(object) => object.description = about,
        Schema::Array(array) => array.description = about,
        _ => {} // no field has such a schema
    }
    let object = object.property(key, RefOr::T(schema));
    if T::REQUIRED { object.required(key) } else { object }
}

/// Reads an object, whose fields have these names.
pub(super) fn object<'a>(
    raw: &'a RawValue,
    known: &[&str],
    at: &Place<'_>,
    issues: &mut Issues,
) -> Option<Object<'a>> {
    let Some(object) = Object::parse(raw.get()) else {
        issues.add(at, "it is not an object");
        return None;
    };
    for (name, _) in object.iter().filter(|(name, _)| !known.contains(name)) {
        if issues.is_full() {
            break;
        }
        let detail = if known.is_empty() {
            "there is no such field".to_owned()
        } else {
            format!("there is no such field; there are {}", known.join(", "))
        };
        issues.add(&Place::Field(at, name), detail);
    }
    Some(object)
}

/// Reads a field of an object.
pub(super) fn field<T: Field>(
    object: &Object<'_>,
    key: &str,
    at: &Place<'_>,
    issues: &mut Issues,
) -> Option<T> {
    let at = Place::Field(at, key);
    match object.get(key) {
        Some(raw) => T::read(raw, &at, issues),
        None => T::missing(&at, issues),
    }
}

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

/// How many entries a page may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(pub(super) usize);

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
pub(super) struct Text(pub(super) String);

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
pub(super) struct Raw(pub(super) Box<RawValue>);

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

#[cfg(test)]
mod tests;
