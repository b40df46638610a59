//! Whose turn it is among those who begin under TLS.
use std::{sync::Arc, time::Duration};

use axum::body::Body;
use hyper::{Request, Response, body::Incoming};
use support::{soon, tls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, TlsFiles},
    net::{
        Connection, Stream,
        admission::Admission,
        connection::Bounds,
        listener::{Listener, Service},
        tls::Tls,
    },
};

/// Says yes to everything.
#[derive(Clone)]
struct Yes;

impl Service for Yes {
    fn is_for_clients(&self) -> bool {
        true
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

#[tokio::test]
async fn who_begins_waits_for_one_turn_and_needs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
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
    let opened = Tls::open(files).unwrap();
    tasks.spawn(listener.serve(Yes, Some(opened), bounds, Duration::from_secs(60)));

    let turns = admission.handshakes();
    assert_eq!(turns.available_permits(), 1, "for the one worker of this test");
    let turn = turns.clone().acquire_owned().await.unwrap();
    let mut client = Box::pin(tls::connect(address, &certificate));
    assert!(timeout(Duration::from_millis(100), &mut client).await.is_err(), "it has to wait");
    // Somebody else is next, and takes long.
    let next = tasks.spawn(turns.acquire_owned());
    tokio::task::yield_now().await;
    drop(turn);
    let mut client = soon("a handshake", client).await.unwrap();
    let _turn = soon("the next turn", next).await.unwrap().unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon("the answer", client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("yes"), "{answer}");
}
