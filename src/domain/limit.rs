//! How often a user may sign in.
use async_trait::async_trait;

use super::{error::StoreError, ids::Uid};

/// Counts successful authentications in windows that begin with the first one.
#[async_trait]
pub trait Limits: Send + Sync {
    /// Counts one more for `uid`; false when the window's number is used up (then nothing is
    /// counted).
    async fn admit(&self, uid: &Uid) -> Result<bool, StoreError>;
}
