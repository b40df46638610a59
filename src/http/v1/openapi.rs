//! The OpenAPI document, made of the table of methods.
use std::collections::BTreeSet;

use utoipa::openapi::{
    Components, Content, HttpMethod, Info, License, OpenApi, Paths, Ref, RefOr, Required, Response,
    Schema, Server,
    header::Header,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    response::ResponseBuilder,
    schema::{ComponentsBuilder, ObjectBuilder, SchemaType, Type},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use super::{
    dialect::{Dialects, Told},
    erase::{self, Progress},
    key,
    method::{self, Effect, Entry, Schemas},
    problem::{Details, Kind},
    stat::Stat,
};

mod added;

/// The document as JSON, with the methods of these dialects.
pub(super) fn text(dialects: &Dialects) -> String {
    document(dialects).to_json().unwrap_or_default()
}

/// What stands above all methods.
const ABOUT: &str = "For business servers: messages, rooms, users and tokens. Every method is a POST with a JSON object to `/v1/<method>`, by an \
    administrator: `Authorization: Basic`, or `Bearer uid:token`. Errors are problem details (RFC 9457). Administrators whose role is \
    `reader` may use the methods that only read; the others answer them 403 `read-only`.";

/// The document.
fn document(dialects: &Dialects) -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = Paths::new();
    for entry in method::all() {
        let operation = operation(entry, &mut schemas);
        paths.add_path_operation(path(entry.name), vec![HttpMethod::Post], operation);
    }
    paths.add_path_operation(path("stat"), vec![HttpMethod::Get], stat(&mut schemas));
    paths.add_path_operation(path("jobs/{id}"), vec![HttpMethod::Get], job(&mut schemas));
    for added in dialects.all() {
        paths.add_path_operation(path(added.name), vec![HttpMethod::Post], added::operation(added));
    }
    if !dialects.all().is_empty() {
        method::schemas::<Told<'_>>(&mut schemas);
    }
    let problem = method::schemas::<Details<'_>>(&mut schemas);
    debug_assert_eq!(problem, "Problem");
    let mut info = Info::new("always-online HTTP API", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    info.license = Some(License::new("MIT"));
    let mut document = OpenApi::new(info, paths);
    document.servers = Some(vec![Server::new("/")]);
    document.components = Some(components(schemas));
    document.security = Some(vec![
        SecurityRequirement::new("basic", Vec::<String>::new()),
        SecurityRequirement::new("bearer", Vec::<String>::new()),
    ]);
    document
}

fn path(name: &str) -> String {
    format!("/v1/{name}")
}

fn components(schemas: Schemas) -> Components {
    let schemes = [
        ("basic", HttpAuthScheme::Basic, "An administrator's uid and token."),
        ("bearer", HttpAuthScheme::Bearer, "An administrator's uid and token, as `uid:token`."),
    ];
    let components =
        schemes.into_iter().fold(ComponentsBuilder::new(), |to, (name, scheme, about)| {
            let scheme = HttpBuilder::new().scheme(scheme).description(Some(about)).build();
            to.security_scheme(name, SecurityScheme::Http(scheme))
        });
    schemas.into_iter().fold(components, |to, (name, schema)| to.schema(name, schema)).build()
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn json_of(schema: RefOr<Schema>) -> Content {
    Content::new(Some(schema))
}

fn operation(entry: &Entry, schemas: &mut Schemas) -> Operation {
    let name = entry.request_name();
    schemas.push((name.clone(), RefOr::T((entry.request)())));
    let answer = (entry.answer)(schemas);
    let mut content = json_of(reference(&name));
    content.example = serde_json::from_str(entry.example).ok();
    let body = RequestBodyBuilder::new()
        .content("application/json", content)
        .required(Some(Required::True))
        .build();
    let mut operation =
        base(&entry.id(), entry.name, entry.summary, entry.about).request_body(Some(body));
    let mut success = success(&answer);
    if entry.is_keyed() {
        operation = operation.parameter(key());
        success.headers.insert("Idempotent-Replayed".to_owned(), replayed());
    }
    let operation = operation.response(entry.status.to_string(), success);
    let problems = problems(entry);
    responses(operation, &problems).build()
}

/// All problems that a method answers.
pub(super) fn problems(entry: &Entry) -> Vec<Kind> {
    let keyed = if entry.is_keyed() { Kind::OF_KEYS } else { &[] };
    let changing: &[Kind] = if entry.effect == Effect::Reads { &[] } else { &[Kind::ReadOnly] };
    [Kind::OF_ALL, Kind::OF_BODIES, changing, keyed, entry.problems].concat()
}

/// The header with a request's key.
fn key() -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(1))
        .max_length(Some(key::MAX));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Names the request, so that it is done once however often it is sent within 24 hours: quoted or bare, printable ASCII.",
        ))
        .schema(Some(text))
        .build()
}

fn replayed() -> RefOr<Header> {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(["true"]));
    let mut header = Header::new(text.build());
    header.description = Some("The answer is that of an earlier request with this key.".to_owned());
    RefOr::T(header)
}

fn stat(schemas: &mut Schemas) -> Operation {
    let answer = method::schemas::<Stat>(schemas);
    let about = "Users, rooms and connections of all nodes, and what each counts; memory and settings of the one that answers.";
    let operation =
        base("stat", "stat", "See the server in numbers", about).response("200", success(&answer));
    responses(operation, Kind::OF_ALL).build()
}

fn job(schemas: &mut Schemas) -> Operation {
    let answer = method::schemas::<Progress>(schemas);
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    let id = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The job's name, as `erase` gave it."))
        .schema(Some(text))
        .build();
    let operation = base("job", "erase", erase::SUMMARY, erase::ABOUT)
        .parameter(id)
        .response("200", success(&answer));
    // The path is that of a job whatever stands there.
    responses(operation, &[Kind::OF_ALL, &[Kind::NoSuchJob]].concat()).build()
}

fn base(id: &str, name: &str, summary: &str, about: &str) -> OperationBuilder {
    let tag = name.split('/').next().unwrap_or_default();
    let tag = match tag {
        "token" => "tokens",
        "users" | "disconnect" | "revoke" | "whereabouts" => "users",
        "hooks" => "webhooks",
        "stat" | "config" | "whoami" | "audit" => "server",
        _ => "rooms",
    };
    OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary))
        .description(Some(about))
        .tag(tag)
}

fn success(answer: &str) -> Response {
    ResponseBuilder::new()
        .description("It is done.")
        .content("application/json", json_of(reference(answer)))
        .build()
}

/// The problems by their statuses, each with the kinds that have it.
fn responses(operation: OperationBuilder, problems: &[Kind]) -> OperationBuilder {
    let statuses: BTreeSet<u16> = problems.iter().map(|kind| kind.status()).collect();
    statuses.into_iter().fold(operation, |operation, status| {
        let kinds: Vec<Kind> =
            problems.iter().filter(|kind| kind.status() == status).copied().collect();
        operation.response(status.to_string(), problem(status, &kinds))
    })
}

fn problem(status: u16, kinds: &[Kind]) -> Response {
    let about: Vec<String> =
        kinds.iter().map(|kind| format!("`{}`: {}", kind.word(), kind.when())).collect();
    let response = ResponseBuilder::new()
        .description(about.join("\n\n"))
        .content("application/problem+json", json_of(reference("Problem")));
    let text = |about: &str| {
        let string = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
        let mut header = Header::new(string);
        header.description = Some(about.to_owned());
        header
    };
    match status {
        401 => response.header("WWW-Authenticate", text("The ways to say who one is.")),
        405 => response.header("Allow", text("The HTTP methods that the path takes.")),
        409 if kinds.contains(&Kind::KeyInUse) => {
            response.header("Retry-After", text("Seconds to wait, where the key is in use."))
        }
        429 | 503 | 504 => response.header("Retry-After", text("Seconds to wait.")),
        _ => response,
    }
    .build()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_method_is_described_with_every_answer() {
        let document: Value = serde_json::from_str(&text(&Dialects::default())).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        for entry in method::all() {
            let operation = &document["paths"][path(entry.name)]["post"];
            assert_eq!(operation["operationId"], entry.id());
            let statuses: BTreeSet<&str> =
                operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            for kind in problems(entry) {
                assert!(statuses.contains(&*kind.status().to_string()), "{} {kind:?}", entry.name);
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn look(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(to)) = fields.get("$ref") {
                        let pointer = to.strip_prefix('#').expect("a reference within");
                        assert!(document.pointer(pointer).is_some(), "{to}");
                    }
                    fields.values().for_each(|value| look(value, document));
                }
                Value::Array(values) => values.iter().for_each(|value| look(value, document)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(&text(&Dialects::default())).unwrap();
        look(&document, &document);
    }
}
