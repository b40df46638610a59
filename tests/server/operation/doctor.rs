//! `always-online doctor`: what it finds, on good machines and bad ones.
use support::{
    own_redis::OwnRedis,
    server::{Ran, Server, Setup},
};

async fn examine(setup: &Setup, more: &[&str]) -> Ran {
    setup.clone().args([&["doctor"], more].concat()).run().await
}

#[tokio::test]
async fn a_newcomers_machine_is_well_and_is_told_what_to_set() {
    let ran = examine(&Setup::new().env("AO_LIMITS__MEMORY", "64 MiB"), &[]).await;
    let said = ran.succeeds();
    for about in ["open files: ", "good     memory: ", "good     disk: "] {
        assert!(said.contains(about), "{said}");
    }
    let ran = examine(&Setup::new(), &[]).await;
    assert!(ran.succeeds().contains("warning  memory: "), "{}", ran.stdout);
}

#[tokio::test]
async fn a_bound_that_the_machine_has_not_is_bad() {
    let ran = examine(&Setup::new().env("AO_LIMITS__MEMORY", "1000000 GiB"), &[]).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("bad      memory: "), "{}", ran.stdout);
}

#[tokio::test]
async fn a_redis_that_forgets_is_bad_and_one_that_keeps_everything_is_good() {
    let redis = OwnRedis::forgetful(&["--maxmemory-policy", "allkeys-lru"]).await;
    let ran = examine(&Setup::new().env("AO_STORE__MESSAGES", redis.url()), &[]).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    for bad in ["maxmemory-policy is allkeys-lru", "appendonly is off"] {
        assert!(ran.stdout.contains(bad), "{}", ran.stdout);
    }
    let redis = OwnRedis::durable().await;
    let ran = examine(&Setup::new().env("AO_STORE__MESSAGES", redis.url()), &[]).await;
    let said = ran.succeeds();
    // The accounts are in files here.
    for good in ["it deletes nothing by itself", "appendonly is on", "its clock agrees", "disk: "] {
        assert!(said.contains(good), "{said}");
    }
}

#[tokio::test]
async fn servers_that_are_not_there_are_named_without_their_passwords() {
    let setup = Setup::new()
        .env("AO_STORE__MESSAGES", "redis://user:geheim@127.0.0.1:1/")
        .env("AO_STORE__TOKENS", "mongodb://user:geheim@127.0.0.1:1/")
        .env("AO_STORE__DEADLINE", "1s");
    let ran = examine(&setup, &[]).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("bad      Redis: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("bad      MongoDB: "), "{}", ran.stdout);
    assert!(!ran.stdout.contains("disk: "), "nothing is stored here: {}", ran.stdout);
    assert!(!ran.stdout.contains("geheim") && !ran.stderr.contains("geheim"), "{}", ran.stdout);
}

#[tokio::test]
async fn the_way_to_a_server_is_tried_as_clients_go_it() {
    let server = Server::start().await;
    let url = format!("http://{}", server.websocket());
    let ran = examine(&Setup::new(), &["--proxy", &url]).await;
    let said = ran.succeeds();
    assert!(said.contains("8 sessions were found again"), "{said}");
    assert!(said.contains("WebSockets come through"), "{said}");
    // Something else listens there.
    let url = format!("http://{}", server.api());
    let ran = examine(&Setup::new(), &["--proxy", &url]).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
}
