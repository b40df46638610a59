//! One client: a WebSocket of a user, who is known by the token in its URL.
//!
//! Its task, which reads, is in [`reader`]; what it is sent when it comes is in [`opening`]. A
//! room, the user's inbox, is the way to it from wherever, and [`Delivery`] decides what of that is
//! sent when. What comes from there is sent here, while the delivery is locked, so that nothing
//! passes anything else.
//!
//! A user has one socket, on all nodes together: the newest. The older one is closed with a code
//! that means "do not come back"; so is one whose token is wrong, or whose user an administrator
//! signs out, and nobody else ever.
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use self::in_flight::InFlight;
use super::{
    Wechat, frames,
    inbox::{
        self,
        delivery::{Delivery, Out},
    },
    token::Claims,
    users::User,
    wire,
};
use crate::{
    domain::{
        broker::Trim,
        ids::{BadName, ConnectionId, RoomId, Uid},
        life::{self, Life},
        subscriber::{Codec, Outcome, Settled, Subscriber},
    },
    lock::lock,
    metrics::{self, Carriage, Event},
    net::{Closing, Connection, websocket::frame},
    reason::{Kind, Label, Reason},
    throttle::throttled,
};

pub(super) use self::reader::serve;

mod allowance;
mod heard;
mod in_flight;
mod opening;
mod peers;
mod reader;

/// The close code after which a client does not come back. It comes back after any other, five
/// seconds later.
const STAY_AWAY: u16 = 4000;

/// The acknowledgement of frames whose loss its sender is told of.
const KEPT: i64 = 1;

/// Frames up to so many bytes are put into one write with the ping behind them; larger ones are not
/// copied for it.
const SMALL: usize = 4 << 10;

/// The user of this phone, to the core. No client of always-online is called so: it has
/// a control character that no uid there may have, and who could sign in there with it
/// would end this user's connection.
///
/// # Errors
/// Nobody can have such a phone.
pub(super) fn uid(phone: &str) -> Result<Uid, BadName> {
    Uid::stored(&format!("wechat\u{80}{phone}"))
}

/// Why a frame is not relayed, for metrics.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// It says another sender, or is for no contact.
    NotAllowed,
    /// So much waits for whom it is for that nothing more can.
    Full,
    Unavailable,
    Unknown,
}

impl Label for Failure {
    fn label(self) -> &'static str {
        match self {
            Failure::NotAllowed => "not allowed",
            Failure::Full => "inbox full",
            Failure::Unavailable => "store unavailable",
            Failure::Unknown => "outcome unknown",
        }
    }
}

/// One client, as its user's inbox sees it.
pub(super) struct Client {
    id: ConnectionId,
    wechat: Arc<Wechat>,
    connection: Arc<Connection>,
    /// Where its client is: behind a believed proxy that is no end of the connection.
    address: IpAddr,
    /// Its user. The inbox has the phone.
    uid: Uid,
    /// When its token was issued, in seconds since 1970.
    issued: u64,
    inbox: RoomId,
    delivery: Mutex<Delivery>,
    in_flight: InFlight,
    /// How often the user's contacts have changed.
    contacts: AtomicU64,
    /// They are being told, or were a moment ago.
    telling: AtomicBool,
    /// Its task has something to look at.
    nudged: AtomicBool,
    /// What the line about its end says, where there is to be one.
    life: Option<Box<Life>>,
}

impl Client {
    /// The client whose token says this, on a connection.
    ///
    /// # Errors
    /// Nobody can have such a phone.
    fn new(
        wechat: &Arc<Wechat>,
        connection: &Arc<Connection>,
        address: IpAddr,
        Claims { phone, issued }: &Claims,
    ) -> Result<Arc<Self>, BadName> {
        let (uid, inbox) = (uid(phone)?, inbox::room(phone)?);
        let id = wechat.hub.new_connection();
        wechat.hub.opened();
        wechat.hub.metrics.connections.carried(Carriage::Wechat).inc();
        let client = Arc::new(Client {
            id,
            wechat: wechat.clone(),
            connection: connection.clone(),
            address,
            uid,
            issued: *issued,
            inbox,
            delivery: Mutex::default(),
            in_flight: InFlight::default(),
            contacts: AtomicU64::new(0),
            telling: AtomicBool::new(false),
            nudged: AtomicBool::new(false),
            life: Life::begin(&wechat.hub),
        });
        if let Some(life) = &client.life {
            life.signed_in(&client.uid);
        }
        lock(&wechat.clients).insert(id, Arc::downgrade(&client));
        Ok(client)
    }

    fn phone(&self) -> &str {
        self.inbox.name()
    }

    /// Its user, if its token counts still.
    ///
    /// # Errors
    /// Why it can't stay.
    async fn user(&self) -> Result<User, Reason> {
        // What failed is in the log.
        let read = self.wechat.users.get(self.phone()).await;
        let user = read.map_err(|_| Reason::StoreUnavailable)?.map(|read| read.user);
        user.filter(|user| user.takes(self.issued)).ok_or(Reason::WrongCredentials)
    }

    /// Does it while the connection lasts. `None`: that has ended before.
    async fn while_it_lasts<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.connection.ended() => None,
        }
    }

    /// Closes the connection. Counted once.
    pub(super) fn drop_because(&self, why: Reason) {
        close(&self.wechat, &self.connection, why);
    }

    /// Has its task look at what has changed.
    fn nudge(&self) {
        self.nudged.store(true, Release);
        self.connection.wake_reader();
    }

    /// Whether it was nudged since it was asked.
    fn is_nudged(&self) -> bool {
        // Mostly it was not, and then nobody has to be told.
        self.nudged.load(Acquire) && self.nudged.swap(false, Acquire)
    }

    /// Does what the delivery says, which is locked meanwhile.
    fn send(&self, Out { frames, ping, contacts, unwatched }: Out) {
        if let Some(life) = &self.life {
            life.went(frame::payloads(&frames).count());
        }
        match ping {
            None if frames.is_empty() => {}
            None => self.connection.send(&frames),
            Some(number) if frames.len() <= SMALL => {
                let mut both = BytesMut::with_capacity(frames.len() + wire::NUMBER);
                both.extend_from_slice(&frames);
                wire::ping(&mut both, number);
                self.connection.send(&both.freeze());
            }
            Some(number) => {
                self.connection.send(&frames);
                self.ping(number);
            }
        }
        if contacts {
            self.contacts.fetch_add(1, Release);
        }
        if contacts || unwatched {
            self.nudge();
        }
    }

    fn ping(&self, number: u64) {
        let mut ping = BytesMut::with_capacity(wire::NUMBER);
        wire::ping(&mut ping, number);
        self.connection.send(&ping.freeze());
    }

    /// Relays a frame of its own to an inbox. What becomes of it is told by
    /// [`Subscriber::settled`].
    fn relay(self: &Arc<Self>, inbox: &RoomId, kind: frames::Kind, body: Bytes) {
        let bytes = body.len();
        self.in_flight.begin(bytes, || self.connection.hold_reading(true));
        let ack = match kind {
            frames::Kind::Message => Some(KEPT),
            frames::Kind::Signal => None,
        };
        let entry = inbox::entry(kind, body, None);
        self.wechat.hub.send(inbox, entry, bytes, self.clone(), ack);
    }

    /// Counts a frame that is not relayed.
    fn count_failure(&self, failure: Failure) {
        let outcome = match failure {
            Failure::NotAllowed | Failure::Full => metrics::Outcome::Refused,
            Failure::Unavailable | Failure::Unknown => metrics::Outcome::Failed,
        };
        let metrics = &self.wechat.hub.metrics;
        metrics.message_refused(failure);
        metrics.messages.handled(Event::Msg, outcome, 1);
    }

    /// Erases messages with a smaller index than this. False: that failed.
    async fn trim(&self, before: u64) -> bool {
        let trimmed = self.wechat.hub.trim(&self.inbox, Trim::Before(before)).await;
        if let Err(error) = &trimmed {
            throttled!(warn, %error, "messages that were delivered could not be erased yet");
        }
        trimmed.is_ok()
    }

    /// As [`Client::trim`], in a task of its own: reading goes on meanwhile.
    fn erase(self: &Arc<Self>, before: u64) {
        let client = self.clone();
        self.wechat.hub.tasks.spawn(async move {
            let done = client.trim(before).await;
            let mut delivery = lock(&client.delivery);
            delivery.has_erased(before, done, Instant::now());
            let more = delivery.rest().is_some();
            drop(delivery);
            if more {
                client.nudge();
            }
        });
    }

    /// A line for its end, where there is to be one.
    fn log_end(&self) {
        if let Some(life) = &self.life {
            life.tell(life::End {
                carriage: Carriage::Wechat,
                address: Some(self.address),
                why: self.connection.why().unwrap_or(Reason::ClosedByClient),
                bytes: Some(self.connection.bytes()),
            });
        }
    }
}

/// Closes a connection, and counts that, once.
fn close(wechat: &Wechat, connection: &Arc<Connection>, why: Reason) {
    if !connection.is_ended() {
        match why.kind() {
            Kind::Refused => wechat.hub.metrics.refused(why),
            Kind::Dropped => wechat.hub.metrics.dropped(why),
            Kind::Own => {}
        }
    }
    match code(why) {
        Some(code) => connection.close_with(code, why),
        None => connection.close(Closing::Graceful, why),
    }
}

/// The close code of this protocol; none where it has none of its own.
fn code(why: Reason) -> Option<u16> {
    let stays_away = matches!(why, Reason::WrongCredentials | Reason::Kickout | Reason::TurnedAway);
    stays_away.then_some(STAY_AWAY)
}

impl Subscriber for Client {
    fn codec(&self) -> &'static dyn Codec {
        &wire::Frames
    }

    fn deliver(&self, packets: Bytes) {
        let mut delivery = lock(&self.delivery);
        let out = delivery.deliver(packets, Instant::now());
        self.send(out);
    }

    /// The protocol has no acknowledgements. A client whose message is lost learns that something
    /// is wrong by the end of its connection, and comes back; of signalling nobody learns it.
    fn settled(&self, messages: &[Settled]) {
        let (mut done, mut bytes, mut lost) = (0, 0, false);
        for Settled { ack, bytes: size, outcome } in messages {
            bytes += size;
            let failure = match outcome {
                Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => {
                    done += 1;
                    continue;
                }
                Outcome::Unavailable | Outcome::Full => Failure::Unavailable,
                Outcome::Unknown | Outcome::Reused => Failure::Unknown,
            };
            lost |= *ack == Some(KEPT);
            self.count_failure(failure);
        }
        self.wechat.hub.metrics.messages.handled(Event::Msg, metrics::Outcome::Done, done);
        if lost {
            self.drop_because(Reason::StoreUnavailable);
        }
        self.in_flight.end(messages.len(), bytes, || self.connection.hold_reading(false));
    }

    fn evict(self: Arc<Self>) {
        self.drop_because(Reason::Kickout);
    }

    /// Tokens of this dialect are none of those that can be revoked.
    fn revoke(self: Arc<Self>) {
        self.drop_because(Reason::Revoked);
    }

    fn removed(self: Arc<Self>, _: &RoomId) {
        self.drop_because(Reason::Removed);
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
        lock(&self.wechat.clients).remove(&self.id);
        self.wechat.hub.metrics.connections.carried(Carriage::Wechat).dec();
        self.wechat.hub.closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::words::MESSAGE_REFUSALS;

    #[test]
    fn only_wrong_tokens_and_sockets_that_were_replaced_or_turned_away_stay_away() {
        for why in Reason::ALL {
            let words = ["wrong credentials", "kickout", "turned away"];
            let stays_away = words.contains(&why.label());
            assert_eq!(code(*why), stays_away.then_some(4000), "{why:?}");
        }
    }

    #[test]
    fn metrics_know_why_a_frame_is_not_relayed() {
        for failure in [Failure::NotAllowed, Failure::Full, Failure::Unavailable, Failure::Unknown]
        {
            assert!(MESSAGE_REFUSALS.contains(&failure.label()), "{failure:?}");
        }
    }

    #[test]
    fn a_user_is_known_to_the_core_by_its_phone() {
        assert_eq!(uid("111").unwrap().as_str(), "wechat\u{80}111");
        assert!(Uid::text(uid("111").unwrap().as_str()).is_err(), "nobody may be called so");
        assert!(uid("1\n").is_err());
    }
}
