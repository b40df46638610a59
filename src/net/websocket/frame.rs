//! WebSocket frames (RFC 6455, 5.2), in and out. All that reads or writes a frame's header uses
//! this.
use bytes::{BufMut, Bytes, BytesMut};

/// Longest header of a frame of the server, bytes: such frames are not masked.
pub const HEAD: usize = 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// The next piece of a message whose first frame has come before.
    Continuation,
    /// A message in UTF-8, or its first piece.
    Text,
    /// A message of any bytes, or its first piece.
    Binary,
    /// The last frame that its sender sends. It may hold a code and a reason.
    Close,
    /// Asks for a [`Opcode::Pong`] with the same payload.
    Ping,
    /// Answers a [`Opcode::Ping`], or comes unasked.
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }

    /// Whether it is of those that may stand between the frames of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// It is the last frame of its message.
    pub last: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Its payload is masked, with the last four bytes of the header.
    pub masked: bool,
    /// Of the payload, bytes.
    pub length: u64,
    /// Bytes of the header itself.
    pub size: usize,
}

/// No frame begins like this: it has an opcode without a meaning, or a bit that only extensions
/// set, or is a control frame in several pieces or of more than 125 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no WebSocket frame")]
pub struct Malformed;

impl Header {
    /// Reads the header at the beginning of `bytes`, which may lack its mask still; `None`: more of
    /// it has to come. What is wrong is known from the first two bytes.
    ///
    /// # Errors
    /// No frame begins like this.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let (last, masked, short) = (first & 0x80 != 0, second & 0x80 != 0, second & 0x7F);
        let opcode = Opcode::of(first & 0x0F).ok_or(Malformed)?;
        if first & 0x70 != 0 || (opcode.is_control() && (!last || short > 125)) {
            return Err(Malformed);
        }
        let (length, size) = match short {
            126 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        let size = if masked { size + 4 } else { size };
        Ok(Some(Header { last, opcode, masked, length, size }))
    }

    /// What the payload of the frame that `bytes` begin with is masked with.
    pub fn mask(&self, bytes: &[u8]) -> Option<[u8; 4]> {
        let end = self.masked.then_some(self.size)?;
        bytes.get(end - 4..end)?.try_into().ok()
    }
}

/// Appends the header of a whole frame of the server.
pub fn head(into: &mut impl BufMut, opcode: Opcode, length: usize) {
    into.put_u8(0x80 | opcode.bits());
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

/// Appends a text frame made of `parts`.
pub fn text(into: &mut BytesMut, parts: &[&[u8]]) {
    append(into, Opcode::Text, parts);
}

/// Appends a binary frame made of `parts`.
pub fn binary(into: &mut BytesMut, parts: &[&[u8]]) {
    append(into, Opcode::Binary, parts);
}

fn append(into: &mut BytesMut, opcode: Opcode, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum();
    into.reserve(length + HEAD);
    head(into, opcode, length);
    for part in parts {
        into.extend_from_slice(part);
    }
}

/// The answer to a ping, which has at most 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    append(&mut frame, Opcode::Pong, &[payload]);
    frame.freeze()
}

/// A Close frame (5.5.1), with a code or without.
pub fn close(code: Option<u16>) -> Bytes {
    match code.map(u16::to_be_bytes) {
        Some([high, low]) => Bytes::copy_from_slice(&[0x88, 2, high, low]),
        None => Bytes::from_static(&[0x88, 0]),
    }
}

/// What whole frames of the server hold, one after the other. Ends at what is no frame.
pub fn payloads(frames: &[u8]) -> impl Iterator<Item = (Opcode, &[u8])> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let header = Header::read(rest).ok()??;
        let end = header.size.checked_add(usize::try_from(header.length).ok()?)?;
        let payload = rest.get(header.size..end)?;
        rest = &rest[end..];
        Some((header.opcode, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_back() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; length];
            let mut frames = BytesMut::new();
            text(&mut frames, &[b"", &payload]);
            binary(&mut frames, &[&payload[..length / 2], &payload[length / 2..]]);
            let read: Vec<_> = payloads(&frames).collect();
            assert_eq!(read, [(Opcode::Text, &*payload), (Opcode::Binary, &*payload)]);
            let header = Header::read(&frames).unwrap().unwrap();
            for end in 0..header.size {
                assert_eq!(Header::read(&frames[..end]), Ok(None), "{length}: {end}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_known_by_two_bytes() {
        for bytes in [
            [0xC1, 0x80], // a reserved bit
            [0x83, 0x80], // an opcode of the future
            [0x8B, 0x80],
            [0x09, 0x80], // control frames are whole,
            [0x89, 0xFE], // and short
        ] {
            assert_eq!(Header::read(&bytes), Err(Malformed), "{bytes:x?}");
        }
    }

    #[test]
    fn a_close_frame_has_a_code_or_nothing() {
        assert_eq!(
            (close(Some(1001)), close(None)),
            (Bytes::from_static(b"\x88\x02\x03\xe9"), Bytes::from_static(b"\x88\x00"))
        );
    }
}
