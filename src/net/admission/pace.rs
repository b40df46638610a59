//! How often something may happen, as a setting has it.
pub(in crate::net) use crate::pace::Pace;

use crate::config::RateLimit;

impl Pace {
    /// As a setting has it.
    pub(super) fn of(rate: RateLimit) -> Self {
        Pace::new(rate.count, rate.window)
    }
}
