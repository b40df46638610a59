//! The gotapi-ws dialect, whole servers of it: every frame of the protocol's table, every route,
//! limits, hostile clients, what lasts through kills and restarts, and two nodes as one.

pub mod client;
mod frames;
mod history;
mod hooks;
mod lasting;
mod limits;
mod nodes;
mod rooms;
mod routes;
