//! `fanout`: broadcasting in rooms, on a schedule or as fast as it goes.

use super::hall::{Hall, Talk};
use super::{Crowd, gather_all, quiet};
use crate::client::Manner;
use crate::{Ctx, Outcome};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Args)]
pub struct Fanout {
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// Members of each room, senders included.
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// Closed loop instead of --rate: each sender keeps this many messages in
    /// flight, one being over when it has reached the room's last member.
    #[arg(long)]
    pub saturate: Option<usize>,
    /// Connections beside, in rooms of ten where nobody says a thing.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    #[command(flatten)]
    talk: Talk,
}

pub async fn run(ctx: Arc<Ctx>, a: Fanout) -> Result<Outcome> {
    let talk = &a.talk;
    let hall = Hall::open(&ctx, a.rooms, a.members, talk, a.saturate).await?;
    if a.idle > 0 {
        let crowd = Crowd {
            n: a.idle,
            role: "i",
            first_room: a.rooms,
            room_size: 10,
            how: Manner::default(),
        };
        gather_all(&ctx, crowd, |_, conn| conn.rx.spawn(|_| {})).await?;
        quiet(&ctx).await;
    }
    if talk.warmup > 0.0 {
        hall.phase(&ctx, 1, talk.warmup).await;
    }
    let phase = hall.phase(&ctx, 2, talk.duration).await;
    Ok(Outcome {
        config: json!({
            "rooms": a.rooms, "members": a.members, "senders": talk.senders,
            "bytes": hall.template.payload_bytes,
            "shape": format!("{:?}", talk.shape).to_lowercase(),
            "store": talk.store, "acknowledged": talk.acknowledged,
            "rate": if a.saturate.is_none() { json!(talk.rate) } else { Value::Null },
            "saturate": a.saturate, "idle": a.idle,
            "duration_s": talk.duration, "warmup_s": talk.warmup,
        }),
        result: phase.json(&ctx),
        faults: phase.faults(&ctx),
        notes: phase.notes(),
        usage: phase.usage.json,
    })
}
