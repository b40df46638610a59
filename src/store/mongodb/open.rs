//! Opening: from a URL to a database that can be relied on, or to the reason why not.
use std::{future::Future, time::Duration};

use mongodb::{
    Client, Database,
    bson::doc,
    error::{Error, ErrorKind},
    options::{Acknowledgment, ClientOptions, ReadPreference, SelectionCriteria, WriteConcern},
};
use tokio::time::Instant;

use super::{
    UNAUTHORIZED,
    call::{Calls, Failure, told},
    index, name, seal,
};
use crate::{config::SecretUrl, domain::token::Realm};

/// The original's database.
pub(super) const DATABASE: &str = "account";

/// Why the tokens can't be opened, and what to do. No text holds a secret of the URL.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is malformed, or has an option that can't be used.
    #[error("the URL {url} can't be used ({reason}): mend AO_STORE__TOKENS")]
    Url {
        /// As it was set; it is shown without secrets.
        url: SecretUrl,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or no answer within the deadline.
    #[error("no MongoDB answers at {url} ({reason}): start it, or mend AO_STORE__TOKENS")]
    Unreachable {
        /// The server's; it is shown without secrets.
        url: SecretUrl,
        /// What the driver says, without secrets.
        reason: String,
    },
    /// The server does not know the user, or the password is wrong.
    #[error(
        "{url} refuses this user or password: mend them in AO_STORE__TOKENS; its option authSource names the database that knows the user"
    )]
    Refused {
        /// The server's; it is shown without secrets.
        url: SecretUrl,
    },
    /// What answers is too old, too new, or something else.
    #[error("{url} is no MongoDB that this version can use ({reason})")]
    Unsupported {
        /// The server's; it is shown without secrets.
        url: SecretUrl,
        /// What the driver says, without secrets.
        reason: String,
    },
    /// The user was let in, but lacks a right.
    #[error(
        "the user of {url} may not {what}: grant it the role readWrite on the database {database}"
    )]
    Forbidden {
        /// The server's; it is shown without secrets.
        url: SecretUrl,
        /// Name of the database with the accounts.
        database: String,
        /// What was refused, to stand behind "may not".
        what: String,
    },
    /// No unique index can be made, as several documents have the same uid, or none.
    #[error(
        "some documents of the collection {database}.{collection} share one uid, or have none, so who owns it can't be told: find them with \
         db.{collection}.aggregate([{{$group:{{_id:\"$uid\",n:{{$sum:1}}}}}},{{$match:{{n:{{$gt:1}}}}}}]), remove all but one of each, and \
         start again"
    )]
    Duplicates {
        /// Name of the database with the accounts.
        database: String,
        /// Name of the collection: that of users, or of administrators.
        collection: &'static str,
    },
    /// Another index on uid stands in the way of the one that keeps every uid unique.
    #[error(
        "the collection {database}.{collection} has an index on uid that is not unique, or compares otherwise: remove it with \
         db.{collection}.dropIndex({{uid:1}}), and start again"
    )]
    OtherIndex {
        /// Name of the database with the accounts.
        database: String,
        /// Name of the collection: that of users, or of administrators.
        collection: &'static str,
    },
    /// Anything else.
    #[error("{url} can't be opened: {reason}")]
    Failed {
        /// The server's; it is shown without secrets.
        url: SecretUrl,
        /// What the driver says, without secrets.
        reason: String,
    },
}

/// What is being opened, for the errors.
pub(super) struct Opening<'a> {
    url: &'a SecretUrl,
    calls: &'a Calls,
    until: Instant,
}

impl<'a> Opening<'a> {
    /// What is not open by the calls' deadline is given up.
    pub(super) fn new(url: &'a SecretUrl, calls: &'a Calls) -> Self {
        Opening { url, calls, until: calls.until() }
    }

    pub(super) async fn run<T, F>(&self, call: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.calls.run(self.until, call).await
    }

    pub(super) fn forbidden(&self, database: &Database, what: impl Into<String>) -> OpenError {
        OpenError::Forbidden {
            url: self.url.clone(),
            database: database.name().to_owned(),
            what: what.into(),
        }
    }

    /// The database, once its server answers. Nothing is changed there.
    pub(super) async fn reach(&self) -> Result<Database, OpenError> {
        let unusable = |reason| OpenError::Url { url: self.url.clone(), reason };
        // Names of mongodb+srv are looked up here.
        let text = self.url.expose().to_owned();
        let parsed = self.run(async move { ClientOptions::parse(&text).await }).await;
        let options =
            completed(parsed.map_err(|failure| self.failed(failure))?, self.calls.deadline);
        if options
            .write_concern
            .as_ref()
            .is_some_and(|concern| concern.w == Some(Acknowledgment::Nodes(0)))
        {
            return Err(unusable("w=0 would lose tokens unnoticed".into()));
        }
        let name = database_name(&options).to_owned();
        let database = Client::with_options(options)
            .map_err(|error| unusable(self.url.scrub(&told(&error))))?
            .database(&name);
        let (pinged, ping) = (database.clone(), doc! { "ping": 1 });
        self.run(async move { pinged.run_command(ping).await })
            .await
            .map_err(|failure| self.failed(failure))?;
        Ok(database)
    }

    /// What a failure means for the operator.
    pub(super) fn failed(&self, failure: Failure) -> OpenError {
        let (url, reason) = (self.url.clone(), self.url.scrub(&failure.to_string()));
        match failure {
            Failure::Late | Failure::Unsent => OpenError::Unreachable { url, reason },
            Failure::Driver(error) => match &*error.kind {
                ErrorKind::Authentication { .. } => OpenError::Refused { url },
                ErrorKind::InvalidArgument { .. } | ErrorKind::InvalidTlsConfig { .. } => {
                    OpenError::Url { url, reason }
                }
                ErrorKind::ServerSelection { .. }
                | ErrorKind::Io(_)
                | ErrorKind::DnsResolve { .. } => OpenError::Unreachable { url, reason },
                ErrorKind::ConnectionPoolCleared { .. } => OpenError::Unreachable { url, reason },
                ErrorKind::IncompatibleServer { .. } | ErrorKind::InvalidResponse { .. } => {
                    OpenError::Unsupported { url, reason }
                }
                _ => OpenError::Failed { url, reason },
            },
        }
    }
}

/// The database, and whether its tokens are sealed.
pub(super) async fn open(url: &SecretUrl, calls: &Calls) -> Result<(Database, bool), OpenError> {
    let opening = Opening::new(url, calls);
    let database = opening.reach().await?;
    for realm in [Realm::User, Realm::Admin] {
        index::ensure(&opening, &database, name(realm)).await?;
    }
    let marked = database.clone();
    let sealed =
        opening.run(async move { seal::is_marked(&marked).await }).await.map_err(|failure| {
            match failure.code() {
                Some(UNAUTHORIZED) => opening
                    .forbidden(&database, format!("read its collection {}", seal::COLLECTION)),
                _ => opening.failed(failure),
            }
        })?;
    Ok((database, sealed))
}

/// The URL's database, or the original's.
pub(super) fn database_name(options: &ClientOptions) -> &str {
    options.default_database.as_deref().filter(|name| !name.is_empty()).unwrap_or(DATABASE)
}

/// Fills in what the URL leaves open. What it says about waiting is cut so that a call fails with
/// its reason before its deadline.
fn completed(mut options: ClientOptions, deadline: Duration) -> ClientOptions {
    let least =
        |given: Option<Duration>, most: Duration| Some(given.map_or(most, |given| given.min(most)));
    options.app_name.get_or_insert_with(|| "always-online".into());
    options.server_selection_timeout = least(options.server_selection_timeout, deadline / 2);
    options.connect_timeout = least(options.connect_timeout, deadline * 3 / 8); // its reason is to be known by then
    // A replaced or revoked token is dead at once, so a secondary, which is behind, is not asked.
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    let concern = options.write_concern.get_or_insert_with(WriteConcern::default);
    concern.w.get_or_insert(Acknowledgment::Majority);
    concern.journal.get_or_insert(true);
    concern.w_timeout.get_or_insert(deadline / 2);
    options
}
