//! What is allowed, and probably not meant.

use std::collections::BTreeSet;

use crate::{
    model::{Cause, Config, Destination, HeaderValue, Model},
    spelling::show_period,
};

impl Config {
    /// What the operator should look at, one sentence each; empty if all is well.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.admin.ip().is_loopback() {
            warnings.push(format!(
                "the admin port listens on {}, which others than this machine may reach; only `admin_token` is asked for, and only of who watches exchanges",
                self.admin
            ));
        }
        for route in &self.routes {
            if route.to == Destination::Model && self.models.is_empty() {
                warnings.push(format!(
                    "the route `{}` goes by the request's model, but there are no models",
                    route.name
                ));
            }
        }
        self.warn_of_waits(&mut warnings);
        if self.geo.is_some() && !self.policies.values().any(|policy| policy.grants.geo) {
            warnings.push("the file of `geo` is used by nothing".to_owned());
        }
        self.warn_of_unused(&mut warnings);
        warnings
    }

    /// Where the whole is over before an answer can be late, nothing follows a late one.
    fn warn_of_waits(&self, warnings: &mut Vec<String>) {
        for route in &self.routes {
            let waits = &route.timeouts;
            let total = waits.total.unwrap_or(self.timeouts.total);
            let first_byte = waits.first_byte.unwrap_or(self.timeouts.first_byte);
            let retries = route.retries.as_ref();
            let follows = retries.is_some_and(|retries| retries.on.contains(&Cause::Timeout));
            if total <= first_byte && (waits.first_byte.is_some() || follows) {
                warnings.push(format!(
                    "the route `{}` gives up after {} in whole (`total`): no answer is ever late by `first_byte`, {}",
                    route.name,
                    show_period(total),
                    show_period(first_byte)
                ));
            }
        }
    }

    fn warn_of_unused(&self, warnings: &mut Vec<String>) {
        let targets = || self.models.values().flat_map(Model::all_targets);
        let on_routes = self.routes.iter().flat_map(|route| &route.policies);
        let policies: BTreeSet<&String> = on_routes
            .chain(targets().flat_map(|target| &target.policies))
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
        let unused = |noun: &str, name: &String| format!("the {noun} `{name}` is used by nothing");
        warnings.extend(
            self.policies
                .keys()
                .filter(|name| !policies.contains(name))
                .map(|name| unused("policy", name)),
        );
        warnings.extend(
            self.secrets
                .keys()
                .filter(|name| !secrets.contains(name))
                .map(|name| unused("secret", name)),
        );
    }
}
