//! Getting a batch to Redis, once, however often that takes.
use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;
use redis::Value;
use tokio::time::Instant;

use super::{Redis, client::Failure, lock, receipts, rest::Rest, script::Script, wire::Batch};
use crate::domain::{broker::Entry, error::StoreError, ids::RoomId};

impl Redis {
    /// Leaves out what is of connections that this node had when it was taken for dead. False:
    /// there is no such.
    fn leave_out_lost(&self, rest: &mut Rest) -> bool {
        let lost = lock(&self.lost);
        let of_lost = |entry: &Entry| matches!(entry, Entry::Message { from: Some(from), .. } if lost.contains(from));
        let any = rest.entries.iter().any(of_lost);
        if any {
            rest.leave_out(|_, entry| of_lost(entry));
        }
        any
    }

    /// Whether copies are kept of what is replaced or ignored in this room. What is a user's alone
    /// is not to be found anywhere, nor is what was said in a life that has ended.
    fn keeps_copies(&self, room: &RoomId) -> bool {
        self.options.backups && !room.is_inbox() && !room.is_life()
    }

    /// What webhooks are told of these entries, behind the entries themselves.
    fn told_of(&self, room: &RoomId, entries: &[Entry]) -> Vec<Bytes> {
        self.hooks.as_ref().map_or_else(Vec::new, |hooks| {
            let mut told = hooks.of_entries(room, entries);
            told.push(hooks.spec.clone());
            told
        })
    }

    /// Tries until there is an answer or the time is over; returns what was stored and told, and
    /// the answer, none if that is nothing. What is sent again carries the same number, and is
    /// not applied twice. What connections sent whose session was taken over meanwhile is left out,
    /// and so are updates that the room has no room for, and inserts whose key it knows.
    pub(super) async fn store(
        &self,
        room: &RoomId,
        entries: Arc<[Entry]>,
        deadline: Instant,
    ) -> Result<(Rest, Option<Value>), StoreError> {
        if self.ended.is_cancelled() {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        let (number, node) = (self.batches.fetch_add(1, Relaxed), self.node());
        let mut rest = Rest::new(entries);
        let mut batch = Batch::encode(&rest.entries);
        let mut unanswered = None;
        loop {
            if self.leave_out_lost(&mut rest) {
                batch = Batch::encode(&rest.entries);
            }
            if rest.entries.is_empty() && rest.is_refused() {
                return Ok((rest, None));
            }
            if rest.entries.is_empty() {
                return Err(StoreError::OutcomeUnknown(
                    "the sessions of those who sent it are over".into(),
                ));
            }
            let live = match &unanswered {
                None => self.client.live()?,
                Some(why) => self
                    .client
                    .live_by(deadline)
                    .await
                    .map_err(|_| StoreError::OutcomeUnknown(String::clone(why)))?,
            };
            let arguments = self
                .arguments(&node, &live, Some(deadline))
                .text(room.as_str())
                .number(number)
                .text(&batch.meta)
                .number(u64::from(self.keeps_copies(room)))
                .number(self.room_expiry())
                .number(self.options.updates.entries)
                .number(self.options.updates.bytes)
                .text(&batch.kinds)
                .bytes(batch.once.as_bytes())
                .bodies(batch.parts.iter().cloned())
                .bodies(self.told_of(room, &rest.entries));
            let done = self.client.run(&live, Script::Publish, &arguments, deadline).await;
            match self.heard(Script::Publish, done) {
                Err(Failure::Unanswered(why)) if Instant::now() < deadline => {
                    unanswered = Some(why)
                }
                Err(Failure::Evicted(connections)) => {
                    rest.leave_out(|_, entry| matches!(entry, Entry::Message { from: Some(from), .. } if connections.contains(from)));
                    batch = Batch::encode(&rest.entries);
                    connections.into_iter().for_each(|connection| self.sink().evict(connection));
                }
                // Nothing of it was applied. The others are one batch again, which may meet the
                // same again: other nodes write as well.
                Err(Failure::LeaveOut(places)) if !places.is_empty() => {
                    rest.refuse(&places);
                    batch = Batch::encode(&rest.entries);
                }
                Err(Failure::Due) if Instant::now() < deadline => {
                    self.call(Script::Lapse, deadline, |a| a.text(room.as_str())).await?;
                }
                // Refused before it was seen whether the first attempt was applied.
                Err(failure @ (Failure::Refused(_) | Failure::Lost)) if unanswered.is_some() => {
                    return Err(StoreError::OutcomeUnknown(failure.to_string()));
                }
                // Asked too late: then nor was what went before, or its number would have been
                // known.
                done => {
                    let done = done?;
                    // Nothing of it was applied, as some of it was before, by whomever.
                    let before = (!batch.once.is_empty())
                        .then(|| receipts::answers(&done, &rest.entries))
                        .flatten();
                    let Some(before) = before else { return Ok((rest, Some(done))) };
                    rest.refuse(&before);
                    batch = Batch::encode(&rest.entries);
                }
            }
        }
    }
}
