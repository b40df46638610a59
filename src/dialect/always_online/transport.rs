//! The HTTP side of `/socket.io/`, around the engine: origins, requests as old clients send them,
//! and which TCP connection carries whose WebSocket. What polling clients post is handled in
//! [`super::posted`], what they fetch in [`super::polling`].
use std::{convert::Infallible, path::Path, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{self, HeaderName},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::Service as _};
use socketioxide_core::Sid;
use tower::{Layer, ServiceExt};
use tower_http::{
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
    services::ServeFile,
};

use super::{
    AlwaysOnline, engine,
    polling::{Place, Polling},
    query::{self, Query},
    websocket,
};
use crate::{
    config::Origins,
    net::{
        Connection, Stream,
        upgrade::{self, Flaw, Offer},
    },
};

/// Headers that the engine, or the session, has a use for; the rest is not kept for a connection's
/// whole life.
const KEPT: [HeaderName; 5] = [
    header::SEC_WEBSOCKET_KEY,
    header::ORIGIN,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
];

/// The client script that old pages load from here; its source map is at the same with `.map`.
const SCRIPT: &str = "/socket.io/socket.io.js";

/// How the engine says that it has no such session.
const UNKNOWN: &[u8] = br#""code":"1""#;

/// Answers requests to `/socket.io/`.
#[derive(Clone)]
pub struct Transport {
    dialect: Arc<AlwaysOnline>,
    cors: CorsLayer,
}

impl Transport {
    pub(super) fn new(dialect: Arc<AlwaysOnline>) -> Self {
        let _ = dialect.engine.set(engine::build(&dialect));
        let origins = dialect.options.origins.clone();
        let allowed = AllowOrigin::predicate(move |origin, _| permits(&origins, origin));
        let cors = CorsLayer::new()
            .allow_origin(allowed)
            .allow_credentials(true) // polling clients of socket.io 2 always send credentials
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .vary([header::ORIGIN]);
        Transport { dialect, cors }
    }

    /// Whether the path is this dialect's.
    pub fn serves(path: &str) -> bool {
        path == "/socket.io" || path.starts_with("/socket.io/")
    }

    /// Answers one request that came in on `connection`. Where an upgrade is refused the connection is
    /// closed: some clients wait for that. No cache may keep an answer but the script's.
    pub async fn call(
        &self,
        request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        let upgrade = request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let mut response = self.answer(request, connection).await;
        if upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response
                .headers_mut()
                .entry(header::CACHE_CONTROL)
                .or_insert(HeaderValue::from_static("no-store"));
        }
        response
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        let path = request.uri().path();
        if path.starts_with(SCRIPT) {
            return self.script(request).await;
        }
        if let Some(origin) = request.headers().get(header::ORIGIN)
            && !permits(&self.dialect.options.origins, origin)
        {
            return error(StatusCode::FORBIDDEN, "origin not allowed: see websocket.origins");
        }
        let query = Query::read(request.uri());
        if query.sid.is_none() && !self.dialect.hub.is_ready() {
            return error(StatusCode::SERVICE_UNAVAILABLE, "this server is ending");
        }
        if query.websocket {
            return self.upgrade(request, &query, &connection).await;
        }
        if query.jsonp {
            return error(
                StatusCode::BAD_REQUEST,
                "JSONP is not supported: poll by XMLHttpRequest or fetch, without the parameter j",
            );
        }
        // An upgrade that is offered with it is not taken. The engine would keep the offer, and
        // with it the connection, as long as the session.
        request.extensions_mut().clear();
        let request = compact(request, &connection);
        let answer = tower::service_fn(|request| async {
            Ok::<_, Infallible>(self.poll(request, &query).await)
        });
        match self.cors.layer(answer).oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// A request that asks for a WebSocket, and was not [`Transport::wants`]-ed: mostly an upgrade
    /// from polling. The engine (0.17.9) looks at nothing but the key, and says 101 for
    /// sessions that are none; so both are looked at before.
    async fn upgrade(
        &self,
        request: Request<Incoming>,
        query: &Query,
        connection: &Arc<Connection>,
    ) -> Response<Body> {
        let mut protocol = None;
        if request.method() == Method::GET {
            match Offer::read(
                request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
            ) {
                Ok(offer) if request.version() == Version::HTTP_11 => {
                    protocol = offer.protocol.and_then(|name| HeaderValue::from_str(name).ok());
                }
                Ok(_) => return flawed(Flaw::NotAsked),
                Err(flaw) => return flawed(flaw),
            }
            if let Some(sid) = query.sid
                && let Some(unknown) = self.unknown(sid, query).await
            {
                return unknown;
            }
        }
        if stops_at_close(request.headers()) {
            connection.close_without_a_word();
        }
        let mut request = compact(request, connection);
        if query.sid.is_none() {
            request.extensions_mut().insert(Polling::new(
                &self.dialect,
                query.eio == Some(4),
                Place::Absent,
            ));
        }
        let mut response = self.dialect.ask(request).await;
        // Only what the engine agreed to; it begins after this answer.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            connection.become_websocket();
            if let Some(sid) = query.sid {
                self.dialect.tie(sid, connection);
            }
            if let Some(name) = protocol {
                response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, name);
            }
        }
        response
    }

    /// The engine's refusal where it has no session of this name. It can be asked only by a
    /// request: a POST of nothing does nothing.
    async fn unknown(&self, sid: Sid, query: &Query) -> Option<Response<Body>> {
        let version = if query.eio == Some(4) { 4 } else { 3 };
        let target = format!("/socket.io/?EIO={version}&transport=polling&sid={sid}");
        let answer =
            self.dialect.ask(Request::post(target).body(Full::<Bytes>::default()).ok()?).await;
        if answer.status().is_success() {
            return None;
        }
        // A session that is a WebSocket already is refused as well: the engine judges that, and
        // tells its second socket.
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        body.windows(UNKNOWN.len())
            .any(|w| w == UNKNOWN)
            .then(|| Response::from_parts(parts, Body::from(body)))
    }

    /// Whether a WebSocket handshake needs no other answer than 101. One that names a session, an
    /// upgrade from polling, goes through HTTP: only there does the engine end the session when
    /// the upgrade fails.
    pub fn wants(&self, handshake: &Request<()>) -> bool {
        let (uri, origin) = (handshake.uri(), handshake.headers().get(header::ORIGIN));
        let query = Query::read(uri);
        matches!(uri.path(), "/socket.io/" | "/socket.io")
            && query.websocket
            && matches!(query.eio, None | Some(3 | 4))
            && !query.names_sid
            && self.dialect.hub.is_ready()
            && origin.is_none_or(|o| permits(&self.dialect.options.origins, o))
    }

    /// Takes a WebSocket over whose handshake it wanted.
    pub fn websocket(&self, handshake: Request<()>, stream: Stream, connection: &Arc<Connection>) {
        let query = Query::read(handshake.uri());
        if stops_at_close(handshake.headers()) {
            connection.close_without_a_word();
        }
        if self.dialect.options.fast_lane {
            let version =
                if query.eio == Some(4) { websocket::Version::V4 } else { websocket::Version::V3 };
            self.dialect.hub.tasks.spawn(websocket::serve(self.dialect.clone(), version, stream));
            return;
        }
        connection.become_websocket();
        let mut request = compact(handshake, connection);
        request.extensions_mut().insert(Polling::new(
            &self.dialect,
            query.eio == Some(4),
            Place::Absent,
        ));
        if let Some(engine) = self.dialect.engine.get() {
            // It reads the query as `wants` did.
            let _ = engine.call((stream, request)).into_inner();
        }
    }

    /// A polling request.
    async fn poll(&self, request: Request<Incoming>, query: &Query) -> Response<Body> {
        match *request.method() {
            Method::POST => self.dialect.post(request, query).await,
            _ => self.dialect.poll(request, query).await,
        }
    }

    /// The client script that old pages load from here.
    async fn script(&self, mut request: Request<Incoming>) -> Response<Body> {
        let suffix = request.uri().path().strip_prefix(SCRIPT).unwrap_or_default();
        // Whatever the file is called.
        let kind =
            if suffix.is_empty() { "text/javascript; charset=utf-8" } else { "application/json" };
        let file = match (&self.dialect.options.client_script, suffix) {
            (Some(file), "") => file.clone(),
            (Some(file), ".map") => {
                let mut name = file.clone().into_os_string();
                name.push(".map");
                name.into()
            }
            (_, "" | ".map") => {
                return error(
                    StatusCode::NOT_FOUND,
                    "no client script: set AO_WEBSOCKET__CLIENT_SCRIPT to a file such as node_modules/socket.io-client/dist/socket.io.js",
                );
            }
            _ => return error(StatusCode::NOT_FOUND, "not found"),
        };
        // Judged below: a file that replaces another may be the older one.
        let had = request.headers_mut().remove(header::IF_MODIFIED_SINCE);
        let mut response = match self.cors.layer(ServeFile::new(&file)).oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        };
        if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR) {
            tracing::debug!(file = %Path::display(&file), "the client script can't be read");
            return error(StatusCode::NOT_FOUND, "the configured client script can't be read");
        }
        // It may be replaced, so a browser asks each time, and is mostly told that it has it.
        if response.status().is_success() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if response.status() == StatusCode::OK
            && had.is_some()
            && had.as_ref() == response.headers().get(header::LAST_MODIFIED)
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::empty();
        }
        response
    }
}

/// The request as the engine should keep it: few headers, deeply copied, so that hyper's read
/// buffer is freed (measured: 9 KB a connection), and of the query what it reads.
fn compact<B>(request: Request<B>, connection: &Arc<Connection>) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    let mut headers = HeaderMap::with_capacity(1);
    for (name, value) in &parts.headers {
        if KEPT.contains(name)
            && let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
        {
            headers.append(name.clone(), value);
        }
    }
    parts.headers = headers;
    if let Ok(uri) = Uri::try_from(query::for_engine(&parts.uri)) {
        parts.uri = uri;
    }
    // Weak: the engine keeps this for as long as the session lives, which a polling connection need
    // not.
    parts.extensions.insert(Arc::downgrade(connection));
    Request::from_parts(parts, body)
}

fn permits(origins: &Origins, origin: &HeaderValue) -> bool {
    matches!(origins, Origins::Any) || origin.to_str().is_ok_and(|o| origins.allow(o))
}

/// The answer to a request that is no WebSocket handshake, with Node's code for a bad request.
fn flawed(flaw: Flaw) -> Response<Body> {
    let body =
        serde_json::json!({ "code": 3, "message": format!("Bad request: {flaw}") }).to_string();
    let mut response = json(StatusCode::BAD_REQUEST, body);
    if flaw == Flaw::Version {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(upgrade::VERSION));
    }
    response
}

/// An error as engine.io clients and people read it.
pub(super) fn error(status: StatusCode, message: &str) -> Response<Body> {
    json(status, serde_json::json!({ "code": status.as_u16(), "message": message }).to_string())
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether the client is one of OkHttp's, as Android's is: at a Close frame that stops reading and
/// tells nobody, so the client would notice only when its next ping stays unanswered, up to 45 s
/// later. At the end of the stream it comes back at once. (Swift 16.0 needs the frame.)
fn stops_at_close(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"okhttp/"))
}
