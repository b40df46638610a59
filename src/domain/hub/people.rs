//! Who is online and where, on all nodes: sessions, look-ups for administrators, and what these do
//! about somebody.
use super::{
    super::{
        directory::{
            Counts, Ending, MAX_PAGE, MembersPage, Names, RoomsPage, UsersPage, Whereabouts,
        },
        error::StoreError,
        ids::{ConnectionId, RoomId, SocketId, Space, Uid},
        presence::{Claim, Revocations},
    },
    Hub,
};
use crate::metrics::Call;

/// Sessions: at most one of each user that claims it, on all nodes.
impl Hub {
    /// Makes the connection the session of its user: see
    /// [`Presence::claim`](super::super::presence::Presence::claim).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim(
        &self,
        uid: &Uid,
        connection: ConnectionId,
        socket: &SocketId,
        checked: Option<Revocations>,
    ) -> Result<Claim, StoreError> {
        let claim = self.stores.presence.claim(uid, connection, socket, checked);
        self.metrics.store.timed(Call::Claim, claim).await
    }

    /// What is known of revocations now.
    pub fn revocations(&self) -> Revocations {
        self.stores.presence.revocations()
    }

    /// Ends the session, if it is still that of this connection.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end_session(&self, uid: &Uid, connection: ConnectionId) -> Result<(), StoreError> {
        self.metrics.store.timed(Call::End, self.stores.presence.end(uid, connection)).await
    }
}

/// Look-ups for administrators.
impl Hub {
    /// The rooms of this space with anybody in them, on all nodes, sorted.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn occupied(&self, space: Space) -> Result<Vec<RoomId>, StoreError> {
        let mut rooms = self.stores.presence.rooms().await?;
        rooms.retain(|room| room.is_in(space));
        Ok(rooms)
    }

    /// Members of the room, `limit` at most (and [`MAX_PAGE`]), behind the place that an earlier
    /// page named as the next. Anything else names a place behind all.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn members_page(
        &self,
        room: &RoomId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<MembersPage, StoreError> {
        let (after, limit) =
            (after.map(|place| place.parse().unwrap_or(u64::MAX)), limit.clamp(1, MAX_PAGE));
        let mut page = self.stores.presence.members_page(room, after, limit + 1).await?;
        let next = cut(&mut page.members, limit, |(place, _)| place.to_string());
        let members = page.members.into_iter().map(|(_, member)| member).collect();
        Ok(MembersPage { members, total: page.total, next })
    }

    /// Shared rooms with anybody in them whose names begin with `prefix`, behind the name `after`;
    /// `limit` at most (and [`MAX_PAGE`]).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rooms_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RoomsPage, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        // The rooms of other spaces come first.
        let after = after.map_or(Space::BEFORE_SHARED, |after| after.max(Space::BEFORE_SHARED));
        let mut rooms = self.stores.presence.rooms_page(&names(prefix, Some(after), limit)).await?;
        let next = cut(&mut rooms, limit, |(room, _)| room.as_str().to_owned());
        Ok(RoomsPage { rooms, next })
    }

    /// Users who are online whose uids begin with `prefix`, behind the uid `after`; `limit` at most
    /// (and [`MAX_PAGE`]).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn users_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<UsersPage, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut users = self.stores.presence.users_page(&names(prefix, after, limit)).await?;
        let next = cut(&mut users, limit, |user| user.uid.as_str().to_owned());
        Ok(UsersPage { users, next })
    }

    /// How many users and shared rooms there are, on all nodes.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.stores.presence.counts().await
    }

    /// The user's connections, and where they are.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn whereabouts(&self, uid: &Uid) -> Result<Vec<Whereabouts>, StoreError> {
        self.stores.presence.whereabouts(uid).await
    }
}

/// What administrators do about somebody.
impl Hub {
    /// Takes all connections of the user out of the room, behind all that was sent there before from
    /// this node. Returns how many there were.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        self.rooms.remove(room, uid).await
    }

    /// Ends the user's connections, on all nodes at once, whether or not they have claimed. Returns
    /// how many there were.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn disconnect(&self, uid: &Uid, ending: Ending) -> Result<u64, StoreError> {
        self.stores.presence.disconnect(uid, ending).await
    }
}

/// One more than the page holds: that shows whether it is the last.
fn names(prefix: &str, after: Option<&str>, limit: usize) -> Names {
    Names { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit: limit + 1 }
}

/// Leaves so many; returns the name of the last one, if there were more.
fn cut<T>(entries: &mut Vec<T>, limit: usize, name: impl Fn(&T) -> String) -> Option<String> {
    let more = entries.len() > limit;
    entries.truncate(limit);
    entries.last().filter(|_| more).map(name)
}
