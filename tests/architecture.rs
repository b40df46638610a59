//! Reads the sources and enforces who may name whom, so that each layer stays free of those above
//! it and of its neighbours:
//!
//! ```text
//! main, cli
//! app
//! dialect    http   hooks   jwt
//! socketio
//! transfer   telemetry   store
//! domain     net
//! config     metrics
//! ```
//!
//! A folder's parts are looked at as well where they are neighbours: dialects, and stores.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test says what it expects

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What is small, names nothing of ours, and may be named by all.
const BY_ALL: [&str; 8] =
    ["hex", "household", "live", "lock", "pace", "reason", "throttle", "trace"];

/// Modules at the top, and which of the others each may name beside [`BY_ALL`].
const ALLOWED: [(&str, &[&str]); 22] = [
    ("config", &[]),
    ("hex", &[]),
    ("household", &[]),
    ("lock", &[]),
    ("pace", &[]),
    ("metrics", &[]),
    ("reason", &[]),
    ("live", &[]),
    ("throttle", &[]),
    ("trace", &[]),
    ("lifecycle", &[]),
    ("console", &[]),
    ("domain", &["metrics"]),
    ("net", &["config", "metrics"]),
    ("transfer", &["domain"]),
    ("telemetry", &["config", "metrics", "net"]),
    ("store", &["config", "domain", "metrics", "transfer"]),
    ("socketio", &["config", "metrics", "net"]),
    ("http", &["config", "domain", "metrics"]),
    ("hooks", &["config", "domain", "metrics", "net"]),
    ("jwt", &["config", "domain", "metrics", "net"]),
    ("dialect", &["config", "domain", "metrics", "net", "socketio"]),
];

/// Modules that put the others together, and may name all but those.
const AT_THE_TOP: [(&str, &[&str]); 3] = [("app", &["cli"]), ("cli", &[]), ("lib", &[])];

/// Folders whose parts are neighbours, which never name each other, and what all of them may name.
const NEIGHBOURS: [(&str, &[&str]); 2] = [("dialect", &[]), ("store", &["contract"])];

/// Crates whose types the core must not know.
const FOREIGN_TO_DOMAIN: [&str; 8] =
    ["axum", "hyper", "rustls", "socketioxide", "engineioxide", "rusqlite", "redis", "mongodb"];

/// Words of socket.io and engine.io, which stand nowhere in `net` and `domain`, not in a comment
/// either: connections and rooms are the same for all dialects.
const WORDS_OF_SOCKET_IO: [&str; 10] = [
    "socket.io",
    "socketio",
    "socketioxide",
    "engine.io",
    "engineio",
    "engineioxide",
    "engine",
    "eio",
    "polling",
    "namespace",
];

/// A source file.
struct Source {
    /// Its path below `src`.
    file: String,
    text: String,
}

impl Source {
    /// The path of its module: `store/redis/wire.rs` is `[store, redis, wire]`.
    fn module(&self) -> Vec<&str> {
        self.file.trim_end_matches(".rs").split('/').collect()
    }

    /// Whether it is compiled for tests alone.
    fn is_test(&self) -> bool {
        self.module().iter().any(|part| *part == "tests" || part.ends_with("_tests"))
    }
}

fn all_sources() -> Vec<Source> {
    fn look(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    look(&root, &mut paths);
    paths.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|p| Source { file: name(p), text: fs::read_to_string(p).unwrap() }).collect()
}

/// The source without lines that are only a comment.
fn code(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// The paths below `prefix` that are named, as deep as two: behind `crate::`, those are `domain`
/// and `hub` of `crate::{domain::{hub::Hub, ids::Uid}}`, with `domain` and `ids`.
fn named(text: &str, prefix: &str) -> BTreeSet<(String, String)> {
    let starts = text.match_indices(prefix).filter(|(at, _)| {
        // Not the end of `super::super::`, nor of another word.
        !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    });
    let mut names = BTreeSet::new();
    for (at, _) in starts {
        for (first, rest) in branches(&text[at + prefix.len()..]) {
            let seconds = rest.map(branches).unwrap_or_default();
            if seconds.is_empty() {
                names.insert((first.clone(), String::new()));
            }
            names.extend(seconds.into_iter().map(|(second, _)| (first.clone(), second)));
        }
    }
    names
}

/// The words that a path begins with, and what follows behind `::`: one for `word::…`, several for
/// `{word::…, word}`.
fn branches(text: &str) -> Vec<(String, Option<&str>)> {
    let word = |text: &str| {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let branch = |text| {
        let first = word(text);
        let rest = text[first.len()..].strip_prefix("::");
        (!first.is_empty()).then_some((first, rest))
    };
    let Some(inside) = text.strip_prefix('{') else { return branch(text).into_iter().collect() };
    let (mut depth, mut begin, mut found) = (0, true, Vec::new());
    for (i, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begin = true,
            c if c.is_whitespace() => {}
            _ if begin && depth == 0 => {
                found.extend(branch(&inside[i..]));
                begin = false;
            }
            _ => {}
        }
    }
    found
}

/// What may not be named by a file, and is.
fn wrong(sources: &[Source], may: impl Fn(&Source, &str, &str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        for (first, second) in named(&source.text, "crate::") {
            if !may(source, &first, &second) {
                wrong.push(format!("{} names crate::{first}::{second}", source.file));
            }
        }
    }
    wrong
}

#[test]
fn modules_name_only_what_they_may() {
    let sources = all_sources();
    let modules: BTreeSet<&str> = sources.iter().map(|source| source.module()[0]).collect();
    let find = |table: &[(&str, &'static [&'static str])], own: &str| {
        table.iter().find(|(name, _)| *name == own).map(|(_, others)| *others)
    };
    let wrong = wrong(&sources, |source, name, _| {
        let own = source.module()[0];
        if !modules.contains(name) || name == own || own == "main" {
            return true;
        }
        if let Some(forbidden) = find(&AT_THE_TOP, own) {
            return !forbidden.contains(&name);
        }
        let allowed =
            find(&ALLOWED, own).unwrap_or_else(|| panic!("{own} is new: say what it may name"));
        allowed.contains(&name) || BY_ALL.contains(&name)
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The neighbours that a source of this folder names: by `crate::folder::name`, and by
/// `super::name`, in a module within the file too.
fn neighbours_named<'a>(
    source: &'a Source,
    folder: &str,
    parts: &BTreeSet<&'a str>,
) -> Vec<&'a str> {
    let module = source.module();
    let mut names: BTreeSet<String> = named(&source.text, "crate::")
        .into_iter()
        .filter(|(first, _)| first == folder)
        .map(|(_, second)| second)
        .collect();
    for depth in [module.len() - 1, module.len()] {
        let up = named(&source.text, &"super::".repeat(depth));
        names.extend(up.into_iter().map(|(first, _)| first));
    }
    parts.iter().filter(|part| **part != module[1] && names.contains(**part)).copied().collect()
}

#[test]
fn neighbours_do_not_name_each_other() {
    let sources = all_sources();
    let mut wrong = Vec::new();
    for (folder, for_all) in NEIGHBOURS {
        let within = || sources.iter().filter(|s| s.module()[0] == folder && s.module().len() > 1);
        let parts: BTreeSet<&str> = within()
            .map(|source| source.module()[1])
            .filter(|part| !for_all.contains(part))
            .collect();
        assert!(!parts.is_empty(), "{folder} has no parts");
        // What a test compares may be two of them.
        for source in within().filter(|source| !source.is_test()) {
            let named = neighbours_named(source, folder, &parts);
            wrong
                .extend(named.iter().map(|part| format!("{} names {folder}::{part}", source.file)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_no_wire_and_no_database() {
    let mut wrong = Vec::new();
    for source in all_sources().iter().filter(|source| source.module()[0] == "domain") {
        let code = code(&source.text);
        let named = FOREIGN_TO_DOMAIN.iter().filter(|name| code.contains(&format!("{name}::")));
        wrong.extend(named.map(|foreign| format!("{} names {foreign}", source.file)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words of socket.io in a text. A word within a name counts, as in `start_engine` and
/// `StartEngine`; a part of another word does not.
fn words_of_socket_io(text: &str) -> Vec<&'static str> {
    let mut spaced = String::new();
    for c in text.chars() {
        if c.is_uppercase() && spaced.ends_with(char::is_lowercase) {
            spaced.push(' ');
        }
        spaced.push(if c.is_alphanumeric() || c == '.' { c } else { ' ' });
    }
    let spaced = spaced.to_lowercase();
    let words: BTreeSet<&str> = spaced.split(' ').map(|word| word.trim_matches('.')).collect();
    WORDS_OF_SOCKET_IO.into_iter().filter(|word| words.contains(word)).collect()
}

#[test]
fn connections_and_rooms_know_no_word_of_socket_io() {
    let mut wrong = Vec::new();
    for source in all_sources() {
        if !["net", "domain"].contains(&source.module()[0]) {
            continue;
        }
        let words = words_of_socket_io(&source.text);
        if !words.is_empty() {
            wrong.push(format!("{} says {}", source.file, words.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_mod_rs_and_no_file_of_more_than_600_lines() {
    for source in all_sources() {
        let (file, lines) = (&source.file, source.text.lines().count());
        assert!(!file.ends_with("/mod.rs"), "{file}: foo.rs stands beside foo/");
        assert!(lines <= 600, "{file} has {lines} lines: it is two files");
        assert!(
            source.text.starts_with("//!") || source.is_test(),
            "{file} does not say what it is"
        );
    }
}

#[test]
fn the_reader_of_names_sees_through_braces() {
    let source = "use crate::{\n    config::{Config, cli::Role},\n    net::Connection,\n    lock,\n};\nuse \
                  crate::metrics::Metrics;\nfn f() -> crate::domain::hub::Hub {}\n";
    let names: Vec<_> = named(source, "crate::").into_iter().collect();
    let pair = |first: &str, second: &str| (first.to_owned(), second.to_owned());
    assert_eq!(
        names,
        [
            pair("config", "Config"),
            pair("config", "cli"),
            pair("domain", "hub"),
            pair("lock", ""),
            pair("metrics", "Metrics"),
            pair("net", "Connection"),
        ]
    );
}

#[test]
fn a_neighbour_is_seen_however_it_is_named() {
    let parts = BTreeSet::from(["redis", "embedded"]);
    let neighbours = |file: &str, text: &str| {
        let source = Source { file: file.to_owned(), text: text.to_owned() };
        neighbours_named(&source, "store", &parts).len()
    };
    for (file, text) in [
        ("store/redis.rs", "use super::embedded::Embedded;"),
        ("store/redis.rs", "mod tests { use super::super::embedded; }"),
        ("store/redis/wire.rs", "use super::super::embedded::Embedded;"),
        ("store/redis/wire.rs", "use super::super::{embedded, redis};"),
        ("store/redis/wire.rs", "use crate::store::embedded;"),
        ("store/redis/wire.rs", "use crate::{domain::hub, store::{redis, embedded::Embedded}};"),
        ("store/redis/wire.rs", "fn f(store: &crate::store::embedded::Embedded) {}"),
    ] {
        assert_eq!(neighbours(file, text), 1, "{file}: {text}");
    }
    for text in ["use super::embedded;", "use crate::store::redis::embedded;", "// embedded"] {
        assert_eq!(neighbours("store/redis/wire.rs", text), 0, "{text}");
    }
}

#[test]
fn words_are_found_within_names_and_not_within_words() {
    for (text, words) in [
        ("// as socket.io does.", &["socket.io"][..]),
        ("socketioxide::SocketIo", &["socketioxide"]),
        ("fn start_engine(EIO: u8)", &["engine", "eio"]),
        ("Closing::StartEngine", &["engine"]),
        ("Namespace, polling", &["polling", "namespace"]),
        ("engineering, a poll, names, WebSocket", &[]),
    ] {
        assert_eq!(words_of_socket_io(text), words, "{text}");
    }
}
