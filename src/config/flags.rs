//! The flags: one for each setting, made from the table. The command line has them beside its
//! commands.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, FromArgMatches};

use super::setting::settings;

/// Values of flags, by the key of their setting: `websocket.listen`.
pub type Flags = BTreeMap<&'static str, String>;

/// One flag for each setting, as arguments of a command line.
pub struct GivenFlags(pub Flags);

impl Args for GivenFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(settings().iter().map(|setting| {
            let heading = if setting.section.is_empty() { "compat" } else { setting.section };
            let default = if setting.default.is_empty() { "empty" } else { setting.default };
            let doc = setting.doc.trim_end_matches('.');
            let facts = format!("[default: {default}] [env: {}]", setting.env);
            Arg::new(setting.key)
                .long(setting.flag.clone())
                .value_name(setting.value_name)
                .help(format!("{doc} {facts}"))
                .long_help(format!("{doc}\nValue: {}\n{facts}", setting.values))
                .help_heading(format!("[{heading}] {}", setting.about.trim_end_matches('.')))
                .allow_negative_numbers(true) // bad values, to be reported with the others
                .hide_short_help(true)
                .global(true)
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GivenFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key| matches.get_one::<String>(key).cloned().map(|text| (key, text));
        Ok(Self(settings().iter().filter_map(|setting| given(setting.key)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}
