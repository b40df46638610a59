//! Measures the server beside its peers and says what came of it: every scenario of `plan.rs` in
//! turns A B A B …, as a table, as JSON and as a page. Started by `stress/run`, which builds
//! everything first.

#![allow(clippy::disallowed_methods)] // it measures real time

mod figures;
mod machine;
mod page;
mod plan;
mod process;
mod report;
mod session;

use std::{path::PathBuf, process::ExitCode, thread::available_parallelism};

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

use process::Bench;
use session::Session;

/// Measures the server beside its peers: all scenarios, in turns.
#[derive(Parser)]
#[command(name = "stress/run")]
struct Cli {
    /// Runs of each scenario.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// One short run of each: shows that everything works, measures nothing.
    #[arg(long)]
    quick: bool,
    /// Only this scenario; may be repeated. A prefix ending in `*` chooses several.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the scenarios' names and end.
    #[arg(long)]
    list: bool,
    /// The folder `stress/` of the repository.
    #[arg(long, default_value = "stress")]
    home: PathBuf,
}

fn chosen(only: &[String], name: &str) -> bool {
    only.is_empty()
        || only
            .iter()
            .any(|o| o.strip_suffix('*').map_or(o == name, |prefix| name.starts_with(prefix)))
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let mut scenarios = plan::all(cli.quick);
    if let Some(unknown) =
        cli.only.iter().find(|o| !scenarios.iter().any(|s| chosen(std::slice::from_ref(o), s.name)))
    {
        bail!("--only {unknown}: no such scenario; --list names them");
    }
    scenarios.retain(|s| chosen(&cli.only, s.name));
    if cli.list {
        scenarios.iter().for_each(|s| println!("{:<18} {}", s.name, s.title));
        return Ok(ExitCode::SUCCESS);
    }
    let binaries = std::env::current_exe()?.parent().context("no folder of programs")?.to_owned();
    let cores = available_parallelism()?.get();
    if cores < 2 {
        bail!("it takes a core for the server and another one for the load generator");
    }
    // With a third core the generator does not share one with a server on two.
    let bench = Bench { binaries, home: cli.home, generator_core: if cores > 2 { 2 } else { 1 } };
    let runs = if cli.quick { 1 } else { cli.runs };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(bench, scenarios, runs, cli.quick))
}

async fn measure(
    bench: Bench,
    scenarios: Vec<plan::Scenario>,
    runs: u32,
    quick: bool,
) -> Result<ExitCode> {
    let mut session = Session::new(bench, runs, quick).await?;
    let mut interrupts =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [interrupt, terminate, hangup] = &mut interrupts;
    let (interrupt, terminate, hangup) = match (interrupt, terminate, hangup) {
        (Ok(i), Ok(t), Ok(h)) => (i, t, h),
        _ => bail!("cannot listen for signals"),
    };
    // To drop the measuring is to kill what it has started; what was measured before is reported
    // all the same.
    let complete = select! {
        outcome = session.measure(&scenarios) => outcome.map(|()| true)?,
        _ = interrupt.recv() => false,
        _ = terminate.recv() => false,
        _ = hangup.recv() => false,
    };
    let report = session.report(&scenarios, complete);
    report.print();
    let (json, html) = session.write(&report)?;
    println!("\n{}\n{}", json.display(), html.display());
    let sound = complete && report.sound();
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
