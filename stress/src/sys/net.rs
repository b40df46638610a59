//! Loopback sockets: where they come from, how they break, and what the kernel says of their other
//! ends.

use std::{
    collections::HashMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::OwnedFd,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use tokio::net::{TcpSocket, TcpStream};

/// Opens a TCP connection from `source` (the kernel picks the port at connect
/// time, so that only the whole 4-tuple has to be unused).
pub async fn dial(
    to: SocketAddrV4,
    source: Option<Ipv4Addr>,
    rcvbuf: Option<u32>,
) -> io::Result<TcpStream> {
    let sock = TcpSocket::new_v4()?;
    if let Some(source) = source {
        setsockopt(&sock, IpBindAddressNoPort, &true)?;
        sock.bind(SocketAddr::from((source, 0)))?;
    }
    if let Some(n) = rcvbuf {
        sock.set_recv_buffer_size(n)?;
    }
    let stream = sock.connect(to.into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// From now on the connection ends with a RST when it is closed, whatever is still in its buffers.
pub fn abrupt(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?)
}

/// Drops a connection with a RST: connecting a TCP socket to "no address" dissolves its association
/// at once, whatever is still in its buffers. `socket` may be a duplicate.
pub fn reset(socket: &OwnedFd) -> io::Result<()> {
    Ok(rustix::net::connect_unspec(socket)?)
}

/// The server's end of a loopback connection.
#[derive(Clone, Copy)]
pub struct Peer {
    /// Still open; otherwise the server has closed it, and the kernel may yet
    /// have bytes to deliver.
    pub open: bool,
    /// Bytes in the kernel that the client has not taken.
    pub unsent: u64,
}

/// The server's ends of all connections to `server`, by the client's address.
pub fn peers(server: SocketAddrV4) -> HashMap<SocketAddrV4, Peer> {
    // In tcp6 a v4 client shows as ::ffff:a.b.c.d: the last 8 digits are its address.
    fn addr(s: &str) -> Option<SocketAddrV4> {
        let (ip, port) = s.split_once(':')?;
        let ip = u32::from_str_radix(ip.get(ip.len().checked_sub(8)?..)?, 16).ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(SocketAddrV4::new(Ipv4Addr::from(ip.swap_bytes()), port))
    }
    let mut all = HashMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(file).unwrap_or_default().lines().skip(1) {
            let f: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(remote)) =
                (f.get(1).and_then(|s| addr(s)), f.get(2).and_then(|s| addr(s)))
            else {
                continue;
            };
            if local.port() == server.port() && remote.port() != 0 {
                let queued =
                    f.get(4).and_then(|q| u64::from_str_radix(q.split(':').next()?, 16).ok());
                // Established, or closed by the client alone, and some process still holds it (its
                // inode).
                let open = matches!(f[3], "01" | "08") && f.get(9) != Some(&"0");
                all.insert(remote, Peer { open, unsent: queued.unwrap_or(0) });
            }
        }
    }
    all
}
