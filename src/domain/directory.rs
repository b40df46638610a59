//! Who is online, and where: what administrators ask, in pages that are stable while people come
//! and go, and how they end a user's sessions.
//!
//! A page continues behind a name, or behind a place in the order of joining, not behind a number of
//! entries: so nobody who is there all the time is left out or named twice, whoever comes and goes
//! between two pages.
use async_trait::async_trait;

use super::{
    error::StoreError,
    ids::{ConnectionId, RoomId, SocketId, Uid},
    presence::Present,
};

/// Most entries of a page.
pub const MAX_PAGE: usize = 1000;

/// How an administrator ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The connection closes, and the client comes back.
    Drop,
    /// The client stays away.
    Refuse,
}

/// A connection of a user, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// The node that it is on ([`Node::id`](super::cluster::Node::id)).
    pub node: String,
    /// Its name on that node.
    pub connection: ConnectionId,
    /// Its public name: that of its session, or, where it never claims one and is in a room, the
    /// one that it entered with ([`Visitor::socket`](super::presence::Visitor)).
    pub socket: Option<SocketId>,
    /// The rooms that it is in, sorted.
    pub rooms: Vec<RoomId>,
}

/// A page of a room's members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembersPage {
    /// In the order of their joining.
    pub members: Vec<Present>,
    /// How many there are on all pages.
    pub total: u64,
    /// Where the next page continues; nothing where this is the last.
    pub next: Option<String>,
}

/// A page of the rooms with anybody in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomsPage {
    /// By name; each with the number of connections in it, hidden ones and held places too.
    pub rooms: Vec<(RoomId, u64)>,
    /// Where the next page continues; nothing where this is the last.
    pub next: Option<String>,
}

/// A page of the users who are online.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsersPage {
    /// By uid.
    pub users: Vec<OnlineUser>,
    /// Where the next page continues; nothing where this is the last.
    pub next: Option<String>,
}

/// A user with at least one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineUser {
    /// The user.
    pub uid: Uid,
    /// The public name of the connection that has its session, if one has.
    pub socket: Option<SocketId>,
    /// The rooms that its connections are in, sorted.
    pub rooms: Vec<RoomId>,
    /// The nodes that they are on, sorted.
    pub nodes: Vec<String>,
}

/// How many there are, on all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users with a session: those who claim one.
    pub users: u64,
    /// Shared rooms with anybody in them.
    pub rooms: u64,
}

/// A part of a room's members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// In the order of their joining, each with its place in that order.
    pub members: Vec<(u64, Present)>,
    /// How many there are in all.
    pub total: u64,
}

/// A stretch of sorted names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// What they begin with.
    pub prefix: String,
    /// They are behind this one.
    pub after: Option<String>,
    /// So many at most.
    pub limit: usize,
}

/// Look-ups across rooms and nodes.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The user's connections, on all nodes, by node and name. Whose session was taken over is none
    /// any more.
    async fn whereabouts(&self, uid: &Uid) -> Result<Vec<Whereabouts>, StoreError>;

    /// Members of the room, behind this place in the order of joining; so many at most.
    async fn members_page(
        &self,
        room: &RoomId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Members, StoreError>;

    /// Rooms with anybody in them, by [`RoomId::as_str`], and how many connections and held places
    /// each has.
    async fn rooms_page(&self, names: &Names) -> Result<Vec<(RoomId, u64)>, StoreError>;

    /// Users who are online, by uid; no guests ([`Visitor::guest`](super::presence::Visitor)).
    async fn users_page(&self, names: &Names) -> Result<Vec<OnlineUser>, StoreError>;

    /// How many users and rooms there are. It costs far less than to list them.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Ends the user's connections, on all nodes, whether or not they have claimed
    /// ([`SessionSink::disconnect`](super::presence::SessionSink::disconnect)). Returns how many
    /// there were. Who signs in just now may not be among them.
    async fn disconnect(&self, uid: &Uid, ending: Ending) -> Result<u64, StoreError>;
}
