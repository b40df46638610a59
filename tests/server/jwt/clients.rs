//! Sign-in, renewal, expiry, and what tokens allow.
use serde_json::json;

use super::token::{
    authenticate, is_dropped, is_refused, now, setup, signed, signed_in, signed_with, token,
};
use support::client::Client;

#[tokio::test]
async fn a_token_signs_in_and_a_bad_one_is_refused_without_its_text_in_the_log() {
    let mut server = setup().env("AO_LOG", "debug").start().await;
    let good = token("ann", 600, json!({ "meta": { "name": "Ann" } }));
    let mut ann = signed_in(&server, "ann", &good).await;
    ann.join("attic").await;
    ann.send(&json!({ "1": "hello" })).await;
    let wrong = "auth failed, uid or token is wrong";
    for (uid, token, data) in [
        ("bob", good.clone(), wrong),
        ("ann", signed_with("another secret", &json!({ "sub": "ann", "exp": now() + 60 })), wrong),
        ("ann", signed(&json!({ "sub": "ann" })), wrong),
        ("ann", signed(&json!({ "sub": "ann", "exp": now() - 60 })), "token expired"),
        ("ann", "a.b.c".to_owned(), wrong),
    ] {
        let mut guest = server.guest().await;
        let answer = authenticate(&mut guest, uid, &token).await;
        assert_eq!(answer, json!({ "status": 1, "data": data }), "{uid} {token}");
        is_refused(&mut guest).await;
    }
    // Plain tokens go on beside it.
    server.member("ben", "attic").await;
    let metrics = support::http::get(server.api(), "/metrics").await.body;
    for line in [
        r#"always_online_sign_ins_total{kind="jwt"} 1"#,
        r#"always_online_sign_ins_total{kind="token"} 1"#,
        r#"always_online_refused_sign_ins_total{reason="expired"} 1"#,
        r#"always_online_refused_sign_ins_total{reason="no expiry"} 1"#,
        r#"always_online_refused_sign_ins_total{reason="subject"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    drop(ann);
    assert_eq!(server.terminate().await, 0);
    let log = server.stderr();
    assert!(log.contains("a token is refused"), "{log}");
    let signature = good.rsplit('.').next().unwrap();
    assert!(!log.contains(signature) && !log.contains("Ann"), "{log}");
}

#[tokio::test]
async fn auth_of_connect_signs_in_by_itself() {
    let server = setup().start().await;
    let success = json!({ "status": 0, "data": "auth success" });
    let plain = server.token("ben").await;
    for (uid, token) in [("ann", token("ann", 600, json!({}))), ("ben", plain)] {
        let auth = json!({ "uid": uid, "token": token });
        let mut client = Client::connect_with(server.websocket(), &auth).await;
        assert_eq!(client.event("authenticate").await, success);
        client.join("attic").await;
        // Who signs in by the event as well is answered once more.
        assert_eq!(authenticate(&mut client, uid, &token).await, success);
        client.send(&json!({ "1": "hello" })).await;
    }
    let auth = json!({ "uid": "ann", "token": "wrong" });
    let mut client = Client::connect_with(server.websocket(), &auth).await;
    assert_eq!(client.event("authenticate").await["status"], 1);
    is_refused(&mut client).await;
    // What has no uid is not for us.
    let auth = json!({ "token": "of something else" });
    let mut client = Client::connect_with(server.websocket(), &auth).await;
    client.sign_in("ben", &server.token("ben").await).await;
}

#[tokio::test]
async fn who_renews_in_time_stays_and_who_does_not_is_told_and_dropped() {
    let server = setup().env("AO_JWT__GRACE", "1s").start().await;
    let mut ann = signed_in(&server, "ann", &token("ann", 2, json!({}))).await;
    let mut ben = signed_in(&server, "ben", &token("ben", 2, json!({}))).await;
    let mut cat = server.client("cat").await;
    for client in [&mut ann, &mut ben, &mut cat] {
        client.join("attic").await;
    }
    assert!(ann.until("expiring").await["in"].as_u64().unwrap() <= 2);
    // Messages are on their way while it renews.
    let before = ann.sender().request("msg", &json!({ "1": "before" }));
    let next = token("ann", 3600, json!({}));
    assert_eq!(authenticate(&mut ann, "ann", &next).await["status"], 0);
    assert_eq!(before.await.unwrap()["status"], 0);

    ben.until("expiring").await;
    assert_eq!(ben.until("authenticate").await, json!({ "status": 1, "data": "token expired" }));
    is_dropped(&mut ben).await;
    // The time of both is over: she is still there, and the plain token does not expire.
    ann.send(&json!({ "1": "still here" })).await;
    cat.send(&json!({ "1": "so am I" })).await;
    let mut told = Vec::new();
    while let Some(packet) = cat.arrived() {
        told.push(format!("{packet:?}"));
    }
    assert!(!told.iter().any(|packet| packet.contains("expiring")), "{told:?}");
}

#[tokio::test]
async fn an_older_token_after_a_renewal_changes_nothing() {
    let server = setup().start().await;
    let none = signed(&json!({ "sub": "ann", "iat": now() - 60, "exp": now() + 60, "caps": [] }));
    let mut ann = signed_in(&server, "ann", &token("ann", 600, json!({}))).await;
    ann.join("attic").await;
    assert_eq!(authenticate(&mut ann, "ann", &none).await["status"], 0);
    ann.send(&json!({ "1": "as before" })).await;
    // An expired one is refused, and costs nothing.
    let expired = signed(&json!({ "sub": "ann", "iat": now() - 600, "exp": now() - 300 }));
    assert_eq!(authenticate(&mut ann, "ann", &expired).await["data"], "token expired");
    ann.send(&json!({ "1": "as before" })).await;
    // Another user's ends the session, as it always did.
    let bobs = token("bob", 600, json!({}));
    assert_eq!(authenticate(&mut ann, "ann", &bobs).await["status"], 1);
    is_refused(&mut ann).await;
}

#[tokio::test]
async fn caps_are_asked_at_each_step_and_again_at_a_renewal() {
    let server = setup().start().await;
    let caps = |rooms: &[&str], allow: &[&str]| json!({ "caps": [{ "rooms": rooms, "match": "wildcard", "allow": allow }] });
    let first = token("ann", 600, caps(&["class:*"], &["join", "sync"]));
    let mut ann = signed_in(&server, "ann", &first).await;
    let not_allowed = json!({ "status": 1, "data": "join failed, not allowed" });
    for request in [json!({ "roomId": "attic" }), json!({ "roomId": "class:7", "dummy": true })] {
        assert_eq!(ann.emit_with_ack("join", &request).await, not_allowed, "{request}");
        assert_eq!(ann.event("join").await, not_allowed, "{request}");
    }
    ann.join("class:7").await;
    let message = json!({ "1": "hello" });
    let refused = json!({ "status": 1, "data": "not allowed" });
    assert_eq!(ann.emit_with_ack("msg", &message).await, refused);
    assert_eq!(ann.sync(&json!({})).await["data"], json!([]));

    let more = token("ann", 600, caps(&["class:*"], &["join", "send"]));
    assert_eq!(authenticate(&mut ann, "ann", &more).await["status"], 0);
    ann.send(&message).await;
    assert_eq!(ann.sync(&json!({})).await, refused);

    let less = token("ann", 600, caps(&["attic"], &["join"]));
    assert_eq!(authenticate(&mut ann, "ann", &less).await["status"], 0);
    is_dropped(&mut ann).await;
    let ann = signed_in(&server, "ann", &less).await;
    assert_eq!(ann.emit_with_ack("join", &json!({ "roomId": "class:7" })).await, not_allowed);
}

#[tokio::test]
async fn where_claims_decide_a_plain_token_opens_no_room() {
    let server = setup().env("AO_ROOMS__ACCESS", "claims").start().await;
    let ben = server.client("ben").await;
    let answer = ben.emit_with_ack("join", &json!({ "roomId": "attic" })).await;
    assert_eq!(answer, json!({ "status": 1, "data": "join failed, not allowed" }));
    let mut ann = signed_in(&server, "ann", &token("ann", 600, json!({}))).await;
    ann.join("attic").await;
}
