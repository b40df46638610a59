//! What comes in from one engine.io session: packets of socket.io, and the clients of namespaces
//! that they are for. The same for both carriers, and moved from one to the other by an upgrade.
//!
//! A client may be taken out of its namespace from elsewhere, by its socket. The dispatcher, which
//! owns the clients, notices that when it is called next, and tells the client then.
use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::{
    Client, Connect, Event, Headers, Socket, Version,
    carrier::Carrier,
    packet::{self, Kind, MOST_CONNECTS, Packet, Partial},
};
use crate::reason::Reason;

/// What is kept of the request that a session began with, where a namespace reads it.
#[derive(Clone)]
pub(super) struct Handshake {
    pub query: Box<str>,
    pub headers: Headers,
    /// Whom it is from: behind a proxy that is believed, whom that names.
    pub client: IpAddr,
}

/// A client of a namespace.
struct Connected {
    /// `None`: it was taken out of the namespace, and has been told. What it had on its way goes
    /// nowhere, until it connects again.
    client: Option<Arc<dyn Client>>,
    socket: Socket,
}

/// What a packet has brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// A client has connected to a namespace.
    Connected,
    /// The client is in no namespace any more.
    Left,
    Other,
}

/// Hands packets to clients.
pub(super) struct Dispatcher {
    carrier: Arc<Carrier>,
    handshake: Option<Box<Handshake>>,
    /// One, mostly.
    clients: Vec<Connected>,
    partial: Option<Box<Partial>>,
    /// How often it has connected to a namespace.
    connects: usize,
    /// Since when it has been in no namespace.
    absent: Instant,
}

impl Dispatcher {
    pub(super) fn new(carrier: Arc<Carrier>, handshake: Option<Box<Handshake>>) -> Self {
        Dispatcher {
            carrier,
            handshake,
            clients: Vec::new(),
            partial: None,
            connects: 0,
            absent: Instant::now(),
        }
    }

    /// When something has to have come: the attachments of a packet, or a connection to a
    /// namespace, and why the session ends otherwise.
    pub(super) fn due(&mut self) -> Option<(Instant, Reason)> {
        self.prune();
        let attachments = self.partial.as_ref().map(|p| (p.due(), Reason::Malformed));
        let connect = self
            .is_absent()
            .then(|| (self.absent + self.carrier.io.options.connect_timeout, Reason::NotConnected));
        [attachments, connect].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    /// Whether it has been in no namespace for this long.
    pub(super) fn is_absent_for(&mut self, time: Duration) -> bool {
        self.prune();
        self.is_absent() && self.absent.elapsed() >= time
    }

    /// Whether it is in no namespace.
    fn is_absent(&self) -> bool {
        self.clients.iter().all(|connected| connected.client.is_none())
    }

    /// Whether a client was taken out of its namespace that has not been told.
    pub(super) fn is_stale(&self) -> bool {
        self.clients
            .iter()
            .any(|connected| connected.client.is_some() && connected.socket.has_left())
    }

    /// Tells clients that were taken out of their namespaces.
    fn prune(&mut self) {
        if !self.is_stale() {
            return;
        }
        for Connected { client, socket } in &mut self.clients {
            if let Some(client) = client.take_if(|_| socket.has_left()) {
                // It may have said so since, in an event of that client.
                socket.hold_reading(false);
                client.gone(socket.taken_out().unwrap_or(Reason::ClosedByClient));
            }
        }
        if self.is_absent() {
            self.absent = Instant::now();
        }
    }

    /// A packet of socket.io.
    ///
    /// # Errors
    /// Why the session is to be ended.
    pub(super) fn packet(&mut self, text: &str) -> Result<Done, Reason> {
        self.prune();
        // Its attachments must follow a packet at once.
        let packet =
            Packet::parse(text).filter(|_| self.partial.is_none()).ok_or(Reason::Malformed)?;
        if packet.kind == Kind::Connect {
            return self.connect(packet.namespace, packet.query, packet.data);
        }
        if packet.attachments > 0 {
            self.partial = Some(Box::new(Partial::of(&packet).ok_or(Reason::TooLarge)?));
            return Ok(Done::Other);
        }
        if !self.carrier.io.has(packet.namespace) {
            return Ok(Done::Other);
        }
        let Some(at) = self.find(packet.namespace) else { return self.in_vain() };
        match packet.kind {
            Kind::Connect | Kind::Ack => Ok(Done::Other),
            Kind::Disconnect => Ok(self.leave(at)),
            Kind::Event => {
                self.event(at, packet.data, packet.ack, Vec::new());
                Ok(Done::Other)
            }
        }
    }

    /// Something is for a namespace that the client is not in. The servers of socket.io 1 and 2
    /// take no notice of it, those of 3 and 4 end the connection.
    fn in_vain(&self) -> Result<Done, Reason> {
        match self.carrier.version {
            Version::V3 => Ok(Done::Other),
            Version::V4 => Err(Reason::Malformed),
        }
    }

    /// An attachment.
    ///
    /// # Errors
    /// Why the session is to be ended.
    pub(super) fn attachment(&mut self, bytes: Bytes) -> Result<(), Reason> {
        let partial = self.partial.as_mut().ok_or(Reason::Malformed)?;
        let most = self.carrier.io.options.max_payload;
        if !partial.attach(bytes, most).ok_or(Reason::TooLarge)? {
            return Ok(());
        }
        let Some(whole) = self.partial.take() else { return Ok(()) };
        if let Some((json, ack)) = whole.event
            && self.carrier.io.has(&whole.namespace)
        {
            let Some(at) = self.find(&whole.namespace) else {
                return self.in_vain().map(drop);
            };
            self.event(at, &json, ack, whole.attachments);
        }
        Ok(())
    }

    fn find(&self, namespace: &str) -> Option<usize> {
        self.clients.iter().position(|client| client.socket.namespace() == namespace)
    }

    fn event(&mut self, at: usize, json: &str, ack: Option<i64>, attachments: Vec<Bytes>) {
        let Connected { client, socket } = &self.clients[at];
        if let Some(client) = client
            && socket.is_connected()
        {
            client.clone().event(Event { json, ack, attachments });
            self.prune();
        }
    }

    /// Connects the client to a namespace. What it says with it, `auth`, is JSON, or nothing.
    ///
    /// # Errors
    /// Why the session is to be ended.
    pub(super) fn connect(
        &mut self,
        namespace: &str,
        query: &str,
        auth: &str,
    ) -> Result<Done, Reason> {
        self.prune();
        let (carrier, version) = (self.carrier.clone(), self.carrier.version);
        let refuse = |message: &str| {
            carrier.send(&packet::connect_error(version, namespace, message));
            Ok(Done::Other)
        };
        let Some(space) = carrier.io.namespace(namespace) else {
            return refuse("Invalid namespace");
        };
        if self.find(namespace).is_some_and(|at| self.clients[at].client.is_some()) {
            return Ok(Done::Other); // asked twice
        }
        self.connects += 1;
        if self.connects > MOST_CONNECTS {
            return Err(Reason::Flood);
        }
        let handshake = self.handshake.as_deref();
        let request = Connect {
            query: if query.is_empty() { handshake.map_or("", |h| &h.query) } else { query },
            headers: handshake.map(|h| &h.headers),
            address: handshake.map(|h| h.client),
            auth: (version == Version::V4 && !auth.is_empty()).then_some(auth),
        };
        let socket = Socket::new(carrier.clone(), namespace);
        let client = match space.connect(socket.clone(), &request) {
            Ok(client) => client,
            Err(refusal) => {
                socket.leave();
                return refuse(&refusal.message);
            }
        };
        if !client.waits() {
            socket.admit();
            client.clone().connected();
        }
        self.clients.retain(|before| before.socket.namespace() != namespace);
        self.clients.reserve_exact(1);
        self.clients.push(Connected { client: Some(client), socket });
        Ok(Done::Connected)
    }

    fn leave(&mut self, at: usize) -> Done {
        let Connected { client, socket } = self.clients.remove(at);
        let Some(client) = client else { return Done::Other };
        socket.leave();
        self.carrier.has_left();
        client.gone(socket.taken_out().unwrap_or(Reason::ClosedByClient));
        if !self.is_absent() {
            return Done::Other;
        }
        self.absent = Instant::now();
        Done::Left
    }

    /// The session has ended: so have its clients.
    pub(super) fn end(&mut self, why: Reason) {
        for Connected { client, socket } in self.clients.drain(..) {
            socket.leave();
            if let Some(client) = client {
                client.gone(socket.taken_out().unwrap_or(why));
            }
        }
        self.absent = Instant::now();
    }
}
