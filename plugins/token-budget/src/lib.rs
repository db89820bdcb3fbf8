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

use account::Unit;
use count::Counted;
use estimate::{Estimate, Stated};
use held::{Held, Short};
use payer::Payer;
use price::Price;
use refusal::Refused;
pub use settings::Settings;
use settings::{AtEdge, Budget};
use tollgate_sdk::{
    clock,
    limits::{self, Counter, Limit, Tokens},
    log, metrics,
    prelude::*,
};

/// One exchange: what is known of it, and what is held for it.
pub struct TokenBudget {
    settings: &'static Settings,
    payer: Payer,
    head: Head,
    running: Option<Running>,
    /// For a stream that nobody asked for.
    came_back: bool,
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

#[policy(needs(request_json), stateless)]
impl Policy for TokenBudget {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        Self {
            settings,
            payer: Payer::of(head),
            head: head.clone(),
            running: None,
            came_back: false,
        }
    }

    /// What has no body calls no model, and takes no tokens.
    fn on_request(&mut self, request: &mut Request) -> Verdict {
        if !self.head.has_body() {
            request.leave();
            return Verdict::next();
        }
        match self.admit(request) {
            Ok(None) => {
                request.leave();
                Verdict::next()
            }
            Ok(running) => {
                self.running = running;
                Verdict::next()
            }
            Err(refused) => {
                metrics::count("refused", &[("code", refused.code())], 1);
                refused.into_verdict()
            }
        }
    }

    fn on_event(&mut self, event: &mut Event) {
        if self.running.is_none() && !self.came_back {
            self.came_back = true;
            self.running = self.unasked();
        }
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
    /// `None`: the gateway charges what is used, and there is nothing more to do.
    fn admit(&self, request: &Request) -> Result<Option<Running>, Refused> {
        let (tier, budget) = self.budget().ok_or(Refused::NoBudget)?;
        let payer = self
            .payer
            .bucket(self.settings, |fact| request.fact(fact))?;
        let stated = Stated::of(request, self.settings);
        let model = stated.model.as_deref().or(self.head.model.as_deref());
        let price = self.settings.price_of(model)?;
        let output_max = budget.output_max(price);
        let output = stated.output(self.settings, output_max);
        let by_gateway = self.needs_no_end(price).then(|| {
            let limit = budget.limit();
            self.hold(&payer, (&limit, output), tier)
        });
        if let Some(Ok(())) = by_gateway {
            return Ok(None);
        }
        // Only where it was refused does it matter by how much.
        let body_bytes = self.head.body_bytes().unwrap_or(0);
        let estimate = Estimate::of(&stated, body_bytes, self.settings, output_max);
        let accounts = account::all(self.settings, budget, price, &payer, clock::now_ms);
        if let Some(refused) = Refused::too_large(&accounts, estimate) {
            return Err(refused);
        }
        let refused = |short| Refused::of(short, estimate);
        if let Some(Err(error)) = by_gateway
            && estimate.output == output
        {
            let unit = Unit::Tokens(budget);
            return Err(refused(Short { unit, error }));
        }
        let held = Held::reserve(accounts, estimate).map_err(refused)?;
        Ok(Some(Running {
            estimate,
            held,
            counted: Counted::default(),
            is_stream: self.head.streaming,
            tier,
            price,
        }))
    }

    /// Whether it is known now how the request will be charged: not by the events of a stream,
    /// nor in money, whose days and months are counted here. Should a stream come all the same,
    /// the payer has to be known without the request.
    fn needs_no_end(&self, price: Option<&Price>) -> bool {
        !self.head.streaming && price.is_none() && self.settings.scope.is_told()
    }

    /// A stream that nobody asked for, of a request that was let through by a session before:
    /// what that one held was given back, and the output is held as it comes.
    fn unasked(&self) -> Option<Running> {
        if !self.head.has_body() {
            return None;
        }
        let (tier, budget) = self.budget()?;
        let payer = self.payer.bucket(self.settings, |_| None).ok()?;
        let bytes = self.head.body_bytes().unwrap_or(0);
        let estimate = Estimate {
            input: bytes.div_ceil(self.settings.bytes_per_token.get()),
            ..Estimate::NOTHING
        };
        let hold = |estimate| {
            let accounts = account::all(self.settings, budget, None, &payer, clock::now_ms);
            Held::reserve(accounts, estimate).ok()
        };
        // Of nothing there is always enough, and the end has a reservation to charge.
        let Some(held) = hold(estimate).or_else(|| hold(Estimate::NOTHING)) else {
            log::warn("the budget cannot be asked, so a stream that nobody asked for goes on");
            return None;
        };
        Some(Running {
            estimate,
            held,
            counted: Counted::default(),
            is_stream: true,
            tier,
            price: None,
        })
    }

    /// Has the gateway hold it, by the length of a body that is not asked for here.
    fn hold(
        &self,
        payer: &str,
        (limit, output): (&Limit, u64),
        tier: &str,
    ) -> Result<(), limits::Error> {
        let tokens = Tokens {
            bytes_per_token: self.settings.bytes_per_token.get(),
            output,
        };
        let counter = Counter {
            name: "tokens".to_owned(),
            labels: vec![("tier".to_owned(), tier.to_owned())],
        };
        limits::hold_tokens(payer, limit, tokens, Some(&counter))
    }

    fn budget(&self) -> Option<(&'static str, &'static Budget)> {
        self.settings.budget_of(self.payer.tier.as_deref())
    }
}
