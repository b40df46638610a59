//! Who gets in, and by which way.
use serde_json::json;

use super::people::{Pair, Person, STAY_AWAY, ask, place, setup, unharmed, unique};
use crate::gotapi::client::{Client, Got};
use support::{http, tls};

/// Registering, logging in, WebSockets and relaying: under TLS all of it is the same.
#[tokio::test]
async fn tls_changes_nothing() {
    let server = setup().under_tls("wechat").start().await;
    assert!(server.stdout().contains("wechat https://"), "{}", server.stdout());
    let certificate = server.setup().certificate("wechat");
    tls::connect(server.own_address("wechat"), &certificate).await.unwrap();
    let mut pair = Pair::come(&server).await;
    pair.are_well().await;
    let large = pair.ann.message(&pair.ben, &"x".repeat(1_000_000));
    pair.from_ann.send(&large).await;
    pair.from_ben.expect(&large).await;
    // A newer socket takes the older one's place, with its code.
    let newer = pair.ben.comes(&server).await;
    assert_eq!(pair.from_ben.end().await, Some(STAY_AWAY));
    pair.from_ben = newer;
    pair.are_well().await;
    unharmed(&server).await;
}

/// Whoever watches has no token, and may ask as often as it likes.
#[tokio::test]
async fn health_is_told_to_everybody() {
    let server = setup().env("AO_LIMITS__REQUESTS_PER_ADDRESS", "10 in 1h").start().await;
    let address = place(&server);
    let asked =
        async |method: &str, path: &str| http::request(address, method, path, &[], "").await.status;
    assert_eq!(asked("POST", "/readyz").await, 401, "only GET and HEAD ask for it");
    assert_eq!(asked("GET", "/readyz/").await, 401);
    let mut more = 0;
    while asked("GET", "/api/info").await == 401 {
        more += 1;
        assert!(more <= 10, "anybody may ask what he likes");
    }
    for path in ["/livez", "/readyz"] {
        for method in ["GET", "HEAD"] {
            assert_eq!(asked(method, path).await, 200, "{method} {path}");
        }
    }
    let refused = http::get(address, "/api/info").await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!(refused.header("retry-after").is_some(), "{}", refused.head);
}

/// Two servers, on both of which somebody has the same phone.
#[tokio::test]
async fn a_token_of_another_server_opens_nothing() {
    let other = setup().env("AO_WECHAT__JWT_SECRET", "known to this one and to no other server");
    let (server, other) = tokio::join!(setup().start(), other.start());
    let phone = unique();
    let (here, there) =
        tokio::join!(Person::called(&server, phone.clone()), Person::called(&other, phone.clone()));
    assert_eq!(here.info(&server).await.status, 200);
    assert_eq!(there.info(&other).await.status, 200);
    for (person, server) in [(&here, &other), (&there, &server)] {
        let answer = person.info(server).await;
        let error = json!({ "error": "invalid signature" });
        assert_eq!((answer.status, answer.json()), (401, error));
        let cookie = format!("jwt={}", person.token);
        let answer = ask(place(server), "info", &json!({}), &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, 401, "{}", answer.body);
        let mut client = Client::of(person.upgrade(server, &[]).await.unwrap());
        assert_eq!(client.next().await, Got::End(Some(STAY_AWAY)), "and it was told nothing");
    }
    here.comes(&server).await;
    there.comes(&other).await;
}
