//! Policies that stand together as nobody can have meant it.
//!
//! Judged by what each was [seen to do](tollgate_sandbox::Observed) with its plugin's
//! samples and these settings, so a warning names what happened, and there may be more.
//! Nothing is refused for it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tollgate_config::{Location, OnError, Route, render};
use tollgate_sandbox::{Changed, Field, Policy, Stage};

use super::refused::written_at;
use crate::{serve::Generation, telemetry::event::Composed};

/// What is allowed, and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// A stable word: `unused` and the like are `config`; `same_field`,
    /// `answer_before_access`, `cache_before_guard`, `cache_before_text`, `guard_bypassed`.
    pub code: String,
    /// Where it is to be mended.
    pub file: Option<PathBuf>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// The whole message, with the place where one is known; may have several lines.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// All warnings of a generation whose configuration was read from `source`.
pub(crate) fn warnings(generation: &Generation, source: &Path) -> Vec<Warning> {
    let config = generation.config.warnings().into_iter();
    let mut warnings: Vec<Warning> = config.map(of_config).collect();
    let mut compositions = Compositions {
        generation,
        source,
        warnings: Vec::new(),
    };
    for (nth, route) in generation.config.routes.iter().enumerate() {
        compositions.route(nth, route);
    }
    for (name, model) in &generation.config.models {
        for (nth, target) in model.targets.iter().enumerate() {
            let of = format!("target {} of the model `{name}`", nth + 1);
            let token = name.replace('~', "~0").replace('/', "~1");
            let at = format!("/models/{token}/targets/{nth}/policies");
            compositions.same_fields(&of, (&at, Stage::Request), &target.policies);
        }
    }
    for policy in generation.policies.values() {
        compositions.bypass(policy);
    }
    for warning in compositions.warnings {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

/// Tells of them in the log.
pub(crate) fn warn_of(generation: &Generation, source: &Path) {
    for warning in &warnings(generation, source) {
        Composed { warning }.emit();
    }
}

fn of_config(message: String) -> Warning {
    Warning {
        code: "config".to_owned(),
        file: None,
        line: None,
        message,
    }
}

struct Compositions<'a> {
    generation: &'a Generation,
    source: &'a Path,
    warnings: Vec<Warning>,
}

impl<'a> Compositions<'a> {
    fn route(&mut self, nth: usize, route: &Route) {
        let of = format!("the route `{}`", route.name);
        let at = format!("/routes/{nth}/policies");
        self.same_fields(&of, (&at, Stage::Attempt), &route.policies);
        for (first, second) in pairs(&route.policies) {
            let (Some(one), Some(other)) = (self.policy(first.1), self.policy(second.1)) else {
                continue;
            };
            let (a, b) = (one.name(), other.name());
            let mut warn = |code, message| self.warn(code, (&at, second), message);
            if answers(one) && is_access(other) {
                warn(
                    "answer_before_access",
                    format!(
                        "in {of}, `{b}` says who may ask, and `{a}` before it answers without it: put `{b}` before `{a}`"
                    ),
                );
            }
            if !plans(one) {
                continue;
            }
            if guards(other) {
                warn(
                    "cache_before_guard",
                    format!(
                        "in {of}, `{b}` refuses requests, and whoever is given an answer that `{a}` has kept is not asked by it: put `{b}` before `{a}`"
                    ),
                );
            } else if changes_text(other) {
                warn(
                    "cache_before_text",
                    format!(
                        "in {of}, `{b}` changes what is said to the model, and the key of `{a}` is made of it as it was before: put `{b}` before `{a}`"
                    ),
                );
            }
        }
    }

    /// Where they stand there, they are not asked at one of the stages.
    fn same_fields(&mut self, of: &str, (at, unasked): (&str, Stage), names: &[String]) {
        for (first, second) in pairs(names) {
            let (Some(one), Some(other)) = (self.policy(first.1), self.policy(second.1)) else {
                continue;
            };
            let both = one
                .observed()
                .changed
                .intersection(&other.observed().changed);
            let both = both.filter(|changed| changed.stage != unasked);
            let mut fields: Vec<String> = both.map(shown).collect();
            fields.dedup();
            if fields.is_empty() {
                continue;
            }
            let (a, b) = (one.name(), other.name());
            let message = format!(
                "in {of}, `{a}` and `{b}` both set {}, and only one can have the last word",
                fields.join(", ")
            );
            self.warn("same_field", (at, second), message);
        }
    }

    fn bypass(&mut self, policy: &Policy) {
        if policy.on_error() != OnError::Bypass || !guards(policy) {
            return;
        }
        let name = policy.name();
        let message = format!(
            "`{name}` refuses requests, and with `on_error: bypass` all of them pass when it fails"
        );
        let at = self.find(&format!("/policies/{}/on_error", token(name)));
        self.push("guard_bypassed", at, message);
    }

    fn policy(&self, name: &str) -> Option<&'a Policy> {
        self.generation.policies.get(name).map(|policy| &**policy)
    }

    /// A warning about the second of two policies in the list at `list`.
    fn warn(&mut self, code: &str, (list, (nth, name)): (&str, (usize, &str)), message: String) {
        // Lists of several files are joined, so a number says nothing of a file.
        let in_list = self.source.is_file().then(|| format!("{list}/{nth}"));
        let at = in_list.and_then(|at| self.find(&at));
        let at = at.or_else(|| self.find(&format!("/policies/{}", token(name))));
        self.push(code, at, message);
    }

    fn find(&self, pointer: &str) -> Option<Location> {
        written_at(self.source, pointer)
    }

    fn push(&mut self, code: &str, at: Option<Location>, message: String) {
        self.warnings.push(Warning {
            code: code.to_owned(),
            message: match &at {
                Some(at) => render(at, &message),
                None => message,
            },
            line: at.as_ref().map(|at| at.line),
            file: at.map(|at| at.file),
        });
    }
}

/// Each with each that comes later, and where they stand.
fn pairs(names: &[String]) -> impl Iterator<Item = ((usize, &str), (usize, &str))> {
    let each = || names.iter().map(String::as_str).enumerate();
    each().flat_map(move |first| each().skip(first.0 + 1).map(move |second| (first, second)))
}

fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// It answers requests, with an answer of its own or one that is kept.
fn answers(policy: &Policy) -> bool {
    policy.observed().answered
}

/// It has answers kept and given again.
fn plans(policy: &Policy) -> bool {
    policy.config().grants.cache && policy.imports().iter().any(|import| import == "cache")
}

/// It says who may ask.
fn is_access(policy: &Policy) -> bool {
    refuses(policy, |status| matches!(status, 401 | 403))
}

/// It refuses what a client asked.
fn guards(policy: &Policy) -> bool {
    refuses(policy, |status| {
        (400..500).contains(&status) && !matches!(status, 404 | 408 | 429)
    })
}

/// One that counts refuses for what was used, which a kept answer does not use.
fn refuses(policy: &Policy, with: impl Fn(u16) -> bool) -> bool {
    let counts = policy.config().grants.limits;
    !counts && policy.observed().refused.iter().any(|status| with(*status))
}

/// It changes what the client said to the model.
fn changes_text(policy: &Policy) -> bool {
    const TEXTS: &[&str] = &["/messages", "/prompt", "/input", "/system", "/instructions"];
    let changed = &policy.observed().changed;
    changed.iter().any(|change| match &change.field {
        Field::Json(pointer) => {
            let is_within = |text: &&str| {
                let rest = pointer.strip_prefix(*text);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            change.stage != Stage::Response && TEXTS.iter().any(is_within)
        }
        Field::Body => change.stage != Stage::Response,
        Field::Header(_) | Field::Fact(_) | Field::Path | Field::Status => false,
    })
}

fn shown(changed: &Changed) -> String {
    let of = match changed.stage {
        Stage::Request | Stage::Attempt => "request",
        Stage::Response => "response",
    };
    match &changed.field {
        Field::Header(name) => format!("the header `{name}` of the {of}"),
        Field::Json(pointer) => format!("`{pointer}` of the {of}"),
        Field::Body => format!("the body of the {of}"),
        Field::Fact(name) => format!("the fact `{name}`"),
        Field::Path => "the path".to_owned(),
        Field::Status => "the status".to_owned(),
    }
}
