//! What is written into the outbox, and what is dropped where too much waits.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::{super::column, resize};
use crate::domain::{
    broker::{Entry, Placed},
    ids::RoomId,
    message,
    outbox::{self, Endpoint, Gap, Interest, Kind, OVERHEAD},
};

/// Events that are looked at in one step where some have to be dropped.
const STEP: usize = 500;

/// Something to be told.
pub(in super::super) struct Event {
    pub(in super::super) kind: Kind,
    /// Whom it is about, as text.
    pub(in super::super) uid: Option<String>,
    /// JSON, without the braces.
    pub(in super::super) fields: String,
}

/// The writing end of the outbox.
pub(in super::super) struct Hooks {
    pub(in super::super) interest: Interest,
    /// One start of the server.
    epoch: String,
    written: watch::Sender<u64>,
    /// Who was told to be there may not be who is there: something could not be written.
    pub(super) stale: AtomicBool,
}

impl Hooks {
    /// `now_ms`: the time of the start, in milliseconds since 1970.
    pub(in super::super) fn new(interest: Interest, now_ms: u64) -> Arc<Self> {
        Arc::new(Hooks {
            interest,
            epoch: now_ms.to_string(),
            written: watch::Sender::new(0),
            stale: AtomicBool::new(false),
        })
    }

    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Something was committed.
    pub(in super::super) fn wake(&self) {
        self.written.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Relaxed)
    }

    /// Writes what endpoints want of these events, which happened in this order.
    pub(in super::super) fn tell(
        &self,
        db: &Connection,
        room: &RoomId,
        at_ms: u64,
        events: &[Event],
    ) -> rusqlite::Result<()> {
        for endpoint in &self.interest.endpoints {
            let mut wanted = events.iter().filter(|e| endpoint.wants(e.kind, room)).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let (queue, mut bytes) = (queue(db, &endpoint.name, room.as_str(), at_ms)?, 0);
            for Event { kind, uid, fields } in wanted {
                let n: i64 = db
                    .prepare_cached("UPDATE hook_state SET n = n + 2 RETURNING n")?
                    .query_row([], |row| row.get(0))?;
                db.prepare_cached(
                    "INSERT INTO hook_events (n, queue, epoch, ms, kind, uid, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![n, queue, self.epoch, column(at_ms), kind.name(), uid, fields])?;
                bytes += cost(fields);
            }
            let total = resize(db, &endpoint.name, bytes, 0)?;
            if total > endpoint.pending {
                shed(db, endpoint, total)?;
            }
        }
        Ok(())
    }

    /// Writes what endpoints want of a batch of messages.
    pub(in super::super) fn tell_messages(
        &self,
        db: &Connection,
        room: &RoomId,
        at_ms: u64,
        entries: &[Entry],
        placed: &[Placed],
    ) -> rusqlite::Result<()> {
        let wants = |kind| self.interest.wants(kind, room).next().is_some();
        let (inserts, updates) = (wants(Kind::Inserted), wants(Kind::Updated));
        if !inserts && !updates {
            return Ok(());
        }
        let event = |(entry, placed): (&Entry, &Placed)| {
            let (Entry::Message { message, .. }, Placed::At(position)) = (entry, placed) else {
                return None;
            };
            let (kind, id) = match &message.kind {
                message::Kind::Insert if inserts => (Kind::Inserted, None),
                message::Kind::Update { id } if updates => (Kind::Updated, Some(&**id)),
                _ => return None,
            };
            let fields = outbox::message(position.index, id, &message.body);
            Some(Event { kind, uid: outbox::sender(&message.body).map(text), fields })
        };
        let events: Vec<Event> = entries.iter().zip(placed).filter_map(event).collect();
        self.tell(db, room, at_ms, &events)
    }
}

/// A uid from its JSON.
fn text(json: String) -> String {
    serde_json::from_str(&json).unwrap_or(json)
}

/// Bytes that an event takes.
pub(super) fn cost(fields: &str) -> u64 {
    fields.len() as u64 + OVERHEAD
}

/// The queue of a room, made where there is none.
pub(super) fn queue(
    db: &Connection,
    endpoint: &str,
    room: &str,
    now_ms: u64,
) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO hook_queues (endpoint, room, due) VALUES (?1, ?2, ?3)
         ON CONFLICT (endpoint, room) DO UPDATE SET due = due RETURNING id",
    )?
    .query_row(params![endpoint, room, column(now_ms)], |row| row.get(0))
}

/// Notes that a queue's events are missing.
pub(super) fn miss(db: &Connection, queue: i64, gap: Gap, epoch: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE hook_queues SET gap_from = min(coalesce(gap_from, ?2), ?2), gap_to = max(coalesce(gap_to, ?3), ?3), gap_epoch = ?4
         WHERE id = ?1",
    )?
    .execute(params![queue, column(gap.from), column(gap.to), epoch])?;
    Ok(())
}

/// Drops what is oldest until less waits than may: parked batches, then events. A little more than
/// has to be, so that not every event after it does the same.
fn shed(db: &Connection, endpoint: &Endpoint, total: u64) -> rusqlite::Result<()> {
    let goal = endpoint.pending - endpoint.pending / 16;
    let (mut over, mut freed) = (total.saturating_sub(goal), 0);
    let mut select = db.prepare_cached(
        "SELECT serial, length(body) FROM hook_batches WHERE endpoint = ?1 AND parked IS NOT NULL ORDER BY serial LIMIT 1",
    )?;
    while over > 0
        && let Some(row) = select.query([&endpoint.name])?.next()?
    {
        let (serial, size): (i64, i64) = (row.get(0)?, row.get(1)?);
        db.prepare_cached("DELETE FROM hook_batches WHERE serial = ?1")?.execute([serial])?;
        let size = size.unsigned_abs() + OVERHEAD;
        (over, freed) = (over.saturating_sub(size), freed + size);
    }
    while over > 0 {
        let oldest = oldest(db, &endpoint.name)?;
        if oldest.is_empty() {
            break; // frozen batches stay as they are
        }
        for Oldest { n, queue, epoch, bytes } in oldest {
            if over == 0 {
                break;
            }
            db.prepare_cached("DELETE FROM hook_events WHERE n = ?1")?.execute([column(n)])?;
            miss(db, queue, Gap { from: n, to: n }, &epoch)?;
            (over, freed) = (over.saturating_sub(bytes), freed + bytes);
        }
    }
    resize(db, &endpoint.name, 0, freed)?;
    Ok(())
}

struct Oldest {
    n: u64,
    queue: i64,
    epoch: String,
    bytes: u64,
}

/// The first events of an endpoint.
fn oldest(db: &Connection, endpoint: &str) -> rusqlite::Result<Vec<Oldest>> {
    db.prepare_cached(
        "SELECT n, queue, epoch, length(CAST(fields AS BLOB)) FROM hook_events
         WHERE queue IN (SELECT id FROM hook_queues WHERE endpoint = ?1) ORDER BY n LIMIT ?2",
    )?
    .query_map(params![endpoint, STEP as i64], |row| {
        Ok(Oldest {
            n: row.get::<_, i64>(0)?.unsigned_abs(),
            queue: row.get(1)?,
            epoch: row.get(2)?,
            bytes: row.get::<_, i64>(3)?.unsigned_abs() + OVERHEAD,
        })
    })?
    .collect()
}
