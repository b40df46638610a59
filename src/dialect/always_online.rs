//! The always-online dialect: socket.io at `/socket.io/`, namespace `/`, engine.io 3 and 4,
//! websocket and polling.
//!
//! A client that begins as a `websocket` is served here; one that begins by polling by
//! socketioxide, which `engine` wires, with the HTTP side around it in `transport`; what such a one
//! posts is read in `posted`, and `polling` counts what it has yet to fetch; `carrier` has both ways
//! out.
//!
//! A `session` is one client. What becomes of it is decided by its `state`, which is pure: `phase`
//! says where a client stands, `mailbox` what waits and how much may, `wire` has the words. What the
//! state asks for is found out in `authenticate` and `sync`; `msg` checks and completes messages.
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, Weak, atomic::AtomicUsize},
    time::Duration,
};

use socketioxide_core::Sid;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Origins,
    domain::{deadline::Deadlines, hub::Hub, ids::ConnectionId},
    net::Connection,
};

mod authenticate;
#[doc(hidden)]
pub mod bench;
mod carrier;
mod engine;
mod engined;
mod gzip;
mod mailbox;
mod mount;
mod msg;
mod packet;
mod pages;
mod payload;
mod phase;
mod polling;
mod posted;
mod query;
mod session;
mod state;
mod sync;
mod transport;
mod websocket;
mod wire;

use engine::Engine;
use engined::Departed;
use gzip::Gzip;
pub use mount::start;
use pages::Pages;
use polling::Polling;
use session::{Session, lock};
use transport::Transport;

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time from connecting to a successful `authenticate`.
    pub auth_timeout: Duration,
    /// Time from there to the first `join`.
    pub join_timeout: Duration,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// UTF-16 units of a message's JSON text.
    pub max_message: usize,
    /// Bytes that a client may be behind.
    pub backlog: usize,
    /// Bytes of finished pages that are kept.
    pub page_cache: usize,
    /// Whether WebSockets are served without the engine, as far as they can be.
    pub fast_lane: bool,
    pub origins: Origins,
    /// Served as `/socket.io/socket.io.js`.
    pub client_script: Option<PathBuf>,
}

impl Options {
    /// Largest packet or body of the engine, bytes: a message may be escaped to six times its
    /// length.
    fn max_payload(&self) -> usize {
        6 * self.max_message + (64 << 10)
    }
}

/// What hangs on an engine.io session id. The sid is a secret: who knows it can act as a polling
/// client.
#[derive(Default)]
struct Ties {
    session: Weak<Session>,
    /// Connections that asked to be upgraded to this session's WebSocket.
    connections: Vec<Weak<Connection>>,
}

/// The dialect on this node.
pub struct AlwaysOnline {
    hub: Arc<Hub>,
    options: Options,
    sessions: Mutex<HashMap<ConnectionId, Weak<Session>>>,
    ties: Mutex<HashMap<Sid, Ties>>,
    /// What hangs on engine sessions that began by polling.
    polling: Mutex<HashMap<Sid, Weak<Polling>>>,
    /// `ties` is swept of what has ended when it has grown to this.
    sweep_at: AtomicUsize,
    engine: OnceLock<Engine>,
    pages: Pages,
    gzip: Gzip,
    // Ids: many more sessions may come and go within that time than there are at once.
    unauthenticated: Arc<Deadlines<ConnectionId>>,
    roomless: Arc<Deadlines<ConnectionId>>,
    departed: Arc<Deadlines<Departed>>,
}

/// Entries of `ties` from which on it is swept.
const SWEEP: usize = 1024;

impl AlwaysOnline {
    /// Builds the dialect and its HTTP side, and starts its deadlines, which end with `stop`.
    fn start(hub: Arc<Hub>, options: Options, stop: &CancellationToken) -> (Arc<Self>, Transport) {
        let dialect = Arc::new(AlwaysOnline {
            unauthenticated: Deadlines::new(options.auth_timeout),
            roomless: Deadlines::new(options.join_timeout),
            departed: Deadlines::new(options.auth_timeout),
            hub,
            pages: Pages::new(options.page_cache),
            gzip: Gzip::default(),
            options,
            sessions: Mutex::default(),
            ties: Mutex::default(),
            polling: Mutex::default(),
            sweep_at: AtomicUsize::new(SWEEP),
            engine: OnceLock::new(),
        });
        let supervisor = &dialect.hub.supervisor;
        for (task, deadlines, late) in [
            (
                "authentication deadlines",
                dialect.unauthenticated.clone(),
                Session::late_to_authenticate as fn(&Arc<Session>),
            ),
            ("join deadlines", dialect.roomless.clone(), Session::late_to_join),
        ] {
            let here = dialect.clone();
            supervisor.keep(task, stop, move || here.clone().end_late(deadlines.clone(), late));
        }
        let here = dialect.clone();
        supervisor.keep("departures", stop, move || here.clone().close_departed());
        let transport = Transport::new(dialect.clone());
        (dialect, transport)
    }

    /// Tells sessions that their time is over. Never ends.
    async fn end_late(
        self: Arc<Self>,
        deadlines: Arc<Deadlines<ConnectionId>>,
        late: fn(&Arc<Session>),
    ) {
        loop {
            let connection = deadlines.next().await;
            let session = lock(&self.sessions).get(&connection).and_then(Weak::upgrade);
            if let Some(session) = session {
                late(&session);
            }
        }
    }

    /// Closes the transports of clients that have left the namespace and did not come back. Never
    /// ends.
    async fn close_departed(self: Arc<Self>) {
        loop {
            self.departed.next().await.close(&self);
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().filter_map(Weak::upgrade).collect()
    }

    fn ties(&self) -> MutexGuard<'_, HashMap<Sid, Ties>> {
        lock(&self.ties)
    }
}
