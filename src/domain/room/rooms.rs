//! The rooms of this node, and the ways into them.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::oneshot, time::Instant};

use super::{
    super::{
        broker::{Entry, Trim, Trimmed},
        error::StoreError,
        ids::{ConnectionId, RoomId, Uid},
        presence::{Departure, Visitor},
        services::{Services, Stores},
        subscriber::{Outcome, Settled, Subscriber},
    },
    Answer, Job, Room, Teller,
};
use crate::lock::lock;
use crate::trace::{Kind, Span};

/// What there is in rooms, together. Inboxes are no rooms, and have no members, but what waits in
/// them waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Stock {
    pub(in super::super) rooms: usize,
    /// Connections of this node in them, each as often as it is in one.
    pub(in super::super) members: usize,
    /// What waits, and the bytes of messages in it.
    pub(in super::super) jobs: usize,
    pub(in super::super) bytes: usize,
}

/// The rooms of this node: those with members here, or with something to be done.
pub(in super::super) struct Rooms {
    pub(super) stores: Arc<Stores>,
    pub(super) services: Arc<Services>,
    live: Mutex<HashMap<RoomId, Arc<Room>>>,
    /// How many of them are inboxes, which count as rooms for nobody else.
    inboxes: AtomicUsize,
    /// This.
    me: Weak<Rooms>,
}

impl Rooms {
    pub(in super::super) fn new(stores: Arc<Stores>, services: Arc<Services>) -> Arc<Self> {
        Arc::new_cyclic(|me| Rooms {
            stores,
            services,
            live: Mutex::default(),
            inboxes: AtomicUsize::new(0),
            me: me.clone(),
        })
    }

    fn live(&self) -> MutexGuard<'_, HashMap<RoomId, Arc<Room>>> {
        lock(&self.live)
    }

    /// The room of this id, if it is here.
    pub(in super::super) fn get(&self, id: &RoomId) -> Option<Arc<Room>> {
        self.live().get(id).cloned()
    }

    /// How many there are.
    pub(in super::super) fn len(&self) -> usize {
        self.live().len()
    }

    /// How many there are but for [inboxes](super::super::ids::Space::Inboxes).
    pub(in super::super) fn counted(&self) -> usize {
        let live = self.live();
        live.len().saturating_sub(self.inboxes.load(Ordering::Relaxed))
    }

    /// What there is in them.
    pub(in super::super) fn stock(&self) -> Stock {
        // Of the lock no more than that: rooms are looked for in it all the time.
        let rooms: Vec<Arc<Room>> = self.live().values().cloned().collect();
        rooms.iter().fold(Stock::default(), |stock, room| {
            let (jobs, bytes) = room.waiting();
            let (one, members) = match room.id.is_inbox() {
                true => (0, 0),
                false => (1, room.local_members()),
            };
            Stock {
                rooms: stock.rooms + one,
                members: stock.members + members,
                jobs: stock.jobs + jobs,
                bytes: stock.bytes + bytes,
            }
        })
    }

    /// The room of this id, made if need be.
    fn room(&self, id: &RoomId) -> Arc<Room> {
        let new = || {
            self.inboxes.fetch_add(id.is_inbox().into(), Ordering::Relaxed);
            Room::new(id.clone(), self.me.clone(), self.services.metrics.clone())
        };
        self.live().entry(id.clone()).or_insert_with(new).clone()
    }

    /// Takes a room out that nothing can be added to any more. Detached first: its successor, which
    /// attaches, can be made only after.
    pub(super) fn retire(&self, room: &Room) {
        self.stores.broker.detach(&room.id);
        if self.live().remove(&room.id).is_some() {
            self.inboxes.fetch_sub(room.id.is_inbox().into(), Ordering::Relaxed);
        }
    }

    /// Adds a job to the room of this id, made if need be.
    fn submit(&self, room: &RoomId, mut job: Job) {
        loop {
            match self.room(room).add(job) {
                Err(refused) if refused.retired => job = refused.job,
                Ok(()) | Err(_) => return,
            }
        }
    }

    /// Adds a job that answers, and waits for it.
    async fn ask<T>(
        &self,
        room: &RoomId,
        job: impl FnOnce(oneshot::Sender<T>) -> Job,
    ) -> Option<T> {
        let (done, answer) = oneshot::channel();
        self.submit(room, job(done));
        answer.await.ok()
    }

    pub(in super::super) async fn enter(
        &self,
        room: &RoomId,
        visitor: Visitor,
        subscriber: Arc<dyn Subscriber>,
        answer: Answer,
    ) -> Option<Arc<Room>> {
        let span = Span::part("enter", Kind::Internal);
        let enter = |done| Job::Enter { visitor, subscriber, answer, done, span };
        self.ask(room, enter).await.flatten()
    }

    pub(in super::super) async fn depart(
        &self,
        room: &RoomId,
        connection: ConnectionId,
        departure: Departure,
    ) -> Result<Option<u64>, StoreError> {
        let depart = |done| Job::Depart { connection, departure, done };
        self.ask(room, depart).await.unwrap_or_else(ending)
    }

    pub(in super::super) fn release(&self, room: &RoomId, uid: &Uid, by: ConnectionId) {
        self.submit(room, Job::Release { uid: uid.clone(), by });
    }

    pub(in super::super) async fn remove(
        &self,
        room: &RoomId,
        uid: &Uid,
    ) -> Result<u64, StoreError> {
        let remove = |done| Job::Remove { uid: uid.clone(), done };
        self.ask(room, remove).await.unwrap_or_else(ending)
    }

    pub(in super::super) fn announce(&self, room: &RoomId, entry: Entry) {
        let (arrived, teller) = (Instant::now(), Teller::Nobody);
        let span = Span::default(); // nobody waits for it
        self.submit(room, Job::Publish { entry, bytes: 0, arrived, teller, span });
    }

    pub(in super::super) async fn publish(
        &self,
        room: &RoomId,
        entry: Entry,
        bytes: usize,
    ) -> Outcome {
        let (done, ended) = oneshot::channel();
        let (arrived, teller) = (Instant::now(), Teller::Caller(done));
        let span = Span::part("message", Kind::Internal);
        let mut job = Job::Publish { entry, bytes, arrived, teller, span };
        loop {
            match self.room(room).add(job) {
                Ok(()) => return ended.await.unwrap_or(Outcome::Unknown),
                Err(refused) if refused.retired => job = refused.job,
                Err(_) => return Outcome::Unavailable,
            }
        }
    }

    pub(in super::super) fn send(
        &self,
        room: &RoomId,
        entry: Entry,
        bytes: usize,
        sender: Arc<dyn Subscriber>,
        ack: Option<i64>,
    ) {
        let (arrived, teller) = (Instant::now(), Teller::Sender(sender, ack));
        let span = Span::begin("message", Kind::Server);
        let mut job = Job::Publish { entry, bytes, arrived, teller, span };
        loop {
            match self.room(room).add(job) {
                Ok(()) => return,
                Err(refused) if refused.retired => job = refused.job,
                Err(refused) => {
                    if let Job::Publish { teller: Teller::Sender(sender, ack), .. } = refused.job {
                        sender.settled(&[Settled { ack, bytes, outcome: Outcome::Unavailable }]);
                    }
                    return;
                }
            }
        }
    }

    pub(in super::super) async fn publish_all(
        &self,
        room: &RoomId,
        entries: Vec<(Entry, usize)>,
    ) -> Vec<Outcome> {
        let arrived = Instant::now();
        let mut ends = Vec::with_capacity(entries.len());
        let jobs = entries.into_iter().map(|(entry, bytes)| {
            let (done, ended) = oneshot::channel();
            ends.push(ended);
            let span = Span::part("message", Kind::Internal);
            Job::Publish { entry, bytes, arrived, teller: Teller::Caller(done), span }
        });
        let mut jobs: Vec<Job> = jobs.collect();
        loop {
            match self.room(room).add_all(jobs) {
                Ok(()) => break,
                Err(refused) if refused.retired => jobs = refused.jobs,
                Err(_) => return vec![Outcome::Unavailable; ends.len()],
            }
        }
        let mut outcomes = Vec::with_capacity(ends.len());
        for ended in ends {
            outcomes.push(ended.await.unwrap_or(Outcome::Unknown));
        }
        outcomes
    }

    pub(in super::super) async fn clear(&self, room: &RoomId) -> Result<(), StoreError> {
        self.ask(room, |done| Job::Clear { done }).await.unwrap_or_else(ending)
    }

    pub(in super::super) async fn recall(
        &self,
        room: &RoomId,
        key: &str,
        within: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let recall = |done| Job::Recall { key: key.into(), within, done };
        self.ask(room, recall).await.unwrap_or_else(ending)
    }

    pub(in super::super) async fn expire(
        &self,
        room: &RoomId,
        after: Duration,
    ) -> Result<(), StoreError> {
        self.ask(room, |done| Job::Expire { after, done }).await.unwrap_or_else(ending)
    }

    pub(in super::super) async fn trim(
        &self,
        room: &RoomId,
        trim: Trim,
    ) -> Result<Trimmed, StoreError> {
        self.ask(room, |done| Job::Trim { trim, done }).await.unwrap_or_else(ending)
    }
}

fn ending<T>() -> Result<T, StoreError> {
    Err(StoreError::OutcomeUnknown("the server is ending".into()))
}
