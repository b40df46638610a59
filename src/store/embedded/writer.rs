//! The one thread that writes. What waits, of all rooms, goes into one transaction, so a busy
//! server pays for a commit once per group, and an idle one waits for nothing but its queue.
//!
//! A change answers after its commit. If a group fails it is rolled back and each change is tried
//! alone, so that a bad one fails alone; the thread outlives every failure, and a disk that has
//! room again is written to again.
use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::{folder::Folder, lock};
use crate::domain::error::StoreError;
use crate::throttle::throttled;

/// Changes that may wait. A room has one at a time.
const QUEUE: usize = 8192;
/// Changes of one transaction, at most.
const GROUP: usize = 1000;
/// Bytes of bodies that end a group.
const GROUP_BYTES: usize = 4 << 20;

/// A change of the database.
pub(super) trait Change: Send + 'static {
    /// What is learnt while it is applied.
    type Made: Send;
    /// What its caller gets. Where the caller has gone it is dropped by the writer.
    type Answer: Send;

    /// Bytes that it writes, about.
    fn weight(&self) -> usize;
    /// Writes. Called again if the group it was in failed.
    fn apply(&self, db: &Connection) -> rusqlite::Result<Self::Made>;
    /// It is stored.
    fn committed(self, made: Self::Made) -> Self::Answer;
}

/// A change that is a function: its result is the answer.
struct Simply<F>(F);

impl<T: Send + 'static, F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static> Change
    for Simply<F>
{
    type Made = T;
    type Answer = T;

    fn weight(&self) -> usize {
        100
    }
    fn apply(&self, db: &Connection) -> rusqlite::Result<T> {
        (self.0)(db)
    }
    fn committed(self, made: T) -> T {
        made
    }
}

/// What the writer's thread does between groups of changes, a small step at a time.
pub(super) trait Chore: Send {
    /// How long the thread may wait for changes before the next step.
    fn pause(&self) -> Duration;
    /// Does a little, if it is time, in transactions of its own. A failure is logged here.
    fn step(&mut self, db: &Connection);
    /// A step has panicked and was rolled back: the next one is later.
    fn put_off(&mut self);
}

/// A change in the queue.
trait Job: Send {
    fn weight(&self) -> usize;
    /// Whether anybody still waits for it.
    fn is_wanted(&self) -> bool;
    fn apply(&mut self, db: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Call<C: Change> {
    change: C,
    made: Option<C::Made>,
    /// None: nobody ever waited.
    reply: Option<oneshot::Sender<Result<C::Answer, StoreError>>>,
}

impl<C: Change> Job for Call<C> {
    fn weight(&self) -> usize {
        self.change.weight()
    }
    fn is_wanted(&self) -> bool {
        self.reply.as_ref().is_none_or(|reply| !reply.is_closed())
    }
    fn apply(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.made = Some(self.change.apply(db)?);
        Ok(())
    }
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Call { change, made, reply } = *self;
        let answer = match (outcome, made) {
            (Ok(()), Some(made)) => Ok(change.committed(made)),
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(StoreError::Unavailable("not applied".into())),
        };
        let _ = reply.map(|reply| reply.send(answer)); // refused where nobody waits any more
    }
}

/// The writing end of the store.
pub(super) struct Writer {
    /// Nothing once it is closed.
    queue: Mutex<Option<SyncSender<Box<dyn Job>>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
    deadline: Duration,
}

impl Writer {
    /// Starts the thread. It owns the folder, which is free for another server once everything is
    /// written.
    pub(super) fn start(
        db: Connection,
        folder: Folder,
        deadline: Duration,
        chores: Vec<Box<dyn Chore>>,
    ) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let (end, ended) = watch::channel(());
        let thread = thread::Builder::new().name("store-writer".into()).spawn(move || {
            serve(&db, &jobs, chores);
            drop(db);
            drop(folder);
            drop(end);
        })?;
        Ok(Writer {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            ended,
            deadline,
        })
    }

    /// Has the change written and waits for it, within the deadline.
    pub(super) async fn write<C: Change>(&self, change: C) -> Result<C::Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(change, Some(reply))?;
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::OutcomeUnknown("the writer gave no answer".into())),
            Err(_) => {
                Err(StoreError::OutcomeUnknown(format!("no answer within {:?}", self.deadline)))
            }
        }
    }

    /// Has the change written behind all that was sent before, and waits for nothing.
    pub(super) fn note<C: Change>(&self, change: C) -> Result<(), StoreError> {
        self.send(change, None)
    }

    fn send<C: Change>(
        &self,
        change: C,
        reply: Option<oneshot::Sender<Result<C::Answer, StoreError>>>,
    ) -> Result<(), StoreError> {
        let job = Box::new(Call { change, made: None, reply });
        let sent = match &*lock(&self.queue) {
            Some(queue) => queue.try_send(job).map_err(|e| match e {
                TrySendError::Full(_) => "too much waits to be written",
                TrySendError::Disconnected(_) => "the writer has ended",
            }),
            None => Err("closed"),
        };
        sent.map_err(|why| StoreError::Unavailable(why.into()))
    }

    /// Like [`Writer::write`], for a change that is a function; what it returns is the answer.
    pub(super) async fn run<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.write(Simply(change)).await
    }

    /// Ends after everything in the queue is written.
    pub(super) async fn close(&self) {
        drop(lock(&self.queue).take());
        let _ = self.ended.clone().changed().await; // the error of a closed channel is the news
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

/// Until the queue is closed. Nothing that panics ends it: all messages of the server go through
/// here.
fn serve(db: &Connection, queue: &Receiver<Box<dyn Job>>, mut chores: Vec<Box<dyn Chore>>) {
    loop {
        let pause = chores.iter().map(|chore| chore.pause()).min().unwrap_or(Duration::MAX);
        let first = match pause {
            Duration::MAX => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            pause => queue.recv_timeout(pause),
        };
        let worked = match first {
            Ok(first) => catch_unwind(AssertUnwindSafe(|| commit(db, group(first, queue)))),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if worked.is_err() {
            throttled!(error, "a change of the store panicked; its group is rolled back");
            roll_back(db);
        }
        for chore in &mut chores {
            if catch_unwind(AssertUnwindSafe(|| chore.step(db))).is_err() {
                roll_back(db);
                chore.put_off();
            }
        }
    }
}

/// `first` and what waits behind it.
fn group(first: Box<dyn Job>, queue: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    let mut bytes = first.weight();
    let mut jobs = vec![first];
    while jobs.len() < GROUP
        && bytes < GROUP_BYTES
        && let Ok(job) = queue.try_recv()
    {
        bytes += job.weight();
        jobs.push(job);
    }
    jobs
}

fn commit(db: &Connection, mut jobs: Vec<Box<dyn Job>>) {
    jobs.retain(|job| job.is_wanted());
    let (alone, mut begun) = (jobs.len() == 1, false);
    match transact(db, &mut jobs, &mut begun) {
        Ok(()) => jobs.into_iter().for_each(|job| job.answer(Ok(()))),
        // Where not even a transaction begins (another process writes), trying one by one would
        // only wait again, for each.
        Err(error) if alone || !begun => {
            jobs.into_iter().for_each(|job| job.answer(Err(unavailable(&error))))
        }
        Err(error) => {
            tracing::debug!(%error, changes = jobs.len(), "a group of changes failed; trying each alone");
            for job in mem::take(&mut jobs) {
                commit(db, vec![job]);
            }
        }
    }
}

fn transact(db: &Connection, jobs: &mut [Box<dyn Job>], begun: &mut bool) -> rusqlite::Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    *begun = true;
    let done = jobs
        .iter_mut()
        .try_for_each(|job| job.apply(db))
        .and_then(|()| db.prepare_cached("COMMIT")?.execute([]));
    if done.is_err() {
        roll_back(db);
    }
    done.map(|_| ())
}

/// Ends a failed transaction, unless SQLite has done so already.
pub(super) fn roll_back(db: &Connection) {
    if !db.is_autocommit()
        && let Err(error) = db.execute_batch("ROLLBACK")
    {
        throttled!(error, %error, "can't roll back");
    }
}

/// SQLite refused: nothing was changed.
pub(super) fn unavailable(error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
