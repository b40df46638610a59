//! The central promise: what was acknowledged survives kill -9.
//!
//! Rounds on one data folder: senders in several rooms keep a window of inserts and updates in
//! flight, the server is killed at a random moment, starts again, and `sync` is walked from the
//! beginning. For each sender there has to be a message p, sent at or behind its last acknowledged
//! one, such that the store holds what it sent up to p and nothing of what it sent later: every
//! insert once and in order, and of each updated id the last value. That is more than the promise
//! (what was not acknowledged has no holes either), and it leaves no stored entry without an
//! explanation.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    client::{Client, Packet},
    server::Setup,
    soon,
    stored::Stored,
    within,
};
use tokio::sync::watch;

const ROOMS: [&str; 3] = ["harbour", "крыша", "room 7/\"b\""];
const SENDERS_PER_ROOM: usize = 2;
/// Messages that a sender has under way.
const WINDOW: usize = 48;
/// Ids that a sender updates again and again.
const UPDATED: u64 = 6;
/// Acknowledgements before the kill: at least the first, less than both together.
const ACKS: (u64, u64) = (1000, 600);
/// As long as it may take to get them.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_messages_survive_twenty_kills() {
    rounds(20, "process").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_fsync_per_commit_they_survive_too() {
    rounds(4, "power").await;
}

async fn rounds(count: u32, durability: &str) {
    let seed = getrandom::u64().unwrap();
    println!("seed {seed:#x}"); // shown when the test fails
    let mut chance = Chance(seed);
    let mut server = Setup::new().env("AO_STORE__DURABILITY", durability).start().await;
    let mut rooms: Vec<Room> = ROOMS.iter().map(|name| Room::new(name)).collect();

    for round in 1..=count {
        let acks = watch::Sender::new(0);
        let mut running = Vec::new();
        for sender in rooms.iter_mut().flat_map(|room| room.senders.drain(..)) {
            let client = server.member(&sender.uid, sender.room).await;
            running.push(tokio::spawn(sender.run(client, acks.clone(), Chance(chance.next()))));
        }
        let enough = ACKS.0 + chance.below(ACKS.1);
        within(
            PATIENCE,
            format!("{enough} acknowledgements"),
            acks.subscribe().wait_for(|n| *n >= enough),
        )
        .await
        .unwrap();
        // Nothing is waited for here: the moment of the kill is to be any.
        tokio::time::sleep(Duration::from_micros(chance.below(20_000))).await;
        server.kill_9().await;
        for sender in running {
            let sender = soon("a sender's end", sender).await.unwrap();
            rooms.iter_mut().find(|room| room.name == sender.room).unwrap().senders.push(sender);
        }
        println!("round {round}: killed after {} acknowledgements", *acks.borrow());

        server.restart().await;
        for room in &mut rooms {
            let mut reader = server.member(&format!("reader of {}", room.name), room.name).await;
            let stored = Stored::walk(&mut reader, round % 2 == 0).await;
            room.check(stored);
        }
    }
}

/// A room, and what it holds as far as the rounds so far have shown.
struct Room {
    name: &'static str,
    senders: Vec<Sender>,
    log: Vec<Value>,
}

impl Room {
    fn new(name: &'static str) -> Room {
        let sender = |i| Sender {
            uid: format!("sender {i} of {name}"),
            room: name,
            number: 0,
            sent: Vec::new(),
            acked: 0,
            seen: HashMap::new(),
        };
        Room { name, senders: (0..SENDERS_PER_ROOM).map(sender).collect(), log: Vec::new() }
    }

    /// Compares the store with what was sent, and learns which of the messages in flight made it.
    fn check(&mut self, stored: Stored) {
        let (before, now) = (self.log.len(), stored.inserts.len());
        assert!(before <= now, "{}: {before} inserts have become {now}", self.name);
        assert!(
            self.log == stored.inserts[..before],
            "{}: indexes of earlier rounds have changed",
            self.name
        );

        let mut known = 0;
        for sender in &mut self.senders {
            let of_sender = |all: &[Value]| {
                all.iter().filter(|m| m["2"] == *sender.uid).cloned().collect::<Vec<_>>()
            };
            let (inserts, updates) = (of_sender(&stored.inserts), of_sender(&stored.updates));
            known += inserts.len() + updates.len();
            sender.check(&inserts, &updates);
        }
        assert_eq!(
            known,
            now + stored.updates.len(),
            "{}: stored, but sent by nobody here",
            self.name
        );

        // What a member was shown is stored: broadcasts come after the commit.
        for sender in &self.senders {
            for (uid, number) in &sender.seen {
                let other = self.senders.iter().find(|s| s.uid == *uid).unwrap();
                assert!(
                    *number <= other.number_stored(),
                    "{}: message {number} of {uid} was shown to {} and lost",
                    self.name,
                    sender.uid
                );
            }
        }
        self.log = stored.inserts;
    }
}

/// A client that comes back in each round. Its messages are numbered through all of them.
struct Sender {
    uid: String,
    room: &'static str,
    number: u64,
    /// What it sent, as it should be stored; without what is known to be lost.
    sent: Vec<Value>,
    /// Number of the last acknowledged message.
    acked: u64,
    /// Number of the last message that it saw, by sender.
    seen: HashMap<String, u64>,
}

fn number(message: &Value) -> u64 {
    message["number"].as_u64().expect("a numbered message")
}

impl Sender {
    /// Sends until the server is gone.
    async fn run(
        mut self,
        mut client: Client,
        acks: watch::Sender<u64>,
        mut chance: Chance,
    ) -> Sender {
        let mut window = VecDeque::new();
        loop {
            while window.len() < WINDOW {
                let message = self.message(&mut chance);
                window.push_back((self.number, client.sender().request("msg", &message)));
            }
            let (number, ack) = window.pop_front().unwrap();
            let Ok(ack) = ack.await else { break };
            self.acknowledged(number, &ack);
            acks.send_modify(|n| *n += 1);
        }
        for (number, ack) in window {
            // The connection's end has settled all of them.
            if let Ok(ack) = ack.await {
                self.acknowledged(number, &ack);
            }
        }
        for packet in client.rest().await {
            if let Packet::Event(name, message) = packet
                && name == "msg"
            {
                let (uid, number) = (message["2"].as_str().unwrap().to_owned(), number(&message));
                let last = self.seen.insert(uid, number);
                assert!(last < Some(number), "{number} was shown after {last:?}");
            }
        }
        self
    }

    /// The next message: two of three are inserts; some are long.
    fn message(&mut self, chance: &mut Chance) -> Value {
        self.number += 1;
        let length = if chance.below(50) == 0 { 3000 } else { chance.below(60) };
        let text = "né\"".repeat(length as usize / 3);
        let (storage, id) = match chance.below(3) {
            0 => (1, json!(format!("{}/{}", self.uid, chance.below(UPDATED)))),
            _ => (0, json!(self.number)),
        };
        let message = json!({ "s": storage, "1": id, "number": self.number, "text": text });
        let mut stored = message.clone();
        stored["2"] = json!(self.uid);
        self.sent.push(stored);
        message
    }

    fn acknowledged(&mut self, number: u64, ack: &Value) {
        assert_eq!(
            *ack,
            json!({ "status": 0, "data": "msg success" }),
            "message {number} of {}",
            self.uid
        );
        self.acked = self.acked.max(number);
    }

    /// Number of the last message that is stored.
    fn number_stored(&self) -> u64 {
        self.sent.last().map_or(0, number)
    }

    /// Forgets what is lost, which has to be what was sent last; the rest has to be what is stored.
    fn check(&mut self, inserts: &[Value], updates: &[Value]) {
        let last = inserts.iter().chain(updates).map(number).max().unwrap_or(0);
        assert!(
            self.acked <= last,
            "{}: {} was acknowledged and is lost; the last stored is {last}",
            self.uid,
            self.acked
        );
        self.sent.retain(|m| number(m) <= last);

        let sent: Vec<&Value> = self.sent.iter().filter(|m| m["s"] == 0).collect();
        if let Some((expected, stored)) =
            sent.iter().zip(inserts).find(|(expected, stored)| **expected != *stored)
        {
            panic!(
                "{}: insert {} is followed in the log by {stored}",
                self.uid,
                number(expected).saturating_sub(1)
            );
        }
        assert_eq!(inserts.len(), sent.len(), "{}: number of stored inserts", self.uid);

        let mut values: BTreeMap<&str, &Value> = BTreeMap::new();
        for message in self.sent.iter().filter(|m| m["s"] == 1) {
            values.insert(message["1"].as_str().unwrap(), message);
        }
        // In the order of their last writing.
        let mut expected: Vec<&Value> = values.into_values().collect();
        expected.sort_by_key(|m| number(m));
        assert_eq!(updates.iter().collect::<Vec<_>>(), expected, "{}: stored updates", self.uid);
    }
}

/// Random numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
/// Number Generators, 2014).
pub struct Chance(pub u64);

impl Chance {
    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below this bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
