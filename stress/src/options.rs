//! Options of every scenario.

use clap::{Args, value_parser};

/// Options of every scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The server; a loopback address.
    #[arg(long, global = true, default_value = "ws://127.0.0.1:3000")]
    pub url: String,
    /// Another node of the same server; may be repeated. Crowds are spread over all of them.
    #[arg(long, global = true)]
    pub node: Vec<String>,
    /// How a crowd is spread over the nodes: the members of a room all on one, or one after the
    /// other.
    #[arg(long, global = true, value_enum, default_value_t = Spread::Member)]
    pub spread: Spread,
    /// What is spoken to it: the always-online events, gotapi-ws (fanout only), chat-service
    /// (fanout, connect, idle and command), or react-wechat (fanout, connect, idle, register,
    /// waiting and logins).
    #[arg(long, global = true, value_enum, default_value_t = Dialect::AlwaysOnline)]
    pub dialect: Dialect,
    #[arg(long, global = true, default_value = "/socket.io/")]
    pub path: String,
    /// engine.io protocol: 3 (socket.io 2.x) or 4.
    #[arg(
        long,
        global = true,
        default_value_t = 4,
        overrides_with = "eio",
        value_parser = value_parser!(u8).range(3..=4)
    )]
    pub eio: u8,
    /// How a client connects: as a WebSocket from the beginning, by polling and then upgraded as
    /// browsers do, or by polling for good. The last two speak engine.io 4.
    #[arg(long, global = true, value_enum, default_value_t = Way::Websocket)]
    pub way: Way,
    /// Measure this process and its children; may be repeated.
    #[arg(long, global = true)]
    pub server_pid: Vec<i32>,
    /// Seeds payloads and every random choice.
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
    /// Core to run on, or "none"; by default the last one allowed.
    #[arg(long, global = true)]
    pub pin: Option<String>,
    /// Let packets gather for so many microseconds whenever there are none to
    /// handle: fewer and larger reads, and fewer wake-ups, which cost the server
    /// CPU time too, for that much more latency. By default 0, but 500 for
    /// fanout --saturate.
    #[arg(long, global = true)]
    pub gather_us: Option<u64>,
    /// Spread connections over the source addresses 127.0.0.1 to 127.0.0.N.
    #[arg(long, global = true, default_value_t = 8, value_parser = value_parser!(u8).range(1..=254))]
    pub sources: u8,
    /// Connections opened per second, at most; 0 is no limit.
    #[arg(long, global = true, default_value_t = 1000.0)]
    pub conn_rate: f64,
    /// Connections being opened at the same time, at most.
    #[arg(long, global = true, default_value_t = 32)]
    pub conn_concurrency: usize,
    /// Seconds that one connection may take to join.
    #[arg(long, global = true, default_value_t = 15.0)]
    pub timeout: f64,
    /// Seconds after which the whole run is given up.
    #[arg(long, global = true, default_value_t = 900.0)]
    pub time_limit: f64,
    /// Token to authenticate with.
    #[arg(long, global = true, default_value = "t")]
    pub token: String,
    /// Get a token for each uid by POSTing {"uid":..} here first.
    #[arg(long, global = true)]
    pub admin_url: Option<String>,
    /// Sign a JSON Web Token for each uid: hs256:SECRET, or es256:FILE with the key as PKCS#8. Users
    /// of react-wechat log in without it.
    #[arg(long, global = true)]
    pub jwt: Option<String>,
    /// Listen here, HOST:PORT, for the server's webhooks, and check what they tell (fanout and
    /// sync, of stored messages; pending).
    #[arg(long, global = true)]
    pub webhook: Option<String>,
    /// Listen here, HOST:PORT, for the server's hooks, and consent (connect).
    #[arg(long, global = true)]
    pub hook: Option<String>,
    /// Milliseconds until a hook is answered.
    #[arg(long, global = true, default_value_t = 20)]
    pub hook_delay: u64,
    /// Part of every uid and room name; by default made from the clock.
    #[arg(long, global = true)]
    pub run_id: Option<String>,
    /// Copied to the report, to tell servers apart.
    #[arg(long, global = true, default_value = "")]
    pub label: String,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    Room,
    Member,
}

/// Which protocol clients speak.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    AlwaysOnline,
    Gotapi,
    ChatService,
    Wechat,
}

impl Dialect {
    pub fn name(self) -> &'static str {
        match self {
            Dialect::AlwaysOnline => "always-online",
            Dialect::Gotapi => "gotapi",
            Dialect::ChatService => "chat-service",
            Dialect::Wechat => "wechat",
        }
    }
}

/// How a client connects.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Websocket,
    Upgrade,
    Polling,
}
