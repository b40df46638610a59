//! A socket that is gone leaves what it was in: by itself, or because its node is dead.
use super::Step;
use crate::{
    dialect::chat_service::{
        chat::{Chat, Seat, SocketAt},
        incidents::{Concerning, Operation},
        names,
        notice::Notice,
    },
    domain::{
        cluster::Lost,
        ids::{RoomId, Uid},
        presence::Departure,
    },
    metrics::ChatEvent,
};

/// What there is to tell of a socket that is gone.
pub(in crate::dialect::chat_service) struct Gone {
    /// Sockets that its user still has.
    pub connected: u64,
    /// The rooms that it was in, and how many sockets of its user are still there.
    pub removed: Vec<(String, u64)>,
}

impl Step<'_> {
    /// How many other sockets of the user are in the room, of all that the user has; `None`: this
    /// one is not there.
    fn others(&self, sockets: &[SocketAt]) -> Option<u64> {
        let there = sockets.iter().filter(|at| at.rooms.contains(self.room));
        let (own, others): (Vec<_>, Vec<_>) = there.partition(|at| {
            at.socket == *self.seat.id() && at.connection == self.seat.connection()
        });
        (!own.is_empty()).then_some(others.len() as u64)
    }
}

impl Chat {
    /// A socket is gone, which was in these rooms, and in the user's inbox. What the store does not
    /// take the core does later. Returns what there is to tell of it.
    pub async fn disconnect(&self, user: &Uid, seat: &dyn Seat, rooms: &[RoomId]) -> Gone {
        let mut removed = Vec::with_capacity(rooms.len());
        for room in rooms {
            let Some(name) = names::shown(room) else { continue };
            let step = Step { user, seat, name, room };
            // After what the user's other sockets do here, unless that takes very long. No other node
            // is asked, as many may go at once.
            let _turn = self.own_turn((user.as_str().to_owned(), name.to_owned())).await;
            let left = self.watched(user, seat, name, self.go(&step)).await;
            removed.push((name.to_owned(), left));
        }
        let connected = match self.leave_inbox(user, seat).await {
            Some(connected) => {
                // Where no socket is left nobody is told: one that comes now comes behind this.
                if connected > 0 {
                    let echo = Notice::SocketDisconnectEcho { id: seat.id(), connected };
                    self.echo(user.as_str(), &echo, None).await;
                }
                connected
            }
            None => self.sockets_of(user).await.map_or(0, |sockets| sockets.len() as u64),
        };
        Gone { connected, removed }
    }

    /// A socket that is gone leaves a room. Returns how many of its user are left there. Of one
    /// that is not there any more all was told: its node was taken for dead.
    async fn go(&self, step: &Step<'_>) -> u64 {
        if self.caller.calls("onLeave") {
            let left = match self.sockets_of(step.user).await {
                Ok(sockets) => step.others(&sockets),
                Err(_) => Some(0), // better than not at all
            };
            if let Some(left) = left {
                self.tell_leave(step.user, step.seat.id(), step.name, left).await;
            }
        }
        match self.depart(step, Departure::Gone).await {
            Ok(Some(left)) => {
                let (room, id) = (step.name, &**step.seat.id());
                let echo = Notice::RoomLeftEcho { room, id, joined: left };
                self.echo(step.user.as_str(), &echo, Some(step.seat)).await;
                left
            }
            // It is not known, or it was not there.
            Ok(None) | Err(_) => self.joined(step.room, step.user).await.unwrap_or_default(),
        }
    }

    /// A socket is gone with its node, and the core has taken it out of its rooms. Its user's other
    /// sockets are told, and hooks, as if it had gone by itself, but for onDisconnect.
    pub async fn tell_of_lost(&self, lost: &Lost) {
        let (user, id) = (lost.uid.as_str(), &*lost.socket.0);
        let Ok(inbox) = names::inbox(user) else { return };
        for (room, joined) in &lost.rooms {
            let Some(name) = names::shown(room) else { continue };
            self.tell_leave(&lost.uid, id, name, *joined).await;
            if *joined == 0 {
                self.note(room, &lost.uid).await;
            }
            let echo = Notice::RoomLeftEcho { room: name, id, joined: *joined };
            self.echo(user, &echo, None).await;
        }
        let left = lost.rooms.iter().find(|(room, _)| *room == inbox);
        if let Some((_, connected @ 1..)) = left {
            let echo = Notice::SocketDisconnectEcho { id, connected: *connected };
            self.echo(user, &echo, None).await;
        }
    }

    /// A socket leaves its user's inbox. Returns how many the user still has; `None`: it was not
    /// there, or that is not known.
    pub async fn leave_inbox(&self, user: &Uid, seat: &dyn Seat) -> Option<u64> {
        let Ok(inbox) = names::inbox(user.as_str()) else { return None };
        match self.hub.depart(&inbox, seat.connection(), Departure::Gone).await {
            Ok(left) => left,
            Err(error) => {
                let about = Concerning {
                    user: user.as_str(),
                    operation: Some(Operation::UserSockets),
                    room: None,
                    id: Some(seat.id()),
                };
                let error = error.to_string();
                self.tell_incident(ChatEvent::StoreConsistencyFailure, &error, &about);
                None
            }
        }
    }
}
