use super::{documents::READERS, *};
use crate::domain::methods::{
    self, Effect, Named,
    table::{LIMIT, tests as methods_of},
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tinode.md");

const ANN: &str = "usrAQAAAAAAAAA";
const BOB: &str = "usrAgAAAAAAAAA";

fn ann() -> UserId {
    UserId::parse(ANN).unwrap()
}

fn pair() -> Key {
    Key::pair(ann(), UserId::parse(BOB).unwrap())
}

#[test]
fn each_method_says_what_it_does_and_is_in_the_document() {
    methods_of::are_documented::<Asked>(&std::fs::read_to_string(DOCUMENT).unwrap());
}

#[test]
fn readers_may_look_and_do_nothing() {
    let expected = [
        "listUsers",
        "userState",
        "listUserTopics",
        "listTopics",
        "topicState",
        "listMembers",
        "listKeys",
    ];
    assert_eq!(methods_of::reading::<Asked>(), expected);
}

fn page(after: Option<&str>, limit: usize) -> Stretch {
    Stretch { after: after.map(str::to_owned), limit }
}

fn read(method: &str, body: &str) -> Result<Asked, BadField> {
    methods_of::read(method, body)
}

#[test]
fn whoever_names_a_user_is_understood() {
    let user = ann();
    for (method, expected) in [
        ("userState", Asked::UserState { user }),
        ("signOut", Asked::SignOut { user }),
        ("suspendUser", Asked::SuspendUser { user }),
        ("resumeUser", Asked::ResumeUser { user }),
        ("eraseMessages", Asked::EraseMessages { user }),
        ("deleteUser", Asked::DeleteUser { user }),
        ("listUserTopics", Asked::ListUserTopics { user, stretch: page(None, 50) }),
    ] {
        assert_eq!(read(method, &format!(r#"{{"user":"{ANN}"}}"#)), Ok(expected));
        for user in ["null", "7", r#""""#, r#""ann""#, r#""usrAAAAAAAAAAA""#, r#""grpAQAAAAAAAAA""#]
        {
            let body = format!(r#"{{"user":{user}}}"#);
            assert_eq!(read(method, &body), Err(BadField(&USER)), "{method} {body}");
        }
    }
}

#[test]
fn a_topic_has_several_names() {
    let group = Key::parse("grpAQAAAAAAAAA").unwrap();
    for (text, expected) in [
        ("grpAQAAAAAAAAA", Some(group)),
        ("chnAQAAAAAAAAA", Some(group)),
        (&*format!("{ANN}.{BOB}"), Some(pair())),
        (&*format!("{BOB}.{ANN}"), Some(pair())),
        (&*format!("{ANN}.{ANN}"), None),
        (&*format!("slf.{ANN}"), Some(Key::Own(ann()))),
        ("slf", None),
        ("me", None),
        (ANN, None),
        ("new1", None),
        ("", None),
    ] {
        assert_eq!(named(text), expected, "{text}");
        let expected = expected.map(|topic| Asked::DeleteTopic { topic });
        let body = json!({ "topic": text }).to_string();
        assert_eq!(read("deleteTopic", &body).ok(), expected, "{text}");
    }
}

#[test]
fn pages_are_read_and_refused() {
    let users = |text: Option<&str>, stretch| {
        Ok(Asked::ListUsers { text: text.map(str::to_owned), stretch })
    };
    let members = |readers, stretch| Ok(Asked::ListMembers { topic: pair(), readers, stretch });
    let topic = pair().id();
    let of_topic = |rest: &str| format!(r#"{{"topic":"{topic}"{rest}}}"#);
    for (method, body, expected) in [
        ("listUsers", "{}".to_owned(), users(None, page(None, 50))),
        ("listUsers", r#"{"text":""}"#.to_owned(), users(None, page(None, 50))),
        (
            "listUsers",
            r#"{"text":"g\u0061rden","after":"usr","limit":100}"#.to_owned(),
            users(Some("garden"), page(Some("usr"), 100)),
        ),
        (
            "listUsers",
            r#"{"text":null,"after":null,"limit":null}"#.to_owned(),
            users(None, page(None, 50)),
        ),
        ("listUsers", r#"{"text":7}"#.to_owned(), Err(BadField(&TEXT))),
        ("listTopics", r#"{"after":{}}"#.to_owned(), Err(BadField(&AFTER))),
        ("listKeys", r#"{"limit":0}"#.to_owned(), Err(BadField(&LIMIT))),
        ("listKeys", r#"{"limit":101}"#.to_owned(), Err(BadField(&LIMIT))),
        ("listKeys", r#"{"limit":"5"}"#.to_owned(), Err(BadField(&LIMIT))),
        ("listKeys", r#"{"limit":-1}"#.to_owned(), Err(BadField(&LIMIT))),
        ("listKeys", r#"{"limit":1}"#.to_owned(), Ok(Asked::ListKeys { stretch: page(None, 1) })),
        ("listMembers", of_topic(""), members(false, page(None, 50))),
        ("listMembers", of_topic(r#","readers":null"#), members(false, page(None, 50))),
        ("listMembers", of_topic(r#","readers":true"#), members(true, page(None, 50))),
        ("listMembers", of_topic(r#","readers":1"#), Err(BadField(&READERS))),
    ] {
        assert_eq!(read(method, &body), expected, "{body}");
    }
}

#[test]
fn a_note_is_one_short_line() {
    let note = |text: &str| read("createKey", &json!({ "note": text }).to_string());
    let long = "ä".repeat(LONGEST_NOTE);
    assert_eq!(read("createKey", "{}"), Ok(Asked::CreateKey { note: String::new() }));
    assert_eq!(note(&long), Ok(Asked::CreateKey { note: long.clone() }));
    assert_eq!(note(&format!("{long}x")), Err(BadField(&NOTE)));
    assert_eq!(note("a\nb"), Err(BadField(&NOTE)));
}

#[test]
fn a_failure_has_a_status_and_a_word() {
    for (error, status, code, args, detail) in [
        (
            Error::NoUser(ann()),
            404,
            "noUser",
            r#"["usrAQAAAAAAAAA"]"#,
            "there is no user usrAQAAAAAAAAA",
        ),
        (
            Error::NoTopic(Key::Own(ann())),
            404,
            "noTopic",
            r#"["slf.usrAQAAAAAAAAA"]"#,
            "there is no topic slf.usrAQAAAAAAAAA",
        ),
        (Error::NoKey("7-1".into()), 404, "noKey", r#"["7-1"]"#, "there is no API key 7-1"),
        (BadField(&LIMIT).into(), 400, "badField", r#"["limit"]"#, "limit is not as it has to be"),
        (Error::Starting, 503, "starting", "[]", "this server is starting"),
        (
            Refusal::from(Code::Unavailable).into(),
            503,
            "unavailable",
            "[]",
            "the store does not answer",
        ),
        (Refusal::from(Code::Internal).into(), 500, "failure", "[]", "internal error"),
    ] {
        let named = Named { name: Error::NAME, code: code.to_owned(), args: args.to_owned() };
        let told = methods::Failure { status, detail: detail.to_owned(), error: Some(named) };
        assert_eq!(methods::Failure::from(error), told);
    }
}

#[test]
fn what_changes_something_is_audited_and_no_key_is_told() {
    let told = |method, body| methods_of::audited::<Asked>(method, body);
    for method in documents::METHODS {
        let is_told = told(method.name, "{}").is_some();
        assert_eq!(is_told, method.effect != Effect::Reads, "{}", method.name);
    }
    let on = told("suspendUser", r#"{"user":"usrAQAAAAAAAAA"}"#).unwrap();
    assert_eq!(on, Audited { user: Some(ANN.to_owned()), ..Audited::default() });
    let on = told("deleteTopic", r#"{"topic":"grpAQAAAAAAAAA"}"#).unwrap();
    let room = Some("grpAQAAAAAAAAA".to_owned());
    assert_eq!(on, Audited { room, ..Audited::default() });
    let key = r#"{"key":"AXARAQABAABISEhISEhISEhISEhISEhI"}"#;
    let asked = vec![("key", r#""70000-1""#.to_owned())];
    assert_eq!(told("revokeKey", key), Some(Audited { asked, ..Audited::default() }));
    let asked = vec![("note", r#""an app""#.to_owned())];
    let expected = Some(Audited { asked, ..Audited::default() });
    assert_eq!(told("createKey", r#"{"note":"an app"}"#), expected);
}
