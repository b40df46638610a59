//! Records of rooms.
use super::{
    super::{
        error::Error,
        list::{Tags, Writes},
        names,
        record::{PARTS, ROOMS, RoomParts, RoomRecord, SEEN},
        rights::{RoomList, Standing},
    },
    Cabinet, Gaps, Moved, Read, TRIES, crowded, unreadable,
};
use crate::domain::{
    error::StoreError,
    records::{Expect, Put, Record},
};

/// Records that are found at a time.
const SWEEP: usize = 500;

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
        let mut gaps = Gaps::default();
        for _ in 0..TRIES {
            let lists = &RoomList::ALL;
            if let Some(found) = self.room_once(name, lists, Some(of), &mut gaps).await? {
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
        let mut gaps = Gaps::default();
        for _ in 0..TRIES {
            if let Some((read, parts)) = self.room_once(name, &[list], None, &mut gaps).await? {
                let names = read.record.list(list).names(parts.of(list));
                return Ok(names.into_iter().collect());
            }
        }
        Err(crowded())
    }

    async fn room_once(
        &self,
        name: &str,
        lists: &[RoomList],
        of: Option<&[String]>,
        gaps: &mut Gaps,
    ) -> Result<Option<(Read<RoomRecord>, RoomParts)>, Error> {
        let read = self.head_of_room(name).await?;
        let mut parts = RoomParts::default();
        for list in lists {
            match self.parts(&read.record.life, read.record.list(*list), of).await? {
                Ok(found) => *parts.of_mut(*list) = found,
                Err(Moved) => {
                    gaps.met(name, read.version)?;
                    return Ok(None);
                }
            }
        }
        Ok(Some((read, parts)))
    }

    /// Makes a room.
    ///
    /// # Errors
    /// There is one of this name, or the store does not answer.
    pub async fn create(
        &self,
        name: &str,
        room: &RoomRecord,
        writes: &Writes,
    ) -> Result<(), Error> {
        self.write(&room.life, writes).await?;
        let put = self.records.put(&ROOMS, name, room.body(), Expect::New, None).await?;
        if let Put::Done { .. } = put {
            return Ok(());
        }
        self.discard(&room.life, writes.tags()).await;
        match put {
            Put::Invalid(bad) => Err(Error::Internal(bad.to_string())),
            Put::Conflict { .. } | Put::Done { .. } => Err(Error::RoomExists(name.to_owned())),
        }
    }

    /// Changes a room. Both `needs` and `decide` may be asked several times. `needs` looks whether
    /// `by`, of whom it is told whether it is the owner or an administrator, may do so, and says of
    /// which lists `decide` needs the parts in which the names `of` would be: so who may not makes
    /// nobody read long lists. Nothing is written where nothing is changed. Returns the room as it
    /// is now.
    ///
    /// # Errors
    /// What `needs` and `decide` say; there is no such room, or the store does not answer.
    pub async fn change_room(
        &self,
        name: &str,
        by: Option<&str>,
        of: &[String],
        needs: impl Fn(&RoomRecord, Standing) -> Result<Vec<RoomList>, Error>,
        decide: impl Fn(&mut RoomRecord, &RoomParts, &mut Tags) -> Result<Writes, Error>,
    ) -> Result<(RoomRecord, RoomParts), Error> {
        let mut gaps = Gaps::default();
        for _ in 0..TRIES {
            let Read { record: mut room, version } = self.head_of_room(name).await?;
            let Some(mut parts) = self.admin_parts(&room, by).await? else {
                gaps.met(name, version)?;
                continue;
            };
            let standing = by.map(|by| room.standing(by, &parts)).unwrap_or_default();
            let lists = needs(&room, standing)?;
            if !self.read_parts(&room, &lists, of, &mut parts).await? {
                gaps.met(name, version)?;
                continue;
            }
            let writes = decide(&mut room, &parts, &mut self.tags()?)?;
            if !writes.changed {
                return Ok((room, parts));
            }
            room.revision += 1;
            if self.replace(&ROOMS, name, &room, version, writes).await? {
                return Ok((room, parts));
            }
        }
        Err(crowded())
    }

    /// The part of the administrators in which somebody would be. `None`: it is gone.
    async fn admin_parts(
        &self,
        room: &RoomRecord,
        user: Option<&str>,
    ) -> Result<Option<RoomParts>, Error> {
        let names: Vec<String> = user.map(str::to_owned).into_iter().collect();
        let mut parts = RoomParts::default();
        let is_read = self.read_parts(room, &[RoomList::Admins], &names, &mut parts).await?;
        Ok(is_read.then_some(parts))
    }

    /// Reads the parts of these lists in which names would be; false: one is gone.
    async fn read_parts(
        &self,
        room: &RoomRecord,
        lists: &[RoomList],
        names: &[String],
        parts: &mut RoomParts,
    ) -> Result<bool, Error> {
        for list in lists {
            match self.parts(&room.life, room.list(*list), Some(names)).await? {
                Ok(read) => parts.of_mut(*list).extend(read),
                Err(Moved) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// A room that is not being deleted, without any part of its lists.
    async fn head_of_room(&self, name: &str) -> Result<Read<RoomRecord>, Error> {
        names::may_be_room(name)?;
        let found = self.any_room(name).await?.filter(|read| !read.record.ending);
        found.ok_or_else(|| Error::NoRoom(name.to_owned()))
    }

    /// A room, also one that is being deleted.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn any_room(&self, name: &str) -> Result<Option<Read<RoomRecord>>, Error> {
        self.read(&ROOMS, name).await
    }

    /// From now on a room that was read is being deleted, and there for nobody else. `None`: it has
    /// changed since it was read.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn begin_end(
        &self,
        name: &str,
        read: Read<RoomRecord>,
    ) -> Result<Option<Read<RoomRecord>>, Error> {
        let mut record = read.record;
        record.ending = true;
        record.revision += 1;
        let expect = Expect::Version(read.version);
        match self.records.put(&ROOMS, name, record.body(), expect, None).await? {
            Put::Done { version } => Ok(Some(Read { record, version })),
            Put::Conflict { .. } => Ok(None),
            Put::Invalid(bad) => Err(Error::Internal(bad.to_string())),
        }
    }

    /// Rooms whose deletion has begun and is not done, by name; not more than a page of them.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ending_rooms(&self) -> Result<Vec<(String, Read<RoomRecord>)>, Error> {
        let page = self.records.find(&ROOMS, "ending", "true", None, SWEEP).await?;
        let read = |found: Record| match serde_json::from_slice(&found.body) {
            Ok(record) => Ok((found.id, Read { record, version: found.version })),
            Err(error) => Err(unreadable(&ROOMS, &found.id, &error)),
        };
        page.records.into_iter().map(read).collect()
    }

    /// Takes the record of a room away, if it is still as it was read.
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
        let read = |record: Record| match serde_json::from_slice::<RoomRecord>(&record.body) {
            Ok(room) => Ok((record.id, room)),
            Err(error) => Err(unreadable(&ROOMS, &record.id, &error)),
        };
        let rooms: Vec<_> = page.records.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok((rooms.into_iter().filter(|(_, room)| !room.ending).collect(), page.next))
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
