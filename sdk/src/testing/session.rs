//! A policy under test, in one exchange.

use super::{
    charges::{self, Charge},
    decided::{Decided, Sent},
    source::Source,
    world,
};
use crate::{
    Answer, Head, Hooks, Needs, Outcome, Policy, RawEvent, Target,
    bindings::tollgate::policy::types::{Decision, EventAction},
    endpoints::Endpoint,
    session,
};

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
    pub(super) policy: P,
    pub(super) hooks: Hooks,
    pub(super) needs: Needs,
    pub(super) request: Source,
    pub(super) charges: Vec<Charge>,
    pub(super) settings: &'static P::Settings,
    pub(super) head: Head,
    /// The hooks that are asked of another session, if a stream comes.
    pub(super) left: Option<Hooks>,
    pub(super) is_over: bool,
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
        let during = charges::begin(Some(self.request.body.len() as u64));
        let (decision, leaves) = session::on_request(&mut self.policy, &self.request, self.needs);
        self.charges.append(&mut during.end());
        if leaves {
            let hooks = std::mem::replace(&mut self.hooks, Hooks::NONE);
            self.left = Some(hooks).filter(|hooks| hooks.events && !self.head.streaming);
        }
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

    /// `on_pick`, after `on_attempt`: what the policy thinks of these endpoints; empty, if it
    /// has no opinion, or lets the request go no further. What `on_attempt` edited is not kept.
    ///
    /// ```
    /// # use tollgate_sdk::{Target, endpoints::Endpoint, prelude::*, testing::{Exchange, Run, idle}};
    /// # struct First;
    /// # #[policy]
    /// # impl Policy for First {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// #     fn on_pick(&mut self, _: &Target, _: &Request, endpoints: &[Endpoint]) -> Vec<f64> {
    /// #         (0..endpoints.len()).map(|nth| -(nth as f64)).collect()
    /// #     }
    /// # }
    /// # fn main() {
    /// let target = Target { upstream: "vllm".to_owned(), dialect: "openai".to_owned(), model: None, attempt: 1 };
    /// let mut session = Run::<First>::new(serde_json::json!({})).open(Exchange::chat());
    /// assert_eq!(session.pick(&target, &[idle("a:80"), idle("b:80")]), [0.0, -1.0]);
    /// # }
    /// ```
    ///
    /// # Panics
    /// As [`request`](Self::request), and if the gateway would refuse the scores.
    pub fn pick(&mut self, target: &Target, endpoints: &[Endpoint]) -> Vec<f64> {
        if !self.hooks.attempt {
            return Vec::new();
        }
        world::offer(endpoints);
        session::on_attempt(&mut self.policy, target, &self.request, self.needs);
        world::scored()
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
        charges::settle(self.charges, outcome);
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

    /// As the gateway does where a stream comes that nobody asked for.
    fn come_back(&mut self) {
        if let Some(hooks) = self.left.take() {
            charges::give_back(std::mem::take(&mut self.charges));
            self.head.streaming = true;
            self.policy = P::open(self.settings, &self.head);
            self.hooks = hooks;
        }
    }

    fn feed(&mut self, batch: Vec<RawEvent>, last: bool) -> Sent {
        assert!(
            !self.is_over,
            "the stream is over: the gateway would not ask again"
        );
        self.is_over = last;
        self.come_back();
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
