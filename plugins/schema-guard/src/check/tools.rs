//! The tools that a request gives to the model.

use serde_json::Value as Json;
use tollgate_settings::{Pattern, words};

use super::{Field, tree};
use crate::{
    misfit::{self, Misfit},
    rule::Tools,
};

pub(super) fn check(tools: &Tools, fields: &[Field]) -> Result<(), Misfit> {
    let mut total = 0_u64;
    for (pointer, value) in fields {
        let Some(value) = value else {
            continue;
        };
        let tree = tree(pointer, value)?;
        let Json::Array(list) = &tree else {
            return Err(Misfit::new(
                *pointer,
                "a list of tools",
                misfit::shown(value),
            ));
        };
        total = total.saturating_add(list.len() as u64);
        if let Some(max) = tools.max.filter(|max| total > *max) {
            let expected = format!("at most {}", words::count(max, "tool"));
            return Err(Misfit::new(*pointer, expected, total.to_string()));
        }
        if let Some(allow) = &tools.allow {
            for (place, tool) in list.iter().enumerate() {
                check_one(allow, tool, (pointer, place))?;
            }
        }
    }
    Ok(())
}

fn check_one(allow: &[Pattern], tool: &Json, (list, place): (&str, usize)) -> Result<(), Misfit> {
    let named = NAMES
        .into_iter()
        .find_map(|at| Some((at, tool.pointer(at)?)));
    let expected = || {
        let names: Vec<String> = allow.iter().take(SHOWN_MAX).map(shown).collect();
        match allow.len() {
            0 => "no tools".to_owned(),
            1..=SHOWN_MAX => format!("a tool that is allowed ({})", names.join(", ")),
            _ => format!("a tool that is allowed ({}, …)", names.join(", ")),
        }
    };
    match named {
        Some((_, Json::String(name))) if allow.iter().any(|pattern| pattern.has(name)) => Ok(()),
        Some((at, name)) => {
            let pointer = format!("{list}/{place}{at}");
            Err(Misfit::new(pointer, expected(), misfit::shown_json(name)))
        }
        None => {
            let pointer = format!("{list}/{place}");
            Err(Misfit::new(pointer, expected(), "one without a name"))
        }
    }
}

/// Where its name is: of a function in a chat, of one elsewhere, of a tool of the model's
/// own.
const NAMES: [&str; 3] = ["/function/name", "/name", "/type"];
const SHOWN_MAX: usize = 8;

fn shown(pattern: &Pattern) -> String {
    misfit::quoted(pattern.as_str())
}
