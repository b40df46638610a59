//! The one place that names concrete stores and dialects, and puts everything together.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request as AxumRequest};
use hyper::{Request, Response, body::Incoming};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{
    config::{Config, TlsFiles, cli::Role},
    dialect::always_online::{AlwaysOnline, Options, Transport},
    domain::{
        broker::Broker,
        clock::{Clock, NoRandomness, Rng, SystemClock, SystemRng},
        error::StoreError,
        hub::{self, Hub, Parts},
        ids::Uid,
        secret::Secret,
        supervise::Supervisor,
        token::{Creation, Realm, Tokens},
    },
    http::{self, Context, caller::Peer},
    metrics::Metrics,
    net::{
        Connection, Stream,
        connection::Bounds,
        listener::{Listener, Service},
        tls::{Tls, TlsError},
    },
    store::mongodb,
};

pub mod copy;
mod localhost;
mod stores;
mod tokens;

use self::{localhost::Localhost, stores::Stores};
pub use self::{stores::revoke, tokens::Accounts};

/// The administrator that is made at the very first start.
const FIRST_ADMIN: &str = "admin";
/// The file in the data folder that keeps its credential.
const CREDENTIAL_FILE: &str = "admin-credential";
/// How often the runtime wakes although nothing happens. A timer that is set to end before all
/// others costs tokio a wake-up of its own, and each store call sets one, of 250 ms and more; with
/// this one always earlier, storing single messages takes a seventh less CPU.
const PULSE: Duration = Duration::from_millis(200);
/// How often the end is looked for while draining.
const DRAIN_STEP: Duration = Duration::from_millis(10);
/// Time that the store has to close when the deadline has passed.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "can't listen on {address} for {what}: {reason}\n  another program may use the port; choose another one with {setting}"
    )]
    Listen { what: &'static str, address: SocketAddr, setting: &'static str, reason: io::Error },
    #[error(transparent)]
    Store(#[from] stores::OpenError),
    #[error(transparent)]
    Tokens(#[from] mongodb::OpenError),
    #[error("the store does not answer: {0}")]
    Unavailable(#[from] StoreError),
    #[error("the first administrator could not be made: {0}")]
    Admin(String),
    #[error("no TLS with {setting}: {why}")]
    Tls { setting: &'static str, why: TlsError },
    #[error("{}: {why}: mend AO_WEBSOCKET__CLIENT_SCRIPT", .file.display())]
    ClientScript { file: PathBuf, why: io::Error },
}

impl From<NoRandomness> for StartError {
    fn from(error: NoRandomness) -> Self {
        StartError::Admin(error.to_string())
    }
}

/// The administrator that was just made.
pub struct FirstAdmin {
    pub uid: String,
    pub token: Secret,
    /// Where it is kept.
    pub file: PathBuf,
}

/// Where something listens.
pub struct Address {
    pub what: &'static str,
    pub tls: bool,
    pub address: SocketAddr,
}

fn websocket_tls(config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    open_tls(config.websocket.tls(), "AO_WEBSOCKET__TLS_CERTIFICATE and AO_WEBSOCKET__TLS_KEY")
}

fn api_tls(config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    open_tls(config.api.tls(), "AO_API__TLS_CERTIFICATE and AO_API__TLS_KEY")
}

fn open_tls(
    files: Option<TlsFiles>,
    setting: &'static str,
) -> Result<Option<Arc<Tls>>, StartError> {
    files.map(Tls::open).transpose().map_err(|why| StartError::Tls { setting, why })
}

/// What is wrong with the files that the configuration names.
pub fn check(config: &Config) -> Vec<StartError> {
    let found = [check_script(config).err(), websocket_tls(config).err(), api_tls(config).err()];
    found.into_iter().flatten().collect()
}

fn check_script(config: &Config) -> Result<(), StartError> {
    let Some(file) = &config.websocket.client_script else { return Ok(()) };
    std::fs::read(file)
        .map(|_| ())
        .map_err(|why| StartError::ClientScript { file: file.clone(), why })
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
    dialect: Arc<AlwaysOnline>,
    listening: CancellationToken,
    working: CancellationToken,
    tasks: TaskTracker,
    writes: TaskTracker,
    shutdown: crate::config::Shutdown,
}

/// What answers on one listener.
#[derive(Clone)]
struct Site {
    socket_io: Option<Transport>,
    router: Router,
}

impl Service for Site {
    fn wants(&self, handshake: &Request<()>) -> bool {
        self.socket_io.as_ref().is_some_and(|transport| transport.wants(handshake))
    }

    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>) {
        if let Some(transport) = &self.socket_io {
            transport.websocket(handshake, stream, &connection);
        }
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        if let Some(refusal) = http::refuse_two_hosts(&request) {
            return refusal;
        }
        match &self.socket_io {
            Some(transport) if Transport::serves(request.uri().path()) => {
                transport.call(request, connection).await
            }
            _ => {
                let mut request: AxumRequest = request.map(Body::new);
                request.extensions_mut().insert(Peer(connection.peer));
                match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        }
    }
}

fn listen(
    what: &'static str,
    address: SocketAddr,
    setting: &'static str,
) -> Result<Listener, StartError> {
    Listener::bind(address).map_err(|reason| StartError::Listen { what, address, setting, reason })
}

/// Makes the first administrator, and keeps its credential in a file that only the owner reads.
async fn first_admin(
    tokens: &dyn Tokens,
    rng: &dyn Rng,
    folder: &Path,
) -> Result<Option<FirstAdmin>, StartError> {
    let uid = Uid::text(FIRST_ADMIN).map_err(|e| StartError::Admin(e.to_string()))?;
    let token = Secret::random(rng)?;
    let file = folder.join(CREDENTIAL_FILE);
    write_secret(&file, &format!("uid: {FIRST_ADMIN}\ntoken: {}\n", token.reveal()))
        .map_err(|e| StartError::Admin(format!("{}: {e}", file.display())))?;
    match tokens.create(Realm::Admin, &uid, &token).await? {
        Creation::Created => Ok(Some(FirstAdmin { uid: FIRST_ADMIN.to_owned(), token, file })),
        Creation::Exists => Ok(None), // the command line was faster
    }
}

fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    use std::{fs, io::Write, os::unix::fs::OpenOptionsExt};
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

impl App {
    /// Binds, opens the store, and serves. The configuration has been checked.
    pub async fn start(config: &Config, role: Role) -> Result<App, StartError> {
        // Only what the role has a use for: the other key need not be readable here.
        let websocket_tls = if role.websocket() { websocket_tls(config)? } else { None };
        let api_tls = if role.api() { api_tls(config)? } else { None };
        if let Err(error) = check_script(config) {
            tracing::warn!(%error, "pages can't load their client from here until the file is there");
        }
        let websocket = role
            .websocket()
            .then(|| listen("socket.io", config.websocket.listen, "AO_WEBSOCKET__LISTEN"))
            .transpose()?;
        let api = role
            .api()
            .then(|| listen("the token API", config.api.listen, "AO_API__LISTEN"))
            .transpose()?;
        let optional = |wanted: bool,
                        address: Option<SocketAddr>,
                        what,
                        setting|
         -> Result<Option<Listener>, StartError> {
            address.filter(|_| wanted).map(|a| listen(what, a, setting)).transpose()
        };
        let demo = optional(role.demo(), config.demo.listen, "the demo pages", "AO_DEMO__LISTEN")?;
        let admin =
            optional(role.websocket(), config.admin.listen, "administration", "AO_ADMIN__LISTEN")?;
        let metrics_page = optional(true, config.metrics.listen, "metrics", "AO_METRICS__LISTEN")?;

        let (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>) =
            (Arc::new(SystemClock), Arc::new(SystemRng));
        let (metrics, tasks) = (Arc::new(Metrics::default()), TaskTracker::new());
        let supervisor = Supervisor::new(tasks.clone(), metrics.clone());
        let stores = Stores::open(config, clock.clone(), rng.clone(), &supervisor).await?;
        let first_admin = if stores.first_start {
            first_admin(&*stores.tokens, &*rng, &config.store.path).await?
        } else {
            None
        };

        let (listening, working) = (CancellationToken::new(), CancellationToken::new());
        let hub = Hub::new(Parts {
            broker: stores.broker,
            presence: stores.presence,
            cluster: stores.cluster,
            limits: stores.limits,
            tokens: stores.tokens,
            clock,
            rng,
            metrics: metrics.clone(),
            supervisor: supervisor.clone(),
            options: hub::Options {
                patience: config.store.patience,
                pending: config.store.pending.bytes(),
            },
            force_user_auth: !config.auth.ignore,
        });
        let (dialect, transport) = AlwaysOnline::start(hub.clone(), options(config), &working);

        let port = |listener: &Option<Listener>, configured: SocketAddr| {
            listener.as_ref().map_or(configured.port(), |l| l.address.port())
        };
        let context = Arc::new(Context {
            hub: hub.clone(),
            compat: config.compat,
            open: config.api.open,
            embedded: stores.embedded,
            loopback: api.as_ref().is_some_and(|l| l.address.ip().is_loopback()),
            auth_switch: config.admin.auth_switch,
            settings: config.values().into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
            api_port: port(&api, config.api.listen),
        });
        let websocket_port = port(&websocket, config.websocket.listen);
        let readiness = http::health::Readiness::new(hub.clone());
        let health = || http::health::routes(readiness.clone());
        let administration = || http::admin::routes(context.clone());
        let metrics_routes = || http::health::metrics(hub.clone());

        let mut sites: Vec<(&'static str, Listener, &Option<Arc<Tls>>, Site)> = Vec::new();
        let plain = |router: Router| Site { socket_io: None, router: http::finish(router) };
        if let Some(listener) = websocket {
            let routes = health().merge(http::tokens::elsewhere(context.clone()));
            let routes = if admin.is_none() { routes.merge(administration()) } else { routes };
            sites.push((
                "websocket",
                listener,
                &websocket_tls,
                Site { socket_io: Some(transport), router: http::finish(routes) },
            ));
        }
        if let Some(listener) = admin {
            sites.push((
                "admin",
                listener,
                &websocket_tls,
                plain(health().merge(administration())),
            ));
        }
        if let Some(listener) = api {
            let routes = health().merge(http::tokens::routes(context.clone()));
            let routes =
                if metrics_page.is_none() { routes.merge(metrics_routes()) } else { routes };
            sites.push(("api", listener, &api_tls, plain(routes)));
        }
        if let Some(listener) = metrics_page {
            sites.push(("metrics", listener, &None, plain(health().merge(metrics_routes()))));
        }
        if let Some(listener) = demo {
            let loopback = listener.address.ip().is_loopback();
            let routes = http::demo::routes(
                hub.clone(),
                websocket_port,
                config.websocket.tls().is_some(),
                loopback,
            );
            sites.push(("demo", listener, &None, plain(health().merge(routes))));
        }

        let writes = TaskTracker::new();
        let bounds = Bounds {
            stall: config.websocket.write_stall,
            backlog: config.websocket.backlog.bytes(),
            metrics,
            connections: tasks.clone(),
            writes: writes.clone(),
            ending: Arc::new(listening.clone()),
        };
        hub.set_ready(true); // before the first of those who wait at the listeners is let in
        let (mut addresses, mut localhost) = (Vec::new(), Localhost::default());
        for (what, listener, tls, site) in sites {
            addresses.push(Address { what, tls: tls.is_some(), address: listener.address });
            for listener in localhost.pair(listener) {
                let (listener, site, tls, bounds) =
                    (Arc::new(listener), site.clone(), tls.clone(), bounds.clone());
                let header_timeout = config.websocket.header_timeout;
                let serve = move || {
                    listener.clone().serve(
                        site.clone(),
                        tls.clone(),
                        bounds.clone(),
                        header_timeout,
                    )
                };
                supervisor.keep(what, &listening, serve);
            }
        }
        localhost.tell();
        for tls in [websocket_tls, api_tls].into_iter().flatten() {
            supervisor.keep("certificates", &working, move || tls.clone().watch());
        }
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
            dialect,
            listening,
            working,
            tasks,
            writes,
            shutdown: config.shutdown.clone(),
        })
    }

    /// Ends in order: no new connections, clients dropped in batches, what they sent stored. False:
    /// the deadline came first.
    pub async fn drain(self) -> bool {
        let deadline = Instant::now() + self.shutdown.deadline;
        self.hub.set_ready(false);
        self.listening.cancel();
        let jitter = self.shutdown.jitter.min(self.shutdown.deadline / 2);
        let clients = self.hub.open_connections();
        tracing::info!(clients, "ending");
        let orderly = async {
            self.dialect.drain(self.shutdown.batch as usize, jitter).await;
            while self.hub.open_connections() > 0 || self.hub.local_rooms() > 0 {
                self.dialect.drop_all(); // also those whose handshake ended meanwhile
                tokio::time::sleep(DRAIN_STEP).await;
            }
            // Last acknowledgements, and goodbyes.
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
        self.working.cancel();
        self.tasks.close();
        // What was acknowledged is stored already; the rest gets a last chance, and no more.
        let last = deadline.max(Instant::now() + LAST_CHANCE);
        let close = async {
            self.hub.broker.close().await;
            if let Some(files) = &self.files {
                files.close().await;
            }
        };
        in_time & tokio::time::timeout_at(last, close).await.is_ok()
    }
}

fn options(config: &Config) -> Options {
    Options {
        auth_timeout: config.auth.timeout,
        join_timeout: config.auth.join_timeout,
        ping_interval: config.websocket.ping_interval,
        ping_timeout: config.websocket.ping_timeout,
        max_message: config.message.max_size.bytes(),
        backlog: config.websocket.backlog.bytes(),
        page_cache: config.store.page_cache.bytes(),
        fast_lane: config.websocket.fast_lane,
        origins: config.websocket.origins.clone(),
        client_script: config.websocket.client_script.clone(),
    }
}
