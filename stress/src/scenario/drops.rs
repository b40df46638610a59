//! `drops`: the network fails again and again while somebody sends in each room.

use super::{Crowd, Failures, gather_all};
use crate::client::{self, Conn, Manner, Tx};
use crate::follow::{Follower, Following};
use crate::message::{Envelope, Mark, Shape, Template};
use crate::relay::Relay;
use crate::report::{Lat, Meter, round};
use crate::sys::{self, Timer, now};
use crate::{Ctx, Outcome};
use anyhow::{Context, Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

#[derive(Args)]
pub struct Drops {
    /// Clients.
    #[arg(long, default_value_t = 200)]
    n: usize,
    /// Clients of each room.
    #[arg(long, default_value_t = 20)]
    room_size: usize,
    /// Messages a second in each room.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Bytes of each message's `data`, as JSON.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Seconds of all.
    #[arg(long, default_value_t = 180.0)]
    duration: f64,
    /// Seconds from one failure's beginning to the next one's.
    #[arg(long, default_value_t = 15.0)]
    every: f64,
    /// Seconds that a failure lasts.
    #[arg(long, default_value_t = 2.0)]
    outage: f64,
}

/// Pause of a client whose attempt failed.
const AGAIN: Duration = Duration::from_millis(200);
/// How long it may take until all have everything, behind the last message.
const DRAIN: f64 = 10.0;
/// What a message of the sender is acknowledged by.
const ACKNOWLEDGED: &[u8] = b"437[";

struct Clients {
    ctx: Arc<Ctx>,
    how: Manner,
    room_size: usize,
    following: Arc<Following>,
    /// When the network failed, and when it was there again, last.
    down: AtomicU64,
    up: AtomicU64,
    over: AtomicBool,
    lost: AtomicU64,
    resumes: AtomicU64,
    /// Attempts that failed while the network was there.
    failures: Mutex<Failures>,
    /// From the network's return, and from the first request for a page.
    returned: Mutex<Lat>,
    replayed: Mutex<Lat>,
}

impl Clients {
    fn network_is_up_since(&self, begin: u64) -> bool {
        let (down, up) = (self.down.load(Relaxed), self.up.load(Relaxed));
        up >= down && begin > up
    }

    /// One client: it comes back until all is over.
    async fn client(self: Arc<Self>, no: usize, mut conn: Conn) {
        let mut follower = Follower::new(&self.following, no, no / self.room_size);
        let (uid, room) = (self.ctx.uid("c", no), self.ctx.room(no / self.room_size));
        let mut first = true;
        loop {
            let begin = now();
            if follower.resume(&mut conn).await.is_ok() {
                if !std::mem::take(&mut first) {
                    self.resumes.fetch_add(1, Relaxed);
                    self.replayed.lock().add(now() - begin);
                    self.returned.lock().add(now().saturating_sub(self.up.load(Relaxed)));
                }
                follower.listen(&mut conn).await;
            }
            if self.over.load(Relaxed) {
                return;
            }
            self.lost.fetch_add(1, Relaxed);
            drop(conn);
            conn = loop {
                let begin = now();
                match client::join(&self.ctx, &uid, &room, self.how).await {
                    Ok(conn) => break conn,
                    Err(failure) if self.network_is_up_since(begin) => {
                        self.failures.lock().add(&failure);
                    }
                    Err(_) => {}
                }
                sleep(AGAIN).await;
            };
        }
    }
}

/// Sends in one room until `end`; how many messages.
async fn send(tx: Tx, room: usize, mut template: Template, rate: f64, end: u64) -> Result<u32> {
    let (timer, start) = (Timer::new()?, now());
    for seq in 0.. {
        let due = start + sys::secs(f64::from(seq) / rate);
        if due >= end {
            return Ok(seq);
        }
        timer.until(due).await?;
        let mark = Mark { room: room as u16, sender: 0, seq, phase: 0, ts: now() };
        tx.text(template.stamp(mark, seq.into())).await?;
    }
    Ok(0)
}

pub async fn run(ctx: Arc<Ctx>, a: Drops) -> Result<Outcome> {
    let rooms = a.n.div_ceil(a.room_size.max(1));
    if a.n == 0 || a.room_size == 0 || rooms > 65_535 || a.rate <= 0.0 || a.outage >= a.every {
        bail!("needs clients, somebody who speaks, and time between two failures");
    }
    let relay = Relay::start(ctx.addr).await?;
    let template =
        Template::new(a.bytes, Shape::Text, Envelope::Acknowledged { store: 0 }, ctx.opt.seed);
    let how = Manner { node: Some(relay.addr), ..Manner::default() };
    let clients = Arc::new(Clients {
        ctx: ctx.clone(),
        how,
        room_size: a.room_size,
        following: Following::new(a.n, template.clone()),
        down: AtomicU64::new(0),
        up: AtomicU64::new(0),
        over: AtomicBool::new(false),
        lost: AtomicU64::new(0),
        resumes: AtomicU64::new(0),
        failures: Mutex::default(),
        returned: Mutex::default(),
        replayed: Mutex::default(),
    });
    // The senders are in the same rooms, and their network does not fail.
    let (acknowledged, txs) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (acks, t) = (acknowledged.clone(), txs.clone());
    let crowd = Crowd { n: rooms, role: "s", first_room: 0, room_size: 1, how: Manner::default() };
    gather_all(&ctx, crowd, move |room, conn| {
        t.lock().push((room, conn.tx));
        let acks = acks.clone();
        conn.rx.spawn(move |packet| {
            acks.fetch_add(u32::from(packet.starts_with(ACKNOWLEDGED)), Relaxed);
        });
    })
    .await?;
    let c = clients.clone();
    let crowd = Crowd { n: a.n, role: "c", first_room: 0, room_size: a.room_size, how };
    gather_all(&ctx, crowd, move |no, conn| {
        tokio::spawn(c.clone().client(no, conn));
    })
    .await?;

    let meter = Meter::start(&ctx);
    let end = now() + sys::secs(a.duration);
    let sending: Vec<_> = std::mem::take(&mut *txs.lock())
        .into_iter()
        .map(|(room, tx)| (room, tokio::spawn(send(tx, room, template.clone(), a.rate, end))))
        .collect();
    let failed = fail(&a, &relay, &clients, end).await;
    let mut sent = vec![0; rooms];
    for (room, task) in sending {
        sent[room] = task.await?.with_context(|| format!("the sender of room {room}"))?;
    }
    let total: u32 = sent.iter().sum();
    let should = |no: usize| sent[no / a.room_size];
    let patience = now() + sys::secs(DRAIN);
    let is_over =
        || clients.following.delivered(should).1 == 0 && acknowledged.load(Relaxed) >= total;
    while !is_over() && now() < patience {
        sleep(Duration::from_millis(10)).await;
    }
    clients.over.store(true, Relaxed);
    let usage = meter.stop();
    let failures = clients.failures.lock();
    let load = |n: &AtomicU64| n.load(Relaxed);
    let tally = clients.following.tally();
    let mut faults = clients.following.faults(should);
    faults.extend([
        (u64::from(total.abs_diff(acknowledged.load(Relaxed))), "acknowledgements missing"),
        (failures.total(), "attempts to come back that failed"),
        (ctx.stats.closed.load(Relaxed), "senders lost their connection"),
        (
            (failed * a.n as u64).saturating_sub(load(&clients.resumes)),
            "clients that did not come back from a failure",
        ),
    ]);
    Ok(Outcome {
        config: json!({
            "n": a.n, "room_size": a.room_size, "rate": a.rate, "bytes": template.payload_bytes,
            "duration_s": a.duration, "every_s": a.every, "outage_s": a.outage,
        }),
        result: json!({
            "failures_of_the_network": failed, "connections_lost": load(&clients.lost),
            "resumes": load(&clients.resumes), "sent": total,
            "acknowledged": acknowledged.load(Relaxed),
            "expected": (0..a.n).map(|no| u64::from(should(no))).sum::<u64>(),
            "delivered": clients.following.delivered(should).0, "replayed": tally.replayed,
            "per_resume": round(tally.replayed as f64 / load(&clients.resumes).max(1) as f64),
            "replay_ms": clients.replayed.lock().ms(),
            "caught_up_since_the_network_ms": clients.returned.lock().ms(),
            "failures": failures.json(),
        }),
        faults,
        notes: Vec::new(),
        usage: usage.json,
    })
}

/// The network fails until `end`, but not so late that nobody could come back; how often.
async fn fail(a: &Drops, relay: &Relay, clients: &Clients, end: u64) -> u64 {
    let start = Instant::now();
    let mut failed = 0;
    loop {
        let due = (failed + 1) as f64 * a.every;
        if due + a.every > a.duration {
            break;
        }
        sleep_until(start + Duration::from_secs_f64(due)).await;
        clients.down.store(now(), Relaxed);
        relay.fail(Duration::from_secs_f64(a.outage)).await;
        clients.up.store(now(), Relaxed);
        failed += 1;
    }
    sleep(Duration::from_nanos(end.saturating_sub(now()))).await;
    failed
}
