//! What a polling client posts. The engine gets none of it: its decoders (engineioxide-core 0.2.3)
//! take time that grows with the square of a body's packets, it answers whatever it is asked
//! without end, and it loses events that come right behind a CONNECT. Here a body is read
//! within bounds, and its packets are handled one after the other, as those of a WebSocket are in
//! [`super::websocket`]. The engine is told, by packets of our own, what it has to know: that the
//! client lives, connects to the namespace, leaves it, or goes.
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use socketioxide::ProtocolVersion;
use socketioxide_core::Sid;
use tokio::{sync::OwnedMutexGuard, task::coop::consume_budget};

use super::{
    AlwaysOnline,
    packet::{Kind, MOST_CONNECTS, Packet, Partial, no_such_namespace},
    payload::{self, Fault, Format},
    polling::{Place, Polling},
    query::Query,
    session::Session,
    transport::error,
};
use crate::reason::Reason;

/// Time that the body of a POST may take.
const BODY: Duration = Duration::from_secs(60);

/// Time that the engine may take to connect a client to the namespace, or to forget it there: it
/// needs none.
const SETTLED: Duration = Duration::from_secs(10);
/// Time after which a CONNECT that has had no effect is said again.
const AGAIN: Duration = Duration::from_millis(20);

/// Why no more of a body is handled.
enum Stop {
    /// The engine has the last word, or the session goes on without the rest.
    Answer(Response<Body>),
    /// The session ends, for this reason.
    Over(StatusCode, Reason),
}

const MALFORMED: Stop = Stop::Over(StatusCode::BAD_REQUEST, Reason::Malformed);
const TOO_MUCH: Stop = Stop::Over(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge);

/// A POST that is being handled.
struct Post {
    dialect: Arc<AlwaysOnline>,
    polling: Arc<Polling>,
    sid: Sid,
    protocol: ProtocolVersion,
    /// The turn to be handled, with a packet whose attachments are on their way.
    partial: OwnedMutexGuard<Option<Partial>>,
    /// The engine knows of this POST that the client lives.
    beaten: bool,
}

impl AlwaysOnline {
    /// Answers a POST. It waits, before and after, until its client may send more.
    pub(super) async fn post(
        self: &Arc<Self>,
        request: Request<Incoming>,
        query: &Query,
    ) -> Response<Body> {
        let binary = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/octet-stream");
        let (parts, body) = request.into_parts();
        // The engine judges the head: whether there is such a session, and it polls.
        let verdict = self.ask(Request::from_parts(parts, Full::<Bytes>::default())).await;
        let (StatusCode::OK, Some(sid)) = (verdict.status(), query.sid) else { return verdict };
        let Some(polling) = self.polling(sid) else { return verdict };
        if (query.eio == Some(4)) != polling.v4 {
            return error(StatusCode::BAD_REQUEST, "not the version of the session");
        }
        let (protocol, format) = match (query.eio, binary) {
            (Some(4), _) => (ProtocolVersion::V5, Format::V4),
            (_, true) => (ProtocolVersion::V4, Format::V3Binary),
            (_, false) => (ProtocolVersion::V4, Format::V3),
        };
        polling.readable().await;
        let body = match tokio::time::timeout(
            BODY,
            Limited::new(body, self.options.max_payload()).collect(),
        )
        .await
        {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_MUCH),
            Ok(Err(_)) => Err(MALFORMED),
            Err(_) => return error(StatusCode::REQUEST_TIMEOUT, "the body did not come"),
        };
        let partial = polling.turn.clone().lock_owned().await;
        let post = Post {
            dialect: self.clone(),
            polling: polling.clone(),
            sid,
            protocol,
            partial,
            beaten: false,
        };
        // In a task of its own: what has come whole is handled whole, also if its client goes away
        // meanwhile. The turn bounds that to one POST of a session.
        match self.hub.tasks.spawn(post.handle(body, format)).await {
            Ok(Ok(())) => {}
            Ok(Err(answer)) => return answer,
            Err(_) => return error(StatusCode::INTERNAL_SERVER_ERROR, "server error"),
        }
        polling.readable().await;
        verdict
    }
}

impl Post {
    /// Handles a body; the answer, where it is another one than the engine's.
    async fn handle(
        mut self,
        body: Result<Bytes, Stop>,
        format: Format,
    ) -> Result<(), Response<Body>> {
        let handled = match body {
            Ok(body) => self.body(&body, format).await,
            Err(stop) => Err(stop),
        };
        match handled {
            Ok(()) => Ok(()),
            Err(Stop::Answer(answer)) => Err(answer),
            Err(Stop::Over(status, why)) => {
                match self.polling.session() {
                    Some(session) => session.drop_client(why),
                    None => {
                        self.dialect.hub.metrics.dropped(why.label());
                        self.dialect.close_polling(self.sid, self.protocol);
                    }
                }
                Err(error(status, why.label()))
            }
        }
    }

    async fn body(&mut self, body: &[u8], format: Format) -> Result<(), Stop> {
        let decoded = payload::decode(body, format);
        // First: the events before it may have to wait for the store, for longer than a client may
        // be silent.
        if decoded
            .packets
            .iter()
            .any(|packet| matches!(packet, payload::Packet::Ping | payload::Packet::Pong))
        {
            self.beat().await?;
        }
        for packet in &decoded.packets {
            self.packet(packet).await?;
            if self.polling.is_behind(&self.dialect.options) {
                return Err(Stop::Over(StatusCode::BAD_REQUEST, Reason::Slow));
            }
            consume_budget().await; // others get their turn
        }
        match decoded.fault {
            None => Ok(()),
            Some(Fault::Malformed) => Err(MALFORMED),
            Some(Fault::TooMany) => Err(TOO_MUCH),
        }
    }

    /// Tells the engine a packet, as if the client had posted it.
    async fn tell(&self, packet: &str) -> Result<(), Stop> {
        let answer = self.dialect.post_for(self.sid, self.protocol, packet).await;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(Stop::Answer(answer)) }
    }

    async fn packet(&mut self, packet: &payload::Packet<'_>) -> Result<(), Stop> {
        use payload::Packet as P;
        match *packet {
            P::Message(text) => self.message(text).await,
            P::Binary(bytes) => self.attachment(bytes).await,
            P::Ping | P::Pong => self.beat().await,
            P::Close => {
                let answer = self.dialect.post_for(self.sid, self.protocol, "1").await;
                Err(Stop::Answer(answer))
            }
            P::Misplaced => Err(Stop::Answer(error(StatusCode::BAD_REQUEST, "not by polling"))),
        }
    }

    /// A sign of life. To one of version 3 the engine says a pong, and one that is still to be
    /// fetched is enough.
    async fn beat(&mut self) -> Result<(), Stop> {
        let known = match self.protocol {
            ProtocolVersion::V4 => self.polling.pong.swap(true, SeqCst),
            ProtocolVersion::V5 => std::mem::replace(&mut self.beaten, true),
        };
        if known {
            Ok(())
        } else {
            self.tell(if self.protocol == ProtocolVersion::V4 { "2" } else { "3" }).await
        }
    }

    /// A socket.io packet.
    async fn message(&mut self, text: &str) -> Result<(), Stop> {
        // Its attachments must follow a packet at once.
        let packet = Packet::parse(text).filter(|_| self.partial.is_none()).ok_or(MALFORMED)?;
        let ours = packet.namespace == "/";
        match packet.kind {
            Kind::Connect if ours => self.connect().await,
            Kind::Connect => {
                self.polling.say(no_such_namespace(packet.namespace));
                Ok(())
            }
            Kind::Event | Kind::Ack if packet.attachments > 0 => {
                *self.partial = Some(Partial::of(&packet).ok_or(MALFORMED)?);
                Ok(())
            }
            Kind::Disconnect | Kind::Event | Kind::Ack if !ours => Ok(()),
            Kind::Disconnect => self.leave().await,
            Kind::Event => self.event(packet.data, packet.ack, false).await,
            Kind::Ack => self.session().await.map(|_| ()),
        }
    }

    async fn attachment(&mut self, bytes: usize) -> Result<(), Stop> {
        let partial = self.partial.as_mut().ok_or(MALFORMED)?;
        if !partial.attach(bytes, self.dialect.options.max_payload()).ok_or(MALFORMED)? {
            return Ok(());
        }
        match self.partial.take().and_then(Partial::into_event) {
            Some((data, ack)) => self.event(&data, ack, true).await,
            None => Ok(()),
        }
    }

    /// The session, once there is one.
    async fn session(&self) -> Result<Option<Arc<Session>>, Stop> {
        match self.polling.place(SETTLED, |place| !matches!(place, Place::Connecting)).await {
            // Nothing: refused, and on its way out. What it says has no effect.
            Some(Place::Connected(session)) => Ok(session.upgrade()),
            Some(Place::Absent | Place::Connecting | Place::Leaving) | None => Err(MALFORMED),
        }
    }

    async fn event(&self, data: &str, ack: Option<i64>, binary: bool) -> Result<(), Stop> {
        if let Some(session) = self.session().await?.filter(|s| s.is_open()) {
            self.polling.readable().await;
            session.receive(data, ack, binary);
        }
        Ok(())
    }

    async fn connect(&self) -> Result<(), Stop> {
        let place = self.polling.place(SETTLED, |place| !matches!(place, Place::Leaving)).await;
        if let Some(Place::Connecting | Place::Connected(_)) = place {
            return Ok(()); // asked twice
        }
        let before = self.polling.connects.fetch_add(1, SeqCst);
        if before >= MOST_CONNECTS {
            return Err(Stop::Over(StatusCode::BAD_REQUEST, Reason::Flood));
        }
        self.polling.move_to(Place::Connecting);
        self.tell("40").await?;
        if before == 0 && self.protocol == ProtocolVersion::V5 {
            return Ok(()); // whoever needs the session waits for it
        }
        // The engine passes over a CONNECT while its task for the one before has not quite ended,
        // and says nothing of that.
        let repeating = async {
            while self
                .polling
                .place(AGAIN, |place| !matches!(place, Place::Connecting))
                .await
                .is_none()
            {
                self.tell("40").await?;
            }
            Ok(())
        };
        tokio::time::timeout(SETTLED, repeating).await.unwrap_or(Err(MALFORMED))
    }

    async fn leave(&self) -> Result<(), Stop> {
        self.session().await?;
        self.polling.move_to(Place::Leaving);
        self.tell("41").await
    }
}
