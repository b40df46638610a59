//! A user's messages are erased while whoever does it is killed again and again. In the end they
//! are nowhere, everything else is where it was, and the job is done.
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    business::Business,
    site::{Site, Store},
};
use crate::{
    cluster::{eventually, try_come},
    crash::Chance,
};

const ROOMS: [&str; 5] = ["attic", "cellar", "hall", "roof", "крыша 7/\"b\""];
/// Stands in what is erased, and nowhere else.
const MARK: &str = "quo-usque-tandem";
/// Messages of each of the two in a room: more than a page has, as finished pages are kept.
const EACH: usize = 200;
const KILLS: u32 = 3;

/// Ann and Bob talk in turns; some of it they replace, and some is not stored.
async fn fill(site: &Site) {
    for room in ROOMS {
        let turns = (0..2 * EACH).map(|turn| {
            let (uid, text) = if turn % 2 == 0 {
                ("ann", format!("{MARK} {turn}"))
            } else {
                ("bob", format!("stays {turn}"))
            };
            let kind =
                if turn % 8 < 4 { json!({ "storage": 0 }) } else { json!({ "storage": turn % 3 }) };
            let mut message = kind;
            message["msgId"] = json!(format!("{uid} {}", turn % 10));
            message["text"] = json!(text);
            json!({ "publish": { "roomId": room, "message": message, "uid": uid } })
        });
        let commands: Vec<Value> = turns.collect();
        let answer = site.admin.done(site.here(), "batch", json!({ "commands": commands })).await;
        assert!(
            answer["replies"].as_array().unwrap().iter().all(|reply| reply["result"].is_object())
        );
    }
}

/// What Bob said in each room, with its index, and where the log ends.
async fn of_bob(site: &Site) -> Vec<(Vec<(u64, Value)>, u64)> {
    let mut all = Vec::new();
    for room in ROOMS {
        let mut log = site.admin.log(site.there(), room).await;
        log.messages.retain(|(_, message)| message["2"] == "bob");
        all.push((log.messages, log.end));
    }
    all
}

async fn is_done(site: &Site, job: &str) -> bool {
    site.admin.get(site.there(), &format!("/v1/jobs/{job}")).await["state"] == "done"
}

async fn an_erasing_that_is_cut_short_again_and_again_is_done(store: Store) {
    let mut chance = Chance(getrandom::u64().unwrap());
    // Nobody is told before it is done: all of it waits, as events and as batches.
    let mut business = Business::start().await;
    business.kill();
    let settings = |setup| {
        let setup = business.setup(setup).env("AO_STORE__BACKUPS", "true");
        setup.env("AO_WEBHOOK__BATCH", "40").env("AO_STORE__DEADLINE", "4s")
    };
    let mut site = store.start_durable(settings).await;
    fill(&site).await;
    let before = of_bob(&site).await;
    // Pages of it are in memory, too.
    for (number, address) in site.addresses().iter().enumerate() {
        let uid = format!("reader {number}");
        let reader = try_come(*address, &uid, ROOMS[0]).await.expect("a reader");
        assert!(reader.sync(&json!({ "offset": 0 })).await.to_string().contains(MARK));
    }
    let given = site.admin.done(site.here(), "erase", json!({ "uid": "ann" })).await;
    let job = given["job"].as_str().unwrap().to_owned();
    for kill in 0..KILLS {
        // Nothing is waited for here: the moment of the kill is to be any.
        tokio::time::sleep(Duration::from_micros(chance.below(60_000))).await;
        let (node, done) =
            (chance.below(site.nodes.len() as u64) as usize, is_done(&site, &job).await);
        println!("kill {kill} of node {node}, done: {done}");
        if let (Some(redis), 1) = (&mut site.redis, kill) {
            redis.kill_9().await;
            redis.restart().await;
        } else {
            site.strike(node).await;
        }
        site.settled().await;
    }
    eventually("the end of the job", async || is_done(&site, &job).await).await;

    site.holds_nothing_of(MARK).await;
    assert_eq!(of_bob(&site).await, before, "everything else is where it was");
    for (room, (_, end)) in ROOMS.iter().zip(&before) {
        let log = site.admin.log(site.here(), room).await;
        assert_eq!(log.end, *end, "what is erased is counted");
        assert!(log.messages.iter().all(|(_, message)| message["2"] == "bob"), "{room}");
    }
    for address in site.addresses() {
        let reader = try_come(address, "reader", ROOMS[0]).await.expect("a reader");
        assert!(!reader.sync(&json!({ "offset": 0 })).await.to_string().contains(MARK));
    }
    // The business server hears of it, and nothing that was erased.
    business.restart().await;
    business.hears("the erasing", |ledger| ledger.count("ann", "user.erased") > 0).await;
    assert!(!business.ledger().mentions(MARK));
}

on_both_stores! { an_erasing_that_is_cut_short_again_and_again_is_done }
