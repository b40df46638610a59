//! What there is to see: users, whether they are there, topics and their members. What users and
//! topics show of themselves is told by its name alone: the rest is large, and nobody decides by it.
use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use super::{
    super::{
        Tinode, access,
        cabinet::Read,
        ids::{Key, UserId},
        message::Raw,
        record::{
            CredRecord, SUBS, SeenRecord, SubRecord, TOPICS, TopicRecord, USAGE, USERS, Usage, User,
        },
        refusal::{Done, Refusal},
        stored::Mark,
        topic::{self, TopicStanding},
    },
    Error, Stretch,
};
use crate::{
    domain::{
        directory::Whereabouts,
        records::{Collection, Record, RecordPage},
    },
    throttle::throttled,
};

/// Users and topics that are looked at at the same time.
const TOGETHER: usize = 16;

/// Where a user is.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub sessions: usize,
    pub nodes: BTreeSet<String>,
}

impl Place {
    /// A session has a name of its own in its user's inbox: it counts once.
    pub async fn of(node: &Tinode, user: UserId) -> Done<Self> {
        let found = node.hub.whereabouts(&user.uid()?).await?;
        let name = |place: &Whereabouts| match &place.socket {
            Some(socket) => socket.0.to_string(),
            None => place.connection.0.to_string(),
        };
        let sessions: BTreeSet<(&str, String)> =
            found.iter().map(|place| (&*place.node, name(place))).collect();
        let nodes = found.iter().map(|place| place.node.clone()).collect();
        Ok(Place { sessions: sessions.len(), nodes })
    }
}

#[derive(Deserialize)]
struct Public {
    #[serde(rename = "fn")]
    name: String,
}

/// What a user or topic calls itself.
fn name_in(public: Option<&Raw>) -> Option<String> {
    let public: Public = serde_json::from_str(public?.get()).ok()?;
    Some(public.name)
}

/// Of a page of records those that can be read: one that can't hides no others.
pub(super) fn readable<T: DeserializeOwned>(of: &Collection, records: &[Record]) -> Vec<T> {
    let read = |record: &Record| match serde_json::from_slice(&record.body) {
        Ok(read) => Some(read),
        Err(error) => {
            let (id, why) = (&record.id, error.classify());
            throttled!(error, collection = of.name(), id, ?why, "a record can't be read");
            None
        }
    };
    records.iter().filter_map(read).collect()
}

/// A page of these records.
async fn page(
    node: &Tinode,
    of: &Collection,
    tag: Option<&str>,
    Stretch { after, limit }: &Stretch,
) -> Done<RecordPage> {
    let (records, after) = (&node.cabinet.records, after.as_deref());
    Ok(match tag {
        None => records.list(of, after, *limit).await?,
        Some(tag) => records.find(of, "tags", tag, after, *limit).await?,
    })
}

pub(super) async fn users(
    node: &Tinode,
    text: Option<String>,
    stretch: Stretch,
) -> Result<Json, Error> {
    if let Some(id) = text.as_deref().and_then(UserId::parse) {
        let found = node.cabinet.user(id).await?.map(|read| read.record);
        return in_short(node, found.into_iter().collect(), None).await;
    }
    let tag = text.map(|text| text.to_lowercase());
    let page = page(node, &USERS, tag.as_deref(), &stretch).await?;
    let mut users: Vec<User> = readable(&USERS, &page.records);
    // Who has signed in by this is the first that is told.
    if let (Some(login), None) = (&tag, &stretch.after)
        && let Some(user) = with_login(node, login).await?
        && users.iter().all(|other| other.id != user.id)
    {
        users.insert(0, user);
    }
    in_short(node, users, page.next).await
}

async fn with_login(node: &Tinode, login: &str) -> Done<Option<User>> {
    let Some(read) = node.cabinet.login(&format!("basic:{login}")).await? else {
        return Ok(None);
    };
    let user = node.cabinet.user(read.record.user).await?.map(|read| read.record);
    Ok(user.filter(|user| user.login.as_deref() == Some(login)))
}

async fn in_short(node: &Tinode, users: Vec<User>, next: Option<String>) -> Result<Json, Error> {
    let told = users.into_iter().map(|user| async move {
        let Place { nodes, .. } = Place::of(node, user.id).await?;
        Ok::<_, Refusal>(json!({
            "user": user.id,
            "login": user.login,
            "name": name_in(user.public.as_ref()),
            "state": user.state,
            "nodes": nodes,
        }))
    });
    let told: Vec<_> = told.collect();
    let users: Vec<Json> = stream::iter(told).buffered(TOGETHER).try_collect().await?;
    Ok(json!({ "users": users, "next": next }))
}

fn credential(CredRecord { meth, val, done }: &CredRecord) -> Json {
    json!({ "method": meth, "value": val, "confirmed": done })
}

pub(super) async fn user(node: &Tinode, id: UserId) -> Result<Json, Error> {
    let read = node.cabinet.user(id).await?;
    let Some(Read { record: user, .. }) = read else { return Err(Error::NoUser(id)) };
    let Place { sessions, nodes } = Place::of(node, id).await?;
    let usage: Option<Read<Usage>> = node.cabinet.get(&USAGE, &id.to_string()).await?;
    let usage = usage.map(|read| read.record);
    let seen = node.cabinet.seen(id).await?;
    Ok(json!({
        "user": user.id,
        "login": user.login,
        "name": name_in(user.public.as_ref()),
        "state": user.state,
        "level": user.level.word(),
        "tags": user.tags,
        "credentials": user.creds.iter().map(credential).collect::<Vec<_>>(),
        "created": user.created,
        "lastSeen": seen.as_ref().map(|seen| seen.when),
        "userAgent": seen.map(|SeenRecord { ua, .. }| ua).filter(|ua| !ua.is_empty()),
        "devices": user.devices.len(),
        "files": usage.as_ref().map_or(0, |usage| usage.files),
        "bytes": usage.as_ref().map_or(0, |usage| usage.bytes),
        "sessions": sessions,
        "nodes": nodes,
    }))
}

pub(super) async fn topics_of(
    node: &Tinode,
    user: UserId,
    Stretch { after, limit }: Stretch,
) -> Result<Json, Error> {
    if node.cabinet.user(user).await?.is_none() {
        return Err(Error::NoUser(user));
    }
    let (name, after) = (user.to_string(), after.map(|topic| format!("{topic}/{user}")));
    let found =
        node.cabinet.find::<SubRecord>(&SUBS, "user", &name, after.as_deref(), limit).await?;
    let rows = found.records.into_iter().map(|(_, Read { record, .. })| record);
    let rows: Vec<SubRecord> = rows.filter(access::is_live).collect();
    let keys: Vec<Key> = rows.iter().map(|row| row.topic).collect();
    let peers: Vec<UserId> = keys.iter().filter_map(|key| key.peer(user)).collect();
    let (topics, peers) = (node.cabinet.topics(&keys).await?, node.cabinet.users(&peers).await?);
    let told = rows.iter().map(|row| {
        let topic = topics.get(&row.topic);
        let name = match row.topic.peer(user).map(|peer| peers.get(&peer)) {
            Some(peer) => name_in(peer.and_then(|peer| peer.public.as_ref())),
            None => name_in(topic.and_then(|topic| topic.public.as_ref())),
        };
        json!({
            "topic": row.topic,
            "kind": kind(&row.topic, topic.is_some_and(|topic| topic.channel)),
            "name": name,
            "want": row.want,
            "given": row.given,
            "reader": row.reader,
            "since": row.created,
        })
    });
    let next = found.next.map(|id| before_user(&id).to_owned());
    Ok(json!({ "topics": told.collect::<Vec<_>>(), "next": next }))
}

/// Of a subscription's id the topic,
fn before_user(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(topic, _)| topic)
}

/// and the user.
fn behind_topic(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, user)| user)
}

fn kind(key: &Key, is_channel: bool) -> &'static str {
    match key {
        Key::Group(_) if is_channel => "channel",
        Key::Group(_) => "group",
        Key::Pair(..) => "pair",
        Key::Own(_) => "notes",
    }
}

/// How many users are attached to a topic, on all nodes.
async fn here(node: &Tinode, t: &TopicRecord) -> Done<u64> {
    Ok(node.hub.members_page(&t.room()?, None, 1).await?.total)
}

pub(super) async fn topics(
    node: &Tinode,
    text: Option<String>,
    stretch: Stretch,
) -> Result<Json, Error> {
    let named = text.as_deref().and_then(super::named);
    let (topics, next) = match named {
        Some(key) => {
            let found = node.cabinet.topic(&key).await?.map(|read| read.record);
            (found.into_iter().collect(), None)
        }
        None => {
            let tag = text.map(|text| text.to_lowercase());
            let page = page(node, &TOPICS, tag.as_deref(), &stretch).await?;
            let mut topics: Vec<TopicRecord> = readable(&TOPICS, &page.records);
            topics.retain(|t| !t.ending);
            (topics, page.next)
        }
    };
    let told: Vec<_> = topics
        .into_iter()
        .map(|t| async move {
            let here = here(node, &t).await?;
            Ok::<_, Refusal>(json!({
                "topic": t.key,
                "kind": kind(&t.key, t.channel),
                "name": name_in(t.public.as_ref()),
                "owner": t.owner,
                "here": here,
            }))
        })
        .collect();
    let topics: Vec<Json> = stream::iter(told).buffered(TOGETHER).try_collect().await?;
    Ok(json!({ "topics": topics, "next": next }))
}

async fn somewhere(node: &Tinode, key: Key) -> Result<TopicRecord, Error> {
    let read = node.cabinet.topic(&key).await?;
    read.map(|read| read.record).ok_or(Error::NoTopic(key))
}

pub(super) async fn topic(node: &Tinode, key: Key) -> Result<Json, Error> {
    let t = somewhere(node, key).await?;
    let TopicStanding { last, touched, .. } = topic::standing(node, &t).await?;
    let members = node.cabinet.members(&key, usize::MAX).await?.len();
    let here = here(node, &t).await?;
    Ok(json!({
        "topic": t.key,
        "kind": kind(&t.key, t.channel),
        "name": name_in(t.public.as_ref()),
        "owner": t.owner,
        "auth": t.defacs.auth,
        "anon": t.defacs.anon,
        "tags": t.tags,
        "created": t.created,
        "lastMessage": touched,
        "seq": last,
        "deletions": t.del,
        "members": members,
        "readers": t.readers,
        "here": here,
    }))
}

pub(super) async fn members(
    node: &Tinode,
    key: Key,
    readers: bool,
    Stretch { after, limit }: Stretch,
) -> Result<Json, Error> {
    let t = somewhere(node, key).await?;
    let id = key.id();
    let after = after.map(|user| format!("{id}/{user}"));
    let index = if readers { "reads" } else { "live" };
    let found = node.cabinet.find::<SubRecord>(&SUBS, index, &id, after.as_deref(), limit).await?;
    let rows = found.records.into_iter().map(|(_, Read { record, .. })| record);
    let rows: Vec<SubRecord> = rows.collect();
    let ids: Vec<UserId> = rows.iter().map(|row| row.user).collect();
    let users = node.cabinet.users(&ids).await?;
    let marks: HashMap<UserId, Mark> = match readers {
        true => rows.iter().map(|row| (row.user, Mark::of(row.read, row.recv))).collect(),
        false => topic::standing(node, &t).await?.marks,
    };
    let told = rows.iter().map(|row| {
        let Mark { read, recv, .. } = marks.get(&row.user).copied().unwrap_or_default();
        json!({
            "user": row.user,
            "name": name_in(users.get(&row.user).and_then(|user| user.public.as_ref())),
            "want": row.want,
            "given": row.given,
            "since": row.created,
            "read": read,
            "recv": recv,
        })
    });
    let next = found.next.map(|id| behind_topic(&id).to_owned());
    Ok(json!({ "members": told.collect::<Vec<_>>(), "next": next }))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::dialect::tinode::record::KEYS;

    #[test]
    fn a_name_is_what_public_says_it_is() {
        for (public, expected) in [
            (r#"{"fn":"Ann","photo":{}}"#, Some("Ann")),
            (r#"{"fn":7}"#, None),
            (r#"{"name":"Ann"}"#, None),
            (r#""Ann""#, None),
            ("null", None),
        ] {
            let public = RawValue::from_string(public.to_owned()).unwrap();
            assert_eq!(name_in(Some(&public)).as_deref(), expected, "{public}");
        }
        assert_eq!(name_in(None), None);
    }

    #[test]
    fn a_record_that_is_none_hides_no_others() {
        let record = |body: &'static str| Record {
            id: "x".to_owned(),
            version: 1,
            body: body.into(),
            expires_at: None,
        };
        let records = [record("{}"), record(r#"{"a":1}"#), record("7")];
        let read: Vec<HashMap<String, u64>> = readable(&KEYS, &records);
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn pages_of_subscriptions_go_on_by_the_other_half_of_their_ids() {
        let (a, b) = (UserId::of_number(1).unwrap(), UserId::of_number(2).unwrap());
        for key in [Key::pair(a, b), Key::Own(a)] {
            let id = key.sub_id(a);
            assert_eq!(before_user(&id), key.id());
            assert_eq!(behind_topic(&id), a.to_string());
        }
    }

    #[test]
    fn each_topic_is_of_a_kind() {
        let (a, b) = (UserId::of_number(1).unwrap(), UserId::of_number(2).unwrap());
        let group = Key::parse("grpAAAAAAAAAAA").unwrap();
        for (key, is_channel, expected) in [
            (group, false, "group"),
            (group, true, "channel"),
            (Key::pair(a, b), false, "pair"),
            (Key::Own(a), false, "notes"),
        ] {
            assert_eq!(kind(&key, is_channel), expected);
        }
    }
}
