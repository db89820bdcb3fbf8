//! What an instance was like when it was made, and how it gets there again.

use wasmtime::{Store, Val};

use super::{Guest, MAP_BLOCK, MAP_START, STRADDLE, guest::Direct};
use crate::host::State;

/// An exchange that wrote more than this leaves an instance that is not worth keeping:
/// its pages would stay resident.
const WRITTEN_MAX: usize = 1 << 20;

/// Memory and globals of a policy's instances before their first exchange.
#[derive(Debug)]
pub(crate) struct Pristine {
    /// Up to the last byte that is not 0.
    image: Box<[u8]>,
    memory_bytes: usize,
    globals: Box<[Val]>,
}

impl Pristine {
    /// Of an instance that was only just made.
    pub(crate) fn of(guest: &Guest, store: &mut Store<State>) -> wasmtime::Result<Self> {
        let memory = store.data_mut().direct()?.memory;
        let bytes = memory.data(&mut *store);
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let (image, memory_bytes) = (Box::from(&bytes[..used]), bytes.len());
        let globals = guest.globals.iter().map(|global| global.get(&mut *store));
        Ok(Self {
            globals: globals.collect(),
            image,
            memory_bytes,
        })
    }

    /// Puts an instance back; `false`: it cannot be, or is not worth it.
    pub(crate) fn restore(&self, guest: &Guest, store: &mut Store<State>) -> bool {
        let Ok(&mut Direct { memory, map, .. }) = store.data_mut().direct() else {
            return false;
        };
        if memory.data_size(&*store) != self.memory_bytes {
            return false;
        }
        let blocks = self.memory_bytes / MAP_BLOCK;
        let mut written = std::mem::take(&mut store.data_mut().written);
        written.clear();
        take_marks(
            &mut map.data_mut(&mut *store)[MAP_START..=MAP_START + blocks],
            &mut written,
        );
        let worth_it =
            written.iter().map(|run| run.len()).sum::<usize>() * MAP_BLOCK <= WRITTEN_MAX;
        if worth_it {
            let bytes = memory.data_mut(&mut *store);
            for run in &written {
                self.copy(bytes, run.start * MAP_BLOCK, run.end * MAP_BLOCK + STRADDLE);
            }
        }
        store.data_mut().written = written;
        worth_it && self.restore_globals(guest, store)
    }

    fn copy(&self, bytes: &mut [u8], from: usize, to: usize) {
        let to = to.min(bytes.len());
        let image_end = self.image.len().clamp(from, to);
        if from < image_end {
            bytes[from..image_end].copy_from_slice(&self.image[from..image_end]);
        }
        bytes[image_end..to].fill(0);
    }

    fn restore_globals(&self, guest: &Guest, store: &mut Store<State>) -> bool {
        let mut globals = guest.globals.iter().zip(&self.globals);
        globals.all(|(global, value)| global.set(&mut *store, *value).is_ok())
    }
}

/// Clears the marks and tells which runs of blocks had one.
fn take_marks(marks: &mut [u8], runs: &mut Vec<std::ops::Range<usize>>) {
    const STEP: usize = 64;
    for (nth, step) in marks.chunks_mut(STEP).enumerate() {
        if step.iter().fold(0, |any, mark| any | mark) == 0 {
            continue;
        }
        for (at, mark) in (nth * STEP..).zip(step) {
            if std::mem::take(mark) == 0 {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += 1,
                _ => runs.push(at..at + 1),
            }
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
    fn what_lies_beyond_the_image_becomes_zero() {
        let pristine = Pristine {
            image: Box::from([1, 2, 3]),
            memory_bytes: 8,
            globals: Box::default(),
        };
        let mut bytes = [9; 8];
        pristine.copy(&mut bytes, 1, 100);
        assert_eq!(bytes, [9, 2, 3, 0, 0, 0, 0, 0]);
        let mut bytes = [9; 8];
        pristine.copy(&mut bytes, 5, 7);
        assert_eq!(bytes, [9, 9, 9, 9, 9, 0, 0, 9]);
    }
}
