//! The first request of a connection. A WebSocket handshake is answered here, without hyper, whose
//! buffers and upgrade machinery every connection would pay for; anything else goes on to hyper
//! with what was read.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Request, Uri,
    header::{self, HeaderName},
};
use tokio::io::AsyncReadExt;

use super::{admission::FORWARDED_FOR, stream::Stream, upgrade::Offer};

/// Longest head that is looked at here, and most headers.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// Headers that are of use later.
const OF_USE: [HeaderName; 3] = [FORWARDED_FOR, header::ORIGIN, header::USER_AGENT];

/// What a connection began with.
pub(super) enum First {
    /// A handshake that `wanted` it; its answer, 101, and the rest of what was read are in the
    /// stream.
    WebSocket(Box<Request<()>>, Stream),
    /// Something else; what was read is back in the stream. `mended`: its target has bytes that
    /// hyper would refuse, and so may the targets of the client's next requests, each of which
    /// has to come to us first.
    Http { stream: Stream, mended: bool },
    /// Nothing, in time.
    Nothing,
}

/// Reads the head of the first request, for as long as it may be a WebSocket handshake. `all`: a
/// handshake keeps all of its headers.
pub(super) async fn first(
    mut stream: Stream,
    patience: Duration,
    all: bool,
    wanted: impl Fn(&Request<()>) -> bool,
) -> First {
    let mut head = BytesMut::with_capacity(1024);
    let mut line = Line::Partial;
    let read = async {
        loop {
            let before = head.len();
            match stream.read_buf(&mut head).await {
                Ok(0) => return None,
                Err(error) => {
                    tracing::debug!(peer = %stream.connection().peer, %error, "no first request");
                    return None;
                }
                Ok(_) => {}
            }
            // Who sends a head byte by byte must not have all of it looked through for each of
            // them.
            if !is_news(&head, before) {
                continue;
            }
            if line == Line::Partial {
                line = mend(&mut head);
            }
            match if line == Line::Partial { Head::Partial } else { handshake(&head, all) } {
                Head::Partial => {}
                Head::Other => return Some(None),
                Head::Handshake { request, answer, length } => {
                    return Some(Some((request, answer, length)));
                }
            }
        }
    };
    let Ok(Some(found)) = tokio::time::timeout(patience, read).await else { return First::Nothing };
    let Some((request, answer, length)) = found.filter(|(request, ..)| wanted(request)) else {
        stream.unread(head.freeze());
        return First::Http { stream, mended: line == Line::Mended };
    };
    stream.answer_with(answer.into());
    stream.unread(Bytes::copy_from_slice(&head[length..]));
    First::WebSocket(request, stream)
}

/// The request line, as far as it was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// More of it has to come.
    Partial,
    /// Left as it came.
    Fine,
    /// Bytes of its query were encoded.
    Mended,
}

/// Encodes what a query may hold for Node's server but not for hyper: JSON in it, as some apps send
/// it, has quotes.
fn mend(head: &mut BytesMut) -> Line {
    let is_strange = |byte: &u8| matches!(byte, b'"' | b'<' | b'>');
    let seen = |beginning: &[u8]| head.iter().zip(beginning).all(|(a, b)| a == b);
    if !seen(b"GET /") && !seen(b"POST /") {
        return Line::Fine;
    }
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return if head.len() < MAX_HEAD { Line::Partial } else { Line::Fine };
    };
    let Some(query) = head[..end]
        .iter()
        .position(|byte| *byte == b'?')
        .filter(|query| head[*query..end].iter().any(is_strange))
    else {
        return Line::Fine;
    };
    let mut mended = BytesMut::with_capacity(2 * head.len());
    mended.extend_from_slice(&head[..query]);
    for byte in &head[query..end] {
        match byte {
            b'"' => mended.extend_from_slice(b"%22"),
            b'<' => mended.extend_from_slice(b"%3C"),
            b'>' => mended.extend_from_slice(b"%3E"),
            byte => mended.extend_from_slice(&[*byte]),
        }
    }
    mended.extend_from_slice(&head[end..]);
    *head = mended;
    Line::Mended
}

/// Where a request must begin that may be a handshake.
const BEGINNING: &[u8] = b"GET /";

/// Whether what came behind the first `before` bytes may make of a head something else than a part
/// of one: the end of a line does, and too much of it. At most so many lines are read as there may
/// be headers.
fn is_news(head: &[u8], before: usize) -> bool {
    before < BEGINNING.len() || head.len() >= MAX_HEAD || head[before..].contains(&b'\n')
}

enum Head {
    Partial,
    Other,
    /// The request with the headers that are of use later, and no more unless all are; its answer;
    /// the length of the head.
    Handshake {
        request: Box<Request<()>>,
        answer: String,
        length: usize,
    },
}

/// RFC 6455, 4.2.1.
fn handshake(head: &[u8], all: bool) -> Head {
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
    let value = |name: &str| {
        parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    // Who names two hosts is refused, with all others of that kind.
    let one_host =
        parsed.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("host")).count() < 2;
    let bodiless = value("content-length").is_none() && value("transfer-encoding").is_none();
    let uri = parsed.path.and_then(|p| Uri::try_from(p).ok());
    let offer = Offer::read(parsed.headers.iter().map(|h| (h.name, h.value)));
    let (Some(uri), Some(1), true, Ok(offer)) = (uri, parsed.version, bodiless && one_host, offer)
    else {
        return Head::Other;
    };
    let mut request = Box::new(Request::new(()));
    *request.uri_mut() = uri;
    let is_of_use =
        |name: &str| OF_USE.iter().any(|known| name.eq_ignore_ascii_case(known.as_str()));
    for header in parsed.headers.iter().filter(|header| all || is_of_use(header.name)) {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) else {
            return Head::Other;
        };
        request.headers_mut().append(name, value);
    }
    Head::Handshake { request, answer: answer(&offer), length }
}

/// In one piece: some clients lose what follows a head that comes in two.
fn answer(offer: &Offer<'_>) -> String {
    let protocol = offer
        .protocol
        .map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"))
        .unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n{protocol}\r\n",
        offer.accept()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /chat/?v=4&by=socket HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://a\r\nCookie: secret\r\n\r\n";

    #[test]
    fn a_handshake_is_known_once_its_head_is_whole() {
        let Head::Handshake { request, answer, length } =
            handshake(format!("{GOOD}\u{81}").as_bytes(), false)
        else {
            panic!("a handshake")
        };
        assert!(
            answer.ends_with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            "{answer}"
        );
        assert_eq!(length, GOOD.len());
        assert_eq!(request.uri(), "/chat/?v=4&by=socket");
        assert_eq!(
            (request.headers().len(), &request.headers()["origin"]),
            (1, &HeaderValue::from_static("http://a"))
        );
        for end in 0..GOOD.len() {
            assert!(matches!(handshake(&GOOD.as_bytes()[..end], true), Head::Partial), "{end}");
        }
    }

    #[test]
    fn all_headers_are_kept_where_somebody_reads_them() {
        let twice = GOOD.replace("Cookie", "X-More: 1\r\nx-more: 2\r\nCookie");
        let Head::Handshake { request, .. } = handshake(twice.as_bytes(), true) else {
            panic!("a handshake")
        };
        let headers = request.headers();
        assert_eq!(headers.len(), 9);
        assert!(headers["cookie"] == "secret" && headers["host"] == "x");
        assert!(headers.get_all("x-more").iter().eq(["1", "2"]));
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_parsed_once_a_line() {
        let head = GOOD.replace("secret", &"x".repeat(1_000));
        let parsed: Vec<usize> =
            (1..=head.len()).filter(|end| is_news(&head.as_bytes()[..*end], end - 1)).collect();
        assert_eq!(parsed.len(), BEGINNING.len() + head.lines().count());
        // And what was not parsed would have been a part of one.
        for end in (1..head.len()).filter(|end| !parsed.contains(end)) {
            assert!(matches!(handshake(&head.as_bytes()[..end], false), Head::Partial), "{end}");
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
            assert!(
                matches!(handshake(other.as_bytes(), true), Head::Other),
                "{}",
                &other[..other.len().min(80)]
            );
        }
    }

    #[test]
    fn the_answer_names_the_first_subprotocol_that_was_offered() {
        let offering = GOOD.replace("Cookie: secret", "Sec-WebSocket-Protocol: chat, superchat");
        let Head::Handshake { answer, .. } = handshake(offering.as_bytes(), false) else {
            panic!("a handshake")
        };
        assert!(answer.ends_with("xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"), "{answer}");
        assert!(matches!(
            handshake(offering.replace("chat,", "a b,").as_bytes(), false),
            Head::Other
        ));
    }

    #[test]
    fn what_hyper_refuses_in_a_query_is_encoded_however_it_comes() {
        let raw = r#"POST /chat/?v=4&user={"a":"<b>"}&by=post HTTP/1.1"#;
        let mended = "POST /chat/?v=4&user={%22a%22:%22%3Cb%3E%22}&by=post HTTP/1.1";
        let rest = "\r\nX: \"<\r\n\r\n\"body\"";
        let whole = format!("{raw}{rest}");
        for end in 1..whole.len() {
            let mut head = BytesMut::from(&whole.as_bytes()[..end]);
            let line = mend(&mut head);
            assert_eq!(line == Line::Partial, end < raw.len() + 2, "{end}");
            if line != Line::Partial {
                assert_eq!(head, format!("{mended}{}", &rest[..end - raw.len()]));
            }
        }
        for fine in [
            format!("{mended}\r\n"),
            "GET /\"a\"/ HTTP/1.1\r\n\"?\"".to_owned(),
            "\u{16}\u{3}\u{1}?\"\n".to_owned(),
            "x".to_owned(),
        ] {
            let mut head = BytesMut::from(fine.as_bytes());
            assert!(mend(&mut head) == Line::Fine, "{fine}");
            assert_eq!(head, fine);
        }
        let mut long = BytesMut::from(format!("GET /?{}", "\"".repeat(MAX_HEAD)).as_bytes());
        assert!(mend(&mut long) == Line::Fine, "hyper says that it is too long");
    }
}
