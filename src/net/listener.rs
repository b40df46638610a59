//! Accepts connections and serves HTTP/1.1 on them, each behind its [`Connection`].
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{HeaderValue, StatusCode, header};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket};

use super::{
    connection::{Bounds, Connection},
    handshake::{First, first},
    socket::Socket,
    stream::Stream,
    tls::Tls,
};
use crate::throttle::throttled;

/// Connections that the kernel keeps for us until they are accepted.
const ACCEPT_QUEUE: u32 = 4096;
/// Pause after a failed accept (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers requests.
pub trait Service: Clone + Send + Sync + 'static {
    /// Whether a WebSocket handshake is to be handed to [`Service::websocket`]; else it comes to
    /// [`Service::call`].
    fn wants(&self, handshake: &Request<()>) -> bool;

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
    /// the reading of a request's head, from the connection's beginning (that of TLS, with
    /// `tls`) or the previous answer's end.
    pub async fn serve<S: Service>(
        self: Arc<Self>,
        service: S,
        tls: Option<Arc<Tls>>,
        bounds: Bounds,
        header_timeout: Duration,
    ) {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
        loop {
            let (socket, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    throttled!(warn, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let _ = socket.set_nodelay(true);
            let Ok(session) = tls.as_ref().map(|tls| tls.session()).transpose() else { continue };
            let connection = Connection::new(Socket::new(socket, session), peer, bounds.clone());
            let (service, http) = (service.clone(), http.clone());
            bounds.connections.spawn(async move {
                let (stream, mended) =
                    match first(Stream::new(connection.clone()), header_timeout, |handshake| {
                        service.wants(handshake)
                    })
                    .await
                    {
                        First::WebSocket(handshake, stream) => {
                            return service.websocket(*handshake, stream, connection.clone());
                        }
                        First::Http { stream, mended } => (stream, mended),
                        First::Nothing => return,
                    };
                let answer = service_fn(|request| {
                    let (service, connection) = (service.clone(), connection.clone());
                    async move {
                        let mut response = service.call(request, connection).await;
                        // What hyper reads by itself nobody mends.
                        if mended && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                            response
                                .headers_mut()
                                .insert(header::CONNECTION, HeaderValue::from_static("close"));
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                if let Err(error) =
                    http.serve_connection(TokioIo::new(stream), answer).with_upgrades().await
                {
                    tracing::debug!(peer = %connection.peer, %error, "connection ended");
                }
            });
        }
    }
}
