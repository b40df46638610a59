//! Events that the server API sends: to the sockets in a room, or to those of a user.
//!
//! A room's publications leave one socket out by its connection, which only the node knows that it
//! is on. So that node is asked to send them.
use bytes::Bytes;

use super::{
    super::{
        chat::Chat,
        error::Error,
        message,
        names::{self, Channel},
        neighbour::{File, Question, Reply},
        value::{Value, quoted},
    },
    execute::unmistakable,
};
use crate::domain::ids::RoomId;

/// An event, ready to be sent.
pub(super) struct Sent {
    channel: String,
    body: Bytes,
}

impl Sent {
    /// An event for a channel. `position`: where its name stands among the fields.
    ///
    /// # Errors
    /// It is one of those that socket.io keeps for itself.
    pub fn new(
        channel: String,
        event: &str,
        args: Vec<Value>,
        position: usize,
    ) -> Result<Self, Error> {
        if names::is_reserved(event) {
            return Err(super::bad(position, quoted(event)));
        }
        Ok(Sent { channel, body: message::event(event, &unmistakable(args)) })
    }
}

impl Chat {
    /// Sends an event to all of a channel, or to all but one socket. A channel that is not there is
    /// no error, nor is a socket.
    ///
    /// # Errors
    /// The store does not answer, or a node that may have the socket does not.
    pub(super) async fn send(&self, sent: Sent, except: Option<&str>) -> Result<(), Error> {
        let Some(room) = self.room_of(&sent.channel).await? else { return Ok(()) };
        match except {
            None => self.tell(&room, sent.body, None).await,
            Some(id) => self.send_except(&room, sent.body, id).await,
        }
    }

    /// The core's room that a channel is.
    async fn room_of(&self, channel: &str) -> Result<Option<RoomId>, Error> {
        match Channel::read(channel) {
            Channel::User(user) => Ok(names::inbox(user).ok()),
            Channel::Room(room) => match self.cabinet.room(room, &[]).await {
                Ok((read, _)) => names::room(room, &read.record.life).map(Some),
                Err(Error::NoRoom(_)) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    async fn send_except(&self, room: &RoomId, body: Bytes, id: &str) -> Result<(), Error> {
        if let Some(socket) = self.sessions.find(id) {
            return self.tell(room, body, Some(socket.connection())).await;
        }
        let question = Question::Send {
            room: room.as_str().to_owned(),
            body: File(body.clone()),
            except: id.to_owned(),
        };
        let mut failed = None;
        for answer in self.ask_others(&question).await? {
            match answer {
                Ok(Some(Reply::Done)) => return Ok(()),
                Ok(Some(Reply::Failed(failure))) => failed = Some(failure.into()),
                Ok(
                    None
                    | Some(
                        Reply::Missing
                        | Reply::Unknown
                        | Reply::Results(_)
                        | Reply::Handshake(_)
                        | Reply::Sockets { .. },
                    ),
                ) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            // It may have been sent, or may be yet.
            Some(error) => Err(error),
            None => self.tell(room, body, None).await,
        }
    }

    /// Sends what another node asks this one to send, if the socket that does not get it is here.
    pub async fn send_for_another(&self, room: &str, body: Bytes, except: &str) -> Reply {
        let (Ok(room), Some(socket)) = (RoomId::stored(room), self.sessions.find(except)) else {
            return Reply::Missing;
        };
        match self.tell(&room, body, Some(socket.connection())).await {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Failed(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_socketio_keeps_for_itself_is_not_sent() {
        let sent = |event: &str| Sent::new("r".into(), event, Vec::new(), 2);
        assert_eq!(&sent("news").unwrap().body[..], br#"["news"]"#);
        let refused = Error::BadArgument { position: 2, value: r#""disconnect""#.into() };
        assert_eq!(sent("disconnect").err(), Some(refused));
    }
}
