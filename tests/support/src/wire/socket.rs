//! Engine.io by WebSocket, down to the bytes of a frame.
use std::net::SocketAddr;

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderName},
};

use super::Version;
use crate::soon;

/// Bits of a frame's first byte: the last frame of its message, and what it is.
pub const FINAL: u8 = 0x80;
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A WebSocket, open or ended.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// A new engine session; its open packet is still to be read.
    pub async fn open(address: SocketAddr, version: Version) -> Socket {
        Self::upgrade(
            address,
            &format!("/socket.io/?EIO={}&transport=websocket", version.eio()),
            &[],
        )
        .await
        .unwrap()
    }

    /// Any upgrade request. The error is an [`Error::Http`] where the server answers that it won't.
    pub async fn upgrade(
        address: SocketAddr,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, Error> {
        let mut request = format!("ws://{address}{target}").into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await?;
        let _ = stream.set_nodelay(true); // as clients have it
        let (stream, _) =
            soon("an answer to an upgrade", tokio_tungstenite::client_async(request, stream))
                .await?;
        Ok(Socket { stream })
    }

    /// One that was upgraded elsewhere.
    pub fn from_stream(stream: WebSocketStream<TcpStream>) -> Socket {
        Socket { stream }
    }

    /// Sends text. On an ended connection it is lost: that it ended is what its reader learns.
    pub async fn send(&mut self, text: &str) {
        let _ = soon("room for a frame", self.stream.send(Message::text(text))).await;
    }

    /// Sends texts in one go.
    pub async fn send_all(&mut self, texts: &[String]) {
        for text in texts {
            if self.stream.feed(Message::text(text)).await.is_err() {
                return;
            }
        }
        let _ = self.stream.flush().await;
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        let _ = soon("room for a frame", self.stream.send(Message::binary(bytes.to_vec()))).await;
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = soon("room for bytes", self.stream.get_mut().write_all(bytes)).await;
    }

    /// The next text; nothing once the connection has ended.
    pub async fn receive(&mut self) -> Option<String> {
        loop {
            match soon("a frame", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(bytes))) => {
                    panic!("a binary frame of {} bytes", bytes.len())
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            }
        }
    }

    /// Reads to the end; the code of the Close frame, if there is one, and one in it.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            match soon("a frame", self.stream.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Both directions, each on its own.
    pub fn split(
        self,
    ) -> (SplitSink<WebSocketStream<TcpStream>, Message>, SplitStream<WebSocketStream<TcpStream>>)
    {
        self.stream.split()
    }

    /// The connection itself, for those who do with it as they like.
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}

/// A frame (RFC 6455, 5.2): `first` holds its bits and opcode. Clients mask, and the mask may be
/// zero.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64, true);
    frame.extend_from_slice(payload);
    frame
}

/// A frame's head, for a payload of this length.
pub fn head(first: u8, length: u64, masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut head = vec![first];
    match length {
        0..126 => head.push(mask | length as u8),
        126..65_536 => {
            head.push(mask | 126);
            head.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            head.push(mask | 127);
            head.extend_from_slice(&length.to_be_bytes());
        }
    }
    if masked {
        head.extend_from_slice(&[0; 4]);
    }
    head
}
