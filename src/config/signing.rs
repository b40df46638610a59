//! Secrets of Standard Webhooks 1.0, by which requests to a business server are signed:
//! `whsec_` and the base64 of 24 to 64 random bytes.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::kind::{Kind, Shape};

/// What every such secret begins with.
const PREFIX: &str = "whsec_";

/// Bytes of a key, as the specification has it.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A key to sign with. Neither `Debug` nor the printed configuration show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let key = text.strip_prefix(PREFIX).and_then(|base64| STANDARD.decode(base64).ok());
        match key {
            Some(key) if LENGTHS.contains(&key.len()) => Ok(SigningSecret(key)),
            _ => Err("expected whsec_ and the base64 of 24 to 64 bytes".into()),
        }
    }

    /// The key's bytes, to sign with. Not for logs.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

/// A secret to sign with, or none.
pub const SIGNING_SECRET: Kind<Option<SigningSecret>> = Kind {
    name: "SECRET",
    values: "whsec_ and the base64 of 24 to 64 bytes, or empty",
    shape: Shape::Text,
    secret: true,
    words: &[],
    parse: |text| match text {
        "" => Ok(None),
        text => SigningSecret::parse(text).map(Some),
    },
    print: |secret| secret.as_ref().map_or("", |_| "***").to_owned(),
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_malformed_secret_is_refused() {
        let whsec = |bytes: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7; bytes]));
        for good in [24, 32, 64] {
            let secret = (SIGNING_SECRET.parse)(&whsec(good)).unwrap().unwrap();
            assert_eq!(secret.expose(), vec![7; good]);
        }
        for bad in [&whsec(23), &whsec(65), "whsec_", "whsec_***", "***", "MfKQ9r8GKYqrTwjU"] {
            let why = (SIGNING_SECRET.parse)(bad).unwrap_err();
            assert!(why.starts_with("expected whsec_ and"), "{bad}: {why}");
        }
        let unpadded = whsec(25).trim_end_matches('=').to_owned();
        assert!((SIGNING_SECRET.parse)(&unpadded).is_err());
        assert_eq!((SIGNING_SECRET.parse)(""), Ok(None));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = (SIGNING_SECRET.parse)("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!((SIGNING_SECRET.print)(&secret), "***");
        assert_eq!(format!("{secret:?}"), "Some(SigningSecret(***))");
    }
}
