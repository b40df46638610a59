//! The codes with which the process ends.
use crate::app::StartError;

/// Something failed while running.
pub(super) const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub(super) const WRONG_CONFIGURATION: u8 = 2;
/// An address can't be listened on.
const NO_ADDRESS: u8 = 3;
/// The store can't be opened.
const NO_STORE: u8 = 4;
/// The account exists already, or does not exist.
pub(super) const NO_SUCH_ACCOUNT: u8 = 5;
/// The deadline of the orderly end passed.
pub(super) const DEADLINE: u8 = 6;
/// A copy lacks something.
pub(super) const INCOMPLETE: u8 = 7;
/// A second signal ended it at once.
pub(super) const INTERRUPTED: u8 = 130;

/// The code for an error.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<StartError>() {
        Some(StartError::Listen { .. }) => NO_ADDRESS,
        Some(StartError::Store(_) | StartError::Tokens(_) | StartError::Unavailable(_)) => NO_STORE,
        Some(
            StartError::Tls { .. }
            | StartError::ClientScript { .. }
            | StartError::Keys(_)
            | StartError::Calls(_)
            | StartError::Traces(_),
        ) => WRONG_CONFIGURATION,
        Some(StartError::Admin(_) | StartError::Dialect { .. }) | None => FAILED,
    }
}
