//! The end of forgotten rooms: those that nobody is in and that nothing was stored in for the
//! configured time.
//!
//! Runs on the writer's thread, between groups, a small step at a time: a stretch of rooms is
//! looked at, one expired room is deleted. Rooms are walked by row rather than by an index on the
//! time, which every message would have to write.
use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, params};

use super::{
    column, log,
    rooms::Rooms,
    writer::{Chore, roll_back},
};
use crate::domain::{clock::Clock, ids::RoomId};
use crate::throttle::throttled;

/// Rooms looked at in one step.
const STRETCH: i64 = 50;

pub(super) struct Expiry {
    after: Duration,
    rooms: Arc<Rooms>,
    clock: Arc<dyn Clock>,
    /// The last row looked at, while a walk is under way.
    walk: Option<i64>,
    /// When the next walk begins, in seconds since 1970.
    next: u64,
}

/// Rooms behind a row, and whether the last that was stored in each is older than a time.
const STRETCH_OF_ROOMS: &str = "SELECT id, name,
         touched < ?2
             AND coalesce((SELECT unix FROM log WHERE pos BETWEEN rooms.id << 32 AND rooms.id << 32 | 0xffffffff
                 ORDER BY pos DESC LIMIT 1), 0) < ?2
             AND coalesce((SELECT unix FROM updates WHERE room = rooms.id ORDER BY n DESC LIMIT 1), 0) < ?2
     FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?3";

impl Expiry {
    pub(super) fn new(after: Duration, rooms: Arc<Rooms>, clock: Arc<dyn Clock>) -> Self {
        Expiry { after, rooms, clock, walk: None, next: 0 }
    }

    /// Between walks: a tenth of the expiry, at most an hour.
    fn period(&self) -> Duration {
        (self.after / 10).clamp(Duration::from_secs(1), Duration::from_secs(3600))
    }

    /// Looks at the rooms behind row `last`; returns the row to go on from.
    fn advance(&self, db: &Connection, now: u64, last: i64) -> rusqlite::Result<Option<i64>> {
        let before = column(now.saturating_sub(self.after.as_secs()));
        let mut stretch = db.prepare_cached(STRETCH_OF_ROOMS)?;
        let mut rows = stretch.query(params![last, before, STRETCH])?;
        let (mut seen, mut at) = (0, last);
        while let Some(row) = rows.next()? {
            (seen, at) = (seen + 1, row.get(0)?);
            if row.get(2)? {
                let name = RoomId::stored(row.get_ref(1)?.as_str()?);
                drop(rows);
                if let Ok(name) = name {
                    self.delete(db, at, &name)?;
                }
                return Ok(Some(at));
            }
        }
        Ok((seen == STRETCH).then_some(at))
    }

    /// Deletes the room, unless somebody is there. Who comes meanwhile waits for the turn, and
    /// finds a new room. Where a time is set at which the log is to be forgotten, the row stays
    /// without a log until then: that holds for what comes meanwhile, too. That of a life stays
    /// until it is forgotten, as its indexes go on.
    fn delete(&self, db: &Connection, row: i64, room: &RoomId) -> rusqlite::Result<()> {
        let Some(turn) = self.rooms.turn_if_unused(room) else { return Ok(()) };
        db.execute_batch("BEGIN IMMEDIATE")?;
        let mut counters = log::counters(db, room)?;
        let is_over = counters.has_expired(self.clock.unix_ms());
        if !is_over && (counters.expires.is_some() || room.is_life()) {
            log::forget(db, &mut counters, self.clock.unix())?;
        } else {
            log::delete_room(db, room, row, &counters)?;
        }
        db.execute_batch("COMMIT")?;
        drop(turn);
        Ok(())
    }
}

impl Chore for Expiry {
    fn pause(&self) -> Duration {
        if self.walk.is_some() { Duration::ZERO } else { self.period() }
    }

    /// A failure ends the walk; the next one tries again.
    fn step(&mut self, db: &Connection) {
        let now = self.clock.unix();
        let Some(last) = self.walk.or((now >= self.next).then_some(i64::MIN)) else { return };
        self.walk = self.advance(db, now, last).unwrap_or_else(|error| {
            throttled!(warn, %error, "can't delete expired rooms");
            roll_back(db);
            None
        });
        if self.walk.is_none() {
            self.next = now + self.period().as_secs();
        }
    }

    fn put_off(&mut self) {
        self.walk = None;
        self.next = self.clock.unix() + self.period().as_secs();
    }
}
