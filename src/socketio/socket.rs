//! The way out to one client of a namespace, and the ways to close it.
//!
//! A client leaves its namespace by itself, or with its connection, or is taken out of it here
//! ([`Socket::dismiss`], [`Socket::reject`]). From then on its socket sends nothing. That is
//! decided under the lock of the queue that all frames go through, so nothing comes behind the last
//! word.
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use bytes::Bytes;
use socketioxide_core::Sid;

use super::{
    Refusal, Version,
    carrier::Carrier,
    packet::{self, ROOT},
};
use crate::{
    metrics::Carriage,
    reason::{Kind, Reason},
    throttle::throttled,
};

struct Inner {
    carrier: Arc<Carrier>,
    /// `None`: the root.
    own: Option<Box<Own>>,
    /// We close it.
    closing: AtomicBool,
    /// The client has left the namespace or was taken out of it, or its connection is gone.
    gone: AtomicBool,
    /// The client was told whether it is connected.
    answered: AtomicBool,
    /// Nothing is to be read from the client.
    holds: AtomicBool,
    /// Why we have taken the client out of the namespace, if we have.
    taken_out: OnceLock<Reason>,
}

/// What a socket of another namespace than the root has.
struct Own {
    namespace: Box<str>,
    /// What CONNECT tells the client; `None`: the session's name.
    id: Option<Sid>,
}

/// Whatever its side still wants of the connection is wanted no more.
impl Drop for Inner {
    fn drop(&mut self) {
        if *self.holds.get_mut() {
            self.carrier.hold_reading(&self.holds, false);
        }
    }
}

/// The way out to one client of a namespace. Clones are the same socket.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

impl Socket {
    /// Of a client that counts as one of its connection's until it is gone.
    pub(super) fn new(carrier: Arc<Carrier>, namespace: &str) -> Self {
        carrier.has_come();
        // A client of version 3 is not told one: it takes the session's name.
        let has_id = carrier.version == Version::V4;
        let own = || Box::new(Own { namespace: namespace.into(), id: has_id.then(Sid::new) });
        Socket(Arc::new(Inner {
            own: (namespace != ROOT).then(own),
            carrier,
            closing: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            taken_out: OnceLock::new(),
        }))
    }

    /// The namespace's name, `/` for the root.
    pub fn namespace(&self) -> &str {
        self.0.own.as_ref().map_or(ROOT, |own| &own.namespace)
    }

    /// What the client knows this socket by: of version 4 what CONNECT told it, of version 3 the
    /// name of the engine.io session. That is a secret of the client's user: whoever knows it can
    /// act as a client that polls.
    pub fn id(&self) -> String {
        match self.0.own.as_ref().and_then(|own| own.id) {
            Some(id) => id.to_string(),
            None => self.0.carrier.sid(),
        }
    }

    /// The name of the engine.io session that carries it, the same for all its namespaces: a
    /// secret, as above.
    pub fn session(&self) -> String {
        self.0.carrier.sid()
    }

    /// The version of engine.io that the client speaks: 3 or 4.
    pub fn version(&self) -> u8 {
        self.0.carrier.version.number()
    }

    /// Whether its connection has no client of another namespace, connected or waiting.
    pub fn is_alone(&self) -> bool {
        self.0.carrier.clients() <= usize::from(!self.has_left())
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
        self.send(self.ack_frames(id, arguments, attachments));
    }

    /// The frames of an acknowledgement with attachments, if there are some, for
    /// [`Socket::send`] or [`Socket::send_large`].
    pub fn ack_frames(&self, id: i64, arguments: &[&str], attachments: &[Bytes]) -> Bytes {
        if attachments.is_empty() {
            return packet::ack(self.namespace(), id, arguments);
        }
        let version = self.0.carrier.version;
        packet::binary(version, self.namespace(), Some(id), arguments, attachments)
    }

    /// As [`Socket::send`], for more than a client may be behind. Returns when the client has taken
    /// nearly all of it, or the socket is closed.
    pub async fn send_large(&self, frames: Bytes) {
        let is_over = || !self.is_open();
        if !self.0.carrier.send_large(|| !self.has_left(), is_over, frames).await {
            self.fall_behind();
        }
    }

    /// Tells a client that waits ([`Client::waits`](super::Client::waits)) that it is connected.
    /// What it sends from now on are events. False: it has been answered already, or is gone.
    pub fn admit(&self) -> bool {
        let connected = packet::connected(self.0.carrier.version, self.namespace(), &self.id());
        let mut is_first = false;
        let may = || {
            is_first = !self.has_left() && !self.0.answered.swap(true, SeqCst);
            is_first
        };
        if !self.0.carrier.send_if(may, &connected) {
            self.fall_behind();
        }
        is_first
    }

    /// Tells a client that waits why it is not connected. It is in the namespace no more; the
    /// connection stays, and it may ask again. False: it has been answered already, or is gone.
    pub fn reject(&self, refusal: &Refusal) -> bool {
        if self.0.answered.swap(true, SeqCst) {
            return false;
        }
        let version = self.0.carrier.version;
        let last = packet::connect_error(version, self.namespace(), &refusal.message);
        self.take_out(&last, Reason::RefusedByHook)
    }

    /// *Dismisses* the client from this namespace alone: what was sent, then DISCONNECT. The
    /// connection stays, with its other namespaces; the client may CONNECT to this one again. What
    /// it has on its way goes nowhere, and [`Client::gone`](super::Client::gone) is called soon.
    /// False: it is being closed already, or is gone.
    pub fn dismiss(&self, why: Reason) -> bool {
        if !self.take_out(&packet::disconnect(self.namespace()), why) {
            return false;
        }
        let metrics = &self.0.carrier.io.metrics;
        match why.kind() {
            Kind::Refused => metrics.refused(why),
            Kind::Dropped => metrics.dropped(why),
            Kind::Own => {}
        }
        true
    }

    /// The client is in the namespace no more, and `last` is the last that it is sent. False: it is
    /// being closed already, or is gone.
    fn take_out(&self, last: &Bytes, why: Reason) -> bool {
        if self.0.closing.swap(true, SeqCst) {
            return false;
        }
        let _ = self.0.taken_out.set(why); // who sees that it is gone finds why
        let carrier = &self.0.carrier;
        let mut is_first = false;
        let may = || {
            is_first = self.goes();
            is_first
        };
        let fits = carrier.send_if(may, last);
        // Nobody asked where nothing is sent any more.
        is_first |= self.goes();
        if is_first {
            self.has_gone();
            carrier.has_left();
            carrier.look_at_clients();
        }
        if !fits {
            carrier.drop_session(Reason::Slow);
        }
        is_first
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

    /// Whether the client has left the namespace or was taken out of it, or its connection is gone.
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
    /// Nothing is read for as long as one socket of the connection wants it so. When its client
    /// goes a socket wants that no more, but it may say so again.
    pub fn hold_reading(&self, hold: bool) {
        self.0.carrier.hold_reading(&self.0.holds, hold);
    }

    #[cfg(test)]
    pub(super) fn carrier(&self) -> &Arc<Carrier> {
        &self.0.carrier
    }

    /// Whether the client may send events.
    pub(super) fn is_connected(&self) -> bool {
        self.0.answered.load(SeqCst) && !self.has_left()
    }

    /// Why we have taken the client out of the namespace, if we have.
    pub(super) fn taken_out(&self) -> Option<Reason> {
        self.0.taken_out.get().copied()
    }

    /// The client has left: what its side of the server still says goes nowhere.
    pub(super) fn leave(&self) {
        if self.goes() {
            self.has_gone();
        }
    }

    /// True: it was there until now.
    fn goes(&self) -> bool {
        !self.0.gone.swap(true, SeqCst)
    }

    /// What follows from that, once.
    fn has_gone(&self) {
        self.0.carrier.has_gone();
        self.hold_reading(false);
        self.0.carrier.wake();
    }
}
