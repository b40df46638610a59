//! Rooms in use: how far each one's order and log have come.
//!
//! A room's counters are loaded when they are first needed and live as long as anybody holds its
//! [`Live`]: a member, a held place, a call in progress. A room that nobody is in costs nothing.
//! Because only stored entries write n down, n may go back to the last stored one when a
//! room is loaded again; there is nobody left then who could compare.
//!
//! A [`Turn`] is the right to be the next in a room's order. Callers keep one call in flight per
//! room anyway; what the turn adds is the rest of a call that was given up at its deadline and is
//! still in the writer's queue: it keeps the turn with it.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{
    sync::{Mutex as Line, OwnedMutexGuard},
    time::timeout,
};

use super::{keys::Keys, lock, log, readers::Readers, updates::Held};
use crate::domain::{broker::Page, error::StoreError, ids::RoomId};

/// How far a room has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Its row, once something was stored.
    pub(super) row: Option<i64>,
    /// The last publication's place in the order.
    pub(super) n: u64,
    /// Offset of the log's next insert: how many there were since it was cleared.
    pub(super) inserts: u64,
    /// Offset of the log's first insert that is there, or of the next one. Those before it were
    /// trimmed, whether or not they are deleted yet.
    pub(super) start: u64,
    /// Index of the insert at offset 0.
    pub(super) base: u64,
    /// Which log this is, among those that the room had; 0 where the room has no row.
    pub(super) epoch: u64,
    /// When the log is to be forgotten, in milliseconds since 1970.
    pub(super) expires: Option<u64>,
    /// What its updates take; nothing until one is written.
    pub(super) updates: Option<Held>,
}

impl Counters {
    /// A page of the log without entries.
    pub(super) fn page(&self) -> Page {
        Page {
            start: self.start,
            log_length: self.inserts.saturating_sub(self.start),
            base: self.base + self.start,
            epoch: self.epoch,
            ..Page::default()
        }
    }

    /// What names the log at this time, in milliseconds since 1970.
    pub(super) fn epoch_at(&self, now_ms: u64) -> u64 {
        self.epoch + u64::from(self.has_expired(now_ms))
    }

    /// Whether the log was to be forgotten by then, in milliseconds since 1970.
    pub(super) fn has_expired(&self, now_ms: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now_ms)
    }
}

/// What of a room is in memory.
#[derive(Default)]
struct Loaded {
    /// Nothing until they are needed.
    counters: Option<Counters>,
    /// Nothing until an insert with a key comes.
    keys: Option<Box<Keys>>,
}

/// Rooms whose counters are in memory.
#[derive(Default)]
pub(super) struct Rooms {
    live: Mutex<HashMap<RoomId, Weak<Live>>>,
}

/// A room whose counters are in memory, or about to be.
pub(super) struct Live {
    room: RoomId,
    rooms: Arc<Rooms>,
    line: Arc<Line<Loaded>>,
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut live = lock(&self.rooms.live);
        // Unless somebody came meanwhile, and has one of their own.
        if live.get(&self.room).is_some_and(|l| l.strong_count() == 0) {
            live.remove(&self.room);
        }
    }
}

impl Rooms {
    /// The room's turn, with its counters loaded, waited for until `deadline` or as long as it
    /// takes. Free and loaded, it is had without suspending.
    pub(super) async fn turn(
        self: &Arc<Self>,
        room: &RoomId,
        readers: &Readers,
        deadline: Option<Duration>,
    ) -> Result<Turn, StoreError> {
        let mut turn = self.turn_as_it_is(room, deadline).await?;
        turn.load(readers).await?;
        Ok(turn)
    }

    /// As [`Rooms::turn`], with its counters as they are, in memory or not: whoever writes reads
    /// them ([`Turn::counters_in`]).
    pub(super) async fn turn_as_it_is(
        self: &Arc<Self>,
        room: &RoomId,
        deadline: Option<Duration>,
    ) -> Result<Turn, StoreError> {
        let live = self.live(room);
        let line = live.line.clone();
        let loaded = match (line.clone().try_lock_owned(), deadline) {
            (Ok(loaded), _) => loaded,
            (Err(_), None) => line.lock_owned().await,
            (Err(_), Some(deadline)) => {
                timeout(deadline, line.lock_owned()).await.map_err(|_| {
                    StoreError::Unavailable("an earlier change of the room has not ended".into())
                })?
            }
        };
        Ok(Turn { loaded, live })
    }

    /// The room's turn, if nobody has it. Its counters are read by whoever writes.
    pub(super) fn turn_if_free(
        self: &Arc<Self>,
        room: &RoomId,
        db: &Connection,
    ) -> rusqlite::Result<Option<Turn>> {
        let live = self.live(room);
        let Ok(mut loaded) = live.line.clone().try_lock_owned() else { return Ok(None) };
        if loaded.counters.is_none() {
            loaded.counters = Some(log::counters(db, room)?);
        }
        Ok(Some(Turn { loaded, live }))
    }

    /// The turn of a room that nobody uses, its counters not loaded; nothing if somebody does.
    pub(super) fn turn_if_unused(self: &Arc<Self>, room: &RoomId) -> Option<Turn> {
        let mut live = lock(&self.live);
        if live.get(room).is_some_and(|l| l.strong_count() > 0) {
            return None;
        }
        let new = Arc::new(Live { room: room.clone(), rooms: self.clone(), line: Arc::default() });
        live.insert(room.clone(), Arc::downgrade(&new));
        drop(live);
        Some(Turn { loaded: new.line.clone().try_lock_owned().ok()?, live: new })
    }

    fn live(self: &Arc<Self>, room: &RoomId) -> Arc<Live> {
        let mut live = lock(&self.live);
        if let Some(known) = live.get(room).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::new(Live { room: room.clone(), rooms: self.clone(), line: Arc::default() });
        live.insert(room.clone(), Arc::downgrade(&new));
        new
    }

    /// How many rooms are in memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.live).len()
    }
}

/// The right to be next in a room's order.
pub(super) struct Turn {
    loaded: OwnedMutexGuard<Loaded>,
    live: Arc<Live>,
}

impl Turn {
    /// Has the room's counters in memory from now on.
    pub(super) async fn load(&mut self, readers: &Readers) -> Result<(), StoreError> {
        if self.loaded.counters.is_none() {
            let name = self.live.room.clone();
            let read = readers.quick.read(move |db| log::counters(db, &name));
            self.loaded.counters = Some(read.await?);
        }
        Ok(())
    }

    pub(super) fn room(&self) -> &RoomId {
        &self.live.room
    }

    /// Keeps the room's counters in memory.
    pub(super) fn live(&self) -> Arc<Live> {
        self.live.clone()
    }

    pub(super) fn counters(&self) -> Counters {
        self.loaded.counters.unwrap_or_default()
    }

    /// The room's counters, read here where they are not in memory.
    pub(super) fn counters_in(&self, db: &Connection) -> rusqlite::Result<Counters> {
        match self.loaded.counters {
            Some(counters) => Ok(counters),
            None => log::counters(db, &self.live.room),
        }
    }

    /// Whether the room's counters are in memory.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.counters.is_some()
    }

    pub(super) fn set(&mut self, counters: Counters) {
        self.loaded.counters = Some(counters);
    }

    /// The keys that the room knows; nothing until they were needed.
    pub(super) fn keys(&self) -> Option<&Keys> {
        self.loaded.keys.as_deref()
    }

    pub(super) fn keys_mut(&mut self) -> &mut Option<Box<Keys>> {
        &mut self.loaded.keys
    }
}
