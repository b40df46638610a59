//! Who is let in by the core's doorman, on this store.
use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;

use super::{hub::hub_on, *};
use crate::{
    domain::{
        access::{NotVerified, Rights, TokenFault, Verifier},
        attempts::Tolerance,
        hub::Hub,
        secret::Secret,
        sign_in::{Admitted, Doorman, Refused},
    },
    metrics::SignIn,
    pace::Rate,
    store::contract::witness::uid,
};

/// Accepts tokens that say what becomes of them.
struct Words;

#[async_trait]
impl Verifier for Words {
    async fn verify(&self, _: &Uid, token: &str) -> Result<Rights, NotVerified> {
        match token {
            "..good" => Ok(Rights { jti: Some("phone".into()), ..Rights::default() }),
            "..old" => Err(NotVerified::Refused(TokenFault::Expired)),
            "..forged" => Err(NotVerified::Refused(TokenFault::Signature)),
            _ => Err(NotVerified::Unavailable),
        }
    }
}

fn token(text: &str) -> Secret {
    Secret::presented(text)
}

fn address() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 7).into()
}

/// A hub on which Ann has the token `right`, and tokens count.
async fn guarded(home: &DataFolder, rate_limit: Option<(u32, Duration)>) -> Arc<Hub> {
    let store = Embedded::open(Options { rate_limit, ..home.options() }).unwrap();
    let hub = hub_on(home, store.clone(), store);
    hub.tokens.create(Realm::User, &uid("ann"), &token("right")).await.unwrap();
    hub.switch_user_auth(true).await.unwrap();
    hub
}

fn doorman(hub: &Hub) -> Doorman<'_> {
    Doorman::new(hub, Some(Arc::new(Words)), None)
}

async fn admit(doorman: &Doorman<'_>, text: &str) -> Result<Admitted, Refused> {
    doorman.admit(&uid("ann"), Some(&token(text))).await
}

fn refusals(hub: &Hub, reason: &str) -> u64 {
    let series = format!("always_online_refused_sign_ins_total{{reason=\"{reason}\"}} ");
    let page = hub.metrics.text();
    let count = page.lines().find_map(|line| line.strip_prefix(&series));
    count.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_token_of_either_kind_is_right_or_refused_and_counted() {
    let home = DataFolder::new();
    let hub = guarded(&home, None).await;
    let doorman = doorman(&hub);
    let plain = admit(&doorman, "right").await.unwrap();
    assert_eq!((plain.by(), &plain.rights), (SignIn::Token, &None));
    assert!(plain.checked.is_some());
    let jwt = admit(&doorman, "..good").await.unwrap();
    assert_eq!((jwt.by(), jwt.now), (SignIn::Jwt, 1_700_000_000));
    for (text, refused, reason) in [
        ("wrong", Refused::Wrong, "wrong token"),
        ("..old", Refused::Expired, "expired"),
        ("..forged", Refused::Wrong, "signature"),
        ("..else", Refused::Server, "keys unavailable"),
    ] {
        assert_eq!(admit(&doorman, text).await, Err(refused), "{text}");
        assert_eq!(refusals(&hub, reason), 1, "{text}");
    }
    assert_eq!(doorman.admit(&uid("ann"), None).await, Err(Refused::Wrong));
    let without = Doorman::new(&hub, None, None);
    assert_eq!(admit(&without, "..good").await, Err(Refused::Wrong), "it is a plain one there");
    assert!(doorman.knows_as_jwt(Some(&token("..good"))) && !without.knows_as_jwt(None));
}

#[tokio::test]
async fn where_tokens_do_not_count_everybody_is_let_in() {
    let home = DataFolder::new();
    let hub = guarded(&home, None).await;
    hub.switch_user_auth(false).await.unwrap();
    for said in [None, Some(token("wrong")), Some(token("..old"))] {
        let admitted = doorman(&hub).admit(&uid("ann"), said.as_ref()).await.unwrap();
        assert_eq!((admitted.by(), admitted.checked), (SignIn::Unchecked, None));
    }
}

#[tokio::test]
async fn what_is_revoked_meanwhile_is_found_by_another_look() {
    let home = DataFolder::new();
    let hub = guarded(&home, None).await;
    let (doorman, ann) = (doorman(&hub), uid("ann"));
    for text in ["right", "..good"] {
        let admitted = admit(&doorman, text).await.unwrap();
        assert_eq!(doorman.check(&ann, Some(&token(text))).await, Ok(admitted.rights));
    }
    hub.revoke(&ann, None, Some("phone")).await.unwrap();
    assert!(hub.tokens.revoke(Realm::User, &ann).await.unwrap());
    for text in ["right", "..good"] {
        assert_eq!(doorman.check(&ann, Some(&token(text))).await, Err(Refused::Wrong), "{text}");
    }
    assert_eq!(refusals(&hub, "revoked"), 1);
}

#[tokio::test]
async fn too_many_failures_are_waited_for_and_a_good_token_is_not_looked_at() {
    let home = DataFolder::new();
    let hub = guarded(&home, None).await;
    let rate = |count| Rate { count, window: Duration::from_secs(60) };
    tokio::time::pause();
    hub.attempts.tolerate(Tolerance { per_account: rate(3), per_address: rate(0) });
    let here = Doorman::new(&hub, Some(Arc::new(Words)), Some(address()));
    for text in ["wrong", "..old", "..else", "..forged", "wrong"] {
        let refused = admit(&here, text).await.unwrap_err();
        assert_ne!(refused, Refused::TooManyFailures, "{text}: only what is wrong counts");
    }
    assert_eq!(admit(&here, "right").await, Err(Refused::TooManyFailures));
    assert_eq!(refusals(&hub, "too many failures"), 1);
    assert!(admit(&doorman(&hub), "right").await.is_ok(), "elsewhere it is let in");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(admit(&here, "right").await.is_ok());
}

#[tokio::test]
async fn who_signs_in_too_often_is_refused_whatever_its_token() {
    let home = DataFolder::new();
    let hub = guarded(&home, Some((2, Duration::from_secs(3600)))).await;
    for expected in [None, None, Some(Refused::RateLimit), Some(Refused::RateLimit)] {
        assert_eq!(admit(&doorman(&hub), "right").await.err(), expected);
    }
    assert_eq!(admit(&doorman(&hub), "wrong").await, Err(Refused::Wrong), "that does not count");
    assert_eq!(refusals(&hub, "rate limit"), 2);
}
