//! A Redis that can't be used is told at the start: in time, with the setting, and without the
//! password.
use std::{net::TcpListener, time::Duration};

use serde_json::json;

use super::nodes::{ends_well, member, node};
use support::{
    own_redis::OwnRedis,
    ports::Deserted,
    server::{Ran, Server},
    within,
};

const NO_STORE: i32 = 4;
const PASSWORD: &str = "s3cret-of-the-test";
/// Longer than connecting may take, and much shorter than those who start servers wait.
const IN_TIME: Duration = Duration::from_secs(25);

/// A start on this URL, which has to fail and to say why.
async fn fails(url: &str, said: &[&str]) {
    let ran: Ran = within(IN_TIME, format!("the end of a server on {url}"), node(url).run()).await;
    ran.fails(NO_STORE, said);
    ran.fails(NO_STORE, &["AO_STORE__MESSAGES"]);
    assert!(!format!("{ran:?}").contains(PASSWORD), "the password is told: {ran:#?}");
    assert_eq!(ran.stdout, "", "nothing is announced");
}

fn with_user(redis: &OwnRedis, user: &str) -> String {
    format!("redis://{user}@{}/0", redis.address())
}

#[tokio::test]
async fn nobody_there() {
    let deserted = Deserted::new();
    let address = deserted.address();
    fails(&format!("redis://:{PASSWORD}@{address}/0"), &["can't be reached", &address.to_string()])
        .await;
    // Somebody who takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    fails(&format!("redis://:{PASSWORD}@{address}/0"), &["can't be reached"]).await;
    fails(
        &format!("redis://:{PASSWORD}@no-such-host.invalid/0"),
        &["can't be reached", "no-such-host.invalid"],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_password_or_none() {
    let redis = OwnRedis::locked(PASSWORD).await;
    fails(&with_user(&redis, ":wrong"), &["lets nobody in"]).await;
    fails(&with_user(&redis, &format!("nobody:{PASSWORD}")), &["lets nobody in"]).await;
    fails(&format!("redis://{}/0", redis.address()), &["lets nobody in"]).await;
    let server: Server = node(&redis.url()).start().await;
    assert!(
        !server.stderr().contains(PASSWORD) && !server.stdout().contains(PASSWORD),
        "{}",
        server.stderr()
    );
}

#[tokio::test]
async fn a_replica() {
    let primary = OwnRedis::forgetful(&[]).await;
    let replica =
        OwnRedis::forgetful(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    fails(&replica.url(), &["read-only replica", "name its primary"]).await;
}

#[tokio::test]
async fn a_redis_cluster() {
    let redis = OwnRedis::forgetful(&["--cluster-enabled", "yes"]).await;
    fails(&redis.url(), &["Redis Cluster"]).await;
}

#[tokio::test]
async fn a_user_without_the_rights_that_are_needed() {
    let redis = OwnRedis::forgetful(&[]).await;
    for (user, rights) in [
        ("idle", "~* &* +ping"),
        ("reader", "~* &* +@read +info +time +ping"),
        ("scriptless", "~* &* +@all -evalsha -eval"),
        ("writeless", "~* &* +@all -@write"),
        ("keyless", "~other:* &* +@all"),
        ("channelless", "~* resetchannels +@all"),
    ] {
        let words = format!("ACL SETUSER {user} on >{PASSWORD} {rights}");
        assert_eq!(redis.run::<String>(&words).await, "OK");
        println!("{user}"); // shown when the test fails
        fails(&with_user(&redis, &format!("{user}:{PASSWORD}")), &["can't be used"]).await;
    }
}

/// Without it a node could publish, but would hear nothing.
#[tokio::test]
async fn a_user_who_may_not_subscribe() {
    let redis = OwnRedis::forgetful(&[]).await;
    redis.run::<()>(&format!("ACL SETUSER deaf on >{PASSWORD} ~* &* +@all -subscribe")).await;
    fails(&with_user(&redis, &format!("deaf:{PASSWORD}")), &["can't be used", "subscribe"]).await;
}

#[tokio::test]
async fn a_user_with_no_more_rights_than_are_needed_is_enough() {
    let redis = OwnRedis::forgetful(&[]).await;
    let rights =
        "-@all +@read +@write +@pubsub +@scripting +info +time +ping +hello +auth +client +select";
    redis
        .run::<()>(&format!("ACL SETUSER modest on >{PASSWORD} ~msg_* ~ao:* &ao:* {rights}"))
        .await;
    let node = node(&with_user(&redis, &format!("modest:{PASSWORD}"))).start().await;
    let anna = member(&node, "anna", "attic").await;
    anna.send(&json!({ "1": "hello" })).await;
    assert_eq!(anna.sync(&json!({ "offset": 0 })).await["offset"], 1);
    ends_well(node).await;
}

#[tokio::test]
async fn tls_with_a_server_that_speaks_none() {
    let redis = OwnRedis::forgetful(&[]).await;
    fails(&format!("rediss://:{PASSWORD}@{}/0", redis.address()), &["can't be reached"]).await;
}
