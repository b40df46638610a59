//! The gate of hooks: a business server is asked before clients connect, join and send.
//!
//! A question is one signed POST; `question` has its body, `answer` what may come back. **Only an
//! answer that is understood whole is consent.** All else is a failure: no connection, an answer
//! that is late, too large, a redirect, a page of HTML, `{}`. What a failure means is configured
//! once, here, so that who asks sees [`Answer::Failed`] or consent.
//!
//! A call is made once. So many calls are made at a time; what comes beyond waits for its turn, in
//! order, within bounds of number and time. While the server does not answer at all, `breaker`
//! keeps from calling it, so that nobody waits for nothing.
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use tokio::{sync::Semaphore, time::Instant};

use self::{
    breaker::{Breaker, Turn},
    kept::{Answers, Key},
};
use super::{
    Parts,
    sign::{self, Signer},
};
use crate::{
    config::{self, OnFailure},
    domain::{
        clock::{Clock, NoRandomness, Rng},
        gate::{Answer, Caller, Changes, Gate, Question},
        ids::RoomId,
        outbox::Pattern,
        wildcard,
    },
    metrics::{self, Metrics},
    net::client::{Bounds, CallError, Client, ClientError},
    throttle::throttled,
    trace::{Kind, Span},
};

mod answer;
mod breaker;
mod kept;
mod question;
#[cfg(test)]
mod tests;

/// Largest answer, bytes.
const LARGEST_ANSWER: usize = 64 << 10;
/// Questions that may wait for their turn.
const MOST_WAITING: usize = 65_536;
/// How long one may wait for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What can be set.
#[derive(Debug)]
pub struct Options {
    /// Where questions go.
    pub url: config::HttpUrl,
    /// Signs them.
    pub signer: Signer,
    /// What is asked about.
    pub events: Vec<Question>,
    /// Rooms whose joins and messages are asked about; those of a dialect with its name before
    /// theirs.
    pub rooms: Vec<Pattern>,
    /// Time that a call may take.
    pub timeout: Duration,
    /// Calls at a time.
    pub concurrency: usize,
    /// How long answers about connecting and joining are kept; zero: not at all.
    pub cache: Duration,
    /// What a failure means.
    pub on_failure: OnFailure,
    /// UTF-16 units that a message may have.
    pub max_message: usize,
    /// File of the authorities to trust; `None`: those that browsers trust.
    pub authorities: Option<PathBuf>,
}

impl Options {
    /// As configured. `None`: nobody is to be asked.
    pub fn of(config: &config::Config) -> Option<Self> {
        let hook = &config.hook;
        // The configuration has refused a URL without a secret.
        let signer = Signer::new(hook.secret.as_ref()?, hook.previous_secret.as_ref());
        let events = Question::ALL.into_iter().filter(|event| hook.events.has(event.word()));
        // The configuration has refused what is no pattern.
        let rooms = hook.rooms.as_slice().iter().filter_map(|text| Pattern::parse(text).ok());
        Some(Options {
            url: hook.url.clone()?,
            signer,
            events: events.collect(),
            rooms: rooms.collect(),
            timeout: hook.timeout,
            concurrency: hook.concurrency,
            cache: hook.cache,
            on_failure: hook.on_failure,
            max_message: config.message.max_size.bytes(),
            authorities: hook.ca.clone(),
        })
    }
}

/// Asks a business server.
pub struct Hooks {
    options: Options,
    client: Client,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    metrics: Arc<Metrics>,
    turns: Semaphore,
    waiting: AtomicUsize,
    breaker: Breaker,
    kept: Option<Answers>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("too many questions wait")]
    Full,
    #[error("no turn within {LONGEST_WAIT:?}")]
    Late,
    #[error("the hook is not called, as calls of it fail")]
    BreakerOpen,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer is not valid: {0}")]
    Malformed(String),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Failure {
    /// Its word in metrics.
    fn label(&self) -> &'static str {
        match self {
            Failure::Full => "queue full",
            Failure::Late => "queue late",
            Failure::BreakerOpen => "breaker open",
            Failure::Call(error) => error.label(),
            Failure::Malformed(_) => "malformed",
            Failure::NoRandomness(_) => "no randomness",
        }
    }

    /// Whether it says that the business server does not work, and not only that one question is
    /// too much for it: a client must not be able to bring that about for all others.
    fn is_outage(&self) -> bool {
        match self {
            Failure::Call(CallError::Status { status, .. }) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Failure::Call(CallError::TooLarge { .. })
            | Failure::Malformed(_)
            | Failure::NoRandomness(_)
            | Failure::Full
            | Failure::Late
            | Failure::BreakerOpen => false,
            Failure::Call(
                CallError::Connect(_)
                | CallError::Tls(_)
                | CallError::Timeout(_)
                | CallError::Broken(_),
            ) => true,
        }
    }
}

impl Hooks {
    /// A gate.
    ///
    /// # Errors
    /// The file of authorities can't be used.
    pub fn new(options: Options, parts: Parts) -> Result<Self, ClientError> {
        let client = Client::new(options.authorities.as_deref(), parts.tasks)?;
        Ok(Hooks {
            client,
            clock: parts.clock,
            rng: parts.rng,
            metrics: parts.metrics,
            turns: Semaphore::new(options.concurrency),
            waiting: AtomicUsize::new(0),
            breaker: Breaker::default(),
            kept: Answers::keeping(options.cache),
            options,
        })
    }

    /// A kept answer, or the business server's, which is kept if it is configured so. A failure is
    /// not.
    async fn ask_or_recall(
        &self,
        caller: &Caller,
        question: Question,
        room: Option<(&RoomId, bool)>,
        body: impl FnOnce(u64) -> Vec<u8>,
    ) -> Answer {
        let Some(kept) = &self.kept else { return self.ask(question, body).await };
        let key = Key {
            question,
            uid: caller.uid.clone(),
            room: room.map(|(room, dummy)| (room.clone(), dummy)),
            meta: caller.meta.clone(),
        };
        if let Some(answer) = kept.find(&key) {
            self.metrics.hooks.cached(question.word());
            self.metrics.messages.looked_up(metrics::Cache::HookAnswers, true);
            return answer;
        }
        self.metrics.messages.looked_up(metrics::Cache::HookAnswers, false);
        match self.answer(question, body).await {
            Ok(answer) => {
                let bytes = kept.keep(key, &answer, self.clock.unix());
                self.metrics.hooks.cached_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
                answer
            }
            Err(failure) => self.failed(question, &failure),
        }
    }

    async fn ask(&self, question: Question, body: impl FnOnce(u64) -> Vec<u8>) -> Answer {
        match self.answer(question, body).await {
            Ok(answer) => answer,
            Err(failure) => self.failed(question, &failure),
        }
    }

    /// What a failure means.
    fn failed(&self, question: Question, failure: &Failure) -> Answer {
        self.metrics.hooks.failed(question.word(), failure.label());
        let (event, on_failure) = (question.word(), self.options.on_failure);
        throttled!(warn, event, error = %failure, %on_failure, "a hook failed");
        match on_failure {
            OnFailure::Deny => Answer::Failed,
            OnFailure::Allow => Answer::Allowed(Changes::default()),
        }
    }

    /// Calls the business server when it is this question's turn. `body` is made of the time then,
    /// in milliseconds since 1970.
    async fn answer(
        &self,
        question: Question,
        body: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<Answer, Failure> {
        if !self.breaker.lets_through(Instant::now()) {
            return Err(Failure::BreakerOpen); // and none has to wait to learn that
        }
        let _permit = self.turn().await?;
        let turn = self.breaker.turn(Instant::now()).ok_or(Failure::BreakerOpen)?;
        let begun = Instant::now();
        let span = Span::part("hook", Kind::Client);
        span.set("event", question.word());
        let answer = self.call(question, &span, body).await;
        if let Err(failure) = &answer {
            span.failed(failure.label());
        }
        self.metrics.hooks.called(question.word(), begun.elapsed().as_secs_f64());
        self.learn(turn, &answer);
        answer
    }

    /// Waits until so few calls are made that this one may be.
    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        if let Ok(permit) = self.turns.try_acquire() {
            return Ok(permit);
        }
        let waiting = Waiting::begin(self);
        if waiting.before >= MOST_WAITING {
            return Err(Failure::Full);
        }
        match tokio::time::timeout(LONGEST_WAIT, self.turns.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(Failure::Late),
        }
    }

    async fn call(
        &self,
        question: Question,
        span: &Span,
        body: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<Answer, Failure> {
        let now_ms = self.clock.unix_ms();
        let body = Bytes::from(body(now_ms));
        let id = sign::message_id(&*self.rng)?;
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.options.url.expose().clone();
        let (headers, agent) = (
            HeaderValue::from_static("application/json"),
            HeaderValue::from_static(concat!("always-online/", env!("CARGO_PKG_VERSION"))),
        );
        request.headers_mut().insert(header::CONTENT_TYPE, headers);
        request.headers_mut().insert(header::USER_AGENT, agent);
        span.inject(request.headers_mut());
        let signed = request.body().clone();
        self.options.signer.sign(request.headers_mut(), &id, now_ms / 1000, &signed);
        let bounds = Bounds { time: self.options.timeout, bytes: LARGEST_ANSWER };
        let answer = self.client.call(request, bounds).await?;
        if answer.status != StatusCode::OK {
            let (status, retry_after) = (answer.status, None);
            return Err(CallError::Status { status, retry_after }.into());
        }
        answer::parse(question, &answer.body, self.options.max_message).map_err(Failure::Malformed)
    }

    /// Tells the breaker what became of a call.
    fn learn(&self, turn: Turn<'_>, answer: &Result<Answer, Failure>) {
        let works = answer.as_ref().err().is_none_or(|failure| !failure.is_outage());
        let change = turn.ended(works, Instant::now());
        match (change, answer) {
            (None, _) => {}
            (Some(breaker::Change::Opened(pause)), answer) => {
                let error = answer.as_ref().err().map(ToString::to_string);
                tracing::warn!(?pause, error, "hooks fail, and are not called for some time");
            }
            (Some(breaker::Change::Closed), _) => tracing::info!("hooks are answered again"),
        }
        if change.is_some() {
            self.metrics.hooks.breaker_open.set(self.breaker.is_open().into());
        }
    }
}

/// A question that waits for its turn.
struct Waiting<'a> {
    hooks: &'a Hooks,
    /// How many others waited when it came.
    before: usize,
}

impl<'a> Waiting<'a> {
    fn begin(hooks: &'a Hooks) -> Self {
        hooks.metrics.hooks.waiting.inc();
        Waiting { hooks, before: hooks.waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.hooks.waiting.fetch_sub(1, Ordering::Relaxed);
        self.hooks.metrics.hooks.waiting.dec();
    }
}

/// Whether one of the patterns is for this room. `*` is for shared rooms: those of a dialect are
/// named with the dialect, `gotapi:*`, so that who has never heard of it is not asked about its
/// rooms.
fn is_meant(patterns: &[Pattern], room: &RoomId) -> bool {
    if room.is_shared() {
        return patterns.iter().any(|pattern| pattern.matches(room.name()));
    }
    patterns.iter().any(|pattern| wildcard::names(pattern.as_str(), room))
}

#[async_trait]
impl Gate for Hooks {
    fn asks(&self, question: Question, room: Option<&RoomId>) -> bool {
        self.options.events.contains(&question)
            && room.is_none_or(|room| is_meant(&self.options.rooms, room))
    }

    async fn connect(&self, caller: &Caller) -> Answer {
        let question = Question::Connect;
        let body = |now| question::body(question, now, caller, None, "");
        self.ask_or_recall(caller, question, None, body).await
    }

    async fn join(&self, caller: &Caller, room: &RoomId, dummy: bool) -> Answer {
        let question = Question::Join;
        let fields = format!(",\"dummy\":{dummy}");
        let body = |now| question::body(question, now, caller, Some(room), &fields);
        // Those who enter a dialect's rooms are connections and no users: nobody comes back to the
        // answer, and one for another connection is none for this one.
        if room.dialect().is_some() {
            return self.ask(question, body).await;
        }
        self.ask_or_recall(caller, question, Some((room, dummy)), body).await
    }

    async fn message(&self, caller: &Caller, room: &RoomId, message: Bytes) -> Answer {
        let question = Question::Message;
        let Ok(json) = std::str::from_utf8(&message) else {
            return self.failed(question, &Failure::Malformed("the message is no JSON".into()));
        };
        let fields = format!(",\"message\":{json}");
        self.ask(question, |now| question::body(question, now, caller, Some(room), &fields)).await
    }
}
