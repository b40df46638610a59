//! The list of a user's topics.
use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Subs;
use crate::dialect::tinode::{
    Tinode, access, get,
    ids::{Key, UserId},
    message::{Row, Seen},
    mode::Mode,
    presence,
    record::{SubRecord, TopicRecord, User},
    refusal::Done,
    request::Options,
    topic,
};

/// Topics whose standing is asked for at once.
const AT_ONCE: usize = 32;
/// Topics that are read for a list at once. Of longer lists few are put together at a time.
const CHUNK: usize = 64;
/// Bytes of what topics show in one list. Of those behind that only numbers and modes are told: a
/// client can ask for each.
const SHOWN: usize = 8 << 20;

/// What the rows of a user's topics rest on, read for all of them at once.
struct Listed {
    topics: HashMap<Key, TopicRecord>,
    peers: HashMap<UserId, User>,
    online: HashSet<UserId>,
    awake: HashSet<Key>,
    /// The client is told apart who is online.
    first: bool,
}

impl Listed {
    /// The topic of a subscription, unless it is gone, or the other one of the two is.
    fn topic(&self, sub: &SubRecord) -> Option<&TopicRecord> {
        let is_there = sub.topic.peer(sub.user).is_none_or(|peer| self.peers.contains_key(&peer));
        self.topics.get(&sub.topic).filter(|_| is_there)
    }
}

/// The user's topics. `subs`: its subscriptions, where they are known.
pub(super) async fn topics(
    node: &Tinode,
    user: UserId,
    subs: Option<Subs>,
    first: bool,
    o: &Options<'_>,
) -> Done<Vec<Row>> {
    let subs = match subs {
        Some(subs) => subs,
        None => node.cabinet.subs_of(user).await?,
    };
    let mut subs: Vec<SubRecord> =
        subs.into_iter().map(|read| read.record).filter(access::is_live).collect();
    if !o.topic.is_empty() {
        subs.retain(|row| row.topic.shown(user, row.reader) == *o.topic);
    }
    let (mut rows, mut shown) = (Vec::new(), 0);
    for chunk in subs.chunks(CHUNK) {
        let _building = match subs.len() > CHUNK {
            true => Some(node.hub.begin_page().await?),
            false => None,
        };
        let listed = listed(node, user, chunk, first).await?;
        let mut reading = Vec::with_capacity(chunk.len());
        for sub in chunk {
            if let Some(t) = listed.topic(sub) {
                reading.push(listed_row(node, &listed, t, sub, o));
            }
        }
        let read: Vec<Option<Row>> = stream::iter(reading).buffered(AT_ONCE).try_collect().await?;
        rows.extend(read.into_iter().flatten().map(|row| bounded(row, &mut shown)));
    }
    get::limited(&mut rows, o.limit);
    Ok(rows)
}

/// A row of a list of which so many bytes are `shown` already.
fn bounded(row: Row, shown: &mut usize) -> Row {
    let texts = [&row.public, &row.private, &row.trusted].into_iter().flatten();
    *shown += texts.map(|text| text.get().len()).sum::<usize>();
    match *shown > SHOWN {
        true => Row { public: None, private: None, trusted: None, ..row },
        false => row,
    }
}

async fn listed(node: &Tinode, user: UserId, subs: &[SubRecord], first: bool) -> Done<Listed> {
    let keys: Vec<Key> = subs.iter().map(|row| row.topic).collect();
    let everybody: Vec<UserId> = keys.iter().filter_map(|key| key.peer(user)).collect();
    let topics = node.cabinet.topics(&keys).await?;
    let peers = there(node.cabinet.users(&everybody).await?);
    // Only of those whom the user may see.
    let seen = subs.iter().filter(|row| sees(row)).map(|row| row.topic);
    let (mut users, mut groups, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    for key in seen {
        match (key, topics.get(&key)) {
            (Key::Pair(..), _) => users.extend(key.peer(user)),
            (Key::Group(_), Some(t)) if !first => {
                groups.push(key);
                rooms.push(t.room()?);
            }
            (Key::Group(_) | Key::Own(_), _) => {}
        }
    }
    let online = presence::online(node, &users).await?;
    let awake = presence::awake(node, &rooms).await?;
    let awake = groups.into_iter().zip(awake).filter(|(_, awake)| *awake).map(|(key, _)| key);
    Ok(Listed { topics, peers, online, awake: awake.collect(), first })
}

/// Those who are not gone.
fn there(mut users: HashMap<UserId, User>) -> HashMap<UserId, User> {
    users.retain(|_, user| !user.is_ending());
    users
}

/// Whether the subscription lets its user see who is there.
fn sees(row: &SubRecord) -> bool {
    access::mode(row).has(Mode::J.with(Mode::P))
}

async fn listed_row(
    node: &Tinode,
    listed: &Listed,
    t: &TopicRecord,
    sub: &SubRecord,
    o: &Options<'_>,
) -> Done<Option<Row>> {
    let peer_id = sub.topic.peer(sub.user);
    let peer = peer_id.and_then(|peer| listed.peers.get(&peer));
    let standing = topic::standing(node, t).await?;
    let members = match t.key {
        Key::Group(_) => node.cabinet.members(&t.key, node.options.limits.subscribers).await?.len(),
        Key::Pair(..) | Key::Own(_) => 0,
    };
    let Some(row) = get::Look::new(t, sub, peer, &standing, members).row(o.ims) else {
        return Ok(None);
    };
    let is_there = match peer_id {
        Some(peer) => listed.online.contains(&peer),
        None => listed.awake.contains(&t.key),
    };
    let seen = match peer_id {
        Some(peer) if sees(sub) && !is_there => node.cabinet.seen(peer).await?,
        Some(_) | None => None,
    };
    let seen = seen.map(|seen| Seen { when: seen.when, ua: seen.ua });
    Ok(Some(Row { online: is_there && !listed.first, seen, ..row }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tinode::{message::Ts, mode::Level, record::UserState};

    #[test]
    fn a_long_list_ends_with_numbers_alone() {
        let text = || serde_json::value::to_raw_value(&"x".repeat(SHOWN / 2)).ok();
        let mut shown = 0;
        let mut next = |row: Row| {
            let row = bounded(row, &mut shown);
            (row.seq, row.public.is_some(), row.private.is_some())
        };
        let row = |seq| Row { seq, public: text(), ..Row::default() };
        assert_eq!(next(row(1)), (1, true, false));
        assert_eq!(next(Row { seq: 2, ..Row::default() }), (2, false, false));
        assert_eq!(next(row(3)), (3, false, false), "it would be too much");
        assert_eq!(next(Row { private: text(), ..row(4) }), (4, false, false));
    }

    #[test]
    fn who_is_there_is_seen_by_whom_may() {
        let (a, b) = (UserId::of_number(1).unwrap(), UserId::of_number(2).unwrap());
        for (mode, is_seen) in [("JRWPAD", true), ("JRWAD", false), ("RWP", false), ("N", false)] {
            let peer = access::peer_row(Key::pair(a, b), a, Ts(0));
            let row = SubRecord { given: Mode::parse(mode).unwrap(), ..peer };
            assert_eq!(sees(&row), is_seen, "{mode}");
            let ended = SubRecord { live: None, deleted: true, ..row };
            assert!(!sees(&ended));
        }
    }

    #[test]
    fn a_talk_with_somebody_who_is_gone_is_not_listed() {
        let (a, b) = (UserId::of_number(1).unwrap(), UserId::of_number(2).unwrap());
        let key = Key::pair(a, b);
        let row = access::peer_row(key, a, Ts(0));
        let t = TopicRecord::new(key, "gabcdefghij".to_owned(), Ts(0));
        let state = |state| Some(User { state, ..User::new(b, Level::Auth, Ts(0)) });
        for (peer, is_listed) in [
            (state(UserState::Ok), true),
            (state(UserState::Suspended), true),
            (state(UserState::Ending), false),
            (None, false),
        ] {
            let listed = Listed {
                topics: HashMap::from([(key, t.clone())]),
                peers: there(peer.into_iter().map(|peer| (b, peer)).collect()),
                online: HashSet::new(),
                awake: HashSet::new(),
                first: false,
            };
            assert_eq!(listed.topic(&row).is_some(), is_listed);
        }
    }
}
