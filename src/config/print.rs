//! The effective configuration as a TOML file that can be used again, with the origin of each value
//! beside it.

use std::fmt::Write as _;

use super::kind::Shape;
use super::setting::{Setting, find};
use super::{Config, Origins, Place};

impl Config {
    /// Valid TOML of every setting. Credentials in URLs are `***`, and a comment says so; reading
    /// the rest again gives the same configuration.
    pub fn print(&self) -> String {
        let mut toml = format!(
            "# The effective configuration of always-online {}.\n",
            env!("CARGO_PKG_VERSION")
        );
        let mut section = "";
        for (key, text) in self.values() {
            let Some(setting) = find(key) else { continue };
            if setting.section != section {
                section = setting.section;
                let _ = write!(toml, "\n# {}\n[{section}]\n", setting.about);
            }
            let (name, value, origin) =
                (setting.name(), literal(setting, &text), self.origin(setting, &text));
            let _ = writeln!(toml, "{name} = {value} # {origin}");
        }
        for (name, webhook) in &self.webhooks {
            let _ = write!(toml, "\n[webhook.{name}]\n");
            for (key, text) in webhook.values() {
                let Some(setting) = find(key) else { continue };
                let _ = writeln!(toml, "{} = {}", setting.name(), literal(setting, &text));
            }
        }
        toml
    }

    /// Where a value comes from, in one line.
    fn origin(&self, setting: &Setting, text: &str) -> String {
        let mut origin = match self.source(setting.key) {
            Place::Default => "default".into(),
            place @ (Place::File(_) | Place::Line(..)) => format!("file {place}"),
            place @ Place::Environment(_) => place.to_string(),
            place @ Place::Flag(_) => format!("flag {place}"),
        };
        if setting.key == "websocket.origins" && self.loopback_by_default(&self.websocket.origins) {
            origin += ", because auth.ignore is true";
        }
        if setting.secret && text.contains("***") {
            origin += "; *** stands for credentials, fill them in";
        }
        origin.replace(char::is_control, "?") // a path may hold a line break, a comment may not
    }

    fn loopback_by_default(&self, origins: &Origins) -> bool {
        *origins == Origins::Loopback && self.source("websocket.origins") == &Place::Default
    }
}

/// A value as a TOML literal: bare numbers and switches, arrays for lists, else a string.
fn literal(setting: &Setting, text: &str) -> String {
    let quote = |text: &str| toml_edit::Value::from(text).to_string();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match setting.shape {
        Shape::Number if digits => text.into(),
        Shape::Switch if text == "true" || text == "false" => text.into(),
        Shape::List if text.contains(',') => {
            let items: Vec<_> = text.split(',').map(quote).collect();
            format!("[{}]", items.join(", "))
        }
        _ => quote(text),
    }
}
