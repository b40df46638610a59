//! What a session is, and what everything that happens to it makes of it: pure, without a socket, a
//! store or a task.
//!
//! Each function here is told something and returns [`Effect`]s: what to send to the client, and
//! what else to do. [`super::session`] performs them, and is the one place that does. What takes
//! time is an [`Effect::Ask`], whose [`Answer`] is told to the state. The session's task asks
//! one thing at a time, and takes nothing else from the mailbox meanwhile; but evictions, ends and
//! messages that are stored come at any moment.
//!
//! ```text
//!            connected          SignIn            Enter             Depart
//!  (not yet) ─────────▶ Guest ─────────▶ Authenticated ────▶ Member ─────────▶ Ended
//!                         │ refused            │ leave, late, gone              ▲
//!                         └────────────────────┴────────────────────────────────┘
//! ```
use std::sync::Arc;

use bytes::Bytes;

use super::{
    authenticate::Checked,
    mailbox::{Item, Mailbox},
    msg::Target,
    phase::{Guest, Phase},
    sync,
    wire::{self, AuthRefusal, Call, JoinFailure, SyncFailure},
};
use crate::{
    domain::{
        access::{Access, Action},
        ids::{RoomId, Uid},
        presence::Departure,
        room::Room,
    },
    reason::Reason,
};

pub(super) use self::effect::{Answer, Ask, Denied, Effect, Goodbye, Pending};

/// Most rooms that one connection may be in.
const MAX_ROOMS: usize = 1000;

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
}

impl State {
    /// Of a client that is about to be told that it is connected.
    pub fn new(rules: Rules) -> Self {
        State {
            rules,
            phase: Phase::Guest(Guest { claims: None }),
            standing: Standing::Open,
            mailbox: Mailbox::new(),
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

    /// A time has come that it wanted to be reminded of; it is `now`.
    pub fn remind(&mut self, now: u64) -> Vec<Effect> {
        self.mailbox.put(Item::Due(now));
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

    // What the session's task does.

    /// The next thing that waits. `None`: the task has to end.
    pub fn next(&mut self) -> Option<Vec<Effect>> {
        let mut effects = Vec::new();
        while effects.is_empty() {
            let item = self.mailbox.take()?;
            if self.mailbox.resume() {
                effects.push(Effect::ResumeReading);
            }
            self.handle(item, &mut effects);
        }
        Some(effects)
    }

    fn handle(&mut self, item: Item, effects: &mut Vec<Effect>) {
        match (item, &self.phase) {
            (Item::Call { .. }, _) if self.is_evicted() => {}
            (Item::Call { call, ack, .. }, _) => self.call(call, ack, effects),
            (Item::LateAuthenticate, Phase::Guest(_)) => {
                self.refuse_authentication(None, AuthRefusal::Timeout, effects);
            }
            (Item::LateJoin, Phase::Authenticated(_)) => {
                self.close(Effect::Refuse(Reason::JoinTimeout), effects);
                self.end(None, effects);
            }
            (Item::LateAuthenticate | Item::LateJoin, _) => {}
            (Item::Due(now), _) => self.due(now, effects),
            (Item::End, _) => self.end(None, effects),
        }
    }

    fn call(&mut self, call: Call, ack: Option<i64>, effects: &mut Vec<Effect>) {
        let may_enter = match &call {
            Call::Join(Some(request)) => self.may_enter(request),
            _ => true,
        };
        match (call, &mut self.phase) {
            (Call::Msg(argument), _) => {
                effects.push(Effect::Msg { target: self.target(), argument, ack });
            }
            (Call::Malformed, _) => self.close(Effect::Drop(Reason::Malformed), effects),
            // Before authentication anything else has no effect and no answer.
            (Call::Authenticate(Some(credentials)), Phase::Guest(guest)) => {
                guest.claims = Some(credentials.uid.clone());
                effects.push(Effect::Ask(Ask::SignIn { credentials, ack }));
            }
            (Call::Authenticate(None), Phase::Guest(_)) => {
                self.refuse_authentication(ack, AuthRefusal::Wrong, effects);
            }
            (_, Phase::Guest(_) | Phase::Ended) => {}
            (Call::Authenticate(credentials), Phase::Authenticated(_) | Phase::Member(_)) => {
                let own = self.phase.user().map(|user| &user.uid);
                match credentials.filter(|credentials| Some(&credentials.uid) == own) {
                    Some(credentials) => {
                        effects.push(Effect::Ask(Ask::CheckAgain { credentials, ack }));
                    }
                    None => self.checked_again(Checked::WRONG, ack, effects),
                }
            }
            (Call::Join(None), _) => self.join_failed(JoinFailure::NoRoom, ack, effects),
            (Call::Join(Some(_)), _) if !may_enter => {
                self.join_failed(JoinFailure::NotAllowed, ack, effects);
            }
            (Call::Join(Some(request)), Phase::Authenticated(who)) => {
                let uid = who.user.uid.clone();
                effects.push(Effect::Ask(Ask::Enter { uid, request, ack }));
            }
            (Call::Join(Some(request)), Phase::Member(member)) => {
                if member.may_join(&request.room, MAX_ROOMS) {
                    let uid = member.user.uid.clone();
                    effects.push(Effect::Ask(Ask::Enter { uid, request, ack }));
                } else {
                    self.join_failed(JoinFailure::Server, ack, effects);
                }
            }
            (Call::Sync(request), Phase::Authenticated(_)) => {
                self.reply(sync::nowhere(request, ack), effects);
            }
            (Call::Sync(request), Phase::Member(member)) => match member.room.clone() {
                None => self.reply(sync::nowhere(request, ack), effects),
                Some(room) if member.user.may(self.rules.access, Action::Sync, &room.id) => {
                    effects.push(Effect::Ask(Ask::ReadPage { room, request, ack }));
                }
                Some(_) => {
                    let refusal = wire::answer("sync", ack, SyncFailure::NotAllowed.answer());
                    self.reply(refusal, effects);
                }
            },
            (Call::Leave, Phase::Authenticated(_) | Phase::Member(_)) => {
                self.end(Some(Goodbye { ack }), effects);
            }
        }
    }

    /// What was asked for has come.
    pub fn answer(&mut self, answer: Answer) -> Vec<Effect> {
        let mut effects = Vec::new();
        match answer {
            Answer::SignedIn { user: Ok((uid, held, granted)), ack } => {
                self.phase = match self.take_phase() {
                    Phase::Guest(guest) => Phase::Authenticated(guest.authenticate(uid, held)),
                    other => other,
                };
                // Unless the next session of the user has kicked this one out already; a kickout
                // that comes from now on is sent behind this.
                self.reply(wire::answer("authenticate", ack, wire::AUTH_SUCCESS), &mut effects);
                self.grant(granted, &mut effects);
                effects.push(Effect::AwaitJoin);
            }
            Answer::SignedIn { user: Err(refusal), ack } => {
                self.refuse_authentication(ack, refusal, &mut effects);
            }
            Answer::Denied { what, by, ack } => self.denied(what, &by, ack, &mut effects),
            Answer::MayEnter { request, ack, changes, now } => {
                self.change(changes, now, &mut effects);
                self.enter_allowed(request, ack, &mut effects);
            }
            Answer::MaySend { message, changes, now } => {
                self.send_allowed(message, &mut effects);
                self.change(changes, now, &mut effects);
            }
            Answer::CheckedAgain { checked, ack } => {
                self.checked_again(checked, ack, &mut effects);
            }
            Answer::Entered { room: Some(room), dummy } => self.entered(room, dummy, &mut effects),
            Answer::Entered { room: None, .. } => {} // the client was told, and nothing changes
            Answer::PageRead { page, request } => {
                if let Phase::Member(member) = &self.phase
                    && request.from_start
                    && !member.dummy
                    && let Some(room) = member.room.clone()
                {
                    let uid = member.user.uid.clone();
                    effects.push(Effect::TellSynced { room, uid });
                }
                effects.extend([Effect::CountPage, Effect::Ask(Ask::SendPage(page))]);
            }
            // An answer without the messages would look like an empty room.
            Answer::PageFailed => {
                self.close(Effect::Drop(Reason::StoreUnavailable), &mut effects);
            }
            Answer::PageLate => self.close(Effect::Drop(Reason::Slow), &mut effects),
            Answer::PageUnwanted | Answer::PageSent => {}
            Answer::Departed { goodbye: Some(Goodbye { ack }) } => {
                if let Some(id) = ack {
                    self.reply(wire::acknowledgement(id, wire::LEAVE_SUCCESS), &mut effects);
                }
                self.close(Effect::Refuse(Reason::Leave), &mut effects);
            }
            Answer::Departed { goodbye: None } => {}
            Answer::Failed => {
                self.close(Effect::Drop(Reason::Failure), &mut effects);
                self.abandon(&mut effects);
            }
        }
        effects
    }

    fn entered(&mut self, room: Arc<Room>, dummy: bool, effects: &mut Vec<Effect>) {
        let evicted = self.is_evicted();
        if evicted {
            // While it was entering: who evicted it did not see this room.
            effects.push(Effect::Silence(vec![room.clone()]));
        }
        self.phase = match self.take_phase() {
            Phase::Authenticated(who) => {
                let uid = who.user.uid.clone();
                let (member, given_up) = who.join(room, dummy);
                self.release(given_up, &uid, effects);
                Phase::Member(member)
            }
            Phase::Member(member) => Phase::Member(member.join(room, dummy)),
            other @ (Phase::Guest(_) | Phase::Ended) => other,
        };
        // It was asked before; only what may be sent there is new.
        if let Phase::Member(member) = &mut self.phase {
            member.reconsider(self.rules.access);
        }
    }

    fn join_failed(&self, failure: JoinFailure, ack: Option<i64>, effects: &mut Vec<Effect>) {
        self.reply(wire::answer("join", ack, failure.answer()), effects);
    }

    fn refuse_authentication(
        &mut self,
        ack: Option<i64>,
        refusal: AuthRefusal,
        effects: &mut Vec<Effect>,
    ) {
        self.reply(wire::answer("authenticate", ack, refusal.answer()), effects);
        effects.push(Effect::Unregister);
        self.turn_away(refusal, effects);
        self.phase = Phase::Ended;
    }

    /// The same user is checked and answered again; another one is refused, and the session ends.
    fn checked_again(&mut self, checked: Checked, ack: Option<i64>, effects: &mut Vec<Effect>) {
        let payload = match &checked.granted {
            Ok(_) => wire::AUTH_SUCCESS,
            Err(refusal) => refusal.answer(),
        };
        self.reply(wire::answer("authenticate", ack, payload), effects);
        match checked.granted {
            Ok(granted) => self.renew(granted, effects),
            // What its session rests on is as good as before.
            Err(AuthRefusal::Expired) => {}
            Err(AuthRefusal::Server) if checked.by_jwt => {}
            Err(refusal) => {
                self.turn_away(refusal, effects);
                self.mailbox.put_end_first();
            }
        }
    }

    /// Refuses, but for a fault of ours: a client that is refused stays away for good, and a store
    /// that is out comes back.
    fn turn_away(&mut self, refusal: AuthRefusal, effects: &mut Vec<Effect>) {
        let why = match refusal {
            AuthRefusal::Wrong | AuthRefusal::Expired => Reason::WrongCredentials,
            AuthRefusal::NotAllowed => Reason::RefusedByHook,
            AuthRefusal::Timeout => Reason::AuthenticationTimeout,
            AuthRefusal::RateLimit => Reason::RateLimit,
            AuthRefusal::Server => return effects.push(Effect::DropLater),
        };
        self.close(Effect::Refuse(why), effects);
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

mod consent;
mod effect;
mod rights;
#[cfg(test)]
mod tests;
