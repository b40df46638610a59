//! Rooms, as the server API makes them, asks about them and changes them.
use super::{
    super::{
        chat::Chat,
        error::Error,
        list::{List, Tags, Writes},
        names,
        record::{RoomParts, RoomRecord},
        rights::{RoomList, Standing, USERLIST, are_listable},
        value::Value,
    },
    fields::State,
    users::there_is,
};
use crate::domain::broker::Trim;

/// Where `state` stands among the fields.
const STATE: usize = 1;

impl Chat {
    /// Makes a room. Its lists may be as long as they are.
    ///
    /// # Errors
    /// The name or the state can't be, or there is a room of this name.
    pub async fn add_room(&self, room: &str, state: Option<&Value>) -> Result<(), Error> {
        let life = self.cabinet.life()?;
        names::room(room, &life)?;
        let mut given = State::new(state);
        let owner = given.text("owner");
        are_listable(&owner)?;
        let whitelist_only = given.flag("whitelistOnly").unwrap_or_default();
        let mut record = self.new_room(life, owner.as_deref(), whitelist_only);
        let mut tags = self.cabinet.tags()?;
        let mut writes = Writes::default();
        for list in RoomList::ALL {
            let names = given.names(list.name());
            are_listable(&names)?;
            let (made, written) = List::new(names, || tags.next());
            if !written.fit() {
                return Err(Error::ListLimitExceeded(list.name().to_owned()));
            }
            *record.list_mut(list) = made;
            writes.put.extend(written.put);
        }
        if let Some(size) = given.size("historyMaxSize") {
            record.history_max_size = size;
        }
        if let Some(on) = given.flag("enableAccessListsUpdates") {
            record.enable_access_lists_updates = on;
        }
        if let Some(on) = given.flag("enableUserlistUpdates") {
            record.enable_userlist_updates = on;
        }
        if !given.is_good() {
            return Err(super::bad(STATE, state.map(Value::json).unwrap_or_default()));
        }
        self.create(room, &record, &writes).await
    }

    /// Whether there is a room.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn has_room(&self, room: &str) -> Result<bool, Error> {
        there_is(self.cabinet.room(room, &[]).await)
    }

    /// Whether a name is on a list of a room.
    ///
    /// # Errors
    /// There is no such room, or no such list.
    pub async fn room_has_in_list(
        &self,
        room: &str,
        list: &str,
        item: String,
    ) -> Result<bool, Error> {
        let of = [item];
        let (read, parts) = self.cabinet.room(room, &of).await?;
        let [item] = &of;
        if list == USERLIST {
            let id = names::room(room, &read.record.life)?;
            return match names::uid(item) {
                Ok(user) => Ok(self.joined(&id, &user).await? > 0),
                Err(_) => Ok(false), // nobody is called so
            };
        }
        let list = RoomList::find(list)?;
        Ok(read.record.list(list).has(item, parts.of(list)))
    }

    /// Whether somebody may join a room.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn has_room_access(&self, room: &str, user: String) -> Result<bool, Error> {
        let of = [user];
        let (read, parts) = match self.cabinet.room(room, &of).await {
            Err(Error::NoRoom(_)) => return Ok(false),
            found => found?,
        };
        let [user] = &of;
        Ok(read.record.standing(user, &parts).has_access(read.record.whitelist_only))
    }

    /// Gives a room to somebody, or to nobody.
    ///
    /// # Errors
    /// There is no such room, or the name is too long.
    pub async fn change_room_owner(&self, room: &str, owner: Option<String>) -> Result<(), Error> {
        are_listable(&owner)?;
        self.amend(room, |room| room.owner.clone_from(&owner)).await.map(drop)
    }

    /// Says how many messages a room keeps, and deletes what it has beyond that.
    ///
    /// # Errors
    /// There is no such room.
    pub async fn change_history_max_size(&self, room: &str, size: u64) -> Result<(), Error> {
        let record = self.amend(room, |room| room.history_max_size = size).await?;
        let id = names::room(room, &record.life)?;
        self.tell_settings(&id, record.known()).await?;
        self.hub.trim(&id, Trim::Keep(size)).await?;
        Ok(())
    }

    /// Says whether a room is told of changes of its lists and mode.
    ///
    /// # Errors
    /// There is no such room.
    pub async fn change_access_lists_updates(&self, room: &str, on: bool) -> Result<(), Error> {
        self.amend(room, |room| room.enable_access_lists_updates = on).await.map(drop)
    }

    /// Says whether a room is told who comes and goes.
    ///
    /// # Errors
    /// There is no such room.
    pub async fn change_userlist_updates(&self, room: &str, on: bool) -> Result<(), Error> {
        let record = self.amend(room, |room| room.enable_userlist_updates = on).await?;
        let id = names::room(room, &record.life)?;
        self.tell_settings(&id, record.known()).await
    }

    /// Changes a room that is not asked who may. Returns it as it is now.
    async fn amend(
        &self,
        room: &str,
        change: impl Fn(&mut RoomRecord),
    ) -> Result<RoomRecord, Error> {
        let needs = |_: &RoomRecord, _: Standing| Ok(Vec::new());
        let decide = |record: &mut RoomRecord, _: &RoomParts, _: &mut Tags| {
            let before = record.clone();
            change(record);
            Ok(Writes::head(*record != before))
        };
        let (record, _) = self.cabinet.change_room(room, None, &[], needs, decide).await?;
        Ok(record)
    }
}
