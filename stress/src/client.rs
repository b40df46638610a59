//! One socket.io client: connect, engine.io heartbeat, authenticate, join. It begins as a WebSocket,
//! or polls and then upgrades, or polls for good (`--way`). Packets are recognised by their first
//! bytes.

use crate::message::number;
use crate::polling::{self, Polling};
use crate::sys;
use crate::{Ctx, Way};
use anyhow::{Result, bail};
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, WebSocketWrite,
    after_handshake_split,
};
use memchr::memmem;
use std::io::Cursor;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Chain};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

pub const REMOTE_DISCONNECT: &[u8] = br#"42["remote_disconnect","#;
pub const REMOTE_JOIN: &[u8] = br#"42["remote_join","#;
const AUTHENTICATE: &[u8] = br#"42["authenticate","#;
const JOIN: &[u8] = br#"42["join","#;
const KICKOUT: &[u8] = br#"42["kickout","#;

/// The key and answer of RFC 6455's own example: every connection uses it, so
/// that the server's answer can be checked without a SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What all connections of a run have seen.
#[derive(Default)]
pub struct Stats {
    pub packets: AtomicU64,
    pub pings: AtomicU64,
    pub pongs: AtomicU64,
    pub kicked: AtomicU64,
    /// Connections that ended while a reader was still on them.
    pub closed: AtomicU64,
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
    async fn frame(&self, frame: Frame<'_>) -> Result<()> {
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
        self.frame(Frame::close(1000, b"")).await
    }
}

type Reader = FragmentCollectorRead<Chain<Cursor<Vec<u8>>, OwnedReadHalf>>;

/// What packets come in by.
enum In {
    WebSocket(Box<Reader>),
    Polling(Polling),
}

/// The reading half.
pub struct Rx {
    source: In,
    tx: Tx,
    eio: u8,
    ctx: Arc<Ctx>,
}

impl Rx {
    /// The next engine.io packet, whatever is in it.
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

    /// The next socket.io packet; engine.io's own packets are dealt with here.
    pub async fn next(&mut self) -> Result<Payload<'static>> {
        loop {
            let p = self.frame().await?;
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
                Some(b'2') if self.eio == 4 => {
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

const STAGES: [&str; 5] = ["tcp", "upgrade", "open", "authenticate", "join"];

/// How a client is to behave beyond the ordinary.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    pub rcvbuf: Option<u32>,
    /// Who never reads cannot answer pings either: stay silent (`Mute`), or
    /// send heartbeats unasked (`Unasked`).
    pub heartbeat: Heartbeat,
    /// Keep a way to reset the connection.
    pub reset: bool,
    /// Where to; none: the first node.
    pub node: Option<std::net::SocketAddrV4>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Heartbeat {
    #[default]
    Normal,
    Unasked,
    Mute,
}

/// Connects, authenticates as `uid` and joins `room`.
pub async fn join(ctx: &Arc<Ctx>, uid: &str, room: &str, how: Manner) -> Result<Conn, Fail> {
    let fail = |stage, error: anyhow::Error| Fail { stage, error: format!("{error:#}") };
    let token = ctx.token(uid).await.map_err(|e| fail("token", e))?;
    let stage = AtomicU8::new(0);
    let at = || STAGES[stage.load(Relaxed) as usize];
    match timeout(ctx.timeout, steps(ctx, uid, &token, room, how, &stage)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(e)) => Err(fail(at(), e)),
        Err(_) => Err(fail(at(), anyhow::anyhow!("timeout"))),
    }
}

async fn steps(
    ctx: &Arc<Ctx>,
    uid: &str,
    token: &str,
    room: &str,
    how: Manner,
    stage: &AtomicU8,
) -> Result<Conn> {
    let start = sys::now();
    let since = || sys::now() - start;
    let mut times = Times::default();
    let addr = how.node.unwrap_or(ctx.addr);
    let stream = sys::dial(addr, ctx.source(), how.rcvbuf).await?;
    let socket = how.reset.then(|| stream.as_fd().try_clone_to_owned()).transpose()?;
    let local = match stream.local_addr()? {
        std::net::SocketAddr::V4(a) => a,
        other => bail!("unexpected local address {other}"),
    };

    let eio = ctx.opt.eio;
    let (source, tx, interval) = match ctx.opt.way {
        Way::Websocket => {
            stage.store(1, Relaxed);
            let (mut ws, tx) = websocket(stream, ctx, addr, None).await?;
            times.upgraded = since();
            stage.store(2, Relaxed);
            let open = text(&mut ws).await?;
            if !open.starts_with(b"0{") {
                bail!("not an engine.io open packet: {}", show(&open));
            }
            let interval = number(&open, "\"pingInterval\":");
            if eio == 4 {
                tx.send("40").await?;
            }
            (In::WebSocket(ws), tx, interval)
        }
        Way::Polling | Way::Upgrade => {
            stage.store(2, Relaxed);
            let polling = Polling::open(stream, ctx, addr).await?;
            let interval = polling.interval;
            let poster = polling::Poster::new(ctx, addr, &polling.sid).await?;
            let tx = Tx(Arc::new(Mutex::new(Out::Polling(poster))));
            tx.send("40").await?;
            (In::Polling(polling), tx, interval)
        }
    };
    let mut rx = Rx { source, tx: tx.clone(), eio, ctx: ctx.clone() };
    let interval = Duration::from_millis(interval.unwrap_or(25_000));
    let connected = rx.next().await?;
    // In EIO 4 the answer names the session; a bare 40 is EIO 3.
    if !connected.starts_with(if eio == 4 { b"40{" } else { b"40" }) {
        bail!("not connected, or not EIO {eio}: {}", show(&connected));
    }
    if let (Way::Upgrade, In::Polling(polling)) = (ctx.opt.way, &mut rx.source) {
        stage.store(1, Relaxed);
        // The poll that waits is ended by the probe.
        polling.ask().await?;
        let socket = sys::dial(addr, ctx.source(), how.rcvbuf).await?;
        let (mut ws, out) = websocket(socket, ctx, addr, Some(&polling.sid)).await?;
        out.send("2probe").await?;
        let answer = text(&mut ws).await?;
        if &*answer != b"3probe" {
            bail!("not the answer to a probe: {}", show(&answer));
        }
        while polling.asked() {
            polling.packet().await?;
        }
        out.send("5").await?;
        let Ok(out) = Arc::try_unwrap(out.0).map(Mutex::into_inner) else {
            bail!("its writing half is shared")
        };
        *tx.0.lock().await = out;
        rx.source = In::WebSocket(ws);
        times.upgraded = since();
    }
    let beat = match (eio, how.heartbeat) {
        (3, Heartbeat::Normal | Heartbeat::Unasked) => Some("2"),
        (4, Heartbeat::Unasked) => Some("3"),
        _ => None,
    };
    if let Some(beat) = beat {
        let tx = Arc::downgrade(&tx.0);
        tokio::spawn(async move {
            loop {
                sleep(interval).await;
                let Some(tx) = tx.upgrade().map(Tx) else { break };
                if tx.send(beat).await.is_err() {
                    break;
                }
            }
        });
    }
    times.opened = since();

    stage.store(3, Relaxed);
    tx.send(format!(r#"42["authenticate",{{"uid":"{uid}","token":{token}}}]"#)).await?;
    accepted(&rx.wait(AUTHENTICATE).await?)?;
    times.authenticated = since();

    stage.store(4, Relaxed);
    tx.send(format!(r#"42["join",{{"roomId":"{room}"}}]"#)).await?;
    accepted(&rx.wait(JOIN).await?)?;
    times.joined = since();
    Ok(Conn { rx, tx, local, socket, times })
}

/// Makes a WebSocket of a connection: a session of its own, or that of a `sid` which polls.
async fn websocket(
    mut stream: TcpStream,
    ctx: &Ctx,
    addr: SocketAddrV4,
    sid: Option<&str>,
) -> Result<(Box<Reader>, Tx)> {
    let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
    let request = format!(
        "GET {}?EIO={}&transport=websocket{sid} HTTP/1.1\r\nHost: {addr}\r\n\
         Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        ctx.opt.path, ctx.opt.eio
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
        let line = head.split(|&c| c == b'\r').next().unwrap_or(b"");
        bail!("refused: {}", String::from_utf8_lossy(line));
    }
    let rest = head.split_off(end);
    let (r, w) = stream.into_split();
    let (mut r, w) = after_handshake_split(Cursor::new(rest).chain(r), w, Role::Client);
    r.set_max_message_size(1 << 30);
    let tx = Tx(Arc::new(Mutex::new(Out::WebSocket(w))));
    Ok((Box::new(FragmentCollectorRead::new(r)), tx))
}

/// The next text of a WebSocket that gets no pings yet.
async fn text(ws: &mut Reader) -> Result<Payload<'static>> {
    let frame = ws.read_frame(&mut |_| async { Ok::<_, WebSocketError>(()) }).await?;
    if frame.opcode != OpCode::Text {
        bail!("a text was expected");
    }
    Ok(frame.payload)
}

fn accepted(answer: &[u8]) -> Result<()> {
    if number(answer, "\"status\":") != Some(0) {
        bail!("refused: {}", show(answer));
    }
    Ok(())
}

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned()
}
