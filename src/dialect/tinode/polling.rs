//! Long polling: sessions of clients that have no WebSocket (S:11–13).
//!
//! ```text
//! POST lp?apikey=            ──► 201 {"ctrl":{…,"params":{"sid":"NODE.RANDOM"}}}
//! POST lp?apikey=&sid= body  ──► 200, at once; the answer comes by a poll
//! POST lp?apikey=&sid=       ──► 200 with one message, or with nothing after 49.5 seconds
//! ```
//!
//! A session is on one node, and its name says on which. What comes to another one is asked there,
//! so that a load balancer need not know of sessions.
use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Body;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::{
    sync::{Semaphore, SemaphorePermit, TryAcquireError, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};

use self::fetch::Fetch;
use super::{
    Tinode, api_key, dispatch,
    ids::NAME,
    message::{Code, Ctrl, Params, Ts},
    outlet::{Outlet, Queue},
    refusal::{Done, Refusal},
    routes,
    session::Session,
};
use crate::{
    domain::{clock::alphanumeric, nodes::NoAnswer},
    lock::lock,
    net::{Connection, connection::Begun, listener::refusal, meter::Meter},
    reason::Reason,
};

mod fetch;

/// How long another node may take to answer one.
const ASKED: Duration = Duration::from_secs(55);
/// How often those are looked for that poll no more.
const LOOK: Duration = Duration::from_secs(5);
/// How long what was said last may be fetched behind the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What may wait to be fetched: bytes, and messages.
const WAITING: (usize, usize) = (1 << 20, 1_000);
/// What may have been posted and is not done yet: requests, and bytes of them.
const POSTED: (usize, usize) = (256, 1 << 20);
/// Bytes of a form with which a session begins.
const FORM: usize = 4 << 10;
/// Time that a body may take.
const BODY: Duration = Duration::from_secs(30);
/// Polls that are asked of other nodes at once, and so many that others ask here: they are held for
/// long, and the core has twice as many places for what nodes ask of each other, of all dialects.
const FAR: usize = 512;
/// Characters of a session's name, behind its node's.
const RANDOM: usize = 22;

/// The sessions of this node that poll, by their names.
pub(super) struct Polls {
    pollers: Mutex<HashMap<Box<str>, Arc<Poller>>>,
    /// Places for polls that are asked elsewhere, and for those that are asked here.
    asking: Semaphore,
    asked: Semaphore,
}

struct Poller {
    session: Arc<Session>,
    fetch: Fetch,
    posts: mpsc::Sender<Bytes>,
    /// Bytes that were posted, and are not done yet.
    posted: AtomicUsize,
    /// Its place among clients, as long as it lasts.
    _place: Begun,
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reply {
    Nothing,
    Message(Bytes),
    /// It has no such session,
    Unknown,
    /// or can't be served now,
    Busy,
    /// or has said too much at once.
    TooLarge,
}

impl Polls {
    /// None.
    pub fn new() -> Self {
        let places = || Semaphore::new(FAR);
        Polls { pollers: Mutex::default(), asking: places(), asked: places() }
    }

    fn get(&self, sid: &str) -> Option<Arc<Poller>> {
        lock(&self.pollers).get(sid).cloned()
    }

    /// Ends sessions that poll no more, for ever.
    pub async fn sweep(node: Arc<Tinode>) {
        loop {
            sleep(LOOK).await;
            let all: Vec<Arc<Poller>> = lock(&node.polls.pollers).values().cloned().collect();
            for poller in all {
                if poller.fetch.is_silent() {
                    poller.session.close(Reason::PingTimeout);
                }
            }
        }
    }
}

impl Poller {
    /// Takes a request of its client.
    fn post(&self, body: Bytes) -> Reply {
        let size = body.len();
        let more = |before| (before == 0 || before + size <= POSTED.1).then_some(before + size);
        if self.posted.fetch_update(Relaxed, Relaxed, more).is_err() {
            return Reply::Busy;
        }
        match self.posts.try_send(body) {
            Ok(()) => Reply::Nothing,
            Err(error) => {
                self.posted.fetch_sub(size, Relaxed);
                match error {
                    mpsc::error::TrySendError::Full(_) => Reply::Busy,
                    mpsc::error::TrySendError::Closed(_) => Reply::Unknown,
                }
            }
        }
    }

    async fn poll(&self) -> Reply {
        self.fetch.next().await.map_or(Reply::Nothing, Reply::Message)
    }

    async fn serve(&self, body: Bytes) -> Reply {
        if body.is_empty() { self.poll().await } else { self.post(body) }
    }
}

/// Answers a request of a client that polls.
pub(super) async fn answer(
    node: &Arc<Tinode>,
    request: Request<Incoming>,
    connection: Arc<Connection>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    // One that stands there was checked.
    let is_keyed = api_key::presented(&head.uri, &head.headers).is_some();
    let bad_key = || routes::refused(node, StatusCode::FORBIDDEN, Code::BadKey);
    let response = match (sid(&head.uri), is_keyed) {
        (None, true) => begin(node, &head.headers, &connection).await,
        (None, false) => match has_key(node, body).await {
            true => begin(node, &head.headers, &connection).await,
            false => bad_key(),
        },
        (Some(_), false) => bad_key(),
        (Some(sid), true) => match read(body, node.options.limits.message).await {
            Ok(body) => respond(node, serve(node, &sid, body).await),
            Err(reply) => respond(node, reply),
        },
    };
    plain(response)
}

/// Which session a request is of, if it says so.
fn sid(uri: &Uri) -> Option<String> {
    field(uri.query().unwrap_or_default().as_bytes(), "sid")
}

/// A field of a query or a form, unless it is empty.
fn field(pairs: &[u8], name: &str) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(pairs).unwrap_or_default();
    pairs.into_iter().find(|(of, value)| of == name && !value.is_empty()).map(|(_, value)| value)
}

/// Whether the API key may be in a request's body: it is a form (S:14).
pub(super) fn may_have_key(headers: &HeaderMap) -> bool {
    let is_form = |of: &HeaderValue| {
        let kind = of.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    };
    headers.get(header::CONTENT_TYPE).is_some_and(is_form)
}

/// Whether a form has an API key that is good.
async fn has_key(node: &Tinode, body: Incoming) -> bool {
    let form = read(body, FORM).await.unwrap_or_default();
    field(&form, "apikey").is_some_and(|key| node.keys.check(&key))
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, Reply> {
    match timeout(BODY, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Reply::TooLarge),
        // Nobody reads the answer.
        Ok(Err(_)) | Err(_) => Err(Reply::Busy),
    }
}

/// The answer to a request.
fn respond(node: &Tinode, reply: Reply) -> Response<Body> {
    let (status, code) = match reply {
        Reply::Nothing => return Response::new(Body::empty()),
        Reply::Message(message) => return Response::new(Body::from(message)),
        Reply::Unknown => (StatusCode::FORBIDDEN, Code::BadSession),
        Reply::Busy => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        Reply::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge),
    };
    let ctrl = Ctrl { id: "", topic: "", code, params: Params::default() };
    routes::json(status, &ctrl, Ts(node.hub.clock.unix_ms()))
}

/// With the headers that pages and proxies look at.
fn plain(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/plain"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A session begins.
async fn begin(
    node: &Arc<Tinode>,
    headers: &HeaderMap,
    connection: &Arc<Connection>,
) -> Response<Body> {
    if !node.is_open() {
        return respond(node, Reply::Busy);
    }
    let sid = match new_sid(node).await {
        Ok(sid) => sid,
        Err(Refusal { .. }) => return respond(node, Reply::Busy), // why is in the log
    };
    let place = match connection.begin(headers) {
        Ok(place) => place,
        Err(full) => return refusal(full),
    };
    open(node, &sid, place, connection.meter(), connection.client(headers));
    let params = Params::default().text("sid", &sid);
    let ctrl = Ctrl { id: "", topic: "", code: Code::Created, params };
    routes::json(StatusCode::CREATED, &ctrl, Ts(node.hub.clock.unix_ms()))
}

/// A name that nobody can guess, and that says on which node the session is.
async fn new_sid(node: &Tinode) -> Done<String> {
    let random = alphanumeric(&*node.hub.rng, RANDOM)?;
    // Asked each time: a node that was taken for dead comes back under another name.
    let nodes = node.hub.nodes().await?;
    let this = nodes.into_iter().find(|node| node.this).ok_or(Code::Unavailable)?;
    Ok(format!("{}.{random}", URL_SAFE_NO_PAD.encode(this.id)))
}

/// The node that a session is on, as its name says.
fn node_of(sid: &str) -> Option<String> {
    let (node, _) = sid.split_once('.')?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(node).ok()?).ok().filter(|node| !node.is_empty())
}

fn open(
    node: &Arc<Tinode>,
    sid: &str,
    place: Begun,
    meter: Option<Box<Meter>>,
    address: std::net::IpAddr,
) {
    let queue = Queue::new(WAITING.0, WAITING.1);
    let session = Session::begin(node, Outlet::Polling(queue.clone()), address);
    let (posts, posted) = mpsc::channel(POSTED.0);
    let poller = Arc::new(Poller {
        session,
        fetch: Fetch::new(queue),
        posts,
        posted: AtomicUsize::new(0),
        _place: place,
    });
    lock(&node.polls.pollers).insert(sid.into(), poller.clone());
    let (here, sid) = (node.clone(), sid.to_owned());
    node.hub.tasks.spawn(async move {
        let working = AssertUnwindSafe(work(&poller, posted, meter)).catch_unwind();
        if working.await.is_err() {
            poller.session.close(Reason::Failure);
        }
        poller.session.clone().end().await;
        let fetched = poller.fetch.queue.emptied();
        let _ = timeout(LAST_WORDS, fetched).await; // or its client does not come back
        lock(&here.polls.pollers).remove(&*sid);
    });
}

/// Does what the client posts, one request after the other, until the session ends.
async fn work(poller: &Poller, mut posted: mpsc::Receiver<Bytes>, mut meter: Option<Box<Meter>>) {
    let queue = &poller.fetch.queue;
    loop {
        let body = tokio::select! {
            biased;
            () = queue.closed() => return,
            body = posted.recv() => body,
        };
        let Some(body) = body else { return };
        let until = meter.as_mut().and_then(|meter| meter.charge(body.len(), Instant::now()));
        dispatch::text(&poller.session, &body).await;
        poller.posted.fetch_sub(body.len(), Relaxed);
        queue.flow().await;
        if let Some(until) = until {
            tokio::select! {
                () = queue.closed() => return,
                () = sleep_until(until) => {}
            }
        }
    }
}

/// What a request of this session comes to, wherever that is.
async fn serve(node: &Tinode, sid: &str, body: Bytes) -> Reply {
    if let Some(poller) = node.polls.get(sid) {
        return poller.serve(body).await;
    }
    let Some(there) = node_of(sid) else { return Reply::Unknown };
    let Ok(_place) = place(&node.polls.asking, &body) else { return Reply::Busy };
    match node.hub.ask(&there, NAME, question(sid, &body), ASKED).await {
        Ok(answer) => Reply::read(&answer),
        Err(NoAnswer::Gone) => Reply::Unknown,
        Err(NoAnswer::Late | NoAnswer::Busy | NoAnswer::Store(_)) => Reply::Busy,
    }
}

/// What another node asks.
pub(super) async fn asked(node: &Arc<Tinode>, question: Bytes) -> Bytes {
    let reply = match read_question(&question) {
        None => Reply::Busy,
        Some((sid, body)) => match node.polls.get(sid) {
            Some(poller) => match place(&node.polls.asked, &body) {
                Ok(_place) => poller.serve(body).await,
                Err(_) => Reply::Busy,
            },
            None => Reply::Unknown,
        },
    };
    reply.write()
}

/// A place for a poll; a post needs none, as it is answered at once.
fn place<'a>(
    of: &'a Semaphore,
    body: &[u8],
) -> Result<Option<SemaphorePermit<'a>>, TryAcquireError> {
    body.is_empty().then(|| of.try_acquire()).transpose()
}

/// A request, for the node that has its session: the name's length, the name, the body.
fn question(sid: &str, body: &[u8]) -> Bytes {
    // No name of ours is longer: one that is has no session there either.
    let sid = sid.get(..sid.len().min(usize::from(u16::MAX))).unwrap_or_default();
    let mut question = BytesMut::with_capacity(2 + sid.len() + body.len());
    question.put_u16(u16::try_from(sid.len()).unwrap_or_default());
    question.put_slice(sid.as_bytes());
    question.put_slice(body);
    question.freeze()
}

fn read_question(question: &Bytes) -> Option<(&str, Bytes)> {
    let (length, rest) = question.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let sid = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some((sid, question.slice(2 + length..)))
}

impl Reply {
    /// For the node that asks: a byte that says which, and the message.
    fn write(&self) -> Bytes {
        match self {
            Reply::Nothing => Bytes::from_static(b"0"),
            Reply::Message(message) => {
                let mut written = BytesMut::with_capacity(1 + message.len());
                written.put_u8(b'1');
                written.put_slice(message);
                written.freeze()
            }
            Reply::Unknown => Bytes::from_static(b"2"),
            Reply::Busy => Bytes::from_static(b"3"),
            Reply::TooLarge => Bytes::from_static(b"4"),
        }
    }

    /// What is no answer is that of a node which can't give one.
    fn read(answer: &Bytes) -> Self {
        match answer.first() {
            Some(b'0') => Reply::Nothing,
            Some(b'1') => Reply::Message(answer.slice(1..)),
            Some(b'2') => Reply::Unknown,
            Some(b'4') => Reply::TooLarge,
            Some(_) | None => Reply::Busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_s_name_says_where_it_is() {
        let of = |node: &str| format!("{}.abc", URL_SAFE_NO_PAD.encode(node));
        for (sid, node) in [
            (of("embedded"), Some("embedded")),
            (of("a.b/ü"), Some("a.b/ü")),
            (of(""), None),
            ("abc".to_owned(), None),
            ("!.abc".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(node_of(&sid).as_deref(), node, "{sid}");
        }
    }

    #[test]
    fn the_session_is_in_the_query() {
        for (uri, expected) in [
            ("/v0/channels/lp?apikey=x&sid=a.b", Some("a.b")),
            ("/v0/channels/lp?sid=", None),
            ("/v0/channels/lp?apikey=x", None),
            ("/v0/channels/lp", None),
            ("/v0/channels/lp?sid=a%2Eb&sid=c", Some("a.b")),
        ] {
            assert_eq!(sid(&uri.parse().unwrap()).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn what_nodes_ask_of_each_other_is_read_back() {
        for (name, body) in [("a.b", &b"{}"[..]), ("", b""), ("x", b"")] {
            let question = question(name, body);
            assert_eq!(read_question(&question), Some((name, Bytes::copy_from_slice(body))));
        }
        for broken in [&b""[..], b"\0", b"\0\x05abc", b"\0\x01\xff"] {
            assert_eq!(read_question(&Bytes::copy_from_slice(broken)), None, "{broken:?}");
        }
        for reply in [
            Reply::Nothing,
            Reply::Message(Bytes::from_static(b"{\"ctrl\":{}}")),
            Reply::Unknown,
            Reply::Busy,
            Reply::TooLarge,
        ] {
            assert_eq!(Reply::read(&reply.write()), reply);
        }
        assert_eq!(Reply::read(&Bytes::new()), Reply::Busy);
        assert_eq!(Reply::read(&Bytes::from_static(b"9")), Reply::Busy);
    }
}
