//! What a session makes of what it has asked for.
use std::sync::Arc;

use super::{Answer, Ask, Effect, Goodbye, State};
use crate::{
    dialect::always_online::{
        authenticate::Checked,
        phase::Phase,
        wire::{self, AuthRefusal},
    },
    domain::room::Room,
    metrics::{Event, Outcome},
    reason::Reason,
};

impl State {
    /// What was asked for has come.
    pub fn answer(&mut self, answer: Answer) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.checking = false; // one thing is asked at a time
        match answer {
            Answer::SignedIn { user: Ok((uid, held, granted)), ack } => {
                self.phase = match self.take_phase() {
                    Phase::Guest(guest) => Phase::Authenticated(guest.authenticate(uid, held)),
                    other => other,
                };
                effects.push(Effect::Count(Event::Authenticate, Outcome::Done));
                // Unless the next session of the user has kicked this one out already; a kickout
                // that comes from now on is sent behind this.
                self.reply(wire::answer("authenticate", ack, wire::AUTH_SUCCESS), &mut effects);
                self.grant(granted, &mut effects);
                if std::mem::take(&mut self.looks) {
                    effects.push(Effect::LookForRevocation);
                }
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
            Answer::Entered { room: Some(room), dummy } => {
                effects.push(Effect::Count(Event::Join, Outcome::Done));
                self.entered(room, dummy, &mut effects);
            }
            // The client was told, and nothing changes.
            Answer::Entered { room: None, .. } => {
                effects.push(Effect::Count(Event::Join, Outcome::Failed))
            }
            Answer::NotEntered { why, ack } => self.join_failed(why, ack, &mut effects),
            Answer::PageRead { page, request } => {
                effects.push(Effect::Count(Event::Sync, Outcome::Done));
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
                effects.push(Effect::Count(Event::Sync, Outcome::Failed));
                self.close(Effect::Drop(Reason::StoreUnavailable), &mut effects);
            }
            Answer::PageLate => self.close(Effect::Drop(Reason::Slow), &mut effects),
            Answer::PageUnwanted => effects.push(Effect::Count(Event::Sync, Outcome::Ignored)),
            Answer::PageSent => {}
            Answer::Departed { goodbye: Some(Goodbye { ack }) } => {
                effects.push(Effect::Count(Event::Leave, Outcome::Done));
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
        self.looks = false;
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

    pub(super) fn refuse_authentication(
        &mut self,
        ack: Option<i64>,
        refusal: AuthRefusal,
        effects: &mut Vec<Effect>,
    ) {
        match refusal {
            AuthRefusal::Timeout => {} // it has not sent any
            refusal => effects.push(Effect::Count(Event::Authenticate, refusal.outcome())),
        }
        self.reply(wire::answer("authenticate", ack, refusal.answer()), effects);
        effects.push(Effect::Unregister);
        self.turn_away(refusal, effects);
        self.phase = Phase::Ended;
    }

    /// The same user is checked and answered again; another one is refused, and the session ends.
    pub(super) fn checked_again(
        &mut self,
        checked: Checked,
        ack: Option<i64>,
        effects: &mut Vec<Effect>,
    ) {
        let (payload, outcome) = match &checked.granted {
            Ok(_) => (wire::AUTH_SUCCESS, Outcome::Done),
            Err(refusal) => (refusal.answer(), refusal.outcome()),
        };
        effects.push(Effect::Count(Event::Authenticate, outcome));
        self.reply(wire::answer("authenticate", ack, payload), effects);
        match checked.granted {
            Ok(granted) => self.renew(granted, effects),
            // What its session rests on is as good as before.
            Err(AuthRefusal::Expired) => {}
            Err(AuthRefusal::Server | AuthRefusal::TooManyFailures) if checked.by_jwt => {}
            Err(refusal) => {
                self.turn_away(refusal, effects);
                self.mailbox.put_end_first();
            }
        }
    }

    /// Refuses, but for what passes without the client: one that is refused stays away for good, a
    /// store that is out comes back, and who waits for the failures of others may be right.
    pub(super) fn turn_away(&mut self, refusal: AuthRefusal, effects: &mut Vec<Effect>) {
        let why = match refusal {
            AuthRefusal::Wrong | AuthRefusal::Expired => Reason::WrongCredentials,
            AuthRefusal::NotAllowed => Reason::RefusedByHook,
            AuthRefusal::Timeout => Reason::AuthenticationTimeout,
            AuthRefusal::RateLimit => Reason::RateLimit,
            AuthRefusal::TooManyFailures => {
                return effects.push(Effect::DropLater(Reason::TooManyFailures));
            }
            AuthRefusal::Server => {
                return effects.push(Effect::DropLater(Reason::StoreUnavailable));
            }
        };
        self.close(Effect::Refuse(why), effects);
    }
}

impl AuthRefusal {
    /// What became of the event, for those who count.
    fn outcome(self) -> Outcome {
        match self {
            AuthRefusal::Server => Outcome::Failed,
            AuthRefusal::Wrong
            | AuthRefusal::Expired
            | AuthRefusal::NotAllowed
            | AuthRefusal::Timeout
            | AuthRefusal::RateLimit
            | AuthRefusal::TooManyFailures => Outcome::Refused,
        }
    }
}
