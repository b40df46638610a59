//! What operators may have a running server do, beyond its rooms and users. `app` implements it;
//! the HTTP API asks for it.
use std::time::Duration;

use async_trait::async_trait;

/// What became of a configuration that was read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reloaded {
    /// Settings that hold from now on, by their keys: `limits.connections`.
    pub changed: Vec<String>,
    /// Settings that have changed too, and hold from the next start on.
    pub restart: Vec<String>,
}

/// Operates a running server.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Reads the configuration again, and takes in what can be changed while the server runs.
    /// Nobody is dropped.
    ///
    /// # Errors
    /// What is wrong with it, for people. Nothing was changed.
    async fn reload(&self) -> Result<Reloaded, String>;

    /// Takes no newcomers any more, and sends the clients away, to come back elsewhere, spread over
    /// this time. Returns how many there are. The process goes on.
    fn drain(&self, over: Duration) -> usize;

    /// Takes newcomers again. Clients that have not been sent away yet stay.
    fn resume(&self);
}
