//! What is counted of connections: how many, what carries them, why the server closes them, what
//! goes through them, and TLS.
use super::{
    family::{Family, each},
    text::group,
    value::{Counter, Gauge, Latency, Striped},
    words::{CARRIAGES, Carriage, Handshake},
};
use crate::reason::{Kind, Reason};

/// Limits on newcomers, as `net` calls them.
pub const LIMITS: &[&str] = &["connections", "address", "rate", "memory", "requests"];

/// Reasons of this kind. Several have the same word.
fn reasons(kind: Kind) -> Vec<[&'static str; 1]> {
    let mut words: Vec<[&str; 1]> = Vec::new();
    for reason in Reason::ALL.iter().filter(|reason| reason.kind() == kind) {
        if !words.contains(&[reason.label()]) {
            words.push([reason.label()]);
        }
    }
    words
}

group! {
    /// Connections.
    "Connections" Connections {
        open: Gauge = Gauge::default(),
            "always_online_connections", "Connections open now.";
        opened: Counter = Counter::default(),
            "always_online_connections_opened", "Connections opened.";
        clients: Family<Gauge, 3> = Family::new(
            ["dialect", "carrier", "version"], Gauge::default, CARRIAGES
        ),
            "always_online_clients",
            "Clients that are there now, by dialect, by what carries them, and by the version of \
             engine.io.";
        drops: Family<Counter, 1> = Family::new(
            ["reason"], Counter::default, reasons(Kind::Dropped)
        ),
            "always_online_drops",
            "Connections closed by the server that may come back, by reason.";
        refusals: Family<Counter, 1> = Family::new(
            ["reason"], Counter::default, reasons(Kind::Refused)
        ),
            "always_online_refusals",
            "Connections closed by the server that should stay away, by reason.";
        received: Striped = Striped::default(),
            "always_online_received_bytes",
            "Bytes read from connections of all listeners; under TLS those within it.";
        sent: Striped = Striped::default(),
            "always_online_sent_bytes",
            "Bytes written to connections of all listeners; under TLS those within it.";
        queued: Gauge = Gauge::default(),
            "always_online_send_queue_bytes",
            "Bytes that wait for clients on WebSockets which read slower than they are sent to.";
        unfetched: Gauge = Gauge::default(),
            "always_online_poll_queue_bytes", "Bytes that clients which poll have yet to fetch.";
        accept_failures: Counter = Counter::default(),
            "always_online_accept_failures",
            "Connections that could not be accepted, for want of open files above all.";
        refused_newcomers: Family<Counter, 1> = Family::new(
            ["reason"], Counter::default, each(LIMITS)
        ),
            "always_online_refused_newcomers",
            "Connections and requests beyond a limit, by which.";
        slowed: Counter = Counter::default(),
            "always_online_slowed",
            "Times that a client sent faster than it may, and was read later.";
        handshakes: Family<Counter, 1> = Family::new(
            ["outcome"], Counter::default, each(Handshake::WORDS)
        ),
            "always_online_tls_handshakes", "TLS handshakes, by how they ended.";
        handshake_seconds: Latency = Latency::new(
            &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]
        ),
            "always_online_tls_handshake_seconds",
            "How long TLS handshakes took that succeeded, with the client's part of it.";
        certificates: Family<Gauge, 1> = Family::open(
            ["file"], Gauge::default, "a file of the configuration"
        ),
            "always_online_tls_certificate_expiry_timestamp_seconds",
            "When a certificate that is in use expires, Unix time.";
    }
}

impl Connections {
    /// The clients that are carried so.
    pub fn carried(&self, carriage: Carriage) -> &Gauge {
        self.clients.at(carriage as usize)
    }

    /// A TLS handshake has ended.
    pub fn shook_hands(&self, how: Handshake) {
        self.handshakes.at(how as usize).inc();
    }

    /// The certificate in this file expires then, Unix seconds.
    pub fn certificate(&self, file: &str, expires: u64) {
        self.certificates.with([file], |gauge| gauge.set_count(expires));
    }
}
