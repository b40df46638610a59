//! Endpoints of webhooks that do what endpoints should not, that are down for long, and whose
//! secret is replaced.
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::{Value, json};

use super::{business::SECRET, site::Store};
use crate::cluster::eventually;
use support::{
    http,
    receiver::{Received, Receiver, Reply},
    server::{Server, Setup},
    tls,
};

const REPLACED: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn ok() -> Reply {
    Reply::text(204, "")
}

fn texts(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("message {number}")).collect()
}

/// The events of these requests, each batch once.
fn events(requests: &[Received]) -> Vec<Value> {
    let (mut ids, mut events) = (Vec::new(), Vec::new());
    for request in requests {
        let id = request.header("webhook-id").unwrap();
        if !ids.contains(&id) {
            ids.push(id);
            events.extend(request.json()["data"]["events"].as_array().unwrap().clone());
        }
    }
    events
}

/// What a receiver took.
type Taken = Arc<Mutex<Vec<Received>>>;

/// Answers the first request as it should not be answered, and takes all others.
fn at_first(fault: Reply, taken: &Taken) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    let (fault, taken) = (Mutex::new(Some(fault)), taken.clone());
    move |request| {
        if let Some(fault) = fault.lock().unwrap().take() {
            return fault;
        }
        taken.lock().unwrap().push(request.clone());
        ok()
    }
}

/// A section of the file of settings.
fn section(name: &str, url: &str, timeout: &str, more: &str) -> String {
    format!(
        "[webhook.{name}]\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nkeep = \"300s\"\n\
         events = [\"message.inserted\"]\ntimeout = \"{timeout}\"\n{more}\n"
    )
}

fn with_file(setup: Setup, file: &Path) -> Setup {
    setup.args(["--config", file.to_str().unwrap()])
}

async fn counts(server: &Server, what: &str) -> bool {
    http::get(server.api(), "/metrics").await.body.contains(what)
}

async fn whatever_an_endpoint_answers_nothing_is_lost(store: Store) {
    let elsewhere = Receiver::start(|_| ok()).await;
    let location = vec![("location", elsewhere.url())];
    let large = "x".repeat(10 << 20);
    let faults = [
        ("hangs", Reply::Hang),
        ("talks", Reply::text(500, large.clone())),
        ("redirects", Reply::Full { status: 307, headers: location, body: String::new() }),
        ("breaks", Reply::Raw(b"HTTP/1.1 200".to_vec())),
        ("closes", Reply::ThenClosed(Box::new(Reply::text(503, "")))),
    ];
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key, file] =
        ["certificate.pem", "key.pem", "settings.toml"].map(|name| folder.path().join(name));
    tls::issue(&certificate, &key);
    let (mut sections, mut receivers) = (String::new(), Vec::new());
    for (name, fault) in faults {
        let taken = Taken::default();
        let receiver = Receiver::start(at_first(fault, &taken)).await;
        let timeout = if name == "hangs" { "300ms" } else { "15s" };
        sections += &section(name, &receiver.url(), timeout, "");
        receivers.push((name, receiver, taken));
    }
    // What it says beside a success is of no interest, however long.
    let talkative = Receiver::start(move |_| Reply::text(200, large.clone())).await;
    sections += &section("talkative", &talkative.url(), "15s", "");
    let known = Receiver::under_tls(&certificate, &key, |_| ok()).await;
    let authority = format!("ca = {:?}", certificate.to_str().unwrap());
    sections += &section("known", &known.url(), "15s", &authority);
    let stranger = Receiver::under_tls(&certificate, &key, |_| ok()).await;
    sections += &section("stranger", &stranger.url(), "15s", "");
    std::fs::write(&file, sections).unwrap();

    let site = store.start(|setup| with_file(setup, &file)).await;
    site.admin.write(site.here(), "attic", "ann", &texts(3)).await;
    let whole = |events: &[Value]| {
        let told: Vec<_> = events.iter().map(|e| e["message"]["text"].as_str().unwrap()).collect();
        told == texts(3)
    };
    for (name, receiver, taken) in &receivers {
        eventually(name, async || events(&taken.lock().unwrap()).len() >= 3).await;
        assert!(whole(&events(&taken.lock().unwrap())), "{name}");
        let (first, again) = (receiver.requests().remove(0), taken.lock().unwrap().remove(0));
        assert_eq!(first.header("webhook-id"), again.header("webhook-id"), "{name}");
        assert_eq!(first.body, again.body, "{name}: a retry alters nothing");
    }
    for receiver in [&talkative, &known] {
        eventually("all of it", async || events(&receiver.requests()).len() >= 3).await;
        assert!(whole(&events(&receiver.requests())));
    }
    let ids: Vec<_> = talkative.requests();
    let mut ids: Vec<_> = ids.iter().map(|request| request.header("webhook-id")).collect();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "what was taken does not come again");
    let refused = r#"always_online_webhook_attempts_total{endpoint="stranger",outcome="tls"}"#;
    eventually("a refusal", async || {
        counts(site.here(), refused).await || counts(site.there(), refused).await
    })
    .await;
    assert!(stranger.requests().is_empty(), "who is somebody else is told nothing");
    assert!(elsewhere.requests().is_empty(), "no redirect is followed");
}

fn signature(secret: &str, request: &Received) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let header = |name| request.header(name).unwrap();
    let text = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), request.body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

async fn what_is_tried_again_behind_a_rotation_has_both_signatures(store: Store) {
    let (up, taken) = (Arc::new(AtomicBool::new(false)), Taken::default());
    let (is_up, takes) = (up.clone(), taken.clone());
    let receiver = Receiver::start(move |request| {
        if !is_up.load(SeqCst) {
            return Reply::text(503, "");
        }
        takes.lock().unwrap().push(request.clone());
        ok()
    })
    .await;
    let settings = |setup: Setup| {
        let setup = setup.env("AO_WEBHOOK__URL", receiver.url());
        let setup = setup.env("AO_WEBHOOK__SECRET", REPLACED);
        setup.env("AO_WEBHOOK__EVENTS", "message.inserted")
    };
    let mut site = store.start(settings).await;
    site.admin.write(site.here(), "attic", "ann", &texts(3)).await;
    let first = receiver.wait_for(1).await.remove(0);
    assert_eq!(first.header("webhook-signature"), Some(&*signature(REPLACED, &first)));
    for node in &mut site.nodes {
        assert_eq!(node.terminate().await, 0);
        node.reconfigure("AO_WEBHOOK__SECRET", SECRET);
        node.reconfigure("AO_WEBHOOK__PREVIOUS_SECRET", REPLACED);
        node.restart().await;
    }
    up.store(true, SeqCst);
    eventually("all of it", async || events(&taken.lock().unwrap()).len() >= 3).await;
    let taken = taken.lock().unwrap().clone();
    let again = &taken[0];
    assert_eq!(first.header("webhook-id"), again.header("webhook-id"));
    assert_eq!(first.body, again.body);
    for request in &taken {
        let both = [SECRET, REPLACED].map(|secret| signature(secret, request)).join(" ");
        assert_eq!(request.header("webhook-signature"), Some(&*both));
    }
}

/// What waits for the endpoint, as a node counts it now and then.
async fn pending(server: &Server) -> u64 {
    let metrics = http::get(server.api(), "/metrics").await.body;
    let name = r#"always_online_webhook_pending_bytes{endpoint="main"} "#;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |number| number.parse::<f64>().unwrap() as u64)
}

async fn an_endpoint_that_is_down_for_thousands_of_rooms_costs_little(store: Store) {
    const ROOMS: usize = 10_000;
    const MOST: u64 = 1 << 20;
    let (up, taken) = (Arc::new(AtomicBool::new(false)), Taken::default());
    let (is_up, takes) = (up.clone(), taken.clone());
    let receiver = Receiver::start(move |request| {
        if !is_up.load(SeqCst) {
            return Reply::text(503, "");
        }
        takes.lock().unwrap().push(request.clone());
        ok()
    })
    .await;
    let settings = |setup: Setup| {
        let setup = setup.env("AO_WEBHOOK__URL", receiver.url()).env("AO_WEBHOOK__SECRET", SECRET);
        let setup = setup.env("AO_WEBHOOK__EVENTS", "message.inserted");
        setup.env("AO_WEBHOOK__PENDING", MOST.to_string()).env("AO_WEBHOOK__KEEP", "300s")
    };
    let site = store.start(settings).await;
    let rooms: Vec<String> = (0..ROOMS).map(|number| format!("room {number}")).collect();
    for (number, rooms) in rooms.chunks(1000).enumerate() {
        let node = if number % 2 == 0 { site.here() } else { site.there() };
        let message = json!({ "storage": 0, "text": "x".repeat(100) });
        let broadcast = json!({ "roomIds": rooms, "message": message });
        let answer = site.admin.done(node, "broadcast", broadcast).await;
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(rooms.len()));
    }
    let asked = receiver.requests().len();
    assert!(asked < 40 * site.nodes.len(), "{asked} requests for {ROOMS} rooms that wait");
    eventually("a count", async || pending(site.here()).await > 0).await;
    let waits = pending(site.here()).await;
    assert!((MOST / 2..=MOST).contains(&waits), "{waits} bytes wait");
    up.store(true, SeqCst);
    eventually("many rooms", async || taken.lock().unwrap().len() >= 300).await;
    for request in taken.lock().unwrap().iter() {
        let events = request.json()["data"]["events"].clone();
        let kinds: Vec<_> = events.as_array().unwrap().iter().map(|e| e["type"].clone()).collect();
        assert!(kinds == ["message.inserted"] || kinds == ["webhook.gap"], "{kinds:?}");
    }
}

on_both_stores! {
    whatever_an_endpoint_answers_nothing_is_lost
    what_is_tried_again_behind_a_rotation_has_both_signatures
    an_endpoint_that_is_down_for_thousands_of_rooms_costs_little
}
