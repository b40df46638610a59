//! HTTP as bytes: requests that no library would write, and answers that come before the request
//! has ended.
use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
};

use crate::{BOUND, http::Answer, soon, within};

/// Sends bytes as they are, while reading. Nothing where the server closes without an answer.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let mut answer = Vec::new();
    let reading = async {
        // A connection that is reset has been closed all the same; what came before counts.
        let _ = from.read_to_end(&mut answer).await;
    };
    let writing = async {
        let _ = to.write_all(bytes).await;
        std::future::pending::<()>().await; // the server closes, not we
    };
    soon("the end of a connection", async {
        tokio::select! {
            () = reading => {}
            () = writing => {}
        }
    })
    .await;
    parse(&answer)
}

/// A request with a body of this length.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// A connection that carries several requests.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Connection {
        Self::from_stream(TcpStream::connect(address).await.unwrap())
    }

    pub fn from_stream(stream: TcpStream) -> Connection {
        Connection { stream }
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = soon("room for bytes", self.stream.write_all(bytes)).await;
    }

    /// GET; the answer has a content-length.
    pub async fn get(&mut self, target: &str) -> Option<Answer> {
        self.write(format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes()).await;
        soon(format!("an answer to {target}"), async {
            let mut bytes = Vec::new();
            loop {
                if let Some(answer) = parse(&bytes)
                    && answer
                        .header("content-length")
                        .is_some_and(|l| l.parse() == Ok(answer.body.len()))
                {
                    return Some(answer);
                }
                if self.stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
    }

    /// Waits until the server closes; what it sent.
    pub async fn rest(&mut self) -> Vec<u8> {
        self.rest_within(BOUND).await
    }

    /// As above, for ends that take longer.
    pub async fn rest_within(&mut self, bound: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        within(bound, "the end of a connection", async {
            let _ = self.stream.read_to_end(&mut bytes).await;
        })
        .await;
        bytes
    }

    /// Reads until these bytes have come; what came, as text.
    pub async fn read_until(&mut self, wanted: &[u8]) -> String {
        let mut bytes = Vec::new();
        soon(format!("{:?}", String::from_utf8_lossy(wanted)), async {
            while !bytes.windows(wanted.len()).any(|w| w == wanted) {
                assert!(
                    self.stream.read_buf(&mut bytes).await.unwrap() > 0,
                    "{:?}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        })
        .await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits, without reading, until the server has given the connection up: then nothing can be
    /// written any more.
    pub async fn closed_by_the_other_side(&mut self) {
        soon("the end of a connection that is not read", self.stream.ready(Interest::ERROR))
            .await
            .unwrap();
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}
