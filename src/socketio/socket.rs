//! The way out to one client of a namespace, and the ways to close it.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use bytes::Bytes;

use super::{
    carrier::Carrier,
    packet::{self, ROOT},
};
use crate::{metrics::Carriage, reason::Reason, throttle::throttled};

struct Inner {
    carrier: Arc<Carrier>,
    /// `None`: the root.
    namespace: Option<Box<str>>,
    /// We close it.
    closing: AtomicBool,
    /// The client has left the namespace, or its connection is gone.
    gone: AtomicBool,
}

/// The way out to one client of a namespace. Clones are the same socket.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

impl Socket {
    pub(super) fn new(carrier: Arc<Carrier>, namespace: &str) -> Self {
        Socket(Arc::new(Inner {
            carrier,
            namespace: (namespace != ROOT).then(|| namespace.into()),
            closing: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }))
    }

    /// The namespace's name, `/` for the root.
    pub fn namespace(&self) -> &str {
        self.0.namespace.as_deref().unwrap_or(ROOT)
    }

    /// Sends finished WebSocket text frames, one or more, each one packet of this namespace, behind
    /// all that was sent before. Never blocks: who is too far behind is closed.
    pub fn send(&self, frames: Bytes) {
        if !self.0.carrier.send_if(|| !self.has_left(), &frames) {
            self.fall_behind();
        }
    }

    /// Sends an event; `arguments` are JSON.
    pub fn emit(&self, name: &str, arguments: &[&str]) {
        let name = serde_json::Value::from(name).to_string();
        let elements = [&[&*name], arguments].concat();
        self.send(packet::event(self.namespace(), &elements));
    }

    /// As [`Socket::emit`], with attachments: `arguments` have `{"_placeholder":true,"num":N}`
    /// where the Nth of them belongs.
    pub fn emit_with(&self, name: &str, arguments: &[&str], attachments: &[Bytes]) {
        let name = serde_json::Value::from(name).to_string();
        let elements = [&[&*name], arguments].concat();
        let version = self.0.carrier.version;
        self.send(packet::binary(version, self.namespace(), None, &elements, attachments));
    }

    /// Acknowledges an event of the client; `arguments` are JSON.
    pub fn ack(&self, id: i64, arguments: &[&str]) {
        self.send(packet::ack(self.namespace(), id, arguments));
    }

    /// As [`Socket::ack`], with attachments ([`Socket::emit_with`]).
    pub fn ack_with(&self, id: i64, arguments: &[&str], attachments: &[Bytes]) {
        let version = self.0.carrier.version;
        self.send(packet::binary(version, self.namespace(), Some(id), arguments, attachments));
    }

    /// As [`Socket::send`], for more than a client may be behind. Returns when the client has taken
    /// nearly all of it, or the socket is closed.
    pub async fn send_large(&self, frames: Bytes) {
        let is_over = || !self.is_open();
        if !self.0.carrier.send_large(|| !self.has_left(), is_over, frames).await {
            self.fall_behind();
        }
    }

    /// *Refuse*: what was sent, then DISCONNECT, then the connection closes, with all namespaces on
    /// it; the client stays away. False: it is being closed already.
    pub fn refuse(&self, why: Reason) -> bool {
        if self.0.closing.swap(true, SeqCst) {
            return false;
        }
        self.0.carrier.io.metrics.refused(why);
        let last = packet::disconnect(self.namespace());
        self.0.carrier.close_if(|| !self.has_left(), Some(&last), why);
        true
    }

    /// *Drop*: the connection closes, with all namespaces on it, without a DISCONNECT; the client
    /// comes back by itself. What was sent goes before, but to a client that is too slow. False: it
    /// is being closed already.
    pub fn drop(&self, why: Reason) -> bool {
        if self.0.closing.swap(true, SeqCst) {
            return false;
        }
        self.0.carrier.io.metrics.dropped(why);
        self.0.carrier.close_if(|| !self.has_left(), None, why);
        true
    }

    fn fall_behind(&self) {
        if self.drop(Reason::Slow) {
            throttled!(info, "client does not read what it is sent; closed");
        }
    }

    /// Whether anything can still be sent: it is not being closed, and the client is there.
    pub fn is_open(&self) -> bool {
        !self.0.closing.load(SeqCst) && !self.has_left() && !self.0.carrier.is_over()
    }

    /// Whether the client has left the namespace, or its connection is gone.
    pub fn has_left(&self) -> bool {
        self.0.gone.load(SeqCst)
    }

    /// What carries it now.
    pub fn carriage(&self) -> Carriage {
        self.0.carrier.carriage()
    }

    /// Bytes that came in, and that went out, on its WebSocket, if it is on one.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        self.0.carrier.connection().map(|connection| connection.bytes())
    }

    /// Why the server closed its WebSocket, if it did.
    pub fn why(&self) -> Option<Reason> {
        self.0.carrier.connection().and_then(|connection| connection.why())
    }

    /// Stops, or resumes, reading from the client; a polling one waits for the answer to its POST.
    pub fn hold_reading(&self, hold: bool) {
        self.0.carrier.hold_reading(hold);
    }

    /// The client has left: what its side of the server still says goes nowhere.
    pub(super) fn leave(&self) {
        self.0.gone.store(true, SeqCst);
        self.0.carrier.wake();
    }
}
