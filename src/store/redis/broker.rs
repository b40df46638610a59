//! Log and publish/subscribe.
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;
use tokio::time::Instant;

use super::{
    Redis, answer,
    edition::{NAMED_BY, Named},
    entry::{Entry as StoredEntry, in_order},
    follow::{Followed, Step},
    lock, receipts,
    script::Script,
    wire::{Batch, Told},
};
use crate::domain::{
    broker::{Broker, Entry, Event, Page, PageLimit, Placed, Position, Sink, Stored, Updates},
    error::StoreError,
    ids::RoomId,
    retention::Rule,
};

/// How long what other nodes published before is waited for before it is asked for.
const ON_ITS_WAY: Duration = Duration::from_millis(250);
/// Bytes around a message in its stored entry, as a rule.
const FRAME: usize = 64;
/// Bytes of updates that come with the answer that says how many they are.
const FEW: usize = 64 << 10;
/// The largest list index that is asked for.
const FARTHEST: u64 = 1 << 40;

impl Redis {
    /// Delivers what this node's own call has told, when its turn has come. What precedes it is on
    /// its way.
    pub(super) async fn settle(self: &Arc<Self>, room: &RoomId, told: Told, deadline: Instant) {
        let Some(followed) = self.rooms.get(room.as_str()) else { return };
        let last = told.last();
        if followed.apply(room, told, &*self.sink()) == Step::Gap {
            self.catch_up(room, &followed, last, deadline).await;
        }
    }

    /// Waits until a room has come to `n`. What precedes it is on its way as a rule; if it does not
    /// come, it is asked for.
    pub(super) async fn catch_up(
        self: &Arc<Self>,
        room: &RoomId,
        followed: &Arc<Followed>,
        n: u64,
        deadline: Instant,
    ) {
        if !followed.reach(n, deadline.min(Instant::now() + ON_ITS_WAY)).await {
            self.heal_later(room, followed);
            followed.reach(n, deadline).await;
        }
    }

    /// One publication of this node, from the answer of a script: epoch, place, and what `event`
    /// reads.
    pub(super) async fn settle_one<A: Iterator<Item = Value>>(
        self: &Arc<Self>,
        room: &RoomId,
        answer: &mut A,
        event: impl FnOnce(&mut A) -> Option<Event>,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let Some(epoch) = answer.next() else { return Ok(()) };
        let (epoch, n) = (answer::epoch(Some(epoch))?, answer::number(answer.next())?);
        if let Some(event) = event(answer) {
            self.settle(room, Told::one(epoch, n, Some(event)), deadline).await;
        }
        Ok(())
    }
}

/// A rule as scripts are given it: the age in milliseconds and the count; empty: there is none.
pub(super) fn rule_arguments(rule: Rule) -> (String, String) {
    let age = rule.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(1 << 52).min(1 << 52));
    let text = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    (text(age), text(rule.count))
}

impl Redis {
    /// What of the room is kept.
    pub(super) fn rule(&self, room: &RoomId) -> Rule {
        self.options.retention.of(room).unwrap_or_default()
    }
}

#[async_trait]
impl Broker for Redis {
    fn start(&self, sink: Arc<dyn Sink>) {
        *lock(&self.sink) = sink.clone();
        sink.force_user_auth(self.switch().map(|switch| switch.on));
    }

    async fn publish(
        &self,
        room: &RoomId,
        entries: Arc<[Entry]>,
    ) -> Result<Vec<Placed>, StoreError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let this = self.this()?;
        let deadline = self.deadline();
        let all = entries.len();
        let (rest, answer) = self.store(room, entries, deadline).await?;
        let Some(answer) = answer else {
            let nowhere = Position { n: 0, index: None, at_ms: 0, epoch: None };
            return Ok(rest.placed(all, nowhere));
        };
        let mut answer = answer::list(answer)?.into_iter();
        let order = answer::epoch(answer.next())?;
        let mut number = || answer::number(answer.next());
        let (n, next, seconds, micros) = (number()?, number()?, number()?, number()?);
        let named_by = answer::text(answer.next())?;
        let inserts = rest.entries.iter().filter(|entry| entry.is_insert()).count() as u64;
        let first = Position {
            n,
            index: Some(next.saturating_sub(inserts)),
            at_ms: seconds * 1000 + micros / 1000,
            epoch: receipts::named_by(&mut named_by.split(' ')),
        };
        this.settle(room, Batch::told(&rest.entries, order, &first), deadline).await;
        if self.rooms.get(room.as_str()).is_none() {
            // The server's own word into a room that nobody here is in: there is nobody whose going
            // would make this node forget it.
            let (room, upto) = (room.clone(), self.batches.load(Relaxed));
            let forgetting = this.clone();
            this.spawn(async move { forgetting.forget(vec![room], upto).await });
        }
        Ok(rest.placed(all, first))
    }

    async fn page(&self, room: &RoomId, from: u64, limit: PageLimit) -> Result<Page, StoreError> {
        let most = limit.entries.clamp(1, 1 << 30) as u64;
        let bytes = limit.bytes.saturating_add(limit.entries.min(1000) * FRAME).min(1 << 40) as u64;
        let rule = self.rule(room);
        let (age, count) = rule_arguments(rule);
        // Named before: should the server be another one by now, the page is read once more.
        let run = self.client.live()?.run;
        let answer = self.call(Script::Page, self.deadline(), |a| {
            let a = a.text(room.as_str()).number(from.min(FARTHEST)).number(most).number(bytes);
            a.text(&age).text(&count)
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let (log_length, base) = (answer::number(answer.next())?, answer::number(answer.next())?);
        let named = answer::list(answer.next().unwrap_or_default())?;
        let named: Vec<_> = named.into_iter().map(answer::bytes).collect();
        let (start, now) = (answer::number(answer.next())?, answer::number(answer.next())?);
        // Whoever asks for the edition next must not be behind the page.
        self.client.set_clock(now);
        let named = Named(&named);
        let edition = named.edition(&run, now, rule);
        let mut page = Page { start, log_length, base, edition, ..Page::default() };
        page.epoch = named.epoch(page.origin());
        let mut total = 0;
        for entry in answer.filter_map(answer::bytes) {
            // No list has the places of its inserts: what others wrote there is none.
            let stored = Stored { n: None, ..StoredEntry::read(&entry).stored };
            total += stored.body.as_ref().map_or(0, Bytes::len);
            if total > limit.bytes && !page.entries.is_empty() {
                break;
            }
            page.entries.push(stored);
        }
        let end = page.first(from).saturating_add(page.entries.len() as u64);
        page.full = page.entries.len() >= limit.entries || end < page.end();
        page.note_due(rule);
        Ok(page)
    }

    async fn edition(&self, room: &RoomId) -> Result<u64, StoreError> {
        let live = self.client.live()?;
        let mut command = redis::cmd("HMGET");
        command.arg(format!("{}ao:seq:{room}", self.options.prefix)).arg(&NAMED_BY);
        let fields = self.client.ask(&live, &command, self.deadline()).await?;
        let fields: Vec<_> = answer::list(fields)?.into_iter().map(answer::bytes).collect();
        let now = self.client.redis_ms(Instant::now());
        Ok(Named(&fields).edition(&live.run, now, self.rule(room)))
    }

    async fn updates(&self, room: &RoomId, most: usize) -> Result<Updates, StoreError> {
        let few = most.min(FEW);
        let answer = self
            .call(Script::Updates, self.deadline(), |a| a.text(room.as_str()).number(few as u64))
            .await?;
        let mut answer = answer::list(answer)?.into_iter();
        let values = match usize::try_from(answer::number(answer.next())?).unwrap_or(usize::MAX) {
            bytes if bytes <= few => answer.collect(),
            bytes if bytes > most => return Ok(Updates::Larger),
            _ => self.ask("HVALS", &format!("msg_{room}_update")).await?,
        };
        let due_by = self.rule(room).due_by(self.client.redis_ms(Instant::now()));
        let entries: Vec<_> = values
            .into_iter()
            .filter_map(answer::bytes)
            .map(|entry| StoredEntry::read(&entry))
            .filter(|entry| !(1..=due_by).contains(&entry.stored.at_ms))
            .collect();
        Ok(Updates::All(
            in_order(entries, |entry| entry).into_iter().map(|entry| entry.stored).collect(),
        ))
    }

    async fn update_bytes(&self, room: &RoomId) -> Result<usize, StoreError> {
        let answer = self
            .call(Script::Updates, self.deadline(), |a| a.text(room.as_str()).number(0))
            .await?;
        Ok(usize::try_from(answer::number(answer::list(answer)?.into_iter().next())?)
            .unwrap_or(usize::MAX))
    }

    async fn clear(&self, room: &RoomId) -> Result<(), StoreError> {
        let deadline = self.deadline();
        let answer = self.call(Script::Clear, deadline, |a| a.text(room.as_str())).await?;
        let mut answer = answer::list(answer)?.into_iter();
        self.this()?.settle_one(room, &mut answer, |_| Some(Event::Cleared), deadline).await
    }

    async fn attach(&self, room: &RoomId) -> Result<(), StoreError> {
        self.this()?.follow(room).await
    }

    fn detach(&self, room: &RoomId) {
        self.rooms.leave(room);
    }

    async fn check(&self) -> Result<(), StoreError> {
        if self.ended.is_cancelled() {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        if !*self.listening.borrow() {
            return Err(StoreError::Unavailable(
                "there is no connection to Redis to listen on".into(),
            ));
        }
        let live = self.client.live()?;
        self.client.send(&live, &redis::cmd("PING"), self.deadline()).await?;
        Ok(())
    }

    async fn check_writing(&self) -> Result<(), StoreError> {
        self.call(Script::Probe, self.deadline(), |a| a).await?;
        Ok(())
    }

    async fn close(&self) {
        if self.ended.is_cancelled() {
            return;
        }
        self.settle_debts().await;
        // Nobody is in them any more, or has the time to come back.
        let mut rooms: Vec<_> = self.rooms.all().into_iter().map(|(room, _)| room).collect();
        rooms.iter().for_each(|room| self.rooms.remove(room));
        rooms.extend(lock(&self.left).drain());
        // First: from then on nothing is stored for this node, and what may still be sent again
        // need not be known.
        if let Err(error) = self.call(Script::Resign, self.deadline(), |a| a).await {
            tracing::warn!(
                ?error,
                "the other nodes will notice by themselves that this one has ended"
            );
        }
        self.forget(rooms, self.batches.load(Relaxed)).await;
        self.ended.cancel();
        *lock(&self.sink) = Arc::new(super::Nobody);
    }
}
