//! What is written is read, by builds of all ages.
use super::*;
use crate::domain::{
    broker::{Entry, Position},
    message::Message,
};

fn message(kind: Kind, body: &'static str) -> Entry {
    Entry::Message {
        from: Some(ConnectionId(7)),
        audience: Audience::ExceptConnection(ConnectionId(7)),
        message: Message {
            kind,
            body: Bytes::from_static(body.as_bytes()),
            key: None,
            may_pass: true,
        },
        receipt: None,
    }
}

fn sent(entries: &[Entry], node: &str) -> Bytes {
    let batch = Batch::encode(entries);
    let header = format!("1700000000000000 4 5 {} {node} 3 40\n{}\n", entries.len(), batch.meta);
    Bytes::from([header.as_bytes(), &batch.parts.concat()].concat())
}

fn at(n: u64, index: Option<u64>) -> Position {
    Position { n, index, at_ms: 0, epoch: None }
}

#[test]
fn inserts_come_in_with_their_indexes_where_the_sender_has_told_one() {
    let entries = [Kind::Ignore, Kind::Insert, Kind::Update { id: "x".into() }, Kind::Insert];
    let entries = entries.map(|kind| message(kind, "1"));
    let indexes = |text: Bytes| {
        let told = Told::decode(text, "us").unwrap();
        told.publications.iter().map(|publication| publication.index).collect::<Vec<_>>()
    };
    assert_eq!(indexes(sent(&entries, "them")), [None, Some(40), None, Some(41)]);
    let told = |head: &str| {
        let batch = Batch::encode(&entries);
        let head = format!("{head}\n{}\n", batch.meta);
        Bytes::from([head.as_bytes(), &batch.parts.concat()].concat())
    };
    for head in ["9 4 5 4 them", "9 4 5 4 them 3", "9 4 5 4 them 3 -", "9 4 5 4 us 3 x 40"] {
        assert_eq!(indexes(told(head)), [None; 4], "{head}");
    }
    assert_eq!(indexes(told("9 4 5 4 us 3 0 later")), [None, Some(0), None, Some(1)]);
}

#[test]
fn what_is_sent_is_what_comes_in() {
    let entries = [
        message(Kind::Insert, r#"{"a":"é"}"#),
        message(Kind::Update { id: "i;d,\n".into() }, "{}"),
        message(Kind::Ignore, ""),
        Entry::Synced { by: ConnectionId(8), uid: Uid::text("a\"b").unwrap() },
        Entry::Synced { by: ConnectionId(8), uid: Uid::number("1000").unwrap() },
        Entry::System { content: Bytes::from_static(b"[1]") },
        Entry::Message {
            from: None,
            audience: Audience::All,
            message: Message {
                kind: Kind::Insert,
                body: Bytes::from_static(b"2"),
                key: Some("k,1;\n".into()),
                may_pass: true,
            },
            receipt: None,
        },
    ];
    for (node, ours) in [("us", true), ("them", false)] {
        let told = Told::decode(sent(&entries, node), "us").unwrap();
        let epoch = Epoch { name: 1_700_000_000_000_000, base: 4, from: 3 };
        let direct = Batch::told(&entries, epoch, &at(5, Some(40)));
        assert_eq!((told.epoch, told.first, told.last()), (direct.epoch, 5, 11));
        for (a, b) in told.publications.iter().zip(&direct.publications) {
            assert_eq!((a.n, format!("{:?}", a.event)), (b.n, format!("{:?}", b.event)));
            assert_eq!(a.index, b.index);
            let heard = if ours { b.audience.clone() } else { Audience::All };
            assert_eq!(a.audience, heard, "connections of others are nobody here");
        }
    }
}

#[test]
fn what_nobody_is_told_has_a_place() {
    let told =
        Told::decode(Bytes::from_static(b"9 4 5 3 us 3\nj7,0,3;q-,0,0;d7,0,3\n\"a\"\"a\""), "us")
            .unwrap();
    assert_eq!(
        (told.publications.iter().map(|p| p.n).collect::<Vec<_>>(), told.last()),
        (vec![5, 7], 7)
    );
}

fn audiences(text: &'static [u8]) -> Vec<Audience> {
    let told = Told::decode(Bytes::from_static(text), "us").unwrap();
    told.publications.into_iter().map(|publication| publication.audience).collect()
}

#[test]
fn what_is_missing_has_the_meaning_that_it_had() {
    let except = |id| Audience::ExceptConnection(ConnectionId(id));
    let user = Audience::ExceptUser(Uid::number("1").unwrap());
    let text = b"9 4 5 6 us 3\ni7,0,1;s7,0,1;u7,1,1;g7,0,1;y-,0,1;j7,0,1\n11x11111";
    assert_eq!(audiences(text), [except(7), except(7), except(7), except(7), Audience::All, user]);
    assert_eq!(audiences(b"9 4 5 1 them\ni7,0,1\n1"), [Audience::All]);
}

#[test]
fn what_a_later_build_adds_is_ignored() {
    let text =
        b"9 4 5 4 us 3 new words\ni7,3,1,zebra;i7,0,1,a,;q-,0,2,z,9;q-,0,1,r,z\nkey11zzk more";
    assert_eq!(
        audiences(text),
        [Audience::ExceptConnection(ConnectionId(7)), Audience::All, Audience::All]
    );
    let told = Told::decode(Bytes::from_static(text), "us").unwrap();
    let Event::Recalled { key } = &told.publications[2].event else { panic!("{told:?}") };
    assert_eq!((&**key, told.last(), told.invalidates), ("k", 8, false));
    let over = Told::decode(Bytes::from_static(b"9 4 5 1 us 3\nq-,0,0,v\n"), "us").unwrap();
    assert!(over.invalidates && over.publications.is_empty());
}

#[test]
fn presence_is_told_with_connections_and_what_an_earlier_build_sends_is_the_usual() {
    let text = b"9 4 5 8 us 3\nj7,0,1;j7,0,1,n2;l7,0,1,n1;l7,0,1;d-,0,1;d-,0,1,z,n3;d-,0,1,k;q-,0,1,k\n11111111";
    let told = Told::decode(Bytes::from_static(text), "us").unwrap();
    let uid = || Uid::number("1").unwrap();
    let expected = [
        Event::Joined { uid: uid(), connections: 1 },
        Event::Joined { uid: uid(), connections: 2 },
        Event::Left { uid: uid(), connections: 1 },
        Event::Left { uid: uid(), connections: 0 },
        Event::Gone { uid: uid(), connections: 0 },
        Event::Gone { uid: uid(), connections: 3 },
        Event::Removed { uid: uid(), seen: true },
        Event::Removed { uid: uid(), seen: false },
    ];
    let shown = |event: &Event| format!("{event:?}");
    assert_eq!(
        told.publications.iter().map(|p| shown(&p.event)).collect::<Vec<_>>(),
        expected.iter().map(shown).collect::<Vec<_>>()
    );
    let except = Audience::ExceptUser(uid());
    assert!(told.publications.iter().all(|p| p.audience == except), "{told:?}");
}

/// As a build reads it that knows of no more than letters, connections and lengths.
#[test]
fn an_earlier_build_reads_what_is_sent() {
    let entry = |from: Option<u64>, audience, key: Option<&str>| Entry::Message {
        from: from.map(ConnectionId),
        audience,
        message: Message {
            kind: Kind::Insert,
            body: "12".into(),
            key: key.map(Into::into),
            may_pass: true,
        },
        receipt: None,
    };
    let user = Audience::ExceptUser(Uid::text("ann;,\"é").unwrap());
    let other = Audience::ExceptConnection(ConnectionId(8));
    let entries = [
        entry(Some(7), Audience::All, Some("k")),
        entry(Some(7), user, None),
        entry(None, other, Some("")),
        message(Kind::Insert, "12"),
    ];
    let batch = Batch::encode(&entries);
    let mut left = batch.parts.concat().len();
    for (one, from) in batch.meta.split(';').zip(["7", "7", "-", "7"]) {
        let mut words = one.strip_prefix('i').unwrap().split(',');
        assert_eq!(words.next(), Some(from));
        let lengths = [words.next(), words.next()].map(|w| w.unwrap().parse::<usize>().unwrap());
        assert_eq!(lengths[1], 2);
        left -= lengths[0] + lengths[1];
        // The scripts take these letters with digits and a comma for connections.
        assert!(words.all(|word| !word.starts_with(['i', 'u', 'g'])), "{one}");
    }
    assert_eq!(left, 0);
}

#[test]
fn what_others_write_there_is_not_read() {
    let good = sent(&[message(Kind::Insert, "{}")], "us");
    for cut in 0..good.len() {
        assert!(Told::decode(good.slice(..cut), "us").is_none(), "{cut}");
    }
    for bad in [
        "",
        "\n\n",
        "1 2 3 4 us 0\n\n",
        "1 2 3 1 us 0\nx1,0,0\n",
        "1 2 3 1 us 0\ni1,0,99\n{}",
        "1 2 3 1 us 0\nj1,0,2\n\"\"",
        "1 2 3 1\ni1,0,0\n",
        "1 2 3 1 us us\ni1,0,0\n",
    ] {
        assert!(Told::decode(Bytes::from_static(bad.as_bytes()), "us").is_none(), "{bad}");
    }
}
