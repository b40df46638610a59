//! The always-online dialect: the namespace `/` of socket.io.
//!
//! A `session` is one client, behind a socket of [`crate::socketio`]. What becomes of it is decided
//! by its `state`, which is pure: `phase` says where a client stands, `mailbox` what waits and how
//! much may, `wire` has the words. What the state asks for is found out in `authenticate` and
//! `sync`; `msg` checks and completes messages.
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    config::Origins,
    domain::{
        access::{Access, LiveVerifier},
        deadline::{Appointments, Deadlines},
        gate::LiveGate,
        hub::Hub,
        ids::ConnectionId,
    },
    socketio::{self, Client, Connect, Namespace, Parts, Refusal, Socket},
};
use crate::{live::Live, lock::lock};

mod authenticate;
#[doc(hidden)]
pub mod bench;
mod expiry;
mod gzip;
mod mailbox;
mod mount;
mod msg;
mod pages;
mod phase;
mod session;
mod state;
mod sync;
mod wire;

pub use crate::socketio::Transport;
use gzip::Gzip;
pub use mount::start;
use pages::Pages;
use session::Session;

/// What can be set.
#[derive(Clone)]
pub struct Options {
    /// Time from connecting to a successful `authenticate`.
    pub auth_timeout: Duration,
    /// Time from there to the first `join`.
    pub join_timeout: Duration,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// Time that the answer to a ping may take; then the client counts as gone.
    pub ping_timeout: Duration,
    /// UTF-16 units of a message's JSON text.
    pub max_message: usize,
    /// Bytes that a client may be behind.
    pub backlog: usize,
    /// Bytes of finished pages that are kept.
    pub page_cache: usize,
    /// Pages that may connect, by their origin.
    pub origins: Arc<Live<Arc<Origins>>>,
    /// Served as `/socket.io/socket.io.js`.
    pub client_script: Option<PathBuf>,
    /// Who checks JSON Web Tokens; none: there are no such tokens.
    pub verifier: LiveVerifier,
    /// Time that a session has to renew a token that has expired.
    pub grace: Duration,
    /// Who may do what in rooms.
    pub access: Access,
    /// Whom hooks ask; none: nobody is asked.
    pub gate: LiveGate,
}

impl Options {
    /// Largest packet or body of the engine, bytes: a message may be escaped to six times its
    /// length.
    fn max_payload(&self) -> usize {
        6 * self.max_message + (64 << 10)
    }
}

/// The dialect on this node.
pub struct AlwaysOnline {
    hub: Arc<Hub>,
    options: Options,
    sessions: Mutex<HashMap<ConnectionId, Weak<Session>>>,
    pages: Pages,
    gzip: Gzip,
    // Ids: many more sessions may come and go within that time than there are at once.
    unauthenticated: Arc<Deadlines<ConnectionId>>,
    roomless: Arc<Deadlines<ConnectionId>>,
    /// When something is due because of a token's expiry.
    expiries: Arc<Appointments<ConnectionId>>,
}

impl AlwaysOnline {
    /// Builds the dialect and its HTTP side, which serves `neighbours` too, and starts its
    /// deadlines, which end with `stop`.
    fn start(
        hub: Arc<Hub>,
        options: Options,
        neighbours: Vec<(Box<str>, Arc<dyn Namespace>)>,
        stop: &CancellationToken,
    ) -> (Arc<Self>, Transport) {
        let dialect = Arc::new(AlwaysOnline {
            unauthenticated: Deadlines::new(options.auth_timeout),
            roomless: Deadlines::new(options.join_timeout),
            expiries: Appointments::new(),
            hub,
            pages: Pages::new(options.page_cache),
            gzip: Gzip::default(),
            options,
            sessions: Mutex::default(),
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
        supervisor.keep("token expiries", stop, move || here.clone().remind());
        let root: Arc<dyn Namespace> = Arc::new(Root(dialect.clone()));
        let namespaces = neighbours.into_iter().chain([("/".into(), root)]);
        let transport = Transport::new(dialect.parts(), namespaces);
        (dialect, transport)
    }

    /// Tells sessions that their time is over. Old clients are in this namespace whether they want
    /// to or not: of those that are in another one too nothing is expected here for as long as they
    /// are there. Never ends.
    async fn end_late(
        self: Arc<Self>,
        deadlines: Arc<Deadlines<ConnectionId>>,
        late: fn(&Arc<Session>),
    ) {
        loop {
            let connection = deadlines.next().await;
            let session = lock(&self.sessions).get(&connection).and_then(Weak::upgrade);
            match session {
                Some(session) if session.is_elsewhere_too() => deadlines.push(connection),
                Some(session) => late(&session),
                None => {}
            }
        }
    }

    /// Tells sessions that a time of their token has come. Never ends.
    async fn remind(self: Arc<Self>) {
        loop {
            let connection = self.expiries.next().await;
            let session = lock(&self.sessions).get(&connection).and_then(Weak::upgrade);
            if let Some(session) = session {
                session.remind();
            }
        }
    }

    /// What socket.io needs.
    fn parts(&self) -> Parts {
        let hub = self.hub.clone();
        Parts {
            options: socketio::Options {
                ping_interval: self.options.ping_interval,
                ping_timeout: self.options.ping_timeout,
                connect_timeout: self.options.auth_timeout,
                max_payload: self.options.max_payload(),
                backlog: self.options.backlog,
                origins: self.options.origins.clone(),
                client_script: self.options.client_script.clone(),
            },
            metrics: self.hub.metrics.clone(),
            tasks: self.hub.tasks.clone(),
            is_ready: Box::new(move || hub.is_ready()),
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().filter_map(Weak::upgrade).collect()
    }
}

/// The namespace `/`.
struct Root(Arc<AlwaysOnline>);

impl Namespace for Root {
    fn connect(&self, socket: Socket, request: &Connect<'_>) -> Result<Arc<dyn Client>, Refusal> {
        match Session::begin(&self.0, socket, request) {
            Ok(session) => Ok(session),
            Err(_) => Err(Refusal::new("server error")),
        }
    }

    /// Hooks are told where clients come from, failures are counted by that, and a line of the log
    /// may tell of it.
    fn reads_handshake(&self) -> bool {
        let hub = &self.0.hub;
        self.0.options.gate.get().is_some()
            || hub.attempts.are_counted()
            || hub.logs_connections.load(Relaxed)
    }
}
