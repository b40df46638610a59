//! A set of keys that is fetched: again and again, and sooner when a token has a `kid` that is not
//! known, but at most once in ten seconds. What was fetched once stays until another set replaces
//! it, so that who signs may be out for as long as it likes. One task fetches; others ask it, and
//! wait for the end of the fetch that is under way.
use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use jsonwebtoken::Algorithm;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::key::{self, Key, Trust};
use crate::{
    config::HttpUrl,
    lock::lock,
    net::client::{Bounds, CallError, Client},
    throttle::throttled,
};

/// The shortest time between two fetches.
const LEAST: Duration = Duration::from_secs(10);
/// What one fetch may take.
const FETCH: Bounds = Bounds { time: Duration::from_secs(5), bytes: 256 << 10 };

/// A set of keys at a URL.
pub(super) struct Remote {
    url: HttpUrl,
    client: Client,
    refresh: Duration,
    algorithms: Vec<Algorithm>,
    keys: RwLock<Arc<[Arc<Key>]>>,
    state: Mutex<State>,
    /// A fetch is asked for.
    asked: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

struct State {
    /// When the last fetch began.
    begun: Option<Instant>,
    /// One is under way, or about to begin.
    under_way: bool,
    /// Why the last one failed; nothing: it did not.
    failure: Option<String>,
}

impl State {
    /// Whether the last fetch is long enough ago.
    fn is_due(&self) -> bool {
        self.begun.is_none_or(|begun| begun.elapsed() >= LEAST)
    }
}

impl Remote {
    /// One that is not fetched yet.
    pub(super) fn new(
        url: &HttpUrl,
        client: Client,
        refresh: Duration,
        algorithms: Vec<Algorithm>,
    ) -> Arc<Self> {
        Arc::new(Remote {
            url: url.clone(),
            client,
            refresh: refresh.max(LEAST),
            algorithms,
            keys: RwLock::new(Arc::new([])),
            state: Mutex::new(State {
                begun: None,
                under_way: false,
                failure: Some("it was not fetched yet".to_owned()),
            }),
            asked: Notify::new(),
            ended: watch::Sender::new(0),
        })
    }

    /// Its keys as they were fetched last.
    pub(super) fn keys(&self) -> Arc<[Arc<Key>]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last fetch is long ago.
    #[cfg(test)]
    pub(super) fn forget_when(&self) {
        lock(&self.state).begun = None;
    }

    /// Whether any were fetched.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys().is_empty()
    }

    /// Returns when a fetch that began lately has ended: one is asked for unless that was done in
    /// the last ten seconds.
    ///
    /// # Errors
    /// The last fetch failed, so that nothing can be said of keys that are not there.
    pub(super) async fn look_again(&self) -> Result<(), String> {
        let waiting = {
            let mut state = lock(&self.state);
            if state.is_due() && !state.under_way {
                state.under_way = true;
                self.asked.notify_one();
            }
            state.under_way.then(|| self.ended.subscribe()) // before it can end
        };
        if let Some(mut ended) = waiting {
            let _ = tokio::time::timeout(FETCH.time * 2, ended.changed()).await;
        }
        lock(&self.state).failure.clone().map_or(Ok(()), Err)
    }

    /// Fetches when it is time, or when it is asked to. Never ends.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            if let Err(error) = self.fetch_now().await {
                if self.has_keys() {
                    throttled!(
                        warn,
                        url = %self.url,
                        error,
                        "the keys for tokens can't be fetched; those fetched before go on"
                    );
                } else {
                    throttled!(
                        warn,
                        url = %self.url,
                        error,
                        "the keys for tokens can't be fetched: nobody can sign in by a token that they signed"
                    );
                }
            }
            self.pause().await;
        }
    }

    /// Until the next fetch.
    async fn pause(&self) {
        let pause = if lock(&self.state).failure.is_some() { LEAST } else { self.refresh };
        // It may have been asked for while the last one had just begun for another reason.
        let asked = async {
            loop {
                self.asked.notified().await;
                if lock(&self.state).is_due() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(pause, asked).await;
    }

    /// Fetches now.
    ///
    /// # Errors
    /// Why the set can't be had.
    pub(super) async fn fetch_now(&self) -> Result<(), String> {
        {
            let mut state = lock(&self.state);
            state.begun = Some(Instant::now());
            state.under_way = true;
        }
        let fetched = self.fetch().await;
        {
            let mut state = lock(&self.state);
            state.under_way = false;
            state.failure = fetched.clone().err();
        }
        self.ended.send_modify(|ended| *ended += 1);
        fetched
    }

    async fn fetch(&self) -> Result<(), String> {
        let body = self.get().await.map_err(|error| why(&error))?;
        let text = std::str::from_utf8(&body).map_err(|_| "it is no UTF-8".to_owned())?;
        let (keys, unusable) = key::read_set(text, &self.algorithms, Trust::Published)?;
        for why in unusable {
            throttled!(info, url = %self.url, why, "a key for tokens is left out");
        }
        let keys: Arc<[Arc<Key>]> = keys.into_iter().map(Arc::new).collect();
        let before = self.keys();
        let names = |keys: &[Arc<Key>]| keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
        if names(&before) != names(&keys) {
            tracing::info!(url = %self.url, keys = keys.len(), "took new keys for tokens in");
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    async fn get(&self) -> Result<Bytes, CallError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.url.expose().clone();
        let accepted =
            header::HeaderValue::from_static("application/jwk-set+json, application/json");
        request.headers_mut().insert(header::ACCEPT, accepted);
        let answer = self.client.call(request, FETCH).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(CallError::Status { status, retry_after: None }),
        }
    }
}

/// Why a set can't be had.
fn why(error: &CallError) -> String {
    match error {
        CallError::Status { status, .. } if status.is_redirection() => {
            format!("{error}, and redirects are not followed")
        }
        error => error.to_string(),
    }
}
