//! What is defined and used by nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ConfigWarning;
use crate::model::{Config, Destination, HeaderValue, Model, Target};

pub(super) fn warn(config: &Config, warnings: &mut Vec<ConfigWarning>) {
    if config.geo.is_some() && !config.policies.values().any(|policy| policy.grants.geo) {
        let message =
            "the file of `geo` is used by nothing: grant `geo` to a policy, or take the file away";
        warnings.push(ConfigWarning::new("/geo", message.to_owned()));
    }
    let policies = policies(config);
    let upstreams = upstreams(config, &policies);
    let secrets = secrets(config);
    let all = [
        Section {
            names: config.policies.keys().collect(),
            used: &policies,
            key: "policies",
            noun: "policy",
            cure: "name it in a route, at a target or at an upstream, or take it away",
        },
        Section {
            names: config.upstreams.keys().collect(),
            used: &upstreams,
            key: "upstreams",
            noun: "upstream",
            cure: "name it in a route, or at a target of a model (`weight: 0` if a policy alone is to lead there), or take it away",
        },
        Section {
            names: config.secrets.keys().collect(),
            used: &secrets,
            key: "secrets",
            noun: "secret",
            cure: "grant it to a policy, name it in a header of an upstream, or take it away",
        },
    ];
    warnings.extend(all.iter().flat_map(Section::unused));
}

/// A section of names.
struct Section<'a> {
    names: Vec<&'a String>,
    used: &'a BTreeSet<&'a String>,
    key: &'static str,
    noun: &'static str,
    cure: &'static str,
}

impl Section<'_> {
    fn unused(&self) -> impl Iterator<Item = ConfigWarning> {
        let Self {
            key, noun, cure, ..
        } = self;
        let unused = self.names.iter().filter(|name| !self.used.contains(*name));
        unused.map(move |name| {
            let token = name.replace('~', "~0").replace('/', "~1");
            let message = format!("the {noun} `{name}` is used by nothing: {cure}");
            ConfigWarning::new(format!("/{key}/{token}"), message)
        })
    }
}

fn targets(config: &Config) -> impl Iterator<Item = &Target> {
    config.models.values().flat_map(Model::all_targets)
}

fn policies(config: &Config) -> BTreeSet<&String> {
    let on_routes = config.routes.iter().flat_map(|route| &route.policies);
    let at_targets = targets(config).flat_map(|target| &target.policies);
    let at_upstreams = config.upstreams.values().flat_map(|one| &one.policies);
    on_routes.chain(at_targets).chain(at_upstreams).collect()
}

/// A policy may lead to any upstream by its name: where one that is asked has the name in its
/// settings, it may be meant there.
fn upstreams<'a>(config: &'a Config, policies: &BTreeSet<&String>) -> BTreeSet<&'a String> {
    let of_routes = config.routes.iter().filter_map(|route| match &route.to {
        Destination::Upstream(name) => Some(name),
        Destination::Model => None,
    });
    let mirrors = config
        .routes
        .iter()
        .filter_map(|route| route.mirror.as_ref());
    let of_mirrors = mirrors.filter_map(|mirror| mirror.upstream.as_ref());
    let of_targets = targets(config).map(|target| &target.upstream);
    let mut used: BTreeSet<_> = of_routes.chain(of_mirrors).chain(of_targets).collect();
    let asked = config
        .policies
        .iter()
        .filter(|(name, _)| policies.contains(name));
    let settings: Vec<&Value> = asked.map(|(_, policy)| &policy.settings).collect();
    let is_told = |name: &&String| settings.iter().any(|settings| names(settings, name));
    used.extend(config.upstreams.keys().filter(is_told));
    used
}

/// Whether a text or a key in it holds the name.
fn names(settings: &Value, name: &str) -> bool {
    match settings {
        Value::String(text) => text.contains(name),
        Value::Array(items) => items.iter().any(|item| names(item, name)),
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| key.contains(name) || names(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn secrets(config: &Config) -> BTreeSet<&String> {
    let policies = config.policies.values();
    let granted = policies.flat_map(|policy| &policy.grants.secrets);
    let upstreams = config.upstreams.values();
    let headers = upstreams.flat_map(|upstream| &upstream.headers);
    let sent = headers.filter_map(|header| match &header.value {
        HeaderValue::Secret { name, .. } => Some(name),
        HeaderValue::Plain(_) => None,
    });
    granted.chain(sent).chain(&config.admin_token).collect()
}
