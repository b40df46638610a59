//! Records of the protocol, read and changed.
//!
//! A change is a decision over what was read, and a write that counts only if that is still so;
//! else it is decided again. Two records that belong together are written in an order in which what
//! is between the two is mended by whoever comes next.
use std::{collections::HashMap, fmt::Display, sync::Arc};

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;

use super::{
    ids::{Key, UserId},
    message::Code,
    record::{
        Body, DELS, Dels, LOGINS, LoginRecord, SEEN, SUBS, SeenRecord, SubRecord, TOPICS,
        TopicRecord, USERS, User,
    },
    refusal::{Done, Refusal},
};
use crate::{
    domain::records::{BadRecord, Collection, Expect, MAX_PAGE, Put, Records},
    throttle::throttled,
};

#[cfg(test)]
pub(super) mod tests;

/// How often a change is decided anew while others come in between. Of so many who change the same
/// at the same time one is done each time, so that nobody should need nearly as many.
pub(super) const TRIES: usize = 100;
/// Records that are read at once.
const AT_ONCE: usize = 32;

/// Records of this protocol.
pub(super) struct Cabinet {
    pub records: Arc<dyn Records>,
}

/// What was read, with the version that it has.
#[derive(Debug, Clone)]
pub(super) struct Read<T> {
    pub record: T,
    pub version: u64,
}

/// What is decided of a record that may have been changed.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// Nothing is written.
    Keep(T),
    /// It is written.
    Write(T),
}

/// Some of the records that are found by an index, with their ids.
pub(super) struct Found<T> {
    pub records: Vec<(String, Read<T>)>,
    /// The id behind which the next ones are; none: these are the last.
    pub next: Option<String>,
}

/// A record is not as we write them. The error itself might quote it.
fn unreadable(of: &Collection, id: &str, error: &serde_json::Error) -> Refusal {
    let (why, column) = (error.classify(), error.column());
    throttled!(error, collection = of.name(), id, ?why, column, "a record can't be read");
    Code::Internal.into()
}

/// So many change a record that one of them has to give up.
pub(super) fn crowded() -> Refusal {
    throttled!(warn, "a record is changed by so many that a change was given up");
    Code::Unavailable.into()
}

/// The id of what was deleted of a life.
fn dels_id(life: &str, scope: Option<UserId>) -> String {
    match scope {
        Some(user) => within(life, user),
        None => within(life, "-"),
    }
}

fn within(life: &str, name: impl Display) -> String {
    format!("{life}/{name}")
}

/// Any records.
impl Cabinet {
    /// Among these records.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Cabinet { records }
    }

    /// A record.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn get<T: DeserializeOwned>(
        &self,
        of: &Collection,
        id: &str,
    ) -> Done<Option<Read<T>>> {
        let Some(found) = self.records.get(of, id).await? else { return Ok(None) };
        match serde_json::from_slice(&found.body) {
            Ok(record) => Ok(Some(Read { record, version: found.version })),
            Err(error) => Err(unreadable(of, id, &error)),
        }
    }

    /// Writes a record, and returns its version; none: something else is there than was expected.
    /// It ends at `expires_at`, seconds since 1970.
    ///
    /// # Errors
    /// The store does not answer, or the record is too large.
    pub async fn put(
        &self,
        of: &Collection,
        id: &str,
        body: Bytes,
        expect: Expect,
        expires_at: Option<u64>,
    ) -> Done<Option<u64>> {
        match self.records.put(of, id, body, expect, expires_at).await? {
            Put::Done { version } => Ok(Some(version)),
            Put::Conflict { .. } => Ok(None),
            Put::Invalid(BadRecord::Size) => Err(Code::TooLarge.into()),
            Put::Invalid(why @ (BadRecord::Id | BadRecord::Form | BadRecord::Keys)) => {
                throttled!(error, collection = of.name(), %why, "a record can't be kept");
                Err(Code::Internal.into())
            }
        }
    }

    /// A page of the records that have this value in an index, behind the id `after`; `limit` at
    /// most.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn find<T: DeserializeOwned>(
        &self,
        of: &Collection,
        index: &str,
        value: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Done<Found<T>> {
        let page = self.records.find(of, index, value, after, limit).await?;
        let mut records = Vec::with_capacity(page.records.len());
        for found in page.records {
            match serde_json::from_slice(&found.body) {
                Ok(record) => {
                    records.push((found.id, Read { record, version: found.version }));
                }
                Err(error) => return Err(unreadable(of, &found.id, &error)),
            }
        }
        Ok(Found { records, next: page.next })
    }

    /// Changes a record that has to be there.
    async fn change<R: DeserializeOwned + Body, T>(
        &self,
        of: &Collection,
        id: &str,
        missing: Code,
        mut decide: impl FnMut(&mut R) -> Done<Step<T>> + Send,
    ) -> Done<T> {
        for _ in 0..TRIES {
            let Some(Read { mut record, version }) = self.get::<R>(of, id).await? else {
                return Err(missing.into());
            };
            let done = match decide(&mut record)? {
                Step::Keep(done) => return Ok(done),
                Step::Write(done) => done,
            };
            let expect = Expect::Version(version);
            if self.put(of, id, record.body(), expect, None).await?.is_some() {
                return Ok(done);
            }
        }
        Err(crowded())
    }
}

/// Users.
impl Cabinet {
    /// A user, also one who is suspended or being deleted.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn user(&self, id: UserId) -> Done<Option<Read<User>>> {
        self.get(&USERS, &id.to_string()).await
    }

    /// Those of these users who are there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn users(&self, ids: &[UserId]) -> Done<HashMap<UserId, User>> {
        let mut users = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            let reading: Vec<_> = ids.iter().map(|id| self.user(*id)).collect();
            let found = try_join_all(reading).await?;
            users.extend(found.into_iter().flatten().map(|read| (read.record.id, read.record)));
        }
        Ok(users)
    }

    /// Adds a user; false: there is one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn add_user(&self, user: &User) -> Done<bool> {
        let put = self.put(&USERS, &user.id.to_string(), user.body(), Expect::New, None).await?;
        Ok(put.is_some())
    }

    /// Changes a user as `decide` says, which may be asked several times.
    ///
    /// # Errors
    /// What `decide` says; there is no such user, or the store does not answer.
    pub async fn change_user<T>(
        &self,
        id: UserId,
        decide: impl FnMut(&mut User) -> Done<Step<T>> + Send,
    ) -> Done<T> {
        self.change(&USERS, &id.to_string(), Code::UserNotFound, decide).await
    }

    /// When a user was there at last.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn seen(&self, id: UserId) -> Done<Option<SeenRecord>> {
        let read = self.get(&SEEN, &id.to_string()).await?;
        Ok(read.map(|read| read.record))
    }

    /// A user was there. Where that can't be noted an older time stands there.
    pub async fn note_seen(&self, id: UserId, seen: &SeenRecord) {
        let put = self.records.put(&SEEN, &id.to_string(), seen.body(), Expect::Any, None).await;
        if let Err(error) = put {
            throttled!(warn, %error, "it could not be noted when a user was there");
        }
    }
}

/// By what users sign in.
impl Cabinet {
    /// Whose login that is.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn login(&self, id: &str) -> Done<Option<Read<LoginRecord>>> {
        self.get(&LOGINS, id).await
    }

    /// Adds a login; false: somebody has it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn add_login(&self, id: &str, login: &LoginRecord) -> Done<bool> {
        Ok(self.put(&LOGINS, id, login.body(), Expect::New, None).await?.is_some())
    }

    /// Replaces a login of this version; false: it was changed meanwhile.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn replace_login(&self, id: &str, login: &LoginRecord, version: u64) -> Done<bool> {
        let expect = Expect::Version(version);
        Ok(self.put(&LOGINS, id, login.body(), expect, None).await?.is_some())
    }

    /// Frees a login.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delete_login(&self, id: &str) -> Done<()> {
        self.records.delete(&LOGINS, id, None).await?;
        Ok(())
    }
}

/// Topics.
impl Cabinet {
    /// A topic; none while it is being deleted.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn topic(&self, key: &Key) -> Done<Option<Read<TopicRecord>>> {
        let read: Option<Read<TopicRecord>> = self.get(&TOPICS, &key.id()).await?;
        Ok(read.filter(|read| !read.record.ending))
    }

    /// Those of these topics that are there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn topics(&self, keys: &[Key]) -> Done<HashMap<Key, TopicRecord>> {
        let mut topics = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            let reading: Vec<_> = keys.iter().map(|key| self.topic(key)).collect();
            let found = try_join_all(reading).await?;
            topics.extend(found.into_iter().flatten().map(|read| (read.record.key, read.record)));
        }
        Ok(topics)
    }

    /// Adds a topic; false: there is one of this key, which may be being deleted.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn add_topic(&self, topic: &TopicRecord) -> Done<bool> {
        let put = self.put(&TOPICS, &topic.key.id(), topic.body(), Expect::New, None).await?;
        Ok(put.is_some())
    }

    /// Changes a topic as `decide` says, which may be asked several times.
    ///
    /// # Errors
    /// What `decide` says; there is no such topic, or the store does not answer.
    pub async fn change_topic<T>(
        &self,
        key: &Key,
        mut decide: impl FnMut(&mut TopicRecord) -> Done<Step<T>> + Send,
    ) -> Done<T> {
        let decide = |topic: &mut TopicRecord| -> Done<Step<T>> {
            if topic.ending { Err(Code::TopicNotFound.into()) } else { decide(topic) }
        };
        self.change(&TOPICS, &key.id(), Code::TopicNotFound, decide).await
    }

    /// What was deleted of a life, for all or for one user.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn dels(&self, life: &str, scope: Option<UserId>) -> Done<Option<Dels>> {
        let read = self.get(&DELS, &dels_id(life, scope)).await?;
        Ok(read.map(|read| read.record))
    }

    /// Changes what was deleted of a life; `decide` may be asked several times.
    ///
    /// # Errors
    /// The store does not answer, or it is too much.
    pub async fn change_dels<T>(
        &self,
        life: &str,
        scope: Option<UserId>,
        mut decide: impl FnMut(&mut Dels) -> T + Send,
    ) -> Done<T> {
        let id = dels_id(life, scope);
        for _ in 0..TRIES {
            let read = self.get::<Dels>(&DELS, &id).await?;
            let expect = read.as_ref().map_or(Expect::New, |read| Expect::Version(read.version));
            let new = || Dels { of: life.to_owned(), ..Dels::default() };
            let mut dels = read.map_or_else(new, |read| read.record);
            let done = decide(&mut dels);
            if self.put(&DELS, &id, dels.body(), expect, None).await?.is_some() {
                return Ok(done);
            }
        }
        Err(crowded())
    }
}

/// Subscriptions.
impl Cabinet {
    /// What a user is in a topic, or was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sub(&self, key: &Key, user: UserId) -> Done<Option<Read<SubRecord>>> {
        self.get(&SUBS, &key.sub_id(user)).await
    }

    /// All that a user is in topics, or was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn subs_of(&self, user: UserId) -> Done<Vec<Read<SubRecord>>> {
        self.all_subs("user", &user.to_string(), usize::MAX).await
    }

    /// The members of a topic, `most` at most; readers of a channel are none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn members(&self, key: &Key, most: usize) -> Done<Vec<Read<SubRecord>>> {
        self.all_subs("live", &key.id(), most).await
    }

    async fn all_subs(&self, index: &str, value: &str, most: usize) -> Done<Vec<Read<SubRecord>>> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        while all.len() < most {
            let limit = MAX_PAGE.min(most - all.len());
            let page = self.find(&SUBS, index, value, after.as_deref(), limit).await?;
            all.extend(page.records.into_iter().map(|(_, read)| read));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Changes what a user is in a topic: `decide` is given what is there, and says what is
    /// written, if anything is. It may be asked several times. Returns the version that is there
    /// then, 0 where nothing is.
    ///
    /// # Errors
    /// What `decide` says, or the store does not answer.
    pub async fn change_sub<T>(
        &self,
        key: &Key,
        user: UserId,
        mut decide: impl FnMut(Option<SubRecord>) -> Done<(Option<SubRecord>, T)> + Send,
    ) -> Done<(T, u64)> {
        let id = key.sub_id(user);
        for _ in 0..TRIES {
            let read = self.get::<SubRecord>(&SUBS, &id).await?;
            let version = read.as_ref().map(|read| read.version);
            let (row, done) = decide(read.map(|read| read.record))?;
            let Some(row) = row else { return Ok((done, version.unwrap_or_default())) };
            let expect = version.map_or(Expect::New, Expect::Version);
            if let Some(version) = self.put(&SUBS, &id, row.body(), expect, None).await? {
                return Ok((done, version));
            }
        }
        Err(crowded())
    }
}
