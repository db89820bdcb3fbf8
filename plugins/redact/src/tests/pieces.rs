use proptest::{collection::vec, prelude::*};

use super::*;

/// Bits of what is looked for, and of what is between.
fn text() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "ada@example.com",
        "ada",
        "@",
        "x.org",
        ".",
        "-",
        "4111 1111 1111 1111",
        "4111",
        " ",
        "1111",
        "378282246310005",
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "DE89",
        "+49",
        "30 1234567",
        "(212) 555-0100",
        "212-",
        "555",
        "0100",
        "sk-abcdefghijklmnopqrs0",
        "sk-",
        "AKIA",
        "IOSFODNN7EXAMPLE",
        "EMP-123",
        "EMP-",
        "projekt-x",
        "Projekt",
        "<<",
        ">>",
        "x....",
        "\u{a0}",
        "ü",
        "…",
        "\n",
        "00",
        "\\",
        "\"",
        "\\u0040",
        "\\n",
        "\\\"",
        ":",
        ",",
        "🙂",
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    ]);
    vec(bits, 0..14).prop_map(|bits| bits.concat())
}

/// Cut at these places, or the next ones that are no character's middle.
fn cut<'t>(text: &'t str, places: &[usize]) -> Vec<&'t str> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place % (text.len() + 1))
        .map(|place| {
            (place..)
                .find(|place| text.is_char_boundary(*place))
                .unwrap()
        })
        .collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

/// The longest that anything can be waited for: a name, `@` and a domain.
const HELD_MAX: usize = 64 + 1 + 255;

proptest! {
    #[test]
    fn pieces_come_out_as_the_whole_does(text in text(), places in vec(any::<usize>(), 0..8)) {
        let rules = all();
        let whole = redacted(&rules, &text);
        let (out, _) = in_pieces(&rules, Spelling::Plain, &cut(&text, &places));
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn so_do_pieces_of_json(text in text(), places in vec(any::<usize>(), 0..8)) {
        let rules = all();
        let (whole, _) = in_pieces(&rules, Spelling::Json, &[&text]);
        let (out, _) = in_pieces(&rules, Spelling::Json, &cut(&text, &places));
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn what_was_sent_is_a_beginning_and_lacks_little(text in text(), places in vec(any::<usize>(), 0..8)) {
        let rules = all();
        let pieces = cut(&text, &places);
        let (out, sent) = in_pieces(&rules, Spelling::Plain, &pieces);
        let mut known = String::new();
        for (piece, sent) in pieces.iter().zip(sent) {
            known += piece;
            prop_assert!(out.is_char_boundary(sent));
            let so_far = redacted(&rules, &known);
            prop_assert!(so_far.len() <= sent + HELD_MAX, "{} of {:?}", sent, so_far);
        }
    }

    #[test]
    fn text_in_which_nothing_is_found_comes_out_as_it_was(text in "[a-z0-9 \\n\\\\\"{}:,.é\u{1f642}]{0,200}", places in vec(any::<usize>(), 0..8)) {
        let rules = rules(json!({ "kinds": ["email", "api_key"] }));
        let pieces = cut(&text, &places);
        prop_assert_eq!(in_pieces(&rules, Spelling::Plain, &pieces).0, &*text);
        prop_assert_eq!(in_pieces(&rules, Spelling::Json, &pieces).0, &*text);
    }
}

#[test]
fn each_kind_is_found_at_every_split_and_letter_by_letter() {
    let rules = all();
    for secret in [
        "ada@example.com",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
        "+49 30 1234567",
        "sk-abcdefghijklmnopqrs0tuvw",
        "EMP-123456",
        "PROJEKT-X",
    ] {
        let text = format!("so: {secret}, ok");
        let whole = redacted(&rules, &text);
        assert!(!whole.contains(secret), "{whole}");
        for split in 0..=text.len() {
            let (out, _) = in_pieces(&rules, Spelling::Plain, &[&text[..split], &text[split..]]);
            assert_eq!(out, whole);
        }
        let letters: Vec<&str> = text.split("").collect();
        assert_eq!(in_pieces(&rules, Spelling::Plain, &letters).0, whole);
    }
}

/// What waits after each piece, as text.
fn waiting(settings: serde_json::Value, text: &str) -> String {
    let rules = rules(settings);
    let (_, sent) = in_pieces(&rules, Spelling::Plain, &[text]);
    text[sent[0]..].to_owned()
}

#[test]
fn no_more_is_held_back_than_something_may_come_of() {
    let held = |kind: &str, text: &str| waiting(json!({ "kinds": [kind] }), text);
    assert_eq!(held("email", "Hello, wor"), "wor");
    assert_eq!(held("email", "Hello, world. "), "");
    assert_eq!(held("email", "to ada@example"), "ada@example");
    assert_eq!(held("email", "to ada@example,"), "");
    assert_eq!(held("card", "in 2024 we paid 41"), "41");
    assert_eq!(held("card", "in 2024 we paid 19"), "");
    assert_eq!(held("card", "4111111111111112 a"), "");
    assert_eq!(held("phone", "call +49 30"), "+49 30");
    assert_eq!(held("phone", "call me"), "");
    assert_eq!(held("iban", "in DE"), "DE");
    assert_eq!(held("iban", "in Den"), "");
    assert_eq!(held("api_key", "the sk"), "sk");
    assert_eq!(held("api_key", "the ask"), "");
    let own = json!({ "kinds": [], "patterns": [{ "name": "staff", "pattern": r"EMP-\d{6}" }] });
    assert_eq!(waiting(own.clone(), "we EM"), "EM");
    assert_eq!(waiting(own.clone(), "we EMP-12"), "EMP-12");
    assert_eq!(waiting(own, "we EMP-x"), "");
}

#[test]
fn a_key_is_replaced_as_soon_as_there_is_no_doubt() {
    let rules = rules(json!({ "kinds": ["api_key"] }));
    let (out, sent) = in_pieces(
        &rules,
        Spelling::Plain,
        &["sk-abcdefghijklmnopqrs0", "more0", "even_more", " text"],
    );
    assert_eq!(out, "[API_KEY] text");
    let placed = "[API_KEY]".len();
    assert_eq!(sent, [placed, placed, placed, out.len()]);
}

/// How much of a text waits at most, after any of its letters.
fn waiting_most(kind: &str, text: &str) -> usize {
    let rules = rules(json!({ "kinds": [kind] }));
    let mut held = Held::new(Spelling::Plain);
    let (mut known, mut sent, mut most) = (0, 0, 0);
    for letter in text.chars() {
        known += letter.len_utf8();
        sent += held
            .push(&rules, letter.encode_utf8(&mut [0; 4]), false, &mut |_| {})
            .len();
        most = most.max(known.saturating_sub(sent));
    }
    most
}

/// Digits in groups, with the widest of gaps between them.
fn spaced(digits: &str, group: usize) -> String {
    let groups = digits.as_bytes().chunks(group);
    let groups: Vec<&str> = groups
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    groups.join("\u{202f}")
}

/// The bounds that the README states, in texts that come to them or close.
#[test]
fn the_most_that_waits_is_bounded_for_each_kind() {
    let name = "n".repeat(300);
    let domain = "d.".repeat(300);
    let iban = format!("RU33{}", "1".repeat(60));
    let phone = "1)\u{202f}(".repeat(40);
    for (kind, text, most) in [
        ("email", format!("{name}@{domain}"), 320),
        ("card", spaced(&"6".repeat(40), 3), 40),
        ("iban", spaced(&iban, 4), 60),
        ("phone", format!("+{phone}"), 92),
        ("api_key", format!("pypi-{name}"), 55),
    ] {
        let waited = waiting_most(kind, &text);
        assert!((most - 4..=most).contains(&waited), "{kind}: {waited}");
    }
}
