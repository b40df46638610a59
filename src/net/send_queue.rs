//! What goes out on a WebSocket: finished frames, straight from a room's burst to the kernel. All
//! that is sent is taken whole, so that frames of several senders always stand one behind the
//! other.
use std::{io, sync::Arc, sync::atomic::Ordering::SeqCst, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    connection::{Closing, Connection},
    queue::Queue,
};
use crate::reason::Reason;
use crate::throttle::throttled;

/// Bytes beyond its backlog that a client may be behind for a moment: a burst of its room must not
/// cost a client that reads its place.
pub const BURST: usize = 4 << 20;
/// How long that moment may be.
const CATCH_UP: Duration = Duration::from_secs(4);
/// How often a client that takes nothing is looked at.
const LOOK: Duration = Duration::from_millis(500);

impl Connection {
    /// Sends finished frames, behind all that was sent before.
    pub fn send(self: &Arc<Self>, frames: &Bytes) {
        self.send_if(|| true, frames);
    }

    /// As [`Connection::send`], if the sender may still send. It is asked when its turn has come:
    /// once it may not, nothing of it comes behind what others send from then on.
    pub fn send_if(self: &Arc<Self>, may: impl FnOnce() -> bool, frames: &Bytes) {
        let mut queue = self.queue();
        if self.is_ended() || !may() {
            return;
        }
        let sent = self.append(&mut queue, frames);
        drop(queue);
        match sent {
            Ok(true) => {}
            Ok(false) => self.behind(Reason::Slow),
            Err(_) => self.cut("write failed"),
        }
    }

    /// Bytes that the client may be behind, even for a moment. Where memory is scarce there is no
    /// such moment.
    fn most(&self) -> usize {
        self.borne(BURST)
    }

    /// Bytes that the client may be behind for as long as it goes on reading.
    fn calm(&self) -> usize {
        self.borne(0)
    }

    fn borne(&self, burst: usize) -> usize {
        let borne = self.bounds.admission.borne(self.bounds.backlog, burst);
        borne.saturating_add(self.allowance.load(SeqCst))
    }

    /// False: the client is too far behind.
    pub(super) fn append(self: &Arc<Self>, queue: &mut Queue, bytes: &Bytes) -> io::Result<bool> {
        let (mut written, before) = (0, queue.len());
        if before == 0 {
            while written < bytes.len() {
                match self.socket.send(&bytes[written..]) {
                    Ok(n) => written += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        let connections = &self.bounds.metrics.connections;
        connections.sent.inc_by(written as u64);
        queue.sent += written as u64;
        if written < bytes.len() {
            queue.push(bytes.slice(written..));
            connections.queued.inc_by(queue.len() - before);
        }
        if !queue.flushing && (queue.len() > 0 || self.socket.owes()) {
            queue.flushing = true;
            self.bounds.writes.spawn(flush(self.clone()));
        }
        Ok(queue.len() <= self.most())
    }

    /// The client does not read fast enough.
    fn behind(self: &Arc<Self>, why: Reason) {
        if !self.is_killed() {
            throttled!(
                info,
                peer = %self.peer,
                why = why.label(),
                "client does not read what it is sent; closed"
            );
            self.bounds.metrics.dropped(why);
            // The kernel is to forget what it has for this client, too: a reset instead of an end
            // behind megabytes that nobody reads.
            self.socket.forget();
        }
        self.close(Closing::Abrupt, why);
    }
}

/// Writes the queue out. Exists only while there is one.
async fn flush(connection: Arc<Connection>) {
    let mut progress = Instant::now();
    let mut behind_since: Option<Instant> = None;
    loop {
        let writable = tokio::time::timeout(LOOK, connection.socket.writable()).await;
        if connection.is_killed() {
            return;
        }
        let mut queue = connection.queue();
        let before = queue.len();
        let written = match writable {
            Ok(Ok(())) => queue.write(&connection.socket),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(false),
        };
        let (left, calm, most) = (queue.len(), connection.calm(), connection.most());
        queue.flushing = !matches!(written, Ok(true));
        connection.bounds.metrics.connections.queued.dec_by(before - left);
        connection.bounds.metrics.connections.sent.inc_by(queue.take_written());
        drop(queue);
        match written {
            Err(_) => return connection.cut("write failed"),
            Ok(true) => {
                return connection.drained.notify_waiters();
            }
            Ok(false) => {}
        }
        if left < before {
            progress = Instant::now();
            connection.drained.notify_waiters();
        }
        // Memory has become scarce: whoever is furthest behind goes first, also when it is sent
        // nothing more.
        if left > most {
            return connection.behind(Reason::Slow);
        }
        behind_since = (left > calm).then(|| behind_since.unwrap_or_else(Instant::now));
        if behind_since.is_some_and(|since| since.elapsed() > CATCH_UP) {
            return connection.behind(Reason::Slow);
        }
        if progress.elapsed() > connection.bounds.stall {
            return connection.behind(Reason::Stalled);
        }
    }
}
