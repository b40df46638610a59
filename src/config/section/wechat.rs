//! The section `[wechat]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::address::OPTIONAL_ADDRESS;
use crate::config::duration::DURATION;
use crate::config::kind::{Kind, OPTIONAL_PATH, Shape};
use crate::config::layers::Layers;
use crate::config::origins::{ORIGINS, Origins};
use crate::config::problem::Problem;
use crate::config::rate::{RATE, RateLimit};
use crate::config::secret::{SECRET, SecretText};
use crate::config::setting::section;
use crate::config::tls::TlsFiles;
use crate::config::words::Words;

/// Whether this is the URL of a server for one of `schemes` (RFC 7064, RFC 7065): the scheme, a
/// colon, and a host, maybe with a port, and a transport where `transport` allows that.
fn is_server(url: &str, schemes: [&str; 2], transport: bool) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
    let in_place = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    schemes.contains(&scheme)
        && !place.is_empty()
        && place.chars().all(in_place)
        && match query {
            None => true,
            Some(query) => transport && ["transport=udp", "transport=tcp"].contains(&query),
        }
}

fn servers(text: &str, are: impl Fn(&str) -> bool, values: &str) -> Result<Words, String> {
    let words = Words::parse(text);
    if let Some(word) = words.iter().find(|word| !are(word)) {
        return Err(format!("{word:?} is none: expected {values}"));
    }
    Ok(words)
}

/// Servers for STUN, or none.
const STUN_URLS: Kind<Words> = Kind {
    name: "URLS",
    values: "URLs such as stun:stun.example:3478, separated by commas, or empty",
    shape: Shape::List,
    secret: false,
    words: &[],
    parse: |text| servers(text, |url| is_server(url, ["stun", "stuns"], false), STUN_URLS.values),
    print: Words::to_string,
};

/// Servers for TURN, or none.
const TURN_URLS: Kind<Words> = Kind {
    values: "URLs such as turn:turn.example:3478?transport=udp, separated by commas, or empty",
    parse: |text| servers(text, |url| is_server(url, ["turn", "turns"], true), TURN_URLS.values),
    ..STUN_URLS
};

section! {
    /// Clients of react-wechat, on a listener of their own.
    Wechat("wechat") {
        /// Address and port for react-wechat, such as 127.0.0.1:3002. Empty: it is not served.
        listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_WECHAT__LISTEN";
        /// PEM file with the certificate for TLS, as websocket.tls_certificate. Empty: no TLS.
        tls_certificate: Option<PathBuf> = "", OPTIONAL_PATH, "AO_WECHAT__TLS_CERTIFICATE";
        /// PEM file with the certificate's private key.
        tls_key: Option<PathBuf> = "", OPTIONAL_PATH, "AO_WECHAT__TLS_KEY";
        /// The secret that users' tokens are signed with. Empty: one is made and kept in the data
        /// folder; where messages are in Redis it has to be set, as all nodes need the same.
        jwt_secret: SecretText = "", SECRET, "AO_WECHAT__JWT_SECRET";
        /// How often one address may register, log in, search, and add contacts; each of them.
        rate_limit: RateLimit = "30 in 60s", RATE, "AO_WECHAT__RATE_LIMIT";
        /// Pages that may read answers of HTTP, by their origin.
        origins: Origins = "*", ORIGINS, "AO_WECHAT__ORIGINS";
        /// Servers for STUN that clients are told, for calls.
        stun_urls: Words = "", STUN_URLS, "AO_WECHAT__STUN_URLS";
        /// Servers for TURN that clients are told, with credentials that end. Needs turn_secret.
        turn_urls: Words = "", TURN_URLS, "AO_WECHAT__TURN_URLS";
        /// The secret that the servers for TURN share: coturn's static-auth-secret.
        turn_secret: SecretText = "", SECRET, "AO_WECHAT__TURN_SECRET";
        /// How long a client's credentials for TURN are good.
        turn_lifetime: Duration = "60m", DURATION, "AO_WECHAT__TURN_LIFETIME";
    }
}

impl Wechat {
    /// TLS here.
    pub fn tls(&self) -> Option<TlsFiles> {
        TlsFiles::of(&self.tls_certificate, &self.tls_key)
    }

    /// Without the secret nobody could use the servers for TURN. `shared`: several nodes may be one
    /// server, and then all have to sign tokens with the same secret.
    pub(in crate::config) fn check(&self, layers: &mut Layers, shared: bool) {
        let secret = "wechat.turn_secret";
        if !self.turn_urls.is_empty() && self.turn_secret.is_empty() && layers.good(secret) {
            let source = layers.source("wechat.turn_urls");
            let message = format!("wechat.turn_urls ({source}) needs {secret}");
            layers.problems.push(Problem::new(source, message));
        }
        let secret = "wechat.jwt_secret";
        if shared && self.listen.is_some() && self.jwt_secret.is_empty() && layers.good(secret) {
            let source = layers.source("wechat.listen");
            let message = format!(
                "wechat.listen ({source}) needs {secret} where messages are in Redis: all nodes \
                 have to have the same"
            );
            layers.problems.push(Problem::new(source, message));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn servers_are_named_by_urls() {
        for (text, stun, turn) in [
            ("", true, true),
            ("stun:stun.example", true, false),
            ("stun:192.0.2.1:3478, stuns:[2001:db8::1]:5349", true, false),
            ("turn:turn.example:3478?transport=udp", false, true),
            ("turns:turn.example:443?transport=tcp,turn:turn.example", false, true),
            ("turn:turn.example?transport=sctp", false, false),
            ("stun:stun.example?transport=udp", false, false),
            ("stun:", false, false),
            ("turn://turn.example", false, false),
            ("stun:a b", false, false),
            ("stun.example:3478", false, false),
            ("https://turn.example", false, false),
        ] {
            assert_eq!((STUN_URLS.parse)(text).is_ok(), stun, "{text}");
            assert_eq!((TURN_URLS.parse)(text).is_ok(), turn, "{text}");
        }
        let why = (TURN_URLS.parse)("turn:a,x").unwrap_err();
        assert!(why.starts_with("\"x\" is none: expected URLs such as turn:"), "{why}");
    }
}
