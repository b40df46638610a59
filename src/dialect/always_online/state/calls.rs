//! What the session's task does about what waits, and about what the client asks for.
use super::{Ask, Effect, Goodbye, State};
use crate::{
    dialect::always_online::{
        authenticate::Checked,
        mailbox::Item,
        phase::Phase,
        sync,
        wire::{self, AuthRefusal, Call, JoinFailure, SyncFailure, SyncRequest},
    },
    domain::{access::Action, ids::RoomId},
    metrics::{Event, Outcome},
    reason::Reason,
};

/// What a call is for those who count.
fn event(call: &Call) -> Event {
    match call {
        Call::Authenticate(_) => Event::Authenticate,
        Call::Join(_) => Event::Join,
        Call::Leave => Event::Leave,
        Call::Msg(_) => Event::Msg,
        Call::Sync(_) => Event::Sync,
        Call::Malformed => Event::Other,
    }
}

impl State {
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
            (Item::Call { call, .. }, _) if self.is_evicted() => {
                effects.push(Effect::Count(event(&call), Outcome::Ignored));
            }
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
            (Call::Malformed, _) => {
                effects.push(Effect::Count(Event::Other, Outcome::Refused));
                self.close(Effect::Drop(Reason::Malformed), effects);
            }
            // Before authentication anything else has no effect and no answer.
            (Call::Authenticate(Some(credentials)), Phase::Guest(guest)) => {
                guest.claims = Some(credentials.uid.clone());
                self.checking = true;
                effects.push(Effect::Ask(Ask::SignIn { credentials, ack }));
            }
            (Call::Authenticate(None), Phase::Guest(_)) => {
                self.refuse_authentication(ack, AuthRefusal::Wrong, effects);
            }
            (call, Phase::Guest(_) | Phase::Ended) => {
                effects.push(Effect::Count(event(&call), Outcome::Ignored))
            }
            (Call::Authenticate(credentials), Phase::Authenticated(_) | Phase::Member(_)) => {
                let own = self.phase.user().map(|user| &user.uid);
                match credentials.filter(|credentials| Some(&credentials.uid) == own) {
                    Some(credentials) => {
                        self.checking = true;
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
                let uid = member.user.uid.clone();
                effects.push(Effect::Ask(Ask::Enter { uid, request, ack }));
            }
            (Call::Sync(request), Phase::Authenticated(_)) => {
                self.sync_nowhere(request, ack, effects);
            }
            (Call::Sync(request), Phase::Member(member)) => match member.room.clone() {
                None => self.sync_nowhere(request, ack, effects),
                Some(room) if member.user.may(self.rules.access, Action::Sync, &room.id) => {
                    effects.push(Effect::Ask(Ask::ReadPage { room, request, ack }));
                }
                Some(_) => {
                    effects.push(Effect::Count(Event::Sync, Outcome::Refused));
                    let refusal = wire::answer("sync", ack, SyncFailure::NotAllowed.answer());
                    self.reply(refusal, effects);
                }
            },
            (Call::Leave, Phase::Authenticated(_) | Phase::Member(_)) => {
                self.end(Some(Goodbye { ack }), effects);
            }
        }
    }

    /// In how many rooms it is beside this one.
    pub fn rooms_beside(&self, room: &RoomId) -> usize {
        match &self.phase {
            Phase::Member(member) => member.rooms().filter(|own| own.id != *room).count(),
            Phase::Guest(_) | Phase::Authenticated(_) | Phase::Ended => 0,
        }
    }

    /// There is nothing to catch up with.
    fn sync_nowhere(&self, request: SyncRequest, ack: Option<i64>, effects: &mut Vec<Effect>) {
        effects.push(Effect::Count(Event::Sync, Outcome::Done));
        self.reply(sync::nowhere(request, ack), effects);
    }

    pub(super) fn join_failed(
        &self,
        failure: JoinFailure,
        ack: Option<i64>,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = match failure {
            JoinFailure::NoRoom
            | JoinFailure::NotAllowed
            | JoinFailure::TooOften
            | JoinFailure::TooManyNew
            | JoinFailure::TooManyRooms => Outcome::Refused,
            JoinFailure::Server => Outcome::Failed,
        };
        effects.push(Effect::Count(Event::Join, outcome));
        self.reply(wire::answer("join", ack, failure.answer()), effects);
    }
}
