//! All that a Redis keeps of rooms and records, for the command line, while no server writes there.
//! Messages are in the original's places: of each room a list of inserts and a hash of updates by id.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection, cmd, pipe};
use tokio::sync::OnceCell;

mod cabinet;
mod indexes;
pub(super) mod keys;
mod ledger;

use self::keys::{Content, Keys};
use super::{
    OpenError, address,
    client::Client,
    entry::{self, Entry},
    script::{PLAIN, copying},
};
use crate::{
    config::SecretUrl,
    domain::{broker::PageLimit, error::StoreError, ids::RoomId},
    transfer::{Archive, Extent, Insert, MAX_KEY, Rooms, Update, Updates},
};

/// Inserts that are read at once: each may have 500 KiB.
const STRETCH: usize = 64;
/// Updates that are written at once, and their bytes.
const UPDATES: usize = 500;
const UPDATE_BYTES: usize = 1 << 20;
/// Keys that are looked at in one step.
const SCAN: usize = 1000;

/// The room's counter comes up to the updates' numbers, so that a server gives larger ones; what
/// its updates take is to be counted anew.
const RAISE: &str = "local n = tonumber(redis.call('HGET', KEYS[1], 'n') or '-1')
redis.call('HDEL', KEYS[1], 'u')
if n < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'n', ARGV[1]) end";

/// What is in one database of a Redis.
pub struct RedisArchive {
    connection: MultiplexedConnection,
    prefix: String,
    keys: Keys,
    /// Names this start of the Redis server.
    run: Arc<str>,
    /// The URL as it may be shown.
    shown: String,
    /// Of records, once they are known: all keys have to be looked at for them.
    collections: OnceCell<BTreeSet<String>>,
}

impl RedisArchive {
    /// Connects, and looks whether a server could use this Redis. `prefix` stands before all keys;
    /// `deadline` is for each call.
    pub async fn connect(
        url: &SecretUrl,
        prefix: &str,
        deadline: Duration,
    ) -> Result<Self, OpenError> {
        let shown = url.to_string();
        let (address, _) = address(url.expose(), &shown, prefix)?;
        let live = Client::open(address, &shown, PLAIN).await?.live();
        let live = live
            .map_err(|gone| OpenError::Unreachable { url: shown.clone(), why: gone.to_string() })?;
        let mut connection = live.connection;
        connection.set_response_timeout(deadline);
        let (prefix, keys) = (prefix.to_owned(), Keys::new(prefix));
        let collections = OnceCell::new();
        Ok(RedisArchive { connection, prefix, keys, run: live.run, shown, collections })
    }

    /// Looks whether servers run on it: what is written there would pass them by.
    ///
    /// # Errors
    /// One does, or did a lease ago; or it can't be asked.
    pub async fn unserved(&self) -> Result<(), OpenError> {
        let unsuitable = |why| OpenError::Unsuitable { url: self.shown.clone(), why };
        let now_ms = self.now_ms().await.map_err(|error| unsuitable(error.to_string()))?;
        let nodes = format!("{}ao:nodes", self.prefix);
        let alive = self.call(cmd("ZCOUNT").arg(nodes).arg(now_ms).arg("+inf")).await;
        match alive.map_err(|error| unsuitable(error.to_string()))? {
            0_u64 => Ok(()),
            count => Err(unsuitable(format!(
                "{count} servers run on it, and must not while it is written to (one that was killed counts for some seconds)"
            ))),
        }
    }

    /// The time, in milliseconds since 1970, as Redis has it.
    async fn now_ms(&self) -> Result<u64, StoreError> {
        let (seconds, micros): (u64, u64) = self.call(&cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Runs one of [`copying`].
    async fn script<T: FromRedisValue>(
        &self,
        source: &str,
        with: impl FnOnce(&mut Cmd),
    ) -> Result<T, StoreError> {
        let mut eval = cmd("EVAL");
        eval.arg(source).arg(0).arg(&self.prefix).arg("").arg("").arg(&*self.run).arg(0);
        with(&mut eval);
        self.call(&eval).await
    }

    /// Some of the keys that begin so, behind a cursor; and the next cursor, none at the end.
    async fn scan(
        &self,
        begins: &str,
        cursor: Option<&str>,
        count: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<String>), StoreError> {
        let mut scan = cmd("SCAN");
        scan.arg(cursor.unwrap_or("0")).arg("MATCH").arg(self.keys.beginning(begins));
        let (next, keys): (String, _) = self.call(scan.arg("COUNT").arg(count)).await?;
        Ok((keys, Some(next).filter(|next| next != "0")))
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        command.query_async(&mut self.connection.clone()).await.map_err(failed)
    }

    async fn calls<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StoreError> {
        commands.query_async(&mut self.connection.clone()).await.map_err(failed)
    }

    /// The room's updates as they are, in order.
    async fn entries(&self, room: &RoomId) -> Result<Vec<(Vec<u8>, Entry)>, StoreError> {
        let raw: Vec<(Vec<u8>, Bytes)> =
            self.call(cmd("HGETALL").arg(self.keys.updates(room))).await?;
        let mut updates: Vec<_> =
            raw.into_iter().map(|(id, text)| (id, Entry::read(&text))).collect();
        // Of one second the original's have no order of their own: theirs is that of their ids, so
        // that it is the same each time.
        updates.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entry::in_order(updates, |(_, entry)| entry))
    }
}

/// An insert and its key, if it has one. A long key is known by a digest here, which other stores
/// can't use. Its place in the room's order is this Redis' own.
fn read_insert(text: &Bytes, key: &[u8]) -> Insert {
    let mut entry = Entry::read(text).stored;
    if entry.recalled {
        entry.body = Entry::message(text);
    }
    entry.n = None;
    let key = std::str::from_utf8(key).ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
    Insert { entry, key: key.map(Into::into) }
}

fn failed(error: RedisError) -> StoreError {
    StoreError::Unavailable(format!("Redis: {error}"))
}

#[async_trait]
impl Archive for RedisArchive {
    async fn rooms(&self) -> Result<Rooms, StoreError> {
        let (mut rooms, mut skipped, mut cursor) = (BTreeSet::new(), BTreeSet::new(), None);
        loop {
            let (keys, next) = self.scan("msg_", cursor.as_deref(), SCAN).await?;
            let ours: Vec<_> =
                keys.into_iter().filter_map(|key| Some((self.keys.room(&key)?, key))).collect();
            let mut types = pipe();
            for (_, key) in &ours {
                types.cmd("TYPE").arg(key);
            }
            let types: Vec<String> =
                if ours.is_empty() { vec![] } else { self.calls(&types).await? };
            for (((room, content), key), found) in ours.into_iter().zip(types) {
                let refused = match (room, content, found.as_str()) {
                    (_, _, "none") => continue, // gone meanwhile
                    (Ok(room), Content::Inserts, "list") | (Ok(room), Content::Updates, "hash") => {
                        rooms.insert(room);
                        continue;
                    }
                    (Ok(room), _, other) => {
                        // Half a room would be a wrong one.
                        skipped.insert((Some(room), format!("it is a {other}"), key));
                        continue;
                    }
                    (Err(why), ..) => why,
                };
                skipped.insert((None, refused, key));
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        rooms.extend(self.counted().await?);
        for room in skipped.iter().filter_map(|(room, ..)| room.as_ref()) {
            rooms.remove(room);
        }
        let told = |(_, why, key): (_, String, Vec<u8>)| {
            format!("key {:?}: {why}", String::from_utf8_lossy(&key))
        };
        Ok(Rooms {
            rooms: rooms.into_iter().collect(),
            skipped: skipped.into_iter().map(told).collect(),
        })
    }

    async fn extents(&self, rooms: &[RoomId]) -> Result<Vec<Extent>, StoreError> {
        let with = |eval: &mut Cmd| {
            rooms.iter().for_each(|room| {
                eval.arg(room.as_str());
            })
        };
        let lengths: Vec<u64> = self.script(copying::EXTENTS, with).await?;
        Ok(lengths
            .chunks_exact(2)
            .map(|pair| Extent { inserts: pair[0], updates: pair[1] })
            .collect())
    }

    async fn read(
        &self,
        room: &RoomId,
        from: u64,
        limit: PageLimit,
    ) -> Result<Vec<Insert>, StoreError> {
        let most = limit.entries.clamp(1, STRETCH);
        let with = |eval: &mut Cmd| {
            eval.arg(room.as_str()).arg(from).arg(most).arg(limit.bytes);
        };
        let found: Vec<Bytes> = self.script(copying::READ, with).await?;
        Ok(found.chunks_exact(2).map(|pair| read_insert(&pair[0], &pair[1])).collect())
    }

    async fn append(&self, room: &RoomId, at: u64, entries: &[Insert]) -> Result<bool, StoreError> {
        if entries.is_empty() {
            return Ok(true);
        }
        let with = |eval: &mut Cmd| {
            eval.arg(room.as_str()).arg(at);
            for Insert { entry, key } in entries {
                eval.arg(entry::insert(room, entry)).arg(key.as_deref().unwrap_or_default());
            }
        };
        let appended: u64 = self.script(copying::APPEND, with).await?;
        Ok(appended == 1)
    }

    async fn updates(&self, room: &RoomId) -> Result<Updates, StoreError> {
        let mut found = Updates::default();
        for (id, entry) in self.entries(room).await? {
            match std::str::from_utf8(&id) {
                Ok(id) => {
                    let mut entry = entry.stored;
                    entry.n = None; // its place in the room's order is this Redis' own
                    found.updates.push(Update { id: id.into(), entry });
                }
                Err(_) => found.skipped.push(format!(
                    "update {:?} of room {room:?}: its id is no text",
                    String::from_utf8_lossy(&id)
                )),
            }
        }
        Ok(found)
    }

    async fn put_updates(&self, room: &RoomId, updates: &[Update]) -> Result<(), StoreError> {
        let held = self.entries(room).await?.iter().map(|(_, entry)| entry.n).max().unwrap_or(0);
        self.call::<()>(
            cmd("EVAL")
                .arg(RAISE)
                .arg(1)
                .arg(self.keys.counter(room))
                .arg(held + updates.len() as u64),
        )
        .await?;
        let (mut writes, mut bytes) = (pipe(), 0);
        for (n, update) in (held + 1..).zip(updates) {
            let text = entry::update(&update.entry, n);
            bytes += text.len();
            writes.cmd("HSET").arg(self.keys.updates(room)).arg(&*update.id).arg(text).ignore();
            if bytes >= UPDATE_BYTES || writes.len() >= UPDATES {
                self.calls::<()>(&writes).await?;
                (writes, bytes) = (pipe(), 0);
            }
        }
        if !writes.is_empty() {
            self.calls::<()>(&writes).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
