//! The end of rows that have a time: whoever reads them looks whether it is over, and here their space
//! becomes free again. On the writer's thread, between groups, some of them at a time.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rusqlite::{Connection, params};

use super::{
    column, receipts, records,
    writer::{Chore, roll_back},
};
use crate::{domain::clock::Clock, throttle::throttled};

/// Rows of a table that are deleted in one step.
const ROWS: i64 = 100;
/// Least and most time between two looks: rows that come to their end one by one are deleted
/// together, and the clock may be set.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A table whose rows have a time.
pub(super) struct Litter {
    /// Deletes ?2 rows, at most, whose time is over by ?1, seconds since 1970.
    pub(super) delete: &'static str,
    /// Says when the first row's time is over.
    pub(super) next: &'static str,
}

/// All of them.
const TABLES: [Litter; 2] = [records::LITTER, receipts::LITTER];

/// What is to be swept away, as the writer's thread sees it.
pub(super) struct Sweep {
    /// When the first row is due, in seconds since 1970, or earlier; `u64::MAX`: none is.
    due: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl Sweep {
    /// Looked for at the first step.
    pub(super) fn new(due: Arc<AtomicU64>, clock: Arc<dyn Clock>) -> Self {
        Sweep { due, clock }
    }

    /// Returns when the next step is to be.
    fn advance(&self, db: &Connection, now: u64) -> rusqlite::Result<u64> {
        let (mut next, mut is_more) = (u64::MAX, false);
        for table in TABLES {
            let mut first = db.prepare_cached(table.next)?;
            let mut first = || first.query_row([], |row| row.get::<_, Option<i64>>(0));
            let mut due = first()?;
            // Also a deletion of nothing would wait for another process that writes.
            if due.is_some_and(|due| due <= column(now)) {
                // One statement is one transaction, with what a trigger does.
                let given = params![column(now), ROWS];
                let deleted = db.prepare_cached(table.delete)?.execute(given)?;
                is_more |= deleted == usize::try_from(ROWS).unwrap_or_default();
                due = first()?;
            }
            next = next.min(due.map_or(u64::MAX, i64::unsigned_abs));
        }
        Ok(if is_more { now } else { next.max(now.saturating_add(LOOKS.0.as_secs())) })
    }
}

impl Chore for Sweep {
    fn pause(&self) -> Duration {
        match self.due.load(Relaxed) {
            u64::MAX => Duration::MAX,
            due => Duration::from_secs(due.saturating_sub(self.clock.unix()))
                .clamp(Duration::from_millis(10), LOOKS.1),
        }
    }

    fn step(&mut self, db: &Connection) {
        let (due, now) = (self.due.load(Relaxed), self.clock.unix());
        if due > now {
            return;
        }
        match self.advance(db, now) {
            // What came meanwhile was set by this thread.
            Ok(next) => self.due.store(next, Relaxed),
            Err(error) => {
                throttled!(warn, %error, "can't delete what has expired");
                roll_back(db);
                self.put_off();
            }
        }
    }

    fn put_off(&mut self) {
        self.due.store(self.clock.unix().saturating_add(LOOKS.0.as_secs()), Relaxed);
    }
}
