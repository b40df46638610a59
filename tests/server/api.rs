//! The HTTP API v1: what a business server asks, on one node and on several, and above all what it
//! does wrong.
mod admins;
mod dialect;
mod frame;
mod history;
mod keys;
mod kills;
mod outages;
mod publish;
mod rooms;
mod stat;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use support::{
    client::Client,
    database::Scratch,
    http::{self, Answer},
    server::{Server, Setup},
};

/// A server, with an administrator's credentials as a header.
struct Node {
    server: Server,
    authorization: String,
}

impl std::ops::Deref for Node {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

fn basic(uid: &str, token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{uid}:{token}")))
}

impl Node {
    /// On an embedded store, whose first start makes an administrator.
    async fn embedded(setup: Setup) -> Node {
        let server = setup.start().await;
        let (uid, token) = server.admin();
        Node { authorization: basic(&uid, &token), server }
    }

    async fn start() -> Node {
        Self::embedded(Setup::new()).await
    }

    /// A request to a method, with more headers than it needs.
    async fn ask_with(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all =
            vec![("content-type", "application/json"), ("authorization", &*self.authorization)];
        all.extend(headers);
        http::request(self.api(), "POST", &format!("/v1/{method}"), &all, body).await
    }

    /// A request to a method with an `Idempotency-Key`.
    async fn keyed(&self, key: &str, method: &str, body: &Value) -> Answer {
        self.ask_with(method, &[("idempotency-key", key)], &body.to_string()).await
    }

    /// A request to a method.
    async fn ask(&self, method: &str, body: &Value) -> Answer {
        self.ask_with(method, &[], &body.to_string()).await
    }

    /// What a method answers, which has to work.
    async fn done(&self, method: &str, body: Value) -> Value {
        done(&self.ask(method, &body).await)
    }

    /// A client that has a token by this API, has signed in and joined.
    async fn newcomer(&self, uid: &str, room: &str) -> Client {
        let token = self.done("token/create", json!({ "uid": uid })).await["token"].take();
        let mut client = self.guest().await;
        client.sign_in(uid, token.as_str().expect("a token")).await;
        client.join(room).await;
        client
    }
}

/// What a method answers.
#[track_caller]
fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    answer.json()
}

/// The word of a problem, which has to be as RFC 9457 has it.
#[track_caller]
fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["status"], answer.status, "{answer:?}");
    for field in ["title", "detail", "instance"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
    }
    let word = body["type"].as_str().and_then(|kind| kind.strip_prefix("/v1/docs#"));
    (answer.status, word.expect("a type").to_owned())
}

/// The pointers to what is wrong with a request.
#[track_caller]
fn pointers(answer: &Answer) -> Vec<String> {
    assert_eq!(problem(answer), (400, "invalid-request".into()), "{answer:?}");
    let errors = answer.json()["errors"].as_array().expect("errors").clone();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

/// Runs a test on an embedded store, where both nodes are one, and on two nodes with one Redis and
/// one MongoDB. Others use that Redis too: each test has rooms of its own.
async fn everywhere(test: impl AsyncFn([&Node; 2], &str)) {
    let embedded = Node::start().await;
    test([&embedded, &embedded], "embedded").await;
    let scratch = Scratch::new();
    let [a, b] = two(&scratch).await;
    test([&a, &b], "redis").await;
}

/// Two nodes that are one server.
async fn two(scratch: &Scratch) -> [Node; 2] {
    let redis = std::env::var("REDIS_URL").expect("REDIS_URL names no Redis: run scripts/test");
    let setup = || {
        let setup = Setup::new().env("AO_STORE__MESSAGES", &redis);
        setup.env("AO_STORE__TOKENS", &scratch.url)
    };
    let made = setup().args(["admin", "create", "ops"]).run().await;
    let authorization = basic("ops", made.succeeds().trim());
    let (a, b) = tokio::join!(setup().start(), setup().start());
    [a, b].map(|server| Node { server, authorization: authorization.clone() })
}

/// A name that no other test has.
fn unique(what: &str) -> String {
    format!("{what} {:x}", getrandom::u64().unwrap())
}

/// Where the log of a room begins that has none yet. On a Redis that others use too it is not 0, and
/// grows with what they do until something is sent here.
async fn beginning(node: &Node, room: &str) -> u64 {
    let fleeting = json!({ "storage": 2, "text": "only delivered" });
    node.done("publish", json!({ "roomId": room, "message": fleeting })).await;
    node.done("history", json!({ "roomId": room })).await["log"].as_u64().expect("an index")
}

fn insert(text: &str) -> Value {
    json!({ "storage": 0, "text": text })
}
