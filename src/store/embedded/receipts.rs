//! Receipts in SQL. They are written in the transaction of what they are for, by the one thread that
//! writes: so what is asked for at the same time, in whatever room, is seen here one after the other.
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{column, sweep::Litter};
use crate::domain::{
    broker::{Placed, Position},
    receipt::{KEPT, Kept, Receipt},
};

/// `expires` is in seconds since 1970; the position is `n`, `idx` and `at_ms`.
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
        "SELECT digest, n, idx, at_ms, note FROM receipts WHERE key = ?1 AND expires > ?2",
    )?;
    let kept = select.query_row(params![&*receipt.key, column(now_ms / 1000)], |row| {
        let position = Position {
            n: row.get::<_, i64>(1)?.unsigned_abs(),
            index: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
            at_ms: row.get::<_, i64>(3)?.unsigned_abs(),
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
        "INSERT OR REPLACE INTO receipts (key, digest, n, idx, at_ms, note, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        &*receipt.key,
        receipt.digest,
        column(position.n),
        position.index.map(column),
        column(position.at_ms),
        &receipt.note[..],
        column(end(position.at_ms)),
    ])?;
    Ok(())
}
