//! Sending batches to one endpoint.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{
    HeaderValue, Request, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
};
use tokio::time::{Instant, sleep};

use super::{
    health::{Allowed, Blame, Health},
    schedule::{self, Meaning},
};
use crate::{
    domain::{
        clock::{Clock, Rng},
        outbox::{Batch, Endpoint, Outbox, Settlement},
        services::Services,
    },
    hooks::sign::Signer,
    lock::lock,
    metrics::Metrics,
    net::client::{Bounds, CallError, Client},
    throttle::throttled,
    trace::{Kind, Span},
};

/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER: usize = 64 << 10;
/// How long a batch is its taker's, beside the time that the request may take.
const MARGIN: Duration = Duration::from_secs(15);
/// Longest pause between two looks: other nodes write, too, and do not tell.
const LOOK: Duration = Duration::from_secs(1);
/// Attempts at telling the store what became of a batch, and the pause between them.
const SETTLE: (u32, Duration) = (5, Duration::from_millis(500));

/// Where batches go.
pub(super) struct Target {
    pub(super) url: Uri,
    pub(super) signer: Signer,
    pub(super) client: Client,
    pub(super) timeout: Duration,
}

/// What bounds it.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) concurrency: usize,
    pub(super) keep: Duration,
}

/// What sends to one endpoint.
pub(super) struct Dispatcher {
    endpoint: Endpoint,
    target: Target,
    limits: Limits,
    outbox: Arc<dyn Outbox>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    metrics: Arc<Metrics>,
    health: Mutex<Health>,
}

impl Dispatcher {
    pub(super) fn new(
        endpoint: Endpoint,
        target: Target,
        limits: Limits,
        outbox: Arc<dyn Outbox>,
        services: &Services,
    ) -> Self {
        services.metrics.webhooks.is_up(&endpoint.name, true); // nothing else is known
        Dispatcher {
            endpoint,
            target,
            limits,
            outbox,
            clock: services.clock.clone(),
            rng: services.rng.clone(),
            metrics: services.metrics.clone(),
            health: Mutex::default(),
        }
    }

    /// Sends what there is, for ever. Only what is under way is in memory.
    pub(super) async fn run(self: Arc<Self>) {
        let mut written = self.outbox.written();
        let (mut under_way, mut settling) = (FuturesUnordered::new(), FuturesUnordered::new());
        loop {
            written.borrow_and_update();
            let concurrency = self.limits.concurrency;
            let allowed = lock(&self.health).allowed(Instant::now(), concurrency, under_way.len());
            let (mut wait, mut full) = (LOOK, true);
            match allowed {
                Allowed::Never | Allowed::Now(0) => {}
                Allowed::From(then) => wait = then.saturating_duration_since(Instant::now()),
                Allowed::Now(most) => {
                    let lease = self.target.timeout + MARGIN;
                    // Asked behind what is being settled, and not behind its end: so a store that
                    // writes in groups writes both in one.
                    let mut taken = self.outbox.take(&self.endpoint, most, lease);
                    let taken = loop {
                        tokio::select! {
                            biased;
                            Some(()) = settling.next() => {}
                            taken = &mut taken => break taken,
                        }
                    };
                    match taken {
                        Ok(taken) => {
                            full = taken.batches.len() == most;
                            wait = taken.next.map_or(LOOK, |next| next.min(LOOK));
                            under_way.extend(taken.batches.into_iter().map(|b| self.send(b)));
                        }
                        Err(error) => {
                            let endpoint = &self.endpoint.name;
                            throttled!(warn, %endpoint, %error, "webhooks wait for the store");
                        }
                    }
                }
            }
            tokio::select! {
                Some((batch, settlement)) = under_way.next() => {
                    settling.push(self.settle(batch, settlement));
                }
                Some(()) = settling.next() => {}
                Ok(()) = written.changed(), if !full => {}
                () = sleep(wait), if !full || under_way.is_empty() => {}
            }
        }
    }

    /// One attempt, and what follows from it.
    async fn send(&self, batch: Batch) -> (Batch, Settlement) {
        let begun = Instant::now();
        let outcome = self.attempt(&batch).await;
        self.metrics.webhooks.seconds.observe(begun.elapsed().as_secs_f64());
        let (meaning, word) = schedule::meaning(&outcome);
        self.metrics.webhooks.attempted(&self.endpoint.name, word);
        let settlement = self.judge(&batch, meaning, &outcome);
        (batch, settlement)
    }

    /// Tells the store what became of a batch.
    async fn settle(&self, batch: Batch, settlement: Settlement) {
        for _ in 0..SETTLE.0 {
            match self.outbox.settle(&self.endpoint, &batch, settlement.clone()).await {
                Ok(()) => return,
                Err(error) => {
                    let endpoint = &self.endpoint.name;
                    throttled!(warn, %endpoint, %error, "what became of a webhook can't be written yet");
                    sleep(SETTLE.1).await;
                }
            }
        }
        // It is sent again when the lease is over.
    }

    async fn attempt(&self, batch: &Batch) -> Result<(), CallError> {
        let span = Span::begin("webhook", Kind::Client);
        span.set("attempt", batch.attempts + 1);
        let request = self.request(batch);
        let mut request = request.map_err(|error| CallError::Broken(error.to_string()))?;
        span.inject(request.headers_mut());
        let bounds = Bounds { time: self.target.timeout, bytes: ANSWER };
        let answer = self.target.client.call(request, bounds).await;
        answer.map(|_| ()).inspect_err(|error| span.failed(error.label()))
    }

    fn request(&self, batch: &Batch) -> Result<Request<Bytes>, http::Error> {
        let mut request = Request::post(self.target.url.clone()).body(batch.body.clone())?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = concat!("always-online/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        self.target.signer.sign(headers, &batch.id, self.clock.unix(), &batch.body);
        Ok(request)
    }

    /// What becomes of a batch.
    fn judge(
        &self,
        batch: &Batch,
        meaning: Meaning,
        outcome: &Result<(), CallError>,
    ) -> Settlement {
        let endpoint = &self.endpoint.name;
        let (wanted, why) = match outcome {
            Err(error @ CallError::Status { retry_after: Some(text), .. }) => {
                (schedule::retry_after(text, self.clock.unix()), error.to_string())
            }
            Err(error) => (None, error.to_string()),
            Ok(()) => (None, String::new()),
        };
        match meaning {
            Meaning::Delivered => {
                if lock(&self.health).delivered(&batch.id) {
                    tracing::info!(%endpoint, "webhooks get through again");
                    self.metrics.webhooks.is_up(endpoint, true);
                }
                Settlement::Delivered
            }
            Meaning::Gone => {
                self.metrics.webhooks.is_up(endpoint, false);
                if lock(&self.health).disable() {
                    tracing::error!(%endpoint, "the endpoint answers 410: it gets no webhooks before the next start");
                }
                Settlement::Again { after: Duration::ZERO, counted: false }
            }
            Meaning::Unwanted => self.again(batch, wanted, why),
            Meaning::Failing => {
                let dice = self.dice();
                let blame = lock(&self.health).failed(&batch.id, Instant::now(), wanted, dice);
                match blame {
                    Blame::Batch => self.again(batch, wanted, why),
                    Blame::Endpoint(pause) => {
                        throttled!(warn, %endpoint, why, ?pause, "webhooks don't get through");
                        self.metrics.webhooks.is_up(endpoint, false);
                        if self.is_old(batch) {
                            return self.park(batch, why);
                        }
                        Settlement::Again { after: pause, counted: false }
                    }
                }
            }
        }
    }

    /// A batch has failed by itself.
    fn again(&self, batch: &Batch, wanted: Option<Duration>, why: String) -> Settlement {
        match schedule::pause(batch.attempts + 1, self.limits.keep) {
            Some(pause) => {
                let after = pause.max(wanted.unwrap_or_default());
                let (endpoint, id) = (&self.endpoint.name, &batch.id);
                throttled!(warn, %endpoint, %id, why, ?after, "a webhook was refused");
                Settlement::Again { after, counted: true }
            }
            None => self.park(batch, why),
        }
    }

    fn park(&self, batch: &Batch, why: String) -> Settlement {
        let (endpoint, id) = (&self.endpoint.name, &batch.id);
        tracing::error!(%endpoint, %id, why, "a webhook is put aside: see `always-online hooks list`");
        Settlement::Parked { why }
    }

    /// Whether it has been tried for as long as is set.
    fn is_old(&self, batch: &Batch) -> bool {
        let age = self.clock.unix_ms().saturating_sub(batch.since_ms);
        Duration::from_millis(age) > self.limits.keep
    }

    /// A random number from 0 to 1.
    fn dice(&self) -> f64 {
        let mut byte = [128];
        let _ = self.rng.fill(&mut byte); // without randomness it is the middle
        f64::from(byte[0]) / 255.0
    }
}
