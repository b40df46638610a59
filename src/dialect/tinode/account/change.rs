//! Changing one's own account.
use std::sync::Arc;

use super::{
    Basic, CREDENTIALS, Told, defacs, duplicate, language, login_id, unhashed, wanted_tags,
};
use crate::{
    dialect::tinode::{
        Tinode,
        cabinet::{Step, TRIES, crowded},
        credential::{self, about},
        ids::UserId,
        message::{Code, Params, Ts},
        mode::Level,
        rate::{self, Act},
        record::{LoginRecord, User},
        refusal::Done,
        request::{Acc, ChangeDesc},
        session::Session,
        tags,
    },
    domain::password::Salt,
};

/// Changes the session's own account: password, login, tags, default access, credentials.
pub(super) async fn change(session: &Arc<Session>, acc: &Acc<'_>) -> Done<Told> {
    let node = &session.node;
    let who = session.who().ok_or(Code::AuthRequired)?;
    if !acc.user.is_empty() && acc.user != who.user.to_string() {
        return Err(Code::Denied.into());
    }
    if acc.login {
        return Err(Code::AlreadyAuthenticated.into());
    }
    let basic = match &*acc.scheme {
        "" => None,
        "basic" => Some(Basic::read(&acc.secret)?),
        _ => return Err(Code::Malformed.into()),
    };
    if acc.creds.len() > CREDENTIALS {
        return Err(about(Code::Policy, "cred"));
    }
    let wanted = acc.tags.as_deref().map(|tags| wanted_tags(node, tags));
    if let Some(basic) = basic {
        change_login(session, who.user, basic).await?;
    }
    let now = session.now();
    let describe = |user: &mut User| redescribe(user, wanted.as_ref(), &acc.desc, now);
    node.cabinet.change_user(who.user, describe).await?;
    let lang = language(session);
    for cred in &acc.creds {
        rate::admit(session, Act::Register)?;
        if cred.response.is_empty() {
            credential::begin(node, who.user, cred, &lang).await?;
        } else if !credential::confirm(node, who.user, cred).await? {
            return Err(Code::AuthFailed.into());
        }
    }
    Ok(Told::new(Code::Ok, Params::default()))
}

/// Other tags and default access, where they are others.
pub(super) fn redescribe(
    user: &mut User,
    wanted: Option<&Vec<String>>,
    desc: &ChangeDesc<'_>,
    now: Ts,
) -> Done<Step<()>> {
    let defacs = defacs(desc, user.defacs)?;
    let tags = match wanted {
        Some(wanted) => tags::replace(&user.tags, wanted.clone(), true)
            .map_err(|why| about(why.code, "tags"))?,
        None => None,
    };
    if tags.is_none() && defacs == user.defacs {
        return Ok(Step::Keep(()));
    }
    user.tags = tags.unwrap_or_else(|| std::mem::take(&mut user.tags));
    (user.defacs, user.updated) = (defacs, now);
    Ok(Step::Write(()))
}

/// Another password, or another login with its password.
async fn change_login(session: &Arc<Session>, id: UserId, basic: Basic) -> Done<()> {
    let node = &session.node;
    if !basic.login.is_empty() {
        basic.check_login()?;
    }
    basic.check_password()?;
    rate::admit(session, Act::Register)?;
    let read = node.cabinet.user(id).await?.ok_or(Code::UserNotFound)?;
    let login = match (basic.login.is_empty(), read.record.login) {
        (false, _) => basic.login,
        (true, Some(login)) => login,
        // There is no login that the password could be for.
        (true, None) => return Err(about(Code::Policy, "auth")),
    };
    let there = node.cabinet.login(&login_id(&login)).await?;
    if there.is_some_and(|there| there.record.user != id) {
        return Err(duplicate());
    }
    let salt = Salt::random(&*node.hub.rng)?;
    let hash = node.passwords.hash(basic.password, salt).await;
    let hash = hash.map_err(|why| unhashed(node, why))?;
    keep_login(node, &login_id(&login), LoginRecord { user: id, hash: Some(hash) }).await?;
    let now = session.now();
    let before = node.cabinet.change_user(id, |user| Ok(rename(user, &login, now))).await?;
    match before {
        Some(before) => node.cabinet.delete_login(&login_id(&before)).await,
        None => Ok(()),
    }
}

/// Keeps a login of a user, new or instead of what is there.
async fn keep_login(node: &Tinode, id: &str, login: LoginRecord) -> Done<()> {
    for _ in 0..TRIES {
        if node.cabinet.add_login(id, &login).await? {
            return Ok(());
        }
        let Some(read) = node.cabinet.login(id).await? else { continue };
        if read.record.user != login.user {
            return Err(duplicate());
        }
        if node.cabinet.replace_login(id, &login, read.version).await? {
            return Ok(());
        }
    }
    Err(crowded())
}

/// Gives a user this login, and returns the one that it had, if that was another one. Who had none
/// was nobody, and is somebody from now on.
pub(super) fn rename(user: &mut User, login: &str, now: Ts) -> Step<Option<String>> {
    if user.login.as_deref() == Some(login) {
        return Step::Keep(None);
    }
    let before = user.login.replace(login.to_owned());
    let (old, new) = (before.as_deref().map(login_id), login_id(login));
    user.tags.retain(|tag| Some(tag) != old.as_ref() && *tag != new);
    user.tags.push(new);
    if user.level == Level::Anon {
        user.level = Level::Auth;
    }
    user.updated = now;
    Step::Write(before)
}
