//! What is counted of messages, on their way from an event to the members of a room, and of the
//! pages by which clients catch up.
use super::{
    family::{Family, each, pairs},
    text::group,
    value::{Counter, Gauge, Latency, Sizes},
    words::{Cache, Event, JOIN_REFUSALS, LOOKUPS, MESSAGE_REFUSALS, Outcome, STORAGES},
};

group! {
    /// Messages, and other events of clients.
    "Messages" Messages {
        events: Family<Counter, 2> = Family::new(
            ["event", "outcome"], Counter::default, pairs(Event::WORDS, Outcome::WORDS)
        ),
            "always_online_events",
            "Events that clients sent, by what they are and what became of them.";
        published: Family<Counter, 1> = Family::new(["storage"], Counter::default, each(STORAGES)),
            "always_online_messages", "Messages published, by storage type.";
        refused: Family<Counter, 1> = Family::new(
            ["reason"], Counter::default, each(MESSAGE_REFUSALS)
        ),
            "always_online_refused_messages",
            "Messages that were neither stored nor delivered, by reason.";
        refused_joins: Family<Counter, 1> = Family::new(
            ["reason"], Counter::default, each(JOIN_REFUSALS)
        ),
            "always_online_refused_joins",
            "Joins of connections beyond a limit, by which.";
        batches: Sizes = Sizes::new(&[1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0]),
            "always_online_batch_messages", "Messages per batch of a room.";
        deliveries: Counter = Counter::default(),
            "always_online_deliveries",
            "Messages, and news of who comes and goes, that were handed to members of rooms on \
             this node: one for each of them.";
        fanout: Sizes = Sizes::new(
            &[1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 20000.0]
        ),
            "always_online_fanout_members", "Members on this node that a batch was handed to.";
        delivery: Latency = Latency::new(
            &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
        ),
            "always_online_delivery_seconds",
            "Time from a message's arrival until it was stored and handed to the last member on \
             this node; of the oldest of a batch.";
        pending: Gauge = Gauge::default(),
            "always_online_pending_messages",
            "Messages, joins and departures that wait for their turn in rooms of this node.";
        pending_bytes: Gauge = Gauge::default(),
            "always_online_pending_message_bytes",
            "Bytes of messages that wait for their turn in rooms of this node: many while the \
             store is out.";
        pages: Counter = Counter::default(),
            "always_online_sync_pages", "Pages of sync answered.";
        page_seconds: Latency = Latency::new(
            &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]
        ),
            "always_online_page_seconds", "How long it took to put a page of sync together.";
        caches: Family<Counter, 2> = Family::new(
            ["cache", "outcome"], Counter::default, pairs(Cache::WORDS, LOOKUPS)
        ),
            "always_online_cache_lookups",
            "Look-ups of what may be kept, by whether it was. Of pages only full ones are.";
    }
}

impl Messages {
    /// So many events ended like this.
    pub fn handled(&self, event: Event, outcome: Outcome, count: usize) {
        if count > 0 {
            let place = event as usize * Outcome::WORDS.len() + outcome as usize;
            self.events.at(place).inc_by(count as u64);
        }
    }

    /// A burst was handed to so many members, and `deliveries` of its parts to all of them together.
    pub fn fanned_out(&self, members: usize, deliveries: usize) {
        if members > 0 {
            self.fanout.observe(members);
            self.deliveries.inc_by(deliveries as u64);
        }
    }

    /// Something was looked for where it may be kept.
    pub fn looked_up(&self, cache: Cache, hit: bool) {
        self.caches.at(cache as usize * LOOKUPS.len() + usize::from(!hit)).inc();
    }
}
