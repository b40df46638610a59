//! Recalling an insert, and logs that are to be forgotten at a time.
//!
//! Whoever reads or writes a room looks whether its log's time is over, so it is forgotten on time
//! for everybody. That its space is free again is the writer's work ([`Lapses`]), between groups, as
//! soon as the time has come: nobody need use the room for it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, params};

use super::{
    Embedded, chunk, column,
    delivery::{Delivery, SinkSlot},
    keys, log,
    rooms::{Counters, Rooms, Turn},
    trim,
    writer::{Change, Chore, roll_back},
};
use crate::{
    domain::{
        broker::{Event, KNOWN_KEYS, Trim, Trimmed, Upkeep},
        clock::Clock,
        error::StoreError,
        ids::RoomId,
    },
    throttle::throttled,
};

/// Rooms whose logs are forgotten in one step.
const ROOMS: i64 = 20;
/// Between two looks at a room that is being written to.
const BUSY: Duration = Duration::from_millis(10);
/// Most time between two looks at the clock, which may be set.
const LOOK: Duration = Duration::from_secs(60);

/// An insert that was looked for by its key.
struct Found {
    /// Its row.
    pos: i64,
    /// Its place there.
    at: usize,
    /// The places there that are hidden, as the row has them.
    recalled: Option<String>,
    body: Option<Bytes>,
}

/// Reads the rows with keys of a room's log from offset ?2 on, the newest first.
pub(super) const CHUNKS_WITH_KEYS: &str =
    "SELECT pos, count, keys, recalled, lengths, body FROM log INDEXED BY log_with_keys
     WHERE keys IS NOT NULL AND pos BETWEEN ?1 << 32 | ?2 AND ?1 << 32 | 0xffffffff ORDER BY pos DESC";

/// Looks for an insert among the newest `within` of a room.
fn find(
    db: &Connection,
    counters: &Counters,
    key: &str,
    within: u64,
) -> rusqlite::Result<Option<Found>> {
    let Some(row) = counters.row else { return Ok(None) };
    let lowest = counters.inserts.saturating_sub(within).max(counters.start);
    let key = keys::short(key);
    let mut select = db.prepare_cached(CHUNKS_WITH_KEYS)?;
    // The insert may be in a row that begins before.
    let mut rows = select.query(params![row, column(lowest.saturating_sub(chunk::MOST))])?;
    while let Some(row) = rows.next()? {
        let (pos, count) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?.unsigned_abs());
        let first = pos.unsigned_abs() & 0xffff_ffff;
        let keys = keys::of_row(row.get_ref(2)?.as_str()?);
        let Some(at) = keys.iter().rposition(|k| k.as_deref() == Some(&*key)) else { continue };
        if first + (at as u64) < lowest {
            return Ok(None);
        }
        let recalled = row.get_ref(3)?.as_str_or_null()?.map(str::to_owned);
        let body = chunk::read(count, row.get_ref(4)?, row.get_ref(5)?).nth(at).flatten();
        return Ok(Some(Found { pos, at, recalled, body }));
    }
    Ok(None)
}

/// Hides an insert. It was found in the same turn, so it is still where it was.
struct Recall {
    turn: Turn,
    key: Arc<str>,
    pos: i64,
    /// The places in its row that are hidden then.
    recalled: String,
    slot: SinkSlot,
}

impl Change for Recall {
    type Made = Counters;
    type Answer = Delivery;

    fn weight(&self) -> usize {
        100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<Counters> {
        let mut counters = self.turn.counters();
        counters.n += 1;
        db.prepare_cached("UPDATE log SET recalled = ?2 WHERE pos = ?1")?
            .execute(params![self.pos, self.recalled])?;
        db.prepare_cached("UPDATE rooms SET n = max(n, ?2) WHERE id = ?1")?
            .execute(params![counters.row, column(counters.n)])?;
        Ok(counters)
    }

    fn committed(mut self, counters: Counters) -> Delivery {
        self.turn.set(counters);
        Delivery::one(&self.slot, self.turn, Event::Recalled { key: self.key })
    }
}

/// Says when a room's log is to be forgotten.
struct Expire {
    turn: Turn,
    slot: SinkSlot,
    /// The room's first epoch, should it have no row yet.
    epoch: i64,
    /// Milliseconds since 1970.
    now_ms: u64,
    at_ms: u64,
    due: Arc<AtomicU64>,
}

impl Change for Expire {
    type Made = (Counters, bool);
    type Answer = ();

    fn weight(&self) -> usize {
        100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<(Counters, bool)> {
        let mut counters = self.turn.counters();
        let row = log::row(db, self.turn.room(), &mut counters, self.epoch, self.now_ms / 1000)?;
        let lapsed = log::lapse(db, &mut counters, self.now_ms)?;
        counters.expires = Some(self.at_ms);
        db.prepare_cached("UPDATE rooms SET expires = ?2 WHERE id = ?1")?
            .execute(params![row, column(self.at_ms)])?;
        Ok((counters, lapsed))
    }

    fn committed(mut self, (counters, lapsed): (Counters, bool)) {
        self.turn.set(counters);
        if lapsed {
            log::forgotten(&mut self.turn, &self.slot);
        }
        self.due.fetch_min(self.at_ms, Relaxed);
    }
}

#[async_trait]
impl Upkeep for Embedded {
    async fn recall(
        &self,
        room: &RoomId,
        key: &str,
        within: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut turn = self.turn(room).await?;
        let counters = turn.counters();
        // The writer is everybody's: it hides what was found, and looks for nothing. Among the
        // newest inserts those with a key are known by it.
        if counters.has_expired(self.clock.unix_ms())
            || !self.know_keys(&mut turn).await?.contains(key)
        {
            return Ok(None);
        }
        let (key, within): (Arc<str>, _) = (key.into(), within.min(KNOWN_KEYS) as u64);
        let sought = key.clone();
        let (rule, now_ms, mut counters) = (self.rule(room), self.clock.unix_ms(), counters);
        let look = move |db: &Connection| {
            trim::hide(db, &mut counters, rule, now_ms)?;
            find(db, &counters, &sought, within)
        };
        let Some(found) = self.readers.pages.read(look).await? else { return Ok(None) };
        let Found { pos, at, recalled, body } = found;
        // What is damaged was there, and is hidden.
        let body = Some(body.unwrap_or_default());
        if chunk::recalled(recalled.as_deref()).contains(&at) {
            return Ok(body);
        }
        let recalled = recalled.map_or_else(|| at.to_string(), |before| format!("{before},{at}"));
        let slot = self.slot.clone();
        drop(self.writer.write(Recall { turn, key, pos, recalled, slot }).await?);
        Ok(body)
    }

    async fn expire(&self, room: &RoomId, after: Duration) -> Result<(), StoreError> {
        let (turn, now_ms) = (self.turn(room).await?, self.clock.unix_ms());
        let at_ms = now_ms.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        let (epoch, slot) = (super::new_epoch(&*self.rng)?, self.slot.clone());
        let due = self.due.clone();
        self.writer.write(Expire { turn, slot, epoch, now_ms, at_ms, due }).await
    }

    async fn trim(&self, room: &RoomId, trim: Trim) -> Result<Trimmed, StoreError> {
        self.trim_log(room, trim).await
    }
}

/// The rooms whose logs are to be forgotten, as the writer's thread sees them.
pub(super) struct Lapses {
    /// When the first of them is due, in milliseconds since 1970, or earlier; `u64::MAX`: none is.
    next: Arc<AtomicU64>,
    rooms: Arc<Rooms>,
    slot: SinkSlot,
    clock: Arc<dyn Clock>,
}

/// Rooms whose logs' time is over by ?1.
pub(super) const DUE: &str =
    "SELECT id, name FROM rooms WHERE expires <= ?1 ORDER BY expires LIMIT ?2";

/// When the first is due of those that are not by ?1.
pub(super) const NEXT: &str =
    "SELECT expires FROM rooms WHERE expires > ?1 ORDER BY expires LIMIT 1";

impl Lapses {
    /// Looked for at the first step.
    pub(super) fn new(
        next: Arc<AtomicU64>,
        rooms: Arc<Rooms>,
        slot: SinkSlot,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Lapses { next, rooms, slot, clock }
    }

    /// Returns when the next step is to be.
    fn advance(&self, db: &Connection, now_ms: u64) -> rusqlite::Result<u64> {
        let due: Vec<(i64, String)> = db
            .prepare_cached(DUE)?
            .query_map(params![column(now_ms), ROOMS], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (row, name) in &due {
            match RoomId::stored(name) {
                Ok(room) => self.forget(db, &room, now_ms)?,
                // Somebody else wrote it.
                Err(_) => {
                    db.execute("UPDATE rooms SET expires = NULL WHERE id = ?1", [row])?;
                }
            }
        }
        if !due.is_empty() {
            return Ok(now_ms); // there may be more, and some were busy
        }
        let next = db.prepare_cached(NEXT)?.query_row([column(now_ms)], |row| row.get::<_, i64>(0));
        match next {
            Ok(next) => Ok(next.unsigned_abs()),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(u64::MAX),
            Err(error) => Err(error),
        }
    }

    /// Forgets a room's log, and a life wholly, unless it is being written to: whoever does that
    /// has seen the time.
    fn forget(&self, db: &Connection, room: &RoomId, now_ms: u64) -> rusqlite::Result<()> {
        let Some(mut turn) = self.rooms.turn_if_free(room, db)? else { return Ok(()) };
        let mut counters = turn.counters();
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let lapsed = log::lapse(db, &mut counters, now_ms)?;
        if let (true, true, Some(row)) = (lapsed, room.is_life(), counters.row) {
            log::delete_room(db, room, row, &counters)?;
            counters = Counters { n: counters.n, ..Counters::default() };
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        turn.set(counters);
        if lapsed {
            log::forgotten(&mut turn, &self.slot);
        }
        Ok(())
    }
}

impl Chore for Lapses {
    fn pause(&self) -> Duration {
        match self.next.load(Relaxed) {
            u64::MAX => Duration::MAX,
            next => {
                Duration::from_millis(next.saturating_sub(self.clock.unix_ms())).clamp(BUSY, LOOK)
            }
        }
    }

    fn step(&mut self, db: &Connection) {
        let next = self.next.load(Relaxed);
        if next == u64::MAX {
            return;
        }
        let now_ms = self.clock.unix_ms();
        if next > now_ms {
            return;
        }
        match self.advance(db, now_ms) {
            // One that was set meanwhile was set by this thread.
            Ok(next) => self.next.store(next, Relaxed),
            Err(error) => {
                throttled!(warn, %error, "can't forget the logs of rooms whose time is over");
                roll_back(db);
                self.put_off();
            }
        }
    }

    /// By a second.
    fn put_off(&mut self) {
        self.next.store(self.clock.unix_ms().saturating_add(1000), Relaxed);
    }
}
