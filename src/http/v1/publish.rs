//! `publish` and `broadcast`: a message into a room, or into several, as if a member had sent it.
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Api, batch,
    key::{self, Key},
    method::{self, Call, Done, Effect, Keyed, Method, Ran, Reply},
    problem::{self, Issue, Kind, Problem},
    request::{Place, Raw, request},
};
use crate::domain::{
    broker::{Audience, Entry, Page, PageLimit, Position},
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
    const EFFECT: Effect = Effect::Publishes;
    const SUMMARY: &'static str = "Send a message into a room";
    const ABOUT: &'static str = "The message is completed, stored and delivered like the `msg` of a member, and everybody in the \
        room gets it, connections of `uid` too. When the answer is there it is stored. That nobody is in the room is no error: `members` is 0 then.";
    const PROBLEMS: &'static [Kind] = &[Kind::RoomFull];
    const KEYED: Keyed = Keyed::Stored;
    const BATCHED: bool = true;
    // What is in a room's outbox is sent.
    const GOES_ON: bool = true;
    const EXAMPLE: &'static str =
        r#"{"roomId":"news","message":{"storage":0,"text":"hello"},"uid":"editor"}"#;
    type Request = Request;
    type Answer = Published;

    async fn run(api: &Api, request: Request, call: Call<'_>) -> Result<Reply<Published>, Problem> {
        let (room, outgoing) = Outgoing::of(api, request, &call)?;
        let (published, replayed) = send(api, &room, outgoing).await?;
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
    const EFFECT: Effect = Effect::Publishes;
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
            let once = call.key.zip(said.as_ref());
            let once = once.map(|(key, said)| Once::new(&key.item(index), said.digest(room)));
            done(send(api, room, Outgoing { message: message.clone(), once }).await)
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

/// What makes of a message one that is published once.
struct Once {
    id: String,
    digest: [u8; 32],
}

impl Once {
    fn new(key: &Key, digest: [u8; 32]) -> Self {
        Once { id: key.id(), digest }
    }
}

/// A message that was read and completed, on its way into a room.
pub(super) struct Outgoing {
    message: Message,
    once: Option<Once>,
}

impl Outgoing {
    /// That of a request, and its room.
    pub(super) fn of(
        api: &Api,
        request: Request,
        call: &Call<'_>,
    ) -> Result<(RoomId, Self), Problem> {
        let Request { room, message, uid } = request;
        let completed = complete(api, &message, uid.as_ref(), &call.at)?;
        let once =
            call.key.map(|key| Once::new(key, Said::of(&message, uid.as_ref()).digest(&room)));
        Ok((room, Outgoing { message: completed, once }))
    }

    fn into_entry(self, note: &Bytes) -> (Entry, usize) {
        let Outgoing { message, once } = self;
        let receipt = once.map(|Once { id, digest }| {
            Arc::new(Receipt { key: id.into(), digest, note: note.clone() })
        });
        let bytes = message.body.len();
        (Entry::Message { from: None, audience: Audience::All, message, receipt }, bytes)
    }
}

/// What is kept with a message that has a key, and belongs to its answer besides its position.
#[derive(Serialize, Deserialize)]
struct Note {
    members: u64,
    /// Of notes of earlier builds: later ones have it in the position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
}

/// What became of a message: the answer, and whether it was sent before, with the same key.
pub(super) type Sent = Result<(Published, bool), Problem>;

/// What became of a message, as it is written.
pub(super) fn done(sent: Sent) -> Ran {
    let (published, replayed) = sent?;
    Ok(Done { body: method::json(&published)?.into(), replayed })
}

/// Sends a message.
async fn send(api: &Api, room: &RoomId, outgoing: Outgoing) -> Sent {
    let sent = send_all(api, room, vec![outgoing]).await.pop();
    sent.unwrap_or_else(|| Err(problem::failure()))
}

/// Sends messages into a room, one behind the other, with one call of the store where that is
/// possible.
pub(super) async fn send_all(api: &Api, room: &RoomId, outgoing: Vec<Outgoing>) -> Vec<Sent> {
    let (hub, all) = (&api.context.hub, outgoing.len());
    let begun = async {
        let members = hub.members_page(room, None, 1).await?.total;
        let has_keys = outgoing.iter().any(|outgoing| outgoing.once.is_some());
        let note = if has_keys { method::json(&Note { members, epoch: None })? } else { vec![] };
        Ok::<_, Problem>((members, Bytes::from(note)))
    };
    let (members, note) = match begun.await {
        Ok(begun) => begun,
        Err(problem) => return vec![Err(problem); all],
    };
    let entries = outgoing.into_iter().map(|outgoing| outgoing.into_entry(&note)).collect();
    let mut sent = Vec::with_capacity(all);
    for outcome in hub.publish_all(room, entries).await {
        sent.push(match placed(outcome, members) {
            Ok(placed) => placed.published(hub, room).await,
            Err(problem) => Err(problem),
        });
    }
    sent
}

/// Where a message is, and what else its answer tells.
struct Placed {
    position: Position,
    note: Note,
    replayed: bool,
}

fn placed(outcome: Outcome, members: u64) -> Result<Placed, Problem> {
    match outcome {
        Outcome::Done(position) => {
            Ok(Placed { position, note: Note { members, epoch: None }, replayed: false })
        }
        Outcome::Replayed { position, note } => {
            let note = serde_json::from_slice(&note).map_err(|error| {
                tracing::error!(%error, "the note of a receipt can't be read");
                problem::failure()
            })?;
            Ok(Placed { position, note, replayed: true })
        }
        Outcome::Reused => Err(key::reused()),
        Outcome::Full => Err(Problem::new(Kind::RoomFull, "the room has no place for this update")),
        Outcome::Unavailable => Err(problem::unavailable()),
        // No insert of this API has a key in its room, so there is none that it could repeat.
        Outcome::Unknown | Outcome::Duplicate => Err(problem::unknown()),
    }
}

impl Placed {
    async fn published(self, hub: &Hub, room: &RoomId) -> Sent {
        let Placed { position, note, replayed } = self;
        let epoch = match position.epoch.or(note.epoch) {
            Some(epoch) => epoch,
            // It is delivered past a store that is out, or its receipt is of an earlier build.
            // Whoever is told that nothing was done would do it again.
            None => head(hub, room).await.map_err(|_| problem::unknown())?.epoch,
        };
        let (n, index, members) = (position.n, position.index, note.members);
        Ok((Published { n, index, epoch, members }, replayed))
    }
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
