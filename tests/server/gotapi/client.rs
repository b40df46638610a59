//! A client of gotapi-ws that reads all the time, as the server's pings want to be answered, and
//! the HTTP side as its client library uses it.
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use support::{
    http::{self, Answer},
    server::{Server, Setup},
    soon,
    wire::socket::Socket,
};

/// A server with this dialect.
pub fn setup() -> Setup {
    Setup::new().env("AO_GOTAPI__LISTEN", "127.0.0.1:0").env("AO_GOTAPI__SECRET", "open sesame")
}

/// Where a server has it.
pub fn place(server: &Server) -> SocketAddr {
    server.address("gotapi")
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    /// The end, with the code of the Close frame.
    End(Option<u16>),
}

/// A WebSocket whose frames are read as they come.
pub struct Client {
    to: SplitSink<WebSocketStream<TcpStream>, Message>,
    from: mpsc::UnboundedReceiver<Got>,
    reading: tokio::task::AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reading.abort(); // and with it goes the connection
    }
}

impl Client {
    /// One that is in the room of this path.
    pub async fn join(address: SocketAddr, path: &str) -> Client {
        Self::of(Socket::upgrade(address, path, &[]).await.unwrap())
    }

    pub fn of(socket: Socket) -> Client {
        let (to, mut frames) = socket.split();
        let (got, from) = mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            loop {
                let next = match frames.next().await {
                    Some(Ok(Message::Text(text))) => Got::Text(text.to_string()),
                    Some(Ok(Message::Binary(bytes))) => Got::Binary(bytes.to_vec()),
                    Some(Ok(Message::Close(frame))) => Got::End(frame.map(|f| f.code.into())),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Err(_)) | None => Got::End(None),
                };
                let end = matches!(next, Got::End(_));
                if got.send(next).is_err() || end {
                    return;
                }
            }
        });
        Client { to, from, reading: reading.abort_handle() }
    }

    pub async fn send(&mut self, text: &str) {
        let _ = soon("room for a frame", self.to.send(Message::text(text))).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        let _ = soon("room for a frame", self.to.send(Message::binary(bytes.to_vec()))).await;
    }

    /// Sends texts in one go.
    pub async fn send_all(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            if self.to.feed(Message::text(text)).await.is_err() {
                return; // its reader learns the same
            }
        }
        let _ = self.to.flush().await;
    }

    /// What comes next.
    pub async fn next(&mut self) -> Got {
        soon("a frame", self.from.recv()).await.expect("something behind the end")
    }

    /// The next text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Got::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    /// Fails unless this comes next.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let got = self.next().await;
            assert_eq!(got, Got::Text(text.to_owned()), "{caller}");
        }
    }

    /// Sends a message that is stored, and waits for its acknowledgement, which comes next.
    pub async fn store(&mut self, message: &str) {
        self.send(message).await;
        let uuid = serde_json::from_str::<Value>(message).unwrap()["uuid"].clone();
        self.expect(&ack(uuid.as_str().unwrap_or_default())).await;
    }

    /// It is there, and has got nothing so far that was not looked at.
    pub async fn has_heard_nothing(&mut self) {
        let marker = uuid();
        self.store(&high(&marker, "marker")).await;
    }
}

/// A uuid that nothing else has.
pub fn uuid() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("uuid-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A message that is stored.
pub fn high(uuid: &str, data: &str) -> String {
    format!(r#"{{"type":2,"uuid":"{uuid}","body":{{"data":"{data}","hash":"","sent":false}}}}"#)
}

/// The acknowledgement of a message, byte for byte.
pub fn ack(uuid: &str) -> String {
    about(uuid, 1)
}

/// What members are told of a message that was recalled.
pub fn recalled(uuid: &str) -> String {
    about(uuid, 6)
}

fn about(uuid: &str, command: u8) -> String {
    format!(
        r#"{{"uuid":"{uuid}","body":{{"data":null,"sent":false,"hash":""}},"type":1,"command":{command},"queryArgs":{{"uuid":""}},"pullargs":{{"offset":0,"size":0}}}}"#
    )
}

/// POST with a query and no body, as the client library does it.
pub async fn ask(address: SocketAddr, path: &str) -> Answer {
    http::request(address, "POST", path, &[], "").await
}

/// POST of a message to a room.
pub async fn post(address: SocketAddr, room: &str, message: &str) -> Answer {
    http::request(address, "POST", room, &[], message).await
}

/// The texts of a room's history; `query` may have a position and a size.
pub async fn history(address: SocketAddr, room: &str, query: &str) -> Vec<String> {
    let answer = ask(address, &format!("/__/history?groupName={room}{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let texts = answer.json()["data"].as_array().unwrap().clone();
    texts.into_iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The rooms with members.
pub async fn groups(address: SocketAddr) -> Vec<String> {
    let answer = http::get(address, "/__/groups?secret=open%20sesame").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.lines().map(str::to_owned).collect()
}

/// The server answers, and none of its tasks has panicked.
pub async fn unharmed(server: &Server) {
    assert_eq!(http::get(place(server), "/__status").await.body, "status ok!");
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}
