//! What of an inbox its socket was sent, and what of that is known to have arrived, so that it may
//! be erased. A state without a socket: whoever has one does what it returns, before anything else
//! is done to the state, so that the order in which things are sent is that of its calls.
//!
//! A socket's life in it has two phases. While what waits is read from the log and sent, all that
//! is said in the inbox is *held* back. With [`Delivery::opened`] what was held follows, but for
//! what the log had shown already, and from then on everything goes out at once.
//!
//! **Nothing is erased before it was delivered.** Behind what was sent goes a ping, one at a time,
//! with the index up to which messages were sent before it. Its pong says that they have arrived.
//! A client that has never answered one has them when its socket has lived two more seconds. One
//! that did answer before, and is silent now, may well be gone without a word, as phones go: its
//! messages wait until something is heard of it, and after half a minute its connection is lost.
//!
//! Erasing is a write of the store, so it is done once a second at most. Whoever ends the socket
//! does the rest ([`Delivery::rest`]).
use std::{ops::Range, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::dialect::wechat::wire::{self, Part};

/// How long a socket has to live on behind a ping that is not answered.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client that has answered before may give no sign of life behind a ping.
const SILENCE: Duration = Duration::from_secs(30);
/// Between two erasures.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are held back. Whoever is sent more while its client comes has to come again.
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
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect::wechat) struct Line {
    /// When something came from it last.
    pub(in crate::dialect::wechat) heard: Instant,
    /// It is not read from at the moment, so its silence means nothing.
    pub(in crate::dialect::wechat) unread: bool,
    /// Some of what it was sent has not left the server.
    pub(in crate::dialect::wechat) unsent: bool,
}

/// More was said in the inbox than can be held back.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct TooMuch;

/// The client is gone, though nobody said so.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Lost;

/// A ping that is not answered.
#[derive(Debug)]
struct Ping {
    /// The messages with a smaller index were sent before it. This is its number, too.
    behind: u64,
    since: Instant,
    /// When to look at it.
    look: Instant,
}

/// How far the delivery of an inbox has come, by indexes of its log
/// ([`Position::index`](crate::domain::broker::Position::index)).
#[derive(Debug)]
pub(in crate::dialect::wechat) struct Delivery {
    /// What has to wait; nothing once the socket is open.
    held: Option<Vec<Bytes>>,
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
    /// It has answered a ping.
    answers: bool,
    /// Somebody has a timer, and looks when that is over.
    watched: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery {
            held: Some(Vec::new()),
            sent: 0,
            arrived: 0,
            erased: 0,
            erasing: false,
            pause: None,
            ping: None,
            answers: false,
            watched: false,
        }
    }
}

impl Delivery {
    /// These were said in the inbox, as [`wire::Frames`] has encoded them.
    ///
    /// # Errors
    /// They can't be held back.
    pub(in crate::dialect::wechat) fn deliver(
        &mut self,
        packets: Bytes,
        now: Instant,
    ) -> Result<Out, TooMuch> {
        if let Some(held) = &mut self.held {
            held.push(packets);
            let bytes: usize = held.iter().map(Bytes::len).sum();
            return if bytes > HELD { Err(TooMuch) } else { Ok(Out::default()) };
        }
        let (frames, contacts) = strip(&packets, &mut self.sent);
        let ping = self.ping_if_due(now);
        Ok(Out { frames, ping, contacts, unwatched: ping.is_some() && !self.watched })
    }

    /// All that waited was sent: the log from the index `first` on, up to `end`. What was held back
    /// comes behind it, and then a ping in any case, to learn whether this client answers.
    pub(in crate::dialect::wechat) fn opened(&mut self, first: u64, end: u64, now: Instant) -> Out {
        (self.sent, self.arrived, self.erased) = (end, first, first);
        let (mut frames, mut contacts) = (BytesMut::new(), false);
        for packets in self.held.take().unwrap_or_default() {
            let (more, changed) = strip(&packets, &mut self.sent);
            frames.extend_from_slice(&more);
            contacts |= changed;
        }
        let ping = Some(self.ping(now));
        Out { frames: frames.freeze(), ping, contacts, unwatched: !self.watched }
    }

    /// A pong with this number has come. Returns that of the next ping, if one is to be sent.
    pub(in crate::dialect::wechat) fn pong(&mut self, number: u64, now: Instant) -> Option<u64> {
        self.ping.take_if(|ping| ping.behind == number)?;
        self.answers = true;
        self.arrived = number;
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
        if line.unsent {
            ping.since = now; // the ping is on its way for no longer
        } else if !self.answers || line.heard >= ping.since + PATIENCE {
            self.arrived = ping.behind;
            self.ping = None;
            return Ok(self.ping_if_due(now));
        } else if !line.unread && now >= ping.since.max(line.heard) + SILENCE {
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
        self.ping = Some(Ping { behind: self.sent, since: now, look: now + PATIENCE });
        self.sent
    }
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
mod tests {
    use super::*;
    use crate::domain::{
        broker::{Audience, Event, Publication},
        ids::RoomId,
        message::Kind,
        subscriber::Codec,
    };

    /// What is said in an inbox: a chat message with its index, a signal, or that contacts have
    /// changed.
    enum Said {
        Message(u64),
        Signal(&'static str),
        Contacts,
    }
    use Said::{Contacts, Message, Signal};

    fn packets(all: &[Said]) -> Bytes {
        let publication =
            |index, event| Publication { n: 1, audience: Audience::All, index, event };
        let message = |kind, body: String| Event::Message { kind, body: body.into() };
        let told = all.iter().map(|said| match said {
            Message(index) => publication(Some(*index), message(Kind::Insert, format!("m{index}"))),
            Signal(text) => publication(None, message(Kind::Ignore, (*text).to_owned())),
            Contacts => publication(None, Event::System(Bytes::new())),
        });
        let room = RoomId::new("r").expect("a name");
        wire::Frames.encode(&room, &told.collect::<Vec<_>>()).all()
    }

    fn texts(frames: &Bytes) -> Vec<&str> {
        let of = |(_, payload)| std::str::from_utf8(payload).expect("text");
        crate::net::websocket::frame::payloads(frames).map(of).collect()
    }

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// One that is well, and was heard at this time.
    fn heard(heard: Instant) -> impl Fn() -> Line {
        move || Line { heard, unread: false, unsent: false }
    }

    /// An open one, whose inbox was empty, at this time. Its first ping is answered, if it answers.
    fn open(now: Instant, answers: bool) -> Delivery {
        let mut delivery = Delivery::default();
        assert_eq!(delivery.opened(10, 10, now).ping, Some(10));
        if answers {
            assert_eq!(delivery.pong(10, now), None);
        }
        assert_eq!(delivery.erase(now), None, "nothing was sent");
        delivery
    }

    fn said(delivery: &mut Delivery, all: &[Said], now: Instant) -> Out {
        delivery.deliver(packets(all), now).expect("not too much")
    }

    #[test]
    fn what_comes_while_the_log_is_read_follows_it_and_none_comes_twice() {
        let (now, mut delivery) = (Instant::now(), Delivery::default());
        for held in [
            &[Message(6), Signal("a")][..],
            &[Message(7)],
            &[Contacts, Message(8), Signal("b"), Message(9)],
        ] {
            assert_eq!(said(&mut delivery, held, now), Out::default());
        }
        // The log had 5 to 7 when it was read.
        let out = delivery.opened(5, 8, now);
        assert_eq!(texts(&out.frames), ["a", "m8", "b", "m9"]);
        assert_eq!((out.ping, out.contacts, out.unwatched), (Some(10), true, true));
        assert_eq!(delivery.pong(10, now), None);
        assert_eq!(delivery.erase(now), Some(10), "what waited, and what was held");
    }

    #[test]
    fn no_more_is_held_than_there_is_memory_for() {
        let mut delivery = Delivery::default();
        let much = Bytes::from(vec![0; HELD / 2]);
        let now = Instant::now();
        assert_eq!(delivery.deliver(much.clone(), now), Ok(Out::default()));
        assert_eq!(delivery.deliver(much.clone(), now), Ok(Out::default()));
        assert_eq!(delivery.deliver(Bytes::from_static(b"x"), now), Err(TooMuch));
    }

    #[test]
    fn frames_are_sent_without_marks_and_only_copied_where_they_are_apart() {
        let now = Instant::now();
        let mut delivery = open(now, true);
        let single = packets(&[Message(10)]);
        let out = delivery.deliver(single.clone(), now).unwrap();
        assert_eq!(texts(&out.frames), ["m10"]);
        assert_eq!(out.frames.as_ptr(), single[wire::NUMBER..].as_ptr(), "it is not copied");
        let signals = packets(&[Signal("a"), Signal("b")]);
        let out = delivery.deliver(signals.clone(), now).unwrap();
        assert_eq!((&out.frames, out.frames.as_ptr()), (&signals, signals.as_ptr()));
        let out = said(&mut delivery, &[Message(11), Signal("c"), Contacts, Message(12)], now);
        assert_eq!((texts(&out.frames), out.contacts), (vec!["m11", "c", "m12"], true));
        let out = said(&mut delivery, &[Contacts], now);
        assert!(out.frames.is_empty() && out.contacts && out.ping.is_none());
    }

    #[test]
    fn one_ping_is_out_at_a_time_and_its_pong_tells_what_has_arrived() {
        let now = Instant::now();
        let mut delivery = open(now, true);
        assert_eq!(said(&mut delivery, &[Message(10), Message(11)], now).ping, Some(12));
        assert_eq!(said(&mut delivery, &[Message(12)], now).ping, None, "one is out");
        assert_eq!(delivery.pong(99, now), None, "an unasked pong is no answer");
        assert_eq!(delivery.erase(now), None);
        assert_eq!(delivery.pong(12, now), Some(13), "for what came behind the first ping");
        assert_eq!(delivery.erase(now), Some(12), "the last one may not have arrived");
        assert_eq!(delivery.pong(12, now), None, "it says nothing new");
        assert_eq!(delivery.pong(13, now), None);
        assert_eq!(delivery.rest(), Some(13));
    }

    #[test]
    fn signals_need_no_ping() {
        let now = Instant::now();
        let out = said(&mut open(now, true), &[Signal("a")], now);
        assert_eq!((out.ping, out.unwatched), (None, false));
    }

    #[test]
    fn of_a_client_that_never_answers_it_has_arrived_after_2_s() {
        let begin = Instant::now();
        let mut delivery = open(begin, false);
        assert_eq!(delivery.look(begin + s(1.0), heard(begin)), Ok(None));
        assert_eq!(said(&mut delivery, &[Message(10)], begin + s(1.0)).ping, None);
        // The first ping is done with, the second is for the message.
        assert_eq!(delivery.watch(), Some(begin + s(2.0)));
        assert_eq!(delivery.look(begin + s(2.0), heard(begin)), Ok(Some(11)));
        assert_eq!(delivery.look(begin + s(3.9), heard(begin)), Ok(None));
        assert_eq!(delivery.erase(begin + s(3.9)), None);
        assert_eq!(delivery.watch(), Some(begin + s(4.0)));
        assert_eq!(delivery.look(begin + s(4.0), heard(begin)), Ok(None));
        assert_eq!(delivery.erase(begin + s(4.0)), Some(11));
    }

    #[test]
    fn what_has_not_left_the_server_has_not_arrived() {
        let begin = Instant::now();
        let mut delivery = open(begin, false);
        let unsent = || Line { heard: begin, unread: false, unsent: true };
        assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, None);
        assert_eq!(delivery.look(begin + s(2.0), unsent), Ok(None));
        assert_eq!(delivery.look(begin + s(4.0), unsent), Ok(None));
        assert_eq!(delivery.look(begin + s(5.9), heard(begin)), Ok(None));
        assert_eq!(delivery.look(begin + s(6.0), heard(begin)), Ok(Some(11)));
    }

    #[test]
    fn the_messages_of_a_client_that_fell_silent_wait_until_it_is_heard() {
        let begin = Instant::now();
        let mut delivery = open(begin, true);
        assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, Some(11));
        for second in [2.0, 4.0, 6.0] {
            assert_eq!(delivery.watch(), Some(begin + s(second)));
            assert_eq!(delivery.look(begin + s(second), heard(begin + s(1.9))), Ok(None));
        }
        assert_eq!(delivery.rest(), None);
        assert_eq!(delivery.look(begin + s(8.0), heard(begin + s(7.0))), Ok(None));
        assert_eq!(delivery.rest(), Some(11));
    }

    #[test]
    fn a_client_that_stays_silent_is_lost_unless_nobody_listens() {
        let begin = Instant::now();
        let mut delivery = open(begin, true);
        assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, Some(11));
        assert_eq!(delivery.look(begin + s(29.9), heard(begin)), Ok(None));
        let unread = || Line { heard: begin, unread: true, unsent: false };
        assert_eq!(delivery.look(begin + s(40.0), unread), Ok(None));
        assert_eq!(delivery.look(begin + s(42.0), heard(begin)), Err(Lost));
        assert_eq!(delivery.rest(), None, "they wait for the next");
    }

    #[test]
    fn it_is_erased_once_a_second_at_most() {
        let begin = Instant::now();
        let mut delivery = open(begin, true);
        let arrive = |delivery: &mut Delivery, index, now| {
            assert_eq!(said(delivery, &[Message(index)], now).ping, Some(index + 1));
            assert_eq!(delivery.pong(index + 1, now), None);
        };
        arrive(&mut delivery, 10, begin);
        assert_eq!(delivery.erase(begin), Some(11));
        arrive(&mut delivery, 11, begin);
        assert_eq!(delivery.erase(begin), None, "one is under way");
        assert_eq!(delivery.watch(), None, "whoever does that looks for itself");
        delivery.has_erased(11, true, begin + s(0.1));
        assert_eq!(delivery.erase(begin + s(1.0)), None);
        assert_eq!(delivery.watch(), Some(begin + s(1.1)));
        assert_eq!(delivery.erase(begin + s(1.1)), Some(12));
        delivery.has_erased(12, false, begin + s(1.2));
        assert_eq!(delivery.watch(), Some(begin + s(2.2)), "it failed");
        assert_eq!(delivery.erase(begin + s(2.2)), Some(12));
        delivery.has_erased(12, true, begin + s(2.2));
        assert_eq!((delivery.rest(), delivery.watch()), (None, None));
    }

    #[test]
    fn who_has_no_timer_is_told_when_one_is_needed() {
        let now = Instant::now();
        let mut delivery = open(now, true);
        assert_eq!(delivery.watch(), None);
        let out = said(&mut delivery, &[Message(10)], now);
        assert!(out.unwatched);
        assert_eq!(delivery.watch(), Some(now + PATIENCE));
        assert_eq!(delivery.pong(11, now), None);
        let out = said(&mut delivery, &[Message(11)], now);
        assert_eq!((out.ping, out.unwatched), (Some(12), false), "the timer still runs");
        delivery.unwatch();
        assert_eq!(delivery.pong(12, now), None);
        assert!(said(&mut delivery, &[Message(12)], now).unwatched);
    }
}
