//! What can go wrong with a store.

/// A store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed, and trying again may help.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Whether it was done can't be learnt.
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(String),
}
