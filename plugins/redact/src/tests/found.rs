use super::*;

/// Each stands in a sentence, so that what is around it counts.
fn assert_found(kind: &str, found: &[&str]) {
    let rules = rules(json!({ "kinds": [kind], "replacements": { kind: "*" } }));
    for text in found {
        assert_eq!(redacted(&rules, text), "*");
        assert_eq!(redacted(&rules, &format!("({text})")), "(*)");
        assert_eq!(redacted(&rules, &format!("It is {text}.")), "It is *.");
        assert_eq!(redacted(&rules, &format!("ü{text}, and")), "ü*, and");
    }
}

fn assert_not_found(kind: &str, texts: &[&str]) {
    let rules = rules(json!({ "kinds": [kind] }));
    for text in texts {
        assert_eq!(redacted(&rules, text), *text);
    }
}

#[test]
fn addresses_are_found() {
    assert_found(
        "email",
        &[
            "ada@example.com",
            "a.b_c%d+e-f@mail.example.co.uk",
            "A@B.IO",
            "1@2.museum",
            "ada@xn--bcher-kva.xn--p1ai",
        ],
    );
}

#[test]
fn what_is_no_address_is_left() {
    assert_not_found(
        "email",
        &[
            "@",
            "a@",
            "@b.com",
            "a@b",
            "a@b.c",
            "a @b.com",
            "a@ b.com",
            "a@.com",
            "a@b..",
            "@@@@",
            "a@1.2.3.4",
        ],
    );
}

#[test]
fn of_a_name_that_is_too_long_the_end_is_taken() {
    let rules = rules(json!({ "kinds": ["email"] }));
    let text = format!("{}@example.com", "n".repeat(70));
    assert_eq!(redacted(&rules, &text), "nnnnnn[EMAIL]");
}

#[test]
fn dots_in_front_of_an_address_are_left() {
    let rules = rules(json!({ "kinds": ["email"] }));
    assert_eq!(redacted(&rules, "…--ada@x.org..."), "…--[EMAIL]...");
}

#[test]
fn cards_are_found() {
    assert_found(
        "card",
        &[
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111\u{a0}1111\u{202f}1111 1111",
            "5555555555554444",
            "2223003122003222",
            "3782 822463 10005",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "4222222222222",
            "6304000000000000",
        ],
    );
}

#[test]
fn numbers_that_are_no_cards_are_left() {
    assert_not_found(
        "card",
        &[
            "4111111111111112",
            "1111111111111117",
            "41111111111111111",
            "0.4111111111111111",
            "4111111111111111.5",
            "x4111111111111111",
            "4111111111111111x",
            "4111  1111 1111 1111",
            "41 11 11 11 11 11 11 11",
            "1732619647000",
        ],
    );
}

#[test]
fn a_card_is_found_behind_another_number_and_before_one() {
    let rules = rules(json!({ "kinds": ["card"] }));
    assert_eq!(
        redacted(&rules, "12 4111 1111 1111 1111 123"),
        "12 [CARD] 123"
    );
}

#[test]
fn account_numbers_are_found() {
    assert_found(
        "iban",
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "de89 3704 0044 0532 0130 00",
            "GB82 WEST 1234 5698 7654 32",
            "NO93 8601 1117 947",
            "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        ],
    );
}

#[test]
fn what_is_no_account_number_is_left() {
    assert_not_found(
        "iban",
        &[
            "DE88370400440532013000",
            "DE8937040044053201300",
            "DE893704004405320130001",
            "ZZ89370400440532013000",
            "DE89  3704 0044 0532 0130 00",
        ],
    );
}

#[test]
fn the_word_behind_an_account_number_is_left() {
    let rules = rules(json!({ "kinds": ["iban"] }));
    assert_eq!(
        redacted(&rules, "DE89 3704 0044 0532 0130 00 and"),
        "[IBAN] and"
    );
}

#[test]
fn telephone_numbers_are_found() {
    assert_found(
        "phone",
        &[
            "+49 30 1234567",
            "+49 (0)30 123-4567",
            "+4930123456",
            "+1 (212) 555-0100",
            "+33.6.12.34.56.78",
            "0049 30 12345678",
            "00 49 30 12345678",
            "(212) 555-0100",
            "(212)555-0100",
            "212-555-0100",
            "212.555.0100",
            "1-212-555-0100",
        ],
    );
}

#[test]
fn numbers_that_are_no_telephone_numbers_are_left() {
    assert_not_found(
        "phone",
        &[
            "2024-01-15",
            "01.02.2024 10:30",
            "2125550100",
            "127.0.0.1",
            "+1",
            "+1 234",
            "+1234567890123456",
            "x+",
            "112-555-0100",
            "212-555-01000",
            "1.212.555",
        ],
    );
}

#[test]
fn keys_are_found_whole_however_long_they_are() {
    let rules = rules(json!({ "kinds": ["api_key"] }));
    let long = "aB3_".repeat(60);
    for (lead, rest) in [
        ("sk-proj-", long.as_str()),
        ("sk-ant-", "api03-abcdefghijklmnop"),
        ("AKIA", "IOSFODNN7EXAMPLE"),
        ("ghp_", "abcdefghijklmnopqrstuvwxyzABCDEF0123"),
        ("github_pat_", "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz01"),
        ("AIza", "SyA1234567890abcdefghijklmnopqrstuv"),
        ("xoxb-", "123456789012-abcdefABCDEF"),
        ("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
        (
            "SG.",
            "abcdefghijklmnopqrst12.abcdefghijklmnopqrstuvwxyz0123",
        ),
    ] {
        let text = format!("key: {lead}{rest}, ok");
        assert_eq!(redacted(&rules, &text), "key: [API_KEY], ok");
    }
}

#[test]
fn words_that_look_like_keys_are_left() {
    assert_not_found(
        "api_key",
        &[
            "sk-learn",
            "task-0123456789ABCDEFGHIJKLMN",
            "sk-some-class-name-with-many-words",
            "AKIA",
            "AKIAIOSFODNN7EXAMPL",
            "hf_transfer",
        ],
    );
}

#[test]
fn own_patterns_come_before_the_kinds() {
    let rules = rules(json!({ "patterns": [
        { "name": "ours", "pattern": r"\w+@ours\.example", "longest": 80, "replacement": "<us>" },
    ] }));
    assert_eq!(
        redacted(&rules, "ada@ours.example, bob@theirs.example"),
        "<us>, [EMAIL]"
    );
}

#[test]
fn own_patterns_see_what_is_around_them() {
    let rules = rules(json!({ "kinds": [], "patterns": [
        { "name": "w", "pattern": r"\bcat\b" },
        { "name": "start", "pattern": "^dog" },
        { "name": "end", "pattern": "cow$" },
    ] }));
    assert_eq!(
        redacted(&rules, "dog cat concat cats dog cow cow"),
        "[START] [W] concat cats dog cow [END]"
    );
}

#[test]
fn no_match_of_an_own_pattern_is_longer_than_it_may_be() {
    let rules = rules(json!({ "kinds": [], "patterns": [
        { "name": "a", "pattern": "a+", "longest": 4 },
    ] }));
    assert_eq!(redacted(&rules, "aaaaaab"), "[A][A]b");
}

#[test]
fn a_match_takes_whole_characters() {
    let rules = rules(json!({ "kinds": [], "patterns": [{ "name": "dot", "pattern": "x." }] }));
    assert_eq!(redacted(&rules, "xü xé"), "[DOT] [DOT]");
}

#[test]
fn what_starts_first_wins() {
    assert_eq!(
        redacted(
            &all(),
            "EMP-123 ada@x.org 4111111111111111@x.org +49 30 1234567"
        ),
        "[STAFF] [EMAIL] [EMAIL] [PHONE]"
    );
}

#[test]
fn what_json_says_counts_and_it_stays_json() {
    let rules = all();
    let arguments = r#"{"to":"\nada\u0040x.org","card":4111111111111111,"tel":["+49 30 1234567"],"q":"\"EMP-123\""}"#;
    let new = replace_text(&rules, Spelling::Json, arguments, &mut |_| {}).unwrap();
    assert_eq!(
        new,
        r#"{"to":"\n[EMAIL]","card":"[CARD]","tel":["[PHONE]"],"q":"\"[STAFF]\""}"#
    );
    serde_json::from_str::<serde_json::Value>(&new).unwrap();
}
