use std::time::Duration;

use tollgate_sdk::testing::{advance, counted};

use super::*;

fn sticky(weights: [u32; 2], more: Value) -> Run<ModelRouter> {
    let mut then = json!({
        "by": [{ "header": "x-session" }], "remember": "1h",
        "split": [{ "model": "a", "weight": weights[0] }, { "model": "b", "weight": weights[1] }],
    });
    then.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    run(json!({ "version_separator": "@", "rules": [{ "name": "chat", "then": then }] }))
}

fn of_session(run: &Run<ModelRouter>, nth: usize) -> String {
    led(
        run,
        Exchange::chat().header("x-session", format!("session-{nth}")),
    )
}

#[test]
fn a_session_keeps_its_arm_while_weights_change() {
    let before = sticky([90, 10], json!({}));
    let arms: Vec<_> = (0..200).map(|nth| of_session(&before, nth)).collect();
    let after = sticky([10, 90], json!({}));
    let again: Vec<_> = (0..200).map(|nth| of_session(&after, nth)).collect();
    assert_eq!(again, arms);
    let new = (200..400)
        .filter(|nth| of_session(&after, *nth) == "b")
        .count();
    assert!(
        (160..=197).contains(&new),
        "new sessions go by the new weights: {new}"
    );
}

#[test]
fn a_session_leaves_an_arm_that_has_no_weight_any_more() {
    let before = sticky([1, 1], json!({}));
    let on_a = (0..100)
        .find(|nth| of_session(&before, *nth) == "a")
        .unwrap();
    assert_eq!(of_session(&sticky([0, 1], json!({})), on_a), "b");
    // It is the other's from now on.
    assert_eq!(of_session(&sticky([1, 1], json!({})), on_a), "b");
}

#[test]
fn a_session_is_forgotten_after_its_time_and_kept_while_it_goes_on() {
    let before = sticky([1, 0], json!({}));
    for nth in [0, 1] {
        assert_eq!(of_session(&before, nth), "a");
    }
    let after = sticky([1, 1_000_000], json!({}));
    for _ in 0..10 {
        advance(Duration::from_secs(20 * 60));
        assert_eq!(of_session(&after, 0), "a");
    }
    assert_eq!(of_session(&after, 1), "b", "an hour after its last request");
}

#[test]
fn a_pinned_version_goes_before_what_is_remembered_and_is_not() {
    let versions = json!({ "split": [
        { "version": "1", "model": "a", "weight": 1 }, { "version": "2", "model": "b", "weight": 0 },
    ] });
    let run = sticky([1, 1], versions);
    assert_eq!(of_session(&run, 7), "a");
    let pinned = ask("chat@2").header("x-session", "session-7");
    assert_eq!(led(&run, pinned), "b");
    assert_eq!(of_session(&run, 7), "a");
}

#[test]
fn rules_remember_apart_and_requests_of_nobody_are_not_remembered() {
    let run = sticky([1, 0], json!({}));
    assert_eq!(of_session(&run, 0), "a");
    let other = sticky([0, 1], json!({ "seed": "other" }));
    assert_eq!(of_session(&other, 0), "b");
    assert_eq!(led(&run, Exchange::chat()), "a");
    assert_eq!(counted("not_remembered"), 0);
}

#[test]
fn something_has_to_be_there_to_remember() {
    let mistakes = errors(json!({ "rules": [{ "name": "x", "then": {
        "by": [], "remember": "1h", "split": [{ "model": "a", "weight": 1 }],
    } }] }));
    assert_eq!(
        mistakes,
        ["/rules/0/then/remember: expected something in `by` to remember"]
    );
}
