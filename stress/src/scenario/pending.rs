//! `pending`: messages are stored while the endpoint of webhooks is down, and told once it is up.

use super::{Crowd, gather_all, quiet};
use crate::client::{Manner, Tx};
use crate::message::{Envelope, Mark, Shape, Template};
use crate::report::{Meter, Usage, round};
use crate::sys::now;
use crate::webhooks::Webhooks;
use crate::{Ctx, Outcome};
use anyhow::{Context, Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[derive(Args)]
pub struct Pending {
    /// Messages stored, each of which is an event.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u32,
    /// Rooms, each with one member, who sends.
    #[arg(long, default_value_t = 100)]
    rooms: usize,
    /// Bytes of each message's `data`, as JSON.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages of each member that are in flight.
    #[arg(long, default_value_t = 8)]
    window: usize,
    /// Seconds that the server may take to notice that the endpoint is up, and later make no
    /// progress.
    #[arg(long, default_value_t = 330.0)]
    patience: f64,
}

/// A member, and how many messages it may send.
type Member = (Tx, Arc<Semaphore>);

const STUCK: Duration = Duration::from_secs(20);

/// Sends one member's messages; each has its acknowledgement when it returns.
async fn send(member: Member, mut template: Template, room: u16, messages: u32) -> Result<()> {
    let (tx, window) = member;
    let whole = window.available_permits();
    let stuck = "messages are not acknowledged";
    for seq in 0..messages {
        timeout(STUCK, window.acquire()).await.context(stuck)??.forget();
        let mark = Mark { room, sender: 0, seq, phase: 0, ts: now() };
        tx.text(template.stamp(mark, seq.into())).await?;
    }
    let all = u32::try_from(whole)?;
    timeout(STUCK, window.acquire_many(all)).await.context(stuck)??.forget();
    Ok(())
}

/// One member in each room.
async fn members(ctx: &Arc<Ctx>, a: &Pending, acknowledged: &'static [u8]) -> Result<Vec<Member>> {
    let members: Arc<Mutex<Vec<Option<Member>>>> = Arc::new(Mutex::new(vec![None; a.rooms]));
    let all = members.clone();
    let (window, how) = (a.window, Manner::default());
    let crowd = Crowd { n: a.rooms, role: "p", first_room: 0, room_size: 1, how };
    gather_all(ctx, crowd, move |i, conn| {
        let permits = Arc::new(Semaphore::new(window));
        all.lock()[i] = Some((conn.tx, permits.clone()));
        conn.rx.spawn(move |packet| {
            if packet.starts_with(acknowledged) {
                permits.add_permits(1);
            }
        });
    })
    .await?;
    quiet(ctx).await;
    let members = std::mem::take(&mut *members.lock());
    members.into_iter().collect::<Option<_>>().context("a member never joined")
}

pub async fn run(ctx: Arc<Ctx>, a: Pending) -> Result<Outcome> {
    if ctx.opt.webhook.is_none() {
        bail!("--webhook says where the endpoint is to be");
    }
    let each = a.messages / u32::try_from(a.rooms.clamp(1, 65_535))?;
    if a.window == 0 || each == 0 || each as usize * a.rooms != a.messages as usize {
        bail!("needs a window, and as many messages in each room");
    }
    let envelope = Envelope::Acknowledged { store: 0 };
    let template = Template::new(a.bytes, Shape::Text, envelope, ctx.opt.seed);
    let acknowledged = envelope.acknowledged_by().unwrap_or_default();
    let all = members(&ctx, &a, acknowledged).await?;

    let meter = Meter::start(&ctx);
    let mut senders = JoinSet::new();
    for (room, member) in all.into_iter().enumerate() {
        senders.spawn(send(member, template.clone(), room as u16, each));
    }
    senders.join_all().await.into_iter().collect::<Result<()>>()?;
    let filling = meter.stop();
    // What was allocated for the filling may go.
    sleep(Duration::from_secs(3)).await;

    let held = Meter::start(&ctx);
    let up = now();
    let webhooks = Webhooks::start(&ctx, &template).await?.context("no endpoint")?;
    let (messages, patience) = (a.messages.into(), Duration::from_secs_f64(a.patience));
    webhooks.complete(1, patience).await;
    let waited = held.stop();
    let meter = Meter::start(&ctx);
    webhooks.complete(messages, patience).await;
    let draining = meter.stop();

    let (first, last) = webhooks.span().unwrap_or((up, up));
    let seconds = (last - first) as f64 / 1e9;
    let most = [&filling, &waited, &draining].map(|usage| usage.rss_max_kb).into_iter().max();
    let mb = |kb: u64| round(kb as f64 / 1000.0);
    let per_message = |usage: &Usage| usage.cpu_per(messages as f64, 1e6);
    Ok(Outcome {
        config: json!({
            "messages": a.messages, "rooms": a.rooms, "bytes": template.payload_bytes,
            "window": a.window,
        }),
        result: json!({
            "filled_messages_per_s": round(messages as f64 / filling.wall_s),
            "fill_server_cpu_us_per_message": per_message(&filling),
            "waited_for_the_server_s": round((first - up) as f64 / 1e9),
            "drained_s": round(seconds),
            "drained_messages_per_s": round(messages as f64 / seconds.max(1e-9)),
            "drain_server_cpu_us_per_message": per_message(&draining),
            "server_rss_mb": {
                "before": mb(filling.rss_before_kb), "filling": mb(filling.rss_max_kb),
                "pending": mb(waited.rss_before_kb), "draining": mb(draining.rss_max_kb),
                "after": mb(draining.rss_after_kb),
            },
            "server_rss_max_mb": most.map(mb),
            "webhooks": webhooks.json(),
        }),
        faults: webhooks.faults(messages),
        notes: Vec::new(),
        usage: draining.json,
    })
}
