//! Ports of the loopback for others than ourselves: one that a program can be told to listen on,
//! and one where nobody listens.
use std::{
    net::{SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use tokio::net::TcpSocket;

/// A free port. Whoever is told to listen there does so a moment later: it is from below those that
/// the kernel gives to others until then.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let place =
            process::id().wrapping_mul(101).wrapping_add(NEXT.fetch_add(1, Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(place).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// An address that is taken, and where nobody listens: connections are refused, as long as this is
/// kept.
pub struct Deserted(TcpSocket);

impl Deserted {
    pub fn new() -> Deserted {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Deserted(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}
