//! The log in SQL: what is appended, read and cleared.
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params, types::ValueRef};

use super::{
    column,
    delivery::{Delivery, Outlet},
    rooms::{Counters, Turn},
    writer::Change,
};
use crate::domain::{
    broker::{Entry, Event, Page, PageLimit, Stored},
    ids::RoomId,
    message::Kind,
};

/// A batch with something to store.
pub(super) struct Append {
    pub(super) turn: Turn,
    pub(super) entries: Arc<[Entry]>,
    pub(super) outlet: Outlet,
    /// Seconds since 1970.
    pub(super) unix: u64,
    /// The room's first epoch, should it have no row yet.
    pub(super) epoch: i64,
}

impl Change for Append {
    type Made = Counters;
    type Answer = Delivery;

    fn weight(&self) -> usize {
        let body = |entry: &Entry| if let Entry::Message { message, .. } = entry { message.body.len() } else { 0 };
        self.entries.iter().map(body).sum::<usize>() + 100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<Counters> {
        let mut now = self.turn.counters();
        let row = match now.row {
            Some(row) => row,
            None => db
                .prepare_cached("INSERT INTO rooms (name, epoch, n, inserts, touched) VALUES (?1, ?2, 0, 0, 0)")?
                .insert(params![self.turn.room().as_str(), self.epoch])?,
        };
        now.row = Some(row);
        let mut insert = db.prepare_cached("INSERT INTO inserts (room, idx, n, unix, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for entry in self.entries.iter() {
            now.n += 1;
            let Entry::Message { message, .. } = entry else { continue };
            let (n, unix, body) = (column(now.n), column(self.unix), &*message.body);
            match &message.kind {
                Kind::Insert => {
                    insert.execute(params![row, column(now.inserts), n, unix, body])?;
                    now.inserts += 1;
                }
                Kind::Update { id } => {
                    db.prepare_cached(
                        "INSERT INTO updates (room, id, n, unix, body) VALUES (?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT (room, id) DO UPDATE SET n = excluded.n, unix = excluded.unix, body = excluded.body",
                    )?
                    .execute(params![row, &**id, n, unix, body])?;
                }
                Kind::Ignore => {}
            }
        }
        db.prepare_cached("UPDATE rooms SET n = ?2, inserts = ?3, touched = ?4 WHERE id = ?1")?.execute(params![
            row,
            column(now.n),
            column(now.inserts),
            column(self.unix)
        ])?;
        Ok(now)
    }

    fn committed(mut self, made: Counters) -> Delivery {
        self.turn.set(made);
        Delivery::entries(&self.outlet, self.turn, self.entries)
    }
}

/// The end of a room's epoch.
pub(super) struct Clear {
    pub(super) turn: Turn,
    pub(super) outlet: Outlet,
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
        db.prepare_cached("UPDATE rooms SET epoch = epoch + 1, n = 1, inserts = 0, touched = ?2 WHERE id = ?1")?
            .execute(params![row, column(self.unix)])?;
        Ok(())
    }

    fn committed(mut self, (): ()) -> Delivery {
        // The news that the room is cleared is the first of its new epoch.
        self.turn.set(Counters { row: self.turn.counters().row, n: 1, inserts: 0 });
        Delivery::one(&self.outlet, self.turn, None, Event::Cleared)
    }
}

/// Deletes a room's inserts and updates.
pub(super) fn forget(db: &Connection, row: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM inserts WHERE room = ?1")?.execute([row])?;
    db.prepare_cached("DELETE FROM updates WHERE room = ?1")?.execute([row])?;
    Ok(())
}

/// How far the room has come.
pub(super) fn counters(db: &Connection, room: &RoomId) -> rusqlite::Result<Counters> {
    let mut find = db.prepare_cached("SELECT id, n, inserts FROM rooms WHERE name = ?1")?;
    let found = find.query_row([room.as_str()], |row| {
        Ok(Counters { row: row.get(0)?, n: row.get::<_, i64>(1)?.unsigned_abs(), inserts: row.get::<_, i64>(2)?.unsigned_abs() })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Reads a page: one statement, so its entries and the log's length belong together.
pub(super) const PAGE: &str = "SELECT i.body, i.unix, r.inserts, i.idx IS NOT NULL FROM rooms r
     LEFT JOIN inserts i ON i.room = r.id AND i.idx >= ?2 WHERE r.name = ?1 ORDER BY i.idx LIMIT ?3";

pub(super) fn page(db: &Connection, room: &RoomId, from: u64, limit: PageLimit) -> rusqlite::Result<Page> {
    let mut select = db.prepare_cached(PAGE)?;
    let most = column(limit.entries.max(1) as u64);
    let mut rows = select.query(params![room.as_str(), column(from), most])?;
    let (mut page, mut bytes) = (Page::default(), 0);
    while let Some(row) = rows.next()? {
        page.log_length = row.get::<_, i64>(2)?.unsigned_abs();
        if !row.get::<_, bool>(3)? {
            break; // nothing at or past `from`
        }
        let entry = stored(row)?;
        bytes += entry.body.as_ref().map_or(0, |b| b.len());
        if bytes > limit.bytes && !page.entries.is_empty() {
            page.full = true;
            return Ok(page);
        }
        page.entries.push(entry);
    }
    page.full = page.entries.len() >= limit.entries;
    Ok(page)
}

/// Reads the room's updates in the order of their last writing.
pub(super) const UPDATES: &str = "SELECT body, unix FROM updates WHERE room = (SELECT id FROM rooms WHERE name = ?1) ORDER BY n";

pub(super) fn updates(db: &Connection, room: &RoomId) -> rusqlite::Result<Vec<Stored>> {
    db.prepare_cached(UPDATES)?.query_map([room.as_str()], stored)?.collect()
}

/// The entry in a row that begins with body and unix. A body that is no text (somebody else wrote it) can't be read.
fn stored(row: &Row) -> rusqlite::Result<Stored> {
    let body = match row.get_ref(0)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) if str::from_utf8(bytes).is_ok() => Some(bytes.to_vec().into()),
        _ => None,
    };
    Ok(Stored { body, unix: row.get::<_, i64>(1)?.unsigned_abs() })
}
