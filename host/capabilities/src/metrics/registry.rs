//! Keeps the plugins' counters and gauges and writes them as Prometheus text.
//!
//! The first use of a name fixes its kind and, for what is beyond the bound, its
//! label names. What breaks a rule is counted in `tollgate_policy_metrics_dropped_total`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use super::{MetricRow, MetricSink, MetricValue};

const NAME_BYTES: usize = 64;
const LABELS_MAX: usize = 8;
const LABEL_VALUE_BYTES: usize = 128;
/// The counter of all names beyond the bound, and the label value of all sets beyond it.
const OTHER: &str = "other";

type Labels = Vec<(String, String)>;

/// Bounds of one policy's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricOptions {
    /// Names; further counters are added up in `other`, further gauges dropped. 64 by default.
    pub names_max: usize,
    /// Label sets of a name; all further ones share one whose values are `other`. 100 by default.
    pub label_sets_max: usize,
}

impl Default for MetricOptions {
    fn default() -> Self {
        Self {
            names_max: 64,
            label_sets_max: 100,
        }
    }
}

/// The metrics of all plugins. A name is `[a-z A-Z _][a-z A-Z 0-9 _]*` of at most 64
/// bytes; a set has at most 8 labels, none of them `policy` or beginning with `__`;
/// a label value is cut to 128 bytes.
pub struct PluginMetrics {
    options: MetricOptions,
    by_policy: RwLock<BTreeMap<Arc<str>, Arc<OfPolicy>>>,
}

#[derive(Default)]
struct OfPolicy {
    by_name: Mutex<BTreeMap<Box<str>, Metric>>,
    dropped: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Add(u64),
    Set(f64),
}

#[derive(Debug, Clone)]
enum Number {
    Count(Arc<AtomicU64>),
    Gauge(f64),
}

struct Metric {
    kind: Kind,
    series: BTreeMap<Labels, Number>,
    /// What all sets beyond the bound are counted under.
    overflow: Labels,
}

impl PluginMetrics {
    /// No metrics yet.
    #[must_use]
    pub fn new(options: MetricOptions) -> Self {
        Self {
            options,
            by_policy: RwLock::default(),
        }
    }

    fn policy(&self, policy: &str) -> Arc<OfPolicy> {
        if let Some(metrics) = self.by_policy.read().get(policy) {
            return metrics.clone();
        }
        self.by_policy
            .write()
            .entry(policy.into())
            .or_default()
            .clone()
    }

    /// The number that this is about, after the change; `None`: it breaks a rule.
    fn record(
        &self,
        policy: &str,
        name: &str,
        labels: &[(String, String)],
        change: Change,
    ) -> Option<Number> {
        let metrics = self.policy(policy);
        if !is_name(name) {
            None
        } else if is_canonical(labels) {
            metrics.record(&self.options, name, labels, change)
        } else {
            canonical(labels)
                .and_then(|labels| metrics.record(&self.options, name, &labels, change))
        }
    }

    fn record_or_drop(
        &self,
        policy: &str,
        name: &str,
        labels: &[(String, String)],
        change: Change,
    ) {
        if self.record(policy, name, labels, change).is_none() {
            let metrics = self.policy(policy);
            metrics.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MetricSink for PluginMetrics {
    fn count(&self, policy: &str, name: &str, labels: &[(String, String)], by: u64) {
        self.record_or_drop(policy, name, labels, Change::Add(by));
    }

    fn counter(
        &self,
        policy: &str,
        name: &str,
        labels: &[(String, String)],
    ) -> Option<Arc<AtomicU64>> {
        match self.record(policy, name, labels, Change::Add(0))? {
            Number::Count(count) => Some(count),
            Number::Gauge(_) => None,
        }
    }

    fn gauge(&self, policy: &str, name: &str, labels: &[(String, String)], value: f64) {
        self.record_or_drop(policy, name, labels, Change::Set(value));
    }

    fn rows(&self, name: &str) -> Vec<MetricRow> {
        let mut rows = Vec::new();
        for (policy, metrics) in self.by_policy.read().iter() {
            let by_name = metrics.by_name.lock();
            let Some(metric) = by_name.get(name) else {
                continue;
            };
            rows.extend(metric.series.iter().map(|(labels, number)| MetricRow {
                policy: policy.to_string(),
                labels: labels.clone(),
                value: match number {
                    Number::Count(count) => MetricValue::Count(count.load(Ordering::Relaxed)),
                    Number::Gauge(gauge) => MetricValue::Gauge(*gauge),
                },
            }));
        }
        rows
    }

    fn render(&self, out: &mut String) {
        let policies: Vec<_> = self
            .by_policy
            .read()
            .iter()
            .map(|(name, of)| (name.clone(), of.clone()))
            .collect();
        let mut families = BTreeMap::<Box<str>, Family>::new();
        for (policy, metrics) in &policies {
            for (name, metric) in metrics.by_name.lock().iter() {
                families
                    .entry(name.clone())
                    .or_default()
                    .add(name, policy, metric);
            }
        }
        for (name, family) in &families {
            family.render(name, out);
        }
        if !policies.is_empty() {
            out.push_str("# TYPE tollgate_policy_metrics_dropped_total counter\n");
        }
        for (policy, metrics) in &policies {
            out.push_str("tollgate_policy_metrics_dropped_total{policy=\"");
            escape_into(out, policy);
            let _ = writeln!(out, "\"}} {}", metrics.dropped.load(Ordering::Relaxed));
        }
    }
}

impl OfPolicy {
    fn record(
        &self,
        options: &MetricOptions,
        name: &str,
        labels: &[(String, String)],
        change: Change,
    ) -> Option<Number> {
        let mut by_name = self.by_name.lock();
        if let Some(metric) = by_name.get_mut(name) {
            return metric.record(options, labels, change);
        }
        if by_name.len() < options.names_max {
            let metric = by_name.entry(name.into());
            let metric = metric.or_insert_with(|| Metric::new(labels, change.kind()));
            return metric.record(options, labels, change);
        }
        if let Change::Set(_) = change {
            return None;
        }
        let other = by_name
            .entry(OTHER.into())
            .or_insert_with(|| Metric::new(&[], Kind::Counter));
        other.record(options, &[], change)
    }
}

impl Change {
    fn kind(self) -> Kind {
        match self {
            Self::Add(_) => Kind::Counter,
            Self::Set(_) => Kind::Gauge,
        }
    }
}

impl Metric {
    fn new(labels: &[(String, String)], kind: Kind) -> Self {
        let overflow = labels
            .iter()
            .map(|(name, _)| (name.clone(), OTHER.to_owned()))
            .collect();
        Self {
            kind,
            series: BTreeMap::new(),
            overflow,
        }
    }

    /// Makes the change, if it is of this metric's kind.
    fn record(
        &mut self,
        options: &MetricOptions,
        labels: &[(String, String)],
        change: Change,
    ) -> Option<Number> {
        if change.kind() != self.kind {
            return None;
        }
        if let Some(number) = self.series.get_mut(labels) {
            return Some(number.apply(change));
        }
        let room = self.series.len() < options.label_sets_max;
        let labels = if room {
            labels.to_vec()
        } else {
            self.overflow.clone()
        };
        let start = match self.kind {
            Kind::Counter => Number::Count(Arc::default()),
            Kind::Gauge => Number::Gauge(0.0),
        };
        Some(self.series.entry(labels).or_insert(start).apply(change))
    }
}

impl Number {
    fn apply(&mut self, change: Change) -> Self {
        match (&mut *self, change) {
            (Self::Count(count), Change::Add(by)) => {
                count.fetch_add(by, Ordering::Relaxed);
            }
            (Self::Gauge(gauge), Change::Set(value)) => *gauge = value,
            (Self::Count(_), Change::Set(_)) | (Self::Gauge(_), Change::Add(_)) => {}
        }
        self.clone()
    }
}

/// One name over all policies, as text. Where policies disagree on its kind, it
/// has none.
#[derive(Default)]
struct Family {
    kind: Option<Kind>,
    mixed: bool,
    lines: Vec<String>,
}

impl Family {
    fn add(&mut self, name: &str, policy: &str, metric: &Metric) {
        self.mixed |= *self.kind.get_or_insert(metric.kind) != metric.kind;
        let first = self.lines.len();
        for (labels, number) in &metric.series {
            let mut line = format!("tollgate_plugin_{name}{{policy=\"");
            escape_into(&mut line, policy);
            for (label, value) in labels {
                let _ = write!(line, "\",{label}=\"");
                escape_into(&mut line, value);
            }
            line.push_str("\"} ");
            number.render(&mut line);
            self.lines.push(line);
        }
        self.lines[first..].sort_unstable();
    }

    fn render(&self, name: &str, out: &mut String) {
        let kind = match self.kind {
            _ if self.mixed => "untyped",
            Some(Kind::Counter) => "counter",
            Some(Kind::Gauge) => "gauge",
            None => return,
        };
        let _ = writeln!(out, "# TYPE tollgate_plugin_{name} {kind}");
        for line in &self.lines {
            out.push_str(line);
            out.push('\n');
        }
    }
}

impl Number {
    fn render(&self, out: &mut String) {
        let _ = match self {
            Self::Count(count) => write!(out, "{}", count.load(Ordering::Relaxed)),
            Self::Gauge(value) if value.is_nan() => write!(out, "NaN"),
            Self::Gauge(value) if value.is_infinite() => {
                write!(out, "{}Inf", if *value > 0.0 { '+' } else { '-' })
            }
            Self::Gauge(value) => write!(out, "{value:?}"),
        };
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_label(name: &str) -> bool {
    is_name(name) && !name.starts_with("__") && name != "policy"
}

/// Allowed, sorted, each name once, values short: what a series is known by.
fn is_canonical(labels: &[(String, String)]) -> bool {
    labels.len() <= LABELS_MAX
        && labels
            .iter()
            .all(|(name, value)| is_label(name) && value.len() <= LABEL_VALUE_BYTES)
        && labels.is_sorted_by(|(one, _), (next, _)| one < next)
}

/// `None` where no sorting or cutting makes it allowed.
fn canonical(labels: &[(String, String)]) -> Option<Labels> {
    if labels.len() > LABELS_MAX {
        return None;
    }
    let cut = |value: &str| value[..value.floor_char_boundary(LABEL_VALUE_BYTES)].to_owned();
    let mut labels: Labels = labels
        .iter()
        .map(|(name, value)| (name.clone(), cut(value)))
        .collect();
    labels.sort();
    is_canonical(&labels).then_some(labels)
}

fn escape_into(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn text(act: impl FnOnce(&PluginMetrics)) -> String {
        let metrics = PluginMetrics::new(MetricOptions::default());
        act(&metrics);
        let mut out = String::new();
        metrics.render(&mut out);
        out
    }

    #[test]
    fn the_numbers_of_one_name_are_told_of_all_policies() {
        let metrics = PluginMetrics::new(MetricOptions::default());
        metrics.count("a", "hits", &labels(&[("z", "1")]), u64::MAX);
        metrics.gauge("b", "hits", &[], 0.5);
        metrics.count("b", "others", &[], 1);
        let row = |policy: &str, labels, value| MetricRow {
            policy: policy.to_owned(),
            labels,
            value,
        };
        assert_eq!(
            metrics.rows("hits"),
            [
                row("a", labels(&[("z", "1")]), MetricValue::Count(u64::MAX)),
                row("b", Vec::new(), MetricValue::Gauge(0.5)),
            ]
        );
        assert!(metrics.rows("none").is_empty());
    }

    #[test]
    fn counters_and_gauges_are_shown_under_their_policy() {
        let text = text(|metrics| {
            metrics.count("b", "hits", &labels(&[("z", "1"), ("a", "2")]), 3);
            metrics.count("b", "hits", &labels(&[("a", "2"), ("z", "1")]), 4);
            metrics.count("a", "hits", &[], 1);
            metrics.gauge("a", "level", &[], 1.5);
            metrics.gauge("a", "level", &[], -2.0);
            metrics.gauge("a", "odd", &[], f64::NAN);
            metrics.gauge("a", "top", &[], f64::INFINITY);
        });
        assert_eq!(
            text,
            "# TYPE tollgate_plugin_hits counter\n\
             tollgate_plugin_hits{policy=\"a\"} 1\n\
             tollgate_plugin_hits{policy=\"b\",a=\"2\",z=\"1\"} 7\n\
             # TYPE tollgate_plugin_level gauge\n\
             tollgate_plugin_level{policy=\"a\"} -2.0\n\
             # TYPE tollgate_plugin_odd gauge\n\
             tollgate_plugin_odd{policy=\"a\"} NaN\n\
             # TYPE tollgate_plugin_top gauge\n\
             tollgate_plugin_top{policy=\"a\"} +Inf\n\
             # TYPE tollgate_policy_metrics_dropped_total counter\n\
             tollgate_policy_metrics_dropped_total{policy=\"a\"} 0\n\
             tollgate_policy_metrics_dropped_total{policy=\"b\"} 0\n"
        );
    }

    #[test]
    fn a_counter_that_was_found_is_the_one_of_its_name_and_bound_by_the_same_rules() {
        let options = MetricOptions {
            names_max: 2,
            label_sets_max: 1,
        };
        let metrics = PluginMetrics::new(options);
        let count = |name: &str, labels: &[(String, String)]| {
            metrics.count("p", name, labels, 1);
            let counter = metrics.counter("p", name, labels);
            counter.is_some_and(|counter| counter.fetch_add(10, Ordering::Relaxed) > 0)
        };
        metrics.gauge("p", "level", &[], 1.0);
        assert!(count("hits", &labels(&[("z", "1"), ("a", "2")])));
        assert!(count("hits", &labels(&[("a", "3"), ("z", "1")])));
        assert!(count("one_name_more", &[]));
        assert!(!count("level", &[]), "a gauge");
        assert!(!count("no name", &[]));
        let mut text = String::new();
        metrics.render(&mut text);
        for line in [
            "tollgate_plugin_hits{policy=\"p\",a=\"2\",z=\"1\"} 11\n",
            "tollgate_plugin_hits{policy=\"p\",a=\"other\",z=\"other\"} 11\n",
            "tollgate_plugin_other{policy=\"p\"} 11\n",
            // Those that were named, once each.
            "tollgate_policy_metrics_dropped_total{policy=\"p\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn no_label_value_can_forge_a_line() {
        let text = text(|metrics| {
            metrics.count("p\"\n", "n", &labels(&[("l", "a\\b\"} 1\nforged 1")]), 1);
        });
        assert!(
            text.contains(r#"{policy="p\"\n",l="a\\b\"} 1\nforged 1"} 1"#),
            "{text}"
        );
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn label_sets_beyond_the_bound_are_counted_together() {
        let text = text(|metrics| {
            for index in 0..1000 {
                metrics.count("p", "n", &labels(&[("model", &index.to_string())]), 1);
            }
            metrics.count("p", "n", &labels(&[("fresh", "x")]), 1);
            metrics.count("p", "n", &labels(&[("model", "5")]), 1);
        });
        assert!(
            text.contains("{policy=\"p\",model=\"other\"} 901\n"),
            "{text}"
        );
        assert!(text.contains("{policy=\"p\",model=\"5\"} 2\n"));
        assert!(!text.contains("fresh"));
        assert_eq!(text.lines().count(), 1 + 101 + 2);
    }

    #[test]
    fn names_beyond_the_bound_are_counted_together_and_neighbours_are_not_touched() {
        let text = text(|metrics| {
            for index in 0..1000 {
                metrics.count("p", &format!("n{index}"), &[], 2);
            }
            metrics.gauge("p", "level", &[], 1.0);
            metrics.count("q", "n999", &[], 5);
        });
        assert!(
            text.contains("tollgate_plugin_other{policy=\"p\"} 1872\n"),
            "{text}"
        );
        assert!(text.contains("tollgate_plugin_n999{policy=\"q\"} 5\n"));
        assert!(text.contains("dropped_total{policy=\"p\"} 1\n"));
    }

    #[test]
    fn bad_names_and_labels_are_dropped_and_counted() {
        let bad = ["", "1a", "a-b", "a b", "a\n", "é", "a{", &"a".repeat(65)];
        let text = text(|metrics| {
            for name in bad {
                metrics.count("p", name, &[], 1);
                metrics.count("p", "n", &labels(&[(name, "v")]), 1);
            }
            for name in ["policy", "__name__"] {
                metrics.count("p", "n", &labels(&[(name, "v")]), 1);
            }
            metrics.count("p", "n", &labels(&[("l", "1"), ("l", "2")]), 1);
            metrics.count("p", "n", &vec![("l".to_owned(), String::new()); 9], 1);
        });
        assert!(!text.contains("tollgate_plugin_"), "{text}");
        assert!(text.contains("dropped_total{policy=\"p\"} 20\n"), "{text}");
    }

    #[test]
    fn a_name_keeps_the_kind_of_its_first_use_within_a_policy() {
        let text = text(|metrics| {
            metrics.count("p", "n", &[], 1);
            metrics.gauge("p", "n", &[], 9.0);
            metrics.gauge("q", "n", &[], 2.0);
        });
        assert!(text.starts_with(
            "# TYPE tollgate_plugin_n untyped\n\
             tollgate_plugin_n{policy=\"p\"} 1\n\
             tollgate_plugin_n{policy=\"q\"} 2.0\n"
        ));
        assert!(text.contains("dropped_total{policy=\"p\"} 1\n"));
    }

    #[test]
    fn a_long_label_value_is_cut() {
        let text = text(|metrics| metrics.count("p", "n", &labels(&[("l", &"é".repeat(500))]), 1));
        assert_eq!(text.matches('é').count(), 64);
    }
}
