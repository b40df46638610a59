//! The way out to one client of a namespace, and the ways to close it.
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use bytes::Bytes;

use crate::{metrics::Metrics, reason::Reason};

/// What carries a socket.
pub trait Carry: Send + Sync {
    /// Sends finished frames.
    fn send(&self, frames: &Bytes);
    /// Sends them, and returns when the client has them, nearly, or `over` says that it is gone.
    fn send_large<'a>(
        &'a self,
        frames: Bytes,
        over: &'a (dyn Fn() -> bool + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    /// Says DISCONNECT, then closes.
    fn refuse(self: Arc<Self>, why: Reason);
    /// Closes.
    fn close(&self, why: Reason);
    /// Stops, or resumes, reading.
    fn hold_reading(&self, hold: bool);
}

struct Inner {
    carrier: Arc<dyn Carry>,
    metrics: Arc<Metrics>,
    closing: AtomicBool,
    gone: AtomicBool,
}

/// The way out to one client of a namespace. Clones are the same socket.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

impl Socket {
    pub(crate) fn new(carrier: Arc<dyn Carry>, metrics: Arc<Metrics>) -> Self {
        Socket(Arc::new(Inner {
            carrier,
            metrics,
            closing: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }))
    }

    /// Sends finished WebSocket text frames, one or more, each one packet, behind all that was sent
    /// before. Never blocks: who is too far behind is closed.
    pub fn send(&self, frames: Bytes) {
        self.0.carrier.send(&frames);
    }

    /// Acknowledges an event of the client; `arguments` are JSON.
    pub fn ack(&self, id: i64, arguments: &[&str]) {
        self.send(super::packet::ack(id, arguments));
    }

    /// As [`Socket::send`], for more than a client may be behind. Returns when the client has taken
    /// nearly all of it, or the socket is closed.
    pub async fn send_large(&self, frames: Bytes) {
        self.0.carrier.send_large(frames, &|| !self.is_open()).await;
    }

    /// *Refuse*: what was sent, then DISCONNECT, then the connection closes; the client stays away.
    /// False: it is being closed already.
    pub fn refuse(&self, why: Reason) -> bool {
        if self.0.closing.swap(true, SeqCst) {
            return false;
        }
        self.0.metrics.refused(why.label());
        self.0.carrier.clone().refuse(why);
        true
    }

    /// *Drop*: the connection closes, without a DISCONNECT; the client comes back by itself. What
    /// was sent goes before, but to a client that is too slow. False: it is being closed already.
    pub fn drop(&self, why: Reason) -> bool {
        if self.0.closing.swap(true, SeqCst) {
            return false;
        }
        self.0.metrics.dropped(why.label());
        self.0.carrier.close(why);
        true
    }

    /// Whether anything can still be sent: it is not being closed, and the client is there.
    pub fn is_open(&self) -> bool {
        !self.0.closing.load(SeqCst) && !self.0.gone.load(SeqCst)
    }

    /// Stops, or resumes, reading from the client; a polling one waits for the answer to its POST.
    pub fn hold_reading(&self, hold: bool) {
        self.0.carrier.hold_reading(hold);
    }

    /// The client is gone.
    pub(crate) fn has_gone(&self) {
        self.0.gone.store(true, SeqCst);
    }
}
