//! What only a session that polls has: the queue of what its client has yet to fetch, and who waits
//! for the client, or for it.
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use crate::{
    metrics::Metrics,
    net::{
        Connection,
        admission::Admission,
        connection::Begun,
        meter::Meter,
        send_queue::BURST,
        websocket::frame::{self, Opcode},
    },
    reason::Reason,
    socketio::{dispatch::Dispatcher, lock, payload},
};

/// What only a session that polls has.
pub(in crate::socketio) struct Polling {
    queue: Mutex<Queue>,
    /// Something was put in the queue, or polls are to be answered with what there is.
    filled: Notify,
    /// Something was taken out, or there is nobody to wait for.
    pub taken: Notify,
    /// POSTs are not read further.
    held: AtomicBool,
    released: Notify,
    /// Somebody asks to become its WebSocket.
    upgrading: AtomicBool,
    /// Its polls are answered at once meanwhile.
    releasing: AtomicBool,
    /// Held while a POST is read and handled; an upgrade waits for all of them.
    pub posts: Arc<tokio::sync::RwLock<()>>,
    /// Handling one POST at a time keeps their order. `None`: it has been moved to a WebSocket.
    pub dispatcher: Arc<tokio::sync::Mutex<Option<Dispatcher>>>,
    /// The engine has been told that the client is connected.
    pub admitted: AtomicBool,
    /// The engine has a pong for the client, which has not been fetched. Another one would say
    /// nothing new.
    pub pong: AtomicBool,
    /// The client can read bodies that are binary.
    pub takes_binary: bool,
    /// Its place, until it is a WebSocket.
    pub place: Begun,
    /// Where what the client may send is bounded.
    meter: Option<Mutex<Box<Meter>>>,
    /// Where memory is scarce its client may be less far behind.
    admission: Arc<Admission>,
}

/// What a polling client has yet to fetch.
struct Queue {
    frames: VecDeque<Bytes>,
    /// By [`payload::weight`], bytes.
    weight: usize,
    /// Bytes that it may be further behind: a page on its way.
    allowance: usize,
    /// The session is being closed, for this reason: nothing more is taken.
    closing: Option<Reason>,
    /// It is a WebSocket's now: nothing more is taken.
    moved: bool,
    /// When the client was last sent a ping, or the open packet.
    pinged: Instant,
    metrics: Arc<Metrics>,
}

/// What a WebSocket takes over.
pub(super) struct Moved {
    pub closing: Option<Reason>,
    pub allowance: usize,
    pub frames: Vec<Bytes>,
    pub pinged: Instant,
}

impl Queue {
    fn is_closed(&self) -> bool {
        self.moved || self.closing.is_some()
    }

    fn push(&mut self, frames: &Bytes) {
        let weight = weight(frames);
        self.metrics.connections.unfetched.inc_by(weight);
        self.weight += weight;
        self.frames.push_back(frames.clone());
    }

    /// So much of it waits here no more.
    fn forget(&mut self, weight: usize) {
        self.metrics.connections.unfetched.dec_by(weight);
        self.weight -= weight;
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.forget(self.weight);
    }
}

fn weight(frames: &Bytes) -> usize {
    frame::payloads(frames).map(|(opcode, packet)| payload::weight(opcode, packet)).sum()
}

impl Polling {
    pub(in crate::socketio) fn new(
        takes_binary: bool,
        place: Begun,
        meter: Option<Box<Meter>>,
        admission: Arc<Admission>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Polling {
            queue: Mutex::new(Queue {
                frames: VecDeque::new(),
                weight: 0,
                allowance: 0,
                closing: None,
                moved: false,
                pinged: Instant::now(),
                metrics,
            }),
            filled: Notify::new(),
            taken: Notify::new(),
            held: AtomicBool::new(false),
            released: Notify::new(),
            upgrading: AtomicBool::new(false),
            releasing: AtomicBool::new(false),
            posts: Arc::default(),
            dispatcher: Arc::default(),
            admitted: AtomicBool::new(false),
            pong: AtomicBool::new(false),
            takes_binary,
            place,
            meter: meter.map(Mutex::new),
            admission,
        })
    }

    /// A packet of so many bytes has come. `Some`: its client is to wait until then.
    pub(in crate::socketio) fn charge(&self, bytes: usize) -> Option<Instant> {
        self.meter.as_ref().and_then(|meter| lock(meter).charge(bytes, Instant::now()))
    }

    /// `Some`: its client owes until then for what has come already.
    pub(in crate::socketio) fn owed(&self) -> Option<Instant> {
        self.meter.as_ref().and_then(|meter| lock(meter).owed(Instant::now()))
    }

    /// What it has yet to fetch, bytes.
    pub(super) fn unfetched(&self) -> usize {
        lock(&self.queue).weight
    }

    /// Whether it has more to fetch than it may.
    pub(in crate::socketio) fn is_behind(&self, backlog: usize) -> bool {
        let queue = lock(&self.queue);
        queue.weight > self.most(backlog, &queue)
    }

    /// What there may be to fetch, even for a moment.
    fn most(&self, backlog: usize, queue: &Queue) -> usize {
        self.admission.borne(backlog, BURST) + queue.allowance
    }

    /// Puts finished frames in the queue, if the sender may still send: it is asked when its turn
    /// has come. False: with them there is more to fetch than there may be.
    pub(super) fn push_if(
        &self,
        may: impl FnOnce() -> bool,
        frames: &Bytes,
        backlog: usize,
    ) -> bool {
        let mut queue = lock(&self.queue);
        if queue.is_closed() || !may() {
            return true;
        }
        queue.push(frames);
        let fits = queue.weight <= self.most(backlog, &queue);
        drop(queue);
        self.filled.notify_waiters();
        fits
    }

    /// It may be so many bytes further behind.
    pub(super) fn allow(&self, bytes: usize) {
        lock(&self.queue).allowance = bytes;
    }

    /// Takes nothing more behind `last`, if the sender may still send. False: it may not, or
    /// nothing more is taken already. Who waits is to be told by [`Polling::wake_all`].
    pub(super) fn close_if(
        &self,
        may: impl FnOnce() -> bool,
        last: Option<&Bytes>,
        why: Reason,
    ) -> bool {
        let mut queue = lock(&self.queue);
        if queue.is_closed() || !may() {
            return false;
        }
        queue.closing = Some(why);
        if let Some(last) = last {
            queue.push(last);
        }
        true
    }

    /// Takes nothing more: what waits is a WebSocket's now. `None`: it has been moved before. What
    /// it weighs counts until [`Polling::has_moved`].
    pub(super) fn move_out(&self) -> Option<Moved> {
        let mut queue = lock(&self.queue);
        if std::mem::replace(&mut queue.moved, true) {
            return None;
        }
        Some(Moved {
            closing: queue.closing,
            allowance: queue.allowance,
            frames: queue.frames.drain(..).collect(),
            pinged: queue.pinged,
        })
    }

    /// What has been moved counts at the WebSocket.
    pub(super) fn has_moved(&self) {
        let mut queue = lock(&self.queue);
        let all = queue.weight;
        queue.forget(all);
    }

    /// Whoever waits for it should look again.
    pub(super) fn wake_all(&self) {
        self.filled.notify_waiters();
        self.taken.notify_waiters();
    }

    /// POSTs are not read further.
    pub(super) fn is_held(&self) -> bool {
        self.held.load(SeqCst)
    }

    fn has_something(&self) -> bool {
        let queue = lock(&self.queue);
        !queue.frames.is_empty() || queue.is_closed() || self.releasing.load(SeqCst)
    }

    /// Returns when a poll can be answered without the engine.
    pub(in crate::socketio) async fn something(&self) {
        loop {
            let filled = self.filled.notified();
            if self.has_something() {
                return;
            }
            filled.await;
        }
    }

    /// Takes what a poll's answer has room for: at least one packet, and no more than `most` bytes
    /// with it.
    pub(in crate::socketio) fn take(&self, most: usize) -> Vec<Bytes> {
        let mut queue = lock(&self.queue);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(frames) = queue.frames.front() {
            bytes += frames.len();
            if bytes > most && !taken.is_empty() {
                break;
            }
            taken.extend(queue.frames.pop_front());
        }
        queue.forget(taken.iter().map(weight).sum::<usize>());
        drop(queue);
        self.taken.notify_waiters();
        taken
    }

    /// Whether polls are to be answered at once, with a noop if need be: the client is changing to
    /// a WebSocket, or the session ends.
    pub(in crate::socketio) fn is_ending(&self) -> bool {
        self.releasing.load(SeqCst) || lock(&self.queue).is_closed()
    }

    /// The client is being sent a ping.
    pub(in crate::socketio) fn pinged(&self) {
        lock(&self.queue).pinged = Instant::now();
    }

    /// The session was closed before its client said `5`: so is the WebSocket, for the same reason.
    pub(in crate::socketio) fn close_too(&self, connection: &Arc<Connection>) {
        if let Some(why) = lock(&self.queue).closing {
            connection.close(super::how(why), why);
        }
    }

    /// Returns when the client may send more.
    pub(in crate::socketio) async fn flow(&self) {
        loop {
            let released = self.released.notified();
            if !self.held.load(SeqCst) {
                return;
            }
            released.await;
        }
    }

    pub(super) fn hold(&self, hold: bool) {
        self.held.store(hold, SeqCst);
        if !hold {
            self.released.notify_waiters();
        }
    }

    /// One upgrade at a time. `None`: there is another one.
    pub(in crate::socketio) fn begin_upgrade(self: &Arc<Self>) -> Option<Upgrading> {
        (!self.upgrading.swap(true, SeqCst)).then(|| Upgrading(self.clone()))
    }

    /// Returns when all was fetched.
    pub(super) async fn drained(&self) {
        loop {
            let taken = self.taken.notified();
            if self.unfetched() == 0 {
                return;
            }
            taken.await;
        }
    }
}

/// An upgrade under way. Dropped: the session polls on as if there had been none.
pub(in crate::socketio) struct Upgrading(Arc<Polling>);

impl Upgrading {
    /// The poll that is under way is answered, and all that come until the end of the upgrade: the
    /// client is to pause.
    pub(in crate::socketio) fn release_polls(&self) {
        self.0.releasing.store(true, SeqCst);
        self.0.filled.notify_waiters();
    }
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        self.0.releasing.store(false, SeqCst);
        self.0.upgrading.store(false, SeqCst);
    }
}

/// What a taken piece holds, packet by packet.
pub(in crate::socketio) fn packets(taken: &[Bytes]) -> Vec<(Opcode, &[u8])> {
    taken.iter().flat_map(|frames| frame::payloads(frames)).collect()
}
