//! A client that begins as a WebSocket: engine.io 3 and 4 and socket.io over it, without
//! socketioxide, whose queue, tasks and timers are most of what a connection costs
//! (docs/PERFORMANCE.md). One small task reads; what goes out takes the connection.
//!
//! engine.io: <https://socket.io/docs/v4/engine-io-protocol/>; version 3 differs here in who pings, and in the first byte of a binary
//! message. socket.io: <https://socket.io/docs/v4/socket-io-protocol/>; its protocol 4 (socket.io 2) connects without being asked.
use std::{pin::pin, sync::Arc, time::Duration};

use super::{
    AlwaysOnline,
    carrier::ByWebSocket,
    packet::{Kind, MOST_CONNECTS, Packet, Partial, no_such_namespace},
    session::Session,
    wire,
};
use crate::net::{Broken, Closing, Connection, End, Message, Stream, WebSocket};
use crate::reason::{Kind as Ending, Reason};
use crate::socketio::{Client as _, Socket};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use socketioxide_core::Sid;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};

/// Messages that are read before a client counts as late.
const CATCH_UP: usize = 256;

/// The version of engine.io that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// socket.io 1 and 2: the client pings.
    V3,
    /// socket.io 3 and later: the server pings.
    V4,
}

/// It is over with the connection.
enum Over {
    /// It broke, or we have closed it.
    Gone,
    /// The client sent a Close frame, with this code.
    Closed(Option<u16>),
    /// We close it.
    Because(Reason),
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Over::Because(match broken {
            Broken::Frame => Reason::Malformed,
            Broken::Text => Reason::NotUtf8,
            Broken::TooLarge => Reason::TooLarge,
        })
    }
}

/// What the client sent is no packet, or has no place here.
const MALFORMED: Over = Over::Because(Reason::Malformed);

struct Client {
    dialect: Arc<AlwaysOnline>,
    connection: Arc<Connection>,
    version: Version,
    sid: Sid,
    /// Once it is connected to the namespace, and until it leaves.
    session: Option<(Arc<Session>, Socket)>,
    partial: Option<Box<Partial>>,
    /// How often it has connected to the namespace.
    connects: usize,
    /// When the next ping is to be sent, or must have come.
    beat: Instant,
    /// Version 4: a ping of ours is unanswered.
    pinged: bool,
    /// Version 3: the client last gave a sign of life.
    heard: Instant,
    /// When it must have connected to the namespace, while it is not.
    connect_by: Instant,
}

/// Serves the client until it is gone.
pub(super) async fn serve(dialect: Arc<AlwaysOnline>, version: Version, stream: Stream) {
    let mut websocket = WebSocket::new(stream, dialect.options.max_payload());
    let now = Instant::now();
    let connection = websocket.connection().clone();
    let mut client = Client {
        beat: now,
        connect_by: now + dialect.options.auth_timeout,
        dialect,
        connection,
        version,
        sid: Sid::new(),
        session: None,
        partial: None,
        connects: 0,
        pinged: false,
        heard: now,
    };
    client.beat = now + client.patience();
    let mut over = client.open();
    let mut timer = pin!(sleep_until(client.due()));
    while over.is_ok() {
        // In no order: neither a client that never pauses nor one that is silent keeps the other
        // from its turn.
        over = tokio::select! {
            message = websocket.next() => client.message(message),
            () = &mut timer => {
                // What came while nobody listened counts.
                let mut come = Ok(());
                for _ in 0..CATCH_UP {
                    match websocket.next().now_or_never() {
                        Some(message) if come.is_ok() => come = client.message(message),
                        Some(_) | None => break,
                    }
                }
                come.and_then(|()| client.late())
            }
        };
        if timer.deadline() != client.due() {
            timer.as_mut().reset(client.due());
        }
        consume_budget().await;
    }
    match over {
        // A connection that is gone, or that we have closed, ends with its stream.
        Ok(()) | Err(Over::Gone) => {}
        Err(Over::Closed(code)) => client.connection.answer_close(code),
        Err(Over::Because(why)) => {
            if why.kind() == Ending::Dropped && !client.connection.is_ended() {
                client.dialect.hub.metrics.dropped(why.label());
            }
            client.connection.close(Closing::Graceful, why);
        }
    }
}

/// Also when its task panics.
impl Drop for Client {
    fn drop(&mut self) {
        self.depart();
    }
}

impl Client {
    /// How long the heart may rest: to the next ping of ours, or of the client.
    fn patience(&self) -> Duration {
        let options = &self.dialect.options;
        match self.version {
            Version::V3 => options.ping_interval + options.ping_timeout,
            Version::V4 => options.ping_interval,
        }
    }

    /// When something has to happen if nothing comes.
    fn due(&self) -> Instant {
        let attachments = self.partial.as_ref().map(|p| p.due());
        let connect = self.session.is_none().then_some(self.connect_by);
        self.beat.min(attachments.unwrap_or(self.beat)).min(connect.unwrap_or(self.beat))
    }

    fn send(&self, text: &str) {
        let mut frame = BytesMut::new();
        wire::text(&mut frame, text);
        self.connection.send(&frame.freeze());
    }

    /// The open packet. An old client is connected with it.
    fn open(&mut self) -> Result<(), Over> {
        let options = &self.dialect.options;
        self.send(&format!(
            r#"0{{"sid":"{}","upgrades":[],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            self.sid,
            options.ping_interval.as_millis(),
            options.ping_timeout.as_millis(),
            options.max_payload(),
        ));
        match self.version {
            Version::V3 => self.connect(),
            Version::V4 => Ok(()),
        }
    }

    fn message(&mut self, message: Result<Message, End>) -> Result<(), Over> {
        match message {
            Ok(Message::Text(text)) => self.text(text.as_str()),
            Ok(Message::Binary(bytes)) => self.binary(&bytes),
            Err(End::Gone) => Err(Over::Gone),
            Err(End::Closed(code)) => Err(Over::Closed(code)),
            Err(End::Broken(broken)) => Err(broken.into()),
        }
    }

    /// A timer fired, perhaps for something that has come since.
    fn late(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        if self.partial.as_ref().is_some_and(|p| p.is_late()) {
            return Err(MALFORMED);
        }
        if self.session.is_none() && now >= self.connect_by {
            return Err(Over::Because(Reason::NotConnected));
        }
        if now < self.beat {
            return Ok(());
        }
        // We do not listen: it may well be alive.
        let held = self.connection.is_held();
        match self.version {
            Version::V3 if held => self.beat = now + self.patience(),
            Version::V3 if now < self.heard + self.patience() => {
                self.beat = self.heard + self.patience()
            }
            Version::V4 if held && self.pinged => {
                self.beat = now + self.dialect.options.ping_timeout
            }
            Version::V4 if !self.pinged => {
                self.pinged = true;
                self.beat = now + self.dialect.options.ping_timeout;
                self.connection.send(&Bytes::from_static(wire::PING));
            }
            Version::V3 | Version::V4 => return Err(Over::Because(Reason::PingTimeout)),
        }
        Ok(())
    }

    /// An engine.io packet.
    fn text(&mut self, text: &str) -> Result<(), Over> {
        if self.version == Version::V3 {
            self.heard = Instant::now();
        }
        match text.as_bytes() {
            [b'4', ..] => self.packet(&text[1..]),
            b"2probe" | b"3probe" => Err(MALFORMED), // words of an upgrade
            [b'2' | b'3', ..] => {
                match self.version {
                    Version::V3 => self.connection.send(&Bytes::from_static(wire::PONG)),
                    Version::V4 if self.pinged => {
                        self.pinged = false;
                        self.beat = Instant::now() + self.patience();
                    }
                    Version::V4 => {}
                }
                Ok(())
            }
            b"1" => Err(Over::Because(Reason::ClosedByClient)),
            _ => Err(MALFORMED),
        }
    }

    /// A socket.io packet.
    fn packet(&mut self, text: &str) -> Result<(), Over> {
        // Its attachments must follow a packet at once.
        let packet = Packet::parse(text).filter(|_| self.partial.is_none()).ok_or(MALFORMED)?;
        let ours = packet.namespace == "/";
        match packet.kind {
            Kind::Connect if ours => self.connect(),
            Kind::Connect => {
                self.send(&no_such_namespace(packet.namespace));
                Ok(())
            }
            Kind::Event | Kind::Ack if packet.attachments > 0 => {
                self.partial =
                    Some(Box::new(Partial::of(&packet).ok_or(Over::Because(Reason::TooLarge))?));
                Ok(())
            }
            Kind::Disconnect | Kind::Event | Kind::Ack if !ours => Ok(()),
            Kind::Disconnect | Kind::Event | Kind::Ack if self.session.is_none() => Err(MALFORMED),
            Kind::Disconnect => {
                self.depart();
                // As long as a new client has.
                self.connect_by = Instant::now() + self.dialect.options.auth_timeout;
                Ok(())
            }
            Kind::Event => self.event(packet.data, packet.ack, false),
            Kind::Ack => Ok(()),
        }
    }

    /// An attachment.
    fn binary(&mut self, bytes: &Bytes) -> Result<(), Over> {
        let partial = self.partial.as_mut().ok_or(MALFORMED)?;
        if !partial
            .attach(bytes.len(), self.dialect.options.max_payload())
            .ok_or(Over::Because(Reason::TooLarge))?
        {
            return Ok(());
        }
        match self.partial.take().and_then(|p| p.into_event()) {
            Some((data, ack)) => self.event(&data, ack, true),
            None => Ok(()),
        }
    }

    fn event(&mut self, data: &str, ack: Option<i64>, binary: bool) -> Result<(), Over> {
        match &self.session {
            Some((session, _)) => {
                session.receive(data, ack, binary);
                Ok(())
            }
            None => Err(MALFORMED),
        }
    }

    /// It connects to the namespace: its session begins.
    fn connect(&mut self) -> Result<(), Over> {
        if self.session.is_some() {
            return Ok(()); // asked twice
        }
        self.connects += 1;
        if self.connects > MOST_CONNECTS {
            return Err(Over::Because(Reason::Flood));
        }
        let id = self.dialect.hub.new_connection();
        let carrier = ByWebSocket { connection: self.connection.clone(), owner: id.0 };
        let socket = Socket::new(Arc::new(carrier), self.dialect.hub.metrics.clone());
        let Ok(session) = Session::begin(&self.dialect, id, socket.clone(), None) else {
            self.send(r#"44{"message":"server error"}"#);
            return Ok(());
        };
        self.connection.give_to(id.0);
        match self.version {
            Version::V3 => self.send("40"),
            Version::V4 => self.send(&format!(r#"40{{"sid":"{}"}}"#, self.sid)),
        }
        session.clone().connected();
        self.session = Some((session, socket));
        Ok(())
    }

    /// It leaves the namespace, or is gone: its session ends.
    fn depart(&mut self) {
        if let Some((session, socket)) = self.session.take() {
            self.connection.give_to(0);
            socket.has_gone();
            session.gone(Reason::ClosedByClient);
        }
    }
}
