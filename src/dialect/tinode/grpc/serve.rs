//! HTTP/2 for gRPC: each call of `MessageLoop` is a session.
//!
//! ```text
//! client ──DATA──► pieces ──► convert ──► dispatch        one request after the other
//! client ◄──DATA── queue ◄── session                      what was encoded goes out as it is
//!        ◄─trailers─ why it has ended
//! ```
//!
//! A client that does not read fills its queue, or takes nothing of it for long, and its session
//! ends; if it does not even read that, its connection ends. What is sent is taken out of the queue
//! in small parts: what HTTP has on its way to a client that does not read counts nowhere.
use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::body::Body;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message as _;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    super::{
        Node, dispatch,
        message::Code,
        outlet::{Outlet, Queue},
        request::Malformed,
        session::Session,
    },
    convert,
    link::{Call, Link},
    pbx::ClientMsg,
    pieces::{Flaw, Pieces},
    status::Status,
};
use crate::{
    metrics::{Event, Outcome},
    net::{Connection, Stream, connection::Begun, meter::Meter},
    reason::Reason,
};

/// The call that is a session.
const MESSAGES: &str = "/pbx.Node/MessageLoop";
/// What may wait for a client: bytes, and messages.
const WAITING: (usize, usize) = (1 << 20, 10_000);
/// Bytes that are taken of it at a time.
const PART: usize = 64 << 10;
/// Calls at a time on one connection.
const CALLS: u32 = 32;
/// Bytes that a client may send before they are read: of one call, and of a connection.
const WINDOWS: (u32, u32) = (256 << 10, 1 << 20);
/// Bytes of a request's headers.
const HEADERS: u32 = 16 << 10;
/// How often a silent client is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(49);
const PONG: Duration = Duration::from_secs(20);
/// How long a client may take to read what it was told last; and while the server ends.
const PATIENCE: Duration = Duration::from_secs(30);
const HURRY: Duration = Duration::from_secs(5);

/// Serves a connection until it is gone.
pub(in super::super) async fn serve(node: Node, stream: Stream, connection: Arc<Connection>) {
    let http = builder(node.hub.tasks.clone());
    let link = Arc::new(Link::new(node, connection));
    let answering = link.clone();
    let service = service_fn(move |request| {
        let link = answering.clone();
        async move { Ok::<_, Infallible>(answer(&link, request)) }
    });
    let mut http = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut end = pin!(link.end());
    let mut left = pin!(link.left());
    let mut leaves = false;
    loop {
        tokio::select! {
            biased;
            () = link.cut.cancelled() => return,
            done = http.as_mut() => {
                if let Err(error) = done {
                    tracing::debug!(peer = %link.connection.peer, %error, "connection ended");
                }
                return;
            }
            () = &mut end, if !leaves => {
                leaves = true;
                http.as_mut().graceful_shutdown();
            }
            () = &mut left, if leaves => return,
        }
    }
}

fn builder(tasks: TaskTracker) -> http2::Builder<Tracked> {
    let mut http = http2::Builder::new(Tracked(tasks));
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(CALLS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_header_list_size(HEADERS)
        .auto_date_header(false);
    http
}

/// Runs the tasks of calls.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

fn answer(link: &Arc<Link>, request: Request<Incoming>) -> Response<Body> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let answer = match request.uri().path() {
        MESSAGES => begin(link, request),
        // Files go by HTTP.
        _ => Err(Status::Unimplemented),
    };
    let (body, headers) = match answer {
        Ok(body) => (body, HeaderMap::new()),
        Err(status) => (Body::empty(), status.headers()),
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    let encoding = HeaderName::from_static("grpc-accept-encoding");
    response.headers_mut().insert(encoding, HeaderValue::from_static("identity"));
    response
}

/// Begins a session. What is returned is all that it is told.
fn begin(link: &Arc<Link>, request: Request<Incoming>) -> Result<Body, Status> {
    let (head, body) = request.into_parts();
    let Link { node, connection, .. } = &**link;
    if !node.is_open() {
        return Err(Status::Unavailable);
    }
    let full = |_| Status::ResourceExhausted; // why is counted
    connection.ask(&head.headers).map_err(full)?;
    let place = connection.begin(&head.headers).map_err(full)?;
    let queue = Queue::new(WAITING.0, WAITING.1);
    let address = connection.client(&head.headers);
    let session = Session::begin(node, Outlet::Grpc(queue.clone()), address);
    let gone = CancellationToken::new();
    let talk =
        Arc::new(Talk { session, queue, flaw: OnceLock::new(), cut: AtomicBool::new(false) });
    let body_of_answer = told(talk.clone(), gone.clone().drop_guard());
    let (call, meter) = (Call::begin(link), connection.meter());
    let work = run(call, talk, place, gone, body, meter);
    node.hub.tasks.spawn(work);
    Ok(body_of_answer)
}

/// A session, and why it ends.
struct Talk {
    session: Arc<Session>,
    queue: Arc<Queue>,
    /// What was wrong with what its client has sent.
    flaw: OnceLock<Status>,
    /// What waits is thrown away: its client is too slow.
    cut: AtomicBool,
}

impl Talk {
    fn status(&self) -> Status {
        let why = || self.session.why().map_or(Status::Ok, Status::of);
        self.flaw.get().copied().unwrap_or_else(why)
    }
}

/// What a session is told, and at last why it has ended. `gone` falls with it.
fn told(talk: Arc<Talk>, gone: DropGuard) -> Body {
    let frames = stream::unfold(Some((talk, gone)), |state| async {
        let (talk, gone) = state?;
        let piece = talk.queue.next_of(PART).await;
        // Nothing is left out between what it is told.
        let (frame, rest) = match piece.filter(|_| !talk.cut.load(SeqCst)) {
            Some(piece) => (Frame::data(piece), Some((talk, gone))),
            None => (Frame::trailers(talk.status().headers()), None),
        };
        Some((Ok::<_, Infallible>(frame), rest))
    });
    Body::new(StreamBody::new(frames))
}

/// Why nothing more is read from a client.
enum Over {
    /// It has said all.
    Said,
    /// It has gone, or we have ended it.
    Gone,
    /// It has sent what is none of our messages.
    Broken(Status, Reason),
}

impl From<Flaw> for Over {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::TooLarge => Over::Broken(Status::ResourceExhausted, Reason::TooLarge),
            Flaw::Compressed => Over::Broken(Status::Unimplemented, Reason::Malformed),
            Flaw::Flags => Over::Broken(Status::Internal, Reason::Malformed),
        }
    }
}

/// Serves a session to its end.
async fn run(
    call: Call,
    talk: Arc<Talk>,
    _place: Begun,
    gone: CancellationToken,
    body: Incoming,
    meter: Option<Box<Meter>>,
) {
    let session = &talk.session;
    let reading = AssertUnwindSafe(read(&talk, body, meter)).catch_unwind();
    // Nobody takes any more what waits. What is being done is done to its end.
    let watching = async {
        gone.cancelled().await;
        talk.queue.close();
        std::future::pending::<()>().await;
    };
    // The same for one that reads nothing: what is being done ends as its session does.
    let stalling = async {
        talk.queue.stalled(PATIENCE).await;
        session.close(Reason::Stalled);
        std::future::pending::<()>().await;
    };
    let over = tokio::select! {
        over = reading => over,
        () = watching => Ok(Over::Gone),
        () = stalling => Ok(Over::Gone),
    };
    match over {
        Ok(Over::Said) => session.settled().await,
        Ok(Over::Gone) => {}
        Ok(Over::Broken(status, why)) => {
            let _ = talk.flaw.set(status);
            session.close(why);
        }
        Err(_) => session.close(Reason::Failure),
    }
    let why = session.why();
    if matches!(why, Some(Reason::Slow | Reason::Stalled)) {
        talk.cut.store(true, SeqCst);
        while talk.queue.next().await.is_some() {} // it is closed
    }
    let is_drained = why == Some(Reason::Drain);
    if is_drained {
        call.0.leaving.cancel(); // or its client would come back by the same connection
    }
    Box::pin(session.clone().end()).await;
    tokio::select! {
        () = gone.cancelled() => {}
        () = sleep(if is_drained { HURRY } else { PATIENCE }) => call.0.cut.cancel(),
    }
}

/// Does what a client asks for, one request after the other.
async fn read(talk: &Talk, mut body: Incoming, mut meter: Option<Box<Meter>>) -> Over {
    let Talk { session, queue, .. } = talk;
    let mut pieces = Pieces::new(session.node.options.limits.message);
    loop {
        let frame = tokio::select! {
            biased;
            () = queue.closed() => return Over::Gone,
            frame = body.frame() => frame,
        };
        match frame {
            None if pieces.is_empty() => return Over::Said,
            None => return Over::Broken(Status::Internal, Reason::Malformed),
            Some(Err(_)) => return Over::Gone,
            Some(Ok(frame)) => pieces.add(frame.data_ref().map_or(&[], |data| &data[..])),
        }
        loop {
            let message = match pieces.next() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(flaw) => return flaw.into(),
            };
            let until =
                meter.as_mut().and_then(|meter| meter.charge(message.len(), Instant::now()));
            // Most sessions are silent mostly: this takes memory only as long as it lasts.
            Box::pin(handle(session, &message)).await;
            tokio::select! {
                biased;
                () = queue.closed() => return Over::Gone,
                () = pause(queue, until) => {}
            }
            consume_budget().await;
        }
    }
}

/// Returns when more may be read.
async fn pause(queue: &Queue, until: Option<Instant>) {
    queue.flow().await;
    if let Some(until) = until {
        sleep_until(until).await;
    }
}

async fn handle(session: &Arc<Session>, message: &[u8]) {
    let Ok(said) = ClientMsg::decode(message) else { return refuse(session).await };
    let object = convert::object(&said);
    match convert::request(&said, object.as_deref()) {
        Ok(request) => dispatch::handle(session, request).await,
        Err(Malformed) => refuse(session).await,
    }
}

/// Answers in its turn that this was no request.
async fn refuse(session: &Session) {
    session.heard();
    session.node.hub.metrics.messages.handled(Event::Other, Outcome::Refused, 1);
    session.settled().await;
    session.ctrl("", "", Code::Malformed);
}
