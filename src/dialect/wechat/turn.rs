//! Where a client's call finds its way: the servers for STUN, and for TURN with credentials that
//! end by themselves, in the form that coturn and others take (draft-uberti-behave-turn-rest-00,
//! `use-auth-secret`). The user's name is when they end and the phone, `1700003600:13800138000`;
//! the password is the HMAC-SHA1 of that name, by the secret that the TURN server shares.
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde::Serialize;

use crate::config::SecretText;

/// The servers that are configured.
#[derive(Debug, Clone)]
pub struct Servers {
    /// URLs for STUN: `stun:stun.example:3478`.
    pub stun: Vec<String>,
    /// URLs for TURN: `turn:turn.example:3478?transport=udp`.
    pub turn: Vec<String>,
    /// What the TURN servers share with this one.
    pub secret: SecretText,
    /// How long credentials are good.
    pub lifetime: Duration,
}

/// What a client is told.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Told<'a> {
    /// As `RTCPeerConnection` takes them.
    #[serde(rename = "iceServers")]
    ice_servers: Vec<IceServer<'a>>,
    /// Seconds for which this is good.
    ttl: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct IceServer<'a> {
    urls: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

impl Servers {
    /// What the user with this phone is told. `now` in seconds since 1970.
    pub(super) fn tell(&self, phone: &str, now: u64) -> Told<'_> {
        let ttl = self.lifetime.as_secs();
        let mut ice_servers = Vec::new();
        if !self.stun.is_empty() {
            ice_servers.push(IceServer { urls: &self.stun, username: None, credential: None });
        }
        if !self.turn.is_empty() && !self.secret.is_empty() {
            let username = format!("{}:{phone}", now.saturating_add(ttl));
            let credential = Some(self.credential(&username));
            ice_servers.push(IceServer { urls: &self.turn, username: Some(username), credential });
        }
        Told { ice_servers, ttl }
    }

    fn credential(&self, username: &str) -> String {
        let secret = self.secret.expose().as_bytes();
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        STANDARD.encode(hmac::sign(&key, username.as_bytes()).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::SECRET;

    fn servers(stun: &[&str], turn: &[&str], secret: &str) -> Servers {
        let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
        Servers {
            stun: urls(stun),
            turn: urls(turn),
            secret: (SECRET.parse)(secret).unwrap(),
            lifetime: Duration::from_secs(3600),
        }
    }

    fn told(servers: &Servers) -> String {
        serde_json::to_string(&servers.tell("13800138000", 1_700_000_000)).unwrap()
    }

    #[test]
    fn credentials_are_those_that_coturn_expects() {
        let servers = servers(&["stun:a"], &["turn:b", "turns:b"], "north");
        assert_eq!(
            told(&servers),
            concat!(
                r#"{"iceServers":[{"urls":["stun:a"]},{"urls":["turn:b","turns:b"],"#,
                r#""username":"1700003600:13800138000","#,
                r#""credential":"NwdaTSzICVakXF9P2oUuvaB23M0="}],"ttl":3600}"#
            )
        );
    }

    #[test]
    fn what_is_not_configured_is_not_told() {
        assert_eq!(told(&servers(&[], &[], "")), r#"{"iceServers":[],"ttl":3600}"#);
        let only_stun = r#"{"iceServers":[{"urls":["stun:a"]}],"ttl":3600}"#;
        assert_eq!(told(&servers(&["stun:a"], &["turn:b"], "")), only_stun);
    }
}
