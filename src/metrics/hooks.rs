//! What is counted of the hooks that are waited for.
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// A kind of question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    event: &'static str,
}

/// A question that was not answered, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    event: &'static str,
    reason: &'static str,
}

/// Upper ends of the buckets, seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Hooks that are waited for.
pub struct Hooks {
    attempts: Family<Asked, Counter>,
    failures: Family<Failed, Counter>,
    latency: Family<Asked, Histogram, fn() -> Histogram>,
    cached: Family<Asked, Counter>,
    /// Questions that wait for their turn now.
    pub waiting: Gauge,
    /// 1 while the business server is not called, because calls fail.
    pub breaker_open: Gauge,
}

impl Hooks {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let hooks = Hooks {
            attempts: Family::default(),
            failures: Family::default(),
            latency: Family::new_with_constructor(seconds),
            cached: Family::default(),
            waiting: Gauge::default(),
            breaker_open: Gauge::default(),
        };
        registry.register("hook_attempts", "Calls of hooks, by event", hooks.attempts.clone());
        registry.register(
            "hook_failures",
            "Questions to hooks without a valid answer, by event and reason",
            hooks.failures.clone(),
        );
        registry.register(
            "hook_seconds",
            "How long calls of hooks took, by event",
            hooks.latency.clone(),
        );
        registry.register(
            "hook_cached",
            "Questions that were answered by a kept answer, by event",
            hooks.cached.clone(),
        );
        registry.register(
            "hook_waiting",
            "Questions that wait for their turn to be asked now",
            hooks.waiting.clone(),
        );
        registry.register(
            "hook_breaker_open",
            "1 while hooks are not called, because calls fail",
            hooks.breaker_open.clone(),
        );
        hooks
    }

    /// A call was made, and ended after so many seconds.
    pub fn called(&self, event: &'static str, seconds: f64) {
        self.attempts.get_or_create(&Asked { event }).inc();
        self.latency.get_or_create(&Asked { event }).observe(seconds);
    }

    /// A question had no valid answer.
    pub fn failed(&self, event: &'static str, reason: &'static str) {
        self.failures.get_or_create(&Failed { event, reason }).inc();
    }

    /// A question had its answer already.
    pub fn cached(&self, event: &'static str) {
        self.cached.get_or_create(&Asked { event }).inc();
    }
}
