//! Keeping the connection up, and what is heard on it.
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use redis::{ErrorKind, Msg, RedisResult, ServerErrorKind, aio::PubSubStream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    super::{Redis, heal::HEAL, nodes::is_of_nodes, switch::Switch, wire::Header},
    AT_ONCE, LINGER, Listening, hand_over, subscribe,
};
use crate::{
    domain::{directory::Ending, ids::ConnectionId},
    throttle::throttled,
};

/// How often rooms are looked through, and silence is noticed.
const TICK: Duration = Duration::from_secs(1);
/// How long connecting, and subscribing to everything again, may take.
const CONNECT: Duration = Duration::from_secs(10);
/// First and longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Redis {
    /// Listens for the first time: rooms can be followed from the start on.
    pub(in crate::store::redis) async fn listen_first(
        self: &Arc<Self>,
    ) -> Result<Listening, String> {
        match timeout(CONNECT, self.begin_listening()).await {
            Ok(Ok(listening)) => {
                self.listening.send_replace(true);
                Ok(listening)
            }
            Ok(Err(error))
                if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm)) =>
            {
                Err(format!(
                    "its user lacks the right to SUBSCRIBE to the channels {}* ({error})",
                    self.channels
                ))
            }
            Ok(Err(error)) => Err(format!("there is no listening to it ({error})")),
            Err(_) => Err("it does not confirm subscriptions".into()),
        }
    }

    /// Keeps the listening connection up, for ever. None `begun`: whoever did this before has
    /// failed.
    pub(in crate::store::redis) async fn listen(self: Arc<Self>, mut begun: Option<Listening>) {
        let (mut pause, mut told) = (PAUSES.0, begun.is_none());
        if told {
            self.hear_nothing().await;
        }
        loop {
            let listening = match begun.take() {
                Some(listening) => Ok(Ok(listening)),
                None => timeout(CONNECT, self.begin_listening()).await,
            };
            match listening {
                Ok(Ok((stream, own))) => {
                    if std::mem::take(&mut told) {
                        tracing::warn!("listening to Redis again");
                    }
                    pause = PAUSES.0;
                    self.listening.send_replace(true);
                    self.hear(stream, &own).await;
                    told = throttled!(error, "the connection that listens to Redis has ended");
                }
                Ok(Err(error)) => {
                    told |= throttled!(error, %error, "can't listen to Redis; trying again until it works")
                }
                Err(_) => {
                    told |= throttled!(
                        error,
                        "can't listen to Redis: no answer within {CONNECT:?}; trying again until it works"
                    )
                }
            }
            self.hear_nothing().await;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// The connection is gone, and whatever it knew.
    async fn hear_nothing(&self) {
        self.listening.send_replace(false);
        *self.subscriptions.0.lock().await = None;
        self.rooms.all().iter().for_each(|(room, _)| self.sink().invalidate(room));
    }

    async fn begin_listening(self: &Arc<Self>) -> RedisResult<Listening> {
        let (sink, stream) = self.client.driver().get_async_pubsub().await?.split();
        let node = self.node();
        let own = format!("{}node:{node}", self.channels);
        let commands = {
            let mut way = self.subscriptions.0.lock().await;
            let rooms = self.rooms.all();
            self.listeners.fetch_add(1, SeqCst);
            let [asked, told] = [self.asked_channel(&node), self.told_channel()];
            let mut channels =
                vec![vec![format!("{}all", self.channels), own.clone(), asked, told]];
            channels.extend(
                rooms
                    .chunks(AT_ONCE.0)
                    .map(|rooms| rooms.iter().map(|(room, _)| self.room_channel(room)).collect()),
            );
            let mut commands = Vec::new();
            for channels in channels {
                let mut command = subscribe(&sink, channels);
                match hand_over(&mut command).await {
                    Some(done) => done?,
                    None => commands.push(command),
                }
            }
            *way = Some(sink);
            commands
        };
        for command in commands {
            command.await?;
        }
        Ok((stream, own))
    }

    /// Until it ends, or is silent for too long.
    async fn hear(self: &Arc<Self>, mut stream: PubSubStream, own: &str) {
        // What was missed meanwhile; kicks too.
        let recovery = self.clone();
        self.spawn(async move { recovery.recover().await });
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = stream.next() => {
                    let Some(message) = message else { return };
                    match self.message(&message, own) {
                        Heard::Beat { at_ms } => {
                            heard = Instant::now();
                            // What is read so late has let too much gather before it.
                            if self.client.redis_ms(heard).saturating_sub(at_ms) > self.options.lease.as_millis() as u64 {
                                throttled!(error, "this node can't keep up with what it is told; it begins anew");
                                return;
                            }
                        }
                        Heard::Other => {}
                    }
                }
                _ = tick.tick() => {
                    if self.rooms.any_idle(LINGER) {
                        let this = self.clone();
                        self.spawn(async move { this.sweep().await });
                    }
                    // Each sign of life of this node is heard here as well; three in a row are missing, or it has another name.
                    if heard.elapsed() > self.options.lease + TICK || !own.ends_with(&*self.node()) {
                        return;
                    }
                }
            }
        }
    }

    async fn recover(self: &Arc<Self>) {
        let _ = AssertUnwindSafe(self.evict_missed()).catch_unwind().await; // rooms are to be healed in any case
        stream::iter(self.rooms.all())
            .for_each_concurrent(AT_ONCE.1, |(room, followed)| async move {
                followed.miss();
                if followed.begin_asking() {
                    self.heal(&room, &followed).await;
                }
            })
            .await;
    }

    /// Kicks that nobody here was told of.
    pub(in crate::store::redis) async fn evict_missed(&self) {
        loop {
            match self.evicted_here().await {
                Ok(evicted) => {
                    return evicted
                        .into_iter()
                        .for_each(|connection| self.sink().evict(connection));
                }
                Err(error) => tracing::debug!(%error, "kicks may have been missed"),
            }
            tokio::time::sleep(HEAL).await;
        }
    }

    fn message(self: &Arc<Self>, message: &Msg, own: &str) -> Heard {
        let (channel, payload) = (message.get_channel_name(), message.get_payload_bytes());
        let Some(name) = channel.strip_prefix(&*self.channels) else { return Heard::Other };
        if let Some(room) = name.strip_prefix("room:") {
            let Some((room, followed)) = self.rooms.id(room) else { return Heard::Other };
            // This node's own come back as well.
            let known = Header::decode(payload).is_some_and(|told| {
                followed
                    .at_now()
                    .is_some_and(|at| at.epoch == told.epoch.name && told.last() <= at.n)
            });
            if !known && followed.receive(Bytes::copy_from_slice(payload)) {
                self.spawn(self.clone().drain(room, followed));
            }
            return Heard::Other;
        }
        if is_of_nodes(name) {
            self.hear_node(&Bytes::copy_from_slice(payload));
            return Heard::Other;
        }
        let text = std::str::from_utf8(payload).unwrap_or_default();
        let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
        if let Some(switch) =
            Switch::read(argument).filter(|_| matches!(word, "auth" | "switch") && name == "all")
        {
            self.learn_switch(None, Some(switch));
            return Heard::Other;
        }
        match (word, argument.parse::<u64>()) {
            ("evict", Ok(connection)) if channel == own => {
                self.sink().evict(ConnectionId(connection))
            }
            ("expel", Ok(connection)) if channel == own => {
                let this = self.clone();
                self.spawn(async move { this.revoke(ConnectionId(connection)).await });
            }
            ("drop", Ok(connection)) if channel == own => {
                self.end_soon(connection, Ending::Drop);
            }
            ("refuse", Ok(connection)) if channel == own => {
                self.end_soon(connection, Ending::Refuse);
            }
            ("recheck", Ok(connection)) if channel == own => {
                let this = self.clone();
                self.spawn(async move { this.recheck(ConnectionId(connection)).await });
            }
            ("beat", Ok(at_ms)) if channel == own => return Heard::Beat { at_ms },
            _ => {
                throttled!(
                    warn,
                    channel,
                    "an unknown word was published in a channel of this server"
                );
            }
        }
        Heard::Other
    }
}

/// What was heard.
enum Heard {
    /// A sign of life of this node, and when it was given, by Redis' clock.
    Beat {
        at_ms: u64,
    },
    Other,
}
