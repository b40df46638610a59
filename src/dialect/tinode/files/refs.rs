//! Records of files: which there are, who refers to them, and what they take up.
//!
//! ```text
//! add ──► free ──refer──► in use ──the last one is taken away──► free ──long──► condemned ──► gone
//! ```
//!
//! A file to which nothing refers is `free`, since the time in its record. Who sweeps condemns it
//! first, by a time of 0, if it is still as it was read: who refers to it at the same moment either
//! comes before that, or finds it gone.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::{
    super::{
        cabinet::{Cabinet, Read, TRIES, crowded},
        ids::{Key, UserId},
        merge,
        message::{Code, Range, Raw, Ts},
        record::{
            FILES, FileRecord, REFS, RefRecord, TOPICS, TopicRecord, USAGE, Usage, UserState,
        },
        refusal::{Done, Refusal},
    },
    Place,
};
use crate::{
    domain::records::{Expect, MAX_PAGE},
    throttle::throttled,
};

/// What a file takes up at least: else a quota would be no bound on how many there are.
const LEAST: u64 = 4 << 10;
/// References that are noted at a time.
const AT_ONCE: usize = 8;
/// Pages of references that are looked at in one go.
const PAGES: usize = 4;
/// The pauses between attempts to note references: who asks for it can't be told that it failed.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

fn takes_up(size: u64) -> u64 {
    size.max(LEAST)
}

fn is_condemned(file: &FileRecord) -> bool {
    file.free && file.at == Ts(0)
}

/// A file that is there.
///
/// # Errors
/// The store does not answer.
pub(super) async fn file(cabinet: &Cabinet, name: &str) -> Done<Option<FileRecord>> {
    let read: Option<Read<FileRecord>> = cabinet.get(&FILES, name).await?;
    Ok(read.map(|read| read.record).filter(|file| !is_condemned(file)))
}

/// Whether a user may upload one more file.
///
/// # Errors
/// The store does not answer.
pub(super) async fn has_place(cabinet: &Cabinet, user: UserId, quota: u64) -> Done<bool> {
    let usage: Option<Read<Usage>> = cabinet.get(&USAGE, &user.to_string()).await?;
    let bytes = usage.map_or(0, |read| read.record.bytes);
    Ok(bytes.saturating_add(LEAST) <= quota)
}

/// Notes a new file, to which nothing refers yet.
///
/// # Errors
/// 413: its user has no place for it. Or the store does not answer. Nothing of it is noted then.
pub(super) async fn add(cabinet: &Cabinet, name: &str, file: &FileRecord, quota: u64) -> Done<()> {
    if cabinet.put(&FILES, name, file.body(), Expect::New, None).await?.is_none() {
        return Err(Code::Internal.into()); // nobody has a name twice
    }
    let size = takes_up(file.size);
    let more = |usage: &mut Usage| {
        let bytes = usage.bytes.saturating_add(size);
        (bytes <= quota).then(|| *usage = Usage { bytes, files: usage.files.saturating_add(1) })
    };
    let charged = match change_usage(cabinet, file.user, more).await {
        Ok(true) => return Ok(()),
        Ok(false) => Err(Code::TooLarge.into()),
        Err(why) => Err(why),
    };
    cabinet.records.delete(&FILES, name, None).await?;
    charged
}

/// Changes what a user takes up. False: `decide` does not want to.
async fn change_usage(
    cabinet: &Cabinet,
    user: UserId,
    decide: impl Fn(&mut Usage) -> Option<()> + Send,
) -> Done<bool> {
    let id = user.to_string();
    for _ in 0..TRIES {
        let read: Option<Read<Usage>> = cabinet.get(&USAGE, &id).await?;
        let expect = read.as_ref().map_or(Expect::New, |read| Expect::Version(read.version));
        let mut usage = read.map(|read| read.record).unwrap_or_default();
        if decide(&mut usage).is_none() {
            return Ok(false);
        }
        if cabinet.put(&USAGE, &id, usage.body(), expect, None).await?.is_some() {
            return Ok(true);
        }
    }
    Err(crowded())
}

/// Deletes a file, and then what is noted of it.
///
/// # Errors
/// It can't be deleted, or the store does not answer: the sweep does it later.
pub(super) async fn forget(
    cabinet: &Cabinet,
    place: &dyn Place,
    name: &str,
    file: &FileRecord,
) -> Done<()> {
    if let Err(why) = place.delete(name).await {
        throttled!(warn, why, "a file could not be deleted");
        return Err(Code::Unavailable.into());
    }
    if !cabinet.records.delete(&FILES, name, None).await? {
        return Ok(()); // somebody else was here before
    }
    let size = takes_up(file.size);
    // A user who is deleted takes up nothing.
    let less = |usage: &mut Usage| {
        (usage.files > 0).then(|| {
            usage.bytes = usage.bytes.saturating_sub(size);
            usage.files -= 1;
        })
    };
    change_usage(cabinet, file.user, less).await.map(|_| ())
}

/// Notes that `by` refers to these files, and to no others any more. Whether it is noted.
pub(super) async fn refer(cabinet: &Cabinet, by: &str, names: &BTreeSet<String>, now: Ts) -> bool {
    let mut pauses = PAUSES.into_iter();
    while let Err(Refusal { code, .. }) = try_refer(cabinet, by, names, now).await {
        let Some(pause) = pauses.next() else {
            let code = code.number();
            throttled!(warn, code, "it could not be noted which files are in use");
            return false;
        };
        sleep(pause).await;
    }
    true
}

async fn try_refer(cabinet: &Cabinet, by: &str, names: &BTreeSet<String>, now: Ts) -> Done<()> {
    let (mut old, mut after) = (BTreeSet::new(), None::<String>);
    loop {
        let page = cabinet.find::<RefRecord>(&REFS, "by", by, after.as_deref(), MAX_PAGE).await?;
        old.extend(page.records.into_iter().map(|(_, read)| read.record.file));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // Those that come before those that go.
    let come: Vec<_> = names.difference(&old).map(|name| come(cabinet, by, name)).collect();
    let go: Vec<_> = old.difference(names).map(|name| go(cabinet, by, name, now)).collect();
    let came: Vec<Done<()>> = stream::iter(come).buffer_unordered(AT_ONCE).collect().await;
    let gone: Vec<Done<()>> = stream::iter(go).buffer_unordered(AT_ONCE).collect().await;
    came.into_iter().chain(gone).collect()
}

fn id(name: &str, by: &str) -> String {
    format!("{name}/{by}")
}

/// `by` refers to a file, if there is one.
async fn come(cabinet: &Cabinet, by: &str, name: &str) -> Done<()> {
    if file(cabinet, name).await?.is_none() {
        return Ok(());
    }
    let record = RefRecord { file: name.to_owned(), by: by.to_owned() };
    cabinet.put(&REFS, &id(name, by), record.body(), Expect::Any, None).await?;
    if !set_free(cabinet, name, None).await? {
        cabinet.records.delete(&REFS, &id(name, by), None).await?;
    }
    Ok(())
}

/// `by` does not refer to a file any more.
async fn go(cabinet: &Cabinet, by: &str, name: &str, now: Ts) -> Done<()> {
    cabinet.records.delete(&REFS, &id(name, by), None).await?;
    if !is_in_use(cabinet, name).await? {
        set_free(cabinet, name, Some(now)).await?;
    }
    Ok(())
}

async fn is_in_use(cabinet: &Cabinet, name: &str) -> Done<bool> {
    let page = cabinet.records.find(&REFS, "file", name, None, 1).await?;
    Ok(!page.records.is_empty())
}

/// A file is free from then on, or is not. False: it is not there any more.
async fn set_free(cabinet: &Cabinet, name: &str, since: Option<Ts>) -> Done<bool> {
    for _ in 0..TRIES {
        let read: Option<Read<FileRecord>> = cabinet.get(&FILES, name).await?;
        let Some(Read { record: mut file, version }) = read else { return Ok(false) };
        if is_condemned(&file) {
            return Ok(false);
        }
        if file.free == since.is_some() {
            return Ok(true);
        }
        file.free = since.is_some();
        file.at = since.unwrap_or(file.at);
        let expect = Expect::Version(version);
        if cabinet.put(&FILES, name, file.body(), expect, None).await?.is_some() {
            return Ok(true);
        }
    }
    Err(crowded())
}

/// Deletes files that have been free since before that time.
///
/// # Errors
/// The store does not answer. Of files that can't be deleted the others are.
pub(super) async fn sweep(cabinet: &Cabinet, place: &dyn Place, before: Ts) -> Done<()> {
    let (mut done, mut after) = (Ok(()), None::<String>);
    loop {
        let page = cabinet.find(&FILES, "free", "true", after.as_deref(), MAX_PAGE).await?;
        for (name, read) in page.records {
            let read: Read<FileRecord> = read;
            if read.record.at < before {
                done = done.and(look(cabinet, place, &name, &read).await);
            }
        }
        after = page.next;
        if after.is_none() {
            return done;
        }
    }
}

/// Who refers to a file without a note of it: its user, or a group of its user. Whoever was to note
/// that has died before, or has noted what was there a moment earlier.
async fn unnoted(cabinet: &Cabinet, name: &str, user: UserId) -> Done<Option<String>> {
    if let Some(Read { record: shown, .. }) = cabinet.user(user).await?
        && shown.state != UserState::Ending
        && is_in(name, shown.public.iter().chain(&shown.private).chain(&shown.trusted))
    {
        return Ok(Some(format!("u/{user}")));
    }
    let owner = user.to_string();
    let own = cabinet.find::<TopicRecord>(&TOPICS, "owner", &owner, None, MAX_PAGE).await?;
    let topics = own.records.into_iter().map(|(_, read)| read.record);
    let found = topics
        .filter(|t| !t.ending)
        .find(|t| is_in(name, t.public.iter().chain(&t.trusted).chain(t.aux.values())))
        .map(|t| format!("g/{}", t.key.id()));
    Ok(found)
}

fn is_in<'a>(name: &str, raws: impl Iterator<Item = &'a Raw>) -> bool {
    let mut found = BTreeSet::new();
    raws.for_each(|raw| merge::files(raw.get(), &mut found));
    found.contains(name)
}

/// Deletes a file, if nothing refers to it.
async fn look(
    cabinet: &Cabinet,
    place: &dyn Place,
    name: &str,
    read: &Read<FileRecord>,
) -> Done<()> {
    if !is_condemned(&read.record) {
        // Of who refers to it and who does not any more the one came between the other's steps.
        if is_in_use(cabinet, name).await? {
            set_free(cabinet, name, None).await?;
            return Ok(());
        }
        if let Some(by) = unnoted(cabinet, name, read.record.user).await? {
            return come(cabinet, &by, name).await;
        }
        let condemned = FileRecord { at: Ts(0), ..read.record.clone() };
        let expect = Expect::Version(read.version);
        if cabinet.put(&FILES, name, condemned.body(), expect, None).await?.is_none() {
            return Ok(()); // it is not as it was any more
        }
    }
    forget(cabinet, place, name, &read.record).await
}

/// Which messages there are.
#[async_trait]
pub(super) trait Messages: Sync {
    /// Of these messages of a topic those that are not there any more, or have nothing in them.
    async fn gone(&self, topic: &TopicRecord, seqs: &[u64]) -> Done<Vec<u64>>;
}

/// Looks at some of the references, behind the id `after`, and deletes those of messages that are
/// gone. A file that was sent with a message, but is not named in it, is not found when that is
/// deleted; and whoever erases what a user wrote, or trims a log, knows of no files. Returns where
/// to go on; nothing: all were looked at.
///
/// # Errors
/// The store does not answer.
pub(super) async fn check(
    cabinet: &Cabinet,
    messages: &dyn Messages,
    mut after: Option<String>,
    now: Ts,
) -> Done<Option<String>> {
    for _ in 0..PAGES {
        let page = cabinet.records.list(&REFS, after.as_deref(), MAX_PAGE).await?;
        let mut topics: BTreeMap<Key, Vec<(u64, RefRecord)>> = BTreeMap::new();
        for record in page.records {
            let Ok(record) = serde_json::from_slice::<RefRecord>(&record.body) else { continue };
            if let Some((key, seq)) = message(&record.by) {
                topics.entry(key).or_default().push((seq, record));
            }
        }
        for (key, refs) in topics {
            // One that can't be looked at does not hinder the others, and has its turn again.
            if let Err(Refusal { code, .. }) = check_topic(cabinet, messages, &key, refs, now).await
            {
                let code = code.number();
                throttled!(warn, code, "files of a topic's messages could not be looked at");
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(after)
}

/// The message that has this reference: `m/KEY/SEQ`.
fn message(by: &str) -> Option<(Key, u64)> {
    let (key, seq) = by.strip_prefix("m/")?.rsplit_once('/')?;
    Some((Key::parse(key)?, seq.parse().ok()?))
}

async fn check_topic(
    cabinet: &Cabinet,
    messages: &dyn Messages,
    key: &Key,
    refs: Vec<(u64, RefRecord)>,
    now: Ts,
) -> Done<()> {
    let (deleted, gone) = match cabinet.topic(key).await?.map(|read| read.record) {
        Some(topic) => {
            let deleted = cabinet.dels(&topic.life, None).await?.unwrap_or_default().ranges();
            let seqs: Vec<u64> = refs.iter().map(|(seq, _)| *seq).collect();
            (deleted, messages.gone(&topic, &seqs).await?)
        }
        None => (vec![Range { low: 0, hi: u64::MAX }], Vec::new()),
    };
    let is_gone = |seq: u64| {
        gone.contains(&seq) || deleted.iter().any(|range| (range.low..range.hi).contains(&seq))
    };
    for (_, RefRecord { file, by }) in refs.into_iter().filter(|(seq, _)| is_gone(*seq)) {
        go(cabinet, &by, &file, now).await?;
    }
    Ok(())
}
