//! Why the server ends a connection: one list, of which the metrics' labels, the logs' words and
//! the codes of WebSocket Close frames (`close.rs` of the listener) are made, and the table in
//! docs/PROTOCOL.md, which a test compares.

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

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its uid or token is wrong.
    WrongCredentials,
    /// It did not authenticate in time.
    AuthenticationTimeout,
    /// Its uid authenticated too often.
    RateLimit,
    /// It did not join a room in time.
    JoinTimeout,
    /// The same uid signed in elsewhere.
    Kickout,
    /// It said goodbye by the event `leave`.
    Leave,
    /// Its token was revoked.
    Revoked,
    /// The server ends.
    Drain,
    /// A defect of the server.
    Failure,
    /// It sends on although the server has stopped reading.
    Flood,
    /// The store has lost its session.
    LostSession,
    /// It sent what is no frame, no packet or no event.
    Malformed,
    /// Its room missed messages, which it can read up on.
    MissedMessages,
    /// It is in no namespace, and its time for that is over.
    NotConnected,
    /// It sent text that is no UTF-8.
    NotUtf8,
    /// It missed a ping, or its answer did not come.
    PingTimeout,
    /// It reads slower than it is sent to.
    Slow,
    /// It reads nothing.
    Stalled,
    /// The store does not answer.
    StoreUnavailable,
    /// It sent a frame, a message or attachments beyond the bound.
    TooLarge,
    /// It closed the engine.io session.
    ClosedByClient,
}

impl Reason {
    /// All of them, for tables.
    pub const ALL: [Reason; 21] = [
        Reason::WrongCredentials,
        Reason::AuthenticationTimeout,
        Reason::RateLimit,
        Reason::JoinTimeout,
        Reason::Kickout,
        Reason::Leave,
        Reason::Revoked,
        Reason::Drain,
        Reason::Failure,
        Reason::Flood,
        Reason::LostSession,
        Reason::Malformed,
        Reason::MissedMessages,
        Reason::NotConnected,
        Reason::NotUtf8,
        Reason::PingTimeout,
        Reason::Slow,
        Reason::Stalled,
        Reason::StoreUnavailable,
        Reason::TooLarge,
        Reason::ClosedByClient,
    ];

    /// Its word in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Reason::WrongCredentials => "wrong credentials",
            Reason::AuthenticationTimeout => "authentication timeout",
            Reason::RateLimit => "rate limit",
            Reason::JoinTimeout => "join timeout",
            Reason::Kickout => "kickout",
            Reason::Leave => "leave",
            Reason::Revoked => "revoked",
            Reason::Drain => "drain",
            Reason::Failure => "failure",
            Reason::Flood => "flood",
            Reason::LostSession => "lost session",
            Reason::Malformed | Reason::NotUtf8 => "malformed",
            Reason::MissedMessages => "missed messages",
            Reason::NotConnected => "not connected",
            Reason::PingTimeout => "ping timeout",
            Reason::Slow => "slow",
            Reason::Stalled => "stalled",
            Reason::StoreUnavailable => "store unavailable",
            Reason::TooLarge => "too large",
            Reason::ClosedByClient => "closed by the client",
        }
    }

    /// What it means to the client.
    pub fn kind(self) -> Kind {
        match self {
            Reason::WrongCredentials
            | Reason::AuthenticationTimeout
            | Reason::RateLimit
            | Reason::JoinTimeout
            | Reason::Kickout
            | Reason::Leave
            | Reason::Revoked => Kind::Refused,
            Reason::Drain
            | Reason::Failure
            | Reason::Flood
            | Reason::LostSession
            | Reason::Malformed
            | Reason::MissedMessages
            | Reason::NotConnected
            | Reason::NotUtf8
            | Reason::PingTimeout
            | Reason::Slow
            | Reason::Stalled
            | Reason::StoreUnavailable
            | Reason::TooLarge => Kind::Dropped,
            Reason::ClosedByClient => Kind::Own,
        }
    }
}
