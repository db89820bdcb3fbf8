//! Where a plugin was when it was stopped: function, file and line, in its author's words.
//!
//! The engine walks the stack at a trap and never before, so nothing is paid without one.
//! Functions have the names of the plugin's own `name` section; files and lines are in the
//! table that the compiling child makes of its debug information (see [`Lines`]).

mod symbol;

use std::{
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use wasmtime::{FrameInfo, Module, WasmBacktrace};

use crate::{
    compile::{Lines, Spot},
    direct::Link,
};
pub(crate) use symbol::{plain, symbol};

/// Functions that are told, the innermost first.
const TOLD_MAX: usize = 3;
/// The longest place that a panic names.
const AT_BYTES_MAX: usize = 200;
/// A function that is on the stack so often is a recursion.
const RECURSION: usize = 4;

/// Where it was, in brackets; nothing, where that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place(String);

impl Place {
    /// The same, and more closely: where in the source it says that it is.
    pub(crate) fn within(&self, at: &str) -> Self {
        let at = plain(at, AT_BYTES_MAX);
        Self(match self.0.as_str() {
            "" => format!("at {at}"),
            place => format!("at {at}, {place}"),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => Ok(()),
            place => write!(f, " ({place})"),
        }
    }
}

/// A function on the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    function: String,
    /// File and line.
    at: Option<String>,
}

/// What was on the stack, the innermost first.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    calls: Vec<Call>,
    /// A function is on it again and again, whatever its name.
    pub(crate) is_recursion: bool,
    /// None of the plugin's functions has a name.
    nameless: bool,
}

impl Trail {
    /// Of a module that was adapted, with its lines if it has them; or of a component.
    pub(crate) fn of(error: &wasmtime::Error, origin: Origin<'_>) -> Self {
        let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
            return Self::default();
        };
        let mut calls = Vec::new();
        for frame in backtrace.frames() {
            let spots = origin.spots(frame);
            let name = || frame.func_name().map(symbol);
            if spots.is_empty() {
                calls.extend(name().map(|function| Call { function, at: None }));
            }
            calls.extend(spots.into_iter().map(|spot| Call {
                function: match spot.function {
                    "" => name().unwrap_or_else(|| "?".to_owned()),
                    function => function.to_owned(),
                },
                at: Some(format!("{}:{}", spot.file, spot.line)),
            }));
        }
        let has_name = |call: &Call| !WITHOUT.iter().any(|own| call.function.starts_with(own));
        let is_rusts = !matches!(origin, Origin::Component);
        Self {
            is_recursion: recurs(backtrace.frames()),
            nameless: is_rusts && !backtrace.frames().is_empty() && !calls.iter().any(has_name),
            calls,
        }
    }

    /// The first functions of the author's own; of others, if there are no such.
    pub(crate) fn place(&self) -> Place {
        let mut told: Vec<&Call> = Vec::new();
        let own = self.calls.iter().filter(|call| is_own(&call.function));
        for call in own {
            let is_same = |last: &&Call| last.function == call.function;
            if !told.last().is_some_and(is_same) {
                if told.len() == TOLD_MAX {
                    break;
                }
                told.push(call);
            } else if told.last().is_some_and(|last| last.at.is_none()) {
                // Where a function begins there may be no line.
                told.pop();
                told.push(call);
            }
        }
        told.extend(self.calls.first().filter(|_| told.is_empty()));
        let mut place = String::new();
        for (nth, call) in told.into_iter().enumerate() {
            place.push_str(if nth == 0 { "in " } else { ", called by " });
            place.push_str(&format!("`{}`", call.function));
            if let Some(at) = &call.at {
                place.push_str(&format!(" at {at}"));
            }
        }
        Place(place)
    }

    /// The name of the function that is on the stack again and again.
    pub(crate) fn recursion(&self) -> Option<&str> {
        let of = |function: &str| {
            let same = self.calls.iter().filter(|call| call.function == function);
            same.count()
        };
        let own = self.calls.iter().filter(|call| is_own(&call.function));
        let mut all = own.chain(&self.calls);
        let found = all.find(|call| of(&call.function) >= RECURSION);
        found.map(|call| call.function.as_str())
    }

    /// How its author is told more next time.
    pub(crate) fn advice(&self) -> &'static str {
        if self.nameless {
            return "; where is not known, since its functions have no names: `tollgate plugin build` keeps them";
        }
        ""
    }
}

/// Whether a function is among the innermost so often that it calls itself.
fn recurs(frames: &[FrameInfo]) -> bool {
    let mut functions: Vec<u32> = frames.iter().map(FrameInfo::func_index).collect();
    functions.sort_unstable();
    let mut runs = functions.chunk_by(|one, other| one == other);
    runs.any(|run| run.len() >= RECURSION)
}

/// How functions begin that have a name even in a module without any.
const WITHOUT: [&str; 2] = ["enter-", "host call "];

/// Whether it is a function of the plugin's own code, as far as its name tells: not of
/// Rust's libraries, and not of the SDK or what stands around it.
fn is_own(function: &str) -> bool {
    const OTHERS: [&str; 14] = [
        "core::",
        "std::",
        "alloc::",
        "dlmalloc::",
        "hashbrown::",
        "compiler_builtins::",
        "tollgate_sdk::",
        "tollgate:",
        "wit_bindgen::",
        "rust_",
        "__",
        "cabi_",
        "enter-",
        "host call ",
    ];
    let begun = function.trim_start_matches(['<', '&', '(', '[', '*']);
    let begun = begun.strip_prefix("mut ").unwrap_or(begun);
    !OTHERS.iter().any(|other| begun.starts_with(other))
}

/// What the frames of a backtrace belong to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// A module that was adapted.
    Module(Option<&'a Lines>),
    /// The plugin as it came, or the component that was made of it.
    Plugin(Option<&'a Lines>),
    Component,
}

impl<'a> Origin<'a> {
    fn spots(self, frame: &FrameInfo) -> Vec<Spot<'a>> {
        let (lines, imported) = match self {
            // What an adapted module imports is the host's functions, all of them.
            Self::Module(Some(lines)) => (lines, Link::ALL.len()),
            Self::Plugin(Some(lines)) if is_the_plugins(frame.module()) => {
                let imports = frame.module().imports();
                let functions = imports.filter(|import| import.ty().func().is_some());
                (lines, functions.count())
            }
            _ => return Vec::new(),
        };
        let nth = frame.func_index().checked_sub(imported as u32);
        let offset = frame.func_offset().and_then(|at| u32::try_from(at).ok());
        match (nth, offset) {
            (Some(nth), Some(offset)) => lines.find(nth, offset),
            _ => Vec::new(),
        }
    }
}

/// Whether it is the module of the plugin's own code, and not one that stands around it.
fn is_the_plugins(module: &Module) -> bool {
    let mut exports = module.exports();
    exports.any(|export| export.name().ends_with("#describe"))
}

/// How often a place is told at once, and how long it takes until it is told once more: a
/// plugin that traps in each exchange must not keep the host busy with its names.
const AT_ONCE: u32 = 32;
const EVERY: Duration = Duration::from_secs(1);

/// Bounds how often places are looked up for one policy.
#[derive(Debug, Default)]
pub(crate) struct Allowance(Mutex<Option<(u32, Instant)>>);

impl Allowance {
    /// Whether it may be looked up this time.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        let (left, since) = state.get_or_insert((AT_ONCE, now));
        let more = now.duration_since(*since).as_nanos() / EVERY.as_nanos();
        if more > 0 {
            *left = AT_ONCE.min(left.saturating_add(u32::try_from(more).unwrap_or(AT_ONCE)));
            *since = now;
        }
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(calls: &[(&str, Option<&str>)]) -> Trail {
        let calls = calls.iter().map(|(function, at)| Call {
            function: (*function).to_owned(),
            at: at.map(str::to_owned),
        });
        Trail {
            calls: calls.collect(),
            is_recursion: false,
            nameless: false,
        }
    }

    #[test]
    fn the_authors_own_functions_are_told_with_who_called_them() {
        let found = trail(&[
            ("core::panicking::panic", None),
            ("rules::check", Some("src/rules.rs:7")),
            ("<alloc::vec::Vec<T>>::retain", None),
            ("rules::all", None),
            ("tollgate_sdk::session::on_request", None),
        ]);
        assert_eq!(
            found.place().to_string(),
            " (in `rules::check` at src/rules.rs:7, called by `rules::all`)"
        );
        let none = trail(&[("dlmalloc::Dlmalloc::malloc", None), ("std::x", None)]);
        assert_eq!(
            none.place().to_string(),
            " (in `dlmalloc::Dlmalloc::malloc`)"
        );
        assert_eq!(Trail::default().place().to_string(), "");
    }

    #[test]
    fn a_recursion_is_told_once_and_by_the_authors_name() {
        let turn = [
            ("core::ops::call", None),
            ("mine::deep", Some("src/lib.rs:3")),
        ];
        let found = trail(&turn.repeat(6));
        assert_eq!(found.recursion(), Some("mine::deep"));
        assert_eq!(
            found.place().to_string(),
            " (in `mine::deep` at src/lib.rs:3)"
        );
        assert_eq!(trail(&turn.repeat(2)).recursion(), None);
        let begins = trail(&[("mine::deep", None), ("mine::deep", Some("src/lib.rs:3"))]);
        assert_eq!(begins.place(), found.place());
    }

    #[test]
    fn a_panic_says_where_it_is_and_the_trail_who_called_it() {
        let found = trail(&[("mine::check", None)]).place();
        assert_eq!(
            found.within("src/lib.rs:3:9").to_string(),
            " (at src/lib.rs:3:9, in `mine::check`)"
        );
        assert_eq!(
            Place::default().within("src/lib.rs:3:9").to_string(),
            " (at src/lib.rs:3:9)"
        );
    }

    #[test]
    fn places_are_told_so_often_at_once_and_then_now_and_then() {
        let (allowance, begin) = (Allowance::default(), Instant::now());
        let taken = |at: Instant| (0..1000).filter(|_| allowance.take(at)).count();
        assert_eq!(taken(begin), AT_ONCE as usize);
        assert_eq!(taken(begin + EVERY / 2), 0);
        assert_eq!(taken(begin + EVERY), 1);
        assert_eq!(taken(begin + EVERY * 1000), AT_ONCE as usize);
    }
}
