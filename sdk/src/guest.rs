//! The plugin that a policy becomes: the exports of the contract, for any [`Policy`].
//!
//! Used by the attribute macro alone. One policy a module, one thread, no re-entry: the
//! host never calls a session from within one of its own host calls.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    marker::PhantomData,
};

use crate::{
    Outcome, Policy, RawEvent, Sample, Target,
    bindings::{
        exports::tollgate::policy::policy::{Description, Guest, GuestSession, Hooks, Needs},
        timed::exports::tollgate::policy::timer,
        tollgate::policy::{
            exchange::Message,
            types::{Decision, EventsDecision, Head},
        },
    },
    session,
};

/// What `export!` is given.
pub struct Plugin<P>(PhantomData<P>);

/// A session that the host holds.
pub struct Session<P>(RefCell<P>);

thread_local! {
    static SETTINGS: Cell<Option<&'static dyn Any>> = const { Cell::new(None) };
    /// Those that the settings have a use for.
    static NEEDS: Cell<crate::Needs> = const { Cell::new(crate::Needs::NONE) };
}

fn settings<P: Policy>() -> &'static P::Settings {
    configured::<P>().expect("the host configures a plugin before it uses it")
}

fn configured<P: Policy>() -> Option<&'static P::Settings> {
    SETTINGS.get()?.downcast_ref()
}

impl<P: Policy> Guest for Plugin<P> {
    type Session = Session<P>;

    fn describe() -> Description {
        let (hooks_in_use, needs_in_use) = match configured::<P>() {
            Some(settings) => session::narrowed::<P>(settings),
            None => (P::HOOKS, P::NEEDS),
        };
        Description {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            hooks: hooks(hooks_in_use),
            needs: needs(needs_in_use),
            settings_schema: session::settings_schema::<P>(),
        }
    }

    /// Settings stay for the life of the instance, so they are leaked.
    fn configure(text: String) -> Result<(), Vec<String>> {
        let settings: &'static P::Settings = Box::leak(Box::new(session::configure::<P>(&text)?));
        drop(text);
        SETTINGS.set(Some(settings));
        NEEDS.set(session::narrowed::<P>(settings).1);
        tell_of_panics();
        #[cfg(feature = "heap")]
        crate::heap::open_arena();
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        P::samples(settings::<P>())
    }
}

impl<P: Policy> timer::Guest for Plugin<P> {
    fn on_tick() -> Option<u64> {
        let next = P::on_tick(settings::<P>())?;
        Some(u64::try_from(next.as_millis()).unwrap_or(u64::MAX))
    }
}

impl<P: Policy> GuestSession for Session<P> {
    fn new(head: Head) -> Self {
        crate::head::begin(P::STATELESS);
        Self(RefCell::new(P::open(settings::<P>(), &head.into())))
    }

    fn on_request(&self, request: &Message) -> Decision {
        let (decision, leaves) =
            session::on_request(&mut *self.0.borrow_mut(), request, NEEDS.get());
        if leaves {
            crate::head::leave();
        }
        decision
    }

    fn on_attempt(&self, target: Target, request: &Message) -> Decision {
        session::on_attempt(&mut *self.0.borrow_mut(), &target, request, NEEDS.get())
    }

    fn on_response(&self, status: u16, response: &Message) -> Decision {
        session::on_response(&mut *self.0.borrow_mut(), status, response, NEEDS.get())
    }

    fn on_events(&self, batch: Vec<RawEvent>, last: bool) -> EventsDecision {
        session::on_events(&mut *self.0.borrow_mut(), batch, last)
    }

    fn on_finish(&self, outcome: Outcome) {
        self.0.borrow_mut().on_finish(&outcome);
    }
}

/// A panic is a trap that says nothing, so what it says is logged first. Set after
/// `configure`, since no capability can be called before.
fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        crate::log::error(&format!("panicked at {place}: {message}"));
    }));
}

fn hooks(hooks: crate::Hooks) -> Hooks {
    [
        (hooks.request, Hooks::REQUEST),
        (hooks.attempt, Hooks::ATTEMPT),
        (hooks.response, Hooks::RESPONSE),
        (hooks.events, Hooks::EVENTS),
        (hooks.finish, Hooks::FINISH),
    ]
    .into_iter()
    .filter(|(is_written, _)| *is_written)
    .fold(Hooks::empty(), |all, (_, hook)| all | hook)
}

fn needs(needs: crate::Needs) -> Needs {
    [
        (needs.request_json, Needs::REQUEST_JSON),
        (needs.request_body, Needs::REQUEST_BODY),
        (needs.response_json, Needs::RESPONSE_JSON),
        (needs.response_body, Needs::RESPONSE_BODY),
    ]
    .into_iter()
    .filter(|(is_needed, _)| *is_needed)
    .fold(Needs::empty(), |all, (_, need)| all | need)
}
