//! `history`: pages of a room's log, forwards and backwards, with the updates where the log ends.
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Api,
    answer::{self, Json},
    method::{self, Call, Effect, Method, Reply},
    problem::{self, Problem},
    request::{Limit, request},
};
use crate::domain::{broker::Stored, ids::RoomId, json::Object};

mod stretch;

use stretch::Stretch;

/// Entries of a page where nothing else is asked for.
const FEW: usize = 100;

request! {
    /// A stretch of a room's log.
    Request {
        /// The room.
        room: RoomId = "roomId";
        /// The index of the first message that is wanted; with `reverse`, of the one before which the page ends. Without it:
        /// from the beginning of the log; with `reverse`, from its end.
        since: Option<u64> = "since";
        /// The most messages of a page. Without it: 100.
        limit: Option<Limit> = "limit";
        /// Whether the newest come first, and pages lead to older ones.
        reverse: Option<bool> = "reverse";
    }
}

/// A page of a room's log.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryPage)]
pub(super) struct Answer<'a> {
    /// Stored messages. Recalled and erased ones are left out, and keep their index.
    messages: Vec<Logged<'a>>,
    /// The room's updates, in the order of their last writing: on the page on which the log ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    updates: Option<Vec<Updated<'a>>>,
    /// The index of the first message that the log has, or would have.
    start: u64,
    /// The `since` of the next page. Missing where this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<u64>,
    /// The index that the next stored message gets: `since` for who has read all.
    log: u64,
    /// Names the room's log: another one than before means that the log was cleared, or may have lost something. Trimming
    /// does not change it.
    epoch: u64,
}

/// A message in the log.
#[derive(Serialize, ToSchema)]
struct Logged<'a> {
    /// Its index: how many messages were stored before it in the room's whole life.
    index: u64,
    #[serde(flatten)]
    stored: Updated<'a>,
}

/// A message that is stored.
#[derive(Serialize, ToSchema)]
#[schema(as = StoredMessage)]
struct Updated<'a> {
    /// Its place in the room's order, where the store has kept that: the `n` that `publish` and
    /// webhooks tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    n: Option<u64>,
    /// When it was stored, in seconds since 1970, UTC.
    ts: u64,
    /// Whose word it is, where the message says so: a string or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = answer::User, required = false)]
    uid: Option<&'a RawValue>,
    /// The message, as it is stored.
    #[schema(value_type = Object)]
    data: Json<'a>,
}

impl<'a> Updated<'a> {
    /// Nothing where it is recalled, erased, or can't be read.
    fn read(stored: &'a Stored) -> Option<Self> {
        let data: &RawValue = serde_json::from_slice(stored.body.as_ref()?).ok()?;
        let uid = Object::parse(data.get()).and_then(|object| object.get("2"));
        Some(Updated { n: stored.n, ts: stored.at_ms / 1000, uid, data: Json(data) })
    }
}

/// Reads a page of a room's log.
pub(super) struct History;

impl Method for History {
    const NAME: &'static str = "history";
    const EFFECT: Effect = Effect::Reads;
    const SUMMARY: &'static str = "Read a room's messages";
    const ABOUT: &'static str = "Pages of the log by index, forwards or backwards. Indices are never used again: not after clearing, \
        trimming or expiry. A page ends early where its messages have 4 MiB. An unknown room has an empty log.";
    const EXAMPLE: &'static str = r#"{"roomId":"news","limit":50,"reverse":true}"#;
    type Request = Request;
    type Answer = Answer<'static>;

    async fn run(
        api: &Api,
        request: Request,
        _: Call<'_>,
    ) -> Result<Reply<Answer<'static>>, Problem> {
        let hub = &api.context.hub;
        let limit = request.limit.map_or(FEW, |limit| limit.0);
        let building = hub.begin_page().await?;
        let stretch = match request.reverse {
            Some(true) => Stretch::backwards(hub, &request.room, request.since, limit).await?,
            Some(false) | None => {
                Stretch::forwards(hub, &request.room, request.since.unwrap_or(0), limit).await?
            }
        };
        let (stretch, building) = stretch.with_updates(hub, &request.room, building, limit).await?;
        let work = tokio::task::spawn_blocking(move || {
            let body = write(&stretch)?;
            Ok(match building.done() {
                Some(share) => share.keep(body),
                None => Bytes::from(body),
            })
        });
        let body = work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a page could not be written");
            Err(problem::failure())
        });
        body.map(Reply::written)
    }
}

/// The page as JSON.
fn write(stretch: &Stretch) -> Result<Vec<u8>, Problem> {
    let logged = stretch
        .inserts
        .iter()
        .zip(stretch.first..)
        .filter_map(|(stored, index)| Some(Logged { index, stored: Updated::read(stored)? }));
    let mut messages: Vec<_> = logged.collect();
    if stretch.reverse {
        messages.reverse();
    }
    let updates = stretch.updates.as_ref();
    method::json(&Answer {
        messages,
        updates: updates.map(|updates| updates.iter().filter_map(Updated::read).collect()),
        start: stretch.start,
        next: stretch.next,
        log: stretch.log,
        epoch: stretch.epoch,
    })
}
