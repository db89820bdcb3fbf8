//! What a decision came of: what the plugin says that it saw, and what the host noted.

use crate::{charge::Hold, recording::Part};

/// The most parts that a policy asks for, in all its exchanges together.
pub(super) const PARTS_MAX: usize = 32;
/// The most holds of one decision.
const HOLDS_MAX: usize = 16;
/// Of a part's name.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// What a plugin says that it saw of the head, by the SDK's `tollgate_seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(pub(super) u32);

impl Seen {
    pub(super) const BODY_BYTES: u32 = 1;
    pub(super) const DEADLINE: u32 = 1 << 1;
    pub(super) const HAS_BODY: u32 = 1 << 2;
    const LEAVES: u32 = 1 << 3;
    const STATELESS: u32 = 1 << 31;
    /// Of a plugin that does not say.
    pub(crate) const ALL: Self = Self(Self::BODY_BYTES | Self::DEADLINE | Self::HAS_BODY);

    pub(crate) fn of(word: u32) -> Option<Self> {
        let known = Self::ALL.0 | Self::LEAVES | Self::STATELESS;
        (word & !known == 0).then_some(Self(word))
    }

    /// Whether the session wants no other hook.
    pub(crate) fn leaves(self) -> bool {
        self.has(Self::LEAVES)
    }

    /// Without what it says besides.
    pub(super) fn of_head(self) -> Self {
        Self(self.0 & Self::ALL.0)
    }

    /// Whether it keeps nothing from one exchange to the next.
    pub(crate) fn is_stateless(self) -> bool {
        self.0 & Self::STATELESS != 0
    }

    pub(super) fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a hook read of a request.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(super) parts: Vec<(Part, String)>,
    pub(super) holds: Vec<Hold>,
    /// With those that were read again.
    times: u32,
}

impl Reads {
    /// One that is not noted was a host call all the same: see [`Basis::is_all`].
    pub(crate) fn note(&mut self, part: Part, name: &str) {
        let is_it = |(known, its): &(Part, String)| (*known, its.as_str()) == (part, name);
        if !self.parts.iter().any(is_it) {
            if name.len() > NAME_BYTES_MAX || self.parts.len() == PARTS_MAX {
                return;
            }
            self.parts.push((part, name.to_owned()));
        }
        self.times = self.times.saturating_add(1);
    }

    /// As [`Reads::note`].
    pub(crate) fn note_hold(&mut self, hold: Hold) {
        if self.holds.len() < HOLDS_MAX {
            self.holds.push(hold);
            self.times = self.times.saturating_add(1);
        }
    }
}

/// What a decision came of.
#[derive(Debug)]
pub(crate) struct Basis {
    /// `None`: of more than the host can know, such as the exchange before.
    pub(crate) seen: Option<Seen>,
    pub(crate) reads: Reads,
    /// All that were made.
    pub(crate) host_calls: u32,
    /// Whether no other hook of the exchange can follow.
    pub(crate) is_last: bool,
}

impl Basis {
    /// Whether it is all that the decision came of, and the decision all that comes of it.
    pub(super) fn is_all(&self) -> bool {
        self.is_last && self.reads.times == self.host_calls
    }
}
