//! The command `hooks`: webhooks that were put aside.
use super::{arguments::HooksCommand, exit};
use crate::{
    app,
    config::Config,
    console,
    domain::outbox::{ParkedBatch, Parking, timestamp},
    hooks::webhooks::MAIN,
};

/// Batches that are read at once.
const PAGE: usize = 50;

/// Lists them, or has them sent again. A server may run beside it.
pub(super) fn run(config: &Config, command: HooksCommand) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let parking = app::parking(config).await?;
        match command {
            HooksCommand::List { endpoint, bodies } => {
                list(&*parking, endpoint.as_deref().unwrap_or(MAIN), bodies).await
            }
            HooksCommand::Replay { endpoint, ids } => {
                replay(&*parking, endpoint.as_deref().unwrap_or(MAIN), &ids).await
            }
        }
    })
}

async fn list(parking: &dyn Parking, endpoint: &str, bodies: bool) -> anyhow::Result<u8> {
    let mut after = None;
    loop {
        let page = parking.parked(endpoint, after.as_deref(), PAGE).await?;
        for ParkedBatch { id, room, parked_ms, attempts, why, body } in page.batches {
            let (at, room) = (timestamp(parked_ms), room.shown());
            console::print_line(format_args!("{id}\t{at}\t{attempts} attempts\t{why}\t{room}"))?;
            if bodies {
                console::print_line(String::from_utf8_lossy(&body))?;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(0);
        }
    }
}

async fn replay(parking: &dyn Parking, endpoint: &str, ids: &[String]) -> anyhow::Result<u8> {
    let mut all = Vec::new();
    let ids = if ids.is_empty() {
        let mut after = None;
        loop {
            let page = parking.parked(endpoint, after.as_deref(), PAGE).await?;
            all.extend(page.batches.iter().map(|batch| batch.id.to_string()));
            after = page.next;
            if after.is_none() {
                break &all[..];
            }
        }
    } else {
        ids
    };
    let mut replayed = 0;
    for some in ids.chunks(PAGE) {
        replayed += parking.replay(endpoint, some).await?;
    }
    console::print_line(format_args!("{replayed} of {} are sent again", ids.len()))?;
    Ok(if replayed == ids.len() as u64 { 0 } else { exit::FAILED })
}
