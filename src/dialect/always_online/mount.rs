//! What the server sees of this dialect.
use std::sync::Arc;

use async_trait::async_trait;
use hyper::{Request, body::Incoming};
use tokio_util::sync::CancellationToken;

use super::{AlwaysOnline, Options, Transport};
use crate::{
    config::Site,
    dialect::{Dialect, Pace, Taken},
    domain::hub::Hub,
    net::{Connection, Stream},
    reason::Reason,
    socketio::Namespace,
};

struct Mounted {
    dialect: Arc<AlwaysOnline>,
    transport: Transport,
}

/// Starts the dialect. Its deadlines end with `stop`. `neighbours` are namespaces of others, by
/// their names, that are served on its transport too.
pub fn start(
    hub: Arc<Hub>,
    options: Options,
    neighbours: Vec<(Box<str>, Arc<dyn Namespace>)>,
    stop: &CancellationToken,
) -> Arc<dyn Dialect> {
    let (dialect, transport) = AlwaysOnline::start(hub, options, neighbours, stop);
    Arc::new(Mounted { dialect, transport })
}

#[async_trait]
impl Dialect for Mounted {
    fn name(&self) -> &'static str {
        "always-online"
    }

    fn site(&self) -> Site {
        Site::Websocket
    }

    fn wants(&self, handshake: &Request<()>) -> bool {
        self.transport.wants(handshake)
    }

    fn is_new(&self, handshake: &Request<()>) -> bool {
        self.transport.is_new(handshake)
    }

    fn reads_headers(&self) -> bool {
        self.transport.reads_headers()
    }

    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>) {
        self.transport.websocket(handshake, stream, &connection);
    }

    fn request(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Taken<'_> {
        if Transport::serves(request.uri().path()) {
            Ok(Box::pin(self.transport.call(request, connection)))
        } else {
            Err(Box::new(request))
        }
    }

    async fn drain(&self, pace: Pace) {
        let sessions = self.dialect.sessions();
        pace.each(&sessions, |session| session.drop_client(Reason::Drain)).await;
    }
}
