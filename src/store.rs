//! Stores: what keeps messages, presence, tokens and limits. Each implements traits of
//! [`crate::domain`] and runs their contract suites.
pub mod embedded;
pub mod mongodb;
pub mod redis;

#[cfg(test)]
pub(crate) mod contract;
