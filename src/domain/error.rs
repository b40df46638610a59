//! What can go wrong with a store.

/// Why a store is unavailable whose file is not the one any more that has its name.
pub const DISPLACED: &str = "database file replaced";

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
