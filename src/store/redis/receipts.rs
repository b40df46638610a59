//! Receipts, at `ao:receipt:{key}` until Redis ends them. The script that publishes looks for those
//! of its batch before it does anything, and writes them with what they are for.
//!
//! ```text
//! N INDEX MS LIFE ORIGIN\n DIGEST NOTE     the position (`-` for no index), 32 bytes, the rest
//! N INDEX MS =EPOCH\n DIGEST NOTE          the same
//! ```
//!
//! The position ends with what the log is named by, or with its name: a receipt that was copied is
//! of another log. In those of earlier builds it has neither.
use std::{fmt::Write, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Value, cmd};
use tokio::time::Instant;

use super::{Redis, answer, edition::epoch};
use crate::domain::{
    broker::{Entry, Placed, Position},
    error::StoreError,
    receipt::{KEPT, Kept, Receipt, Receipts},
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

/// The name of a log, from what scripts say of it: `LIFE ORIGIN`, or `=EPOCH`.
pub(super) fn named_by<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<u64> {
    let word = words.next()?;
    match word.strip_prefix('=') {
        Some(name) => name.parse().ok(),
        None => Some(epoch(word, words.next()?.parse().ok()?, "")),
    }
}

/// What is kept, as a script writes it.
pub(super) fn write(kept: &Kept) -> Vec<u8> {
    let Position { n, index, at_ms, epoch } = kept.position;
    let epoch = epoch.map_or_else(String::new, |name| format!(" ={name}"));
    let index = index.map_or_else(|| "-".to_owned(), |index| index.to_string());
    [format!("{n} {index} {at_ms}{epoch}\n").as_bytes(), &kept.digest, &kept.note].concat()
}

/// What is kept; nothing: somebody else wrote it.
pub(super) fn read(text: &Bytes) -> Option<Kept> {
    let line = text.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&text[..line]).ok()?.split(' ');
    let n = words.next()?.parse().ok()?;
    let index = match words.next()? {
        "-" => None,
        index => Some(index.parse().ok()?),
    };
    let at_ms = words.next()?.parse().ok()?;
    let position = Position { n, index, at_ms, epoch: named_by(&mut words) };
    let rest = text.slice(line + 1..);
    let digest = rest.get(..DIGEST)?.try_into().ok()?;
    Some(Kept { digest, position, note: rest.slice(DIGEST..) })
}

impl Redis {
    fn receipt(&self, key: &str) -> String {
        format!("{}ao:receipt:{key}", self.options.prefix)
    }

    /// What is kept with this key, if it is of this digest; nothing, where there is none.
    async fn kept(&self, key: &str, digest: &[u8; 32]) -> Result<Option<bool>, StoreError> {
        let found = self.command(&cmd("GET").arg(self.receipt(key)).to_owned()).await?;
        let Some(text) = answer::bytes(found) else { return Ok(None) };
        let asked = Receipt { key: Arc::from(key), digest: *digest, note: Bytes::new() };
        let answer = read(&text).map(|kept| kept.answer(&asked));
        Ok(Some(answer.is_some_and(|answer| answer != Placed::Reused)))
    }
}

/// Nobody else takes a key that is taken, so looking and giving back need not be one step.
#[async_trait]
impl Receipts for Redis {
    async fn take_key(&self, key: &str, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let now = self.client.redis_ms(Instant::now());
        let text = [format!("0 - {now}\n").as_bytes(), digest].concat();
        let take = cmd("SET")
            .arg(self.receipt(key))
            .arg(text)
            .arg("NX")
            .arg("PX")
            .arg(KEPT.as_millis() as u64)
            .to_owned();
        loop {
            if self.command(&take).await? != Value::Nil {
                return Ok(true);
            }
            // Its time may be over just now.
            if let Some(same) = self.kept(key, digest).await? {
                return Ok(same);
            }
        }
    }

    async fn give_back_key(&self, key: &str, digest: &[u8; 32]) -> Result<(), StoreError> {
        if self.kept(key, digest).await? == Some(true) {
            self.command(&cmd("DEL").arg(self.receipt(key)).to_owned()).await?;
        }
        Ok(())
    }
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
        let position = Position { n: 12, index: None, at_ms: 1_700_000_000_123, epoch: None };
        let replayed = Placed::Replayed { position, note: "then".into() };
        assert_eq!(kept(&good(7)), [(1, replayed)]);
        assert_eq!(kept(&good(8)), [(1, Placed::Reused)]);
        for index in [None, Some(7)] {
            for name in [None, Some(77)] {
                let position = Position { n: 12, index, at_ms: 5, epoch: name };
                let one = Kept { digest: [9; DIGEST], position, note: "a\nb".into() };
                assert_eq!(read(&write(&one).into()), Some(one));
            }
        }
        for (by, name) in [("17000000001 4", epoch("17000000001", 4, "")), ("=77", 77)] {
            let head = format!("12 - 1700000000123 {by}\n");
            let named = [head.as_bytes(), &[7; 32], b"then"].concat();
            let position = Position { epoch: Some(name), ..position };
            assert_eq!(kept(&named), [(1, Placed::Replayed { position, note: "then".into() })]);
        }
        for bad in [&b""[..], b"12 - 5", b"12 - 5\nshort", b"x 1 2\n", b"1 2\n", b"\xff\n"] {
            assert_eq!(kept(bad), [(1, Placed::Reused)]);
        }
        let published = ["1 2 3", "5", "6", "7", "8"].map(|part| Value::BulkString(part.into()));
        assert_eq!(answers(&Value::Array(published.into()), &entries), None);
    }
}
