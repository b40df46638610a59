//! The data folder. A server holds its `lock` file while it runs, so that a second one is refused
//! instead of counting on its own.
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// The database in the folder.
const DATABASE: &str = "always-online.sqlite3";

/// Somebody may only be asking whether the folder is free: so it is tried again, so often and after
/// such pauses.
const ATTEMPTS: usize = 3;
const AGAIN: Duration = Duration::from_millis(10);

/// Why the store can't be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder for itself.
    #[error(
        "the data folder {path} is in use by another always-online{by}: stop it, or give this one its own folder with AO_STORE__PATH"
    )]
    InUse {
        /// The data folder.
        path: PathBuf,
        /// ` (pid 123)`, where it is known.
        by: String,
    },
    /// There is something else where the folder should be.
    #[error(
        "the data folder {path} is not a folder: move that file away, or name another folder with AO_STORE__PATH"
    )]
    NotAFolder {
        /// The data folder's path.
        path: PathBuf,
    },
    /// The folder can't be made, or a file in it can't be opened for writing.
    #[error(
        "can't write to the data folder {path} ({error}): make it writable for this user, or name another folder with AO_STORE__PATH"
    )]
    NotWritable {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system or SQLite says.
        error: String,
    },
    /// What is in the file is no database, or only part of one.
    #[error(
        "{file} is damaged ({error}): put back a copy of it, or move it away to start with an empty store"
    )]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What SQLite says.
        error: String,
    },
    /// A later version of this program has changed the tables.
    #[error(
        "{file} was written by a newer always-online (format {found}, this one knows {known}): use that version"
    )]
    Newer {
        /// The database.
        file: PathBuf,
        /// Number of the format that it has.
        found: i64,
        /// Number of the newest format that this version can use.
        known: i64,
    },
    /// The tables are of an earlier version, and are not brought up to date here: they are only
    /// read.
    #[error(
        "{file} was written by an earlier always-online (format {found}, this one knows {known}): use that version; or stop it where it runs, \
         and start this one there once, which brings the file up to date"
    )]
    Older {
        /// The database.
        file: PathBuf,
        /// Number of the format that it has.
        found: i64,
        /// Number of the format that this version needs.
        known: i64,
    },
    /// There is no database, and it is not made here: it has to be there already.
    #[error(
        "there is no {file}: nothing was stored there yet, or the data folder is another one (AO_STORE__PATH)"
    )]
    Missing {
        /// Where the database would be.
        file: PathBuf,
    },
    /// A file that is written over is a link or a folder, so that it may be somebody else's.
    #[error("{file} is a link, or no file: remove it, the server makes its own")]
    Foreign {
        /// The path of what was found.
        file: PathBuf,
    },
    /// Anything else; also that no thread can be started.
    #[error("can't open {file}: {error}")]
    Failed {
        /// The database.
        file: PathBuf,
        /// What SQLite or the system says.
        error: String,
    },
}

impl OpenError {
    /// What SQLite's refusal means for the owner of `file`.
    pub(super) fn from_sqlite(file: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseCorrupt, NotADatabase, PermissionDenied, ReadOnly,
        };
        let (file, text) = (file.to_path_buf(), error.to_string());
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => OpenError::Damaged { file, error: text },
            Some(CannotOpen | PermissionDenied | ReadOnly) => {
                OpenError::NotWritable { path: file, error: text }
            }
            _ => OpenError::Failed { file, error: text },
        }
    }

    pub(super) fn thread(file: &Path, error: &io::Error) -> Self {
        OpenError::Failed {
            file: file.to_path_buf(),
            error: format!("no thread to write with: {error}"),
        }
    }

    fn not_writable(path: &Path, error: &io::Error) -> Self {
        OpenError::NotWritable { path: path.to_path_buf(), error: error.to_string() }
    }
}

/// A data folder that is this process's alone until it is dropped.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where there is none, and locks it.
    pub(super) fn claim(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
        let mut lock = own(&path.join("lock"))?;
        let mut taken = lock.try_lock();
        for _ in 0..ATTEMPTS {
            if !matches!(taken, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(AGAIN);
            taken = lock.try_lock();
        }
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known =
                    lock.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
                let by = if known { format!(" (pid {})", pid.trim()) } else { String::new() };
                return Err(OpenError::InUse { path: path.to_path_buf(), by });
            }
            Err(TryLockError::Error(e)) => return Err(OpenError::not_writable(path, &e)),
        }
        let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(|e| OpenError::not_writable(path, &e))?;
        Ok(Folder { path: path.to_path_buf(), _lock: lock })
    }

    /// The database file; made, empty, where there is none.
    pub(super) fn database(&self) -> Result<PathBuf, OpenError> {
        database(&self.path)
    }
}

/// Whether a server has this folder.
pub(super) fn is_claimed(path: &Path) -> bool {
    // For as short as it takes to ask. Who claims the folder in that moment asks again.
    File::open(path.join("lock"))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The database file of a folder that a server may be using. Both are made where they do not exist.
pub(super) fn shared_database(path: &Path) -> Result<PathBuf, OpenError> {
    make(path)?;
    database(path)
}

/// The database file of a folder that is only read from; nothing is made.
pub(super) fn existing_database(path: &Path) -> Result<PathBuf, OpenError> {
    let file = path.join(DATABASE);
    if file.is_file() { Ok(file) } else { Err(OpenError::Missing { file }) }
}

fn database(path: &Path) -> Result<PathBuf, OpenError> {
    let file = path.join(DATABASE);
    // SQLite gives its side files the same mode.
    private(&file).map_err(|e| OpenError::not_writable(path, &e))?;
    Ok(file)
}

fn make(path: &Path) -> Result<(), OpenError> {
    if fs::metadata(path).is_ok_and(|m| !m.is_dir()) {
        return Err(OpenError::NotAFolder { path: path.to_path_buf() });
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| OpenError::not_writable(path, &e))
}

/// Opens a file of the folder that is written over, and so must be the folder's own: a link there
/// would have another file lose what is in it. (`O_NOFOLLOW` would say it in one, but its value is
/// each platform's own, and no crate of ours has it; comparing what was opened with what stands
/// there leaves no gap either, as nothing is written before.)
///
/// Of the others: the credential's file and a backup are removed and made anew, which follows no
/// link. The database may be a link, to another disk, and SQLite puts its side files beside where
/// that leads. What is only read (configuration, certificates, keys) may be one too, as
/// it often is.
fn own(file: &Path) -> Result<File, OpenError> {
    let failed = |error: io::Error| OpenError::not_writable(file, &error);
    let foreign = || OpenError::Foreign { file: file.to_path_buf() };
    if fs::symlink_metadata(file).is_ok_and(|there| !there.is_file()) {
        return Err(foreign());
    }
    let opened = private(file).map_err(failed)?;
    let same = Identity::of(&fs::symlink_metadata(file).map_err(failed)?)
        == Identity::of(&opened.metadata().map_err(failed)?);
    if same { Ok(opened) } else { Err(foreign()) }
}

/// What a file is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    fn of(found: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Identity(found.dev(), found.ino())
    }

    /// Of the file with this name, if there is one.
    pub(super) fn named(file: &Path) -> Option<Self> {
        fs::metadata(file).ok().map(|found| Identity::of(&found))
    }
}

/// Makes a file for its owner alone, in place of what has its name.
pub(super) fn anew(file: &Path) -> io::Result<File> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Opens a file, made for its owner alone where there is none.
fn private(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}
