//! Publications as they travel between nodes, and as the replay list keeps them.
//!
//! ```text
//! EPOCH BASE FIRST COUNT NODE FROM\n  written by the script
//! KCONNECTION,IDBYTES,BYTES,MORE;…\n  one per publication: a letter, who caused it (`-`: nobody), lengths, more
//! ID BODY ID BODY …                   without anything between them
//! ```
//!
//! The letter `q` has a place in the order and nothing to tell. The id of an insert is its key.
//!
//! Nodes of the builds before and after this one may be on the same Redis. So who reads ignores
//! words at the end of a line that it does not know, and what is missing there has the meaning that
//! it had before there was such a word. A letter that a build does not know makes the whole
//! unreadable to it: news that earlier builds can do without are told as `q`, and MORE says what.
//! The words in MORE, between commas; none of them begins with `i`, `u` or `g`, as the scripts look
//! for connections behind these letters:
//!
//! | word | meaning |
//! |---|---|
//! | none | a message is for all but the connection that caused it |
//! | `a` | it is for all |
//! | `oCONNECTION` | it is for all but this connection of the node |
//! | `xUID` | it is for all but this user: hexadecimal digits of the uid's JSON |
//! | `r` | of `q`: the insert whose key is the body was recalled |
//! | `v` | of `q`: the log was forgotten because its time was over |
//! | `nCOUNT` | of `j`, `l` and `d`: the user's connections that are seen there now; without it 1 behind `j`, and 0 |
//! | `k` | of `d`, or of `q` with a uid as its body: the user was taken out, with all its connections |
//! | `t` | of `q`: the log was trimmed, and begins at the index in the body |
//!
//! Bodies are sliced out of what came from the socket, not copied.
use std::fmt::Write;

use bytes::Bytes;

use super::receipts::Once;
use crate::domain::{
    broker::{Audience, Entry, Event, Publication},
    ids::{ConnectionId, Uid},
    message::Kind,
};

/// A life of the Redis server, for a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) name: u64,
    /// Where it began: the last place that Redis still knew.
    pub(super) base: u64,
    /// The epoch in which that place was taken.
    pub(super) from: u64,
}

impl Epoch {
    /// From the first three words.
    pub(super) fn read<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut number = || words.next()?.parse().ok();
        Some(Epoch { name: number()?, base: number()?, from: number()? })
    }
}

/// Publications that follow each other, with their place in the room's order.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) epoch: Epoch,
    pub(super) first: u64,
    /// Places that are taken; at some of them nothing is told.
    pub(super) count: u64,
    pub(super) publications: Vec<Publication>,
    /// What was read of the room's log before is out of date.
    pub(super) invalidates: bool,
}

/// The first line.
pub(super) struct Header<'a> {
    pub(super) epoch: Epoch,
    first: u64,
    count: u64,
    node: &'a str,
    /// Where the second line begins.
    end: usize,
}

impl<'a> Header<'a> {
    pub(super) fn decode(text: &'a [u8]) -> Option<Self> {
        let line = text.iter().position(|b| *b == b'\n')?;
        let mut words = std::str::from_utf8(&text[..line]).ok()?.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (name, base, first, count) = (number()?, number()?, number()?, number()?);
        let node = words.next()?;
        // Behind the node, where a build that does not know of it stops reading; one that did not
        // write it may be on the same Redis.
        let from = words.next().map_or(Some(0), |from| from.parse().ok())?;
        Some(Header { epoch: Epoch { name, base, from }, first, count, node, end: line + 1 })
    }

    /// The last place.
    pub(super) fn last(&self) -> u64 {
        self.first.saturating_add(self.count).saturating_sub(1)
    }
}

impl Told {
    /// One place, and what is told there.
    pub(super) fn one(epoch: Epoch, n: u64, event: Option<Event>) -> Self {
        let publications = event.map(|event| Publication::told(n, event)).into_iter().collect();
        Told { epoch, first: n, count: 1, publications, invalidates: false }
    }

    /// The last place in it.
    pub(super) fn last(&self) -> u64 {
        self.first.saturating_add(self.count).saturating_sub(1)
    }

    /// From the channel or the replay list. Nothing, where it can't be read: somebody else wrote
    /// it.
    pub(super) fn decode(text: Bytes, this_node: &str) -> Option<Self> {
        let Header { epoch, first, count, node, end } = Header::decode(&text)?;
        let ours = node == this_node;
        let meta_end = end + text[end..].iter().position(|b| *b == b'\n')?;
        let meta = std::str::from_utf8(&text[end..meta_end]).ok()?;
        let mut at = meta_end + 1;
        let mut take = |length: usize| {
            let end = at.checked_add(length).filter(|end| *end <= text.len())?;
            let slice = text.slice(at..end);
            at = end;
            Some(slice)
        };
        let (mut publications, mut places) = (Vec::with_capacity(meta.len() / 8 + 1), 0);
        let mut invalidates = false;
        for (n, one) in (first..).zip(meta.split(';')) {
            let mut words = one.get(1..)?.split(',');
            // Connections of other nodes are nobody here.
            let origin = words.next()?.parse().ok().filter(|_| ours).map(ConnectionId);
            let (id, body) =
                (take(words.next()?.parse().ok()?)?, take(words.next()?.parse().ok()?)?);
            places += 1;
            match one.as_bytes()[0] {
                b'q' => {
                    for word in words {
                        match word {
                            "r" => publications.push(Publication::told(n, recalled(&body)?)),
                            "k" => {
                                let uid = uid(std::str::from_utf8(&body).ok()?)?;
                                let removed = Event::Removed { uid, seen: false };
                                publications.push(Publication::told(n, removed));
                            }
                            "t" => publications.push(Publication::told(n, trimmed(&body)?)),
                            "v" => invalidates = true,
                            _ => {}
                        }
                    }
                }
                kind => {
                    let told = Publication::told(n, event(kind, &id, body, words.clone())?);
                    let audience = match told.audience {
                        Audience::All => audience(words, origin, ours),
                        of_the_event => of_the_event,
                    };
                    publications.push(Publication { audience, ..told });
                }
            }
        }
        (places == count).then_some(Told { epoch, first, count, publications, invalidates })
    }
}

/// Who is told: as the last of the words that are known says, or all but the origin.
fn audience<'a>(
    words: impl Iterator<Item = &'a str>,
    origin: Option<ConnectionId>,
    ours: bool,
) -> Audience {
    let connection =
        |id: Option<ConnectionId>| id.map_or(Audience::All, Audience::ExceptConnection);
    let read = |word: &str| match word.split_at_checked(1)? {
        ("a", "") => Some(Audience::All),
        ("o", id) => Some(connection(id.parse().ok().filter(|_| ours).map(ConnectionId))),
        ("x", digits) => {
            Some(Audience::ExceptUser(uid(std::str::from_utf8(&unhex(digits)?).ok()?)?))
        }
        _ => None,
    };
    words.filter_map(read).last().unwrap_or_else(|| connection(origin))
}

fn recalled(key: &Bytes) -> Option<Event> {
    Some(Event::Recalled { key: std::str::from_utf8(key).ok()?.into() })
}

fn trimmed(start: &Bytes) -> Option<Event> {
    Some(Event::Trimmed { start: std::str::from_utf8(start).ok()?.parse().ok()? })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn event<'a>(
    kind: u8,
    id: &Bytes,
    body: Bytes,
    words: impl Iterator<Item = &'a str> + Clone,
) -> Option<Event> {
    let user = |body: &Bytes| uid(std::str::from_utf8(body).ok()?);
    let connections = |usual| {
        let mut counts = words.clone().filter_map(|word| word.strip_prefix('n')?.parse().ok());
        counts.next().unwrap_or(usual)
    };
    Some(match kind {
        b'i' => Event::Message { kind: Kind::Insert, body },
        b'u' => {
            Event::Message { kind: Kind::Update { id: std::str::from_utf8(id).ok()?.into() }, body }
        }
        b'g' => Event::Message { kind: Kind::Ignore, body },
        b'y' => Event::System(body),
        b's' => Event::Synced(user(&body)?),
        b'j' => Event::Joined { uid: user(&body)?, connections: connections(1) },
        b'l' => Event::Left { uid: user(&body)?, connections: connections(0) },
        b'd' if words.clone().any(|word| word == "k") => {
            Event::Removed { uid: user(&body)?, seen: true }
        }
        b'd' => Event::Gone { uid: user(&body)?, connections: connections(0) },
        b'c' => Event::Cleared,
        _ => return None,
    })
}

/// A uid from its JSON.
pub(super) fn uid(json: &str) -> Option<Uid> {
    if json.starts_with('"') {
        Uid::text(&serde_json::from_str::<String>(json).ok()?).ok()
    } else {
        Uid::number(json).ok()
    }
}

/// What a batch looks like to the script that publishes it.
pub(super) struct Batch {
    /// The second line.
    pub(super) meta: String,
    /// A letter per entry.
    pub(super) kinds: String,
    /// Ids and bodies.
    pub(super) parts: Vec<Bytes>,
    /// What is to be done once.
    pub(super) once: Once,
}

impl Batch {
    pub(super) fn encode(entries: &[Entry]) -> Self {
        let mut batch = Batch {
            meta: String::with_capacity(entries.len() * 12),
            kinds: String::new(),
            parts: Vec::new(),
            once: Once::default(),
        };
        for entry in entries {
            match entry {
                Entry::Message { from, audience, message, receipt } => {
                    let body = message.body.clone();
                    match &message.kind {
                        Kind::Insert => {
                            batch.add('i', *from, message.key.as_deref(), body);
                            if message.key.is_some() {
                                batch.kinds.pop();
                                batch.kinds.push('k');
                            }
                        }
                        Kind::Update { id } => batch.add('u', *from, Some(id), body),
                        Kind::Ignore => batch.add('g', *from, None, body),
                    }
                    batch.tell(*from, audience);
                    if let Some(receipt) = receipt {
                        batch.once.add(batch.kinds.len(), receipt);
                    }
                }
                Entry::Synced { by, uid } => {
                    batch.add('s', Some(*by), None, Bytes::from(uid.json().into_owned()))
                }
                Entry::System { content } => batch.add('y', None, None, content.clone()),
            }
        }
        batch
    }

    fn add(&mut self, kind: char, from: Option<ConnectionId>, id: Option<&str>, body: Bytes) {
        let separator = if self.kinds.is_empty() { "" } else { ";" };
        let from = from.map_or_else(|| "-".into(), |c| c.0.to_string());
        // Writing to a string never fails.
        let _ =
            write!(self.meta, "{separator}{kind}{from},{},{}", id.map_or(0, str::len), body.len());
        self.kinds.push(kind);
        self.parts.extend(id.map(|id| Bytes::copy_from_slice(id.as_bytes())));
        self.parts.push(body);
    }

    /// Who is told of what was just added, where it is not all but its sender.
    fn tell(&mut self, from: Option<ConnectionId>, audience: &Audience) {
        match audience {
            Audience::ExceptConnection(connection) if from == Some(*connection) => {}
            Audience::ExceptConnection(connection) => {
                let _ = write!(self.meta, ",o{}", connection.0);
            }
            Audience::All if from.is_none() => {}
            Audience::All => self.meta.push_str(",a"),
            Audience::ExceptUser(uid) => {
                self.meta.push_str(",x");
                for byte in uid.json().bytes() {
                    let _ = write!(self.meta, "{byte:02x}");
                }
            }
        }
    }

    /// What this node's members are told, once the script has given the places.
    pub(super) fn told(entries: &[Entry], epoch: Epoch, first: u64) -> Told {
        Told {
            epoch,
            first,
            count: entries.len() as u64,
            publications: (first..).zip(entries).map(|(n, e)| Publication::of(n, e)).collect(),
            invalidates: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Message;

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
        let header = format!("1700000000000000 4 5 {} {node} 3\n{}\n", entries.len(), batch.meta);
        Bytes::from([header.as_bytes(), &batch.parts.concat()].concat())
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
            let direct =
                Batch::told(&entries, Epoch { name: 1_700_000_000_000_000, base: 4, from: 3 }, 5);
            assert_eq!((told.epoch, told.first, told.last()), (direct.epoch, 5, 11));
            for (a, b) in told.publications.iter().zip(&direct.publications) {
                assert_eq!((a.n, format!("{:?}", a.event)), (b.n, format!("{:?}", b.event)));
                let heard = if ours { b.audience.clone() } else { Audience::All };
                assert_eq!(a.audience, heard, "connections of others are nobody here");
            }
        }
    }

    #[test]
    fn what_nobody_is_told_has_a_place() {
        let told = Told::decode(
            Bytes::from_static(b"9 4 5 3 us 3\nj7,0,3;q-,0,0;d7,0,3\n\"a\"\"a\""),
            "us",
        )
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
        assert_eq!(
            audiences(text),
            [except(7), except(7), except(7), except(7), Audience::All, user]
        );
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
            let lengths =
                [words.next(), words.next()].map(|w| w.unwrap().parse::<usize>().unwrap());
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
}
