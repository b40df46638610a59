//! Limits: newcomers beyond one are told so, and who is there notices nothing.
use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

use super::people::{
    Pair, Person, Phone, ask, counted, log_in, place, register, setup, unharmed, unique,
};
use support::{
    http::{self, Answer},
    server::Server,
    soon,
    wire::socket::Socket,
};

/// Between two looks at something that nobody announces.
const STEP: Duration = Duration::from_millis(20);
/// More sign-ins than have to fail until there is a wait, however slow this machine is.
const MANY: usize = 12;
const NOT_REGISTERED: u32 = 100_001;
const WRONG_PASSWORD: u32 = 100_002;
/// Where a believed proxy says that its clients are.
const HOME: [(&str, &str); 1] = [("x-forwarded-for", "198.51.100.7, 192.0.2.1")];
const ELSEWHERE: [(&str, &str); 1] = [("x-forwarded-for", "192.0.2.2")];

/// The status with which somebody is not let in.
fn refusal(tried: Result<Socket, Error>) -> u16 {
    match tried {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        other => panic!("no refusal: {:?}", other.map(drop)),
    }
}

/// Waits until there is a place.
async fn let_in(server: &Server, person: &Person, headers: &[(&'static str, &str)]) -> Phone {
    let tried = async {
        loop {
            if let Ok(socket) = person.upgrade(server, headers).await {
                return Phone::of(socket).await;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    soon("a place", tried).await
}

#[tokio::test]
async fn one_address_has_so_many_sockets_and_no_more() {
    let mut server = setup().start().await;
    let (ann, ben) = tokio::join!(Person::new(&server), Person::new(&server));
    assert_eq!(server.terminate().await, 0);
    server.reconfigure("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1");
    server.restart().await;
    let there = let_in(&server, &ann, &[]).await;
    assert_eq!(refusal(ben.upgrade(&server, &[]).await), 429);
    let answer = ben.info(&server).await;
    let error = json!({ "error": "too many connections from this address" });
    assert_eq!((answer.status, answer.json()), (429, error));
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
    assert!(
        counted(&server, r#"always_online_refused_newcomers_total{reason="address"}"#).await >= 2.0
    );
    unharmed(&server).await;
    drop(there);
    let_in(&server, &ben, &[]).await;
}

#[tokio::test]
async fn behind_a_believed_proxy_clients_are_told_apart() {
    let setup = setup()
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_LIMITS__PROXIES", "127.0.0.1");
    let server = setup.start().await;
    let (ann, ben) = tokio::join!(Person::new(&server), Person::new(&server));
    ann.befriend(&server, &ben).await;
    let mut from_ann = let_in(&server, &ann, &HOME).await;
    assert_eq!(refusal(ben.upgrade(&server, &HOME).await), 429);
    // What he asks by HTTP is a matter of its own.
    assert_eq!(ben.logs_in(&server, &HOME).await.json()["code"], 0);
    let mut from_ben = let_in(&server, &ben, &ELSEWHERE).await;
    let word = ann.message(&ben, "where are you?");
    from_ann.send(&word).await;
    from_ben.expect(&word).await;
    drop(from_ann);
    drop(let_in(&server, &ben, &HOME).await);
    unharmed(&server).await;
}

/// What one household may do in an hour it may not do from each of its addresses.
#[tokio::test]
async fn each_household_registers_so_often_and_no_more() {
    let setup =
        setup().env("AO_WECHAT__RATE_LIMIT", "2 in 1h").env("AO_LIMITS__PROXIES", "127.0.0.1");
    let server = setup.start().await;
    let register = async |address: &str| {
        register(place(&server), &unique(), &[("x-forwarded-for", address)]).await
    };
    for [one, same, other] in [
        ["192.0.2.1", "192.0.2.1", "192.0.2.2"],
        ["2001:db8:0:7::1", "2001:db8:0:7::2", "2001:db8:0:8::1"],
    ] {
        for address in [one, same] {
            assert_eq!(register(address).await.json()["code"], 0, "{address}");
        }
        for address in [one, same] {
            let answer = register(address).await;
            let error = json!({ "error": "too many requests" });
            assert_eq!((answer.status, answer.json()), (429, error), "{address}");
            assert!(answer.header("retry-after").is_some(), "{}", answer.head);
        }
        assert_eq!(register(other).await.json()["code"], 0, "{other}");
    }
}

/// The code of an answer, or nothing where it is one of those who have to wait.
fn code(answer: &Answer) -> Option<u64> {
    if answer.status == 429 {
        assert_eq!(answer.json(), json!({ "error": "too many passwords were wrong" }));
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(wait >= 1, "{}", answer.head);
        return None;
    }
    answer.json()["code"].as_u64()
}

/// Phones that nobody has count as passwords that are wrong: else it could be found out for nothing
/// who is there.
#[tokio::test]
async fn after_failures_log_ins_to_that_phone_wait_and_those_to_others_do_not() {
    let server = setup().env("AO_LIMITS__FAILED_SIGN_INS", "2 in 1h").start().await;
    let mut pair = Pair::come(&server).await;
    let mut all = 0;
    for (phone, why) in [(&unique(), NOT_REGISTERED), (&pair.ann.phone, WRONG_PASSWORD)] {
        let mut failed = 0;
        while let Some(code) = code(&log_in(place(&server), phone, "guessed", &[]).await) {
            assert_eq!(code, u64::from(why));
            failed += 1;
            assert!(failed < MANY, "nobody has to wait");
        }
        assert!(failed >= 2, "{failed}");
        all += failed;
        assert_eq!(code(&pair.ben.logs_in(&server, &[]).await), Some(0));
    }
    let refused = async |reason| {
        let name = format!("always_online_refused_sign_ins_total{{reason=\"{reason}\"}}");
        counted(&server, &name).await
    };
    assert_eq!(refused("wrong token").await, all as f64);
    assert!(refused("too many failures").await >= 2.0);
    // Who has a token needs no password.
    pair.are_well().await;
    // The right one is not looked at before the time is over, and then it clears what was counted.
    soon("a log-in", async {
        while code(&pair.ann.logs_in(&server, &[]).await).is_none() {
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
    for _ in 0..2 {
        let answer = log_in(place(&server), &pair.ann.phone, "guessed", &[]).await;
        assert_eq!(code(&answer), Some(u64::from(WRONG_PASSWORD)));
    }
}

#[tokio::test]
async fn who_tries_many_phones_waits_with_all_of_its_address_and_nobody_elsewhere_does() {
    let setup = setup()
        .env("AO_LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "4 in 1h")
        .env("AO_LIMITS__PROXIES", "127.0.0.1");
    let server = setup.start().await;
    let (ann, ben) = tokio::join!(Person::new(&server), Person::new(&server));
    let mut tries = 0;
    // Each failure makes the wait longer, until ben comes within one.
    loop {
        tries += 1;
        assert!(tries < MANY, "nobody has to wait");
        let phone = if tries % 2 == 0 { ann.phone.clone() } else { unique() };
        log_in(place(&server), &phone, "guessed", &HOME).await;
        if code(&ben.logs_in(&server, &HOME).await).is_none() {
            break;
        }
    }
    assert!(tries >= 4, "{tries}");
    assert_eq!(code(&ben.logs_in(&server, &ELSEWHERE).await), Some(0));
    assert_eq!(ben.info(&server).await.status, 200, "a token is no password");
}

/// Nobody can guess a token, and so wrong ones keep out nobody.
#[tokio::test]
async fn wrong_tokens_keep_out_nobody() {
    let server = setup().env("AO_LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "2 in 1h").start().await;
    let ann = Person::new(&server).await;
    let wrong = Person { phone: ann.phone.clone(), token: format!("{}x", ann.token) };
    for _ in 0..MANY {
        let mut socket = wrong.upgrade(&server, &[]).await.unwrap();
        assert_eq!(socket.close_code().await, Some(4000));
        assert_eq!(wrong.info(&server).await.status, 401);
    }
    assert_eq!(code(&ann.logs_in(&server, &[]).await), Some(0));
    ann.comes(&server).await;
    assert_eq!(ask(place(&server), "search", &json!({}), &[]).await.status, 401);
    assert_eq!(http::get(place(&server), "/livez").await.status, 200);
}
