//! The listeners: where they are bound, with which certificates, and what each serves.
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request as AxumRequest};
use hyper::{Method, Request, Response, StatusCode, Uri, body::Incoming};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{StartError, localhost::Localhost, operate::Operator};
use crate::{
    config::{Config, Role, Site, TlsFiles},
    dialect::Dialect,
    domain::supervise::Supervisor,
    http::{
        self, Context,
        health::Readiness,
        local::{Client, Peer},
    },
    net::{
        Connection, Stream,
        connection::Bounds,
        listener::{Listener, Service, refusal},
        tls::{HTTP_1, HTTP_2, Protocols, Tls},
    },
    throttle::throttled,
};

/// Routes that anybody may ask at any time: nothing is cheaper, and who watches over a server must
/// not be told that it is gone because somebody else asks too much.
const HEALTH: [&str; 2] = ["/livez", "/readyz"];

/// Where something listens.
pub struct Address {
    /// What listens there.
    pub site: Site,
    /// Whether it does under TLS.
    pub tls: bool,
    /// The address, with the port that was chosen.
    pub address: SocketAddr,
}

/// The listeners that a role and the configuration ask for, bound, with nothing served yet.
pub(super) struct Listeners {
    bound: Vec<Bound>,
    /// Each once, also where several listeners use the same files for the same.
    certificates: Vec<Arc<Tls>>,
}

struct Bound {
    site: Site,
    listener: Listener,
    tls: Option<Arc<Tls>>,
}

/// How connections are watched over, and until when.
pub(super) struct Watch<'a> {
    pub(super) supervisor: &'a Supervisor,
    /// Until then connections are accepted.
    pub(super) listening: &'a CancellationToken,
    /// Until then certificates are looked at.
    pub(super) working: &'a CancellationToken,
    pub(super) bounds: Bounds,
    /// The time for TLS and the head of a request.
    pub(super) header_timeout: Duration,
}

/// Whether clients connect there.
fn is_for_clients(site: Site) -> bool {
    match site {
        Site::Websocket
        | Site::Demo
        | Site::Gotapi
        | Site::Wechat
        | Site::Tinode
        | Site::TinodeGrpc => true,
        Site::Admin | Site::Api | Site::Metrics => false,
    }
}

/// What is spoken on a listener under TLS.
fn protocols(site: Site) -> Protocols {
    match site {
        Site::TinodeGrpc => HTTP_2,
        Site::Websocket
        | Site::Admin
        | Site::Api
        | Site::Metrics
        | Site::Demo
        | Site::Gotapi
        | Site::Wechat
        | Site::Tinode => HTTP_1,
    }
}

/// Opens the certificates of a listener; `None` where it has no TLS.
///
/// # Errors
/// The files can't be used.
pub(super) fn open_tls(
    site: Site,
    files: Option<TlsFiles>,
) -> Result<Option<Arc<Tls>>, StartError> {
    let setting = site.tls_variables().unwrap_or_default();
    let open = |files| Tls::open(files, protocols(site));
    files.map(open).transpose().map_err(|why| StartError::Tls { setting, why })
}

impl Listeners {
    /// Opens the certificates, then binds. Only what the role has a use for: the other keys need
    /// not be readable here.
    pub(super) fn bind(config: &Config, role: Role) -> Result<Self, StartError> {
        let mut opened: Vec<((TlsFiles, Protocols), Arc<Tls>)> = Vec::new();
        let mut wanted = Vec::new();
        for site in Site::ALL.into_iter().filter(|site| role.serves(*site)) {
            let Some(address) = site.address(config) else { continue };
            let files = site.tls(config);
            let wished = files.clone().map(|files| (files, protocols(site)));
            let known = opened.iter().find(|(known, _)| Some(known) == wished.as_ref());
            let tls = match known {
                Some((_, tls)) => Some(tls.clone()),
                None => open_tls(site, files)?,
            };
            if let (None, Some(wished), Some(tls)) = (known, wished, &tls) {
                opened.push((wished, tls.clone()));
            }
            wanted.push((site, address, tls));
        }
        let bind = |(site, address, tls): (Site, SocketAddr, Option<Arc<Tls>>)| {
            let listener = Listener::bind(address).map_err(|reason| StartError::Listen {
                what: site.what(),
                address,
                setting: site.listen_variable(),
                reason,
            })?;
            Ok(Bound { site, listener, tls })
        };
        Ok(Listeners {
            bound: wanted.into_iter().map(bind).collect::<Result<_, StartError>>()?,
            certificates: opened.into_iter().map(|(_, tls)| tls).collect(),
        })
    }

    /// The certificates that are in use.
    pub(super) fn certificates(&self) -> Vec<Arc<Tls>> {
        self.certificates.clone()
    }

    /// Where it listens, with the port that was chosen; `None` where it does not.
    pub(super) fn address(&self, site: Site) -> Option<SocketAddr> {
        self.bound.iter().find(|bound| bound.site == site).map(|bound| bound.listener.address)
    }

    /// Whether there is one for this.
    pub(super) fn has(&self, site: Site) -> bool {
        self.address(site).is_some()
    }

    /// Serves on all of them, and tells where that is.
    pub(super) fn serve(
        self,
        config: &Config,
        operator: &Arc<Operator>,
        embedded: bool,
        watch: &Watch<'_>,
    ) -> Vec<Address> {
        let pages = Pages::new(config, operator, &self, embedded);
        let dialects = &operator.dialects;
        let mut localhost = Localhost::default();
        let mut addresses = Vec::new();
        for Bound { site, listener, tls } in self.bound {
            addresses.push(Address { site, tls: tls.is_some(), address: listener.address });
            let dialects = dialects.iter().filter(|dialect| dialect.site() == site);
            let served = Served {
                for_clients: is_for_clients(site),
                dialects: dialects.cloned().collect(),
                router: http::finish(pages.routes(site, listener.address)),
            };
            for listener in localhost.pair(listener) {
                let (listener, served, tls) = (Arc::new(listener), served.clone(), tls.clone());
                let (bounds, timeout) = (watch.bounds.clone(), watch.header_timeout);
                watch.supervisor.keep(site.label(), watch.listening, move || {
                    listener.clone().serve(served.clone(), tls.clone(), bounds.clone(), timeout)
                });
            }
        }
        localhost.tell();
        for tls in self.certificates {
            let metrics = watch.bounds.metrics.clone();
            watch
                .supervisor
                .keep("certificates", watch.working, move || tls.clone().watch(metrics.clone()));
        }
        addresses
    }
}

/// The HTTP routes, of which each listener has some.
struct Pages {
    context: Arc<Context>,
    v1: Router,
    console: bool,
    readiness: Arc<Readiness>,
    /// Where socket.io is served, for the demo's pages, and whether it is under TLS.
    websocket: (u16, bool),
    own_admin: bool,
    own_metrics: bool,
}

impl Pages {
    fn new(
        config: &Config,
        operator: &Arc<Operator>,
        listeners: &Listeners,
        embedded: bool,
    ) -> Self {
        let hub = &operator.hub;
        let port = |site, configured: SocketAddr| {
            listeners.address(site).map_or(configured.port(), |address| address.port())
        };
        let context = Arc::new(Context {
            hub: hub.clone(),
            compat: config.compat,
            open: config.api.open,
            embedded,
            loopback: listeners.address(Site::Api).is_some_and(|api| api.ip().is_loopback()),
            auth_switch: config.admin.auth_switch,
            settings: operator.lives.settings.clone(),
            operations: operator.clone(),
            api_port: port(Site::Api, config.api.listen),
            max_message: config.message.max_size.bytes(),
            retention: operator.lives.rules.clone(),
            audit: Arc::default(),
            methods: operator.methods.clone(),
        });
        Pages {
            // One, whose bounds hold for all listeners together.
            v1: http::v1::routes(context.clone()),
            console: config.admin.console,
            context,
            readiness: Readiness::new(hub.clone()),
            websocket: (
                port(Site::Websocket, config.websocket.listen),
                config.websocket.tls().is_some(),
            ),
            own_admin: listeners.has(Site::Admin),
            own_metrics: listeners.has(Site::Metrics),
        }
    }

    /// What a listener answers beside its dialects. All tell whether they are ready.
    fn routes(&self, site: Site, address: SocketAddr) -> Router {
        let (context, hub) = (|| self.context.clone(), || self.context.hub.clone());
        let health = http::health::routes(self.readiness.clone());
        let api = || {
            let console = if self.console { http::console::routes() } else { Router::new() };
            self.v1.clone().merge(console)
        };
        let metrics = || http::health::metrics(self.readiness.clone());
        match site {
            Site::Websocket if self.own_admin => health.merge(http::tokens::elsewhere(context())),
            Site::Websocket => health
                .merge(http::tokens::elsewhere(context()))
                .merge(http::admin::routes(context())),
            Site::Admin => health.merge(http::admin::routes(context())).merge(api()),
            Site::Api => {
                let all = health.merge(http::tokens::routes(context())).merge(api());
                if self.own_metrics { all } else { all.merge(metrics()) }
            }
            Site::Metrics => health.merge(metrics()),
            Site::Demo => {
                let ((port, tls), loopback) = (self.websocket, address.ip().is_loopback());
                health.merge(http::demo::routes(hub(), port, tls, loopback))
            }
            Site::Gotapi | Site::Wechat | Site::Tinode | Site::TinodeGrpc => health,
        }
    }
}

/// What answers on one listener: its dialects, then its routes.
#[derive(Clone)]
struct Served {
    for_clients: bool,
    dialects: Arc<[Arc<dyn Dialect>]>,
    router: Router,
}

impl Served {
    /// Whose WebSocket handshake this is, which somebody wants.
    fn dialect(&self, handshake: &Request<()>) -> Option<&Arc<dyn Dialect>> {
        match &*self.dialects {
            [only] => Some(only),
            several => several.iter().find(|dialect| dialect.wants(handshake)),
        }
    }
}

impl Service for Served {
    fn is_for_clients(&self) -> bool {
        self.for_clients
    }

    fn is_urgent(&self, path: &str) -> bool {
        HEALTH.contains(&path)
    }

    fn wants(&self, handshake: &Request<()>) -> bool {
        self.dialects.iter().any(|dialect| dialect.wants(handshake))
    }

    fn is_new(&self, handshake: &Request<()>) -> bool {
        self.dialect(handshake).is_none_or(|dialect| dialect.is_new(handshake))
    }

    fn reads_headers(&self) -> bool {
        self.dialects.iter().any(|dialect| dialect.reads_headers())
    }

    fn takes_streams(&self) -> bool {
        matches!(&*self.dialects, [only] if only.takes_streams())
    }

    fn stream(&self, stream: Stream, connection: Arc<Connection>) {
        if let [only] = &*self.dialects {
            only.stream(stream, connection);
        }
    }

    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>) {
        if let Some(dialect) = self.dialect(&handshake) {
            dialect.websocket(handshake, stream, connection);
        }
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        let address = connection.client(request.headers());
        if !self.for_clients {
            return self.answer(request, connection, address).await;
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let response = self.answer(request, connection, address).await;
        if response.status().as_u16() >= 400 {
            log_refused(&method, &uri, address, response.status());
        }
        response
    }
}

/// Bytes of a path that are logged.
const LOGGED: usize = 100;
/// Bytes of a part of a path that is logged: a token is longer.
const PART: usize = 40;

/// A line for a client's request that is refused, as far as there are not too many; without the
/// query, which may have a token.
fn log_refused(method: &Method, uri: &Uri, address: IpAddr, status: StatusCode) {
    throttled!(
        info,
        status = status.as_u16(),
        %method,
        path = %shown(uri.path()),
        %address,
        "a request was refused"
    );
}

/// A path as it may be logged. Where a part of it may be a token, it ends before that.
fn shown(path: &str) -> Cow<'_, str> {
    let mut end = 0;
    for part in path.split_inclusive('/') {
        if part.len() > PART {
            return format!("{}…", &path[..end]).into();
        }
        end += part.len();
    }
    path.get(..LOGGED).unwrap_or(path).into()
}

impl Served {
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        connection: Arc<Connection>,
        address: IpAddr,
    ) -> Response<Body> {
        if let Some(refusal) = http::refuse_two_hosts(&request) {
            return refusal;
        }
        for dialect in &*self.dialects {
            request = match dialect.request(request, connection.clone()) {
                Ok(answer) => return answer.await,
                Err(request) => *request,
            };
        }
        if self.for_clients
            && !self.is_urgent(request.uri().path())
            && let Err(full) = connection.ask(request.headers())
        {
            return refusal(full);
        }
        let mut request: AxumRequest = request.map(Body::new);
        request.extensions_mut().insert(Peer(connection.peer));
        request.extensions_mut().insert(Client(address));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_logged_up_to_what_may_be_a_token() {
        let long = "x".repeat(PART + 1);
        for (path, expected) in [
            ("/", "/"),
            ("/socket.io/", "/socket.io/"),
            (&*format!("/wechat/{long}"), "/wechat/…"),
            (&*format!("/wechat/{long}/a"), "/wechat/…"),
            (&*format!("/{long}"), "/…"),
        ] {
            assert_eq!(shown(path), expected);
        }
        assert_eq!(shown(&"/a".repeat(100)), "/a".repeat(50));
    }
}
