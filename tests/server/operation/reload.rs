//! A configuration that is read again while clients are there, and clients that are sent elsewhere.
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures_util::{SinkExt, StreamExt};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use support::{
    client::{Client, Packet},
    http::{self, Answer},
    receiver::{Receiver, Reply},
    server::{Server, Setup},
    soon,
};
use tokio_tungstenite::tungstenite::Message;

/// A server with a configuration file.
struct Configured {
    server: Server,
    file: PathBuf,
}

impl Configured {
    async fn start(text: &str) -> Configured {
        Self::with(Setup::new().env("AO_AUTH__IGNORE", "true"), text).await
    }

    async fn with(setup: Setup, text: &str) -> Configured {
        let file = setup.scratch().join("always-online.toml");
        fs::write(&file, text).unwrap();
        let flag = ["--config".to_owned(), file.to_str().unwrap().to_owned()];
        Configured { server: setup.args(flag).start().await, file }
    }

    /// The file has changed, and the server is told by a signal.
    async fn hang_up(&mut self, text: &str) {
        fs::write(&self.file, text).unwrap();
        self.server.signal("HUP");
    }

    async fn ask(&self, method: &str, body: &Value) -> Answer {
        let (uid, token) = self.server.admin();
        let credentials = format!("Basic {}", STANDARD.encode(format!("{uid}:{token}")));
        let headers =
            [("content-type", "application/json"), ("authorization", credentials.as_str())];
        http::request(
            self.server.api(),
            "POST",
            &format!("/v1/{method}"),
            &headers,
            &body.to_string(),
        )
        .await
    }

    /// The file has changed, and the server is told by its API.
    async fn reload(&self, text: &str) -> Answer {
        fs::write(&self.file, text).unwrap();
        self.ask("reload", &json!({})).await
    }
}

/// The first client where there is one place, which the connection by which the server was asked
/// whether it is ready may have for a moment still.
async fn first(server: &Server) -> Client {
    let connects = async {
        loop {
            match Client::try_connect(server.websocket()).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    soon("a place", connects).await
}

async fn origin(server: &Server, origin: &str) -> u16 {
    let path = "/socket.io/?EIO=4&transport=polling";
    http::request(server.websocket(), "GET", path, &[("origin", origin)], "").await.status
}

#[tokio::test]
async fn a_signal_has_limits_taken_in_and_nobody_notices() {
    let mut it = Configured::start("[limits]\nconnections = 1\n").await;
    let token = it.server.token("anna").await;
    let mut anna = first(&it.server).await;
    anna.sign_in("anna", &token).await;
    anna.join("attic").await;
    assert!(Client::try_connect(it.server.websocket()).await.is_err());
    it.hang_up("[limits]\nconnections = 2\n").await;
    it.server.logs("the configuration was read again").await;
    let _bert = it.server.guest().await;
    anna.send(&json!({ "storage": "insert", "1": "still here" })).await;
    assert_eq!(it.server.terminate().await, 0);
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let mut it = Configured::start("[limits]\nconnections = 1\n").await;
    let _anna = first(&it.server).await;
    for broken in
        ["[limits]\nconnections = \"many\"\n", "[limits]\nconnection = 5\n", "connections", ""]
    {
        // The last is no fault, but for the line behind it.
        let text = format!("{broken}\n[jwt]\nkeys = \"/nowhere/keys.pem\"\n");
        let answer = it.reload(&text).await;
        assert_eq!(answer.status, 409, "{}", answer.body);
        assert!(
            answer.json()["type"].as_str().unwrap().ends_with("#configuration-invalid"),
            "{}",
            answer.body
        );
    }
    it.hang_up("[limits]\nconnections = 0\n").await;
    it.server.logs("the configuration was not taken in").await;
    assert!(Client::try_connect(it.server.websocket()).await.is_err(), "the limit holds");
}

#[tokio::test]
async fn what_is_taken_in_and_what_waits_for_a_restart_is_said() {
    let it = Configured::start("").await;
    let text = "[websocket]\norigins = \"https://a.example\"\nping_interval = \"5s\"\n\
                [retention]\nrules = \"chat:*=1d\"\n[log]\nfilter = \"debug\"\n";
    // The environment says that tokens are ignored, so pages of this machine alone may connect.
    assert_eq!(origin(&it.server, "https://a.example").await, 403);
    let answer = it.reload(text).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.json(),
        json!({
            "changed": ["websocket.origins", "retention.rules", "log.filter"],
            "restart": ["websocket.ping_interval"],
        })
    );
    assert_eq!(origin(&it.server, "https://a.example").await, 200);
    assert_eq!(origin(&it.server, "https://b.example").await, 403);
    // What waits is said again, what is taken in is not.
    let again = it.reload(text).await.json();
    assert_eq!(again, json!({ "changed": [], "restart": ["websocket.ping_interval"] }));
    let stat = it.ask("stat", &json!({})).await;
    assert_eq!(stat.status, 405);
}

#[tokio::test]
async fn hooks_are_asked_from_the_reload_on() {
    let it = Configured::start("").await;
    let receiver = Receiver::start(|_| {
        Reply::Json(json!({ "error": { "code": 1, "message": "nobody today" } }))
    })
    .await;
    let anna = it.server.member("anna", "attic").await;
    let text = format!(
        "[hook]\nurl = \"{}\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
        receiver.url()
    );
    assert_eq!(it.reload(&text).await.status, 200);
    let mut bert = it.server.guest().await;
    bert.emit("authenticate", &json!({ "uid": "bert", "token": "any" }));
    assert_eq!(bert.event("authenticate").await["status"], 1);
    assert_eq!(receiver.requests().len(), 1);
    // Who was there before is asked about from now on.
    let refused = anna.emit_with_ack("msg", &json!({ "1": 1 })).await;
    assert_eq!(refused["status"], 1, "{refused}");
    assert_eq!(it.reload("").await.status, 200);
    assert_eq!(anna.emit_with_ack("msg", &json!({ "1": 1 })).await["status"], 0);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_keeps_everything_as_it_was() {
    let setup = Setup::new().env("AO_AUTH__IGNORE", "true").under_tls("websocket");
    let certificate = setup.certificate("websocket");
    let good = fs::read(&certificate).unwrap();
    let it = Configured::with(setup, "[limits]\nconnections = 10\n").await;
    let text = "[limits]\nconnections = 20\n";
    fs::write(&certificate, "half of a cert").unwrap();
    let answer = it.reload(text).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(answer.body.contains("holds no certificate"), "{}", answer.body);
    fs::write(&certificate, good).unwrap();
    let answer = it.reload(text).await;
    assert_eq!(answer.json()["changed"], json!(["limits.connections"]), "{}", answer.body);
    it.server.guest().await;
}

/// A key of a business server, and the set that has it.
fn key_and_set() -> (Ed25519KeyPair, Value) {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "EdDSA", "x": x });
    (key, json!({ "keys": [jwk] }))
}

fn signed(key: &Ed25519KeyPair, uid: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let now = crate::jwt::token::now();
    let claims = json!({ "sub": uid, "iat": now, "exp": now + 600 });
    let head = part(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "one" }));
    let message = format!("{head}.{}", part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[tokio::test]
async fn keys_that_were_fetched_outlive_a_reload_that_is_not_about_them() {
    let (key, set) = key_and_set();
    let down = Arc::new(AtomicBool::new(false));
    let is_down = down.clone();
    let keys = Receiver::start(move |_| match is_down.load(SeqCst) {
        true => Reply::text(500, "down"),
        false => Reply::Json(set.clone()),
    })
    .await;
    let text = format!("[jwt]\njwks_url = \"{}\"\n", keys.url());
    let it = Configured::with(Setup::new(), &text).await;
    let signs_in = async |uid: &str| {
        let mut client = it.server.guest().await;
        client.emit("authenticate", &json!({ "uid": uid, "token": signed(&key, uid) }));
        client.event("authenticate").await
    };
    keys.wait_for(1).await;
    assert_eq!(signs_in("anna").await["status"], 0);
    down.store(true, SeqCst);
    let answer = it.reload(&format!("{text}[limits]\nconnections = 100\n")).await;
    assert_eq!(answer.json()["changed"], json!(["limits.connections"]), "{}", answer.body);
    assert_eq!(signs_in("bert").await["status"], 0);
}

#[tokio::test]
async fn a_drained_server_sends_its_clients_away_and_goes_on() {
    let it = Configured::start("").await;
    let mut anna = it.server.member("anna", "attic").await;
    let answer = it.ask("drain", &json!({ "over": 0 })).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "connections": 1 })));
    let gone = anna.rest().await;
    assert_eq!(gone.last(), Some(&Packet::Closed), "{gone:?}");
    assert_eq!(http::get(it.server.websocket(), "/readyz").await.status, 503);
    assert_eq!(http::get(it.server.websocket(), "/livez").await.status, 200);
    assert!(Client::try_connect(it.server.websocket()).await.is_err());

    assert_eq!(it.ask("drain", &json!({ "cancel": true })).await.status, 200);
    assert_eq!(http::get(it.server.websocket(), "/readyz").await.status, 200);
    soon("a newcomer", it.server.member("bert", "attic")).await;
}

#[tokio::test]
async fn a_drain_that_comes_to_another_node_than_it_names_does_nothing() {
    let it = Configured::start("").await;
    for meant in [json!({ "node": "another" }), json!({ "node": "another", "cancel": true })] {
        let answer = it.ask("drain", &meant).await;
        assert_eq!(answer.status, 409, "{}", answer.body);
        assert!(answer.json()["type"].as_str().unwrap().ends_with("#other-node"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("embedded"), "{}", answer.body);
        assert_eq!(draining(&it.server).await.as_deref(), Some("0"));
    }
    let answer = it.ask("drain", &json!({ "node": "embedded", "over": 0 })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(draining(&it.server).await.as_deref(), Some("1"));
}

/// What the metrics say.
async fn draining(server: &Server) -> Option<String> {
    let page = http::get(server.api(), "/metrics").await.body;
    page.lines().find_map(|line| line.strip_prefix("always_online_draining ")).map(str::to_owned)
}

#[tokio::test]
async fn who_was_about_to_come_in_is_sent_away_too() {
    let it = Configured::start("").await;
    assert_eq!(draining(&it.server).await.as_deref(), Some("0"));
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", it.server.websocket());
    let (mut websocket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let open = soon("an open packet", websocket.next()).await.unwrap().unwrap();
    assert!(open.to_text().unwrap().starts_with("0{"), "{open}");
    let answer = it.ask("drain", &json!({ "over": 0 })).await;
    assert_eq!(answer.json(), json!({ "connections": 0 }), "it is nobody yet");
    assert_eq!(draining(&it.server).await.as_deref(), Some("1"));
    websocket.send(Message::text("40")).await.unwrap();
    let gone = async { while let Some(Ok(_)) = websocket.next().await {} };
    soon("the end of its connection", gone).await;
    assert_eq!(it.ask("drain", &json!({ "cancel": true })).await.status, 200);
    assert_eq!(draining(&it.server).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn the_command_drains_the_server_of_its_data_folder() {
    let it = Configured::start("").await;
    let setup = it.server.setup().clone();
    let api = format!("http://{}", it.server.api());
    let ran = setup.clone().args(["drain", &api, "--over", "0", "--wait"]).run().await;
    assert_eq!(ran.succeeds(), "{\"connections\":0}\n");
    assert_eq!(http::get(it.server.websocket(), "/readyz").await.status, 503);
    setup.clone().args(["drain", &api, "--cancel"]).run().await.succeeds();
    assert_eq!(http::get(it.server.websocket(), "/readyz").await.status, 200);
    setup.clone().args(["drain", "http://127.0.0.1:1"]).run().await.fails(1, &["does not answer"]);
    setup.args(["drain", "https://192.0.2.1:1"]).run().await.fails(2, &["not verified"]);
}
