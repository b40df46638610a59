//! Accounts: they are made by `acc` and signed in to by `login`.
//!
//! A user has a login, which is a record of its own, and which is written first: of several who
//! want the same one gets it. If the server dies before the user itself is written, whoever knows
//! the password makes the account whole by asking for it once more; nobody else can.
use std::{borrow::Cow, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{
    Tinode,
    credential::{self, about},
    hello,
    message::{Code, Params, Ts},
    mode::{Defacs, Mode},
    record::User,
    refusal::{Done, Refusal},
    request::{Acc, ChangeDesc, Login},
    session::{Identity, Session},
    tags,
    token::{Claims, Purpose},
};
use crate::domain::password::Unhashed;

mod change;
mod create;
mod sign_in;
#[cfg(test)]
mod tests;

/// Characters of a login, and the fewest of a password.
const LOGIN: std::ops::RangeInclusive<usize> = 4..=32;
const PASSWORD: usize = 6;
/// Bytes of the longest password that is kept.
const LONGEST_PASSWORD: usize = 4 << 10;
/// Credentials that are looked at in one request.
const CREDENTIALS: usize = 8;

/// How a request went.
struct Told {
    code: Code,
    params: Params,
    /// The session is signed in by it.
    signed_in: Option<Identity>,
}

impl Told {
    fn new(code: Code, params: Params) -> Self {
        Told { code, params, signed_in: None }
    }
}

async fn answer(session: &Arc<Session>, id: &str, done: Done<Told>) {
    match done {
        Ok(Told { code, params, signed_in }) => {
            session.ctrl_with(id, "", code, params);
            if let Some(who) = signed_in {
                hello::signed_in(session, who).await;
            }
        }
        Err(why) => session.refuse(id, "", why),
    }
}

/// `acc`: makes an account, or changes that of the session.
pub(super) async fn acc(session: &Arc<Session>, id: &str, acc: Acc<'_>) {
    let done = match acc.user.starts_with("new") {
        true => create::create(session, &acc).await,
        false => change::change(session, &acc).await,
    };
    answer(session, id, done).await;
}

/// `login`.
pub(super) async fn login(session: &Arc<Session>, id: &str, login: Login<'_>) {
    let done = sign_in::log_in(session, &login).await;
    answer(session, id, done).await;
}

/// Who shows this token, which is one to sign in by.
///
/// # Errors
/// It proves nothing, or the user is not there any more, or may not sign in.
pub(super) async fn by_token(node: &Tinode, token: &[u8]) -> Done<Identity> {
    let claims = sign_in::check_token(node, token)?;
    match claims.purpose {
        Purpose::Login => {
            let user = sign_in::claimed(node, &claims).await?;
            Ok(Identity { user: user.id, level: user.level })
        }
        Purpose::Validate => Err(Code::AuthFailed.into()),
    }
}

/// A login and a password, as they are given.
struct Basic {
    /// In lower case; it may be empty.
    login: String,
    password: String,
}

impl Basic {
    /// From `login:password`.
    fn read(secret: &[u8]) -> Done<Self> {
        let text = std::str::from_utf8(secret).map_err(|_| Code::Malformed)?;
        let (login, password) = text.split_once(':').ok_or(Code::Malformed)?;
        Ok(Basic { login: login.to_lowercase(), password: password.to_owned() })
    }

    fn check_login(&self) -> Done<()> {
        let is_good = |c: char| !c.is_whitespace() && !c.is_control();
        match LOGIN.contains(&self.login.chars().count()) && self.login.chars().all(is_good) {
            true => Ok(()),
            false => Err(about(Code::Policy, "auth")),
        }
    }

    fn check_password(&self) -> Done<()> {
        let is_long = self.password.chars().count() >= PASSWORD;
        match is_long && self.password.len() <= LONGEST_PASSWORD {
            true => Ok(()),
            false => Err(Code::Policy.into()),
        }
    }
}

fn login_id(login: &str) -> String {
    format!("basic:{login}")
}

fn duplicate() -> Refusal {
    about(Code::DuplicateCredential, "auth")
}

fn unhashed(node: &Tinode, why: Unhashed) -> Refusal {
    match why {
        Unhashed::Busy => {
            node.hub.metrics.sign_in_refused("too busy");
            Code::Unavailable.into()
        }
        Unhashed::Failed => Code::Internal.into(),
    }
}

/// Default access with what is given of it. Whoever may do anything may also be let in by others,
/// so `A` is always added (R:account-and-login#21); nobody owns a topic by default.
fn defacs(given: &ChangeDesc<'_>, old: Defacs) -> Done<Defacs> {
    let read = |text: &str, old: Mode| -> Done<Mode> {
        if text.is_empty() {
            return Ok(old);
        }
        let mode = Mode::parse(text).ok_or(Code::Malformed)?.without(Mode::O);
        Ok(if mode.is_none() { mode } else { mode.with(Mode::A) })
    };
    Ok(Defacs { auth: read(&given.auth, old.auth)?, anon: read(&given.anon, old.anon)? })
}

/// The tags that somebody wants, as they are kept.
fn wanted_tags(node: &Tinode, given: &[Cow<'_, str>]) -> Vec<String> {
    tags::normalised(given.iter().map(|tag| &**tag), &node.options.limits)
}

fn json(told: &impl Serialize) -> String {
    // Texts, JSON, and lists of such: always JSON.
    serde_json::to_string(told).unwrap_or_default()
}

/// Who somebody is.
fn whose(user: &User) -> Params {
    let params = Params::default().text("user", &user.id.to_string());
    params.text("authlvl", user.level.word())
}

/// With a token for the user.
fn with_token(params: Params, node: &Tinode, user: &User, purpose: Purpose) -> Params {
    let lifetime = match purpose {
        Purpose::Login => node.options.token_lifetime.as_secs(),
        Purpose::Validate => credential::GOOD,
    };
    let expires = node.hub.clock.unix().saturating_add(lifetime);
    let expires = u32::try_from(expires).unwrap_or(u32::MAX);
    let User { id, level, generation, .. } = *user;
    let token = node.tokens.make(Claims { user: id, level, generation, purpose, expires });
    let params = params.text("token", &STANDARD.encode(token));
    params.text("expires", &Ts(u64::from(expires) * 1000).to_string())
}

fn language(session: &Session) -> String {
    session.hello().map(|hello| hello.lang.clone()).unwrap_or_default()
}
