//! What the runs come to: one value for each run, their median and spread, and whether that is
//! enough.

use serde_json::Value;

/// The load generator's reports of one run, by side; a side's is the array of its steps' reports.
pub type Reports = [(&'static str, Value)];

/// How one run's value is read from its reports. Pointers are JSON pointers into a side's array of
/// reports, or, where all steps count, into each report.
pub enum Measure {
    Ratio { above: (&'static str, &'static str), below: (&'static str, &'static str) },
    Value { side: &'static str, pointer: &'static str },
    Sum { side: &'static str, pointer: &'static str },
    Last { side: &'static str, pointer: &'static str },
}

impl Measure {
    /// The same figure of two sides.
    pub fn ratio(above: &'static str, below: &'static str, pointer: &'static str) -> Self {
        Measure::Ratio { above: (above, pointer), below: (below, pointer) }
    }

    pub fn value(side: &'static str, pointer: &'static str) -> Self {
        Measure::Value { side, pointer }
    }

    /// None if the run has no such figure.
    pub fn of(&self, reports: &Reports) -> Option<f64> {
        let all =
            |side: &str| reports.iter().find(|(name, _)| *name == side).map(|(_, steps)| steps);
        let at = |(side, pointer): (&str, &str)| all(side)?.pointer(pointer)?.as_f64();
        match *self {
            Measure::Ratio { above, below } => {
                Some(at(above)? / at(below).filter(|below| *below > 0.0)?)
            }
            Measure::Value { side, pointer } => at((side, pointer)),
            Measure::Sum { side, pointer } => {
                all(side)?.as_array()?.iter().map(|step| step.pointer(pointer)?.as_f64()).sum()
            }
            Measure::Last { side, pointer } => {
                all(side)?.as_array()?.last()?.pointer(pointer)?.as_f64()
            }
        }
    }

    /// The sides and pointers that it reads, where they are of one report.
    pub fn ends(&self) -> Vec<(&'static str, &'static str)> {
        match *self {
            Measure::Ratio { above, below } => vec![above, below],
            Measure::Value { side, pointer } => vec![(side, pointer)],
            Measure::Sum { .. } | Measure::Last { .. } => Vec::new(),
        }
    }

    /// What a ratio is of: its upper and lower figure in this run.
    pub fn parts(&self, reports: &Reports) -> Option<(f64, f64)> {
        let Measure::Ratio { above, below } = *self else { return None };
        let part = |(side, pointer)| Measure::Value { side, pointer }.of(reports);
        Some((part(above)?, part(below)?))
    }
}

/// A figure of a scenario and what is expected of its median.
pub struct Figure {
    pub name: &'static str,
    pub measure: Measure,
    pub must: Option<f64>,
    pub goal: Option<f64>,
    /// Larger is better.
    pub more: bool,
}

impl Figure {
    pub fn new(name: &'static str, measure: Measure) -> Self {
        Figure { name, measure, must: None, goal: None, more: false }
    }

    pub fn at_most(self, must: f64) -> Self {
        Figure { must: Some(must), ..self }
    }

    pub fn at_least(self, must: f64) -> Self {
        Figure { must: Some(must), more: true, ..self }
    }

    /// Larger is better, and nothing has to be reached.
    pub fn more(self) -> Self {
        Figure { more: true, ..self }
    }

    pub fn goal(self, goal: f64) -> Self {
        Figure { goal: Some(goal), ..self }
    }

    /// None if there is nothing to reach.
    pub fn verdict(&self, median: f64) -> Option<Verdict> {
        let reached = |bound: f64| if self.more { median >= bound } else { median <= bound };
        match (self.must, self.goal) {
            (None, None) => None,
            (_, Some(goal)) if reached(goal) => Some(Verdict::Goal),
            (Some(must), _) if reached(must) => Some(Verdict::Must),
            (None, Some(_)) => Some(Verdict::Towards),
            (Some(_), _) => Some(Verdict::Missed),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Goal,
    Must,
    /// There is a goal, not reached, and nothing that must be.
    Towards,
    Missed,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Goal => "goal",
            Verdict::Must => "must",
            Verdict::Towards => "not yet",
            Verdict::Missed => "MISSED",
        }
    }
}

/// Median and spread of the runs' values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
        Some(Spread { median, min, max })
    }
}

/// Three digits that say something.
pub fn short(x: f64) -> String {
    let digits = match x.abs() {
        0.0 => 0,
        a if a < 0.01 => 5,
        a if a < 0.1 => 4,
        a if a < 1.0 => 3,
        a if a < 100.0 => 2,
        _ => 0,
    };
    format!("{x:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_median_lies_in_the_middle_of_the_spread() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(
            Spread::of(&[4.0, 1.0, 2.0, 3.0]),
            Some(Spread { median: 2.5, min: 1.0, max: 4.0 })
        );
    }

    #[test]
    fn figures_are_read_from_the_reports_of_all_sides() {
        let reports =
            [("a", json!([{ "x": 1 }, { "x": 4 }])), ("b", json!([{ "x": 8, "zero": 0 }]))];
        let of = |m: Measure| m.of(&reports);
        assert_eq!(of(Measure::ratio("a", "b", "/0/x")), Some(0.125));
        assert_eq!(of(Measure::Ratio { above: ("a", "/1/x"), below: ("b", "/0/x") }), Some(0.5));
        assert_eq!(of(Measure::Sum { side: "a", pointer: "/x" }), Some(5.0));
        assert_eq!(of(Measure::Last { side: "a", pointer: "/x" }), Some(4.0));
        // What is not there is not nothing.
        assert_eq!(of(Measure::Sum { side: "a", pointer: "/y" }), None);
        assert_eq!(of(Measure::Ratio { above: ("a", "/0/x"), below: ("b", "/0/zero") }), None);
        assert_eq!(of(Measure::value("c", "/0/x")), None);
    }

    #[test]
    fn a_median_reaches_the_goal_the_must_or_nothing() {
        let less = Figure::new("", Measure::value("a", "")).at_most(0.4).goal(0.15);
        assert_eq!(
            [0.15, 0.4, 0.41].map(|x| less.verdict(x)),
            [Verdict::Goal, Verdict::Must, Verdict::Missed].map(Some)
        );
        let more = Figure::new("", Measure::value("a", "")).at_least(1.6).goal(1.9);
        assert_eq!(
            [1.9, 1.6, 1.5].map(|x| more.verdict(x)),
            [Verdict::Goal, Verdict::Must, Verdict::Missed].map(Some)
        );
        assert_eq!(
            Figure::new("", Measure::value("a", "")).goal(10.0).verdict(11.0),
            Some(Verdict::Towards)
        );
        assert_eq!(Figure::new("", Measure::value("a", "")).verdict(1.0), None);
    }
}
