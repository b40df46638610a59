//! The command `copy`: between the stores that the configuration names, without a server.
use std::{fmt, sync::Arc, time::Duration};

use super::{arguments::End, exit};
use crate::{
    app::StartError,
    config::{Backend, Config},
    console,
    domain::{
        clock::{SystemClock, SystemRng},
        error::StoreError,
        token::Realm,
    },
    store::{embedded::Volume, mongodb::MongoVault, redis::RedisArchive},
    transfer::{Archive, Both, Vault, accounts, messages},
};

mod progress;

use progress::Console;

/// The least time that a server gets for an answer: a copy asks for more at once than a client
/// does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no copy, or a part of one.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(
        "neither AO_STORE__MESSAGES nor AO_STORE__TOKENS is a URL: name the servers that are to be copied from or to"
    )]
    NoServers,
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}\n  what was copied stays; run the command again, and it goes on from there")]
    Stopped(StoreError),
}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        CopyError::Stopped(error)
    }
}

/// Copies, and tells what came of it.
pub(super) fn run(config: &Config, from: End, to: End) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let copied = match runtime.block_on(copy(config, from, to)) {
        Ok(copied) => copied,
        Err(error @ CopyError::NoServers) => {
            console::complain(format_args!("always-online: {error}"));
            return Ok(exit::WRONG_CONFIGURATION);
        }
        // Whose kind `exit::code` knows.
        Err(CopyError::Start(error)) => return Err(error.into()),
        Err(error @ CopyError::Stopped(_)) => return Err(error.into()),
    };
    console::print(&copied)?;
    Ok(if copied.is_complete() { 0 } else { exit::INCOMPLETE })
}

/// What was copied.
struct Copied {
    from: End,
    to: End,
    messages: Option<messages::Report>,
    accounts: Option<[accounts::Report; 2]>,
}

/// Copies messages and accounts; the bar is on standard error.
async fn copy(config: &Config, from: End, to: End) -> Result<Copied, CopyError> {
    let (messages, tokens) = (&config.store.messages, &config.store.tokens);
    if [messages, tokens] == [&Backend::Embedded; 2] {
        return Err(CopyError::NoServers);
    }
    let deadline = config.store.deadline.max(PATIENCE);
    let open = match from {
        End::Embedded => Volume::source,
        End::Servers => Volume::target,
    };
    let volume = open(&config.store.path, Arc::new(SystemClock), Arc::new(SystemRng))
        .map_err(|e| StartError::Store(e.into()))?;
    // Both before anything is copied: a wrong address should not come to light after an hour.
    let redis = match messages {
        Backend::Url(url) => Some(
            RedisArchive::connect(url, &config.store.key_prefix, deadline)
                .await
                .map_err(|e| StartError::Store(e.into()))?,
        ),
        Backend::Embedded => None,
    };
    let mongodb = match tokens {
        Backend::Url(url) => {
            Some(MongoVault::connect(url, deadline).await.map_err(StartError::from)?)
        }
        Backend::Embedded => None,
    };
    let console = Console::new();
    let mut copied = Copied { from, to, messages: None, accounts: None };
    if let Some(redis) = &redis {
        let (source, target) = direction::<dyn Archive>(from, &volume, redis);
        copied.messages = Some(messages::copy(source, target, &console).await?);
    }
    if let Some(mongodb) = &mongodb {
        let (source, target) = direction::<dyn Vault>(from, &volume, mongodb);
        let users = accounts::copy(source, target, Realm::User, &console).await?;
        copied.accounts =
            Some([users, accounts::copy(source, target, Realm::Admin, &console).await?]);
    }
    Ok(copied)
}

fn direction<'a, T: ?Sized>(from: End, volume: &'a T, servers: &'a T) -> (&'a T, &'a T) {
    match from {
        End::Embedded => (volume, servers),
        End::Servers => (servers, volume),
    }
}

impl Copied {
    /// Whether everything of the source is in the target.
    fn is_complete(&self) -> bool {
        self.messages.as_ref().is_none_or(messages::Report::is_complete)
            && self.accounts.iter().flatten().all(accounts::Report::is_complete)
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        let mut line = |what: &str, both: Both| {
            let mark = if both.agree() { "" } else { "  <- differs" };
            writeln!(f, "{what}: {} in {from}, {} in {to}{mark}", both.from, both.to)
        };
        let mut notes = Vec::new();
        match &self.messages {
            None => notes
                .push("messages were not copied: AO_STORE__MESSAGES names no server".to_owned()),
            Some(report) => {
                line("rooms", report.rooms)?;
                line("inserts", report.inserts)?;
                line("updates", report.updates)?;
                let note = |count: u64, text: &str| (count > 0).then(|| format!("{count} {text}"));
                notes.extend(note(
                    report.kept,
                    "updates are newer in the target, and were kept there",
                ));
                notes.extend(note(
                    report.unreadable,
                    "entries are no JSON: they keep their places and times, without a message",
                ));
                notes.extend(note(
                    report.refused,
                    "rooms, keys or updates were not copied: see above",
                ));
            }
        }
        match &self.accounts {
            None => notes.push(
                "users and admins were not copied: AO_STORE__TOKENS names no server".to_owned(),
            ),
            Some(reports) => {
                for (what, report) in ["users", "admins"].into_iter().zip(reports) {
                    line(what, report.accounts)?;
                    if report.kept > 0 {
                        notes.push(format!(
                            "{} {what} have another token in the target, and kept it",
                            report.kept
                        ));
                    }
                    if report.refused > 0 {
                        notes.push(format!("some {what} were not copied: see above"));
                    }
                }
            }
        }
        notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
