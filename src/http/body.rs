//! Reading the body of a request: within a size and a time, plain or packed by gzip.
use std::{io::Read, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Time that a body may take.
const BODY: Duration = Duration::from_secs(30);

/// What some editors and libraries write before every text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than it may be, as it came or unpacked.
    TooLarge,
    /// It did not come in time.
    Late,
    /// The connection failed on the way.
    Broken,
    /// It is packed in a way that is not known here.
    UnknownCoding,
    /// It is not the gzip that it says it is.
    Corrupt,
}

/// The whole body, unpacked, without a byte order mark: at most `most` bytes of it.
pub(super) async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Unread> {
    let packed = is_packed(headers).ok_or(Unread::UnknownCoding)?;
    let bytes = match tokio::time::timeout(BODY, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Unread::TooLarge),
        Ok(Err(_)) => return Err(Unread::Broken),
        Err(_) => return Err(Unread::Late),
    };
    let bytes = if packed { unpack(&bytes, most)? } else { bytes };
    let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    Ok(bytes.slice(mark..))
}

/// The media type of a body, in small letters, without its parameters; empty where none is named.
pub(super) fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Whether a body is packed by gzip; nothing where it is packed in another way, or twice.
fn is_packed(headers: &HeaderMap) -> Option<bool> {
    let mut packed = false;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for coding in value.to_str().ok()?.split(',') {
            match coding.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" if !packed => packed = true,
                _ => return None,
            }
        }
    }
    Some(packed)
}

/// What gzip packed. Of more than a body may have no more is unpacked.
fn unpack(packed: &[u8], most: usize) -> Result<Bytes, Unread> {
    let mut bytes = Vec::new();
    let read = MultiGzDecoder::new(packed).take(most as u64 + 1).read_to_end(&mut bytes);
    match read {
        Ok(length) if length > most => Err(Unread::TooLarge),
        Ok(_) => Ok(bytes.into()),
        Err(_) => Err(Unread::Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// A body that comes byte by byte, one in each second.
    fn trickling(bytes: usize) -> Body {
        let next = |left: usize| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let byte = Ok::<_, Infallible>(Bytes::from_static(b"x"));
            left.checked_sub(1).map(|left| (byte, left))
        };
        Body::from_stream(stream::unfold(bytes, next))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_come_slowly_but_not_for_ever() {
        let headers = HeaderMap::new();
        assert_eq!(read(&headers, trickling(20), 100).await, Ok(Bytes::from("x".repeat(20))));
        assert_eq!(read(&headers, trickling(20), 10).await, Err(Unread::TooLarge));
        assert_eq!(read(&headers, trickling(100), 100).await, Err(Unread::Late));
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(read(&headers, never, 100).await, Err(Unread::Late));
    }
}
