//! Receipts, at `ao:receipt:{key}` until Redis ends them. The script that publishes looks for those
//! of its batch before it does anything, and writes them with what they are for.
//!
//! ```text
//! N INDEX MS\n DIGEST NOTE     what is kept: the position (`-` for no index), 32 bytes, the rest
//! ```
use std::fmt::Write;

use bytes::Bytes;
use redis::Value;

use super::answer;
use crate::domain::{
    broker::{Entry, Placed, Position},
    receipt::{KEPT, Kept, Receipt},
};

/// Bytes of a digest.
const DIGEST: usize = 32;

/// The receipts of a batch as the script is given them: how long they are kept, in milliseconds; and
/// of each its place (the first is 1), the lengths of its key and of the rest, key, digest and note.
/// Empty where no entry has one.
#[derive(Default)]
pub(super) struct Once(Vec<u8>);

impl Once {
    pub(super) fn add(&mut self, place: usize, receipt: &Receipt) {
        let Receipt { key, digest, note } = receipt;
        let mut head = String::new();
        if self.0.is_empty() {
            let _ = write!(head, "{} ", KEPT.as_millis()); // into a String: does not fail
        }
        let _ = write!(head, "{place} {} {} ", key.len(), DIGEST + note.len());
        for part in [head.as_bytes(), key.as_bytes(), digest, note] {
            self.0.extend_from_slice(part);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What became of entries that were published before, if the script says that some were; with their
/// places in the batch.
pub(super) fn answers(answer: &Value, entries: &[Entry]) -> Option<Vec<(usize, Placed)>> {
    let Value::Array(answer) = answer else { return None };
    let [Value::BulkString(word), kept @ ..] = &answer[..] else { return None };
    if word != b"kept" {
        return None;
    }
    let of = |pair: &[Value]| {
        let [place, kept] = pair else { return None };
        let place =
            usize::try_from(answer::number(Some(place.clone())).ok()?).ok()?.checked_sub(1)?;
        let receipt = entries.get(place)?.receipt()?;
        let kept = answer::bytes(kept.clone()).and_then(|text| read(&text));
        // Somebody else wrote what can't be read: it is not what is asked for.
        Some((place, kept.map_or(Placed::Reused, |kept| kept.answer(receipt))))
    };
    Some(kept.chunks(2).filter_map(of).collect())
}

fn read(text: &Bytes) -> Option<Kept> {
    let line = text.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&text[..line]).ok()?.split(' ');
    let n = words.next()?.parse().ok()?;
    let index = match words.next()? {
        "-" => None,
        index => Some(index.parse().ok()?),
    };
    let position = Position { n, index, at_ms: words.next()?.parse().ok()? };
    let rest = text.slice(line + 1..);
    let digest = rest.get(..DIGEST)?.try_into().ok()?;
    Some(Kept { digest, position, note: rest.slice(DIGEST..) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::witness::{insert, receipt, with_receipt};

    #[test]
    fn what_is_kept_is_read_and_what_others_wrote_is_something_else() {
        let entries = [insert("a"), with_receipt(receipt("k", 7, "note"), insert("b"))];
        let kept = |text: &[u8]| {
            let answer = [&b"kept"[..], b"2", text].map(|part| Value::BulkString(part.into()));
            answers(&Value::Array(answer.into()), &entries).unwrap()
        };
        let good = |digest: u8| [&b"12 - 1700000000123\n"[..], &[digest; 32], b"then"].concat();
        let position = Position { n: 12, index: None, at_ms: 1_700_000_000_123 };
        let replayed = Placed::Replayed { position, note: "then".into() };
        assert_eq!(kept(&good(7)), [(1, replayed)]);
        assert_eq!(kept(&good(8)), [(1, Placed::Reused)]);
        for bad in [&b""[..], b"12 - 5", b"12 - 5\nshort", b"x 1 2\n", b"1 2\n", b"\xff\n"] {
            assert_eq!(kept(bad), [(1, Placed::Reused)]);
        }
        let published = ["1 2 3", "5", "6", "7", "8"].map(|part| Value::BulkString(part.into()));
        assert_eq!(answers(&Value::Array(published.into()), &entries), None);
    }
}
