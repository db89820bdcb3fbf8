//! One instance of an adapted module: enters the contract's functions.

use wasmtime::{AsContextMut, Global, InstancePre, Memory, Store, StoreContextMut, TypedFunc};

use super::{Entry, Export, MAP_BLOCK, MAP_START};
use crate::{
    abi::{Broken, Lift, Lowering, Reader},
    contract::{Decision, Event, EventsDecision, Head, Outcome, Target},
    host::State,
};

/// What a function of the contract returned.
#[derive(Debug)]
pub(super) enum Returned {
    Session(u32),
    Decision(Decision),
    Events(EventsDecision),
    /// Milliseconds to the next tick.
    Next(Option<u64>),
}

/// Messages have handles that no reservation and no session has.
const FIRST_MESSAGE: u32 = 1 << 27;

/// The host's side of an adapted module's instance, in its [`State`].
#[derive(Debug)]
pub(crate) struct Direct {
    pub(super) memory: Memory,
    pub(super) map: Memory,
    pub(super) lowering: Lowering,
    returned: Option<Returned>,
    /// The handle that the guest has for the message it is shown, until it lets go of it.
    lent: Option<u32>,
    next_message: u32,
    /// What the function returned is taken, and only its memory is still to be freed.
    is_over: bool,
}

impl Direct {
    fn lend(&mut self) -> u32 {
        self.next_message = (self.next_message + 1) % FIRST_MESSAGE;
        let handle = FIRST_MESSAGE + self.next_message;
        self.lent = Some(handle);
        handle
    }

    /// Whether the guest allocates or frees what is handed over, where it may call nothing.
    pub(super) fn is_between(&self) -> bool {
        self.is_over || self.lowering.is_waiting()
    }

    /// Forgets what the last exchange left.
    pub(crate) fn end(&mut self) {
        self.returned = None;
        self.lent = None;
        self.next_message = 0;
    }

    pub(super) fn check_message(&self, handle: u32) -> Result<(), Broken> {
        match self.lent {
            Some(lent) if lent == handle => Ok(()),
            _ => Err(Broken::NoSuchHandle),
        }
    }

    pub(super) fn let_go(&mut self, handle: u32) -> Result<(), Broken> {
        self.check_message(handle)?;
        self.lent = None;
        Ok(())
    }
}

/// The functions that the host enters.
#[derive(Clone)]
pub(crate) struct Entries([Option<TypedFunc<u64, ()>>; Entry::ALL.len()]);

pub(crate) struct Guest {
    /// Those that the module may change.
    pub(crate) globals: Box<[Global]>,
    entries: Entries,
    session: u32,
    is_open: bool,
}

impl Guest {
    /// Makes an instance. The memory of the map, of `map_bytes`, is not the plugin's.
    pub(crate) async fn make(
        pre: &InstancePre<State>,
        map_bytes: usize,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Self> {
        store.data_mut().expect_map(map_bytes);
        let instance = pre.instantiate_async(&mut *store).await?;
        let memory = |store: &mut Store<State>, export: Export| {
            instance
                .get_memory(store, &export.name())
                .ok_or_else(|| wasmtime::Error::msg("an adapted module has two memories"))
        };
        let direct = Direct {
            memory: memory(store, Export::Memory)?,
            map: memory(store, Export::Map)?,
            lowering: Lowering::default(),
            returned: None,
            lent: None,
            next_message: 0,
            is_over: false,
        };
        store.data_mut().direct = Some(direct);
        let mut entries = Entries(Default::default());
        for &entry in Entry::ALL {
            let name = Export::Entry(entry).name();
            if let Some(func) = instance.get_func(&mut *store, &name) {
                entries.0[entry as usize] = Some(func.typed(&mut *store)?);
            }
        }
        let globals = (0..)
            .map_while(|nth| instance.get_global(&mut *store, &Export::Global(nth).name()))
            .collect();
        Ok(Self {
            globals,
            entries,
            session: 0,
            is_open: false,
        })
    }

    /// All of its memory, as it is now.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self, store: &mut Store<State>) -> Vec<u8> {
        let memory = store.data_mut().direct().expect("it is a module").memory;
        memory.data(&*store).to_vec()
    }

    pub(crate) async fn open(
        &mut self,
        store: &mut Store<State>,
        head: &Head,
    ) -> wasmtime::Result<()> {
        direct(store)?.lowering.arguments().boxed(head);
        match self.enter(store, Entry::Open).await? {
            Some(Returned::Session(session)) => {
                self.session = session;
                self.is_open = true;
                Ok(())
            }
            _ => Err(nothing()),
        }
    }

    pub(crate) async fn on_request(&self, store: &mut Store<State>) -> wasmtime::Result<Decision> {
        let direct = direct(store)?;
        let message = direct.lend();
        let arguments = direct.lowering.arguments();
        arguments.number(self.session).number(message);
        decision(self.enter(store, Entry::Request).await?)
    }

    pub(crate) async fn on_attempt(
        &self,
        store: &mut Store<State>,
        target: &Target,
    ) -> wasmtime::Result<Decision> {
        let direct = direct(store)?;
        let message = direct.lend();
        let arguments = direct.lowering.arguments();
        arguments
            .number(self.session)
            .list(target.upstream.as_bytes())
            .list(target.dialect.as_bytes())
            .optional_text(target.model.as_deref())
            .number(target.attempt)
            .number(message);
        decision(self.enter(store, Entry::Attempt).await?)
    }

    pub(crate) async fn on_response(
        &self,
        store: &mut Store<State>,
        status: u16,
    ) -> wasmtime::Result<Decision> {
        let direct = direct(store)?;
        let message = direct.lend();
        let arguments = direct.lowering.arguments();
        arguments
            .number(self.session)
            .number(status)
            .number(message);
        decision(self.enter(store, Entry::Response).await?)
    }

    pub(crate) async fn on_events(
        &self,
        store: &mut Store<State>,
        (batch, last): (&[Event], bool),
    ) -> wasmtime::Result<EventsDecision> {
        let arguments = direct(store)?.lowering.arguments();
        arguments.number(self.session).list(batch).number(last);
        match self.enter(store, Entry::Events).await? {
            Some(Returned::Events(decision)) => Ok(decision),
            _ => Err(nothing()),
        }
    }

    pub(crate) async fn on_finish(
        &self,
        store: &mut Store<State>,
        outcome: &Outcome,
    ) -> wasmtime::Result<()> {
        let usage = outcome.usage;
        let arguments = direct(store)?.lowering.arguments();
        arguments
            .number(self.session)
            .number(outcome.ending as u32)
            .number(outcome.status)
            .optional_text(outcome.upstream.as_deref())
            .number(outcome.attempts)
            .optional(outcome.first_byte_us)
            .number(outcome.total_us)
            .number(usage.is_some())
            .number(usage.map_or(0, |usage| usage.input_tokens))
            .number(usage.map_or(0, |usage| usage.output_tokens))
            .number(usage.map_or(0, |usage| usage.cached_tokens));
        self.enter(store, Entry::Finish).await.map(drop)
    }

    /// Milliseconds to the next tick, as the plugin wants it.
    pub(crate) async fn on_tick(&self, store: &mut Store<State>) -> wasmtime::Result<Option<u64>> {
        direct(store)?.lowering.arguments();
        match self.enter(store, Entry::Tick).await? {
            Some(Returned::Next(next)) => Ok(next),
            _ => Err(nothing()),
        }
    }

    /// Ends the session, if one is open; the instance may serve another.
    pub(crate) async fn close(&mut self, store: &mut Store<State>) -> wasmtime::Result<()> {
        let was_open = std::mem::take(&mut self.is_open);
        if !was_open || self.entries.0[Entry::Drop as usize].is_none() {
            return Ok(());
        }
        let arguments = direct(store)?.lowering.arguments();
        arguments.number(self.session);
        self.enter(store, Entry::Drop).await.map(drop)
    }

    async fn enter(
        &self,
        store: &mut Store<State>,
        entry: Entry,
    ) -> wasmtime::Result<Option<Returned>> {
        direct(store)?.is_over = false;
        let wanted = wanted(store.as_context_mut())?;
        let Some(func) = &self.entries.0[entry as usize] else {
            return Err(nothing());
        };
        func.call_async(&mut *store, wanted).await?;
        let direct = direct(store)?;
        match direct.lent.take() {
            None => Ok(direct.returned.take()),
            Some(_) => Err(wasmtime::Error::msg(
                "a borrowed message is kept beyond the end of the hook",
            )),
        }
    }
}

fn direct(store: &mut Store<State>) -> wasmtime::Result<&mut Direct> {
    store.data_mut().direct()
}

fn decision(returned: Option<Returned>) -> wasmtime::Result<Decision> {
    match returned {
        Some(Returned::Decision(decision)) => Ok(decision),
        _ => Err(nothing()),
    }
}

fn nothing() -> wasmtime::Error {
    wasmtime::Error::msg("a function of the contract returned nothing")
}

/// What the guest is to allocate next, as its alignment above its length; 0 when
/// all that is lowered has been written.
pub(super) fn wanted(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<u64> {
    match store.data_mut().direct()?.lowering.wanted() {
        Some((align, length)) => Ok(u64::from(align) << 32 | u64::from(length)),
        None => write(store).map(|()| 0),
    }
}

fn write(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<()> {
    let direct = store.data_mut().direct()?;
    let (memory, map) = (direct.memory, direct.map);
    let mut lowering = std::mem::take(&mut direct.lowering);
    lowering.join();
    let bytes = memory.data_mut(&mut store);
    for (at, align, piece) in lowering.pieces() {
        let at = at as usize;
        if !at.is_multiple_of(align) {
            return Err(Broken::Misaligned.into());
        }
        bytes
            .get_mut(at..)
            .and_then(|rest| rest.get_mut(..piece.len()))
            .ok_or(Broken::OutOfBounds)?
            .copy_from_slice(piece);
    }
    let marks = map.data_mut(&mut store);
    let slots = lowering.slots();
    marks[..slots.len()].copy_from_slice(slots);
    for (at, _, piece) in lowering.pieces() {
        mark(marks, at as usize, piece.len());
    }
    lowering.done();
    store.data_mut().direct()?.lowering = lowering;
    Ok(())
}

/// Marks a range that the host wrote, which lies within the memory.
fn mark(map: &mut [u8], at: usize, length: usize) {
    if length > 0 {
        let (first, last) = (at / MAP_BLOCK, (at + length - 1) / MAP_BLOCK);
        map[MAP_START + first..=MAP_START + last].fill(1);
    }
}

/// Lifts what a function of the contract returned, before its memory is freed.
pub(super) fn returned(
    mut store: StoreContextMut<'_, State>,
    entry: Entry,
    result: u32,
) -> wasmtime::Result<()> {
    let memory = store.data_mut().direct()?.memory;
    let budget = store.data().shared.bounds.memory_bytes;
    let (bytes, state) = memory.data_and_store_mut(&mut store);
    let mut reader = Reader::new(bytes, budget);
    let returned = match entry {
        Entry::Open => Returned::Session(result),
        Entry::Request | Entry::Attempt | Entry::Response => {
            Returned::Decision(Decision::lift_at(&mut reader, result)?)
        }
        Entry::Events => Returned::Events(EventsDecision::lift_at(&mut reader, result)?),
        Entry::Tick => Returned::Next(Option::lift_at(&mut reader, result)?),
        Entry::Finish | Entry::Drop => return Ok(()),
    };
    let direct = state.direct()?;
    direct.returned = Some(returned);
    direct.is_over = true;
    Ok(())
}
