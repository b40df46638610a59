//! Coming to rooms and going, by oneself or because access is lost.
//!
//! Who is in a room is what the core's presence says. A join looks at the room's record, enters,
//! and looks again; who takes access away changes the record and then removes. So of the two one
//! sees the other, on whatever nodes they are, and nobody stays who may not be there.
//!
//! Where joins are asked about, a socket enters unseen, and is shown when the hook has allowed it:
//! so a join that is refused was seen by nobody.
use std::{pin::pin, sync::Arc};

use tokio::{sync::oneshot, time::timeout};

use super::{
    chat::{By, Chat, Seat},
    error::Error,
    hook::Body,
    incidents::{Concerning, Operation},
    names,
    notice::Notice,
    record::{RoomParts, RoomRecord},
    rights::Actor,
};
use crate::{
    domain::{
        error::StoreError,
        ids::{RoomId, SocketId, Uid},
        presence::{Departure, Revocations, Roster, Visitor},
        room::Room,
    },
    metrics::ChatEvent,
};

mod expulsion;
mod parting;

/// Who joins or leaves, and where.
struct Step<'a> {
    user: &'a Uid,
    seat: &'a dyn Seat,
    name: &'a str,
    room: &'a RoomId,
}

impl Step<'_> {
    /// The socket was not taken out since it began to enter.
    fn still_there(&self) -> Result<(), Error> {
        if self.seat.is_in(self.room) { Ok(()) } else { Err(Error::NotAllowed) }
    }
}

impl Chat {
    /// Joins a room; returns how many sockets of the user are in it.
    ///
    /// # Errors
    /// It may not be, or can't.
    pub async fn join(&self, by: By<'_>, name: &str) -> Result<u64, Error> {
        let user = by.someone()?;
        let seat = by.seat.ok_or(Error::NoSocket("roomJoin"))?;
        let _turn = self.turn(user.as_str(), name).await?;
        self.watched(user, seat, name, self.join_now(by, user, seat, name)).await
    }

    async fn join_now(
        &self,
        by: By<'_>,
        user: &Uid,
        seat: &dyn Seat,
        name: &str,
    ) -> Result<u64, Error> {
        let of = [user.as_str().to_owned()];
        let (read, parts) = self.cabinet.room(name, &of).await?;
        may_join(&read.record, &parts, user)?;
        let room = names::room(name, &read.record.life)?;
        seat.may_enter(&room)?; // again, too: as the setting says
        if seat.is_in(&room) {
            return self.joined(&room, user).await;
        }
        let step = Step { user, seat, name, room: &room };
        // Before it enters: who is taken out at once is told so before this returns.
        seat.enter(&room, read.record.known());
        let is_asked = self.caller.calls("onJoin");
        let entered = self.enter(&step, is_asked).await.inspect_err(|_| seat.left(&room))?;
        let settled = self.settle(&step, &read.record.life, is_asked, entered).await;
        let count = match settled.and_then(|count| step.still_there().map(|()| count)) {
            Ok(count) => count,
            Err(why) => {
                self.undo(&step).await;
                return Err(why);
            }
        };
        if count == 1 {
            let now = self.hub.clock.unix_ms();
            self.cabinet.note(&read.record.life, user.as_str(), now).await;
            if read.record.enable_userlist_updates {
                seat.tell(&Notice::RoomUserJoined { room: name, user: user.as_str() });
            }
        }
        let echo = Notice::RoomJoinedEcho { room: name, id: seat.id(), joined: count };
        self.echo(user.as_str(), &echo, if by.local { None } else { Some(seat) }).await;
        Ok(count)
    }

    /// It has entered, unseen where it is to be asked about. Finds out whether it stays, and
    /// returns how many of its user are there then.
    async fn settle(
        &self,
        step: &Step<'_>,
        life: &str,
        is_asked: bool,
        mut joined: u64,
    ) -> Result<u64, Error> {
        if is_asked {
            self.ask_about_join(step, joined).await?;
            // Whoever was taken out meanwhile is not to come in again by this, whatever holds now.
            self.still_may(step, life).await?;
            step.still_there()?;
            joined = self.enter(step, false).await?;
        }
        self.still_may(step, life).await?;
        Ok(joined)
    }

    async fn enter(&self, step: &Step<'_>, hidden: bool) -> Result<u64, Error> {
        let visitor = Visitor { hidden, ..visitor(step.user, step.seat) };
        let (roster, room) = self.enter_room(step.room, visitor, step.seat).await?;
        if let Some(room) = room {
            step.seat.entered(room);
        }
        Ok(roster.connections)
    }

    /// Enters the user's inbox: the socket is signed in by that, and found by the user's name from
    /// then on, on all nodes. `checked`: what was known of revocations before its token was
    /// checked, if that was. The answer says how many sockets the user has now, and whether the
    /// token has to be checked again.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn enter_inbox(
        &self,
        user: &Uid,
        seat: &dyn Seat,
        checked: Option<Revocations>,
    ) -> Result<Roster, Error> {
        let inbox = names::inbox(user.as_str())?;
        let socket = Some(SocketId(seat.id().clone()));
        let visitor = Visitor { socket, checked, ..visitor(user, seat) };
        self.enter_room(&inbox, visitor, seat).await.map(|(roster, _)| roster)
    }

    async fn enter_room(
        &self,
        room: &RoomId,
        visitor: Visitor,
        seat: &dyn Seat,
    ) -> Result<(Roster, Option<Arc<Room>>), Error> {
        let subscriber = seat.subscriber().ok_or(Error::Timeout)?;
        let (tell, told) = oneshot::channel();
        let answer = Box::new(move |entered: &Result<Roster, StoreError>| {
            drop(tell.send(entered.clone())); // whoever waited may be gone
        });
        let room = self.hub.enter(room, visitor, subscriber, answer).await;
        // The log has a failure already; and a server that is ending tells nobody.
        let roster = told.await.ok().and_then(Result::ok).ok_or(Error::Timeout)?;
        Ok((roster, room))
    }

    /// What was entered is left again. Where that fails too, the core takes it out with the
    /// connection.
    async fn undo(&self, step: &Step<'_>) {
        let departed = self.hub.depart(step.room, step.seat.connection(), Departure::Left).await;
        if let Err(error) = departed {
            self.tell_of_failure(step, Operation::UserRooms, &error);
        }
        step.seat.left(step.room);
    }

    /// The store did not take what a socket does in a room.
    fn tell_of_failure(&self, step: &Step<'_>, operation: Operation, error: &StoreError) {
        let about = Concerning {
            user: step.user.as_str(),
            operation: Some(operation),
            room: Some(step.name),
            id: Some(step.seat.id()),
        };
        self.tell_incident(ChatEvent::StoreConsistencyFailure, &error.to_string(), &about);
    }

    /// The room may have changed while it was entered.
    async fn still_may(&self, step: &Step<'_>, life: &str) -> Result<(), Error> {
        let of = [step.user.as_str().to_owned()];
        let (read, parts) = self.cabinet.room(step.name, &of).await?;
        if read.record.life != life {
            return Err(Error::NoRoom(step.name.to_owned()));
        }
        // How it was set while it was entered is told to those who were there already.
        self.rooms.learn(step.room, read.record.known());
        may_join(&read.record, &parts, step.user)
    }

    async fn ask_about_join(&self, step: &Step<'_>, joined: u64) -> Result<(), Error> {
        let body = self.about("onJoin", step.user, step.seat.id(), step.name, joined);
        self.ask_consent("onJoin", body).await
    }

    /// The body of onJoin and onLeave.
    fn about(&self, hook: &str, user: &Uid, id: &str, room: &str, joined: u64) -> String {
        Body::new(hook, &self.options.instance)
            .text("userName", user.as_str())
            .text("id", id)
            .text("roomName", room)
            .json("njoined", &joined.to_string())
            .end()
    }

    /// Tells of a leaving, and waits until it was heard, whatever is answered.
    async fn tell_leave(&self, user: &Uid, id: &str, room: &str, joined: u64) {
        if self.caller.calls("onLeave") {
            let body = self.about("onLeave", user, id, room, joined);
            self.inform("onLeave", body).await;
        }
    }

    /// Leaves a room; returns how many sockets of the user are still in it.
    ///
    /// # Errors
    /// There is no such room, or the store does not answer.
    pub async fn leave(&self, by: By<'_>, name: &str) -> Result<u64, Error> {
        let user = by.someone()?;
        let seat = by.seat.ok_or(Error::NoSocket("roomLeave"))?;
        let _turn = self.turn(user.as_str(), name).await?;
        self.watched(user, seat, name, self.leave_now(by, user, seat, name)).await
    }

    async fn leave_now(
        &self,
        by: By<'_>,
        user: &Uid,
        seat: &dyn Seat,
        name: &str,
    ) -> Result<u64, Error> {
        let (read, _) = self.cabinet.room(name, &[]).await?;
        let room = names::room(name, &read.record.life)?;
        if !seat.is_in(&room) {
            return self.joined(&room, user).await;
        }
        let step = Step { user, seat, name, room: &room };
        let left = match self.depart(&step, Departure::Left).await? {
            Some(left) => left,
            // It was taken out meanwhile, which its user was told.
            None => return self.joined(&room, user).await,
        };
        let echo = Notice::RoomLeftEcho { room: name, id: seat.id(), joined: left };
        self.echo(user.as_str(), &echo, if by.local { None } else { Some(seat) }).await;
        self.tell_leave(user, seat.id(), name, left).await;
        Ok(left)
    }

    /// Takes a socket out of a room, and returns how many of the user are left there; `None`: it
    /// was not there any more. Nothing more of the room comes to it, also where the store does not
    /// answer.
    async fn depart(&self, step: &Step<'_>, departure: Departure) -> Result<Option<u64>, Error> {
        let departed = self.hub.depart(step.room, step.seat.connection(), departure).await;
        step.seat.left(step.room);
        let left = departed.map_err(|error| {
            self.tell_of_failure(step, Operation::RoomUserlist, &error);
            Error::Timeout
        })?;
        if left == Some(0) {
            self.note(step.room, step.user).await;
        }
        Ok(left)
    }

    /// The user has come to a room, or gone, now.
    async fn note(&self, room: &RoomId, user: &Uid) {
        if let Some(life) = names::life(room) {
            self.cabinet.note(life, user.as_str(), self.hub.clock.unix_ms()).await;
        }
    }

    /// Does what a socket wanted its user's turn in a room for. If that takes long an incident is
    /// told, and it goes on.
    async fn watched<T>(
        &self,
        user: &Uid,
        seat: &dyn Seat,
        room: &str,
        work: impl Future<Output = T> + Send,
    ) -> T {
        let mut work = pin!(work);
        if let Ok(done) = timeout(self.options.lock_ttl, &mut work).await {
            return done;
        }
        let about = Concerning {
            user: user.as_str(),
            operation: None,
            room: Some(room),
            id: Some(seat.id()),
        };
        let lock = format!("{}:{room}", user.as_str());
        self.tell_incident(ChatEvent::LockTimeExceeded, &lock, &about);
        work.await
    }
}

/// A socket that enters a room, seen.
fn visitor(user: &Uid, seat: &dyn Seat) -> Visitor {
    Visitor {
        connection: seat.connection(),
        uid: user.clone(),
        hidden: false,
        wants_roster: false,
        guest: false,
        socket: None, // it was told when it entered the inbox
        checked: None,
    }
}

fn may_join(room: &RoomRecord, parts: &RoomParts, user: &Uid) -> Result<(), Error> {
    let standing = room.standing(user.as_str(), parts);
    Actor { standing, ..Actor::default() }.may_join(room.whitelist_only)
}
