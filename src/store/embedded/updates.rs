//! What a room's updates take, so that they stay within their bound ([`UpdateLimit`]).
//!
//! How much an update replaces is known by a look into the table, which costs a message a good part
//! of what its writing does. So while a room is far from its bound nobody looks: each update counts
//! in full, as if it replaced nothing, and the count is *at least* what is there. When that count
//! reaches the bound the updates are counted anew. A room that is a quarter full or more is exact
//! from then on, at the price of that look.
use rusqlite::{Connection, OptionalExtension, params};

use super::column;
use crate::domain::broker::UpdateLimit;

/// What a room's updates take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    entries: u64,
    /// Of their bodies.
    bytes: u64,
    /// Not more than there is: what each update replaces is looked up.
    exact: bool,
}

impl Held {
    fn fits(self, limit: UpdateLimit) -> bool {
        self.entries <= limit.entries && self.bytes <= limit.bytes
    }

    /// With an update of so many bytes, in place of one that had `old`.
    fn with(self, bytes: u64, old: Option<u64>) -> Self {
        Held {
            entries: self.entries + u64::from(old.is_none()),
            bytes: (self.bytes + bytes).saturating_sub(old.unwrap_or(0)),
            ..self
        }
    }

    /// Takes an update into account that is about to be written. False: it must not be, the room
    /// has no place for it. What makes nothing larger is always allowed: a room may have been
    /// above the bound before there was one.
    pub(super) fn admit(
        &mut self,
        db: &Connection,
        row: i64,
        id: &str,
        bytes: u64,
        limit: UpdateLimit,
    ) -> rusqlite::Result<bool> {
        if !self.exact {
            let after = self.with(bytes, None);
            if after.fits(limit) {
                *self = after;
                return Ok(true);
            }
            *self = count(db, row, limit)?;
        }
        let mut select = db.prepare_cached(
            "SELECT coalesce(length(body), 0) FROM updates WHERE room = ?1 AND id = ?2",
        )?;
        let old = select
            .query_row(params![row, id], |row| row.get::<_, i64>(0))
            .optional()?
            .map(i64::unsigned_abs);
        let after = self.with(bytes, old);
        let admitted = after.fits(limit) || old.is_some_and(|old| bytes <= old);
        if admitted {
            *self = after;
        }
        Ok(admitted)
    }
}

/// Counts what is there. Reads all of it.
pub(super) fn count(db: &Connection, row: i64, limit: UpdateLimit) -> rusqlite::Result<Held> {
    let mut select = db.prepare_cached(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM updates WHERE room = ?1",
    )?;
    let (entries, bytes) = select.query_row([row], |row| {
        Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    let held = Held { entries, bytes, exact: false };
    Ok(Held {
        exact: !held.fits(UpdateLimit { entries: limit.entries / 4, bytes: limit.bytes / 4 }),
        ..held
    })
}

/// Bytes of a room's updates.
pub(super) fn bytes(db: &Connection, room: &str) -> rusqlite::Result<usize> {
    let mut select =
        db.prepare_cached("SELECT coalesce(sum(length(body)), 0) FROM updates WHERE room = (SELECT id FROM rooms WHERE name = ?1)")?;
    select
        .query_row([room], |row| row.get::<_, i64>(0))
        .map(|bytes| usize::try_from(bytes.unsigned_abs()).unwrap_or(usize::MAX))
}

/// Writes an update, in place of the one with its id.
pub(super) fn put(
    db: &Connection,
    row: i64,
    id: &str,
    n: u64,
    at_ms: u64,
    body: Option<&[u8]>,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO updates (room, id, n, unix, ms, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (room, id) DO UPDATE
             SET n = excluded.n, unix = excluded.unix, ms = excluded.ms, body = excluded.body",
    )?
    .execute(params![row, id, column(n), column(at_ms / 1000), column(at_ms % 1000), body])?;
    Ok(())
}
