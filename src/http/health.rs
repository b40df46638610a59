//! `/livez`, `/readyz` and `/metrics`.
use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

use crate::domain::{
    error::{DISPLACED, StoreError},
    hub::Hub,
};
use crate::reason::Label;
use crate::throttle::throttled;

/// How long an answer holds: the stores are asked no more often than that, whoever asks here, and
/// however often.
const HOLDS: Duration = Duration::from_secs(1);

/// How long a scraper waits to learn whether the server is ready.
const PATIENCE: Duration = Duration::from_secs(1);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why a server should not be sent clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotReady {
    /// It ends.
    Draining,
    /// Clients that come have to wait, as something has to be done first.
    Starting,
    /// A task that must live has panicked, and has not started again yet.
    Failing,
    /// A store does not answer.
    StoreUnavailable,
    /// A store answers, but takes nothing.
    StoreNotWritable,
    /// The files of the store are no longer those that were opened.
    Displaced,
}

impl Label for NotReady {
    /// The word of the answer.
    fn label(self) -> &'static str {
        match self {
            NotReady::Draining => "draining",
            NotReady::Starting => "starting",
            NotReady::Failing => "failing",
            NotReady::StoreUnavailable => "store unavailable",
            NotReady::StoreNotWritable => "store not writable",
            NotReady::Displaced => DISPLACED,
        }
    }
}

/// Whether the stores are of use to a newcomer: let in, in a room, its messages stored.
pub struct Readiness {
    hub: Arc<Hub>,
    /// Held while the stores are asked, so that one question at a time is on its way.
    looked: Arc<Mutex<Looked>>,
}

/// What was found, and when.
struct Looked {
    at: Option<Instant>,
    found: Result<(), NotReady>,
    /// The failure that was logged last.
    said: String,
}

impl Readiness {
    /// For all listeners together.
    pub fn new(hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Readiness {
            hub,
            looked: Arc::new(Mutex::new(Looked { at: None, found: Ok(()), said: String::new() })),
        })
    }

    async fn now(&self) -> Result<(), NotReady> {
        if !self.hub.is_ready() {
            return Err(NotReady::Draining);
        }
        if self.hub.is_starting() {
            return Err(NotReady::Starting);
        }
        if self.hub.supervisor.down().is_some() {
            return Err(NotReady::Failing); // logged already
        }
        let mut looked = self.looked.clone().lock_owned().await;
        if looked.at.is_some_and(|at| at.elapsed() < HOLDS) {
            return looked.found;
        }
        let hub = self.hub.clone();
        // In a task of its own: who asked may give up, and what is found holds for the next.
        let asked = self.hub.tasks.spawn(async move {
            let found = look(&hub, &mut looked).await;
            (looked.at, looked.found) = (Some(Instant::now()), found);
            found
        });
        asked.await.unwrap_or(Err(NotReady::StoreUnavailable))
    }
}

/// Asks the stores. Only what is another answer than before is logged, and the same failure, where
/// it comes and goes, now and then.
async fn look(hub: &Hub, before: &mut Looked) -> Result<(), NotReady> {
    let (broker, tokens) = tokio::join!(hub.check(), hub.tokens.check());
    let (reason, found) = match broker.and(tokens) {
        Ok(()) => (NotReady::StoreNotWritable, hub.check_writing().await),
        Err(StoreError::Unavailable(why)) if why == DISPLACED => {
            (NotReady::Displaced, Err(StoreError::Unavailable(why)))
        }
        unavailable => (NotReady::StoreUnavailable, unavailable),
    };
    let Err(error) = found else {
        if before.found.is_err() {
            throttled!(warn, "ready again");
        }
        return Ok(());
    };
    if before.found == Err(reason) {
        return Err(reason);
    }
    let said = error.to_string();
    if said == before.said {
        throttled!(warn, %error, why = reason.label(), "not ready");
    } else {
        tracing::warn!(%error, why = reason.label(), "not ready");
        before.said = said;
    }
    Err(reason)
}

/// Whether the process lives, and whether it should be sent clients.
pub fn routes(readiness: Arc<Readiness>) -> Router {
    let ready = move || async move {
        match readiness.now().await {
            Ok(()) => status(StatusCode::OK, "ready"),
            Err(reason) => status(StatusCode::SERVICE_UNAVAILABLE, reason.label()),
        }
    };
    Router::new()
        .route("/livez", get(|| async { status(StatusCode::OK, "alive") }))
        .route("/readyz", get(ready))
}

fn status(code: StatusCode, word: &str) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], json!({ "status": word }).to_string())
        .into_response()
}

/// Counters in the text format of Prometheus.
pub fn metrics(readiness: Arc<Readiness>) -> Router {
    let page = move || async move {
        let ready = tokio::time::timeout(PATIENCE, readiness.now()).await;
        let hub = readiness.hub.clone();
        hub.metrics.node.ready.set(matches!(ready, Ok(Ok(()))).into());
        // It looks at all rooms, and at what the operating system has in files.
        let text = tokio::task::spawn_blocking(move || {
            hub.take_stock();
            hub.metrics.text()
        });
        match text.await {
            Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(), // a panic, logged already
        }
    };
    Router::new().route("/metrics", get(page))
}
