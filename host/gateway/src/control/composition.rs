//! Policies that stand together as nobody can have meant it.
//!
//! Judged by what each was [seen to do](tollgate_sandbox::Observed) with its plugin's
//! samples and these settings, so a warning names what happened, and there may be more.
//! Nothing is refused for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tollgate_config::{Config, Destination, Location, Model, OnError, Route, render};
use tollgate_sandbox::{Changed, Field, Policy, Stage};

use super::refused::{token, written_at};
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
    let mut compositions = Compositions {
        generation,
        source,
        warnings: Vec::new(),
    };
    for warning in generation.config.warnings() {
        let at = warning.at.or_else(|| compositions.find(&warning.pointer));
        compositions.push("config", at, warning.message);
    }
    for (nth, route) in generation.config.routes.iter().enumerate() {
        compositions.route(nth, route);
    }
    let (targets, upstreams) = (targets(&generation.config), upstreams(&generation.config));
    for target in targets.iter().chain(upstreams.values()) {
        compositions.same_fields(&target.of, (&target.at, Stage::Request), target.policies);
    }
    compositions.routes_and_targets(&targets, &upstreams);
    compositions.routes_and_upstreams(&upstreams);
    for policy in generation.policies.values() {
        compositions.bypass(policy);
    }
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in compositions.warnings {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

/// Where policies of a target stand, or those of an upstream.
struct TargetList<'a> {
    of: String,
    /// JSON pointer.
    at: String,
    policies: &'a [String],
}

/// All targets of all models, those that are only fallen back on too.
fn targets(config: &Config) -> Vec<TargetList<'_>> {
    let mut lists = Vec::new();
    for (name, model) in &config.models {
        let kinds = [
            ("target", "targets", &model.targets),
            ("fallback", "fallback", &model.fallback),
        ];
        for (noun, key, targets) in kinds {
            lists.extend(targets.iter().enumerate().map(|(nth, target)| TargetList {
                of: format!("{noun} {} of the model `{name}`", nth + 1),
                at: format!("/models/{}/{key}/{nth}/policies", token(name)),
                policies: &target.policies,
            }));
        }
    }
    lists
}

/// All upstreams that have policies, by name.
fn upstreams(config: &Config) -> BTreeMap<&str, TargetList<'_>> {
    let upstreams = config.upstreams.iter();
    let upstreams = upstreams.filter(|(_, upstream)| !upstream.policies.is_empty());
    let listed = upstreams.map(|(name, upstream)| {
        let list = TargetList {
            of: format!("the upstream `{name}`"),
            at: format!("/upstreams/{}/policies", token(name)),
            policies: &upstream.policies,
        };
        (name.as_str(), list)
    });
    listed.collect()
}

/// Tells of them in the log.
pub(crate) fn warn_of(generation: &Generation, source: &Path) {
    for warning in &warnings(generation, source) {
        Composed { warning }.emit();
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
            // What counts stands behind on purpose: an answer that is kept costs nothing.
            if guards(other) && !other.config().grants.limits {
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

    /// Every route that goes by the model may lead to every target, and so to its upstream.
    /// What their policies do to path, headers, facts and the body as a whole is for that
    /// upstream, and the work of adapters: only fields are compared.
    fn routes_and_targets(
        &mut self,
        targets: &[TargetList<'_>],
        upstreams: &BTreeMap<&str, TargetList<'_>>,
    ) {
        let config = &self.generation.config;
        let routes = config.routes.iter();
        let routes = routes.filter(|route| route.to == Destination::Model);
        let led_to = config.models.values().flat_map(Model::all_targets);
        let led_to: BTreeSet<&str> = led_to.map(|target| &*target.upstream).collect();
        let behind = led_to.into_iter().filter_map(|name| upstreams.get(name));
        // Each policy where it first stands: it does the same wherever it does.
        let (mut firsts, mut seconds) = (BTreeMap::new(), BTreeMap::new());
        for route in routes {
            for name in &route.policies {
                firsts.entry(name).or_insert(route);
            }
        }
        for target in targets.iter().chain(behind) {
            for (nth, name) in target.policies.iter().enumerate() {
                seconds.entry(name).or_insert((target, nth));
            }
        }
        for (first, route) in firsts {
            for (second, place) in &seconds {
                if first != *second {
                    self.route_and_target((route, first), (place, second));
                }
            }
        }
    }

    /// The others lead to one upstream.
    fn routes_and_upstreams(&mut self, upstreams: &BTreeMap<&str, TargetList<'_>>) {
        let config = &self.generation.config;
        for route in &config.routes {
            let Destination::Upstream(name) = &route.to else {
                continue;
            };
            let Some(target) = upstreams.get(name.as_str()) else {
                continue;
            };
            for first in &route.policies {
                for (nth, second) in target.policies.iter().enumerate() {
                    if first != second {
                        self.route_and_target((route, first), (&(target, nth), second));
                    }
                }
            }
        }
    }

    fn route_and_target(
        &mut self,
        (route, first): (&Route, &str),
        ((target, nth), second): (&(&TargetList<'_>, usize), &str),
    ) {
        let (Some(one), Some(other)) = (self.policy(first), self.policy(second)) else {
            return;
        };
        let of_route = fields_of(one, Stage::Attempt);
        let of_target = fields_of(other, Stage::Request);
        let mut fields: Vec<String> = of_route.intersection(&of_target).map(shown).collect();
        fields.dedup();
        if fields.is_empty() {
            return;
        }
        let message = format!(
            "in {}, `{second}` sets {}, and so does `{first}` in the route `{}`: only one can have the last word",
            target.of,
            fields.join(", "),
            route.name
        );
        self.warn("same_field", (&target.at, (*nth, second)), message);
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

/// Fields of JSON that it sets where it is asked, those of an attempt as those of the request that
/// it is made of.
fn fields_of(policy: &Policy, unasked: Stage) -> BTreeSet<Changed> {
    let changed = policy.observed().changed.iter();
    let fields = changed
        .filter(|changed| changed.stage != unasked && matches!(changed.field, Field::Json(_)));
    fields
        .cloned()
        .map(|changed| Changed {
            stage: match changed.stage {
                Stage::Request | Stage::Attempt => Stage::Request,
                Stage::Response => Stage::Response,
            },
            ..changed
        })
        .collect()
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
        // What is used up (402, 429) is no more so by an answer that is kept.
        (400..500).contains(&status) && !matches!(status, 402 | 404 | 408 | 429)
    })
}

fn refuses(policy: &Policy, with: impl Fn(u16) -> bool) -> bool {
    policy.observed().refused.iter().any(|status| with(*status))
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
