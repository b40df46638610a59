//! Reads: a few read-only connections, used on threads that may block, so that a long page delays
//! neither the runtime nor the writer.
//!
//! There are two groups of them. Whoever signs in or joins asks for a row or two, and must not
//! stand behind pages of megabytes: these questions have connections of their own.
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, time::timeout};

use super::{lock, schema, writer::unavailable};
use crate::domain::error::StoreError;

/// Reads of a group at the same time. More would compete with the writer for the same disk and
/// processors.
const CONNECTIONS: usize = 2;

/// The two groups.
pub(super) struct Readers {
    /// Tokens and counters: each question takes microseconds.
    pub(super) quick: Group,
    /// Whatever grows with what is stored: pages, updates, lists.
    pub(super) pages: Group,
}

impl Readers {
    pub(super) fn new(file: &Path, deadline: Duration) -> Self {
        Readers { quick: Group::new(file, deadline), pages: Group::new(file, deadline) }
    }

    /// No more reads.
    pub(super) fn close(&self) {
        self.quick.close();
        self.pages.close();
    }
}

/// Connections that wait for each other, and for no others.
pub(super) struct Group {
    file: PathBuf,
    /// Opened when first needed; one that met an error is not used again.
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    deadline: Duration,
}

impl Group {
    fn new(file: &Path, deadline: Duration) -> Self {
        Group {
            file: file.to_path_buf(),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            deadline,
        }
    }

    /// Runs `query` on a snapshot that contains everything answered before. A read changes nothing,
    /// so it never ends with an unknown outcome.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = async {
            let permit = self
                .permits
                .clone()
                .acquire_owned()
                .await
                .map_err(|_| StoreError::Unavailable("closed".into()))?;
            let (file, idle, permits, patience) =
                (self.file.clone(), self.idle.clone(), self.permits.clone(), self.deadline / 2);
            let work = tokio::task::spawn_blocking(move || {
                let _permit = permit; // until the work has ended, whether or not its caller still waits
                let kept = lock(&idle).pop();
                let db = kept.map_or_else(|| schema::open_reader(&file, patience), Ok)?;
                let read = query(&db)?;
                if !permits.is_closed() {
                    lock(&idle).push(db);
                }
                Ok(read)
            });
            work.await
                .map_err(|e| StoreError::Unavailable(format!("a read panicked: {e}")))?
                .map_err(|e| unavailable(&e))
        };
        let late = || StoreError::Unavailable(format!("no answer within {:?}", self.deadline));
        timeout(self.deadline, done).await.map_err(|_| late())?
    }

    fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}
