//! What an author implements.

use std::time::Duration;

use crate::{
    Event, Events, Head, Outcome, PolicySettings, RawEvent, Request, Response, Sample, Target,
    Verdict,
};

/// One policy in one exchange.
///
/// The attribute [`#[policy]`](macro@crate::policy) above the `impl` makes it the
/// crate's plugin. It sees which hooks are written; the others are never called, and
/// what only they would need is not made ready. All hooks of one exchange are called on
/// the same value, so what a policy must remember is a field.
///
/// ```
/// use tollgate_sdk::prelude::*;
///
/// #[derive(Deserialize, JsonSchema)]
/// pub struct Settings {
///     /// The name that clients must not use.
///     banned: String,
/// }
///
/// pub struct Ban {
///     banned: &'static str,
/// }
///
/// #[policy(needs(request_json))]
/// impl Policy for Ban {
///     type Settings = Settings;
///
///     fn check(settings: &Settings) -> Result<(), Vec<String>> {
///         if settings.banned.is_empty() {
///             return Err(vec!["/banned: must not be empty".to_owned()]);
///         }
///         Ok(())
///     }
///
///     fn open(settings: &'static Settings, _head: &Head) -> Self {
///         Self { banned: &settings.banned }
///     }
///
///     fn on_request(&mut self, request: &mut Request) -> Verdict {
///         match request.json_str("/model") {
///             Some(model) if model == self.banned => {
///                 Verdict::refuse(403, "model_banned", "This model cannot be used.")
///             }
///             _ => Verdict::next(),
///         }
///     }
/// }
/// # fn main() {
/// use tollgate_sdk::testing::{Exchange, Run};
/// let run = Run::<Ban>::new(serde_json::json!({ "banned": "old" }));
/// let decided = run.open(Exchange::chat().json("/model", "old")).request();
/// assert_eq!(decided.refusal().unwrap().code, "model_banned");
/// # }
/// ```
pub trait Policy: Described + Sized + 'static {
    /// What an operator writes under `settings:`. Use `#[serde(deny_unknown_fields)]`,
    /// so that a misspelt key is refused; doc comments end up in the JSON schema.
    /// [`NoSettings`](crate::NoSettings) if there is nothing to configure.
    type Settings: PolicySettings;

    /// Checks what the types cannot say. Runs once, before anything goes live; the errors
    /// are shown to the operator, best as `<JSON pointer>: <what is wrong>`. Capabilities
    /// cannot be used here.
    ///
    /// # Errors
    /// Every mistake that was found.
    fn check(settings: &Self::Settings) -> Result<(), Vec<String>> {
        let _ = settings;
        Ok(())
    }

    /// Leaves out hooks and needs that these settings have no use for, once they are
    /// checked. A hook left out is never called, and a body that nobody needs is not
    /// waited for. Nothing can be added here.
    ///
    /// ```
    /// # use tollgate_sdk::{prelude::*, testing::{Exchange, Run}};
    /// #[derive(Deserialize, JsonSchema)]
    /// pub struct Settings {
    ///     /// Events of this name are dropped. Default: none.
    ///     drop: Option<String>,
    /// }
    ///
    /// pub struct Mute(Option<&'static str>);
    ///
    /// #[policy]
    /// impl Policy for Mute {
    ///     type Settings = Settings;
    ///
    ///     fn narrow(settings: &Settings, hooks: &mut Hooks, _needs: &mut Needs) {
    ///         hooks.events = settings.drop.is_some();
    ///     }
    ///
    ///     fn open(settings: &'static Settings, _head: &Head) -> Self {
    ///         Self(settings.drop.as_deref())
    ///     }
    ///
    ///     fn on_event(&mut self, event: &mut Event) {
    ///         if event.name() == self.0 {
    ///             event.discard();
    ///         }
    ///     }
    /// }
    /// # fn main() {
    /// // Without settings the hook is not even called, or it would drop what has no name.
    /// let mut session = Run::<Mute>::new(serde_json::json!({})).open(Exchange::chat());
    /// assert_eq!(session.events([RawEvent::data("x")]).events.len(), 1);
    /// # }
    /// ```
    fn narrow(settings: &Self::Settings, hooks: &mut Hooks, needs: &mut Needs) {
        let _ = (settings, hooks, needs);
    }

    /// Exchanges that show that the policy works with these settings. If one does not
    /// come out as expected, the policy does not go live.
    fn samples(settings: &Self::Settings) -> Vec<Sample> {
        let _ = settings;
        vec![Sample::chat("chat")]
    }

    /// Opens a session, at the start of an exchange.
    fn open(settings: &'static Self::Settings, head: &Head) -> Self;

    /// The request, before a target is chosen.
    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let _ = request;
        Verdict::next()
    }

    /// The request for one target, once per try, for a policy attached to a target.
    ///
    /// A request may be tried again, at this target or another: then this is called again, in
    /// the same session, with the request as it was before the first call and a higher
    /// [`Target::attempt`]. What was remembered of an earlier try has to be replaced. If the
    /// answer is another target's, only [`on_finish`](Self::on_finish) follows.
    fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict {
        let _ = (target, request);
        Verdict::next()
    }

    /// How well each endpoint of the target would serve this try: one number each, the highest
    /// wins, chance decides among equals. An empty list has no opinion, and the upstream's own
    /// way of balancing decides. Called after [`on_attempt`](Self::on_attempt), if that lets the
    /// request go on, with the request as it left it; what is out of use is not among the
    /// endpoints. See [`endpoints`](crate::endpoints).
    fn on_pick(
        &mut self,
        target: &Target,
        request: &Request,
        endpoints: &[crate::endpoints::Endpoint],
    ) -> Vec<f64> {
        let _ = (target, request, endpoints);
        Vec::new()
    }

    /// Status and headers of the response, and its body if `needs` says so and it is no
    /// stream.
    fn on_response(&mut self, response: &mut Response) -> Verdict {
        let _ = response;
        Verdict::next()
    }

    /// One event of a stream.
    fn on_event(&mut self, event: &mut Event) {
        let _ = event;
    }

    /// The upstream ended the stream cleanly: what to send after its last event. Not
    /// called when the stream broke, or when this policy ended it. The `[DONE]` of an
    /// OpenAI stream is the gateway's: it comes after what is sent here.
    fn on_end(&mut self) -> Vec<RawEvent> {
        Vec::new()
    }

    /// All events that are ready, in one call; write it instead of `on_event` and
    /// `on_end` when they have to be seen together.
    fn on_events(&mut self, events: &mut Events) {
        for event in events.iter_mut() {
            self.on_event(event);
            if event.is_end() {
                return;
            }
        }
        if events.is_last() {
            for event in self.on_end() {
                events.append(event);
            }
        }
    }

    /// The exchange is over. Called exactly once, also when the client went away.
    fn on_finish(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }

    /// Work without an exchange: what has to be fetched, refreshed or cleared away. Returns
    /// in how long it is to be called again, counted from its end, or `None` for never.
    ///
    /// It is called a first time before the policy takes exchanges, so that what it fetches
    /// is there for the first; they wait for it for a short while only, and go on without
    /// it. Less than a second is a second, more than a day a day, and up to a tenth more is
    /// added. There is no session and no message; what it finds it leaves in
    /// [`kv`](crate::kv), where the hooks of every exchange see it. It is never called twice
    /// at once for a policy, but may be while exchanges run, and in another gateway that
    /// shares the store. It may take `limits.tick_time`, waiting for capabilities included,
    /// and one that panics is called again after a pause that grows.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tollgate_sdk::{http, kv, prelude::*, testing::{Exchange, Run, answer_http}};
    /// struct Motd;
    ///
    /// #[policy]
    /// impl Policy for Motd {
    ///     type Settings = NoSettings;
    ///
    ///     fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
    ///         Self
    ///     }
    ///
    ///     fn on_response(&mut self, response: &mut Response) -> Verdict {
    ///         if let Ok(Some(motd)) = kv::get("motd") {
    ///             response.set_header("x-motd", motd);
    ///         }
    ///         Verdict::next()
    ///     }
    ///
    ///     fn on_tick(_settings: &'static NoSettings) -> Option<Duration> {
    ///         let lives = Duration::from_secs(3600);
    ///         let motd = http::get("https://intranet.example/motd").send();
    ///         let motd = motd.ok().filter(|motd| motd.status == 200);
    ///         let is_kept = motd.is_some_and(|motd| kv::put("motd", &motd.body, Some(lives)).is_ok());
    ///         // `None` would be the end of it: what failed is tried again, and sooner.
    ///         Some(if is_kept { lives / 2 } else { Duration::from_secs(10) })
    ///     }
    /// }
    ///
    /// # fn main() {
    /// let run = Run::<Motd>::new(serde_json::json!({}));
    /// assert_eq!(run.tick(), Some(Duration::from_secs(10)), "nobody answers");
    /// answer_http(|_| Ok(http::Response { status: 200, headers: Vec::new(), body: b"hello".to_vec() }));
    /// assert_eq!(run.tick(), Some(Duration::from_secs(1800)));
    /// let answered = run.open(Exchange::chat()).response(Answer::new(200));
    /// assert_eq!(answered.header("x-motd").as_deref(), Some("hello"));
    /// # }
    /// ```
    fn on_tick(settings: &'static Self::Settings) -> Option<Duration> {
        let _ = settings;
        None
    }
}

/// What [`#[policy]`](macro@crate::policy) writes about a policy.
///
/// ```
/// use tollgate_sdk::{Described, prelude::*};
///
/// struct Idle;
///
/// #[policy(name = "idle")]
/// impl Policy for Idle {
///     type Settings = NoSettings;
///
///     fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
///         Self
///     }
/// }
///
/// # fn main() {
/// assert_eq!(Idle::NAME, "idle");
/// assert!(!Idle::HOOKS.request);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is a policy without a description",
    label = "this type",
    note = "put `#[policy]` above `impl Policy for {Self}`: it makes the type the crate's plugin"
)]
pub trait Described {
    /// The plugin's name; the crate's if the attribute says nothing else.
    const NAME: &'static str;
    /// The crate's version.
    const VERSION: &'static str;
    /// Which hooks are written.
    const HOOKS: Hooks;
    /// What must be at hand before they run.
    const NEEDS: Needs;
    /// Whether `on_pick` is written, which is called after `on_attempt`.
    const PICKS: bool;
    /// Whether `on_tick` is written, which is called by the clock.
    const TICKS: bool;
    /// Whether it keeps nothing from one exchange to the next.
    const STATELESS: bool;
}

/// The hooks that a policy has. One that it has not is never called.
///
/// ```
/// use tollgate_sdk::Hooks;
///
/// let hooks = Hooks { request: true, ..Hooks::NONE };
/// assert!(hooks.request && !hooks.events);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks {
    /// `on_request`
    pub request: bool,
    /// `on_attempt`, `on_pick`
    pub attempt: bool,
    /// `on_response`
    pub response: bool,
    /// `on_event`, `on_end` or `on_events`
    pub events: bool,
    /// `on_finish`
    pub finish: bool,
}

impl Hooks {
    /// No hook at all.
    ///
    /// ```
    /// assert!(!tollgate_sdk::Hooks::NONE.finish);
    /// ```
    pub const NONE: Self = Self {
        request: false,
        attempt: false,
        response: false,
        events: false,
        finish: false,
    };

    /// What both have.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            request: self.request && other.request,
            attempt: self.attempt && other.attempt,
            response: self.response && other.response,
            events: self.events && other.events,
            finish: self.finish && other.finish,
        }
    }
}

/// What must be at hand before a hook runs. Without any, bodies stream past untouched.
///
/// ```
/// use tollgate_sdk::Needs;
///
/// let needs = Needs { request_json: true, ..Needs::NONE };
/// assert!(!needs.request_body);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The request's fields by JSON pointer.
    pub request_json: bool,
    /// The request's body as bytes.
    pub request_body: bool,
    /// The response's fields by JSON pointer, unless it is a stream.
    pub response_json: bool,
    /// The response's body as bytes, unless it is a stream.
    pub response_body: bool,
}

impl Needs {
    /// Nothing.
    ///
    /// ```
    /// assert!(!tollgate_sdk::Needs::NONE.request_json);
    /// ```
    pub const NONE: Self = Self {
        request_json: false,
        request_body: false,
        response_json: false,
        response_body: false,
    };

    /// What both have.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            request_json: self.request_json && other.request_json,
            request_body: self.request_body && other.request_body,
            response_json: self.response_json && other.response_json,
            response_body: self.response_body && other.response_body,
        }
    }
}
