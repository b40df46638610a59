//! What the tool needs of Linux: a monotonic clock, a precise timer, pinning, limits.

mod net;
mod proc;

pub use net::{abrupt, dial, peers, reset};
pub use proc::{Proc, family, machine_cpu_s, own_cpu_s, rss_kb};

use std::{num::NonZeroU64, os::fd::OwnedFd, sync::LazyLock};

use anyhow::{Context, Result, bail};
use rustix::{
    process::{
        Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setpriority_process, setrlimit,
    },
    thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_current_timer_slack},
    time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
        clock_gettime, timerfd_create, timerfd_settime,
    },
};
use tokio::io::unix::AsyncFd;

pub const SEC: u64 = 1_000_000_000;

/// Nanoseconds of a clock.
fn clock(id: ClockId) -> u64 {
    let t = clock_gettime(id);
    t.tv_sec as u64 * SEC + t.tv_nsec as u64
}

static START: LazyLock<u64> = LazyLock::new(|| clock(ClockId::Monotonic));

/// Nanoseconds of monotonic time since the process's first look at the clock.
pub fn now() -> u64 {
    let start = *START;
    clock(ClockId::Monotonic) - start
}

pub fn secs(s: f64) -> u64 {
    (s * 1e9) as u64
}

/// A timerfd: tokio's own timers tick in whole milliseconds, too coarse to send on a schedule whose
/// latencies are tens of microseconds.
pub struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    // For an fd that changes under it, which an OwnedFd cannot; what replaces it is unsafe to call.
    #[allow(deprecated)]
    pub fn new() -> Result<Self> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )
        .context("timerfd_create")?;
        Ok(Self(AsyncFd::new(fd)?))
    }

    /// Waits until `now()` reaches `due`.
    pub async fn until(&self, due: u64) -> Result<()> {
        if now() >= due {
            return Ok(());
        }
        let at = due + *START;
        let it_value = Timespec { tv_sec: (at / SEC) as i64, tv_nsec: (at % SEC) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)
            .context("timerfd_settime")?;
        loop {
            let mut ready = self.0.readable().await?;
            if rustix::io::read(self.0.get_ref(), &mut [0u8; 8]) == Ok(8) {
                return Ok(());
            }
            ready.clear_ready();
        }
    }
}

/// Pins the calling thread to `core`, or to the last core it may run on.
pub fn pin(core: Option<usize>) -> Result<usize> {
    let core = match core {
        Some(core) => core,
        None => {
            let allowed = sched_getaffinity(None)?;
            (0..CpuSet::MAX_CPU).rev().find(|&c| allowed.is_set(c)).context("no core to run on")?
        }
    };
    if core >= CpuSet::MAX_CPU {
        bail!("core {core}: no such core");
    }
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).with_context(|| format!("pin to core {core}"))?;
    Ok(core)
}

/// Ends a process at once.
pub fn kill(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("no such process")?;
    kill_process(pid, Signal::KILL).context("killing the server")
}

/// Lets every other thread go before the calling one. Best effort: it only makes the watching
/// cheaper for the watched.
pub fn go_last() {
    let _ = setpriority_process(None, 19);
}

/// Without this the kernel may add 50 microseconds to each sleep of the thread. Best effort, as
/// above.
pub fn exact_sleeps() {
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// Makes room for `want` open files, raising the hard limit too where allowed.
pub fn raise_nofile(want: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    // None is "no limit", here and below.
    let enough = |n: Option<u64>| n.is_none_or(|n| n >= want);
    if enough(limit.current) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|m| m.max(want));
    if setrlimit(Resource::Nofile, Rlimit { current: Some(want), maximum }).is_ok() {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    if !enough(limit.maximum) {
        bail!("needs {want} open files, the limit is {}", limit.maximum.unwrap_or_default());
    }
    Ok(())
}

/// splitmix64: small, seeded, good enough to pick rooms and fill payloads.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
