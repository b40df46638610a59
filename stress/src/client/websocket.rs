//! The client's side of a WebSocket's handshake.

use super::{Out, Reader, Tx};
use anyhow::{Result, bail};
use fastwebsockets::{
    FragmentCollectorRead, OpCode, Payload, Role, WebSocketError, after_handshake_split,
};
use memchr::memmem;
use std::io::Cursor;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The key and answer of RFC 6455's own example: every connection uses it, so
/// that the server's answer can be checked without a SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Makes a WebSocket of a connection, at the path and query `target`.
pub async fn open(
    mut stream: TcpStream,
    addr: SocketAddrV4,
    target: &str,
) -> Result<(Box<Reader>, Tx)> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {addr}\r\n\
         Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(1024);
    let end = loop {
        if stream.read_buf(&mut head).await? == 0 || head.len() > 65536 {
            bail!("no answer to the upgrade");
        }
        if let Some(i) = memmem::find(&head, b"\r\n\r\n") {
            break i + 4;
        }
    };
    if !head.starts_with(b"HTTP/1.1 101 ") || memmem::find(&head[..end], ACCEPT).is_none() {
        let said = refusal(&mut stream, head.split_off(end)).await;
        let line = head.split(|&c| c == b'\r').next().unwrap_or(b"");
        bail!("refused: {} {said}", String::from_utf8_lossy(line));
    }
    let rest = head.split_off(end);
    let (r, w) = stream.into_split();
    let (mut r, w) = after_handshake_split(Cursor::new(rest).chain(r), w, Role::Client);
    r.set_max_message_size(1 << 30);
    let tx = Tx(Arc::new(Mutex::new(Out::WebSocket(w))));
    Ok((Box::new(FragmentCollectorRead::new(r)), tx))
}

/// What a refusal says, of which this has come. Most servers end the connection behind it.
async fn refusal(stream: &mut TcpStream, mut body: Vec<u8>) -> String {
    let reading = async {
        while body.len() < 200 && stream.read_buf(&mut body).await.is_ok_and(|read| read > 0) {}
    };
    let _ = timeout(Duration::from_secs(1), reading).await;
    String::from_utf8_lossy(&body).trim().to_owned()
}

/// The next text of a WebSocket that gets no pings yet.
pub async fn text(ws: &mut Reader) -> Result<Payload<'static>> {
    let frame = ws.read_frame(&mut |_| async { Ok::<_, WebSocketError>(()) }).await?;
    if frame.opcode != OpCode::Text {
        bail!("a text was expected");
    }
    Ok(frame.payload)
}
