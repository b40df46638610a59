//! What is counted of the hooks that are waited for.
use super::{
    family::{Family, each, pairs},
    text::group,
    value::{Counter, Gauge, Latency},
    words::{HOOK_FAILURES, QUESTIONS},
};

fn seconds() -> Latency {
    Latency::new(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0])
}

group! {
    /// Hooks that are waited for.
    "Hooks" Hooks {
        attempts: Family<Counter, 1> = Family::new(["event"], Counter::default, each(QUESTIONS)),
            "always_online_hook_attempts", "Calls of hooks, by event.";
        failures: Family<Counter, 2> = Family::new(
            ["event", "reason"], Counter::default, pairs(QUESTIONS, HOOK_FAILURES)
        ),
            "always_online_hook_failures",
            "Questions to hooks without a valid answer, by event and reason.";
        latency: Family<Latency, 1> = Family::new(["event"], seconds, each(QUESTIONS)),
            "always_online_hook_seconds", "How long calls of hooks took, by event.";
        cached: Family<Counter, 1> = Family::new(["event"], Counter::default, each(QUESTIONS)),
            "always_online_hook_cached",
            "Questions that were answered by a kept answer, by event.";
        cached_bytes: Gauge = Gauge::default(),
            "always_online_hook_cached_bytes", "Bytes of answers that are kept.";
        waiting: Gauge = Gauge::default(),
            "always_online_hook_waiting", "Questions that wait for their turn to be asked now.";
        breaker_open: Gauge = Gauge::default(),
            "always_online_hook_breaker_open", "1 while hooks are not called, because calls fail.";
    }
}

impl Hooks {
    /// A call was made, and ended after so many seconds.
    pub fn called(&self, event: &'static str, seconds: f64) {
        self.attempts.with([event], Counter::inc);
        self.latency.with([event], |latency| latency.observe(seconds));
    }

    /// A question had no valid answer.
    pub fn failed(&self, event: &'static str, reason: &'static str) {
        self.failures.with([event, reason], Counter::inc);
    }

    /// A question had its answer already.
    pub fn cached(&self, event: &'static str) {
        self.cached.with([event], Counter::inc);
    }
}
