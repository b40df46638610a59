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

impl StoreError {
    /// The error of what has several steps, where this step comes behind one that has changed
    /// something: who is told that nothing was changed would not look.
    #[must_use]
    pub fn behind_a_change(self) -> Self {
        match self {
            StoreError::Unavailable(why) | StoreError::OutcomeUnknown(why) => {
                StoreError::OutcomeUnknown(why)
            }
        }
    }

    /// As [`StoreError::behind_a_change`], where it comes behind one.
    #[must_use]
    pub fn behind(self, is_changed: bool) -> Self {
        if is_changed { self.behind_a_change() } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_change_nobody_is_told_that_nothing_was_changed() {
        let unknown = StoreError::OutcomeUnknown("x".into());
        assert_eq!(StoreError::Unavailable("x".into()).behind_a_change(), unknown);
        assert_eq!(unknown.clone().behind_a_change(), unknown);
        assert_eq!(StoreError::Unavailable("x".into()).behind(true), unknown);
        let unavailable = StoreError::Unavailable("x".into());
        assert_eq!(unavailable.clone().behind(false), unavailable);
    }
}
