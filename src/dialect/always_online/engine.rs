//! socketioxide, which carries engine.io and socket.io: handlers that only put events into inboxes, and the way to close a session.
//!
//! Handlers are registered in a connect *middleware*: the connect handler runs after CONNECT was sent, and an event that comes with it
//! would be lost. Its adapter, rooms and broadcasts are not used.
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc, Weak,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::service::Service;
use socketioxide::{
    ParserConfig, ProtocolVersion, SocketIo,
    adapter::LocalAdapter,
    handler::{ConnectHandler, FromConnectParts, MessageHandler},
    service::SocketIoService,
    socket::{DisconnectReason, Socket},
};
use socketioxide_core::{Sid, Value};

use super::{
    AlwaysOnline, SWEEP,
    engined::Engined,
    inbox::Item,
    lane::Lane,
    query::Query,
    session::{Session, lock},
};
use crate::net::Link;

/// The engine's HTTP service.
pub(super) type Engine = SocketIoService<engineioxide::service::NotFoundService>;

/// Packets that the engine queues for a client. A bound in bytes of ours acts first ([`super::lane`]).
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

/// Puts events into the session's inbox, where socketioxide would spawn a task for each.
struct Inlet(Arc<Session>);

impl MessageHandler<LocalAdapter, Inlet> for Inlet {
    fn call(&self, _: Arc<Socket>, value: Value, ack: Option<i64>) {
        match value {
            Value::Str(text, attachments) => self.0.receive(text.as_str(), ack, attachments.is_some_and(|a| !a.is_empty())),
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
        .with_parser(ParserConfig::common().max_incoming_binary_buf_size(options.max_payload()))
        .ws_read_buffer_size(READ_BUFFER)
        .ping_interval(options.ping_interval)
        .ping_timeout(options.ping_timeout)
        .connect_timeout(options.auth_timeout)
        .build_svc();
    let (weak, connected) = (Arc::downgrade(dialect), Arc::downgrade(dialect));
    let middleware = move |Connecting(socket): Connecting| -> Ready<Result<(), Refused>> { ready(admit(&weak, &socket)) };
    let handler = move |Connecting(socket): Connecting| -> Ready<()> {
        if let Some(session) = connected.upgrade().and_then(|d| d.session(socket.id)) {
            session.connected();
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

/// A client connects to the namespace: its session begins, and takes what hangs on its engine session.
fn admit(dialect: &Weak<AlwaysOnline>, socket: &Arc<Socket>) -> Result<(), Refused> {
    let dialect = dialect.upgrade().ok_or(Refused)?;
    let session = Session::begin(&dialect, Lane::Engine(Box::new(Engined::new(socket)))).map_err(|_| Refused)?;
    let Lane::Engine(engined) = &session.lane else { return Err(Refused) };
    {
        let mut ties = dialect.ties();
        let tie = ties.entry(socket.id).or_default();
        tie.session = Arc::downgrade(&session);
        *lock(&engined.links) = tie.links.clone();
    }
    // The link of the handshake is the session's own only where the handshake was a WebSocket's: a polling one may be a proxy's.
    let handshake = socket.req_parts();
    if Query::read(&handshake.uri).websocket
        && let Some(link) = handshake.extensions.get::<Weak<Link>>()
    {
        lock(&engined.links).push(link.clone());
    }
    socket.on_fallback(Inlet(session.clone()));
    let gone = move |reason: DisconnectReason| {
        session.gone.store(true, SeqCst);
        if let Lane::Engine(engined) = &session.lane {
            if reason == DisconnectReason::ClientNSDisconnect {
                session.dialect.departed.push(engined.departed());
            }
            engined.gone();
        }
        session.put(Item::Closed);
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

    /// A connection asks to become this engine session's WebSocket.
    pub(super) fn tie(&self, sid: Sid, link: &Arc<Link>) {
        let mut ties = self.ties();
        if ties.len() >= self.sweep_at.load(Relaxed) {
            ties.retain(|_, t| t.session.strong_count() > 0 || t.links.iter().any(|l| l.strong_count() > 0));
            self.sweep_at.store((2 * ties.len()).max(SWEEP), Relaxed);
        }
        let tie = ties.entry(sid).or_default();
        tie.links.retain(|l| l.strong_count() > 0);
        tie.links.push(Arc::downgrade(link));
        let session = tie.session.upgrade();
        drop(ties); // before the session, whose end takes this lock
        if let Some(session) = session
            && let Lane::Engine(engined) = &session.lane
        {
            let mut links = lock(&engined.links);
            links.retain(|l| l.strong_count() > 0);
            links.push(Arc::downgrade(link));
        }
    }

    /// Forgets an engine session, unless another session has taken its place.
    pub(super) fn untie(&self, session: &Session, sid: Sid) {
        let mut ties = self.ties();
        if ties.get(&sid).is_some_and(|t| std::ptr::eq(t.session.as_ptr(), session)) {
            ties.remove(&sid);
        }
    }

    /// Ends a polling client's engine session, with the engine's own close packet posted on its behalf: socketioxide offers no other way.
    pub(super) fn close_polling(&self, sid: Sid, protocol: ProtocolVersion) {
        let Some(engine) = self.engine.get() else { return };
        let (version, packet) = match protocol {
            ProtocolVersion::V4 => (3, "1:1"), // socket.io 2 and its engine.io 3
            ProtocolVersion::V5 => (4, "1"),
        };
        let request = Request::post(format!("/socket.io/?EIO={version}&transport=polling&sid={sid}"))
            .header(http::header::CONTENT_TYPE, "text/plain;charset=UTF-8")
            .body(Full::new(Bytes::from_static(packet.as_bytes())));
        match request {
            Ok(request) => {
                let closing = Service::call(engine, request);
                self.hub.tasks.spawn(async move {
                    let _ = closing.await;
                });
            }
            Err(error) => tracing::error!(%error, "a close request could not be built"),
        }
    }
}
