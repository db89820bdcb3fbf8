//! One instance of a plugin, in a store of its own.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Engine, Store};

use crate::{
    host::{Shared, State},
    policy::Policy,
    program::Guest,
};

/// Epochs until the clock first asks: the running one may end at once.
pub(crate) const FIRST_TICK: u64 = 2;

/// An instance that is used again retires after this many exchanges, or up to twice as many, so
/// that not all retire at once.
const EXCHANGES_MIN: u32 = 512;

pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) guest: Guest,
    /// Exchanges it may still serve.
    exchanges_left: u32,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Instance {
    pub(crate) async fn make(
        policy: &Policy,
        permit: OwnedSemaphorePermit,
    ) -> wasmtime::Result<Box<Self>> {
        let mut store = new_store(policy.program.engine(), policy.shared.clone());
        let guest = policy.program.instantiate(&mut store).await?;
        if let Some(settings) = &policy.settings {
            guest
                .configure(&mut store, settings)
                .await?
                .map_err(|errors| wasmtime::Error::msg(errors.join("; ")))?;
        }
        store.data_mut().grew = false;
        let nth = policy.shared.counters.made();
        Ok(Box::new(Self {
            store,
            guest,
            exchanges_left: EXCHANGES_MIN + spread(nth) % EXCHANGES_MIN,
            shared: policy.shared.clone(),
            _permit: permit,
        }))
    }

    /// Ends what it was used for, and goes back to those that are ready if it may; else
    /// the next is made.
    pub(crate) async fn leave(mut self: Box<Self>, policy: &Arc<Policy>) {
        let is_good = self.end(policy).await;
        // If there are no more, an exchange of another policy may wait for this one.
        if is_good && policy.tender.has_more() {
            return policy.give_back(self);
        }
        if policy.is_quick_to_make() {
            // Its permit first goes to whoever waits for one.
            drop(self);
            policy.refill().await;
        } else {
            policy.tender.clear(policy.clone(), Some(self));
        }
    }

    /// Ends the exchange. With `isolation: shared` the instance goes on as it is, else
    /// it is put back to what it was when it was made. `false`: throw it away.
    async fn end(&mut self, policy: &Policy) -> bool {
        let Self { store, guest, .. } = self;
        let goes_on = if policy.is_shared() {
            store.data_mut().begin_hook();
            store.set_epoch_deadline(FIRST_TICK);
            guest.close(store).await.is_ok()
        } else {
            let restored = policy.program.restore(guest, store);
            store.data_mut().end();
            restored
        };
        goes_on && self.may_go_on()
    }

    /// Whether it may serve another exchange after this one.
    fn may_go_on(&mut self) -> bool {
        self.exchanges_left = self.exchanges_left.saturating_sub(1);
        self.exchanges_left > 0 && !self.store.data().grew
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shared.counters.cleared();
    }
}

/// A store with its bounds in place.
pub(crate) fn new_store(engine: &Engine, shared: Arc<Shared>) -> Store<State> {
    let fuel = shared.bounds.memory_bytes;
    let mut store = Store::new(engine, State::new(shared));
    store.limiter(|state| state);
    // Lists may overlap in the guest's memory; on the host they would not.
    store.set_hostcall_fuel(fuel);
    store.epoch_deadline_callback(State::on_tick);
    store.set_epoch_deadline(FIRST_TICK);
    store
}

/// Scatters consecutive numbers (the finalizer of SplitMix64).
fn spread(n: u64) -> u32 {
    let mixed = (n ^ (n >> 30))
        .wrapping_add(1)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 32) as u32
}
