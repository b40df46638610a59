//! The reference of all settings, in Markdown: docs/CONFIGURATION.md, which a test compares.

use std::fmt::Write as _;

use super::{Setting, settings};

const PREFACE: &str = "\
# Configuration

Made from the code by `always-online print-reference`; a test fails when this file is stale.

Built-in defaults come first, then a TOML file (`--config FILE`), then the environment, then flags; the later overrules the former. Each setting exists in
all forms: `AO_STORE__PATH` in the environment is `path` in `[store]` of the file and `--store-path` on the command line.

```toml
# always-online.toml
compat = \"documented\"

[websocket]
listen = \"0.0.0.0:3000\"
origins = [\"https://chat.example\", \"https://board.example\"]

[store]
path = \"/var/lib/always-online\"
```

An unknown name or a bad value ends the start with exit code 2; each problem names its place and the nearest valid name. `always-online check-config` reports
all problems and starts nothing, `always-online print-config` prints the effective configuration and where each value comes from.
";

/// All settings, section by section.
pub fn reference() -> String {
    let mut text = PREFACE.to_owned();
    let mut section = None;
    for setting in settings() {
        if section != Some(setting.section) {
            section = Some(setting.section);
            let title = if setting.section.is_empty() {
                "At the top of the file".into()
            } else {
                format!("`[{}]`", setting.section)
            };
            let _ = write!(
                text,
                "\n## {title}\n\n{}\n\n| setting | environment | default | what | values |\n|---|---|---|---|---|\n",
                setting.about
            );
        }
        text += &row(setting);
    }
    text
}

fn row(setting: &Setting) -> String {
    let default =
        if setting.default.is_empty() { "empty".into() } else { format!("`{}`", setting.default) };
    let cells = [
        format!("`{}`", setting.name()),
        format!("`{}`", setting.env),
        default,
        setting.doc.to_owned(),
        setting.values.to_owned(),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}
