//! What a WebSocket handshake has to say (RFC 6455, 4.2.1), and what is answered to it. Node's
//! server asks for the same.
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tungstenite::handshake::derive_accept_key;

use super::stream::Stream;

/// The one version of the protocol that is spoken here.
pub const VERSION: &str = "13";

/// Why a request is no WebSocket handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Typical of a proxy that does not pass these headers on: whoever answers 101 then answers
    /// somebody who has not asked. Or it is no GET of HTTP/1.1.
    #[error(
        "a WebSocket needs `Upgrade: websocket` and `Connection: Upgrade`, which a proxy has to pass on"
    )]
    NotAsked,
    /// `Sec-WebSocket-Version` is missing, or is not [`VERSION`].
    #[error("a WebSocket needs `Sec-WebSocket-Version: {VERSION}`")]
    Version,
    /// `Sec-WebSocket-Key` is missing, or is not 16 bytes in base64.
    #[error("a WebSocket needs a `Sec-WebSocket-Key` of 16 bytes in base64")]
    Key,
    /// `Sec-WebSocket-Protocol` is there, but is not a list of names.
    #[error("`Sec-WebSocket-Protocol` is no list of names")]
    Protocols,
}

/// A handshake that may be answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    key: &'a [u8],
    /// The first subprotocol that was offered: a browser that has offered some closes a socket
    /// whose answer names none of them. They have no meaning here, so it is Node's choice.
    pub protocol: Option<&'a str>,
}

impl<'a> Offer<'a> {
    /// Reads a request's headers.
    ///
    /// # Errors
    /// What is missing, or wrong.
    pub fn read(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Flaw> {
        let (mut upgrade, mut connection, mut version, mut key, mut protocol) =
            (false, false, None, None, Ok(None));
        for (name, value) in headers {
            match name {
                n if n.eq_ignore_ascii_case("upgrade") => upgrade |= lists(value, b"websocket"),
                n if n.eq_ignore_ascii_case("connection") => connection |= lists(value, b"upgrade"),
                n if n.eq_ignore_ascii_case("sec-websocket-version") => version = Some(value),
                n if n.eq_ignore_ascii_case("sec-websocket-key") => key = key.or(Some(value)),
                n if n.eq_ignore_ascii_case("sec-websocket-protocol") => {
                    protocol = protocol.and_then(|before| Ok(before.or(first_protocol(value)?)));
                }
                _ => {}
            }
        }
        if !upgrade || !connection {
            return Err(Flaw::NotAsked);
        }
        if version != Some(VERSION.as_bytes()) {
            return Err(Flaw::Version);
        }
        Ok(Offer { key: key.filter(|key| is_key(key)).ok_or(Flaw::Key)?, protocol: protocol? })
    }

    /// The value of `Sec-WebSocket-Accept`.
    pub fn accept(&self) -> String {
        derive_accept_key(self.key)
    }
}

/// An upgrade that was agreed to, and takes place once its answer has been written.
pub struct Agreed(OnUpgrade);

impl Agreed {
    /// The connection, once it is no longer HTTP's. `None`: it broke.
    pub async fn stream(self) -> Option<Stream> {
        let upgraded = self.0.await.ok()?;
        // Always: nothing else reaches hyper.
        let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
        let mut stream = parts.io.into_inner();
        if !parts.read_buf.is_empty() {
            // A copy: hyper's buffer is larger.
            stream.unread(Bytes::copy_from_slice(&parts.read_buf));
        }
        Some(stream)
    }
}

/// Whether a request asks for a WebSocket, whatever else is wrong with it.
pub fn is_asked<B>(request: &Request<B>) -> bool {
    let names = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("websocket"))
    };
    request.method() == Method::GET && request.headers().get_all(header::UPGRADE).iter().any(names)
}

/// Agrees to an upgrade that comes as a request of HTTP, and not as its connection's first.
///
/// # Errors
/// Why the request is no handshake.
pub fn agree<B>(request: &mut Request<B>) -> Result<(Agreed, Response<Body>), Flaw> {
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let offer = Offer::read(headers)?;
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(Flaw::NotAsked);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&offer.accept()).map_err(|_| Flaw::Key)?;
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(name) = offer.protocol {
        let name = HeaderValue::from_str(name).map_err(|_| Flaw::Protocols)?;
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok((Agreed(hyper::upgrade::on(request)), response))
}

/// Whether one of the words of a comma-separated list is this one, in any case.
fn lists(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|w| w.trim_ascii().eq_ignore_ascii_case(word))
}

/// 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let in_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(in_base64))
}

/// The first of a list of tokens (RFC 9110, 5.6.2), all of which have to be some; an empty list
/// offers none.
fn first_protocol(value: &[u8]) -> Result<Option<&str>, Flaw> {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let value = value.trim_ascii();
    if value.is_empty() {
        return Ok(None);
    }
    let mut first = None;
    for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if token.is_empty() || !token.iter().all(is_token_byte) {
            return Err(Flaw::Protocols);
        }
        first = first.or(Some(token));
    }
    Ok(first.and_then(|token| std::str::from_utf8(token).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("Upgrade", "h2c, WebSocket"),
        ("connection", "keep-alive ,Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn read<'a>(headers: &'a [(&'a str, &'a str)]) -> Result<Offer<'a>, Flaw> {
        Offer::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn nothing_may_be_missing() {
        assert_eq!(
            read(&GOOD).map(|offer| offer.accept()).as_deref(),
            Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        let flaws = [Flaw::NotAsked, Flaw::NotAsked, Flaw::Version, Flaw::Key];
        for (i, flaw) in flaws.into_iter().enumerate() {
            let without: Vec<_> = GOOD
                .into_iter()
                .enumerate()
                .filter(|(n, _)| *n != i)
                .map(|(_, header)| header)
                .collect();
            assert_eq!(read(&without), Err(flaw));
            let mut wrong = GOOD;
            wrong[i].1 = "websockets upgrades 8 dGhlIHNhbXBsZSBub25jZQ=";
            assert_eq!(read(&wrong), Err(flaw));
        }
        // Some clients send two headers where others send a list.
        let twice = [&[("Connection", "keep-alive")], &GOOD[..]].concat();
        assert!(read(&twice).is_ok());
    }

    #[test]
    fn only_a_get_of_http_1_1_is_a_handshake() {
        for (method, version, flaw) in [
            (Method::GET, Version::HTTP_11, None),
            (Method::GET, Version::HTTP_10, Some(Flaw::NotAsked)),
            (Method::HEAD, Version::HTTP_11, Some(Flaw::NotAsked)),
            (Method::POST, Version::HTTP_11, Some(Flaw::NotAsked)),
        ] {
            let mut request = Request::builder().method(&method).version(version);
            for (name, value) in GOOD {
                request = request.header(name, value);
            }
            let found = agree(&mut request.body(()).unwrap()).err();
            assert_eq!(found, flaw, "{method} {version:?}");
        }
    }

    #[test]
    fn who_asks_for_a_websocket_is_known_though_something_is_wrong() {
        for (method, upgrade, is) in [
            (Method::GET, Some("websocket"), true),
            (Method::GET, Some("h2c, WebSocket"), true),
            (Method::GET, Some("websockets"), true),
            (Method::GET, Some("h2c"), false),
            (Method::GET, None, false),
            (Method::POST, Some("websocket"), false),
            (Method::HEAD, Some("websocket"), false),
        ] {
            let mut request = Request::builder().method(&method);
            if let Some(upgrade) = upgrade {
                request = request.header(header::UPGRADE, upgrade);
            }
            assert_eq!(is_asked(&request.body(()).unwrap()), is, "{method} {upgrade:?}");
        }
    }

    #[test]
    fn the_first_subprotocol_is_chosen() {
        for (offers, chosen) in [
            (&[][..], Ok(None)),
            (&[""], Ok(None)),
            (&["a"], Ok(Some("a"))),
            (&[" v1.chat ,b"], Ok(Some("v1.chat"))),
            (&["", "b", "a"], Ok(Some("b"))),
            (&["a b"], Err(Flaw::Protocols)),
            (&["a,"], Err(Flaw::Protocols)),
            (&["a", "b,\u{e9}"], Err(Flaw::Protocols)),
            (&["x\"y\""], Err(Flaw::Protocols)),
        ] {
            let headers: Vec<_> = GOOD
                .into_iter()
                .chain(offers.iter().map(|o| ("SEC-WebSocket-Protocol", *o)))
                .collect();
            assert_eq!(read(&headers).map(|offer| offer.protocol), chosen, "{offers:?}");
        }
    }
}
