//! The cheapest server conceivable on one core, to measure others against: one prepared frame and
//! one write per delivery. It checks nothing, stores nothing, forgets who is slow, and believes
//! every client. Not a real server: it exists for the load generator.
//!
//!     floor [PORT]      prints where it listens, as the server does: websocket http://127.0.0.1:PORT

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use fastwebsockets::{OpCode, Role, WebSocketError, after_handshake_split};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    task::{LocalSet, spawn_local},
};

/// Members of each room, by the number of their connection.
type Rooms = Rc<RefCell<HashMap<String, Vec<(usize, Rc<OwnedWriteHalf>)>>>>;

/// The load generator's every connection uses the key of RFC 6455's own example, so the answer is
/// always the same.
const UPGRADE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const OPEN: &[u8] = br#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
const AUTHENTICATED: &[u8] = br#"42["authenticate",{"status":0,"data":"auth success"}]"#;
const JOINED: &[u8] = br#"42["join",{"status":0,"data":"join success"}]"#;
const JOIN: &[u8] = br#"42["join",{"roomId":""#;

/// A WebSocket text frame as a server sends it.
fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        n @ 0..126 => frame.push(n as u8),
        n @ 126..65536 => {
            frame.push(126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(text);
    frame
}

/// fastwebsockets wants somewhere to answer pings; frames are written past it.
struct Nowhere;

impl AsyncWrite for Nowhere {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn serve(id: usize, mut stream: TcpStream, rooms: Rooms) -> Result<(), WebSocketError> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let eio3 = head.windows(5).any(|w| w == b"EIO=3");
    stream.write_all(UPGRADE).await?;
    let (reading, writing) = stream.into_split();
    let writing = Rc::new(writing);
    // What does not fit is lost: the generator counts it.
    let put = |text: &[u8]| drop(writing.try_write(&frame(text)));
    put(OPEN);
    if eio3 {
        put(b"40");
    }
    let (mut reading, _) = after_handshake_split(reading, Nowhere, Role::Server);
    let mut room = String::new();
    while let Ok(f) = reading.read_frame::<_, WebSocketError>(&mut |_| async { Ok(()) }).await {
        let packet = &f.payload[..];
        if packet.starts_with(b"42[\"msg\"") {
            let frame = frame(packet);
            for (_, member) in
                rooms.borrow().get(&room).into_iter().flatten().filter(|(i, _)| *i != id)
            {
                let _ = member.try_write(&frame);
            }
        } else if packet == b"40" {
            put(br#"40{"sid":"y"}"#);
        } else if packet == b"2" {
            put(b"3");
        } else if packet.starts_with(b"42[\"auth") {
            put(AUTHENTICATED);
        } else if let Some(name) = packet.strip_prefix(JOIN) {
            room = String::from_utf8_lossy(name.strip_suffix(b"\"}]").unwrap_or(name)).into();
            rooms.borrow_mut().entry(room.clone()).or_default().push((id, writing.clone()));
            put(JOINED);
        } else if packet.starts_with(b"42[\"leave") || f.opcode == OpCode::Close {
            break;
        }
    }
    if let Some(members) = rooms.borrow_mut().get_mut(&room) {
        members.retain(|(i, _)| *i != id);
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("websocket http://{}", listener.local_addr()?);
        let rooms = Rooms::default();
        for id in 0.. {
            let (stream, _) = listener.accept().await?;
            spawn_local(serve(id, stream, rooms.clone()));
        }
        Ok(())
    })
}
