//! Where one client stands, and what is done about it. Pure: what is to be done is returned, and
//! done in one place, the session (decision 13).
//!
//! A client is let in by the middleware, connects, and is somebody when it is known who, and when
//! it is in the user's inbox. Until then what it sends is nobody's. Commands are done one after the
//! other, in the order in which they came; so many may wait, and reading pauses beyond that.
//!
//! A message that nobody is asked about, to a room that the client is in, needs no task: where
//! nothing is before it but such messages to the same room, it is handed to the room at once. What
//! comes behind it waits until the room has settled it.
use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{command::Command, names};
use crate::domain::{
    ids::{RoomId, Uid},
    room::Room,
};

/// Commands that may wait before reading pauses, and bytes of them.
const MOST_WAITING: usize = 64;
const MOST_BYTES: usize = 256 << 10;

/// A command as it came, unread: who is answered, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting<T> {
    pub command: Command,
    pub ack: Option<i64>,
    pub bytes: usize,
    /// What it was called with.
    pub given: T,
}

/// Something to do, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect<T> {
    /// Find out who it is, and enter the user's inbox.
    SignIn,
    /// Do a command, and say when it is done.
    Run(Waiting<T>),
    /// Leave these rooms and the inbox.
    Depart { user: Uid, rooms: Vec<RoomId> },
    /// Read nothing more from the client.
    PauseReading,
    /// Read from it again.
    ResumeReading,
    /// Say that it is nobody, and DISCONNECT.
    Reject(super::error::Error),
    /// Close its connection, so that it comes back.
    Drop,
}

enum Phase {
    /// It is not told yet that it is connected.
    New,
    /// It is being found out who it is.
    SigningIn,
    In(Uid),
    /// It is nobody, or gone, or about to be.
    Over,
}

/// A room that a client is in, or is about to be.
struct Joined {
    id: RoomId,
    /// As the core has it, once it has been entered.
    room: Option<Arc<Room>>,
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotIn {
    /// It is nobody.
    Refused(super::error::Error),
    /// It can't be found out now who it is: a later attempt may tell.
    Unknown,
}

/// A message that is to be handed to its room now.
pub(super) struct Handover<T> {
    pub user: Uid,
    pub room: Arc<Room>,
    pub effects: Vec<Effect<T>>,
}

/// A client gets more before it is told who it is than is kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

/// Where a client stands.
pub(super) struct State<T> {
    phase: Phase,
    /// Sorted by name.
    rooms: Vec<Joined>,
    waiting: VecDeque<Waiting<T>>,
    /// Of what waits, and of what rooms have not settled.
    bytes: usize,
    /// A command is being done.
    busy: bool,
    /// Messages that were handed to a room, this one, and are not settled.
    handed: usize,
    handed_to: Option<RoomId>,
    paused: bool,
    /// What was to be sent to it before it has been told who it is.
    early: Vec<Bytes>,
    /// It is gone, and a command has to end before it departs.
    leaving: bool,
    /// What others have it do, which has to end before it departs too.
    staying: usize,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        State {
            phase: Phase::New,
            rooms: Vec::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            busy: false,
            handed: 0,
            handed_to: None,
            paused: false,
            early: Vec::new(),
            leaving: false,
            staying: 0,
        }
    }
}

impl<T> State<T> {
    /// It has been told that it is connected.
    pub fn connected(&mut self) -> Vec<Effect<T>> {
        match self.phase {
            Phase::New => {
                self.phase = Phase::SigningIn;
                vec![Effect::SignIn]
            }
            Phase::SigningIn | Phase::In(_) | Phase::Over => Vec::new(),
        }
    }

    /// It is known who it is, and the inbox is entered; or why it is nobody.
    pub fn signed_in(&mut self, who: Result<Uid, NotIn>) -> Vec<Effect<T>> {
        let is_asked = matches!(self.phase, Phase::SigningIn);
        match who {
            Ok(user) if is_asked => {
                self.phase = Phase::In(user);
                Vec::new()
            }
            // It went meanwhile.
            Ok(user) => vec![Effect::Depart { user, rooms: Vec::new() }],
            Err(why) if is_asked => {
                self.phase = Phase::Over;
                match why {
                    NotIn::Refused(error) => vec![Effect::Reject(error)],
                    NotIn::Unknown => vec![Effect::Drop],
                }
            }
            Err(_) => Vec::new(),
        }
    }

    /// Something is to be sent to it. Until it has been told who it is, that is kept back. Returns
    /// what can be sent.
    ///
    /// # Errors
    /// That is too much.
    pub fn send(&mut self, frames: Bytes) -> Result<Option<Bytes>, TooMuch> {
        match self.phase {
            Phase::In(_) | Phase::Over => Ok(Some(frames)),
            Phase::New | Phase::SigningIn => {
                self.early.push(frames);
                let bytes: usize = self.early.iter().map(Bytes::len).sum();
                if bytes > MOST_BYTES { Err(TooMuch) } else { Ok(None) }
            }
        }
    }

    /// What was kept back.
    pub fn early(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.early)
    }

    /// A command came. What comes before it is known who it is, is ignored.
    pub fn receive(&mut self, command: Waiting<T>) -> Vec<Effect<T>> {
        if !matches!(self.phase, Phase::In(_)) {
            return Vec::new();
        }
        if !self.busy && self.handed == 0 {
            self.busy = true;
            return vec![Effect::Run(command)];
        }
        self.bytes += command.bytes;
        self.waiting.push_back(command);
        self.pause()
    }

    /// A message of so many bytes for the room of this name, about which nobody is asked. `may`
    /// says whether the room takes such messages. `None`: it can't be handed over now, and is to
    /// be received like other commands.
    pub fn hand_over(
        &mut self,
        name: &str,
        bytes: usize,
        may: impl FnOnce(&RoomId) -> bool,
    ) -> Option<Handover<T>> {
        let Phase::In(user) = &self.phase else { return None };
        if self.busy || !self.waiting.is_empty() {
            return None;
        }
        let Joined { id, room } = self.joined(name).filter(|joined| may(&joined.id))?;
        if self.handed > 0 && self.handed_to.as_ref() != Some(id) {
            return None; // it would not wait for what is before it
        }
        let (user, room, id) = (user.clone(), room.clone()?, id.clone());
        self.handed += 1;
        self.handed_to = Some(id);
        self.bytes += bytes;
        Some(Handover { user, room, effects: self.pause() })
    }

    /// So many messages that were handed over are settled, of so many bytes together.
    pub fn settled(&mut self, messages: usize, bytes: usize) -> Vec<Effect<T>> {
        self.handed = self.handed.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.handed > 0 || self.busy {
            return self.resume();
        }
        self.handed_to = None;
        self.next()
    }

    /// The command that was being done is done.
    pub fn done(&mut self) -> Vec<Effect<T>> {
        self.busy = false;
        if self.leaving { self.go() } else { self.next() }
    }

    /// The command that was being done has failed, by a defect of ours. No further one is done.
    pub fn failed(&mut self) -> Vec<Effect<T>> {
        self.busy = false;
        self.waiting.clear();
        if self.leaving { self.go() } else { Vec::new() }
    }

    /// Somebody has it do something: it does not depart before [`State::may_go`]. False: it is
    /// nobody, or departs already.
    pub fn stay(&mut self) -> bool {
        let is_in = matches!(self.phase, Phase::In(_)) && !self.leaving;
        self.staying += usize::from(is_in);
        is_in
    }

    /// What somebody had it do is done.
    pub fn may_go(&mut self) -> Vec<Effect<T>> {
        self.staying = self.staying.saturating_sub(1);
        if self.leaving { self.go() } else { Vec::new() }
    }

    fn go(&mut self) -> Vec<Effect<T>> {
        if self.busy || self.staying > 0 { Vec::new() } else { self.depart() }
    }

    /// The room that has messages that are not settled.
    pub fn handed_to(&self) -> Option<&RoomId> {
        self.handed_to.as_ref()
    }

    fn next(&mut self) -> Vec<Effect<T>> {
        let Some(next) = self.waiting.pop_front() else { return self.resume() };
        self.bytes = self.bytes.saturating_sub(next.bytes);
        self.busy = true;
        let mut effects = vec![Effect::Run(next)];
        effects.append(&mut self.resume());
        effects
    }

    fn pause(&mut self) -> Vec<Effect<T>> {
        let is_full = self.waiting.len() + self.handed >= MOST_WAITING || self.bytes >= MOST_BYTES;
        if self.paused || !is_full {
            return Vec::new();
        }
        self.paused = true;
        vec![Effect::PauseReading]
    }

    fn resume(&mut self) -> Vec<Effect<T>> {
        let is_low =
            (self.waiting.len() + self.handed) * 2 < MOST_WAITING && self.bytes * 2 < MOST_BYTES;
        if !self.paused || !is_low {
            return Vec::new();
        }
        self.paused = false;
        vec![Effect::ResumeReading]
    }

    fn place(&self, room: &RoomId) -> Result<usize, usize> {
        self.rooms.binary_search_by(|joined| joined.id.name().cmp(room.name()))
    }

    /// It is about to enter a room. False: it is there, or about to be.
    pub fn enter(&mut self, room: &RoomId) -> bool {
        let place = self.place(room);
        if let Err(place) = place {
            if self.rooms.is_empty() {
                self.rooms.reserve_exact(1);
            }
            self.rooms.insert(place, Joined { id: room.clone(), room: None });
        }
        place.is_err()
    }

    /// It has entered a room, unless it was taken out of it since.
    pub fn entered(&mut self, room: Arc<Room>) {
        if let Ok(place) = self.place(&room.id)
            && let Some(joined) = self.rooms.get_mut(place)
        {
            joined.room = Some(room);
        }
    }

    /// It has left a room, or was taken out of it. False: it was not there.
    pub fn left(&mut self, room: &RoomId) -> bool {
        let place = self.place(room);
        if let Ok(place) = place {
            self.rooms.remove(place);
        }
        place.is_ok()
    }

    /// In how many rooms it is, but for this one.
    pub fn rooms_but(&self, room: &RoomId) -> usize {
        self.rooms.len() - usize::from(self.is_in(room))
    }

    /// Whether it is in a room.
    pub fn is_in(&self, room: &RoomId) -> bool {
        self.place(room).is_ok()
    }

    /// The room of this name that it is in. Of one that was made anew it may be in two for a
    /// moment: then this is of no use.
    pub fn room(&self, name: &str) -> Option<&RoomId> {
        self.joined(name).map(|joined| &joined.id)
    }

    fn joined(&self, name: &str) -> Option<&Joined> {
        // Those of one name are side by side.
        let is_before = |joined: &Joined| names::is_before(&joined.id, name);
        let first = self.rooms.partition_point(is_before);
        let is_it =
            |at: usize| self.rooms.get(at).filter(|joined| names::shown(&joined.id) == Some(name));
        is_it(first).filter(|_| is_it(first + 1).is_none())
    }

    /// Who it is, if that is known.
    pub fn user(&self) -> Option<&Uid> {
        match &self.phase {
            Phase::In(user) => Some(user),
            Phase::New | Phase::SigningIn | Phase::Over => None,
        }
    }

    /// The client is gone: it left, or its connection ended. What waits is not done any more; what
    /// is being done is.
    pub fn gone(&mut self) -> Vec<Effect<T>> {
        self.waiting.clear();
        match self.phase {
            Phase::In(_) => {
                self.leaving = true;
                self.go()
            }
            Phase::New | Phase::SigningIn | Phase::Over => {
                self.phase = Phase::Over;
                Vec::new()
            }
        }
    }

    fn depart(&mut self) -> Vec<Effect<T>> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::In(user) => {
                let rooms = std::mem::take(&mut self.rooms).into_iter();
                vec![Effect::Depart { user, rooms: rooms.map(|joined| joined.id).collect() }]
            }
            Phase::New | Phase::SigningIn | Phase::Over => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::error::Error;

    fn ann() -> Uid {
        Uid::text("ann").unwrap()
    }

    fn command(number: u32) -> Waiting<u32> {
        Waiting { command: Command::RoomJoin, ack: None, bytes: 10, given: number }
    }

    fn signed_in() -> State<u32> {
        let mut state = State::default();
        assert_eq!(state.connected(), [Effect::SignIn]);
        assert_eq!(state.signed_in(Ok(ann())), []);
        state
    }

    #[test]
    fn before_the_login_events_are_nobodys() {
        let mut state = State::default();
        assert_eq!(state.receive(command(1)), []);
        assert_eq!(state.connected(), [Effect::SignIn]);
        assert_eq!(state.connected(), []);
        assert_eq!(state.receive(command(2)), []);
        assert_eq!(state.signed_in(Ok(ann())), []);
        assert_eq!(state.user(), Some(&ann()));
        assert_eq!(state.receive(command(3)), [Effect::Run(command(3))]);
    }

    #[test]
    fn what_comes_before_the_login_is_sent_behind_it() {
        let frames = |text: &'static [u8]| Bytes::from_static(text);
        let mut state = State::<u32>::default();
        state.connected();
        assert_eq!(state.send(frames(b"1")), Ok(None));
        assert_eq!(state.send(frames(b"2")), Ok(None));
        state.signed_in(Ok(ann()));
        assert_eq!(state.early(), [&b"1"[..], b"2"]);
        assert_eq!(state.send(frames(b"3")), Ok(Some(frames(b"3"))));
        let mut state = State::<u32>::default();
        assert_eq!(state.send(vec![0; MOST_BYTES].into()), Ok(None));
        assert_eq!(state.send(frames(b"1")), Err(TooMuch));
    }

    #[test]
    fn who_is_refused_is_told_and_does_nothing_more() {
        let mut state = State::<u32>::default();
        state.connected();
        let refused = NotIn::Refused(Error::NoLogin);
        assert_eq!(state.signed_in(Err(refused)), [Effect::Reject(Error::NoLogin)]);
        assert_eq!(state.receive(command(1)), []);
        assert_eq!((state.gone(), state.user()), (vec![], None));
        // That of whom it is not known comes back.
        let mut state = State::<u32>::default();
        state.connected();
        assert_eq!(state.signed_in(Err(NotIn::Unknown)), [Effect::Drop]);
        assert_eq!((state.gone(), state.user()), (vec![], None));
    }

    #[test]
    fn commands_are_done_in_their_order() {
        let mut state = signed_in();
        assert_eq!(state.receive(command(1)), [Effect::Run(command(1))]);
        assert_eq!(state.receive(command(2)), []);
        assert_eq!(state.receive(command(3)), []);
        assert_eq!(state.done(), [Effect::Run(command(2))]);
        assert_eq!(state.done(), [Effect::Run(command(3))]);
        assert_eq!(state.done(), []);
        assert_eq!(state.receive(command(4)), [Effect::Run(command(4))]);
    }

    #[test]
    fn who_sends_faster_than_it_is_done_has_to_wait() {
        let mut state = signed_in();
        state.receive(command(0));
        let mut pauses = 0;
        for number in 1..=MOST_WAITING as u32 + 10 {
            pauses += state.receive(command(number)).len();
        }
        assert_eq!(pauses, 1, "reading pauses once");
        let mut resumed = None;
        for number in 1.. {
            match &state.done()[..] {
                [Effect::Run(_), Effect::ResumeReading] => resumed = Some(number),
                [Effect::Run(_)] => {}
                _ => break,
            }
        }
        assert_eq!(resumed, Some(10 + MOST_WAITING / 2 + 1));
    }

    #[test]
    fn a_room_is_known_by_its_name() {
        let room = |life| names::room("r", life).unwrap();
        let mut state = signed_in();
        assert_eq!(state.room("r"), None);
        state.enter(&room("b"));
        assert_eq!((state.room("r"), state.room("r:b")), (Some(&room("b")), None));
        state.enter(&room("a"));
        assert_eq!(state.room("r"), None, "it was made anew, and the first is not left yet");
        assert!(state.left(&room("b")) && !state.left(&room("b")));
        assert_eq!(state.room("r"), Some(&room("a")));
        // Names of which one begins as the other does, with what is before a colon and behind it.
        let others = ["r ", "r;", "", "q", "s", "r0"].map(|name| format!("{name}x"));
        for name in &others {
            assert!(state.enter(&names::room(name, "life").unwrap()));
        }
        assert_eq!(state.room("r"), Some(&room("a")));
        for name in &others {
            assert_eq!(state.room(name), Some(&names::room(name, "life").unwrap()));
        }
    }

    #[test]
    fn a_message_is_handed_over_if_nothing_else_is_before_it() {
        let id = |name| names::room(name, "life").unwrap();
        let mut state = signed_in();
        assert!(state.hand_over("r", 5, |_| true).is_none(), "it is not there");
        for name in ["r", "s"] {
            state.enter(&id(name));
            assert!(state.hand_over(name, 5, |_| true).is_none(), "it is not there yet");
            state.entered(Room::alone(id(name)));
        }
        assert!(state.hand_over("r", 5, |_| false).is_none());
        let handed = state.hand_over("r", 5, |_| true).unwrap();
        assert_eq!((handed.room.id.clone(), handed.user), (id("r"), ann()));
        assert!(state.hand_over("s", 5, |_| true).is_none(), "another room may be faster");
        assert!(state.hand_over("r", 5, |_| true).is_some());
        assert_eq!(state.receive(command(1)), []);
        assert!(state.hand_over("r", 5, |_| true).is_none(), "something waits");
        assert_eq!(state.settled(1, 5), []);
        assert_eq!(state.settled(1, 5), [Effect::Run(command(1))]);
        assert!(state.hand_over("r", 5, |_| true).is_none(), "something is being done");
        assert_eq!(state.done(), []);
        assert!(state.hand_over("s", 5, |_| true).is_some());
        state.left(&id("s"));
        assert_eq!(state.settled(1, 5), []);
        assert!(state.hand_over("s", 5, |_| true).is_none());
        assert_eq!(state.bytes, 0);
    }

    #[test]
    fn who_sends_messages_faster_than_they_are_stored_has_to_wait() {
        let mut state = signed_in();
        let id = names::room("r", "life").unwrap();
        state.enter(&id);
        state.entered(Room::alone(id));
        let effects: Vec<_> = (0..MOST_WAITING)
            .flat_map(|_| state.hand_over("r", 1, |_| true).unwrap().effects)
            .collect();
        assert_eq!(effects, [Effect::PauseReading]);
        assert_eq!(state.settled(MOST_WAITING / 2, MOST_WAITING / 2), []);
        assert_eq!(state.settled(1, 1), [Effect::ResumeReading]);
        state.hand_over("r", MOST_BYTES, |_| true).unwrap();
        assert_eq!(state.settled(MOST_WAITING, MOST_BYTES + MOST_WAITING), [Effect::ResumeReading]);
    }

    #[test]
    fn who_goes_departs_once_behind_what_is_being_done() {
        let room = names::room("r", "life").unwrap();
        let depart = |rooms| vec![Effect::Depart { user: ann(), rooms }];
        let mut state = signed_in();
        state.receive(command(1));
        state.receive(command(2));
        assert_eq!(state.gone(), []);
        // The join that was under way has worked.
        state.enter(&room);
        assert_eq!(state.done(), depart(vec![room.clone()]));
        assert_eq!((state.done(), state.gone()), (vec![], vec![]));

        let mut state = signed_in();
        state.enter(&room);
        assert_eq!(state.rooms_but(&room), 0);
        assert_eq!(state.rooms_but(&names::room("s", "life").unwrap()), 1);
        state.left(&room);
        assert!(!state.is_in(&room));
        assert_eq!(state.gone(), depart(vec![]));

        // While somebody has it do something.
        let mut state = signed_in();
        assert!(state.stay() && state.stay());
        assert_eq!((state.gone(), state.may_go()), (vec![], vec![]));
        assert!(!state.stay(), "it is going: nobody holds it up any more");
        assert_eq!((state.may_go(), state.stay()), (depart(vec![]), false));

        // A command fails by a defect.
        let mut state = signed_in();
        state.receive(command(1));
        state.receive(command(2));
        assert_eq!(state.failed(), []);
        assert_eq!(state.gone(), depart(vec![]));

        // While it is found out who it is.
        let mut state = State::<u32>::default();
        state.connected();
        assert_eq!(state.gone(), []);
        assert_eq!(state.signed_in(Ok(ann())), depart(vec![]));
    }
}
