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
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

pub(super) use self::rooms::Rooms;
use super::{
    broker::{Entry, Event, Publication, Trim, Trimmed},
    error::StoreError,
    ids::{ConnectionId, RoomId, Uid},
    presence::{Departure, Roster, Visitor},
    subscriber::{Burst, Outcome, Settled, Subscriber, codec_type},
};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::reason::Reason;
use crate::trace::{self, Kind, Span};

mod drain;
mod rooms;
#[cfg(test)]
mod tests;

/// Called with the outcome of a join before anything that happens in the room later is delivered to
/// the newcomer.
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

/// Who is told what became of a message.
enum Teller {
    Nobody,
    /// Its sender, with the acknowledgement that it asked for.
    Sender(Arc<dyn Subscriber>, Option<i64>),
    /// Whoever waits for it.
    Caller(oneshot::Sender<Outcome>),
}

/// Something for the drain task.
enum Job {
    Publish {
        entry: Entry,
        bytes: usize,
        arrived: Instant,
        teller: Teller,
        span: Span,
    },
    Enter {
        visitor: Visitor,
        subscriber: Arc<dyn Subscriber>,
        answer: Answer,
        done: oneshot::Sender<Option<Arc<Room>>>,
        span: Span,
    },
    Depart {
        connection: ConnectionId,
        departure: Departure,
        done: oneshot::Sender<Result<Option<u64>, StoreError>>,
    },
    Release {
        uid: Uid,
        by: ConnectionId,
    },
    Remove {
        uid: Uid,
        done: oneshot::Sender<Result<u64, StoreError>>,
    },
    /// Nothing. Behind it the room is looked at: it may have lost its last member.
    Look,
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
    Trim {
        trim: Trim,
        done: oneshot::Sender<Result<Trimmed, StoreError>>,
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

/// A job that was not added.
struct Refused {
    /// Because the room is no longer in the hub: ask there for its successor. Otherwise because too
    /// much waits for a store that is out, or the server is ending.
    retired: bool,
    job: Job,
}

/// Jobs that were not added, as [`Refused`] says of one.
struct AllRefused {
    retired: bool,
    jobs: Vec<Job>,
}

/// A room.
pub struct Room {
    /// Its name.
    pub id: RoomId,
    outbox: Mutex<Outbox>,
    /// Something came while the store is out.
    nudge: Notify,
    /// Never the same for two rooms, nor for one room before and after its log was cleared.
    generation: AtomicU64,
    members: Mutex<Members>,
    /// Where it is, until it is retired.
    home: Weak<Rooms>,
    /// Where fan-outs are counted: at home it would have to be looked for each time.
    metrics: Arc<Metrics>,
    /// What is being stored.
    traced: trace::Batch,
}

fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

impl Room {
    /// One that is in no hub.
    #[cfg(test)]
    pub(crate) fn alone(id: RoomId) -> Arc<Self> {
        Self::new(id, Weak::new(), Arc::default())
    }

    fn new(id: RoomId, home: Weak<Rooms>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Room {
            id,
            outbox: Mutex::default(),
            nudge: Notify::new(),
            generation: next_generation().into(),
            members: Mutex::default(),
            home,
            metrics,
            traced: trace::Batch::default(),
        })
    }

    /// A message of `sender`, which is told by [`Subscriber::settled`] what became of it, with `ack` as
    /// given here. Call it only for a member: a room with members is never retired.
    pub fn send(
        self: &Arc<Self>,
        entry: Entry,
        bytes: usize,
        sender: Arc<dyn Subscriber>,
        ack: Option<i64>,
    ) {
        let (arrived, teller) = (Instant::now(), Teller::Sender(sender, ack));
        let span = Span::begin("message", Kind::Server);
        let job = Job::Publish { entry, bytes, arrived, teller, span };
        if let Err(refused) = self.add(job)
            && let Job::Publish { teller: Teller::Sender(sender, ack), .. } = refused.job
        {
            sender.settled(&[Settled { ack, bytes, outcome: Outcome::Unavailable }]);
        }
    }

    /// Adds a job, unless it has to be refused: then it comes back.
    fn add(self: &Arc<Self>, job: Job) -> Result<(), Box<Refused>> {
        let refused = |retired, job| Err(Box::new(Refused { retired, job }));
        let mut outbox = lock(&self.outbox);
        if outbox.retired {
            return refused(true, job);
        }
        // Looked for only where it is needed: of a busy room a task takes care already.
        let home = if outbox.stuck || !outbox.draining {
            match self.home.upgrade() {
                None => return refused(false, job), // the server is ending
                home => home,
            }
        } else {
            None
        };
        if let Job::Publish { entry, bytes, teller, .. } = &job {
            let is_bounded = outbox.stuck && !entry.may_pass() && !matches!(teller, Teller::Nobody);
            let pending = home.as_ref().map_or(usize::MAX, |home| home.services.options.pending);
            if is_bounded && outbox.bytes + bytes > pending {
                return refused(false, job);
            }
            outbox.bytes += bytes;
        }
        outbox.jobs.push_back(job);
        if let Some(home) = home {
            self.wake(outbox, home);
        }
        Ok(())
    }

    /// Adds jobs one behind the other, with nothing between them, unless they have to be refused:
    /// then all of them come back.
    fn add_all(self: &Arc<Self>, jobs: Vec<Job>) -> Result<(), AllRefused> {
        let mut outbox = lock(&self.outbox);
        if outbox.retired {
            return Err(AllRefused { retired: true, jobs });
        }
        let Some(home) = self.home.upgrade() else {
            return Err(AllRefused { retired: false, jobs }); // the server is ending
        };
        let (mut total, mut may_pass) = (0, true);
        for job in &jobs {
            if let Job::Publish { entry, bytes, .. } = job {
                total += bytes;
                may_pass &= entry.may_pass();
            }
        }
        let is_bounded = outbox.stuck && !may_pass;
        if is_bounded && outbox.bytes + total > home.services.options.pending {
            return Err(AllRefused { retired: false, jobs });
        }
        outbox.bytes += total;
        outbox.jobs.extend(jobs);
        self.wake(outbox, home);
        Ok(())
    }

    /// Has the outbox drained: by a new task, or by the one that is there, which may be waiting for
    /// a store that is out.
    fn wake(self: &Arc<Self>, mut outbox: MutexGuard<'_, Outbox>, home: Arc<Rooms>) {
        if outbox.draining {
            self.nudge.notify_one();
            return;
        }
        outbox.draining = true;
        drop(outbox);
        let tasks = home.services.tasks.clone();
        tasks.spawn(drain::run(self.clone(), home));
    }

    /// Takes the connection off the fan-out at once; its departure is announced, if at all, by
    /// [`Hub::depart`](super::hub::Hub::depart).
    pub fn silence(&self, connection: ConnectionId) {
        Arc::make_mut(&mut lock(&self.members).here).retain(|m| m.connection != connection);
    }

    /// Hands publications to this node's members, encoded once for each codec. Who is removed gets
    /// what was said before.
    pub(super) fn deliver(self: &Arc<Self>, publications: &[Publication]) {
        let mut rest = publications;
        while let Some(at) = rest.iter().position(|p| matches!(p.event, Event::Removed { .. })) {
            let (before, behind) = rest.split_at(at + 1);
            self.hand_out(before);
            if let Some(Publication { n, event: Event::Removed { uid, .. }, .. }) = before.last() {
                self.remove(uid, *n);
            }
            rest = behind;
        }
        if !rest.is_empty() {
            self.hand_out(rest);
        }
    }

    /// The user is out of the room since this place in its order. Who has entered behind it stays.
    fn remove(self: &Arc<Self>, uid: &Uid, n: u64) {
        let removed: Vec<Member> = {
            let mut members = lock(&self.members);
            let is_out = |member: &Member| member.uid == *uid && member.since < n;
            if !members.here.iter().any(is_out) {
                return;
            }
            Arc::make_mut(&mut members.here).extract_if(.., |member| is_out(member)).collect()
        };
        removed.into_iter().for_each(|member| member.subscriber.removed(&self.id));
        // The last one may have been among them; and no departure follows.
        let _ = self.add(Job::Look);
    }

    fn hand_out(&self, publications: &[Publication]) {
        let members = {
            let mut members = lock(&self.members);
            if let Some(meanwhile) = &mut members.meanwhile {
                meanwhile.extend_from_slice(publications);
            }
            members.here.clone()
        };
        let fan_out = self.traced.parts("fan-out");
        let mut bursts: Vec<(TypeId, Burst)> = Vec::with_capacity(1);
        let (mut reached, mut deliveries) = (0, 0);
        for member in members.iter() {
            let codec = member.subscriber.codec();
            let kind = codec_type(codec);
            let at = bursts.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
                bursts.push((kind, codec.encode(&self.id, publications)));
                bursts.len() - 1
            });
            let (packets, parts) = bursts[at].1.select(|i| concerns(member, &publications[i]));
            if !packets.is_empty() {
                member.subscriber.deliver(packets);
                reached += 1;
                deliveries += parts;
            }
        }
        self.metrics.messages.fanned_out(reached, deliveries);
        fan_out.set("members", reached);
        if publications.iter().any(|p| {
            matches!(p.event, Event::Cleared | Event::Trimmed { .. } | Event::Recalled { .. })
        }) {
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
        // It may have been taken out again by now: then it gets what was said before.
        let out = missed.iter().position(|publication| {
            let is_it =
                matches!(&publication.event, Event::Removed { uid, .. } if *uid == member.uid);
            is_it && publication.n > since
        });
        if let Some(out) = out {
            missed.truncate(out);
        }
        missed.retain(|publication| publication.n > since && concerns(&member, publication));
        // Who joins again was told already.
        if !missed.is_empty() && here.len() == before {
            member.subscriber.deliver(member.subscriber.codec().encode(&self.id, &missed).all());
        }
        if out.is_none() {
            if here.is_empty() {
                here.reserve_exact(1); // many rooms have one member
            }
            here.push(member.clone());
        }
        let missed_some = members.missed > since;
        drop(members);
        if out.is_some() {
            member.subscriber.clone().removed(&self.id);
        }
        if missed_some {
            member.subscriber.drop_connection(Reason::MissedMessages);
        }
    }

    /// Names this room's log as it is now: what was read of full pages stays true for as long as
    /// this stays the same.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Whether the connection is a member: who has entered may have been taken out since.
    pub fn has(&self, connection: ConnectionId) -> bool {
        // Who has entered just now is the last.
        lock(&self.members).here.iter().rev().any(|m| m.connection == connection)
    }

    /// What waits for its turn, and the bytes of messages in it.
    fn waiting(&self) -> (usize, usize) {
        let outbox = lock(&self.outbox);
        (outbox.jobs.len(), outbox.bytes)
    }

    /// Members on this node.
    pub fn local_members(&self) -> usize {
        lock(&self.members).here.len()
    }
}

/// Whether a member is told of a publication.
fn concerns(member: &Member, publication: &Publication) -> bool {
    let in_its_roster = match &publication.event {
        Event::Joined { .. } | Event::Left { .. } | Event::Gone { .. } | Event::Removed { .. } => {
            publication.n <= member.since
        }
        Event::Message { .. }
        | Event::Synced(_)
        | Event::System(_)
        | Event::Cleared
        | Event::Trimmed { .. }
        | Event::Recalled { .. } => false,
    };
    !in_its_roster && publication.concerns(member.connection, &member.uid)
}
