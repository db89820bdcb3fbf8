//! What is found, whole and in pieces, and how much work it is.

mod found;
mod json_texts;
mod pieces;
mod work;

use serde_json::json;

use crate::{
    Settings,
    body::replace_text,
    held::{Held, Spelling},
    rules::Rules,
};

fn rules(settings: serde_json::Value) -> Rules {
    let settings: Settings = serde_json::from_value(settings).unwrap();
    settings.check().unwrap();
    settings.rules
}

/// All kinds, and patterns of each sort.
fn all() -> Rules {
    rules(json!({ "patterns": [
        { "name": "staff", "pattern": r"EMP-\d{3,6}" },
        { "name": "case_word", "pattern": r"(?i)\bprojekt-x\b" },
        { "name": "quoted", "pattern": "<<.*?>>", "longest": 12 },
        { "name": "dots", "pattern": "x\\.{4}" },
    ] }))
}

fn redacted(rules: &Rules, text: &str) -> String {
    replace_text(rules, Spelling::Plain, text, &mut |_| {}).unwrap_or_else(|| text.to_owned())
}

/// In pieces; also what was sent after each of them.
fn in_pieces(rules: &Rules, spelling: Spelling, pieces: &[&str]) -> (String, Vec<usize>) {
    let mut held = Held::new(spelling);
    let mut out = String::new();
    let mut sent = Vec::new();
    for piece in pieces {
        out += &held.push(rules, piece, false, &mut |_| {});
        sent.push(out.len());
    }
    out += &held.push(rules, "", true, &mut |_| {});
    assert!(!held.is_holding());
    (out, sent)
}
