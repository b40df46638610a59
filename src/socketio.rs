//! socket.io as a layer: whoever registers a [`Namespace`] gets clients of engine.io 3 and 4 and
//! socket.io 1 to 4, by WebSocket or polling, and need not know which.
//!
//! A namespace is told of each client that connects to it, with a [`Socket`], its way out, and
//! gives back a [`Client`], which gets what comes in. The layer knows no rooms, users or stores.
//!
//! Of its files `http` answers requests, `websocket` reads a WebSocket, `polling` and `posted` do
//! the same for a client that polls, with socketioxide behind them in `engine`, and `upgrade`
//! leads from the one to the other; `heart` finds out who is dead. `dispatch` hands what comes in
//! to clients, `carrier` takes what goes out; `packet`, `payload` and `query` read and write the
//! words.
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use socketioxide_core::Sid;
use tokio_util::task::TaskTracker;

use crate::{config::Origins, live::Live, lock::lock, metrics::Metrics};

mod carrier;
mod dispatch;
mod engine;
mod heart;
mod http;
mod namespace;
pub(crate) mod packet;
mod payload;
mod polling;
mod posted;
mod query;
mod socket;
#[cfg(test)]
mod tests;
mod upgrade;
mod websocket;

use carrier::Carrier;
pub use http::Transport;
pub use namespace::{Client, Connect, Event, Headers, Namespace, Refusal};
pub use socket::Socket;

/// The version of engine.io that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// socket.io 1 and 2, and protocol 4 of that: the client pings.
    V3,
    /// socket.io 3 and later, and protocol 5: the server pings.
    V4,
}

impl Version {
    /// As `EIO` in a query.
    fn number(self) -> u8 {
        match self {
            Version::V3 => 3,
            Version::V4 => 4,
        }
    }

    /// What a binary message of a WebSocket begins with.
    fn binary_prefix(self) -> &'static [u8] {
        match self {
            Version::V3 => &[4],
            Version::V4 => &[],
        }
    }

    /// What an attachment as text begins with.
    fn base64_prefix(self) -> &'static str {
        match self {
            Version::V3 => "b4",
            Version::V4 => "b",
        }
    }
}

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time between two pings: of the server, or of the client where that speaks version 3.
    pub ping_interval: Duration,
    /// Time that a ping may be late, or its answer may take; then the client counts as gone.
    pub ping_timeout: Duration,
    /// Time that a client may be in no namespace.
    pub connect_timeout: Duration,
    /// Largest packet, or body of a POST, bytes.
    pub max_payload: usize,
    /// Bytes that a client may be behind.
    pub backlog: usize,
    /// Pages that may connect, by their origin.
    pub origins: Arc<Live<Arc<Origins>>>,
    /// Served as `/socket.io/socket.io.js`.
    pub client_script: Option<PathBuf>,
}

/// What the layer needs of its server.
pub struct Parts {
    /// What can be set.
    pub options: Options,
    /// Where clients that are refused or dropped are counted.
    pub metrics: Arc<Metrics>,
    /// Where tasks of the layer are tracked.
    pub tasks: TaskTracker,
    /// Whether new clients are let in.
    pub is_ready: Box<dyn Fn() -> bool + Send + Sync>,
}

/// The layer on one node.
pub(crate) struct SocketIo {
    options: Options,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    namespaces: HashMap<Box<str>, Arc<dyn Namespace>>,
    engine: engine::Engine,
    /// Sessions that began by polling.
    polled: Mutex<HashMap<Sid, Weak<Carrier>>>,
    hearts: Arc<heart::Hearts>,
}

impl SocketIo {
    fn new(parts: Parts, namespaces: HashMap<Box<str>, Arc<dyn Namespace>>) -> Arc<Self> {
        let Parts { options, metrics, tasks, is_ready } = parts;
        Arc::new(SocketIo {
            engine: engine::build(&options),
            hearts: heart::Hearts::new(&options, tasks.clone()),
            options,
            metrics,
            tasks,
            is_ready,
            namespaces,
            polled: Mutex::default(),
        })
    }

    fn namespace(&self, name: &str) -> Option<Arc<dyn Namespace>> {
        self.namespaces.get(name).cloned()
    }

    /// Whether there is a namespace of this name.
    fn has(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// Whether what a client said with its first request is to be kept.
    fn keeps_handshakes(&self) -> bool {
        self.keeps_headers() || self.namespaces.values().any(|space| space.reads_handshake())
    }

    /// Whether all headers of it are to be kept.
    fn keeps_headers(&self) -> bool {
        self.namespaces.values().any(|space| space.reads_headers())
    }

    /// A session that began by polling.
    fn carrier(&self, sid: Sid) -> Option<Arc<Carrier>> {
        lock(&self.polled).get(&sid).and_then(Weak::upgrade)
    }

    /// A session is gone.
    fn forget(&self, sid: Sid) {
        lock(&self.polled).remove(&sid);
    }
}
