//! Lines on their way to a file, a pipe or a terminal that may be slow, full, or gone. Who has
//! something to say never waits: lines go into a bounded buffer, and one thread writes them. What
//! finds no room, or can't be written, is lost and counted; the count is told as soon as
//! something can be written again.
//!
//! `tracing-appender` was considered. Its queue is bounded in lines and not in bytes, lines that
//! its thread could not write are not counted, and its end waits for a second and then uses
//! `println!`, which panics or blocks where standard output does.
use std::{
    io::{self, ErrorKind, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use crate::metrics::Counter;

/// Pause before the next attempt at a pipe that does not block and is full.
const BUSY: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// The thread has something in its hands.
    writing: bool,
    /// Lost lines that nobody was told of.
    untold: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes that may wait; as many may be in the thread's hands.
    bound: usize,
    /// All lines that were lost.
    lost: Arc<Counter>,
    writer: OnceLock<ThreadId>,
}

/// The way in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Spool(Arc<Shared>);

impl Spool {
    /// Starts the thread that writes to `out`. It calls `tell` with the number of lines that were
    /// lost since it last did so; what that says by this spool is never refused.
    ///
    /// # Errors
    /// There can be no thread.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        bound: usize,
        lost: Arc<Counter>,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            bound,
            lost,
            writer: OnceLock::new(),
        });
        let here = shared.clone();
        let thread =
            thread::Builder::new().name("log".into()).spawn(move || here.write_out(out, tell))?;
        let _ = shared.writer.set(thread.thread().id()); // once
        Ok(Spool(shared))
    }

    /// Takes whole lines.
    pub(super) fn push(&self, lines: &[u8]) {
        let shared = &*self.0;
        let mut state = shared.state();
        let full = state.waiting.len() + lines.len() > shared.bound;
        if full && shared.writer.get() != Some(&thread::current().id()) {
            return shared.lose(&mut state, count(lines));
        }
        state.waiting.extend_from_slice(lines);
        drop(state);
        shared.changed.notify_all();
    }

    /// Waits until everything is written or lost, but not for longer than this. False: something is
    /// left.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.0.state(), within, busy)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }
}

/// For whoever writes whole lines at once.
impl Write for Spool {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, state: &mut State, lines: u64) {
        state.untold += lines;
        self.lost.inc_by(lines);
    }

    /// What waits, once there is something.
    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        state.writing = false;
        self.changed.notify_all(); // who waits for the end of all
        let idle = |state: &mut State| state.waiting.is_empty();
        let mut state =
            self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        std::mem::take(&mut state.waiting)
    }

    fn write_out(&self, mut out: impl Write, tell: impl Fn(u64)) {
        // The last line that was written has no end.
        let mut torn = false;
        loop {
            let lines = self.next();
            let written =
                if torn && write(&mut out, b"\n") == 0 { 0 } else { write(&mut out, &lines) };
            if written > 0 {
                torn = lines[written - 1] != b'\n';
            }
            let mut state = self.state();
            if written < lines.len() {
                self.lose(&mut state, count(&lines[written..]));
                continue;
            }
            let untold = std::mem::take(&mut state.untold);
            drop(state);
            if untold > 0 {
                tell(untold);
            }
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Writes as much as can be written.
fn write(out: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(BUSY),
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Nothing is awaited for longer than this.
    const SOON: Duration = Duration::from_secs(60);

    /// Each write asks the test what becomes of it: so many bytes are taken, or it fails.
    struct Disk {
        asks: Sender<Vec<u8>>,
        answers: Receiver<io::Result<usize>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.asks.send(bytes.to_vec()));
            self.answers.recv().unwrap_or(Ok(bytes.len()))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Stage {
        spool: Spool,
        lost: Arc<Counter>,
        asked: Receiver<Vec<u8>>,
        answer: Sender<io::Result<usize>>,
        told: Receiver<u64>,
    }

    impl Stage {
        fn set(bound: usize) -> Stage {
            let ((asks, asked), (answer, answers), (tells, told)) =
                (channel(), channel(), channel());
            let lost = Arc::<Counter>::default();
            let tell = move |lines| tells.send(lines).unwrap();
            let spool = Spool::start(Disk { asks, answers }, bound, lost.clone(), tell).unwrap();
            Stage { spool, lost, asked, answer, told }
        }

        /// The next write; `answer` becomes of it.
        fn write(&self, answer: io::Result<usize>) -> String {
            let bytes = self.asked.recv_timeout(SOON).unwrap();
            self.answer.send(answer).unwrap();
            String::from_utf8(bytes).unwrap()
        }
    }

    #[test]
    fn what_finds_no_room_is_lost_and_told_once_there_is_room() {
        let stage = Stage::set(10);
        stage.spool.push(b"1\n");
        let stuck = stage.asked.recv_timeout(SOON).unwrap(); // and nobody reads
        assert_eq!(stuck, b"1\n");
        stage.spool.push(b"waits\n");
        stage.spool.push(b"no room\nfor two\n");
        stage.spool.push(b"2\n"); // for a short one there is
        assert_eq!(stage.lost.get(), 2);
        assert!(!stage.spool.flush(Duration::ZERO), "something is left");
        stage.answer.send(Ok(2)).unwrap();
        assert_eq!(stage.told.recv_timeout(SOON), Ok(2));
        assert_eq!(stage.write(Ok(8)), "waits\n2\n");
        assert!(stage.spool.flush(SOON));
        assert!(stage.told.try_recv().is_err(), "told once");
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_the_next_line_begins_on_its_own() {
        let stage = Stage::set(100);
        stage.spool.push(b"first\nsecond\n");
        assert_eq!(stage.write(Ok(8)), "first\nsecond\n");
        assert_eq!(stage.write(Err(ErrorKind::StorageFull.into())), "cond\n");
        assert!(stage.spool.flush(SOON));
        assert_eq!(stage.lost.get(), 1);
        stage.spool.push(b"third\n");
        assert_eq!(stage.write(Err(ErrorKind::BrokenPipe.into())), "\n");
        assert!(stage.spool.flush(SOON));
        assert!(stage.told.try_recv().is_err(), "nothing can be told yet");
        stage.spool.push(b"fourth\n");
        assert_eq!(stage.write(Ok(1)), "\n");
        assert_eq!(stage.write(Err(ErrorKind::WouldBlock.into())), "fourth\n", "full for a moment");
        assert_eq!(stage.write(Err(ErrorKind::Interrupted.into())), "fourth\n");
        assert_eq!(stage.write(Ok(7)), "fourth\n");
        assert_eq!(stage.told.recv_timeout(SOON), Ok(2));
        assert_eq!(stage.lost.get(), 2);
    }

    #[test]
    fn that_lines_were_lost_is_told_even_when_there_is_no_room() {
        let (lost, way_in) = (Arc::<Counter>::default(), Arc::new(OnceLock::<Spool>::new()));
        let ((asks, asked), (answer, answers)) = (channel(), channel());
        let say = way_in.clone();
        let tell = move |lines| {
            if let Some(spool) = say.get() {
                spool.push(b"no room\n"); // as if others had filled it meanwhile
                spool.push(format!("{lines} were lost\n").as_bytes());
            }
        };
        let spool = Spool::start(Disk { asks, answers }, 10, lost.clone(), tell).unwrap();
        assert!(way_in.set(spool.clone()).is_ok());
        spool.push(b"1\n");
        asked.recv_timeout(SOON).unwrap();
        spool.push(b"much too long\n");
        answer.send(Ok(2)).unwrap();
        assert_eq!(asked.recv_timeout(SOON).unwrap(), b"no room\n1 were lost\n");
        assert_eq!(lost.get(), 1);
    }
}
