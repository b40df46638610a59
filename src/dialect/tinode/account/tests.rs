//! What is pure of it. Whole sign-ins are tried with a server.
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{
    change::{redescribe, rename},
    create::describe,
    sign_in::{may_sign_in, subject},
    *,
};
use crate::{
    dialect::tinode::{cabinet::Step, ids::UserId, message::Raw, mode::Level, record::UserState},
    domain::ids::Uid,
};

fn user() -> User {
    User::new(UserId::of_number(1).unwrap(), Level::Anon, Ts(1))
}

fn basic(secret: &str) -> Basic {
    Basic::read(secret.as_bytes()).ok().unwrap()
}

fn code<T>(done: Done<T>) -> Option<Code> {
    done.err().map(|why| why.code)
}

#[test]
fn a_secret_is_a_login_and_a_password() {
    for (secret, login, password) in [
        ("Nora:nora-secret", "nora", "nora-secret"),
        (":nora-newpass", "", "nora-newpass"),
        ("a:b:c", "a", "b:c"),
        ("a:", "a", ""),
    ] {
        let read = basic(secret);
        assert_eq!((&*read.login, &*read.password), (login, password), "{secret}");
    }
    for secret in [&b""[..], b"nocolon", b"\xff:secret"] {
        assert_eq!(code(Basic::read(secret)), Some(Code::Malformed));
    }
}

#[test]
fn logins_and_passwords_have_their_lengths() {
    let long = "x".repeat(33);
    for (login, is_good) in [
        ("abc", false),
        ("abcd", true),
        ("äöüß", true),
        (&long[1..], true),
        (&*long, false),
        ("ab cd", false),
        ("ab\u{a0}cd", false),
        ("abc\n", false),
    ] {
        let done = basic(&format!("{login}:secret")).check_login();
        match done {
            Ok(()) => assert!(is_good, "{login}"),
            Err(why) => {
                assert_eq!((is_good, why.code), (false, Code::Policy), "{login}");
                assert!(why.params.iter().any(|(name, _)| *name == "what"));
            }
        }
    }
    let longest = "x".repeat(LONGEST_PASSWORD);
    for (password, is_good) in
        [("abc", false), ("12345", false), ("123456", true), ("密码密码密码", true)]
    {
        assert_eq!(basic(&format!("a:{password}")).check_password().is_ok(), is_good);
    }
    assert!(basic(&format!("a:{longest}")).check_password().is_ok());
    let why = basic(&format!("a:{longest}x")).check_password().err().unwrap();
    assert_eq!((why.code, why.params.iter().count()), (Code::Policy, 0));
}

#[test]
fn default_access_always_has_approval_unless_it_is_none() {
    let old = Defacs { auth: Mode::USER, anon: Mode::NONE };
    for (auth, anon, expected) in [
        ("", "", Some(("JRWPASD", "N"))),
        ("JRWP", "N", Some(("JRWPA", "N"))),
        ("JRWP", "JR", Some(("JRWPA", "JRA"))),
        ("N", "", Some(("N", "N"))),
        ("JRWPASDO", "O", Some(("JRWPASD", "N"))),
        ("X", "", None),
        ("", "JX", None),
    ] {
        let given = ChangeDesc { auth: auth.into(), anon: anon.into(), ..ChangeDesc::default() };
        let read = defacs(&given, old).ok();
        let read = read.map(|read| (read.auth.to_string(), read.anon.to_string()));
        let expected = expected.map(|(auth, anon)| (auth.to_owned(), anon.to_owned()));
        assert_eq!(read, expected, "{auth} {anon}");
    }
}

#[test]
fn what_is_trusted_is_said_by_administrators_alone() {
    let raw: Raw = serde_json::from_str(r#"{"verified":true}"#).unwrap();
    let desc = ChangeDesc { trusted: Some(&raw), ..ChangeDesc::default() };
    let mut ann = user();
    assert_eq!(code(describe(&mut ann, &desc, false, 1000)), Some(Code::Denied));
    assert!(describe(&mut ann, &desc, true, 1000).is_ok() && ann.trusted.is_some());
}

#[test]
fn a_user_is_renamed_with_its_tag() {
    let mut ann = user();
    ann.tags = vec!["roses".into()];
    assert!(matches!(rename(&mut ann, "anna", Ts(2)), Step::Write(None)));
    assert_eq!(
        (&ann.tags[..], ann.level),
        (&["roses".into(), "basic:anna".into()][..], Level::Auth)
    );
    assert!(matches!(rename(&mut ann, "anna", Ts(3)), Step::Keep(None)));
    let Step::Write(Some(before)) = rename(&mut ann, "anne", Ts(4)) else {
        panic!("it had another login");
    };
    assert_eq!((&*before, &*ann.tags[1], ann.tags.len()), ("anna", "basic:anne", 2));
}

#[test]
fn own_tags_and_default_access_are_changed_together_or_not_at_all() {
    let mut ann = user();
    ann.tags = vec!["basic:anna".into()];
    let none = ChangeDesc::default();
    let change = |user: &mut User, tags: &[&str], desc: &ChangeDesc<'_>| {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        redescribe(user, Some(&tags), desc, Ts(9))
    };
    assert!(matches!(change(&mut ann, &["basic:anna"], &none), Ok(Step::Keep(()))));
    let why = change(&mut ann, &["roses"], &none).err().unwrap();
    assert_eq!((why.code, why.params.iter().count()), (Code::Denied, 1));
    let desc = ChangeDesc { auth: "JR".into(), ..ChangeDesc::default() };
    assert!(matches!(change(&mut ann, &["basic:anna", "roses"], &desc), Ok(Step::Write(()))));
    assert_eq!(
        (ann.tags.len(), ann.defacs.auth.to_string(), ann.updated),
        (2, "JRA".into(), Ts(9))
    );
}

#[test]
fn who_is_suspended_or_deleted_can_t_sign_in() {
    for (state, expected) in [
        (UserState::Ok, None),
        (UserState::Suspended, Some(Code::Denied)),
        (UserState::Ending, Some(Code::UserNotFound)),
    ] {
        assert_eq!(code(may_sign_in(&User { state, ..user() })), expected);
    }
}

#[test]
fn a_json_web_token_names_its_user() {
    let token = |payload: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload));
    for (token, expected) in [
        (token(r#"{"exp":1,"sub":"ann"}"#), Some("ann")),
        (token(r#"{"sub":7}"#), None),
        (token(r#"{"sub":""}"#), None),
        (token("{}"), None),
        ("h.!.s".to_owned(), None),
        ("h".to_owned(), None),
    ] {
        assert_eq!(subject(&token).as_ref().map(Uid::as_str), expected, "{token}");
    }
}
