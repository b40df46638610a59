//! What a session's state calls for, and what it is told of that.
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    dialect::always_online::{
        authenticate::{Checked, Granted},
        msg::Target,
        sync::Page,
        wire::{AuthRefusal, Credentials, JoinFailure, JoinRequest, MsgFailure, SyncRequest},
    },
    domain::{
        gate::{self, Changes, Refusal},
        ids::{RoomId, Uid},
        message::Message,
        presence::Departure,
        room::Room,
    },
    metrics::{Event, Outcome},
    reason::Reason,
};

/// Something to do, in the order of the list.
pub(in crate::dialect::always_online) enum Effect {
    /// Send finished frames to the client.
    Send(Bytes),
    /// Read nothing more from the client.
    PauseReading,
    /// Read from it again.
    ResumeReading,
    /// Take a message that had to wait.
    Msg { target: Target, argument: Option<Box<RawValue>>, ack: Option<i64> },
    /// Hand a message over to its room.
    Post(Pending),
    /// Say that a message was refused.
    RefuseMsg { failure: MsgFailure, by: Option<Refusal>, ack: Option<i64> },
    /// Deliver nothing more of these rooms.
    Silence(Vec<Arc<Room>>),
    /// Give up the place that is held for the user there.
    Release { room: RoomId, uid: Uid },
    /// Tell the room that the user reads its log from the beginning.
    TellSynced { room: Arc<Room>, uid: Uid },
    /// Count a page.
    CountPage,
    /// Count what became of an event; of messages that is counted where they end.
    Count(Event, Outcome),
    /// From now on it has to join in time.
    AwaitJoin,
    /// Say when this time has come, Unix seconds, and at no earlier one that was named before;
    /// nothing: at none.
    Remind(Option<u64>),
    /// Find out whether its token was revoked.
    LookForRevocation,
    /// It can't be evicted or revoked any more.
    Unregister,
    /// *Refuse*: DISCONNECT; the client stays away.
    Refuse(Reason),
    /// *Drop*: the connection closes; the client comes back.
    Drop(Reason),
    /// Drop it after some seconds, as many would come back at once and all the time.
    DropLater(Reason),
    /// Ask for something that takes time. The last of its list.
    Ask(Ask),
    /// Start the session's task.
    Start,
}

/// A question to the core or the store, or a wait for the client.
pub(in crate::dialect::always_online) enum Ask {
    /// Check who it is, and make this connection the user's session.
    SignIn { credentials: Credentials, ack: Option<i64> },
    /// Check the credentials once more, without consequences.
    CheckAgain { credentials: Credentials, ack: Option<i64> },
    /// Ask a hook whether this may be sent.
    MaySend(Pending),
    /// Enter a room, within the limits, unless a hook wants to be asked before. Who is there, or
    /// that it failed, is sent before anything that happens there.
    Enter { uid: Uid, request: JoinRequest, ack: Option<i64> },
    /// As [`Ask::Enter`], and the hook was asked.
    EnterAllowed { uid: Uid, request: JoinRequest, ack: Option<i64> },
    /// Read a page of the room's log.
    ReadPage { room: Arc<Room>, request: SyncRequest, ack: Option<i64> },
    /// Send it, and wait until the client has it.
    SendPage(Page),
    /// Leave these rooms, in this order, and end the user's session.
    Depart { uid: Uid, rooms: Vec<(RoomId, Departure)>, goodbye: Option<Goodbye> },
}

impl Ask {
    /// The event that this begins to answer, for traces. Nothing: it is a part of what is answered
    /// already, or nobody waits for it.
    pub fn begins(&self) -> Option<&'static str> {
        match self {
            Ask::SignIn { .. } | Ask::CheckAgain { .. } => Some("authenticate"),
            Ask::MaySend(_) => Some("msg"),
            Ask::Enter { .. } => Some("join"),
            Ask::ReadPage { .. } => Some("sync"),
            Ask::EnterAllowed { .. } | Ask::SendPage(_) | Ask::Depart { .. } => None,
        }
    }
}

/// The client said `leave`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect::always_online) struct Goodbye {
    pub ack: Option<i64>,
}

/// A message that can go to its room, when that is allowed.
pub(in crate::dialect::always_online) struct Pending {
    /// The sender's uid, as JSON.
    pub uid: Arc<str>,
    pub room: Arc<Room>,
    pub message: Message,
    pub ack: Option<i64>,
}

/// What a hook did not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect::always_online) enum Denied {
    /// A session.
    Connect,
    /// Signing in once more.
    Renewal,
    Join,
    Message,
}

/// What became of an [`Ask`].
pub(in crate::dialect::always_online) enum Answer {
    /// The user, with the rooms that are held for it, and what it was granted.
    SignedIn {
        user: Result<(Uid, Vec<RoomId>, Granted), AuthRefusal>,
        ack: Option<i64>,
    },
    /// A hook, or that there is no answer of it, is in the way.
    Denied {
        what: Denied,
        by: gate::Answer,
        ack: Option<i64>,
    },
    /// A hook lets it into the room, and changes something.
    MayEnter {
        request: JoinRequest,
        ack: Option<i64>,
        changes: Changes,
        /// Unix seconds.
        now: u64,
    },
    /// A hook lets it send this, and changes something.
    MaySend {
        message: Pending,
        changes: Changes,
        /// Unix seconds.
        now: u64,
    },
    /// What it was granted now.
    CheckedAgain {
        checked: Checked,
        ack: Option<i64>,
    },
    /// The room that it is in now; none, where that failed.
    Entered {
        room: Option<Arc<Room>>,
        dummy: bool,
    },
    /// It may not enter the room, as a limit says.
    NotEntered {
        why: JoinFailure,
        ack: Option<i64>,
    },
    PageRead {
        page: Page,
        request: SyncRequest,
    },
    /// The store does not answer.
    PageFailed,
    /// Nobody is there to read a page.
    PageUnwanted,
    /// The client has it.
    PageSent,
    /// The client took too long, and others wait for the memory.
    PageLate,
    Departed {
        goodbye: Option<Goodbye>,
    },
    /// A defect of ours: nothing is known.
    Failed,
}
