//! The one place that names concrete stores and dialects, and puts everything together.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Role, Shutdown, Site},
    dialect::{Dialect, Pace},
    domain::{
        broker::Broker,
        calls::{Calls, NoCalls},
        clock::{Clock, NoRandomness, Rng, SystemClock, SystemRng},
        erase,
        error::StoreError,
        gate::Gate,
        hub::Hub,
        operations::Operations,
        retention,
        services::{self, Services},
        supervise::Supervisor,
        token::remembered::Remembered,
    },
    hooks::{self, calls, gate, webhooks},
    jwt,
    metrics::Metrics,
    net::{
        admission::Admission,
        client::{Client, ClientError},
        connection::Bounds,
        tls::TlsError,
    },
    store::mongodb,
    telemetry::traces::{self, Traces, TracesError},
};

mod dialects;
mod doctor;
mod first_admin;
mod listeners;
mod localhost;
mod operate;
mod stores;
mod tokens;
mod wechat_secret;

pub use self::{
    doctor::{Finding, State, examine},
    first_admin::{CREDENTIAL_FILE, FirstAdmin},
    listeners::Address,
    operate::Source,
    stores::{OpenError, erase_messages, parking, revoke},
    tokens::Accounts,
};
use self::{
    listeners::{Listeners, Watch},
    operate::{Lives, Operator},
    stores::Stores,
};

/// How often the runtime wakes although nothing happens. A timer that is set to end before all
/// others costs tokio a wake-up of its own, and each store call sets one, of 250 ms and more; with
/// this one always earlier, storing single messages takes a seventh less CPU.
const PULSE: Duration = Duration::from_millis(200);
/// How often the end is looked for while draining.
const DRAIN_STEP: Duration = Duration::from_millis(10);
/// Between two looks at how many nodes there are.
const FIGURES: Duration = Duration::from_secs(10);
/// Time that dialects and the store have to close when the deadline has passed.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be bound.
    #[error(
        "can't listen on {address} for {what}: {reason}\n  another program may use the port; choose another one with {setting}"
    )]
    Listen {
        /// What should be served there, for people.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The environment variable that names it.
        setting: &'static str,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The store of messages can't be opened.
    #[error(transparent)]
    Store(#[from] stores::OpenError),
    /// The store of accounts can't be opened.
    #[error(transparent)]
    Tokens(#[from] mongodb::OpenError),
    /// A store was opened, and does not answer.
    #[error("the store does not answer: {0}")]
    Unavailable(#[from] StoreError),
    /// The very first start can't make its administrator.
    #[error("the first administrator could not be made: {0}")]
    Admin(String),
    /// The files of a certificate can't be used.
    #[error("no TLS with {setting}: {why}")]
    Tls {
        /// The environment variables that name them.
        setting: &'static str,
        /// What is wrong with them.
        why: TlsError,
    },
    /// The keys for JSON Web Tokens can't be used.
    #[error(transparent)]
    Keys(#[from] jwt::KeyError),
    /// The calls to a business server can't be made ready.
    #[error("a business server can't be called: {0}")]
    Calls(#[from] ClientError),
    /// Traces are asked for that there can't be.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// A dialect does not want to run.
    #[error("{dialect} does not start: {why}")]
    Dialect {
        /// Its name.
        dialect: &'static str,
        /// What it says.
        why: String,
    },
    /// The client script can't be read.
    #[error("{}: {why}: mend AO_WEBSOCKET__CLIENT_SCRIPT", .file.display())]
    ClientScript {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        why: io::Error,
    },
}

impl From<NoRandomness> for StartError {
    fn from(error: NoRandomness) -> Self {
        StartError::Admin(error.to_string())
    }
}

/// What is wrong with the files that the configuration names.
pub fn check(config: &Config) -> Vec<StartError> {
    let certificates = Site::ALL.into_iter().filter(|site| {
        // That of socket.io is used for administration too.
        *site != Site::Admin && site.address(config).is_some()
    });
    let unusable =
        certificates.filter_map(|site| listeners::open_tls(site, site.tls(config)).err());
    let tasks = TaskTracker::new();
    let keys = jwt::Tokens::open(&config.jwt, Arc::new(SystemClock), &tasks).err();
    let calls = authorities(config).filter_map(|ca| Client::new(Some(ca), tasks.clone()).err());
    let script = check_script(config).err().into_iter();
    let keys = keys.map(StartError::Keys);
    let traces = traces::check(&config.otel).err().map(StartError::Traces);
    script.chain(keys).chain(traces).chain(calls.map(StartError::Calls)).chain(unusable).collect()
}

/// The files of authorities that business servers are to be known by.
fn authorities(config: &Config) -> impl Iterator<Item = &Path> {
    let hook = config.hook.url.as_ref().and(config.hook.ca.as_deref());
    hook.into_iter().chain(webhooks::authorities(&config.webhook, &config.webhooks))
}

/// What those rest on who call a business server and wait.
fn callers(services: &Services) -> hooks::Parts {
    hooks::Parts {
        tasks: services.tasks.clone(),
        clock: services.clock.clone(),
        rng: services.rng.clone(),
        metrics: services.metrics.clone(),
    }
}

/// Who is asked by hooks, if anybody is.
fn open_gate(config: &Config, services: &Services) -> Result<Option<Arc<dyn Gate>>, ClientError> {
    let Some(options) = gate::Options::of(config) else { return Ok(None) };
    Ok(Some(Arc::new(gate::Hooks::new(options, callers(services))?)))
}

/// Who is called by the hooks of dialects; nobody where none is configured.
fn calls(config: &Config, services: &Services) -> Result<dialects::Callers, ClientError> {
    let calls = |options: Option<calls::Options>| -> Result<Arc<dyn Calls>, ClientError> {
        let Some(options) = options else { return Ok(Arc::new(NoCalls)) };
        Ok(Arc::new(calls::HookCalls::new(options, callers(services))?))
    };
    Ok(dialects::Callers {
        chat_service: calls(calls::Options::of(&config.chat_service))?,
        tinode: calls(calls::Options::of_tinode(&config.tinode))?,
    })
}

/// How long the last call of a business server may take, behind the deadline too: it tells of the
/// end, late as it is.
fn last_call(config: &Config) -> Duration {
    let of = &config.chat_service;
    let is_told = of.enabled && of.hooks.iter().any(|hook| hook == "onClose");
    if is_told { of.hook_timeout } else { Duration::ZERO }
}

fn check_script(config: &Config) -> Result<(), StartError> {
    let Some(file) = &config.websocket.client_script else { return Ok(()) };
    std::fs::read(file)
        .map(|_| ())
        .map_err(|why| StartError::ClientScript { file: file.clone(), why })
}

/// Has the metrics say how many nodes there are. Never ends.
async fn count_nodes(hub: Arc<Hub>) {
    loop {
        // While the store is out it is not known, and its failures are counted elsewhere.
        if let Ok(nodes) = hub.nodes().await {
            hub.metrics.node.nodes.set_count(nodes.len() as u64);
        }
        tokio::time::sleep(FIGURES).await;
    }
}

/// How a server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// In order.
    InTime,
    /// The deadline came first.
    Late,
    /// Something that was to be done at the end failed.
    Failed,
}

/// A running server.
pub struct App {
    /// What listens where.
    pub addresses: Vec<Address>,
    /// Only at the very first start on an embedded store.
    pub first_admin: Option<FirstAdmin>,
    /// What has to be closed besides the broker.
    files: Option<Arc<dyn Broker>>,
    hub: Arc<Hub>,
    dialects: Vec<Arc<dyn Dialect>>,
    operator: Arc<Operator>,
    listening: CancellationToken,
    working: CancellationToken,
    tasks: TaskTracker,
    writes: TaskTracker,
    traces: Traces,
    shutdown: Shutdown,
    last_call: Duration,
}

impl App {
    /// Binds, opens the store, and serves. The configuration has been checked; `source` reads it
    /// again.
    ///
    /// # Errors
    /// An address is taken, certificates can't be used, or a store can't be opened.
    pub async fn start(config: &Config, role: Role, source: Source) -> Result<App, StartError> {
        let listeners = Listeners::bind(config, role)?;
        if let Err(error) = check_script(config) {
            tracing::warn!(%error, "pages can't load their client from here until the file is there");
        }
        let (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>) =
            (Arc::new(SystemClock), Arc::new(SystemRng));
        let (metrics, tasks) = (Arc::new(Metrics::default()), TaskTracker::new());
        let tokens = jwt::Tokens::open(&config.jwt, clock.clone(), &tasks)?;
        let supervisor = Supervisor::new(tasks.clone(), metrics.clone());
        let traces = Traces::open(&config.otel, &tasks)?;
        if config.otel.endpoint.is_some() {
            let sending = traces.clone();
            // It ends by itself, behind everything else: see `drain`.
            supervisor.keep("traces", &CancellationToken::new(), move || sending.clone().run());
        }
        let lives = Lives::of(config, tokens.clone());
        let stores =
            Stores::open(config, &lives.rules, clock.clone(), rng.clone(), &supervisor).await?;
        let first_admin = if stores.first_start {
            first_admin::make(&*stores.tokens, &*rng, &config.store.path).await?
        } else {
            None
        };

        let (listening, working) = (CancellationToken::new(), CancellationToken::new());
        let services = Services {
            limits: stores.limits,
            parking: stores.parking,
            tokens: Remembered::new(stores.tokens),
            records: stores.records,
            receipts: stores.receipts,
            clock,
            rng,
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            supervisor: supervisor.clone(),
            options: services::Options {
                patience: config.store.patience,
                pending: config.store.pending.bytes(),
                token_lifetime: config.jwt.max_lifetime + config.jwt.leeway + config.jwt.leeway,
            },
        };
        lives.gate.set(open_gate(config, &services)?);
        let callers = calls(config, &services)?;
        let hub = Hub::new(stores.ordered, services, !config.auth.ignore);
        operate::set(&hub, config);
        webhooks::start(&config.webhook, &config.webhooks, &stores.outbox, &hub, &working)?;
        let listens = |site| listeners.has(site);
        let writes = TaskTracker::new();
        let ending = dialects::Ending { stop: &working, writes: &writes };
        let dialects::Started { dialects, methods } =
            dialects::start(config, &hub, &lives, callers, stores.originals, listens, ending)
                .await?;

        let admission = Admission::new(&config.limits, metrics.clone());
        let watched = admission.clone();
        supervisor.keep("admission", &working, move || watched.clone().watch());
        let bounds = Bounds {
            admission: admission.clone(),
            stall: config.websocket.write_stall,
            backlog: config.websocket.backlog.bytes(),
            metrics,
            connections: tasks.clone(),
            writes: writes.clone(),
            ending: Arc::new(listening.clone()),
        };
        hub.set_ready(true); // before the first of those who wait at the listeners is let in
        let watch = Watch {
            supervisor: &supervisor,
            listening: &listening,
            working: &working,
            bounds,
            header_timeout: config.websocket.header_timeout,
        };
        let (rules, interval) = (lives.rules.clone(), lives.interval.clone());
        let operator = Arc::new(Operator {
            hub: hub.clone(),
            dialects: dialects.clone(),
            methods,
            lives,
            admission,
            certificates: listeners.certificates(),
            supervisor: supervisor.clone(),
            working: working.clone(),
            listening: listening.clone(),
            source,
            running: tokio::sync::Mutex::new(config.clone()),
            watching: std::sync::Mutex::default(),
            draining: std::sync::Mutex::default(),
        });
        if let Some(tokens) = &tokens {
            operator.watch(tokens);
        }
        let addresses = listeners.serve(config, &operator, stores.embedded, &watch);
        let erasing = hub.clone();
        supervisor.keep("erasing", &working, move || erase::run(erasing.clone()));
        let ruled = hub.clone();
        supervisor.keep("retention", &working, move || {
            retention::run(ruled.clone(), rules.clone(), interval.clone())
        });
        let counted = hub.clone();
        supervisor.keep("node figures", &working, move || count_nodes(counted.clone()));
        supervisor.keep("pulse", &working, async || {
            loop {
                tokio::time::sleep(PULSE).await;
            }
        });
        Ok(App {
            addresses,
            first_admin,
            files: stores.files,
            hub,
            dialects,
            operator,
            listening,
            working,
            tasks,
            writes,
            traces,
            shutdown: config.shutdown.clone(),
            last_call: last_call(config),
        })
    }

    /// What operators may have it do.
    pub fn operations(&self) -> &dyn Operations {
        &*self.operator
    }

    /// Tells dialects that the listeners are open. Before that none but those that need no more has
    /// let clients in. To be called once, behind [`App::start`].
    ///
    /// # Errors
    /// One of them does not want to run: the server is to be ended by [`App::drain`].
    pub async fn open(&self) -> Result<(), StartError> {
        for dialect in &self.dialects {
            let opened = dialect.opened().await;
            opened.map_err(|why| StartError::Dialect { dialect: dialect.name(), why })?;
        }
        Ok(())
    }

    /// Ends in order: no new connections, clients dropped in batches, what they sent stored, and
    /// dialects told that nobody is there.
    pub async fn drain(self) -> Ended {
        let deadline = Instant::now() + self.shutdown.deadline;
        // In this order: whoever ends a drain in this moment finds that it ends.
        self.listening.cancel();
        self.operator.set_draining(true);
        let jitter = self.shutdown.jitter.min(self.shutdown.deadline / 2);
        let clients = self.hub.open_connections();
        tracing::info!(clients, "ending");
        let orderly = async {
            self.drain_dialects(Pace { batch: self.shutdown.batch as usize, jitter }).await;
            while self.hub.open_connections() > 0 || self.hub.local_rooms() > 0 {
                self.drain_dialects(Pace::AT_ONCE).await; // whose handshake ended meanwhile, too
                tokio::time::sleep(DRAIN_STEP).await;
            }
            // Last acknowledgements, goodbyes, and what is noted of those who have gone.
            self.writes.close();
            self.writes.wait().await;
        };
        let in_time = tokio::time::timeout_at(deadline, orderly).await.is_ok();
        if !in_time {
            tracing::warn!(
                connections = self.hub.open_connections(),
                rooms = self.hub.local_rooms(),
                "the deadline came before the end"
            );
        }
        let last = deadline.max(Instant::now() + LAST_CHANCE) + self.last_call;
        let ended_well = tokio::time::timeout_at(last, self.close_dialects(in_time)).await;
        self.working.cancel();
        self.tasks.close();
        // What was acknowledged is stored already; the rest gets a last chance, and no more.
        let last = deadline.max(Instant::now() + LAST_CHANCE);
        let close = async {
            self.hub.close().await;
            if let Some(files) = &self.files {
                files.close().await;
            }
        };
        let traces = self.traces.clone().end(last);
        let (closed, ()) = tokio::join!(tokio::time::timeout_at(last, close), traces);
        match (ended_well, in_time & closed.is_ok()) {
            (Ok(true), true) => Ended::InTime,
            (Ok(true), false) => Ended::Late,
            (Ok(false) | Err(_), _) => Ended::Failed,
        }
    }

    /// Tells dialects that nobody is there. False: something failed, which is in the log.
    async fn close_dialects(&self, in_time: bool) -> bool {
        let mut ended_well = true;
        for dialect in &self.dialects {
            if let Err(why) = dialect.closed(in_time).await {
                tracing::error!(dialect = dialect.name(), why, "a dialect did not end well");
                ended_well = false;
            }
        }
        ended_well
    }

    async fn drain_dialects(&self, pace: Pace) {
        join_all(self.dialects.iter().map(|dialect| dialect.drain(pace))).await;
    }
}
