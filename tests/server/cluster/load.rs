//! Traffic over several nodes and rooms while something goes wrong: senders that want an
//! acknowledgement for everything, and watchers, which only look on. All of them come back when
//! their connection ends.
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use super::nodes::{come, eventually};
use support::{
    client::{Client, Packet},
    server::Server,
    soon,
};

pub const ROOMS: [&str; 2] = ["harbour", "крыша 7/\"b\""];
const SENDERS: usize = 2;
/// Messages that a sender has under way.
const WINDOW: usize = 16;
/// A message of a sender per this time, so that logs stay short enough to be read.
const PACE: Duration = Duration::from_millis(4);
/// Ids that a sender updates again and again.
const UPDATED: u64 = 6;

/// What a sender was told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    Unavailable,
    Unknown,
    /// Nothing: the connection ended first.
    Untold,
}

/// The message as it should be stored, and what became of it.
pub struct Sent {
    pub message: Value,
    pub outcome: Outcome,
}

pub struct Sender {
    pub uid: String,
    pub room: &'static str,
    pub sent: Vec<Sent>,
}

/// What a watcher was told in one connection.
#[derive(Default)]
pub struct Seen {
    /// In the order of their coming.
    pub messages: Vec<Value>,
    pub joined: Vec<String>,
    pub gone: Vec<String>,
}

pub struct Watcher {
    pub uid: String,
    pub room: &'static str,
    /// One per connection.
    pub seen: Vec<Seen>,
}

/// The traffic.
pub struct Load {
    senders: Vec<JoinHandle<(Sender, Client)>>,
    watchers: Vec<JoinHandle<Watcher>>,
    stop: watch::Sender<bool>,
    stored: watch::Sender<u64>,
    /// Where each room's end is told.
    address: SocketAddr,
}

/// What is left of it.
pub struct Traffic {
    pub senders: Vec<Sender>,
    pub watchers: Vec<Watcher>,
}

/// Number of a message among those of its sender.
pub fn number(message: &Value) -> u64 {
    message["number"].as_u64().expect("a numbered message")
}

/// Who says that a room's messages have come to their end.
pub fn last_of(room: &str) -> String {
    format!("last of {room}")
}

impl Load {
    /// A watcher and two senders in each room on each node. Everybody is there before the first
    /// message.
    pub async fn begin(nodes: &[Server]) -> Load {
        let (stop, stored) = (watch::Sender::new(false), watch::Sender::new(0));
        let (mut watchers, mut waiting) = (Vec::new(), Vec::new());
        for (index, node) in nodes.iter().enumerate() {
            for room in ROOMS {
                let address = node.websocket();
                let uid = format!("watcher {index} of {room}");
                let client = come(address, &uid, room).await;
                watchers.push(tokio::spawn(
                    Watcher { uid, room, seen: Vec::new() }.run(client, address),
                ));
                for i in 0..SENDERS {
                    let uid = format!("sender {index}.{i} of {room}");
                    waiting.push((
                        come(address, &uid, room).await,
                        address,
                        Sender { uid, room, sent: Vec::new() },
                    ));
                }
            }
        }
        let run = |(client, address, sender): (_, _, Sender)| {
            tokio::spawn(sender.run(client, address, stop.subscribe(), stored.clone()))
        };
        let senders = waiting.into_iter().map(run).collect();
        Load { senders, watchers, stop, stored, address: nodes[0].websocket() }
    }

    /// Waits for so many more acknowledgements.
    pub async fn goes_on(&self, count: u64) {
        let enough = *self.stored.borrow() + count;
        soon(
            format!("{count} acknowledgements"),
            self.stored.subscribe().wait_for(|n| *n >= enough),
        )
        .await
        .unwrap();
    }

    /// Lets the senders finish, and the watchers see the end.
    pub async fn end(self) -> Traffic {
        self.stop.send_replace(true);
        let mut traffic = Traffic { senders: Vec::new(), watchers: Vec::new() };
        let mut here = Vec::new(); // nobody goes before the end
        for sender in self.senders {
            let (sender, client) = soon("a sender's end", sender).await.unwrap();
            traffic.senders.push(sender);
            here.push(client);
        }
        // Told again and again: who comes back at this moment has to hear it too.
        for room in ROOMS {
            let (client, uid) = (come(self.address, &last_of(room), room).await, last_of(room));
            let mut last = Sender { uid, room, sent: Vec::new() };
            let told = AtomicBool::new(false);
            let telling = async {
                while !told.load(Relaxed) {
                    let message = last.message(0);
                    client.send(&message).await;
                    last.sent.last_mut().unwrap().outcome = Outcome::Stored;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            };
            let hearing = async {
                let all = || self.watchers.iter().all(JoinHandle::is_finished);
                // The watchers of the other room are still to be told, so at first only half of
                // them end.
                let half = || {
                    self.watchers.iter().filter(|w| w.is_finished()).count()
                        >= self.watchers.len() / ROOMS.len()
                };
                let done = || if room == ROOMS[0] { half() } else { all() };
                eventually("the watchers' end", async || done()).await;
                told.store(true, Relaxed);
            };
            tokio::join!(telling, hearing);
            traffic.senders.push(last);
            here.push(client);
        }
        for watcher in self.watchers {
            traffic.watchers.push(watcher.await.unwrap());
        }
        traffic
    }
}

impl Sender {
    async fn run(
        mut self,
        client: Client,
        address: SocketAddr,
        stop: watch::Receiver<bool>,
        stored: watch::Sender<u64>,
    ) -> (Sender, Client) {
        let mut client = Some(client);
        loop {
            let here = match client.take() {
                Some(client) => client,
                None => come(address, &self.uid, self.room).await,
            };
            if self.send(&here, &stop, &stored).await {
                return (self, here);
            }
        }
    }

    /// Until it is to stop, which is true, or the connection ends.
    async fn send(
        &mut self,
        client: &Client,
        stop: &watch::Receiver<bool>,
        stored: &watch::Sender<u64>,
    ) -> bool {
        let (mut window, mut connected) = (VecDeque::new(), true);
        loop {
            while connected && !*stop.borrow() && window.len() < WINDOW {
                let storage = u64::from(self.sent.len() % 3 == 2);
                let message = self.message(storage);
                window.push_back((self.sent.len() - 1, client.sender().request("msg", &message)));
                tokio::time::sleep(PACE).await;
            }
            let Some((index, ack)) = window.pop_front() else { return connected };
            match ack.await {
                Ok(ack) => {
                    self.sent[index].outcome = outcome(&ack);
                    stored.send_modify(|n| {
                        *n += u64::from(self.sent[index].outcome == Outcome::Stored)
                    });
                }
                Err(_) => connected = false, // the rest of the window is settled as well
            }
        }
    }

    /// The next message.
    fn message(&mut self, storage: u64) -> Value {
        let number = self.sent.len() as u64;
        let id = if storage == 1 {
            json!(format!("{}/{}", self.uid, number % UPDATED))
        } else {
            json!(number)
        };
        let text = "né\"".repeat(number as usize % 40);
        let message = json!({ "s": storage, "1": id, "number": number, "text": text });
        let mut as_stored = message.clone();
        as_stored["2"] = json!(self.uid);
        self.sent.push(Sent { message: as_stored, outcome: Outcome::Untold });
        message
    }
}

fn outcome(ack: &Value) -> Outcome {
    match (ack["status"].as_u64(), ack["data"].as_str()) {
        (Some(0), Some("msg success")) => Outcome::Stored,
        (Some(1), Some("store unavailable")) => Outcome::Unavailable,
        (Some(1), Some("outcome unknown")) => Outcome::Unknown,
        _ => panic!("no acknowledgement: {ack}"),
    }
}

impl Watcher {
    /// Until the room's end is told.
    async fn run(mut self, client: Client, address: SocketAddr) -> Watcher {
        let mut client = Some(client);
        loop {
            let mut here = match client.take() {
                Some(client) => client,
                None => come(address, &self.uid, self.room).await,
            };
            let mut seen = Seen::default();
            let ended = loop {
                match here.next().await {
                    Packet::Event(name, message) if name == "msg" => {
                        let last = message["2"] == *last_of(self.room);
                        seen.messages.push(message);
                        if last {
                            break true;
                        }
                    }
                    Packet::Event(name, about) => {
                        let uid = about["uid"]
                            .as_str()
                            .unwrap_or_else(|| panic!("{name} {about}"))
                            .to_owned();
                        match name.as_str() {
                            "remote_join" => seen.joined.push(uid),
                            "remote_leave" | "remote_disconnect" => seen.gone.push(uid),
                            _ => panic!("{name} was told to {}", self.uid),
                        }
                    }
                    Packet::Closed => break false,
                    other => panic!("{}: {other:?}", self.uid),
                }
            };
            self.seen.push(seen);
            if ended {
                return self;
            }
        }
    }
}
