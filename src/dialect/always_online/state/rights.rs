//! What a session's token grants and hooks change, and for how long.
use std::sync::Arc;

use super::{Effect, State};
use crate::{
    dialect::always_online::{
        authenticate::Granted,
        expiry::{Due, Expiry},
        mailbox::Item,
        phase::Phase,
        wire::{self, AuthRefusal, JoinRequest},
    },
    domain::{
        access::{Access, Action, Caps, Rights},
        gate::Changes,
        ids::Uid,
    },
    reason::Reason,
};

impl State {
    /// The user, and what its token grants; none of a plain token.
    fn granted(&self) -> Option<(Uid, Arc<Rights>)> {
        let user = self.phase.user()?;
        Some((user.uid.clone(), user.token.clone()?))
    }

    /// Tokens of the user were revoked. Returns what is to be looked at: the token that its
    /// session rests on. One that is being checked may have been looked at before, and is looked at
    /// once more when it is granted.
    pub fn recheck(&mut self) -> Option<(Uid, Arc<Rights>)> {
        self.looks |= self.checking;
        self.granted()
    }

    /// The token with these rights was revoked. By now the session may rest on another one.
    pub fn revoked(&mut self, rights: &Arc<Rights>) -> Vec<Effect> {
        match self.granted() {
            Some((_, own)) if Arc::ptr_eq(&own, rights) => self.refuse(Reason::Revoked),
            _ => Vec::new(),
        }
    }

    /// The user, and what the business server said of it.
    pub fn known(&self) -> Option<(Uid, Option<Arc<str>>)> {
        let user = self.phase.user()?;
        Some((user.uid.clone(), user.rights.as_ref().and_then(|rights| rights.meta.clone())))
    }

    /// Whether its token lets it into the room.
    pub(super) fn may_enter(&self, request: &JoinRequest) -> bool {
        let action = if request.dummy { Action::Dummy } else { Action::Join };
        let user = self.phase.user();
        user.is_some_and(|user| user.may(self.rules.access, action, &request.room))
    }

    /// It has these rights from now on.
    pub(super) fn grant(&mut self, granted: Granted, effects: &mut Vec<Effect>) {
        let Some(user) = self.phase.user_mut() else { return };
        let before = user.expiry.take();
        if granted.by_hook.concern_rights() {
            let earlier = user.by_hook.take().map(|earlier| *earlier).unwrap_or_default();
            user.by_hook = Some(Box::new(earlier.and(&granted.by_hook)));
        }
        user.token = granted.rights;
        let rights = match &user.by_hook {
            None => user.token.clone(),
            Some(changes) => Some(changed(user.token.as_deref(), changes, self.rules.access)),
        };
        let expires_at = rights.as_ref().and_then(|rights| rights.expires_at);
        // What changes nothing about the time neither prolongs the grace nor tells of it again.
        user.expiry = expires_at.map(|at| match before {
            Some(expiry) if expiry.is_of(at) => expiry,
            _ => Expiry::new(at, granted.now, self.rules.grace),
        });
        user.rights = rights;
        match &mut user.expiry {
            // What is due at once is found out as all else is: by a reminder.
            Some(expiry) => effects.push(Effect::Remind(Some(expiry.next()))),
            None if before.is_some() => effects.push(Effect::Remind(None)),
            None => {}
        }
    }

    /// The user has presented another token, which is good. The later one counts: who renews twice
    /// at once may be heard of in the wrong order.
    pub(super) fn renew(&mut self, granted: Granted, effects: &mut Vec<Effect>) {
        let Some(user) = self.phase.user() else { return };
        if let (Some(own), Some(new)) = (&user.token, &granted.rights)
            && new.are_older_than(own)
        {
            self.change(granted.by_hook, granted.now, effects);
            return;
        }
        let by_jwt = granted.rights.is_some();
        self.grant(granted, effects);
        // A revocation that came while it was checked has looked at the token before.
        if by_jwt && std::mem::take(&mut self.looks) {
            effects.push(Effect::LookForRevocation);
        }
        self.reconsider(effects);
    }

    /// A hook has changed what it may do.
    pub(super) fn change(&mut self, by_hook: Changes, now: u64, effects: &mut Vec<Effect>) {
        if !by_hook.concern_rights() {
            return;
        }
        let rights = self.phase.user().and_then(|user| user.token.clone());
        self.grant(Granted { rights, by_hook, now }, effects);
        self.reconsider(effects);
    }

    /// Asks again whether it may be in its rooms.
    fn reconsider(&mut self, effects: &mut Vec<Effect>) {
        if let Phase::Member(member) = &mut self.phase
            && !member.reconsider(self.rules.access)
        {
            self.close(Effect::Drop(Reason::NotAllowed), effects);
        }
    }

    /// A time has come that it wanted to be reminded of; it is `now`. What the client has in its
    /// mailbox puts nothing off, so that it can't outlive its token by being busy; but for a renewal
    /// that it sent before, which counts if its turn comes soon.
    pub fn remind(&mut self, now: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self.renewal_by() {
            Some(last) if now < last => {
                self.mailbox.put(Item::Due(now));
                effects.push(Effect::Remind(Some(last)));
            }
            _ => self.due(now, &mut effects),
        }
        self.wake(effects)
    }

    /// By when a renewal has to be checked, if one waits or is being checked.
    fn renewal_by(&self) -> Option<u64> {
        let user = self.phase.user()?;
        let expiry = user.expiry.as_ref()?;
        (self.checking || self.mailbox.has_renewal(&user.uid)).then(|| expiry.last())
    }

    /// A time has come that its token sets; it may be another token by now.
    pub(super) fn due(&mut self, now: u64, effects: &mut Vec<Effect>) {
        let Some(expiry) = self.phase.user_mut().and_then(|user| user.expiry.as_mut()) else {
            return;
        };
        match expiry.due(now) {
            Due::Wait(until) => effects.push(Effect::Remind(Some(until))),
            Due::Tell(seconds) => {
                let until = expiry.next();
                self.reply(wire::expiring(seconds), effects);
                effects.push(Effect::Remind(Some(until)));
            }
            Due::Over => self.expire(effects),
        }
    }

    /// Its time is over. What the client has asked for and was not handled has no effect.
    fn expire(&mut self, effects: &mut Vec<Effect>) {
        if self.is_open() {
            let answer = wire::answer("authenticate", None, AuthRefusal::Expired.answer());
            self.reply(answer, effects);
            self.close(Effect::Drop(Reason::TokenExpired), effects);
            self.mailbox.discard_calls();
        }
    }
}

/// Rights as a hook changes them. A plain token, which has none, gets no more by that.
fn changed(token: Option<&Rights>, changes: &Changes, access: Access) -> Arc<Rights> {
    let rights = token.cloned().unwrap_or_else(|| Rights {
        caps: (access == Access::Claims).then(|| Arc::new(Caps::none())),
        ..Rights::default()
    });
    Arc::new(changes.applied(rights))
}
