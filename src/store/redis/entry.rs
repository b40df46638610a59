//! Entries: `{"data":<message>,"ts":<unix seconds>}`; updates that we wrote have `n` as well, which
//! grows with each writing. Inserts that we wrote into rooms that the original can't name have `ms`,
//! the time in milliseconds. A recalled insert has its message in `recalled`, not in `data`: whoever
//! does not know of that can't read it.
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::{broker::Stored, ids::RoomId};

#[derive(Deserialize)]
struct Wire<'a> {
    // Null is nothing here: a message is never null.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    ms: Option<&'a RawValue>,
    #[serde(borrow)]
    recalled: Option<&'a RawValue>,
}

pub(super) struct Entry {
    pub(super) stored: Stored,
    /// 0 where there is none.
    pub(super) n: u64,
}

impl Entry {
    /// What can't be read has no body, but is an entry: it has a place in the log.
    pub(super) fn read(text: &Bytes) -> Self {
        let Ok(wire) = serde_json::from_slice::<Wire>(text) else {
            let stored = Stored { body: None, at_ms: 0, recalled: false, n: None };
            return Entry { stored, n: 0 };
        };
        let recalled = wire.recalled.is_some();
        let body = wire.data.filter(|_| !recalled);
        let body = body.map(|data| as_stored(text, b"{\"data\":", data));
        let at_ms = match number(wire.ms) {
            0 => number(wire.ts).saturating_mul(1000),
            ms => ms,
        };
        let n = number(wire.n);
        Entry { stored: Stored { body, at_ms, recalled, n: Some(n).filter(|n| *n > 0) }, n }
    }

    /// The message, also where it was recalled.
    pub(super) fn message(text: &Bytes) -> Option<Bytes> {
        let wire = serde_json::from_slice::<Wire>(text).ok()?;
        let data = wire.data.map(|data| as_stored(text, b"{\"data\":", data));
        data.or_else(|| wire.recalled.map(|data| as_stored(text, b"{\"recalled\":", data)))
    }
}

/// The message with the whitespace around it, which is the sender's where the entry has our form.
fn as_stored(text: &Bytes, opening: &[u8], message: &RawValue) -> Bytes {
    const CLOSING: &[u8] = b",\"ts\":";
    let bare = message.get().as_bytes();
    let end = text.windows(CLOSING.len()).rposition(|part| part == CLOSING);
    let whole = end.and_then(|end| text.get(opening.len()..end));
    match whole {
        Some(whole) if text.starts_with(opening) && std::ptr::eq(trimmed(whole), bare) => {
            text.slice_ref(whole)
        }
        _ => text.slice_ref(bare),
    }
}

/// Without what JSON takes for whitespace.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..]
    | [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = text
    {
        text = rest;
    }
    text
}

/// Puts updates into the order of their last writing. Among ours that is the order of their
/// numbers, whatever clocks said meanwhile. The original's have none: they come by their time,
/// before ours of the same second; after a clock was put back, one of ours is as late as the latest
/// before it.
pub(super) fn in_order<T>(updates: Vec<T>, entry: impl Fn(&T) -> &Entry) -> Vec<T> {
    let mut updates = updates;
    updates.sort_by_key(|update| entry(update).n);
    let mut latest = 0;
    let placed = updates.into_iter().map(|update| {
        let Entry { n, stored } = entry(&update);
        let unix = stored.at_ms / 1000;
        let time = if *n == 0 { unix } else { latest.max(unix) };
        latest = if *n == 0 { latest } else { time };
        ((time, *n), update)
    });
    let mut placed: Vec<_> = placed.collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, update)| update).collect()
}

/// A number, its fraction cut off; 0 where there is none.
fn number(value: Option<&RawValue>) -> u64 {
    let Some(value) = value else { return 0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // it saturates, which is what is wanted
    let rounded = |text: &str| text.parse::<f64>().map_or(0, |n| n as u64);
    value.get().parse().unwrap_or_else(|_| rounded(value.get()))
}

/// The text of an update. One that could not be read keeps its place and time, with null for a
/// message.
pub(super) fn update(entry: &Stored, n: u64) -> Vec<u8> {
    write(entry, &format!(",\"n\":{n}"))
}

/// The text of an insert. What could not be read, or was recalled, keeps its place and time.
pub(super) fn insert(room: &RoomId, entry: &Stored) -> Vec<u8> {
    if room.is_shared() {
        write(entry, "")
    } else {
        write(entry, &format!(",\"ms\":{}", entry.at_ms))
    }
}

fn write(entry: &Stored, more: &str) -> Vec<u8> {
    let (name, nothing): (&[u8], &[u8]) =
        if entry.recalled { (b"{\"recalled\":", b"true") } else { (b"{\"data\":", b"null") };
    let body = entry.body.as_deref().unwrap_or(nothing);
    [name, body, format!(",\"ts\":{}{more}}}", entry.at_ms / 1000).as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Space;

    fn read(text: &'static str) -> (Option<String>, u64, u64) {
        let entry = Entry::read(&Bytes::from(text));
        (
            entry.stored.body.map(|b| String::from_utf8(b.to_vec()).unwrap()),
            entry.stored.at_ms / 1000,
            entry.n,
        )
    }

    #[test]
    fn entries_are_read_as_written_by_whomever() {
        let body = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(r#"{"data":{"a" : 1},"ts":1700000000}"#),
            (body(r#"{"a" : 1}"#), 1_700_000_000, 0)
        );
        assert_eq!(
            read(r#"{"x":[],"n":7,"ts":1.7e9,"data":"é"}"#),
            (body("\"é\""), 1_700_000_000, 7)
        );
        // Whitespace around the message is the sender's where the rest is as we write it.
        assert_eq!(read("{\"data\": \t1\r\n ,\"ts\":5,\"n\":2}"), (body(" \t1\r\n "), 5, 2));
        assert_eq!(
            read(r#"{"data": {"a":[1,"ts"]} ,"ts":5}"#),
            (body(r#" {"a":[1,"ts"]} "#), 5, 0)
        );
        assert_eq!(read(r#"{"data": 1 ,"x":0,"ts":5}"#), (body("1"), 5, 0));
        assert_eq!(read(r#"{"data": 1, "ts": 5}"#), (body("1"), 5, 0));
        assert_eq!(read(r#"{ "data":1 ,"ts":5}"#), (body("1"), 5, 0));
        assert_eq!(read(r#"{"data":1,"x":{"a":1,"ts":5}}"#), (body("1"), 0, 0));
        assert_eq!(read(r#"{"data":{},"ts":"soon"}"#), (body("{}"), 0, 0));
        assert_eq!(read(r#"{"data":null,"ts":5}"#), (None, 5, 0));
        assert_eq!(read(r#"{"ts":-5}"#), (None, 0, 0));
        assert_eq!(read("no json"), (None, 0, 0));
        assert_eq!(read("[1]"), (None, 0, 0));
    }

    #[test]
    fn updates_come_in_the_order_of_their_last_writing() {
        let entry = |n, unix: u64| Entry {
            stored: Stored { body: None, at_ms: unix * 1000, recalled: false, n: None },
            n,
        };
        for (given, ordered) in [
            // (n, unix): n counts, also when the clock was put back.
            (vec![(3, 90), (1, 100), (2, 101)], vec![(1, 100), (2, 101), (3, 90)]),
            (vec![(1, 50), (2, 40), (3, 30)], vec![(1, 50), (2, 40), (3, 30)]),
            // The original's are where their time is, also when it came back in between.
            (
                vec![(1, 100), (2, 200), (0, 100), (0, 150), (0, 300)],
                vec![(0, 100), (1, 100), (0, 150), (2, 200), (0, 300)],
            ),
            (
                vec![(2, 90), (0, 95), (1, 100), (0, 101)],
                vec![(0, 95), (1, 100), (2, 90), (0, 101)],
            ),
        ] {
            let entries: Vec<_> = given.iter().map(|(n, unix)| entry(*n, *unix)).collect();
            let found: Vec<_> =
                in_order(entries, |e| e).iter().map(|e| (e.n, e.stored.at_ms / 1000)).collect();
            assert_eq!(found, ordered, "{given:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (shared, ours) =
            (RoomId::new("r").unwrap(), RoomId::within(Space::User, "ann").unwrap());
        for body in [None, Some(Bytes::from_static(b"{\"a\":\"\\u0000\"}"))] {
            let entry = Stored { body, at_ms: 1_700_000_001_234, recalled: false, n: None };
            let seconds = Stored { at_ms: 1_700_000_001_000, ..entry.clone() };
            let back = Entry::read(&update(&entry, 3).into());
            assert_eq!((back.stored, back.n), (Stored { n: Some(3), ..seconds.clone() }, 3));
            assert_eq!(Entry::read(&insert(&shared, &entry).into()).stored, seconds);
            assert_eq!(Entry::read(&insert(&ours, &entry).into()).stored, entry);
        }
        let recalled = Stored { body: None, at_ms: 5000, recalled: true, n: None };
        assert_eq!(Entry::read(&insert(&shared, &recalled).into()).stored, recalled);
        let whole = Stored { body: Some("1".into()), ..recalled };
        let text = Bytes::from(insert(&shared, &whole));
        assert_eq!((Entry::read(&text).stored.body, Entry::message(&text)), (None, whole.body));
    }

    #[test]
    fn a_recalled_insert_has_a_message_only_for_who_recalls_it() {
        let text = Bytes::from_static(br#"{"recalled":{"a":1},"ts":5}"#);
        let stored = Entry::read(&text).stored;
        assert_eq!(stored, Stored { body: None, at_ms: 5000, recalled: true, n: None });
        assert_eq!(Entry::message(&text).unwrap(), r#"{"a":1}"#);
        let message = |text| Entry::message(&Bytes::from_static(text)).unwrap();
        assert_eq!(message(br#"{"data":2,"ts":5}"#), "2");
        assert_eq!(message(br#"{"recalled": 2 ,"ts":5}"#), " 2 ");
    }
}
