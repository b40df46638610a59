//! Records of rooms and users, read and changed.
//!
//! A change is a decision over what was read, and a write that counts only if that is still so;
//! else it is decided again. Parts of long lists (`list`) are written before the head that names
//! them and deleted behind it. Who reads a part that is gone has read a head that is old, and
//! begins again.
use std::{fmt::Display, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    direct::UserList,
    error::Error,
    list::{List, Names, Parts, Tags, Writes},
    record::{PARTS, Part, RoomRecord, SEEN, Seen, USERS, UserRecord, within},
};
use crate::{
    domain::{
        clock::{NoRandomness, Rng, alphanumeric},
        error::StoreError,
        records::{Collection, Expect, Put, Records},
    },
    throttle::throttled,
};

mod rooms;

/// How often a change is decided anew while others come in between. Of so many who change the same
/// at the same time one is done each time, so that nobody should need nearly as many.
pub(super) const TRIES: usize = 100;
/// Characters of a life.
const LIFE: usize = 10;
/// Parts of a list that are read at once.
const AT_ONCE: usize = 16;

/// Records of this protocol.
pub(super) struct Cabinet {
    pub records: Arc<dyn Records>,
    pub rng: Arc<dyn Rng>,
}

/// What was read, with the version that it has.
#[derive(Debug, Clone)]
pub(super) struct Read<T> {
    pub record: T,
    version: u64,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        throttled!(warn, %error, "a command of chat-service failed");
        Error::Timeout
    }
}

impl From<NoRandomness> for Error {
    fn from(error: NoRandomness) -> Self {
        throttled!(error, %error, "a command of chat-service failed");
        Error::Internal("no randomness".to_owned())
    }
}

/// A record is not as we write them: something else has written it.
fn unreadable(collection: &Collection, id: &str, error: &impl Display) -> Error {
    throttled!(error, collection = collection.name(), id, %error, "a record can't be read");
    Error::Internal("a record can't be read".to_owned())
}

/// So many change a record that one of them has to give up.
pub(super) fn crowded() -> Error {
    throttled!(warn, "a record is changed by so many that a change was given up");
    Error::Timeout
}

/// The record of a room or user, in which lists are.
trait Head: serde::de::DeserializeOwned + Send + Sync {
    fn life(&self) -> &str;
    fn body(&self) -> Bytes;
}

impl Head for RoomRecord {
    fn life(&self) -> &str {
        &self.life
    }
    fn body(&self) -> Bytes {
        self.body()
    }
}

impl Head for UserRecord {
    fn life(&self) -> &str {
        &self.life
    }
    fn body(&self) -> Bytes {
        self.body()
    }
}

/// A head's lists have changed while they were read.
struct Moved;

/// The version of a head of which a part was not there. It was written after the part, which is
/// deleted only when there is another head.
#[derive(Default)]
struct Gaps(Option<u64>);

impl Gaps {
    /// A part was not there that this version of a head names.
    ///
    /// # Errors
    /// The same was met before: the part is lost.
    fn met(&mut self, name: &str, version: u64) -> Result<(), Error> {
        if self.0.replace(version) == Some(version) {
            throttled!(error, name, "a part of a list is lost");
            return Err(Error::Internal("a part of a list is lost".to_owned()));
        }
        Ok(())
    }
}

impl Cabinet {
    /// A name for something that is new, never the same for two.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn life(&self) -> Result<String, Error> {
        Ok(alphanumeric(&*self.rng, LIFE)?)
    }

    /// Tags for a change.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn tags(&self) -> Result<Tags, Error> {
        let mut bytes = [0; 8];
        self.rng.fill(&mut bytes)?;
        Ok(Tags::new(u64::from_le_bytes(bytes)))
    }

    async fn read<T: Head>(
        &self,
        collection: &Collection,
        id: &str,
    ) -> Result<Option<Read<T>>, Error> {
        let Some(found) = self.records.get(collection, id).await? else { return Ok(None) };
        match serde_json::from_slice(&found.body) {
            Ok(record) => Ok(Some(Read { record, version: found.version })),
            Err(error) => Err(unreadable(collection, id, &error)),
        }
    }

    /// The parts of a list in which these names would be; `None`: all parts.
    async fn parts(
        &self,
        life: &str,
        list: &List,
        names: Option<&[String]>,
    ) -> Result<Result<Parts, Moved>, Error> {
        let wanted = match names {
            Some(names) => list.parts_of(names.iter().map(String::as_str)),
            None => list.all_parts(),
        };
        let mut reading = Vec::with_capacity(wanted.len());
        for (number, tag) in wanted {
            reading.push(self.part(number, within(life, tag)));
        }
        let parts: Vec<_> = stream::iter(reading).buffered(AT_ONCE).try_collect().await?;
        Ok(parts.into_iter().collect::<Option<Parts>>().ok_or(Moved))
    }

    /// The part of this number, which is kept by this id. `None`: it is gone.
    async fn part(&self, number: usize, id: String) -> Result<Option<(usize, Names)>, Error> {
        let Some(found) = self.records.get(&PARTS, &id).await? else { return Ok(None) };
        let part: Part =
            serde_json::from_slice(&found.body).map_err(|error| unreadable(&PARTS, &id, &error))?;
        Ok(Some((number, part.names)))
    }

    /// Writes parts of lists, all or none. A tag is random: nobody else writes the same.
    async fn write(&self, life: &str, writes: &Writes) -> Result<(), Error> {
        for (done, (tag, names)) in writes.put.iter().enumerate() {
            let part = Part { of: life.to_owned(), names: names.clone() };
            let id = within(life, tag);
            let why = match self.records.put(&PARTS, &id, part.body(), Expect::New, None).await {
                Ok(Put::Done { .. }) => continue,
                Ok(Put::Conflict { .. }) => Error::Timeout,
                Ok(Put::Invalid(bad)) => Error::Internal(bad.to_string()),
                Err(error) => error.into(),
            };
            self.discard(life, writes.tags()[..done].to_vec()).await;
            return Err(why);
        }
        Ok(())
    }

    /// Deletes parts that nobody names any more. What remains where that fails is read by nobody.
    async fn discard(&self, life: &str, tags: Vec<u64>) {
        for tag in tags {
            if let Err(error) = self.records.delete(&PARTS, &within(life, tag), None).await {
                throttled!(warn, %error, "a part of a list could not be deleted");
            }
        }
    }

    /// Writes a head, with parts of its lists; false: somebody else was first.
    async fn replace<T: Head>(
        &self,
        collection: &Collection,
        id: &str,
        head: &T,
        version: u64,
        writes: Writes,
    ) -> Result<bool, Error> {
        self.write(head.life(), &writes).await?;
        let expect = Expect::Version(version);
        let put = self.records.put(collection, id, head.body(), expect, None).await?;
        match put {
            Put::Done { .. } => {
                self.discard(head.life(), writes.delete).await;
                Ok(true)
            }
            Put::Conflict { .. } => {
                self.discard(head.life(), writes.tags()).await;
                Ok(false)
            }
            Put::Invalid(bad) => {
                self.discard(head.life(), writes.tags()).await;
                Err(Error::Internal(bad.to_string()))
            }
        }
    }
}

/// Users.
impl Cabinet {
    /// A user, with the parts of both lists in which `of` would be: whitelist, then blacklist.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub async fn user(
        &self,
        name: &str,
        of: &[String],
    ) -> Result<(Read<UserRecord>, Parts, Parts), Error> {
        let mut gaps = Gaps::default();
        for _ in 0..TRIES {
            let read = self.head_of_user(name).await?;
            let life = &read.record.life;
            let white = self.parts(life, &read.record.whitelist, Some(of)).await?;
            let black = self.parts(life, &read.record.blacklist, Some(of)).await?;
            match (white, black) {
                (Ok(white), Ok(black)) => return Ok((read, white, black)),
                (Err(Moved), _) | (_, Err(Moved)) => gaps.met(name, read.version)?,
            }
        }
        Err(crowded())
    }

    /// The names on a list of a user.
    ///
    /// # Errors
    /// There is no such user, or the store does not answer.
    pub async fn user_list(&self, name: &str, list: UserList) -> Result<Vec<String>, Error> {
        let mut gaps = Gaps::default();
        for _ in 0..TRIES {
            let read = self.head_of_user(name).await?;
            let list = read.record.list(list);
            match self.parts(&read.record.life, list, None).await? {
                Ok(parts) => return Ok(list.names(&parts).into_iter().collect()),
                Err(Moved) => gaps.met(name, read.version)?,
            }
        }
        Err(crowded())
    }

    async fn head_of_user(&self, name: &str) -> Result<Read<UserRecord>, Error> {
        self.read(&USERS, name).await?.ok_or_else(|| Error::NoUser(name.to_owned()))
    }

    /// Makes a user; false: there is one of this name, as most who sign in are.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn add_user(
        &self,
        name: &str,
        user: &UserRecord,
        writes: &Writes,
    ) -> Result<bool, Error> {
        if self.records.get(&USERS, name).await?.is_some() {
            return Ok(false);
        }
        self.write(&user.life, writes).await?;
        match self.records.put(&USERS, name, user.body(), Expect::New, None).await? {
            Put::Done { .. } => Ok(true),
            Put::Conflict { .. } => {
                self.discard(&user.life, writes.tags()).await;
                Ok(false)
            }
            Put::Invalid(bad) => Err(Error::Internal(bad.to_string())),
        }
    }

    /// Takes a user away that was read, if it is still that. Parts of its lists are left to
    /// [`Cabinet::sweep`].
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delete_user(&self, name: &str, user: &Read<UserRecord>) -> Result<bool, Error> {
        Ok(self.records.delete(&USERS, name, Some(user.version)).await?)
    }

    /// Changes a user as `decide` says, which may be asked several times. Nothing is written where
    /// nothing is changed.
    ///
    /// # Errors
    /// What `decide` says; there is no such user, or the store does not answer.
    pub async fn change_user(
        &self,
        name: &str,
        of: &[String],
        decide: impl Fn(&mut UserRecord, [&Parts; 2], &mut Tags) -> Result<Writes, Error>,
    ) -> Result<(), Error> {
        for _ in 0..TRIES {
            let (read, white, black) = self.user(name, of).await?;
            let (mut user, version) = (read.record, read.version);
            let writes = decide(&mut user, [&white, &black], &mut self.tags()?)?;
            if !writes.changed {
                return Ok(());
            }
            if self.replace(&USERS, name, &user, version, writes).await? {
                return Ok(());
            }
        }
        Err(crowded())
    }
}

/// When somebody came or went.
impl Cabinet {
    /// When that was at last, in milliseconds since 1970.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn seen(&self, life: &str, user: &str) -> Result<Option<u64>, Error> {
        let found = self.records.get(&SEEN, &within(life, user)).await?;
        let seen = found.and_then(|found| serde_json::from_slice::<Seen>(&found.body).ok());
        Ok(seen.map(|seen| seen.at))
    }

    /// The user has come, or gone, now. Where that can't be noted an older time stands there.
    pub async fn note(&self, life: &str, user: &str, at: u64) {
        let seen = Seen { of: life.to_owned(), at };
        let id = within(life, user);
        if let Err(error) = self.records.put(&SEEN, &id, seen.body(), Expect::Any, None).await {
            throttled!(warn, %error, "it could not be noted when somebody was seen in a room");
        }
    }
}

#[cfg(test)]
mod tests;
