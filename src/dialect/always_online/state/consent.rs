//! What is made of the answers of hooks.
use super::{Ask, Denied, Effect, Pending, State};
use crate::{
    dialect::always_online::{
        msg::Target,
        phase::Phase,
        wire::{self, AuthRefusal, JoinFailure, JoinRequest, MsgFailure},
    },
    domain::gate::{Answer, Refusal},
    metrics::{Event, Outcome},
    reason::Reason,
};

impl State {
    /// A hook lets it into the room. By now it may have been evicted or sent away, or the hook itself
    /// has taken the right to be there.
    pub(super) fn enter_allowed(
        &mut self,
        request: JoinRequest,
        ack: Option<i64>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_open() {
            return;
        }
        match self.phase.user().map(|user| user.uid.clone()) {
            Some(uid) if self.may_enter(&request) => {
                effects.push(Effect::Ask(Ask::EnterAllowed { uid, request, ack }));
            }
            Some(_) => self.join_failed(JoinFailure::NotAllowed, ack, effects),
            None => {}
        }
    }

    /// A hook lets it send this, unless it may not any more for another reason.
    pub(super) fn send_allowed(&mut self, message: Pending, effects: &mut Vec<Effect>) {
        let ack = message.ack;
        match self.target() {
            Target::Room { room, .. } if room.id == message.room.id => {
                effects.push(Effect::Post(message));
            }
            Target::Room { .. } => {
                effects.push(Effect::RefuseMsg { failure: MsgFailure::NotInRoom, by: None, ack });
            }
            Target::Refused(failure) => {
                effects.push(Effect::RefuseMsg { failure, by: None, ack });
            }
            Target::Nowhere => {}
        }
    }

    /// A hook does not consent. Who asked is told, and what the hook says of it.
    pub(super) fn denied(
        &mut self,
        what: Denied,
        by: &Answer,
        ack: Option<i64>,
        effects: &mut Vec<Effect>,
    ) {
        let refusal = match by {
            Answer::Failed => return self.without_answer(what, ack, effects),
            Answer::Refused(refusal) => Some(refusal),
            Answer::Disconnect { .. } | Answer::Allowed(_) => None,
        };
        match what {
            Denied::Connect | Denied::Renewal => {
                effects.push(Effect::Count(Event::Authenticate, Outcome::Refused));
                let payload = wire::denial(AuthRefusal::NotAllowed, refusal);
                self.reply(wire::answer("authenticate", ack, &payload), effects);
            }
            Denied::Join => {
                effects.push(Effect::Count(Event::Join, Outcome::Refused));
                let payload = wire::denial(JoinFailure::NotAllowed, refusal);
                self.reply(wire::answer("join", ack, &payload), effects);
            }
            Denied::Message => {
                let (failure, by) = (MsgFailure::NotAllowed, refusal.cloned());
                self.refuse_msg(failure, by, ack, effects);
            }
        }
        let end = match (by, what) {
            (Answer::Disconnect { reconnect: true, .. }, _) => Effect::Drop(Reason::DroppedByHook),
            (Answer::Disconnect { .. }, _) | (_, Denied::Connect | Denied::Renewal) => {
                Effect::Refuse(Reason::RefusedByHook)
            }
            (_, Denied::Join | Denied::Message) => return,
        };
        if matches!(self.phase, Phase::Guest(_)) {
            self.phase = Phase::Ended;
        } else if matches!(end, Effect::Refuse(_)) {
            self.mailbox.put_end_first();
        }
        self.close(end, effects);
    }

    /// Nothing could be learnt, which is no consent, and no fault of the client.
    fn without_answer(&mut self, what: Denied, ack: Option<i64>, effects: &mut Vec<Effect>) {
        match what {
            Denied::Connect => self.refuse_authentication(ack, AuthRefusal::Server, effects),
            // What its session rests on is as good as before.
            Denied::Renewal => {
                effects.push(Effect::Count(Event::Authenticate, Outcome::Failed));
                let answer = wire::answer("authenticate", ack, AuthRefusal::Server.answer());
                self.reply(answer, effects);
            }
            Denied::Join => self.join_failed(JoinFailure::Server, ack, effects),
            Denied::Message => {
                self.refuse_msg(MsgFailure::Unavailable, None, ack, effects);
                // As with one that could not be stored: its sender does not learn of it otherwise.
                if ack.is_none() {
                    self.close(Effect::Drop(Reason::StoreUnavailable), effects);
                }
            }
        }
    }

    fn refuse_msg(
        &self,
        failure: MsgFailure,
        by: Option<Refusal>,
        ack: Option<i64>,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_open() {
            effects.push(Effect::RefuseMsg { failure, by, ack });
        }
    }
}
