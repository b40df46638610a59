//! What a session is, and what everything that happens to it makes of it: pure, without a socket, a
//! store or a task.
//!
//! Each function here is told something and returns [`Effect`]s: what to send to the client, and
//! what else to do. [`super::session`] performs them, and is the one place that does. What takes
//! time is an [`Effect::Ask`], whose [`Answer`] is told to the state. The session's task asks
//! one thing at a time, and takes nothing else from the mailbox meanwhile; but evictions, ends and
//! messages that are stored come at any moment.
//!
//! What comes from outside is here; `calls` has what the client asks for, `answers` what it is
//! answered, `rights` what its token grants, and `consent` what hooks say.
//!
//! ```text
//!            connected          SignIn            Enter             Depart
//!  (not yet) ─────────▶ Guest ─────────▶ Authenticated ────▶ Member ─────────▶ Ended
//!                         │ refused            │ leave, late, gone              ▲
//!                         └────────────────────┴────────────────────────────────┘
//! ```
use bytes::Bytes;

use super::{
    mailbox::{Item, Mailbox},
    msg::Target,
    phase::{Guest, Phase},
    wire::{self, Call},
};
use crate::{
    domain::{
        access::Access,
        ids::{RoomId, Uid},
        presence::Departure,
        quota::Used,
    },
    reason::Reason,
};

mod answers;
mod calls;
mod consent;
mod effect;
mod rights;
#[cfg(test)]
mod tests;

pub(super) use effect::{Answer, Ask, Denied, Effect, Goodbye, Pending};

/// Whether the client is served still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    /// We have refused or dropped it.
    Closing,
    /// A newer session of the same user has taken over.
    Evicted,
}

/// What is to happen to a message that came in.
pub(super) enum Route {
    /// It is handled at once: nothing is before it.
    Now(Target),
    /// It has to wait for what is.
    Wait,
    /// The client sends on although nothing is read from it.
    Flood,
}

/// What holds for all sessions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    /// Who may do what in rooms.
    pub access: Access,
    /// Seconds that a session has to renew an expired token.
    pub grace: u64,
}

/// A session.
pub(super) struct State {
    rules: Rules,
    phase: Phase,
    standing: Standing,
    mailbox: Mailbox,
    /// Credentials are being checked, for a session or to renew one.
    checking: bool,
    /// Tokens of the user were revoked meanwhile.
    looks: bool,
    /// How it has joined rooms, where that is bounded.
    pub used: Used,
}

impl State {
    /// Of a client that is about to be told that it is connected.
    pub fn new(rules: Rules) -> Self {
        State {
            rules,
            phase: Phase::Guest(Guest { claims: None }),
            standing: Standing::Open,
            mailbox: Mailbox::new(),
            checking: false,
            looks: false,
            used: Used::default(),
        }
    }

    /// The client has been told.
    pub fn connected(&mut self) -> Vec<Effect> {
        self.mailbox.open();
        self.wake(Vec::new())
    }

    /// Whether the client is served.
    fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    /// Whether a newer session has taken over: nothing of this one's is acknowledged any more.
    pub fn is_evicted(&self) -> bool {
        self.standing == Standing::Evicted
    }

    // What comes in from the client. `unread` is how many bytes it may send although reading
    // has paused.

    /// The client sends a message.
    pub fn route(&self, unread: usize) -> Route {
        if self.mailbox.is_flooded(unread) {
            Route::Flood
        } else if self.mailbox.is_idle() {
            Route::Now(self.target())
        } else {
            Route::Wait
        }
    }

    fn target(&self) -> Target {
        match self.standing {
            Standing::Open => self.phase.target(),
            Standing::Closing | Standing::Evicted => Target::Nowhere,
        }
    }

    /// A message of this size is handed to its room. True: reading from the client is to pause.
    pub fn sent(&mut self, bytes: usize) -> bool {
        self.mailbox.sent(bytes);
        self.mailbox.pause()
    }

    /// The client asks for something, in an event of so many bytes.
    pub fn receive(
        &mut self,
        call: Call,
        ack: Option<i64>,
        bytes: usize,
        unread: usize,
    ) -> Vec<Effect> {
        if self.mailbox.is_flooded(unread) {
            return self.drop_client(Reason::Flood);
        }
        let mut effects = Vec::new();
        self.mailbox.put(Item::Call { call, ack, bytes });
        if self.mailbox.pause() {
            effects.push(Effect::PauseReading);
        }
        self.wake(effects)
    }

    /// The client is gone. What it sent before still counts.
    pub fn gone(&mut self) -> Vec<Effect> {
        self.mailbox.put(Item::End);
        self.wake(Vec::new())
    }

    // What others do to it.

    /// The time to authenticate is over.
    pub fn late_to_authenticate(&mut self) -> Vec<Effect> {
        self.mailbox.put(Item::LateAuthenticate);
        self.wake(Vec::new())
    }

    /// The time to join is over.
    pub fn late_to_join(&mut self) -> Vec<Effect> {
        self.mailbox.put(Item::LateJoin);
        self.wake(Vec::new())
    }

    /// So many messages, of this size together, ended in their room. `lost`: one of them failed, and
    /// its sender does not learn of it by an acknowledgement, so it has to come back and look.
    pub fn settled(&mut self, messages: usize, bytes: usize, lost: bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.mailbox.settled(messages, bytes);
        if self.mailbox.resume() {
            effects.push(Effect::ResumeReading);
        }
        if lost {
            self.close(Effect::Drop(Reason::StoreUnavailable), &mut effects);
        }
        self.wake(effects)
    }

    /// A newer session of the same user has taken over. What the client had sent and was not
    /// handled yet has no effect. May be heard of more than once.
    pub fn evict(&mut self) -> Vec<Effect> {
        if self.is_evicted() {
            return Vec::new();
        }
        let mut effects = Vec::new();
        if let Phase::Member(member) = &self.phase {
            effects.push(Effect::Silence(member.rooms().cloned().collect()));
        }
        self.reply(wire::kickout(), &mut effects);
        self.close(Effect::Refuse(Reason::Kickout), &mut effects);
        self.standing = Standing::Evicted;
        self.mailbox.discard_calls();
        self.mailbox.put(Item::End);
        self.wake(effects)
    }

    /// It was taken out of this room, and forgets it. From others it goes on; what it sends is for
    /// no room until it joins one, if this was the one that it joined last.
    pub fn removed(&mut self, room: &RoomId) -> Vec<Effect> {
        // Of who was evicted the places are another's, but for hidden ones, which it still leaves.
        if let Phase::Member(member) = &mut self.phase
            && self.standing != Standing::Evicted
        {
            member.forget(room);
        }
        Vec::new()
    }

    /// The user's credentials were revoked, or an administrator ends its sessions. The session ends
    /// behind what the client sent before; what it may send until its connection has closed has no
    /// effect.
    pub fn refuse(&mut self, why: Reason) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.close(Effect::Refuse(why), &mut effects);
        self.mailbox.put(Item::End);
        self.wake(effects)
    }

    /// The client has to come back. Its session ends when the connection has.
    pub fn drop_client(&mut self, why: Reason) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.close(Effect::Drop(why), &mut effects);
        effects
    }

    /// Ends the session, once: what the user has of rooms is left or given up. Behind `goodbye` the
    /// client is refused.
    fn end(&mut self, goodbye: Option<Goodbye>, effects: &mut Vec<Effect>) {
        match self.take_phase() {
            Phase::Guest(_) | Phase::Ended => {}
            Phase::Authenticated(who) => {
                let uid = who.user.uid;
                self.release(who.held, &uid, effects);
                effects.push(Effect::Ask(Ask::Depart { uid, rooms: Vec::new(), goodbye }));
            }
            Phase::Member(member) => {
                let current = if goodbye.is_some() { Departure::Left } else { Departure::Gone };
                let rooms = member.departures(current);
                let uid = member.user.uid;
                effects.push(Effect::Ask(Ask::Depart { uid, rooms, goodbye }));
            }
        }
    }

    /// What a session owes to others whose task failed.
    fn abandon(&mut self, effects: &mut Vec<Effect>) {
        match self.take_phase() {
            // It may have become the user's session.
            Phase::Guest(Guest { claims: Some(uid) }) => {
                effects.push(Effect::Ask(Ask::Depart { uid, rooms: Vec::new(), goodbye: None }));
            }
            Phase::Guest(Guest { claims: None }) | Phase::Ended => {
                effects.push(Effect::Unregister);
            }
            phase @ (Phase::Authenticated(_) | Phase::Member(_)) => {
                self.phase = phase;
                self.end(None, effects);
            }
        }
    }

    /// Gives held rooms up. After an eviction they are the next session's. The store looks again,
    /// as an eviction may not have been heard of here.
    fn release(&self, rooms: Vec<RoomId>, uid: &Uid, effects: &mut Vec<Effect>) {
        if !self.is_evicted() {
            let release = |room| Effect::Release { room, uid: uid.clone() };
            effects.extend(rooms.into_iter().map(release));
        }
    }

    fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Ended)
    }

    /// Sends something, unless the client is not served any more.
    fn reply(&self, frames: Bytes, effects: &mut Vec<Effect>) {
        if self.standing == Standing::Open {
            effects.push(Effect::Send(frames));
        }
    }

    /// Refuses or drops the client, unless that was done already. No message of it is taken any
    /// more.
    fn close(&mut self, how: Effect, effects: &mut Vec<Effect>) {
        if self.standing == Standing::Open {
            self.standing = Standing::Closing;
            effects.push(how);
        }
    }

    /// Starts the task, if there is none and something for it to do.
    fn wake(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        if self.mailbox.wake() {
            effects.push(Effect::Start);
        }
        effects
    }
}
