//! What a node has: its rooms, its connections, and the traits behind them. The way in for dialects
//! and for HTTP.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::task::TaskTracker;

use super::{
    broker::{Broker, Publication, Sink, Upkeep},
    clock::{Clock, Rng},
    cluster::Cluster,
    history,
    ids::{ConnectionId, RoomId},
    limit::Limits,
    presence::Presence,
    room::Room,
    subscriber::Subscriber,
    supervise::Supervisor,
    token::Tokens,
};
use crate::metrics::Metrics;
use crate::reason::Reason;

/// How long rooms wait for a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a message waits for a store that is out.
    pub patience: Duration,
    /// Bytes that a room keeps for a store that is out.
    pub pending: usize,
}

/// What the hub is built from.
pub struct Parts {
    pub broker: Arc<dyn Broker>,
    pub upkeep: Arc<dyn Upkeep>,
    pub presence: Arc<dyn Presence>,
    pub cluster: Arc<dyn Cluster>,
    pub tokens: Arc<dyn Tokens>,
    pub limits: Arc<dyn Limits>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub metrics: Arc<Metrics>,
    /// Every task of the core is spawned on its tracker.
    pub supervisor: Supervisor,
    pub options: Options,
    /// Whether users must present a valid token, as configured.
    pub force_user_auth: bool,
}

/// The core of one node.
pub struct Hub {
    pub broker: Arc<dyn Broker>,
    pub upkeep: Arc<dyn Upkeep>,
    pub presence: Arc<dyn Presence>,
    pub cluster: Arc<dyn Cluster>,
    pub tokens: Arc<dyn Tokens>,
    pub limits: Arc<dyn Limits>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub metrics: Arc<Metrics>,
    pub tasks: TaskTracker,
    pub supervisor: Supervisor,
    /// Where pages of rooms are asked for.
    pub pages: history::Budget,
    pub(super) options: Options,
    rooms: Mutex<HashMap<RoomId, Arc<Room>>>,
    connections: Mutex<HashMap<ConnectionId, Arc<dyn Subscriber>>>,
    next_connection: AtomicU64,
    /// As configured, and as it is now.
    configured_user_auth: bool,
    force_user_auth: AtomicBool,
    open: AtomicUsize,
    ready: AtomicBool,
}

/// The broker's way back, without a cycle of ownership.
struct WeakSink(Weak<Hub>);

impl WeakSink {
    fn room(&self, room: &RoomId) -> Option<Arc<Room>> {
        self.0.upgrade().and_then(|hub| hub.rooms().get(room).cloned())
    }

    fn subscriber(&self, connection: ConnectionId) -> Option<Arc<dyn Subscriber>> {
        self.0.upgrade().and_then(|hub| hub.connections().get(&connection).cloned())
    }
}

impl Sink for WeakSink {
    fn deliver(&self, room: &RoomId, publications: Vec<Publication>) {
        if let Some(room) = self.room(room) {
            room.deliver(&publications);
        }
    }

    fn invalidate(&self, room: &RoomId) {
        if let Some(room) = self.room(room) {
            room.invalidate();
        }
    }

    fn missed(&self, room: &RoomId, upto: u64) {
        if let Some(room) = self.room(room) {
            room.missed(upto);
        }
    }

    fn evict(&self, connection: ConnectionId) {
        if let Some(subscriber) = self.subscriber(connection) {
            subscriber.evict();
        }
    }

    fn revoke(&self, connection: ConnectionId) {
        if let Some(subscriber) = self.subscriber(connection) {
            subscriber.revoke();
        }
    }

    fn force_user_auth(&self, on: Option<bool>) {
        let Some(hub) = self.0.upgrade() else { return };
        let on = on.unwrap_or(hub.configured_user_auth);
        if hub.force_user_auth.swap(on, Ordering::Relaxed) != on {
            tracing::warn!(force_user_auth = on, "user authentication was switched");
        }
    }

    fn sessions(&self) -> Vec<ConnectionId> {
        self.0.upgrade().map(|hub| hub.connections().keys().copied().collect()).unwrap_or_default()
    }

    fn send_back(&self, connection: ConnectionId) {
        if let Some(subscriber) = self.subscriber(connection) {
            subscriber.drop_connection(Reason::LostSession);
        }
    }

    fn open_connections(&self) -> u64 {
        self.0.upgrade().map_or(0, |hub| hub.open_connections() as u64)
    }
}

impl Hub {
    /// Builds it and tells the broker where to deliver.
    pub fn new(parts: Parts) -> Arc<Self> {
        let hub = Arc::new(Hub {
            broker: parts.broker,
            upkeep: parts.upkeep,
            presence: parts.presence,
            cluster: parts.cluster,
            tokens: parts.tokens,
            limits: parts.limits,
            clock: parts.clock,
            rng: parts.rng,
            metrics: parts.metrics,
            tasks: parts.supervisor.tasks.clone(),
            supervisor: parts.supervisor,
            pages: history::Budget::default(),
            options: parts.options,
            rooms: Mutex::default(),
            connections: Mutex::default(),
            next_connection: AtomicU64::new(1),
            configured_user_auth: parts.force_user_auth,
            force_user_auth: AtomicBool::new(parts.force_user_auth),
            open: AtomicUsize::new(0),
            ready: AtomicBool::new(false),
        });
        hub.broker.start(Arc::new(WeakSink(Arc::downgrade(&hub))));
        hub
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, HashMap<RoomId, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Arc<dyn Subscriber>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for a new connection.
    pub fn new_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// The connection can be evicted from now on, until [`Hub::unregister`].
    pub fn register(&self, connection: ConnectionId, subscriber: Arc<dyn Subscriber>) {
        self.connections().insert(connection, subscriber);
    }

    pub fn unregister(&self, connection: ConnectionId) {
        self.connections().remove(&connection);
    }

    /// The room of this id on this node, made if need be.
    pub(super) fn room(&self, id: &RoomId) -> Arc<Room> {
        self.rooms().entry(id.clone()).or_insert_with(|| Room::new(id.clone())).clone()
    }

    /// Takes a room out that nothing can be added to any more. Detached first: its successor, which
    /// attaches, can be made only after.
    pub(super) fn retire(&self, room: &Arc<Room>) {
        self.broker.detach(&room.id);
        self.rooms().remove(&room.id);
    }

    /// Rooms on this node.
    pub fn local_rooms(&self) -> usize {
        self.rooms().len()
    }

    /// Whether users must present a valid token.
    pub fn force_user_auth(&self) -> bool {
        self.force_user_auth.load(Ordering::Relaxed)
    }

    /// Whether this node should be sent clients: it has started, and is not ending.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// A connection, authenticated or not, was opened.
    pub fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.metrics.connections_opened.inc();
        self.metrics.connections.inc();
    }

    /// It is gone.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections.dec();
    }

    /// Connections, authenticated or not.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}
