//! A file of keys, which is read again when it changes.
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use jsonwebtoken::Algorithm;

use super::{
    KeyError,
    key::{self, Key},
};
use crate::lock::lock;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(2);
/// Bytes of the largest file that is read.
const LARGEST: u64 = 1 << 20;

/// What tells that a file has changed: its time, and its length.
type Stamp = Option<(SystemTime, u64)>;

/// The keys of a file.
pub(super) struct KeyFile {
    path: PathBuf,
    algorithms: Vec<Algorithm>,
    keys: RwLock<Arc<[Arc<Key>]>>,
    /// The file when it was looked at last, and what was wrong with it.
    seen: Mutex<(Stamp, String)>,
}

impl KeyFile {
    /// Reads it for the first time.
    pub(super) fn open(path: &Path, algorithms: &[Algorithm]) -> Result<Arc<Self>, KeyError> {
        let stamp = stamp(path);
        let keys = read(path, algorithms)
            .map_err(|why| KeyError::File { file: path.to_path_buf(), why })?;
        Ok(Arc::new(KeyFile {
            path: path.to_path_buf(),
            algorithms: algorithms.to_vec(),
            keys: RwLock::new(keys),
            seen: Mutex::new((stamp, String::new())),
        }))
    }

    /// Its keys as they are now.
    pub(super) fn keys(&self) -> Arc<[Arc<Key>]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes new keys in, when there are any. Never ends.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let file = self.clone();
            let _ = tokio::task::spawn_blocking(move || file.look()).await;
        }
    }

    /// A file that can't be used is reported once; until it can, the keys before go on.
    pub(super) fn look(&self) {
        let stamp = stamp(&self.path);
        let mut seen = lock(&self.seen);
        if seen.0 == stamp {
            return;
        }
        let trouble = match read(&self.path, &self.algorithms) {
            Ok(keys) => {
                tracing::info!(file = %self.path.display(), keys = keys.len(), "took new keys for tokens in");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
                String::new()
            }
            Err(error) => {
                if seen.1 != error {
                    tracing::warn!(file = %self.path.display(), error, "the new keys for tokens can't be used; those before go on");
                }
                error
            }
        };
        // A file that can't be read is looked at again, also if it does not change: it may be
        // half written within one tick of its clock.
        *seen = (if trouble.is_empty() { stamp } else { None }, trouble);
    }
}

fn stamp(path: &Path) -> Stamp {
    path.metadata().ok().and_then(|file| Some((file.modified().ok()?, file.len())))
}

fn read(path: &Path, algorithms: &[Algorithm]) -> Result<Arc<[Arc<Key>]>, String> {
    if path.metadata().is_ok_and(|file| file.len() > LARGEST) {
        return Err("it is larger than a file of keys may be".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(key::read(&text, algorithms)?.into_iter().map(Arc::new).collect())
}
