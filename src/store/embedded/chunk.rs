//! Messages that are stored together, in one row: see `third` in `schema.rs`.
use std::fmt::Write;

use bytes::Bytes;
use rusqlite::{Connection, params, types::ValueRef};

use super::{column, keys, rooms::Counters};

/// Most messages of a chunk, and most bytes with their lengths, where they are several: the row
/// stays in its page of the database, and whoever reads one of them reads all.
pub(super) const MOST: u64 = 100;
const MOST_BYTES: usize = 3600;
/// Offsets in a log have 32 bits in `pos`.
const MOST_INDEX: u64 = u32::MAX as u64;

/// A chunk that is being filled.
#[derive(Default)]
pub(super) struct Chunk {
    count: u64,
    /// The last one's place in the room's order.
    n: u64,
    /// Whether others took places between the first and the last.
    is_mixed: bool,
    /// If so, the place of each.
    places: Vec<u64>,
    bodies: Vec<u8>,
    lengths: String,
    /// Of each, up to the last that has one, as they are stored.
    keys: Vec<Option<String>>,
    /// Bytes of these, about.
    keys_length: usize,
}

impl Chunk {
    /// Whether it has to be written before a message of this length can be added.
    pub(super) fn is_full(&self, length: usize) -> bool {
        let there = self.bodies.len() + self.lengths.len() + self.keys_length;
        self.count == MOST || (self.count > 0 && there + length > MOST_BYTES)
    }

    /// Messages in it.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn add(&mut self, body: &[u8], n: u64, key: Option<&str>) {
        if self.count > 0 {
            self.bodies.push(b'\n');
            self.lengths.push(',');
        }
        self.bodies.extend_from_slice(body);
        let _ = write!(self.lengths, "{}", body.len()); // into a String: does not fail
        if let Some(key) = key {
            let before = usize::try_from(self.count).unwrap_or_default();
            let key = keys::short(key).into_owned();
            self.keys_length += key.len() + 3;
            self.keys.resize(before, None);
            self.keys.push(Some(key));
        }
        self.place(n);
        self.count += 1;
        self.n = n;
    }

    /// Notes the place of the one that is added. As long as they follow each other, nothing is kept
    /// of them but the last one's.
    fn place(&mut self, n: u64) {
        let follows = self.count == 0 || n == self.n + 1;
        if !follows && !self.is_mixed {
            self.is_mixed = true;
            self.places = (1..=self.count).map(|at| self.n + at - self.count).collect();
        }
        if self.is_mixed {
            self.places.push(n);
        }
    }

    /// The places as the table has them: how far each is before the last one, between commas; empty
    /// where they follow each other.
    fn written_places(&self) -> String {
        let before: Vec<String> =
            self.places.iter().map(|n| self.n.saturating_sub(*n).to_string()).collect();
        before.join(",")
    }

    /// The keys as the table has them.
    fn keys(&mut self) -> Option<String> {
        if self.keys.is_empty() {
            return None;
        }
        self.keys.resize(usize::try_from(self.count).unwrap_or_default(), None);
        serde_json::to_string(&self.keys).ok()
    }

    /// Writes what is in it, if anything is, and is empty then.
    pub(super) fn write(
        &mut self,
        db: &Connection,
        row: i64,
        counters: &mut Counters,
        at_ms: u64,
    ) -> rusqlite::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let (keys, places) = (self.keys(), self.written_places());
        let row = NewRow {
            room: row,
            count: self.count,
            n: self.n,
            at_ms,
            lengths: (self.count > 1).then_some(&*self.lengths),
            bodies: Some(&self.bodies),
            keys: keys.as_deref(),
            places: Some(&places),
        };
        row.insert(db, counters)?;
        (self.count, self.is_mixed) = (0, false);
        self.places.clear();
        self.bodies.clear();
        self.lengths.clear();
        self.keys.clear();
        self.keys_length = 0;
        Ok(())
    }
}

/// Writes an entry that could not be read where it comes from: it keeps its place, and has no body.
pub(super) fn write_unreadable(
    db: &Connection,
    row: i64,
    counters: &mut Counters,
    at_ms: u64,
) -> rusqlite::Result<()> {
    let n = counters.n;
    let row = NewRow {
        room: row,
        count: 1,
        n,
        at_ms,
        lengths: None,
        bodies: None,
        keys: None,
        places: Some(""),
    };
    row.insert(db, counters)
}

/// A row that is written behind a room's log.
struct NewRow<'a> {
    /// The room's row.
    room: i64,
    /// Messages in it.
    count: u64,
    /// The last one's place in the order.
    n: u64,
    /// Milliseconds since 1970.
    at_ms: u64,
    lengths: Option<&'a str>,
    bodies: Option<&'a [u8]>,
    keys: Option<&'a str>,
    places: Option<&'a str>,
}

impl NewRow<'_> {
    fn insert(&self, db: &Connection, counters: &mut Counters) -> rusqlite::Result<()> {
        if counters.inserts + self.count > MOST_INDEX {
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, column(counters.inserts)));
        }
        db.prepare_cached(
            "INSERT INTO log (pos, count, n, unix, ms, lengths, body, keys, places)
             VALUES (?1 << 32 | ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            self.room,
            column(counters.inserts),
            column(self.count),
            column(self.n),
            column(self.at_ms / 1000),
            column(self.at_ms % 1000),
            self.lengths,
            self.bodies,
            self.keys,
            self.places,
        ])?;
        counters.inserts += self.count;
        Ok(())
    }
}

/// The places in the room's order of the messages in a row.
pub(super) struct Places {
    count: u64,
    /// The last one's.
    last: u64,
    /// How far each is before it; nothing: they follow each other, or are not known.
    before: Option<Vec<u64>>,
    known: bool,
}

/// What a row of so many says of their places. Rows of earlier versions say nothing, and of what
/// can't be read nothing is believed.
pub(super) fn places(count: u64, last: u64, written: ValueRef) -> Places {
    let unknown = Places { count, last, before: None, known: false };
    match written.as_str_or_null() {
        Ok(Some("")) => Places { known: true, ..unknown },
        Ok(Some(text)) => {
            let before: Option<Vec<u64>> = text.split(',').map(|n| n.parse().ok()).collect();
            let before = before.filter(|before| before.len() as u64 == count);
            Places { known: before.is_some(), before, ..unknown }
        }
        Ok(None) | Err(_) => unknown,
    }
}

impl Places {
    /// That of the message at this place in the row.
    pub(super) fn at(&self, at: usize) -> Option<u64> {
        let before = match &self.before {
            Some(before) => *before.get(at)?,
            None => self.count.checked_sub(at as u64 + 1)?,
        };
        self.last.checked_sub(before).filter(|n| self.known && *n > 0)
    }
}

/// Milliseconds since 1970, from what a row has of them.
pub(super) fn at_ms(unix: i64, ms: Option<i64>) -> u64 {
    unix.unsigned_abs().saturating_mul(1000) + ms.unwrap_or(0).unsigned_abs()
}

/// The places that a row says were recalled.
pub(super) fn recalled(text: Option<&str>) -> Vec<usize> {
    text.map(|text| text.split(',').flat_map(str::parse).collect()).unwrap_or_default()
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
    // Of what was made empty there is no length.
    let length = |l: &str| if l.is_empty() { Some(None) } else { l.parse().ok().map(Some) };
    let lengths: Vec<Option<usize>> = match (&whole, lengths.as_str_or_null()) {
        (None, _) => vec![],
        (Some(_), Ok(Some(lengths))) => lengths.split(',').map_while(length).collect(),
        (Some(whole), Ok(None) | Err(_)) => vec![Some(whole.len())],
    };
    let whole = whole.unwrap_or_default();
    let mut at = 0_usize;
    (0..usize::try_from(count).unwrap_or(usize::MAX)).map(move |i| {
        let start = at;
        // Behind a length that can't be, nothing is where it should be.
        let length = lengths.get(i).copied().unwrap_or(Some(usize::MAX));
        let end = start.saturating_add(length.unwrap_or(0));
        at = end.saturating_add(1);
        let body = (length.is_some() && end <= whole.len()).then(|| whole.slice(start..end))?;
        std::str::from_utf8(&body).is_ok().then_some(body)
    })
}

/// Takes the bodies and keys of some of the messages out of a row: those keep their places, and have
/// no body from then on.
pub(super) fn blank(
    db: &Connection,
    pos: i64,
    is_blank: impl Fn(usize) -> bool,
) -> rusqlite::Result<()> {
    let mut select =
        db.prepare_cached("SELECT count, lengths, body, keys FROM log WHERE pos = ?1")?;
    let mut rows = select.query([pos])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let count = row.get::<_, i64>(0)?.unsigned_abs();
    let bodies: Vec<_> = read(count, row.get_ref(1)?, row.get_ref(2)?).collect();
    let keys = row.get_ref(3)?.as_str_or_null().unwrap_or_default().map(keys::of_row);
    drop(rows);
    let (mut lengths, mut body) = (String::new(), Vec::new());
    for (at, one) in bodies.iter().enumerate() {
        if at > 0 {
            lengths.push(',');
            body.push(b'\n');
        }
        if let Some(one) = one.as_ref().filter(|_| !is_blank(at)) {
            let _ = write!(lengths, "{}", one.len()); // into a String: does not fail
            body.extend_from_slice(one);
        }
    }
    let keys = keys.and_then(|mut keys| {
        keys.iter_mut()
            .enumerate()
            .filter(|(at, _)| is_blank(*at))
            .for_each(|(_, key)| *key = None);
        keys.iter().any(Option::is_some).then(|| serde_json::to_string(&keys).ok()).flatten()
    });
    // Of a single one there are no lengths: without a body it has none.
    let (lengths, body) = match (count, lengths.is_empty()) {
        (..=1, true) => (None, None),
        (..=1, false) => (None, Some(body)),
        _ => (Some(lengths), Some(body)),
    };
    db.prepare_cached("UPDATE log SET lengths = ?2, body = ?3, keys = ?4 WHERE pos = ?1")?
        .execute(params![pos, lengths, body, keys])?;
    Ok(())
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
            chunk.add(body.as_bytes(), n as u64, None);
        }
        assert_eq!((chunk.count, chunk.n, chunk.lengths.as_str()), (4, 3, "2,0,3,2"));
        let all = |texts: &[&str]| texts.iter().map(|t| Some((*t).to_owned())).collect::<Vec<_>>();
        assert_eq!(bodies(4, &chunk.lengths, &chunk.bodies), all(&["{}", "", "a\nb", "é"]));
        assert_eq!(bodies(1, "", b"whole"), all(&["whole"]));
        assert_eq!(bodies(3, "1,x,1", b"a\nb\nc"), [Some("a".into()), None, None]);
        assert_eq!(bodies(3, "1,1,9", b"a\n\xff\nc"), [Some("a".into()), None, None]);
        assert_eq!(bodies(2, "18446744073709551615,1", b"a"), [None, None]);
        assert_eq!(bodies(3, "1,,2", b"a\n\nbc"), [Some("a".into()), None, Some("bc".into())]);
        // No text at all is not an empty one.
        assert_eq!(text(ValueRef::Null), None);
        assert_eq!(text(ValueRef::Integer(7)), None);
    }

    #[test]
    fn keys_stand_where_their_messages_do() {
        let mut chunk = Chunk::default();
        for (n, key) in [None, Some("a\"b"), None, Some(""), None].into_iter().enumerate() {
            chunk.add(b"{}", n as u64, key);
        }
        assert_eq!(chunk.keys().unwrap(), r#"[null,"a\"b",null,"",null]"#);
        (0..70).for_each(|n| chunk.add(b"", 6 + n, Some(&"x".repeat(30_000))));
        assert!(chunk.is_full(600) && !chunk.is_full(100), "they count, long ones by their hashes");
    }

    #[test]
    fn the_place_of_each_message_is_known_also_where_others_are_between() {
        let places_of = |ns: &[u64]| {
            let mut chunk = Chunk::default();
            ns.iter().for_each(|n| chunk.add(b"{}", *n, None));
            let written = chunk.written_places();
            let read = places(chunk.count, chunk.n, ValueRef::Text(written.as_bytes()));
            let back: Vec<_> = (0..ns.len()).filter_map(|at| read.at(at)).collect();
            assert_eq!(read.at(ns.len()), None);
            (written, back)
        };
        for (ns, written) in [
            (vec![7], ""),
            (vec![7, 8, 9], ""),
            (vec![7, 9], "2,0"),
            (vec![7, 8, 10, 11], "4,3,1,0"),
            (vec![1, 5, 6, 20], "19,15,14,0"),
        ] {
            assert_eq!(places_of(&ns), (written.to_owned(), ns));
        }
        for wrong in [ValueRef::Null, ValueRef::Text(b"1"), ValueRef::Text(b"x,0")] {
            assert_eq!(places(2, 9, wrong).at(0), None, "{wrong:?}");
        }
        assert_eq!(places(9, 3, ValueRef::Text(b"")).at(0), None, "there is no place before 1");
    }

    #[test]
    fn a_chunk_is_full_by_number_or_size() {
        let mut chunk = Chunk::default();
        assert!(!chunk.is_full(usize::MAX)); // whatever its size, one fits
        chunk.add(&[b' '; 3000], 1, None);
        assert!(chunk.is_full(600) && !chunk.is_full(500));
        let mut chunk = Chunk::default();
        (0..MOST).for_each(|n| chunk.add(b"", n, None));
        assert!(chunk.is_full(0));
    }
}
