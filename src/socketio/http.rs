//! The HTTP side of `/socket.io/`: origins, requests as old clients send them, and who gets what.
//! What polling clients post is handled in [`super::posted`], what they fetch in
//! [`super::polling`].
use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{self, HeaderName},
};
use http_body_util::Full;
use hyper::body::Incoming;
use socketioxide_core::Sid;
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{
    Headers, Namespace, Parts, SocketIo,
    dispatch::Handshake,
    polling::Begin,
    query::{self, Query},
    upgrade as change, websocket,
};
use crate::{
    config::Origins,
    net::{
        Connection, Stream, admission,
        listener::refusal,
        upgrade::{self, Agreed, Flaw},
    },
};

mod script;

/// Headers that the engine has a use for; the rest is not kept for a session's whole life.
const KEPT: [HeaderName; 4] = [
    header::ORIGIN,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
];
/// Headers that namespaces may read which do not ask for all of them.
const READ: [HeaderName; 2] = [header::ORIGIN, header::USER_AGENT];

/// The client script that old pages load from here; its source map is at the same with `.map`.
const SCRIPT: &str = "/socket.io/socket.io.js";

/// Answers requests to `/socket.io/`.
#[derive(Clone)]
pub struct Transport {
    io: Arc<SocketIo>,
    cors: CorsLayer,
}

impl Transport {
    /// The layer with these namespaces, by their names; the root is `/`. Of two with one name the
    /// last is served.
    pub fn new(
        parts: Parts,
        namespaces: impl IntoIterator<Item = (Box<str>, Arc<dyn Namespace>)>,
    ) -> Self {
        let origins = parts.options.origins.clone();
        let io = SocketIo::new(parts, namespaces.into_iter().collect());
        let allowed = AllowOrigin::predicate(move |origin, _| permits(&origins.get(), origin));
        let cors = CorsLayer::new()
            .allow_origin(allowed)
            .allow_credentials(true) // polling clients of socket.io 2 always send credentials
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .vary([header::ORIGIN]);
        Transport { io, cors }
    }

    #[cfg(test)]
    pub(super) fn io(&self) -> Arc<SocketIo> {
        self.io.clone()
    }

    /// Whether the path is this layer's.
    pub fn serves(path: &str) -> bool {
        path == "/socket.io" || path.starts_with("/socket.io/")
    }

    /// Answers one request that came in on `connection`. Where an upgrade is refused the connection
    /// is closed: some clients wait for that. No cache may keep an answer but the script's.
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
            && !permits(&self.io.options.origins.get(), origin)
        {
            return error(StatusCode::FORBIDDEN, "origin not allowed: see websocket.origins");
        }
        let query = Query::read(request.uri());
        if query.sid.is_none() && !(self.io.is_ready)() {
            return error(StatusCode::SERVICE_UNAVAILABLE, "this server is ending");
        }
        if query.websocket {
            return self.upgrade(request, query, connection).await;
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
        let is_new = request.method() == Method::GET && !query.names_sid;
        let mut begin = match is_new.then(|| self.begin(&request, &connection)).transpose() {
            Ok(begin) => begin,
            Err(full) => return refusal(full),
        };
        let (request, query) = (compact(request), &query);
        let answer = tower::service_fn(|request: Request<Incoming>| {
            let begin = begin.take();
            async move {
                Ok::<_, Infallible>(match begin {
                    Some(begin) => self.io.open(request, query, begin).await,
                    None if request.method() == Method::POST => self.io.post(request, query).await,
                    None => self.io.poll(request, query).await,
                })
            }
        });
        match self.cors.layer(answer).oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// A client that begins a session by polling is let in, or not.
    fn begin<B>(
        &self,
        request: &Request<B>,
        connection: &Arc<Connection>,
    ) -> Result<Begin, admission::Full> {
        let client = connection.client(request.headers());
        Ok(Begin {
            handshake: self.handshake(request.uri(), request.headers(), client),
            place: connection.begin(request.headers())?,
            meter: connection.meter(),
            admission: connection.admission(),
        })
    }

    /// A request that asks for a WebSocket, and was not [`Transport::wants`]-ed: it is not its
    /// connection's first, or has a flaw.
    async fn upgrade(
        &self,
        mut request: Request<Incoming>,
        query: Query,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        if request.method() != Method::GET || !is_spoken(&query) {
            return self.io.ask(compact(request)).await; // it says what is wrong
        }
        let (agreed, response) = match upgrade::agree(&mut request) {
            Ok(agreed) => agreed,
            Err(flaw) => return flawed(flaw),
        };
        if query.names_sid && query.sid.and_then(|sid| self.io.carrier(sid)).is_none() {
            return match query.sid {
                Some(sid) => self.unknown(sid, &query).await,
                None => self.io.ask(compact(request)).await, // no session can have this name
            };
        }
        if query.sid.is_none()
            && let Err(full) = connection.sit(request.headers())
        {
            return refusal(full);
        }
        let (parts, _) = request.into_parts();
        let transport = self.clone();
        self.io.tasks.spawn(async move {
            let handshake = Request::from_parts(parts, ());
            transport.take(agreed, handshake, connection).await;
        });
        response
    }

    async fn take(&self, agreed: Agreed, handshake: Request<()>, connection: Arc<Connection>) {
        if let Some(stream) = agreed.stream().await {
            self.websocket(handshake, stream, &connection);
        }
    }

    /// The engine's refusal of a name that it does not know. It can be asked only by a request: a
    /// POST of nothing does nothing.
    async fn unknown(&self, sid: Sid, query: &Query) -> Response<Body> {
        let eio = query.version().number();
        let target = format!("/socket.io/?EIO={eio}&transport=polling&sid={sid}");
        let request = Request::post(target).body(Full::<Bytes>::default());
        let refusal = match request {
            Ok(request) => self.io.ask(request).await,
            Err(_) => return mismatch(),
        };
        if refusal.status().is_success() { mismatch() } else { refusal }
    }

    /// Whether a WebSocket handshake needs no other answer than 101.
    pub fn wants(&self, handshake: &Request<()>) -> bool {
        let (uri, origin) = (handshake.uri(), handshake.headers().get(header::ORIGIN));
        let query = Query::read(uri);
        matches!(uri.path(), "/socket.io/" | "/socket.io")
            && query.websocket
            && is_spoken(&query)
            && origin.is_none_or(|o| permits(&self.io.options.origins.get(), o))
            && match query.sid {
                Some(sid) => self.io.carrier(sid).is_some(),
                None => !query.names_sid && (self.io.is_ready)(),
            }
    }

    /// Whether a WebSocket handshake begins a session; else it goes on with one that polls.
    pub fn is_new(&self, handshake: &Request<()>) -> bool {
        Query::read(handshake.uri()).sid.is_none()
    }

    /// Whether a namespace looks at all headers of handshakes.
    pub fn reads_headers(&self) -> bool {
        self.io.keeps_headers()
    }

    /// Takes a WebSocket over whose handshake it wanted.
    pub fn websocket(&self, handshake: Request<()>, stream: Stream, connection: &Arc<Connection>) {
        let query = Query::read(handshake.uri());
        if stops_at_close(handshake.headers()) {
            connection.close_without_a_word();
        }
        let Some(sid) = query.sid else {
            let client = connection.client(handshake.headers());
            let kept = self.handshake(handshake.uri(), handshake.headers(), client);
            let client = websocket::serve(self.io.clone(), query.version(), kept, stream);
            self.io.tasks.spawn(client);
            return;
        };
        if let Some(carrier) = self.io.carrier(sid).filter(|c| c.version == query.version()) {
            self.io.tasks.spawn(change::serve(carrier, stream));
        }
    }

    /// What a namespace may read of a request, if one does.
    fn handshake(&self, uri: &Uri, headers: &HeaderMap, client: IpAddr) -> Option<Box<Handshake>> {
        self.io.keeps_handshakes().then(|| {
            let all = self.io.keeps_headers();
            let headers = headers.iter().filter(|(name, _)| all || READ.contains(name));
            let query = uri.query().unwrap_or_default().into();
            Box::new(Handshake { query, headers: Headers::new(headers), client })
        })
    }
}

/// Whether a query asks for a version that is spoken here.
fn is_spoken(query: &Query) -> bool {
    matches!(query.eio, None | Some(3 | 4))
}

/// Some of a request's headers, deeply copied, so that hyper's read buffer is freed (measured: 9 KB
/// a connection).
fn copied(headers: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut copies = HeaderMap::with_capacity(1);
    for (name, value) in headers.iter().filter(|(name, _)| is_kept(name)) {
        if let Ok(name) = HeaderName::from_bytes(name.as_str().as_bytes())
            && let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
        {
            copies.append(name, value);
        }
    }
    copies
}

/// The request as the engine should keep it: few headers, and of the query what it reads.
fn compact<B>(request: Request<B>) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    parts.headers = copied(&parts.headers, |name| KEPT.contains(name));
    if let Ok(uri) = Uri::try_from(query::for_engine(&parts.uri)) {
        parts.uri = uri;
    }
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

/// The answer to a request for a session that does not poll, as the engine gives it.
pub(super) fn mismatch() -> Response<Body> {
    json(StatusCode::BAD_REQUEST, r#"{"code":"3","message":"Bad request"}"#.to_owned())
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
