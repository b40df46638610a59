//! The section `[jwt]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::duration::{DURATION, DURATION_OR_ZERO};
use crate::config::kind::{Kind, OPTIONAL_PATH, Shape};
use crate::config::secret::{SECRET, SecretText};
use crate::config::setting::section;
use crate::config::url::{HTTP_URL, HttpUrl};
use crate::config::words::Words;

/// Signature algorithms of JSON Web Tokens (RFC 7518, 3.1, and RFC 8037), by their names there.
const KNOWN: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];

/// Texts, separated by commas, or none.
const TEXTS: Kind<Words> = Kind {
    name: "TEXTS",
    values: "texts, separated by commas, or empty",
    shape: Shape::List,
    secret: false,
    words: &[],
    parse: |text| Ok(Words::parse(text)),
    print: Words::to_string,
};

/// Algorithms, separated by commas, or none.
const ALGORITHMS: Kind<Words> = Kind {
    name: "ALGORITHMS",
    values: "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA, separated by commas, or empty",
    words: &KNOWN,
    parse: |text| {
        let words = Words::parse(text);
        if words.iter().all(|word| KNOWN.contains(&word)) {
            Ok(words)
        } else {
            Err(format!("expected algorithms among {}", KNOWN.join(", ")))
        }
    },
    ..TEXTS
};

section! {
    /// JSON Web Tokens, by which a business server says who a user is and what it may do. Without any key there are none.
    Jwt("jwt") {
        /// The secret that tokens are signed with (HS256, HS384, HS512). It should have 32 bytes or more.
        secret: SecretText = "", SECRET, "AO_JWT__SECRET";
        /// The secret before this one, for as long as tokens that it signed are in use.
        previous_secret: SecretText = "", SECRET, "AO_JWT__PREVIOUS_SECRET";
        /// File of public keys: PEM, one or several, or a JSON Web Key Set. It is read again when it changes.
        keys: Option<PathBuf> = "", OPTIONAL_PATH, "AO_JWT__KEYS";
        /// Where a JSON Web Key Set is fetched. The server starts without it, and refuses nobody for good before it had it.
        jwks_url: Option<HttpUrl> = "", HTTP_URL, "AO_JWT__JWKS_URL";
        /// Time between two fetches of that set. A token with an unknown kid causes one sooner, at most every 10 s.
        jwks_refresh: Duration = "10m", DURATION, "AO_JWT__JWKS_REFRESH";
        /// Algorithms that are accepted; empty: those of the keys. What a token says of its algorithm never decides.
        algorithms: Words = "", ALGORITHMS, "AO_JWT__ALGORITHMS";
        /// Audiences (aud) of which a token must name one; empty: aud is not looked at.
        audience: Words = "", TEXTS, "AO_JWT__AUDIENCE";
        /// Issuers (iss) of which a token must name one; empty: iss is not looked at.
        issuer: Words = "", TEXTS, "AO_JWT__ISSUER";
        /// How far the clocks of whoever signs and of this server may be apart.
        leeway: Duration = "30s", DURATION_OR_ZERO, "AO_JWT__LEEWAY";
        /// Time that a session has to renew its token when that has expired.
        grace: Duration = "25s", DURATION_OR_ZERO, "AO_JWT__GRACE";
        /// Longest time from a token's issue to its expiry.
        max_lifetime: Duration = "24h", DURATION, "AO_JWT__MAX_LIFETIME";
    }
}

impl Jwt {
    /// Whether there are any keys, and so any JSON Web Tokens.
    pub fn is_on(&self) -> bool {
        !self.secret.is_empty() || self.keys.is_some() || self.jwks_url.is_some()
    }
}
