//! The store for many nodes: messages, order, presence and limits in one Redis server, on the keys
//! of the service that this one replaces.
//!
//! ```text
//! publish, clear, enter, depart, … ──► one script each: stores, counts, PUBLISHes
//!                                      (client: the connection for commands)
//! PUBLISH ──► every node with members of the room ──► its members, in the order of n
//!                                      (subscriber: the connection that listens)
//! lease: a sign of life every third of its length; who has none is declared dead, and its rooms
//!        are told
//! ```
//!
//! The keys, and what is there:
//!
//! - `msg_{room}_insert` list, `_update` hash by id, `_update_backup`, `_ignore` lists: the
//!   original's; entries are `{"data":…,"ts":…}`, in updates also `n`, in inserts of rooms that the
//!   original can't name also `ms`; of a recalled insert `data` is named `recalled`
//! - `ao:seq:{room}` hash: n, epoch, base, from, the next place, where it was cleared and something
//!   recalled, the last batch of each node that is there, number and bytes of the updates; of the
//!   log `next` (the index behind its last insert; then that of its first, where it is not 0),
//!   `kept` (where it was trimmed: the indexes of offset 0, of the first insert that is shown, and
//!   of the list's first) and `due`, when it ends; `named`, how readers know a log that was copied
//!   here
//! - `ao:log:{room}` hash: `due`, where the counters may go before
//! - `ao:floor`: where a log begins that has no counters (yet, or any more): behind all indexes of
//!   those whose counters went; a life (`Space::Lives`) begins with 0, and its counters stay until
//!   it is forgotten
//! - `ao:keys:{room}` zset: the keys of the newest inserts that have one, by their index; it goes
//!   with the log
//! - `ao:expiring` zset: rooms by the time when their log is forgotten, or when some of what was
//!   trimmed is to be deleted
//! - `ao:replay:{room}` list: the latest publications, at most 1 MiB or one, for a minute
//! - `ao:members:{room}` hash, `ao:rooms` set: who is there: `c{node}:{connection}` or `h{uid}`
//!   (held) → place, flag, uid; the connections of a user have one place, those that are hidden
//!   another
//! - `ao:online` zset: who is online: `{uid}` and, in a second line, `{node}:{connection}`, all
//!   with the score 0; but for guests, and sessions that were taken over
//! - `ao:seats:{room}`, `ao:occupied` zsets: fields of `ao:members:{room}`, one of each place, by
//!   its number; the rooms of `ao:rooms`, sorted. Made when a page is asked for, kept up for a
//!   minute, the rooms for one after they were asked for last, then gone
//! - `ao:sessions` hash, `ao:at:{node}:{connection}` set, `ao:socket:{node}:{connection}`,
//!   `ao:holds:{uid}` set: session of a uid; rooms of a connection; the public name of one that
//!   never claims a session, until it ends; rooms held for a uid
//! - `ao:nodes` zset, `ao:stats` and `ao:figures` hashes, `ao:dead` set, `ao:conns:{node}`,
//!   `ao:evicted:{node}`, `ao:expelled:{node}`, `ao:ending:{node}`, `ao:recheck:{node}`,
//!   `ao:batches:{node}` sets: leases, and what a node leaves behind
//! - `ao:revoked:{uid}`, `ao:revocations`: revocations of credentials: the latest of a uid, for a
//!   while; the latest of all
//! - `ao:rate:{uid}`, `ao:user_auth`, `ao:user_auth_serial`: rate limits; the switch of user
//!   authentication
//! - `ao:receipt:{key}`: what was done once, for a day: see `receipts.rs`
//! - `ao:record:{collection}:{id}` hash, `ao:records:all:{collection}` zset,
//!   `ao:records:by:{collection}:{index}:{value}` zset, `ao:records:due` zset: records where there
//!   is no MongoDB: see `records.rs`; ids of all, and of those that have a value; collection and id
//!   by their end
//! - `ao:hooks:…`: webhooks, where there are any: what is to be told, and who was told to be there
//!   (`lua/queues.lua`, `lua/hooks.lua`)
//! - `ao:jobs` set, `ao:jobs:{id}`: the jobs that are not done, and each of them (JSON); one that
//!   is done for 30 days
//! - `ao:retention`: the node that applies retention and erases, while it lives and goes on with
//!   that
//! - `ao:aged:{room}`: for a while behind a look through a room's updates for what is due, where
//!   these are many
//! - `ao:probe`: written by the question whether the server is ready, for ten seconds
//!
//! The epoch names a life of the Redis server for a room. A server that starts again may have lost
//! the last moments, and counts on from what it has (`base`): nodes that had come further notice by
//! that, and their members come back and read the log. Nodes that had come as far compare in
//! which epoch that place was taken (`from`): after two losses the same number may mean another
//! publication. What nobody is told, a hidden join for one, has its place in the order too, so that
//! its loss is noticed.
mod answer;
mod archive;
mod broker;
mod client;
mod debts;
mod directory;
mod edition;
mod entry;
mod erase;
mod examine;
mod follow;
mod heal;
mod lease;
mod limits;
mod nodes;
mod outbox;
mod places;
mod presence;
mod publish;
mod receipts;
mod records;
mod rest;
mod revocations;
mod script;
mod subscriber;
mod switch;
#[cfg(test)]
mod tests;
mod upkeep;
mod walk;
mod wire;

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, Weak, atomic::AtomicU64},
    time::Duration,
};

use redis::{IntoConnectionInfo, Value};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    archive::RedisArchive,
    examine::{Facts, examine},
    outbox::ParkedInRedis,
    revocations::revoke,
};
use self::{
    client::{Arguments, Client, Failure, Live},
    debts::Debts,
    follow::Rooms,
    nodes::Questions,
    outbox::Hooks,
    script::{PLAIN, Script, TELLING},
    subscriber::Subscriptions,
    switch::Switch,
};
use crate::domain::{
    broker::{Publication, RoomSink, Sink, UpdateLimit},
    clock::{Rng, alphanumeric},
    cluster::NodeSink,
    directory::Ending,
    error::StoreError,
    ids::{ConnectionId, RoomId},
    message::form::Forms,
    outbox::Interest,
    presence::SessionSink,
    retention::Rules,
    supervise::Supervisor,
};
use crate::lock::lock;

/// Characters of a node's name.
const NODE: usize = 12;

/// How to open the store.
pub struct Options {
    /// `redis://user:password@host:port/database`, or `rediss://`.
    pub url: String,
    /// The URL as it may be shown.
    pub shown: String,
    /// What all keys and channels begin with.
    pub prefix: String,
    /// How long a call may wait for its answer.
    pub deadline: Duration,
    /// A node without a sign of life for so long is dead.
    pub lease: Duration,
    /// Time between two signs of life; a third of the lease at most.
    pub beat: Duration,
    /// Whether what the original kept of replaced and ignored messages is kept here too.
    pub backups: bool,
    /// Rooms that nobody is in and that nothing was stored in for so long are deleted; none: they
    /// are kept.
    pub room_expiry: Option<Duration>,
    /// Successful authentications of one uid, and the window they are counted in; none: any
    /// number.
    pub rate_limit: Option<(u32, Duration)>,
    /// How much a room's updates may be.
    pub updates: UpdateLimit,
    /// What webhooks are told of; none: nothing is written for them.
    pub hooks: Option<Interest>,
    /// What of which rooms is kept.
    pub retention: Arc<Rules>,
    /// How messages are written, as far as a dialect has its own way.
    pub forms: Forms,
    /// Random numbers, for the node's name.
    pub rng: Arc<dyn Rng>,
    /// Every task is spawned on its tracker.
    pub supervisor: Supervisor,
}

/// Why the store can't be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is malformed.
    #[error("{url} is no URL of a Redis server ({why}): check AO_STORE__MESSAGES")]
    Url {
        /// The URL, without its secrets.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// No connection, no answer in time, or Redis is still loading its data.
    #[error("Redis at {url} can't be reached ({why}): start it, or check AO_STORE__MESSAGES")]
    Unreachable {
        /// The URL, without its secrets.
        url: String,
        /// What the system or Redis says.
        why: String,
    },
    /// User or password are wrong, or missing.
    #[error("Redis at {url} lets nobody in: {why}; check AO_STORE__MESSAGES")]
    Credentials {
        /// The URL, without its secrets.
        url: String,
        /// What Redis says.
        why: String,
    },
    /// Redis answers, but not as is needed: a read-only replica, or a right is missing.
    #[error("Redis at {url} can't be used: {why}; check AO_STORE__MESSAGES")]
    Unsuitable {
        /// The URL, without its secrets.
        url: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The system gives no random numbers; this is what it says.
    #[error("{0}")]
    Random(String),
}

/// The store on Redis: `Broker`, `Upkeep`, `Presence`, `Cluster`, `Records` and `Limits` in one.
pub struct Redis {
    me: Weak<Redis>,
    client: Client,
    /// What is told to webhooks, if there are any.
    hooks: Option<Hooks>,
    /// What channels begin with; they are not apart by database, as keys are.
    channels: String,
    options: Options,
    /// This node's name. A node that was taken for dead goes on under another one.
    node: Mutex<Arc<str>>,
    sink: Mutex<Arc<dyn Sink>>,
    rooms: Rooms,
    subscriptions: Subscriptions,
    listening: watch::Sender<bool>,
    /// How often listening was begun.
    listeners: AtomicU64,
    /// How user authentication was switched, as far as is known.
    user_auth: Mutex<Option<Switch>>,
    debts: Debts,
    /// The last revocation of credentials that is known here.
    revocations: AtomicU64,
    /// Connections that sign in just now.
    claiming: Mutex<HashSet<ConnectionId>>,
    /// What this node has asked others.
    questions: Questions,
    /// This node was taken for dead: the sooner it says so the better.
    beat_now: Notify,
    /// Connections that this node had when it was taken for dead, until they have ended.
    lost: Mutex<HashSet<ConnectionId>>,
    /// Dead nodes that this one is taking out.
    reaping: Arc<Mutex<HashSet<String>>>,
    batches: AtomicU64,
    /// Rooms that are not followed any more, and whose last batches must be known for a while yet.
    left: Mutex<HashSet<RoomId>>,
    ended: CancellationToken,
}

impl Redis {
    /// Connects, looks whether this Redis will do, and makes this node one of its nodes.
    pub async fn open(mut options: Options) -> Result<Arc<Self>, OpenError> {
        let (address, channels) = address(&options.url, &options.shown, &options.prefix)?;
        let hooks = options.hooks.take().map(|interest| Hooks::new(interest, options.forms));
        let sources = if hooks.is_some() { TELLING } else { PLAIN };
        let client = Client::open(address, &options.shown, sources).await?;
        let node =
            alphanumeric(&*options.rng, NODE).map_err(|e| OpenError::Random(e.to_string()))?;
        let this = Arc::new_cyclic(|me| Redis {
            me: me.clone(),
            client,
            hooks,
            channels,
            node: Mutex::new(node.into()),
            sink: Mutex::new(Arc::new(Nobody)),
            rooms: Rooms::default(),
            subscriptions: Subscriptions::default(),
            listening: watch::Sender::new(false),
            listeners: AtomicU64::new(0),
            user_auth: Mutex::default(),
            reaping: Arc::default(),
            claiming: Mutex::default(),
            questions: Questions::default(),
            beat_now: Notify::new(),
            lost: Mutex::default(),
            debts: Debts::default(),
            revocations: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            left: Mutex::default(),
            ended: CancellationToken::new(),
            options,
        });
        this.register().await.map_err(|e| OpenError::Unsuitable {
            url: this.options.shown.clone(),
            why: e.to_string(),
        })?;
        let listening = this
            .listen_first()
            .await
            .map_err(|e| OpenError::Unsuitable { url: this.options.shown.clone(), why: e })?;
        this.keep("connection to Redis", async |this| this.client.keep().await);
        let mut begun = Some(listening);
        this.keep("listening to Redis", move |this| this.listen(begun.take()));
        this.keep("signs of life", Self::keep_lease);
        let mut again = false;
        this.keep("restarts of Redis", move |this| {
            this.watch_restarts(std::mem::replace(&mut again, true))
        });
        this.keep("revocations", Self::keep_looking);
        this.keep("expired records", Self::keep_sweeping);
        Ok(this)
    }

    /// Does something for as long as the store is open.
    fn keep<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        task: &'static str,
        mut work: impl FnMut(Arc<Self>) -> F + Send + 'static,
    ) {
        let this = self.clone();
        self.options.supervisor.keep(task, &self.ended, move || work(this.clone()));
    }

    /// For what outlives a call.
    fn this(&self) -> Result<Arc<Self>, StoreError> {
        self.me.upgrade().ok_or_else(|| StoreError::Unavailable("the store is closed".into()))
    }

    fn node(&self) -> Arc<str> {
        lock(&self.node).clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        lock(&self.sink).clone()
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.options.supervisor.tasks.spawn(self.ended.clone().run_until_cancelled_owned(work));
    }

    /// Milliseconds until an unused room is deleted; 0: never.
    fn room_expiry(&self) -> u64 {
        self.options.room_expiry.map_or(0, |after| after.as_millis() as u64)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    /// The arguments that all scripts are given; nothing is done by it after `expiry`.
    fn arguments(&self, node: &str, live: &Live, expiry: Option<Instant>) -> Arguments {
        let expiry = expiry.map_or(0, |at| self.client.redis_ms(at));
        Arguments::new(&self.options.prefix, &self.channels, node, &live.run, expiry)
    }

    /// Runs a script once, if there is a connection. It has no effect after the deadline, where it
    /// looks at that.
    async fn call(
        &self,
        script: Script,
        deadline: Instant,
        with: impl FnOnce(Arguments) -> Arguments,
    ) -> Result<Value, Failure> {
        self.call_as(&self.node(), script, deadline, with).await
    }

    /// Under this name, whether or not it is still this node's.
    async fn call_as(
        &self,
        node: &str,
        script: Script,
        deadline: Instant,
        with: impl FnOnce(Arguments) -> Arguments,
    ) -> Result<Value, Failure> {
        if self.ended.is_cancelled() {
            return Err(Failure::Unsent("the store is closed".into()));
        }
        let live = self.client.live()?;
        let mut arguments = with(self.arguments(node, &live, Some(deadline)));
        if let Some(hooks) = self.hooks.as_ref().filter(|_| script.tells()) {
            arguments = arguments.bodies([hooks.spec.clone()]);
        }
        let done = self.client.run(&live, script, &arguments, deadline).await;
        let done = if script.reads() { done.map_err(Failure::of_reading) } else { done };
        let done = self.heard(script, done);
        if matches!(done, Err(Failure::Lost)) {
            self.beat_now.notify_one();
        }
        done
    }

    /// What a script has answered, and whoever sends webhooks is told if there is something.
    fn heard(&self, script: Script, done: Result<Value, Failure>) -> Result<Value, Failure> {
        match self.hooks.as_ref().filter(|_| script.tells()) {
            Some(hooks) => hooks.heard(done),
            None => done,
        }
    }
}

/// The server, and what channels begin with there.
fn address(url: &str, shown: &str, prefix: &str) -> Result<(redis::Client, String), OpenError> {
    let bad_url =
        |e: redis::RedisError| OpenError::Url { url: shown.to_owned(), why: e.to_string() };
    let info = url.into_connection_info().map_err(bad_url)?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let info = info.set_tcp_settings(tcp);
    let channels = format!("{prefix}ao:{}:", info.redis_settings().db());
    Ok((redis::Client::open(info).map_err(bad_url)?, channels))
}

/// Before anybody listens.
struct Nobody;

impl RoomSink for Nobody {
    fn deliver(&self, _: &RoomId, _: Vec<Publication>) {}
    fn invalidate(&self, _: &RoomId) {}
    fn missed(&self, _: &RoomId, _: u64) {}
}

impl SessionSink for Nobody {
    fn evict(&self, _: ConnectionId) {}
    fn revoke(&self, _: ConnectionId) {}
    fn sessions(&self) -> Vec<ConnectionId> {
        Vec::new()
    }
    fn send_back(&self, _: ConnectionId) {}
    fn disconnect(&self, _: ConnectionId, _: Ending) {}
}

impl NodeSink for Nobody {
    fn force_user_auth(&self, _: Option<bool>) {}
    fn open_connections(&self) -> u64 {
        0
    }
}
