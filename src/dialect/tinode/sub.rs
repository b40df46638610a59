//! `sub`: a session attaches to a topic; its user subscribes to it before, where it has not, and
//! makes it, where it is not there (S:71–98).
//!
//! ```text
//! records      the topic, the user's subscription, of a pair the other's too
//! those there  are told, if somebody is new: before it is seen to come (R:group-basic#24)
//! the room     entered; the answer is sent before anything of the room
//! once more    what was there before is read, and whether the user still may
//! others       on `me` are told, if somebody is new, or a group wakes
//! meta, data   what was asked for
//! ```
//!
//! Whoever takes a user's access writes the record first and has the user out of the room then. So
//! who has entered by a record that was changed meanwhile is taken out, or finds it on the second
//! reading.
use std::sync::Arc;

use super::{
    Tinode,
    access::{self, Changed},
    apply::{self, Cause},
    attach::Attach,
    ending, files, fnd, get,
    ids::{self, GroupId, Key, Topic, UserId},
    leave, me,
    message::{Code, Params, Ts},
    mode::{Defacs, Level, Mode},
    post::{Src, To, Told, Word},
    presence,
    record::{SubRecord, TopicRecord, UserState},
    refusal::{Done, Refusal},
    request::Sub,
    seats,
    session::{Identity, Session},
    set, tags,
};
use crate::{
    domain::{
        presence::{Departure, Visitor},
        room::Answer,
    },
    reason::Reason,
    throttle::throttled,
};

/// Attaches the session to a topic.
pub(super) async fn sub(session: &Arc<Session>, who: Identity, id: &str, sub: Sub<'_>) {
    let topic = match Topic::parse(&sub.topic) {
        Ok(topic) => topic,
        Err(why) => return session.ctrl(id, &sub.topic, get::bad(why)),
    };
    let joining = Joining { session, who, sub: &sub, now: session.now() };
    let joined = match topic {
        Topic::Me => return me::sub(session, who, id, &sub).await,
        Topic::Fnd => return fnd::sub(session, who, id, &sub).await,
        Topic::Sys => Err(Code::Denied.into()),
        Topic::New { channel, .. } => joining.make(channel).await,
        Topic::Slf | Topic::User(_) | Topic::Group(_) | Topic::Reader(_) => {
            joining.join(&topic).await
        }
    };
    let attached = match joined {
        Ok(joined) => attach(&joining, id, joined).await,
        Err(why) => Err(why),
    };
    if let Err(why) = attached {
        session.refuse(id, &sub.topic, why);
    }
}

/// Who subscribes, and what it has said.
struct Joining<'a> {
    session: &'a Arc<Session>,
    who: Identity,
    sub: &'a Sub<'a>,
    now: Ts,
}

/// What has become of the records.
struct Joined {
    t: TopicRecord,
    changed: Changed,
    version: u64,
    /// The other of a pair, where its subscription was made just now.
    peer: Option<(Changed, u64)>,
    /// What the user notes of the topic has changed.
    noted: bool,
    /// What belongs to the answer.
    params: Params,
}

impl Joining<'_> {
    fn node(&self) -> &Arc<Tinode> {
        &self.session.node
    }

    /// What the user wants to be able to do, if it says so. `there`: what it wanted until now.
    fn want(&self, there: Mode) -> Done<Option<Mode>> {
        let Some(set) = &self.sub.set.sub else { return Ok(None) };
        let is_own = set.user.is_empty() || UserId::parse(&set.user) == Some(self.who.user);
        if !is_own || set.mode.is_empty() {
            return Ok(None);
        }
        Ok(Some(there.changed_by(&set.mode).ok_or(Code::Malformed)?))
    }

    /// A topic that is there, or that is made by being talked to.
    async fn join(&self, topic: &Topic<'_>) -> Done<Joined> {
        let (node, user) = (self.node(), self.who.user);
        let key = topic.key(user).ok_or(Code::Denied)?; // the pair with oneself
        if let Some(attach) = self.session.attached(&key) {
            // Of what has ended it may not have heard yet.
            let t = node.cabinet.topic(&key).await?;
            let is_there = t.is_some_and(|t| *t.record.life == *attach.live.life);
            let code = match key {
                Key::Group(_) | Key::Pair(..) | Key::Own(_) if is_there => Code::AlreadySubscribed,
                Key::Pair(..) => Code::UserNotFound,
                Key::Group(_) | Key::Own(_) => Code::TopicNotFound,
            };
            return Err(code.into());
        }
        match key {
            Key::Group(_) => {
                let t = node.cabinet.topic(&key).await?.ok_or(Code::TopicNotFound)?.record;
                let row = node.cabinet.sub(&key, user).await?.map(|read| read.record);
                let is_member = row.as_ref().is_some_and(access::is_member);
                let reader = topic.is_reader();
                let may = self.decide(&t, row, |t, row, want| {
                    access::join_group(t, row, self.who, reader, want, self.now)
                })?;
                let seat = match !reader && !is_member {
                    true => Some(seats::take(node, key, user).await?),
                    false => None,
                };
                self.session.may_enter(&t.room()?)?;
                if may.0.owner {
                    // The topic's record says first who owns it: what is cut off then is mended.
                    apply::own(node, &key, user).await?;
                }
                let joined = self.group(t, reader).await?;
                if seat.is_some() {
                    seats::keep(node, key, user).await?;
                }
                drop(seat);
                Ok(joined)
            }
            Key::Own(_) => {
                let t = self.found(key).await?;
                self.session.may_enter(&t.room()?)?;
                let t = self.made(t).await?;
                self.group(t, false).await
            }
            Key::Pair(..) => self.pair(key).await,
        }
    }

    /// A group, or one's own notes.
    async fn group(&self, t: TopicRecord, reader: bool) -> Done<Joined> {
        let change = self.node().cabinet.change_sub(&t.key, self.who.user, |row| {
            let (changed, noted) = self.decide(&t, row, |t, row, want| {
                access::join_group(t, row, self.who, reader, want, self.now)
            })?;
            Ok((written(&changed, noted), (changed, noted)))
        });
        let ((changed, noted), version) = change.await?;
        Ok(Joined::new(t, changed, version, noted))
    }

    /// What becomes of the subscription as it was read; and whether what its user notes of the
    /// topic has changed.
    fn decide(
        &self,
        t: &TopicRecord,
        row: Option<SubRecord>,
        join: impl Fn(&TopicRecord, Option<SubRecord>, Option<Mode>) -> Done<Changed>,
    ) -> Done<(Changed, bool)> {
        let want = self.want(row.as_ref().map_or(Mode::NONE, |row| row.want))?;
        let mut changed = join(t, row, want)?;
        let noted = self.note(&mut changed.row)?;
        Ok((changed, noted))
    }

    /// What the user notes of the topic for itself.
    fn note(&self, row: &mut SubRecord) -> Done<bool> {
        let most = self.node().options.limits.message;
        let noted = set::put(&mut row.private, self.sub.set.desc.private, most)?;
        if noted {
            row.updated = self.now.max(row.updated);
        }
        Ok(noted)
    }

    /// The talk with another user. Both may begin it at the same time, on two nodes: each record is
    /// made once, and who comes second finds it.
    async fn pair(&self, key: Key) -> Done<Joined> {
        let (node, who) = (self.node(), self.who);
        let peer = key.peer(who.user).ok_or(Code::Denied)?;
        let found = node.cabinet.user(peer).await?.ok_or(Code::UserNotFound)?.record;
        match found.state {
            UserState::Ok | UserState::Suspended => {}
            UserState::Ending => return Err(Code::UserNotFound.into()),
        }
        let join =
            |_: &TopicRecord, row, want| access::join_pair(key, row, &found, who, want, self.now);
        // Before anything is made of a talk that the other does not want.
        let t = self.found(key).await?;
        let row = node.cabinet.sub(&key, who.user).await?.map(|read| read.record);
        self.decide(&t, row, join)?;
        self.session.may_enter(&t.room()?)?;
        let t = self.made(t).await?;
        let change = node.cabinet.change_sub(&key, who.user, |row| {
            let (changed, noted) = self.decide(&t, row, join)?;
            Ok((written(&changed, noted), (changed, noted)))
        });
        let ((changed, noted), version) = change.await?;
        let other = node.cabinet.change_sub(&key, peer, |row| {
            let new = match row {
                Some(_) => None, // also one that has left
                None => Some(access::peer_row(key, peer, self.now)),
            };
            Ok((new.clone(), new))
        });
        let (new, version_of_peer) = other.await?;
        if new.is_some() {
            // Who is deleted is marked before its subscriptions are looked for. So either this one
            // is found there, or the mark is seen here.
            if let Err(why) = set::is_user(node, peer).await {
                if why.code == Code::UserNotFound {
                    ending::topic(node, &t).await?;
                }
                return Err(why);
            }
        }
        let peer = new.map(|row| (Changed::begun(row), version_of_peer));
        Ok(Joined { peer, ..Joined::new(t, changed, version, noted) })
    }

    /// A topic of which nothing is known yet.
    fn new_topic(&self, key: Key) -> Done<TopicRecord> {
        Ok(TopicRecord::new(key, ids::life(&*self.node().hub.rng, false)?, self.now))
    }

    /// The topic of this key; if there is none, as it may be made.
    async fn found(&self, key: Key) -> Done<TopicRecord> {
        match self.node().cabinet.topic(&key).await? {
            Some(there) => Ok(there.record),
            None => self.new_topic(key),
        }
    }

    /// The topic that was found, made if it is not there.
    async fn made(&self, t: TopicRecord) -> Done<TopicRecord> {
        let cabinet = &self.node().cabinet;
        if let Some(there) = cabinet.topic(&t.key).await? {
            return Ok(there.record);
        }
        if cabinet.add_topic(&t).await? {
            return Ok(t);
        }
        // Somebody has made it meanwhile; or the one before it is still being deleted.
        Ok(cabinet.topic(&t.key).await?.ok_or(Code::Unavailable)?.record)
    }

    /// A new group, with all that is said of it.
    async fn make(&self, channel: bool) -> Done<Joined> {
        let (node, who, said) = (self.node(), self.who, &self.sub.set);
        let (rng, limits) = (&*node.hub.rng, &node.options.limits);
        let key = Key::Group(GroupId::random(rng)?);
        if said.desc.trusted.is_some() && !matches!(who.level, Level::Root) {
            return Err(Code::Denied.into());
        }
        let mut t = TopicRecord {
            life: ids::life(rng, channel)?,
            channel,
            owner: Some(who.user),
            defacs: Defacs { auth: Mode::GROUP, anon: Mode::NONE },
            ..self.new_topic(key)?
        };
        set::put(&mut t.public, said.desc.public, limits.message)?;
        set::put(&mut t.trusted, said.desc.trusted, limits.message)?;
        set::put_defacs(&mut t.defacs, &said.desc, false)?;
        if let Some(given) = &said.tags {
            t.tags = tags::normalised(given.iter().map(|tag| &**tag), limits);
            if t.tags.iter().any(|tag| tags::is_reserved(tag)) {
                return Err(Refusal { code: Code::Denied, params: Params::what("tags") });
            }
        }
        if let Some(aux) = said.aux {
            set::put_aux(&mut t.aux, aux, limits.message)?;
        }
        let mut row = access::owner_row(&t, who.user, None);
        if let Some(want) = self.want(row.want)? {
            row = access::want(&t, row, want, self.now)?.row;
        }
        let noted = self.note(&mut row)?;
        self.session.may_enter(&t.room()?)?;
        if !node.cabinet.add_topic(&t).await? {
            return Err(Code::Unavailable.into()); // of 2^64 names just this one
        }
        let change = node.cabinet.change_sub(&key, who.user, |_| Ok((Some(row.clone()), ())));
        let ((), version) = change.await?;
        let files = set::files_in(t.public.iter().chain(&t.trusted).chain(t.aux.values()));
        set::refer(node, &format!("g/{}", key.id()), &(Default::default(), files)).await;
        let joined = Joined::new(t, Changed::begun(row), version, noted);
        let params = joined.params.clone().text("tmpname", &self.sub.topic);
        Ok(Joined { params, ..joined })
    }
}

/// What is to be written of a subscription.
fn written(changed: &Changed, noted: bool) -> Option<SubRecord> {
    let is_new = changed.before.is_none() || changed.dacs.is_some();
    (is_new || noted).then(|| changed.row.clone())
}

impl Joined {
    fn new(t: TopicRecord, changed: Changed, version: u64, noted: bool) -> Self {
        // Who was subscribed, and is as before, knows what it may.
        let params = match &changed.dacs {
            Some(_) => Params::default().acs(changed.row.acs()),
            None => Params::default(),
        };
        Joined { t, changed, version, peer: None, noted, params }
    }
}

/// Attaches the session, answers, and tells others.
///
/// # Errors
/// Why it is not attached. What fails behind the answer closes the session.
async fn attach(joining: &Joining<'_>, id: &str, mut joined: Joined) -> Done<()> {
    let Joining { session, who, .. } = *joining;
    let (node, t, row) = (&session.node, &joined.t, &joined.changed.row);
    let (room, reader) = (t.room()?, row.reader);
    let visitor = Visitor {
        connection: session.id,
        uid: who.user.uid()?,
        // Members of a group are seen by each other there, and nobody else.
        hidden: reader || !matches!(t.key, Key::Group(_)),
        wants_roster: false,
        guest: false,
        socket: Some(session.socket()),
        checked: None,
    };
    let is_asleep = match t.key {
        // As far as this node knows somebody is there, or has been so until just now.
        Key::Group(_) if node.topics.known(&t.key).is_some() || node.sleepers.came(t.key) => false,
        Key::Group(_) => !presence::awake(node, std::slice::from_ref(&room)).await?.contains(&true),
        Key::Pair(..) | Key::Own(_) => false,
    };
    let live = node.topics.live(node, t)?;
    let attach = Attach::new(session, &live, who, reader, row.acs());
    if !session.add(&attach) {
        return Err(Code::AlreadySubscribed.into());
    }
    let params = std::mem::take(&mut joined.params);
    let (answering, to) = (attach.clone(), id.to_owned());
    let answer: Answer = Box::new(move |entered| {
        if entered.is_ok() {
            answering.session.ctrl_with(&to, &answering.shown, Code::Ok, params);
        }
    });
    let told = apply::foretell(session, who, t, &joined.changed, joined.version).await;
    session.known_to_hub().await;
    let Some(entered) = node.hub.enter(&room, visitor, attach.clone(), answer).await else {
        attach.go();
        session.forget_attach(&attach);
        return Err(Code::Unavailable.into());
    };
    attach.entered(entered);
    let gone_on = go_on(joining, id, &attach, &joined, is_asleep).await;
    if let Err(Refusal { code, .. }) = told.and(gone_on) {
        throttled!(warn, code = code.number(), "a session could not be attached wholly; it closes");
        session.close(Reason::StoreUnavailable);
    }
    Ok(())
}

/// What is done behind the answer.
async fn go_on(
    joining: &Joining<'_>,
    id: &str,
    attach: &Arc<Attach>,
    joined: &Joined,
    is_asleep: bool,
) -> Done<()> {
    if !reconcile(attach).await? {
        return Ok(());
    }
    announce(joining, joined).await?;
    if is_asleep {
        presence::woke(&joining.session.node, &joined.t);
    }
    if let Some(query) = &joining.sub.get {
        get::answer(attach, id, &joined.t, query).await;
    }
    Ok(())
}

/// Behind entering the room: what was there before, and whether the user still may be there. If
/// not, or if the session is out already, this is false.
async fn reconcile(attach: &Arc<Attach>) -> Done<bool> {
    let Attach { session, live, who, .. } = &**attach;
    let node = &session.node;
    live.follow(node, attach).await?;
    let t = node.cabinet.topic(&live.key).await?;
    let row = node.cabinet.sub(&live.key, who.user).await?;
    let is_here = session.attached(&live.key).is_some_and(|here| Arc::ptr_eq(&here, attach));
    if !is_here {
        // It has ended meanwhile, or was taken out, which it was told. It may have been in before
        // it entered.
        leave::depart(attach, Departure::Gone).await;
        return Ok(false);
    }
    let is_same = t.is_some_and(|t| *t.record.life == *live.life);
    let unsub = match row {
        Some(row) if is_same && access::mode(&row.record).has(Mode::J) => {
            attach.learn_acs(row.record.acs(), row.version);
            return Ok(true);
        }
        Some(row) => !access::is_live(&row.record),
        None => true,
    };
    leave::depart(attach, Departure::Left).await;
    // Of a topic that is deleted nothing is said.
    if is_same {
        let params = Params::default().flag("unsub", unsub);
        session.ctrl_with("", &attach.shown, Code::Evicted, params);
    }
    Ok(false)
}

/// Tells others who has come: of a pair both may be new.
async fn announce(joining: &Joining<'_>, joined: &Joined) -> Done<()> {
    let Joining { session, who, .. } = *joining;
    let Joined { t, changed, version, peer, noted, .. } = joined;
    let node = &session.node;
    apply::tell(session, who, t, changed, *version, Cause::Joined).await?;
    if let Some((changed, version)) = peer {
        apply::tell(session, who, t, changed, *version, Cause::Changed).await?;
    }
    let was_there = changed.before.is_some();
    if peer.is_none() && !was_there {
        apply::seen_again(node, &t.key, who.user).await?;
    }
    let files = set::files_in(&changed.row.private);
    if *noted && (was_there || !files.is_empty()) {
        files::refer(node, &format!("s/{}", t.key.sub_id(who.user)), &files).await;
    }
    if *noted && was_there {
        let (to, told) = (To::Users(vec![who.user]), Told::Upd { src: Src::Topic(t.key) });
        let word = Word { to, needs: Mode::NONE, unattached: false, told };
        node.post.say(node, vec![word], Some(session.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tinode::mode::{Acs, Dacs};

    fn row() -> SubRecord {
        let user = UserId::of_number(7).unwrap();
        access::peer_row(Key::Own(user), user, Ts(5))
    }

    #[test]
    fn who_is_subscribed_as_before_writes_nothing_and_is_told_nothing() {
        let acs = row().acs();
        let changed = |before: Option<Acs>| Changed {
            before,
            dacs: Dacs::between(before, acs),
            ..Changed::begun(row())
        };
        let other = Acs { want: Mode::READER, given: acs.given };
        for (before, noted, writes, told) in [
            (None, false, true, true),
            (Some(acs), false, false, false),
            (Some(acs), true, true, false),
            (Some(other), false, true, true),
        ] {
            let changed = changed(before);
            assert_eq!(written(&changed, noted).is_some(), writes, "{before:?} {noted}");
            assert_eq!(changed.dacs.is_some(), told, "{before:?}");
        }
    }
}
