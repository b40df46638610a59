//! The command `copy`, between a data folder and real servers: a Redis of the test's own, and a
//! database of its own on a MongoDB.
use base64::{Engine, engine::general_purpose::STANDARD};
use mongodb::bson::{Bson, doc};
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd, pipe};
use serde_json::{Value, json};

use support::{
    database::Scratch,
    http::{self, Answer},
    own_redis::OwnRedis,
    ports::Deserted,
    server::{Server, Setup},
    stored::Stored,
    within,
};

const WRONG_CONFIGURATION: i32 = 2;
const NO_STORE: i32 = 4;
const INCOMPLETE: i32 = 7;

/// A Redis that is this test's alone.
struct Redis {
    url: String,
    connection: MultiplexedConnection,
    _own: OwnRedis,
}

impl Redis {
    async fn start() -> Redis {
        let own = OwnRedis::forgetful(&[]).await;
        let url = own.url();
        let connection = redis::Client::open(url.as_str())
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        Redis { url, connection, _own: own }
    }

    async fn run<T: FromRedisValue>(&self, name: &str, arguments: &[&str]) -> T {
        cmd(name).arg(arguments).query_async(&mut self.connection.clone()).await.unwrap()
    }

    /// Puts inserts into rooms.
    async fn fill(&self, rooms: impl Iterator<Item = (String, u64)>) {
        for (room, count) in rooms {
            let mut push = pipe();
            for i in 0..count {
                push.cmd("RPUSH")
                    .arg(format!("msg_{room}_insert"))
                    .arg(format!("{{\"data\":{{\"i\":{i}}},\"ts\":{}}}", 1_600_000_000 + i / 10))
                    .ignore();
            }
            push.query_async::<()>(&mut self.connection.clone()).await.unwrap();
        }
    }

    async fn log(&self, room: &str) -> Vec<String> {
        self.run("LRANGE", &[&format!("msg_{room}_insert"), "0", "-1"]).await
    }
}

fn copy(setup: &Setup, from: &str, to: &str) -> Setup {
    setup.clone().args(["copy", from, to])
}

/// A folder whose commands know the Redis.
fn beside(redis: &Redis) -> Setup {
    Setup::new().env("AO_STORE__MESSAGES", &redis.url)
}

/// The folder of a setup, to be served from.
fn served(setup: &Setup) -> Setup {
    setup.clone().without("AO_STORE__MESSAGES").without("AO_STORE__TOKENS")
}

#[tokio::test]
async fn there_and_back_everything_is_equal() {
    let (redis, mongo) = (Redis::start().await, Scratch::new());
    let here = beside(&redis).env("AO_STORE__TOKENS", &mongo.url);
    let rooms = ["attic", "x_update_backup", "a \"*?[b]\\ é_insert"];
    let mut server = served(&here).start().await;
    for room in rooms {
        let anna = server.member("anna", room).await;
        for i in 0..250 {
            anna.send(&json!({ "s": 0, "text": format!("{i} \"é\n"), "i": i })).await;
        }
        for id in ["b", "a", "b", "c \"*"] {
            anna.send(&json!({ "s": 1, "1": id, "of": room })).await;
        }
        anna.send(&json!({ "s": 2, "text": "nothing" })).await;
    }
    let (token, (admin, secret)) = (server.token("anna").await, server.admin());
    assert_eq!(server.terminate().await, 0);

    let ran = copy(&here, "embedded", "servers").run().await;
    let counts = ["rooms: 3", "inserts: 750", "updates: 9", "users: 1", "admins: 1"];
    for text in counts {
        assert!(
            ran.succeeds().contains(&format!("{text} in embedded")),
            "{text} is missing in {ran:?}"
        );
    }
    assert!(!format!("{ran:?}").contains(&token), "{ran:?}");
    let first = redis.log("attic").await[0].clone();
    assert!(first.starts_with("{\"data\":{") && first.contains("\"ts\":1"), "{first}");
    assert!(
        redis.run::<String>("HGET", &["msg_attic_update", "c \"*"]).await.ends_with("\"n\":3}")
    );
    let anna = mongo
        .collection("users")
        .await
        .find_one(doc! { "uid": "anna" })
        .await
        .unwrap()
        .expect("anna");
    assert!(anna.get_str("tokenHash").unwrap().len() == 64);

    let there = served(&here).env("AO_STORE__PATH", here.scratch().join("other").to_str().unwrap());
    let back =
        there.clone().env("AO_STORE__MESSAGES", &redis.url).env("AO_STORE__TOKENS", &mongo.url);
    for _ in 0..2 {
        let ran = copy(&back, "servers", "embedded").run().await;
        assert!(
            counts.iter().all(|text| ran.succeeds().contains(&format!("{text} in servers"))),
            "{ran:?}"
        );
    }
    let (old, new) = (served(&here).start().await, there.start().await);
    for room in rooms {
        let mut both = Vec::new();
        for server in [&old, &new] {
            let mut guest = server.guest().await;
            guest.sign_in("anna", &token).await;
            guest.join(room).await;
            let stored = Stored::walk(&mut guest, false).await;
            both.push((stored.inserts, stored.updates));
        }
        assert_eq!((both[0].0.len(), both[0].1.len()), (250, 3));
        assert_eq!(both[0], both[1], "{room}");
    }
    let asked = format!("/admin/monitor/stat?uid={admin}&token={secret}");
    assert_eq!(
        support::http::get(new.websocket(), &asked).await.json()["meta"]["status"],
        0,
        "the admin's token is good"
    );
}

/// The HTTP API of a server, with the credentials of an administrator.
struct Api<'a>(&'a Server, &'a str);

impl Api<'_> {
    async fn ask(&self, method: &str, key: Option<&str>, body: &Value) -> Answer {
        let credentials = format!("Basic {}", STANDARD.encode(self.1));
        let mut headers =
            vec![("content-type", "application/json"), ("authorization", &*credentials)];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let path = format!("/v1/{method}");
        let answer = http::request(self.0.api(), "POST", &path, &headers, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        answer
    }

    async fn say(&self, text: &str, key: Option<&str>) -> Answer {
        let message = json!({ "roomId": "attic", "message": { "storage": 0, "text": text } });
        self.ask("publish", key, &message).await
    }

    /// Where the log begins and ends, what it is named, and the indexes and texts of its messages.
    async fn log(&self) -> Value {
        let page = self.ask("history", None, &json!({ "roomId": "attic" })).await.json();
        let messages = page["messages"].as_array().expect("messages").iter();
        let messages: Vec<_> = messages.map(|m| json!([m["index"], m["data"]["text"]])).collect();
        json!([page["start"], page["log"], page["epoch"], messages])
    }
}

/// A business server that asks again after a move gets the answer of before it, and readers go on
/// where they were.
#[tokio::test]
async fn readers_and_business_servers_go_on_after_a_move() {
    let (redis, mongo) = (Redis::start().await, Scratch::new());
    let here = beside(&redis).env("AO_STORE__TOKENS", &mongo.url);
    let mut server = served(&here).start().await;
    let (admin, secret) = server.admin();
    let credentials = format!("{admin}:{secret}");
    let api = Api(&server, &credentials);
    for text in ["a", "b", "c"] {
        api.say(text, None).await;
    }
    api.ask("clear", None, &json!({ "roomId": "attic" })).await;
    let mut answers = Vec::new();
    for key in ["k0", "k1", "k2", "k3", "k4"] {
        answers.push(api.say(key, Some(key)).await.body);
    }
    let trim = json!({ "roomId": "attic", "keep": 3 });
    let trimmed = api.ask("trim", Some("t"), &trim).await.body;
    let before = api.log().await;
    assert_eq!((&before[0], &before[1], &before[3][0]), (&json!(5), &json!(8), &json!([5, "k2"])));
    assert_eq!(server.terminate().await, 0);

    let ran = copy(&here, "embedded", "servers").run().await;
    for text in ["inserts: 3", "receipts: 5"] {
        assert!(ran.succeeds().contains(&format!("{text} in embedded")), "{text}: {ran:?}");
    }
    assert!(!ran.stdout.contains("records: 0"), "{ran:?}");
    let goes_on = async |server: &Server, before: &Value, next: u64| {
        let api = Api(server, &credentials);
        assert_eq!(api.log().await, *before);
        for (answer, key) in answers.iter().zip(["k0", "k1", "k2", "k3", "k4"]) {
            let again = api.say(key, Some(key)).await;
            assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
            assert_eq!(again.body, *answer);
        }
        let again = api.ask("trim", Some("t"), &trim).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
        assert_eq!(again.body, trimmed);
        assert_eq!(api.say("new", None).await.json()["index"], next);
        api.log().await
    };
    let mut server = here.clone().start().await;
    let after = goes_on(&server, &before, 8).await;
    assert_eq!((&after[1], &after[2]), (&json!(9), &before[2]));
    assert_eq!(server.terminate().await, 0);

    let there = here.clone().env("AO_STORE__PATH", here.scratch().join("other").to_str().unwrap());
    let ran = copy(&there, "servers", "embedded").run().await;
    for text in ["inserts: 4", "receipts: 5"] {
        assert!(ran.succeeds().contains(&format!("{text} in servers")), "{text}: {ran:?}");
    }
    goes_on(&served(&there).start().await, &after, 9).await;
}

#[tokio::test]
async fn a_copy_that_was_killed_goes_on() {
    let redis = Redis::start().await;
    let here = beside(&redis);
    redis.fill((0..40).map(|i| (format!("room {i:02}"), 1500))).await;
    let mut killed = copy(&here, "servers", "embedded").launch();
    killed.logs("messages: 1").await;
    killed.kill_9().await;
    let ran = within(
        std::time::Duration::from_secs(60),
        "the copy",
        copy(&here, "servers", "embedded").run(),
    )
    .await;
    assert!(ran.succeeds().contains("inserts: 60000 in servers, 60000 in embedded"), "{ran:?}");

    let other = Redis::start().await;
    let there = here.env("AO_STORE__MESSAGES", &other.url);
    let mut killed = copy(&there, "embedded", "servers").launch();
    killed.logs("messages: 2").await;
    killed.kill_9().await;
    assert!(other.run::<u64>("DBSIZE", &[]).await < 40, "it was killed in the middle");
    let ran = copy(&there, "embedded", "servers").run().await;
    assert!(ran.succeeds().contains("inserts: 60000 in embedded, 60000 in servers"), "{ran:?}");
    for i in 0..40 {
        let room = format!("room {i:02}");
        assert_eq!(redis.log(&room).await, other.log(&room).await, "{room}");
    }
}

#[tokio::test]
async fn what_differs_or_is_no_room_is_named_and_left() {
    let redis = Redis::start().await;
    let here = beside(&redis);
    redis.fill([("attic".to_owned(), 20), ("cellar".to_owned(), 20)].into_iter()).await;
    redis.run::<()>("RPUSH", &["msg_cellar_insert", "no json", "{\"ts\":5}"]).await;
    let ran = copy(&here, "servers", "embedded").run().await;
    assert!(ran.succeeds().contains("inserts: 42 in servers, 42 in embedded\n"), "{ran:?}");
    assert!(ran.stdout.contains("2 entries are no JSON"), "{ran:?}");
    assert!(ran.stdout.contains("users and admins were not copied"), "{ran:?}");
    let mut server = served(&here).start().await;
    server.member("anna", "cellar").await.send(&json!({ "s": 0, "text": "behind them" })).await;
    assert_eq!(server.terminate().await, 0);

    redis
        .run::<()>(
            "LSET",
            &["msg_attic_insert", "7", "{\"data\":{\"i\":\"other\"},\"ts\":1600000000}"],
        )
        .await;
    redis.run::<()>("SET", &["msg_text_insert", "x"]).await;
    let before = redis.log("attic").await;
    let ran = copy(&here, "embedded", "servers").run().await;
    ran.fails(INCOMPLETE, &["room \"attic\" has another history in the target, from message 7 on"]);
    assert_eq!(redis.log("attic").await, before);
    assert_eq!(
        redis.run::<u64>("LLEN", &["msg_cellar_insert"]).await,
        23,
        "the other room was copied"
    );
    let ran = copy(&here, "servers", "embedded").run().await;
    ran.fails(INCOMPLETE, &["room \"attic\"", "key \"msg_text_insert\": it is a string"]);
}

#[tokio::test]
async fn an_update_whose_id_is_no_text_is_named_and_left_alone() {
    let redis = Redis::start().await;
    let here = beside(&redis);
    redis.fill([("attic".to_owned(), 20), ("cellar".to_owned(), 20)].into_iter()).await;
    let update = r#"{"data":{"s":1},"ts":1600000000,"n":7}"#;
    let odd: &[u8] = b"b\xffd";
    for id in [b"first", odd, b"last"] {
        cmd("HSET")
            .arg("msg_attic_update")
            .arg(id)
            .arg(update)
            .exec_async(&mut redis.connection.clone())
            .await
            .unwrap();
    }
    let told = "not copied: update \"b\u{fffd}d\" of room \"attic\": its id is no text";
    for _ in 0..2 {
        let ran = copy(&here, "servers", "embedded").run().await;
        ran.fails(INCOMPLETE, &[told]);
        assert_eq!(ran.stderr.matches(told).count(), 1, "{ran:?}");
        for line in [
            "rooms: 2 in servers, 1 in embedded  <- differs",
            "inserts: 40 in servers, 40 in embedded\n",
            "updates: 3 in servers, 2 in embedded  <- differs",
            "1 rooms, keys or updates were not copied: see above",
        ] {
            assert!(ran.stdout.contains(line), "{line} is missing in {ran:?}");
        }
    }
    let back = copy(&here, "embedded", "servers").run().await;
    assert!(back.succeeds().contains("updates: 2 in embedded, 2 in servers"), "{back:?}");
    assert_eq!(redis.run::<u64>("HLEN", &["msg_attic_update"]).await, 3, "it stays where it is");
}

/// The original had no unique index. Which of two accounts with one uid is meant nobody can tell,
/// and a number is the same user as its text.
#[tokio::test]
async fn a_uid_that_two_accounts_have_is_named_and_refused() {
    let mongo = Scratch::new();
    let here = Setup::new().env("AO_STORE__TOKENS", &mongo.url);
    let account = |uid: Bson, token: &str| {
        doc! { "uid": uid, "token": token, "createTime": 5, "updateTime": 6 }
    };
    let mut users: Vec<_> = (0..1200).map(|i| account(format!("user {i}").into(), "t")).collect();
    // One that lies across two stretches of what is read at once, too.
    users.extend((0..700).map(|i| account("user 1".into(), &format!("token {i}"))));
    users.extend([account("anna".into(), "one"), account("anna".into(), "two")]);
    users.extend([
        account("1000".into(), "text"),
        account(1000.into(), "number"),
        account(7.into(), "number"),
    ]);
    users.extend([
        account("1234567890123456".into(), "text"),
        account(1_234_567_890_123_456_f64.into(), "number"),
    ]);
    mongo.collection("users").await.insert_many(users).await.unwrap();
    mongo
        .collection("admins")
        .await
        .insert_many([account("ops".into(), "one"), account("ops".into(), "one")])
        .await
        .unwrap();
    let named = [
        "not copied: \"anna\" of users: 2 accounts have this uid",
        "not copied: \"user 1\" of users: 701 accounts have this uid",
        "not copied: \"1000\" of users: 2 accounts have this uid, as text and as a number",
        "not copied: \"1234567890123456\" of users: 2 accounts have this uid, as text and as a number",
        "not copied: 3 of users: their uid is no text",
        "not copied: \"ops\" of admins: 2 accounts have this uid",
    ];
    for _ in 0..2 {
        let ran = copy(&here, "servers", "embedded").run().await;
        ran.fails(INCOMPLETE, &named);
        assert!(named.iter().all(|text| ran.stderr.matches(text).count() == 1), "{ran:?}");
        for line in [
            "users: 1907 in servers, 1199 in embedded  <- differs",
            "admins: 2 in servers, 0 in embedded  <- differs",
        ] {
            assert!(ran.stdout.contains(line), "{line} is missing in {ran:?}");
        }
    }
    let added = served(&here).args(["token", "create", "anna"]).run().await;
    assert_eq!(added.code, 0, "neither of the two came: {added:?}");
}

#[tokio::test]
async fn a_uid_that_two_accounts_of_the_target_have_is_named_and_left_alone() {
    let mongo = Scratch::new();
    let here = Setup::new().env("AO_STORE__TOKENS", &mongo.url);
    for uid in ["anna", "bert", "1000"] {
        served(&here).args(["token", "create", uid]).run().await.succeeds();
    }
    let users = mongo.collection("users").await;
    let account = |uid: Bson| doc! { "uid": uid, "token": "x", "createTime": 5, "updateTime": 6 };
    users
        .insert_many([
            account("1000".into()),
            account(1000.into()),
            account("cora".into()),
            account("cora".into()),
        ])
        .await
        .unwrap();
    // Of cora there must be one before anybody can be added: who creates is decided by a unique
    // index.
    let ran = copy(&here, "embedded", "servers").run().await;
    ran.fails(
        INCOMPLETE,
        &[
            "\"cora\" of users: 2 accounts of the target have this uid",
            "nothing was written to users",
        ],
    );
    assert!(ran.stdout.contains("users: 3 in embedded, 0 in servers  <- differs"), "{ran:?}");
    assert_eq!(users.count_documents(doc! {}).await.unwrap(), 4);

    users.delete_one(doc! { "uid": "cora" }).await.unwrap();
    let ran = copy(&here, "embedded", "servers").run().await;
    ran.fails(
        INCOMPLETE,
        &["\"1000\" of users: 2 accounts of the target have this uid, as text and as a number"],
    );
    assert!(!ran.stderr.contains("cora"), "she is nobody's business: {ran:?}");
    assert!(ran.stdout.contains("users: 3 in embedded, 2 in servers  <- differs"), "{ran:?}");

    users.delete_one(doc! { "uid": 1000 }).await.unwrap();
    let ran = copy(&here, "embedded", "servers").run().await;
    assert!(ran.succeeds().contains("users: 3 in embedded, 3 in servers\n"), "{ran:?}");
}

#[tokio::test]
async fn a_source_that_is_written_to_is_found_by_the_count() {
    let redis = Redis::start().await;
    let here = beside(&redis);
    redis.fill((0..200).map(|i| (format!("room {i:03}"), 50))).await;
    let write = async {
        loop {
            redis.fill([("room 000".to_owned(), 1)].into_iter()).await;
        }
    };
    let command = copy(&here, "servers", "embedded");
    let ran = tokio::select! {
        ran = command.run() => ran,
        () = write => unreachable!(),
    };
    ran.fails(INCOMPLETE, &["messages: "]);
    assert!(ran.stdout.contains("differs"), "{ran:?}");
    copy(&here, "servers", "embedded").run().await.succeeds();
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused() {
    let setup = Setup::new();
    copy(&setup, "embedded", "servers")
        .run()
        .await
        .fails(WRONG_CONFIGURATION, &["neither AO_STORE__MESSAGES nor AO_STORE__TOKENS"]);
    copy(&setup, "embedded", "embedded")
        .run()
        .await
        .fails(WRONG_CONFIGURATION, &["FROM and TO are the same"]);
    copy(&setup, "embedded", "redis").run().await.fails(WRONG_CONFIGURATION, &["servers"]);

    let redis = Redis::start().await;
    let here = beside(&redis);
    copy(&here, "embedded", "servers").run().await.fails(NO_STORE, &["there is no"]);
    let server = served(&here).start().await;
    copy(&here, "servers", "embedded")
        .run()
        .await
        .fails(NO_STORE, &["in use by another always-online"]);
    server.member("anna", "attic").await.send(&json!({ "s": 0 })).await;
    let ran = copy(&here, "embedded", "servers").run().await;
    assert!(
        ran.succeeds().contains("inserts: 1 in embedded, 1 in servers"),
        "beside a server that does not write: {ran:?}"
    );

    let deserted = Deserted::new();
    let port = deserted.address().port();
    let nobody =
        here.clone().env("AO_STORE__MESSAGES", format!("redis://:s3cret@127.0.0.1:{port}/0"));
    let ran = copy(&nobody, "embedded", "servers").run().await;
    ran.fails(NO_STORE, &["Redis at redis://***@", "can't be reached", "AO_STORE__MESSAGES"]);
    assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");

    let mut on_redis = Setup::new().env("AO_STORE__MESSAGES", &redis.url).start().await;
    let ran = copy(&here, "embedded", "servers").run().await;
    ran.fails(NO_STORE, &["1 servers run on it", "AO_STORE__MESSAGES"]);
    assert_eq!(on_redis.terminate().await, 0);
    copy(&here, "embedded", "servers").run().await.succeeds();

    redis.run::<()>("REPLICAOF", &["127.0.0.1", &port.to_string()]).await;
    copy(&here, "embedded", "servers")
        .run()
        .await
        .fails(NO_STORE, &["it is a read-only replica; name its primary", "AO_STORE__MESSAGES"]);
    let stranger = Scratch::new().url_with("nobody:s3cret@", "");
    let ran = copy(&setup.env("AO_STORE__TOKENS", stranger), "servers", "embedded").run().await;
    ran.fails(NO_STORE, &["://***@", "refuses this user or password", "AO_STORE__TOKENS"]);
    assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
}
