//! The words of the wire: answers, refusals, and publications as finished WebSocket text frames.
//!
//! A frame's text is an engine.io message packet (`4`) with a socket.io event (`2["name",payload]`)
//! or acknowledgement (`3id[payload]`) in it, the same in engine.io 3 and 4. Server frames are not
//! masked.
use bytes::{BufMut, Bytes, BytesMut};

use crate::domain::{
    broker::{Event, Publication},
    ids::{RoomId, Uid},
    subscriber::{Burst, Codec},
};

pub(super) const AUTH_SUCCESS: &str = r#"{"status":0,"data":"auth success"}"#;
pub(super) const JOIN_SUCCESS: &str = r#"{"status":0,"data":"join success"}"#;
pub(super) const MSG_SUCCESS: &str = r#"{"status":0,"data":"msg success"}"#;
pub(super) const LEAVE_SUCCESS: &str = r#"{"status":0}"#;
/// Frames of engine.io's ping and pong.
pub(super) const PING: &[u8] = &[0x81, 1, b'2'];
pub(super) const PONG: &[u8] = &[0x81, 1, b'3'];
/// Bytes before a frame's payload, at most.
pub(super) const HEAD: usize = 10;
/// Payload of `kickout`.
pub(super) const KICKOUT: &str = "0";

/// Why a client is refused at `authenticate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AuthRefusal {
    #[error("auth failed, uid or token is wrong")]
    Wrong,
    #[error("authentication timeout")]
    Timeout,
    #[error("reach rate limit")]
    RateLimit,
    #[error("server error")]
    Server,
}

/// Why a join failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum JoinFailure {
    #[error("join failed, require roomId")]
    NoRoom,
    #[error("server error")]
    Server,
}

/// Why a message was not accepted, or not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub(super) enum MsgFailure {
    NotInRoom,
    Dummy,
    TooLarge,
    NotAnObject,
    TooDeep,
    TooManyUpdates,
    Unavailable,
    Unknown,
}

impl MsgFailure {
    /// On the wire, and as a label of a metric.
    pub(super) fn reason(self) -> &'static str {
        match self {
            MsgFailure::NotInRoom => "not in a room",
            MsgFailure::Dummy => "dummy can not send",
            MsgFailure::TooLarge => "message too large",
            MsgFailure::NotAnObject => "not an object",
            MsgFailure::TooDeep => "too deep",
            MsgFailure::TooManyUpdates => "too many updates",
            MsgFailure::Unavailable => "store unavailable",
            MsgFailure::Unknown => "outcome unknown",
        }
    }
}

/// `{status:1, data:REASON}`.
pub(super) fn failure(reason: &impl std::fmt::Display) -> String {
    format!(r#"{{"status":1,"data":"{reason}"}}"#)
}

/// Appends one text frame (RFC 6455, 5.2) made of `parts`.
fn frame(into: &mut BytesMut, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    into.reserve(length + HEAD);
    head(into, length);
    for part in parts {
        into.extend_from_slice(part);
    }
}

/// Appends what stands before a text frame's payload of this length.
pub(super) fn head(into: &mut impl BufMut, length: usize) {
    into.put_u8(0x81); // final, text
    match length {
        0..126 => into.put_u8(length as u8),
        126..65536 => {
            into.put_u8(126);
            into.put_u16(length as u16);
        }
        _ => {
            into.put_u8(127);
            into.put_u64(length as u64);
        }
    }
}

/// Appends a packet of any kind.
pub(super) fn text(into: &mut BytesMut, text: &str) {
    frame(into, &[text.as_bytes()]);
}

/// Appends an event; `payload` is JSON.
pub(super) fn event(into: &mut BytesMut, name: &str, payload: &str) {
    frame(into, &[b"42[\"", name.as_bytes(), b"\",", payload.as_bytes(), b"]"]);
}

/// Appends an acknowledgement; `payload` is JSON.
pub(super) fn ack(into: &mut BytesMut, id: i64, payload: &str) {
    frame(into, &[b"43", id.to_string().as_bytes(), b"[", payload.as_bytes(), b"]"]);
}

/// An event's frame, and where it was asked for an acknowledgement with the same payload behind it.
pub(super) fn with_ack(event: Bytes, id: Option<i64>) -> Bytes {
    let Some(id) = id else { return event };
    let payload = texts(&event)
        .next()
        .and_then(|t| t.split_once(','))
        .and_then(|(_, rest)| rest.strip_suffix(']'))
        .unwrap_or("null");
    let mut both = BytesMut::with_capacity(2 * event.len() + 32);
    both.extend_from_slice(&event);
    ack(&mut both, id, payload);
    both.freeze()
}

/// The answer to a request: an event's frame, and where one was asked for an acknowledgement with
/// the same payload. `payload` is JSON.
pub(super) fn answer(name: &str, ack_id: Option<i64>, payload: &str) -> Bytes {
    let mut frames = BytesMut::new();
    event(&mut frames, name, payload);
    if let Some(id) = ack_id {
        ack(&mut frames, id, payload);
    }
    frames.freeze()
}

/// Appends an event about another user.
pub(super) fn about(into: &mut BytesMut, name: &str, uid: &Uid) {
    frame(into, &[b"42[\"", name.as_bytes(), b"\",{\"uid\":", uid.json().as_bytes(), b"}]"]);
}

/// The frames of what happens in a room.
pub(super) struct Frames;

impl Codec for Frames {
    fn encode(&self, _: &RoomId, publications: &[Publication]) -> Burst {
        burst(publications)
    }
}

/// A room's publications, one part each.
pub(super) fn burst(publications: &[Publication]) -> Burst {
    let room: usize = publications
        .iter()
        .map(|p| if let Event::Message { body, .. } = &p.event { body.len() + 24 } else { 80 })
        .sum();
    let mut frames = BytesMut::with_capacity(room);
    let mut ends = Vec::with_capacity(publications.len());
    for publication in publications {
        match &publication.event {
            Event::Message { body, .. } => frame(&mut frames, &[b"42[\"msg\",", body, b"]"]),
            Event::System(content) => frame(&mut frames, &[b"42[\"system\",", content, b"]"]),
            Event::Joined(uid) => about(&mut frames, "remote_join", uid),
            Event::Left(uid) => {
                about(&mut frames, "remote_leave", uid);
                about(&mut frames, "remote_disconnect", uid);
            }
            Event::Gone(uid) => about(&mut frames, "remote_disconnect", uid),
            Event::Synced(uid) => about(&mut frames, "remote_sync", uid),
            Event::Cleared | Event::Recalled { .. } => {} // the original tells nobody
        }
        ends.push(frames.len());
    }
    Burst::new(frames.freeze(), ends)
}

/// The texts of finished frames, for a transport that frames them itself.
pub(super) fn texts(frames: &Bytes) -> impl Iterator<Item = &str> {
    let mut rest: &[u8] = frames;
    std::iter::from_fn(move || {
        let (header, length) = match *rest.get(1)? {
            126 => (4, usize::from(u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?))),
            127 => {
                (10, usize::try_from(u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?)).ok()?)
            }
            short => (2, usize::from(short)),
        };
        let text = std::str::from_utf8(rest.get(header..header + length)?).ok()?;
        rest = &rest[header + length..];
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Kind;

    #[test]
    fn a_burst_has_one_part_for_each_publication() {
        let (ann, seven) = (Uid::text("ann").unwrap(), Uid::number("7").unwrap());
        let publication = |event| Publication::told(1, event);
        let burst = burst(&[
            publication(Event::Joined(ann.clone())),
            publication(Event::Message {
                kind: Kind::Insert,
                body: Bytes::from_static(br#"{"s":0,"2":"ann"}"#),
            }),
            publication(Event::Cleared),
            publication(Event::Left(seven)),
        ]);
        let all = burst.all();
        let texts_of_all: Vec<&str> = texts(&all).collect();
        assert_eq!(
            texts_of_all,
            [
                r#"42["remote_join",{"uid":"ann"}]"#,
                r#"42["msg",{"s":0,"2":"ann"}]"#,
                r#"42["remote_leave",{"uid":7}]"#,
                r#"42["remote_disconnect",{"uid":7}]"#,
            ]
        );
        let some = burst.select(|i| i == 3);
        assert_eq!(texts(&some).count(), 2);
    }

    #[test]
    fn frames_of_every_length_are_read_back() {
        for length in [0, 1, 100, 125, 126, 65_535, 65_536, 70_000] {
            let payload = format!("\"{}\"", "é".repeat(length / 2));
            let mut frames = BytesMut::new();
            event(&mut frames, "e", &payload);
            ack(&mut frames, 12, &payload);
            let frames = frames.freeze();
            let read: Vec<&str> = texts(&frames).collect();
            assert_eq!(read, [format!(r#"42["e",{payload}]"#), format!("4312[{payload}]")]);
        }
    }
}
