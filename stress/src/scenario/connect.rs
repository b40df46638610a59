//! `connect` and `idle`: many connections that do nothing much.

use super::{Crowd, gather, quiet};
use crate::client::Manner;
use crate::http::{self, Answer};
use crate::report::{Meter, round};
use crate::{Ctx, Outcome};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::sleep;

#[derive(Args)]
pub struct Connect {
    /// Connections.
    #[arg(long, default_value_t = 1000)]
    n: usize,
    /// Members of each room.
    #[arg(long, default_value_t = 10)]
    room_size: usize,
    /// Seconds to hold the connections once all have joined.
    #[arg(long, default_value_t = 3.0)]
    hold: f64,
}

#[derive(Args)]
pub struct Idle {
    /// Connections.
    #[arg(long, default_value_t = 1000)]
    n: usize,
    /// Members of each room.
    #[arg(long, default_value_t = 10)]
    room_size: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 60.0)]
    duration: f64,
}

fn crowd(n: usize, room_size: usize) -> Crowd {
    Crowd { n, role: "c", first_room: 0, room_size, how: Manner::default() }
}

fn faults(ctx: &Ctx, joined: u64, n: usize) -> Vec<(u64, &'static str)> {
    vec![
        (n as u64 - joined, "connections did not join"),
        (ctx.stats.closed.load(Relaxed), "connections lost"),
    ]
}

/// A hook's consent.
const CONSENT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 13\r\n\r\n{\"result\":{}}";

/// Answers hooks, where `--hook` says so. How many came.
async fn consent(ctx: &Ctx) -> Result<Option<Arc<AtomicU64>>> {
    let Some(addr) = &ctx.opt.hook else { return Ok(None) };
    let answer = Answer { bytes: CONSENT, after: Duration::from_millis(ctx.opt.hook_delay) };
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let hear: http::Hear = Arc::new(move |_, _| {
        count.fetch_add(1, Relaxed);
    });
    http::listen(crate::loopback(addr)?, answer, hear).await?;
    Ok(Some(asked))
}

pub async fn connect(ctx: Arc<Ctx>, a: Connect) -> Result<Outcome> {
    let asked = consent(&ctx).await?;
    ctx.prepare_tokens((0..a.n).map(|i| ctx.uid("c", i)).collect()).await?;
    let ramp = Meter::start(&ctx);
    let joining = gather(&ctx, crowd(a.n, a.room_size), |_, conn| conn.rx.spawn(|_| {})).await?;
    let ramp = ramp.stop();
    quiet(&ctx).await;
    let hold = Meter::start(&ctx);
    sleep(Duration::from_secs_f64(a.hold)).await;
    let hold = hold.stop();

    let n = joining.ok as f64;
    let rss = hold.rss_after_kb as f64 - ramp.rss_before_kb as f64;
    let mut result = joining.json(ramp.wall_s);
    result["hooks"] = json!(asked.map(|asked| asked.load(Relaxed)));
    result["lost_while_held"] = json!(ctx.stats.closed.load(Relaxed));
    result["server_cpu_ms_per_connect"] = ramp.cpu_per(n, 1e3);
    result["server_rss_kb_per_connection"] = match ramp.cpu_s {
        Some(_) if n > 0.0 => json!(round(rss / n)),
        _ => Value::Null,
    };
    result["server_rss_before_kb"] = json!(ramp.cpu_s.map(|_| ramp.rss_before_kb));
    result["server_rss_held_kb"] = hold.rss_kb();
    result["server_cpu_s_while_held"] = json!(hold.cpu_s.map(round));
    Ok(Outcome {
        config: json!({
            "n": a.n, "room_size": a.room_size, "hold_s": a.hold,
            "rate": ctx.opt.conn_rate, "concurrency": ctx.opt.conn_concurrency,
        }),
        faults: faults(&ctx, joining.ok, a.n),
        notes: Vec::new(),
        result,
        usage: ramp.json,
    })
}

pub async fn idle(ctx: Arc<Ctx>, a: Idle) -> Result<Outcome> {
    let joining = gather(&ctx, crowd(a.n, a.room_size), |_, conn| conn.rx.spawn(|_| {})).await?;
    quiet(&ctx).await;
    let beats = || (ctx.stats.pings.load(Relaxed), ctx.stats.pongs.load(Relaxed));
    let before = beats();
    let meter = Meter::start(&ctx);
    sleep(Duration::from_secs_f64(a.duration)).await;
    let usage = meter.stop();
    let after = beats();

    let minutes = joining.ok as f64 * usage.wall_s / 60.0;
    Ok(Outcome {
        config: json!({ "n": a.n, "room_size": a.room_size, "duration_s": a.duration }),
        result: json!({
            "joined": joining.ok, "failed": joining.failures.total(),
            "failures": joining.failures.json(), "lost": ctx.stats.closed.load(Relaxed),
            "connection_minutes": round(minutes),
            // EIO 4: the server's pings; EIO 3: the server's answers to ours.
            "pings_received": after.0 - before.0, "pongs_received": after.1 - before.1,
            "server_cpu_ms_per_connection_minute": usage.cpu_per(minutes, 1e3),
            "server_rss_kb": usage.rss_kb(),
        }),
        faults: faults(&ctx, joining.ok, a.n),
        notes: Vec::new(),
        usage: usage.json,
    })
}
