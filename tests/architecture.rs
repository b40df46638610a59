//! Reads the sources and enforces who may import whom (see `src/lib.rs`), so that the core stays
//! free of wires and databases.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test says what it expects

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules at the top, and which of the others each may name.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("config", &[]),
    ("metrics", &[]),
    ("reason", &[]),
    ("throttle", &[]),
    ("lifecycle", &[]),
    ("lock", &[]),
    ("health", &[]),
    ("console", &[]),
    ("domain", &["metrics", "lock", "reason", "throttle"]),
    ("telemetry", &["domain", "config", "metrics", "lock", "reason", "throttle"]),
    ("store", &["domain", "config", "metrics", "lock", "reason", "throttle"]),
    ("http", &["domain", "config", "metrics", "lock", "reason", "throttle"]),
    ("net", &["domain", "config", "metrics", "lock", "reason", "throttle"]),
    ("socketio", &["config", "metrics", "lock", "net", "reason", "throttle"]),
];

/// A dialect needs to close the connections it lives on: the one exception, from `dialect` to
/// `net`.
const DIALECT: &[&str] =
    &["domain", "config", "metrics", "lock", "net", "reason", "socketio", "throttle"];

/// Crates whose types the core must not know.
const FOREIGN_TO_DOMAIN: [&str; 8] =
    ["axum", "hyper", "rustls", "socketioxide", "engineioxide", "rusqlite", "redis", "mongodb"];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|p| {
            (
                p.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(&p).unwrap(),
            )
        })
        .collect()
}

/// The module at the top that a file belongs to.
fn module(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Names right behind `crate::`, and in the braces of `crate::{…}`.
fn named(source: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let mut names = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => {
                names.insert(word(rest));
            }
            Some(inside) => {
                let (mut depth, mut begin) = (0, true);
                for (i, c) in inside.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begin = true,
                        c if c.is_whitespace() => {}
                        _ if begin && depth == 0 => {
                            names.insert(word(&inside[i..]));
                            begin = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

#[test]
fn modules_import_only_what_they_may() {
    let modules: BTreeSet<String> =
        all_sources().iter().map(|(file, _)| module(file).to_owned()).collect();
    let mut wrong = Vec::new();
    for (file, source) in all_sources() {
        let own = module(&file);
        let allowed = match own {
            "app" | "main" | "lib" => continue,
            "dialect" => DIALECT,
            other => {
                ALLOWED
                    .iter()
                    .find(|(name, _)| *name == other)
                    .unwrap_or_else(|| panic!("{other} is new: say what it may import"))
                    .1
            }
        };
        for name in named(&source) {
            if modules.contains(&name) && name != own && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{file} names crate::{name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_no_wire_and_no_database() {
    let wrong: Vec<String> = all_sources()
        .into_iter()
        .filter(|(file, _)| module(file) == "domain")
        .flat_map(|(file, source)| {
            let code: String = source
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            FOREIGN_TO_DOMAIN
                .into_iter()
                .filter(move |foreign| code.contains(&format!("{foreign}::")))
                .map(move |foreign| format!("{file} names {foreign}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_mod_rs_and_no_file_of_more_than_600_lines() {
    for (file, source) in all_sources() {
        assert!(!file.ends_with("/mod.rs"), "{file}: foo.rs stands beside foo/");
        assert!(
            source.lines().count() <= 600,
            "{file} has {} lines: it is two files",
            source.lines().count()
        );
        assert!(
            source.starts_with("//!") || file.contains("test"),
            "{file} does not say what it is"
        );
    }
}

#[test]
fn the_reader_of_imports_sees_through_braces() {
    let source = "use crate::{\n    config::{Config, cli::Role},\n    net::Connection,\n};\nuse crate::metrics::Metrics;\n";
    assert_eq!(named(source).into_iter().collect::<Vec<_>>(), ["config", "metrics", "net"]);
}
