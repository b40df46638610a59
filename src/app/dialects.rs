//! Which dialects are served, and how each is configured. A new one is added here.
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::operate::Lives;
use crate::{
    config::{Config, RoomAccess, Site},
    dialect::{Dialect, always_online, gotapi},
    domain::{access::Access, hub::Hub},
};

/// Starts the dialects whose listener there is. Their tasks end with `stop`.
pub(super) fn start(
    config: &Config,
    hub: &Arc<Hub>,
    lives: &Lives,
    listens: impl Fn(Site) -> bool,
    stop: &CancellationToken,
) -> Vec<Arc<dyn Dialect>> {
    let mut dialects: Vec<Arc<dyn Dialect>> = Vec::new();
    if listens(Site::Websocket) {
        let options = always_online_options(config, lives);
        dialects.push(always_online::start(hub.clone(), options, stop));
    }
    if listens(Site::Gotapi) {
        dialects.push(gotapi::start(hub.clone(), gotapi_options(config), lives.gate.clone()));
    }
    dialects
}

fn gotapi_options(config: &Config) -> gotapi::Options {
    gotapi::Options {
        secret: config.gotapi.secret.clone(),
        max_message: config.gotapi.max_message.bytes(),
    }
}

fn always_online_options(config: &Config, lives: &Lives) -> always_online::Options {
    always_online::Options {
        auth_timeout: config.auth.timeout,
        join_timeout: config.auth.join_timeout,
        ping_interval: config.websocket.ping_interval,
        ping_timeout: config.websocket.ping_timeout,
        max_message: config.message.max_size.bytes(),
        backlog: config.websocket.backlog.bytes(),
        page_cache: config.store.page_cache.bytes(),
        origins: lives.origins.clone(),
        client_script: config.websocket.client_script.clone(),
        verifier: lives.verifier.clone(),
        grace: config.jwt.grace,
        access: match config.rooms.access {
            RoomAccess::Open => Access::Open,
            RoomAccess::Claims => Access::Claims,
            RoomAccess::Hook => Access::Hook,
        },
        gate: lives.gate.clone(),
    }
}
