//! Which dialects are served, and how each is configured. A new one is added here.
use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{StartError, operate::Lives, wechat_secret};
use crate::{
    config::{Backend, Config, RoomAccess, Site, SmtpTls},
    dialect::{Dialect, always_online, chat_service, gotapi, tinode, wechat},
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
pub(super) const FORMS: Forms = Forms::new(&[chat_service::FORM, wechat::FORM, tinode::FORM]);

/// The folder of files, within that of data, where none is named.
const FILES: &str = "tinode-files";
/// The folder of files that are on their way to a server of S3, within that of data.
const UPLOADS: &str = "tinode-uploads";

/// Whom hooks call, by the dialect that has them.
pub(super) struct Callers {
    pub(super) chat_service: Arc<dyn Calls>,
    pub(super) tinode: Arc<dyn Calls>,
}

/// How they end.
pub(super) struct Ending<'a> {
    /// Their tasks end with this.
    pub(super) stop: &'a CancellationToken,
    /// What is waited for before the stores are closed.
    pub(super) writes: &'a TaskTracker,
}

/// The dialects that were started, and what they add to the HTTP API.
#[derive(Default)]
pub(super) struct Started {
    pub(super) dialects: Vec<Arc<dyn Dialect>>,
    pub(super) methods: Vec<Arc<dyn Methods>>,
}

/// Starts the dialects whose listener there is. `originals`: what servers before this one have left.
///
/// # Errors
/// There is no randomness, a secret that is kept can't be read, or what is set can't be used.
pub(super) async fn start(
    config: &Config,
    hub: &Arc<Hub>,
    lives: &Lives,
    callers: Callers,
    originals: Option<Arc<dyn Originals>>,
    listens: impl Fn(Site) -> bool,
    ending: Ending<'_>,
) -> Result<Started, StartError> {
    let Ending { stop, writes } = ending;
    let mut started = Started::default();
    if listens(Site::Websocket) {
        let mut neighbours = Vec::new();
        if config.chat_service.enabled {
            let options =
                chat_service_options(config, hub).map_err(|why| failed("chat-service", &why))?;
            let verifier = lives.verifier.clone();
            let caller = callers.chat_service;
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
    if listens(Site::Tinode) {
        let (options, verifier) = (tinode_options(config), lives.verifier.clone());
        let (caller, writes) = (callers.tinode, writes.clone());
        let mounted = tinode::start(hub.clone(), options, caller, verifier, stop, writes)
            .await
            .map_err(|why| StartError::Dialect { dialect: "Tinode", why })?;
        started.methods.push(mounted.methods);
        started.dialects.extend([mounted.dialect, mounted.grpc]);
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

fn tinode_options(config: &Config) -> tinode::Options {
    let of = &config.tinode;
    tinode::Options {
        limits: tinode::Limits {
            message: of.max_message.bytes(),
            subscribers: of.max_subscribers,
            tag_min: of.min_tag,
            tag_max: of.max_tag,
            tags: of.max_tags,
            upload: of.max_file.bytes(),
            delete_age: of.delete_age,
        },
        api_key_salt: of.api_key_salt.clone(),
        token_key: of.token_key.clone(),
        token_lifetime: of.token_lifetime,
        required: of.required_credentials.as_slice().to_vec(),
        rate_limit: Rate { count: of.rate_limit.count, window: of.rate_limit.window },
        page_cache: of.page_cache.bytes(),
        files: tinode::FilesOptions {
            place: tinode_files(config),
            types: of.file_types.as_slice().to_vec(),
            most: of.max_file.bytes(),
            quota: of.file_quota.bytes() as u64,
            keep_unused: of.file_unused,
        },
        mail: (!of.smtp_host.is_empty()).then(|| tinode::MailOptions {
            host: of.smtp_host.clone(),
            port: of.smtp_port,
            tls: match of.smtp_tls {
                SmtpTls::Off => tinode::Tls::Off,
                SmtpTls::StartTls => tinode::Tls::StartTls,
                SmtpTls::Implicit => tinode::Tls::Implicit,
            },
            user: of.smtp_user.clone(),
            password: of.smtp_password.clone(),
            from: of.smtp_from.clone(),
        }),
        push_after: of.push_after,
        alone: is_alone(config),
    }
}

/// Where files are kept.
fn tinode_files(config: &Config) -> tinode::Where {
    let of = &config.tinode;
    if let Some(endpoint) = &of.s3_endpoint {
        return tinode::Where::S3 {
            endpoint: endpoint.expose().to_string(),
            region: of.s3_region.clone(),
            bucket: of.s3_bucket.clone(),
            key: of.s3_key.clone(),
            secret: of.s3_secret.clone(),
            uploads: config.store.path.join(UPLOADS),
        };
    }
    let folder = of.files.clone().unwrap_or_else(|| config.store.path.join(FILES));
    if !is_alone(config) {
        tracing::warn!(
            folder = %folder.display(),
            "files of Tinode are kept in this folder: all nodes have to share it"
        );
    }
    tinode::Where::Folder(folder)
}

/// Whether there are no other nodes: messages are in this server's own files.
fn is_alone(config: &Config) -> bool {
    matches!(config.store.messages, Backend::Embedded)
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
