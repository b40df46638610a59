//! The log in SQL: what is appended, read and cleared.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    chunk::{self, Chunk},
    column,
    delivery::{Delivery, SinkSlot},
    rooms::{Counters, Turn},
    updates::{self, Held},
    writer::Change,
};
use crate::domain::{
    broker::{Entry, Event, Page, PageLimit, Placed, Position, Stored, UpdateLimit, Updates},
    ids::RoomId,
    message::Kind,
};

/// A batch with something to store.
pub(super) struct Append {
    pub(super) turn: Turn,
    pub(super) entries: Arc<[Entry]>,
    pub(super) slot: SinkSlot,
    /// Milliseconds since 1970.
    pub(super) at_ms: u64,
    /// The room's first epoch, should it have no row yet.
    pub(super) epoch: i64,
    pub(super) updates: UpdateLimit,
}

impl Change for Append {
    /// How far the room has come then, and what became of each entry.
    type Made = (Counters, Vec<Placed>);
    type Answer = (Delivery, Vec<Placed>);

    fn weight(&self) -> usize {
        let body = |entry: &Entry| {
            if let Entry::Message { message, .. } = entry { message.body.len() } else { 0 }
        };
        self.entries.iter().map(body).sum::<usize>() + 100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<(Counters, Vec<Placed>)> {
        let (mut now, unix) = (self.turn.counters(), self.at_ms / 1000);
        let row = row(db, self.turn.room(), &mut now, self.epoch, unix)?;
        let (mut chunk, mut placed) = (Chunk::default(), Vec::with_capacity(self.entries.len()));
        for entry in self.entries.iter() {
            let mut position = Position { n: now.n + 1, index: None, at_ms: self.at_ms };
            if let Entry::Message { message, .. } = entry {
                match &message.kind {
                    Kind::Insert => {
                        if chunk.is_full(message.body.len()) {
                            chunk.write(db, row, &mut now, unix)?;
                        }
                        position.index = Some(now.inserts + chunk.count());
                        chunk.add(&message.body, position.n);
                    }
                    Kind::Update { id } => {
                        let held = now.updates.get_or_insert_default();
                        if !held.admit(db, row, id, message.body.len() as u64, self.updates)? {
                            placed.push(Placed::Full); // nobody is told of it
                            continue;
                        }
                        updates::put(db, row, id, position.n, unix, Some(&message.body))?;
                    }
                    Kind::Ignore => {}
                }
            }
            now.n = position.n;
            placed.push(Placed::At(position));
        }
        chunk.write(db, row, &mut now, unix)?;
        Ok((now, placed))
    }

    fn committed(mut self, (made, placed): (Counters, Vec<Placed>)) -> (Delivery, Vec<Placed>) {
        self.turn.set(made);
        let told = if placed.iter().all(|p| matches!(p, Placed::At(_))) {
            self.entries
        } else {
            let at = self.entries.iter().zip(&placed);
            at.filter(|(_, p)| matches!(p, Placed::At(_))).map(|(e, _)| e.clone()).collect()
        };
        (Delivery::entries(&self.slot, self.turn, told), placed)
    }
}

/// The room's row; made, with this epoch, where there is none.
pub(super) fn row(
    db: &Connection,
    room: &RoomId,
    counters: &mut Counters,
    epoch: i64,
    unix: u64,
) -> rusqlite::Result<i64> {
    let row = match counters.row {
        Some(row) => row,
        None => {
            let mut insert = db.prepare_cached(
                "INSERT INTO rooms (name, epoch, n, touched) VALUES (?1, ?2, 0, ?3)",
            )?;
            insert.insert(params![room.as_str(), epoch, column(unix)])?
        }
    };
    counters.row = Some(row);
    Ok(row)
}

/// The end of a room's log.
pub(super) struct Clear {
    pub(super) turn: Turn,
    pub(super) slot: SinkSlot,
    /// Seconds since 1970.
    pub(super) unix: u64,
}

impl Change for Clear {
    type Made = ();
    type Answer = Delivery;

    fn weight(&self) -> usize {
        100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<()> {
        let Some(row) = self.turn.counters().row else { return Ok(()) };
        forget(db, row)?;
        db.prepare_cached(
            "UPDATE rooms SET epoch = epoch + 1, n = ?3, touched = ?2 WHERE id = ?1",
        )?
        .execute(params![row, column(self.unix), column(self.turn.counters().n + 1)])?;
        Ok(())
    }

    fn committed(mut self, (): ()) -> Delivery {
        let Counters { row, n, .. } = self.turn.counters();
        self.turn.set(Counters { row, n: n + 1, inserts: 0, updates: Some(Held::default()) });
        Delivery::one(&self.slot, self.turn, Event::Cleared)
    }
}

/// Deletes a room's inserts and updates.
pub(super) fn forget(db: &Connection, row: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | 0xffffffff")?
        .execute([row])?;
    db.prepare_cached("DELETE FROM updates WHERE room = ?1")?.execute([row])?;
    Ok(())
}

/// How far the room has come: its last publication that was stored, and the length of its log.
pub(super) const COUNTERS: &str = "SELECT r.id,
         max(r.n, coalesce((SELECT n FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff ORDER BY pos DESC LIMIT 1), 0),
             coalesce((SELECT max(n) FROM updates WHERE room = r.id), 0)),
         coalesce((SELECT (pos & 0xffffffff) + count FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff
             ORDER BY pos DESC LIMIT 1), 0)
     FROM rooms r WHERE r.name = ?1";

pub(super) fn counters(db: &Connection, room: &RoomId) -> rusqlite::Result<Counters> {
    let found = db.prepare_cached(COUNTERS)?.query_row([room.as_str()], |row| {
        Ok(Counters {
            row: row.get(0)?,
            n: row.get::<_, i64>(1)?.unsigned_abs(),
            inserts: row.get::<_, i64>(2)?.unsigned_abs(),
            updates: None,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Reads a page, from a room's index ?2 on: the chunk that it is in, and those behind it.
pub(super) const PAGE: &str = "SELECT pos & 0xffffffff, count, lengths, body, unix FROM log WHERE pos BETWEEN
         coalesce((SELECT pos FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | ?2 ORDER BY pos DESC LIMIT 1), ?1 << 32)
         AND ?1 << 32 | 0xffffffff
     ORDER BY pos";

pub(super) fn page(
    db: &Connection,
    room: &RoomId,
    from: u64,
    limit: PageLimit,
) -> rusqlite::Result<Page> {
    let tx = db.unchecked_transaction()?; // one view of the database: entries and length belong together
    let counters = counters(&tx, room)?;
    let (mut page, mut bytes) = (Page { log_length: counters.inserts, ..Page::default() }, 0);
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
        let unix = row.get::<_, i64>(4)?.unsigned_abs();
        let bodies = chunk::read(count, row.get_ref(2)?, row.get_ref(3)?);
        let before = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        for body in bodies.skip(before).take(limit.entries.max(1) - page.entries.len()) {
            bytes += body.as_ref().map_or(0, Bytes::len);
            if bytes > limit.bytes && !page.entries.is_empty() {
                page.full = true;
                return Ok(page);
            }
            page.entries.push(Stored { body, at_ms: unix * 1000, recalled: false });
        }
    }
    page.full = page.entries.len() >= limit.entries;
    Ok(page)
}

/// Reads the room's updates in the order of their last writing.
pub(super) const UPDATES: &str =
    "SELECT body, unix FROM updates WHERE room = (SELECT id FROM rooms WHERE name = ?1) ORDER BY n";

pub(super) fn updates(db: &Connection, room: &RoomId, most: usize) -> rusqlite::Result<Updates> {
    let (mut entries, mut bytes, mut slab) = (Vec::new(), 0, BytesMut::new());
    let mut select = db.prepare_cached(UPDATES)?;
    let mut rows = select.query([room.as_str()])?;
    while let Some(row) = rows.next()? {
        let mut entry = stored(row)?;
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

/// The entry in a row of body and unix.
fn stored(row: &Row) -> rusqlite::Result<Stored> {
    let at_ms = row.get::<_, i64>(1)?.unsigned_abs() * 1000;
    Ok(Stored { body: chunk::text(row.get_ref(0)?), at_ms, recalled: false })
}
