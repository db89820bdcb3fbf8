//! What an exchange used, once it is over.
//!
//! What the upstream reported counts first, then what was counted. Nothing is charged
//! for what came to nothing, and where nobody can say, what was held stays charged.

use tollgate_sdk::{Ending, prelude::*};

use crate::estimate::Estimate;

/// The tokens to charge. `streamed`: what was counted, if it was a stream.
pub(crate) fn used(outcome: &Outcome, estimate: Estimate, streamed: Option<u64>) -> u64 {
    let counted = streamed.unwrap_or(0);
    if let Some(usage) = outcome.usage {
        return reported(outcome.ending, usage, counted);
    }
    if counted > 0 {
        return estimate.input.saturating_add(counted);
    }
    match outcome.ending {
        Ending::Refused | Ending::UpstreamFailed | Ending::TimedOut => 0,
        Ending::Complete | Ending::ClientGone | Ending::Cut => {
            let reached_upstream = outcome.attempts > 0;
            let is_answered = (200..400).contains(&outcome.status);
            let client_left_early = outcome.status == 0;
            match (reached_upstream, streamed) {
                (false, _) => 0,
                (true, _) if client_left_early => estimate.input,
                (true, Some(_)) if is_answered => estimate.input,
                (true, None) if is_answered => estimate.total(),
                (true, _) => 0,
            }
        }
    }
}

/// Some upstreams report as they go: of a stream that broke off, the last report may lag.
fn reported(ending: Ending, usage: Usage, counted: u64) -> u64 {
    let output = match ending {
        Ending::Complete => usage.output_tokens,
        _ => usage.output_tokens.max(counted),
    };
    usage.input_tokens.saturating_add(output)
}

#[cfg(test)]
mod tests {
    use tollgate_sdk::testing::{complete, ended};

    use super::*;

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
        assert_eq!(used(&complete(Some(USAGE)), HELD, Some(50)), 18);
        assert_eq!(used(&complete(Some(USAGE)), HELD, None), 18);
    }

    #[test]
    fn a_report_that_lags_behind_a_broken_stream_does_not_lower_the_charge() {
        let outcome = Outcome {
            usage: Some(USAGE),
            ..ended(Ending::ClientGone)
        };
        assert_eq!(used(&outcome, HELD, Some(50)), 61);
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
            assert_eq!(used(&ended(ending), HELD, Some(50)), 70, "{ending:?}");
        }
    }

    #[test]
    fn what_failed_before_any_output_is_given_back() {
        for ending in [Ending::Refused, Ending::UpstreamFailed, Ending::TimedOut] {
            assert_eq!(used(&ended(ending), HELD, Some(0)), 0, "{ending:?}");
            assert_eq!(used(&ended(ending), HELD, None), 0, "{ending:?}");
        }
        assert_eq!(used(&with_status(Ending::Complete, 400), HELD, None), 0);
    }

    #[test]
    fn an_answer_that_no_upstream_gave_is_free() {
        let outcome = Outcome {
            attempts: 0,
            ..complete(None)
        };
        assert_eq!(used(&outcome, HELD, None), 0);
    }

    #[test]
    fn a_client_that_left_early_pays_for_its_prompt() {
        assert_eq!(used(&with_status(Ending::ClientGone, 0), HELD, None), 20);
        assert_eq!(used(&ended(Ending::ClientGone), HELD, Some(0)), 20);
    }

    #[test]
    fn an_answer_of_unknown_usage_is_charged_as_held() {
        assert_eq!(used(&complete(None), HELD, None), 120);
    }
}
