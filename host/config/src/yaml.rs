//! YAML text into types, and the parser's errors into problems.
//!
//! Everything that an input could blow up is bounded here: nodes, depth, aliases.

use serde::de::DeserializeOwned;
use serde_saphyr::{
    Error, MessageFormatter, Options, UserMessageFormatter, budget::BudgetBreach,
    options::DuplicateKeyPolicy,
};

use crate::{
    error::Problem,
    one_key::MORE_THAN_ONE,
    place::{At, Place},
    shape::Shape,
    source::Source,
    spelling::{nearest, printable, quote},
    walk::Walk,
};

/// Deep enough for any settings; a JSON value in them stays far below every other parser's limit.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 500_000;

pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::Error))
}

/// As [`read`], but without some values; of a key that stands twice, both are read.
pub(crate) fn read_walked<T: DeserializeOwned>(text: &str, walk: &Walk<'_>) -> Result<T, Error> {
    let options = options(DuplicateKeyPolicy::PassThrough);
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |parser| walk.read(parser))
}

/// Runs `work`, which may go as deep as a document does; `None` if there is no room for it.
pub(crate) fn deeply<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    /// Several frames a level, and the parser's are large where it is not optimised.
    const STACK_BYTES: usize = 16 << 20;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let running = thread.spawn_scoped(scope, work).ok()?;
        match running.join() {
            Ok(done) => Some(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The places of what [`read_walked`] reads.
pub(crate) fn outline(text: &str) -> Result<At<Shape>, Error> {
    serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::PassThrough))
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH + 1,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_anchors: 1_000,
            max_aliases: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 8 << 20,
            max_documents: 1,
            max_merge_keys: 1_000,
            max_total_scalar_bytes: 16 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1_000,
        },
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

pub(crate) fn problem(source: &Source, error: &Error) -> Problem {
    let (message, expected) = describe(error);
    let place = error.location().map_or(Place::START, Place::from);
    source.problem(place, message, expected)
}

/// The error itself, wherever an alias led to it.
pub(crate) fn cause(error: &Error) -> &Error {
    match error {
        Error::AliasError { error, .. } => cause(error),
        itself => itself,
    }
}

/// What is wrong, and what was expected.
fn describe(error: &Error) -> (String, Option<String>) {
    match cause(error) {
        Error::SerdeUnknownField {
            field, expected, ..
        } => (unknown("key", field, expected), Some(one_of(expected))),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => (unknown("value", variant, expected), Some(one_of(expected))),
        Error::SerdeMissingField { field, .. } => (format!("`{field}` is missing here"), None),
        // Said of a map that was asked for a variant and has none.
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        } if unexpected == "map" && expected == "enum" => {
            ("no key stands here".into(), Some("exactly one".into()))
        }
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        } => (
            format!("wrong type: {}", printable(unexpected)),
            Some(expected.clone()),
        ),
        Error::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => (
            format!("wrong value: {}", printable(unexpected)),
            Some(expected.clone()),
        ),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key {} stands here twice", quote(key)), None)
        }
        Error::InvalidScalar { ty, .. } => ("wrong type".into(), Some(kind(ty).into())),
        Error::InvalidBooleanStrict { .. } => {
            ("wrong type".into(), Some("`true` or `false`".into()))
        }
        Error::NullIntoString { .. } => ("there is nothing here".into(), Some("a text".into())),
        Error::Unexpected { expected, .. } => ("wrong type".into(), Some(kind(expected).into())),
        Error::Message { msg, .. } if msg == MORE_THAN_ONE => {
            (msg.clone(), Some("exactly one".into()))
        }
        Error::ExternalMessage { msg, .. } if msg.contains("recursion limit") => {
            (format!("nested deeper than {MAX_DEPTH} levels"), None)
        }
        Error::Budget { breach, .. } => (too_much(breach), None),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            "aliases expand to more than a configuration may hold".into(),
            None,
        ),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("this alias stands within its own anchor".into(), None)
        }
        Error::UnknownAnchor { .. } => ("this alias has no anchor before it".into(), None),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => (
            "more than one key stands here".into(),
            Some("exactly one".into()),
        ),
        Error::MultipleDocuments { .. } => (
            "a second YAML document starts here".into(),
            Some("one document a file".into()),
        ),
        other => (printable(&UserMessageFormatter.format_message(other)), None),
    }
}

fn too_much(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => format!("nested deeper than {MAX_DEPTH} levels"),
        BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::AliasAnchorRatio { .. }
        | BudgetBreach::RecordedAnchorEvents { .. }
        | BudgetBreach::RecordedAnchorBytes { .. }
        | BudgetBreach::MergeKeys { .. } => {
            "more anchors, aliases or merges than a configuration may hold".into()
        }
        BudgetBreach::Documents { .. } => "a second YAML document starts here".into(),
        _ => format!("larger than a configuration may be: {MAX_NODES} values"),
    }
}

fn unknown(noun: &str, found: &str, expected: &[&str]) -> String {
    let unknown = format!("unknown {noun} {}", quote(found));
    match nearest(found, expected.iter().copied()) {
        // One alone is told as what was expected.
        Some(meant) if expected.len() > 1 => format!("{unknown}: did you mean `{meant}`?"),
        _ => unknown,
    }
}

fn kind(parser_word: &str) -> &str {
    match parser_word {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "mapping start" | "mapping" => "a map of keys",
        "sequence start" | "sequence" => "a list",
        "string scalar" | "scalar" => "a text",
        other => other,
    }
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".into(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
