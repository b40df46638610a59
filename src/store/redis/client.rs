//! The connection for commands: one, shared, kept up by [`Client::keep`].
//!
//! A call either has its answer, or failed before anything was sent, or was refused by Redis, which
//! then changed nothing, or its outcome is not known. While there is no connection every call fails
//! at once. A change without an answer in time ends the connection for all that come later; what
//! only reads may take long without that.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use super::{
    OpenError,
    script::{SOURCES, Script},
};
use crate::domain::{broker::Placed, error::StoreError, ids::ConnectionId};
use crate::throttle::throttled;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// First and longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// What Redis says where a script does what its user may not do.
const RIGHTS: [&str; 2] = ["executing the script can't", "No permissions to access"];
/// An answer that is later than that means that Redis' clock was set back.
const SKEW: Duration = Duration::from_secs(10);
/// The oldest Redis whose scripts may look at the clock and write.
const OLDEST: u32 = 6;

/// Why a call has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing was sent.
    #[error("{0}")]
    Unsent(String),
    /// Redis did not do it.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// Redis did not do it: the time that the caller gave was over.
    #[error("Redis was asked too late")]
    Expired,
    /// Redis did not do it: this node's lease is lost.
    #[error("this node was taken for dead by the others")]
    Lost,
    /// Redis did not do it: these connections were kicked out, and had a part in it.
    #[error("a session was taken over meanwhile")]
    Evicted(Vec<ConnectionId>),
    /// Redis did not do it: what is at these places of the batch is to be left out, for this reason.
    #[error("the room has no place for some of the updates, or knows the keys of some inserts")]
    LeaveOut(Vec<(usize, Placed)>),
    /// Redis did not do it: the room's log has to be forgotten first, as its time is over.
    #[error("the time of the room's log is over")]
    Due,
    /// Redis did not answer.
    #[error("{0}")]
    Unanswered(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsent(_)
            | Failure::Refused(_)
            | Failure::Expired
            | Failure::Lost
            | Failure::Evicted(_)
            | Failure::LeaveOut(_)
            | Failure::Due => StoreError::Unavailable(failure.to_string()),
            Failure::Unanswered(why) => StoreError::OutcomeUnknown(why),
        }
    }
}

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
    live: watch::Sender<Option<Live>>,
    clock: watch::Sender<Option<RedisClock>>,
    broken: Notify,
    serials: AtomicU64,
}

impl Client {
    /// Connects for the first time, and looks whether this Redis will do.
    pub(super) async fn open(client: redis::Client, shown: &str) -> Result<Self, OpenError> {
        let this = Client {
            client,
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
            for source in SOURCES {
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
                load.arg("LOAD").arg(SOURCES[script as usize]);
                self.send(live, &load, deadline).await?;
                self.send(live, &command, deadline).await
            }
            done => done,
        }
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

fn failure(error: &RedisError) -> Failure {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    let text = || if code.is_empty() { error.to_string() } else { format!("{code} {detail}") };
    match error.kind() {
        _ if code == "AOEXPIRED" => Failure::Expired,
        _ if code == "AOLOST" => Failure::Lost,
        _ if code == "AODUE" => Failure::Due,
        _ if code == "AOEVICTED" => Failure::Evicted(
            detail.split(' ').filter_map(|c| c.parse().ok().map(ConnectionId)).collect(),
        ),
        _ if code == "AOREFUSED" => {
            Failure::LeaveOut(detail.split(' ').filter_map(left_out).collect())
        }
        _ if RIGHTS.iter().any(|words| detail.contains(words)) => Failure::Refused(format!(
            "its user lacks a right that is needed, see the README ({})",
            text()
        )),
        ErrorKind::Server(_) | ErrorKind::Extension => Failure::Refused(text()),
        _ => Failure::Unanswered(error.to_string()),
    }
}

/// A place in a batch, and why nothing is to be there: a letter, and the place as Lua counts, from
/// one.
fn left_out(word: &str) -> Option<(usize, Placed)> {
    let (why, place) = word.split_at_checked(1)?;
    let why = match why {
        "f" => Placed::Full,
        "d" => Placed::Duplicate,
        _ => return None,
    };
    Some((place.parse::<usize>().ok()?.checked_sub(1)?, why))
}

/// Whether what Redis refuses now may be done later.
pub(super) fn passes(why: &str) -> bool {
    ["BUSY", "LOADING", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "NOREPLICAS"]
        .iter()
        .any(|word| why.contains(word))
}

/// Why a Redis can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Unreachable(String),
    #[error("it refuses the user or password in the URL ({0})")]
    Credentials(String),
    #[error("{0}")]
    Unsuitable(String),
}

impl From<RedisError> for Refusal {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::AuthenticationFailed => Refusal::Credentials(text),
            ErrorKind::Server(ServerErrorKind::NoPerm) => Refusal::Unsuitable(format!(
                "its user lacks a right that is needed: INFO, SCRIPT LOAD, EVALSHA, TIME, SUBSCRIBE ({text})"
            )),
            ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                Refusal::Unreachable("it is still loading its data".into())
            }
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Refusal::Credentials(text),
            _ => Refusal::Unreachable(text),
        }
    }
}

impl Refusal {
    fn named(self, shown: &str) -> OpenError {
        let url = shown.to_owned();
        match self {
            Refusal::Unreachable(why) => OpenError::Unreachable { url, why },
            Refusal::Credentials(why) => OpenError::Credentials { url, why },
            Refusal::Unsuitable(why) => OpenError::Unsuitable { url, why },
        }
    }
}

/// Looks whether this Redis will do; returns the name of its start.
fn check(info: &str) -> Result<Arc<str>, Refusal> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let version = field("redis_version").unwrap_or("0");
    if version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_none_or(|major| major < OLDEST)
    {
        return Err(Refusal::Unsuitable(format!(
            "it is Redis {version}; {OLDEST}.0 or newer is needed"
        )));
    }
    if field("cluster_enabled") == Some("1") {
        return Err(Refusal::Unsuitable(
            "it is a Redis Cluster; a single server, or a primary with replicas, is needed".into(),
        ));
    }
    if field("role").is_some_and(|role| role != "master") {
        return Err(Refusal::Unsuitable("it is a read-only replica; name its primary".into()));
    }
    Ok(field("run_id").unwrap_or(version).into())
}

/// What a script is given.
pub(super) struct Arguments {
    parts: Vec<Vec<u8>>,
    shared: Vec<bytes::Bytes>,
}

impl Arguments {
    /// Those that all scripts are given.
    pub(super) fn new(prefix: &str, channels: &str, node: &str, run: &str, expiry: u64) -> Self {
        let parts = [prefix, channels, node, run]
            .map(|part| part.as_bytes().to_vec())
            .into_iter()
            .chain([expiry.to_string().into_bytes()]);
        Arguments { parts: parts.collect(), shared: Vec::new() }
    }

    pub(super) fn text(mut self, argument: &str) -> Self {
        self.parts.push(argument.as_bytes().to_vec());
        self
    }

    pub(super) fn number(mut self, argument: u64) -> Self {
        self.parts.push(argument.to_string().into_bytes());
        self
    }

    /// Behind all others.
    pub(super) fn bodies(mut self, bodies: Vec<bytes::Bytes>) -> Self {
        self.shared = bodies;
        self
    }

    fn command(&self, sha: &str) -> Cmd {
        let size = self.parts.iter().map(Vec::len).sum::<usize>()
            + self.shared.iter().map(bytes::Bytes::len).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + self.parts.len() + self.shared.len(), size + 128);
        command.arg("EVALSHA").arg(sha).arg(0);
        self.parts.iter().for_each(|part| {
            command.arg(part.as_slice());
        });
        self.shared.iter().for_each(|body| {
            command.arg(&body[..]);
        });
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_will_not_do_is_told_apart() {
        let info = |version: &str, cluster: u8, role: &str| {
            format!(
                "# Server\r\nredis_version:{version}\r\nrun_id:abc\r\n# Replication\r\nrole:{role}\r\ncluster_enabled:{cluster}\r\n"
            )
        };
        assert_eq!(&*check(&info("6.0.0", 0, "master")).unwrap(), "abc");
        assert_eq!(&*check(&info("7.0.15", 0, "master")).unwrap(), "abc");
        for (bad, why) in [
            (info("5.0.14", 0, "master"), "Redis 5.0.14"),
            (info("7.0.0", 1, "master"), "Cluster"),
            (info("7.0.0", 0, "slave"), "replica"),
            (String::new(), "Redis 0"),
        ] {
            assert!(check(&bad).unwrap_err().to_string().contains(why), "{bad}");
        }
    }
}
