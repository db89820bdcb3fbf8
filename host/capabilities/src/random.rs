//! Randomness: the operating system's, or a fixed sequence for tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// The source could not be read. A plugin cannot go on without: the call traps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct RandomError;

/// Gives unpredictable bytes, fit for keys.
pub trait Random: Send + Sync {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError>;

    /// A number, uniform over all of `u64`.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn u64(&self) -> Result<u64, RandomError> {
        let mut buffer = [0; 8];
        self.fill(&mut buffer)?;
        Ok(u64::from_le_bytes(buffer))
    }
}

/// The operating system's source.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(buffer).map_err(|_| RandomError)
    }
}

/// The same sequence for the same seed (SplitMix64): for tests, never for keys.
#[derive(Debug, Default)]
pub struct FixedRandom {
    state: AtomicU64,
}

impl FixedRandom {
    /// Starts the sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self
            .state
            .fetch_add(STEP, Ordering::SeqCst)
            .wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Random for FixedRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_seed_another() {
        let draw = |seed| {
            let random = FixedRandom::new(seed);
            (0..4).map(|_| random.u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn the_os_source_fills_the_whole_buffer() {
        let mut buffer = [0_u8; 4096];
        OsRandom.fill(&mut buffer).unwrap();
        assert!(
            buffer
                .chunks(64)
                .all(|chunk| chunk.iter().any(|byte| *byte != 0))
        );
        assert_ne!(OsRandom.u64(), OsRandom.u64());
    }
}
