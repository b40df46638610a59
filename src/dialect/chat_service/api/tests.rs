use std::{collections::BTreeSet, fmt::Write};

use super::*;

#[test]
fn each_method_has_a_name_of_its_own_and_says_what_it_does() {
    assert_eq!(Method::ALL.len(), 28);
    for method in Method::ALL {
        assert_eq!(Method::find(method.name()), Some(*method));
        let doc = method.document();
        let first_optional = doc.fields.iter().position(|field| !field.required);
        let is_ordered =
            first_optional.is_none_or(|at| doc.fields[at..].iter().all(|f| !f.required));
        assert!(is_ordered, "{method:?}: what may be left out comes last");
        assert!(!doc.summary.is_empty() && !doc.summary.ends_with('.'), "{method:?}");
        let names: BTreeSet<&str> = doc.fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), doc.fields.len(), "{method:?}");
        for sentence in doc.fields.iter().map(|field| field.about).chain([doc.gives]) {
            assert!(sentence.ends_with('.'), "{method:?}: {sentence}");
            assert!(!sentence.contains("  "), "{method:?}: {sentence}");
        }
    }
    assert_eq!(Method::find("addroom"), None);
}

#[test]
fn readers_may_call_what_is_known_to_read_and_nothing_else() {
    let reads = Method::ALL.iter().filter(|method| method.document().effect == Effect::Reads);
    let names: Vec<&str> = reads.map(|method| method.name()).collect();
    assert_eq!(
        names,
        [
            "hasUser",
            "userHasInList",
            "hasDirectAccess",
            "hasRoom",
            "roomHasInList",
            "hasRoomAccess",
            "checkArguments",
            "getInstanceHeartbeat",
            "getInstanceSockets",
            "listRooms",
            "roomState",
        ]
    );
}

#[test]
fn bodies_are_read_and_refused() {
    let wrong = |position, value: &str| Err(bad(position, value.to_owned()));
    let shown = |values: Vec<Option<Value>>| {
        let shown = values.iter().map(|v| v.as_ref().map_or("-".to_owned(), Value::json));
        shown.collect::<Vec<_>>().join(" ")
    };
    for (method, body, expected) in [
        (Method::HasUser, r#"{"userName":"a:b"}"#, Ok(r#""a:b""#)),
        (Method::HasUser, r#"{"userName":null}"#, wrong(0, "null")),
        (Method::HasUser, r#"{"userName": ["a", {"b": 1}]}"#, wrong(0, r#"["a",{"b":1}]"#)),
        (Method::HasUser, r#"{"userName":"\ud800"}"#, wrong(0, r#""\ud800""#)),
        (Method::AddRoom, r#"{"roomName":"r"}"#, Ok(r#""r" -"#)),
        (Method::AddRoom, r#"{"roomName":"r","state":null}"#, Ok(r#""r" -"#)),
        (Method::AddRoom, r#"{"roomName":"r","state":[]}"#, wrong(1, "[]")),
        (Method::ChangeRoomOwner, r#"{"roomName":"r","owner":null}"#, Ok(r#""r" null"#)),
        (Method::ChangeRoomOwner, r#"{"roomName":"r","owner":5}"#, wrong(1, "5")),
        (Method::ChangeRoomHistoryMaxSize, r#"{"roomName":"r","size":0}"#, Ok(r#""r" 0"#)),
        (Method::ChangeRoomHistoryMaxSize, r#"{"roomName":"r","size":-1}"#, wrong(1, "-1")),
        (Method::ChangeRoomHistoryMaxSize, r#"{"roomName":"r","size":1.5}"#, wrong(1, "1.5")),
        (Method::ChangeUserlistUpdates, r#"{"roomName":"r","mode":1}"#, wrong(1, "1")),
        (
            Method::ExecUserCommand,
            r#"{"command":"c","args":[{"type":"Buffer","data":[97]}],"id":"X"}"#,
            Ok(r#""c" [{"type":"Buffer","data":[97]}] - "X" - -"#),
        ),
        (Method::ExecUserCommand, r#"{"command":"c","args":{}}"#, wrong(1, "{}")),
        (Method::GetInstanceHeartbeat, "{}", Ok("-")),
        (Method::ListRooms, r#"{"limit":1000}"#, Ok("- - 1000")),
        (Method::ListRooms, r#"{"limit":1001}"#, wrong(2, "1001")),
        (Method::ListRooms, r#"{"limit":0}"#, wrong(2, "0")),
    ] {
        let read = read(method, &json::Object::parse(body).unwrap()).map(shown);
        assert_eq!(read, expected.map(str::to_owned), "{method:?} {body}");
    }
}

/// docs/chat-service.md, whose table of methods is made of the same.
mod markdown {
    use super::*;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/chat-service.md");
    const BEGIN: &str = "<!-- Made by a test: see src/dialect/chat_service/api.rs. -->\n";
    const END: &str = "<!-- The end of what is made. -->\n";

    fn values(values: Values) -> String {
        match values {
            Values::Nothing => "null".to_owned(),
            Values::Text => "string".to_owned(),
            Values::TextOrNull => "string or null".to_owned(),
            Values::Flag => "boolean".to_owned(),
            Values::Number { least, most: None } => format!("integer, {least} or more"),
            Values::Number { least, most: Some(most) } => format!("integer, {least} to {most}"),
            Values::NumberOrNull => "number or null".to_owned(),
            Values::List => "array".to_owned(),
            Values::Object => "object".to_owned(),
        }
    }

    fn reference() -> String {
        let mut text = String::new();
        for method in Method::ALL {
            let doc = method.document();
            let about = if doc.about.is_empty() { "" } else { " " }.to_owned() + doc.about;
            let _ = writeln!(text, "\n### {}\n\n{}.{about}\n", doc.name, doc.summary);
            let _ = writeln!(text, "| field | | |\n|---|---|---|");
            for field in doc.fields {
                let required = if field.required { ", required" } else { "" };
                let (name, kind) = (field.name, values(field.values));
                let _ = writeln!(text, "| `{name}` | {kind}{required} | {} |", field.about);
            }
            let _ = writeln!(text, "| **result** | {} | {} |", values(doc.result), doc.gives);
        }
        text + "\n"
    }

    fn updated(document: &str) -> String {
        let (before, rest) = document.split_once(BEGIN).expect("the reference");
        let (_, after) = rest.split_once(END).expect("the end of the reference");
        format!("{before}{BEGIN}{}{END}{after}", reference())
    }

    /// What is missing, superfluous or different: `AO_UPDATE_DOCS=1` with this test writes it anew.
    #[test]
    fn the_document_is_what_the_code_says() {
        let document = std::fs::read_to_string(DOCUMENT).unwrap();
        let updated = updated(&document);
        if std::env::var_os("AO_UPDATE_DOCS").is_some() {
            return std::fs::write(DOCUMENT, updated).unwrap();
        }
        for (is, should) in document.lines().zip(updated.lines()) {
            assert_eq!(is, should, "chat-service.md is stale: run this test with AO_UPDATE_DOCS=1");
        }
        assert_eq!(document.len(), updated.len(), "chat-service.md is stale: see above");
    }
}
