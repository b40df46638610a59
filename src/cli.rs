//! Command line → configuration → command → exit code.
//!
//! Exit codes: 0 all went well; 1 something failed while running; 2 the command line or
//! configuration is wrong; 3 an address can't be listened on; 4 the store can't be opened; 5 the
//! account exists already, or does not exist; 6 the deadline of the orderly end passed;
//! 7 a copy lacks something; 130 ended at once by a second signal.
use std::{fmt::Display, process::ExitCode};

use crate::{
    app,
    config::{self, Config},
    console::{self, Unwritten},
    domain::token::Realm,
};

mod account;
mod arguments;
mod backup;
mod copy;
mod doctor;
mod drain;
mod erase;
mod exit;
mod health_check;
mod hooks;
mod run;
mod running;
#[cfg(test)]
mod tests;
mod tinode;
mod verify;

pub use arguments::{
    AccountCommand, AdminRole, Cli, Command, End, HooksCommand, KeyCommand, TokenCommand,
};

/// Does what the process's command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match cli.config(std::env::vars_os()) {
        Ok(config) => config,
        Err(problems) => {
            console::complain(problems);
            return ExitCode::from(exit::WRONG_CONFIGURATION);
        }
    };
    let outcome = match cli.command.clone() {
        Command::CheckConfig => check_config(&config),
        Command::PrintConfig => result(config.print()),
        Command::PrintReference => result(config::reference()),
        Command::Run(role) => run::run(config, role, cli.source(std::env::vars_os().collect())),
        Command::Doctor { proxy } => doctor::run(&config, proxy.as_deref()),
        Command::Drain { url, credential, over, cancel, wait } => {
            let how =
                if cancel { drain::How::Cancel } else { drain::How::Over { time: over, wait } };
            drain::run(&config, url.as_deref(), credential.as_deref(), how)
        }
        Command::TinodeKey { url, credential, command } => {
            tinode::run(&config, url.as_deref(), credential.as_deref(), command)
        }
        Command::Health(url) => health_check::run(&config, url.as_deref()),
        Command::Hooks(command) => hooks::run(&config, command),
        Command::Backup { file } => backup::run(&config, &file),
        Command::Erase { uid, rooms } => erase::run(&config, &uid, &rooms),
        Command::Copy { from, to } => copy::run(&config, from, to),
        Command::Admin(command) => account::change_admins(&config, command),
        Command::Token(TokenCommand::Verify { token }) => verify::run(&config, &token),
        Command::Token(command) => account::change(&config, Realm::User, command.into()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            if !error.downcast_ref::<Unwritten>().is_some_and(Unwritten::is_unread) {
                console::complain(format_args!("always-online: {error:#}"));
            }
            ExitCode::from(exit::code(&error))
        }
    }
}

/// Prints what a command is for.
fn result(text: impl Display) -> anyhow::Result<u8> {
    console::print(text)?;
    Ok(0)
}

fn check_config(config: &Config) -> anyhow::Result<u8> {
    let problems = app::check(config);
    if problems.is_empty() {
        return result("the configuration is valid\n");
    }
    for problem in problems {
        console::complain(format_args!("always-online: {problem}"));
    }
    Ok(exit::WRONG_CONFIGURATION)
}
