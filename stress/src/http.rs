//! HTTP/1.1 as far as measuring needs it: a connection that asks, and a listener that is asked.

use crate::sys::SEC;
use anyhow::{Context, Result, bail};
use memchr::memmem;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// What comes in on a connection, read as one head and body after the other.
struct Incoming {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Incoming {
    fn new(stream: TcpStream) -> Self {
        Incoming { stream, bytes: Vec::new() }
    }

    /// Waits for the next head and body; the result is where the body begins and ends in `bytes`.
    /// None: the connection has ended, and nothing had begun.
    async fn next(&mut self) -> Result<Option<(usize, usize)>> {
        let begin = loop {
            if let Some(end) = memmem::find(&self.bytes, b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                if self.bytes.is_empty() {
                    return Ok(None);
                }
                bail!("closed by the server");
            }
        };
        let head = &self.bytes[..begin];
        if header(head, "transfer-encoding").is_some() {
            let (body, end) = loop {
                if let Some(whole) = unchunked(&self.bytes[begin..])? {
                    break whole;
                }
                self.more().await?;
            };
            // As if it had come in one piece.
            self.bytes.splice(begin..begin + end, body.iter().copied());
            return Ok(Some((begin, begin + body.len())));
        }
        let length = header(head, "content-length").context("no content-length")?;
        let end = begin + length.parse::<usize>()?;
        while self.bytes.len() < end {
            self.more().await?;
        }
        Ok(Some((begin, end)))
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.bytes).await? == 0 {
            bail!("closed by the server");
        }
        Ok(())
    }
}

/// A body that comes in chunks, and how many bytes it took; none: it is not whole yet.
fn unchunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = memmem::find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&bytes[at..at + line])?;
        let size = usize::from_str_radix(size.trim(), 16).context("the size of a chunk")?;
        let begin = at + line + 2;
        at = begin + size + 2;
        if bytes.len() < at {
            return Ok(None);
        }
        body.extend_from_slice(&bytes[begin..begin + size]);
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// How long a connection may have been idle, for another request on it: servers close those that
/// nobody uses for some seconds, and browsers open others then.
pub const FRESH: u64 = 4 * SEC;

/// A kept-alive connection with one request at a time.
pub struct Http(Incoming);

impl Http {
    pub fn new(stream: TcpStream) -> Self {
        Http(Incoming::new(stream))
    }

    /// Sends a request, head and body.
    pub async fn ask(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.0.stream.write_all(request).await?)
    }

    /// The body of the answer to the request that was sent before.
    pub async fn answer(&mut self) -> Result<Vec<u8>> {
        let (begin, end) = self.0.next().await?.context("closed by the server")?;
        let bytes = &self.0.bytes;
        if !bytes.starts_with(b"HTTP/1.1 200 ") {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).to_ascii_lowercase();
            let said = &bytes[begin..end.min(begin + 200)];
            bail!("refused: {line} {}", String::from_utf8_lossy(said));
        }
        Ok(self.taken(begin, end))
    }

    /// The same where refusals are answers too: the status, and the body.
    pub async fn any_answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let (begin, end) = self.0.next().await?.context("closed by the server")?;
        let line = self.0.bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = std::str::from_utf8(line.context("no answer of HTTP/1.1")?)?.parse()?;
        Ok((status, self.taken(begin, end)))
    }

    /// The body of what has come, which is dropped.
    fn taken(&mut self, begin: usize, end: usize) -> Vec<u8> {
        let bytes = &mut self.0.bytes;
        let rest = bytes.split_off(end);
        std::mem::replace(bytes, rest).split_off(begin)
    }
}

/// A header's value.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What every request is answered, and how much later.
#[derive(Clone, Copy)]
pub struct Answer {
    pub bytes: &'static [u8],
    pub after: Duration,
}

/// What is done with each request's head and body.
pub type Hear = Arc<dyn Fn(&[u8], &[u8]) + Send + Sync>;

/// Answers requests from now on.
pub async fn listen(addr: SocketAddrV4, answer: Answer, hear: Hear) -> Result<()> {
    let listener = TcpListener::bind(addr).await.with_context(|| format!("listening on {addr}"))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let hear = hear.clone();
            tokio::spawn(async move { serve(stream, answer, hear).await });
        }
    });
    Ok(())
}

async fn serve(stream: TcpStream, answer: Answer, hear: Hear) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut incoming = Incoming::new(stream);
    while let Some((begin, end)) = incoming.next().await? {
        hear(&incoming.bytes[..begin], &incoming.bytes[begin..end]);
        incoming.bytes.drain(..end);
        if !answer.after.is_zero() {
            sleep(answer.after).await;
        }
        incoming.stream.write_all(answer.bytes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[test]
    fn headers_are_found_whatever_their_case() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 12\r\nwebhook-id:msg_1\r\n\r\n";
        assert_eq!(header(head, "content-length"), Some("12"));
        assert_eq!(header(head, "Webhook-Id"), Some("msg_1"));
        assert_eq!(header(head, "host"), None);
    }

    #[test]
    fn chunks_become_one_body() {
        let chunks = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP";
        let whole = unchunked(chunks).unwrap();
        assert_eq!(whole, Some((b"abc0123456789".to_vec(), chunks.len() - 4)));
        for cut in 0..chunks.len() - 4 {
            assert_eq!(unchunked(&chunks[..cut]).unwrap(), None, "{cut}");
        }
        assert!(unchunked(b"x\r\n").is_err());
    }

    #[tokio::test]
    async fn requests_are_heard_one_by_one_and_answered() {
        // A port that was free a moment ago.
        let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = probe.local_addr().unwrap().to_string().parse().unwrap();
        drop(probe);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        let answer = Answer {
            bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            after: Duration::ZERO,
        };
        let hear: Hear = Arc::new(move |_, body| log.lock().push(body.to_vec()));
        listen(addr, answer, hear).await.unwrap();
        let mut http = Http::new(TcpStream::connect(addr).await.unwrap());
        let both = b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\naPOST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nbc";
        http.ask(both).await.unwrap();
        assert_eq!(http.answer().await.unwrap(), b"ok");
        assert_eq!(http.any_answer().await.unwrap(), (200, b"ok".to_vec()));
        assert_eq!(*heard.lock(), [b"a".to_vec(), b"bc".to_vec()]);
    }
}
