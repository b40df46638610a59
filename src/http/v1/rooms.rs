//! `members` and `clear`: who is in a room, and the end of its log.
use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    answer::User,
    method::{Call, Method, Reply},
    problem::Problem,
    request::{Limit, Text, request},
};
use crate::domain::{broker::PageLimit, ids::RoomId, presence::Present};

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

/// A page of a room's users, by uid.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MembersPage {
    /// Users, sorted by the text of their uid.
    users: Vec<Member>,
    /// Users in the room.
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
    /// Whether it is there as a dummy only: it hears everything and is seen by nobody.
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
    const SUMMARY: &'static str = "List who is in a room";
    const ABOUT: &'static str = "Users on all nodes, by uid, dummies and held places too. Nobody is there: the list is empty.";
    const EXAMPLE: &'static str = r#"{"roomId":"news","limit":100}"#;
    type Request = MembersRequest;
    type Answer = MembersPage;

    async fn run(
        api: &Api,
        request: MembersRequest,
        _: Call<'_>,
    ) -> Result<Reply<MembersPage>, Problem> {
        let present = api.context.hub.members(&request.room).await?;
        let limit = request.limit.map_or(FEW, |limit| limit.0);
        let after = request.cursor.map(|cursor| cursor.0);
        Reply::of(&page(present, after.as_deref(), limit))
    }
}

/// The page of these that begins behind a uid.
fn page(present: Vec<Present>, after: Option<&str>, limit: usize) -> MembersPage {
    let mut users: BTreeMap<String, Member> = BTreeMap::new();
    for Present { uid, hidden, held, connections } in present {
        let key = uid.as_str().to_owned();
        let new = || Member { uid: User(uid), dummy: true, held: true, connections: 0 };
        let member = users.entry(key).or_insert_with(new);
        member.dummy &= hidden;
        member.held &= held;
        member.connections += connections;
    }
    let total = users.len() as u64;
    let mut rest = users.into_iter().filter(|(uid, _)| after.is_none_or(|after| &**uid > after));
    let page: Vec<(String, Member)> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| Some(page.last()?.0.clone()));
    MembersPage { users: page.into_iter().map(|(_, member)| member).collect(), total, next }
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
pub(super) struct Cut {
    /// Stored messages that were removed from the log; updates are not among them.
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
    const BATCHED: bool = true;
    const EXAMPLE: &'static str = r#"{"roomId":"news"}"#;
    type Request = RoomRequest;
    type Answer = Cut;

    async fn run(api: &Api, request: RoomRequest, _: Call<'_>) -> Result<Reply<Cut>, Problem> {
        let hub = &api.context.hub;
        let only = PageLimit { entries: 1, bytes: 0 };
        let before = hub.page(&request.room, u64::MAX, only).await?.base;
        hub.clear(&request.room).await?;
        let start = hub.page(&request.room, u64::MAX, only).await?.base;
        Reply::of(&Cut { removed: start.saturating_sub(before), start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Uid;

    fn present(uid: &str, hidden: bool, held: bool) -> Present {
        let connections = u64::from(!held);
        Present { uid: Uid::text(uid).unwrap(), hidden, held, connections }
    }

    #[test]
    fn pages_are_by_uid_and_count_connections() {
        let all = || {
            vec![
                present("zoe", false, false),
                present("ann", true, false),
                present("ben", false, true),
                present("zoe", true, false),
            ]
        };
        let first = page(all(), None, 2);
        assert_eq!(
            serde_json::to_value(&first).unwrap(),
            serde_json::json!({
                "users": [
                    {"uid": "ann", "dummy": true, "held": false, "connections": 1},
                    {"uid": "ben", "dummy": false, "held": true, "connections": 0},
                ],
                "total": 3,
                "next": "ben",
            })
        );
        let second = page(all(), first.next.as_deref(), 2);
        assert_eq!((second.users.len(), second.next, second.total), (1, None, 3));
        assert_eq!((second.users[0].connections, second.users[0].dummy), (2, false));
    }
}
