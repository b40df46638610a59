//! The reference of all metrics, docs/METRICS.md, which is made of their declarations.
use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use super::{Metrics, text::Type};

const PREFACE: &str = "\
# Metrics

Made from the code by `AO_UPDATE_DOCS=1 cargo test --lib metrics::reference`; a test fails when this file is stale.

`GET /metrics` answers in the text format of OpenMetrics, which Prometheus reads, without credentials: on the listener of the token API, or on one of its
own, `AO_METRICS__LISTEN`. Each instance has its own page. No uid and no room is a label, and no value of a label comes from a client: the number of series
is bounded by the code and the configuration. A counter begins with 0 at the start of the server. Where nothing has been counted yet the metrics whose
labels' values come from the configuration, or from tables of the code, have no series.

How to load the alert rules and the dashboard: [deploy/README.md](../deploy/README.md). What to do about an alert: [OPERATIONS.md](OPERATIONS.md#alerts).

A histogram has three series, `…_bucket` with the label `le`, `…_sum` and `…_count`. The 99th percentile of the last five minutes:

```text
histogram_quantile(0.99, sum by (le) (rate(always_online_delivery_seconds_bucket[5m])))
```
";

/// All metrics, group by group.
fn reference(metrics: &Metrics) -> String {
    let mut text = PREFACE.to_owned();
    for group in metrics.groups() {
        let _ = write!(
            text,
            "\n## {}\n\n| metric | type | labels | what |\n|---|---|---|---|\n",
            group.title()
        );
        group.visit(&mut |declared, metric| {
            let suffix = if metric.kind() == Type::Counter { "_total" } else { "" };
            let labels = metric.labels();
            let labels: Vec<String> = match &*labels {
                // One text for all of them.
                [(first, said), rest @ ..] if !rest.is_empty() && said == &rest[0].1 => {
                    let names = rest.iter().map(|(label, _)| format!(", `{label}`"));
                    vec![format!("`{first}`{}: {said}", names.collect::<String>())]
                }
                labels => labels.iter().map(|(label, said)| format!("`{label}`: {said}")).collect(),
            };
            let (name, help) = (declared.name, declared.help);
            let (kind, labels) = (metric.kind().word(), labels.join("; "));
            let _ = writeln!(text, "| `{name}{suffix}` | {kind} | {labels} | {help} |");
        });
    }
    text
}

/// `AO_UPDATE_DOCS=1` with this test writes it anew.
#[test]
fn the_reference_is_what_is_declared() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let should = reference(&Metrics::default());
    if std::env::var_os("AO_UPDATE_DOCS").is_some() {
        fs::write(&file, &should).unwrap();
    }
    let is = fs::read_to_string(&file).unwrap();
    assert!(is == should, "METRICS.md is stale: run this test with AO_UPDATE_DOCS=1");
}

/// The conventions of Prometheus: <https://prometheus.io/docs/practices/naming/>.
#[test]
fn names_and_helps_are_as_others_expect_them() {
    let metrics = Metrics::default();
    let mut names = BTreeSet::new();
    for group in metrics.groups() {
        group.visit(&mut |declared, metric| {
            let name = declared.name;
            assert!(names.insert(name), "{name} is declared twice");
            assert!(name.starts_with("always_online_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            for suffix in ["_total", "_bucket", "_sum", "_count", "_created", "_ms"] {
                assert!(!name.ends_with(suffix), "{name} has a reserved end");
            }
            let help = declared.help;
            assert!(
                help.ends_with('.') && !help.contains(['\\', '"', '\n', '|']),
                "{name}: {help}"
            );
            for (label, _) in metric.labels() {
                assert!(label.bytes().all(|b| b.is_ascii_lowercase()), "{name}: {label}");
                assert!(
                    !["le", "uid", "room", "user", "token"].contains(&label),
                    "{name}: {label}"
                );
            }
        });
    }
}
