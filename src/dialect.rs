//! Wire dialects: each turns frames into calls of the core, and what the core tells into frames.
pub mod always_online;
