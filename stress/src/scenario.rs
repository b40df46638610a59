pub mod churn;
pub mod command;
pub mod connect;
pub mod drops;
pub mod fanout;
pub mod full;
pub mod hall;
pub mod logins;
pub mod pending;
pub mod publish;
pub mod register;
pub mod slow;
pub mod storm;
pub mod strain;
pub mod sync;
pub mod waiting;

use crate::client::{self, Conn, Fail, Manner};
use crate::report::{Lat, round};
use crate::{Ctx, sys};
use anyhow::{Result, bail};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Failures by stage and error.
#[derive(Default)]
pub struct Failures(BTreeMap<String, u64>);

impl Failures {
    pub fn add(&mut self, f: &Fail) {
        *self.0.entry(format!("{}: {}", f.stage, f.error)).or_default() += 1;
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn json(&self) -> Value {
        // The commonest few: an error text may differ from failure to failure.
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        Value::Object(Map::from_iter(all.into_iter().take(8).map(|(k, &n)| (k.clone(), json!(n)))))
    }
}

/// What it took to connect.
#[derive(Default)]
pub struct Joining {
    pub ok: u64,
    pub failures: Failures,
    upgraded: Lat,
    opened: Lat,
    joined: Lat,
}

impl Joining {
    pub fn add(&mut self, outcome: &Result<Conn, Fail>) {
        match outcome {
            Ok(conn) => {
                self.ok += 1;
                self.upgraded.add(conn.times.upgraded);
                self.opened.add(conn.times.opened);
                self.joined.add(conn.times.joined);
            }
            Err(f) => self.failures.add(f),
        }
    }

    pub fn json(&self, wall_s: f64) -> Value {
        json!({
            "joined": self.ok, "failed": self.failures.total(), "failures": self.failures.json(),
            "connects_per_s": round(self.ok as f64 / wall_s),
            "ms_to_upgraded": self.upgraded.ms(), "ms_to_opened": self.opened.ms(),
            "ms_to_joined": self.joined.ms(),
        })
    }
}

/// Who joins which room, and what is done with the connection.
pub struct Crowd {
    pub n: usize,
    /// Part of the uids, to keep crowds of one run apart.
    pub role: &'static str,
    pub first_room: usize,
    /// Members per room; member i joins room first_room + i / room_size.
    pub room_size: usize,
    pub how: Manner,
}

/// Connects a whole crowd at the rate and concurrency of the options. Member
/// i's connection is handed to `on_join(i, conn)` the moment it has joined.
pub async fn gather(
    ctx: &Arc<Ctx>,
    crowd: Crowd,
    on_join: impl Fn(usize, Conn) + Send + Sync + 'static,
) -> Result<Joining> {
    let Crowd { n, role, first_room, room_size, how } = crowd;
    sys::raise_nofile(n as u64 + 1024)?;
    let uid = move |ctx: &Ctx, i| ctx.uid(role, i);
    ctx.prepare_tokens((0..n).map(|i| uid(ctx, i)).collect()).await?;

    let joining = Arc::new(Mutex::new(Joining::default()));
    let next = Arc::new(AtomicUsize::new(0));
    let on_join = Arc::new(on_join);
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..ctx.opt.conn_concurrency.clamp(1, n.max(1)) {
        let (ctx, joining, next, on_join) =
            (ctx.clone(), joining.clone(), next.clone(), on_join.clone());
        workers.spawn(async move {
            loop {
                let i = next.fetch_add(1, Relaxed);
                if i >= n {
                    break;
                }
                if ctx.opt.conn_rate > 0.0 {
                    sleep_until(start + Duration::from_secs_f64(i as f64 / ctx.opt.conn_rate))
                        .await;
                }
                let room = first_room + i / room_size.max(1);
                let how = Manner { node: how.node.or(Some(ctx.node(i, room))), ..how };
                let outcome = client::join(&ctx, &uid(&ctx, i), &ctx.room(room), how).await;
                joining.lock().add(&outcome);
                if let Ok(conn) = outcome {
                    on_join(i, conn);
                }
            }
        });
    }
    workers.join_all().await;
    let joining = std::mem::take(&mut *joining.lock());
    Ok(joining)
}

/// Like `gather`, for scenarios that make no sense unless everyone is there.
pub async fn gather_all(
    ctx: &Arc<Ctx>,
    crowd: Crowd,
    on_join: impl Fn(usize, Conn) + Send + Sync + 'static,
) -> Result<()> {
    let joining = gather(ctx, crowd, on_join).await?;
    if joining.failures.total() > 0 {
        bail!("not everyone could join: {}", joining.failures.json());
    }
    Ok(())
}

/// Waits until no packet has come for a while (joins are announced to all
/// members of a room), a minute at most.
pub async fn quiet(ctx: &Ctx) {
    let mut last = (ctx.stats.packets.load(Relaxed), 0);
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        let packets = ctx.stats.packets.load(Relaxed);
        last = (packets, if packets == last.0 { last.1 + 1 } else { 0 });
        if last.1 == 4 {
            break;
        }
    }
}
