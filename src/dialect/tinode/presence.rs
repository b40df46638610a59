//! Who is there: `me` as a room, and what contacts are told of it.
//!
//! Every session that is on `me` is a hidden member of its user's inbox, on whatever node: whether
//! it is the first one, or was the last, is what the store says when it enters and departs. It is
//! there under a name of its own, as it stays four seconds longer than on `me`, even where the
//! session has ended by then: a user who comes back meanwhile was never away. What is told to
//! sessions on `me` does not come by the inbox, but by [words](super::post).
//!
//! ```text
//! arrive ──► Here ── leave_me ──► Leaving ── 4 s, linger ──► Going ──► not there
//!             ▲                      │                         │ last one: `off`, seen
//!             └────── arrive ────────┘
//! ```
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    time::Instant,
};

use super::{
    Tinode,
    ids::{INBOXES, Key, UserId},
    message::{Code, Ts},
    mode::Mode,
    post::{Src, To, Told, Word},
    record::{SeenRecord, TopicRecord},
    refusal::{Done, Refusal},
    session::{Hello, Identity, Session},
    topic,
};
use crate::{
    domain::{
        cluster::Lost,
        directory::MAX_PAGE,
        ids::{ConnectionId, RoomId},
        presence::{Departure, Visitor},
        room::Answer,
    },
    lock::lock,
    throttle::throttled,
};

/// How long a user who has left is still there.
const LINGER: Duration = Duration::from_secs(4);
/// Users and rooms that the store is asked of at once.
const AT_ONCE: usize = 32;
/// Departures that are on their way at once.
const DEPARTURES: usize = 64;

/// Which sessions are in the inboxes of their users, by session.
#[derive(Default)]
pub(super) struct Inboxes {
    stays: Mutex<HashMap<ConnectionId, Stay>>,
    /// One has gone.
    gone: Notify,
}

/// A session in an inbox.
struct Stay {
    user: UserId,
    /// Its name there.
    member: ConnectionId,
    phase: Phase,
}

enum Phase {
    Here,
    /// It has left `me` a moment ago. What its client has said of itself.
    Leaving(Option<Arc<Hello>>),
    /// It is being taken out.
    Going,
}

/// How somebody comes who may have been there a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    /// As a new one.
    New,
    /// It is still there.
    Back,
    /// It is just being taken out, and has to wait.
    Wait,
}

impl Inboxes {
    /// The session comes: if it is a new one, as this member.
    fn come(&self, session: ConnectionId, user: UserId, member: ConnectionId) -> Coming {
        let mut stays = lock(&self.stays);
        let Some(stay) = stays.get_mut(&session) else {
            stays.insert(session, Stay { user, member, phase: Phase::Here });
            return Coming::New;
        };
        match stay.phase {
            Phase::Here => Coming::Back,
            Phase::Leaving(_) => {
                stay.phase = Phase::Here;
                Coming::Back
            }
            Phase::Going => Coming::Wait,
        }
    }

    /// The session has left `me`. False: it was not there, or has left before.
    fn leave(&self, session: ConnectionId, hello: Option<Arc<Hello>>) -> bool {
        match lock(&self.stays).get_mut(&session) {
            Some(stay) if matches!(stay.phase, Phase::Here) => {
                stay.phase = Phase::Leaving(hello);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The session is to go, unless it has come back.
    fn go(&self, session: ConnectionId) -> Option<Going<'_>> {
        let mut stays = lock(&self.stays);
        let stay = stays.get_mut(&session)?;
        let Phase::Leaving(hello) = &stay.phase else { return None };
        let ua = hello.as_ref().map(|hello| hello.ua.clone()).unwrap_or_default();
        stay.phase = Phase::Going;
        let (user, member) = (stay.user, stay.member);
        Some(Going { inboxes: self, session, user, member, ua })
    }

    /// It is not there any more.
    fn forget(&self, session: ConnectionId) {
        lock(&self.stays).remove(&session);
        self.gone.notify_waiters();
    }
}

/// A session that is being taken out, until this is dropped.
struct Going<'a> {
    inboxes: &'a Inboxes,
    session: ConnectionId,
    user: UserId,
    member: ConnectionId,
    ua: String,
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.inboxes.forget(self.session);
    }
}

/// The session is on `me` from now on. True: its user was not there before, on any node.
///
/// # Errors
/// The store does not answer.
pub(super) async fn arrive(session: &Arc<Session>, who: Identity) -> Done<bool> {
    let node = &session.node;
    let (inbox, uid) = (who.user.inbox()?, who.user.uid()?);
    let member = node.hub.new_connection();
    let inboxes = &node.roll.inboxes;
    loop {
        let gone = inboxes.gone.notified(); // counts from here on
        match inboxes.come(session.id, who.user, member) {
            Coming::New => break,
            Coming::Back => {
                node.linger.cancel(session.id);
                return Ok(false);
            }
            Coming::Wait => gone.await,
        }
    }
    node.hub.register_guest(member, session.clone());
    let visitor = Visitor {
        connection: member,
        uid,
        hidden: true,
        wants_roster: false,
        guest: false,
        socket: Some(session.socket()),
        checked: None,
    };
    let (tell, told) = oneshot::channel();
    let answer: Answer = Box::new(move |entered| {
        let connections = entered.as_ref().map(|roster| roster.connections);
        let _ = tell.send(connections.map_err(Clone::clone)); // or it waits no more
    });
    let room = node.hub.enter(&inbox, visitor, session.clone(), answer).await;
    let why = match (room, told.await) {
        (Some(_), Ok(Ok(connections))) => return Ok(connections == 1),
        (Some(_) | None, Ok(Err(error))) => error.into(),
        (Some(_) | None, Ok(Ok(_)) | Err(_)) => Refusal::from(Code::Unavailable), // the server ends
    };
    inboxes.forget(session.id);
    node.hub.unregister(member);
    Err(why)
}

/// The session is not on `me` any more; nothing happens where it was not. Its user is still there
/// for a while, unless the server ends.
pub(super) fn leave_me(session: &Arc<Session>) {
    let node = &session.node;
    if node.roll.inboxes.leave(session.id, session.hello()) {
        let stays = if node.hub.is_ready() { LINGER } else { Duration::ZERO };
        node.linger.set(session.id, Instant::now() + stays);
    }
}

/// Has those depart whose time is over, for ever.
pub(super) async fn linger(node: Arc<Tinode>) {
    let free = Arc::new(Semaphore::new(DEPARTURES));
    loop {
        let session = node.linger.next().await;
        let Ok(place) = free.clone().acquire_owned().await else { return };
        let here = node.clone();
        let work = async move {
            depart(&here, session).await;
            drop(place);
            here.post.sent().await; // other nodes know of it by words alone
        };
        // It writes, and says, when nobody is in the inbox any more: a server that ends waits.
        node.hub.tasks.spawn(node.ends.track_future(work));
    }
}

/// Takes a session out of its inbox, and tells its user's contacts if it was the last.
async fn depart(node: &Tinode, session: ConnectionId) {
    let Some(going) = node.roll.inboxes.go(session) else { return };
    let (user, member, ua) = (going.user, going.member, going.ua.clone());
    let left = match (user.inbox(), user.uid()) {
        (Ok(inbox), Ok(uid)) => {
            let left = node.hub.depart(&inbox, member, Departure::Gone).await;
            if let Err(error) = node.hub.end_session(&uid, member).await {
                throttled!(warn, %error, "who has left could not be taken out at once");
            }
            left.unwrap_or_else(|error| {
                throttled!(warn, %error, "it can't be learnt whether a user is still there");
                None
            })
        }
        (Err(_), _) | (_, Err(_)) => None, // they have entered by these names
    };
    node.hub.unregister(member);
    drop(going);
    if left == Some(0) {
        off(node, user, &ua).await;
    }
}

/// A user is not there any more, on any node.
async fn off(node: &Tinode, user: UserId, ua: &str) {
    let contacts = match contacts(node, user).await {
        Ok(contacts) => contacts,
        Err(_) => return, // as the log says
    };
    let peers = peers(user, &contacts);
    // Nobody else is ever told; and nothing is noted of who is deleted.
    if peers.is_empty() {
        return;
    }
    let when = Ts(node.hub.clock.unix_ms());
    node.cabinet.note_seen(user, &SeenRecord { when, ua: ua.to_owned() }).await;
    say(node, user, peers.clone(), false, ua);
    // Who has come back meanwhile, at another node, may have been told to be there before this.
    if online(node, &[user]).await.is_ok_and(|online| !online.is_empty()) {
        say(node, user, peers, true, "");
    }
}

fn say(node: &Tinode, user: UserId, peers: Vec<UserId>, on: bool, ua: &str) {
    let told = Told::On { src: Src::User(user), on, ua: ua.to_owned() };
    let word = Word { to: To::Users(peers), needs: Mode::P, unattached: false, told };
    node.post.say(node, vec![word], None);
}

/// The user's live topics, and what it may do there.
async fn contacts(node: &Tinode, user: UserId) -> Done<Vec<(Key, Mode)>> {
    if let Some(known) = node.roll.known(user) {
        return Ok(known.into_iter().map(|(key, entry)| (key, entry.acs.mode())).collect());
    }
    let rows = node.cabinet.subs_of(user).await?;
    let live = rows.into_iter().map(|read| read.record).filter(|row| !row.deleted);
    Ok(live.map(|row| (row.topic, row.acs().mode())).collect())
}

fn peers(user: UserId, contacts: &[(Key, Mode)]) -> Vec<UserId> {
    contacts.iter().filter_map(|(key, _)| key.peer(user)).collect()
}

/// The user's first session is on `me`: contacts are told. Returns those of its topics whose peer is
/// there, or that are awake, of which it is to be told itself.
///
/// # Errors
/// The store does not answer. Contacts may have been told.
pub(super) async fn announce(session: &Arc<Session>, who: Identity) -> Done<Vec<Key>> {
    let node = &session.node;
    let contacts = contacts(node, who.user).await?;
    let everybody = peers(who.user, &contacts);
    if !everybody.is_empty() {
        let ua = session.hello().map(|hello| hello.ua.clone()).unwrap_or_default();
        say(node, who.user, everybody, true, &ua);
    }
    let watched: Vec<Key> =
        contacts.iter().filter(|(_, mode)| mode.has(Mode::P)).map(|(key, _)| *key).collect();
    let users: Vec<UserId> = watched.iter().filter_map(|key| key.peer(who.user)).collect();
    let groups: Vec<Key> =
        watched.iter().filter(|key| matches!(key, Key::Group(_))).copied().collect();
    let (online, groups) = (online(node, &users).await?, awake_groups(node, &groups).await?);
    let is_there = |key: &Key| {
        key.peer(who.user).is_some_and(|peer| online.contains(&peer)) || groups.contains(key)
    };
    Ok(watched.into_iter().filter(is_there).collect())
}

async fn awake_groups(node: &Tinode, groups: &[Key]) -> Done<HashSet<Key>> {
    let topics = node.cabinet.topics(groups).await?;
    let rooms = topics.values().map(|t| t.room().map(|room| (t.key, room)));
    let rooms: Vec<(Key, RoomId)> = rooms.collect::<Done<_>>()?;
    let (keys, rooms): (Vec<Key>, Vec<RoomId>) = rooms.into_iter().unzip();
    let awake = awake(node, &rooms).await?;
    Ok(keys.into_iter().zip(awake).filter(|(_, awake)| *awake).map(|(key, _)| key).collect())
}

/// Those of these users who are there, on any node.
///
/// # Errors
/// The store does not answer.
pub(super) async fn online(node: &Tinode, users: &[UserId]) -> Done<HashSet<UserId>> {
    let inboxes = users.iter().map(|user| user.inbox());
    let inboxes: Vec<RoomId> = inboxes.collect::<Result<_, _>>()?;
    let online = awake(node, &inboxes).await?;
    Ok(users.iter().zip(online).filter(|(_, online)| *online).map(|(user, _)| *user).collect())
}

/// Of each of these rooms, whether anybody is in it, on any node.
///
/// # Errors
/// The store does not answer.
pub(super) async fn awake(node: &Tinode, rooms: &[RoomId]) -> Done<Vec<bool>> {
    let mut asked = Vec::with_capacity(rooms.len());
    for room in rooms {
        asked.push(async move {
            let page = node.hub.members_page(room, None, 1).await?;
            Ok::<_, Refusal>(page.total > 0)
        });
    }
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}

/// The users who are attached to a topic with this room, on any node.
///
/// # Errors
/// The store does not answer.
pub(super) async fn here(node: &Tinode, room: &RoomId) -> Done<HashSet<UserId>> {
    let (mut here, mut after) = (HashSet::new(), None::<String>);
    loop {
        let page = node.hub.members_page(room, after.as_deref(), MAX_PAGE).await?;
        here.extend(page.members.iter().filter_map(|member| UserId::of_uid(&member.uid)));
        after = page.next;
        if after.is_none() {
            return Ok(here);
        }
    }
}

/// Somebody is attached to this topic, and nobody was: of groups members are told.
pub(super) fn woke(node: &Tinode, t: &TopicRecord) {
    match t.key {
        Key::Group(_) => {}
        Key::Pair(..) | Key::Own(_) => return,
    }
    let told = Told::On { src: Src::Topic(t.key), on: true, ua: String::new() };
    let to = To::Members(t.key);
    node.post.say(node, vec![Word { to, needs: Mode::P, unattached: false, told }], None);
}

/// What was lost with a dead node.
#[derive(Debug, Default, PartialEq, Eq)]
struct Losses {
    /// Who is not there any more.
    users: HashSet<UserId>,
    /// Groups that users are not attached to any more, who were.
    groups: HashMap<Key, RoomId>,
}

impl Losses {
    fn of(lost: &[Lost]) -> Self {
        let mut losses = Losses::default();
        for Lost { uid, rooms, .. } in lost {
            let Some(user) = UserId::of_uid(uid) else { continue };
            for (room, _) in rooms.iter().filter(|(_, left)| *left == 0) {
                if room.is_in(INBOXES) {
                    losses.users.insert(user);
                } else if let Some((key @ Key::Group(_), _)) = Key::of_room(room) {
                    losses.groups.insert(key, room.clone());
                }
            }
        }
        losses
    }
}

/// Connections are gone with their node. Its users have been away for longer than they would linger.
pub(super) async fn lost(node: &Tinode, lost: &[Lost]) {
    let Losses { users, groups } = Losses::of(lost);
    groups.into_iter().for_each(|(key, room)| topic::left(node, key, &room));
    let told = |user| async move {
        // It may have come back since.
        if matches!(online(node, &[user]).await, Ok(online) if online.is_empty()) {
            off(node, user, &last_ua(node, user).await).await;
        }
    };
    stream::iter(users).for_each_concurrent(AT_ONCE, told).await;
}

/// By what a user was there at last, as far as that was noted: the node that knew it is dead.
async fn last_ua(node: &Tinode, user: UserId) -> String {
    let seen = node.cabinet.seen(user).await.unwrap_or_default();
    seen.map(|seen| seen.ua).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::domain::{
        deadline::Appointments,
        ids::{SocketId, Uid},
    };

    const A: ConnectionId = ConnectionId(1);

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    fn hello() -> Option<Arc<Hello>> {
        let text = String::from;
        let (ver, ua, lang) = (text("0.25"), text("A/1"), text(""));
        Some(Arc::new(Hello { ver, ua, lang, platf: text(""), dev: text("") }))
    }

    #[test]
    fn who_leaves_stays_a_while_and_may_come_back() {
        let inboxes = Inboxes::default();
        let come = |member| inboxes.come(A, user(7), ConnectionId(member));
        assert!(!inboxes.leave(A, hello()), "it was never there");
        assert_eq!([come(10), come(11)], [Coming::New, Coming::Back]);
        assert!(inboxes.go(A).is_none(), "it has not left");
        assert!(inboxes.leave(A, hello()) && !inboxes.leave(A, hello()));
        assert_eq!(come(12), Coming::Back);
        assert!(inboxes.go(A).is_none(), "it has come back");
        assert!(inboxes.leave(A, hello()));
        let going = inboxes.go(A).unwrap();
        assert_eq!((going.user, going.member, &*going.ua), (user(7), ConnectionId(10), "A/1"));
        assert!(inboxes.go(A).is_none() && !inboxes.leave(A, None));
        assert_eq!(come(13), Coming::Wait);
        drop(going);
        assert_eq!(come(14), Coming::New);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_it_is_taken_out_waits_for_that() {
        let inboxes = Inboxes::default();
        inboxes.come(A, user(7), ConnectionId(10));
        inboxes.leave(A, None);
        let going = inboxes.go(A).unwrap();
        let gone = inboxes.gone.notified();
        assert_eq!(inboxes.come(A, user(7), ConnectionId(11)), Coming::Wait);
        drop(going);
        timeout(LINGER, gone).await.unwrap();
        assert_eq!(inboxes.come(A, user(7), ConnectionId(11)), Coming::New);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_taken_out_four_seconds_later_unless_it_has_come_back() {
        let (inboxes, times) = (Inboxes::default(), Appointments::new());
        let begin = Instant::now();
        let leaves = |session| {
            inboxes.come(session, user(7), session);
            assert!(inboxes.leave(session, None));
            times.set(session, Instant::now() + LINGER);
        };
        leaves(A);
        advance(Duration::from_secs(2)).await;
        leaves(ConnectionId(2));
        assert_eq!(inboxes.come(A, user(7), A), Coming::Back);
        times.cancel(A);
        assert_eq!((times.next().await, begin.elapsed().as_secs()), (ConnectionId(2), 6));
        assert!(inboxes.go(ConnectionId(2)).is_some() && inboxes.go(A).is_none());
    }

    #[test]
    fn what_a_dead_node_had() {
        let inbox = user(7).inbox().unwrap();
        let group = Key::parse("grpGardenClub_").unwrap();
        let (garden, pair) =
            (group.room("gLife").unwrap(), Key::pair(user(7), user(8)).room("gLife").unwrap());
        let lost = |uid: Uid, rooms: &[(&RoomId, u64)]| {
            let rooms = rooms.iter().map(|(room, left)| ((*room).clone(), *left)).collect();
            Lost { uid, socket: SocketId("s".into()), rooms }
        };
        let uid = || user(7).uid().unwrap();
        let stranger = || Uid::text("ann").unwrap();
        for (lost, users, groups) in [
            (vec![], 0, 0),
            (vec![lost(uid(), &[(&inbox, 0), (&garden, 0), (&pair, 0)])], 1, 1),
            (vec![lost(uid(), &[(&inbox, 1), (&garden, 2)])], 0, 0),
            (vec![lost(uid(), &[(&inbox, 1)]), lost(uid(), &[(&inbox, 0)])], 1, 0),
            (vec![lost(stranger(), &[(&RoomId::new("class").unwrap(), 0)])], 0, 0),
        ] {
            let losses = Losses::of(&lost);
            assert_eq!((losses.users.len(), losses.groups.len()), (users, groups), "{lost:?}");
        }
    }
}
