//! Claims become facts.

use serde_json::{Map, Value};

use crate::{refused::Refused, settings::Settings};

/// The host takes values of so many bytes.
const VALUE_MAX: usize = 1024;

/// Names and values, in the order of the names. `caller` has to be there; another claim that
/// is not there, or null, or an empty list, makes no fact.
pub(crate) fn of(
    claims: Map<String, Value>,
    settings: &'static Settings,
) -> Result<Vec<(&'static str, String)>, Refused> {
    let claims = Value::Object(claims);
    let mut facts = Vec::with_capacity(settings.facts.len());
    for (name, pointer) in &settings.facts {
        let value = claims.pointer(pointer.as_str());
        match value.map(text).transpose()?.flatten() {
            Some(value) => facts.push((name.as_str(), value)),
            None if name == "caller" => return Err(Refused::Claim),
            None => {}
        }
    }
    Ok(facts)
}

fn text(value: &Value) -> Result<Option<String>, Refused> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Array(list) if list.is_empty() => return Ok(None),
        Value::Array(list) => list
            .iter()
            .map(element)
            .collect::<Result<Vec<_>, _>>()?
            .join(","),
        value => one(value)?,
    };
    if text.len() > VALUE_MAX {
        return Err(Refused::Claim);
    }
    Ok(Some(text))
}

/// With a comma in it, it would look like two.
fn element(value: &Value) -> Result<String, Refused> {
    one(value).and_then(|text| {
        if text.contains(',') {
            Err(Refused::Claim)
        } else {
            Ok(text)
        }
    })
}

fn one(value: &Value) -> Result<String, Refused> {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_control) => {
            Ok(text.clone())
        }
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(Refused::Claim),
    }
}
