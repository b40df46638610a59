//! The writer when things go wrong: full disks, bad changes, callers that gave up.
use std::{
    pin::pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    domain::{
        error::StoreError,
        ids::{ConnectionId, RoomId},
        presence::Departure::Gone,
    },
    store::contract::witness::{
        Witness, ignore, insert, keyed, log, publish, room, update, updates, visitor,
    },
};

/// A change that keeps the writer busy until it is let go.
struct Gate {
    entered: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

impl Gate {
    /// Puts one into the writer's queue.
    async fn queue(store: &Arc<Embedded>) -> Self {
        let ((enter, entered), (go, gate)) = (mpsc::channel(), mpsc::channel());
        let store = store.clone();
        tokio::spawn(async move {
            let wait = move |_: &_| {
                let _ = (enter.send(()), gate.recv());
                Ok(())
            };
            store.writer.run(wait).await
        });
        tokio::task::yield_now().await;
        Gate { entered, go }
    }

    /// Waits until the writer is in it.
    fn entered(self) -> Self {
        self.entered.recv().unwrap();
        self
    }

    fn open(self) {
        self.go.send(()).unwrap();
    }
}

async fn attached(home: &DataFolder, name: &str) -> (Arc<Embedded>, Arc<Witness>, RoomId) {
    let (store, room) = (home.open(), room(name));
    let witness = Witness::of(&store.broker());
    store.attach(&room).await.unwrap();
    (store, witness, room)
}

#[tokio::test]
async fn who_recalls_nothing_does_not_wait_for_the_writer() {
    let home = DataFolder::new();
    let (store, witness, room) = attached(&home, "chat").await;
    let recall = async |key| store.recall(&room, key, 200).await.unwrap();
    publish(&store.broker(), &room, [keyed("k", "a"), keyed("old", "b"), insert("c")]).await;
    assert!(recall("k").await.is_some());
    witness.heard(&room);
    let busy = Gate::queue(&store).await.entered();
    assert_eq!(recall("unknown").await, None);
    assert_eq!(store.recall(&room, "old", 1).await.unwrap(), None, "it is too old");
    assert_eq!(recall("k").await.as_deref(), Some(&b"\"a\""[..]), "it was recalled before");
    busy.open();
    assert_eq!(witness.heard(&room), [""; 0]);
}

async fn limit_pages(store: &Embedded, beyond: i64) {
    let limit = move |db: &rusqlite::Connection| {
        let used: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        db.query_row(&format!("PRAGMA max_page_count = {}", used + beyond), [], |_| Ok(()))
    };
    store.writer.run(limit).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_whole_batches_and_ends_when_there_is_room() {
    let home = DataFolder::new();
    let (store, witness, room) = attached(&home, "lesson").await;
    let broker = store.broker();
    let body = "x".repeat(10_000);
    publish(&broker, &room, [insert("before")]).await;
    limit_pages(&store, 20).await;
    let refused = broker.publish(&room, (0..20).map(|_| insert(&body)).collect()).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("full")),
        "{refused:?}"
    );
    let refused =
        broker.publish(&room, [update("a", "small"), insert(&"x".repeat(200_000))].into()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(
        (log(&broker, &room).await, updates(&broker, &room).await),
        (vec!["before".into()], vec![]),
        "nothing half stored"
    );
    publish(&broker, &room, [ignore("still heard")]).await;
    publish(&broker, &room, [insert("small enough")]).await;
    limit_pages(&store, 1 << 20).await;
    publish(&broker, &room, [insert(&body), insert("after")]).await;
    assert_eq!(log(&broker, &room).await, ["before", "small enough", &body, "after"]);
    let ns: Vec<_> = witness.take(&room).iter().map(|p| p.n).collect();
    assert_eq!(ns, [1, 2, 3, 4, 5], "what was refused has no place in the order");
}

#[tokio::test]
async fn a_bad_change_fails_alone() {
    let home = DataFolder::new();
    let (store, _, one) = attached(&home, "one").await;
    let other = room("other");
    store.attach(&other).await.unwrap();
    let gate = Gate::queue(&store).await.entered();
    let good = |room: &RoomId| {
        let (broker, room) = (store.broker(), room.clone());
        tokio::spawn(async move { broker.publish(&room, [insert("good")].into()).await })
    };
    let (first, bad, second) = (
        good(&one),
        tokio::spawn({
            let store = store.clone();
            async move { store.writer.run(|db| db.execute("INSERT INTO nowhere VALUES (1)", [])).await }
        }),
        good(&other),
    );
    tokio::task::yield_now().await;
    gate.open();
    assert!(
        matches!(bad.await.unwrap(), Err(StoreError::Unavailable(why)) if why.contains("nowhere"))
    );
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(
        (log(&store.broker(), &one).await, log(&store.broker(), &other).await),
        (vec!["good".into()], vec!["good".into()])
    );
}

#[tokio::test]
async fn a_change_that_panics_does_not_end_the_writer() {
    let home = DataFolder::new();
    let (store, _, room) = attached(&home, "lesson").await;
    let panicked = store.writer.run(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await;
    assert!(matches!(panicked, Err(StoreError::OutcomeUnknown(_))));
    publish(&store.broker(), &room, [insert("after")]).await;
}

#[tokio::test]
async fn without_an_answer_in_time_the_outcome_is_unknown_and_the_room_goes_on_later() {
    let home = DataFolder::new();
    let (store, witness, room) = attached(&home, "lesson").await;
    let gate = Gate::queue(&store).await.entered();
    tokio::time::pause(); // with nothing else to do, time jumps to the deadline
    let late = store.broker().publish(&room, [insert("late")].into()).await;
    assert!(matches!(late, Err(StoreError::OutcomeUnknown(_))), "{late:?}");
    let next = store.broker().publish(&room, [ignore("next")].into()).await;
    assert!(
        matches!(next, Err(StoreError::Unavailable(_))),
        "it has its place behind the one in the queue: {next:?}"
    );
    tokio::time::resume();
    gate.open();
    publish(&store.broker(), &room, [insert("in time")]).await;
    assert_eq!(
        log(&store.broker(), &room).await,
        ["in time"],
        "nobody waited for the late one any more"
    );
    assert_eq!(witness.heard(&room), ["1 insert in time"]);
}

#[tokio::test]
async fn a_departure_waits_behind_a_late_message_rather_than_leaving_a_ghost() {
    let home = DataFolder::new();
    let (store, witness, room) = attached(&home, "lesson").await;
    store.enter(&room, &visitor(1, "ann")).await.unwrap();
    let gate = Gate::queue(&store).await.entered();
    tokio::time::pause();
    assert!(store.broker().publish(&room, [insert("late")].into()).await.is_err());
    let departing = tokio::spawn({
        let (presence, room) = (store.presence(), room.clone());
        async move { presence.depart(&room, ConnectionId(1), Gone).await }
    });
    tokio::time::sleep(store.deadline * 2).await; // paused: no time passes
    assert!(!departing.is_finished());
    tokio::time::resume();
    gate.open();
    departing.await.unwrap().unwrap();
    assert_eq!(witness.heard(&room), ["1 joined ann", "2 gone ann"]);
}

#[tokio::test]
async fn what_is_stored_is_told_even_if_its_caller_has_gone() {
    let home = DataFolder::new();
    let (store, witness, room) = attached(&home, "lesson").await;
    let gate = Gate::queue(&store).await.entered();
    let publishing = tokio::spawn({
        let (broker, room) = (store.broker(), room.clone());
        async move { broker.publish(&room, [insert("a")].into()).await }
    });
    tokio::task::yield_now().await;
    let behind = Gate::queue(&store).await; // in one transaction with the message
    gate.open();
    let behind = behind.entered();
    publishing.abort();
    assert!(publishing.await.unwrap_err().is_cancelled());
    behind.open();
    publish(&store.broker(), &room, [insert("b")]).await;
    assert_eq!(witness.heard(&room), ["1 insert a", "2 insert b"]);
    assert_eq!(log(&store.broker(), &room).await, ["a", "b"]);
}

#[tokio::test]
async fn what_is_not_stored_waits_for_nothing() {
    let home = DataFolder::new();
    let (store, witness, room) = attached(&home, "lesson").await;
    let gate = Gate::queue(&store).await.entered();
    let broker = store.broker();
    let mut publishing = pin!(broker.publish(&room, [ignore("a"), ignore("b")].into()));
    let polled = publishing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(_))));
    assert_eq!(witness.heard(&room), ["1 ignore a", "2 ignore b"]);
    gate.open();
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let home = DataFolder::new();
    let store = home.open();
    let gate = Gate::queue(&store).await.entered();
    let broker = store.broker();
    let mut waiting: Vec<_> = (0..8192).map(|_| broker.check()).collect();
    for call in &mut waiting {
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert!(matches!(broker.check().await, Err(StoreError::Unavailable(_))));
    gate.open();
    for call in waiting {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn closing_waits_for_what_was_accepted() {
    let home = DataFolder::new();
    let (store, _, room) = attached(&home, "lesson").await;
    let gate = Gate::queue(&store).await.entered();
    let publishing = tokio::spawn({
        let (broker, room) = (store.broker(), room.clone());
        async move { broker.publish(&room, [insert("last words")].into()).await }
    });
    tokio::task::yield_now().await;
    let closing = tokio::spawn({
        let broker = store.broker();
        async move { broker.close().await }
    });
    tokio::task::yield_now().await;
    assert!(!closing.is_finished());
    gate.open();
    closing.await.unwrap();
    publishing.await.unwrap().unwrap();
    drop(store);
    assert_eq!(log(&home.open().broker(), &room).await, ["last words"]);
}

#[tokio::test]
async fn another_process_that_writes_is_waited_for_and_then_given_up() {
    let home = DataFolder::new();
    let store =
        Embedded::open(Options { deadline: Duration::from_secs(2), ..home.options() }).unwrap();
    let (broker, room) = (store.broker(), room("lesson"));
    publish(&broker, &room, [insert("before")]).await;
    let other = rusqlite::Connection::open(home.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = broker.publish(&room, [insert("meanwhile")].into()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(log(&broker, &room).await, ["before"], "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    publish(&broker, &room, [insert("after")]).await;
    assert_eq!(log(&broker, &room).await, ["before", "after"]);
}
