//! The operator's view: commands, messages and exit codes, what listens where, what is logged.
//! `ending` has the ways to stop.

mod accounts;
mod backup;
mod copy;
mod diagnostics;
mod doctor;
mod ending;
mod limits;
mod lines;
mod metrics;
mod mongodb;
mod quotas;
mod readiness;
mod reload;
mod tls;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
};

use serde_json::{Value, json};
use support::{
    client::Client,
    http,
    server::{Server, Setup},
};

// The exit codes that scripts rely on.
const FAILED: i32 = 1;
const WRONG_CONFIGURATION: i32 = 2;
const NO_ADDRESS: i32 = 3;
const NO_STORE: i32 = 4;

const LISTENERS: [&str; 3] = ["AO_WEBSOCKET__LISTEN", "AO_API__LISTEN", "AO_DEMO__LISTEN"];

/// As a newcomer runs it: nothing set.
fn bare() -> Setup {
    LISTENERS.iter().fold(Setup::new().without("AO_STORE__PATH"), |setup, name| setup.without(name))
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for setting in LISTENERS.into_iter().chain(["AO_ADMIN__LISTEN", "AO_METRICS__LISTEN"]) {
        let ran = Setup::new().env(setting, &address).run().await;
        ran.fails(NO_ADDRESS, &[&address, setting]);
        assert_eq!(ran.stdout, "", "nothing is announced");
    }
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used_is_named_with_what_to_do() {
    let setup = Setup::new();
    let file = setup.scratch().join("letter.txt");
    fs::write(&file, "not a folder").unwrap();
    let path = file.to_str().unwrap().to_owned();
    setup
        .clone()
        .env("AO_STORE__PATH", &path)
        .run()
        .await
        .fails(NO_STORE, &[&path, "is not a folder", "AO_STORE__PATH"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");

    let below = format!("{path}/data");
    setup
        .clone()
        .env("AO_STORE__PATH", &below)
        .run()
        .await
        .fails(NO_STORE, &[&below, "can't write", "AO_STORE__PATH"]);

    let closed = setup.scratch().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // To root no folder is closed: there the case above has to do.
    if fs::write(closed.join("probe"), "").is_err() {
        let path = closed.to_str().unwrap().to_owned();
        setup
            .env("AO_STORE__PATH", &path)
            .run()
            .await
            .fails(NO_STORE, &[&path, "can't write", "AO_STORE__PATH"]);
    }
}

#[tokio::test]
async fn a_damaged_database_is_named_and_left_alone() {
    let mut server = Server::start().await;
    server.member("smith", "forge").await.send(&json!({ "1": "anvil" })).await;
    assert_eq!(server.terminate().await, 0);

    let file = server.setup().data().join("always-online.sqlite3");
    let garbage = vec![0xa5; usize::try_from(fs::metadata(&file).unwrap().len()).unwrap()];
    fs::write(&file, &garbage).unwrap();
    let ran = server.setup().run().await;
    ran.fails(NO_STORE, &[file.to_str().unwrap(), "is damaged", "move it away"]);
    assert_eq!(fs::read(&file).unwrap(), garbage);
    server
        .setup()
        .clone()
        .args(["token", "create", "smith"])
        .run()
        .await
        .fails(NO_STORE, &["is damaged"]);
}

#[tokio::test]
async fn a_second_server_on_a_folder_is_refused_and_the_first_goes_on() {
    let server = Server::start().await;
    let anna = server.member("anna", "attic").await;
    let folder = server.setup().data();
    let ran = server.setup().run().await;
    ran.fails(
        NO_STORE,
        &[folder.to_str().unwrap(), "in use by another always-online", "stop it", "AO_STORE__PATH"],
    );
    assert!(!ran.stdout.contains("admin token"), "{ran:?}");

    anna.send(&json!({ "1": "still here" })).await;
    assert_eq!(http::get(server.api(), "/readyz").await.status, 200);
    server.member("bert", "attic").await;
}

#[tokio::test]
async fn all_that_is_wrong_with_the_configuration_is_reported_together() {
    let setup = Setup::new();
    let file = setup.scratch().join("settings.toml");
    fs::write(&file, "[store]\ndeadlin = '8s'\n").unwrap();
    let wrong = setup
        .env("AO_WEBSOKET__LISTEN", "127.0.0.1:0")
        .env("AO_AUTH__TIMEOUT", "soon")
        .env("AO_STORE__DURABILITY", "proces")
        .env("AO_STORE__MESSAGES", "redis://user:s3cret@") // no host
        .env("AO_API__OPEN", "auto"); // right
    let said = [
        "settings.toml:2:",
        "deadlin",
        "did you mean",
        "AO_WEBSOKET__LISTEN: unknown variable",
        "did you mean AO_WEBSOCKET__LISTEN?",
        "AO_AUTH__TIMEOUT",
        "\"soon\"",
        "AO_STORE__DURABILITY",
        "did you mean process?",
        "AO_STORE__MESSAGES",
        "--shutdown-batch",
    ];
    let flags = ["--config", file.to_str().unwrap(), "--shutdown-batch", "0"];
    for command in ["all", "check-config", "print-config"] {
        let ran = wrong.clone().args([command].into_iter().chain(flags)).run().await;
        ran.fails(WRONG_CONFIGURATION, &said);
        assert_eq!(ran.stderr.lines().count(), 6, "one line each: {}", ran.stderr);
        assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
        assert!(!ran.stderr.contains("AO_API__OPEN"), "{}", ran.stderr);
    }
    assert!(!wrong.data().exists(), "nothing was started");
}

#[tokio::test]
async fn a_client_script_that_is_not_there_is_told_and_keeps_nobody_from_starting() {
    let setup = Setup::new().env("AO_WEBSOCKET__CLIENT_SCRIPT", "nowhere/client.js");
    let said = ["nowhere/client.js", "AO_WEBSOCKET__CLIENT_SCRIPT"];
    setup.clone().args(["check-config"]).run().await.fails(WRONG_CONFIGURATION, &said);
    let mut server = setup.start().await;
    server.logs(said[0]).await;
}

/// Some systems and programs take `localhost` for `::1` first, or only, and are told to connect
/// there by documents that say `localhost`.
#[tokio::test]
async fn localhost_is_both_loopback_addresses() {
    let setup =
        Setup::new().env("AO_ADMIN__LISTEN", "127.0.0.1:0").env("AO_METRICS__LISTEN", "[::1]:0");
    if TcpListener::bind("[::1]:0").is_err() {
        let mut server = Server::start().await;
        server.logs("localhost is one address here").await;
        return;
    }
    let mut server = setup.start().await;
    let other = |what: &str| {
        let address = server.own_address(what);
        let ip: IpAddr =
            if address.is_ipv4() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        SocketAddr::new(ip, address.port())
    };
    for what in ["websocket", "api", "demo", "admin", "metrics"] {
        assert_eq!(http::get(other(what), "/readyz").await.status, 200, "{what}");
    }
    // It is this machine there, too.
    let made = http::post(other("api"), "/user/create_token", &json!({ "uid": "anna" })).await;
    assert_eq!(made.json()["meta"]["status"], 0);
    assert_eq!(http::post(other("demo"), "/token", &json!({})).await.status, 200);
    Client::connect(other("websocket")).await;
    assert_eq!(server.terminate().await, 0);
    assert!(!server.stderr().contains("localhost"), "{}", server.stderr());

    // All addresses of IPv4 are not those of IPv6, but localhost is one of both. And what is
    // configured goes first.
    let taken = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::new()
        .env("AO_WEBSOCKET__LISTEN", "0.0.0.0:0")
        .env("AO_API__LISTEN", format!("127.0.0.1:{taken}"));
    let mut server = setup.env("AO_DEMO__LISTEN", format!("[::1]:{taken}")).launch();
    let line = server.says("websocket http://localhost:").await;
    let port = line.rsplit_once(':').unwrap().1.parse().unwrap();
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        assert_eq!(http::get(SocketAddr::new(ip, port), "/readyz").await.status, 200, "{ip}");
    }
    server.logs("may reach another program").await;
    let demo = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), taken);
    assert_eq!(http::get(demo, "/chat").await.status, 200);
}

#[tokio::test]
async fn there_need_be_no_demo() {
    let mut server = Setup::new().env("AO_DEMO__LISTEN", "").launch();
    let api = server.says("api http://").await.rsplit_once('/').unwrap().1.parse().unwrap();
    assert_eq!(http::get(api, "/readyz").await.status, 200);
    assert_eq!(server.terminate().await, 0);
    assert!(
        !server.stdout().contains("demo") && !server.stdout().contains(" draw"),
        "{}",
        server.stdout()
    );
}

#[tokio::test]
async fn the_reference_of_settings_is_up_to_date() {
    let ran = Setup::new().args(["print-reference"]).run().await;
    let told = "docs/CONFIGURATION.md is stale: cargo run --quiet -- print-reference > docs/CONFIGURATION.md";
    assert!(ran.succeeds() == include_str!("../../docs/CONFIGURATION.md"), "{told}");
}

#[tokio::test]
async fn health_asks_the_configured_server_or_the_one_that_is_named() {
    let mut server = Server::start().await;
    let here = server.websocket().to_string();
    let configured = bare().env("AO_WEBSOCKET__LISTEN", &here).args(["health"]);
    assert_eq!(configured.run().await.succeeds(), "ready\n");
    let api = format!("http://{}", server.api());
    assert_eq!(bare().args(["health", &api]).run().await.succeeds(), "ready\n");
    bare().args(["health", &format!("{api}/nowhere")]).run().await.fails(FAILED, &["404"]);
    bare().args(["health", "localhost"]).run().await.fails(WRONG_CONFIGURATION, &["http://"]);
    Setup::new().args(["health"]).run().await.fails(FAILED, &["name the URL"]);
    assert_eq!(server.terminate().await, 0);
    configured.run().await.fails(FAILED, &[&here, "does not answer"]);
}

#[tokio::test]
async fn a_wrong_command_line_is_refused() {
    for (arguments, said) in [
        (vec!["--websocket-lisen", ":8080"], "--websocket-listen"),
        (vec!["websockets"], "websocket"),
        (vec!["token", "create"], "<UID>"),
        (vec!["all", "--config", "missing.toml"], "missing.toml"),
    ] {
        Setup::new().args(arguments).run().await.fails(WRONG_CONFIGURATION, &[said]);
    }
}

#[tokio::test]
async fn a_configuration_can_be_checked_and_printed_and_used_again() {
    let setup = bare();
    assert_eq!(
        setup.clone().args(["check-config"]).run().await.succeeds(),
        "the configuration is valid\n"
    );

    let changed = setup
        .clone()
        .env("AO_SHUTDOWN__JITTER", "90s")
        .env("AO_STORE__MESSAGES", "redis://user:s3cret@cache.example/1");
    let ran = changed.args(["print-config", "--auth-timeout", "3s"]).run().await;
    let printed = ran.succeeds();
    assert!(!printed.contains("s3cret") && !printed.contains("user:"), "{printed}");
    for line in [
        "jitter = \"90s\" # environment AO_SHUTDOWN__JITTER",
        "timeout = \"3s\" # flag --auth-timeout",
        "redis://***@cache.example/1",
    ] {
        assert!(printed.contains(line), "{line} is missing in {printed}");
    }

    let file = setup.scratch().join("kept.toml");
    fs::write(&file, printed).unwrap();
    let file = file.to_str().unwrap();
    setup.clone().args(["check-config", "--config", file]).run().await.succeeds();
    let again = setup.args(["print-config", "--config", file]).run().await;
    let values = |text: &str| {
        text.lines().map(|line| line.split(" # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(again.succeeds()), values(printed));
}

#[tokio::test]
async fn help_tells_a_newcomer_what_to_do() {
    let help = bare().args(["--help"]).run().await;
    for text in [
        "3000",
        "4000",
        "5000",
        "Examples:",
        "always-online token create",
        "AO_STORE__PATH",
        "--store-path",
        "print-config",
    ] {
        assert!(help.succeeds().contains(text), "{text} is missing in {}", help.stdout);
    }
    assert!(bare().args(["-h"]).run().await.succeeds().contains("check-config"));
    let version = concat!("always-online ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(bare().args(["--version"]).run().await.succeeds(), version);
}

#[tokio::test]
async fn each_role_serves_its_own_and_nothing_else() {
    let found = async |server: &Server, what: &str, path: &str| {
        http::get(server.address(what), path).await.status != 404
    };
    let socket_io = "/socket.io/?EIO=4&transport=polling";
    for (role, listener, paths) in [
        ("websocket", "websocket", [true, true, false, false]),
        ("api", "api", [false, false, true, true]),
        ("test", "demo", [false, false, false, false]),
    ] {
        let mut server = Setup::new().args([role]).start().await;
        let mut served = Vec::new();
        for path in [socket_io, "/admin/monitor/stat", "/user/create_token", "/metrics"] {
            served.push(found(&server, listener, path).await);
        }
        assert_eq!(served, paths, "{role}");
        assert_eq!(found(&server, listener, "/always-online.js").await, role == "test");
        assert_eq!(server.terminate().await, 0);
        let announced: Vec<_> = server
            .stdout()
            .lines()
            .filter_map(|l| l.split_once(" http://127."))
            .map(|(what, _)| what.to_owned())
            .collect();
        let expected = if role == "test" { vec!["demo", "Open"] } else { vec![listener] };
        assert_eq!(announced, expected, "{role}");
    }
}

#[tokio::test]
async fn administration_and_metrics_can_have_listeners_of_their_own() {
    let server = Setup::new()
        .env("AO_ADMIN__LISTEN", "127.0.0.1:0")
        .env("AO_METRICS__LISTEN", "127.0.0.1:0")
        .start()
        .await;
    for listener in ["websocket", "api", "demo", "admin", "metrics"] {
        for path in ["/livez", "/readyz"] {
            assert_eq!(
                http::get(server.address(listener), path).await.status,
                200,
                "{path} of {listener}"
            );
        }
        for (path, only) in [("/admin/monitor/stat", "admin"), ("/metrics", "metrics")] {
            let expected = if listener == only { 200 } else { 404 };
            assert_eq!(
                http::get(server.address(listener), path).await.status,
                expected,
                "{path} of {listener}"
            );
        }
    }
    let elsewhere =
        http::post(server.websocket(), "/user/create_token", &json!({ "uid": "anna" })).await;
    assert_eq!(elsewhere.status, 404);
    assert!(elsewhere.body.contains(&server.api().port().to_string()), "{elsewhere:?}");
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let server = Server::start().await;
    let anna = server.member("anna", "attic").await;
    let value = async |name: &str| {
        let page = http::get(server.api(), "/metrics").await;
        assert!(
            page.header("content-type").unwrap().starts_with("application/openmetrics-text"),
            "{page:?}"
        );
        assert!(page.body.ends_with("# EOF\n"), "{page:?}");
        // No label names a user or a room.
        assert!(!page.body.contains("anna") && !page.body.contains("attic"), "{page:?}");
        let line = page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse::<u64>().unwrap())
    };
    let names = ["insert", "update", "ignore"]
        .map(|kind| format!("always_online_messages_total{{storage=\"{kind}\"}}"));
    let before = value(&names[0]).await;
    assert_eq!(value("always_online_connections").await, 1);
    for (storage, name) in names.iter().enumerate() {
        for _ in 0..3 - storage {
            anna.send(&json!({ "s": storage, "1": "x" })).await;
        }
        assert_eq!(value(name).await, 3 - storage as u64, "{name}");
    }
    assert_eq!(before, 0);
    anna.sync(&json!({ "offset": 0 })).await;
    assert_eq!(value("always_online_sync_pages_total").await, 1);
    assert_eq!(value("always_online_connections_opened_total").await, 1);
}

#[tokio::test]
async fn logs_hold_no_secret() {
    let mut server = Setup::new().env("AO_LOG", "debug").start().await;
    let (admin, token) = server.admin();
    let credentials = format!("uid={admin}&token={token}");
    let mut secrets = vec![token.clone(), "guessed-secret".to_owned()];

    let created = http::post(
        server.api(),
        &format!("/user/create_token?{credentials}"),
        &json!({ "uid": "anna" }),
    )
    .await
    .json();
    secrets.push(created["data"]["token"].as_str().unwrap().to_owned());
    let refreshed = http::post(
        server.api(),
        &format!("/user/refresh_token?{credentials}"),
        &json!({ "uid": "anna" }),
    )
    .await
    .json();
    let valid = refreshed["data"]["token"].as_str().unwrap().to_owned();
    for path in ["/admin/monitor/stat", "/admin/no_such_route", "/user/create_token"] {
        http::get(server.websocket(), &format!("{path}?{credentials}")).await;
    }
    http::get(server.websocket(), "/admin/monitor/stat?uid=admin&token=guessed-secret").await;
    http::raw(server.api(), format!("BROKEN /user/create_token?{credentials}\r\n\r\n").as_bytes())
        .await
        .ok();

    let mut anna = server.guest().await;
    secrets.push(anna.engine_sid.clone());
    anna.sign_in("anna", &valid).await;
    anna.join("attic").await;
    anna.send(&json!({ "1": "hello" })).await;
    let mut stranger = server.guest().await;
    stranger.emit("authenticate", &json!({ "uid": "anna", "token": "guessed-secret" }));
    assert_eq!(stranger.event("authenticate").await["status"], 1);
    secrets.push(valid);

    assert_eq!(server.terminate().await, 0);
    let log = server.stderr();
    assert!(log.contains("DEBUG"), "the filter is not at work: {log}");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "a secret is logged: {line:?}");
    }
}

#[tokio::test]
async fn logs_can_be_json() {
    let mut server =
        Setup::new().env("AO_LOG__FORMAT", "json").env("AO_LOG", "debug").start().await;
    server.member("anna", "attic").await;
    assert_eq!(server.terminate().await, 0);
    let log = server.stderr();
    assert!(!log.is_empty());
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            entry["timestamp"].is_string()
                && entry["level"].is_string()
                && entry["fields"].is_object(),
            "{line}"
        );
    }
    // People and scripts read the addresses on stdout in any case.
    assert!(server.stdout().starts_with("always-online "), "{}", server.stdout());
}
