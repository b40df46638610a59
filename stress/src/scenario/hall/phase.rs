//! What came of one phase of talking: what arrived, and what must never happen.

use crate::Ctx;
use crate::ledger::Ledger;
use crate::report::{Lat, Usage, round};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// What has arrived since the phase began.
#[derive(Default)]
pub(super) struct Tally {
    pub phase: u8,
    /// By member; cleared at the start of each phase.
    pub ledgers: Vec<Ledger>,
    pub delivered: u64,
    pub acknowledged: u64,
    pub wire_bytes: u64,
    pub duplicate: u64,
    pub late: u64,
    pub leaked: u64,
    pub echoed: u64,
    pub corrupt: u64,
    pub stale: u64,
    pub last: u64,
    pub lat: Lat,
}

/// One phase's figures.
pub struct Phase {
    pub sent: u64,
    pub(super) unsent: u64,
    pub(super) expected: u64,
    /// Acknowledgements that are due.
    pub(super) owed: u64,
    pub(super) lost: u64,
    pub(super) tally: Tally,
    pub(super) seconds: f64,
    pub(super) send_lag: Lat,
    pub(super) ack_timeouts: u64,
    pub(super) broken: u64,
    /// What webhooks told so far, and what is wrong with it.
    pub(super) webhooks: Option<(Value, Vec<(u64, &'static str)>)>,
    pub usage: Usage,
}

impl Phase {
    pub fn json(&self, ctx: &Ctx) -> Value {
        let t = &self.tally;
        let n = t.delivered as f64;
        json!({
            "counts": {
                "sent": self.sent, "unsent": self.unsent, "expected": self.expected,
                "delivered": t.delivered, "lost": self.lost, "duplicate": t.duplicate,
                "out_of_order": t.late, "leaked_to_other_rooms": t.leaked,
                "echoed_to_sender": t.echoed, "corrupt": t.corrupt, "stale": t.stale,
                "acknowledged": t.acknowledged,
                "ack_timeouts": self.ack_timeouts, "broken_senders": self.broken,
                "connections_lost": ctx.stats.closed.load(Relaxed),
            },
            "seconds": round(self.seconds),
            "sent_per_s": round(self.sent as f64 / self.seconds),
            "deliveries_per_s": round(n / self.seconds),
            "delivered_mb_per_s": round(t.wire_bytes as f64 / 1e6 / self.seconds),
            "latency_ms": t.lat.ms(), "send_lag_ms": self.send_lag.ms(),
            "server_cpu_s_per_million_deliveries": self.usage.cpu_per(n, 1e6),
            "server_rss_kb": self.usage.rss_kb(),
            "webhooks": self.webhooks.as_ref().map(|told| &told.0),
            "generator_cpu_s_per_million_deliveries":
                round(self.usage.generator_cpu_s / n.max(1.0) * 1e6),
        })
    }

    /// What must never happen: nothing lost, nothing twice, nothing out of order, damaged or
    /// astray.
    pub fn faults(&self, ctx: &Ctx) -> Vec<(u64, &'static str)> {
        let t = &self.tally;
        let mut faults = vec![
            (self.lost, "deliveries lost"),
            (t.duplicate, "duplicate deliveries"),
            (t.late, "deliveries out of order"),
            (t.leaked, "deliveries to a wrong room"),
            (t.echoed, "messages sent back to their sender"),
            (t.corrupt, "messages damaged"),
            (t.stale, "messages of an earlier phase"),
            (self.unsent, "messages not sent: the server would not take them"),
            (self.ack_timeouts, "times that a sender gave up waiting for a message in flight"),
            (self.broken, "senders lost their connection while sending"),
            (self.owed.abs_diff(t.acknowledged), "acknowledgements too few or too many"),
            (ctx.stats.closed.load(Relaxed), "connections lost"),
            (
                self.expected.abs_diff(t.delivered + self.lost),
                "deliveries more or less than expected",
            ),
        ];
        faults.extend(self.webhooks.iter().flat_map(|told| &told.1));
        faults
    }

    pub fn notes(&self) -> Vec<String> {
        let late = self.send_lag.max_ms() > 50.0;
        late.then(|| "some messages went out over 50 ms late (see send_lag_ms)".into())
            .into_iter()
            .collect()
    }
}
