//! Numbers in the Prometheus text format.
//!
//! Owns the format and its escaping. Knows no metric by name.

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What a family of samples is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Text that grows by families.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

/// Labels of one sample, in order.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Opens a family; its samples follow.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family {
            text: &mut self.text,
            name,
        }
    }

    /// A family of one sample without labels.
    pub(crate) fn single(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &str,
        value: impl Display,
    ) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub(crate) fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// The samples of one name.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    pub(crate) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut total = 0;
        for (count, bound) in histogram.counts.iter().zip(BOUNDS_US) {
            total += count.load(Ordering::Relaxed);
            let bound = Duration::from_micros(bound).as_secs_f64().to_string();
            self.line("_bucket", labels, Some(&bound), total);
        }
        total += histogram.counts[BOUNDS_US.len()].load(Ordering::Relaxed);
        self.line("_bucket", labels, Some("+Inf"), total);
        let sum = Duration::from_micros(histogram.sum_us.load(Ordering::Relaxed));
        self.line("_sum", labels, None, sum.as_secs_f64());
        self.line("_count", labels, None, total);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            let _ = write!(self.text, "{before}{name}=\"");
            escape(self.text, value);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other if other.is_control() => text.push('\u{fffd}'),
            other => text.push(other),
        }
    }
}

/// Upper bounds in microseconds: from what a policy takes to what a model takes.
const BOUNDS_US: [u64; 16] = [
    10,
    25,
    100,
    250,
    1_000,
    2_500,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    100_000_000,
    600_000_000,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn is_empty(&self) -> bool {
        self.counts
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 0)
    }

    pub(crate) fn add(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_upwards_and_ends_in_all() {
        let histogram = Histogram::default();
        for us in [5, 10, 11, 700_000_000] {
            histogram.add(Duration::from_micros(us));
        }
        let mut exposition = Exposition::default();
        exposition
            .family("t", Kind::Histogram, "Times.")
            .histogram(&[("route", "a")], &histogram);
        let text = exposition.into_text();
        assert!(
            text.starts_with("# HELP t Times.\n# TYPE t histogram\n"),
            "{text}"
        );
        assert!(
            text.contains("t_bucket{route=\"a\",le=\"0.00001\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("t_bucket{route=\"a\",le=\"0.000025\"} 3\n"),
            "{text}"
        );
        assert!(
            text.contains("t_bucket{route=\"a\",le=\"+Inf\"} 4\n"),
            "{text}"
        );
        assert!(text.contains("t_count{route=\"a\"} 4\n"), "{text}");
    }

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        let mut exposition = Exposition::default();
        exposition
            .family("n", Kind::Gauge, "N.")
            .sample(&[("a", "x\"} 1\nevil \\")], 1);
        assert!(
            exposition
                .into_text()
                .contains("n{a=\"x\\\"} 1\\nevil \\\\\"} 1\n")
        );
    }
}
