//! Tokens that are revoked, on one node and on two.
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::token::{authenticate, is_refused, now, setup, signed, signed_in, token};
use crate::cluster::two;
use support::{
    own_redis::OwnRedis,
    receiver::{Receiver, Reply},
    server::Server,
};

/// What the API answers to `revoke`.
async fn revoke(server: &Server, body: Value) -> Value {
    let (uid, secret) = server.admin();
    let credentials = STANDARD.encode(format!("{uid}:{secret}"));
    let answer = reqwest::Client::new()
        .post(format!("http://{}/v1/revoke", server.own_address("api")))
        .header("authorization", format!("Basic {credentials}"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{body}");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

fn named(uid: &str, jti: &str) -> String {
    token(uid, 600, json!({ "jti": jti }))
}

async fn is_wrong(server: &Server, uid: &str, token: &str) {
    let mut guest = server.guest().await;
    let answer = authenticate(&mut guest, uid, token).await;
    assert_eq!(answer, json!({ "status": 1, "data": "auth failed, uid or token is wrong" }));
}

/// All that can be revoked of users, of whom the first node has the sessions, by the second one.
async fn story(here: &Server, there: &Server) {
    let mut ann = signed_in(here, "ann", &named("ann", "phone")).await;
    ann.join("attic").await;

    // Another token of hers: she stays. Her own: she goes, and does not come back by it.
    revoke(there, json!({ "uid": "ann", "jti": "laptop" })).await;
    ann.send(&json!({ "1": "still here" })).await;
    assert_eq!(revoke(there, json!({ "uid": "ann", "jti": "phone" })).await["sessions"], 1);
    is_refused(&mut ann).await;
    is_wrong(here, "ann", &named("ann", "phone")).await;
    is_wrong(there, "ann", &named("ann", "laptop")).await;
    let mut ann = signed_in(here, "ann", &named("ann", "new phone")).await;

    // By a renewal to one that is revoked she loses what she had.
    assert_eq!(authenticate(&mut ann, "ann", &named("ann", "laptop")).await["status"], 1);
    is_refused(&mut ann).await;

    // By the time of issue.
    let old = signed(&json!({ "sub": "ben", "iat": now() - 100, "exp": now() + 60 }));
    let new = signed(&json!({ "sub": "ben", "iat": now() - 50, "exp": now() + 60 }));
    let mut ben = signed_in(here, "ben", &old).await;
    revoke(there, json!({ "uid": "ben", "issuedBefore": now() - 75 })).await;
    is_refused(&mut ben).await;
    is_wrong(here, "ben", &old).await;
    let mut ben = signed_in(here, "ben", &new).await;

    // One that does not say when it was issued is older than every revocation of its user.
    let undated = |uid: &str| signed(&json!({ "sub": uid, "exp": now() + 60 }));
    let mut dan = signed_in(here, "dan", &undated("dan")).await;
    revoke(there, json!({ "uid": "dan", "issuedBefore": 1 })).await;
    is_refused(&mut dan).await;
    is_wrong(here, "dan", &undated("dan")).await;
    signed_in(here, "dan", &token("dan", 60, json!({}))).await;
    signed_in(here, "eve", &undated("eve")).await;

    // All of a user's, and nobody else's.
    let mut cat = signed_in(here, "cat", &token("cat", 600, json!({}))).await;
    assert_eq!(revoke(there, json!({ "uid": "ben" })).await["sessions"], 1);
    is_refused(&mut ben).await;
    is_wrong(there, "ben", &new).await;
    cat.join("attic").await;
    assert_eq!(revoke(there, json!({ "uid": "nobody" })).await["sessions"], 0);
}

#[tokio::test]
async fn a_revocation_ends_sessions_at_once_and_outlives_a_restart() {
    let mut server = setup().start().await;
    story(&server, &server).await;
    server.kill_9().await;
    server.restart().await;
    is_wrong(&server, "ann", &named("ann", "phone")).await;
    signed_in(&server, "ann", &named("ann", "new phone")).await;
    outlives_a_restart(&server).await;
}

/// Tokens that do not say when they were issued, of users of whom tokens were revoked in the story.
async fn outlives_a_restart(server: &Server) {
    for uid in ["ben", "dan"] {
        is_wrong(server, uid, &signed(&json!({ "sub": uid, "exp": now() + 60 }))).await;
    }
    let phone = signed(&json!({ "sub": "ann", "exp": now() + 60, "jti": "phone" }));
    is_wrong(server, "ann", &phone).await;
    signed_in(server, "ann", &signed(&json!({ "sub": "ann", "exp": now() + 60 }))).await;
}

#[tokio::test]
async fn a_revocation_reaches_the_session_on_another_node() {
    let redis = OwnRedis::forgetful(&[]).await;
    let node = || setup().env("AO_STORE__MESSAGES", redis.url()).env("AO_STORE__LEASE", "60s");
    let [mut here, there] = two(node).await;
    story(&here, &there).await;
    here.kill_9().await;
    here.restart().await;
    outlives_a_restart(&here).await;
    outlives_a_restart(&there).await;
}

#[tokio::test]
async fn a_revocation_that_comes_while_a_renewal_is_checked_is_not_missed() {
    // The business server takes its time for whoever has a session.
    let receiver = Receiver::start(|request| {
        let yes = Reply::Json(json!({ "result": {} }));
        match request.json()["data"]["meta"].as_u64() {
            Some(2) => Reply::Later(Duration::from_secs(1), Box::new(yes)),
            _ => yes,
        }
    })
    .await;
    let server = setup()
        .env("AO_HOOK__URL", receiver.url())
        .env("AO_HOOK__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .env("AO_HOOK__EVENTS", "connect")
        .env("AO_HOOK__TIMEOUT", "30s")
        .start()
        .await;
    let of = |n: u64| token("ann", 600, json!({ "jti": n.to_string(), "meta": n }));
    let mut ann = signed_in(&server, "ann", &of(1)).await;
    ann.emit("authenticate", &json!({ "uid": "ann", "token": of(2) }));
    receiver.wait_for(2).await;
    revoke(&server, json!({ "uid": "ann", "jti": "2" })).await;
    is_refused(&mut ann).await;
}
