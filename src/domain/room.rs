//! A room on this node: its members here, and what waits to be published.
//!
//! Rooms batch. One task drains a room's outbox, and exists only while there is something in it:
//! what arrives while a store call is in flight forms the next batch. An idle room adds no delay, a
//! busy one gets cheaper per message. Joins, departures and clearing go through the same outbox,
//! one at a time, so that presence has its place in the order.
//!
//! Two locks, each held for moments: `outbox` by whoever sends, `members` by joins and departures.
//! A fan-out works on a snapshot.
//!
//! Publications come from the drain task, or, what other nodes made, from the store's own. While a
//! join is on its way to the store those of the second kind are kept as well: which of them concern
//! the newcomer is known when its place in the order is.
use std::{
    any::TypeId,
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    broker::{Entry, Event, Publication},
    error::StoreError,
    hub::Hub,
    ids::{ConnectionId, RoomId, Uid},
    presence::{Departure, Roster, Visitor},
    subscriber::{Burst, Outcome, Settled, Subscriber, codec_type},
};
use crate::lock::lock;
use crate::reason::Reason;

mod drain;
#[cfg(test)]
mod tests;

/// Called with the outcome of an [`Room::enter`] before anything that happens in the room later is
/// delivered to the newcomer.
pub type Answer = Box<dyn FnOnce(&Result<Roster, StoreError>) + Send>;

/// A connection in the room, on this node.
#[derive(Clone)]
struct Member {
    connection: ConnectionId,
    uid: Uid,
    subscriber: Arc<dyn Subscriber>,
    /// Presence publications up to this one were in its roster.
    since: u64,
}

#[derive(Default)]
struct Members {
    /// Copied when it changes while a fan-out goes on, so that a fan-out holds no lock.
    here: Arc<Vec<Member>>,
    /// What was delivered since a join was begun that has not ended.
    meanwhile: Option<Vec<Publication>>,
    /// Up to there some of that is missing.
    missed: u64,
}

/// Something for the drain task.
enum Job {
    Publish {
        entry: Entry,
        bytes: usize,
        arrived: Instant,
        sender: Option<(Arc<dyn Subscriber>, Option<i64>)>,
    },
    Enter {
        visitor: Visitor,
        subscriber: Arc<dyn Subscriber>,
        answer: Answer,
        done: oneshot::Sender<bool>,
    },
    Depart {
        connection: ConnectionId,
        departure: Departure,
        done: oneshot::Sender<()>,
    },
    Release {
        uid: Uid,
        by: ConnectionId,
    },
    Clear {
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    Recall {
        key: Arc<str>,
        within: usize,
        done: oneshot::Sender<Result<Option<Bytes>, StoreError>>,
    },
    Expire {
        after: Duration,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
}

#[derive(Default)]
struct Outbox {
    jobs: VecDeque<Job>,
    /// Bytes of messages in `jobs`.
    bytes: usize,
    draining: bool,
    /// The store does not answer: the outbox is bounded until it does.
    stuck: bool,
    /// Taken out of the hub: nothing may be added any more.
    retired: bool,
}

/// The room is no longer in the hub; ask there for its successor.
#[derive(Debug)]
struct Retired;

/// A room.
pub struct Room {
    pub id: RoomId,
    outbox: Mutex<Outbox>,
    /// Something came while the store is out.
    nudge: Notify,
    /// Never the same for two rooms, nor for one room before and after its log was cleared.
    generation: AtomicU64,
    members: Mutex<Members>,
}

fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

impl Room {
    pub(crate) fn new(id: RoomId) -> Arc<Self> {
        Arc::new(Room {
            id,
            outbox: Mutex::default(),
            nudge: Notify::new(),
            generation: next_generation().into(),
            members: Mutex::default(),
        })
    }

    /// A message of `sender`, which is told by [`Subscriber::settled`] what became of it, with `ack` as
    /// given here. Call it only for a member: a room with members is never retired.
    pub fn send(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        entry: Entry,
        bytes: usize,
        sender: Arc<dyn Subscriber>,
        ack: Option<i64>,
    ) {
        let mut outbox = lock(&self.outbox);
        if outbox.retired
            || (outbox.stuck && entry.is_stored() && outbox.bytes + bytes > hub.options.pending)
        {
            drop(outbox);
            return sender.settled(&[Settled { ack, bytes, outcome: Outcome::Unavailable }]);
        }
        outbox.bytes += bytes;
        self.push(
            outbox,
            hub,
            Job::Publish { entry, bytes, arrived: Instant::now(), sender: Some((sender, ack)) },
        );
    }

    fn push(self: &Arc<Self>, mut outbox: MutexGuard<'_, Outbox>, hub: &Arc<Hub>, job: Job) {
        outbox.jobs.push_back(job);
        if !outbox.draining {
            outbox.draining = true;
            drop(outbox);
            hub.tasks.spawn(drain::run(self.clone(), hub.clone()));
        } else if outbox.stuck {
            self.nudge.notify_one();
        }
    }

    /// Adds a job, unless the room has left the hub meanwhile: then the job comes back.
    fn try_push(self: &Arc<Self>, hub: &Arc<Hub>, job: Job) -> Result<(), (Retired, Job)> {
        let outbox = lock(&self.outbox);
        if outbox.retired {
            return Err((Retired, job));
        }
        self.push(outbox, hub, job);
        Ok(())
    }

    /// Takes the connection off the fan-out at once; its departure is announced, if at all, by
    /// [`Hub::depart`].
    pub fn silence(&self, connection: ConnectionId) {
        Arc::make_mut(&mut lock(&self.members).here).retain(|m| m.connection != connection);
    }

    /// Hands publications to this node's members, encoded once for each codec.
    pub(super) fn deliver(&self, publications: &[Publication]) {
        let members = {
            let mut members = lock(&self.members);
            if let Some(meanwhile) = &mut members.meanwhile {
                meanwhile.extend_from_slice(publications);
            }
            members.here.clone()
        };
        let mut bursts: Vec<(TypeId, Burst)> = Vec::with_capacity(1);
        for member in members.iter() {
            let codec = member.subscriber.codec();
            let kind = codec_type(codec);
            let at = bursts.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
                bursts.push((kind, codec.encode(&self.id, publications)));
                bursts.len() - 1
            });
            let packets = bursts[at].1.select(|i| concerns(member, &publications[i]));
            if !packets.is_empty() {
                member.subscriber.deliver(packets);
            }
        }
        if publications.iter().any(|p| matches!(p.event, Event::Cleared | Event::Recalled { .. })) {
            self.invalidate();
        }
    }

    /// What was read of the log may not be what it is now.
    pub(super) fn invalidate(&self) {
        self.generation.store(next_generation(), Relaxed);
    }

    /// The members here have missed something: they come back, and read the log.
    pub(super) fn missed(&self, upto: u64) {
        self.invalidate();
        let here = {
            let mut members = lock(&self.members);
            members.missed = members.missed.max(upto);
            members.here.clone()
        };
        here.iter().for_each(|member| member.subscriber.drop_connection(Reason::MissedMessages));
    }

    /// A join goes to the store.
    fn begin_join(&self) {
        let mut members = lock(&self.members);
        (members.meanwhile, members.missed) = (Some(Vec::new()), 0);
    }

    /// It came back in vain.
    fn abandon_join(&self) {
        lock(&self.members).meanwhile = None;
    }

    /// Lets the newcomer in, after `answer`, with all that happened behind its place in the order,
    /// `since`.
    fn admit(
        &self,
        Visitor { connection, uid, .. }: Visitor,
        subscriber: Arc<dyn Subscriber>,
        since: u64,
        answer: impl FnOnce(),
    ) {
        let member = Member { connection, uid, subscriber, since };
        let mut members = lock(&self.members);
        let mut missed = members.meanwhile.take().unwrap_or_default();
        let here = Arc::make_mut(&mut members.here);
        let before = here.len();
        here.retain(|m| m.connection != connection);
        answer();
        missed.retain(|publication| publication.n > since && concerns(&member, publication));
        // Who joins again was told already.
        if !missed.is_empty() && here.len() == before {
            member.subscriber.deliver(member.subscriber.codec().encode(&self.id, &missed).all());
        }
        here.push(member.clone());
        let missed_some = members.missed > since;
        drop(members);
        if missed_some {
            member.subscriber.drop_connection(Reason::MissedMessages);
        }
    }

    /// Names this room's log as it is now: what was read of full pages stays true for as long as
    /// this stays the same.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    fn has(&self, connection: ConnectionId) -> bool {
        lock(&self.members).here.iter().any(|m| m.connection == connection)
    }

    /// Members on this node.
    pub fn local_members(&self) -> usize {
        lock(&self.members).here.len()
    }
}

/// Whether a member is told of a publication.
fn concerns(member: &Member, publication: &Publication) -> bool {
    let in_its_roster = match &publication.event {
        Event::Joined(_) | Event::Left(_) | Event::Gone(_) => publication.n <= member.since,
        Event::Message { .. }
        | Event::Synced(_)
        | Event::System(_)
        | Event::Cleared
        | Event::Recalled { .. } => false,
    };
    !in_its_roster && publication.concerns(member.connection, &member.uid)
}

fn ending() -> StoreError {
    StoreError::OutcomeUnknown("the server is ending".into())
}

/// Adds a job to the room of this id, made if need be.
fn submit(hub: &Arc<Hub>, room: &RoomId, mut job: Job) {
    loop {
        match hub.room(room).try_push(hub, job) {
            Ok(()) => return,
            Err((Retired, back)) => job = back,
        }
    }
}

impl Hub {
    /// Puts the visitor into the room. `answer` is called with the outcome, before the newcomer
    /// gets anything else of the room. Returns the room when it worked.
    pub async fn enter(
        self: &Arc<Self>,
        room: &RoomId,
        visitor: Visitor,
        subscriber: Arc<dyn Subscriber>,
        answer: Answer,
    ) -> Option<Arc<Room>> {
        let (done, entered) = oneshot::channel();
        submit(self, room, Job::Enter { visitor, subscriber, answer, done });
        // The room has a member now, so it is still the one in the map.
        entered.await.unwrap_or(false).then(|| self.room(room))
    }

    /// Takes the connection out of the room, behind all that was sent there before.
    pub async fn depart(
        self: &Arc<Self>,
        room: &RoomId,
        connection: ConnectionId,
        departure: Departure,
    ) {
        let (done, departed) = oneshot::channel();
        submit(self, room, Job::Depart { connection, departure, done });
        let _ = departed.await;
    }

    /// Gives up the place held for `uid`, unless another connection than `by` has its session by
    /// then.
    pub fn release(self: &Arc<Self>, room: &RoomId, uid: &Uid, by: ConnectionId) {
        submit(self, room, Job::Release { uid: uid.clone(), by });
    }

    /// Sends something of the server's own into the room; it may be lost when the store is out.
    pub fn announce(self: &Arc<Self>, room: &RoomId, entry: Entry) {
        submit(self, room, Job::Publish { entry, bytes: 0, arrived: Instant::now(), sender: None });
    }

    /// Forgets the room's log.
    pub async fn clear(self: &Arc<Self>, room: &RoomId) -> Result<(), StoreError> {
        let (done, cleared) = oneshot::channel();
        submit(self, room, Job::Clear { done });
        cleared.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Hides an insert from everybody for ever: see [`Upkeep::recall`](super::broker::Upkeep).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn recall(
        self: &Arc<Self>,
        room: &RoomId,
        key: &str,
        within: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let (done, recalled) = oneshot::channel();
        submit(self, room, Job::Recall { key: key.into(), within, done });
        recalled.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Has the room's log forgotten after this time: see
    /// [`Upkeep::expire`](super::broker::Upkeep).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire(
        self: &Arc<Self>,
        room: &RoomId,
        after: Duration,
    ) -> Result<(), StoreError> {
        let (done, expires) = oneshot::channel();
        submit(self, room, Job::Expire { after, done });
        expires.await.unwrap_or_else(|_| Err(ending()))
    }
}
