//! What the server API puts in order: users and rooms of which something is not as it should be.
//!
//! Who is in a room is one word of the core's presence, for the room and for its sockets: so no
//! socket is in a room that does not count it. What can be left behind, by a store that was out at
//! the wrong moment, is a socket that is gone, and people in a room that was deleted, or who may
//! not be there.
use super::super::{
    chat::{Chat, SocketAt},
    error::Error,
    names,
};
use crate::domain::{
    ids::{RoomId, Uid},
    presence::Departure,
};

/// What is told of a socket that is not there, JSON.
const NOT_CONNECTED: &str = r#"{"isConnected":false,"query":{},"headers":{},"auth":{}}"#;

impl Chat {
    /// What a client said when it connected, JSON.
    ///
    /// # Errors
    /// A node that may have its socket does not answer.
    pub async fn handshake_data(&self, id: &str) -> Result<String, Error> {
        let found = self.handshake_of(id).await?;
        let fields = found.as_deref().and_then(|data| data.strip_prefix('{'));
        Ok(fields.map_or_else(
            || NOT_CONNECTED.to_owned(),
            |fields| format!(r#"{{"isConnected":true,{fields}"#),
        ))
    }

    /// Forgets sockets of the user that were on this node and are gone, and takes the user out of
    /// rooms that are no more.
    ///
    /// # Errors
    /// There is no such user, or the store does not answer.
    pub async fn sync_user(&self, name: &str) -> Result<(), Error> {
        self.cabinet.user(name, &[]).await?;
        let user = names::uid(name)?;
        let nodes = self.hub.nodes().await?;
        let this = nodes.iter().find(|node| node.this).map(|node| &*node.id);
        for socket in self.sockets_of(&user).await? {
            if this == Some(&*socket.node) && self.sessions.find(&socket.socket).is_none() {
                self.forget_socket(&user, &socket).await?;
                continue;
            }
            for room in &socket.rooms {
                let Some(shown) = names::shown(room) else { continue };
                if !self.is_alive(shown, room).await? {
                    self.evict(shown, room, &user).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes out a socket of this node that is gone.
    async fn forget_socket(&self, user: &Uid, socket: &SocketAt) -> Result<(), Error> {
        for room in &socket.rooms {
            self.hub.depart(room, socket.connection, Departure::Gone).await?;
        }
        Ok(self.hub.end_session(user, socket.connection).await?)
    }

    /// Whether this is the life of the room that there is.
    async fn is_alive(&self, name: &str, room: &RoomId) -> Result<bool, Error> {
        match self.cabinet.room(name, &[]).await {
            Ok((read, _)) => Ok(names::room(name, &read.record.life)? == *room),
            Err(Error::NoRoom(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes those out of a room who may not be there.
    ///
    /// # Errors
    /// There is no such room, or the store does not answer.
    pub async fn sync_room(&self, name: &str) -> Result<(), Error> {
        let (read, _) = self.cabinet.room(name, &[]).await?;
        let room = names::room(name, &read.record.life)?;
        for user in self.everybody(&room).await? {
            let of = [user.as_str().to_owned()];
            let (now, parts) = self.cabinet.room(name, &of).await?;
            let standing = now.record.standing(user.as_str(), &parts);
            if !standing.has_access(now.record.whitelist_only) {
                self.evict(name, &room, &user).await?;
            }
        }
        Ok(())
    }
}
