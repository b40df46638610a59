//! The outbox in SQL: written in the transaction of what it tells of ([`write`]), and read by those
//! who send it.
//!
//! A queue is in `hook_queues` as long as anything of it waits; `due` is when its turn comes, or when
//! the lease of whoever sends it is over. Its events become a batch where they are ([`take`]), and
//! are deleted once that is delivered ([`settle`]). So what is told is written once, and read once.
//! When the first turn comes is known in memory ([`write::Live`]): who has nothing to send asks
//! nobody. What bounds it is in [`shed`].
mod erase;
mod queues;
mod settle;
mod shed;
mod tables;
mod take;
#[cfg(test)]
mod tests;
mod told;
mod write;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;

pub(super) use self::{
    shed::Renewal,
    tables::{NINTH, SEVENTH, TABLES},
    told::here,
    write::{Event, Hooks},
};
use super::{
    Embedded,
    folder::{OpenError, existing_database},
    lock, schema,
    writer::unavailable,
};
use crate::domain::{
    clock::Clock,
    error::StoreError,
    outbox::{Batch, Endpoint, Outbox, ParkedPage, Parking, Settlement, Standing, Taken},
};

/// How long the command line waits for a server that writes.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let Some(hooks) = self.hooks.clone() else { return Ok(Taken::default()) };
        let Some(live) = hooks.live(&endpoint.name) else { return Ok(Taken::default()) };
        let (id, known) = (live.id, live.due(now_ms));
        let next = match known {
            Some(due) => (due != u64::MAX).then_some(due),
            None => {
                let look = move |db: &Connection| take::next(db, id);
                let next = self.readers.quick.read(look).await?;
                live.looked(next, now_ms);
                live.first() // it may be sooner by what was written meanwhile
            }
        };
        let left = |due: u64| Duration::from_millis(due.saturating_sub(now_ms));
        if limit == 0 || next.is_none_or(|due| due > now_ms) {
            return Ok(Taken { batches: Vec::new(), next: next.map(left) });
        }
        let taking = take::Taking {
            hooks: hooks.clone(),
            endpoint: endpoint.clone(),
            limit,
            now_ms,
            until: now_ms.saturating_add(millis(lease)),
            rng: self.rng.clone(),
        };
        let taken = self.writer.run(move |db| taking.apply(db)).await;
        let batches = taken.inspect_err(|_| live.doubt())?;
        Ok(Taken { batches, next: live.first().map(left) })
    }

    async fn settle(
        &self,
        endpoint: &Endpoint,
        batch: &Batch,
        how: Settlement,
    ) -> Result<(), StoreError> {
        let Some(hooks) = self.hooks.clone() else { return Ok(()) };
        let settling = settle::Settling {
            hooks,
            endpoint: endpoint.clone(),
            room: batch.room.clone(),
            id: batch.id.clone(),
            attempts: batch.attempts,
            how,
            now_ms: self.clock.unix_ms(),
        };
        self.writer.run(move |db| settling.apply(db)).await
    }

    async fn sweep(&self) -> Result<Option<Duration>, StoreError> {
        self.sweep_told().await
    }

    async fn standing(&self, endpoint: &Endpoint) -> Result<Standing, StoreError> {
        let Some(live) = self.hooks.as_ref().and_then(|hooks| hooks.live(&endpoint.name)) else {
            return Ok(Standing::default());
        };
        let id = live.id;
        self.readers.quick.read(move |db| standing(db, id)).await
    }
}

/// The first of an endpoint's events.
const FIRST: &str = "SELECT ms FROM hook_events
     WHERE pos BETWEEN ?1 << 48 AND ?1 << 48 | 0xffffffffffff ORDER BY pos LIMIT 1";
/// When the first batch was to be sent again.
const FIRST_TO_SEND: &str =
    "SELECT since FROM hook_batches WHERE endpoint = ?1 AND parked IS NULL ORDER BY since LIMIT 1";
/// How many were put aside.
const PARKED: &str = "SELECT count(*) FROM hook_batches WHERE endpoint = ?1 AND parked IS NOT NULL";

fn standing(db: &Connection, endpoint: i64) -> rusqlite::Result<Standing> {
    let number = |sql: &str| -> rusqlite::Result<Option<u64>> {
        let found = queues::one(db, sql, [endpoint], |row| row.get::<_, i64>(0))?;
        Ok(found.map(i64::unsigned_abs))
    };
    let sizes = "SELECT bytes, dropped FROM hook_endpoints WHERE id = ?1";
    let sizes = queues::one(db, sizes, [endpoint], |row| {
        Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    let (bytes, dropped) = sizes.unwrap_or_default();
    Ok(Standing {
        bytes,
        parked: number(PARKED)?.unwrap_or_default(),
        oldest_ms: number(FIRST)?.into_iter().chain(number(FIRST_TO_SEND)?).min(),
        dropped,
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
        let after = ParkedPage::begin(after);
        let page = move |db: &Connection| settle::parked(db, &endpoint, after, limit);
        self.readers.pages.read(page).await
    }

    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError> {
        let (name, ids, now_ms) = (endpoint.to_owned(), ids.to_vec(), self.clock.unix_ms());
        let endpoint = name.clone();
        let replay = move |db: &Connection| settle::replay(db, &endpoint, &ids, now_ms);
        let replayed = self.writer.run(replay).await?;
        if let Some(hooks) = &self.hooks {
            hooks.replayed(&name, now_ms);
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
        let after = ParkedPage::begin(after);
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
