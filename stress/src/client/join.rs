//! How a client gets into its room: the steps of each dialect.

use super::websocket::{self, text};
use super::{Conn, Fail, Heartbeat, In, Manner, Out, Rx, Times, Tx};
use crate::message::number;
use crate::polling::{self, Polling};
use crate::{Ctx, Dialect, Way, sys};
use anyhow::{Result, bail};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

const AUTHENTICATE: &[u8] = br#"42["authenticate","#;
const JOIN: &[u8] = br#"42["join","#;
/// What a client of react-wechat is sent behind all that waited for it.
const CONTACTS: &[u8] = br#"{"type":"wechat/save","#;
/// What it sends again and again, and when.
const HEARTBEAT: &str = r#"{"type":"heartbeat","payload":{"time":0}}"#;
const HEARTBEATS: Duration = Duration::from_secs(10);

/// What a client is doing until it has joined.
#[derive(Clone, Copy)]
enum Stage {
    Tcp,
    Upgrade,
    Open,
    Authenticate,
    Join,
}

const STAGES: [&str; 5] = ["tcp", "upgrade", "open", "authenticate", "join"];

/// Connects, authenticates as `uid` and joins `room`.
pub async fn join(ctx: &Arc<Ctx>, uid: &str, room: &str, how: Manner) -> Result<Conn, Fail> {
    let fail = |stage, error: anyhow::Error| Fail { stage, error: format!("{error:#}") };
    let token = ctx.token(uid).await.map_err(|e| fail("token", e))?;
    let stage = AtomicU8::new(0);
    let at = || STAGES[stage.load(Relaxed) as usize];
    let newcomer = Newcomer {
        ctx,
        addr: how.node.unwrap_or(ctx.addr),
        source: ctx.source(),
        how,
        start: sys::now(),
        stage: &stage,
    };
    match timeout(ctx.timeout, newcomer.steps(uid, &token, room)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(e)) => Err(fail(at(), e)),
        Err(_) => Err(fail(at(), anyhow::anyhow!("timeout"))),
    }
}

/// One client that is about to join.
struct Newcomer<'a> {
    ctx: &'a Arc<Ctx>,
    addr: SocketAddrV4,
    /// Where all of its connections come from.
    source: Option<Ipv4Addr>,
    how: Manner,
    start: u64,
    stage: &'a AtomicU8,
}

impl Newcomer<'_> {
    fn at(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }

    fn since(&self) -> u64 {
        sys::now() - self.start
    }

    async fn dial(&self) -> Result<TcpStream> {
        let stream = sys::dial(self.addr, self.source, self.how.rcvbuf).await?;
        if self.how.abrupt {
            sys::abrupt(&stream)?;
        }
        Ok(stream)
    }

    async fn steps(&self, uid: &str, token: &str, room: &str) -> Result<Conn> {
        self.at(Stage::Tcp);
        let stream = self.dial().await?;
        let socket = self.how.reset.then(|| stream.as_fd().try_clone_to_owned()).transpose()?;
        let SocketAddr::V4(local) = stream.local_addr()? else {
            bail!("an unexpected local address");
        };
        let mut times = Times::default();
        let rx = match self.ctx.opt.dialect {
            Dialect::Gotapi => self.gotapi(stream, room, &mut times).await?,
            Dialect::AlwaysOnline => {
                let mut rx = self.connect(stream, &mut times).await?;
                self.enter(&mut rx, uid, token, room, &mut times).await?;
                rx
            }
            Dialect::ChatService => {
                let mut rx = self.connect(stream, &mut times).await?;
                self.chat(&mut rx, uid, token, room, &mut times).await?;
                rx
            }
            Dialect::Wechat => self.wechat(stream, token, &mut times).await?,
        };
        times.joined = self.since();
        Ok(Conn { tx: rx.tx.clone(), rx, local, socket, times })
    }

    /// gotapi-ws: who has the answer to its handshake is in the room that the path names.
    async fn gotapi(&self, stream: TcpStream, room: &str, times: &mut Times) -> Result<Rx> {
        self.at(Stage::Upgrade);
        let (ws, tx) = websocket::open(stream, self.addr, &format!("/{room}")).await?;
        times.upgraded = self.since();
        (times.opened, times.authenticated) = (times.upgraded, times.upgraded);
        Ok(Rx { source: In::WebSocket(ws), tx, engine: None, ctx: self.ctx.clone() })
    }

    /// react-wechat: who has its contacts has all that waited, too. There are no rooms.
    async fn wechat(&self, stream: TcpStream, token: &str, times: &mut Times) -> Result<Rx> {
        self.at(Stage::Upgrade);
        let target = format!("/wechat/{}", token.trim_matches('"'));
        let (ws, tx) = websocket::open(stream, self.addr, &target).await?;
        times.upgraded = self.since();
        (times.opened, times.authenticated) = (times.upgraded, times.upgraded);
        let mut rx = Rx { source: In::WebSocket(ws), tx, engine: None, ctx: self.ctx.clone() };
        if !self.how.unread {
            self.at(Stage::Join);
            rx.wait(CONTACTS).await?;
        }
        if self.how.heartbeat != Heartbeat::Mute {
            repeat(&rx.tx, HEARTBEAT, HEARTBEATS);
        }
        Ok(rx)
    }

    /// engine.io and socket.io.
    async fn connect(&self, stream: TcpStream, times: &mut Times) -> Result<Rx> {
        let (ctx, addr, eio) = (self.ctx, self.addr, self.ctx.opt.eio);
        let (source, tx, interval) = match ctx.opt.way {
            Way::Websocket => {
                self.at(Stage::Upgrade);
                let (mut ws, tx) = websocket::open(stream, addr, &self.target("")).await?;
                times.upgraded = self.since();
                self.at(Stage::Open);
                let open = text(&mut ws).await?;
                if !open.starts_with(b"0{") {
                    bail!("not an engine.io open packet: {}", show(&open));
                }
                let interval = number(&open, "\"pingInterval\":");
                if eio == 4 && self.is_at_root() {
                    tx.send("40").await?;
                }
                (In::WebSocket(ws), tx, interval)
            }
            Way::Polling | Way::Upgrade => {
                self.at(Stage::Open);
                let polling = Polling::open(stream, ctx, addr).await?;
                let interval = polling.interval;
                let poster = polling::Poster::new(ctx, addr, self.source, &polling.sid).await?;
                let tx = Tx(Arc::new(Mutex::new(Out::Polling(poster))));
                if self.is_at_root() {
                    tx.send("40").await?;
                }
                (In::Polling(polling), tx, interval)
            }
        };
        let mut rx = Rx { source, tx, engine: Some(eio), ctx: ctx.clone() };
        if self.is_at_root() {
            let connected = rx.next().await?;
            // In EIO 4 the answer names the session; a bare 40 is EIO 3.
            if !connected.starts_with(if eio == 4 { b"40{" } else { b"40" }) {
                bail!("not connected, or not EIO {eio}: {}", show(&connected));
            }
        }
        if ctx.opt.way == Way::Upgrade {
            self.upgrade(&mut rx).await?;
            times.upgraded = self.since();
        }
        self.beat(&rx.tx, Duration::from_millis(interval.unwrap_or(25_000)));
        times.opened = self.since();
        Ok(rx)
    }

    /// Where engine.io's WebSockets are: a session of its own, or that of a `sid` which polls.
    fn target(&self, sid: &str) -> String {
        let opt = &self.ctx.opt;
        format!("{}?EIO={}&transport=websocket{sid}", opt.path, opt.eio)
    }

    /// CONNECT to the root, which is all that most clients do. Of chat-service only those of
    /// engine.io 3 are there, and without being asked.
    fn is_at_root(&self) -> bool {
        self.ctx.opt.dialect != Dialect::ChatService || self.ctx.opt.eio == 3
    }

    /// From polling to a WebSocket.
    async fn upgrade(&self, rx: &mut Rx) -> Result<()> {
        let In::Polling(polling) = &mut rx.source else { bail!("it does not poll") };
        self.at(Stage::Upgrade);
        // The poll that waits is ended by the probe.
        polling.ask().await?;
        let target = self.target(&format!("&sid={}", polling.sid));
        let (mut ws, out) = websocket::open(self.dial().await?, self.addr, &target).await?;
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
        *rx.tx.0.lock().await = out;
        rx.source = In::WebSocket(ws);
        Ok(())
    }

    /// Sends heartbeats, where they are the client's to send.
    fn beat(&self, tx: &Tx, interval: Duration) {
        let beat = match (self.ctx.opt.eio, self.how.heartbeat) {
            (3, Heartbeat::Normal | Heartbeat::Unasked) => "2",
            (4, Heartbeat::Unasked) => "3",
            _ => return,
        };
        repeat(tx, beat, interval);
    }

    /// chat-service: connects to its namespace and joins a room, which is made where it is not
    /// there.
    async fn chat(
        &self,
        rx: &mut Rx,
        uid: &str,
        token: &str,
        room: &str,
        times: &mut Times,
    ) -> Result<()> {
        self.at(Stage::Authenticate);
        let connect = match self.ctx.opt.eio {
            4 => format!(r#"40/chat-service,{{"user":"{uid}","token":{token}}}"#),
            _ => format!("40/chat-service?user={uid}&token={},", token.trim_matches('"')),
        };
        rx.tx.send(connect).await?;
        let login = rx.wait(br#"42/chat-service,["login"#).await?;
        if !login.starts_with(br#"42/chat-service,["loginConfirmed""#) {
            bail!("refused: {}", show(&login));
        }
        times.authenticated = self.since();
        self.at(Stage::Join);
        let join = format!(r#"42/chat-service,1["roomJoin","{room}"]"#);
        rx.tx.send(join.clone()).await?;
        let answer = rx.wait(b"43/chat-service,1[").await?;
        if answer.starts_with(b"43/chat-service,1[null,") {
            return Ok(());
        }
        // Another member may make it at the same time.
        rx.tx.send(format!(r#"42/chat-service,2["roomCreate","{room}",false]"#)).await?;
        rx.wait(b"43/chat-service,2[").await?;
        rx.tx.send(join).await?;
        let answer = rx.wait(b"43/chat-service,1[").await?;
        if !answer.starts_with(b"43/chat-service,1[null,") {
            bail!("refused: {}", show(&answer));
        }
        Ok(())
    }

    /// always-online: signs in and joins.
    async fn enter(
        &self,
        rx: &mut Rx,
        uid: &str,
        token: &str,
        room: &str,
        times: &mut Times,
    ) -> Result<()> {
        self.at(Stage::Authenticate);
        let sign_in = format!(r#"42["authenticate",{{"uid":"{uid}","token":{token}}}]"#);
        rx.tx.send(sign_in).await?;
        accepted(&rx.wait(AUTHENTICATE).await?)?;
        times.authenticated = self.since();
        self.at(Stage::Join);
        rx.tx.send(format!(r#"42["join",{{"roomId":"{room}"}}]"#)).await?;
        accepted(&rx.wait(JOIN).await?)
    }
}

/// Sends a text again and again, until the connection ends.
fn repeat(tx: &Tx, text: &'static str, interval: Duration) {
    let tx = Arc::downgrade(&tx.0);
    tokio::spawn(async move {
        loop {
            sleep(interval).await;
            let Some(tx) = tx.upgrade().map(Tx) else { break };
            if tx.send(text).await.is_err() {
                break;
            }
        }
    });
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
