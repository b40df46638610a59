//! What a change of access means to others. Whoever changes a subscription ends here, behind the
//! writing of the record: nobody else tells of it.
//!
//! ```text
//! the room     the change, for attached sessions; then the user is out, if it may not be there
//! words        the change, for sessions on `me`; then `gone`, `off` or `on`
//! the topic    its owner, its number of readers
//! ```
use std::sync::Arc;

use super::{
    Tinode,
    access::{self, Changed},
    cabinet::Step,
    ids::{Key, UserId},
    mode::Mode,
    post::{Src, To, Told, Word},
    presence,
    record::{SubRecord, TopicRecord},
    refusal::Done,
    session::{Identity, Session},
    stored::RoomEvent,
    topic,
};
use crate::domain::ids::RoomId;

/// Why a subscription has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its user has come, or come back. Say it behind its entering the room, and [`foretell`] it
    /// before that.
    Joined,
    /// A mode was set; somebody was invited.
    Changed,
    /// Its user has given it up. The session that said so is not among those that are attached any
    /// more.
    Left,
    /// Somebody has taken it away.
    Removed,
}

/// Tells everybody whom it concerns, and does what the change entails. `t` is the topic as it was
/// before the change, `version` that of the subscription's record.
///
/// # Errors
/// Those of the store. All is tried nonetheless: the change itself is done.
pub(super) async fn tell(
    session: &Arc<Session>,
    who: Identity,
    t: &TopicRecord,
    changed: &Changed,
    version: u64,
    cause: Cause,
) -> Done<()> {
    if changed.dacs.is_none() && !access::mode(&changed.row).has(Mode::J) {
        // It was so before. What may have been cut off then is done now.
        return out(&session.node, &t.room()?, changed.row.user).await;
    }
    let told = tell_one(session, who, t, changed, version, cause).await;
    if changed.owner {
        hand_over(session, who, t, changed.row.user).await?;
    }
    told
}

/// Tells those in the room of who is about to enter it: they read first what it may do there, and
/// then that it has come (R:group-basic#24).
///
/// # Errors
/// Those of the store.
pub(super) async fn foretell(
    session: &Session,
    who: Identity,
    t: &TopicRecord,
    changed: &Changed,
    version: u64,
) -> Done<()> {
    match plan(changed, Cause::Joined) {
        Some(Plan { event: true, .. }) => tell_room(session, who, t, changed, version).await,
        Some(_) | None => Ok(()),
    }
}

/// Somebody who had left a pair has come back: the other, who was told that it had gone, sees it
/// again.
///
/// # Errors
/// Those of the store.
pub(super) async fn seen_again(node: &Tinode, key: &Key, user: UserId) -> Done<()> {
    let Some(peer) = key.peer(user) else { return Ok(()) };
    if presence::online(node, &[user]).await?.contains(&user) {
        let told = Told::On { src: Src::User(user), on: true, ua: String::new() };
        let (to, needs) = (To::Users(vec![peer]), Mode::P);
        node.post.say(node, vec![Word { to, needs, unattached: false, told }], None);
    }
    Ok(())
}

/// The topic is another one's from now on, and nobody else has `O` any more: neither its owner so
/// far, nor to whom that one had offered it too. In this order: where a node dies in between,
/// access.rs mends what the owner so far has when it joins.
async fn hand_over(
    session: &Arc<Session>,
    who: Identity,
    t: &TopicRecord,
    owner: UserId,
) -> Done<()> {
    let cabinet = &session.node.cabinet;
    own(&session.node, &t.key, owner).await?;
    let now = session.now();
    let decide = |row: Option<SubRecord>| {
        let row = row.filter(|row| row.given.has(Mode::O));
        let changed = row.map(|row| access::unowned(row, now));
        Ok((changed.as_ref().map(|changed| changed.row.clone()), changed))
    };
    for read in cabinet.members(&t.key, usize::MAX).await? {
        let user = read.record.user;
        if user == owner || !read.record.given.has(Mode::O) {
            continue;
        }
        if let (Some(changed), version) = cabinet.change_sub(&t.key, user, decide).await? {
            tell_one(session, who, t, &changed, version, Cause::Changed).await?;
        }
    }
    Ok(())
}

/// Writes down who owns the topic.
///
/// # Errors
/// There is no such topic, or the store does not answer.
pub(super) async fn own(node: &Tinode, key: &Key, owner: UserId) -> Done<()> {
    let decide = |t: &mut TopicRecord| {
        let is_new = t.owner.replace(owner) != Some(owner);
        Ok(if is_new { Step::Write(()) } else { Step::Keep(()) })
    };
    node.cabinet.change_topic(key, decide).await
}

async fn tell_one(
    session: &Arc<Session>,
    who: Identity,
    t: &TopicRecord,
    changed: &Changed,
    version: u64,
    cause: Cause,
) -> Done<()> {
    let (Some(plan), Some(dacs)) = (plan(changed, cause), &changed.dacs) else { return Ok(()) };
    let (node, row) = (&session.node, &changed.row);
    let (key, user, reader) = (t.key, row.user, row.reader);
    let acs = access::is_live(row).then(|| row.acs());
    // The session that asked is told by its answer, and by nothing else.
    if user == who.user
        && let (Some(acs), Some(attach)) = (acs, session.attached(&key))
    {
        attach.learn_acs(acs, version);
    }
    let room = t.room()?;
    let mut done = Ok(());
    if plan.event && cause != Cause::Joined {
        done = tell_room(session, who, t, changed, version).await;
    }
    let word =
        |needs, unattached, told| Word { to: To::Users(vec![user]), needs, unattached, told };
    // Who has lost its subscription has no mode, and is told by `gone` alone (S:131).
    let needs = if acs.is_some() { Mode::NONE } else { Mode::J };
    let dacs = dacs.clone();
    let learnt = Told::Acs { key, user, acs, dacs, by: who.user, reader, version };
    node.post.say(node, vec![word(needs, true, learnt)], Some(session.id));
    if plan.out {
        done = done.and(out(node, &room, user).await);
    }
    if plan.gone {
        // Those of a channel's readers are in their subscriptions.
        if !reader {
            topic::begin_anew(node, &room, user, session.now());
        }
        let gone = word(Mode::NONE, false, Told::Gone { src: Src::Topic(key) });
        node.post.say(node, vec![gone], Some(session.id));
    }
    let mut words = Vec::new();
    if plan.off {
        words.push(word(Mode::NONE, false, Told::Off { src: source(&key, user) }));
    }
    if plan.peer_off
        && let Some(peer) = key.peer(user)
    {
        let told = Told::Off { src: Src::User(user) };
        let (to, needs) = (To::Users(vec![peer]), Mode::P);
        words.push(Word { to, needs, unattached: false, told });
    }
    if plan.on {
        match is_there(node, t, &room, user, cause).await {
            Ok(false) => {}
            Ok(true) => {
                let (src, ua) = (source(&key, user), String::new());
                words.push(word(Mode::P, false, Told::On { src, on: true, ua }));
            }
            Err(error) => done = done.and(Err(error)),
        }
    }
    if !words.is_empty() {
        node.post.say(node, words, None);
    }
    if plan.readers != Readers::Same {
        done = done.and(count(node, &key, plan.readers).await);
    }
    done
}

/// Tells attached sessions of the change, except the one that asked for it.
async fn tell_room(
    session: &Session,
    who: Identity,
    t: &TopicRecord,
    changed: &Changed,
    version: u64,
) -> Done<()> {
    let (row, Some(dacs)) = (&changed.row, changed.dacs.clone()) else { return Ok(()) };
    let (user, by, reader) = (row.user, who.user, row.reader);
    let acs = access::is_live(row).then(|| row.acs());
    let event = RoomEvent::Acs { user, by, acs, dacs, version, reader };
    topic::tell(&session.node, &t.room()?, &event, Some(session.id)).await
}

/// Has a user's sessions out of a topic's room, on all nodes.
///
/// # Errors
/// Those of the store.
pub(super) async fn out(node: &Tinode, room: &RoomId, user: UserId) -> Done<()> {
    node.hub.remove(room, &user.uid()?).await?;
    Ok(())
}

/// What the user reads as the one who comes and goes: a peer, or the topic.
fn source(key: &Key, user: UserId) -> Src {
    key.peer(user).map_or(Src::Topic(*key), Src::User)
}

/// Whether the peer is online, or somebody in the group.
async fn is_there(
    node: &Tinode,
    t: &TopicRecord,
    room: &RoomId,
    user: UserId,
    cause: Cause,
) -> Done<bool> {
    match t.key {
        Key::Own(_) => Ok(false),
        Key::Pair(..) => {
            let peer = t.key.peer(user).into_iter().collect::<Vec<_>>();
            Ok(!presence::online(node, &peer).await?.is_empty())
        }
        Key::Group(_) => {
            // Of a group that its newcomer has woken all are told: `presence::woke`. So of one who
            // comes it counts whether others are there.
            let page = node.hub.members_page(room, None, 2).await?;
            let itself = user.uid().ok().filter(|_| cause == Cause::Joined);
            Ok(page.members.iter().any(|member| Some(&member.uid) != itself.as_ref()))
        }
    }
}

/// Readers of a channel are counted about: a node may die in between.
async fn count(node: &Tinode, key: &Key, readers: Readers) -> Done<()> {
    let decide = |t: &mut TopicRecord| {
        t.readers = match readers {
            Readers::More => t.readers.saturating_add(1),
            Readers::Fewer => t.readers.saturating_sub(1),
            Readers::Same => return Ok(Step::Keep(())),
        };
        Ok(Step::Write(()))
    };
    node.cabinet.change_topic(key, decide).await
}

/// What becomes of the number of readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    Same,
    More,
    Fewer,
}

/// What a change entails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Attached sessions are told, by the room.
    event: bool,
    /// The user's sessions are taken out of the room.
    out: bool,
    /// The topic is gone, to the user.
    gone: bool,
    /// The user sees no more who is there.
    off: bool,
    /// It does from now on, and is told if somebody is.
    on: bool,
    /// A peer sees no more of the user.
    peer_off: bool,
    readers: Readers,
}

/// `None`: nothing.
fn plan(changed: &Changed, cause: Cause) -> Option<Plan> {
    changed.dacs.as_ref()?;
    let row = &changed.row;
    let (before, after) = (changed.before.map_or(Mode::NONE, |acs| acs.mode()), access::mode(row));
    let is_over = match cause {
        Cause::Joined => false,
        // A peer that is not there was given another mode: that shows when it comes back.
        Cause::Changed if !access::is_live(row) => return None,
        Cause::Changed => false,
        Cause::Left | Cause::Removed => true,
    };
    let (is_pair, is_own) = match row.topic {
        Key::Group(_) => (false, false),
        Key::Pair(..) => (true, false),
        Key::Own(_) => (false, true),
    };
    let lost = |mode| before.has(mode) && !after.has(mode);
    // Who is not in it sees nobody, whatever else is allowed.
    let sees = |mode: Mode| mode.has(Mode::J.with(Mode::P));
    let event = match cause {
        // Readers of a channel come unseen, and there may be many.
        Cause::Joined => !is_own && (!row.reader || changed.before.is_some()),
        Cause::Changed | Cause::Left | Cause::Removed => true,
    };
    let readers = match cause {
        Cause::Joined if row.reader && changed.before.is_none() => Readers::More,
        Cause::Joined if changed.was_reader => Readers::Fewer,
        Cause::Left | Cause::Removed if row.reader => Readers::Fewer,
        Cause::Joined | Cause::Changed | Cause::Left | Cause::Removed => Readers::Same,
    };
    Some(Plan {
        event,
        out: is_over || lost(Mode::J),
        gone: is_over,
        off: !is_over && sees(before) && !sees(after),
        on: !is_over && !is_own && !sees(before) && sees(after),
        peer_off: is_pair && cause == Cause::Left,
        readers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tinode::{
        message::Ts,
        mode::{Acs, Dacs},
        record::SubRecord,
    };

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    /// A subscription that was `before` and is `after` now, both as `want/given`; nothing where
    /// there is none.
    fn changed(topic: Key, before: &str, after: &str, reader: bool) -> Changed {
        let acs = |text: &str| {
            let (want, given) = text.split_once('/')?;
            Some(Acs { want: Mode::parse(want)?, given: Mode::parse(given)? })
        };
        let (before, after) = (acs(before), acs(after));
        let now = after.or(before).unwrap();
        let row = SubRecord {
            topic,
            user: user(1),
            live: after.map(|_| topic),
            want: now.want,
            given: now.given,
            created: Ts(0),
            updated: Ts(0),
            deleted: after.is_none(),
            reader,
            private: None,
            del: 0,
            read: 0,
            recv: 0,
        };
        let dacs = after.map_or(Some(Dacs::gone()), |after| Dacs::between(before, after));
        Changed { row, before, dacs, owner: false, was_reader: false }
    }

    /// A plan in words.
    fn words(plan: Option<Plan>) -> String {
        let Some(plan) = plan else { return "nothing".to_owned() };
        let Plan { event, out, gone, off, on, peer_off, readers } = plan;
        let readers = match readers {
            Readers::Same => "",
            Readers::More => "more",
            Readers::Fewer => "fewer",
        };
        let named = [
            (event, "event"),
            (out, "out"),
            (gone, "gone"),
            (off, "off"),
            (on, "on"),
            (peer_off, "peer_off"),
            (!readers.is_empty(), readers),
        ];
        let named: Vec<_> = named.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        named.join(" ")
    }

    #[test]
    fn each_change_entails_what_it_should() {
        let group = Key::parse("grpGardenClub_").unwrap();
        let pair = Key::pair(user(1), user(2));
        let own = Key::Own(user(1));
        let (all, ban) = ("JRWPS/JRWPS", "JRWPS/N");
        for (topic, before, after, cause, expected) in [
            // R:group-basic#24, R:group-basic#8, R:p2p-start#7.
            (group, "", all, Cause::Joined, "event on"),
            (group, "", all, Cause::Changed, "event on"),
            (pair, "", "JRWPAD/JRWPASD", Cause::Joined, "event on"),
            (pair, "", "JRWPAD/JRWPAD", Cause::Changed, "event on"),
            (group, "", "JRW/JRW", Cause::Joined, "event"),
            (group, all, all, Cause::Joined, "nothing"),
            (own, "", "JRWPD/JRWPD", Cause::Joined, ""),
            // S:129.
            (group, all, "JRW/JRWPS", Cause::Changed, "event off"),
            (group, "JRW/JRWPS", all, Cause::Changed, "event on"),
            (group, "JRWP/JRWP", "JRWPS/JRWP", Cause::Changed, "event"),
            // S:130: a ban, a block, a want of nothing.
            (group, all, ban, Cause::Changed, "event out off"),
            (group, all, "RWPS/JRWPS", Cause::Changed, "event out off"),
            (group, "RWPS/JRWPS", all, Cause::Changed, "event on"),
            (pair, "JRWPAD/JRWPAD", "JRWPAD/N", Cause::Changed, "event out off"),
            (pair, "JRWPAD/JRWPAD", "N/JRWPAD", Cause::Changed, "event out off"),
            (group, ban, all, Cause::Changed, "event on"),
            (pair, "JRWPAD/JRWPAD", "", Cause::Changed, "nothing"),
            // S:131–132.
            (group, all, "", Cause::Removed, "event out gone"),
            (group, all, "", Cause::Left, "event out gone"),
            (group, ban, "", Cause::Removed, "event out gone"),
            (pair, "JRWPAD/JRWPAD", "", Cause::Left, "event out gone peer_off"),
        ] {
            let plan = plan(&changed(topic, before, after, false), cause);
            assert_eq!(words(plan), expected, "{topic:?} {before} {after} {cause:?}");
        }
        for (before, after, cause, expected) in [
            ("", "JRP/JRP", Cause::Joined, "on more"),
            ("JRP/JRP", "JR/JRP", Cause::Joined, "event off"),
            ("JRP/JRP", "JRP/N", Cause::Changed, "event out off"),
            // Its other sessions have to learn that it is for good.
            ("JRP/JRP", "", Cause::Left, "event out gone fewer"),
            ("JRP/JRP", "", Cause::Removed, "event out gone fewer"),
        ] {
            let plan = plan(&changed(group, before, after, true), cause);
            assert_eq!(words(plan), expected, "a reader: {before} {after} {cause:?}");
        }
        let member = changed(group, "JRP/JRP", all, false);
        let member = Changed { was_reader: true, ..member };
        assert_eq!(words(plan(&member, Cause::Joined)), "event fewer", "a reader becomes a member");
    }
}
