//! Taking over what the original has stored: its users, and the messages that wait for them.
//!
//! Until all of it is there nobody is let in: a phone that is not there yet could be registered by
//! a stranger, and what is said now would stand before what waits. Once everything is marked that
//! takes no time.
//!
//! A document is marked once what is in it is stored here. One node does it ([`turn`]), and the
//! others wait until it has. If it dies between the two, the next one finds a user there already,
//! and a message has a key by which it is not stored twice. A node whose turn has ended stores and
//! marks nothing more. Who was deleted here since is not taken over again, nor is what waited for
//! it. What can't be understood stays where it is, unmarked.
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::sleep;

use super::{Wechat, error::Failure, frames, inbox, users::Users};
use crate::{
    domain::{
        broker::Entry,
        hub::Hub,
        ids::RoomId,
        originals::{Original, Originals},
        subscriber::Outcome,
    },
    throttle::throttled,
};

mod document;
#[cfg(test)]
mod tests;
mod turn;

use document::{Document, Part, Waiting};
use turn::Turn;

/// Documents that are read at a time. A user has a picture of some 70 KB.
const BATCH: usize = 100;
/// Messages that are put into an inbox at a time.
const AT_ONCE: usize = 500;
/// Before it is tried again where a store does not answer, or another node is at it.
const PAUSE: Duration = Duration::from_secs(1);
/// Documents that can't be understood, and are named in the log.
const NAMED: usize = 100;

/// How far it has come.
pub(super) struct Progress(AtomicBool);

impl Progress {
    /// Whether there is nothing to be taken over.
    pub fn new(is_over: bool) -> Self {
        Progress(AtomicBool::new(is_over))
    }

    /// Whether all is there.
    pub fn is_over(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Takes over all that there is. Ends when that is done, here or by another node.
pub(super) async fn run(wechat: Arc<Wechat>, originals: Arc<dyn Originals>) {
    let hub = &wechat.hub;
    let mut takeover = Takeover {
        users: &wechat.users,
        inboxes: &**hub,
        originals: &*originals,
        turn: Turn::new(hub.records.clone(), hub.clock.clone(), hub.rng.clone()),
        named: BTreeSet::new(),
    };
    loop {
        match takeover.all().await {
            Ok(true) => break,
            Ok(false) => {} // another node is at it
            Err(failure) => {
                throttled!(warn, %failure, "a takeover has to wait");
            }
        }
        sleep(PAUSE).await;
    }
    wechat.progress.0.store(true, Relaxed);
}

/// Where messages wait.
#[async_trait]
trait Inboxes: Send + Sync {
    /// Adds messages, each with its bytes. One whose key is there already is not added.
    async fn add(&self, room: &RoomId, messages: Vec<(Entry, usize)>) -> Result<(), Failure>;
}

#[async_trait]
impl Inboxes for Hub {
    async fn add(&self, room: &RoomId, messages: Vec<(Entry, usize)>) -> Result<(), Failure> {
        for outcome in self.publish_all(room, messages).await {
            match outcome {
                Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => {}
                Outcome::Unavailable | Outcome::Full | Outcome::Unknown | Outcome::Reused => {
                    return Err(Failure::Unavailable);
                }
            }
        }
        Ok(())
    }
}

struct Takeover<'a> {
    users: &'a Users,
    inboxes: &'a dyn Inboxes,
    originals: &'a dyn Originals,
    turn: Turn,
    /// Documents that can't be understood, as far as the log has named them.
    named: BTreeSet<(&'static str, String)>,
}

/// What became of some documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    taken: u64,
    unknown: u64,
}

impl Takeover<'_> {
    /// Takes over all that is not marked. False: another node is at it.
    async fn all(&mut self) -> Result<bool, Failure> {
        for part in Part::ALL {
            let collection = part.collection();
            let Some(Count { taken, unknown }) = self.part(part).await? else { return Ok(false) };
            if taken > 0 {
                tracing::info!(collection, taken, "documents of the original were taken over");
            }
            if unknown > 0 {
                tracing::warn!(collection, unknown, "documents can't be taken over");
            }
        }
        self.turn.end().await;
        Ok(true)
    }

    /// Takes over what is not marked of one collection; nothing: another node is at it.
    async fn part(&mut self, part: Part) -> Result<Option<Count>, Failure> {
        let (mut after, mut all) = (None::<String>, Count::default());
        loop {
            let batch = self.originals.next(part.collection(), after.as_deref(), BATCH).await?;
            let Some(last) = batch.last() else { return Ok(Some(all)) };
            if !self.turn.is_ours() && batch.iter().any(|one| part.read(&one.json).is_some()) {
                if !self.turn.take().await? {
                    return Ok(None);
                }
                continue; // whose turn it was may have taken over what was read
            }
            after = Some(last.id.clone());
            let Some(Count { taken, unknown }) = self.batch(part, &batch).await? else {
                return Ok(None);
            };
            all = Count { taken: all.taken + taken, unknown: all.unknown + unknown };
        }
    }

    /// Takes over these documents; nothing: this node's turn has ended.
    async fn batch(&mut self, part: Part, batch: &[Original]) -> Result<Option<Count>, Failure> {
        let mut taken = Vec::new();
        for Original { id, json } in batch {
            let Some(document) = part.read(json) else {
                self.name(part, id);
                continue;
            };
            if !self.turn.keep().await? {
                return Ok(None);
            }
            match self.store(id, document).await {
                Ok(true) => taken.push(id.clone()),
                Ok(false) => return Ok(None),
                // Something that is in the log; it must not keep everybody out for ever.
                Err(Failure::Internal) => self.name(part, id),
                Err(failure) => return Err(failure),
            }
        }
        if !taken.is_empty() {
            if !self.turn.keep().await? {
                return Ok(None);
            }
            self.originals.taken(part.collection(), &taken).await?;
        }
        let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
        let unknown = count(batch.len() - taken.len());
        Ok(Some(Count { taken: count(taken.len()), unknown }))
    }

    /// Stores what is in the document with this id. False: this node's turn has ended.
    async fn store(&mut self, id: &str, document: Document) -> Result<bool, Failure> {
        if self.users.was_deleted(document.phone()).await? {
            return Ok(true);
        }
        match document {
            // Where there is one, it was taken over before this was marked.
            Document::User(user) => self.users.add(&user).await.map(|_| true),
            Document::Waiting(waiting) => self.put(id, waiting).await,
        }
    }

    /// Puts what waits for a phone into its inbox, in order. `id` tells from which document it is.
    /// False: this node's turn has ended.
    async fn put(&mut self, id: &str, waiting: Waiting) -> Result<bool, Failure> {
        let room = inbox::room(&waiting.phone).map_err(|_| Failure::Internal)?;
        let numbered = waiting.frames.into_iter().enumerate();
        let mut entries: Vec<(Entry, usize)> = numbered
            .map(|(number, frame)| {
                let (key, bytes) = (format!("original/{id}/{number}"), frame.len());
                (inbox::entry(frames::Kind::Message, frame, Some(key.into())), bytes)
            })
            .collect();
        while !entries.is_empty() {
            if !self.turn.keep().await? {
                return Ok(false);
            }
            let behind = entries.split_off(entries.len().min(AT_ONCE));
            self.inboxes.add(&room, std::mem::replace(&mut entries, behind)).await?;
        }
        Ok(true)
    }

    /// Has the log name a document that can't be taken over.
    fn name(&mut self, part: Part, id: &str) {
        let collection = part.collection();
        if self.named.len() < NAMED && self.named.insert((collection, id.to_owned())) {
            tracing::warn!(collection, id, "a document can't be taken over");
        }
    }
}
