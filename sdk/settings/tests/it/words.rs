use proptest::prelude::*;
use tollgate_settings::words;

#[test]
fn a_time_is_said_in_its_natural_unit() {
    let cases = [
        (0, "1 millisecond"),
        (999, "999 milliseconds"),
        (1000, "1 second"),
        (1500, "2 seconds"),
        (61_000, "61 seconds"),
        (3_600_000, "1 hour"),
        (5_400_000, "90 minutes"),
        (7_200_001, "3 hours"),
        (30 * 86_400_000, "30 days"),
        (u64::MAX, "213503982335 days"),
    ];
    for (ms, expected) in cases {
        assert_eq!(words::time(ms), expected);
    }
}

#[test]
fn what_a_client_sent_is_shown_short_and_plain() {
    assert_eq!(words::shown("a\u{1b}[2Jb\0"), "a\\u{1b}[2Jb\\u{0}");
    assert_eq!(words::shown(""), "");
}

proptest! {
    #[test]
    fn whatever_a_client_sent_is_short_and_without_control_characters(text in "(?s).{0,300}") {
        let shown = words::shown(&text);
        prop_assert!(shown.len() < 80, "{}", shown.len());
        prop_assert!(!shown.contains(char::is_control));
    }
}
