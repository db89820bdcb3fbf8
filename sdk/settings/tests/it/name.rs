use proptest::prelude::*;
use serde_json::json;
use tollgate_settings::Name;

#[test]
fn what_is_no_name_is_refused_with_what_was_expected() {
    for text in ["", "a b", "a/b", "é", "a\n", "a@b", &"x".repeat(65)] {
        let error = serde_json::from_value::<Name>(json!(text)).unwrap_err();
        let says = "expected 1 to 64 letters, digits, `-`, `_` or `.`";
        assert_eq!(error.to_string(), says, "{text}");
    }
}

proptest! {
    #[test]
    fn a_plain_text_is_a_name_and_stays_as_it_is(text in "[A-Za-z0-9_.-]{1,64}") {
        let name: Name = text.parse().unwrap();
        prop_assert_eq!(name.as_str(), &text);
        prop_assert_eq!(name.to_string(), text);
    }

    #[test]
    fn no_name_has_what_could_end_a_header_a_label_or_a_key(text in "(?s).{0,20}") {
        if let Ok(name) = text.parse::<Name>() {
            let is_unsafe = |letter: char| "\"\\/@ \n{}".contains(letter);
            prop_assert!(!name.as_str().contains(is_unsafe));
        }
    }
}
