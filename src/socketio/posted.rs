//! What a polling client posts. The engine gets none of it ([`super::engine`]). Here a body is read
//! within bounds, and its packets are handled one after the other, as those of a WebSocket are in
//! [`super::websocket`]. The engine is told, by packets of our own, what it has to know: that the
//! client lives, has connected, or goes.
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use socketioxide_core::Sid;
use tokio::{
    sync::OwnedMutexGuard,
    task::coop::consume_budget,
    time::{Instant, sleep},
};

use super::{
    SocketIo, Version,
    carrier::{Carrier, Polling},
    dispatch::{Dispatcher, Done},
    http::{error, mismatch},
    packet,
    payload::{self, Fault, Format},
    query::Query,
};
use crate::reason::Reason;

/// Time that the body of a POST may take.
const BODY: Duration = Duration::from_secs(60);

/// Why no more of a body is handled.
enum Stop {
    /// The engine has the last word, or the session goes on without the rest.
    Answer(Response<Body>),
    /// The session ends, for this reason.
    Over(StatusCode, Reason),
}

impl From<Reason> for Stop {
    fn from(why: Reason) -> Self {
        let why = if why == Reason::TooLarge { Reason::Malformed } else { why };
        Stop::Over(StatusCode::BAD_REQUEST, why)
    }
}

const MALFORMED: Stop = Stop::Over(StatusCode::BAD_REQUEST, Reason::Malformed);
const FLOOD: Stop = Stop::Over(StatusCode::TOO_MANY_REQUESTS, Reason::Flood);
const TOO_MUCH: Stop = Stop::Over(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge);

/// A POST that is being handled.
struct Post {
    io: Arc<SocketIo>,
    carrier: Arc<Carrier>,
    polling: Arc<Polling>,
    sid: Sid,
    /// The turn to be handled.
    dispatcher: OwnedMutexGuard<Option<Dispatcher>>,
    /// The engine knows of this POST that the client lives.
    beaten: bool,
    /// How long it may still be paused: a client that waits for its answer can't say that it lives.
    patience: Duration,
}

impl SocketIo {
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
        let known = query.sid.and_then(|sid| Some((sid, self.carrier(sid)?)));
        // A POST that has begun goes before an upgrade; what begins behind that comes too late.
        let polling = known.as_ref().and_then(|(_, carrier)| carrier.polls());
        let under_way = match &polling {
            Some(polling) => Some(polling.posts.clone().read_owned().await),
            None => None,
        };
        if known.as_ref().is_some_and(|(_, c)| c.polls().is_none() && !c.is_over()) {
            return mismatch();
        }
        // The engine judges the head: whether there is such a session.
        let mut verdict = self.ask(Request::from_parts(parts, Full::<Bytes>::default())).await;
        // It knows none any more that has just become a WebSocket; this POST goes before that.
        if verdict.status() != StatusCode::OK
            && polling.is_some()
            && known.as_ref().is_some_and(|(_, c)| c.polls().is_none() && !c.is_over())
        {
            verdict = Response::new(Body::from("ok"));
        }
        let (StatusCode::OK, Some((sid, carrier)), Some(polling)) =
            (verdict.status(), known, polling)
        else {
            return verdict;
        };
        if query.version() != carrier.version {
            return error(StatusCode::BAD_REQUEST, "not the version of the session");
        }
        let format = match (carrier.version, binary) {
            (Version::V4, _) => Format::V4,
            (Version::V3, true) => Format::V3Binary,
            (Version::V3, false) => Format::V3,
        };
        polling.flow().await;
        let body = match tokio::time::timeout(
            BODY,
            Limited::new(body, self.options.max_payload).collect(),
        )
        .await
        {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_MUCH),
            Ok(Err(_)) => Err(MALFORMED),
            Err(_) => return error(StatusCode::REQUEST_TIMEOUT, "the body did not come"),
        };
        let dispatcher = polling.dispatcher.clone().lock_owned().await;
        let post = Post {
            io: self.clone(),
            carrier,
            polling: polling.clone(),
            sid,
            dispatcher,
            beaten: false,
            patience: self.options.ping_timeout / 2,
        };
        // In a task of its own: what has come whole is handled whole, also if its client goes away
        // meanwhile. The turn bounds that to one POST of a session.
        let handled = self.tasks.spawn(async move {
            let handled = post.handle(body, format).await;
            (handled, under_way)
        });
        // It is under way until it is answered: its client waits for that before it goes on.
        let _under_way = match handled.await {
            Ok((Ok(()), under_way)) => under_way,
            Ok((Err(answer), _)) => return answer,
            Err(_) => return error(StatusCode::INTERNAL_SERVER_ERROR, "server error"),
        };
        polling.flow().await;
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
                self.carrier.drop_session(why);
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
        let is_message =
            |p: &_| matches!(p, payload::Packet::Message(_) | payload::Packet::Binary(_));
        if decoded.packets.iter().any(is_message) {
            self.settle().await?;
        }
        for packet in decoded.packets {
            self.packet(packet).await?;
            if self.polling.is_behind(self.io.options.backlog) {
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

    /// Tells the engine a packet, as if the client had posted it. Not of a session that has become
    /// a WebSocket meanwhile.
    async fn tell(&self, packet: &str) -> Result<(), Stop> {
        if self.carrier.polls().is_none() {
            return Ok(());
        }
        let answer = self.io.post_for(self.sid, self.carrier.version, packet).await;
        if answer.status() == StatusCode::OK || self.carrier.polls().is_none() {
            Ok(())
        } else {
            Err(Stop::Answer(answer))
        }
    }

    async fn packet(&mut self, packet: payload::Packet<'_>) -> Result<(), Stop> {
        use payload::Packet as P;
        match packet {
            P::Message(text) => {
                self.polling.flow().await;
                self.pause(text.len()).await;
                let dispatcher = self.dispatcher.as_mut().ok_or(MALFORMED)?;
                let done = dispatcher.packet(text)?;
                self.done(done).await
            }
            P::Binary(bytes) => {
                self.polling.flow().await;
                self.pause(bytes.len()).await;
                let dispatcher = self.dispatcher.as_mut().ok_or(MALFORMED)?;
                Ok(dispatcher.attachment(bytes)?)
            }
            P::Ping | P::Pong => self.beat().await,
            P::Close if self.carrier.polls().is_none() => {
                self.carrier.close_if(|| true, None, Reason::ClosedByClient);
                Ok(())
            }
            P::Close => {
                let answer = self.io.post_for(self.sid, self.carrier.version, "1").await;
                self.carrier.engine_ended(Reason::ClosedByClient);
                Err(Stop::Answer(answer))
            }
            P::Misplaced => Err(Stop::Answer(error(StatusCode::BAD_REQUEST, "not by polling"))),
        }
    }

    /// A packet of so many bytes has come. A client that sends faster than it may waits for the
    /// answer to its POST, but not so long that it would count as gone. What it has not waited for
    /// it owes, and the next POST with messages has to [`settle`](Self::settle) that.
    async fn pause(&mut self, bytes: usize) {
        if let Some(until) = self.polling.charge(bytes) {
            self.rest(until.saturating_duration_since(Instant::now()).min(self.patience)).await;
        }
    }

    /// Waits for what its client owes of earlier POSTs. It ends the session where that would take
    /// longer than a POST may wait: else a client that sends one large POST after the other would
    /// be bounded by nothing.
    async fn settle(&mut self) -> Result<(), Stop> {
        let Some(until) = self.polling.owed() else { return Ok(()) };
        let pause = until.saturating_duration_since(Instant::now());
        if pause > self.patience {
            return Err(FLOOD);
        }
        self.rest(pause).await;
        Ok(())
    }

    async fn rest(&mut self, pause: Duration) {
        if !pause.is_zero() {
            self.patience -= pause;
            self.io.metrics.slowed();
            sleep(pause).await;
        }
    }

    /// What the engine has to know of it.
    async fn done(&mut self, done: Done) -> Result<(), Stop> {
        match done {
            Done::Connected if self.carrier.version == Version::V4 => {
                if self.polling.admitted.swap(true, SeqCst) {
                    Ok(())
                } else {
                    self.tell("40").await
                }
            }
            Done::Left => {
                let patience = self.io.options.connect_timeout;
                self.carrier.close_unless_connected(&self.polling, patience);
                Ok(())
            }
            Done::Connected | Done::Other => Ok(()),
        }
    }

    /// A sign of life. To one of version 3 the engine says a pong, and one that is still to be
    /// fetched is enough.
    async fn beat(&mut self) -> Result<(), Stop> {
        match self.carrier.version {
            Version::V4 if std::mem::replace(&mut self.beaten, true) => Ok(()),
            Version::V4 => self.tell("3").await,
            Version::V3 => {
                let known = self.polling.pong.swap(true, SeqCst);
                if self.carrier.polls().is_none() {
                    self.carrier.send(&packet::text_frame("3"));
                    return Ok(());
                }
                if known { Ok(()) } else { self.tell("2").await }
            }
        }
    }
}
