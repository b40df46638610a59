//! Methods of dialects in the OpenAPI document, made of what the dialect says of them.
use std::collections::BTreeSet;

use utoipa::openapi::{
    RefOr, Required, Schema,
    path::{Operation, OperationBuilder},
    request_body::RequestBodyBuilder,
    response::ResponseBuilder,
    schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, SchemaType, Type},
};

use super::{
    super::{
        dialect::Added,
        method::{Effect, capital},
        problem::Kind,
    },
    json_of, problem,
};
use crate::domain::methods::{MethodDoc, Values};

/// Statuses of errors in the words of a dialect's protocol.
const OF_PROTOCOLS: [u16; 6] = [400, 403, 404, 409, 500, 503];

/// The method.
pub(super) fn operation(added: &Added) -> Operation {
    let doc = &added.doc;
    let body = RequestBodyBuilder::new()
        .content("application/json", json_of(RefOr::T(request(doc))))
        .required(Some(Required::True))
        .build();
    let success = ResponseBuilder::new()
        .description("It is done.")
        .content("application/json", json_of(RefOr::T(answer(doc))))
        .build();
    let operation = OperationBuilder::new()
        .operation_id(Some(id(added.name)))
        .summary(Some(doc.summary))
        .description(Some(doc.about))
        .tag(added.dialect)
        .request_body(Some(body))
        .response("200", success);
    let changing: &[Kind] = if doc.effect == Effect::Reads { &[] } else { &[Kind::ReadOnly] };
    let kinds = [Kind::OF_ALL, Kind::OF_BODIES, changing].concat();
    let statuses: BTreeSet<u16> =
        kinds.iter().map(|kind| kind.status()).chain(OF_PROTOCOLS).collect();
    let responses = statuses.into_iter().fold(operation, |operation, status| {
        let kinds: Vec<Kind> =
            kinds.iter().filter(|kind| kind.status() == status).copied().collect();
        let mut response = problem(status, &kinds);
        if OF_PROTOCOLS.contains(&status) {
            response.description += "\n\nAn error of the protocol, which `code` names.";
        }
        for content in response.content.values_mut() {
            *content = RefOr::T(json_of(super::reference("DialectProblem")));
        }
        operation.response(status.to_string(), response)
    });
    responses.build()
}

/// `chat-service/hasUser` as a name: `chatServiceHasUser`.
fn id(name: &str) -> String {
    let mut words = name.split(['/', '-']);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |id, word| id + &capital(word))
}

/// What the method takes.
fn request(doc: &MethodDoc) -> Schema {
    let object = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let fields = doc.fields.iter().fold(object, |object, field| {
        let schema = schema(field.values, !field.required, field.about);
        let object = object.property(field.name, RefOr::T(schema));
        if field.required { object.required(field.name) } else { object }
    });
    fields.into()
}

/// What the method gives.
fn answer(doc: &MethodDoc) -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .property("result", RefOr::T(schema(doc.result, false, doc.gives)))
        .required("result")
        .into()
}

/// Values; `or_null`: `null` stands for none.
fn schema(values: Values, or_null: bool, about: &str) -> Schema {
    let types = |of: &[Type]| {
        let null = or_null && !of.contains(&Type::Null);
        let all: Vec<Type> = of.iter().cloned().chain(null.then_some(Type::Null)).collect();
        match &all[..] {
            [only] => SchemaType::Type(only.clone()),
            _ => SchemaType::Array(all),
        }
    };
    let object = ObjectBuilder::new().description(Some(about));
    match values {
        Values::Nothing => object.schema_type(types(&[Type::Null])),
        Values::Text => object.schema_type(types(&[Type::String])),
        Values::TextOrNull => object.schema_type(types(&[Type::String, Type::Null])),
        Values::Flag => object.schema_type(types(&[Type::Boolean])),
        Values::Number { least, most } => {
            let number = object.schema_type(types(&[Type::Integer]));
            number.minimum(Some(least)).maximum(most)
        }
        Values::NumberOrNull => object.schema_type(types(&[Type::Number, Type::Null])),
        Values::Object => object.schema_type(types(&[Type::Object])),
        Values::List => {
            let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
            let list = ArrayBuilder::new().items(RefOr::T(Schema::from(any)));
            return list.description(Some(about)).into();
        }
    }
    .into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value as Json;

    use super::{super::super::dialect, *};

    #[test]
    fn methods_of_dialects_are_in_the_document() {
        let dialects = dialect::Dialects::new(&[Arc::new(dialect::tests::Example)]);
        let document: Json = serde_json::from_str(&super::super::text(&dialects)).unwrap();
        let operation = &document["paths"]["/v1/example/say"]["post"];
        assert_eq!(operation["operationId"], "exampleSay");
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body["required"], serde_json::json!(["text"]));
        assert_eq!(body["properties"]["text"]["type"], "string");
        assert_eq!(body["properties"]["to"]["type"], serde_json::json!(["string", "null"]));
        assert_eq!(body["additionalProperties"], false);
        let responses = operation["responses"].as_object().unwrap();
        for status in ["200", "400", "401", "403", "404", "405", "409", "429", "500", "503"] {
            assert!(responses.contains_key(status), "{status}");
        }
        let told = &responses["409"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(told, "#/components/schemas/DialectProblem");
        assert!(document.pointer("/components/schemas/DialectProblem").is_some());
    }

    #[test]
    fn an_operation_is_named_after_its_path() {
        assert_eq!(id("chat-service/hasUser"), "chatServiceHasUser");
    }
}
