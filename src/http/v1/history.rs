//! `history`: pages of a room's log, forwards and backwards, with the updates where the log ends.
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Api,
    answer::{self, Json},
    method::{self, Call, Method, Reply},
    problem::{self, Kind, Problem},
    request::{Limit, request},
};
use crate::domain::{
    broker::{Page, PageLimit, Stored},
    history::Building,
    hub::Hub,
    ids::RoomId,
    json::Object,
};

/// Entries of a page where nothing else is asked for.
const FEW: usize = 100;
/// Bytes of messages on a page. One is there however large it is.
const BYTES: usize = 4 << 20;
/// How often a page is read anew because the log's beginning moves.
const TRIES: usize = 8;

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
        Some(Updated { ts: stored.at_ms / 1000, uid, data: Json(data) })
    }
}

/// Reads a page of a room's log.
pub(super) struct History;

impl Method for History {
    const NAME: &'static str = "history";
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
            let body = stretch.write()?;
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

/// What was read of a log.
struct Stretch {
    inserts: Vec<Stored>,
    /// Index of the first of `inserts`.
    first: u64,
    updates: Option<Vec<Stored>>,
    start: u64,
    log: u64,
    /// Index of the log's offset 0.
    origin: u64,
    epoch: u64,
    reverse: bool,
    next: Option<u64>,
}

impl Stretch {
    /// What a page has that was asked for from this offset on.
    fn of(page: Page, from: u64) -> Self {
        let origin = page.origin();
        Stretch {
            first: origin.saturating_add(page.first(from).min(page.end())),
            start: page.base,
            log: origin.saturating_add(page.end()),
            origin,
            epoch: page.epoch,
            inserts: page.entries,
            updates: None,
            reverse: false,
            next: None,
        }
    }

    /// The index behind the last insert here.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.inserts.len() as u64)
    }

    /// From this index on, or from the log's beginning if that is behind it.
    async fn forwards(hub: &Hub, room: &RoomId, since: u64, limit: usize) -> Result<Self, Problem> {
        let mut origin = 0;
        for _ in 0..TRIES {
            let from = since.saturating_sub(origin);
            let page = hub.page(room, from, PageLimit { entries: limit, bytes: BYTES }).await?;
            if page.origin() == origin {
                let full = page.full;
                let mut stretch = Self::of(page, from);
                stretch.next = full.then_some(stretch.end());
                return Ok(stretch);
            }
            origin = page.origin();
        }
        Err(moving())
    }

    /// Up to this index, or to the log's end.
    async fn backwards(
        hub: &Hub,
        room: &RoomId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Self, Problem> {
        let mut wanted = limit as u64;
        let mut seen = hub.page(room, u64::MAX, PageLimit { entries: 1, bytes: 0 }).await?;
        // Fewer and fewer, where they are large.
        for _ in 0..TRIES + 10 {
            let (origin, start) = (seen.origin(), seen.base);
            let log = origin.saturating_add(seen.end());
            let end = before.unwrap_or(u64::MAX).min(log).max(start);
            let first = end.saturating_sub(wanted).max(start);
            let length = end - first;
            if length == 0 {
                let mut stretch = Self::of(Page { entries: Vec::new(), ..seen }, first - origin);
                stretch.reverse = true;
                return Ok(stretch);
            }
            let entries = usize::try_from(length).unwrap_or(limit);
            let from = first - origin;
            let page = hub.page(room, from, PageLimit { entries, bytes: BYTES }).await?;
            let same = page.origin() == origin && page.base <= first && page.end() >= seen.end();
            if !same {
                seen = Page { entries: Vec::new(), ..page };
            } else if (page.entries.len() as u64) < length {
                // More bytes than a page may have: those at the end are wanted, so fewer are read.
                wanted = (length / 2).max(1);
            } else {
                let mut stretch = Self::of(page, from);
                (stretch.reverse, stretch.log) = (true, log);
                stretch.next = (stretch.first > stretch.start).then_some(stretch.first);
                return Ok(stretch);
            }
        }
        Err(moving())
    }

    /// Where it has the log's end: with the updates, and what was stored meanwhile.
    async fn with_updates(
        mut self,
        hub: &Hub,
        room: &RoomId,
        building: Building,
        limit: usize,
    ) -> Result<(Self, Building), Problem> {
        if self.end() < self.log || (!self.reverse && self.next.is_some()) {
            return Ok((self, building));
        }
        let from = self.end() - self.origin;
        let history = hub.history(building, room, from, 2).await?;
        if history.start > from {
            return Err(moving());
        }
        let mut entries = history.entries;
        let more = usize::try_from(history.log.saturating_sub(from)).unwrap_or(usize::MAX);
        let updates = entries.split_off(more.min(entries.len()));
        if self.reverse {
            // The page stays as it is: what is newer is on no page of these.
            self.updates = (!history.next).then_some(updates);
            return Ok((self, history.building));
        }
        let place = limit - self.inserts.len().min(limit);
        let is_end = !history.next && more <= place;
        self.log = self.log.max(self.end() + more as u64);
        self.inserts.extend(entries.into_iter().take(place));
        self.next = (!is_end).then_some(self.end());
        self.updates = is_end.then_some(updates);
        Ok((self, history.building))
    }

    fn write(self) -> Result<Vec<u8>, Problem> {
        let logged =
            self.inserts.iter().zip(self.first..).filter_map(|(stored, index)| {
                Some(Logged { index, stored: Updated::read(stored)? })
            });
        let mut messages: Vec<_> = logged.collect();
        if self.reverse {
            messages.reverse();
        }
        let updates = self.updates.as_ref();
        method::json(&Answer {
            messages,
            updates: updates.map(|updates| updates.iter().filter_map(Updated::read).collect()),
            start: self.start,
            next: self.next,
            log: self.log,
            epoch: self.epoch,
        })
    }
}

/// The log was trimmed or cleared each time that it was read.
fn moving() -> Problem {
    Problem::new(Kind::Unavailable, "the room's log is changing too fast")
}
