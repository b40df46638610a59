//! What the server API puts in order: users and rooms of which something is not as it should be.
//!
//! The core's presence alone says who is in a room, to the room and to its sockets: so no socket is
//! in a room that does not count it. What can be left behind, by a store that was out at the wrong
//! moment, is a socket that is gone, and people in a room that was deleted or where they may not
//! be.
use std::sync::Arc;

use super::super::{chat::Chat, error::Error, names, sessions::LocalSocket};
use crate::domain::{
    directory::Whereabouts,
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
        let (user, this) = (names::uid(name)?, self.this_node().await?);
        for socket in self.hub.whereabouts(&user).await? {
            if !socket.rooms.iter().any(is_ours) {
                continue; // of another protocol
            }
            let is_here = this.as_deref() == Some(&*socket.node);
            if is_here && self.session_of(&socket).is_none() {
                for room in &socket.rooms {
                    if is_ours(room) {
                        self.hub.depart(room, socket.connection, Departure::Gone).await?;
                    }
                }
                self.hub.end_session(&user, socket.connection).await?;
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

    /// The name of this node, once it has one.
    async fn this_node(&self) -> Result<Option<String>, Error> {
        let nodes = self.hub.nodes().await?;
        Ok(nodes.into_iter().find(|node| node.this).map(|node| node.id))
    }

    /// The socket of this node that this is.
    fn session_of(&self, at: &Whereabouts) -> Option<Arc<dyn LocalSocket>> {
        let found = self.sessions.find(&at.socket.as_ref()?.0)?;
        Some(found).filter(|found| found.connection() == at.connection)
    }

    /// Whether this is the life of the room that there is.
    async fn is_alive(&self, name: &str, room: &RoomId) -> Result<bool, Error> {
        match self.cabinet.room(name, &[]).await {
            Ok((read, _)) => Ok(names::room(name, &read.record.life)? == *room),
            Err(Error::NoRoom(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes those out of a room who may not be there, or have no socket there. Goes on with its
    /// deletion, if that was begun.
    ///
    /// # Errors
    /// There is no such room, or the store does not answer.
    pub async fn sync_room(&self, name: &str) -> Result<(), Error> {
        self.end_what_is_ending(name).await?;
        let (read, _) = self.cabinet.room(name, &[]).await?;
        let (room, this) = (names::room(name, &read.record.life)?, self.this_node().await?);
        for user in self.everybody(&room).await? {
            let of = [user.as_str().to_owned()];
            let (now, parts) = self.cabinet.room(name, &of).await?;
            let standing = now.record.standing(user.as_str(), &parts);
            if !standing.has_access(now.record.whitelist_only)
                || !self.is_there(&room, &user, this.as_deref()).await?
            {
                self.evict(name, &room, &user).await?;
            }
        }
        Ok(())
    }

    /// Whether any socket of a user is in a room. If so, what is left there of sockets of this node
    /// that are gone is taken out.
    async fn is_there(&self, room: &RoomId, user: &Uid, this: Option<&str>) -> Result<bool, Error> {
        let sockets = self.hub.whereabouts(user).await?;
        let sockets = sockets.into_iter().filter(|socket| socket.rooms.contains(room));
        let (gone, there): (Vec<_>, Vec<_>) = sockets
            .partition(|socket| this == Some(&*socket.node) && self.session_of(socket).is_none());
        if there.is_empty() {
            return Ok(false);
        }
        for socket in gone {
            self.hub.depart(room, socket.connection, Departure::Gone).await?;
        }
        Ok(true)
    }
}

/// Whether a room is of this protocol, or an inbox.
fn is_ours(room: &RoomId) -> bool {
    names::shown(room).is_some() || names::is_inbox(room)
}
