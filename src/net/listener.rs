//! Accepts connections and serves HTTP/1.1 on them, each behind its [`Connection`]; or hands them to
//! a service that speaks something else.
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    time::Instant,
};

use super::{
    admission::Full,
    connection::{Bounds, Connection},
    handshake::{First, first},
    socket::Socket,
    stream::Stream,
    tls::Tls,
};
use crate::throttle::throttled;

#[cfg(test)]
mod tests;

/// Connections that the kernel keeps for us until they are accepted: as many as it may
/// (`net.core.somaxconn`), as a client whose connection finds no room there tries again a second
/// later at the earliest.
const ACCEPT_QUEUE: u32 = 65_535;
/// Pause after an accept that failed because of us (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time that one who is not let in has for a request and its answer.
const REFUSAL: Duration = Duration::from_secs(3);

/// What answers requests.
pub trait Service: Clone + Send + Sync + 'static {
    /// Whether clients connect here, whose number has bounds. Administrators and those who watch
    /// over the server come in at any time.
    fn is_for_clients(&self) -> bool;

    /// Whether a request is answered even where its client is not let in.
    fn is_urgent(&self, path: &str) -> bool;

    /// Whether a WebSocket handshake is to be handed to [`Service::websocket`]; else it comes to
    /// [`Service::call`].
    fn wants(&self, handshake: &Request<()>) -> bool;

    /// Whether a WebSocket handshake that is wanted begins a session, which needs a place, and does
    /// not go on with one that has its own.
    fn is_new(&self, handshake: &Request<()>) -> bool;

    /// Whether all headers of a WebSocket handshake are looked at. Else it has only those that say
    /// where it comes from, and what the client is.
    fn reads_headers(&self) -> bool {
        false
    }

    /// Whether connections are handed to [`Service::stream`] as they are, behind the TLS handshake,
    /// if there is one. Then nothing else here is asked for, but whether clients connect here.
    fn takes_streams(&self) -> bool {
        false
    }

    /// Takes a connection over of which nothing was read, and bounds the time until its client says
    /// something.
    fn stream(&self, _stream: Stream, _connection: Arc<Connection>) {}

    /// Takes a WebSocket over. Its handshake is accepted when a [`super::WebSocket`] is made of it.
    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>);

    /// Answers a request.
    fn call(
        &self,
        request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    /// Where it listens, with the port that was chosen.
    pub address: SocketAddr,
}

impl Listener {
    /// Binds and listens.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(ACCEPT_QUEUE)?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    /// The other address that `localhost` may mean, where it means this one: the loopback address
    /// of the other version of IP, with the same port. Many clients try only the first that
    /// they find. All addresses of IPv6 include those of IPv4, unless the system is told otherwise.
    pub fn other_loopback(&self) -> Option<SocketAddr> {
        let other: IpAddr = match self.address.ip() {
            IpAddr::V4(Ipv4Addr::LOCALHOST | Ipv4Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(SocketAddr::new(other, self.address.port()))
    }

    /// Serves until it is dropped; connections that are open then go on. `header_timeout` bounds
    /// the reading of a request's head, from the connection's beginning or the previous answer's
    /// end, and before that, with `tls`, what a client takes for its part of that.
    pub async fn serve<S: Service>(
        self: Arc<Self>,
        service: S,
        tls: Option<Arc<Tls>>,
        bounds: Bounds,
        header_timeout: Duration,
    ) {
        let turns = bounds.admission.handshakes(service.is_for_clients());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
        loop {
            let (socket, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                // It has gone by now. Who comes behind it must not wait for that.
                Err(error) if is_its_own(&error) => {
                    bounds.metrics.connections.accept_failures.inc();
                    continue;
                }
                Err(error) => {
                    bounds.metrics.connections.accept_failures.inc();
                    throttled!(warn, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = service
                .is_for_clients()
                .then(|| bounds.admission.enter(peer.ip(), Instant::now()))
                .transpose();
            let (place, refused) = match place {
                Ok(place) => (place, None),
                Err(full) => match bounds.admission.answering() {
                    Some(permit) => (None, Some((full, permit))),
                    None => continue,
                },
            };
            let _ = socket.set_nodelay(true);
            let Ok(session) = tls.as_ref().map(|tls| tls.session()).transpose() else { continue };
            let socket = Socket::new(socket, session);
            let connection = Connection::new(socket, peer, bounds.clone(), place);
            let (http, service, turns) = (http.clone(), service.clone(), turns.clone());
            match refused {
                None => {
                    bounds.connections.spawn(async move {
                        let stream = Stream::new(connection.clone());
                        if let Some(stream) = begin(stream, &turns, header_timeout).await {
                            serve(connection, stream, service, http, header_timeout).await;
                        }
                    });
                }
                // What it speaks is not known here.
                Some(_) if service.takes_streams() => connection.cut("refused"),
                Some((full, permit)) => {
                    bounds.connections.spawn(async move {
                        let stream = Stream::new(connection.clone());
                        if let Some(stream) = begin(stream, &turns, REFUSAL).await {
                            let answer = refuse(connection.clone(), stream, full, service, http);
                            if tokio::time::timeout(REFUSAL, answer).await.is_err() {
                                connection.cut("refused, and asks nothing");
                            }
                        }
                        drop(permit);
                    });
                }
            }
        }
    }
}

/// Whether an accept failed because of that one connection, and not because of us.
fn is_its_own(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
    )
}

/// A stream whose TLS handshake, if there is one, is past what is costly of it. `None`: it does not
/// come to that in time.
async fn begin(mut stream: Stream, turns: &Semaphore, patience: Duration) -> Option<Stream> {
    match stream.shake_hands(turns, patience).await {
        Ok(()) => Some(stream),
        Err(error) => {
            tracing::debug!(peer = %stream.connection().peer, %error, "no TLS handshake");
            None
        }
    }
}

/// Serves one connection to its end, or until it is a WebSocket; or hands it over as it is.
async fn serve<S: Service>(
    connection: Arc<Connection>,
    stream: Stream,
    service: S,
    http: http1::Builder,
    header_timeout: Duration,
) {
    if service.takes_streams() {
        return service.stream(stream, connection);
    }
    // Behind a proxy it is known only now who comes.
    let refused = OnceLock::new();
    let lets_in = |headers: &HeaderMap| match connection.sit(headers) {
        Ok(()) => true,
        Err(full) => refused.set(full).is_err(),
    };
    let wanted = |handshake: &Request<()>| {
        service.wants(handshake) && (!service.is_new(handshake) || lets_in(handshake.headers()))
    };
    let (stream, mended) =
        match first(stream, header_timeout, service.reads_headers(), wanted).await {
            First::WebSocket(handshake, stream) => {
                return service.websocket(*handshake, stream, connection.clone());
            }
            First::Http { stream, mended } => (stream, mended),
            First::Nothing => return,
        };
    let refused = refused.get().copied();
    let answer = service_fn(|request| {
        let (service, connection) = (service.clone(), connection.clone());
        async move {
            let mut response = match refused {
                Some(full) => refusal(full),
                None => service.call(request, connection).await,
            };
            // What hyper reads by itself nobody mends.
            if mended && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let served = http.serve_connection(TokioIo::new(stream), answer).with_upgrades().await;
    if let Err(error) = served {
        tracing::debug!(peer = %connection.peer, %error, "connection ended");
    }
}

/// Tells one that is not let in why.
async fn refuse<S: Service>(
    connection: Arc<Connection>,
    stream: Stream,
    full: Full,
    service: S,
    http: http1::Builder,
) {
    let answer = service_fn(|request: Request<Incoming>| {
        let (service, connection) = (service.clone(), connection.clone());
        async move {
            if service.is_urgent(request.uri().path()) {
                return Ok::<_, Infallible>(service.call(request, connection).await);
            }
            Ok(refusal(full))
        }
    });
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(peer = %connection.peer, %error, "a refused connection ended");
    }
}

/// The answer to one that is not let in. It ends the connection.
pub fn refusal(full: Full) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{{\"error\":\"{}\"}}", full.text())));
    *response.status_mut() = full.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::RETRY_AFTER, full.retry_after().into());
    response
}
