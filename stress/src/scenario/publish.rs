//! `publish`: messages by the HTTP API of ours, or of Centrifugo, one by one or in batches.

use crate::http::Http;
use crate::message::{Envelope, Mark, Shape, Template, number};
use crate::report::{Lat, Meter, round};
use crate::sys::{self, now};
use crate::{Ctx, Outcome};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use memchr::memmem;
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Whose API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Api {
    V1,
    Centrifugo,
}

impl Api {
    fn path(self, method: &str) -> String {
        match self {
            Api::V1 => format!("/v1/{method}"),
            Api::Centrifugo => format!("/api/{method}"),
        }
    }

    fn credential(self, credential: &str) -> String {
        match self {
            Api::V1 => format!("Authorization: Basic {credential}"),
            Api::Centrifugo => format!("X-API-Key: {credential}"),
        }
    }

    /// What stands before and behind the data in the body of a `publish`.
    fn around(self, room: &str) -> (String, &'static str) {
        match self {
            Api::V1 => (format!(r#"{{"roomId":"{room}","message":{{"storage":0,"data":"#), "}}"),
            Api::Centrifugo => (format!(r#"{{"channel":"{room}","data":"#), "}"),
        }
    }

    /// What the answer has for each message that was stored.
    fn stored(self) -> &'static [u8] {
        match self {
            Api::V1 => br#""index":"#,
            Api::Centrifugo => br#""offset":"#,
        }
    }

    /// The body of a `history` that says how many messages a room ever had, and where it says so.
    fn count(self, room: &str) -> (String, &'static str) {
        match self {
            Api::V1 => (format!(r#"{{"roomId":"{room}","limit":1,"reverse":true}}"#), "\"log\":"),
            Api::Centrifugo => (format!(r#"{{"channel":"{room}","limit":0}}"#), "\"offset\":"),
        }
    }
}

#[derive(Args)]
pub struct Publish {
    /// Whose API is spoken.
    #[arg(long, value_enum, default_value_t = Api::V1)]
    api: Api,
    /// HOST:PORT of the API.
    #[arg(long, default_value = "127.0.0.1:4000")]
    to: String,
    /// An administrator's `uid:token` in base64, or Centrifugo's key.
    #[arg(long)]
    credential: String,
    /// Connections that are kept, each with one request at a time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Messages in a request; 1: by the method `publish`, more: by `batch`.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Rooms that take turns. Nobody is in them.
    #[arg(long, default_value_t = 20)]
    rooms: usize,
    /// Bytes of each message's `data`, as JSON.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Seconds of the same before, not measured.
    #[arg(long, default_value_t = 3.0)]
    warmup: f64,
}

/// What all connections share.
struct Publishing {
    api: Api,
    head: String,
    around: Vec<(String, &'static str)>,
    batch: usize,
}

impl Publishing {
    fn request(&self, method: &str, body: &str) -> Vec<u8> {
        let path = self.api.path(method);
        format!("POST {path} {}{}\r\n\r\n{body}", self.head, body.len()).into_bytes()
    }
}

/// One connection and what came of it.
struct Publisher {
    no: u16,
    http: Http,
    template: Template,
    seq: u32,
    stored: u64,
    requests: u64,
    refused: HashMap<String, u64>,
    lat: Lat,
}

impl Publisher {
    async fn open(addr: SocketAddrV4, ctx: &Ctx, no: usize, template: &Template) -> Result<Self> {
        Ok(Publisher {
            no: no as u16,
            http: Http::new(sys::dial(addr, ctx.source(), None).await?),
            template: template.clone(),
            seq: 0,
            stored: 0,
            requests: 0,
            refused: HashMap::new(),
            lat: Lat::default(),
        })
    }

    /// The object of one message. Connections begin at different rooms.
    fn message(&mut self, to: &Publishing, body: &mut String) -> Result<()> {
        let room = (self.no as usize + self.seq as usize) % to.around.len();
        let seq = self.seq;
        self.seq += 1;
        let mark = Mark { room: room as u16, sender: self.no, seq, phase: 0, ts: now() };
        let (before, behind) = &to.around[room];
        body.push_str(before);
        body.push_str(std::str::from_utf8(self.template.stamp(mark, 0))?);
        body.push_str(behind);
        Ok(())
    }

    /// Sends requests until `end`.
    async fn publish(mut self, to: Arc<Publishing>, end: u64) -> Result<Self> {
        let mut body = String::new();
        while now() < end {
            body.clear();
            let method = if to.batch == 1 {
                self.message(&to, &mut body)?;
                "publish"
            } else {
                body.push_str(r#"{"commands":["#);
                for i in 0..to.batch {
                    body.push_str(if i > 0 { r#",{"publish":"# } else { r#"{"publish":"# });
                    self.message(&to, &mut body)?;
                    body.push('}');
                }
                body.push_str("]}");
                "batch"
            };
            let asked = now();
            self.http.ask(&to.request(method, &body)).await?;
            let answer = self.http.answer().await?;
            self.lat.add(now() - asked);
            let stored = memmem::find_iter(&answer, to.api.stored()).count();
            self.requests += 1;
            self.stored += stored as u64;
            if stored != to.batch {
                let said = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
                *self.refused.entry(said).or_default() += (to.batch - stored.min(to.batch)) as u64;
            }
        }
        Ok(self)
    }
}

/// All connections at once, for so long.
async fn all(
    publishers: Vec<Publisher>,
    to: &Arc<Publishing>,
    seconds: f64,
) -> Result<Vec<Publisher>> {
    let end = now() + sys::secs(seconds);
    let mut tasks = JoinSet::new();
    for publisher in publishers {
        tasks.spawn(publisher.publish(to.clone(), end));
    }
    tasks.join_all().await.into_iter().collect()
}

/// Messages that the rooms have had, as the server counts them.
async fn counted(ctx: &Ctx, http: &mut Http, to: &Publishing, rooms: usize) -> Result<u64> {
    let mut sum = 0;
    for room in 0..rooms {
        let (body, key) = to.api.count(&ctx.room(room));
        http.ask(&to.request("history", &body)).await?;
        let answer = http.answer().await?;
        sum += number(&answer, key).context("a history does not say how long it is")?;
    }
    Ok(sum)
}

pub async fn run(ctx: Arc<Ctx>, a: Publish) -> Result<Outcome> {
    if a.connections == 0 || a.batch == 0 || a.rooms == 0 || a.rooms.max(a.connections) > 65_535 {
        bail!("needs connections, rooms, and something to send");
    }
    let addr = crate::loopback(&a.to)?;
    let template = Template::new(a.bytes, Shape::Text, Envelope::Data, ctx.opt.seed);
    let to = Arc::new(Publishing {
        api: a.api,
        head: format!(
            "HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n{}\r\nContent-Length: ",
            a.api.credential(&a.credential)
        ),
        around: (0..a.rooms).map(|room| a.api.around(&ctx.room(room))).collect(),
        batch: a.batch,
    });
    let mut publishers = Vec::new();
    for no in 0..a.connections {
        publishers.push(Publisher::open(addr, &ctx, no, &template).await?);
    }
    let mut publishers = all(publishers, &to, a.warmup).await?;
    let stored = |all: &[Publisher]| all.iter().map(|p| p.stored).sum::<u64>();
    let before = stored(&publishers);
    publishers.iter_mut().for_each(|p| p.lat = Lat::default());
    let asked = publishers.iter().map(|p| p.requests).sum::<u64>();

    let meter = Meter::start(&ctx);
    let mut publishers = all(publishers, &to, a.duration).await?;
    let usage = meter.stop();

    let messages = stored(&publishers) - before;
    let requests = publishers.iter().map(|p| p.requests).sum::<u64>() - asked;
    let mut lat = Lat::default();
    publishers.iter().for_each(|p| lat.join(&p.lat));
    let refused = publishers.iter().flat_map(|p| &p.refused);
    let notes: Vec<String> =
        refused.clone().take(3).map(|(said, n)| format!("{n} x {said}")).collect();
    let refused: u64 = refused.map(|(_, n)| n).sum();
    let stored = stored(&publishers);
    let counted = counted(&ctx, &mut publishers[0].http, &to, a.rooms).await?;
    let n = messages as f64;
    Ok(Outcome {
        config: json!({
            "api": format!("{:?}", a.api).to_lowercase(), "connections": a.connections,
            "batch": a.batch, "rooms": a.rooms, "bytes": template.payload_bytes,
            "duration_s": a.duration, "warmup_s": a.warmup,
        }),
        result: json!({
            "messages": messages, "requests": requests,
            "messages_per_s": round(n / usage.wall_s),
            "server_cpu_us_per_message": usage.cpu_per(n, 1e6),
            "messages_per_server_cpu_s":
                usage.cpu_s.filter(|cpu| *cpu > 0.0).map(|cpu| round(n / cpu)),
            "request_ms": lat.ms(), "server_rss_kb": usage.rss_kb(),
        }),
        faults: vec![
            (refused, "messages refused"),
            (stored.abs_diff(counted), "messages more or less in the rooms than acknowledged"),
        ],
        notes,
        usage: usage.json,
    })
}
