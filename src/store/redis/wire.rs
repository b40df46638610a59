//! Publications as they travel between nodes, and as the replay list keeps them.
//!
//! ```text
//! EPOCH BASE FIRST COUNT NODE FROM INDEX\n  written by the script
//! KCONNECTION,IDBYTES,BYTES,MORE;…\n        one per publication: a letter, who caused it (`-`: nobody), lengths, more
//! ID BODY ID BODY …                         without anything between them
//! ```
//!
//! The letter `q` has a place in the order and nothing to tell. The id of an insert is its key.
//! INDEX is that of the first insert among them; the others follow. It is missing where there is no
//! insert, and in what builds wrote that knew of none: then nothing is known of it.
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
mod batch;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub(super) use self::batch::Batch;
use crate::{
    domain::{
        broker::{Audience, Event, Publication},
        ids::{ConnectionId, Uid},
        message::Kind,
    },
    hex,
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
    /// That of the first insert.
    index: Option<u64>,
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
        let index = words.next().and_then(|index| index.parse().ok());
        let epoch = Epoch { name, base, from };
        Some(Header { epoch, first, count, node, index, end: line + 1 })
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
        let Header { epoch, first, count, node, index: mut next, end } = Header::decode(&text)?;
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
                    let index = next.filter(|_| kind == b'i');
                    next = index.map_or(next, |index| Some(index.saturating_add(1)));
                    publications.push(Publication { audience, index, ..told });
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
            Some(Audience::ExceptUser(uid(std::str::from_utf8(&hex::decode(digits)?).ok()?)?))
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
        Uid::stored(&serde_json::from_str::<String>(json).ok()?).ok()
    } else {
        Uid::number(json).ok()
    }
}
