//! Business servers: hooks that are asked about clients here, and erasing what somebody has said.
use serde_json::{Value, json};
use support::{
    http,
    own_redis::OwnRedis,
    receiver::{Receiver, Reply},
    server::{Server, Setup},
    soon,
    wire::socket::Socket,
};

use super::client::{Client, Got, place, setup};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn yes() -> Reply {
    Reply::Json(json!({ "result": {} }))
}

fn no() -> Reply {
    Reply::Json(json!({ "error": { "code": 7, "message": "no" } }))
}

/// A server that asks this receiver about the rooms of these patterns.
fn asking(receiver: &Receiver, rooms: &str) -> Setup {
    setup()
        .env("AO_HOOK__URL", receiver.url())
        .env("AO_HOOK__SECRET", SECRET)
        .env("AO_HOOK__TIMEOUT", "30s")
        .env("AO_HOOK__ROOMS", rooms)
}

fn frame(uuid: &str, text: &str) -> String {
    json!({ "type": 2, "uuid": uuid, "body": { "data": text } }).to_string()
}

/// The uuid of an acknowledgement.
fn acknowledged(text: &str) -> Value {
    serde_json::from_str::<Value>(text).expect("an acknowledgement")["uuid"].take()
}

#[tokio::test]
async fn a_business_server_says_who_enters_and_what_is_sent() {
    let receiver = Receiver::start(|request| {
        let asked = request.json();
        let data = &asked["data"];
        let text = data["message"]["body"]["data"].as_str().or(data["message"].as_str());
        match (asked["type"].as_str().unwrap(), data["roomId"].as_str().unwrap(), text) {
            ("hook.join", "gotapi:/closed", _) => no(),
            ("hook.join", ..) => yes(),
            (_, _, Some("bad" | "low bad")) => no(),
            (_, _, Some("worse")) => Reply::Json(json!({ "disconnect": { "reason": "enough" } })),
            (_, _, Some("loud")) => {
                let message = json!({ "type": 2, "uuid": "3", "body": { "data": "quiet" } });
                Reply::Json(json!({ "result": { "message": message } }))
            }
            _ => yes(),
        }
    })
    .await;
    let server = asking(&receiver, "gotapi:*").start().await;
    let refused = Socket::upgrade(place(&server), "/closed", &[]).await.err().expect("a refusal");
    assert!(refused.to_string().contains("403"), "{refused}");

    let mut ann = Client::join(place(&server), "/open").await;
    let mut ben = Client::join(place(&server), "/open").await;
    ann.send("low bad").await;
    ann.send(&frame("1", "bad")).await;
    ann.send(&frame("2", "good")).await;
    ann.send(&frame("3", "loud")).await;
    ann.send("low good").await;
    for uuid in ["2", "3"] {
        assert_eq!(acknowledged(&ann.text().await), uuid, "what is refused is not acknowledged");
    }
    assert_eq!(ben.text().await, frame("2", "good"));
    let quiet: Value = serde_json::from_str(&ben.text().await).unwrap();
    assert_eq!(quiet["body"]["data"], "quiet");
    assert_eq!(ben.text().await, "low good");
    // By HTTP, too.
    let post = async |text: &str| http::request(place(&server), "POST", "/open", &[], text).await;
    let refused = post("low bad").await;
    assert_eq!((refused.status, refused.json()), (403, json!({ "msg": "not allowed" })));
    assert_eq!(post("by post").await.status, 200);
    assert_eq!(ben.text().await, "by post");
    ann.send(&frame("4", "worse")).await;
    while ann.next().await != Got::End(Some(1008)) {}

    let asked: Vec<Value> = receiver.requests().iter().map(|request| request.json()).collect();
    let join = &asked[1]["data"];
    assert_eq!((&join["roomId"], &join["dummy"]), (&json!("gotapi:/open"), &json!(false)));
    let uid = join["uid"].as_str().expect("a name of the connection");
    assert!(uid.starts_with("gotapi ") && join["connection"] == uid, "{join}");
    assert_eq!((&join["address"], &join["meta"]), (&json!("127.0.0.1"), &Value::Null));
    assert!(!asked.iter().any(|asked| asked["type"] == "hook.connect"), "nobody signs in");
}

#[tokio::test]
async fn without_a_pattern_that_names_the_dialect_nobody_is_asked() {
    let receiver = Receiver::start(|_| no()).await;
    let server = asking(&receiver, "*").start().await;
    let mut ann = Client::join(place(&server), "/open").await;
    ann.send(&frame("1", "hello")).await;
    assert_eq!(acknowledged(&ann.text().await), "1");
    assert_eq!(receiver.requests().len(), 0);
}

#[tokio::test]
async fn without_a_valid_answer_nothing_is_let_in() {
    let receiver = Receiver::start(|_| Reply::Json(json!({}))).await;
    let server = asking(&receiver, "gotapi:*").start().await;
    let refused = Socket::upgrade(place(&server), "/open", &[]).await.err().expect("a refusal");
    assert!(refused.to_string().contains("503"), "{refused}");
    let posted = http::request(place(&server), "POST", "/open", &[], "hello").await;
    assert_eq!(posted.status, 503);
}

#[tokio::test]
async fn behind_a_proxy_that_is_believed_the_client_is_named() {
    let receiver = Receiver::start(|_| yes()).await;
    let server = asking(&receiver, "gotapi:*").env("AO_LIMITS__PROXIES", "127.0.0.1");
    let server = server.start().await;
    let header = [("x-forwarded-for", "203.0.113.7")];
    let mut ann = Client::of(Socket::upgrade(place(&server), "/open", &header).await.unwrap());
    ann.send(&frame("1", "hello")).await;
    assert_eq!(acknowledged(&ann.text().await), "1");
    let posted = http::request(place(&server), "POST", "/open", &header, "by post").await;
    assert_eq!(posted.status, 200);
    let address = |json: Value| json["data"]["address"].clone();
    let addresses: Vec<Value> =
        receiver.requests().iter().map(|request| address(request.json())).collect();
    assert_eq!(addresses, ["203.0.113.7"; 3], "of the join and of both messages");
}

#[tokio::test]
async fn whether_a_message_is_asked_about_is_decided_when_it_comes() {
    let receiver = Receiver::start(|_| no()).await;
    let setup = setup();
    let file = setup.scratch().join("always-online.toml");
    std::fs::write(&file, "").unwrap();
    let flag = ["--config".to_owned(), file.to_str().unwrap().to_owned()];
    let server = setup.args(flag).start().await;
    let (uid, token) = server.admin();
    let credentials = format!("Bearer {uid}:{token}");
    let reload = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let headers = [("content-type", "application/json"), ("authorization", &*credentials)];
        let answer = http::request(server.api(), "POST", "/v1/reload", &headers, "{}").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let mut ann = Client::join(place(&server), "/open").await;
    let mut ben = Client::join(place(&server), "/open").await;
    let hook = format!(
        "[hook]\nurl = \"{}\"\nsecret = \"{SECRET}\"\nrooms = \"gotapi:*\"\n",
        receiver.url()
    );
    for (text, uuid) in [("", "1"), (&*hook, "2"), ("", "3")] {
        reload(text).await;
        ann.send(&frame(uuid, uuid)).await;
        if text.is_empty() {
            assert_eq!(acknowledged(&ann.text().await), uuid);
            assert_eq!(ben.text().await, frame(uuid, uuid));
        } else {
            soon("the question", async {
                while receiver.requests().is_empty() {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            })
            .await;
        }
    }
    assert_eq!(receiver.requests().len(), 1, "of the message between the reloads");
}

/// Of two messages the one goes that says in its own fields whose it is.
async fn what_says_whose_it_is_goes(server: &Server, other: &Server) {
    let mut ann = Client::join(place(server), "/erased").await;
    let signed = r#"{"type":2,"uuid":"1","uid":"ann","body":{"data":"quo-usque-tandem"}}"#;
    ann.send(signed).await;
    ann.send(&frame("2", "of nobody")).await;
    for uuid in ["1", "2"] {
        assert_eq!(acknowledged(&ann.text().await), uuid);
    }
    let command = server.setup().clone().args(["erase", "ann"]);
    assert!(command.run().await.succeeds().contains("inserts: 1\n"));
    let history = async || {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = "groupName=/erased";
        http::request(place(other), "POST", "/__/history", &form, body).await.json()
    };
    soon("it is gone everywhere", async {
        while history().await["data"] != json!([frame("2", "of nobody")]) {}
    })
    .await;
}

#[tokio::test]
async fn what_says_whose_it_is_is_erased() {
    let server = setup().start().await;
    what_says_whose_it_is_goes(&server, &server).await;
    let redis = OwnRedis::durable().await;
    let on = || setup().env("AO_STORE__MESSAGES", redis.url());
    let (one, other) = tokio::join!(on().start(), on().start());
    what_says_whose_it_is_goes(&one, &other).await;
}
