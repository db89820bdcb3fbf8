//! What settings are taken, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

use redact::Redact;
use serde_json::{Value, json};
use tollgate_sdk::testing::Run;

#[test]
fn settings_say_what_is_wrong_and_what_was_expected() {
    let errors = |settings: Value| Run::<Redact>::try_new(settings).err().unwrap().join("\n");
    let pattern = |pattern: Value| errors(json!({ "patterns": [pattern] }));
    for (found, expected) in [
        (
            errors(json!({ "kinds": ["mail"] })),
            "/kinds/0: unknown variant `mail`, expected one of `email`, `phone`, `card`, `iban`, `api_key`",
        ),
        (
            errors(json!({ "kind": [] })),
            "/kind: unknown field `kind`, expected one of `kinds`, `patterns`, `replacements`, `request`, `response`, `stream`, `text_max`",
        ),
        (
            errors(json!({ "kinds": [] })),
            "/kinds: nothing is looked for: expected a kind or a pattern",
        ),
        (
            errors(json!({ "request": "leave", "response": "leave", "stream": "leave" })),
            "/request: requests, responses and streams are all left alone: expected `replace` for one of them, or `refuse` for requests",
        ),
        (
            errors(json!({ "kinds": ["card"], "replacements": { "email": "x" } })),
            "/replacements/email: `email` is not looked for: expected it in `kinds`",
        ),
        (
            errors(json!({ "text_max": 99 })),
            "/text_max: is 99; expected 1024 or more",
        ),
        (
            errors(json!({ "replacements": { "email": "a\nb" } })),
            "/replacements/email: expected at most 64 bytes without control characters",
        ),
        (
            pattern(json!({ "name": "No", "pattern": "x" })),
            "/patterns/0/name: `No` is no name: expected a lower-case letter, then up to 31 lower-case letters, digits and `_`, and not the name of a kind",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x(" })),
            "/patterns/0/pattern: not a regular expression: unclosed group",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x*", "longest": 9 })),
            "/patterns/0/pattern: must not match a text of no length",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x+" })),
            "/patterns/0/longest: is missing: the pattern has no longest match, so say how many bytes it may have, 1 to 1024",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x{2000}" })),
            "/patterns/0/longest: a match may have 2000 bytes; expected 1 to 1024",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "(a|b)*a(a|b){13}", "longest": 99 })),
            "/patterns/0/pattern: too large: expected fewer repetitions and alternatives",
        ),
        (
            errors(
                json!({ "patterns": [{ "name": "a", "pattern": "x" }, { "name": "a", "pattern": "y" }] }),
            ),
            "/patterns/1/name: `a` is there already: expected another one",
        ),
        (
            errors(json!({ "patterns": vec![json!({ "name": "a", "pattern": "x" }); 17] }))
                .lines()
                .next()
                .unwrap()
                .to_owned(),
            "/patterns: there are 17; expected at most 16",
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn the_samples_hold_with_any_settings() {
    for settings in [
        json!({}),
        json!({ "request": "refuse" }),
        json!({ "text_max": 1024 }),
        json!({ "kinds": ["card"], "request": "leave" }),
        json!({ "request": "refuse", "patterns": [{ "name": "hello", "pattern": "hello" }] }),
    ] {
        let run = Run::<Redact>::new(settings);
        run.prove();
        assert!(run.samples().len() > 1);
    }
}
