//! Hooks that are waited for: a business server that is asked before clients connect, join and send,
//! as it should be and as it should not.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    client::{Client, Packet},
    http,
    own_redis::OwnRedis,
    receiver::{Received, Receiver, Reply},
    server::{Server, Setup},
    soon,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn success(of: &str) -> Value {
    json!({ "status": 0, "data": format!("{of} success") })
}

fn failure(why: &str) -> Value {
    json!({ "status": 1, "data": why })
}

fn yes() -> Reply {
    Reply::Json(json!({ "result": {} }))
}

fn no(code: i64, message: &str) -> Reply {
    Reply::Json(json!({ "error": { "code": code, "message": message } }))
}

fn kind(request: &Received) -> String {
    request.json()["type"].as_str().unwrap().trim_start_matches("hook.").to_owned()
}

/// A server that asks this receiver about everything, and lets in anybody.
fn asking(receiver: &Receiver) -> Setup {
    Setup::new()
        .env("AO_HOOK__URL", receiver.url())
        .env("AO_HOOK__SECRET", SECRET)
        .env("AO_HOOK__TIMEOUT", "30s")
        .env("AO_AUTH__IGNORE", "true")
        .env("AO_AUTH__RATE_LIMIT", "off")
}

async fn signs_in(client: &mut Client, uid: &str) -> Value {
    client.emit("authenticate", &json!({ "uid": uid, "token": "any" }));
    client.event("authenticate").await
}

async fn joins(client: &mut Client, room: &str) -> Value {
    client.emit("join", &json!({ "roomId": room }));
    client.until("join").await
}

/// A member of a room, whose token does not matter.
async fn member(server: &Server, uid: &str, room: &str) -> Client {
    let mut client = server.guest().await;
    assert_eq!(signs_in(&mut client, uid).await, success("auth"));
    assert_eq!(joins(&mut client, room).await, success("join"));
    client
}

/// The texts of all messages of the room, in their order.
async fn texts(member: &Client) -> Vec<Value> {
    let page = member.sync(&json!({ "offset": 0 })).await;
    page["data"].as_array().unwrap().iter().map(|message| message["text"].clone()).collect()
}

async fn counted(server: &Server, what: &str) -> bool {
    http::get(server.api(), "/metrics").await.body.contains(what)
}

#[tokio::test]
async fn a_business_server_is_asked_about_every_step_and_told_what_it_needs_to_know() {
    let receiver = Receiver::start(|_| yes()).await;
    let server = asking(&receiver).start().await;
    let ann = member(&server, "ann", "lobby").await;
    ann.send(&json!({ "text": "hello", "storage": 0 })).await;
    let asked = receiver.requests();
    let kinds: Vec<_> = asked.iter().map(kind).collect();
    assert_eq!(kinds, ["connect", "join", "message"]);
    let data: Vec<Value> = asked.iter().map(|request| request.json()["data"].clone()).collect();
    let connection = &data[0]["connection"];
    assert!(connection.as_str().is_some_and(|name| name.len() == 20), "{connection}");
    for data in &data {
        assert_eq!((&data["uid"], &data["meta"]), (&json!("ann"), &Value::Null));
        assert_eq!((&data["address"], &data["connection"]), (&json!("127.0.0.1"), connection));
    }
    assert_eq!((&data[1]["roomId"], &data[1]["dummy"]), (&json!("lobby"), &json!(false)));
    assert_eq!(data[2]["message"]["text"], json!("hello"));
    assert!(asked.iter().all(|request| !request.body.contains("any")), "no token is told");
    assert!(asked.iter().all(|request| request.header("webhook-signature").is_some()));
    assert!(counted(&server, r#"always_online_hook_attempts_total{event="message"} 1"#).await);

    // What an administrator publishes is not asked about.
    let (uid, token) = server.admin();
    let path = format!("/admin/rooms/lobby/users?uid={uid}&token={token}");
    http::get(server.websocket(), &path).await;
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_an_end_is_one() {
    let receiver = Receiver::start(|request| {
        let data = &request.json()["data"];
        let has = |name: &str, value: &str| data[name] == value;
        match kind(request).as_str() {
            "connect" if has("uid", "mal") => no(403, "go \"away\""),
            "connect" if has("uid", "eve") => {
                Reply::Json(json!({ "disconnect": { "reason": "banned" } }))
            }
            "connect" if has("uid", "bob") => {
                Reply::Json(json!({ "disconnect": { "reason": "moved", "reconnect": true } }))
            }
            "join" if has("roomId", "closed") => no(1, "closed"),
            "join" if has("roomId", "trap") => {
                Reply::Json(json!({ "disconnect": { "reason": "trapped" } }))
            }
            "message" if data["message"]["text"] == "damn" => no(2, "manners"),
            "message" if data["message"]["text"] == "bye" => {
                Reply::Json(json!({ "disconnect": { "reason": "bye", "reconnect": true } }))
            }
            _ => yes(),
        }
    })
    .await;
    let server = asking(&receiver).start().await;
    let because = |code: i64, message: &str, why: &str| json!({ "status": 1, "data": why, "error": { "code": code, "message": message } });

    let mut mal = server.guest().await;
    assert_eq!(signs_in(&mut mal, "mal").await, because(403, "go \"away\"", "not allowed"));
    assert_eq!(mal.rest().await, [Packet::Disconnect, Packet::Closed]);
    let mut eve = server.guest().await;
    assert_eq!(signs_in(&mut eve, "eve").await, failure("not allowed"));
    assert_eq!(eve.rest().await, [Packet::Disconnect, Packet::Closed]);
    let mut bob = server.guest().await;
    assert_eq!(signs_in(&mut bob, "bob").await, failure("not allowed"));
    assert_eq!(bob.rest().await, [Packet::Closed], "it comes back");

    let mut ann = member(&server, "ann", "lobby").await;
    let closed = because(1, "closed", "join failed, not allowed");
    assert_eq!(joins(&mut ann, "closed").await, closed);
    let manners = because(2, "manners", "not allowed");
    assert_eq!(ann.emit_with_ack("msg", &json!({ "text": "damn" })).await, manners);
    ann.send(&json!({ "text": "sorry" })).await;
    assert_eq!(texts(&ann).await, ["sorry"]);
    let bye = ann.emit_with_ack("msg", &json!({ "text": "bye" })).await;
    assert_eq!(bye, failure("not allowed"));
    let rest = ann.rest().await;
    assert_eq!(rest.last(), Some(&Packet::Closed));
    assert!(!rest.contains(&Packet::Disconnect), "it comes back: {rest:?}");

    let mut carl = member(&server, "carl", "lobby").await;
    assert_eq!(joins(&mut carl, "trap").await, failure("join failed, not allowed"));
    let rest = carl.rest().await;
    assert_eq!(rest[rest.len() - 2..], [Packet::Disconnect, Packet::Closed]);
    let dora = member(&server, "dora", "lobby").await;
    assert_eq!(texts(&dora).await, ["sorry"]);
}

#[tokio::test]
async fn a_session_that_was_refused_takes_nothing_from_the_one_before() {
    let lets_in = Arc::new(AtomicBool::new(true));
    let receiver = Receiver::start({
        let lets_in = lets_in.clone();
        move |_| if lets_in.load(Ordering::SeqCst) { yes() } else { no(1, "one is enough") }
    })
    .await;
    let server = asking(&receiver).start().await;
    let first = member(&server, "ann", "lobby").await;
    lets_in.store(false, Ordering::SeqCst);
    let mut second = server.guest().await;
    assert_eq!(signs_in(&mut second, "ann").await["status"], 1);
    lets_in.store(true, Ordering::SeqCst);
    first.send(&json!({ "text": "still here" })).await;
}

#[tokio::test]
async fn a_hook_may_change_the_message_and_what_the_session_may_do() {
    let receiver = Receiver::start(|request| match kind(request).as_str() {
        "connect" => Reply::Json(json!({ "result": {
            "meta": { "role": "guest" },
            "caps": [{ "rooms": ["lobby"], "allow": ["join", "send", "sync"] }],
        }})),
        "message" => Reply::Json(json!({ "result": { "message": {
            "text": "***", "storage": 0, "uid": "somebody else",
        }}})),
        _ => yes(),
    })
    .await;
    let server = asking(&receiver).start().await;
    let mut bob = member(&server, "bob", "lobby").await;
    let mut ann = member(&server, "ann", "lobby").await;
    bob.event("remote_join").await;
    assert_eq!(joins(&mut ann, "elsewhere").await, failure("join failed, not allowed"));
    ann.send(&json!({ "text": "damn", "storage": 0 })).await;
    let got = bob.event("msg").await;
    assert_eq!((&got["text"], &got["uid"]), (&json!("***"), &json!("ann")));
    assert_eq!(texts(&bob).await, ["***"]);
    // A session's rights last although the same token is presented once more.
    ann.emit("authenticate", &json!({ "uid": "ann", "token": "any" }));
    assert_eq!(ann.until("authenticate").await, success("auth"));
    assert_eq!(joins(&mut ann, "elsewhere").await, failure("join failed, not allowed"));
    let asked = receiver.requests();
    let last = asked.iter().rfind(|request| kind(request) == "message").unwrap();
    assert_eq!(last.json()["data"]["meta"], json!({ "role": "guest" }));
    assert!(!asked.iter().any(|request| request.body.contains("elsewhere")), "caps come first");
}

#[tokio::test]
async fn a_session_ends_when_a_hook_said_that_it_would() {
    let receiver =
        Receiver::start(|_| Reply::Json(json!({ "result": { "expireAt": 1_700_000_000 } }))).await;
    let setup = asking(&receiver).env("AO_HOOK__EVENTS", "connect");
    let server = setup.env("AO_JWT__GRACE", "1s").start().await;
    let mut ann = server.guest().await;
    assert_eq!(signs_in(&mut ann, "ann").await, success("auth"));
    let rest = ann.rest().await;
    let expired = Packet::Event("authenticate".into(), failure("token expired"));
    assert!(rest.contains(&expired) && !rest.contains(&Packet::Disconnect), "{rest:?}");
}

#[tokio::test]
async fn who_waits_for_an_answer_does_not_outlive_its_session() {
    let receiver =
        Receiver::start(|request| match request.json()["data"]["message"]["text"].as_str() {
            Some("first") => Reply::Json(json!({ "result": { "expireAt": 1_700_000_000 } })),
            Some(_) => Reply::Hang,
            None => yes(),
        })
        .await;
    let setup = asking(&receiver).env("AO_HOOK__TIMEOUT", "10m");
    let server = setup.env("AO_JWT__GRACE", "1s").start().await;
    let mut bob = member(&server, "bob", "lobby").await;
    let mut ann = member(&server, "ann", "lobby").await;
    ann.send(&json!({ "text": "first" })).await;
    ann.emit("msg", &json!({ "text": "second" }));
    ann.emit("msg", &json!({ "text": "third" }));
    let rest = ann.rest().await;
    let expired = Packet::Event("authenticate".into(), failure("token expired"));
    assert!(rest.contains(&expired) && !rest.contains(&Packet::Disconnect), "{rest:?}");
    assert_eq!(bob.until("msg").await["text"], "first");
}

/// Everything that is no answer, in the words of the metrics.
fn broken() -> Vec<(&'static str, Reply)> {
    let location = vec![("location", "http://127.0.0.1:9/".to_owned())];
    let consent = r#"{"result":{}}"#.to_owned();
    vec![
        ("malformed", Reply::text(200, "<html>It works!</html>")),
        ("malformed", Reply::Json(json!({}))),
        ("too large", Reply::text(200, "x".repeat(10 << 20))),
        ("status", Reply::Full { status: 302, headers: location, body: consent }),
        ("broken", Reply::Raw(Vec::new())),
        ("timeout", Reply::Hang),
    ]
}

#[tokio::test]
async fn what_is_no_answer_is_no_consent() {
    for (reason, reply) in broken() {
        // The user `ok` is let in and may do everything but what is about `x`.
        let receiver = Receiver::start({
            let reply = reply.clone();
            move |request| {
                let data = &request.json()["data"];
                let about = [&data["uid"], &data["roomId"], &data["message"]["text"]];
                if about.contains(&&json!("x")) { reply.clone() } else { yes() }
            }
        })
        .await;
        let server = asking(&receiver).env("AO_HOOK__TIMEOUT", "1s").start().await;
        let mut guest = server.guest().await;
        assert_eq!(signs_in(&mut guest, "x").await, failure("server error"), "{reason}");
        let mut ok = member(&server, "ok", "lobby").await;
        assert_eq!(joins(&mut ok, "x").await, failure("server error"), "{reason}");
        let unavailable = failure("store unavailable");
        let lost = json!({ "text": "x" });
        assert_eq!(ok.emit_with_ack("msg", &lost).await, unavailable, "{reason}");
        ok.send(&json!({ "text": "y" })).await;
        assert_eq!(texts(&ok).await, ["y"], "{reason}");
        // Who does not ask has to come back to learn of it.
        ok.emit("msg", &lost);
        let rest = ok.rest().await;
        assert!(!rest.contains(&Packet::Disconnect), "{reason}: {rest:?}");
        assert_eq!(guest.rest().await, [Packet::Closed], "dropped, some time later: {reason}");
        let failures =
            format!(r#"always_online_hook_failures_total{{event="message",reason="{reason}"}} 2"#);
        assert!(counted(&server, &failures).await, "{failures}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_consent_where_that_was_chosen() {
    let receiver = Receiver::start(|_| Reply::text(200, "<html>")).await;
    let server = asking(&receiver).env("AO_HOOK__ON_FAILURE", "allow").start().await;
    let ann = member(&server, "ann", "lobby").await;
    ann.send(&json!({ "text": "hello" })).await;
    assert_eq!(texts(&ann).await, ["hello"]);
    drop(receiver);
    let bob = member(&server, "bob", "lobby").await;
    bob.send(&json!({ "text": "nobody is there" })).await;
}

#[tokio::test]
async fn only_the_chosen_events_and_rooms_are_asked_about() {
    let receiver = Receiver::start(|_| no(1, "no")).await;
    let server = asking(&receiver)
        .env("AO_HOOK__EVENTS", "join,message")
        .env("AO_HOOK__ROOMS", "vip:*")
        .start()
        .await;
    let mut ann = member(&server, "ann", "lobby").await;
    ann.send(&json!({ "text": "free" })).await;
    assert!(receiver.requests().is_empty());
    assert_eq!(joins(&mut ann, "vip:1").await["status"], 1);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn where_hooks_have_access_every_join_has_to_be_asked_about() {
    let ran = Setup::new().env("AO_ROOMS__ACCESS", "hook").args(["check-config"]).run().await;
    ran.fails(2, &["rooms.access is hook", "hook.url"]);
    let receiver = Receiver::start(|request| match request.json()["data"]["roomId"].as_str() {
        Some("lobby") => yes(),
        _ => no(1, "no"),
    })
    .await;
    let server = asking(&receiver)
        .env("AO_ROOMS__ACCESS", "hook")
        .env("AO_HOOK__EVENTS", "join")
        .start()
        .await;
    let mut ann = member(&server, "ann", "lobby").await;
    assert_eq!(joins(&mut ann, "other").await["status"], 1);
}

/// Sends numbered messages as fast as it can, while each is asked about for some time.
async fn keeps_the_order(sender: &Client, hears: &mut Client, messages: usize) {
    let acks: Vec<_> = (0..messages)
        .map(|i| sender.sender().request("msg", &json!({ "text": i, "storage": 0 })))
        .collect();
    for i in 0..messages {
        assert_eq!(hears.until("msg").await["text"], json!(i));
    }
    for ack in acks {
        assert_eq!(soon("an acknowledgement", ack).await.unwrap(), success("msg"));
    }
    let stored = texts(hears).await;
    assert_eq!(stored, (0..messages).map(|i| json!(i)).collect::<Vec<_>>());
}

/// Takes longer for the first messages than for the later ones.
fn slower_at_first(request: &Received) -> Reply {
    let text = request.json()["data"]["message"]["text"].as_u64();
    match text {
        Some(i) => Reply::Later(Duration::from_millis(20_u64.saturating_sub(i)), Box::new(yes())),
        None => yes(),
    }
}

#[tokio::test]
async fn a_members_messages_keep_their_order_while_hooks_are_slow() {
    let receiver = Receiver::start(slower_at_first).await;
    let server = asking(&receiver).start().await;
    let mut bob = member(&server, "bob", "lobby").await;
    let ann = member(&server, "ann", "lobby").await;
    keeps_the_order(&ann, &mut bob, 30).await;
}

#[tokio::test]
async fn members_do_not_wait_for_each_others_hooks_and_leave_behind_their_own() {
    let receiver = Receiver::start(|request| {
        let data = &request.json()["data"];
        match (kind(request).as_str(), data["uid"].as_str()) {
            ("message", Some("slow")) => Reply::Later(Duration::from_secs(2), Box::new(yes())),
            _ => yes(),
        }
    })
    .await;
    let server = asking(&receiver).start().await;
    let mut bob = member(&server, "bob", "lobby").await;
    let slow = member(&server, "slow", "lobby").await;
    let fast = member(&server, "fast", "lobby").await;
    slow.emit("msg", &json!({ "text": "slow" }));
    receiver.wait_for(7).await;
    fast.send(&json!({ "text": "fast" })).await;
    assert_eq!(bob.until("msg").await["text"], json!("fast"));
    // Who goes is told of behind its last message, for which a hook is being asked.
    drop(slow);
    assert_eq!(bob.until("msg").await["text"], json!("slow"));
    assert_eq!(bob.event("remote_disconnect").await, json!({ "uid": "slow" }));
}

#[tokio::test]
async fn all_clients_come_back_at_once() {
    let receiver =
        Receiver::start(|_| Reply::Later(Duration::from_millis(20), Box::new(yes()))).await;
    let server = asking(&receiver).env("AO_HOOK__CONCURRENCY", "16").start().await;
    let clients = (0..500).map(async |i| member(&server, &format!("u{i}"), "lobby").await);
    let clients = futures_util::future::join_all(clients).await;
    assert_eq!(clients.len(), 500);
    assert!(receiver.most_at_once() <= 16, "{} at once", receiver.most_at_once());
    assert_eq!(receiver.requests().len(), 1000);
}

#[tokio::test]
async fn a_business_server_that_is_out_is_asked_again_when_it_is_back() {
    let works = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let works = works.clone();
        move |_| if works.load(Ordering::SeqCst) { yes() } else { Reply::text(503, "") }
    })
    .await;
    let server = asking(&receiver).start().await;
    let guests = (0..30).map(async |i| {
        let mut guest = server.guest().await;
        assert_eq!(signs_in(&mut guest, &format!("u{i}")).await, failure("server error"));
        assert_eq!(guest.rest().await, [Packet::Closed]);
    });
    futures_util::future::join_all(guests).await;
    assert!(counted(&server, "always_online_hook_breaker_open 1").await);
    works.store(true, Ordering::SeqCst);
    let back = async {
        loop {
            let mut guest = server.guest().await;
            if signs_in(&mut guest, "ann").await == success("auth") {
                return;
            }
        }
    };
    soon("a sign-in", back).await;
    assert!(counted(&server, "always_online_hook_breaker_open 0").await);
}

#[tokio::test]
async fn two_nodes_on_redis_ask_alike_and_keep_the_order() {
    let receiver = Receiver::start(slower_at_first).await;
    let redis = OwnRedis::durable().await;
    let node = || asking(&receiver).env("AO_STORE__MESSAGES", redis.url());
    let (a, b) = tokio::join!(node().start(), node().start());
    let mut bob = member(&b, "bob", "lobby").await;
    let ann = member(&a, "ann", "lobby").await;
    keeps_the_order(&ann, &mut bob, 30).await;
    // The session that is asked about on one node takes over from the one on the other.
    let again = member(&b, "ann", "lobby").await;
    again.send(&json!({ "text": 30 })).await;
    assert_eq!(bob.until("msg").await["text"], json!(30));
}

#[tokio::test]
async fn an_unusable_file_of_authorities_is_named_at_the_start() {
    let ran = Setup::new()
        .env("AO_HOOK__URL", "https://127.0.0.1:9/")
        .env("AO_HOOK__SECRET", SECRET)
        .env("AO_HOOK__CA", "missing.pem")
        .args(["check-config"])
        .run()
        .await;
    ran.fails(2, &["missing.pem"]);
}
