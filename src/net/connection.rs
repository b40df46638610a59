//! One TCP connection, as the rest of the server may act on it: close it, hold its reading, see
//! what it has yet to read.
//!
//! While it speaks HTTP, writes go through and push back as usual. Once it is a WebSocket it takes
//! every write whole, into a queue of its own ([`super::send_queue`]), so that what a client has
//! not read yet is known exactly, in bytes, and is the one bound on it: a client that stays above
//! the bound is closed, never waited for, and never skipped. A queue that makes no progress for the
//! stall time ends the connection as well.
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::{
    sync::{Notify, futures::Notified},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admission::{Admission, Place},
    close,
    meter::Meter,
    queue::Queue,
    socket::Socket,
    websocket::frame,
};
use crate::metrics::Metrics;
use crate::reason::Reason;

pub use self::places::Begun;

mod places;

/// How long a connection that we close may take to say that it has read everything; and while the
/// server ends, which waits for it. What was written is with the kernel and goes its way after the
/// end too, unless the client still sends.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_AT_THE_END: Duration = Duration::from_millis(500);

/// Bounds of every connection of a listener.
#[derive(Clone)]
pub struct Bounds {
    /// Longest time without progress while something is to be written.
    pub stall: Duration,
    /// Bytes that a WebSocket client may be behind for longer than a moment.
    pub backlog: usize,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// Where clients that are dropped are counted.
    pub metrics: Arc<Metrics>,
    /// Tasks that live as long as their connection.
    pub connections: TaskTracker,
    /// Tasks that write what is left: they end by themselves, soon.
    pub writes: TaskTracker,
    /// Cancelled when the server begins to end. Counted once more, as the clones of the token
    /// itself, one for each connection, would take a lock.
    pub ending: Arc<CancellationToken>,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// What is queued here is still written, and a WebSocket Close frame.
    Graceful,
    /// At once; what is not written is lost.
    Abrupt,
}

/// A TCP connection.
pub struct Connection {
    pub(super) socket: Socket,
    /// The other end's address and port: those of a proxy, where there is one between.
    pub peer: SocketAddr,
    pub(super) bounds: Bounds,
    queue: Mutex<Queue>,
    websocket: AtomicBool,
    /// No Close frame but behind a last word, or as an answer.
    pub(super) wordless: AtomicBool,
    pub(super) ended: AtomicBool,
    /// Why we have closed it: the place in [`Reason::ALL`], from 1 on; 0: we have not.
    why: AtomicU8,
    killed: AtomicBool,
    held: AtomicBool,
    /// Its client sends faster than it may.
    paused: AtomicBool,
    /// Bytes that may be queued beyond the backlog: a page on its way.
    pub(super) allowance: AtomicUsize,
    /// Bytes that were read; counted by who reads.
    received: AtomicU64,
    /// Some of the queue was taken, or the connection ended.
    pub(super) drained: Notify,
    pub(super) reader: AtomicWaker,
    /// Given back at the end. None: it is only there to be told that it is not let in, or needs
    /// none.
    place: Option<Arc<Place>>,
    /// A session has begun here: each further one is a newcomer, also when that has ended.
    used: AtomicBool,
    /// A session that is there has this place.
    shared: AtomicBool,
}

impl Connection {
    pub(super) fn new(
        socket: Socket,
        peer: SocketAddr,
        bounds: Bounds,
        place: Option<Place>,
    ) -> Arc<Self> {
        Arc::new(Connection {
            socket,
            peer,
            bounds,
            queue: Mutex::default(),
            websocket: AtomicBool::new(false),
            wordless: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            why: AtomicU8::new(0),
            received: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            held: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            allowance: AtomicUsize::new(0),
            drained: Notify::new(),
            reader: AtomicWaker::new(),
            place: place.map(Arc::new),
            used: AtomicBool::new(false),
            shared: AtomicBool::new(false),
        })
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a WebSocket: writes are queued here.
    pub fn become_websocket(&self) {
        self.websocket.store(true, SeqCst);
    }

    /// From now on it is closed without a Close frame, unless a last frame tells the client so.
    pub fn close_without_a_word(&self) {
        self.wordless.store(true, SeqCst);
    }

    pub(super) fn is_websocket(&self) -> bool {
        self.websocket.load(SeqCst)
    }

    /// Closes the connection. `why` is what its Close frame says, where it gets one.
    pub fn close(self: &Arc<Self>, closing: Closing, why: Reason) {
        self.close_if(|| true, None, closing, why);
    }

    /// As [`Connection::close`], behind a last frame, if the sender may still send
    /// ([`Connection::send_if`]). All in one: whatever others have to say comes too late.
    pub fn close_if(
        self: &Arc<Self>,
        may: impl FnOnce() -> bool,
        last: Option<&Bytes>,
        closing: Closing,
        why: Reason,
    ) {
        let may = || {
            let may = may();
            if may {
                self.note(why);
            }
            may
        };
        self.end(may, last, closing, close::code(why), why.label());
    }

    /// As [`Connection::close`], with this code in its Close frame: one of those that protocols
    /// above WebSocket have for themselves (RFC 6455, 7.4.2).
    pub fn close_with(self: &Arc<Self>, code: u16, why: Reason) {
        let may = || {
            self.note(why);
            true
        };
        self.end(may, None, Closing::Graceful, Some(code), why.label());
    }

    /// Notes why it is closed; the first reason counts.
    fn note(&self, why: Reason) {
        let place = Reason::ALL.iter().position(|reason| *reason == why);
        let place = place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0);
        let _ = self.why.compare_exchange(0, place, Relaxed, Relaxed);
    }

    /// Why the server has closed it, if it has.
    pub fn why(&self) -> Option<Reason> {
        Reason::ALL.get(usize::from(self.why.load(Relaxed)).checked_sub(1)?).copied()
    }

    /// So many bytes were read. Told by the one task that reads.
    pub(super) fn has_read(&self, bytes: usize) {
        self.bounds.metrics.connections.received.inc_by(bytes as u64);
        self.received.store(self.received.load(Relaxed) + bytes as u64, Relaxed);
    }

    /// Bytes that were read and written since it is a WebSocket, and read before that.
    pub fn bytes(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.queue().sent)
    }

    /// Answers the client's Close frame with the same (RFC 6455, 5.5.1), and closes.
    pub fn answer_close(self: &Arc<Self>, code: Option<u16>) {
        let why = Reason::ClosedByClient.label();
        self.end(|| true, Some(&frame::close(code)), Closing::Graceful, None, why);
    }

    /// It is broken: closes what is left of it, at once. `why` is a word for logs.
    pub(super) fn cut(self: &Arc<Self>, why: &'static str) {
        self.end(|| true, None, Closing::Abrupt, None, why);
    }

    fn end(
        self: &Arc<Self>,
        may: impl FnOnce() -> bool,
        last: Option<&Bytes>,
        closing: Closing,
        code: Option<u16>,
        why: &'static str,
    ) {
        let mut queue = self.queue();
        if !may() {
            return;
        }
        tracing::debug!(peer = %self.peer, ?closing, why, "closing");
        match closing {
            // Under the lock: who sees that it has ended finds the Close frame in the queue.
            Closing::Graceful if self.is_websocket() && !self.ended.swap(true, SeqCst) => {
                if let Some(last) = last {
                    let _ = self.append(&mut queue, last);
                }
                if code.is_some() && (last.is_some() || !self.wordless.load(SeqCst)) {
                    self.say_goodbye(&mut queue, code);
                }
            }
            Closing::Graceful => {}
            Closing::Abrupt if !self.killed.swap(true, SeqCst) => {
                self.socket.cut();
            }
            Closing::Abrupt => {}
        }
        self.ended.store(true, SeqCst);
        drop(queue);
        self.reader.wake();
        self.drained.notify_waiters();
    }

    /// Lets the client be this many bytes further behind, if the sender may still send
    /// ([`Connection::send_if`]).
    pub fn allow_if(&self, may: impl FnOnce() -> bool, bytes: usize) {
        let _queue = self.queue();
        if may() {
            self.allowance.store(bytes, SeqCst);
        }
    }

    /// A sender has gone. What it was allowed stays allowed for what it has left unread, and no
    /// more: who comes and goes would be allowed more each time.
    pub fn limit_allowance(&self) {
        let queue = self.queue();
        self.allowance.fetch_min(queue.len(), SeqCst);
    }

    /// The Close frame, behind all that was written: whole frames only come in here, so this is
    /// between two of them.
    pub(super) fn say_goodbye(self: &Arc<Self>, queue: &mut Queue, code: Option<u16>) {
        if !self.is_killed() {
            let _ = self.append(queue, &frame::close(code));
        }
    }

    /// Whether nothing more is read or written.
    pub fn is_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed.load(SeqCst)
    }

    /// Stops, or resumes, reading from the client.
    pub fn hold_reading(&self, hold: bool) {
        self.held.store(hold, SeqCst);
        if !hold {
            self.reader.wake();
        }
    }

    /// Whether its client sends faster than it may, so that it is read later.
    pub(super) fn pause_reading(&self, pause: bool) {
        if pause {
            self.bounds.admission.slows();
        }
        self.paused.store(pause, SeqCst);
    }

    /// Who knows what the server can take on.
    pub fn admission(&self) -> Arc<Admission> {
        self.bounds.admission.clone()
    }

    /// What measures how fast its client sends, where that is bounded.
    pub fn meter(&self) -> Option<Box<Meter>> {
        self.bounds.admission.meter()
    }

    /// Whether nobody knows what its client has sent by now, as that is read later.
    pub fn is_unread(&self) -> bool {
        self.is_held() || self.paused.load(SeqCst)
    }

    /// Has whoever reads look again at what it waits for besides.
    pub fn wake_reader(&self) {
        self.reader.wake();
    }

    /// Whether reading is stopped.
    pub fn is_held(&self) -> bool {
        self.held.load(SeqCst)
    }

    /// Bytes that the kernel has not taken yet.
    pub fn backlog(&self) -> usize {
        self.queue().len()
    }

    /// Ends when some of them were taken after this call, or the connection ended.
    pub fn progress(&self) -> Notified<'_> {
        self.drained.notified()
    }

    /// Returns once nothing more is read or written.
    pub async fn ended(&self) {
        loop {
            let progress = self.progress();
            if self.is_ended() {
                return;
            }
            progress.await;
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        let queue = self.queue();
        queue.len() == 0 && !queue.flushing
    }

    /// After we closed: writes what is queued, then waits for the client to close too, so that the
    /// kernel does not throw away what it has yet to read.
    pub(super) async fn linger(self: Arc<Self>) {
        while !self.is_flushed() && !self.is_killed() {
            let notified = self.drained.notified();
            if !self.is_flushed() && !self.is_killed() {
                notified.await; // the flush ends, or gives the connection up
            }
        }
        self.socket.say_goodbye();
        let goodbye = async {
            if self.socket.flushed().await.is_ok() {
                self.socket.finish();
                self.socket.drain().await;
            }
        };
        let hurry = async {
            self.bounds.ending.cancelled().await;
            sleep(LINGER_AT_THE_END).await;
        };
        tokio::select! {
            () = goodbye => {}
            () = hurry => {}
            () = sleep(LINGER) => {}
        }
    }
}

/// What nobody has read is gone with it.
impl Drop for Connection {
    fn drop(&mut self) {
        let left = self.queue().len();
        self.bounds.metrics.connections.queued.dec_by(left);
    }
}

/// What reads and writes of a killed connection get.
pub(super) fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the server")
}
