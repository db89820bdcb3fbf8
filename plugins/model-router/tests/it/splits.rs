use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ARMS: [&str; 4] = ["a", "b", "c", "d"];

/// A rule `chat` whose arms have these weights.
fn split(weights: &[u32]) -> Run<ModelRouter> {
    let arms: Vec<_> = ARMS
        .iter()
        .zip(weights)
        .map(|(name, weight)| json!({ "model": name, "weight": weight }))
        .collect();
    run(json!({ "rules": [
        { "name": "chat", "then": { "by": [{ "fact": "caller" }], "split": arms } },
    ] }))
}

fn of_caller(run: &Run<ModelRouter>, caller: &str) -> String {
    led(run, Exchange::chat().fact("caller", caller))
}

fn counts(run: &Run<ModelRouter>, callers: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for nth in 0..callers {
        *counts
            .entry(of_caller(run, &format!("caller-{nth}")))
            .or_default() += 1;
    }
    counts
}

/// How far a count is from its share, in standard errors.
fn off(count: u32, callers: u32, share: f64) -> f64 {
    let expected = f64::from(callers) * share;
    let error = (expected * (1.0 - share)).sqrt();
    (f64::from(count) - expected).abs() / error
}

#[test]
fn each_arm_has_its_share_within_three_standard_errors() {
    const CALLERS: u32 = 10_000;
    for weights in [&[90, 10][..], &[95, 5], &[1, 1], &[5, 3, 2], &[97, 1, 1, 1]] {
        let counts = counts(&split(weights), CALLERS);
        let all: u32 = weights.iter().sum();
        for (arm, weight) in ARMS.iter().zip(weights) {
            let share = f64::from(*weight) / f64::from(all);
            let off = off(counts[*arm], CALLERS, share);
            assert!(off < 3.0, "{weights:?} {arm}: {off} standard errors");
        }
    }
}

#[test]
fn requests_that_are_drawn_anew_have_the_same_shares() {
    const REQUESTS: u32 = 20_000;
    let run = run(
        json!({ "rules": [{ "name": "chat", "then": { "by": [], "split": [
        { "model": "a", "weight": 9 }, { "model": "b", "weight": 1 },
    ] } }] }),
    );
    let to_b = (0..REQUESTS)
        .filter(|_| of_caller(&run, "ada") == "b")
        .count();
    let off = off(u32::try_from(to_b).unwrap(), REQUESTS, 0.1);
    assert!(off < 3.0, "{off} standard errors");
}

/// As another implementation has it, from the description in the README alone.
#[test]
fn the_split_is_the_documented_one() {
    let named = |arms: Value| {
        run(json!({ "rules": [
            { "name": "chat", "then": { "by": [{ "fact": "caller" }], "split": arms } },
        ] }))
    };
    let run = named(json!([
        { "name": "stable", "weight": 90, "model": "stable" },
        { "name": "canary", "weight": 10, "model": "canary" },
    ]));
    let five = named(json!([
        { "name": "stable", "weight": 95, "model": "stable" },
        { "name": "canary", "weight": 5, "model": "canary" },
    ]));
    let of_five: Vec<_> = (0..200)
        .filter(|nth| of_caller(&five, &format!("caller-{nth}")) == "canary")
        .collect();
    assert_eq!(of_five, [7, 21, 30, 53, 89, 136, 139, 177, 183, 198]);
    let callers = (0..10_000).filter(|nth| of_caller(&run, &format!("caller-{nth}")) == "canary");
    assert_eq!(callers.count(), 1084);
    let run = split(&[1, 1, 2]);
    let keys = [
        "ada", "bob", "é", "caller-1", "caller-2", "caller-3", "caller-4",
    ];
    let arms = keys.map(|key| of_caller(&run, key));
    assert_eq!(arms, ["c", "c", "a", "a", "c", "b", "c"]);
}

#[test]
fn a_session_goes_before_a_caller_and_a_caller_before_chance() {
    let by = json!([{ "header": "x-session" }, { "json": "/user" }, { "fact": "caller" }]);
    let run = run(
        json!({ "rules": [{ "name": "chat", "then": { "by": by, "split": [
        { "model": "a", "weight": 1 }, { "model": "b", "weight": 1 },
    ] } }] }),
    );
    let by_caller = |key: &str| led(&run, Exchange::chat().fact("caller", key));
    let (mut seen_a, mut seen_b) = (false, false);
    for nth in 0..50 {
        let key = format!("key-{nth}");
        let expected = by_caller(&key);
        seen_a |= expected == "a";
        seen_b |= expected == "b";
        let by_session = || Exchange::chat().header("x-session", key.as_str());
        assert_eq!(led(&run, by_session()), expected);
        assert_eq!(
            led(&run, by_session().fact("caller", "x").json("/user", "y")),
            expected
        );
        let by_user = Exchange::chat().json("/user", key.as_str());
        assert_eq!(led(&run, by_user.fact("caller", "x")), expected);
        let empty = Exchange::chat()
            .header("x-session", "")
            .fact("caller", key.as_str());
        assert_eq!(led(&run, empty), expected, "an empty one is none");
    }
    assert!(seen_a && seen_b);
    let drawn: Vec<_> = (0..50).map(|_| led(&run, Exchange::chat())).collect();
    assert!(drawn.contains(&"a".to_owned()) && drawn.contains(&"b".to_owned()));
}

#[test]
fn a_request_of_nobody_is_refused_where_that_is_said() {
    let run = run(json!({ "rules": [{ "name": "chat", "then": {
        "by": [{ "fact": "caller" }], "on_missing": "refuse",
        "split": [{ "model": "a", "weight": 1 }, { "model": "b", "weight": 1 }],
    } }] }));
    let (status, code, message) = refused(&run, Exchange::chat());
    assert_eq!((status, &*code), (400, "routing_key_required"));
    assert!(message.contains("`chat`"), "{message}");
    assert_ne!(of_caller(&run, "ada"), "-");
}

#[test]
fn splits_are_apart_unless_they_share_a_seed() {
    let named = |name: &str, more: Value| {
        let mut then = json!({
            "by": [{ "fact": "caller" }],
            "split": [{ "model": "a", "weight": 1 }, { "model": "b", "weight": 1 }],
        });
        then.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        run(json!({ "rules": [{ "name": name, "then": then }] }))
    };
    let callers: Vec<_> = (0..400).map(|nth| format!("caller-{nth}")).collect();
    let equal = |one: &Run<ModelRouter>, other: &Run<ModelRouter>| {
        let same = |caller: &&String| of_caller(one, caller) == of_caller(other, caller);
        callers.iter().filter(same).count()
    };
    let (x, y) = (named("x", json!({})), named("y", json!({})));
    assert!((140..260).contains(&equal(&x, &y)), "{}", equal(&x, &y));
    let seeded = named("y", json!({ "seed": "x" }));
    assert_eq!(equal(&x, &seeded), 400);
}

/// Where each of some callers is, with these weights.
fn arms_of(weights: &[u32], callers: &[String]) -> Vec<String> {
    let run = split(weights);
    callers
        .iter()
        .map(|caller| of_caller(&run, caller))
        .collect()
}

fn callers() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z0-9-]{1,12}", 100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_caller_keeps_its_arm_whatever_it_asks(
        caller in "\\PC{1,40}", weights in prop::collection::vec(1_u32..1000, 2..=4),
    ) {
        let (run, again) = (split(&weights), split(&weights));
        let first = of_caller(&run, &caller);
        prop_assert_eq!(&of_caller(&again, &caller), &first);
        let other = Exchange::chat().body(r#"{"model":"y","n":2}"#).fact("caller", caller.as_str());
        prop_assert_eq!(&led(&run, other), &first);
    }

    #[test]
    fn no_caller_leaves_an_arm_whose_weight_grows_and_all_that_move_go_there(
        weights in prop::collection::vec(0_u32..100, 2..=4),
        nth in 0_usize..4, more in 1_u32..200, callers in callers(),
    ) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let nth = nth % weights.len();
        let mut grown = weights.clone();
        grown[nth] += more;
        let before = arms_of(&weights, &callers);
        let after = arms_of(&grown, &callers);
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before == after || after == ARMS[nth], "{before} -> {after}");
        }
    }

    #[test]
    fn a_caller_moves_only_to_an_arm_that_grew_against_its_own(
        from in prop::collection::vec(1_u32..100, 3), to in prop::collection::vec(1_u32..100, 3),
        callers in callers(),
    ) {
        let weight = |weights: &[u32], arm: &str| {
            u64::from(weights[ARMS.iter().position(|name| *name == arm).unwrap()])
        };
        let before = arms_of(&from, &callers);
        let after = arms_of(&to, &callers);
        for (before, after) in before.iter().zip(&after).filter(|(one, other)| one != other) {
            let was = weight(&from, after) * weight(&to, before);
            let is = weight(&to, after) * weight(&from, before);
            prop_assert!(is > was, "{before} -> {after}");
        }
    }

    #[test]
    fn weights_of_another_size_and_arms_in_another_order_move_nobody(
        weights in prop::collection::vec(1_u32..1000, 2..=4), callers in callers(),
    ) {
        let tenfold: Vec<_> = weights.iter().map(|weight| weight * 10).collect();
        let before = arms_of(&weights, &callers);
        prop_assert_eq!(&arms_of(&tenfold, &callers), &before);
        let mut arms: Vec<_> = ARMS.iter().zip(&weights)
            .map(|(name, weight)| json!({ "model": name, "weight": weight }))
            .collect();
        arms.reverse();
        let reversed = run(json!({ "rules": [
            { "name": "chat", "then": { "by": [{ "fact": "caller" }], "split": arms } },
        ] }));
        let after: Vec<_> = callers.iter().map(|caller| of_caller(&reversed, caller)).collect();
        prop_assert_eq!(after, before);
    }
}

/// Two arms, or one that changes: no split could move fewer.
#[test]
fn a_change_moves_no_more_callers_than_the_shares_do() {
    const CALLERS: u32 = 10_000;
    let callers: Vec<_> = (0..CALLERS).map(|nth| format!("caller-{nth}")).collect();
    let moved = |from: &[u32], to: &[u32]| {
        let (before, after) = (arms_of(from, &callers), arms_of(to, &callers));
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other);
        u32::try_from(moved.count()).unwrap()
    };
    for (from, to, share) in [
        (&[95, 5][..], &[75, 25][..], 0.2),
        (&[75, 25], &[0, 100], 0.75),
        (&[50, 30, 20], &[50, 30, 120], 0.4),
    ] {
        let off = off(moved(from, to), CALLERS, share);
        assert!(off < 3.0, "{from:?} {to:?}: {off} standard errors");
    }
}
