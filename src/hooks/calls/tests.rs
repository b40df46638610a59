use std::{
    io::{self, Write},
    sync::Mutex,
};

use support::receiver::{Receiver, Reply};

use super::*;
use crate::domain::{
    calls::NoCalls,
    clock::{SystemClock, SystemRng},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"hook":"onJoin","instance":"i","userName":"secretive"}"#;

/// Calls this URL by two hooks, and gives a call all the time that a busy machine may need.
fn options(url: &str) -> Options {
    Options {
        whose: Whose::ChatService,
        url: config::HttpUrl::parse(url).unwrap(),
        signer: Signer::new(&config::SigningSecret::parse(SECRET).unwrap(), None),
        timeout: support::BOUND,
        names: ["onJoin", "roomMessageBefore"].map(str::to_owned).into(),
        authorities: None,
    }
}

fn calls(options: Options) -> HookCalls {
    let parts = Parts {
        tasks: tokio_util::task::TaskTracker::new(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        metrics: Arc::default(),
    };
    HookCalls::new(options, parts).unwrap()
}

fn failures(calls: &HookCalls, hook: &str) -> Option<u64> {
    failures_of(calls, "chat_service", hook)
}

fn failures_of(calls: &HookCalls, dialect: &str, hook: &str) -> Option<u64> {
    let series = format!("always_online_{dialect}_hook_failures_total{{hook=\"{hook}\"}} ");
    let page = calls.metrics.text();
    page.lines().find_map(|line| line.strip_prefix(&series)).map(|count| count.parse().unwrap())
}

#[tokio::test]
async fn each_call_is_a_signed_post_and_its_answer_is_passed_on_as_it_is() {
    let receiver = Receiver::start(|request| match request.json()["n"].as_u64() {
        Some(1) => Reply::text(200, r#"{"userName":"bob"}"#),
        Some(2) => Reply::text(204, ""),
        _ => Reply::text(200, "<html>It works!</html>"),
    })
    .await;
    let calls = calls(options(&receiver.url()));
    let mut answers = Vec::new();
    for n in 1..=3 {
        answers.push(calls.call("onJoin", format!("{{\"n\":{n}}}")).await);
    }
    let expected = [r#"{"userName":"bob"}"#, "", "<html>It works!</html>"];
    assert_eq!(answers, expected.map(|text| Some(text.to_owned())));
    assert_eq!(failures(&calls, "onJoin"), Some(0));

    let signer = options(&receiver.url()).signer;
    let mut ids = HashSet::new();
    for (request, n) in receiver.requests().iter().zip(1..) {
        let header = |name| request.header(name).unwrap();
        assert_eq!(request.line, "POST /hooks");
        assert_eq!(request.body, format!("{{\"n\":{n}}}"));
        assert_eq!(header("content-type"), "application/json");
        let (id, at) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
        assert_eq!(header("webhook-signature"), signer.signature(id, at, request.body.as_bytes()));
        ids.insert(id.to_owned());
    }
    assert_eq!(ids.len(), 3, "each has an id of its own");
}

/// Everything that is no answer.
fn not_answers() -> Vec<Reply> {
    let moved = |status| Reply::Full {
        status,
        headers: vec![("location", "/hooks".to_owned())],
        body: "{}".into(),
    };
    vec![
        moved(302),
        moved(307),
        Reply::text(201, "{}"),
        Reply::text(400, "{}"),
        Reply::text(500, "{}"),
        Reply::text(200, ""),
        Reply::text(200, "x".repeat(LARGEST_ANSWER + 1)),
        Reply::Raw(Vec::new()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}".to_vec()),
    ]
}

#[tokio::test]
async fn anything_but_an_answer_is_a_failure_which_is_counted_and_not_tried_again() {
    for reply in not_answers() {
        let receiver = Receiver::start({
            let reply = reply.clone();
            move |_| reply.clone()
        })
        .await;
        let calls = calls(options(&receiver.url()));
        let shown = format!("{reply:.60?}");
        assert_eq!(calls.call("onJoin", BODY.into()).await, None, "{shown}");
        assert_eq!(receiver.requests().len(), 1, "{shown}: one attempt");
        assert_eq!(failures(&calls, "onJoin"), Some(1), "{shown}");
        assert_eq!(failures(&calls, "roomMessageBefore"), Some(0), "{shown}");
    }
}

#[tokio::test]
async fn the_largest_answer_is_one() {
    let answer = "x".repeat(LARGEST_ANSWER);
    let reply = Reply::text(200, answer.clone());
    let receiver = Receiver::start(move |_| reply.clone()).await;
    let calls = calls(options(&receiver.url()));
    assert!(calls.call("onJoin", BODY.into()).await.is_some_and(|text| text == answer));
}

#[tokio::test]
async fn who_hangs_nobody_or_somebody_else_fails() {
    let receiver = Receiver::start(|_| Reply::Hang).await;
    let hanging = options(&receiver.url());
    let slow = calls(Options { timeout: Duration::from_millis(50), ..hanging });
    assert_eq!(slow.call("onJoin", BODY.into()).await, None);
    assert_eq!(failures(&slow, "onJoin"), Some(1));

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = calls(options(&format!("http://{gone}/")));
    assert_eq!(nobody.call("onJoin", BODY.into()).await, None);

    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["c", "k"].map(|name| folder.path().join(name));
    support::tls::issue(&certificate, &key);
    let receiver = Receiver::under_tls(&certificate, &key, |_| Reply::text(200, "{}")).await;
    let stranger = calls(options(&receiver.url()));
    assert_eq!(stranger.call("onJoin", BODY.into()).await, None);
    let known = calls(Options { authorities: Some(certificate), ..options(&receiver.url()) });
    assert_eq!(known.call("onJoin", BODY.into()).await.as_deref(), Some("{}"));
}

#[tokio::test]
async fn hooks_that_are_not_configured_call_nobody() {
    let receiver = Receiver::start(|_| Reply::text(200, "{}")).await;
    let calls = calls(options(&receiver.url()));
    assert!(calls.calls("onJoin") && calls.calls("roomMessageBefore"));
    for hook in ["onLeave", "onjoin", "roomMessage", "roomMessageAfter", ""] {
        assert!(!calls.calls(hook), "{hook}");
        assert_eq!(calls.call(hook, BODY.into()).await, None, "{hook}");
        assert_eq!(failures(&calls, hook), None, "{hook}");
    }
    assert!(!NoCalls.calls("onJoin"));
    assert_eq!(NoCalls.call("onJoin", BODY.into()).await, None);
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn the_hooks_of_tinode_are_counted_for_themselves() {
    let receiver = Receiver::start(|_| Reply::text(500, "")).await;
    let url = receiver.url();
    let of = |set: &[(&str, &str)]| {
        let environment = set
            .iter()
            .map(|(name, value)| (format!("AO_TINODE__{name}").into(), (*value).to_owned().into()));
        let flags = config::Flags::new();
        let config = config::Config::load(None, environment, &flags).unwrap();
        Options::of_tinode(&config.tinode)
    };
    let set = [("HOOKS", "push"), ("HOOK_URL", &url), ("HOOK_SECRET", SECRET)];
    assert!(of(&set).is_none(), "nobody comes to where it is not served");
    let listen = ("LISTEN", "127.0.0.1:0");
    assert!(of(&[listen]).is_none());
    let calls = calls(of(&[&set[..], &[listen]].concat()).unwrap());
    assert!(calls.calls("push") && !calls.calls("credential"));
    assert_eq!(failures_of(&calls, "tinode", "push"), Some(0));
    assert_eq!(calls.call("push", BODY.into()).await, None);
    assert_eq!(failures_of(&calls, "tinode", "push"), Some(1));
    assert_eq!(failures(&calls, "push"), None);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_call_counts_from_its_beginning_to_wait() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let time = Duration::from_secs(5);
    let calls = calls(Options { timeout: time, ..options(&format!("http://{gone}/")) });
    let all = calls.turns.acquire_many(u32::try_from(AT_A_TIME).unwrap()).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(calls.call("onJoin", BODY.into()).await, None);
    assert_eq!(begun.elapsed(), time, "it had no turn");
    let places = calls.places.acquire_many(u32::try_from(MOST).unwrap()).await.unwrap();
    assert!(matches!(calls.in_turn(BODY.into()).await, Err(Failure::Full)));
    assert_eq!(begun.elapsed(), time, "and it is known at once that too many wait");
    drop((all, places));
    assert_eq!(calls.turns.available_permits(), AT_A_TIME);
    assert_eq!(calls.places.available_permits(), MOST);
}

#[tokio::test]
async fn so_many_are_called_at_a_time_and_the_others_wait() {
    let answer = Reply::text(200, "{}");
    let later = Reply::Later(Duration::from_millis(20), Box::new(answer));
    let receiver = Receiver::start(move |_| later.clone()).await;
    let calls = calls(options(&receiver.url()));
    let storm = (0..3 * AT_A_TIME).map(|_| calls.call("onJoin", "{}".into()));
    let answers = futures_util::future::join_all(storm).await;
    assert!(answers.iter().all(|answer| answer.as_deref() == Some("{}")));
    assert_eq!(receiver.requests().len(), 3 * AT_A_TIME);
    assert!(receiver.most_at_once() <= AT_A_TIME, "{} at once", receiver.most_at_once());
}

/// What is logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_secret_nor_body_nor_answer_is_logged() {
    let receiver = Receiver::start(|_| Reply::text(500, "confidential")).await;
    let calls = calls(options(&format!("{}?key=hidden", receiver.url())));
    let page = Page::default();
    let way_in = page.clone();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || way_in.clone())
        .with_ansi(false)
        .finish();
    let logged = tracing::subscriber::set_default(log);
    // Where another test is told of a failure in this very moment, who listens here may be
    // overlooked until that is looked at anew.
    for _ in 0..2 {
        assert_eq!(calls.call("onJoin", BODY.into()).await, None);
        tracing::callsite::rebuild_interest_cache();
    }
    assert_eq!(calls.call("onJoin", BODY.into()).await, None);
    drop(logged);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("a hook of chat-service failed"));
    let line = line.unwrap_or_else(|| panic!("it is not told: {text}"));
    assert!(line.contains("hook=\"onJoin\"") && line.contains("status 500"), "{line}");
    let shown = format!("{:?}", options(&receiver.url()));
    for word in ["MfKQ", "secretive", "confidential", "hidden"] {
        assert!(!line.contains(word) && !shown.contains(word), "{word}: {line}, {shown}");
    }
}
