//! Plain HTTP/1.1: one request per connection, so that a test decides every byte that matters.
use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers, as they came.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {:?}", self.body))
    }
}

/// GET.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, &[], "").await
}

/// POST of a JSON value.
pub async fn post(address: SocketAddr, path: &str, body: &Value) -> Answer {
    request(address, "POST", path, &[("content-type", "application/json")], &body.to_string()).await
}

/// Any request.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    raw(address, text.as_bytes()).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

/// Sends bytes as they are, and reads until the server closes. An error where the connection fails
/// or the answer is no HTTP.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Answer> {
    soon(format!("an answer of {address}"), async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer);
        let broken = || std::io::Error::other(format!("no answer in HTTP: {text:?}"));
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
        let head = head.to_owned();
        let body = if head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked") {
            unchunk(body)
        } else {
            body.to_owned()
        };
        Ok(Answer { status, head, body })
    })
    .await
}

/// The body without the lengths of its chunks.
fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, chunk)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk's length");
        body.push_str(&chunk[..length]);
        rest = chunk[length..].trim_start_matches("\r\n");
    }
    body
}
