//! Log and publish/subscribe of one node: an order per room, kept by its [`Turn`], and delivery
//! within the process.
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Embedded,
    delivery::Delivery,
    keys::{self, Keys},
    lock,
    log::{self, Append, Clear},
    rooms::{Counters, Turn},
    updates,
};
use crate::domain::{
    broker::{Broker, Entry, Page, PageLimit, Placed, Position, Sink, Updates},
    error::StoreError,
    ids::RoomId,
    message::Kind,
    retention::Rule,
};

impl Embedded {
    pub(super) async fn turn(&self, room: &RoomId) -> Result<Turn, StoreError> {
        self.rooms.turn(room, &self.readers, Some(self.deadline)).await
    }

    /// What of the room is kept.
    pub(super) fn rule(&self, room: &RoomId) -> Rule {
        self.retention.of(room).unwrap_or_default()
    }

    /// What a room's updates take is counted when the first one is written since the room is in
    /// memory. That may be much to read, so it is done where pages are read, not on the
    /// writer's thread.
    async fn count_updates(&self, turn: &mut Turn, entries: &[Entry]) -> Result<(), StoreError> {
        let mut counters = turn.counters();
        let (None, Some(row)) = (counters.updates, counters.row) else { return Ok(()) };
        if entries.iter().any(is_update) {
            let limit = self.updates;
            counters.updates =
                Some(self.readers.pages.read(move |db| updates::count(db, row, limit)).await?);
            turn.set(counters);
        }
        Ok(())
    }

    /// The keys that a room knows are read when they are first needed since the room is in memory:
    /// for an insert that has one, or a recall.
    pub(super) async fn know_keys<'a>(&self, turn: &'a mut Turn) -> Result<&'a Keys, StoreError> {
        let Counters { row, start, .. } = turn.counters();
        if let (None, Some(row)) = (turn.keys(), row) {
            let known = self.readers.pages.read(move |db| keys::read(db, row, start)).await?;
            *turn.keys_mut() = Some(Box::new(known));
        }
        Ok(turn.keys_mut().get_or_insert_default())
    }
}

fn is_update(entry: &Entry) -> bool {
    matches!(entry, Entry::Message { message, .. } if matches!(message.kind, Kind::Update { .. }))
}

/// Whether more of its room than the counters has to be known to write it.
fn needs_more(entry: &Entry) -> bool {
    is_update(entry) || entry.key().is_some()
}

#[async_trait]
impl Broker for Embedded {
    fn start(&self, sink: Arc<dyn Sink>) {
        self.slot.open(sink);
        self.watch_revocations();
    }

    async fn publish(
        &self,
        room: &RoomId,
        entries: Arc<[Entry]>,
    ) -> Result<Vec<Placed>, StoreError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut turn = self.rooms.turn_as_it_is(room, Some(self.deadline)).await?;
        let has_receipt = entries.iter().any(|entry| entry.receipt().is_some());
        let is_written = has_receipt || entries.iter().any(Entry::is_stored);
        // Of a room that nobody is in the writer reads the counters, which saves a way to another
        // thread for each message; but not where more is to be read by them.
        if !is_written || entries.iter().any(needs_more) {
            turn.load(&self.readers).await?;
        }
        let at_ms = self.clock.unix_ms();
        let (delivery, placed) = if is_written {
            let has_row = turn.is_loaded() && turn.counters().row.is_some();
            let epoch = if has_row { 0 } else { super::new_epoch(&*self.rng)? };
            let (slot, kept) = (self.slot.clone(), self.rule(room).count);
            self.count_updates(&mut turn, &entries).await?;
            if entries.iter().any(|entry| entry.key().is_some()) {
                self.know_keys(&mut turn).await?;
            }
            let receipts = has_receipt.then(|| self.litter.clone());
            let updates = self.updates;
            let hooks = self.hooks.as_ref().filter(|hooks| hooks.interest.hears(room)).cloned();
            self.writer
                .write(Append { turn, entries, slot, at_ms, epoch, updates, receipts, hooks, kept })
                .await?
        } else {
            let mut counters = turn.counters();
            counters.n += entries.len() as u64;
            turn.set(counters);
            let first = counters.n + 1 - entries.len() as u64;
            let epoch = Some(counters.epoch_at(at_ms));
            let at = |n| Placed::At(Position { n, index: None, at_ms, epoch });
            let placed = (first..).take(entries.len()).map(at).collect();
            (Delivery::entries(&self.slot, turn, entries, None), placed)
        };
        drop(delivery);
        Ok(placed)
    }

    async fn page(&self, room: &RoomId, from: u64, limit: PageLimit) -> Result<Page, StoreError> {
        let (room, now_ms, rule) = (room.clone(), self.clock.unix_ms(), self.rule(room));
        let read = move |db: &_| log::page(db, &room, from, limit, now_ms, rule);
        let mut page = self.readers.pages.read(read).await?;
        page.note_due(rule);
        Ok(page)
    }

    async fn edition(&self, _: &RoomId) -> Result<u64, StoreError> {
        Ok(0) // whoever clears a room is in this process, and tells it
    }

    async fn updates(&self, room: &RoomId, most: usize) -> Result<Updates, StoreError> {
        let (room, now_ms, rule) = (room.clone(), self.clock.unix_ms(), self.rule(room));
        let due_by = rule.due_by(now_ms);
        self.readers.pages.read(move |db| log::updates(db, &room, most, now_ms, due_by)).await
    }

    async fn update_bytes(&self, room: &RoomId) -> Result<usize, StoreError> {
        let room = room.clone();
        self.readers.pages.read(move |db| updates::bytes(db, room.as_str())).await
    }

    async fn clear(&self, room: &RoomId) -> Result<(), StoreError> {
        let turn = self.turn(room).await?;
        let (slot, hooks) = (self.slot.clone(), self.hooks.clone());
        let change = Clear { turn, slot, at_ms: self.clock.unix_ms(), hooks };
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
        // The version as it is: SQLite writes the page all the same, and nobody has to read past it
        // later.
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
        self.slot.close();
    }
}
