//! Logs that are trimmed, by administrators and by rules, while the server is killed, or the Redis
//! that has them, and while somebody reads. What stays keeps its index, what was hidden stays
//! hidden, and what was begun is done in the end.
use std::time::Duration;

use serde_json::json;

use super::site::{Admin, Site, Store};
use crate::{
    cluster::{eventually, try_come},
    crash::Chance,
};
use support::server::Server;

const ROOM: &str = "cut 7/\"b\"";
/// Some of them fill a page of a database: many are deleted in many steps.
const TEXT: usize = 1000;

/// Messages with these indices, which they tell.
fn numbered(indices: std::ops::Range<u64>) -> Vec<String> {
    indices.map(|index| format!("{index}:{}", "x".repeat(TEXT))).collect()
}

/// A room's log, in which every message says its index: where it begins and where it ends.
async fn bounds(admin: &Admin, node: &Server) -> (u64, u64) {
    let log = admin.log(node, ROOM).await;
    let found: Vec<u64> = log.messages.iter().map(|(index, _)| *index).collect();
    assert_eq!(found, (log.start..log.end).collect::<Vec<_>>(), "there are no holes");
    for (index, message) in &log.messages {
        let text = message["text"].as_str().unwrap();
        assert!(text.starts_with(&format!("{index}:")), "{index} has become {text:.20}");
    }
    (log.start, log.end)
}

/// Waits until nothing more is kept than these messages, apart from what shares a row with them.
async fn is_deleted_up_to(site: &Site, start: u64, end: u64) {
    let Some(redis) = &site.redis else {
        let file = site.here().setup().data().join("always-online.sqlite3");
        let db = rusqlite::Connection::open(file).unwrap();
        let offsets = "SELECT coalesce(min((pos & 0xffffffff) + count), 0) FROM log";
        return eventually("the rows' end", async || {
            // Another one may be writing.
            db.query_row(offsets, [], |row| row.get::<_, i64>(0)).is_ok_and(|n| n as u64 > start)
        })
        .await;
    };
    let list = format!("msg_{ROOM}_insert");
    eventually("the entries' end", async || {
        redis.send::<u64>(&["LLEN", &list]).await == end - start
    })
    .await;
}

/// Kills what has the log, in one way or the other, and waits until it is back.
async fn strike(site: &mut Site, round: u64) {
    if let (Some(redis), true) = (&mut site.redis, round.is_multiple_of(2)) {
        redis.kill_9().await;
        redis.restart().await;
    } else {
        site.strike(0).await;
    }
    site.settled().await;
}

async fn a_trimming_that_is_cut_short_shifts_nothing_and_is_done(store: Store) {
    let mut chance = Chance(getrandom::u64().unwrap());
    let mut site = store.start_durable(|setup| setup.env("AO_STORE__DEADLINE", "4s")).await;
    let (mut floor, mut end) = (0, 0);
    for round in 0..5 {
        site.admin.write(site.there(), ROOM, "ann", &numbered(end..end + 300)).await;
        end += 300;
        let wanted = end - 20 - chance.below(100);
        let (admin, api) = (site.admin.clone(), site.here().api());
        let trim = json!({ "roomId": ROOM, "before": wanted });
        let asked = tokio::spawn(async move { admin.try_ask(api, "trim", &trim).await });
        // Nothing is waited for here: the moment of the kill is to be any.
        tokio::time::sleep(Duration::from_micros(chance.below(12_000))).await;
        strike(&mut site, round).await;
        let answered = asked.await.unwrap();

        let (start, there) = bounds(&site.admin, site.here()).await;
        assert_eq!(there, end, "no message is lost");
        assert!(start == floor || start == wanted, "{start} was asked for by nobody");
        if answered.is_some() {
            assert_eq!(start, wanted, "it was said to be done");
        }
        assert_eq!(bounds(&site.admin, site.there()).await, (start, end));
        is_deleted_up_to(&site, start, end).await;
        assert_eq!(bounds(&site.admin, site.there()).await, (start, end));
        floor = start;
    }
}

async fn retention_goes_on_where_it_was_cut_short(store: Store) {
    const KEPT: u64 = 7;
    let mut chance = Chance(getrandom::u64().unwrap());
    let rules = |setup: support::server::Setup| {
        let setup = setup.env("AO_RETENTION__RULES", format!("cut*={KEPT}"));
        setup.env("AO_RETENTION__INTERVAL", "100ms").env("AO_STORE__DEADLINE", "4s")
    };
    let mut site = store.start_durable(rules).await;
    let mut end = 0;
    for round in 0..4 {
        site.admin.write(site.there(), ROOM, "ann", &numbered(end..end + 300)).await;
        end += 300;
        tokio::time::sleep(Duration::from_micros(chance.below(120_000))).await;
        strike(&mut site, round).await;
        for node in [site.here(), site.there()] {
            assert_eq!(bounds(&site.admin, node).await, (end - KEPT, end));
        }
        is_deleted_up_to(&site, end - KEPT, end).await;
        assert_eq!(bounds(&site.admin, site.there()).await, (end - KEPT, end));
    }
}

/// Reads on, a page at a time, while the log is trimmed behind and before what it has read.
async fn who_reads_while_a_log_is_trimmed_misses_only_what_is_gone(store: Store) {
    let site = store.start(|setup| setup).await;
    site.admin.write(site.here(), ROOM, "ann", &numbered(0..1500)).await;
    let reader = try_come(site.there().websocket(), "bob", ROOM).await.expect("a reader");
    let (mut offset, mut pages, mut start) = (0, 0, 0);
    loop {
        let page = reader.sync(&json!({ "offset": offset, "resume": true })).await;
        let field = |name: &str| page[name].as_u64().unwrap();
        let indices: Vec<u64> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| {
                message["text"].as_str().unwrap().split(':').next().unwrap().parse().unwrap()
            })
            .collect();
        let first = offset.max(field("start"));
        assert!(field("start") >= start, "what was hidden is back");
        start = field("start");
        assert_eq!(indices, (first..first + indices.len() as u64).collect::<Vec<_>>());
        pages += 1;
        if page["next"] == 0 {
            assert_eq!((field("offset"), field("log")), (1500, 1500));
            break;
        }
        offset = field("offset");
        assert_eq!(offset, first + indices.len() as u64);
        // Behind it, in the middle of what comes next, and far before it.
        let before = [offset - 50, offset + 130, offset - 1][pages % 3];
        let trim = json!({ "roomId": ROOM, "before": before });
        site.admin.done(site.here(), "trim", trim).await;
    }
    assert!(pages > 5, "{pages} pages");
}

on_both_stores! {
    a_trimming_that_is_cut_short_shifts_nothing_and_is_done
    retention_goes_on_where_it_was_cut_short
    who_reads_while_a_log_is_trimmed_misses_only_what_is_gone
}
