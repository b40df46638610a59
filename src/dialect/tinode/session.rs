//! One session: a client, whatever carries it, and what it has said of itself.
//!
//! It says hello, signs in, and attaches to topics ([`Attach`]) and to `me`. What it asks for is
//! read and done by `dispatch.rs`, one request after the other; this is what requests have in
//! common, and the one place that sends.
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::{sync::Notify, time::Instant};

use super::{
    Tinode,
    attach::Attach,
    ids::{Key, UserId},
    leave,
    message::{Code, Ctrl, Message, Meta, Params, Part, Pres, Ts},
    mode::Level,
    outlet::Outlet,
    presence,
    refusal::{Done, Refusal},
};
use crate::{
    domain::{
        clock::alphanumeric,
        ids::{ConnectionId, RoomId, SocketId},
        life::{self, Life},
        presence::Departure,
        quota::Used,
        subscriber::{Codec, Settled, Subscriber},
    },
    lock::lock,
    pace::Pace,
    reason::{Kind, Reason},
    throttle::throttled,
};

use in_flight::InFlight;

mod in_flight;

/// How often a client may say that somebody types.
const TYPING: (u32, Duration) = (20, Duration::from_secs(5));
/// Topics that a session leaves at a time, at its end.
const AT_ONCE: usize = 32;
/// Characters of a session's public name.
const NAME: usize = 20;

/// Who a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub user: UserId,
    pub level: Level,
}

/// What a client has said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Hello {
    pub ver: String,
    pub ua: String,
    pub lang: String,
    pub platf: String,
    /// By what it is pushed to.
    pub dev: String,
}

/// A session is attached to `fnd`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// What it looks for.
    pub query: Option<String>,
}

/// One session.
pub(super) struct Session {
    pub node: Arc<Tinode>,
    pub id: ConnectionId,
    /// Where its client is: behind a believed proxy that is no end of the connection.
    pub address: IpAddr,
    outlet: Outlet,
    socket: SocketId,
    state: Mutex<State>,
    in_flight: Mutex<InFlight>,
    /// Nothing is in flight any more.
    settled: Notify,
    /// Why we have closed it.
    why: OnceLock<Reason>,
    /// It counts among those that are there.
    counted: AtomicBool,
    /// What the line about its end says, where there is to be one.
    life: Option<Box<Life>>,
}

#[derive(Default)]
struct State {
    who: Option<Identity>,
    hello: Option<Arc<Hello>>,
    attaches: HashMap<Key, Arc<Attach>>,
    on_me: bool,
    /// The core may find it, and the store may have noted it.
    known: bool,
    ended: bool,
    rare: Option<Box<Rare>>,
}

/// What most sessions never have.
#[derive(Default)]
struct Rare {
    fnd: Option<Found>,
    typing: Option<Pace>,
    used: Used,
}

/// What it says of itself, and how it is answered.
impl Session {
    /// A client has come.
    pub fn begin(node: &Arc<Tinode>, outlet: Outlet, address: IpAddr) -> Arc<Self> {
        let hub = &node.hub;
        let id = hub.new_connection();
        let name = alphanumeric(&*hub.rng, NAME).unwrap_or_else(|_| id.0.to_string());
        hub.opened();
        hub.metrics.connections.carried(outlet.carriage()).inc();
        let session = Arc::new(Session {
            node: node.clone(),
            id,
            address,
            outlet,
            socket: SocketId(name.into()),
            state: Mutex::default(),
            in_flight: Mutex::default(),
            settled: Notify::new(),
            why: OnceLock::new(),
            counted: AtomicBool::new(true),
            life: Life::begin(hub),
        });
        lock(&node.sessions).insert(id, Arc::downgrade(&session));
        session
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Who it is, once it has signed in.
    pub fn who(&self) -> Option<Identity> {
        self.state().who
    }

    /// Whether it has said hello, and who it is.
    pub fn standing(&self) -> (bool, Option<Identity>) {
        let state = self.state();
        (state.hello.is_some(), state.who)
    }

    /// What its client has said of itself, once it has.
    pub fn hello(&self) -> Option<Arc<Hello>> {
        self.state().hello.clone()
    }

    /// Its client says, or corrects, what it is.
    pub fn say_hello(&self, h: Hello) {
        self.state().hello = Some(Arc::new(h));
    }

    /// It is this user from now on.
    pub fn sign_in(self: &Arc<Self>, who: Identity) {
        {
            let mut state = self.state();
            if state.ended {
                return;
            }
            state.who = Some(who);
        }
        if let (Some(life), Ok(uid)) = (&self.life, who.user.uid()) {
            life.signed_in(&uid);
        }
        self.node.roll.signed_in(who.user, self);
    }

    /// The time.
    pub fn now(&self) -> Ts {
        Ts(self.node.hub.clock.unix_ms())
    }

    /// Says something, behind all that was said before.
    pub fn send(&self, m: &Message<'_>) {
        self.send_frames(&self.encode(m));
    }

    /// Sends what was encoded for it.
    pub fn send_frames(&self, frames: &Bytes) {
        if frames.is_empty() {
            return;
        }
        if let Some(life) = &self.life {
            life.went(self.outlet.count(frames));
        }
        if !self.outlet.send(frames) {
            self.close(Reason::Slow);
        }
    }

    /// A message as its client reads it.
    pub fn encode(&self, m: &Message<'_>) -> Bytes {
        self.outlet.encode(m, self.now())
    }

    /// How rooms encode for it.
    pub fn codec(&self) -> &'static dyn Codec {
        self.outlet.codec()
    }

    /// Whether it is carried by gRPC,
    pub fn is_grpc(&self) -> bool {
        matches!(self.outlet, Outlet::Grpc(_))
    }

    /// or by long polling.
    pub fn is_polling(&self) -> bool {
        matches!(self.outlet, Outlet::Polling(_))
    }

    /// The way out to its client.
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Its client has sent a message.
    pub fn heard(&self) {
        if let Some(life) = &self.life {
            life.came();
        }
    }

    /// Answers a request. An empty topic is none.
    pub fn ctrl(&self, id: &str, topic: &str, code: Code) {
        self.ctrl_with(id, topic, code, Params::default());
    }

    /// As [`Session::ctrl`], with more to say.
    pub fn ctrl_with(&self, id: &str, topic: &str, code: Code, params: Params) {
        self.send(&Message::Ctrl(Ctrl { id, topic, code, params }));
    }

    /// Answers a request that is refused.
    pub fn refuse(&self, id: &str, topic: &str, why: Refusal) {
        self.ctrl_with(id, topic, why.code, why.params);
    }

    /// Answers with a part of what was asked for.
    pub fn meta(&self, id: &str, topic: &str, part: Part<'_>) {
        self.send(&Message::Meta(Meta { id, topic, part }));
    }

    /// Tells what has happened.
    pub fn pres(&self, p: &Pres<'_>) {
        self.send(&Message::Pres(*p));
    }
}

/// Where it is.
impl Session {
    /// How it is attached to a topic, if it is.
    pub fn attached(&self, key: &Key) -> Option<Arc<Attach>> {
        self.state().attaches.get(key).cloned()
    }

    /// All topics that it is attached to.
    pub fn attaches(&self) -> Vec<Arc<Attach>> {
        self.state().attaches.values().cloned().collect()
    }

    /// It attaches. False: it is attached there already, or has ended.
    pub fn add(&self, a: &Arc<Attach>) -> bool {
        let mut state = self.state();
        if state.ended || state.attaches.contains_key(&a.live.key) {
            return false;
        }
        state.attaches.insert(a.live.key, a.clone());
        true
    }

    /// It is not attached in this way any more. False: it was not, or has come back since.
    pub fn forget_attach(&self, attach: &Attach) -> bool {
        let mut state = self.state();
        let key = &attach.live.key;
        let is_it = state.attaches.get(key).is_some_and(|is| std::ptr::eq(&**is, attach));
        if is_it {
            state.attaches.remove(key);
            if state.attaches.is_empty() {
                state.attaches = HashMap::new(); // frees it
            }
        }
        is_it
    }

    /// Whether it may enter one more room.
    ///
    /// # Errors
    /// It is in as many as it may be, or enters too often.
    pub fn may_enter(&self, room: &RoomId) -> Done<()> {
        let mut state = self.state();
        let others = state.attaches.len();
        let used = &mut state.rare().used;
        let may = self.node.hub.may_enter(room, others, used);
        may.map_err(|_| Refusal::from(Code::Policy)) // why is counted
    }

    /// Has the core find it, from before it enters any room: what a store knows and its node does
    /// not is ended.
    pub async fn known_to_hub(self: &Arc<Self>) {
        let is_new = {
            let mut state = self.state();
            !state.ended && !std::mem::replace(&mut state.known, true)
        };
        if is_new {
            self.node.hub.register_guest(self.id, self.clone());
        }
    }

    /// Its public name.
    pub fn socket(&self) -> SocketId {
        self.socket.clone()
    }

    /// Whether it is attached to `me`.
    pub fn is_on_me(&self) -> bool {
        self.state().on_me
    }

    /// It is, or is no longer.
    pub fn set_on_me(&self, on: bool) {
        self.state().on_me = on;
    }

    /// How it is attached to `fnd`, if it is.
    pub fn fnd(&self) -> Option<Found> {
        self.state().rare.as_ref().and_then(|rare| rare.fnd.clone())
    }

    /// So it is from now on.
    pub fn set_fnd(&self, found: Option<Found>) {
        self.state().rare().fnd = found;
    }

    /// Whether its client may say once more that somebody types. What is too much is told to
    /// nobody.
    pub fn may_note(&self) -> bool {
        let (often, window) = TYPING;
        let mut state = self.state();
        state.rare().typing.get_or_insert_with(|| Pace::new(often, window)).admit(Instant::now())
    }
}

impl State {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// What is in flight, and the end.
impl Session {
    /// Returns once no publication is in flight: what is answered next comes behind their answers.
    pub async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if !self.is_publishing() {
                return;
            }
            settled.await;
        }
    }

    /// Whether a publication is in flight.
    pub fn is_publishing(&self) -> bool {
        !lock(&self.in_flight).is_empty()
    }

    /// A publication of so many bytes is on its way.
    pub fn begin_publish(&self, bytes: usize) {
        let mut in_flight = lock(&self.in_flight);
        if in_flight.begin(bytes) {
            self.outlet.hold_reading(true);
        }
    }

    /// So many have ended, of so many bytes together, and are answered.
    pub fn end_publish(&self, count: usize, bytes: usize) {
        let mut in_flight = lock(&self.in_flight);
        if in_flight.end(count, bytes) {
            self.outlet.hold_reading(false);
        }
        let is_over = in_flight.is_empty();
        drop(in_flight);
        if is_over {
            self.settled.notify_waiters();
        }
    }

    /// Why it was closed, if it was.
    pub fn why(&self) -> Option<Reason> {
        self.why.get().copied()
    }

    /// Ends it, behind what it was sent. Counted once.
    pub fn close(&self, why: Reason) {
        if !self.outlet.is_ended() && self.why.set(why).is_ok() {
            match why.kind() {
                Kind::Refused => self.node.hub.metrics.refused(why),
                Kind::Dropped => self.node.hub.metrics.dropped(why),
                Kind::Own => {}
            }
        }
        self.outlet.close(why);
    }

    /// It has ended: takes it out of everything that it is in. Once; nobody speaks for it any more.
    pub async fn end(self: Arc<Self>) {
        // The store is needed also when it does not count any more.
        let ends = self.node.ends.clone();
        ends.track_future(self.leave_all()).await;
    }

    async fn leave_all(self: Arc<Self>) {
        if std::mem::replace(&mut self.state().ended, true) {
            return;
        }
        let attaches = self.attaches(); // no more come
        self.outlet.close(Reason::ClosedByClient);
        self.log_end();
        let departures: Vec<_> = attaches
            .into_iter()
            .map(|attach| async move { leave::depart(&attach, Departure::Gone).await })
            .collect();
        stream::iter(departures).for_each_concurrent(AT_ONCE, |departure| departure).await;
        self.state().attaches = HashMap::new(); // they have this session
        // It may be in the inbox without being on `me`, if it has ended on its way there.
        presence::leave_me(&self);
        self.set_on_me(false);
        if let Some(Identity { user, .. }) = self.who() {
            self.node.roll.gone(user, self.id);
        }
        self.uncount();
        self.forgotten().await;
    }

    /// The core and the store know it no more.
    async fn forgotten(&self) {
        let (known, who) = {
            let state = self.state();
            (state.known, state.who)
        };
        let hub = &self.node.hub;
        if let Some(Ok(uid)) = who.filter(|_| known).map(|who| who.user.uid())
            && let Err(error) = hub.end_session(&uid, self.id).await
        {
            throttled!(warn, %error, "a session that is gone could not be taken out at once");
        }
        hub.unregister(self.id);
    }

    /// A line for its end, where there is to be one.
    fn log_end(&self) {
        let Some(life) = &self.life else { return };
        let (why, bytes) = match &self.outlet {
            Outlet::WebSocket(connection) => (connection.why(), Some(connection.bytes())),
            Outlet::Polling(_) | Outlet::Grpc(_) => (self.why.get().copied(), None),
        };
        life.tell(life::End {
            carriage: self.outlet.carriage(),
            address: Some(self.address),
            why: why.unwrap_or(Reason::ClosedByClient),
            bytes,
        });
    }

    fn uncount(&self) {
        if self.counted.swap(false, AcqRel) {
            let hub = &self.node.hub;
            hub.metrics.connections.carried(self.outlet.carriage()).dec();
            hub.closed();
        }
    }
}

/// As the inbox of its user sees it, in which nothing is said, and as the stores do.
impl Subscriber for Session {
    fn codec(&self) -> &'static dyn Codec {
        self.outlet.codec()
    }

    fn deliver(&self, _: Bytes) {}

    fn settled(&self, _: &[Settled]) {}

    fn evict(self: Arc<Self>) {
        self.close(Reason::Kickout);
    }

    fn revoke(self: Arc<Self>) {
        self.close(Reason::Revoked);
    }

    fn removed(self: Arc<Self>, _: &RoomId) {
        self.close(Reason::Removed);
    }

    fn refuse(self: Arc<Self>, why: Reason) {
        self.close(why);
    }

    fn drop_connection(&self, why: Reason) {
        self.close(why);
    }
}

/// Also when its task panics.
impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.node.sessions).remove(&self.id);
        self.uncount();
    }
}
