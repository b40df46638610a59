//! What Redis has for webhooks beside what every store has: what others write there, and what it
//! costs.
use std::{sync::Arc, time::Duration};

use redis::Commands;

use super::{
    Keys, Options, Redis,
    cluster::{short, until},
};
use crate::{
    domain::{
        ids::{RoomId, Uid},
        outbox::{
            Batch, Endpoint, Interest, Kinds, Outbox, OutboxErasure, Parking, Pattern, Settlement,
        },
    },
    store::contract::witness::*,
};

mod earlier;
mod held;

const LEASE: Duration = Duration::from_secs(600);

fn endpoint(kinds: &[&str]) -> Endpoint {
    Endpoint {
        name: "main".into(),
        kinds: Kinds::parse(kinds.iter().copied()).unwrap(),
        rooms: vec![Pattern::parse("*").unwrap()],
        pending: 1 << 30,
        batch: 100,
    }
}

async fn told(options: Options, kinds: &[&str]) -> (Arc<Redis>, Endpoint) {
    let endpoint = endpoint(kinds);
    let interest = Interest { endpoints: vec![endpoint.clone()], leave_delay: Duration::ZERO };
    let store = Redis::open(Options { hooks: Some(interest), ..options }).await.unwrap();
    Witness::of(&store.broker());
    (store, endpoint)
}

async fn take(store: &Redis, endpoint: &Endpoint) -> Vec<Batch> {
    store.take(endpoint, 100, LEASE).await.unwrap().batches
}

async fn settle(store: &Redis, endpoint: &Endpoint, batch: &Batch, how: Settlement) {
    Outbox::settle(store, endpoint, batch, how).await.unwrap();
}

fn texts(batch: &Batch) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
    let events = body["data"]["events"].as_array().unwrap().clone();
    events.iter().map(|event| event["message"]["text"].to_string()).collect()
}

async fn say(store: &Arc<Redis>, room: &RoomId, uid: &str, text: &str) {
    let message = format!(r#"{{"text":"{text}","2":"{uid}"}}"#);
    publish(&store.broker(), room, [insert(&message)]).await;
}

/// All that is done to this Redis meanwhile, by whomever.
async fn monitored(keys: &Keys, work: impl Future<Output = ()>) -> Vec<String> {
    let mut monitor = keys.connection();
    monitor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    redis::cmd("MONITOR").exec(&mut monitor).unwrap();
    work.await;
    let end = keys.key("that is all");
    redis::cmd("ECHO").arg(&end).exec(&mut keys.connection()).unwrap();
    let mut done = Vec::new();
    while !done.last().is_some_and(|line: &String| line.contains(&end)) {
        done.push(format!("{:?}", monitor.recv_response().unwrap()).replace('\\', ""));
    }
    done
}

#[tokio::test]
async fn who_sends_is_woken_by_what_is_told_and_by_nothing_else() {
    let keys = Keys::new();
    let (store, _) = told(keys.options(), &["member.joined"]).await;
    let (room, mut written) = (room("class"), store.written());
    written.borrow_and_update();
    say(&store, &room, "ann", "nobody is told").await;
    store.broker().clear(&room).await.unwrap();
    assert!(!written.has_changed().unwrap());
    store.presence().enter(&room, &visitor(1, "ann")).await.unwrap();
    assert!(written.has_changed().unwrap());
    written.borrow_and_update();
    store.presence().enter(&room, &visitor(2, "ann")).await.unwrap();
    claim(&store.presence(), "ann", 1).await;
    assert!(!written.has_changed().unwrap(), "she is there already");
    store.sweep().await.unwrap();
    assert!(!written.has_changed().unwrap());
    store.presence().remove(&room, &uid("ann")).await.unwrap();
    store.sweep().await.unwrap();
    assert!(!written.has_changed().unwrap(), "nobody asked for leavings");
}

/// What is told to whom is JSON, which is read where there is something to tell.
#[tokio::test]
async fn what_nobody_is_told_costs_no_look_at_who_is() {
    let keys = Keys::new();
    let (store, _) = told(keys.options(), &["user.erased"]).await;
    let live = store.client.live().unwrap();
    let batch = super::super::wire::Batch::encode(&[insert("1")]);
    let publish = async |kinds: &str, told: &[&'static str], number| {
        let arguments = store.arguments(&store.node(), &live, Some(store.deadline()));
        let arguments = arguments.text("class").number(number).text(&batch.meta).number(0);
        let arguments = arguments.number(0).number(9).number(9).text(&batch.kinds).text("");
        let spec = format!(" {kinds} \n{{ this is no JSON");
        let arguments = arguments
            .bodies(batch.parts.clone())
            .bodies(told.iter().map(|part| (*part).into()))
            .bodies([spec.into()]);
        let publish = super::super::Script::Publish;
        store.client.run(&live, publish, &arguments, store.deadline()).await
    };
    assert!(publish("member.joined", &[], 1).await.is_ok());
    assert!(publish("member.joined", &["", "", ""], 2).await.is_ok());
    let said = ["ann", r#""uid":"ann""#, ""];
    assert!(publish("message.inserted", &said, 3).await.is_err(), "here it is read");
}

#[tokio::test]
async fn what_others_write_keeps_nobody_waiting() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["message.*"]).await;
    let (good, odd, bad) = (room("good"), room("odd"), room("bad"));
    let events = |room: &RoomId| keys.key(&format!("ao:hooks:events:main:{room}"));
    let mut redis = keys.connection();
    say(&store, &odd, "ann", "first").await;
    let _: () = redis.rpush(events(&odd), "by hand").unwrap();
    say(&store, &odd, "ann", "last").await;
    say(&store, &good, "ann", "good").await;
    say(&store, &bad, "ann", "bad").await;
    let _: () = redis.lset(events(&bad), 0, "by hand").unwrap();
    let _: () = redis.zadd(keys.key("ao:hooks:due:main"), "no\nroom", 0).unwrap();
    let _: () = redis.rpush(keys.key("ao:hooks:events:main:no\nroom"), "by hand").unwrap();
    let mut batches = take(&store, &endpoint).await;
    batches.sort_by(|a, b| a.room.cmp(&b.room));
    let told: Vec<_> = batches.iter().map(texts).collect();
    assert_eq!(told, [vec!["\"good\""], vec!["\"first\"", "\"last\""]]);
    for batch in &batches {
        settle(&store, &endpoint, batch, Settlement::Delivered).await;
    }
    say(&store, &bad, "ann", "again").await;
    assert_eq!(texts(&take(&store, &endpoint).await[0]), ["\"again\""]);
    let dropped: u64 = redis.get(keys.key("ao:hooks:dropped:main")).unwrap();
    assert_eq!(dropped, 2, "the one of no room is nobody's");
}

/// A script that publishes must not fail by what somebody else wrote into a queue.
#[tokio::test]
async fn too_much_is_dropped_also_where_it_can_not_be_read() {
    let keys = Keys::new();
    let endpoint = Endpoint { pending: 3000, ..endpoint(&["message.*"]) };
    let interest = Interest { endpoints: vec![endpoint.clone()], leave_delay: LEASE };
    let store = Redis::open(Options { hooks: Some(interest), ..keys.options() }).await.unwrap();
    Witness::of(&store.broker());
    let room = room("class");
    say(&store, &room, "ann", "0").await;
    let events = keys.key(&format!("ao:hooks:events:main:{room}"));
    let _: () = keys.connection().lset(&events, 0, "by hand").unwrap();
    for at in 1..100 {
        say(&store, &room, "ann", &at.to_string()).await;
        assert!(store.standing(&endpoint).await.unwrap().bytes <= 3000);
    }
    let batches = take(&store, &endpoint).await;
    assert_eq!(texts(&batches[0]).last().unwrap(), "\"99\"");
}

#[tokio::test]
async fn erasing_a_room_reads_the_batches_of_that_room_alone() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["message.*"]).await;
    let rooms: Vec<RoomId> = (0..9).map(|at| room(&format!("class {at}"))).collect();
    for room in &rooms {
        say(&store, room, "ann", "hi").await;
    }
    let batches = take(&store, &endpoint).await;
    for batch in batches.iter().filter(|batch| batch.room != rooms[8]) {
        let parked = Settlement::Parked { why: "400".into() };
        settle(&store, &endpoint, batch, parked).await;
    }
    assert_eq!(store.rooms_told().await.unwrap().len(), 9);
    let (parked, frozen) = (&rooms[3], &rooms[8]);
    let ann = Uid::text("ann").unwrap();
    let done = monitored(&keys, async {
        for room in [parked, frozen] {
            assert_eq!(store.erase_told(room, &ann).await.unwrap(), 1);
        }
    })
    .await;
    let read = |batch: &Batch| done.iter().any(|line| line.contains(&*batch.id));
    let read: Vec<_> = batches.iter().filter(|b| read(b)).map(|b| b.room.clone()).collect();
    assert_eq!(read.len(), 2, "{read:?}");
    assert!(read.contains(parked) && read.contains(frozen), "{read:?}");
}

#[tokio::test]
async fn a_room_is_erased_from_however_much_is_to_be_told_of_it() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["message.*"]).await;
    let room = room("class");
    for stretch in 0..12 {
        let said = (0..100).map(|at| {
            let uid = if at % 3 == 0 { "ann" } else { "ben" };
            insert(&format!(r#"{{"text":"{stretch} {at}","2":"{uid}"}}"#))
        });
        publish(&store.broker(), &room, said).await;
    }
    let ann = Uid::text("ann").unwrap();
    assert_eq!(store.erase_told(&room, &ann).await.unwrap(), 12 * 34);
    assert_eq!(store.erase_told(&room, &ann).await.unwrap(), 0);
    let mut told = Vec::new();
    while let [batch] = &take(&store, &endpoint).await[..] {
        told.extend(texts(batch));
        settle(&store, &endpoint, batch, Settlement::Delivered).await;
    }
    assert_eq!((told.len(), told.iter().filter(|text| *text == "null").count()), (1200, 12 * 34));
    assert_eq!(store.standing(&endpoint).await.unwrap().bytes, 0);
}

/// All that webhooks have in Redis.
fn dumped(keys: &Keys) -> Vec<(String, Vec<u8>)> {
    let mut redis = keys.connection();
    let names = keys.all().into_iter().filter(|key| key.starts_with("ao:hooks:"));
    names
        .map(|name| {
            let dump = redis::cmd("DUMP").arg(keys.key(&name)).query(&mut redis).unwrap();
            (name, dump)
        })
        .collect()
}

/// As another server has it, which was a replica and has missed what came since.
fn restored(keys: &Keys, dumped: &[(String, Vec<u8>)]) {
    let mut redis = keys.connection();
    for name in keys.all().into_iter().filter(|key| key.starts_with("ao:hooks:")) {
        let _: () = redis.del(keys.key(&name)).unwrap();
    }
    for (name, dump) in dumped {
        let name = keys.key(name);
        redis::cmd("RESTORE").arg(name).arg(0).arg(dump).exec(&mut redis).unwrap();
    }
    let _: () = redis.hset(keys.key("ao:hooks:numbers"), "run", "another").unwrap();
}

/// Of each event what names it: epoch, n and text.
fn named(batch: &Batch) -> Vec<(String, u64, String)> {
    let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
    let (epoch, events) = (&body["data"]["epoch"], body["data"]["events"].as_array().unwrap());
    let name = |event: &serde_json::Value| {
        let text = event["message"]["text"].as_str().unwrap().to_owned();
        (epoch.as_str().unwrap().to_owned(), event["n"].as_u64().unwrap(), text)
    };
    events.iter().map(name).collect()
}

/// A replica takes over that lacks the last second: a batch that was frozen then is frozen anew, with
/// the same events. What is told from then on has other names than what was lost.
#[tokio::test]
async fn a_failover_that_loses_something_gives_no_name_twice() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["message.*"]).await;
    let room = room("class");
    say(&store, &room, "ann", "kept").await;
    let before = dumped(&keys);
    let sent = take(&store, &endpoint).await.remove(0);
    say(&store, &room, "ann", "lost").await;
    settle(&store, &endpoint, &sent, Settlement::Delivered).await;
    let lost = take(&store, &endpoint).await.remove(0);
    restored(&keys, &before);
    settle(&store, &endpoint, &lost, Settlement::Delivered).await;
    say(&store, &room, "ann", "new").await;
    let mut told = Vec::new();
    while let [batch] = &take(&store, &endpoint).await[..] {
        told.push(named(batch));
        settle(&store, &endpoint, batch, Settlement::Delivered).await;
    }
    assert_eq!(told[0], named(&sent), "whoever has it drops it by that");
    assert_eq!((told.len(), &*told[1][0].2), (2, "new"));
    let (old, new) = (&named(&lost)[0], &told[1][0]);
    assert_ne!((&old.0, old.1), (&new.0, new.1));
    assert_eq!(store.standing(&endpoint).await.unwrap().bytes, 0);
}

#[tokio::test]
async fn nothing_is_left_of_what_was_told() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["message.*"]).await;
    for name in ["delivered", "parked"] {
        say(&store, &room(name), "ann", "hi").await;
    }
    for batch in take(&store, &endpoint).await {
        let is_parked = batch.room.as_str().contains("parked");
        let parked = Settlement::Parked { why: "400".into() };
        let how = if is_parked { parked } else { Settlement::Delivered };
        settle(&store, &endpoint, &batch, how).await;
        if is_parked {
            store.replay("main", &[batch.id.to_string()]).await.unwrap();
        }
    }
    loop {
        let batches = take(&store, &endpoint).await;
        if batches.is_empty() {
            break;
        }
        for batch in batches {
            settle(&store, &endpoint, &batch, Settlement::Delivered).await;
        }
    }
    let left = keys.all().into_iter().filter(|key| key.starts_with("ao:hooks:"));
    let left: Vec<_> = left.collect();
    let wanted = ["bytes:main", "endpoints", "gap_bytes:main", "numbers", "parkings"];
    assert_eq!(left, wanted.map(|name| format!("ao:hooks:{name}")));
    let sizes = ["bytes:main", "gap_bytes:main"].map(|name| -> i64 {
        keys.connection().get(keys.key(&format!("ao:hooks:{name}"))).unwrap()
    });
    assert_eq!(sizes, [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_on_a_dead_node_is_offline_as_lost() {
    let keys = Keys::new();
    let (one, endpoint) = told(short(&keys), &["user.*"]).await;
    let (two, _) = told(short(&keys), &["user.*"]).await;
    claim(&two.presence(), "ann", 1).await;
    let online = take(&one, &endpoint).await.remove(0);
    settle(&one, &endpoint, &online, Settlement::Delivered).await;
    two.ended.cancel();
    until("nothing of it is left", || !keys.all().iter().any(|k| k.contains(&*two.node()))).await;
    one.sweep().await.unwrap();
    let batches = take(&one, &endpoint).await;
    let body = String::from_utf8(batches[0].body.to_vec()).unwrap();
    assert!(body.contains(r#""type":"user.offline""#), "{body}");
    assert!(body.contains(r#""uid":"ann","reason":"lost""#), "{body}");
}

/// A client that writes its uid as a number is told as a number, whatever is known of it by then.
#[tokio::test]
async fn a_uid_is_told_as_its_client_writes_it() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["user.*", "member.*"]).await;
    let number = Uid::number("1000").unwrap();
    let session = crate::domain::ids::ConnectionId(1);
    store.presence().claim(&number, session, &socket(1), None).await.unwrap();
    let room = room("class");
    let seen = crate::domain::presence::Visitor { uid: number.clone(), ..visitor(1, "x") };
    store.presence().enter(&room, &seen).await.unwrap();
    store.presence().remove(&room, &number).await.unwrap();
    store.presence().end(&number, session).await.unwrap();
    store.sweep().await.unwrap();
    let mut told = 0;
    loop {
        let batches = take(&store, &endpoint).await;
        if batches.is_empty() {
            break;
        }
        for batch in batches {
            let body = String::from_utf8(batch.body.to_vec()).unwrap();
            let events = body.split_once("\"events\":").unwrap().1;
            assert!(!events.contains("\"uid\":\""), "{body}");
            told += events.matches("\"uid\":1000").count();
            settle(&store, &endpoint, &batch, Settlement::Delivered).await;
        }
    }
    assert_eq!(told, 4, "online, joined, left and offline");
}
