//! Why the server ends a connection: one list, of which the metrics' labels, the logs' words and
//! the codes of WebSocket Close frames (`net/close.rs`) are made, and the tables in
//! docs/PROTOCOL.md, which a test there compares.

/// A word for metrics and logs, from a list that is written down in one place.
pub trait Label: Copy {
    /// The word.
    fn label(self) -> &'static str;
}

/// What the end means to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It should stay away.
    Refused,
    /// It should come back.
    Dropped,
    /// It ended by itself, and is answered.
    Own,
}

/// Declares the reasons: `Name: Kind, "label", "when that is, for the documents";`
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident, $label:literal, $when:literal;)+) => {
        /// Why a connection ends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them, in the order of the documents.
            pub const ALL: &[Reason] = &[$(Reason::$name),+];

            /// What it means to the client.
            pub fn kind(self) -> Kind {
                match self {
                    $(Reason::$name => Kind::$kind,)+
                }
            }

            /// When that is, in words for those who read about the protocol.
            pub fn when(self) -> &'static str {
                match self {
                    $(Reason::$name => $when,)+
                }
            }

            /// Its word in metrics and logs. Two reasons have the same word where only their codes
            /// differ.
            pub fn label(self) -> &'static str {
                match self {
                    $(Reason::$name => $label,)+
                }
            }
        }
    };
}

reasons! {
    /// Its uid or token is wrong.
    WrongCredentials: Refused, "wrong credentials", "a wrong uid or token";
    /// It did not authenticate in time.
    AuthenticationTimeout: Refused, "authentication timeout", "no `authenticate` in time";
    /// Its uid authenticated too often.
    RateLimit: Refused, "rate limit", "too many authentications of one uid";
    /// A hook did not let it in, or ended it.
    RefusedByHook: Refused, "hook", "a hook did not let it in, or ended it";
    /// It did not join a room in time.
    JoinTimeout: Refused, "join timeout", "no `join` in time";
    /// An administrator ended its user's sessions.
    TurnedAway: Refused, "turned away", "an administrator ended the user's sessions for good";
    /// The same uid signed in elsewhere.
    Kickout: Refused, "kickout", "the same uid signed in elsewhere";
    /// It said goodbye by the event `leave`.
    Leave: Refused, "leave", "the client said `leave`";
    /// Its token was revoked.
    Revoked: Refused, "revoked", "its token was revoked";
    /// An administrator had its user come back.
    Disconnected: Dropped, "disconnected", "an administrator ended the user's sessions";
    /// Its token expired, and was not renewed.
    TokenExpired: Dropped, "token expired", "its token expired and was not renewed";
    /// A room that it is in is not allowed to it any more.
    NotAllowed: Dropped, "not allowed", "its renewed token does not allow a room that it is in";
    /// A hook ended it, and it is to come back.
    DroppedByHook: Dropped, "hook", "a hook ended it, to come back";
    /// The server ends.
    Drain: Dropped, "drain", "the server ends";
    /// A defect of the server.
    Failure: Dropped, "failure", "a defect of the server";
    /// It sends on although the server has stopped reading.
    Flood: Dropped, "flood",
        "a client sends on although the server has stopped reading, or CONNECTs too often";
    /// The store has lost its session.
    LostSession: Dropped, "lost session", "Redis has lost the session";
    /// It sent what is no frame, no packet or no event.
    Malformed: Dropped, "malformed",
        "no frame, no packet, no event; a name that is too long, or attachments that come too late";
    /// It sent text that is no UTF-8.
    NotUtf8: Dropped, "malformed", "text that is no UTF-8";
    /// Its room missed messages, which it can read up on.
    MissedMessages: Dropped, "missed messages", "its room missed messages; `sync` has them";
    /// It is in no namespace, and its time for that is over.
    NotConnected: Dropped, "not connected", "no CONNECT in time, at first or after a DISCONNECT";
    /// It missed a ping, or its answer did not come.
    PingTimeout: Dropped, "ping timeout", "no ping, or no answer to one";
    /// An administrator took it out of its only room.
    Removed: Dropped, "removed", "an administrator took the client out of its room";
    /// It reads slower than it is sent to.
    Slow: Dropped, "slow", "a client is too far behind; the connection is reset";
    /// It reads nothing.
    Stalled: Dropped, "stalled", "a client reads nothing; the connection is reset";
    /// The store does not answer.
    StoreUnavailable: Dropped, "store unavailable", "the store does not answer";
    /// It sent a frame, a message or attachments beyond the bound.
    TooLarge: Dropped, "too large",
        "a frame, a message, or attachments beyond the [limits](#limits)";
    /// Too many sign-ins from its address failed, so that its own was not looked at.
    TooManyFailures: Dropped, "too many failures",
        "too many sign-ins of its user, or from its address, failed: its own was not looked at";
    /// It closed the engine.io session.
    ClosedByClient: Own, "closed by the client", "the client closed its session";
}

impl Label for Reason {
    fn label(self) -> &'static str {
        Reason::label(self)
    }
}
