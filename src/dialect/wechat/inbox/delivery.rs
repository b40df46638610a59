//! What of an inbox its socket was sent, and what of that is known to have arrived, so that it may
//! be erased. A state without a socket: whoever has one does what it returns, before anything else
//! is done to the state, so that the order in which things are sent is that of its calls.
//!
//! A socket's life in it has two phases. While what waits is read from the log and sent, all that
//! is said in the inbox is *held* back. With [`Delivery::opened`] what was held follows, but for
//! what the log had shown already, and from then on everything goes out at once. Where more is said
//! than can be held, that is thrown away, and the log is read on instead, which has all but the
//! signals.
//!
//! **Nothing is erased before it was delivered.** Behind what was sent goes a ping, one at a time,
//! with the index up to which messages were sent before it. Its pong says that they have arrived.
//! A client that has never answered one has them when its socket has lived two more seconds. Of one
//! that did answer before nothing else is a proof: what comes from it says nothing of what is still
//! on the way to it, maybe behind megabytes. If its pong stays away for half a minute, and for as
//! long as what was sent before the ping may take on a slow line, its connection is lost, and it
//! gets its messages again when it comes back.
//!
//! Erasing is a write of the store, so it is done once a second at most. Whoever ends the socket
//! does the rest ([`Delivery::rest`]).
use std::{ops::Range, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::dialect::wechat::wire::{self, Part};

/// How long a socket has to live on behind a ping that is not answered.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client that has answered before may leave a ping unanswered.
const SILENCE: Duration = Duration::from_secs(30);
/// What was sent before a ping comes at so many bytes a second on the slowest of lines. Its pong
/// may take so much longer.
const SLOWEST: u64 = 64 << 10;
/// Bytes that may have left the server, and are still on the way, in whatever buffers.
const ON_THE_WAY: u64 = 16 << 20;
/// Between two erasures.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are held back, with what it takes to keep them.
const HELD: usize = 4 << 20;

/// What is to be done now, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Out {
    /// Frames to be sent; maybe none.
    pub(in crate::dialect::wechat) frames: Bytes,
    /// The number of a ping to be sent.
    pub(in crate::dialect::wechat) ping: Option<u64>,
    /// The client's contacts are to be read, and told to it.
    pub(in crate::dialect::wechat) contacts: bool,
    /// Nobody has a timer for the ping.
    pub(in crate::dialect::wechat) unwatched: bool,
}

/// What is known of a client when the time of a ping is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Line {
    /// Not all that it has sent is read, so its pong may be there.
    pub(in crate::dialect::wechat) unread: bool,
    /// It is in the middle of sending something, so its pong may be behind that.
    pub(in crate::dialect::wechat) midway: bool,
    /// Some of what it was sent has not left the server.
    pub(in crate::dialect::wechat) unsent: bool,
}

/// The client is gone, though nobody said so.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Lost;

/// A ping that is not answered.
#[derive(Debug)]
struct Ping {
    /// The messages with a smaller index were sent before it. This is its number, too.
    behind: u64,
    /// All bytes that were sent before it.
    bytes: u64,
    since: Instant,
    /// When to look at it.
    look: Instant,
}

/// What was said while the client comes.
#[derive(Debug, Default)]
struct Held {
    pieces: Vec<Bytes>,
    bytes: usize,
    /// It was too much, and nothing of it is kept.
    overflowed: bool,
    /// In what was thrown away it was said that contacts have changed.
    contacts: bool,
}

impl Held {
    fn add(&mut self, packets: Bytes) {
        self.bytes += packets.len() + size_of::<Bytes>();
        self.pieces.push(packets);
        if self.overflowed || self.bytes > HELD {
            self.overflowed = true;
            for packets in std::mem::take(&mut self.pieces) {
                self.contacts |= wire::parts(&packets).any(|part| part == Part::Contacts);
            }
        }
    }
}

/// How far the delivery of an inbox has come, by indexes of its log
/// ([`Position::index`](crate::domain::broker::Position::index)).
#[derive(Debug)]
pub(in crate::dialect::wechat) struct Delivery {
    /// What has to wait; nothing once the socket is open.
    held: Option<Box<Held>>,
    /// The index of the first message that was sent. No ping has a smaller number.
    first: u64,
    /// Messages with a smaller index were sent.
    sent: u64,
    /// Messages with a smaller index have arrived.
    arrived: u64,
    /// Messages with a smaller index are erased.
    erased: u64,
    /// Some are being erased.
    erasing: bool,
    /// Nothing is to be erased before that.
    pause: Option<Instant>,
    ping: Option<Ping>,
    /// Bytes that were sent so far.
    bytes: u64,
    /// Those of them that were sent before the last ping whose pong came while it was waited for.
    proven: u64,
    /// It has answered a ping.
    answers: bool,
    /// Somebody has a timer, and looks when that is over.
    watched: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery {
            held: Some(Box::default()),
            first: 0,
            sent: 0,
            arrived: 0,
            erased: 0,
            erasing: false,
            pause: None,
            ping: None,
            bytes: 0,
            proven: 0,
            answers: false,
            watched: false,
        }
    }
}

impl Delivery {
    /// These were said in the inbox, as [`wire::Frames`] has encoded them.
    pub(in crate::dialect::wechat) fn deliver(&mut self, packets: Bytes, now: Instant) -> Out {
        if let Some(held) = &mut self.held {
            held.add(packets);
            return Out::default();
        }
        let (frames, contacts) = strip(&packets, &mut self.sent);
        self.has_sent(frames.len());
        let ping = self.ping_if_due(now);
        Out { frames, ping, contacts, unwatched: ping.is_some() && !self.watched }
    }

    /// All that waited was sent: the log from the index `first` on, up to `end`. What was held back
    /// comes behind it, and then a ping in any case, to learn whether this client answers. `None`:
    /// that was too much. It is held anew from now on, and the log is to be sent from `end` on.
    pub(in crate::dialect::wechat) fn opened(
        &mut self,
        first: u64,
        end: u64,
        now: Instant,
    ) -> Option<Out> {
        let held = self.held.take().unwrap_or_default();
        let mut contacts = held.contacts;
        if held.overflowed {
            self.held = Some(Box::new(Held { contacts, ..Held::default() }));
            return None;
        }
        (self.first, self.sent) = (first, end);
        (self.arrived, self.erased) = (first, first);
        let mut frames = BytesMut::new();
        for packets in held.pieces {
            let (more, changed) = strip(&packets, &mut self.sent);
            frames.extend_from_slice(&more);
            contacts |= changed;
        }
        self.has_sent(frames.len());
        let ping = Some(self.ping(now));
        Some(Out { frames: frames.freeze(), ping, contacts, unwatched: !self.watched })
    }

    /// So many bytes are sent besides those that it says itself.
    pub(in crate::dialect::wechat) fn has_sent(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// A pong with this number has come, maybe late. Returns that of the next ping, if one is to be
    /// sent.
    pub(in crate::dialect::wechat) fn pong(&mut self, number: u64, now: Instant) -> Option<u64> {
        if !(self.first..=self.sent).contains(&number) {
            return None; // unasked
        }
        // However late: its ping may have been given up.
        self.answers = true;
        self.arrived = self.arrived.max(number);
        let answered = self.ping.take_if(|ping| number >= ping.behind)?;
        self.proven = answered.bytes;
        self.ping_if_due(now)
    }

    /// Looks at the time. Returns the number of the next ping, if one is to be sent.
    ///
    /// # Errors
    /// The client is gone.
    pub(in crate::dialect::wechat) fn look(
        &mut self,
        now: Instant,
        line: impl FnOnce() -> Line,
    ) -> Result<Option<u64>, Lost> {
        let Some(ping) = self.ping.as_mut().filter(|ping| now >= ping.look) else {
            return Ok(None);
        };
        let line = line();
        ping.look = now + PATIENCE;
        if line.unsent || line.unread {
            ping.since = now; // the ping is on its way for no longer, or its pong is there
        } else if !self.answers {
            self.arrived = self.arrived.max(ping.behind);
            self.ping = None;
            return Ok(self.ping_if_due(now));
        } else if line.midway {
            ping.since = now;
        } else if now >= ping.since + silence(ping.bytes.saturating_sub(self.proven)) {
            return Err(Lost);
        }
        Ok(None)
    }

    /// What is to be erased now, if anything is: messages with a smaller index than this.
    /// [`Delivery::has_erased`] follows.
    pub(in crate::dialect::wechat) fn erase(&mut self, now: Instant) -> Option<u64> {
        let waits = self.erasing || self.pause.is_some_and(|pause| now < pause);
        let due = self.rest().filter(|_| !waits)?;
        self.erasing = true;
        Some(due)
    }

    /// Messages with a smaller index than this are erased, or that failed: it is tried again later.
    pub(in crate::dialect::wechat) fn has_erased(&mut self, before: u64, done: bool, now: Instant) {
        self.erasing = false;
        self.pause = Some(now + PAUSE);
        if done {
            self.erased = before;
        }
    }

    /// What is known to have arrived, and not to be erased: messages with a smaller index than
    /// this.
    pub(in crate::dialect::wechat) fn rest(&self) -> Option<u64> {
        (self.arrived > self.erased).then_some(self.arrived)
    }

    /// When to look, and to erase, where nothing happens before. Whoever asks has a timer from now
    /// on, until it tells [`Delivery::unwatch`]; and none where there is no such time.
    pub(in crate::dialect::wechat) fn watch(&mut self) -> Option<Instant> {
        let look = self.ping.as_ref().map(|ping| ping.look);
        let erase = self.rest().filter(|_| !self.erasing).and(self.pause);
        let due = look.into_iter().chain(erase).min();
        self.watched = due.is_some();
        due
    }

    /// There is no timer any more.
    pub(in crate::dialect::wechat) fn unwatch(&mut self) {
        self.watched = false;
    }

    /// The number of a ping that is to be sent now, if there is something that it is for.
    fn ping_if_due(&mut self, now: Instant) -> Option<u64> {
        (self.ping.is_none() && self.sent > self.arrived).then(|| self.ping(now))
    }

    fn ping(&mut self, now: Instant) -> u64 {
        let (behind, bytes) = (self.sent, self.bytes);
        self.ping = Some(Ping { behind, bytes, since: now, look: now + PATIENCE });
        behind
    }
}

/// How long a client that has answered before may leave a ping unanswered, with so many bytes
/// before it that may not have arrived.
fn silence(bytes: u64) -> Duration {
    SILENCE + Duration::from_secs(bytes.min(ON_THE_WAY) / SLOWEST)
}

/// The frames for the client, without their marks, and without messages that were `sent`; and
/// whether its contacts have changed. What is in one piece, mostly a single frame, is not copied.
fn strip(packets: &Bytes, sent: &mut u64) -> (Bytes, bool) {
    let (mut copied, mut piece) = (BytesMut::new(), 0..0);
    let (mut contacts, mut index) = (false, None);
    for part in wire::parts(packets) {
        match part {
            Part::Index(next) => index = Some(next),
            Part::Contacts => contacts = true,
            Part::Frame(frame) => {
                if index.take().is_none_or(|index| is_new(index, sent)) {
                    piece = joined(piece, frame, |piece| copied.extend_from_slice(&packets[piece]));
                }
            }
        }
    }
    if copied.is_empty() {
        return (packets.slice(piece), contacts);
    }
    copied.extend_from_slice(&packets[piece]);
    (copied.freeze(), contacts)
}

/// Whether a message was not sent before. From now on it was.
fn is_new(index: u64, sent: &mut u64) -> bool {
    let new = index >= *sent;
    *sent = (*sent).max(index.saturating_add(1));
    new
}

/// The piece with the next frame, if that follows it; else the next frame alone, behind that piece.
fn joined(
    piece: Range<usize>,
    frame: Range<usize>,
    end: impl FnOnce(Range<usize>),
) -> Range<usize> {
    if piece.end == frame.start {
        return piece.start..frame.end;
    }
    end(piece);
    frame
}

#[cfg(test)]
mod tests;
