//! The outbox of the embedded store: how it is read, woken, and brought up to date.
use std::time::Duration;

use rusqlite::Connection;

use super::{
    super::{Embedded, Options, tests::DataFolder},
    *,
};
use crate::{
    domain::{
        broker::Broker,
        ids::RoomId,
        outbox::{Interest, Kinds, Pattern, REST},
        presence::Presence,
    },
    store::contract::witness::{ignore, insert, publish, room, update, visitor},
};

mod damage;

const LEASE: Duration = Duration::from_secs(60);

fn endpoint(kinds: &[&str], rooms: &str) -> Endpoint {
    Endpoint {
        name: "main".into(),
        kinds: Kinds::parse(kinds.iter().copied()).unwrap(),
        rooms: vec![Pattern::parse(rooms).unwrap()],
        pending: 1 << 30,
        batch: 100,
    }
}

fn open(home: &DataFolder, endpoint: &Endpoint) -> Arc<Embedded> {
    let hooks = Interest { endpoints: vec![endpoint.clone()], leave_delay: Duration::ZERO };
    Embedded::open(Options { hooks: Some(hooks), ..home.options() }).unwrap()
}

fn file(home: &DataFolder) -> Connection {
    Connection::open(home.database()).unwrap()
}

async fn say(store: &Arc<Embedded>, room: &RoomId, texts: &[&str]) {
    publish(&store.broker(), room, texts.iter().map(|text| insert(text))).await;
}

async fn take(store: &Arc<Embedded>, endpoint: &Endpoint) -> Vec<Batch> {
    store.take(endpoint, 100, LEASE).await.unwrap().batches
}

/// The messages of a batch.
fn messages(batch: &Batch) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
    let events = body["data"]["events"].as_array().unwrap().iter();
    events.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Settles a batch, and lets its room rest.
async fn deliver(home: &DataFolder, store: &Arc<Embedded>, endpoint: &Endpoint, batch: &Batch) {
    store.settle(endpoint, batch, Settlement::Delivered).await.unwrap();
    home.watch.advance(REST);
}

/// All batches there are, delivered as they come.
async fn drain(home: &DataFolder, store: &Arc<Embedded>, endpoint: &Endpoint) -> Vec<Vec<String>> {
    let mut told = Vec::new();
    loop {
        let batches = take(store, endpoint).await;
        if batches.is_empty() {
            return told;
        }
        for batch in batches {
            told.push(messages(&batch));
            deliver(home, store, endpoint, &batch).await;
        }
    }
}

#[test]
fn nothing_is_looked_for_by_a_scan() {
    let home = DataFolder::new();
    drop(home.open());
    let db = file(&home);
    for (question, given) in [
        (queues::FIND, 2),
        (queues::EVENTS, 2),
        (queues::BEHIND, 2),
        (take::NEXT, 1),
        (take::DUE, 3),
        (take::AGAIN, 2),
        (take::WAITING, 1),
        (settle::QUEUE, 3),
        (settle::PARKED, 2),
        (write::RELEASE, 2),
        (shed::OLDEST, 2),
        (shed::OLDEST_GAPS, 3),
        (shed::OLDEST_PARKED, 1),
        (shed::OLDEST_TO_SEND, 1),
        (shed::FROZEN_GAP, 1),
        (erase::QUEUES, 2),
        (erase::EVENTS, 3),
        (erase::BATCHES, 1),
        (erase::BATCH, 1),
        (FIRST, 1),
        (FIRST_TO_SEND, 1),
        (PARKED, 1),
    ] {
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {question}")).unwrap();
        let given = rusqlite::params_from_iter(std::iter::repeat_n("1", given));
        let lines = plan.query_map(given, |row| row.get::<_, String>(3)).unwrap();
        let plan = lines.map(Result::unwrap).collect::<Vec<_>>().join("\n");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{question}\n{plan}");
    }
}

#[tokio::test]
async fn senders_are_woken_where_something_waits_that_was_not_there() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.inserted", "member.*"], "told *");
    let store = open(&home, &endpoint);
    let (told, other) = (room("told"), room("other"));
    let told = RoomId::new(&format!("told {told}")).unwrap();
    let mut written = store.written();
    let mut is_woken = || {
        let is = written.has_changed().unwrap();
        written.mark_unchanged();
        is
    };
    publish(&store.broker(), &other, [insert("a"), update("x", "b")]).await;
    publish(&store.broker(), &told, [update("x", "b"), ignore("c")]).await;
    store.clear(&told).await.unwrap();
    store.enter(&other, &visitor(1, "ann")).await.unwrap();
    assert!(!is_woken(), "nobody is told of any of this");
    say(&store, &told, &["a"]).await;
    assert!(is_woken());
    say(&store, &told, &["b"]).await;
    let batch = take(&store, &endpoint).await.remove(0);
    say(&store, &told, &["c"]).await;
    assert!(!is_woken(), "whoever sends this room's events comes again");
    deliver(&home, &store, &endpoint, &batch).await;
    assert_eq!(
        (messages(&batch), drain(&home, &store, &endpoint).await),
        (vec!["a".into(), "b".into()], vec![vec!["c".into()]])
    );
    say(&store, &told, &["d"]).await;
    assert!(is_woken(), "nothing waited any more");
    store.enter(&told, &visitor(2, "ben")).await.unwrap();
    assert!(!is_woken());
    drain(&home, &store, &endpoint).await;
    store.enter(&told, &visitor(3, "cat")).await.unwrap();
    assert!(is_woken());
}

#[tokio::test]
async fn a_room_rests_unless_a_whole_request_waits() {
    let home = DataFolder::new();
    let endpoint = Endpoint { batch: 2, ..endpoint(&["message.*"], "*") };
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    let settle = async |batch: &Batch| {
        store.settle(&endpoint, batch, Settlement::Delivered).await.unwrap();
    };
    say(&store, &room, &["a", "b", "c", "d", "e"]).await;
    for both in [["a", "b"], ["c", "d"]] {
        let batch = take(&store, &endpoint).await.remove(0);
        assert_eq!(messages(&batch), both);
        settle(&batch).await;
    }
    let resting = store.take(&endpoint, 9, LEASE).await.unwrap();
    assert_eq!((resting.batches, resting.next), (vec![], Some(REST)));
    say(&store, &room, &["f"]).await;
    home.watch.advance(REST);
    let batch = take(&store, &endpoint).await.remove(0);
    assert_eq!(messages(&batch), ["e", "f"], "one request for both");
}

#[tokio::test]
async fn a_request_has_no_more_events_than_are_set_now() {
    let home = DataFolder::new();
    let mut endpoint = endpoint(&["message.*"], "*");
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["a", "b", "c", "d", "e"]).await;
    say(&store, &room, &["f"]).await;
    let before = store.standing(&endpoint).await.unwrap().bytes;
    store.close().await;
    drop(store);
    endpoint.batch = 2;
    let store = open(&home, &endpoint);
    assert_eq!(store.standing(&endpoint).await.unwrap().bytes, before);
    let told = drain(&home, &store, &endpoint).await;
    assert_eq!(told, [vec!["a", "b"], vec!["c", "d"], vec!["e", "f"]]);
    assert_eq!(store.standing(&endpoint).await.unwrap().bytes, 0);
}

#[tokio::test]
async fn what_could_not_be_written_costs_no_number_twice() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["a"]).await;
    let jam =
        "CREATE TRIGGER jam AFTER INSERT ON hook_events BEGIN SELECT RAISE(ABORT, 'full'); END";
    file(&home).execute_batch(jam).unwrap();
    let entries: Arc<[_]> = [insert("lost")].into();
    store.broker().publish(&room, entries).await.unwrap_err();
    file(&home).execute_batch("DROP TRIGGER jam").unwrap();
    say(&store, &room, &["b"]).await;
    store.close().await;
    drop(store);
    home.watch.advance(Duration::from_secs(1));
    let store = open(&home, &endpoint);
    say(&store, &room, &["c"]).await;
    // The last one is of another start, and of another epoch.
    assert_eq!(drain(&home, &store, &endpoint).await, [vec!["a", "b"], vec!["c"]]);
}

#[tokio::test]
async fn what_is_said_again_too_late_frees_no_queue() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["a"]).await;
    let again = Settlement::Again { after: Duration::ZERO, counted: true };
    for was_parked in [false, true] {
        let first = take(&store, &endpoint).await.remove(0);
        store.settle(&endpoint, &first, again.clone()).await.unwrap();
        let second = take(&store, &endpoint).await.remove(0);
        assert_eq!((&second.id, second.attempts), (&first.id, 1));
        store.settle(&endpoint, &first, again.clone()).await.unwrap();
        assert_eq!(take(&store, &endpoint).await, [], "it is being sent: {was_parked}");
        if !was_parked {
            let parked = Settlement::Parked { why: "400".into() };
            store.settle(&endpoint, &second, parked).await.unwrap();
            assert_eq!(store.replay("main", &[second.id.to_string()]).await.unwrap(), 1);
        }
    }
}

/// Beside a look at the table that began before.
#[tokio::test]
async fn a_turn_that_is_written_during_a_look_is_known() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let store = open(&home, &endpoint);
    let hooks = store.hooks.clone().unwrap();
    let live = hooks.live("main").unwrap();
    live.looked(None, 1);
    assert_eq!(live.first(), None);
    live.awaits(5);
    live.looked(Some(1000), 1);
    assert_eq!((live.first(), live.due(1)), (Some(5), Some(5)));
}

#[tokio::test]
async fn a_frozen_batch_is_not_copied() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["a", "b", "c"]).await;
    let rows = |table: &str| {
        let count = format!("SELECT count(*) FROM {table}");
        file(&home).query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let batch = take(&store, &endpoint).await.remove(0);
    assert_eq!(
        (rows("hook_events"), rows("hook_batches")),
        (1, 0),
        "one row for what came at once"
    );
    deliver(&home, &store, &endpoint, &batch).await;
    assert_eq!(rows("hook_events"), 0);
    assert_eq!(take(&store, &endpoint).await, []);
    assert_eq!(rows("hook_queues"), 0, "nothing is left of a room of which nothing waits");
}

#[tokio::test]
async fn what_was_being_told_when_the_server_died_is_told_at_once() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, held, refused) = (open(&home, &endpoint), room("held"), room("refused"));
    say(&store, &refused, &["a"]).await;
    let batch = take(&store, &endpoint).await.remove(0);
    let later = Settlement::Again { after: LEASE, counted: true };
    store.settle(&endpoint, &batch, later).await.unwrap();
    say(&store, &held, &["b"]).await;
    let batch = take(&store, &endpoint).await.remove(0);
    drop(store);
    let store = open(&home, &endpoint);
    assert_eq!(take(&store, &endpoint).await, [batch], "nobody else sends it");
    home.watch.advance(LEASE);
    assert_eq!(take(&store, &endpoint).await.len(), 2);
}

/// What version 6 had, with an event that waits, one that is frozen and one that was put aside.
const SIXTH: &str = r#"
    DROP TABLE hook_endpoints; DROP TABLE hook_queues; DROP TABLE hook_events; DROP TABLE hook_batches; DROP TABLE hook_told;
    ALTER TABLE log DROP COLUMN places; ALTER TABLE receipts DROP COLUMN epoch;"#;
const OF_SIXTH: &str = r#"
    UPDATE hook_state SET n = 40;
    INSERT INTO hook_queues VALUES (3, 'main', 'lesson', 1, 2, 4, '77');
    INSERT INTO hook_events VALUES (38, 3, '77', 1700000000042, 'message.inserted', 'ann', '"uid":"ann","index":1,"message":"waits"');
    INSERT INTO hook_events VALUES (40, 3, '77', 1700000000042, 'room.cleared', NULL, '');
    INSERT INTO hook_batches VALUES (1, 'msg_f', 'main', 'lesson', 36, 36, '77', 1, 2, NULL, NULL, CAST('{"data":{"events":[{"message":"frozen"}]}}' AS BLOB));
    INSERT INTO hook_batches VALUES (2, 'msg_p', 'main', 'lesson', 2, 4, '77', 1, 2, 5, '400', CAST('{}' AS BLOB));
    INSERT INTO hook_sizes VALUES ('main', 1000);
    PRAGMA user_version = 6;"#;

#[tokio::test]
async fn what_waits_in_an_earlier_file_is_told() {
    let home = DataFolder::new();
    drop(home.open());
    for sql in [SIXTH, TABLES, OF_SIXTH] {
        file(&home).execute_batch(sql).unwrap();
    }
    let endpoint = endpoint(&["*"], "*");
    let store = open(&home, &endpoint);
    let standing = store.standing(&endpoint).await.unwrap();
    assert_eq!((standing.parked, standing.oldest_ms), (1, Some(1)));
    let frozen = take(&store, &endpoint).await.remove(0);
    assert_eq!(
        (&*frozen.id, frozen.attempts, messages(&frozen)),
        ("msg_f", 2, vec!["frozen".into()])
    );
    deliver(&home, &store, &endpoint, &frozen).await;
    let lesson = RoomId::new("lesson").unwrap();
    say(&store, &lesson, &["new"]).await;
    let waiting = take(&store, &endpoint).await.remove(0);
    let body: serde_json::Value = serde_json::from_slice(&waiting.body).unwrap();
    let at = "2023-11-14T22:13:20.042Z";
    assert_eq!(
        body["data"]["events"].as_array().unwrap()[1..],
        [
            serde_json::json!({ "type": "message.inserted", "timestamp": at, "n": 38, "uid": "ann", "index": 1, "message": "waits" }),
            serde_json::json!({ "type": "room.cleared", "timestamp": at, "n": 40 }),
        ]
    );
    assert_eq!(
        (&body["data"]["epoch"], &body["data"]["events"][0]["type"]),
        (&"77".into(), &"webhook.gap".into())
    );
    deliver(&home, &store, &endpoint, &waiting).await;
    assert_eq!(store.replay("main", &["msg_p".into()]).await.unwrap(), 1);
    let parked = take(&store, &endpoint).await.remove(0);
    assert_eq!((&*parked.id, &*parked.body), ("msg_p", &b"{}"[..]));
    deliver(&home, &store, &endpoint, &parked).await;
    let new = take(&store, &endpoint).await.remove(0);
    assert_eq!(messages(&new), ["new"]);
    let n =
        serde_json::from_slice::<serde_json::Value>(&new.body).unwrap()["data"]["events"][0]["n"]
            .as_u64();
    assert!(n > Some(40), "numbers go on");
    deliver(&home, &store, &endpoint, &new).await;
    assert_eq!(store.standing(&endpoint).await.unwrap().bytes, 0);
}

#[tokio::test]
async fn a_batch_that_is_given_up_while_it_is_sent_harms_nobody() {
    let home = DataFolder::new();
    let endpoint = Endpoint { pending: 4000, ..endpoint(&["message.*"], "*") };
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["first"]).await;
    let batch = take(&store, &endpoint).await.remove(0);
    for _ in 0..40 {
        say(&store, &room, &[&"x".repeat(100)]).await;
    }
    assert!(store.standing(&endpoint).await.unwrap().bytes <= endpoint.pending);
    deliver(&home, &store, &endpoint, &batch).await;
    assert_eq!(take(&store, &endpoint).await, [], "not before the lease is over");
    home.watch.advance(LEASE);
    let told = drain(&home, &store, &endpoint).await.concat();
    assert!(told[0].is_empty() && told.len() > 2, "a gap first, and then what is left: {told:?}");
    assert_eq!(store.standing(&endpoint).await.unwrap().bytes, 0);
}
