//! What is allowed, and probably not meant.

use std::collections::BTreeSet;

use crate::{
    model::{Cause, Config, Destination, HeaderValue, Model},
    spelling::show_period,
};

/// What the operator should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Where it is written: a JSON pointer (RFC 6901). Of an item of a list it is the place in
    /// the lists of all files together.
    pub pointer: String,
    /// One sentence.
    pub message: String,
}

impl Config {
    /// Empty if all is well.
    pub fn warnings(&self) -> Vec<ConfigWarning> {
        let mut warnings = Vec::new();
        let mut warn = |pointer: String, message| warnings.push(ConfigWarning { pointer, message });
        if !self.admin.ip().is_loopback() {
            warn(
                "/admin".to_owned(),
                format!(
                    "the admin port listens on {}, which others than this machine may reach; only `admin_token` is asked for, and only of who watches exchanges",
                    self.admin
                ),
            );
        }
        for (nth, route) in self.routes.iter().enumerate() {
            if route.to == Destination::Model && self.models.is_empty() {
                warn(
                    format!("/routes/{nth}"),
                    format!(
                        "the route `{}` goes by the request's model, but there are no models",
                        route.name
                    ),
                );
            }
        }
        if self.geo.is_some() && !self.policies.values().any(|policy| policy.grants.geo) {
            let message = "the file of `geo` is used by nothing".to_owned();
            warn("/geo".to_owned(), message);
        }
        self.warn_of_waits(&mut warnings);
        self.warn_of_unused(&mut warnings);
        warnings
    }

    /// Where the whole is over before an answer can be late, nothing follows a late one.
    fn warn_of_waits(&self, warnings: &mut Vec<ConfigWarning>) {
        for (nth, route) in self.routes.iter().enumerate() {
            let waits = &route.timeouts;
            let total = waits.total.unwrap_or(self.timeouts.total);
            let first_byte = waits.first_byte.unwrap_or(self.timeouts.first_byte);
            let retries = route.retries.as_ref();
            let follows = retries.is_some_and(|retries| retries.on.contains(&Cause::Timeout));
            if total <= first_byte && (waits.first_byte.is_some() || follows) {
                let message = format!(
                    "the route `{}` gives up after {} in whole (`total`): no answer is ever late by `first_byte`, {}",
                    route.name,
                    show_period(total),
                    show_period(first_byte)
                );
                let pointer = format!("/routes/{nth}");
                warnings.push(ConfigWarning { pointer, message });
            }
        }
    }

    fn warn_of_unused(&self, warnings: &mut Vec<ConfigWarning>) {
        let targets = || self.models.values().flat_map(Model::all_targets);
        let on_routes = self.routes.iter().flat_map(|route| &route.policies);
        let at_upstreams = self.upstreams.values().flat_map(|one| &one.policies);
        let policies: BTreeSet<&String> = on_routes
            .chain(targets().flat_map(|target| &target.policies))
            .chain(at_upstreams)
            .collect();
        let granted = self
            .policies
            .values()
            .flat_map(|policy| &policy.grants.secrets);
        let sent = self
            .upstreams
            .values()
            .flat_map(|upstream| &upstream.headers);
        let sent = sent.filter_map(|header| match &header.value {
            HeaderValue::Secret { name, .. } => Some(name),
            HeaderValue::Plain(_) => None,
        });
        let secrets: BTreeSet<&String> = granted.chain(sent).chain(&self.admin_token).collect();
        let unused = |(section, noun): (&str, &str), name: &String| ConfigWarning {
            pointer: format!("/{section}/{}", name.replace('~', "~0").replace('/', "~1")),
            message: format!("the {noun} `{name}` is used by nothing"),
        };
        warnings.extend(
            self.policies
                .keys()
                .filter(|name| !policies.contains(name))
                .map(|name| unused(("policies", "policy"), name)),
        );
        warnings.extend(
            self.secrets
                .keys()
                .filter(|name| !secrets.contains(name))
                .map(|name| unused(("secrets", "secret"), name)),
        );
    }
}
