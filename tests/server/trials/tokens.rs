//! JSON Web Tokens at the edges of their validity, bad ones, and revoked ones.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::site::{Site, Store};
use crate::jwt::token::{
    SECRET, authenticate, is_dropped, is_refused, now, signed, signed_in, token,
};
use support::{
    client::Packet,
    server::{Server, Setup},
};

fn settings(setup: Setup) -> Setup {
    setup.without("AO_AUTH__IGNORE").env("AO_JWT__SECRET", SECRET).env("AO_JWT__GRACE", "1s")
}

/// Waits until this second since 1970, and some milliseconds.
async fn until(second: u64, millis: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let wait = second as i64 * 1000 + millis - now;
    tokio::time::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
}

/// Renews at a moment around the end of the grace, behind messages that it has just sent. True: it
/// was in time.
async fn renews(node: &Server, number: i64) -> bool {
    let (uid, expires) = (format!("user {number}"), now() + 2);
    let first = signed(&json!({ "sub": uid, "iat": now(), "exp": expires }));
    let mut client = signed_in(node, &uid, &first).await;
    client.join("attic").await;
    let end = expires + 1; // with the grace
    until(end, 25 * number - 200).await;
    let messages: Vec<_> =
        (0..5).map(|_| client.sender().request("msg", &json!({ "s": 0, "text": uid }))).collect();
    client.emit("authenticate", &json!({ "uid": uid, "token": token(&uid, 600, json!({})) }));
    let answer = loop {
        match client.next().await {
            Packet::Event(name, answer) if name == "authenticate" => break Some(answer),
            Packet::Closed => break None,
            _ => {}
        }
    };
    match answer {
        Some(answer) if answer["status"] == 0 => {
            for message in messages {
                assert_eq!(message.await.expect("an answer")["status"], 0, "{uid}");
            }
            // The time of the first token is over, and nothing happens.
            until(end, 700).await;
            client.send(&json!({ "s": 0, "text": "still here" })).await;
            true
        }
        Some(answer) => {
            assert_eq!(answer, json!({ "status": 1, "data": "token expired" }));
            is_dropped(&mut client).await;
            false
        }
        None => panic!("{uid} was told nothing"),
    }
}

async fn a_renewal_around_the_end_counts_or_comes_too_late(store: Store) {
    let site = store.start(settings).await;
    let renewals = (0..16).map(|number| {
        let node = if number % 2 == 0 { site.here() } else { site.there() };
        renews(node, number)
    });
    let in_time = join_all(renewals).await.into_iter().filter(|in_time| *in_time).count();
    println!("{in_time} of 16 were in time");
}

async fn an_older_token_behind_a_renewal_changes_nothing(store: Store) {
    let site = store.start(settings).await;
    let none = signed(&json!({ "sub": "ann", "iat": now() - 60, "exp": now() + 60, "caps": [] }));
    let mut ann = signed_in(site.there(), "ann", &token("ann", 60, json!({}))).await;
    ann.join("attic").await;
    let later = token("ann", 600, json!({}));
    assert_eq!(authenticate(&mut ann, "ann", &later).await["status"], 0);
    assert_eq!(authenticate(&mut ann, "ann", &none).await["status"], 0);
    ann.send(&json!({ "s": 0, "text": "as before" })).await;
}

/// A token of these parts, with no signature, or with one that nobody made.
fn unsigned(algorithm: &str, signature: &str) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(json!({ "alg": algorithm, "typ": "JWT" }));
    let claims = part(json!({ "sub": "ann", "iat": now(), "exp": now() + 600 }));
    format!("{header}.{claims}.{signature}")
}

async fn what_is_no_token_of_ours_opens_nothing_and_clocks_may_be_a_little_apart(store: Store) {
    let site = store.start(settings).await;
    let wrong = "auth failed, uid or token is wrong";
    let of = |claims: Value| {
        let mut all = json!({ "sub": "ann", "iat": now(), "exp": now() + 600 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        signed(&all)
    };
    for (token, said) in [
        (unsigned("none", ""), wrong),
        (unsigned("None", "c2lnbmF0dXJl"), wrong),
        (unsigned("HS256", "c2lnbmF0dXJl"), wrong),
        (of(json!({ "exp": null })), wrong),
        (of(json!({ "exp": now() as f64 + 600.5 })), wrong),
        (of(json!({ "exp": (now() + 600).to_string() })), wrong),
        (of(json!({ "exp": now() + 10 * 86_400 })), wrong),
        (of(json!({ "iat": now() + 60 })), wrong),
        (of(json!({ "nbf": now() + 60 })), wrong),
        (of(json!({ "sub": "bob" })), wrong),
        (of(json!({ "iat": now() - 600, "exp": now() - 60 })), "token expired"),
    ] {
        let mut guest = site.there().guest().await;
        let answer = authenticate(&mut guest, "ann", &token).await;
        assert_eq!(answer, json!({ "status": 1, "data": said }), "{token}");
        is_refused(&mut guest).await;
    }
    for claims in [json!({ "iat": now() + 20 }), json!({ "nbf": now() + 20 })] {
        signed_in(site.here(), "ann", &of(claims)).await.close().await;
    }
}

async fn is_wrong(site: &Site, uid: &str, token: &str) {
    for node in [site.here(), site.there()] {
        let mut guest = node.guest().await;
        let answer = authenticate(&mut guest, uid, token).await;
        assert_eq!(answer["data"], "auth failed, uid or token is wrong", "{uid}");
    }
}

async fn a_revocation_reaches_who_is_there_and_outlives_every_kill(store: Store) {
    let mut site = store.start_durable(settings).await;
    let named = |uid: &str, jti: &str| token(uid, 600, json!({ "jti": jti }));
    let (phone, laptop) = (named("ann", "phone"), named("ann", "laptop"));
    let old = signed(&json!({ "sub": "ben", "iat": now() - 100, "exp": now() + 60 }));
    let mut ann = signed_in(site.there(), "ann", &phone).await;
    let mut ben = signed_in(site.there(), "ben", &old).await;
    for revoked in [
        json!({ "uid": "ann", "jti": "phone" }),
        json!({ "uid": "ben", "issuedBefore": now() - 50 }),
    ] {
        assert_eq!(site.admin.done(site.here(), "revoke", revoked).await["sessions"], 1);
    }
    is_refused(&mut ann).await;
    is_refused(&mut ben).await;
    for node in &mut site.nodes {
        node.kill_9().await;
    }
    if let Some(redis) = &mut site.redis {
        redis.kill_9().await;
        redis.restart().await;
    }
    for node in &mut site.nodes {
        node.restart().await;
    }
    is_wrong(&site, "ann", &phone).await;
    is_wrong(&site, "ben", &old).await;
    signed_in(site.there(), "ann", &laptop).await.join("attic").await;
    signed_in(site.there(), "ben", &token("ben", 600, json!({}))).await.join("attic").await;
}

on_both_stores! {
    a_renewal_around_the_end_counts_or_comes_too_late
    an_older_token_behind_a_renewal_changes_nothing
    what_is_no_token_of_ours_opens_nothing_and_clocks_may_be_a_little_apart
    a_revocation_reaches_who_is_there_and_outlives_every_kill
}
