//! A TCP connection, plain or under TLS: reads and writes that never wait.
//!
//! rustls is the state machine, this is its way in and out. It takes no task and no buffer of ours
//! per connection: what is read goes through it where a plain connection is read, and what is
//! written is made ciphertext when the kernel has taken what was written before. So at most
//! one write's ciphertext, [`PENDING`] bytes, waits here; everything else waits in the connection's
//! queue, where it is counted.
use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::Shutdown,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ServerConnection, Writer};
use tokio::{io::Interest, net::TcpStream};

/// Most ciphertext that waits for the kernel: one record's.
const PENDING: usize = 16 << 10;
/// Reads after which a caller that still has nothing asks whether others want their turn.
const TURNS: u32 = 32;

pub(super) struct Socket {
    tcp: TcpStream,
    tls: Option<Box<Mutex<ServerConnection>>>,
}

impl Socket {
    /// `session`: under TLS, whose handshake begins with the first read.
    pub fn new(tcp: TcpStream, session: Option<ServerConnection>) -> Self {
        let tls = session.map(|mut session| {
            session.set_buffer_limit(Some(PENDING));
            Box::new(Mutex::new(session))
        });
        Socket { tcp, tls }
    }

    fn tls(&self) -> Option<MutexGuard<'_, ServerConnection>> {
        self.tls.as_ref().map(|tls| tls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what is there. `WouldBlock`: nothing is; 0: the end.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        let Some(mut tls) = self.tls() else { return read(&self.tcp, into) };
        for _ in 0..TURNS {
            match tls.reader().read(into) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                // What goes through here tells its own ends.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            tls.read_tls(&mut Tcp(&self.tcp))?;
            let processed = tls.process_new_packets();
            // Its part of the handshake, or the alert that says what is wrong.
            match write_out(&mut tls, &self.tcp) {
                Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
                _ => {}
            }
            processed.map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
        }
        Err(ErrorKind::WouldBlock.into()) // the kernel has more, and says so when it is asked
    }

    /// Whether [`Socket::receive`] has something that the kernel knows nothing about: what is read
    /// already, or the end.
    pub fn has_more(&self) -> bool {
        self.tls().is_some_and(|mut tls| {
            let first = tls.reader().into_first_chunk();
            !matches!(first, Err(e) if e.kind() == ErrorKind::WouldBlock)
        })
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
            Some(mut tls) => send(&mut tls, &self.tcp, |mut writer| writer.write(bytes)),
        }
    }

    /// As [`Socket::send`], of several pieces.
    pub fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls() {
            None => self.tcp.try_write_vectored(pieces),
            Some(mut tls) => send(&mut tls, &self.tcp, |mut writer| writer.write_vectored(pieces)),
        }
    }

    /// Whether something that was taken is not with the kernel yet.
    pub fn owes(&self) -> bool {
        self.tls().is_some_and(|tls| tls.wants_write())
    }

    /// Gives the kernel what was taken. `WouldBlock`: some of it is left.
    pub fn flush(&self) -> io::Result<()> {
        self.tls().map_or(Ok(()), |mut tls| write_out(&mut tls, &self.tcp))
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
            tls.send_close_notify();
            // What is left is flushed, or the connection is broken.
            let _ = write_out(&mut tls, &self.tcp);
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

fn send(
    tls: &mut ServerConnection,
    tcp: &TcpStream,
    write: impl FnOnce(Writer<'_>) -> io::Result<usize>,
) -> io::Result<usize> {
    write_out(tls, tcp)?;
    let taken = write(tls.writer())?;
    match write_out(tls, tcp) {
        Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
        _ => Ok(taken),
    }
}

fn write_out(tls: &mut ServerConnection, tcp: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut Tcp(tcp))?;
    }
    Ok(())
}

/// Reads what the kernel has. Where that is less than there is room for, nothing more is there: the
/// next read waits for news without asking the kernel again.
fn read(tcp: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
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

/// The kernel's side, for rustls.
struct Tcp<'a>(&'a TcpStream);

impl Read for Tcp<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read(self.0, into)
    }
}

impl Write for Tcp<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
