//! The one way out by HTTP: to a business server's hooks, and to sets of keys.
//!
//! Connections are kept and used again. Each call has a deadline for all of it, from looking the
//! host up to the last byte of the answer, and a bound on the answer's size. A redirect is not
//! followed: it is an answer like any other that is no success. Neither what is sent nor what comes
//! is ever logged, and errors say nothing of a URL.
//!
//! **The other side sees a request once at most.** It may have closed a kept connection while nobody
//! used it. If that is known before the request is begun, hyper gives the request back, and it goes
//! by another connection. If the end of the connection and the request cross on their way, nobody on
//! this side knows whether the request was seen, so the call fails.
//!
//! ```ignore
//! let client = Client::new(None, hub.tasks.clone())?;
//! let request = Request::post(url.expose()).body(body)?;
//! let answer = client.call(request, Bounds { time: Duration::from_secs(1), bytes: 64 << 10 }).await?;
//! ```
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioIo, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tower::{
    BoxError, ServiceExt,
    util::{BoxCloneSyncService, service_fn},
};

#[cfg(test)]
mod tests;

/// How long a connection that nobody uses is kept. Node's servers close one after 5 s.
const IDLE: Duration = Duration::from_secs(4);
/// How long a connection may take to be made. It may be made for later calls, when the one that
/// asked for it was given another, so no call's deadline bounds it.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest head of an answer, bytes.
const HEAD: usize = 64 << 10;

/// What a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Time for all of it.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub bytes: usize,
}

/// An answer with a status of success (2xx).
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

/// Why there is no such answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection can be made: nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The other side is not who it should be, or speaks no TLS: nothing was sent.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The time is over.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer is larger than is allowed.
    #[error("an answer with status {} of more than {most} bytes", .status.as_u16())]
    TooLarge {
        /// Its status, which is one of success.
        status: StatusCode,
        /// What was allowed.
        most: usize,
    },
    /// The answer's status is none of success.
    #[error("status {}", .status.as_u16())]
    Status {
        /// The status.
        status: StatusCode,
        /// The header `retry-after`, as it came.
        retry_after: Option<String>,
    },
    /// The connection ended before the answer did, or what came is no HTTP.
    #[error("the connection failed: {0}")]
    Broken(String),
}

impl CallError {
    /// Its kind, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            CallError::Connect(_) => "connect",
            CallError::Tls(_) => "tls",
            CallError::Timeout(_) => "timeout",
            CallError::TooLarge { .. } => "too large",
            CallError::Status { .. } => "status",
            CallError::Broken(_) => "broken",
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file with authorities can't be used.
    #[error("{}: {why}", .file.display())]
    Authorities {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something other than that file is wrong.
    #[error("TLS can't be set up: {0}")]
    Setup(rustls::Error),
}

/// Makes connections, plain or under TLS.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// Calls HTTP servers. Clones share their connections.
#[derive(Clone)]
pub struct Client(legacy::Client<Connector, Full<Bytes>>);

impl Client {
    /// Servers prove who they are by the authorities in this PEM file, or, where it is `None`, by
    /// those that browsers trust. Kept connections are tasks of `tasks`.
    ///
    /// # Errors
    /// The file can't be used.
    pub fn new(authorities: Option<&Path>, tasks: TaskTracker) -> Result<Self, ClientError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(tls(authorities)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(Tracked(tasks))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(HEAD)
            // Only those that were not begun: see the head of this file.
            .retry_canceled_requests(true)
            .build(within(CONNECT, tls));
        Ok(Client(client))
    }

    /// Sends a request, and returns the answer if its status is one of success.
    ///
    /// # Errors
    /// There is none, or its status is another one.
    pub async fn call(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Answer, CallError> {
        let answer = async {
            let answer = self.0.request(request.map(Full::new)).await;
            read(answer.map_err(|error| kind(&error))?, bounds.bytes).await
        };
        let late = |_| Err(CallError::Timeout(bounds.time));
        tokio::time::timeout(bounds.time, answer).await.unwrap_or_else(late)
    }
}

/// The connector, with a bound in time.
fn within(time: Duration, connector: HttpsConnector<HttpConnector>) -> Connector {
    BoxCloneSyncService::new(service_fn(move |to: Uri| {
        let connecting = connector.clone().oneshot(to);
        async move {
            let late = |_| Err(format!("it was not made within {time:?}").into());
            tokio::time::timeout(time, connecting).await.unwrap_or_else(late)
        }
    }))
}

/// Reads an answer.
async fn read(answer: Response<Incoming>, most: usize) -> Result<Answer, CallError> {
    let (head, mut rest) = answer.into_parts();
    let status = head.status;
    let mut body = BytesMut::new();
    let whole = loop {
        match rest.frame().await {
            None => break Ok(()),
            Some(Err(error)) => break Err(CallError::Broken(cause(&error))),
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                if body.len() + data.len() > most {
                    break Err(CallError::TooLarge { status, most });
                }
                body.extend_from_slice(data);
            }
        }
    };
    if !status.is_success() {
        // What was read of its body was read for the connection to be of use again.
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        return Err(CallError::Status { status, retry_after: retry_after.map(str::to_owned) });
    }
    whole?;
    Ok(Answer { status, headers: head.headers, body: body.freeze() })
}

/// What kind of error it is. The texts of these libraries say nothing of a request.
fn kind(error: &legacy::Error) -> CallError {
    let tls = chain(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => CallError::Tls(tls.to_string()),
        None if error.is_connect() => CallError::Connect(cause(error)),
        None => CallError::Broken(cause(error)),
    }
}

/// The innermost cause.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error and its causes, those within errors of input and output too.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        within.map(|inner| inner as _).or_else(|| error.source())
    })
}

fn tls(authorities: Option<&Path>) -> Result<ClientConfig, ClientError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Setup)?;
    Ok(match authorities {
        None => config.with_webpki_roots().with_no_client_auth(),
        Some(file) => {
            let roots = read_authorities(file)
                .map_err(|why| ClientError::Authorities { file: file.to_owned(), why })?;
            config.with_root_certificates(roots).with_no_client_auth()
        }
    })
}

fn read_authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| e.to_string())? {
        let certificate = certificate.map_err(|e| e.to_string())?;
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() {
        return Err("no certificate in PEM form (-----BEGIN CERTIFICATE-----)".into());
    }
    Ok(roots)
}

/// Runs the tasks of connections.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
