//! `churn`: clients that come, say one thing and go, in several ways.

use super::{Crowd, Joining, gather_all, quiet};
use crate::client::{self, Conn, Manner, REMOTE_JOIN};
use crate::message::{self, Envelope, MSG, Mark, Shape, Template};
use crate::report::{Meter, round};
use crate::sys::{self, Rng, now};
use crate::{Ctx, Outcome};
use anyhow::Result;
use clap::Args;
use parking_lot::Mutex;
use serde_json::{Map, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[derive(Args)]
pub struct Churn {
    /// Seconds of coming and going.
    #[arg(long, default_value_t = 20.0)]
    duration: f64,
    /// Clients at a time.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// Rooms that they join at random.
    #[arg(long, default_value_t = 20)]
    rooms: usize,
    /// Share of clients that leave without a word: half of them by closing the
    /// TCP connection (FIN), half by resetting it (RST).
    #[arg(long, default_value_t = 0.5)]
    abrupt: f64,
    /// Seconds between the message and the going.
    #[arg(long, default_value_t = 0.0)]
    linger: f64,
    /// Bytes of the message's `data`, as JSON.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Storage type of the message: 0 insert, 1 update, 2 ignore.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    store: u8,
    /// Seconds to let the server settle before looking at its memory.
    #[arg(long, default_value_t = 5.0)]
    settle: f64,
}

/// How a client goes. The numbers travel in its message's mark.
const WAYS: [&str; 4] = ["leave", "close", "fin", "rst"];

#[derive(Default)]
struct Tally {
    joining: Mutex<Joining>,
    sent: [AtomicU64; 4],
    heard: [AtomicU64; 4],
    send_failed: AtomicU64,
    not_closed: AtomicU64,
}

/// Says one thing and goes; true if a clean goodbye was not answered in time.
async fn say_and_go(
    ctx: &Ctx,
    mut conn: Conn,
    packet: &mut [u8],
    linger: f64,
    way: usize,
) -> Result<bool> {
    conn.tx.text(packet).await?;
    if linger > 0.0 {
        sleep(Duration::from_secs_f64(linger)).await;
    }
    match WAYS[way] {
        "leave" => conn.tx.send(r#"42["leave"]"#).await?,
        "close" => conn.tx.close().await?,
        "fin" => return Ok(false), // dropping it closes it
        _ => {
            if let Some(socket) = &conn.socket {
                sys::reset(socket)?;
            }
            return Ok(false);
        }
    }
    // The server is to end the connection now.
    let end = async { while conn.rx.next().await.is_ok() {} };
    Ok(timeout(ctx.timeout, end).await.is_err())
}

pub async fn run(ctx: Arc<Ctx>, a: Churn) -> Result<Outcome> {
    sys::raise_nofile((a.concurrency * 4 + a.rooms) as u64 + 1024)?;
    let tally = Arc::new(Tally::default());
    // One client stays in each room, to hear what is said.
    let t = tally.clone();
    let crowd =
        Crowd { n: a.rooms, role: "o", first_room: 0, room_size: 1, how: Manner::default() };
    let joins_heard = Arc::new(AtomicU64::new(0));
    let j = joins_heard.clone();
    gather_all(&ctx, crowd, move |_, conn| {
        let (t, j) = (t.clone(), j.clone());
        conn.rx.spawn(move |p| {
            if p.starts_with(MSG) {
                if let Some((mark, _)) = message::find(p) {
                    t.heard[mark.sender as usize % 4].fetch_add(1, Relaxed);
                }
            } else if p.starts_with(REMOTE_JOIN) {
                j.fetch_add(1, Relaxed);
            }
        });
    })
    .await?;
    quiet(&ctx).await;

    let meter = Meter::start(&ctx);
    let end = now() + sys::secs(a.duration);
    let next = Arc::new(AtomicUsize::new(0));
    let envelope = Envelope::Plain { store: a.store };
    let template = Template::new(a.bytes, Shape::Text, envelope, ctx.opt.seed);
    let mut workers = JoinSet::new();
    for w in 0..a.concurrency {
        let (ctx, tally, next) = (ctx.clone(), tally.clone(), next.clone());
        let mut template = template.clone();
        let mut rng = Rng(ctx.opt.seed.wrapping_mul(1_000_003) + w as u64);
        let (rooms, abrupt, linger) = (a.rooms as u64, a.abrupt, a.linger);
        workers.spawn(async move {
            while now() < end {
                let i = next.fetch_add(1, Relaxed);
                let room = rng.below(rooms);
                let way = 2 * (rng.unit() < abrupt) as usize + rng.below(2) as usize;
                let uid = ctx.uid("c", i);
                let outcome = client::join(
                    &ctx,
                    &uid,
                    &ctx.room(room as usize),
                    Manner { reset: WAYS[way] == "rst", ..Manner::default() },
                )
                .await;
                tally.joining.lock().add(&outcome);
                let Ok(conn) = outcome else {
                    sleep(Duration::from_millis(10)).await; // do not spin on a dead server
                    continue;
                };
                let sender = way as u16;
                let mark = Mark { room: room as u16, sender, seq: i as u32, phase: 0, ts: now() };
                tally.sent[way].fetch_add(1, Relaxed);
                let packet = template.stamp(mark, i as u64);
                match say_and_go(&ctx, conn, packet, linger, way).await {
                    Ok(true) => tally.not_closed.fetch_add(1, Relaxed),
                    Err(_) => tally.send_failed.fetch_add(1, Relaxed),
                    Ok(false) => 0,
                };
            }
        });
    }
    workers.join_all().await;
    let rss = meter.rss();
    let usage = meter.stop();

    sleep(Duration::from_secs_f64(a.settle)).await;
    quiet(&ctx).await;
    // From here on the observers also hear of those who come to look.
    let joins_heard = joins_heard.load(Relaxed);
    // Whoever joins a room is told of each member: only the observer should be left.
    let ghosts = Arc::new(AtomicU64::new(0));
    let g = ghosts.clone();
    let crowd =
        Crowd { n: a.rooms, role: "p", first_room: 0, room_size: 1, how: Manner::default() };
    let settled = Meter::start(&ctx);
    gather_all(&ctx, crowd, move |_, conn| {
        let g = g.clone();
        conn.rx.spawn(move |p| {
            if p.starts_with(REMOTE_JOIN) {
                g.fetch_add(1, Relaxed);
            }
        });
    })
    .await?;
    quiet(&ctx).await;
    let settled = settled.stop();

    let joining = std::mem::take(&mut *tally.joining.lock());
    let load = |n: &AtomicU64| n.load(Relaxed);
    let by_way = |n: &[AtomicU64; 4]| {
        Map::from_iter(WAYS.iter().zip(n).map(|(w, n)| (w.to_string(), json!(load(n)))))
    };
    let ghosts = load(&ghosts) as i64 - a.rooms as i64;
    let mut result = joining.json(usage.wall_s);
    result["sent"] = by_way(&tally.sent).into();
    result["heard_by_observers"] = by_way(&tally.heard).into();
    result["joins_announced"] = json!(joins_heard);
    result["not_closed_by_server"] = json!(load(&tally.not_closed));
    result["send_failed"] = json!(load(&tally.send_failed));
    result["members_left_behind"] = json!(ghosts);
    result["server_cpu_ms_per_client"] = usage.cpu_per(joining.ok as f64, 1e3);
    if usage.cpu_s.is_some() {
        let drift = settled.rss_before_kb as f64 - usage.rss_before_kb as f64;
        result["server_rss_before_kb"] = json!(usage.rss_before_kb);
        result["server_rss_end_kb"] = json!(usage.rss_after_kb);
        result["server_rss_settled_kb"] = json!(settled.rss_before_kb);
        result["server_rss_drift_kb"] = json!(drift);
        result["server_rss_drift_bytes_per_client"] =
            json!(round(drift * 1024.0 / (joining.ok as f64).max(1.0)));
        // Still rising in the second half? That is a leak rather than a warm-up.
        let at = |share: f64| {
            let t = usage.wall_s * share;
            rss.iter().min_by(|a, b| (a.0 - t).abs().total_cmp(&(b.0 - t).abs())).map(|r| r.1)
        };
        result["server_rss_kb_at_quarters"] = json!([0.0, 0.25, 0.5, 0.75, 1.0].map(at));
    }
    // Who leaves in so many words was heard first; who hangs up at once need not have been.
    let unheard = load(&tally.sent[0]).saturating_sub(load(&tally.heard[0]));
    let faults = vec![
        (joining.failures.total(), "clients failed to join"),
        (load(&tally.send_failed), "clients failed to send"),
        (load(&tally.not_closed), "clean goodbyes were not answered"),
        (unheard, "messages before a leave were not heard"),
        (joining.ok.abs_diff(joins_heard), "joins not announced, or too often"),
        (load(&ctx.stats.closed), "observers lost their connection"),
        (ghosts.unsigned_abs(), "members too many or too few in the rooms afterwards"),
    ];
    Ok(Outcome {
        config: json!({
            "duration_s": a.duration, "concurrency": a.concurrency, "rooms": a.rooms,
            "abrupt": a.abrupt, "linger_s": a.linger, "bytes": template.payload_bytes,
            "store": a.store, "settle_s": a.settle,
        }),
        result,
        usage: usage.json,
        faults,
        notes: Vec::new(),
    })
}
