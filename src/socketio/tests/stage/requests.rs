//! Requests of these clients, each on a connection of its own.
use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::WebSocketStream;

/// A request, and its answer's status and body. The connection is its own.
pub(in crate::socketio) async fn http(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: &[u8],
) -> (u16, Vec<u8>) {
    begun(address, method, target, body, body.len()).await.answer().await
}

/// A request whose body is to have this length, and has come so far.
pub(in crate::socketio) async fn begun(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: &[u8],
    length: usize,
) -> Begun {
    let kind = if body.first().is_some_and(|b| *b < 2) {
        "application/octet-stream"
    } else {
        "text/plain"
    };
    let head = format!(
        "{method} /socket.io/?{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    Begun(stream)
}

pub(in crate::socketio) struct Begun(TcpStream);

impl Begun {
    pub(in crate::socketio) async fn send(&mut self, rest: &[u8]) {
        self.0.write_all(rest).await.unwrap();
    }

    pub(in crate::socketio) async fn answer(mut self) -> (u16, Vec<u8>) {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }
}

pub(in crate::socketio) async fn websocket(
    address: SocketAddr,
    query: &str,
) -> Option<Box<WebSocketStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/socket.io/?transport=websocket&{query}");
    Some(Box::new(tokio_tungstenite::client_async(url, stream).await.ok()?.0))
}
