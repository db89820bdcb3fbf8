//! Where cases are run: the sandbox, one plugin, its limits.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use tollgate_capabilities::{EmbeddedSecrets, NoGeo};
use tollgate_config::{
    CompileLimits, Grants, HttpCallGrant, Isolation, Location, OnError, Policy, SandboxLimits,
};
use tollgate_sandbox::{LoadError, PolicySpec, Prepared, Sandbox};

use crate::{
    budget::Budget,
    case::Case,
    compare::{Difference, compare},
    got::{Cost, Got},
    run::run,
    world::World,
};

/// Runs of a case whose time is bounded: the least counts.
const TIMED_RUNS: usize = 5;

/// What cases of one plugin are run on.
pub struct Bench {
    sandbox: Arc<Sandbox>,
    plugin: String,
    wasm: Bytes,
    limits: SandboxLimits,
    compile: CompileLimits,
    /// By all that a policy is prepared with.
    prepared: HashMap<String, Result<Arc<Prepared>, LoadError>>,
}

/// How a case came out.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What came of it.
    pub got: Got,
}

/// Whether a case holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It came as expected, within its budget.
    Passed,
    /// It came otherwise.
    Differs(Difference),
    /// The case does not say what it expects.
    ExpectsNothing,
    /// It gives answers that nobody asked for, so it does not show what it says: each by name.
    Unused(Vec<String>),
    /// It cost more than it may: a sentence for each.
    OverBudget(Vec<String>),
}

impl Bench {
    /// For this plugin. A policy gets these limits, and is granted whatever the plugin
    /// imports: what answers is the case.
    #[must_use]
    pub fn new(
        sandbox: Arc<Sandbox>,
        (plugin, wasm): (&str, Bytes),
        (limits, compile): (SandboxLimits, CompileLimits),
    ) -> Self {
        Self {
            sandbox,
            plugin: plugin.to_owned(),
            wasm,
            limits,
            compile,
            prepared: HashMap::new(),
        }
    }

    /// Runs one case; what it does not say of its budget is bounded by `budget`.
    pub async fn run(&mut self, case: &Case, budget: Budget) -> Outcome {
        let budget = case.budget.or(budget);
        let got = match self.prepare(case).await {
            Ok(prepared) => {
                let mut got = self.once(case, &prepared, false).await;
                let runs = if budget.time.is_some() { TIMED_RUNS } else { 1 };
                for _ in 1..runs {
                    let again = self.once(case, &prepared, true).await;
                    for (step, other) in got.steps.iter_mut().zip(again.steps) {
                        step.cost.time = step.cost.time.min(other.cost.time);
                    }
                }
                got
            }
            Err(error) => Got {
                load_error: Some(error.reason),
                ..Got::default()
            },
        };
        Outcome {
            name: case.name.clone(),
            verdict: judge(case, &got, budget),
            got,
        }
    }

    async fn once(&self, case: &Case, prepared: &Prepared, is_measured: bool) -> Got {
        let world = World::new(&case.given, &self.plugin);
        let policy = prepared.policy(world.capabilities.clone());
        let mut got = run(case, &policy, (&world.notes, is_measured)).await;
        got.unused = world.unused();
        got
    }

    async fn prepare(&mut self, case: &Case) -> Result<Arc<Prepared>, LoadError> {
        let secrets: Vec<String> = case.given.secrets.keys().cloned().collect();
        let key = format!("{}\n{}", case.settings, Value::from(secrets.clone()));
        if let Some(known) = self.prepared.get(&key) {
            return known.clone();
        }
        let spec = self.spec(&case.settings, secrets);
        let prepared = self.sandbox.prepare(spec).await.map(Arc::new);
        self.prepared.insert(key, prepared.clone());
        prepared
    }

    fn spec(&self, settings: &Value, mut secrets: Vec<String>) -> PolicySpec {
        if secrets.is_empty() {
            // Granted, and none of them: an import without any grant is refused.
            secrets.push(String::new());
        }
        PolicySpec {
            name: self.plugin.clone(),
            wasm: self.wasm.clone(),
            config: Policy {
                plugin: self.plugin.clone(),
                on_error: OnError::Refuse,
                isolation: Isolation::Exchange,
                grants: Grants {
                    kv: true,
                    limits: true,
                    geo: true,
                    secrets,
                    http_call: Some(HttpCallGrant {
                        hosts: Vec::new(),
                        timeout: std::time::Duration::from_secs(1),
                        max_response_bytes: 1 << 20,
                        max_calls: 1_000,
                    }),
                    cache: true,
                    shadow: true,
                    endpoints: true,
                },
                settings: settings.clone(),
                settings_at: Location::default(),
                sandbox: self.limits.clone(),
            },
            compile: self.compile.clone(),
            secrets: Arc::new(EmbeddedSecrets::new(std::collections::BTreeMap::new())),
            geo: Arc::new(NoGeo),
        }
    }
}

fn judge(case: &Case, got: &Got, budget: Budget) -> Verdict {
    if case.expect.is_none() {
        return Verdict::ExpectsNothing;
    }
    if let Some(difference) = compare(case, got) {
        return Verdict::Differs(difference);
    }
    if !got.unused.is_empty() {
        return Verdict::Unused(got.unused.clone());
    }
    let over = over(got, budget);
    if over.is_empty() {
        Verdict::Passed
    } else {
        Verdict::OverBudget(over)
    }
}

fn over(got: &Got, budget: Budget) -> Vec<String> {
    let mut over = Vec::new();
    for step in &got.steps {
        let Cost {
            time,
            memory_bytes,
            host_calls,
        } = step.cost;
        let hook = step.hook;
        if let Some(most) = budget.time.filter(|most| time > *most) {
            over.push(format!("{hook} took {time:.0?}, and {most:?} are allowed"));
        }
        if let Some(most) = budget.host_calls.filter(|most| host_calls > *most) {
            over.push(format!(
                "{hook} made {host_calls} host calls, and {most} are allowed"
            ));
        }
        if let Some(most) = budget.memory_bytes.filter(|most| memory_bytes > *most) {
            let (is, most) = (memory_bytes.div_ceil(1 << 10), most >> 10);
            over.push(format!(
                "{hook} had {is} KiB of memory, and {most} KiB are allowed"
            ));
            break;
        }
    }
    over
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::got::Step;

    fn got(costs: &[(&'static str, Cost)]) -> Got {
        let step = |(hook, cost): &(&'static str, Cost)| Step {
            cost: *cost,
            ..Step::new(hook)
        };
        Got {
            steps: costs.iter().map(step).collect(),
            ..Got::default()
        }
    }

    #[test]
    fn a_budget_bounds_each_hook_and_says_by_how_much_it_is_overdrawn() {
        let cheap = Cost {
            time: Duration::from_micros(100),
            memory_bytes: 64 << 10,
            host_calls: 2,
        };
        let dear = Cost {
            time: Duration::from_micros(1_700),
            memory_bytes: (1 << 20) + 1,
            host_calls: 3,
        };
        let got = got(&[("open", cheap), ("on_request", dear)]);
        let over = |budget: &str| over(&got, Budget::read(budget).expect("is one"));
        assert_eq!(over("time=1700us,memory=2MiB,host_calls=3"), [""; 0]);
        assert_eq!(
            over("time=1ms"),
            ["on_request took 2ms, and 1ms are allowed"]
        );
        assert_eq!(
            over("host_calls=2"),
            ["on_request made 3 host calls, and 2 are allowed"]
        );
        assert_eq!(over("host_calls=0").len(), 2, "each hook for itself");
        assert_eq!(
            over("memory=1MiB"),
            ["on_request had 1025 KiB of memory, and 1024 KiB are allowed"]
        );
    }
}
