//! One client: a socket, and a state behind a lock.
//!
//! What comes in is told to the state, and the effects that it returns are performed here. This is
//! the one place that sends. A command is done by a task, which exists only while there is one to
//! do; a message that can be handed to its room at once needs none.
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed},
        },
    },
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::{
    arguments::{Call, Given},
    chat::{By, Chat, Seat},
    command::{self, Command},
    entrance::Grounds,
    error::Error,
    handlers, history,
    hook::Body,
    login::Handshake,
    message::Rule,
    notice::Notice,
    sessions::{Ending, LocalSocket, Stay},
    state::{Effect, Handover, State, TooMuch, Waiting},
    value::Value,
    wire::{self, Known},
};
use crate::{
    domain::{
        access::Rights,
        broker::{Position, Trim},
        ids::{ConnectionId, RoomId, Uid},
        quota::Used,
        room::Room,
        subscriber::{Codec, Outcome, Settled, Subscriber},
    },
    lock::lock,
    reason::Reason,
    socketio::{Client, Connect, Event, Socket, packet},
    throttle::throttled,
};

mod answer;
mod sign_in;

/// What a command was called with, unread.
pub(super) struct Raw {
    json: Box<str>,
    attachments: Vec<Bytes>,
}

/// One client.
pub(super) struct Session {
    me: Weak<Session>,
    chat: Arc<Chat>,
    socket: Socket,
    /// As its client knows it.
    id: Arc<str>,
    connection: ConnectionId,
    codec: &'static dyn Codec,
    handshake: Handshake,
    state: Mutex<State<Raw>>,
    /// By what token it signed in, once it has.
    grounds: Grounds,
    /// It has been told who it is.
    confirmed: AtomicBool,
    /// Who it will be, from when it enters that user's inbox on.
    entering: OnceLock<Uid>,
    /// Wakes who waits for something for the client, when it is gone.
    gone: Notify,
    /// How often it has entered rooms.
    used: Mutex<Used>,
    /// It ends by a recovery, of which no hook is told.
    recovered: AtomicBool,
    /// Its CONNECT is answered by its own task.
    waits: bool,
    /// No other namespace counts its connection.
    counted: bool,
}

impl Session {
    /// A client asks to be connected to the namespace.
    pub fn begin(chat: &Arc<Chat>, socket: Socket, request: &Connect<'_>) -> Arc<Self> {
        let version = socket.version();
        let id: Arc<str> = wire::socket_id(socket.namespace(), &socket.id(), version).into();
        let waits = chat.caller.calls("middleware") || !*chat.started.borrow();
        // Clients of engine.io 3 are in the namespace `/` too.
        let counted = version == 4;
        if counted {
            chat.hub.opened();
        }
        let session = Arc::new_cyclic(|me| Session {
            me: me.clone(),
            chat: chat.clone(),
            id,
            connection: chat.hub.new_connection(),
            codec: chat.codecs[usize::from(version == 4)],
            handshake: Handshake::of(request),
            state: Mutex::default(),
            grounds: Grounds::default(),
            confirmed: AtomicBool::new(false),
            entering: OnceLock::new(),
            gone: Notify::new(),
            used: Mutex::default(),
            recovered: AtomicBool::new(false),
            waits,
            counted,
            socket,
        });
        let socket: Weak<dyn LocalSocket> = session.me.clone();
        chat.sessions.add(&session.id, socket);
        if waits {
            session.spawn(Self::let_in);
        }
        session
    }

    /// It is about to enter a room, and is in `others`.
    fn use_up(&self, room: &RoomId, others: usize) -> Result<(), Error> {
        let may = self.chat.hub.may_enter(room, others, &mut lock(&self.used));
        may.map_err(|_| Error::NotAllowed) // why is counted
    }

    fn state(&self) -> MutexGuard<'_, State<Raw>> {
        lock(&self.state)
    }

    fn perform(self: &Arc<Self>, effects: Vec<Effect<Raw>>) {
        for effect in effects {
            match effect {
                Effect::SignIn => self.spawn(Self::sign_in),
                Effect::Run(waiting) => self.spawn(|session| session.run(waiting)),
                Effect::Depart { user, rooms } => {
                    self.spawn(|session| session.depart(user, rooms));
                }
                Effect::PauseReading => self.socket.hold_reading(true),
                // Not of who has left: others may read on the same connection.
                Effect::ResumeReading if self.socket.has_left() => {}
                Effect::ResumeReading => self.socket.hold_reading(false),
                Effect::Reject(error) => {
                    let raw = self.chat.options.raw_errors;
                    self.socket.emit("loginRejected", &[&error.json(raw)]);
                    self.socket.dismiss(Reason::WrongCredentials);
                }
                Effect::Drop => {
                    self.socket.drop(Reason::StoreUnavailable);
                }
            }
        }
    }

    /// Does some work in a task. A defect of ours ends this client, and nothing else.
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) {
        let (session, work) = (self.clone(), work(self.clone()));
        self.chat.hub.tasks.spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                throttled!(error, "a client of chat-service failed; its connection is closed");
                session.socket.drop(Reason::Failure);
                let effects = session.state().failed();
                session.perform(effects);
            }
        });
    }

    async fn run(self: Arc<Self>, waiting: Waiting<Raw>) {
        let user = self.state().user().cloned();
        if let Some(user) = user {
            let by = By { user: Some(&user), seat: Some(&*self), bypass: false, local: false };
            // It was an array when it came.
            let elements: Vec<&RawValue> =
                serde_json::from_str(&waiting.given.json).unwrap_or_default();
            let arguments = elements.into_iter().skip(1).collect();
            let given = Given { arguments, attachments: &waiting.given.attachments };
            let outcome = self.chat.command(by, waiting.command, given, true).await;
            if let Some(ack) = waiting.ack {
                self.answer(ack, outcome).await;
            }
        }
        let effects = self.state().done();
        self.perform(effects);
    }

    /// Hands a message to its room, if nobody is asked about it and nothing is before it. False:
    /// it is a command like others.
    fn say(self: &Arc<Self>, event: &Event<'_>, arguments: Vec<&RawValue>, bytes: usize) -> bool {
        if !self.chat.messages_are_plain || bytes > self.chat.options.max_message {
            return false;
        }
        let given = Given { arguments, attachments: &event.attachments };
        let Ok(Call::RoomMessage { room, message }) =
            given.read(Command::RoomMessage, Rule::Strict)
        else {
            return false;
        };
        // Where nothing is kept, it is gone before it is acknowledged.
        let keeps = |room: &RoomId| {
            self.chat.rooms.get(room).is_some_and(|known| known.history_max_size > 0)
        };
        let handover = self.state().hand_over(&room, bytes, keeps);
        let Some(Handover { user, room, effects }) = handover else { return false };
        self.perform(effects);
        let message = message.for_room(Some(user.as_str()), self.chat.hub.clock.unix_ms());
        let (entry, _) = handlers::message_of(Some(self.connection), &message);
        room.send(entry, bytes, self.clone(), event.ack);
        true
    }

    /// Has a room's log cut to its size, if that is due behind one of these messages.
    fn trim_behind(&self, room: &RoomId, indexes: impl IntoIterator<Item = u64>) {
        let Some(known) = self.chat.rooms.get(room) else { return };
        let size = known.history_max_size;
        let due = indexes.into_iter().filter(|index| history::is_trimmed_behind(*index, size));
        let Some(newest) = due.max() else { return };
        let trim = Trim::Before(handlers::behind(newest, size));
        let (hub, room) = (self.chat.hub.clone(), room.clone());
        self.chat.hub.tasks.spawn(async move {
            if let Err(error) = hub.trim(&room, trim).await {
                throttled!(warn, %error, "a room's history could not be trimmed; it is later");
            }
        });
    }

    async fn depart(self: Arc<Self>, user: Uid, rooms: Vec<RoomId>) {
        let chat = &self.chat;
        let gone = chat.disconnect(&user, &*self, &rooms).await;
        rooms.iter().for_each(|room| chat.rooms.release(room));
        self.forget(&user).await;
        if chat.caller.calls("onDisconnect") && !self.recovered.load(Relaxed) {
            let (rooms, joined): (Vec<_>, Vec<_>) = gone.removed.into_iter().unzip();
            let joined: Vec<String> = joined.iter().map(u64::to_string).collect();
            let body = Body::new("onDisconnect", &chat.options.instance)
                .text("userName", user.as_str())
                .text("id", &self.id)
                .json("nconnected", &gone.connected.to_string())
                .value("roomsRemoved", &Value::List(rooms.into_iter().map(Value::Text).collect()))
                .json("joinedSockets", &format!("[{}]", joined.join(",")))
                .end();
            chat.inform("onDisconnect", body).await;
        }
    }

    /// The core knows it no more.
    async fn forget(&self, user: &Uid) {
        let chat = &self.chat;
        chat.forget_expiry(self.connection);
        lock(&chat.expiring).remove(&self.connection);
        if let Err(error) = chat.hub.end_session(user, self.connection).await {
            throttled!(warn, %error, "a client that is gone could not be taken out at once");
        }
        chat.hub.unregister(self.connection);
    }

    /// Ends the client if its token was revoked.
    fn look_for_revocation(self: &Arc<Self>, user: Uid, rights: Arc<Rights>) {
        self.spawn(|session| async move {
            match session.chat.hub.is_revoked(&user, &rights).await {
                Ok(false) => {}
                Ok(true) => {
                    session.socket.dismiss(Reason::Revoked);
                }
                Err(error) => {
                    throttled!(warn, %error, "it can't be learnt whether a token was revoked; its client has to come back");
                    session.socket.drop(Reason::StoreUnavailable);
                }
            }
        });
    }

    /// Its token may be expired now.
    pub fn look_at_expiry(self: &Arc<Self>) {
        if let Some(rights) = self.grounds.rights()
            && self.chat.has_expired(self.connection, &rights)
        {
            self.socket.dismiss(Reason::TokenExpired);
        }
    }
}

/// Holds a departure up, until it is dropped.
struct Staying(Arc<Session>);

impl Drop for Staying {
    fn drop(&mut self) {
        let effects = self.0.state().may_go();
        self.0.perform(effects);
    }
}

impl LocalSocket for Session {
    fn user(&self) -> Option<Uid> {
        self.state().user().cloned()
    }

    fn is_or_will_be(&self, user: &str) -> bool {
        self.entering.get().is_some_and(|uid| uid.as_str() == user)
    }

    fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    fn stay(&self) -> Option<Stay> {
        let session = self.me.upgrade()?;
        let stays = self.state().stay();
        stays.then(|| Box::new(Staying(session)) as Stay)
    }

    fn end(&self, how: Ending) {
        match how {
            Ending::Dismiss => self.socket.dismiss(Reason::TurnedAway),
            Ending::Recover => {
                self.recovered.store(true, Relaxed);
                self.socket.drop(Reason::Disconnected)
            }
        };
    }

    fn drop_client(&self, why: Reason) {
        self.socket.drop(why);
    }
}

impl Seat for Session {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    fn connection(&self) -> ConnectionId {
        self.connection
    }

    fn subscriber(&self) -> Option<Arc<dyn Subscriber>> {
        self.me.upgrade().map(|session| session as Arc<dyn Subscriber>)
    }

    fn is_in(&self, room: &RoomId) -> bool {
        self.state().is_in(room)
    }

    fn room(&self, name: &str) -> Option<RoomId> {
        self.state().room(name).cloned()
    }

    fn may_enter(&self, room: &RoomId) -> Result<(), Error> {
        let others = self.state().rooms_but(room);
        self.use_up(room, others)
    }

    fn may_make(&self, room: &RoomId) -> Result<(), Error> {
        self.use_up(room, 0) // it is not in it by that
    }

    fn enter(&self, room: &RoomId, known: Known) {
        self.chat.rooms.hold(room, known);
        if !self.state().enter(room) {
            self.chat.rooms.release(room); // it holds it already
        }
    }

    fn entered(&self, room: Arc<Room>) {
        self.state().entered(room);
    }

    fn left(&self, room: &RoomId) {
        let was_there = self.state().left(room);
        if was_there {
            self.chat.rooms.release(room);
        }
    }

    fn tell(&self, notice: &Notice<'_>) {
        let (name, arguments) = notice.event();
        let mut files = Vec::new();
        let arguments: Vec<String> = arguments.iter().map(|v| v.packed(&mut files)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if files.is_empty() {
            self.socket.emit(name, &arguments);
        } else {
            self.socket.emit_with(name, &arguments, &files);
        }
    }
}

impl Client for Session {
    fn waits(&self) -> bool {
        self.waits
    }

    fn connected(self: Arc<Self>) {
        let effects = self.state().connected();
        self.perform(effects);
    }

    fn event(self: Arc<Self>, event: Event<'_>) {
        let Some(elements) = event.elements() else { return };
        let Some((command, arguments)) = command::called(&elements) else { return };
        let files: usize = event.attachments.iter().map(Bytes::len).sum();
        let bytes = event.json.len() + files;
        if command == Command::RoomMessage && self.say(&event, arguments, bytes) {
            return;
        }
        let given = Raw { json: event.json.into(), attachments: event.attachments };
        let effects = self.state().receive(Waiting { command, ack: event.ack, bytes, given });
        self.perform(effects);
    }

    fn gone(self: Arc<Self>, _: Reason) {
        let effects = self.state().gone();
        self.gone.notify_waiters();
        self.perform(effects);
    }
}

impl Subscriber for Session {
    fn codec(&self) -> &'static dyn Codec {
        self.codec
    }

    fn deliver(&self, packets: Bytes) {
        if !self.socket.is_open() || packets.is_empty() {
            return;
        }
        if self.confirmed.load(Acquire) {
            return self.socket.send(packets);
        }
        let mut state = self.state();
        match state.send(packets) {
            Ok(Some(packets)) => self.socket.send(packets),
            Ok(None) => {}
            Err(TooMuch) => {
                drop(state);
                self.socket.drop(Reason::Slow);
            }
        }
    }

    fn settled(&self, messages: &[Settled]) {
        let (mut frames, mut indexes, mut bytes) = (BytesMut::new(), Vec::new(), 0);
        for Settled { ack, bytes: size, outcome } in messages {
            bytes += size;
            let outcome = match outcome {
                Outcome::Done(Position { index: Some(index), .. }) => {
                    indexes.push(*index);
                    Ok(history::id(*index).to_string())
                }
                Outcome::Done(_)
                | Outcome::Duplicate
                | Outcome::Replayed { .. }
                | Outcome::Reused
                | Outcome::Unavailable
                | Outcome::Full
                | Outcome::Unknown => Err(Error::Timeout.json(self.chat.options.raw_errors)),
            };
            if let Some(ack) = ack {
                let arguments = match &outcome {
                    Ok(id) => ["null", id],
                    Err(error) => [error, "null"],
                };
                frames.extend_from_slice(&packet::ack(self.socket.namespace(), *ack, &arguments));
            }
        }
        if !frames.is_empty() {
            self.socket.send(frames.freeze());
        }
        let mut state = self.state();
        let room = state.handed_to().cloned();
        let effects = state.settled(messages.len(), bytes);
        drop(state);
        if let Some(room) = room {
            self.trim_behind(&room, indexes);
        }
        if !effects.is_empty()
            && let Some(session) = self.me.upgrade()
        {
            session.perform(effects);
        }
    }

    fn evict(self: Arc<Self>) {} // nobody claims a user here

    fn revoke(self: Arc<Self>) {
        // Whom a hook let in has no token here.
        if !self.chat.caller.calls("onConnect") {
            self.socket.dismiss(Reason::Revoked);
        }
    }

    fn recheck(self: Arc<Self>) {
        if let Some((user, rights)) = self.grounds.may_be_lost() {
            self.look_for_revocation(user, rights);
        }
    }

    fn removed(self: Arc<Self>, room: &RoomId) {
        self.left(room);
    }

    fn refuse(self: Arc<Self>, why: Reason) {
        self.socket.refuse(why);
    }

    fn drop_connection(&self, why: Reason) {
        self.socket.drop(why);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.chat.sessions.remove(&self.id);
        if self.counted {
            self.chat.hub.closed();
        }
    }
}
