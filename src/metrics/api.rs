//! What the HTTP API counts: requests by method and status, and how long they took.
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// How a request to a method ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    method: &'static str,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
}

/// Upper ends of the buckets, seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Requests to the HTTP API.
pub struct Api {
    requests: Family<Ended, Counter>,
    latency: Family<Asked, Histogram, fn() -> Histogram>,
}

impl Api {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let api =
            Api { requests: Family::default(), latency: Family::new_with_constructor(seconds) };
        registry.register(
            "api_requests",
            "Requests to the HTTP API, by method and status",
            api.requests.clone(),
        );
        registry.register(
            "api_request_seconds",
            "How long requests to the HTTP API took, by method",
            api.latency.clone(),
        );
        api
    }

    /// A request was answered.
    pub fn answered(&self, method: &'static str, status: u16, seconds: f64) {
        self.requests.get_or_create(&Ended { method, status: status.into() }).inc();
        self.latency.get_or_create(&Asked { method }).observe(seconds);
    }
}
