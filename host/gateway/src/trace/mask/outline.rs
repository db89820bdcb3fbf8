//! What is left of a trace whose secrets are not all known: no text of a client's, an
//! upstream's or a policy's.

use serde_json::Value;

use super::{HIDDEN, Mask};

/// Texts that are the gateway's or the configuration's, or were looked at before.
const OWN: &[&str] = &[
    "action",
    "call",
    "cache",
    "edit",
    "ending",
    "error",
    "hook",
    "id",
    "kind",
    "method",
    "model",
    "part",
    "plugin",
    "policy",
    "route",
    "target_model",
    "type",
    "upstream",
    "verdict",
];
/// What has such texts in it.
const PARTS: &[&str] = &[
    "attempts", "calls", "changes", "decision", "edits", "events", "failure", "reads", "steps",
];

impl Mask<'_> {
    /// Hides all texts but a trace's own. `trace` is one, or such a part of it.
    pub(super) fn outline(&self, trace: &mut Value) {
        match trace {
            Value::Array(parts) => parts.iter_mut().for_each(|part| self.outline(part)),
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    if PARTS.contains(&name.as_str()) {
                        self.outline(member);
                    } else if member.is_string() && OWN.contains(&name.as_str()) {
                        self.hide(member, false);
                    } else {
                        hide_all(member);
                    }
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => hide_all(trace),
        }
    }
}

/// Keeps the form, which whoever reads it relies on.
fn hide_all(value: &mut Value) {
    match value {
        Value::String(text) => HIDDEN.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(hide_all),
        Value::Object(members) => members.values_mut().for_each(hide_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
