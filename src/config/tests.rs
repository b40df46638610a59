//! The configuration as a whole: its defaults, its layers, its printed form.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, FromArgMatches};

use super::layers::Layers;
use super::*;

/// For each setting a value that is not its default, as written and as printed.
const OTHER: &[(&str, &str, &str)] = &[
    ("compat", "deployed", "deployed"),
    ("websocket.listen", ":3100", "0.0.0.0:3100"),
    ("websocket.tls_certificate", "tls/chain.pem", "tls/chain.pem"),
    ("websocket.tls_key", "tls/key.pem", "tls/key.pem"),
    (
        "websocket.origins",
        "wss://Chat.Example/, http://b.example:81",
        "https://chat.example,http://b.example:81",
    ),
    ("websocket.ping_interval", "26", "26s"),
    ("websocket.ping_timeout", "2m", "2m"),
    ("websocket.header_timeout", "1500ms", "1500ms"),
    ("websocket.write_stall", "16s", "16s"),
    ("websocket.backlog", "2MiB", "2 MiB"),
    ("websocket.client_script", "web/client.js", "web/client.js"),
    ("admin.listen", "[::1]:3001", "[::1]:3001"),
    ("admin.auth_switch", "false", "false"),
    ("admin.console", "false", "false"),
    ("api.listen", "127.0.0.1:0", "127.0.0.1:0"),
    ("api.tls_certificate", "tls/api.pem", "tls/api.pem"),
    ("api.tls_key", "tls/api-key.pem", "tls/api-key.pem"),
    ("api.open", "true", "true"),
    ("demo.listen", "127.0.0.1:5001", "127.0.0.1:5001"),
    ("gotapi.listen", "127.0.0.1:8080", "127.0.0.1:8080"),
    ("gotapi.tls_certificate", "tls/gotapi.pem", "tls/gotapi.pem"),
    ("gotapi.tls_key", "tls/gotapi-key.pem", "tls/gotapi-key.pem"),
    ("gotapi.secret", WHSEC, "***"),
    ("gotapi.max_message", "64KiB", "64 KiB"),
    ("wechat.listen", "127.0.0.1:3002", "127.0.0.1:3002"),
    ("wechat.tls_certificate", "tls/wechat.pem", "tls/wechat.pem"),
    ("wechat.tls_key", "tls/wechat-key.pem", "tls/wechat-key.pem"),
    ("wechat.jwt_secret", WHSEC, "***"),
    ("wechat.rate_limit", "9 in 1m", "9 in 60s"),
    ("wechat.origins", "https://chat.example", "https://chat.example"),
    ("wechat.stun_urls", "stun:stun.example", "stun:stun.example"),
    ("wechat.turn_urls", "turn:turn.example", "turn:turn.example"),
    ("wechat.turn_secret", WHSEC, "***"),
    ("wechat.turn_lifetime", "2h", "2h"),
    ("tinode.listen", "127.0.0.1:6060", "127.0.0.1:6060"),
    ("tinode.tls_certificate", "tls/tinode.pem", "tls/tinode.pem"),
    ("tinode.tls_key", "tls/tinode-key.pem", "tls/tinode-key.pem"),
    ("tinode.grpc_listen", "127.0.0.1:16060", "127.0.0.1:16060"),
    ("tinode.grpc_tls_certificate", "tls/grpc.pem", "tls/grpc.pem"),
    ("tinode.grpc_tls_key", "tls/grpc-key.pem", "tls/grpc-key.pem"),
    ("tinode.api_key_salt", SALT, "***"),
    ("tinode.token_key", WHSEC, "***"),
    ("tinode.token_lifetime", "7d", "7d"),
    ("tinode.required_credentials", "email", "email"),
    ("tinode.max_message", "64KiB", "64 KiB"),
    ("tinode.max_subscribers", "32", "32"),
    ("tinode.min_tag", "3", "3"),
    ("tinode.max_tag", "100", "100"),
    ("tinode.max_tags", "8", "8"),
    ("tinode.delete_age", "2h", "2h"),
    ("tinode.rate_limit", "8 in 1m", "8 in 60s"),
    ("tinode.page_cache", "32MiB", "32 MiB"),
    ("tinode.files", "/srv/files", "/srv/files"),
    ("tinode.max_file", "1MiB", "1 MiB"),
    ("tinode.file_types", "image/*, text/plain", "image/*,text/plain"),
    ("tinode.file_quota", "100MiB", "100 MiB"),
    ("tinode.file_unused", "2h", "2h"),
    ("tinode.s3_endpoint", "https://s3.example/", "https://s3.example/"),
    ("tinode.s3_region", "us-east-1", "us-east-1"),
    ("tinode.s3_bucket", "files", "files"),
    ("tinode.s3_key", "AKEXAMPLE", "AKEXAMPLE"),
    ("tinode.s3_secret", WHSEC, "***"),
    ("tinode.smtp_host", "mail.example", "mail.example"),
    ("tinode.smtp_port", "465", "465"),
    ("tinode.smtp_tls", "implicit", "implicit"),
    ("tinode.smtp_user", "chat", "chat"),
    ("tinode.smtp_password", WHSEC, "***"),
    ("tinode.smtp_from", "Chat <chat@example.org>", "Chat <chat@example.org>"),
    ("tinode.hook_url", "https://shop.example/tinode", "https://shop.example/tinode"),
    ("tinode.hook_secret", WHSEC, "***"),
    ("tinode.hook_timeout", "1500ms", "1500ms"),
    ("tinode.hooks", "credential, push", "credential,push"),
    ("tinode.push_after", "30s", "30s"),
    ("chat_service.enabled", "true", "true"),
    ("chat_service.namespace", "/rooms", "/rooms"),
    ("chat_service.enable_access_lists_updates", "true", "true"),
    ("chat_service.enable_direct_messages", "true", "true"),
    ("chat_service.enable_rooms_management", "true", "true"),
    ("chat_service.enable_userlist_updates", "true", "true"),
    ("chat_service.use_raw_error_objects", "true", "true"),
    ("chat_service.history_max_get_messages", "0", "0"),
    ("chat_service.history_max_size", "5", "5"),
    ("chat_service.direct_list_size_limit", "6", "6"),
    ("chat_service.room_list_size_limit", "7", "7"),
    ("chat_service.close_timeout", "14s", "14s"),
    ("chat_service.heartbeat_rate", "9s", "9s"),
    ("chat_service.heartbeat_timeout", "29s", "29s"),
    ("chat_service.bus_ack_timeout", "4s", "4s"),
    ("chat_service.lock_ttl", "8s", "8s"),
    ("chat_service.instance_uid", "one", "one"),
    ("chat_service.hook_url", "https://shop.example/cs", "https://shop.example/cs"),
    ("chat_service.hook_secret", WHSEC, "***"),
    ("chat_service.hook_timeout", "1500ms", "1500ms"),
    ("chat_service.hooks", "onJoin, roomMessageAfter", "onJoin,roomMessageAfter"),
    ("metrics.listen", "127.0.0.1:9100", "127.0.0.1:9100"),
    ("store.path", "elsewhere with \"quotes\"", "elsewhere with \"quotes\""),
    ("store.messages", "redis://127.0.0.1:6379/3", "redis://127.0.0.1:6379/3"),
    (
        "store.tokens",
        "mongodb://a.example,b.example/?tls=true",
        "mongodb://a.example,b.example/?tls=true",
    ),
    ("store.durability", "power", "power"),
    ("store.patience", "0", "0s"),
    ("store.pending", "20000000", "20 MB"),
    ("store.deadline", "7s", "7s"),
    ("store.page_cache", "32MiB", "32 MiB"),
    ("store.updates", "500", "500"),
    ("store.update_bytes", "1MiB", "1 MiB"),
    ("store.key_prefix", "class:", "class:"),
    ("store.backups", "true", "true"),
    ("store.lease", "30s", "30s"),
    ("store.room_expiry", "30d", "30d"),
    ("retention.rules", "chat:*=30d,10000;*=off", "chat:*=30d,10000; *=off"),
    ("retention.interval", "5m", "5m"),
    ("auth.ignore", "true", "true"),
    ("auth.timeout", "11s", "11s"),
    ("auth.join_timeout", "12s", "12s"),
    ("auth.rate_limit", "off", "off"),
    ("jwt.secret", "open sesame", "***"),
    ("jwt.previous_secret", "open barley", "***"),
    ("jwt.keys", "keys.pem", "keys.pem"),
    ("jwt.jwks_url", "https://id.example/jwks", "https://id.example/jwks"),
    ("jwt.jwks_refresh", "2m", "2m"),
    ("jwt.algorithms", "RS256, ES256", "RS256,ES256"),
    ("jwt.audience", "chat, board", "chat,board"),
    ("jwt.issuer", "https://id.example", "https://id.example"),
    ("jwt.leeway", "0", "0s"),
    ("jwt.grace", "5s", "5s"),
    ("jwt.max_lifetime", "2h", "2h"),
    ("rooms.access", "hook", "hook"),
    ("hook.url", "https://shop.example/ao", "https://shop.example/ao"),
    ("hook.secret", WHSEC, "***"),
    ("hook.previous_secret", WHSEC, "***"),
    ("hook.events", "message, join", "message,join"),
    ("hook.rooms", "chat:*, *", "chat:*,*"),
    ("hook.timeout", "1500ms", "1500ms"),
    ("hook.concurrency", "16", "16"),
    ("hook.cache", "10s", "10s"),
    ("hook.on_failure", "allow", "allow"),
    ("hook.ca", "tls/authorities.pem", "tls/authorities.pem"),
    ("message.max_size", "16 MiB", "16 MiB"),
    ("limits.connections", "7", "7"),
    ("limits.connections_per_address", "8", "8"),
    ("limits.new_connections", "9 in 1s", "9 in 1s"),
    ("limits.messages", "10 in 1s", "10 in 1s"),
    ("limits.bytes", "1000 in 1s", "1000 in 1s"),
    ("limits.joins", "12 in 1s", "12 in 1s"),
    ("limits.new_rooms", "13 in 1s", "13 in 1s"),
    ("limits.rooms_per_connection", "14", "14"),
    ("limits.failed_sign_ins", "15 in 1s", "15 in 1s"),
    ("limits.failed_sign_ins_per_address", "16 in 1s", "16 in 1s"),
    ("limits.requests_per_address", "11 in 1s", "11 in 1s"),
    ("limits.memory", "2 GiB", "2 GiB"),
    ("limits.proxies", "10.0.0.0/8, ::1", "10.0.0.0/8,::1"),
    ("log.filter", "warn,always_online=debug", "warn,always_online=debug"),
    ("log.format", "json", "json"),
    ("log.connections", "true", "true"),
    ("otel.endpoint", "https://otlp.example:4318", "https://otlp.example:4318/"),
    ("otel.sample", "0.5", "0.5"),
    ("otel.service", "chat", "chat"),
    ("otel.headers", "authorization=Bearer s3cret", "***"),
    ("otel.ca", "tls/collector.pem", "tls/collector.pem"),
    ("shutdown.deadline", "21s", "21s"),
    ("shutdown.batch", "7", "7"),
    ("shutdown.jitter", "0s", "0s"),
    ("runtime.workers", "3", "3"),
    ("webhook.url", "https://shop.example/ao?key=1", "https://shop.example/ao?***"),
    ("webhook.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "***"),
    ("webhook.previous_secret", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "***"),
    ("webhook.events", "message.*, room.cleared", "message.*,room.cleared"),
    ("webhook.rooms", "chat:*, doc:*", "chat:*,doc:*"),
    ("webhook.timeout", "5s", "5s"),
    ("webhook.concurrency", "4", "4"),
    ("webhook.batch", "10", "10"),
    ("webhook.keep", "2h", "2h"),
    ("webhook.pending", "1 MiB", "1 MiB"),
    ("webhook.leave_delay", "0s", "0s"),
    ("webhook.ca", "ca.pem", "ca.pem"),
];

/// A secret of every kind but the next.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// 32 bytes in base64.
const SALT: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

pub(super) fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The configuration from a file of this text, these variables and these flags (by key).
pub(super) fn config(
    toml: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, Problems> {
    let mut layers = Layers::default();
    file::add(&mut layers, Path::new("ao.toml"), toml);
    layers.environment(variables(environment));
    layers.flags(&flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect());
    Config::settle(layers)
}

/// The flags of a command line.
fn flags(line: &[&str]) -> Flags {
    let command = GivenFlags::augment_args(clap::Command::new("always-online"));
    GivenFlags::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap().0
}

/// A file with one setting, its value in quotes.
fn toml_of(setting: &Setting, text: &str) -> String {
    let line = format!("{} = {}\n", setting.name(), toml_edit::Value::from(text));
    if setting.section.is_empty() { line } else { format!("[{}]\n{line}", setting.section) }
}

#[test]
fn every_default_is_what_its_entry_says() {
    let defaults = Config::defaults().unwrap();
    for (setting, (key, text)) in settings().iter().zip(defaults.values()) {
        assert_eq!((setting.key, setting.default), (key, text.as_str()));
        assert_eq!(defaults.source(key), &Place::Default);
    }
    assert_eq!(settings().len(), defaults.values().len());
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = Config::defaults().unwrap();
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(config.compat, Compat::Documented);
    assert_eq!(config.websocket.listen, address("0.0.0.0:3000"));
    assert_eq!(config.websocket.origins, Origins::Any);
    assert_eq!(config.websocket.ping_interval, Duration::from_secs(25));
    assert_eq!(config.websocket.backlog.bytes(), 1 << 20);
    assert_eq!(config.websocket.client_script, None);
    assert_eq!((config.admin.listen, config.admin.auth_switch), (None, true));
    assert_eq!((config.api.listen, config.api.open), (address("127.0.0.1:4000"), Open::Auto));
    assert_eq!(
        (config.demo.listen, config.metrics.listen),
        (Some(address("127.0.0.1:5000")), None)
    );
    assert_eq!((config.gotapi.listen, config.gotapi.max_message.bytes()), (None, 32 << 10));
    assert_eq!((config.wechat.listen, config.wechat.turn_lifetime.as_secs()), (None, 3600));
    assert_eq!((config.tinode.listen, config.tinode.grpc_listen), (None, None));
    assert_eq!((config.tinode.max_subscribers, config.tinode.push_after), (128, None));
    assert_eq!(config.store.path, PathBuf::from("data"));
    assert_eq!(
        (&config.store.messages, &config.store.tokens),
        (&Backend::Embedded, &Backend::Embedded)
    );
    assert_eq!((config.store.durability, config.store.room_expiry), (Durability::Process, None));
    assert_eq!(config.auth.rate_limit, RateLimit { count: 30, window: Duration::from_secs(60) });
    assert_eq!((config.auth.ignore, config.message.max_size.bytes()), (false, 500 * 1024));
    assert_eq!((config.log.filter.as_str(), config.log.format), ("info", Format::Text));
    assert_eq!((config.shutdown.batch, config.runtime.workers), (100, 0));
}

#[test]
fn names_follow_from_the_key() {
    for setting in settings() {
        let (env, flag) = match setting.key {
            "log.filter" => ("AO_LOG".into(), "log".into()),
            key => (
                format!("AO_{}", key.replace('.', "__").to_uppercase()),
                key.replace(['.', '_'], "-"),
            ),
        };
        assert_eq!((setting.env, &setting.flag), (env.as_str(), &flag));
        assert!(setting.doc.ends_with('.') && setting.about.ends_with('.'), "{}", setting.key);
    }
}

#[test]
fn every_setting_is_reached_by_file_environment_and_flag() {
    assert_eq!(
        settings().iter().map(|s| s.key).collect::<Vec<_>>(),
        OTHER.iter().map(|(key, ..)| *key).collect::<Vec<_>>()
    );
    let defaults = Config::defaults().unwrap();
    for (setting, (key, text, printed)) in settings().iter().zip(OTHER) {
        let flag = format!("--{}", setting.flag);
        let given = flags(&["always-online", &flag, text]);
        // Some are of no use without others: of the two for TLS none is.
        let needs = |other: &str| match *key {
            "jwt.previous_secret" => other == "jwt.secret",
            "hook.url" => other == "hook.secret",
            "webhook.url" => other == "webhook.secret",
            "wechat.turn_urls" => other == "wechat.turn_secret",
            "tinode.grpc_listen" => other == "tinode.listen",
            "tinode.required_credentials" => {
                ["tinode.smtp_host", "tinode.smtp_from"].contains(&other)
            }
            "tinode.s3_endpoint" => {
                let others = ["region", "bucket", "key", "secret"];
                others.iter().any(|name| other == format!("tinode.s3_{name}"))
            }
            "tinode.smtp_host" => other == "tinode.smtp_from",
            "tinode.hooks" => ["tinode.hook_url", "tinode.hook_secret"].contains(&other),
            "tinode.push_after" => {
                ["tinode.hooks", "tinode.hook_url", "tinode.hook_secret"].contains(&other)
            }
            "chat_service.hooks" => {
                ["chat_service.hook_url", "chat_service.hook_secret"].contains(&other)
            }
            "rooms.access" => ["hook.url", "hook.secret"].contains(&other),
            key => other != key && other.split("tls_").next() == key.split("tls_").next(),
        };
        let others = OTHER.iter().zip(settings()).filter(|((other, ..), _)| needs(other));
        let beside: Vec<_> = others.map(|((_, text, _), setting)| (setting.env, *text)).collect();
        let environment = [&beside[..], &[(setting.env, *text)]].concat();
        let ways = [
            config(&toml_of(setting, text), &beside, &[]).unwrap(),
            config("", &environment, &[]).unwrap(),
            Config::load(None, variables(&beside), &given).unwrap(),
        ];
        for (config, place) in
            ways.iter().zip(["ao.toml:", &format!("environment {}", setting.env), &flag])
        {
            let changed: Vec<_> = config
                .values()
                .into_iter()
                .zip(defaults.values())
                .filter(|(new, old)| new != old)
                .collect();
            let mut changed: Vec<_> =
                changed.iter().map(|((key, text), _)| (*key, text.as_str())).collect();
            changed.retain(|(changed, _)| changed == key || beside.is_empty());
            match *key {
                "auth.ignore" => {
                    assert_eq!(changed, [("websocket.origins", "loopback"), (*key, *printed)])
                }
                _ => assert_eq!(changed, [(*key, *printed)]),
            }
            assert!(
                config.source(key).to_string().starts_with(place),
                "{key}: {}",
                config.source(key)
            );
        }
    }
}

#[test]
fn flags_overrule_the_environment_which_overrules_the_file() {
    let file = "[demo]\nlisten = ':1'";
    let env = [("AO_DEMO__LISTEN", ":2")];
    let port = |config: Result<Config, Problems>| config.unwrap().demo.listen.unwrap().port();
    assert_eq!(port(config("", &[], &[])), 5000);
    assert_eq!(port(config(file, &[], &[])), 1);
    assert_eq!(port(config(file, &env, &[])), 2);
    assert_eq!(port(config(file, &env, &[("demo.listen", ":3")])), 3);
    assert_eq!(port(config(file, &[], &[("demo.listen", ":3")])), 3);
}

#[test]
fn toml_may_use_its_own_literals_and_any_layout() {
    let toml = "compat = 'deployed'\nstore = { deadline = 7, pending = 4096 }\nshutdown.batch = 5\n[websocket]\n\
        origins = ['https://a.example', \"https://b.example\"]\n[auth]\nignore = true\n[api]\nopen = false\n\
        [otel]\nsample = 0.25\n";
    let config = config(toml, &[], &[]).unwrap();
    assert_eq!(config.store.deadline, Duration::from_secs(7));
    assert_eq!(config.store.pending.bytes(), 4096);
    assert_eq!(config.shutdown.batch, 5);
    assert_eq!(config.websocket.origins.to_string(), "https://a.example,https://b.example");
    assert_eq!((config.auth.ignore, config.api.open), (true, Open::False));
    assert_eq!(config.otel.sample, 0.25);
    assert_eq!(config.source("shutdown.batch").to_string(), "ao.toml:3:18");
}

#[cfg(unix)]
#[test]
fn without_authentication_only_pages_of_this_machine_connect_unless_told_otherwise() {
    let origins =
        |environment: &[(&str, &str)]| config("", environment, &[]).unwrap().websocket.origins;
    assert_eq!(origins(&[("AO_AUTH__IGNORE", "true")]), Origins::Loopback);
    assert_eq!(
        origins(&[("AO_AUTH__IGNORE", "true"), ("AO_WEBSOCKET__ORIGINS", "*")]),
        Origins::Any
    );
    assert_eq!(origins(&[("AO_AUTH__IGNORE", "false")]), Origins::Any);
    assert_eq!(origins(&[("AO_WEBSOCKET__ORIGINS", "loopback")]), Origins::Loopback);
}

/// The sections, so that all of a configuration but the origins of its values can be compared.
fn parts(config: &Config) -> impl PartialEq + std::fmt::Debug {
    let Config {
        compat,
        websocket,
        admin,
        api,
        demo,
        gotapi,
        wechat,
        tinode,
        chat_service,
        metrics,
        store,
        auth,
        hook,
        message,
        log,
        shutdown,
        runtime,
        ..
    } = config.clone();
    (
        (compat, websocket, admin, api, demo, gotapi, wechat, tinode, chat_service, metrics),
        (store, auth, hook, message, log, shutdown, runtime),
    )
}

#[test]
fn the_printed_configuration_gives_the_same_again() {
    let all_other: Vec<_> = OTHER.iter().map(|(key, text, _)| (*key, *text)).collect();
    for flags in [&[][..], &[("auth.ignore", "true")], &all_other] {
        let first = config("", &[], flags).unwrap();
        // What is hidden has to be filled in, as the comment beside it says.
        let filled = first
            .print()
            .replace("headers = \"***\"", "headers = \"authorization=s3cret\"")
            .replace("salt = \"***\"", &format!("salt = {SALT:?}"))
            .replace("\"***\"", &format!("{WHSEC:?}"));
        let second = config(&filled, &[], &[]).unwrap();
        assert_eq!(parts(&first), parts(&second));
    }
}

#[test]
fn the_printed_configuration_tells_where_each_value_comes_from() {
    let config = config(
        "[log]\nformat = 'json'",
        &[("AO_AUTH__IGNORE", "true")],
        &[("runtime.workers", "2")],
    )
    .unwrap();
    let printed = config.print();
    for line in [
        "compat = \"documented\" # default",
        "origins = \"loopback\" # default, because auth.ignore is true",
        "ignore = true # environment AO_AUTH__IGNORE",
        "format = \"json\" # file ao.toml:2:10",
        "workers = 2 # flag --runtime-workers",
    ] {
        assert!(printed.lines().any(|l| l == line), "{line} is missing in\n{printed}");
    }
    assert_eq!(printed.matches(" # ").count(), settings().len());
}

#[test]
fn secrets_are_neither_printed_nor_debugged() {
    let config =
        config("", &[("AO_STORE__MESSAGES", "redis://u:s3cret@a.example/1")], &[]).unwrap();
    let printed = config.print();
    assert!(printed.contains("messages = \"redis://***@a.example/1\" # environment AO_STORE__MESSAGES; *** stands for credentials"));
    assert!(!printed.contains("s3cret") && !format!("{config:?}").contains("s3cret"));
    let Backend::Url(url) = &config.store.messages else { panic!("{config:?}") };
    assert_eq!(url.expose(), "redis://u:s3cret@a.example/1");
}

#[test]
fn a_hidden_secret_has_to_be_filled_in_before_a_printed_configuration_is_of_use() {
    let first = config("[gotapi]\nsecret = 's3cret'", &[], &[]).unwrap();
    let printed = first.print();
    assert!(printed.contains("secret = \"***\" # file ao.toml:2:10; *** stands for credentials"));
    assert!(!printed.contains("s3cret") && !format!("{first:?}").contains("s3cret"));
    assert_eq!(first.gotapi.secret.expose(), "s3cret");
    let again = config(&printed, &[], &[]).unwrap_err().to_string();
    assert!(again.contains("gotapi.secret = (hidden): *** only stands for a secret"), "{again}");
}

#[test]
fn each_section_below_webhook_is_an_endpoint() {
    let toml = format!(
        "[webhook]\nbatch = 5\n[webhook.billing]\nurl = \"http://b.example/\"\nsecret = \"{WHSEC}\"\nrooms = [\"shop:*\"]\n"
    );
    let main = [("AO_WEBHOOK__URL", "http://a.example/"), ("AO_WEBHOOK__SECRET", WHSEC)];
    let config = config(&toml, &main, &[]).unwrap();
    let names: Vec<_> = config.webhooks.keys().map(String::as_str).collect();
    assert_eq!((names, config.webhook.batch), (vec!["billing"], 5));
    let billing = &config.webhooks["billing"];
    assert_eq!(billing.url.as_ref().unwrap().to_string(), "http://b.example/");
    assert_eq!((billing.rooms.iter().collect::<Vec<_>>(), billing.batch), (vec!["shop:*"], 100));
    assert!(config.print().contains("[webhook.billing]\nurl = \"http://b.example/\""));
}

#[test]
fn what_is_wrong_with_an_endpoint_is_said() {
    for (toml, wanted) in [
        ("[webhook.main]\n", "other than main"),
        ("[webhook.\"a b\"]\n", "letters, digits"),
        ("[webhook.a]\nurll = \"x\"\n", "unknown key \"urll\" in [webhook]"),
        ("[webhook.a]\nevents = \"room.left\"\n", "is no event"),
        ("[webhook]\nrooms = \"*a*b*c*\"\n", "more than 3 asterisks"),
        ("[webhook.a.b]\nurl = \"\"\n", "webhook"),
        ("[webhook]\nurl = \"http://a/\"\n", "ao.toml:2:7: webhook.url needs webhook.secret"),
        (
            "\n[webhook.a]\nurl = \"http://a/\"\n",
            "ao.toml:3:7: webhook.a.url needs webhook.a.secret",
        ),
    ] {
        let problems = config(toml, &[], &[]).unwrap_err().to_string();
        assert!(problems.contains(wanted), "{toml}: {problems}");
    }
    // One that is told nothing needs none, and what is wrong with a secret is said once.
    assert!(config("[webhook]\nbatch = 5\n[webhook.a]\nbatch = 5\n", &[], &[]).is_ok());
    let bad = "[webhook]\nurl = \"http://a/\"\nsecret = \"whsec_\"\n";
    let problems = config(bad, &[], &[]).unwrap_err().to_string();
    assert!(!problems.contains("needs"), "{problems}");
}
