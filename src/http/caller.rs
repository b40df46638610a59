//! Who calls: an administrator's credentials, and whether a request comes straight from this machine.
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{answer::Status, params::Params};
use crate::domain::{hub::Hub, ids::Uid, secret::Secret, token::Realm};

/// Where a request comes from, put into its extensions by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Credentials that came with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    None,
    Wrong,
    Admin,
}

/// Checks an administrator's credentials: `uid` and `token` of the query, or `Authorization: Basic`.
pub(super) async fn admin(hub: &Hub, headers: &HeaderMap, params: &Params) -> Result<Presented, Status> {
    let (uid, token) = match headers.get(header::AUTHORIZATION) {
        Some(value) => match value.to_str().ok().and_then(basic) {
            Some(pair) => pair,
            None => return Ok(Presented::Wrong),
        },
        None => match (params.query.get("uid"), params.query.get("token")) {
            (Some(uid), Some(token)) => (uid.clone(), token.clone()),
            (None, None) => return Ok(Presented::None),
            (Some(_), None) | (None, Some(_)) => return Ok(Presented::Wrong),
        },
    };
    let Ok(uid) = Uid::text(&uid) else { return Ok(Presented::Wrong) };
    let right = hub.tokens.verify(Realm::Admin, &uid, &Secret::presented(token)).await.map_err(Status::from)?;
    Ok(if right { Presented::Admin } else { Presented::Wrong })
}

/// `Basic base64(uid:token)`, RFC 7617.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(uid, token)| (uid.to_owned(), token.to_owned()))
}

/// Headers that only a proxy, or a browser's page, sends.
const FOREIGN: [&str; 9] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "via",
    "x-real-ip",
    "origin",
    "sec-fetch-site",
];

/// Whether a request was made on this machine, by a program and to a loopback name: no proxy, no page, no rebound DNS name.
pub(super) fn is_local(peer: Peer, headers: &HeaderMap, uri: &Uri) -> bool {
    let host = uri.host().or_else(|| headers.get(header::HOST).and_then(|h| h.to_str().ok()));
    peer.0.ip().to_canonical().is_loopback()
        && host.is_some_and(is_loopback_name)
        && !headers.keys().any(|name| FOREIGN.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-"))
}

/// `localhost`, `127.0.0.1:4000`, `[::1]` and the like.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || port.starts_with(':') => name,
            _ => return false,
        },
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_requests_come_from_and_go_to_loopback_and_passed_no_proxy() {
        let peer = |text: &str| Peer(text.parse().unwrap());
        let uri = Uri::from_static("/user/create_token");
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
        };
        for host in ["localhost", "LOCALHOST:4000", "127.0.0.1:4000", "127.1.2.3", "[::1]:4000"] {
            let mut h = HeaderMap::new();
            h.insert("host", host.parse().unwrap());
            assert!(is_local(peer("127.0.0.1:9"), &h, &uri), "{host}");
        }
        assert!(is_local(peer("[::ffff:127.0.0.1]:9"), &headers(&[("host", "localhost")]), &uri));
        assert!(!is_local(peer("10.0.0.1:9"), &headers(&[("host", "localhost")]), &uri));
        assert!(!is_local(peer("127.0.0.1:9"), &headers(&[("host", "evil.example:4000")]), &uri));
        assert!(!is_local(peer("127.0.0.1:9"), &HeaderMap::new(), &uri));
        for foreign in ["forwarded", "x-forwarded-for", "x-forwarded-anything", "via", "x-real-ip", "origin", "sec-fetch-site"] {
            assert!(!is_local(peer("127.0.0.1:9"), &headers(&[("host", "localhost"), (foreign, "x")]), &uri), "{foreign}");
        }
    }

    #[test]
    fn basic_credentials_are_read() {
        assert_eq!(basic("Basic YWRtaW46YTpi"), Some(("admin".into(), "a:b".into())));
        assert_eq!(basic("Bearer x"), None);
        assert_eq!(basic("Basic %%%"), None);
    }
}
