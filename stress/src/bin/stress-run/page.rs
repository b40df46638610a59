//! The report as one page: no script, nothing from elsewhere, light and dark.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::{
    figures::{Verdict, short},
    report::{Report, Row, bound},
    session::Run,
};

const STYLE: &str = include_str!("page.css");

pub fn page(about: &Value, report: &Report, done: &[Run]) -> Markup {
    let rows: Vec<&Row> = report.rows.iter().collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "always-online beside its peers" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "always-online beside its peers" }
                p.lead { (lead(about, rows.len())) }
                @if about["quick"] == true {
                    p.banner.warn { "A quick trial: runs too short to measure anything." }
                }
                @if !report.complete {
                    p.banner.warn { "Not everything was measured." }
                }
                @if report.sound() {
                    p.banner.good { "Nothing lost, doubled, out of order or damaged in any run." }
                } @else {
                    div.banner.bad {
                        strong { "Faults, so none of this counts:" }
                        ul { @for fault in &report.faults { li { (fault) } } }
                    }
                }
                h2 { "How far from the bar" }
                p { "Each median as a share of what it must be; left of the line is better. The ring is the goal." }
                (overview(&rows))
                h2 { "Figures" }
                p { "Every dot is a run, the bar their median; the solid line is what must be reached, the dashed one the goal." }
                (table(&rows))
                h2 { "Notes" }
                ul { @for note in &report.notes { li { (note) } } }
                (machine(about))
                (raw(done))
            }
        }
    }
}

fn lead(about: &Value, figures: usize) -> String {
    let text = |v: &Value| v.as_str().unwrap_or("?").to_owned();
    let machine = &about["machine"];
    format!(
        "{figures} figures, {} runs of each, in turns; started {}; commit {}; {} cores, {}.",
        about["runs"],
        text(&about["started"]),
        text(&machine["commit"]),
        machine["cores"],
        text(&machine["cpu"])
    )
}

fn class(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Goal) => "goal",
        Some(Verdict::Must) => "must",
        Some(Verdict::Missed) => "missed",
        Some(Verdict::Towards) | None => "plain",
    }
}

/// A share on a logarithmic axis from 1/100 to 10.
fn place(share: f64) -> f64 {
    (share.clamp(0.01, 10.0).log10() + 2.0) / 3.0
}

fn overview(rows: &[&Row]) -> Markup {
    const LEFT: f64 = 400.0;
    const WIDTH: f64 = 440.0;
    const LINE: f64 = 22.0;
    let shown: Vec<(&Row, f64, f64)> = (rows.iter())
        .filter_map(|r| Some((*r, r.must.filter(|m| *m > 0.0)?, r.spread?.median)))
        .collect();
    let height = shown.len() as f64 * LINE + 24.0;
    let x = |share: f64| LEFT + WIDTH * place(share);
    html! {
        svg viewBox=(format!("0 0 {} {height}", LEFT + WIDTH + 70.0)) role="img" aria-label="Medians as a share of what must be" {
            @for (i, (row, must, median)) in shown.iter().enumerate() {
                @let y = i as f64 * LINE + 11.0;
                @let share = |value: f64| if row.more { must / value } else { value / must };
                @let label = x(share(*median)).max(row.goal.map_or(0.0, |goal| x(share(goal)) + 5.0)) + 6.0;
                text x=(LEFT - 8.0) y=(y + 4.0) text-anchor="end" { (row.scenario) ": " (row.figure) }
                rect class=(class(row.verdict)) x=(LEFT) y=(y - 6.0) width=(x(share(*median)) - LEFT) height="12" rx="2" {}
                @if let Some(goal) = row.goal {
                    circle.ring cx=(x(share(goal))) cy=(y) r="5" {}
                }
                text.axis x=(label) y=(y + 4.0) { (short(*median)) }
            }
            @for (share, name) in [(0.01, "1 %"), (0.1, "10 %"), (1.0, "must"), (10.0, "10 ×")] {
                line class=(if share == 1.0 { "bar" } else { "grid" }) x1=(x(share)) x2=(x(share)) y1="0" y2=(height - 18.0) {}
                text.axis x=(x(share)) y=(height - 4.0) text-anchor="middle" { (name) }
            }
        }
    }
}

/// One figure's runs, median and bars, from 0.
fn dots(row: &Row) -> Markup {
    const WIDTH: f64 = 240.0;
    let bars = row.must.into_iter().chain(row.goal);
    let top = bars.chain(row.values.iter().copied()).fold(0.0, f64::max) * 1.08;
    let x = |value: f64| 4.0 + (WIDTH - 8.0) * if top > 0.0 { value.max(0.0) / top } else { 0.0 };
    html! {
        svg.dots viewBox=(format!("0 0 {WIDTH} 26")) role="img" aria-label="Runs" {
            line.grid x1=(x(0.0)) x2=(WIDTH - 4.0) y1="13" y2="13" {}
            @if let Some(must) = row.must { line.bar x1=(x(must)) x2=(x(must)) y1="2" y2="24" {} }
            @if let Some(goal) = row.goal { line.aim x1=(x(goal)) x2=(x(goal)) y1="2" y2="24" {} }
            @if let Some(spread) = row.spread {
                rect class=(class(row.verdict)) x=(x(spread.median) - 1.5) y="5" width="3" height="16" {}
            }
            @for value in &row.values { circle class=(class(row.verdict)) cx=(x(*value)) cy="13" r="3.5" {} }
        }
    }
}

fn table(rows: &[&Row]) -> Markup {
    let sign = |r: &Row, b: Option<f64>| {
        if b.is_some() {
            format!("{} {}", if r.more { "≥" } else { "≤" }, bound(b))
        } else {
            String::new()
        }
    };
    html! {
        div.wide {
            table {
                thead {
                    tr { th { "Figure" } th.number { "Median" } th.number { "Min – max" } th.number { "Must" } th.number { "Goal" } th {} th { "Runs" } th.number { "Of" } }
                }
                tbody {
                    @for (i, r) in rows.iter().enumerate() {
                        @if i == 0 || rows[i - 1].scenario != r.scenario {
                            tr.first { td colspan="8" { strong { (r.scenario) } " " small { (r.title) } } }
                        }
                        tr {
                            td { (r.figure) }
                            td.number { @if let Some(s) = r.spread { strong { (short(s.median)) } } @else { "not measured" } }
                            td.number { @if let Some(s) = r.spread { (short(s.min)) " – " (short(s.max)) } }
                            td.number { (sign(r, r.must)) }
                            td.number { (sign(r, r.goal)) }
                            td { @if let Some(v) = r.verdict { span class=(format!("tag {}", class(r.verdict))) { (v.word()) } } }
                            td { (dots(r)) }
                            td.number { @if let Some((above, below)) = r.parts { (short(above)) " ÷ " (short(below)) } }
                        }
                    }
                }
            }
        }
    }
}

fn machine(about: &Value) -> Markup {
    let facts = about["machine"].as_object();
    html! {
        h2 { "Machine and versions" }
        table.facts {
            @for (name, value) in facts.into_iter().flatten() {
                tr { th { (name.replace('_', " ")) } td { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } }
            }
        }
    }
}

/// What the load generator reported, run by run.
fn raw(done: &[Run]) -> Markup {
    html! {
        h2 { "Every run" }
        p { "What the load generator reported; report.json has all of it." }
        @for run in done {
            details {
                summary { (run.scenario) ", run " (run.no + 1) ", " (run.side) @if !run.faults().is_empty() { strong.bad { " faulty" } } }
                @for step in run.steps.as_array().into_iter().flatten() {
                    pre { (serde_json::to_string_pretty(&step["result"]).unwrap_or_default()) }
                }
            }
        }
    }
}
