//! Metrics of webhooks, by endpoint but for the times of requests: a name from the configuration.
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    endpoint: String,
    outcome: &'static str,
}

/// Counters of webhooks.
#[derive(Clone)]
pub struct Webhooks {
    attempts: Family<Attempt, Counter>,
    parked_now: Family<Endpoint, Gauge>,
    bytes: Family<Endpoint, Gauge>,
    age: Family<Endpoint, Gauge>,
    /// Seconds that a request took.
    pub seconds: Histogram,
}

impl Default for Webhooks {
    fn default() -> Self {
        Webhooks {
            attempts: Family::default(),
            parked_now: Family::default(),
            bytes: Family::default(),
            age: Family::default(),
            seconds: Histogram::new([0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0]),
        }
    }
}

impl Webhooks {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "webhook_attempts",
            "Requests to webhook endpoints, by outcome",
            self.attempts.clone(),
        );
        registry.register(
            "webhook_pending_bytes",
            "Bytes of events and batches that are kept for an endpoint",
            self.bytes.clone(),
        );
        registry.register(
            "webhook_oldest_seconds",
            "Age of the oldest event that waits for an endpoint",
            self.age.clone(),
        );
        registry.register("webhook_parked", "Batches that were put aside", self.parked_now.clone());
        registry.register(
            "webhook_seconds",
            "Seconds that a request to an endpoint took",
            self.seconds.clone(),
        );
    }

    /// A request was made. `outcome` is a word of a fixed list.
    pub fn attempted(&self, endpoint: &str, outcome: &'static str) {
        let attempt = Attempt { endpoint: endpoint.to_owned(), outcome };
        self.attempts.get_or_create(&attempt).inc();
    }

    /// What waits for an endpoint now.
    pub fn stands(&self, endpoint: &str, bytes: u64, parked: u64, age_seconds: u64) {
        let label = Endpoint { endpoint: endpoint.to_owned() };
        for (family, value) in
            [(&self.bytes, bytes), (&self.parked_now, parked), (&self.age, age_seconds)]
        {
            family.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
