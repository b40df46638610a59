//! Redis is killed or paused under load.
use std::time::Duration;

use tokio::time::sleep;

use super::{
    load::{Load, Outcome},
    nodes::{ends_well, node, readiness, two},
};
use crate::support::{own_redis::OwnRedis, server::Setup};

/// Gives up soon, so that a test sees it.
fn hasty(redis: &OwnRedis) -> Setup {
    node(&redis.url()).env("AO_STORE__DEADLINE", "2s").env("AO_STORE__PATIENCE", "1s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_again_and_again_loses_doubles_and_reorders_nothing() {
    let mut redis = OwnRedis::durable().await;
    let nodes = two(|| hasty(&redis)).await;
    let load = Load::begin(&nodes).await;
    for round in 0..8 {
        load.goes_on(300).await;
        redis.kill_9().await;
        // Now and then it is out for longer than senders are made to wait, and than a lease.
        if round % 4 == 3 {
            for node in &nodes {
                readiness(node, false).await;
            }
            sleep(Duration::from_secs(4)).await;
        }
        redis.restart().await;
        for node in &nodes {
            readiness(node, true).await;
        }
    }
    load.goes_on(300).await;
    let traffic = load.end().await;
    traffic.is_kept(&nodes).await;
    assert!(traffic.count(Outcome::Unavailable) + traffic.count(Outcome::Unknown) > 0, "the outages were not noticed");
    for node in nodes {
        ends_well(node).await;
    }
}
