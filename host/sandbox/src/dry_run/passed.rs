//! How far a request came, and what its policy's last hook is told of it.

use crate::{
    Message,
    contract::{Ending, Outcome, Usage, Verdict},
};

use super::Answer;

/// What has become of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    status: u16,
    pub(super) ending: Ending,
    attempts: u32,
    /// The upstream's stream goes to the client.
    pub(super) tells_stream: bool,
    /// As the upstream told it, where anybody read so far.
    usage: Option<Usage>,
}

impl Passed {
    /// A request that goes no further, after so many tries; `None`: it goes on.
    pub(super) fn answered(verdict: &Verdict, attempts: u32) -> Option<Self> {
        let (status, ending) = match verdict {
            Verdict::Next | Verdict::GoTo(_) => return None,
            Verdict::Reply(reply) => (reply.status, Ending::Complete),
            Verdict::Refuse(refusal) => (refusal.status, Ending::Refused),
        };
        Some(Self {
            status,
            ending,
            attempts,
            tells_stream: false,
            usage: None,
        })
    }

    /// One that was sent, and answered like this.
    pub(super) fn of_upstream(answer: &Answer) -> Self {
        Self {
            status: answer.status,
            ending: answer.ending,
            attempts: 1,
            tells_stream: answer.is_stream(),
            usage: answer.usage,
        }
    }

    /// Goes by what the policy made of the upstream's answer. Another body takes the place of
    /// the upstream's, which is read no further; a document may have been read before.
    pub(super) fn judged(&mut self, verdict: &Verdict, response: &Message, was_read: bool) {
        let (status, is_instead) = match verdict {
            Verdict::Next | Verdict::GoTo(_) => {
                let is_bodiless = matches!(response.status, 204 | 304);
                let is_replaced = response.body.is_some() && !was_read;
                (response.status, is_replaced || is_bodiless)
            }
            Verdict::Reply(reply) => (reply.status, true),
            Verdict::Refuse(refusal) => (refusal.status, true),
        };
        self.status = status;
        if !is_instead {
            return;
        }
        self.tells_stream = false;
        self.usage = self.usage.filter(|_| was_read);
        self.ending = match (verdict, self.ending) {
            (Verdict::Refuse(_), _) => Ending::Refused,
            (_, Ending::ClientGone) => Ending::ClientGone,
            _ => Ending::Complete,
        };
    }

    pub(super) fn outcome(&self, upstream: &str) -> Outcome {
        Outcome {
            ending: self.ending,
            status: self.status,
            upstream: (self.attempts > 0).then(|| upstream.to_owned()),
            attempts: self.attempts,
            first_byte_us: Some(1_000),
            total_us: 2_000,
            usage: self.usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::contract;

    const USAGE: Usage = Usage {
        input_tokens: 1,
        output_tokens: 2,
        cached_tokens: 0,
    };

    fn passed(ending: Ending, tells_stream: bool) -> Passed {
        Passed {
            status: 200,
            ending,
            attempts: 1,
            tells_stream,
            usage: Some(USAGE),
        }
    }

    fn response(status: u16, body: Option<&'static str>) -> Message {
        Message {
            status,
            body: body.map(|body| Bytes::from_static(body.as_bytes())),
            ..Message::default()
        }
    }

    fn reply() -> Verdict {
        Verdict::Reply(contract::Answer {
            status: 418,
            headers: Vec::new(),
            body: Vec::new(),
        })
    }

    fn refuse() -> Verdict {
        Verdict::Refuse(contract::Refusal {
            status: 403,
            code: "no".to_owned(),
            message: String::new(),
            retry_after_ms: None,
        })
    }

    /// What a stream is after a policy's verdict: status, ending, and whether it is told.
    fn streamed(ending: Ending, verdict: &Verdict, response: &Message) -> (u16, Ending, bool) {
        let mut passed = passed(ending, true);
        passed.judged(verdict, response, false);
        assert_eq!(passed.usage.is_some(), passed.tells_stream);
        (passed.status, passed.ending, passed.tells_stream)
    }

    #[test]
    fn a_stream_ends_where_a_policy_answers_in_its_place_and_so_does_the_exchange() {
        let untouched = response(200, None);
        let (reply, refuse) = (reply(), refuse());
        use Ending::{ClientGone, Complete, Refused, UpstreamFailed};
        for (ending, verdict, response, came) in [
            (Complete, &Verdict::Next, &untouched, (200, Complete, true)),
            (
                UpstreamFailed,
                &Verdict::Next,
                &untouched,
                (200, UpstreamFailed, true),
            ),
            (UpstreamFailed, &reply, &untouched, (418, Complete, false)),
            (ClientGone, &reply, &untouched, (418, ClientGone, false)),
            (ClientGone, &refuse, &untouched, (403, Refused, false)),
            (
                Complete,
                &Verdict::Next,
                &response(200, Some("instead")),
                (200, Complete, false),
            ),
            (
                Complete,
                &Verdict::Next,
                &response(204, None),
                (204, Complete, false),
            ),
        ] {
            assert_eq!(streamed(ending, verdict, response), came);
        }
    }

    #[test]
    fn a_document_that_was_read_keeps_its_usage_and_its_ending_unless_refused() {
        let mut passed = passed(Ending::ClientGone, false);
        passed.judged(&Verdict::Next, &response(200, Some("{}")), true);
        assert_eq!(passed.ending, Ending::ClientGone);
        assert!(passed.usage.is_some() && passed.attempts == 1);
    }

    #[test]
    fn a_request_that_goes_no_further_has_the_policys_status_and_no_usage() {
        assert!(Passed::answered(&Verdict::Next, 0).is_none());
        for (verdict, status, ending) in [
            (reply(), 418, Ending::Complete),
            (refuse(), 403, Ending::Refused),
        ] {
            let outcome = |attempts| {
                let answered = Passed::answered(&verdict, attempts).expect("goes no further");
                answered.outcome("vllm")
            };
            let before = outcome(0);
            assert_eq!((before.status, before.ending), (status, ending));
            assert_eq!((before.attempts, before.upstream), (0, None));
            assert!(before.usage.is_none());
            let at_target = outcome(1);
            assert_eq!(at_target.attempts, 1);
            assert_eq!(at_target.upstream.as_deref(), Some("vllm"));
        }
    }
}
