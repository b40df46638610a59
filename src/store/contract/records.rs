//! Records: written by one, found by what they are found by, and gone in time.
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::RecordsHome;
use crate::domain::{
    access::Rights,
    ids::Uid,
    records::{BadRecord, Collection, Expect, MAX_BODY, MAX_ID, PAGE_BYTES, Put, Record, Records},
    revocation::{self, Revocation},
};

const PEOPLE: Collection = Collection::new("people", &["city", "tags"]);
const OTHERS: Collection = Collection::new("people-s", &["city"]);
const NOBODY: Collection = Collection::new("peopl", &["city"]);

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Somebody who lives there.
fn lives(city: &str) -> Bytes {
    body(&serde_json::json!({ "city": city }).to_string())
}

async fn put(records: &dyn Records, id: &str, body: Bytes, expect: Expect) -> Put {
    records.put(&PEOPLE, id, body, expect, None).await.unwrap()
}

/// The version of what was written.
async fn written(records: &dyn Records, id: &str, body: Bytes, expect: Expect) -> u64 {
    match put(records, id, body, expect).await {
        Put::Done { version } => version,
        other => panic!("{other:?}"),
    }
}

async fn get(records: &dyn Records, id: &str) -> Option<Record> {
    records.get(&PEOPLE, id).await.unwrap()
}

/// The ids of all, by pages of so many.
async fn listed(records: &dyn Records, limit: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = records.list(&PEOPLE, after.as_deref(), limit).await.unwrap();
        assert!(page.records.len() <= limit.max(1));
        ids.extend(page.records.into_iter().map(|record| record.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

/// The ids of those who are found, by pages of so many.
async fn found(records: &dyn Records, index: &str, value: &str, limit: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = records.find(&PEOPLE, index, value, after.as_deref(), limit).await.unwrap();
        ids.extend(page.records.into_iter().map(|record| record.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

pub(crate) async fn a_record_is_read_as_it_was_written(home: &impl RecordsHome) {
    let records = home.open().await;
    assert_eq!(get(&*records, "ann").await, None);
    assert_eq!(listed(&*records, 10).await, [""; 0]);
    let text = " {\"a\" : \"\\u00e9é\\u0000$x\",\n \"b\":1.50, \"$set\":{\"c\":[]}} ";
    let version = written(&*records, "ann", body(text), Expect::New).await;
    let expected = Record { id: "ann".into(), version, body: body(text), expires_at: None };
    assert_eq!(get(&*records, "ann").await, Some(expected.clone()));
    assert_eq!(records.list(&PEOPLE, None, 9).await.unwrap().records, [expected]);
    assert!(version < 1 << 53);
}

pub(crate) async fn only_what_was_expected_is_replaced(home: &impl RecordsHome) {
    let records = home.open().await;
    let nothing = Put::Conflict { version: None };
    assert_eq!(put(&*records, "ann", lives("Rome"), Expect::Version(1)).await, nothing);
    let first = written(&*records, "ann", lives("Rome"), Expect::New).await;
    let there = Put::Conflict { version: Some(first) };
    assert_eq!(put(&*records, "ann", lives("Oslo"), Expect::New).await, there);
    assert_eq!(put(&*records, "ann", lives("Oslo"), Expect::Version(first + 1)).await, there);
    assert_eq!(get(&*records, "ann").await.unwrap().body, lives("Rome"));
    let second = written(&*records, "ann", lives("Oslo"), Expect::Version(first)).await;
    assert_ne!(second, first);
    let there = Put::Conflict { version: Some(second) };
    assert_eq!(put(&*records, "ann", lives("Bonn"), Expect::Version(first)).await, there);
    let third = written(&*records, "ann", lives("Bonn"), Expect::Any).await;
    assert!(third != second && third != first);
    assert_eq!(get(&*records, "ann").await.unwrap().version, third);
    written(&*records, "ben", lives("Bonn"), Expect::Any).await;
}

pub(crate) async fn of_fifty_who_expect_the_same_one_writes(home: &impl RecordsHome) {
    let records = home.open().await;
    let mut expect = Expect::New;
    for round in 0..3 {
        let all = (0..50).map(|i| {
            let records = records.clone();
            async move { put(&*records, "ann", lives(&format!("{round} {i}")), expect).await }
        });
        let mut won = Vec::new();
        for (i, put) in join_all(all).await.into_iter().enumerate() {
            match put {
                Put::Done { version } => won.push((i, version)),
                Put::Conflict { version } => assert!(version.is_some()),
                Put::Invalid(why) => panic!("{why}"),
            }
        }
        let [(winner, version)] = won[..] else { panic!("{won:?}") };
        let record = get(&*records, "ann").await.unwrap();
        assert_eq!((record.version, record.body), (version, lives(&format!("{round} {winner}"))));
        expect = Expect::Version(version);
    }
    // Who expects nothing is never refused.
    let all = (0..50).map(|i| {
        let records = records.clone();
        async move { written(&*records, "ben", lives(&i.to_string()), Expect::Any).await }
    });
    let mut versions = join_all(all).await;
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 50, "each writing has a version of its own");
}

pub(crate) async fn what_is_deleted_is_gone_and_its_version_is_never_used_again(
    home: &impl RecordsHome,
) {
    let records = home.open().await;
    assert!(!records.delete(&PEOPLE, "ann", None).await.unwrap());
    let first = written(&*records, "ann", lives("Rome"), Expect::New).await;
    assert!(!records.delete(&PEOPLE, "ann", Some(first + 1)).await.unwrap());
    assert!(!records.delete(&OTHERS, "ann", None).await.unwrap());
    assert!(get(&*records, "ann").await.is_some());
    assert!(records.delete(&PEOPLE, "ann", Some(first)).await.unwrap());
    assert_eq!(get(&*records, "ann").await, None);
    assert_eq!(found(&*records, "city", "Rome", 10).await, [""; 0]);
    assert_eq!(listed(&*records, 10).await, [""; 0]);
    let second = written(&*records, "ann", lives("Rome"), Expect::New).await;
    assert_ne!(first, second);
    let there = Put::Conflict { version: Some(second) };
    assert_eq!(put(&*records, "ann", lives("Oslo"), Expect::Version(first)).await, there);
    assert!(records.delete(&PEOPLE, "ann", None).await.unwrap());
}

pub(crate) async fn an_index_follows_what_is_written_and_deleted(home: &impl RecordsHome) {
    let records = home.open().await;
    let tagged = |tags: &str| body(&format!("{{\"tags\":{tags},\"city\":\"Rome\"}}"));
    written(&*records, "ann", tagged(r#"["a","b","b",1,"x/y:z"]"#), Expect::New).await;
    written(&*records, "ben", tagged(r#""b""#), Expect::New).await;
    written(&*records, "cat", body("{}"), Expect::New).await;
    let tag = async |value: &str| found(&*records, "tags", value, 10).await;
    assert_eq!(tag("a").await, ["ann"]);
    assert_eq!(tag("b").await, ["ann", "ben"]);
    assert_eq!(tag("1").await, ["ann"]);
    assert_eq!(tag("x/y:z").await, ["ann"]);
    assert_eq!(tag("x/y").await, [""; 0]);
    assert_eq!(tag("").await, [""; 0]);
    assert_eq!(found(&*records, "city", "Rome", 10).await, ["ann", "ben"]);
    written(&*records, "ann", tagged(r#"["c",""]"#), Expect::Any).await;
    assert_eq!(tag("a").await, [""; 0]);
    assert_eq!(tag("b").await, ["ben"]);
    assert_eq!(tag("c").await, ["ann"]);
    assert_eq!(tag("").await, ["ann"]);
    records.delete(&PEOPLE, "ann", None).await.unwrap();
    assert_eq!(tag("c").await, [""; 0]);
    assert_eq!(found(&*records, "city", "Rome", 10).await, ["ben"]);
    assert!(records.find(&PEOPLE, "name", "ann", None, 10).await.is_err(), "it is not declared");
}

pub(crate) async fn collections_are_apart(home: &impl RecordsHome) {
    let records = home.open().await;
    for collection in [&PEOPLE, &OTHERS, &NOBODY] {
        let mine = lives(collection.name());
        let put = records.put(collection, "ann", mine, Expect::New, None).await.unwrap();
        assert!(matches!(put, Put::Done { .. }), "{put:?}");
    }
    for collection in [&PEOPLE, &OTHERS, &NOBODY] {
        let all = records.list(collection, None, 10).await.unwrap().records;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].body, lives(collection.name()));
        let here = records.find(collection, "city", collection.name(), None, 10).await.unwrap();
        assert_eq!(here.records, all);
        assert_eq!(records.find(collection, "city", "x", None, 10).await.unwrap().records, []);
    }
}

pub(crate) async fn pages_are_in_the_order_of_ids_and_stable(home: &impl RecordsHome) {
    let records = home.open().await;
    let ids = ["A", "Z", "a", "a b", "a/b", "a0", "aa", "b", "\u{e9}", "\u{ffff}", "\u{1f600}"];
    for id in ids.iter().rev() {
        written(&*records, id, lives("Rome"), Expect::New).await;
    }
    for limit in [0, 1, 2, 3, 10, 11, 12, 5000] {
        assert_eq!(listed(&*records, limit).await, ids, "{limit}");
        assert_eq!(found(&*records, "city", "Rome", limit).await, ids, "{limit}");
    }
    // Whoever was there all the time is met once.
    let first = records.list(&PEOPLE, None, 4).await.unwrap();
    assert_eq!(first.next.as_deref(), Some("a b"));
    records.delete(&PEOPLE, "a b", None).await.unwrap();
    written(&*records, "B", lives("Rome"), Expect::New).await;
    written(&*records, "a1", lives("Rome"), Expect::New).await;
    let second = records.list(&PEOPLE, first.next.as_deref(), 3).await.unwrap();
    let second: Vec<_> = second.records.into_iter().map(|record| record.id).collect();
    assert_eq!(second, ["a/b", "a0", "a1"]);
    let behind = records.list(&PEOPLE, Some("\u{1f600}"), 3).await.unwrap();
    assert_eq!((behind.records, behind.next), (vec![], None));
}

pub(crate) async fn what_has_expired_is_not_there(home: &impl RecordsHome) {
    let records = home.open().await;
    let now = home.now();
    let until = async |id: &str, expect, at: Option<u64>| {
        records.put(&PEOPLE, id, lives("Rome"), expect, at).await.unwrap()
    };
    let Put::Done { version: first } = until("ann", Expect::New, Some(now + 100)).await else {
        panic!()
    };
    until("ben", Expect::New, Some(now + 5000)).await;
    until("cat", Expect::New, Some(now + 100)).await;
    until("cat", Expect::Any, None).await;
    until("dan", Expect::New, None).await;
    until("dan", Expect::Any, Some(now + 100)).await;
    until("eve", Expect::New, Some(now - 1)).await;
    assert_eq!(listed(&*records, 10).await, ["ann", "ben", "cat", "dan"]);
    assert_eq!(get(&*records, "ann").await.unwrap().expires_at, Some(now + 100));
    home.pass(200).await;
    for limit in [1, 2, 10] {
        assert_eq!(listed(&*records, limit).await, ["ben", "cat"]);
        assert_eq!(found(&*records, "city", "Rome", limit).await, ["ben", "cat"]);
    }
    assert_eq!(get(&*records, "ann").await, None);
    assert!(!records.delete(&PEOPLE, "dan", None).await.unwrap());
    let nothing = Put::Conflict { version: None };
    assert_eq!(until("ann", Expect::Version(first), None).await, nothing);
    let Put::Done { version } = until("ann", Expect::New, None).await else { panic!() };
    assert_ne!(version, first);
    home.pass(10_000).await;
    assert_eq!(listed(&*records, 10).await, ["ann", "cat"]);
}

pub(crate) async fn a_megabyte_is_kept_and_ends_a_page_with_others(home: &impl RecordsHome) {
    let records = home.open().await;
    let large = |i: usize| {
        let rest = MAX_BODY - "{\"city\":\"Rome\",\"a\":\"\"}".len();
        body(&format!("{{\"city\":\"Rome\",\"a\":\"{}\"}}", i.to_string().repeat(rest)))
    };
    for i in 0..6 {
        assert_eq!(large(i).len(), MAX_BODY);
        written(&*records, &i.to_string(), large(i), Expect::New).await;
    }
    assert_eq!(get(&*records, "5").await.unwrap().body, large(5));
    let page = records.list(&PEOPLE, None, 100).await.unwrap();
    assert_eq!(page.records.len(), PAGE_BYTES / MAX_BODY);
    assert_eq!(page.next.as_deref(), Some("3"));
    assert_eq!(listed(&*records, 100).await.len(), 6);
    assert_eq!(found(&*records, "city", "Rome", 100).await.len(), 6);
}

pub(crate) async fn what_is_no_record_changes_nothing(home: &impl RecordsHome) {
    let records = home.open().await;
    let long = "x".repeat(MAX_ID + 1);
    let version = written(&*records, "ann", lives("Rome"), Expect::New).await;
    let large = body(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY)));
    for (id, body, why) in [
        ("", lives("Oslo"), BadRecord::Id),
        (&long, lives("Oslo"), BadRecord::Id),
        ("ann", body("[]"), BadRecord::Form),
        ("ann", large, BadRecord::Size),
        ("ann", lives(&long), BadRecord::Keys),
    ] {
        assert_eq!(put(&*records, id, body, Expect::Any).await, Put::Invalid(why));
    }
    assert_eq!(get(&*records, "ann").await.unwrap().version, version);
    // Nobody has such an id, and whoever asks is told so.
    for id in ["", &long] {
        assert_eq!(get(&*records, id).await, None);
        assert!(!records.delete(&PEOPLE, id, None).await.unwrap());
        assert_eq!(found(&*records, "city", id, 10).await, [""; 0]);
    }
    assert_eq!(listed(&*records, 10).await, ["ann"]);
    // The longest, and odd ones.
    let longest = "é".repeat(MAX_ID / 2);
    for id in [&longest, "a\0b", "$x", ".", "a:b", "\n", "*", "[a]"] {
        let version = written(&*records, id, lives(id), Expect::New).await;
        assert_eq!(get(&*records, id).await.unwrap().version, version);
        assert_eq!(found(&*records, "city", id, 10).await, [id]);
        assert!(records.delete(&PEOPLE, id, Some(version)).await.unwrap(), "{id:?}");
    }
}

pub(crate) async fn records_outlive_a_restart(home: &impl RecordsHome) {
    let records = home.open().await;
    let version = written(&*records, "ann", lives("Rome"), Expect::New).await;
    drop::<Arc<dyn Records>>(records);
    let records = home.open().await;
    assert_eq!(get(&*records, "ann").await.unwrap().version, version);
    assert_eq!(found(&*records, "city", "Rome", 10).await, ["ann"]);
}

pub(crate) async fn a_revocation_is_never_outlived_by_a_token_that_does_not_tell_its_age(
    home: &impl RecordsHome,
) {
    let day = 86_400;
    let records = home.open().await;
    let (ann, ben, cat) = (uid("ann"), uid("ben"), uid("cat"));
    let now = home.now();
    for (uid, issued_before, jti) in [(&ann, Some(now), None), (&ben, None, Some("phone"))] {
        let revocation = Revocation { issued_before, jti };
        revocation::note(&*records, uid, revocation, now, now + day).await.unwrap();
    }
    home.pass(400 * day).await;
    drop::<Arc<dyn Records>>(records);
    let records = home.open().await;
    let token = |issued_at, jti: Option<&str>| Rights {
        issued_at,
        jti: jti.map(Into::into),
        ..Rights::default()
    };
    for (uid, token, expected) in [
        (&ann, token(None, None), true),
        (&ann, token(Some(now - 1), None), true),
        (&ann, token(Some(now), None), false),
        (&ben, token(None, Some("phone")), true),
        (&ben, token(Some(now), Some("phone")), true),
        (&ben, token(Some(now + 2 * day), Some("phone")), false),
        (&ben, token(None, None), false),
        (&cat, token(None, Some("phone")), false),
    ] {
        let revoked = revocation::covers(&*records, uid, &token).await.unwrap();
        assert_eq!(revoked, expected, "{uid}: {token:?}");
    }
}

fn uid(text: &str) -> Uid {
    Uid::text(text).unwrap()
}
