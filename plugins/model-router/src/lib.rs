//! Leads requests to models, versions and upstreams: by name, alias, pinned version, header,
//! field, tier, group, country or region; to one destination or to several that share them.
//!
//! What a request is asked for is looked up once (`asked`), the first rule that holds leads it
//! (`when`, `then`), and of a split, a caller's key draws the arm (`share`), whose weight may
//! grow over time (`shift`). Settings in which a rule can never be reached are refused
//! (`cover`). Which models and upstreams there are is the gateway's to know.

mod asked;
mod called;
mod case;
mod choice;
mod cover;
mod demand;
mod found;
mod gateway;
mod names;
mod pattern;
mod pointer;
mod refused;
mod rule;
mod samples;
mod settings;
mod shadow;
mod share;
mod shift;
mod subject;
mod then;
mod when;

use asked::{Asked, Known, Live};
use choice::{Choice, World};
use gateway::Gateway;
use rule::Rule;
pub use settings::Settings;
use tollgate_sdk::{Destination, metrics, prelude::*};

/// One exchange.
pub struct ModelRouter {
    settings: &'static Settings,
    known: Known,
}

#[policy(needs(request_json), stateless)]
impl Policy for ModelRouter {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    /// Only rules that look at the body have it read.
    fn narrow(settings: &Settings, _hooks: &mut Hooks, needs: &mut Needs) {
        needs.request_json = settings.reads_the_body();
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        Self {
            settings,
            known: Known::of(head),
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let live = Live {
            known: &self.known,
            request,
        };
        let mut asked = match Asked::new(self.settings, &live) {
            Ok(asked) => asked,
            Err(refused) => return refused.into_refusal().into(),
        };
        let chosen = choice::choose(self.settings, &mut asked, &Gateway);
        for (name, value) in asked.place() {
            request.set_fact(name, value);
        }
        match chosen {
            Ok(choice) => lead(choice, request),
            Err(refused) => refused.into_refusal().into(),
        }
    }
}

/// Tells the log which way it goes, and sends it there.
fn lead(choice: Choice<'_>, request: &mut Request) -> Verdict {
    if let Some((rule, arm)) = choice.by {
        let rule_name = rule.name.as_str();
        request.set_fact("routed_by", rule_name);
        shadow(rule, request);
        if rule.then.split.is_some() {
            let labels = [("rule", rule_name), ("arm", arm.name.as_str())];
            metrics::count("routed", &labels, 1);
            request.set_fact("routed_arm", arm.name.as_str());
        }
        if let Some(version) = &arm.version {
            request.set_fact("routed_version", version.as_str());
        }
    }
    let Choice {
        model, upstream, ..
    } = choice;
    let Some(led) = led(model.as_deref(), upstream) else {
        return Verdict::next();
    };
    request.set_fact("routed_to", led);
    Verdict::GoTo(Destination {
        model,
        upstream: upstream.map(str::to_owned),
    })
}

/// Has a copy go to where the rule says, for its share of the requests.
fn shadow(rule: &Rule, request: &mut Request) {
    let Some(shadow) = &rule.then.shadow else {
        return;
    };
    if !shadow.is_drawn(|| Gateway.random()) {
        return;
    }
    let name = |name: &names::Destination| name.as_str().to_owned();
    let (model, upstream) = (
        shadow.model.as_ref().map(name),
        shadow.upstream.as_ref().map(name),
    );
    let led = led(model.as_deref(), upstream.as_deref());
    if gateway::shadow(Destination { model, upstream }) {
        request.set_fact("shadowed_to", led.unwrap_or_default());
        metrics::count("shadowed", &[("rule", rule.name.as_str())], 1);
    }
}

/// As the log says it; `None`: as it was asked for.
fn led(model: Option<&str>, upstream: Option<&str>) -> Option<String> {
    Some(match (model, upstream) {
        (None, None) => return None,
        (Some(model), None) => model.to_owned(),
        (None, Some(upstream)) => format!("via {upstream}"),
        (Some(model), Some(upstream)) => format!("{model} via {upstream}"),
    })
}
