//! Services that take whole connections.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::{Request, Response, body::Incoming};
use support::{soon, tls};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Listener, Service};
use crate::{
    config::{Config, Flags, TlsFiles},
    net::{
        Connection, Stream,
        admission::Admission,
        connection::Bounds,
        tls::{HTTP_2, Tls},
    },
};

/// Says back what it is told.
#[derive(Clone)]
struct Echo(TaskTracker);

impl Service for Echo {
    fn is_for_clients(&self) -> bool {
        true
    }

    fn is_urgent(&self, _: &str) -> bool {
        false
    }

    fn wants(&self, _: &Request<()>) -> bool {
        panic!("it reads no handshake")
    }

    fn is_new(&self, _: &Request<()>) -> bool {
        panic!("it reads no handshake")
    }

    fn takes_streams(&self) -> bool {
        true
    }

    fn stream(&self, mut stream: Stream, _: Arc<Connection>) {
        self.0.spawn(async move {
            let mut heard = [0; 64];
            while let Ok(bytes @ 1..) = stream.read(&mut heard).await {
                stream.write_all(&heard[..bytes]).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
    }

    fn websocket(&self, _: Request<()>, _: Stream, _: Arc<Connection>) {}

    async fn call(&self, _: Request<Incoming>, _: Arc<Connection>) -> Response<Body> {
        panic!("it reads no request")
    }
}

/// Where it listens. So many clients at a time are let in.
fn serve(files: Option<TlsFiles>, most: usize) -> SocketAddr {
    let (metrics, tasks) = (Arc::default(), TaskTracker::new());
    let environment = [("AO_LIMITS__CONNECTIONS".into(), most.to_string().into())];
    let config = Config::load(None, environment, &Flags::new()).unwrap();
    let bounds = Bounds {
        stall: Duration::from_secs(15),
        backlog: 1 << 20,
        admission: Admission::new(&config.limits, Arc::clone(&metrics)),
        metrics,
        connections: tasks.clone(),
        writes: tasks.clone(),
        ending: Arc::new(CancellationToken::new()),
    };
    let listener = Arc::new(Listener::bind(([127, 0, 0, 1], 0).into()).unwrap());
    let address = listener.address;
    let tls = files.map(|files| Tls::open(files, HTTP_2).unwrap());
    tasks.spawn(listener.serve(Echo(tasks.clone()), tls, bounds, Duration::from_secs(60)));
    address
}

async fn is_heard(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    client.write_all(said).await.unwrap();
    let mut heard = [0; 24];
    soon("an answer", client.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, said);
}

#[tokio::test]
async fn a_connection_is_handed_over_with_its_first_byte() {
    let address = serve(None, 9);
    is_heard(&mut TcpStream::connect(address).await.unwrap()).await;
}

#[tokio::test]
async fn who_has_no_place_is_cut_as_nobody_knows_what_it_speaks() {
    let address = serve(None, 1);
    let mut first = TcpStream::connect(address).await.unwrap();
    is_heard(&mut first).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    let mut heard = Vec::new();
    let _ = soon("the end", second.read_to_end(&mut heard)).await; // an end, or a reset
    assert_eq!(heard, b"");
    is_heard(&mut first).await;
}

#[tokio::test]
async fn under_tls_a_client_is_let_in_for_what_is_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    tls::issue(&certificate, &key);
    let address = serve(Some(TlsFiles { certificate: certificate.clone(), key }), 9);
    let connect = async |protocols: &[&str]| {
        soon("a handshake", tls::connect_offering(address, &certificate, protocols)).await
    };
    assert!(connect(&["http/1.1"]).await.is_err());
    let mut client = connect(&["http/1.1", "h2"]).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    is_heard(&mut client).await;
}
