//! Calls that end in time, and what their failures mean.
//!
//! The driver's futures must not be dropped half way (its documentation says so), and it has no
//! timeout for an answer. So each call is a task, which is waited for until its deadline and left
//! alone then: the driver ends it when its monitor finds the server gone.
use std::{future::Future, sync::Arc, time::Duration};

use mongodb::error::{Error, ErrorKind, WriteFailure};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::task::TaskTracker;

use crate::domain::error::StoreError;

/// Calls under way at a time, abandoned ones too: a server that hangs must not gather tasks. Each
/// waits for one of the driver's connections, of which there are fewer.
const MOST: usize = 256;

/// Codes of commands that the server broke off: what they wrote may be there.
const INTERRUPTED: [i32; 10] = [6, 7, 50, 89, 91, 189, 262, 9001, 11600, 11602];

/// The way to the server.
pub(super) struct Calls {
    pub(super) deadline: Duration,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Calls {
    pub(super) fn new(deadline: Duration) -> Self {
        Calls { deadline, places: Arc::new(Semaphore::new(MOST)), tasks: TaskTracker::new() }
    }

    /// When a call that begins now has to end.
    pub(super) fn until(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// When a write has to end so that a quarter of the deadline is left to look what became of it.
    pub(super) fn early(&self, until: Instant) -> Instant {
        until.checked_sub(self.deadline / 4).unwrap_or(until)
    }

    pub(super) async fn run<T, F>(&self, until: Instant, call: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let place = match tokio::time::timeout_at(until, self.places.clone().acquire_owned()).await
        {
            Ok(Ok(place)) => place,
            Ok(Err(_)) | Err(_) => return Err(Failure::Unsent),
        };
        let task = self.tasks.spawn(async move {
            let _place = place;
            call.await
        });
        match tokio::time::timeout_at(until, task).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(Failure::Driver(error)),
            Ok(Err(_)) | Err(_) => Err(Failure::Late),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It never began.
    Unsent,
    /// The deadline came first.
    Late,
    Driver(Error),
}

impl Failure {
    /// The server's code, where it refused.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Failure::Driver(error) => code(error),
            Failure::Unsent | Failure::Late => None,
        }
    }

    pub(super) fn of_read(self) -> StoreError {
        StoreError::Unavailable(self.to_string())
    }

    pub(super) fn of_write(self) -> StoreError {
        match &self {
            Failure::Unsent => StoreError::Unavailable(self.to_string()),
            Failure::Late => StoreError::OutcomeUnknown(self.to_string()),
            Failure::Driver(error) if may_be_done(error) => {
                StoreError::OutcomeUnknown(self.to_string())
            }
            Failure::Driver(_) => StoreError::Unavailable(self.to_string()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Unsent => f.write_str("MongoDB is too slow: too many calls wait for it"),
            Failure::Late => f.write_str("MongoDB did not answer in time"),
            Failure::Driver(error) => f.write_str(&told(error)),
        }
    }
}

/// The server's code, where it refused.
pub(super) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(refusal) => Some(refusal.code),
        ErrorKind::Write(WriteFailure::WriteError(refusal)) => Some(refusal.code),
        _ => None,
    }
}

/// What may be told of an error. Texts of the server are left out: they may quote a document, and
/// with it a token.
pub(super) fn told(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::Command(e) => format!("MongoDB refused with code {} {}", e.code, e.code_name),
        ErrorKind::Write(WriteFailure::WriteError(e)) => {
            format!("MongoDB refused with code {}", e.code)
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(e)) => {
            format!("MongoDB could not confirm, code {} {}", e.code, e.code_name)
        }
        ErrorKind::InsertMany(e) => {
            match (e.write_errors.iter().flatten().next(), &e.write_concern_error) {
                (Some(e), _) => format!("MongoDB refused with code {}", e.code),
                (None, Some(e)) => {
                    format!("MongoDB could not confirm, code {} {}", e.code, e.code_name)
                }
                (None, None) => "the driver failed".into(),
            }
        }
        ErrorKind::ServerSelection { message, .. } => gist(message),
        ErrorKind::Io(e) => e.to_string(),
        ErrorKind::DnsResolve { message, .. }
        | ErrorKind::InvalidArgument { message, .. }
        | ErrorKind::InvalidTlsConfig { message, .. }
        | ErrorKind::IncompatibleServer { message, .. }
        | ErrorKind::ConnectionPoolCleared { message, .. } => message.clone(),
        ErrorKind::Authentication { .. } => "authentication failed".into(),
        ErrorKind::InvalidResponse { .. } => "the answer can't be understood".into(),
        ErrorKind::Shutdown => "the connection was closed".into(),
        _ => "the driver failed".into(),
    }
}

/// The reasons in the driver's description of all servers, which is for people only; how it begins
/// where there are none.
fn gist(description: &str) -> String {
    let parts =
        description.split("Kind: ").skip(1).filter_map(|part| part.split(", labels: ").next());
    let mut reasons: Vec<&str> = parts.collect();
    reasons.dedup();
    if reasons.is_empty() {
        description.split(". Topology: ").next().unwrap_or_default().to_owned()
    } else {
        reasons.join("; ")
    }
}

/// Whether a write that failed like this may have been done all the same.
fn may_be_done(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Command(refusal) => INTERRUPTED.contains(&refusal.code),
        ErrorKind::Write(WriteFailure::WriteError(_))
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::SessionsNotSupported
        | ErrorKind::Shutdown => false,
        // Connections break while they are made, too, but the error does not say.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reasons_of_a_description_are_told() {
        let description = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: [ { Address: 127.0.0.1:1, \
                           Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: {\"a\"}, source: None, \
                           server response: None } ] }";
        assert_eq!(gist(description), "I/O error: Connection refused (os error 111)");
        assert_eq!(
            gist("No available servers. Topology: { Type: Unknown }"),
            "No available servers"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends_in_time_and_the_next_waits_for_a_place() {
        let calls = Calls::new(Duration::from_secs(8));
        let begin = Instant::now();
        let hang = || calls.run(calls.until(), std::future::pending::<Result<(), Error>>());
        let ended = futures_util::future::join_all((0..MOST).map(|_| hang())).await;
        assert!(ended.into_iter().all(|end| matches!(end, Err(Failure::Late))));
        assert_eq!(begin.elapsed().as_secs(), 8);
        let failure = hang().await.unwrap_err();
        assert!(matches!(failure, Failure::Unsent));
        assert!(matches!(failure.of_write(), StoreError::Unavailable(_)));
    }
}
