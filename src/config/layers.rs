//! The layers of a configuration: file, environment, flags. Each adds text for known keys and
//! problems for unknown ones; the sections then take their values. A bad value is reported in
//! whichever layer it stands, even where a higher one overrules it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::kind::{Kind, nearest};
use super::problem::{Place, Problem, gone};
use super::section::Webhook;
use super::setting::{Setting, find, settings};

/// What the layers say. Add them in the order of their precedence, lowest first.
#[derive(Default)]
pub(super) struct Layers {
    given: BTreeMap<&'static str, Vec<(Place, String)>>,
    /// Where the value in use of each key comes from.
    pub(super) sources: BTreeMap<&'static str, Place>,
    /// Keys with a value that could not be used.
    bad: Vec<&'static str>,
    /// Sections `[webhook.NAME]`, by name.
    pub(super) named: BTreeMap<String, Layers>,
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    /// A value for a setting; it overrules those given before.
    pub(super) fn give(&mut self, setting: &'static Setting, place: Place, text: String) {
        self.given.entry(setting.key).or_default().push((place, text));
    }

    /// A value that cannot be used. `shown` is how it was written, and is left out of the problem
    /// where it may be a secret.
    pub(super) fn refuse(
        &mut self,
        setting: &'static Setting,
        place: Place,
        shown: &str,
        why: &str,
    ) -> &mut Problem {
        let shown = if setting.secret { "(hidden)" } else { shown };
        let index = self.problems.len();
        self.bad.push(setting.key);
        self.problems.push(Problem::new(place, format!("{} = {shown}: {why}", setting.key)));
        &mut self.problems[index]
    }

    /// The endpoints that have a section of their own. What is wrong there is a problem here.
    pub(super) fn endpoints(&mut self) -> Option<BTreeMap<String, Webhook>> {
        let mut endpoints = BTreeMap::new();
        for (name, mut layers) in std::mem::take(&mut self.named) {
            let webhook = Webhook::read(&mut layers);
            if let Some(webhook) = &webhook {
                webhook.check(&mut layers, &format!("webhook.{name}"));
            }
            self.problems.append(&mut layers.problems);
            endpoints.insert(name, webhook?);
        }
        Some(endpoints)
    }

    /// Adds the variables that begin with `AO_`; others are none of our business.
    pub(super) fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) {
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix("AO_") else {
                continue;
            };
            let place = Place::Environment(name.clone());
            match settings().iter().find(|setting| setting.env == name) {
                Some(setting) => match value.into_string() {
                    Ok(text) => self.give(setting, place, text),
                    Err(value) => {
                        self.refuse(setting, place, &format!("{value:?}"), "expected UTF-8 text");
                    }
                },
                None => self.problems.push(match gone(&rest.replace("__", ".").to_lowercase()) {
                    Some(what) => Problem::new(place, what),
                    None => Problem::new(place, "unknown variable (--help names them all)")
                        .suggest(nearest_variable(rest)),
                }),
            }
        }
    }

    /// Adds the values of flags, by the key of their setting. Unknown flags are the command line's
    /// business.
    pub(super) fn flags(&mut self, flags: &BTreeMap<&'static str, String>) {
        for (key, text) in flags {
            if let Some(setting) = find(key) {
                self.give(setting, Place::Flag(setting.flag.clone()), text.clone());
            }
        }
    }

    /// The value in use of a setting: that of the highest layer which has a good one, else the
    /// default. `None` only when the default itself is bad, which is a problem as well.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        default: &'static str,
        kind: &Kind<T>,
    ) -> Option<T> {
        let mut value = None;
        let mut source = Place::Default;
        for (place, text) in self.given.remove(key).unwrap_or_default() {
            match (kind.parse)(&text) {
                Ok(good) => (value, source) = (Some(good), place),
                Err(why) => {
                    let Some(setting) = find(key) else { continue };
                    let word = nearest(&text, kind.words.iter().copied());
                    self.refuse(setting, place, &format!("{text:?}"), &why).suggestion =
                        word.map(str::to_owned);
                }
            }
        }
        self.sources.insert(key, source);
        value.or_else(|| match (kind.parse)(default) {
            Ok(good) => Some(good),
            Err(why) => {
                self.problems
                    .push(Problem::new(Place::Default, format!("{key} = {default:?}: {why}")));
                None
            }
        })
    }

    /// Where the value in use of a key comes from; for keys that were taken.
    pub(super) fn source(&self, key: &str) -> Place {
        self.sources.get(key).cloned().unwrap_or(Place::Default)
    }

    /// Whether every value given for this key could be used.
    pub(super) fn good(&self, key: &str) -> bool {
        !self.bad.contains(&key)
    }
}

/// The variable meant by `AO_{rest}`: the one the rule `AO_SECTION__KEY` leads to, though the
/// setting has a shorter name (`AO_LOG__FILTER` is `AO_LOG`), else the closest. The common prefix
/// would make everything look alike.
fn nearest_variable(rest: &str) -> Option<&'static str> {
    let regular =
        settings().iter().find(|setting| setting.key.replace('.', "__").eq_ignore_ascii_case(rest));
    let closest = || {
        let rests = settings().iter().filter_map(|setting| setting.env.strip_prefix("AO_"));
        let closest = nearest(rest, rests)?;
        settings().iter().find(|setting| setting.env.strip_prefix("AO_") == Some(closest))
    };
    regular.or_else(closest).map(|setting| setting.env)
}
