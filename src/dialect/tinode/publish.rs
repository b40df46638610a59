//! `pub`: a message goes into its topic's room.
//!
//! This is what a server does most, so nothing is read from a store, and nothing waited for: who is
//! attached, and what it may, is known by its [`Attach`]. The answer is sent when the room has
//! stored the message, by [`Attach::publish`]; [`published`] follows.
use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::{
    Tinode,
    attach::Attach,
    files, get, history,
    ids::{NAME, Topic, UserId},
    merge,
    message::Code,
    mode::Mode,
    post::{To, Told, Word},
    refusal::{Done, Refusal},
    request::Pub,
    session::{Identity, Session},
    stored::{self, Mark},
    topic::Live,
};
use crate::{
    domain::{
        json::{self, Object},
        receipt::Receipt,
    },
    hex,
    lock::lock,
    throttle::throttled,
};

/// In the head: who retries with the same one within a day has the same message, once.
const KEY: &str = "idempotency-key";
/// Characters that such a key may have.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 1..=128;
/// Messages with files that may be on their way in one topic of this node.
const AWAITED: usize = 256;
/// Seconds to wait before it is tried again to note a message's files: a day later they are deleted
/// otherwise.
const PAUSES: [u64; 4] = [1, 5, 30, 120];

/// Publishes a message.
///
/// # Errors
/// Why it can't be, which the client has not been told.
pub(super) fn publish(
    session: &Arc<Session>,
    who: Identity,
    id: &str,
    p: &Pub<'_>,
    attachments: &[Cow<'_, str>],
) -> Done<()> {
    let attach = attached(session, who, &p.topic)?;
    if attach.reader || !attach.mode().has(Mode::W) {
        return Err(Code::Denied.into());
    }
    let length = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
    if length(p.head) + length(p.content) > session.node.options.limits.message {
        return Err(Code::TooLarge.into());
    }
    let receipt =
        p.head.map(|head| receipt(who.user, &attach.live, head, p.content)).transpose()?;
    let body = stored::body(who.user, session.now(), p.head, p.content);
    let names = names(p, attachments);
    if !names.is_empty() {
        lock(&attach.live.awaited).add(mark_of(&body), names);
    }
    let bytes = body.len();
    let entry = stored::insert(session.id, body, receipt.flatten().map(Arc::new));
    attach.publish(id, p.noecho, entry, bytes);
    Ok(())
}

/// The topic in which a session says something, by its name.
///
/// # Errors
/// It is not attached there, or nobody says anything there.
pub(super) fn attached(session: &Session, who: Identity, name: &str) -> Done<Arc<Attach>> {
    let topic = Topic::parse(name).map_err(get::bad)?;
    let attach = match topic {
        // R:me#6, R:fnd#18.
        Topic::Me if !session.is_on_me() => None,
        Topic::Fnd if session.fnd().is_none() => None,
        Topic::Me | Topic::Fnd | Topic::Sys => return Err(Code::Denied.into()),
        Topic::New { .. } => None,
        Topic::Slf | Topic::User(_) | Topic::Group(_) | Topic::Reader(_) => {
            topic.key(who.user).and_then(|key| session.attached(&key))
        }
    };
    Ok(attach.ok_or(Code::MustAttach)?)
}

/// That a message is published once, if its head says so.
///
/// # Errors
/// 400: the head is no object, or the key no text of that length.
fn receipt(
    user: UserId,
    live: &Live,
    head: &RawValue,
    content: Option<&RawValue>,
) -> Done<Option<Receipt>> {
    let fields = Object::parse(head.get()).ok_or(Code::Malformed)?;
    let Some(key) = fields.get(KEY).filter(|key| key.get() != "null") else { return Ok(None) };
    let key = json::string(key).ok_or(Code::Malformed)?;
    if !KEY_LENGTH.contains(&key.chars().count()) {
        return Err(Code::Malformed.into());
    }
    let mut name = Sha256::new_with_prefix(NAME.as_bytes());
    for part in [user.name().as_str(), &live.key.id(), &key] {
        name.update([0]);
        name.update(part.as_bytes());
    }
    let mut name = hex::encode(&name.finalize());
    name.truncate(40);
    let content = content.map_or("", RawValue::get);
    let said = Sha256::new_with_prefix(head.get().as_bytes()).chain_update([0]);
    let digest = said.chain_update(content.as_bytes()).finalize().into();
    Ok(Some(Receipt { key: name.into(), digest, note: Default::default() }))
}

/// The files that a message names, and those that were sent with it.
fn names(p: &Pub<'_>, attachments: &[Cow<'_, str>]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let said = [p.head, p.content].into_iter().flatten().map(RawValue::get);
    for text in said.chain(attachments.iter().map(|url| &**url)) {
        merge::files(text, &mut names);
    }
    names
}

/// Files of messages whose numbers are not known yet, by what tells such a message from others. Of
/// messages that fail they stay until others take their place.
#[derive(Debug, Default)]
pub(super) struct Awaited(VecDeque<(u64, BTreeSet<String>)>);

impl Awaited {
    fn add(&mut self, mark: u64, names: BTreeSet<String>) {
        if self.0.len() >= AWAITED {
            self.0.pop_front();
        }
        self.0.push_back((mark, names));
    }

    fn take(&mut self, mark: u64) -> Option<BTreeSet<String>> {
        let at = self.0.iter().position(|(other, _)| *other == mark)?;
        self.0.remove(at).map(|(_, names)| names)
    }
}

/// What tells a stored message from others: it says who sent it, and when.
fn mark_of(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

/// A message of this session is stored, and its sender was told. Called once, with nothing locked.
pub(super) fn published(attach: &Arc<Attach>, seq: u64) {
    let Attach { session, live, who, .. } = &**attach;
    let (node, by) = (&session.node, who.user);
    live.raise(by, Mark::of(seq, seq));
    node.flushes.later(live, by);
    let told = Told::Msg { key: live.key, seq, by };
    let needs = Mode::R.with(Mode::P);
    let word = Word { to: To::Members(live.key), needs, unattached: true, told };
    node.post.say(node, vec![word], Some(session.id));
    node.pushes.sent(live, seq, by);
    // Most topics have no files, and then nothing is read.
    if !lock(&live.awaited).0.is_empty() {
        let (node, live) = (node.clone(), live.clone());
        node.hub.tasks.clone().spawn(async move { keep_files(&node, &live, seq).await });
    }
}

/// Notes that this message refers to its files, as soon as the store is there.
async fn keep_files(node: &Tinode, live: &Live, seq: u64) {
    let (mut pauses, mut names) = (PAUSES.into_iter(), None);
    loop {
        match refer(node, live, seq, &mut names).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(Refusal { code, .. }) => {
                throttled!(warn, code = code.number(), "a message's files could not be noted");
            }
        }
        let Some(pause) = pauses.next() else { return };
        sleep(Duration::from_secs(pause)).await;
    }
}

/// Whether it is noted to which files this message refers. `names`: those, once they are known.
async fn refer(
    node: &Tinode,
    live: &Live,
    seq: u64,
    names: &mut Option<BTreeSet<String>>,
) -> Done<bool> {
    if names.is_none() {
        let stored = history::at(node, &live.room, seq).await?;
        let Some(body) = stored.and_then(|stored| stored.body) else { return Ok(true) };
        *names = lock(&live.awaited).take(mark_of(&body));
    }
    let Some(names) = names else { return Ok(true) };
    Ok(files::refer(node, &history::place(&live.key, seq), names).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> BTreeSet<String> {
        BTreeSet::from([name.to_owned()])
    }

    #[test]
    fn files_wait_for_the_number_of_their_message() {
        let mut awaited = Awaited::default();
        let (first, second) = (mark_of(b"first"), mark_of(b"second"));
        awaited.add(first, names("a"));
        awaited.add(second, names("b"));
        assert_eq!(awaited.take(second), Some(names("b")));
        assert_eq!(awaited.take(second), None);
        assert_eq!(awaited.take(mark_of(b"third")), None);
        for other in 0..AWAITED as u64 {
            awaited.add(other, names("c"));
        }
        assert_eq!(awaited.0.len(), AWAITED);
        assert_eq!(awaited.take(first), None, "others have taken its place");
    }
}
