//! `publish` and `broadcast`: a message into a room, or into several, as if a member had sent it.
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Api, batch,
    key::{self, Key},
    method::{self, Call, Done, Keyed, Method, Ran, Reply},
    problem::{self, Issue, Kind, Problem},
    request::{Place, Raw, request},
};
use crate::domain::{
    broker::{Audience, Entry, Page, PageLimit},
    error::StoreError,
    hub::Hub,
    ids::{RoomId, Uid},
    message::{
        Message,
        fields::{self, Unfit},
    },
    receipt::Receipt,
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
    /// Names the room's log: another one than before means that the log was cleared, or may have lost something. Trimming
    /// does not change it.
    pub(super) epoch: u64,
    /// Users who were in the room, on all nodes, when it was sent, dummies and held places too. 0: nobody was there.
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
    const KEYED: Keyed = Keyed::Stored;
    const BATCHED: bool = true;
    const EXAMPLE: &'static str =
        r#"{"roomId":"news","message":{"storage":0,"text":"hello"},"uid":"editor"}"#;
    type Request = Request;
    type Answer = Published;

    async fn run(api: &Api, request: Request, call: Call<'_>) -> Result<Reply<Published>, Problem> {
        let message = complete(api, &request.message, request.uid.as_ref(), &call.at)?;
        let asked = call.key.map(|key| {
            let said = Said::of(&request.message, request.uid.as_ref());
            Asked { key, digest: said.digest(&request.room) }
        });
        let (published, replayed) = send(api, &request.room, message, asked.as_ref()).await?;
        Ok(Reply::of(&published)?.replayed(replayed))
    }
}

request! {
    /// A message for several rooms.
    BroadcastRequest {
        /// The rooms.
        rooms: Vec<RoomId> = "roomIds";
        /// The message, as of `publish`.
        message: Raw = "message";
        /// Whose word it is. Without it: `system`.
        uid: Option<Uid> = "uid";
    }
}

/// What became of a broadcast.
#[derive(ToSchema)]
#[schema(as = BroadcastResults)]
#[allow(dead_code, reason = "it is documented here, and written by `batch::write`")]
pub(super) struct Answer {
    /// One for each room, in the order of `roomIds`; `result` is what `publish` answers.
    results: Vec<batch::Outcome>,
}

/// Sends a message into several rooms.
pub(super) struct Broadcast;

impl Method for Broadcast {
    const NAME: &'static str = "broadcast";
    const SUMMARY: &'static str = "Send a message into several rooms";
    const ABOUT: &'static str = "Up to 1,000 rooms, in no order among them. A room that fails stops no other one: its result is a problem.";
    const EXAMPLE: &'static str =
        r#"{"roomIds":["news","sport"],"message":{"storage":0,"text":"hello"}}"#;
    const KEYED: Keyed = Keyed::Stored;
    type Request = BroadcastRequest;
    type Answer = Answer;

    async fn run(
        api: &Api,
        request: BroadcastRequest,
        call: Call<'_>,
    ) -> Result<Reply<Answer>, Problem> {
        let message = complete(api, &request.message, request.uid.as_ref(), &call.at)?;
        let message = &message;
        // Read once, however many rooms there are.
        let said = call.key.map(|_| Said::of(&request.message, request.uid.as_ref()));
        let said = &said;
        let sent = request.rooms.iter().enumerate().map(|(index, room)| async move {
            let key = call.key.map(|key| key.item(index));
            let asked = key.as_ref().zip(said.as_ref());
            let asked = asked.map(|(key, said)| Asked { key, digest: said.digest(room) });
            let (published, replayed) = send(api, room, message.clone(), asked.as_ref()).await?;
            Ok(Done { body: method::json(&published)?.into(), replayed })
        });
        let sent: Vec<_> = sent.collect(); // none has begun
        let ended: Vec<Ran> = stream::iter(sent).buffered(TOGETHER).collect().await;
        Ok(batch::write("results", "/v1/broadcast#/roomIds/", ended))
    }
}

/// Rooms of a broadcast that are sent to at once.
const TOGETHER: usize = 32;

/// The message as members get it.
fn complete(
    api: &Api,
    message: &Raw,
    uid: Option<&Uid>,
    at: &Place<'_>,
) -> Result<Message, Problem> {
    let uid = uid.map_or(SYSTEM.into(), Uid::json);
    let max = api.context.max_message;
    fields::complete(message.0.get(), &uid, max).map_err(|unfit| refused(unfit, max, at))
}

/// What tells a message from others with the same key, but for its room.
struct Said {
    message: [u8; 32],
    uid: String,
}

impl Said {
    fn of(message: &Raw, uid: Option<&Uid>) -> Self {
        let uid = uid.map_or("null".into(), Uid::json).into_owned();
        Said { message: key::digest("message", &message.0), uid }
    }

    fn digest(&self, room: &RoomId) -> [u8; 32] {
        let head = format!("publish\n{room}\n{}\n", self.uid);
        Sha256::new_with_prefix(head.as_bytes()).chain_update(self.message).finalize().into()
    }
}

/// A message with a key.
struct Asked<'a> {
    key: &'a Key,
    digest: [u8; 32],
}

/// What is kept with a message that has a key, and belongs to its answer.
#[derive(Serialize, Deserialize)]
struct Note {
    members: u64,
    /// Nothing where the log was empty: it had no name yet.
    epoch: Option<u64>,
}

/// Sends a message, and tells whether it was sent before, with the same key.
async fn send(
    api: &Api,
    room: &RoomId,
    message: Message,
    asked: Option<&Asked<'_>>,
) -> Result<(Published, bool), Problem> {
    let hub = &api.context.hub;
    let (members, log) = tokio::join!(hub.members_page(room, None, 1), head(hub, room));
    let (members, log) = (members?.total, log?);
    let note = Note { members, epoch: (log.log_length > 0).then_some(log.epoch) };
    let receipt = match asked {
        None => None,
        Some(Asked { key, digest }) => Some(Arc::new(Receipt {
            key: key.id().into(),
            digest: *digest,
            note: method::json(&note)?.into(),
        })),
    };
    let bytes = message.body.len();
    let entry = Entry::Message { from: None, audience: Audience::All, message, receipt };
    let (position, note, replayed) = match hub.publish(room, entry, bytes).await {
        Outcome::Done(position) => (position, note, false),
        Outcome::Replayed { position, note } => {
            let note = serde_json::from_slice(&note).map_err(|error| {
                tracing::error!(%error, "the note of a receipt can't be read");
                problem::failure()
            })?;
            (position, note, true)
        }
        Outcome::Reused => return Err(key::reused()),
        Outcome::Full => {
            return Err(Problem::new(Kind::RoomFull, "the room has no place for this update"));
        }
        Outcome::Unavailable => return Err(problem::unavailable()),
        // No insert of this API has a key in its room, so there is none that it could repeat.
        Outcome::Unknown | Outcome::Duplicate => return Err(problem::unknown()),
    };
    let epoch = match note.epoch {
        Some(epoch) => epoch,
        // It is stored: whoever is told that nothing was done would do it again.
        None => head(hub, room).await.map_err(|_| problem::unknown())?.epoch,
    };
    let published =
        Published { n: position.n, index: position.index, epoch, members: note.members };
    Ok((published, replayed))
}

/// The room's log, without anything of it.
async fn head(hub: &Hub, room: &RoomId) -> Result<Page, StoreError> {
    hub.page(room, u64::MAX, PageLimit { entries: 1, bytes: 0 }).await
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
