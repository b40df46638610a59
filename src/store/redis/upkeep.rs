//! Recalling an insert, and the time after which a room's log is forgotten.
//!
//! When a log ends is noted beside the room's counters, in Redis' time. Every script that writes to
//! the log or reads it looks there, so that what comes after that time is never forgotten with what
//! came before, and nobody reads what is over. For rooms where nothing happens each node looks,
//! twice a second (`revocations.rs`), into `ao:expiring`: whichever comes first ends the log for all.
//! So it does not matter which nodes live by then, as long as one does.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Redis, answer, entry::Entry, script::Script, wire::Told};
use crate::domain::{
    broker::{Event, KNOWN_KEYS, Upkeep},
    error::StoreError,
    ids::RoomId,
};
use crate::throttle::throttled;

/// The longest time after which a log is forgotten, in milliseconds: Lua's numbers are exact up to
/// 2^53, and the time of day has to be added.
const LONGEST: u64 = 1 << 52;

#[async_trait]
impl Upkeep for Redis {
    async fn recall(
        &self,
        room: &RoomId,
        key: &str,
        within: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let deadline = self.deadline();
        let answer = self
            .call(Script::Recall, deadline, |a| {
                a.text(room.as_str()).text(key).number(within.min(KNOWN_KEYS) as u64)
            })
            .await?;
        let mut answer = answer::list(answer)?.into_iter();
        let Some(entry) = answer.next().and_then(answer::bytes) else { return Ok(None) };
        if let Some(epoch) = answer.next() {
            let (epoch, n) = (answer::epoch(Some(epoch))?, answer::number(answer.next())?);
            let told = Told::one(epoch, n, Some(Event::Recalled { key: key.into() }));
            self.this()?.settle(room, told, deadline).await;
        }
        Ok(Entry::message(&entry))
    }

    async fn expire(&self, room: &RoomId, after: Duration) -> Result<(), StoreError> {
        let after = u64::try_from(after.as_millis()).unwrap_or(LONGEST).min(LONGEST);
        self.call(Script::Expire, self.deadline(), |a| a.text(room.as_str()).number(after)).await?;
        Ok(())
    }
}

impl Redis {
    /// Ends the logs of these rooms, if no other node has done it meanwhile.
    pub(super) async fn lapse(self: Arc<Self>, rooms: Vec<RoomId>) {
        for room in rooms {
            let done = self.call(Script::Lapse, self.deadline(), |a| a.text(room.as_str())).await;
            if let Err(error) = done {
                throttled!(warn, ?room, %error, "a log whose time is over is not forgotten yet");
            }
        }
    }
}
