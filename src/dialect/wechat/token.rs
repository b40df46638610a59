//! The tokens of users: JSON Web Tokens by HS256, as the original signs them, so that its tokens
//! stay good. Their payload is `{phone,nick,iat}`, and they have no end: clients keep one for good.
//!
//! No other algorithm is known here, and no key but the one secret. So ring does it alone: the
//! crate jsonwebtoken takes its cryptography from one place for the whole process, which the keys
//! of `[jwt]` need, and which signs nothing.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::secret::Secret;

/// Bytes of the largest token that is looked at.
const MOST: usize = 16 << 10;
/// A shorter secret can be found by trying (RFC 7518, 3.2).
const SECRET: usize = 32;

/// Why a token proves nothing. The words are those of the original's libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadToken {
    #[error("Authentication Error")]
    Missing,
    /// It does not have three parts.
    #[error("jwt malformed")]
    Malformed,
    /// Its parts can't be read, or it names no user.
    #[error("invalid token")]
    Invalid,
    #[error("invalid algorithm")]
    Algorithm,
    #[error("invalid signature")]
    Signature,
    #[error("jwt not active")]
    NotActive,
    #[error("jwt expired")]
    Expired,
}

/// What a token says that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    /// Whose it is, if there is such a user.
    pub phone: String,
    /// When it was issued, in seconds since 1970; 0 where it does not say, in whole seconds.
    pub issued: u64,
}

/// The header and the payload of the tokens that we make.
#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Payload<'a> {
    phone: &'a str,
    nick: &'a str,
    iat: u64,
}

/// Signs tokens, and verifies them.
pub(super) struct Keys(hmac::Key);

impl Keys {
    /// With the secret that all nodes share.
    pub fn new(secret: &Secret) -> Self {
        let secret = secret.reveal().as_bytes();
        if secret.len() < SECRET {
            tracing::warn!(
                setting = "AO_WECHAT__JWT_SECRET",
                "the secret is shorter than {SECRET} bytes: it can be found by trying"
            );
        }
        Keys(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A token for a user. `now` in seconds since 1970.
    pub fn sign(&self, phone: &str, nick: &str, now: u64) -> String {
        let header = encoded(&Header { alg: "HS256", typ: "JWT" });
        let payload = encoded(&Payload { phone, nick, iat: now });
        let signed = format!("{header}.{payload}");
        let signature = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// What a token says. Whether there is such a user is not looked at here. `now` in seconds since
    /// 1970.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, BadToken> {
        if token.len() > MOST {
            return Err(BadToken::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(BadToken::Malformed)?;
        if payload.contains('.') {
            return Err(BadToken::Malformed);
        }
        if object(header)?.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err(BadToken::Algorithm);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| BadToken::Signature)?;
        hmac::verify(&self.0, signed.as_bytes(), &signature).map_err(|_| BadToken::Signature)?;
        let claims = object(payload)?;
        check_times(&claims, now)?;
        let issued = claims.get("iat").and_then(Value::as_u64).unwrap_or_default();
        match claims.get("phone") {
            Some(Value::String(phone)) if !phone.is_empty() => {
                Ok(Claims { phone: phone.clone(), issued })
            }
            _ => Err(BadToken::Invalid),
        }
    }
}

/// Whether the time of a token has come, and is not over. One that says nothing of it never ends.
fn check_times(claims: &Map<String, Value>, now: u64) -> Result<(), BadToken> {
    let now = now as f64; // exact: times are far below 2^53
    let time = |name| match claims.get(name) {
        None => Ok(None),
        Some(time) => time.as_f64().map(Some).ok_or(BadToken::Invalid),
    };
    if time("nbf")?.is_some_and(|begin| begin > now) {
        return Err(BadToken::NotActive);
    }
    if time("exp")?.is_some_and(|end| now >= end) {
        return Err(BadToken::Expired);
    }
    Ok(())
}

fn object(part: &str) -> Result<Map<String, Value>, BadToken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Invalid)?;
    serde_json::from_slice(&json).map_err(|_| BadToken::Invalid)
}

fn encoded(part: &impl Serialize) -> String {
    // Texts and a number: always JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn keys(secret: &str) -> Keys {
        Keys::new(&Secret::presented(secret))
    }

    /// A token as whoever has the secret may make it.
    fn made(secret: &str, header: &str, payload: &str) -> String {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = hmac::sign(&keys(secret).0, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn verified(token: &str) -> Result<String, BadToken> {
        keys("shared").verify(token, NOW).map(|claims| claims.phone)
    }

    #[test]
    fn a_token_of_ours_is_good_for_ever() {
        let token = keys("shared").sign("13800138000", "张三", NOW);
        assert_eq!(verified(&token).as_deref(), Ok("13800138000"));
        let later = keys("shared").verify(&token, NOW + 100 * 365 * 86_400);
        assert!(later.is_ok());
        assert_eq!(
            object(token.split('.').nth(1).unwrap()).unwrap(),
            *serde_json::json!({"phone": "13800138000", "nick": "张三", "iat": NOW})
                .as_object()
                .unwrap()
        );
    }

    /// As Node's jsonwebtoken signs `{phone:'13800138000',nick:'张三',iat:1700000000}` with `shared`.
    const OF_THE_ORIGINAL: &str = concat!(
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
        "eyJwaG9uZSI6IjEzODAwMTM4MDAwIiwibmljayI6IuW8oOS4iSIsImlhdCI6",
        "MTcwMDAwMDAwMH0",
        ".mx1-HRipSWjC_QTtVMBncixq821KJqPihnrlukZ0oQs"
    );

    #[test]
    fn ours_and_the_original_s_are_the_same() {
        assert_eq!(keys("shared").sign("13800138000", "张三", NOW), OF_THE_ORIGINAL);
        assert_eq!(verified(OF_THE_ORIGINAL).as_deref(), Ok("13800138000"));
    }

    #[test]
    fn what_is_claimed_is_looked_at() {
        let of = |payload: &str| verified(&made("shared", r#"{"alg":"HS256"}"#, payload));
        for (payload, outcome) in [
            (r#"{"phone":"123","exp":1700000001}"#, Ok("123")),
            (r#"{"phone":"123","exp":1700000000}"#, Err(BadToken::Expired)),
            (r#"{"phone":"123","exp":1699999999.5}"#, Err(BadToken::Expired)),
            (r#"{"phone":"123","exp":"never"}"#, Err(BadToken::Invalid)),
            (r#"{"phone":"123","nbf":1700000001}"#, Err(BadToken::NotActive)),
            (r#"{"phone":"123","iat":1800000000}"#, Ok("123")),
            (r#"{"nick":"a"}"#, Err(BadToken::Invalid)),
            (r#"{"phone":""}"#, Err(BadToken::Invalid)),
            (r#"{"phone":123}"#, Err(BadToken::Invalid)),
            (r#"{"phone":{"$ne":""}}"#, Err(BadToken::Invalid)),
            (r#"["phone"]"#, Err(BadToken::Invalid)),
            ("123", Err(BadToken::Invalid)),
        ] {
            assert_eq!(of(payload).as_deref(), outcome.as_deref(), "{payload}");
        }
    }

    #[test]
    fn a_token_says_when_it_was_issued() {
        for (payload, issued) in [
            (r#"{"phone":"123","iat":1700000000}"#, NOW),
            (r#"{"phone":"123"}"#, 0),
            (r#"{"phone":"123","iat":-5}"#, 0),
            (r#"{"phone":"123","iat":1700000000.5}"#, 0),
            (r#"{"phone":"123","iat":"1700000000"}"#, 0),
        ] {
            let token = made("shared", r#"{"alg":"HS256"}"#, payload);
            assert_eq!(keys("shared").verify(&token, NOW).unwrap().issued, issued, "{payload}");
        }
    }

    #[test]
    fn what_proves_nothing_is_refused() {
        let payload = r#"{"phone":"123"}"#;
        let good = made("shared", r#"{"alg":"HS256"}"#, payload);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        for (token, why) in [
            (made("other", r#"{"alg":"HS256"}"#, payload), BadToken::Signature),
            (made("shared", r#"{"alg":"none"}"#, payload), BadToken::Algorithm),
            (made("shared", r#"{"alg":"HS512"}"#, payload), BadToken::Algorithm),
            (made("shared", r#"{"alg":"hs256"}"#, payload), BadToken::Algorithm),
            (made("shared", r#"{"typ":"JWT"}"#, payload), BadToken::Algorithm),
            (made("shared", "[]", payload), BadToken::Invalid),
            (format!("{signed}."), BadToken::Signature),
            (format!("{signed}.{}", &signature[1..]), BadToken::Signature),
            (format!("{signed}.{signature}="), BadToken::Signature),
            (format!("{signed}.{signature}.x"), BadToken::Malformed),
            (signed.to_owned(), BadToken::Malformed),
            ("a.b.c".to_owned(), BadToken::Invalid),
            ("..".to_owned(), BadToken::Invalid),
            (String::new(), BadToken::Malformed),
            ("x".repeat(MOST + 1), BadToken::Malformed),
        ] {
            assert_eq!(verified(&token), Err(why), "{token}");
        }
    }
}
