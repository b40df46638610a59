//! All rooms with a row, and what is due of them.
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{Embedded, trim};
use crate::domain::{
    error::StoreError,
    ids::RoomId,
    retention::{Stretch, Walk},
};

/// Rooms of one stretch.
const ROOMS: i64 = 200;

fn stretch(db: &Connection, after: i64) -> rusqlite::Result<Stretch> {
    let mut select =
        db.prepare_cached("SELECT id, name FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = select.query(params![after, ROOMS])?;
    let (mut found, mut seen, mut last) = (Stretch::default(), 0, after);
    while let Some(row) = rows.next()? {
        (seen, last) = (seen + 1, row.get(0)?);
        // One that is no name was written by somebody else.
        found.rooms.extend(row.get_ref(1)?.as_str().ok().and_then(|n| RoomId::stored(n).ok()));
    }
    found.next = (seen == ROOMS).then(|| last.to_string());
    Ok(found)
}

#[async_trait]
impl Walk for Embedded {
    async fn rooms(&self, after: Option<&str>) -> Result<Stretch, StoreError> {
        let after = after.and_then(|after| after.parse().ok()).unwrap_or(i64::MIN);
        self.readers.pages.read(move |db| stretch(db, after)).await
    }

    async fn due(&self, rooms: Vec<RoomId>) -> Result<Vec<RoomId>, StoreError> {
        let now_ms = self.clock.unix_ms();
        let ruled: Vec<_> = rooms.into_iter().map(|room| (self.rule(&room), room)).collect();
        let due = move |db: &Connection| {
            let mut due = Vec::new();
            for (rule, room) in &ruled {
                if trim::is_due(db, room, *rule, now_ms)? {
                    due.push(room.clone());
                }
            }
            Ok(due)
        };
        self.readers.pages.read(due).await
    }

    async fn is_chosen(&self, _: Duration) -> Result<bool, StoreError> {
        Ok(true) // it is alone
    }
}
