//! Who is signed in on this node, and what each would be told of: its sessions and, from when one
//! of them was on `me` until the last one is gone, its subscriptions.
//!
//! What is known of a subscription has the version of its record. It comes from the store
//! ([`Roll::fill`]) and from words ([`Roll::learn`]), in any order; the newest counts. All of it is
//! behind one lock, which is held for moments, and never while another one is taken.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, Weak},
};

use super::{
    ids::{GroupId, Key, UserId},
    mode::Acs,
    post::To,
    presence::Inboxes,
    session::Session,
};
use crate::{domain::ids::ConnectionId, lock::lock};

/// A live subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub acs: Acs,
    /// Of a channel, which is shown under another name.
    pub reader: bool,
    /// That of the record.
    pub version: u64,
}

/// A session that a word may be for.
pub(super) struct Seat<T> {
    pub user: UserId,
    /// What its user has to do with the topic that the word is about.
    pub entry: Option<Entry>,
    pub session: T,
}

/// Everybody on this node.
pub(super) struct Roll {
    state: Mutex<State<Weak<Session>>>,
    /// Which sessions are in the inboxes of their users.
    pub inboxes: Inboxes,
}

impl Roll {
    /// Nobody.
    pub fn new() -> Self {
        Roll { state: Mutex::default(), inboxes: Inboxes::default() }
    }

    /// The session is this user's from now on.
    pub fn signed_in(&self, user: UserId, s: &Arc<Session>) {
        lock(&self.state).signed_in(user, s.id, Arc::downgrade(s));
    }

    /// It is gone. With the last one of its user goes what is known of that.
    pub fn gone(&self, user: UserId, s: ConnectionId) {
        lock(&self.state).gone(user, s);
    }

    /// A session is about to be on `me`. True: its user's subscriptions are not here, and the
    /// caller reads them and hands them to [`Roll::fill`].
    pub fn begin(&self, user: UserId) -> bool {
        lock(&self.state).begin(user)
    }

    /// The user's subscriptions as they were read behind [`Roll::begin`]; of what is nothing any
    /// more no entry.
    pub fn fill(&self, user: UserId, rows: Vec<(Key, Option<Entry>)>) {
        lock(&self.state).fill(user, rows);
    }

    /// What is known of the user's subscriptions may be wrong: they are read again before the next
    /// session is on `me`.
    pub fn forget(&self, user: UserId) {
        lock(&self.state).forget(user);
    }

    /// A subscription is so now, as its record of this version says.
    pub fn learn(&self, user: UserId, key: Key, entry: Option<Entry>, version: u64) {
        lock(&self.state).learn(user, key, entry, version);
    }

    /// The topic is no more, and a new one may get its name.
    pub fn end(&self, key: &Key) {
        lock(&self.state).end(key);
    }

    /// The user's subscription to this topic, if it is known here.
    pub fn entry(&self, user: UserId, key: &Key) -> Option<Entry> {
        lock(&self.state).people.get(&user).and_then(|person| person.entry(key))
    }

    /// All that are known here of the user; none where they are not.
    pub fn keys(&self, user: UserId) -> Vec<(Key, Entry)> {
        self.known(user).unwrap_or_default()
    }

    /// As [`Roll::keys`]; `None`: they are not here.
    pub fn known(&self, user: UserId) -> Option<Vec<(Key, Entry)>> {
        let state = lock(&self.state);
        match &state.people.get(&user)?.subs {
            Subs::Here(slots) => Some(slots.iter().filter_map(Slot::live).collect()),
            Subs::Elsewhere | Subs::Loading(_) => None,
        }
    }

    /// The user's sessions here, on `me` or not.
    pub fn sessions(&self, user: UserId) -> Vec<Arc<Session>> {
        let state = lock(&self.state);
        let sessions = state.people.get(&user).map(|person| &person.sessions[..]);
        sessions.unwrap_or_default().iter().filter_map(|(_, s)| s.upgrade()).collect()
    }

    /// Everybody who is here.
    pub fn everybody(&self) -> Vec<(UserId, Vec<ConnectionId>)> {
        let state = lock(&self.state);
        let ids = |person: &Person<_>| person.sessions.iter().map(|(id, _)| *id).collect();
        state.people.iter().map(|(user, person)| (*user, ids(person))).collect()
    }

    /// The sessions here of those that a word is to. `key`: the topic that it is about, as each of
    /// them has it.
    pub fn audience(
        &self,
        to: &To,
        key: impl Fn(UserId) -> Option<Key>,
    ) -> Vec<Seat<Arc<Session>>> {
        let seats = lock(&self.state).audience(to, key);
        let here = |Seat { user, entry, session }: Seat<Weak<Session>>| {
            session.upgrade().map(|session| Seat { user, entry, session })
        };
        seats.into_iter().filter_map(here).collect()
    }
}

/// What is behind the lock; `T` is a session.
struct State<T> {
    people: HashMap<UserId, Person<T>>,
    /// Who of those whose subscriptions are here has one to the group. The others' topics name
    /// their members.
    groups: HashMap<GroupId, HashSet<UserId>>,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        State { people: HashMap::new(), groups: HashMap::new() }
    }
}

struct Person<T> {
    sessions: Vec<(ConnectionId, T)>,
    subs: Subs,
}

/// Subscriptions, sorted by topic.
enum Subs {
    /// Nobody needs them here.
    Elsewhere,
    /// They are being read. What was learnt since that was begun.
    Loading(Vec<Slot>),
    Here(Vec<Slot>),
}

/// What is known of one subscription. Of one that has ended the version stays, so that older news
/// do not bring it back.
struct Slot {
    key: Key,
    version: u64,
    held: Option<(Acs, bool)>,
}

impl Slot {
    fn entry(&self) -> Option<Entry> {
        self.held.map(|(acs, reader)| Entry { acs, reader, version: self.version })
    }

    fn live(&self) -> Option<(Key, Entry)> {
        self.entry().map(|entry| (self.key, entry))
    }
}

fn find(slots: &[Slot], key: &Key) -> Result<usize, usize> {
    slots.binary_search_by(|slot| slot.key.cmp(key))
}

/// Notes this, unless something newer is known.
fn put(slots: &mut Vec<Slot>, key: Key, entry: Option<Entry>, version: u64) {
    let slot = Slot { key, version, held: entry.map(|entry| (entry.acs, entry.reader)) };
    match find(slots, &key) {
        Ok(at) if slots[at].version <= version => slots[at] = slot,
        Ok(_) => {}
        Err(at) => slots.insert(at, slot),
    }
}

impl<T> Person<T> {
    fn entry(&self, key: &Key) -> Option<Entry> {
        match &self.subs {
            Subs::Here(slots) => find(slots, key).ok().and_then(|at| slots[at].entry()),
            Subs::Elsewhere | Subs::Loading(_) => None,
        }
    }
}

/// Has the index say whether the user has a subscription to this topic.
fn note(groups: &mut HashMap<GroupId, HashSet<UserId>>, user: UserId, key: &Key, is_member: bool) {
    let Key::Group(group) = key else { return };
    if is_member {
        groups.entry(*group).or_default().insert(user);
    } else if let Some(members) = groups.get_mut(group) {
        members.remove(&user);
        if members.is_empty() {
            groups.remove(group);
        }
    }
}

impl<T: Clone> State<T> {
    fn signed_in(&mut self, user: UserId, id: ConnectionId, session: T) {
        let person = || Person { sessions: Vec::with_capacity(1), subs: Subs::Elsewhere };
        let person = self.people.entry(user).or_insert_with(person);
        person.sessions.retain(|(known, _)| *known != id);
        person.sessions.push((id, session));
    }

    fn gone(&mut self, user: UserId, id: ConnectionId) {
        let Some(person) = self.people.get_mut(&user) else { return };
        person.sessions.retain(|(known, _)| *known != id);
        if person.sessions.is_empty() {
            self.forget(user);
            self.people.remove(&user);
        }
    }

    fn begin(&mut self, user: UserId) -> bool {
        let Some(person) = self.people.get_mut(&user) else { return true };
        match &person.subs {
            Subs::Here(_) => false,
            // The other one that reads them may fail.
            Subs::Loading(_) => true,
            Subs::Elsewhere => {
                person.subs = Subs::Loading(Vec::new());
                true
            }
        }
    }

    fn fill(&mut self, user: UserId, rows: Vec<(Key, Option<Entry>)>) {
        let Some(person) = self.people.get_mut(&user) else { return };
        let mut slots = match std::mem::replace(&mut person.subs, Subs::Elsewhere) {
            Subs::Elsewhere => Vec::with_capacity(rows.len()),
            Subs::Loading(slots) | Subs::Here(slots) => slots,
        };
        for (key, entry) in rows {
            if let Some(entry) = entry {
                put(&mut slots, key, Some(entry), entry.version);
            }
        }
        slots.shrink_to_fit();
        for slot in &slots {
            note(&mut self.groups, user, &slot.key, slot.held.is_some());
        }
        person.subs = Subs::Here(slots);
    }

    fn forget(&mut self, user: UserId) {
        let Some(person) = self.people.get_mut(&user) else { return };
        // Who reads them just now is not disturbed.
        if let Subs::Here(slots) = &person.subs {
            slots.iter().for_each(|slot| note(&mut self.groups, user, &slot.key, false));
            person.subs = Subs::Elsewhere;
        }
    }

    fn learn(&mut self, user: UserId, key: Key, entry: Option<Entry>, version: u64) {
        let Some(person) = self.people.get_mut(&user) else { return };
        match &mut person.subs {
            Subs::Elsewhere => {}
            Subs::Loading(slots) => put(slots, key, entry, version),
            Subs::Here(slots) => {
                put(slots, key, entry, version);
                let is_member = find(slots, &key).is_ok_and(|at| slots[at].held.is_some());
                note(&mut self.groups, user, &key, is_member);
            }
        }
    }

    fn end(&mut self, key: &Key) {
        let members: Vec<UserId> = match key {
            Key::Group(group) => {
                self.groups.remove(group).map(|all| all.into_iter().collect()).unwrap_or_default()
            }
            Key::Pair(a, b) => vec![*a, *b],
            Key::Own(user) => vec![*user],
        };
        for user in members {
            let Some(person) = self.people.get_mut(&user) else { continue };
            match &mut person.subs {
                Subs::Elsewhere => {}
                Subs::Loading(slots) | Subs::Here(slots) => slots.retain(|slot| slot.key != *key),
            }
        }
    }

    /// Those who may have a subscription to the topic.
    fn each_of<'a>(&'a self, key: &'a Key) -> Box<dyn Iterator<Item = UserId> + 'a> {
        match key {
            Key::Group(group) => Box::new(self.groups.get(group).into_iter().flatten().copied()),
            Key::Pair(a, b) => Box::new([*a, *b].into_iter()),
            Key::Own(user) => Box::new(std::iter::once(*user)),
        }
    }

    #[cfg(test)]
    fn members(&self, key: &Key) -> Vec<(UserId, Entry)> {
        let entry = |user| self.people.get(&user).and_then(|person| person.entry(key));
        self.each_of(key).filter_map(|user| Some((user, entry(user)?))).collect()
    }

    fn audience(&self, to: &To, key: impl Fn(UserId) -> Option<Key>) -> Vec<Seat<T>> {
        let mut seats = Vec::new();
        let mut seat = |user: UserId, only_members: bool| {
            let Some(person) = self.people.get(&user) else { return };
            let entry = key(user).and_then(|key| person.entry(&key));
            if only_members && entry.is_none() {
                return;
            }
            for (_, session) in &person.sessions {
                seats.push(Seat { user, entry, session: session.clone() });
            }
        };
        match to {
            To::Users(users) => users.iter().for_each(|user| seat(*user, false)),
            To::Members(key) => self.each_of(key).for_each(|user| seat(user, true)),
            To::Others(key, but) => {
                self.each_of(key).filter(|user| user != but).for_each(|user| seat(user, true));
            }
        }
        seats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tinode::mode::Mode;

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    fn group(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    const GARDEN: &str = "grpGardenClub_";

    fn entry(mode: &str, version: u64) -> Option<Entry> {
        let mode = Mode::parse(mode).unwrap();
        Some(Entry { acs: Acs { want: mode, given: mode }, reader: false, version })
    }

    /// The first user, with a session on `me`.
    fn one(rows: Vec<(Key, Option<Entry>)>) -> State<&'static str> {
        let mut state = State::default();
        state.signed_in(user(1), ConnectionId(1), "a");
        assert!(state.begin(user(1)));
        state.fill(user(1), rows);
        state
    }

    fn is(user: u64, mode: &str) -> (u64, String) {
        (user, mode.to_owned())
    }

    fn modes(state: &State<&'static str>, key: &Key) -> Vec<(u64, String)> {
        let members = state.members(key).into_iter();
        let mut modes: Vec<_> =
            members.map(|(user, e)| (user.number(), e.acs.mode().to_string())).collect();
        modes.sort();
        modes
    }

    fn sessions(state: &State<&'static str>, to: &To, key: Key) -> Vec<&'static str> {
        let mut all: Vec<_> =
            state.audience(to, |_| Some(key)).into_iter().map(|seat| seat.session).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_newest_news_of_a_subscription_count_in_whatever_order_they_come() {
        let key = group(GARDEN);
        let after = |news: &[(&str, u64)]| {
            let mut state = State::default();
            state.signed_in(user(1), ConnectionId(1), "a");
            for (what, version) in news {
                match *what {
                    "begin" => assert!(state.begin(user(1))),
                    "read" => state.fill(user(1), vec![(key, entry("JR", *version))]),
                    "gone when read" => state.fill(user(1), vec![(key, None)]),
                    "gone" => state.learn(user(1), key, None, *version),
                    mode => state.learn(user(1), key, entry(mode, *version), *version),
                }
            }
            state.people[&user(1)].entry(&key).map(|e| (e.acs.mode().to_string(), e.version))
        };
        let is = |mode: &str, version| Some((mode.to_owned(), version));
        for (news, expected) in [
            (&[("JRW", 5)][..], None),
            (&[("begin", 0), ("JRW", 5)], None),
            (&[("begin", 0), ("read", 3)], is("JR", 3)),
            (&[("begin", 0), ("JRW", 5), ("read", 3)], is("JRW", 5)),
            (&[("begin", 0), ("JRW", 2), ("read", 3)], is("JR", 3)),
            (&[("begin", 0), ("gone", 4), ("read", 3)], None),
            (&[("begin", 0), ("JRW", 4), ("gone when read", 0)], is("JRW", 4)),
            (&[("begin", 0), ("gone when read", 0)], None),
            (&[("begin", 0), ("gone when read", 0), ("JRW", 4)], is("JRW", 4)),
            (&[("begin", 0), ("read", 3), ("JRW", 5), ("JRWP", 4)], is("JRW", 5)),
            (&[("begin", 0), ("read", 3), ("gone", 5), ("JRWP", 4)], None),
            (&[("begin", 0), ("read", 3), ("gone", 5), ("JRWP", 6)], is("JRWP", 6)),
            // Two sessions at the same time.
            (&[("begin", 0), ("begin", 0), ("read", 4), ("read", 3)], is("JR", 4)),
        ] {
            assert_eq!(after(news), expected, "{news:?}");
        }
    }

    #[test]
    fn who_is_told_of_a_topic() {
        let (garden, pair) = (group(GARDEN), Key::pair(user(1), user(2)));
        let mut state = one(vec![(garden, entry("JRW", 1)), (pair, entry("JRWP", 1))]);
        state.signed_in(user(2), ConnectionId(2), "b");
        state.signed_in(user(2), ConnectionId(3), "c");
        assert_eq!(modes(&state, &garden), [is(1, "JRW")], "the second is not on me");
        assert!(!state.begin(user(1)) && state.begin(user(2)));
        state.fill(user(2), vec![(garden, entry("JR", 7))]);
        assert_eq!(modes(&state, &garden), [is(1, "JRW"), is(2, "JR")]);
        assert_eq!(modes(&state, &pair), [is(1, "JRWP")], "the other one has left it");
        for (to, key, expected) in [
            (To::Members(garden), garden, &["a", "b", "c"][..]),
            (To::Others(garden, user(2)), garden, &["a"]),
            (To::Members(pair), pair, &["a"]),
            (To::Members(Key::Own(user(1))), Key::Own(user(1)), &[]),
            (To::Users(vec![user(2), user(9)]), pair, &["b", "c"]),
        ] {
            assert_eq!(sessions(&state, &to, key), expected, "{key:?}");
        }
        state.gone(user(2), ConnectionId(2));
        assert_eq!(sessions(&state, &To::Members(garden), garden), ["a", "c"]);
        state.gone(user(2), ConnectionId(3));
        assert_eq!(modes(&state, &garden), [is(1, "JRW")]);
        assert_eq!(state.people.len(), 1);
        state.forget(user(1));
        assert!(state.groups.is_empty(), "nothing is kept of it");
        assert_eq!(sessions(&state, &To::Users(vec![user(1)]), pair), ["a"]);
        assert!(state.begin(user(1)), "it is read again");
    }

    #[test]
    fn of_a_topic_that_has_ended_no_version_is_remembered() {
        let (garden, pair) = (group(GARDEN), Key::pair(user(1), user(2)));
        for key in [garden, pair] {
            let mut state = one(vec![(key, entry("JRW", 9))]);
            state.end(&key);
            assert!(modes(&state, &key).is_empty());
            state.learn(user(1), key, entry("JR", 1), 1);
            assert_eq!(modes(&state, &key), [is(1, "JR")], "another one of its name");
            state.gone(user(1), ConnectionId(1));
            assert!(state.groups.is_empty() && state.people.is_empty());
        }
    }
}
