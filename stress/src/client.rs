//! One client. On socket.io: connect, engine.io heartbeat, authenticate, join; it begins as a
//! WebSocket, or polls and then upgrades, or polls for good (`--way`). On gotapi-ws and
//! react-wechat (`--dialect`): a WebSocket. Packets are recognised by their first bytes.

mod join;
pub mod websocket;

pub use join::join;

use crate::Ctx;
use crate::polling::{self, Polling};
use anyhow::{Result, bail};
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite,
};
use std::io::Cursor;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::Chain;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

pub const REMOTE_DISCONNECT: &[u8] = br#"42["remote_disconnect","#;
pub const REMOTE_JOIN: &[u8] = br#"42["remote_join","#;
const KICKOUT: &[u8] = br#"42["kickout","#;

/// What all connections of a run have seen.
#[derive(Default)]
pub struct Stats {
    pub packets: AtomicU64,
    pub pings: AtomicU64,
    pub pongs: AtomicU64,
    pub kicked: AtomicU64,
    /// Connections that ended while a reader was still on them.
    pub closed: AtomicU64,
    /// Requests for a polling session that the server did not know.
    pub unknown: AtomicU64,
}

/// What packets go out by.
enum Out {
    WebSocket(WebSocketWrite<OwnedWriteHalf>),
    Polling(polling::Poster),
}

/// The writing half; may be shared.
#[derive(Clone)]
pub struct Tx(Arc<Mutex<Out>>);

impl Tx {
    pub async fn frame(&self, frame: Frame<'_>) -> Result<()> {
        match &mut *self.0.lock().await {
            Out::WebSocket(ws) => Ok(ws.write_frame(frame).await?),
            Out::Polling(poster) if frame.opcode == OpCode::Text => {
                poster.post(&frame.payload).await
            }
            Out::Polling(_) => Ok(()),
        }
    }

    /// Sends a text frame, masking `text` in place.
    pub async fn text(&self, text: &mut [u8]) -> Result<()> {
        self.frame(Frame::text(Payload::BorrowedMut(text))).await
    }

    pub async fn send(&self, text: impl Into<String>) -> Result<()> {
        let text = text.into().into_bytes();
        self.frame(Frame::text(Payload::Owned(text))).await
    }

    /// socket.io disconnect, then a WebSocket close frame.
    pub async fn close(&self) -> Result<()> {
        self.send("41").await?;
        self.end().await
    }

    /// A WebSocket close frame.
    pub async fn end(&self) -> Result<()> {
        self.frame(Frame::close(1000, b"")).await
    }
}

pub type Reader = FragmentCollectorRead<Chain<Cursor<Vec<u8>>, OwnedReadHalf>>;

/// What packets come in by.
enum In {
    WebSocket(Box<Reader>),
    Polling(Polling),
}

/// The reading half.
pub struct Rx {
    source: In,
    tx: Tx,
    /// Version of engine.io; none for a WebSocket that carries nothing but messages.
    engine: Option<u8>,
    ctx: Arc<Ctx>,
}

impl Rx {
    /// The next text: an engine.io packet, whatever is in it.
    async fn frame(&mut self) -> Result<Payload<'static>> {
        let tx = &self.tx;
        let ws = match &mut self.source {
            In::WebSocket(ws) => ws,
            In::Polling(polling) => return Ok(Payload::Owned(polling.packet().await?)),
        };
        loop {
            let answer = &mut |f| async move {
                tx.frame(f).await.map_err(|_| WebSocketError::ConnectionClosed)
            };
            let frame = ws.read_frame(answer).await?;
            match frame.opcode {
                OpCode::Text => return Ok(frame.payload),
                OpCode::Close => bail!("closed by the server"),
                _ => {}
            }
        }
    }

    /// The next socket.io packet, or message of gotapi-ws or react-wechat; engine.io's own packets
    /// are dealt with here.
    pub async fn next(&mut self) -> Result<Payload<'static>> {
        loop {
            let p = self.frame().await?;
            if self.engine.is_none() {
                self.ctx.stats.packets.fetch_add(1, Relaxed);
                return Ok(p);
            }
            match p.first() {
                Some(b'4') => {
                    self.ctx.stats.packets.fetch_add(1, Relaxed);
                    if p.starts_with(KICKOUT) {
                        self.ctx.stats.kicked.fetch_add(1, Relaxed);
                    }
                    if p.starts_with(b"41") {
                        bail!("disconnected by the server");
                    }
                    return Ok(p);
                }
                Some(b'2') if self.engine == Some(4) => {
                    self.ctx.stats.pings.fetch_add(1, Relaxed);
                    // On its own task: a stuck write must not stop the reading.
                    let tx = self.tx.clone();
                    tokio::spawn(async move { tx.send("3").await });
                }
                Some(b'3') => {
                    self.ctx.stats.pongs.fetch_add(1, Relaxed);
                }
                Some(b'1') => bail!("engine closed by the server"),
                _ => {}
            }
        }
    }

    /// The next packet that starts with `prefix`; others are dropped.
    pub async fn wait(&mut self, prefix: &[u8]) -> Result<Payload<'static>> {
        loop {
            let p = self.next().await?;
            if p.starts_with(prefix) {
                return Ok(p);
            }
        }
    }

    /// Reads to the end of the connection on a task of its own.
    pub fn spawn(mut self, mut on_packet: impl FnMut(&[u8]) + Send + 'static) {
        tokio::spawn(async move {
            while let Ok(p) = self.next().await {
                on_packet(&p);
            }
            self.ctx.stats.closed.fetch_add(1, Relaxed);
        });
    }
}

pub struct Conn {
    pub rx: Rx,
    pub tx: Tx,
    pub local: SocketAddrV4,
    /// The same socket once more, if `Manner::reset` asked for it: what reads and writes owns the
    /// first.
    pub socket: Option<OwnedFd>,
    pub times: Times,
}

/// Nanoseconds from the start of the TCP connect.
#[derive(Clone, Copy, Default)]
pub struct Times {
    pub upgraded: u64,
    /// engine.io and socket.io are connected.
    pub opened: u64,
    pub authenticated: u64,
    pub joined: u64,
}

pub struct Fail {
    pub stage: &'static str,
    pub error: String,
}

/// How a client is to behave beyond the ordinary.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    pub rcvbuf: Option<u32>,
    /// Who never reads cannot answer pings either: stay silent (`Mute`), or
    /// send heartbeats unasked (`Unasked`).
    pub heartbeat: Heartbeat,
    /// Keep a way to reset the connection.
    pub reset: bool,
    /// Reset the connection when it is dropped.
    pub abrupt: bool,
    /// Of react-wechat: leave what the server sends at the beginning to who asked for this.
    pub unread: bool,
    /// Where to; none: the first node, and of a crowd the node whose turn it is.
    pub node: Option<SocketAddrV4>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Heartbeat {
    #[default]
    Normal,
    Unasked,
    Mute,
}
