//! The messages of gRPC (package `pbx`), as proto/tinode.proto has them; a test compares the two.
//! `client` is what clients say, `server` what they are told.
//!
//! Bytes are JSON in UTF-8, but for `secret` and `token`. Times are milliseconds since 1970. What
//! is missing is empty, zero or false.
mod client;
mod server;

pub(super) use self::{client::*, server::*};

/// How well a user is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, prost::Enumeration)]
#[repr(i32)]
pub(super) enum AuthLevel {
    None = 0,
    Anon = 10,
    Auth = 20,
    Root = 30,
}

/// What a client notes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, prost::Enumeration)]
#[repr(i32)]
pub(super) enum InfoNote {
    X1 = 0,
    Read = 1,
    Recv = 2,
    Kp = 3,
    Call = 4,
}

/// What happens in a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, prost::Enumeration)]
#[repr(i32)]
pub(super) enum CallEvent {
    X2 = 0,
    Accept = 1,
    Answer = 2,
    HangUp = 3,
    IceCandidate = 4,
    Invite = 5,
    Offer = 6,
    Ringing = 7,
}

/// What those are given who come of themselves.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DefaultAcsMode {
    #[prost(string, tag = "1")]
    pub auth: String,
    #[prost(string, tag = "2")]
    pub anon: String,
}

/// The modes of a subscription, or changes of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AccessMode {
    #[prost(string, tag = "1")]
    pub want: String,
    #[prost(string, tag = "2")]
    pub given: String,
}

/// Messages from low on, before hi; without hi one message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SeqRange {
    #[prost(int32, tag = "1")]
    pub low: i32,
    #[prost(int32, tag = "2")]
    pub hi: i32,
}

#[cfg(test)]
mod tests;
