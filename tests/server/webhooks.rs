//! What a business server is told by webhooks, by whole servers on their own files and on Redis.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::{Value, json};
use support::{
    client::Client,
    http,
    own_redis::OwnRedis,
    receiver::{Received, Receiver, Reply},
    server::{Server, Setup},
    soon,
};

mod tls;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Between two looks at something that nobody announces.
const STEP: Duration = Duration::from_millis(20);

/// A business server, and what it was told.
struct Business {
    receiver: Receiver,
    /// Requests that were answered by success, in the order of their coming.
    accepted: Arc<Mutex<Vec<Received>>>,
}

impl Business {
    /// It answers as it is told for each request; what is answered by 2xx it has.
    async fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Business {
        let accepted = Arc::<Mutex<Vec<Received>>>::default();
        let taken = accepted.clone();
        let receiver = Receiver::start(move |request| {
            let reply = answer(request);
            if is_success(&reply) {
                taken.lock().unwrap().push(request.clone());
            }
            reply
        });
        Business { receiver: receiver.await, accepted }
    }

    async fn willing() -> Business {
        Self::start(|_| ok()).await
    }

    fn setup(&self, setup: Setup) -> Setup {
        setup
            .env("AO_WEBHOOK__URL", self.receiver.url())
            .env("AO_WEBHOOK__SECRET", SECRET)
            .env("AO_WEBHOOK__LEAVE_DELAY", "200ms")
            .env("AO_AUTH__IGNORE", "true")
            .env("AO_AUTH__RATE_LIMIT", "1000000 in 60s")
    }

    /// Batches without duplicates.
    fn batches(&self) -> Vec<Value> {
        let mut seen = HashMap::new();
        let accepted = self.accepted.lock().unwrap();
        let mut batches = Vec::new();
        for request in accepted.iter() {
            let id = request.header("webhook-id").unwrap().to_owned();
            match seen.get(&id) {
                Some(body) => assert_eq!(body, &request.body, "{id} is what it was"),
                None => {
                    batches.push(request.json());
                    seen.insert(id, request.body.clone());
                }
            }
        }
        batches
    }

    /// Events of a room, or of a user, without duplicates.
    fn events(&self, name: &str) -> Vec<Value> {
        let of = |data: &Value| data["roomId"] == name || data["uid"] == name;
        self.batches()
            .iter()
            .map(|batch| &batch["data"])
            .filter(|data| of(data))
            .flat_map(|data| data["events"].as_array().unwrap().clone())
            .collect()
    }

    /// In a line each: kind, whom it is about, reason or index.
    fn lines(&self, name: &str) -> Vec<String> {
        let line = |event: &Value| {
            let mut line = event["type"].as_str().unwrap().to_owned();
            for field in ["uid", "index", "reason"] {
                match &event[field] {
                    Value::Null => {}
                    Value::String(text) => line += &format!(" {text}"),
                    other => line += &format!(" {other}"),
                }
            }
            line
        };
        self.events(name).iter().map(line).collect()
    }

    async fn hears(&self, what: &str, wanted: impl Fn(&Business) -> bool) {
        let look = async {
            while !wanted(self) {
                tokio::time::sleep(STEP).await;
            }
        };
        soon(what, look).await;
    }
}

fn ok() -> Reply {
    Reply::text(204, "")
}

fn is_success(reply: &Reply) -> bool {
    match reply {
        Reply::Json(_) => true,
        Reply::Full { status, .. } => (200..300).contains(status),
        Reply::Later(_, reply) => is_success(reply),
        // It has what it was sent, and does not say so.
        Reply::ThenClosed(reply) => is_success(reply),
        Reply::Raw(bytes) => bytes.is_empty(),
        Reply::Hang => false,
    }
}

fn room_of(request: &Received) -> String {
    request.json()["data"]["roomId"].as_str().unwrap_or_default().to_owned()
}

fn signature(secret: &str, request: &Received) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let header = |name| request.header(name).unwrap();
    let text = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), request.body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

async fn member(server: &Server, uid: &str, room: &str) -> Client {
    let mut client = server.guest().await;
    client.sign_in(uid, "any").await;
    client.join(room).await;
    client
}

/// A setup on the server's own files, and one on a Redis of its own.
async fn setups() -> Vec<(Setup, Option<OwnRedis>)> {
    let redis = OwnRedis::forgetful(&[]).await;
    let on_redis = Setup::new().env("AO_STORE__MESSAGES", redis.url()).env("AO_STORE__LEASE", "2s");
    vec![(Setup::new(), None), (on_redis, Some(redis))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_told_in_its_order_and_signed() {
    for (setup, _redis) in setups().await {
        let business = Business::willing().await;
        let setup = business.setup(setup).env("AO_WEBHOOK__PREVIOUS_SECRET", PREVIOUS);
        let server = setup.env("AO_WEBHOOK__BATCH", "7").start().await;
        let ann = member(&server, "ann", "lesson").await;
        for n in 0..30 {
            ann.send(&json!({ "text": format!("nr {n} é") })).await;
        }
        ann.close().await;
        business
            .hears("the last one leaving", |b| {
                b.lines("lesson").last().is_some_and(|line| line == "room.vacated")
            })
            .await;
        let mut wanted = vec!["room.occupied".to_owned(), "member.joined ann".into()];
        wanted.extend((0..30).map(|n| format!("message.inserted ann {n}")));
        wanted.extend(["member.left ann gone".into(), "room.vacated".into()]);
        assert_eq!(business.lines("lesson"), wanted);
        let events = business.events("lesson");
        assert_eq!(events[5]["message"]["text"], "nr 3 é");
        assert!(events.is_sorted_by_key(|event| event["n"].as_u64()), "{events:?}");
        business.hears("ann being offline", |b| b.lines("ann").len() == 2).await;
        assert_eq!(business.lines("ann"), ["user.online ann", "user.offline ann gone"]);
        for request in business.receiver.requests() {
            let signatures = request.header("webhook-signature").unwrap();
            let both = [signature(SECRET, &request), signature(PREVIOUS, &request)].join(" ");
            assert_eq!(signatures, both);
            assert_eq!(request.header("content-type"), Some("application/json"));
            let events = request.json()["data"]["events"].as_array().unwrap().len();
            assert!((1..=7).contains(&events), "{events} events");
        }
        let said = server.stderr();
        assert!(!said.contains("nr 3") && !said.contains("whsec_"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_batch_blocks_only_its_room_and_can_be_replayed() {
    for (setup, _redis) in setups().await {
        let healed = Arc::new(Mutex::new(false));
        let is_healed = healed.clone();
        let business = Business::start(move |request| {
            let poison = request.body.contains("poison") && !*is_healed.lock().unwrap();
            if poison { Reply::text(422, "no") } else { ok() }
        })
        .await;
        let setup = business.setup(setup).env("AO_WEBHOOK__KEEP", "500ms");
        let server = setup.env("AO_WEBHOOK__EVENTS", "message.*").start().await;
        let (bad, good) =
            (member(&server, "ann", "bad").await, member(&server, "ben", "good").await);
        bad.send(&json!({ "text": "poison" })).await;
        for n in 0..20 {
            good.send(&json!({ "n": n })).await;
        }
        business.hears("the other room", |b| b.lines("good").len() == 20).await;
        bad.send(&json!({ "text": "well" })).await;
        business.hears("the rest of the room", |b| b.lines("bad").len() == 2).await;
        assert_eq!(business.lines("bad"), ["webhook.gap", "message.inserted ann 1"]);
        let gap = &business.events("bad")[0];
        let tried: Vec<_> = business.receiver.requests();
        let tried: Vec<_> = tried.iter().filter(|r| r.body.contains("poison")).collect();
        assert_eq!(tried.len(), 10, "ten attempts");
        assert!(tried.iter().all(|r| r.body == tried[0].body), "a retry alters nothing");
        let poison = tried[0].json()["data"]["events"][0]["n"].clone();
        assert_eq!((&gap["from"], &gap["to"]), (&poison, &poison));

        let run = async |arguments: &[&str]| {
            server.setup().clone().args(arguments.iter().copied()).run().await
        };
        let listed = run(&["hooks", "list"]).await.succeeds().to_owned();
        let id = tried[0].header("webhook-id").unwrap();
        assert!(listed.starts_with(id) && listed.contains("422"), "{listed}");
        assert!(!listed.contains("poison") && listed.lines().count() == 1, "{listed}");
        assert!(run(&["hooks", "list", "--bodies"]).await.succeeds().contains("poison"));
        *healed.lock().unwrap() = true;
        assert_eq!(run(&["hooks", "replay", id]).await.succeeds(), "1 of 1 are sent again\n");
        business.hears("what was put aside", |b| b.lines("bad").len() == 3).await;
        assert_eq!(business.lines("bad")[2], "message.inserted ann 0");
        assert_eq!(run(&["hooks", "list"]).await.succeeds(), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_down_is_asked_seldom_however_many_rooms_wait() {
    const ROOMS: usize = 150;
    for (setup, _redis) in setups().await {
        let up = Arc::new(Mutex::new(false));
        let is_up = up.clone();
        let business =
            Business::start(
                move |_| {
                    if *is_up.lock().unwrap() { ok() } else { Reply::text(503, "later") }
                },
            )
            .await;
        let server = business.setup(setup).env("AO_WEBHOOK__EVENTS", "member.joined").start().await;
        let mut ann = server.guest().await;
        ann.sign_in("ann", "any").await;
        for n in 0..ROOMS {
            ann.join(&format!("room {n}")).await;
        }
        business.receiver.wait_for(3).await;
        let before = business.receiver.requests().len();
        assert!(before < ROOMS / 2, "{before} requests for {ROOMS} rooms that wait");
        *up.lock().unwrap() = true;
        business
            .hears("all rooms", |b| {
                (0..ROOMS).all(|n| b.lines(&format!("room {n}")) == ["member.joined ann"])
            })
            .await;
    }
}

/// What a metric of the endpoint says.
async fn figure(server: &Server, metric: &str) -> f64 {
    let page = http::get(server.api(), "/metrics").await.body;
    let line = format!("always_online_{metric}{{endpoint=\"main\"}} ");
    let value = page.lines().find_map(|text| text.strip_prefix(&*line));
    value.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
}

async fn until(server: &Server, metric: &str, wanted: impl Fn(f64) -> bool) {
    let look = async {
        while !wanted(figure(server, metric).await) {
            tokio::time::sleep(STEP).await;
        }
    };
    soon(format!("{metric} in the metrics"), look).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_tell_of_an_endpoint_that_is_down_for_long_and_comes_back() {
    const MESSAGES: u64 = 200;
    let up = Arc::new(Mutex::new(false));
    let is_up = up.clone();
    let answer = move |_: &Received| {
        if *is_up.lock().unwrap() { ok() } else { Reply::text(503, "later") }
    };
    let business = Business::start(answer).await;
    let setup = business.setup(Setup::new()).env("AO_WEBHOOK__EVENTS", "message.inserted");
    let server = setup.env("AO_WEBHOOK__PENDING", "64 KiB").start().await;
    assert_eq!(figure(&server, "webhook_up").await, 1.0);
    let ann = member(&server, "ann", "lesson").await;
    for n in 0..MESSAGES {
        ann.send(&json!({ "n": n, "text": "x".repeat(1000) })).await;
    }
    until(&server, "webhook_up", |up| up == 0.0).await;
    until(&server, "webhook_dropped_total", |dropped| dropped > 100.0).await;
    let pending = figure(&server, "webhook_pending_bytes").await;
    assert!((30_000.0..=65_536.0).contains(&pending), "{pending} bytes wait");
    assert!(figure(&server, "webhook_oldest_seconds").await >= 0.0);
    *up.lock().unwrap() = true;
    let told = |b: &Business| b.lines("lesson").last().is_some_and(|l| l.ends_with("ann 199"));
    business.hears("the newest", told).await;
    until(&server, "webhook_up", |up| up == 1.0).await;
    until(&server, "webhook_pending_bytes", |bytes| bytes == 0.0).await;
    let lines = business.lines("lesson");
    let gaps = lines.iter().filter(|line| *line == "webhook.gap").count();
    let inserted = (lines.len() - gaps) as f64;
    assert!(gaps >= 1, "{lines:#?}");
    let dropped = figure(&server, "webhook_dropped_total").await;
    assert_eq!(dropped + inserted, MESSAGES as f64, "what is not told is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_gone_gets_nothing_more_before_the_next_start() {
    let business = Business::start(|_| Reply::text(410, "")).await;
    let setup = business.setup(Setup::new()).env("AO_WEBHOOK__EVENTS", "message.inserted");
    let mut server = setup.start().await;
    let ann = member(&server, "ann", "lesson").await;
    ann.send(&json!({ "n": 0 })).await;
    business.receiver.wait_for(1).await;
    for n in 1..20 {
        ann.send(&json!({ "n": n })).await;
    }
    assert_eq!(server.terminate().await, 0);
    assert_eq!(business.receiver.requests().len(), 1);
    server.restart().await;
    business.receiver.wait_for(2).await;
}

/// Rounds: more by `WEBHOOK_ROUNDS`.
fn rounds() -> u32 {
    std::env::var("WEBHOOK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

/// An endpoint that fails in all ways, each second request.
fn fickle() -> impl Fn(&Received) -> Reply + Send + Sync {
    let count = std::sync::atomic::AtomicU64::new(0);
    move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 12 {
        1 => Reply::text(500, ""),
        3 => Reply::Raw(Vec::new()), // it has the batch, and does not say so
        5 => Reply::Later(Duration::from_millis(30), Box::new(ok())),
        7 => Reply::text(429, ""),
        9 => Reply::Raw(b"HTTP/1.1 2".to_vec()),
        _ => ok(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_told_in_another_order_when_server_and_endpoint_fail() {
    for (setup, _redis) in setups().await {
        let business = Business::start(fickle()).await;
        // What fails alone, as anything may that comes to such an endpoint, is tried again soon.
        let setup = business.setup(setup).env("AO_WEBHOOK__KEEP", "300s");
        let mut server = setup.env("AO_WEBHOOK__TIMEOUT", "2s").start().await;
        let names = ["ann", "ben", "cat"];
        let mut acknowledged: BTreeMap<&str, u64> = BTreeMap::new();
        for round in 0..rounds() {
            let mut clients = Vec::new();
            for name in names {
                clients.push((name, come(&server, name, &format!("room of {name}")).await));
            }
            for n in 0..20 + 10 * u64::from(round) {
                for (name, client) in &clients {
                    client.send(&json!({ "n": n })).await;
                    *acknowledged.entry(name).or_default() += 1;
                }
            }
            for (_, client) in &clients {
                client.emit("msg", &json!({ "n": "in flight" }));
            }
            server.kill_9().await;
            server.restart().await;
        }
        // They come back a last time, so that there is an end.
        for name in names {
            come(&server, name, &format!("room of {name}")).await.close().await;
        }
        for name in names {
            let room = format!("room of {name}");
            business
                .hears(&format!("the end of {room}"), |b| {
                    let lines = b.lines(&room);
                    let inserts =
                        lines.iter().filter(|line| line.contains("inserted")).count() as u64;
                    inserts >= acknowledged[name]
                        && lines.last().is_some_and(|l| l == "room.vacated")
                })
                .await;
            check(&business, &room);
        }
    }
}

/// A room's story has no holes, and each joining one leaving.
fn check(business: &Business, room: &str) {
    let lines = business.lines(room);
    let events = business.events(room);
    let indexes: Vec<u64> = events.iter().filter_map(|event| event["index"].as_u64()).collect();
    assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>(), "{room}: {lines:#?}");
    let mut numbers = HashSet::new();
    let data = business.batches();
    for batch in data.iter().filter(|batch| batch["data"]["roomId"] == room) {
        for event in batch["data"]["events"].as_array().unwrap() {
            let number = (batch["data"]["epoch"].clone().to_string(), event["n"].as_u64());
            assert!(numbers.insert(number), "(epoch, n) is told once: {event}");
        }
    }
    let mut there: HashSet<String> = HashSet::new();
    for event in &events {
        let uid = event["uid"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "room.occupied" => assert!(there.is_empty(), "{lines:#?}"),
            "member.joined" => assert!(there.insert(uid), "joined twice: {lines:#?}"),
            "member.left" => assert!(there.remove(&uid), "left and was not there: {lines:#?}"),
            "room.vacated" => assert!(there.is_empty(), "{lines:#?}"),
            _ => {}
        }
    }
    assert!(there.is_empty(), "{there:?} never left: {lines:#?}");
}

/// A member, who comes back until it is let in.
async fn come(server: &Server, uid: &str, room: &str) -> Client {
    let coming = async {
        loop {
            if let Ok(mut client) = Client::try_connect(server.websocket()).await {
                client.sign_in(uid, "any").await;
                client.join(room).await;
                return client;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    soon(format!("{uid} in {room}"), coming).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_of_a_dead_node_leave_once_each() {
    let redis = OwnRedis::forgetful(&[]).await;
    let business = Business::willing().await;
    let setup = || {
        let setup = Setup::new().env("AO_STORE__MESSAGES", redis.url());
        business.setup(setup).env("AO_STORE__LEASE", "2s")
    };
    let (mut a, b) = tokio::join!(setup().start(), setup().start());
    let mut clients = Vec::new();
    for n in 0..10 {
        clients.push(member(&a, &format!("of a {n}"), "lesson").await);
        clients.push(member(&b, &format!("of b {n}"), "lesson").await);
    }
    a.kill_9().await;
    // One of them comes to the other node.
    let _back = come(&b, "of a 3", "lesson").await;
    business
        .hears("nine leaving", |b| {
            b.lines("lesson").iter().filter(|line| line.starts_with("member.left")).count() >= 9
        })
        .await;
    drop(clients);
    drop(_back);
    business
        .hears("all leaving", |b| {
            b.lines("lesson").last().is_some_and(|line| line == "room.vacated")
        })
        .await;
    check(&business, "lesson");
    let lost = business.lines("lesson").iter().filter(|line| line.ends_with(" lost")).count();
    assert!((9..=10).contains(&lost), "{:#?}", business.lines("lesson"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_never_send_of_one_room_at_once() {
    const TIME: Duration = Duration::from_millis(40);
    let redis = OwnRedis::forgetful(&[]).await;
    let last = Mutex::new(HashMap::<String, Instant>::new());
    let overlaps = Arc::new(Mutex::new(0));
    let seen = overlaps.clone();
    let business = Business::start(move |request| {
        let (now, room) = (Instant::now(), room_of(request));
        let before = last.lock().unwrap().insert(room, now);
        // The one before is not answered before its time.
        if before.is_some_and(|before| now - before < TIME) {
            *seen.lock().unwrap() += 1;
        }
        Reply::Later(TIME, Box::new(ok()))
    })
    .await;
    let setup = || {
        let setup = Setup::new().env("AO_STORE__MESSAGES", redis.url());
        business.setup(setup).env("AO_WEBHOOK__EVENTS", "message.*")
    };
    let (a, b) = tokio::join!(setup().start(), setup().start());
    let rooms = ["one", "two", "three"];
    let mut clients = Vec::new();
    for room in rooms {
        for node in [&a, &b] {
            let uid = format!("{} of {room}", clients.len());
            clients.push(member(node, &uid, room).await);
        }
    }
    for n in 0..60 {
        for client in &clients {
            client.send(&json!({ "n": n })).await;
        }
    }
    for room in rooms {
        business.hears(room, |b| b.lines(room).len() == 120).await;
        check(&business, room);
    }
    assert_eq!(*overlaps.lock().unwrap(), 0);
}
