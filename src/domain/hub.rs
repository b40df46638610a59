//! What a node has: its rooms, its connections, and what they rest on. The way in for dialects and for
//! HTTP: nobody else calls the stores that share a room's order.
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use self::sink::WeakHub;
use super::{
    attempts::Attempts,
    broker::{Entry, Page, PageLimit, Trim, Trimmed},
    cluster::{Figures, Node},
    erase::Erasure,
    error::StoreError,
    history::{self, Building, History},
    ids::{ConnectionId, RoomId, Uid},
    nodes::Listeners,
    presence::{Departure, Visitor},
    quota::{Excess, Quotas, Used},
    retention::Walk,
    room::{Answer, Room, Rooms},
    services::{Services, Stores},
    subscriber::{Outcome, Subscriber},
};
use crate::{
    live::Live,
    lock::lock,
    metrics::{self, Call},
};

mod nodes;
mod people;
mod revoke;
mod sink;

pub use super::history::Standing;

/// What is sent into a room that has ended comes no later than this: clients and nodes give up long
/// before.
pub const LATE: Duration = Duration::from_secs(600);

/// The core of one node. Of [`Services`] it has all.
pub struct Hub {
    stores: Arc<Stores>,
    services: Arc<Services>,
    rooms: Arc<Rooms>,
    /// Where pages of rooms are asked for.
    pages: history::Budget,
    connections: Mutex<HashMap<ConnectionId, Registered>>,
    next_connection: AtomicU64,
    /// As configured, and as it is now.
    configured_user_auth: bool,
    force_user_auth: AtomicBool,
    open: AtomicUsize,
    ready: AtomicBool,
    starting: AtomicBool,
    /// Jobs may have been given.
    pub(super) given: Notify,
    /// What dialects do about what other nodes ask.
    listeners: Listeners,
    /// What one connection may do.
    pub quotas: Arc<Live<Quotas>>,
    /// Sign-ins that failed.
    pub attempts: Attempts,
    /// Whether a line of the log tells of each connection that has ended.
    pub logs_connections: AtomicBool,
    begun: Instant,
}

/// A connection that the stores may name.
struct Registered {
    subscriber: Arc<dyn Subscriber>,
    /// It never has a session.
    guest: bool,
}

impl Deref for Hub {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Hub {
    /// Builds it and tells the stores where to deliver. `force_user_auth`: whether users must
    /// present a valid token, as configured.
    pub fn new(stores: Stores, services: Services, force_user_auth: bool) -> Arc<Self> {
        let (stores, services) = (Arc::new(stores), Arc::new(services));
        let listeners = Listeners::new(services.tasks.clone(), services.metrics.clone());
        let hub = Arc::new(Hub {
            rooms: Rooms::new(stores.clone(), services.clone()),
            stores,
            services,
            pages: history::Budget::default(),
            connections: Mutex::default(),
            next_connection: AtomicU64::new(1),
            configured_user_auth: force_user_auth,
            force_user_auth: AtomicBool::new(force_user_auth),
            open: AtomicUsize::new(0),
            ready: AtomicBool::new(false),
            starting: AtomicBool::new(false),
            given: Notify::new(),
            listeners,
            quotas: Live::new(Quotas::default()),
            attempts: Attempts::default(),
            logs_connections: AtomicBool::new(false),
            begun: Instant::now(),
        });
        hub.stores.broker.start(Arc::new(WeakHub(Arc::downgrade(&hub))));
        hub
    }
}

/// Rooms: comings and goings, and what is said.
impl Hub {
    /// Puts the visitor into the room. `answer` is called with the outcome, before the newcomer
    /// gets anything else of the room. Returns the room when it worked.
    pub async fn enter(
        &self,
        room: &RoomId,
        visitor: Visitor,
        subscriber: Arc<dyn Subscriber>,
        answer: Answer,
    ) -> Option<Arc<Room>> {
        self.rooms.enter(room, visitor, subscriber, answer).await
    }

    /// Whether a connection, which is in `rooms` others, may enter the room as far as its
    /// [`Quotas`] are concerned. What it uses up is kept in `used`.
    ///
    /// # Errors
    /// Which of them it would exceed; that is counted.
    pub fn may_enter(&self, room: &RoomId, rooms: usize, used: &mut Used) -> Result<(), Excess> {
        let is_new = || self.rooms.get(room).is_none();
        used.join(self.quotas.get(), rooms, is_new, Instant::now())
            .inspect_err(|excess| self.metrics.join_refused(*excess))
    }

    /// Takes the connection out of the room, behind all that was sent there before. Returns how
    /// many connections of its uid are left there: see
    /// [`Presence::depart`](super::presence::Presence::depart).
    ///
    /// # Errors
    /// Those of the store, which are in the log. Nothing more is delivered to it nonetheless.
    pub async fn depart(
        &self,
        room: &RoomId,
        connection: ConnectionId,
        departure: Departure,
    ) -> Result<Option<u64>, StoreError> {
        self.rooms.depart(room, connection, departure).await
    }

    /// Gives up the place held for `uid`, unless another connection than `by` has its session by
    /// then.
    pub fn release(&self, room: &RoomId, uid: &Uid, by: ConnectionId) {
        self.rooms.release(room, uid, by);
    }

    /// Sends something of the server's own into the room; it may be lost when the store is out.
    pub fn announce(&self, room: &RoomId, entry: Entry) {
        self.rooms.announce(room, entry);
    }

    /// Sends something into a room that comes from no member, and waits for what becomes of it.
    /// `bytes` is its size. Members send by [`Room::send`].
    pub async fn publish(&self, room: &RoomId, entry: Entry, bytes: usize) -> Outcome {
        self.rooms.publish(room, entry, bytes).await
    }

    /// Sends something into a room that its sender need not be a member of, behind all that was
    /// sent there before. `sender` is told by [`Subscriber::settled`] what became of it, with `ack`
    /// as given here; maybe before this returns.
    pub fn send(
        &self,
        room: &RoomId,
        entry: Entry,
        bytes: usize,
        sender: Arc<dyn Subscriber>,
        ack: Option<i64>,
    ) {
        self.rooms.send(room, entry, bytes, sender, ack);
    }

    /// As [`Hub::publish`], of several, one behind the other with nothing between them: where that
    /// is possible they are one batch. Tells what becomes of each.
    pub async fn publish_all(&self, room: &RoomId, entries: Vec<(Entry, usize)>) -> Vec<Outcome> {
        self.rooms.publish_all(room, entries).await
    }

    /// Rooms on this node.
    pub fn local_rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Has the metrics say what there is in rooms now. It looks at each: call it now and then.
    pub fn take_stock(&self) {
        let stock = self.rooms.stock();
        let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
        self.metrics.node.rooms.set_count(count(stock.rooms));
        self.metrics.node.members.set_count(count(stock.members));
        self.metrics.messages.pending.set_count(count(stock.jobs));
        self.metrics.messages.pending_bytes.set_count(count(stock.bytes));
    }
}

/// The logs of rooms.
impl Hub {
    /// Waits until a page may be built for a client: see [`history::Budget`].
    ///
    /// # Errors
    /// The server has ended.
    pub async fn begin_page(&self) -> Result<Building, StoreError> {
        self.pages.begin().await
    }

    /// As [`Hub::begin_page`], for a page of so many bytes, which will be there so many times at
    /// once: see [`history::Budget::begin_large`].
    ///
    /// # Errors
    /// The server has ended.
    pub async fn begin_large_page(
        &self,
        bytes: usize,
        times: usize,
    ) -> Result<Building, StoreError> {
        self.pages.begin_large(bytes, times).await
    }

    /// The page that begins at the log's offset `from`, with the updates behind the last one. Its
    /// bytes will be there so many times at once.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn history(
        &self,
        building: Building,
        room: &RoomId,
        from: u64,
        times: usize,
    ) -> Result<History, StoreError> {
        let read = self.pages.read(building, &*self.stores.broker, room, from, times);
        self.metrics.store.timed(Call::Page, read).await
    }

    /// A stretch of the log from its offset `from` on, without updates. It is read at once, and not
    /// counted among the pages that clients wait for: keep it small.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn page(
        &self,
        room: &RoomId,
        from: u64,
        limit: PageLimit,
    ) -> Result<Page, StoreError> {
        self.metrics.store.timed(Call::Page, self.stores.broker.page(room, from, limit)).await
    }

    /// How far the room has come, if its updates have `most` bytes at most. It is read at once, as
    /// by [`Hub::page`]: keep `most` small.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn standing(&self, room: &RoomId, most: usize) -> Result<Standing, StoreError> {
        let read = Standing::read(&*self.stores.broker, room, most);
        self.metrics.store.timed(Call::Page, read).await
    }

    /// Names the log as it is now: see [`Broker::edition`](super::broker::Broker::edition).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn edition(&self, room: &RoomId) -> Result<u64, StoreError> {
        self.metrics.store.timed(Call::Edition, self.stores.broker.edition(room)).await
    }

    /// Forgets the room's log.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn clear(&self, room: &RoomId) -> Result<(), StoreError> {
        self.rooms.clear(room).await
    }

    /// Hides an insert from everybody for ever: see
    /// [`Upkeep::recall`](super::broker::Upkeep::recall).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn recall(
        &self,
        room: &RoomId,
        key: &str,
        within: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        self.rooms.recall(room, key, within).await
    }

    /// Has the room's log forgotten after this time: see
    /// [`Upkeep::expire`](super::broker::Upkeep::expire).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire(&self, room: &RoomId, after: Duration) -> Result<(), StoreError> {
        self.rooms.expire(room, after).await
    }

    /// Ends a room of [`Space::Lives`](super::ids::Space::Lives), whose name never comes again.
    /// What was said there is gone when this returns; after [`LATE`] the stores know nothing of it
    /// any more, nor of what came late, as from a node that had not heard of the end. Take out who
    /// is in it first ([`Hub::remove`]). May be called again.
    ///
    /// # Errors
    /// Those of the store: what is left then may be forgotten or not.
    pub async fn forget(&self, room: &RoomId) -> Result<(), StoreError> {
        // In this order: should this node die between the two, all of it goes a while later.
        self.rooms.expire(room, LATE).await?;
        self.rooms.clear(room).await
    }

    /// All rooms with messages, for what is done to them one after the other.
    pub fn walk(&self) -> &dyn Walk {
        &*self.stores.walk
    }

    /// What overwrites messages, and keeps the jobs that do it.
    pub fn erasure(&self) -> &dyn Erasure {
        &*self.stores.erasure
    }

    /// Takes away the oldest of the room's log: see [`Upkeep::trim`](super::broker::Upkeep::trim).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn trim(&self, room: &RoomId, trim: Trim) -> Result<Trimmed, StoreError> {
        self.rooms.trim(room, trim).await
    }
}

/// The nodes that behave as one server, and their stores.
impl Hub {
    /// The nodes that are alive.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.stores.cluster.nodes().await
    }

    /// What this node tells of itself.
    pub fn figures(&self) -> Figures {
        let (metrics, process) = (&self.services.metrics, metrics::Figures::read());
        let (latency_count, latency_sum) = metrics.delivery_latency();
        Figures {
            at: self.services.clock.unix_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: self.begun.elapsed().as_secs_f64(),
            users: u64::try_from(metrics.node.users.get()).unwrap_or_default(),
            rooms: self.rooms.counted() as u64,
            messages: metrics.messages_total(),
            deliveries: metrics.deliveries_total(),
            latency_count,
            latency_sum,
            bytes_in: metrics.bytes_in(),
            bytes_out: metrics.bytes_out(),
            memory: process.resident_bytes.map_or(0, |bytes| bytes as u64),
            cpu: process.cpu_seconds.unwrap_or(0.0),
            draining: metrics.node.draining.get() > 0,
        }
    }

    /// Switches on all nodes whether users must present a valid token.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn switch_user_auth(&self, on: bool) -> Result<(), StoreError> {
        self.stores.cluster.force_user_auth(on).await
    }

    /// Whether users must present a valid token.
    pub fn force_user_auth(&self) -> bool {
        self.force_user_auth.load(Ordering::Relaxed)
    }

    /// Whether the store of messages answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.stores.broker.check().await
    }

    /// Whether the store of messages can be written to.
    ///
    /// # Errors
    /// It can't.
    pub async fn check_writing(&self) -> Result<(), StoreError> {
        self.stores.broker.check_writing().await
    }

    /// Ends the store of messages after everything accepted is stored.
    pub async fn close(&self) {
        self.stores.broker.close().await;
    }
}

/// Connections of this node.
impl Hub {
    fn connections(&self) -> MutexGuard<'_, HashMap<ConnectionId, Registered>> {
        lock(&self.connections)
    }

    /// A name for a new connection.
    pub fn new_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// The connection can be evicted from now on, until [`Hub::unregister`].
    pub fn register(&self, connection: ConnectionId, subscriber: Arc<dyn Subscriber>) {
        let before = self.connections().insert(connection, Registered { subscriber, guest: false });
        if before.is_none_or(|before| before.guest) {
            self.metrics.node.users.inc();
        }
    }

    /// The connection is about to enter a room without a session. Until [`Hub::unregister`] it can
    /// be sent back when the store has lost it, and, unless it enters as a
    /// [guest](Visitor::guest), found by its uid: for who ends it, or revokes its credentials. It
    /// is ended with [`Hub::end_session`] like others.
    pub fn register_guest(&self, connection: ConnectionId, subscriber: Arc<dyn Subscriber>) {
        let before = self.connections().insert(connection, Registered { subscriber, guest: true });
        if before.is_some_and(|before| !before.guest) {
            self.metrics.node.users.dec();
        }
    }

    /// It can't any more.
    pub fn unregister(&self, connection: ConnectionId) {
        let gone = self.connections().remove(&connection);
        if gone.is_some_and(|gone| !gone.guest) {
            self.metrics.node.users.dec();
        }
    }

    /// Whether this node should be sent clients: it has started, and is not ending.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// It should, or should not, from now on.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether somebody is not done with starting: clients are let in, and have to wait.
    pub fn is_starting(&self) -> bool {
        self.starting.load(Ordering::Relaxed)
    }

    /// Somebody begins to start, or is done with it.
    pub fn set_starting(&self, starting: bool) {
        self.starting.store(starting, Ordering::Relaxed);
    }

    /// A connection, authenticated or not, was opened.
    pub fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.services.metrics.connections.opened.inc();
        self.services.metrics.connections.open.inc();
    }

    /// It is gone.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.services.metrics.connections.open.dec();
    }

    /// Connections, authenticated or not.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}
