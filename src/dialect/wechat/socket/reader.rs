//! The small task of one WebSocket: it finds out who its client is, has it sent what waits, and
//! then reads.
//!
//! What the client sends before all that is done stays where it is, in the connection, and is read
//! afterwards. The task listens to pongs and to a timer as well, which there is only while a ping
//! is out, or something is to be erased later.
use std::{
    future::poll_fn,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Acquire},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, future::join};
use tokio::{
    task::coop::consume_budget,
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::{
    Client, Failure,
    allowance::Allowance,
    close,
    heard::Heard,
    peers::{Peer, Peers, Refused},
};
use crate::{
    dialect::wechat::{MAX_MESSAGE, Wechat, frames, inbox::delivery::Line, token::Claims},
    domain::{
        clock::alphanumeric,
        error::StoreError,
        ids::SocketId,
        presence::{Claim, Departure, Roster, Visitor},
    },
    lock::lock,
    metrics::{self, Event, SignIn},
    net::{End, Message, Over, Stream, WebSocket},
    reason::Reason,
    throttle::throttled,
};

/// How often a user is claimed: each further time takes another revocation.
const CLAIMS: usize = 4;
/// Characters of a socket's public name.
const NAME: usize = 20;
/// How many frames more it costs to look up whether somebody is a contact.
const LOOK_UP: u32 = 10;
/// How long a client that says goodbye waits for the store at most.
const GOODBYE: Duration = Duration::from_secs(5);
/// Longest phone that is looked for, bytes. Users have shorter ones.
const LONGEST_PHONE: usize = 128;

/// The task of one client.
struct Reader {
    client: Arc<Client>,
    /// The store may have noted its session.
    claimed: bool,
    /// It is in its inbox.
    entered: bool,
    peers: Peers,
    allowance: Allowance,
    /// How often its contacts had changed when its client was told of them.
    told: u64,
    heard: Heard,
    /// What the last pong had in it.
    echo: Option<u64>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Serves a WebSocket until it is gone. A handshake that is not accepted yet is accepted now,
/// whatever the token is.
pub(in crate::dialect::wechat) async fn serve(
    wechat: Arc<Wechat>,
    token: String,
    address: IpAddr,
    stream: Stream,
) {
    let mut websocket = WebSocket::new(stream, MAX_MESSAGE);
    // What is only needed at the beginning, and at the end, takes no memory meanwhile.
    let client = Box::pin(let_in(wechat, token, address, &websocket)).await;
    let Some(client) = client else { return };
    let mut reader = Reader::new(client);
    let served = reader.serve(&mut websocket);
    let over = AssertUnwindSafe(served).catch_unwind().await;
    let over = over.unwrap_or(Err(Over::Because(Reason::Failure)));
    Box::pin(reader.end(over, websocket)).await;
}

/// The client that a token is of; none where that is told that it is not let in.
async fn let_in(
    wechat: Arc<Wechat>,
    token: String,
    address: IpAddr,
    websocket: &WebSocket,
) -> Option<Arc<Client>> {
    let connection = websocket.connection();
    let why = match sign_in(&wechat, &token).await {
        Ok(claims) => match Client::new(&wechat, connection, address, &claims) {
            Ok(client) => return Some(client),
            Err(_) => Reason::WrongCredentials,
        },
        Err(why) => why,
    };
    let is_wrong = why == Reason::WrongCredentials;
    let word = if is_wrong { "wrong token" } else { "store unavailable" };
    wechat.hub.metrics.sign_in_refused(word);
    close(&wechat, connection, why);
    None
}

/// What the token of a user says.
async fn sign_in(wechat: &Wechat, token: &str) -> Result<Claims, Reason> {
    let claims = wechat.keys.verify(token, wechat.hub.clock.unix());
    let claims = claims.map_err(|_| Reason::WrongCredentials)?;
    match wechat.users.get(&claims.phone).await {
        Ok(Some(read)) if read.user.takes(claims.issued) => Ok(claims),
        Ok(Some(_) | None) => Err(Reason::WrongCredentials),
        Err(_) => Err(Reason::StoreUnavailable), // it is in the log
    }
}

impl Reader {
    fn new(client: Arc<Client>) -> Self {
        Reader {
            client,
            claimed: false,
            entered: false,
            peers: Peers::default(),
            allowance: Allowance::default(),
            told: 0,
            heard: Heard::default(),
            echo: None,
            timer: None,
        }
    }

    /// Serves it until its end, which is never `Ok`.
    async fn serve(&mut self, websocket: &mut WebSocket) -> Result<(), Over> {
        Box::pin(self.arrive()).await?;
        self.read(websocket).await
    }

    /// It is over.
    async fn end(self, over: Result<(), Over>, websocket: WebSocket) {
        let client = &self.client;
        // It may have come just before the end.
        if let Some(echo) = websocket.echo() {
            lock(&client.delivery).pong(echo, Instant::now());
        }
        match over {
            // A connection that is gone, or that we have closed, ends with its stream.
            Ok(()) | Err(Over::Gone) => {}
            Err(Over::Closed(code)) => {
                // Once it has its answer it may come back, and is not to be sent all that again.
                // And what it has said before is not to be lost without a word.
                let settled = join(client.in_flight.settled(), self.erase_rest());
                let _ = timeout(GOODBYE, settled).await;
                client.connection.answer_close(code);
            }
            Err(Over::Because(why)) => client.drop_because(why),
        }
        client.log_end();
        drop(websocket);
        self.leave().await;
    }

    /// Makes it its user's socket, and sends it what is for it.
    async fn arrive(&mut self) -> Result<(), Over> {
        let client = self.client.clone();
        // Before the store knows of it: what a store knows and its node does not is ended.
        client.wechat.hub.register(client.id, client.clone());
        self.claim().await?;
        // It was good when the token was looked at. Looked at once more, now that this socket is
        // its user's: who takes tokens back from now on finds it, and ends it.
        client.user().await?;
        let visitor = Visitor {
            connection: client.id,
            uid: client.uid.clone(),
            hidden: true,
            wants_roster: false,
            guest: false,
            socket: None,
            checked: None,
        };
        // Its client is answered by what waits.
        let answer = Box::new(|_: &Result<Roster, StoreError>| {});
        let hub = &client.wechat.hub;
        let entered = hub.enter(&client.inbox, visitor, client.clone(), answer).await;
        entered.ok_or(Reason::StoreUnavailable)?;
        self.entered = true;
        client.while_it_lasts(client.open()).await.ok_or(Over::Gone)??;
        hub.metrics.signed_in(SignIn::Jwt);
        Ok(())
    }

    /// An older socket of the user is evicted, wherever it is. A revocation is none of its token,
    /// so there is nothing to be checked again.
    async fn claim(&mut self) -> Result<(), Over> {
        let (hub, client) = (&self.client.wechat.hub, &self.client);
        let name = alphanumeric(&*hub.rng, NAME).unwrap_or_else(|_| client.id.0.to_string());
        let name = SocketId(name.into());
        let mut checked = hub.revocations();
        self.claimed = true;
        for _ in 0..CLAIMS {
            match hub.claim(&client.uid, client.id, &name, Some(checked)).await {
                Ok(Claim::Made(_)) => return Ok(()),
                Ok(Claim::CheckAgain(now)) => checked = now,
                Err(error) => {
                    // Nothing was changed, or that is not known.
                    self.claimed = !matches!(error, StoreError::Unavailable(_));
                    throttled!(warn, %error, "a client can't be let in; it has to come back");
                    return Err(Over::Because(Reason::StoreUnavailable));
                }
            }
        }
        Err(Over::Because(Reason::StoreUnavailable))
    }

    /// Erases what has arrived.
    async fn erase_rest(&self) {
        let arrived = lock(&self.client.delivery).rest();
        if let Some(before) = arrived {
            let done = self.client.trim(before).await;
            lock(&self.client.delivery).has_erased(before, done, Instant::now());
        }
    }

    /// Erases what has arrived, and takes it out of its inbox.
    async fn leave(&self) {
        self.erase_rest().await;
        let (hub, client) = (&self.client.wechat.hub, &self.client);
        if self.entered {
            let _ = hub.depart(&client.inbox, client.id, Departure::Gone).await; // so is this
        }
        if self.claimed
            && let Err(error) = hub.end_session(&client.uid, client.id).await
        {
            throttled!(warn, %error, "a session could not be ended");
        }
        hub.unregister(client.id);
    }

    /// Reads until the end, which is never `Ok`.
    async fn read(&mut self, websocket: &mut WebSocket) -> Result<(), Over> {
        loop {
            let next = self.next(websocket).await?;
            self.attend(websocket.echo())?;
            if let Some(message) = next {
                self.message(message).await?;
            }
            consume_budget().await;
        }
    }

    /// The next message; none where there is something else to look at.
    async fn next(&mut self, websocket: &mut WebSocket) -> Result<Option<Message>, End> {
        let Reader { client, timer, echo, .. } = self;
        poll_fn(|cx| {
            // Dropped at once, which loses nothing.
            let polled = pin!(websocket.next()).poll(cx);
            if let Poll::Ready(next) = polled {
                return Poll::Ready(next.map(Some));
            }
            // By now whoever nudges wakes this task.
            if websocket.echo() != *echo || client.is_nudged() {
                return Poll::Ready(Ok(None));
            }
            if timer.is_none() {
                *timer = lock(&client.delivery).watch().map(|due| Box::pin(sleep_until(due)));
            }
            if let Some(sleep) = timer
                && sleep.as_mut().poll(cx).is_ready()
            {
                *timer = None;
                lock(&client.delivery).unwatch();
                return Poll::Ready(Ok(None));
            }
            Poll::Pending
        })
        .await
    }

    /// Looks at pongs, at the time, and at the user's contacts.
    fn attend(&mut self, echo: Option<u64>) -> Result<(), Over> {
        self.echo = echo;
        if let Some(before) = self.look(Instant::now())? {
            self.client.erase(before);
        }
        let version = self.client.contacts.load(Acquire);
        if version != self.told && self.client.tell_contacts() {
            self.told = version;
        }
        Ok(())
    }

    /// Sends the ping that is due. Returns up to where messages are to be erased now.
    fn look(&mut self, now: Instant) -> Result<Option<u64>, Over> {
        let Reader { client, heard, echo, .. } = self;
        let connection = &client.connection;
        let line = || {
            let (received, _) = connection.bytes();
            let line = heard.line(received);
            let unread = line.unread || connection.is_unread();
            Line { unread, unsent: connection.backlog() > 0, ..line }
        };
        let mut delivery = lock(&client.delivery);
        let answered = echo.and_then(|echo| delivery.pong(echo, now));
        let late = delivery.look(now, line).map_err(|_| Reason::PingTimeout)?;
        if let Some(number) = answered.or(late) {
            client.ping(number);
        }
        Ok(delivery.erase(now))
    }

    async fn message(&mut self, message: Message) -> Result<(), Over> {
        self.heard.message = true;
        if let Some(life) = &self.client.life {
            life.came();
        }
        let body = frames::body(message);
        self.pay(1, body.len()).await;
        let Some(relay) = frames::read(&body) else {
            let messages = &self.client.wechat.hub.metrics.messages;
            messages.handled(Event::Other, metrics::Outcome::Ignored, 1);
            return Ok(());
        };
        let (kind, peer) = (relay.kind, self.peer(&relay).await?);
        // While it waited its user may have been signed out, or have got a newer socket.
        if self.client.connection.is_ended() {
            return Err(Over::Gone);
        }
        match peer.inbox(kind) {
            Ok(inbox) => self.client.relay(inbox, kind, body),
            Err(Refused::Stranger) => self.client.count_failure(Failure::NotAllowed),
            Err(Refused::Full) => self.client.count_failure(Failure::Full),
        }
        Ok(())
    }

    /// Returns when the client may send so much more: whatever comes of it.
    async fn pay(&mut self, frames: u32, bytes: usize) {
        if let Some(until) = self.allowance.charge(frames, bytes, Instant::now()) {
            self.heard.much = true;
            Box::pin(sleep_until(until)).await;
        }
    }

    /// What the sender of a frame may send to whom it is for.
    async fn peer(&mut self, relay: &frames::Relay<'_>) -> Result<Peer, Over> {
        let phone = self.client.phone();
        if relay.from != phone || relay.to == phone || relay.to.len() > LONGEST_PHONE {
            return Ok(Peer::Stranger);
        }
        let version = self.client.contacts.load(Acquire);
        match self.peers.get(&relay.to, version, Instant::now()) {
            Some(known) => Ok(known),
            None => Box::pin(self.look_up(&relay.to, version)).await,
        }
    }

    /// As [`Reader::peer`], where that is not known.
    async fn look_up(&mut self, phone: &str, version: u64) -> Result<Peer, Over> {
        self.pay(LOOK_UP, 0).await;
        // However long the store takes: a pong may be behind it.
        self.heard.much = true;
        let found = self.client.find(phone).await;
        let now = Instant::now();
        match found {
            Ok(peer) => {
                self.peers.note(phone, peer.clone(), version, now);
                Ok(peer)
            }
            Err(why) => self.peers.renew(phone, version, now).ok_or(why.into()),
        }
    }
}
