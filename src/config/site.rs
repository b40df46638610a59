//! The listeners that can be configured: what each is called, and which settings are its own.

use std::net::SocketAddr;

use super::{Config, TlsFiles};

/// One listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// socket.io, and `/admin` unless that has a listener of its own.
    Websocket,
    /// `/admin` alone.
    Admin,
    /// The token API.
    Api,
    /// Metrics alone.
    Metrics,
    /// The demo pages.
    Demo,
    /// gotapi-ws.
    Gotapi,
    /// react-wechat.
    Wechat,
    /// Tinode, by WebSocket and HTTP.
    Tinode,
    /// Tinode, by gRPC.
    TinodeGrpc,
}

impl Site {
    /// All of them, in the order in which they are announced.
    pub const ALL: [Site; 9] = [
        Site::Websocket,
        Site::Admin,
        Site::Api,
        Site::Metrics,
        Site::Demo,
        Site::Gotapi,
        Site::Wechat,
        Site::Tinode,
        Site::TinodeGrpc,
    ];

    /// Its name in announcements and logs.
    pub fn label(self) -> &'static str {
        match self {
            Site::Websocket => "websocket",
            Site::Admin => "admin",
            Site::Api => "api",
            Site::Metrics => "metrics",
            Site::Demo => "demo",
            Site::Gotapi => "gotapi",
            Site::Wechat => "wechat",
            Site::Tinode => "tinode",
            Site::TinodeGrpc => "tinode_grpc",
        }
    }

    /// What is served there, for people.
    pub fn what(self) -> &'static str {
        match self {
            Site::Websocket => "socket.io",
            Site::Admin => "administration",
            Site::Api => "the token API",
            Site::Metrics => "metrics",
            Site::Demo => "the demo pages",
            Site::Gotapi => "gotapi-ws",
            Site::Wechat => "react-wechat",
            Site::Tinode => "Tinode",
            Site::TinodeGrpc => "Tinode by gRPC",
        }
    }

    /// The environment variable of its address.
    pub fn listen_variable(self) -> &'static str {
        match self {
            Site::Websocket => "AO_WEBSOCKET__LISTEN",
            Site::Admin => "AO_ADMIN__LISTEN",
            Site::Api => "AO_API__LISTEN",
            Site::Metrics => "AO_METRICS__LISTEN",
            Site::Demo => "AO_DEMO__LISTEN",
            Site::Gotapi => "AO_GOTAPI__LISTEN",
            Site::Wechat => "AO_WECHAT__LISTEN",
            Site::Tinode => "AO_TINODE__LISTEN",
            Site::TinodeGrpc => "AO_TINODE__GRPC_LISTEN",
        }
    }

    /// The environment variables of its certificate and its key; `None` where it never has TLS.
    pub fn tls_variables(self) -> Option<&'static str> {
        match self {
            Site::Websocket | Site::Admin => {
                Some("AO_WEBSOCKET__TLS_CERTIFICATE and AO_WEBSOCKET__TLS_KEY")
            }
            Site::Api => Some("AO_API__TLS_CERTIFICATE and AO_API__TLS_KEY"),
            Site::Gotapi => Some("AO_GOTAPI__TLS_CERTIFICATE and AO_GOTAPI__TLS_KEY"),
            Site::Wechat => Some("AO_WECHAT__TLS_CERTIFICATE and AO_WECHAT__TLS_KEY"),
            Site::Tinode => Some("AO_TINODE__TLS_CERTIFICATE and AO_TINODE__TLS_KEY"),
            Site::TinodeGrpc => Some("AO_TINODE__GRPC_TLS_CERTIFICATE and AO_TINODE__GRPC_TLS_KEY"),
            Site::Metrics | Site::Demo => None,
        }
    }

    /// Where it listens; `None` where it does not.
    pub fn address(self, config: &Config) -> Option<SocketAddr> {
        match self {
            Site::Websocket => Some(config.websocket.listen),
            Site::Admin => config.admin.listen,
            Site::Api => Some(config.api.listen),
            Site::Metrics => config.metrics.listen,
            Site::Demo => config.demo.listen,
            Site::Gotapi => config.gotapi.listen,
            Site::Wechat => config.wechat.listen,
            Site::Tinode => config.tinode.listen,
            Site::TinodeGrpc => config.tinode.grpc_listen,
        }
    }

    /// The files of its TLS; `None` where it has none.
    pub fn tls(self, config: &Config) -> Option<TlsFiles> {
        match self {
            Site::Websocket | Site::Admin => config.websocket.tls(),
            Site::Api => config.api.tls(),
            Site::Gotapi => config.gotapi.tls(),
            Site::Wechat => config.wechat.tls(),
            Site::Tinode => config.tinode.tls(),
            Site::TinodeGrpc => config.tinode.grpc_tls(),
            Site::Metrics | Site::Demo => None,
        }
    }
}
