//! One instance of an adapted module: enters the contract's functions.

use wasmtime::{AsContextMut, Global, InstancePre, Memory, Store, StoreContextMut, TypedFunc};

use super::{Entry, Export, MANY, MAP_BLOCK, MAP_START, Word};
use crate::{
    abi::{Broken, Lift, Lowering, Reader, Wanted},
    contract::{Decision, Event, EventsDecision, Head, Outcome, Target},
    host::State,
};

/// Messages have handles that no reservation and no session has.
const FIRST_MESSAGE: u32 = 1 << 27;

/// The host's side of an adapted module's instance, in its [`State`].
#[derive(Debug)]
pub(crate) struct Direct {
    pub(super) memory: Memory,
    pub(super) map: Memory,
    pub(super) lowering: Lowering,
    /// Whether the guest may have room for several blocks in a row.
    rows: bool,
    /// The handle of the message that the guest is shown next; 0: of none.
    lends: u32,
    next_message: u32,
    /// The entry at work opens a session and then asks it, and is not seen to have opened it.
    pub(crate) opens: bool,
}

impl Direct {
    fn lend(&mut self) {
        self.next_message = (self.next_message + 1) % FIRST_MESSAGE;
        self.lends = FIRST_MESSAGE + self.next_message;
    }

    /// Whether the guest allocates or frees what is handed over, where it may call nothing.
    pub(super) fn is_between(&self, map: &[u8]) -> bool {
        self.lowering.is_waiting() || Word::Frees.read(map) != 0
    }

    /// Whether the session was only just opened, and what is counted from now on is its hook's.
    fn begins(&mut self, map: &[u8]) -> bool {
        self.opens && Word::Opened.read(map) != 0 && std::mem::take(&mut self.opens)
    }

    /// Forgets what the last exchange left.
    pub(crate) fn end(&mut self) {
        self.lends = 0;
        self.next_message = 0;
        self.opens = false;
    }
}

/// Counts anew for a hook, where the entry at work went on to it.
pub(crate) fn tell_hook(store: &mut impl AsContextMut<Data = State>) {
    let mut store = store.as_context_mut();
    let Ok(&mut Direct { map, opens, .. }) = store.data_mut().direct() else {
        return;
    };
    if !opens {
        return;
    }
    let (map, state) = map.data_and_store_mut(&mut store);
    if state.direct().is_ok_and(|direct| direct.begins(map)) {
        state.goes_on();
    }
}

/// The functions that the host enters.
#[derive(Default)]
struct Entries {
    each: [Option<TypedFunc<u64, u32>>; Entry::ALL.len()],
    open_and_request: Option<TypedFunc<u64, u32>>,
}

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
            rows: instance
                .get_func(&mut *store, &Export::Blocks.name())
                .is_some(),
            lends: 0,
            next_message: 0,
            opens: false,
        };
        store.data_mut().direct = Some(direct);
        let find = |store: &mut Store<State>, export: Export| {
            let func = instance.get_func(&mut *store, &export.name());
            func.map(|func| func.typed(store)).transpose()
        };
        let mut entries = Entries::default();
        for &entry in Entry::ALL {
            entries.each[entry as usize] = find(store, Export::Entry(entry))?;
        }
        entries.open_and_request = find(store, Export::OpenAndRequest)?;
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
        self.session = self.enter(store, Entry::Open).await?;
        self.is_open = true;
        Ok(())
    }

    /// Four bytes of its memory.
    pub(crate) fn word(&self, store: &Store<State>, at: u32) -> Option<u32> {
        let memory = store.data().direct.as_ref()?.memory;
        let bytes = memory.data(store).get(at as usize..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Whether it has an entry that opens a session and asks it at once.
    pub(crate) fn opens_and_asks(&self) -> bool {
        self.entries.open_and_request.is_some()
    }

    /// Opens a session and asks it at once.
    pub(crate) async fn open_and_request(
        &mut self,
        store: &mut Store<State>,
        head: &Head,
    ) -> wasmtime::Result<Decision> {
        // Of the session before, where the instance was not put back.
        Word::Opened.write(map(store)?, 0);
        let opening = direct(store)?;
        opening.lend();
        opening.opens = true;
        opening.lowering.arguments().boxed(head);
        let result = call(store, self.entries.open_and_request.as_ref()).await;
        // One that asked the host nothing was not seen to open.
        direct(store)?.opens = false;
        let map = map(store)?;
        if Word::Opened.read(map) != 0 {
            self.session = Word::Session.read(map);
            self.is_open = true;
        }
        lift(store, result?)
    }

    /// Whether a session is open.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) async fn on_request(&self, store: &mut Store<State>) -> wasmtime::Result<Decision> {
        let direct = direct(store)?;
        direct.lend();
        direct
            .lowering
            .arguments()
            .number(self.session)
            .number(direct.lends);
        let result = self.enter(store, Entry::Request).await?;
        lift(store, result)
    }

    pub(crate) async fn on_attempt(
        &self,
        store: &mut Store<State>,
        target: &Target,
    ) -> wasmtime::Result<Decision> {
        let direct = direct(store)?;
        direct.lend();
        let arguments = direct.lowering.arguments();
        arguments
            .number(self.session)
            .list(target.upstream.as_bytes())
            .list(target.dialect.as_bytes())
            .optional_text(target.model.as_deref())
            .number(target.attempt)
            .number(direct.lends);
        let result = self.enter(store, Entry::Attempt).await?;
        lift(store, result)
    }

    pub(crate) async fn on_response(
        &self,
        store: &mut Store<State>,
        status: u16,
    ) -> wasmtime::Result<Decision> {
        let direct = direct(store)?;
        direct.lend();
        let arguments = direct.lowering.arguments();
        arguments
            .number(self.session)
            .number(status)
            .number(direct.lends);
        let result = self.enter(store, Entry::Response).await?;
        lift(store, result)
    }

    pub(crate) async fn on_events(
        &self,
        store: &mut Store<State>,
        (batch, last): (&[Event], bool),
    ) -> wasmtime::Result<EventsDecision> {
        let arguments = direct(store)?.lowering.arguments();
        arguments.number(self.session).list(batch).number(last);
        let result = self.enter(store, Entry::Events).await?;
        lift(store, result)
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
        let result = self.enter(store, Entry::Tick).await?;
        lift(store, result)
    }

    /// Ends the session, if one is open; the instance may serve another.
    pub(crate) async fn close(&mut self, store: &mut Store<State>) -> wasmtime::Result<()> {
        let was_open = std::mem::take(&mut self.is_open);
        if !was_open || self.entries.each[Entry::Drop as usize].is_none() {
            return Ok(());
        }
        let arguments = direct(store)?.lowering.arguments();
        arguments.number(self.session);
        self.enter(store, Entry::Drop).await.map(drop)
    }

    /// It was put back to where no session is open.
    pub(super) fn forget(&mut self) {
        self.is_open = false;
    }

    async fn enter(&self, store: &mut Store<State>, entry: Entry) -> wasmtime::Result<u32> {
        call(store, self.entries.each[entry as usize].as_ref()).await
    }
}

async fn call(
    store: &mut Store<State>,
    func: Option<&TypedFunc<u64, u32>>,
) -> wasmtime::Result<u32> {
    let missing = || wasmtime::Error::msg("the plugin lacks a function of the contract");
    let func = func.ok_or_else(missing)?;
    let wanted = wanted(store.as_context_mut())?;
    let result = func.call_async(&mut *store, wanted).await?;
    if Word::Lent.read(map(store)?) != 0 {
        return Err(wasmtime::Error::msg(
            "a borrowed message is kept beyond the end of the hook",
        ));
    }
    Ok(result)
}

/// What a function of the contract returned, before its memory is freed.
fn lift<T: Lift>(store: &mut Store<State>, result: u32) -> wasmtime::Result<T> {
    let memory = direct(store)?.memory;
    let budget = store.data().shared.bounds.memory_bytes;
    let mut reader = Reader::new(memory.data(&*store), budget);
    Ok(T::lift_at(&mut reader, result)?)
}

fn map(store: &mut Store<State>) -> wasmtime::Result<&mut [u8]> {
    let map = direct(store)?.map;
    Ok(map.data_mut(store))
}

fn direct(store: &mut Store<State>) -> wasmtime::Result<&mut Direct> {
    store.data_mut().direct()
}

/// What the guest is to allocate next, as its alignment above its length, or with [`MANY`]
/// for several; 0 when all that is lowered has been written.
pub(super) fn wanted(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<u64> {
    let direct = store.data_mut().direct()?;
    let both = |upper: u32, lower: u32| u64::from(upper) << 32 | u64::from(lower);
    match direct.lowering.wanted(direct.rows) {
        Wanted::Nothing => write(store).map(|()| 0),
        Wanted::Block { align, length } => Ok(both(align, length)),
        Wanted::Row { count, length } => Ok(MANY | both(count, length)),
    }
}

fn write(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<()> {
    let &mut Direct { memory, map, .. } = store.data_mut().direct()?;
    let (bytes, state) = memory.data_and_store_mut(&mut store);
    let lowering = &mut state.direct()?.lowering;
    lowering.join();
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
    let (marks, state) = map.data_and_store_mut(&mut store);
    let Direct {
        lowering, lends, ..
    } = state.direct()?;
    let slots = lowering.slots();
    marks[..slots.len()].copy_from_slice(slots);
    if *lends != 0 {
        Word::Lent.write(marks, *lends);
        *lends = 0;
    }
    for (at, _, piece) in lowering.pieces() {
        mark(marks, at as usize, piece.len());
    }
    lowering.done();
    Ok(())
}

/// Marks a range that the host wrote, which lies within the memory.
fn mark(map: &mut [u8], at: usize, length: usize) {
    if length > 0 {
        let (first, last) = (at / MAP_BLOCK, (at + length - 1) / MAP_BLOCK);
        for mark in &mut map[MAP_START + first..=MAP_START + last] {
            *mark = 1;
        }
    }
}
