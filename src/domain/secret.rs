//! A token: shown once to whom it is made for, never printed.
use std::fmt;
use subtle::ConstantTimeEq;

use super::clock::{NoRandomness, Rng, alphanumeric};

/// Characters of a token that we make.
pub const TOKEN_LENGTH: usize = 24;

/// A token in plain text.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new one, [`TOKEN_LENGTH`] characters of `[A-Za-z0-9]`.
    pub fn random(rng: &dyn Rng) -> Result<Self, NoRandomness> {
        alphanumeric(rng, TOKEN_LENGTH).map(Secret)
    }

    /// One that somebody presents.
    pub fn presented(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, to be sent to its owner or hashed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Compares in a time that depends on the lengths only.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
