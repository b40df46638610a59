//! The command `tinode`: API keys of a running server, by its HTTP API. They are kept in its store,
//! and it has to hear at once that one is revoked.
use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use super::{arguments::KeyCommand, exit, running::Running};
use crate::{config::Config, console, domain::outbox::timestamp};

/// Keys that are asked for at once: their notes have to fit into an answer.
const PAGE: usize = 15;

/// Asks the server at this URL, else the one of this configuration, with the credentials of an
/// administrator in that file, else in the data folder.
pub(super) fn run(
    config: &Config,
    url: Option<&str>,
    credential: Option<&Path>,
    command: KeyCommand,
) -> anyhow::Result<u8> {
    let Some(server) = Running::find(config, url, credential)? else {
        return Ok(exit::WRONG_CONFIGURATION);
    };
    let done = match command {
        KeyCommand::Create { note } => create(&server, note.as_deref().unwrap_or_default())?,
        KeyCommand::Revoke { key } => revoke(&server, &key)?,
        KeyCommand::List => list(&server)?,
    };
    Ok(if done { 0 } else { exit::FAILED })
}

fn create(server: &Running, note: &str) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Created {
        key: String,
    }
    let Some(Created { key }) = ask(server, "createKey", &json!({ "note": note }))? else {
        return Ok(false);
    };
    console::print_line(key)?;
    Ok(true)
}

fn revoke(server: &Running, key: &str) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Revoked {
        name: String,
        revoked: bool,
    }
    let Some(Revoked { name, revoked }) = ask(server, "revokeKey", &json!({ "key": key }))? else {
        return Ok(false);
    };
    let said = if revoked { "is revoked" } else { "was revoked before" };
    console::print_line(format_args!("{name} {said}"))?;
    Ok(true)
}

fn list(server: &Running) -> anyhow::Result<bool> {
    let mut after = None;
    loop {
        let asked = json!({ "limit": PAGE, "after": after });
        let Some(Keys { keys, next }) = ask(server, "listKeys", &asked)? else {
            return Ok(false);
        };
        for key in keys {
            console::print_line(key.line())?;
        }
        after = next;
        if after.is_none() {
            return Ok(true);
        }
    }
}

/// A page of keys.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Keys {
    keys: Vec<Key>,
    next: Option<String>,
}

/// A key as it is listed.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Key {
    name: String,
    note: String,
    created: Option<u64>,
    revoked: bool,
}

impl Key {
    fn line(&self) -> String {
        let Key { name, note, created, revoked } = self;
        let created = created.map_or_else(|| "-".to_owned(), timestamp);
        format!("{name}\t{created}\t{}\t{note}", if *revoked { "revoked" } else { "good" })
    }
}

/// The result of a method; nothing: it was not done, and that was said.
fn ask<T: DeserializeOwned>(
    server: &Running,
    method: &str,
    asked: &Json,
) -> anyhow::Result<Option<T>> {
    let path = format!("/v1/tinode/{method}");
    match server.post(&path, &asked.to_string())? {
        Some(said) => Ok(Some(result(&said)?)),
        None => Ok(None),
    }
}

fn result<T: DeserializeOwned>(said: &str) -> anyhow::Result<T> {
    #[derive(Deserialize)]
    struct Answer<T> {
        result: T,
    }
    let Answer { result } = serde_json::from_str(said)
        .map_err(|why| anyhow::anyhow!("the server answers what is not understood: {why}"))?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let said = r#"{"result":{"keys":[{"name":"7-1","note":"","created":null,"revoked":false}],
            "next":"7-1"}}"#;
        let key = Key { name: "7-1".into(), note: String::new(), created: None, revoked: false };
        let keys = Keys { keys: vec![key], next: Some("7-1".into()) };
        assert_eq!(result::<Keys>(said).unwrap(), keys);
        assert!(result::<Keys>(r#"{"result":null}"#).is_err());
        assert!(result::<Keys>("").is_err());
    }

    #[test]
    fn a_key_is_a_line() {
        let key = |created, revoked| Key {
            name: "70000-1".into(),
            note: "an app".into(),
            created,
            revoked,
        };
        assert_eq!(key(None, true).line(), "70000-1\t-\trevoked\tan app");
        let line = key(Some(1_796_087_927_181), false).line();
        assert!(line.starts_with("70000-1\t2026-12-01T01:18:47") && line.contains("\tgood\t"));
    }
}
