//! Logs, and the way of traces to a collector.
//!
//! Logs go to standard error, as text for people or JSON for machines. Nobody waits for them, and
//! nothing ends or fails because they can't be written: everything goes through a `spool`.
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    collections::HashMap,
    fmt::Display,
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    panic::PanicHookInfo,
    sync::{LazyLock, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;
use tracing_subscriber::{EnvFilter, reload};

use crate::throttle::Throttle;
use crate::{
    config::{Config, Format},
    metrics,
};

mod spool;
pub mod traces;

use spool::Spool;

/// Bytes of lines that wait to be written: some ten thousand.
const BOUND: usize = 4 << 20;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_millis(500);

/// The way to standard error, for what is no event.
pub struct Log(Spool);

impl Log {
    /// Installs the subscriber, and the hook that logs panics. Called once, by `main`.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn install(config: &Config) -> io::Result<Log> {
        let tell =
            |lines| tracing::error!(lines, "lines of the log were lost: they could not be written");
        let spool =
            Spool::start(standard_error(), BOUND, metrics::process().log_lines_lost.clone(), tell)?;
        let filter =
            EnvFilter::try_new(&config.log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
        let way_in = spool.clone();
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || way_in.clone())
            .log_internal_errors(false) // by `eprintln!`
            .with_ansi(io::stderr().is_terminal())
            .with_target(false);
        match config.log.format {
            Format::Json => {
                let builder = builder.json().with_filter_reloading();
                keep(builder.reload_handle());
                builder.init();
            }
            Format::Text => {
                let builder = builder.with_filter_reloading();
                keep(builder.reload_handle());
                builder.init();
            }
        }
        cap();
        std::panic::set_hook(Box::new(panicked));
        Ok(Log(spool))
    }

    /// Writes a line as it is.
    pub fn say(&self, line: impl Display) {
        self.0.push(format!("{line}\n").as_bytes());
    }

    /// Waits for the last lines, for half a second at most. Called at the end of the process.
    pub fn flush(&self) {
        self.0.flush(LAST_LINES);
    }
}

/// Also when the main thread panics: what the hook logged is to be seen.
impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Replaces the filter of the one log that a process has.
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

fn keep<S: 'static>(handle: reload::Handle<EnvFilter, S>) {
    let _ = FILTER.set(Box::new(move |filter| replace(&handle, filter)));
}

fn replace<S>(handle: &reload::Handle<EnvFilter, S>, filter: EnvFilter) {
    let _ = handle.reload(filter); // only a log that is gone has none
    cap(); // which that has lifted
}

/// At `trace`, a library may log what clients send, tokens too. Those that do use the crate `log`;
/// we do not.
fn cap() {
    log::set_max_level(log::max_level().min(log::LevelFilter::Debug));
}

/// Whether this can be a filter.
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(|_| ()).map_err(|error| format!("log.filter: {error}"))
}

/// Which events are logged, from now on.
pub fn set_filter(filter: &str) {
    if let (Some(set), Ok(filter)) = (FILTER.get(), EnvFilter::try_new(filter)) {
        set(filter);
    }
}

/// Standard error, past the lock that `std::io::stderr` holds while it writes: whoever needs that
/// would wait as long as a pipe that nobody reads.
fn standard_error() -> Box<dyn Write + Send> {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    }
}

/// Counts a panic, and logs it. The hook of the standard library would write to standard error
/// itself, and wait for a pipe that nobody reads.
fn panicked(panic: &PanicHookInfo<'_>) {
    /// By the line of the source: a panic that clients can cause is a repeated condition. There are
    /// no more entries than such lines.
    static SEEN: LazyLock<Mutex<HashMap<String, Throttle>>> = LazyLock::new(Mutex::default);
    metrics::process().panics.inc();
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let times = SEEN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(at.clone())
        .or_default()
        .met(Instant::now());
    let Some(times) = times else { return };
    let what = panic.payload_as_str().unwrap_or("no reason was given");
    let thread = thread::current();
    let thread = thread.name().unwrap_or("nameless");
    // Only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured)
        .then(|| tracing::field::display(backtrace));
    tracing::error!(
        at,
        thread,
        times = times.more(),
        backtrace,
        "a part of the server panicked: {what}"
    );
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, sync::Arc};

    use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_filter_that_is_replaced_lets_libraries_log_no_more_than_before() {
        let (layer, handle) = reload::Layer::new(EnvFilter::new("info"));
        let log = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(log, || {
            replace(&handle, EnvFilter::new("trace"));
            assert_eq!(LevelFilter::current(), LevelFilter::TRACE);
            assert_eq!(log::max_level(), log::LevelFilter::Debug);
        });
    }

    #[test]
    fn panics_are_counted_and_logged_and_those_of_one_line_not_again_and_again() {
        let (page, before) = (Page::default(), metrics::process().panics.get());
        let way_in = page.clone();
        let log =
            tracing_subscriber::fmt().with_writer(move || way_in.clone()).with_ansi(false).finish();
        std::panic::set_hook(Box::new(panicked));
        tracing::subscriber::with_default(log, || {
            for attempt in 1..=3 {
                assert!(catch_unwind(|| panic!("attempt {attempt}")).is_err());
            }
        });
        drop(std::panic::take_hook());
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("a part of the server panicked: attempt 1")
                && text.contains("src/telemetry.rs:"),
            "{text}"
        );
        // One line, and its stack where one is asked for.
        assert_eq!(text.matches("a part of the server panicked").count(), 1, "{text}");
        assert!(metrics::process().panics.get() >= before + 3);
    }
}
