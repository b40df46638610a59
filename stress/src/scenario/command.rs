//! `command`: clients of chat-service that send a command, wait for its answer, and send the next.

use super::{Crowd, gather_all, quiet};
use crate::client::{Manner, Tx};
use crate::report::{Lat, Meter, round};
use crate::sys::now;
use crate::{Ctx, Outcome};
use anyhow::{Context, Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Command {
    /// The command and its arguments, a JSON array. ROOM stands for the client's room, UID for its
    /// user, and COUNT for a number that grows.
    command: String,
    /// Another one, which is sent by turns with it.
    #[arg(long)]
    then: Option<String>,
    /// Commands that the first client of each room sends before, as arrays; NAMES stands for a
    /// list of 10,000 names.
    #[arg(long)]
    first: Vec<String>,
    /// Clients.
    #[arg(long, default_value_t = 20)]
    n: usize,
    /// Clients of each room.
    #[arg(long, default_value_t = 10)]
    room_size: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Seconds of the same before, not measured.
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
}

/// Names of a long list.
const NAMES: usize = 10_000;

impl Command {
    /// A command as the client `i` sends it.
    fn filled(&self, ctx: &Ctx, command: &str, i: usize) -> String {
        let room = ctx.room(i / self.room_size.max(1));
        command.replace("ROOM", &room).replace("UID", &ctx.uid("c", i))
    }
}

/// One client, and what it waits for.
struct Client {
    tx: Mutex<Option<Tx>>,
    answered: Notify,
    refused: AtomicU64,
}

/// How an answer begins.
const ANSWER: &[u8] = b"43/chat-service,7[";
const GOOD: &[u8] = b"43/chat-service,7[null,";

pub async fn run(ctx: Arc<Ctx>, a: Command) -> Result<Outcome> {
    serde_json::from_str::<Vec<serde_json::Value>>(&a.command).context("no JSON array")?;
    let clients: Arc<Vec<Client>> = Arc::new(
        (0..a.n)
            .map(|_| Client {
                tx: Mutex::default(),
                answered: Notify::new(),
                refused: AtomicU64::new(0),
            })
            .collect(),
    );
    let crowd =
        Crowd { n: a.n, role: "c", first_room: 0, room_size: a.room_size, how: Manner::default() };
    let all = clients.clone();
    gather_all(&ctx, crowd, move |i, conn| {
        *all[i].tx.lock() = Some(conn.tx);
        let all = all.clone();
        conn.rx.spawn(move |packet| {
            if packet.starts_with(ANSWER) {
                if !packet.starts_with(GOOD) {
                    all[i].refused.fetch_add(1, Relaxed);
                }
                all[i].answered.notify_one();
            }
        });
    })
    .await?;
    quiet(&ctx).await;
    for first in &a.first {
        let names: Vec<String> = (0..NAMES).map(|i| format!("name{i}")).collect();
        let first = first.replace("NAMES", &serde_json::to_string(&names)?);
        for (i, client) in clients.iter().enumerate().step_by(a.room_size.max(1)) {
            let tx = client.tx.lock().clone().context("a client never joined")?;
            tx.send(format!("42/chat-service,7{}", a.filled(&ctx, &first, i))).await?;
            timeout(PATIENCE, client.answered.notified()).await.context("no answer")?;
        }
    }
    if a.warmup > 0.0 {
        ask_all(&ctx, &clients, &a, a.warmup).await?;
    }
    let meter = Meter::start(&ctx);
    let (answers, late) = ask_all(&ctx, &clients, &a, a.duration).await?;
    sleep(Duration::from_millis(20)).await;
    let usage = meter.stop();
    let refused: u64 = clients.iter().map(|client| client.refused.load(Relaxed)).sum();
    let count = answers.count() as f64;
    Ok(Outcome {
        config: json!({
            "command": a.command, "then": a.then, "first": a.first, "n": a.n, "room_size": a.room_size, "duration_s": a.duration, "warmup_s": a.warmup,
        }),
        result: json!({
            "answers": answers.count(), "refused": refused, "unanswered": late,
            "answers_per_s": round(count / usage.wall_s), "ms_to_answer": answers.ms(),
            "server_cpu_ms_per_thousand_commands": usage.cpu_per(count / 1e3, 1e3),
        }),
        faults: vec![
            (late, "commands were not answered"),
            (refused, "commands were refused"),
            (ctx.stats.closed.load(Relaxed), "connections lost"),
        ],
        notes: Vec::new(),
        usage: usage.json,
    })
}

/// All clients ask, each again when it is answered. How long answers took, and how many never came.
async fn ask_all(
    ctx: &Arc<Ctx>,
    clients: &Arc<Vec<Client>>,
    a: &Command,
    seconds: f64,
) -> Result<(Lat, u64)> {
    let end = now() + crate::sys::secs(seconds);
    let mut asking = JoinSet::new();
    for i in 0..clients.len() {
        let clients = clients.clone();
        let commands: Vec<String> = std::iter::once(&a.command)
            .chain(&a.then)
            .map(|command| format!("42/chat-service,7{}", a.filled(ctx, command, i)))
            .collect();
        asking.spawn(async move {
            let client = &clients[i];
            let tx = client.tx.lock().clone().context("a client never joined")?;
            let (mut answers, mut late) = (Lat::default(), 0);
            for command in commands.iter().cycle() {
                let asked = now();
                if asked >= end {
                    break;
                }
                // No two are the same, in any phase.
                tx.send(command.replace("COUNT", &asked.to_string())).await?;
                match timeout(PATIENCE, client.answered.notified()).await {
                    Ok(()) => answers.add(now() - asked),
                    Err(_) => late += 1,
                }
            }
            Ok::<_, anyhow::Error>((answers, late))
        });
    }
    let (mut all, mut late) = (Lat::default(), 0);
    for outcome in asking.join_all().await {
        let (answers, unanswered) = outcome?;
        all.join(&answers);
        late += unanswered;
    }
    if all.count() == 0 {
        bail!("nothing was answered");
    }
    Ok((all, late))
}
