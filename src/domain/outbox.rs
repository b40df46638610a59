//! The outbox: what business servers are still to be told by webhooks. A store writes it together
//! with what it tells of, in one transaction or script, so nothing is told that did not happen, and
//! nothing is forgotten that did.
//!
//! Each endpoint has a queue for each room. What waits there is frozen into a *batch* when its turn
//! comes: the batch has an id, and never changes again, however often it is sent. A queue that is
//! being sent belongs to one node for a while (a lease); so a room's batches go out one after the
//! other, whatever the number of nodes.
//!
//! A user's own events (`user.online`, …) are in the queue of the user's room of
//! [`Space::User`].
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::{
    error::StoreError,
    ids::{RoomId, Space, Uid},
    presence::Departure,
};

mod batch;
mod erase;
mod interest;
mod parking;

pub use batch::{Frozen, Gap, Happening, Place, assembled, event, message, timestamp};
pub use erase::{Unreadable, erased_body, erased_events};
pub use interest::{Endpoint, Interest, Kinds, Pattern};
pub use parking::{ParkedBatch, ParkedPage, Parking};

/// Bytes that an event or a batch costs beside its text.
pub const OVERHEAD: u64 = 100;
/// Bytes of events that end a batch.
pub const BATCH_BYTES: usize = 1 << 20;
/// A room that was told, and of which less waits than a request may have, may have its next turn so
/// much later: a busy room costs fewer requests, and an idle one waits for nothing.
pub const REST: Duration = Duration::from_millis(5);
/// Gaps that wait may take this part of what may wait for an endpoint. Beyond it the oldest become
/// one, of no room: [`everywhere`].
pub const GAPS: u64 = 8;

/// Bytes that a gap takes while it waits in this room's queue.
pub fn gap_cost(room: &RoomId) -> u64 {
    if *room == everywhere() { 0 } else { OVERHEAD + room.as_str().len() as u64 }
}

/// The queue of what is said of all rooms at once: a gap that any of them may have. No client can
/// name such a room, and no dialect has that name.
pub fn everywhere() -> RoomId {
    static EVERYWHERE: LazyLock<RoomId> = LazyLock::new(|| {
        // One character is neither empty nor too long.
        RoomId::within(Space::Dialect("*"), "*").unwrap_or_else(|_| unreachable!())
    });
    EVERYWHERE.clone()
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody is in the room, where nobody was.
    Occupied,
    /// Nobody is left in the room.
    Vacated,
    /// The room's log was forgotten.
    Cleared,
    /// The beginning of the room's log was forgotten.
    Trimmed,
    /// A user is in the room who was not.
    Joined,
    /// A user is not in the room any more.
    Left,
    /// A message was added to the log.
    Inserted,
    /// A message replaced the one with the same id.
    Updated,
    /// A user has a session who had none.
    Online,
    /// A user has no session any more.
    Offline,
    /// A user's messages were erased.
    Erased,
    /// Some events will not be told, or were put aside.
    Gap,
}

impl Kind {
    /// All that an endpoint can choose. It is told of gaps in any case.
    pub const ALL: [Kind; 11] = [
        Kind::Occupied,
        Kind::Vacated,
        Kind::Cleared,
        Kind::Trimmed,
        Kind::Joined,
        Kind::Left,
        Kind::Inserted,
        Kind::Updated,
        Kind::Online,
        Kind::Offline,
        Kind::Erased,
    ];

    /// As endpoints know it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Occupied => "room.occupied",
            Kind::Vacated => "room.vacated",
            Kind::Cleared => "room.cleared",
            Kind::Trimmed => "room.trimmed",
            Kind::Joined => "member.joined",
            Kind::Left => "member.left",
            Kind::Inserted => "message.inserted",
            Kind::Updated => "message.updated",
            Kind::Online => "user.online",
            Kind::Offline => "user.offline",
            Kind::Erased => "user.erased",
            Kind::Gap => "webhook.gap",
        }
    }

    /// Whether it is about a user, whatever the room.
    pub fn is_of_user(self) -> bool {
        matches!(self, Kind::Online | Kind::Offline | Kind::Erased)
    }
}

/// Why a user is not in a room, or has no session, any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// Said goodbye.
    Left,
    /// Gone without a goodbye.
    Gone,
    /// The node that had the user died.
    Lost,
    /// Taken out by an administrator.
    Removed,
}

impl From<Departure> for Absence {
    fn from(departure: Departure) -> Self {
        match departure {
            Departure::Left => Absence::Left,
            Departure::Gone => Absence::Gone,
        }
    }
}

impl Absence {
    /// As endpoints know it.
    pub fn name(self) -> &'static str {
        match self {
            Absence::Left => "left",
            Absence::Gone => "gone",
            Absence::Lost => "lost",
            Absence::Removed => "removed",
        }
    }
}

/// A batch that is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its queue.
    pub room: RoomId,
    /// Names the batch, always the same one: `webhook-id`.
    pub id: Arc<str>,
    /// JSON, always the same bytes.
    pub body: Bytes,
    /// How often sending it has failed, failures of the whole endpoint not counted.
    pub attempts: u32,
    /// When it was frozen, or replayed, in milliseconds since 1970.
    pub since_ms: u64,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Taken {
    /// One batch of each of some queues. They are the caller's until the lease is over.
    pub batches: Vec<Batch>,
    /// How long until the next queue's turn; none: nothing waits.
    pub next: Option<Duration>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The endpoint has it.
    Delivered,
    /// It is to be sent again.
    Again {
        /// After this time.
        after: Duration,
        /// Whether this attempt counts as one of the batch's.
        counted: bool,
    },
    /// It is put aside until somebody asks for it, and the queue goes on with a gap.
    Parked {
        /// Why, in a word or two.
        why: String,
    },
}

/// What waits for an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Bytes of events and batches, parked ones too.
    pub bytes: u64,
    /// Batches that are parked.
    pub parked: u64,
    /// When the oldest thing that waits happened, in milliseconds since 1970. Parked batches do not
    /// wait.
    pub oldest_ms: Option<u64>,
    /// Events and batches that were given up since the endpoint is known, because too much waited
    /// or they could not be read. It never goes back.
    pub dropped: u64,
}

/// What is to be told, as those who tell it see it. Endpoints are those of the [`Interest`] that
/// the store was opened with.
///
/// ```no_run
/// # use always_online::domain::{error::StoreError, outbox::{Endpoint, Outbox, Settlement}};
/// # use std::time::Duration;
/// # async fn story(outbox: &dyn Outbox, endpoint: &Endpoint) -> Result<(), StoreError> {
/// for batch in outbox.take(endpoint, 16, Duration::from_secs(30)).await?.batches {
///     println!("{} {:?}", batch.id, batch.body);
///     outbox.settle(endpoint, &batch, Settlement::Delivered).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Changes when this node has written something where nothing waited before. What comes behind
    /// something that waits is found with it.
    fn written(&self) -> watch::Receiver<u64>;

    /// The batches of at most `limit` queues of the endpoint whose turn it is, the longest waiting
    /// first. Nobody else is given them before the lease is over, or they are settled.
    async fn take(
        &self,
        endpoint: &Endpoint,
        limit: usize,
        lease: Duration,
    ) -> Result<Taken, StoreError>;

    /// Says what became of a batch that was taken. Nothing happens where the batch is not there any
    /// more: another node has settled it.
    async fn settle(
        &self,
        endpoint: &Endpoint,
        batch: &Batch,
        how: Settlement,
    ) -> Result<(), StoreError>;

    /// Tells of those whose leaving was held back and who have not come back in time. Returns when
    /// that is to be done again; none: when something is written.
    async fn sweep(&self) -> Result<Option<Duration>, StoreError>;

    /// What waits for the endpoint.
    async fn standing(&self, endpoint: &Endpoint) -> Result<Standing, StoreError>;
}

/// What the outbox has to do with the erasing of a user's messages.
#[async_trait]
pub trait OutboxErasure: Send + Sync {
    /// Has batches that were put aside found by their rooms, those too that an earlier build put
    /// aside without noting that. To be called before a job asks for the first room.
    async fn index_parked(&self) -> Result<(), StoreError>;

    /// The rooms of which anything is still to be told to any endpoint that ever was configured,
    /// whether or not they have messages. All at once: each takes [`OVERHEAD`] bytes at least of
    /// what may wait for an endpoint, or did, as one that is not configured any more keeps what it
    /// had.
    async fn rooms_told(&self) -> Result<Vec<RoomId>, StoreError>;

    /// Takes the user's messages out of what is still to be told of this room, for all endpoints
    /// that ever were configured: events, frozen batches and parked ones. These keep their ids:
    /// whoever has one already does not take it twice. What can't be read is dropped, as nobody
    /// knows whose messages it has, and its room is told of a gap, unless it was when the batch was
    /// put aside. Returns how many events and batches have changed.
    async fn erase_told(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError>;

    /// Tells [`Kind::Erased`] of the user.
    async fn tell_erased(&self, uid: &Uid) -> Result<(), StoreError>;
}
