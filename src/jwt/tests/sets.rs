//! A set of keys that is fetched.
use support::receiver::{Received, Receiver, Reply};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::TaskTracker;

use super::*;
use crate::metrics::Metrics;

/// Whoever publishes a set of keys.
struct Publisher {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<String>>,
    stop: CancellationToken,
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

impl Publisher {
    async fn start(answer: String) -> Publisher {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let publisher = Publisher {
            url,
            asked: Arc::default(),
            answer: Arc::new(Mutex::new(answer)),
            stop: CancellationToken::new(),
        };
        let (asked, answer) = (publisher.asked.clone(), publisher.answer.clone());
        TaskTracker::new().spawn(publisher.stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = client.read(&mut request).await;
                asked.fetch_add(1, SeqCst);
                let answer = answer.lock().unwrap().clone();
                let _ = client.write_all(answer.as_bytes()).await;
                let _ = client.shutdown().await;
            }
        }));
        publisher
    }

    fn publishes(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    /// The server's side, running.
    fn tokens(&self) -> (Arc<Tokens>, Supervisor) {
        let tokens = open(&[("AO_JWT__JWKS_URL", &self.url)]).unwrap();
        let supervisor = Supervisor::new(TaskTracker::new(), Arc::new(Metrics::default()));
        tokens.keep(&supervisor, &self.stop);
        (tokens, supervisor)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn set(keys: &[(&str, &Curve)]) -> String {
    let keys: Vec<_> = keys.iter().map(|(kid, key)| key.jwk(kid)).collect();
    ok(&json!({ "keys": keys }).to_string())
}

/// So many keys, this one by all names but `b`.
fn many(key: &Curve, keys: usize) -> String {
    let keys: Vec<_> = (0..keys).map(|i| key.jwk(&format!("key {i}"))).collect();
    ok(&json!({ "keys": keys }).to_string())
}

fn signed(key: &Curve, kid: &str) -> String {
    key.sign(json!({ "kid": kid }), &claims())
}

async fn verified(tokens: &Tokens, token: &str) -> Result<(), NotVerified> {
    tokens.verify(&Uid::text("ann").unwrap(), token).await.map(|_| ())
}

/// The ten seconds are over, without waiting for them.
fn ten_seconds_later(tokens: &Tokens) {
    tokens.remote.as_ref().unwrap().forget_when();
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_used_and_a_flood_of_names_costs_one_fetch() {
    let (a, b) = (Curve::new(256), Curve::new(256));
    let publisher = Publisher::start(set(&[("a", &a)])).await;
    let (tokens, _supervisor) = publisher.tokens();
    assert_eq!(verified(&tokens, &signed(&a, "a")).await, Ok(()));
    assert_eq!(publisher.asked(), 1);

    // Many at once, each with another name.
    ten_seconds_later(&tokens);
    let unknown = Err(NotVerified::Refused(TokenFault::UnknownKey));
    let flood: Vec<_> = (0..200).map(|i| signed(&b, &format!("random {i}"))).collect();
    let answers =
        futures_util::future::join_all(flood.iter().map(|token| verified(&tokens, token))).await;
    assert!(answers.into_iter().all(|answer| answer == unknown));
    assert_eq!(publisher.asked(), 2);

    // Rotation: the new key is known by its first use, the old one until it is taken out.
    publisher.publishes(set(&[("a", &a), ("b", &b)]));
    assert_eq!(verified(&tokens, &signed(&b, "b")).await, unknown, "within the ten seconds");
    assert_eq!(publisher.asked(), 2);
    ten_seconds_later(&tokens);
    assert_eq!(verified(&tokens, &signed(&b, "b")).await, Ok(()));
    assert_eq!(verified(&tokens, &signed(&a, "a")).await, Ok(()));
    publisher.publishes(set(&[("b", &b)]));
    ten_seconds_later(&tokens);
    assert_eq!(verified(&tokens, &signed(&a, "other")).await, unknown);
    assert_eq!(verified(&tokens, &signed(&a, "a")).await, unknown);
    assert_eq!(publisher.asked(), 4);
}

#[tokio::test]
async fn known_keys_survive_an_outage_and_unknown_ones_are_refused_by_nobody_then() {
    let (a, b) = (Curve::new(256), Curve::new(256));
    let publisher = Publisher::start(set(&[("a", &a)])).await;
    let (tokens, _supervisor) = publisher.tokens();
    assert_eq!(verified(&tokens, &signed(&a, "a")).await, Ok(()));
    for answer in [
        "HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        "HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            .to_owned(),
        ok("<html>"),
        ok(r#"{"keys":[]}"#),
        ok(r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"b"}]}"#), // no secret is published
        ok(&"x".repeat(1 << 20)),
        many(&b, 65),
        many(&b, 10_000),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(),
        String::new(),
    ] {
        publisher.publishes(answer);
        ten_seconds_later(&tokens);
        let asked = publisher.asked();
        assert_eq!(verified(&tokens, &signed(&b, "b")).await, Err(NotVerified::Unavailable));
        assert_eq!(verified(&tokens, &signed(&a, "a")).await, Ok(()));
        assert_eq!(publisher.asked(), asked + 1, "a redirect is not followed");
    }
}

#[tokio::test]
async fn a_server_starts_without_its_keys_and_has_them_when_they_are_there() {
    let a = Curve::new(256);
    let publisher = Publisher::start(String::new()).await;
    let (tokens, _supervisor) = publisher.tokens();
    let without_kid = a.sign(json!({}), &claims());
    for token in [&signed(&a, "a"), &without_kid] {
        assert_eq!(verified(&tokens, token).await, Err(NotVerified::Unavailable));
    }
    // A secret of HMAC can't come by a set, so nothing has to be waited for.
    let token = hs("HS256", SECRET.as_bytes(), json!({}), &claims());
    assert_eq!(verified(&tokens, &token).await, Err(NotVerified::Refused(TokenFault::Algorithm)));
    publisher.publishes(set(&[("a", &a)]));
    ten_seconds_later(&tokens);
    assert_eq!(verified(&tokens, &without_kid).await, Ok(()));
    assert_eq!(verified(&tokens, &signed(&a, "a")).await, Ok(()));
}

#[tokio::test]
async fn a_set_is_not_taken_from_who_can_not_prove_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
    support::tls::issue(&certificate, &key);
    let a = Curve::new(256);
    let set = json!({ "keys": [a.jwk("a")] });
    let answers = move |_: &Received| Reply::Json(set.clone());

    let stranger = Receiver::under_tls(&certificate, &key, answers.clone()).await;
    let tokens = open(&[("AO_JWT__JWKS_URL", &stranger.url())]).unwrap();
    let why = tokens.fetch().await.unwrap_err();
    assert!(why.starts_with("no TLS"), "{why}");
    assert!(stranger.requests().is_empty(), "nothing was asked");

    let known = Receiver::start(answers).await;
    let tokens = open(&[("AO_JWT__JWKS_URL", &known.url())]).unwrap();
    tokens.fetch().await.unwrap();
    assert!(examined(&tokens, &signed(&a, "a")).await.is_ok());
    assert_eq!(known.requests()[0].line, "GET /hooks");
    assert_eq!(
        known.requests()[0].header("accept"),
        Some("application/jwk-set+json, application/json")
    );
}
