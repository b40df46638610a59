//! What goes out on a WebSocket: the engine's frames, and ours past the engine.
//!
//! The *fast carrier*: finished frames go straight from a room's burst to the kernel. Most WebSockets
//! never meet the engine. Where a polling client was upgraded, ours go past the engine's
//! per-recipient queue and encoding, and what makes that sound is this: the engine hands over whole
//! frames only, and all writes are taken whole, so ours always stand between two of its own;
//! everything of ours to a WebSocket client takes this one carrier, so it is in order; and what the
//! engine was given before (CONNECT, what the client had yet to fetch) ends with a marker, until
//! which ours are held.
use std::{
    io,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    connection::{Closing, Connection, dead},
    queue::{PIECE, Queue},
};
use crate::reason::Reason;
use crate::throttle::throttled;

/// The event that is the marker, and the text of its frame, which no other frame can equal: its
/// name is no event of ours. It is given to the engine behind all else, and never written.
pub const MARKER: (&str, &str) = ("~", r#"42["~",0]"#);

/// Bytes beyond its backlog that a client may be behind for a moment: a burst of its room must not
/// cost a client that reads its place.
pub const BURST: usize = 4 << 20;
/// How long that moment may be.
const CATCH_UP: Duration = Duration::from_secs(4);
/// How often a client that takes nothing is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A WebSocket text frame with the packet DISCONNECT of the namespace `/`. These bytes are nowhere
/// else in what the engine writes: 0x02 can't stand in JSON text, and no other packet is two bytes
/// long and begins with `41`.
pub const DISCONNECT: [u8; 4] = [0x81, 2, b'4', b'1'];

impl Connection {
    /// From now on frames of ours wait until the engine writes the marker.
    pub fn hold(&self) {
        self.queue().held.get_or_insert_default();
    }

    /// Sends finished frames, behind all that was sent before.
    pub fn send(self: &Arc<Self>, frames: &Bytes) {
        self.send_if(|_| true, frames);
    }

    /// As [`Connection::send`], if the connection is still this session's ([`Connection::give_to`]).
    pub fn send_of(self: &Arc<Self>, session: u64, frames: &Bytes) {
        self.send_if(|owner| owner == session, frames);
    }

    fn send_if(self: &Arc<Self>, may: impl FnOnce(u64) -> bool, frames: &Bytes) {
        let mut queue = self.queue();
        if self.is_ended() || !may(queue.session) {
            return;
        }
        let sent = match &mut queue.held {
            Some(held) => {
                held.frames.push(frames.clone());
                held.bytes += frames.len() + PIECE;
                Ok(held.bytes <= self.most())
            }
            None => self.append(&mut queue, frames),
        };
        drop(queue);
        match sent {
            Ok(true) => {}
            Ok(false) => self.behind(Reason::Slow),
            Err(_) => self.cut("write failed"),
        }
    }

    /// Takes all of what the engine writes, which is whole frames.
    pub(super) fn accept(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        let mut queue = self.queue();
        if self.is_ended() {
            return Err(dead());
        }
        let fits = match &queue.held {
            None => self.append(&mut queue, &Bytes::copy_from_slice(bytes))?,
            Some(_) => match turn(bytes) {
                None => self.append(&mut queue, &Bytes::copy_from_slice(bytes))?,
                Some((before, after)) => {
                    let held = queue.held.take().unwrap_or_default();
                    let mut fits =
                        self.append(&mut queue, &Bytes::copy_from_slice(&bytes[..before]))?;
                    for frames in &held.frames {
                        fits = self.append(&mut queue, frames)?;
                    }
                    fits & self.append(&mut queue, &Bytes::copy_from_slice(&bytes[after..]))?
                }
            },
        };
        let code = self.ending.load(SeqCst);
        if code != 0 && bytes.windows(DISCONNECT.len()).any(|w| w == DISCONNECT) {
            self.ended.store(true, SeqCst);
            self.say_goodbye(&mut queue, Some(code));
            self.reader.wake();
        }
        drop(queue);
        self.accepted.fetch_add(bytes.len() as u64, SeqCst);
        if !fits {
            self.behind(Reason::Slow);
            return Err(dead());
        }
        self.drained.notify_waiters();
        Ok(())
    }

    /// Bytes that the client may be behind, even for a moment.
    fn most(&self) -> usize {
        self.calm().saturating_add(BURST)
    }

    /// Bytes that the client may be behind for as long as it goes on reading.
    fn calm(&self) -> usize {
        self.bounds.backlog.saturating_add(self.allowance.load(SeqCst))
    }

    /// False: the client is too far behind.
    pub(super) fn append(self: &Arc<Self>, queue: &mut Queue, bytes: &Bytes) -> io::Result<bool> {
        let mut written = 0;
        if queue.len() == 0 {
            while written < bytes.len() {
                match self.socket.send(&bytes[written..]) {
                    Ok(n) => written += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        if written < bytes.len() {
            queue.push(bytes.slice(written..));
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
            throttled!(info, peer = %self.peer, why = why.label(), "client does not read what it is sent; closed");
            self.bounds.metrics.dropped(why.label());
            // The kernel is to forget what it has for this client, too: a reset instead of an end
            // behind megabytes that nobody reads.
            self.socket.forget();
        }
        self.close(Closing::Abrupt, why);
    }
}

/// Where the marker begins and ends in what the engine writes.
fn turn(frames: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    while let Some(length) = frames.get(at + 1) {
        let (header, length) = match *length {
            126 => {
                (4, usize::from(u16::from_be_bytes(frames.get(at + 2..at + 4)?.try_into().ok()?)))
            }
            127 => (
                10,
                usize::try_from(u64::from_be_bytes(frames.get(at + 2..at + 10)?.try_into().ok()?))
                    .ok()?,
            ),
            short => (2, usize::from(short)),
        };
        let end = at + header + length;
        let text = frames.get(at + header..end)?;
        if frames[at] == 0x81 && text == MARKER.1.as_bytes() {
            return Some((at, end));
        }
        at = end;
    }
    None
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
        let (left, calm) = (queue.len(), connection.calm());
        queue.flushing = !matches!(written, Ok(true));
        drop(queue);
        match written {
            Err(_) => return connection.cut("write failed"),
            Ok(true) => {
                connection.drained.notify_waiters();
                return connection.writer.wake();
            }
            Ok(false) => {}
        }
        if left < before {
            progress = Instant::now();
            connection.drained.notify_waiters();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81];
        match text.len() {
            n @ 0..126 => frame.push(n as u8),
            n => frame.extend([126, (n >> 8) as u8, n as u8]),
        }
        frame.extend(text.as_bytes());
        frame
    }

    #[test]
    fn the_engines_turn_ends_around_the_marker() {
        let (long, connect, marker) =
            (frame(&"x".repeat(300)), frame(r#"40{"sid":"x"}"#), frame(MARKER.1));
        let written = [long.clone(), frame("2"), connect, frame("3")].concat();
        assert_eq!(turn(&written), None);
        let written = [long.clone(), marker.clone(), frame("3")].concat();
        assert_eq!(turn(&written), Some((long.len(), long.len() + marker.len())));
        // The head of the 101 answer is no frame, and ends no turn.
        assert_eq!(turn(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), None);
    }
}
