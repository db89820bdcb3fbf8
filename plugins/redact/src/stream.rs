//! What is done to the events of a stream: each text in it is held back only as far as
//! something may still come of it, and events keep their order.
//!
//! A choice's content and the arguments of each tool call are texts of their own. What is
//! left of one is sent where its choice or block is finished, or at the end.

mod ends;
mod tail;

use ends::Ends;
use tollgate_sdk::{Event, RawEvent};

use crate::{
    body::replace_text,
    find::Match,
    held::{Held, Spelling},
    json::{Spot, Step, Texts},
    rules::Rules,
    splice::Splices,
};

/// So many texts are followed at once; pieces of others are looked at one by one.
const TEXTS_MAX: usize = 1024;

/// The texts of one stream.
#[derive(Default)]
pub(crate) struct Stream {
    open: Vec<Open>,
}

/// A text of which more may come.
struct Open {
    way: Vec<Step>,
    /// The `type` of its events.
    kind: Option<String>,
    held: Held,
    /// The event that the last piece came with, while something is held.
    last: Option<RawEvent>,
}

impl Stream {
    /// One event. If nothing comes of it, it stays untouched.
    pub(crate) fn take(
        &mut self,
        rules: &Rules,
        event: &mut Event,
        found: &mut impl FnMut(&Match),
    ) {
        if event.is_done() {
            send_before(event, self.end(rules, found));
            return;
        }
        let raw = event.raw();
        let Ok(json) = std::str::from_utf8(&raw.data) else {
            return;
        };
        // An event that cannot be followed says nothing to a client either.
        let mut no_bound = usize::MAX;
        let texts = Texts::find(json, "", &mut no_bound).unwrap_or_default();
        let ends = Ends::of(&texts);
        let mut splices = Splices::default();
        for spot in &texts.list {
            let new = match self.text_at(&texts, spot) {
                Some(open) => open.take(
                    rules,
                    spot,
                    raw,
                    ends.have(&open.way, open.kind.as_deref()),
                    found,
                ),
                None => replace_text(rules, spot.spelling, &spot.said, found),
            };
            if let Some(new) = new {
                splices.put_string(spot.span.clone(), &new);
            }
        }
        let tails = self.end_where(rules, found, |open| {
            ends.have(&open.way, open.kind.as_deref())
        });
        if !splices.is_empty() {
            for span in &texts.logprobs {
                splices.put(span.clone(), "null".to_owned());
            }
            let data = splices.apply(json);
            event.set_data(data);
        }
        send_before(event, tails);
    }

    /// What is left of all texts.
    pub(crate) fn end(&mut self, rules: &Rules, found: &mut impl FnMut(&Match)) -> Vec<RawEvent> {
        self.end_where(rules, found, |_| true)
    }

    fn end_where(
        &mut self,
        rules: &Rules,
        found: &mut impl FnMut(&Match),
        is_over: impl Fn(&Open) -> bool,
    ) -> Vec<RawEvent> {
        let mut tails = Vec::new();
        self.open.retain_mut(|open| {
            let is_over = is_over(open);
            if let Some(last) = open.last.take_if(|_| is_over) {
                let text = open.held.push(rules, "", true, found);
                if !text.is_empty() {
                    tails.push(tail::event(&last, &open.way, &text));
                }
            }
            !is_over
        });
        tails
    }

    /// The text that a piece belongs to; `None` if it is no piece, but all of its text.
    fn text_at(&mut self, texts: &Texts, spot: &Spot) -> Option<&mut Open> {
        let kind = texts.kind.as_deref();
        let is_it = |open: &Open| open.kind.as_deref() == kind && texts.is_at(spot, &open.way);
        if let Some(place) = self.open.iter().position(is_it) {
            return Some(&mut self.open[place]);
        }
        let way = texts.way_to(spot);
        if !is_piece(&way) || self.open.len() == TEXTS_MAX {
            return None;
        }
        let is_arguments = kind.is_some_and(|kind| kind.ends_with("_arguments.delta"));
        let spelling = if is_arguments {
            Spelling::Json
        } else {
            spot.spelling
        };
        self.open.push(Open {
            way,
            kind: kind.map(str::to_owned),
            held: Held::new(spelling),
            last: None,
        });
        self.open.last_mut()
    }
}

impl Open {
    /// `None` if the piece is sent as it came.
    fn take(
        &mut self,
        rules: &Rules,
        spot: &Spot,
        event: &RawEvent,
        is_last: bool,
        found: &mut impl FnMut(&Match),
    ) -> Option<String> {
        let new = self.held.push(rules, &spot.said, is_last, found);
        self.last = self.held.is_holding().then(|| event.clone());
        (new != spot.said).then_some(new)
    }
}

fn send_before(event: &mut Event, tails: Vec<RawEvent>) {
    for tail in tails {
        event.send_before(tail);
    }
}

/// In `choices` what stands in `delta` or is `text`; else what is or stands in `delta`.
fn is_piece(way: &[Step]) -> bool {
    let names: Vec<&str> = way.iter().skip(1).map(|step| step.name.as_str()).collect();
    matches!(
        names[..],
        ["choices", "delta", ..] | ["choices", "text"] | ["delta", ..]
    )
}
