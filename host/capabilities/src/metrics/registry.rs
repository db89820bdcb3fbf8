use super::MetricSink;
#[derive(Debug, Clone, Default)]
pub struct MetricOptions {}
pub struct PluginMetrics {}
impl PluginMetrics { pub fn new(_o: MetricOptions) -> Self { Self {} } }
impl MetricSink for PluginMetrics {
    fn count(&self, _p: &str, _n: &str, _l: &[(String, String)], _b: u64) {}
    fn gauge(&self, _p: &str, _n: &str, _l: &[(String, String)], _v: f64) {}
}
