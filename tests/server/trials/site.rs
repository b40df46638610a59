//! Where a trial is: one server on its own files, or two nodes on a Redis and a MongoDB.
use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::cluster::readiness;
use support::{
    database::Scratch,
    http::{self, Answer},
    own_redis::OwnRedis,
    server::{Server, Setup},
    soon,
};

/// Between two questions to a store that has to be found again.
const STEP: Duration = Duration::from_millis(20);

/// Which stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Files,
    Redis,
}

/// What was started.
pub struct Site {
    /// One, or two that are one server.
    pub nodes: Vec<Server>,
    /// The nodes', where they have one. It is this trial's own.
    pub redis: Option<OwnRedis>,
    pub admin: Admin,
    /// Outlives the nodes.
    _accounts: Option<Scratch>,
}

impl Store {
    /// Starts it with these settings. Anybody may sign in, unless they say otherwise. A Redis keeps
    /// nothing when it ends.
    pub async fn start(self, settings: impl Fn(Setup) -> Setup) -> Site {
        match self {
            Store::Files => Site::on_files(settings).await,
            Store::Redis => Site::on(OwnRedis::forgetful(&[]).await, settings).await,
        }
    }

    /// As [`Store::start`], with a Redis that keeps what it has answered.
    pub async fn start_durable(self, settings: impl Fn(Setup) -> Setup) -> Site {
        match self {
            Store::Files => Site::on_files(settings).await,
            Store::Redis => Site::on(OwnRedis::durable().await, settings).await,
        }
    }
}

/// Lets in anybody, as often as they come.
fn open(setup: Setup) -> Setup {
    setup.env("AO_AUTH__IGNORE", "true").env("AO_AUTH__RATE_LIMIT", "off")
}

impl Site {
    async fn on_files(settings: impl Fn(Setup) -> Setup) -> Site {
        let server = settings(open(Setup::new())).start().await;
        let (uid, token) = server.admin();
        let admin = Admin::new(&uid, &token);
        Site { nodes: vec![server], redis: None, admin, _accounts: None }
    }

    async fn on(redis: OwnRedis, settings: impl Fn(Setup) -> Setup) -> Site {
        let accounts = Scratch::new();
        let setup = || {
            let setup = Setup::new().env("AO_STORE__MESSAGES", redis.url());
            let setup = setup.env("AO_STORE__TOKENS", &accounts.url);
            // Nodes are quick to take others for dead.
            settings(open(setup.env("AO_STORE__LEASE", "2s")))
        };
        let made = setup().args(["admin", "create", "ops"]).run().await;
        let admin = Admin::new("ops", made.succeeds().trim());
        let (a, b) = tokio::join!(setup().start(), setup().start());
        Site { nodes: vec![a, b], redis: Some(redis), admin, _accounts: Some(accounts) }
    }

    /// The first node.
    pub fn here(&self) -> &Server {
        &self.nodes[0]
    }

    /// The other node; on files the same.
    pub fn there(&self) -> &Server {
        self.nodes.last().expect("a node")
    }

    /// Where clients go.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Server::websocket).collect()
    }

    /// Kills a node, and starts it again.
    pub async fn strike(&mut self, node: usize) {
        self.nodes[node].kill_9().await;
        self.nodes[node].restart().await;
    }

    /// Waits until all nodes are ready.
    pub async fn settled(&self) {
        for node in &self.nodes {
            readiness(node, true).await;
        }
    }

    /// Of this text nothing is left: in no file, in no key.
    pub async fn holds_nothing_of(&self, text: &str) {
        let Some(redis) = &self.redis else {
            for file in std::fs::read_dir(self.here().setup().data()).unwrap() {
                let path = file.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                assert!(!has(&bytes, text), "{text} is in {}", path.display());
            }
            return;
        };
        // What is packed could not be looked into.
        redis.run::<()>("CONFIG SET rdbcompression no").await;
        for key in redis.run::<Vec<Vec<u8>>>("KEYS *").await {
            let name = String::from_utf8_lossy(&key).into_owned();
            let dump: Option<Vec<u8>> = redis.send(&["DUMP", &name]).await;
            assert!(!has(&dump.unwrap_or_default(), text), "{text} is in {name}");
        }
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// The first answer of a store that is there. 503 says that nothing was done; 504 that it is not
/// known, which is of no matter to who only reads.
async fn patiently(what: &str, reads: bool, ask: impl AsyncFn() -> Answer) -> Answer {
    let asking = async {
        loop {
            let answer = ask().await;
            if answer.status != 503 && !(reads && answer.status == 504) {
                return answer;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    soon(format!("an answer to {what}"), asking).await
}

/// An administrator, who uses the HTTP API.
#[derive(Clone)]
pub struct Admin {
    authorization: String,
}

/// A room's log.
pub struct Log {
    /// The index of the first message.
    pub start: u64,
    /// The index of the next one.
    pub end: u64,
    /// Messages with their indices.
    pub messages: Vec<(u64, Value)>,
}

impl Log {
    /// The messages alone.
    pub fn bodies(self) -> Vec<Value> {
        self.messages.into_iter().map(|(_, message)| message).collect()
    }
}

impl Admin {
    fn new(uid: &str, token: &str) -> Admin {
        Admin { authorization: format!("Basic {}", STANDARD.encode(format!("{uid}:{token}"))) }
    }

    /// What a method answers.
    pub async fn ask(&self, node: &Server, method: &str, body: &Value) -> Answer {
        self.say(node, method, &body.to_string()).await
    }

    /// What a method answers to a body that need not be JSON.
    pub async fn say(&self, node: &Server, method: &str, body: &str) -> Answer {
        let headers =
            [("content-type", "application/json"), ("authorization", &*self.authorization)];
        http::request(node.api(), "POST", &format!("/v1/{method}"), &headers, body).await
    }

    /// What a method answers, which has to work, though not at once: a store that was just started
    /// may have to be found again.
    pub async fn done(&self, node: &Server, method: &str, body: Value) -> Value {
        let reads = matches!(method, "history" | "members" | "users");
        let answer = patiently(method, reads, async || self.ask(node, method, &body).await).await;
        assert!(matches!(answer.status, 200 | 202), "{method} {body}: {answer:?}");
        answer.json()
    }

    /// GET, which has to work like [`Admin::done`].
    pub async fn get(&self, node: &Server, path: &str) -> Value {
        let headers = [("authorization", &*self.authorization)];
        let ask = async || http::request(node.api(), "GET", path, &headers, "").await;
        let answer = patiently(path, true, ask).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// A request that is sent although there may be no answer; nothing: there was none, or none of
    /// success.
    pub async fn try_ask(&self, api: SocketAddr, method: &str, body: &Value) -> Option<Value> {
        let body = body.to_string();
        let request = format!(
            "POST /v1/{method} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        );
        let answer = http::raw(api, request.as_bytes()).await.ok()?;
        if answer.status != 200 {
            return None;
        }
        serde_json::from_str(&answer.body).ok()
    }

    /// Stores messages of this user, whose texts are these.
    pub async fn write(&self, node: &Server, room: &str, uid: &str, texts: &[String]) {
        for texts in texts.chunks(1000) {
            let publish = |text: &String| {
                let message = json!({ "storage": 0, "text": text });
                json!({ "publish": { "roomId": room, "message": message, "uid": uid } })
            };
            let commands: Vec<Value> = texts.iter().map(publish).collect();
            let answer = self.done(node, "batch", json!({ "commands": commands })).await;
            for reply in answer["replies"].as_array().unwrap() {
                assert!(reply["result"].is_object(), "{reply}");
            }
        }
    }

    /// All of a room's log.
    pub async fn log(&self, node: &Server, room: &str) -> Log {
        let (mut messages, mut request) = (Vec::new(), json!({ "roomId": room, "limit": 1000 }));
        loop {
            let page = self.done(node, "history", request.clone()).await;
            for message in page["messages"].as_array().unwrap() {
                messages.push((message["index"].as_u64().unwrap(), message["data"].clone()));
            }
            match page.get("next") {
                Some(next) => request["since"] = next.clone(),
                None => {
                    let number = |field: &str| page[field].as_u64().unwrap();
                    return Log { start: number("start"), end: number("log"), messages };
                }
            }
        }
    }

    /// Who is in a room, sorted.
    pub async fn members(&self, node: &Server, room: &str) -> Vec<String> {
        let page = self.done(node, "members", json!({ "roomId": room, "limit": 1000 })).await;
        let users = page["users"].as_array().unwrap().iter();
        let mut uids: Vec<_> = users.map(|u| u["uid"].as_str().unwrap().to_owned()).collect();
        uids.sort();
        uids
    }
}
