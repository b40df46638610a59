//! Who is where. Joins and departures are publications in the room's order, like messages.
//!
//! A session that is kicked out by a newer one of its uid leaves its rooms *held* for the uid:
//! nobody is told, and rosters still count it, until the new session takes a room over by joining
//! it, or gives the holds up.
//!
//! A user may have several connections in a room, on one node or on many. They have one place in
//! the order of joining, that of the first, for as long as one of them, or a held place, is there;
//! those that are hidden have another one.
use std::path::PathBuf;

use async_trait::async_trait;

use super::{
    directory::{Directory, Ending},
    error::StoreError,
    ids::{ConnectionId, RoomId, SocketId, Uid},
};

/// A connection that enters a room.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The connection.
    pub connection: ConnectionId,
    /// Its user.
    pub uid: Uid,
    /// Sees everything, is seen by nobody.
    pub hidden: bool,
    /// Whether it asks who is there: that costs as much as there are members.
    pub wants_roster: bool,
    /// Its uid is nobody's. It is counted in its room, and among no users.
    pub guest: bool,
    /// The public name of a connection that has a uid of its own right and never claims it. It is
    /// told by [`Directory::whereabouts`] for as long as the connection is in any room. Nothing: it
    /// stays as it was told before.
    pub socket: Option<SocketId>,
    /// For a connection that signs in by entering, and never claims: what [`Presence::revocations`]
    /// said before its credentials were checked. The answer says whether one came since
    /// ([`Roster::check_again`]).
    pub checked: Option<Revocations>,
}

/// The answer to a join.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// Visible users of the room without the visitor itself, each once, in the order of their
    /// joining; held ones too. Empty where the visitor does not want to know.
    pub others: Vec<Uid>,
    /// How far the room's order had come, the visitor's own joining included: presence
    /// publications up to it are contained in `others`, and nothing up to it concerns the
    /// visitor.
    pub n: u64,
    /// Connections of the visitor's uid in the room now, on all nodes: hidden ones and this one
    /// too, held places not. Of a guest it is this one alone.
    pub connections: u64,
    /// Credentials of the user were revoked since [`Visitor::checked`]: those of the visitor have
    /// to be checked once more. Once is enough, as it is told of all that are revoked later.
    pub check_again: bool,
}

/// How far the order of revocations had come that a store knows of. Credentials that are checked
/// later are checked behind all of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revocations(pub u64);

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The connection is the session of its user now; the rooms that are held for it.
    Made(Vec<RoomId>),
    /// Nothing was changed: the credentials may have been revoked since they were checked, or were
    /// not checked and have to be.
    CheckAgain(Revocations),
}

/// What became of the connections of a user whose credentials were revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expelled {
    /// There was none.
    Nobody,
    /// No server runs on this folder, which would have it.
    NoServer {
        /// The data folder.
        path: PathBuf,
    },
    /// The server of this name, or several, have refused so many connections.
    Ended {
        /// The name, to be shown; of several all, with commas between.
        server: String,
        /// Connections of the user that were ended.
        connections: u64,
    },
    /// The server of this name, or several, have not said so yet.
    Unconfirmed {
        /// The name, to be shown, as above; with what has to be done about it, where that is known.
        server: String,
    },
}

/// What is to become of the connections of a user of whom tokens were revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expulsion {
    /// They end: [`SessionSink::revoke`].
    End,
    /// Each looks whether it rests on one of them: [`SessionSink::recheck`].
    Ask,
}

/// Why a visitor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It said goodbye: [`super::broker::Event::Left`].
    Left,
    /// It did not: [`super::broker::Event::Gone`].
    Gone,
}

/// Someone in a room, as administrators see it. A user who is there both hidden and not is there
/// twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The user.
    pub uid: Uid,
    /// It sees everything, and is seen by nobody.
    pub hidden: bool,
    /// None of its connections is there: its session was kicked out by a newer one, and the place
    /// is held for the user.
    pub held: bool,
    /// Its connections there.
    pub connections: u64,
}

/// A session as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// The user.
    pub uid: Uid,
    /// The public name of its connection.
    pub socket: SocketId,
}

/// What a store tells its node of sessions, and asks it. Nothing here may block.
pub trait SessionSink: Send + Sync {
    /// Another session of this connection's user has taken over: it gets kicked out.
    fn evict(&self, connection: ConnectionId);
    /// The credentials of this connection's user were revoked: it is refused.
    fn revoke(&self, connection: ConnectionId);
    /// Some tokens of this connection's user were revoked: it has to find out whether it rests on
    /// one of them.
    fn recheck(&self, _connection: ConnectionId) {}
    /// Connections of this node that have, or are about to have, the session of their user.
    fn sessions(&self) -> Vec<ConnectionId>;
    /// Connections of this node that are in a room, or are about to be, and never have a session.
    fn guests(&self) -> Vec<ConnectionId> {
        Vec::new()
    }
    /// This connection is not known any more, or its session is not: its client has to come back.
    fn send_back(&self, connection: ConnectionId);
    /// An administrator ends this connection. May be said more than once.
    fn disconnect(&self, connection: ConnectionId, ending: Ending);
}

/// Sessions and rosters. Who is online, and where, is told by its [`Directory`].
#[async_trait]
pub trait Presence: Directory {
    /// Makes `connection` the session of `uid`. An earlier one is evicted
    /// ([`SessionSink::evict`]) and its rooms, except where it is hidden, become held,
    /// together with those that were held before. Atomic: of two claims at the same moment exactly
    /// one survives.
    ///
    /// `checked` is what [`Presence::revocations`] said before the user's credentials were checked;
    /// none: they were not. A revocation that the check may have missed makes the claim fail,
    /// and one that comes later finds the session: so none falls between the two.
    async fn claim(
        &self,
        uid: &Uid,
        connection: ConnectionId,
        socket: &SocketId,
        checked: Option<Revocations>,
    ) -> Result<Claim, StoreError>;

    /// What is known of revocations now. Asks nobody.
    fn revocations(&self) -> Revocations;

    /// Credentials of the user were revoked, which has been written down: claims that were checked
    /// before fail, visitors that were have to be checked again ([`Visitor::checked`]), and all
    /// connections of the user are told, on whatever nodes they are, whether or not they have
    /// claimed. Returns how many were told, when they have been.
    async fn expel(&self, uid: &Uid, expulsion: Expulsion) -> Result<u64, StoreError>;

    /// Ends the session, if it is still that of `connection`. Its rooms are left with
    /// [`Presence::depart`] before.
    async fn end(&self, uid: &Uid, connection: ConnectionId) -> Result<(), StoreError>;

    /// Puts the visitor into the room and returns the roster. A user may have any number of
    /// connections there. Delivers
    /// [`super::broker::Event::Joined`] unless it is hidden, was visible there already, or
    /// takes over a place held for its uid. Entering again as hidden delivers `Gone`. Where the
    /// outcome is unknown, the caller takes a visitor that was not there before out again.
    async fn enter(&self, room: &RoomId, visitor: &Visitor) -> Result<Roster, StoreError>;

    /// Takes the connection out of the room. Delivers unless it was hidden or not there (any more).
    /// Returns how many connections of its uid are left there, on all nodes, hidden ones too and
    /// held places not; `None` where it was not there.
    async fn depart(
        &self,
        room: &RoomId,
        connection: ConnectionId,
        departure: Departure,
    ) -> Result<Option<u64>, StoreError>;

    /// Gives up the place held for `uid`, if there is one: delivers `Gone`. Not if another
    /// connection than `by` has the session by now: then it is that one's place.
    async fn release(&self, room: &RoomId, uid: &Uid, by: ConnectionId) -> Result<(), StoreError>;

    /// Takes the user out of the room, with all its connections there, on every node, and the
    /// place that is held for it: delivers [`super::broker::Event::Removed`] if there was any.
    /// Returns how many connections that were. What a connection had on its way there before
    /// its node has learnt of it may still be said.
    async fn remove(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError>;

    /// Everybody in the room, in the order of their joining. Empty for an unknown room.
    async fn members(&self, room: &RoomId) -> Result<Vec<Present>, StoreError>;

    /// Rooms with anybody in them, hidden ones and held places too, sorted.
    async fn rooms(&self) -> Result<Vec<RoomId>, StoreError>;

    /// All sessions.
    async fn online(&self) -> Result<Vec<Online>, StoreError>;
}
