//! The demo's pages, and tokens for their visitors.
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;

use super::{
    error,
    local::{self, Peer},
};
use crate::domain::{
    clock::alphanumeric,
    hub::Hub,
    ids::Uid,
    secret::Secret,
    token::{Creation, Realm},
};
use crate::throttle::throttled;

/// Visitors that get a token within a minute.
const VISITORS_PER_MINUTE: u32 = 300;

struct Demo {
    hub: Arc<Hub>,
    /// Where the socket server listens, and whether it does under TLS.
    port: u16,
    tls: bool,
    /// Whether the pages are for this machine only.
    loopback: bool,
    minute: AtomicU64,
    visitors: AtomicU32,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// What is served as it is: route, type, text.
const FILES: [(&str, &str, &str); 6] = [
    ("/", HTML, include_str!("../../demo/index.html")),
    ("/chat", HTML, include_str!("../../demo/chat.html")),
    ("/events", HTML, include_str!("../../demo/events.html")),
    ("/always-online.js", SCRIPT, include_str!("../../demo/always-online.js")),
    ("/common.js", SCRIPT, include_str!("../../demo/common.js")),
    ("/common.css", STYLE, include_str!("../../demo/common.css")),
];

/// The pages and their routes; `loopback`: they are for this machine only.
pub fn routes(hub: Arc<Hub>, websocket_port: u16, tls: bool, loopback: bool) -> Router {
    let demo = Arc::new(Demo {
        hub,
        port: websocket_port,
        tls,
        loopback,
        minute: AtomicU64::new(0),
        visitors: AtomicU32::new(0),
    });
    let router = Router::new().route("/token", post(token)).with_state(demo);
    FILES.into_iter().fold(router, |router, (route, kind, text)| {
        router.route(route, get(move || async move { file(kind, text) }))
    })
}

/// Nothing from elsewhere, but connections to wherever the socket server is.
const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; connect-src *; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// A visitor of a page gets a uid `demo-…` and its token. Not for other sites' pages, nor through a
/// proxy.
async fn token(State(demo): State<Arc<Demo>>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>();
    let Some(host) = peer
        .and_then(|peer| local::own_page(*peer, request.headers(), request.uri(), demo.loopback))
    else {
        return error(
            StatusCode::FORBIDDEN,
            "only for the demo's own pages, opened by the address that the server names, without a proxy",
        );
    };
    if !demo.welcomes_one_more() {
        return error(StatusCode::TOO_MANY_REQUESTS, "too many visitors within a minute");
    }
    match demo.visitor().await {
        Some((uid, token)) => {
            let url =
                format!("{}://{}:{}", if demo.tls { "wss" } else { "ws" }, host.name, demo.port);
            let body = json!({ "uid": uid.as_str(), "token": token.reveal(), "url": url });
            (
                [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
                body.to_string(),
            )
                .into_response()
        }
        None => error(StatusCode::INTERNAL_SERVER_ERROR, "no token could be made"),
    }
}

impl Demo {
    fn welcomes_one_more(&self) -> bool {
        let minute = self.hub.clock.unix() / 60;
        if self.minute.swap(minute, Relaxed) != minute {
            self.visitors.store(0, Relaxed);
        }
        self.visitors.fetch_add(1, Relaxed) < VISITORS_PER_MINUTE
    }

    async fn visitor(&self) -> Option<(Uid, Secret)> {
        let name = alphanumeric(&*self.hub.rng, 6).ok()?.to_ascii_lowercase();
        let uid = Uid::text(&format!("demo-{name}")).ok()?;
        let token = Secret::random(&*self.hub.rng).ok()?;
        let tokens = &self.hub.tokens;
        match tokens.create(Realm::User, &uid, &token).await {
            Ok(Creation::Created) => Some((uid, token)),
            // Someone had that name: its token is kept, and another name is not worth a loop.
            Ok(Creation::Exists) => None,
            Err(error) => {
                throttled!(warn, %error, "a visitor of the demo got no token");
                None
            }
        }
    }
}
