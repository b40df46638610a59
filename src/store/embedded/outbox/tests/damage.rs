//! What happens where something can't be read, can't be written, or is far too much.
use super::*;
use crate::domain::{ids::Uid, outbox::OutboxErasure};

fn rows(home: &DataFolder) -> i64 {
    let count = "SELECT count(*) FROM hook_events";
    file(home).query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn events_that_cant_be_read_leave_a_gap_and_keep_nobody_waiting() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, bad, good) = (open(&home, &endpoint), room("bad"), room("good"));
    say(&store, &bad, &["frozen"]).await;
    let frozen = take(&store, &endpoint).await.remove(0);
    let again = Settlement::Again { after: Duration::ZERO, counted: true };
    store.settle(&endpoint, &frozen, again).await.unwrap();
    say(&store, &bad, &["lost"]).await;
    say(&store, &bad, &["last"]).await;
    say(&store, &good, &["good"]).await;
    let spoil = "UPDATE hook_events SET body = CAST(x'ff' AS TEXT)
        WHERE body LIKE '%\"frozen\"%' OR body LIKE '%\"lost\"%'";
    assert_eq!(file(&home).execute(spoil, []).unwrap(), 2);
    let mut told = Vec::new();
    while let batches @ [_, ..] = &*take(&store, &endpoint).await {
        for batch in batches {
            let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
            let events = body["data"]["events"].as_array().unwrap().clone();
            told.extend(events.iter().map(|event| {
                let what = event["message"].as_str().or(event["type"].as_str());
                (batch.room.clone(), what.unwrap().to_owned())
            }));
            deliver(&home, &store, &endpoint, batch).await;
        }
    }
    let of = |room: &RoomId| -> Vec<&str> {
        told.iter().filter(|(of, _)| of == room).map(|(_, what)| &**what).collect()
    };
    assert_eq!(of(&bad), ["webhook.gap", "webhook.gap", "last"]);
    assert_eq!(of(&good), ["good"]);
    let standing = store.standing(&endpoint).await.unwrap();
    assert_eq!((standing.dropped, rows(&home)), (2, 0));
}

#[tokio::test]
async fn an_event_of_which_everything_is_damaged_is_dropped_too() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["lost"]).await;
    let spoil = "UPDATE hook_events SET count = 'x', epoch = x'fe', ms = x'00', body = x'ff'";
    file(&home).execute(spoil, []).unwrap();
    let told = drain(&home, &store, &endpoint).await;
    assert_eq!(told, [vec![""]], "a gap");
    assert_eq!(rows(&home), 0);
    say(&store, &room, &["next"]).await;
    assert_eq!(drain(&home, &store, &endpoint).await, [["next"]]);
}

#[tokio::test]
async fn batches_of_which_everything_is_damaged_keep_nobody_waiting() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, bad, good) = (open(&home, &endpoint), room("bad"), room("good"));
    let mut ids = Vec::new();
    for text in ["aside", "again"] {
        say(&store, &bad, &[text]).await;
        let batch = take(&store, &endpoint).await.remove(0);
        let parked = Settlement::Parked { why: "400".into() };
        store.settle(&endpoint, &batch, parked).await.unwrap();
        ids.push(batch.id.to_string());
    }
    assert_eq!(store.replay("main", &ids[1..]).await.unwrap(), 1);
    say(&store, &good, &["good"]).await;
    let spoil = "UPDATE hook_batches SET id = CAST(serial AS BLOB), first = 'x', epoch = x'ff',
            since = 'x', attempts = 'x', body = 7;
        UPDATE hook_batches SET endpoint = 'x' WHERE parked IS NOT NULL";
    file(&home).execute_batch(spoil).unwrap();
    let mut rooms: Vec<_> =
        take(&store, &endpoint).await.into_iter().map(|batch| batch.room).collect();
    rooms.sort_by_key(|room| *room == good);
    assert_eq!(rooms, [bad.clone(), good.clone()], "what is damaged is sent as it is");
    let ann = Uid::text("ann").unwrap();
    assert_eq!(store.rooms_told().await.unwrap().len(), 2);
    assert_eq!(store.erase_told(&bad, &ann).await.unwrap(), 2);
    assert_eq!(store.erase_told(&bad, &ann).await.unwrap(), 0, "both are gone");
    home.watch.advance(LEASE);
    let mut told = drain(&home, &store, &endpoint).await;
    told.sort();
    assert_eq!(told, [[""], ["good"]], "a gap is told of them");
}

/// The oldest ones of all.
#[tokio::test]
async fn gaps_that_cant_be_read_keep_no_others_from_becoming_one() {
    let home = DataFolder::new();
    let endpoint = Endpoint { pending: 4000, ..endpoint(&["message.*"], "*") };
    let (store, lesson) = (open(&home, &endpoint), room("lesson"));
    say(&store, &lesson, &["first"]).await;
    let gaps = "WITH RECURSIVE more (i) AS
            (SELECT 1 UNION ALL SELECT i + 1 FROM more WHERE i < 200)
        INSERT INTO hook_queues (endpoint, room, due, gap_from, gap_to, gap_epoch)
            SELECT q.endpoint, 'of ' || i, q.due, i, i, '1' FROM hook_queues q, more;
        UPDATE hook_queues SET gap_from = 'x', gap_to = gap_to + 0.5, gap_epoch = x'ff'
            WHERE gap_to BETWEEN 1 AND 150;
        UPDATE hook_endpoints SET gaps = (SELECT sum(octet_length(room) + 100) FROM hook_queues
            WHERE gap_to IS NOT NULL);
        UPDATE hook_endpoints SET bytes = bytes + gaps;";
    file(&home).execute_batch(gaps).unwrap();
    say(&store, &lesson, &["second"]).await;
    let left = "SELECT count(*) FROM hook_queues WHERE room LIKE 'of %'";
    let left: i64 = file(&home).query_row(left, [], |row| row.get(0)).unwrap();
    assert!(left < 10, "{left} gaps are left");
}

/// As after a start with a smaller bound.
#[tokio::test]
async fn far_too_much_is_dropped_by_many_transactions() {
    let home = DataFolder::new();
    let mut endpoint = endpoint(&["message.*"], "*");
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["first"]).await;
    store.close().await;
    drop(store);
    let many = "WITH RECURSIVE more (i) AS
            (SELECT 1 UNION ALL SELECT i + 1 FROM more WHERE i < 3000)
        INSERT INTO hook_events (pos, queue, count, epoch, ms, body)
            SELECT e.pos + 2 * more.i, e.queue, 1, e.epoch, e.ms, e.body FROM hook_events e, more;
        UPDATE hook_endpoints SET n = n + 6000,
            bytes = (SELECT sum(octet_length(body) + 100) FROM hook_events);";
    file(&home).execute_batch(many).unwrap();
    endpoint.pending = 100_000;
    let store = open(&home, &endpoint);
    let mut left = vec![rows(&home)];
    while left.len() < 5 {
        say(&store, &room, &["more"]).await;
        left.push(rows(&home));
    }
    assert_eq!(left[0], 3001);
    assert!((2000..2100).contains(&left[1]), "not all at once: {left:?}");
    assert!((1000..1100).contains(&left[2]), "{left:?}");
    assert!(left[3] < 600, "{left:?}");
    assert!(store.standing(&endpoint).await.unwrap().bytes <= endpoint.pending);
    let told = drain(&home, &store, &endpoint).await.concat();
    assert_eq!((&*told[0], told.last().unwrap().as_str()), ("", "more"), "a gap comes first");
}

/// What is known of the next turn is of a transaction that was rolled back.
#[tokio::test]
async fn a_batch_whose_taking_failed_is_taken_as_soon_as_that_works() {
    let home = DataFolder::new();
    let endpoint = endpoint(&["message.*"], "*");
    let (store, room) = (open(&home, &endpoint), room("lesson"));
    say(&store, &room, &["a"]).await;
    // The commit fails, and nothing before it does.
    let jam = "CREATE TABLE nobody (id INTEGER PRIMARY KEY);
        CREATE TABLE jam (id INTEGER REFERENCES nobody (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER jammed AFTER UPDATE OF held ON hook_queues
            BEGIN INSERT INTO jam VALUES (1); END;";
    file(&home).execute_batch(jam).unwrap();
    store.take(&endpoint, 9, LEASE).await.unwrap_err();
    file(&home).execute_batch("DROP TRIGGER jammed; DROP TABLE jam").unwrap();
    assert_eq!(drain(&home, &store, &endpoint).await, [["a"]]);
}

#[test]
fn gaps_that_were_frozen_are_found_by_an_index_of_their_own() {
    let home = DataFolder::new();
    drop(home.open());
    let plan = format!("EXPLAIN QUERY PLAN {}", shed::FROZEN_GAP);
    let plan: String = file(&home).query_row(&plan, [1], |row| row.get(3)).unwrap();
    assert!(plan.contains("hook_queues_of_frozen_gaps"), "{plan}");
}
