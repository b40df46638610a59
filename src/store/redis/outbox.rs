//! The outbox: written by the scripts that do what it tells of (`lua/hooks.lua`), and read here.
//!
//! Where no endpoint is configured, Redis is given those scripts without anything of it. Nodes share
//! the work: a queue that one has taken has its next turn when the lease is over.
mod erase;
mod freeze;
mod parking;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;
use serde_json::json;
use tokio::sync::watch;

use self::freeze::{Freezing, Queue};
pub use self::parking::ParkedInRedis;
use super::{Redis, answer, client::Failure, script::Script};
use crate::{
    domain::{
        broker::Entry,
        error::StoreError,
        ids::RoomId,
        message::{self, form::Forms},
        outbox::{Batch, Endpoint, Interest, Kind, Outbox, Settlement, Standing, Taken},
    },
    throttle::throttled,
};

/// What scripts are told of webhooks.
pub(super) struct Hooks {
    interest: Interest,
    /// How messages are written.
    forms: Forms,
    /// The last argument of scripts.
    pub(super) spec: Bytes,
    written: watch::Sender<u64>,
}

impl Hooks {
    pub(super) fn new(interest: Interest, forms: Forms) -> Self {
        let endpoints: Vec<_> = interest
            .endpoints
            .iter()
            .map(|endpoint| {
                let kinds: serde_json::Map<_, _> =
                    endpoint.kinds.iter().map(|kind| (kind.name().to_owned(), true.into())).collect();
                let rooms: Vec<_> =
                    endpoint.rooms.iter().map(|room| lua_pattern(room.as_str())).collect();
                let (name, pending, within) = (&*endpoint.name, pending(endpoint), within(endpoint));
                json!({ "name": name, "pending": pending, "kinds": kinds, "rooms": rooms, "within": within })
            })
            .collect();
        let delay = millis(interest.leave_delay);
        let spec = json!({ "delay": delay, "endpoints": endpoints });
        // In front the kinds alone: most scripts tell nothing, and need not read the rest for it.
        let is_asked = |kind: &Kind| interest.endpoints.iter().any(|e| e.kinds.has(*kind));
        let kinds = Kind::ALL.into_iter().filter(is_asked);
        let kinds = kinds.fold(String::from(" "), |kinds, kind| kinds + kind.name() + " ");
        let spec = format!("{kinds}\n{spec}").into();
        Hooks { interest, forms, spec, written: watch::Sender::new(0) }
    }

    /// Something may have been written.
    pub(super) fn wake(&self) {
        self.written.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The answer of a script that may tell: it says first whether it has, and who sends is woken
    /// by that alone. Without an answer nobody knows.
    pub(super) fn heard(&self, done: Result<Value, Failure>) -> Result<Value, Failure> {
        match done {
            Ok(Value::Array(said)) => {
                let mut said = said.into_iter();
                if said.next() != Some(Value::Int(0)) {
                    self.wake();
                }
                Ok(said.next().unwrap_or(Value::Nil))
            }
            Err(unanswered @ Failure::Unanswered(_)) => {
                self.wake();
                Err(unanswered)
            }
            done => done,
        }
    }

    /// What the script that publishes needs to tell of these entries; nothing, where nobody is told
    /// of any. Of each that is stored: the uid as text, the fields before the message, and what stands
    /// for a message that is no JSON; no fields, where nobody is told of it.
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
            let Some(said) = self.forms.read(room, &message.body) else {
                told.extend([const { Bytes::new() }; 3]);
                continue;
            };
            let uid = said.sender.as_deref();
            let text = uid.map(|json| serde_json::from_str(json).unwrap_or(json.to_owned()));
            let fields = format!("\"uid\":{}", uid.unwrap_or("null"));
            let id = id.map(|id| format!(",\"id\":{}", serde_json::Value::from(id)));
            told.push(Bytes::from(text.unwrap_or_default()));
            told.push(Bytes::from(fields + &id.unwrap_or_default()));
            told.push(said.instead.map(Bytes::from).unwrap_or_default());
        }
        told
    }
}

/// Of the patterns that begin with a dialect's word and a colon what stands behind it, by the word.
fn within(endpoint: &Endpoint) -> BTreeMap<&str, Vec<String>> {
    let mut within = BTreeMap::<_, Vec<_>>::new();
    let patterns = endpoint.rooms.iter().filter_map(|room| room.as_str().split_once(':'));
    for (word, rest) in patterns.filter(|(word, _)| !word.contains('*')) {
        within.entry(word).or_default().push(lua_pattern(rest));
    }
    within
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

/// The bytes that may wait for an endpoint, as Lua's numbers are exact.
fn pending(endpoint: &Endpoint) -> u64 {
    endpoint.pending.min(1 << 52)
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
                Queue::Waiting(waiting) => match self.freeze(endpoint, waiting).await {
                    Ok(Freezing::Done(batch)) => taken.batches.push(batch),
                    Ok(Freezing::Changed) => taken.next = Some(Duration::ZERO),
                    Ok(Freezing::Other) => {}
                    Err(error) if taken.batches.is_empty() => return Err(error),
                    Err(error) => {
                        // Those are the caller's, and nobody else is given them for a while.
                        throttled!(warn, %error, "some webhooks wait for the store");
                        break;
                    }
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
            let a = a.number(pending(endpoint));
            match &how {
                Settlement::Delivered => a.text("d"),
                Settlement::Again { after, counted } => {
                    let attempts = counted.then(|| batch.attempts.saturating_add(1).to_string());
                    a.text("a").number(millis(*after)).text(&attempts.unwrap_or_default())
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
            dropped: answer.next().map_or(Ok(0), |dropped| answer::number(Some(dropped)))?,
        })
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
