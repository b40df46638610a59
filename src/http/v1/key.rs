//! `Idempotency-Key`: a request that is sent again with its key is done once
//! (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! A key counts for one administrator and one method. Of a batch, or of a broadcast, each item has a
//! key of its own, made of the request's: so sending it again does what failed, and no more.
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use super::problem::{Kind, Problem};
use crate::{domain::ids::Uid, hex, lock::lock};

/// The header.
const HEADER: &str = "idempotency-key";
/// Longest key, bytes.
pub(super) const MAX: usize = 255;

/// A request's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Administrator and method.
    scope: Arc<str>,
    text: Arc<str>,
    /// Of one item of the request: another one may come to be there, of another method.
    is_item: bool,
}

impl Key {
    /// The key of a request to a method, where it has one.
    pub(super) fn of(
        headers: &HeaderMap,
        admin: &Uid,
        method: &'static str,
    ) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = if values.next().is_some() { None } else { text(value) };
        let text = text.ok_or_else(|| {
            Problem::new(
                Kind::Malformed,
                format!(
                    "an Idempotency-Key is one string of 1 to {MAX} bytes of ASCII, quoted or bare"
                ),
            )
        })?;
        // No uid has a control character.
        let scope = format!("{admin}\n{method}").into();
        Ok(Some(Key { scope, text: text.into(), is_item: false }))
    }

    /// The key of an item of the request.
    pub(super) fn item(&self, index: usize) -> Self {
        let text = format!("{}#{index}", self.text).into();
        Key { scope: self.scope.clone(), text, is_item: true }
    }

    /// Whether it is that of an item, for which the method is no part of the key's scope.
    pub(super) fn is_item(&self) -> bool {
        self.is_item
    }

    /// What it is kept by: of one length, and showing nothing of whom it is from.
    pub(super) fn id(&self) -> String {
        let hash = Sha256::new_with_prefix(self.scope.as_bytes()).chain_update(b"\n");
        hex::encode(&hash.chain_update(self.text.as_bytes()).finalize())
    }
}

/// The text of a key: a string of RFC 8941 in its quotes, or the characters as they are.
fn text(value: &HeaderValue) -> Option<String> {
    let value = value.to_str().ok()?.trim();
    let text = match value.strip_prefix('"') {
        None => value.to_owned(),
        Some(rest) => unquoted(rest.strip_suffix('"')?)?,
    };
    ((1..=MAX).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)))
        .then_some(text)
}

/// What is between the quotes; nothing where that is no string.
fn unquoted(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return None,
            '\\' => text.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => text.push(c),
        }
    }
    Some(text)
}

/// What tells a request from another one with the same key: the values of its body, not how they are
/// written.
pub(super) fn digest(method: &str, body: &RawValue) -> [u8; 32] {
    // Values that are beyond what can be read are compared as they are written.
    let canonical = serde_json::from_str::<Value>(body.get()).map(|value| value.to_string());
    let text = canonical.as_deref().unwrap_or(body.get());
    Sha256::new_with_prefix(method.as_bytes())
        .chain_update(b"\n")
        .chain_update(text.as_bytes())
        .finalize()
        .into()
}

/// The keys of requests that this node is working on.
#[derive(Default)]
pub(super) struct Running(Mutex<HashSet<String>>);

/// A key of [`Running`], for as long as this is there.
pub(super) struct Run {
    of: Arc<Running>,
    id: String,
}

impl Running {
    /// The first request with this key runs from now on.
    ///
    /// # Errors
    /// One runs already.
    pub(super) fn begin(self: &Arc<Self>, key: &Key) -> Result<Run, Problem> {
        let id = key.id();
        if !lock(&self.0).insert(id.clone()) {
            return Err(in_use());
        }
        Ok(Run { of: self.clone(), id })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        lock(&self.of.0).remove(&self.id);
    }
}

/// A request with this key runs.
pub(super) fn in_use() -> Problem {
    Problem::new(Kind::KeyInUse, "a request with this key is not answered yet")
        .with("retry-after", "1")
}

/// The key belongs to another request, or to another item of one.
pub(super) fn reused() -> Problem {
    Problem::new(Kind::KeyReused, "this key was sent with another request")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<String> {
        text(&HeaderValue::from_str(value).unwrap())
    }

    #[test]
    fn keys_are_quoted_or_bare() {
        assert_eq!(read("8e03978e-40d5-43dd"), Some("8e03978e-40d5-43dd".into()));
        assert_eq!(read("\"8e03978e-40d5-43dd\""), read("8e03978e-40d5-43dd"));
        assert_eq!(read(r#""a\"b\\c""#), Some(r#"a"b\c"#.into()));
        assert_eq!(read("a b"), Some("a b".into()));
        assert_eq!(read(&"k".repeat(255)).map(|key| key.len()), Some(255));
        for wrong in ["", "\"\"", "\"a", "\"a\"b\"", r#""a\n""#, "\"a\\\"", &"k".repeat(256)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_counts_for_one_administrator_and_one_method() {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static("k"));
        let key = |admin: &str, method| {
            Key::of(&headers, &Uid::text(admin).unwrap(), method).unwrap().unwrap()
        };
        let ids: HashSet<String> = [
            key("ann", "publish"),
            key("ben", "publish"),
            key("ann", "batch"),
            key("ann", "batch").item(0),
            key("ann", "batch").item(1),
        ]
        .iter()
        .map(Key::id)
        .collect();
        assert_eq!(ids.len(), 5);
        assert_eq!(key("ann", "publish"), key("ann", "publish"));
        headers.append(HEADER, HeaderValue::from_static("l"));
        assert!(Key::of(&headers, &Uid::text("ann").unwrap(), "publish").is_err());
    }

    #[test]
    fn bodies_are_the_same_however_they_are_written() {
        let of = |json: &str| digest("publish", serde_json::from_str(json).unwrap());
        assert_eq!(of(r#"{"a":1,"b":[2]}"#), of(r#"{ "b": [2], "a": 1 }"#));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":2}"#));
        assert_eq!(of(r#"{"a":1e999}"#), of(r#"{"a":1e999}"#));
        assert_ne!(of("{}"), digest("clear", serde_json::from_str("{}").unwrap()));
    }

    #[test]
    fn a_key_runs_once_at_a_time() {
        let running = Arc::new(Running::default());
        let key = |text: &str| Key { scope: "x".into(), text: text.into(), is_item: false };
        let first = running.begin(&key("a")).unwrap();
        assert!(running.begin(&key("a")).is_err());
        assert!(running.begin(&key("b")).is_ok());
        drop(first);
        assert!(running.begin(&key("a")).is_ok());
    }
}
