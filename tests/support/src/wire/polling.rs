//! Engine.io by long polling: each request on a connection of its own.
use std::net::SocketAddr;

use serde_json::Value;

use super::{Version, raw, socket::Socket};
use crate::http::{self, Answer};

/// An engine session.
pub struct Polling {
    pub address: SocketAddr,
    pub version: Version,
    /// The engine's name for it.
    pub sid: String,
}

impl Polling {
    pub async fn open(address: SocketAddr, version: Version) -> Polling {
        let mut polling = Polling { address, version, sid: String::new() };
        let answer =
            http::get(address, &format!("/socket.io/?EIO={}&transport=polling", version.eio()))
                .await;
        let packets = decode(version, &answer.body);
        let open: Value = packets
            .first()
            .and_then(|p| p.strip_prefix('0'))
            .map_or(Value::Null, |o| serde_json::from_str(o).unwrap());
        polling.sid =
            open["sid"].as_str().unwrap_or_else(|| panic!("no open packet: {answer:?}")).to_owned();
        polling
    }

    /// Path and query of the session.
    pub fn target(&self) -> String {
        format!("/socket.io/?EIO={}&transport=polling&sid={}", self.version.eio(), self.sid)
    }

    /// Path and query of a WebSocket that is to carry the session.
    pub fn upgrade_target(&self) -> String {
        self.target().replace("polling", "websocket")
    }

    /// A WebSocket that is to carry the session, and has said nothing yet.
    pub async fn socket(&self) -> Socket {
        Socket::upgrade(self.address, &self.upgrade_target(), &[]).await.unwrap()
    }

    /// Such a WebSocket, with the answer to its probe: with `5` it is the session's.
    pub async fn probed(&self) -> Socket {
        let mut socket = self.socket().await;
        socket.send("2probe").await;
        assert_eq!(socket.receive().await.as_deref(), Some("3probe"));
        socket
    }

    pub async fn get(&self) -> Answer {
        http::get(self.address, &self.target()).await
    }

    /// Posts a body as it is.
    pub async fn post(&self, body: &str) -> Answer {
        http::request(
            self.address,
            "POST",
            &self.target(),
            &[("content-type", "text/plain;charset=UTF-8")],
            body,
        )
        .await
    }

    /// Posts bytes of a content type; nothing where the server closes without an answer.
    pub async fn post_bytes(&self, kind: &str, body: &[u8]) -> Option<Answer> {
        raw::exchange(
            self.address,
            &raw::request("POST", &self.target(), &[("content-type", kind)], body),
        )
        .await
    }

    pub async fn send(&self, packets: &[String]) -> Answer {
        self.post(&encode(self.version, packets)).await
    }

    /// What is there, or will be soon; nothing once the session has ended.
    pub async fn receive(&self) -> Option<Vec<String>> {
        let answer = self.get().await;
        (answer.status == 200).then(|| decode(self.version, &answer.body))
    }
}

/// A payload: packets separated by 0x1e in version 4, each behind its length in UTF-16 units in
/// version 3.
pub fn encode(version: Version, packets: &[String]) -> String {
    match version {
        Version::Four => packets.join("\u{1e}"),
        Version::Three => {
            packets.iter().map(|p| format!("{}:{p}", p.encode_utf16().count())).collect()
        }
    }
}

pub fn decode(version: Version, body: &str) -> Vec<String> {
    match version {
        Version::Four => {
            body.split('\u{1e}').filter(|p| !p.is_empty()).map(str::to_owned).collect()
        }
        Version::Three => {
            let mut packets = Vec::new();
            let mut rest = body;
            while let Some((length, after)) = rest.split_once(':') {
                let mut units =
                    length.parse::<usize>().unwrap_or_else(|_| panic!("no length: {length:?}"));
                let end = after
                    .char_indices()
                    .find(|(_, c)| {
                        let full = units == 0;
                        units = units.saturating_sub(c.len_utf16());
                        full
                    })
                    .map_or(after.len(), |(i, _)| i);
                packets.push(after[..end].to_owned());
                rest = &after[end..];
            }
            packets
        }
    }
}
