//! A policy that is compiled and configured, and not proven yet.
//!
//! What it becomes depends on the capabilities it is given: scratch ones while it is
//! proven, the gateway's own when it goes live, those of a case when it is tried.

use std::sync::Arc;

use tollgate_capabilities::{Capabilities, Namespace};

use crate::{
    compile::Facts,
    engine,
    host::{Bounds, Shared},
    policy::{Counters, Parts, Policy},
    program::Program,
    sandbox::PolicySpec,
    tender::Tender,
};

/// A policy that is compiled and configured; see [`Sandbox::prepare`](crate::Sandbox::prepare).
pub struct Prepared {
    pub(crate) spec: PolicySpec,
    pub(crate) facts: Facts,
    pub(crate) program: Program,
    pub(crate) tender: Arc<Tender>,
    pub(crate) hash: String,
}

impl Prepared {
    /// The policy on these capabilities, with counters of its own. No instance is made
    /// ahead of need.
    #[must_use]
    pub fn policy(&self, capabilities: Capabilities) -> Arc<Policy> {
        Policy::new(Parts {
            shared: Arc::new(shared(&self.spec, capabilities)),
            facts: self.facts.clone(),
            program: self.program.clone(),
            tender: self.tender.clone(),
            hash: self.hash.clone(),
            config: self.spec.config.clone(),
        })
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Prepared")
            .field("name", &self.spec.name)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

pub(crate) fn shared(spec: &PolicySpec, capabilities: Capabilities) -> Shared {
    let limits = &spec.config.sandbox;
    let ticks = limits.hook_time.as_millis() / engine::TICK.as_millis();
    Shared {
        policy: spec.name.clone(),
        namespace: Namespace::of_plugin(&spec.config.plugin),
        capabilities,
        grants: spec.config.grants.clone(),
        bounds: Bounds {
            hook_ticks: u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
            hook_time: limits.hook_time,
            exchange_time: limits.exchange_time,
            tick_time: limits.tick_time,
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            host_calls: limits.host_calls,
            edits: limits.edits,
            log_lines: limits.log_lines,
        },
        counters: Counters::default(),
    }
}
