//! `set` of a topic: what it looks like, who may do what in it, its tags and notes. Several parts
//! have one answer: the first refusal, or what came out of them.
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::value::RawValue;

use super::{
    Tinode,
    access::{self, Outside, Unattached},
    apply::{self, Cause},
    cabinet::Step,
    files, fnd, get,
    ids::{Key, Topic, UserId},
    me,
    merge::{self, Merged},
    message::{Code, Params, Raw},
    mode::{Defacs, Level, Mode},
    post::{Src, To, Told, Word},
    record::{SUBS, SubRecord, TopicRecord, UserState},
    refusal::{Done, Refusal},
    request::{Change, ChangeDesc, ChangeSub},
    seats,
    session::{Identity, Session},
    tags,
};
use crate::domain::subscriber;

/// What came of the parts that were done.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Something is not as it was.
    pub changed: bool,
    pub sub: Option<Params>,
    pub tags: Option<Params>,
}

impl Outcome {
    /// The answer. What `sub` and `tags` have to say is said of the first of them.
    pub fn answer(self) -> (Code, Params) {
        match self.sub.or(self.tags) {
            Some(params) => (Code::Ok, params),
            None if self.changed => (Code::Ok, Params::default()),
            None => (Code::NotModified, Params::default()),
        }
    }
}

/// Answers `set`.
pub(super) async fn set(
    session: &Arc<Session>,
    who: Identity,
    id: &str,
    topic: &str,
    c: &Change<'_>,
) {
    let parsed = match Topic::parse(topic) {
        Ok(parsed) => parsed,
        Err(why) => return session.ctrl(id, topic, get::bad(why)),
    };
    let key = match parsed {
        Topic::Me => return me::set(session, who, id, c).await,
        Topic::Fnd => return fnd::set(session, who, id, c).await,
        Topic::New { .. } => return session.ctrl(id, topic, Code::NotFound),
        Topic::Sys | Topic::Slf | Topic::User(_) | Topic::Group(_) | Topic::Reader(_) => {
            parsed.key(who.user)
        }
    };
    // `sys`, and the pair with oneself.
    let Some(key) = key else { return session.ctrl(id, topic, Code::Denied) };
    let attach = session.attached(&key);
    let shown = attach.as_ref().map_or(topic, |attach| &*attach.shown);
    match change(session, who, &key, c, attach.is_some()).await {
        Ok(outcome) => {
            let (code, params) = outcome.answer();
            session.ctrl_with(id, shown, code, params);
        }
        Err(why) => session.refuse(id, shown, why),
    }
}

/// Whether anything is to be set of the looks that others see.
fn is_for_all(c: &ChangeDesc<'_>) -> bool {
    c.public.is_some() || c.trusted.is_some() || !c.auth.is_empty() || !c.anon.is_empty()
}

/// Whether the user's own modes are meant.
fn is_own(sub: &ChangeSub<'_>, user: UserId) -> bool {
    sub.user.is_empty() || UserId::parse(&sub.user) == Some(user)
}

/// What is asked of a topic, for one that the session is not attached to; in the order in which it
/// is refused.
fn asked(c: &Change<'_>, user: UserId) -> Vec<Unattached> {
    let of_sub = |sub| match is_own(sub, user) {
        true => Unattached::SetMode,
        false => Unattached::SetRest,
    };
    let rest = c.tags.is_some() || c.cred.is_some() || c.aux.is_some();
    let parts = [
        is_for_all(&c.desc).then_some(Unattached::SetRest),
        c.desc.private.map(|_| Unattached::SetPrivate),
        c.sub.as_ref().map(of_sub),
        rest.then_some(Unattached::SetRest),
    ];
    parts.into_iter().flatten().collect()
}

async fn change(
    session: &Arc<Session>,
    who: Identity,
    key: &Key,
    c: &Change<'_>,
    attached: bool,
) -> Done<Outcome> {
    let node = &session.node;
    let asked = asked(c, who.user);
    if asked.is_empty() {
        return Err(Code::Malformed.into());
    }
    let t = node.cabinet.topic(key).await?;
    if !attached {
        let row = node.cabinet.sub(key, who.user).await?;
        let outside = match (&t, &row) {
            (None, _) => Outside::Nothing,
            (Some(_), Some(row)) if access::is_live(&row.record) => Outside::Member,
            (Some(_), _) => Outside::Stranger,
        };
        if let Some(code) = asked.into_iter().find_map(|asked| access::unattached(outside, asked)) {
            return Err(code.into());
        }
    }
    let t = t.ok_or(Code::NotFound)?.record;
    let mut outcome = Outcome::default();
    if is_for_all(&c.desc) {
        outcome.changed |= looks(session, who, &t, &c.desc).await?;
    }
    if let Some(new) = c.desc.private {
        outcome.changed |= private(session, who, key, new).await?;
    }
    if let Some(sub) = &c.sub {
        let params = if is_own(sub, who.user) {
            own_mode(session, who, &t, &sub.mode).await?
        } else {
            others_mode(session, who, &t, sub).await?
        };
        outcome.sub = Some(params);
    }
    if let Some(new) = &c.tags {
        outcome.tags = topic_tags(session, who, &t, new).await?;
    }
    if c.cred.is_some() {
        // They are of users.
        return Err(Code::Denied.into());
    }
    if let Some(new) = c.aux {
        outcome.changed |= aux(session, who, &t, new).await?;
    }
    Ok(outcome)
}

/// Merges `new` into what is there. True: that has changed.
///
/// # Errors
/// It is too deep, or too large.
pub(super) fn put(slot: &mut Option<Raw>, new: Option<&RawValue>, most: usize) -> Done<bool> {
    let Some(new) = new else { return Ok(false) };
    Ok(match merge::merged(slot.as_deref(), new, most)? {
        Merged::Same => false,
        Merged::Cleared => slot.take().is_some(),
        Merged::Now(now) => {
            *slot = Some(now);
            true
        }
    })
}

/// Sets what those are given who come of themselves; nobody is made an owner so. True: it has
/// changed. `approve`: they are a user's, and get `A` (S:46).
///
/// # Errors
/// They are no modes.
pub(super) fn put_defacs(defacs: &mut Defacs, c: &ChangeDesc<'_>, approve: bool) -> Done<bool> {
    let before = *defacs;
    for (mode, text) in [(&mut defacs.auth, &c.auth), (&mut defacs.anon, &c.anon)] {
        if !text.is_empty() {
            let asked = mode.changed_by(text).ok_or(Code::Malformed)?.without(Mode::O);
            *mode = if approve { access::with_approval(asked) } else { asked };
        }
    }
    Ok(*defacs != before)
}

/// The files that these refer to.
pub(super) fn files_in<'a>(raws: impl IntoIterator<Item = &'a Raw>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    raws.into_iter().for_each(|raw| merge::files(raw.get(), &mut found));
    found
}

/// Files that something refers to, before and behind a change.
pub(super) type Referred = (BTreeSet<String>, BTreeSet<String>);

/// Notes to which files something refers from now on, unless it is as it was.
pub(super) async fn refer(node: &Tinode, by: &str, (before, after): &Referred) {
    if before != after {
        files::refer(node, by, after).await;
    }
}

fn topic_files(t: &TopicRecord) -> BTreeSet<String> {
    files_in(t.public.iter().chain(&t.trusted).chain(t.aux.values()))
}

async fn refer_topic(node: &Tinode, key: &Key, referred: &Referred) {
    refer(node, &format!("g/{}", key.id()), referred).await;
}

/// Only its owner changes how a group looks (S:94); a pair looks as its users do.
async fn looks(
    session: &Arc<Session>,
    who: Identity,
    t: &TopicRecord,
    c: &ChangeDesc<'_>,
) -> Done<bool> {
    let (node, now) = (&session.node, session.now());
    let most = node.options.limits.message;
    if c.trusted.is_some() && !matches!(who.level, Level::Root) {
        return Err(Code::Denied.into());
    }
    let only_trusted = c.public.is_none() && c.auth.is_empty() && c.anon.is_empty();
    let decide = |t: &mut TopicRecord| {
        // Who runs the server says of every group whether it is to be trusted.
        let by_root = only_trusted && matches!(t.key, Key::Group(_));
        if !by_root && !access::owns(t, who.user) {
            return Err(Refusal::from(Code::Denied));
        }
        let before = topic_files(t);
        let mut seen = put(&mut t.public, c.public, most)?;
        seen |= put(&mut t.trusted, c.trusted, most)?;
        if !(put_defacs(&mut t.defacs, c, false)? || seen) {
            return Ok(Step::Keep(None));
        }
        t.updated = now.max(t.updated);
        Ok(Step::Write(Some((seen, (before, topic_files(t))))))
    };
    let changed = node.cabinet.change_topic(&t.key, decide).await?;
    let Some((seen, referred)) = changed else { return Ok(false) };
    refer_topic(node, &t.key, &referred).await;
    if seen {
        let (to, told) = (To::Members(t.key), Told::Upd { src: Src::Topic(t.key) });
        let word = Word { to, needs: Mode::P, unattached: false, told };
        node.post.say(node, vec![word], Some(session.id));
    }
    Ok(true)
}

/// What a user notes of a topic for itself.
async fn private(session: &Arc<Session>, who: Identity, key: &Key, new: &RawValue) -> Done<bool> {
    let (node, now) = (&session.node, session.now());
    let most = node.options.limits.message;
    let decide = |row: Option<SubRecord>| {
        let mut row = row.filter(access::is_live).ok_or(Code::NotModified)?;
        let before = files_in(&row.private);
        let changed = put(&mut row.private, Some(new), most)?;
        row.updated = now.max(row.updated);
        let after = files_in(&row.private);
        Ok((changed.then_some(row), changed.then_some((before, after))))
    };
    let (changed, _) = node.cabinet.change_sub(key, who.user, decide).await?;
    let Some(referred) = changed else { return Ok(false) };
    refer(node, &format!("s/{}", key.sub_id(who.user)), &referred).await;
    let (to, told) = (To::Users(vec![who.user]), Told::Upd { src: Src::Topic(*key) });
    let word = Word { to, needs: Mode::NONE, unattached: false, told };
    node.post.say(node, vec![word], Some(session.id));
    Ok(true)
}

/// The user says what it wants to be able to do. No text: it asks what it may.
async fn own_mode(
    session: &Arc<Session>,
    who: Identity,
    t: &TopicRecord,
    text: &str,
) -> Done<Params> {
    let (node, now) = (&session.node, session.now());
    let decide = |row: Option<SubRecord>| {
        let row = row.filter(access::is_live).ok_or(Code::NotModified)?;
        let mode = if text.is_empty() { Some(row.want) } else { row.want.changed_by(text) };
        access::want(t, row, mode.ok_or(Code::Malformed)?, now)
    };
    // The topic's record says first who owns it: what was cut off behind that is mended.
    if let Some(row) = node.cabinet.sub(&t.key, who.user).await?
        && decide(Some(row.record))?.owner
    {
        apply::own(node, &t.key, who.user).await?;
    }
    let decide = |row: Option<SubRecord>| {
        let changed = decide(row)?;
        Ok((changed.dacs.is_some().then(|| changed.row.clone()), changed))
    };
    let (changed, version) = node.cabinet.change_sub(&t.key, who.user, decide).await?;
    apply::tell(session, who, t, &changed, version, Cause::Changed).await?;
    // Who does not want to be there reads first that it is out, and then the answer (R:me#26), even
    // where the room says so later.
    if !access::mode(&changed.row).has(Mode::J)
        && let Some(attach) = session.attached(&t.key)
    {
        let room = attach.live.room.clone();
        subscriber::Subscriber::removed(attach, &room);
    }
    Ok(Params::default().acs(changed.row.acs()))
}

/// The user invites somebody, or says what it may do.
async fn others_mode(
    session: &Arc<Session>,
    who: Identity,
    t: &TopicRecord,
    sub: &ChangeSub<'_>,
) -> Done<Params> {
    let (node, now) = (&session.node, session.now());
    let user = UserId::parse(&sub.user).ok_or(Code::Malformed)?;
    let actor = node.cabinet.sub(&t.key, who.user).await?.ok_or(Code::Denied)?.record;
    let decide = |row: Option<SubRecord>| {
        let there = row.as_ref().map_or(Mode::NONE, |row| row.given);
        let mode = match sub.mode.is_empty() {
            true => None,
            false => Some(there.changed_by(&sub.mode).ok_or(Code::Malformed)?),
        };
        access::given(t, &actor, row, user, mode, now)
    };
    let row = node.cabinet.sub(&t.key, user).await?.map(|row| row.record);
    let is_new = !row.as_ref().is_some_and(access::is_live);
    // Whether it may at all: who may not learns nothing of users.
    decide(row)?;
    let mut seat = None;
    if is_new {
        is_user(node, user).await?;
        seat = Some(seats::take(node, t.key, user).await?);
    }
    let decide = |row: Option<SubRecord>| {
        let changed = decide(row)?;
        Ok((changed.dacs.is_some().then(|| changed.row.clone()), changed))
    };
    let (changed, version) = node.cabinet.change_sub(&t.key, user, decide).await?;
    // Who was deleted meanwhile may not have been found by this subscription.
    if is_new && let Err(why) = is_user(node, user).await {
        if why.code == Code::UserNotFound {
            node.cabinet.records.delete(&SUBS, &t.key.sub_id(user), Some(version)).await?;
        }
        return Err(why);
    }
    if seat.is_some() {
        seats::keep(node, t.key, user).await?;
    }
    drop(seat);
    apply::tell(session, who, t, &changed, version, Cause::Changed).await?;
    Ok(Params::default().acs(changed.row.acs()).text("user", user.name().as_str()))
}

/// Whether there is such a user, who is not being deleted.
///
/// # Errors
/// There is none, or the store does not answer.
pub(super) async fn is_user(node: &Tinode, user: UserId) -> Done<()> {
    match node.cabinet.user(user).await?.map(|user| user.record.state) {
        Some(UserState::Ok | UserState::Suspended) => Ok(()),
        Some(UserState::Ending) | None => Err(Code::UserNotFound.into()),
    }
}

/// What replaced tags are told as.
pub(super) fn tag_params(old: &[String], new: &[String]) -> Params {
    let (added, removed) = tags::counts(old, new);
    let mut params = Params::default();
    for (name, count) in [("added", added), ("removed", removed)] {
        if count > 0 {
            params = params.number(name, u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
    params
}

async fn topic_tags(
    session: &Arc<Session>,
    who: Identity,
    t: &TopicRecord,
    new: &[Cow<'_, str>],
) -> Done<Option<Params>> {
    let (node, now) = (&session.node, session.now());
    let new = tags::normalised(new.iter().map(|tag| &**tag), &node.options.limits);
    let decide = |t: &mut TopicRecord| {
        if !access::owns(t, who.user) {
            return Err(Refusal::from(Code::Denied));
        }
        let Some(new) = tags::replace(&t.tags, new.clone(), false)? else {
            return Ok(Step::Keep(None));
        };
        let params = tag_params(&t.tags, &new);
        (t.tags, t.updated) = (new, now.max(t.updated));
        Ok(Step::Write(Some(params)))
    };
    node.cabinet.change_topic(&t.key, decide).await
}

/// Merges notes of a topic, each by its name. True: they have changed.
///
/// # Errors
/// They are no object, or are too much.
pub(super) fn put_aux(aux: &mut BTreeMap<String, Raw>, new: &RawValue, most: usize) -> Done<bool> {
    let Ok(new) = serde_json::from_str::<BTreeMap<String, &RawValue>>(new.get()) else {
        // The mark that clears a field clears all of it.
        return match merge::merged(None, new, most)? {
            Merged::Same | Merged::Cleared => {
                let changed = !aux.is_empty();
                aux.clear();
                Ok(changed)
            }
            Merged::Now(_) => Err(Code::Malformed.into()),
        };
    };
    let mut changed = false;
    for (name, new) in new {
        let mut slot = aux.remove(&name);
        changed |= put(&mut slot, Some(new), most)?;
        if let Some(slot) = slot {
            aux.insert(name, slot);
        }
    }
    let bytes: usize = aux.iter().map(|(name, raw)| name.len() + raw.get().len()).sum();
    if changed && bytes > most { Err(Code::Malformed.into()) } else { Ok(changed) }
}

/// Its owner changes what is noted of a topic, and who may approve.
async fn aux(session: &Arc<Session>, who: Identity, t: &TopicRecord, new: &RawValue) -> Done<bool> {
    let (node, now) = (&session.node, session.now());
    let most = node.options.limits.message;
    let row = node.cabinet.sub(&t.key, who.user).await?;
    let may_approve = row.is_some_and(|row| access::mode(&row.record).has(Mode::A));
    let decide = |t: &mut TopicRecord| {
        if !may_approve && !access::owns(t, who.user) {
            return Err(Refusal::from(Code::Denied));
        }
        let before = topic_files(t);
        if !put_aux(&mut t.aux, new, most)? {
            return Ok(Step::Keep(None));
        }
        t.updated = now.max(t.updated);
        Ok(Step::Write(Some((before, topic_files(t)))))
    };
    let changed = node.cabinet.change_topic(&t.key, decide).await?;
    let Some(referred) = changed else { return Ok(false) };
    refer_topic(node, &t.key, &referred).await;
    Ok(true)
}

#[cfg(test)]
mod tests;
