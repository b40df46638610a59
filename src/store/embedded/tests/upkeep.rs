//! What is kept, and for how long: memory, expired rooms, unreadable entries.
use super::*;
use crate::{
    domain::{
        broker::{Trim, UpdateLimit},
        clock::SystemClock,
        erase::Erasure,
        hub::LATE,
        ids::{ConnectionId, RoomId, Space},
        presence::Departure::{Gone, Left},
        token::Realm,
    },
    store::{
        contract::witness::{
            EVERYTHING, Witness, ignore, insert, log, publish, refused, room, socket, token, uid,
            update, updates, visitor,
        },
        embedded::{
            keys::KEYS,
            lock,
            log::{
                COUNTERS,
                read::{PAGE, UPDATES},
            },
            trim,
            upkeep::{CHUNKS_WITH_KEYS, DUE, NEXT},
        },
    },
};

#[tokio::test]
async fn nothing_of_a_room_stays_in_memory_when_nobody_is_there() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = home.open();
    let (ann, there) = (visitor(1, "ann"), ConnectionId(1));
    store.claim(&ann.uid, there, &socket(1), None).await.unwrap();
    store.attach(&room).await.unwrap();
    store.enter(&room, &ann).await.unwrap();
    publish(&store.broker(), &room, [insert("a"), ignore("b")]).await;
    assert_eq!(store.rooms.len(), 1);
    store.claim(&ann.uid, ConnectionId(2), &socket(2), None).await.unwrap();
    store.depart(&room, there, Left).await.unwrap();
    store.end(&ann.uid, there).await.unwrap();
    store.detach(&room);
    assert_eq!(store.rooms.len(), 1, "a held place");
    store.release(&room, &ann.uid, ConnectionId(2)).await.unwrap();
    store.end(&ann.uid, ConnectionId(2)).await.unwrap();
    publish(&store.broker(), &room, [insert("nobody hears")]).await;
    assert_eq!(store.rooms.len(), 0);
    assert!(lock(&store.people).is_empty());
}

/// A join that was under way when its session was taken over must not bring the user back as a
/// ghost.
#[tokio::test]
async fn the_evicted_get_nowhere() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = home.open();
    let witness = Witness::of(&store.broker());
    store.attach(&room).await.unwrap();
    store.claim(&uid("ann"), ConnectionId(1), &socket(1), None).await.unwrap();
    store.claim(&uid("ann"), ConnectionId(2), &socket(2), None).await.unwrap();
    store.enter(&room, &visitor(1, "ann")).await.unwrap();
    store.enter(&room, &visitor(2, "ann")).await.unwrap();
    store.depart(&room, ConnectionId(1), Gone).await.unwrap();
    assert_eq!(witness.events(&room), ["joined ann"]);
}

#[tokio::test]
async fn rooms_that_nobody_uses_expire() {
    let home = DataFolder::new();
    let store =
        Embedded::open(Options { room_expiry: Some(Duration::from_secs(100)), ..home.options() })
            .unwrap();
    let (broker, old, used, fresh) = (store.broker(), room("old"), room("used"), room("fresh"));
    store.attach(&used).await.unwrap();
    for room in [&old, &used] {
        publish(&broker, room, [insert("a"), update("x", "b")]).await;
    }
    home.watch.advance(Duration::from_secs(60));
    publish(&broker, &fresh, [insert("c")]).await;
    home.watch.advance(Duration::from_secs(60));
    // The writer takes a step behind each group: the three rooms, and the end of the walk.
    for _ in 0..5 {
        broker.check().await.unwrap();
    }
    assert_eq!((log(&broker, &old).await, updates(&broker, &old).await), (vec![], vec![]));
    assert_eq!(
        (log(&broker, &used).await, log(&broker, &fresh).await),
        (vec!["a".into()], vec!["c".into()])
    );
    publish(&broker, &old, [insert("new")]).await;
    publish(&broker, &used, [insert("b")]).await;
    assert_eq!(
        (log(&broker, &old).await, log(&broker, &used).await),
        (vec!["new".into()], vec!["a".into(), "b".into()])
    );
}

#[tokio::test]
async fn a_log_is_forgotten_on_time_though_its_room_was_quiet_for_long() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let store =
        Embedded::open(Options { room_expiry: Some(Duration::from_secs(100)), ..home.options() })
            .unwrap();
    let broker = store.broker();
    publish(&broker, &room, [insert("a"), update("x", "b")]).await;
    home.watch.advance(Duration::from_secs(90));
    store.expire(&room, Duration::from_secs(150)).await.unwrap();
    home.watch.advance(Duration::from_secs(20));
    for _ in 0..4 {
        broker.check().await.unwrap();
    }
    assert_eq!((rows(&store).await, log(&broker, &room).await), (0, vec![]), "it was quiet");
    home.watch.advance(Duration::from_secs(60));
    let placed = publish(&broker, &room, [insert("c")]).await;
    assert_eq!(placed[0].index, Some(1), "the index goes on");
    home.watch.advance(Duration::from_secs(69));
    assert_eq!(log(&broker, &room).await, ["c"]);
    home.watch.advance(Duration::from_secs(1));
    assert_eq!(log(&broker, &room).await, [""; 0]);
    // Then the room goes like any other.
    let rooms = |db: &rusqlite::Connection| {
        db.query_row("SELECT count(*) FROM rooms", [], |row| row.get::<_, i64>(0))
    };
    for _ in 0..4 {
        broker.check().await.unwrap();
    }
    assert_eq!((rows(&store).await, store.readers.pages.read(rooms).await.unwrap()), (0, 1));
    home.watch.advance(Duration::from_secs(200));
    for _ in 0..4 {
        broker.check().await.unwrap();
    }
    assert_eq!(store.readers.pages.read(rooms).await.unwrap(), 0);
}

#[tokio::test]
async fn expiry_walks_on_by_itself() {
    let home = DataFolder::new();
    let store =
        Embedded::open(Options { room_expiry: Some(Duration::from_secs(100)), ..home.options() })
            .unwrap();
    let rooms: Vec<_> = (0..1200).map(|i| room(&format!("class {i}"))).collect();
    for room in &rooms {
        publish(&store.broker(), room, [insert("a")]).await;
    }
    home.watch.advance(Duration::from_secs(1000));
    let left = || {
        store
            .readers
            .pages
            .read(|db| db.query_row("SELECT count(*) FROM rooms", [], |row| row.get::<_, i64>(0)))
    };
    store.broker().check().await.unwrap(); // wakes the writer
    while left().await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_room_that_comes_again_begins_behind_what_it_had() {
    let home = DataFolder::new();
    let store =
        Embedded::open(Options { room_expiry: Some(Duration::from_secs(100)), ..home.options() })
            .unwrap();
    let (broker, old, other) = (store.broker(), room("old"), room("other"));
    publish(&broker, &old, [insert("a"), insert("b")]).await;
    broker.clear(&old).await.unwrap();
    publish(&broker, &old, [insert("c")]).await;
    home.watch.advance(Duration::from_secs(200));
    for _ in 0..3 {
        broker.check().await.unwrap();
    }
    let page = broker.page(&old, 0, EVERYTHING).await.unwrap();
    assert_eq!((page.base, page.log_length), (3, 0));
    for room in [&old, &other] {
        let placed = publish(&broker, room, [insert("d"), insert("e")]).await;
        assert_eq!((placed[0].index, placed[1].index), (Some(3), Some(4)));
        assert_eq!(broker.page(room, 1, EVERYTHING).await.unwrap().base, 3);
    }
}

/// How many rows the log has.
async fn rows(store: &Embedded) -> i64 {
    let count = |db: &rusqlite::Connection| {
        db.query_row(
            "SELECT (SELECT count(*) FROM log) + (SELECT count(*) FROM updates)",
            [],
            |row| row.get(0),
        )
    };
    store.readers.pages.read(count).await.unwrap()
}

#[tokio::test]
async fn a_log_is_forgotten_on_time_though_nobody_comes() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let options = || Options { clock: Arc::new(SystemClock), ..home.options() };
    let store = Embedded::open(options()).unwrap();
    let witness = Witness::of(&store.broker());
    store.attach(&room).await.unwrap();
    publish(&store.broker(), &room, [insert("a"), update("x", "b")]).await;
    store.expire(&room, Duration::from_millis(50)).await.unwrap();
    witness.invalidation(&room).await;
    assert_eq!(rows(&store).await, 0, "its space is free");
    // Nor after a restart.
    publish(&store.broker(), &room, [insert("c"), insert("d")]).await;
    store.expire(&room, Duration::from_millis(50)).await.unwrap();
    store.broker().close().await;
    drop(store);
    let store = Embedded::open(options()).unwrap();
    let witness = Witness::of(&store.broker());
    if rows(&store).await > 0 {
        witness.invalidation(&room).await;
    }
    assert_eq!(rows(&store).await, 0);
    let placed = publish(&store.broker(), &room, [insert("e")]).await;
    assert_eq!(placed[0].index, Some(3));
}

#[tokio::test]
async fn the_writer_waits_for_who_writes_to_a_room_whose_time_is_over() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let store = home.open();
    publish(&store.broker(), &room, [insert("a")]).await;
    store.expire(&room, Duration::from_secs(10)).await.unwrap();
    let turn = store.turn(&room).await.unwrap();
    home.watch.advance(Duration::from_secs(10));
    store.broker().check().await.unwrap();
    store.broker().check().await.unwrap(); // behind the step of the first
    assert_eq!(rows(&store).await, 1);
    assert_eq!(log(&store.broker(), &room).await, [""; 0], "nobody sees it");
    drop(turn);
    publish(&store.broker(), &room, [insert("b")]).await;
    assert_eq!((rows(&store).await, log(&store.broker(), &room).await), (1, vec!["b".into()]));
}

#[tokio::test]
async fn an_entry_that_is_no_text_is_counted_and_not_shown() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = home.open();
    for text in ["a", "b", "c"] {
        publish(&store.broker(), &room, [insert(text)]).await;
    }
    let damage = |db: &rusqlite::Connection| {
        db.execute("UPDATE log SET body = x'ff00' WHERE pos & 0xffffffff = 1", [])
    };
    assert_eq!(store.writer.run(damage).await.unwrap(), 1);
    let page = store.page(&room, 0, EVERYTHING).await.unwrap();
    assert_eq!(
        page.entries.iter().map(|e| e.body.as_deref()).collect::<Vec<_>>(),
        [Some(&b"\"a\""[..]), None, Some(b"\"c\"")]
    );
    assert_eq!(page.log_length, 3);
}

#[tokio::test]
async fn reading_needs_no_sorting_and_no_scan() {
    let home = DataFolder::new();
    let store = home.open();
    for (sql, parameters) in [
        (COUNTERS, 1),
        (PAGE, 2),
        (UPDATES, 2),
        (KEYS, 2),
        (trim::CHUNK_BEFORE, 2),
        (trim::CHUNK_BEHIND, 2),
        (trim::OLDEST_UPDATES, 2),
        (trim::TRIMMING, 0),
        (CHUNKS_WITH_KEYS, 2),
        (DUE, 2),
        (NEXT, 1),
    ] {
        let explain = move |db: &rusqlite::Connection| {
            let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let nothing = rusqlite::params_from_iter(std::iter::repeat_n(0, parameters));
            explain
                .query_map(nothing, |row| row.get::<_, String>(3))?
                .collect::<Result<Vec<_>, _>>()
        };
        let plan = store.readers.pages.read(explain).await.unwrap().join("\n");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
    }
}

#[tokio::test]
async fn no_page_delays_who_signs_in_or_joins() {
    let home = DataFolder::new();
    let store = home.open();
    store.tokens().create(Realm::User, &uid("ann"), &token("secret")).await.unwrap();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
    // As many long pages as are read at the same time, and one that waits.
    let pages: Vec<_> = (0..3)
        .map(|_| {
            let (store, gate, enter) = (store.clone(), gate.clone(), enter.clone());
            tokio::spawn(async move {
                let long = move |_: &_| {
                    let _ = (enter.send(()), gate.lock().unwrap().recv());
                    Ok(())
                };
                store.readers.pages.read(long).await
            })
        })
        .collect();
    for _ in 0..2 {
        entered.recv().await.unwrap();
    }
    assert!(store.tokens().verify(Realm::User, &uid("ann"), &token("secret")).await.unwrap());
    let joined = store.enter(&room("lesson"), &visitor(1, "ann")).await.unwrap();
    assert_eq!(joined.n, 1);
    assert!(pages.iter().all(|page| !page.is_finished()));
    drop(go);
    for page in pages {
        page.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_room_above_the_bound_is_read_and_shrinks() {
    let (home, room) = (DataFolder::new(), room("board"));
    let store = home.open();
    publish(&store.broker(), &room, (0..10).map(|i| update(&i.to_string(), "123456"))).await;
    store.broker().close().await;
    drop(store);
    let store = Embedded::open(Options {
        updates: UpdateLimit { entries: 4, bytes: 50 },
        ..home.options()
    })
    .unwrap();
    let broker = store.broker();
    let batch = [update("0", "1234567"), update("1", "654321"), update("new", ""), update("2", "")];
    assert_eq!(refused(&broker, &room, batch).await, [0, 2]);
    assert_eq!(updates(&broker, &room).await.len(), 10);
    publish(&broker, &room, (3..10).map(|i| update(&i.to_string(), ""))).await;
    assert_eq!(
        refused(&broker, &room, [update("new", "")]).await,
        [0],
        "they are fewer bytes, but not fewer"
    );
    broker.clear(&room).await.unwrap();
    publish(&broker, &room, (0..4).map(|i| update(&i.to_string(), "123456"))).await;
}

/// Cutting the WAL waits for whoever reads from it, but lets others write.
#[tokio::test(flavor = "multi_thread")]
async fn scrubbing_does_not_keep_others_from_writing() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = home.open();
    publish(&store.broker(), &room, [insert("a")]).await;
    let connect = || rusqlite::Connection::open(&store.file).unwrap();
    let (reader, writer) = (connect(), connect());
    writer.busy_timeout(Duration::ZERO).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM rooms").unwrap();
    publish(&store.broker(), &room, [insert("b")]).await;
    let scrubbing = tokio::spawn({
        let store = store.clone();
        async move { store.scrub().await }
    });
    let mut written = 0;
    for _ in 0..100 {
        written += u32::from(writer.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(written > 50, "{written}");
    reader.execute_batch("ROLLBACK").unwrap();
    let _ = scrubbing.await.unwrap(); // on a slow machine it may have given up
    store.scrub().await.unwrap();
}

/// How many rooms have a row.
async fn rooms(store: &Embedded) -> i64 {
    let count = |db: &rusqlite::Connection| {
        db.query_row("SELECT count(*) FROM rooms", [], |row| row.get(0))
    };
    store.readers.pages.read(count).await.unwrap()
}

#[tokio::test]
async fn a_life_counts_on_though_nobody_uses_it_and_leaves_nothing_when_it_is_forgotten() {
    let home = DataFolder::new();
    let store =
        Embedded::open(Options { room_expiry: Some(Duration::from_secs(100)), ..home.options() })
            .unwrap();
    let life = |name| RoomId::within(Space::Lives("talk"), name).unwrap();
    let (broker, other, one, two) = (store.broker(), room("other"), life("one"), life("two"));
    for room in [&other, &one] {
        publish(&broker, room, [insert("a"), insert("b"), update("x", "c")]).await;
    }
    home.watch.advance(Duration::from_secs(200));
    for _ in 0..6 {
        broker.check().await.unwrap();
    }
    assert_eq!((rows(&store).await, rooms(&store).await), (0, 1), "that of the life");
    for (room, index) in [(&one, 2), (&two, 0), (&other, 2)] {
        let placed = publish(&broker, room, [insert("d")]).await;
        assert_eq!(placed[0].index, Some(index), "{room:?}");
    }
    for life in [&one, &two] {
        store.expire(life, LATE).await.unwrap();
        broker.clear(life).await.unwrap();
    }
    home.watch.advance(LATE);
    for _ in 0..12 {
        broker.check().await.unwrap();
    }
    assert_eq!((rows(&store).await, rooms(&store).await), (0, 0));
}

#[tokio::test]
async fn of_a_room_that_keeps_nothing_no_message_stays_in_the_files() {
    const MARK: &str = "quid-sit-futurum-cras";
    let (home, room) = (DataFolder::new(), room("chat"));
    let store = home.open();
    let broker = store.broker();
    publish(&broker, &room, [insert("a"), insert(MARK), insert("b"), insert("c")]).await;
    store.trim(&room, Trim::Keep(2)).await.unwrap();
    for text in [MARK.to_owned(), MARK.repeat(1000)] {
        publish(&broker, &room, [insert(&text)]).await;
        store.trim(&room, Trim::Keep(0)).await.unwrap();
    }
    // The rows go behind the answer.
    let gone = async {
        while rows(&store).await > 0 {
            broker.check().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the rows are deleted");
    store.scrub().await.unwrap();
    assert!(!home.contains(MARK).await);
    drop(broker);
    store.close().await;
    drop(store);
    let store = home.open();
    let placed = publish(&store.broker(), &room, [insert("d")]).await;
    assert_eq!(placed[0].index, Some(6));
    assert_eq!(log(&store.broker(), &room).await, ["d"]);
}
