//! Measures the server beside its peers and says what came of it: every scenario of `plan.rs` in
//! turns A B A B …, as a table, as JSON and as a page. Started by `stress/run`, which builds
//! everything first.

#![allow(clippy::disallowed_methods)] // it measures real time

mod blanks;
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

use plan::Server;
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
    /// The server that is measured; by default the one beside this program.
    #[arg(long, value_name = "PATH")]
    ours: Option<PathBuf>,
    /// An older build of the server: leave the peers out, and measure the two beside each other.
    #[arg(long, value_name = "PATH")]
    versus: Option<PathBuf>,
    /// Centrifugo, for the scenarios beside it; also by the variable STRESS_CENTRIFUGO.
    #[arg(long, value_name = "PATH")]
    centrifugo: Option<PathBuf>,
    /// The folder `stress/` of the repository.
    #[arg(long, default_value = "stress")]
    home: PathBuf,
}

/// Whether a scenario is among those that were asked for. One of several pairs of a scenario (see
/// `plan/versus.rs`) is called by the scenario's name, too.
fn chosen(only: &[String], name: &str) -> bool {
    let scenario = name.split(':').next().unwrap_or_default();
    let is = |o: &String| match o.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => o == name || o == scenario,
    };
    only.is_empty() || only.iter().any(is)
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let mut scenarios = plan::all(cli.quick);
    if cli.versus.is_some() {
        scenarios = plan::versus(scenarios);
    }
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
    let bench = Bench {
        ours: cli.ours.unwrap_or_else(|| binaries.join("always-online")),
        older: cli.versus,
        centrifugo: cli.centrifugo.or(std::env::var_os("STRESS_CENTRIFUGO").map(PathBuf::from)),
        binaries,
        home: cli.home,
        generator_core: if cores > 2 { 2 } else { 1 },
    };
    if bench.centrifugo.is_none() {
        scenarios.retain(|scenario| {
            let needed = scenario.sides.iter().any(|side| side.server == Server::Centrifugo);
            if needed {
                let name = scenario.name;
                eprintln!("{name}: skipped, it needs --centrifugo PATH or STRESS_CENTRIFUGO");
            }
            !needed
        });
    }
    if std::env::var_os("STRESS_REDIS").is_none() {
        scenarios.retain(|scenario| {
            let needed = scenario.sides.iter().any(plan::Side::needs_redis);
            if needed {
                eprintln!(
                    "{}: skipped, it needs STRESS_REDIS, the URL of an empty one",
                    scenario.name
                );
            }
            !needed
        });
    }
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
