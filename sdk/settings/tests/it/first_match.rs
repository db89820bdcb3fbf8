use proptest::prelude::*;
use tollgate_settings::{FirstMatch, Pattern, repeats};

fn entries(names: &[&[&str]]) -> Vec<Vec<Pattern>> {
    let parse = |name: &&str| name.parse().unwrap();
    names
        .iter()
        .map(|names| names.iter().map(parse).collect())
        .collect()
}

#[test]
fn the_first_entry_that_has_the_name_wins_be_it_a_name_or_a_glob() {
    let first = FirstMatch::of(&entries(&[
        &["gpt-4", "o1"],
        &["gpt-*"],
        &["gpt-5", "llama"],
        &["*a"],
    ]));
    for (names, expected) in [
        (&[Some("gpt-4")][..], Some(0)),
        (&[Some("gpt-5")], Some(1)),
        (&[Some("llama")], Some(2)),
        (&[Some("gemma")], Some(3)),
        (&[Some("qwen")], None),
        (&[None], None),
        (&[], None),
        (&[Some("qwen"), Some("llama")], Some(2)),
        (&[Some("llama"), Some("o1")], Some(0)),
    ] {
        assert_eq!(first.place_of_any(names), expected, "{names:?}");
    }
}

#[test]
fn what_stands_there_again_is_found_with_where_it_stood() {
    let entries = entries(&[&["a", "b*"], &["c", "a"], &["b*", "b"]]);
    let found: Vec<String> = repeats(&entries)
        .iter()
        .map(|repeat| repeat.says("rules"))
        .collect();
    assert_eq!(
        found,
        [
            "/rules/1/models/1: `a` is never reached here: /rules/0 has it already",
            "/rules/2/models/0: `b*` is never reached here: /rules/0 has it already",
        ]
    );
}

proptest! {
    #[test]
    fn it_finds_what_looking_at_each_in_turn_finds(
        written in prop::collection::vec(prop::collection::vec("[ab*]{1,3}", 0..4), 0..6),
        name in "[ab]{0,4}",
    ) {
        let entries: Vec<Vec<Pattern>> = written
            .iter()
            .map(|names| names.iter().map(|name| name.parse().unwrap()).collect())
            .collect();
        let in_turn = entries
            .iter()
            .position(|patterns| patterns.iter().any(|pattern| pattern.has(&name)));
        prop_assert_eq!(FirstMatch::of(&entries).place(&name), in_turn);
    }
}
