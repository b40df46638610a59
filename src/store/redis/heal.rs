//! Making up for what a room has missed, and handing out what came in for it.
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    Redis, answer,
    client::{Failure, passes},
    follow::{Answer, Followed, Step},
    script::Script,
    wire::Told,
};
use crate::domain::{error::StoreError, ids::RoomId};
use crate::throttle::throttled;

/// Pause between two attempts to learn what is missing.
pub(super) const HEAL: Duration = Duration::from_millis(200);

impl Redis {
    /// Where a room's order stands, and what Redis keeps of the way there from `n` on.
    pub(super) async fn tail(
        &self,
        room: &RoomId,
        n: Option<u64>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let wanted = n.map_or("-1".into(), |n| n.to_string());
        let answer =
            self.call(Script::Tail, deadline, |a| a.text(room.as_str()).text(&wanted)).await?;
        self.read_tail(answer).map_err(|error| Failure::Refused(error.to_string()))
    }

    fn read_tail(&self, answer: redis::Value) -> Result<Answer, StoreError> {
        let mut answer = answer::list(answer)?.into_iter();
        let (epoch, n) = (answer::epoch(answer.next())?, answer::number(answer.next())?);
        let node = self.node();
        let kept = answer.filter_map(|text| Told::decode(answer::bytes(text)?, &node)).collect();
        Ok(Answer { epoch, n, kept })
    }

    /// Asks Redis for what is missing in a room, in a task of its own.
    pub(super) fn heal_later(self: &Arc<Self>, room: &RoomId, followed: &Arc<Followed>) {
        if followed.begin_asking() {
            let (this, room, followed) = (self.clone(), room.clone(), followed.clone());
            self.spawn(async move { this.heal(&room, &followed).await });
        }
    }

    /// Until nothing is missing. One at a time does this for a room; a panic there costs the room's
    /// clients, and no other room.
    pub(super) async fn heal(self: &Arc<Self>, room: &RoomId, followed: &Arc<Followed>) {
        if AssertUnwindSafe(self.make_up(room, followed)).catch_unwind().await.is_err() {
            followed.failed(room, &*self.sink());
        }
    }

    async fn make_up(self: &Arc<Self>, room: &RoomId, followed: &Arc<Followed>) {
        while let Some(asked) = followed.ask() {
            match self.tail(room, Some(asked.n), self.deadline()).await {
                Ok(answer) => {
                    if followed.repair(room, asked, answer, &*self.sink()) {
                        return;
                    }
                }
                Err(Failure::Refused(why)) if !passes(&why) => {
                    throttled!(
                        error,
                        ?room,
                        why,
                        "a room can't be made up for; its clients come back"
                    );
                    return followed.give_up(room, &*self.sink());
                }
                Err(error) => {
                    tracing::debug!(?room, %error, "a room can't be made up for yet");
                    tokio::time::sleep(HEAL).await;
                }
            }
            if self.rooms.get(room.as_str()).is_none_or(|now| !Arc::ptr_eq(&now, followed)) {
                return followed.end_asking();
            }
        }
        followed.end_asking();
    }

    /// Hands out what came from the channel, as long as there is any. After a panic the next that
    /// comes is handed out again.
    pub(super) async fn drain(self: Arc<Self>, room: RoomId, followed: Arc<Followed>) {
        if AssertUnwindSafe(self.hand_out(&room, &followed)).catch_unwind().await.is_err() {
            followed.failed(&room, &*self.sink());
        }
    }

    async fn hand_out(self: &Arc<Self>, room: &RoomId, followed: &Arc<Followed>) {
        while let Some(text) = followed.next() {
            match Told::decode(text, &self.node()) {
                Some(told) => {
                    if followed.apply(room, told, &*self.sink()) == Step::Gap {
                        self.heal_later(room, followed);
                    }
                }
                None => {
                    throttled!(
                        warn,
                        ?room,
                        "something that is no publication was published in a room's channel"
                    );
                }
            }
            tokio::task::consume_budget().await;
        }
        if followed.overflowed() {
            throttled!(
                warn,
                ?room,
                "a room has more publications than this node can hand out; asking for those that were thrown away"
            );
            followed.miss();
            self.heal_later(room, followed);
        }
    }
}
