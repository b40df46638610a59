use std::collections::BTreeSet;

use super::*;

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/react-wechat.md"));

#[test]
fn each_method_says_what_it_does_and_is_in_the_document() {
    let names: BTreeSet<&str> = Method::ALL.into_iter().map(Method::name).collect();
    assert_eq!(names.len(), Method::ALL.len());
    for method in Method::ALL {
        assert_eq!(Method::find(method.name()), Some(method));
        let doc = method.document();
        assert!(!doc.summary.ends_with('.'), "{method:?}");
        for sentence in doc.fields.iter().map(|field| field.about).chain([doc.gives]) {
            assert!(sentence.ends_with('.') && !sentence.contains("  "), "{sentence}");
        }
        let row = format!("| `{}` |", doc.name);
        let row = DOCUMENT.lines().find(|line| line.starts_with(&row)).unwrap_or_default();
        for field in doc.fields {
            assert!(row.contains(&format!("`{}`", field.name)), "{}: {}", doc.name, field.name);
        }
    }
    assert_eq!(Method::find("listusers"), None);
}

#[test]
fn readers_may_look_and_do_nothing() {
    let reads = |method: &Method| method.document().effect == Effect::Reads;
    let names: Vec<&str> = Method::ALL.into_iter().filter(reads).map(Method::name).collect();
    assert_eq!(names, ["listUsers", "userState", "listContacts"]);
}

#[test]
fn bodies_are_read_and_refused() {
    let phone = || "138".to_owned();
    let stretch = |after: Option<&str>, limit| Stretch { after: after.map(str::to_owned), limit };
    let users =
        |text: Option<&str>, stretch| Asked::ListUsers { text: text.map(str::to_owned), stretch };
    for (method, body, expected) in [
        (Method::ListUsers, "{}", Ok(users(None, stretch(None, 50)))),
        (Method::ListUsers, r#"{"text":""}"#, Ok(users(None, stretch(None, 50)))),
        (
            Method::ListUsers,
            r#"{"text":"张\u4e09","after":"138","limit":100}"#,
            Ok(users(Some("张三"), stretch(Some("138"), 100))),
        ),
        (
            Method::ListUsers,
            r#"{"text":null,"after":null,"limit":null}"#,
            Ok(users(None, stretch(None, 50))),
        ),
        (Method::ListUsers, r#"{"text":138}"#, Err(Error::BadField(&TEXT))),
        (Method::ListUsers, r#"{"after":{}}"#, Err(Error::BadField(&AFTER))),
        (Method::ListUsers, r#"{"limit":0}"#, Err(Error::BadField(&LIMIT))),
        (Method::ListUsers, r#"{"limit":101}"#, Err(Error::BadField(&LIMIT))),
        (Method::ListUsers, r#"{"limit":"5"}"#, Err(Error::BadField(&LIMIT))),
        (Method::ListUsers, r#"{"limit":-1}"#, Err(Error::BadField(&LIMIT))),
        (Method::UserState, r#"{"phone":"138"}"#, Ok(Asked::UserState { phone: phone() })),
        (Method::UserState, r#"{"phone":null}"#, Err(Error::BadField(&PHONE))),
        (Method::UserState, r#"{"phone":138}"#, Err(Error::BadField(&PHONE))),
        (Method::UserState, r#"{"phone":"\ud800"}"#, Err(Error::BadField(&PHONE))),
        (
            Method::ListContacts,
            r#"{"phone":"138","limit":1}"#,
            Ok(Asked::ListContacts { phone: phone(), stretch: stretch(None, 1) }),
        ),
        (
            Method::RemoveContact,
            r#"{"phone":"138","contact":"139"}"#,
            Ok(Asked::RemoveContact { phone: phone(), contact: "139".to_owned() }),
        ),
        (Method::RemoveContact, r#"{"phone":"138"}"#, Err(Error::BadField(&CONTACT))),
        (Method::RemoveContact, r#"{"contact":"139"}"#, Err(Error::BadField(&PHONE))),
        (Method::RemoveContact, r#"{"phone":"138","contact":139}"#, Err(Error::BadField(&CONTACT))),
        (Method::SignOut, r#"{"phone":"138"}"#, Ok(Asked::SignOut { phone: phone() })),
        (Method::ResetPassword, r#"{"phone":"138"}"#, Ok(Asked::ResetPassword { phone: phone() })),
        (Method::EraseMessages, r#"{"phone":"138"}"#, Ok(Asked::EraseMessages { phone: phone() })),
        (Method::DeleteUser, r#"{"phone":"138"}"#, Ok(Asked::DeleteUser { phone: phone() })),
    ] {
        assert_eq!(Asked::read(method, &Object::parse(body).unwrap()), expected, "{body}");
    }
}

#[test]
fn a_failure_has_a_status_and_a_word() {
    for (error, status, code, args, detail) in [
        (Error::NoUser("1".into()), 404, "noUser", r#"["1"]"#, "nobody has the phone 1"),
        (Error::BadField(&LIMIT), 400, "badField", r#"["limit"]"#, "limit is not as it has to be"),
        (Failure::Busy.into(), 503, "busy", "[]", "too many sign in at the moment"),
        (Failure::Starting.into(), 503, "starting", "[]", "this server is starting"),
        (Failure::Unavailable.into(), 503, "unavailable", "[]", "the store does not answer"),
        (Failure::Internal.into(), 500, "failure", "[]", "this server failed"),
    ] {
        let named = Named { name: NAME, code: code.to_owned(), args: args.to_owned() };
        let told = methods::Failure { status, detail: detail.to_owned(), error: Some(named) };
        assert_eq!(methods::Failure::from(error), told);
    }
}

#[test]
fn what_changes_somebody_is_audited() {
    let body = r#"{"phone":"138"}"#;
    let told = |method| audited(method, &Object::parse(body).unwrap());
    let on = Audited { user: Some("138".to_owned()), room: None, asked: vec![] };
    for method in Method::ALL {
        let expected = (method.effect() != Effect::Reads).then(|| on.clone());
        assert_eq!(told(method), expected, "{method:?}");
    }
    let both = Object::parse(r#"{"phone":"138","contact":"13\u0039"}"#).unwrap();
    let asked = vec![("contact", r#""139""#.to_owned())];
    assert_eq!(audited(Method::RemoveContact, &both), Some(Audited { asked, ..on }));
}
