//! One client: a [`Socket`], and a [`State`] behind a lock.
//!
//! What comes in, from the client, from rooms and from stores, is told to the state, and the effects
//! that it returns are performed here. This is the one place that sends, and that asks the core or a
//! store for something. A message with nothing before it needs no task: its room has one. All else
//! waits in the state's mailbox for the session's task, which exists only while it has something to
//! do.
use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    AlwaysOnline, msg,
    state::{Answer, Ask, Effect, Rules, State},
    wire::{self, Call, Credentials},
};
use crate::domain::{
    broker::Entry,
    clock::{NoRandomness, alphanumeric},
    ids::{ConnectionId, RoomId, SocketId},
    json,
    life::{self, Life},
    subscriber::{Codec, Settled, Subscriber},
};
use crate::lock::lock;
use crate::metrics::{self, Outcome};
use crate::net::websocket::frame;
use crate::reason::Reason;
use crate::socketio::{Client, Connect, Event, Socket};
use crate::throttle::throttled;
use crate::trace::{Kind, Span};

mod asked;
mod asks;
mod messages;

/// The longest time until a reminder: the state asks again then.
const FAR: Duration = Duration::from_secs(86_400);
/// Characters of a public socket id.
const SOCKET_ID: usize = 20;

/// One client.
pub struct Session {
    me: Weak<Session>,
    id: ConnectionId,
    /// Its public name.
    name: SocketId,
    dialect: Arc<AlwaysOnline>,
    socket: Socket,
    /// Where the client comes from, which may be a proxy; where somebody asks for it.
    address: Option<IpAddr>,
    state: Mutex<State>,
    /// What the line about its end says, where there is to be one.
    life: Option<Box<Life>>,
}

/// What the session's task does next.
#[cfg_attr(
    feature = "otel",
    expect(clippy::large_enum_variant, reason = "one of each session's task, and not kept")
)]
enum Step {
    /// It ends.
    Done,
    /// It takes what waits.
    Next,
    /// It tells the state what it asked for, as a part of that.
    Answered(Answer, Span),
}

impl Session {
    /// A client has connected to the namespace. It is to be told so, and then
    /// [`Client::connected`] called. Who has credentials in what came with CONNECT signs in by
    /// that. Fails where the operating system has no random numbers.
    pub(super) fn begin(
        dialect: &Arc<AlwaysOnline>,
        socket: Socket,
        request: &Connect<'_>,
    ) -> Result<Arc<Self>, NoRandomness> {
        let name = alphanumeric(&*dialect.hub.rng, SOCKET_ID).inspect_err(|error| {
            throttled!(error, %error, "a connection had to be refused");
        })?;
        let rules =
            Rules { access: dialect.options.access, grace: dialect.options.grace.as_secs() };
        let session = Arc::new_cyclic(|me| Session {
            me: me.clone(),
            id: dialect.hub.new_connection(),
            name: SocketId(name.into()),
            dialect: dialect.clone(),
            socket,
            address: request.address,
            state: Mutex::new(State::new(rules)),
            life: Life::begin(&dialect.hub),
        });
        dialect.hub.opened();
        // It waits until the client has been told that it is connected.
        if let Some(credentials) = Credentials::with_connect(request.auth) {
            let bytes = request.auth.map_or(0, str::len);
            session.call(Call::Authenticate(credentials), None, bytes);
        }
        Ok(session)
    }

    fn call(self: &Arc<Self>, call: Call, ack: Option<i64>, bytes: usize) {
        let unread = self.unread();
        self.tell(|state| state.receive(call, ack, bytes, unread));
    }

    /// Bytes that may still come when reading from the client has paused.
    fn unread(&self) -> usize {
        2 * self.dialect.options.max_payload()
    }

    /// Whether its connection has a client of another namespace.
    pub(super) fn is_elsewhere_too(&self) -> bool {
        self.socket.is_open() && !self.socket.is_alone()
    }

    /// The client did not authenticate in time.
    pub(super) fn late_to_authenticate(self: &Arc<Self>) {
        self.tell(State::late_to_authenticate);
    }

    /// The client did not join in time.
    pub(super) fn late_to_join(self: &Arc<Self>) {
        self.tell(State::late_to_join);
    }

    /// A time of its token has come.
    pub(super) fn remind(self: &Arc<Self>) {
        let now = self.dialect.hub.clock.unix();
        self.tell(|state| state.remind(now));
    }

    /// Has the session reminded at this time, Unix seconds.
    fn remind_at(&self, at: Option<u64>) {
        let expiries = &self.dialect.expiries;
        match at {
            Some(at) => {
                let now = self.dialect.hub.clock.unix_ms();
                let pause = Duration::from_millis(at.saturating_mul(1000).saturating_sub(now));
                expiries.set(self.id, Instant::now() + pause.min(FAR));
            }
            None => expiries.cancel(self.id),
        }
    }

    /// Drops the client: it comes back.
    pub(super) fn drop_client(&self, why: Reason) {
        if let Some(session) = self.me.upgrade() {
            session.tell(|state| state.drop_client(why));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Tells the state what happened, outside of the session's task, and performs what it calls
    /// for.
    fn tell(self: &Arc<Self>, event: impl FnOnce(&mut State) -> Vec<Effect>) {
        let mut state = self.state();
        let effects = event(&mut state);
        self.perform(effects, state);
    }

    /// Performs effects in their order, and returns what is to be asked for, if anything. What is
    /// sent first is sent under the lock: so the client is told things in the order in which they
    /// became true. All else may come back to this session, and is done without the lock.
    fn perform(
        self: &Arc<Self>,
        effects: Vec<Effect>,
        state: MutexGuard<'_, State>,
    ) -> Option<Ask> {
        let mut locked = Some(state);
        let mut asked = None;
        for effect in effects {
            match effect {
                Effect::Send(_)
                | Effect::PauseReading
                | Effect::ResumeReading
                | Effect::Count(..) => {}
                _ => locked = None,
            }
            asked = self.perform_one(effect).or(asked);
        }
        drop(locked);
        asked
    }

    fn perform_one(self: &Arc<Self>, effect: Effect) -> Option<Ask> {
        let hub = &self.dialect.hub;
        match effect {
            Effect::Send(frames) => self.send(frames),
            Effect::PauseReading => self.socket.hold_reading(true),
            // Not of who has left: see `gone`.
            Effect::ResumeReading if self.socket.has_left() => {}
            Effect::ResumeReading => self.socket.hold_reading(false),
            Effect::Msg { target, argument, ack } => {
                let asked = self.is_asked_about(&target);
                return self.post(target, argument.as_deref(), ack, asked);
            }
            Effect::Post(message) => self.hand_over(message),
            Effect::RefuseMsg { failure, by, ack } => self.refuse_msg(failure, by.as_ref(), ack),
            Effect::Silence(rooms) => rooms.iter().for_each(|room| room.silence(self.id)),
            Effect::Release { room, uid } => hub.release(&room, &uid, self.id),
            Effect::TellSynced { room, uid } => {
                hub.announce(&room.id, Entry::Synced { by: self.id, uid });
            }
            Effect::CountPage => {
                hub.metrics.messages.pages.inc();
            }
            Effect::Count(event, outcome) => hub.metrics.messages.handled(event, outcome, 1),
            Effect::LookForRevocation => self.look_for_revocation(),
            Effect::Remind(at) => self.remind_at(at),
            Effect::AwaitJoin => self.dialect.roomless.push(self.id),
            Effect::Unregister => hub.unregister(self.id),
            Effect::Refuse(why) => {
                self.socket.refuse(why);
            }
            Effect::Drop(why) => {
                self.socket.drop(why);
            }
            Effect::DropLater(why) => self.drop_later(why),
            Effect::Start => {
                hub.tasks.spawn(self.clone().run());
            }
            Effect::Ask(ask) => return Some(ask),
        }
        None
    }

    /// The one way out. Nothing is sent to a client that is gone, or refused.
    fn send(&self, frames: Bytes) {
        if self.socket.is_open() {
            self.count(&frames);
            self.socket.send(frames);
        }
    }

    /// Counts what is sent, for the line about its end.
    fn count(&self, frames: &Bytes) {
        if let Some(life) = &self.life {
            life.went(frame::payloads(frames).count());
        }
    }

    /// Drops the client after 1 to 5 s, as many would come back at once and all the time.
    fn drop_later(self: &Arc<Self>, why: Reason) {
        let (session, hub) = (Arc::downgrade(self), &self.dialect.hub);
        let mut random = [0; 1];
        let _ = hub.rng.fill(&mut random); // without randomness: all after the same time
        let pause = Duration::from_secs(1) + Duration::from_millis(16) * u32::from(random[0]);
        hub.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(session) = session.upgrade() {
                session.drop_client(why);
            }
        });
    }

    /// Ends the session if its token was revoked. In a task of its own, as it must not wait for what
    /// the client has asked for.
    fn look_for_revocation(self: &Arc<Self>) {
        let Some((uid, rights)) = self.state().recheck() else { return };
        let session = self.clone();
        self.dialect.hub.tasks.spawn(async move {
            match session.dialect.hub.is_revoked(&uid, &rights).await {
                Ok(false) => {}
                Ok(true) => session.tell(|state| state.revoked(&rights)),
                Err(error) => {
                    throttled!(warn, %error, "it can't be learnt whether a token was revoked; its client has to come back");
                    session.drop_client(Reason::StoreUnavailable);
                }
            }
        });
    }

    /// The session's task.
    async fn run(self: Arc<Self>) {
        let mut step = Step::Next;
        loop {
            let answer = match step {
                Step::Done => return,
                Step::Next => None,
                Step::Answered(answer, span) => Some((answer, span)),
            };
            step = match AssertUnwindSafe(self.step(answer)).catch_unwind().await {
                Ok(next) => next,
                // A defect of ours ends this session, and nothing else.
                Err(_) => {
                    throttled!(error, socket = %self.name.0, "a session failed; its connection is closed");
                    Step::Answered(Answer::Failed, Span::default())
                }
            };
        }
    }

    async fn step(self: &Arc<Self>, answer: Option<(Answer, Span)>) -> Step {
        let (answer, span) = answer.unzip();
        let span = span.unwrap_or_default();
        let entered = match &answer {
            Some(Answer::Entered { room, .. }) => room.clone(),
            _ => None,
        };
        let asked = {
            let mut state = self.state();
            let effects = match answer {
                Some(answer) => Some(state.answer(answer)),
                None => state.next(),
            };
            match effects {
                Some(effects) => span.during(|| self.perform(effects, state)),
                None => return Step::Done,
            }
        };
        // It may have been taken out before its state knew that it was in.
        if let Some(room) = entered.filter(|room| !room.has(self.id)) {
            self.tell(|state| state.removed(&room.id));
        }
        match asked {
            Some(ask) => {
                // What follows from an answer is of the trace that it is of.
                let span = ask.begins().map_or(span, |name| Span::begin(name, Kind::Server));
                let answer = span.within(self.ask(ask)).await;
                Step::Answered(answer, span)
            }
            None => Step::Next,
        }
    }
}

impl Client for Session {
    fn connected(self: Arc<Self>) {
        lock(&self.dialect.sessions).insert(self.id, Arc::downgrade(&self));
        self.tell(State::connected);
        self.dialect.unauthenticated.push(self.id);
    }

    fn event(self: Arc<Self>, Event { json, ack, attachments }: Event<'_>) {
        if let Some(life) = &self.life {
            life.came();
        }
        let Some(event) = json::Call::parse(json) else {
            return self.call(Call::Malformed, ack, json.len());
        };
        // Nothing here takes attachments.
        let argument = event.argument.filter(|_| attachments.is_empty());
        if event.name == "msg" {
            self.msg(argument, ack, json.len());
        } else if let Some(call) = Call::parse(&event.name, argument) {
            self.call(call, ack, json.len());
        } else {
            let metrics = &self.dialect.hub.metrics;
            metrics.messages.handled(metrics::Event::Other, Outcome::Ignored, 1);
        }
    }

    fn gone(self: Arc<Self>, why: Reason) {
        if let Some(life) = &self.life {
            let (carriage, bytes) = (self.socket.carriage(), self.socket.bytes());
            let why = self.socket.why().unwrap_or(why);
            life.tell(life::End { carriage, address: self.address, why, bytes });
        }
        // Who leaves and connects again on the same connection is heard once this session has left
        // its rooms: so others learn of both in the order of the wire.
        self.socket.hold_reading(true);
        self.tell(State::gone);
    }
}

impl Subscriber for Session {
    fn codec(&self) -> &'static dyn Codec {
        &wire::Frames // the same for both protocol versions
    }

    fn deliver(&self, packets: Bytes) {
        self.send(packets);
    }

    fn settled(&self, messages: &[Settled]) {
        let Some(session) = self.me.upgrade() else { return };
        let ended = msg::ended(messages);
        let mut done = messages.len();
        for failure in messages.iter().filter_map(|message| msg::failure(&message.outcome)) {
            self.count_refusal(failure);
            done -= 1;
        }
        let metrics = &self.dialect.hub.metrics;
        metrics.messages.handled(metrics::Event::Msg, Outcome::Done, done);
        // Before they count as settled: what waits for that is answered behind. Without the lock,
        // so that whoever reads from the client need not wait for the kernel. Not to who was
        // evicted: what it had on its way may have been left out of what was stored.
        if !ended.acks.is_empty() && !self.state().is_evicted() {
            self.send(ended.acks);
        }
        session.tell(|state| state.settled(messages.len(), ended.bytes, ended.lost));
    }

    fn evict(self: Arc<Self>) {
        self.tell(State::evict);
    }

    fn revoke(self: Arc<Self>) {
        self.refuse(Reason::Revoked);
    }

    fn removed(self: Arc<Self>, room: &RoomId) {
        self.tell(|state| state.removed(room));
    }

    fn refuse(self: Arc<Self>, why: Reason) {
        self.tell(|state| state.refuse(why));
    }

    fn recheck(self: Arc<Self>) {
        self.look_for_revocation();
    }

    fn drop_connection(&self, why: Reason) {
        self.drop_client(why);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.dialect.sessions).remove(&self.id);
        self.dialect.expiries.cancel(self.id);
        if self.socket.has_left() {
            self.socket.hold_reading(false);
        }
        self.dialect.hub.closed();
    }
}
