//! What the Swift client could not POST any more when it was upgraded it sends as text behind its
//! `5`: binary (`b…`), and the packet `6` where a POST was under way. The engine (engineioxide
//! 0.17.9) would close the session for either. So on their way to it such frames change their kind,
//! in place: the one becomes a binary message, the other a pong. What an attachment holds is of no
//! use to anybody here, so it need not be decoded.
use std::mem;

use bytes::Bytes;
use tokio::io::ReadBuf;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PONG: u8 = 0x8A;

/// The frames of one client.
#[derive(Default)]
pub(super) struct Leftovers {
    mended: Bytes,
    /// The beginning of a frame, not enough of it to be judged.
    begun: Vec<u8>,
    /// Bytes still to come of a frame that was judged.
    payload: u64,
}

impl Leftovers {
    /// Takes what came; what may go on of it is ready then.
    pub fn mend(&mut self, came: &[u8]) {
        let mut bytes = mem::take(&mut self.begun);
        bytes.extend_from_slice(came);
        let mut at = 0;
        loop {
            let known = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len() - at);
            at += known;
            self.payload -= known as u64;
            let Some((kind, length)) = judge(&bytes[at..]) else { break };
            bytes[at] = kind;
            self.payload = length;
        }
        self.begun = bytes.split_off(at);
        self.mended = bytes.into();
    }

    /// Gives of what is ready. False: nothing is.
    pub fn give(&mut self, into: &mut ReadBuf<'_>) -> bool {
        if self.mended.is_empty() {
            return false;
        }
        let length = into.remaining().min(self.mended.len());
        into.put_slice(&self.mended.split_to(length));
        if self.mended.is_empty() {
            self.mended = Bytes::new(); // frees it
        }
        true
    }
}

/// What the next frame's first byte should be, and the frame's length with its header; nothing,
/// where more of it has to come. A frame of another form (RFC 6455, 5.2) is passed on as it is: the
/// engine refuses it.
fn judge(bytes: &[u8]) -> Option<(u8, u64)> {
    let &[first, second, ref rest @ ..] = bytes else { return None };
    let (length, header) = match second & 0x7F {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 8),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 14),
        short => (u64::from(short), 6),
    };
    let masked = second & 0x80 != 0;
    let letter = if first == TEXT && masked && length > 0 {
        Some(bytes.get(header)? ^ bytes[header - 4])
    } else {
        None
    };
    let kind = match letter {
        Some(b'6') if length == 1 => PONG,
        Some(b'b') => BINARY,
        _ => first,
    };
    Some((kind, length.saturating_add(if masked { header } else { header - 4 } as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let (key, mut frame) = ([1, 2, 3, 4], vec![kind]);
        match text.len() {
            n @ 0..126 => frame.push(0x80 | n as u8),
            n => frame.extend([0xFE, (n >> 8) as u8, n as u8]),
        }
        frame.extend(key);
        frame.extend(text.bytes().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    #[test]
    fn leftovers_change_their_kind_and_nothing_else_does_however_they_come() {
        let long = format!("b4{}", "A".repeat(300));
        let texts = ["2probe", "5", "6", "60", "b4AQID", "", "42[\"b\"]", &long, "6", "3"];
        let came: Vec<u8> = texts
            .iter()
            .flat_map(|t| frame(TEXT, t))
            .chain(frame(BINARY, "6"))
            .chain(frame(0x88, ""))
            .collect();
        let kind = |t: &str| {
            if t == "6" {
                PONG
            } else if t.starts_with('b') {
                BINARY
            } else {
                TEXT
            }
        };
        let expected: Vec<u8> = texts
            .iter()
            .flat_map(|t| frame(kind(t), t))
            .chain(frame(BINARY, "6"))
            .chain(frame(0x88, ""))
            .collect();
        for size in [1, 2, 3, 7, 100, came.len()] {
            let mut leftovers = Leftovers::default();
            let mut room = vec![0; came.len() + 1];
            let mut mended = ReadBuf::new(&mut room);
            for chunk in came.chunks(size) {
                leftovers.mend(chunk);
                while leftovers.give(&mut mended) {}
            }
            assert_eq!(mended.filled(), expected, "in pieces of {size}");
        }
    }
}
