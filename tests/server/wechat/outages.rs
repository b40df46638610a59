//! A store that is out: who sends a message learns that something is wrong, calls go on among those
//! who are on one node, and what was relayed is there afterwards.
use std::time::Duration;

use super::people::{Pair, Person, Phone, STAY_AWAY, place, setup, unharmed};
use crate::gotapi::client::{Client, Got};
use support::{
    http,
    own_redis::OwnRedis,
    server::{Server, Setup},
    soon,
    wire::socket::Socket,
};

/// Between two looks at something that nobody announces.
const STEP: Duration = Duration::from_millis(20);
/// How a connection ends that is to come back later.
const LATER: u16 = 1013;

/// A node that does not wait for long.
fn node(redis: &OwnRedis) -> Setup {
    setup()
        .env("AO_STORE__MESSAGES", redis.url())
        .env("AO_STORE__DEADLINE", "2s")
        .env("AO_STORE__PATIENCE", "1s")
}

/// Comes as soon as that is possible.
async fn returns(server: &Server, person: &Person) -> Phone {
    soon("readiness", async {
        while http::get(place(server), "/readyz").await.status != 200 {
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
    person.comes(server).await
}

/// Who comes while the store is out is not let in, and is not told to stay away.
async fn is_to_come_later(server: &Server, person: &Person) {
    let Ok(socket) = person.upgrade(server, &[]).await else { return };
    let end = Client::of(socket).next().await;
    assert_eq!(end, Got::End(Some(LATER)));
}

#[tokio::test]
async fn a_store_that_is_down_ends_who_sends_messages_and_no_call() {
    let mut redis = OwnRedis::durable().await;
    let mut server = node(&redis).start().await;
    let mut pair = Pair::come(&server).await;
    let cleo = Person::new(&server).await;
    pair.ann.befriend(&server, &cleo).await;
    let mut from_cleo: Socket = cleo.upgrade(&server, &[]).await.unwrap();
    assert!(from_cleo.receive().await.unwrap().contains("wechat/save"));
    let kept = pair.ann.message(&cleo, "kept");
    pair.from_ann.send(&kept).await;
    // She has it, and will never answer for it.
    assert_eq!(from_cleo.receive().await, Some(kept));
    pair.are_well().await;

    redis.kill_9().await;
    // What is given to Redis while that is not known yet gets lost.
    server.logs("Redis can't be used").await;
    pair.are_calling().await;
    let lost = pair.ann.message(&pair.ben, "perhaps");
    pair.from_ann.send(&lost).await;
    assert_eq!(pair.from_ann.end().await, Some(LATER));
    assert_eq!(pair.ann.info(&server).await.status, 503);
    is_to_come_later(&server, &pair.ann).await;
    let bad = Person { phone: String::new(), token: "a.b.c".to_owned() };
    if let Ok(mut socket) = bad.upgrade(&server, &[]).await {
        assert_eq!(socket.close_code().await, Some(STAY_AWAY), "that much is known");
    }

    redis.restart().await;
    pair.from_ann = returns(&server, &pair.ann).await;
    // What she does not know of she sends again.
    pair.from_ann.send(&lost).await;
    pair.from_ben.expect(&lost).await;
    pair.are_well().await;
    drop(from_cleo);
    assert_eq!(cleo.comes(&server).await.waited, ["kept"]);
    unharmed(&server).await;
}

/// Nobody knows what becomes of a message that such a store was given.
#[tokio::test]
async fn a_store_that_stands_still_ends_who_sends_messages_and_nobody_else() {
    let redis = OwnRedis::forgetful(&[]).await;
    let (server, other) = tokio::join!(node(&redis).start(), node(&redis).start());
    let mut pair = Pair::come(&server).await;
    let cleo = Person::new(&server).await;
    cleo.befriend(&server, &pair.ben).await;
    let mut from_cleo = cleo.comes(&other).await;
    pair.are_well().await;
    let word = cleo.message(&pair.ben, "well");
    from_cleo.send(&word).await;
    pair.from_ben.expect(&word).await;

    redis.pause();
    let perhaps = pair.ann.message(&pair.ben, "perhaps");
    pair.from_ann.send(&perhaps).await;
    assert_eq!(pair.from_ann.end().await, Some(LATER));
    is_to_come_later(&server, &pair.ann).await;
    redis.resume();

    pair.from_ann = returns(&server, &pair.ann).await;
    let (again, after) = (perhaps.clone(), pair.ann.message(&pair.ben, "after"));
    pair.from_ann.send_all([again, after.clone()]).await;
    let mut heard = 0;
    loop {
        match pair.from_ben.next().await {
            Got::Text(text) if text == perhaps => heard += 1,
            Got::Text(text) if text == after => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=2).contains(&heard), "at least once: {heard}");
    pair.are_well().await;
    let word = cleo.message(&pair.ben, "well again");
    from_cleo.send(&word).await;
    pair.from_ben.expect(&word).await;
    unharmed(&server).await;
    unharmed(&other).await;
}
