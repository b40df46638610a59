//! The outbox in SQL: written in the transaction of what it tells of ([`write`]), and read by those
//! who send it.
//!
//! A queue is in `hook_queues` as long as anything of it waits; `due` is when its turn comes, or when
//! the lease of whoever sends it is over. Its events are frozen into a row of `hook_batches`, which
//! has their text from then on.
mod erase;
mod settle;
mod take;
mod told;
mod write;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::watch;

pub(super) use self::{
    told::here,
    write::{Event, Hooks},
};
use super::{
    Embedded, column,
    folder::{OpenError, existing_database},
    lock, schema,
    writer::unavailable,
};
use crate::domain::{
    clock::{Clock, alphanumeric},
    error::StoreError,
    outbox::{Batch, Endpoint, Outbox, ParkedPage, Parking, Settlement, Standing, Taken},
};

/// Random characters of a batch's id.
const ID: usize = 24;
/// How long the command line waits for a server that writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Times are milliseconds since 1970. `hook_state` has the last number that an event was given.
/// `hook_events.uid` is the user whom the event is about, as text. `hook_batches.parked` is when a
/// batch was put aside; its others are to be sent, the one with the lowest number first. `hook_told`
/// has who was told to be in a room, and since when, and why, somebody is marked as leaving it; `json`
/// is the uid as its client wrote it.
pub(super) const TABLES: &str = "
    CREATE TABLE hook_state (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL);
    INSERT INTO hook_state VALUES (1, 0);
    CREATE TABLE hook_queues (id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, room TEXT NOT NULL, due INTEGER NOT NULL,
        gap_from INTEGER, gap_to INTEGER, gap_epoch TEXT, UNIQUE (endpoint, room));
    CREATE INDEX hook_queues_by_due ON hook_queues (endpoint, due);
    CREATE TABLE hook_events (n INTEGER PRIMARY KEY, queue INTEGER NOT NULL, epoch TEXT NOT NULL, ms INTEGER NOT NULL,
        kind TEXT NOT NULL, uid TEXT, fields TEXT NOT NULL);
    CREATE INDEX hook_events_by_queue ON hook_events (queue, n);
    CREATE TABLE hook_batches (serial INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, endpoint TEXT NOT NULL, room TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, epoch TEXT NOT NULL, since INTEGER NOT NULL, attempts INTEGER NOT NULL,
        parked INTEGER, why TEXT, body BLOB NOT NULL);
    CREATE INDEX hook_batches_by_room ON hook_batches (endpoint, room, serial) WHERE parked IS NULL;
    CREATE INDEX hook_batches_by_parking ON hook_batches (endpoint, serial) WHERE parked IS NOT NULL;
    CREATE TABLE hook_sizes (endpoint TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE hook_told (room TEXT NOT NULL, uid TEXT NOT NULL, json TEXT NOT NULL, due INTEGER, why TEXT,
        PRIMARY KEY (room, uid)) WITHOUT ROWID;
    CREATE INDEX hook_told_by_due ON hook_told (due) WHERE due IS NOT NULL;
";

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Outbox for Embedded {
    fn written(&self) -> watch::Receiver<u64> {
        self.hooks.as_ref().map_or_else(|| watch::channel(0).1, |hooks| hooks.written())
    }

    async fn take(
        &self,
        endpoint: &Endpoint,
        limit: usize,
        lease: Duration,
    ) -> Result<Taken, StoreError> {
        let now_ms = self.clock.unix_ms();
        let name = endpoint.name.clone();
        // Mostly there is nothing, and whoever reads does not delay whoever writes.
        let next = self.readers.quick.read(move |db| take::next(db, &name)).await?;
        let left = |due: u64| Duration::from_millis(due.saturating_sub(now_ms));
        if limit == 0 || next.is_none_or(|due| due > now_ms) {
            return Ok(Taken { batches: Vec::new(), next: next.map(left) });
        }
        let id = |_| alphanumeric(&*self.rng, ID).map(|id| format!("msg_{id}"));
        let ids: Vec<String> = (0..limit)
            .map(id)
            .collect::<Result<_, _>>()
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let (endpoint, until) = (endpoint.clone(), now_ms.saturating_add(millis(lease)));
        let take = move |db: &Connection| take::take(db, &endpoint, &ids, now_ms, until);
        let (batches, next) = self.writer.run(take).await?;
        Ok(Taken { batches, next: next.map(left) })
    }

    async fn settle(
        &self,
        endpoint: &Endpoint,
        batch: &Batch,
        how: Settlement,
    ) -> Result<(), StoreError> {
        let now_ms = self.clock.unix_ms();
        let settling = settle::Settling {
            endpoint: endpoint.name.clone(),
            room: batch.room.clone(),
            id: batch.id.clone(),
            how,
            now_ms,
        };
        self.writer.run(move |db| settling.apply(db)).await
    }

    async fn sweep(&self) -> Result<Option<Duration>, StoreError> {
        self.sweep_told().await
    }

    async fn standing(&self, endpoint: &Endpoint) -> Result<Standing, StoreError> {
        let name = endpoint.name.clone();
        self.readers.quick.read(move |db| standing(db, &name)).await
    }
}

fn standing(db: &Connection, endpoint: &str) -> rusqlite::Result<Standing> {
    let number = |sql: &str| -> rusqlite::Result<Option<u64>> {
        let found = db.prepare_cached(sql)?.query_row([endpoint], |row| row.get(0)).optional()?;
        Ok(found.flatten().map(i64::unsigned_abs))
    };
    let event = number(
        "SELECT ms FROM hook_events WHERE queue IN (SELECT id FROM hook_queues WHERE endpoint = ?1) ORDER BY n LIMIT 1",
    )?;
    let batch =
        number("SELECT min(since) FROM hook_batches WHERE endpoint = ?1 AND parked IS NULL")?;
    Ok(Standing {
        bytes: number("SELECT bytes FROM hook_sizes WHERE endpoint = ?1")?.unwrap_or_default(),
        parked: number(
            "SELECT count(*) FROM hook_batches WHERE endpoint = ?1 AND parked IS NOT NULL",
        )?
        .unwrap_or_default(),
        oldest_ms: event.into_iter().chain(batch).min(),
    })
}

#[async_trait]
impl Parking for Embedded {
    async fn parked(
        &self,
        endpoint: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParkedPage, StoreError> {
        let endpoint = endpoint.to_owned();
        let after = after.and_then(|after| after.parse::<u64>().ok()).unwrap_or_default();
        let page = move |db: &Connection| settle::parked(db, &endpoint, after, limit);
        self.readers.pages.read(page).await
    }

    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError> {
        let (endpoint, ids, now_ms) = (endpoint.to_owned(), ids.to_vec(), self.clock.unix_ms());
        let replay = move |db: &Connection| settle::replay(db, &endpoint, &ids, now_ms);
        let replayed = self.writer.run(replay).await?;
        if let Some(hooks) = &self.hooks {
            hooks.wake();
        }
        Ok(replayed)
    }
}

/// Batches that were put aside, for the command line: beside a server that may be running.
pub struct ParkedInFile {
    db: Mutex<Connection>,
    clock: Arc<dyn Clock>,
}

impl ParkedInFile {
    /// Opens the store in this folder.
    ///
    /// # Errors
    /// There is none, or it is of another version.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let file = existing_database(path)?;
        drop(schema::open_beside(&file, PATIENCE)?); // whether it is of this version
        Ok(ParkedInFile { db: Mutex::new(schema::open_second(&file, PATIENCE)?), clock })
    }
}

#[async_trait]
impl Parking for ParkedInFile {
    async fn parked(
        &self,
        endpoint: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParkedPage, StoreError> {
        let after = after.and_then(|after| after.parse::<u64>().ok()).unwrap_or_default();
        settle::parked(&lock(&self.db), endpoint, after, limit).map_err(|e| unavailable(&e))
    }

    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError> {
        let db = lock(&self.db);
        let replay = || {
            let all = Transaction::new_unchecked(&db, TransactionBehavior::Immediate)?;
            let replayed = settle::replay(&all, endpoint, ids, self.clock.unix_ms())?;
            all.commit()?;
            Ok(replayed)
        };
        replay().map_err(|e| unavailable(&e))
    }
}

/// Changes what an endpoint's events and batches take; returns what they take then.
fn resize(db: &Connection, endpoint: &str, more: u64, less: u64) -> rusqlite::Result<u64> {
    let by = column(more).saturating_sub(column(less));
    db.prepare_cached(
        "INSERT INTO hook_sizes VALUES (?1, max(?2, 0))
         ON CONFLICT (endpoint) DO UPDATE SET bytes = max(bytes + ?2, 0) RETURNING bytes",
    )?
    .query_row(params![endpoint, by], |row| row.get::<_, i64>(0))
    .map(i64::unsigned_abs)
}
