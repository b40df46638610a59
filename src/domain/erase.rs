//! Erasing: a user's messages are overwritten, wherever the store has copies of them.
//!
//! What is erased keeps its place and its time, and has no body: it is left out of pages, and still
//! counted. It is a [`Job`] through the rooms, which the store keeps, so that any server goes on
//! with it after a restart. Each room is done as a whole; a room that was half done is done again,
//! which changes nothing that was done before.
//!
//! A message is a user's where it says so itself: the uid that dialects complete messages with
//! ([`Forms::is_of`](super::message::form::Forms::is_of)). What says nothing of its sender, as most
//! of gotapi-ws' messages, is not found.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    clock::{Rng, alphanumeric},
    error::StoreError,
    hub::Hub,
    ids::{RoomId, Uid},
    outbox::OutboxErasure,
    retention::Walk,
};
use crate::throttle::throttled;

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has not begun, or goes on.
    Running,
    /// All of it is done.
    Done,
}

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Rooms that were looked through.
    pub rooms: u64,
    /// Inserts that have no body any more.
    pub inserts: u64,
    /// Updates that have none any more.
    pub updates: u64,
    /// Further copies: replaced and ignored messages, where the store keeps such, and what webhooks
    /// were still to be told.
    pub copies: u64,
}

impl Erased {
    fn add(&mut self, other: Erased) {
        self.rooms += 1;
        self.inserts += other.inserts;
        self.updates += other.updates;
        self.copies += other.copies;
    }
}

/// The erasing of one user's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// Whose messages.
    pub uid: String,
    /// In these rooms; none: in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rooms: Option<Vec<String>>,
    /// How far it is.
    pub state: State,
    /// What was erased so far.
    pub erased: Erased,
    /// Where it goes on: behind which stretch of a walk, or how many of the rooms are done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// When it was given, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Job {
    /// A new one.
    pub fn new(id: String, uid: &Uid, rooms: Option<&[RoomId]>, at_ms: u64) -> Self {
        let rooms = rooms.map(|rooms| rooms.iter().map(|room| room.as_str().into()).collect());
        let (state, erased) = (State::Running, Erased::default());
        Job { id, uid: uid.as_str().into(), rooms, state, erased, after: None, at_ms }
    }
}

/// What a store can erase, and the jobs that it keeps.
#[async_trait]
pub trait Erasure: OutboxErasure {
    /// Overwrites the user's messages in one room, in small steps, in all copies that the store
    /// has; and has nodes forget what they know of the room's log.
    async fn erase(&self, room: &RoomId, uid: &Uid) -> Result<Erased, StoreError>;

    /// Overwrites the room's inserts from this index on, up to and without another one, whoever's
    /// they are, as far as they are still there; and has nodes forget what they know of the room's
    /// log. Returns how many had a message until then: called again, it finds none.
    async fn erase_inserts(&self, room: &RoomId, from: u64, upto: u64) -> Result<u64, StoreError>;

    /// Has what was overwritten gone from where it was written too, as far as this store can.
    async fn scrub(&self) -> Result<(), StoreError>;

    /// Keeps a job as it is now.
    async fn keep_job(&self, job: &Job) -> Result<(), StoreError>;

    /// A job that was given, if it is still kept.
    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError>;

    /// The jobs that are not done.
    async fn open_jobs(&self) -> Result<Vec<Job>, StoreError>;
}

/// How often it is looked for jobs of which nobody told: those of nodes that are dead. A node comes
/// a random part of it later.
const LOOK: Duration = Duration::from_secs(30);
/// How soon it is looked again while there are some that this node could not do, or is not to.
const AGAIN: Duration = Duration::from_secs(1);
/// For how long a node is chosen for them, unless it goes on.
pub const CHOSEN: Duration = Duration::from_secs(60);

/// Rooms of the outbox between two times that this node says that it goes on.
const ROOMS: usize = 100;

/// Does the jobs that are given, for ever. Who gives one here wakes it, and so does the store,
/// where it learns of jobs that were given elsewhere.
pub async fn run(hub: Arc<Hub>) {
    keep_looking(hub.erasure(), hub.walk(), &hub.given, &*hub.rng).await;
}

async fn keep_looking(erasure: &dyn Erasure, walk: &dyn Walk, given: &Notify, rng: &dyn Rng) {
    loop {
        let looked = look(erasure, walk).await;
        if let Err(error) = &looked {
            throttled!(warn, %error, "erasing waits for the store");
        }
        if let Ok(Left::Nothing) = looked {
            let _ = tokio::time::timeout(rest(rng), given.notified()).await; // either is a reason
        } else {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Until the next look without a reason. Nodes that began together do not look together.
fn rest(rng: &dyn Rng) -> Duration {
    let mut byte = [0];
    match rng.fill(&mut byte) {
        Ok(()) => LOOK + LOOK * u32::from(byte[0]) / 512,
        Err(_) => LOOK,
    }
}

/// Whether jobs are left that are not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Another node does them, or they failed here.
    Some,
}

async fn look(erasure: &dyn Erasure, walk: &dyn Walk) -> Result<Left, StoreError> {
    let mut left = Left::Nothing;
    for job in erasure.open_jobs().await? {
        if !walk.is_chosen(CHOSEN).await? {
            return Ok(Left::Some);
        }
        let id = job.id.clone();
        // One job must not keep all behind it.
        if let Err(error) = perform(erasure, walk, job).await {
            throttled!(warn, job = %id, %error, "erasing waits; it is tried again");
            left = Left::Some;
        }
    }
    Ok(left)
}

/// Does a job, from where it is to its end.
///
/// # Errors
/// The store does not answer: the job is kept, and can be gone on with.
pub async fn perform(
    erasure: &dyn Erasure,
    walk: &dyn Walk,
    mut job: Job,
) -> Result<Job, StoreError> {
    let Ok(uid) = Uid::stored(&job.uid) else {
        job.state = State::Done; // somebody else wrote it
        erasure.keep_job(&job).await?;
        return Ok(job);
    };
    if job.rooms.is_some() {
        erasure.index_parked().await?;
    }
    loop {
        let (rooms, next) = stretch(walk, &job).await?;
        for room in &rooms {
            let mut erased = erasure.erase(room, &uid).await?;
            if job.rooms.is_some() {
                erased.copies += erasure.erase_told(room, &uid).await?;
            }
            job.erased.add(erased);
        }
        // Others go on doing what is done for all, or this node would no longer be the one.
        walk.is_chosen(CHOSEN).await?;
        job.after = next;
        if job.after.is_none() {
            break;
        }
        erasure.keep_job(&job).await?;
    }
    if job.rooms.is_none() {
        job.erased.copies += erase_all_told(erasure, walk, &uid).await?;
    }
    erasure.scrub().await?;
    // Nothing but the keeping of the job may fail behind it, or it is told again.
    erasure.tell_erased(&uid).await?;
    job.state = State::Done;
    erasure.keep_job(&job).await?;
    tracing::info!(job = %job.id, erased = ?job.erased, "a user's messages were erased");
    Ok(job)
}

/// Erases from what is still to be told of any room. That may have no messages any more, and no walk
/// comes to it then.
async fn erase_all_told(
    erasure: &dyn Erasure,
    walk: &dyn Walk,
    uid: &Uid,
) -> Result<u64, StoreError> {
    let mut copies = 0;
    erasure.index_parked().await?;
    for rooms in erasure.rooms_told().await?.chunks(ROOMS) {
        for room in rooms {
            copies += erasure.erase_told(room, uid).await?;
        }
        walk.is_chosen(CHOSEN).await?;
    }
    Ok(copies)
}

/// The rooms that come next, and where it goes on behind them.
async fn stretch(walk: &dyn Walk, job: &Job) -> Result<(Vec<RoomId>, Option<String>), StoreError> {
    let Some(rooms) = &job.rooms else {
        let stretch = walk.rooms(job.after.as_deref()).await?;
        return Ok((stretch.rooms, stretch.next));
    };
    let done: usize = job.after.as_deref().and_then(|done| done.parse().ok()).unwrap_or(0);
    let next = done.saturating_add(1);
    let room = rooms.get(done).and_then(|room| RoomId::stored(room).ok());
    Ok((room.into_iter().collect(), (next < rooms.len()).then(|| next.to_string())))
}

impl Hub {
    /// Has a user's messages erased, in these rooms or in all; returns the job's name. It goes on
    /// by itself.
    ///
    /// # Errors
    /// Those of the store; there is no such job then.
    pub async fn erase(&self, uid: &Uid, rooms: Option<&[RoomId]>) -> Result<String, StoreError> {
        let id = alphanumeric(&*self.rng, 20);
        let id = id.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let job = Job::new(id, uid, rooms, self.clock.unix_ms());
        self.erasure().keep_job(&job).await?;
        self.given.notify_one();
        Ok(job.id)
    }

    /// A job that was given, if it is still kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.erasure().job(id).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::domain::{clock::SystemRng, retention::Stretch};

    /// A store without rooms, that writes down what is done.
    #[derive(Default)]
    struct Ledger {
        open: Mutex<Vec<Job>>,
        done: Mutex<Vec<String>>,
        /// How many times it still can't scrub.
        fails: Mutex<u32>,
    }

    impl Ledger {
        fn note(&self, what: String) -> Result<(), StoreError> {
            self.done.lock().unwrap().push(what);
            Ok(())
        }

        async fn looked(&self) -> Vec<String> {
            let left = look(self, self).await.unwrap();
            assert_eq!(left == Left::Nothing, self.open.lock().unwrap().is_empty());
            std::mem::take(&mut *self.done.lock().unwrap())
        }
    }

    #[async_trait]
    impl OutboxErasure for Ledger {
        async fn index_parked(&self) -> Result<(), StoreError> {
            Ok(())
        }

        async fn rooms_told(&self) -> Result<Vec<RoomId>, StoreError> {
            Ok(Vec::new())
        }

        async fn erase_told(&self, _: &RoomId, _: &Uid) -> Result<u64, StoreError> {
            Ok(0)
        }

        async fn tell_erased(&self, uid: &Uid) -> Result<(), StoreError> {
            self.note(format!("told {}", uid.as_str()))
        }
    }

    #[async_trait]
    impl Erasure for Ledger {
        async fn erase(&self, _: &RoomId, _: &Uid) -> Result<Erased, StoreError> {
            Ok(Erased::default())
        }

        async fn erase_inserts(&self, _: &RoomId, _: u64, _: u64) -> Result<u64, StoreError> {
            Ok(0)
        }

        async fn scrub(&self) -> Result<(), StoreError> {
            let mut fails = self.fails.lock().unwrap();
            if *fails > 0 {
                *fails -= 1;
                return Err(StoreError::Unavailable("a test".into()));
            }
            self.note("scrubbed".into())
        }

        async fn keep_job(&self, job: &Job) -> Result<(), StoreError> {
            self.open.lock().unwrap().retain(|open| open.id != job.id);
            self.note(format!("done {}", job.id))
        }

        async fn job(&self, _: &str) -> Result<Option<Job>, StoreError> {
            Ok(None)
        }

        async fn open_jobs(&self) -> Result<Vec<Job>, StoreError> {
            Ok(self.open.lock().unwrap().clone())
        }
    }

    #[async_trait]
    impl Walk for Ledger {
        async fn rooms(&self, _: Option<&str>) -> Result<Stretch, StoreError> {
            Ok(Stretch::default())
        }

        async fn due(&self, _: Vec<RoomId>) -> Result<Vec<RoomId>, StoreError> {
            Ok(Vec::new())
        }

        async fn is_chosen(&self, _: Duration) -> Result<bool, StoreError> {
            Ok(true)
        }
    }

    #[tokio::test]
    async fn a_job_that_fails_is_told_once_and_keeps_no_other_waiting() {
        let job = |id: &str, uid| Job::new(id.into(), &Uid::text(uid).unwrap(), None, 1);
        let ledger = Ledger {
            open: Mutex::new(vec![job("a", "ann"), job("b", "ben")]),
            fails: Mutex::new(1),
            ..Ledger::default()
        };
        assert_eq!(ledger.looked().await, ["scrubbed", "told ben", "done b"]);
        assert_eq!(ledger.looked().await, ["scrubbed", "told ann", "done a"]);
        assert_eq!(ledger.looked().await, [] as [&str; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_a_job_need_not_wait_and_one_that_nobody_told_of_is_found() {
        let (ledger, given) = (Ledger::default(), Notify::new());
        // How long it takes until a job is done that is given like this.
        let takes = async |id: &str, tell: &dyn Fn()| {
            let begun = Instant::now();
            ledger.open.lock().unwrap().push(Job::new(
                id.into(),
                &Uid::text("ann").unwrap(),
                None,
                1,
            ));
            tell();
            while !ledger.done.lock().unwrap().contains(&format!("done {id}")) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            begun.elapsed()
        };
        let story = async {
            for id in ["a", "b"] {
                assert!(takes(id, &|| given.notify_one()).await < AGAIN);
                tokio::time::sleep(AGAIN).await; // nobody looks meanwhile
            }
            assert!((AGAIN..=2 * LOOK).contains(&takes("c", &|| {}).await));
            *ledger.fails.lock().unwrap() = 2;
            let twice = takes("d", &|| given.notify_one()).await;
            assert!(
                (2 * AGAIN..3 * AGAIN).contains(&twice),
                "{twice:?}: what failed is tried soon"
            );
        };
        tokio::select! {
            () = keep_looking(&ledger, &ledger, &given, &SystemRng) => panic!("it ends"),
            () = story => {}
        }
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let rooms = [RoomId::new("a").unwrap()];
        let job = Job::new("id".into(), &Uid::text("ann").unwrap(), Some(&rooms), 5);
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}
