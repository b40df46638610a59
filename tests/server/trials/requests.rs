//! What strangers to the HTTP API send, for every method that its own document has; and secrets of
//! which a server must not start.
use serde_json::{Map, Value, json};

use super::site::{Site, Store};
use support::{
    http::{self, Answer},
    server::Setup,
};

/// A method, as the document has it.
struct Method {
    name: String,
    /// The fields of its body, with their schemas.
    fields: Map<String, Value>,
    example: Value,
}

async fn methods(site: &Site) -> Vec<Method> {
    let document = http::get(site.here().api(), "/v1/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.filter_map(|(path, operations)| {
        let body = &operations.get("post")?["requestBody"]["content"]["application/json"];
        let schema = body["schema"]["$ref"].as_str().expect("a named schema");
        let schema = document.pointer(schema.trim_start_matches('#')).expect("a schema");
        Some(Method {
            name: path.trim_start_matches("/v1/").to_owned(),
            fields: schema["properties"].as_object().cloned().unwrap_or_default(),
            example: body["example"].clone(),
        })
    });
    methods.collect()
}

/// Where a body is wrong, which it has to be.
#[track_caller]
fn pointers(answer: &Answer, what: &str) -> Vec<String> {
    let problem = answer.json();
    assert_eq!(
        (answer.status, &problem["type"]),
        (400, &json!("/v1/docs#invalid-request")),
        "{what}"
    );
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

/// Values that are wrong for a field of this schema.
fn wrong(schema: &Value, example: &Value) -> Vec<Value> {
    let types = schema["type"].to_string();
    let mut wrong = vec![if types.contains("object") { json!([]) } else { json!({ "$ne": 1 }) }];
    if types.contains("array") {
        let entry = example.get(0).cloned().unwrap_or_else(|| json!("x"));
        wrong.push(Value::Array(vec![entry; 1001]));
    }
    if types.contains("string") && schema["maxLength"].is_u64() {
        let most = schema["maxLength"].as_u64().unwrap() as usize;
        wrong.extend([json!("x".repeat(most + 1)), json!("é".repeat(most / 2 + 1))]);
    }
    if types.contains("integer") {
        wrong.extend([json!(-1), json!(1.5), json!("1"), json!(1_u64 << 60)]);
    }
    wrong
}

#[tokio::test]
async fn each_method_names_what_is_wrong_with_each_of_its_fields() {
    let site = Store::Files.start(|setup| setup).await;
    let methods = methods(&site).await;
    assert!(methods.len() > 15, "{} methods", methods.len());
    for Method { name, fields, example } in methods {
        for broken in ["", "{", "nonsense", r#"{"roomId":"a"}}"#, "\u{0}"] {
            let answer = site.admin.say(site.here(), &name, broken).await;
            assert_eq!(answer.json()["type"], "/v1/docs#malformed-request", "{name} {broken:?}");
        }
        let mut unknown = example.clone();
        unknown["shout"] = json!(true);
        let answer = site.admin.ask(site.here(), &name, &unknown).await;
        assert_eq!(pointers(&answer, &name), ["#/shout"], "{name}");
        for (field, schema) in &fields {
            for value in wrong(schema, &example[field]) {
                let mut body = example.clone();
                let shown: String = value.to_string().chars().take(60).collect();
                let what = format!("{name}: {field} is {shown}");
                body[field] = value;
                let answer = site.admin.ask(site.here(), &name, &body).await;
                let found = pointers(&answer, &what);
                assert!(found[0].starts_with(&format!("#/{field}")), "{what}: {found:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_of_another_form_stops_the_start_and_its_place_is_named() {
    let short = "whsec_c2hvcnQgYXMgaXQgaXM="; // 16 bytes
    let long = format!("whsec_{}", "QUJD".repeat(22)); // 66 bytes
    let said = "whsec_ and the base64 of 24 to 64 bytes";
    let names = [
        "AO_WEBHOOK__SECRET",
        "AO_WEBHOOK__PREVIOUS_SECRET",
        "AO_HOOK__SECRET",
        "AO_HOOK__PREVIOUS_SECRET",
    ];
    for (name, secret) in
        names.iter().zip([short, long.as_str(), "whsec_not*base64", "no secret at all"])
    {
        let setup = Setup::new().env("AO_HOOK__URL", "http://127.0.0.1:9/").env(name, secret);
        for arguments in [&["check-config"][..], &[]] {
            let ran = setup.clone().args(arguments).run().await;
            ran.fails(2, &[*name, said]);
            assert!(!ran.stderr.contains(secret), "it is not repeated: {ran:?}");
        }
        assert!(!setup.data().exists(), "nothing was started");
    }
    let setup = Setup::new();
    let file = setup.scratch().join("settings.toml");
    let text = format!("[webhook.billing]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"{short}\"\n");
    std::fs::write(&file, text).unwrap();
    let ran = setup.args(["--config", file.to_str().unwrap()]).run().await;
    ran.fails(2, &["settings.toml:3:", said]);
    assert!(!ran.stderr.contains(short), "{ran:?}");
}
