//! Signing in, by a password, a token of ours, or a JSON Web Token.
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Basic, CREDENTIALS, Told, json, language, login_id, unhashed, whose, with_token};
use crate::{
    dialect::tinode::{
        Tinode,
        credential::{self, about},
        ids::UserId,
        message::{Code, Ts},
        mode::Level,
        rate::{self, Act},
        record::{LoginRecord, User, UserState},
        refusal::Done,
        request::{Cred, Login},
        session::{Identity, Session},
        token::{BadToken, Claims, Purpose},
    },
    domain::{
        access::{self, NotVerified, TokenFault},
        ids::Uid,
        password::{Salt, Verdict},
        token::Realm,
    },
    metrics::SignIn,
    reason::{Label, Reason},
    throttle::throttled,
};

/// Signs a session in.
pub(super) async fn log_in(session: &Arc<Session>, login: &Login<'_>) -> Done<Told> {
    if session.who().is_some() {
        return Err(Code::AlreadyAuthenticated.into());
    }
    let node = &session.node;
    let (user, purpose, by) = match &*login.scheme {
        "basic" => (by_password(session, &login.secret).await?, Purpose::Login, SignIn::Token),
        "token" => {
            let claims = check_token(node, &login.secret)?;
            (claimed(node, &claims).await?, claims.purpose, SignIn::Token)
        }
        "jwt" => (by_jwt(session, &login.secret).await?, Purpose::Login, SignIn::Jwt),
        _ => return Err(Code::UnknownScheme.into()),
    };
    may_sign_in(&user)?;
    let creds = credential::of_use(node, &login.creds);
    let (user, is_shown) = show(session, user, creds).await?;
    let missing = credential::missing(&node.options.required, &user);
    if !missing.is_empty() {
        let params = with_token(whose(&user), node, &user, Purpose::Validate);
        return Ok(Told::new(Code::Validate, params.json("cred", json(&missing))));
    }
    match purpose {
        Purpose::Login => {}
        Purpose::Validate if is_shown => {}
        // It was given to somebody who had yet to show something, and shows nothing else.
        Purpose::Validate => return Err(Code::AuthFailed.into()),
    }
    let who = sign_in(session, &user, by).await?;
    let params = with_token(whose(&user), node, &user, Purpose::Login);
    Ok(Told { signed_in: Some(who), ..Told::new(Code::Ok, params) })
}

/// Confirms the credentials that come with a login, or sends codes for them. Returns the user as it
/// is then, and whether one was confirmed. A code that is wrong counts as a password that is.
async fn show(session: &Arc<Session>, user: User, creds: &[Cred<'_>]) -> Done<(User, bool)> {
    if creds.is_empty() {
        return Ok((user, false));
    }
    if creds.len() > CREDENTIALS {
        return Err(about(Code::Policy, "cred"));
    }
    let (node, lang, mut is_shown) = (&session.node, language(session), false);
    for cred in creds {
        rate::admit(session, Act::Register)?;
        if cred.response.is_empty() {
            credential::begin(node, user.id, cred, &lang).await?;
            continue;
        }
        let account = account(&credential_account(user.id));
        may_attempt(session, &account)?;
        if credential::confirm(node, user.id, cred).await? {
            is_shown = true;
        } else {
            node.hub.attempts.failed(session.address, Realm::User, &account, Instant::now());
        }
    }
    let read = node.cabinet.user(user.id).await?.ok_or(Code::UserNotFound)?;
    may_sign_in(&read.record)?;
    Ok((read.record, is_shown))
}

/// As failures are counted: no user of another dialect has this name.
fn account(id: &str) -> String {
    format!("tinode\u{80}{id}")
}

fn credential_account(user: UserId) -> String {
    format!("cred:{user}")
}

fn may_attempt(session: &Session, account: &str) -> Done<()> {
    let hub = &session.node.hub;
    let may = hub.attempts.may(session.address, Realm::User, account, Instant::now());
    may.map_err(|_| {
        hub.metrics.sign_in_refused("too many failures");
        Code::Policy.into()
    })
}

pub(super) fn may_sign_in(user: &User) -> Done<()> {
    match user.state {
        UserState::Ok => Ok(()),
        UserState::Suspended => Err(Code::Denied.into()),
        UserState::Ending => Err(Code::UserNotFound.into()),
    }
}

/// Signs the session in as this user, who may.
pub(super) async fn sign_in(session: &Arc<Session>, user: &User, by: SignIn) -> Done<Identity> {
    let node = &session.node;
    let who = Identity { user: user.id, level: user.level };
    session.sign_in(who);
    // Whoever takes a user's access away writes that, and then ends the sessions that are there:
    // one of the two meets this session.
    let again = match node.cabinet.user(user.id).await {
        Ok(Some(read)) if read.record.generation != user.generation => Err(Code::AuthFailed.into()),
        Ok(Some(read)) => may_sign_in(&read.record),
        Ok(None) => Err(Code::UserNotFound.into()),
        Err(why) => Err(why),
    };
    if let Err(why) = again {
        session.close(Reason::Disconnected);
        return Err(why);
    }
    node.hub.metrics.signed_in(by);
    Ok(who)
}

/// The user whose login and password these are. Who does not exist takes as long as who does.
async fn by_password(session: &Arc<Session>, secret: &[u8]) -> Done<User> {
    let node = &session.node;
    let basic = Basic::read(secret)?;
    rate::admit(session, Act::LogIn)?;
    let id = login_id(&basic.login);
    let (attempts, account) = (&node.hub.attempts, account(&id));
    may_attempt(session, &account)?;
    let user = match check_password(node, &id, basic.password).await? {
        Some(user) => node.cabinet.user(user).await?,
        None => None,
    };
    // A login that was given up, or is not its user's yet, is nobody's; and so is that of a user
    // who is being deleted.
    let is_its = |user: &User| {
        user.login.as_deref() == Some(&*basic.login) && user.state != UserState::Ending
    };
    match user.map(|read| read.record).filter(is_its) {
        Some(user) => {
            attempts.succeeded(session.address, Realm::User, &account);
            Ok(user)
        }
        None => {
            attempts.failed(session.address, Realm::User, &account, Instant::now());
            node.hub.metrics.sign_in_refused("wrong token");
            Err(Code::AuthFailed.into())
        }
    }
}

async fn check_password(node: &Tinode, id: &str, password: String) -> Done<Option<UserId>> {
    let found = node.cabinet.login(id).await?;
    let salt = Salt::random(&*node.hub.rng)?;
    let kept = found.and_then(|read| Some((read.version, read.record.user, read.record.hash?)));
    let Some((version, user, hash)) = kept else {
        let hash = node.passwords.hash(password, salt).await;
        hash.map_err(|why| unhashed(node, why))?;
        return Ok(None);
    };
    let verdict = node.passwords.judge(password, hash, salt).await;
    Ok(match verdict.map_err(|why| unhashed(node, why))? {
        Verdict::Wrong => None,
        Verdict::Right => Some(user),
        Verdict::Replace(hash) => {
            // Else it is done the next time.
            let login = LoginRecord { user, hash: Some(hash) };
            if let Err(why) = node.cabinet.replace_login(id, &login, version).await {
                let code = why.code.number();
                throttled!(warn, code, "a password could not be kept in today's form");
            }
            Some(user)
        }
    })
}

pub(super) fn check_token(node: &Tinode, token: &[u8]) -> Done<Claims> {
    node.tokens.check(token, node.hub.clock.unix()).map_err(|why| match why {
        BadToken::Length => Code::Malformed.into(),
        BadToken::Wrong => {
            node.hub.metrics.sign_in_refused("wrong token");
            Code::AuthFailed.into()
        }
    })
}

/// The user that a token names, if it may sign in and the token still counts.
pub(super) async fn claimed(node: &Tinode, claims: &Claims) -> Done<User> {
    let read = node.cabinet.user(claims.user).await?;
    let user = read.map(|read| read.record).ok_or(Code::UserNotFound)?;
    may_sign_in(&user)?;
    if user.generation != claims.generation {
        node.hub.metrics.sign_in_refused("wrong token");
        return Err(Code::AuthFailed.into());
    }
    Ok(user)
}

/// The user of a JSON Web Token. Who comes for the first time gets an account.
async fn by_jwt(session: &Arc<Session>, secret: &[u8]) -> Done<User> {
    let node = &session.node;
    let verifier = node.verifier.get().ok_or(Code::UnknownScheme)?;
    let token = std::str::from_utf8(secret).map_err(|_| Code::Malformed)?.trim();
    if !access::is_jwt(token) {
        return Err(Code::Malformed.into());
    }
    let uid = subject(token).ok_or(Code::AuthFailed)?;
    let id = format!("jwt:{}", uid.as_str());
    let (attempts, account) = (&node.hub.attempts, account(&id));
    may_attempt(session, &account)?;
    let fault = match verifier.verify(&uid, token).await {
        Ok(rights) if node.hub.is_revoked(&uid, &rights).await? => TokenFault::Revoked,
        Ok(_) => {
            attempts.succeeded(session.address, Realm::User, &account);
            return of_jwt(node, &id, session.now()).await;
        }
        Err(NotVerified::Refused(fault)) => fault,
        Err(NotVerified::Unavailable) => {
            node.hub.metrics.sign_in_refused("keys unavailable");
            return Err(Code::Unavailable.into());
        }
    };
    node.hub.metrics.sign_in_refused(fault.label());
    // Nobody tries tokens by old ones.
    if fault != TokenFault::Expired {
        attempts.failed(session.address, Realm::User, &account, Instant::now());
    }
    Err(Code::AuthFailed.into())
}

/// Whose token it says that it is. Nothing of that is proved.
pub(super) fn subject(token: &str) -> Option<Uid> {
    #[derive(Deserialize)]
    struct Payload {
        sub: String,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let payload: Payload = serde_json::from_slice(&payload).ok()?;
    Uid::text(&payload.sub).ok()
}

async fn of_jwt(node: &Tinode, login: &str, now: Ts) -> Done<User> {
    let user = match node.cabinet.login(login).await? {
        Some(read) => read.record.user,
        None => {
            let user = UserId::random(&*node.hub.rng)?;
            match node.cabinet.add_login(login, &LoginRecord { user, hash: None }).await? {
                true => user,
                // The same user comes by two sessions at once.
                false => {
                    let read = node.cabinet.login(login).await?;
                    read.ok_or(Code::Unavailable)?.record.user
                }
            }
        }
    };
    if let Some(read) = node.cabinet.user(user).await? {
        return Ok(read.record);
    }
    let new = User::new(user, Level::Auth, now);
    if node.cabinet.add_user(&new).await? {
        return Ok(new);
    }
    let read = node.cabinet.user(user).await?;
    Ok(read.ok_or(Code::Unavailable)?.record)
}
