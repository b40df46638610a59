//! The log in SQL: what is appended, read and forgotten.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    chunk::{self, Chunk},
    column,
    delivery::{Delivery, SinkSlot},
    keys::{self, Keys},
    outbox::{Event as Hook, Hooks},
    receipts,
    rooms::{Counters, Turn},
    trim,
    updates::{self, Held},
    writer::Change,
};
use crate::domain::{
    broker::{Entry, Event, Page, PageLimit, Placed, Position, Stored, UpdateLimit, Updates},
    ids::RoomId,
    message::{Kind, Message},
    outbox,
    retention::Rule,
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
        *self.turn.keys_mut() = Some(Keys::default());
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

/// Notes that a room's log was forgotten, of which nobody is told.
pub(super) fn forgotten(turn: &mut Turn, slot: &SinkSlot) {
    *turn.keys_mut() = Some(Keys::default());
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
         max(r.n, coalesce((SELECT n FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff ORDER BY pos DESC LIMIT 1), 0),
             coalesce((SELECT max(n) FROM updates WHERE room = r.id), 0)),
         max(r.start, coalesce((SELECT (pos & 0xffffffff) + count FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff
             ORDER BY pos DESC LIMIT 1), 0)),
         r.base, r.expires, r.start, r.epoch
     FROM rooms r WHERE r.name = ?1";

/// Where the log of a room that is not there begins.
const FLOOR: &str = "SELECT base FROM floor";

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
    let base = db.prepare_cached(FLOOR)?.query_row([], |row| row.get::<_, i64>(0))?;
    Ok(Counters { base: base.unsigned_abs(), ..Counters::default() })
}

/// Reads a page, from a room's offset ?2 on: the chunk that it is in, and those behind it.
pub(super) const PAGE: &str = "SELECT pos & 0xffffffff, count, lengths, body, unix, ms, recalled, n, places FROM log WHERE pos BETWEEN
         coalesce((SELECT pos FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | ?2 ORDER BY pos DESC LIMIT 1), ?1 << 32)
         AND ?1 << 32 | 0xffffffff
     ORDER BY pos";

/// A page as it is at this time, in milliseconds since 1970.
pub(super) fn page(
    db: &Connection,
    room: &RoomId,
    from: u64,
    limit: PageLimit,
    now_ms: u64,
    rule: Rule,
) -> rusqlite::Result<Page> {
    let tx = db.unchecked_transaction()?; // one view of the database: entries and length belong together
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
pub(super) const UPDATES: &str = "SELECT body, unix, ms, n FROM updates
     WHERE room = (SELECT id FROM rooms WHERE name = ?1 AND coalesce(expires > ?2, 1)) ORDER BY n";

/// But for those whose last writing was by `due_by`, in milliseconds since 1970.
pub(super) fn updates(
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
