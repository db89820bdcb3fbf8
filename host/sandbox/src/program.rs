//! What a policy's instances are made from: an adapted module, or a component.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Engine, InstancePre, Store, component};

use crate::{
    contract::{Decision, Event, EventsDecision, Head, Outcome, Target},
    direct::{self, Pristine},
    exports::{self, Exports},
    host::{Shared, State},
    instance::{FIRST_TICK, new_store},
};

/// Linked and checked; an instance can be made of it at any time.
#[derive(Clone)]
pub(crate) enum Program {
    Module {
        pre: InstancePre<State>,
        map_bytes: usize,
        pristine: Arc<Pristine>,
    },
    Component {
        pre: component::InstancePre<State>,
        exports: Exports,
    },
}

impl Program {
    /// Of an adapted module; makes one instance that stays as it is.
    pub(crate) async fn module(
        pre: InstancePre<State>,
        map_bytes: usize,
        scratch: Arc<Shared>,
        permit: OwnedSemaphorePermit,
    ) -> wasmtime::Result<Self> {
        let mut store = new_store(pre.module().engine(), scratch);
        let guest = direct::Guest::make(&pre, map_bytes, &mut store).await?;
        let pristine = Arc::new(Pristine::of(&guest, store, Some(permit))?);
        Ok(Self::Module {
            pre,
            map_bytes,
            pristine,
        })
    }

    /// Of a component; makes one instance to check its types.
    pub(crate) async fn component(
        pre: component::InstancePre<State>,
        interfaces: (&str, &str),
        scratch: Arc<Shared>,
    ) -> wasmtime::Result<Self> {
        let store = new_store(pre.engine(), scratch);
        let exports = Exports::check(&pre, store, interfaces).await?;
        Ok(Self::Component { pre, exports })
    }

    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Module { pre, .. } => pre.module().engine(),
            Self::Component { pre, .. } => pre.engine(),
        }
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Guest> {
        Ok(match self {
            Self::Module { pre, map_bytes, .. } => {
                Guest::Module(direct::Guest::make(pre, *map_bytes, store).await?)
            }
            Self::Component { pre, exports } => {
                Guest::Component(exports::Guest::make(pre, exports, store).await?)
            }
        })
    }

    /// Puts an instance back to what it was when it was made, if it can be.
    pub(crate) fn restore(&self, guest: &mut Guest, store: &mut Store<State>) -> bool {
        match (self, guest) {
            (Self::Module { pristine, .. }, Guest::Module(guest)) => pristine.restore(guest, store),
            _ => false,
        }
    }
}

/// One instance, and the session that is open in it.
#[expect(
    clippy::large_enum_variant,
    reason = "it lies in an `Instance`, which is boxed"
)]
pub(crate) enum Guest {
    Module(direct::Guest),
    Component(exports::Guest),
}

macro_rules! either {
    ($self:ident, $guest:ident => $call:expr) => {
        match $self {
            Guest::Module($guest) => $call.await,
            Guest::Component($guest) => $call.await,
        }
    };
}

impl Guest {
    /// Configures one that is not of a snapshot; those of modules always are.
    pub(crate) async fn configure(
        &self,
        store: &mut Store<State>,
        settings: &str,
    ) -> wasmtime::Result<Result<(), Vec<String>>> {
        match self {
            Self::Module(_) => Ok(Ok(())),
            Self::Component(guest) => guest.configure(store, settings).await,
        }
    }

    pub(crate) async fn open(
        &mut self,
        store: &mut Store<State>,
        head: &Head,
    ) -> wasmtime::Result<()> {
        either!(self, guest => guest.open(store, head))
    }

    /// Opens a session and asks its first hook, in one entry where that can be.
    pub(crate) async fn open_and_request(
        &mut self,
        store: &mut Store<State>,
        head: &Head,
    ) -> wasmtime::Result<Decision> {
        if let Self::Module(guest) = self
            && guest.opens_and_asks()
        {
            return guest.open_and_request(store, head).await;
        }
        self.open(store, head).await?;
        store.data_mut().goes_on();
        store.set_epoch_deadline(FIRST_TICK);
        self.on_request(store).await
    }

    /// Whether a session is open in it.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Module(guest) => guest.is_open(),
            Self::Component(guest) => guest.is_open(),
        }
    }

    pub(crate) async fn on_request(&self, store: &mut Store<State>) -> wasmtime::Result<Decision> {
        either!(self, guest => guest.on_request(store))
    }

    pub(crate) async fn on_attempt(
        &self,
        store: &mut Store<State>,
        target: &Target,
    ) -> wasmtime::Result<Decision> {
        either!(self, guest => guest.on_attempt(store, target))
    }

    pub(crate) async fn on_response(
        &self,
        store: &mut Store<State>,
        status: u16,
    ) -> wasmtime::Result<Decision> {
        either!(self, guest => guest.on_response(store, status))
    }

    pub(crate) async fn on_events(
        &self,
        store: &mut Store<State>,
        batch: (&[Event], bool),
    ) -> wasmtime::Result<EventsDecision> {
        either!(self, guest => guest.on_events(store, batch))
    }

    pub(crate) async fn on_finish(
        &self,
        store: &mut Store<State>,
        outcome: &Outcome,
    ) -> wasmtime::Result<()> {
        either!(self, guest => guest.on_finish(store, outcome))
    }

    /// Milliseconds to the next tick, as the plugin wants it.
    pub(crate) async fn on_tick(&self, store: &mut Store<State>) -> wasmtime::Result<Option<u64>> {
        either!(self, guest => guest.on_tick(store))
    }

    /// Ends the session; the instance may serve another.
    pub(crate) async fn close(&mut self, store: &mut Store<State>) -> wasmtime::Result<()> {
        either!(self, guest => guest.close(store))
    }
}
