//! The plugins' own metrics.
//!
//! Bounded in names and label sets per policy; beyond the bound they are counted
//! together, so no plugin can make the exposition grow.

mod registry;

use std::sync::{Arc, atomic::AtomicU64};

pub use registry::{MetricOptions, PluginMetrics};

/// Takes the numbers.
pub trait MetricSink: Send + Sync {
    /// Adds to a counter.
    fn count(&self, policy: &str, name: &str, labels: &[(String, String)], by: u64);

    /// The counter by itself, for whoever adds to it again and again; it is there from now on, with
    /// 0 if nothing was counted. `None`, the default, and where a rule is broken: it has to be named
    /// each time.
    fn counter(
        &self,
        policy: &str,
        name: &str,
        labels: &[(String, String)],
    ) -> Option<Arc<AtomicU64>> {
        let _ = (policy, name, labels);
        None
    }

    /// Sets a gauge.
    fn gauge(&self, policy: &str, name: &str, labels: &[(String, String)], value: f64);

    /// Appends everything in the Prometheus text format; nothing by default.
    fn render(&self, out: &mut String) {
        let _ = out;
    }

    /// Every number under this name, of all policies; none by default.
    fn rows(&self, name: &str) -> Vec<MetricRow> {
        let _ = name;
        Vec::new()
    }
}

/// One number of a plugin's metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// Whose it is.
    pub policy: String,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// The number.
    pub value: MetricValue,
}

/// A counter's or a gauge's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    /// What was counted.
    Count(u64),
    /// What was set last.
    Gauge(f64),
}

/// Takes the numbers nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetrics;

impl MetricSink for NoMetrics {
    fn count(&self, _policy: &str, _name: &str, _labels: &[(String, String)], _by: u64) {}
    fn gauge(&self, _policy: &str, _name: &str, _labels: &[(String, String)], _value: f64) {}
}
