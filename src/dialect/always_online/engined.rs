//! The way out to a client that the engine carries.
//!
//! A polling client's packets go through the engine. Once it is upgraded to a WebSocket, finished
//! frames go past the engine, on the connection: one way at a time, and in order at the change.
use std::{
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;
use socketioxide::{
    ProtocolVersion, SendError, SocketError, TransportType,
    adapter::LocalAdapter,
    extract::{AckSender, SocketRef},
    handler::FromMessageParts,
    socket::Socket,
};
use socketioxide_core::{Sid, Str, Value};

use super::{
    AlwaysOnline, Options, carrier::NEARLY_WRITTEN, payload, polling::Polling, session::lock, wire,
};
use crate::net::{
    Closing, Connection,
    send_queue::{BURST, MARKER},
};
use crate::reason::Reason;
use crate::throttle::throttled;

/// How long a refused client may take to fetch its last packets, or to read them.
const LAST_PACKETS: Duration = Duration::from_secs(5);
/// How often a client is looked at that may be changing its transport.
const LOOK: Duration = Duration::from_millis(50);

/// A client that the engine carries.
pub(super) struct Engined {
    /// The engine owns the socket, the socket its handlers, and they the session.
    socket: Weak<Socket>,
    /// The engine's name for it, a secret.
    pub(super) sid: Sid,
    protocol: ProtocolVersion,
    /// The WebSocket that its frames go into, past the engine; once there is one it stays.
    direct: OnceLock<Arc<Connection>>,
    changing_over: Mutex<()>,
    /// Connections that are, or may become, its WebSocket.
    pub(super) connections: Mutex<Vec<Weak<Connection>>>,
    /// What hangs on its engine session, and stays when it leaves: what it has yet to fetch, above
    /// all.
    pub(super) polling: Arc<Polling>,
    /// Bytes of packets that a WebSocket client was sent by the engine.
    by_engine: AtomicUsize,
    /// The socket that this carries.
    pub(super) out: Mutex<Option<crate::socketio::Socket>>,
}

impl Engined {
    pub(super) fn new(socket: &Arc<Socket>, polling: Arc<Polling>) -> Self {
        Engined {
            socket: Arc::downgrade(socket),
            sid: socket.id,
            protocol: socket.protocol(),
            direct: OnceLock::new(),
            changing_over: Mutex::default(),
            connections: Mutex::default(),
            polling,
            by_engine: 0.into(),
            out: Mutex::default(),
        }
    }

    pub(super) fn live_connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).iter().filter_map(Weak::upgrade).collect()
    }

    /// Sends finished frames: into its WebSocket, or through the engine. False: the client is too
    /// far behind.
    pub(super) fn emit(&self, frames: &Bytes, options: &Options) -> bool {
        if let Some(connection) = self.direct.get() {
            connection.send(frames);
            return true;
        }
        let Some(socket) = self.socket.upgrade() else { return true };
        let _one_at_a_time = lock(&self.changing_over);
        match self.direct.get().or_else(|| self.change_over(&socket, options)) {
            Some(connection) => {
                connection.send(frames);
                true
            }
            None => self.emit_by_engine(&socket, frames, options),
        }
    }

    /// A client that has become a WebSocket: behind a marker, which goes the engine's way, its
    /// frames go past the engine.
    fn change_over(&self, socket: &Arc<Socket>, options: &Options) -> Option<&Arc<Connection>> {
        if !options.fast_lane || socket.transport_type() != TransportType::Websocket {
            return None;
        }
        // Of several connections that asked to become its WebSocket only the engine knows which one
        // did.
        let mut candidates = self.live_connections();
        candidates.retain(|l| !l.is_ended());
        let [connection] = candidates.as_slice() else { return None };
        connection.hold();
        socket.emit(MARKER.0, &0).ok()?;
        for packet in self.polling.take_aside() {
            let mut frame = BytesMut::new();
            wire::text(&mut frame, &packet);
            connection.send(&frame.freeze());
        }
        Some(self.direct.get_or_init(|| connection.clone()))
    }

    fn emit_by_engine(&self, socket: &Arc<Socket>, frames: &Bytes, options: &Options) -> bool {
        let polling = socket.transport_type() == TransportType::Polling;
        for text in wire::texts(frames) {
            // Before, so that a fetch that comes at once finds it counted.
            if polling {
                self.polling.owe(text);
            } else {
                self.by_engine.fetch_add(text.len(), SeqCst);
            }
            match emit_text(socket, text) {
                Ok(()) => {}
                Err(SendError::Socket(SocketError::Closed)) if polling => {
                    self.polling.forgive(payload::weight(text))
                }
                Err(SendError::Socket(SocketError::Closed)) => {
                    self.by_engine.fetch_sub(text.len(), SeqCst);
                }
                // Never skipped: a client that misses a packet is closed.
                Err(SendError::Socket(SocketError::InternalChannelFull)) => return false,
                Err(SendError::Serialize(error)) => {
                    tracing::error!(%error, "a packet of ours could not be encoded")
                }
            }
        }
        if polling {
            return !self.polling.is_behind(options);
        }
        let behind = self.by_engine.load(SeqCst).saturating_sub(self.accepted());
        behind <= options.backlog + BURST + self.polling.allowance.load(SeqCst)
    }

    /// Bytes that the engine has handed to the client's WebSockets.
    pub(super) fn accepted(&self) -> usize {
        usize::try_from(self.live_connections().iter().map(|l| l.accepted()).sum::<u64>())
            .unwrap_or(usize::MAX)
    }

    /// Lets the client be this many bytes further behind.
    pub(super) fn allow(&self, bytes: usize) {
        self.live_connections().iter().for_each(|l| l.allow(bytes));
        self.polling.allowance.store(bytes, SeqCst);
    }

    /// Returns when the client has what it was sent, nearly, or is `over`. `most`: what the engine
    /// must have handed over by then, bytes.
    pub(super) async fn written(&self, most: usize, over: &(dyn Fn() -> bool + Send + Sync)) {
        let written = || {
            let Some(socket) = self.socket.upgrade() else { return true };
            if over() {
                return true;
            }
            if self.direct.get().is_none() && socket.transport_type() == TransportType::Polling {
                return self.polling.unfetched() <= NEARLY_WRITTEN;
            }
            // Past the engine it is in the connection's queue by now; otherwise the engine has to hand it
            // over first.
            let handed_over = self.direct.get().is_some() || self.accepted() >= most;
            handed_over
                && self
                    .live_connections()
                    .iter()
                    .all(|l| l.is_ended() || l.backlog() <= NEARLY_WRITTEN)
        };
        loop {
            let (fetched, connection) =
                (self.polling.fetched.notified(), self.live_connections().pop());
            let taken = async {
                match &connection {
                    Some(connection) => connection.progress().await,
                    None => std::future::pending().await,
                }
            };
            if written() {
                return;
            }
            // Looked at now and then as well: it may be changing its transport.
            let _ = tokio::time::timeout(LOOK, async {
                tokio::select! { () = fetched => {}, () = taken => {} }
            })
            .await;
        }
    }

    /// Nobody has to wait for it any more.
    pub(super) fn gone(&self) {
        lock(&self.out).take();
        self.polling.fetched.notify_waiters();
    }

    /// Waits until the client has been told that it is refused.
    async fn told(&self, socket: &Socket) {
        loop {
            let fetched = self.polling.fetched.notified();
            let polling = socket.transport_type() == TransportType::Polling;
            if (polling && self.polling.unfetched() == 0)
                || (!polling && self.live_connections().iter().all(|l| l.is_ended()))
            {
                return;
            }
            let _ = tokio::time::timeout(LOOK, fetched).await;
        }
    }

    /// Closes its transport.
    pub(super) fn close(&self, dialect: &Arc<AlwaysOnline>, closing: Closing, why: Reason) {
        self.polling.fetched.notify_waiters();
        if let Some(socket) = self.socket.upgrade() {
            if socket.transport_type() == TransportType::Polling {
                dialect.close_polling(self.sid, self.protocol);
            }
            // The polling client's connections are not its own behind a proxy; these asked to be
            // its WebSocket.
            self.live_connections().iter().for_each(|l| l.close(closing, why));
        }
    }

    /// The client reads too slowly, and is closed.
    pub(super) fn fall_behind(&self, dialect: &Arc<AlwaysOnline>) {
        if let Some(socket) = lock(&self.out).clone()
            && socket.drop(Reason::Slow)
        {
            throttled!(info, "client does not read what it is sent; closed");
        } else {
            self.close(dialect, Closing::Abrupt, Reason::Slow);
        }
    }

    /// DISCONNECT, then the end.
    pub(super) fn refuse(self: &Arc<Self>, dialect: &Arc<AlwaysOnline>, why: Reason) {
        let Some(socket) = self.socket.upgrade() else { return };
        for connection in self.live_connections() {
            connection.close(Closing::AfterDisconnect, why);
        }
        self.polling.owe("41");
        if SocketRef::from(socket.clone()).disconnect().is_err() {
            return self.close(dialect, Closing::Abrupt, why);
        }
        // A WebSocket closes by itself now. A polling client has to come for its last packets.
        let (engined, dialect) = (self.clone(), dialect.clone());
        dialect.hub.tasks.clone().spawn(async move {
            let _ = tokio::time::timeout(LAST_PACKETS, engined.told(&socket)).await;
            engined.close(&dialect, Closing::Graceful, why);
        });
    }

    /// What is left when it leaves the namespace: a transport.
    pub(super) fn departed(&self) -> Departed {
        Departed {
            sid: self.sid,
            protocol: self.protocol,
            connections: lock(&self.connections).clone(),
        }
    }
}

/// A client that has left the namespace, and not closed its transport. It has as long to come back
/// as a new one has to authenticate.
pub(super) struct Departed {
    sid: Sid,
    protocol: ProtocolVersion,
    connections: Vec<Weak<Connection>>,
}

impl Departed {
    /// Its time is over.
    pub(super) fn close(self, dialect: &Arc<AlwaysOnline>) {
        if dialect.session(self.sid).is_none() {
            dialect.close_polling(self.sid, self.protocol);
            self.connections
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|l| l.close(Closing::Graceful, Reason::NotConnected));
        }
    }
}

/// Hands the text of an event or acknowledgement frame of ours to the engine.
fn emit_text(socket: &Arc<Socket>, text: &str) -> Result<(), SendError> {
    let raw = |json| serde_json::from_str::<&RawValue>(json);
    if let Some((name, rest)) = text.strip_prefix("42[\"").and_then(|t| t.split_once('"')) {
        if let Some(Ok(payload)) = rest.strip_prefix(',').and_then(|r| r.strip_suffix(']')).map(raw)
        {
            return socket.emit(name, payload);
        }
    } else if let Some((id, rest)) = text.strip_prefix("43").and_then(|t| t.split_once('['))
        && let (Ok(id), Some(Ok(payload))) = (id.parse(), rest.strip_suffix(']').map(raw))
    {
        let Ok(ack) = <AckSender as FromMessageParts<LocalAdapter>>::from_message_parts(
            socket,
            &mut Value::Str(Str::from(""), None),
            &Some(id),
        );
        return ack.send(payload);
    }
    tracing::error!(bytes = text.len(), "a frame of ours is no event");
    Ok(())
}
