//! The figures of a session, beside what they must reach.

use serde_json::{Value, json};

use crate::{
    figures::{Spread, Verdict, short},
    plan::Scenario,
    session::Run,
};

/// What one figure came to.
pub struct Row {
    pub scenario: &'static str,
    pub title: &'static str,
    pub figure: &'static str,
    pub must: Option<f64>,
    pub goal: Option<f64>,
    pub more: bool,
    /// One for each run that has it.
    pub values: Vec<f64>,
    pub spread: Option<Spread>,
    /// Medians of what a ratio is of.
    pub parts: Option<(f64, f64)>,
    pub verdict: Option<Verdict>,
}

pub struct Report {
    pub rows: Vec<Row>,
    /// Anything lost, doubled, disordered, damaged or failed, in any run of any side.
    pub faults: Vec<String>,
    /// What makes the figures less than they seem.
    pub notes: Vec<String>,
    pub complete: bool,
}

impl Report {
    pub fn new(scenarios: &[Scenario], done: &[Run], runs: u32, complete: bool) -> Self {
        let mut rows = Vec::new();
        for scenario in scenarios {
            let paired: Vec<Vec<(&str, Value)>> = (0..runs)
                .map(|no| {
                    done.iter()
                        .filter(|r| r.scenario == scenario.name && r.no == no)
                        .map(|r| (r.side, r.steps.clone()))
                        .collect()
                })
                .filter(|sides: &Vec<_>| !sides.is_empty())
                .collect();
            for figure in &scenario.figures {
                let values: Vec<f64> =
                    paired.iter().filter_map(|run| figure.measure.of(run)).collect();
                let parts: Vec<(f64, f64)> =
                    paired.iter().filter_map(|run| figure.measure.parts(run)).collect();
                let median = |part: fn(&(f64, f64)) -> f64| {
                    Spread::of(&parts.iter().map(part).collect::<Vec<_>>()).map(|s| s.median)
                };
                let spread = Spread::of(&values);
                rows.push(Row {
                    scenario: scenario.name,
                    title: scenario.title,
                    figure: figure.name,
                    must: figure.must,
                    goal: figure.goal,
                    more: figure.more,
                    parts: median(|p| p.0).zip(median(|p| p.1)),
                    verdict: spread.and_then(|s| figure.verdict(s.median)),
                    values,
                    spread,
                });
            }
        }
        let faults = done.iter().flat_map(Run::faults).collect();
        Report { rows, faults, notes: notes(done), complete }
    }

    /// Nothing went wrong. What was measured may still be less than it must be.
    pub fn sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|r| {
            json!({
                "scenario": r.scenario, "figure": r.figure, "must": r.must, "goal": r.goal,
                "better": if r.more { "more" } else { "less" }, "values": r.values,
                "median": r.spread.map(|s| s.median),
                "min": r.spread.map(|s| s.min), "max": r.spread.map(|s| s.max),
                "above": r.parts.map(|p| p.0), "below": r.parts.map(|p| p.1),
                "verdict": r.verdict.map(Verdict::word),
            })
        });
        json!({
            "figures": rows.collect::<Vec<_>>(), "faults": self.faults, "notes": self.notes,
            "complete": self.complete,
        })
    }

    pub fn print(&self) {
        println!(
            "\n{:<17} {:<47} {:>8}  {:<19} {:>6} {:>6}",
            "scenario", "figure", "median", "min – max", "must", "goal"
        );
        for r in &self.rows {
            let [median, spread] = r.spread.map_or_else(
                || ["none".to_owned(), String::new()],
                |s| [short(s.median), format!("{} – {}", short(s.min), short(s.max))],
            );
            let verdict = r.verdict.map_or("", Verdict::word);
            println!(
                "{:<17} {:<47} {median:>8}  {spread:<19} {:>6} {:>6}  {verdict}",
                r.scenario,
                r.figure,
                bound(r.must),
                bound(r.goal)
            );
        }
        self.notes.iter().for_each(|note| println!("note: {note}"));
        if !self.complete {
            println!("INTERRUPTED: not everything was measured");
        }
        if !self.sound() {
            println!("\nFAULTS, so none of this counts:");
            self.faults.iter().for_each(|fault| println!("  ! {fault}"));
        }
    }
}

pub fn bound(bound: Option<f64>) -> String {
    bound.map(|b| b.to_string()).unwrap_or_default()
}

/// How much others used of the machine, and what the load generator remarked, each remark once.
fn notes(done: &[Run]) -> Vec<String> {
    let steps = || {
        done.iter()
            .flat_map(|r| r.steps.as_array().into_iter().flatten().map(move |step| (r, step)))
    };
    let others = steps().filter_map(|(_, step)| {
        let usage = &step["usage"];
        Some(
            usage["machine"]["others_s"].as_f64()?
                / usage["wall_s"].as_f64().filter(|s| *s > 0.0)?,
        )
    });
    let mut notes = Vec::new();
    if let Some(others) = Spread::of(&others.collect::<Vec<_>>()) {
        let say = format!(
            "other processes used {} cores (median of all runs; at most {})",
            short(others.median),
            short(others.max)
        );
        notes.push(if others.median > 0.1 {
            format!("{say}: the machine was not quiet")
        } else {
            say
        });
    }
    let mut remarks: Vec<(String, u32)> = Vec::new();
    for (run, step) in steps() {
        let faults = step["faults"].as_object();
        let is_fault = |note: &str| {
            faults.is_some_and(|f| f.iter().any(|(what, n)| note == format!("{n} {what}")))
        };
        for note in step["notes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|n| !is_fault(n))
        {
            let remark = format!("{}, {}: {note}", run.scenario, run.side);
            match remarks.iter_mut().find(|(r, _)| *r == remark) {
                Some((_, times)) => *times += 1,
                None => remarks.push((remark, 1)),
            }
        }
    }
    notes.extend(remarks.into_iter().map(|(remark, times)| {
        if times > 1 { format!("{remark} ({times} times)") } else { remark }
    }));
    notes
}
