use serde_json::{Value, value::RawValue};

use super::*;
use crate::dialect::tinode::{
    json,
    message::{Message, Meta},
    mode::{Defacs, Level},
};

const THEN: Ts = Ts(5_000);

fn user(n: u64) -> UserId {
    UserId::of_number(n).unwrap()
}

fn raw(text: &str) -> Option<Raw> {
    (!text.is_empty()).then(|| RawValue::from_string(text.to_owned()).unwrap())
}

fn topic(key: Key, public: &str) -> TopicRecord {
    TopicRecord {
        owner: Some(user(1)),
        defacs: Defacs { auth: Mode::GROUP, anon: Mode::NONE },
        public: raw(public),
        ..TopicRecord::new(key, "gabcdefghij".to_owned(), THEN)
    }
}

fn group() -> TopicRecord {
    topic(Key::parse("grpGardenClub_").unwrap(), r#"{"fn":"Garden club"}"#)
}

fn pair() -> TopicRecord {
    topic(Key::pair(user(1), user(2)), "")
}

fn row(t: &TopicRecord, n: u64, acs: &str, private: &str) -> SubRecord {
    let (want, given) = acs.split_once('/').unwrap();
    let mode = |text| Mode::parse(text).unwrap();
    SubRecord {
        topic: t.key,
        user: user(n),
        live: Some(t.key),
        want: mode(want),
        given: mode(given),
        created: THEN,
        updated: THEN,
        deleted: false,
        reader: false,
        private: raw(private),
        del: 0,
        read: 0,
        recv: 0,
    }
}

fn named(n: u64, name: &str) -> User {
    let mut named = User::new(user(n), Level::Auth, THEN);
    named.public = raw(&format!(r#"{{"fn":"{name}"}}"#));
    named
}

fn standing(last: u64, marks: &[(u64, u64, u64)]) -> TopicStanding {
    let marks = marks.iter().map(|(n, read, recv)| (user(*n), Mark::of(*read, *recv)));
    let touched = (last > 0).then_some(THEN);
    TopicStanding { last, touched, marks: marks.collect() }
}

fn told(part: Part<'_>, name: &str) -> Value {
    let mut text = Vec::new();
    json::write(&Message::Meta(Meta { id: "1", topic: "me", part }), THEN, &mut text);
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    value["meta"][name].take()
}

/// JSON with `{ts}` for the time, and `{1}`, `{2}` for users.
fn value(text: &str) -> Value {
    let text = text.replace("{ts}", &THEN.to_string());
    let text = text.replace("{1}", &user(1).to_string()).replace("{2}", &user(2).to_string());
    serde_json::from_str(&text).unwrap()
}

const ALL: &str = "JRWPASDO/JRWPASDO";

#[test]
fn a_topic_looks_to_who_is_attached_as_it_was_recorded() {
    let acs = |want: &str, given: &str, mode: &str| {
        format!(r#""acs":{{"want":"{want}","given":"{given}","mode":"{mode}"}}"#)
    };
    let times = r#""created":"{ts}","updated":"{ts}","touched":"{ts}""#;
    let defacs = r#""defacs":{"auth":"JRWPS","anon":"N"}"#;
    let club = r#""public":{"fn":"Garden club"}"#;
    let (p2p, mine) = (acs("JRWPAD", "JRWPASD", "JRWPAD"), r#""private":{"comment":"mine"}"#);
    let owner = acs("JRWPASDO", "JRWPASDO", "JRWPASDO");
    for (t, acs_of_row, private, standing, ims, expected) in [
        // R:p2p-start#7, R:p2p-start#18, R:delete-soft#18.
        (
            pair(),
            "JRWPAD/JRWPASD",
            "",
            standing(0, &[]),
            None,
            format!(r#"{{{times},{p2p},"public":{{"fn":"Bert"}}}}"#),
        ),
        (
            pair(),
            "JRWPAD/JRWPASD",
            "",
            standing(6, &[(1, 6, 6), (2, 2, 2)]),
            None,
            format!(r#"{{{times},{p2p},"seq":6,"read":6,"recv":6,"public":{{"fn":"Bert"}}}}"#),
        ),
        (
            TopicRecord { del: 2, hard: 0, ..pair() },
            "JRWPAD/JRWPASD",
            "",
            standing(8, &[]),
            None,
            format!(r#"{{{times},{p2p},"seq":8,"clear":2,"public":{{"fn":"Bert"}}}}"#),
        ),
        // R:group-basic#14.
        (
            group(),
            ALL,
            r#"{"comment":"mine"}"#,
            standing(2, &[(1, 1, 1)]),
            None,
            format!(
                r#"{{{times},"online":true,{defacs},{owner},"seq":2,"read":1,"recv":1,"subcnt":2,{club},{mine}}}"#
            ),
        ),
        // S:87: without S no defaults are shown.
        (
            group(),
            "JRW/JRW",
            "",
            standing(0, &[]),
            None,
            format!(r#"{{{times},"online":true,{},"subcnt":2,{club}}}"#, acs("JRW", "JRW", "JRW")),
        ),
        // S:65.
        (
            group(),
            ALL,
            r#"{"comment":"mine"}"#,
            standing(0, &[]),
            Some(THEN),
            format!(
                r#"{{"updated":"{{ts}}","touched":"{{ts}}","online":true,{defacs},{owner},"subcnt":2}}"#
            ),
        ),
        (
            TopicRecord { channel: true, readers: 5, ..group() },
            ALL,
            "",
            standing(0, &[]),
            Some(Ts(4_999)),
            format!(r#"{{{times},"online":true,{defacs},{owner},"subcnt":7,"chan":true,{club}}}"#),
        ),
    ] {
        let row = row(&t, 1, acs_of_row, private);
        let bert = named(2, "Bert");
        let peer = t.key.peer(user(1)).map(|_| &bert);
        let look = Look::new(&t, &row, peer, &standing, 2);
        assert_eq!(told(Part::Desc(&look.desc(ims)), "desc"), value(&expected), "{t:?}");
    }
}

#[test]
fn a_list_of_topics_has_rows_as_they_were_recorded() {
    let acs = r#""acs":{"want":"JRWPAD","given":"JRWPAD","mode":"JRWPAD"}"#;
    let gerd = r#""public":{"fn":"Gerd"}"#;
    for (t, acs_of_row, del, standing, expected) in [
        // R:notes#11, R:delete-soft#19.
        (
            pair(),
            "JRWPAD/JRWPAD",
            0,
            standing(0, &[]),
            format!(r#"{{"topic":"{{1}}","updated":"{{ts}}","touched":"{{ts}}",{acs},{gerd}}}"#),
        ),
        (
            TopicRecord { del: 2, ..pair() },
            "JRWPAD/JRWPAD",
            1,
            standing(8, &[(1, 8, 8)]),
            format!(
                r#"{{"topic":"{{1}}","updated":"{{ts}}","touched":"{{ts}}",{acs},"seq":8,"clear":1,{gerd}}}"#
            ),
        ),
        (
            TopicRecord { del: 3, hard: 3, ..pair() },
            "JRWPAD/JRWPAD",
            1,
            standing(8, &[(2, 3, 5)]),
            format!(
                r#"{{"topic":"{{1}}","updated":"{{ts}}","touched":"{{ts}}",{acs},"seq":8,"read":3,"recv":5,"clear":3,{gerd}}}"#
            ),
        ),
        // S:60: a ban is shown, and nothing else of the topic's life.
        (
            group(),
            "JRWPS/N",
            0,
            standing(8, &[]),
            r#"{"topic":"grpGardenClub_","updated":"{ts}","acs":{"want":"JRWPS","given":"N","mode":"N"},"public":{"fn":"Garden club"}}"#.to_owned(),
        ),
    ] {
        let row = SubRecord { del, ..row(&t, 2, acs_of_row, "") };
        let gerd = named(1, "Gerd");
        let peer = t.key.peer(user(2)).map(|_| &gerd);
        let shown = Look::new(&t, &row, peer, &standing, 2).row(None).unwrap();
        assert_eq!(told(Part::Sub(&[shown]), "sub")[0], value(&expected), "{t:?}");
    }
}

#[test]
fn what_is_older_than_asked_for_is_no_news() {
    let t = pair();
    let (row, mut peer) = (row(&t, 2, "JRWPAD/JRWPAD", ""), named(1, "Gerd"));
    let is_told = |peer: &User, touched: u64, ims: u64| {
        let standing = TopicStanding { last: 2, touched: Some(Ts(touched)), ..standing(0, &[]) };
        Look::new(&t, &row, Some(peer), &standing, 0).row(Some(Ts(ims))).is_some()
    };
    assert!(!is_told(&peer, 5_000, 5_000));
    assert!(is_told(&peer, 5_000, 4_999));
    // R:reattach-with-token#15: a message came.
    assert!(is_told(&peer, 7_000, 6_000));
    peer.updated = Ts(6_500);
    assert!(is_told(&peer, 5_000, 6_000));
}

#[test]
fn members_see_each_others_looks_and_their_own_notes() {
    let t = group();
    let users = HashMap::from([(user(1), named(1, "Mona")), (user(2), named(2, "Nils"))]);
    let (here, marks) = (HashSet::from([user(1)]), HashMap::from([(user(2), Mark::of(2, 3))]));
    let mona = r#"{"updated":"{ts}","online":true,"acs":{"want":"JRWPASDO","given":"JRWPASDO","mode":"JRWPASDO"},"public":{"fn":"Mona"},"private":{"comment":"mine"},"user":"{1}"}"#;
    let nils = r#"{"updated":"{ts}","acs":{"want":"JRWPS","given":"JRWPS","mode":"JRWPS"},"read":2,"recv":3,"public":{"fn":"Nils"},"user":"{2}"}"#;
    for (n, acs, expected) in [(1, ALL, mona), (2, "JRWPS/JRWPS", nils)] {
        let row = row(&t, n, acs, r#"{"comment":"mine"}"#);
        let shown = member(&row, user(1), &users, &here, &marks, None).unwrap();
        assert_eq!(told(Part::Sub(&[shown]), "sub")[0], value(expected));
        assert!(member(&row, user(1), &users, &here, &marks, Some(THEN)).is_none());
    }
}

#[test]
fn as_many_rows_are_told_as_are_asked_for() {
    for (limit, expected) in [(0, 3), (-1, 3), (2, 2), (3, 3), (i64::MAX, 3)] {
        let mut rows = vec![Row::default(), Row::default(), Row::default()];
        limited(&mut rows, limit);
        assert_eq!(rows.len(), expected, "{limit}");
    }
}
