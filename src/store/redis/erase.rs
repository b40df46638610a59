//! Erasing a user's messages, and the jobs that do it; and messages by their indexes, which a script
//! does by itself.
//!
//! Entries are read as they are, and those of the user are overwritten by a script, each if it is
//! still what was read: somebody may trim, clear or replace meanwhile. Where one was not, the list
//! is looked through again.
use async_trait::async_trait;
use bytes::Bytes;
use redis::{Value, cmd};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Redis, answer, entry::Entry, script::Script, wire::Told};
use crate::{
    domain::{
        broker::Event,
        erase::{Erased, Erasure, Job, State},
        error::StoreError,
        ids::{RoomId, Uid},
    },
    hex,
};

/// Entries that are read at once: each may have 500 KiB.
const ENTRIES: u64 = 64;
/// Inserts that one script looks at.
const INSERTS: u64 = 200;
/// The largest index that is asked for.
const FARTHEST: u64 = 1 << 52;
/// How often a list that changes is looked through again.
const ATTEMPTS: u32 = 5;
/// Jobs that are done are kept for so long, in seconds.
const KEPT: u64 = 30 * 86_400;

/// What stands around an entry's message.
#[derive(Deserialize)]
struct Around<'a> {
    #[serde(borrow, default)]
    ts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    n: Option<&'a RawValue>,
}

/// The entry without its message.
fn erased(entry: &Bytes) -> String {
    let mut text = String::from(r#"{"data":null"#);
    if let Ok(Around { ts, ms, n }) = serde_json::from_slice::<Around<'_>>(entry) {
        for (name, value) in [("ts", ts), ("ms", ms), ("n", n)] {
            if let Some(value) = value {
                text += &format!(",\"{name}\":{value}");
            }
        }
    }
    text + "}"
}

impl Redis {
    /// Whether the entry holds a message of this user, also one that was recalled.
    fn is_entry_of(&self, room: &RoomId, entry: &Bytes, uid: &Uid) -> bool {
        let forms = self.options.forms;
        Entry::message(entry).is_some_and(|message| forms.is_of(room, &message, uid))
    }

    pub(super) async fn command(&self, command: &redis::Cmd) -> Result<Value, StoreError> {
        let live = self.client.live()?;
        Ok(self.client.send(&live, command, self.deadline()).await?)
    }

    /// Overwrites what is the user's among these; returns how many, and whether some were others
    /// by then.
    async fn overwrite(
        &self,
        room: &RoomId,
        which: &str,
        entries: impl IntoIterator<Item = (Bytes, Bytes)>,
        uid: &Uid,
    ) -> Result<(u64, bool), StoreError> {
        let is_theirs = |(_, entry): &(Bytes, Bytes)| self.is_entry_of(room, entry, uid);
        let theirs: Vec<_> = entries.into_iter().filter(is_theirs).collect();
        if theirs.is_empty() {
            return Ok((0, false));
        }
        let each = |(name, entry): &(Bytes, Bytes)| {
            [name.clone(), Bytes::from(sha1(entry)), Bytes::from(erased(entry))]
        };
        let each: Vec<Bytes> = theirs.iter().flat_map(each).collect();
        let arguments = |a: super::Arguments| a.text(room.as_str()).text(which).bodies(each);
        let answer = self.call(Script::Erase, self.deadline(), arguments).await?;
        let mut answer = answer::list(answer)?.into_iter();
        Ok((answer::number(answer.next())?, answer::number(answer.next())? > 0))
    }

    /// In one of the room's lists.
    async fn erase_list(
        &self,
        room: &RoomId,
        which: &str,
        name: &str,
        uid: &Uid,
    ) -> Result<u64, StoreError> {
        let key = format!("{}msg_{room}_{name}", self.options.prefix);
        let mut all = 0;
        for _ in 0..ATTEMPTS {
            let (mut from, mut again) = (0, false);
            loop {
                let read = cmd("LRANGE").arg(&key).arg(from).arg(from + ENTRIES - 1).to_owned();
                let entries = answer::list(self.command(&read).await?)?;
                let read = entries.len() as u64;
                let entries = entries.into_iter().filter_map(answer::bytes);
                let named = (from..).zip(entries).map(|(at, e)| (Bytes::from(at.to_string()), e));
                let (erased, others) = self.overwrite(room, which, named, uid).await?;
                (all, again) = (all + erased, again || others);
                if read < ENTRIES {
                    break;
                }
                from += read;
            }
            if !again {
                return Ok(all);
            }
        }
        Err(StoreError::Unavailable("the room changes all the time".into()))
    }

    /// Among the room's updates.
    async fn erase_updates(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        let key = format!("{}msg_{room}_update", self.options.prefix);
        let (mut cursor, mut all, mut again) = ("0".to_owned(), 0, 0);
        loop {
            let scan = cmd("HSCAN").arg(&key).arg(&cursor).arg("COUNT").arg(ENTRIES).to_owned();
            let mut found = answer::list(self.command(&scan).await?)?.into_iter();
            cursor = answer::text(found.next())?;
            let flat = answer::list(found.next().unwrap_or_default())?;
            let flat: Vec<Bytes> = flat.into_iter().filter_map(answer::bytes).collect();
            let pairs = flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            let (erased, others) = self.overwrite(room, "u", pairs, uid).await?;
            (all, again) = (all + erased, again + u32::from(others));
            if cursor == "0" && again == 0 {
                return Ok(all);
            }
            if cursor == "0" {
                again = 0; // what was replaced meanwhile is looked at once more
            }
        }
    }

    /// What is kept for nodes that were cut off goes if it has something of the user, be that in the
    /// log or not: they take it for a loss then.
    async fn erase_replay(&self, room: &RoomId, uid: &Uid) -> Result<(), StoreError> {
        let key = format!("{}ao:replay:{room}", self.options.prefix);
        let read = cmd("LRANGE").arg(&key).arg(0).arg(-1).to_owned();
        let told = answer::list(self.command(&read).await?)?;
        if told.into_iter().filter_map(answer::bytes).any(|text| self.may_tell_of(room, text, uid))
        {
            self.call(Script::Erased, self.deadline(), |a| a.text(room.as_str())).await?;
        }
        Ok(())
    }

    /// Whether a message of the user is among these publications, or they can't be read.
    fn may_tell_of(&self, room: &RoomId, publications: Bytes, uid: &Uid) -> bool {
        Told::decode(publications, &self.node()).is_none_or(|told| {
            let mut events = told.publications.iter().map(|publication| &publication.event);
            events.any(|event| {
                let forms = self.options.forms;
                matches!(event, Event::Message { body, .. } if forms.is_of(room, body, uid))
            })
        })
    }

    fn jobs(&self) -> String {
        format!("{}ao:jobs", self.options.prefix)
    }
}

/// As Redis has it.
pub(super) fn sha1(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref())
}

#[async_trait]
impl Erasure for Redis {
    async fn erase(&self, room: &RoomId, uid: &Uid) -> Result<Erased, StoreError> {
        let inserts = self.erase_list(room, "i", "insert", uid).await?;
        let updates = self.erase_updates(room, uid).await?;
        let copies = self.erase_list(room, "b", "update_backup", uid).await?
            + self.erase_list(room, "g", "ignore", uid).await?;
        self.erase_replay(room, uid).await?;
        Ok(Erased { inserts, updates, copies, ..Erased::default() })
    }

    async fn erase_inserts(&self, room: &RoomId, from: u64, upto: u64) -> Result<u64, StoreError> {
        let (mut from, mut all) = (from, 0);
        while from < upto {
            let answer = self.call(Script::EraseInserts, self.deadline(), |a| {
                let a = a.text(room.as_str()).number(from.min(FARTHEST));
                a.number(upto.min(FARTHEST)).number(INSERTS)
            });
            let mut answer = answer::list(answer.await?)?.into_iter();
            all += answer::number(answer.next())?;
            from = match answer::number(answer.next())? {
                0 => break,
                next => next,
            };
        }
        Ok(all)
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        // An append-only file still has what was overwritten: it is written anew. Where there is
        // none, or this user may not, that is the operator's to do.
        if let Err(error) = self.command(&cmd("BGREWRITEAOF")).await {
            tracing::info!(%error, "the append-only file of Redis, if it has one, is not rewritten now");
        }
        Ok(())
    }

    async fn keep_job(&self, job: &Job) -> Result<(), StoreError> {
        let text = serde_json::to_string(job);
        let text = text.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let (open, one) = (self.jobs(), format!("{}:{}", self.jobs(), job.id));
        if job.state == State::Done {
            self.command(cmd("SET").arg(&one).arg(text).arg("EX").arg(KEPT)).await?;
            self.command(cmd("SREM").arg(&open).arg(&job.id)).await?;
        } else {
            self.command(cmd("SET").arg(&one).arg(text)).await?;
            self.command(cmd("SADD").arg(&open).arg(&job.id)).await?;
        }
        Ok(())
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let live = self.client.live()?;
        let get = cmd("GET").arg(format!("{}:{id}", self.jobs())).to_owned();
        let found = self.client.ask(&live, &get, self.deadline()).await?;
        Ok(answer::bytes(found).and_then(|text| serde_json::from_slice(&text).ok()))
    }

    async fn open_jobs(&self) -> Result<Vec<Job>, StoreError> {
        let names = answer::list(self.command(cmd("SMEMBERS").arg(self.jobs())).await?)?;
        let mut jobs = Vec::new();
        for name in names {
            jobs.extend(self.job(&answer::text(Some(name))?).await?);
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redis::Commands;

    use super::{super::tests::Keys, *};
    use crate::{
        domain::{broker::Broker, ids::Space},
        store::contract::witness::{ignore, insert, publish, room, uid, update},
    };

    /// Whoever erases may be killed behind any of its steps, and who goes on finds nothing to do.
    #[tokio::test]
    async fn what_nodes_have_read_is_out_of_date_with_each_overwriting() {
        let (keys, room, ann) = (Keys::new(), room("lesson"), uid("ann"));
        let (one, other) = (keys.node().await, keys.node().await);
        let broker: Arc<dyn Broker> = one.clone();
        publish(&broker, &room, [insert(r#"{"2":"ann"}"#), update("x", r#"{"2":"ann"}"#)]).await;
        let read = other.edition(&room).await.unwrap();
        assert_eq!(one.erase_list(&room, "i", "insert", &ann).await, Ok(1));
        let without_insert = other.edition(&room).await.unwrap();
        assert_ne!(without_insert, read);
        assert_eq!(one.erase_updates(&room, &ann).await, Ok(1));
        let without_update = other.edition(&room).await.unwrap();
        assert_ne!(without_update, without_insert);
        one.erase(&room, &ann).await.unwrap();
        assert_eq!(other.edition(&room).await.unwrap(), without_update, "nothing was left to do");
    }

    /// It says how its dialect writes senders, and that need not be as uids are written.
    #[tokio::test]
    async fn what_is_kept_for_nodes_that_were_cut_off_goes_with_what_the_user_said() {
        let (keys, ann) = (Keys::new(), uid("ann"));
        let node = keys.node().await;
        let broker: Arc<dyn Broker> = node.clone();
        let talk = |name: &str| RoomId::within(Space::Lives("talk"), name).unwrap();
        for (room, said, is_kept) in [
            (room("uid"), r#"{"2":"ann"}"#, false),
            (room("escaped"), r#"{"2":"\u0061nn"}"#, false),
            (room("named"), r#"{"2":"bob","to":"ann"}"#, true),
            (talk("form:1"), r#"["\u0061nn","hi"]"#, false),
            (talk("other:1"), r#"["bob","ann"]"#, true),
        ] {
            // Not in the log: it was only delivered, or is trimmed by now.
            publish(&broker, &room, [insert(r#"{"2":"bob"}"#), ignore(said)]).await;
            node.erase(&room, &ann).await.unwrap();
            let replay = keys.key(&format!("ao:replay:{room}"));
            let there: bool = keys.connection().exists(replay).unwrap();
            assert_eq!(there, is_kept, "{said}");
        }
    }

    #[test]
    fn an_entry_keeps_its_time_and_its_number() {
        let erased = |text: &'static str| erased(&Bytes::from_static(text.as_bytes()));
        assert_eq!(erased(r#"{"data":{"a":1},"ts":5}"#), r#"{"data":null,"ts":5}"#);
        assert_eq!(
            erased(r#"{"recalled":{"a":1},"ts":5,"ms":5123}"#),
            r#"{"data":null,"ts":5,"ms":5123}"#
        );
        assert_eq!(erased(r#"{"data":1,"ts":5,"n":7}"#), r#"{"data":null,"ts":5,"n":7}"#);
        assert_eq!(erased("by hand"), r#"{"data":null}"#);
    }

    #[test]
    fn the_digest_is_redis_own() {
        assert_eq!(sha1(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
