//! What an instance was like when it was made, and how it gets there again.

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Memory, Store, Val};

use super::{Guest, MAP_BLOCK, MAP_START, STRADDLE, guest::Direct};
use crate::host::State;

/// An instance that wrote to more pages than this, in all its exchanges, is not worth
/// keeping: they would stay resident.
const PAGES_MAX: usize = 256;
/// Blocks of the map in one page of the operating system.
const PAGE_BLOCKS: usize = 4096 / MAP_BLOCK;

/// An instance that never serves an exchange: what the policy's others are put back to.
///
/// A copy of its memory would be as large as the memory. As it is, its pages are those of
/// the snapshot, which all instances share.
pub(crate) struct Pristine {
    store: Store<State>,
    memory: Memory,
    globals: Box<[Val]>,
    /// Counts it among the instances.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Pristine {
    /// Of an instance that was only just made.
    pub(crate) fn of(
        guest: &Guest,
        mut store: Store<State>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> wasmtime::Result<Self> {
        let globals = guest.globals.iter().map(|global| global.get(&mut store));
        Ok(Self {
            globals: globals.collect(),
            memory: store.data_mut().direct()?.memory,
            store,
            _permit: permit,
        })
    }

    /// Puts an instance back; `false`: it cannot be, or is not worth it.
    pub(crate) fn restore(&self, guest: &mut Guest, store: &mut Store<State>) -> bool {
        guest.forget();
        let Ok(&mut Direct { memory, map, .. }) = store.data_mut().direct() else {
            return false;
        };
        let image = self.memory.data(&self.store);
        if memory.data_size(&*store) != image.len() {
            return false;
        }
        let blocks = image.len() / MAP_BLOCK;
        let mut written = std::mem::take(&mut store.data_mut().written);
        written.clear();
        let (slots, marks) = map.data_mut(&mut *store).split_at_mut(MAP_START);
        slots.fill(0);
        take_marks(&mut marks[..=blocks], &mut written);
        let pages = &mut store.data_mut().pages;
        written.iter().for_each(|run| pages.note(run));
        let worth_it = pages.count <= PAGES_MAX;
        if worth_it {
            let bytes = memory.data_mut(&mut *store);
            for run in &written {
                let end = (run.end * MAP_BLOCK + STRADDLE).min(image.len());
                let run = run.start * MAP_BLOCK..end;
                bytes[run.clone()].copy_from_slice(&image[run]);
            }
        }
        store.data_mut().written = written;
        worth_it && self.restore_globals(guest, store)
    }

    fn restore_globals(&self, guest: &Guest, store: &mut Store<State>) -> bool {
        let mut globals = guest.globals.iter().zip(&self.globals);
        globals.all(|(global, value)| global.set(&mut *store, *value).is_ok())
    }
}

/// Which pages an instance has ever written to.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    bits: Vec<u64>,
    count: usize,
}

impl Pages {
    fn note(&mut self, blocks: &std::ops::Range<usize>) {
        let last = blocks.end.saturating_sub(1) / PAGE_BLOCKS;
        for page in blocks.start / PAGE_BLOCKS..=last {
            let (word, bit) = (page / 64, 1 << (page % 64));
            if word >= self.bits.len() {
                self.bits.resize(word + 1, 0);
            }
            self.count += usize::from(self.bits[word] & bit == 0);
            self.bits[word] |= bit;
        }
    }
}

impl std::fmt::Debug for Pristine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pristine").finish_non_exhaustive()
    }
}

/// Clears the marks and tells which runs of blocks had one.
fn take_marks(marks: &mut [u8], runs: &mut Vec<std::ops::Range<usize>>) {
    const STEP: usize = 64;
    let mut add = |at: usize| match runs.last_mut() {
        Some(run) if run.end == at => run.end += 1,
        _ => runs.push(at..at + 1),
    };
    let (steps, rest) = marks.as_chunks_mut::<STEP>();
    let end = steps.len() * STEP;
    for (nth, step) in steps.iter_mut().enumerate() {
        if step.iter().fold(0, |any, mark| any | mark) == 0 {
            continue;
        }
        let (words, _) = step.as_chunks::<8>();
        for (word, bytes) in words.iter().enumerate() {
            let mut left = u64::from_le_bytes(*bytes);
            while left != 0 {
                let byte = left.trailing_zeros() as usize / 8;
                left &= !(0xff << (byte * 8));
                add(nth * STEP + word * 8 + byte);
            }
        }
        *step = [0; STEP];
    }
    for (at, mark) in (end..).zip(rest) {
        if std::mem::take(mark) != 0 {
            add(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_runs_and_are_gone() {
        let mut marks = vec![0; 200];
        for at in [0, 63, 64, 65, 130, 199] {
            marks[at] = 1;
        }
        let mut runs = Vec::new();
        take_marks(&mut marks, &mut runs);
        assert_eq!(runs, [0..1, 63..66, 130..131, 199..200]);
        assert!(marks.iter().all(|mark| *mark == 0));
    }

    #[test]
    fn a_page_counts_once_however_often_and_wherever_it_is_written() {
        let mut pages = Pages::default();
        for run in [0..1, 7..8, 3..9, 800..801, 7..9, 800..808] {
            pages.note(&run);
        }
        assert_eq!(pages.count, 3);
    }
}
