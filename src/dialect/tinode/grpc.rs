//! gRPC: the same sessions as by WebSocket, in other words (tinode-grpc.md).
//!
//! ```text
//! pbx       the messages of proto/tinode.proto, by hand
//! convert   theirs from and to ours
//! pieces    messages out of the pieces in which they come
//! serve     HTTP/2; a call of MessageLoop is a session
//! link      when a connection ends; status: what a call has come to
//! ```
pub(super) mod convert;
mod link;
mod pbx;
mod pieces;
pub(super) mod serve;
mod status;
