//! Messages by the HTTP API, so that each room's numbers are those of its log.

use crate::Ctx;
use crate::http::{FRESH, Http};
use crate::message::{Envelope, Mark, Shape, Template};
use crate::sys::{self, now};
use anyhow::{Result, bail};
use clap::Args;
use memchr::memmem;
use std::net::SocketAddrV4;

/// Where the API is, and who asks.
#[derive(Args, Clone, Debug)]
pub struct Access {
    /// HOST:PORT of the API.
    #[arg(long, default_value = "127.0.0.1:4000")]
    to: String,
    /// An administrator's `uid:token` in base64.
    #[arg(long)]
    credential: String,
}

/// Messages of a request, at most.
const BATCH: usize = 100;

/// Publishes into rooms of its own: whose first message is number 0, and so on.
pub struct Publisher {
    addr: SocketAddrV4,
    head: String,
    http: Http,
    /// When the connection was used last.
    used: u64,
    template: Template,
    rooms: Vec<String>,
    /// By room: messages that were acknowledged.
    pub sent: Vec<u32>,
}

impl Publisher {
    pub async fn open(ctx: &Ctx, access: &Access, rooms: usize, bytes: usize) -> Result<Self> {
        let addr = crate::loopback(&access.to)?;
        Ok(Publisher {
            addr,
            head: format!(
                "POST /v1/batch HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
                 Authorization: Basic {}\r\nContent-Length: ",
                access.credential
            ),
            http: Http::new(sys::dial(addr, None, None).await?),
            used: now(),
            template: template(ctx, bytes),
            rooms: (0..rooms).map(|room| ctx.room(room)).collect(),
            sent: vec![0; rooms],
        })
    }

    /// Connects again, to a server that was started again or has closed what was idle.
    pub async fn reopen(&mut self) -> Result<()> {
        self.used = now();
        self.http = Http::new(sys::dial(self.addr, None, None).await?);
        Ok(())
    }

    /// Publishes one message in each of these rooms, none of which may be named twice.
    pub async fn publish(&mut self, rooms: impl IntoIterator<Item = usize>) -> Result<()> {
        if now() - self.used > FRESH {
            self.reopen().await?;
        }
        let rooms: Vec<usize> = rooms.into_iter().collect();
        for some in rooms.chunks(BATCH) {
            let mut body = String::from(r#"{"commands":["#);
            for (i, &room) in some.iter().enumerate() {
                let mark = Mark {
                    room: room as u16,
                    sender: 0,
                    seq: self.sent[room],
                    phase: 0,
                    ts: now(),
                };
                let data = std::str::from_utf8(self.template.stamp(mark, 0))?;
                let comma = if i > 0 { "," } else { "" };
                let name = &self.rooms[room];
                body.push_str(&format!(
                    r#"{comma}{{"publish":{{"roomId":"{name}","message":{{"storage":0,"data":{data}}}}}}}"#
                ));
            }
            body.push_str("]}");
            let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
            self.http.ask(request.as_bytes()).await?;
            let answer = self.http.answer().await?;
            if memmem::find_iter(&answer, br#""index":"#).count() != some.len() {
                let said = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
                bail!("not all messages were stored: {said}");
            }
            for &room in some {
                self.sent[room] += 1;
            }
            self.used = now();
        }
        Ok(())
    }
}

/// What such messages are made of.
pub fn template(ctx: &Ctx, bytes: usize) -> Template {
    Template::new(bytes, Shape::Text, Envelope::Data, ctx.opt.seed)
}
