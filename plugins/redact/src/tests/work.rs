use super::*;
use crate::{find::find, text::Text};

fn steps(rules: &Rules, text: &str) -> usize {
    let text = Text::new(text.as_bytes(), true);
    find(rules, &text, 0);
    text.steps()
}

/// Counted, not timed.
#[test]
fn work_grows_no_faster_than_the_text() {
    let rules = all();
    for bit in [
        "@",
        "a",
        "a@",
        "a.",
        "a@a.",
        "1",
        "4",
        "4 ",
        "4111 ",
        "1 ",
        "411 ",
        "00",
        "001 ",
        "+1",
        "+1 ",
        "(2",
        "(212) ",
        "212-",
        "DE89 ",
        "DE",
        "sk-",
        "sk-a0",
        "AKIA",
        "EMP-",
        "EMP-1",
        "<<",
        "x.",
        "é",
        " ",
        "ada@x.org ",
        "4111111111111111 ",
        "-",
        ".",
    ] {
        let [small, large] = [20_000, 40_000].map(|bytes| {
            let text = bit.repeat(bytes / bit.len());
            (text.len(), steps(&rules, &text))
        });
        let growth = large.1 as f64 / small.1 as f64;
        assert!(growth < 2.1, "{bit:?}: {small:?}, {large:?}");
        assert!(
            large.1 < 40 * large.0,
            "{bit:?}: {} a byte",
            large.1 / large.0
        );
    }
}

#[test]
fn a_megabyte_of_signs_is_gone_through_once() {
    let rules = rules(json!({}));
    for bit in ["@", "0", "4"] {
        let text = bit.repeat(1 << 20);
        assert!(steps(&rules, &text) < 8 * text.len(), "{bit:?}");
    }
}

#[test]
fn the_work_for_an_own_pattern_is_bounded_by_its_longest_match() {
    let rules = rules(json!({ "kinds": [], "patterns": [
        { "name": "a", "pattern": "a*b", "longest": 30 },
    ] }));
    let text = "a".repeat(10_000);
    assert!(steps(&rules, &text) <= 40 * text.len());
}

/// Each piece is looked at together with what waits, so that has to stay small.
#[test]
fn what_waits_stays_small_in_a_stream_that_never_settles() {
    let rules = all();
    for bit in [
        "a", "@", "a@", "a@a.", "4", "4111 ", "+1 ", "DE89 ", "sk-", "EMP-1", "<<",
    ] {
        let mut held = Held::new(Spelling::Plain);
        let mut sent = 0;
        for _ in 0..5_000 {
            sent += held.push(&rules, bit, false, &mut |_| {}).len();
        }
        let rest = held.push(&rules, "", true, &mut |_| {});
        assert!(rest.len() <= 320 && sent > 0, "{bit:?}: {sent}, {rest}");
    }
}
