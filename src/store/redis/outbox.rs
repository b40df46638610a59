//! The outbox: written by the scripts that do what it tells of (`lua/hooks.lua`), and read here.
//!
//! Where no endpoint is configured, Redis is given those scripts without anything of it. Nodes share
//! the work: a queue that one has taken has its next turn when the lease is over.
mod freeze;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;
use serde_json::json;
use tokio::{sync::watch, time::Instant};

use self::freeze::{Freezing, Queue};
use super::{
    OpenError, Options, Redis, address, answer,
    client::{Arguments, Client},
    presence::room_id,
    script::{PLAIN, Script},
};
use crate::domain::{
    broker::Entry,
    error::StoreError,
    ids::{RoomId, Uid},
    message,
    outbox::{
        self, Batch, Endpoint, Interest, Kind, Outbox, OutboxErasure, ParkedBatch, ParkedPage,
        Parking, Settlement, Standing, Taken,
    },
};

/// Parked batches that are read at once.
const MOST: usize = 1000;

/// What scripts are told of webhooks.
pub(super) struct Hooks {
    interest: Interest,
    /// The last argument of scripts.
    pub(super) spec: Bytes,
    written: watch::Sender<u64>,
}

impl Hooks {
    pub(super) fn new(interest: Interest) -> Self {
        let endpoints: Vec<_> = interest
            .endpoints
            .iter()
            .map(|endpoint| {
                let kinds: serde_json::Map<_, _> =
                    endpoint.kinds.iter().map(|kind| (kind.name().to_owned(), true.into())).collect();
                let rooms: Vec<_> =
                    endpoint.rooms.iter().map(|room| lua_pattern(room.as_str())).collect();
                let pending = endpoint.pending;
                json!({ "name": &*endpoint.name, "pending": pending, "kinds": kinds, "rooms": rooms })
            })
            .collect();
        let delay = millis(interest.leave_delay);
        let spec = json!({ "delay": delay, "endpoints": endpoints }).to_string().into();
        Hooks { interest, spec, written: watch::Sender::new(0) }
    }

    /// Something may have been written.
    pub(super) fn wake(&self) {
        self.written.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What the script that publishes needs to tell of these entries; nothing, where nobody is told
    /// of any. Of each that is stored: the uid as text, the fields before the message, and what stands
    /// for a message that is no JSON.
    pub(super) fn of_entries(&self, room: &RoomId, entries: &[Entry]) -> Vec<Bytes> {
        let wants = |kind| self.interest.wants(kind, room).next().is_some();
        if !wants(Kind::Inserted) && !wants(Kind::Updated) {
            return Vec::new();
        }
        let mut told = Vec::new();
        for entry in entries {
            let Entry::Message { message, .. } = entry else { continue };
            let id = match &message.kind {
                message::Kind::Insert => None,
                message::Kind::Update { id } => Some(&**id),
                message::Kind::Ignore => continue,
            };
            let uid = outbox::sender(&message.body);
            let text =
                uid.as_deref().map(|json| serde_json::from_str(json).unwrap_or(json.to_owned()));
            let fields = format!("\"uid\":{}", uid.as_deref().unwrap_or("null"));
            let id = id.map(|id| format!(",\"id\":{}", serde_json::Value::from(id)));
            told.push(Bytes::from(text.unwrap_or_default()));
            told.push(Bytes::from(fields + &id.unwrap_or_default()));
            told.push(outbox::instead(&message.body).map(Bytes::from).unwrap_or_default());
        }
        told
    }
}

/// A pattern as Lua has it.
fn lua_pattern(pattern: &str) -> String {
    let mut lua = String::with_capacity(pattern.len() + 8);
    lua.push('^');
    for c in pattern.chars() {
        match c {
            '*' => lua += ".*",
            c if c.is_ascii_punctuation() => lua.extend(['%', c]),
            c => lua.push(c),
        }
    }
    lua.push('$');
    lua
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 52)
}

fn duration(value: Option<Value>) -> Result<Option<Duration>, StoreError> {
    let text = answer::text(value)?;
    Ok(text.parse().ok().map(Duration::from_millis))
}

#[async_trait]
impl Outbox for Redis {
    fn written(&self) -> watch::Receiver<u64> {
        self.hooks.as_ref().map_or_else(|| watch::channel(0).1, |hooks| hooks.written.subscribe())
    }

    async fn take(
        &self,
        endpoint: &Endpoint,
        limit: usize,
        lease: Duration,
    ) -> Result<Taken, StoreError> {
        let (next, queues) = self.waiting(endpoint, limit, lease).await?;
        let mut taken = Taken { next, batches: Vec::new() };
        for queue in queues {
            match queue {
                Queue::Frozen(batch) => taken.batches.push(batch),
                Queue::Waiting(waiting) => match self.freeze(endpoint, waiting).await? {
                    Freezing::Done(batch) => taken.batches.push(batch),
                    Freezing::Changed => taken.next = Some(Duration::ZERO),
                    Freezing::Other => {}
                },
            }
        }
        Ok(taken)
    }

    async fn settle(
        &self,
        endpoint: &Endpoint,
        batch: &Batch,
        how: Settlement,
    ) -> Result<(), StoreError> {
        self.call(Script::HooksSettle, self.deadline(), |a| {
            let a = a.text(&endpoint.name).text(batch.room.as_str()).text(&batch.id);
            match &how {
                Settlement::Delivered => a.text("d"),
                Settlement::Again { after, counted } => {
                    a.text("a").number(millis(*after)).number(u64::from(*counted))
                }
                Settlement::Parked { why } => a.text("p").text(why),
            }
        })
        .await?;
        Ok(())
    }

    async fn sweep(&self) -> Result<Option<Duration>, StoreError> {
        if self.hooks.is_none() {
            return Ok(None);
        }
        duration(Some(self.call(Script::HooksSweep, self.deadline(), |a| a).await?))
    }

    async fn standing(&self, endpoint: &Endpoint) -> Result<Standing, StoreError> {
        let answer =
            self.call(Script::HooksStand, self.deadline(), |a| a.text(&endpoint.name)).await?;
        let mut answer = answer::list(answer)?.into_iter();
        Ok(Standing {
            bytes: answer::text(answer.next())?
                .parse::<i64>()
                .map_or(0, |n| n.max(0).unsigned_abs()),
            parked: answer::number(answer.next())?,
            oldest_ms: answer::text(answer.next())?.parse().ok(),
        })
    }
}

#[async_trait]
impl OutboxErasure for Redis {
    async fn rooms_told(&self) -> Result<Vec<RoomId>, StoreError> {
        let rooms = answer::list(self.call(Script::HooksRooms, self.deadline(), |a| a).await?)?;
        // One that is no name was written by somebody else.
        let named = rooms.into_iter().filter_map(answer::bytes);
        Ok(named.filter_map(|name| room_id(&name).ok()).collect())
    }

    async fn erase_told(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        let with = |a: Arguments| a.text(room.as_str()).text(uid.as_str());
        let answer = self.call(Script::HooksErase, self.deadline(), with).await?;
        let mut answer = answer::list(answer)?.into_iter();
        let mut changed = answer::number(answer.next())?;
        for batch in answer::list(answer.next().unwrap_or_default())? {
            let mut batch = answer::list(batch)?.into_iter();
            let (endpoint, id) = (answer::text(batch.next())?, answer::text(batch.next())?);
            let body = batch.next().and_then(answer::bytes).unwrap_or_default();
            let erased = outbox::erased_body(&body, uid);
            let erased = erased.map_err(|error| StoreError::OutcomeUnknown(error.to_string()))?;
            let Some(body) = erased else { continue };
            let with = |a: Arguments| a.text(&endpoint).text(&id).bytes(&body);
            let done = self.call(Script::HooksAmend, self.deadline(), with).await?;
            changed += answer::number(Some(done))?;
        }
        Ok(changed)
    }

    async fn tell_erased(&self, uid: &Uid) -> Result<(), StoreError> {
        if self.hooks.is_some() {
            let with = |a: Arguments| a.text(uid.as_str()).text(&uid.json());
            self.call(Script::HooksErased, self.deadline(), with).await?;
        }
        Ok(())
    }
}

fn parked_arguments(a: Arguments, endpoint: &str, after: Option<&str>, limit: usize) -> Arguments {
    let after = after.and_then(|after| after.parse().ok()).unwrap_or(0);
    // One more shows whether there is another page.
    a.text(endpoint).number(after).number(limit as u64 + 1)
}

fn parked_page(answer: Value, limit: usize) -> Result<ParkedPage, StoreError> {
    let (mut page, mut last) = (ParkedPage::default(), None);
    for batch in answer::list(answer)? {
        if page.batches.len() == limit {
            page.next = last;
            break;
        }
        let mut batch = answer::list(batch)?.into_iter();
        page.batches.push(ParkedBatch {
            id: answer::text(batch.next())?.into(),
            room: room_id(&batch.next().and_then(answer::bytes).unwrap_or_default())?,
            parked_ms: answer::number(batch.next())?,
            attempts: u32::try_from(answer::number(batch.next())?).unwrap_or(u32::MAX),
            why: answer::text(batch.next())?,
            body: batch.next().and_then(answer::bytes).unwrap_or_default(),
        });
        last = Some(answer::text(batch.next())?);
    }
    Ok(page)
}

fn replay_arguments(a: Arguments, endpoint: &str, ids: &[String]) -> Arguments {
    ids.iter().fold(a.text(endpoint), |a, id| a.text(id))
}

#[async_trait]
impl Parking for Redis {
    async fn parked(
        &self,
        endpoint: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParkedPage, StoreError> {
        let limit = limit.clamp(1, MOST);
        let with = |a: Arguments| parked_arguments(a, endpoint, after, limit);
        let answer = self.call(Script::HooksParked, self.deadline(), with).await?;
        parked_page(answer, limit)
    }

    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError> {
        let with = |a: Arguments| replay_arguments(a, endpoint, ids);
        let answer = self.call(Script::HooksReplay, self.deadline(), with).await?;
        if let Some(hooks) = &self.hooks {
            hooks.wake();
        }
        answer::number(Some(answer))
    }
}

/// Batches that were put aside, for the command line: without being a node.
pub struct ParkedInRedis {
    client: Client,
    channels: String,
    options: Options,
}

impl ParkedInRedis {
    /// Connects.
    ///
    /// # Errors
    /// Redis can't be reached, or used.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let (address, channels) = address(&options.url, &options.shown, &options.prefix)?;
        let client = Client::open(address, &options.shown, PLAIN).await?;
        Ok(ParkedInRedis { client, channels, options })
    }

    async fn call(
        &self,
        script: Script,
        with: impl FnOnce(Arguments) -> Arguments,
    ) -> Result<Value, StoreError> {
        let live = self.client.live()?;
        let begun = Arguments::new(&self.options.prefix, &self.channels, "", &live.run, 0);
        let deadline = Instant::now() + self.options.deadline;
        Ok(self.client.run(&live, script, &with(begun), deadline).await?)
    }
}

#[async_trait]
impl Parking for ParkedInRedis {
    async fn parked(
        &self,
        endpoint: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParkedPage, StoreError> {
        let limit = limit.clamp(1, MOST);
        let with = |a: Arguments| parked_arguments(a, endpoint, after, limit);
        parked_page(self.call(Script::HooksParked, with).await?, limit)
    }

    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError> {
        let with = |a: Arguments| replay_arguments(a, endpoint, ids);
        answer::number(Some(self.call(Script::HooksReplay, with).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_written_for_lua() {
        assert_eq!(lua_pattern("chat:*-é.%"), "^chat%:.*%-é%.%%$");
    }
}
