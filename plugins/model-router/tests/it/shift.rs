use std::time::Duration;

use tollgate_sdk::{clock, testing::advance};

use super::*;

const HOUR_MS: u64 = 3_600_000;

/// A time of RFC 3339, by the days and seconds since 1970; up to 2100.
fn rfc3339(ms: u64) -> String {
    let (mut days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    let mut year = 1970;
    let leap = |year: u64| u64::from(year.is_multiple_of(4));
    while days >= 365 + leap(year) {
        days -= 365 + leap(year);
        year += 1;
    }
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let seconds = seconds % 60;
    format!(
        "{year:04}-{:02}-{:02}T{hours:02}:{minutes:02}:{seconds:02}Z",
        month + 1,
        days + 1
    )
}

/// To the second, as the settings have it.
fn now_ms() -> u64 {
    clock::now_ms() / 1000 * 1000
}

fn shifting(shift: Value) -> Run<ModelRouter> {
    run(json!({ "rules": [{ "name": "chat", "then": {
        "by": [{ "fact": "caller" }],
        "split": [
            { "model": "old", "weight": 3 }, { "model": "other", "weight": 1 },
            { "model": "new", "weight": 0 },
        ],
        "shift": shift,
    } }] }))
}

/// The callers that have the new one, of 2,000.
fn moved(run: &Run<ModelRouter>) -> Vec<usize> {
    let is_new = |nth: &usize| {
        led(
            run,
            Exchange::chat().fact("caller", format!("caller-{nth}")),
        ) == "new"
    };
    (0..2000).filter(is_new).collect()
}

fn assert_share(callers: usize, percent: f64) {
    let (share, all) = (percent / 100.0, 2000.0_f64);
    let error = (all * share * (1.0 - share)).sqrt();
    let off = (callers as f64 - all * share).abs();
    assert!(
        off <= 3.0 * error,
        "{callers} of 2,000, expected {percent} %"
    );
}

#[test]
fn requests_shift_step_by_step_and_whoever_has_shifted_stays() {
    let start = now_ms() + HOUR_MS;
    let run = shifting(json!({
        "to": "new", "start": rfc3339(start),
        "steps": [
            { "after": "0s", "percent": 5 },
            { "after": "12h", "percent": 25 },
            { "at": rfc3339(start + 24 * HOUR_MS), "percent": 100 },
        ],
    }));
    assert_eq!(moved(&run), [0; 0], "before it starts");
    let mut before = Vec::new();
    for (hours, percent) in [(1, 5.0), (12, 25.0), (12, 100.0), (1000, 100.0)] {
        advance(Duration::from_secs(hours * 3600));
        let now = moved(&run);
        assert_share(now.len(), percent);
        assert!(
            before.iter().all(|caller| now.contains(caller)),
            "at {percent} %"
        );
        before = now;
    }
    assert_eq!(before.len(), 2000);
}

#[test]
fn a_step_begins_at_its_very_moment() {
    let start = now_ms() + HOUR_MS;
    let run = shifting(json!({
        "to": "new", "steps": [{ "at": rfc3339(start), "percent": 100 }],
    }));
    let to_start = start - clock::now_ms();
    advance(Duration::from_millis(to_start - 1));
    assert_eq!(moved(&run).len(), 0);
    advance(Duration::from_millis(1));
    assert_eq!(moved(&run).len(), 2000);
}

#[test]
fn the_others_share_what_is_left_by_their_weights() {
    let run = shifting(json!({
        "to": "new", "steps": [{ "at": "1970-01-01T00:00:00Z", "percent": 50 }],
    }));
    let callers = (0..4000).map(|nth| Exchange::chat().fact("caller", format!("caller-{nth}")));
    let mut counts = [0_u32; 3];
    for caller in callers {
        let arm = led(&run, caller);
        counts[["old", "other", "new"]
            .iter()
            .position(|name| *name == arm)
            .unwrap()] += 1;
    }
    for (count, share) in counts.into_iter().zip([0.375, 0.125, 0.5]) {
        let error = (4000.0_f64 * share * (1.0 - share)).sqrt();
        assert!(
            (f64::from(count) - 4000.0 * share).abs() < 3.0 * error,
            "{counts:?}"
        );
    }
}

#[test]
fn a_share_may_fall_again() {
    let run = shifting(json!({
        "to": "new", "start": rfc3339(now_ms()),
        "steps": [{ "after": "0ms", "percent": 50.5 }, { "after": "1h", "percent": 0 }],
    }));
    assert_share(moved(&run).len(), 50.5);
    advance(Duration::from_secs(3600));
    assert_eq!(moved(&run).len(), 0);
}

#[test]
fn mistakes_of_a_schedule_name_their_step() {
    let shift = |shift: Value| {
        let then = json!({
            "by": [], "shift": shift,
            "split": [{ "model": "old", "weight": 1 }, { "model": "new", "weight": 0 }],
        });
        errors(json!({ "rules": [{ "name": "chat", "then": then }] })).join("\n")
    };
    let at = "2027-01-01T00:00:00Z";
    for (written, expected) in [
        (
            json!({ "to": "newer", "steps": [{ "at": at, "percent": 5 }] }),
            "/rules/0/then/shift/to: there is no arm `newer`: expected one of `old`, `new`",
        ),
        (
            json!({ "to": "old", "steps": [{ "at": at, "percent": 5 }] }),
            "/rules/0/then/shift: expected another arm with a weight",
        ),
        (
            json!({ "to": "new", "steps": [] }),
            "/rules/0/then/shift/steps: expected 1 to 64 steps, found 0",
        ),
        (
            json!({ "to": "new", "steps": [{ "after": "1h", "percent": 5 }] }),
            "/rules/0/then/shift/steps/0/after: expected `start` beside `to`",
        ),
        (
            json!({ "to": "new", "steps": [{ "percent": 5 }] }),
            "/rules/0/then/shift/steps/0: expected `at` or `after`",
        ),
        (
            json!({ "to": "new", "start": at, "steps": [{ "at": at, "after": "1h", "percent": 5 }] }),
            "/rules/0/then/shift/steps/0: expected `at` or `after`, not both",
        ),
        (
            json!({ "to": "new", "start": at, "steps": [{ "at": at, "percent": 5 }, { "after": "0s", "percent": 9 }] }),
            "/rules/0/then/shift/steps/1: expected a time after that of the step before",
        ),
        (
            json!({ "to": "new", "steps": [{ "at": at, "percent": 101 }] }),
            "/rules/0/then/shift/steps/0/percent: expected a number from 0 to 100",
        ),
        (
            json!({ "to": "new", "steps": [{ "at": at, "percent": "5%" }] }),
            "/rules/0/then/shift/steps/0/percent: invalid type: string",
        ),
        (
            json!({ "to": "new", "steps": [{ "at": "tomorrow", "percent": 5 }] }),
            "/rules/0/then/shift/steps/0/at: `tomorrow` is no time: expected one of RFC 3339",
        ),
        (
            json!({ "to": "new", "start": at, "steps": [{ "after": "1 day", "percent": 5 }] }),
            "/rules/0/then/shift/steps/0/after: `1 day` is not a period",
        ),
    ] {
        let error = shift(written.clone());
        assert!(error.starts_with(expected), "{written}: {error}");
    }
}
