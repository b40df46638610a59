//! A TCP connection, plain or under TLS: reads and writes that never wait. It takes no task and, but
//! for what [`super::session`] keeps of TLS, no buffer.
use std::{
    io::{self, ErrorKind, IoSlice, Read},
    net::Shutdown,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::Interest, net::TcpStream};

use super::session::Session;

pub(super) struct Socket {
    tcp: TcpStream,
    tls: Option<Box<Mutex<Session>>>,
}

impl Socket {
    /// `session`: under TLS, whose handshake begins with the first read.
    pub fn new(tcp: TcpStream, session: Option<Session>) -> Self {
        Socket { tcp, tls: session.map(|session| Box::new(Mutex::new(session))) }
    }

    fn tls(&self) -> Option<MutexGuard<'_, Session>> {
        self.tls.as_ref().map(|tls| tls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a TLS handshake is to come, or under way.
    pub fn is_handshaking(&self) -> bool {
        self.tls().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether the first costly part of that is to come.
    pub fn is_unanswered(&self) -> bool {
        self.tls().is_some_and(|tls| tls.is_unanswered())
    }

    /// Whether the second one is, which only TLS 1.2 has.
    pub fn is_exchanging_keys(&self) -> bool {
        self.tls().is_some_and(|tls| tls.is_exchanging_keys())
    }

    /// Goes on with a TLS handshake by what is there. `WouldBlock`: nothing is.
    pub fn shake_hands(&self) -> io::Result<()> {
        self.tls().map_or(Ok(()), |mut tls| tls.shake_hands(&self.tcp))
    }

    /// Reads what is there. `WouldBlock`: nothing is; 0: the end.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        match self.tls() {
            None => read(&self.tcp, into),
            Some(mut tls) => tls.receive(&self.tcp, into),
        }
    }

    /// Whether [`Socket::receive`] has something that the kernel knows nothing about: what is read
    /// already, or the end.
    pub fn has_more(&self) -> bool {
        self.tls().is_some_and(|tls| tls.has_more())
    }

    /// Ready when there may be something to receive.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.owes() {
            match self.tcp.poll_write_ready(cx)? {
                Poll::Pending => break,
                Poll::Ready(()) => match self.flush() {
                    Err(e) if e.kind() != ErrorKind::WouldBlock => return Poll::Ready(Err(e)),
                    _ => {}
                },
            }
        }
        self.tcp.poll_read_ready(cx)
    }

    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_write_ready(cx)
    }

    pub async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Takes what it can of `bytes`. `WouldBlock`: nothing. Behind it, [`Socket::owes`] may be
    /// true.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.tls() {
            None => self.tcp.try_write(bytes),
            Some(mut tls) => tls.send(&self.tcp, bytes),
        }
    }

    /// As [`Socket::send`], of several pieces.
    pub fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls() {
            None => self.tcp.try_write_vectored(pieces),
            Some(mut tls) => tls.send_vectored(&self.tcp, pieces),
        }
    }

    /// Whether something that was taken is not with the kernel yet.
    pub fn owes(&self) -> bool {
        self.tls().is_some_and(|tls| tls.owes())
    }

    /// Gives the kernel what was taken. `WouldBlock`: some of it is left.
    pub fn flush(&self) -> io::Result<()> {
        self.tls().map_or(Ok(()), |mut tls| tls.flush(&self.tcp))
    }

    /// Waits until the kernel has what was taken.
    pub async fn flushed(&self) -> io::Result<()> {
        loop {
            match self.flush() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable().await?,
                done => return done,
            }
        }
    }

    /// Tells a client under TLS that nothing more comes.
    pub fn say_goodbye(&self) {
        if let Some(mut tls) = self.tls() {
            tls.say_goodbye(&self.tcp);
        }
    }

    /// Writes no more. The client reads to its end what was written before.
    pub fn finish(&self) {
        let _ = socket2::SockRef::from(&self.tcp).shutdown(Shutdown::Write);
    }

    /// Neither reads nor writes any more.
    pub fn cut(&self) {
        let _ = socket2::SockRef::from(&self.tcp).shutdown(Shutdown::Both);
    }

    /// The kernel is to forget at the end what the client has not read.
    pub fn forget(&self) {
        let _ = socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }

    /// Reads until the client's end, and drops it.
    pub async fn drain(&self) {
        let mut scratch = [0; 1024];
        while self.tcp.readable().await.is_ok() {
            match self.tcp.try_read(&mut scratch) {
                Ok(1..) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

/// Reads what the kernel has. Where that is less than there is room for, nothing more is there: the
/// next read waits for news without asking the kernel again.
pub(super) fn read(tcp: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    let asked = tcp.try_io(Interest::READABLE, || {
        read = (&*socket2::SockRef::from(tcp)).read(into)?;
        // Told that it would block, tokio takes the socket for drained. The end of the stream stays
        // ready.
        if 0 < read && read < into.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match asked {
        Err(_) if read > 0 => Ok(read),
        Err(error) => Err(error),
        Ok(()) => Ok(read),
    }
}
