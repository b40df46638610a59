//! Who was told to be in a room, or to have a session, and who is to be told to have left.
//!
//! Presence is in memory, and this is on disk. A joining is written before anybody in the room is
//! told; a leaving is a mark, and becomes one when its time is over and the user is still away. Who
//! is marked when a server has died is marked at the next start.
use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{Embedded, column, lock, presence::People, writer::Change},
    millis,
    queues::one,
    write::{Event, Hooks},
};
use crate::{
    domain::{
        error::StoreError,
        ids::{RoomId, Space, Uid},
        outbox::{Absence, Kind},
    },
    throttle::throttled,
};

/// Users who are told to have left in one step.
const STEP: i64 = 500;
/// Until the table is compared with the memory again, where that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Marks all who were there when the server ended. Called once, at its start.
pub(in super::super) fn here(db: &Connection, hooks: &Hooks, now_ms: u64) -> rusqlite::Result<()> {
    let due = now_ms.saturating_add(millis(hooks.interest.leave_delay));
    db.execute(
        "UPDATE hook_told SET due = ?1, why = ?2 WHERE due IS NULL",
        params![column(due), Absence::Lost.name()],
    )?;
    Ok(())
}

/// The room in whose queue a user's own events are.
pub(super) fn own_room(uid: &Uid) -> Option<RoomId> {
    RoomId::within(Space::User, uid.as_str()).ok()
}

impl Hooks {
    fn watches_place(&self, room: &RoomId) -> bool {
        if room.is_in(Space::User) {
            self.interest.watches_users()
        } else {
            self.interest.watches(room)
        }
    }

    /// A user is there. True: whoever sends webhooks has to be told.
    fn arrive(
        &self,
        db: &Connection,
        room: &RoomId,
        uid: &str,
        json: &str,
        at_ms: u64,
    ) -> rusqlite::Result<bool> {
        let due = db
            .prepare_cached("SELECT due FROM hook_told WHERE room = ?1 AND uid = ?2")?
            .query_row(params![room.as_str(), uid], |row| row.get::<_, Option<i64>>(0))
            .optional()?;
        match due {
            Some(None) => return Ok(false),
            Some(Some(_)) => {
                db.prepare_cached(
                    "UPDATE hook_told SET due = NULL, why = NULL WHERE room = ?1 AND uid = ?2",
                )?
                .execute(params![room.as_str(), uid])?;
                return Ok(false);
            }
            None => {}
        }
        let about = |kind| Event { kind, fields: format!("\"uid\":{json}") };
        let mut events = Vec::new();
        if room.is_in(Space::User) {
            events.push(about(Kind::Online));
        } else {
            if is_empty(db, room)? {
                events.push(Event { kind: Kind::Occupied, fields: String::new() });
            }
            events.push(about(Kind::Joined));
        }
        db.prepare_cached("INSERT INTO hook_told (room, uid, json) VALUES (?1, ?2, ?3)")?
            .execute(params![room.as_str(), uid, json])?;
        self.tell(db, room, at_ms, &events)
    }

    /// A user who was there is away for good.
    fn part(
        &self,
        db: &Connection,
        room: &RoomId,
        uid: &str,
        json: &str,
        why: &str,
        at_ms: u64,
    ) -> rusqlite::Result<bool> {
        db.prepare_cached("DELETE FROM hook_told WHERE room = ?1 AND uid = ?2")?
            .execute(params![room.as_str(), uid])?;
        let in_room = !room.is_in(Space::User);
        let kind = if in_room { Kind::Left } else { Kind::Offline };
        let fields = format!("\"uid\":{json},\"reason\":\"{why}\"");
        let mut events = vec![Event { kind, fields }];
        if in_room && is_empty(db, room)? {
            events.push(Event { kind: Kind::Vacated, fields: String::new() });
        }
        self.tell(db, room, at_ms, &events)
    }

    /// Tells of those whose time is over, some of them. Returns when the next one's is, and whether
    /// whoever sends webhooks has to be told.
    fn sweep(
        &self,
        db: &Connection,
        people: &Mutex<People>,
        now_ms: u64,
    ) -> rusqlite::Result<(Option<u64>, bool)> {
        let due: Vec<[String; 4]> = db
            .prepare_cached(
                "SELECT room, uid, json, why FROM hook_told WHERE due <= ?1 ORDER BY due LIMIT ?2",
            )?
            .query_map(params![column(now_ms), STEP], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })?
            .collect::<Result<_, _>>()?;
        let mut is_news = false;
        for [name, uid, json, why] in due {
            let Ok(room) = RoomId::stored(&name) else {
                db.execute("DELETE FROM hook_told WHERE room = ?1", [name])?; // somebody else wrote it
                continue;
            };
            is_news |= if lock(people).has(&room, &uid) {
                self.arrive(db, &room, &uid, &json, now_ms)?
            } else {
                self.part(db, &room, &uid, &json, &why, now_ms)?
            };
        }
        Ok((next(db)?, is_news))
    }

    /// Makes good what could not be written. True: whoever sends webhooks has to be told.
    fn compare(
        &self,
        db: &Connection,
        people: &Mutex<People>,
        now_ms: u64,
    ) -> rusqlite::Result<bool> {
        let told: Vec<(String, String)> = db
            .prepare_cached("SELECT room, uid FROM hook_told WHERE due IS NULL")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (name, uid) in told {
            let there = RoomId::stored(&name).is_ok_and(|room| lock(people).has(&room, &uid));
            if !there {
                mark(db, &name, &uid, Absence::Gone, now_ms)?;
            }
        }
        let (here, mut is_news) = (lock(people).everywhere(), false);
        for (room, uid) in here {
            if self.watches_place(&room) {
                is_news |= self.arrive(db, &room, uid.as_str(), &uid.json(), now_ms)?;
            }
        }
        Ok(is_news)
    }
}

/// When the first of those who are marked is to be told to have left.
pub(super) const FIRST: &str =
    "SELECT due FROM hook_told WHERE due IS NOT NULL ORDER BY due LIMIT 1";

fn next(db: &Connection) -> rusqlite::Result<Option<u64>> {
    let next = one(db, FIRST, [], |row| row.get::<_, i64>(0))?;
    Ok(next.map(i64::unsigned_abs))
}

fn is_empty(db: &Connection, room: &RoomId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM hook_told WHERE room = ?1)")?
        .query_row([room.as_str()], |row| row.get(0))
}

fn mark(db: &Connection, room: &str, uid: &str, why: Absence, due: u64) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE hook_told SET due = ?3, why = ?4 WHERE room = ?1 AND uid = ?2 AND due IS NULL",
    )?
    .execute(params![room, uid, column(due), why.name()])
}

/// Somebody came, or went.
struct Move {
    hooks: Arc<Hooks>,
    people: Arc<Mutex<People>>,
    room: RoomId,
    uid: Uid,
    /// Why the user is away; none: the user is there.
    away: Option<Absence>,
    at_ms: u64,
    written: bool,
}

impl Change for Move {
    /// Whether whoever sends webhooks has to be told.
    type Made = bool;
    type Answer = ();

    fn weight(&self) -> usize {
        200
    }

    fn apply(&self, db: &Connection) -> rusqlite::Result<bool> {
        let Move { hooks, room, uid, at_ms, .. } = self;
        let Some(why) = self.away else {
            return hooks.arrive(db, room, uid.as_str(), &uid.json(), *at_ms);
        };
        // By another connection, or because it came back meanwhile.
        if lock(&self.people).has(room, uid.as_str()) {
            return Ok(false);
        }
        let due = at_ms.saturating_add(millis(hooks.interest.leave_delay));
        mark(db, room.as_str(), uid.as_str(), why, due).map(|_| false)
    }

    fn committed(mut self, is_news: bool) {
        self.written = true;
        if is_news {
            self.hooks.wake();
        }
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        if !self.written {
            self.hooks.stale.store(true, Relaxed);
        }
    }
}

impl Embedded {
    fn moving(&self, room: &RoomId, uid: &Uid, away: Option<Absence>) -> Option<Move> {
        let hooks = self.hooks.as_ref().filter(|hooks| hooks.watches_place(room))?.clone();
        let (people, at_ms) = (self.people.clone(), self.clock.unix_ms());
        let (room, uid) = (room.clone(), uid.clone());
        Some(Move { hooks, people, room, uid, away, at_ms, written: false })
    }

    /// Writes that a user is about to be in a room. Should that fail, it is made good later.
    pub(in super::super) async fn tell_arrival(&self, room: &RoomId, uid: &Uid) {
        if let Some(moving) = self.moving(room, uid, None) {
            say(self.writer.write(moving).await);
        }
    }

    /// Notes that a user may not be in a room any more.
    pub(in super::super) fn tell_absence(&self, room: &RoomId, uid: &Uid, why: Absence) {
        if let Some(moving) = self.moving(room, uid, Some(why)) {
            say(self.writer.note(moving));
        }
    }

    /// Notes whether a user has a session.
    pub(in super::super) fn tell_session(&self, uid: &Uid, away: Option<Absence>) {
        if self.hooks.as_ref().is_some_and(|hooks| hooks.interest.watches_users())
            && let Some(moving) = own_room(uid).and_then(|room| self.moving(&room, uid, away))
        {
            say(self.writer.note(moving));
        }
    }

    pub(super) async fn sweep_told(&self) -> Result<Option<Duration>, StoreError> {
        let Some(hooks) = self.hooks.clone() else { return Ok(None) };
        let (people, now_ms) = (self.people.clone(), self.clock.unix_ms());
        if hooks.stale.swap(false, Relaxed) {
            let (comparing, people) = (hooks.clone(), people.clone());
            let compared = self.writer.run(move |db| comparing.compare(db, &people, now_ms)).await;
            match compared {
                Ok(true) => hooks.wake(),
                Ok(false) => {}
                Err(error) => {
                    hooks.stale.store(true, Relaxed);
                    throttled!(warn, %error, "webhooks of joins and leaves wait for the disk");
                    return Ok(Some(AGAIN));
                }
            }
        }
        let mut first = self.readers.quick.read(next).await?;
        if first.is_some_and(|due| due <= now_ms) {
            let sweeping = hooks.clone();
            let swept = self.writer.run(move |db| sweeping.sweep(db, &people, now_ms)).await?;
            first = swept.0;
            if swept.1 {
                hooks.wake();
            }
        }
        let first = first.map(|due| Duration::from_millis(due.saturating_sub(now_ms)));
        Ok(if hooks.is_stale() { Some(AGAIN) } else { first })
    }
}

fn say(written: Result<(), StoreError>) {
    if let Err(error) = written {
        throttled!(warn, %error, "a webhook of a join or leave will be told later");
    }
}
