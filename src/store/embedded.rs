//! The embedded store: one SQLite file in a folder of this server, everything else in memory. No
//! second program, one node.
//!
//! ```text
//! publish, clear, tokens ──► queue ──► writer thread: one transaction for all that waits ──► answers
//! verify, counters       ──► two read-only connections, on threads that may block
//! page, updates, list    ──► two more, so that no page delays who signs in or joins
//! logs whose time is over ──► the writer's thread, between groups
//! presence, limits, what is not stored ──► memory
//! ```
//!
//! A room's place in its order (n) is counted in memory while anybody is there ([`rooms`]), so what
//! is not stored never waits for a disk. With [`Durability::Process`] an acknowledged message
//! outlives the death of this process, with [`Durability::Power`] that of the machine.
mod accounts;
mod backup;
mod broker;
mod chunk;
mod cluster;
mod delivery;
mod erase;
mod expiry;
mod folder;
mod keys;
mod limits;
mod log;
mod outbox;
mod presence;
mod readers;
mod receipts;
mod records;
mod revocations;
mod rooms;
mod schema;
mod sweep;
#[cfg(test)]
mod tests;
mod tokens;
mod trim;
mod updates;
mod upkeep;
mod volume;
mod walk;
mod writer;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub use self::{
    accounts::Accounts,
    backup::{Backup, BackupError, backup},
    erase::{Given, Waiting, give_job},
    folder::OpenError,
    outbox::ParkedInFile,
    revocations::revoke,
    volume::Volume,
};
use self::{
    delivery::SinkSlot,
    expiry::Expiry,
    folder::{Folder, Identity},
    limits::Windows,
    outbox::{Hooks, Renewal},
    presence::People,
    readers::Readers,
    revocations::Watch,
    rooms::Live,
    rooms::Rooms,
    sweep::Sweep,
    trim::Trimming,
    upkeep::Lapses,
    writer::{Chore, Writer},
};
use crate::domain::{
    broker::UpdateLimit,
    clock::{Clock, Rng},
    error::{DISPLACED, StoreError},
    ids::RoomId,
    message::form::Forms,
    outbox::Interest,
    retention::Rules,
};
use crate::lock::lock;

/// What an acknowledged message outlives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of this process: nothing is lost with `kill -9`; a power cut may lose the last
    /// moments.
    Process,
    /// A power cut: the disk confirms every group of messages.
    Power,
}

/// How to open the store.
pub struct Options {
    /// The data folder, made (for its owner alone) where it does not exist.
    pub path: PathBuf,
    /// What an acknowledged message outlives.
    pub durability: Durability,
    /// How long a call may wait for its answer.
    pub deadline: Duration,
    /// Rooms that nobody is in and that nothing was stored in for so long are deleted; none: they
    /// are kept.
    pub room_expiry: Option<Duration>,
    /// Successful authentications of one uid, and the window they are counted in; none: any
    /// number.
    pub rate_limit: Option<(u32, Duration)>,
    /// How much a room's updates may be.
    pub updates: UpdateLimit,
    /// What webhooks are told of; none: nothing is written for them.
    pub hooks: Option<Interest>,
    /// What of which rooms is kept.
    pub retention: Arc<Rules>,
    /// How messages are written, as far as a dialect has its own way.
    pub forms: Forms,
    /// Tells the time that messages, accounts and expiry are dated by.
    pub clock: Arc<dyn Clock>,
    /// Random numbers, for the epochs of logs.
    pub rng: Arc<dyn Rng>,
}

/// The embedded store of a running server: `Broker`, `Presence`, `Tokens`, `Records` and `Limits` in
/// one.
pub struct Embedded {
    rooms: Arc<Rooms>,
    /// Rooms with a member here: their counters stay in memory.
    attached: Mutex<HashMap<RoomId, Arc<Live>>>,
    people: Arc<Mutex<People>>,
    /// What is told to webhooks, if there are any.
    hooks: Option<Arc<Hooks>>,
    windows: Option<Windows>,
    slot: SinkSlot,
    readers: Readers,
    /// Records that were read lately.
    records: Arc<records::kept::Kept>,
    writer: Writer,
    revocations: Watch,
    /// When the first log is to be forgotten, in milliseconds since 1970, or earlier.
    due: Arc<AtomicU64>,
    /// When the first row is to be swept away, in the same way.
    litter: Arc<AtomicU64>,
    /// Whether the writer has something trimmed to delete.
    trimmed: Arc<AtomicBool>,
    deadline: Duration,
    updates: UpdateLimit,
    retention: Arc<Rules>,
    forms: Forms,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    first_start: bool,
    file: PathBuf,
    /// What was opened.
    opened: Option<Identity>,
    /// Something else has its name now, as far as was seen.
    displaced: AtomicBool,
}

impl Embedded {
    /// Opens the store, for this process alone. Blocks: to be called before the server runs.
    pub fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let folder = Folder::claim(&options.path)?;
        let file = folder.database()?;
        // Half the deadline: another process that writes (the command line) is waited for, but its
        // callers get their answer in time.
        let db = schema::open(&file, options.durability, options.deadline / 2)?;
        revocations::clear(&db).map_err(|e| OpenError::from_sqlite(&file, &e))?;
        let now_ms = options.clock.unix_ms();
        let failed = |e: rusqlite::Error| OpenError::from_sqlite(&file, &e);
        let open = |interest| Hooks::open(&db, interest, options.forms, now_ms);
        let hooks = options.hooks.map(open);
        let hooks = hooks.transpose().map_err(failed)?;
        if let Some(hooks) = &hooks {
            outbox::here(&db, hooks, now_ms).map_err(failed)?;
        }
        let first_start = accounts::no_admin(&db).map_err(|e| OpenError::from_sqlite(&file, &e))?;
        let rooms = Arc::new(Rooms::default());
        let clock = || options.clock.clone();
        let expiry = options.room_expiry.map(|after| Expiry::new(after, rooms.clone(), clock()));
        let (slot, due) = (SinkSlot::default(), Arc::new(AtomicU64::new(0)));
        let lapses = Lapses::new(due.clone(), rooms.clone(), slot.clone(), clock());
        let (litter, trimming) = (Arc::new(AtomicU64::new(0)), Trimming::new());
        let trimmed = trimming.more();
        let sweep = Sweep::new(litter.clone(), clock());
        let mut chores: Vec<Box<dyn Chore>> =
            vec![Box::new(lapses), Box::new(sweep), Box::new(trimming)];
        chores.extend(hooks.clone().map(|hooks| Box::new(Renewal(hooks)) as Box<dyn Chore>));
        chores.extend(expiry.map(|expiry| Box::new(expiry) as Box<dyn Chore>));
        let writer = Writer::start(db, folder, options.deadline, chores)
            .map_err(|e| OpenError::thread(&file, &e))?;
        Ok(Arc::new(Embedded {
            rooms,
            attached: Mutex::default(),
            people: Arc::default(),
            hooks,
            windows: options.rate_limit.map(|(most, window)| Windows::new(most, window)),
            slot,
            due,
            litter,
            trimmed,
            readers: Readers::new(&file, options.deadline),
            records: Arc::default(),
            revocations: Watch::new(file.clone(), options.deadline / 2),
            opened: Identity::named(&file),
            file,
            displaced: AtomicBool::new(false),
            writer,
            deadline: options.deadline,
            updates: options.updates,
            retention: options.retention,
            forms: options.forms,
            clock: options.clock,
            rng: options.rng,
            first_start,
        }))
    }

    /// Whether the store answers, and its file is still the one that has its name. Somebody may
    /// have deleted it, moved it away or put back a backup: then all that is written from now
    /// on is lost at the latest when this process ends, though every write succeeds.
    async fn answers(&self) -> Result<(), StoreError> {
        self.writer.run(|_| Ok(())).await?;
        let there = self.opened.is_some() && Identity::named(&self.file) == self.opened;
        if self.displaced.swap(!there, Relaxed) == there {
            if there {
                tracing::warn!(file = %self.file.display(), "the database file is back");
            } else {
                tracing::error!(file = %self.file.display(), "the database file was moved, deleted or replaced under the running server: stop it");
            }
        }
        if there { Ok(()) } else { Err(StoreError::Unavailable(DISPLACED.into())) }
    }

    /// Whether there was no administrator when the store was opened.
    pub fn first_start(&self) -> bool {
        self.first_start
    }
}

/// A number that no earlier life of a room began with.
fn new_epoch(rng: &dyn Rng) -> Result<i64, StoreError> {
    let mut bytes = [0; 6]; // leaves room to count up
    rng.fill(&mut bytes).map_err(|e| StoreError::Unavailable(e.to_string()))?;
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte)))
}

/// A number as SQLite keeps it; larger ones, which nothing stored reaches, become the largest.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
