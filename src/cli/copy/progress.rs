//! How far a copy is: a bar on a terminal, else a line for each tenth.
use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{console::complain, transfer::Progress};

/// Standard error.
pub(super) struct Console {
    terminal: bool,
    running: Mutex<Option<Running>>,
}

/// What is being copied.
struct Running {
    what: String,
    total: u64,
    done: u64,
    bar: ProgressBar,
}

impl Console {
    pub(super) fn new() -> Self {
        Console { terminal: stderr().is_terminal(), running: Mutex::default() }
    }

    fn running<T>(&self, work: impl FnOnce(&mut Option<Running>) -> T) -> T {
        work(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Progress for Console {
    fn begin(&self, what: &str, total: u64) {
        let target =
            if self.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_prefix(what.to_owned());
        // The template is right; were it not, the bar would look otherwise.
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix} {bar:40} {human_pos}/{human_len} {per_sec}, {eta} left",
        ) {
            bar.set_style(style);
        }
        if !self.terminal {
            complain(format_args!("{what}: {total} to copy"));
        }
        self.running(|running| {
            *running = Some(Running { what: what.to_owned(), total, done: 0, bar })
        });
    }

    fn advance(&self, by: u64) {
        self.running(|running| {
            let Some(Running { what, total, done, bar }) = running else { return };
            let tenth = |done: u64| done.saturating_mul(10) / (*total).max(1);
            let before = tenth(*done);
            *done += by;
            bar.inc(by);
            if !self.terminal && tenth(*done) > before {
                complain(format_args!("{what}: {done} of {total}"));
            }
        });
    }

    fn end(&self) {
        if let Some(ended) = self.running(Option::take) {
            ended.bar.finish_and_clear();
        }
    }

    fn warn(&self, text: &str) {
        self.running(|running| match running {
            Some(running) => running.bar.suspend(|| complain(text)),
            None => complain(text),
        });
    }
}
