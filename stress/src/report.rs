//! Measuring around a phase, and printing what came of it.

use crate::Ctx;
use crate::sys::{self, Proc};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A histogram of nanoseconds.
pub struct Lat(Histogram<u64>);

impl Default for Lat {
    #[allow(clippy::expect_used)] // the bounds are constants that it accepts
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1_000, 600 * sys::SEC, 3).expect("constant bounds"))
    }
}

impl Lat {
    pub fn add(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Takes in what another one has.
    pub fn join(&mut self, other: &Lat) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn max_ms(&self) -> f64 {
        ms(self.0.max())
    }

    pub fn ms(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        let q = |q| ms(self.0.value_at_quantile(q));
        json!({
            "n": self.0.len(), "mean": round(self.0.mean() / 1e6),
            "p50": q(0.5), "p90": q(0.9), "p99": q(0.99), "p99.9": q(0.999),
            "max": ms(self.0.max()),
        })
    }
}

fn ms(ns: u64) -> f64 {
    round(ns as f64 / 1e6)
}

/// To 3 decimals, or 6 for small numbers.
pub fn round(x: f64) -> f64 {
    if !x.is_finite() {
        return 0.0;
    }
    let scale = if x.abs() < 1.0 { 1e6 } else { 1e3 };
    (x * scale).round() / scale
}

/// Watches the servers, this process and the machine from `start` to `stop`.
pub struct Meter {
    ctx: Arc<Ctx>,
    start: u64,
    before: Vec<Proc>,
    own: f64,
    machine: (f64, f64),
    watch: Arc<Mutex<Watch>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Watch {
    rss: Vec<(u64, u64)>,
    lag: Lat,
}

pub struct Usage {
    pub wall_s: f64,
    /// CPU seconds of the servers; None without --server-pid, or if one died.
    pub cpu_s: Option<f64>,
    pub rss_before_kb: u64,
    pub rss_after_kb: u64,
    /// The most that was seen.
    pub rss_max_kb: u64,
    pub generator_cpu_s: f64,
    pub json: Value,
}

/// The servers' memory is looked at this often, in steps of LAG.
const RSS_EVERY: u64 = 50;
const LAG: Duration = Duration::from_millis(10);

impl Meter {
    pub fn start(ctx: &Arc<Ctx>) -> Meter {
        let pids = sys::family(&ctx.opt.server_pid);
        let watch = Arc::new(Mutex::new(Watch::default()));
        let task = tokio::spawn({
            let (pids, watch) = (pids.clone(), watch.clone());
            async move {
                for i in 0.. {
                    if i % RSS_EVERY == 0 && !pids.is_empty() {
                        let sum = pids.iter().map(|&p| sys::rss_kb(p)).sum();
                        watch.lock().rss.push((sys::now(), sum));
                    }
                    let at = sys::now();
                    tokio::time::sleep(LAG).await;
                    let late = (sys::now() - at).saturating_sub(LAG.as_nanos() as u64);
                    watch.lock().lag.add(late);
                }
            }
        });
        Meter {
            ctx: ctx.clone(),
            before: pids.iter().filter_map(|&p| Proc::read(p)).collect(),
            own: sys::own_cpu_s(),
            machine: sys::machine_cpu_s(),
            watch,
            task,
            start: sys::now(),
        }
    }

    pub fn stop(self) -> Usage {
        let wall_s = (sys::now() - self.start) as f64 / 1e9;
        let own = sys::own_cpu_s() - self.own;
        let machine = sys::machine_cpu_s();
        self.task.abort();
        let after: Vec<Proc> =
            sys::family(&self.ctx.opt.server_pid).into_iter().filter_map(Proc::read).collect();
        // A process that is new counts in full, one that died through its parent.
        let was = |pid| self.before.iter().find(|p| p.pid == pid);
        let diff = |get: fn(&Proc) -> f64| -> f64 {
            after.iter().map(|p| get(p) - was(p.pid).map_or(0.0, get)).sum::<f64>() + 0.0
        };
        let sum = |procs: &[Proc]| procs.iter().map(|p| p.rss_kb).sum::<u64>();
        let (rss_before_kb, rss_after_kb) = (sum(&self.before), sum(&after));
        let given = &self.ctx.opt.server_pid;
        let died = given.iter().any(|pid| !after.iter().any(|a| a.pid == *pid));
        let cpu_s = (!given.is_empty() && !died).then(|| diff(|p| p.cpu_s));

        let watch = self.watch.lock();
        let rss_max = watch.rss.iter().map(|r| r.1).max().unwrap_or(0).max(rss_after_kb);
        let server = cpu_s.map(|cpu| {
            let procs = after.iter().map(|p| {
                json!({
                    "pid": p.pid, "name": p.name, "cores": p.cores,
                    "cpu_s": round(p.cpu_s - was(p.pid).map_or(0.0, |b| b.cpu_s)),
                    "rss_before_kb": was(p.pid).map_or(0, |b| b.rss_kb), "rss_after_kb": p.rss_kb,
                })
            });
            json!({
                "cpu_s": round(cpu), "cpu_user_s": round(diff(|p| p.user_s)),
                "cpu_sys_s": round(diff(|p| p.sys_s)), "cores_used": round(cpu / wall_s),
                "rss_before_kb": rss_before_kb, "rss_after_kb": rss_after_kb, "rss_max_kb": rss_max,
                "died": false, "processes": procs.collect::<Vec<_>>(),
            })
        });
        let server = if died { Some(json!({ "died": true })) } else { server };
        let busy = machine.0 - self.machine.0;
        let json = json!({
            "wall_s": round(wall_s),
            "server": server,
            "generator": {
                "cpu_s": round(own), "cores_used": round(own / wall_s),
                "loop_lag_ms": watch.lag.ms(),
            },
            "machine": {
                "busy_s": round(busy), "steal_s": round(machine.1 - self.machine.1),
                "others_s": round((busy - own - cpu_s.unwrap_or(0.0)).max(0.0)),
            },
        });
        Usage {
            wall_s,
            cpu_s,
            rss_before_kb,
            rss_after_kb,
            rss_max_kb: rss_max,
            generator_cpu_s: own,
            json,
        }
    }

    /// The servers' memory so far, as (seconds since the start, kB).
    pub fn rss(&self) -> Vec<(f64, u64)> {
        let watch = self.watch.lock();
        let at = |t: u64| t.saturating_sub(self.start) as f64 / 1e9;
        watch.rss.iter().map(|&(t, kb)| (at(t), kb)).collect()
    }
}

impl Usage {
    /// The servers' memory now; null without --server-pid.
    pub fn rss_kb(&self) -> Value {
        json!(self.cpu_s.map(|_| self.rss_after_kb))
    }

    /// CPU seconds of the servers for each `unit` of `n`.
    pub fn cpu_per(&self, n: f64, unit: f64) -> Value {
        match self.cpu_s {
            Some(cpu) if n > 0.0 => json!(round(cpu / n * unit)),
            _ => Value::Null,
        }
    }
}

/// Prints one JSON line on stdout and the same as a short table on stderr.
pub fn print(report: &Value, notes: &[String]) {
    let text = |key: &str| report[key].as_str().unwrap_or("").to_string();
    eprintln!("\n{} (eio {}) {}", text("scenario"), report["eio"], text("label"));
    eprintln!("  {}", inline(&report["config"]));
    table("", &report["result"]);
    table("", &report["usage"]);
    for note in notes {
        eprintln!("  ! {note}");
    }
    println!("{report}");
}

/// The plain values of an object, on one line.
fn inline(v: &Value) -> String {
    let plain = |v: &Value| !v.is_object() && !v.is_array() && !v.is_null();
    let cells = v.as_object().into_iter().flatten().filter(|(_, v)| plain(v));
    cells.map(|(k, v)| format!("{k} {v}")).collect::<Vec<_>>().join("  ").replace('"', "")
}

/// A line for each plain value and for each object without objects in it.
fn table(path: &str, v: &Value) {
    match v {
        Value::Object(m) if path.is_empty() || m.values().any(|v| v.is_object()) => {
            let rest = inline(v);
            if !path.is_empty() && !rest.is_empty() {
                eprintln!("  {path:<40} {rest}");
            }
            for (k, v) in m.iter().filter(|(_, v)| path.is_empty() || v.is_object()) {
                table(&format!("{path}{}{k}", if path.is_empty() { "" } else { "." }), v);
            }
        }
        Value::Object(m) if m.is_empty() => {}
        Value::Object(_) => eprintln!("  {path:<40} {}", inline(v)),
        Value::Null => {}
        v => eprintln!("  {path:<40} {v}"),
    }
}
