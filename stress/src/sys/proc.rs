//! CPU time and memory of processes and of the machine, from /proc.

use std::{fs, sync::LazyLock};

use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use rustix::time::ClockId;

fn ticks(n: &str) -> f64 {
    static HZ: LazyLock<f64> = LazyLock::new(|| rustix::param::clock_ticks_per_second() as f64);
    n.parse::<u64>().unwrap_or(0) as f64 / *HZ
}

/// The fields of /proc/PID/stat that follow the command name.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &text[text.rfind(')')? + 1..];
    Some(rest.split_whitespace().map(str::to_string).collect())
}

fn status(pid: i32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    Some(line[key.len()..].trim_start_matches(':').trim().to_string())
}

pub fn rss_kb(pid: i32) -> u64 {
    status(pid, "VmRSS").and_then(|v| v.split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// `roots` and all their living descendants.
pub fn family(roots: &[i32]) -> Vec<i32> {
    let mut family = roots.to_vec();
    let Ok(dir) = fs::read_dir("/proc") else {
        return family;
    };
    let parents: Vec<(i32, i32)> = dir
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect();
    let mut i = 0;
    while i < family.len() {
        for &(pid, parent) in &parents {
            if parent == family[i] && !family.contains(&pid) {
                family.push(pid);
            }
        }
        i += 1;
    }
    family
}

#[derive(Clone, Debug, Default)]
pub struct Proc {
    pub pid: i32,
    pub name: String,
    pub cores: String,
    pub rss_kb: u64,
    pub user_s: f64,
    pub sys_s: f64,
    /// CPU time to the nanosecond, reaped children included.
    pub cpu_s: f64,
}

impl Proc {
    /// None if there is no such process, or only what is left of a dead one.
    pub fn read(pid: i32) -> Option<Proc> {
        let f = stat(pid).filter(|f| !matches!(f[0].as_str(), "Z" | "X"))?;
        let tick = |i: usize| f.get(i).map_or(0.0, |v| ticks(v));
        let (user, sys, dead) = (tick(11), tick(12), tick(13) + tick(14));
        let precise = clock_getcpuclockid(Pid::from_raw(pid)).and_then(clock_gettime).ok();
        let precise = precise.map(|t| t.tv_sec() as f64 + t.tv_nsec() as f64 / 1e9);
        Some(Proc {
            pid,
            name: status(pid, "Name").unwrap_or_default(),
            cores: status(pid, "Cpus_allowed_list").unwrap_or_default(),
            rss_kb: rss_kb(pid),
            user_s: user,
            sys_s: sys,
            cpu_s: precise.unwrap_or(user + sys) + dead,
        })
    }
}

/// CPU seconds of this process.
pub fn own_cpu_s() -> f64 {
    super::clock(ClockId::ProcessCPUTime) as f64 / 1e9
}

/// Seconds that all cores together were busy, and were taken by the host.
pub fn machine_cpu_s() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let f: Vec<f64> =
        text.lines().next().unwrap_or("").split_whitespace().skip(1).map(ticks).collect();
    let get = |i: usize| f.get(i).copied().unwrap_or(0.0);
    (get(0) + get(1) + get(2) + get(5) + get(6), get(7))
}
