//! Trimming: the oldest of a log goes, and nothing else moves.
//!
//! Where a log begins is a number beside the room (`rooms.start`), so what was trimmed is hidden by
//! one small write however much it is. The rows are deleted by the writer's thread ([`Trimming`]),
//! between groups, some at a time; a restart goes on with it. The offset of an insert is a part of
//! its row's name, so those that are left keep theirs.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Embedded, chunk, column,
    delivery::{Delivery, SinkSlot},
    log,
    outbox::{Event as Hook, Hooks},
    rooms::{Counters, Turn},
    writer::{Change, Chore, roll_back},
};
use crate::{
    domain::{
        broker::{Event, Trim, Trimmed},
        error::StoreError,
        ids::RoomId,
        outbox,
        retention::Rule,
    },
    throttle::throttled,
};

/// What was added to the table of rooms: `start` is the offset of the first insert of a log that was
/// trimmed; what stands before it is to be deleted while `trimming` is 1.
pub(super) const COLUMNS: &str = "
    ALTER TABLE rooms ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rooms ADD COLUMN trimming INTEGER;
    CREATE INDEX rooms_trimming ON rooms (trimming) WHERE trimming IS NOT NULL;";

/// Rows that are deleted in one step.
const ROWS: i64 = 50;
/// Updates that are deleted in one step.
const UPDATES: i64 = 500;
/// How long the writer waits after a step that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What of a room is too old.
struct Due {
    /// Of the log that was looked at.
    epoch: u64,
    /// The offset of the first insert that is not.
    inserts: u64,
    /// The number of the last update that is; 0: none is.
    updates: u64,
    /// There may be more updates that are.
    more: bool,
}

impl Due {
    /// Looks for what was stored by then, in milliseconds since 1970.
    fn find(db: &Connection, room: &RoomId, by_ms: u64) -> rusqlite::Result<Self> {
        let tx = db.unchecked_transaction()?; // one view of the database
        let counters = log::counters(&tx, room)?;
        let (updates, more) = last_due_update(&tx, &counters, by_ms)?;
        let inserts = first_young_insert(&tx, &counters, by_ms)?;
        Ok(Due { epoch: counters.epoch, inserts, updates, more })
    }
}

/// A chunk at or before an offset of a room's log that says when it was stored.
pub(super) const CHUNK_BEFORE: &str = "SELECT pos & 0xffffffff, count, unix, ms FROM log
     WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | ?2 AND unix > 0 ORDER BY pos DESC LIMIT 1";

/// The first behind an offset.
pub(super) const CHUNK_BEHIND: &str = "SELECT pos & 0xffffffff, count, unix, ms FROM log
     WHERE pos BETWEEN ?1 << 32 | ?2 AND ?1 << 32 | 0xffffffff AND unix > 0 ORDER BY pos LIMIT 1";

/// The offset of the first insert that was not stored by then, in milliseconds since 1970. What
/// stands before one that was is taken for as old: a clock may have been set back. What says no
/// time is as old as what stands before it, at the beginning as what stands behind it.
pub(super) fn first_young_insert(
    db: &Connection,
    counters: &Counters,
    by_ms: u64,
) -> rusqlite::Result<u64> {
    let Some(row) = counters.row.filter(|_| counters.start < counters.inserts) else {
        return Ok(counters.start);
    };
    let (mut before, mut behind) =
        (db.prepare_cached(CHUNK_BEFORE)?, db.prepare_cached(CHUNK_BEHIND)?);
    // The first and last offset of a chunk, and whether it is old.
    let mut chunk = |offset: u64| {
        let read = |row: &rusqlite::Row| {
            let (first, count) = (row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?);
            let is_old = chunk::at_ms(row.get(2)?, row.get(3)?) <= by_ms;
            Ok((first, (first + count.unsigned_abs()).saturating_sub(1), is_old))
        };
        let at = params![row, column(offset)];
        match before.query_row(at, read).optional()? {
            Some(found) => Ok(Some(found)),
            None => behind.query_row(at, read).optional(),
        }
    };
    // `old` is, `young` is not, or is the end.
    let (mut old, mut young) = match chunk(counters.start)? {
        Some((_, last, true)) => (last.max(counters.start), counters.inserts),
        Some((.., false)) | None => return Ok(counters.start),
    };
    while old + 1 < young {
        let middle = old + (young - old) / 2;
        match chunk(middle)? {
            Some((_, last, true)) => old = last.clamp(middle, young - 1),
            Some((first, _, false)) => young = first.clamp(old + 1, middle),
            None => return Ok(counters.start), // somebody else deletes it
        }
    }
    Ok(young.min(counters.inserts))
}

/// Has the log begin where it does by this rule.
pub(super) fn hide(
    db: &Connection,
    counters: &mut Counters,
    rule: Rule,
    now_ms: u64,
) -> rusqlite::Result<()> {
    counters.start = counters.start.max(rule.first_kept(counters.inserts));
    let due_by = rule.due_by(now_ms);
    if due_by > 0 {
        counters.start = first_young_insert(db, counters, due_by)?;
    }
    Ok(())
}

/// Whether something of a room is due by this rule.
pub(super) fn is_due(
    db: &Connection,
    room: &RoomId,
    rule: Rule,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let mut counters = log::counters(db, room)?;
    if counters.row.is_none() || counters.has_expired(now_ms) {
        return Ok(false);
    }
    let (start, due_by) = (counters.start, rule.due_by(now_ms));
    let has_old_updates = due_by > 0 && last_due_update(db, &counters, due_by)?.0 > 0;
    hide(db, &mut counters, rule, now_ms)?;
    Ok(has_old_updates || counters.start > start)
}

/// A room's updates in the order of their last writing.
pub(super) const OLDEST_UPDATES: &str =
    "SELECT n, unix, ms FROM updates WHERE room = ?1 ORDER BY n LIMIT ?2";

/// The number of the last of the oldest updates that were written by then, and whether there may be
/// more.
fn last_due_update(
    db: &Connection,
    counters: &Counters,
    by_ms: u64,
) -> rusqlite::Result<(u64, bool)> {
    let mut select = db.prepare_cached(OLDEST_UPDATES)?;
    let mut rows = select.query(params![counters.row, UPDATES])?;
    let (mut last, mut seen) = (0, 0);
    while let Some(row) = rows.next()? {
        if chunk::at_ms(row.get(1)?, row.get(2)?) > by_ms {
            return Ok((last, false));
        }
        (last, seen) = (row.get::<_, i64>(0)?.unsigned_abs(), seen + 1);
    }
    Ok((last, seen == UPDATES))
}

/// Trims a room's log.
struct Cut {
    turn: Turn,
    slot: SinkSlot,
    /// The offset where it begins then.
    start: u64,
    /// Updates with a number up to this go.
    updates: u64,
    trimmed: Arc<AtomicBool>,
    hooks: Option<Arc<Hooks>>,
    at_ms: u64,
}

/// A log that was trimmed.
struct Made {
    counters: Counters,
    /// Inserts and updates that are gone.
    removed: u64,
    /// Whether whoever sends webhooks has to be told.
    is_news: bool,
}

impl Change for Cut {
    type Made = Made;
    type Answer = (Option<Delivery>, u64);

    fn weight(&self) -> usize {
        100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<Made> {
        let mut counters = self.turn.counters();
        let mut removed = self.start.saturating_sub(counters.start);
        let mut is_news = false;
        if self.updates > 0 {
            let mut delete =
                db.prepare_cached("DELETE FROM updates WHERE room = ?1 AND n <= ?2")?;
            let deleted = delete.execute(params![counters.row, column(self.updates)])? as u64;
            removed += deleted;
            counters.updates = if deleted > 0 { None } else { counters.updates };
        }
        if removed > 0 {
            counters.n += 1;
            let trimming = (self.start > counters.start).then_some(1);
            counters.start = counters.start.max(self.start);
            db.prepare_cached(
                "UPDATE rooms SET n = max(n, ?2), start = ?3, trimming = coalesce(?4, trimming) WHERE id = ?1",
            )?
            .execute(params![
                counters.row,
                column(counters.n),
                column(counters.start),
                trimming
            ])?;
            if let Some(hooks) = &self.hooks {
                let start = counters.base + counters.start;
                let fields = format!("\"removed\":{removed},\"start\":{start}");
                let event = Hook { kind: outbox::Kind::Trimmed, fields };
                is_news = hooks.tell(db, self.turn.room(), self.at_ms, &[event])?;
            }
        }
        Ok(Made { counters, removed, is_news })
    }

    fn committed(mut self, made: Made) -> (Option<Delivery>, u64) {
        let Made { counters, removed, is_news } = made;
        if removed == 0 {
            return (None, 0);
        }
        if counters.start > self.turn.counters().start {
            *self.turn.keys_mut() = None; // those that are left are read where they are needed
        }
        self.turn.set(counters);
        self.trimmed.store(true, Relaxed);
        if let Some(hooks) = self.hooks.as_ref().filter(|_| is_news) {
            hooks.wake();
        }
        let start = counters.base + counters.start;
        (Some(Delivery::one(&self.slot, self.turn, Event::Trimmed { start })), removed)
    }
}

impl Embedded {
    pub(super) async fn trim_log(&self, room: &RoomId, trim: Trim) -> Result<Trimmed, StoreError> {
        let mut all = 0;
        loop {
            let now_ms = self.clock.unix_ms();
            // What is too old is looked for before the room's turn, which others wait for. Only more
            // of it may be by then.
            let due = match trim {
                Trim::OlderThan(age) => {
                    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                    let (room, by_ms) = (room.clone(), now_ms.checked_sub(age));
                    match by_ms {
                        Some(by) => {
                            let find = move |db: &Connection| Due::find(db, &room, by);
                            let due = self.readers.pages.read(find).await;
                            Some(due.map_err(|error| error.behind(all > 0))?)
                        }
                        None => None,
                    }
                }
                Trim::Before(_) | Trim::Keep(_) => None,
            };
            let turn = self.turn(room).await.map_err(|error| error.behind(all > 0))?;
            let counters = turn.counters();
            if counters.row.is_none() || counters.has_expired(now_ms) {
                return Ok(Trimmed { removed: all, start: counters.base + counters.inserts });
            }
            let due = due.filter(|due| due.epoch == counters.epoch);
            let (updates, more) = due.as_ref().map_or((0, false), |due| (due.updates, due.more));
            let start = match trim {
                Trim::Before(index) => index.saturating_sub(counters.base),
                Trim::Keep(count) => counters.inserts.saturating_sub(count),
                Trim::OlderThan(_) => due.map_or(0, |due| due.inserts),
            };
            let start = start.clamp(counters.start, counters.inserts);
            if start > counters.start || updates > 0 {
                let (slot, trimmed) = (self.slot.clone(), self.trimmed.clone());
                let (hooks, at_ms) = (self.hooks.clone(), self.clock.unix_ms());
                let cut = Cut { turn, slot, start, updates, trimmed, hooks, at_ms };
                let done = self.writer.write(cut).await;
                let (delivery, removed) = done.map_err(|error| error.behind(all > 0))?;
                drop(delivery);
                all += removed;
            }
            if !more {
                return Ok(Trimmed { removed: all, start: counters.base + start });
            }
        }
    }
}

/// The rows of trimmed inserts, as the writer's thread deletes them.
pub(super) struct Trimming {
    /// There may be some.
    more: Arc<AtomicBool>,
    /// The last step failed.
    failed: bool,
}

/// A room with such rows, and where its log begins.
pub(super) const TRIMMING: &str = "SELECT id, start FROM rooms WHERE trimming = 1 LIMIT 1";

impl Trimming {
    /// Looked for at the first step.
    pub(super) fn new() -> Self {
        Trimming { more: Arc::new(AtomicBool::new(true)), failed: false }
    }

    /// To be set where a log was trimmed.
    pub(super) fn more(&self) -> Arc<AtomicBool> {
        self.more.clone()
    }

    /// Returns whether there may be more.
    fn advance(db: &Connection) -> rusqlite::Result<bool> {
        let room = |row: &rusqlite::Row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let room = db.prepare_cached(TRIMMING)?.query_row([], room).optional()?;
        let Some((row, start)) = room else { return Ok(false) };
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let deleted = db
            .prepare_cached(
                "DELETE FROM log WHERE pos IN (SELECT pos FROM log
                     WHERE pos >= ?1 << 32 AND pos < ?1 << 32 | ?2 AND (pos & 0xffffffff) + count <= ?2 ORDER BY pos LIMIT ?3)",
            )?
            .execute(params![row, start, ROWS])?;
        if column(deleted as u64) < ROWS {
            blank_first(db, row, start)?;
            db.prepare_cached("UPDATE rooms SET trimming = NULL WHERE id = ?1")?.execute([row])?;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        Ok(true)
    }
}

impl Chore for Trimming {
    fn pause(&self) -> Duration {
        match (self.more.load(Relaxed), self.failed) {
            (false, _) => Duration::MAX,
            (true, true) => PAUSE,
            (true, false) => Duration::ZERO,
        }
    }

    fn step(&mut self, db: &Connection) {
        if !self.more.load(Relaxed) {
            return;
        }
        match Self::advance(db) {
            Ok(more) => {
                self.more.store(more, Relaxed);
                self.failed = false;
            }
            Err(error) => {
                throttled!(warn, %error, "can't delete what was trimmed");
                roll_back(db);
                self.failed = true;
            }
        }
    }

    fn put_off(&mut self) {
        self.failed = true;
    }
}

/// Of a row in whose middle the log begins, what stands before that is made empty.
fn blank_first(db: &Connection, row: i64, start: i64) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached(
        "SELECT pos, count FROM log WHERE pos >= ?1 << 32 AND pos < ?1 << 32 | ?2 ORDER BY pos DESC LIMIT 1",
    )?;
    let found = select
        .query_row(params![row, start], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    let Some((pos, count)) = found.optional()? else { return Ok(()) };
    let before = usize::try_from(start - (pos & 0xffff_ffff)).unwrap_or_default();
    if column(before as u64) < count {
        chunk::blank(db, pos, |at| at < before)?;
    }
    Ok(())
}
