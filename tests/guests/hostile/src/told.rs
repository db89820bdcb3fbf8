//! Samples whose hooks trap where they are told what no gateway would tell them.

use core::arch::wasm32::unreachable;

use crate::tollgate::policy::{
    exchange::Message,
    types::{Decision, Ending, Event, Expectation, Head, Outcome, Refusal, Sample, Verdict},
};

/// The modes, by what the sample comes to: refused in one hook or the other, or a
/// stream.
const REFUSED: &str = "told-refused";
const AT_TARGET: &str = "told-refused-at-target";
const STREAM: &str = "told-stream";

pub fn samples(mode: &str, plain: impl Fn(Expectation) -> Sample) -> Option<Vec<Sample>> {
    let event = |data: &str| Event {
        name: None,
        data: data.as_bytes().to_vec(),
    };
    Some(match mode {
        REFUSED | AT_TARGET => vec![plain(Expectation::Answered(403))],
        STREAM => vec![Sample {
            events: vec![event("one"), event("[DONE]")],
            ..plain(Expectation::Forwarded)
        }],
        _ => return None,
    })
}

/// The body asks for no stream, whatever comes.
pub fn opens(mode: &str, head: &Head) {
    expect(mode != STREAM || !head.streaming);
}

pub fn on_request(mode: &str) -> Option<Decision> {
    (mode == REFUSED).then(refused)
}

pub fn on_attempt(mode: &str) -> Option<Decision> {
    (mode == AT_TARGET).then(refused)
}

pub fn on_response(mode: &str, response: &Message) {
    expect(mode != REFUSED && mode != AT_TARGET);
    let kind = response.header("content-type");
    expect(mode != STREAM || kind.as_deref() == Some(b"text/event-stream"));
}

/// A mark at the end is the host's.
pub fn on_events(mode: &str, batch: &[Event]) {
    expect(mode != STREAM || batch.iter().all(|event| event.data == b"one"));
}

pub fn on_finish(mode: &str, outcome: &Outcome) {
    let refused_after = |attempts| {
        let is_refused = matches!(outcome.ending, Ending::Refused) && outcome.status == 403;
        is_refused && outcome.attempts == attempts && outcome.usage.is_none()
    };
    expect(match mode {
        REFUSED => refused_after(0) && outcome.upstream.is_none(),
        AT_TARGET => refused_after(1) && outcome.upstream.is_some(),
        _ => true,
    });
}

fn refused() -> Decision {
    Decision {
        verdict: Verdict::Refuse(Refusal {
            status: 403,
            code: "no".to_owned(),
            message: String::new(),
            retry_after_ms: None,
        }),
        edits: Vec::new(),
    }
}

fn expect(is_so: bool) {
    if !is_so {
        unreachable();
    }
}
