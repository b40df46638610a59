//! engine.io 4 by polling: a connection for polls, and one for what is posted, both kept alive.

use crate::Ctx;
use crate::http::{FRESH, Http};
use crate::message::number;
use crate::sys::{self, now};
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::TcpStream;

/// What stands between two packets of a payload.
const SEPARATOR: u8 = 0x1e;

/// What comes in.
pub struct Polling {
    http: Http,
    request: String,
    pub sid: String,
    /// Milliseconds between the server's pings.
    pub interval: Option<u64>,
    asked: bool,
    packets: VecDeque<Vec<u8>>,
    ctx: Arc<Ctx>,
}

/// Counts an answer that says of a session that there is none.
fn known<T>(ctx: &Ctx, answer: Result<T>) -> Result<T> {
    answer.inspect_err(|error| {
        if error.to_string().contains("Session ID unknown") {
            ctx.stats.unknown.fetch_add(1, Relaxed);
        }
    })
}

impl Polling {
    /// The handshake.
    pub async fn open(stream: TcpStream, ctx: &Arc<Ctx>, addr: SocketAddrV4) -> Result<Self> {
        if ctx.opt.eio != 4 {
            bail!("--way polling and --way upgrade speak engine.io 4 only");
        }
        let request = |sid: &str| {
            format!(
                "GET {}?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: {addr}\r\n\r\n",
                ctx.opt.path
            )
        };
        let mut http = Http::new(stream);
        http.ask(request("").as_bytes()).await?;
        let open = http.answer().await?;
        let sid = std::str::from_utf8(&open)?
            .strip_prefix("0{")
            .and_then(|rest| rest.split_once("\"sid\":\""))
            .and_then(|(_, rest)| rest.split('"').next())
            .context("not an engine.io open packet")?
            .to_owned();
        Ok(Polling {
            http,
            request: request(&format!("&sid={sid}")),
            sid,
            interval: number(&open, "\"pingInterval\":"),
            asked: false,
            packets: VecDeque::new(),
            ctx: ctx.clone(),
        })
    }

    /// Sends a poll, unless one waits.
    pub async fn ask(&mut self) -> Result<()> {
        if !self.asked {
            self.http.ask(self.request.as_bytes()).await?;
            self.asked = true;
        }
        Ok(())
    }

    /// Whether a poll waits, or packets of one do.
    pub fn asked(&self) -> bool {
        self.asked || !self.packets.is_empty()
    }

    /// The next packet.
    pub async fn packet(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                return Ok(packet);
            }
            self.ask().await?;
            let body = known(&self.ctx, self.http.answer().await)?;
            self.asked = false;
            self.packets.extend(body.split(|byte| *byte == SEPARATOR).map(<[u8]>::to_vec));
        }
    }
}

/// What goes out.
pub struct Poster {
    http: Http,
    /// When the connection was used last.
    used: u64,
    addr: SocketAddrV4,
    source: Option<Ipv4Addr>,
    head: String,
    ctx: Arc<Ctx>,
}

impl Poster {
    pub async fn new(
        ctx: &Arc<Ctx>,
        addr: SocketAddrV4,
        source: Option<Ipv4Addr>,
        sid: &str,
    ) -> Result<Self> {
        let head = format!(
            "POST {}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: {addr}\r\n\
             Content-Type: text/plain;charset=UTF-8\r\nContent-Length: ",
            ctx.opt.path
        );
        let stream = sys::dial(addr, source, None).await?;
        Ok(Poster { http: Http::new(stream), used: now(), addr, source, head, ctx: ctx.clone() })
    }

    /// Posts one packet, and waits for the answer.
    pub async fn post(&mut self, packet: &[u8]) -> Result<()> {
        let mut request = format!("{}{}\r\n\r\n", self.head, packet.len()).into_bytes();
        request.extend_from_slice(packet);
        if now() - self.used > FRESH {
            self.http = Http::new(sys::dial(self.addr, self.source, None).await?);
        }
        self.http.ask(&request).await?;
        let answer = known(&self.ctx, self.http.answer().await).map(drop);
        self.used = now();
        answer
    }
}
