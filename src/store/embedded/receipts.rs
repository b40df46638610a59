//! Receipts in SQL. They are written in the transaction of what they are for, by the one thread that
//! writes: so what is asked for at the same time, in whatever room, is seen here one after the other.
use std::sync::{Arc, atomic::Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Embedded, column, sweep::Litter};
use crate::domain::{
    broker::{Placed, Position},
    error::StoreError,
    receipt::{KEPT, Kept, Receipt, Receipts},
};

/// `expires` is in seconds since 1970; the position is `n`, `idx`, `at_ms` and `epoch`, which is
/// added in `schema.rs`.
pub(super) const TABLES: &str = "
    CREATE TABLE receipts (key TEXT PRIMARY KEY, digest BLOB NOT NULL, n INTEGER NOT NULL, idx INTEGER, at_ms INTEGER NOT NULL,
        note BLOB NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX receipts_by_expiry ON receipts (expires);";

/// The end of receipts whose time is over.
pub(super) const LITTER: Litter = Litter {
    delete: "DELETE FROM receipts WHERE key IN (SELECT key FROM receipts WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
    next: "SELECT min(expires) FROM receipts",
};

/// When a receipt that is kept at this time, in milliseconds since 1970, ends, in seconds.
pub(super) fn end(at_ms: u64) -> u64 {
    (at_ms / 1000).saturating_add(KEPT.as_secs())
}

/// What becomes of an entry that was published before at this time, in milliseconds since 1970;
/// nothing: it was not.
pub(super) fn answer(
    db: &Connection,
    receipt: &Receipt,
    now_ms: u64,
) -> rusqlite::Result<Option<Placed>> {
    let mut select = db.prepare_cached(
        "SELECT digest, n, idx, at_ms, note, epoch FROM receipts WHERE key = ?1 AND expires > ?2",
    )?;
    let kept = select.query_row(params![&*receipt.key, column(now_ms / 1000)], |row| {
        let position = Position {
            n: row.get::<_, i64>(1)?.unsigned_abs(),
            index: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
            at_ms: row.get::<_, i64>(3)?.unsigned_abs(),
            epoch: row.get::<_, Option<i64>>(5)?.map(i64::unsigned_abs),
        };
        Ok(Kept { digest: row.get(0)?, position, note: Bytes::from(row.get::<_, Vec<u8>>(4)?) })
    });
    Ok(kept.optional()?.map(|kept| kept.answer(receipt)))
}

/// Keeps the receipt of an entry that was placed there.
pub(super) fn keep(
    db: &Connection,
    receipt: &Receipt,
    position: &Position,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO receipts (key, digest, n, idx, at_ms, note, expires, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        &*receipt.key,
        receipt.digest,
        column(position.n),
        position.index.map(column),
        column(position.at_ms),
        &receipt.note[..],
        column(end(position.at_ms)),
        position.epoch.map(column),
    ])?;
    Ok(())
}

/// Takes a key for what has this digest, unless it is taken; whether it is this one's.
fn take_key(db: &Connection, receipt: &Receipt, now_ms: u64) -> rusqlite::Result<bool> {
    match answer(db, receipt, now_ms)? {
        Some(before) => Ok(before != Placed::Reused),
        None => {
            keep(db, receipt, &Position { n: 0, index: None, at_ms: now_ms, epoch: None })?;
            Ok(true)
        }
    }
}

/// A receipt that is for no entry.
fn bare(key: &str, digest: &[u8; 32]) -> Receipt {
    Receipt { key: Arc::from(key), digest: *digest, note: Bytes::new() }
}

#[async_trait]
impl Receipts for Embedded {
    async fn take_key(&self, key: &str, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let (receipt, now_ms) = (bare(key, digest), self.clock.unix_ms());
        let taken = self.writer.run(move |db| take_key(db, &receipt, now_ms)).await?;
        self.litter.fetch_min(end(now_ms), Relaxed);
        Ok(taken)
    }

    async fn give_back_key(&self, key: &str, digest: &[u8; 32]) -> Result<(), StoreError> {
        let receipt = bare(key, digest);
        let delete = move |db: &Connection| {
            db.prepare_cached("DELETE FROM receipts WHERE key = ?1 AND digest = ?2")?
                .execute(params![&*receipt.key, receipt.digest])
        };
        self.writer.run(delete).await.map(|_| ())
    }
}
