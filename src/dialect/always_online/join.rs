//! `join`: into a room, as a member or as a dummy.
use std::sync::{Arc, atomic::Ordering::SeqCst};

use bytes::BytesMut;
use serde_json::value::RawValue;

use super::{
    authenticate::Authenticated,
    msg::Target,
    session::{Phase, Session, lock},
    wire::{self, JoinFailure},
};
use crate::domain::{
    ids::{RoomId, Uid},
    json::{self, Object},
    presence::Visitor,
    room::Room,
    subscriber::Subscriber,
};

/// Most rooms that one connection may be in.
const MAX_ROOMS: usize = 1000;

/// Somebody in at least one room.
pub(super) struct Member {
    pub uid: Uid,
    /// In the order of joining, each once; the last joined is the current one.
    pub rooms: Vec<RoomId>,
    pub room: Arc<Room>,
    pub dummy: bool,
}

/// What a client asks for.
struct Wish {
    room: RoomId,
    dummy: bool,
}

impl Wish {
    fn parse(argument: Option<&RawValue>) -> Option<Self> {
        let object = Object::parse(argument?.get())?;
        let room = json::room(object.get("roomId")?)?;
        let dummy = object.get("dummy").is_some_and(|d| d.get() == "true");
        Some(Wish { room, dummy })
    }
}

impl Authenticated {
    /// The first join decides what becomes of held rooms: the one joined, not as dummy, is taken
    /// over in silence, the others are told.
    async fn join(
        self,
        session: &Arc<Session>,
        wish: Wish,
        ack: Option<i64>,
    ) -> Result<Member, Self> {
        let Some(room) = session.enter(&self.uid, &wish, ack).await else { return Err(self) };
        // After a kick the holds are the next session's. The store looks again, as a kick may not
        // have been heard of here.
        if !session.evicted.load(SeqCst) {
            for held in self.held.iter().filter(|held| wish.dummy || **held != wish.room) {
                session.dialect.hub.release(held, &self.uid, session.id);
            }
        }
        Ok(Member { uid: self.uid, rooms: vec![wish.room], room, dummy: wish.dummy })
    }
}

impl Member {
    /// The client stays in its other rooms; `msg`, `sync` and `leave` act on this one.
    async fn join(&mut self, session: &Arc<Session>, wish: Wish, ack: Option<i64>) {
        if let Some(room) = session.enter(&self.uid, &wish, ack).await {
            self.rooms.retain(|r| *r != wish.room);
            self.rooms.push(wish.room);
            self.room = room;
            self.dummy = wish.dummy;
        }
    }
}

impl Session {
    pub(super) async fn first_join(
        self: &Arc<Self>,
        who: Authenticated,
        argument: Option<&RawValue>,
        ack: Option<i64>,
    ) -> Phase {
        let Some(wish) = self.wish(argument, ack) else { return Phase::Authenticated(who) };
        match who.join(self, wish, ack).await {
            Ok(member) => Phase::Member(member),
            Err(who) => Phase::Authenticated(who),
        }
    }

    pub(super) async fn next_join(
        self: &Arc<Self>,
        mut member: Member,
        argument: Option<&RawValue>,
        ack: Option<i64>,
    ) -> Phase {
        self.mailbox.quiet().await;
        if let Some(wish) = self.wish(argument, ack) {
            if member.rooms.len() < MAX_ROOMS || member.rooms.contains(&wish.room) {
                member.join(self, wish, ack).await;
            } else {
                self.answer("join", ack, &wire::failure(&JoinFailure::Server));
            }
        }
        Phase::Member(member)
    }

    fn wish(&self, argument: Option<&RawValue>, ack: Option<i64>) -> Option<Wish> {
        let wish = Wish::parse(argument);
        if wish.is_none() {
            self.answer("join", ack, &wire::failure(&JoinFailure::NoRoom));
        }
        wish
    }

    /// Enters the room, answers, and opens the target there. Nothing changes when it fails.
    async fn enter(
        self: &Arc<Self>,
        uid: &Uid,
        wish: &Wish,
        ack: Option<i64>,
    ) -> Option<Arc<Room>> {
        let visitor = Visitor { connection: self.id, uid: uid.clone(), hidden: wish.dummy };
        let session = self.clone();
        let answer = Box::new(move |roster: &Result<_, _>| match roster {
            Ok(roster) => session.welcome(roster, ack),
            Err(_) => session.answer("join", ack, &wire::failure(&JoinFailure::Server)),
        });
        let room = self.dialect.hub.enter(&wish.room, visitor, self.clone(), answer).await?;
        {
            let mut places = lock(&self.places);
            places.retain(|r| r.id != room.id);
            places.push(room.clone());
        }
        let mut target = lock(&self.target);
        if self.evicted.load(SeqCst) {
            // Kicked out while it was entering: whoever did that saw neither this room nor the
            // target.
            room.silence(self.id);
        } else if self.socket.is_open() {
            *target = if wish.dummy {
                Target::Silent
            } else {
                Target::Open { uid: uid.json().into(), room: room.clone() }
            };
        }
        Some(room)
    }

    /// The answer, and one `remote_join` for each who is there, in the order of their joining, as
    /// one burst.
    fn welcome(&self, roster: &crate::domain::presence::Roster, ack: Option<i64>) {
        let mut frames = BytesMut::with_capacity(64 + 64 * roster.others.len());
        wire::event(&mut frames, "join", wire::JOIN_SUCCESS);
        if let Some(id) = ack {
            wire::ack(&mut frames, id, wire::JOIN_SUCCESS);
        }
        for other in &roster.others {
            wire::about(&mut frames, "remote_join", other);
        }
        self.deliver(frames.freeze());
    }
}
