//! Who has lost access to a room is taken out of it.
use crate::{
    dialect::chat_service::{
        chat::{Chat, SocketAt},
        error::Error,
        incidents::{Concerning, Operation},
        names,
        notice::Notice,
        record::{RoomParts, RoomRecord},
        rights::{Cause, Concerned},
    },
    domain::{
        directory::MAX_PAGE,
        ids::{RoomId, Uid},
    },
    metrics::ChatEvent,
};

impl Chat {
    /// Takes those out who have lost access by a change that is made, on every node, in the room's
    /// order. `named`: the names that were given with it. `parts` has what is needed of them.
    ///
    /// # Errors
    /// The store does not answer: some may still be there.
    pub async fn expel(
        &self,
        name: &str,
        room: &RoomRecord,
        cause: Cause,
        named: &[String],
        parts: &RoomParts,
    ) -> Result<(), Error> {
        let id = names::room(name, &room.life)?;
        match cause.concerns(room.whitelist_only) {
            Concerned::Nobody => {}
            Concerned::Named => {
                for user in named {
                    // A name that no user can have is in no room.
                    let Ok(uid) = names::uid(user) else { continue };
                    if cause.takes_from(room.standing(user, parts)) {
                        self.evict(name, &id, &uid).await?;
                    }
                }
            }
            Concerned::Everybody => {
                for uid in self.everybody(&id).await? {
                    let is_lost = match cause {
                        Cause::Deleted => true,
                        Cause::Added(_) | Cause::Removed(_) | Cause::Mode(_) => {
                            let of = [uid.as_str().to_owned()];
                            let (now, parts) = self.cabinet.room(name, &of).await?;
                            cause.takes_from(now.record.standing(uid.as_str(), &parts))
                        }
                    };
                    if is_lost {
                        self.evict(name, &id, &uid).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Everybody who is in a room.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn everybody(&self, room: &RoomId) -> Result<Vec<Uid>, Error> {
        let (mut users, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.hub.members_page(room, after.as_deref(), MAX_PAGE).await?;
            users.extend(page.members.into_iter().map(|present| present.uid));
            after = page.next;
            if after.is_none() {
                // Whose join is being asked about is there unseen, and may be there twice.
                users.sort();
                users.dedup();
                return Ok(users);
            }
        }
    }

    /// Takes a user out of a room. Its sockets learn it where they are, by `Subscriber::removed`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn evict(&self, name: &str, room: &RoomId, user: &Uid) -> Result<(), Error> {
        let sockets: Vec<SocketAt> =
            if self.caller.calls("onLeave") { self.sockets_of(user).await? } else { Vec::new() };
        match self.hub.remove(room, user).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let about = Concerning {
                    user: user.as_str(),
                    operation: Some(Operation::TransportChannel),
                    room: Some(name),
                    id: None,
                };
                let told = error.to_string();
                self.tell_incident(ChatEvent::TransportConsistencyFailure, &told, &about);
                return Err(error.into());
            }
        }
        self.note(room, user).await;
        for socket in &sockets {
            if socket.rooms.contains(room) {
                self.tell_leave(user, &socket.socket, name, 0).await;
            }
        }
        self.echo(user.as_str(), &Notice::RoomAccessRemoved { room: name }, None).await;
        Ok(())
    }
}
