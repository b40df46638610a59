//! What is counted of calls of stores.
use std::future::Future;

use tokio::time::Instant;

use super::{
    family::{Family, each},
    text::group,
    value::{Counter, Latency},
    words::Call,
};
use crate::trace::{Kind, Span};

fn seconds() -> Latency {
    Latency::new(&[0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0])
}

group! {
    /// Calls of stores.
    "Stores" Store {
        calls: Family<Latency, 1> = Family::new(["call"], seconds, each(Call::WORDS)),
            "always_online_store_call_seconds",
            "How long calls of stores took, by what was asked for.";
        call_failures: Family<Counter, 1> = Family::new(
            ["call"], Counter::default, each(Call::WORDS)
        ),
            "always_online_store_call_failures",
            "Calls of stores that failed, by what was asked for.";
        failures: Counter = Counter::default(),
            "always_online_store_failures", "Attempts to store messages that failed.";
    }
}

impl Store {
    /// Does a call, and notes how long it took and whether it failed. One that is given up is
    /// neither.
    pub async fn timed<T, E>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let span = Span::part("store", Kind::Client);
        span.set("call", call.word());
        let begun = Instant::now();
        let done = span.within(work).await;
        self.calls.at(call as usize).took(begun.elapsed());
        if done.is_err() {
            self.call_failures.at(call as usize).inc();
            span.failed("the store");
        }
        done
    }
}
