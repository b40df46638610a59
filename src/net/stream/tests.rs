//! Whose turn it is among those who begin under TLS.
use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::{Request, Response, body::Incoming};
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use support::{soon, tls};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, TlsFiles},
    net::{
        Connection, Stream,
        admission::Admission,
        connection::Bounds,
        listener::{Listener, Service},
        tls::{HTTP_1, Tls},
    },
};

/// Says yes to everything.
#[derive(Clone)]
struct Yes {
    for_clients: bool,
}

impl Service for Yes {
    fn is_for_clients(&self) -> bool {
        self.for_clients
    }

    fn is_urgent(&self, _: &str) -> bool {
        false
    }

    fn wants(&self, _: &Request<()>) -> bool {
        false
    }

    fn is_new(&self, _: &Request<()>) -> bool {
        true
    }

    fn websocket(&self, _: Request<()>, _: Stream, _: Arc<Connection>) {}

    async fn call(&self, _: Request<Incoming>, _: Arc<Connection>) -> Response<Body> {
        Response::new(Body::from("yes"))
    }
}

/// A listener under TLS, and whose turns newcomers wait for.
struct Scene {
    address: SocketAddr,
    certificate: PathBuf,
    admission: Arc<Admission>,
    tasks: TaskTracker,
    _folder: TempDir,
}

impl Scene {
    fn of(service: Yes, header_timeout: Duration) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) =
            (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        tls::issue(&certificate, &key);
        let files = TlsFiles { certificate: certificate.clone(), key };
        let (metrics, tasks) = (Arc::default(), TaskTracker::new());
        let admission = Admission::new(&Config::defaults().unwrap().limits, Arc::clone(&metrics));
        let bounds = Bounds {
            stall: Duration::from_secs(15),
            backlog: 1 << 20,
            admission: admission.clone(),
            metrics,
            connections: tasks.clone(),
            writes: tasks.clone(),
            ending: Arc::new(CancellationToken::new()),
        };
        let listener = Arc::new(Listener::bind(([127, 0, 0, 1], 0).into()).unwrap());
        let address = listener.address;
        let opened = Tls::open(files, HTTP_1).unwrap();
        tasks.spawn(listener.serve(service, Some(opened), bounds, header_timeout));
        Scene { address, certificate, admission, tasks, _folder: folder }
    }

    /// The one turn that there is for the one worker of a test.
    async fn turn(&self) -> OwnedSemaphorePermit {
        let turns = self.admission.handshakes(true);
        assert_eq!(turns.available_permits(), 1);
        turns.acquire_owned().await.unwrap()
    }

    /// Somebody else is next.
    async fn next(&self) -> JoinHandle<OwnedSemaphorePermit> {
        let turns = self.admission.handshakes(true);
        let next = self.tasks.spawn(async move { turns.acquire_owned().await.unwrap() });
        tokio::task::yield_now().await;
        next
    }

    async fn connect(&self, version: &'static SupportedProtocolVersion) -> Client {
        tls::connect_by(self.address, &self.certificate, &[version]).await.unwrap()
    }
}

type Client = TlsStream<TcpStream>;

async fn is_answered(mut client: Client) {
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon("the answer", client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("yes"), "{answer}");
}

async fn has_to_wait(client: &mut (impl Future<Output = Client> + Unpin)) {
    assert!(timeout(Duration::from_millis(100), client).await.is_err(), "it has to wait");
}

const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn who_begins_waits_for_one_turn_and_needs_no_other() {
    let scene = Scene::of(Yes { for_clients: true }, PATIENT);
    let turn = scene.turn().await;
    let mut client = Box::pin(scene.connect(&TLS13));
    has_to_wait(&mut client).await;
    // Somebody else takes long.
    let next = scene.next().await;
    drop(turn);
    let client = soon("a handshake", client).await;
    let _turn = soon("the next turn", next).await.unwrap();
    is_answered(client).await;
}

#[tokio::test]
async fn under_tls_12_the_exchange_of_keys_needs_a_turn_too() {
    let scene = Scene::of(Yes { for_clients: true }, PATIENT);
    let turn = scene.turn().await;
    let mut client = Box::pin(scene.connect(&TLS12));
    has_to_wait(&mut client).await;
    let next = scene.next().await;
    drop(turn);
    has_to_wait(&mut client).await;
    drop(soon("the next turn", next).await.unwrap());
    let client = soon("a handshake", client).await;
    let _turn = scene.turn().await;
    is_answered(client).await;
}

#[tokio::test]
async fn who_waits_for_a_turn_has_as_much_time_behind_it() {
    let patience = Duration::from_secs(2);
    let scene = Scene::of(Yes { for_clients: true }, patience);
    let turn = scene.turn().await;
    let mut client = Box::pin(scene.connect(&TLS13));
    assert!(timeout(patience * 3 / 2, &mut client).await.is_err(), "it has to wait");
    drop(turn);
    is_answered(soon("a handshake", client).await).await;
}

#[tokio::test]
async fn administrators_do_not_wait_behind_clients() {
    let scene = Scene::of(Yes { for_clients: false }, PATIENT);
    let _turn = scene.turn().await;
    is_answered(soon("a handshake", scene.connect(&TLS13)).await).await;
}
