//! One client: what it sends into its room, and what goes out to it, by its [`Connection`]. Its
//! task is in [`reader`].
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Bytes, BytesMut};

use super::{Gotapi, frame::Frame, in_flight::InFlight, questions::Verdict, wire};
use crate::{
    domain::{
        broker::{Audience, Entry},
        error::StoreError,
        ids::{ConnectionId, RoomId},
        life::{self, Life},
        message::{Kind, Message as Sent},
        presence::{Departure, Roster, Visitor},
        room::Room,
        subscriber::{Codec, Outcome, Settled, Subscriber},
    },
    lock::lock,
    metrics::{self, Carriage, Event},
    net::{Closing, Connection, Over, websocket::frame},
    reason::{Label, Reason},
    throttle::throttled,
    trace::{self, Span},
};

pub(super) use self::reader::serve;

mod reader;

/// Why a message is not acknowledged, for metrics.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Unavailable,
    Full,
    Unknown,
    /// A hook says so.
    NotAllowed,
    /// A hook gives no valid answer.
    NoVerdict,
}

impl Label for Failure {
    fn label(self) -> &'static str {
        match self {
            Failure::Unavailable => "store unavailable",
            Failure::Full => "too many updates",
            Failure::Unknown => "outcome unknown",
            Failure::NotAllowed => "not allowed",
            Failure::NoVerdict => "hook failed",
        }
    }
}

impl Failure {
    /// What became of the message, for those who count.
    fn outcome(self) -> metrics::Outcome {
        match self {
            Failure::Full | Failure::NotAllowed => metrics::Outcome::Refused,
            Failure::Unavailable | Failure::Unknown | Failure::NoVerdict => {
                metrics::Outcome::Failed
            }
        }
    }
}

/// One client, as its room sees it.
pub(super) struct Client {
    id: ConnectionId,
    gotapi: Arc<Gotapi>,
    connection: Arc<Connection>,
    /// Where its client is, in questions: behind a believed proxy it is no end of the connection.
    address: IpAddr,
    in_flight: InFlight,
    /// The store may have noted it.
    noted: AtomicBool,
    /// What the line about its end says, where there is to be one.
    life: Option<Box<Life>>,
}

impl Client {
    pub(super) fn new(
        gotapi: &Arc<Gotapi>,
        connection: Arc<Connection>,
        address: IpAddr,
    ) -> Arc<Self> {
        let id = gotapi.hub.new_connection();
        gotapi.hub.opened();
        gotapi.hub.metrics.connections.carried(Carriage::Gotapi).inc();
        let client = Arc::new(Client {
            id,
            gotapi: gotapi.clone(),
            connection,
            address,
            in_flight: InFlight::default(),
            noted: AtomicBool::new(false),
            life: Life::begin(&gotapi.hub),
        });
        lock(&gotapi.clients).insert(id, Arc::downgrade(&client));
        client
    }

    /// Closes the connection so that the client comes back. Counted once.
    pub(super) fn drop_because(&self, why: Reason) {
        if !self.connection.is_ended() {
            self.gotapi.hub.metrics.dropped(why);
        }
        self.connection.close(Closing::Graceful, why);
    }

    /// Sends a message into the room, if a hook allows it, where one is asked now: it may be
    /// another one than for the message before. What the client sends behind it waits meanwhile, so
    /// its order is kept. One that may not be sent is not acknowledged.
    async fn send(self: &Arc<Self>, room: &Arc<Room>, body: Bytes) -> Result<(), Over> {
        let Some(sorted) = sort(&body) else { return Ok(()) };
        let span = Span::begin("msg", trace::Kind::Server);
        let asking = self.gotapi.may_send(self.id, self.address, &room.id, body);
        let failure = match span.within(asking).await {
            Verdict::Yes(body) => {
                span.during(|| self.hand_over(room, sorted, body));
                return Ok(());
            }
            Verdict::End(why) => return Err(Over::Because(why)),
            Verdict::No => Failure::NotAllowed,
            Verdict::Failed => Failure::NoVerdict,
        };
        let metrics = &self.gotapi.hub.metrics;
        metrics.message_refused(failure);
        metrics.messages.handled(Event::Msg, failure.outcome(), 1);
        Ok(())
    }

    /// What became of it is told by [`Subscriber::settled`].
    fn hand_over(self: &Arc<Self>, room: &Arc<Room>, (kind, uuid): Sorted, body: Bytes) {
        let bytes = body.len();
        let hold = || self.connection.hold_reading(true);
        let ack = self.in_flight.begin(bytes, uuid.clone(), hold);
        let entry = entry(Some(self.id), kind, uuid, body);
        room.send(entry, bytes, self.clone(), ack);
    }

    /// Enters a room. `answer` is sent once that has worked, before anything that happens there.
    async fn enter(self: &Arc<Self>, room: &RoomId, answer: Option<Bytes>) -> Option<Arc<Room>> {
        let uid = self.gotapi.uid(self.id).ok()?;
        // Before the store knows of it: what a store knows and its node does not is ended.
        self.gotapi.hub.register_guest(self.id, self.clone());
        self.noted.store(true, Ordering::Relaxed);
        let visitor = Visitor {
            connection: self.id,
            uid,
            hidden: true,
            wants_roster: false,
            guest: true,
            socket: None,
            checked: None,
        };
        let here = self.clone();
        let answer = move |entered: &Result<Roster, StoreError>| {
            match (entered, answer) {
                (Ok(_), Some(answer)) => here.connection.send(&answer),
                // Nothing was changed. Each that comes during an outage would be owed an end.
                (Err(StoreError::Unavailable(_)), _) => here.noted.store(false, Ordering::Relaxed),
                (Ok(_), None) | (Err(StoreError::OutcomeUnknown(_)), _) => {}
            }
        };
        self.gotapi.hub.enter(room, visitor, self.clone(), Box::new(answer)).await
    }

    /// Sends it messages or acknowledgements, and counts them for the line about its end.
    fn send_counted(&self, frames: &Bytes) {
        if let Some(life) = &self.life {
            life.went(frame::payloads(frames).count());
        }
        self.connection.send(frames);
    }

    /// A line for its end, where there is to be one.
    fn log_end(&self) {
        if let Some(life) = &self.life {
            life.tell(life::End {
                carriage: Carriage::Gotapi,
                address: Some(self.address),
                why: self.connection.why().unwrap_or(Reason::ClosedByClient),
                bytes: Some(self.connection.bytes()),
            });
        }
    }

    /// Takes it out of its room, if it is in one, and has the store forget it.
    async fn leave(&self, room: Option<&RoomId>) {
        let hub = &self.gotapi.hub;
        if let Some(room) = room {
            let _ = hub.depart(room, self.id, Departure::Gone).await; // a failure is in the log
        }
        if self.noted.load(Ordering::Relaxed)
            && let Ok(uid) = self.gotapi.uid(self.id)
            && let Err(error) = hub.end_session(&uid, self.id).await
        {
            throttled!(warn, %error, "a connection could not be ended in the store yet");
        }
        hub.unregister(self.id);
    }
}

/// What becomes of a message, and its uuid where it gets an acknowledgement.
type Sorted = (Kind, Option<Arc<str>>);

/// Tells that; nothing where the message has no effect.
pub(super) fn sort(body: &[u8]) -> Option<Sorted> {
    match Frame::read(body) {
        Frame::LowLevel => Some((Kind::Ignore, None)),
        Frame::HighLevel { uuid } => Some((Kind::Insert, Some(uuid))),
        Frame::Ignored => None,
    }
}

/// A message as rooms take it. The uuid is its key; an empty one is none, as it tells nothing. No
/// message passes another: a sender's order is kept whether they are stored or not.
pub(super) fn entry(
    from: Option<ConnectionId>,
    kind: Kind,
    uuid: Option<Arc<str>>,
    body: Bytes,
) -> Entry {
    Entry::Message {
        from,
        audience: from.map_or(Audience::All, Audience::ExceptConnection),
        message: Sent { kind, body, key: uuid.filter(|uuid| !uuid.is_empty()), may_pass: false },
        receipt: None,
    }
}

impl Subscriber for Client {
    fn codec(&self) -> &'static dyn Codec {
        &wire::Frames
    }

    fn deliver(&self, packets: Bytes) {
        self.send_counted(&packets);
    }

    /// A message that could not be stored is not acknowledged: the client sends it again.
    fn settled(&self, messages: &[Settled]) {
        let (metrics, mut done) = (&self.gotapi.hub.metrics, messages.len());
        let mut acks = BytesMut::new();
        let mut sent = self.in_flight.sent();
        for Settled { ack, bytes, outcome } in messages {
            let uuid = sent.end(*bytes, *ack);
            let failure = match outcome {
                Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => None,
                Outcome::Unavailable => Some(Failure::Unavailable),
                Outcome::Full => Some(Failure::Full),
                Outcome::Unknown | Outcome::Reused => Some(Failure::Unknown),
            };
            match (failure, uuid) {
                (None, Some(uuid)) => wire::ack(&mut acks, &uuid),
                (None, None) => {}
                (Some(failure), _) => {
                    done -= 1;
                    metrics.message_refused(failure);
                    metrics.messages.handled(Event::Msg, failure.outcome(), 1);
                }
            }
        }
        drop(sent);
        metrics.messages.handled(Event::Msg, metrics::Outcome::Done, done);
        if !acks.is_empty() {
            self.send_counted(&acks.freeze());
        }
        self.in_flight.resume(|| self.connection.hold_reading(false));
    }

    /// Its room is all that it is here for.
    fn removed(self: Arc<Self>, _: &RoomId) {
        self.drop_because(Reason::Removed);
    }

    // Nobody signs in here, so none of these is ever asked for. A connection that the store has
    // lost is dropped.
    fn evict(self: Arc<Self>) {
        self.drop_because(Reason::Kickout);
    }

    fn revoke(self: Arc<Self>) {
        self.refuse(Reason::Revoked);
    }

    fn refuse(self: Arc<Self>, why: Reason) {
        self.drop_because(why);
    }

    fn drop_connection(&self, why: Reason) {
        self.drop_because(why);
    }
}

/// Also when its task panics.
impl Drop for Client {
    fn drop(&mut self) {
        lock(&self.gotapi.clients).remove(&self.id);
        self.gotapi.hub.metrics.connections.carried(Carriage::Gotapi).dec();
        self.gotapi.hub.closed();
    }
}
