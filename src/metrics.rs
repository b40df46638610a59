//! Counters for operators, in the text format of Prometheus. No uid or room id is ever a label.
use std::sync::LazyLock;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::reason::{Label, Reason};

mod api;
mod hooks;
pub use api::Api;
pub use hooks::Hooks;

pub mod webhooks;

/// Why, in a word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Storage {
    storage: &'static str,
}

/// By what a user signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// A JSON Web Token.
    Jwt,
    /// A plain token.
    Token,
    /// Nothing: tokens are not checked.
    Unchecked,
}

/// A kind of sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// A task that must live as long as the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Task {
    task: &'static str,
}

/// Counters of what a process has only one of, whatever runs in it: its log and its panics.
#[derive(Default)]
pub struct Process {
    /// Lines of the log that could not be written.
    pub log_lines_lost: Counter,
    /// Panics, whatever they cost.
    pub panics: Counter,
}

/// Those of this process.
pub fn process() -> &'static Process {
    static PROCESS: LazyLock<Process> = LazyLock::new(Process::default);
    &PROCESS
}

/// All of them.
pub struct Metrics {
    registry: Registry,
    /// Connections that are open now.
    pub connections: Gauge,
    /// Connections since the start.
    pub connections_opened: Counter,
    messages: Family<Storage, Counter>,
    drops: Family<Why, Counter>,
    refusals: Family<Why, Counter>,
    refused_messages: Family<Why, Counter>,
    /// Messages per batch.
    pub batches: Histogram,
    /// Store calls that failed.
    pub store_failures: Counter,
    /// Pages of `sync`.
    pub pages: Counter,
    restarts: Family<Task, Counter>,
    /// Requests to the HTTP API.
    pub api: Api,
    sign_ins: Family<Kind, Counter>,
    refused_sign_ins: Family<Why, Counter>,
    /// Of webhooks.
    pub webhooks: webhooks::Webhooks,
    /// Hooks that are waited for.
    pub hooks: Hooks,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("always_online");
        let metrics = Metrics {
            connections: Gauge::default(),
            connections_opened: Counter::default(),
            messages: Family::default(),
            drops: Family::default(),
            refusals: Family::default(),
            refused_messages: Family::default(),
            batches: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0]),
            store_failures: Counter::default(),
            pages: Counter::default(),
            restarts: Family::default(),
            api: Api::register(&mut registry),
            sign_ins: Family::default(),
            refused_sign_ins: Family::default(),
            webhooks: webhooks::Webhooks::default(),
            hooks: Hooks::register(&mut registry),
            registry: Registry::default(),
        };
        registry.register("connections", "Connections open now", metrics.connections.clone());
        registry.register(
            "connections_opened",
            "Connections opened",
            metrics.connections_opened.clone(),
        );
        registry.register(
            "messages",
            "Messages published, by storage type",
            metrics.messages.clone(),
        );
        registry.register(
            "drops",
            "Connections closed by the server that may come back, by reason",
            metrics.drops.clone(),
        );
        registry.register(
            "refusals",
            "Connections closed by the server that should stay away, by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "refused_messages",
            "Messages that were neither stored nor delivered, by reason",
            metrics.refused_messages.clone(),
        );
        registry.register(
            "batch_messages",
            "Messages per batch of a room",
            metrics.batches.clone(),
        );
        registry.register(
            "store_failures",
            "Store calls that failed",
            metrics.store_failures.clone(),
        );
        registry.register("sync_pages", "Pages of sync answered", metrics.pages.clone());
        registry.register(
            "task_restarts",
            "Tasks that must live, panicked, and were started again, by task",
            metrics.restarts.clone(),
        );
        registry.register(
            "sign_ins",
            "Users that signed in, by the kind of their token",
            metrics.sign_ins.clone(),
        );
        registry.register(
            "refused_sign_ins",
            "Tokens that were not accepted, at a sign-in or a renewal, by reason",
            metrics.refused_sign_ins.clone(),
        );
        registry.register("panics", "Panics: defects of the server", process().panics.clone());
        registry.register(
            "log_lines_lost",
            "Lines of the log that could not be written",
            process().log_lines_lost.clone(),
        );
        metrics.webhooks.register(&mut registry);
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    /// A connection was dropped: it may come back.
    pub fn dropped(&self, reason: Reason) {
        self.drops.get_or_create(&Why { reason: reason.label() }).inc();
    }

    /// A connection was refused: it stays away.
    pub fn refused(&self, reason: Reason) {
        self.refusals.get_or_create(&Why { reason: reason.label() }).inc();
    }

    /// A task that must live has panicked.
    pub fn restarted(&self, task: &'static str) {
        self.restarts.get_or_create(&Task { task }).inc();
    }

    /// A user signed in.
    pub fn signed_in(&self, kind: SignIn) {
        let kind = match kind {
            SignIn::Jwt => "jwt",
            SignIn::Token => "token",
            SignIn::Unchecked => "unchecked",
        };
        self.sign_ins.get_or_create(&Kind { kind }).inc();
    }

    /// A token was not accepted.
    pub fn sign_in_refused(&self, reason: &'static str) {
        self.refused_sign_ins.get_or_create(&Why { reason }).inc();
    }

    /// A message was refused; its connection stays.
    pub fn message_refused(&self, why: impl Label) {
        self.refused_messages.get_or_create(&Why { reason: why.label() }).inc();
    }

    /// Counts messages that were published, by storage type.
    pub fn published(&self, inserts: u64, updates: u64, ignores: u64) {
        for (storage, count) in [("insert", inserts), ("update", updates), ("ignore", ignores)] {
            if count > 0 {
                self.messages.get_or_create(&Storage { storage }).inc_by(count);
            }
        }
    }

    /// The page for a scraper.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(), // writing into a String can't fail
        }
    }
}
