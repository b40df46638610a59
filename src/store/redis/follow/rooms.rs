//! The rooms that this node has members of, or had a moment ago.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::{super::lock, Followed};
use crate::domain::ids::RoomId;

/// All rooms that this node is told of.
#[derive(Default)]
pub(in crate::store::redis) struct Rooms(Mutex<HashMap<RoomId, Entry>>);

struct Entry {
    followed: Arc<Followed>,
    /// It is known where the order stands.
    open: bool,
    /// Nobody is there any more, since then.
    idle: Option<Instant>,
}

impl Rooms {
    pub(in crate::store::redis) fn get(&self, room: &str) -> Option<Arc<Followed>> {
        lock(&self.0).get(room).map(|entry| entry.followed.clone())
    }

    pub(in crate::store::redis) fn id(&self, room: &str) -> Option<(RoomId, Arc<Followed>)> {
        lock(&self.0).get_key_value(room).map(|(id, entry)| (id.clone(), entry.followed.clone()))
    }

    /// Goes on with a room that is still followed.
    pub(in crate::store::redis) fn keep(&self, room: &RoomId) -> bool {
        let mut rooms = lock(&self.0);
        let Some(entry) = rooms.get_mut(room).filter(|entry| entry.open) else { return false };
        entry.idle = None;
        true
    }

    pub(in crate::store::redis) fn add(&self, room: &RoomId) -> Arc<Followed> {
        let followed = Arc::new(Followed::default());
        lock(&self.0)
            .insert(room.clone(), Entry { followed: followed.clone(), open: false, idle: None });
        followed
    }

    /// It is known where the room's order stands.
    pub(in crate::store::redis) fn opened(&self, room: &RoomId) {
        if let Some(entry) = lock(&self.0).get_mut(room) {
            entry.open = true;
        }
    }

    /// The room need not be followed any more.
    pub(in crate::store::redis) fn leave(&self, room: &RoomId) {
        if let Some(entry) = lock(&self.0).get_mut(room) {
            entry.idle = Some(Instant::now());
        }
    }

    pub(in crate::store::redis) fn remove(&self, room: &RoomId) {
        lock(&self.0).remove(room);
    }

    /// Whether there is any that nobody was in for so long.
    pub(in crate::store::redis) fn any_idle(&self, after: Duration) -> bool {
        lock(&self.0).values().any(|entry| entry.idle.is_some_and(|since| since.elapsed() >= after))
    }

    /// Takes out what nobody was in for so long.
    pub(in crate::store::redis) fn sweep(&self, after: Duration) -> Vec<RoomId> {
        let swept = |_: &RoomId, entry: &mut Entry| {
            entry.idle.is_some_and(|since| since.elapsed() >= after)
        };
        lock(&self.0).extract_if(swept).map(|(room, _)| room).collect()
    }

    pub(in crate::store::redis) fn all(&self) -> Vec<(RoomId, Arc<Followed>)> {
        lock(&self.0).iter().map(|(room, entry)| (room.clone(), entry.followed.clone())).collect()
    }
}
