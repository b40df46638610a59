//! What a business server does: it signs tokens.
use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use support::{
    client::{Client, Packet},
    server::{Server, Setup},
};

/// The secret of business server and chat server.
pub const SECRET: &str = "known to two servers and to nobody else";

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token with these claims, signed by HS256.
pub fn signed_with(secret: &str, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// As [`signed_with`], by the secret of both servers.
pub fn signed(claims: &Value) -> String {
    signed_with(SECRET, claims)
}

/// A token of this user that is issued now and valid for so many seconds, with more claims.
pub fn token(uid: &str, seconds: u64, more: Value) -> String {
    let mut claims = json!({ "sub": uid, "iat": now(), "exp": now() + seconds });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    signed(&claims)
}

/// A server that knows the secret.
pub fn setup() -> Setup {
    Setup::new().env("AO_JWT__SECRET", SECRET)
}

/// The answer to `authenticate`.
pub async fn authenticate(client: &mut Client, uid: &str, token: &str) -> Value {
    client.emit("authenticate", &json!({ "uid": uid, "token": token }));
    client.until("authenticate").await
}

/// A client that has signed in by this token.
pub async fn signed_in(server: &Server, uid: &str, token: &str) -> Client {
    let mut client = server.guest().await;
    client.sign_in(uid, token).await;
    client
}

/// Sent away for good: a DISCONNECT before the end.
pub async fn is_refused(client: &mut Client) {
    let rest = client.rest().await;
    assert!(rest.iter().any(|packet| matches!(packet, Packet::Disconnect)), "{rest:?}");
}

/// Closed such that its library comes back: no DISCONNECT.
pub async fn is_dropped(client: &mut Client) {
    let rest = client.rest().await;
    assert!(!rest.iter().any(|packet| matches!(packet, Packet::Disconnect)), "{rest:?}");
}
