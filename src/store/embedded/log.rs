//! The log in SQL: what is appended and forgotten, and how far a room has come. How it is read is
//! in [`read`].
pub(super) mod read;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rusqlite::{Connection, OptionalExtension, params};

pub(super) use self::read::{page, updates};
use super::{
    chunk::Chunk,
    column,
    delivery::{Delivery, SinkSlot},
    keys,
    outbox::{Event as Hook, Hooks},
    receipts,
    rooms::{Counters, Turn},
    updates::{self, Held},
    writer::Change,
};
use crate::domain::{
    broker::{Entry, Event, Placed, Position, UpdateLimit},
    ids::RoomId,
    message::{Kind, Message},
    outbox,
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
    /// Where the sweep is told of receipts; nothing: no entry has one.
    pub(super) receipts: Option<Arc<AtomicU64>>,
    /// Those who are told of messages of this room, if any is.
    pub(super) hooks: Option<Arc<Hooks>>,
    /// How many inserts of the room are kept, if not all.
    pub(super) kept: Option<u64>,
}

/// What was learnt while a batch was written.
pub(super) struct Appended {
    /// How far the room has come then.
    counters: Counters,
    /// What became of each entry.
    placed: Vec<Placed>,
    /// Keys of the inserts, in their order.
    keys: Vec<keys::Hash>,
    /// The log was forgotten before.
    lapsed: bool,
    /// Whether whoever sends webhooks has to be told.
    is_news: bool,
}

impl Append {
    /// Writes an entry. Returns the index of an insert; the error is why it is left out.
    fn put(
        &self,
        db: &Connection,
        row: i64,
        message: &Message,
        n: u64,
        writing: &mut Writing<'_>,
    ) -> rusqlite::Result<Result<Option<u64>, Placed>> {
        let Writing { counters, chunk, keys } = writing;
        match &message.kind {
            Kind::Insert => {
                if message.key.as_ref().is_some_and(|key| !keys.admit(key)) {
                    return Ok(Err(Placed::Duplicate));
                }
                if chunk.is_full(message.body.len()) {
                    chunk.write(db, row, counters, self.at_ms)?;
                }
                let index = counters.base + counters.inserts + chunk.count();
                chunk.add(&message.body, n, message.key.as_deref());
                Ok(Ok(Some(index)))
            }
            Kind::Update { id } => {
                let held = counters.updates.get_or_insert_default();
                if !held.admit(db, row, id, message.body.len() as u64, self.updates)? {
                    return Ok(Err(Placed::Full));
                }
                updates::put(db, row, id, n, self.at_ms, Some(&message.body))?;
                Ok(Ok(None))
            }
            Kind::Ignore => Ok(Ok(None)),
        }
    }
}

/// A batch that is being written.
struct Writing<'a> {
    counters: Counters,
    chunk: Chunk,
    keys: keys::Batch<'a>,
}

impl Change for Append {
    type Made = Appended;
    type Answer = (Delivery, Vec<Placed>);

    fn weight(&self) -> usize {
        let body = |entry: &Entry| {
            if let Entry::Message { message, .. } = entry { message.body.len() } else { 0 }
        };
        self.entries.iter().map(body).sum::<usize>() + 100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<Appended> {
        let mut counters = self.turn.counters_in(db)?;
        // For a receipt alone a room needs no row.
        let is_stored = self.receipts.is_none() || self.entries.iter().any(Entry::is_stored);
        let (row, lapsed) = if is_stored {
            let unix = self.at_ms / 1000;
            let row = row(db, self.turn.room(), &mut counters, self.epoch, unix)?;
            (row, lapse(db, &mut counters, self.at_ms)?)
        } else {
            (0, false)
        };
        let keys = keys::Batch::new(self.turn.keys().filter(|_| !lapsed));
        let mut writing = Writing { counters, chunk: Chunk::default(), keys };
        let epoch = Some(writing.counters.epoch_at(self.at_ms));
        let mut placed = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter() {
            if let Some(receipt) = entry.receipt()
                && let Some(answer) = receipts::answer(db, receipt, self.at_ms)?
            {
                placed.push(answer);
                continue;
            }
            // One that is left out has no place: nobody is told of it.
            let n = writing.counters.n + 1;
            let index = match entry {
                Entry::Message { message, .. } => self.put(db, row, message, n, &mut writing)?,
                Entry::Synced { .. } | Entry::System { .. } => Ok(None),
            };
            placed.push(match index {
                Ok(index) => {
                    writing.counters.n = n;
                    let position = Position { n, index, at_ms: self.at_ms, epoch };
                    if let Some(receipt) = entry.receipt() {
                        receipts::keep(db, receipt, &position)?;
                    }
                    Placed::At(position)
                }
                Err(left_out) => left_out,
            });
        }
        let Writing { mut counters, mut chunk, keys } = writing;
        chunk.write(db, row, &mut counters, self.at_ms)?;
        let mut is_news = false;
        if let Some(hooks) = &self.hooks {
            let (room, at_ms) = (self.turn.room(), self.at_ms);
            is_news = hooks.tell_messages(db, room, at_ms, &self.entries, &placed)?;
        }
        Ok(Appended { counters, placed, keys: keys.admitted(), lapsed, is_news })
    }

    fn committed(mut self, made: Appended) -> (Delivery, Vec<Placed>) {
        let Appended { counters, placed, keys, lapsed, is_news } = made;
        if let Some(hooks) = self.hooks.as_ref().filter(|_| is_news) {
            hooks.wake();
        }
        self.turn.set(counters);
        if let Some(litter) = &self.receipts {
            litter.fetch_min(receipts::end(self.at_ms), Relaxed);
        }
        if lapsed {
            forgotten(&mut self.turn, &self.slot);
        } else if self.kept.is_some_and(|kept| counters.inserts - counters.start > kept) {
            // Some are hidden now that were shown before.
            self.slot.tell(|sink| sink.invalidate(self.turn.room()));
        }
        if let Some(known) = self.turn.keys_mut() {
            keys.into_iter().for_each(|hash| known.add(hash));
        }
        let told = if placed.iter().all(|p| matches!(p, Placed::At(_))) {
            self.entries
        } else {
            let at = self.entries.iter().zip(&placed);
            at.filter(|(_, p)| matches!(p, Placed::At(_))).map(|(e, _)| e.clone()).collect()
        };
        let index = placed.iter().find_map(|placed| match placed {
            Placed::At(position) => position.index,
            Placed::Full | Placed::Duplicate | Placed::Replayed { .. } | Placed::Reused => None,
        });
        (Delivery::entries(&self.slot, self.turn, told, index), placed)
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
                "INSERT INTO rooms (name, epoch, n, touched, base) VALUES (?1, ?2, 0, ?3, ?4)",
            )?;
            counters.epoch = epoch.unsigned_abs();
            insert.insert(params![room.as_str(), epoch, column(unix), column(counters.base)])?
        }
    };
    counters.row = Some(row);
    Ok(row)
}

/// The end of a room's log.
pub(super) struct Clear {
    pub(super) turn: Turn,
    pub(super) slot: SinkSlot,
    /// Milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) hooks: Option<Arc<Hooks>>,
}

impl Change for Clear {
    /// How far the room has come then, and whether whoever sends webhooks has to be told.
    type Made = (Counters, bool);
    type Answer = Delivery;

    fn weight(&self) -> usize {
        100
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<(Counters, bool)> {
        let (mut counters, mut is_news) = (self.turn.counters(), false);
        counters.n += 1;
        forget(db, &mut counters, self.at_ms / 1000)?;
        if let Some(hooks) = &self.hooks {
            let event = Hook { kind: outbox::Kind::Cleared, fields: String::new() };
            is_news = hooks.tell(db, self.turn.room(), self.at_ms, &[event])?;
        }
        Ok((counters, is_news))
    }

    fn committed(mut self, (counters, is_news): (Counters, bool)) -> Delivery {
        if let Some(hooks) = self.hooks.as_ref().filter(|_| is_news) {
            hooks.wake();
        }
        self.turn.set(counters);
        *self.turn.keys_mut() = Some(Box::default());
        Delivery::one(&self.slot, self.turn, Event::Cleared)
    }
}

/// Deletes a room's inserts and updates. The next insert's index is what it would have been.
pub(super) fn forget(db: &Connection, counters: &mut Counters, unix: u64) -> rusqlite::Result<()> {
    counters.base += counters.inserts;
    (counters.inserts, counters.start, counters.updates) = (0, 0, Some(Held::default()));
    let Some(row) = counters.row else { return Ok(()) };
    counters.epoch += 1;
    delete(db, row)?;
    db.prepare_cached(
        "UPDATE rooms SET epoch = epoch + 1, n = ?2, touched = ?3, base = ?4, expires = ?5, start = 0, trimming = NULL
         WHERE id = ?1",
    )?
    .execute(params![
        row,
        column(counters.n),
        column(unix),
        column(counters.base),
        counters.expires.map(column),
    ])?;
    Ok(())
}

/// Forgets a room's log whose time is over; true: it was.
pub(super) fn lapse(
    db: &Connection,
    counters: &mut Counters,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let over = counters.has_expired(now_ms);
    if over {
        counters.expires = None;
        forget(db, counters, now_ms / 1000)?;
    }
    Ok(over)
}

/// Deletes a room with all that was stored there. Should it come again, it begins behind what it
/// had; a life does not.
pub(super) fn delete_room(
    db: &Connection,
    room: &RoomId,
    row: i64,
    counters: &Counters,
) -> rusqlite::Result<()> {
    delete(db, row)?;
    db.prepare_cached("DELETE FROM rooms WHERE id = ?1")?.execute([row])?;
    if !room.is_life() {
        let next = column(counters.base + counters.inserts);
        db.prepare_cached("UPDATE floor SET base = max(base, ?1)")?.execute([next])?;
    }
    Ok(())
}

/// Notes that a room's log was forgotten, of which nobody is told.
pub(super) fn forgotten(turn: &mut Turn, slot: &SinkSlot) {
    *turn.keys_mut() = Some(Box::default());
    slot.tell(|sink| sink.invalidate(turn.room()));
}

/// Deletes a room's inserts and updates.
pub(super) fn delete(db: &Connection, row: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | 0xffffffff")?
        .execute([row])?;
    db.prepare_cached("DELETE FROM updates WHERE room = ?1")?.execute([row])?;
    Ok(())
}

/// How far the room has come: its last publication that was stored, and its log.
pub(super) const COUNTERS: &str = "SELECT r.id,
         max(r.n, coalesce((SELECT n FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff
                 ORDER BY pos DESC LIMIT 1), 0),
             coalesce((SELECT max(n) FROM updates WHERE room = r.id), 0)),
         max(r.start, coalesce((SELECT (pos & 0xffffffff) + count FROM log
                 WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff
                 ORDER BY pos DESC LIMIT 1), 0)),
         r.base, r.expires, r.start, r.epoch
     FROM rooms r WHERE r.name = ?1";

/// Where the log of a room that is not there begins, unless it is a life.
pub(super) const FLOOR: &str = "SELECT base FROM floor";

pub(super) fn counters(db: &Connection, room: &RoomId) -> rusqlite::Result<Counters> {
    let found = db.prepare_cached(COUNTERS)?.query_row([room.as_str()], |row| {
        Ok(Counters {
            row: row.get(0)?,
            n: row.get::<_, i64>(1)?.unsigned_abs(),
            inserts: row.get::<_, i64>(2)?.unsigned_abs(),
            base: row.get::<_, i64>(3)?.unsigned_abs(),
            expires: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
            start: row.get::<_, i64>(5)?.unsigned_abs(),
            epoch: row.get::<_, i64>(6)?.unsigned_abs(),
            updates: None,
        })
    });
    if let Some(found) = found.optional()? {
        return Ok(found);
    }
    if room.is_life() {
        return Ok(Counters::default());
    }
    let base = db.prepare_cached(FLOOR)?.query_row([], |row| row.get::<_, i64>(0))?;
    Ok(Counters { base: base.unsigned_abs(), ..Counters::default() })
}
