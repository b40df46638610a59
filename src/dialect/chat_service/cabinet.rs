//! Records of rooms and users, read and changed.
//!
//! A change is a decision over what was read, and a write that counts only if that is still so;
//! else it is decided again. Parts of long lists (`list`) are written before the head that names
//! them and deleted behind it. Who reads a part that is gone has read a head that is old, and
//! begins again.
use std::{fmt::Display, sync::Arc};

use bytes::Bytes;

use super::{
    direct::UserList,
    error::Error,
    list::{List, Parts, Writes},
    record::{PARTS, Part, ROOMS, RoomParts, RoomRecord, SEEN, Seen, USERS, UserRecord, within},
    rights::RoomList,
};
use crate::{
    domain::{
        clock::{NoRandomness, Rng, alphanumeric},
        error::StoreError,
        records::{Collection, Expect, Put, Record, Records},
    },
    throttle::throttled,
};

/// How often a change is decided anew while others come in between. Of so many who change the same
/// at the same time one is done each time, so that nobody should need nearly as many.
const TRIES: usize = 100;
/// Characters of a life.
const LIFE: usize = 10;
/// Records that are deleted at a time.
const SWEEP: usize = 500;

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
fn crowded() -> Error {
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

impl Cabinet {
    /// A name for something that is new, never the same for two.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn life(&self) -> Result<String, Error> {
        Ok(alphanumeric(&*self.rng, LIFE)?)
    }

    /// As many tags as a change may need: one for each part of each list of a room.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn tags(&self) -> Result<Vec<u64>, Error> {
        let mut bytes = vec![0; 8 * super::list::PARTS * RoomList::ALL.len()];
        self.rng.fill(&mut bytes)?;
        let (tags, _) = bytes.as_chunks::<8>();
        // A number of JavaScript holds them.
        Ok(tags.iter().map(|tag| u64::from_le_bytes(*tag) >> 11).collect())
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
        let mut parts = Parts::new();
        for (number, tag) in wanted {
            let id = within(life, tag);
            let Some(found) = self.records.get(&PARTS, &id).await? else { return Ok(Err(Moved)) };
            let part: Part = serde_json::from_slice(&found.body)
                .map_err(|error| unreadable(&PARTS, &id, &error))?;
            parts.insert(number, part.names);
        }
        Ok(Ok(parts))
    }

    /// Writes parts of lists. A tag is random: nobody else writes the same.
    async fn write(&self, life: &str, writes: &Writes) -> Result<(), Error> {
        for (tag, names) in &writes.put {
            let part = Part { of: life.to_owned(), names: names.clone() };
            let id = within(life, tag);
            match self.records.put(&PARTS, &id, part.body(), Expect::New, None).await? {
                Put::Done { .. } => {}
                Put::Conflict { .. } => return Err(Error::Timeout),
                Put::Invalid(bad) => return Err(Error::Internal(bad.to_string())),
            }
        }
        Ok(())
    }

    /// Deletes parts that nobody names any more. What remains where that fails is read by nobody.
    async fn discard(&self, life: &str, tags: impl IntoIterator<Item = u64>) {
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
                self.discard(head.life(), writes.put.into_iter().map(|(tag, _)| tag)).await;
                Ok(false)
            }
            Put::Invalid(bad) => {
                self.discard(head.life(), writes.put.into_iter().map(|(tag, _)| tag)).await;
                Err(Error::Internal(bad.to_string()))
            }
        }
    }
}

/// Rooms.
impl Cabinet {
    /// A room, with the parts of its lists in which these names would be.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub async fn room(
        &self,
        name: &str,
        of: &[String],
    ) -> Result<(Read<RoomRecord>, RoomParts), Error> {
        for _ in 0..TRIES {
            if let Some(found) = self.room_once(name, Some(of)).await? {
                return Ok(found);
            }
        }
        Err(crowded())
    }

    /// The names on a list of a room.
    ///
    /// # Errors
    /// There is no such room, or the store does not answer.
    pub async fn room_list(&self, name: &str, list: RoomList) -> Result<Vec<String>, Error> {
        for _ in 0..TRIES {
            if let Some((read, parts)) = self.room_once(name, None).await? {
                let names = read.record.list(list).names(parts.of(list));
                return Ok(names.into_iter().collect());
            }
        }
        Err(crowded())
    }

    async fn room_once(
        &self,
        name: &str,
        of: Option<&[String]>,
    ) -> Result<Option<(Read<RoomRecord>, RoomParts)>, Error> {
        let read: Read<RoomRecord> =
            self.read(&ROOMS, name).await?.ok_or_else(|| Error::NoRoom(name.to_owned()))?;
        let mut parts = RoomParts::default();
        for list in RoomList::ALL {
            match self.parts(&read.record.life, read.record.list(list), of).await? {
                Ok(found) => *parts.of_mut(list) = found,
                Err(Moved) => return Ok(None),
            }
        }
        Ok(Some((read, parts)))
    }

    /// Makes a room.
    ///
    /// # Errors
    /// There is one of this name, or the store does not answer.
    pub async fn create(&self, name: &str, room: &RoomRecord, writes: Writes) -> Result<(), Error> {
        self.write(&room.life, &writes).await?;
        let put = self.records.put(&ROOMS, name, room.body(), Expect::New, None).await?;
        if let Put::Done { .. } = put {
            return Ok(());
        }
        self.discard(&room.life, writes.put.into_iter().map(|(tag, _)| tag)).await;
        match put {
            Put::Invalid(bad) => Err(Error::Internal(bad.to_string())),
            Put::Conflict { .. } | Put::Done { .. } => Err(Error::RoomExists(name.to_owned())),
        }
    }

    /// Changes a room as `decide` says, which may be asked several times. It gets the parts of the
    /// lists in which the names `of` would be. Returns the room as it is now.
    ///
    /// # Errors
    /// What `decide` says; there is no such room, or the store does not answer.
    pub async fn change_room(
        &self,
        name: &str,
        of: &[String],
        decide: impl Fn(&mut RoomRecord, &RoomParts, &[u64]) -> Result<Writes, Error>,
    ) -> Result<(RoomRecord, RoomParts), Error> {
        for _ in 0..TRIES {
            let (read, parts) = self.room(name, of).await?;
            let (mut room, version) = (read.record, read.version);
            let tags = self.tags()?;
            let writes = decide(&mut room, &parts, &tags)?;
            room.revision += 1;
            if self.replace(&ROOMS, name, &room, version, writes).await? {
                return Ok((room, parts));
            }
        }
        Err(crowded())
    }

    /// Takes a room away that was read, if it is still that. Its parts, and who was seen there, go
    /// too.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delete_room(&self, name: &str, room: &Read<RoomRecord>) -> Result<bool, Error> {
        Ok(self.records.delete(&ROOMS, name, Some(room.version)).await?)
    }

    /// Rooms by name, in the order of their bytes, behind `after`; `limit` at most. With the name
    /// behind which there may be more.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn rooms(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<(String, RoomRecord)>, Option<String>), Error> {
        let page = self.records.list(&ROOMS, after, limit).await?;
        let read = |record: Record| match serde_json::from_slice(&record.body) {
            Ok(room) => Ok((record.id, room)),
            Err(error) => Err(unreadable(&ROOMS, &record.id, &error)),
        };
        Ok((page.records.into_iter().map(read).collect::<Result<_, _>>()?, page.next))
    }

    /// Deletes what belongs to a life that has ended. May be done again.
    ///
    /// # Errors
    /// The store does not answer; what remains is read by nobody.
    pub async fn sweep(&self, life: &str) -> Result<(), StoreError> {
        for collection in [&PARTS, &SEEN] {
            let mut after: Option<String> = None;
            loop {
                let found =
                    self.records.find(collection, "of", life, after.as_deref(), SWEEP).await?;
                for record in &found.records {
                    self.records.delete(collection, &record.id, None).await?;
                }
                after = found.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
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
        for _ in 0..TRIES {
            if let Some(found) = self.user_once(name, Some(of)).await? {
                return Ok(found);
            }
        }
        Err(crowded())
    }

    /// The names on a list of a user.
    ///
    /// # Errors
    /// There is no such user, or the store does not answer.
    pub async fn user_list(&self, name: &str, list: UserList) -> Result<Vec<String>, Error> {
        for _ in 0..TRIES {
            if let Some((read, white, black)) = self.user_once(name, None).await? {
                let parts = match list {
                    UserList::White => white,
                    UserList::Black => black,
                };
                return Ok(read.record.list(list).names(&parts).into_iter().collect());
            }
        }
        Err(crowded())
    }

    async fn user_once(
        &self,
        name: &str,
        of: Option<&[String]>,
    ) -> Result<Option<(Read<UserRecord>, Parts, Parts)>, Error> {
        let read: Read<UserRecord> =
            self.read(&USERS, name).await?.ok_or_else(|| Error::NoUser(name.to_owned()))?;
        let life = &read.record.life;
        let Ok(white) = self.parts(life, &read.record.whitelist, of).await? else {
            return Ok(None);
        };
        let Ok(black) = self.parts(life, &read.record.blacklist, of).await? else {
            return Ok(None);
        };
        Ok(Some((read, white, black)))
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
                let tags: Vec<u64> = writes.put.iter().map(|(tag, _)| *tag).collect();
                self.discard(&user.life, tags).await;
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

    /// Changes a user as `decide` says, which may be asked several times.
    ///
    /// # Errors
    /// What `decide` says; there is no such user, or the store does not answer.
    pub async fn change_user(
        &self,
        name: &str,
        of: &[String],
        decide: impl Fn(&mut UserRecord, [&Parts; 2], &[u64]) -> Result<Writes, Error>,
    ) -> Result<(), Error> {
        for _ in 0..TRIES {
            let (read, white, black) = self.user(name, of).await?;
            let (mut user, version) = (read.record, read.version);
            let tags = self.tags()?;
            let writes = decide(&mut user, [&white, &black], &tags)?;
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
