//! The audit log: what administrators have changed. Who, what, on whom or in which room, when, and
//! how it ended. It never has a message or a token: what an entry tells of a request is named in
//! [`ASKED`], what it tells of an answer in [`GIVEN`].
//!
//! Publishing is not in it. Business servers publish all the time, each message says itself whose
//! word it is, and ten thousand of them would push out what one looks here for: who cleared the room.
//!
//! Entries are records, so all nodes write into one log. Their ids run backwards, so the newest come
//! first. The last [`KEPT`] stay; older ones are deleted now and then, by whoever writes. Each entry
//! is a line of the log, too, with the target `audit`: that is the copy for those who must keep all.
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    domain::{
        clock::alphanumeric,
        error::StoreError,
        hub::Hub,
        ids::Uid,
        json,
        methods::Audited,
        records::{Collection, Expect, MAX_PAGE, Put, Records},
    },
    throttle::throttled,
};

/// Where the entries are.
const AUDIT: Collection = Collection::new("audit", &[]);
/// How many entries stay.
pub(super) const KEPT: usize = 10_000;
/// How many entries a node writes between two looks for those that are too many.
const EVERY: u64 = 500;
/// Fields of a request that are told of beside user and room.
const ASKED: [&str; 15] = [
    "before",
    "cancel",
    "endpoint",
    "forceUserAuth",
    "ids",
    "issuedBefore",
    "jti",
    "keep",
    "node",
    "olderThan",
    "node",
    "over",
    "reconnect",
    "roomIds",
    "seconds",
];
/// Fields of an answer that are told of.
const GIVEN: [&str; 8] =
    ["changed", "connections", "job", "removed", "replayed", "restart", "sessions", "start"];
/// Entries of an array that are told of.
const FEW: usize = 20;
/// Characters of a text that are told of.
const SHORT: usize = 256;

/// Something that an administrator did, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Act {
    /// Milliseconds since 1970.
    pub(super) at: u64,
    /// Who did it.
    pub(super) admin: String,
    /// What was done: the name of the method.
    pub(super) method: String,
    /// On whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<String>,
    /// In which room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<String>,
    /// What else was asked for.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) asked: Map<String, Value>,
    /// `done`, or the word of the problem.
    pub(super) outcome: String,
    /// What came of it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) given: Map<String, Value>,
}

impl Act {
    /// What was asked of a method by this body.
    pub(super) fn asked(admin: &Uid, method: &str, body: &str) -> Self {
        let object = json::Object::parse(body).unwrap_or_default();
        let uid = object.get("uid").and_then(json::uid).map(|uid| uid.as_str().to_owned());
        let room = object.get("roomId").and_then(json::room).map(|room| room.as_str().to_owned());
        Act {
            admin: admin.as_str().to_owned(),
            method: method.to_owned(),
            uid,
            room,
            asked: some(&object, &ASKED),
            ..Act::default()
        }
    }

    /// What was asked of a method of a dialect, as that tells it.
    pub(super) fn told(admin: &Uid, method: &str, told: Audited) -> Self {
        let value = |json: &str| serde_json::from_str(json).ok().map(short);
        let asked = told.asked.iter();
        let asked = asked.filter_map(|(name, json)| Some(((*name).to_owned(), value(json)?)));
        Act {
            admin: admin.as_str().to_owned(),
            method: method.to_owned(),
            uid: told.user.map(cut),
            room: told.room.map(cut),
            asked: asked.collect(),
            ..Act::default()
        }
    }

    /// How it ended: with this answer, or with the word of a problem.
    pub(super) fn ended(self, with: Result<&[u8], &str>) -> Self {
        match with {
            Ok(answer) => {
                let text = std::str::from_utf8(answer).unwrap_or_default();
                let given = some(&json::Object::parse(text).unwrap_or_default(), &GIVEN);
                Act { outcome: "done".to_owned(), given, ..self }
            }
            Err(word) => Act { outcome: word.to_owned(), ..self },
        }
    }
}

/// These fields of an object, shortened.
fn some(object: &json::Object<'_>, names: &[&str]) -> Map<String, Value> {
    let found = names.iter().filter_map(|name| {
        let value = serde_json::from_str(object.get(name)?.get()).ok()?;
        Some(((*name).to_owned(), short(value)))
    });
    found.collect()
}

/// A value, as far as it is told of.
fn short(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        Value::Array(values) => {
            let more = values.len().saturating_sub(FEW);
            let mut values: Vec<Value> = values.into_iter().take(FEW).map(short).collect();
            if more > 0 {
                values.push(format!("and {more} more").into());
            }
            Value::Array(values)
        }
        // Nothing that is told of is an object.
        Value::Object(_) => Value::Null,
        value => value,
    }
}

/// A text, as far as it is told of.
fn cut(text: String) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A page of the log, the newest entry first.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Entries.
    pub(super) acts: Vec<Act>,
    /// Where the next page begins; nothing where this is the last.
    pub(super) next: Option<String>,
}

/// The log's end on this node.
#[derive(Debug, Default)]
pub struct Audit {
    written: AtomicU64,
    is_trimming: AtomicBool,
}

impl Audit {
    /// Writes down what was done. A log that can't be written changes nothing about what was done: it
    /// is said in the server's own log.
    pub(super) async fn note(self: &Arc<Self>, hub: &Arc<Hub>, act: Act) {
        let act = Act { at: hub.clock.unix_ms(), ..act };
        tell(&act);
        let number = self.written.fetch_add(1, Relaxed);
        if let Err(why) = write(hub, &act, number).await {
            throttled!(error, %why, "the audit log could not be written");
        }
        if number.is_multiple_of(EVERY) && !self.is_trimming.swap(true, Relaxed) {
            let (audit, hub) = (self.clone(), hub.clone());
            hub.tasks.clone().spawn(async move {
                if let Err(error) = trim(&*hub.records, KEPT).await {
                    throttled!(warn, %error, "the audit log could not be trimmed");
                }
                audit.is_trimming.store(false, Relaxed);
            });
        }
    }
}

/// A page of the log.
pub(super) async fn page(
    records: &dyn Records,
    after: Option<&str>,
    limit: usize,
) -> Result<Page, StoreError> {
    let page = records.list(&AUDIT, after, limit).await?;
    let read = |body: &Bytes| serde_json::from_slice(body).ok();
    let acts = page.records.iter().filter_map(|record| read(&record.body));
    Ok(Page { acts: acts.collect(), next: page.next })
}

/// The line of the log.
fn tell(act: &Act) {
    let map = |map: &Map<String, Value>| {
        (!map.is_empty()).then(|| serde_json::to_string(map).unwrap_or_default())
    };
    tracing::info!(
        target: "audit",
        admin = act.admin,
        method = act.method,
        uid = act.uid,
        room = act.room,
        asked = map(&act.asked),
        outcome = act.outcome,
        given = map(&act.given),
        "an administrator made a change"
    );
}

async fn write(hub: &Hub, act: &Act, number: u64) -> Result<(), String> {
    let random = alphanumeric(&*hub.rng, 8).map_err(|error| error.to_string())?;
    let id = id(act.at, number, &random);
    let body = serde_json::to_vec(act).map_err(|error| error.to_string())?;
    match hub.records.put(&AUDIT, &id, body.into(), Expect::New, None).await {
        Ok(Put::Done { .. }) => Ok(()),
        Ok(Put::Conflict { .. }) => Err("its id is taken".to_owned()),
        Ok(Put::Invalid(bad)) => Err(bad.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// The id of an entry: before those of all that were written earlier. `number` orders those of one
/// node within a millisecond; what is random tells nodes apart.
fn id(at_ms: u64, number: u64, random: &str) -> String {
    const LAST: u64 = 0xffff_ffff;
    format!("{:016x}{:08x}{random}", u64::MAX - at_ms, LAST - (number & LAST))
}

/// Deletes all but the newest so many.
async fn trim(records: &dyn Records, kept: usize) -> Result<(), StoreError> {
    let (mut seen, mut after) = (0, None);
    loop {
        let page = records.list(&AUDIT, after.as_deref(), MAX_PAGE).await?;
        for record in page.records {
            seen += 1;
            if seen > kept {
                records.delete(&AUDIT, &record.id, None).await?;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::records::in_memory::InMemory;

    fn asked(body: &str) -> Act {
        Act::asked(&Uid::text("ops").unwrap(), "kick", body)
    }

    #[test]
    fn an_entry_tells_of_users_and_rooms_and_never_of_messages_and_tokens() {
        let act = asked(
            r#"{"uid":7,"roomId":"a \"b\"","keep":3,"message":{"text":"private"},"token":"secret"}"#,
        );
        let answer = br#"{"uid":7,"token":"fresh","removed":2,"messages":["private"]}"#;
        let act = act.ended(Ok(answer));
        assert_eq!((act.uid.as_deref(), act.room.as_deref()), (Some("7"), Some("a \"b\"")));
        let written = serde_json::to_string(&act).unwrap();
        for part in ["\"keep\":3", "\"removed\":2", "\"outcome\":\"done\""] {
            assert!(written.contains(part), "{part}: {written}");
        }
        for secret in ["private", "secret", "fresh"] {
            assert!(!written.contains(secret), "{secret}: {written}");
        }
        assert_eq!(serde_json::from_str::<Act>(&written).unwrap(), act);
    }

    #[test]
    fn what_is_long_is_cut() {
        let rooms = serde_json::to_string(&vec!["x".repeat(300); 1000]).unwrap();
        let act = asked(&format!(r#"{{"roomIds":{rooms},"before":{{"a":1}}}}"#));
        let rooms = act.asked["roomIds"].as_array().unwrap();
        assert_eq!((rooms.len(), rooms.last().unwrap()), (FEW + 1, &Value::from("and 980 more")));
        assert_eq!(rooms[0].as_str().unwrap().chars().count(), SHORT + 1);
        assert_eq!(act.asked["before"], Value::Null);
        assert!(serde_json::to_string(&act).unwrap().len() < 8192);
    }

    #[tokio::test]
    async fn the_oldest_go_where_there_are_too_many() {
        let records = InMemory::default();
        for at in 0..2500 {
            let body = serde_json::to_vec(&Act { at, ..Act::default() }).unwrap();
            records.put(&AUDIT, &id(at, at, "x"), body.into(), Expect::New, None).await.unwrap();
        }
        for _ in 0..2 {
            trim(&records, 1200).await.unwrap();
            assert_eq!(records.count(&AUDIT), 1200);
        }
        let newest = page(&records, None, 2).await.unwrap();
        assert_eq!(newest.acts.iter().map(|act| act.at).collect::<Vec<_>>(), [2499, 2498]);
        let rest = page(&records, newest.next.as_deref(), 1).await.unwrap();
        assert_eq!(rest.acts[0].at, 2497);
        let rest = page(&records, Some(&id(1301, 1301, "x")), 2).await.unwrap();
        assert_eq!(rest.acts.iter().map(|act| act.at).collect::<Vec<_>>(), [1300]);
    }

    #[test]
    fn the_newest_is_the_first() {
        let ids =
            [id(2000, 8, "b"), id(2000, 7, "z"), id(1999, 9, "a"), id(0, 1, "a"), id(0, 0, "a")];
        assert!(ids.is_sorted(), "{ids:?}");
    }
}
