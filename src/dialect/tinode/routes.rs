//! The HTTP side: which path is what, and who may ask. Everything needs an API key (S:14).
//!
//! ```text
//! /v0/channels       WebSockets
//! /v0/channels/lp    long polling
//! /v0/file/u/        upload
//! /v0/file/s/NAME    download
//! ```
//!
//! Pages of any origin may ask: what they may see is behind a token, which no browser sends by
//! itself.
use std::sync::Arc;

use axum::body::Body;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use hyper::body::Incoming;

use super::{
    Node, Tinode, api_key, files, json as encoded,
    message::{Code, Ctrl, Message, Params, Ts},
    polling, websocket,
};
use crate::net::{Connection, listener::refusal, upgrade};

/// What all paths begin with.
const ROOT: &str = "/v0/";
/// Headers that a page of another origin may send.
const HEADERS: &str = "authorization, content-type, x-tinode-apikey, x-tinode-auth";
/// Seconds for which a browser may remember what it may send.
const REMEMBERED: &str = "86400";

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    WebSocket,
    Polling,
    Upload,
    /// Of the file with this name.
    Download(&'a str),
}

impl<'a> Route<'a> {
    /// The route of a path, with a slash at its end or without.
    fn of(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix(ROOT)?;
        match path.strip_suffix('/').unwrap_or(path) {
            "channels" => Some(Route::WebSocket),
            "channels/lp" => Some(Route::Polling),
            "file/u" => Some(Route::Upload),
            file => {
                let name = file.strip_prefix("file/s/")?;
                (!name.is_empty() && !name.contains('/')).then_some(Route::Download(name))
            }
        }
    }
}

/// Whether a request is one of ours.
pub(super) fn is_ours(uri: &Uri) -> bool {
    uri.path().starts_with(ROOT)
}

/// Whether a WebSocket handshake is to be accepted.
pub(super) fn accepts(node: &Tinode, handshake: &Request<()>) -> bool {
    Route::of(handshake.uri().path()) == Some(Route::WebSocket)
        && node.is_open()
        && has_key(node, handshake.uri(), handshake.headers())
}

fn has_key(node: &Tinode, uri: &Uri, headers: &HeaderMap) -> bool {
    api_key::presented(uri, headers).is_some_and(|key| node.keys.check(&key))
}

/// Answers a request.
pub(super) async fn answer(
    node: &Node,
    request: Request<Incoming>,
    connection: Arc<Connection>,
) -> Response<Body> {
    if is_preflight(request.method(), request.headers()) {
        return with_origin(preflight());
    }
    let is_handshake = is_handshake(&request);
    // A handshake needs a place instead, once it is known that nothing is wrong with it.
    let asked = if is_handshake { Ok(()) } else { connection.ask(request.headers()) };
    if let Err(full) = asked {
        return with_origin(refusal(full));
    }
    let response = match find(node, &request) {
        Err((status, code)) => Ok(refused(node, status, code)),
        Ok(Route::WebSocket) => accept(node, request, &connection),
        Ok(Route::Polling) => Ok(polling::answer(node, request, connection).await),
        Ok(Route::Upload) => Ok(files::upload(node, request, &connection).await),
        Ok(Route::Download(name)) => {
            let name = name.to_owned();
            Ok(files::serve(node, &request, &name).await)
        }
    };
    // It is no handshake, and why not is told by none of our codes.
    let refusal = |_: upgrade::Flaw| refused(node, StatusCode::BAD_REQUEST, Code::Malformed);
    with_origin(response.unwrap_or_else(refusal))
}

type Refused = (StatusCode, Code);

/// What is asked for, if it may be.
fn find<'a>(node: &Tinode, request: &'a Request<Incoming>) -> Result<Route<'a>, Refused> {
    let route = Route::of(request.uri().path());
    let route = route.ok_or((StatusCode::NOT_FOUND, Code::NotFound))?;
    // Who is here already may go on while this node sends its clients elsewhere.
    let may_begin = match route {
        Route::WebSocket => node.is_open(),
        Route::Polling | Route::Upload | Route::Download(_) => node.has_secrets(),
    };
    if !may_begin {
        return Err((StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable));
    }
    let presented = api_key::presented(request.uri(), request.headers());
    let may = match (route, presented) {
        // It may be in the form that is sent.
        (Route::Upload, None) => true,
        (Route::Polling, None) => polling::may_have_key(request.headers()),
        (Route::WebSocket | Route::Download(_), None) => false,
        (_, Some(key)) => node.keys.check(&key),
    };
    if may { Ok(route) } else { Err((StatusCode::FORBIDDEN, Code::BadKey)) }
}

/// A handshake that was not the first request of its connection, as proxies send it; or a request
/// that is none.
fn accept(
    node: &Node,
    mut request: Request<Incoming>,
    connection: &Connection,
) -> Result<Response<Body>, upgrade::Flaw> {
    let (agreed, response) = upgrade::agree(&mut request)?;
    if let Err(full) = connection.sit(request.headers()) {
        return Ok(refusal(full));
    }
    let (here, address) = (node.clone(), connection.client(request.headers()));
    node.hub.tasks.spawn(async move {
        if let Some(stream) = agreed.stream().await {
            websocket::serve(here, address, stream).await;
        }
    });
    Ok(response)
}

/// Whether a request asks for a WebSocket where there is one.
fn is_handshake<B>(request: &Request<B>) -> bool {
    Route::of(request.uri().path()) == Some(Route::WebSocket) && upgrade::is_asked(request)
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    for (name, value) in allowed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Pages of any origin may read it.
fn with_origin(mut response: Response<Body>) -> Response<Body> {
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

/// A refusal that says why.
pub(super) fn refused(node: &Tinode, status: StatusCode, code: Code) -> Response<Body> {
    let ctrl = Ctrl { id: "", topic: "", code, params: Params::default() };
    json(status, &ctrl, Ts(node.hub.clock.unix_ms()))
}

/// A response that says the same as a message.
pub(super) fn json(status: StatusCode, ctrl: &Ctrl<'_>, now: Ts) -> Response<Body> {
    let mut body = Vec::new();
    encoded::write(&Message::Ctrl(ctrl.clone()), now, &mut body);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_known_with_a_slash_and_without() {
        for (path, route) in [
            ("/v0/channels", Some(Route::WebSocket)),
            ("/v0/channels/", Some(Route::WebSocket)),
            ("/v0/channels/lp", Some(Route::Polling)),
            ("/v0/channels/lp/", Some(Route::Polling)),
            ("/v0/channels/x", None),
            ("/v0/file/u", Some(Route::Upload)),
            ("/v0/file/u/", Some(Route::Upload)),
            ("/v0/file/s/abc.png", Some(Route::Download("abc.png"))),
            ("/v0/file/s/", None),
            ("/v0/file/s/a/b", None),
            ("/v0/", None),
            ("/v1/channels", None),
            ("/channels", None),
            ("/", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn only_a_handshake_needs_no_leave_to_ask() {
        for (method, path, word, expected) in [
            (Method::GET, "/v0/channels", "WebSocket", true),
            (Method::GET, "/v0/channels", "h2c", false),
            (Method::POST, "/v0/channels", "websocket", false),
            (Method::GET, "/v0/channels/lp", "websocket", false),
            (Method::GET, "/v0/file/s/x", "websocket", false),
        ] {
            let request = Request::builder().method(&method).uri(path).header("upgrade", word);
            assert_eq!(is_handshake(&request.body(()).unwrap()), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_page_asks_first_what_it_may_send() {
        let headers = |names: &[&'static str]| {
            let pair = |name: &&'static str| {
                (HeaderName::from_static(name), HeaderValue::from_static("POST"))
            };
            names.iter().map(pair).collect::<HeaderMap>()
        };
        for (method, names, expected) in [
            (Method::OPTIONS, &["access-control-request-method"][..], true),
            (Method::OPTIONS, &["origin"], false),
            (Method::POST, &["access-control-request-method"], false),
        ] {
            assert_eq!(is_preflight(&method, &headers(names)), expected, "{method} {names:?}");
        }
        let response = preflight();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let allowed = &response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS];
        assert!(allowed.to_str().unwrap().contains("x-tinode-apikey"));
    }

    #[tokio::test]
    async fn a_refusal_is_a_ctrl_in_json() {
        let ctrl = Ctrl { id: "", topic: "", code: Code::BadKey, params: Params::default() };
        let response = json(StatusCode::FORBIDDEN, &ctrl, Ts(0));
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json; charset=utf-8");
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["ctrl"]["code"], 403);
        assert_eq!(value["ctrl"]["text"], "valid API key required");
    }
}
