//! What goes out: frames as they came, and the two that the server makes.
//!
//! A connection has to know which of the stored messages it was sent, as these are erased only
//! once they have arrived. A [`Codec`] gives it nothing but bytes. So what an inbox tells has
//! marks between its frames, and whoever delivers takes them out again ([`parts`]): before a
//! stored message its index, and where the user's contacts have changed a word of that. A mark is
//! an unasked pong (RFC 6455, 5.5.3), which no client would take amiss.
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use crate::{
    domain::{
        broker::{Event, Publication},
        ids::RoomId,
        message::Kind,
        subscriber::{Burst, Codec},
    },
    net::websocket::frame::{self, HEAD, Header, Opcode},
};

/// Bytes of a control frame with a number.
pub(super) const NUMBER: usize = 10;

/// The mark that says that contacts have changed.
const CONTACTS: &[u8] = &[0x8A, 0];

/// A ping whose answer has this number again.
pub(super) fn ping(into: &mut BytesMut, number: u64) {
    frame::head(into, Opcode::Ping, 8);
    into.put_u64(number);
}

/// The frame that tells a client its contacts. `cards` is a JSON array.
pub(super) fn contacts(cards: &[u8]) -> Bytes {
    text(&[br#"{"type":"wechat/save","payload":{"contacts":"#, cards, b"}}"])
}

/// Messages of one sender that wait.
pub(super) struct Conversation<'a, I> {
    /// The sender's phone.
    pub(super) peer: &'a str,
    /// When the last of them was stored, milliseconds since 1970.
    pub(super) timestamp: u64,
    /// How many there are.
    pub(super) count: usize,
    /// Each of them, JSON.
    pub(super) items: I,
}

/// The frame that tells a client what waits.
pub(super) fn conversations<'a, I: Iterator<Item = &'a str>>(
    conversations: impl Iterator<Item = Conversation<'a, I>>,
) -> Bytes {
    let mut json =
        String::from(r#"{"type":"wechat/saveConversation","payload":{"conversations":{"#);
    for (at, Conversation { peer, timestamp, count, items }) in conversations.enumerate() {
        let separator = if at == 0 { "" } else { "," };
        let peer = Value::from(peer);
        json.push_str(&format!(
            r#"{separator}{peer}:{{"timestamp":{timestamp},"newCount":{count},"items":["#
        ));
        for (at, item) in items.enumerate() {
            json.push_str(if at == 0 { "" } else { "," });
            json.push_str(item);
        }
        json.push_str("]}");
    }
    json.push_str("}}}");
    text(&[json.as_bytes()])
}

fn text(parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frames = BytesMut::with_capacity(HEAD + length);
    frame::text(&mut frames, parts);
    frames.freeze()
}

/// The one encoding of this dialect: each message a text frame, its bytes as they came, with the
/// marks that say what it is. Comings and goings are told to nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames;

impl Codec for Frames {
    fn encode(&self, _room: &RoomId, publications: &[Publication]) -> Burst {
        let length = |publication: &Publication| match &publication.event {
            Event::Message { body, .. } => NUMBER + HEAD + body.len(),
            _ => CONTACTS.len(),
        };
        let mut frames = BytesMut::with_capacity(publications.iter().map(length).sum());
        let mut ends = Vec::with_capacity(publications.len());
        for publication in publications {
            match &publication.event {
                Event::Message { kind, body } => {
                    if let (Kind::Insert, Some(index)) = (kind, publication.index) {
                        frame::head(&mut frames, Opcode::Pong, 8);
                        frames.put_u64(index);
                    }
                    frame::text(&mut frames, &[body]);
                }
                // Only `contacts_changed` says something so.
                Event::System(_) => frames.extend_from_slice(CONTACTS),
                Event::Joined { .. }
                | Event::Left { .. }
                | Event::Gone { .. }
                | Event::Removed { .. }
                | Event::Synced(_)
                | Event::Cleared
                | Event::Trimmed { .. }
                | Event::Recalled { .. } => {}
            }
            ends.push(frames.len());
        }
        Burst::new(frames.freeze(), ends)
    }
}

/// A part of what [`Frames`] has encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The next frame is the stored message with this index.
    Index(u64),
    /// The user's contacts have changed.
    Contacts,
    /// A frame for the client: where it is.
    Frame(Range<usize>),
}

/// Takes apart what [`Frames`] has encoded.
pub(super) fn parts(packets: &[u8]) -> impl Iterator<Item = Part> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = packets.get(at..)?;
        let header = Header::read(rest).ok()??;
        let length = header.size.checked_add(usize::try_from(header.length).ok()?)?;
        let payload = rest.get(header.size..length)?;
        let begin = at;
        at += length;
        Some(match (header.opcode, payload.first_chunk()) {
            (Opcode::Pong, Some(index)) => Part::Index(u64::from_be_bytes(*index)),
            (Opcode::Pong, None) => Part::Contacts,
            _ => Part::Frame(begin..at),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{broker::Audience, ids::Uid};

    fn told(index: Option<u64>, event: Event) -> Publication {
        Publication { n: 1, audience: Audience::All, index, event }
    }

    fn message(kind: Kind, index: Option<u64>, body: &'static str) -> Publication {
        told(index, Event::Message { kind, body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn what_was_encoded_is_taken_apart_again() {
        let uid = Uid::text("x").unwrap();
        let room = RoomId::new("r").unwrap();
        let burst = Frames.encode(
            &room,
            &[
                message(Kind::Insert, Some(7), "{ \"a\" : 1 }"),
                message(Kind::Ignore, None, "{}"),
                told(None, Event::Joined { uid, connections: 1 }),
                told(None, Event::System(Bytes::new())),
                message(Kind::Insert, None, "[1]"),
                told(None, Event::Trimmed { start: 3 }),
            ],
        );
        let all = burst.all();
        assert_eq!(
            parts(&all).collect::<Vec<_>>(),
            [
                Part::Index(7),
                Part::Frame(10..23),
                Part::Frame(23..27),
                Part::Contacts,
                Part::Frame(29..34)
            ]
        );
        assert_eq!(&all[10..27], b"\x81\x0b{ \"a\" : 1 }\x81\x02{}");
        assert_eq!(burst.select(|i| i == 0).0.len(), 23, "a part has its mark");
        assert!(burst.select(|i| i == 2 || i == 5).0.is_empty());
        assert_eq!(parts(&all[..all.len() - 1]).count(), 4, "a piece of a frame is none");
    }

    #[test]
    fn a_ping_has_a_number() {
        let mut frames = BytesMut::new();
        ping(&mut frames, 258);
        assert_eq!(&frames[..], [0x89, 8, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(frames.len(), NUMBER);
    }

    #[test]
    fn the_servers_own_frames_are_as_clients_read_them() {
        let payload = |frame: &Bytes| {
            let (opcode, payload) = frame::payloads(frame).next().unwrap();
            assert_eq!(opcode, Opcode::Text);
            String::from_utf8(payload.to_vec()).unwrap()
        };
        assert_eq!(
            payload(&contacts(b"[{\"phone\":\"1\"}]")),
            r#"{"type":"wechat/save","payload":{"contacts":[{"phone":"1"}]}}"#
        );
        let waiting = [("1\"", 5, vec!["{}", "[1]"]), ("22", 6, vec!["null"])];
        let of = waiting.iter().map(|(peer, timestamp, items)| Conversation {
            peer,
            timestamp: *timestamp,
            count: items.len(),
            items: items.iter().copied(),
        });
        assert_eq!(
            payload(&conversations(of)),
            r#"{"type":"wechat/saveConversation","payload":{"conversations":{"1\"":{"timestamp":5,"newCount":2,"items":[{},[1]]},"22":{"timestamp":6,"newCount":1,"items":[null]}}}}"#
        );
    }
}
