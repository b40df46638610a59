//! A client on a WebSocket: engine.io 3 and 4 over it. One small task reads; what goes out takes
//! the connection. Whether it began so or was upgraded from polling ([`super::upgrade`]) makes no
//! difference but at the beginning.
//!
//! engine.io: <https://socket.io/docs/v4/engine-io-protocol/>; version 3 differs here in who pings,
//! and in the first byte of a binary message. Its clients are connected without being asked.
use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};

use super::{
    SocketIo, Version,
    carrier::Carrier,
    dispatch::{Dispatcher, Handshake},
    packet, payload,
};
use crate::{
    net::{Closing, Connection, End, Message, Over, Stream, WebSocket},
    reason::{Kind as Ending, Reason},
};

/// Messages that are read before a client counts as late.
const CATCH_UP: usize = 256;
/// Frames of engine.io's ping and pong.
const PING: &[u8] = &[0x81, 1, b'2'];
const PONG: &[u8] = &[0x81, 1, b'3'];

impl Over {
    /// Ends the connection accordingly.
    pub(super) fn end(self, connection: &Arc<Connection>) {
        match self {
            // It ends with its stream.
            Over::Gone => {}
            Over::Closed(code) => connection.answer_close(code),
            Over::Because(why) => connection.close(Closing::Graceful, why),
        }
    }
}

/// What the client sent is no packet, or has no place here.
const MALFORMED: Over = Over::Because(Reason::Malformed);

pub(super) struct Client {
    io: Arc<SocketIo>,
    connection: Arc<Connection>,
    version: Version,
    dispatcher: Dispatcher,
    /// When the next ping is to be sent, or must have come.
    beat: Instant,
    /// Version 4: a ping of ours is unanswered.
    pinged: bool,
    /// Version 3: the client last gave a sign of life.
    heard: Instant,
    /// It polled before: what it could not post any more comes as it would have been posted.
    upgraded: bool,
    /// Why it ends, for its clients.
    why: Reason,
}

/// Serves a client that begins as a WebSocket, until it is gone. No `async fn`, whose future would
/// have room for what it is given beside what it makes of that.
pub(super) fn serve(
    io: Arc<SocketIo>,
    version: Version,
    handshake: Option<Box<Handshake>>,
    stream: Stream,
) -> impl Future<Output = ()> + Send {
    let mut websocket = WebSocket::new(stream, io.options.max_payload);
    let connection = websocket.connection().clone();
    let carrier = Carrier::websocket(&io, version, &connection);
    carrier.send(&packet::text_frame(&open(&io, &carrier.sid())));
    let mut dispatcher = Dispatcher::new(carrier, handshake);
    if version == Version::V3 {
        let _ = dispatcher.connect(packet::ROOT, "", "");
    }
    let mut client = Client::new(io, connection, version, dispatcher);
    async move { client.run(&mut websocket).await }
}

/// The open packet.
fn open(io: &SocketIo, sid: &str) -> String {
    format!(
        r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        io.options.ping_interval.as_millis(),
        io.options.ping_timeout.as_millis(),
        io.options.max_payload,
    )
}

/// Also when its task panics.
impl Drop for Client {
    fn drop(&mut self) {
        self.dispatcher.end(self.why);
    }
}

impl Client {
    pub(super) fn new(
        io: Arc<SocketIo>,
        connection: Arc<Connection>,
        version: Version,
        dispatcher: Dispatcher,
    ) -> Self {
        let now = Instant::now();
        let mut client = Client {
            io,
            connection,
            version,
            dispatcher,
            beat: now,
            pinged: false,
            heard: now,
            upgraded: false,
            why: Reason::ClosedByClient,
        };
        client.beat = client.next_beat(now);
        client
    }

    /// It polled before, and was last sent a ping then.
    pub(super) fn upgraded(mut self, pinged: Instant) -> Self {
        self.upgraded = true;
        if self.version == Version::V4 {
            self.beat = self.next_beat(pinged);
        }
        self
    }

    /// Serves it until it is gone. Both are borrowed, as a future has room for its arguments twice.
    pub(super) async fn run(&mut self, websocket: &mut WebSocket) {
        let mut over = Ok(());
        let mut timer = pin!(sleep_until(self.due()));
        while over.is_ok() {
            // In no order: neither a client that never pauses nor one that is silent keeps the
            // other from its turn.
            over = tokio::select! {
                message = websocket.next() => self.message(message),
                () = &mut timer => {
                    // What came while nobody listened counts.
                    let mut come = Ok(());
                    for _ in 0..CATCH_UP {
                        match websocket.next().now_or_never() {
                            Some(message) if come.is_ok() => come = self.message(message),
                            Some(_) | None => break,
                        }
                    }
                    come.and_then(|()| self.late())
                }
            };
            if timer.deadline() != self.due() {
                timer.as_mut().reset(self.due());
            }
            consume_budget().await;
        }
        if let Err(over) = over {
            if let Over::Because(why) = over {
                self.why = why;
                if why.kind() == Ending::Dropped && !self.connection.is_ended() {
                    self.io.metrics.dropped(why);
                }
            }
            over.end(&self.connection);
        }
    }

    /// How long the heart may rest: to the next ping of ours, or of the client.
    fn patience(&self) -> Duration {
        let options = &self.io.options;
        match self.version {
            Version::V3 => options.ping_interval + options.ping_timeout,
            Version::V4 => options.ping_interval,
        }
    }

    /// When the next ping is to be sent, or must have come, if the last one came `at` that time.
    fn next_beat(&self, at: Instant) -> Instant {
        let due = at + self.patience();
        match self.version {
            Version::V3 => due,
            Version::V4 => self.io.beat(due),
        }
    }

    /// When something has to happen if nothing comes.
    fn due(&self) -> Instant {
        self.dispatcher.due().map_or(self.beat, |(due, _)| due.min(self.beat))
    }

    fn message(&mut self, message: Result<Message, End>) -> Result<(), Over> {
        match message? {
            Message::Text(text) => self.text(text.as_str()),
            Message::Binary(bytes) => {
                // In version 3 a binary message begins with its kind, a byte.
                let attachment = match self.version {
                    Version::V3 if bytes.first() == Some(&4) => bytes.slice(1..),
                    Version::V3 | Version::V4 => bytes,
                };
                Ok(self.dispatcher.attachment(attachment)?)
            }
        }
    }

    /// A timer fired, perhaps for something that has come since.
    fn late(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        if let Some((due, why)) = self.dispatcher.due()
            && now >= due
        {
            return Err(why.into());
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
            Version::V4 if held && self.pinged => self.beat = now + self.io.options.ping_timeout,
            Version::V4 if !self.pinged => {
                self.pinged = true;
                self.beat = now + self.io.options.ping_timeout;
                self.connection.send(&Bytes::from_static(PING));
            }
            Version::V3 | Version::V4 => return Err(Reason::PingTimeout.into()),
        }
        Ok(())
    }

    /// An engine.io packet.
    fn text(&mut self, text: &str) -> Result<(), Over> {
        if self.version == Version::V3 {
            self.heard = Instant::now();
        }
        match text.as_bytes() {
            [b'4', ..] => {
                self.dispatcher.packet(&text[1..])?;
                Ok(())
            }
            b"2probe" | b"3probe" => Err(MALFORMED), // words of an upgrade
            [b'2' | b'3', ..] => {
                match self.version {
                    Version::V3 => self.connection.send(&Bytes::from_static(PONG)),
                    Version::V4 if self.pinged => {
                        self.pinged = false;
                        self.beat = self.next_beat(Instant::now());
                    }
                    Version::V4 => {}
                }
                Ok(())
            }
            b"1" => Err(Reason::ClosedByClient.into()),
            // What the Swift client could not post any more when it was upgraded: attachments as
            // text, and a noop where a POST was under way.
            [b'b', ..] if self.upgraded => {
                let attachment = payload::attachment(self.version, text).ok_or(MALFORMED)?;
                Ok(self.dispatcher.attachment(attachment)?)
            }
            b"6" if self.upgraded => Ok(()),
            _ => Err(MALFORMED),
        }
    }
}
