//! The gotapi-ws dialect: raw WebSockets, each in the room that its URL names, and HTTP routes
//! beside them (docs/gotapi.md). Nobody signs in.
//!
//! A `client` is one WebSocket, with one task that reads and one timer; `frame` tells what a
//! message asks for, `wire` has what goes out. `routes` is the HTTP side, with `fields` and
//! `history`; `questions` are those that a business server wants to be asked.
//!
//! Rooms are those of a space of their own, so no other dialect sees them; their members
//! are hidden to each other, as the protocol has no presence, and each has a uid that is nobody's.
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;
use hyper::{Request, body::Incoming};

use super::{Dialect, Pace, Taken};
use crate::{
    config::{SecretText, Site},
    domain::{
        clock::alphanumeric,
        gate::LiveGate,
        hub::Hub,
        ids::{BadName, ConnectionId, Uid},
    },
    lock::lock,
    net::{Connection, Stream, WebSocket},
    reason::Reason,
    throttle::throttled,
};

mod client;
mod fields;
mod frame;
mod heartbeat;
mod history;
mod in_flight;
mod path;
mod questions;
mod refusal;
mod routes;
mod window;
mod wire;

use client::Client;
use path::Place;

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who knows it may list the rooms; empty: nobody.
    pub secret: SecretText,
    /// Largest message, and largest body of a request, bytes.
    pub max_message: usize,
}

/// The dialect on this node.
struct Gotapi {
    hub: Arc<Hub>,
    options: Options,
    /// Who is asked whether clients may enter and send, if anybody is.
    gate: LiveGate,
    clients: Mutex<HashMap<ConnectionId, Weak<Client>>>,
    /// What the uids of this node's clients begin with.
    node: String,
}

/// Random characters in a client's uid: no user is ever called so.
const NODE: usize = 20;

/// Starts the dialect. `gate`: who is asked by hooks, if anybody is.
pub fn start(hub: Arc<Hub>, options: Options, gate: LiveGate) -> Arc<dyn Dialect> {
    let node = alphanumeric(&*hub.rng, NODE).unwrap_or_else(|error| {
        throttled!(error, %error, "clients of gotapi-ws get uids that can be guessed");
        String::new()
    });
    Arc::new(Mounted(Arc::new(Gotapi { hub, options, gate, clients: Mutex::default(), node })))
}

impl Gotapi {
    /// Whom the core takes a connection for.
    fn uid(&self, connection: ConnectionId) -> Result<Uid, BadName> {
        Uid::text(&format!("gotapi {} {}", self.node, connection.0))
    }

    /// Serves a WebSocket of the client with this address until it is gone. Its handshake is
    /// accepted once the client is where it wants to be: who has connected misses nothing.
    async fn serve(self: Arc<Self>, place: Place, address: IpAddr, mut stream: Stream) {
        let answer = stream.take_answer();
        let websocket = WebSocket::new(stream, self.options.max_message);
        let client = Client::new(&self, websocket.connection().clone(), address);
        client::serve(client, place, websocket, answer).await;
    }
}

struct Mounted(Arc<Gotapi>);

#[async_trait]
impl Dialect for Mounted {
    fn name(&self) -> &'static str {
        "gotapi"
    }

    fn site(&self) -> Site {
        Site::Gotapi
    }

    fn wants(&self, handshake: &Request<()>) -> bool {
        let path = handshake.uri().path();
        self.0.hub.is_ready() && !routes::is_route(path) && Place::read(path).is_ok()
    }

    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>) {
        if let Ok(place) = Place::read(handshake.uri().path()) {
            let address = connection.client(handshake.headers());
            self.0.hub.tasks.spawn(self.0.clone().serve(place, address, stream));
        }
    }

    fn request(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Taken<'_> {
        if routes::is_health(&request) {
            return Err(Box::new(request));
        }
        Ok(Box::pin(routes::answer(&self.0, request, connection)))
    }

    async fn drain(&self, pace: Pace) {
        let clients: Vec<Arc<Client>> =
            lock(&self.0.clients).values().filter_map(Weak::upgrade).collect();
        pace.each(&clients, |client| client.drop_because(Reason::Drain)).await;
    }
}
