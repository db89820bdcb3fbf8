use tollgate_sdk::testing::{complete, counted};

use super::*;

#[test]
fn what_earlier_limits_took_is_given_back_when_a_later_one_refuses() {
    let run = run(json!([
        { "name": "wide", "by": ["caller"], "requests": 3, "period": "1h", "concurrency": 3 },
        { "name": "gpt", "by": ["caller"], "requests": 1, "period": "1h", "match": { "models": ["gpt-*"] } },
        { "name": "all", "by": [], "requests": 100, "period": "1h" },
    ]));
    let gpt = || chat("ada").json("/model", "gpt-4");
    start(&run, gpt()).unwrap().finish(&complete(None));
    for _ in 0..10 {
        let told = refused(&run, gpt());
        assert!(told.message.contains("`gpt`"), "{}", told.message);
    }
    for _ in 0..2 {
        start(&run, chat("ada")).unwrap().finish(&complete(None));
    }
    assert!(refused(&run, gpt()).message.contains("`wide`"));
    assert_eq!(counted("refused"), 11);
}

#[test]
fn a_fact_that_is_missing_for_a_later_limit_takes_nothing_from_earlier_ones() {
    let run = run(json!([
        { "name": "all", "by": [], "requests": 1, "period": "1h" },
        { "name": "teams", "by": ["team"], "requests": 1, "period": "1h" },
    ]));
    assert_eq!(refused(&run, chat("ada")).status, 403);
    assert!(passes(&run, chat("ada").fact("team", "x")));
}

#[test]
fn a_request_that_no_limit_applies_to_passes_untouched() {
    let run = run(json!([
        { "name": "x", "by": [], "requests": 1, "period": "1h", "match": { "routes": ["other"] } },
    ]));
    for _ in 0..3 {
        let decided = run.open(chat("ada")).request();
        assert!(decided.is_next() && decided.is_untouched());
    }
}

#[test]
fn policies_whose_limits_have_one_name_count_together() {
    let limit = json!([{ "name": "shared", "by": ["caller"], "requests": 1, "period": "1h" }]);
    let other = json!([{ "name": "own", "by": ["caller"], "requests": 1, "period": "1h" }]);
    assert!(passes(&run(limit.clone()), chat("ada")));
    assert!(!passes(&run(limit), chat("ada")));
    assert!(passes(&run(other), chat("ada")));
}

#[test]
fn a_refusal_names_no_one_else() {
    let run = run(json!([
        { "name": "teams", "by": ["caller", "team"], "requests": 1, "period": "1h" },
    ]));
    let exchange = || chat("secret-caller").fact("team", "secret-team");
    assert!(passes(&run, exchange()));
    let told = refused(&run, exchange());
    let all = String::from_utf8(told.answer.body.clone()).unwrap();
    assert!(!all.contains("secret"), "{all}");
    assert!(
        told.answer
            .headers
            .iter()
            .all(|header| !header.value.starts_with(b"secret"))
    );
}
