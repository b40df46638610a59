//! Which dialects are served, and how each is configured. A new one is added here.
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{StartError, operate::Lives, wechat_secret};
use crate::{
    config::{Config, RoomAccess, Site},
    dialect::{Dialect, always_online, chat_service, gotapi, wechat},
    domain::{
        access::Access,
        calls::Calls,
        clock::{NoRandomness, alphanumeric},
        hub::Hub,
        message::form::Forms,
        methods::Methods,
        originals::Originals,
        secret::Secret,
    },
    pace::Rate,
};

/// Characters of the name of an instance that has none of its own.
const INSTANCE: usize = 20;

/// How messages are written that are not as those of shared rooms. Stores know it whether or not
/// the dialect is served: its messages may be there.
pub(super) const FORMS: Forms = Forms::new(&[chat_service::FORM, wechat::FORM]);

/// The dialects that were started, and what they add to the HTTP API.
#[derive(Default)]
pub(super) struct Started {
    pub(super) dialects: Vec<Arc<dyn Dialect>>,
    pub(super) methods: Vec<Arc<dyn Methods>>,
}

/// Starts the dialects whose listener there is. Their tasks end with `stop`. `caller`: whom the
/// hooks of chat-service call. `originals`: what servers before this one have left.
///
/// # Errors
/// There is no randomness, or a secret that is kept can't be read.
pub(super) fn start(
    config: &Config,
    hub: &Arc<Hub>,
    lives: &Lives,
    caller: Arc<dyn Calls>,
    originals: Option<Arc<dyn Originals>>,
    listens: impl Fn(Site) -> bool,
    stop: &CancellationToken,
) -> Result<Started, StartError> {
    let mut started = Started::default();
    if listens(Site::Websocket) {
        let mut neighbours = Vec::new();
        if config.chat_service.enabled {
            let options =
                chat_service_options(config, hub).map_err(|why| failed("chat-service", &why))?;
            let verifier = lives.verifier.clone();
            let mounted = chat_service::start(hub.clone(), options, caller, verifier, stop);
            neighbours.push(mounted.namespace);
            started.methods.push(mounted.methods);
            started.dialects.push(mounted.dialect);
        }
        let options = always_online_options(config, lives);
        started.dialects.push(always_online::start(hub.clone(), options, neighbours, stop));
    }
    if listens(Site::Gotapi) {
        let options = gotapi_options(config);
        started.dialects.push(gotapi::start(hub.clone(), options, lives.gate.clone()));
    }
    if listens(Site::Wechat) {
        let options = wechat_options(config, hub).map_err(|why| failed("react-wechat", &why))?;
        let mounted = wechat::start(hub.clone(), options, originals, stop);
        started.methods.push(mounted.methods);
        started.dialects.push(mounted.dialect);
    }
    Ok(started)
}

fn failed(dialect: &'static str, why: &dyn std::error::Error) -> StartError {
    StartError::Dialect { dialect, why: why.to_string() }
}

fn chat_service_options(config: &Config, hub: &Hub) -> Result<chat_service::Options, NoRandomness> {
    let of = &config.chat_service;
    let instance = match &*of.instance_uid {
        "" => alphanumeric(&*hub.rng, INSTANCE)?,
        name => name.to_owned(),
    };
    Ok(chat_service::Options {
        namespace: of.namespace.clone(),
        access_lists_updates: of.enable_access_lists_updates,
        direct_messages: of.enable_direct_messages,
        rooms_management: of.enable_rooms_management,
        userlist_updates: of.enable_userlist_updates,
        raw_errors: of.use_raw_error_objects,
        max_message: config.message.max_size.bytes(),
        history_max_get_messages: of.history_max_get_messages,
        history_max_size: of.history_max_size,
        direct_list_size_limit: of.direct_list_size_limit,
        room_list_size_limit: of.room_list_size_limit,
        // Behind the deadline nobody waits for clients any more.
        close_timeout: of.close_timeout.min(config.shutdown.deadline),
        heartbeat_rate: of.heartbeat_rate,
        heartbeat_timeout: of.heartbeat_timeout,
        bus_ack_timeout: of.bus_ack_timeout,
        lock_ttl: of.lock_ttl,
        instance,
    })
}

fn gotapi_options(config: &Config) -> gotapi::Options {
    gotapi::Options {
        secret: config.gotapi.secret.clone(),
        max_message: config.gotapi.max_message.bytes(),
    }
}

fn wechat_options(config: &Config, hub: &Hub) -> Result<wechat::Options, wechat_secret::NoSecret> {
    let of = &config.wechat;
    let jwt_secret = match of.jwt_secret.expose() {
        // Messages are in this server's own files then: `Config::check`.
        "" => wechat_secret::kept(&config.store.path, &*hub.rng)?,
        secret => Secret::presented(secret),
    };
    Ok(wechat::Options {
        jwt_secret,
        rate_limit: Rate { count: of.rate_limit.count, window: of.rate_limit.window },
        origins: of.origins.clone(),
        turn: wechat::Servers {
            stun: of.stun_urls.as_slice().to_vec(),
            turn: of.turn_urls.as_slice().to_vec(),
            secret: of.turn_secret.clone(),
            lifetime: of.turn_lifetime,
        },
    })
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
