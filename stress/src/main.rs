//! Load generator and measuring tool for servers that speak the always-online
//! event protocol over socket.io, gotapi-ws, chat-service, react-wechat, or
//! Tinode's protocol. See README.md.

#![allow(clippy::disallowed_methods)] // it measures real time; its tasks end with the process

mod admin;
mod api;
mod client;
mod follow;
mod http;
mod jwt;
mod ledger;
mod message;
mod options;
mod polling;
mod probe;
mod relay;
mod report;
mod scenario;
mod sys;
mod tinode;
mod webhooks;
mod wechat;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
pub use options::{Dialect, Options, Spread, Way};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use wechat::Accounts;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    opt: Options,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Open N connections, authenticate and join; hold them.
    Connect(scenario::connect::Connect),
    /// Broadcast in rooms, on a schedule or as fast as it goes.
    Fanout(scenario::fanout::Fanout),
    /// Fill a room's history, then page through it.
    Sync(scenario::sync::Sync),
    /// Connections that come, send one message and go, all the time.
    Churn(scenario::churn::Churn),
    /// A room where some members never read.
    Slow(scenario::slow::Slow),
    /// Connections that do nothing but heartbeats.
    Idle(scenario::connect::Idle),
    /// Publish by the HTTP API, or by Centrifugo's.
    Publish(scenario::publish::Publish),
    /// Store messages while the endpoint of webhooks is down, and be told of them once it is up.
    Pending(scenario::pending::Pending),
    /// All clients lose their connections at once, come back at once, and catch up.
    Storm(scenario::storm::Storm),
    /// More clients come than may, some leave, and those who were refused come again.
    Full(scenario::full::Full),
    /// The network fails again and again for some seconds while somebody sends.
    Drops(scenario::drops::Drops),
    /// Commands of chat-service that are answered, one after the other at each of many clients.
    Command(scenario::command::Command),
    /// Members who never read, until the server has no memory to spare, and newcomers meanwhile.
    Strain(scenario::strain::Strain),
    /// Users of react-wechat register; `connect` and `idle` are of the same.
    Register(scenario::register::Register),
    /// Messages wait for a user of react-wechat, who comes and has them.
    Waiting(scenario::waiting::Waiting),
    /// Pairs of users of react-wechat talk while others log in, more than the server takes at once.
    Logins(scenario::logins::Logins),
    /// Tinode's clients, whatever --dialect says: pairs, idle sessions, a group, and history.
    Tinode(tinode::Tinode),
}

/// What a scenario reports.
pub struct Outcome {
    pub config: Value,
    pub result: Value,
    pub usage: Value,
    /// How often what must never happen did.
    pub faults: Vec<(u64, &'static str)>,
    /// Anything else that makes the figures less than they seem.
    pub notes: Vec<String>,
}

/// What everything in a run shares.
pub struct Ctx {
    pub opt: Options,
    pub addr: SocketAddrV4,
    /// All nodes, `addr` first.
    nodes: Vec<SocketAddrV4>,
    pub run_id: String,
    pub timeout: Duration,
    pub stats: client::Stats,
    admin: Option<admin::Admin>,
    signer: Option<jwt::Signer>,
    tokens: Mutex<HashMap<String, String>>,
    next_source: AtomicU32,
}

/// HOST:PORT of this machine, for nothing here should load another.
pub fn loopback(host: &str) -> Result<SocketAddrV4> {
    let host = host.replace("localhost", "127.0.0.1");
    let addr: SocketAddrV4 = host.parse().with_context(|| format!("{host}: not HOST:PORT"))?;
    if !addr.ip().is_loopback() {
        bail!("{addr}: only loopback addresses (127.x.x.x) may be loaded");
    }
    Ok(addr)
}

impl Ctx {
    fn new(opt: Options) -> Result<Arc<Self>> {
        let address = |url: &String| {
            let host = url.strip_prefix("ws://").context("--url and --node: ws://HOST:PORT")?;
            loopback(host.trim_end_matches('/'))
        };
        let nodes =
            std::iter::once(&opt.url).chain(&opt.node).map(address).collect::<Result<Vec<_>>>()?;
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let run_id = match &opt.run_id {
            Some(id) if id.chars().all(|c| c.is_ascii_alphanumeric()) => id.clone(),
            Some(id) => bail!("--run-id {id}: letters and digits only"),
            None => format!("{:x}", clock.as_millis()),
        };
        Ok(Arc::new(Ctx {
            addr: nodes[0],
            nodes,
            run_id,
            timeout: Duration::from_secs_f64(opt.timeout),
            stats: client::Stats::default(),
            admin: opt.admin_url.as_deref().map(admin::Admin::new).transpose()?,
            signer: opt.jwt.as_deref().map(jwt::Signer::new).transpose()?,
            tokens: Mutex::default(),
            next_source: AtomicU32::new(0),
            opt,
        }))
    }

    /// A user's name; of react-wechat its phone.
    pub fn uid(&self, role: &str, i: usize) -> String {
        match self.opt.dialect {
            Dialect::AlwaysOnline | Dialect::Gotapi | Dialect::ChatService => {
                format!("u{}{role}{i}", self.run_id)
            }
            Dialect::Wechat => wechat::phone(&self.run_id, role, i),
        }
    }

    pub fn room(&self, i: usize) -> String {
        format!("r{}x{i}", self.run_id)
    }

    /// The node of a crowd's member.
    pub fn node(&self, member: usize, room: usize) -> SocketAddrV4 {
        let at = if self.opt.spread == Spread::Room { room } else { member };
        self.nodes[at % self.nodes.len()]
    }

    /// The address that the next connection comes from.
    pub fn source(&self) -> Option<Ipv4Addr> {
        let n = self.opt.sources as u32;
        let i = self.next_source.fetch_add(1, Relaxed) % n;
        (n > 1).then(|| Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + i))
    }

    /// Creates the tokens of all `uids` now, but for those that have one, so that it need not be
    /// done amid the measuring. Users of react-wechat register.
    pub async fn prepare_tokens(self: &Arc<Self>, mut uids: Vec<String>) -> Result<()> {
        let register = self.opt.dialect == Dialect::Wechat;
        if !register && self.admin.is_none() && self.signer.is_none() {
            return Ok(());
        }
        uids.retain(|uid| !self.tokens.lock().contains_key(uid));
        let uids = Arc::new(Mutex::new(uids));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (ctx, uids) = (self.clone(), uids.clone());
            workers.spawn(async move {
                let mut accounts = None;
                if register {
                    accounts = Some(Accounts::open(ctx.addr).await?);
                }
                loop {
                    let Some(uid) = uids.lock().pop() else {
                        return Ok(());
                    };
                    if let Some(accounts) = &mut accounts {
                        accounts.register(&uid).await?;
                    }
                    let token = ctx.token(&uid).await?;
                    ctx.tokens.lock().insert(uid, token);
                }
            });
        }
        workers.join_all().await.into_iter().collect()
    }

    /// The token of `uid`, as JSON.
    pub async fn token(&self, uid: &str) -> Result<String> {
        if let Some(token) = self.tokens.lock().get(uid) {
            return Ok(token.clone());
        }
        let token = match (&self.signer, &self.admin) {
            (Some(signer), _) => signer.sign(uid, self.opt.dialect)?,
            (None, _) if self.opt.dialect == Dialect::Wechat => {
                Accounts::open(self.addr).await?.token(uid).await?
            }
            (None, Some(admin)) => admin.create(uid).await.context("creating a token")?,
            (None, None) => self.opt.token.clone(),
        };
        Ok(serde_json::to_string(&token)?)
    }
}

fn main() {
    if let Err(e) = run(Cli::parse()) {
        eprintln!("stress: {e:#}");
        std::process::exit(1);
    }
}

fn run(Cli { opt, scenario }: Cli) -> Result<()> {
    let pinned = match opt.pin.as_deref() {
        Some("none") => None,
        Some(core) => Some(sys::pin(Some(core.parse().context("--pin CORE")?))?),
        None => Some(sys::pin(None)?),
    };
    sys::now(); // starts the clock
    let spoken = match opt.dialect {
        Dialect::AlwaysOnline => !matches!(
            scenario,
            Scenario::Command(_)
                | Scenario::Register(_)
                | Scenario::Waiting(_)
                | Scenario::Logins(_)
        ),
        Dialect::Gotapi => matches!(scenario, Scenario::Fanout(_)) && opt.way == Way::Websocket,
        Dialect::ChatService => matches!(
            scenario,
            Scenario::Fanout(_) | Scenario::Connect(_) | Scenario::Idle(_) | Scenario::Command(_)
        ),
        Dialect::Wechat => {
            opt.way == Way::Websocket
                && matches!(
                    scenario,
                    Scenario::Fanout(_)
                        | Scenario::Connect(_)
                        | Scenario::Idle(_)
                        | Scenario::Register(_)
                        | Scenario::Waiting(_)
                        | Scenario::Logins(_)
                )
        }
    };
    if !spoken {
        bail!("--dialect {} does not do this: see --help", opt.dialect.name());
    }
    let is_tinode = matches!(scenario, Scenario::Tinode(_));
    let dialect = if is_tinode { "tinode" } else { opt.dialect.name() };
    let ctx = Ctx::new(opt)?;
    for pid in &ctx.opt.server_pid {
        sys::Proc::read(*pid).with_context(|| format!("--server-pid {pid}: no such process"))?;
    }
    let gather_us = ctx.opt.gather_us.unwrap_or(match &scenario {
        Scenario::Fanout(a) if a.saturate.is_some() => 500,
        Scenario::Tinode(a) if a.saturates() => 500,
        _ => 0,
    });
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    if gather_us > 0 {
        sys::exact_sleeps();
        let pause = Duration::from_micros(gather_us);
        runtime.on_thread_park(move || std::thread::sleep(pause));
    }
    let runtime = runtime.enable_all().build()?;
    let c = ctx.clone();
    let scenario = async {
        Ok::<_, anyhow::Error>(match scenario {
            Scenario::Connect(a) => ("connect", scenario::connect::connect(c, a).await?),
            Scenario::Fanout(a) => ("fanout", scenario::fanout::run(c, a).await?),
            Scenario::Sync(a) => ("sync", scenario::sync::run(c, a).await?),
            Scenario::Churn(a) => ("churn", scenario::churn::run(c, a).await?),
            Scenario::Slow(a) => ("slow", scenario::slow::run(c, a).await?),
            Scenario::Idle(a) => ("idle", scenario::connect::idle(c, a).await?),
            Scenario::Publish(a) => ("publish", scenario::publish::run(c, a).await?),
            Scenario::Pending(a) => ("pending", scenario::pending::run(c, a).await?),
            Scenario::Storm(a) => ("storm", scenario::storm::run(c, a).await?),
            Scenario::Full(a) => ("full", scenario::full::run(c, a).await?),
            Scenario::Drops(a) => ("drops", scenario::drops::run(c, a).await?),
            Scenario::Command(a) => ("command", scenario::command::run(c, a).await?),
            Scenario::Strain(a) => ("strain", scenario::strain::run(c, a).await?),
            Scenario::Register(a) => ("register", scenario::register::run(c, a).await?),
            Scenario::Waiting(a) => ("waiting", scenario::waiting::run(c, a).await?),
            Scenario::Logins(a) => ("logins", scenario::logins::run(c, a).await?),
            Scenario::Tinode(a) => ("tinode", tinode::run(c, a).await?),
        })
    };
    let limit = Duration::from_secs_f64(ctx.opt.time_limit);
    let (name, outcome) = runtime
        .block_on(async { tokio::time::timeout(limit, scenario).await })
        .context("given up: --time-limit is over")??;

    print(&ctx, (name, dialect), outcome, pinned, gather_us);
    Ok(())
}

/// Reports what a scenario came to.
fn print(
    ctx: &Ctx,
    (name, dialect): (&str, &str),
    outcome: Outcome,
    pinned: Option<usize>,
    gather_us: u64,
) {
    let Outcome { config, result, usage, mut faults, mut notes } = outcome;
    faults.push((ctx.stats.kicked.load(Relaxed), "clients were kicked out"));
    faults.push((ctx.stats.unknown.load(Relaxed), "requests for a session that was unknown"));
    faults.push((
        u64::from(usage["server"]["died"] == true),
        "server processes died: nothing is known of their CPU time and memory",
    ));
    faults.retain(|f| f.0 > 0);
    notes.splice(0..0, faults.iter().map(|(n, what)| format!("{n} {what}")));
    let mut by_kind = serde_json::Map::new();
    for (n, what) in faults {
        let before = by_kind.get(what).and_then(Value::as_u64).unwrap_or(0);
        by_kind.insert(what.to_owned(), json!(before + n));
    }
    if usage["generator"]["cores_used"].as_f64() > Some(0.8) {
        notes.push("the generator used over 80 % of its core: it may be the limit".into());
    }
    if let (Some(core), Some(procs)) = (pinned, usage["server"]["processes"].as_array())
        && procs.iter().any(|p| p["cores"] == core.to_string().as_str())
    {
        notes.push(format!("a server process shares core {core} with the generator"));
    }
    let report = json!({
        "tool": concat!("stress ", env!("CARGO_PKG_VERSION")),
        "scenario": name, "label": ctx.opt.label, "eio": ctx.opt.eio,
        "dialect": dialect,
        "way": format!("{:?}", ctx.opt.way).to_lowercase(), "run_id": ctx.run_id,
        "seed": ctx.opt.seed, "pinned_to": pinned, "gather_us": gather_us,
        "config": config, "result": result, "usage": usage, "faults": by_kind, "notes": notes,
    });
    report::print(&report, &notes);
}
