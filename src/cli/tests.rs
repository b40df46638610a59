//! The command line.
#![allow(clippy::unwrap_used)]

use super::arguments::{AccountCommand, AdminRole, Cli, Command, End, KeyCommand, TokenCommand};
use crate::config::{Role, settings};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_definition_holds_together() {
    Cli::definition().debug_assert();
}

#[test]
fn commands_are_understood() {
    let uid = || "ada-7f".to_owned();
    let key = |url: Option<&str>, command| Command::TinodeKey {
        url: url.map(str::to_owned),
        credential: None,
        command,
    };
    for (line, command) in [
        ("ao", Command::Run(Role::All)),
        ("ao all", Command::Run(Role::All)),
        ("ao websocket", Command::Run(Role::Websocket)),
        ("ao api", Command::Run(Role::Api)),
        ("ao test", Command::Run(Role::Test)),
        (
            "ao admin create ada-7f",
            Command::Admin(AccountCommand::Create { uid: uid(), role: AdminRole::Admin }),
        ),
        (
            "ao admin create ada-7f --role reader",
            Command::Admin(AccountCommand::Create { uid: uid(), role: AdminRole::Reader }),
        ),
        ("ao admin list", Command::Admin(AccountCommand::List)),
        ("ao admin remove ada-7f", Command::Admin(AccountCommand::Remove { uid: uid() })),
        ("ao token create ada-7f", Command::Token(TokenCommand::Create { uid: uid() })),
        ("ao token refresh ada-7f", Command::Token(TokenCommand::Refresh { uid: uid() })),
        ("ao token revoke ada-7f", Command::Token(TokenCommand::Revoke { uid: uid() })),
        ("ao backup kept.sqlite3", Command::Backup { file: "kept.sqlite3".into() }),
        ("ao copy embedded servers", Command::Copy { from: End::Embedded, to: End::Servers }),
        ("ao copy servers embedded", Command::Copy { from: End::Servers, to: End::Embedded }),
        ("ao token seal", Command::Token(TokenCommand::Seal)),
        ("ao tinode key list", key(None, KeyCommand::List)),
        (
            "ao tinode key --url http://127.0.0.1:4000 create --note web",
            key(Some("http://127.0.0.1:4000"), KeyCommand::Create { note: Some("web".into()) }),
        ),
        (
            "ao tinode key revoke 70000-1 --url http://127.0.0.1:4000",
            key(Some("http://127.0.0.1:4000"), KeyCommand::Revoke { key: "70000-1".into() }),
        ),
        ("ao check-config", Command::CheckConfig),
        ("ao print-config", Command::PrintConfig),
        ("ao print-reference", Command::PrintReference),
        ("ao health", Command::Health(None)),
        ("ao health http://127.0.0.1:4000", Command::Health(Some("http://127.0.0.1:4000".into()))),
    ] {
        assert_eq!(parse(line).unwrap().command, command, "{line}");
    }
}

#[test]
fn flags_stand_before_and_after_the_command() {
    for line in [
        "ao --config c.toml --log debug --runtime-workers=2 token create ada-7f",
        "ao token create ada-7f --config c.toml --log debug --runtime-workers=2",
        "ao --log debug token --config c.toml create --runtime-workers 2 ada-7f",
    ] {
        let cli = parse(line).unwrap();
        assert_eq!(cli.file.unwrap().to_str(), Some("c.toml"), "{line}");
        let flags: Vec<_> = cli.flags.iter().map(|(key, text)| (*key, text.as_str())).collect();
        assert_eq!(flags, [("log.filter", "debug"), ("runtime.workers", "2")], "{line}");
    }
}

#[test]
fn the_named_file_is_read_below_environment_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ao.toml");
    std::fs::write(&path, "[shutdown]\nbatch = 1\ndeadline = 1\njitter = 1\n").unwrap();
    let line =
        ["ao", "check-config", "--config", path.to_str().unwrap(), "--shutdown-jitter", "3s"];
    let environment = [("AO_SHUTDOWN__DEADLINE", "2s"), ("AO_SHUTDOWN__JITTER", "2s")];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let shutdown = Cli::try_parse_from(line).unwrap().config(environment).unwrap().shutdown;
    assert_eq!((shutdown.batch, shutdown.deadline.as_secs(), shutdown.jitter.as_secs()), (1, 2, 3));
}

#[test]
fn an_empty_value_is_a_value() {
    let cli = Cli::try_parse_from(["ao", "--admin-listen", "", "--metrics-listen="]).unwrap();
    let config = cli.config([("AO_ADMIN__LISTEN".into(), ":1".into())]).unwrap();
    assert_eq!((config.admin.listen, config.metrics.listen), (None, None));
}

#[test]
fn mistakes_end_with_code_2_and_a_suggestion() {
    for line in [
        "ao --websoket-listen :1",
        "ao webbsocket",
        "ao token",
        "ao admin create",
        "ao --log",
        "ao --log a --log b",
        "ao admin list x",
        "ao admin create ada-7f --role king",
        "ao token create ada-7f --role reader",
        "ao tinode",
        "ao tinode key",
        "ao tinode key revoke",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    assert!(
        parse("ao --websoket-listen :1").unwrap_err().to_string().contains("'--websocket-listen'")
    );
    assert!(parse("ao webbsocket").unwrap_err().to_string().contains("'websocket'"));
    // A negative number is a bad value, reported with all others, not an unknown flag.
    let told = parse("ao --runtime-workers -1").unwrap().config([]).unwrap_err().to_string();
    assert_eq!(
        told,
        "--runtime-workers: runtime.workers = \"-1\": expected a number from 0 to 1024"
    );
}

#[test]
fn help_names_every_setting_in_all_its_forms() {
    let error = parse("ao --help").unwrap_err();
    assert_eq!(error.exit_code(), 0);
    // Undo the wrapping.
    let help = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in settings() {
        let default = if setting.default.is_empty() { "empty" } else { setting.default };
        let facts = format!("[default: {default}] [env: {}]", setting.env);
        assert!(
            help.contains(&format!("--{} <{}>", setting.flag, setting.value_name)),
            "{}",
            setting.key
        );
        assert!(help.contains(&facts), "{facts}");
        assert!(help.contains(setting.values), "{}", setting.values);
        assert!(help.contains(&format!(
            "[{}] ",
            if setting.section.is_empty() { "compat" } else { setting.section }
        )));
    }
    for text in [
        "socket.io and /admin 0.0.0.0:3000",
        "the token API /user 127.0.0.1:4000",
        "demo pages 127.0.0.1:5000",
        "Examples:",
    ] {
        assert!(help.contains(text), "{text}");
    }
}

#[test]
fn the_version_is_the_crates() {
    let error = parse("ao --version").unwrap_err();
    assert_eq!(
        (error.exit_code(), error.to_string().trim()),
        (0, concat!("always-online ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_secret_in_a_flag_is_not_debugged() {
    let flags =
        ["ao", "--store-messages", "redis://u:s3cret@a.example/1", "--gotapi-secret", "s3cret"];
    let debugged = format!("{:?}", Cli::try_parse_from(flags).unwrap());
    assert!(debugged.contains("gotapi.secret") && !debugged.contains("s3cret"), "{debugged}");
}
