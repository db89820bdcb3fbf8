//! The hooks of a policy, and what they are called wherever they are shown.

use std::fmt;

use crate::contract::Hooks;

/// A hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before a target is chosen.
    Request,
    /// For the chosen target.
    Attempt,
    /// Status and headers of the answer are known.
    Response,
    /// Events of a stream are ready.
    Events,
    /// The exchange is over.
    Finish,
    /// By the clock, and of no exchange.
    Tick,
}

impl Hook {
    /// In the order in which an exchange meets them.
    pub const ALL: [Self; 6] = [
        Self::Request,
        Self::Attempt,
        Self::Response,
        Self::Events,
        Self::Finish,
        Self::Tick,
    ];

    /// As authors write it, such as `on_request`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "on_request",
            Self::Attempt => "on_attempt",
            Self::Response => "on_response",
            Self::Events => "on_events",
            Self::Finish => "on_finish",
            Self::Tick => "on_tick",
        }
    }

    /// As metrics are labelled, such as `request`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.name().split_at("on_".len()).1
    }

    /// Its flag in a plugin's description; one that is an export of its own has none.
    #[must_use]
    pub const fn flag(self) -> Option<Hooks> {
        Some(match self {
            Self::Request => Hooks::REQUEST,
            Self::Attempt => Hooks::ATTEMPT,
            Self::Response => Hooks::RESPONSE,
            Self::Events => Hooks::EVENTS,
            Self::Finish => Hooks::FINISH,
            Self::Tick => return None,
        })
    }

    /// The hook of a flag; `None` of several flags, or of none.
    #[must_use]
    pub fn of(flag: Hooks) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.flag() == Some(flag))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_flag_and_a_label_of_its_own() {
        assert_eq!(
            Hook::ALL.map(Hook::label),
            ["request", "attempt", "response", "events", "finish", "tick"]
        );
        for (at, hook) in Hook::ALL.into_iter().enumerate() {
            assert_eq!(hook as usize, at, "counters go by it");
            assert_eq!(hook.flag().and_then(Hook::of), hook.flag().map(|_| hook));
        }
        assert_eq!(Hook::of(Hooks::empty()), None);
        assert_eq!(Hook::of(Hooks::REQUEST | Hooks::EVENTS), None);
    }
}
