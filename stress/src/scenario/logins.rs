//! `logins`: pairs of users of react-wechat talk while others log in, more than the server takes at
//! once.

use super::hall::{Hall, Talk};
use crate::report::{Lat, round};
use crate::sys::{self, now};
use crate::wechat::{Accounts, Login};
use crate::{Ctx, Outcome};
use anyhow::{Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[derive(Args)]
pub struct Logins {
    /// Pairs of users who talk.
    #[arg(long, default_value_t = 50)]
    pairs: usize,
    /// Connections that log in, each again and again.
    #[arg(long, default_value_t = 200)]
    flood: usize,
    /// Seconds until one that was refused tries again, as the refusal says.
    #[arg(long, default_value_t = 1.0)]
    pause: f64,
    /// Seconds to measure without them, before.
    #[arg(long, default_value_t = 5.0)]
    baseline: f64,
    #[command(flatten)]
    talk: Talk,
}

/// Users who log in. A log-in costs the same whosever it is.
const USERS: usize = 8;
/// Until as many wait as can.
const SWELL: Duration = Duration::from_secs(2);

/// What came of logging in.
#[derive(Default)]
struct Tally {
    done: Lat,
    refused: Lat,
    failed: u64,
    error: Option<String>,
}

impl Tally {
    fn add(&mut self, outcome: Result<(Login, u64)>) {
        match outcome {
            Ok((Login::Token(_), took)) => self.done.add(took),
            Ok((Login::Busy, took)) => self.refused.add(took),
            Err(error) => {
                self.failed += 1;
                self.error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn json(&self, seconds: f64) -> Value {
        json!({
            "done": self.done.count(), "per_s": round(self.done.count() as f64 / seconds),
            "refused": self.refused.count(), "failed": self.failed, "first_error": self.error,
            "ms_to_done": self.done.ms(), "ms_to_refused": self.refused.ms(),
        })
    }
}

/// Logs in on one connection, for ever. One that fails is opened again.
async fn flood(ctx: Arc<Ctx>, phone: String, pause: Duration, tally: Arc<Mutex<Tally>>) {
    let mut accounts = None;
    loop {
        let outcome = log_in(&ctx, &mut accounts, &phone).await;
        if outcome.is_err() {
            accounts = None;
        }
        let is_done = matches!(outcome, Ok((Login::Token(_), _)));
        tally.lock().add(outcome);
        if !is_done {
            sleep(pause).await;
        }
    }
}

/// What became of one, and how long it took in nanoseconds.
async fn log_in(ctx: &Ctx, accounts: &mut Option<Accounts>, phone: &str) -> Result<(Login, u64)> {
    let accounts = match accounts {
        Some(accounts) => accounts,
        None => accounts.insert(Accounts::open(ctx.addr).await?),
    };
    let asked = now();
    Ok((accounts.log_in(phone).await?, now() - asked))
}

pub async fn run(ctx: Arc<Ctx>, a: Logins) -> Result<Outcome> {
    if a.pause <= 0.0 {
        bail!("--pause: who is refused has to wait");
    }
    let pids = sys::family(&ctx.opt.server_pid);
    let before_kb: u64 = pids.into_iter().map(sys::rss_kb).sum();
    let phones: Vec<String> = (0..USERS).map(|i| ctx.uid("f", i)).collect();
    ctx.prepare_tokens(phones.clone()).await?;
    let hall = Hall::open(&ctx, a.pairs, 2, &a.talk, None).await?;
    if a.talk.warmup > 0.0 {
        hall.phase(&ctx, 1, a.talk.warmup).await;
    }
    let without = hall.phase(&ctx, 2, a.baseline).await;

    let tally: Arc<Mutex<Tally>> = Arc::default();
    let mut flooding = JoinSet::new();
    let pause = Duration::from_secs_f64(a.pause);
    for phone in phones.iter().cycle().take(a.flood) {
        flooding.spawn(flood(ctx.clone(), phone.clone(), pause, tally.clone()));
    }
    sleep(SWELL).await;
    std::mem::take(&mut *tally.lock());
    let with = hall.phase(&ctx, 3, a.talk.duration).await;
    let tally = std::mem::take(&mut *tally.lock());
    flooding.shutdown().await;

    let done = tally.done.count();
    // What talking costs is taken off. Refusals are in it.
    let both = with.usage.cpu_s.zip(without.usage.cpu_s).filter(|_| done > 0);
    let per_login = both.map(|(with_s, without_s)| {
        let talking = without_s / without.usage.wall_s * with.usage.wall_s;
        round((with_s - talking) / done as f64 * 1e3)
    });
    // Each hash takes 19 MiB for as long as it is worked on.
    let rss_max_kb = with.usage.rss_max_kb.max(without.usage.rss_max_kb);
    let growth = with.usage.cpu_s.map(|_| (rss_max_kb as f64 - before_kb as f64) / 1024.0);
    let mut notes = with.notes();
    if tally.refused.count() == 0 {
        notes.push("nobody was refused: the flood was too small".into());
    }
    let faults = vec![
        (u64::from(done == 0), "nobody could log in"),
        (tally.failed, "log-ins failed, and were not refused"),
    ];
    Ok(Outcome {
        config: json!({
            "pairs": a.pairs, "rate": a.talk.rate, "store": a.talk.store,
            "bytes": hall.template.payload_bytes, "flood": a.flood, "pause_s": a.pause,
            "baseline_s": a.baseline, "duration_s": a.talk.duration,
        }),
        result: json!({
            "without": without.json(&ctx), "with": with.json(&ctx),
            "logins": tally.json(with.usage.wall_s), "server_cpu_ms_per_login": per_login,
            "server_rss_growth_mb": growth.map(round),
        }),
        faults: [without.faults(&ctx), with.faults(&ctx), faults].concat(),
        notes,
        usage: with.usage.json,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_log_ins_is_told_apart() {
        let mut tally = Tally::default();
        tally.add(Ok((Login::Token("t".to_owned()), 2_000_000)));
        tally.add(Ok((Login::Token("t".to_owned()), 2_000_000)));
        tally.add(Ok((Login::Busy, 1_000_000)));
        tally.add(Err(anyhow::anyhow!("closed by the server")));
        let json = tally.json(4.0);
        assert_eq!((&json["done"], &json["refused"]), (&json!(2), &json!(1)));
        assert_eq!((&json["failed"], &json["per_s"]), (&json!(1), &json!(0.5)));
        assert_eq!(json["first_error"], "closed by the server");
        assert_eq!(json["ms_to_refused"]["n"], 1);
    }
}
