//! Limits on what one connection does in rooms, and on sign-ins that fail. Whoever exceeds one is
//! told so, stays where it is, and may go on once that is lifted; nobody else notices.
use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use support::{
    client::{Client, Packet},
    http::{self, Answer},
    server::{Server, Setup},
    soon,
};

/// More sign-ins than have to fail until there is a wait, however slow this machine is.
const MANY: usize = 12;

/// A server with this in its configuration file.
async fn configured(text: &str) -> (Server, PathBuf) {
    let setup = Setup::new().env("AO_AUTH__IGNORE", "true");
    let file = setup.scratch().join("always-online.toml");
    fs::write(&file, text).unwrap();
    let flag = ["--config".to_owned(), file.to_str().unwrap().to_owned()];
    (setup.args(flag).start().await, file)
}

fn refused(why: &str) -> Value {
    json!({ "status": 1, "data": why })
}

/// The answer to a join.
async fn join(client: &Client, room: &str) -> Value {
    client.emit_with_ack("join", &json!({ "roomId": room })).await
}

/// The answer to a sign-in on a connection of its own.
async fn sign_in(server: &Server, uid: &str, token: &str) -> Value {
    let mut client = server.guest().await;
    client.emit("authenticate", &json!({ "uid": uid, "token": token }));
    client.until("authenticate").await
}

/// What a metric with a reason says.
async fn counted(server: &Server, name: &str, reason: &str) -> u64 {
    let page = http::get(server.api(), "/metrics").await.body;
    let name = format!("{name}{{reason=\"{reason}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

const JOINS: &str = "always_online_refused_joins_total";
const SIGN_INS: &str = "always_online_refused_sign_ins_total";

#[tokio::test]
async fn who_joins_too_often_is_told_so_until_a_reload_lifts_the_limit() {
    let (mut server, file) = configured("[limits]\njoins = \"2 in 1h\"\n").await;
    let mut anna = server.member("anna", "attic").await;
    anna.join("barn").await;
    assert_eq!(join(&anna, "cellar").await, refused("join failed, too often"));
    // She is where she was, and others come and go.
    anna.send(&json!({ "storage": "insert", "1": "in the barn" })).await;
    server.member("ben", "cellar").await.close().await;
    assert_eq!(counted(&server, JOINS, "joins").await, 1);
    fs::write(&file, "[limits]\njoins = \"off\"\n").unwrap();
    server.signal("HUP");
    server.logs("the configuration was read again").await;
    assert_eq!(join(&anna, "cellar").await["status"], 0);
}

#[tokio::test]
async fn a_connection_is_in_no_more_rooms_than_it_may_be() {
    let (mut server, file) = configured("[limits]\nrooms_per_connection = 2\n").await;
    let mut anna = server.member("anna", "attic").await;
    anna.join("barn").await;
    assert_eq!(join(&anna, "cellar").await, refused("join failed, in too many rooms"));
    assert_eq!(join(&anna, "attic").await["status"], 0, "one of her own, once more");
    assert_eq!(counted(&server, JOINS, "rooms per connection").await, 1);
    // Who comes back begins with none.
    anna.close().await;
    let mut anna = server.member("anna", "cellar").await;
    anna.join("loft").await;
    assert_eq!(join(&anna, "attic").await["status"], 1);
    fs::write(&file, "[limits]\nrooms_per_connection = 3\n").unwrap();
    server.signal("HUP");
    server.logs("the configuration was read again").await;
    assert_eq!(join(&anna, "attic").await["status"], 0);
}

#[tokio::test]
async fn a_connection_makes_so_many_rooms_and_enters_others_as_before() {
    let (server, _) = configured("[limits]\nnew_rooms = \"2 in 1h\"\n").await;
    let _ben = server.member("ben", "cellar").await;
    let mut anna = server.member("anna", "attic").await;
    anna.join("barn").await;
    assert_eq!(join(&anna, "loft").await, refused("join failed, too many new rooms"));
    assert_eq!(join(&anna, "cellar").await["status"], 0);
    assert_eq!(counted(&server, JOINS, "new rooms").await, 1);
}

#[tokio::test]
async fn a_connection_has_a_thousand_rooms_where_nothing_is_set() {
    let (server, _) = configured("").await;
    let anna = server.client("anna").await;
    for number in 0..1000 {
        assert_eq!(join(&anna, &format!("r{number}")).await["status"], 0, "{number}");
    }
    assert_eq!(join(&anna, "one more").await, refused("join failed, in too many rooms"));
    assert_eq!(join(&anna, "r5").await["status"], 0);
}

#[tokio::test]
async fn after_wrong_tokens_sign_ins_of_that_user_wait_and_those_of_others_do_not() {
    let server = Setup::new().env("AO_LIMITS__FAILED_SIGN_INS", "2 in 1h").start().await;
    let token = server.token("anna").await;
    let mut failed = 0;
    while sign_in(&server, "anna", "wrong").await != refused("reach rate limit") {
        failed += 1;
        assert!(failed < MANY, "nobody has to wait");
    }
    assert!(failed >= 2, "{failed}");
    server.client("ben").await.close().await;
    assert!(counted(&server, SIGN_INS, "too many failures").await >= 1);
    // The right one is not looked at before the time is over, and then it clears what was counted.
    soon("a sign-in", async {
        while sign_in(&server, "anna", &token).await["status"] != 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_ne!(sign_in(&server, "anna", "wrong").await, refused("reach rate limit"));
    assert_eq!(sign_in(&server, "anna", &token).await["status"], 0);
}

#[tokio::test]
async fn who_waits_for_the_failures_of_others_is_dropped_and_comes_back() {
    let server =
        Setup::new().env("AO_LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "2 in 1h").start().await;
    let token = server.token("anna").await;
    let mut tries = 0;
    // Each failure makes the wait longer, until anna comes within one.
    let rest = loop {
        tries += 1;
        assert!(tries < MANY, "nobody has to wait");
        sign_in(&server, "ben", "wrong").await;
        let mut anna = server.guest().await;
        anna.emit("authenticate", &json!({ "uid": "anna", "token": token }));
        let answer = anna.until("authenticate").await;
        if answer == refused("reach rate limit") {
            break anna.rest().await;
        }
    };
    let is_refused = rest.contains(&Packet::Disconnect);
    assert!(!is_refused, "a DISCONNECT would keep it away for good: {rest:?}");
    assert_eq!(counted(&server, "always_online_drops_total", "too many failures").await, 1);
    soon("a sign-in", async {
        while sign_in(&server, "anna", &token).await["status"] != 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn credentials_with_connect_count_as_those_of_authenticate() {
    let server = Setup::new().env("AO_LIMITS__FAILED_SIGN_INS", "2 in 1h").start().await;
    let mut failed = 0;
    let last = loop {
        let auth = json!({ "uid": "anna", "token": "wrong" });
        let mut client = Client::connect_with(server.websocket(), &auth).await;
        let answer = client.until("authenticate").await;
        if answer != refused("auth failed, uid or token is wrong") {
            break answer;
        }
        failed += 1;
        assert!(failed < MANY, "nobody has to wait");
    };
    assert_eq!(last, refused("reach rate limit"));
}

/// A request of an administrator.
async fn stat(server: &Server, uid: &str, token: &str) -> Answer {
    let credentials = format!("Bearer {uid}:{token}");
    let headers = [("authorization", credentials.as_str())];
    http::request(server.api(), "GET", "/v1/stat", &headers, "").await
}

#[tokio::test]
async fn who_tries_tokens_of_administrators_waits_longer_and_longer() {
    let server = Setup::new().env("AO_LIMITS__FAILED_SIGN_INS", "2 in 1h").start().await;
    let (uid, token) = server.admin();
    let mut failed = 0;
    let last = loop {
        let answer = stat(&server, &uid, "wrong").await;
        if answer.status != 401 {
            break answer;
        }
        failed += 1;
        assert!(failed < MANY, "nobody has to wait");
    };
    assert_eq!(last.status, 429, "{}", last.body);
    assert!(last.json()["type"].as_str().unwrap().ends_with("#too-many-failures"));
    assert!(last.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1, "{}", last.head);
    // The original's routes have no other word for it.
    let path = format!("/admin/monitor/stat?uid={uid}&token=wrong");
    let answer = http::get(server.websocket(), &path).await;
    assert_eq!((answer.status, &answer.json()["meta"]["status"]), (200, &json!(6)));
    soon("an answer", async {
        while stat(&server, &uid, &token).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_administrator_who_was_right_does_not_wait_for_a_stale_credential() {
    let server = Setup::new().env("AO_LIMITS__FAILED_SIGN_INS", "2 in 1h").start().await;
    let (uid, token) = server.admin();
    assert_eq!(stat(&server, &uid, &token).await.status, 200);
    let mut failed = 0;
    while stat(&server, &uid, "stale").await.status != 429 {
        failed += 1;
        assert!(failed < MANY, "nobody has to wait");
    }
    assert_eq!(stat(&server, &uid, &token).await.status, 200);
}

#[tokio::test]
async fn who_asks_where_no_secret_is_set_keeps_out_nobody() {
    let server = Setup::new()
        .env("AO_GOTAPI__LISTEN", "127.0.0.1:0")
        .env("AO_LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "2 in 1h")
        .start()
        .await;
    for _ in 0..MANY {
        let answer = http::get(server.address("gotapi"), "/__/groups?secret=sesame").await;
        assert_eq!((answer.status, &*answer.body), (200, "secret not match"));
    }
    let token = server.token("anna").await;
    assert_eq!(sign_in(&server, "anna", &token).await["status"], 0);
}

#[tokio::test]
async fn who_tries_the_secret_of_gotapi_waits_too() {
    let server = Setup::new()
        .env("AO_GOTAPI__LISTEN", "127.0.0.1:0")
        .env("AO_GOTAPI__SECRET", "sesame")
        .env("AO_LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "2 in 1h")
        .start()
        .await;
    let list = async |secret: &str| {
        http::get(server.address("gotapi"), &format!("/__/groups?secret={secret}")).await
    };
    assert_eq!(list("sesame").await.body, "");
    let mut failed = 0;
    let last = loop {
        let answer = list("wrong").await;
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(answer.body, "secret not match");
        failed += 1;
        assert!(failed < MANY, "nobody has to wait");
    };
    assert_eq!(last.status, 429, "{}", last.body);
    assert!(last.header("retry-after").is_some(), "{}", last.head);
}
