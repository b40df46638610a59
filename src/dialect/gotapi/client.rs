//! One WebSocket: a small task that reads, pings and ends it. What goes out takes its
//! [`Connection`].
use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};

use super::{
    Gotapi,
    frame::Frame,
    heartbeat::{Beat, Heard, Heartbeat},
    in_flight::InFlight,
    path::{Place, room},
    questions::Verdict,
    wire,
};
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
    net::{Closing, Connection, Message, Over, WebSocket, websocket::frame},
    reason::{Label, Reason},
    throttle::throttled,
    trace::{self, Span},
};

/// Messages that are read before a client's answer to a ping counts as missing.
const CATCH_UP: usize = 256;
/// Between two texts of `/timer`.
const SECOND: Duration = Duration::from_secs(1);
/// The answers to a handshake while the store is out, and where a hook does not let it in.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\r\n";
const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\r\n";
/// How a client of `/` says which room it wants.
const JOIN: &[u8] = b"join:";

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

/// Where a client is.
enum Here {
    Lobby,
    Timer {
        /// When the next text is due.
        next: Instant,
    },
    Room(Arc<Room>),
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

    /// Sends a message into the room, if a hook allows it, where one is asked now: it may be another
    /// one than for the message before. What the client sends behind it waits meanwhile, so its
    /// order is kept. One that may not be sent is not acknowledged.
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
        let visitor =
            Visitor { connection: self.id, uid, hidden: true, wants_roster: false, guest: true };
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
            hub.depart(room, self.id, Departure::Gone).await;
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

/// The task of one client.
struct Reader {
    client: Arc<Client>,
    here: Here,
    heart: Heartbeat,
}

/// Serves a client until it is gone, and takes it out of its room. `answer` accepts its handshake;
/// nothing where that is accepted already.
pub(super) async fn serve(
    client: Arc<Client>,
    place: Place,
    mut websocket: WebSocket,
    answer: Option<Bytes>,
) {
    let mut reader = Reader {
        here: match place {
            Place::Timer => Here::Timer { next: Instant::now() + SECOND },
            Place::Lobby | Place::Room(_) => Here::Lobby,
        },
        heart: Heartbeat::begin(Instant::now()),
        client: client.clone(),
    };
    let served = async {
        match (&place, answer) {
            (Place::Room(room), answer) => reader.arrive(room, answer).await?,
            (Place::Lobby | Place::Timer, Some(answer)) => client.connection.send(&answer),
            (Place::Lobby | Place::Timer, None) => {}
        }
        reader.read(&mut websocket).await
    };
    let over = AssertUnwindSafe(served).catch_unwind().await;
    match over.unwrap_or(Err(Over::Because(Reason::Failure))) {
        // A connection that is gone, or that we have closed, ends with its stream.
        Ok(()) | Err(Over::Gone) => {}
        Err(Over::Closed(code)) => client.connection.answer_close(code),
        Err(Over::Because(why)) => client.drop_because(why),
    }
    client.log_end();
    drop(websocket);
    client
        .leave(match &reader.here {
            Here::Room(room) => Some(&room.id),
            Here::Lobby | Here::Timer { .. } => None,
        })
        .await;
}

impl Reader {
    /// Enters the room that the client's URL names. Where that fails its handshake is refused.
    async fn arrive(&mut self, room: &RoomId, answer: Option<Bytes>) -> Result<(), Over> {
        let answered = answer.is_none();
        let arrived = self.join(room, answer).await;
        if let Err(over) = arrived
            && !answered
        {
            let is_refused =
                matches!(over, Over::Because(Reason::RefusedByHook | Reason::DroppedByHook));
            let (status, refusal) = if is_refused { (403, FORBIDDEN) } else { (503, REFUSAL) };
            throttled!(info, status, address = %self.client.address, "a handshake was refused");
            self.client.connection.close_without_a_word();
            self.client.connection.send(&Bytes::from_static(refusal));
        }
        arrived
    }

    async fn join(&mut self, room: &RoomId, answer: Option<Bytes>) -> Result<(), Over> {
        Span::begin("join", trace::Kind::Server).within(self.join_traced(room, answer)).await
    }

    async fn join_traced(&mut self, room: &RoomId, answer: Option<Bytes>) -> Result<(), Over> {
        let (gotapi, address) = (self.client.gotapi.clone(), self.client.address);
        match gotapi.may_enter(self.client.id, address, room).await {
            Verdict::Yes(_) => {}
            Verdict::No => return Err(Over::Because(Reason::RefusedByHook)),
            Verdict::End(why) => return Err(Over::Because(why)),
            Verdict::Failed => return Err(Over::Because(Reason::StoreUnavailable)),
        }
        let entered = self.client.enter(room, answer).await;
        let entered = entered.ok_or(Over::Because(Reason::StoreUnavailable))?;
        self.here = Here::Room(entered);
        // Nobody listened while the store was asked.
        self.heart = Heartbeat::begin(Instant::now());
        Ok(())
    }

    /// Reads until the end, which is never `Ok`.
    async fn read(&mut self, websocket: &mut WebSocket) -> Result<(), Over> {
        let mut timer = pin!(sleep_until(self.due()));
        loop {
            // In no order: neither a client that never pauses nor one that is silent keeps the
            // other from its turn.
            tokio::select! {
                message = websocket.next() => self.message(message?).await?,
                () = &mut timer => self.late(websocket).await?,
            }
            if timer.deadline() != self.due() {
                timer.as_mut().reset(self.due());
            }
            consume_budget().await;
        }
    }

    /// When something has to happen if nothing comes.
    fn due(&self) -> Instant {
        match self.here {
            Here::Timer { next } => next.min(self.heart.due()),
            Here::Lobby | Here::Room(_) => self.heart.due(),
        }
    }

    async fn message(&mut self, message: Message) -> Result<(), Over> {
        if let Some(life) = &self.client.life {
            life.came();
        }
        let (text, body) = match message {
            Message::Text(text) => (true, Bytes::from(text)),
            Message::Binary(body) => (false, body),
        };
        match &self.here {
            Here::Room(room) => self.client.send(room, body).await?,
            Here::Timer { .. } => {}
            Here::Lobby => {
                let name = body.strip_prefix(JOIN).filter(|_| text);
                let name = name.and_then(|name| std::str::from_utf8(name).ok());
                if let Some(Ok(room)) = name.map(room) {
                    self.join(&room, None).await?;
                }
            }
        }
        Ok(())
    }

    /// The timer fired, perhaps for something that has come since.
    async fn late(&mut self, websocket: &mut WebSocket) -> Result<(), Over> {
        let connection = self.client.connection.clone();
        if let Here::Timer { next } = &mut self.here
            && Instant::now() >= *next
        {
            *next = (*next + SECOND).max(Instant::now());
            connection.send(&wire::text(&self.client.gotapi.hub.clock.unix().to_string()));
        }
        if Instant::now() < self.heart.due() {
            return Ok(());
        }
        // What came while nobody listened counts.
        let mut all = false;
        for _ in 0..CATCH_UP {
            match websocket.next().now_or_never() {
                Some(message) => self.message(message?).await?,
                None => {
                    all = !connection.is_unread();
                    break;
                }
            }
        }
        match self.heart.beat(Instant::now(), Heard { pongs: websocket.pongs(), all }) {
            Beat::Rest => Ok(()),
            Beat::Ping => {
                connection.send(&Bytes::from_static(wire::PING));
                Ok(())
            }
            Beat::Lost => Err(Over::Because(Reason::PingTimeout)),
        }
    }
}
