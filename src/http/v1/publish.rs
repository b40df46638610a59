//! `publish`: a message into a room, as if a member had sent it.
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api, answer,
    method::{Call, Method, Reply},
    problem::{self, Issue, Kind, Problem},
    request::{Place, Raw, request},
};
use crate::domain::{
    broker::{Audience, Entry},
    ids::{RoomId, Uid},
    message::fields::{self, Unfit},
    subscriber::Outcome,
};

/// Whose word it is where nobody is named.
const SYSTEM: &str = "\"system\"";

request! {
    /// A message for a room.
    Request {
        /// The room.
        room: RoomId = "roomId";
        /// The message, as a member would send it: an object of any fields. `storage` (or `s`) says what becomes of it: 0
        /// it is stored in the log, 1 it is stored and replaces the one with the same `msgId` (or `1`), 2 it is only delivered.
        message: Raw = "message";
        /// Whose word it is. Without it: `system`.
        uid: Option<Uid> = "uid";
    }
}

/// A message that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Published {
    /// Its place in the room's order.
    pub(super) n: u64,
    /// Its index in the room's log, where it is stored there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) index: Option<u64>,
    /// Which life of the room's log this is: another one than before means that the log may have been cleared or lost
    /// something since then.
    pub(super) epoch: String,
    /// Connections that were in the room, on all nodes, when it was sent; held places are among them. 0: nobody was there.
    pub(super) members: u64,
}

/// Sends a message into a room.
pub(super) struct Publish;

impl Method for Publish {
    const NAME: &'static str = "publish";
    const SUMMARY: &'static str = "Send a message into a room";
    const ABOUT: &'static str = "The message is completed, stored and delivered like the `msg` of a member, and everybody in the \
        room gets it, connections of `uid` too. When the answer is there it is stored. That nobody is in the room is no error: `members` is 0 then.";
    const PROBLEMS: &'static [Kind] = &[Kind::RoomFull];
    type Request = Request;
    type Answer = Published;

    async fn run(api: &Api, request: Request, call: Call<'_>) -> Result<Reply<Published>, Problem> {
        Reply::of(&publish(api, request, &call.at).await?)
    }
}

async fn publish(api: &Api, request: Request, at: &Place<'_>) -> Result<Published, Problem> {
    let hub = &api.context.hub;
    let uid = request.uid.as_ref().map_or(SYSTEM.into(), Uid::json);
    let max = api.context.max_message;
    let message = fields::complete(request.message.0.get(), &uid, max)
        .map_err(|unfit| refused(unfit, max, at))?;
    let members = hub.members(&request.room).await?.len() as u64;
    let bytes = message.body.len();
    let entry = Entry::Message { from: None, audience: Audience::All, message };
    let position = match hub.publish(&request.room, entry, bytes).await {
        Outcome::Done(position) => position,
        Outcome::Full => {
            return Err(Problem::new(Kind::RoomFull, "the room has no place for this update"));
        }
        Outcome::Unavailable => return Err(problem::unavailable()),
        // It has no key, so there is none that it could repeat.
        Outcome::Unknown | Outcome::Duplicate => return Err(problem::unknown()),
    };
    let epoch = answer::epoch(hub.edition(&request.room).await?);
    Ok(Published { n: position.n, index: position.index, epoch, members })
}

/// Why a message can't be one.
fn refused(unfit: Unfit, max: usize, at: &Place<'_>) -> Problem {
    let detail = match unfit {
        Unfit::NotAnObject => "it is not an object".to_owned(),
        Unfit::TooDeep => format!("it is nested deeper than {} levels", fields::MAX_DEPTH),
        Unfit::TooLarge => {
            let detail = format!("the message has more than {max} UTF-16 units");
            return Problem::new(Kind::TooLarge, detail);
        }
    };
    let pointer = Place::Field(at, "message").pointer();
    Problem::invalid(vec![Issue { pointer, detail }])
}
