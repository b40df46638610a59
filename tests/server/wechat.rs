//! The react-wechat dialect, whole servers of it, as far as clients in JavaScript
//! (tests/clients/wechat-*.mjs) do not see it: listeners, limits, what is logged and counted,
//! servers that end or are killed, and stores that do.

mod door;
mod hostile;
mod lasting;
mod limits;
mod outages;
mod people;
mod traces;
