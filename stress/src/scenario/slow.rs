//! `slow`: what members who never read do to a server and to the others.

use super::{Crowd, gather_all, quiet};
use crate::client::{Conn, Heartbeat, Manner};
use crate::message::MSG;
use crate::report::round;
use crate::scenario::hall::{Hall, Talk};
use crate::sys::{self, now};
use crate::{Ctx, Outcome};
use anyhow::{Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use tokio::time::timeout;

#[derive(Args)]
pub struct Slow {
    /// Members of the room, slow ones included.
    #[arg(long, default_value_t = 50)]
    members: usize,
    /// Members that never read.
    #[arg(long, default_value_t = 5)]
    slow: usize,
    /// Seconds to measure before the slow members come, for comparison.
    #[arg(long, default_value_t = 3.0)]
    baseline: f64,
    /// Receive buffer of the slow members' sockets, in bytes.
    #[arg(long, default_value_t = 4096)]
    rcvbuf: u32,
    /// Let slow members send heartbeats, unasked where need be, so that a
    /// server's ping timeout is not what ends them.
    #[arg(long)]
    keepalive: bool,
    #[command(flatten)]
    talk: Talk,
}

/// What the server has done about the slow members so far.
#[derive(Default)]
struct Watch {
    open: usize,
    closing: usize,
    gone: usize,
    unsent: u64,
}

fn watch(server: SocketAddrV4, clients: &[SocketAddrV4]) -> Watch {
    let peers = sys::peers(server);
    let mut w = Watch::default();
    for c in clients {
        match peers.get(c) {
            Some(p) if p.open => w.open += 1,
            Some(_) => w.closing += 1,
            None => w.gone += 1,
        }
        w.unsent += peers.get(c).map_or(0, |p| p.unsent);
    }
    w
}

pub async fn run(ctx: Arc<Ctx>, a: Slow) -> Result<Outcome> {
    if a.slow + 2 > a.members {
        bail!("at least 2 members must read");
    }
    let hall = Hall::open(&ctx, 1, a.members - a.slow, &a.talk, None).await?;
    if a.talk.warmup > 0.0 {
        hall.phase(&ctx, 1, a.talk.warmup).await;
    }
    let baseline = hall.phase(&ctx, 2, a.baseline).await;

    let start = now();
    let conns: Arc<Mutex<Vec<Conn>>> = Arc::default();
    let heartbeat = if a.keepalive { Heartbeat::Unasked } else { Heartbeat::Mute };
    let how = Manner { rcvbuf: Some(a.rcvbuf), heartbeat, ..Manner::default() };
    let crowd = Crowd { n: a.slow, role: "z", first_room: 0, room_size: a.slow, how };
    let c = conns.clone();
    gather_all(&ctx, crowd, move |_, conn| c.lock().push(conn)).await?;
    quiet(&ctx).await;
    let conns = std::mem::take(&mut *conns.lock());
    let clients: Vec<SocketAddrV4> = conns.iter().map(|c| c.local).collect();

    // The list of all TCP connections may be long: read it on another thread,
    // so that it does not hold up the healthy members.
    let over = Arc::new(AtomicBool::new(false));
    let watching = thread::spawn({
        let (over, clients, addr) = (over.clone(), clients.clone(), ctx.addr);
        move || {
            sys::go_last();
            let mut first = None;
            while !over.load(Relaxed) {
                thread::sleep(Duration::from_millis(250));
                let w = watch(addr, &clients);
                if w.open < clients.len() {
                    first = first.or(Some(now()));
                }
                if w.open == 0 {
                    return (first, Some(now()));
                }
            }
            (first, None)
        }
    });
    let phase = hall.phase(&ctx, 3, a.talk.duration).await;
    over.store(true, Relaxed);
    let end = watch(ctx.addr, &clients);
    let (first_closed, all_closed) = watching.join().unwrap_or_default();
    let told = hall.departures.lock().clone();
    let after_s = |t: u64| round(t.saturating_sub(start) as f64 / 1e9);

    // Now read what is left for them: how much was kept, and does it end?
    let (got, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for mut conn in conns {
        let (got, ended) = (got.clone(), ended.clone());
        tokio::spawn(async move {
            while let Ok(p) = conn.rx.next().await {
                got.fetch_add(p.starts_with(MSG) as u64, Relaxed);
            }
            ended.fetch_add(1, Relaxed);
        });
    }
    let _ = timeout(Duration::from_secs(10), quiet(&ctx)).await;
    let rss_kb = |pids: &[i32]| pids.iter().map(|&p| sys::rss_kb(p)).sum::<u64>();
    let rss_read = rss_kb(&sys::family(&ctx.opt.server_pid));

    let usage = phase.usage.json.clone();
    let growth =
        |kb: &str| usage["server"][kb].as_i64().map(|v| v - baseline.usage.rss_after_kb as i64);
    let offered = phase.sent as f64 * hall.template.payload_bytes as f64 / 1e6;
    Ok(Outcome {
        config: json!({
            "members": a.members, "slow": a.slow, "senders": a.talk.senders,
            "bytes": hall.template.payload_bytes, "store": a.talk.store, "rate": a.talk.rate,
            "duration_s": a.talk.duration, "rcvbuf": a.rcvbuf, "keepalive": a.keepalive,
        }),
        result: json!({
            "healthy_before": baseline.json(&ctx),
            "healthy": phase.json(&ctx),
            "mb_offered_to_each_slow_member": round(offered),
            "slow_members": {
                "server_end_open": end.open, "server_end_closing": end.closing,
                "server_end_gone": end.gone,
                "kernel_unsent_kb_each":
                    round(end.unsent as f64 / 1024.0 / clients.len().max(1) as f64),
                "server_end_first_closed_after_s": first_closed.map(after_s),
                "server_end_all_closed_after_s": all_closed.map(after_s),
                "announced_disconnected": told.len(),
                "first_announced_after_s": told.first().copied().map(after_s),
                "ended_when_read_at_last": ended.load(Relaxed),
                "messages_read_at_last": got.load(Relaxed),
            },
            "server_rss_growth_mb_per_slow_member": growth("rss_max_kb").map(|kb| {
                round(kb as f64 / 1024.0 / clients.len().max(1) as f64)
            }),
            "server_rss_growth_kb": {
                "end": growth("rss_after_kb"), "max": growth("rss_max_kb"),
                "once_read": growth("rss_after_kb").map(|_| {
                    rss_read as i64 - baseline.usage.rss_after_kb as i64
                }),
            },
        }),
        faults: [baseline.faults(&ctx), phase.faults(&ctx)].concat(),
        notes: phase.notes(),
        usage,
    })
}
