//! Counters for operators, in the text format of Prometheus. No uid or room id is ever a label.
//!
//! Each metric is declared once, in a `group!` of one of the files here: what it is, its name, its
//! labels and its help. The page of a scraper is made of that, and docs/METRICS.md.
//!
//! They are made to cost nothing: whoever counts adds to an atomic number, once for a batch or a
//! burst where that is possible. No connection has one of its own.
mod api;
mod chat_service;
mod connections;
mod family;
mod hooks;
mod messages;
mod node;
mod process;
#[cfg(test)]
mod reference;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod tinode;
mod value;
pub mod webhooks;
pub mod words;

pub use self::{
    api::Api,
    chat_service::ChatService,
    connections::{Connections, LIMITS},
    family::Family,
    hooks::Hooks,
    messages::Messages,
    node::{Node, SignIns},
    process::{Figures, Process, System, memory_limit},
    store::Store,
    tinode::Tinode,
    value::{Counter, Figure, Gauge, Latency, Sizes, Striped},
    webhooks::Webhooks,
    words::{Beat, Cache, Call, Carriage, ChatEvent, Event, Handshake, Outcome, SignIn},
};
use self::{text::Group, words::STORAGES};
use crate::reason::{Label, Reason};

/// Counters of what a process has only one of, whatever runs in it.
pub fn process() -> &'static Process {
    process::counted()
}

/// All of a server.
#[derive(Default)]
pub struct Metrics {
    /// Connections, what carries them, and their ends.
    pub connections: Connections,
    /// Messages and other events.
    pub messages: Messages,
    /// Calls of stores.
    pub store: Store,
    /// Users that sign in.
    pub sign_ins: SignIns,
    /// Requests to the HTTP API.
    pub api: Api,
    /// Hooks that are waited for.
    pub hooks: Hooks,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// The dialect chat-service.
    pub chat_service: ChatService,
    /// The dialect tinode.
    pub tinode: Tinode,
    /// The node.
    pub node: Node,
    /// What the operating system says.
    system: System,
}

impl Metrics {
    fn groups(&self) -> [&dyn Group; 11] {
        [
            &self.connections,
            &self.messages,
            &self.store,
            &self.sign_ins,
            &self.api,
            &self.hooks,
            &self.webhooks,
            &self.chat_service,
            &self.tinode,
            &self.node,
            &self.system,
        ]
    }

    /// The page for a scraper. It asks the operating system for what it says of the process.
    pub fn text(&self) -> String {
        self.system.look();
        text::page(self.groups())
    }
}

/// What happens.
impl Metrics {
    /// A connection was dropped: it may come back.
    pub fn dropped(&self, reason: Reason) {
        self.connections.drops.with([reason.label()], Counter::inc);
    }

    /// A connection was refused: it stays away.
    pub fn refused(&self, reason: Reason) {
        self.connections.refusals.with([reason.label()], Counter::inc);
    }

    /// Somebody was not let in.
    pub fn newcomer_refused(&self, why: impl Label) {
        self.connections.refused_newcomers.with([why.label()], Counter::inc);
    }

    /// A client sends faster than it may.
    pub fn slowed(&self) {
        self.connections.slowed.inc();
    }

    /// A task that must live has panicked.
    pub fn restarted(&self, task: &'static str) {
        self.node.restarts.with([task], Counter::inc);
    }

    /// A user signed in.
    pub fn signed_in(&self, kind: SignIn) {
        self.sign_ins.done.at(kind as usize).inc();
    }

    /// A token was not accepted.
    pub fn sign_in_refused(&self, reason: &'static str) {
        self.sign_ins.refused.with([reason], Counter::inc);
    }

    /// A message was refused; its connection stays.
    pub fn message_refused(&self, why: impl Label) {
        self.messages.refused.with([why.label()], Counter::inc);
    }

    /// A join was refused, as a limit says; its connection stays.
    pub fn join_refused(&self, why: impl Label) {
        self.messages.refused_joins.with([why.label()], Counter::inc);
    }

    /// Counts messages that were published, by storage type.
    pub fn published(&self, inserts: u64, updates: u64, ignores: u64) {
        for (place, count) in [inserts, updates, ignores].into_iter().enumerate() {
            if count > 0 {
                self.messages.published.at(place).inc_by(count);
            }
        }
    }
}

/// Totals since the start.
impl Metrics {
    /// Messages that were published.
    pub fn messages_total(&self) -> u64 {
        (0..STORAGES.len()).map(|place| self.messages.published.at(place).get()).sum()
    }

    /// Messages, and news of rooms, that were handed to members here.
    pub fn deliveries_total(&self) -> u64 {
        self.messages.deliveries.get()
    }

    /// How many batches were timed from a message's arrival to its last delivery here, and how long
    /// that took for all of them together, seconds.
    pub fn delivery_latency(&self) -> (u64, f64) {
        self.messages.delivery.total()
    }

    /// Bytes that were read from connections.
    pub fn bytes_in(&self) -> u64 {
        self.connections.received.get()
    }

    /// Bytes that were written to connections.
    pub fn bytes_out(&self) -> u64 {
        self.connections.sent.get()
    }

    /// Connections that are open now.
    pub fn connections_open(&self) -> u64 {
        u64::try_from(self.connections.open.get()).unwrap_or_default()
    }
}
