use super::*;

fn raw(text: &str) -> Raw {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn me() -> UserId {
    UserId::of_number(11).unwrap()
}

#[test]
fn what_is_asked_has_a_name_for_who_is_not_attached() {
    use Unattached::{SetMode, SetPrivate, SetRest};
    let (value, other) = (raw("1"), UserId::of_number(12).unwrap().to_string());
    let own = me().to_string();
    let of_sub = |user: &str| Change {
        sub: Some(ChangeSub { user: user.to_owned().into(), mode: "JR".into() }),
        ..Change::default()
    };
    let of_desc = |desc| Change { desc, ..Change::default() };
    for (change, expected) in [
        (Change::default(), vec![]),
        (of_desc(ChangeDesc { private: Some(&value), ..ChangeDesc::default() }), vec![SetPrivate]),
        (of_desc(ChangeDesc { public: Some(&value), ..ChangeDesc::default() }), vec![SetRest]),
        (of_desc(ChangeDesc { auth: "N".into(), ..ChangeDesc::default() }), vec![SetRest]),
        (of_sub(""), vec![SetMode]),
        (of_sub(&own), vec![SetMode]),
        (of_sub(&other), vec![SetRest]),
        (of_sub("no user"), vec![SetRest]),
        (Change { tags: Some(Vec::new()), ..Change::default() }, vec![SetRest]),
        (Change { aux: Some(&value), ..of_sub("") }, vec![SetMode, SetRest]),
    ] {
        assert_eq!(asked(&change, me()), expected, "{change:?}");
    }
}

#[test]
fn defaults_are_no_owners_and_those_of_users_may_ask() {
    // R:me#21, R:me#22.
    for (auth, anon, approve, expected) in [
        ("JRWP", "JR", true, Some("JRWPA JRA")),
        ("JRWP", "JR", false, Some("JRWP JR")),
        ("N", "", true, Some("N N")),
        ("JRWPASDO", "", false, Some("JRWPASD N")),
        ("-S", "+JR", false, Some("JRWP JR")),
        ("JRWPS", "N", false, Some("same")),
        ("", "", true, Some("same")),
        ("JRX", "", false, None),
    ] {
        let mut defacs = Defacs { auth: Mode::GROUP, anon: Mode::NONE };
        let desc = ChangeDesc { auth: auth.into(), anon: anon.into(), ..ChangeDesc::default() };
        let told = match put_defacs(&mut defacs, &desc, approve) {
            Ok(true) => Some(format!("{} {}", defacs.auth, defacs.anon)),
            Ok(false) => Some("same".to_owned()),
            Err(_) => None,
        };
        assert_eq!(told.as_deref(), expected, "{auth} {anon} {approve}");
    }
}

#[test]
fn notes_of_a_topic_are_merged_by_their_names() {
    let shown = |aux: &BTreeMap<String, Raw>| {
        let notes = aux.iter().map(|(name, raw)| format!("{name}={}", raw.get()));
        notes.collect::<Vec<_>>().join(" ")
    };
    for (new, expected) in [
        (r#"{"b":2}"#, Some("a={\"x\":1} b=2")),
        (r#"{"a":"␡"}"#, Some("")),
        (r#"{"a":7,"c":"␡"}"#, Some("a=7")),
        (r#""␡""#, Some("")),
        ("{}", Some("same")),
        (r#"{"a":{"x":1}}"#, Some("same")),
        ("[1]", None),
        (r#""text""#, None),
        (r#"{"b":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#, None),
    ] {
        let mut aux = BTreeMap::from([("a".to_owned(), raw(r#"{"x":1}"#))]);
        let told = match put_aux(&mut aux, &raw(new), 60) {
            Ok(true) => Some(shown(&aux)),
            Ok(false) => Some("same".to_owned()),
            Err(_) => None,
        };
        assert_eq!(told.as_deref(), expected, "{new}");
    }
}

#[test]
fn several_parts_have_one_answer() {
    let params = |name| Some(Params::what(name));
    for (outcome, expected) in [
        (Outcome::default(), (Code::NotModified, Params::default())),
        (Outcome { changed: true, ..Outcome::default() }, (Code::Ok, Params::default())),
        (
            Outcome { changed: true, sub: params("sub"), tags: params("tags") },
            (Code::Ok, Params::what("sub")),
        ),
        (Outcome { tags: params("tags"), ..Outcome::default() }, (Code::Ok, Params::what("tags"))),
    ] {
        assert_eq!(outcome.answer(), expected);
    }
}
