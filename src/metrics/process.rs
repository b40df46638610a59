//! What a process has only one of, whatever runs in it: its log, its panics, and what the operating
//! system says of it. The latter under the names that Prometheus' own clients use, without our
//! prefix.
//!
//! It is read from `/proc`, so it is there on Linux alone. No crate is needed for a few lines of
//! text.
use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use super::{
    text::group,
    value::{Counter, Figure},
};

/// Counters of what a process has only one of.
#[derive(Default)]
pub struct Process {
    /// Lines of the log that could not be written.
    pub log_lines_lost: Arc<Counter>,
    /// Spans of traces that no collector got.
    pub spans_lost: Counter,
    /// Panics, whatever they cost.
    pub panics: Counter,
}

/// Those of this process.
pub(super) fn counted() -> &'static Process {
    static PROCESS: LazyLock<Process> = LazyLock::new(Process::default);
    &PROCESS
}

group! {
    /// What the operating system says of the process.
    "The process" System {
        cpu: Figure = Figure::counter(),
            "process_cpu_seconds", "CPU time, of user and system.";
        resident: Figure = Figure::gauge(),
            "process_resident_memory_bytes", "Resident memory.";
        virtual_memory: Figure = Figure::gauge(),
            "process_virtual_memory_bytes", "Address space.";
        open_files: Figure = Figure::gauge(),
            "process_open_fds", "Open files; each connection is one.";
        most_files: Figure = Figure::gauge(),
            "process_max_fds", "Open files that the process may have.";
        threads: Figure = Figure::gauge(),
            "process_threads", "Threads.";
        started: Figure = Figure::gauge(),
            "process_start_time_seconds", "When the process began, Unix time.";
        memory_limit: Figure = Figure::gauge(),
            "always_online_memory_limit_bytes",
            "Memory that there is for the process: the limit of its container or service, or all \
             of the machine's.";
    }
}

impl System {
    /// Asks the operating system.
    pub(super) fn look(&self) {
        let figures = Figures::read();
        self.cpu.set(figures.cpu_seconds);
        self.resident.set(figures.resident_bytes);
        self.virtual_memory.set(figures.virtual_bytes);
        self.open_files.set(figures.open_files);
        self.most_files.set(figures.most_files);
        self.threads.set(figures.threads);
        self.started.set(figures.started_at);
        self.memory_limit.set(memory_limit());
    }
}

/// What the operating system says of this process; nothing where it does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// CPU time, of user and system, seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory, bytes.
    pub resident_bytes: Option<f64>,
    /// Address space, bytes.
    pub virtual_bytes: Option<f64>,
    /// Open files.
    pub open_files: Option<f64>,
    /// Open files that it may have.
    pub most_files: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
    /// When it began, Unix seconds.
    pub started_at: Option<f64>,
}

/// Ticks of a second in `/proc/PID/stat`: `USER_HZ`, which is 100 on all platforms that Rust builds
/// for (proc(5), `sysconf(_SC_CLK_TCK)`).
const TICKS: f64 = 100.0;

impl Figures {
    /// Asks the operating system. Reads files, of a system that has them in memory.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (status, stat) = (text("/proc/self/status"), text("/proc/self/stat"));
        let began = text("/proc/stat").lines().find_map(|line| number(line.strip_prefix("btime")?));
        Figures {
            open_files: open_files(),
            most_files: limit_of_files(&text("/proc/self/limits")),
            ..Figures::parse(&status, &stat, began)
        }
    }

    /// `began`: when the machine did, Unix seconds.
    fn parse(status: &str, stat: &str, began: Option<f64>) -> Self {
        let said = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let bytes = |name| said(name).and_then(number).map(|kib| kib * 1024.0);
        // The program's name stands in parentheses, and may have anything in it. The first field
        // behind it is the third.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Figures {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS),
            resident_bytes: bytes("VmRSS:"),
            virtual_bytes: bytes("VmSize:"),
            threads: said("Threads:").and_then(number),
            started_at: began.zip(ticks(22)).map(|(began, since)| began + since / TICKS),
            ..Figures::default()
        }
    }
}

/// The number that a text begins with, behind white space.
fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Since Linux 6.2 the folder's length says how many there are; before, they have to be counted.
fn open_files() -> Option<f64> {
    let folder = Path::new("/proc/self/fd");
    match folder.metadata().ok()?.len() {
        0 => Some(fs::read_dir(folder).ok()?.count() as f64),
        many => Some(many as f64),
    }
}

/// The soft limit, as `/proc/self/limits` says it.
fn limit_of_files(limits: &str) -> Option<f64> {
    limits.lines().find_map(|line| number(line.strip_prefix("Max open files")?))
}

/// Bytes of memory that there are for this process: the least of what its control groups and the
/// machine allow.
#[must_use]
pub fn memory_limit() -> Option<f64> {
    let read = |path: &Path| fs::read_to_string(path).ok().as_deref().and_then(number);
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        text.lines().find_map(|line| number(line.strip_prefix("MemTotal:")?)).map(|k| k * 1024.0)
    });
    // Version 2 of control groups: one line, `0::/path`, and a limit at each step of the path.
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let steps = Path::new("/sys/fs/cgroup").join(path);
    let two = steps.ancestors().take_while(|step| step.starts_with("/sys/fs/cgroup"));
    let two = two.filter_map(|step| read(&step.join("memory.max")));
    let one = read(Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    two.chain(one).chain(machine).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_linux_are_read() {
        let status = "Name:\ta) b\nVmSize:\t    2048 kB\nVmRSS:\t     512 kB\nThreads:\t7\n";
        let stat = format!("42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 {} 12345 0", "0 ".repeat(6));
        let figures = Figures::parse(status, &stat, Some(1000.0));
        assert_eq!(figures.cpu_seconds, Some(2.0));
        assert_eq!(figures.virtual_bytes, Some(2_097_152.0));
        assert_eq!(figures.resident_bytes, Some(524_288.0));
        assert_eq!(figures.threads, Some(7.0));
        assert_eq!(figures.started_at, Some(1123.45));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024  4096  files\n";
        assert_eq!(limit_of_files(limits), Some(1024.0));
    }

    #[test]
    fn what_the_system_does_not_say_is_nothing() {
        let figures = Figures::parse("", "", None);
        assert_eq!((figures.cpu_seconds, figures.resident_bytes), (None, None));
        assert_eq!(limit_of_files(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_threads_and_files() {
        let figures = Figures::read();
        let above = |figure: Option<f64>, least: f64| figure.is_some_and(|f| f >= least);
        assert!(above(figures.resident_bytes, 1e6) && above(figures.virtual_bytes, 1e6));
        assert!(above(figures.threads, 1.0) && above(figures.open_files, 3.0));
        assert!(figures.open_files <= figures.most_files, "{figures:?}");
        assert!(above(figures.started_at, 1e9) && above(figures.cpu_seconds, 0.0), "{figures:?}");
        assert!(above(memory_limit(), 1e6));
    }
}
