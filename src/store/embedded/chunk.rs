//! Messages that are stored together, in one row: see `third` in `schema.rs`.
use std::fmt::Write;

use bytes::Bytes;
use rusqlite::{Connection, params, types::ValueRef};

use super::{column, rooms::Counters};

/// Most messages of a chunk, and most bytes with their lengths, where they are several: the row
/// stays in its page of the database, and whoever reads one of them reads all.
const MOST: u64 = 100;
const MOST_BYTES: usize = 3600;
/// Indexes have 32 bits in `pos`.
const MOST_INDEX: u64 = u32::MAX as u64;

/// A chunk that is being filled.
#[derive(Default)]
pub(super) struct Chunk {
    count: u64,
    /// The last one's place in the room's order.
    n: u64,
    bodies: Vec<u8>,
    lengths: String,
}

impl Chunk {
    /// Whether it has to be written before a message of this length can be added.
    pub(super) fn is_full(&self, length: usize) -> bool {
        self.count == MOST
            || (self.count > 0 && self.bodies.len() + self.lengths.len() + length > MOST_BYTES)
    }

    /// Messages in it.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn add(&mut self, body: &[u8], n: u64) {
        if self.count > 0 {
            self.bodies.push(b'\n');
            self.lengths.push(',');
        }
        self.bodies.extend_from_slice(body);
        let _ = write!(self.lengths, "{}", body.len()); // into a String: does not fail
        self.count += 1;
        self.n = n;
    }

    /// Writes what is in it, if anything is, and is empty then.
    pub(super) fn write(
        &mut self,
        db: &Connection,
        row: i64,
        counters: &mut Counters,
        unix: u64,
    ) -> rusqlite::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let lengths = (self.count > 1).then_some(&*self.lengths);
        insert(db, row, counters, (self.count, self.n), unix, (lengths, Some(&self.bodies)))?;
        self.count = 0;
        self.bodies.clear();
        self.lengths.clear();
        Ok(())
    }
}

/// Writes an entry that could not be read where it comes from: it keeps its place, and has no body.
pub(super) fn write_unreadable(
    db: &Connection,
    row: i64,
    counters: &mut Counters,
    unix: u64,
) -> rusqlite::Result<()> {
    insert(db, row, counters, (1, counters.n), unix, (None, None))
}

/// Writes a row of so many messages, the last of them with this place in the order.
fn insert(
    db: &Connection,
    row: i64,
    counters: &mut Counters,
    (count, n): (u64, u64),
    unix: u64,
    (lengths, bodies): (Option<&str>, Option<&[u8]>),
) -> rusqlite::Result<()> {
    if counters.inserts + count > MOST_INDEX {
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, column(counters.inserts)));
    }
    db.prepare_cached("INSERT INTO log (pos, count, n, unix, lengths, body) VALUES (?1 << 32 | ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![row, column(counters.inserts), column(count), column(n), column(unix), lengths, bodies])?;
    counters.inserts += count;
    Ok(())
}

/// The bodies in a row, as many as it counts; nothing in place of one that can't be read: somebody
/// else wrote it.
pub(super) fn read(
    count: u64,
    lengths: ValueRef,
    bodies: ValueRef,
) -> impl Iterator<Item = Option<Bytes>> {
    let whole = match bodies {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Some(Bytes::copy_from_slice(bytes)),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    };
    let lengths: Vec<usize> = match (&whole, lengths.as_str_or_null()) {
        (None, _) => vec![],
        (Some(_), Ok(Some(lengths))) => lengths.split(',').map_while(|l| l.parse().ok()).collect(),
        (Some(whole), Ok(None) | Err(_)) => vec![whole.len()],
    };
    let whole = whole.unwrap_or_default();
    let mut at = 0_usize;
    (0..usize::try_from(count).unwrap_or(usize::MAX)).map(move |i| {
        let start = at;
        // Behind a length that can't be, nothing is where it should be.
        let end = start.saturating_add(lengths.get(i).copied().unwrap_or(usize::MAX));
        at = end.saturating_add(1);
        let body = (end <= whole.len()).then(|| whole.slice(start..end))?;
        std::str::from_utf8(&body).is_ok().then_some(body)
    })
}

/// The text in a column, if it is one.
pub(super) fn text(value: ValueRef) -> Option<Bytes> {
    read(1, ValueRef::Null, value).next().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(count: u64, lengths: &str, body: &[u8]) -> Vec<Option<String>> {
        let lengths =
            if lengths.is_empty() { ValueRef::Null } else { ValueRef::Text(lengths.as_bytes()) };
        read(count, lengths, ValueRef::Blob(body))
            .map(|b| b.map(|b| String::from_utf8(b.to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn what_was_added_is_read_and_damage_costs_no_index() {
        let mut chunk = Chunk::default();
        for (n, body) in ["{}", "", "a\nb", "é"].iter().enumerate() {
            chunk.add(body.as_bytes(), n as u64);
        }
        assert_eq!((chunk.count, chunk.n, chunk.lengths.as_str()), (4, 3, "2,0,3,2"));
        let all = |texts: &[&str]| texts.iter().map(|t| Some((*t).to_owned())).collect::<Vec<_>>();
        assert_eq!(bodies(4, &chunk.lengths, &chunk.bodies), all(&["{}", "", "a\nb", "é"]));
        assert_eq!(bodies(1, "", b"whole"), all(&["whole"]));
        assert_eq!(bodies(3, "1,x,1", b"a\nb\nc"), [Some("a".into()), None, None]);
        assert_eq!(bodies(3, "1,1,9", b"a\n\xff\nc"), [Some("a".into()), None, None]);
        assert_eq!(bodies(2, "18446744073709551615,1", b"a"), [None, None]);
        // No text at all is not an empty one.
        assert_eq!(text(ValueRef::Null), None);
        assert_eq!(text(ValueRef::Integer(7)), None);
    }

    #[test]
    fn a_chunk_is_full_by_number_or_size() {
        let mut chunk = Chunk::default();
        assert!(!chunk.is_full(usize::MAX)); // whatever its size, one fits
        chunk.add(&[b' '; 3000], 1);
        assert!(chunk.is_full(600) && !chunk.is_full(500));
        let mut chunk = Chunk::default();
        (0..MOST).for_each(|n| chunk.add(b"", n));
        assert!(chunk.is_full(0));
    }
}
