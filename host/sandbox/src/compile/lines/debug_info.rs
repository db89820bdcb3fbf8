//! Reads a module's DWARF.

use std::collections::HashMap;

use addr2line::{
    Context,
    gimli::{Dwarf, EndianSlice, LittleEndian},
};
use wasmparser::{Parser, Payload};

/// Frames at one place, inlined ones included, that are looked at.
const FRAMES_MAX: usize = 64;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

pub(super) struct DebugInfo<'a>(Context<Bytes<'a>>);

/// A function that an instruction came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) function: String,
    /// Below the folder that the compiler was called in, as panics have it.
    pub(super) file: String,
    pub(super) line: u32,
    /// Rust's own, or fetched by cargo.
    pub(super) is_of_a_library: bool,
}

impl<'a> DebugInfo<'a> {
    pub(super) fn of(module: &'a [u8]) -> Option<Self> {
        let sections = Self::sections(module)?;
        let section = |id: addr2line::gimli::SectionId| {
            let bytes = sections.get(id.name()).copied().unwrap_or_default();
            Ok::<_, addr2line::gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let dwarf = Dwarf::load(section).ok()?;
        Context::from_dwarf(dwarf).ok().map(Self)
    }

    /// By name; `None`: there is nothing of lines.
    pub(super) fn sections(module: &'a [u8]) -> Option<HashMap<&'a str, &'a [u8]>> {
        let mut sections = HashMap::new();
        for payload in Parser::new(0).parse_all(module) {
            if let Payload::CustomSection(section) = payload.ok()?
                && section.name().starts_with(".debug_")
            {
                sections.insert(section.name(), section.data());
            }
        }
        let is_there = |name| sections.contains_key(name);
        (is_there(".debug_info") && is_there(".debug_line")).then_some(sections)
    }

    /// Where in this part of the code another line begins; sorted.
    pub(super) fn begins(&self, begin: u32, end: u32) -> Vec<u32> {
        let found = self.0.find_location_range(begin.into(), u64::from(end) + 1);
        let found = found.into_iter().flatten();
        let mut begins: Vec<u32> = found
            .filter_map(|(at, _, _)| u32::try_from(at).ok())
            .collect();
        begins.sort_unstable();
        begins.dedup();
        begins
    }

    /// The innermost first. `folder` is that of the code around it.
    pub(super) fn frames(&self, at: u32, folder: Option<&str>) -> Vec<Frame> {
        let mut all = Vec::new();
        let Ok(mut frames) = self.0.find_frames(at.into()).skip_all_loads() else {
            return all;
        };
        while let Ok(Some(frame)) = frames.next() {
            let place = frame
                .location
                .and_then(|location| Some((location.file?, location.line?)));
            let Some((file, line)) = place else {
                continue;
            };
            let function = frame.function.as_ref();
            let function = function.and_then(|name| name.raw_name().ok());
            let within = folder.and_then(|folder| file.strip_prefix(folder)?.strip_prefix('/'));
            all.push(Frame {
                function: function.unwrap_or_default().into_owned(),
                file: within.unwrap_or(file).to_owned(),
                line,
                is_of_a_library: is_of_a_library(file),
            });
            if all.len() == FRAMES_MAX {
                break;
            }
        }
        all
    }

    /// The folder that the compiler was called in.
    pub(super) fn folder(&self, at: u32) -> Option<String> {
        let unit = self.0.find_dwarf_and_unit(at.into()).skip_all_loads()?;
        let folder = unit.comp_dir?.to_string().ok()?;
        Some(folder.trim_end_matches('/').to_owned())
    }
}

fn is_of_a_library(file: &str) -> bool {
    file.starts_with("/rustc/")
        || ["/rustlib/src/", "/registry/src/", "/git/checkouts/"]
            .iter()
            .any(|folder| file.contains(folder))
}
