//! The values of labels that are the server's own words.

/// Declares a list of words: `Name = "word";`
macro_rules! words {
    ($(#[$doc:meta])* $list:ident { $($(#[$each:meta])* $name:ident = $word:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $list {
            $($(#[$each])* $name,)+
        }

        impl $list {
            /// Their words, in their order.
            pub const WORDS: &[&str] = &[$($word),+];

            /// Its word.
            pub fn word(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }
    };
}

words! {
    /// An event that a client sends.
    Event {
        /// It says who it is.
        Authenticate = "authenticate";
        /// It wants to enter a room.
        Join = "join";
        /// It says goodbye.
        Leave = "leave";
        /// It sends a message.
        Msg = "msg";
        /// It wants a page of the log.
        Sync = "sync";
        /// It sends something that is none of these.
        Other = "other";
    }
}

words! {
    /// What became of an event.
    Outcome {
        /// What was asked for.
        Done = "done";
        /// The client may not have that, or asked in a wrong way.
        Refused = "refused";
        /// The server could not do it.
        Failed = "failed";
        /// Nothing, and the client was not answered.
        Ignored = "ignored";
    }
}

words! {
    /// A call of a store.
    Call {
        /// Whether a user may sign in now.
        Admit = "admit";
        /// The first member of a room on this node.
        Attach = "attach";
        /// A session is begun.
        Claim = "claim";
        /// A room is cleared.
        Clear = "clear";
        /// A connection leaves a room.
        Depart = "depart";
        /// Whether a kept page is still what the log says.
        Edition = "edition";
        /// A session ends.
        End = "end";
        /// A connection enters a room.
        Enter = "enter";
        /// The log of a room is given an end.
        Expire = "expire";
        /// A page of a log with the updates behind it, and the wait for its turn.
        Page = "page";
        /// A batch of messages.
        Publish = "publish";
        /// A message is recalled.
        Recall = "recall";
        /// A user is taken out of a room.
        Remove = "remove";
        /// The oldest of a log is taken away.
        Trim = "trim";
        /// Whether a token is a user's.
        Verify = "verify";
    }
}

words! {
    /// What carries a client, which dialect it speaks, and in which version.
    Carriage {
        /// socket.io on a WebSocket, engine.io 3.
        WebSocket3 = "websocket, 3";
        /// socket.io on a WebSocket, engine.io 4.
        WebSocket4 = "websocket, 4";
        /// socket.io by polling, engine.io 3.
        Polling3 = "polling, 3";
        /// socket.io by polling, engine.io 4.
        Polling4 = "polling, 4";
        /// gotapi-ws, on a WebSocket.
        Gotapi = "gotapi";
        /// react-wechat, on a WebSocket.
        Wechat = "wechat";
        /// Tinode, on a WebSocket.
        TinodeWebsocket = "tinode, websocket";
        /// Tinode, by long polling.
        TinodePolling = "tinode, polling";
        /// Tinode, by gRPC.
        TinodeGrpc = "tinode, grpc";
    }
}

/// The labels of [`Carriage`]: dialect, carrier, and version of engine.io.
pub(super) const CARRIAGES: [[&str; 3]; 9] = [
    ["always_online", "websocket", "3"],
    ["always_online", "websocket", "4"],
    ["always_online", "polling", "3"],
    ["always_online", "polling", "4"],
    ["gotapi", "websocket", "none"],
    ["wechat", "websocket", "none"],
    ["tinode", "websocket", "none"],
    ["tinode", "polling", "none"],
    ["tinode", "grpc", "none"],
];

impl Carriage {
    /// Its dialect, its carrier, and its version of engine.io, or `none`.
    pub fn labels(self) -> [&'static str; 3] {
        CARRIAGES[self as usize]
    }
}

words! {
    /// Something that is kept so that it need not be made again.
    Cache {
        /// Full pages of logs.
        Pages = "pages";
        /// Answers of hooks.
        HookAnswers = "hook answers";
    }
}

/// Whether it was there.
pub(super) const LOOKUPS: &[&str] = &["hit", "miss"];

words! {
    /// How a TLS handshake ended.
    Handshake {
        /// The connection is open.
        Done = "done";
        /// It was wrong, or the client gave up, or it took too long.
        Failed = "failed";
    }
}

words! {
    /// What became of a node's sign of life.
    Beat {
        /// The lease goes on.
        Renewed = "renewed";
        /// It was over, and begins anew.
        Late = "late";
        /// The others have taken this node for dead.
        Lost = "lost";
        /// The store did not answer.
        Failed = "failed";
    }
}

words! {
    /// Something in chat-service that is not as it should be.
    ChatEvent {
        /// A store did not take what changes who is where.
        StoreConsistencyFailure = "storeConsistencyFailure";
        /// A socket is not where the store has it.
        TransportConsistencyFailure = "transportConsistencyFailure";
        /// A join or a departure took longer than it may.
        LockTimeExceeded = "lockTimeExceeded";
    }
}

words! {
    /// By what a user signed in.
    SignIn {
        /// A JSON Web Token.
        Jwt = "jwt";
        /// A plain token.
        Token = "token";
        /// Nothing: tokens are not checked.
        Unchecked = "unchecked";
    }
}

/// What becomes of a message.
pub(super) const STORAGES: &[&str] = &["insert", "update", "ignore"];

/// Why a message is neither stored nor delivered. A test of each dialect compares its words.
pub const MESSAGE_REFUSALS: &[&str] = &[
    "not in a room",
    "dummy can not send",
    "not allowed",
    "message too large",
    "not an object",
    "too deep",
    "too many updates",
    "inbox full",
    "store unavailable",
    "outcome unknown",
    "hook failed",
];

/// Why a connection may not join. A test of quotas compares these with the words there.
pub const JOIN_REFUSALS: &[&str] = &["joins", "new rooms", "rooms per connection"];

/// Why a token was not accepted. A test of `access` compares it with the words there.
pub const SIGN_IN_REFUSALS: &[&str] = &[
    "wrong token",
    "rate limit",
    "too many failures",
    "too busy",
    "store unavailable",
    "keys unavailable",
    "malformed",
    "algorithm",
    "unknown key",
    "signature",
    "expired",
    "not yet valid",
    "no expiry",
    "lifetime",
    "audience",
    "issuer",
    "subject",
    "claims",
    "revoked",
];

/// What hooks are asked about. A test of hooks compares these with the words there.
pub const QUESTIONS: &[&str] = &["connect", "join", "message"];

/// Why a question to a hook has no answer.
pub const HOOK_FAILURES: &[&str] = &[
    "connect",
    "tls",
    "timeout",
    "too large",
    "status",
    "broken",
    "malformed",
    "queue full",
    "queue late",
    "breaker open",
    "no randomness",
];
