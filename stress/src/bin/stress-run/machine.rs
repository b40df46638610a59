//! On what it was measured, and what.

use std::fs;

use serde_json::{Value, json};

use crate::process::{Bench, ask};

fn line(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

pub async fn facts(bench: &Bench) -> Value {
    let read = |file| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let cores = fs::read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .lines()
        .filter(|l| l.starts_with("processor"))
        .count();
    let commit = ask("git", &["rev-parse", "--short=12", "HEAD"]).await;
    let changed = ask("git", &["--no-optional-locks", "status", "--porcelain"]).await;
    json!({
        "commit": format!("{commit}{}", if changed.is_empty() { "" } else { " with changes" }),
        "server": ask(&bench.ours, &["--version"]).await,
        "measured": bench.ours, "older": bench.older,
        "centrifugo": match &bench.centrifugo {
            Some(centrifugo) => ask(centrifugo, &["version"]).await,
            None => String::new(),
        },
        "cores": cores,
        "cpu": line("/proc/cpuinfo", "model name")
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "memory": line("/proc/meminfo", "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load_at_start": read("/proc/loadavg"),
        "rustc": ask("rustc", &["--version"]).await,
        "node": ask("node", &["--version"]).await,
        "server_core": 0,
        "generator_core": bench.generator_core,
    })
}
