//! The output of a stream, counted as it passes, and how a stream is cut.
//!
//! Tokens are estimated: no fewer than events with text, as most upstreams send one
//! token an event, and no fewer than the text's bytes make.

use std::num::NonZeroU64;

use tollgate_sdk::prelude::*;

use crate::scan::{Found, scan};

/// Choices whose ends are told apart; an answer with more is ended for these.
const CHOICES_MAX: u64 = 64;

#[derive(Clone, Copy, Default)]
pub(crate) struct Counted {
    events: u64,
    bytes: u64,
    tokens: u64,
    /// A bit for each choice that the upstream finished.
    finished: u64,
}

impl Counted {
    /// What was counted and this event.
    pub(crate) fn and(mut self, event: &Event, bytes_per_token: NonZeroU64) -> Self {
        if !says_output(event) {
            return self;
        }
        let Found { text_bytes, finish } = scan(event.data());
        if text_bytes > 0 {
            self.events += 1;
            self.bytes = self.bytes.saturating_add(text_bytes);
            self.tokens = self.events.max(self.bytes.div_ceil(bytes_per_token.get()));
        }
        if finish {
            for choice in event
                .choices()
                .iter()
                .filter(|choice| choice.finish.is_some())
            {
                self.finished |= 1_u64.checked_shl(choice.index).unwrap_or(0);
            }
        }
        self
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Ends the stream in place of this event: every choice that is still open, or all
    /// of it if this is no stream of chat chunks.
    pub(crate) fn cut(&self, event: &mut Event, choices: u64) {
        event.discard();
        if !is_chunk(event) {
            event.send_after(error());
        } else {
            let open = (0..choices.clamp(1, CHOICES_MAX))
                .filter(|choice| self.finished & (1 << choice) == 0);
            let finish = event.with_finish("length");
            for choice in open {
                event.send_after(of_choice(&finish, choice));
            }
            event.send_after(RawEvent::done());
        }
        event.end_stream();
    }
}

/// Chunks have no name. Of events that have one, only deltas are output: others repeat it.
fn says_output(event: &Event) -> bool {
    is_chunk(event) || event.name().is_some_and(|name| name.ends_with("delta"))
}

fn is_chunk(event: &Event) -> bool {
    matches!(event.name(), None | Some("" | "message"))
}

fn of_choice(finish: &RawEvent, choice: u64) -> RawEvent {
    match serde_json::from_slice::<serde_json::Value>(&finish.data) {
        Ok(mut chunk) if choice > 0 => {
            chunk["choices"][0]["index"] = choice.into();
            RawEvent::json(&chunk)
        }
        _ => finish.clone(),
    }
}

fn error() -> RawEvent {
    let message = "The token budget is used up.";
    let error = serde_json::json!({
        "type": "error",
        "code": "token_budget_exceeded",
        "message": message,
        "error": { "type": "rate_limit_error", "code": "token_budget_exceeded", "message": message },
    });
    RawEvent::named("error", error.to_string())
}
