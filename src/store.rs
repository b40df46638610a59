//! Stores: what keeps messages, presence, tokens and limits. Each implements traits of [`crate::domain`] and runs their contract suites.
pub mod embedded;
pub mod mongodb;
pub mod mongodb_vault;
pub mod redis;
pub mod redis_archive;

#[cfg(test)]
pub(crate) mod contract;
