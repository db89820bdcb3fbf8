use std::sync::Arc;
use super::{LogLine, LogSink};
use crate::Clock;
#[derive(Debug, Clone, Default)]
pub struct LogOptions {}
pub struct TracingLog {}
impl TracingLog { pub fn new(_c: Arc<dyn Clock>, _o: LogOptions) -> Self { Self {} } }
impl LogSink for TracingLog { fn write(&self, _l: LogLine<'_>) {} }
