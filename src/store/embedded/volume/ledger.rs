//! Receipts, and erasings that are not done.
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    super::{column, erase},
    Volume,
};
use crate::{
    domain::{broker::Position, erase::Job, error::StoreError, receipt::Kept},
    transfer::{KeptReceipt, Ledger, Receipts},
};

/// Receipts are kept to the second here: until the end of the one that they end in.
const MS: u64 = 1000;

fn receipts(db: &Connection, after: &str, most: usize, now: u64) -> rusqlite::Result<Receipts> {
    let mut select = db.prepare_cached(
        "SELECT key, digest, n, idx, at_ms, note, expires, epoch FROM receipts
         WHERE key > ?1 AND expires > ?2 ORDER BY key LIMIT ?3",
    )?;
    let receipt = |row: &rusqlite::Row| {
        let position = Position {
            n: row.get::<_, i64>(2)?.unsigned_abs(),
            index: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
            at_ms: row.get::<_, i64>(4)?.unsigned_abs(),
            epoch: row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
        };
        let note = Bytes::from(row.get::<_, Vec<u8>>(5)?);
        let ends_ms = row.get::<_, i64>(6)?.unsigned_abs() * MS;
        Ok(KeptReceipt {
            key: row.get(0)?,
            kept: Kept { digest: row.get(1)?, position, note },
            ends_ms,
        })
    };
    let given = params![after, column(now), column(most as u64)];
    let receipts = select.query_map(given, receipt)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let next = receipts.last().filter(|_| receipts.len() == most).map(|last| last.key.clone());
    Ok(Receipts { receipts, next })
}

/// One whose key has another receipt stays out, unless the time of that is over.
fn keep(db: &Connection, receipts: &[KeptReceipt], now: u64) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    for KeptReceipt { key, kept, ends_ms } in receipts {
        let Kept { digest, position, note } = kept;
        tx.prepare_cached(
            "INSERT INTO receipts (key, digest, n, idx, at_ms, note, expires, epoch)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, n = excluded.n,
                 idx = excluded.idx, at_ms = excluded.at_ms, note = excluded.note,
                 expires = excluded.expires, epoch = excluded.epoch
             WHERE receipts.expires <= ?9",
        )?
        .execute(params![
            key,
            digest,
            column(position.n),
            position.index.map(column),
            column(position.at_ms),
            &note[..],
            column(ends_ms.div_ceil(MS)),
            position.epoch.map(column),
            column(now),
        ])?;
    }
    tx.commit()
}

#[async_trait]
impl Ledger for Volume {
    async fn receipts(&self, from: Option<&str>, most: usize) -> Result<Receipts, StoreError> {
        let (after, now) = (from.unwrap_or_default().to_owned(), self.clock.unix());
        self.run(move |db| receipts(db, &after, most, now)).await
    }

    async fn have(&self, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        let (keys, now) = (keys.to_vec(), self.clock.unix());
        let have = move |db: &Connection| {
            let mut select = db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM receipts WHERE key = ?1 AND expires > ?2)",
            )?;
            let has = |key: &String| {
                select.query_row(params![key, column(now)], |row| row.get::<_, bool>(0))
            };
            keys.iter().map(has).collect()
        };
        self.run(have).await
    }

    async fn keep(&self, receipts: &[KeptReceipt]) -> Result<(), StoreError> {
        let (receipts, now) = (receipts.to_vec(), self.clock.unix());
        self.run(move |db| keep(db, &receipts, now)).await
    }

    async fn erasings(&self) -> Result<Vec<Job>, StoreError> {
        self.run(erase::open_jobs).await
    }

    async fn erase(&self, job: &Job) -> Result<(), StoreError> {
        let (id, text, now) = (job.id.clone(), erase::text(job)?, self.clock.unix());
        let add = move |db: &Connection| {
            db.execute(
                "INSERT OR IGNORE INTO jobs (id, body, done, unix) VALUES (?1, ?2, 0, ?3)",
                params![id, text, column(now)],
            )
        };
        self.run(add).await.map(drop)
    }

    async fn untold(&self) -> Result<u64, StoreError> {
        let untold = |db: &Connection| {
            let all = "SELECT coalesce(sum(bytes), 0) FROM hook_endpoints";
            db.query_row(all, [], |row| row.get::<_, i64>(0))
        };
        self.run(untold).await.map(i64::unsigned_abs)
    }
}
