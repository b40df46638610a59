//! Users who sign in by JSON Web Tokens: what a business server signs, what clients see of it, and
//! what becomes of it when it expires or is revoked.
mod clients;
mod keys;
mod revocation;
pub mod token;
