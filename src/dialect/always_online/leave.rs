//! `leave`, and every other end of a session. It happens once, behind all messages that the client
//! sent.
use std::sync::{Arc, atomic::Ordering::SeqCst};

use super::{
    session::{Phase, Session, lock},
    wire,
};
use crate::domain::{
    ids::{RoomId, Uid},
    presence::Departure,
};
use crate::reason::Reason;
use crate::throttle::throttled;

impl Session {
    /// The client says goodbye to its current room: the others there are told so, those of its
    /// other rooms that it is gone. It is refused.
    pub(super) async fn leave(self: &Arc<Self>, phase: Phase, ack: Option<i64>) -> Phase {
        let phase = match phase {
            Phase::Member(member) => {
                self.mailbox.quiet().await;
                self.depart(&member.uid, &member.rooms, Some(&member.room.id)).await;
                Phase::Ended
            }
            other => self.end(other).await,
        };
        if let Some(id) = ack {
            self.acknowledge(id, wire::LEAVE_SUCCESS);
        }
        self.refuse(Reason::Leave);
        phase
    }

    /// The connection is gone, or was refused.
    pub(super) async fn end(self: &Arc<Self>, phase: Phase) -> Phase {
        self.leave_target();
        match phase {
            Phase::Guest(_) | Phase::Ended => {}
            Phase::Authenticated(who) => {
                // After a kick the holds are the next session's. The store looks again, as a kick
                // may not have been heard of here.
                if !self.evicted.load(SeqCst) {
                    for room in &who.held {
                        self.dialect.hub.release(room, &who.uid, self.id);
                    }
                }
                self.depart(&who.uid, &[], None).await;
            }
            Phase::Member(member) => {
                self.mailbox.quiet().await;
                self.depart(&member.uid, &member.rooms, None).await;
            }
        }
        Phase::Ended
    }

    /// What a session whose phase was lost owes to others.
    pub(super) async fn abandon(self: &Arc<Self>) -> Phase {
        throttled!(error, socket = %self.public.0, "a session failed; its connection is closed");
        self.drop_connection(Reason::Failure);
        if let Some(uid) = self.uid.get() {
            let rooms: Vec<RoomId> = lock(&self.places).iter().map(|r| r.id.clone()).collect();
            self.depart(uid, &rooms, None).await;
        }
        Phase::Ended
    }

    async fn depart(&self, uid: &Uid, rooms: &[RoomId], left: Option<&RoomId>) {
        let hub = &self.dialect.hub;
        for room in rooms {
            let departure = if left == Some(room) { Departure::Left } else { Departure::Gone };
            hub.depart(room, self.id, departure).await;
        }
        lock(&self.places).clear();
        if let Err(error) = hub.presence.end(uid, self.id).await {
            throttled!(warn, %error, "a session could not be ended");
        }
        hub.unregister(self.id);
    }
}
