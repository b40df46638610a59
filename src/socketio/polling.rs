//! What a polling client fetches: its handshake and its polls. The engine holds a poll that there
//! is no answer to; what is in our own queue ends it, and goes with the answer. Dropping a poll
//! that the engine holds loses nothing, as it takes nothing out of its queue before it has an
//! answer (engineioxide 0.17.9).
use std::sync::{Arc, atomic::Ordering::SeqCst};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use socketioxide_core::Sid;

use super::{
    SocketIo, Version,
    carrier::{self, Carrier, Polling},
    dispatch::{Dispatcher, Handshake},
    engine,
    http::{error, mismatch},
    lock, payload,
    query::Query,
};
use crate::net::{admission::Admission, connection::Begun, meter::Meter, websocket::frame::Opcode};

/// What a session has from its first request.
pub(super) struct Begin {
    /// What a namespace may read of it.
    pub handshake: Option<Box<Handshake>>,
    pub place: Begun,
    pub meter: Option<Box<Meter>>,
    pub admission: Arc<Admission>,
}

impl SocketIo {
    /// Answers a client's poll, or a request that is none.
    pub(super) async fn poll(&self, request: Request<Incoming>, query: &Query) -> Response<Body> {
        if *request.method() != Method::GET {
            return self.ask(request).await;
        }
        match query.sid {
            None => self.ask(request).await, // no session can have this name
            Some(sid) => match self.carrier(sid) {
                None => self.ask(request).await,
                Some(carrier) if carrier.version != query.version() => {
                    error(StatusCode::BAD_REQUEST, "not the version of the session")
                }
                Some(carrier) => match carrier.polls() {
                    Some(polling) => {
                        let (parts, _) = request.into_parts();
                        self.fetch(&carrier, &polling, &parts).await
                    }
                    None if carrier.is_over() => self.ask(request).await,
                    // It is a WebSocket by now.
                    None => mismatch(),
                },
            },
        }
    }

    /// A handshake. An old client is connected with it.
    pub(super) async fn open(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        query: &Query,
        Begin { handshake, place, meter, admission }: Begin,
    ) -> Response<Body> {
        let session = Arc::new(engine::Session::default());
        request.extensions_mut().insert(session.clone());
        let response = self.ask(request).await;
        if response.status() != StatusCode::OK {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "server error");
        };
        let Some(sid) = opened(&body) else {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "server error");
        };
        let polling = Polling::new(!query.base64, place, meter, admission, self.metrics.clone());
        let carrier = Carrier::polling(self, query.version(), polling.clone());
        carrier.name(sid);
        let mut dispatcher = Dispatcher::new(carrier.clone(), handshake);
        let mut slot = polling.dispatcher.lock().await;
        if carrier.version == Version::V3 {
            let _ = dispatcher.connect("/", "", "");
        }
        *slot = Some(dispatcher);
        drop(slot);
        lock(&self.polled).insert(sid, Arc::downgrade(&carrier));
        session.is(&carrier);
        Response::from_parts(parts, Body::from(body))
    }

    /// A poll.
    async fn fetch(
        &self,
        carrier: &Carrier,
        polling: &Polling,
        poll: &request::Parts,
    ) -> Response<Body> {
        loop {
            let response = tokio::select! {
                biased;
                // First: it says whether this may poll at all.
                response = self.ask(again(poll)) => Some(response),
                () = polling.something() => None,
            };
            let asked = response.is_some();
            let said = match response {
                Some(response) if response.status() != StatusCode::OK => return response,
                Some(response) => match response.into_body().collect().await {
                    Ok(body) => body.to_bytes(),
                    Err(_) => return error(StatusCode::INTERNAL_SERVER_ERROR, "server error"),
                },
                None => Bytes::new(),
            };
            let ended = asked && said.is_empty(); // its session is over
            let mut packets = Vec::new();
            for packet in payload::packets(&said, carrier.version) {
                match packet.as_bytes() {
                    [b'4', ..] => continue, // its own CONNECT: ours is in our queue
                    b"2" => polling.pinged(),
                    b"3" => polling.pong.store(false, SeqCst),
                    _ => {}
                }
                packets.push((Opcode::Text, packet.as_bytes()));
            }
            let taken = polling.take(self.options.max_payload);
            packets.extend(carrier::packets(&taken));
            // With something real a noop is not needed.
            if packets.len() > 1 {
                packets.retain(|(_, packet)| *packet != b"6");
            }
            if packets.is_empty() {
                // Nothing, to the Swift client of version 16, would be an error.
                if !polling.is_ending() && !ended {
                    continue;
                }
                packets.push((Opcode::Text, b"6"));
            }
            return answer(payload::encode(&packets, carrier.version, polling.takes_binary));
        }
    }
}

/// A poll that may be asked once more.
fn again(poll: &request::Parts) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = poll.uri.clone();
    request
}

fn answer(encoded: payload::Encoded) -> Response<Body> {
    let kind =
        if encoded.binary { "application/octet-stream" } else { "text/plain; charset=UTF-8" };
    let mut response = Response::new(Body::from(encoded.body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The session id that an open packet gives.
fn opened(body: &[u8]) -> Option<Sid> {
    std::str::from_utf8(body).ok()?.split_once(r#""sid":""#)?.1.split('"').next()?.parse().ok()
}
