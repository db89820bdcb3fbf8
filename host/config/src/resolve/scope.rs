//! One source while it is resolved: reads texts, collects problems, knows the names.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Known, Names};
use crate::{
    error::{Problem, Problems},
    file::{Period, Size},
    lost::Lost,
    model::Location,
    place::{At, Place},
    source::Source,
    spelling::{self, Misspelt, quote},
};

/// From what the sandbox's clock can tell apart to what still makes sense.
const PERIODS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

pub(super) struct Scope<'a> {
    pub(super) source: &'a Source,
    pub(super) base: &'a Path,
    pub(super) names: &'a Names,
    pub(super) lost: &'a Lost,
    pub(super) problems: &'a RefCell<Problems>,
}

impl Scope<'_> {
    /// What stands there is wrong by itself.
    pub(super) fn refuse(
        &self,
        place: Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        if self.lost.is_partial(place) {
            return;
        }
        let problem = || {
            self.source
                .problem(place, message.into(), Some(expected.into()))
        };
        self.problems.borrow_mut().add(problem);
    }

    /// What stands there is wrong for what stands beside it, or does not.
    pub(super) fn refuse_beside(
        &self,
        place: Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        if !self.lost.is_unsure(place) {
            self.refuse(place, message, expected);
        }
    }

    /// Whether it was refused, so that nothing else is to be held against it.
    pub(super) fn is_refused<T>(&self, written: Option<&At<T>>) -> bool {
        written.is_some_and(|written| {
            let location = self.source.location(written.place);
            self.problems.borrow().are_at(&location)
        })
    }

    pub(super) fn location(&self, place: Place) -> Location {
        self.source.location(place)
    }

    /// Reads a text; `None` after a problem.
    pub(super) fn read<T>(
        &self,
        text: &At<String>,
        read: impl FnOnce(&str) -> Result<T, Misspelt>,
    ) -> Option<T> {
        match read(&text.value) {
            Ok(value) => Some(value),
            Err(Misspelt {
                message,
                expected,
                hidden,
            }) => {
                let problem = || {
                    self.source
                        .problem(text.place, message, Some(expected.into()))
                };
                let shown = |problem: Problem| {
                    if hidden {
                        Problem {
                            excerpt: None,
                            ..problem
                        }
                    } else {
                        problem
                    }
                };
                self.problems.borrow_mut().add(|| shown(problem()));
                None
            }
        }
    }

    /// Absolute; relative ones start from the configuration's folder.
    pub(super) fn path(&self, text: &At<String>) -> PathBuf {
        if text.value.is_empty() || text.value.contains('\0') {
            self.refuse(
                text.place,
                "this is no path",
                "the path of a file or folder",
            );
        }
        self.base.join(&text.value)
    }

    pub(super) fn period(&self, text: Option<&At<Period>>, default: Duration) -> Duration {
        self.period_within(text, default, PERIODS)
    }

    pub(super) fn period_within(
        &self,
        text: Option<&At<Period>>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(At {
            value: Period(text),
            place,
        }) = text
        else {
            return default;
        };
        let text = At {
            value: text.clone(),
            place: *place,
        };
        let Some(period) = self.read(&text, spelling::period) else {
            return default;
        };
        if !range.contains(&period) {
            let message = format!("{} is out of range", quote(&text.value));
            let (least, most) = (
                spelling::show_period(*range.start()),
                spelling::show_period(*range.end()),
            );
            self.refuse(text.place, message, format!("{least} to {most}"));
        }
        period
    }

    pub(super) fn size(
        &self,
        text: Option<&At<Size>>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let Some(At {
            value: Size(text),
            place,
        }) = text
        else {
            return default;
        };
        let text = At {
            value: text.clone(),
            place: *place,
        };
        let Some(bytes) = self.read(&text, spelling::size) else {
            return default;
        };
        if !range.contains(&bytes) {
            let message = format!("{} is out of range", quote(&text.value));
            let (least, most) = (
                spelling::show_bytes(*range.start()),
                spelling::show_bytes(*range.end()),
            );
            self.refuse(text.place, message, format!("{least} to {most}"));
        }
        bytes
    }

    /// As [`size`](Self::size), for what must fit the memory.
    pub(super) fn memory(
        &self,
        text: Option<&At<Size>>,
        default: usize,
        range: RangeInclusive<u64>,
    ) -> usize {
        usize::try_from(self.size(text, default as u64, range)).unwrap_or(usize::MAX)
    }

    pub(super) fn count(
        &self,
        number: Option<&At<u64>>,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let Some(At { value, place }) = number else {
            return default;
        };
        match u32::try_from(*value) {
            Ok(count) if range.contains(&count) => count,
            _ => {
                let expected = format!("{} to {}", range.start(), range.end());
                self.refuse(*place, format!("{value} is out of range"), expected);
                default
            }
        }
    }

    pub(super) fn policy(&self, name: &At<String>) -> String {
        self.known("policy", name, &self.names.policies)
    }

    pub(super) fn upstream(&self, name: &At<String>) -> String {
        self.known("upstream", name, &self.names.upstreams)
    }

    pub(super) fn model(&self, name: &At<String>) -> String {
        self.known("model", name, &self.names.models)
    }

    pub(super) fn secret(&self, name: &At<String>) -> String {
        self.known("secret", name, &self.names.secrets)
    }

    fn known(&self, noun: &str, name: &At<String>, known: &Known) -> String {
        let Known { names, is_all } = known;
        if *is_all && !names.contains(&name.value) {
            let expected = match names.len() {
                0 => format!("one to be defined first: there is no {noun} at all"),
                _ => one_of(names),
            };
            self.refuse(
                name.place,
                format!("there is no {noun} {}", quote(&name.value)),
                expected,
            );
        }
        name.value.clone()
    }

    /// Names in a list, each known and none twice.
    pub(super) fn policies(&self, names: &[At<String>]) -> Vec<String> {
        self.distinct(names, "policy");
        names.iter().map(|name| self.policy(name)).collect()
    }

    pub(super) fn distinct(&self, names: &[At<String>], noun: &str) {
        let mut seen = BTreeSet::new();
        for name in names.iter().filter(|name| !seen.insert(&name.value)) {
            let message = format!(
                "the {noun} {} stands in this list twice",
                quote(&name.value)
            );
            self.refuse(name.place, message, "each once");
        }
    }
}

pub(super) fn one_of(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| quote(name)).collect();
    if names.len() > SHOWN {
        shown.push(format!("… ({} in all)", names.len()));
    }
    match shown.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", shown.join(", ")),
    }
}
