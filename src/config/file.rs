//! The TOML file: every known key becomes text with its line and column, everything else a problem.

use std::path::Path;

use toml_edit::{Document, Item, Key, TableLike, Value};

use super::kind::{Shape, nearest};
use super::layers::Layers;
use super::problem::{Place, Problem, gone};
use super::setting::{Setting, find, settings};

/// The section with sections below it.
const ENDPOINTS: &str = "webhook";
/// The endpoint of the section itself.
pub(super) const MAIN: &str = "main";

/// The file's text. The one place where the configuration touches the file system.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        Problem::new(Place::File(path.into()), format!("the configuration cannot be read: {error}"))
    })
}

/// Adds the file's values to the layers. After a syntax error there are none.
pub(super) fn add(layers: &mut Layers, path: &Path, text: &str) {
    let document = match Document::parse(text) {
        Ok(document) => document,
        // Only the message: the whole error quotes the line, which may hold a password.
        Err(error) => {
            let place = place(path, text, error.span().map_or(0, |span| span.start));
            let message = error.message().trim().replace('\n', ", ");
            return layers.problems.push(Problem::new(place, format!("not valid TOML: {message}")));
        }
    };
    let mut file = File { named: false, path, text, layers };
    for (name, item) in document.iter() {
        let key = document.key(name);
        if let Some(setting) = find(name).filter(|setting| setting.section.is_empty()) {
            file.value(setting, key, item);
        } else if name.is_empty() || !settings().iter().any(|setting| setting.section == name) {
            file.unknown_top(name, key, item);
        } else if let Some(table) = item.as_table_like() {
            file.section(name, table);
        } else {
            let place = file.at(key, item);
            let message = format!("{name} is a section: expected [{name}] and its keys below");
            file.layers.problems.push(Problem::new(place, message));
        }
    }
}

struct File<'a> {
    /// It reads a section below another.
    named: bool,
    path: &'a Path,
    text: &'a str,
    layers: &'a mut Layers,
}

impl File<'_> {
    fn section(&mut self, section: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = table.key(name);
            if section == ENDPOINTS
                && !self.named
                && let Some(table) = item.as_table_like()
                && find(&format!("{section}.{name}")).is_none()
            {
                self.endpoint(name, key, item, table);
                continue;
            }
            match find(&format!("{section}.{name}")) {
                Some(setting) => self.value(setting, key, item),
                None if gone(&format!("{section}.{name}")).is_some() => {
                    let what = gone(&format!("{section}.{name}")).unwrap_or_default();
                    self.layers.problems.push(Problem::new(self.at(key, item), what));
                }
                None => {
                    let own = settings().iter().filter(|setting| setting.section == section);
                    let names: Vec<_> = own.map(Setting::name).collect();
                    let meant = nearest(name, names.iter().copied()).or_else(|| elsewhere(name));
                    let what = format!("unknown key {name:?} in [{section}]");
                    self.unknown(self.at(key, item), what, meant, &names);
                }
            }
        }
    }

    /// `[webhook.NAME]`: the keys of `[webhook]`, for one more endpoint.
    fn endpoint(&mut self, name: &str, key: Option<&Key>, item: &Item, table: &dyn TableLike) {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name == MAIN || name.len() > 64 || !name.chars().all(good) {
            let what = format!(
                "[{ENDPOINTS}.{name}]: expected a name of up to 64 letters, digits, - and _, other than {MAIN}"
            );
            return self.layers.problems.push(Problem::new(self.at(key, item), what));
        }
        let mut layers = Layers::default();
        let mut file = File { named: true, path: self.path, text: self.text, layers: &mut layers };
        file.section(ENDPOINTS, table);
        self.layers.named.insert(name.to_owned(), layers);
    }

    /// Something at the top level that is neither a section nor a top-level key.
    fn unknown_top(&mut self, name: &str, key: Option<&Key>, item: &Item) {
        let mut sections: Vec<_> =
            settings().iter().map(|setting| setting.section).filter(|s| !s.is_empty()).collect();
        sections.dedup();
        let place = self.at(key, item);
        if item.is_table_like() || item.is_array_of_tables() {
            let meant =
                nearest(name, sections.iter().copied()).map(|section| format!("[{section}]"));
            self.unknown(place, format!("unknown section [{name}]"), meant.as_deref(), &sections);
        } else {
            let top = settings().iter().filter(|setting| setting.section.is_empty());
            let top: Vec<_> = top.map(|setting| setting.key).collect();
            let meant = nearest(name, top.iter().copied())
                .or_else(|| elsewhere(name))
                .or_else(|| nearest(name, sections.iter().copied()));
            self.unknown(
                place,
                format!("unknown key {name:?} outside of any section"),
                meant,
                &top,
            );
        }
    }

    /// An unknown name: with the one that was probably meant, else with all there are.
    fn unknown(&mut self, place: Place, what: String, meant: Option<&str>, valid: &[&str]) {
        let message = match meant {
            Some(_) => what,
            None => format!("{what}, expected one of {}", valid.join(", ")),
        };
        self.layers.problems.push(Problem::new(place, message).suggest(meant));
    }

    fn value(&mut self, setting: &'static Setting, key: Option<&Key>, item: &Item) {
        let start = item.span().or_else(|| key.and_then(Key::span));
        let place = place(self.path, self.text, start.clone().map_or(0, |span| span.start));
        match item.as_value().and_then(|value| literal(setting.shape, value)) {
            Some(text) => self.layers.give(setting, place, text),
            None => {
                let shown = start.and_then(|span| self.text.get(span)).unwrap_or("…");
                let shown: String = shown.lines().next().unwrap_or("…").chars().take(60).collect();
                let literals = if setting.shape == Shape::List {
                    "a string or an array of strings"
                } else {
                    "a string"
                };
                let why = format!("expected {literals}: {}", setting.values);
                self.layers.refuse(setting, place, &shown, &why);
            }
        }
    }

    /// The place of a key.
    fn at(&self, key: Option<&Key>, item: &Item) -> Place {
        let span = key.and_then(Key::span).or_else(|| item.span());
        place(self.path, self.text, span.map_or(0, |span| span.start))
    }
}

/// A TOML value as the text that a variable or flag would have.
fn literal(shape: Shape, value: &Value) -> Option<String> {
    match (shape, value) {
        (_, Value::String(text)) => Some(text.value().clone()),
        (Shape::Number | Shape::Fraction, Value::Integer(number)) => {
            Some(number.value().to_string())
        }
        (Shape::Fraction, Value::Float(number)) => Some(number.value().to_string()),
        (Shape::Switch, Value::Boolean(switch)) => Some(switch.value().to_string()),
        (Shape::List, Value::Array(array)) => {
            let items: Option<Vec<_>> = array.iter().map(Value::as_str).collect();
            Some(items?.join(","))
        }
        _ => None,
    }
}

/// A key of that very name in another section.
fn elsewhere(name: &str) -> Option<&'static str> {
    settings().iter().find(|setting| setting.name() == name).map(|setting| setting.key)
}

fn place(path: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .trim_start_matches('\u{feff}')
        .chars()
        .count()
        + 1;
    Place::Line(path.into(), line, column)
}
