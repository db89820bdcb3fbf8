//! Which LoRA adapters an endpoint has at hand.

use super::Sample;
use crate::balance::hash;

/// As hashes of their names, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adapters {
    names: Box<[u64]>,
    /// How many it can have; `None`: it does not say.
    room: Option<usize>,
}

impl Adapters {
    /// No more are kept.
    const MOST: usize = 1_024;

    /// Those that run, and those that are waited for and so will be loaded.
    pub(super) fn of(sample: &Sample<'_>) -> Self {
        let lists = [&b"running_lora_adapters"[..], b"waiting_lora_adapters"];
        let lists = lists.iter().filter_map(|label| sample.label(label));
        let names = lists.flat_map(|list| list.split(|byte| *byte == b','));
        let names = names
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty());
        let mut names: Vec<u64> = names.take(Self::MOST).map(hash).collect();
        names.sort_unstable();
        names.dedup();
        let room = sample.label(b"max_lora").and_then(|most| {
            let most: usize = std::str::from_utf8(most).ok()?.parse().ok()?;
            (most > 0).then_some(most)
        });
        Self {
            names: names.into(),
            room,
        }
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether one with this [`hash()`] of its name is at hand.
    #[must_use]
    pub fn contains(&self, name: u64) -> bool {
        self.names.binary_search(&name).is_ok()
    }

    /// Whether one has to go before another is loaded.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room.is_some_and(|room| self.names.len() >= room)
    }
}
