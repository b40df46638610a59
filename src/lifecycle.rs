//! Signals: the first asks for an orderly end, a second one for an end at once. SIGHUP has the
//! configuration read again, but for a server that was started in a terminal, which was closed then.
use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Bit of SIGHUP in a mask of signals: its number less one.
const HANGUP: u64 = 1;

/// SIGTERM, SIGINT and SIGHUP. Others keep what they do by default: SIGQUIT, for one, ends the
/// process at once with a core dump, for whoever wants that; SIGPIPE is ignored.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal was closed. None: whoever started the process wants it to outlive that
    /// (`nohup`).
    hangup: Option<Signal>,
    /// It was started by hand: SIGHUP says that the terminal was closed.
    has_terminal: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The end; the signal's name.
    End(&'static str),
    /// That the configuration is read again.
    Reload,
}

impl Signals {
    /// Takes the signals over from their default, which ends the process.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn install() -> std::io::Result<Self> {
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
            has_terminal: std::io::stdin().is_terminal(),
        })
    }

    /// Waits for the next, until one asks for the end.
    pub async fn first(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            () = hung_up(&mut self.hangup) => {
                if self.has_terminal { Asked::End("SIGHUP") } else { Asked::Reload }
            }
        }
    }

    /// Waits for the second, of somebody who is impatient. A terminal that is closed may send
    /// SIGHUP more than once, by its shell and by itself, and nobody who does that waits for
    /// anything.
    pub async fn second(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                () = hung_up(&mut self.hangup) => tracing::info!("SIGHUP changes nothing: the server is ending already"),
            }
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    if let Some(hangup) = hangup
        && hangup.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Whether SIGHUP was ignored when the process was started. Only Linux says so; elsewhere it is
/// taken for not ignored.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignored(&status) & HANGUP != 0)
}

/// The mask of ignored signals in a file of `/proc`.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = |mask: &str| {
            format!(
                "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n"
            )
        };
        assert_eq!(ignored(&status("0000000000001000")) & HANGUP, 0, "SIGPIPE alone");
        assert_eq!(ignored(&status("0000000000001001")) & HANGUP, HANGUP);
        assert_eq!(ignored("Name:\tx\n"), 0);
    }
}
