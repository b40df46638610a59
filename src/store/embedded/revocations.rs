//! Revocations of users' credentials. Whoever removes an account notes it in the same transaction,
//! as a rule the command line, which is another process; the server that has the sessions looks for
//! that four times a second, refuses the user's connection, and notes that it did. It sees jobs
//! that were given from outside by the way.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::time::Instant;

use super::{
    Embedded, column,
    delivery::SinkSlot,
    erase,
    folder::{OpenError, existing_database, is_claimed},
    lock,
    presence::People,
    schema,
};
use crate::domain::{
    clock::Clock,
    error::StoreError,
    ids::Uid,
    presence::{Expelled, Expulsion, Revocations},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long the command line waits until the server has said that it refused a connection.
const CONFIRMATION: Duration = Duration::from_secs(5);
/// Between two questions whether it has.
const QUESTION: Duration = Duration::from_millis(20);
/// Seconds after which a revocation is thrown away that no server has looked at.
const KEPT: u64 = 3600;

/// Notes a revocation, for the server.
pub(super) fn note(db: &Connection, uid: &Uid, unix: u64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM revocations WHERE unix < ?1", [column(unix.saturating_sub(KEPT))])?;
    db.execute(
        "INSERT INTO revocations (uid, unix) VALUES (?1, ?2)",
        params![uid.as_str(), column(unix)],
    )
    .map(|_| ())
}

/// A server that opens the store has no sessions that they could concern.
pub(super) fn clear(db: &Connection) -> rusqlite::Result<()> {
    db.execute("DELETE FROM revocations", []).map(|_| ())
}

/// The thread that looks. Its connection is its own: it waits for no page that others read.
pub(super) struct Watch {
    file: PathBuf,
    patience: Duration,
    thread: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
}

impl Watch {
    pub(super) fn new(file: PathBuf, patience: Duration) -> Self {
        Watch { file, patience, thread: Mutex::default() }
    }

    /// Ends, after the look that is under way. It ends by itself when this is dropped.
    pub(super) async fn end(&self) {
        let Some((stop, thread)) = lock(&self.thread).take() else { return };
        drop(stop);
        if !matches!(tokio::task::spawn_blocking(|| thread.join()).await, Ok(Ok(()))) {
            tracing::error!("the look for revocations panicked");
        }
    }
}

impl Embedded {
    /// From now on, until the store is closed.
    pub(super) fn watch_revocations(&self) {
        let Watch { file, patience, thread } = &self.revocations;
        let (stop, stopped) = sync_channel(0);
        let (looker, patience) = (
            Looker { people: self.people.clone(), slot: self.slot.clone(), file: file.clone() },
            *patience,
        );
        match thread::Builder::new()
            .name("store-revocations".into())
            .spawn(move || looker.look_on(&stopped, patience))
        {
            Ok(handle) => *lock(thread) = Some((stop, handle)),
            Err(error) => {
                tracing::error!(%error, "there is no thread to look for revocations with: open connections outlive them")
            }
        }
    }
}

impl Embedded {
    /// Tells the user's connections of a revocation, which gets its place among those of other
    /// processes.
    pub(super) async fn tell_expelled(
        &self,
        uid: &Uid,
        expulsion: Expulsion,
    ) -> Result<u64, StoreError> {
        let (file, patience) = (self.revocations.file.clone(), self.revocations.patience);
        let (name, unix) = (uid.clone(), self.clock.unix());
        let number = move || -> Result<i64, String> {
            let db = schema::open_second(&file, patience).map_err(|e| e.to_string())?;
            // There is nothing to be done about it for whoever looks for it.
            db.execute(
                "INSERT INTO revocations (uid, unix, ended) VALUES (?1, ?2, 0)",
                params![name.as_str(), column(unix)],
            )
            .map_err(|e| e.to_string())?;
            Ok(db.last_insert_rowid())
        };
        let number = tokio::task::spawn_blocking(number).await.map_err(|e| e.to_string());
        let number = number.and_then(|number| number).map_err(StoreError::Unavailable)?;
        let at = Revocations(number.unsigned_abs());
        // The lock is free before anybody is told.
        let connections = lock(&self.people).revoke(uid, at);
        for connection in &connections {
            self.slot.tell(|sink| match expulsion {
                Expulsion::End => sink.revoke(*connection),
                Expulsion::Ask => sink.recheck(*connection),
            });
        }
        Ok(connections.len() as u64)
    }
}

struct Looker {
    people: Arc<Mutex<People>>,
    slot: SinkSlot,
    file: PathBuf,
}

impl Looker {
    fn look_on(&self, stopped: &Receiver<()>, patience: Duration) {
        let (mut db, mut version, mut told) = (None, None, false);
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let looked = catch_unwind(AssertUnwindSafe(|| self.look(&mut db, version, patience)));
            match looked.unwrap_or_else(|_| Err("a look panicked".into())) {
                Ok(seen) => (version, told) = (Some(seen), false),
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "revoked tokens can't be looked for; their users' connections stay until they can");
                    }
                    (db, version) = (None, None);
                }
            }
        }
    }

    /// Nothing is read while nobody has written: that is seen in memory that is shared with whoever
    /// writes. Returns how often that was.
    fn look(
        &self,
        db: &mut Option<Connection>,
        version: Option<i64>,
        patience: Duration,
    ) -> Result<i64, String> {
        let db = match db {
            Some(db) => db,
            None => {
                db.insert(schema::open_second(&self.file, patience).map_err(|e| e.to_string())?)
            }
        };
        self.look_with(db, version).map_err(|e| e.to_string())
    }

    fn look_with(&self, db: &Connection, version: Option<i64>) -> rusqlite::Result<i64> {
        let now = db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version == Some(now) {
            return Ok(now);
        }
        let revoked: Vec<(i64, String)> = db
            .prepare_cached(
                "SELECT serial, uid FROM revocations WHERE ended IS NULL ORDER BY serial",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (serial, uid) in revoked {
            // The lock is free before the connections are ended.
            let connections = Uid::text(&uid).map_or_else(
                |_| Vec::new(),
                |uid| lock(&self.people).revoke(&uid, Revocations(serial.unsigned_abs())),
            );
            for connection in &connections {
                self.slot.tell(|sink| sink.revoke(*connection));
            }
            db.prepare_cached("UPDATE revocations SET ended = ?2 WHERE serial = ?1")?
                .execute(params![serial, column(connections.len() as u64)])?;
        }
        // The command line gives them as well.
        if erase::any_open(db)? {
            self.slot.tell(|sink| sink.jobs_are_open());
        }
        Ok(now)
    }
}

/// Has a user's connection refused by the server that has this folder, if there is one, and waits
/// until it has. `noted`: the revocation was noted when the account was removed, in the same file.
/// Blocks.
///
/// # Errors
/// There is no such store, or it can't be read.
pub fn revoke(
    path: &Path,
    uid: &Uid,
    noted: bool,
    clock: &dyn Clock,
) -> Result<Expelled, OpenError> {
    let file = existing_database(path)?;
    if !is_claimed(path) {
        return Ok(Expelled::NoServer { path: path.to_path_buf() });
    }
    let failed = |e: rusqlite::Error| OpenError::from_sqlite(&file, &e);
    let db = schema::open_second(&file, CONFIRMATION)?;
    let server = format!("on {}", path.display());
    if !schema::has_revocations(&db).map_err(failed)? {
        return Ok(Expelled::Unconfirmed {
            server: format!("{server}, which is of an earlier version and has to be restarted"),
        });
    }
    if !noted {
        note(&db, uid, clock.unix()).map_err(failed)?;
    }
    let until = Instant::now() + CONFIRMATION;
    loop {
        match answer(&db, uid).map_err(failed)? {
            Some(0) => return Ok(Expelled::Nobody),
            Some(connections) => return Ok(Expelled::Ended { server, connections }),
            None if Instant::now() > until => return Ok(Expelled::Unconfirmed { server }),
            None => thread::sleep(QUESTION),
        }
    }
}

/// What the server did at the last revocation; nothing yet: none. One that is gone was before the
/// server began, which has no sessions from then.
fn answer(db: &Connection, uid: &Uid) -> rusqlite::Result<Option<u64>> {
    let last = "SELECT ended FROM revocations WHERE uid = ?1 ORDER BY serial DESC LIMIT 1";
    let ended =
        db.query_row(last, [uid.as_str()], |row| row.get::<_, Option<i64>>(0)).optional()?;
    Ok(ended.unwrap_or(Some(0)).map(i64::unsigned_abs))
}
