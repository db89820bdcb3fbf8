//! What a settings schema finds wrong, in the words of who wrote the settings.

use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;

/// So many names of settings are told, where one is unknown.
const NAMES_MAX: usize = 12;

/// Each as `<JSON pointer>: <message>`.
pub(super) fn say(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    let (at, found) = (error.instance_path(), error.instance());
    let said = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            match (constants(context), nearest(context, at.as_str())) {
                (Some(known), _) => format!("{found} is none of {known}"),
                (None, Some(cause)) => return say(cause, schema),
                (None, None) => error.to_string(),
            }
        }
        ValidationErrorKind::FalseSchema => {
            format!("nothing may be set here, and there is {found}")
        }
        ValidationErrorKind::Required { property } => match property.as_str() {
            Some(name) => format!("`{name}` is missing"),
            None => error.to_string(),
        },
        // Each at its own place.
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known(error, schema);
            let each = unexpected.iter().map(|name| {
                let step = name.replace('~', "~0").replace('/', "~1");
                format!("{at}/{step}: there is no such setting{known}")
            });
            return each.collect();
        }
        ValidationErrorKind::Pattern { pattern } => {
            format!("{found} does not have the form {pattern}")
        }
        _ => error.to_string(),
    };
    vec![format!("{at}: {said}")]
}

/// `: there are …`, with the settings that the schema knows at that place.
fn known(error: &ValidationError<'_>, schema: &Value) -> String {
    let path = error.schema_path().as_str();
    let object = path.rsplit_once('/').and_then(|(of, _)| schema.pointer(of));
    let properties = object.and_then(|object| object.get("properties")?.as_object());
    let Some(properties) = properties.filter(|known| !known.is_empty()) else {
        return String::new();
    };
    let mut names: Vec<String> = properties.keys().map(|name| format!("`{name}`")).collect();
    if names.len() > NAMES_MAX {
        names.truncate(NAMES_MAX);
        names.push("…".to_owned());
    }
    format!(", but there are {}", names.join(", "))
}

/// What was expected, where each schema is one value: the words of an enumeration.
fn constants(context: &[Vec<ValidationError<'_>>]) -> Option<String> {
    let constant = |causes: &Vec<ValidationError<'_>>| match causes.first()?.kind() {
        ValidationErrorKind::Constant { expected_value } => Some(expected_value.to_string()),
        _ => None,
    };
    let known: Option<Vec<String>> = context.iter().map(constant).collect();
    known.map(|known| known.join(", "))
}

/// The mistake in the schema that fits furthest. Of an optional setting, the one in what
/// it would be.
fn nearest<'a, 'b>(
    context: &'a [Vec<ValidationError<'b>>],
    at: &str,
) -> Option<&'a ValidationError<'b>> {
    let depth = |error: &ValidationError<'_>| error.instance_path().as_str().len();
    // Of equals the first.
    let causes = context.iter().filter_map(|causes| causes.first()).rev();
    let nearest = causes.max_by_key(|cause| depth(cause))?;
    (depth(nearest) > at.len() || context.len() == 2).then_some(nearest)
}
