//! Command line → configuration → server → exit code.
//!
//! Exit codes: 0 all went well; 1 something failed while running; 2 the command line or
//! configuration is wrong; 3 an address can't be listened on; 4 the store can't be opened; 5 the
//! account exists already, or does not exist; 6 the deadline of the orderly end passed;
//! 7 a copy lacks something; 130 ended at once by a second signal.
#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody can be told: see `console`"
)]
use std::{fmt::Display, io::Write, net::SocketAddr, path::Path, process::ExitCode};

use always_online::{
    app::{
        self, Accounts, Address, App, StartError,
        copy::{self, CopyError},
    },
    config::{
        self, Config, Site,
        cli::{AccountCommand, Cli, Command, End, Role, TokenCommand},
    },
    console::{self, Unwritten},
    domain::{
        clock::SystemRng,
        ids::Uid,
        presence::Expelled,
        secret::Secret,
        token::{Creation, Realm},
    },
    health::Question,
    lifecycle::Signals,
    telemetry::Log,
};
use anyhow::Context;

const FAILED: u8 = 1;
const WRONG_CONFIGURATION: u8 = 2;
const NO_ADDRESS: u8 = 3;
const NO_STORE: u8 = 4;
const NO_SUCH_ACCOUNT: u8 = 5;
const DEADLINE: u8 = 6;
const INCOMPLETE: u8 = 7;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match cli.config(std::env::vars_os()) {
        Ok(config) => config,
        Err(problems) => {
            console::complain(problems);
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let outcome = match cli.command {
        Command::CheckConfig => check(&config),
        Command::PrintConfig => result(config.print()),
        Command::PrintReference => result(config::reference()),
        Command::Run(role) => run(config, role),
        Command::Health(url) => health(&config, url.as_deref()),
        Command::Backup { file } => backup(&config, &file),
        Command::Copy { from, to } => copy(&config, from, to),
        Command::Admin(command) => account(&config, Realm::Admin, command.into()),
        Command::Token(command) => account(&config, Realm::User, command.into()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            if !error.downcast_ref::<Unwritten>().is_some_and(Unwritten::is_unread) {
                console::complain(format_args!("always-online: {error:#}"));
            }
            ExitCode::from(code(&error))
        }
    }
}

/// Prints what a command is for.
fn result(text: impl Display) -> anyhow::Result<u8> {
    console::print(text)?;
    Ok(0)
}

fn check(config: &Config) -> anyhow::Result<u8> {
    let problems = app::check(config);
    if problems.is_empty() {
        return result("the configuration is valid\n");
    }
    for problem in problems {
        console::complain(format_args!("always-online: {problem}"));
    }
    Ok(WRONG_CONFIGURATION)
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<StartError>() {
        Some(StartError::Listen { .. }) => NO_ADDRESS,
        Some(StartError::Store(_) | StartError::Tokens(_) | StartError::Unavailable(_)) => NO_STORE,
        Some(StartError::Tls { .. } | StartError::ClientScript { .. }) => WRONG_CONFIGURATION,
        Some(StartError::Admin(_)) | None => FAILED,
    }
}

/// What went wrong, as an error whose kind [`code`] knows.
fn known(error: CopyError) -> anyhow::Error {
    match error {
        CopyError::Start(error) => error.into(),
        other => other.into(),
    }
}

fn backup(config: &Config, file: &Path) -> anyhow::Result<u8> {
    let backup = copy::backup(config, file).map_err(known)?;
    let lines = [
        ("rooms", backup.rooms),
        ("messages", backup.messages),
        ("accounts", backup.accounts),
        ("bytes", backup.bytes),
    ];
    result(lines.map(|(what, count)| format!("{what}: {count}\n")).concat())
}

fn copy(config: &Config, from: End, to: End) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let copied = match runtime.block_on(copy::copy(config, from, to)) {
        Err(error @ CopyError::NoServers) => {
            console::complain(format_args!("always-online: {error}"));
            return Ok(WRONG_CONFIGURATION);
        }
        other => other.map_err(known)?,
    };
    console::print(&copied)?;
    Ok(if copied.is_complete() { 0 } else { INCOMPLETE })
}

fn runtime(config: &Config) -> anyhow::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if config.runtime.workers == 0 { cores } else { config.runtime.workers };
    // One worker needs no other threads to take work from: measured 30 % less CPU.
    let mut builder = if workers == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().context("the runtime could not be started")
}

/// Whatever it says, and how it ends, goes through the log: standard error may be a pipe that
/// nobody reads.
fn run(config: Config, role: Role) -> anyhow::Result<u8> {
    let log = Log::install(&config).context("the log can't be written")?;
    let code = run_server(config, role).unwrap_or_else(|error| {
        log.say(format_args!("always-online: {error:#}"));
        code(&error)
    });
    log.flush();
    Ok(code)
}

fn run_server(config: Config, role: Role) -> anyhow::Result<u8> {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime = runtime(&config)?;
    let code = runtime.block_on(serve(config, role))?;
    // Connections that are still open end with the process.
    runtime.shutdown_background();
    Ok(code)
}

async fn serve(config: Config, role: Role) -> anyhow::Result<u8> {
    let mut signals = Signals::install().context("signals can't be handled")?;
    let app = App::start(&config, role).await?;
    announce(&app);
    let signal = signals.first().await;
    tracing::info!(signal, "asked to end");
    tokio::select! {
        in_time = app.drain() => Ok(if in_time { 0 } else { DEADLINE }),
        () = signals.second() => Ok(INTERRUPTED),
    }
}

/// Tells people, and scripts, where to look. That nobody reads it is no reason to end, nor to wait:
/// it has a thread of its own.
fn announce(app: &App) {
    let mut text = Vec::new();
    let _ = announce_to(app, &mut text); // memory takes it
    let _ = std::thread::Builder::new().name("announcement".into()).spawn(move || {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(&text).and_then(|()| out.flush());
    });
}

fn announce_to(app: &App, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "always-online {} is running.", env!("CARGO_PKG_VERSION"))?;
    for Address { site, tls, address } in &app.addresses {
        let scheme = if *tls { "https" } else { "http" };
        writeln!(out, "{} {scheme}://{}", site.label(), reachable(*address))?;
    }
    if let Some(admin) = &app.first_admin {
        writeln!(
            out,
            "An administrator was made; this is shown once, and kept in {}:",
            admin.file.display()
        )?;
        writeln!(out, "admin uid: {}", admin.uid)?;
        writeln!(out, "admin token: {}", admin.token.reveal())?;
    }
    if let Some(demo) = app.addresses.iter().find(|listens| listens.site == Site::Demo) {
        writeln!(out, "Open http://{} in two browser windows, and draw.", reachable(demo.address))?;
    }
    out.flush()
}

/// An address that can be opened: not the one that means all.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// A wrong URL is a wrong command line; everything else means not ready.
fn health(config: &Config, url: Option<&str>) -> anyhow::Result<u8> {
    let question = match url.map(str::parse::<Question>) {
        Some(Ok(question)) => question,
        Some(Err(why)) => {
            console::complain(format_args!("always-online: {why}"));
            return Ok(WRONG_CONFIGURATION);
        }
        None => Question::of(config.websocket.listen, config.websocket.tls().is_some())?,
    };
    question.ask()?;
    result("ready\n")
}

enum Change {
    Create(String),
    Refresh(String),
    Remove(String),
    List,
    Seal,
}

impl From<AccountCommand> for Change {
    fn from(command: AccountCommand) -> Self {
        match command {
            AccountCommand::Create { uid } => Change::Create(uid),
            AccountCommand::Remove { uid } => Change::Remove(uid),
            AccountCommand::List => Change::List,
        }
    }
}

impl From<TokenCommand> for Change {
    fn from(command: TokenCommand) -> Self {
        match command {
            TokenCommand::Create { uid } => Change::Create(uid),
            TokenCommand::Refresh { uid } => Change::Refresh(uid),
            TokenCommand::Revoke { uid } => Change::Remove(uid),
            TokenCommand::Seal => Change::Seal,
        }
    }
}

fn account(config: &Config, realm: Realm, change: Change) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let accounts = Accounts::open(config).await?;
        apply(config, &accounts, realm, change).await
    })
}

async fn apply(
    config: &Config,
    accounts: &Accounts,
    realm: Realm,
    change: Change,
) -> anyhow::Result<u8> {
    let tokens = accounts.tokens();
    let name = |uid: &str| Uid::text(uid).with_context(|| format!("{uid:?} can't be a uid"));
    match change {
        Change::Create(uid) => {
            let token = Secret::random(&SystemRng)?;
            match tokens.create(realm, &name(&uid)?, &token).await? {
                Creation::Created => console::print_line(token.reveal())?,
                Creation::Exists => return missing(&uid, "exists already"),
            }
        }
        Change::Refresh(uid) => {
            let token = Secret::random(&SystemRng)?;
            if !tokens.refresh(realm, &name(&uid)?, &token).await? {
                return missing(&uid, "does not exist");
            }
            console::print_line(token.reveal())?;
        }
        Change::Remove(uid) => {
            let removed = tokens.revoke(realm, &name(&uid)?).await?;
            // Also when it was removed before: then this may not have worked.
            if realm == Realm::User {
                let expelled = app::revoke(config, &name(&uid)?).await;
                match expelled.context(
                    "the token is dead, but open connections of its user could not be ended",
                )? {
                    Expelled::Nobody => console::print_line("open connections: none")?,
                    Expelled::NoServer { path } => {
                        console::print_line(format_args!(
                            "open connections: none, as no server runs on {}",
                            path.display()
                        ))?;
                    }
                    Expelled::Ended { server, connections } => {
                        console::print_line(format_args!(
                            "open connections: {connections}, ended by the server {server}"
                        ))?;
                    }
                    Expelled::Unconfirmed { server } => {
                        console::complain(format_args!(
                            "always-online: the token is dead, but the server {server} has not confirmed that it ended the open connection"
                        ));
                        console::complain(
                            "always-online: it ends it as soon as it learns of it; run this again to see",
                        );
                        return Ok(FAILED);
                    }
                }
            }
            if !removed {
                return missing(&uid, "does not exist");
            }
        }
        Change::List => {
            for account in tokens.list(realm).await? {
                console::print_line(account.uid)?;
            }
        }
        Change::Seal => match accounts.seal().await? {
            Some(sealed) => console::print_line(format_args!(
                "sealed {sealed} tokens; from now on only hashes are written"
            ))?,
            None => {
                console::print_line("nothing to do: the embedded store always keeps hashes alone")?
            }
        },
    }
    Ok(0)
}

fn missing(uid: &str, what: &str) -> anyhow::Result<u8> {
    console::complain(format_args!("always-online: {uid} {what}"));
    Ok(NO_SUCH_ACCOUNT)
}
