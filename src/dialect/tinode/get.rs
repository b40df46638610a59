//! `get` of a topic, and of what `sub` asks for along with it: each part has an answer of its own,
//! always in the order desc, sub, tags, cred, aux, data, del (S:57).
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Tinode,
    access::{self, Outside, Unattached},
    attach::Attach,
    delete, fnd, history,
    ids::{BadTopic, Key, Topic, UserId},
    me,
    message::{Code, Desc, Params, Part, Raw, Row, ShownAcs, Ts},
    mode::Mode,
    presence,
    record::{SubRecord, TopicRecord, User},
    refusal::{Done, Refusal},
    request::{Options, Query, What},
    session::{Identity, Session},
    stored::Mark,
    topic::{self, TopicStanding},
};

/// What a name that is none is answered with.
pub(super) fn bad(why: BadTopic) -> Code {
    match why {
        BadTopic::Malformed => Code::Malformed,
        BadTopic::Unknown => Code::TopicNotFound,
    }
}

/// There is nothing of this part.
pub(super) fn nothing(session: &Session, id: &str, topic: &str, what: &str) {
    session.ctrl_with(id, topic, Code::NoContent, Params::what(what));
}

/// Rows, if there are any.
pub(super) fn rows(session: &Session, id: &str, topic: &str, rows: Done<Vec<Row>>) {
    match rows {
        Ok(rows) if rows.is_empty() => nothing(session, id, topic, "sub"),
        Ok(rows) => session.meta(id, topic, Part::Sub(&rows)),
        Err(why) => session.refuse(id, topic, why),
    }
}

/// What a topic or user looks like.
pub(super) fn desc(session: &Session, id: &str, topic: &str, desc: Done<Desc>) {
    match desc {
        Ok(desc) => session.meta(id, topic, Part::Desc(&desc)),
        Err(why) => session.refuse(id, topic, why),
    }
}

/// As many rows as are asked for; 0 or less: all.
pub(super) fn limited(rows: &mut Vec<Row>, limit: i64) {
    if let Ok(limit @ 1..) = usize::try_from(limit) {
        rows.truncate(limit);
    }
}

/// Whether what has changed at this time is new to a client that knows all until `ims` (S:65).
pub(super) fn is_news(at: Ts, ims: Option<Ts>) -> bool {
    ims.is_none_or(|ims| at > ims)
}

/// Answers `get`.
pub(super) async fn get(
    session: &Arc<Session>,
    who: Identity,
    id: &str,
    topic: &str,
    q: &Query<'_>,
) {
    let parsed = match Topic::parse(topic) {
        Ok(parsed) => parsed,
        Err(why) => return session.ctrl(id, topic, bad(why)),
    };
    if q.what.is_empty() {
        return session.ctrl(id, topic, Code::Malformed);
    }
    let key = match parsed {
        Topic::Me => return me::get(session, who, id, q, false).await,
        Topic::Fnd => return fnd::get(session, who, id, q, false).await,
        Topic::New { .. } => return session.ctrl(id, topic, Code::TopicNotFound),
        Topic::Sys | Topic::Slf | Topic::User(_) | Topic::Group(_) | Topic::Reader(_) => {
            parsed.key(who.user)
        }
    };
    // `sys`, and the pair with oneself.
    let Some(key) = key else { return session.ctrl(id, topic, Code::Denied) };
    let t = match session.node.cabinet.topic(&key).await {
        Ok(t) => t.map(|read| read.record),
        Err(why) => return session.refuse(id, topic, why),
    };
    match (session.attached(&key), t) {
        (Some(attach), Some(t)) => answer(&attach, id, &t, q).await,
        (Some(attach), None) => session.ctrl(id, &attach.shown, Code::TopicNotFound),
        (None, t) => {
            let asked = Asked { session, who, key, topic, as_reader: parsed.is_reader() };
            asked.answer(id, t.as_ref(), q).await;
        }
    }
}

/// Answers what is asked of a topic by a session that is attached to it.
pub(super) async fn answer(attach: &Arc<Attach>, id: &str, t: &TopicRecord, q: &Query<'_>) {
    let (session, shown, what) = (&attach.session, &*attach.shown, q.what);
    let node = &session.node;
    // Both parts need to know them.
    let members = match t.key {
        Key::Group(_) if what.has(What::DESC) || what.has(What::SUB) => {
            match node.cabinet.members(&t.key, node.options.limits.subscribers).await {
                Ok(members) => members.into_iter().map(|read| read.record).collect(),
                Err(why) => return session.refuse(id, shown, why),
            }
        }
        Key::Group(_) | Key::Pair(..) | Key::Own(_) => Vec::new(),
    };
    if what.has(What::DESC) {
        desc(session, id, shown, desc_of(attach, t, members.len(), &q.desc).await);
    }
    if what.has(What::SUB) {
        rows(session, id, shown, rows_of(attach, t, members, &q.sub).await);
    }
    if what.has(What::TAGS) {
        // Whose they are (S:94).
        match &t.tags[..] {
            _ if !access::owns(t, attach.who.user) => session.ctrl(id, shown, Code::Denied),
            [] => nothing(session, id, shown, "tags"),
            tags => session.meta(id, shown, Part::Tags(tags)),
        }
    }
    if what.has(What::CRED) {
        session.ctrl(id, shown, Code::Denied);
    }
    if what.has(What::AUX) {
        match t.aux.is_empty() {
            true => nothing(session, id, shown, "aux"),
            false => session.meta(id, shown, Part::Aux(&t.aux)),
        }
    }
    if what.has(What::DATA) {
        history::data(attach, id, &q.data).await;
    }
    if what.has(What::DEL) {
        match delete::log(node, &t.life, attach.who.user, &q.del).await {
            Ok((_, ranges)) if ranges.is_empty() => nothing(session, id, shown, "del"),
            Ok((clear, ranges)) => {
                session.meta(id, shown, Part::Del { clear, ranges: &ranges });
            }
            Err(why) => session.refuse(id, shown, why),
        }
    }
}

/// What is known of a topic, as one of its users looks at it.
pub(super) struct Look<'a> {
    pub t: &'a TopicRecord,
    pub row: &'a SubRecord,
    /// Of a pair, the other.
    pub peer: Option<&'a User>,
    pub last: u64,
    /// When the last message was sent; there may be none.
    pub touched: Option<Ts>,
    /// How far the user has come.
    pub mark: Mark,
    /// Of a group.
    pub members: u64,
}

impl<'a> Look<'a> {
    pub fn new(
        t: &'a TopicRecord,
        row: &'a SubRecord,
        peer: Option<&'a User>,
        standing: &TopicStanding,
        members: usize,
    ) -> Self {
        let mark = match row.reader {
            true => Mark::of(row.read, row.recv),
            false => standing.marks.get(&row.user).copied().unwrap_or_default(),
        };
        let (last, touched) = (standing.last, standing.touched);
        Look { t, row, peer, last, touched, mark, members: count(members) }
    }

    /// When what it looks like to the user has changed last.
    fn updated(&self) -> Ts {
        let at = self.row.updated.max(self.t.updated);
        self.peer.map_or(at, |peer| at.max(peer.updated))
    }

    fn touched(&self) -> Ts {
        self.touched.unwrap_or(self.t.created)
    }

    /// Members and readers.
    fn subcnt(&self) -> u64 {
        match self.t.key {
            Key::Group(_) => self.members + self.t.readers,
            Key::Pair(..) | Key::Own(_) => 0,
        }
    }

    /// As it looks to a session that is attached.
    pub fn desc(&self, ims: Option<Ts>) -> Desc {
        let (t, acs) = (self.t, self.row.acs());
        let is_group = matches!(t.key, Key::Group(_));
        let is_new = is_news(self.updated(), ims);
        let (public, trusted) = looks(t, self.peer);
        Desc {
            created: is_new.then_some(t.created),
            updated: Some(self.updated()),
            touched: Some(self.touched()),
            // It is there itself.
            online: is_group,
            defacs: Some(t.defacs).filter(|_| is_group && acs.mode().has(Mode::S)),
            acs: Some(ShownAcs::All(acs)),
            seq: self.last,
            read: self.mark.read,
            recv: self.mark.recv,
            // Soft ones of others too: R:delete-soft#18.
            clear: t.del,
            subcnt: self.subcnt(),
            public: public.filter(|_| is_new),
            private: self.row.private.clone().filter(|_| is_new),
            trusted: trusted.filter(|_| is_new),
            chan: t.channel,
            seen: None,
        }
    }

    /// As it looks in the user's list of topics. Of one that it is banned from nothing is told but
    /// that. `None`: nothing is new.
    pub fn row(&self, ims: Option<Ts>) -> Option<Row> {
        let (t, row) = (self.t, self.row);
        let mode = access::mode(row);
        let is_in = mode.has(Mode::J);
        let touched = Some(self.touched()).filter(|_| is_in);
        let at = touched.map_or(self.updated(), |touched| touched.max(self.updated()));
        if !is_news(at, ims) {
            return None;
        }
        let (public, trusted) = looks(t, self.peer);
        let if_in = |number| if is_in { number } else { 0 };
        Some(Row {
            topic: Some(t.key.shown(row.user, row.reader)),
            updated: Some(self.updated()),
            touched,
            acs: Some(ShownAcs::All(row.acs())),
            seq: if_in(self.last),
            read: if_in(self.mark.read),
            recv: if_in(self.mark.recv),
            // Only what concerns the user: R:delete-soft#19.
            clear: if_in(t.hard.max(row.del)),
            subcnt: if_in(self.subcnt()),
            public,
            private: row.private.clone(),
            trusted,
            ..Row::default()
        })
    }
}

type Looks = (Option<Raw>, Option<Raw>);

/// A topic's public and trusted: a pair looks as the other does, and notes look like nothing.
fn looks(t: &TopicRecord, peer: Option<&User>) -> Looks {
    match t.key {
        Key::Group(_) => (t.public.clone(), t.trusted.clone()),
        Key::Pair(..) => {
            peer.map_or((None, None), |peer| (peer.public.clone(), peer.trusted.clone()))
        }
        Key::Own(_) => (None, None),
    }
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The other one of a pair, unless it is being deleted: then it is gone for everybody.
async fn peer_of(node: &Tinode, key: &Key, user: UserId) -> Done<Option<User>> {
    match key.peer(user) {
        Some(peer) => {
            let peer = node.cabinet.user(peer).await?.map(|read| read.record);
            Ok(peer.filter(|peer| !peer.is_ending()))
        }
        None => Ok(None),
    }
}

async fn desc_of(attach: &Attach, t: &TopicRecord, members: usize, o: &Options<'_>) -> Done<Desc> {
    let (node, user) = (&attach.session.node, attach.who.user);
    let row = node.cabinet.sub(&t.key, user).await?.ok_or(Code::NotFound)?.record;
    let peer = peer_of(node, &t.key, user).await?;
    let standing = topic::standing(node, t).await?;
    Ok(Look::new(t, &row, peer.as_ref(), &standing, members).desc(o.ims))
}

/// Who is subscribed: of a pair both, with their modes and marks alone (S:78); of a group its
/// members; of a channel its reader itself.
async fn rows_of(
    attach: &Attach,
    t: &TopicRecord,
    members: Vec<SubRecord>,
    o: &Options<'_>,
) -> Done<Vec<Row>> {
    let (node, me) = (&attach.session.node, attach.who.user);
    let mut rows = match t.key {
        Key::Group(_) if !attach.reader => {
            let users: Vec<UserId> = members.iter().map(|row| row.user).collect();
            let users = node.cabinet.users(&users).await?;
            let here = presence::here(node, &attach.live.room).await?;
            let marks = attach.live.marks();
            members.iter().filter_map(|row| member(row, me, &users, &here, &marks, o.ims)).collect()
        }
        Key::Group(_) => {
            let row = node.cabinet.sub(&t.key, me).await?.ok_or(Code::NotFound)?.record;
            let mark = Mark::of(row.read, row.recv);
            let shown = Some(own(&row, mark)).filter(|_| is_news(row.updated, o.ims));
            shown.into_iter().collect()
        }
        Key::Pair(first, second) => {
            both(node, t, &[first, second], &attach.live.marks(), o.ims).await?
        }
        Key::Own(user) => both(node, t, &[user], &attach.live.marks(), o.ims).await?,
    };
    if let Some(user) = UserId::parse(&o.user) {
        rows.retain(|row| row.user == Some(user));
    }
    limited(&mut rows, o.limit);
    Ok(rows)
}

async fn both(
    node: &Tinode,
    t: &TopicRecord,
    users: &[UserId],
    marks: &HashMap<UserId, Mark>,
    ims: Option<Ts>,
) -> Done<Vec<Row>> {
    let mut rows = Vec::with_capacity(users.len());
    for user in users {
        let Some(row) = node.cabinet.sub(&t.key, *user).await? else { continue };
        let row = row.record;
        if access::is_live(&row) && is_news(row.updated, ims) {
            let mark = marks.get(user).copied().unwrap_or_default();
            rows.push(Row { private: None, ..own(&row, mark) });
        }
    }
    Ok(rows)
}

/// A subscription as its user sees it.
fn own(row: &SubRecord, mark: Mark) -> Row {
    Row {
        user: Some(row.user),
        updated: Some(row.updated),
        acs: Some(ShownAcs::All(row.acs())),
        read: mark.read,
        recv: mark.recv,
        private: row.private.clone(),
        ..Row::default()
    }
}

/// A member of a group as `me`, another one or the same, sees it.
fn member(
    row: &SubRecord,
    me: UserId,
    users: &HashMap<UserId, User>,
    here: &HashSet<UserId>,
    marks: &HashMap<UserId, Mark>,
    ims: Option<Ts>,
) -> Option<Row> {
    let user = users.get(&row.user);
    let updated = user.map_or(row.updated, |user| user.updated.max(row.updated));
    if !is_news(updated, ims) {
        return None;
    }
    let shown = own(row, marks.get(&row.user).copied().unwrap_or_default());
    Some(Row {
        updated: Some(updated),
        online: here.contains(&row.user),
        public: user.and_then(|user| user.public.clone()),
        trusted: user.and_then(|user| user.trusted.clone()),
        private: shown.private.filter(|_| row.user == me),
        ..shown
    })
}

/// A topic that a session asks of without being attached.
struct Asked<'a> {
    session: &'a Arc<Session>,
    who: Identity,
    key: Key,
    /// As the client calls it.
    topic: &'a str,
    as_reader: bool,
}

impl Asked<'_> {
    async fn answer(&self, id: &str, t: Option<&TopicRecord>, q: &Query<'_>) {
        let (session, topic) = (self.session, self.topic);
        let row = match session.node.cabinet.sub(&self.key, self.who.user).await {
            Ok(row) => row.map(|read| read.record).filter(access::is_live),
            Err(why) => return session.refuse(id, topic, why),
        };
        let outside = match (t, &row) {
            (None, _) => Outside::Nothing,
            (Some(_), Some(_)) => Outside::Member,
            (Some(_), None) => Outside::Stranger,
        };
        let refused = |asked| access::unattached(outside, asked).map(Refusal::from);
        if q.what.has(What::DESC) {
            let shown = match (self.key, refused(Unattached::GetDesc)) {
                // A user is there before anybody talks to it.
                (Key::Pair(..), _) | (_, None) => self.desc(t, row.as_ref(), &q.desc).await,
                (Key::Group(_) | Key::Own(_), Some(why)) => Err(why),
            };
            desc(session, id, topic, shown);
        }
        if q.what.has(What::SUB) {
            let shown = match (refused(Unattached::GetSub), t, &row) {
                (None, Some(t), Some(row)) => self.row(t, row).await.map(|row| vec![row]),
                (None, _, _) => Err(Code::NotFound.into()),
                (Some(why), _, _) => Err(why),
            };
            rows(session, id, topic, shown);
        }
        for part in [What::TAGS, What::CRED, What::AUX, What::DATA, What::DEL] {
            if q.what.has(part)
                && let Some(why) = refused(Unattached::GetRest)
            {
                session.refuse(id, topic, why);
            }
        }
    }

    async fn desc(
        &self,
        t: Option<&TopicRecord>,
        row: Option<&SubRecord>,
        o: &Options<'_>,
    ) -> Done<Desc> {
        let node = &self.session.node;
        let peer = peer_of(node, &self.key, self.who.user).await?;
        let (defaults, created, updated) = match (self.key, t, &peer) {
            (Key::Pair(..), _, None) => return Err(Code::UserNotFound.into()),
            (Key::Pair(..), _, Some(peer)) => {
                (peer.defacs.of(self.who.level), peer.created, peer.updated)
            }
            (Key::Group(_) | Key::Own(_), None, _) => return Err(Code::TopicNotFound.into()),
            (Key::Group(_) | Key::Own(_), Some(t), _) => {
                (t.defacs.of(self.who.level), t.created, t.updated)
            }
        };
        let defaults = match self.as_reader {
            true => defaults.and(Mode::READER),
            false => defaults,
        };
        let created = t.filter(|_| row.is_some()).map_or(created, |t| t.created);
        let updated = row.map_or(updated, |row| updated.max(row.updated));
        let acs = match row {
            Some(row) => ShownAcs::All(row.acs()),
            None => ShownAcs::Mode(defaults),
        };
        let (public, trusted) = match (t, &peer) {
            (Some(t), peer) => looks(t, peer.as_ref()),
            (None, Some(peer)) => (peer.public.clone(), peer.trusted.clone()),
            (None, None) => (None, None),
        };
        let (subcnt, chan) = match (self.key, t) {
            (Key::Group(_), Some(t)) => {
                let most = node.options.limits.subscribers;
                let members = node.cabinet.members(&t.key, most).await?;
                (count(members.len()) + t.readers, t.channel)
            }
            (Key::Group(_), None) | (Key::Pair(..) | Key::Own(_), _) => (0, false),
        };
        let is_new = is_news(updated, o.ims);
        Ok(Desc {
            created: is_new.then_some(created),
            updated: Some(updated),
            acs: Some(acs),
            subcnt,
            public: public.filter(|_| is_new),
            private: row.and_then(|row| row.private.clone()).filter(|_| is_new),
            trusted: trusted.filter(|_| is_new),
            chan,
            ..Desc::default()
        })
    }

    async fn row(&self, t: &TopicRecord, row: &SubRecord) -> Done<Row> {
        let standing = topic::standing(&self.session.node, t).await?;
        Ok(own(row, Look::new(t, row, None, &standing, 0).mark))
    }
}

#[cfg(test)]
mod tests;
