//! What is allowed, and probably not meant.

mod routes;
mod unused;

use crate::{
    model::{Cause, Config, Destination, Location},
    spelling::show_period,
};

/// What the operator should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Where it is written: a JSON pointer (RFC 6901). Of an item of a list it is the place in
    /// the lists of all files together.
    pub pointer: String,
    /// The same as a place, of an item of such a list.
    pub at: Option<Location>,
    /// One sentence.
    pub message: String,
}

impl ConfigWarning {
    fn new(pointer: impl Into<String>, message: String) -> Self {
        Self {
            pointer: pointer.into(),
            at: None,
            message,
        }
    }
}

impl Config {
    /// Empty if all is well.
    pub fn warnings(&self) -> Vec<ConfigWarning> {
        let mut warnings = Vec::new();
        if !self.admin.ip().is_loopback() {
            let message = format!(
                "the admin port listens on {}, which others than this machine may reach; only `admin_token` is asked for, and only of who watches exchanges",
                self.admin
            );
            warnings.push(ConfigWarning::new("/admin", message));
        }
        self.warn_of_routes_without_models(&mut warnings);
        self.warn_of_waits(&mut warnings);
        routes::warn(self, &mut warnings);
        unused::warn(self, &mut warnings);
        warnings
    }

    fn warn_of_routes_without_models(&self, warnings: &mut Vec<ConfigWarning>) {
        for (nth, route) in self.routes.iter().enumerate() {
            if route.to == Destination::Model && self.models.is_empty() {
                let message = format!(
                    "the route `{}` goes by the request's model, but there are no models: define some under `models`, or give it an `upstream`",
                    route.name
                );
                warnings.push(ConfigWarning {
                    at: Some(route.at.clone()),
                    ..ConfigWarning::new(format!("/routes/{nth}"), message)
                });
            }
        }
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
                warnings.push(ConfigWarning {
                    at: Some(route.at.clone()),
                    ..ConfigWarning::new(format!("/routes/{nth}"), message)
                });
            }
        }
    }
}
