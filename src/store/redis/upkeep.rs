//! Recalling an insert, trimming, and the time after which a room's log is forgotten.
//!
//! When a log ends is noted beside the room's counters, in Redis' time. Every script that writes to
//! the log or reads it looks there, so that what comes after that time is never forgotten with what
//! came before, and nobody reads what is over. For rooms where nothing happens each node looks,
//! twice a second (`revocations.rs`), into `ao:expiring`: whichever comes first ends the log for all.
//! So it does not matter which nodes live by then, as long as one does.
//!
//! What is trimmed is hidden by a note beside the counters (`kept`), and deleted from the list in
//! steps: the first at once, the others the same way as logs that end.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Redis, answer, entry::Entry, script::Script, wire::Told};
use crate::domain::{
    broker::{Event, KNOWN_KEYS, Trim, Trimmed, Upkeep},
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

    async fn trim(&self, room: &RoomId, trim: Trim) -> Result<Trimmed, StoreError> {
        let (how, number) = match trim {
            Trim::Before(index) => ("b", index),
            Trim::Keep(count) => ("k", count),
            Trim::OlderThan(age) => ("o", u64::try_from(age.as_millis()).unwrap_or(LONGEST)),
        };
        let number = number.min(LONGEST);
        let updates = if how == "o" { self.drop_updates(room, number).await? } else { 0 };
        let deadline = self.deadline();
        let answer = self
            .call(Script::Trim, deadline, |a| {
                a.text(room.as_str()).text(how).number(number).number(updates)
            })
            .await
            .map_err(|why| StoreError::from(why).behind(updates > 0))?;
        let mut answer = answer::list(answer)?.into_iter();
        let (inserts, start) = (answer::number(answer.next())?, answer::number(answer.next())?);
        let told = |_: &mut _| Some(Event::Trimmed { start });
        self.this()?.settle_one(room, &mut answer, told, deadline).await?;
        Ok(Trimmed { removed: inserts + updates, start })
    }
}

impl Redis {
    /// Deletes updates whose last writing is older than so many milliseconds, some at a time;
    /// returns how many.
    async fn drop_updates(&self, room: &RoomId, age: u64) -> Result<u64, StoreError> {
        let (mut cursor, mut dropped) = ("0".to_owned(), 0);
        loop {
            let answer = self
                .call(Script::Drop, self.deadline(), |a| {
                    a.text(room.as_str()).text(&cursor).number(age)
                })
                .await
                .map_err(|why| StoreError::from(why).behind(dropped > 0))?;
            let mut answer = answer::list(answer)?.into_iter();
            cursor = answer::text(answer.next())?;
            dropped += answer::number(answer.next())?;
            if cursor == "0" {
                return Ok(dropped);
            }
        }
    }

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
