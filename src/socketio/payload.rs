//! Bodies of polling requests: what a client posts, and what it fetches. Pure, and linear in a
//! body's length.
//!
//! Version 4 separates packets by 0x1e. Version 3 puts a packet's length in UTF-16 units before
//! each, `5:42[1]`; or, in a body that is binary, a byte (0 for text, 1 for a binary message), the
//! digits of its length in bytes, each as a byte of its own, and 0xff.
//! <https://socket.io/docs/v4/engine-io-protocol/>,
//! <https://github.com/socketio/engine.io-protocol/tree/v3#payload>
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::Version;
use crate::net::websocket::frame::Opcode;

/// Most packets of one body: as many events as a client may have in flight at all. A client that
/// was offline may well post thousands.
const MOST_PACKETS: usize = 65_536;
/// Most digits of a length.
const MOST_DIGITS: usize = 8;
/// What an answer to CONNECT, or an acknowledgement, costs in memory beside its text, bytes. A
/// client makes as many of them as it likes by a few bytes each.
const ANSWER: usize = 64;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    V4,
    V3,
    V3Binary,
}

/// A packet of engine.io that a client may post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Close,
    Ping,
    Pong,
    /// A packet of socket.io.
    Message(&'a str),
    /// An attachment.
    Binary(Bytes),
    /// One that has its place in an upgrade, and not in a body.
    Misplaced,
}

/// Why a body can't be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    TooMany,
}

/// The packets of a body, up to its end or its fault: what came before that counts, as in the
/// servers for Node.js.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded<'a> {
    pub packets: Vec<Packet<'a>>,
    pub fault: Option<Fault>,
}

/// Reads a body.
pub(super) fn decode(body: &[u8], format: Format) -> Decoded<'_> {
    let mut packets = Vec::new();
    // Of text, as much as is text: version 3 counts its characters.
    let text = match std::str::from_utf8(body) {
        Err(error) if format != Format::V3Binary => &body[..error.valid_up_to()],
        _ => body,
    };
    let mut rest = text;
    let mut read = 0;
    while !rest.is_empty() {
        if read == MOST_PACKETS {
            return Decoded { packets, fault: Some(Fault::TooMany) };
        }
        let next = match format {
            Format::V4 => four(rest),
            Format::V3 => three(rest),
            Format::V3Binary => three_binary(rest),
        };
        let Some((packet, behind)) = next else {
            return Decoded { packets, fault: Some(Fault::Malformed) };
        };
        packets.extend(packet);
        rest = behind;
        read += 1;
    }
    Decoded { packets, fault: (text.len() < body.len()).then_some(Fault::Malformed) }
}

/// The next packet, and what follows it. Nothing where it is malformed.
type Next<'a> = Option<(Option<Packet<'a>>, &'a [u8])>;

fn four(body: &[u8]) -> Next<'_> {
    let (packet, rest) = match body.iter().position(|b| *b == 0x1e) {
        Some(end) => (&body[..end], &body[end + 1..]),
        None => (body, &[][..]),
    };
    Some((Some(packet_of(std::str::from_utf8(packet).ok()?, Format::V4)?), rest))
}

fn three(body: &[u8]) -> Next<'_> {
    let colon = body.iter().take(MOST_DIGITS + 1).position(|b| *b == b':')?;
    let length = number(&body[..colon], b'0')?;
    let rest = &body[colon + 1..];
    if length == 0 {
        return Some((None, rest)); // JavaScript's parser passes over it
    }
    let end = if rest.get(..length)?.is_ascii() { length } else { end_of(rest, length)? };
    Some((Some(packet_of(std::str::from_utf8(&rest[..end]).ok()?, Format::V3)?), &rest[end..]))
}

/// Where this many UTF-16 units of a text end. Nothing where that is within a character, or behind
/// the end.
fn end_of(text: &[u8], mut units: usize) -> Option<usize> {
    let mut at = 0;
    while units > 0 {
        let (bytes, counts) = match *text.get(at)? {
            0..0x80 => (1, 1),
            0x80..0xE0 => (2, 1),
            0xE0..0xF0 => (3, 1),
            0xF0.. => (4, 2),
        };
        at += bytes;
        units = units.checked_sub(counts)?;
    }
    Some(at)
}

fn three_binary(body: &[u8]) -> Next<'_> {
    let (&kind, rest) = body.split_first()?;
    let digits = rest.iter().take(MOST_DIGITS + 1).position(|b| *b == 0xFF)?;
    let length = number(&rest[..digits], 0).filter(|l| *l > 0)?;
    let (packet, rest) = rest[digits + 1..].split_at_checked(length)?;
    let packet = match (kind, packet) {
        (0, text) => packet_of(std::str::from_utf8(text).ok()?, Format::V3)?,
        (1, [4, attachment @ ..]) => Packet::Binary(Bytes::copy_from_slice(attachment)),
        _ => return None,
    };
    Some((Some(packet), rest))
}

/// A number of at most [`MOST_DIGITS`] digits, which begin at `zero`.
fn number(digits: &[u8], zero: u8) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.checked_sub(zero).filter(|d| *d < 10)?;
        Some(10 * number + usize::from(digit))
    })
}

/// A packet as text. Binary is base64 behind `b`, in version 3 `b4`.
fn packet_of(text: &str, format: Format) -> Option<Packet<'_>> {
    let (first, rest) = (text.as_bytes().first()?, &text.as_bytes()[1..]);
    Some(match first {
        b'1' => Packet::Close,
        b'2' | b'3' if rest == b"probe" => Packet::Misplaced,
        b'2' => Packet::Ping,
        b'3' => Packet::Pong,
        b'4' => Packet::Message(&text[1..]),
        b'5' | b'6' => Packet::Misplaced,
        b'b' => {
            let version = if format == Format::V4 { Version::V4 } else { Version::V3 };
            Packet::Binary(attachment(version, text)?)
        }
        _ => return None,
    })
}

/// An attachment as text: base64 behind `b`, in version 3 behind `b4`.
pub(super) fn attachment(version: Version, text: &str) -> Option<Bytes> {
    let base64 = text.strip_prefix(version.base64_prefix())?;
    STANDARD.decode(base64).ok().map(Bytes::from)
}

/// What a packet for the client counts while it has not fetched it, bytes.
pub(super) fn weight(opcode: Opcode, packet: &[u8]) -> usize {
    match (opcode, packet) {
        (Opcode::Text, [b'4', b'0' | b'3' | b'4', ..]) => packet.len() + ANSWER,
        _ => packet.len(),
    }
}

/// The packets in an answer of the engine's, which is well-formed, and text.
pub(super) fn packets(body: &[u8], version: Version) -> Vec<&str> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    if version == Version::V4 {
        return text.split('\u{1e}').filter(|packet| !packet.is_empty()).collect();
    }
    let (mut packets, mut rest) = (Vec::new(), text);
    while let Some((length, behind)) = rest.split_once(':') {
        let Some(end) = length.parse().ok().and_then(|units| end_of(behind.as_bytes(), units))
        else {
            break;
        };
        packets.push(&behind[..end]);
        rest = &behind[end..];
    }
    packets
}

/// A body for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    pub body: Vec<u8>,
    /// It is `application/octet-stream`, and not text.
    pub binary: bool,
}

/// Writes a body. `packets` are what their WebSocket frames would hold. `takes_binary`: the client
/// can read a body that is binary; only version 3 has such ones, and only for attachments.
pub(super) fn encode(packets: &[(Opcode, &[u8])], version: Version, takes_binary: bool) -> Encoded {
    let binary = version == Version::V3
        && takes_binary
        && packets.iter().any(|(opcode, _)| *opcode == Opcode::Binary);
    let mut body = Vec::with_capacity(packets.iter().map(|(_, p)| p.len() + 8).sum());
    for (opcode, packet) in packets {
        if binary {
            body.push(u8::from(*opcode == Opcode::Binary));
            body.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
            body.push(0xFF);
            body.extend_from_slice(packet);
        } else if *opcode == Opcode::Binary {
            let bytes = packet.strip_prefix(version.binary_prefix()).unwrap_or(packet);
            let text = format!("{}{}", version.base64_prefix(), STANDARD.encode(bytes));
            append(&mut body, text.as_bytes(), version);
        } else {
            append(&mut body, packet, version);
        }
    }
    Encoded { body, binary }
}

/// Appends a packet's text, which is UTF-8.
fn append(body: &mut Vec<u8>, packet: &[u8], version: Version) {
    match version {
        Version::V3 => {
            // UTF-16 units: one for each character, and one more for those of four bytes.
            let begins = packet.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
            let units = begins + packet.iter().filter(|byte| **byte >= 0xF0).count();
            body.extend_from_slice(units.to_string().as_bytes());
            body.push(b':');
        }
        Version::V4 if body.is_empty() => {}
        Version::V4 => body.push(0x1e),
    }
    body.extend_from_slice(packet);
}

#[cfg(test)]
mod tests;
