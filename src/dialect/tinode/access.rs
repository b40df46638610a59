//! What becomes of a subscription: who may change it, and to what. Pure: what a decision rests on
//! is given, and nothing is written or told here.
//!
//! A subscription has two modes, what its user wants and what it is given; what it may do is in
//! both. The owner of a group is named by the topic's record: the letter `O` only shows it, and is
//! mended where a node died between the writing of the one and of the other.
use super::{
    ids::{Key, UserId},
    message::{Code, Raw, Ts},
    mode::{Acs, Dacs, Mode},
    record::{SubRecord, TopicRecord, User, UserState},
    refusal::Done,
    session::Identity,
};

/// A subscription as it has become.
#[derive(Debug, Clone)]
pub(super) struct Changed {
    pub row: SubRecord,
    /// As it was. `None`: there was none, or it had ended.
    pub before: Option<Acs>,
    /// What others are told. `None`: nothing has changed, and nothing is to be written.
    pub dacs: Option<Dacs>,
    /// Its user has become the owner: the topic's record is still to say so.
    pub owner: bool,
    /// Until now its user read the channel, and was no member.
    pub was_reader: bool,
}

impl Changed {
    fn new(before: Option<Acs>, mut row: SubRecord, now: Ts) -> Self {
        let dacs = Dacs::between(before, row.acs());
        if dacs.is_some() {
            row.updated = now;
        }
        Changed { row, before, dacs, owner: false, was_reader: false }
    }

    /// A new subscription.
    pub fn begun(row: SubRecord) -> Self {
        let dacs = Dacs::between(None, row.acs());
        Changed { row, before: None, dacs, owner: false, was_reader: false }
    }

    /// The subscription has ended; what was given is kept (S:135).
    fn ended(mut row: SubRecord, now: Ts) -> Self {
        let (before, dacs) = (Some(row.acs()), Some(Dacs::gone()));
        (row.live, row.deleted, row.updated) = (None, true, now);
        Changed { row, before, dacs, owner: false, was_reader: false }
    }
}

/// Whether the subscription has not ended.
pub(super) fn is_live(row: &SubRecord) -> bool {
    row.live.is_some()
}

/// Whether its user is a member; who reads a channel is none, and takes up no place.
pub(super) fn is_member(row: &SubRecord) -> bool {
    is_live(row) && !row.reader
}

/// What the subscription lets its user do now.
pub(super) fn mode(row: &SubRecord) -> Mode {
    if is_live(row) { row.acs().mode() } else { Mode::NONE }
}

/// Whether the user owns the topic. Only groups have owners.
pub(super) fn owns(t: &TopicRecord, user: UserId) -> bool {
    matches!(t.key, Key::Group(_)) && t.owner == Some(user)
}

/// A mode that somebody gives away as its own affair: it lets the other ask, but for `N`, which
/// lets nobody do anything (S:79).
pub(super) fn with_approval(mode: Mode) -> Mode {
    if mode.is_none() { mode } else { mode.with(Mode::A) }
}

/// What a topic that a session is not attached to is to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// Its user has a subscription.
    Member,
    /// Its user has none.
    Stranger,
    /// There is no such topic.
    Nothing,
}

/// What is asked of such a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unattached {
    GetDesc,
    GetSub,
    GetRest,
    SetPrivate,
    SetMode,
    SetRest,
}

/// How that is refused (S:88, S:98–99). `None`: it is not.
pub(super) fn unattached(outside: Outside, asked: Unattached) -> Option<Code> {
    match (outside, asked) {
        (Outside::Member, Unattached::GetDesc | Unattached::GetSub)
        | (Outside::Member, Unattached::SetPrivate | Unattached::SetMode)
        | (Outside::Stranger, Unattached::GetDesc) => None,
        (Outside::Nothing, Unattached::GetDesc) => Some(Code::TopicNotFound),
        (Outside::Stranger | Outside::Nothing, Unattached::GetSub) => Some(Code::NotFound),
        (Outside::Member | Outside::Stranger | Outside::Nothing, Unattached::GetRest) => {
            Some(Code::Denied)
        }
        (Outside::Member, Unattached::SetRest)
        | (Outside::Stranger, Unattached::SetPrivate | Unattached::SetMode | Unattached::SetRest) => {
            Some(Code::NotModified)
        }
        (Outside::Nothing, Unattached::SetPrivate | Unattached::SetMode | Unattached::SetRest) => {
            Some(Code::NotFound)
        }
    }
}

/// A new subscription.
fn row(topic: Key, user: UserId, acs: Acs, reader: bool, now: Ts) -> SubRecord {
    SubRecord {
        topic,
        user,
        live: Some(topic),
        want: acs.want,
        given: acs.given,
        created: now,
        updated: now,
        deleted: false,
        reader,
        private: None,
        del: 0,
        read: 0,
        recv: 0,
    }
}

/// What a newcomer is given, and wants where it names nothing else.
#[derive(Clone, Copy)]
struct Defaults {
    given: Mode,
    want: Mode,
}

/// A subscription whose user joins, and is not attached yet.
struct Joining {
    key: Key,
    user: UserId,
    reader: bool,
    defaults: Defaults,
    want: Option<Mode>,
    now: Ts,
}

impl Joining {
    /// # Errors
    /// What it is given does not let it in, or it does not want to be let in.
    fn join(self, found: Option<SubRecord>) -> Done<(Option<Acs>, SubRecord)> {
        let Joining { key, user, reader, defaults, want, now } = self;
        let (before, mut row) = match found {
            None => {
                let acs = Acs { want: Mode::NONE, given: defaults.given };
                (None, row(key, user, acs, reader, now))
            }
            Some(mut row) => {
                let before = is_live(&row).then(|| row.acs());
                if before.is_some() && reader && !row.reader {
                    // A member has all that a reader has, and is no second person.
                    return Err(Code::Denied.into());
                }
                let is_other = row.reader != reader;
                // A ban outlives everything (S:135).
                if is_other && row.given.has(Mode::J) {
                    row.given = defaults.given;
                }
                if is_other || before.is_none() {
                    row.want = Mode::NONE;
                    (row.read, row.recv) = (0, 0);
                }
                (row.live, row.deleted, row.reader) = (Some(key), false, reader);
                (before, row)
            }
        };
        if !row.given.has(Mode::J) || want.is_some_and(|want| !want.has(Mode::J)) {
            return Err(Code::Denied.into());
        }
        row.want = match want {
            Some(want) => want,
            None if row.want.has(Mode::J) => row.want,
            None if defaults.want.has(Mode::J) => defaults.want,
            // Of who was invited into a closed group.
            None => row.given,
        };
        Ok((before, row))
    }
}

/// Has `O` in a member's modes where the topic's record says so, and there alone: who is given it
/// and does not want it yet may have it (S:92).
fn mend(t: &TopicRecord, row: &mut SubRecord) {
    if owns(t, row.user) {
        (row.want, row.given) = (row.want.with(Mode::O), row.given.with(Mode::O));
    } else if row.want.has(Mode::O) && row.given.has(Mode::O) {
        (row.want, row.given) = (row.want.without(Mode::O), row.given.without(Mode::O));
    }
}

/// Somebody joins a group, as a reader of its channel or not, or its own notes.
///
/// # Errors
/// It may not (S:89, S:135), or the group has no channel.
pub(super) fn join_group(
    t: &TopicRecord,
    found: Option<SubRecord>,
    who: Identity,
    reader: bool,
    want: Option<Mode>,
    now: Ts,
) -> Done<Changed> {
    if reader && !t.channel {
        return Err(Code::TopicNotFound.into());
    }
    let is_owner = owns(t, who.user);
    let open = t.defacs.of(who.level).without(Mode::O);
    let given = match t.key {
        Key::Group(_) if is_owner && reader => return Err(Code::Denied.into()),
        Key::Group(_) if is_owner => Mode::ALL,
        Key::Group(_) if reader && open.has(Mode::J) => Mode::READER,
        Key::Group(_) if reader => Mode::NONE,
        Key::Group(_) => open,
        Key::Own(user) if user == who.user => Mode::OWN,
        Key::Own(_) | Key::Pair(..) => return Err(Code::Denied.into()),
    };
    if is_owner && want.is_some_and(|want| !want.has(Mode::O)) {
        return Err(Code::Denied.into());
    }
    let there = found.as_ref().filter(|row| is_live(row));
    let (shown, was_reader) =
        (there.map(SubRecord::acs), there.is_some_and(|row| row.reader && !reader));
    let found = found.map(|mut row| {
        mend(t, &mut row);
        row
    });
    let want = match t.key {
        Key::Group(_) if !reader => want,
        Key::Group(_) | Key::Own(_) | Key::Pair(..) => want.map(|want| want.without(Mode::O)),
    };
    let defaults = Defaults { given, want: given };
    let (key, user) = (t.key, who.user);
    let (_, row) = Joining { key, user, reader, defaults, want, now }.join(found)?;
    let becomes = !is_owner && row.want.has(Mode::O) && row.given.has(Mode::O);
    let mut changed = Changed { owner: becomes, was_reader, ..Changed::new(shown, row, now) };
    if was_reader {
        // To the others it is new, and it is to be written in any case.
        changed.dacs = Dacs::between(None, changed.row.acs());
        changed.row.updated = now;
    }
    Ok(changed)
}

/// Somebody begins to talk to a user, or comes back to that.
///
/// # Errors
/// It is itself, the other is not there, or does not let it (S:78–79).
pub(super) fn join_pair(
    key: Key,
    found: Option<SubRecord>,
    peer: &User,
    who: Identity,
    want: Option<Mode>,
    now: Ts,
) -> Done<Changed> {
    if peer.id == who.user {
        return Err(Code::Denied.into());
    }
    match peer.state {
        UserState::Ok | UserState::Suspended => {}
        UserState::Ending => return Err(Code::UserNotFound.into()),
    }
    let given = peer.defacs.of(who.level).without(Mode::O);
    let defaults = Defaults { given, want: Mode::P2P };
    let want = want.map(|want| want.without(Mode::O));
    let joining = Joining { key, user: who.user, reader: false, defaults, want, now };
    let (before, row) = joining.join(found)?;
    Ok(Changed::new(before, row, now))
}

/// The subscription of somebody to whom another one begins to talk (S:75).
pub(super) fn peer_row(key: Key, peer: UserId, now: Ts) -> SubRecord {
    row(key, peer, Acs { want: Mode::P2P, given: Mode::P2P }, false, now)
}

/// The subscription of who makes a topic.
pub(super) fn owner_row(t: &TopicRecord, owner: UserId, private: Option<Raw>) -> SubRecord {
    let mode = match t.key {
        Key::Group(_) => Mode::ALL,
        Key::Pair(..) => Mode::P2P,
        Key::Own(_) => Mode::OWN,
    };
    let row = row(t.key, owner, Acs { want: mode, given: mode }, false, t.created);
    SubRecord { private, ..row }
}

/// Somebody wants another mode in a topic that it is subscribed to.
///
/// # Errors
/// It is the owner, who can't give that up (S:93).
pub(super) fn want(t: &TopicRecord, mut row: SubRecord, mode: Mode, now: Ts) -> Done<Changed> {
    let is_owner = owns(t, row.user);
    if is_owner && !mode.has(Mode::O) {
        return Err(Code::Denied.into());
    }
    let before = row.acs();
    mend(t, &mut row);
    row.want = match t.key {
        Key::Group(_) if !row.reader => mode,
        Key::Group(_) | Key::Own(_) | Key::Pair(..) => mode.without(Mode::O),
    };
    let becomes = !is_owner && row.want.has(Mode::O) && row.given.has(Mode::O);
    Ok(Changed { owner: becomes, ..Changed::new(Some(before), row, now) })
}

/// `actor` gives a user a mode in a topic, or invites it. No mode: that of the topic, or that which
/// it has.
///
/// # Errors
/// It may not (S:79, S:91–93).
pub(super) fn given(
    t: &TopicRecord,
    actor: &SubRecord,
    found: Option<SubRecord>,
    user: UserId,
    mode: Option<Mode>,
    now: Ts,
) -> Done<Changed> {
    match t.key {
        Key::Group(_) => given_to_member(t, actor, found, user, mode, now),
        Key::Pair(..) => given_to_peer(t, actor, found, user, mode, now),
        Key::Own(_) => Err(Code::Denied.into()),
    }
}

fn given_to_peer(
    t: &TopicRecord,
    actor: &SubRecord,
    found: Option<SubRecord>,
    user: UserId,
    given: Option<Mode>,
    now: Ts,
) -> Done<Changed> {
    if t.key.peer(actor.user) != Some(user) || !mode(actor).has(Mode::A) {
        return Err(Code::Denied.into());
    }
    // Of a peer that has left, too: it may not come back then.
    let mut row = found.ok_or(Code::NotModified)?;
    let before = row.acs();
    if let Some(given) = given {
        row.given = with_approval(given.without(Mode::O));
    }
    Ok(Changed::new(Some(before), row, now))
}

fn given_to_member(
    t: &TopicRecord,
    actor: &SubRecord,
    found: Option<SubRecord>,
    user: UserId,
    given: Option<Mode>,
    now: Ts,
) -> Done<Changed> {
    let (may, by_owner) = (mode(actor), owns(t, actor.user));
    let is_new = !found.as_ref().is_some_and(is_live);
    let is_allowed = match given {
        None => may.has(Mode::S),
        Some(given) => {
            may.has(Mode::A)
                && (!is_new || may.has(Mode::S))
                && (!given.has(Mode::O) || by_owner)
                && (!owns(t, user) || given.has(Mode::O))
        }
    };
    if !is_allowed {
        return Err(Code::Denied.into());
    }
    // A closed group's guest may join, and no more (S:91).
    let open = Some(t.defacs.auth.without(Mode::O)).filter(|mode| mode.has(Mode::J));
    let open = open.unwrap_or(Mode::J);
    let Some(mut row) = found else {
        let given = given.unwrap_or(open);
        let acs = Acs { want: given.without(Mode::O), given };
        return Ok(Changed::new(None, row(t.key, user, acs, false, now), now));
    };
    if is_new {
        let kept = if row.reader && row.given.has(Mode::J) { open } else { row.given };
        if given.is_none() && !kept.has(Mode::J) {
            // Only who may give modes takes a ban back.
            return Err(Code::Denied.into());
        }
        row.given = given.unwrap_or(kept);
        row.want = row.given.without(Mode::O);
        (row.live, row.deleted, row.reader) = (Some(t.key), false, false);
        return Ok(Changed::new(None, row, now));
    }
    let before = row.acs();
    if let Some(given) = given {
        row.given = if row.reader { given.and(Mode::READER) } else { given };
        // It becomes the owner when it says so behind this, not because it once did (S:92).
        if !owns(t, user) && row.given.has(Mode::O) && !before.given.has(Mode::O) {
            row.want = row.want.without(Mode::O);
        }
    }
    Ok(Changed::new(Some(before), row, now))
}

/// Somebody gives up its subscription.
///
/// # Errors
/// It owns the topic (S:93), or has none.
pub(super) fn leave(t: &TopicRecord, row: SubRecord, now: Ts) -> Done<Changed> {
    if owns(t, row.user) {
        return Err(Code::Denied.into());
    }
    if !is_live(&row) {
        return Err(Code::NotJoined.into());
    }
    Ok(Changed::ended(row, now))
}

/// `actor` takes a member out.
///
/// # Errors
/// It may not, or it is no member (S:95).
pub(super) fn remove(
    t: &TopicRecord,
    actor: &SubRecord,
    found: Option<SubRecord>,
    now: Ts,
) -> Done<Changed> {
    let is_group = matches!(t.key, Key::Group(_));
    if !is_group || !mode(actor).has(Mode::A) {
        return Err(Code::Denied.into());
    }
    let row = found.filter(is_live).ok_or(Code::NoAction)?;
    if owns(t, row.user) || row.user == actor.user {
        return Err(Code::Denied.into());
    }
    Ok(Changed::ended(row, now))
}

/// Somebody else owns the topic now (S:92).
pub(super) fn unowned(mut row: SubRecord, now: Ts) -> Changed {
    let before = is_live(&row).then(|| row.acs());
    (row.want, row.given) = (row.want.without(Mode::O), row.given.without(Mode::O));
    Changed::new(before, row, now)
}

#[cfg(test)]
mod tests;
