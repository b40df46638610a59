//! `storm`: all clients lose their connections at once, and come back at once.

use super::{Crowd, Failures, gather_all};
use crate::api::{self, Access, Publisher};
use crate::client::{self, Conn, Manner};
use crate::follow::{Follower, Following};
use crate::probe::{self, Prober};
use crate::report::{Lat, Meter, round};
use crate::sys::{self, now};
use crate::{Ctx, Outcome};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// How all connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cut {
    /// The clients reset them.
    Reset,
    /// The server is killed (`--kill`); somebody has to start it again.
    Kill,
}

#[derive(Args)]
pub struct Storm {
    /// Clients.
    #[arg(long, default_value_t = 1000)]
    n: usize,
    /// Members of each room.
    #[arg(long, default_value_t = 20)]
    room_size: usize,
    /// Messages in each room before.
    #[arg(long, default_value_t = 10)]
    history: usize,
    /// Messages that come into each room while nobody is there; with `--cut kill`: right before.
    #[arg(long, default_value_t = 5)]
    meanwhile: usize,
    /// Messages a second in all rooms together, while all come back.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Bytes of each message's `data`, as JSON.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    #[arg(long, value_enum, default_value_t = Cut::Reset)]
    cut: Cut,
    /// The server's process, for `--cut kill`.
    #[arg(long)]
    kill: Option<i32>,
    /// Seconds between the cut and the return, at least.
    #[arg(long, default_value_t = 1.0)]
    away: f64,
    /// Seconds that the return may take.
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
    #[command(flatten)]
    access: Access,
}

/// Pause of a client whose attempt failed. Real ones wait longer.
const AGAIN: Duration = Duration::from_millis(100);

/// Where all clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tide {
    In,
    Out,
    /// They come back, since then.
    Back(u64),
}

/// What the clients of a run share.
struct Sea {
    ctx: Arc<Ctx>,
    room_size: usize,
    tide: watch::Sender<Tide>,
    following: Arc<Following>,
    /// Clients that had caught up before the cut, that have lost their connection, and that are
    /// back and have caught up.
    settled: AtomicUsize,
    gone: AtomicUsize,
    resumed: AtomicUsize,
    /// Connections that ended before the cut, or once their client was back.
    astray: AtomicU64,
    /// Attempts to come back that failed.
    failures: Mutex<Failures>,
    joined: Mutex<Lat>,
    caught_up: Mutex<Lat>,
}

impl Sea {
    /// One client, from its first connection on.
    async fn client(self: Arc<Self>, no: usize, mut conn: Conn) {
        let mut follower = Follower::new(&self.following, no, no / self.room_size);
        let mut tide = self.tide.subscribe();
        if follower.resume(&mut conn).await.is_ok() {
            self.settled.fetch_add(1, Relaxed);
        }
        tokio::select! {
            () = follower.listen(&mut conn) => {}
            () = until(&mut tide, |tide| tide != Tide::In) => {}
        }
        drop(conn); // by a reset
        self.gone.fetch_add(1, Relaxed);
        self.astray.fetch_add(u64::from(*tide.borrow() == Tide::In), Relaxed);
        until(&mut tide, |tide| matches!(tide, Tide::Back(_))).await;
        let Tide::Back(since) = *tide.borrow() else { return };
        let mut conn = self.come_back(no, &mut follower, since).await;
        follower.listen(&mut conn).await;
        self.astray.fetch_add(1, Relaxed);
    }

    /// Tries until it is back and has caught up.
    async fn come_back(&self, no: usize, follower: &mut Follower, since: u64) -> Conn {
        let (uid, room) = (self.ctx.uid("c", no), self.ctx.room(no / self.room_size));
        let how = Manner { abrupt: true, ..Manner::default() };
        loop {
            let failure = match client::join(&self.ctx, &uid, &room, how).await {
                Ok(mut conn) => {
                    self.joined.lock().add(now() - since);
                    match follower.resume(&mut conn).await {
                        Ok(()) => {
                            self.caught_up.lock().add(now() - since);
                            self.resumed.fetch_add(1, Relaxed);
                            return conn;
                        }
                        Err(error) => client::Fail { stage: "sync", error: format!("{error:#}") },
                    }
                }
                Err(failure) => failure,
            };
            self.failures.lock().add(&failure);
            sleep(AGAIN).await;
        }
    }
}

/// Waits for a tide.
async fn until(tide: &mut watch::Receiver<Tide>, is: impl Fn(Tide) -> bool) {
    let _ = tide.wait_for(|tide| is(*tide)).await;
}

/// Waits until `count` is `n`, or `seconds` are over.
async fn reach(count: &AtomicUsize, n: usize, seconds: f64) -> bool {
    let end = now() + sys::secs(seconds);
    while count.load(Relaxed) < n && now() < end {
        sleep(Duration::from_millis(5)).await;
    }
    count.load(Relaxed) >= n
}

/// Publishes at a rate, one room after the other, until told to stop: what was refused.
async fn go_on(
    mut publisher: Publisher,
    rate: f64,
    stop: Arc<AtomicBool>,
) -> (Publisher, Vec<String>) {
    let (mut errors, rooms) = (Vec::new(), publisher.sent.len());
    for turn in 0.. {
        if stop.load(Relaxed) || rate <= 0.0 {
            break;
        }
        if let Err(error) = publisher.publish([turn % rooms]).await {
            errors.push(format!("{error:#}"));
            let _ = publisher.reopen().await;
        }
        sleep(Duration::from_secs_f64(1.0 / rate)).await;
    }
    (publisher, errors)
}

pub async fn run(ctx: Arc<Ctx>, a: Storm) -> Result<Outcome> {
    let rooms = a.n.div_ceil(a.room_size.max(1));
    if a.n == 0 || a.room_size == 0 || rooms > 65_535 {
        bail!("needs clients, and 65535 rooms of them at most");
    }
    let mut publisher = Publisher::open(&ctx, &a.access, rooms, a.bytes).await?;
    for _ in 0..a.history {
        publisher.publish(0..rooms).await?;
    }
    let sea = Arc::new(Sea {
        ctx: ctx.clone(),
        room_size: a.room_size,
        tide: watch::Sender::new(Tide::In),
        following: Following::new(a.n, api::template(&ctx, a.bytes)),
        settled: AtomicUsize::new(0),
        gone: AtomicUsize::new(0),
        resumed: AtomicUsize::new(0),
        astray: AtomicU64::new(0),
        failures: Mutex::default(),
        joined: Mutex::default(),
        caught_up: Mutex::default(),
    });
    let how = Manner { abrupt: true, ..Manner::default() };
    let crowd = Crowd { n: a.n, role: "c", first_room: 0, room_size: a.room_size, how };
    let s = sea.clone();
    gather_all(&ctx, crowd, move |no, conn| {
        tokio::spawn(s.clone().client(no, conn));
    })
    .await?;
    if !reach(&sea.settled, a.n, a.patience).await {
        bail!("not everyone could read the history");
    }
    let meter = Meter::start(&ctx);
    let (prober, down) = cut(&ctx, &a, &sea, &mut publisher).await?;
    come_back(&a, sea, publisher, prober, down, meter).await
}

/// All connections end; the result is ready for all to come back. With `--cut reset` somebody
/// knocks from before the cut, else from when the server is there again.
async fn cut(
    ctx: &Arc<Ctx>,
    a: &Storm,
    sea: &Sea,
    publisher: &mut Publisher,
) -> Result<(Prober, u64)> {
    let rooms = publisher.sent.len();
    if a.cut == Cut::Kill {
        let Some(pid) = a.kill else { bail!("--cut kill: which process? (--kill)") };
        for _ in 0..a.meanwhile {
            publisher.publish(0..rooms).await?;
        }
        // Their connections are to end by the server's death.
        sys::kill(pid)?;
        if !reach(&sea.gone, a.n, a.patience).await {
            bail!("connections of a dead server did not end");
        }
        sea.tide.send_replace(Tide::Out);
        sea.astray.store(0, Relaxed); // they ended before the tide was told
        let down = probe::listening(ctx.addr, Duration::from_secs_f64(a.patience)).await?;
        publisher.reopen().await?;
        return Ok((Prober::start(ctx.addr), down));
    }
    let prober = Prober::start(ctx.addr);
    sleep(Duration::from_millis(500)).await;
    let begin = now();
    sea.tide.send_replace(Tide::Out);
    if !reach(&sea.gone, a.n, a.patience).await {
        bail!("not everyone went");
    }
    for _ in 0..a.meanwhile {
        publisher.publish(0..rooms).await?;
    }
    let away = sys::secs(a.away).saturating_sub(now() - begin);
    sleep(Duration::from_nanos(away)).await;
    Ok((prober, now() - begin))
}

/// All come back, and what came of it.
async fn come_back(
    a: &Storm,
    sea: Arc<Sea>,
    publisher: Publisher,
    prober: Prober,
    down: u64,
    meter: Meter,
) -> Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    let going_on = tokio::spawn(go_on(publisher, a.rate, stop.clone()));
    let begin = now();
    sea.tide.send_replace(Tide::Back(begin));
    let all = reach(&sea.resumed, a.n, a.patience).await;
    let took = now() - begin;
    stop.store(true, Relaxed);
    let (publisher, refused) = going_on.await?;
    let sent = |no: usize| publisher.sent[no / a.room_size];
    let end = now() + sys::secs(10.0);
    while sea.following.delivered(sent).1 > 0 && now() < end {
        sleep(Duration::from_millis(10)).await;
    }
    let (probes, usage) = (prober.stop(), meter.stop());
    let failures = sea.failures.lock();
    let tally = sea.following.tally();
    let missing = a.n - sea.resumed.load(Relaxed);
    let mut faults = sea.following.faults(sent);
    faults.extend([
        (missing as u64, "clients that did not come back"),
        (failures.total(), "attempts to come back that failed"),
        (sea.astray.load(Relaxed), "connections lost before the cut or after the return"),
        (refused.len() as u64, "messages refused by the API"),
        (probes.failed, "newcomers not served"),
    ]);
    Ok(Outcome {
        config: json!({
            "n": a.n, "room_size": a.room_size, "rooms": publisher.sent.len(),
            "history": a.history, "meanwhile": a.meanwhile, "rate": a.rate, "bytes": a.bytes,
            "cut": format!("{:?}", a.cut).to_lowercase(),
        }),
        result: json!({
            "resumed": sea.resumed.load(Relaxed), "all_resumed": all,
            "all_resumed_after_s": round(took as f64 / 1e9),
            "down_s": round(down as f64 / 1e9),
            "joined_ms": sea.joined.lock().ms(), "resumed_ms": sea.caught_up.lock().ms(),
            "attempts_failed": failures.total(), "failures": failures.json(),
            "messages_in_rooms": publisher.sent.iter().map(|&n| u64::from(n)).sum::<u64>(),
            "delivered": sea.following.delivered(sent).0, "replayed": tally.replayed,
            "newcomers": probes.json(),
            "first_refused": refused.first().map_or(Value::Null, |error| json!(error)),
        }),
        faults,
        notes: Vec::new(),
        usage: usage.json,
    })
}
