//! Both addresses of `localhost`. Systems say `::1` or `127.0.0.1`, or both in either order, and
//! Node before 20 tries the first alone: so who listens on one of them listens on the other as
//! well, as far as can be.
use std::io;

use crate::net::listener::Listener;

/// What could not be had of it.
#[derive(Default)]
pub(super) struct Localhost {
    failed: Vec<String>,
    taken: bool,
}

impl Localhost {
    /// The listener, and the one on the other address, if there is to be one. Called when all that
    /// is configured is bound: that goes first.
    pub(super) fn pair(&mut self, listener: Listener) -> Vec<Listener> {
        let other = listener
            .other_loopback()
            .map(|address| Listener::bind(address).map_err(|error| (address, error)));
        let other = match other.transpose() {
            Ok(other) => other,
            Err((address, error)) => {
                self.taken |= error.kind() == io::ErrorKind::AddrInUse;
                self.failed.push(format!("{address}: {error}"));
                None
            }
        };
        [Some(listener), other].into_iter().flatten().collect()
    }

    /// Says, once, what could not be had. That there is no IPv6 here is well; that somebody else
    /// has the port is not: clients that mean us may get there.
    pub(super) fn tell(self) {
        let failed = self.failed.join("; ");
        if self.taken {
            tracing::warn!(failed, "clients that are given localhost may reach another program");
        } else if !failed.is_empty() {
            tracing::info!(failed, "localhost is one address here");
        }
    }
}
