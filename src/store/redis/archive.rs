//! All messages of a Redis, in the original's places: of each room a list of inserts and a hash of
//! updates by id. For the command line, while no server writes there.
use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection, cmd, pipe};

pub(super) mod keys;

use self::keys::{Content, Keys};
use super::{
    OpenError, address,
    client::Client,
    entry::{self, Entry},
    script::PLAIN,
};
use crate::{
    config::SecretUrl,
    domain::{
        broker::{PageLimit, Stored},
        error::StoreError,
        ids::RoomId,
    },
    transfer::{Archive, Extent, Rooms, Update, Updates},
};

/// Inserts that are read at once: each may have 500 KiB.
const STRETCH: usize = 64;
/// Updates that are written at once, and their bytes.
const UPDATES: usize = 500;
const UPDATE_BYTES: usize = 1 << 20;
/// Keys that are looked at in one step.
const SCAN: usize = 1000;

/// Appends, if the list is as long as expected: a copy that is told of no outcome, or runs twice,
/// writes nothing twice.
const APPEND: &str = "if redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[1], unpack(ARGV, 2))
return 1";

/// The room's counter comes up to the updates' numbers, so that a server gives larger ones; what
/// its updates take is to be counted anew.
const RAISE: &str = "local n = tonumber(redis.call('HGET', KEYS[1], 'n') or '-1')
redis.call('HDEL', KEYS[1], 'u')
if n < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'n', ARGV[1]) end";

/// The messages in one database of a Redis.
pub struct RedisArchive {
    connection: MultiplexedConnection,
    keys: Keys,
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
        let mut connection = live
            .map_err(|gone| OpenError::Unreachable { url: shown, why: gone.to_string() })?
            .connection;
        connection.set_response_timeout(deadline);
        Ok(RedisArchive { connection, keys: Keys::new(prefix) })
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

fn failed(error: RedisError) -> StoreError {
    StoreError::Unavailable(format!("Redis: {error}"))
}

#[async_trait]
impl Archive for RedisArchive {
    async fn rooms(&self) -> Result<Rooms, StoreError> {
        let (mut rooms, mut skipped, mut cursor) = (BTreeSet::new(), BTreeSet::new(), 0_u64);
        loop {
            let scan = cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(self.keys.pattern())
                .arg("COUNT")
                .arg(SCAN)
                .to_owned();
            let (next, keys): (u64, Vec<Vec<u8>>) = self.call(&scan).await?;
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
            if next == 0 {
                break;
            }
            cursor = next;
        }
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
        if rooms.is_empty() {
            return Ok(vec![]);
        }
        let mut lengths = pipe();
        for room in rooms {
            lengths
                .cmd("LLEN")
                .arg(self.keys.inserts(room))
                .cmd("HLEN")
                .arg(self.keys.updates(room));
        }
        let lengths: Vec<u64> = self.calls(&lengths).await?;
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
    ) -> Result<Vec<Stored>, StoreError> {
        let last = from + limit.entries.clamp(1, STRETCH) as u64 - 1;
        let entries: Vec<Bytes> =
            self.call(cmd("LRANGE").arg(self.keys.inserts(room)).arg(from).arg(last)).await?;
        let mut bytes = 0;
        let entries = entries.iter().enumerate().take_while(|(i, entry)| {
            bytes += entry.len();
            *i == 0 || bytes <= limit.bytes
        });
        Ok(entries.map(|(_, entry)| Entry::read(entry).stored).collect())
    }

    async fn append(&self, room: &RoomId, at: u64, entries: &[Stored]) -> Result<bool, StoreError> {
        if entries.is_empty() {
            return Ok(true);
        }
        let mut append = cmd("EVAL");
        append.arg(APPEND).arg(1).arg(self.keys.inserts(room)).arg(at);
        for entry in entries {
            append.arg(entry::insert(room, entry));
        }
        self.call::<u64>(&append).await.map(|appended| appended == 1)
    }

    async fn updates(&self, room: &RoomId) -> Result<Updates, StoreError> {
        let mut found = Updates::default();
        for (id, entry) in self.entries(room).await? {
            match std::str::from_utf8(&id) {
                Ok(id) => found.updates.push(Update { id: id.into(), entry: entry.stored }),
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
