//! One batch of a stream's events through the event hooks, from the inside out.

use bytes::{Bytes, BytesMut};
use tollgate_sandbox::contract::{Event, EventAction, EventsDecision, Hooks};

use super::{
    errors::ServeError,
    introduction::Introduction,
    record::Decided,
    sse::{Frame, encode, is_done},
    state::Exchange,
};
use crate::trace::hook_name;

/// A batch ends here, so that neither a hook's call nor a chunk grows without bound.
const EVENTS_MAX: usize = 256;
const BYTES_MAX: usize = 64 * 1024;

/// Whether there is more to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    GoesOn,
    /// A policy ended the stream.
    Cut,
}

/// The events that are ready, and what came with them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: Vec<Event>,
    /// One for each event: its bytes as they came; `None`: a policy made it.
    raws: Vec<Option<Bytes>>,
    /// Comments and the like. They go first and are shown to nobody.
    others: Vec<Bytes>,
    bytes: usize,
    /// The upstream's stream ended after these.
    pub(super) last: bool,
    /// A policy cannot send the `[DONE]`: the host does.
    pub(super) host_ends: bool,
}

impl Batch {
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.raw.len();
        match frame.to_event() {
            Some(event) => {
                self.events.push(event);
                self.raws.push(Some(frame.raw));
            }
            None => self.others.push(frame.raw),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.others.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX
    }

    /// The bytes for the client; untouched events byte for byte.
    pub(super) fn write(&self) -> Bytes {
        if let ([], [Some(only)]) = (self.others.as_slice(), self.raws.as_slice()) {
            return only.clone();
        }
        let mut out = BytesMut::with_capacity(self.bytes);
        for other in &self.others {
            out.extend_from_slice(other);
        }
        for (event, raw) in self.events.iter().zip(&self.raws) {
            match raw {
                Some(raw) => out.extend_from_slice(raw),
                None => out.extend_from_slice(&encode(event)),
            }
        }
        out.freeze()
    }

    /// How many events are not what they were, and whether the stream goes on.
    fn apply(&mut self, decision: EventsDecision) -> (u64, Flow) {
        let EventsDecision { actions, append } = decision;
        if append.is_empty()
            && actions
                .iter()
                .all(|action| matches!(action, EventAction::Keep))
        {
            return (0, Flow::GoesOn);
        }
        let events = std::mem::take(&mut self.events).into_iter();
        let raws = std::mem::take(&mut self.raws);
        let mut actions = actions.into_iter();
        let mut changed = 0;
        for (event, raw) in events.zip(raws) {
            match actions.next().unwrap_or(EventAction::Keep) {
                EventAction::Keep => {
                    self.events.push(event);
                    self.raws.push(raw);
                    continue;
                }
                EventAction::Replace(new) => self.add(new),
                EventAction::Drop => {}
                EventAction::End(new) => {
                    self.add(new);
                    return (changed + 1, Flow::Cut);
                }
            }
            changed += 1;
        }
        changed += append.len() as u64;
        self.add(append);
        (changed, Flow::GoesOn)
    }

    fn add(&mut self, events: Vec<Event>) {
        for event in events {
            if !(self.host_ends && is_done(&event.data)) {
                self.events.push(event);
                self.raws.push(None);
            }
        }
    }
}

/// Shows a batch to the event hooks, each what the ones before left of it. After a
/// cut, the policies further out are told that it is the last.
///
/// # Errors
/// A failure that is not to be bypassed, or a client that left.
pub(super) async fn ask_events(
    exchange: &mut Exchange,
    batch: &mut Batch,
) -> Result<Flow, ServeError> {
    let Exchange {
        slots,
        record,
        gone,
        deadline,
        ..
    } = exchange;
    let mut flow = Flow::GoesOn;
    for slot in slots
        .iter_mut()
        .rev()
        .filter(|slot| slot.wants(Hooks::EVENTS))
    {
        if batch.events.is_empty() && !batch.last {
            break;
        }
        if gone.is_gone() {
            return Err(ServeError::ClientGone);
        }
        let introduce = || Introduction::of_response(record, &record.facts, *deadline);
        let Some(session) = slot.session(record, introduce).await? else {
            continue;
        };
        let shown = batch.events.len() as u64;
        let decided = session.on_events(&batch.events, batch.last).await;
        slot.note_events(&batch.events, &decided);
        match decided {
            Err(failure) => slot.failed(failure, hook_name(Hooks::EVENTS), record)?,
            Ok(decision) => {
                let (changed, after) = batch.apply(decision);
                slot.record().events += shown;
                slot.record().events_changed += changed;
                if after == Flow::Cut {
                    slot.record().decided = Decided::End;
                    batch.last = true;
                    flow = Flow::Cut;
                } else if slot.record().decided == Decided::Nothing {
                    slot.record().decided = Decided::Next;
                }
            }
        }
    }
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::sse::Framer;

    fn batch(text: &'static str) -> Batch {
        let mut framer = Framer::new(1 << 16);
        framer.feed(Bytes::from_static(text.as_bytes()));
        let mut batch = Batch::default();
        while let Some(frame) = framer.next_frame().unwrap() {
            batch.push(frame);
        }
        batch
    }

    fn event(data: &str) -> Event {
        Event {
            name: None,
            data: data.into(),
        }
    }

    #[test]
    fn untouched_events_go_on_byte_for_byte() {
        let text = ":ping\n\nid: 7\ndata:a\r\n\r\nevent: x\ndata: b\n\n";
        let mut batch = batch(text);
        assert_eq!(batch.write(), text);
        let keep = EventsDecision {
            actions: vec![EventAction::Keep],
            append: Vec::new(),
        };
        assert_eq!(batch.apply(keep), (0, Flow::GoesOn));
        assert_eq!(batch.write(), text);
    }

    #[test]
    fn events_are_replaced_dropped_and_added() {
        let mut batch = batch("data: a\n\ndata: b\n\ndata: c\n\n");
        let actions = vec![
            EventAction::Drop,
            EventAction::Replace(vec![event("x"), event("y")]),
        ];
        assert_eq!(
            batch.apply(EventsDecision {
                actions,
                append: vec![event("z")]
            }),
            (3, Flow::GoesOn)
        );
        assert_eq!(
            batch.write(),
            "data: x\n\ndata: y\n\ndata: c\n\ndata: z\n\n"
        );
    }

    #[test]
    fn what_follows_an_end_is_gone_and_the_mark_is_the_hosts() {
        let mut batch = batch("data: a\n\ndata: b\n\ndata: c\n\n");
        batch.host_ends = true;
        let actions = vec![
            EventAction::Keep,
            EventAction::End(vec![event("cut"), event("[DONE]")]),
        ];
        assert_eq!(
            batch.apply(EventsDecision {
                actions,
                append: vec![event("z")]
            }),
            (1, Flow::Cut)
        );
        assert_eq!(batch.write(), "data: a\n\ndata: cut\n\n");
    }
}
