//! What another server has stored before this one took its place: documents in its own collections,
//! which a dialect takes over one after the other. Each that is taken over is marked where it is,
//! and not met again, so that this may be broken off and begun anew, and several nodes may do it at
//! once. Nothing else of them is changed.
//!
//! ```
//! # use always_online::domain::{error::StoreError, originals::Originals};
//! async fn count(originals: &dyn Originals) -> Result<usize, StoreError> {
//!     let (mut after, mut number) = (None, 0);
//!     loop {
//!         let batch = originals.next("user", after.as_deref(), 100).await?;
//!         let Some(last) = batch.last() else { return Ok(number) };
//!         (after, number) = (Some(last.id.clone()), number + batch.len());
//!         let ids: Vec<String> = batch.into_iter().map(|original| original.id).collect();
//!         originals.taken("user", &ids).await?;
//!     }
//! }
//! ```
use async_trait::async_trait;

use super::error::StoreError;

/// A document that was not taken over yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// What tells it from the others of its collection. Only the store can read it.
    pub id: String,
    /// The document, a JSON object, with its fields in their order. Ids of MongoDB are their
    /// hexadecimal digits, numbers are as JavaScript prints them, dates are ISO 8601; what JSON has
    /// nothing for is null.
    pub json: String,
}

/// Documents of another server.
#[async_trait]
pub trait Originals: Send + Sync {
    /// Documents of this collection that are not marked, in an order that stays, behind the id
    /// `after`; none where there is no such collection. `limit` at most, and at least one, if there
    /// is one.
    async fn next(
        &self,
        collection: &'static str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Original>, StoreError>;

    /// Marks documents with these ids. May be done again.
    async fn taken(&self, collection: &'static str, ids: &[String]) -> Result<(), StoreError>;
}
