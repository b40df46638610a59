//! `register`: users of react-wechat register, for those who connect later.

use crate::report::{Meter, round};
use crate::{Ctx, Outcome};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::sync::Arc;

#[derive(Args)]
pub struct Register {
    /// Users. With the same --run-id they are those of `connect` and `idle`.
    #[arg(long, default_value_t = 1000)]
    n: usize,
}

pub async fn run(ctx: Arc<Ctx>, a: Register) -> Result<Outcome> {
    let meter = Meter::start(&ctx);
    ctx.prepare_tokens((0..a.n).map(|i| ctx.uid("c", i)).collect()).await?;
    let usage = meter.stop();
    let n = a.n as f64;
    Ok(Outcome {
        config: json!({ "n": a.n }),
        result: json!({
            "registered": a.n, "registered_per_s": round(n / usage.wall_s),
            "server_cpu_ms_per_user": usage.cpu_per(n, 1e3), "server_rss_kb": usage.rss_kb(),
        }),
        faults: Vec::new(),
        notes: Vec::new(),
        usage: usage.json,
    })
}
