//! The configuration: built-in defaults, then a TOML file, then the environment
//! (`AO_SECTION__KEY`), then flags (`--section-key VALUE`); each overrules the ones before.
//!
//! Every setting is declared once, in its section's file, and exists in all four forms;
//! [`settings`] is the table from which `--help` and the reference are made. Unknown names and bad
//! values anywhere are [`Problems`], all of them reported together: a setting that is silently
//! ignored is worse than a server that does not start.
//!
//! Nothing here looks at the process: the environment is an argument, and only `file::read` opens a
//! file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

pub mod address;
pub mod backend;
pub mod bound;
pub mod duration;
mod file;
mod flags;
pub mod kind;
mod layers;
pub mod network;
pub mod origins;
mod print;
pub mod problem;
pub mod rate;
mod reference;
mod role;
pub mod secret;
pub mod section;
pub mod setting;
pub mod signing;
pub mod site;
pub mod size;
pub mod tls;
pub mod url;
pub mod words;

#[cfg(test)]
mod problem_tests;
#[cfg(test)]
mod tests;

pub use backend::{Backend, SecretUrl};
pub use bound::Most;
pub use flags::{Flags, GivenFlags};
pub use network::Networks;
pub use origins::{Origin, Origins};
pub use problem::{Place, Problem, Problems};
pub use rate::RateLimit;
pub use reference::reference;
pub use role::Role;
pub use secret::SecretText;
pub use section::{
    Admin, Api, Auth, ChatService, Compat, Demo, Durability, Format, Gotapi, Hook, HookEvents, Jwt,
    LEAST_LEASE, Limits, Log, Message, Metrics, OnFailure, Open, Otel, Retention, RetentionRule,
    RoomAccess, Rooms, Runtime, Shutdown, SmtpTls, Store, Tinode, Webhook, Websocket, Wechat,
};
pub use setting::{Setting, find, settings};
pub use signing::SigningSecret;
pub use site::Site;
pub use size::ByteSize;
pub use tls::TlsFiles;
pub use url::HttpUrl;
pub use words::Words;

use layers::Layers;
use section::compat;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which behaviour of the original to follow. Default `documented`, environment `AO_COMPAT`.
    pub compat: Compat,
    /// Where socket.io clients connect.
    pub websocket: Websocket,
    /// The routes /admin/*.
    pub admin: Admin,
    /// The token API /user/*.
    pub api: Api,
    /// Demo pages.
    pub demo: Demo,
    /// Where clients of gotapi-ws connect.
    pub gotapi: Gotapi,
    /// Where clients of react-wechat connect.
    pub wechat: Wechat,
    /// Where clients of Tinode connect.
    pub tinode: Tinode,
    /// Clients of npm's chat-service.
    pub chat_service: ChatService,
    /// Metrics for Prometheus.
    pub metrics: Metrics,
    /// Where messages and tokens are kept.
    pub store: Store,
    /// How long messages are kept.
    pub retention: Retention,
    /// How users prove who they are.
    pub auth: Auth,
    /// JSON Web Tokens.
    pub jwt: Jwt,
    /// Who may do what in rooms.
    pub rooms: Rooms,
    /// A business server that is asked before clients connect, join and send.
    pub hook: Hook,
    /// Limits on messages.
    pub message: Message,
    /// What the server takes on.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
    /// Traces for a collector.
    pub otel: Otel,
    /// How the server ends.
    pub shutdown: Shutdown,
    /// The process itself.
    pub runtime: Runtime,
    /// Where a business server is told of what happens.
    pub webhook: Webhook,
    /// Further endpoints, by their names.
    pub webhooks: BTreeMap<String, Webhook>,
    sources: BTreeMap<&'static str, Place>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it, an unreadable file included.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
    ) -> Result<Self, Problems> {
        let mut layers = Layers::default();
        if let Some(path) = file {
            match file::read(path) {
                Ok(text) => file::add(&mut layers, path, &text),
                Err(problem) => layers.problems.push(problem),
            }
        }
        layers.environment(environment);
        layers.flags(flags);
        Self::settle(layers)
    }

    /// The built-in defaults, for tests and as a start for changes.
    ///
    /// # Errors
    /// None; a default that its own setting refuses would be one.
    pub fn defaults() -> Result<Self, Problems> {
        Self::load(None, [], &Flags::new())
    }

    /// Every setting's key and its value as one would write it, secrets hidden.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        [
            vec![compat::value(self.compat)],
            self.websocket.values(),
            self.admin.values(),
            self.api.values(),
            self.demo.values(),
            self.gotapi.values(),
            self.wechat.values(),
            self.tinode.values(),
            self.chat_service.values(),
            self.metrics.values(),
            self.store.values(),
            self.retention.values(),
            self.auth.values(),
            self.jwt.values(),
            self.rooms.values(),
            self.hook.values(),
            self.message.values(),
            self.limits.values(),
            self.log.values(),
            self.otel.values(),
            self.shutdown.values(),
            self.runtime.values(),
            self.webhook.values(),
        ]
        .concat()
    }

    /// Where the value of the setting with this key came from when the configuration was read.
    pub fn source(&self, key: &str) -> &Place {
        self.sources.get(key).unwrap_or(&Place::Default)
    }

    fn settle(mut layers: Layers) -> Result<Self, Problems> {
        match Self::read(&mut layers) {
            Some(config) if layers.problems.is_empty() => Ok(config),
            _ => Err(Problems::new(layers.problems)),
        }
    }

    fn read(layers: &mut Layers) -> Option<Self> {
        // All sections before the first `?`: a problem in one must not hide those of the next.
        let compat = compat::read(layers);
        let websocket = Websocket::read(layers);
        let admin = Admin::read(layers);
        let api = Api::read(layers);
        let demo = Demo::read(layers);
        let gotapi = Gotapi::read(layers);
        let wechat = Wechat::read(layers);
        let tinode = Tinode::read(layers);
        let chat_service = ChatService::read(layers);
        let metrics = Metrics::read(layers);
        let store = Store::read(layers);
        let retention = Retention::read(layers);
        let auth = Auth::read(layers);
        let jwt = Jwt::read(layers);
        let rooms = Rooms::read(layers);
        let hook = Hook::read(layers);
        let message = Message::read(layers);
        let limits = Limits::read(layers);
        let log = Log::read(layers);
        let otel = Otel::read(layers);
        let shutdown = Shutdown::read(layers);
        let runtime = Runtime::read(layers);
        let webhook = Webhook::read(layers);
        let webhooks = layers.endpoints();
        let mut config = Self {
            compat: compat?,
            websocket: websocket?,
            admin: admin?,
            api: api?,
            demo: demo?,
            gotapi: gotapi?,
            wechat: wechat?,
            tinode: tinode?,
            chat_service: chat_service?,
            metrics: metrics?,
            store: store?,
            retention: retention?,
            auth: auth?,
            jwt: jwt?,
            rooms: rooms?,
            hook: hook?,
            message: message?,
            limits: limits?,
            log: log?,
            otel: otel?,
            shutdown: shutdown?,
            runtime: runtime?,
            webhook: webhook?,
            webhooks: webhooks?,
            sources: layers.sources.clone(),
        };
        config.check(layers);
        if config.auth.ignore && layers.source("websocket.origins") == Place::Default {
            config.websocket.origins = Origins::Loopback;
        }
        Some(config)
    }

    /// Rules that concern more than one setting.
    fn check(&self, layers: &mut Layers) {
        let (low, high) = ("store.deadline", "websocket.ping_timeout");
        let (deadline, timeout) = (self.store.deadline, self.websocket.ping_timeout);
        if deadline >= timeout && layers.good(low) && layers.good(high) {
            let (deadline, timeout) = (duration::print(deadline), duration::print(timeout));
            let (low_source, high_source) = (layers.source(low), layers.source(high));
            let message = format!(
                "{low} ({deadline}, {low_source}) must be below {high} ({timeout}, {high_source})"
            );
            layers.problems.push(Problem::new(low_source.max(high_source), message));
        }
        self.check_jwt(layers);
        self.check_hook(layers);
        self.webhook.check(layers, "webhook");
        self.chat_service.check(layers);
        self.wechat.check(layers, matches!(self.store.messages, Backend::Url(_)));
        self.tinode.check(layers);
        let (websocket, api, gotapi) = (&self.websocket, &self.api, &self.gotapi);
        let (wechat, tinode) = (&self.wechat, &self.tinode);
        for pair in [
            [
                ("websocket.tls_certificate", &websocket.tls_certificate),
                ("websocket.tls_key", &websocket.tls_key),
            ],
            [("api.tls_certificate", &api.tls_certificate), ("api.tls_key", &api.tls_key)],
            [
                ("gotapi.tls_certificate", &gotapi.tls_certificate),
                ("gotapi.tls_key", &gotapi.tls_key),
            ],
            [
                ("wechat.tls_certificate", &wechat.tls_certificate),
                ("wechat.tls_key", &wechat.tls_key),
            ],
            [
                ("tinode.tls_certificate", &tinode.tls_certificate),
                ("tinode.tls_key", &tinode.tls_key),
            ],
            [
                ("tinode.grpc_tls_certificate", &tinode.grpc_tls_certificate),
                ("tinode.grpc_tls_key", &tinode.grpc_tls_key),
            ],
        ] {
            TlsFiles::check(layers, pair);
        }
    }

    /// A secret that only the one before is known of, and rules that nobody could meet.
    fn check_jwt(&self, layers: &mut Layers) {
        let (jwt, previous, access) = (&self.jwt, "jwt.previous_secret", "rooms.access");
        if !jwt.previous_secret.is_empty() && jwt.secret.is_empty() && layers.good("jwt.secret") {
            let source = layers.source(previous);
            let message = format!("{previous} ({source}) is of use with jwt.secret alone");
            layers.problems.push(Problem::new(source, message));
        }
        if self.rooms.access == RoomAccess::Claims && !jwt.is_on() {
            let source = layers.source(access);
            let message = format!(
                "{access} is claims ({source}), and there are no keys for tokens: set jwt.secret, jwt.keys or jwt.jwks_url"
            );
            layers.problems.push(Problem::new(source, message));
        }
    }

    /// Without a secret nobody could tell a question from one that somebody else made up.
    fn check_hook(&self, layers: &mut Layers) {
        let secret = "hook.secret";
        if self.hook.url.is_some() && self.hook.secret.is_none() && layers.good(secret) {
            let source = layers.source("hook.url");
            layers.problems.push(Problem::new(source, format!("hook.url needs {secret}")));
        }
        let (hook, access) = (&self.hook, "rooms.access");
        let asks = hook.url.is_some()
            && hook.events.has("join")
            && hook.rooms.iter().any(|pattern| pattern == "*");
        let good = ["url", "events", "rooms"].map(|key| layers.good(&format!("hook.{key}")));
        if self.rooms.access == RoomAccess::Hook && !asks && !good.contains(&false) {
            let source = layers.source(access);
            let message = format!(
                "{access} is hook ({source}), and not every join is asked about: it needs hook.url, join among hook.events, and * among hook.rooms"
            );
            layers.problems.push(Problem::new(source, message));
        }
    }
}
