//! Traces: where the time of a request, a sign-in, a join or a message goes, as spans of
//! OpenTelemetry. `telemetry/traces.rs` sends them to a collector.
//!
//! There are two of it. With the cargo feature `otel` a [`Span`] is what the name says; without it
//! a span has no size and does nothing, so that of all that is said here of traces nothing is left
//! in the program. Both have the same functions.
//!
//! **Nothing that somebody sent gets into a span.** Its name and its attributes are words of this
//! source, and numbers: their types allow nothing else. So no token, message, query, uid or name of
//! a room can get there.
//!
//! Whose work a thread does is known by [`Span::within`] and [`Span::during`]: what begins there is
//! a part of that span. A task that is spawned takes it along by [`carried`].
#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod on;

#[cfg(not(feature = "otel"))]
pub use off::{Batch, Span, carried};
#[cfg(feature = "otel")]
pub use on::{Batch, Span, carried, install};

/// What a span is to those who look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that this server does for itself.
    Internal,
    /// The answer to a client.
    Server,
    /// A request to another server.
    Client,
}
