//! Calls the hooks of one session and turns what they did into decisions.
//!
//! The same in the sandbox and in native tests.

use crate::{
    Events, Hooks, Needs, Policy, PolicySettings, RawEvent, Request, Response, Target, Verdict,
    bindings::tollgate::policy::types::{Decision, EventsDecision},
    message::Source,
};

/// Also whether the policy wants no other hook.
pub(crate) fn on_request<P: Policy>(
    policy: &mut P,
    source: &Source,
    needs: Needs,
) -> (Decision, bool) {
    let mut request = Request::new(source, needs);
    let verdict = policy.on_request(&mut request);
    let leaves = request.leaves();
    (request.decide(verdict), leaves)
}

pub(crate) fn on_attempt<P: Policy>(
    policy: &mut P,
    target: &Target,
    source: &Source,
    needs: Needs,
) -> Decision {
    let mut request = Request::new(source, needs);
    let verdict = policy.on_attempt(target, &mut request);
    if P::PICKS && matches!(verdict, Verdict::Next) {
        crate::endpoints::score(policy, target, &request);
    }
    request.decide(verdict)
}

pub(crate) fn on_response<P: Policy>(
    policy: &mut P,
    status: u16,
    source: &Source,
    needs: Needs,
) -> Decision {
    let mut response = Response::new(status, source, needs);
    let verdict = policy.on_response(&mut response);
    response.decide(verdict)
}

pub(crate) fn on_events<P: Policy>(
    policy: &mut P,
    batch: Vec<RawEvent>,
    last: bool,
) -> EventsDecision {
    let mut events = Events::new(batch, last);
    policy.on_events(&mut events);
    events.decide()
}

/// Reads and checks settings. What is wrong is said one mistake a string.
pub(crate) fn configure<P: Policy>(settings: &str) -> Result<P::Settings, Vec<String>> {
    let settings = P::Settings::read(settings).map_err(|error| vec![error])?;
    P::check(&settings)?;
    Ok(settings)
}

/// The hooks and needs that these settings have a use for.
pub(crate) fn narrowed<P: Policy>(settings: &P::Settings) -> (Hooks, Needs) {
    let (mut hooks, mut needs) = (P::HOOKS, P::NEEDS);
    P::narrow(settings, &mut hooks, &mut needs);
    (hooks.and(P::HOOKS), needs.and(P::NEEDS))
}

/// The JSON schema of the settings.
pub(crate) fn settings_schema<P: Policy>() -> String {
    P::Settings::schema()
}
