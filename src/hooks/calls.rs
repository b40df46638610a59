//! The calls of a business server that a dialect makes by itself: [`Calls`] by signed POSTs.
//!
//! A call is made once, and only of hooks that are configured. An answer is one with status 200 and
//! a body, or with 204, which says nothing. All else is a failure: no connection, an answer that is
//! late or too large, a redirect. What is in the answer is read by the dialect.
//!
//! So many calls are made at a time; what comes beyond waits for its turn, in order. The time that
//! a call may take begins with the waiting, so that nobody waits longer than is configured. Neither
//! what is sent nor what comes back is logged.
use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use tokio::sync::Semaphore;

use super::{
    Parts,
    sign::{self, Signer},
};
use crate::{
    config,
    domain::{
        calls::Calls,
        clock::{Clock, NoRandomness, Rng},
    },
    metrics::Metrics,
    net::client::{Bounds, CallError, Client, ClientError},
    throttle::throttled,
    trace::{Kind, Span},
};

#[cfg(test)]
mod tests;

/// Calls at a time.
const AT_A_TIME: usize = 512;
/// Calls that are made, or wait for their turn.
const MOST: usize = AT_A_TIME + 65_536;
/// Largest answer, bytes. It may have a message in it, whose bytes take four times as many digits.
const LARGEST_ANSWER: usize = 4 << 20;

/// The dialect whose hooks they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// chat-service.
    ChatService,
    /// Tinode.
    Tinode,
}

impl Whose {
    /// This hook is on the page of metrics from now on.
    fn is_called(self, metrics: &Metrics, hook: &str) {
        match self {
            Whose::ChatService => metrics.chat_service.hook_is_called(hook),
            Whose::Tinode => metrics.tinode.hook_is_called(hook),
        }
    }

    /// A call of this hook has no answer.
    fn failed(self, metrics: &Metrics, hook: &str, error: &Failure) {
        match self {
            Whose::ChatService => {
                metrics.chat_service.hook_failed(hook);
                throttled!(warn, hook, %error, "a hook of chat-service failed");
            }
            Whose::Tinode => {
                metrics.tinode.hook_failed(hook);
                throttled!(warn, hook, %error, "a hook of Tinode failed");
            }
        }
    }
}

/// What can be set.
#[derive(Debug)]
pub struct Options {
    /// The dialect that calls.
    pub whose: Whose,
    /// Where calls go.
    pub url: config::HttpUrl,
    /// Signs them.
    pub signer: Signer,
    /// Time that a call may take, the wait for its turn included.
    pub timeout: Duration,
    /// The hooks that are called; no others are.
    pub names: HashSet<String>,
    /// File of the authorities to trust; `None`: those that browsers trust.
    pub authorities: Option<PathBuf>,
}

impl Options {
    /// As configured for chat-service. `None`: nobody is to be called.
    pub fn of(config: &config::ChatService) -> Option<Self> {
        if !config.enabled || config.hooks.is_empty() {
            return None;
        }
        // The configuration has refused hooks without a URL or a secret.
        Some(Options {
            whose: Whose::ChatService,
            url: config.hook_url.clone()?,
            signer: Signer::new(config.hook_secret.as_ref()?, None),
            timeout: config.hook_timeout,
            names: config.hooks.iter().map(str::to_owned).collect(),
            authorities: None,
        })
    }

    /// As configured for Tinode. `None`: nobody is to be called.
    pub fn of_tinode(config: &config::Tinode) -> Option<Self> {
        if config.listen.is_none() || config.hooks.is_empty() {
            return None;
        }
        // As above.
        Some(Options {
            whose: Whose::Tinode,
            url: config.hook_url.clone()?,
            signer: Signer::new(config.hook_secret.as_ref()?, None),
            timeout: config.hook_timeout,
            names: config.hooks.iter().map(str::to_owned).collect(),
            authorities: None,
        })
    }
}

/// Calls a business server.
pub struct HookCalls {
    options: Options,
    client: Client,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    metrics: Arc<Metrics>,
    /// One for each call that is made or waits.
    places: Semaphore,
    /// One for each call that is made.
    turns: Semaphore,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("too many calls wait")]
    Full,
    #[error("the answer has no text in it")]
    NoText,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Failure {
    /// Its word in traces.
    fn label(&self) -> &'static str {
        match self {
            Failure::Full => "queue full",
            Failure::NoText => "malformed",
            Failure::Call(error) => error.label(),
            Failure::NoRandomness(_) => "no randomness",
        }
    }
}

impl HookCalls {
    /// Calls as they are configured. Each configured hook is on the page of metrics from now on.
    ///
    /// # Errors
    /// The file of authorities can't be used.
    pub fn new(options: Options, parts: Parts) -> Result<Self, ClientError> {
        let client = Client::new(options.authorities.as_deref(), parts.tasks)?;
        for hook in &options.names {
            options.whose.is_called(&parts.metrics, hook);
        }
        Ok(HookCalls {
            options,
            client,
            clock: parts.clock,
            rng: parts.rng,
            metrics: parts.metrics,
            places: Semaphore::new(MOST),
            turns: Semaphore::new(AT_A_TIME),
        })
    }

    /// Makes a call when it is its turn.
    async fn in_turn(&self, body: String) -> Result<String, Failure> {
        let Ok(_place) = self.places.try_acquire() else { return Err(Failure::Full) };
        let time = self.options.timeout;
        let answer = async {
            // It is never closed.
            let Ok(_turn) = self.turns.acquire().await else { return Err(Failure::Full) };
            self.post(body).await
        };
        let late = |_| Err(CallError::Timeout(time).into());
        tokio::time::timeout(time, answer).await.unwrap_or_else(late)
    }

    async fn post(&self, body: String) -> Result<String, Failure> {
        let id = sign::message_id(&*self.rng)?;
        let body = Bytes::from(body);
        let mut request = Request::new(body.clone());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.options.url.expose().clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = concat!("always-online/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        let span = Span::part("hook", Kind::Client);
        span.inject(headers);
        self.options.signer.sign(headers, &id, self.clock.unix(), &body);
        let answer = self.answer(request).await;
        if let Err(failure) = &answer {
            span.failed(failure.label());
        }
        answer
    }

    async fn answer(&self, request: Request<Bytes>) -> Result<String, Failure> {
        let bounds = Bounds { time: self.options.timeout, bytes: LARGEST_ANSWER };
        let answer = self.client.call(request, bounds).await?;
        match answer.status {
            StatusCode::NO_CONTENT => Ok(String::new()),
            StatusCode::OK => match String::from_utf8(answer.body.into()) {
                Ok(text) if !text.is_empty() => Ok(text),
                Ok(_) | Err(_) => Err(Failure::NoText),
            },
            status => Err(CallError::Status { status, retry_after: None }.into()),
        }
    }
}

#[async_trait]
impl Calls for HookCalls {
    fn calls(&self, hook: &str) -> bool {
        self.options.names.contains(hook)
    }

    async fn call(&self, hook: &str, body: String) -> Option<String> {
        if !self.calls(hook) {
            return None;
        }
        match self.in_turn(body).await {
            Ok(answer) => Some(answer),
            Err(failure) => {
                self.options.whose.failed(&self.metrics, hook, &failure);
                None
            }
        }
    }
}
