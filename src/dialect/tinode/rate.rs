//! How often one household may register, sign in by a password, and search: who tries numbers or
//! passwords, or fills the store with users, is slowed down. Each of the three has its own
//! allowance, so that whoever has searched a lot can still sign in.
//!
//! Tokens are shown as often as one likes: a whole office whose connection was cut comes back at
//! once, and they can't be guessed. Wrong passwords are counted besides, with the other sign-ins
//! that fail (`domain::attempts`).
use tokio::time::Instant;

use super::{message::Code, refusal::Done, session::Session};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Register,
    LogIn,
    Search,
}

/// A session is about to do it once more.
///
/// # Errors
/// It may not yet.
pub(super) fn admit(session: &Session, act: Act) -> Done<()> {
    let node = &session.node;
    node.rates.admit(session.address, act, Instant::now()).map_err(|_| {
        match act {
            Act::LogIn => node.hub.metrics.sign_in_refused("rate limit"),
            Act::Register | Act::Search => {}
        }
        Code::Policy.into()
    })
}
