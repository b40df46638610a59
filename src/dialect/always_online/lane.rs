//! The way out to one client, and the ways to close it.
//!
//! Everything goes through `deliver` as finished frames. A WebSocket gets them by the fast lane ([`crate::net::outbound`]), a polling client
//! through the engine: one lane at a time, and in order at the change. What a client has not read is bounded in bytes: by the link for a
//! WebSocket, by `unfetched` for a polling client.
use std::{
    sync::{Arc, Weak, atomic::Ordering::SeqCst},
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
    AlwaysOnline,
    post::Desk,
    session::{Session, lock},
    wire,
};
use crate::net::{
    Closing, Link, Until,
    outbound::{BURST, MARKER},
};

/// How long a refused client may take to fetch its last packets, or to read them.
const LAST_PACKETS: Duration = Duration::from_secs(5);
/// How often a refused client is looked at that may be changing its transport.
const TELL_STEP: Duration = Duration::from_millis(50);
/// A page counts as written when no more than this is left of it.
const NEARLY_WRITTEN: usize = 64 << 10;

impl Session {
    /// Sends finished frames: straight into its WebSocket, or through the engine.
    pub(super) fn emit(&self, frames: &Bytes) {
        if let Some(link) = self.direct.get() {
            return link.send(frames);
        }
        let Some(socket) = self.socket.upgrade() else { return };
        let _one_at_a_time = lock(&self.changing_over);
        match self.direct.get().or_else(|| self.change_over(&socket)) {
            Some(link) => link.send(frames),
            None => self.emit_by_engine(&socket, frames),
        }
    }

    /// A client that has come from polling to a WebSocket: behind a marker, which goes the engine's way, its frames go past the engine.
    fn change_over(&self, socket: &Arc<Socket>) -> Option<&Arc<Link>> {
        if !self.dialect.options.fast_lane || socket.transport_type() != TransportType::Websocket {
            return None;
        }
        // Of several connections that asked to become its WebSocket only the engine knows which one did.
        let mut candidates = self.live_links();
        candidates.retain(|l| !l.is_ended());
        let [link] = candidates.as_slice() else { return None };
        link.hold(Until::Marker);
        socket.emit(MARKER.0, &0).ok()?;
        Some(self.direct.get_or_init(|| link.clone()))
    }

    fn emit_by_engine(&self, socket: &Arc<Socket>, frames: &Bytes) {
        let polling = socket.transport_type() == TransportType::Polling;
        for text in wire::texts(frames) {
            // Before, so that a fetch that comes at once finds it counted.
            let counter = if polling { &self.unfetched } else { &self.by_engine };
            counter.fetch_add(text.len(), SeqCst);
            match emit_text(socket, text) {
                Ok(()) => {}
                Err(SendError::Socket(SocketError::Closed)) => {
                    counter.fetch_sub(text.len(), SeqCst);
                }
                // Never skipped: a client that misses a packet is closed.
                Err(SendError::Socket(SocketError::InternalChannelFull)) => return self.fall_behind(),
                Err(SendError::Serialize(error)) => tracing::error!(%error, "a packet of ours could not be encoded"),
            }
        }
        let behind = if polling {
            self.unfetched.load(SeqCst)
        } else {
            let taken: u64 = self.live_links().iter().map(|l| l.accepted()).sum();
            self.by_engine.load(SeqCst).saturating_sub(usize::try_from(taken).unwrap_or(usize::MAX))
        };
        if behind > self.dialect.options.backlog + BURST + self.allowance.load(SeqCst) {
            self.fall_behind();
        }
    }

    fn fall_behind(&self) {
        if self.is_open() {
            tracing::info!(socket = %self.public.0, "client does not read what it is sent; closed");
        }
        self.close_dropped("slow", Closing::Abrupt);
    }

    /// Sends an event; `payload` is JSON.
    pub(super) fn tell(&self, event: &str, payload: &str) {
        let mut frames = BytesMut::new();
        wire::event(&mut frames, event, payload);
        self.emit(&frames.freeze());
    }

    /// Sends an acknowledgement; `payload` is JSON.
    pub(super) fn acknowledge(&self, id: i64, payload: &str) {
        let mut frames = BytesMut::new();
        wire::ack(&mut frames, id, payload);
        self.emit(&frames.freeze());
    }

    /// Answers a request: the event of the same name, and the same as acknowledgement where one was asked for.
    pub(super) fn answer(&self, event: &str, ack: Option<i64>, payload: &str) {
        self.tell(event, payload);
        if let Some(id) = ack {
            self.acknowledge(id, payload);
        }
    }

    /// Sends a page, and returns when the client has it, nearly, or is gone.
    pub(super) async fn send_page(&self, page: Bytes) {
        let size = page.len();
        let links = self.live_links();
        let before: u64 = links.iter().map(|l| l.accepted()).sum();
        links.iter().for_each(|l| l.allow(size));
        self.allowance.store(size, SeqCst);
        self.emit(&page);
        let written = || {
            let links = self.live_links();
            let Some(socket) = self.socket.upgrade() else { return true };
            if !self.is_open() {
                return true;
            }
            if self.direct.get().is_none() && socket.transport_type() == TransportType::Polling {
                return self.unfetched.load(SeqCst) <= NEARLY_WRITTEN;
            }
            // On the fast lane it is in the link's queue by now; otherwise the engine has to hand it over first.
            let handed_over = self.direct.get().is_some() || links.iter().map(|l| l.accepted()).sum::<u64>() >= before + size as u64 / 2;
            handed_over && links.iter().all(|l| l.is_ended() || l.backlog() <= NEARLY_WRITTEN)
        };
        loop {
            let (fetched, link) = (self.fetched.notified(), self.live_links().pop());
            let taken = async {
                match &link {
                    Some(link) => link.progress().await,
                    None => std::future::pending().await,
                }
            };
            if written() {
                break;
            }
            // Looked at now and then as well: it may be changing its transport.
            let _ = tokio::time::timeout(TELL_STEP, async {
                tokio::select! { () = fetched => {}, () = taken => {} }
            })
            .await;
        }
        links.iter().for_each(|l| l.allow(0));
        self.allowance.store(0, SeqCst);
    }

    /// A polling client has fetched this many bytes of packets.
    pub(super) fn fetched(&self, bytes: usize) {
        let _ = self.unfetched.fetch_update(SeqCst, SeqCst, |n| Some(n.saturating_sub(bytes)));
        self.fetched.notify_waiters();
    }

    /// *Refuse*: what was sent, then DISCONNECT, then the transport closes; the client stays away. The session ends when the engine says
    /// so.
    pub(super) fn refuse(self: &Arc<Self>, why: &'static str) {
        if self.closing.swap(true, SeqCst) {
            return;
        }
        self.dialect.hub.metrics.refused(why);
        self.leave_desk();
        let Some(socket) = self.socket.upgrade() else { return };
        for link in self.live_links() {
            link.close(Closing::AfterDisconnect, why);
        }
        self.unfetched.fetch_add(2, SeqCst); // the DISCONNECT packet, `41`
        if SocketRef::from(socket.clone()).disconnect().is_err() {
            return self.close_transport(&socket, Closing::Abrupt, why);
        }
        // A WebSocket closes by itself now. A polling client has to come for its last packets.
        let session = self.clone();
        self.dialect.hub.tasks.spawn(async move {
            let _ = tokio::time::timeout(LAST_PACKETS, session.told(&socket)).await;
            session.close_transport(&socket, Closing::Graceful, why);
        });
    }

    /// Waits until the client has been told that it is refused.
    async fn told(&self, socket: &Socket) {
        loop {
            let fetched = self.fetched.notified();
            let polling = socket.transport_type() == TransportType::Polling;
            if (polling && self.unfetched.load(SeqCst) == 0) || (!polling && self.live_links().iter().all(|l| l.is_ended())) {
                return;
            }
            let _ = tokio::time::timeout(TELL_STEP, fetched).await;
        }
    }

    /// *Drop*: the transport closes, without a DISCONNECT; the client comes back by itself.
    pub(super) fn drop_connection(&self, why: &'static str) {
        self.close_dropped(why, Closing::Graceful);
    }

    fn close_dropped(&self, why: &'static str, closing: Closing) {
        if self.closing.swap(true, SeqCst) {
            return;
        }
        self.dialect.hub.metrics.dropped(why);
        self.leave_desk();
        self.fetched.notify_waiters();
        if let Some(socket) = self.socket.upgrade() {
            self.close_transport(&socket, closing, why);
        }
    }

    fn close_transport(&self, socket: &Arc<Socket>, closing: Closing, why: &'static str) {
        if socket.transport_type() == TransportType::Polling {
            self.dialect.close_polling(socket.id, self.protocol);
        }
        // The polling client's connections are not its own behind a proxy; these asked to be its WebSocket.
        for link in self.live_links() {
            link.close(closing, why);
        }
    }

    /// What is left when it leaves the namespace: a transport.
    pub(super) fn departed(&self) -> Departed {
        Departed { sid: self.sid, protocol: self.protocol, links: lock(&self.links).clone() }
    }

    /// No message of this client is taken any more.
    pub(super) fn leave_desk(&self) {
        *lock(&self.desk) = Desk::Closed;
    }

    fn live_links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).iter().filter_map(Weak::upgrade).collect()
    }

    /// Stops, or resumes, reading from a WebSocket client; a polling one waits for the answer to its POST.
    pub(super) fn hold_reading(&self, hold: bool) {
        for link in self.live_links() {
            link.hold_reading(hold);
        }
    }
}

/// A client that has left the namespace, and not closed its transport. It has as long to come back as a new one has to authenticate.
pub(super) struct Departed {
    sid: Sid,
    protocol: ProtocolVersion,
    links: Vec<Weak<Link>>,
}

impl Departed {
    /// Its time is over.
    pub(super) fn close(self, dialect: &AlwaysOnline) {
        if dialect.session(self.sid).is_none() {
            dialect.close_polling(self.sid, self.protocol);
            self.links.iter().filter_map(Weak::upgrade).for_each(|l| l.close(Closing::Graceful, "left"));
        }
    }
}

/// Hands the text of an event or acknowledgement frame of ours to the engine.
fn emit_text(socket: &Arc<Socket>, text: &str) -> Result<(), SendError> {
    let raw = |json| serde_json::from_str::<&RawValue>(json);
    if let Some((name, rest)) = text.strip_prefix("42[\"").and_then(|t| t.split_once('"')) {
        if let Some(Ok(payload)) = rest.strip_prefix(',').and_then(|r| r.strip_suffix(']')).map(raw) {
            return socket.emit(name, payload);
        }
    } else if let Some((id, rest)) = text.strip_prefix("43").and_then(|t| t.split_once('['))
        && let (Ok(id), Some(Ok(payload))) = (id.parse(), rest.strip_suffix(']').map(raw))
    {
        let Ok(ack) =
            <AckSender as FromMessageParts<LocalAdapter>>::from_message_parts(socket, &mut Value::Str(Str::from(""), None), &Some(id));
        return ack.send(payload);
    }
    tracing::error!(bytes = text.len(), "a frame of ours is no event");
    Ok(())
}
