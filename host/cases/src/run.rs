//! One exchange, hook by hook, and what is written down of it.

mod calls;

use std::{sync::Arc, time::Duration};

use tollgate_sandbox::{
    Hook, Message, Policy,
    contract::{Endpoint, Event},
    dry_run::{self, Answer, Attached, Content, Exchange, Observer},
};

use crate::{
    case::{self, Case},
    got::{Cost, Got, Step},
    shown,
    world::Notes,
};

/// Runs the case through every hook that the policy has. What is only measured is not
/// written down.
pub(crate) async fn run(
    case: &Case,
    policy: &Arc<Policy>,
    (notes, is_measured): (&Notes, bool),
) -> Got {
    let exchange = Exchange {
        is_recorded: !is_measured && calls::are_seen_in_recordings(policy),
        ..exchange(case)
    };
    let mut notebook = Notebook {
        policy,
        notes,
        endpoints: &case.endpoints,
        spent: (Duration::ZERO, 0),
        got: Got::default(),
    };
    // What failed is written down.
    let _ = dry_run::run(policy, exchange, &mut notebook).await;
    policy.retire();
    notebook.got
}

/// Writes down what a policy does, step by step.
struct Notebook<'a> {
    policy: &'a Policy,
    notes: &'a Notes,
    endpoints: &'a [Endpoint],
    spent: (Duration, u32),
    got: Got,
}

impl Observer for Notebook<'_> {
    fn step(&mut self, seen: dry_run::Step<'_>) {
        let mut step = Step::new(seen.hook.map_or("open", Hook::name));
        self.notes.take_into(&mut step);
        if let Some(decision) = seen.decision {
            step.edits = decision.edits.iter().map(shown::edit).collect();
            let is_applied = seen.failure.is_none();
            step.verdict = is_applied.then(|| shown::verdict(&decision.verdict));
        }
        let planned = seen.planned;
        step.plan = planned.plan.map(|plan| shown::plan(&plan));
        step.shadow = planned.shadow.map(|to| shown::destination(&to));
        if let Some(scores) = planned.scores {
            step.scores = Some(shown::scores(self.endpoints, &scores));
            step.picks = Some(shown::picks(self.endpoints, &scores));
        }
        step.failure = seen.failure.map(Into::into);
        if let Some(session) = seen.session {
            if let Some(recording) = session.take_recording() {
                step.calls.extend(calls::lines(&recording));
            }
            let spent = session.spent();
            step.cost = Cost {
                time: spent.time.saturating_sub(self.spent.0),
                memory_bytes: self.policy.stats().memory_peak_bytes,
                host_calls: spent.host_calls.saturating_sub(self.spent.1),
            };
            self.spent = (spent.time, spent.host_calls);
        }
        self.got.steps.push(step);
    }

    fn sent(&mut self, events: Vec<Event>) {
        self.got.events = Some(events.iter().map(shown::event).collect());
    }
}

fn exchange(case: &Case) -> Exchange {
    let request = &case.request;
    Exchange {
        route: request.route.clone(),
        request: Message {
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: Some(request.body.clone()),
            facts: request.facts.clone().into_iter().collect(),
            ..Message::default()
        },
        attached: match case.is_at_target {
            true => Attached::Target,
            false => Attached::Route,
        },
        target: case.target.clone(),
        endpoints: case.endpoints.clone(),
        answer: answer(&case.answer),
        is_recorded: false,
    }
}

fn answer(answer: &case::Answer) -> Answer {
    let document = &answer.document;
    Answer {
        status: document.status,
        headers: document.headers.clone(),
        content: match &answer.events {
            None => Content::Document(document.body.clone()),
            Some(events) if answer.together => Content::Stream(vec![events.clone()]),
            Some(events) => Content::Stream(events.chunks(1).map(<[_]>::to_vec).collect()),
        },
        usage: answer.usage,
        ending: answer.ending,
    }
}
