//! What came of a case.

use std::time::Duration;

use serde_json::{Map, Value};
use tollgate_sandbox::{Failure, Hook};

/// What is told behind the events of a stream.
const LAST: &str = Hook::Finish.name();

/// What a hook cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// In the hook.
    pub time: Duration,
    /// The largest memory of the instance so far, in bytes.
    pub memory_bytes: u64,
    /// Imports called.
    pub host_calls: u32,
}

/// One hook that was called.
#[derive(Debug, Clone)]
pub struct Step {
    /// Such as `on_request`; `open` is the session's beginning.
    pub hook: &'static str,
    /// What it cost, all calls of it together.
    pub cost: Cost,
    /// Of a hook that decides.
    pub(crate) verdict: Option<Value>,
    pub(crate) edits: Vec<Value>,
    pub(crate) plan: Option<Value>,
    pub(crate) shadow: Option<Value>,
    pub(crate) scores: Option<Value>,
    pub(crate) picks: Option<Value>,
    pub(crate) calls: Vec<String>,
    pub(crate) log: Vec<String>,
    pub(crate) metrics: Vec<String>,
    pub(crate) failure: Option<Failed>,
}

/// How a hook failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// What a case may expect: the same wherever the lines of the source are.
    pub(crate) what: String,
    /// With the place, and what to do.
    pub(crate) whole: String,
}

impl From<&Failure> for Failed {
    fn from(failure: &Failure) -> Self {
        Self {
            what: failure.what(),
            whole: failure.to_string(),
        }
    }
}

/// What came of a case.
#[derive(Debug, Clone, Default)]
pub struct Got {
    /// Hook by hook, in the order they were called.
    pub steps: Vec<Step>,
    /// What the client would be sent of a stream.
    pub(crate) events: Option<Vec<Value>>,
    /// Why the plugin could not be loaded.
    pub(crate) load_error: Option<String>,
    /// What the case gives and nobody asked for.
    pub(crate) unused: Vec<String>,
}

impl Step {
    pub(crate) fn new(hook: &'static str) -> Self {
        Self {
            hook,
            cost: Cost::default(),
            verdict: None,
            edits: Vec::new(),
            plan: None,
            shadow: None,
            scores: None,
            picks: None,
            calls: Vec::new(),
            log: Vec::new(),
            metrics: Vec::new(),
            failure: None,
        }
    }

    /// Everything, as a case would expect it.
    pub(crate) fn value(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let texts = |texts: &[String]| Value::from(texts.to_vec());
        if let Some(verdict) = &self.verdict {
            map.insert("verdict".to_owned(), verdict.clone());
            map.insert("edits".to_owned(), Value::Array(self.edits.clone()));
        }
        let planned = [
            ("plan", &self.plan),
            ("shadow", &self.shadow),
            ("scores", &self.scores),
            ("picks", &self.picks),
        ];
        for (key, value) in planned {
            if let Some(value) = value {
                map.insert(key.to_owned(), value.clone());
            }
        }
        map.insert("calls".to_owned(), texts(&self.calls));
        map.insert("log".to_owned(), texts(&self.log));
        map.insert("metrics".to_owned(), texts(&self.metrics));
        if let Some(failure) = &self.failure {
            map.insert("failure".to_owned(), Value::from(failure.what.as_str()));
        }
        map
    }
}

impl Got {
    /// The hook that failed, if one did.
    pub(crate) fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.failure.is_some())
    }

    /// The hook that failed, how, where in its source, and what to do; if one did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let step = self.failed()?;
        let failed = step.failure.as_ref()?;
        Some(format!("{}: it {}", step.hook, failed.whole))
    }

    /// Everything, hook by hook.
    pub(crate) fn value(&self) -> Map<String, Value> {
        let mut map = Map::new();
        if let Some(error) = &self.load_error {
            map.insert("load_error".to_owned(), Value::from(error.as_str()));
        }
        for step in self.steps.iter().filter(|step| step.hook != LAST) {
            map.insert(step.hook.to_owned(), Value::Object(step.value()));
        }
        if let Some(events) = &self.events {
            map.insert("events".to_owned(), Value::Array(events.clone()));
        }
        for step in self.steps.iter().filter(|step| step.hook == LAST) {
            map.insert(step.hook.to_owned(), Value::Object(step.value()));
        }
        map
    }

    /// What is worth writing down: nothing that is empty, and no hook that did nothing, unless
    /// none did anything.
    pub(crate) fn worth_writing(&self) -> Value {
        let all = self.value();
        let mut map = all.clone();
        for value in map.values_mut() {
            if let Value::Object(hook) = value {
                hook.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
            }
        }
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        map.retain(|_, value| !is_empty(value));
        Value::Object(if map.is_empty() { all } else { map })
    }
}
