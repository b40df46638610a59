//! What overwriting and webhooks cost: figures, and no judgement. Not part of the tests:
//!
//! ```text
//! cargo test --release --lib embedded::tests::cost -- --ignored --nocapture --test-threads 1
//! ```
#![allow(clippy::print_stdout)] // figures are what it is for
use std::{fs, time::Duration};

use super::{super::*, DataFolder};
use crate::{
    domain::{
        broker::{Broker, Entry},
        clock::SystemClock,
        outbox::{Endpoint, Interest, Kinds, Outbox, Pattern, Settlement},
    },
    store::contract::witness::{insert, publish, room, update},
};

/// Rooms that publish at the same time.
const ROOMS: usize = 64;
/// Runs of each, in turns.
const RUNS: usize = 5;

/// What this process has used of the processors, all its threads.
fn used() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// Kilobytes of memory that are in use.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Microseconds of a processor for each of so many messages of each room.
async fn load(
    store: &Arc<Embedded>,
    count: usize,
    entry: impl Fn(usize) -> Entry + Clone + Send + 'static,
) -> f64 {
    let before = used();
    let mut rooms = tokio::task::JoinSet::new();
    for _ in 0..ROOMS {
        let (store, room, entry) = (store.broker(), room("busy"), entry.clone());
        rooms.spawn(async move {
            store.attach(&room).await.unwrap();
            for at in 0..count {
                publish(&store, &room, [entry(at)]).await;
            }
        });
    }
    rooms.join_all().await;
    (used() - before).as_secs_f64() * 1e6 / (count * ROOMS) as f64
}

fn told(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let [first, .., last] = figures[..] else { return String::new() };
    format!("{:.2} ({first:.2} – {last:.2})", figures[figures.len() / 2])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn what_overwriting_costs() {
    let body =
        |size: usize, at: usize| format!("{{\"at\":{at},\"text\":\"{}\"}}", "x".repeat(size));
    type Make = Box<dyn Fn(usize) -> Entry + Send + Sync>;
    let work: [(&str, usize, Make); 4] = [
        ("inserts of 200 bytes", 1500, Box::new(move |at| insert(&body(200, at)))),
        (
            "updates of 200 bytes",
            1500,
            Box::new(move |at| update(&format!("{}", at % 20), &body(200, at))),
        ),
        (
            "updates of 100 to 1,000 bytes",
            1500,
            Box::new(move |at| update(&format!("{}", at % 20), &body(100 + at * 7919 % 900, at))),
        ),
        (
            "updates of 6,000 bytes",
            300,
            Box::new(move |at| update(&format!("{}", at % 20), &body(6000, at))),
        ),
    ];
    for (name, count, entry) in work {
        let entry = Arc::new(entry);
        let mut figures = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for (mode, figures) in ["ON", "FAST", "OFF"].into_iter().zip(&mut figures) {
                let home = DataFolder::new();
                let store = home.open();
                let set = move |db: &rusqlite::Connection| {
                    db.query_row(&format!("PRAGMA secure_delete = {mode}"), [], |_| Ok(()))
                };
                store.writer.run(set).await.unwrap();
                let entry = entry.clone();
                figures.push(load(&store, count, move |at| entry(at)).await);
                store.close().await;
            }
        }
        let [on, fast, off] = figures.map(told);
        println!("{name}: µs each: on {on}, fast {fast}, off {off}");
    }
}

fn interest(rooms: &str) -> Interest {
    let endpoint = Endpoint {
        name: "main".into(),
        kinds: Kinds::all(),
        rooms: vec![Pattern::parse(rooms).unwrap()],
        pending: 1 << 30,
        batch: 100,
    };
    Interest { endpoints: vec![endpoint], leave_delay: Duration::ZERO }
}

/// Takes and settles whatever there is, as fast as it comes, until it is told to end.
async fn deliver(store: Arc<Embedded>, end: tokio_util::sync::CancellationToken) -> u64 {
    let (endpoint, mut written, mut batches) =
        (interest("*").endpoints.remove(0), store.written(), 0);
    loop {
        let taken = store.take(&endpoint, 16, Duration::from_secs(60)).await.unwrap();
        if taken.batches.is_empty() {
            tokio::select! {
                changed = written.changed() => changed.unwrap(),
                () = tokio::time::sleep(taken.next.unwrap_or(Duration::MAX)) => {}
                () = end.cancelled() => return batches,
            }
        }
        for batch in taken.batches {
            store.settle(&endpoint, &batch, Settlement::Delivered).await.unwrap();
            batches += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn what_webhooks_cost() {
    let body =
        |at: usize| format!("{{\"at\":{at},\"text\":\"{}\",\"2\":\"ann\"}}", "x".repeat(150));
    let names =
        ["without an endpoint", "one for other rooms", "one that is told", "one that takes it"];
    let mut figures = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (at, figures) in figures.iter_mut().enumerate() {
            let home = DataFolder::new();
            let hooks = (at > 0).then(|| interest(if at == 1 { "other:*" } else { "*" }));
            let store =
                Embedded::open(Options { hooks, clock: Arc::new(SystemClock), ..home.options() })
                    .unwrap();
            let end = tokio_util::sync::CancellationToken::new();
            let delivering = (at == 3).then(|| tokio::spawn(deliver(store.clone(), end.clone())));
            figures.push(load(&store, 1000, move |at| insert(&body(at))).await);
            end.cancel();
            if let Some(delivering) = delivering {
                println!("{} batches", delivering.await.unwrap());
            }
            store.close().await;
        }
    }
    for (name, figures) in names.into_iter().zip(figures) {
        println!("{name}: µs of a message: {}", told(figures));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn what_a_million_events_take() {
    let home = DataFolder::new();
    let hooks = Some(interest("*"));
    let store =
        Embedded::open(Options { hooks, clock: Arc::new(SystemClock), ..home.options() }).unwrap();
    println!("before: {} KB", memory("VmRSS"));
    let rooms: Vec<_> = (0..100_000).map(|at| room(&format!("{at}"))).collect();
    for _ in 0..2 {
        for some in rooms.chunks(1000) {
            let each = some.iter().map(|room| {
                let (store, room) = (store.broker(), room.clone());
                async move {
                    publish(&store, &room, (0..5).map(|n| insert(&format!("{{\"n\":{n}}}")))).await
                }
            });
            futures_util::future::join_all(each).await;
        }
    }
    println!("1,000,000 wait: {} KB", memory("VmRSS"));
    let endpoint = interest("*").endpoints.remove(0);
    println!("{:?}", store.standing(&endpoint).await.unwrap());
    let (before, mut events) = (used(), 0);
    loop {
        let batches = store.take(&endpoint, 16, Duration::from_secs(60)).await.unwrap().batches;
        if batches.is_empty() && events == 1_000_000 {
            break;
        }
        for batch in batches {
            let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
            let told = body["data"]["events"].as_array().unwrap();
            let indexes: Vec<_> =
                told.iter().map(|event| event["index"].as_u64().unwrap()).collect();
            assert_eq!(indexes, (0..10).collect::<Vec<_>>(), "in their order");
            events += told.len();
            store.settle(&endpoint, &batch, Settlement::Delivered).await.unwrap();
        }
    }
    let took = (used() - before).as_secs_f64() * 1e6 / 1e6;
    println!("drained: {} KB, {} at most, {took:.2} µs an event", memory("VmRSS"), memory("VmHWM"));
}
