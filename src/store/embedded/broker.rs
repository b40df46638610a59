//! Log and publish/subscribe of one node: an order per room, kept by its [`Turn`], and delivery within the process.
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Embedded,
    delivery::Delivery,
    lock,
    log::{self, Append, Clear},
    rooms::Turn,
};
use crate::domain::{
    broker::{Broker, Entry, Page, PageLimit, Sink, Stored},
    error::StoreError,
    ids::RoomId,
};

impl Embedded {
    pub(super) async fn turn(&self, room: &RoomId) -> Result<Turn, StoreError> {
        self.rooms.turn(room, &self.readers, Some(self.deadline)).await
    }
}

#[async_trait]
impl Broker for Embedded {
    fn start(&self, sink: Arc<dyn Sink>) {
        self.outlet.open(sink);
        self.watch_revocations();
    }

    async fn publish(&self, room: &RoomId, entries: Arc<[Entry]>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut turn = self.turn(room).await?;
        let delivery = if entries.iter().any(Entry::is_stored) {
            let epoch = if turn.counters().row.is_none() { super::new_epoch(&*self.rng)? } else { 0 };
            let (outlet, unix) = (self.outlet.clone(), self.clock.unix());
            self.writer.write(Append { turn, entries, outlet, unix, epoch }).await?
        } else {
            let mut counters = turn.counters();
            counters.n += entries.len() as u64;
            turn.set(counters);
            Delivery::entries(&self.outlet, turn, entries)
        };
        drop(delivery);
        Ok(())
    }

    async fn page(&self, room: &RoomId, from: u64, limit: PageLimit) -> Result<Page, StoreError> {
        let room = room.clone();
        self.readers.read(move |db| log::page(db, &room, from, limit)).await
    }

    async fn edition(&self, _: &RoomId) -> Result<u64, StoreError> {
        Ok(0) // whoever clears a room is in this process, and tells it
    }

    async fn updates(&self, room: &RoomId) -> Result<Vec<Stored>, StoreError> {
        let room = room.clone();
        self.readers.read(move |db| log::updates(db, &room)).await
    }

    async fn clear(&self, room: &RoomId) -> Result<(), StoreError> {
        let turn = self.turn(room).await?;
        let change = Clear { turn, outlet: self.outlet.clone(), unix: self.clock.unix() };
        drop(self.writer.write(change).await?);
        Ok(())
    }

    async fn attach(&self, room: &RoomId) -> Result<(), StoreError> {
        let turn = self.turn(room).await?;
        lock(&self.attached).insert(room.clone(), turn.live());
        Ok(())
    }

    fn detach(&self, room: &RoomId) {
        let live = lock(&self.attached).remove(room);
        drop(live);
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.answers().await
    }

    async fn check_writing(&self) -> Result<(), StoreError> {
        // The version as it is: SQLite writes the page all the same, and nobody has to read past it later.
        let rewrite = |db: &rusqlite::Connection| {
            let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            db.pragma_update(None, "user_version", version)
        };
        self.writer.run(rewrite).await
    }

    async fn close(&self) {
        self.revocations.end().await;
        self.readers.close(); // first: the last connection to go, if it writes, leaves one tidy file behind
        self.writer.close().await;
        self.outlet.close();
    }
}
