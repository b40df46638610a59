//! Where a client stands, a type for each: a [`Guest`] can only authenticate, only somebody who is
//! [`Authenticated`] can join a room, only a [`Member`] can read one. A phase that is left is
//! consumed, so what must not happen does not compile.
use std::sync::Arc;

use super::{expiry::Expiry, msg::Target, wire::MsgFailure};
use crate::domain::{
    access::{Access, Action, Rights},
    gate::Changes,
    ids::{RoomId, Uid},
    presence::Departure,
    room::Room,
};

/// Where a client stands.
pub(super) enum Phase {
    Guest(Guest),
    Authenticated(Authenticated),
    Member(Member),
    /// Nothing that it sends has an effect any more.
    Ended,
}

/// Nobody yet.
pub(super) struct Guest {
    /// Who it says that it is, while that is being checked.
    pub claims: Option<Uid>,
}

/// A user.
pub(super) struct User {
    pub uid: Uid,
    /// The uid as JSON, for messages.
    json: Arc<str>,
    /// What its token grants; none of a plain one.
    pub token: Option<Arc<Rights>>,
    /// The same, with what hooks changed.
    pub rights: Option<Arc<Rights>>,
    /// When that expires.
    pub expiry: Option<Expiry>,
    /// What hooks said of its rights. It holds for later tokens too, until one says otherwise.
    pub by_hook: Option<Box<Changes>>,
}

impl User {
    fn new(uid: Uid) -> Self {
        User {
            json: uid.json().into(),
            uid,
            token: None,
            rights: None,
            expiry: None,
            by_hook: None,
        }
    }

    /// Whether it may do this.
    pub fn may(&self, access: Access, action: Action, room: &RoomId) -> bool {
        access.allows(self.rights.as_deref(), action, room)
    }
}

/// Somebody, in no room yet.
pub(super) struct Authenticated {
    pub user: User,
    /// Rooms held for the user since an earlier session was kicked out.
    pub held: Vec<RoomId>,
}

/// Somebody who has joined a room.
pub(super) struct Member {
    pub user: User,
    /// The room that it joined last: `msg`, `sync` and `leave` are about this one. Nothing where it
    /// was taken out of that.
    pub room: Option<Arc<Room>>,
    /// Whether it joined that as a dummy: unseen, and without sending.
    pub dummy: bool,
    /// Whether it may send there, as far as its token is concerned.
    pub may_send: bool,
    /// The other rooms, in the order of joining, each once.
    others: Vec<Arc<Room>>,
    /// Those of them that it joined as a dummy.
    unseen: Vec<RoomId>,
}

impl Guest {
    /// The user's session is this one now. `held`: its rooms from an earlier session.
    pub fn authenticate(self, uid: Uid, held: Vec<RoomId>) -> Authenticated {
        Authenticated { user: User::new(uid), held }
    }
}

impl Authenticated {
    /// The first room. It decides what becomes of held rooms: the one joined, not as dummy, is taken
    /// over in silence, the others, which are returned, are given up.
    pub fn join(self, room: Arc<Room>, dummy: bool) -> (Member, Vec<RoomId>) {
        let Authenticated { user, mut held } = self;
        held.retain(|held| dummy || *held != room.id);
        let (room, others, unseen) = (Some(room), Vec::new(), Vec::new());
        (Member { user, room, dummy, may_send: true, others, unseen }, held)
    }
}

impl Member {
    /// Another room, or one of its own once more. It stays in the rest.
    pub fn join(mut self, room: Arc<Room>, dummy: bool) -> Self {
        self.others.retain(|other| other.id != room.id);
        self.unseen.retain(|other| *other != room.id);
        if let Some(before) = self.room.take().filter(|before| before.id != room.id) {
            if self.dummy {
                self.unseen.push(before.id.clone());
            }
            self.others.push(before);
        }
        (self.room, self.dummy) = (Some(room), dummy);
        self
    }

    /// It is out of this room. It stays in the others.
    pub fn forget(&mut self, room: &RoomId) {
        self.others.retain(|other| other.id != *room);
        self.unseen.retain(|other| other != room);
        self.room.take_if(|own| own.id == *room);
    }

    /// Asks again what it may do where it is. True: it may be in all of its rooms.
    pub fn reconsider(&mut self, access: Access) -> bool {
        let user = &self.user;
        self.may_send =
            self.room.as_ref().is_none_or(|room| user.may(access, Action::Send, &room.id));
        let entering = |unseen| if unseen { Action::Dummy } else { Action::Join };
        let others = self.others.iter().map(|room| (room, self.unseen.contains(&room.id)));
        others
            .chain(self.room.iter().map(|room| (room, self.dummy)))
            .all(|(room, unseen)| user.may(access, entering(unseen), &room.id))
    }

    /// Its rooms, in the order of joining.
    pub fn rooms(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.others.iter().chain(&self.room)
    }

    /// It goes: how each room is left, in the order of joining.
    pub fn departures(&self, current: Departure) -> Vec<(RoomId, Departure)> {
        let others = self.others.iter().map(|room| (room.id.clone(), Departure::Gone));
        others.chain(self.room.iter().map(|room| (room.id.clone(), current))).collect()
    }
}

impl Phase {
    /// The user, once it is known.
    pub fn user(&self) -> Option<&User> {
        match self {
            Phase::Authenticated(who) => Some(&who.user),
            Phase::Member(member) => Some(&member.user),
            Phase::Guest(_) | Phase::Ended => None,
        }
    }

    /// As [`Phase::user`], to be changed.
    pub fn user_mut(&mut self) -> Option<&mut User> {
        match self {
            Phase::Authenticated(who) => Some(&mut who.user),
            Phase::Member(member) => Some(&mut member.user),
            Phase::Guest(_) | Phase::Ended => None,
        }
    }

    /// Where its messages go.
    pub fn target(&self) -> Target {
        match self {
            Phase::Guest(_) | Phase::Ended => Target::Nowhere,
            Phase::Authenticated(_) => Target::Refused(MsgFailure::NotInRoom),
            Phase::Member(Member { room: None, .. }) => Target::Refused(MsgFailure::NotInRoom),
            Phase::Member(member) if member.dummy => Target::Refused(MsgFailure::Dummy),
            Phase::Member(member) if !member.may_send => Target::Refused(MsgFailure::NotAllowed),
            Phase::Member(Member { user, room: Some(room), .. }) => {
                Target::Room { uid: user.json.clone(), room: room.clone() }
            }
        }
    }
}
