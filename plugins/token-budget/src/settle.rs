//! What an exchange used, once it is over.
//!
//! What the upstream reported counts first, then what was counted. Nothing is charged
//! for what came to nothing, and where nobody can say, what was held stays charged.

use tollgate_sdk::{Ending, prelude::*};

use crate::estimate::Estimate;

/// Tokens, by what they cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) input: u64,
    /// Of the input, what the upstream had in its cache.
    pub(crate) cached: u64,
    pub(crate) output: u64,
}

impl Used {
    pub(crate) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    fn prompt_of(estimate: Estimate) -> Self {
        Self {
            input: estimate.input,
            ..Self::default()
        }
    }
}

/// The tokens to charge. `streamed`: what was counted, if it was a stream.
pub(crate) fn used(outcome: &Outcome, estimate: Estimate, streamed: Option<u64>) -> Used {
    let counted = streamed.unwrap_or(0);
    if let Some(usage) = outcome.usage {
        return reported(outcome.ending, usage, counted);
    }
    if counted > 0 {
        return Used {
            output: counted,
            ..Used::prompt_of(estimate)
        };
    }
    match outcome.ending {
        Ending::Refused | Ending::UpstreamFailed | Ending::TimedOut => Used::default(),
        Ending::Complete | Ending::ClientGone | Ending::Cut => {
            let reached_upstream = outcome.attempts > 0;
            let is_answered = (200..400).contains(&outcome.status);
            let client_left_early = outcome.status == 0;
            match (reached_upstream, streamed) {
                (false, _) => Used::default(),
                (true, _) if client_left_early => Used::prompt_of(estimate),
                (true, Some(_)) if is_answered => Used::prompt_of(estimate),
                (true, None) if is_answered => estimate.used(),
                (true, _) => Used::default(),
            }
        }
    }
}

/// Some upstreams report as they go: of a stream that broke off, the last report may lag.
fn reported(ending: Ending, usage: Usage, counted: u64) -> Used {
    let output = match ending {
        Ending::Complete => usage.output_tokens,
        _ => usage.output_tokens.max(counted),
    };
    Used {
        input: usage.input_tokens,
        cached: usage.cached_tokens.min(usage.input_tokens),
        output,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_sdk::testing::{complete, ended};

    use super::*;

    fn total(outcome: &Outcome, streamed: Option<u64>) -> u64 {
        used(outcome, HELD, streamed).total()
    }

    const HELD: Estimate = Estimate {
        input: 20,
        output: 100,
        choices: 1,
    };
    const USAGE: Usage = Usage {
        input_tokens: 11,
        output_tokens: 7,
        cached_tokens: 3,
    };

    fn with_status(ending: Ending, status: u16) -> Outcome {
        Outcome {
            status,
            ..ended(ending)
        }
    }

    #[test]
    fn reported_usage_comes_before_any_estimate() {
        assert_eq!(total(&complete(Some(USAGE)), Some(50)), 18);
        assert_eq!(total(&complete(Some(USAGE)), None), 18);
        assert_eq!(used(&complete(Some(USAGE)), HELD, None).cached, 3);
    }

    #[test]
    fn no_more_is_cached_than_was_read() {
        let usage = Usage {
            cached_tokens: 50,
            ..USAGE
        };
        assert_eq!(used(&complete(Some(usage)), HELD, None).cached, 11);
    }

    #[test]
    fn a_report_that_lags_behind_a_broken_stream_does_not_lower_the_charge() {
        let outcome = Outcome {
            usage: Some(USAGE),
            ..ended(Ending::ClientGone)
        };
        assert_eq!(total(&outcome, Some(50)), 61);
    }

    #[test]
    fn without_a_report_a_stream_is_charged_as_counted_however_it_ended() {
        for ending in [
            Ending::Complete,
            Ending::ClientGone,
            Ending::Cut,
            Ending::UpstreamFailed,
            Ending::TimedOut,
            Ending::Refused,
        ] {
            assert_eq!(total(&ended(ending), Some(50)), 70, "{ending:?}");
        }
    }

    #[test]
    fn what_failed_before_any_output_is_given_back() {
        for ending in [Ending::Refused, Ending::UpstreamFailed, Ending::TimedOut] {
            assert_eq!(total(&ended(ending), Some(0)), 0, "{ending:?}");
            assert_eq!(total(&ended(ending), None), 0, "{ending:?}");
        }
        assert_eq!(total(&with_status(Ending::Complete, 400), None), 0);
    }

    #[test]
    fn an_answer_that_no_upstream_gave_is_free() {
        let outcome = Outcome {
            attempts: 0,
            ..complete(None)
        };
        assert_eq!(total(&outcome, None), 0);
    }

    #[test]
    fn a_client_that_left_early_pays_for_its_prompt() {
        assert_eq!(total(&with_status(Ending::ClientGone, 0), None), 20);
        assert_eq!(total(&ended(Ending::ClientGone), Some(0)), 20);
    }

    #[test]
    fn an_answer_of_unknown_usage_is_charged_as_held() {
        assert_eq!(total(&complete(None), None), 120);
    }
}
