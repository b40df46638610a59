//! Sessions and rosters, one script each.
use std::{borrow::Cow, sync::atomic::Ordering::SeqCst, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;
use tokio::time::{Instant, sleep};

use super::{
    Redis, answer,
    client::{Arguments, Failure},
    debts::Debt,
    lock, places,
    script::Script,
    wire::{self, Told},
};
use crate::domain::{
    broker::Event,
    error::StoreError,
    ids::{ConnectionId, RoomId, SocketId, Uid},
    presence::{
        Claim, Departure, Expulsion, Online, Presence, Present, Revocations, Roster, Visitor,
    },
};
use crate::throttle::throttled;

/// Pause before it is looked again whether this node has another name.
const RENAMING: Duration = Duration::from_millis(50);

#[async_trait]
impl Presence for Redis {
    async fn claim(
        &self,
        uid: &Uid,
        connection: ConnectionId,
        socket: &SocketId,
        checked: Option<Revocations>,
    ) -> Result<Claim, StoreError> {
        let deadline = self.deadline();
        lock(&self.claiming).insert(connection);
        let checked = written(checked);
        let claim = |a: Arguments| {
            a.text(uid.as_str())
                .text(&uid.json())
                .number(connection.0)
                .text(&socket.0)
                .text(&checked)
        };
        let answer = self.try_claim(claim, deadline).await;
        lock(&self.claiming).remove(&connection);
        let answer = match answer.map_err(StoreError::from) {
            Ok(answer) => answer,
            Err(error) => {
                // Whoever is told that it failed is no session; and the earlier one may have been
                // evicted by it.
                if matches!(error, StoreError::OutcomeUnknown(_)) {
                    let _ = self.owe(Debt::End(uid.clone(), connection), self.deadline()).await;
                    let this = self.this()?;
                    self.spawn(async move { this.evict_missed().await });
                }
                return Err(error);
            }
        };
        let mut answer = answer::list(answer)?.into_iter();
        let first = answer::text(answer.next())?;
        if first == "again" {
            return Ok(Claim::CheckAgain(Revocations(answer::number(answer.next())?)));
        }
        if let Ok(evicted) = first.parse() {
            self.sink().evict(ConnectionId(evicted));
        }
        answer
            .filter_map(answer::bytes)
            .map(|room| room_id(&room))
            .collect::<Result<_, _>>()
            .map(Claim::Made)
    }

    fn revocations(&self) -> Revocations {
        Revocations(self.revocations.load(SeqCst))
    }

    async fn expel(&self, uid: &Uid, expulsion: Expulsion) -> Result<u64, StoreError> {
        self.tell_expelled(uid, expulsion).await
    }

    async fn end(&self, uid: &Uid, connection: ConnectionId) -> Result<(), StoreError> {
        lock(&self.lost).remove(&connection);
        self.owe(Debt::End(uid.clone(), connection), self.deadline()).await.map(|_| ())
    }

    async fn enter(&self, room: &RoomId, visitor: &Visitor) -> Result<Roster, StoreError> {
        let (this, deadline, Visitor { connection, uid, hidden, wants_roster, .. }) =
            (self.this()?, self.deadline(), visitor);
        // It comes again: whatever was to be undone for it is not.
        self.debts.forgive(room, *connection);
        // Of those that this node had when it was taken for dead nobody enters under its next name:
        // their places are others' by now.
        let node = self.node();
        if lock(&self.lost).contains(connection) {
            return Err(StoreError::Unavailable(
                "this node was taken for dead by the others".into(),
            ));
        }
        let guest = standing(visitor);
        let answer = self.call_as(&node, Script::Enter, deadline, |a| {
            let a = a.text(room.as_str()).number(connection.0).text(uid.as_str()).text(&uid.json());
            a.number(u64::from(*hidden)).number(u64::from(*wants_roster)).text(&guest)
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let (epoch, n, told) = (
            answer::epoch(answer.next())?,
            answer::number(answer.next())?,
            answer::text(answer.next())?,
        );
        let members = answer::list(answer.next().unwrap_or_default())?;
        let seen = answer::number(answer.next())?;
        let connections = answer::number(answer.next())?;
        let check_again = answer.next().is_some();
        if !told.is_empty() {
            let uid = uid.clone();
            let event = match told.as_str() {
                "j" => Some(Event::Joined { uid, connections: seen }),
                "d" => Some(Event::Gone { uid, connections: seen }),
                _ => None,
            };
            this.settle(room, Told::one(epoch, n, event), deadline).await;
        } else if let Some(followed) = self.rooms.get(room.as_str()) {
            // What precedes the newcomer's place is not told to it.
            this.catch_up(room, &followed, n, deadline).await;
        }
        let others = places::others(places::read(members), uid);
        Ok(Roster { others, n, connections, check_again })
    }

    async fn depart(
        &self,
        room: &RoomId,
        connection: ConnectionId,
        departure: Departure,
    ) -> Result<Option<u64>, StoreError> {
        let deadline = self.deadline();
        let how = match departure {
            Departure::Left => "l",
            Departure::Gone => "d",
        };
        let answer = self.owe(Debt::Depart(room.clone(), connection, how), deadline).await?;
        let mut answer = answer::list(answer)?.into_iter();
        let left = match answer.next() {
            Some(Value::Nil) => None,
            left => Some(answer::number(left)?),
        };
        let event = |answer: &mut _| {
            let (uid, connections) = whom(answer)?;
            Some(match departure {
                Departure::Left => Event::Left { uid, connections },
                Departure::Gone => Event::Gone { uid, connections },
            })
        };
        self.this()?.settle_one(room, &mut answer, event, deadline).await?;
        Ok(left)
    }

    async fn release(&self, room: &RoomId, uid: &Uid, by: ConnectionId) -> Result<(), StoreError> {
        let deadline = self.deadline();
        let answer = self.owe(Debt::Release(room.clone(), uid.clone(), by), deadline).await?;
        let mut answer = answer::list(answer)?.into_iter();
        let event = |answer: &mut _| {
            let (uid, connections) = whom(answer)?;
            Some(Event::Gone { uid, connections })
        };
        self.this()?.settle_one(room, &mut answer, event, deadline).await
    }

    async fn remove(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        let (this, deadline) = (self.this()?, self.deadline());
        let answer = self.call(Script::Remove, deadline, |a| {
            a.text(room.as_str()).text(uid.as_str()).number(self.room_expiry())
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let removed = answer::number(answer.next())?;
        let event = |answer: &mut _| {
            let (uid, seen) = whom(answer)?;
            Some(Event::Removed { uid, seen: seen == 1 })
        };
        this.settle_one(room, &mut answer, event, deadline).await?;
        Ok(removed)
    }

    async fn members(&self, room: &RoomId) -> Result<Vec<Present>, StoreError> {
        Ok(places::read(self.ask("HVALS", &format!("ao:members:{room}")).await?))
    }

    async fn rooms(&self) -> Result<Vec<RoomId>, StoreError> {
        let rooms = self.ask("SMEMBERS", "ao:rooms").await?;
        let mut rooms =
            rooms.into_iter().filter_map(answer::bytes).filter_map(readable).collect::<Vec<_>>();
        rooms.sort_unstable();
        Ok(rooms)
    }

    async fn online(&self) -> Result<Vec<Online>, StoreError> {
        let sessions = self.ask("HVALS", "ao:sessions").await?;
        Ok(sessions
            .into_iter()
            .filter_map(answer::bytes)
            .filter_map(|session| online(std::str::from_utf8(&session).ok()?))
            .collect())
    }
}

impl Redis {
    /// A node that was taken for dead has another name in a moment, and who signs in just now is
    /// not of those who are lost.
    async fn try_claim(
        &self,
        claim: impl Fn(Arguments) -> Arguments,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        loop {
            match self.call(Script::Claim, deadline, &claim).await {
                Err(Failure::Lost) if Instant::now() + RENAMING < deadline => sleep(RENAMING).await,
                done => return done,
            }
        }
    }

    /// All values of a key.
    pub(super) async fn ask(&self, command: &str, key: &str) -> Result<Vec<Value>, StoreError> {
        let mut command = redis::cmd(command);
        command.arg(format!("{}{key}", self.options.prefix));
        let live = self.client.live()?;
        answer::list(self.client.ask(&live, &command, self.deadline()).await?)
    }
}

/// The last revocation before a check, as scripts are given it.
fn written(checked: Option<Revocations>) -> String {
    checked.map(|at| at.0.to_string()).unwrap_or_default()
}

/// Whether a visitor is a guest, and what it says of itself besides, if it does: nobody pays for
/// what most have not.
fn standing(visitor: &Visitor) -> Cow<'static, str> {
    match visitor {
        Visitor { guest: true, .. } => "1".into(),
        Visitor { socket: None, checked: None, .. } => "0".into(),
        Visitor { socket, checked, .. } => {
            let socket = socket.as_ref().map_or("", |socket| &socket.0);
            format!("0\n{}\n{socket}", written(*checked)).into()
        }
    }
}

/// About whom something is told: the uid as JSON, and a number.
fn whom(answer: &mut impl Iterator<Item = Value>) -> Option<(Uid, u64)> {
    let uid = wire::uid(&answer::text(answer.next()).ok()?)?;
    Some((uid, answer::number(answer.next()).ok()?))
}

pub(super) fn room_id(name: &[u8]) -> Result<RoomId, StoreError> {
    let room = std::str::from_utf8(name).ok().and_then(|name| RoomId::stored(name).ok());
    room.ok_or_else(|| StoreError::OutcomeUnknown("Redis names a room that can't be one".into()))
}

/// A room of a list, which has to have the others also if this one's name can't be read: a later
/// build, or somebody else, may have put it there.
pub(super) fn readable(name: Bytes) -> Option<RoomId> {
    let room = room_id(&name).ok();
    if room.is_none() {
        throttled!(warn, ?name, "a room that can't be one is left out of the list of rooms");
    }
    room
}

/// A session: connection, public name, uid, a line each.
fn online(session: &str) -> Option<Online> {
    let mut lines = session.splitn(3, '\n').skip(1);
    let (socket, uid) = (lines.next()?, wire::uid(lines.next()?)?);
    Some(Online { uid, socket: SocketId(socket.into()) })
}
