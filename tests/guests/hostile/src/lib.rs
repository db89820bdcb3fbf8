//! A plugin that misbehaves as its settings say: `mode` is what it does, `hook`
//! where, `text` and `amount` with what. Without a `mode` it behaves. Unless it is to
//! misbehave `always`, it does so only where the path begins with `/strike`.
//! With the mode `ask`, the exchange says all that in the name of its route, and a tick is
//! told by the key `plan` of the store. What a tick did is kept as `ticked`, and it asks for
//! the next in `amount` milliseconds, if it is to do anything.
//!
//! It is built on the bare contract and not on the SDK, since it has to be able to
//! break the rules of the canonical ABI too.
#![cfg(target_arch = "wasm32")]

mod deeds;
mod forgery;
mod plan;
mod told;
mod verdicts;

use std::cell::RefCell;

use exports::tollgate::policy::policy::{Description, Guest, GuestSession, Hooks, Needs};
use plan::Plan;
use tollgate::policy::{
    exchange::Message,
    types::{
        Decision, Edit, Event, EventAction, EventsDecision, Expectation, Head, Header, Outcome,
        Sample, Target, Verdict,
    },
};

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

mod timed {
    wit_bindgen::generate!({ path: "../../../sdk/wit", world: "timed" });
}

/// What it misbehaves with, besides the settings.
pub struct Scene<'a> {
    pub plan: &'static Plan,
    pub path: &'a str,
    pub message: Option<&'a Message>,
}

struct Hostile;

struct Session {
    path: String,
    held: RefCell<Vec<Event>>,
}

impl Session {
    /// Misbehaves, if it is here that it should. What came of it, if it came back.
    fn strike(&self, hook: &str, message: Option<&Message>) -> Option<String> {
        let plan = plan::get();
        let now = plan.hook == hook && (plan.always || self.path.starts_with("/strike"));
        now.then(|| {
            deeds::commit(&Scene {
                plan,
                path: &self.path,
                message,
            })
        })
    }

    fn decide(&self, hook: &str, message: &Message) -> Decision {
        let seen = self.strike(hook, Some(message));
        let plan = plan::get();
        match seen {
            None => next(Vec::new()),
            Some(seen) => verdicts::made(plan)
                .unwrap_or_else(|| next(vec![set_header("x-seen", seen.as_bytes())])),
        }
    }
}

pub fn next(edits: Vec<Edit>) -> Decision {
    Decision {
        verdict: Verdict::Next,
        edits,
    }
}

pub fn set_header(name: &str, value: &[u8]) -> Edit {
    Edit::SetHeader(Header {
        name: name.to_owned(),
        value: value.to_vec(),
    })
}

impl Guest for Hostile {
    type Session = Session;

    fn describe() -> Description {
        Description {
            name: "hostile".to_owned(),
            version: "1.0.0".to_owned(),
            hooks: Hooks::from_bits_retain(0b1_1111),
            needs: Needs::empty(),
            settings_schema: r#"{"type":"object"}"#.to_owned(),
        }
    }

    fn configure(settings: String) -> Result<(), Vec<String>> {
        let plan = plan::set(&settings);
        if plan.hook == "configure" {
            if plan.mode == "errors" {
                return Err(vec![plan.text.repeat(plan.amount.max(1) as usize)]);
            }
            deeds::commit(&Scene {
                plan,
                path: "",
                message: None,
            });
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        let plan = plan::get();
        if plan.hook != "samples" {
            return Vec::new();
        }
        if let Some(samples) = told::samples(&plan.mode, sample) {
            return samples;
        }
        match plan.mode.as_str() {
            "expects-403" => vec![sample(Expectation::Answered(403))],
            "traps-in-sample" => vec![sample(Expectation::Runs)],
            "many" => (0..plan.amount)
                .map(|_| sample(Expectation::Runs))
                .collect(),
            _ => {
                deeds::commit(&Scene {
                    plan,
                    path: "",
                    message: None,
                });
                Vec::new()
            }
        }
    }
}

impl timed::exports::tollgate::policy::timer::Guest for Hostile {
    fn on_tick() -> Option<u64> {
        if plan::get().mode == "ask" {
            let told = tollgate::policy::kv::get("plan").ok().flatten();
            plan::ask(&String::from_utf8_lossy(&told.unwrap_or_default()));
        }
        let plan = plan::get();
        if plan.hook != "tick" {
            return None;
        }
        let seen = deeds::commit(&Scene {
            plan,
            path: "",
            message: None,
        });
        let _ = tollgate::policy::kv::put("ticked", seen.as_bytes(), 0);
        Some(plan.amount)
    }
}

fn sample(expect: Expectation) -> Sample {
    Sample {
        name: "the sample".to_owned(),
        method: "POST".to_owned(),
        path: "/sample".to_owned(),
        headers: Vec::new(),
        body: "{}".to_owned(),
        facts: Vec::new(),
        response_status: 200,
        response_body: "{}".to_owned(),
        events: Vec::new(),
        expect,
    }
}

impl GuestSession for Session {
    fn new(head: Head) -> Self {
        plan::ask(&head.route);
        told::opens(&plan::get().mode, &head);
        let session = Self {
            path: head.path,
            held: RefCell::default(),
        };
        session.strike("open", None);
        session
    }

    fn on_request(&self, request: &Message) -> Decision {
        let plan = plan::get();
        if plan.mode == "traps-in-sample" && self.path == "/sample" {
            core::arch::wasm32::unreachable();
        }
        if plan.mode.is_empty() {
            let host = request.header("host").unwrap_or_default();
            let answer = [
                plan.text.as_bytes(),
                b" ",
                self.path.as_bytes(),
                b" ",
                &host,
            ]
            .concat();
            return next(vec![set_header("x-neighbour", &answer)]);
        }
        told::on_request(&plan.mode).unwrap_or_else(|| self.decide("request", request))
    }

    fn on_attempt(&self, _target: Target, request: &Message) -> Decision {
        let told = told::on_attempt(&plan::get().mode);
        told.unwrap_or_else(|| self.decide("attempt", request))
    }

    fn on_response(&self, _status: u16, response: &Message) -> Decision {
        told::on_response(&plan::get().mode, response);
        self.decide("response", response)
    }

    fn on_events(&self, batch: Vec<Event>, last: bool) -> EventsDecision {
        let plan = plan::get();
        told::on_events(&plan.mode, &batch);
        let nothing = EventsDecision {
            actions: Vec::new(),
            append: Vec::new(),
        };
        if plan.hook != "events" || !self.path.starts_with("/strike") {
            return nothing;
        }
        let amount = plan.amount as usize;
        let event = |data: Vec<u8>| Event { name: None, data };
        match plan.mode.as_str() {
            "more-actions" => EventsDecision {
                actions: vec![EventAction::Drop; amount],
                ..nothing
            },
            "hold" => {
                let dropped = vec![EventAction::Drop; batch.len()];
                self.held.borrow_mut().extend(batch);
                EventsDecision {
                    actions: dropped,
                    ..nothing
                }
            }
            "huge-event" => EventsDecision {
                actions: vec![EventAction::Replace(vec![event(vec![b'x'; amount])])],
                ..nothing
            },
            "many-events" => EventsDecision {
                actions: vec![EventAction::Replace(
                    (0..amount).map(|_| event(Vec::new())).collect(),
                )],
                ..nothing
            },
            "event-name" => EventsDecision {
                append: vec![Event {
                    name: Some(plan.text.clone()),
                    data: Vec::new(),
                }],
                ..nothing
            },
            "event-bytes" => EventsDecision {
                append: vec![event(vec![0xff, 0xfe])],
                ..nothing
            },
            "end-always" => EventsDecision {
                actions: batch.iter().map(|_| EventAction::End(Vec::new())).collect(),
                append: if last {
                    vec![event(b"after the end".to_vec())]
                } else {
                    Vec::new()
                },
            },
            _ => {
                self.strike("events", None);
                nothing
            }
        }
    }

    fn on_finish(&self, outcome: Outcome) {
        told::on_finish(&plan::get().mode, &outcome);
        self.strike("finish", None);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.strike("drop", None);
    }
}

export!(Hostile);
timed::export!(Hostile with_types_in timed);
