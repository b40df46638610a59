//! Which pages may connect: a browser sends the origin of the page (`https://chat.example:8443`)
//! with each request, and it is compared with this list. Both sides are normalised, so that
//! `WSS://Chat.Example:443/` and `https://chat.example` are one.

use std::fmt;
use std::net::Ipv6Addr;

use super::kind::{Kind, Shape};

/// Which origins may connect. Requests without an Origin header are not from a page, and are not
/// judged here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every one.
    Any,
    /// Pages of this machine: `http://localhost`, `http://127.0.0.1` and `http://[::1]`, on any
    /// port.
    Loopback,
    /// These; at least one.
    List(Vec<Origin>),
}

impl Origins {
    /// Whether a page may connect that sent this Origin header.
    pub fn allow(&self, header: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => Origin::parse(header).is_some_and(|origin| origin.is_loopback()),
            Self::List(list) => Origin::parse(header).is_some_and(|origin| list.contains(&origin)),
        }
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Loopback => f.write_str("loopback"),
            Self::List(list) => {
                let list: Vec<_> = list.iter().map(Origin::as_str).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

/// A normalised origin: lower-case `scheme://host[:port]`, http for ws and https for wss, without
/// the scheme's default port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Reads and normalises an origin. `None` for anything else: a path, a user, a wildcard,
    /// `null`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, default_port) = match scheme {
            "http" | "ws" => ("http", Some(80)),
            "https" | "wss" => ("https", Some(443)),
            other => (other, None), // apps: capacitor://localhost
        };
        let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(in_scheme)
        {
            return None;
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, port)) => (format!("[{}]", v6.parse::<Ipv6Addr>().ok()?), port),
            None => {
                let (host, port) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
                let in_host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
                if host.is_empty() || !host.chars().all(in_host) {
                    return None;
                }
                (host.to_owned(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            Some(digits) if digits.starts_with('+') => return None,
            Some(digits) => Some(digits.parse::<u16>().ok()?),
        };
        match port.filter(|port| Some(*port) != default_port) {
            Some(port) => Some(Self(format!("{scheme}://{host}:{port}"))),
            None => Some(Self(format!("{scheme}://{host}"))),
        }
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_loopback(&self) -> bool {
        ["http://localhost", "http://127.0.0.1", "http://[::1]"]
            .iter()
            .filter_map(|host| self.0.strip_prefix(host))
            .any(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// Origins, separated by commas.
pub const ORIGINS: Kind<Origins> = Kind {
    name: "ORIGINS",
    values: "* (any), loopback, or origins such as https://chat.example, separated by commas",
    shape: Shape::List,
    secret: false,
    words: &["loopback"],
    parse,
    print: Origins::to_string,
};

fn parse(text: &str) -> Result<Origins, String> {
    match text.trim() {
        "*" => return Ok(Origins::Any),
        "loopback" => return Ok(Origins::Loopback),
        _ => {}
    }
    let mut list = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let origin = Origin::parse(item).ok_or_else(|| match item {
            "*" | "loopback" => format!("{item} stands alone, not in a list"),
            _ => format!("{item:?} is no origin: expected scheme://host or scheme://host:port, without path or wildcard"),
        })?;
        if !list.contains(&origin) {
            list.push(origin);
        }
    }
    if list.is_empty() {
        return Err(format!("expected {}", ORIGINS.values));
    }
    Ok(Origins::List(list))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn origins_are_normalised() {
        for (text, normal) in [
            ("https://Chat.Example", "https://chat.example"),
            ("WSS://chat.example:443/", "https://chat.example"),
            ("ws://chat.example:80", "http://chat.example"),
            ("http://chat.example:443", "http://chat.example:443"),
            ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), normal);
        }
        for text in [
            "",
            "null",
            "chat.example",
            "https://",
            "https://a/b",
            "https://a//",
            "https://u@a",
            "https://*.a",
            "https://a:",
            "https://a:x",
            "https://a:70000",
            "https://[::1",
            "https://[::1]x",
            "https://a b",
            "://a",
            "https://bücher.example",
            "https://a:+1",
            "https://a?x",
        ] {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn lists_are_read_and_written() {
        assert_eq!(parse("*"), Ok(Origins::Any));
        assert_eq!(parse("loopback"), Ok(Origins::Loopback));
        let list =
            parse("https://a.example, wss://b.example:8443/,https://A.example:443,").unwrap();
        assert_eq!(list.to_string(), "https://a.example,https://b.example:8443");
        assert_eq!(parse(&list.to_string()), Ok(list));
        for text in [
            "",
            ",",
            "*,https://a.example",
            "https://a.example,loopback",
            "https://*.example",
            "lopback",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn pages_are_allowed_or_not() {
        assert!(Origins::Any.allow("anything"));
        for header in [
            "http://localhost",
            "http://localhost:5000",
            "http://127.0.0.1:1",
            "http://[::1]:5000",
            "http://LOCALHOST",
        ] {
            assert!(Origins::Loopback.allow(header), "{header}");
        }
        for header in
            ["https://localhost", "http://localhost.evil.example", "http://127.0.0.10", "null", ""]
        {
            assert!(!Origins::Loopback.allow(header), "{header}");
        }
        let list = parse("https://a.example").unwrap();
        assert!(list.allow("https://a.example"));
        assert!(!list.allow("http://a.example"));
        assert!(!list.allow("https://a.example:8443"));
    }
}
