//! The HTTP side.
use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use md5::{Digest, Md5};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Gotapi, client,
    fields::Fields,
    history,
    path::{self, NoRoom, Place},
    questions::Verdict,
    refusal::Refusal,
};
use crate::{
    domain::{
        ids::{ConnectionId, RoomId},
        secret,
        subscriber::Outcome,
        token::Realm,
    },
    hex,
    net::{Connection, listener::refusal, upgrade},
};

/// Time that a body may take.
const BODY: Duration = Duration::from_secs(30);
/// Messages, the newest, among which one is looked for that is to be recalled.
const RECALLABLE: usize = 200;
/// Who lists rooms, where failures are counted: nobody, as no uid has this first character.
const LISTING: &str = "\0gotapi";
/// In questions, who has no connection that is in a room.
const NOBODY: ConnectionId = ConnectionId(0);
/// Longest time to live, seconds: a hundred years.
const FOREVER: u64 = 100 * 365 * 86_400;

type Answer = Result<Response<Body>, Refusal>;

/// The routes that are no rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    History,
    Cancel,
    Ttl,
    Groups,
    Status,
}

impl Route {
    /// The route of a decoded path, with a slash at its end or without.
    fn of(path: &str) -> Option<Self> {
        match path.strip_suffix('/').unwrap_or(path) {
            "/__/history" => Some(Route::History),
            "/__/cancel" => Some(Route::Cancel),
            "/__/ttl" => Some(Route::Ttl),
            "/__/groups" => Some(Route::Groups),
            "/__status" if path == "/__status" => Some(Route::Status),
            _ => None,
        }
    }

    /// The methods that it takes; empty: any.
    fn methods(self) -> &'static str {
        match self {
            Route::History | Route::Cancel | Route::Ttl => "POST, OPTIONS",
            Route::Groups => "GET, HEAD, OPTIONS",
            Route::Status => "",
        }
    }

    fn takes(self, method: &Method) -> bool {
        let methods = self.methods();
        methods.is_empty() || methods.split(", ").any(|taken| taken == method.as_str())
    }
}

/// Whether the path is that of a route, and of no room.
pub(super) fn is_route(path: &str) -> bool {
    path::decode(path).is_some_and(|path| Route::of(&path).is_some())
}

/// Whether a request asks for the server's health, as on every listener, and not for a room.
pub(super) fn is_health(request: &Request<Incoming>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(request.uri().path(), "/livez" | "/readyz")
        && !asks_for_websocket(request.headers())
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Answers a request. Pages of any origin may read the answer.
pub(super) async fn answer(
    gotapi: &Arc<Gotapi>,
    request: Request<Incoming>,
    connection: Arc<Connection>,
) -> Response<Body> {
    let options = request.method() == Method::OPTIONS;
    // A handshake needs a place instead, once it is known that nothing is wrong with it.
    let is_handshake = request.method() == Method::GET
        && asks_for_websocket(request.headers())
        && !is_route(request.uri().path());
    let asked = if is_handshake { Ok(()) } else { connection.ask(request.headers()) };
    let answer = match asked {
        Ok(()) => respond(gotapi, request, &connection).await,
        Err(full) => Ok(refusal(full)),
    };
    let mut response = answer.unwrap_or_else(Refusal::response);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if options {
        allow(headers);
    }
    response
}

/// What pages of other origins may send.
fn allow(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

async fn respond(
    gotapi: &Arc<Gotapi>,
    request: Request<Incoming>,
    connection: &Connection,
) -> Answer {
    let path = path::decode(request.uri().path()).ok_or(NoRoom::Encoding)?;
    let route = Route::of(&path);
    if request.method() == Method::OPTIONS && route != Some(Route::Status) {
        return Ok(typed(StatusCode::NO_CONTENT, None, String::new()));
    }
    let Some(route) = route else {
        return match *request.method() {
            Method::POST => {
                let address = connection.client(request.headers());
                post(gotapi, &path, request, address).await
            }
            Method::GET if asks_for_websocket(request.headers()) => {
                websocket(gotapi, request, connection)
            }
            Method::GET | Method::HEAD => Err(Refusal::NoUpgrade),
            _ => Err(Refusal::Method("GET, POST, OPTIONS")),
        };
    };
    if !route.takes(request.method()) {
        let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
        return Err(if is_get { Refusal::NoPost } else { Refusal::Method(route.methods()) });
    }
    if route == Route::Status {
        return Ok(text("status ok!".to_owned()));
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let address = connection.client(request.headers());
    let fields = Fields::read(&query, &body(gotapi, request).await?);
    match route {
        Route::History => history(gotapi, &fields).await,
        Route::Cancel => cancel(gotapi, &fields).await,
        Route::Ttl => ttl(gotapi, &fields).await,
        Route::Groups | Route::Status => groups(gotapi, &fields, address).await,
    }
}

/// A handshake that was not the first request of its connection: proxies send such.
fn websocket(
    gotapi: &Arc<Gotapi>,
    mut request: Request<Incoming>,
    connection: &Connection,
) -> Answer {
    let place = Place::read(request.uri().path())?;
    if !gotapi.hub.is_ready() {
        return Err(Refusal::Ending);
    }
    let (agreed, response) = upgrade::agree(&mut request)?;
    if let Err(full) = connection.sit(request.headers()) {
        return Ok(refusal(full));
    }
    let (here, address) = (gotapi.clone(), connection.client(request.headers()));
    gotapi.hub.tasks.spawn(async move {
        if let Some(stream) = agreed.stream().await {
            here.serve(place, address, stream).await;
        }
    });
    Ok(response)
}

/// A message to a room from outside: to everybody there, without an acknowledgement.
async fn post(gotapi: &Gotapi, path: &str, request: Request<Incoming>, address: IpAddr) -> Answer {
    let room = path::room(path)?;
    let body = body(gotapi, request).await?;
    if body.is_empty() {
        return Err(Refusal::NoData);
    }
    if let Some((kind, uuid)) = client::sort(&body) {
        let body = match gotapi.may_send(NOBODY, address, &room, body).await {
            Verdict::Yes(body) => body,
            Verdict::No | Verdict::End(_) => return Err(Refusal::NotAllowed),
            Verdict::Failed => return Err(Refusal::NoVerdict),
        };
        let bytes = body.len();
        let entry = client::entry(None, kind, uuid, body);
        match gotapi.hub.publish(&room, entry, bytes).await {
            Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => {}
            Outcome::Unavailable | Outcome::Full | Outcome::Unknown | Outcome::Reused => {
                return Err(Refusal::Unavailable);
            }
        }
    }
    Ok(json(StatusCode::OK, format!(r#"{{"code":200,"group":{}}}"#, Value::from(path))))
}

async fn history(gotapi: &Gotapi, fields: &Fields) -> Answer {
    let room = path::room(fields.text("groupName").ok_or(Refusal::HistoryOfNothing)?)?;
    let position = fields.integer("position").unwrap_or(0);
    let size = u64::try_from(fields.integer("size").unwrap_or(i64::MAX)).unwrap_or(0);
    let pieces = history::read(gotapi.hub.clone(), room, position, size).await?;
    let mut response = json(StatusCode::OK, String::new());
    *response.body_mut() = Body::from_stream(pieces);
    Ok(response)
}

async fn cancel(gotapi: &Gotapi, fields: &Fields) -> Answer {
    let room = group(fields)?;
    let uuid = fields.text("uuid").ok_or(Refusal::NoUuid)?;
    Ok(match gotapi.hub.recall(&room, uuid, RECALLABLE).await? {
        Some(stored) => message(&format!("uuid found and saved in blacklist:{}", md5(&stored))),
        None => message("uuid not found in latest 50 items;"),
    })
}

async fn ttl(gotapi: &Gotapi, fields: &Fields) -> Answer {
    let room = group(fields)?;
    fields.text("ttl").ok_or(Refusal::NoTtl)?;
    let ttl = fields.integer("ttl").ok_or(Refusal::TtlIsNoNumber)?;
    let ttl = u64::try_from(ttl).ok().filter(|ttl| *ttl > 0).ok_or(Refusal::Ttl)?;
    gotapi.hub.expire(&room, Duration::from_secs(ttl.min(FOREVER))).await?;
    Ok(message("set ttl succeed"))
}

async fn groups(gotapi: &Gotapi, fields: &Fields, address: IpAddr) -> Answer {
    let Some(presented) = fields.text("secret") else {
        return Ok(text("secret missing".to_owned()));
    };
    let (secret, attempts) = (&gotapi.options.secret, &gotapi.hub.attempts);
    if secret.is_empty() {
        // There is nothing to be guessed, and whoever asks is no reason to keep out others.
        return Ok(no_match());
    }
    attempts.may(address, Realm::Admin, LISTING, Instant::now()).map_err(|wait| {
        gotapi.hub.metrics.sign_in_refused("too many failures");
        Refusal::TooManyFailures(wait)
    })?;
    if !secret::equal(secret.expose().as_bytes(), presented.as_bytes()) {
        attempts.failed(address, Realm::Admin, LISTING, Instant::now());
        return Ok(no_match());
    }
    attempts.succeeded(address, Realm::Admin, LISTING);
    let mut list = String::new();
    for room in gotapi.hub.occupied(path::SPACE).await? {
        path::show(room.name(), &mut list);
        list.push('\n');
    }
    Ok(text(list))
}

fn no_match() -> Response<Body> {
    text("secret not match".to_owned())
}

/// The room that the field `groupName` names.
fn group(fields: &Fields) -> Result<RoomId, Refusal> {
    Ok(path::room(fields.text("groupName").ok_or(Refusal::NoGroup)?)?)
}

/// The whole body, if it is no larger than a message.
async fn body(gotapi: &Gotapi, request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let most = gotapi.options.max_message;
    let body = request.into_body();
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::TooLarge(most));
    }
    match tokio::time::timeout(BODY, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(most)),
        Ok(Err(_)) => Err(Refusal::Body),
        Err(_) => Err(Refusal::Late),
    }
}

fn md5(bytes: &[u8]) -> String {
    hex::encode(&Md5::digest(bytes))
}

fn message(msg: &str) -> Response<Body> {
    json(StatusCode::OK, format!(r#"{{"msg":{}}}"#, Value::from(msg)))
}

pub(super) fn json(status: StatusCode, body: String) -> Response<Body> {
    typed(status, Some("application/json"), body)
}

fn text(body: String) -> Response<Body> {
    typed(StatusCode::OK, Some("text/plain; charset=utf-8"), body)
}

fn typed(status: StatusCode, kind: Option<&'static str>, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
