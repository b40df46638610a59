use super::*;
use crate::domain::methods::{self, Named, table::tests as methods_of};

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/react-wechat.md"));

#[test]
fn each_method_says_what_it_does_and_is_in_the_document() {
    methods_of::are_documented::<Asked>(DOCUMENT);
}

#[test]
fn readers_may_look_and_do_nothing() {
    assert_eq!(methods_of::reading::<Asked>(), ["listUsers", "userState", "listContacts"]);
}

#[test]
fn bodies_are_read_and_refused() {
    let phone = || "138".to_owned();
    let stretch = |after: Option<&str>, limit| Stretch { after: after.map(str::to_owned), limit };
    let users =
        |text: Option<&str>, stretch| Asked::ListUsers { text: text.map(str::to_owned), stretch };
    for (method, body, expected) in [
        ("listUsers", "{}", Ok(users(None, stretch(None, 50)))),
        ("listUsers", r#"{"text":""}"#, Ok(users(None, stretch(None, 50)))),
        (
            "listUsers",
            r#"{"text":"张\u4e09","after":"138","limit":100}"#,
            Ok(users(Some("张三"), stretch(Some("138"), 100))),
        ),
        (
            "listUsers",
            r#"{"text":null,"after":null,"limit":null}"#,
            Ok(users(None, stretch(None, 50))),
        ),
        ("listUsers", r#"{"text":138}"#, Err(BadField(&TEXT))),
        ("listUsers", r#"{"after":{}}"#, Err(BadField(&AFTER))),
        ("listUsers", r#"{"limit":0}"#, Err(BadField(&LIMIT))),
        ("listUsers", r#"{"limit":101}"#, Err(BadField(&LIMIT))),
        ("listUsers", r#"{"limit":"5"}"#, Err(BadField(&LIMIT))),
        ("listUsers", r#"{"limit":-1}"#, Err(BadField(&LIMIT))),
        ("userState", r#"{"phone":"138"}"#, Ok(Asked::UserState { phone: phone() })),
        ("userState", r#"{"phone":null}"#, Err(BadField(&PHONE))),
        ("userState", r#"{"phone":138}"#, Err(BadField(&PHONE))),
        ("userState", r#"{"phone":"\ud800"}"#, Err(BadField(&PHONE))),
        (
            "listContacts",
            r#"{"phone":"138","limit":1}"#,
            Ok(Asked::ListContacts { phone: phone(), stretch: stretch(None, 1) }),
        ),
        (
            "removeContact",
            r#"{"phone":"138","contact":"139"}"#,
            Ok(Asked::RemoveContact { phone: phone(), contact: "139".to_owned() }),
        ),
        ("removeContact", r#"{"phone":"138"}"#, Err(BadField(&CONTACT))),
        ("removeContact", r#"{"contact":"139"}"#, Err(BadField(&PHONE))),
        ("removeContact", r#"{"phone":"138","contact":139}"#, Err(BadField(&CONTACT))),
        ("signOut", r#"{"phone":"138"}"#, Ok(Asked::SignOut { phone: phone() })),
        ("resetPassword", r#"{"phone":"138"}"#, Ok(Asked::ResetPassword { phone: phone() })),
        ("eraseMessages", r#"{"phone":"138"}"#, Ok(Asked::EraseMessages { phone: phone() })),
        ("deleteUser", r#"{"phone":"138"}"#, Ok(Asked::DeleteUser { phone: phone() })),
    ] {
        assert_eq!(methods_of::read(method, body), expected, "{body}");
    }
}

#[test]
fn a_failure_has_a_status_and_a_word() {
    for (error, status, code, args, detail) in [
        (Error::NoUser("1".into()), 404, "noUser", r#"["1"]"#, "nobody has the phone 1"),
        (BadField(&LIMIT).into(), 400, "badField", r#"["limit"]"#, "limit is not as it has to be"),
        (Failure::Busy.into(), 503, "busy", "[]", "too many sign in at the moment"),
        (Failure::Starting.into(), 503, "starting", "[]", "this server is starting"),
        (Failure::Unavailable.into(), 503, "unavailable", "[]", "the store does not answer"),
        (Failure::Internal.into(), 500, "failure", "[]", "this server failed"),
    ] {
        let named = Named { name: Error::NAME, code: code.to_owned(), args: args.to_owned() };
        let told = methods::Failure { status, detail: detail.to_owned(), error: Some(named) };
        assert_eq!(methods::Failure::from(error), told);
    }
}

#[test]
fn what_changes_somebody_is_audited() {
    let told = |method, body| methods_of::audited::<Asked>(method, body);
    let on = Audited { user: Some("138".to_owned()), room: None, asked: vec![] };
    for method in METHODS {
        let expected = (method.effect != Effect::Reads).then(|| on.clone());
        assert_eq!(told(method.name, r#"{"phone":"138"}"#), expected, "{}", method.name);
    }
    let both = r#"{"phone":"138","contact":"13\u0039"}"#;
    let asked = vec![("contact", r#""139""#.to_owned())];
    assert_eq!(told("removeContact", both), Some(Audited { asked, ..on }));
}
