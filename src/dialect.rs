//! Wire dialects: each turns frames into calls of the core, and what the core tells into frames.
//!
//! A dialect is a folder here that offers one [`Dialect`]. `app` starts those that the
//! configuration asks for, puts each on its listener, and ends them. No dialect names another one.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use futures_util::future::BoxFuture;
use hyper::{Request, Response, body::Incoming};

use crate::{
    config::Site,
    net::{Connection, Stream},
};

pub mod always_online;
pub mod chat_service;
pub mod gotapi;
pub mod tinode;
pub mod wechat;

/// One way of talking to clients, on the listener of its [`Site`].
///
/// Several dialects may share a listener. The first one that claims a handshake or a request gets
/// it; what nobody claims is answered by the HTTP routes of that listener.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use always_online::{
/// #     config::Site,
/// #     dialect::{Dialect, Pace, Taken},
/// #     net::{Connection, Stream},
/// # };
/// # use async_trait::async_trait;
/// # use hyper::{Request, Response, body::Incoming};
/// struct Hello;
///
/// #[async_trait]
/// impl Dialect for Hello {
///     fn name(&self) -> &'static str {
///         "hello"
///     }
///     fn site(&self) -> Site {
///         Site::Websocket
///     }
///     fn wants(&self, _handshake: &Request<()>) -> bool {
///         false // it has no WebSockets
///     }
///     fn websocket(&self, _: Request<()>, _: Stream, _: Arc<Connection>) {}
///     fn request(&self, request: Request<Incoming>, _: Arc<Connection>) -> Taken<'_> {
///         match request.uri().path() {
///             "/hello" => Ok(Box::pin(async { Response::new("hello\n".into()) })),
///             _ => Err(Box::new(request)),
///         }
///     }
///     async fn drain(&self, _pace: Pace) {} // nobody stays
/// }
/// ```
#[async_trait]
pub trait Dialect: Send + Sync + 'static {
    /// Its name in logs, and of its rooms where they are its own.
    fn name(&self) -> &'static str;

    /// The listener that it stands on.
    fn site(&self) -> Site;

    /// Whether a WebSocket handshake is to be handed to [`Dialect::websocket`]. Otherwise it comes to
    /// [`Dialect::request`] like any other request.
    fn wants(&self, handshake: &Request<()>) -> bool;

    /// Whether a handshake that it wants begins a session, which needs a place among those of its
    /// client's address. Not where it goes on with a session that has one.
    fn is_new(&self, _handshake: &Request<()>) -> bool {
        true
    }

    /// Whether it looks at all headers of a handshake. Else that has `Origin`, `User-Agent` and
    /// `X-Forwarded-For` only.
    fn reads_headers(&self) -> bool {
        false
    }

    /// Whether it speaks something else than HTTP/1.1, and so takes whole connections. It has its
    /// listener for itself then, and nothing else here is called of what serves clients.
    fn takes_streams(&self) -> bool {
        false
    }

    /// Serves a connection of which nothing was read, in a task of its own, where it
    /// [takes](Dialect::takes_streams) them. It bounds the time until its client says something.
    fn stream(&self, _stream: Stream, _connection: Arc<Connection>) {}

    /// Serves a WebSocket whose handshake it wanted, in a task of its own. Its
    /// handshake is accepted when a [`crate::net::WebSocket`] is made of the stream.
    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>);

    /// Answers a request, or gives it back if it is none of its own.
    fn request(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Taken<'_>;

    /// Closes everybody who is connected, so that they come back to another node or to the next
    /// start. It ends once all have been told. It is called again, without a pause, until no
    /// connection is left: who finished a handshake meanwhile is closed then.
    async fn drain(&self, pace: Pace);

    /// The listeners are open, and clients may be there already. Called once.
    ///
    /// # Errors
    /// Why the server is not to run.
    async fn opened(&self) -> Result<(), String> {
        Ok(())
    }

    /// The server ends, and nobody is connected any more, or the time for that is over (`in_time`
    /// is false). Called once; the stores are still there.
    ///
    /// # Errors
    /// What did not end as it should have.
    async fn closed(&self, _in_time: bool) -> Result<(), String> {
        Ok(())
    }
}

/// The answer of a dialect, on its way; or the request, if it is not the dialect's.
pub type Taken<'a> = Result<BoxFuture<'a, Response<Body>>, Box<Request<Incoming>>>;

/// How fast clients are closed while a server ends: all at once would all come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Clients that are closed at a time; 0 counts as 1.
    pub batch: usize,
    /// The time for many; the fewer clients there are, the sooner all are gone.
    pub jitter: Duration,
}

/// Batches of clients from which on closing them takes the whole of the time that is configured.
const MANY_BATCHES: usize = 10;

impl Pace {
    /// Everybody at once.
    pub const AT_ONCE: Pace = Pace { batch: usize::MAX, jitter: Duration::ZERO };

    /// Does `close` to each of `clients`, a batch at a time.
    pub async fn each<T>(self, clients: &[T], close: impl Fn(&T)) {
        let batch = self.batch.max(1);
        let pause = self.pause(clients.len().div_ceil(batch));
        for (i, clients) in clients.chunks(batch).enumerate() {
            if i > 0 {
                tokio::time::sleep(pause).await;
            }
            clients.iter().for_each(&close);
        }
    }

    /// The time between two of so many batches. Few clients that come back together hurt nobody.
    fn pause(self, batches: usize) -> Duration {
        self.jitter / u32::try_from(batches.max(MANY_BATCHES)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_are_dropped_at_once_and_many_over_the_whole_time() {
        let jitter = Duration::from_secs(2);
        let pace = Pace { batch: 1, jitter };
        let all = |batches: u32| pace.pause(batches as usize) * (batches - 1);
        assert_eq!([1, 2, 5].map(all), [0, 200, 800].map(Duration::from_millis));
        for many in [10, 100, 5000] {
            assert!(all(many) >= jitter * 9 / 10 && all(many) < jitter, "{many}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_closed_once_batch_by_batch() {
        let begin = tokio::time::Instant::now();
        let closed = std::sync::Mutex::new(Vec::new());
        let note =
            |client: &u32| closed.lock().expect("unpoisoned").push((*client, begin.elapsed()));
        let pace = Pace { batch: 2, jitter: Duration::from_secs(1) };
        pace.each(&[1, 2, 3], note).await;
        let (now, later) = (Duration::ZERO, Duration::from_millis(100));
        assert_eq!(*closed.lock().expect("unpoisoned"), [(1, now), (2, now), (3, later)]);
        closed.lock().expect("unpoisoned").clear();
        Pace::AT_ONCE.each(&[1, 2, 3], note).await;
        assert_eq!(*closed.lock().expect("unpoisoned"), [1, 2, 3].map(|client| (client, later)));
    }
}
