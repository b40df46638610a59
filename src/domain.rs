//! The core: rooms, presence, the message log, tokens and limits. It knows no wire and no database;
//! dialects call it, stores implement its traits ([`broker::Broker`], [`presence::Presence`],
//! [`token::Tokens`], [`records::Records`], [`limit::Limits`]).
pub mod access;
pub mod broker;
pub mod clock;
pub mod cluster;
pub mod deadline;
pub mod directory;
pub mod error;
pub mod gate;
pub mod history;
pub mod hub;
pub mod ids;
pub mod json;
pub mod limit;
pub mod message;
pub mod outbox;
pub mod presence;
pub mod receipt;
pub mod records;
pub mod retention;
pub mod revocation;
pub mod room;
pub mod secret;
pub mod services;
pub mod subscriber;
pub mod supervise;
pub mod token;
