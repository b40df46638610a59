//! A socket.io client made by hand (engine.io 4, websocket only), which shows every packet: the
//! wire is what is tested, so nothing may hide it. One task reads, answers pings and hands
//! acknowledgements to those who wait for them.
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::soon;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What the server sent, but for pings and acknowledgements.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// `42["name",payload]`; null where there is no payload.
    Event(String, Value),
    /// `41`: go away and stay away.
    Disconnect,
    /// Any other packet, as it came: a connect error, an engine close, a binary frame's length.
    Other(String),
    /// The transport is closed; the last of all.
    Closed,
}

/// Who waits for which acknowledgement; nothing once the connection ended.
type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

/// A connected client. When it goes out of scope, its connection closes.
pub struct Client {
    sender: Sender,
    packets: mpsc::UnboundedReceiver<Packet>,
    /// The sid that socket.io gave.
    pub sid: String,
    /// The sid that engine.io gave: who knows it can act as the client.
    pub engine_sid: String,
}

/// The sending half: can be cloned, so that several write on one connection.
#[derive(Clone)]
pub struct Sender {
    frames: mpsc::UnboundedSender<Message>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

impl Sender {
    /// An event without an acknowledgement. On a closed connection it is lost, as it would be with
    /// any client.
    pub fn emit(&self, event: &str, payload: &Value) {
        self.raw(format!("42{}", json!([event, payload])));
    }

    /// An event; the answer's first argument arrives later, or an error when the connection ends
    /// before.
    pub fn request(&self, event: &str, payload: &Value) -> oneshot::Receiver<Value> {
        let (answer, answered) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(pending) = self.pending.lock().unwrap().as_mut() {
            pending.insert(id, answer);
        }
        self.raw(format!("42{id}{}", json!([event, payload])));
        answered
    }

    /// Any text frame, as it is.
    pub fn raw(&self, text: impl Into<String>) {
        let _ = self.frames.send(Message::text(text.into()));
    }

    /// Any frame at all.
    pub fn frame(&self, frame: Message) {
        let _ = self.frames.send(frame);
    }
}

impl Client {
    /// Connects, and enters the main namespace.
    pub async fn connect(address: SocketAddr) -> Client {
        soon("a socket.io connection", Client::try_connect(address))
            .await
            .unwrap_or_else(|e| panic!("{address}: {e}"))
    }

    /// As [`Client::connect`], with socket.io 4's `auth`.
    pub async fn connect_with(address: SocketAddr, auth: &Value) -> Client {
        soon("a socket.io connection", Client::try_connect_by(address, format!("40{auth}")))
            .await
            .unwrap_or_else(|e| panic!("{address}: {e}"))
    }

    /// As [`Client::connect`], for a server that may refuse.
    pub async fn try_connect(address: SocketAddr) -> Result<Client, String> {
        Client::try_connect_by(address, "40".to_owned()).await
    }

    /// `connect` is the CONNECT packet.
    async fn try_connect_by(address: SocketAddr, connect: String) -> Result<Client, String> {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (mut socket, _) =
            tokio_tungstenite::connect_async(url).await.map_err(|e| e.to_string())?;
        let open = text(&mut socket).await?;
        let open =
            open.strip_prefix('0').ok_or_else(|| format!("no engine.io open packet: {open}"))?;
        let sid_of = |json: &str| -> Result<String, String> {
            let object: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
            object["sid"].as_str().map(str::to_owned).ok_or_else(|| format!("no sid: {json}"))
        };
        let engine_sid = sid_of(open)?;
        socket.send(Message::text(connect)).await.map_err(|e| e.to_string())?;
        let connected = text(&mut socket).await?;
        let connected = connected
            .strip_prefix("40")
            .ok_or_else(|| format!("no connect packet: {connected}"))?;
        let sid = sid_of(connected)?;

        let (frames, outgoing) = mpsc::unbounded_channel();
        let (packet, packets) = mpsc::unbounded_channel();
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(drive(socket, frames.downgrade(), outgoing, packet, pending.clone()));
        Ok(Client {
            sender: Sender { frames, pending, next: Arc::default() },
            packets,
            sid,
            engine_sid,
        })
    }

    /// The sending half.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// An event without an acknowledgement.
    pub fn emit(&self, event: &str, payload: &Value) {
        self.sender.emit(event, payload);
    }

    /// An event; the value that acknowledges it.
    pub async fn emit_with_ack(&self, event: &str, payload: &Value) -> Value {
        let answer = self.sender.request(event, payload);
        soon(format!("the acknowledgement of {event}"), answer)
            .await
            .unwrap_or_else(|_| panic!("{event}: the connection ended"))
    }

    /// Any text frame, as it is.
    pub fn raw(&self, text: impl Into<String>) {
        self.sender.raw(text);
    }

    /// The next packet.
    pub async fn next(&mut self) -> Packet {
        soon("a packet", self.packets.recv()).await.unwrap_or(Packet::Closed)
    }

    /// What has come already, without waiting.
    pub fn arrived(&mut self) -> Option<Packet> {
        self.packets.try_recv().ok()
    }

    /// The payload of the next packet, which has to be this event.
    pub async fn event(&mut self, name: &str) -> Value {
        match self.next().await {
            Packet::Event(event, payload) if event == name => payload,
            other => panic!("expected {name}, got {other:?}"),
        }
    }

    /// The payload of the next such event, whatever comes before it.
    pub async fn until(&mut self, name: &str) -> Value {
        loop {
            match self.next().await {
                Packet::Event(event, payload) if event == name => return payload,
                Packet::Event(..) => {}
                other => panic!("expected {name}, got {other:?}"),
            }
        }
    }

    /// All packets up to the end of the connection, which is the last of them.
    pub async fn rest(&mut self) -> Vec<Packet> {
        let mut all = Vec::new();
        while all.last() != Some(&Packet::Closed) {
            all.push(self.next().await);
        }
        all
    }

    /// Authenticates, which has to succeed.
    pub async fn sign_in(&mut self, uid: &str, token: &str) {
        self.emit("authenticate", &json!({ "uid": uid, "token": token }));
        let answer = self.event("authenticate").await;
        assert_eq!(answer, json!({ "status": 0, "data": "auth success" }), "sign-in of {uid}");
    }

    /// Joins a room, which has to succeed. Who is there already follows as `remote_join` events.
    pub async fn join(&mut self, room: &str) {
        self.emit("join", &json!({ "roomId": room }));
        let answer = self.until("join").await;
        assert_eq!(answer, json!({ "status": 0, "data": "join success" }), "join of {room}");
    }

    /// Sends a message, which has to be accepted: after this it is stored.
    pub async fn send(&self, message: &Value) {
        let answer = self.emit_with_ack("msg", message).await;
        assert_eq!(answer, json!({ "status": 0, "data": "msg success" }), "{message}");
    }

    /// One page of the room's log.
    pub async fn sync(&self, request: &Value) -> Value {
        self.emit_with_ack("sync", request).await
    }

    /// Closes the connection without a word of socket.io.
    pub async fn close(self) {
        let Client { sender, mut packets, .. } = self;
        sender.frame(Message::Close(None));
        soon("the end of the connection", async {
            while packets.recv().await.is_some_and(|p| p != Packet::Closed) {}
        })
        .await;
    }
}

/// The next text frame, before the connection is handed to its task. A ping may come this early.
async fn text(socket: &mut Socket) -> Result<String, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                socket.send(Message::text("3")).await.map_err(|e| e.to_string())?
            }
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(other)) => return Err(format!("no text frame: {other:?}")),
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the connection ended".to_owned()),
        }
    }
}

/// Reads until the connection ends, or the client is gone; its writer goes with it.
async fn drive(
    socket: Socket,
    pong: mpsc::WeakUnboundedSender<Message>,
    mut outgoing: mpsc::UnboundedReceiver<Message>,
    packets: mpsc::UnboundedSender<Packet>,
    pending: Pending,
) {
    let (mut write, mut read) = socket.split();
    // A task of its own: a server that stops reading for a while must not keep us from reading.
    let writer = tokio::spawn(async move {
        while let Some(frame) = outgoing.recv().await {
            if write.send(frame).await.is_err() {
                break; // what the server sent before it went is still read
            }
        }
        write
    });
    loop {
        let frame = tokio::select! {
            () = packets.closed() => break,
            frame = read.next() => frame,
        };
        match frame {
            Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                let _ = pong.upgrade().map(|frames| frames.send(Message::text("3")));
            }
            Some(Ok(Message::Text(text))) => receive(&text, &packets, &pending),
            Some(Ok(Message::Binary(bytes))) => {
                let _ = packets.send(Packet::Other(format!("{} bytes", bytes.len())));
            }
            Some(Ok(_)) => {} // tungstenite answers pings and closes by itself
            Some(Err(_)) | None => break,
        }
    }
    writer.abort();
    *pending.lock().unwrap() = None; // whoever waits learns that nothing comes
    let _ = packets.send(Packet::Closed);
}

fn receive(text: &str, packets: &mpsc::UnboundedSender<Packet>, pending: &Pending) {
    let parse = |json: &str| {
        serde_json::from_str::<Value>(json)
            .unwrap_or_else(|e| panic!("the server sent {text:?}: {e}"))
    };
    let packet = if let Some(rest) = text.strip_prefix("43") {
        let (id, json) = rest.split_at(rest.find('[').expect("an acknowledgement with arguments"));
        let id = id.parse().expect("the number of an acknowledgement");
        let waiting = pending.lock().unwrap().as_mut().and_then(|pending| pending.remove(&id));
        match waiting {
            Some(waiting) => {
                let _ = waiting.send(parse(json)[0].take()); // its asker may have given up
                return;
            }
            None => Packet::Other(text.to_owned()), // twice, or never asked for
        }
    } else if let Some(json) = text.strip_prefix("42") {
        let mut event = parse(json);
        Packet::Event(
            event[0].as_str().expect("the name of an event").to_owned(),
            event.get_mut(1).map_or(Value::Null, Value::take),
        )
    } else if text == "41" {
        Packet::Disconnect
    } else {
        Packet::Other(text.to_owned())
    };
    let _ = packets.send(packet);
}
