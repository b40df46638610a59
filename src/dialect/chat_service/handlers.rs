//! What each command does, behind its arguments and the hook before it.
//!
//! The order of refusals is that of the lines: is there such a room, may it be, is there such a
//! list, is there place.
use std::collections::BTreeMap;

use super::{
    arguments::Call,
    chat::{Answer, By, Chat, SocketAt},
    direct::{self, UserList},
    error::Error,
    history::{self, Wanted},
    list::{List, Parts, Tags, Writes},
    message::{self, Content},
    names,
    notice::Notice,
    record::{self, RoomParts, RoomRecord},
    rights::{self, Actor, Cause, Concerned, RoomList, Standing, fits},
    value::Value,
};
use crate::domain::{
    broker::{Audience, Entry, Trim},
    ids::{ConnectionId, RoomId, Uid},
    message::{Kind, Message},
    subscriber::Outcome,
};
use crate::throttle::throttled;

/// A room, as a command finds it, with who acts there.
struct Found {
    record: RoomRecord,
    id: RoomId,
    actor: Actor,
}

/// A list is to be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}

impl Change {
    /// Why somebody may lose access, where this list is changed so.
    fn cause(self, list: RoomList) -> Cause {
        match self {
            Change::Add => Cause::Added(list),
            Change::Remove => Cause::Removed(list),
        }
    }

    /// Changes the list of this name.
    ///
    /// # Errors
    /// A part of it would be larger than a record can be.
    fn apply(
        self,
        name: &str,
        list: &mut List,
        names: &[String],
        parts: &Parts,
        tags: &mut Tags,
    ) -> Result<Writes, Error> {
        let tag = || tags.next();
        let writes = match self {
            Change::Add => list.add(names, parts, tag),
            Change::Remove => list.remove(names, parts, tag),
        };
        if writes.fit() { Ok(writes) } else { Err(Error::ListLimitExceeded(name.to_owned())) }
    }
}

impl Chat {
    /// Does what a command asks for. Of a message that was sent, `sent` gets it as it was.
    ///
    /// # Errors
    /// Why it is not done.
    pub async fn run(
        &self,
        by: By<'_>,
        call: Call,
        sent: &mut Option<Value>,
    ) -> Result<Answer, Error> {
        match call {
            Call::DirectAddToList { list, names } => {
                self.change_own_list(by, &list, &names, Change::Add).await
            }
            Call::DirectRemoveFromList { list, names } => {
                self.change_own_list(by, &list, &names, Change::Remove).await
            }
            Call::DirectGetAccessList { list } => {
                let list = UserList::find(&list)?;
                let names = self.cabinet.user_list(by.someone()?.as_str(), list).await?;
                Ok(Answer::texts(&names))
            }
            Call::DirectGetWhitelistMode => {
                let (user, _, _) = self.cabinet.user(by.someone()?.as_str(), &[]).await?;
                Ok(Answer::json(user.record.whitelist_only.to_string()))
            }
            Call::DirectSetWhitelistMode { on } => {
                let set = |user: &mut record::UserRecord, _: [&Parts; 2], _: &mut Tags| {
                    let before = std::mem::replace(&mut user.whitelist_only, on);
                    Ok(Writes::head(before != on))
                };
                self.cabinet.change_user(by.someone()?.as_str(), &[], set).await?;
                Ok(Answer::null())
            }
            Call::DirectMessage { to, message } => self.direct(by, &to, message, sent).await,
            Call::ListOwnSockets => self.own_sockets(by.someone()?).await,
            Call::RoomAddToList { room, list, names } => {
                self.change_list(by, &room, &list, names, Change::Add).await
            }
            Call::RoomRemoveFromList { room, list, names } => {
                self.change_list(by, &room, &list, names, Change::Remove).await
            }
            Call::RoomCreate { room, whitelist_only } => {
                rights::may_create(&room, self.options.rooms_management, by.bypass)?;
                let life = self.cabinet.life()?;
                let id = names::room(&room, &life)?;
                if let Some(seat) = by.seat.filter(|_| !by.local) {
                    seat.may_make(&id)?;
                }
                let record = self.new_room(life, by.name(), whitelist_only);
                self.create(&room, &record, &Writes::default()).await?;
                Ok(Answer::null())
            }
            Call::RoomDelete { room } => self.delete(by, &room).await,
            Call::RoomGetAccessList { room, list } => self.list(by, &room, &list).await,
            Call::RoomGetOwner { room } => {
                let found = self.readable(by, &room).await?;
                let owner = found.record.owner.map_or(Value::Null, Value::Text);
                Ok(Answer::value(&owner))
            }
            Call::RoomGetWhitelistMode { room } => {
                let found = self.readable(by, &room).await?;
                Ok(Answer::json(found.record.whitelist_only.to_string()))
            }
            Call::RoomSetWhitelistMode { room, on } => self.set_mode(by, &room, on).await,
            Call::RoomHistoryGet { room, id, limit } => {
                let found = self.readable(by, &room).await?;
                let limit = history::most(limit, self.options.history_max_get_messages, by.bypass);
                self.messages(&found, Wanted::Behind { id, limit }).await
            }
            Call::RoomRecentHistory { room } => {
                let found = self.readable(by, &room).await?;
                let limit = self.options.history_max_get_messages;
                self.messages(&found, Wanted::Newest { limit }).await
            }
            Call::RoomHistoryInfo { room } => {
                let found = self.readable(by, &room).await?;
                let size = found.record.history_max_size;
                let window = history::window(&self.hub, &found.id, size).await?;
                Ok(Answer::json(window.info(size, self.options.history_max_get_messages)))
            }
            // Other nodes may be asked for the turn, by the name.
            Call::RoomJoin { room } => {
                names::may_be_room(&room)?;
                Ok(Answer::json(self.join(by, &room).await?.to_string()))
            }
            Call::RoomLeave { room } => {
                names::may_be_room(&room)?;
                Ok(Answer::json(self.leave(by, &room).await?.to_string()))
            }
            Call::RoomMessage { room, message } => self.say(by, &room, message, sent).await,
            Call::RoomNotificationsInfo { room } => {
                let found = self.readable(by, &room).await?;
                Ok(Answer::json(record::notifications_info(&found.record)))
            }
            Call::RoomUserSeen { room, user } => {
                let found = self.readable(by, &room).await?;
                let joined = match names::uid(&user) {
                    Ok(user) => self.joined(&found.id, &user).await? > 0,
                    Err(_) => false, // nobody is called so
                };
                let at = self.cabinet.seen(&found.record.life, &user).await?;
                Ok(Answer::json(record::seen(joined, at)))
            }
            Call::SystemMessage { data } => {
                let user = by.someone()?.as_str();
                self.tell_user(user, &Notice::SystemMessage { data: &data }, by.seat).await?;
                Ok(Answer::null())
            }
        }
    }

    /// A new room without lists.
    pub fn new_room(&self, life: String, owner: Option<&str>, whitelist_only: bool) -> RoomRecord {
        RoomRecord {
            life,
            revision: 1,
            owner: owner.map(str::to_owned),
            whitelist_only,
            adminlist: List::default(),
            whitelist: List::default(),
            blacklist: List::default(),
            history_max_size: self.options.history_max_size,
            enable_access_lists_updates: self.options.access_lists_updates,
            enable_userlist_updates: self.options.userlist_updates,
            ending: false,
        }
    }

    async fn find(&self, by: By<'_>, room: &str) -> Result<Found, Error> {
        let of: Vec<String> = by.name().map(str::to_owned).into_iter().collect();
        let (read, parts) = self.cabinet.room(room, &of).await?;
        let id = names::room(room, &read.record.life)?;
        let standing = by.name().map(|user| read.record.standing(user, &parts));
        let actor = Actor {
            standing: standing.unwrap_or_default(),
            joined: self.is_joined(&id, by).await?,
            bypass: by.bypass,
        };
        Ok(Found { record: read.record, id, actor })
    }

    async fn readable(&self, by: By<'_>, room: &str) -> Result<Found, Error> {
        let found = self.find(by, room).await?;
        found.actor.may_read(room)?;
        Ok(found)
    }

    async fn messages(&self, found: &Found, wanted: Wanted) -> Result<Answer, Error> {
        let size = found.record.history_max_size;
        Ok(history::read(&self.hub, &found.id, size, wanted).await?)
    }

    async fn list(&self, by: By<'_>, room: &str, list: &str) -> Result<Answer, Error> {
        let found = self.find(by, room).await?;
        let names = match found.actor.may_read_list(room, list)? {
            Some(list) => self.cabinet.room_list(room, list).await?,
            None => {
                let users = self.everybody(&found.id).await?;
                users.iter().map(|user| user.as_str().to_owned()).collect()
            }
        };
        Ok(Answer::texts(&names))
    }

    async fn own_sockets(&self, user: &Uid) -> Result<Answer, Error> {
        let sockets = self.sockets_of(user).await?;
        let rooms = |socket: &SocketAt| {
            let names = socket.rooms.iter().filter_map(names::shown);
            Value::List(names.map(|name| Value::Text(name.to_owned())).collect())
        };
        let sockets = sockets.iter().map(|socket| (socket.socket.to_string(), rooms(socket)));
        // By id, so that the answer does not depend on which node is asked.
        let sockets: BTreeMap<String, Value> = sockets.collect();
        Ok(Answer::value(&Value::Object(sockets.into_iter().collect())))
    }

    async fn change_own_list(
        &self,
        by: By<'_>,
        list: &str,
        names: &[String],
        change: Change,
    ) -> Result<Answer, Error> {
        let user = by.someone()?.as_str();
        let list = UserList::to_change(list, user, names)?;
        if change == Change::Add {
            rights::are_listable(names)?;
        }
        let limit = self.options.direct_list_size_limit;
        let decide = |user: &mut record::UserRecord, parts: [&Parts; 2], tags: &mut Tags| {
            let [white, black] = parts;
            let parts = match list {
                UserList::White => white,
                UserList::Black => black,
            };
            let of = user.list_mut(list);
            if change == Change::Add {
                fits(list.name(), of.len(), names.len(), limit)?;
            }
            change.apply(list.name(), of, names, parts, tags)
        };
        self.cabinet.change_user(user, names, decide).await?;
        Ok(Answer::null())
    }

    async fn change_list(
        &self,
        by: By<'_>,
        room: &str,
        list: &str,
        names: Vec<String>,
        change: Change,
    ) -> Result<Answer, Error> {
        let limit = self.options.room_list_size_limit;
        // All of it is decided by what is written over: two who change one list both count.
        let needs = |record: &RoomRecord, standing: Standing| {
            let actor = Actor { standing, joined: false, bypass: by.bypass };
            let list = actor.may_change(list, record.concerns_owner(&names))?;
            if change == Change::Add {
                rights::are_listable(&names)?;
                fits(list.name(), record.list(list).len(), names.len(), limit)?;
            }
            let mut needs = vec![list];
            if change.cause(list).concerns(record.whitelist_only) == Concerned::Named {
                needs.push(RoomList::Admins); // they are spared
            }
            Ok(needs)
        };
        let decide = |record: &mut RoomRecord, parts: &RoomParts, tags: &mut Tags| {
            let list = RoomList::find(list)?;
            change.apply(list.name(), record.list_mut(list), &names, parts.of(list), tags)
        };
        let changed = self.cabinet.change_room(room, by.name(), &names, needs, decide).await;
        let (record, parts) = changed?;
        let list = RoomList::find(list)?;
        let told = {
            let (list, names) = (list.name(), &names[..]);
            let notice = match change {
                Change::Add => Notice::RoomAccessListAdded { room, list, names },
                Change::Remove => Notice::RoomAccessListRemoved { room, list, names },
            };
            self.tell_change(room, &record, &notice).await
        };
        // Who may not be there goes, whether that could be told or not.
        self.expel(room, &record, change.cause(list), &names, &parts).await?;
        told.map(|()| Answer::null())
    }

    /// Tells a room of a change of its lists or mode, if it is told of such.
    async fn tell_change(
        &self,
        room: &str,
        record: &RoomRecord,
        notice: &Notice<'_>,
    ) -> Result<(), Error> {
        if !record.enable_access_lists_updates {
            return Ok(());
        }
        self.tell_room(&names::room(room, &record.life)?, notice).await
    }

    async fn set_mode(&self, by: By<'_>, room: &str, on: bool) -> Result<Answer, Error> {
        let needs = |_: &RoomRecord, standing: Standing| {
            Actor { standing, joined: false, bypass: by.bypass }.may_change_mode()?;
            Ok(Vec::new())
        };
        let decide = |record: &mut RoomRecord, _: &RoomParts, _: &mut Tags| {
            let before = std::mem::replace(&mut record.whitelist_only, on);
            Ok(Writes::head(before != on))
        };
        let changed = self.cabinet.change_room(room, by.name(), &[], needs, decide).await;
        let (record, parts) = changed?;
        let notice = Notice::RoomModeChanged { room, whitelist_only: on };
        let told = self.tell_change(room, &record, &notice).await;
        // Who may not be there goes, whether that could be told or not.
        self.expel(room, &record, Cause::Mode(on), &[], &parts).await?;
        told.map(|()| Answer::null())
    }

    /// The room that a message goes to, and how many it keeps. A socket that is in it knows that
    /// without asking a store.
    async fn spoken_to(&self, by: By<'_>, room: &str) -> Result<(RoomId, u64), Error> {
        if let Some(id) = by.seat.and_then(|seat| seat.room(room))
            && let Some(known) = self.rooms.get(&id)
        {
            if known.ending {
                return Err(Error::NoRoom(room.to_owned()));
            }
            return Ok((id, known.history_max_size));
        }
        let found = self.find(by, room).await?;
        found.actor.may_send(room)?;
        Ok((found.id, found.record.history_max_size))
    }

    async fn say(
        &self,
        by: By<'_>,
        room: &str,
        content: Content,
        sent: &mut Option<Value>,
    ) -> Result<Answer, Error> {
        let (id, size) = self.spoken_to(by, room).await?;
        let now = self.hub.clock.unix_ms();
        let message = content.for_room(by.name(), now);
        let (entry, bytes) = message_of(by.seat.map(|seat| seat.connection()), &message);
        let outcome = self.hub.publish(&id, entry, bytes).await;
        let Outcome::Done(position) = outcome else { return Err(Error::Timeout) };
        let Some(index) = position.index else { return Err(Error::Timeout) };
        if history::is_trimmed_behind(index, size)
            && let Err(error) = self.hub.trim(&id, Trim::Before(behind(index, size))).await
        {
            throttled!(warn, %error, "a room's history could not be trimmed; it is later");
        }
        let id = history::id(index);
        *sent = numbered(message, id);
        Ok(Answer::json(id.to_string()))
    }

    async fn direct(
        &self,
        by: By<'_>,
        to: &str,
        content: Content,
        sent: &mut Option<Value>,
    ) -> Result<Answer, Error> {
        direct::are_enabled(self.options.direct_messages)?;
        let of: Vec<String> = by.name().map(str::to_owned).into_iter().collect();
        let (user, white, black) = self.cabinet.user(to, &of).await?;
        user.record.recipient(to, by.name(), &white, &black).may_be_told(by.bypass)?;
        if self.sockets_of(&names::uid(to)?).await?.is_empty() {
            return Err(Error::NoUserOnline(to.to_owned()));
        }
        let message = content.direct(by.name(), self.hub.clock.unix_ms());
        self.tell_user(to, &Notice::DirectMessage { message: &message }, None).await?;
        if let Some(sender) = by.name() {
            let echo = Notice::DirectMessageEcho { to, message: &message };
            self.echo(sender, &echo, by.seat).await;
        }
        let answer = Answer::value(&message);
        *sent = Some(message);
        Ok(answer)
    }
}

/// The index of the oldest message that a room keeps behind the one of this index. What is said
/// meanwhile changes nothing, nor does a room that keeps more by then.
pub(super) fn behind(index: u64, size: u64) -> u64 {
    history::id(index).saturating_sub(size)
}

/// A completed message for a room, and its size. `from`: the socket that sends it.
pub(super) fn message_of(from: Option<ConnectionId>, message: &Value) -> (Entry, usize) {
    let body = message::kept(message);
    let bytes = body.len();
    let message = Message { kind: Kind::Insert, body, key: None, may_pass: false };
    (Entry::Message { from, audience: Audience::All, message, receipt: None }, bytes)
}

/// A message with its id, as the hook after it gets it.
fn numbered(message: Value, id: u64) -> Option<Value> {
    let Value::Object(mut fields) = message else { return None };
    fields.push(("id".to_owned(), Value::number(id)));
    Some(Value::Object(fields))
}
