//! Topics and users that end.
//!
//! A deletion marks the record first, and from then on the topic, or the user, is there for nobody;
//! then everything goes that belongs to it, and the record at last. What is cut off in between,
//! because the store fails or the node dies, is found by the mark, and one node goes on with it. All
//! of it may be done twice, also at the same time: what a topic's successor of the same name has is
//! not touched, as that comes only when the record is gone. So records are deleted as they were
//! read, and only where the mark was seen behind reading them.
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Tinode,
    cabinet::{Cabinet, Read, Step},
    files,
    ids::{Key, UserId},
    message::{Code, Ts},
    mode::{Dacs, Mode},
    post::{Src, To, Told, Word},
    presence,
    record::{
        CODES, DELS, FILES, LOGINS, SEEN, SUBS, SubRecord, TOPICS, TopicRecord, USAGE, USERS, User,
        UserState,
    },
    refusal::{Done, Refusal},
    stored::RoomEvent,
    topic,
};
use crate::{
    domain::{
        broker::PageLimit,
        directory::Ending,
        ids::RoomId,
        records::{Collection, MAX_PAGE},
    },
    throttle::throttled,
};

/// Time between two looks for what was cut off. What was begun later is not yet. It is longer than
/// a store may take for what is on its way.
const LOOK: Duration = Duration::from_secs(15);
/// For how long a node is chosen to look, unless it goes on.
const CHOSEN: Duration = Duration::from_secs(60);
/// Users that are taken out at once.
const AT_ONCE: usize = 32;
/// How often a topic is looked at for who is still in it.
const PASSES: u32 = 3;
/// How much of a log is looked through at once for files that messages refer to.
const STRETCH: PageLimit = PageLimit { entries: 256, bytes: 1 << 20 };
/// Messages that are looked through while somebody waits. With more of them somebody goes on later.
const QUICK: u64 = 5_000;

/// Deletes a topic. It may go on for a while when this returns, but is there for nobody any more.
///
/// # Errors
/// The store does not answer: somebody goes on later, if the topic was marked.
pub(super) async fn topic(node: &Tinode, t: &TopicRecord) -> Done<()> {
    mark_topic(&node.cabinet, t, now(node)).await?;
    end_topic(node, t, Some(QUICK)).await
}

/// Deletes a user, who gets no more answers.
///
/// # Errors
/// The store does not answer: somebody goes on later, if the user was marked.
pub(super) async fn user(node: &Tinode, id: UserId) -> Done<()> {
    let Some(user) = mark_user(&node.cabinet, id, now(node)).await? else { return Ok(()) };
    let told = Told::UserEnds { user: id };
    let word = Word { to: To::Users(vec![id]), needs: Mode::NONE, unattached: false, told };
    node.post.say(node, vec![word], None);
    end_topics_of(node, id).await?;
    // Who has signed in meanwhile.
    node.hub.disconnect(&id.uid()?, Ending::Refuse).await?;
    // And what its sessions had begun before they ended: nobody finds it behind the user's record.
    end_topics_of(node, id).await?;
    let (name, records) = (id.to_string(), &node.cabinet.records);
    delete_found(&node.cabinet, &LOGINS, "user", &name).await?;
    for cred in &user.creds {
        records.delete(&CODES, &format!("{name}/{}", cred.meth), None).await?;
    }
    records.delete(&SEEN, &name, None).await?;
    files::release(node, &format!("u/{name}")).await;
    // Files stay while others refer to them, and so does what they take up.
    if records.find(&FILES, "user", &name, None, 1).await?.records.is_empty() {
        records.delete(&USAGE, &name, None).await?;
    }
    records.delete(&USERS, &name, None).await?;
    Ok(())
}

/// Goes on with deletions that were cut off, if this node is the one to do so.
pub(super) async fn sweep(node: &Tinode) {
    let swept = match node.hub.walk().is_chosen(CHOSEN).await {
        Ok(true) => take_up(node).await,
        Ok(false) => return,
        Err(error) => Err(error.into()),
    };
    if swept.is_err() {
        throttled!(warn, "deletions that were cut off are gone on with later");
    }
}

/// Goes on with each; one that fails does not hinder the others.
async fn take_up(node: &Tinode) -> Done<()> {
    let (cabinet, look) = (&node.cabinet, now(node));
    let (mut done, mut after) = (Ok(()), None::<String>);
    loop {
        let page = cabinet.find(&TOPICS, "ending", "true", after.as_deref(), MAX_PAGE).await?;
        for (_, read) in page.records {
            let topic: TopicRecord = read.record;
            if is_cut_off(topic.updated, look) {
                done = done.and(end_topic(node, &topic, None).await);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let page = cabinet.find(&USERS, "state", "ending", after.as_deref(), MAX_PAGE).await?;
        for (_, read) in page.records {
            let ending: User = read.record;
            if is_cut_off(ending.updated, look) {
                done = done.and(user(node, ending.id).await);
            }
        }
        after = page.next;
        if after.is_none() {
            return done;
        }
    }
}

fn now(node: &Tinode) -> Ts {
    Ts(node.hub.clock.unix_ms())
}

/// Whether a deletion that was begun then has been going on for too long.
fn is_cut_off(begun: Ts, now: Ts) -> bool {
    u128::from(now.0.saturating_sub(begun.0)) >= LOOK.as_millis()
}

/// Ends a topic that is marked. Of more than `most` messages, if that is bounded, nobody waits for
/// the end: it is marked still.
async fn end_topic(node: &Tinode, t: &TopicRecord, most: Option<u64>) -> Done<()> {
    if !is_ending(&node.cabinet, t).await? {
        return Ok(()); // somebody else was here before
    }
    let (key, room) = (t.key, t.room()?);
    let (to, told) = (To::Members(key), Told::Gone { src: Src::Topic(key) });
    let word = Word { to, needs: Mode::NONE, unattached: false, told };
    node.post.say(node, vec![word], None);
    expel(node, &room).await?;
    if !release_of_messages(node, t, &room, most).await? {
        return Ok(());
    }
    node.hub.forget(&room).await?;
    for row in delete_rows(&node.cabinet, t).await? {
        files::release(node, &format!("s/{row}")).await;
    }
    delete_found(&node.cabinet, &DELS, "of", &t.life).await?;
    if is_ending(&node.cabinet, t).await? {
        files::release(node, &format!("g/{}", key.id())).await;
    }
    delete_topic(&node.cabinet, t).await
}

/// Takes everybody out of a topic that has ended, without a word.
async fn expel(node: &Tinode, room: &RoomId) -> Done<()> {
    for _ in 0..PASSES {
        let here = presence::here(node, room).await?;
        if here.is_empty() {
            break;
        }
        topic::tell(node, room, &RoomEvent::End, None).await?;
        let remove = |user: UserId| async move {
            node.hub.remove(room, &user.uid()?).await?;
            Ok::<_, Refusal>(())
        };
        stream::iter(here).map(Ok).try_for_each_concurrent(AT_ONCE, remove).await?;
    }
    Ok(())
}

/// Messages refer to no files any more. False: there are more than `most`, and some still do.
async fn release_of_messages(
    node: &Tinode,
    t: &TopicRecord,
    room: &RoomId,
    most: Option<u64>,
) -> Done<bool> {
    let (mut from, mut seen) = (0, 0);
    loop {
        let page = node.hub.page(room, from, STRETCH).await?;
        // References are named by the topic: these may be a successor's.
        if !is_ending(&node.cabinet, t).await? {
            return Ok(true);
        }
        let first = page.first(from);
        for (seq, stored) in (page.origin() + first + 1..).zip(&page.entries) {
            if stored.body.as_deref().is_some_and(may_name_file) {
                files::release(node, &format!("m/{}/{seq}", t.key.id())).await;
            }
        }
        let read = page.entries.len() as u64;
        (from, seen) = (first + read, seen + read);
        if !page.full || read == 0 {
            return Ok(true);
        }
        if most.is_some_and(|most| seen >= most) {
            return Ok(false);
        }
    }
}

/// Whether this JSON may have a reference to a file in it. Of those that have one nearly all do;
/// only they are worth a question to the store.
fn may_name_file(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok_and(|json| json.contains("/file/s/"))
}

/// Topics that the user owns end, and its subscriptions.
async fn end_topics_of(node: &Tinode, user: UserId) -> Done<()> {
    end_owned(node, user).await?;
    for row in node.cabinet.subs_of(user).await? {
        end_row(node, &row).await?;
    }
    Ok(())
}

/// Topics that the user owns end with it.
async fn end_owned(node: &Tinode, owner: UserId) -> Done<()> {
    let mut after = None::<String>;
    loop {
        let (name, after_id) = (owner.to_string(), after.as_deref());
        let page = node.cabinet.find(&TOPICS, "owner", &name, after_id, MAX_PAGE).await?;
        for (_, read) in page.records {
            end_found(node, &read.record).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Ends a topic, marked or not.
async fn end_found(node: &Tinode, t: &TopicRecord) -> Done<()> {
    match t.ending {
        true => end_topic(node, t, Some(QUICK)).await,
        false => topic(node, t).await,
    }
}

/// A user who is deleted is no member any more: topics of two end, of others it is taken out.
async fn end_row(node: &Tinode, read: &Read<SubRecord>) -> Done<()> {
    let (row, records) = (&read.record, &node.cabinet.records);
    let (key, id) = (row.topic, row.topic.sub_id(row.user));
    let found: Option<Read<TopicRecord>> = node.cabinet.get(&TOPICS, &key.id()).await?;
    match (key, found) {
        (Key::Pair(..) | Key::Own(_), Some(t)) => end_found(node, &t.record).await?,
        (Key::Group(_), Some(t)) => {
            take_out(node, &t.record, read).await?;
            records.delete(&DELS, &format!("{}/{}", t.record.life, row.user), None).await?;
        }
        (Key::Pair(..) | Key::Own(_) | Key::Group(_), None) => {}
    }
    if row.private.as_ref().is_some_and(|private| may_name_file(private.get().as_bytes())) {
        files::release(node, &format!("s/{id}")).await;
    }
    records.delete(&SUBS, &id, None).await?;
    Ok(())
}

/// Has the others in a group learn that a user is no member any more, and takes it out.
async fn take_out(node: &Tinode, t: &TopicRecord, read: &Read<SubRecord>) -> Done<()> {
    let row = &read.record;
    if row.deleted || t.ending {
        return Ok(());
    }
    let room = t.room()?;
    if row.reader {
        let one_less = |t: &mut TopicRecord| {
            t.readers = t.readers.saturating_sub(1);
            Ok(Step::Write(()))
        };
        gone_already(node.cabinet.change_topic(&t.key, one_less).await)?;
    } else {
        let (user, dacs, version) = (row.user, Dacs::gone(), read.version);
        let (by, acs, reader) = (user, None, false);
        let event = RoomEvent::Acs { user, by, acs, dacs, version, reader };
        topic::tell(node, &room, &event, None).await?;
    }
    node.hub.remove(&room, &row.user.uid()?).await?;
    Ok(())
}

/// What is not there, or is ending already, needs no mark.
fn gone_already<T: Default>(done: Done<T>) -> Done<T> {
    match done {
        Err(refusal) if matches!(refusal.code, Code::TopicNotFound | Code::UserNotFound) => {
            Ok(T::default())
        }
        done => done,
    }
}

async fn mark_topic(cabinet: &Cabinet, t: &TopicRecord, now: Ts) -> Done<()> {
    let mark = |record: &mut TopicRecord| {
        if record.life != t.life {
            return Ok(Step::Keep(())); // another one of its name
        }
        (record.ending, record.updated) = (true, now);
        Ok(Step::Write(()))
    };
    gone_already(cabinet.change_topic(&t.key, mark).await)
}

/// Marks a user, once more where that was done before; `None`: there is none.
async fn mark_user(cabinet: &Cabinet, id: UserId, now: Ts) -> Done<Option<User>> {
    let mark = |user: &mut User| {
        (user.state, user.updated) = (UserState::Ending, now);
        Ok(Step::Write(Some(user.clone())))
    };
    gone_already(cabinet.change_user(id, mark).await)
}

/// The record of this topic, if it is still marked.
async fn marked(cabinet: &Cabinet, t: &TopicRecord) -> Done<Option<Read<TopicRecord>>> {
    let read: Option<Read<TopicRecord>> = cabinet.get(&TOPICS, &t.key.id()).await?;
    Ok(read.filter(|read| read.record.ending && read.record.life == t.life))
}

async fn is_ending(cabinet: &Cabinet, t: &TopicRecord) -> Done<bool> {
    Ok(marked(cabinet, t).await?.is_some())
}

/// Deletes all subscriptions of a topic that is marked. Returns the ids of those that may have
/// referred to files.
async fn delete_rows(cabinet: &Cabinet, t: &TopicRecord) -> Done<Vec<String>> {
    let (mut with_files, mut after) = (Vec::new(), None::<String>);
    loop {
        let (of, after_id) = (t.key.id(), after.as_deref());
        let page = cabinet.records.find(&SUBS, "topic", &of, after_id, MAX_PAGE).await?;
        if !is_ending(cabinet, t).await? {
            return Ok(with_files); // these may be a successor's
        }
        for row in page.records {
            if may_name_file(&row.body) {
                with_files.push(row.id.clone());
            }
            cabinet.records.delete(&SUBS, &row.id, Some(row.version)).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(with_files);
        }
    }
}

/// Deletes all records that have this value in an index.
async fn delete_found(cabinet: &Cabinet, of: &Collection, index: &str, value: &str) -> Done<()> {
    let mut after = None::<String>;
    loop {
        let page = cabinet.records.find(of, index, value, after.as_deref(), MAX_PAGE).await?;
        for record in page.records {
            cabinet.records.delete(of, &record.id, None).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Deletes the record of a topic that is marked, and no other one.
async fn delete_topic(cabinet: &Cabinet, t: &TopicRecord) -> Done<()> {
    if let Some(read) = marked(cabinet, t).await? {
        cabinet.records.delete(&TOPICS, &t.key.id(), Some(read.version)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::dialect::tinode::{
        cabinet::tests::cabinet, message::Range, mode::Level, record::Dels,
    };

    fn id(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    fn pair(life: &str) -> TopicRecord {
        TopicRecord::new(Key::pair(id(1), id(2)), life.to_owned(), Ts(1))
    }

    /// A subscription that is live, or not any more.
    fn row(n: u64, private: &str, deleted: bool) -> SubRecord {
        let topic = Key::pair(id(1), id(2));
        SubRecord {
            topic,
            user: id(n),
            live: (!deleted).then_some(topic),
            want: Mode::P2P,
            given: Mode::P2P,
            created: Ts(1),
            updated: Ts(1),
            deleted,
            reader: false,
            private: Some(RawValue::from_string(private.to_owned()).unwrap()),
            del: 0,
            read: 0,
            recv: 0,
        }
    }

    async fn add_rows(cabinet: &Cabinet, t: &TopicRecord) {
        assert!(cabinet.add_topic(t).await.unwrap());
        let file = format!(r#"{{"photo":"/v0/file/s/{}"}}"#, t.life);
        for row in [row(1, &file, false), row(2, "1", true)] {
            cabinet.change_sub(&t.key, row.user, |_| Ok((Some(row.clone()), ()))).await.unwrap();
        }
        for scope in [None, Some(id(1))] {
            let range = [Range { low: 1, hi: 2 }];
            let add = |dels: &mut Dels| dels.add(1, &range);
            cabinet.change_dels(&t.life, scope, add).await.unwrap();
        }
    }

    async fn count_rows(cabinet: &Cabinet, t: &TopicRecord) -> usize {
        let rows = cabinet.records.find(&SUBS, "topic", &t.key.id(), None, 10).await.unwrap();
        rows.records.len()
    }

    /// What [`end_topic`] does to records.
    async fn end(cabinet: &Cabinet, t: &TopicRecord) -> Vec<String> {
        let with_files = delete_rows(cabinet, t).await.unwrap();
        delete_found(cabinet, &DELS, "of", &t.life).await.unwrap();
        delete_topic(cabinet, t).await.unwrap();
        with_files
    }

    #[tokio::test]
    async fn a_topic_that_has_ended_leaves_nothing_and_may_end_again() {
        let (_, cabinet) = cabinet();
        let t = pair("gOne");
        add_rows(&cabinet, &t).await;
        for _ in 0..2 {
            mark_topic(&cabinet, &t, Ts(5)).await.unwrap();
            assert!(cabinet.topic(&t.key).await.unwrap().is_none(), "it is there for nobody");
            assert!(!cabinet.add_topic(&t).await.unwrap(), "and has no successor yet");
        }
        let found = cabinet.find::<TopicRecord>(&TOPICS, "ending", "true", None, 9).await.unwrap();
        assert_eq!(found.records.len(), 1);
        assert_eq!(end(&cabinet, &t).await, [t.key.sub_id(id(1))]);
        assert_eq!(count_rows(&cabinet, &t).await, 0);
        for scope in [None, Some(id(1))] {
            assert!(cabinet.dels(&t.life, scope).await.unwrap().is_none());
        }
        assert!(!is_ending(&cabinet, &t).await.unwrap());
        mark_topic(&cabinet, &t, Ts(6)).await.unwrap();
        assert!(end(&cabinet, &t).await.is_empty());
        assert!(cabinet.add_topic(&t).await.unwrap());
    }

    #[tokio::test]
    async fn whoever_goes_on_too_late_does_not_touch_the_successor() {
        let (_, cabinet) = cabinet();
        let (old, new) = (pair("gOne"), pair("gTwo"));
        add_rows(&cabinet, &old).await;
        mark_topic(&cabinet, &old, Ts(5)).await.unwrap();
        end(&cabinet, &old).await;
        add_rows(&cabinet, &new).await;
        mark_topic(&cabinet, &old, Ts(6)).await.unwrap();
        assert!(!is_ending(&cabinet, &old).await.unwrap());
        assert!(end(&cabinet, &old).await.is_empty());
        assert_eq!(count_rows(&cabinet, &new).await, 2);
        assert_eq!(cabinet.topic(&new.key).await.unwrap().unwrap().record.life, "gTwo");
        // Nor while that is ending itself.
        mark_topic(&cabinet, &new, Ts(7)).await.unwrap();
        assert!(end(&cabinet, &old).await.is_empty());
        assert_eq!(count_rows(&cabinet, &new).await, 2);
    }

    #[tokio::test]
    async fn a_user_is_marked_as_often_as_somebody_goes_on() {
        let (_, cabinet) = cabinet();
        assert!(mark_user(&cabinet, id(1), Ts(5)).await.unwrap().is_none());
        cabinet.add_user(&User::new(id(1), Level::Auth, Ts(1))).await.unwrap();
        for at in [5, 9] {
            let user = mark_user(&cabinet, id(1), Ts(at)).await.unwrap().unwrap();
            assert_eq!((user.state, user.updated), (UserState::Ending, Ts(at)));
        }
        let found = cabinet.find::<User>(&USERS, "state", "ending", None, 9).await.unwrap();
        assert_eq!(found.records.len(), 1);
    }

    #[test]
    fn what_was_begun_a_while_ago_was_cut_off() {
        for (begun, now, expected) in
            [(0, 14_999, false), (0, 15_000, true), (20_000, 10_000, false), (5, 60_000, true)]
        {
            assert_eq!(is_cut_off(Ts(begun), Ts(now)), expected, "{begun} {now}");
        }
    }

    #[test]
    fn what_may_name_a_file() {
        for (json, expected) in [
            (&br#"{"c":{"ref":"/v0/file/s/abc"}}"#[..], true),
            (br#"{"c":"a file"}"#, false),
            (b"\xff/file/s/", false),
            (b"", false),
        ] {
            assert_eq!(may_name_file(json), expected, "{json:?}");
        }
    }
}
