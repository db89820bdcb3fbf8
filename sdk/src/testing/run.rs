//! A policy under test.

use std::time::Duration;

use super::{exchange::Exchange, session::Session, world};
use crate::{Answer, Ending, Expectation, Outcome, Policy, Sample, Verdict, session};

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
        let head = exchange.head();
        let policy = P::open(self.settings, &head);
        let (hooks, needs) = session::narrowed::<P>(self.settings);
        Session {
            policy,
            hooks,
            needs,
            request: exchange.request,
            charges: Vec::new(),
            settings: self.settings,
            head,
            left: None,
            is_over: false,
        }
    }

    /// Has the policy tick once, as the gateway does by the clock: in how long it wants to be
    /// asked again, or `None` for never. Bounds and the random part are the gateway's.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tollgate_sdk::{kv, prelude::*, testing::Run};
    /// # struct Beat;
    /// # #[policy]
    /// # impl Policy for Beat {
    /// #     type Settings = NoSettings;
    /// #     fn open(_settings: &'static NoSettings, _head: &Head) -> Self { Self }
    /// #     fn on_tick(_settings: &'static NoSettings) -> Option<Duration> {
    /// #         let is_counted = kv::increment("beats", 1, None).is_ok();
    /// #         Some(Duration::from_secs(if is_counted { 5 } else { 1 }))
    /// #     }
    /// # }
    /// # fn main() {
    /// let run = Run::<Beat>::new(serde_json::json!({}));
    /// assert_eq!(run.tick(), Some(Duration::from_secs(5)));
    /// assert_eq!(kv::increment("beats", 0, None), Ok(1));
    /// # }
    /// ```
    #[must_use]
    pub fn tick(&self) -> Option<Duration> {
        // What is not written is never called.
        P::TICKS.then(|| P::on_tick(self.settings)).flatten()
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
            Verdict::Reply(answer) => Some((answer.status, Ending::Complete)),
            Verdict::Refuse(refusal) => Some((refusal.status, Ending::Refused)),
            Verdict::Next | Verdict::GoTo(_) => None,
        };
        let mut outcome = super::complete(None);
        if let Some((status, ending)) = answered {
            outcome = Outcome {
                status,
                upstream: None,
                attempts: 0,
                ..super::ended(ending)
            };
        } else {
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
        session.finish(&outcome);
        answered.map(|(status, _)| status)
    }
}
