//! Accounts of react-wechat, by its HTTP routes: users register, log in, and become contacts.

use crate::Ctx;
use crate::http::{FRESH, Http};
use crate::sys::{self, Rng, now};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// Everybody's.
const PASSWORD: &str = "measured";
/// The code of an answer to who registers with a phone that is taken.
const TAKEN: i64 = 100_004;

/// The phone of a run's user: 13 digits, of which six tell runs and roles apart. With more than
/// 100,000 users of a role it is longer.
pub fn phone(run_id: &str, role: &str, i: usize) -> String {
    let bytes = run_id.bytes().chain([b'/']).chain(role.bytes());
    // FNV-1a.
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("86{:06}{i:05}", Rng(hash).below(1_000_000))
}

/// What became of a log-in.
#[derive(Debug, PartialEq, Eq)]
pub enum Login {
    Token(String),
    /// As many passwords wait to be checked as may.
    Busy,
}

/// A connection that asks one thing at a time.
pub struct Accounts {
    addr: SocketAddrV4,
    http: Http,
    /// When it was used last.
    used: u64,
}

impl Accounts {
    pub async fn open(addr: SocketAddrV4) -> Result<Self> {
        Ok(Accounts { addr, http: Http::new(sys::dial(addr, None, None).await?), used: now() })
    }

    /// Asks a route of `/api/`. The status, and the answer.
    async fn ask(
        &mut self,
        route: &str,
        token: Option<&str>,
        fields: &Value,
    ) -> Result<(u16, Value)> {
        if now() - self.used > FRESH {
            *self = Accounts::open(self.addr).await?;
        }
        self.http.ask(request(self.addr, route, token, fields).as_bytes()).await?;
        let (status, body) = self.http.any_answer().await?;
        self.used = now();
        Ok((status, serde_json::from_slice(&body).context("an answer that is no JSON")?))
    }

    /// Registers a user, unless it is.
    pub async fn register(&mut self, phone: &str) -> Result<()> {
        let fields = json!({
            "phone": phone, "password": PASSWORD, "nick": phone, "userName": phone,
            "email": format!("{phone}@example.org"),
        });
        match self.ask("reg", None, &fields).await? {
            (200, answer) if matches!(answer["code"].as_i64(), Some(0 | TAKEN)) => Ok(()),
            (status, answer) => bail!("{phone} can't register: {status} {answer}"),
        }
    }

    /// Logs a user in.
    pub async fn log_in(&mut self, phone: &str) -> Result<Login> {
        let fields = json!({ "phone": phone, "password": PASSWORD });
        let (status, answer) = self.ask("login", None, &fields).await?;
        logged_in(status, &answer).with_context(|| format!("{phone} can't log in"))
    }

    /// A token for a user, whom nothing keeps from logging in.
    pub async fn token(&mut self, phone: &str) -> Result<String> {
        match self.log_in(phone).await? {
            Login::Token(token) => Ok(token),
            Login::Busy => bail!("{phone} can't log in: too many do"),
        }
    }

    /// Makes contacts of whose token it is and another user, unless they are.
    async fn add_contact(&mut self, token: &str, phone: &str) -> Result<()> {
        match self.ask("contact/add", Some(token), &json!({ "phone": phone })).await? {
            (200, _) => Ok(()),
            (status, answer) => bail!("{phone} can't be a contact: {status} {answer}"),
        }
    }
}

/// A request with a body of JSON.
fn request(addr: SocketAddrV4, route: &str, token: Option<&str>, fields: &Value) -> String {
    let body = fields.to_string();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "POST /api/{route} HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n{}\
         Content-Length: {}\r\n\r\n{body}",
        token.unwrap_or_default(),
        body.len()
    )
}

/// What an answer to a log-in says.
fn logged_in(status: u16, answer: &Value) -> Result<Login> {
    match (status, answer["data"]["token"].as_str()) {
        (200, Some(token)) => Ok(Login::Token(token.to_owned())),
        (503, _) => Ok(Login::Busy),
        _ => bail!("{status} {answer}"),
    }
}

/// Registers users, and makes contacts of each pair.
pub async fn acquaint(ctx: &Arc<Ctx>, pairs: Vec<(String, String)>) -> Result<()> {
    let users: BTreeSet<&String> = pairs.iter().flat_map(|(one, other)| [one, other]).collect();
    ctx.prepare_tokens(users.into_iter().cloned().collect()).await?;
    let mut accounts = Accounts::open(ctx.addr).await?;
    for (one, other) in &pairs {
        let token = ctx.token(one).await?;
        accounts.add_contact(token.trim_matches('"'), other).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_of_each_run_has_a_phone_that_may_be_registered() {
        let mut phones = BTreeSet::new();
        for run in ["19aa0c3f2d1", "19aa0c3f2d2"] {
            for role in ["m", "c"] {
                for i in [0, 1, 99_999, 100_000, 1_000_000] {
                    let phone = phone(run, role, i);
                    assert!(phone.len() >= 13 && phone.len() <= 20, "{phone}");
                    assert!(phone.bytes().all(|byte| byte.is_ascii_digit()), "{phone}");
                    phones.insert(phone);
                }
            }
        }
        assert_eq!(phones.len(), 20, "each once");
        assert_eq!(phone("a", "m", 7), phone("a", "m", 7));
    }

    #[test]
    fn a_request_is_whole() {
        let addr = "127.0.0.1:3002".parse().unwrap();
        let text = request(addr, "contact/add", Some("a.b.c"), &json!({ "phone": "8612" }));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /api/contact/add HTTP/1.1\r\nHost: 127.0.0.1:3002\r\n"));
        assert!(head.contains("\r\nAuthorization: Bearer a.b.c\r\nContent-Length: 16"), "{head}");
        assert_eq!(body, r#"{"phone":"8612"}"#);
        assert!(!request(addr, "login", None, &json!({})).contains("Authorization"));
    }

    #[test]
    fn a_log_in_is_done_or_refused_for_a_while() {
        let good = json!({ "code": 0, "message": "success", "data": { "info": {}, "token": "t" } });
        assert_eq!(logged_in(200, &good).unwrap(), Login::Token("t".to_owned()));
        let busy = json!({ "error": "too many sign in at the moment" });
        assert_eq!(logged_in(503, &busy).unwrap(), Login::Busy);
        assert!(logged_in(200, &json!({ "code": 100_002, "message": "密码错误" })).is_err());
        assert!(logged_in(429, &busy).is_err());
    }
}
