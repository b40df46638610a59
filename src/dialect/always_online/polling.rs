//! What hangs on an engine session that polls, beside the engine: where it stands with the
//! namespace, and all that waits to be fetched.
//!
//! The engine's queue takes whatever it is told to say, and can't be looked into. So what waits
//! there is counted here, whoever made it, and what a client makes *us* say without being in the
//! namespace waits here, *aside*, where it needs no more than its text. The next answer
//! to a poll takes it along; it also ends a poll that is under way, whose future at the engine may
//! be dropped while it waits: the engine takes nothing out of its queue before it has an answer
//! (engineioxide 0.17.9).
use std::{
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use socketioxide_core::Sid;
use tokio::sync::Notify;

use super::{
    AlwaysOnline, Options,
    packet::Partial,
    payload::{self, Fetched},
    query::Query,
    session::{Session, lock},
    transport::error,
};
use crate::net::send_queue::BURST;

/// Where an engine session stands with the namespace.
#[derive(Clone, Default)]
pub(super) enum Place {
    #[default]
    Absent,
    /// The engine was told, and has not done it yet.
    Connecting,
    Connected(Weak<Session>),
    /// The engine was told, and has not forgotten it yet: until then it passes over a CONNECT.
    Leaving,
}

/// It lives as long as the engine session, which holds it among the extensions of its handshake.
pub(super) struct Polling {
    dialect: Weak<AlwaysOnline>,
    sid: OnceLock<Sid>,
    /// Whether it speaks engine.io 4, and not 3.
    pub v4: bool,
    place: Mutex<Place>,
    moved: Notify,
    /// Handling one POST at a time keeps their order; what it needs of the one before is a packet
    /// whose attachments are missing.
    pub turn: Arc<tokio::sync::Mutex<Option<Partial>>>,
    /// How often it has connected to the namespace.
    pub connects: AtomicUsize,
    /// The engine has a pong for it, which it has not fetched. Another one would say nothing new.
    pub pong: AtomicBool,
    /// What it posts is not handled, for now.
    reading_held: AtomicBool,
    reading_resumed: Notify,
    aside: Mutex<Vec<String>>,
    put_aside: Notify,
    /// What it has yet to fetch, by [`payload::weight`].
    unfetched: AtomicUsize,
    /// Bytes that it may be further behind: a page on its way.
    pub allowance: AtomicUsize,
    pub fetched: Notify,
}

impl Polling {
    /// For an engine session to be. One of version 3 connects to the namespace without being asked.
    pub(super) fn new(dialect: &Arc<AlwaysOnline>, v4: bool, place: Place) -> Arc<Self> {
        Arc::new(Polling {
            dialect: Arc::downgrade(dialect),
            sid: OnceLock::new(),
            v4,
            place: Mutex::new(place),
            moved: Notify::new(),
            turn: Arc::default(),
            connects: 0.into(),
            pong: false.into(),
            reading_held: false.into(),
            reading_resumed: Notify::new(),
            aside: Mutex::default(),
            put_aside: Notify::new(),
            unfetched: 0.into(),
            allowance: 0.into(),
            fetched: Notify::new(),
        })
    }

    pub(super) fn move_to(&self, place: Place) {
        *lock(&self.place) = place;
        self.moved.notify_waiters();
    }

    /// Its session, while it is in the namespace.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        if let Place::Connected(session) = &*lock(&self.place) { session.upgrade() } else { None }
    }

    /// Its place, once `ready` says so, which it does when the engine has done what it was told.
    /// Returns `None` where it does not within `patience`.
    pub(super) async fn place(
        &self,
        patience: Duration,
        ready: impl Fn(&Place) -> bool,
    ) -> Option<Place> {
        let look = || Some(lock(&self.place).clone()).filter(&ready);
        if let Some(place) = look() {
            return Some(place);
        }
        let settled = async {
            loop {
                let moved = self.moved.notified();
                if let Some(place) = look() {
                    return place;
                }
                moved.await;
            }
        };
        tokio::time::timeout(patience, settled).await.ok()
    }

    /// Stops, or resumes, handling what it posts.
    pub(super) fn hold_reading(&self, hold: bool) {
        self.reading_held.store(hold, SeqCst);
        if !hold {
            self.reading_resumed.notify_waiters();
        }
    }

    /// Returns when it may post more.
    pub(super) async fn readable(&self) {
        loop {
            let resumed = self.reading_resumed.notified();
            if !self.reading_held.load(SeqCst) {
                return;
            }
            resumed.await;
        }
    }

    /// It is to fetch this packet. Counted before it is sent, so that a fetch that comes at once
    /// finds it counted.
    pub(super) fn owe(&self, packet: &str) {
        self.unfetched.fetch_add(payload::weight(packet), SeqCst);
    }

    /// The packet could not be sent.
    pub(super) fn forgive(&self, weight: usize) {
        let _ = self.unfetched.fetch_update(SeqCst, SeqCst, |n| Some(n.saturating_sub(weight)));
        self.fetched.notify_waiters();
    }

    /// Sends a packet beside the engine.
    pub(super) fn say(&self, packet: String) {
        self.owe(&packet);
        lock(&self.aside).push(packet);
        self.put_aside.notify_waiters();
    }

    /// The weight of what it has yet to fetch.
    pub(super) fn unfetched(&self) -> usize {
        self.unfetched.load(SeqCst)
    }

    /// Whether it has more to fetch than it may.
    pub(super) fn is_behind(&self, options: &Options) -> bool {
        self.unfetched() > options.backlog + BURST + self.allowance.load(SeqCst)
    }

    /// What is aside, for who can be told otherwise now.
    pub(super) fn take_aside(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.aside))
    }

    async fn something_aside(&self) {
        loop {
            let put_aside = self.put_aside.notified();
            if !lock(&self.aside).is_empty() {
                return;
            }
            put_aside.await;
        }
    }

    /// Answers a poll.
    async fn answer(&self, dialect: &AlwaysOnline, request: Request<Incoming>) -> Response<Body> {
        // The engine first: it says whether this may poll at all.
        let response = tokio::select! {
            biased;
            response = dialect.ask(request) => response,
            () = self.something_aside() => plain(Bytes::new()),
        };
        if response.status() != StatusCode::OK {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "server error");
        };
        let aside = self.take_aside();
        let body = if aside.is_empty() {
            body
        } else {
            let mut all = body.to_vec();
            aside.iter().for_each(|packet| payload::append(&mut all, packet, self.v4));
            parts.headers.remove(header::CONTENT_LENGTH);
            all.into()
        };
        let fetched = Fetched::of(&body, self.v4);
        self.forgive(fetched.weight);
        if fetched.pong {
            self.pong.store(false, SeqCst);
        }
        Response::from_parts(parts, Body::from(body))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if let (Some(sid), Some(dialect)) = (self.sid.get(), self.dialect.upgrade()) {
            lock(&dialect.polling).remove(sid);
        }
    }
}

/// An answer as the engine gives it.
fn plain(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

impl AlwaysOnline {
    /// What hangs on an engine session.
    pub(super) fn polling(&self, sid: Sid) -> Option<Arc<Polling>> {
        lock(&self.polling).get(&sid).and_then(Weak::upgrade)
    }

    /// Answers a polling client's handshake or poll, or a request that is none.
    pub(super) async fn poll(
        self: &Arc<Self>,
        request: Request<Incoming>,
        query: &Query,
    ) -> Response<Body> {
        if *request.method() != Method::GET {
            return self.ask(request).await;
        }
        let v4 = query.eio == Some(4);
        let response = match query.sid {
            Some(sid) => match self.polling(sid) {
                Some(polling) if polling.v4 != v4 => {
                    error(StatusCode::BAD_REQUEST, "not the version of the session")
                }
                Some(polling) => polling.answer(self, request).await,
                None => self.ask(request).await,
            },
            None => self.open(request, v4).await,
        };
        never_empty(response, v4)
    }

    /// A handshake.
    async fn open(self: &Arc<Self>, mut request: Request<Incoming>, v4: bool) -> Response<Body> {
        let polling = Polling::new(self, v4, if v4 { Place::Absent } else { Place::Connecting });
        request.extensions_mut().insert(polling.clone());
        let response = self.ask(request).await;
        if response.status() != StatusCode::OK {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "server error");
        };
        if let Some(sid) = opened(&body) {
            let _ = polling.sid.set(sid);
            lock(&self.polling).insert(sid, Arc::downgrade(&polling));
        }
        Response::from_parts(parts, Body::from(body))
    }
}

/// The session id that an open packet gives.
fn opened(body: &[u8]) -> Option<Sid> {
    std::str::from_utf8(body).ok()?.split_once(r#""sid":""#)?.1.split('"').next()?.parse().ok()
}

/// A poll whose session ends is answered by the engine with nothing, which to the Swift client of
/// version 16 is an error: with a noop instead.
fn never_empty(response: Response<Body>, v4: bool) -> Response<Body> {
    if response.status() != StatusCode::OK
        || hyper::body::Body::size_hint(response.body()).exact() != Some(0)
    {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(if v4 { "6" } else { "1:6" }))
}
