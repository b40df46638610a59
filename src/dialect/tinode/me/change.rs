//! What a user changes of its own account, but for credentials.
use std::{collections::BTreeSet, sync::Arc};

use super::{ME, go, user};
use crate::dialect::tinode::{
    Tinode,
    cabinet::Step,
    ids::UserId,
    message::{Code, Params},
    mode::{Acs, Level, Mode},
    post::{Src, To, Told, Word},
    record::User,
    refusal::{Done, Refusal},
    request::{Change, ChangeDesc, ChangeSub},
    session::{Identity, Session},
    set::{self, Outcome},
    tags,
};

/// Changes all but credentials.
pub(super) async fn change(session: &Arc<Session>, who: Identity, c: &Change<'_>) -> Done<Outcome> {
    let mut outcome =
        Outcome { changed: looks(session, who, &c.desc).await?, ..Outcome::default() };
    if let Some(sub) = &c.sub {
        outcome.sub = Some(own_mode(session, who, sub).await?);
    }
    if let Some(new) = &c.tags {
        let new = tags::normalised(new.iter().map(|tag| &**tag), &session.node.options.limits);
        outcome.tags = own_tags(&session.node, who, new).await?;
    }
    if c.aux.is_some() {
        return Err(Code::NotAllowed.into());
    }
    Ok(outcome)
}

fn files(user: &User) -> BTreeSet<String> {
    set::files_in(user.public.iter().chain(&user.private).chain(&user.trusted))
}

/// What was changed of how a user looks.
struct Changed {
    public: bool,
    private: bool,
    files: set::Referred,
}

async fn looks(session: &Arc<Session>, who: Identity, c: &ChangeDesc<'_>) -> Done<bool> {
    let is_none = c.public.is_none() && c.private.is_none() && c.trusted.is_none();
    if is_none && c.auth.is_empty() && c.anon.is_empty() {
        return Ok(false);
    }
    if c.trusted.is_some() && !matches!(who.level, Level::Root) {
        return Err(Code::Denied.into());
    }
    let (node, now) = (&session.node, session.now());
    let most = node.options.limits.message;
    let decide = |user: &mut User| {
        let before = files(user);
        let mut public = set::put(&mut user.public, c.public, most)?;
        public |= set::put(&mut user.trusted, c.trusted, most)?;
        let private = set::put(&mut user.private, c.private, most)?;
        if !(set::put_defacs(&mut user.defacs, c, true)? || public || private) {
            return Ok::<_, Refusal>(Step::Keep(None));
        }
        user.updated = now.max(user.updated);
        Ok(Step::Write(Some(Changed { public, private, files: (before, files(user)) })))
    };
    let changed = node.cabinet.change_user(who.user, decide).await?;
    let Some(Changed { public, private, files }) = changed else { return Ok(false) };
    set::refer(node, &format!("u/{}", who.user), &files).await;
    let mut words = Vec::new();
    if public {
        let known = node.roll.keys(who.user);
        let contacts = known.iter().filter_map(|(key, _)| key.peer(who.user)).collect();
        let told = Told::Upd { src: Src::User(who.user) };
        words.push(Word { to: To::Users(contacts), needs: Mode::P, unattached: false, told });
    }
    if public || private {
        let (to, told) = (To::Users(vec![who.user]), Told::Upd { src: Src::Me });
        words.push(Word { to, needs: Mode::NONE, unattached: false, told });
    }
    if !words.is_empty() {
        node.post.say(node, words, Some(session.id));
    }
    Ok(true)
}

/// Sets what the user wants of `me`. Who does not want to be there is off it, with all its sessions
/// of this node, before that is answered (R:me#26).
async fn own_mode(session: &Arc<Session>, who: Identity, sub: &ChangeSub<'_>) -> Done<Params> {
    if !sub.user.is_empty() && UserId::parse(&sub.user) != Some(who.user) {
        return Err(Code::Denied.into());
    }
    let node = &session.node;
    let there = user(node, who).await?.me_want;
    let mode = match sub.mode.is_empty() {
        true => there,
        false => there.changed_by(&sub.mode).ok_or(Code::Malformed)?.without(Mode::O),
    };
    want(node, who, mode).await?;
    if !mode.has(Mode::J) {
        let mut sessions = node.roll.sessions(who.user);
        if !sessions.iter().any(|other| other.id == session.id) {
            sessions.push(session.clone());
        }
        for session in sessions.iter().filter(|session| session.is_on_me()) {
            go(session);
            session.ctrl_with("", ME, Code::Evicted, Params::default().flag("unsub", false));
        }
    }
    Ok(Params::default().acs(Acs { want: mode, given: Mode::ME }))
}

pub(super) async fn want(node: &Tinode, who: Identity, mode: Mode) -> Done<()> {
    let decide = |user: &mut User| {
        let is_new = std::mem::replace(&mut user.me_want, mode) != mode;
        Ok(if is_new { Step::Write(()) } else { Step::Keep(()) })
    };
    node.cabinet.change_user(who.user, decide).await
}

async fn own_tags(node: &Tinode, who: Identity, new: Vec<String>) -> Done<Option<Params>> {
    let decide = |user: &mut User| {
        let Some(new) = tags::replace(&user.tags, new.clone(), true)? else {
            return Ok(Step::Keep(None));
        };
        let params = set::tag_params(&user.tags, &new);
        user.tags = new;
        Ok(Step::Write(Some(params)))
    };
    node.cabinet.change_user(who.user, decide).await
}
