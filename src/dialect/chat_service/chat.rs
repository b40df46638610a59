//! The dialect on this node: what its sockets and the server API share.
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    cabinet::Cabinet,
    ending::Ended,
    entrance::Entrance,
    error::Error,
    list::Writes,
    loans::{self, Key, Loans},
    names,
    notice::Notice,
    record::UserRecord,
    session::Session,
    sessions::Sessions,
    turns::Turns,
    value::Value,
    wire::{self, Known, Rooms},
};
use crate::{
    domain::{
        broker::{Audience, Entry},
        calls::Calls,
        directory::Whereabouts,
        history::Share,
        hub::Hub,
        ids::{ConnectionId, RoomId, Uid},
        message::{Kind, Message},
        room::Room,
        subscriber::{Codec, Outcome, Subscriber},
    },
    throttle::throttled,
};

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace of its clients.
    pub namespace: String,
    /// Whether members of new rooms are told of changes of lists and modes.
    pub access_lists_updates: bool,
    /// Whether users may send messages to each other outside of rooms.
    pub direct_messages: bool,
    /// Whether users may create rooms, and delete their own.
    pub rooms_management: bool,
    /// Whether members of new rooms are told who comes and goes.
    pub userlist_updates: bool,
    /// Whether clients get errors as objects.
    pub raw_errors: bool,
    /// Bytes of one message, as JSON, with its attachments.
    pub max_message: usize,
    /// Messages that a client can read at once.
    pub history_max_get_messages: u64,
    /// Messages that a new room keeps.
    pub history_max_size: u64,
    /// Names on each list of a user.
    pub direct_list_size_limit: u64,
    /// Names on each list of a room.
    pub room_list_size_limit: u64,
    /// Time that clients have to go when the server ends, before that is told by a hook.
    pub close_timeout: Duration,
    /// Time between two signs of life of an instance.
    pub heartbeat_rate: Duration,
    /// Time without one after which an instance is taken for dead.
    pub heartbeat_timeout: Duration,
    /// Time that another node may take to answer.
    pub bus_ack_timeout: Duration,
    /// Time that joining or leaving may take before that is told.
    pub lock_ttl: Duration,
    /// The name of this instance.
    pub instance: String,
}

/// The dialect on this node.
pub(super) struct Chat {
    pub hub: Arc<Hub>,
    pub options: Options,
    pub cabinet: Cabinet,
    /// What is known of rooms with members here.
    pub rooms: Arc<Rooms>,
    /// Joining and leaving, by user and room.
    pub turns: Turns<Key>,
    /// Of these turns those that other nodes have.
    pub loans: Loans,
    /// Asking hooks about who comes, by the connection: who comes and goes all the time on one of
    /// them keeps nobody from being asked about others.
    pub asking: Turns<String>,
    /// Rooms that have ended here.
    pub ended: Ended,
    /// The nodes, as far as turns are concerned.
    pub nodes: loans::Known,
    /// Who is let in by a token.
    pub entrance: Entrance,
    /// Who is called by hooks.
    pub caller: Arc<dyn Calls>,
    /// Its clients here.
    pub sessions: Sessions,
    /// Clients are let in: the hook onStart has been answered.
    pub started: watch::Sender<bool>,
    /// Nobody is asked about messages in rooms.
    pub messages_are_plain: bool,
    /// How what rooms tell becomes frames, for clients of engine.io 3 and of 4.
    pub codecs: [&'static dyn Codec; 2],
    /// Clients whose tokens expire.
    pub expiring: Mutex<HashMap<ConnectionId, Weak<Session>>>,
}

/// A socket of this node, as commands see it.
pub(super) trait Seat: Send + Sync {
    /// As its client knows it.
    fn id(&self) -> &Arc<str>;
    /// As the core knows it.
    fn connection(&self) -> ConnectionId;
    /// What rooms deliver to; nothing once it is gone.
    fn subscriber(&self) -> Option<Arc<dyn Subscriber>>;
    /// Whether it is in a room, or is about to be.
    fn is_in(&self, room: &RoomId) -> bool;
    /// The room of this name that it is in.
    fn room(&self, name: &str) -> Option<RoomId>;
    /// Whether it may enter a room, as far as it is concerned how often it does and how many it is
    /// in.
    ///
    /// # Errors
    /// It may not.
    fn may_enter(&self, room: &RoomId) -> Result<(), Error>;
    /// Whether it may make a room, which counts as entering a new one.
    ///
    /// # Errors
    /// It may not.
    fn may_make(&self, room: &RoomId) -> Result<(), Error>;
    /// It is about to enter a room, of which this is known.
    fn enter(&self, room: &RoomId, known: Known);
    /// It has entered a room.
    fn entered(&self, room: Arc<Room>);
    /// It is in a room no more.
    fn left(&self, room: &RoomId);
    /// Sends it something, behind all that it was sent before.
    fn tell(&self, notice: &Notice<'_>);
}

/// A socket of a user, on whatever node it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketAt {
    /// The name of its node.
    pub node: String,
    /// As its node knows it.
    pub connection: ConnectionId,
    /// As its client knows it.
    pub socket: Arc<str>,
    /// The rooms that it is in, of all kinds, sorted.
    pub rooms: Vec<RoomId>,
}

/// Who acts: a socket of a user, a user without one, or nobody, by the server API.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub user: Option<&'a Uid>,
    pub seat: Option<&'a dyn Seat>,
    /// Permissions do not count.
    pub bypass: bool,
    /// It came by the server API.
    pub local: bool,
}

impl<'a> By<'a> {
    /// The user's name.
    pub fn name(&self) -> Option<&'a str> {
        self.user.map(Uid::as_str)
    }

    /// The user.
    ///
    /// # Errors
    /// Nobody acts.
    pub fn someone(&self) -> Result<&'a Uid, Error> {
        self.user.ok_or(Error::NoLogin)
    }
}

/// A large answer's share of what pages may take together, until whoever asked has the answer.
#[derive(Clone, Default)]
pub(super) struct Held(pub Option<Arc<Share>>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Held" } else { "Nothing" })
    }
}

// It is no part of what is said.
impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

/// What a command is answered: JSON, and what stands for placeholders in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub json: String,
    pub files: Vec<Bytes>,
    pub held: Held,
}

impl Answer {
    /// Nothing.
    pub fn null() -> Self {
        Answer::json("null")
    }

    /// This JSON.
    pub fn json(json: impl Into<String>) -> Self {
        Answer::with(json.into(), Vec::new())
    }

    /// This value.
    pub fn value(value: &Value) -> Self {
        let mut files = Vec::new();
        let json = value.packed(&mut files);
        Answer::with(json, files)
    }

    /// This JSON, with what stands for placeholders in it.
    pub fn with(json: String, files: Vec<Bytes>) -> Self {
        Answer { json, files, held: Held::default() }
    }

    /// The value.
    pub fn read(&self) -> Option<Value> {
        Value::read_own(serde_json::from_str(&self.json).ok()?, &self.files)
    }

    /// As hooks and the server API are told of it, JSON: with its bytes in it. `None`: it can't be
    /// read.
    pub fn shown(&self) -> Option<Cow<'_, str>> {
        if self.files.is_empty() {
            return Some(Cow::Borrowed(&self.json));
        }
        self.read().map(|value| Cow::Owned(value.json()))
    }

    /// These texts.
    pub fn texts(texts: &[String]) -> Self {
        Answer::value(&Value::List(texts.iter().cloned().map(Value::Text).collect()))
    }
}

impl Chat {
    /// Publishes something that is not kept.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn tell(
        &self,
        room: &RoomId,
        body: Bytes,
        except: Option<ConnectionId>,
    ) -> Result<(), Error> {
        let bytes = body.len();
        let message = Message { kind: Kind::Ignore, body, key: None, may_pass: false };
        let audience = except.map_or(Audience::All, Audience::ExceptConnection);
        let entry = Entry::Message { from: except, audience, message, receipt: None };
        match self.hub.publish(room, entry, bytes).await {
            Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => Ok(()),
            Outcome::Reused | Outcome::Unavailable | Outcome::Full | Outcome::Unknown => {
                Err(Error::Timeout)
            }
        }
    }

    /// Tells all sockets of a user, or all but one of this node.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn tell_user(
        &self,
        user: &str,
        notice: &Notice<'_>,
        except: Option<&dyn Seat>,
    ) -> Result<(), Error> {
        let inbox = names::inbox(user)?;
        self.tell(&inbox, notice.body(), except.map(Seat::connection)).await
    }

    /// As [`Chat::tell_user`], of what is done already: that it can't be told does not undo it.
    pub async fn echo(&self, user: &str, notice: &Notice<'_>, except: Option<&dyn Seat>) {
        if let Err(error) = self.tell_user(user, notice, except).await {
            throttled!(warn, %error, "a user's other sockets could not be told of something");
        }
    }

    /// Tells a room.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn tell_room(&self, room: &RoomId, notice: &Notice<'_>) -> Result<(), Error> {
        self.tell(room, notice.body(), None).await
    }

    /// Tells the nodes with members of a room how it is set now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn tell_settings(&self, room: &RoomId, known: wire::Known) -> Result<(), Error> {
        self.tell(room, known.body(), None).await
    }

    /// The sockets of a user, on all nodes. Those that the user may have in other protocols are not
    /// in the inbox.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sockets_of(&self, user: &Uid) -> Result<Vec<SocketAt>, Error> {
        let inbox = names::inbox(user.as_str())?;
        let found = self.hub.whereabouts(user).await?;
        let found = found.into_iter().filter(|found| found.rooms.contains(&inbox));
        let socket = |found: Whereabouts| {
            let Whereabouts { node, connection, socket, rooms } = found;
            Some(SocketAt { node, connection, socket: socket?.0, rooms })
        };
        Ok(found.filter_map(socket).collect())
    }

    /// How many sockets of a user are in a room.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn joined(&self, room: &RoomId, user: &Uid) -> Result<u64, Error> {
        let sockets = self.sockets_of(user).await?;
        Ok(sockets.iter().filter(|socket| socket.rooms.contains(room)).count() as u64)
    }

    /// Whether who acts is in a room. A socket that is in it knows that without asking.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_joined(&self, room: &RoomId, by: By<'_>) -> Result<bool, Error> {
        if by.seat.is_some_and(|seat| seat.is_in(room)) {
            return Ok(true);
        }
        match by.user {
            Some(user) => Ok(self.joined(room, user).await? > 0),
            None => Ok(false),
        }
    }

    /// There is a user of this name from now on.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn make_user(&self, name: &str) -> Result<(), Error> {
        let user = UserRecord::new(self.cabinet.life()?);
        self.cabinet.add_user(name, &user, &Writes::default()).await?;
        Ok(())
    }
}
