//! What answers have in common.
use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, SchemaType, Type},
    },
};

use crate::domain::ids::Uid;

/// A uid as its user wrote it: a string or a number.
#[derive(Debug, Clone)]
pub(super) struct User(pub(super) Uid);

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_number() {
            let number = RawValue::from_string(self.0.as_str().to_owned());
            return number.map_err(serde::ser::Error::custom)?.serialize(serializer);
        }
        serializer.serialize_str(self.0.as_str())
    }
}

impl PartialSchema for User {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Array(vec![Type::String, Type::Number]))
            .description(Some("A user, as it was written: a string or a number."))
            .into()
    }
}

impl ToSchema for User {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Uid")
    }
}

/// A JSON value that is passed on as it is stored.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Json<'a>(pub(super) &'a RawValue);

impl PartialSchema for Json<'_> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some("The message as it is stored: an object."))
            .into()
    }
}

impl ToSchema for Json<'_> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Message")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_answered_in_the_type_that_it_was_written_in() {
        let written = |uid: Uid| serde_json::to_string(&User(uid)).unwrap();
        assert_eq!(written(Uid::text("10\"").unwrap()), r#""10\"""#);
        assert_eq!(written(Uid::number("10").unwrap()), "10");
    }
}
