//! Signatures of Standard Webhooks 1.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! What is signed is `ID.TIMESTAMP.BODY`, by HMAC-SHA256. While a secret is replaced, each request
//! has the signatures of both, so that a receiver accepts it whichever of them it knows.
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use crate::{
    config::SigningSecret,
    domain::clock::{NoRandomness, Rng, alphanumeric},
};

/// The header with the id, the same for each attempt. Receivers know a duplicate by it.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// The header with the time of this attempt, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The header with the signatures.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Random characters of an id.
const ID_LENGTH: usize = 24;

/// An id that was never given: `msg_…`.
///
/// # Errors
/// The operating system gave no random bytes.
pub fn message_id(rng: &dyn Rng) -> Result<String, NoRandomness> {
    Ok(format!("msg_{}", alphanumeric(rng, ID_LENGTH)?))
}

/// Signs requests with one secret, and with the one before it too while that is replaced.
#[derive(Debug)]
pub struct Signer {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

impl Signer {
    /// Of the secret in force, and the one before it.
    pub fn new(current: &SigningSecret, previous: Option<&SigningSecret>) -> Self {
        let key = |secret: &SigningSecret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Signer { current: key(current), previous: previous.map(key) }
    }

    /// The value of the header `webhook-signature`. `timestamp` is in seconds since 1970.
    pub fn signature(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        let signatures = keys.map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{timestamp}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }

    /// Adds all that a receiver needs to know who a request is from. An id that can't stand in a
    /// header, which none of ours is, is left out, and the receiver refuses the request.
    pub fn sign(&self, headers: &mut HeaderMap, id: &str, timestamp: u64, body: &[u8]) {
        headers.insert(TIMESTAMP, HeaderValue::from(timestamp));
        for (name, value) in [(ID, id), (SIGNATURE, &self.signature(id, timestamp, body))] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemRng;

    const ID_OF_VECTOR: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const EXPECTED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret(text: &str) -> SigningSecret {
        SigningSecret::parse(text).unwrap()
    }

    fn signer() -> Signer {
        Signer::new(&secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), None)
    }

    #[test]
    fn the_vector_of_the_reference_implementations_is_met() {
        let signer = signer();
        assert_eq!(signer.signature(ID_OF_VECTOR, TIME, BODY), EXPECTED);
        let mut headers = HeaderMap::new();
        signer.sign(&mut headers, ID_OF_VECTOR, TIME, BODY);
        let header = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(header("webhook-id"), ID_OF_VECTOR);
        assert_eq!(header("webhook-timestamp"), "1614265330");
        assert_eq!(header("webhook-signature"), EXPECTED);
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let current = secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let previous = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let both = Signer::new(&current, Some(&previous)).signature(ID_OF_VECTOR, TIME, BODY);
        let alone = Signer::new(&current, None).signature(ID_OF_VECTOR, TIME, BODY);
        assert_ne!(alone, EXPECTED);
        assert_eq!(both, format!("{alone} {EXPECTED}"));
    }

    #[test]
    fn each_part_is_signed() {
        let signer = signer();
        for other in [
            signer.signature("msg_other", TIME, BODY),
            signer.signature(ID_OF_VECTOR, TIME + 1, BODY),
            signer.signature(ID_OF_VECTOR, TIME, b"{}"),
        ] {
            assert_ne!(other, EXPECTED);
        }
    }

    #[test]
    fn ids_differ_and_no_key_is_printed() {
        let ids = [(); 2].map(|()| message_id(&SystemRng).unwrap());
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[0].len(), 28);
        let signer = signer();
        assert!(!format!("{signer:?}").contains("MfKQ"), "{signer:?}");
    }
}
