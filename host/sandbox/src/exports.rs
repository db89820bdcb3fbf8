//! The hooks of a component, found and checked once, called many times.
//!
//! The generated bindings compare the type of every export whenever an instance is
//! made, which costs more than making it. Here one instance is checked when the
//! plugin is loaded; its component's other instances have the same types.

use wasmtime::{
    Store,
    component::{
        Component, ComponentExportIndex, Func, Instance, InstancePre, Resource, ResourceAny,
        TypedFunc,
    },
};

use crate::{
    contract::{Decision, Event, EventsDecision, Head, Outcome, Plugin, Target},
    host::{MessageView, State},
};

type Call<Params, Return> = TypedFunc<Params, (Return,)>;

/// Where the hooks are in one component.
#[derive(Debug, Clone)]
pub(crate) struct Exports {
    configure: ComponentExportIndex,
    constructor: ComponentExportIndex,
    request: ComponentExportIndex,
    attempt: ComponentExportIndex,
    response: ComponentExportIndex,
    events: ComponentExportIndex,
    finish: ComponentExportIndex,
    /// Of a plugin that has it.
    tick: Option<ComponentExportIndex>,
}

impl Exports {
    /// Finds the hooks and checks their types on an instance made for it.
    ///
    /// # Errors
    /// What does not fit the contract, or why there is no instance.
    pub(crate) async fn check(
        pre: &InstancePre<State>,
        mut store: Store<State>,
        (policy, timer): (&str, &str),
    ) -> wasmtime::Result<Self> {
        let instance = pre.instantiate_async(&mut store).await?;
        Plugin::new(&mut store, &instance)?;
        let missing = || wasmtime::Error::msg("an export of the contract is missing");
        let component = pre.component();
        let mut exports = Self::find(component, policy).ok_or_else(missing)?;
        if let Some(timer) = component.get_export_index(None, timer) {
            let tick = component.get_export_index(Some(&timer), "on-tick");
            let tick = tick.ok_or_else(missing)?;
            instance.get_typed_func::<(), (Option<u64>,)>(&mut store, tick)?;
            exports.tick = Some(tick);
        }
        Ok(exports)
    }

    fn find(component: &Component, interface: &str) -> Option<Self> {
        let interface = component.get_export_index(None, interface)?;
        let find = |name: &str| component.get_export_index(Some(&interface), name);
        Some(Self {
            configure: find("configure")?,
            constructor: find("[constructor]session")?,
            request: find("[method]session.on-request")?,
            attempt: find("[method]session.on-attempt")?,
            response: find("[method]session.on-response")?,
            events: find("[method]session.on-events")?,
            finish: find("[method]session.on-finish")?,
            tick: None,
        })
    }
}

/// One instance with its exports at hand.
pub(crate) struct Guest {
    instance: Instance,
    exports: Exports,
    /// The one that is open.
    session: Option<ResourceAny>,
}

impl Guest {
    pub(crate) async fn make(
        pre: &InstancePre<State>,
        exports: &Exports,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            instance: pre.instantiate_async(store).await?,
            exports: exports.clone(),
            session: None,
        })
    }

    /// Whether a session is open.
    pub(crate) fn is_open(&self) -> bool {
        self.session.is_some()
    }

    fn session(&self) -> wasmtime::Result<ResourceAny> {
        let none = || wasmtime::Error::msg("no session is open");
        self.session.ok_or_else(none)
    }

    pub(crate) async fn configure(
        &self,
        store: &mut Store<State>,
        settings: &str,
    ) -> wasmtime::Result<Result<(), Vec<String>>> {
        let func = self.func(store, &self.exports.configure)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: Call<(&str,), Result<(), Vec<String>>> =
            unsafe { TypedFunc::new_unchecked(func) };
        Ok(call.call_async(store, (settings,)).await?.0)
    }

    pub(crate) async fn open(
        &mut self,
        store: &mut Store<State>,
        head: &Head,
    ) -> wasmtime::Result<()> {
        let func = self.func(store, &self.exports.constructor)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: Call<(&Head,), ResourceAny> = unsafe { TypedFunc::new_unchecked(func) };
        self.session = Some(call.call_async(store, (head,)).await?.0);
        Ok(())
    }

    /// Ends the session; the instance may serve another.
    pub(crate) async fn close(&mut self, store: &mut Store<State>) -> wasmtime::Result<()> {
        match self.session.take() {
            Some(session) => session.resource_drop_async(store).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn on_request(&self, store: &mut Store<State>) -> wasmtime::Result<Decision> {
        let func = self.func(store, &self.exports.request)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: Call<(ResourceAny, Resource<MessageView>), Decision> =
            unsafe { TypedFunc::new_unchecked(func) };
        Ok(call.call_async(store, (self.session()?, shown())).await?.0)
    }

    pub(crate) async fn on_attempt(
        &self,
        store: &mut Store<State>,
        target: &Target,
    ) -> wasmtime::Result<Decision> {
        let func = self.func(store, &self.exports.attempt)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: Call<(ResourceAny, &Target, Resource<MessageView>), Decision> =
            unsafe { TypedFunc::new_unchecked(func) };
        Ok(call
            .call_async(store, (self.session()?, target, shown()))
            .await?
            .0)
    }

    pub(crate) async fn on_response(
        &self,
        store: &mut Store<State>,
        status: u16,
    ) -> wasmtime::Result<Decision> {
        let func = self.func(store, &self.exports.response)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: Call<(ResourceAny, u16, Resource<MessageView>), Decision> =
            unsafe { TypedFunc::new_unchecked(func) };
        Ok(call
            .call_async(store, (self.session()?, status, shown()))
            .await?
            .0)
    }

    pub(crate) async fn on_events(
        &self,
        store: &mut Store<State>,
        batch: (&[Event], bool),
    ) -> wasmtime::Result<EventsDecision> {
        let func = self.func(store, &self.exports.events)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: Call<(ResourceAny, &[Event], bool), EventsDecision> =
            unsafe { TypedFunc::new_unchecked(func) };
        Ok(call
            .call_async(store, (self.session()?, batch.0, batch.1))
            .await?
            .0)
    }

    pub(crate) async fn on_finish(
        &self,
        store: &mut Store<State>,
        outcome: &Outcome,
    ) -> wasmtime::Result<()> {
        let func = self.func(store, &self.exports.finish)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: TypedFunc<(ResourceAny, &Outcome), ()> =
            unsafe { TypedFunc::new_unchecked(func) };
        call.call_async(store, (self.session()?, outcome)).await
    }

    /// Milliseconds to the next tick, as the plugin wants it.
    pub(crate) async fn on_tick(&self, store: &mut Store<State>) -> wasmtime::Result<Option<u64>> {
        let none = || wasmtime::Error::msg("the plugin has no timer");
        let func = self.func(store, self.exports.tick.as_ref().ok_or_else(none)?)?;
        #[expect(unsafe_code, reason = "`Exports::check` compared the type")]
        let call: Call<(), Option<u64>> = unsafe { TypedFunc::new_unchecked(func) };
        Ok(call.call_async(store, ()).await?.0)
    }

    fn func(
        &self,
        store: &mut Store<State>,
        export: &ComponentExportIndex,
    ) -> wasmtime::Result<Func> {
        self.instance
            .get_func(store, export)
            .ok_or_else(|| wasmtime::Error::msg("an export of the contract is missing"))
    }
}

/// The one message that is shown lives in [`State::message`].
fn shown() -> Resource<MessageView> {
    Resource::new_own(0)
}
