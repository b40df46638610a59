//! The OpenAPI document as people read it: methods, with the fields that they take and give, and the
//! problems. The page `/v1/docs` and docs/api.md are made of this.
use serde_json::Value;

use super::problem::Kind;

/// A method.
pub(super) struct Section {
    /// `POST` or `GET`.
    pub(super) verb: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) about: String,
    /// A body, as it may be sent.
    pub(super) example: Option<String>,
    /// What it takes, in the path and in headers too.
    pub(super) takes: Vec<Row>,
    /// What it gives.
    pub(super) gives: Vec<Row>,
    /// The problems of its own: those of all are said once.
    pub(super) problems: Vec<Kind>,
    /// Whether `Idempotency-Key` has a meaning to it.
    pub(super) keyed: bool,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// `users[].uid`.
    pub(super) name: String,
    /// What values it has.
    pub(super) kind: String,
    pub(super) required: bool,
    pub(super) about: String,
}

/// The methods of a document, in its order.
pub(super) fn sections(document: &Value) -> Vec<Section> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let verbs = item.as_object().into_iter().flatten();
        verbs.map(move |(verb, operation)| section(document, path, verb, operation))
    });
    let mut sections: Vec<Section> = operations.collect();
    let place = |section: &Section| {
        let name = section.path.trim_start_matches("/v1/");
        super::method::all().iter().position(|entry| entry.name == name).unwrap_or(usize::MAX)
    };
    sections.sort_by_key(place);
    sections
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn section(document: &Value, path: &str, verb: &str, operation: &Value) -> Section {
    let body = &operation["requestBody"]["content"]["application/json"];
    let answers = operation["responses"].as_object().into_iter().flatten();
    let mut gives = Vec::new();
    for (_, answer) in answers.filter(|(status, _)| status.starts_with('2')) {
        fields(document, &answer["content"]["application/json"]["schema"], "", &mut gives, 0);
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let in_path = parameters.clone().filter(|parameter| parameter["in"] == "path");
    let mut takes: Vec<Row> = in_path
        .map(|parameter| Row {
            name: format!("{} (in the path)", text(&parameter["name"])),
            kind: kind(document, &parameter["schema"]),
            required: true,
            about: text(&parameter["description"]),
        })
        .collect();
    fields(document, &body["schema"], "", &mut takes, 0);
    let said = operation["responses"].to_string();
    let of_all = [Kind::OF_ALL, Kind::OF_BODIES, Kind::OF_KEYS].concat();
    let own = Kind::ALL
        .iter()
        .filter(|kind| !of_all.contains(kind) && said.contains(&format!("`{}`: ", kind.word())));
    let keyed = parameters.clone().any(|parameter| parameter["name"] == "Idempotency-Key");
    Section {
        verb: verb.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        about: text(&operation["description"]),
        example: body["example"].is_object().then(|| body["example"].to_string()),
        takes,
        gives,
        problems: own.copied().collect(),
        keyed,
    }
}

/// The schema that a reference leads to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let to = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    to.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

/// How deep fields are listed.
const DEPTH: usize = 3;

/// Adds the fields of an object, with those of the objects in it.
fn fields(document: &Value, schema: &Value, prefix: &str, into: &mut Vec<Row>, depth: usize) {
    let schema = resolved(document, schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fields(document, part, prefix, into, depth);
    }
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name))
    };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let (inner, is_array) = match field["type"] == "array" {
            true => (resolved(document, &field["items"]), true),
            false => (resolved(document, field), false),
        };
        let about = [&field["description"], &inner["description"]].map(text);
        let [own, of_type] = about;
        let name_here = format!("{prefix}{name}");
        into.push(Row {
            name: name_here.clone(),
            kind: kind(document, field),
            required: required(name),
            about: if own.is_empty() { of_type } else { own },
        });
        if depth < DEPTH && known(field).is_none() && known(&field["items"]).is_none() {
            let prefix = format!("{name_here}{}.", if is_array { "[]" } else { "" });
            fields(document, inner, &prefix, into, depth + 1);
        }
    }
}

/// What a schema is called that is described elsewhere on the page: the body of a method, a problem.
fn known(schema: &Value) -> Option<String> {
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    if name == "Problem" {
        return Some("problem".to_owned());
    }
    let method = super::method::all().iter().find(|entry| entry.request_name() == name)?;
    Some(format!("the body of {}", method.name))
}

/// What values a schema has, in words.
fn kind(document: &Value, schema: &Value) -> String {
    if let Some(name) = known(schema) {
        return name;
    }
    let schema = resolved(document, schema);
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        return values.join(", ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ if schema["properties"].is_object() || schema["allOf"].is_array() => vec!["object"],
        _ => vec!["any"],
    };
    let mut words = types.join(" or ");
    if types == ["array"] {
        words = format!("array of {}", kind(document, &schema["items"]));
    }
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) if most < 1e15 => words += &format!(", {least} to {most}"),
        (Some(least), _) => words += &format!(", {least} or more"),
        (None, _) => {}
    }
    match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (Some(least), Some(most)) => words += &format!(", {least} to {most} of them"),
        (_, Some(most)) => words += &format!(", up to {most} of them"),
        (_, None) => {}
    }
    match (schema["minLength"].as_u64(), schema["maxLength"].as_u64()) {
        (Some(least), Some(most)) => words += &format!(", {least} to {most} bytes"),
        (None, Some(most)) => words += &format!(", up to {most} bytes"),
        (_, None) => {}
    }
    words
}
