//! What clients keep here: `public`, `private`, `trusted` and `aux`.
//!
//! An object is merged into the object that is there, field by field, at any depth; everything else
//! takes the place of what is there. The text `␡` takes a field away, or all.
//!
//! ```text
//! {"fn":"Ann","note":"x"}  and  {"note":"␡","age":{"y":7}}  are  {"fn":"Ann","age":{"y":7}}
//! ```
use std::collections::{BTreeSet, HashMap};

use serde_json::value::RawValue;

use super::{message::Raw, request::Malformed};
use crate::domain::json::{self, Object};

/// Deepest nesting of what is kept.
const DEPTH: usize = 64;
/// Takes something away.
const DELETE: &str = "\u{2421}";
/// Most files that one text refers to. Others are not looked for.
const FILES: usize = 100;
/// What stands before a file's name.
const FILE: &str = "/v0/file/s/";
/// Characters of a file's name.
const FILE_NAME: usize = 22;

/// What has become of what was there.
#[derive(Debug)]
pub(super) enum Merged {
    /// It stays as it is.
    Same,
    /// Nothing is left.
    Cleared,
    /// This is there now. It has no spaces but within strings.
    Now(Raw),
}

/// Merges `new` into `old`. `most`: bytes that may be there then.
///
/// # Errors
/// It would be larger, or `new` is nested too deeply.
pub(super) fn merged(
    old: Option<&RawValue>,
    new: &RawValue,
    most: usize,
) -> Result<Merged, Malformed> {
    if json::nested_deeper_than(new.get(), DEPTH) {
        return Err(Malformed);
    }
    if is_delete(new) {
        return Ok(if old.is_some() { Merged::Cleared } else { Merged::Same });
    }
    let mut json = String::with_capacity(new.get().len());
    merge(old, new, &mut json)?;
    if json.len() > most {
        return Err(Malformed);
    }
    if old.is_some_and(|old| old.get() == json) {
        return Ok(Merged::Same);
    }
    RawValue::from_string(json).map(Merged::Now).map_err(|_| Malformed)
}

fn is_delete(raw: &RawValue) -> bool {
    // Most values are no texts, and most texts are longer.
    raw.get().starts_with('"')
        && raw.get().len() <= "\"\\u2421\"".len()
        && json::string(raw).is_some_and(|text| text == DELETE)
}

fn object<'a>(raw: &'a RawValue) -> Result<Option<Object<'a>>, Malformed> {
    if !raw.get().starts_with('{') {
        return Ok(None);
    }
    // A name of which half of a surrogate pair is left is no text.
    Object::parse(raw.get()).map(Some).ok_or(Malformed)
}

/// Appends what becomes of `old` by `new`, which is not to be taken away.
fn merge(old: Option<&RawValue>, new: &RawValue, into: &mut String) -> Result<(), Malformed> {
    let Some(new) = object(new)? else {
        compact(new.get(), into);
        return Ok(());
    };
    let old = old.map(object).transpose()?.flatten().unwrap_or_default();
    let mut changes: HashMap<&str, &RawValue> = new.iter().collect();
    into.push('{');
    let begin = into.len();
    // What is there keeps its place, and what is new comes behind it.
    for (key, value) in old.iter() {
        match changes.remove(key) {
            None => {
                name(key, begin, into);
                into.push_str(value.get());
            }
            Some(change) if is_delete(change) => {}
            Some(change) => {
                name(key, begin, into);
                merge(Some(value), change, into)?;
            }
        }
    }
    for (key, value) in new.iter() {
        if changes.contains_key(key) && !is_delete(value) {
            name(key, begin, into);
            merge(None, value, into)?;
        }
    }
    into.push('}');
    Ok(())
}

/// Appends the name of a field of the object that begins there.
fn name(key: &str, begin: usize, into: &mut String) {
    if into.len() > begin {
        into.push(',');
    }
    into.push_str(&serde_json::Value::from(key).to_string());
    into.push(':');
}

/// Appends JSON without the spaces that mean nothing.
fn compact(json: &str, into: &mut String) {
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            _ => {}
        }
        into.push(character);
    }
}

/// Adds the names of the files that a JSON text refers to, by a URL anywhere in it.
pub(super) fn files(raw: &str, found: &mut BTreeSet<String>) {
    // A slash may be written in three more ways.
    if raw.contains('\\') && raw.contains("file") {
        let mut plain = raw.replace("\\/", "/");
        for escape in ["\\u002f", "\\u002F"] {
            plain = plain.replace(escape, "/");
        }
        look_for_files(&plain, found);
    } else {
        look_for_files(raw, found);
    }
}

fn look_for_files(text: &str, found: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices(FILE) {
        if found.len() >= FILES {
            return;
        }
        let rest = &text[at + FILE.len()..];
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        if end == FILE_NAME {
            found.insert(rest[..end].to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    /// The new JSON; "same"; or nothing.
    fn merge(old: &str, new: &str) -> String {
        let old = Some(old).filter(|old| !old.is_empty()).map(raw);
        match merged(old, raw(new), 1000).unwrap() {
            Merged::Same => "same".into(),
            Merged::Cleared => String::new(),
            Merged::Now(json) => json.get().to_owned(),
        }
    }

    #[test]
    fn objects_are_merged_and_all_else_replaces() {
        for (old, new, now) in [
            ("", r#"{"fn":"Ivy"}"#, r#"{"fn":"Ivy"}"#),
            ("", r#"{ "fn" : [ 1, " \" x" ] }"#, r#"{"fn":[1," \" x"]}"#),
            (r#"{"fn":"x"}"#, r#"{"fn":"x"}"#, "same"),
            (r#"{"fn":"x","note":"y"}"#, r#"{"fn":"x"}"#, "same"),
            (r#"{"fn":"x"}"#, "{}", "same"),
            (
                r#"{"fn":"x","note":"y","deep":{"a":1,"b":2}}"#,
                r#"{"fn":"z","deep":{"a":5}}"#,
                r#"{"fn":"z","note":"y","deep":{"a":5,"b":2}}"#,
            ),
            (r#"{"fn":"x","note":"y"}"#, r#"{"note":"␡"}"#, r#"{"fn":"x"}"#),
            (r#"{"fn":"x","note":"y"}"#, r#"{"note":"\u2421"}"#, r#"{"fn":"x"}"#),
            (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":"␡"}}"#, r#"{"a":{"c":2}}"#),
            (r#"{"a":1}"#, r#"{"a":{"b":"␡","c":3}}"#, r#"{"a":{"c":3}}"#),
            (r#"{"a":1}"#, r#"{"none":"␡"}"#, "same"),
            (r#"{"a":1}"#, r#"{"a":"␡"}"#, "{}"),
            (r#"{"a":[{"b":1}]}"#, r#"{"a":["␡"]}"#, r#"{"a":["␡"]}"#),
            (r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":null}"#),
            (r#"{"a":1}"#, r#"{"a":2,"a":3}"#, r#"{"a":3}"#),
            (r#"{"A":1}"#, r#"{"a":2}"#, r#"{"A":1,"a":2}"#),
            (r#"{"k\"":1}"#, r#"{"k\u0022":2}"#, r#"{"k\"":2}"#),
            (r#"{"a":1}"#, r#""text""#, r#""text""#),
            (r#"{"a":1}"#, "[1]", "[1]"),
            (r#""text""#, r#"{"a":1}"#, r#"{"a":1}"#),
            (r#""text""#, r#""text""#, "same"),
            (r#"{"a":1}"#, r#""␡""#, ""),
            ("", r#""␡""#, "same"),
        ] {
            assert_eq!(merge(old, new), now, "{old} {new}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let deep = |n: usize| format!("{}1{}", r#"{"a":"#.repeat(n), "}".repeat(n));
        let lists = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for (json, fits) in [
            (deep(DEPTH), true),
            (deep(DEPTH + 1), false),
            (deep(30_000), false),
            (lists(DEPTH), true),
            (lists(30_000), false),
        ] {
            assert_eq!(merged(None, raw(&json), 1000).is_ok(), fits);
            assert_eq!(merged(Some(raw(&deep(DEPTH))), raw(&json), 1000).is_ok(), fits);
        }
        assert!(merged(None, raw(r#""0123456""#), 9).is_ok());
        assert!(merged(None, raw(r#""01234567""#), 9).is_err());
        assert!(merged(Some(raw(r#"{"a":1}"#)), raw(r#"{"b":2}"#), 12).is_err());
        assert!(merged(None, raw(r#"{"\ud800":1}"#), 99).is_err());
        // Not slower by the square of the number of fields.
        let fields = |from: u32| (from..from + 10_000).map(|n| format!(r#""{n}":0"#));
        let wide = |from| format!("{{{}}}", fields(from).collect::<Vec<_>>().join(","));
        assert!(merged(Some(raw(&wide(0))), raw(&wide(5000)), 1 << 20).is_ok());
    }

    #[test]
    fn files_are_found_wherever_they_are_named() {
        let name = "0123456789abcdef-_ABCD";
        for (json, found) in [
            (format!(r#"{{"ref":"/v0/file/s/{name}"}}"#), true),
            (format!(r#"{{"ref":"/v0/file/s/{name}.jpg?x=1"}}"#), true),
            (format!(r#""https://chat.example/v0/file/s/{name}""#), true),
            (format!(r#""\/v0\/file\/s\/{name}""#), true),
            (format!(r#""\u002fv0\u002Ffile\/s/{name}""#), true),
            (format!(r#""/v0/file/s/{name}x""#), false),
            (r#""/v0/file/s/short""#.to_owned(), false),
            (format!(r#""/v0/file/u/{name}""#), false),
            (format!(r#""{name}""#), false),
        ] {
            let mut names = BTreeSet::new();
            files(&json, &mut names);
            let expected: BTreeSet<_> = found.then(|| name.to_owned()).into_iter().collect();
            assert_eq!(names, expected, "{json}");
        }
        let many: String = (0..1000).map(|n| format!("/v0/file/s/{n:022} ")).collect();
        let mut names = BTreeSet::new();
        files(&many, &mut names);
        assert_eq!(names.len(), FILES);
    }
}
