//! One client.
//!
//! What it may do depends on its phase, a type of its own: a [`Guest`] can only authenticate, only
//! an [`Authenticated`] one can join, only a [`Member`] can sync or leave. The phase belongs to the
//! one task that handles the connection's events.
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;

use super::{
    AlwaysOnline,
    authenticate::{Authenticated, Guest},
    engined::Engined,
    join::Member,
    mailbox::{Item, Mailbox, Put},
    msg::Target,
    wire,
};
use crate::domain::{
    clock::{NoRandomness, alphanumeric},
    ids::{ConnectionId, SocketId, Uid},
    json,
    room::Room,
    subscriber::{Codec, Outcome, Settled, Subscriber},
};
pub(super) use crate::lock::lock;
use crate::reason::Reason;
use crate::socketio::{Client, Event, Socket};
use crate::throttle::throttled;

/// Characters of a public socket id.
const SOCKET_ID: usize = 20;

/// Where a client stands.
pub(super) enum Phase {
    Guest(Guest),
    Authenticated(Authenticated),
    Member(Member),
    /// Nothing that it sends has an effect any more.
    Ended,
}

/// One client.
pub struct Session {
    pub(super) id: ConnectionId,
    pub(super) public: SocketId,
    pub(super) dialect: Arc<AlwaysOnline>,
    pub(super) socket: Socket,
    /// Where the engine carries it.
    pub(super) engined: Option<Arc<Engined>>,
    pub(super) mailbox: Mailbox,
    /// Where its messages go now.
    pub(super) target: Mutex<Target>,
    /// The rooms that it is in.
    pub(super) places: Mutex<Vec<Arc<Room>>>,
    /// Whether nothing is read from it, for now.
    pub(super) held: AtomicBool,
    /// Who it is, once it has said so.
    pub(super) uid: OnceLock<Uid>,
    pub(super) evicted: AtomicBool,
}

impl Session {
    /// A client has connected to the namespace. It is to be told so, and then
    /// [`Client::connected`] called. Fails where the operating system has no random numbers.
    pub(super) fn begin(
        dialect: &Arc<AlwaysOnline>,
        id: ConnectionId,
        socket: Socket,
        engined: Option<Arc<Engined>>,
    ) -> Result<Arc<Self>, NoRandomness> {
        let public = alphanumeric(&*dialect.hub.rng, SOCKET_ID).inspect_err(|error| {
            throttled!(error, %error, "a connection had to be refused");
        })?;
        let session = Arc::new(Session {
            id,
            public: SocketId(public.into()),
            socket,
            engined,
            mailbox: Mailbox::new(),
            target: Mutex::new(Target::Closed),
            places: Mutex::default(),
            held: AtomicBool::new(false),
            uid: OnceLock::new(),
            evicted: AtomicBool::new(false),
            dialect: dialect.clone(),
        });
        dialect.hub.opened();
        Ok(session)
    }

    /// An event, in the order of the wire. Does not block.
    pub(super) fn receive(self: &Arc<Self>, text: &str, ack: Option<i64>, binary: bool) {
        if self.mailbox.is_flooded(2 * self.dialect.options.max_payload()) {
            return self.drop_connection(Reason::Flood);
        }
        // A message with nothing before it needs no task: its room has one.
        if !binary && self.mailbox.is_idle() && text.starts_with(r#"["msg","#) {
            match json::Call::parse(text) {
                Some(call) if call.name == "msg" => self.msg(call.argument, ack),
                Some(_) => {}
                None => return self.drop_connection(Reason::Malformed),
            }
        } else {
            self.put(Item::Event { text: text.into(), ack, binary });
        }
        if self.mailbox.is_full() && !self.held.load(SeqCst) {
            self.socket.hold_reading(true); // first: who sees `held` may let go at once
            self.held.store(true, SeqCst);
            self.resume(); // in case all that is in flight ended before this
        }
    }

    /// Something for the session's task, which is started if there is none.
    pub(super) fn put(self: &Arc<Self>, item: Item) {
        if self.mailbox.put(item) == Put::Start {
            self.start();
        }
    }

    fn start(self: &Arc<Self>) {
        if let Some(phase) = self.mailbox.take_phase() {
            self.dialect.hub.tasks.spawn(self.clone().run(phase));
        }
    }

    async fn run(self: Arc<Self>, mut phase: Phase) {
        while let Ok((now, item)) = self.mailbox.next(phase) {
            let bytes = if let Item::Event { text, .. } = &item { text.len() } else { 0 };
            phase = match AssertUnwindSafe(self.handle(now, item)).catch_unwind().await {
                Ok(next) => next,
                // A defect of ours ends this session, and nothing else.
                Err(_) => self.abandon().await,
            };
            self.mailbox.handled(bytes);
            self.resume();
        }
    }

    async fn handle(self: &Arc<Self>, phase: Phase, item: Item) -> Phase {
        match (item, phase) {
            (Item::Event { .. }, phase) if self.evicted.load(SeqCst) => phase,
            (Item::Event { text, ack, binary }, phase) => {
                self.event(phase, &text, ack, binary).await
            }
            (Item::LateAuthenticate, Phase::Guest(_)) => {
                self.refuse_authentication(None, wire::AuthRefusal::Timeout)
            }
            (Item::LateJoin, Phase::Authenticated(who)) => {
                self.refuse(Reason::JoinTimeout);
                self.end(Phase::Authenticated(who)).await
            }
            (Item::LateAuthenticate | Item::LateJoin, phase) => phase,
            (Item::Evicted | Item::Closed, phase) => self.end(phase).await,
        }
    }

    async fn event(
        self: &Arc<Self>,
        phase: Phase,
        text: &str,
        ack: Option<i64>,
        binary: bool,
    ) -> Phase {
        let Some(call) = json::Call::parse(text) else {
            self.drop_connection(Reason::Malformed);
            return phase;
        };
        let argument = call.argument.filter(|_| !binary);
        match (call.name.as_ref(), phase) {
            ("authenticate", Phase::Guest(guest)) => self.authenticate(guest, argument, ack).await,
            ("authenticate", phase @ (Phase::Authenticated(_) | Phase::Member(_))) => {
                self.authenticate_again(phase, argument, ack).await
            }
            ("join", Phase::Authenticated(who)) => self.first_join(who, argument, ack).await,
            ("join", Phase::Member(member)) => self.next_join(member, argument, ack).await,
            ("msg", phase) => {
                self.msg(argument, ack);
                phase
            }
            ("sync", Phase::Authenticated(who)) => {
                self.sync_nowhere(argument, ack);
                Phase::Authenticated(who)
            }
            ("sync", Phase::Member(member)) => {
                self.sync(&member, argument, ack).await;
                Phase::Member(member)
            }
            ("leave", phase @ (Phase::Authenticated(_) | Phase::Member(_))) => {
                self.leave(phase, ack).await
            }
            // Unknown events, and any event before authentication: no effect, no answer.
            (_, phase) => phase,
        }
    }

    /// Whether anything can still be sent to it.
    pub(super) fn is_open(&self) -> bool {
        self.socket.is_open()
    }

    /// Lets the client go on, when it was stopped and little is in flight.
    pub(super) fn resume(&self) {
        if self.held.load(SeqCst) && self.mailbox.is_calm() && self.held.swap(false, SeqCst) {
            self.socket.hold_reading(false);
        }
    }
}

impl Client for Session {
    fn connected(self: Arc<Self>) {
        lock(&self.dialect.sessions).insert(self.id, Arc::downgrade(&self));
        // What it sends is handled from now on.
        if self.mailbox.open(Phase::Guest(Guest)) == Put::Start {
            self.start();
        }
        self.dialect.unauthenticated.push(self.id);
    }

    fn event(self: Arc<Self>, event: Event<'_>) {
        self.receive(event.json, event.ack, !event.attachments.is_empty());
    }

    fn gone(self: Arc<Self>, _: Reason) {
        self.put(Item::Closed);
    }
}

impl Subscriber for Session {
    fn codec(&self) -> &'static dyn Codec {
        &wire::Frames // the same for both protocol versions
    }

    fn deliver(&self, packets: Bytes) {
        if self.is_open() {
            self.emit(&packets);
        }
    }

    fn settled(&self, messages: &[Settled]) {
        let mut acks = BytesMut::new();
        let mut lost = false;
        for Settled { ack, outcome, .. } in messages {
            let failure = match outcome {
                Outcome::Done(_) | Outcome::Duplicate => None,
                Outcome::Unavailable => Some(wire::MsgFailure::Unavailable),
                Outcome::Full => Some(wire::MsgFailure::TooManyUpdates),
                Outcome::Unknown => Some(wire::MsgFailure::Unknown),
            };
            match (failure, ack) {
                (None, Some(id)) => wire::ack(&mut acks, *id, wire::MSG_SUCCESS),
                (None, None) => {}
                (Some(failure), Some(id)) => wire::ack(&mut acks, *id, &wire::failure(&failure)),
                // It would lose a message without a word; of an update that the room has no place
                // for nothing is learnt by coming back.
                (Some(_), None) => lost |= *outcome != Outcome::Full,
            }
            if let Some(failure) = failure {
                self.dialect.hub.metrics.message_refused(failure.reason());
            }
        }
        // Before they count as settled: what waits for that is answered behind.
        // But not to who was kicked out: what it had on its way may have been left out of what was
        // stored.
        if !acks.is_empty() && !self.evicted.load(SeqCst) {
            self.emit(&acks.freeze());
        }
        messages.iter().for_each(|m| self.mailbox.settled(m.bytes));
        if lost {
            // It would lose a message without a word: it comes back and learns what is stored.
            self.drop_connection(Reason::StoreUnavailable);
        }
        self.resume();
    }

    fn evict(self: Arc<Self>) {
        // A kick may be heard of more than once.
        if self.evicted.swap(true, SeqCst) {
            return;
        }
        self.leave_target();
        for room in lock(&self.places).iter() {
            room.silence(self.id);
        }
        self.tell("kickout", wire::KICKOUT);
        self.refuse(Reason::Kickout);
        if self.mailbox.replace(Item::Evicted) == Put::Start {
            self.start();
        }
    }

    fn revoke(self: Arc<Self>) {
        self.refuse(Reason::Revoked);
        // Behind what it sent before. What it may send until its transport has closed has no
        // effect.
        self.put(Item::Closed);
    }

    fn drop_connection(&self, why: Reason) {
        Session::drop_connection(self, why);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.dialect.sessions).remove(&self.id);
        if let Some(engined) = &self.engined {
            self.dialect.untie(self, engined.sid);
        }
        self.dialect.hub.closed();
    }
}
