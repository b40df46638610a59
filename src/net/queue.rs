//! What a WebSocket client has yet to read, on our side of the kernel.
use std::{collections::VecDeque, io, io::IoSlice};

use bytes::{Buf, Bytes};

use super::socket::Socket;

/// Pieces written with one system call at most.
const PIECES: usize = 64;
/// What a piece takes beside its bytes, about: very many very small ones must not pass for little.
pub(super) const PIECE: usize = 64;

/// Bytes that the kernel did not take at once, in order.
#[derive(Default)]
pub(super) struct Queue {
    pieces: VecDeque<Bytes>,
    /// Bytes, with what the pieces take.
    bytes: usize,
    /// Bytes that were written, until somebody has counted them.
    written: u64,
    /// Bytes that were written in all, at once or from here.
    pub(super) sent: u64,
    /// A task is writing it out.
    pub(super) flushing: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len() + PIECE;
        self.pieces.push_back(piece);
    }

    /// Writes what the kernel takes. True: all of it is gone.
    pub(super) fn write(&mut self, socket: &Socket) -> io::Result<bool> {
        while !self.pieces.is_empty() {
            let written = {
                let slices: Vec<IoSlice<'_>> =
                    self.pieces.iter().take(PIECES).map(|p| IoSlice::new(p)).collect();
                match socket.send_vectored(&slices) {
                    Ok(n) => n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(e) => return Err(e),
                }
            };
            self.advance(written);
        }
        match socket.flush() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            flushed => flushed.map(|()| true),
        }
    }

    /// How many bytes were written since this was asked for last.
    pub(super) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    fn advance(&mut self, mut written: usize) {
        self.written += written as u64;
        self.sent += written as u64;
        while let Some(front) = self.pieces.front_mut().filter(|_| written > 0) {
            let taken = written.min(front.len());
            front.advance(taken);
            written -= taken;
            self.bytes -= taken;
            if front.is_empty() {
                self.pieces.pop_front();
                self.bytes -= PIECE;
            }
        }
    }
}
