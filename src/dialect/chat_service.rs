//! The chat-service dialect: the namespace `/chat-service` of socket.io, as npm's chat-service has
//! it.
//!
//! `command` has the table of commands; `arguments` reads what one was called with, `message` what
//! is in a message, `value` JSON with bytes in it, and `names` says who can be called how.
//! `rights`, `direct` and `history` decide. `record` and `list` are what is kept of rooms and
//! users, and `cabinet` keeps it. `membership` is coming and going, `ending` the deletion of rooms,
//! `handlers` what commands do, `pipeline` what is asked around that, `turns` who waits for whom,
//! and `loans` the same among nodes, who find each other by `hash`; `chat` is what they rest on, and
//! `incidents` what is told where
//! something is not right.
//! `session` is one client, and `state` what becomes of it; `login` is what it says of itself,
//! `entrance` checks its token, `hook` is what a business server is asked, and `asking` asks it.
//! `notice`, `wire` and `error` are what goes out. `sessions` are the clients of this node, `nodes`
//! reaches those of others, `neighbour` is how nodes talk, and `instances` says where they are.
//! `api` has the methods of the server API, and `mount` is what the server sees of all this.
//!
//! A room of this protocol is a room of the core for each of its lives; each user has a room of its
//! own too, in which all its sockets are, and to which goes what is for them all (`names`).
mod api;
mod arguments;
mod asking;
mod cabinet;
mod chat;
mod command;
mod direct;
mod ending;
mod entrance;
mod error;
mod handlers;
mod hash;
mod history;
mod hook;
mod incidents;
mod instances;
mod list;
mod loans;
mod login;
mod membership;
mod message;
mod mount;
mod names;
mod neighbour;
mod nodes;
mod notice;
mod pipeline;
mod record;
mod rights;
mod session;
mod sessions;
mod state;
mod turns;
mod value;
mod wire;

pub use chat::Options;
pub use message::FORM;
pub use mount::{Mounted, start};
