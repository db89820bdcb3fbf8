use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tollgate_settings::Period;

fn period(text: &str) -> Option<u64> {
    text.parse().ok().map(Period::ms)
}

#[test]
fn a_period_is_a_whole_number_and_a_unit() {
    assert_eq!(period("500ms"), Some(500));
    assert_eq!(period("30s"), Some(30_000));
    assert_eq!(period("15m"), Some(900_000));
    assert_eq!(period("1h"), Some(3_600_000));
    assert_eq!(period("366d"), Some(Period::LONGEST_MS));
    let hour: Period = "1h".parse().unwrap();
    assert_eq!(Duration::from(hour), Duration::from_secs(3600));
}

#[test]
fn what_is_no_period_is_refused() {
    for text in [
        "",
        "1",
        "h",
        "0h",
        "-1h",
        "1.5h",
        "1 h",
        "1H",
        "1hé",
        "é",
        "367d",
        "18446744073709551615d",
        "99999999999999999999s",
    ] {
        assert_eq!(period(text), None, "{text}");
        let error = serde_json::from_value::<Period>(json!(text)).unwrap_err();
        let says = format!("`{text}` is not a period: write a whole number and ms, s, m, h or d");
        assert!(error.to_string().starts_with(&says), "{error}");
    }
}

#[test]
#[should_panic(expected = "a period is 1 ms to 366 days long")]
fn a_default_that_is_none_does_not_pass() {
    let _ = Period::of_ms(0);
}

#[test]
fn its_schema_takes_what_it_takes_but_for_the_bounds() {
    let schema = schemars::schema_for!(Period);
    assert_eq!(schema.as_value()["pattern"], "^[0-9]+(ms|s|m|h|d)$");
    for example in schema.as_value()["examples"].as_array().unwrap() {
        assert!(period(example.as_str().unwrap()).is_some());
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_a_time_within_bounds_or_refused(text in "[0-9]{0,20}(ms|s|m|h|d)?.?") {
        if let Some(ms) = period(&text) {
            prop_assert!((1..=Period::LONGEST_MS).contains(&ms));
            prop_assert_eq!(Period::of_ms(ms).ms(), ms);
        }
    }

    #[test]
    fn milliseconds_are_read_as_written(ms in 1..=Period::LONGEST_MS) {
        prop_assert_eq!(period(&format!("{ms}ms")), Some(ms));
    }

    #[test]
    fn any_text_is_no_panic(text in ".{0,30}") {
        let _ = period(&text);
    }
}
