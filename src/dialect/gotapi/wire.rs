//! What goes out: acknowledgements, recalls, and a room's publications as WebSocket frames.
use bytes::{Bytes, BytesMut};

use crate::{
    domain::{
        broker::{Event, Publication},
        ids::RoomId,
        subscriber::{Burst, Codec},
    },
    net::websocket::frame::{self, HEAD},
};

/// A ping (RFC 6455, 5.5.2) without a payload.
pub(super) const PING: &[u8] = &[0x89, 0];

/// Bytes of an acknowledgement, its uuid aside.
const ACK: usize = 160;

/// The commands of messages that the server makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// The message with this uuid is stored.
    Stored = 1,
    /// It is hidden from now on. Clients that don't know this ignore it.
    Recalled = 6,
}

/// Byte for byte what the original says, with the uuid as JSON.
fn about(uuid: &str, command: Command) -> String {
    let uuid = serde_json::Value::from(uuid);
    let command = command as u8;
    format!(
        r#"{{"uuid":{uuid},"body":{{"data":null,"sent":false,"hash":""}},"type":1,"command":{command},"queryArgs":{{"uuid":""}},"pullargs":{{"offset":0,"size":0}}}}"#
    )
}

/// Appends the acknowledgement of the message with this uuid.
pub(super) fn ack(frames: &mut BytesMut, uuid: &str) {
    frames.reserve(ACK + uuid.len());
    frame::text(frames, &[about(uuid, Command::Stored).as_bytes()]);
}

/// One text frame.
pub(super) fn text(text: &str) -> Bytes {
    let mut frames = BytesMut::with_capacity(HEAD + text.len());
    frame::text(&mut frames, &[text.as_bytes()]);
    frames.freeze()
}

/// The one encoding of this dialect: each message is a frame, its bytes as they came. What is no
/// UTF-8 can't be text, which would break every receiver, and is a binary frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames;

impl Codec for Frames {
    fn encode(&self, _room: &RoomId, publications: &[Publication]) -> Burst {
        let length = |publication: &Publication| match &publication.event {
            Event::Message { body, .. } => HEAD + body.len(),
            _ => ACK,
        };
        let mut frames = BytesMut::with_capacity(publications.iter().map(length).sum());
        let mut ends = Vec::with_capacity(publications.len());
        for publication in publications {
            match &publication.event {
                Event::Message { body, .. } => {
                    let is_text = std::str::from_utf8(body).is_ok();
                    let append = if is_text { frame::text } else { frame::binary };
                    append(&mut frames, &[body]);
                }
                Event::Recalled { key } => {
                    frame::text(&mut frames, &[about(key, Command::Recalled).as_bytes()]);
                }
                // Members are invisible to each other, and nobody is told of a cleared or trimmed
                // log.
                Event::Joined { .. }
                | Event::Left { .. }
                | Event::Gone { .. }
                | Event::Removed { .. }
                | Event::Synced(_)
                | Event::System(_)
                | Event::Cleared
                | Event::Trimmed { .. } => {}
            }
            ends.push(frames.len());
        }
        Burst::new(frames.freeze(), ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        broker::Audience,
        ids::{Space, Uid},
        message::Kind,
    };

    fn publication(event: Event) -> Publication {
        Publication { n: 1, audience: Audience::All, index: None, event }
    }

    fn message(body: &'static [u8]) -> Publication {
        let body = Bytes::from_static(body);
        publication(Event::Message { kind: Kind::Ignore, body })
    }

    #[test]
    fn an_acknowledgement_is_what_the_original_says_byte_for_byte() {
        let mut frames = BytesMut::new();
        ack(&mut frames, "8c0d\"é");
        let text = r#"{"uuid":"8c0d\"é","body":{"data":null,"sent":false,"hash":""},"type":1,"command":1,"queryArgs":{"uuid":""},"pullargs":{"offset":0,"size":0}}"#;
        assert_eq!(&frames[..4], &[0x81, 126, 0, text.len() as u8]);
        assert_eq!(&frames[4..], text.as_bytes());
    }

    #[test]
    fn a_recall_differs_from_an_acknowledgement_in_its_command_alone() {
        assert_eq!(
            about("u", Command::Recalled),
            about("u", Command::Stored).replace(r#""command":1"#, r#""command":6"#)
        );
    }

    #[test]
    fn each_publication_is_a_frame_of_its_own_with_its_bytes() {
        let room = RoomId::within(Space::Dialect("gotapi"), "/r").unwrap();
        let burst = Frames.encode(
            &room,
            &[
                message(b"{ \"a\" : 1 }"),
                message(b"\xff\x00"),
                publication(Event::Cleared),
                publication(Event::Joined { uid: Uid::text("x").unwrap(), connections: 1 }),
                message(b""),
            ],
        );
        assert_eq!(burst.select(|i| i == 0).0, &b"\x81\x0b{ \"a\" : 1 }"[..]);
        assert_eq!(burst.select(|i| i == 1).0, &b"\x82\x02\xff\x00"[..]);
        assert!(burst.select(|i| i == 2 || i == 3).0.is_empty());
        assert_eq!(burst.select(|i| i == 4).0, &b"\x81\x00"[..]);
    }
}
