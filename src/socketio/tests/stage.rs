//! A server with namespaces that echo, two of which have their clients wait, and a client of every
//! kind.
mod requests;

pub(super) use requests::{begun, http, websocket};

use std::{collections::VecDeque, net::SocketAddr};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use hyper::{Request, Response, body::Incoming};
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
};
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tokio_util::sync::CancellationToken;

use super::super::*;
use crate::{
    config::{Config, Flags},
    net::{
        Connection, Stream,
        admission::Admission,
        connection::Bounds,
        listener::{Listener, Service},
        websocket::frame::Opcode,
    },
    reason::Reason,
};

/// Says back what it is told: events as `message-back`, and with an acknowledgement where one is
/// asked for. To `close` it answers by DISCONNECT, to `close-later` once the test says so, and
/// `dismiss` is DISCONNECT of the namespace alone. Who brings `auth` is told it.
#[derive(Clone)]
struct Echo {
    gone: mpsc::UnboundedSender<(String, Reason)>,
    later: Arc<Notify>,
    /// Its clients wait until the test, which is told of each, lets them in.
    asking: Option<mpsc::UnboundedSender<Asking>>,
}

struct Guest {
    socket: Socket,
    echo: Echo,
}

/// A client that waits, and what it said.
pub(super) struct Asking {
    pub(super) socket: Socket,
    pub(super) query: String,
    /// Their names.
    pub(super) headers: Vec<String>,
}

impl Namespace for Echo {
    fn connect(&self, socket: Socket, request: &Connect<'_>) -> Result<Arc<dyn Client>, Refusal> {
        if request.query.contains("banned") {
            return Err(Refusal::new("you are \"banned\""));
        }
        if let Some(asking) = &self.asking {
            let query = request.query.to_owned();
            let headers = request.headers.into_iter().flat_map(Headers::iter);
            let headers = headers.map(|(name, _)| name.into_owned()).collect();
            let _ = asking.send(Asking { socket: socket.clone(), query, headers });
        } else if let Some(auth) = request.auth {
            socket.emit("auth", &[auth]);
        }
        Ok(Arc::new(Guest { socket, echo: self.clone() }))
    }

    fn reads_handshake(&self) -> bool {
        true
    }

    fn reads_headers(&self) -> bool {
        self.asking.is_some()
    }
}

impl Client for Guest {
    fn waits(&self) -> bool {
        self.echo.asking.is_some()
    }

    fn event(self: Arc<Self>, event: Event<'_>) {
        let Some(elements) = event.elements() else {
            self.socket.drop(Reason::Malformed);
            return;
        };
        let texts: Vec<&str> = elements.iter().map(|element| element.get()).collect();
        let Some((name, arguments)) = texts.split_first() else {
            self.socket.drop(Reason::Malformed);
            return;
        };
        if *name == r#""close""# {
            self.socket.refuse(Reason::Leave);
            return;
        }
        if *name == r#""dismiss""# {
            self.socket.dismiss(Reason::TurnedAway);
            return;
        }
        if *name == r#""close-later""# {
            tokio::spawn(async move {
                self.echo.later.notified().await;
                self.socket.refuse(Reason::Leave);
            });
            return;
        }
        match (event.ack, event.attachments.is_empty()) {
            (Some(id), true) => self.socket.ack(id, arguments),
            (Some(id), false) => self.socket.ack_with(id, arguments, &event.attachments),
            (None, true) => self.socket.emit("message-back", arguments),
            (None, false) => self.socket.emit_with("message-back", arguments, &event.attachments),
        }
    }

    fn gone(self: Arc<Self>, why: Reason) {
        let _ = self.echo.gone.send((self.socket.namespace().to_owned(), why));
    }
}

#[derive(Clone)]
struct Site(Transport);

impl Service for Site {
    fn is_for_clients(&self) -> bool {
        true
    }

    fn is_urgent(&self, _: &str) -> bool {
        false
    }

    fn wants(&self, handshake: &Request<()>) -> bool {
        self.0.wants(handshake)
    }

    fn is_new(&self, handshake: &Request<()>) -> bool {
        self.0.is_new(handshake)
    }

    fn reads_headers(&self) -> bool {
        self.0.reads_headers()
    }

    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>) {
        self.0.websocket(handshake, stream, &connection);
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        self.0.call(request, connection).await
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) io: Arc<SocketIo>,
    pub(super) gone: mpsc::UnboundedReceiver<(String, Reason)>,
    /// Who waits to be let in, in the namespaces `/waiting` and `/second`.
    pub(super) asking: mpsc::UnboundedReceiver<Asking>,
    /// It is time to do what was to be done later.
    pub(super) later: Arc<Notify>,
    /// Who is there.
    pub(super) admission: Arc<Admission>,
}

pub(super) fn options() -> Options {
    Options {
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(120),
        max_payload: 1_000_000,
        backlog: 1 << 20,
        origins: Live::new(Arc::new(Origins::Any)),
        client_script: None,
    }
}

pub(super) fn server(options: Options) -> Server {
    limited(options, &[])
}

/// One with these settings of `[limits]`, by their names in the environment.
pub(super) fn limited(options: Options, limits: &[(&str, &str)]) -> Server {
    let (sender, gone) = mpsc::unbounded_channel();
    let (metrics, tasks) = (Arc::<Metrics>::default(), TaskTracker::new());
    let later = Arc::<Notify>::default();
    let echo = Echo { gone: sender, later: later.clone(), asking: None };
    let (asks, asking) = mpsc::unbounded_channel();
    let waiting = Echo { asking: Some(asks), ..echo.clone() };
    let parts = Parts {
        options,
        metrics: metrics.clone(),
        tasks: tasks.clone(),
        is_ready: Box::new(|| true),
    };
    let namespaces =
        [("/", &echo), ("/custom", &echo), ("/waiting", &waiting), ("/second", &waiting)];
    let namespaces =
        namespaces.map(|(name, echo)| (name.into(), Arc::new(echo.clone()) as Arc<dyn Namespace>));
    let transport = Transport::new(parts, namespaces);
    let io = transport.io();
    let listener = Arc::new(Listener::bind(([127, 0, 0, 1], 0).into()).unwrap());
    let address = listener.address;
    let environment =
        limits.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into()));
    let config = Config::load(None, environment, &Flags::new()).unwrap();
    let admission = Admission::new(&config.limits, metrics.clone());
    let bounds = Bounds {
        stall: Duration::from_secs(15),
        backlog: 1 << 20,
        admission: admission.clone(),
        metrics,
        connections: tasks.clone(),
        writes: tasks,
        ending: Arc::new(CancellationToken::new()),
    };
    tokio::spawn(listener.serve(Site(transport), None, bounds, Duration::from_secs(60)));
    Server { address, io, gone, asking, later, admission }
}

/// What came, or is sent: a packet of engine.io, or an attachment.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Text(String),
    Binary(Vec<u8>),
}

pub(super) fn text(text: impl Into<String>) -> Item {
    Item::Text(text.into())
}

pub(super) enum Wire {
    Socket(Box<WebSocketStream<TcpStream>>),
    Polling,
}

/// How a client polls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum By {
    WebSocket,
    Text,
    /// With bodies that are binary, where it may.
    Binary,
}

pub(super) const WAYS: [(Version, By); 5] = [
    (Version::V4, By::WebSocket),
    (Version::V3, By::WebSocket),
    (Version::V4, By::Text),
    (Version::V3, By::Text),
    (Version::V3, By::Binary),
];

pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) version: Version,
    pub(super) by: By,
    pub(super) sid: String,
    pub(super) wire: Wire,
    pub(super) came: VecDeque<Item>,
}

impl Peer {
    /// An engine.io session, with its open packet read.
    pub(super) async fn open(server: &Server, (version, by): (Version, By), more: &str) -> Peer {
        let query = format!("EIO={}{more}", version.number());
        let mut peer = Peer {
            address: server.address,
            version,
            by,
            sid: String::new(),
            wire: Wire::Polling,
            came: VecDeque::new(),
        };
        let open = if by == By::WebSocket {
            peer.wire = Wire::Socket(websocket(server.address, &query).await.unwrap());
            peer.next().await
        } else {
            let base64 = if by == By::Text { "&b64=1" } else { "" };
            let target = format!("{query}&transport=polling{base64}");
            let (status, body) = http(server.address, "GET", &target, b"").await;
            assert_eq!(status, 200);
            peer.decode(&body);
            peer.next().await
        };
        let Some(Item::Text(open)) = open else { panic!("no open packet: {open:?}") };
        let open: serde_json::Value =
            serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        peer.sid = open["sid"].as_str().unwrap().to_owned();
        let upgrades: &[&str] = if by == By::WebSocket { &[] } else { &["websocket"] };
        assert_eq!(open["upgrades"], serde_json::json!(upgrades));
        assert!(open["pingInterval"].is_u64() && open["pingTimeout"].is_u64());
        assert_eq!(open["maxPayload"], 1_000_000);
        peer
    }

    /// One that is connected to the root.
    pub(super) async fn connect(server: &Server, way: (Version, By)) -> Peer {
        let mut peer = Peer::open(server, way, "").await;
        if way.0 == Version::V4 {
            peer.say("40").await;
        }
        let Some(Item::Text(connected)) = peer.next().await else { panic!("{way:?}") };
        assert!(connected.starts_with("40"), "{way:?}: {connected}");
        assert_eq!(connected.len() > 2, way.0 == Version::V4, "{way:?}: {connected}");
        peer
    }

    pub(super) fn target(&self) -> String {
        let eio = self.version.number();
        format!("EIO={eio}&transport=polling&sid={}", self.sid)
    }

    pub(super) async fn say(&mut self, packet: &str) {
        self.send(&[text(packet)]).await;
    }

    pub(super) async fn send(&mut self, items: &[Item]) {
        let version = self.version;
        match &mut self.wire {
            Wire::Socket(socket) => {
                for item in items {
                    let message = match item.clone() {
                        Item::Text(text) => tungstenite::Message::text(text),
                        Item::Binary(bytes) => {
                            tungstenite::Message::binary([version.binary_prefix(), &bytes].concat())
                        }
                    };
                    let _ = socket.send(message).await;
                }
            }
            Wire::Polling => {
                let body = self.encode(items);
                http(self.address, "POST", &self.target(), &body).await;
            }
        }
    }

    /// As the client's side writes a body.
    pub(super) fn encode(&self, items: &[Item]) -> Vec<u8> {
        let prefixed: Vec<(Opcode, Vec<u8>)> = items
            .iter()
            .map(|item| match item {
                Item::Text(text) => (Opcode::Text, text.clone().into_bytes()),
                Item::Binary(bytes) => {
                    (Opcode::Binary, [self.version.binary_prefix(), bytes].concat())
                }
            })
            .collect();
        let packets: Vec<(Opcode, &[u8])> =
            prefixed.iter().map(|(opcode, bytes)| (*opcode, &**bytes)).collect();
        payload::encode(&packets, self.version, self.by == By::Binary).body
    }

    fn decode(&mut self, body: &[u8]) {
        let mut rest = body;
        if self.version == Version::V3 && body.first().is_some_and(|byte| *byte < 2) {
            while let Some((kind, behind)) = rest.split_first() {
                let end = behind.iter().position(|b| *b == 255).unwrap();
                let length = behind[..end].iter().fold(0, |n, d| 10 * n + usize::from(*d));
                let (packet, after) = behind[end + 1..].split_at(length);
                self.came.push_back(match kind {
                    0 => text(std::str::from_utf8(packet).unwrap()),
                    _ => Item::Binary(packet[1..].to_vec()),
                });
                rest = after;
            }
            return;
        }
        for packet in payload::packets(body, self.version) {
            self.came.push_back(match packet.strip_prefix(self.version.base64_prefix()) {
                Some(base64) => Item::Binary(STANDARD.decode(base64).unwrap()),
                None => text(packet),
            });
        }
    }

    /// What comes next but pings, which are answered, and noops; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Item> {
        loop {
            match self.any().await? {
                Item::Text(text) if text == "6" => {}
                Item::Text(text) if text == "2" => Box::pin(self.say("3")).await,
                item => return Some(item),
            }
        }
    }

    /// What comes next, whatever it is.
    pub(super) async fn any(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.came.pop_front() {
                return Some(item);
            }
            match &mut self.wire {
                Wire::Socket(socket) => match socket.next().await {
                    Some(Ok(tungstenite::Message::Text(came))) => {
                        self.came.push_back(text(came.as_str()));
                    }
                    Some(Ok(tungstenite::Message::Binary(bytes))) => {
                        let bytes = bytes.strip_prefix(self.version.binary_prefix()).unwrap();
                        self.came.push_back(Item::Binary(bytes.to_vec()));
                    }
                    Some(Ok(tungstenite::Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                },
                Wire::Polling => {
                    let (status, body) = http(self.address, "GET", &self.target(), b"").await;
                    if status != 200 {
                        return None;
                    }
                    self.decode(&body);
                }
            }
        }
    }

    pub(super) async fn pinged(&mut self) {
        while self.any().await.expect("a ping") != text("2") {}
    }

    pub(super) async fn expect(&mut self, packet: &str) {
        assert_eq!(self.next().await, Some(text(packet)), "{:?} {:?}", self.version, self.by);
    }

    pub(super) async fn ends(&mut self) {
        assert_eq!(self.next().await, None, "{:?} {:?}", self.version, self.by);
    }

    pub(super) async fn is_well(&mut self) {
        self.say(r#"421["message",true]"#).await;
        self.expect("431[true]").await;
    }

    /// Polls no more.
    pub(super) async fn upgrade(&mut self) {
        let query = format!("EIO={}&sid={}", self.version.number(), self.sid);
        let mut socket = websocket(self.address, &query).await.unwrap();
        socket.send("2probe".into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), "3probe".into());
        socket.send("5".into()).await.unwrap();
        self.wire = Wire::Socket(socket);
    }
}
