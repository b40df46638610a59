//! Messages come in pieces that have nothing to do with where they begin and end: each has a byte
//! of flags and its length before it.
use bytes::{Buf, Bytes, BytesMut};

/// Bytes before a message: flags, and its length.
pub(super) const PREFIX: usize = 5;

/// Why what has come is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is longer than it may be.
    TooLarge,
    /// It is compressed, which nobody was told that it may be.
    Compressed,
    /// Its flags are none that there are.
    Flags,
}

/// What of a message has come by now.
#[derive(Debug)]
pub(super) struct Pieces {
    waiting: BytesMut,
    most: usize,
}

impl Pieces {
    /// None. A message has `most` bytes.
    pub fn new(most: usize) -> Self {
        Pieces { waiting: BytesMut::new(), most }
    }

    /// One more has come.
    pub fn add(&mut self, piece: &[u8]) {
        self.waiting.extend_from_slice(piece);
    }

    /// Whether the end may be here: no message has begun.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// It can be none.
    pub fn next(&mut self) -> Result<Option<Bytes>, Flaw> {
        let Some(&[flags, ref length @ ..]) = self.waiting.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        match flags {
            0 => {}
            1 => return Err(Flaw::Compressed),
            _ => return Err(Flaw::Flags),
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.most {
            return Err(Flaw::TooLarge);
        }
        if self.waiting.len() < PREFIX + length {
            return Ok(None);
        }
        self.waiting.advance(PREFIX);
        let message = self.waiting.split_to(length).freeze();
        if self.waiting.is_empty() {
            self.waiting = BytesMut::new(); // most of the time nothing waits
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(pieces: &mut Pieces) -> Vec<Bytes> {
        std::iter::from_fn(|| pieces.next().unwrap()).collect()
    }

    #[test]
    fn messages_are_found_wherever_they_are_cut() {
        let sent = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01d";
        for cut in 0..=sent.len() {
            let mut pieces = Pieces::new(3);
            let mut found = Vec::new();
            for piece in [&sent[..cut], &sent[cut..]] {
                pieces.add(piece);
                found.extend(messages(&mut pieces));
            }
            assert_eq!(found, [&b"abc"[..], b"", b"d"], "cut at {cut}");
            assert!(pieces.is_empty());
        }
        let mut pieces = Pieces::new(3);
        for (at, byte) in sent.iter().enumerate() {
            pieces.add(&[*byte]);
            assert_eq!(messages(&mut pieces).len(), usize::from([7, 12, 18].contains(&at)));
        }
    }

    #[test]
    fn what_can_be_no_message_is_known_by_its_head() {
        for (head, flaw) in [
            (b"\0\0\0\0\x04", Flaw::TooLarge),
            (b"\0\xff\xff\xff\xff", Flaw::TooLarge),
            (b"\x01\0\0\0\0", Flaw::Compressed),
            (b"\x80\0\0\0\0", Flaw::Flags),
        ] {
            let mut pieces = Pieces::new(3);
            pieces.add(head);
            assert_eq!(pieces.next(), Err(flaw), "{head:?}");
        }
        let mut pieces = Pieces::new(3);
        pieces.add(b"\x01\0\0\0");
        assert_eq!(pieces.next(), Ok(None));
        assert!(!pieces.is_empty());
    }
}
