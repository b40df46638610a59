//! The numbers behind metrics. Everybody adds to them without a lock, and a scraper reads them now
//! and then, so all accesses are relaxed: a page is no snapshot of one moment.
use std::{
    sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use super::text::{Metric, Samples, Type};

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// So many more.
    pub fn inc_by(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Metric for Counter {
    fn kind(&self) -> Type {
        Type::Counter
    }

    fn write(&self, to: &mut Samples<'_>) {
        to.value("_total", self.get());
    }
}

/// One that is kept elsewhere, once for the whole process.
impl Metric for &'static Counter {
    fn kind(&self) -> Type {
        Type::Counter
    }

    fn write(&self, to: &mut Samples<'_>) {
        Metric::write(*self, to);
    }
}

/// Cells of a [`Striped`] counter.
const CELLS: usize = 16;

/// In a cache line of its own; processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

/// A counter that all threads add to all the time. Each adds to a cell that it shares with few, so
/// that they do not wait for each other's cache line.
#[derive(Debug, Default)]
pub struct Striped([Cell; CELLS]);

impl Striped {
    /// So many more.
    pub fn inc_by(&self, count: u64) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static CELL: usize = NEXT.fetch_add(1, Relaxed) % CELLS;
        }
        self.0[CELL.with(|cell| *cell)].0.fetch_add(count, Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.iter().map(|cell| cell.0.load(Relaxed)).sum()
    }
}

impl Metric for Striped {
    fn kind(&self) -> Type {
        Type::Counter
    }

    fn write(&self, to: &mut Samples<'_>) {
        to.value("_total", self.get());
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// One less.
    pub fn dec(&self) {
        self.dec_by(1);
    }

    /// So many more.
    pub fn inc_by(&self, count: usize) {
        self.0.fetch_add(i64::try_from(count).unwrap_or(i64::MAX), Relaxed);
    }

    /// So many less.
    pub fn dec_by(&self, count: usize) {
        self.0.fetch_sub(i64::try_from(count).unwrap_or(i64::MAX), Relaxed);
    }

    /// So many from now on.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// So many from now on.
    pub fn set_count(&self, value: u64) {
        self.set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// How many there are.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Metric for Gauge {
    fn kind(&self) -> Type {
        Type::Gauge
    }

    fn write(&self, to: &mut Samples<'_>) {
        to.value("", self.get());
    }
}

/// Something that the system says, or does not say: then it is not on the page.
#[derive(Debug)]
pub struct Figure {
    /// The bits of a floating-point number; not a number where it is unknown.
    bits: AtomicU64,
    kind: Type,
}

impl Figure {
    pub(super) fn gauge() -> Self {
        Figure { bits: f64::NAN.to_bits().into(), kind: Type::Gauge }
    }

    pub(super) fn counter() -> Self {
        Figure { bits: f64::NAN.to_bits().into(), kind: Type::Counter }
    }

    /// What it is from now on.
    pub fn set(&self, value: Option<f64>) {
        self.bits.store(value.unwrap_or(f64::NAN).to_bits(), Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.bits.load(Relaxed))).filter(|value| !value.is_nan())
    }
}

impl Metric for Figure {
    fn kind(&self) -> Type {
        self.kind
    }

    fn write(&self, to: &mut Samples<'_>) {
        let suffix = if self.kind == Type::Counter { "_total" } else { "" };
        if let Some(value) = self.get() {
            to.value(suffix, value);
        }
    }
}

/// Nanoseconds of a second.
const SECOND: f64 = 1e9;

/// How often something was in which of its ranges, and the sum of all.
#[derive(Debug)]
struct Ranges {
    /// Upper ends, in the order of the ranges; one more is without an end.
    ends: &'static [f64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Ranges {
    fn new(ends: &'static [f64]) -> Self {
        let counts = (0..=ends.len()).map(|_| AtomicU64::new(0)).collect();
        Ranges { ends, counts, sum: AtomicU64::new(0) }
    }

    /// `raw` is what `value` adds to the sum.
    fn observe(&self, value: f64, raw: u64) {
        let at = self.ends.iter().position(|end| value <= *end).unwrap_or(self.ends.len());
        self.counts[at].fetch_add(1, Relaxed);
        self.sum.fetch_add(raw, Relaxed);
    }

    fn write(&self, to: &mut Samples<'_>, sum: impl FnOnce(u64) -> f64) {
        let mut below = 0;
        for (at, count) in self.counts.iter().enumerate() {
            below += count.load(Relaxed);
            match self.ends.get(at) {
                Some(end) => to.bucket(&end.to_string(), below),
                None => to.bucket("+Inf", below),
            }
        }
        to.value("_sum", sum(self.sum.load(Relaxed)));
        to.value("_count", below);
    }
}

/// How long something took: a histogram in seconds.
#[derive(Debug)]
pub struct Latency(Ranges);

impl Latency {
    /// With these upper ends of its ranges, seconds.
    pub(super) fn new(ends: &'static [f64]) -> Self {
        Latency(Ranges::new(ends))
    }

    /// It took so long.
    pub fn took(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// It took so many seconds.
    pub fn observe(&self, seconds: f64) {
        self.0.observe(seconds, (seconds * SECOND) as u64);
    }

    /// How often it was timed, and how many seconds all of it took.
    pub fn total(&self) -> (u64, f64) {
        let count = self.0.counts.iter().map(|count| count.load(Relaxed)).sum();
        (count, self.0.sum.load(Relaxed) as f64 / SECOND)
    }
}

impl Metric for Latency {
    fn kind(&self) -> Type {
        Type::Histogram
    }

    fn write(&self, to: &mut Samples<'_>) {
        self.0.write(to, |sum| sum as f64 / SECOND);
    }
}

/// How many there were each time: a histogram of counts.
#[derive(Debug)]
pub struct Sizes(Ranges);

impl Sizes {
    /// With these upper ends of its ranges.
    pub(super) fn new(ends: &'static [f64]) -> Self {
        Sizes(Ranges::new(ends))
    }

    /// This time there were so many.
    pub fn observe(&self, count: usize) {
        self.0.observe(count as f64, count as u64);
    }
}

impl Metric for Sizes {
    fn kind(&self) -> Type {
        Type::Histogram
    }

    fn write(&self, to: &mut Samples<'_>) {
        self.0.write(to, |sum| sum as f64);
    }
}
