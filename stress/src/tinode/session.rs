//! One session of a Tinode's client.

use crate::Ctx;
use crate::client::{Reader, Tx, websocket};
use crate::message::number;
use crate::sys;
use anyhow::{Context, Result, bail};
use fastwebsockets::{OpCode, Payload, WebSocketError};
use memchr::memmem;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What begins a message, and what begins an answer. Names stand in this order in what the server
/// writes; where they do not, nothing is counted, which is a fault.
const DATA: &[u8] = br#"{"data":"#;
const CTRL: &[u8] = br#"{"ctrl":"#;
/// What all may who come.
const PAIR: &str = "JRWPAD";
const GROUP: &str = "JRWPS";
/// One session.
pub(super) struct Session {
    rx: Box<Reader>,
    pub tx: Tx,
    ctx: Arc<Ctx>,
    asked: u64,
    /// Its user.
    pub user: String,
    pub token: String,
}

impl Session {
    /// A session of the user with this token, or of a new one.
    pub async fn open(ctx: &Arc<Ctx>, key: &str, token: Option<&str>) -> Result<Self> {
        let stream = sys::dial(ctx.addr, ctx.source(), None).await?;
        let target = format!("/v0/channels?apikey={key}");
        let (rx, tx) = websocket::open(stream, ctx.addr, &target).await?;
        let (user, token, ctx) = (String::new(), token.map(str::to_owned), ctx.clone());
        let mut session = Session { rx, tx, ctx, asked: 0, user, token: String::new() };
        session.ask("hi", json!({ "ver": "0.25.3", "ua": "stress/1.0", "lang": "en" })).await?;
        let said = match token {
            Some(token) => {
                session.ask("login", json!({ "scheme": "token", "secret": token })).await?
            }
            None => {
                let desc = json!({ "defacs": { "auth": PAIR, "anon": PAIR } });
                let acc = json!({
                    "user": "new", "scheme": "anonymous", "login": true, "desc": desc,
                });
                session.ask("acc", acc).await?
            }
        };
        let text = |name: &str| said["params"][name].as_str().map(str::to_owned);
        session.user = text("user").context("an account without a user")?;
        session.token = text("token").context("an account without a token")?;
        // What Tinode's own clients ask for.
        let me = json!({ "topic": "me", "get": { "what": "sub desc tags cred" } });
        session.ask("sub", me).await?;
        Ok(session)
    }

    /// The next frame. Pings are answered.
    pub async fn next(&mut self) -> Result<Payload<'static>> {
        let tx = &self.tx;
        loop {
            let answer = &mut |frame| async move {
                tx.frame(frame).await.map_err(|_| WebSocketError::ConnectionClosed)
            };
            let frame = self.rx.read_frame(answer).await?;
            match frame.opcode {
                OpCode::Text => {
                    self.ctx.stats.packets.fetch_add(1, Relaxed);
                    return Ok(frame.payload);
                }
                OpCode::Close => bail!("closed by the server"),
                _ => {}
            }
        }
    }

    /// Asks, and waits for the answer; what comes meanwhile is dropped.
    async fn ask(&mut self, verb: &str, mut fields: Value) -> Result<Value> {
        self.asked += 1;
        let id = format!("{}", self.asked);
        fields["id"] = json!(id);
        self.tx.send(json!({ verb: fields }).to_string()).await?;
        loop {
            let frame: Value = serde_json::from_slice(&self.next().await?)?;
            let said = if frame["ctrl"].is_object() { &frame["ctrl"] } else { &frame["meta"] };
            if said["id"] != id.as_str() {
                continue;
            }
            return match said["code"].as_u64() {
                Some(400..) => bail!("{verb} was refused: {said}"),
                Some(_) | None => Ok(said.clone()),
            };
        }
    }

    /// Attaches to a topic.
    pub async fn attach(&mut self, topic: &str) -> Result<()> {
        self.ask("sub", json!({ "topic": topic })).await.map(drop)
    }

    /// Makes a group that all may join. Its name.
    pub async fn found(&mut self) -> Result<String> {
        let desc = json!({ "defacs": { "auth": GROUP, "anon": GROUP } });
        let said = self.ask("sub", json!({ "topic": "new1", "set": { "desc": desc } })).await?;
        Ok(said["topic"].as_str().context("a group without a name")?.to_owned())
    }

    /// Says something, and does not wait.
    pub async fn publish(&self, topic: &str, text: &str) -> Result<()> {
        publish(&self.tx, topic, text).await
    }

    /// The number of the next message that comes.
    pub async fn message(&mut self) -> Result<u64> {
        loop {
            let frame = self.next().await?;
            if frame.starts_with(DATA) {
                return number(&frame, "\"seq\":").context("a message without a number");
            }
        }
    }

    /// The number of the next message of a page; none behind the last one.
    pub async fn message_or_end(&mut self) -> Result<Option<u64>> {
        loop {
            let frame = self.next().await?;
            if frame.starts_with(DATA) {
                return number(&frame, "\"seq\":").context("a message without a number").map(Some);
            }
            if frame.starts_with(CTRL) {
                return Ok(None);
            }
        }
    }

    /// The number that the next answer to `publish` has.
    pub async fn published(&mut self) -> Result<u64> {
        loop {
            let frame = self.next().await?;
            if frame.starts_with(CTRL) {
                if memmem::find(&frame, br#""code":202"#).is_none() {
                    bail!("not accepted: {}", String::from_utf8_lossy(&frame));
                }
                return number(&frame, "\"seq\":").context("an answer without a number");
            }
        }
    }
}

/// Says something, and does not wait. The answer has the id `p`.
pub(super) async fn publish(tx: &Tx, topic: &str, text: &str) -> Result<()> {
    let head = format!(r#"{{"pub":{{"id":"p","topic":"{topic}","noecho":true"#);
    tx.send(format!(r#"{head},"content":"{text}"}}}}"#)).await
}

/// So many bytes of content, as JSON.
pub(super) fn text(bytes: usize) -> String {
    "x".repeat(bytes.saturating_sub(2))
}
