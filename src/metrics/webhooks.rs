//! Metrics of webhooks, by endpoint but for the times of requests: a name from the configuration.
use super::{
    family::Family,
    text::group,
    value::{Counter, Gauge, Latency},
};

/// Where the label `endpoint` comes from.
const ENDPOINT: &str = "`main`, or a name from the configuration";

group! {
    /// Counters of webhooks.
    "Webhooks" Webhooks {
        attempts: Family<Counter, 2> = Family::open(
            ["endpoint", "outcome"],
            Counter::default,
            "`main`, or a name from the configuration; `delivered`, or what was wrong",
        ),
            "always_online_webhook_attempts", "Requests to webhook endpoints, by outcome.";
        bytes: Family<Gauge, 1> = Family::open(["endpoint"], Gauge::default, ENDPOINT),
            "always_online_webhook_pending_bytes",
            "Bytes of events and batches that are kept for an endpoint; looked at every five \
             seconds.";
        age: Family<Gauge, 1> = Family::open(["endpoint"], Gauge::default, ENDPOINT),
            "always_online_webhook_oldest_seconds",
            "Age of the oldest event that waits for an endpoint; looked at every five seconds.";
        parked_now: Family<Gauge, 1> = Family::open(["endpoint"], Gauge::default, ENDPOINT),
            "always_online_webhook_parked",
            "Batches that were put aside; looked at every five seconds.";
        dropped: Family<Counter, 1> = Family::open(["endpoint"], Counter::default, ENDPOINT),
            "always_online_webhook_dropped",
            "Events and batches that were given up: too much waited, or they could not be read.";
        up: Family<Gauge, 1> = Family::open(["endpoint"], Gauge::default, ENDPOINT),
            "always_online_webhook_up",
            "1: the endpoint takes what it is sent; 0: it is left alone, for a while or because it \
             answered 410.";
        seconds: Latency = Latency::new(&[0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0]),
            "always_online_webhook_seconds", "How long requests to endpoints took.";
    }
}

impl Webhooks {
    /// A request was made. `outcome` is a word of a fixed list.
    pub fn attempted(&self, endpoint: &str, outcome: &'static str) {
        self.attempts.with([endpoint, outcome], Counter::inc);
    }

    /// Whether an endpoint takes what it is sent.
    pub fn is_up(&self, endpoint: &str, up: bool) {
        self.up.with([endpoint], |gauge| gauge.set(i64::from(up)));
    }

    /// What waits for an endpoint now.
    pub fn stands(&self, endpoint: &str, standing: Standing) {
        let Standing { bytes, parked, age_seconds, dropped } = standing;
        // The store counts, for all nodes and over restarts.
        self.dropped.with([endpoint], |counter| {
            counter.inc_by(dropped.saturating_sub(counter.get()));
        });
        for (family, value) in
            [(&self.bytes, bytes), (&self.parked_now, parked), (&self.age, age_seconds)]
        {
            family.with([endpoint], |gauge| gauge.set_count(value));
        }
    }
}

/// What waits for an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Bytes of events and batches.
    pub bytes: u64,
    /// Batches that were put aside.
    pub parked: u64,
    /// Age of the oldest event.
    pub age_seconds: u64,
    /// Events and batches that were given up so far.
    pub dropped: u64,
}
