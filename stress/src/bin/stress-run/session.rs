//! One sitting: runs the scenarios in turns and keeps what the load generator reported.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    blanks::Blanks,
    machine, page,
    plan::{Scenario, Side},
    process::Bench,
    report::Report,
};

/// Between two servers, for the sockets of the last one to go.
const PAUSE: Duration = Duration::from_secs(1);

/// One run of one side.
pub struct Run {
    pub scenario: &'static str,
    /// From 0.
    pub no: u32,
    pub side: &'static str,
    /// The load generator's reports, an array, one for each step carried out.
    pub steps: Value,
    /// Why it did not come to its end.
    pub error: Option<String>,
}

impl Run {
    /// What must never happen and did, in words.
    pub fn faults(&self) -> Vec<String> {
        let steps = self.steps.as_array().into_iter().flatten();
        let counted = steps.flat_map(|step| step["faults"].as_object().into_iter().flatten());
        let counted = counted.map(|(what, n)| format!("{n} {what}"));
        counted
            .chain(self.error.clone())
            .map(|f| format!("{}, run {}, {}: {f}", self.scenario, self.no + 1, self.side))
            .collect()
    }
}

pub struct Session {
    bench: Bench,
    runs: u32,
    quick: bool,
    started: SystemTime,
    machine: Value,
    done: Vec<Run>,
}

impl Session {
    pub async fn new(bench: Bench, runs: u32, quick: bool) -> Result<Self> {
        let machine = machine::facts(&bench).await;
        Ok(Session { bench, runs, quick, started: SystemTime::now(), machine, done: Vec::new() })
    }

    /// Runs everything. A run that fails is kept as failed, and the next one follows.
    pub async fn measure(&mut self, scenarios: &[Scenario]) -> Result<()> {
        for scenario in scenarios {
            eprintln!("{}: {}", scenario.name, scenario.title);
            for no in 0..if scenario.once { 1 } else { self.runs } {
                for side in &scenario.sides {
                    let since = Instant::now();
                    let mut steps = Vec::new();
                    let error = self.run(side, &mut steps).await.err().map(|e| format!("{e:#}"));
                    let run = Run {
                        scenario: scenario.name,
                        no,
                        side: side.name,
                        steps: Value::Array(steps),
                        error,
                    };
                    eprintln!(
                        "  {} {:<10} {:>5.1} s",
                        no + 1,
                        side.name,
                        since.elapsed().as_secs_f64()
                    );
                    run.faults().iter().for_each(|fault| eprintln!("  ! {fault}"));
                    self.done.push(run);
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // So that whatever happens later, what was measured is there.
            self.write(&self.report(scenarios, false))?;
        }
        Ok(())
    }

    async fn run(&self, side: &Side, reports: &mut Vec<Value>) -> Result<()> {
        let folder = tempfile::tempdir().context("a folder for the store")?;
        // Uids and rooms stay the same over the steps: a later one may read what an earlier one
        // stored.
        let id =
            format!("{:x}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis());
        let blanks = Blanks::new(folder.path())?;
        let mut server = self.bench.start(side, &blanks).await?;
        for (i, step) in side.steps.iter().enumerate() {
            if step.restart {
                server.stop().await?;
                server = self.bench.start(side, &blanks).await?;
            }
            // Rounds of the same must not meet each other's members.
            let id = if i == 0 || step.restart { id.clone() } else { format!("{id}s{i}") };
            reports.push(self.bench.step(&server, side.name, &id, &step.args, &blanks).await?);
        }
        server.stop().await
    }

    pub fn report(&self, scenarios: &[Scenario], complete: bool) -> Report {
        Report::new(scenarios, &self.done, self.runs, complete)
    }

    /// Writes `report.json` and `report.html` into stress/out.
    pub fn write(&self, report: &Report) -> Result<(PathBuf, PathBuf)> {
        let out = self.bench.home.join("out");
        fs::create_dir_all(&out)?;
        let (json, html) = (out.join("report.json"), out.join("report.html"));
        let about = json!({
            "started": humantime::format_rfc3339_seconds(self.started).to_string(),
            "runs": self.runs, "quick": self.quick, "machine": self.machine,
        });
        let raw = self.done.iter().map(|r| {
            json!({
                "scenario": r.scenario, "run": r.no + 1, "side": r.side, "error": r.error,
                "steps": r.steps,
            })
        });
        let mut all = report.json();
        all["about"] = about.clone();
        all["raw"] = raw.collect();
        fs::write(&json, serde_json::to_string_pretty(&all)?)?;
        fs::write(&html, page::page(&about, report, &self.done).into_string())?;
        Ok((json, html))
    }
}
