//! What the client is sent of a stream, event by event.

use crate::contract::{Event, EventAction, EventsDecision};

/// Whether there is more to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    GoesOn,
    /// The policy ended the stream.
    Cut,
}

/// Takes the mark away that ends a stream of OpenAI's, if it does.
pub(super) fn take_done(batches: &mut [Vec<Event>]) -> Option<Event> {
    let last = batches.iter_mut().rfind(|batch| !batch.is_empty())?;
    last.pop_if(|event| is_done(event))
}

fn is_done(event: &Event) -> bool {
    event.data.trim_ascii() == b"[DONE]"
}

/// What the client is sent so far.
pub(super) struct Sent {
    events: Vec<Event>,
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
    pub(super) fn keep(&mut self, events: impl IntoIterator<Item = Event>) {
        self.events.extend(events);
    }

    /// Carries out a decision on events.
    pub(super) fn decided(&mut self, batch: &[Event], decision: EventsDecision) -> Flow {
        let mut actions = decision.actions.into_iter();
        for event in batch {
            match actions.next().unwrap_or(EventAction::Keep) {
                EventAction::Keep => self.events.push(event.clone()),
                EventAction::Drop => {}
                EventAction::Replace(events) => self.add(events),
                EventAction::End(events) => {
                    self.add(events);
                    return Flow::Cut;
                }
            }
        }
        self.add(decision.append);
        Flow::GoesOn
    }

    /// Everything, with the upstream's mark at its end.
    pub(super) fn all(mut self, done: Option<Event>) -> Vec<Event> {
        self.events.extend(done);
        self.events
    }

    fn add(&mut self, events: Vec<Event>) {
        let host_ends = self.host_ends;
        let events = events.into_iter();
        let events = events.filter(|event| !(host_ends && is_done(event)));
        self.events.extend(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> Event {
        Event {
            name: None,
            data: data.into(),
        }
    }

    fn texts(events: Vec<Event>) -> Vec<String> {
        let text = |event: Event| String::from_utf8(event.data).expect("a text");
        events.into_iter().map(text).collect()
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
        let all = sent.all(Some(event("[DONE]")));
        assert_eq!(texts(all), ["a", "cut", "[DONE]"]);
    }

    #[test]
    fn the_mark_is_taken_off_the_end_and_nowhere_else() {
        let batches = |all: &[&[&str]]| -> Vec<Vec<Event>> {
            let batch = |texts: &&[&str]| texts.iter().map(|text| event(text)).collect();
            all.iter().map(batch).collect()
        };
        for (all, left, is_there) in [
            (&[&["a", "[DONE]"][..]][..], &["a"][..], true),
            (&[&["a"], &["[DONE]\n"], &[]], &["a"], true),
            (&[&["[DONE]"], &["a"]], &["[DONE]", "a"], false),
            (&[], &[], false),
        ] {
            let mut batches = batches(all);
            assert_eq!(take_done(&mut batches).is_some(), is_there, "{all:?}");
            assert_eq!(texts(batches.concat()), left, "{all:?}");
        }
    }
}
