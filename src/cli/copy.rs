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
    transfer::{Archive, Both, Cabinet, Ledger, Vault, accounts, messages, receipts, records},
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
    receipts: Option<receipts::Report>,
    records: Option<records::Report>,
    accounts: Option<[accounts::Report; 3]>,
}

/// The servers that are copied from or to.
struct Servers {
    redis: Option<RedisArchive>,
    mongodb: Option<MongoVault>,
}

impl Servers {
    /// Both before anything is copied: a wrong address should not come to light after an hour.
    async fn connect(config: &Config) -> Result<Self, StartError> {
        let deadline = config.store.deadline.max(PATIENCE);
        let redis = match &config.store.messages {
            Backend::Url(url) => Some(
                RedisArchive::connect(url, &config.store.key_prefix, deadline)
                    .await
                    .map_err(|e| StartError::Store(e.into()))?,
            ),
            Backend::Embedded => None,
        };
        let mongodb = match &config.store.tokens {
            Backend::Url(url) => Some(MongoVault::connect(url, deadline).await?),
            Backend::Embedded => None,
        };
        Ok(Servers { redis, mongodb })
    }

    /// Where a server keeps records: beside the tokens in MongoDB, else beside the messages.
    fn cabinet(&self) -> Option<&dyn Cabinet> {
        match (&self.mongodb, &self.redis) {
            (Some(mongodb), _) => Some(mongodb),
            (None, Some(redis)) => Some(redis),
            (None, None) => None,
        }
    }
}

/// Copies messages, records and accounts; the bar is on standard error.
async fn copy(config: &Config, from: End, to: End) -> Result<Copied, CopyError> {
    if [&config.store.messages, &config.store.tokens] == [&Backend::Embedded; 2] {
        return Err(CopyError::NoServers);
    }
    let open = match from {
        End::Embedded => Volume::source,
        End::Servers => Volume::target,
    };
    let volume = open(&config.store.path, Arc::new(SystemClock), Arc::new(SystemRng))
        .map_err(|e| StartError::Store(e.into()))?;
    let servers = Servers::connect(config).await?;
    if let (End::Servers, Some(redis)) = (to, &servers.redis) {
        redis.unserved().await.map_err(|e| StartError::Store(e.into()))?;
    }
    let console = Console::new();
    let mut copied =
        Copied { from, to, messages: None, receipts: None, records: None, accounts: None };
    if let Some(redis) = &servers.redis {
        let (source, target) = direction::<dyn Archive>(from, &volume, redis);
        copied.messages = Some(messages::copy(source, target, &console).await?);
        let (source, target) = direction::<dyn Ledger>(from, &volume, redis);
        copied.receipts = Some(receipts::copy(source, target, &console).await?);
    }
    if let Some(cabinet) = servers.cabinet() {
        let (source, target) = direction::<dyn Cabinet>(from, &volume, cabinet);
        copied.records = Some(records::copy(source, target, &console).await?);
    }
    if let Some(mongodb) = &servers.mongodb {
        let (source, target) = direction::<dyn Vault>(from, &volume, mongodb);
        let users = accounts::copy(source, target, Realm::User, &console).await?;
        let admins = accounts::copy(source, target, Realm::Admin, &console).await?;
        let readers = accounts::copy(source, target, Realm::Reader, &console).await?;
        copied.accounts = Some([users, admins, readers]);
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
            && self.receipts.as_ref().is_none_or(receipts::Report::is_complete)
            && self.records.as_ref().is_none_or(records::Report::is_complete)
            && self.accounts.iter().flatten().all(accounts::Report::is_complete)
    }
}

/// Lines about what was copied, and what there is to say of it behind them.
struct Told<'a, 'f> {
    from: End,
    to: End,
    lines: &'a mut fmt::Formatter<'f>,
    notes: Vec<String>,
}

impl Told<'_, '_> {
    fn line(&mut self, what: &str, both: Both) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        let mark = if both.agree() { "" } else { "  <- differs" };
        writeln!(self.lines, "{what}: {} in {from}, {} in {to}{mark}", both.from, both.to)
    }

    /// So many of something, if there are any.
    fn note(&mut self, count: u64, text: impl fmt::Display) {
        self.notes.extend((count > 0).then(|| format!("{count} {text}")));
    }

    fn messages(&mut self, report: &messages::Report) -> fmt::Result {
        self.line("rooms", report.rooms)?;
        self.line("inserts", report.inserts)?;
        self.line("updates", report.updates)?;
        self.note(
            report.shifted,
            "rooms count their messages otherwise in the target: their readers begin anew",
        );
        self.note(report.kept, "updates are newer in the target, and were kept there");
        self.note(
            report.unreadable,
            "entries are no JSON: they keep their places and times, without a message",
        );
        self.note(report.refused, "rooms, keys or updates were not copied: see above");
        Ok(())
    }

    fn accounts(&mut self, what: &str, report: &accounts::Report) -> fmt::Result {
        self.line(what, report.accounts)?;
        self.note(
            report.kept,
            format_args!("{what} have another token in the target, and kept it"),
        );
        if report.refused > 0 {
            self.notes.push(format!("some {what} were not copied: see above"));
        }
        Ok(())
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        let mut told = Told { from, to, lines: f, notes: Vec::new() };
        match &self.messages {
            Some(report) => told.messages(report)?,
            None => told
                .notes
                .push("messages were not copied: AO_STORE__MESSAGES names no server".to_owned()),
        }
        if let Some(report) = &self.receipts {
            told.line("receipts", report.receipts)?;
            let text = "bytes of webhooks are still to be told by the source, and are not copied";
            told.note(report.untold, text);
        }
        if let Some(report) = &self.records {
            told.line("records", report.records)?;
            told.note(report.kept, "records have a higher version in the target, and were kept");
        }
        match &self.accounts {
            Some([users, admins, readers]) => {
                told.accounts("users", users)?;
                told.accounts("admins", admins)?;
                // Few servers have administrators who only read.
                if readers.accounts != Both::default() {
                    told.accounts("readers", readers)?;
                }
            }
            None => told.notes.push(
                "users and admins were not copied: AO_STORE__TOKENS names no server".to_owned(),
            ),
        }
        let Told { lines, notes, .. } = told;
        notes.iter().try_for_each(|note| writeln!(lines, "{note}"))
    }
}
