//! Tables, their versions, and how connections are set up.
use std::{cmp::Ordering, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::{Durability, erase, folder::OpenError, outbox, receipts, records, trim};

/// How often a file is looked at that somebody else is making.
const LOOK: Duration = Duration::from_millis(20);

/// Step i leads from version i to i + 1. A released step is never edited: append.
const STEPS: &[fn(&Transaction) -> rusqlite::Result<()>] =
    &[first, second, third, fourth, fifth, sixth, seventh, eighth, ninth];

/// A room's log and updates lie side by side on disk, so a page is one range. `idx` counts a log's
/// inserts from 0 without a gap, within an epoch. Times are seconds since 1970.
fn first(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
            epoch INTEGER NOT NULL, n INTEGER NOT NULL,
             inserts INTEGER NOT NULL, touched INTEGER NOT NULL);
         CREATE TABLE inserts (room INTEGER NOT NULL, idx INTEGER NOT NULL, n INTEGER NOT NULL,
             unix INTEGER NOT NULL, body BLOB,
             PRIMARY KEY (room, idx)) WITHOUT ROWID;
         CREATE TABLE updates (room INTEGER NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL,
             unix INTEGER NOT NULL, body BLOB,
             PRIMARY KEY (room, id)) WITHOUT ROWID;
         CREATE INDEX updates_by_n ON updates (room, n);
         CREATE TABLE accounts (realm TEXT NOT NULL, uid TEXT NOT NULL, token_hash BLOB NOT NULL,
             created INTEGER NOT NULL,
             updated INTEGER NOT NULL, PRIMARY KEY (realm, uid)) WITHOUT ROWID;",
    )
}

/// How far a room has come is seen in its last rows, so that a message writes one page of the
/// database and not two: `rooms.n` and `rooms.touched` are what they were when the row was made or
/// the room cleared.
fn second(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch("ALTER TABLE rooms DROP COLUMN inserts")
}

/// The log anew. A row is a *chunk*: inserts of one room that were stored together, `count` of
/// them. `pos` is the room's row, times 2^32, plus the first one's index: a room's log lies side by
/// side, in a table that keeps up to 4 KB of a row in its page. `body` has the bodies in
/// lines, `lengths` their lengths in bytes, between commas, or nothing for a single one. `n` is the
/// last one's.
fn third(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE log (pos INTEGER PRIMARY KEY, count INTEGER NOT NULL, n INTEGER NOT NULL,
            unix INTEGER NOT NULL, lengths TEXT,
             body BLOB);
         INSERT INTO log (pos, count, n, unix, body) SELECT room << 32 | idx, 1, n, unix, body
             FROM inserts ORDER BY room, idx;
         DROP TABLE inserts;",
    )
}

/// Revocations of users' credentials, for the server that has their sessions: `ended` is how many
/// connections it has refused then, nothing until it has looked. Serial numbers are never given
/// twice.
fn fourth(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE revocations (serial INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL,
            unix INTEGER NOT NULL, ended INTEGER)",
    )
}

/// What dialects need that name their messages, and nothing that rewrites a row.
///
/// `rooms.base` is the index of the log's first insert, as an index is never used again: it grows by
/// the log's length where the log is forgotten. A room that is deleted leaves its next index in
/// `floor`, where new rooms begin: one of them may be the same again. `rooms.expires` is when the log
/// is to be forgotten, in milliseconds since 1970. `ms` are the milliseconds behind `unix`; none in
/// rows of earlier versions. `log.keys` are the keys of a chunk's inserts, a JSON array with null for
/// those without, or nothing where none has one; `log.recalled` are the places in the chunk of those
/// that were recalled, between commas.
fn fifth(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch(
        "ALTER TABLE rooms ADD COLUMN base INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE rooms ADD COLUMN expires INTEGER;
         ALTER TABLE log ADD COLUMN ms INTEGER;
         ALTER TABLE log ADD COLUMN keys TEXT;
         ALTER TABLE log ADD COLUMN recalled TEXT;
         ALTER TABLE updates ADD COLUMN ms INTEGER;
         CREATE INDEX rooms_by_expiry ON rooms (expires) WHERE expires IS NOT NULL;
         CREATE INDEX log_with_keys ON log (pos) WHERE keys IS NOT NULL;
         CREATE TABLE floor (one INTEGER PRIMARY KEY CHECK (one = 1), base INTEGER NOT NULL);
         INSERT INTO floor VALUES (1, 0);",
    )
}

/// What integrations need. Each part says its tables itself.
fn sixth(db: &Transaction) -> rusqlite::Result<()> {
    let parts = [records::TABLES, trim::COLUMNS, receipts::TABLES, outbox::TABLES, erase::JOBS];
    parts.into_iter().try_for_each(|tables| db.execute_batch(tables))
}

/// What is told to webhooks, in rows that are written once and found without a scan.
fn seventh(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch(outbox::SEVENTH)
}

/// Places and names that answers tell of again. `log.places` says how far each of a chunk's inserts
/// is before the last one, `n`, in the room's order, between commas; it is empty where they follow
/// each other, and nothing in rows of earlier versions. `receipts.epoch` names the log that an
/// entry was published into.
fn eighth(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch(
        "ALTER TABLE log ADD COLUMN places TEXT; ALTER TABLE receipts ADD COLUMN epoch INTEGER;",
    )
}

/// What is dropped last, where too much waits for webhooks, is found at once.
fn ninth(db: &Transaction) -> rusqlite::Result<()> {
    db.execute_batch(outbox::NINTH)
}

/// A connection that writes; brings the tables up to date. `patience`: how long it waits for
/// another process that writes.
pub(super) fn open(
    file: &Path,
    durability: Durability,
    patience: Duration,
) -> Result<Connection, OpenError> {
    let failed = |e: rusqlite::Error| OpenError::from_sqlite(file, &e);
    let mut db = connect(file, durability, patience)?;
    migrate(&mut db, file)?;
    // Reads the head of each table: a damaged file is met now rather than by the first message.
    for table in ["rooms", "log", "updates", "accounts"] {
        db.query_row(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"), [], |_| {
            Ok(())
        })
        .map_err(failed)?;
    }
    Ok(db)
}

/// A connection for the accounts alone, beside a server that may be running, and may be of an
/// earlier version: then its tables are left as they are, as `accounts` is the same since the
/// first. `claim` says whether there is no server.
pub(super) fn open_accounts<T>(
    file: &Path,
    patience: Duration,
    claim: impl Fn() -> Result<T, OpenError>,
) -> Result<Connection, OpenError> {
    let failed = |e: rusqlite::Error| OpenError::from_sqlite(file, &e);
    let mut db = connect(file, Durability::Power, patience)?;
    let mut left = patience;
    loop {
        let found = version(&db).map_err(failed)?;
        if usize::try_from(found) == Ok(STEPS.len()) {
            return Ok(db);
        }
        match claim() {
            Ok(claimed) => {
                migrate(&mut db, file)?;
                drop(claimed);
                return Ok(db);
            }
            Err(OpenError::InUse { .. })
                if (1..super::column(STEPS.len() as u64)).contains(&found) =>
            {
                return Ok(db);
            }
            // Who has it is making the tables just now.
            Err(OpenError::InUse { .. }) if found == 0 && !left.is_zero() => {
                std::thread::sleep(LOOK);
                left = left.saturating_sub(LOOK);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the tables are as old as the table of revocations, or younger.
pub(super) fn has_revocations(db: &Connection) -> rusqlite::Result<bool> {
    version(db).map(|version| version >= 4)
}

/// A connection of a running server beside the one that [`open`] gave.
pub(super) fn open_second(file: &Path, patience: Duration) -> Result<Connection, OpenError> {
    connect(file, Durability::Process, patience)
}

fn connect(
    file: &Path,
    durability: Durability,
    patience: Duration,
) -> Result<Connection, OpenError> {
    let failed = |e: rusqlite::Error| OpenError::from_sqlite(file, &e);
    let db = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    set_up(&db, durability, patience).map_err(failed)?;
    Ok(db)
}

/// A connection that reads, beside one of [`open`].
pub(super) fn open_reader(file: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(patience)?;
    Ok(db)
}

/// A connection that reads, beside a server that may be of another version.
pub(super) fn open_beside(file: &Path, patience: Duration) -> Result<Connection, OpenError> {
    let db = open_reader(file, patience).map_err(|e| OpenError::from_sqlite(file, &e))?;
    let (found, known) = (
        version(&db).map_err(|e| OpenError::from_sqlite(file, &e))?,
        super::column(STEPS.len() as u64),
    );
    let file = file.to_path_buf();
    match found.cmp(&known) {
        Ordering::Less => Err(OpenError::Older { file, found, known }),
        Ordering::Equal => Ok(db),
        Ordering::Greater => Err(OpenError::Newer { file, found, known }),
    }
}

fn set_up(db: &Connection, durability: Durability, patience: Duration) -> rusqlite::Result<()> {
    db.busy_timeout(patience)?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // In WAL mode NORMAL leaves commits to the operating system and FULL waits for the disk, once
    // per transaction.
    db.pragma_update(
        None,
        "synchronous",
        if durability == Durability::Power { "FULL" } else { "NORMAL" },
    )?;
    // What is deleted or replaced is overwritten, not left in free pages.
    db.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
    db.pragma_update(None, "cache_size", -8192)?; // KiB
    // 16 MiB of WAL rather than 4: the last page of a busy room, written again and again, is
    // carried over less often.
    db.query_row("PRAGMA wal_autocheckpoint = 4000", [], |_| Ok(()))?;
    db.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?; // a WAL that a large clear blew up is cut back
    db.set_prepared_statement_cache_capacity(128); // more than there are: preparing one costs more than running it
    Ok(())
}

fn migrate(db: &mut Connection, file: &Path) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| OpenError::from_sqlite(file, &e);
    let known = STEPS.len();
    let found = version(db).map_err(failed)?;
    if usize::try_from(found) == Ok(known) {
        return Ok(());
    }
    // Looked at again inside: another process may just have done it.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(&tx).map_err(failed)?;
    let Some(steps) = usize::try_from(found).ok().and_then(|v| STEPS.get(v..)) else {
        return Err(OpenError::Newer {
            file: file.to_path_buf(),
            found,
            known: super::column(known as u64),
        });
    };
    steps.iter().try_for_each(|step| step(&tx)).map_err(failed)?;
    tx.pragma_update(None, "user_version", super::column(known as u64)).map_err(failed)?;
    tx.commit().map_err(failed)
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}
