//! `/v1/*`: the HTTP API for business servers.
//!
//! `POST /v1/<method>` with a JSON body, for administrators only. This is the frame: who asks, how
//! much is taken at once, and how an answer or a problem goes back. What a method takes and gives is
//! in [`method`]; bodies are read in [`request`]; errors are in [`problem`].
mod admins;
mod answer;
mod answers;
mod batch;
mod dialect;
mod docs;
mod erase;
mod history;
mod hooks;
mod key;
mod method;
mod openapi;
mod operate;
mod people;
mod problem;
mod publish;
mod reference;
mod request;
mod revoke;
mod rooms;
mod settings;
mod stat;
mod tokens;
mod whereabouts;

pub(super) use self::problem::Kind;

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method as Verb, StatusCode, header, request::Parts,
    },
    response::{IntoResponse, Response},
    routing::any,
};
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::value::RawValue;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use self::{
    dialect::{Added, Dialects},
    key::{Key, Running},
    method::{Call, Done, Entry, Ran},
    problem::Problem,
    request::Place,
};
use super::{
    Context,
    body::{self, Unread},
    caller::{self, Named, NotNamed},
    local::Client,
};
use crate::throttle::throttled;
use crate::trace::{self, Span};

/// Requests with a body that are worked on at once.
const AT_ONCE: usize = 512;
/// A body's size beside that of the largest message, bytes.
const BODY: usize = 4 << 20;
/// Bytes of bodies that are there at once, as far as their senders say how long they are.
const BODIES: usize = 256 << 20;
/// A permit for a part of these, bytes.
const UNIT: usize = 1 << 10;
/// What stands before a method's name.
const PREFIX: &str = "/v1/";

/// The API.
struct Api {
    context: Arc<Context>,
    places: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    running: Arc<Running>,
    dialects: Dialects,
    /// The OpenAPI document, and the page, once somebody has asked for them.
    document: OnceLock<String>,
    page: OnceLock<String>,
}

/// The routes.
pub fn routes(context: Arc<Context>) -> Router {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let bodies = Arc::new(Semaphore::new(BODIES / UNIT));
    let api = Arc::new(Api {
        places,
        bodies,
        running: Arc::default(),
        dialects: Dialects::new(&context.methods),
        document: OnceLock::new(),
        page: OnceLock::new(),
        context,
    });
    Router::new()
        .route("/v1", any(serve))
        .route("/v1/", any(serve))
        .route("/v1/{*method}", any(serve))
        .with_state(api)
}

/// What a path below `/v1/` is.
#[derive(Clone, Copy)]
enum Route<'a> {
    /// A method that takes a body.
    Method(&'static Entry),
    /// A method of a dialect.
    Dialect(&'a Arc<Added>),
    Stat,
    /// The job of this name.
    Job(&'a str),
    OpenApi,
    Docs,
    Unknown,
}

impl<'a> Route<'a> {
    fn of(dialects: &'a Dialects, path: &'a str) -> Self {
        let path = path.strip_prefix(PREFIX);
        if let Some(id) = path.and_then(|path| path.strip_prefix("jobs/")) {
            return Route::Job(id);
        }
        match path {
            Some("stat") => Route::Stat,
            Some("openapi.json") => Route::OpenApi,
            Some("docs") => Route::Docs,
            Some(name) => match (method::find(name), dialects.find(name)) {
                (Some(entry), _) => Route::Method(entry),
                (None, Some(added)) => Route::Dialect(added),
                (None, None) => Route::Unknown,
            },
            None => Route::Unknown,
        }
    }

    /// For the metrics.
    fn label(self) -> &'static str {
        match self {
            Route::Method(entry) => entry.name,
            Route::Dialect(added) => added.name,
            Route::Stat => "stat",
            Route::Job(_) => "jobs",
            Route::OpenApi => "openapi.json",
            Route::Docs => "docs",
            Route::Unknown => "unknown",
        }
    }

    /// The HTTP methods that it takes.
    fn allow(self) -> &'static str {
        match self {
            Route::Method(_) | Route::Dialect(_) => "POST",
            Route::Stat | Route::Job(_) | Route::OpenApi | Route::Docs | Route::Unknown => {
                "GET, HEAD"
            }
        }
    }

    fn takes(self, verb: &Verb) -> bool {
        self.allow().split(", ").any(|taken| taken == verb.as_str())
    }
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let route = Route::of(&api.dialects, &path);
    let metrics = api.context.hub.metrics.clone();
    let address = request.extensions().get::<Client>().map(|Client(address)| *address);
    let span = Span::request(route.label(), request.headers());
    // What the route takes: what a client sends is not repeated.
    span.set("http.request.method", if route.takes(&Verb::POST) { "POST" } else { "GET" });
    let response = match span.within(answer(&api, route, request)).await {
        Ok(response) => response,
        Err(problem) => {
            log(route, &problem, address);
            problem.response(&path)
        }
    };
    span.set("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.failed("an error of the server");
    }
    let seconds = begun.elapsed().as_secs_f64();
    metrics.api.answered(route.label(), response.status().as_u16(), seconds);
    response
}

/// A line for a request that is not done, as far as there are not too many. Of the request it has
/// neither credentials nor the query, nor the body.
fn log(route: Route<'_>, problem: &Problem, address: Option<IpAddr>) {
    throttled!(
        info,
        method = route.label(),
        status = problem.kind.status(),
        problem = problem.kind.word(),
        address = address.map(tracing::field::display),
        "a request to the API was refused"
    );
}

async fn answer(api: &Arc<Api>, route: Route<'_>, request: Request) -> Result<Response, Problem> {
    if let Route::Unknown = route {
        return Err(Problem::new(Kind::NoSuchMethod, "the path is that of no method"));
    }
    if !route.takes(request.method()) {
        let allow = route.allow();
        return Err(
            Problem::new(Kind::NotAllowed, format!("this path takes {allow}")).with("allow", allow)
        );
    }
    let (parts, body) = request.into_parts();
    match route {
        Route::OpenApi => {
            let document = api.document.get_or_init(|| openapi::text(&api.dialects));
            Ok(([(header::CONTENT_TYPE, JSON)], document.clone()).into_response())
        }
        Route::Docs => {
            Ok(docs::response(api.page.get_or_init(|| docs::page(&api.dialects)).clone()))
        }
        Route::Stat => {
            api.admin(&parts).await?;
            Ok(success(200, Done { body: stat::read(api).await?, replayed: false }))
        }
        Route::Job(id) => {
            api.admin(&parts).await?;
            Ok(success(200, Done { body: erase::job(api, id).await?, replayed: false }))
        }
        Route::Dialect(added) => dialect::answer(api, added, parts, body).await,
        Route::Method(entry) => {
            let admin = api.admin(&parts).await?;
            method::allow(entry.effect, &admin)?;
            let place = api.place(&parts.headers)?;
            let key = match entry.is_keyed() {
                true => Key::of(&parts.headers, &admin.uid, entry.name)?,
                false => None,
            };
            let body = api.body(&parts, body).await?;
            let asked = Asked { admin, key, body, _place: place };
            let ran = run(api.clone(), entry, asked).await?;
            Ok(success(entry.status, ran))
        }
        Route::Unknown => Err(problem::failure()), // answered above
    }
}

const JSON: &str = "application/json";

/// The header of an answer that is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

fn success(status: u16, done: Done) -> Response {
    let mut response =
        ([(header::CONTENT_TYPE, HeaderValue::from_static(JSON))], done.body).into_response();
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    if done.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A request that was read.
struct Asked {
    admin: Named,
    key: Option<Key>,
    body: Bytes,
    _place: [OwnedSemaphorePermit; 2],
}

/// Does what is asked. What was begun goes on to its end, whether or not somebody still waits for
/// the answer: in a task of its own, where it does not by itself. A panic is an answer too.
async fn run(api: Arc<Api>, entry: &'static Entry, asked: Asked) -> Ran {
    let tasks = api.context.hub.tasks.clone();
    let work = async move {
        let raw = parse(&asked.body)?;
        let running = asked.key.as_ref().map(|key| api.running.begin(key)).transpose()?;
        let call = Call { admin: &asked.admin, key: asked.key.as_ref(), at: Place::Whole };
        let ran = entry.call(&api, raw, call).await;
        drop(running);
        ran
    };
    let ended = match entry.goes_on {
        true => AssertUnwindSafe(work).catch_unwind().await.ok(),
        false => tasks.spawn(trace::carried(work)).await.ok(),
    };
    ended.unwrap_or_else(|| {
        tracing::error!(method = entry.name, "a request failed: a panic, which is logged above");
        Err(problem::failure())
    })
}

/// The body as JSON, whatever it is.
fn parse(body: &[u8]) -> Result<&RawValue, Problem> {
    let malformed = |detail| Problem::new(Kind::Malformed, detail);
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8".into()))?;
    serde_json::from_str(text).map_err(|error| malformed(format!("the body is no JSON: {error}")))
}

/// Why a request is no administrator's, as a problem.
fn unnamed(why: NotNamed) -> Problem {
    match why {
        NotNamed::Wrong => Problem::new(
            Kind::Unauthorized,
            "send an administrator's uid and token: Authorization: Basic, or Bearer uid:token",
        ),
        NotNamed::Wait(wait) => Problem::new(
            Kind::TooManyFailures,
            "the credentials were not looked at, as too many before them were wrong",
        )
        .after(wait),
        NotNamed::Store(error) => error.into(),
    }
}

impl Api {
    /// Who asks.
    async fn admin(&self, parts: &Parts) -> Result<Named, Problem> {
        caller::named(&self.context.hub, parts).await.map_err(unnamed)
    }

    /// The most bytes of a body.
    fn largest(&self) -> usize {
        BODY + self.context.max_message
    }

    /// A place among those who are served at once, and one for the body. Nobody waits for them.
    fn place(&self, headers: &HeaderMap) -> Result<[OwnedSemaphorePermit; 2], Problem> {
        let plain = !headers.contains_key(header::CONTENT_ENCODING);
        let length = headers.get(header::CONTENT_LENGTH).filter(|_| plain);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        // What does not say how long it is may be as long as it may.
        let bytes = length.unwrap_or(usize::MAX).min(self.largest());
        let units = u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX);
        let place = self.places.clone().try_acquire_owned().ok();
        let room = self.bodies.clone().try_acquire_many_owned(units).ok();
        match (place, room) {
            (Some(place), Some(room)) => Ok([place, room]),
            _ => Err(Problem::new(Kind::TooMany, "too much is under way already")),
        }
    }

    /// The body, as it is or unpacked.
    async fn body(&self, parts: &Parts, body: Body) -> Result<Bytes, Problem> {
        if body::kind(&parts.headers) != JSON {
            return Err(Problem::new(
                Kind::MediaType,
                "the body has to be JSON: Content-Type: application/json",
            ));
        }
        let most = self.largest();
        body::read(&parts.headers, body, most).await.map_err(|unread| match unread {
            Unread::TooLarge => {
                Problem::new(Kind::TooLarge, format!("the body has more than {most} bytes"))
            }
            Unread::Late => Problem::new(Kind::Late, "the body did not come"),
            Unread::Broken => Problem::new(Kind::Malformed, "the body did not come whole"),
            Unread::Corrupt => Problem::new(Kind::Malformed, "the body is no gzip"),
            Unread::UnknownCoding => {
                Problem::new(Kind::MediaType, "send the body plain, or packed by gzip once")
                    .with("accept-encoding", "gzip")
            }
        })
    }
}
