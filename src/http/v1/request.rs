//! What a request has to be: declared once, read strictly, and documented.
//!
//! [`request!`] declares the fields of a body. Of the declaration come the struct, its reader, which
//! names everything that is wrong with a JSON pointer, and its schema in the OpenAPI document. The
//! types that fields have, with their bounds, are in [`types`].
use serde_json::value::RawValue;
use utoipa::openapi::{
    RefOr,
    schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type},
};

use super::problem::Issue;
use crate::domain::json::Object;

mod types;

pub(super) use types::{Limit, Raw, Second, Text};

/// Most wrong values that an answer names.
const NAMED: usize = 20;
/// Most characters of a name that an answer repeats.
const SHOWN: usize = 64;
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

#[cfg(test)]
mod tests;
