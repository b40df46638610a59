//! The sections of the configuration, each in a file of its own.

mod admin;
mod api;
mod auth;
pub(super) mod compat;
mod demo;
mod gotapi;
mod hook;
mod jwt;
mod log;
mod message;
mod metrics;
mod retention;
mod rooms;
mod runtime;
mod shutdown;
mod store;
pub mod webhook;
mod websocket;

pub use admin::Admin;
pub use api::{Api, Open};
pub use auth::Auth;
pub use compat::Compat;
pub use demo::Demo;
pub use gotapi::Gotapi;
pub use hook::{Hook, HookEvents, OnFailure};
pub use jwt::Jwt;
pub use log::{Format, Log};
pub use message::Message;
pub use metrics::Metrics;
pub use retention::{Retention, RetentionRule};
pub use rooms::{RoomAccess, Rooms};
pub use runtime::Runtime;
pub use shutdown::Shutdown;
pub use store::{Durability, Store};
pub use webhook::Webhook;
pub use websocket::Websocket;
