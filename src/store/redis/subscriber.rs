//! The connection that listens: to the rooms that this node has members of, to what concerns this
//! node, and to what concerns all.
//!
//! Commands on it must be sent in the order in which the list of rooms changes, or a late
//! UNSUBSCRIBE would end a new subscription: the lock around the way out sees to that. It is held
//! until a command was handed over, not until it was answered.
mod listen;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::SeqCst},
    task::Poll,
    time::Duration,
};

use futures_util::future::poll_fn;
use redis::{
    RedisResult,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    Redis,
    follow::{At, Followed, Step},
    heal::HEAL,
    lock,
    script::Script,
};
use crate::domain::{error::StoreError, ids::RoomId};

/// How long a room that nobody is in is still listened to: who comes back at once finds it open.
const LINGER: Duration = Duration::from_secs(5);
/// How long a join waits for the connection that listens, where it was interrupted.
const INTERRUPTION: Duration = Duration::from_secs(2);
/// Rooms that are subscribed to in one command, and that are looked at at the same time after an
/// interruption.
const AT_ONCE: (usize, usize) = (500, 32);

/// The way out of the listening connection, while there is one.
#[derive(Default)]
pub(super) struct Subscriptions(Mutex<Option<PubSubSink>>);

/// The connection that listens, and this node's own channel on it.
pub(super) type Listening = (PubSubStream, String);

type Command = Pin<Box<dyn Future<Output = RedisResult<()>> + Send>>;

fn subscribe(sink: &PubSubSink, channels: Vec<String>) -> Command {
    let mut sink = sink.clone();
    Box::pin(async move { sink.subscribe(channels).await })
}

fn unsubscribe(sink: &PubSubSink, channels: Vec<String>) -> Command {
    let mut sink = sink.clone();
    Box::pin(async move { sink.unsubscribe(channels).await })
}

/// Hands the command over, without waiting for its answer.
async fn hand_over(command: &mut Command) -> Option<RedisResult<()>> {
    poll_fn(|context| {
        Poll::Ready(match command.as_mut().poll(context) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

impl Redis {
    fn room_channel(&self, room: &RoomId) -> String {
        format!("{}room:{room}", self.channels)
    }

    /// Follows a room from now on. When this returns, nothing that is published there is missed.
    pub(super) async fn follow(self: &Arc<Self>, room: &RoomId) -> Result<(), StoreError> {
        if self.rooms.keep(room) {
            return Ok(());
        }
        let deadline = self.deadline();
        let patience = deadline.min(Instant::now() + INTERRUPTION);
        let (followed, listener) = loop {
            let mut listening = self.listening.subscribe();
            let on = matches!(timeout_at(patience, listening.wait_for(|on| *on)).await, Ok(Ok(_)));
            if on && let Some(followed) = self.subscribe_to(room, deadline).await {
                break followed;
            }
            if Instant::now() + HEAL > patience {
                return Err(StoreError::Unavailable(
                    "there is no connection to Redis to listen on".into(),
                ));
            }
            tokio::time::sleep(HEAL).await;
        };
        match self.tail(room, None, deadline).await {
            Ok(answer) => {
                // Who began to listen anew meanwhile did not look for what this room has missed.
                if self.listeners.load(SeqCst) != listener {
                    followed.miss();
                }
                let gap = followed.open(room, At::of(&answer.epoch, answer.n), &*self.sink())
                    == Step::Gap;
                self.rooms.opened(room);
                if gap {
                    self.heal_later(room, &followed);
                }
                Ok(())
            }
            Err(failure) => {
                self.unfollow(room).await;
                Err(failure.into())
            }
        }
    }

    /// Subscribes to a room's channel; none, if Redis does not confirm it.
    async fn subscribe_to(&self, room: &RoomId, deadline: Instant) -> Option<(Arc<Followed>, u64)> {
        let way = self.subscriptions.0.lock().await;
        let sink = way.as_ref()?;
        let (followed, listener) = (self.rooms.add(room), self.listeners.load(SeqCst));
        let mut command = subscribe(sink, vec![self.room_channel(room)]);
        let handed_over = hand_over(&mut command).await;
        drop(way);
        let subscribed = match handed_over {
            Some(done) => Ok(done),
            None => timeout_at(deadline, command).await,
        };
        if matches!(subscribed, Ok(Ok(()))) {
            return Some((followed, listener));
        }
        self.unfollow(room).await;
        None
    }

    pub(super) async fn unfollow(&self, room: &RoomId) {
        let way = self.subscriptions.0.lock().await;
        self.rooms.remove(room);
        if let Some(sink) = &*way {
            hand_over(&mut unsubscribe(sink, vec![self.room_channel(room)])).await;
        }
    }

    /// Stops listening to rooms that nobody is in.
    async fn sweep(&self) {
        let way = self.subscriptions.0.lock().await;
        let rooms = self.rooms.sweep(LINGER);
        if let Some(sink) = way.as_ref().filter(|_| !rooms.is_empty()) {
            hand_over(&mut unsubscribe(
                sink,
                rooms.iter().map(|room| self.room_channel(room)).collect(),
            ))
            .await;
        }
        drop(way);
        // That nobody is in a room does not mean that nothing of this node is on its way there:
        // until that has ended, its last batch must be known.
        lock(&self.left).extend(rooms.iter().cloned());
        let (upto, ended) = (self.batches.load(SeqCst), self.deadline());
        tokio::time::sleep_until(ended).await;
        {
            let mut left = lock(&self.left);
            for room in &rooms {
                left.remove(room);
            }
        }
        self.forget(rooms, upto).await;
    }

    /// This node's last batches in these rooms, before the one of this number, need not be known
    /// any more.
    pub(super) async fn forget(&self, rooms: Vec<RoomId>, upto: u64) {
        for rooms in rooms.chunks(AT_ONCE.0) {
            let forgotten = self.call(Script::Forget, self.deadline(), |a| {
                rooms.iter().fold(a.number(upto), |a, room| a.text(room.as_str()))
            });
            if let Err(error) = forgotten.await {
                tracing::debug!(%error, "a few bytes stay in Redis until it starts again");
            }
        }
    }
}
