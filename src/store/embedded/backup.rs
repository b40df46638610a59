//! A copy of the database, complete and in one piece, also while a server writes: what was
//! acknowledged before it began is in it.
//!
//! `VACUUM INTO` reads one snapshot. The copy appears under its name when it is whole and on the
//! disk, never before.
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

use super::{
    folder::{OpenError, anew, existing_database},
    schema,
};

/// How long a server that holds the database for itself is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Rooms that have at least one message.
    pub rooms: u64,
    /// Inserts and updates.
    pub messages: u64,
    /// Users and administrators.
    pub accounts: u64,
    /// Of the file.
    pub bytes: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// This file exists already. It was left as it is.
    #[error("{0} exists: a backup overwrites nothing, name another file")]
    Exists(PathBuf),
    /// The backup's file can't be made, or not be written to the end.
    #[error("can't write the backup {file}: {error}")]
    File {
        /// Where the backup was to be.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// SQLite can't read the database, or can't write its copy.
    #[error("can't copy the database: {0}")]
    Copy(#[from] rusqlite::Error),
}

/// Copies the database of a data folder into a new file. Blocks.
pub fn backup(path: &Path, file: &Path) -> Result<Backup, BackupError> {
    let failed = |error| BackupError::File { file: file.to_path_buf(), error };
    let database = existing_database(path)?;
    if fs::symlink_metadata(file).is_ok() {
        return Err(BackupError::Exists(file.to_path_buf()));
    }
    let name = file.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.part", std::process::id()));
    let partial = Partial(file.with_file_name(temporary));
    let db = schema::open_beside(&database, PATIENCE)?;
    let target = partial.0.to_str().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    // Made beforehand, so that it is for its owner alone from the first byte on.
    anew(&partial.0).map_err(failed)?;
    db.execute("VACUUM INTO ?1", [target])?;
    let copied = count(&schema::open_reader(&partial.0, PATIENCE)?)?;
    let written = File::open(&partial.0).map_err(failed)?;
    written.sync_all().map_err(failed)?;
    let bytes = written.metadata().map_err(failed)?.len();
    partial.appear(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_path_buf()),
        _ => failed(error),
    })?;
    Ok(Backup { bytes, ..copied })
}

fn count(db: &Connection) -> rusqlite::Result<Backup> {
    let number =
        |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    Ok(Backup {
        rooms: number(
            "SELECT count(*) FROM (SELECT pos >> 32 FROM log WHERE pos & 0xffffffff = 0 UNION SELECT room FROM updates)",
        )?,
        messages: number(
            "SELECT coalesce((SELECT sum(count) FROM log), 0) + (SELECT count(*) FROM updates)",
        )?,
        accounts: number("SELECT count(*) FROM accounts")?,
        bytes: 0,
    })
}

/// A file that is being written. It goes with its owner, unless it got its name.
struct Partial(PathBuf);

impl Partial {
    /// Gives it its name, which nobody else may have taken meanwhile.
    fn appear(self, file: &Path) -> io::Result<()> {
        match fs::hard_link(&self.0, file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Some file systems have no links.
            Err(_) => fs::rename(&self.0, file)?,
            Ok(()) => {}
        }
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0)); // it may have been renamed, or never made
    }
}
