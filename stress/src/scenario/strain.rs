//! `strain`: members who never read in rooms with large messages, until the server has no memory to
//! spare; newcomers all the time, and members who do read.
//!
//! Who never reads leaves after a while, or has been dropped by then, and comes again: the pressure
//! does not end with the first of them.

use super::{Crowd, Failures, gather_all, quiet};
use crate::client::{self, Conn, Heartbeat, Manner};
use crate::report::{Lat, round};
use crate::scenario::hall::{Hall, Talk};
use crate::sys::{self, Rng, now};
use crate::{Ctx, Outcome};
use anyhow::{Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[derive(Args)]
pub struct Strain {
    /// Rooms, with one sender, `--members` less one who read, and `--slow` who don't, in each.
    #[arg(long, default_value_t = 100)]
    rooms: usize,
    /// Members of each room who read, the sender included.
    #[arg(long, default_value_t = 2)]
    members: usize,
    /// Members of each room who never read.
    #[arg(long, default_value_t = 2)]
    slow: usize,
    /// Newcomers a second. Each is in a room of its own for two seconds.
    #[arg(long, default_value_t = 20.0)]
    newcomers: f64,
    /// Seconds that a member who never reads stays, at least; and at most, twice as long. By
    /// loopback the kernel takes some 2.5 MB for each before the server has to keep anything.
    #[arg(long, default_value_t = 15.0)]
    stay: f64,
    /// Bytes of the receive buffer of those who never read.
    #[arg(long, default_value_t = 4096)]
    rcvbuf: u32,
    /// Seconds until a newcomer has to be let in again, once the slow members have gone.
    #[arg(long, default_value_t = 30.0)]
    relief: f64,
    /// What the refusal says.
    #[arg(
        long,
        default_value = "503 Service Unavailable {\"error\":\"this server has no memory to spare\"}"
    )]
    reason: String,
    #[command(flatten)]
    talk: Talk,
}

/// How long a newcomer stays.
const VISIT: Duration = Duration::from_secs(2);
/// How often such a member looks whether all is over, and tries again when it was refused.
const LOOK: Duration = Duration::from_millis(250);

/// What became of newcomers.
#[derive(Default)]
struct Newcomers {
    let_in: AtomicU64,
    refused: AtomicU64,
    /// When the first was refused, and the last, since the start.
    first: AtomicU64,
    last: AtomicU64,
    /// Without the reason, or not by a refusal.
    otherwise: Mutex<Failures>,
    /// How long it took to be let in, and to be refused.
    let_in_after: Mutex<Lat>,
    refused_after: Mutex<Lat>,
    over: AtomicBool,
}

impl Newcomers {
    /// One of them; whether it was let in.
    async fn one(&self, ctx: &Arc<Ctx>, no: usize, room: usize, reason: &str) -> bool {
        let begin = now();
        match client::join(ctx, &ctx.uid("n", no), &ctx.room(room), Manner::default()).await {
            Ok(conn) => {
                self.let_in.fetch_add(1, Relaxed);
                self.let_in_after.lock().add(now() - begin);
                tokio::spawn(visit(conn));
                return true;
            }
            Err(failure) if failure.error.contains(reason) => {
                self.refused.fetch_add(1, Relaxed);
                self.refused_after.lock().add(now() - begin);
                let _ = self.first.compare_exchange(0, begin, Relaxed, Relaxed);
                self.last.store(begin, Relaxed);
            }
            Err(failure) => self.otherwise.lock().add(&failure),
        }
        false
    }

    /// Comes again and again; how many there were.
    async fn come(self: Arc<Self>, ctx: Arc<Ctx>, rate: f64, room: usize, reason: String) -> usize {
        for no in 0.. {
            if self.over.load(Relaxed) {
                return no;
            }
            let (all, ctx, reason) = (self.clone(), ctx.clone(), reason.clone());
            tokio::spawn(async move { all.one(&ctx, no, room + no, &reason).await });
            sleep(Duration::from_secs_f64(1.0 / rate)).await;
        }
        0
    }
}

/// Those who never read.
struct SlowMembers {
    ctx: Arc<Ctx>,
    how: Manner,
    per_room: usize,
    stay: f64,
    came: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
}

impl SlowMembers {
    /// One of them, until all is over.
    async fn one(self: Arc<Self>, no: usize, conn: Conn) {
        let (uid, room) = (self.ctx.uid("z", no), self.ctx.room(no / self.per_room));
        let mut rng = Rng(no as u64);
        let mut conn = Some(conn);
        loop {
            let end = now() + sys::secs(self.stay * (1.0 + rng.unit()));
            while now() < end && !self.over.load(Relaxed) {
                sleep(LOOK).await;
            }
            conn.take(); // by a reset
            while conn.is_none() {
                if self.over.load(Relaxed) {
                    return;
                }
                match client::join(&self.ctx, &uid, &room, self.how).await {
                    Ok(again) => conn = Some(again),
                    Err(_) => {
                        self.refused.fetch_add(1, Relaxed);
                        sleep(LOOK).await;
                    }
                }
            }
            self.came.fetch_add(1, Relaxed);
        }
    }
}

async fn visit(conn: Conn) {
    sleep(VISIT).await;
    let _ = conn.tx.close().await;
}

pub async fn run(ctx: Arc<Ctx>, a: Strain) -> Result<Outcome> {
    if a.slow == 0 || a.newcomers <= 0.0 {
        bail!("needs members who don't read, and newcomers");
    }
    let hall = Hall::open(&ctx, a.rooms, a.members, &a.talk, None).await?;
    let how = Manner {
        rcvbuf: Some(a.rcvbuf),
        heartbeat: Heartbeat::Unasked,
        abrupt: true,
        ..Manner::default()
    };
    let crowd = Crowd { n: a.rooms * a.slow, role: "z", first_room: 0, room_size: a.slow, how };
    let slow = Arc::new(SlowMembers {
        ctx: ctx.clone(),
        how,
        per_room: a.slow,
        stay: a.stay,
        came: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let staying: Arc<Mutex<JoinSet<()>>> = Arc::default();
    let (all, tasks) = (slow.clone(), staying.clone());
    gather_all(&ctx, crowd, move |no, conn| {
        tasks.lock().spawn(all.clone().one(no, conn));
    })
    .await?;
    quiet(&ctx).await;

    let (start, newcomers) = (now(), Arc::new(Newcomers::default()));
    let coming = newcomers.clone().come(ctx.clone(), a.newcomers, a.rooms, a.reason.clone());
    let coming = tokio::spawn(coming);
    let phase = hall.phase(&ctx, 1, a.talk.duration).await;
    newcomers.over.store(true, Relaxed);
    let came = coming.await?;
    sleep(Duration::from_secs(1)).await; // those who are on their way
    let (let_in, refused) = (newcomers.let_in.load(Relaxed), newcomers.refused.load(Relaxed));
    slow.over.store(true, Relaxed);
    let staying = std::mem::take(&mut *staying.lock());
    staying.join_all().await;
    let relief = relief(&ctx, &a, &newcomers, came).await;

    let after_s = |t: &AtomicU64| match t.load(Relaxed) {
        0 => None,
        t => Some(round(t.saturating_sub(start) as f64 / 1e9)),
    };
    let otherwise = newcomers.otherwise.lock();
    let mut faults = phase.faults(&ctx);
    faults.extend([
        (otherwise.total(), "newcomers refused without the reason"),
        (u64::from(relief.is_none()), "nobody was let in again"),
    ]);
    Ok(Outcome {
        config: json!({
            "rooms": a.rooms, "members": a.members, "slow": a.slow, "stay_s": a.stay, "newcomers": a.newcomers,
            "bytes": hall.template.payload_bytes, "rate": a.talk.rate, "store": a.talk.store,
            "duration_s": a.talk.duration,
        }),
        result: json!({
            "newcomers": {
                "came": came, "let_in": let_in, "refused_with_reason": refused,
                "first_refused_after_s": after_s(&newcomers.first),
                "last_refused_after_s": after_s(&newcomers.last),
            },
            "members_who_never_read": {
                "came_again": slow.came.load(Relaxed),
                "refused_or_failed": slow.refused.load(Relaxed),
            },
            "let_in_ms": newcomers.let_in_after.lock().ms(),
            "refused_ms": newcomers.refused_after.lock().ms(),
            "refused_otherwise": otherwise.json(),
            "let_in_again_after_s": relief,
            "members_who_read": phase.json(&ctx),
        }),
        faults,
        notes: phase.notes(),
        usage: phase.usage.json,
    })
}

/// Seconds until a newcomer is let in, now that those who never read have gone.
async fn relief(ctx: &Arc<Ctx>, a: &Strain, newcomers: &Newcomers, came: usize) -> Option<f64> {
    let begin = now();
    for no in came.. {
        if newcomers.one(ctx, no, a.rooms + no, &a.reason).await {
            return Some(round((now() - begin) as f64 / 1e9));
        }
        if now() - begin > sys::secs(a.relief) {
            break;
        }
        sleep(Duration::from_millis(250)).await;
    }
    None
}
