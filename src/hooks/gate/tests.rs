use std::sync::atomic::AtomicBool;

use serde_json::json;
use support::receiver::{Receiver, Reply};

use super::*;
use crate::domain::{
    clock::{SystemClock, SystemRng},
    gate::Refusal,
    ids::{Space, Uid},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Asks this URL about everything in every room, and gives a call all the time that a busy machine
/// may need.
fn options(url: &str) -> Options {
    Options {
        url: config::HttpUrl::parse(url).unwrap(),
        signer: Signer::new(&config::SigningSecret::parse(SECRET).unwrap(), None),
        events: Question::ALL.to_vec(),
        rooms: vec![Pattern::parse("*").unwrap()],
        timeout: support::BOUND,
        concurrency: 256,
        cache: Duration::ZERO,
        on_failure: OnFailure::Deny,
        max_message: 1000,
        authorities: None,
    }
}

fn hooks(options: Options) -> Arc<Hooks> {
    let parts = Parts {
        tasks: tokio_util::task::TaskTracker::new(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        metrics: Arc::default(),
    };
    Arc::new(Hooks::new(options, parts).unwrap())
}

fn ann() -> Caller {
    Caller {
        uid: Uid::text("ann").unwrap(),
        connection: "c1".into(),
        address: [127, 0, 0, 1].into(),
        meta: None,
    }
}

fn room() -> RoomId {
    RoomId::new("lobby").unwrap()
}

fn allowed() -> Answer {
    Answer::Allowed(Changes::default())
}

fn yes() -> Reply {
    Reply::Json(json!({ "result": {} }))
}

#[test]
fn rooms_of_a_dialect_are_asked_about_where_a_pattern_names_it() {
    let patterns = |texts: &[&str]| -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    };
    let chat = RoomId::within(Space::Dialect("gotapi"), "/chat").unwrap();
    for texts in [&["*"][..], &["/chat"], &["gotapi*"], &["other:*", "*:/chat"]] {
        assert!(!is_meant(&patterns(texts), &chat), "{texts:?}");
    }
    for texts in [&["gotapi:*"][..], &["x", "gotapi:/c*"], &["gotapi:/chat"]] {
        assert!(is_meant(&patterns(texts), &chat), "{texts:?}");
    }
    assert!(is_meant(&patterns(&["*"]), &room()) && !is_meant(&patterns(&["gotapi:*"]), &room()));
}

#[tokio::test]
async fn each_question_is_a_signed_post_and_its_answer_is_the_business_servers() {
    let receiver = Receiver::start(|request| match request.json()["type"].as_str().unwrap() {
        "hook.connect" => yes(),
        "hook.join" => Reply::Json(json!({ "error": { "code": 7, "message": "full" } })),
        _ => Reply::Json(json!({ "result": { "message": { "text": "***" } } })),
    })
    .await;
    let hooks = hooks(options(&receiver.url()));
    assert_eq!(hooks.connect(&ann()).await, allowed());
    let full = Refusal { code: 7, message: "full".into() };
    assert_eq!(hooks.join(&ann(), &room(), true).await, Answer::Refused(full));
    let message = Bytes::from_static(br#"{"text":"damn","2":"ann","s":0}"#);
    let changed = Some(Bytes::from_static(br#"{"text":"***"}"#));
    let changes = Changes { message: changed, ..Changes::default() };
    assert_eq!(hooks.message(&ann(), &room(), message).await, Answer::Allowed(changes));

    let requests = receiver.requests();
    let signer = options(&receiver.url()).signer;
    let mut ids = Vec::new();
    for request in &requests {
        let header = |name| request.header(name).unwrap();
        assert_eq!(header("content-type"), "application/json");
        let (id, at) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
        assert_eq!(header("webhook-signature"), signer.signature(id, at, request.body.as_bytes()));
        ids.push(id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each has an id of its own");
    assert_eq!(requests[1].json()["data"]["dummy"], json!(true));
    let sent = json!({ "text": "damn", "2": "ann", "s": 0 });
    assert_eq!(requests[2].json()["data"]["message"], sent);
    assert_eq!(requests[2].json()["data"]["roomId"], json!("lobby"));
}

#[tokio::test]
async fn only_what_is_configured_is_asked() {
    let mut options = options("http://127.0.0.1:1");
    options.events = vec![Question::Connect, Question::Message];
    options.rooms = ["chat:*", "lobby"].map(|text| Pattern::parse(text).unwrap()).to_vec();
    let hooks = hooks(options);
    let name = |name| RoomId::new(name).unwrap();
    assert!(hooks.asks(Question::Connect, None));
    assert!(!hooks.asks(Question::Join, Some(&name("lobby"))));
    for (room, expected) in [("lobby", true), ("chat:7", true), ("lobbys", false), ("x", false)] {
        assert_eq!(hooks.asks(Question::Message, Some(&name(room))), expected, "{room}");
    }
    let inbox = RoomId::within(crate::domain::ids::Space::User, "lobby").unwrap();
    assert!(!hooks.asks(Question::Message, Some(&inbox)), "no room of the business server's");
}

/// Everything that is no answer, and how it is counted.
fn not_answers() -> Vec<(&'static str, Reply)> {
    let headers = |location: &str| vec![("location", location.to_owned())];
    let consent = r#"{"result":{}}"#;
    let full = |status, headers, body: &str| Reply::Full { status, headers, body: body.into() };
    vec![
        ("malformed", Reply::text(200, "<html>It works!</html>")),
        ("malformed", Reply::Json(json!({}))),
        ("malformed", Reply::Json(json!({ "result": {}, "error": { "code": 1, "message": "" } }))),
        ("malformed", Reply::text(200, "")),
        ("too large", Reply::text(200, format!("{consent}{}", " ".repeat(64 << 10)))),
        ("too large", Reply::text(200, "x".repeat(10 << 20))),
        ("status", full(302, headers("/hooks"), consent)),
        ("status", full(307, headers("/hooks"), consent)),
        ("status", Reply::text(201, consent)),
        ("status", Reply::text(204, "")),
        ("status", Reply::text(403, consent)),
        ("status", Reply::text(500, consent)),
        ("broken", Reply::Raw(Vec::new())),
        (
            "broken",
            Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"result\"".to_vec()),
        ),
        ("broken", Reply::Raw(b"\x16\x03\x01".to_vec())),
    ]
}

#[tokio::test]
async fn anything_but_an_answer_is_a_failure_and_never_consent() {
    for (reason, reply) in not_answers() {
        let receiver = Receiver::start({
            let reply = reply.clone();
            move |_| reply.clone()
        })
        .await;
        let hooks = hooks(options(&receiver.url()));
        assert_eq!(hooks.connect(&ann()).await, Answer::Failed, "{reply:?}");
        assert_eq!(receiver.requests().len(), 1, "{reply:?}: one attempt");
        let counted = format!(r#"hook_failures_total{{event="connect",reason="{reason}"}} 1"#);
        let text = hooks.metrics.text();
        assert!(text.contains(&counted), "{reply:?}: {text}");
    }
}

#[tokio::test]
async fn a_failure_is_consent_only_where_that_was_chosen() {
    let receiver = Receiver::start(|_| Reply::text(200, "<html>")).await;
    let hooks = hooks(Options { on_failure: OnFailure::Allow, ..options(&receiver.url()) });
    assert_eq!(hooks.join(&ann(), &room(), false).await, allowed());
    let message = Bytes::from_static(b"{}");
    assert_eq!(hooks.message(&ann(), &room(), message).await, allowed());
}

#[tokio::test]
async fn who_is_slow_nobody_or_somebody_else_fails() {
    let receiver = Receiver::start(|_| Reply::Hang).await;
    let hanging = options(&receiver.url());
    let slow = hooks(Options { timeout: Duration::from_millis(50), ..hanging });
    assert_eq!(slow.connect(&ann()).await, Answer::Failed);
    assert!(slow.metrics.text().contains(r#"reason="timeout"} 1"#));

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = hooks(options(&format!("http://{gone}/")));
    assert_eq!(nobody.connect(&ann()).await, Answer::Failed);
    assert!(nobody.metrics.text().contains(r#"reason="connect"} 1"#));

    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["c", "k"].map(|name| folder.path().join(name));
    support::tls::issue(&certificate, &key);
    let receiver = Receiver::under_tls(&certificate, &key, |_| yes()).await;
    let stranger = hooks(options(&receiver.url()));
    assert_eq!(stranger.connect(&ann()).await, Answer::Failed);
    assert!(stranger.metrics.text().contains(r#"reason="tls"} 1"#));
    let known = hooks(Options { authorities: Some(certificate), ..options(&receiver.url()) });
    assert_eq!(known.connect(&ann()).await, allowed());
}

#[tokio::test]
async fn all_clients_come_back_at_once_and_none_is_refused() {
    let receiver =
        Receiver::start(|_| Reply::Later(Duration::from_millis(20), Box::new(yes()))).await;
    let hooks = hooks(options(&receiver.url()));
    let storm = (0..5000).map(|i| {
        let hooks = hooks.clone();
        let uid = Uid::text(&i.to_string()).unwrap();
        async move { hooks.connect(&Caller { uid, ..ann() }).await }
    });
    for answer in futures_util::future::join_all(storm).await {
        assert_eq!(answer, allowed());
    }
    assert_eq!(receiver.requests().len(), 5000);
    assert!(receiver.most_at_once() <= 256, "{} at once", receiver.most_at_once());
    assert_eq!(hooks.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_fails_and_so_do_too_many() {
    let hooks = hooks(Options { concurrency: 1, ..options("http://127.0.0.1:1") });
    let all = hooks.turns.acquire().await.unwrap();
    let begun = Instant::now();
    assert!(matches!(hooks.turn().await, Err(Failure::Late)));
    assert_eq!(begun.elapsed(), LONGEST_WAIT);
    hooks.waiting.store(MOST_WAITING, Ordering::Relaxed);
    assert!(matches!(hooks.turn().await, Err(Failure::Full)));
    hooks.waiting.store(0, Ordering::Relaxed);
    drop(all);
    assert!(hooks.turn().await.is_ok());
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_until_a_probe_succeeds() {
    let works = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let works = works.clone();
        move |_| if works.load(Ordering::Relaxed) { yes() } else { Reply::text(503, "") }
    })
    .await;
    let hooks = hooks(options(&receiver.url()));
    for _ in 0..50 {
        assert_eq!(hooks.connect(&ann()).await, Answer::Failed);
    }
    // The pause is a second, which a machine that is busy may take for all of this.
    let calls = receiver.requests().len();
    assert!((10..50).contains(&calls), "{calls} calls");
    assert!(hooks.metrics.text().contains("hook_breaker_open 1"));
    works.store(true, Ordering::Relaxed);
    let again = async {
        while hooks.connect(&ann()).await == Answer::Failed {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    support::soon("the probe", again).await;
    assert!(hooks.metrics.text().contains("hook_breaker_open 0"));
    assert_eq!(hooks.connect(&ann()).await, allowed());
}

#[tokio::test]
async fn a_question_that_is_too_much_for_the_server_ends_nobody_elses() {
    let receiver = Receiver::start(|request| match request.json()["type"].as_str().unwrap() {
        "hook.message" => Reply::text(200, "<html>Fatal error</html>"),
        _ => yes(),
    })
    .await;
    let hooks = hooks(options(&receiver.url()));
    for _ in 0..30 {
        let message = Bytes::from_static(b"{}");
        assert_eq!(hooks.message(&ann(), &room(), message).await, Answer::Failed);
    }
    assert_eq!(hooks.connect(&ann()).await, allowed());
}

#[tokio::test]
async fn answers_are_kept_by_question_user_and_room_where_that_is_configured() {
    let receiver = Receiver::start(|request| match &request.json()["data"]["uid"] {
        uid if uid == "bob" => Reply::Json(json!({ "error": { "code": 1, "message": "no" } })),
        uid if uid == "eve" => Reply::Json(json!({ "disconnect": { "reason": "bye" } })),
        uid if uid == "mal" => Reply::text(200, "{}"),
        _ => yes(),
    })
    .await;
    let hooks = hooks(Options { cache: support::BOUND * 10, ..options(&receiver.url()) });
    let caller = |uid| Caller { uid: Uid::text(uid).unwrap(), ..ann() };
    let other = RoomId::new("other").unwrap();
    for time in 1..=3 {
        for uid in ["ann", "bob"] {
            hooks.connect(&caller(uid)).await;
            hooks.join(&caller(uid), &room(), false).await;
            hooks.join(&caller(uid), &room(), true).await;
            hooks.join(&caller(uid), &other, false).await;
        }
        let with_meta = Caller { meta: Some("1".into()), ..ann() };
        hooks.join(&with_meta, &room(), false).await;
        assert_eq!(receiver.requests().len(), 9, "time {time}");
    }
    let kept = hooks.join(&caller("bob"), &room(), false).await;
    assert_eq!(kept, Answer::Refused(Refusal { code: 1, message: "no".into() }));
    for uid in ["eve", "mal"] {
        for _ in 0..2 {
            hooks.connect(&caller(uid)).await;
        }
    }
    for _ in 0..2 {
        hooks.message(&ann(), &room(), Bytes::from_static(b"{}")).await;
    }
    assert_eq!(receiver.requests().len(), 9 + 4 + 2, "neither ends, failures nor messages");
}

#[tokio::test]
async fn of_a_dialects_rooms_no_answer_is_kept() {
    let receiver = Receiver::start(|_| yes()).await;
    let hooks = hooks(Options { cache: support::BOUND * 10, ..options(&receiver.url()) });
    let room = RoomId::within(Space::Dialect("gotapi"), "/lobby").unwrap();
    for time in 1..=3 {
        assert_eq!(hooks.join(&ann(), &room, false).await, allowed());
        assert_eq!(receiver.requests().len(), time);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_answer_lasts_as_long_as_it_should() {
    let hooks = hooks(Options { cache: Duration::from_secs(5), ..options("http://127.0.0.1:1") });
    let key = Key { question: Question::Connect, uid: ann().uid, room: None, meta: None };
    hooks.kept.as_ref().unwrap().keep(key, &allowed(), 0);
    tokio::time::advance(Duration::from_millis(4999)).await;
    assert_eq!(hooks.connect(&ann()).await, allowed());
    tokio::time::advance(Duration::from_millis(2)).await;
    assert_eq!(hooks.connect(&ann()).await, Answer::Failed, "nobody is there to be asked");
}

#[tokio::test]
async fn what_kept_answers_take_is_bounded_and_told() {
    let receiver =
        Receiver::start(|_| Reply::Json(json!({ "result": { "meta": "x".repeat(60_000) } }))).await;
    let hooks = hooks(Options { cache: support::BOUND * 10, ..options(&receiver.url()) });
    let bytes = || {
        let text = hooks.metrics.text();
        let name = "always_online_hook_cached_bytes ";
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.parse::<u64>().unwrap()
    };
    for uid in 0..600 {
        let uid = Uid::text(&uid.to_string()).unwrap();
        hooks.connect(&Caller { uid, ..ann() }).await;
        assert!(bytes() <= kept::MOST, "{}", bytes());
    }
    assert!(bytes() > kept::MOST / 2, "{}", bytes());
}

#[tokio::test]
async fn a_question_is_seen_once_also_where_its_connection_ends_without_an_answer() {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let receiver = Receiver::start(move |request| {
        let is_first = seen.lock().unwrap().insert(request.connection);
        if is_first { yes() } else { Reply::Raw(Vec::new()) }
    })
    .await;
    let hooks = hooks(options(&receiver.url()));
    assert_eq!(hooks.connect(&ann()).await, allowed());
    assert_eq!(hooks.connect(&ann()).await, Answer::Failed);
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_in_between_is_no_failure() {
    let receiver = Receiver::start(|_| Reply::ThenClosed(Box::new(yes()))).await;
    let hooks = hooks(options(&receiver.url()));
    for _ in 0..30 {
        assert_eq!(hooks.connect(&ann()).await, allowed());
    }
    assert_eq!(receiver.requests().len(), 30);
}
