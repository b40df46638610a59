//! What carries an engine.io session's packets to its client: polling, at first, and a WebSocket
//! from its beginning or from the upgrade on.
//!
//! All that is said to a polling client waits here, as finished frames, until a poll takes it
//! ([`super::polling`]); the engine's own queue holds nothing of ours. So an upgrade is simple:
//! under the lock of this queue, what waits is sent on the WebSocket, and from then on all that is
//! said goes there. Nothing is lost, said twice, or overtaken.
mod queue;

pub(super) use queue::{Polling, packets};

use std::{
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use socketioxide_core::Sid;
use tokio::time::{Instant, sleep, timeout};

use self::queue::Moved;
use super::{SocketIo, Version, lock};
use crate::{
    metrics::{Carriage, Gauge},
    net::{Closing, Connection, websocket::frame},
    reason::Reason,
};

/// A large packet counts as taken when no more than this is left of what was sent, bytes.
const NEARLY_TAKEN: usize = 64 << 10;
/// How long a refused client may take to fetch its last packets.
const LAST_PACKETS: Duration = Duration::from_secs(5);

/// What carries one engine.io session.
pub(super) struct Carrier {
    pub io: Arc<SocketIo>,
    pub version: Version,
    sid: OnceLock<Sid>,
    /// Once there is one it stays.
    websocket: OnceLock<Arc<Connection>>,
    /// While it polls, and until its last POSTs are handled.
    polling: Mutex<Option<Arc<Polling>>>,
    /// The session has ended.
    over: AtomicBool,
    /// How many clients of namespaces it has, those that wait included.
    clients: AtomicUsize,
    /// How many sockets want nothing to be read from the client. Changed under the lock of
    /// `polling`.
    holds: AtomicUsize,
}

impl Carrier {
    /// Of a session that begins as a WebSocket.
    pub(super) fn websocket(
        io: &Arc<SocketIo>,
        version: Version,
        connection: &Arc<Connection>,
    ) -> Arc<Self> {
        let carrier = Carrier {
            io: io.clone(),
            version,
            sid: OnceLock::from(Sid::new()),
            websocket: OnceLock::from(connection.clone()),
            polling: Mutex::default(),
            over: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
            holds: AtomicUsize::new(0),
        };
        carrier.gauge(true).inc();
        Arc::new(carrier)
    }

    /// Of a session that polls, and gets its name from the engine.
    pub(super) fn polling(
        io: &Arc<SocketIo>,
        version: Version,
        polling: Arc<Polling>,
    ) -> Arc<Self> {
        let carrier = Carrier {
            io: io.clone(),
            version,
            sid: OnceLock::new(),
            websocket: OnceLock::new(),
            polling: Mutex::new(Some(polling)),
            over: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
            holds: AtomicUsize::new(0),
        };
        carrier.gauge(false).inc();
        Arc::new(carrier)
    }

    /// How many sessions are carried so.
    fn gauge(&self, by_websocket: bool) -> &Gauge {
        self.io.metrics.connections.carried(self.carried(by_websocket))
    }

    fn carried(&self, by_websocket: bool) -> Carriage {
        match (by_websocket, self.version) {
            (true, Version::V3) => Carriage::WebSocket3,
            (true, Version::V4) => Carriage::WebSocket4,
            (false, Version::V3) => Carriage::Polling3,
            (false, Version::V4) => Carriage::Polling4,
        }
    }

    /// How it is carried now.
    pub(super) fn carriage(&self) -> Carriage {
        self.carried(self.websocket.get().is_some())
    }

    /// Its WebSocket, once there is one.
    pub(super) fn connection(&self) -> Option<&Arc<Connection>> {
        self.websocket.get()
    }

    /// The session's name, a secret: who knows it can act as a polling client.
    pub(super) fn sid(&self) -> String {
        self.sid.get().map(ToString::to_string).unwrap_or_default()
    }

    /// The engine has named it.
    pub(super) fn name(&self, sid: Sid) {
        let _ = self.sid.set(sid);
    }

    /// What the session has while it polls.
    pub(super) fn polls(&self) -> Option<Arc<Polling>> {
        let polling = lock(&self.polling);
        polling.clone().filter(|_| self.websocket.get().is_none())
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// Sends finished frames.
    pub(super) fn send(&self, frames: &Bytes) -> bool {
        self.send_if(|| true, frames)
    }

    /// Sends finished frames, if the sender may still send: it is asked when its turn has come.
    /// False: a polling client is too far behind, and is to be closed.
    pub(super) fn send_if(&self, may: impl FnOnce() -> bool, frames: &Bytes) -> bool {
        if let Some(connection) = self.websocket.get() {
            connection.send_if(may, frames);
            return true;
        }
        let slot = lock(&self.polling);
        // It may have become one meanwhile, but not any more while the lock is held.
        if let Some(connection) = self.websocket.get() {
            connection.send_if(may, frames);
            return true;
        }
        let Some(polling) = &*slot else { return true };
        polling.push_if(may, frames, self.io.options.backlog)
    }

    fn allow_if(&self, may: impl FnOnce() -> bool, bytes: usize) {
        let slot = lock(&self.polling);
        match (self.websocket.get(), &*slot) {
            (Some(connection), _) => connection.allow_if(may, bytes),
            (None, Some(polling)) => polling.allow(bytes),
            (None, None) => {}
        }
    }

    /// Sends more than a client may be behind, and returns when nearly all of it is taken, or
    /// `is_over`. False as [`Carrier::send_if`].
    pub(super) async fn send_large(
        &self,
        may: impl Fn() -> bool,
        is_over: impl Fn() -> bool,
        frames: Bytes,
    ) -> bool {
        self.allow_if(&may, frames.len());
        if !self.send_if(&may, &frames) {
            return false;
        }
        drop(frames);
        loop {
            if let Some(connection) = self.websocket.get() {
                let progress = connection.progress();
                if is_over() || connection.is_ended() || connection.backlog() <= NEARLY_TAKEN {
                    break;
                }
                progress.await;
            } else {
                let polling = self.polls();
                let taken = polling.as_ref().map(|polling| polling.taken.notified());
                // In this order: what has moved to a WebSocket counts there.
                let is_taken = polling.as_ref().is_none_or(|p| p.unfetched() <= NEARLY_TAKEN);
                if self.websocket.get().is_some() {
                    continue;
                }
                if is_over() || is_taken {
                    break;
                }
                if let Some(taken) = taken {
                    taken.await;
                }
            }
        }
        self.allow_if(&may, 0);
        true
    }

    /// Closes the session's transport behind `last`, if the sender may still send. False: it may
    /// not, or the session is being closed already.
    pub(super) fn close_if(
        self: &Arc<Self>,
        may: impl FnOnce() -> bool,
        last: Option<&Bytes>,
        why: Reason,
    ) -> bool {
        let slot = lock(&self.polling);
        if let Some(connection) = self.websocket.get() {
            let first = !connection.is_ended();
            connection.close_if(may, last, how(why), why);
            return first;
        }
        let Some(polling) = slot.clone() else { return false };
        if !polling.close_if(may, last, why) {
            return false;
        }
        drop(slot);
        polling.wake_all();
        let (carrier, wait) = (self.clone(), last.is_some());
        self.io.tasks.spawn(async move {
            if wait {
                // It has to come for its last packets.
                let _ = timeout(LAST_PACKETS, polling.drained()).await;
            }
            carrier.end_engine(why).await;
        });
        true
    }

    /// *Drops* the session for what it sent.
    pub(super) fn drop_session(self: &Arc<Self>, why: Reason) {
        if self.close_if(|| true, None, why) {
            self.io.metrics.dropped(why);
        }
    }

    /// Ends its session at the engine, and with that, unless it is a WebSocket by now, the
    /// client's.
    async fn end_engine(self: &Arc<Self>, why: Reason) {
        if let Some(sid) = self.sid.get() {
            self.io.post_for(*sid, self.version, "1").await;
        }
        self.engine_ended(why);
    }

    /// Stops, or resumes, reading from the client, as far as one socket is concerned: `holds` is
    /// what that wants, and others may want it too.
    pub(super) fn hold_reading(&self, holds: &AtomicBool, hold: bool) {
        let slot = lock(&self.polling);
        if holds.swap(hold, SeqCst) == hold {
            return;
        }
        let others = if hold {
            self.holds.fetch_add(1, SeqCst)
        } else {
            self.holds.fetch_sub(1, SeqCst) - 1
        };
        let hold = hold || others > 0;
        if let Some(connection) = self.websocket.get() {
            connection.hold_reading(hold);
        }
        // A POST may still be handled while it is a WebSocket already.
        if let Some(polling) = &*slot {
            polling.hold(hold);
        }
    }

    /// Whether nothing is read from the client.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        match self.websocket.get() {
            Some(connection) => connection.is_held(),
            None => self.polls().is_some_and(|polling| polling.is_held()),
        }
    }

    /// Whoever waits for the client should look again.
    pub(super) fn wake(&self) {
        if let Some(polling) = &*lock(&self.polling) {
            polling.taken.notify_waiters();
        }
    }

    /// There is one client of a namespace more.
    pub(super) fn has_come(&self) {
        self.clients.fetch_add(1, SeqCst);
    }

    /// There is one less.
    pub(super) fn has_gone(&self) {
        self.clients.fetch_sub(1, SeqCst);
    }

    /// How many clients of namespaces it has.
    pub(super) fn clients(&self) -> usize {
        self.clients.load(SeqCst)
    }

    /// A client was taken out of its namespace: its dispatcher is to look, which may be at rest.
    pub(super) fn look_at_clients(self: &Arc<Self>) {
        match self.polls() {
            Some(polling) => self.close_unless_connected(&polling, self.io.options.connect_timeout),
            None => {
                if let Some(connection) = self.websocket.get() {
                    connection.wake_reader();
                }
            }
        }
    }

    /// One of its clients has left.
    pub(super) fn has_left(&self) {
        if let Some(connection) = self.websocket.get() {
            connection.limit_allowance();
        }
    }

    /// From now on the session is this WebSocket's: what waits is sent there first, and the engine
    /// forgets it. `None`: it has ended. One that is being closed is closed there, so that the last
    /// words reach the client. Returns when the client was last sent a ping.
    pub(super) fn become_websocket(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
    ) -> Option<Instant> {
        let slot = lock(&self.polling);
        let polling = slot.clone()?;
        let Moved { closing, allowance, frames, pinged } = polling.move_out()?;
        connection.inherit(&polling.place);
        connection.allow_if(|| true, allowance);
        // In one piece: many small ones count more there.
        let mut all = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum::<usize>() + 3);
        frames.iter().for_each(|frames| all.extend_from_slice(frames));
        if polling.pong.load(SeqCst) {
            frame::text(&mut all, &[b"3"]);
        }
        connection.send(&all.freeze());
        connection.hold_reading(polling.is_held());
        if self.websocket.set(connection.clone()).is_ok() {
            self.gauge(false).dec();
            self.gauge(true).inc();
        }
        polling.has_moved(); // behind it: see `send_large`
        drop(slot);
        if let Some(why) = closing {
            connection.close(how(why), why);
        }
        polling.wake_all();
        let carrier = self.clone();
        self.io.tasks.spawn(async move { carrier.end_engine(Reason::ClosedByClient).await });
        Some(pinged)
    }

    /// The last POSTs are handled: nothing is left of polling.
    pub(super) fn forget_polling(&self) {
        let last = lock(&self.polling).take();
        // Without the lock. Whoever waits to be read from learns from the WebSocket when.
        if let Some(last) = last {
            last.hold(false);
        }
    }

    /// The engine's session has ended. That is the client's end, unless it is a WebSocket's.
    pub(super) fn engine_ended(self: &Arc<Self>, why: Reason) {
        let mut slot = lock(&self.polling);
        if self.websocket.get().is_some() {
            return;
        }
        let Some(polling) = slot.take() else { return };
        self.over.store(true, SeqCst);
        drop(slot);
        polling.hold(false);
        polling.wake_all();
        // Behind what it posted.
        self.io.tasks.spawn(async move {
            if let Some(mut dispatcher) = polling.dispatcher.lock().await.take() {
                dispatcher.end(why);
            }
        });
    }

    /// A client that polls, if it is in no namespace, has this long to come back.
    pub(super) fn close_unless_connected(
        self: &Arc<Self>,
        polling: &Arc<Polling>,
        after: Duration,
    ) {
        let (carrier, polling) = (Arc::downgrade(self), Arc::downgrade(polling));
        self.io.tasks.spawn(async move {
            if !is_absent_for(&polling, Duration::ZERO).await {
                return;
            }
            sleep(after).await;
            if is_absent_for(&polling, after).await
                && let Some(carrier) = carrier.upgrade()
            {
                carrier.drop_session(Reason::NotConnected);
            }
        });
    }
}

/// Whether a client that polls has been in no namespace for this long.
async fn is_absent_for(polling: &Weak<Polling>, time: Duration) -> bool {
    let Some(polling) = polling.upgrade() else { return false };
    let mut dispatcher = polling.dispatcher.lock().await;
    dispatcher.as_mut().is_some_and(|dispatcher| dispatcher.is_absent_for(time))
}

/// How a WebSocket is closed for this reason.
fn how(why: Reason) -> Closing {
    match why {
        Reason::Slow | Reason::Stalled => Closing::Abrupt,
        _ => Closing::Graceful,
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.gauge(self.websocket.get().is_some()).dec();
        if let Some(sid) = self.sid.get() {
            self.io.forget(*sid);
        }
    }
}
