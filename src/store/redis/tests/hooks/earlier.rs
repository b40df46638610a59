//! What earlier builds have left in the outbox, and what is far too much or can't be read there.
use super::*;
use crate::domain::{
    erase::{Job, perform},
    outbox::ParkedBatch,
};

/// Has a batch put aside as an earlier build did, which noted of no room that it has such.
fn put_aside(keys: &Keys, room: &RoomId, serial: u64) -> String {
    let id = format!("msg_{serial}");
    let event =
        r#"{"type":"message.inserted","n":2,"uid":"ann","message":{"text":"quo","2":"ann"}}"#;
    let body = format!(r#"{{"type":"room.events","data":{{"events":[{event}]}}}}"#);
    let number = serial.to_string();
    let fields = [
        ("room", room.as_str()),
        ("body", &*body),
        ("epoch", "7"),
        ("first", "2"),
        ("last", "2"),
        ("attempts", "1"),
        ("since", "5"),
        ("why", "400"),
        ("parked", "6"),
        ("serial", &*number),
    ];
    redis::pipe()
        .hset_multiple(keys.key(&format!("ao:hooks:batch:main:{id}")), &fields)
        .zadd(keys.key("ao:hooks:parked:main"), &id, serial)
        .incr(keys.key("ao:hooks:bytes:main"), body.len() + 100)
        .sadd(keys.key("ao:hooks:endpoints"), "main")
        .exec(&mut keys.connection())
        .unwrap();
    id
}

#[tokio::test]
async fn who_is_erased_is_erased_from_what_an_earlier_build_has_put_aside() {
    for of_one_room in [false, true] {
        let keys = Keys::new();
        let (store, _) = told(keys.options(), &["message.*"]).await;
        // More than are looked at in one step.
        let rooms = ["class", "talk"].map(room);
        for serial in 1..=450 {
            put_aside(&keys, &rooms[serial as usize % 2], serial);
        }
        let ann = Uid::text("ann").unwrap();
        let job = Job::new("job".into(), &ann, of_one_room.then_some(&rooms[..1]), 1);
        let done = perform(&*store, &*store, job).await.unwrap();
        let copies = if of_one_room { 225 } else { 450 };
        assert_eq!(done.erased.copies, copies);
        let parked = store.parked("main", None, 1000).await.unwrap().batches;
        let is_erased = |batch: &&ParkedBatch| batch.body.ends_with(br#""message":null}]}}"#);
        let erased = parked.iter().filter(is_erased).count();
        assert_eq!((parked.len(), erased as u64), (450, copies));
    }
}

#[tokio::test]
async fn a_gap_that_an_earlier_build_did_not_count_is_not_subtracted() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["message.*"]).await;
    let (room, mut redis) = (room("class"), keys.connection());
    let _: () = redis.hset(keys.key("ao:hooks:gap:main"), room.as_str(), "7 2 4").unwrap();
    let _: () = redis.zadd(keys.key("ao:hooks:due:main"), room.as_str(), 1).unwrap();
    let mut size = |of: &str| -> Option<i64> { redis.get(keys.key(of)).unwrap() };
    let gap = take(&store, &endpoint).await.remove(0);
    settle(&store, &endpoint, &gap, Settlement::Delivered).await;
    assert_eq!(size("ao:hooks:bytes:main"), Some(0));
    assert_eq!(size("ao:hooks:gap_bytes:main"), None);
    say(&store, &room, "ann", "hi").await;
    let batch = take(&store, &endpoint).await.remove(0);
    settle(&store, &endpoint, &batch, Settlement::Parked { why: "400".into() }).await;
    let counted = 100 + room.as_str().len() as i64;
    assert_eq!(size("ao:hooks:gap_bytes:main"), Some(counted), "this one is counted");
    let gap = take(&store, &endpoint).await.remove(0);
    settle(&store, &endpoint, &gap, Settlement::Delivered).await;
    assert_eq!(size("ao:hooks:gap_bytes:main"), Some(0));
}

/// As after a start with a smaller bound.
#[tokio::test]
async fn far_too_many_gaps_become_one_by_many_scripts() {
    const PENDING: u64 = 40_000;
    let keys = Keys::new();
    let endpoint = Endpoint { pending: PENDING, ..endpoint(&["message.*"]) };
    let interest = Interest { endpoints: vec![endpoint.clone()], leave_delay: LEASE };
    let store = Redis::open(Options { hooks: Some(interest), ..keys.options() }).await.unwrap();
    Witness::of(&store.broker());
    let gaps = keys.key("ao:hooks:gaps:main");
    let mut fill = redis::pipe();
    for at in 100..1100_u64 {
        let name = format!("room {at:04}");
        fill.hset(keys.key("ao:hooks:gap:main"), &name, format!("7 {at} {at}"));
        fill.zadd(&gaps, &name, at).zadd(keys.key("ao:hooks:due:main"), &name, 1);
    }
    for size in ["ao:hooks:gap_bytes:main", "ao:hooks:bytes:main"] {
        fill.set(keys.key(size), 1000 * 109);
    }
    fill.exec(&mut keys.connection()).unwrap();
    let room = room("class");
    let mut left = Vec::new();
    for _ in 0..6 {
        say(&store, &room, "ann", "more").await;
        let count: u64 = keys.connection().zcard(&gaps).unwrap();
        left.push(count);
    }
    assert!((790..=810).contains(&left[0]), "not all at once: {left:?}");
    assert!((580..=620).contains(&left[1]), "{left:?}");
    assert_eq!(store.standing(&endpoint).await.unwrap().dropped, 0, "no event has to go for them");
    let all: Option<String> =
        keys.connection().hget(keys.key("ao:hooks:gap:main"), "\u{1}*\u{1}*").unwrap();
    assert!(all.unwrap().contains(" 100 "), "from the oldest on");
    assert!(store.standing(&endpoint).await.unwrap().bytes <= PENDING);
}

#[tokio::test]
async fn what_cant_be_read_hides_no_other_that_was_put_aside() {
    let keys = Keys::new();
    let (store, _) = told(keys.options(), &["message.*"]).await;
    let (room, mut redis) = (room("class"), keys.connection());
    let good = [1, 4, 6].map(|serial| put_aside(&keys, &room, serial));
    let of = |id: &str| keys.key(&format!("ao:hooks:batch:main:{id}"));
    for (serial, id) in [(2, "gone"), (3, "text"), (5, "nowhere"), (7, "when")] {
        let _: () = redis.zadd(keys.key("ao:hooks:parked:main"), id, serial).unwrap();
    }
    let _: () = redis.set(of("text"), "by hand").unwrap();
    let _: () = redis.hset(of("nowhere"), "room", "no\nroom").unwrap();
    let _: () = redis.hset_multiple(of("when"), &[("room", "a"), ("parked", "x")]).unwrap();
    for limit in [1, 2, 9] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.parked("main", after.as_deref(), limit).await.unwrap();
            listed.extend(page.batches.iter().map(|batch| batch.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, good);
    }
    store.index_parked().await.unwrap();
}
