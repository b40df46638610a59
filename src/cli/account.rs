//! The commands `admin` and `token`.
use anyhow::Context;

use super::{
    arguments::{AccountCommand, AdminRole, TokenCommand},
    exit,
};
use crate::{
    app::{self, Accounts},
    config::Config,
    console,
    domain::{
        clock::SystemRng,
        ids::Uid,
        presence::Expelled,
        secret::Secret,
        token::{Creation, Realm},
    },
};

/// What is to be done.
pub(super) enum Change {
    Create(String),
    Refresh(String),
    Remove(String),
    List,
    Seal,
    /// Nothing: it is another command's.
    Nothing,
}

impl From<TokenCommand> for Change {
    fn from(command: TokenCommand) -> Self {
        match command {
            TokenCommand::Create { uid } => Change::Create(uid),
            TokenCommand::Refresh { uid } => Change::Refresh(uid),
            TokenCommand::Revoke { uid } => Change::Remove(uid),
            TokenCommand::Seal => Change::Seal,
            TokenCommand::Verify { .. } => Change::Nothing,
        }
    }
}

/// Changes or lists accounts of the configured store; a server may run beside it.
pub(super) fn change(config: &Config, realm: Realm, change: Change) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let accounts = Accounts::open(config).await?;
        apply(config, &accounts, realm, change).await
    })
}

/// The same for administrators. Those of both roles share their names: who is of one is not made in the
/// other.
pub(super) fn change_admins(config: &Config, command: AccountCommand) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let accounts = Accounts::open(config).await?;
        match command {
            AccountCommand::Create { uid, role } => {
                let (realm, other) = match role {
                    AdminRole::Admin => (Realm::Admin, Realm::Reader),
                    AdminRole::Reader => (Realm::Reader, Realm::Admin),
                };
                if is_there(&accounts, other, &uid).await? {
                    return missing(&uid, "exists already, in the other role");
                }
                apply(config, &accounts, realm, Change::Create(uid)).await
            }
            AccountCommand::Remove { uid } => {
                let is_reader = is_there(&accounts, Realm::Reader, &uid).await?;
                let realm = if is_reader { Realm::Reader } else { Realm::Admin };
                apply(config, &accounts, realm, Change::Remove(uid)).await
            }
            AccountCommand::List => {
                apply(config, &accounts, Realm::Admin, Change::List).await?;
                for reader in accounts.tokens().list(Realm::Reader).await? {
                    console::print_line(format_args!("{}\treader", reader.uid))?;
                }
                Ok(0)
            }
        }
    })
}

async fn is_there(accounts: &Accounts, realm: Realm, uid: &str) -> anyhow::Result<bool> {
    Ok(accounts.tokens().list(realm).await?.iter().any(|account| account.uid == uid))
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
                        return Ok(exit::FAILED);
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
        Change::Nothing => {}
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
    Ok(exit::NO_SUCH_ACCOUNT)
}
