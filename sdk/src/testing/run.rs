//! A policy under test.

use super::{exchange::Exchange, source::Source, world};
use crate::{
    Answer, Destination, Expectation, Hooks, Needs, Outcome, Policy, RawEvent, Refusal, Sample,
    Target, Verdict,
    bindings::tollgate::policy::types::{Decision, Edit, EventAction},
    session,
};

/// A policy with its settings.
///
/// ```
/// use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
/// # struct Idle;
/// # #[policy]
/// # impl Policy for Idle {
/// #     type Settings = NoSettings;
/// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
/// # }
///
/// # fn main() {
/// let run = Run::<Idle>::new(serde_json::json!({}));
/// assert!(run.open(Exchange::chat()).request().is_next());
/// # }
/// ```
pub struct Run<P: Policy> {
    settings: &'static P::Settings,
}

impl<P: Policy> Run<P> {
    /// Configures the policy.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::Run};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// let run = Run::<Idle>::new(serde_json::json!({}));
    /// # let _ = run;
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the settings are refused.
    #[must_use]
    pub fn new(settings: serde_json::Value) -> Self {
        match Self::try_new(settings) {
            Ok(run) => run,
            Err(errors) => panic!("the settings are refused:\n{}", errors.join("\n")),
        }
    }

    /// Configures the policy, if it takes the settings.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::Run};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// let errors = Run::<Idle>::try_new(serde_json::json!({ "speed": 1 })).err().unwrap();
    /// assert!(errors[0].starts_with("/speed: unknown field"));
    /// # }
    /// ```
    ///
    /// # Errors
    /// What an operator would read.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that `json!` can be written in the call"
    )]
    pub fn try_new(settings: serde_json::Value) -> Result<Self, Vec<String>> {
        world::arrange(|world| world.is_configuring = true);
        let settings = session::configure::<P>(&settings.to_string());
        world::arrange(|world| world.is_configuring = false);
        Ok(Self {
            settings: Box::leak(Box::new(settings?)),
        })
    }

    /// The JSON schema of the settings, as the gateway publishes it.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::Run};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// assert!(Run::<Idle>::settings_schema().contains(r#""additionalProperties":false"#));
    /// # }
    /// ```
    #[must_use]
    pub fn settings_schema() -> String {
        session::settings_schema::<P>()
    }

    /// Opens a session.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// let session = Run::<Idle>::new(serde_json::json!({})).open(Exchange::chat());
    /// # let _ = session;
    /// # }
    /// ```
    #[must_use]
    pub fn open(&self, exchange: Exchange) -> Session<P> {
        let policy = P::open(self.settings, &exchange.head());
        let (hooks, needs) = session::narrowed::<P>(self.settings);
        Session {
            policy,
            hooks,
            needs,
            request: exchange.request,
            is_over: false,
        }
    }

    /// The samples that the policy ships with these settings.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::Run};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// assert_eq!(Run::<Idle>::new(serde_json::json!({})).samples().len(), 1);
    /// # }
    /// ```
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        P::samples(self.settings)
    }

    /// Runs every sample, as the gateway does before a new version goes live.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::Run};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// Run::<Idle>::new(serde_json::json!({})).prove();
    /// # }
    /// ```
    ///
    /// # Panics
    /// If a sample does not come out as it expects.
    pub fn prove(&self) {
        for sample in self.samples() {
            let status = self.run_sample(&sample);
            match sample.expect {
                Expectation::Runs => {}
                Expectation::Forwarded => {
                    assert_eq!(
                        status, None,
                        "the sample `{}` did not reach the upstream",
                        sample.name
                    );
                }
                Expectation::Answered(expected) => {
                    assert_eq!(
                        status,
                        Some(expected),
                        "the sample `{}` came out otherwise",
                        sample.name
                    );
                }
            }
        }
    }

    fn run_sample(&self, sample: &Sample) -> Option<u16> {
        let mut session = self.open(Exchange::of(sample));
        let answered = match &session.request().verdict {
            Verdict::Reply(answer) => Some(answer.status),
            Verdict::Refuse(refusal) => Some(refusal.status),
            Verdict::Next | Verdict::GoTo(_) => None,
        };
        if answered.is_none() {
            let mut answer = Answer::new(sample.response_status);
            if sample.events.is_empty() {
                answer = answer
                    .header("content-type", "application/json")
                    .body(sample.response_body.clone());
            }
            session.response(answer);
            if !sample.events.is_empty() {
                session.events(sample.events.clone());
                session.end();
            }
        }
        session.finish(&super::complete(None));
        answered
    }
}

/// A policy in one exchange. Each method is a hook; one that is not written is not called.
///
/// ```
/// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run, complete}};
/// # struct Idle;
/// # #[policy]
/// # impl Policy for Idle {
/// #     type Settings = NoSettings;
/// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
/// # }
/// use tollgate_sdk::Answer;
///
/// # fn main() {
/// let mut session = Run::<Idle>::new(serde_json::json!({})).open(Exchange::chat());
/// assert!(session.request().is_next());
/// assert_eq!(session.response(Answer::new(200)).status(), 200);
/// assert_eq!(session.events([RawEvent::done()]).events, [RawEvent::done()]);
/// assert!(session.end().events.is_empty());
/// session.finish(&complete(None));
/// # }
/// ```
pub struct Session<P: Policy> {
    policy: P,
    hooks: Hooks,
    needs: Needs,
    request: Source,
    is_over: bool,
}

impl<P: Policy> Session<P> {
    /// The policy itself.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// # struct Count { events: u32 }
    /// # #[policy]
    /// # impl Policy for Count {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self { events: 0 } }
    /// #     fn on_event(&mut self, _event: &mut Event) { self.events += 1; }
    /// # }
    /// # fn main() {
    /// let mut session = Run::<Count>::new(serde_json::json!({})).open(Exchange::chat());
    /// session.events([RawEvent::text("a"), RawEvent::text("b")]);
    /// assert_eq!(session.policy().events, 2);
    /// # }
    /// ```
    #[must_use]
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// `on_request`. What it edited is there for later hooks.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// # struct Mark;
    /// # #[policy]
    /// # impl Policy for Mark {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// #     fn on_request(&mut self, request: &mut Request) -> Verdict {
    /// #         request.set_header("x-mark", "1");
    /// #         Verdict::next()
    /// #     }
    /// # }
    /// # fn main() {
    /// let decided = Run::<Mark>::new(serde_json::json!({})).open(Exchange::chat()).request();
    /// assert_eq!(decided.header("x-mark").as_deref(), Some("1"));
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the policy panics, or the gateway would refuse its decision.
    pub fn request(&mut self) -> Decided {
        if !self.hooks.request {
            return Decided::untouched(&self.request);
        }
        let decision = session::on_request(&mut self.policy, &self.request, self.needs);
        self.settle_request(decision)
    }

    /// `on_attempt`, on the request as it is by now.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// let target = Target { upstream: "vllm".to_owned(), dialect: "openai".to_owned(), model: None, attempt: 1 };
    /// let mut session = Run::<Idle>::new(serde_json::json!({})).open(Exchange::chat());
    /// assert!(session.attempt(&target).is_next());
    /// # }
    /// ```
    ///
    /// # Panics
    /// As [`request`](Self::request).
    pub fn attempt(&mut self, target: &Target) -> Decided {
        if !self.hooks.attempt {
            return Decided::untouched(&self.request);
        }
        let decision = session::on_attempt(&mut self.policy, target, &self.request, self.needs);
        self.settle_request(decision)
    }

    /// `on_response`, to what the upstream answered.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// # fn main() {
    /// let answer = Answer::new(200).json(&serde_json::json!({ "ok": true }));
    /// let decided = Run::<Idle>::new(serde_json::json!({})).open(Exchange::chat()).response(answer);
    /// assert_eq!(decided.json("/ok"), Some(true.into()));
    /// # }
    /// ```
    ///
    /// # Panics
    /// As [`request`](Self::request).
    pub fn response(&mut self, answer: Answer) -> Decided {
        let mut response = Source {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
            facts: self.request.facts.clone(),
            ..Source::default()
        };
        if !self.hooks.response {
            return Decided::untouched(&response);
        }
        let decision = session::on_response(&mut self.policy, answer.status, &response, self.needs);
        apply(&mut response, &decision);
        Decided {
            decision_edits: decision.edits,
            verdict: decision.verdict,
            message: response,
        }
    }

    /// Events that are ready at once.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// # struct Quiet;
    /// # #[policy]
    /// # impl Policy for Quiet {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// #     fn on_event(&mut self, event: &mut Event) {
    /// #         if event.name() == Some("ping") { event.discard(); }
    /// #     }
    /// # }
    /// # fn main() {
    /// let mut session = Run::<Quiet>::new(serde_json::json!({})).open(Exchange::chat());
    /// assert!(session.events([RawEvent::named("ping", "")]).events.is_empty());
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the policy panics, or the stream was ended before.
    pub fn events(&mut self, events: impl IntoIterator<Item = RawEvent>) -> Sent {
        self.feed(events.into_iter().collect(), false)
    }

    /// The upstream ends the stream cleanly.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// # struct Bye;
    /// # #[policy]
    /// # impl Policy for Bye {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// #     fn on_end(&mut self) -> Vec<RawEvent> { vec![RawEvent::named("bye", "")] }
    /// # }
    /// # fn main() {
    /// let mut session = Run::<Bye>::new(serde_json::json!({})).open(Exchange::chat());
    /// assert_eq!(session.end().events.len(), 1);
    /// # }
    /// ```
    ///
    /// # Panics
    /// As [`events`](Self::events).
    pub fn end(&mut self) -> Sent {
        self.feed(Vec::new(), true)
    }

    /// `on_finish`; the session is closed.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run, ended}};
    /// # struct Idle;
    /// # #[policy]
    /// # impl Policy for Idle {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// # }
    /// use tollgate_sdk::Ending;
    ///
    /// # fn main() {
    /// Run::<Idle>::new(serde_json::json!({})).open(Exchange::chat()).finish(&ended(Ending::ClientGone));
    /// # }
    /// ```
    pub fn finish(mut self, outcome: &Outcome) {
        if self.hooks.finish {
            self.policy.on_finish(outcome);
        }
    }

    fn settle_request(&mut self, decision: Decision) -> Decided {
        apply(&mut self.request, &decision);
        Decided {
            decision_edits: decision.edits,
            verdict: decision.verdict,
            message: self.request.clone(),
        }
    }

    fn feed(&mut self, batch: Vec<RawEvent>, last: bool) -> Sent {
        assert!(
            !self.is_over,
            "the stream is over: the gateway would not ask again"
        );
        self.is_over = last;
        if !self.hooks.events {
            return Sent {
                events: batch,
                ended: last,
            };
        }
        let decision = session::on_events(&mut self.policy, batch.clone(), last);
        assert!(
            decision.actions.len() <= batch.len(),
            "more actions than events"
        );
        let mut actions = decision.actions.into_iter();
        let mut sent = Vec::new();
        for event in batch {
            match actions.next().unwrap_or(EventAction::Keep) {
                EventAction::Keep => sent.push(event),
                EventAction::Replace(events) => sent.extend(events),
                EventAction::Drop => {}
                EventAction::End(events) => {
                    sent.extend(events);
                    self.is_over = true;
                    return Sent {
                        events: sent,
                        ended: true,
                    };
                }
            }
        }
        sent.extend(decision.append);
        Sent {
            events: sent,
            ended: last,
        }
    }
}

fn apply(message: &mut Source, decision: &Decision) {
    if let Err(error) = message.apply(&decision.edits) {
        panic!("the gateway would refuse this decision: {error}");
    }
}

/// What a hook decided, and the message after it.
///
/// ```
/// use tollgate_sdk::testing::Decided;
///
/// fn assert_forwarded(decided: &Decided) {
///     assert!(decided.is_next());
///     assert_eq!(decided.header("authorization"), None);
/// }
/// ```
#[derive(Debug)]
pub struct Decided {
    /// What happens next.
    pub verdict: Verdict,
    decision_edits: Vec<Edit>,
    message: Source,
}

impl Decided {
    fn untouched(message: &Source) -> Self {
        Self {
            verdict: Verdict::Next,
            decision_edits: Vec::new(),
            message: message.clone(),
        }
    }

    /// Whether the next policy has its turn.
    ///
    /// ```
    /// fn is_forwarded(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.is_next()
    /// }
    /// ```
    #[must_use]
    pub fn is_next(&self) -> bool {
        self.verdict == Verdict::Next
    }

    /// Whether nothing at all was edited.
    ///
    /// ```
    /// fn passes_through(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.is_next() && decided.is_untouched()
    /// }
    /// ```
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.decision_edits.is_empty()
    }

    /// The refusal, if it is one.
    ///
    /// ```
    /// fn code(decided: &tollgate_sdk::testing::Decided) -> Option<&str> {
    ///     decided.refusal().map(|refusal| refusal.code.as_str())
    /// }
    /// ```
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.verdict {
            Verdict::Refuse(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The answer that the policy gives itself, if it does.
    ///
    /// ```
    /// fn is_answered(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.answer().is_some()
    /// }
    /// ```
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.verdict {
            Verdict::Reply(answer) => Some(answer),
            _ => None,
        }
    }

    /// Where the request is sent instead, if it is.
    ///
    /// ```
    /// fn model(decided: &tollgate_sdk::testing::Decided) -> Option<&str> {
    ///     decided.destination()?.model.as_deref()
    /// }
    /// ```
    #[must_use]
    pub fn destination(&self) -> Option<&Destination> {
        match &self.verdict {
            Verdict::GoTo(destination) => Some(destination),
            _ => None,
        }
    }

    /// A header of the message, as text.
    ///
    /// ```
    /// fn tier(decided: &tollgate_sdk::testing::Decided) -> Option<String> {
    ///     decided.header("x-tier")
    /// }
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.message
            .header(name)
            .map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// A field of the message's JSON.
    ///
    /// ```
    /// fn is_capped(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.json("/max_tokens").is_some()
    /// }
    /// ```
    #[must_use]
    pub fn json(&self, pointer: &str) -> Option<serde_json::Value> {
        self.message.document()?.pointer(pointer).cloned()
    }

    /// The message's body.
    ///
    /// ```
    /// fn is_empty(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.body().is_empty()
    /// }
    /// ```
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.message.body
    }

    /// A fact, set by this policy or before.
    ///
    /// ```
    /// fn caller(decided: &tollgate_sdk::testing::Decided) -> Option<String> {
    ///     decided.fact("caller")
    /// }
    /// ```
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<String> {
        self.message.fact(name)
    }

    /// The request's method.
    ///
    /// ```
    /// fn is_post(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.method() == "POST"
    /// }
    /// ```
    #[must_use]
    pub fn method(&self) -> &str {
        &self.message.method
    }

    /// The request's path and query.
    ///
    /// ```
    /// fn is_chat(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.path() == "/v1/chat/completions"
    /// }
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        &self.message.path
    }

    /// The response's status.
    ///
    /// ```
    /// fn is_fine(decided: &tollgate_sdk::testing::Decided) -> bool {
    ///     decided.status() == 200
    /// }
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.message.status
    }
}

/// What the client is sent of a stream.
///
/// ```
/// fn is_cut(sent: &tollgate_sdk::testing::Sent) -> bool {
///     sent.ended && sent.text().is_empty()
/// }
/// ```
#[derive(Debug, PartialEq)]
pub struct Sent {
    /// The events, in order.
    pub events: Vec<RawEvent>,
    /// Whether the stream is over.
    pub ended: bool,
}

impl Sent {
    /// All text in the events.
    ///
    /// ```
    /// fn is_clean(sent: &tollgate_sdk::testing::Sent) -> bool {
    ///     !sent.text().contains("secret")
    /// }
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        self.events
            .iter()
            .map(|event| {
                crate::Event::from(event.clone())
                    .text()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }
}
