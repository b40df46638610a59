//! A session attached to a topic, as the topic's room sees it: what it is told of what happens
//! there, and what it publishes.
//!
//! The room gives all its members of this node the same bytes (`wire.rs`). Here is decided which of
//! them this one gets, by its own access mode, which the room's events change in the room's order.
//! In which order all that is told with the answers to its own publications is in [`flow`].
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, Weak,
    atomic::{
        AtomicBool, AtomicU16, AtomicU64,
        Ordering::{AcqRel, Acquire, Release},
    },
};

use bytes::{Bytes, BytesMut};

use self::{
    flow::{Ended, Flow, Out, Piece, TooMuch},
    outcome::became,
};
use super::{
    holes::Holes,
    ids::{Key, UserId, View},
    message::{Code, Ctrl, Happened, Message, Noted, Params, Pres, Range},
    mode::{Acs, Dacs, Mode},
    publish,
    session::{Identity, Session},
    stored::RoomEvent,
    topic::{self, Live},
    wire::{self, Views, Wired},
};
use crate::{
    domain::{
        broker::Entry,
        ids::RoomId,
        presence::Departure,
        room::Room,
        subscriber::{Codec, Outcome, Settled, Subscriber},
    },
    lock::lock,
    metrics::{self, Event},
    reason::Reason,
    throttle::throttled,
};

mod flow;
mod outcome;

/// A session attached to a topic.
pub(super) struct Attach {
    me: Weak<Attach>,
    pub session: Arc<Session>,
    pub live: Arc<Live>,
    pub who: Identity,
    /// It reads a channel, and is no member.
    pub reader: bool,
    pub view: View,
    /// The topic, as this session calls it.
    pub shown: Box<str>,
    access: Access,
    /// The user's subscription is gone, and not only not enough.
    unsubscribed: AtomicBool,
    room: OnceLock<Arc<Room>>,
    flow: Mutex<Flow>,
    kept: Mutex<Kept>,
}

/// Which messages this reader does not see.
#[derive(Default)]
struct Kept {
    holes: Option<Arc<Holes>>,
    /// How often they have changed.
    version: u64,
}

/// What the user wants, and was given.
struct Access {
    /// The bits of both.
    bits: AtomicU16,
    /// The greatest version of the subscription's record that was learnt.
    version: AtomicU64,
}

fn bits(Acs { want, given }: Acs) -> u16 {
    u16::from_be_bytes([want.bits(), given.bits()])
}

impl Access {
    fn new(acs: Acs) -> Self {
        Access { bits: bits(acs).into(), version: AtomicU64::new(0) }
    }

    fn get(&self) -> Acs {
        let [want, given] = self.bits.load(Acquire).to_be_bytes();
        Acs { want: Mode::of_bits(want), given: Mode::of_bits(given) }
    }

    fn set(&self, acs: Acs) {
        self.bits.store(bits(acs), Release);
    }

    /// A version of the record says so. Of two who change it at once the one who wrote first may
    /// say so last: false, a later version was learnt before.
    fn learn(&self, acs: Acs, version: u64) -> bool {
        let is_latest = self.version.fetch_max(version, AcqRel) <= version;
        if is_latest {
            self.set(acs);
        }
        is_latest
    }
}

impl Attach {
    /// That of a session which is about to enter the topic's room.
    pub fn new(
        session: &Arc<Session>,
        live: &Arc<Live>,
        who: Identity,
        reader: bool,
        acs: Acs,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Attach {
            me: me.clone(),
            session: session.clone(),
            live: live.clone(),
            who,
            reader,
            view: View::of(&live.key, who.user, reader),
            shown: live.key.shown(who.user, reader).into(),
            access: Access::new(acs),
            unsubscribed: AtomicBool::new(false),
            room: OnceLock::new(),
            flow: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// What its user wants, and was given.
    pub fn acs(&self) -> Acs {
        self.access.get()
    }

    /// That has changed, as this version of its subscription says.
    pub fn learn_acs(&self, acs: Acs, version: u64) {
        self.access.learn(acs, version);
    }

    /// What its user may.
    pub fn mode(&self) -> Mode {
        self.acs().mode()
    }

    /// It is in the room.
    pub fn entered(&self, room: Arc<Room>) {
        let _ = self.room.set(room); // of one attaching there is one
    }

    /// The room, once it is there.
    pub fn room(&self) -> Option<Arc<Room>> {
        self.room.get().cloned()
    }

    /// Publishes a message, of so many bytes, as the answer to the request `id`. What becomes of it
    /// is told by [`Subscriber::settled`].
    pub fn publish(self: &Arc<Self>, id: &str, noecho: bool, entry: Entry, bytes: usize) {
        self.session.begin_publish(bytes);
        let ack = lock(&self.flow).publish(id, noecho, bytes);
        match self.room.get() {
            Some(room) => room.send(entry, bytes, self.clone(), Some(ack)),
            None => {
                self.settled(&[Settled { ack: Some(ack), bytes, outcome: Outcome::Unavailable }])
            }
        }
    }

    /// Which messages its user does not see, if that is known.
    pub fn holes(&self) -> Option<Arc<Holes>> {
        lock(&self.kept).holes.clone()
    }

    /// That is known now. `since`: [`Attach::holes_version`] as it was before they were read.
    pub fn keep_holes(&self, holes: Arc<Holes>, since: u64) {
        let mut kept = lock(&self.kept);
        if kept.version == since {
            kept.holes = Some(holes);
        }
    }

    /// How often they have changed.
    pub fn holes_version(&self) -> u64 {
        lock(&self.kept).version
    }

    /// They have changed.
    pub fn forget_holes(&self) {
        let mut kept = lock(&self.kept);
        (kept.holes, kept.version) = (None, kept.version + 1);
    }

    /// It has left: nothing more is delivered.
    pub fn go(&self) {
        lock(&self.flow).close();
    }

    /// What this session is told of a part of what the room delivers.
    fn piece(&self, part: Wired<'_>, packets: &Bytes) -> Option<Piece> {
        let slice = |views: Views| {
            let at = views.of(self.view)?;
            (at.end <= packets.len() && !at.is_empty()).then(|| packets.slice(at))
        };
        let other = |frames: Bytes| Piece { seq: None, frames };
        match part {
            Wired::Data { seq, from, frames } => {
                self.live.observe(seq, from);
                let reads = self.mode().has(Mode::R);
                let frames = if reads { slice(frames) } else { None };
                frames.map(|frames| Piece { seq: Some(seq), frames })
            }
            Wired::Noted { user, mark, told, frames } => {
                if let Some(mark) = mark {
                    self.live.observe_mark(user, mark);
                }
                let is_own = user == self.who.user;
                let concerns_it = told.is_some_and(|told| concerns(told, is_own, self.mode()));
                // A channel's readers don't learn who else is there.
                if concerns_it && !self.reader { slice(frames).map(other) } else { None }
            }
            Wired::On { user, on } => {
                let is_told = !self.reader && user != self.who.user && self.mode().has(Mode::P);
                is_told.then(|| {
                    let what = if on { Happened::On } else { Happened::Off };
                    other(self.tell(&Pres::new(&self.shown, user.name().as_str(), what)))
                })
            }
            Wired::Event(event) => self.event(event).map(other),
        }
    }

    /// A message of ours about the topic, as this session reads it.
    fn tell(&self, pres: &Pres<'_>) -> Bytes {
        self.session.encode(&Message::Pres(*pres))
    }

    /// What happened in the room besides messages and notes, in the room's order.
    fn event(&self, event: &[u8]) -> Option<Bytes> {
        match serde_json::from_slice(event) {
            Ok(RoomEvent::Acs { user, acs, dacs, version, .. }) if user == self.who.user => {
                self.own_acs(acs, version, &dacs)
            }
            Ok(RoomEvent::Acs { user, by, dacs, reader, .. }) => {
                let is_told = !reader && !self.reader && self.mode().has(Mode::P);
                let act = (by != user).then_some(by);
                is_told.then(|| self.acs_changed(user.name().as_str(), act, &dacs))
            }
            Ok(RoomEvent::Del { by: _, clear, ranges }) => {
                self.forget_holes();
                self.mode().has(Mode::R).then(|| self.deleted(clear, &ranges))
            }
            Ok(RoomEvent::End) => {
                self.ended();
                None
            }
            // Comes as a note.
            Ok(RoomEvent::Kp { .. }) => None,
            Err(error) => {
                throttled!(warn, %error, "an event of a topic can't be read; it is passed over");
                None
            }
        }
    }

    /// The access of its own user has changed. Where that is the end of it, the room says so next
    /// ([`Subscriber::removed`]), and nothing is told here.
    fn own_acs(&self, acs: Option<Acs>, version: u64, dacs: &Dacs) -> Option<Bytes> {
        let none = Acs { want: Mode::NONE, given: Mode::NONE };
        if self.access.learn(acs.unwrap_or(none), version) {
            self.unsubscribed.store(acs.is_none(), Release);
        }
        // It is told in any case: what it is told is what has become more and less.
        acs?.mode().has(Mode::J).then(|| self.acs_changed("", None, dacs))
    }

    fn acs_changed(&self, src: &str, act: Option<UserId>, dacs: &Dacs) -> Bytes {
        let pres = Pres::new(&self.shown, src, Happened::Acs);
        self.tell(&Pres { act, dacs: Some(dacs), ..pres })
    }

    fn deleted(&self, clear: u64, ranges: &[Range]) -> Bytes {
        let pres = Pres::new(&self.shown, &self.shown, Happened::Del);
        self.tell(&Pres { clear, ranges, ..pres })
    }

    /// The topic has ended: the session is out of it without a word (S:133).
    fn ended(&self) {
        self.go();
        if !self.session.forget_attach(self) {
            return;
        }
        // Nobody enters this room any more, so this can't take out who has come back.
        let (node, room, id) = (&self.session.node, self.live.room.clone(), self.session.id);
        let hub = node.hub.clone();
        node.hub.tasks.spawn(async move {
            let _ = hub.depart(&room, id, Departure::Gone).await; // a failure is in the log
        });
    }

    /// Most often nothing is in flight, and nobody is sending: then it is sent as it came.
    fn deliver_one(&self, piece: Piece) -> Result<(), TooMuch> {
        let at_once = lock(&self.flow).deliver(piece)?;
        let Some(frames) = at_once else { return Ok(()) };
        let sending = Sending(self);
        self.session.send_frames(&frames);
        sending.go_on();
        Ok(())
    }

    fn deliver_all(&self, pieces: Vec<Piece>) -> Result<(), TooMuch> {
        let mut flow = lock(&self.flow);
        for piece in pieces {
            flow.queue(piece)?;
        }
        self.send(flow);
        Ok(())
    }

    /// Sends what the flow has to say, unless somebody else is sending: then that one does. No lock
    /// is held over it.
    fn send(&self, mut flow: MutexGuard<'_, Flow>) {
        let out = flow.begin_sending();
        drop(flow);
        if let Some(out) = out {
            let sending = Sending(self);
            self.perform(out);
            sending.go_on();
        }
    }

    fn perform(&self, out: Vec<Out>) {
        let (mut frames, mut answered) = (Vec::with_capacity(out.len()), Vec::new());
        for out in out {
            match out {
                Out::Frames(piece) => frames.push(piece),
                Out::Answer { id, bytes, ended } => {
                    frames.push(self.answer(&id, ended));
                    answered.push((bytes, ended));
                }
            }
        }
        self.session.send_frames(&joined(&frames));
        if answered.is_empty() {
            return;
        }
        // Behind all that was sent: whoever waits for this answers behind it.
        let bytes = answered.iter().map(|(bytes, _)| bytes).sum();
        self.session.end_publish(answered.len(), bytes);
        let Some(me) = self.me.upgrade() else { return };
        for (_, ended) in answered {
            match ended {
                Ended::Stored { seq, again: false } => publish::published(&me, seq),
                Ended::Stored { again: true, .. } | Ended::Failed(_) => {}
            }
        }
    }

    /// The answer to a publication.
    fn answer(&self, id: &str, ended: Ended) -> Bytes {
        let (code, params) = match ended {
            Ended::Stored { seq, .. } => (Code::Accepted, Params::default().number("seq", seq)),
            Ended::Failed(code) => (code, Params::default()),
        };
        self.session.encode(&Message::Ctrl(Ctrl { id, topic: &self.shown, code, params }))
    }

    fn drop_because(&self, why: Reason) {
        self.session.close(why);
    }
}

/// Whether somebody who may so much is told of a note: of its own other sessions it is told what
/// they have to count, and not that they write.
fn concerns(told: Noted, is_own: bool, mode: Mode) -> bool {
    let counts = match told {
        Noted::Read | Noted::Recv => true,
        Noted::Kp | Noted::Kpa | Noted::Kpv => false,
    };
    mode.has(Mode::R) && (counts || !is_own)
}

/// Pieces, one behind the other.
fn joined(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [] => Bytes::new(),
        [one] => one.clone(),
        several => {
            let mut all = BytesMut::with_capacity(several.iter().map(Bytes::len).sum());
            several.iter().for_each(|piece| all.extend_from_slice(piece));
            all.freeze()
        }
    }
}

/// Whoever sends, until it is done. Dropped before, it has failed, and others may send.
struct Sending<'a>(&'a Attach);

impl Sending<'_> {
    /// Sends what has come meanwhile, until there is nothing more.
    fn go_on(self) {
        loop {
            let next = lock(&self.0.flow).go_on();
            match next {
                Some(out) => self.0.perform(out),
                None => return std::mem::forget(self), // the flow knows
            }
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        lock(&self.0.flow).give_up_sending();
    }
}

impl Subscriber for Attach {
    fn codec(&self) -> &'static dyn Codec {
        self.session.codec()
    }

    fn deliver(&self, packets: Bytes) {
        let mut pieces = wire::parts(&packets).filter_map(|part| self.piece(part, &packets));
        let Some(first) = pieces.next() else { return };
        let done = match pieces.next() {
            None => self.deliver_one(first),
            Some(second) => {
                let all: Vec<Piece> = [first, second].into_iter().chain(pieces).collect();
                self.deliver_all(all)
            }
        };
        if let Err(TooMuch) = done {
            self.drop_because(Reason::Slow);
        }
    }

    /// Others than messages have no name here, and nobody waits for them.
    fn settled(&self, messages: &[Settled]) {
        let metrics = &self.session.node.hub.metrics;
        let mut done = 0;
        let mut flow = lock(&self.flow);
        for Settled { ack, outcome, .. } in messages {
            let Some(ack) = *ack else { continue };
            match became(outcome) {
                Ok(ended) => {
                    done += 1;
                    flow.settled(ack, ended);
                }
                Err(failure) => {
                    metrics.message_refused(failure);
                    metrics.messages.handled(Event::Msg, failure.outcome(), 1);
                    flow.settled(ack, Ended::Failed(failure.code()));
                }
            }
        }
        self.send(flow);
        metrics.messages.handled(Event::Msg, metrics::Outcome::Done, done);
    }

    /// It was taken out of the topic: its client is told that it has to go, behind all that it was
    /// told before. It may have left already, or have come back since.
    fn removed(self: Arc<Self>, _: &RoomId) {
        if !self.session.forget_attach(&self) {
            return self.go();
        }
        let params = Params::default().flag("unsub", self.unsubscribed.load(Acquire));
        let (id, topic, code) = ("", &*self.shown, Code::Evicted);
        let evicted = self.session.encode(&Message::Ctrl(Ctrl { id, topic, code, params }));
        let mut flow = lock(&self.flow);
        flow.close_with(evicted);
        self.send(flow);
        let node = &self.session.node;
        node.flushes.now(node, &self.live, self.who.user);
        match self.live.key {
            // It may have been the last one there.
            Key::Group(_) => topic::left(node, self.live.key, &self.live.room),
            Key::Pair(..) | Key::Own(_) => {}
        }
    }

    fn evict(self: Arc<Self>) {
        self.drop_because(Reason::Kickout);
    }

    fn revoke(self: Arc<Self>) {
        self.drop_because(Reason::Revoked);
    }

    fn refuse(self: Arc<Self>, why: Reason) {
        self.drop_because(why);
    }

    fn drop_connection(&self, why: Reason) {
        self.drop_because(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_told_to_who_may_read_and_typing_not_to_oneself() {
        let without_r = Mode::ALL.without(Mode::R);
        for (told, others, own) in [
            (Noted::Read, true, true),
            (Noted::Recv, true, true),
            (Noted::Kp, true, false),
            (Noted::Kpa, true, false),
            (Noted::Kpv, true, false),
        ] {
            assert_eq!(concerns(told, false, Mode::READER), others, "{told:?}");
            assert_eq!(concerns(told, true, Mode::READER), own, "{told:?}");
            assert!(!concerns(told, false, without_r) && !concerns(told, true, without_r));
        }
    }

    #[test]
    fn of_changes_that_come_in_another_order_the_latest_counts() {
        let acs = |mode: &str| Acs { want: Mode::ALL, given: Mode::parse(mode).unwrap() };
        let access = Access::new(acs("JR"));
        for (mode, version, is) in [
            ("JRW", 5, "JRW"),
            ("JR", 7, "JR"),
            ("JRWP", 6, "JR"), // written before
            ("JR", 7, "JR"),
            ("JRWPS", 8, "JRWPS"),
        ] {
            let is_latest = access.learn(acs(mode), version);
            assert_eq!((access.get().mode(), is_latest), (acs(is).mode(), mode == is), "{version}");
        }
    }

    #[test]
    fn pieces_are_joined_in_their_order() {
        let pieces = ["a", "bc", ""].map(|text| Bytes::from_static(text.as_bytes()));
        assert_eq!(joined(&pieces), "abc");
        assert_eq!((joined(&[]), joined(&pieces[..1])), (Bytes::new(), pieces[0].clone()));
    }
}
