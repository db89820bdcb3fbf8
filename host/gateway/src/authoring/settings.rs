//! A plugin's settings in few words, from their JSON schema.

use serde_json::Value;

/// Settings that are listed; what comes after is counted.
const SETTINGS_MAX: usize = 40;

/// A line for each setting: its name, its type, whether it has to be there, what it is.
#[must_use]
pub fn setting_lines(schema: &Value) -> Vec<String> {
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let required = schema["required"].as_array().map(Vec::as_slice);
    let width = properties
        .keys()
        .take(SETTINGS_MAX)
        .map(|name| name.chars().count());
    let width = width.max().unwrap_or(0).min(24);
    let line = |(name, setting): (&String, &Value)| {
        let is_required = required.unwrap_or_default().iter().any(|is| is == name);
        let kind = kind(setting);
        let must = if is_required { ", required" } else { "" };
        let about = setting["description"].as_str().unwrap_or_default();
        let about = about.split("\n\n").next().unwrap_or_default();
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let about = if about.is_empty() {
            String::new()
        } else {
            format!("  {about}")
        };
        plain(&format!("{name:width$}  {kind}{must}{about}"))
    };
    let mut lines: Vec<String> = properties.iter().take(SETTINGS_MAX).map(line).collect();
    let more = properties.len().saturating_sub(SETTINGS_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn kind(setting: &Value) -> String {
    match &setting["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            let kinds: Vec<&str> = kinds.filter(|kind| *kind != "null").collect();
            kinds.join(" or ")
        }
        _ => {
            let named =
                |setting: &Value| Some(setting["$ref"].as_str()?.rsplit('/').next()?.to_owned());
            let any = setting["anyOf"].as_array().map(Vec::as_slice);
            named(setting)
                .or_else(|| any.unwrap_or_default().iter().find_map(named))
                .unwrap_or_else(|| "any".to_owned())
        }
    }
}

/// A schema is the plugin's own words; nothing of it steers a terminal.
fn plain(text: &str) -> String {
    const LINE: usize = 160;
    let is_bad = |c: char| {
        c.is_control()
            || ('\u{200e}'..='\u{2069}').contains(&c)
                && !c.is_alphanumeric()
                && c != '…'
                && c != '’'
                && c != '–'
    };
    let mut out: String = text
        .chars()
        .take(LINE)
        .map(|c| if is_bad(c) { ' ' } else { c })
        .collect();
    if text.chars().nth(LINE).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_listed_with_what_they_are() {
        let schema = json!({
            "required": ["min"],
            "properties": {
                "min": { "type": "integer", "description": "The fewest\ntokens.\n\nMore of it." },
                "by": { "type": ["string", "null"] },
                "rule": { "anyOf": [{ "$ref": "#/$defs/Rule" }, { "type": "null" }] },
                "\u{1b}[2J": true,
            },
        });
        let lines = setting_lines(&schema);
        assert_eq!(lines[0], "min   integer, required  The fewest tokens.");
        assert_eq!(lines[1], "by    string");
        assert_eq!(lines[2], "rule  Rule");
        assert_eq!(lines[3], " [2J  any");
        assert!(setting_lines(&json!(true)).is_empty());
    }
}
