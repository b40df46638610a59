//! The command line of the whole binary. The commands are written down here; the flags come from
//! the table of settings, one each, and may stand before or after the command.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};

use crate::app::Source;
use crate::config::{Config, Flags, GivenFlags, Problems, Role, find};

/// A parsed command line. Its `Debug` names the flags without their values: one may be a URL with a
/// password.
#[derive(Clone)]
pub struct Cli {
    /// What to do.
    pub command: Command,
    /// The configuration file, if one was named.
    pub file: Option<PathBuf>,
    /// The settings that were given as flags.
    pub flags: Flags,
}

impl fmt::Debug for Cli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.flags.keys().collect();
        let mut cli = f.debug_struct("Cli");
        cli.field("command", &self.command).field("file", &self.file);
        cli.field("flags", &flags).finish()
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start servers.
    Run(Role),
    /// Change or list the admins.
    Admin(AccountCommand),
    /// Change the tokens of users.
    Token(TokenCommand),
    /// List webhooks that were put aside, or send them again.
    Hooks(HooksCommand),
    /// Write the embedded store into a new file.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Copy everything from one store to the other.
    Copy {
        /// Where it is.
        from: End,
        /// Where it shall be; never the same.
        to: End,
    },
    /// Erase a user's messages.
    Erase {
        /// The user.
        uid: String,
        /// In these rooms; in all, if there are none.
        rooms: Vec<String>,
    },
    /// Look at the machine, the stores and a proxy.
    Doctor {
        /// Where clients connect.
        proxy: Option<String>,
    },
    /// Send the clients of a running server elsewhere.
    Drain {
        /// Where its HTTP API is, if not where this configuration says.
        url: Option<String>,
        /// A file with an administrator's credentials, if not that of the data folder.
        credential: Option<PathBuf>,
        /// Time over which they are sent away.
        over: Duration,
        /// Let newcomers in again instead.
        cancel: bool,
        /// Return when they are gone.
        wait: bool,
    },
    /// Change or list the API keys of Tinode's clients.
    TinodeKey {
        /// Where the HTTP API of the server is, if not where this configuration says.
        url: Option<String>,
        /// A file with an administrator's credentials, if not that of the data folder.
        credential: Option<PathBuf>,
        /// What to do.
        command: KeyCommand,
    },
    /// Read the configuration and say what is wrong with it.
    CheckConfig,
    /// Print the effective configuration.
    PrintConfig,
    /// Print the reference of all settings.
    PrintReference,
    /// Ask a running server whether it is ready: the one at this URL, else the one of this
    /// configuration.
    Health(Option<String>),
}

/// One end of a copy. The configuration says where it is, so that no password stands on the command
/// line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// The folder `store.path`
    Embedded,
    /// The servers that `store.messages` and `store.tokens` name
    Servers,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Servers => "servers",
        })
    }
}

/// What to do with admins.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum AccountCommand {
    /// Create an admin and print the token
    Create {
        /// The admin's id
        uid: String,
        /// What the admin may do
        #[arg(long, value_name = "ROLE", default_value = "admin")]
        role: AdminRole,
    },
    /// List the admins; behind those who only read stands a tab and their role
    List,
    /// Remove an admin; the token is dead at once
    Remove {
        /// The admin's id
        uid: String,
    },
}

/// What an admin may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdminRole {
    /// Everything
    Admin,
    /// See everything, change nothing
    Reader,
}

/// What to do with the tokens of users. Its `Debug` shows no token.
#[derive(Clone, PartialEq, Eq, Subcommand)]
pub enum TokenCommand {
    /// Create a user and print the token
    Create {
        /// The user's id
        uid: String,
    },
    /// Print a new token; the old one is dead at once
    Refresh {
        /// The user's id
        uid: String,
    },
    /// Remove a user and the token
    Revoke {
        /// The user's id
        uid: String,
    },
    /// Say whether a JSON Web Token would be accepted, and if not, why; with what it grants
    Verify {
        /// The token; - reads it from standard input, where other users of this machine do not see it
        token: String,
    },
    /// Hash all tokens in MongoDB, of admins too, for good; the original service can't read them
    /// then
    Seal,
}

impl fmt::Debug for TokenCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { uid } => write!(f, "Create({uid:?})"),
            Self::Refresh { uid } => write!(f, "Refresh({uid:?})"),
            Self::Revoke { uid } => write!(f, "Revoke({uid:?})"),
            Self::Verify { token: _ } => f.write_str("Verify"),
            Self::Seal => f.write_str("Seal"),
        }
    }
}

/// What to do with webhooks that were put aside.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum HooksCommand {
    /// List what was put aside: id, time, attempts, the last failure, room
    List {
        /// The endpoint's section; main if none is named
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// With the bodies
        #[arg(long)]
        bodies: bool,
    },
    /// Send what was put aside again
    Replay {
        /// The endpoint's section; main if none is named
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// Ids, as they are listed; all if none is named
        ids: Vec<String>,
    },
}

/// What to do with API keys. Its `Debug` shows no key.
#[derive(Clone, PartialEq, Eq, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it
    Create {
        /// What it is for, as the list tells
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Revoke a key; it is dead at once
    Revoke {
        /// The key, or its name in the list
        key: String,
    },
    /// List the keys: name, time, whether it is good, note
    List,
}

impl fmt::Debug for KeyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { note } => write!(f, "Create({note:?})"),
            Self::Revoke { key: _ } => f.write_str("Revoke"),
            Self::List => f.write_str("List"),
        }
    }
}

impl Cli {
    /// Parses the process's command line. Prints and exits on `--help`, `--version` and mistakes
    /// (exit code 2).
    pub fn parse() -> Self {
        Self::try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Parses a command line that begins with the program's name.
    ///
    /// # Errors
    /// What clap has to say: mistakes, but also `--help` and `--version`.
    pub fn try_parse_from(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let cli: Self = Arguments::try_parse_from(arguments)?.into();
        match cli.command {
            Command::Copy { from, to } if from == to => Err(Self::definition().error(
                ErrorKind::ValueValidation,
                "FROM and TO are the same: one is embedded, the other servers",
            )),
            _ => Ok(cli),
        }
    }

    /// The command line's definition, for documents and shell completion.
    pub fn definition() -> clap::Command {
        Arguments::command()
    }

    /// Reads the configuration again, as it was read at the start: the file as it is by then.
    pub fn source(&self, environment: Vec<(OsString, OsString)>) -> Source {
        let (file, flags) = (self.file.clone(), self.flags.clone());
        Arc::new(move || Config::load(file.as_deref(), environment.clone(), &flags))
    }

    /// The configuration that this command line asks for, in this environment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn config(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, Problems> {
        Config::load(self.file.as_deref(), environment, &self.flags)
    }
}

#[derive(Parser)]
#[command(
    name = "always-online",
    version,
    about = ABOUT,
    long_about = introduction(),
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Read settings from this TOML file; the environment and flags overrule it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: GivenFlags,
}

#[derive(Subcommand)]
enum Action {
    /// Start everything in one process (the default)
    All,
    /// Start socket.io and /admin
    Websocket,
    /// Start the token API /user
    Api,
    /// Start the demo pages
    Test,
    /// Create, list and remove admins, who may use /admin and the token API
    #[command(subcommand)]
    Admin(AccountCommand),
    /// Create, refresh, revoke and seal the tokens of users, and verify JSON Web Tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// List webhooks that were put aside, or send them again
    #[command(subcommand)]
    Hooks(HooksCommand),
    /// Write the embedded store into a new file, also while a server runs
    #[command(long_about = BACKUP)]
    Backup {
        /// The new file; one that exists is not overwritten
        file: PathBuf,
    },
    /// Copy messages, users and admins between the embedded store and servers
    #[command(long_about = COPY)]
    Copy {
        /// Where everything is
        from: End,
        /// Where it shall be
        to: End,
    },
    /// Erase the messages of a user, in all rooms or in some; servers may run
    #[command(long_about = ERASE)]
    Erase {
        /// The user's id
        uid: String,
        /// Only in this room; may be repeated
        #[arg(long = "room", value_name = "ROOM")]
        rooms: Vec<String>,
    },
    /// Look at open files, memory, disk, Redis, MongoDB and a proxy, and say what to change
    Doctor {
        /// Where clients connect, to look whether polling and WebSockets get through: https://host
        #[arg(long, value_name = "URL")]
        proxy: Option<String>,
    },
    /// Have a running server take no newcomers, and send its clients elsewhere
    #[command(long_about = DRAIN)]
    Drain {
        /// Another one than api.listen says: http://host:port
        url: Option<String>,
        /// A file with the lines `uid: …` and `token: …` of an administrator
        #[arg(long, value_name = "FILE")]
        credential: Option<PathBuf>,
        /// Seconds over which they are sent away
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        over: u64,
        /// Let newcomers in again instead
        #[arg(long, conflicts_with_all = ["over", "wait"])]
        cancel: bool,
        /// Return when all are gone, 10 s after that time at the latest
        #[arg(long)]
        wait: bool,
    },
    /// Create, revoke and list what clients of Tinode need, of a running server
    #[command(subcommand)]
    Tinode(TinodeAction),
    /// Check the configuration, report all of its problems, start nothing
    CheckConfig,
    /// Print the effective configuration as TOML, with the origin of each value
    PrintConfig,
    /// Print the reference of all settings as Markdown
    PrintReference,
    /// Ask the running server whether it is ready; the exit code is 0 or 1
    Health {
        /// Another one than websocket.listen says: http://host:port or https:, with a path if not
        /// /readyz
        url: Option<String>,
    },
}

#[derive(Subcommand)]
enum TinodeAction {
    /// Create, revoke and list API keys
    #[command(long_about = KEYS)]
    Key {
        /// Another one than api.listen says: http://host:port
        #[arg(long, global = true, value_name = "URL")]
        url: Option<String>,
        /// A file with the lines `uid: …` and `token: …` of an administrator
        #[arg(long, global = true, value_name = "FILE")]
        credential: Option<PathBuf>,
        #[command(subcommand)]
        command: KeyCommand,
    },
}

impl From<Arguments> for Cli {
    fn from(arguments: Arguments) -> Self {
        let command = match arguments.action {
            None | Some(Action::All) => Command::Run(Role::All),
            Some(Action::Websocket) => Command::Run(Role::Websocket),
            Some(Action::Api) => Command::Run(Role::Api),
            Some(Action::Test) => Command::Run(Role::Test),
            Some(Action::Admin(command)) => Command::Admin(command),
            Some(Action::Token(command)) => Command::Token(command),
            Some(Action::Hooks(command)) => Command::Hooks(command),
            Some(Action::Backup { file }) => Command::Backup { file },
            Some(Action::Copy { from, to }) => Command::Copy { from, to },
            Some(Action::Erase { uid, rooms }) => Command::Erase { uid, rooms },
            Some(Action::Doctor { proxy }) => Command::Doctor { proxy },
            Some(Action::Drain { url, credential, over, cancel, wait }) => {
                Command::Drain { url, credential, over: Duration::from_secs(over), cancel, wait }
            }
            Some(Action::Tinode(TinodeAction::Key { url, credential, command })) => {
                Command::TinodeKey { url, credential, command }
            }
            Some(Action::CheckConfig) => Command::CheckConfig,
            Some(Action::PrintConfig) => Command::PrintConfig,
            Some(Action::PrintReference) => Command::PrintReference,
            Some(Action::Health { url }) => Command::Health(url),
        };
        Self { command, file: arguments.config, flags: arguments.flags.0 }
    }
}

const BACKUP: &str = "Write the embedded store (the folder --store-path) into a new file, also while a server runs.

Every message that was acknowledged before the backup began is in it. The file is complete or not there; it is for its owner alone (mode \
0600), and none is overwritten. To restore, put it into an empty data folder as always-online.sqlite3, while no server runs there.";

const ERASE: &str = "Erase the messages of a user, in all rooms or in some; servers may run.

What is erased keeps its place and its time in the log, and has no content any more. A message is the user's whose uid it has. Copies outside \
of the store, as backups, are not reached.

On the embedded store the server that runs there does it, else this command. It can be interrupted: the server goes on with it, and so does \
running it again.";

const DRAIN: &str = "Have a running server take no newcomers, and send its clients elsewhere.

It answers /readyz with 503 from now on, and drops its clients a few at a time, over --over seconds: they come back by themselves, to \
another server. The process goes on until it is ended (SIGTERM), or until the drain is cancelled.

The credentials are those of an administrator: those of the first start, in the data folder, or those in --credential.";

const KEYS: &str = "Create, revoke and list API keys, which every client of Tinode shows.

A key is for an app, not for a user: it is no secret of anybody. One that is revoked is refused on all servers from now on; who is connected \
stays.

The credentials are those of an administrator: those of the first start, in the data folder, or those in --credential.";

const COPY: &str = "Copy messages, users and admins between the embedded store and servers.

FROM and TO are each one of:
  embedded   the folder --store-path
  servers    the Redis that AO_STORE__MESSAGES names, and the MongoDB that AO_STORE__TOKENS names
If only one of the two is a URL, only that kind is copied.

Stop the servers that write to either side: into servers nothing else may write meanwhile, and a data folder that is written to must not be \
in use. One that is read from may be; what is written to it meanwhile may be missed, and is found by the count at the end.

A copy that was interrupted is simply run again: what is there is compared, and the copy goes on behind it. Nothing is overwritten, but for \
updates that are not newer in the target. A room that has another history there is named and left as it is. An account that exists there \
keeps its token. The embedded store has only hashes of tokens, so from there MongoDB gets these (tokenHash), which the original service \
can't read.

At the end both sides are counted. Exit code 7: something is missing in the target, and was named.";

const ABOUT: &str = "A socket.io-compatible event server: rooms, stored messages, catch-up";

/// What a newcomer needs to know, above the list of flags.
fn introduction() -> String {
    let default = |key: &str| find(key).map_or("", |setting| setting.default);
    format!(
        "{ABOUT}.

Without a command, everything starts in one process:
  socket.io and /admin    {websocket:<16} --websocket-listen
  the token API /user     {api:<16} --api-listen
  demo pages              {demo:<16} --demo-listen
Messages and tokens are kept in the folder {path:?} (--store-path). No other server is needed.

Examples:
  Start, then open the demo pages at http://{demo}
    always-online
  Let a user in: print a token for the uid alice
    always-online token create alice
  Only socket.io, on another port, with a file of settings and a chatty log
    AO_LOG=debug always-online websocket --config always-online.toml --websocket-listen :8080

Each setting can stand in the file (a key in its [section]), in the environment (AO_SECTION__KEY) and on \
the command line (--section-key VALUE); the later overrules the former. To start a file, keep what \
`always-online print-config` prints. A short list of commands: always-online -h",
        websocket = default("websocket.listen"),
        api = default("api.listen"),
        demo = default("demo.listen"),
        path = default("store.path"),
    )
}
