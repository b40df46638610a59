//! `tinode`: Tinode's clients, as WebSockets: pairs that talk, sessions that do nothing, a group,
//! and history by pages. Each session is of a user of its own, and is attached to `me`, as those of
//! Tinode's apps are. Users are anonymous ones, which cost the server no hash.

mod session;

use crate::report::{Lat, Meter, Usage, round};
use crate::sys::{self, now};
use crate::{Ctx, Outcome};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use session::{Session, publish, text};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Messages of a page, at most.
const PAGE: u64 = 100;

#[derive(Args)]
pub struct Tinode {
    /// An API key of the server.
    #[arg(long)]
    key: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Pairs of users talk, each pair one message at a time.
    Pair(Pair),
    /// Users register, and their tokens are kept in a file, for `idle`.
    Register(Register),
    /// Sessions on `me` that do nothing.
    Idle(Idle),
    /// One member of a group talks to all others.
    Group(Group),
    /// A topic's history is read by pages of 100.
    History(History),
}

#[derive(Args)]
struct Pair {
    #[arg(long, default_value_t = 1)]
    pairs: usize,
    /// Messages of each pair, those not measured included.
    #[arg(long, default_value_t = 5_000)]
    messages: u64,
    /// Messages of each pair before, not measured.
    #[arg(long, default_value_t = 500)]
    warmup: u64,
    /// Bytes of each message's content, as JSON.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
}

#[derive(Args)]
struct Register {
    #[arg(long, default_value_t = 5_000)]
    n: usize,
    /// Where the tokens go, one a line.
    #[arg(long)]
    tokens: PathBuf,
}

#[derive(Args)]
struct Idle {
    /// The tokens of the users who come, each once.
    #[arg(long)]
    tokens: PathBuf,
    /// Seconds to hold them, once all are there.
    #[arg(long, default_value_t = 5.0)]
    hold: f64,
}

#[derive(Args)]
struct Group {
    /// Members, the one who talks included.
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// Messages to measure.
    #[arg(long, default_value_t = 500)]
    messages: u64,
    /// Messages before, not measured.
    #[arg(long, default_value_t = 100)]
    warmup: u64,
    /// Messages each second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Closed loop instead of --rate: so many messages are in flight, one being over when it has
    /// reached the member who has attached last.
    #[arg(long)]
    saturate: Option<usize>,
    #[arg(long, default_value_t = 128)]
    bytes: usize,
}

#[derive(Args)]
struct History {
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// Messages in flight while they are written.
    #[arg(long, default_value_t = 64)]
    window: u64,
    /// Times that the whole history is read; the first is not measured.
    #[arg(long, default_value_t = 20)]
    times: u64,
    #[arg(long, default_value_t = 128)]
    bytes: usize,
}

impl Tinode {
    /// Whether packets may gather before they are read, as those of `fanout --saturate` do.
    pub fn saturates(&self) -> bool {
        matches!(&self.what, What::Group(group) if group.saturate.is_some())
    }
}

pub async fn run(ctx: Arc<Ctx>, a: Tinode) -> Result<Outcome> {
    match a.what {
        What::Pair(pair) => self::pair(ctx, &a.key, pair).await,
        What::Register(register) => self::register(ctx, &a.key, register).await,
        What::Idle(idle) => self::idle(ctx, &a.key, idle).await,
        What::Group(group) => self::group(ctx, &a.key, group).await,
        What::History(history) => self::history(ctx, &a.key, history).await,
    }
}

/// Two who talk.
struct Talk {
    one: Session,
    other: Session,
    text: String,
    /// The number of the last message.
    last: u64,
    wrong: u64,
    lat: Lat,
}

impl Talk {
    async fn open(ctx: &Arc<Ctx>, key: &str, bytes: usize) -> Result<Self> {
        let mut one = Session::open(ctx, key, None).await?;
        let mut other = Session::open(ctx, key, None).await?;
        one.attach(&other.user).await?;
        other.attach(&one.user).await?;
        Ok(Talk { one, other, text: text(bytes), last: 0, wrong: 0, lat: Lat::default() })
    }

    /// Each message is sent when the one before has come and was answered.
    async fn talk(mut self, messages: u64) -> Result<Self> {
        for _ in 0..messages {
            let sent = now();
            self.one.publish(&self.other.user, &self.text).await?;
            let (come, answered) = tokio::try_join!(self.other.message(), self.one.published())?;
            self.lat.add(now() - sent);
            self.last += 1;
            self.wrong += u64::from(come != self.last || answered != self.last);
        }
        Ok(self)
    }
}

async fn all_talk(talks: Vec<Talk>, messages: u64) -> Result<Vec<Talk>> {
    let mut tasks = JoinSet::new();
    for talk in talks {
        tasks.spawn(talk.talk(messages));
    }
    tasks.join_all().await.into_iter().collect()
}

async fn pair(ctx: Arc<Ctx>, key: &str, a: Pair) -> Result<Outcome> {
    let measured = a.messages.saturating_sub(a.warmup);
    if a.pairs == 0 || measured == 0 {
        bail!("needs pairs, and messages that are measured");
    }
    let mut talks = Vec::new();
    for _ in 0..a.pairs {
        talks.push(Talk::open(&ctx, key, a.bytes).await?);
    }
    let mut talks = all_talk(talks, a.warmup).await?;
    talks.iter_mut().for_each(|talk| talk.lat = Lat::default());
    let meter = Meter::start(&ctx);
    let talks = all_talk(talks, measured).await?;
    let usage = meter.stop();
    let mut lat = Lat::default();
    talks.iter().for_each(|talk| lat.join(&talk.lat));
    let n = (measured * a.pairs as u64) as f64;
    Ok(Outcome {
        config: json!({ "pairs": a.pairs, "messages": measured, "bytes": a.bytes }),
        result: json!({
            "messages_per_s": round(n / usage.wall_s), "message_ms": lat.ms(),
            "server_cpu_ms_per_message": usage.cpu_per(n, 1e3),
            "server_cpu_us_per_message": usage.cpu_per(n, 1e6), "server_rss_kb": usage.rss_kb(),
        }),
        faults: vec![(talks.iter().map(|talk| talk.wrong).sum(), "messages with a wrong number")],
        notes: Vec::new(),
        usage: usage.json,
    })
}

/// A session for each token, or of a new user where there is none; some are opened at a time.
async fn sessions(
    ctx: &Arc<Ctx>,
    key: &str,
    tokens: impl Iterator<Item = Option<String>>,
) -> Result<Vec<Session>> {
    let mut all = Vec::new();
    let mut opening = JoinSet::new();
    for token in tokens {
        if opening.len() >= ctx.opt.conn_concurrency.max(1)
            && let Some(opened) = opening.join_next().await
        {
            all.push(opened??);
        }
        let (ctx, key) = (ctx.clone(), key.to_owned());
        opening.spawn(async move { Session::open(&ctx, &key, token.as_deref()).await });
    }
    while let Some(opened) = opening.join_next().await {
        all.push(opened??);
    }
    Ok(all)
}

async fn register(ctx: Arc<Ctx>, key: &str, a: Register) -> Result<Outcome> {
    sys::raise_nofile(a.n as u64 + 1024)?;
    let meter = Meter::start(&ctx);
    let made = sessions(&ctx, key, (0..a.n).map(|_| None)).await?;
    let usage = meter.stop();
    let tokens: Vec<&str> = made.iter().map(|session| session.token.as_str()).collect();
    std::fs::write(&a.tokens, tokens.join("\n"))?;
    let n = made.len() as f64;
    Ok(Outcome {
        config: json!({ "n": a.n }),
        result: json!({
            "registered": n, "registered_per_s": round(n / usage.wall_s),
            "server_cpu_ms_per_user": usage.cpu_per(n, 1e3), "server_rss_kb": usage.rss_kb(),
        }),
        faults: Vec::new(),
        notes: Vec::new(),
        usage: usage.json,
    })
}

async fn idle(ctx: Arc<Ctx>, key: &str, a: Idle) -> Result<Outcome> {
    let file = std::fs::read_to_string(&a.tokens).context("the tokens")?;
    let n = file.lines().count();
    sys::raise_nofile(n as u64 + 1024)?;
    let meter = Meter::start(&ctx);
    let mut held = JoinSet::new();
    for mut session in sessions(&ctx, key, file.lines().map(|l| Some(l.to_owned()))).await? {
        held.spawn(async move { while session.next().await.is_ok() {} });
    }
    sleep(Duration::from_secs_f64(a.hold)).await;
    let usage = meter.stop();
    let ended = std::iter::from_fn(|| held.try_join_next()).count();
    Ok(Outcome {
        config: json!({ "n": n, "hold_s": a.hold }),
        result: json!({
            "sessions": n, "server_rss_kb": usage.rss_kb(),
            "server_rss_kb_per_session": per_session(&usage, n),
            "server_cpu_ms_per_session": usage.cpu_per(n as f64, 1e3),
        }),
        faults: vec![(ended as u64, "sessions that ended")],
        notes: Vec::new(),
        usage: usage.json,
    })
}

/// Memory that came with the sessions; null where the server is not watched.
fn per_session(usage: &Usage, n: usize) -> Value {
    let grown = usage.rss_after_kb.saturating_sub(usage.rss_before_kb);
    json!(usage.cpu_s.map(|_| round(grown as f64 / n.max(1) as f64)))
}

/// A group whose members are all there.
struct Hall {
    topic: String,
    owner: Session,
    listeners: Vec<Session>,
    text: String,
    /// Messages so far.
    said: u64,
    wrong: u64,
}

/// A member hears the messages between two numbers. How many were not what had to come; one that
/// is missing would be waited for in vain. What frees places in a window is told of each.
async fn listen(
    mut session: Session,
    after: u64,
    last: u64,
    window: Option<Arc<Semaphore>>,
) -> Result<(Session, u64)> {
    let mut wrong = 0;
    for seq in after + 1..=last {
        wrong += u64::from(session.message().await? != seq);
        if let Some(window) = &window {
            window.add_permits(1);
        }
    }
    Ok((session, wrong))
}

/// The one who talks is answered as often.
async fn answers(mut owner: Session, after: u64, last: u64) -> Result<(Session, u64)> {
    let mut wrong = 0;
    for seq in after + 1..=last {
        wrong += u64::from(owner.published().await? != seq);
    }
    Ok((owner, wrong))
}

impl Hall {
    async fn open(ctx: &Arc<Ctx>, key: &str, a: &Group) -> Result<Self> {
        sys::raise_nofile(a.members as u64 + 1024)?;
        let mut listeners = sessions(ctx, key, (0..a.members).map(|_| None)).await?;
        let mut owner = listeners.pop().context("no member")?;
        let topic = owner.found().await?;
        for member in &mut listeners {
            member.attach(&topic).await?;
        }
        Ok(Hall { topic, owner, listeners, text: text(a.bytes), said: 0, wrong: 0 })
    }

    /// Says so many messages, until all have heard them.
    async fn talk(self, a: &Group, messages: u64) -> Result<Self> {
        let Hall { topic, owner, listeners, text, said, mut wrong } = self;
        let (all, last) = (listeners.len(), said + messages);
        let window = a.saturate.map(|n| Arc::new(Semaphore::new(n)));
        let tx = owner.tx.clone();
        let mut hearing = JoinSet::new();
        for (i, member) in listeners.into_iter().enumerate() {
            let window = window.clone().filter(|_| i + 1 == all);
            // Who attached last stays the last.
            hearing.spawn(async move { (i, listen(member, said, last, window).await) });
        }
        let mut answered = JoinSet::new();
        answered.spawn(answers(owner, said, last));
        let (timer, begun) = (sys::Timer::new()?, now());
        for i in 0..messages {
            match &window {
                Some(window) => window.acquire().await?.forget(),
                None => timer.until(begun + sys::secs(i as f64 / a.rate)).await?,
            }
            publish(&tx, &topic, &text).await?;
        }
        let mut listeners = Vec::with_capacity(all);
        let mut heard = hearing.join_all().await;
        heard.sort_by_key(|(i, _)| *i);
        for (_, heard) in heard {
            let (member, missed) = heard?;
            wrong += missed;
            listeners.push(member);
        }
        let (owner, missed) = answered.join_next().await.context("no answers")???;
        Ok(Hall { topic, owner, listeners, text, said: last, wrong: wrong + missed })
    }
}

async fn group(ctx: Arc<Ctx>, key: &str, a: Group) -> Result<Outcome> {
    if a.members < 2 || a.messages == 0 || a.rate <= 0.0 || a.saturate == Some(0) {
        bail!("needs members, and something to say");
    }
    let hall = Hall::open(&ctx, key, &a).await?;
    let hall = hall.talk(&a, a.warmup).await?;
    let meter = Meter::start(&ctx);
    let hall = hall.talk(&a, a.messages).await?;
    let usage = meter.stop();
    let deliveries = a.messages as f64 * hall.listeners.len() as f64;
    Ok(Outcome {
        config: json!({
            "members": a.members, "messages": a.messages, "bytes": a.bytes,
            "rate": a.saturate.is_none().then_some(a.rate), "saturate": a.saturate,
        }),
        result: json!({
            "deliveries": deliveries, "deliveries_per_s": round(deliveries / usage.wall_s),
            "server_cpu_s_per_million_deliveries": usage.cpu_per(deliveries, 1e6),
            "server_rss_kb": usage.rss_kb(),
        }),
        faults: vec![(hall.wrong, "messages or answers with a wrong number")],
        notes: Vec::new(),
        usage: usage.json,
    })
}

/// Writes so many messages, with some in flight.
async fn fill(session: &mut Session, topic: &str, a: &History) -> Result<()> {
    let (text, mut sent, mut stored) = (text(a.bytes), 0, 0);
    while stored < a.messages {
        while sent < a.messages && sent - stored < a.window {
            session.publish(topic, &text).await?;
            sent += 1;
        }
        stored += 1;
        let seq = session.published().await?;
        if seq != stored {
            bail!("message {stored} has the number {seq}");
        }
    }
    Ok(())
}

/// Reads the whole history, from its end. How many pages were not as they have to be.
async fn read(session: &mut Session, topic: &str, messages: u64, lat: &mut Lat) -> Result<u64> {
    let (mut before, mut wrong) = (messages + 1, 0);
    while before > 1 {
        let (asked, page) = (now(), PAGE.min(before - 1));
        let data = json!({ "before": before, "limit": PAGE });
        let get = json!({ "id": "g", "topic": topic, "what": "data", "data": data });
        session.tx.send(json!({ "get": get }).to_string()).await?;
        let mut come = 0;
        while let Some(seq) = session.message_or_end().await? {
            come += 1;
            wrong += u64::from(seq != before - come);
        }
        lat.add(now() - asked);
        wrong += u64::from(come != page);
        before -= page;
    }
    Ok(wrong)
}

async fn history(ctx: Arc<Ctx>, key: &str, a: History) -> Result<Outcome> {
    if a.messages == 0 || a.window == 0 || a.times < 2 {
        bail!("needs messages, and to read them twice at least");
    }
    let mut writer = Session::open(&ctx, key, None).await?;
    let mut reader = Session::open(&ctx, key, None).await?;
    let topic = writer.found().await?;
    fill(&mut writer, &topic, &a).await?;
    reader.attach(&topic).await?;
    let (mut cold, mut lat) = (Lat::default(), Lat::default());
    let mut wrong = read(&mut reader, &topic, a.messages, &mut cold).await?;
    let meter = Meter::start(&ctx);
    for _ in 1..a.times {
        wrong += read(&mut reader, &topic, a.messages, &mut lat).await?;
    }
    let usage = meter.stop();
    let pages = lat.count() as f64;
    Ok(Outcome {
        config: json!({ "messages": a.messages, "times": a.times, "bytes": a.bytes }),
        result: json!({
            "pages": pages, "pages_per_s": round(pages / usage.wall_s),
            "page_ms": lat.ms(), "first_walk_page_ms": cold.ms(),
            "server_cpu_ms_per_page": usage.cpu_per(pages, 1e3),
            "server_rss_kb": usage.rss_kb(),
        }),
        faults: vec![(wrong, "messages or pages that are not as they have to be")],
        notes: Vec::new(),
        usage: usage.json,
    })
}
