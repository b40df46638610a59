//! engine.io 4 by polling: a connection for polls, and one for what is posted, both kept alive.

use crate::message::number;
use crate::{Ctx, sys};
use anyhow::{Context, Result, bail};
use memchr::memmem;
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What stands between two packets of a payload.
const SEPARATOR: u8 = 0x1e;

/// A kept-alive HTTP connection with one request at a time.
struct Http {
    stream: TcpStream,
    /// Read, and not used.
    rest: Vec<u8>,
}

impl Http {
    /// The body of the answer to the request that was sent before.
    async fn answer(&mut self) -> Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.rest);
        let end = loop {
            if let Some(end) = memmem::find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            self.read(&mut bytes).await?;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200 ") {
            bail!("refused: {}", head.lines().next().unwrap_or(""));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer without a length")?.trim().parse()?;
        while bytes.len() < end + length {
            self.read(&mut bytes).await?;
        }
        self.rest = bytes.split_off(end + length);
        Ok(bytes.split_off(end))
    }

    async fn read(&mut self, into: &mut Vec<u8>) -> Result<()> {
        if self.stream.read_buf(into).await? == 0 {
            bail!("closed by the server");
        }
        Ok(())
    }
}

/// What comes in.
pub struct Polling {
    http: Http,
    request: String,
    pub sid: String,
    /// Milliseconds between the server's pings.
    pub interval: Option<u64>,
    asked: bool,
    packets: VecDeque<Vec<u8>>,
}

impl Polling {
    /// The handshake.
    pub async fn open(stream: TcpStream, ctx: &Ctx, addr: SocketAddrV4) -> Result<Self> {
        if ctx.opt.eio != 4 {
            bail!("--way polling and --way upgrade speak engine.io 4 only");
        }
        let request = |sid: &str| {
            format!(
                "GET {}?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: {addr}\r\n\r\n",
                ctx.opt.path
            )
        };
        let mut http = Http { stream, rest: Vec::new() };
        http.stream.write_all(request("").as_bytes()).await?;
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
        })
    }

    /// Sends a poll, unless one waits.
    pub async fn ask(&mut self) -> Result<()> {
        if !self.asked {
            self.http.stream.write_all(self.request.as_bytes()).await?;
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
            let body = self.http.answer().await?;
            self.asked = false;
            self.packets.extend(body.split(|byte| *byte == SEPARATOR).map(<[u8]>::to_vec));
        }
    }
}

/// What goes out.
pub struct Poster {
    http: Http,
    head: String,
}

impl Poster {
    pub async fn new(ctx: &Ctx, addr: SocketAddrV4, sid: &str) -> Result<Self> {
        let head = format!(
            "POST {}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: {addr}\r\n\
             Content-Type: text/plain;charset=UTF-8\r\nContent-Length: ",
            ctx.opt.path
        );
        let stream = sys::dial(addr, ctx.source(), None).await?;
        Ok(Poster { http: Http { stream, rest: Vec::new() }, head })
    }

    /// Posts one packet, and waits for the answer.
    pub async fn post(&mut self, packet: &[u8]) -> Result<()> {
        let mut request = format!("{}{}\r\n\r\n", self.head, packet.len()).into_bytes();
        request.extend_from_slice(packet);
        self.http.stream.write_all(&request).await?;
        self.http.answer().await.map(drop)
    }
}
