//! What comes in from one engine.io session: packets of socket.io, and the clients of namespaces
//! that they are for. The same for both carriers, and moved from one to the other by an upgrade.
use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Duration, Instant};

use super::{
    Client, Connect, Event, Socket, Version,
    carrier::Carrier,
    packet::{self, Kind, MOST_CONNECTS, Packet, Partial},
};
use crate::reason::Reason;

/// What is kept of the request that a session began with, where a namespace reads it.
#[derive(Clone)]
pub(super) struct Handshake {
    pub query: Box<str>,
    pub headers: HeaderMap,
    /// Whom it is from: behind a proxy that is believed, whom that names.
    pub client: IpAddr,
}

/// A client of a namespace.
struct Connected {
    client: Arc<dyn Client>,
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
    pub(super) fn due(&self) -> Option<(Instant, Reason)> {
        let attachments = self.partial.as_ref().map(|p| (p.due(), Reason::Malformed));
        let connect = self
            .clients
            .is_empty()
            .then(|| (self.absent + self.carrier.io.options.connect_timeout, Reason::NotConnected));
        [attachments, connect].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    /// Whether it has been in no namespace for this long.
    pub(super) fn is_absent_for(&self, time: Duration) -> bool {
        self.clients.is_empty() && self.absent.elapsed() >= time
    }

    /// A packet of socket.io.
    ///
    /// # Errors
    /// Why the session is to be ended.
    pub(super) fn packet(&mut self, text: &str) -> Result<Done, Reason> {
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
        let at = self.find(packet.namespace).ok_or(Reason::Malformed)?;
        match packet.kind {
            Kind::Connect | Kind::Ack => Ok(Done::Other),
            Kind::Disconnect => Ok(self.leave(at)),
            Kind::Event => {
                self.event(at, packet.data, packet.ack, Vec::new());
                Ok(Done::Other)
            }
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
            let at = self.find(&whole.namespace).ok_or(Reason::Malformed)?;
            self.event(at, &json, ack, whole.attachments);
        }
        Ok(())
    }

    fn find(&self, namespace: &str) -> Option<usize> {
        self.clients.iter().position(|client| client.socket.namespace() == namespace)
    }

    fn event(&self, at: usize, json: &str, ack: Option<i64>, attachments: Vec<Bytes>) {
        self.clients[at].client.clone().event(Event { json, ack, attachments });
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
        let (carrier, version) = (self.carrier.clone(), self.carrier.version);
        let refuse = |message: &str| {
            carrier.send(&packet::connect_error(version, namespace, message));
            Ok(Done::Other)
        };
        let Some(space) = carrier.io.namespace(namespace) else {
            return refuse("Invalid namespace");
        };
        if self.find(namespace).is_some() {
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
            Err(refusal) => return refuse(&refusal.message),
        };
        carrier.send(&packet::connected(version, namespace, &carrier.sid()));
        client.clone().connected();
        self.clients.reserve_exact(1);
        self.clients.push(Connected { client, socket });
        Ok(Done::Connected)
    }

    fn leave(&mut self, at: usize) -> Done {
        let left = self.clients.remove(at);
        left.socket.leave();
        self.carrier.has_left();
        left.client.gone(Reason::ClosedByClient);
        if !self.clients.is_empty() {
            return Done::Other;
        }
        self.absent = Instant::now();
        Done::Left
    }

    /// The session has ended: so have its clients.
    pub(super) fn end(&mut self, why: Reason) {
        for Connected { client, socket } in self.clients.drain(..) {
            socket.leave();
            client.gone(why);
        }
        self.absent = Instant::now();
    }
}
