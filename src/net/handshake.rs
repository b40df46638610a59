//! The first request of a connection. A WebSocket handshake is answered here, without hyper, whose buffers and upgrade machinery every
//! connection would pay for; anything else goes on to hyper with what was read.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Uri, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::handshake::derive_accept_key;

use super::stream::Stream;

/// Longest head that is looked at here, and most headers.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// What a connection began with.
pub(super) enum First {
    /// A handshake that `wanted` it and that has been answered with 101; the rest of what was read is back in the stream.
    WebSocket(Box<Request<()>>, Stream),
    /// Something else; what was read is back in the stream.
    Http(Stream),
    /// Nothing, in time.
    Nothing,
}

/// Reads the head of the first request, for as long as it may be a WebSocket handshake.
pub(super) async fn first(mut stream: Stream, patience: Duration, wanted: impl Fn(&Request<()>) -> bool) -> First {
    let mut head = BytesMut::with_capacity(1024);
    let read = async {
        loop {
            match stream.read_buf(&mut head).await {
                Ok(0) => return None,
                Err(error) => {
                    tracing::debug!(peer = %stream.link().peer, %error, "no first request");
                    return None;
                }
                Ok(_) => {}
            }
            match handshake(&head) {
                Head::Partial => {}
                Head::Other => return Some(None),
                Head::Handshake { request, accept, length } => return Some(Some((request, accept, length))),
            }
        }
    };
    let Ok(Some(found)) = tokio::time::timeout(patience, read).await else { return First::Nothing };
    let Some((request, accept, length)) = found.filter(|(request, ..)| wanted(request)) else {
        stream.unread(head.freeze());
        return First::Http(stream);
    };
    // In one piece: some clients lose what follows a head that comes in two.
    let answer =
        format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return First::Nothing;
    }
    stream.unread(Bytes::copy_from_slice(&head[length..]));
    First::WebSocket(request, stream)
}

enum Head {
    Partial,
    Other,
    /// The request with the headers that are of use later, and no more; the key's answer; the length of the head.
    Handshake {
        request: Box<Request<()>>,
        accept: String,
        length: usize,
    },
}

/// RFC 6455, 4.2.1.
fn handshake(head: &[u8]) -> Head {
    const BEGINNING: &[u8] = b"GET /";
    let seen = head.len().min(BEGINNING.len());
    if head[..seen] != BEGINNING[..seen] {
        return Head::Other;
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => return Head::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Head::Other,
    };
    let value = |name: &str| parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let lists = |name: &str, word: &str| {
        value(name).and_then(|v| std::str::from_utf8(v).ok()).is_some_and(|v| v.split(',').any(|w| w.trim().eq_ignore_ascii_case(word)))
    };
    let asked = lists("upgrade", "websocket") && lists("connection", "upgrade") && value("sec-websocket-version") == Some(b"13");
    // Who names two hosts is refused, with all others of that kind.
    let one_host = parsed.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("host")).count() < 2;
    let bodiless = value("content-length").is_none() && value("transfer-encoding").is_none();
    let uri = parsed.path.and_then(|p| Uri::try_from(p).ok());
    let (Some(uri), Some(key), Some(1), true) = (uri, value("sec-websocket-key"), parsed.version, asked && bodiless && one_host) else {
        return Head::Other;
    };
    let mut request = Box::new(Request::new(()));
    *request.uri_mut() = uri;
    for name in [header::ORIGIN, header::USER_AGENT] {
        if let Some(of_use) = value(name.as_str()) {
            let Ok(of_use) = HeaderValue::from_bytes(of_use) else { return Head::Other };
            request.headers_mut().insert(name, of_use);
        }
    }
    Head::Handshake { accept: derive_accept_key(key), request, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://a\r\nCookie: secret\r\n\r\n";

    #[test]
    fn a_handshake_is_known_once_its_head_is_whole() {
        let Head::Handshake { request, accept, length } = handshake(format!("{GOOD}\u{81}").as_bytes()) else { panic!("a handshake") };
        assert_eq!((accept.as_str(), length), ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", GOOD.len()));
        assert_eq!(request.uri(), "/socket.io/?EIO=4&transport=websocket");
        assert_eq!((request.headers().len(), &request.headers()["origin"]), (1, &HeaderValue::from_static("http://a")));
        for end in 0..GOOD.len() {
            assert!(matches!(handshake(&GOOD.as_bytes()[..end]), Head::Partial), "{end}");
        }
    }

    #[test]
    fn anything_else_is_left_to_hyper() {
        for other in [
            "POST / HTTP/1.1\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "\u{16}\u{3}\u{1}".to_owned(),
            GOOD.replace("13", "8"),
            GOOD.replace("Upgrade: WebSocket\r\n", ""),
            GOOD.replace("HTTP/1.1", "HTTP/1.0"),
            GOOD.replace("Cookie", "host"),
            GOOD.replace("Cookie", "Content-Length: 3\r\nCookie"),
            GOOD.replace("secret", &"x".repeat(MAX_HEAD)).trim_end().to_owned(),
        ] {
            assert!(matches!(handshake(other.as_bytes()), Head::Other), "{}", &other[..other.len().min(80)]);
        }
    }
}
