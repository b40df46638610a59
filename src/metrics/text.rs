//! The page for scrapers, in the text format of OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), and the macro by which each metric
//! is declared once: its field, its name, its labels and its help. The page and the reference are
//! made of that.
//!
//! `prometheus-client` was considered. Its histograms take a lock for each observation and its
//! families another one for each look-up, and what it registers is declared apart from the fields.
use std::fmt::{Display, Write};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Type {
    pub(super) fn word(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        }
    }
}

/// Something that can be declared.
pub(super) trait Metric {
    /// What it is.
    fn kind(&self) -> Type;

    /// Its labels, and which values they have, for the reference.
    #[cfg(test)]
    fn labels(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Writes its samples.
    fn write(&self, to: &mut Samples<'_>);
}

/// What is said of a metric where it is declared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared {
    /// Without `_total`, `_bucket` and the like.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

impl Declared {
    /// What it is measured in, where its name says so.
    pub(super) fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| self.name.strip_suffix(unit).is_some_and(|before| before.ends_with('_')))
    }
}

/// Metrics that belong together.
pub(super) trait Group {
    /// What they are about, for the reference.
    #[cfg(test)]
    fn title(&self) -> &'static str;

    /// Shows each of them.
    fn visit(&self, show: &mut dyn FnMut(Declared, &dyn Metric));
}

/// Declares a group: `field: Kind = how it is made, "name", "help";`
macro_rules! group {
    (
        $(#[$doc:meta])*
        $title:literal $group:ident {
            $($field:ident: $kind:ty = $make:expr, $name:literal, $help:literal;)+
        }
    ) => {
        $(#[$doc])*
        pub struct $group {
            $(#[doc = $help] pub $field: $kind,)+
        }

        impl Default for $group {
            fn default() -> Self {
                $group { $($field: $make,)+ }
            }
        }

        impl $crate::metrics::text::Group for $group {
            #[cfg(test)]
            fn title(&self) -> &'static str {
                $title
            }

            fn visit(
                &self,
                show: &mut dyn FnMut(
                    $crate::metrics::text::Declared,
                    &dyn $crate::metrics::text::Metric,
                ),
            ) {
                $(show(
                    $crate::metrics::text::Declared { name: $name, help: $help },
                    &self.$field,
                );)+
            }
        }
    };
}
pub(super) use group;

/// The page.
pub(super) fn page<'a>(groups: impl IntoIterator<Item = &'a dyn Group>) -> String {
    let mut text = String::with_capacity(64 << 10);
    for group in groups {
        group.visit(&mut |declared, metric| {
            let Declared { name, help } = declared;
            // Writing into a String can't fail.
            let _ = writeln!(text, "# HELP {name} {help}");
            let _ = writeln!(text, "# TYPE {name} {}", metric.kind().word());
            if let Some(unit) = declared.unit() {
                let _ = writeln!(text, "# UNIT {name} {unit}");
            }
            metric.write(&mut Samples { text: &mut text, name, labels: String::new() });
        });
    }
    text.push_str("# EOF\n");
    text
}

/// Where a metric writes its samples.
pub(super) struct Samples<'a> {
    text: &'a mut String,
    name: &'static str,
    /// Those of all samples, as they are written between braces.
    labels: String,
}

impl Samples<'_> {
    /// What `write` writes has these labels.
    pub(super) fn labelled(
        &mut self,
        names: &[&str],
        values: &[&str],
        write: impl FnOnce(&mut Samples<'_>),
    ) {
        let mut labels = String::new();
        for (name, value) in names.iter().zip(values) {
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = write!(labels, "{comma}{name}=\"{}\"", Escaped(value));
        }
        write(&mut Samples { text: self.text, name: self.name, labels });
    }

    /// A sample; `suffix` comes behind the metric's name.
    pub(super) fn value(&mut self, suffix: &str, value: impl Display) {
        let Samples { text, name, labels } = self;
        let _ = match labels.as_str() {
            "" => writeln!(text, "{name}{suffix} {value}"),
            labels => writeln!(text, "{name}{suffix}{{{labels}}} {value}"),
        };
    }

    /// How many were not above `end`.
    pub(super) fn bucket(&mut self, end: &str, count: u64) {
        let Samples { text, name, labels } = self;
        let comma = if labels.is_empty() { "" } else { "," };
        // Floating-point, as the format wants it: `1.0`, not `1`.
        let point = if end.contains(['.', 'I']) { "" } else { ".0" };
        let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{end}{point}\"}} {count}");
    }
}

/// A label's value as it stands between quotation marks.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => to.write_str("\\\\"),
            '"' => to.write_str("\\\""),
            '\n' => to.write_str("\\n"),
            c => to.write_char(c),
        })
    }
}
