//! The one task of a busy room: takes what waits, stores it, and lets the broker deliver it.
use std::{collections::VecDeque, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    super::{
        broker::{Entry, Placed, Position, Publication},
        error::StoreError,
        presence::Departure,
        subscriber::{Outcome, Settled, Subscriber},
    },
    Job, Room, Rooms, Teller, lock,
};
use crate::domain::message::Kind;
use crate::metrics::Call;
use crate::throttle::throttled;
use crate::trace::Span;

/// Most messages in one batch, most bytes of them (one more message may exceed it), and most
/// deliveries on this node.
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;
const BATCH_DELIVERIES: usize = 50_000;
/// Senders of a batch whose messages are put together.
const SENDERS: usize = 32;
/// A store call that takes longer than this is a store that is out, until it ends.
const SLOW: Duration = Duration::from_millis(250);
/// First and longest pause between two attempts at a store that is out.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

struct Sent {
    bytes: usize,
    teller: Teller,
    span: Span,
}

enum Work {
    /// With the arrival of the oldest.
    Batch(Vec<Entry>, Vec<Sent>, Instant),
    One(Job),
}

/// Works until nothing is left.
pub(super) async fn run(room: Arc<Room>, rooms: Arc<Rooms>) {
    while let Some(work) = next(&room, &rooms) {
        let done = match work {
            Work::Batch(entries, sent, arrived) => {
                AssertUnwindSafe(publish(&room, &rooms, entries, sent, arrived))
                    .catch_unwind()
                    .await
            }
            Work::One(job) => AssertUnwindSafe(single(&room, &rooms, job)).catch_unwind().await,
        };
        if done.is_err() {
            throttled!(error, room = %room.id.shown(), "a room's work failed; it goes on with the next");
        }
        // Work that needs no store suspends nowhere: before more of it others get their turn.
        if !lock(&room.outbox).jobs.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

/// The longest run of messages at the head of the outbox, or the one other job there. With nothing
/// left, the task ends, and a room without members leaves the hub.
fn next(room: &Arc<Room>, rooms: &Arc<Rooms>) -> Option<Work> {
    let mut outbox = lock(&room.outbox);
    let Some(head) = outbox.jobs.pop_front() else {
        outbox.draining = false;
        // Most rooms are silent most of the time: then they need no place for what waits.
        outbox.jobs = VecDeque::new();
        if room.local_members() == 0 {
            outbox.retired = true;
            drop(outbox);
            rooms.retire(room);
        }
        return None;
    };
    let Job::Publish { arrived: oldest, .. } = head else { return Some(Work::One(head)) };
    let most = (BATCH_DELIVERIES / room.local_members().max(1)).clamp(1, BATCH);
    let (mut entries, mut sent, mut total) = (Vec::new(), Vec::new(), 0);
    let mut job = Some(head);
    while let Some(Job::Publish { entry, bytes, teller, span, .. }) = job.take() {
        entries.push(entry);
        sent.push(Sent { bytes, teller, span });
        total += bytes;
        if entries.len() < most
            && total < BATCH_BYTES
            && matches!(outbox.jobs.front(), Some(Job::Publish { .. }))
        {
            job = outbox.jobs.pop_front();
        }
    }
    outbox.bytes -= total;
    Some(Work::Batch(entries, sent, oldest))
}

async fn publish(
    room: &Arc<Room>,
    rooms: &Arc<Rooms>,
    entries: Vec<Entry>,
    mut sent: Vec<Sent>,
    arrived: Instant,
) {
    let metrics = &rooms.services.metrics;
    metrics.messages.batches.observe(entries.len());
    let entries: Arc<[Entry]> = entries.into();
    // They end behind the answers. Without traces they take no memory.
    let spans: Vec<Span> = sent.iter_mut().map(|sent| std::mem::take(&mut sent.span)).collect();
    let storing = room.traced.begin("store", spans.iter());
    storing.set("batch", entries.len());
    let stored = async {
        let _storing = storing; // until the end of the last attempt
        match attempt(room, rooms, &entries).await {
            Ok(placed) => placed.into_iter().map(Outcome::from).collect(),
            Err(error) => retry(room, rooms, &entries, error, arrived).await,
        }
    };
    // Whatever happens, senders are told: they wait for it.
    let stored: Result<Vec<Outcome>, _> = AssertUnwindSafe(stored).catch_unwind().await;
    let mut outcomes = stored.unwrap_or_default();
    outcomes.resize(entries.len(), Outcome::Unknown);
    count(rooms, &entries, &outcomes);
    for (span, _) in spans.iter().zip(&outcomes).filter(|(_, outcome)| is_failure(outcome)) {
        span.failed("not stored");
    }
    if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Done(_))) {
        metrics.messages.delivery.took(arrived.elapsed());
    }
    let mut settled: Vec<(Arc<dyn Subscriber>, Vec<Settled>)> = Vec::new();
    for ((sent, entry), outcome) in sent.into_iter().zip(entries.iter()).zip(outcomes) {
        let (sender, ack) = match sent.teller {
            Teller::Nobody => continue,
            Teller::Caller(caller) => {
                let _ = caller.send(outcome); // it may have gone
                continue;
            }
            Teller::Sender(sender, ack) => (sender, ack),
        };
        let outcome = match outcome {
            // Nobody is closed for a message that may get lost.
            Outcome::Unknown if ack.is_none() && entry.may_pass() => nowhere(rooms),
            outcome => outcome,
        };
        let message = Settled { ack, bytes: sent.bytes, outcome };
        // Looked for among the last few only: one that is told twice loses nothing but a little
        // time.
        match settled.iter_mut().rev().take(SENDERS).find(|(s, _)| Arc::ptr_eq(s, &sender)) {
            Some((_, messages)) => messages.push(message),
            None => settled.push((sender, vec![message])),
        }
    }
    settled.iter().for_each(|(sender, messages)| sender.settled(messages));
}

/// Whether it is a trace's error. A message that was there before is none.
fn is_failure(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => false,
        Outcome::Reused | Outcome::Unavailable | Outcome::Full | Outcome::Unknown => true,
    }
}

impl From<Placed> for Outcome {
    fn from(placed: Placed) -> Self {
        match placed {
            Placed::At(position) => Outcome::Done(position),
            Placed::Full => Outcome::Full,
            Placed::Duplicate => Outcome::Duplicate,
            Placed::Replayed { position, note } => Outcome::Replayed { position, note },
            Placed::Reused => Outcome::Reused,
        }
    }
}

/// Delivered now, without a place in the order.
fn nowhere(rooms: &Rooms) -> Outcome {
    let at_ms = rooms.services.clock.unix_ms();
    Outcome::Done(Position { n: 0, index: None, at_ms, epoch: None })
}

/// One call of the store. While it takes long, what comes and may pass passes it.
async fn attempt(
    room: &Arc<Room>,
    rooms: &Arc<Rooms>,
    entries: &Arc<[Entry]>,
) -> Result<Vec<Placed>, StoreError> {
    let call = rooms.stores.broker.publish(&room.id, entries.clone());
    let mut call = pin!(rooms.services.metrics.store.timed(Call::Publish, call));
    if entries.iter().all(Entry::may_pass) {
        return call.await;
    }
    if let Ok(done) = tokio::time::timeout(SLOW, &mut call).await {
        return done;
    }
    let stuck = std::mem::replace(&mut lock(&room.outbox).stuck, true);
    let done = loop {
        pass(room, rooms);
        tokio::select! {
            done = &mut call => break done,
            () = room.nudge.notified() => {}
        }
    };
    lock(&room.outbox).stuck = stuck;
    done
}

/// Counts messages that were delivered.
fn count(rooms: &Rooms, entries: &[Entry], outcomes: &[Outcome]) {
    let (mut inserts, mut updates, mut ignores) = (0, 0, 0);
    for (entry, outcome) in entries.iter().zip(outcomes) {
        if let (Entry::Message { message, .. }, Outcome::Done(_)) = (entry, outcome) {
            match message.kind {
                Kind::Insert => inserts += 1,
                Kind::Update { .. } => updates += 1,
                Kind::Ignore => ignores += 1,
            }
        }
    }
    rooms.services.metrics.published(inserts, updates, ignores);
}

/// The store is out: what may pass reaches this node's members at once. The rest waits, in its
/// order, for the configured time from its arrival and the end of the attempt that is made then.
async fn retry(
    room: &Arc<Room>,
    rooms: &Arc<Rooms>,
    entries: &Arc<[Entry]>,
    error: StoreError,
    arrived: Instant,
) -> Vec<Outcome> {
    rooms.services.metrics.store.failures.inc();
    throttled!(warn, room = %room.id.shown(), %error, "messages can't be stored");
    if matches!(error, StoreError::OutcomeUnknown(_)) {
        // Should it be stored after all, all of it is delivered then.
        return vec![Outcome::Unknown; entries.len()];
    }
    deliver_now(room, entries.iter().filter(|entry| entry.may_pass()));
    let waiting: Arc<[Entry]> = entries.iter().filter(|e| !e.may_pass()).cloned().collect();
    let late = publish_late(room, rooms, &waiting, error, arrived).await;
    let mut late = late.into_iter();
    let of = |entry: &Entry| if entry.may_pass() { Some(nowhere(rooms)) } else { late.next() };
    entries.iter().map(of).map(|outcome| outcome.unwrap_or(Outcome::Unknown)).collect()
}

/// Tries again and again to publish these; returns how each ended.
async fn publish_late(
    room: &Arc<Room>,
    rooms: &Arc<Rooms>,
    waiting: &Arc<[Entry]>,
    mut error: StoreError,
    arrived: Instant,
) -> Vec<Outcome> {
    if waiting.is_empty() {
        return Vec::new();
    }
    let mut pause = PAUSES.0;
    lock(&room.outbox).stuck = true;
    let given_up = loop {
        if matches!(error, StoreError::OutcomeUnknown(_)) {
            break Outcome::Unknown;
        }
        if arrived.elapsed() + pause > rooms.services.options.patience {
            break Outcome::Unavailable;
        }
        let next = Instant::now() + pause;
        pause = (pause * 2).min(PAUSES.1);
        pass(room, rooms);
        while tokio::time::timeout_at(next, room.nudge.notified()).await.is_ok() {
            pass(room, rooms);
        }
        match attempt(room, rooms, waiting).await {
            Ok(placed) => {
                lock(&room.outbox).stuck = false;
                return placed.into_iter().map(Outcome::from).collect();
            }
            Err(e) => error = e,
        }
        rooms.services.metrics.store.failures.inc();
    };
    lock(&room.outbox).stuck = false;
    throttled!(error, room = %room.id.shown(), messages = waiting.len(), %error, "gave up storing messages; their senders are told");
    vec![given_up; waiting.len()]
}

/// Takes what may pass out of the outbox, and delivers it past what waits.
fn pass(room: &Arc<Room>, rooms: &Rooms) {
    let (passed, kept) = {
        let mut outbox = lock(&room.outbox);
        // Not past a join or departure: those who come and go keep their order.
        let end = outbox
            .jobs
            .iter()
            .position(|j| !matches!(j, Job::Publish { .. }))
            .unwrap_or(outbox.jobs.len());
        let (passed, kept): (Vec<_>, Vec<_>) = outbox
            .jobs
            .drain(..end)
            .partition(|j| matches!(j, Job::Publish { entry, .. } if entry.may_pass()));
        for job in &passed {
            if let Job::Publish { bytes, .. } = job {
                outbox.bytes -= bytes;
            }
        }
        let kept_count = kept.len();
        for job in kept.into_iter().rev() {
            outbox.jobs.push_front(job);
        }
        (passed, kept_count)
    };
    if passed.is_empty() {
        return;
    }
    tracing::debug!(room = %room.id.shown(), passed = passed.len(), kept, "passing what waits for the store");
    for job in passed {
        let Job::Publish { entry, bytes, teller, .. } = job else { continue };
        deliver_now(room, std::iter::once(&entry));
        let outcome = nowhere(rooms);
        match teller {
            Teller::Nobody => {}
            Teller::Sender(sender, ack) => sender.settled(&[Settled { ack, bytes, outcome }]),
            Teller::Caller(caller) => {
                let _ = caller.send(outcome); // it may have gone
            }
        }
    }
}

/// To this node's members only, and without a place in the order.
fn deliver_now<'a>(room: &Arc<Room>, entries: impl Iterator<Item = &'a Entry>) {
    let publications: Vec<Publication> =
        entries.map(|entry| Publication::of(0, None, entry)).collect();
    if !publications.is_empty() {
        room.deliver(&publications);
    }
}

async fn single(room: &Arc<Room>, rooms: &Arc<Rooms>, job: Job) {
    let (stores, store) = (&rooms.stores, &rooms.services.metrics.store);
    match job {
        Job::Publish { .. } => {} // taken as a batch
        Job::Enter { visitor, subscriber, answer, done, span } => {
            let entered = async {
                if room.local_members() == 0 {
                    store.timed(Call::Attach, stores.broker.attach(&room.id)).await?;
                }
                store.timed(Call::Enter, stores.presence.enter(&room.id, &visitor)).await
            };
            room.begin_join();
            let entered = span.within(entered).await;
            let worked = entered.is_ok().then(|| room.clone());
            match &entered {
                Ok(roster) => room.admit(visitor, subscriber, roster.n, || answer(&entered)),
                Err(error) => {
                    room.abandon_join();
                    // Whoever is told that it failed is not there. Who was there before stays.
                    let depart = matches!(error, StoreError::OutcomeUnknown(_))
                        && !room.has(visitor.connection);
                    if depart
                        && let Err(error) = stores
                            .presence
                            .depart(&room.id, visitor.connection, Departure::Gone)
                            .await
                    {
                        tracing::debug!(room = %room.id.shown(), %error, "a join that may have worked is undone later");
                    }
                    throttled!(warn, room = %room.id.shown(), %error, "a join failed");
                    answer(&entered);
                }
            }
            let _ = done.send(worked);
        }
        Job::Depart { connection, departure, done } => {
            room.silence(connection);
            let depart = stores.presence.depart(&room.id, connection, departure);
            let departed = store.timed(Call::Depart, depart).await;
            if let Err(error) = &departed {
                throttled!(warn, room = %room.id.shown(), %error, "a departure could not be announced");
            }
            let _ = done.send(departed);
        }
        Job::Release { uid, by } => {
            if let Err(error) = stores.presence.release(&room.id, &uid, by).await {
                throttled!(warn, room = %room.id.shown(), %error, "a held place could not be released");
            }
        }
        Job::Remove { uid, done } => {
            let remove = stores.presence.remove(&room.id, &uid);
            let _ = done.send(store.timed(Call::Remove, remove).await);
        }
        Job::Look => {} // by `next`
        Job::Clear { done } => {
            let _ = done.send(store.timed(Call::Clear, stores.broker.clear(&room.id)).await);
        }
        Job::Recall { key, within, done } => {
            let recall = stores.upkeep.recall(&room.id, &key, within);
            let _ = done.send(store.timed(Call::Recall, recall).await);
        }
        Job::Expire { after, done } => {
            let expire = stores.upkeep.expire(&room.id, after);
            let _ = done.send(store.timed(Call::Expire, expire).await);
        }
        Job::Trim { trim, done } => {
            let _ = done.send(store.timed(Call::Trim, stores.upkeep.trim(&room.id, trim)).await);
        }
    }
}
