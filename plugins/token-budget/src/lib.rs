//! Budgets of tokens and of money: held before a call, settled on what it used.
//!
//! A request holds what it may take; its stream is counted as it passes and, where it
//! goes beyond what is held, asks for more or is cut; the end charges what the upstream
//! reported, or else what was counted. Buckets are the host's: nothing is kept here
//! beyond an exchange.

mod account;
mod calendar;
mod count;
mod estimate;
mod held;
mod money;
mod payer;
mod price;
mod refusal;
mod report;
mod samples;
mod scan;
mod settings;
mod settle;

use count::Counted;
use estimate::{Estimate, Stated};
use held::Held;
use payer::Payer;
use price::Price;
use refusal::Refused;
pub use settings::Settings;
use settings::{AtEdge, Budget};
use tollgate_sdk::{clock, metrics, prelude::*};

/// One exchange: what is known of it, and what is held for it.
pub struct TokenBudget {
    settings: &'static Settings,
    payer: Payer,
    model: Option<String>,
    body_bytes: Option<u64>,
    is_streaming: bool,
    running: Option<Running>,
}

/// A request that was let through.
struct Running {
    estimate: Estimate,
    held: Held,
    counted: Counted,
    is_stream: bool,
    /// Of the budget, as the configuration names it.
    tier: &'static str,
    /// Of the model, if it is reckoned in money.
    price: Option<&'static Price>,
}

#[policy(needs(request_json))]
impl Policy for TokenBudget {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        let has_no_body = matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        Self {
            settings,
            payer: Payer::of(head),
            model: head.model.clone().filter(|_| settings.prices.is_some()),
            body_bytes: head.body_bytes().or(has_no_body.then_some(0)),
            is_streaming: head.streaming,
            running: None,
        }
    }

    /// What has no body calls no model, and takes no tokens.
    fn on_request(&mut self, request: &mut Request) -> Verdict {
        if self.body_bytes == Some(0) {
            return Verdict::next();
        }
        match self.admit(request) {
            Ok(running) => {
                self.running = Some(running);
                Verdict::next()
            }
            Err(refused) => {
                metrics::count("refused", &[("code", refused.code())], 1);
                refused.into_verdict()
            }
        }
    }

    fn on_event(&mut self, event: &mut Event) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.is_stream = true;
        let counted = running.counted.and(event, self.settings.bytes_per_token);
        let is_covered =
            self.settings.at_edge == AtEdge::Allow || running.held.covers(counted.tokens());
        if is_covered {
            running.counted = counted;
        } else {
            running.counted.cut(event, running.estimate.choices);
            metrics::count("cut", &[("tier", running.tier)], 1);
        }
    }

    fn on_finish(&mut self, outcome: &Outcome) {
        let Some(running) = self.running.take() else {
            return;
        };
        let streamed = running.is_stream.then(|| running.counted.tokens());
        let used = settle::used(outcome, running.estimate, streamed);
        running.held.settle(used);
        metrics::count("tokens", &[("tier", running.tier)], used.total());
        if let Some(price) = running.price {
            report::spent(self.payer.caller(), price.label(), price.cost(used));
        }
    }
}

impl TokenBudget {
    fn admit(&self, request: &Request) -> Result<Running, Refused> {
        let (tier, budget) = self.budget().ok_or(Refused::NoBudget)?;
        let payer = self.payer.bucket(self.settings, request)?;
        let stated = Stated::of(request, self.settings.prices.is_some());
        let model = stated.model.as_deref().or(self.model.as_deref());
        let price = self.settings.price_of(model)?;
        let body_bytes = self.body_bytes.unwrap_or(0);
        let output_max = budget.output_max(price);
        let estimate = Estimate::of(stated, body_bytes, self.settings, output_max);
        let accounts = account::all(self.settings, budget, price, &payer, clock::now_ms);
        if let Some(refused) = Refused::too_large(&accounts, estimate) {
            return Err(refused);
        }
        let held =
            Held::reserve(accounts, estimate).map_err(|short| Refused::of(short, estimate))?;
        Ok(Running {
            estimate,
            held,
            counted: Counted::default(),
            is_stream: self.is_streaming,
            tier,
            price,
        })
    }

    fn budget(&self) -> Option<(&'static str, &'static Budget)> {
        self.settings.budget_of(self.payer.tier.as_deref())
    }
}
