//! Messages of gRPC from and to those that all sessions have in common.
//!
//! What was JSON within JSON is JSON in bytes here. Bytes that are none are as if nothing stood
//! there, and so is `null` (tinode-grpc.md).
mod asked;
#[cfg(test)]
mod tests;
mod told;

pub(super) use asked::{object, request};
pub(in super::super) use told::message;
