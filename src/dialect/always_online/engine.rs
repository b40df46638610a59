//! socketioxide, which carries engine.io and socket.io: handlers that only put events into inboxes,
//! and the way to close a session.
//!
//! Handlers are registered in a connect *middleware*: the connect handler runs after CONNECT was
//! sent, and an event that comes with it would be lost. Its adapter, rooms and broadcasts are not
//! used.
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc, Weak,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::Service;
use socketioxide::{
    ParserConfig, ProtocolVersion, SocketIo, TransportType,
    adapter::LocalAdapter,
    handler::{ConnectHandler, FromConnectParts, MessageHandler},
    service::SocketIoService,
    socket::{DisconnectReason, Socket},
};
use socketioxide_core::{Sid, Value};

use super::{
    AlwaysOnline, SWEEP,
    carrier::ByEngine,
    engined::Engined,
    packet::{ATTACHMENTS_WITHIN, MOST_ATTACHMENTS, MOST_CONNECTS},
    polling::{Place, Polling},
    query::Query,
    session::{Session, lock},
    transport::error,
};
use crate::net::{Closing, Connection};
use crate::reason::Reason;
use crate::socketio::{Client, Event};

/// The engine's HTTP service.
pub(super) type Engine = SocketIoService<engineioxide::service::NotFoundService>;

/// Packets that the engine queues for a client. A bound in bytes of ours acts first
/// ([`super::carrier`]).
const ENGINE_QUEUE: usize = 65_536;
/// Bytes read from a WebSocket at once.
const READ_BUFFER: usize = 1024;

/// The socket that connects, itself.
struct Connecting(Arc<Socket>);

impl FromConnectParts<LocalAdapter> for Connecting {
    type Error = Infallible;
    fn from_connect_parts(socket: &Arc<Socket>, _: &Option<Value>) -> Result<Self, Infallible> {
        Ok(Connecting(socket.clone()))
    }
}

/// Puts events into the session's mailbox, where socketioxide would spawn a task for each. Dropped
/// with its socket, and so once the engine has forgotten that in the namespace.
struct Inlet(Arc<Session>);

impl Drop for Inlet {
    fn drop(&mut self) {
        if let Some(engined) = &self.0.engined {
            engined.polling.move_to(Place::Absent);
        }
    }
}

impl MessageHandler<LocalAdapter, Inlet> for Inlet {
    fn call(&self, _: Arc<Socket>, value: Value, ack: Option<i64>) {
        match value {
            Value::Str(text, attachments) => {
                let attachments = Vec::from(attachments.unwrap_or_default());
                self.0.clone().event(Event { json: text.as_str(), ack, attachments });
            }
            Value::Bytes(_) => self.0.receive(r#"[""]"#, ack, true),
        }
    }
}

/// The engine for a dialect.
pub(super) fn build(dialect: &Arc<AlwaysOnline>) -> Engine {
    let options = &dialect.options;
    let (service, io) = SocketIo::builder()
        .req_path("/socket.io")
        .max_buffer_size(ENGINE_QUEUE)
        .max_payload(options.max_payload() as u64)
        .ws_max_message_size(options.max_payload())
        .ws_max_frame_size(options.max_payload())
        .with_parser(
            ParserConfig::common()
                .max_incoming_binary_buf_size(options.max_payload())
                .max_incoming_binaries(MOST_ATTACHMENTS)
                .packet_completion_timeout(ATTACHMENTS_WITHIN),
        )
        .ws_read_buffer_size(READ_BUFFER)
        .ping_interval(options.ping_interval)
        .ping_timeout(options.ping_timeout)
        .connect_timeout(options.auth_timeout)
        .build_svc();
    let (weak, connected) = (Arc::downgrade(dialect), Arc::downgrade(dialect));
    let middleware = move |Connecting(socket): Connecting| -> Ready<Result<(), Refused>> {
        ready(admit(&weak, &socket))
    };
    let handler = move |Connecting(socket): Connecting| -> Ready<()> {
        if let Some(session) = connected.upgrade().and_then(|d| d.session(socket.id)) {
            session.clone().connected();
            if let Some(engined) = &session.engined {
                engined.polling.move_to(Place::Connected(Arc::downgrade(&session)));
            }
        }
        ready(())
    };
    io.ns("/", handler.with(middleware));
    service
}

/// The server takes no new sessions.
#[derive(Debug, thiserror::Error)]
#[error("server error")]
struct Refused;

/// A client connects to the namespace: its session begins, and takes what hangs on its engine
/// session.
fn admit(dialect: &Weak<AlwaysOnline>, socket: &Arc<Socket>) -> Result<(), Refused> {
    let dialect = dialect.upgrade().ok_or(Refused)?;
    let polling = socket.req_parts().extensions.get::<Arc<Polling>>().cloned().ok_or(Refused)?;
    // What polls is counted where it posts.
    let connects = if socket.transport_type() == TransportType::Websocket {
        polling.connects.fetch_add(1, SeqCst)
    } else {
        0
    };
    if connects >= MOST_CONNECTS {
        if connects == MOST_CONNECTS {
            dialect.hub.metrics.dropped(Reason::Flood.label());
        }
        dialect
            .connections(socket)
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|connection| connection.close(Closing::Graceful, Reason::Flood));
        return Err(Refused);
    }
    let engined = Arc::new(Engined::new(socket, polling.clone()));
    let carrier = Arc::new(ByEngine { dialect: dialect.clone(), engined: engined.clone() });
    let out = crate::socketio::Socket::new(carrier, dialect.hub.metrics.clone());
    *lock(&engined.out) = Some(out.clone());
    let id = dialect.hub.new_connection();
    let Ok(session) = Session::begin(&dialect, id, out.clone(), Some(engined.clone())) else {
        engined.gone();
        polling.move_to(Place::Absent);
        return Err(Refused);
    };
    if socket.transport_type() == TransportType::Polling {
        // The engine's answer.
        match socket.protocol() {
            ProtocolVersion::V4 => polling.owe("40"),
            ProtocolVersion::V5 => polling.owe(&format!(r#"40{{"sid":"{}"}}"#, socket.id)),
        }
    }
    dialect.ties().entry(socket.id).or_default().session = Arc::downgrade(&session);
    *lock(&engined.connections) = dialect.connections(socket);
    socket.on_fallback(Inlet(session.clone()));
    let gone = move |reason: DisconnectReason| {
        out.has_gone();
        if let Some(engined) = &session.engined {
            if reason == DisconnectReason::ClientNSDisconnect {
                session.dialect.departed.push(engined.departed());
            }
            engined.gone();
        }
        session.clone().gone(Reason::ClosedByClient);
        ready(())
    };
    socket.on_disconnect(gone);
    Ok(())
}

impl AlwaysOnline {
    /// The session of an engine session.
    pub(super) fn session(&self, sid: Sid) -> Option<Arc<Session>> {
        self.ties().get(&sid).and_then(|t| t.session.upgrade())
    }

    /// Connections that are, or may become, the WebSocket of an engine session.
    fn connections(&self, socket: &Socket) -> Vec<Weak<Connection>> {
        let mut connections =
            self.ties().get(&socket.id).map(|tie| tie.connections.clone()).unwrap_or_default();
        // The connection of the handshake is the session's own only where the handshake was a
        // WebSocket's: a polling one may be a proxy's.
        let handshake = socket.req_parts();
        if Query::read(&handshake.uri).websocket {
            connections.extend(handshake.extensions.get::<Weak<Connection>>().cloned());
        }
        connections
    }

    /// A connection asks to become this engine session's WebSocket.
    pub(super) fn tie(&self, sid: Sid, connection: &Arc<Connection>) {
        let mut ties = self.ties();
        if ties.len() >= self.sweep_at.load(Relaxed) {
            ties.retain(|_, t| {
                t.session.strong_count() > 0 || t.connections.iter().any(|l| l.strong_count() > 0)
            });
            self.sweep_at.store((2 * ties.len()).max(SWEEP), Relaxed);
        }
        let tie = ties.entry(sid).or_default();
        tie.connections.retain(|l| l.strong_count() > 0);
        tie.connections.push(Arc::downgrade(connection));
        let session = tie.session.upgrade();
        drop(ties); // before the session, whose end takes this lock
        if let Some(session) = session
            && let Some(engined) = &session.engined
        {
            let mut connections = lock(&engined.connections);
            connections.retain(|l| l.strong_count() > 0);
            connections.push(Arc::downgrade(connection));
        }
    }

    /// Forgets the session of an engine session, unless another session has taken its place. A
    /// WebSocket that is still open may be the next one's.
    pub(super) fn untie(&self, session: &Session, sid: Sid) {
        let mut ties = self.ties();
        let Some(tie) =
            ties.get_mut(&sid).filter(|tie| std::ptr::eq(tie.session.as_ptr(), session))
        else {
            return;
        };
        if tie.connections.iter().any(|connection| connection.strong_count() > 0) {
            tie.session = Weak::new();
        } else {
            ties.remove(&sid);
        }
    }

    /// What the engine answers.
    pub(super) async fn ask<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes, Error: std::fmt::Debug>
            + std::fmt::Debug
            + Send
            + Unpin
            + 'static,
    {
        let Some(engine) = self.engine.get() else {
            return error(StatusCode::SERVICE_UNAVAILABLE, "starting");
        };
        match engine.call(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Posts a packet of ASCII to the engine, as if the client had.
    pub(super) async fn post_for(
        &self,
        sid: Sid,
        protocol: ProtocolVersion,
        packet: &str,
    ) -> Response<Body> {
        let (version, body) = match protocol {
            ProtocolVersion::V4 => (3, format!("{}:{packet}", packet.len())), /* socket.io 2 and its engine.io 3 */
            ProtocolVersion::V5 => (4, packet.to_owned()),
        };
        let request =
            Request::post(format!("/socket.io/?EIO={version}&transport=polling&sid={sid}"))
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

    /// Ends a polling client's engine session, with the engine's own close packet posted on its
    /// behalf: socketioxide offers no other way.
    pub(super) fn close_polling(self: &Arc<Self>, sid: Sid, protocol: ProtocolVersion) {
        let dialect = self.clone();
        self.hub.tasks.spawn(async move {
            dialect.post_for(sid, protocol, "1").await;
        });
    }
}
