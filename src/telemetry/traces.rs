//! Traces on their way to a collector of OpenTelemetry: `trace` makes the spans, and this sends
//! them, where the program has the cargo feature `otel`.
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    config::Otel,
    net::client::{Client, ClientError},
};

#[cfg(feature = "otel")]
mod export;

/// Why nothing can be traced.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The program has no traces.
    #[error(
        "otel.endpoint is set, and this server was built without traces: leave it out, or build it by `cargo build --profile ship --features otel`"
    )]
    NotBuilt,
    /// The collector can't be called.
    #[error("the collector of traces can't be called: {0}")]
    Client(#[from] ClientError),
}

/// What is wrong with how traces are configured.
///
/// # Errors
/// The program has none, or the file of authorities can't be used.
pub fn check(config: &Otel) -> Result<(), TracesError> {
    client(config, TaskTracker::new()).map(|_| ())
}

/// What calls the collector, if there is one.
fn client(config: &Otel, tasks: TaskTracker) -> Result<Option<Client>, TracesError> {
    match config.endpoint {
        None => Ok(None),
        Some(_) if cfg!(not(feature = "otel")) => Err(TracesError::NotBuilt),
        Some(_) => Ok(Some(Client::new(config.ca.as_deref(), tasks)?)),
    }
}

/// The traces of a server. Clones are the same.
#[derive(Clone)]
pub struct Traces {
    #[cfg(feature = "otel")]
    exporter: Option<std::sync::Arc<export::Exporter>>,
}

impl Traces {
    /// From now on spans are recorded, and wait for [`Traces::run`]. Nothing is, where no collector
    /// is configured.
    ///
    /// # Errors
    /// As [`check`] says.
    pub fn open(config: &Otel, tasks: &TaskTracker) -> Result<Self, TracesError> {
        let client = client(config, tasks.clone())?;
        #[cfg(feature = "otel")]
        let exporter = client
            .zip(config.endpoint.as_ref())
            .map(|(client, endpoint)| export::Exporter::open(config, endpoint, client));
        #[cfg(not(feature = "otel"))]
        let _: Option<Client> = client; // none: it was refused above
        Ok(Traces {
            #[cfg(feature = "otel")]
            exporter,
        })
    }

    /// Sends spans until [`Traces::end`]. Once, by a task that is started again if it panics.
    pub async fn run(self) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.exporter {
            exporter.run().await;
        }
    }

    /// Sends what waits, for a short time, and not longer than until `deadline`.
    pub async fn end(self, deadline: Instant) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.exporter {
            exporter.end(deadline).await;
        }
        #[cfg(not(feature = "otel"))]
        let _ = deadline;
    }
}

#[cfg(all(test, not(feature = "otel")))]
mod tests {
    use super::*;
    use crate::config::HttpUrl;

    #[test]
    fn a_program_without_traces_refuses_a_collector() {
        let mut config = crate::config::Config::defaults().unwrap().otel;
        assert!(check(&config).is_ok());
        config.endpoint = Some(HttpUrl::parse("http://127.0.0.1:4318").unwrap());
        let why = check(&config).unwrap_err().to_string();
        assert!(why.contains("otel.endpoint") && why.contains("--features otel"), "{why}");
    }
}
