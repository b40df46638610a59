//! A client on a WebSocket: engine.io 3 and 4 over it. One small task reads; what goes out takes
//! the connection. Whether it began so or was upgraded from polling ([`super::upgrade`]) makes no
//! difference but at the beginning.
//!
//! engine.io: <https://socket.io/docs/v4/engine-io-protocol/>; version 3 differs here in who pings,
//! and in the first byte of a binary message. Its clients are connected without being asked.
use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    SocketIo, Version,
    carrier::Carrier,
    dispatch::{Dispatcher, Handshake},
    heart::Heart,
    packet, payload,
};
use crate::{
    net::{Closing, Connection, End, Message, Over, Stream, WebSocket},
    reason::{Kind as Ending, Reason},
};

/// Messages that are read before a client counts as late.
const CATCH_UP: usize = 256;
/// engine.io's pong, as a frame.
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
    heart: Arc<Heart>,
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
    let mut client = Client::new(io, connection, version, dispatcher, Instant::now());
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
    /// It was last sent a ping `at` this time, or is as good as if it had been.
    pub(super) fn new(
        io: Arc<SocketIo>,
        connection: Arc<Connection>,
        version: Version,
        dispatcher: Dispatcher,
        at: Instant,
    ) -> Self {
        Client {
            heart: io.hearts.watch(&connection, version, at),
            io,
            connection,
            version,
            dispatcher,
            upgraded: false,
            why: Reason::ClosedByClient,
        }
    }

    /// It polled before.
    pub(super) fn upgraded(mut self) -> Self {
        self.upgraded = true;
        self
    }

    /// Serves it until it is gone. Both are borrowed, as a future has room for its arguments twice.
    pub(super) async fn run(&mut self, websocket: &mut WebSocket) {
        let mut over = Ok(());
        let mut timer = None;
        while over.is_ok() {
            self.set(&mut timer);
            let (heart, dispatcher) = (&self.heart, &self.dispatcher);
            let late = poll_fn(|cx| match &mut timer {
                _ if heart.is_late() || dispatcher.is_stale() => Poll::Ready(()),
                Some(timer) => timer.as_mut().poll(cx),
                None => Poll::Pending,
            });
            // In no order: neither a client that never pauses nor one that is silent keeps the
            // other from its turn.
            over = tokio::select! {
                message = websocket.next() => self.message(message),
                () = late => {
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

    /// Sets the timer for what has to come by then. Most clients have none most of the time.
    fn set(&mut self, timer: &mut Option<Pin<Box<Sleep>>>) {
        match (self.dispatcher.due(), &mut *timer) {
            (None, _) => *timer = None,
            (Some((due, _)), None) => *timer = Some(Box::pin(sleep_until(due))),
            (Some((due, _)), Some(timer)) if timer.deadline() != due => timer.as_mut().reset(due),
            (Some(_), Some(_)) => {}
        }
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

    /// Something did not come in time, or has come since.
    fn late(&mut self) -> Result<(), Over> {
        if let Some((due, why)) = self.dispatcher.due()
            && Instant::now() >= due
        {
            return Err(why.into());
        }
        if self.heart.is_late() {
            // Where we do not listen it may well be alive.
            if self.io.hearts.is_dead(&self.heart) && !self.connection.is_unread() {
                return Err(Reason::PingTimeout.into());
            }
            self.heart.goes_on();
        }
        Ok(())
    }

    /// An engine.io packet.
    fn text(&mut self, text: &str) -> Result<(), Over> {
        if self.version == Version::V3 {
            self.io.hearts.heard(&self.heart);
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
                    Version::V4 => self.io.hearts.heard(&self.heart),
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
