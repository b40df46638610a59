//! Erasing a user's messages, and the jobs that do it; and messages by their indexes.
//!
//! What is to go is looked for where pages are read, and overwritten by the writer's thread, some
//! rows at a time; where it is known which they are, the writer's thread does both. SQLite
//! overwrites what it frees (`secure_delete`, set in `schema.rs`). What is in the WAL is gone when
//! that is carried over and cut to nothing ([`scrub`](Erasure::scrub)).
use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Embedded, chunk, column, log,
    schema::{self},
    writer::unavailable,
};
use crate::domain::{
    erase::{Erased, Erasure, Job, State},
    error::StoreError,
    ids::{RoomId, Uid},
    message::form::Forms,
};

/// What servers do in the background (`domain/erase.rs`): a JSON object each. `unix` is when it was
/// last written.
pub(super) const JOBS: &str = "
    CREATE TABLE jobs (id TEXT PRIMARY KEY, body TEXT NOT NULL, done INTEGER NOT NULL, unix INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX jobs_open ON jobs (id) WHERE done = 0;";

/// Rows of the log that are looked through at once.
const ROWS: i64 = 100;
/// Rows of the log that the writer's thread looks through at once.
const STEP: i64 = 50;
/// Updates that are looked through at once.
const UPDATES: i64 = 500;
/// How often it is tried to cut the WAL while others read from it, and the pause between.
const ATTEMPTS: (u32, Duration) = (20, Duration::from_millis(500));
/// How long one attempt waits for them. Nobody else can write meanwhile.
const PATIENCE: Duration = Duration::from_millis(5);
/// Jobs that are done are kept for so long, in seconds.
const KEPT: u64 = 30 * 86_400;

/// The user's messages in a stretch of a room.
#[derive(Debug, Default)]
struct Found {
    room: i64,
    epoch: u64,
    /// Rows of the log, and which of the messages there.
    rows: Vec<(i64, Vec<usize>)>,
    /// Numbers of updates.
    updates: Vec<i64>,
    /// Where to go on; none: this was all.
    next: Option<i64>,
}

/// Whose messages are looked for, and how one is known.
#[derive(Clone)]
struct Whose {
    uid: Uid,
    forms: Forms,
}

impl Whose {
    fn is(&self, room: &RoomId, body: &[u8]) -> bool {
        self.forms.is_of(room, body, &self.uid)
    }
}

/// In the log, behind this row.
fn in_log(db: &Connection, room: &RoomId, whose: &Whose, after: i64) -> rusqlite::Result<Found> {
    let counters = log::counters(db, room)?;
    let mut found = Found { epoch: counters.epoch, ..Found::default() };
    let Some(row) = counters.row else { return Ok(found) };
    found.room = row;
    let mut select = db.prepare_cached(
        "SELECT pos, count, lengths, body FROM log
         WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | 0xffffffff AND pos > ?2 ORDER BY pos LIMIT ?3",
    )?;
    let (mut rows, mut seen, mut last) = (select.query(params![row, after, ROWS])?, 0, after);
    while let Some(row) = rows.next()? {
        (seen, last) = (seen + 1, row.get(0)?);
        let count = row.get::<_, i64>(1)?.unsigned_abs();
        let bodies = chunk::read(count, row.get_ref(2)?, row.get_ref(3)?).enumerate();
        let of_user = |(at, body): (usize, Option<bytes::Bytes>)| {
            body.is_some_and(|body| whose.is(room, &body)).then_some(at)
        };
        let places: Vec<usize> = bodies.filter_map(of_user).collect();
        if !places.is_empty() {
            found.rows.push((last, places));
        }
    }
    found.next = (seen == ROWS).then_some(last);
    Ok(found)
}

/// Among the updates, behind this number.
fn in_updates(
    db: &Connection,
    room: &RoomId,
    whose: &Whose,
    after: i64,
) -> rusqlite::Result<Found> {
    let counters = log::counters(db, room)?;
    let mut found = Found { epoch: counters.epoch, ..Found::default() };
    let Some(row) = counters.row else { return Ok(found) };
    found.room = row;
    let mut select = db.prepare_cached(
        "SELECT n, body FROM updates WHERE room = ?1 AND n > ?2 ORDER BY n LIMIT ?3",
    )?;
    let (mut rows, mut seen, mut last) = (select.query(params![row, after, UPDATES])?, 0, after);
    while let Some(row) = rows.next()? {
        (seen, last) = (seen + 1, row.get(0)?);
        if chunk::text(row.get_ref(1)?).is_some_and(|body| whose.is(room, &body)) {
            found.updates.push(last);
        }
    }
    found.next = (seen == UPDATES).then_some(last);
    Ok(found)
}

impl Found {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.updates.is_empty()
    }

    /// Overwrites them, unless the log is another one by now.
    fn overwrite(&self, db: &Connection) -> rusqlite::Result<()> {
        let epoch = db
            .prepare_cached("SELECT epoch FROM rooms WHERE id = ?1")?
            .query_row([self.room], |row| row.get::<_, i64>(0))
            .optional()?;
        if epoch.map(i64::unsigned_abs) != Some(self.epoch) {
            return Ok(()); // all of it is deleted
        }
        for (pos, places) in &self.rows {
            chunk::blank(db, *pos, |at| places.contains(&at))?;
        }
        for n in &self.updates {
            db.prepare_cached("UPDATE updates SET body = NULL WHERE room = ?1 AND n = ?2")?
                .execute([self.room, *n])?;
        }
        Ok(())
    }
}

/// Overwrites inserts by their indexes, in some rows behind this one. Returns how many had a message,
/// and behind which row to go on, if that was not all.
fn blank_inserts(
    db: &Connection,
    room: &RoomId,
    indexes: &Range<u64>,
    after: i64,
) -> rusqlite::Result<(u64, Option<i64>)> {
    let counters = log::counters(db, room)?;
    let Some(row) = counters.row else { return Ok((0, None)) };
    let offset = |index: u64| index.saturating_sub(counters.base);
    let from = offset(indexes.start).max(counters.start);
    let upto = offset(indexes.end).min(counters.inserts);
    if from >= upto {
        return Ok((0, None));
    }
    let mut select = db.prepare_cached(
        "SELECT pos, pos & 0xffffffff, count, lengths, body FROM log
         WHERE pos BETWEEN
             coalesce((SELECT pos FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | ?2
                 ORDER BY pos DESC LIMIT 1), ?1 << 32)
             AND ?1 << 32 | ?3
             AND pos > ?4
         ORDER BY pos LIMIT ?5",
    )?;
    let mut rows = select.query(params![row, column(from), column(upto - 1), after, STEP])?;
    let (mut found, mut seen, mut last) = (Vec::new(), 0, after);
    while let Some(row) = rows.next()? {
        (seen, last) = (seen + 1, row.get(0)?);
        let first = row.get::<_, i64>(1)?.unsigned_abs();
        let count = row.get::<_, i64>(2)?.unsigned_abs();
        let there = chunk::read(count, row.get_ref(3)?, row.get_ref(4)?).zip(first..).enumerate();
        let asked = |(at, (body, offset)): (usize, (Option<bytes::Bytes>, u64))| {
            (body.is_some() && (from..upto).contains(&offset)).then_some(at)
        };
        let places: Vec<usize> = there.filter_map(asked).collect();
        if !places.is_empty() {
            found.push((last, places));
        }
    }
    drop(rows);
    let mut blanked = 0;
    for (pos, places) in &found {
        chunk::blank(db, *pos, |at| places.contains(&at))?;
        blanked += places.len() as u64;
    }
    Ok((blanked, (seen == STEP).then_some(last)))
}

#[async_trait]
impl Erasure for Embedded {
    async fn erase(&self, room: &RoomId, uid: &Uid) -> Result<Erased, StoreError> {
        let mut erased = Erased::default();
        for look in [in_log, in_updates] {
            let mut after = i64::MIN;
            loop {
                let name = room.clone();
                let whose = Whose { uid: uid.clone(), forms: self.forms };
                let find = move |db: &Connection| look(db, &name, &whose, after);
                let found = self.readers.pages.read(find).await?;
                let next = found.next;
                if !found.is_empty() {
                    erased.inserts += found.rows.iter().map(|(_, at)| at.len() as u64).sum::<u64>();
                    erased.updates += found.updates.len() as u64;
                    self.writer.run(move |db| found.overwrite(db)).await?;
                    self.slot.tell(|sink| sink.invalidate(room));
                }
                match next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        Ok(erased)
    }

    async fn erase_inserts(&self, room: &RoomId, from: u64, upto: u64) -> Result<u64, StoreError> {
        let (mut all, mut after) = (0, Some(i64::MIN));
        while let Some(behind) = after {
            let (name, indexes) = (room.clone(), from..upto);
            let blank = move |db: &Connection| blank_inserts(db, &name, &indexes, behind);
            let (blanked, next) = self.writer.run(blank).await?;
            if blanked > 0 {
                self.slot.tell(|sink| sink.invalidate(room));
            }
            (all, after) = (all + blanked, next);
        }
        Ok(all)
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        let (file, patience) = (self.file.clone(), self.deadline / 2);
        let cut = tokio::task::spawn_blocking(move || cut_wal(&file, patience)).await;
        cut.map_err(|error| StoreError::OutcomeUnknown(error.to_string()))?
    }

    async fn keep_job(&self, job: &Job) -> Result<(), StoreError> {
        let (id, text, done, unix) = (job.id.clone(), text(job)?, is_done(job), self.clock.unix());
        self.writer.run(move |db| keep(db, &id, &text, done, unix)).await
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let id = id.to_owned();
        self.readers.quick.read(move |db| find(db, &id)).await
    }

    async fn open_jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.readers.quick.read(open_jobs).await
    }
}

pub(super) fn text(job: &Job) -> Result<String, StoreError> {
    serde_json::to_string(job).map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn is_done(job: &Job) -> bool {
    job.state == State::Done
}

/// Writes a job, and throws away what was done long ago.
fn keep(db: &Connection, id: &str, text: &str, done: bool, unix: u64) -> rusqlite::Result<()> {
    db.execute(
        "DELETE FROM jobs WHERE done = 1 AND unix < ?1",
        [column(unix.saturating_sub(KEPT))],
    )?;
    db.execute(
        "INSERT INTO jobs (id, body, done, unix) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, done = excluded.done, unix = excluded.unix",
        params![id, text, done, column(unix)],
    )?;
    Ok(())
}

fn find(db: &Connection, id: &str) -> rusqlite::Result<Option<Job>> {
    let body = db
        .prepare_cached("SELECT body FROM jobs WHERE id = ?1")?
        .query_row([id], |row| row.get::<_, String>(0))
        .optional()?;
    Ok(body.and_then(|body| serde_json::from_str(&body).ok()))
}

pub(super) fn open_jobs(db: &Connection) -> rusqlite::Result<Vec<Job>> {
    let mut select = db.prepare_cached("SELECT body FROM jobs WHERE done = 0 ORDER BY id")?;
    let bodies = select.query_map([], |row| row.get::<_, String>(0))?;
    let jobs = bodies.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(jobs.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
}

/// Whether there are jobs that are not done.
pub(super) fn any_open(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM jobs WHERE done = 0)")?
        .query_row([], |row| row.get(0))
}

/// Carries the WAL over and cuts it to nothing, as soon as nobody reads from it. `patience` is for the
/// opening.
fn cut_wal(file: &std::path::Path, patience: Duration) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| unavailable(&error);
    let db = schema::open_second(file, patience)
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    db.busy_timeout(PATIENCE).map_err(failed)?;
    for _ in 0..ATTEMPTS.0 {
        let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        if busy.map_err(failed)? == 0 {
            return Ok(());
        }
        std::thread::sleep(ATTEMPTS.1);
    }
    Err(StoreError::Unavailable(
        "the write-ahead log is read all the time, and can't be cut".into(),
    ))
}

/// Gives a job to the server that has this folder; where none has, the caller does it. Blocks.
///
/// # Errors
/// There is no such store, or it can't be written.
pub fn give_job(path: &std::path::Path, job: &Job, unix: u64) -> Result<Given, super::OpenError> {
    let file = super::folder::existing_database(path)?;
    if !super::folder::is_claimed(path) {
        return Ok(Given::NoServer);
    }
    let failed = |e: rusqlite::Error| super::OpenError::from_sqlite(&file, &e);
    let db = schema::open_second(&file, Duration::from_secs(10))?;
    let text = serde_json::to_string(job).unwrap_or_default();
    keep(&db, &job.id, &text, false, unix).map_err(failed)?;
    Ok(Given::Server(Waiting { db, id: job.id.clone() }))
}

/// Who does a job.
pub enum Given {
    /// Nobody: no server has the folder.
    NoServer,
    /// The server that has the folder.
    Server(Waiting),
}

/// A job that a server does.
pub struct Waiting {
    db: Connection,
    id: String,
}

impl Waiting {
    /// The job as it is now. Blocks.
    pub fn look(&self) -> Option<Job> {
        find(&self.db, &self.id).ok().flatten()
    }
}
