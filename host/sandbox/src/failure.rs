//! Why a hook gave no decision, in the words of who wrote the plugin: what happened, where
//! it was then, and what to do.

use std::{fmt, time::Duration};

use wasmtime::Trap as Cause;

use crate::{
    host::{Bound, Bounds, Circumstances},
    place::{Place, Trail},
    recording::Recording,
};

/// Why a hook gave no decision. The session is spent after any of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guest trapped: a panic, a bad access, memory that could not be had.
    #[error("trapped: {0}")]
    Trapped(Trapped),
    /// A hook took too long.
    #[error("{0}")]
    OutOfTime(OutOfTime),
    /// All hooks of the exchange together took too long.
    #[error(
        "ran longer than {0:?} in all hooks of the exchange together: have it do less, or raise \
         `limits.exchange_time` of the policy"
    )]
    ExchangeOutOfTime(Duration),
    /// A tick took too long, waiting included.
    #[error(
        "took longer than {0:?} in one tick, waiting included: have it ask for less, or raise \
         `limits.tick_time` of the policy"
    )]
    TickOutOfTime(Duration),
    /// More imports were called in a hook than allowed.
    #[error(
        "made more than {0} host calls in one hook: have it ask for less, or raise `limits.host_calls` of the policy"
    )]
    TooManyHostCalls(u32),
    /// The decision does not hold.
    #[error("returned a decision that does not hold: {0}")]
    BadDecision(String),
    /// The policy failed too often, or the session failed before.
    #[error("is in quarantine")]
    Quarantined,
    /// All instances are in use.
    #[error("found no free instance")]
    NoInstance,
}

/// A trap: what it was, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trapped {
    what: String,
    place: Place,
    advice: String,
}

/// A hook that was stopped at its bound, and where it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfTime {
    bound: Duration,
    place: Place,
}

/// A session that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct NotOpened {
    /// Why.
    pub failure: Failure,
    /// What the plugin asked the host before that, if the exchange is recorded.
    pub recording: Option<Box<Recording>>,
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            recording: None,
        }
    }
}

impl From<NotOpened> for Failure {
    fn from(not: NotOpened) -> Self {
        not.failure
    }
}

impl Failure {
    pub(crate) fn of(
        error: &wasmtime::Error,
        bounds: &Bounds,
        (circumstances, trail): (Circumstances, Trail),
    ) -> Self {
        match error.downcast_ref::<Bound>() {
            Some(Bound::Time) => Self::OutOfTime(OutOfTime {
                bound: bounds.hook_time,
                place: trail.place(),
            }),
            Some(Bound::HostCalls) => Self::TooManyHostCalls(bounds.host_calls),
            None if circumstances.lacked_memory => Self::Trapped(Trapped {
                what: format!(
                    "{}; memory beyond `limits.memory` ({} KiB) was refused in this hook",
                    cause(error),
                    bounds.memory_bytes >> 10
                ),
                place: trail.place(),
                advice: ": have it keep less, or raise that of the policy".to_owned(),
            }),
            None => Self::Trapped(Trapped::of(error, circumstances.last_words, &trail)),
        }
    }

    /// What happened, without where and what to do: the same for a plugin whose lines were
    /// moved, or which was built with other symbols.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Trapped(trapped) => format!("trapped: {}", trapped.what),
            Self::OutOfTime(late) => late.what(),
            other => other.to_string(),
        }
    }
}

impl Trapped {
    /// `last_words`: what the plugin wrote as an error before it.
    pub(crate) fn of(error: &wasmtime::Error, last_words: Option<String>, trail: &Trail) -> Self {
        let trap = error.downcast_ref::<Cause>();
        let (mut place, mut advice) = (trail.place(), String::new());
        let what = match (trap, last_words) {
            (Some(Cause::UnreachableCodeReached), Some(words)) => match panicked(&words) {
                Some((at, message)) => {
                    place = place.within(at);
                    format!("it panicked: {message}")
                }
                None => format!("{}; it wrote last: {words}", cause(error)),
            },
            (Some(Cause::StackOverflow | Cause::MemoryOutOfBounds), _) if trail.is_recursion => {
                advice = match trail.recursion() {
                    Some(function) => format!(": bound the depth of `{function}`, {LARGER_STACK}"),
                    None => format!(": bound its depth, {LARGER_STACK}"),
                };
                RECURSION.to_owned()
            }
            _ => cause(error),
        };
        advice.push_str(trail.advice());
        Self {
            what,
            place,
            advice,
        }
    }
}

/// Without the function's name, which is another with other symbols.
const RECURSION: &str =
    "its stack overflowed, since a function is called within itself again and again";
const LARGER_STACK: &str = "or give the plugin a larger stack";

/// Place and message of a panic that the SDK logged.
fn panicked(words: &str) -> Option<(&str, &str)> {
    words.strip_prefix("panicked at ")?.split_once(": ")
}

/// What an error was, in plain words, without the frames that stand above it.
pub(crate) fn cause(error: &wasmtime::Error) -> String {
    let Some(trap) = error.downcast_ref::<Cause>() else {
        return error.root_cause().to_string();
    };
    let words = match trap {
        // A plugin's stack ends where its memory begins.
        Cause::MemoryOutOfBounds => {
            "out of bounds memory access (a stack that overflows looks like this, too)"
        }
        Cause::StackOverflow => "its stack overflowed",
        Cause::UnreachableCodeReached => {
            "it executed `unreachable`, as a panic, an abort or an allocation that fails does"
        }
        Cause::IntegerDivisionByZero => "it divided an integer by zero",
        Cause::IntegerOverflow => "the result of a division of integers overflowed",
        Cause::BadConversionToInteger => "it turned a number that is none into an integer",
        Cause::TableOutOfBounds => "it called a function through a table beyond its end",
        Cause::IndirectCallToNull => "it called a function through an empty entry of a table",
        Cause::BadSignature => "it called a function through a table as one of another type",
        Cause::Interrupt => "it was interrupted",
        other => return other.to_string(),
    };
    words.to_owned()
}

impl fmt::Display for Trapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.what, self.place, self.advice)
    }
}

impl OutOfTime {
    fn what(&self) -> String {
        format!("ran longer than {:?} in one hook", self.bound)
    }
}

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}: have it do less, or raise `limits.hook_time` of the policy",
            self.what(),
            self.place
        )
    }
}
