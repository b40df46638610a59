//! What the stores tell a node, handed on to its rooms and connections.
use std::sync::{Arc, Weak, atomic::Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    super::{
        broker::{Publication, RoomSink},
        cluster::{Figures, Lost, NodeSink},
        directory::Ending,
        ids::{ConnectionId, RoomId},
        presence::SessionSink,
        room::Room,
        subscriber::Subscriber,
    },
    Hub,
};
use crate::reason::Reason;

/// The stores' way back, without a cycle of ownership.
pub(super) struct WeakHub(pub(super) Weak<Hub>);

impl WeakHub {
    fn room(&self, room: &RoomId) -> Option<Arc<Room>> {
        self.0.upgrade().and_then(|hub| hub.rooms.get(room))
    }

    fn subscriber(&self, connection: ConnectionId) -> Option<Arc<dyn Subscriber>> {
        self.0
            .upgrade()
            .and_then(|hub| hub.connections().get(&connection).map(|c| c.subscriber.clone()))
    }

    /// The connections that are guests, or those that are not.
    fn registered(&self, guests: bool) -> Vec<ConnectionId> {
        let Some(hub) = self.0.upgrade() else { return Vec::new() };
        let connections = hub.connections();
        connections.iter().filter(|(_, c)| c.guest == guests).map(|(id, _)| *id).collect()
    }
}

impl RoomSink for WeakHub {
    fn deliver(&self, room: &RoomId, publications: Vec<Publication>) {
        if let Some(room) = self.room(room) {
            room.deliver(&publications);
        }
    }

    fn invalidate(&self, room: &RoomId) {
        if let Some(room) = self.room(room) {
            room.invalidate();
        }
    }

    fn missed(&self, room: &RoomId, upto: u64) {
        if let Some(room) = self.room(room) {
            room.missed(upto);
        }
    }
}

impl SessionSink for WeakHub {
    fn evict(&self, connection: ConnectionId) {
        if let Some(subscriber) = self.subscriber(connection) {
            subscriber.evict();
        }
    }

    fn revoke(&self, connection: ConnectionId) {
        if let Some(subscriber) = self.subscriber(connection) {
            subscriber.revoke();
        }
    }

    fn recheck(&self, connection: ConnectionId) {
        if let Some(subscriber) = self.subscriber(connection) {
            subscriber.recheck();
        }
    }

    fn sessions(&self) -> Vec<ConnectionId> {
        self.registered(false)
    }

    fn guests(&self) -> Vec<ConnectionId> {
        self.registered(true)
    }

    fn send_back(&self, connection: ConnectionId) {
        if let Some(subscriber) = self.subscriber(connection) {
            subscriber.drop_connection(Reason::LostSession);
        }
    }

    fn disconnect(&self, connection: ConnectionId, ending: Ending) {
        let Some(subscriber) = self.subscriber(connection) else { return };
        match ending {
            Ending::Drop => subscriber.drop_connection(Reason::Disconnected),
            Ending::Refuse => subscriber.refuse(Reason::TurnedAway),
        }
    }
}

impl NodeSink for WeakHub {
    fn force_user_auth(&self, on: Option<bool>) {
        let Some(hub) = self.0.upgrade() else { return };
        let on = on.unwrap_or(hub.configured_user_auth);
        if hub.force_user_auth.swap(on, Ordering::Relaxed) != on {
            tracing::warn!(force_user_auth = on, "user authentication was switched");
        }
    }

    fn open_connections(&self) -> u64 {
        self.0.upgrade().map_or(0, |hub| hub.open_connections() as u64)
    }

    fn figures(&self) -> Option<Figures> {
        self.0.upgrade().map(|hub| hub.figures())
    }

    fn jobs_are_open(&self) {
        if let Some(hub) = self.0.upgrade() {
            hub.given.notify_one();
        }
    }

    fn asked(&self, question: Bytes) -> oneshot::Receiver<Bytes> {
        match self.0.upgrade() {
            Some(hub) => hub.listeners.asked(&question),
            None => oneshot::channel().1,
        }
    }

    fn told(&self, word: Bytes) {
        if let Some(hub) = self.0.upgrade() {
            hub.listeners.told(&word);
        }
    }

    fn lost(&self, lost: Vec<Lost>) {
        if let Some(hub) = self.0.upgrade() {
            hub.listeners.lost(&lost.into());
        }
    }
}
