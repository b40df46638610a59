//! One TLS session, that has no buffers while its client is silent. rustls reads and writes records
//! in buffers that it is given: what comes is read into one of the thread's, what goes is written
//! into another, and only what can't be dealt with at once is kept here, until it is.
//!
//! Its records go to the kernel whole before it takes more, so at most one write's ciphertext waits
//! here; everything else waits in the connection's queue, where it is counted.
use std::{
    cell::RefCell,
    io::{self, ErrorKind, IoSlice},
    mem,
};

use rustls::{
    HandshakeKind, ProtocolVersion,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    },
};
use tokio::net::TcpStream;

use super::socket::read;

/// Plaintext that a record may have (RFC 8446, 5.1).
const RECORD: usize = 16 << 10;
/// What a record has beside its plaintext, at most (RFC 5246, 6.2.3), and small records before it.
const AROUND: usize = 4 << 10;
/// Steps that one call may take without a result: each of a client's records is one, or two.
const STEPS: u32 = 256;
/// Reads after which a caller that still has nothing asks whether others want their turn.
const TURNS: u32 = 32;

thread_local! {
    /// What is read from the kernel.
    static INPUT: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECORD + AROUND].into());
    /// What is written to it.
    static OUTPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORD + AROUND]);
    /// Plaintext of several pieces.
    static PIECES: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(RECORD));
}

/// A session.
pub(super) struct Session {
    rustls: UnbufferedServerConnection,
    /// Ciphertext that is no whole record yet, or no whole message of a handshake.
    partial: Vec<u8>,
    /// Plaintext that nobody has taken yet.
    plain: Vec<u8>,
    /// Bytes of it that were taken.
    taken: usize,
    /// Ciphertext that the kernel has not taken yet.
    owed: Vec<u8>,
    /// Bytes of it that were written.
    written: usize,
    /// The client sends nothing more.
    closed: bool,
}

/// Where plaintext goes: to whoever reads, and what that has no room for, into the session.
struct Reader<'a> {
    into: &'a mut [u8],
    read: usize,
}

impl Reader<'_> {
    fn take(&mut self, payload: &[u8], rest: &mut Vec<u8>) {
        let room = if rest.is_empty() { self.into.len() - self.read } else { 0 };
        let (now, later) = payload.split_at(room.min(payload.len()));
        self.into[self.read..self.read + now.len()].copy_from_slice(now);
        self.read += now.len();
        rest.extend_from_slice(later);
    }
}

/// What one step of rustls leads to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Again,
    /// It needs more of what the client sends.
    Waits,
}

impl Session {
    /// Its handshake begins with the first read.
    pub(super) fn new(rustls: UnbufferedServerConnection) -> Self {
        Session {
            rustls,
            partial: Vec::new(),
            plain: Vec::new(),
            taken: 0,
            owed: Vec::new(),
            written: 0,
            closed: false,
        }
    }

    /// Reads what is there. `WouldBlock`: nothing is; 0: the end.
    pub(super) fn receive(&mut self, tcp: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        for _ in 0..TURNS {
            if self.taken < self.plain.len() {
                return Ok(self.take(into));
            }
            if self.closed {
                return Ok(0);
            }
            let mut reader = Reader { into, read: 0 };
            INPUT.with_borrow_mut(|input| self.read(tcp, input, &mut reader))?;
            if reader.read > 0 {
                return Ok(reader.read);
            }
        }
        Err(ErrorKind::WouldBlock.into()) // the kernel has more, and says so when it is asked
    }

    fn take(&mut self, into: &mut [u8]) -> usize {
        let rest = &self.plain[self.taken..];
        let length = into.len().min(rest.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.taken += length;
        if self.taken == self.plain.len() {
            (self.plain, self.taken) = (Vec::new(), 0);
        }
        length
    }

    /// Reads once, and deals with what has come.
    fn read(
        &mut self,
        tcp: &TcpStream,
        input: &mut [u8],
        reader: &mut Reader<'_>,
    ) -> io::Result<()> {
        let length = read(tcp, input)?;
        if length == 0 {
            self.closed = true;
            return Ok(());
        }
        let came = &mut input[..length];
        if self.partial.is_empty() {
            let used = self.process(came, reader);
            let used = self.answer(tcp, used)?;
            self.partial = came[used..].to_vec(); // most often nothing: no memory
        } else {
            let mut records = mem::take(&mut self.partial);
            records.extend_from_slice(came);
            let used = self.process(&mut records, reader);
            let used = self.answer(tcp, used)?;
            if used < records.len() {
                records.drain(..used);
                self.partial = records;
            }
        }
        Ok(())
    }

    /// Sends what the handshake has to say, or the alert that says what is wrong.
    fn answer(&mut self, tcp: &TcpStream, used: io::Result<usize>) -> io::Result<usize> {
        match self.flush(tcp) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => used,
        }
    }

    /// Deals with whole records: how many bytes they were.
    fn process(&mut self, records: &mut [u8], reader: &mut Reader<'_>) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.rustls.process_tls_records(&mut records[used..]);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.alert();
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            };
            let rest = (&mut self.plain, &mut self.owed, &mut self.closed);
            let (step, more) = step(state, reader, rest)?;
            used += discard + more;
            if step == Step::Waits {
                return Ok(used);
            }
        }
    }

    /// What is to be said of an error, if anything.
    fn alert(&mut self) {
        let status = self.rustls.process_tls_records(&mut []);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state {
            let _ = encode(&mut self.owed, |into| data.encode(into)); // it ends in any case
        }
    }

    /// Whether [`Session::receive`] has something that the kernel knows nothing about: what is read
    /// already, or the end.
    pub(super) fn has_more(&self) -> bool {
        self.taken < self.plain.len() || self.closed
    }

    /// Whether its handshake is not done yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// Whether the costly part of its handshake is to come: the answer to what the client says
    /// first, with a key exchange and, mostly, a signature. Who was asked to say that once more
    /// (RFC 8446, 4.1.4) has no answer yet.
    pub(super) fn is_unanswered(&self) -> bool {
        match self.rustls.handshake_kind() {
            None => true,
            Some(HandshakeKind::FullWithHelloRetryRequest) => {
                self.rustls.negotiated_key_exchange_group().is_none()
            }
            Some(HandshakeKind::Full | HandshakeKind::Resumed) => false,
        }
    }

    /// Whether the client's part of the key exchange is to come behind that answer, and ours with
    /// it, as under TLS 1.2.
    pub(super) fn is_exchanging_keys(&self) -> bool {
        self.rustls.protocol_version() == Some(ProtocolVersion::TLSv1_2)
            && self.rustls.handshake_kind() == Some(HandshakeKind::Full)
            && self.is_handshaking()
    }

    /// Reads once, and goes on with the handshake. What comes behind that is kept.
    pub(super) fn shake_hands(&mut self, tcp: &TcpStream) -> io::Result<()> {
        let mut nobody = Reader { into: &mut [], read: 0 };
        INPUT.with_borrow_mut(|input| self.read(tcp, input, &mut nobody))
    }

    /// Takes what it can of `bytes`, a record at most. `WouldBlock`: nothing.
    pub(super) fn send(&mut self, tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.flush(tcp)?;
        let record = &bytes[..bytes.len().min(RECORD)];
        OUTPUT.with_borrow_mut(|output| {
            let length = self.encrypt(record, output)?;
            self.give(tcp, &output[..length])?;
            Ok(record.len())
        })
    }

    /// As [`Session::send`], of several pieces.
    pub(super) fn send_vectored(
        &mut self,
        tcp: &TcpStream,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        match pieces {
            [] => Ok(0),
            [only] => self.send(tcp, only),
            [first, ..] if first.len() >= RECORD => self.send(tcp, first),
            several => PIECES.with_borrow_mut(|gathered| {
                gathered.clear();
                for piece in several {
                    let room = RECORD - gathered.len();
                    gathered.extend_from_slice(&piece[..piece.len().min(room)]);
                    if gathered.len() == RECORD {
                        break;
                    }
                }
                self.send(tcp, gathered)
            }),
        }
    }

    /// Makes a record of some plaintext: how long it is.
    fn encrypt(&mut self, plain: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        for _ in 0..STEPS {
            let UnbufferedStatus { discard, state } =
                self.rustls.process_tls_records(&mut self.partial);
            let state = state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            let more = match state {
                ConnectionState::WriteTraffic(mut traffic) => {
                    match traffic.encrypt(plain, output) {
                        Ok(length) => return Ok(length),
                        Err(EncryptError::InsufficientSize(InsufficientSizeError {
                            required_size,
                        })) => {
                            output.resize(required_size, 0);
                            0
                        }
                        Err(error) => return Err(io::Error::other(error)),
                    }
                }
                ConnectionState::BlockedHandshake | ConnectionState::Closed => break,
                other => {
                    let mut nobody = Reader { into: &mut [], read: 0 };
                    let rest = (&mut self.plain, &mut self.owed, &mut self.closed);
                    step(other, &mut nobody, rest)?.1
                }
            };
            self.partial.drain(..discard + more);
        }
        Err(ErrorKind::NotConnected.into())
    }

    /// Gives ciphertext to the kernel, behind what it has not taken yet, and keeps what it does not
    /// take.
    fn give(&mut self, tcp: &TcpStream, records: &[u8]) -> io::Result<()> {
        if self.owes() {
            self.owed.extend_from_slice(records);
            return match self.flush(tcp) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                _ => Ok(()),
            };
        }
        let mut written = 0;
        while written < records.len() {
            match tcp.try_write(&records[written..]) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    (self.owed, self.written) = (records[written..].to_vec(), 0);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something that was taken is not with the kernel yet.
    pub(super) fn owes(&self) -> bool {
        self.written < self.owed.len()
    }

    /// Gives the kernel what was taken. `WouldBlock`: some of it is left.
    pub(super) fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
        while self.owes() {
            self.written += tcp.try_write(&self.owed[self.written..])?;
        }
        if !self.owed.is_empty() {
            (self.owed, self.written) = (Vec::new(), 0);
        }
        Ok(())
    }

    /// Tells the client that nothing more comes. What is left is flushed, or the connection is
    /// broken.
    pub(super) fn say_goodbye(&mut self, tcp: &TcpStream) {
        let mut alert = [0; 256];
        let UnbufferedStatus { discard, state } =
            self.rustls.process_tls_records(&mut self.partial);
        let length = match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.queue_close_notify(&mut alert).unwrap_or(0)
            }
            _ => 0, // a handshake that is not done, or an error
        };
        self.partial.drain(..discard);
        let _ = self.give(tcp, &alert[..length]);
    }
}

/// Does what rustls asks for, and how many bytes more of its input are done with.
fn step(
    state: ConnectionState<'_, '_, ServerConnectionData>,
    reader: &mut Reader<'_>,
    (plain, owed, closed): (&mut Vec<u8>, &mut Vec<u8>, &mut bool),
) -> io::Result<(Step, usize)> {
    let mut more = 0;
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record =
                    record.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                more += record.discard;
                reader.take(record.payload, plain);
            }
        }
        ConnectionState::EncodeTlsData(mut data) => encode(owed, |into| data.encode(into))?,
        // It waits with the rest of what is owed.
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::PeerClosed => *closed = true,
        // Nobody may send any: there is no early data in this configuration.
        ConnectionState::ReadEarlyData(_) => return Err(ErrorKind::InvalidData.into()),
        _ => return Ok((Step::Waits, 0)),
    }
    Ok((Step::Again, more))
}

/// Appends a record of the handshake.
fn encode(
    owed: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> io::Result<()> {
    let before = owed.len();
    let mut room = 1 << 10;
    loop {
        owed.resize(before + room, 0);
        match write(&mut owed[before..]) {
            Ok(length) => {
                owed.truncate(before + length);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                room = required_size;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}
