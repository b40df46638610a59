//! Freezing batches, and giving them to whoever sends them.
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Error, Row, params};
use serde_json::value::RawValue;

use super::{
    super::column,
    Hooks,
    queues::{Events, Tally, cost, in_queue, last, one, pos, read_gap, text, told},
};
use crate::domain::{
    clock::{Rng, alphanumeric},
    ids::RoomId,
    outbox::{BATCH_BYTES, Batch, Endpoint, Frozen, Gap, assembled},
};

/// Random characters of a batch's id.
const ID: usize = 24;

/// When the first queue's turn is.
pub(super) const NEXT: &str =
    "SELECT due FROM hook_queues WHERE endpoint = ?1 ORDER BY due LIMIT 1";
/// The queues whose turn it is.
pub(super) const DUE: &str =
    "SELECT gap_from, gap_to, gap_epoch, id, room, batch, since, attempts FROM hook_queues
     WHERE endpoint = ?1 AND due <= ?2 ORDER BY due LIMIT ?3";
/// A batch of the room that is to be sent again.
pub(super) const AGAIN: &str = "SELECT id, body, attempts, since FROM hook_batches
     WHERE room = ?1 AND endpoint = ?2 AND parked IS NULL ORDER BY serial LIMIT 1";
/// A queue's events.
pub(super) const WAITING: &str =
    "SELECT pos, count, epoch, ms, body FROM hook_events WHERE queue = ?1 ORDER BY pos";

/// When the endpoint's first queue has its turn, in milliseconds since 1970.
pub(super) fn next(db: &Connection, endpoint: i64) -> rusqlite::Result<Option<u64>> {
    let next = one(db, NEXT, [endpoint], |row| row.get::<_, i64>(0))?;
    Ok(next.map(i64::unsigned_abs))
}

/// A queue whose turn it is.
struct Due {
    id: i64,
    room: String,
    gap: Option<(Gap, String)>,
    /// Id, time and attempts of its frozen batch.
    frozen: Option<(String, u64, u32)>,
}

impl Due {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let since = row.get::<_, Option<i64>>(6)?.unwrap_or_default().unsigned_abs();
        let attempts = row.get::<_, Option<u32>>(7)?.unwrap_or_default();
        let frozen = row.get::<_, Option<String>>(5)?.map(|id| (id, since, attempts));
        // What is no text is no room's name either.
        let room = row.get(4).unwrap_or_default();
        Ok(Due { gap: read_gap(row), id: row.get(3)?, room, frozen })
    }
}

/// What is taken: a batch of each of some queues, which are the caller's until then.
pub(super) struct Taking {
    pub(super) hooks: Arc<Hooks>,
    pub(super) endpoint: Endpoint,
    /// Queues, at most.
    pub(super) limit: usize,
    pub(super) now_ms: u64,
    pub(super) until: u64,
    /// For the ids of batches.
    pub(super) rng: Arc<dyn Rng>,
}

impl Taking {
    /// When another queue has its turn is known to [`Live`](super::write::Live) then.
    pub(super) fn apply(&self, db: &Connection) -> rusqlite::Result<Vec<Batch>> {
        let Taking { endpoint, now_ms, until, .. } = self;
        let Some(live) = self.hooks.live(&endpoint.name) else { return Ok(Vec::new()) };
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let due: Vec<Due> = db
            .prepare_cached(DUE)?
            .query_map(params![live.id, column(*now_ms), limit], Due::read)?
            .collect::<Result<_, _>>()?;
        let mut batches = Vec::with_capacity(due.len());
        let mut tally = Tally::default();
        for due in due {
            let Ok(room) = RoomId::stored(&due.room) else {
                forget(db, due.id)?; // somebody else wrote it
                continue;
            };
            let (rng, now_ms, until) = (&*self.rng, *now_ms, *until);
            let queue = Queue { db, endpoint: live.id, due: &due, room: &room, now_ms, until, rng };
            match queue.batch(endpoint, &mut tally)? {
                Some(batch) => batches.push(batch),
                None => forget(db, due.id)?,
            }
        }
        if !tally.is_empty() {
            tally.write(db, live.id)?;
        }
        live.set_due(next(db, live.id)?, *now_ms);
        Ok(batches)
    }
}

/// The queue is the caller's until then.
fn hold(db: &Connection, queue: i64, until: u64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE hook_queues SET due = ?2, held = 1 WHERE id = ?1")?
        .execute(params![queue, column(until)])?;
    Ok(())
}

fn forget(db: &Connection, queue: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM hook_queues WHERE id = ?1")?.execute([queue])?;
    Ok(())
}

/// A queue whose turn it is, to be held until then.
struct Queue<'a> {
    db: &'a Connection,
    endpoint: i64,
    due: &'a Due,
    room: &'a RoomId,
    now_ms: u64,
    until: u64,
    rng: &'a dyn Rng,
}

impl Queue<'_> {
    /// Its first batch; nothing waits where there is none.
    fn batch(&self, endpoint: &Endpoint, tally: &mut Tally) -> rusqlite::Result<Option<Batch>> {
        for known in [self.again()?, self.frozen(tally)?] {
            if known.is_some() {
                hold(self.db, self.due.id, self.until)?;
                return Ok(known);
            }
        }
        self.freeze(endpoint, tally)
    }

    /// The first one that was put aside and is to be sent again.
    fn again(&self) -> rusqlite::Result<Option<Batch>> {
        one(self.db, AGAIN, params![self.room.as_str(), self.endpoint], |row| {
            // One that is damaged is sent as it is: so it is refused, and keeps no other waiting.
            let body = Bytes::copy_from_slice(row.get_ref(1)?.as_bytes().unwrap_or_default());
            let since = row.get::<_, i64>(3).unwrap_or_default().unsigned_abs();
            Ok(self.made(text(row, 0)?.into(), body, since, row.get(2).unwrap_or_default()))
        })
    }

    /// The one that is frozen.
    fn frozen(&self, tally: &mut Tally) -> rusqlite::Result<Option<Batch>> {
        let Some((id, since, attempts)) = &self.due.frozen else { return Ok(None) };
        let Some(frozen) = in_queue(self.db, self.due.id)? else { return Ok(None) };
        let body = frozen.body(self.db, self.due.id, tally)?;
        Ok(Some(self.made(id.as_str().into(), body, *since, *attempts)))
    }

    fn made(&self, id: Arc<str>, body: Bytes, since_ms: u64, attempts: u32) -> Batch {
        Batch { room: self.room.clone(), id, body, attempts, since_ms }
    }

    /// Freezes what waits.
    fn freeze(&self, endpoint: &Endpoint, tally: &mut Tally) -> rusqlite::Result<Option<Batch>> {
        let gap = self.due.gap.as_ref();
        let events = self.waiting(endpoint, gap.map(|(_, epoch)| &**epoch), tally)?;
        let (gap, epoch) = match (gap, events.first()) {
            (Some((gap, epoch)), _) => (Some(*gap), &**epoch),
            (None, Some(first)) => (None, &*first.epoch),
            (None, None) => return Ok(None),
        };
        let (first, end) = match (events.first(), events.last()) {
            (Some(first), Some(end)) => (first.first(), last(end.first(), end.count)),
            _ => gap.map_or((0, 0), |gap| (gap.from, gap.to)),
        };
        let first = gap.map_or(first, |gap| gap.from);
        let id = alphanumeric(self.rng, ID).map(|id| format!("msg_{id}"));
        let id = id.map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))?;
        let mut head =
            Frozen { room: self.room, epoch, at_ms: self.now_ms, gap, events: &[] }.head();
        self.db
            .prepare_cached(
                "UPDATE hook_queues SET batch = ?2, head = ?3, first = ?4, last = ?5, epoch = ?6,
                     upto = ?7, since = ?8, attempts = 0, due = ?9, held = 1,
                     gap_from = NULL, gap_to = NULL, gap_epoch = NULL
                 WHERE id = ?1",
            )?
            .execute(params![
                self.due.id,
                id,
                head,
                column(first),
                column(end),
                epoch,
                events.last().map(|end| end.pos),
                column(self.now_ms),
                column(self.until)
            ])?;
        tally.more(cost(head.len() as u64));
        if gap.is_some() {
            told(self.room, tally);
        }
        head.reserve(events.iter().map(|events| events.body.len() + 1).sum::<usize>() + 8);
        let body = assembled(head, events.iter().map(|events| &*events.body));
        Ok(Some(self.made(id.into(), body, self.now_ms, 0)))
    }

    /// As many of its first events as a batch may have, all of one epoch. A gap stands for those
    /// that can't be read.
    fn waiting(
        &self,
        endpoint: &Endpoint,
        epoch: Option<&str>,
        tally: &mut Tally,
    ) -> rusqlite::Result<Vec<Events>> {
        let (mut some, mut count, mut bytes): (Vec<Events>, u64, usize) = (Vec::new(), 0, 0);
        let most = endpoint.batch.max(1) as u64;
        let mut select = self.db.prepare_cached(WAITING)?;
        let mut rows = select.query([self.due.id])?;
        let mut too_many = None;
        while let Some(row) = rows.next()? {
            let events = Events::read(row)?;
            count += events.count;
            bytes += events.body.len();
            let of = epoch.or(some.first().map(|first| &*first.epoch));
            if of.is_some_and(|epoch| epoch != events.epoch) {
                break;
            }
            if count > most || bytes > BATCH_BYTES {
                if some.is_empty() && count > most {
                    too_many = Some(events);
                } else if some.is_empty() {
                    some.push(events);
                }
                break;
            }
            some.push(events);
        }
        drop(rows);
        if let Some(events) = too_many {
            some.push(split(self.db, self.endpoint, self.due.id, events, most, tally)?);
        }
        for events in &mut some {
            events.mend(self.db, tally)?;
        }
        Ok(some)
    }
}

/// Makes two rows of one that has more events than a batch may have: less was allowed when it was
/// written. Returns the first; all of it, where it can't be read.
fn split(
    db: &Connection,
    endpoint: i64,
    queue: i64,
    mut events: Events,
    most: u64,
    tally: &mut Tally,
) -> rusqlite::Result<Events> {
    let list = format!("[{}]", events.body);
    let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(&list) else { return Ok(events) };
    let at = usize::try_from(most).unwrap_or(usize::MAX);
    if all.len() as u64 != events.count || at >= all.len() {
        return Ok(events);
    }
    let joined =
        |some: &[&RawValue]| some.iter().map(|one| one.get()).collect::<Vec<_>>().join(",");
    let (body, rest) = (joined(&all[..at]), joined(&all[at..]));
    let next = pos(endpoint, last(events.first(), most) + 2);
    db.prepare_cached("UPDATE hook_events SET count = ?2 WHERE pos = ?1")?
        .execute(params![events.pos, column(most)])?;
    let behind = events.count - most;
    events.count = most;
    events.rewrite(db, body, tally)?;
    db.prepare_cached(
        "INSERT INTO hook_events (pos, queue, count, epoch, ms, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![next, queue, column(behind), events.epoch, events.ms, rest])?;
    tally.more(cost(rest.len() as u64));
    Ok(events)
}
