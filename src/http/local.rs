//! Where a request comes from: whether straight from this machine, and to which host it believes that
//! it goes.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Scheme};

/// Where a request comes from, put into its extensions by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Whom a request is from, put into its extensions by the listener: the peer, or whom that names
/// where it is a proxy that is believed.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub IpAddr);

/// A host as a request names it: `localhost`, `127.0.0.1:4000`, `[::1]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host<'a> {
    /// An address of IPv6 is in its brackets.
    pub(super) name: &'a str,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Nothing where the name or the port can't be one.
    fn parse(text: &'a str) -> Option<Self> {
        let end = if text.starts_with('[') {
            text.find(']')? + 1
        } else {
            text.find(':').unwrap_or(text.len())
        };
        let (name, rest) = text.split_at(end);
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|port| *port > 0)?)
            }
            None | Some(_) => return None,
        };
        let good = match name.strip_prefix('[') {
            Some(rest) => rest.trim_end_matches(']').parse::<Ipv6Addr>().is_ok(),
            None => {
                !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        good.then_some(Host { name, port })
    }

    /// The one that a request names; nothing where it names none, or two.
    fn of(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Self> {
        if !names_one_host(headers, uri) {
            return None;
        }
        match uri.authority() {
            Some(target) => Self::parse(target.as_str()),
            None => Self::parse(headers.get(header::HOST)?.to_str().ok()?),
        }
    }

    fn is_same(self, other: Host<'_>, default_port: u16) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }

    /// `localhost`, or a loopback address.
    fn is_loopback(self) -> bool {
        let address: Option<IpAddr> = self.name.trim_matches(['[', ']']).parse().ok();
        let name = self.name.strip_suffix('.').unwrap_or(self.name);
        address.map_or_else(
            || name.eq_ignore_ascii_case("localhost"),
            |address| address.to_canonical().is_loopback(),
        )
    }
}

/// Whether a request does not name two hosts: by two headers, or by a header and a target. Of such
/// a one a proxy in front and this server may believe different things, so nobody answers it.
pub(super) fn names_one_host(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), uri.authority()) {
        (_, Some(_), _) => false,
        (Some(host), None, Some(target)) => {
            let (host, target) =
                (host.to_str().ok().and_then(Host::parse), Host::parse(target.as_str()));
            let port = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
            host.zip(target).is_some_and(|(host, target)| host.is_same(target, port))
        }
        (_, None, _) => true,
    }
}

/// Headers that only proxies add, or the networks and platforms in front of a server.
const PROXIES: [&str; 6] =
    ["via", "cdn-loop", "forwarded", "forwarded-for", "x-cloud-trace-context", "x-varnish"];
/// How families of such headers begin.
const BEGINNINGS: [&str; 15] = [
    "x-forwarded",
    "x-original-",
    "x-envoy-",
    "x-azure-",
    "x-appengine-",
    "x-amz-cf-",
    "x-amzn-",
    "x-arr-",
    "x-proxy",
    "akamai-",
    "cf-",
    "cloudfront-",
    "fastly-",
    "fly-",
    "tailscale-",
];
/// How those end that tell of another sender: `X-Real-IP`, `True-Client-IP`, `X-Sucuri-ClientIP`.
const ENDINGS: [&str; 2] = ["-ip", "-clientip"];

/// Whether a proxy has passed a request on, and says so.
fn is_passed_on(headers: &HeaderMap) -> bool {
    headers.keys().map(HeaderName::as_str).any(|name| {
        PROXIES.contains(&name)
            || BEGINNINGS.iter().any(|b| name.starts_with(b))
            || ENDINGS.iter().any(|e| name.ends_with(e))
    })
}

/// The header by which a browser says whether a page asks its own site. Not the others of its
/// family: Node's fetch sends one of them.
const SITE: &str = "sec-fetch-site";

/// The one rule for what is local, as far as it is about the way of a request: no proxy has passed
/// it on, and where only this machine is to be served (`loopback`) it comes from there, and by a
/// name for it. Any other name was bound to a loopback address by somebody else, so that
/// a page of theirs counts as one of this machine's (DNS rebinding). The host that it names;
/// nothing where it is not so.
fn direct<'a>(
    peer: Peer,
    headers: &'a HeaderMap,
    uri: &'a Uri,
    loopback: bool,
) -> Option<Host<'a>> {
    let host = Host::of(headers, uri)?;
    let near = peer.0.ip().to_canonical().is_loopback() && host.is_loopback();
    ((near || !loopback) && !is_passed_on(headers)).then_some(host)
}

/// Whether a request was made on this machine, and by a program: not by a page.
pub(super) fn is_local(peer: Peer, headers: &HeaderMap, uri: &Uri) -> bool {
    direct(peer, headers, uri, true).is_some()
        && !headers.contains_key(header::ORIGIN)
        && !headers.contains_key(SITE)
}

/// Whether a request was made directly, by a page from this same address or by a program. Then the
/// host that it names.
pub(super) fn own_page<'a>(
    peer: Peer,
    headers: &'a HeaderMap,
    uri: &'a Uri,
    loopback: bool,
) -> Option<Host<'a>> {
    let host = direct(peer, headers, uri, loopback)?;
    let from_here = |origin: &HeaderValue| {
        let origin =
            origin.to_str().ok().and_then(|origin| Host::parse(origin.strip_prefix("http://")?));
        origin.is_some_and(|origin| origin.is_same(host, 80))
    };
    (headers.get_all(header::ORIGIN).iter().all(from_here)
        && headers.get_all(SITE).iter().all(|site| site == "same-origin"))
    .then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer(text.parse().unwrap())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn route() -> Uri {
        Uri::from_static("/user/create_token")
    }

    #[test]
    fn local_requests_come_from_and_go_to_loopback_and_passed_no_proxy() {
        for host in [
            "localhost",
            "LOCALHOST:4000",
            "localhost.",
            "127.0.0.1:4000",
            "127.1.2.3",
            "[::1]:4000",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_local(peer("127.0.0.1:9"), &headers(&[("host", host)]), &route()), "{host}");
        }
        assert!(is_local(
            peer("[::ffff:127.0.0.1]:9"),
            &headers(&[("host", "localhost")]),
            &route()
        ));
        assert!(is_local(peer("[::1]:9"), &headers(&[("host", "localhost")]), &route()));
        assert!(!is_local(peer("10.0.0.1:9"), &headers(&[("host", "localhost")]), &route()));
        assert!(!is_local(peer("127.0.0.1:9"), &HeaderMap::new(), &route()));
        for host in [
            "evil.example:4000",
            "localhost..",
            "0.0.0.0",
            "[::]",
            "127.1",
            "::1",
            "[127.0.0.1]",
            "[::1",
            "[::1]]",
            "localhost:",
            "localhost:0",
            "localhost:abc",
            "localhost:99999",
            "localhost:+80",
            "[::1]:x",
            "[::1]x",
            "localhost@evil.example",
            "évil",
        ] {
            assert!(
                !is_local(peer("127.0.0.1:9"), &headers(&[("host", host)]), &route()),
                "{host}"
            );
        }
        for foreign in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-anything",
            "via",
            "x-real-ip",
            "cf-connecting-ip",
            "true-client-ip",
            "x-cluster-client-ip",
            "x-original-forwarded-for",
            "cdn-loop",
            "x-azure-socketip",
            "x-sucuri-clientip",
            "origin",
            "sec-fetch-site",
        ] {
            assert!(
                !is_local(
                    peer("127.0.0.1:9"),
                    &headers(&[("host", "localhost"), (foreign, "x")]),
                    &route()
                ),
                "{foreign}"
            );
        }
        // What programs send by themselves.
        let own = [
            ("host", "localhost"),
            ("user-agent", "node"),
            ("sec-fetch-mode", "cors"),
            ("accept-language", "*"),
            ("x-request-id", "7"),
        ];
        assert!(is_local(peer("127.0.0.1:9"), &headers(&own), &route()));
    }

    #[test]
    fn two_hosts_are_one_too_many() {
        assert!(names_one_host(&HeaderMap::new(), &route()));
        assert!(names_one_host(&headers(&[("host", "anything at all")]), &route()));
        assert!(!names_one_host(&headers(&[("host", "a"), ("host", "a")]), &route()));
        assert!(names_one_host(&HeaderMap::new(), &Uri::from_static("http://a/x")));
        for (host, uri, one) in [
            ("a", "http://A:80/x", true),
            ("a:443", "https://a/x", true),
            ("a:443", "http://a/x", false),
            ("b", "http://a/x", false),
            ("a:x", "http://a/x", false),
            ("[::1]:4", "http://[::1]:4/x", true),
            ("a", "http://b@a/x", false),
        ] {
            assert_eq!(
                names_one_host(&headers(&[("host", host)]), &Uri::from_static(uri)),
                one,
                "{host} {uri}"
            );
        }
    }

    #[test]
    fn a_page_is_its_own_where_its_origin_is_the_host() {
        let page = Uri::from_static("/token");
        let asks = |pairs: &[(&'static str, &str)], loopback| {
            own_page(peer("127.0.0.1:9"), &headers(pairs), &page, loopback).map(|_| ())
        };
        for (host, origin, own) in [
            ("localhost:5000", "http://localhost:5000", true),
            ("localhost", "http://localhost:80", true),
            ("[::1]:5000", "http://[::1]:5000", true),
            ("localhost:5000", "http://localhost:3000", false),
            ("localhost:5000", "http://127.0.0.1:5000", false),
            ("localhost:5000", "https://localhost:5000", false),
            ("localhost:5000", "http://localhost:5000/", false),
            ("localhost:5000", "null", false),
        ] {
            assert_eq!(
                asks(&[("host", host), ("origin", origin)], true).is_some(),
                own,
                "{host} {origin}"
            );
        }
        let rebound = [
            ("host", "a.example"),
            ("origin", "http://a.example"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!((asks(&rebound, true), asks(&rebound, false)), (None, Some(())));
    }
}
