//! Adapts a configured plugin's main module to run without its component (see
//! [`crate::direct`]).
//!
//! Imports become wrappers that leave their arguments in slots and ask the guest's own
//! allocator for the blocks that the host wants; the contract's functions get wrappers
//! that the host enters; every store marks the block that it writes to. A module with
//! anything in it that is not known here is [`Unfit`] and stays a component.

mod allowed;
mod contract;
mod names;
mod rewrite;
mod survey;
#[cfg(test)]
mod tests;
mod wrappers;

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use super::lines::{self, Lines};
use crate::direct::{MAP_BLOCK, MAP_START};
use survey::Survey;

/// Why a module stays a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Has(&'static str),
    #[error("it has the instruction `{0}`")]
    Instruction(&'static str),
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("what was made of it is not valid: {0}")]
    Invalid(String),
}

impl From<wasmparser::BinaryReaderError> for Unfit {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<wasm_encoder::reencode::Error<Unfit>> for Unfit {
    fn from(error: wasm_encoder::reencode::Error<Self>) -> Self {
        match error {
            wasm_encoder::reencode::Error::UserError(unfit) => unfit,
            other => Self::Unreadable(other.to_string()),
        }
    }
}

/// A module that runs by itself.
#[derive(Debug)]
pub(super) struct Adapted {
    pub(super) module: Vec<u8>,
    /// Of the memory that the map is in.
    pub(super) map_bytes: usize,
    /// What [`SEEN`](crate::direct::SEEN) says.
    pub(super) seen: Option<u32>,
    /// Where its code came from, if it says so.
    pub(super) lines: Option<Lines>,
}

/// Adapts the main module of a component with its snapshot in it. The component was made
/// of `plugin`, a module with the contract in it; its memory never grows beyond
/// `memory_bytes`.
pub(super) fn adapt(
    plugin: &[u8],
    component: &[u8],
    memory_bytes: usize,
) -> Result<Adapted, Unfit> {
    contract::check(plugin)?;
    let module = main_module(component)?;
    let survey = Survey::of(module)?;
    let map_pages = (MAP_START + memory_bytes.div_ceil(MAP_BLOCK) + 1).div_ceil(PAGE);
    // What the plugin says of its code holds for a module with the same code.
    let is_same = code(plugin)?.is_some_and(|its| code(module).is_ok_and(|code| code == Some(its)));
    let names = if is_same {
        names::of(plugin)
    } else {
        Vec::new()
    };
    let traced = is_same && lines::are_there(plugin);
    let written = rewrite::rewrite(module, &survey, (map_pages as u64, &names, traced))?;
    let adapted = written.module;
    let features = WasmFeatures::default() | WasmFeatures::MULTI_MEMORY;
    Validator::new_with_features(features)
        .validate_all(&adapted)
        .map_err(|error| Unfit::Invalid(error.to_string()))?;
    Ok(Adapted {
        module: adapted,
        map_bytes: map_pages * PAGE,
        seen: survey.seen,
        lines: written.moved.and_then(|moved| Lines::of(plugin, &moved)),
    })
}

/// A module's code section.
fn code(module: &[u8]) -> Result<Option<&[u8]>, Unfit> {
    let range = code_range(module)?;
    Ok(range.and_then(|range| module.get(range.start as usize..range.end as usize)))
}

/// Where a module's code section is, which debug information counts from.
fn code_range(module: &[u8]) -> Result<Option<std::ops::Range<u64>>, Unfit> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CodeSectionStart {
            unchecked_range, ..
        } = payload?
        {
            return Ok(Some(unchecked_range));
        }
    }
    Ok(None)
}

const PAGE: usize = 64 << 10;

/// The module that the contract's functions are in.
fn main_module(component: &[u8]) -> Result<&[u8], Unfit> {
    let describe = format!("{}#describe", super::exported());
    for payload in Parser::new(0).parse_all(component) {
        let Payload::ModuleSection {
            unchecked_range, ..
        } = payload?
        else {
            continue;
        };
        let range = unchecked_range.start as usize..unchecked_range.end as usize;
        let module = component
            .get(range)
            .ok_or(Unfit::Has("a module that is cut off"))?;
        if exports(module, &describe)? {
            return Ok(module);
        }
    }
    Err(Unfit::Has("no module with the contract's functions"))
}

fn exports(module: &[u8], name: &str) -> Result<bool, Unfit> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(section) = payload? {
            for export in section {
                if export?.name == name {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
