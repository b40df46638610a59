//! The same scenarios, without peers: two builds of ours beside each other.

use std::collections::BTreeSet;

use super::{Scenario, Side};
use crate::figures::{Figure, Measure};

/// What nothing may get dearer than from one build to the next.
const MUST: f64 = 1.05;

/// Of each side that is ours a scenario of its own, with the newer build and the older one. Its
/// figures are those that scenarios have of that side, where less is better.
pub fn versus(all: Vec<Scenario>) -> Vec<Scenario> {
    all.into_iter().flat_map(pairs).collect()
}

fn pairs(scenario: Scenario) -> Vec<Scenario> {
    let sides: Vec<&Side> = scenario.sides.iter().filter(|side| side.server.is_ours()).collect();
    let pair = |side: &&Side| {
        let figures = figures(&scenario, side.name);
        if figures.is_empty() {
            return None;
        }
        let name = match sides.len() {
            1 => scenario.name,
            _ => kept(format!("{}: {}", scenario.name, side.name)),
        };
        let both = vec![
            Side { name: "new", ..(*side).clone() },
            Side { name: "old", older: true, ..(*side).clone() },
        ];
        let (title, once) = (scenario.title, scenario.once);
        Some(Scenario { name, title, once, sides: both, figures })
    };
    sides.iter().filter_map(pair).collect()
}

fn figures(scenario: &Scenario, side: &str) -> Vec<Figure> {
    let mut seen = BTreeSet::new();
    let mut figures = Vec::new();
    for figure in scenario.figures.iter().filter(|figure| !figure.more) {
        for (of, pointer) in figure.measure.ends() {
            if of == side && seen.insert(pointer) {
                // Without what it was compared with.
                let what = figure.name.split([',', '÷']).next().unwrap_or_default().trim();
                let measure = Measure::ratio("new", "old", pointer);
                figures
                    .push(Figure::new(kept(format!("{what}, new ÷ old")), measure).at_most(MUST));
            }
        }
    }
    figures
}

/// A name, for as long as the program runs; there are a few dozen of them.
fn kept(name: String) -> &'static str {
    name.leak()
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;

    #[test]
    fn every_scenario_of_ours_has_its_pair() {
        let pairs = versus(all(true));
        let names: BTreeSet<&str> = pairs.iter().map(|pair| pair.name).collect();
        assert_eq!(names.len(), pairs.len(), "each once");
        for name in ["fanout-one", "store-single", "flat-rooms: 20 rooms", "webhook-cost: told"] {
            assert!(names.contains(name), "{name} of {names:?}");
        }
        let one = pairs.iter().find(|pair| pair.name == "fanout-one");
        let one = one.map(|pair| (pair.figures[0].name, pair.sides.len(), pair.sides[1].older));
        assert_eq!(one, Some(("CPU per delivery, new ÷ old", 2, true)));
    }
}
