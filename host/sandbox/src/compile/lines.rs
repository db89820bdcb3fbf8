//! Which line of its source each part of a module was compiled from.
//!
//! Debug information is as hostile as the rest of a plugin, so the compiling child reads
//! it, and hands back a table of what may ever be asked: a function, an offset in it, and
//! the functions and lines that it came from. Of code that was inlined, what stands in the
//! author's own files is kept, and not where a library has it.

mod debug_info;
pub(super) mod shared;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

use crate::place::{plain, symbol};
use debug_info::DebugInfo;

/// A module of more has no lines.
const MOST: Most = Most {
    rows: 400_000,
    names_bytes: 8 << 20,
};
/// Functions at one place, each inlined into the next.
const DEPTH_MAX: usize = 4;
/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 300;

/// See the module.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lines {
    /// Of files and functions.
    names: Vec<String>,
    places: Vec<Vec<At>>,
    /// Function, offset in it, place; sorted.
    rows: Vec<(u32, u32, u32)>,
}

/// Function, file, line; the names by their index.
type At = (u32, u32, u32);

/// A line of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot<'a> {
    pub(crate) function: &'a str,
    pub(crate) file: &'a str,
    pub(crate) line: u32,
}

/// How long a table may be.
#[derive(Debug, Clone, Copy)]
struct Most {
    rows: usize,
    /// All names together.
    names_bytes: usize,
}

/// Where the instructions of a module's functions are now, and where they were.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Of each function: its offset in the function now, and from the code section's begin
    /// before.
    pub(super) functions: Vec<Vec<(u32, u32)>>,
}

impl Lines {
    /// The innermost first; nothing, where it is not known.
    pub(crate) fn find(&self, function: u32, offset: u32) -> Vec<Spot<'_>> {
        let after = self
            .rows
            .partition_point(|row| (row.0, row.1) <= (function, offset));
        let row = after.checked_sub(1).and_then(|at| self.rows.get(at));
        let place = row
            .filter(|row| row.0 == function)
            .and_then(|row| self.places.get(row.2 as usize));
        let name = |nth: u32| self.names.get(nth as usize).map_or("?", String::as_str);
        let spots = place.into_iter().flatten();
        spots
            .map(|&(function, file, line)| Spot {
                function: name(function),
                file: name(file),
                line,
            })
            .collect()
    }

    /// Of a module before anything was done to it. `None` as for [`Lines::of`].
    pub(super) fn as_it_came(plugin: &[u8]) -> Option<Self> {
        are_there(plugin)
            .then(|| as_they_are(plugin))
            .flatten()
            .and_then(|moved| Self::of(plugin, &moved))
    }

    /// Of a plugin whose code was moved; `None`: it has no debug information, or too much.
    pub(super) fn of(plugin: &[u8], moved: &Moved) -> Option<Self> {
        Self::within(MOST, plugin, moved)
    }

    fn within(most: Most, plugin: &[u8], moved: &Moved) -> Option<Self> {
        let info = DebugInfo::of(plugin)?;
        let mut making = Making::default();
        for (function, instructions) in (0..).zip(&moved.functions) {
            making.function(function, instructions, &info);
            if making.lines.rows.len() > most.rows || making.names_bytes > most.names_bytes {
                return None;
            }
        }
        (!making.lines.rows.is_empty()).then_some(making.lines)
    }
}

/// Where a module's instructions are, in a module that nobody changed.
fn as_they_are(module: &[u8]) -> Option<Moved> {
    let mut moved = Moved::default();
    let mut code_at = 0;
    for payload in Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::CodeSectionStart {
                unchecked_range, ..
            } => code_at = unchecked_range.start,
            Payload::CodeSectionEntry(body) => {
                let (begin, mut places) = (body.range().start, Vec::new());
                let mut operators = body.get_operators_reader().ok()?;
                while !operators.eof() {
                    let at = operators.original_position();
                    let within = |from| u32::try_from(at.saturating_sub(from)).ok();
                    places.push((within(begin)?, within(code_at)?));
                    operators.read().ok()?;
                }
                moved.functions.push(places);
            }
            _ => {}
        }
    }
    Some(moved)
}

/// Whether a plugin says which lines it came from.
pub(super) fn are_there(plugin: &[u8]) -> bool {
    DebugInfo::sections(plugin).is_some()
}

#[derive(Default)]
struct Making {
    lines: Lines,
    names_bytes: usize,
    names: HashMap<String, u32>,
    places: HashMap<Vec<At>, u32>,
}

impl Making {
    fn function(&mut self, function: u32, instructions: &[(u32, u32)], info: &DebugInfo<'_>) {
        let (Some((_, begin)), Some((_, end))) = (instructions.first(), instructions.last()) else {
            return;
        };
        let begins = info.begins(*begin, *end);
        let folder = info.folder(*begins.last().unwrap_or(begin));
        let mut begins = begins.into_iter().peekable();
        let (mut last, mut is_due) = (None, true);
        for (now, before) in instructions {
            while begins.next_if(|begin| begin <= before).is_some() {
                is_due = true;
            }
            if !std::mem::take(&mut is_due) {
                continue;
            }
            let place = self.place(info, (*before, folder.as_deref()));
            if last != Some(place) {
                last = Some(place);
                self.lines.rows.push((function, *now, place));
            }
        }
    }

    fn place(&mut self, info: &DebugInfo<'_>, (at, folder): (u32, Option<&str>)) -> u32 {
        let found = info.frames(at, folder);
        let own = found.iter().filter(|frame| !frame.is_of_a_library);
        let mut told: Vec<_> = own.take(DEPTH_MAX).collect();
        told.extend(found.first().filter(|_| told.is_empty()));
        let place: Vec<At> = told
            .into_iter()
            .map(|frame| {
                let function = self.name(symbol(&frame.function));
                let file = self.name(plain(&frame.file, PATH_BYTES_MAX));
                (function, file, frame.line)
            })
            .collect();
        if let Some(known) = self.places.get(&place) {
            return *known;
        }
        let nth = self.lines.places.len() as u32;
        self.lines.places.push(place.clone());
        self.places.insert(place, nth);
        nth
    }

    fn name(&mut self, name: String) -> u32 {
        if let Some(known) = self.names.get(&name) {
            return *known;
        }
        self.names_bytes += name.len();
        let nth = self.lines.names.len() as u32;
        self.lines.names.push(name.clone());
        self.names.insert(name, nth);
        nth
    }
}
