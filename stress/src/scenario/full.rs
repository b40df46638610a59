//! `full`: a limit is reached, and freed.

use super::{Crowd, Failures, gather, gather_all, quiet};
use crate::client::{self, Conn, Manner};
use crate::report::{Lat, Meter};
use crate::sys::{self, now};
use crate::{Ctx, Outcome};
use anyhow::{Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[derive(Args)]
pub struct Full {
    /// Connections that the server lets in.
    #[arg(long, default_value_t = 1000)]
    n: usize,
    /// Clients that are too many.
    #[arg(long, default_value_t = 500)]
    over: usize,
    /// Members of each room.
    #[arg(long, default_value_t = 10)]
    room_size: usize,
    /// What the refusal says.
    #[arg(
        long,
        default_value = "503 Service Unavailable {\"error\":\"this server has as many connections as it may have\"}"
    )]
    reason: String,
}

/// What became of the clients that were too many.
#[derive(Default)]
struct Tried {
    let_in: HashMap<usize, Conn>,
    refused: u64,
    /// Without the reason, or not by a refusal.
    otherwise: Failures,
    lat: Lat,
}

/// The clients that are too many come, one after the other; who is let in stays.
async fn come(ctx: &Arc<Ctx>, a: &Full) -> Tried {
    let mut tried = Tried::default();
    for no in 0..a.over {
        let (uid, room) = (ctx.uid("o", no), ctx.room(a.n / a.room_size + 1 + no / a.room_size));
        let begin = now();
        match client::join(ctx, &uid, &room, Manner::default()).await {
            Ok(conn) => {
                tried.let_in.insert(no, conn);
            }
            Err(failure) if failure.error.contains(&a.reason) => tried.refused += 1,
            Err(failure) => tried.otherwise.add(&failure),
        }
        tried.lat.add(now() - begin);
    }
    tried
}

/// Says goodbye, half of them without a word, and waits for the server to see it.
async fn leave(conns: Vec<Conn>) -> u64 {
    let unanswered = Arc::new(AtomicU64::new(0));
    let mut leaving = JoinSet::new();
    for (i, mut conn) in conns.into_iter().enumerate() {
        let unanswered = unanswered.clone();
        leaving.spawn(async move {
            if i % 2 == 0 {
                return;
            }
            let goodbye = async {
                let _ = conn.tx.close().await;
                while conn.rx.next().await.is_ok() {}
            };
            if timeout(Duration::from_secs(10), goodbye).await.is_err() {
                unanswered.fetch_add(1, Relaxed);
            }
        });
    }
    leaving.join_all().await;
    unanswered.load(Relaxed)
}

/// Waits until the server has closed its ends of these connections, ten seconds at most.
async fn closed(ctx: &Ctx, ends: &[SocketAddrV4]) {
    let begin = now();
    loop {
        let peers = sys::peers(ctx.addr);
        let open = |end| peers.get(end).is_some_and(|peer| peer.open);
        if !ends.iter().any(open) || now() - begin > sys::secs(10.0) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

pub async fn run(ctx: Arc<Ctx>, a: Full) -> Result<Outcome> {
    if a.room_size == 0 || a.over > a.n / 2 {
        bail!("half of those who are there must make room for those who come again");
    }
    let uids = (0..a.over).map(|no| ctx.uid("o", no)).collect();
    ctx.prepare_tokens(uids).await?;
    let meter = Meter::start(&ctx);
    let there: Arc<Mutex<Vec<Conn>>> = Arc::default();
    let t = there.clone();
    let how = Manner::default();
    let crowd = Crowd { n: a.n, role: "c", first_room: 0, room_size: a.room_size, how };
    gather_all(&ctx, crowd, move |_, conn| t.lock().push(conn)).await?;
    let first = come(&ctx, &a).await;

    let mut there = std::mem::take(&mut *there.lock());
    let leaving = there.split_off(a.n / 2);
    let ends: Vec<SocketAddrV4> = leaving.iter().map(|conn| conn.local).collect();
    let mut unanswered = leave(leaving).await;
    closed(&ctx, &ends).await;
    let second = come(&ctx, &a).await;
    let again = second.let_in.len();
    let (refused_again, otherwise_again) = (second.refused, second.otherwise.total());

    let stayed = there.len();
    there.extend(second.let_in.into_values().chain(first.let_in.into_values()));
    unanswered += leave(there).await;
    quiet(&ctx).await;
    let lookers = Crowd { n: 1, role: "l", first_room: 0, room_size: 1, how };
    let last = gather(&ctx, lookers, |_, _| {}).await?;
    Ok(Outcome {
        config: json!({ "n": a.n, "over": a.over, "room_size": a.room_size }),
        result: json!({
            "refused_with_reason": first.refused, "refused_otherwise": first.otherwise.json(),
            "refusal_ms": first.lat.ms(), "left": a.n / 2, "stayed": stayed,
            "let_in_again": again, "refused_again": refused_again,
            "not_let_in_again": second.otherwise.json(),
        }),
        faults: vec![
            (a.over as u64 - first.refused.min(a.over as u64), "clients too many, but not refused"),
            (first.otherwise.total(), "refused without the reason"),
            (refused_again + otherwise_again, "refused, though there was room"),
            (unanswered, "goodbyes not answered"),
            (last.failures.total(), "newcomers not let in at the end"),
        ],
        notes: Vec::new(),
        usage: meter.stop().json,
    })
}
