//! `members`, `rooms`, `clear` and `trim`: who is in a room, which rooms there are, and the end of a log
//! or of a part of it.
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    answer::User,
    method::{Call, Effect, Keyed, Method, Reply},
    problem::{Issue, Problem},
    request::{Limit, Text, request},
};
use crate::domain::{
    broker::{PageLimit, Trim},
    error::StoreError,
    ids::RoomId,
};

/// Entries of a page where nothing else is asked for.
const FEW: usize = 100;

request! {
    /// A page of a room's users.
    MembersRequest {
        /// The room.
        room: RoomId = "roomId";
        /// `next` of the page before.
        cursor: Option<Text> = "cursor";
        /// The most users of a page. Without it: 100.
        limit: Option<Limit> = "limit";
    }
}

/// A page of a room's users.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MembersPage)]
pub(super) struct Present {
    /// Users, in the order of their joining. Who is there both as a dummy and not is listed twice.
    users: Vec<Member>,
    /// Users in the room, on all pages.
    total: u64,
    /// The `cursor` of the next page. Missing where this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A user in a room.
#[derive(Debug, Serialize, ToSchema)]
struct Member {
    #[schema(inline)]
    uid: User,
    /// Whether it is there as a dummy: it hears everything and is seen by nobody.
    dummy: bool,
    /// Whether its place is held: its session was kicked out by a newer one, which has not joined yet.
    held: bool,
    /// Its connections in the room, on all nodes.
    connections: u64,
}

/// Lists who is in a room.
pub(super) struct Members;

impl Method for Members {
    const NAME: &'static str = "members";
    const EFFECT: Effect = Effect::Reads;
    const SUMMARY: &'static str = "List who is in a room";
    const ABOUT: &'static str = "Users on all nodes, dummies and held places too, in pages that nobody who stays is missing from, \
        whoever comes and goes meanwhile. Nobody is there: the list is empty.";
    const EXAMPLE: &'static str = r#"{"roomId":"news","limit":100}"#;
    type Request = MembersRequest;
    type Answer = Present;

    async fn run(
        api: &Api,
        request: MembersRequest,
        _: Call<'_>,
    ) -> Result<Reply<Present>, Problem> {
        let (limit, after) = (request.limit.map_or(FEW, |limit| limit.0), request.cursor);
        let after = after.as_ref().map(|cursor| &*cursor.0);
        let page = api.context.hub.members_page(&request.room, after, limit).await?;
        let users = page.members.into_iter().map(|member| Member {
            uid: User(member.uid),
            dummy: member.hidden,
            held: member.held,
            connections: member.connections,
        });
        Reply::of(&Present { users: users.collect(), total: page.total, next: page.next })
    }
}

request! {
    /// A page of names.
    PageRequest {
        /// `next` of the page before.
        cursor: Option<Text> = "cursor";
        /// The most entries of a page. Without it: 100.
        limit: Option<Limit> = "limit";
        /// What the names begin with.
        prefix: Option<Text> = "prefix";
    }
}

impl PageRequest {
    /// Prefix, cursor and limit, as the core takes them.
    pub(super) fn names(&self) -> (&str, Option<&str>, usize) {
        let prefix = self.prefix.as_ref().map_or("", |prefix| &*prefix.0);
        let limit = self.limit.map_or(FEW, |limit| limit.0);
        (prefix, self.cursor.as_ref().map(|cursor| &*cursor.0), limit)
    }
}

/// A page of the rooms with anybody in them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoomsPage)]
pub(super) struct Occupied {
    /// Rooms, sorted by name.
    rooms: Vec<OccupiedRoom>,
    /// The `cursor` of the next page. Missing where this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A room with somebody in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OccupiedRoom {
    /// The room.
    room_id: String,
    /// Connections in it, on all nodes; dummies and held places too.
    members: u64,
}

/// Lists the rooms with anybody in them.
pub(super) struct Rooms;

impl Method for Rooms {
    const NAME: &'static str = "rooms";
    const EFFECT: Effect = Effect::Reads;
    const SUMMARY: &'static str = "List the rooms with anybody in them";
    const ABOUT: &'static str = "Rooms of socket.io's clients, on all nodes, by name. Rooms that have messages and nobody in them are not listed.";
    const EXAMPLE: &'static str = r#"{"prefix":"chat:","limit":100}"#;
    type Request = PageRequest;
    type Answer = Occupied;

    async fn run(api: &Api, request: PageRequest, _: Call<'_>) -> Result<Reply<Occupied>, Problem> {
        let (prefix, after, limit) = request.names();
        let page = api.context.hub.rooms_page(prefix, after, limit).await?;
        let rooms = page.rooms.into_iter();
        let rooms = rooms
            .map(|(room, members)| OccupiedRoom { room_id: room.as_str().to_owned(), members });
        Reply::of(&Occupied { rooms: rooms.collect(), next: page.next })
    }
}

request! {
    /// A room.
    RoomRequest {
        /// The room.
        room: RoomId = "roomId";
    }
}

/// What became of a log that was cut.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    /// Messages that were removed: of `clear` those of the log; of `trim` updates too.
    removed: u64,
    /// The index of the first message that the log has from now on, or would have.
    start: u64,
}

/// Empties a room's log.
pub(super) struct Clear;

impl Method for Clear {
    const NAME: &'static str = "clear";
    const SUMMARY: &'static str = "Remove all messages of a room";
    const ABOUT: &'static str = "The log and the updates are gone when the answer is there. Who is in the room is told, and stays. \
        Indices go on: `start` is where the next message will be.";
    const KEYED: Keyed = Keyed::Kept;
    const BATCHED: bool = true;
    const EXAMPLE: &'static str = r#"{"roomId":"news"}"#;
    type Request = RoomRequest;
    type Answer = Removed;

    async fn run(api: &Api, request: RoomRequest, _: Call<'_>) -> Result<Reply<Removed>, Problem> {
        let hub = &api.context.hub;
        let only = PageLimit { entries: 1, bytes: 0 };
        let before = hub.page(&request.room, u64::MAX, only).await?.base;
        hub.clear(&request.room).await?;
        let after = hub.page(&request.room, u64::MAX, only).await;
        let start = after.map_err(StoreError::behind_a_change)?.base;
        Reply::of(&Removed { removed: start.saturating_sub(before), start })
    }
}

request! {
    /// How much of a log is to go. Exactly one of `before`, `keep` and `olderThan` says so.
    TrimRequest {
        /// The room.
        room: RoomId = "roomId";
        /// Messages with a smaller index than this.
        before: Option<u64> = "before";
        /// All messages but the newest so many.
        keep: Option<u64> = "keep";
        /// Messages that are older than this, in seconds, and updates that were last written longer ago.
        older_than: Option<u64> = "olderThan";
    }
}

/// Removes the oldest messages of a room.
pub(super) struct Cut;

impl Method for Cut {
    const NAME: &'static str = "trim";
    const SUMMARY: &'static str = "Remove the oldest messages of a room";
    const ABOUT: &'static str = "Exactly one of `before`, `keep` and `olderThan` says which. Nobody reads them any more when the answer is there. \
        The indices of the others stay as they are.";
    const EXAMPLE: &'static str = r#"{"roomId":"news","keep":1000}"#;
    const KEYED: Keyed = Keyed::Kept;
    const BATCHED: bool = true;
    type Request = TrimRequest;
    type Answer = Removed;

    async fn run(
        api: &Api,
        request: TrimRequest,
        call: Call<'_>,
    ) -> Result<Reply<Removed>, Problem> {
        let trim = match (request.before, request.keep, request.older_than) {
            (Some(index), None, None) => Trim::Before(index),
            (None, Some(count), None) => Trim::Keep(count),
            (None, None, Some(seconds)) => Trim::OlderThan(Duration::from_secs(seconds)),
            _ => {
                let detail = "it has to have exactly one of before, keep, olderThan".to_owned();
                return Err(Problem::invalid(vec![Issue { pointer: call.at.pointer(), detail }]));
            }
        };
        let trimmed = api.context.hub.trim(&request.room, trim).await?;
        Reply::of(&Removed { removed: trimmed.removed, start: trimmed.start })
    }
}
