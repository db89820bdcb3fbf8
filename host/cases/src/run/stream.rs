//! What the client is sent of a stream, event by event.

use serde_json::Value;
use tollgate_sandbox::contract::{Event, EventAction, EventsDecision};

use crate::shown;

/// Whether there is more to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    GoesOn,
    /// The policy ended the stream.
    Cut,
}

/// Whether it is the mark that ends a stream of OpenAI's.
pub(super) fn is_done(event: &Event) -> bool {
    event.data.trim_ascii() == b"[DONE]"
}

/// What the client is sent so far.
pub(super) struct Sent {
    events: Vec<Value>,
    /// The mark at the end is the gateway's to send, and no policy's.
    host_ends: bool,
}

impl Sent {
    pub(super) fn new(host_ends: bool) -> Self {
        Self {
            events: Vec::new(),
            host_ends,
        }
    }

    /// Sends the events as they are.
    pub(super) fn keep(&mut self, events: &[Event]) {
        self.events.extend(events.iter().map(shown::event));
    }

    /// Carries out a decision on events.
    pub(super) fn decided(&mut self, batch: &[Event], decision: EventsDecision) -> Flow {
        let mut actions = decision.actions.into_iter();
        for event in batch {
            match actions.next().unwrap_or(EventAction::Keep) {
                EventAction::Keep => self.keep(std::slice::from_ref(event)),
                EventAction::Drop => {}
                EventAction::Replace(events) => self.add(&events),
                EventAction::End(events) => {
                    self.add(&events);
                    return Flow::Cut;
                }
            }
        }
        self.add(&decision.append);
        Flow::GoesOn
    }

    /// Everything, with the upstream's mark at its end.
    pub(super) fn all(mut self, done: Option<&Event>) -> Vec<Value> {
        self.events.extend(done.map(shown::event));
        self.events
    }

    fn add(&mut self, events: &[Event]) {
        let events = events
            .iter()
            .filter(|event| !(self.host_ends && is_done(event)));
        self.events.extend(events.map(shown::event));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(data: &str) -> Event {
        Event {
            name: None,
            data: data.into(),
        }
    }

    #[test]
    fn what_follows_an_end_is_gone_and_the_mark_is_the_gateways() {
        let batch = ["a", "b", "c"].map(event);
        let mut sent = Sent::new(true);
        let flow = sent.decided(
            &batch,
            EventsDecision {
                actions: vec![
                    EventAction::Keep,
                    EventAction::End(vec![event("cut"), event("[DONE]")]),
                ],
                append: vec![event("z")],
            },
        );
        assert_eq!(flow, Flow::Cut);
        assert_eq!(
            sent.all(Some(&event("[DONE]"))),
            [
                json!({ "data": "a" }),
                json!({ "data": "cut" }),
                json!({ "data": "[DONE]" })
            ]
        );
    }
}
