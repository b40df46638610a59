//! The connection for commands: one, shared, kept up by [`Client::keep`].
//!
//! A call either has its answer, or failed before anything was sent, or was refused by Redis, which
//! then changed nothing, or its outcome is not known. While there is no connection every call fails
//! at once. A change without an answer in time ends the connection for all that come later; what
//! only reads may take long without that.
mod arguments;
mod failure;
mod refusal;

pub(super) use arguments::Arguments;
pub(super) use failure::{Failure, passes};

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, ServerErrorKind, Value, aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use self::{
    failure::failure,
    refusal::{Refusal, check},
};
use super::{OpenError, script::Script};
use crate::throttle::throttled;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// First and longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// An answer that is later than that means that Redis' clock was set back.
const SKEW: Duration = Duration::from_secs(10);
/// A connection that works, as far as is known.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Names this start of the Redis server.
    pub(super) run: Arc<str>,
    /// By [`Script`].
    shas: Arc<[String]>,
    serial: u64,
}

/// What Redis' clock said, and when.
#[derive(Debug, Clone, Copy)]
struct RedisClock {
    ms: u64,
    at: Instant,
}

/// The connection, or none at the moment.
pub(super) struct Client {
    client: redis::Client,
    /// Of the scripts.
    sources: &'static [&'static str],
    live: watch::Sender<Option<Live>>,
    clock: watch::Sender<Option<RedisClock>>,
    broken: Notify,
    serials: AtomicU64,
}

impl Client {
    /// Connects for the first time, and looks whether this Redis will do.
    pub(super) async fn open(
        client: redis::Client,
        shown: &str,
        sources: &'static [&'static str],
    ) -> Result<Self, OpenError> {
        let this = Client {
            client,
            sources,
            live: watch::Sender::new(None),
            clock: watch::Sender::new(None),
            broken: Notify::new(),
            serials: AtomicU64::new(0),
        };
        let live = this.connect().await.map_err(|why| why.named(shown))?;
        this.live.send_replace(Some(live));
        Ok(this)
    }

    /// The driver's own way in, for subscriptions.
    pub(super) fn driver(&self) -> &redis::Client {
        &self.client
    }

    async fn connect(&self) -> Result<Live, Refusal> {
        let deadline = Instant::now() + CONNECT;
        let work = async {
            // Deadlines are the callers' own.
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(None)
                .set_connection_timeout(Some(CONNECT));
            let mut connection =
                self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
            let run = check(&info)?;
            let mut load = redis::pipe();
            for source in self.sources {
                load.cmd("SCRIPT").arg("LOAD").arg(*source);
            }
            let shas: Vec<String> = load.query_async(&mut connection).await?;
            let (seconds, micros): (u64, u64) =
                redis::cmd("TIME").query_async(&mut connection).await?;
            self.set_clock(seconds * 1000 + micros / 1000);
            Ok(Live {
                connection,
                run,
                shas: shas.into(),
                serial: self.serials.fetch_add(1, Relaxed),
            })
        };
        timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_| Err(Refusal::Unreachable(format!("no answer within {CONNECT:?}"))))
    }

    /// To be told of new connections.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Live>> {
        self.live.subscribe()
    }

    /// Keeps it up, for ever.
    pub(super) async fn keep(&self) {
        loop {
            // Not by the notice alone: whoever kept it up before may have failed after it.
            while self.live.borrow().is_some() {
                self.broken.notified().await;
            }
            let (mut pause, mut told) = (PAUSES.0, false);
            let live = loop {
                match self.connect().await {
                    Ok(live) => break live,
                    Err(why) => {
                        told |= throttled!(error, %why, "Redis can't be used; trying again until it can")
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            };
            if told {
                tracing::warn!("connected to Redis again");
            } else {
                throttled!(warn, "connected to Redis again");
            }
            self.live.send_replace(Some(live));
        }
    }

    /// The connection, if there is one.
    pub(super) fn live(&self) -> Result<Live, Failure> {
        self.live
            .borrow()
            .clone()
            .ok_or_else(|| Failure::Unsent("there is no connection to Redis".into()))
    }

    /// The connection, waited for.
    pub(super) async fn live_by(&self, deadline: Instant) -> Result<Live, Failure> {
        let mut watch = self.live.subscribe();
        let found = timeout_at(deadline, watch.wait_for(Option::is_some)).await;
        found
            .ok()
            .and_then(Result::ok)
            .and_then(|live| live.clone())
            .ok_or_else(|| Failure::Unsent("there is no connection to Redis".into()))
    }

    /// This connection does not work.
    pub(super) fn broke(&self, live: &Live) {
        let ended = self.live.send_if_modified(|now| {
            let same = now.as_ref().is_some_and(|now| now.serial == live.serial);
            if same {
                *now = None;
            }
            same
        });
        if ended {
            self.broken.notify_one();
        }
    }

    /// Redis' clock said this just now, or a little while ago: of what was said lately the latest
    /// counts.
    pub(super) fn set_clock(&self, ms: u64) {
        let at = Instant::now();
        // A lead melts away, should Redis' clock be the slower one; a single late answer changes
        // little.
        let age = self
            .clock
            .borrow()
            .map_or(0, |clock| at.saturating_duration_since(clock.at).as_millis() as u64);
        let known = self.redis_ms(at).saturating_sub(age / 10);
        let ms =
            if known.saturating_sub(ms) < SKEW.as_millis() as u64 { ms.max(known) } else { ms };
        self.clock.send_replace(Some(RedisClock { ms, at }));
    }

    /// What Redis' clock will say at that moment, rather less than more.
    pub(super) fn redis_ms(&self, at: Instant) -> u64 {
        let clock = *self.clock.borrow();
        clock
            .map_or(0, |clock| clock.ms + at.saturating_duration_since(clock.at).as_millis() as u64)
    }

    /// Runs a script on this connection; `arguments` are all of its.
    pub(super) async fn run(
        &self,
        live: &Live,
        script: Script,
        arguments: &Arguments,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let command = arguments.command(&live.shas[script as usize]);
        let done = self.send(live, &command, deadline).await;
        if matches!(done, Err(Failure::Unanswered(_))) && !script.reads() {
            self.broke(live);
        }
        match done {
            Err(Failure::Refused(why)) if why.starts_with("NOSCRIPT") => {
                // Somebody made Redis forget them.
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(self.sources[script as usize]);
                self.send(live, &load, deadline).await?;
                self.send(live, &command, deadline).await
            }
            done => done,
        }
    }

    /// Sends a command that only reads on this connection.
    pub(super) async fn ask(
        &self,
        live: &Live,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        self.send(live, command, deadline).await.map_err(Failure::of_reading)
    }

    /// Sends a command on this connection.
    pub(super) async fn send(
        &self,
        live: &Live,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let mut connection = live.connection.clone();
        let answer = match timeout_at(deadline, connection.send_packed_command(command)).await {
            Ok(answer) => answer.and_then(Value::extract_error),
            Err(_) => return Err(Failure::Unanswered("Redis did not answer in time".into())),
        };
        answer.map_err(|error| {
            let failure = failure(&error);
            if matches!(failure, Failure::Unanswered(_))
                || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly))
            {
                self.broke(live); // a server that has become a replica: the new one may be found by connecting again
            }
            failure
        })
    }
}
