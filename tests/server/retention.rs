//! Retention and erasing, as operators and clients see them, on both stores.
use std::{fs, time::Duration};

use serde_json::{Value, json};
use support::{
    client::Client,
    own_redis::OwnRedis,
    server::{Server, Setup},
    soon,
};

const STEP: Duration = Duration::from_millis(20);
const WRONG_CONFIGURATION: i32 = 2;
/// Stands in messages, and nowhere else.
const MARK: &str = "quo-usque-tandem";

fn ruled(setup: Setup) -> Setup {
    setup
        .env("AO_RETENTION__RULES", "keep:*=off; few:*=5; short:*=2s; *=1d")
        .env("AO_RETENTION__INTERVAL", "200ms")
}

fn on_redis(redis: &OwnRedis) -> Setup {
    Setup::new()
        .env("AO_STORE__MESSAGES", redis.url())
        .env("AO_STORE__BACKUPS", "true")
        .env("AO_AUTH__IGNORE", "true")
}

async fn come(node: &Server, uid: &str, room: &str) -> Client {
    let mut client = node.guest().await;
    client.sign_in(uid, "any").await;
    client.join(room).await;
    client
}

/// Sends inserts with these numbers.
async fn send(client: &Client, numbers: std::ops::Range<u64>) {
    for number in numbers {
        client.send(&json!({ "s": 0, "number": number, "text": MARK })).await;
    }
}

/// The numbers on the page from an offset on, and the page.
async fn page(client: &Client, offset: u64) -> (Vec<u64>, Value) {
    let page = client.sync(&json!({ "offset": offset, "resume": true })).await;
    let numbers = page["data"].as_array().unwrap().iter();
    (numbers.map(|message| message["number"].as_u64().unwrap()).collect(), page)
}

/// Members of rooms, one at each of two nodes, which may be the same, see what the rules keep.
async fn rules_hold(one: &Server, other: &Server) {
    let (ann, bob) = (come(one, "ann", "few:a").await, come(other, "bob", "few:a").await);
    send(&ann, 0..12).await;
    for client in [&ann, &bob] {
        let (numbers, page) = page(client, 0).await;
        assert_eq!(numbers, [7, 8, 9, 10, 11]);
        let told = ["offset", "log", "start"].map(|field| page[field].as_u64().unwrap());
        assert_eq!((told, page["next"].as_u64()), ([12, 12, 7], Some(0)));
    }
    let epoch = page(&ann, 0).await.1["epoch"].clone();
    assert_eq!(page(&bob, 10).await.0, [10, 11]);
    assert_eq!(page(&bob, 12).await.0, [0; 0]);
    send(&bob, 12..14).await;
    let (numbers, page_of_ann) = page(&ann, 11).await;
    assert_eq!((numbers, &page_of_ann["epoch"]), (vec![11, 12, 13], &epoch));
    // Without `resume` nothing is told that was not before.
    let plain = ann.sync(&json!({ "offset": 0 })).await;
    let mut fields: Vec<_> = plain.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(
        (fields, plain["offset"].as_u64()),
        (vec!["data".into(), "next".into(), "offset".into()], Some(14))
    );

    let (kept, short) = (come(one, "cleo", "keep:a").await, come(one, "dave", "short:a").await);
    send(&kept, 0..12).await;
    send(&short, 0..3).await;
    short.send(&json!({ "s": 1, "1": "board", "number": 99 })).await;
    soon("what is too old is gone", async {
        while page(&short, 0).await.1["data"] != json!([]) {
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
    assert_eq!(page(&short, 0).await.1["log"], 3);
    send(&short, 3..4).await;
    assert_eq!(page(&short, 3).await.0, [3]);
    assert_eq!(page(&kept, 0).await.0.len(), 12);
}

#[tokio::test]
async fn rules_hide_and_no_offset_shifts() {
    let server = ruled(Setup::new()).env("AO_AUTH__IGNORE", "true").start().await;
    rules_hold(&server, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hide_on_all_nodes_and_one_of_them_deletes() {
    let mut redis = OwnRedis::durable().await;
    let (one, other) =
        tokio::join!(ruled(on_redis(&redis)).start(), ruled(on_redis(&redis)).start());
    rules_hold(&one, &other).await;
    soon("all but five are deleted", async {
        while redis.run::<u64>("LLEN msg_few:a_insert").await != 5 {
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
    // The counters, and the beginning of the list, are as durable as the log.
    redis.kill_9().await;
    redis.restart().await;
    let reader = soon("a way in", async {
        loop {
            let client = Client::try_connect(one.websocket()).await;
            if let Ok(mut client) = client {
                client.emit("authenticate", &json!({ "uid": "eve", "token": "any" }));
                if client.until("authenticate").await["status"] == 0 {
                    client.join("few:a").await;
                    return client;
                }
            }
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
    let (numbers, page) = page(&reader, 0).await;
    assert_eq!((numbers.as_slice(), page["start"].as_u64()), (&[9, 10, 11, 12, 13][..], Some(9)));
}

#[tokio::test]
async fn a_malformed_rule_is_named_with_its_place() {
    let setup = Setup::new().env("AO_RETENTION__RULES", "chat:*=30d; doc:*=soon");
    setup.run().await.fails(WRONG_CONFIGURATION, &["AO_RETENTION__RULES", "rule 2", "doc:*=soon"]);
}

/// Ann and Bob say much in two rooms, one after the other, and replace some of it. Returns who is in
/// the second.
async fn fill(node: &Server) -> Vec<Client> {
    let mut clients = Vec::new();
    for room in ["one", "two"] {
        clients.clear();
        for uid in ["ann", "bob"] {
            let client = come(node, uid, room).await;
            let text = if uid == "ann" { MARK } else { "stays" };
            for number in 0..40 {
                client.send(&json!({ "s": 0, "number": number, "text": text })).await;
                let update = json!({ "s": 1, "1": format!("{uid}{}", number % 3), "text": text });
                client.send(&update).await;
                client.send(&json!({ "s": 2, "text": text })).await;
            }
            clients.push(client);
        }
    }
    clients
}

/// What Bob still reads.
async fn is_erased(node: &Server) {
    for room in ["one", "two"] {
        let reader = come(node, "reader", room).await;
        let page = reader.sync(&json!({ "offset": 0, "resume": true })).await;
        let messages = page["data"].as_array().unwrap();
        assert_eq!(messages.len(), 43, "those of Bob, and his updates");
        assert!(messages.iter().all(|message| message["2"] == "bob"), "{page}");
        assert_eq!((&page["log"], &page["offset"]), (&json!(80), &json!(86)), "they are counted");
    }
}

fn folder_has(setup: &Setup, text: &str) -> bool {
    fs::read_dir(setup.data()).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[tokio::test]
async fn erasing_beside_a_server_leaves_nothing_in_its_files() {
    let server = Setup::new().env("AO_AUTH__IGNORE", "true").start().await;
    let clients = fill(&server).await;
    // Pages of it are in the server's memory.
    is_filled(&clients).await;
    assert!(folder_has(server.setup(), MARK));
    let ran = server.setup().clone().args(["erase", "ann"]).run().await;
    assert_eq!(ran.succeeds(), "rooms: 2\ninserts: 80\nupdates: 6\ncopies: 0\n");
    is_erased(&server).await;
    assert!(!folder_has(server.setup(), MARK), "not even in the write-ahead log");
}

async fn is_filled(clients: &[Client]) {
    for client in clients {
        assert_eq!(
            client.sync(&json!({ "offset": 0 })).await["data"].as_array().unwrap().len(),
            86
        );
    }
}

#[tokio::test]
async fn erasing_without_a_server_is_done_by_the_command() {
    let mut server = Setup::new().env("AO_AUTH__IGNORE", "true").start().await;
    drop(fill(&server).await);
    server.terminate().await;
    let command = server.setup().clone().args(["erase", "ann", "--room", "one"]);
    assert_eq!(command.run().await.succeeds(), "rooms: 1\ninserts: 40\nupdates: 3\ncopies: 0\n");
    let command = server.setup().clone().args(["erase", "ann"]);
    assert_eq!(command.run().await.succeeds(), "rooms: 2\ninserts: 40\nupdates: 3\ncopies: 0\n");
    assert!(!folder_has(server.setup(), MARK));
    server.restart().await;
    is_erased(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasing_that_was_given_to_a_server_that_is_killed_is_done_by_the_next() {
    let mut server = Setup::new().env("AO_AUTH__IGNORE", "true").start().await;
    let clients = fill(&server).await;
    let database = server.setup().data().join("always-online.sqlite3");
    // It is given a job, and gets no time for it.
    server.signal("STOP");
    let command = server.setup().clone().args(["erase", "ann"]);
    let running = tokio::spawn(async move { command.run().await });
    let given = rusqlite::Connection::open(&database).unwrap();
    soon("the job is given", async {
        while given.query_row("SELECT count(*) FROM jobs", [], |row| row.get::<_, i64>(0)) != Ok(1)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let done: i64 = given.query_row("SELECT done FROM jobs", [], |row| row.get(0)).unwrap();
    assert_eq!(done, 0);
    drop(given);
    server.kill_9().await;
    drop(clients);
    assert!(folder_has(server.setup(), MARK), "nothing was erased yet");
    server.restart().await;
    soon("the command's end", running).await.unwrap().succeeds();
    is_erased(&server).await;
    assert!(!folder_has(server.setup(), MARK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_on_redis_reaches_every_copy_and_both_nodes() {
    let redis = OwnRedis::durable().await;
    let (mut one, other) = tokio::join!(on_redis(&redis).start(), on_redis(&redis).start());
    let clients = fill(&one).await;
    is_filled(&clients).await;
    is_filled(&[come(&other, "reader", "one").await]).await;
    let ran = one.setup().clone().args(["erase", "ann"]).run().await;
    // Replaced updates and ignored messages are kept here.
    assert_eq!(ran.succeeds(), "rooms: 2\ninserts: 80\nupdates: 6\ncopies: 160\n");
    is_erased(&one).await;
    is_erased(&other).await;
    for key in redis.run::<Vec<String>>("KEYS *").await {
        let dump: Vec<String> = match redis.run::<String>(&format!("TYPE {key}")).await.as_str() {
            "list" => redis.run(&format!("LRANGE {key} 0 -1")).await,
            "hash" => redis.run(&format!("HVALS {key}")).await,
            _ => continue,
        };
        assert!(!dump.iter().any(|entry| entry.contains(MARK)), "{key}");
    }
    // A job that was cut short is gone on with by whichever node is there.
    let job = json!({
        "id": "left", "uid": "bob", "state": "running", "at_ms": 1,
        "erased": { "rooms": 0, "inserts": 0, "updates": 0, "copies": 0 }
    });
    one.kill_9().await;
    redis.send::<()>(&["SET", "ao:jobs:left", &job.to_string()]).await;
    redis.send::<()>(&["SADD", "ao:jobs", "left"]).await;
    soon("the job is done", async {
        while redis.run::<u64>("SCARD ao:jobs").await > 0 {
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
    let reader = come(&other, "reader", "one").await;
    assert_eq!(reader.sync(&json!({ "offset": 0 })).await["data"], json!([]));
}
