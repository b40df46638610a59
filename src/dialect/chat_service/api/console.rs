//! What there is, for the console: the rooms, and all of one.
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value as Json, json};

use super::super::{
    chat::Chat,
    error::Error,
    history, names,
    record::RoomRecord,
    rights::{RoomList, USERLIST},
};
use crate::domain::methods::Values;

/// How many rooms can be asked for, and how many are given where nobody says.
pub(super) const ROOMS: Values = Values::Number { least: 1, most: Some(1000) };
const SOME_ROOMS: u64 = 100;
/// How many names of each list can be asked for, and how many are given where nobody says.
pub(super) const NAMES: Values = Values::Number { least: 1, most: Some(10_000) };
const SOME_NAMES: u64 = 200;
/// Rooms whose members are counted at the same time.
const TOGETHER: usize = 16;

fn count(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl Chat {
    /// Rooms by name, JSON.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_rooms(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<u64>,
    ) -> Result<String, Error> {
        let limit = count(limit.unwrap_or(SOME_ROOMS));
        let mut rooms = self.rooms_from(prefix, after, limit + 1).await?;
        let last = rooms.get(limit - 1).map(|(name, _)| name.clone());
        let next = last.filter(|_| rooms.len() > limit);
        rooms.truncate(limit);
        let mut counted = Vec::with_capacity(rooms.len());
        for (name, room) in rooms {
            counted.push(self.in_short(name, room));
        }
        let rooms: Vec<Json> = stream::iter(counted).buffered(TOGETHER).try_collect().await?;
        Ok(json!({ "rooms": rooms, "next": next }).to_string())
    }

    /// So many rooms whose names begin with `prefix`, behind the name `after`.
    async fn rooms_from(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, RoomRecord)>, Error> {
        let mut rooms = Vec::new();
        let mut after = after.map(str::to_owned);
        if !prefix.is_empty() && after.as_deref().is_none_or(|after| after < prefix) {
            // It comes before all other names that begin so.
            match self.cabinet.room(prefix, &[]).await {
                Ok((read, _)) => rooms.push((prefix.to_owned(), read.record)),
                Err(Error::NoRoom(_)) => {}
                Err(error) => return Err(error),
            }
            after = Some(prefix.to_owned());
        }
        while rooms.len() < limit {
            let (page, next) = self.cabinet.rooms(after.as_deref(), limit - rooms.len()).await?;
            rooms.extend(page.into_iter().take_while(|(name, _)| name.starts_with(prefix)));
            // Behind all that begin so there are others only.
            after = next.filter(|next| next.starts_with(prefix));
            if after.is_none() {
                break;
            }
        }
        Ok(rooms)
    }

    async fn in_short(&self, name: String, room: RoomRecord) -> Result<Json, Error> {
        let id = names::room(&name, &room.life)?;
        let members = self.hub.members_page(&id, None, 1).await?.total;
        Ok(json!({
            "roomName": name,
            "owner": room.owner,
            "whitelistOnly": room.whitelist_only,
            "adminlist": room.adminlist.len(),
            "whitelist": room.whitelist.len(),
            "blacklist": room.blacklist.len(),
            "members": members,
        }))
    }

    /// All that there is to know of a room, JSON.
    ///
    /// # Errors
    /// There is no such room.
    pub async fn room_state(&self, name: &str, limit: Option<u64>) -> Result<String, Error> {
        let limit = count(limit.unwrap_or(SOME_NAMES));
        let (read, _) = self.cabinet.room(name, &[]).await?;
        let room = read.record;
        let id = names::room(name, &room.life)?;
        let window = history::window(&self.hub, &id, room.history_max_size).await?;
        let mut state = json!({
            "roomName": name,
            "owner": room.owner,
            "whitelistOnly": room.whitelist_only,
            "historyMaxSize": room.history_max_size,
            "historySize": window.size(),
            "lastMessageId": window.last(),
            "enableAccessListsUpdates": room.enable_access_lists_updates,
            "enableUserlistUpdates": room.enable_userlist_updates,
        });
        for list in RoomList::ALL {
            let names = self.cabinet.room_list(name, list).await?;
            state[list.name()] = some(&names, limit);
        }
        let users = self.everybody(&id).await?;
        let users: Vec<String> = users.into_iter().map(|user| user.as_str().to_owned()).collect();
        state[USERLIST] = some(&users, limit);
        Ok(state.to_string())
    }
}

/// The first of these names, which are sorted.
fn some(names: &[String], limit: usize) -> Json {
    json!({ "size": names.len(), "names": names.get(..limit).unwrap_or(names) })
}
