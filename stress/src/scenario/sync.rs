//! `sync`: fill a room's history, then page through all of it, verifying.

use super::{Crowd, gather_all, quiet};
use crate::client::{self, Conn, Manner, Rx, Tx};
use crate::message::{self, Envelope, MSG, Mark, Shape, Template, number};
use crate::report::{Lat, Meter, round};
use crate::sys::now;
use crate::webhooks::Webhooks;
use crate::{Ctx, Outcome};
use anyhow::{Context, Result, bail};
use base64::Engine;
use clap::{Args, ValueEnum};
use memchr::memmem;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const SYNC: &[u8] = br#"42["sync","#;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Gzip,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    All,
    Fill,
    Read,
}

#[derive(Args)]
pub struct Sync {
    /// Messages in the history.
    #[arg(long, default_value_t = 5000)]
    messages: u32,
    /// Bytes of each message's `data`, as JSON.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// What fills a message.
    #[arg(long, value_enum, default_value_t = Shape::Points)]
    shape: Shape,
    /// Clients that page at the same time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Times that each client goes through the whole history.
    #[arg(long, default_value_t = 20)]
    times: u32,
    #[arg(long, value_enum, default_value_t = Encoding::Gzip)]
    encoding: Encoding,
    /// Messages in flight while filling.
    #[arg(long, default_value_t = 64)]
    fill_window: usize,
    /// Only fill the room, or only read what an earlier run with the same --run-id, --messages,
    /// --bytes, --shape and --seed filled.
    #[arg(long, value_enum, default_value_t = Part::All)]
    part: Part,
    /// Measure the very first walk too, instead of one beforehand that is not.
    #[arg(long)]
    cold: bool,
    /// Seconds that one page may take.
    #[arg(long, default_value_t = 30.0)]
    page_timeout: f64,
}

/// One verified page. A page that comes again byte for byte needs no second
/// decoding, so that the verifying costs next to nothing while measuring.
struct Page {
    body: Vec<u8>,
    seqs: Vec<u32>,
    plain_bytes: u64,
    offset: u64,
    next: bool,
}

struct Reading {
    messages: u32,
    encoding: Encoding,
    template: Template,
    page_timeout: Duration,
    /// By the offset asked for.
    pages: Mutex<HashMap<u64, Arc<Page>>>,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    walks: u64,
    pages: u64,
    messages: u64,
    wire_bytes: u64,
    plain_bytes: u64,
    decoded: u64,
    lat: Lat,
    bad_walks: u64,
    gaps: u64,
    repeats: u64,
    disordered: u64,
    bad_offsets: u64,
    errors: HashMap<String, u64>,
}

impl Reading {
    /// Goes through the whole history once.
    async fn walk(&self, conn: &mut Conn) -> Result<()> {
        let mut seqs = Vec::with_capacity(self.messages as usize);
        let mut offset = 0;
        loop {
            let start = now();
            let encoding = match self.encoding {
                Encoding::Gzip => r#","encoding":"gzip""#,
                Encoding::None => "",
            };
            conn.tx.send(format!(r#"42["sync",{{"offset":{offset}{encoding}}}]"#)).await?;
            let body =
                timeout(self.page_timeout, conn.rx.wait(SYNC)).await.context("page timeout")??;
            let took = now() - start;

            let known = self.pages.lock().get(&offset).cloned();
            let page = match known.filter(|p| p.body == *body) {
                Some(page) => page,
                None => {
                    let page = Arc::new(self.decode(&body)?);
                    self.tally.lock().decoded += 1;
                    self.pages.lock().insert(offset, page.clone());
                    page
                }
            };
            seqs.extend_from_slice(&page.seqs);
            {
                let mut tally = self.tally.lock();
                tally.pages += 1;
                tally.lat.add(took);
                tally.messages += page.seqs.len() as u64;
                tally.wire_bytes += body.len() as u64;
                tally.plain_bytes += page.plain_bytes;
                tally.bad_offsets += (page.offset != offset + page.seqs.len() as u64) as u64;
            }
            if !page.next {
                break;
            }
            if page.offset <= offset {
                bail!("offset went from {offset} to {}", page.offset);
            }
            offset = page.offset;
        }
        self.judge(&seqs);
        Ok(())
    }

    /// Is this walk exactly messages 0 to N-1, in order?
    fn judge(&self, seqs: &[u32]) {
        let mut tally = self.tally.lock();
        tally.walks += 1;
        if seqs.iter().copied().eq(0..self.messages) {
            return;
        }
        let unique: HashSet<u32> = seqs.iter().copied().collect();
        tally.bad_walks += 1;
        tally.repeats += (seqs.len() - unique.len()) as u64;
        tally.gaps += (0..self.messages).filter(|n| !unique.contains(n)).count() as u64;
        tally.disordered += seqs.windows(2).filter(|w| w[1] < w[0]).count() as u64;
    }

    fn decode(&self, body: &[u8]) -> Result<Page> {
        let mut plain = Vec::new();
        let text = match self.encoding {
            Encoding::None => body,
            Encoding::Gzip => {
                let key = br#""data":""#;
                let at = memmem::find(body, key).context("no data string in the page")? + key.len();
                let end = at + memchr::memchr(b'"', &body[at..]).context("data does not end")?;
                let zipped = base64::engine::general_purpose::STANDARD.decode(&body[at..end])?;
                flate2::read::GzDecoder::new(&zipped[..]).read_to_end(&mut plain)?;
                &plain
            }
        };
        let mut seqs = Vec::new();
        let mut rest = text;
        while let Some((mark, after)) = message::find(rest) {
            rest = match self.template.check(&mark, after) {
                Some(rest) if mark.room == 0 => rest,
                _ => bail!("a damaged or foreign message in the history"),
            };
            seqs.push(mark.seq);
        }
        Ok(Page {
            seqs,
            plain_bytes: text.len() as u64,
            offset: number(body, "\"offset\":").context("no offset in the page")?,
            next: number(body, "\"next\":").context("no next in the page")? != 0,
            body: body.to_vec(),
        })
    }
}

/// Sends the whole history through one client; another one sees it arrive.
async fn fill(a: &Sync, mut template: Template, writer: &Tx, mut observer: Rx) -> Result<Rx> {
    let window = Arc::new(Semaphore::new(a.fill_window.max(1)));
    let (n, w) = (a.messages, window.clone());
    let watching = tokio::spawn(async move {
        for _ in 0..n {
            observer.wait(MSG).await?;
            w.add_permits(1);
        }
        Ok::<_, anyhow::Error>(observer)
    });
    for seq in 0..n {
        let permit = timeout(Duration::from_secs(10), window.acquire()).await;
        permit.context("the history's messages do not arrive")??.forget();
        let mark = Mark { room: 0, sender: 0, seq, phase: 0, ts: now() };
        writer.text(template.stamp(mark, seq as u64)).await?;
    }
    let rest = timeout(Duration::from_secs(10), watching).await;
    rest.context("the history's last messages do not arrive")??
}

/// How long webhooks may make no progress.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fills the room and tells what it took, until webhooks told of it, too; and what is wrong with
/// them.
async fn fill_room(
    ctx: &Arc<Ctx>,
    a: &Sync,
    template: &Template,
) -> Result<(Value, Vec<(u64, &'static str)>)> {
    let webhooks = Webhooks::start(ctx, template).await?;
    let enter = async |role: &str| {
        let uid = ctx.uid(role, 0);
        match client::join(ctx, &uid, &ctx.room(0), Manner::default()).await {
            Ok(conn) => Ok(conn),
            Err(f) => bail!("{uid}: {}: {}", f.stage, f.error),
        }
    };
    let writer = enter("w").await?;
    let observer = enter("o").await?;
    let meter = Meter::start(ctx);
    writer.rx.spawn(|_| {});
    let observer = fill(a, template.clone(), &writer.tx, observer.rx).await?;
    if let Some(webhooks) = &webhooks {
        webhooks.complete(a.messages.into(), PATIENCE).await;
    }
    let filling = meter.stop();
    observer.spawn(|_| {});
    let growth = (filling.rss_after_kb as f64 - filling.rss_before_kb as f64) * 1024.0;
    let told = json!({
        "messages_per_s": round(a.messages as f64 / filling.wall_s),
        "server_cpu_s_per_million": filling.cpu_per(a.messages as f64, 1e6),
        "server_rss_bytes_per_message":
            filling.cpu_s.map(|_| round(growth / a.messages.max(1) as f64)),
        "webhooks": webhooks.as_ref().map(|w| w.json()),
    });
    Ok((told, webhooks.map(|w| w.faults(a.messages.into())).unwrap_or_default()))
}

pub async fn run(ctx: Arc<Ctx>, a: Sync) -> Result<Outcome> {
    let template = Template::new(a.bytes, a.shape, Envelope::Plain { store: 0 }, ctx.opt.seed);
    let config = json!({
        "messages": a.messages, "bytes": template.payload_bytes,
        "shape": format!("{:?}", a.shape).to_lowercase(),
        "clients": a.clients, "times": a.times,
        "encoding": format!("{:?}", a.encoding).to_lowercase(),
        "part": format!("{:?}", a.part).to_lowercase(), "cold": a.cold,
    });
    let (mut fill, mut usage, mut told) = (Value::Null, Value::Null, Vec::new());
    if a.part != Part::Read {
        let meter = Meter::start(&ctx);
        (fill, told) = fill_room(&ctx, &a, &template).await?;
        usage = meter.stop().json;
    }
    if a.part == Part::Fill {
        return Ok(Outcome {
            config,
            result: json!({ "fill": fill }),
            usage,
            faults: told,
            notes: Vec::new(),
        });
    }
    let how = Manner::default();
    let conns: Arc<Mutex<Vec<Conn>>> = Arc::default();
    let crowd = Crowd { n: a.clients, role: "s", first_room: 0, room_size: a.clients, how };
    let c = conns.clone();
    gather_all(&ctx, crowd, move |_, conn| c.lock().push(conn)).await?;
    quiet(&ctx).await;
    let mut conns = std::mem::take(&mut *conns.lock());

    let reading = Arc::new(Reading {
        messages: a.messages,
        encoding: a.encoding,
        template,
        page_timeout: Duration::from_secs_f64(a.page_timeout),
        pages: Mutex::default(),
        tally: Mutex::default(),
    });
    // A first walk, not measured: the store may lag behind the broadcasts, and every page gets
    // decoded once.
    for _ in 0..if a.cold { 0 } else { 50 } {
        *reading.tally.lock() = Tally::default();
        reading.walk(&mut conns[0]).await?;
        if reading.tally.lock().bad_walks == 0 {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    *reading.tally.lock() = Tally::default();

    let meter = Meter::start(&ctx);
    let mut walkers = JoinSet::new();
    for mut conn in conns {
        let (reading, times) = (reading.clone(), a.times);
        walkers.spawn(async move {
            for _ in 0..times {
                if let Err(e) = reading.walk(&mut conn).await {
                    let mut tally = reading.tally.lock();
                    *tally.errors.entry(format!("{e:#}")).or_default() += 1;
                    break;
                }
            }
            conn
        });
    }
    walkers.join_all().await;
    let usage = meter.stop();

    let t = std::mem::take(&mut *reading.tally.lock());
    let per_s = |n: u64| round(n as f64 / usage.wall_s);
    let wanted = a.clients as u64 * a.times as u64;
    let notes: Vec<String> = t.errors.iter().map(|(e, n)| format!("{n} x {e}")).collect();
    let mut faults = vec![
        (wanted - t.walks, "walks did not finish"),
        (t.bad_walks, "walks were not exactly the history"),
        (t.gaps, "stored messages missing"),
        (t.repeats, "stored messages twice"),
        (t.disordered, "stored messages out of order"),
        (t.bad_offsets, "pages had an offset that does not fit the messages in them"),
    ];
    faults.extend(told);
    Ok(Outcome {
        config,
        result: json!({
            "fill": fill,
            "counts": {
                "walks_wanted": wanted, "walks": t.walks, "walks_verified": t.walks - t.bad_walks,
                "gaps": t.gaps, "repeats": t.repeats, "disordered": t.disordered,
                "bad_offsets": t.bad_offsets, "errors": t.errors.values().sum::<u64>(),
                "pages": t.pages, "messages": t.messages,
                "pages_decoded_while_measuring": t.decoded,
            },
            "pages_per_s": per_s(t.pages), "messages_per_s": per_s(t.messages),
            "wire_bytes_per_s": per_s(t.wire_bytes), "plain_bytes_per_s": per_s(t.plain_bytes),
            "wire_bytes_per_message": round(t.wire_bytes as f64 / t.messages.max(1) as f64),
            "page_ms": t.lat.ms(),
            "server_cpu_s_per_million_messages": usage.cpu_per(t.messages as f64, 1e6),
            "server_cpu_ms_per_page": usage.cpu_per(t.pages as f64, 1e3),
            "server_rss_kb": usage.rss_kb(),
        }),
        usage: usage.json,
        faults,
        notes,
    })
}
