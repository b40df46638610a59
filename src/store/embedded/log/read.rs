//! Reading the log: pages of it, and a room's updates.
use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, Row, params};

use super::{
    super::{chunk, column, trim},
    counters,
};
use crate::domain::{
    broker::{Page, PageLimit, Stored, Updates},
    ids::RoomId,
    retention::Rule,
};

/// Reads a page, from a room's offset ?2 on: the chunk that it is in, and those behind it.
pub(in super::super) const PAGE: &str =
    "SELECT pos & 0xffffffff, count, lengths, body, unix, ms, recalled, n, places
     FROM log WHERE pos BETWEEN
         coalesce((SELECT pos FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | ?2
             ORDER BY pos DESC LIMIT 1), ?1 << 32)
         AND ?1 << 32 | 0xffffffff
     ORDER BY pos";

/// A page as it is at this time, in milliseconds since 1970.
pub(in super::super) fn page(
    db: &Connection,
    room: &RoomId,
    from: u64,
    limit: PageLimit,
    now_ms: u64,
    rule: Rule,
) -> rusqlite::Result<Page> {
    // One view of the database: entries and length belong together.
    let tx = db.unchecked_transaction()?;
    let mut counters = counters(&tx, room)?;
    if counters.has_expired(now_ms) {
        let (base, epoch) = (counters.base + counters.inserts, counters.epoch + 1);
        return Ok(Page { base, epoch, ..Page::default() });
    }
    trim::hide(&tx, &mut counters, rule, now_ms)?;
    let (mut page, mut bytes) = (counters.page(), 0);
    let from = page.first(from);
    if from >= counters.inserts {
        return Ok(page); // most who come back ask for what is not there yet
    }
    let mut select = tx.prepare_cached(PAGE)?;
    let mut rows = select.query(params![counters.row, column(from)])?;
    while page.entries.len() < limit.entries.max(1)
        && let Some(row) = rows.next()?
    {
        let (first, count) =
            (row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs());
        let at_ms = chunk::at_ms(row.get(4)?, row.get(5)?);
        let recalled = chunk::recalled(row.get_ref(6)?.as_str_or_null().unwrap_or_default());
        let places = chunk::places(count, row.get::<_, i64>(7)?.unsigned_abs(), row.get_ref(8)?);
        let bodies = chunk::read(count, row.get_ref(2)?, row.get_ref(3)?).enumerate();
        let before = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        for (at, body) in bodies.skip(before).take(limit.entries.max(1) - page.entries.len()) {
            let recalled = recalled.contains(&at);
            let body = body.filter(|_| !recalled);
            bytes += body.as_ref().map_or(0, Bytes::len);
            if bytes > limit.bytes && !page.entries.is_empty() {
                page.full = true;
                return Ok(page);
            }
            page.entries.push(Stored { body, at_ms, recalled, n: places.at(at) });
        }
    }
    page.full = page.entries.len() >= limit.entries;
    Ok(page)
}

/// Reads the room's updates in the order of their last writing, unless its log was to be forgotten
/// by then (?2, milliseconds since 1970).
pub(in super::super) const UPDATES: &str = "SELECT body, unix, ms, n FROM updates
     WHERE room = (SELECT id FROM rooms WHERE name = ?1 AND coalesce(expires > ?2, 1)) ORDER BY n";

/// But for those whose last writing was by `due_by`, in milliseconds since 1970.
pub(in super::super) fn updates(
    db: &Connection,
    room: &RoomId,
    most: usize,
    now_ms: u64,
    due_by: u64,
) -> rusqlite::Result<Updates> {
    let (mut entries, mut bytes, mut slab) = (Vec::new(), 0, BytesMut::new());
    let mut select = db.prepare_cached(UPDATES)?;
    let mut rows = select.query(params![room.as_str(), column(now_ms)])?;
    while let Some(row) = rows.next()? {
        let mut entry = stored(row)?;
        if entry.at_ms <= due_by && due_by > 0 {
            continue;
        }
        bytes += entry.body.as_ref().map_or(0, Bytes::len);
        if bytes > most {
            return Ok(Updates::Larger);
        }
        if let Some(body) = entry.body.as_mut().filter(|_| most > SLAB) {
            if slab.capacity() < body.len() {
                slab = BytesMut::with_capacity(SLAB.max(body.len()));
            }
            slab.extend_from_slice(body);
            *body = slab.split().freeze();
        }
        entries.push(entry);
    }
    Ok(Updates::All(entries))
}

/// Of very many updates the bodies lie in pieces of memory of this size: what is larger than 32 MiB
/// the allocator gives back when it is freed, while of small ones it would keep hundreds of
/// megabytes for the thread that has read them.
const SLAB: usize = 33 << 20;

/// The entry in a row of body, unix, ms and n.
fn stored(row: &Row) -> rusqlite::Result<Stored> {
    let (at_ms, n) = (chunk::at_ms(row.get(1)?, row.get(2)?), row.get::<_, i64>(3)?);
    let body = chunk::text(row.get_ref(0)?);
    Ok(Stored { body, at_ms, recalled: false, n: Some(n.unsigned_abs()) })
}
