//! What is told about a configuration that is wrong.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;

use super::tests::{config, variables};
use super::{Config, Flags};

fn problems(
    toml: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Vec<String> {
    let problems = config(toml, environment, flags).unwrap_err();
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_place() {
    let toml = "\
compat = 'deploid'
listen = ':1'
api = 3
[websockt]
anything = 1
[websocket]
ping_intervall = '3s'
  ping_timeout = '20 parsecs'
origins = ['https://a.example', 3]
[store]
messages = 'http://u:s3cret@x'
tokens = 5
max_size = 3
frobnicate = true
[log]
'fil\u{00fc}' = 1
[[demo]]
";
    let environment = [
        ("AO_PORT", "3000"),
        ("AO_LOG__FILTER", "debug"),
        ("AO_STORE__PATHH", "s3cret"),
        ("AO_STORE__TOKENS", "mongodb://u:s3c/ret@x"),
        ("AO_AUTH__IGNORE", "yes"),
        ("HOME", "nowhere"),
    ];
    let flags =
        [("message.max_size", "17 MiB"), ("store.durability", "proces"), ("shutdown.batch", "0")];
    let told = problems(toml, &environment, &flags);
    let expected = [
        "ao.toml:1:10: compat = \"deploid\": expected documented or deployed; did you mean deployed?",
        "ao.toml:2:1: unknown key \"listen\" outside of any section; did you mean websocket.listen?",
        "ao.toml:3:1: api is a section: expected [api] and its keys below",
        "ao.toml:4:2: unknown section [websockt]; did you mean [websocket]?",
        "ao.toml:7:1: unknown key \"ping_intervall\" in [websocket]; did you mean ping_interval?",
        "ao.toml:8:18: websocket.ping_timeout = \"20 parsecs\": expected a duration such as",
        "ao.toml:9:11: websocket.origins = ['https://a.example', 3]: expected a string or an array of strings",
        "ao.toml:11:12: store.messages = (hidden): expected embedded or a URL that begins with redis:// or rediss://",
        "ao.toml:12:10: store.tokens = (hidden): expected a string: embedded, or",
        "ao.toml:13:1: unknown key \"max_size\" in [store]; did you mean message.max_size?",
        "ao.toml:14:1: unknown key \"frobnicate\" in [store], expected one of path, messages, tokens, durability,",
        "ao.toml:16:1: unknown key \"filü\" in [log]; did you mean filter?",
        "ao.toml:17:3: demo is a section: expected [demo] and its keys below",
        "environment AO_AUTH__IGNORE: auth.ignore = \"yes\": expected true or false",
        "environment AO_LOG__FILTER: unknown variable (--help names them all); did you mean AO_LOG?",
        "environment AO_PORT: unknown variable (--help names them all)",
        "environment AO_STORE__PATHH: unknown variable (--help names them all); did you mean AO_STORE__PATH?",
        "environment AO_STORE__TOKENS: store.tokens = (hidden): write @ / ? # in a user or password as %40 %2F %3F %23",
        "--message-max-size: message.max_size = \"17 MiB\": expected a size from 1 KiB to 16 MiB",
        "--shutdown-batch: shutdown.batch = \"0\": expected a number, 1 or more",
        "--store-durability: store.durability = \"proces\": expected process or power; did you mean process?",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nis not\n{expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("s3c")));
}

#[test]
fn a_bad_value_is_reported_even_where_a_higher_layer_overrules_it() {
    let told = problems("[demo]\nlisten = 'here'", &[], &[("demo.listen", ":3")]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0]
            .starts_with("ao.toml:2:10: demo.listen = \"here\": expected an IP address and a port"),
        "{told:?}"
    );
}

#[test]
fn broken_toml_has_a_place_and_hides_neither_the_other_layers_nor_shows_the_line() {
    let told = problems(
        "[log]\n[store]\nmessages = \"redis://:s3cret@a\n",
        &[("AO_STOR__PATH", "x")],
        &[],
    );
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("ao.toml:3:30: not valid TOML: "), "{told:?}");
    assert!(
        told[1].starts_with("environment AO_STOR__PATH: ")
            && told[1].ends_with("did you mean AO_STORE__PATH?")
    );
    assert!(!told[0].contains("s3cret"));
    let told = problems("[log]\r\nformat = 'text'\r\nformat = 'json'\r\n", &[], &[]);
    assert!(told[0].starts_with("ao.toml:3:1: not valid TOML: duplicate key"), "{told:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing.toml"), folder.path().to_owned()] {
        let problems = Config::load(Some(&path), variables(&[("AO_X", "1")]), &Flags::new())
            .unwrap_err()
            .to_string();
        let told: Vec<_> = problems.lines().collect();
        assert!(
            told[0].starts_with(&format!("{}: the configuration cannot be read: ", path.display())),
            "{told:?}"
        );
        assert_eq!(told.len(), 2);
    }
}

#[test]
fn a_variable_that_is_no_text_is_a_problem() {
    use std::os::unix::ffi::OsStringExt;
    let variable = ("AO_STORE__PATH".into(), OsString::from_vec(vec![b'a', 0xff]));
    let told = Config::load(None, [variable], &Flags::new()).unwrap_err().to_string();
    assert_eq!(told, r#"environment AO_STORE__PATH: store.path = "a\xFF": expected UTF-8 text"#);
}

#[test]
fn a_store_call_has_to_end_before_a_client_counts_as_gone() {
    let told = problems("[websocket]\nping_timeout = 5", &[], &[]);
    assert_eq!(
        told,
        [
            "ao.toml:2:16: store.deadline (8s, default) must be below websocket.ping_timeout (5s, ao.toml:2:16)"
        ]
    );
    let told = problems("", &[("AO_WEBSOCKET__PING_TIMEOUT", "8s")], &[("store.deadline", "8s")]);
    let expected = "--store-deadline: store.deadline (8s, --store-deadline) must be below websocket.ping_timeout";
    assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    assert!(
        config("", &[("AO_WEBSOCKET__PING_TIMEOUT", "8s")], &[("store.deadline", "7999ms")])
            .is_ok()
    );
    // A bad value is one problem, not two.
    assert_eq!(
        problems("", &[("AO_WEBSOCKET__PING_TIMEOUT", "soon")], &[("store.deadline", "30s")]).len(),
        1
    );
}

#[test]
fn hooks_of_chat_service_need_somebody_who_is_called_and_a_signature() {
    let told = problems("[chat_service]\nhooks = 'onJoin'", &[], &[]);
    assert_eq!(
        told,
        [
            "ao.toml:2:9: chat_service.hooks needs chat_service.hook_secret, which calls are signed with: whsec_ and the base64 of 24 to 64 bytes",
            "ao.toml:2:9: chat_service.hooks needs chat_service.hook_url, where they are called"
        ]
    );
    let url = [("AO_CHAT_SERVICE__HOOK_URL", "http://127.0.0.1:1/")];
    let told = problems("[chat_service]\nhooks = 'onJoin'", &url, &[]);
    assert!(told.len() == 1 && told[0].contains("needs chat_service.hook_secret"), "{told:?}");
    let told = problems("[chat_service]\nhooks = 'onJoined'", &[], &[]);
    assert!(told.len() == 1 && told[0].contains("\"onJoined\" is no hook"), "{told:?}");
    assert!(config("", &url, &[]).is_ok(), "nobody is called");
}

#[test]
fn a_lease_that_any_delay_would_end_is_refused() {
    let expected = "expected a duration of 1s or more";
    assert_eq!(
        problems("[store]\nlease = '999ms'", &[], &[]),
        [format!("ao.toml:2:9: store.lease = \"999ms\": {expected}")]
    );
    let told = problems("", &[("AO_STORE__LEASE", "0")], &[("store.lease", "1ms")]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|told| told.ends_with(expected)), "{told:?}");
    assert!(config("", &[("AO_STORE__LEASE", "1s")], &[]).is_ok());
}

#[test]
fn odd_toml_is_neither_taken_nor_fatal() {
    for (toml, expected) in [
        (
            "'websocket.listen' = ':1'",
            "ao.toml:1:1: unknown key \"websocket.listen\" outside of any section",
        ),
        ("'' = 1", "ao.toml:1:1: unknown key \"\" outside of any section"),
        ("['']\nx = 1", "ao.toml:1:2: unknown section []"),
        (
            "[store.path]\nx = 1",
            "ao.toml:1:1: store.path = [store.path]: expected a string: a path",
        ),
        (
            "[[log.filter]]\nx = 1",
            "ao.toml:1:1: log.filter = [[log.filter]]: expected a string: error, warn",
        ),
        ("[compat]", "ao.toml:1:1: compat = [compat]: expected a string: documented or deployed"),
        ("\u{feff}[lg]", "ao.toml:1:2: unknown section [lg]; did you mean [log]?"),
        (
            "websocket = {listen = ''}",
            "ao.toml:1:23: websocket.listen = \"\": expected an IP address",
        ),
        (
            "[store]\npending = -1",
            "ao.toml:2:11: store.pending = \"-1\": expected bytes above zero",
        ),
        ("[store]\ndeadline = 1.5", "ao.toml:2:12: store.deadline = 1.5: expected a string"),
    ] {
        let told = problems(toml, &[], &[]);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    }
}

#[test]
fn a_setting_that_is_gone_is_named_with_what_to_do() {
    let told =
        problems("[websocket]\nfast_lane = false\n", &[("AO_WEBSOCKET__FAST_LANE", "true")], &[]);
    let what = "websocket.fast_lane is gone: a WebSocket is served in one way now, so leave it out";
    assert_eq!(
        told,
        [format!("ao.toml:2:1: {what}"), format!("environment AO_WEBSOCKET__FAST_LANE: {what}"),]
    );
}

#[test]
fn a_hook_has_to_be_signed_and_where_it_decides_about_every_join() {
    let (url, secret) = (
        ("AO_HOOK__URL", "http://h.example"),
        ("AO_HOOK__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    );
    let access = ("AO_ROOMS__ACCESS", "hook");
    let refused = |environment: &[(&str, &str)]| match config("", environment, &[]) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    assert!(refused(&[url]).contains("hook.url needs hook.secret"), "{}", refused(&[url]));
    assert_eq!(refused(&[url, secret]), "");
    assert_eq!(refused(&[url, secret, access]), "");
    for less in [
        &[access][..],
        &[url, secret, access, ("AO_HOOK__EVENTS", "connect,message")],
        &[url, secret, access, ("AO_HOOK__ROOMS", "a,b*")],
    ] {
        assert!(refused(less).contains("not every join is asked about"), "{}", refused(less));
    }
    for (name, bad) in [
        ("AO_HOOK__EVENTS", ""),
        ("AO_HOOK__EVENTS", "join,leave"),
        ("AO_HOOK__ROOMS", "a,,b"),
        ("AO_HOOK__ROOMS", "****"),
        ("AO_HOOK__CONCURRENCY", "0"),
        ("AO_HOOK__ON_FAILURE", "maybe"),
    ] {
        assert!(refused(&[(name, bad)]).contains("expected"), "{name}={bad}");
    }
}
