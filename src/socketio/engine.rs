//! socketioxide, which does for a polling client what is not ours: its handshake, the polls that
//! wait, heartbeats, and the end of who stays away. A client that connects does so in a namespace
//! of its, `/`, which tells when the client is gone.
//!
//! It gets none of what clients post but what it has to know ([`super::posted`]), and nothing of
//! ours to send ([`super::carrier`]): its decoders (engineioxide-core 0.2.3) take time that grows
//! with the square of a body's packets, its queue can't be looked into, and an upgrade of its own
//! (engineioxide 0.17.9) loses the packet that an answer to a poll had no room for.
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, OnceLock, Weak},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::Service;
use socketioxide::{
    SocketIo as Oxide, adapter::LocalAdapter, handler::FromConnectParts, service::SocketIoService,
    socket::Socket,
};
use socketioxide_core::{Sid, Value};

use super::{Options, SocketIo, Version, carrier::Carrier, http::error};
use crate::reason::Reason;

/// The engine's HTTP service.
pub(super) type Engine = SocketIoService<engineioxide::service::NotFoundService>;

/// Packets that the engine queues for a client: pings, pongs, and its own CONNECT.
const ENGINE_QUEUE: usize = 1_024;

/// Lies among the extensions of a session's handshake, and so is dropped with the engine's session.
#[derive(Default)]
pub(super) struct Session(OnceLock<Weak<Carrier>>);

impl Session {
    pub(super) fn is(&self, carrier: &Arc<Carrier>) {
        let _ = self.0.set(Arc::downgrade(carrier));
    }

    fn ended(&self) {
        if let Some(carrier) = self.0.get().and_then(Weak::upgrade) {
            carrier.engine_ended(Reason::ClosedByClient);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.ended();
    }
}

/// The socket that connects, itself.
struct Connecting(Arc<Socket>);

impl FromConnectParts<LocalAdapter> for Connecting {
    type Error = Infallible;
    fn from_connect_parts(socket: &Arc<Socket>, _: &Option<Value>) -> Result<Self, Infallible> {
        Ok(Connecting(socket.clone()))
    }
}

/// The engine.
pub(super) fn build(options: &Options) -> Engine {
    let (service, io) = Oxide::builder()
        .req_path("/socket.io")
        .max_buffer_size(ENGINE_QUEUE)
        .max_payload(options.max_payload as u64)
        .ping_interval(options.ping_interval)
        .ping_timeout(options.ping_timeout)
        .connect_timeout(options.connect_timeout)
        .build_svc();
    io.ns("/", |Connecting(socket): Connecting| -> Ready<()> {
        if let Some(session) = socket.req_parts().extensions.get::<Arc<Session>>().cloned() {
            socket.on_disconnect(move || -> Ready<()> {
                session.ended();
                ready(())
            });
        }
        ready(())
    });
    service
}

impl SocketIo {
    /// What the engine answers.
    pub(super) async fn ask<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes, Error: std::fmt::Debug>
            + std::fmt::Debug
            + Send
            + Unpin
            + 'static,
    {
        match self.engine.call(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Posts a packet of ASCII to the engine, as if the client had.
    pub(super) async fn post_for(
        &self,
        sid: Sid,
        version: Version,
        packet: &str,
    ) -> Response<Body> {
        let body = match version {
            Version::V3 => format!("{}:{packet}", packet.len()),
            Version::V4 => packet.to_owned(),
        };
        let eio = version.number();
        let request = Request::post(format!("/socket.io/?EIO={eio}&transport=polling&sid={sid}"))
            .header(http::header::CONTENT_TYPE, "text/plain;charset=UTF-8")
            .body(Full::new(Bytes::from(body)));
        match request {
            Ok(request) => self.ask(request).await,
            Err(problem) => {
                tracing::error!(error = %problem, "a request could not be built");
                error(StatusCode::INTERNAL_SERVER_ERROR, "server error")
            }
        }
    }
}
